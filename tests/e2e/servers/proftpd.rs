//! ProFTPD and curl: FTP with and without TLS, of which the control connection is judged.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use super::{Expect, Folder, Hop, Running, Server, Yard, nginx::curl};

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [sealed, open] = yard.ports();
    let authority = yard.authority.certificate().display().to_string();
    let user = ["--user", "user:word"];
    let tls = [&user[..], &["--ssl-reqd", "--cacert", &authority]].concat();
    let hop = |name, port: u16, flags: &[&str], expect| {
        let client = curl(flags, &format!("ftp://{}:{port}/file", yard.ip));
        Hop { name, port, client, connections: 1, expect }
    };
    let clear = || Expect::plaintext("ftp").readable("FTP PASS");
    Running {
        servers: vec![server(yard, sealed, true), server(yard, open, false)],
        hops: vec![
            hop("ftp", open, &user, clear()),
            hop("ftp-tls", sealed, &tls, Expect::upgraded("ftp", "TLS1.3", "one_way")),
        ],
    }
}

fn server(yard: &Yard<'_>, port: u16, has_tls: bool) -> Server {
    let folder = Folder::new("proftpd");
    let files = folder.folder("files", "nobody");
    fs::write(files.join("file"), [b'x'; 1_009]).expect("a file can be written");
    let users = folder.write("users", users(&files.display().to_string()));
    // It refuses what others can read.
    fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).expect("it can be changed");
    let identity = &yard.authority.server;
    let tls = match has_tls {
        false => String::new(),
        true => format!(
            "LoadModule mod_tls.c\nTLSEngine on\nTLSRequired off\n\
             TLSECCertificateFile {}\nTLSECCertificateKeyFile {}\n\
             TLSOptions NoSessionReuseRequired\n",
            identity.certificate.display(),
            identity.key.display()
        ),
    };
    let settings = format!(
        "ServerType standalone\nServerName tests\nDefaultAddress {}\nSocketBindTight on\n\
         Port {port}\nUser nobody\nGroup nogroup\nPidFile {path}/pid\n\
         ScoreboardFile {path}/scoreboard\nDelayTable none\nWtmpLog off\nTransferLog none\n\
         UseReverseDNS off\nAuthPAM off\nAuthOrder mod_auth_file.c\nAuthUserFile {}\n\
         RequireValidShell off\n{tls}",
        yard.ip,
        users.display(),
        path = folder.path().display(),
    );
    let settings = folder.write("proftpd.conf", settings);
    let mut command = Command::new("/usr/sbin/proftpd");
    command.arg("-n").arg("-c").arg(settings);
    yard.start(folder, &mut command, &[port])
}

/// A user that the host does not have, in the form of passwd(5).
fn users(home: &str) -> String {
    let mut command = Command::new("openssl");
    let sealed = command.args(["passwd", "-6", "word"]).output().expect("openssl is there");
    let sealed = String::from_utf8_lossy(&sealed.stdout).trim().to_owned();
    format!("user:{sealed}:65534:65534::{home}:/bin/sh\n")
}
