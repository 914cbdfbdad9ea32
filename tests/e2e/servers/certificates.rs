//! Certificates that OpenSSL makes while the tests run.

use std::{fmt::Write as _, fs, path::PathBuf, process::Command};

use super::{Folder, Yard, folder};

/// Whoever vouches for the servers and clients of a test.
#[derive(Debug)]
pub(crate) struct Authority {
    folder: Folder,
    /// What servers show.
    pub(crate) server: Identity,
    /// What clients show.
    pub(crate) client: Identity,
}

/// A certificate with those that lead to its authority, and its key.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Those that lead to its authority, alone; an empty file where it vouches itself.
    pub(crate) issuers: PathBuf,
}

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Rsa2048,
    Rsa4096,
    P256,
    P384,
    Ed25519,
}

// === impl Authority ===

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = Folder::new("authority");
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-nodes", "-days", "7", "-subj", "/O=Tests/CN=Authority"]);
        command.args(Key::P256.arguments()).args(["-keyout", "ca.key", "-out", "ca.pem"]);
        Yard::prepare(command.current_dir(folder.path()));
        let server = issue(&folder, "server", Key::P256, 1, "ca");
        let client = issue(&folder, "client", Key::Rsa2048, 1, "ca");
        Self { folder, server, client }
    }

    /// Its own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.at("ca.pem")
    }

    /// A certificate for so many names, with so many between it and this authority.
    pub(crate) fn issue(&self, name: &str, key: Key, names: usize, between: usize) -> Identity {
        let mut issuer = "ca".to_owned();
        let mut chain = String::new();
        for step in 0..between {
            let next = format!("{name}-issuer-{step}");
            let identity = issue(&self.folder, &next, key, 0, &issuer);
            let text = fs::read_to_string(identity.certificate).expect("it was made just now");
            chain.insert_str(0, &text);
            issuer = next;
        }
        let identity = issue(&self.folder, name, key, names, &issuer);
        let own = fs::read_to_string(&identity.certificate).expect("it was made just now");
        fs::write(&identity.certificate, own + &chain).expect("a file can be written");
        fs::write(&identity.issuers, chain).expect("a file can be written");
        identity
    }
}

// === impl Identity ===

impl Identity {
    /// Copies of both that only this user can read.
    pub(crate) fn copy_for(&self, folder: &Folder, owner: &str) -> Self {
        let copy = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("it has a name");
            let copy = folder.write(name, fs::read(path).expect("it can be read"));
            only_owner(&copy);
            folder::give(&copy, owner);
            copy
        };
        let issuers = self.issuers.clone();
        Self { certificate: copy(&self.certificate), key: copy(&self.key), issuers }
    }
}

// === impl Key ===

impl Key {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Rsa2048 => &["-newkey", "rsa:2048"],
            Self::Rsa4096 => &["-newkey", "rsa:4096"],
            Self::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::P384 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Self::Ed25519 => &["-newkey", "ed25519"],
        }
    }
}

/// A certificate for so many names; one for none vouches for others.
fn issue(folder: &Folder, name: &str, key: Key, names: usize, issuer: &str) -> Identity {
    let request = format!("{name}.csr");
    let (certificate, private) = (format!("{name}.pem"), format!("{name}.key"));
    let mut command = Command::new("openssl");
    command.args(["req", "-nodes", "-subj", &format!("/O=Tests/CN={name}")]);
    command.args(key.arguments()).args(["-keyout", &private, "-out", &request]);
    Yard::prepare(command.current_dir(folder.path()));
    let extensions = folder.write(&format!("{name}.ext"), extensions(names));
    let mut command = Command::new("openssl");
    command.args(["x509", "-req", "-days", "7", "-in", &request, "-out", &certificate]);
    command.args(["-CA", &format!("{issuer}.pem"), "-CAkey", &format!("{issuer}.key")]);
    command.args(["-CAcreateserial", "-extfile"]).arg(extensions);
    Yard::prepare(command.current_dir(folder.path()));
    only_owner(&folder.at(&private));
    let issuers = folder.at(&format!("{name}.issuers"));
    Identity { certificate: folder.at(&certificate), key: folder.at(&private), issuers }
}

fn extensions(names: usize) -> String {
    if names == 0 {
        return "basicConstraints=critical,CA:TRUE\n".into();
    }
    // Some clients look for addresses among the names.
    let mut text = "subjectAltName=DNS:localhost".to_owned();
    for address in ["127.0.0.1", "10.77.0.2"] {
        let _ = write!(text, ",IP:{address},DNS:{address}");
    }
    for number in 1..names {
        let _ = write!(text, ",DNS:name-{number}.tests.example");
    }
    text.push('\n');
    text
}

/// Some programs refuse a key that others can read.
fn only_owner(path: &PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let set = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    set.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
