//! PostgreSQL and psql: in the clear, and with TLS that the client asks for first.

use std::{fs, net::IpAddr, path::PathBuf, process::Command};

use nix::sys::signal::Signal;

use super::{Expect, Folder, Hop, Running, Sealing, Server, Yard, folder::give, program};

const USER: &str = "postgres";
const PASSWORD: &str = "password=word user=postgres dbname=postgres";

/// How it lets clients in, which follows from their addresses: they ask for SCRAM from anywhere.
const METHODS: [&str; 3] = ["scram-sha-256", "password", "md5"];

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [sealed, open, clear, md5] = yard.ports();
    let servers = vec![
        server(yard, sealed, METHODS[0], Sealing::Asks),
        server(yard, open, METHODS[0], Sealing::None),
        server(yard, clear, METHODS[1], Sealing::None),
        server(yard, md5, METHODS[2], Sealing::None),
    ];
    let authority = yard.authority.certificate();
    let verified = format!("sslmode=verify-full sslrootcert={}", authority.display());
    let client = &yard.authority.client;
    let (certificate, key) = (client.certificate.display(), client.key.display());
    let mutual = format!("{verified} sslcert={certificate} sslkey={key}");
    let clear_text = || Expect::plaintext("postgresql");
    let scram = || clear_text().proof("PostgreSQL SCRAM");
    let tls = |mutual| Expect::upgraded("postgresql", "TLS1.3", mutual);
    let hop = |name, port, how: &str, expect| hop(yard, name, port, how, expect);
    Running {
        hops: vec![
            hop("psql-disable", sealed, "sslmode=disable", scram()),
            hop("psql-require", sealed, "sslmode=require", tls("requested_not_given")),
            hop("psql-verify-full", sealed, &verified, tls("requested_not_given")),
            hop("psql-mutual", sealed, &mutual, tls("mutual")),
            hop("psql-refused", open, "sslmode=prefer", scram().upgrade("refused")),
            hop("psql-clear", clear, "sslmode=disable", {
                clear_text().readable("PostgreSQL cleartext password")
            }),
            hop("psql-md5", md5, "sslmode=disable", clear_text().proof("PostgreSQL MD5 password")),
        ],
        servers,
    }
}

pub(crate) fn server(yard: &Yard<'_>, port: u16, method: &str, sealing: Sealing) -> Server {
    let folder = Folder::new("postgresql");
    let data = folder.folder("data", USER);
    initialise(&folder, &data, method);
    let mut settings = format!(
        "listen_addresses = '{}'\nport = {port}\nunix_socket_directories = ''\nfsync = off\n\
         shared_buffers = 1MB\n",
        yard.ip
    );
    if sealing != Sealing::None {
        let identity = yard.authority.server.copy_for(&folder, USER);
        let [certificate, key] =
            [identity.certificate, identity.key].map(|path| path.display().to_string());
        settings += &format!("ssl = on\nssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\n");
    }
    if sealing == Sealing::Asks {
        let authority = yard.authority.certificate();
        settings += &format!("ssl_ca_file = '{}'\n", authority.display());
    }
    fs::write(data.join("postgresql.conf"), settings).expect("a file can be written");
    let rules = format!("host all all 0.0.0.0/0 {method}\n");
    fs::write(data.join("pg_hba.conf"), rules).expect("a file can be written");
    let path = binaries().join("postgres");
    let mut command = program(&path.display().to_string(), USER);
    command.arg("-D").arg(data);
    // It waits for its clients where it is asked politely.
    yard.start(folder, &mut command, &[port]).ended_by(Signal::SIGINT)
}

/// The password is kept as the method needs it.
fn initialise(folder: &Folder, data: &PathBuf, method: &str) {
    let password = folder.write("password", "word\n");
    give(&password, USER);
    let path = binaries().join("initdb");
    let mut command = program(&path.display().to_string(), USER);
    command.arg("-D").arg(data).args(["--no-sync", "--username", USER, "--auth", method]);
    command.arg("--pwfile").arg(password).args(["--locale", "C", "--encoding", "UTF8"]);
    Yard::prepare(command.current_dir(folder.path()));
}

/// The folder of the newest version that is installed.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).max();
    newest.expect("PostgreSQL is missing: `cargo xtask setup` installs it")
}

fn hop(yard: &Yard<'_>, name: &'static str, port: u16, how: &str, expect: Expect) -> Hop {
    let (ip, how) = (yard.ip, how.to_owned());
    let client = Box::new(move || psql(ip, port, &how));
    Hop { name, port, client, connections: 1, expect }
}

/// One question.
pub(crate) fn psql(ip: IpAddr, port: u16, how: &str) -> Command {
    // Debian's psql is a script that looks for clusters of the host.
    let mut command = Command::new(binaries().join("psql"));
    command.args(["--no-psqlrc", "--quiet", "--command", "select 1"]);
    command.arg(format!("host={ip} port={port} gssencmode=disable {PASSWORD} {how}"));
    command
}
