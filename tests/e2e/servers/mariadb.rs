//! MariaDB and its client, which speak MySQL's protocol: in the clear and with TLS.

use std::{net::IpAddr, process::Command};

use super::{Expect, Folder, Hop, Running, Sealing, Server, Yard, program};

const USER: &str = "mysql";

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [sealed, open] = yard.ports();
    let authority = yard.authority.certificate().display().to_string();
    let client = &yard.authority.client;
    let [certificate, key] =
        [&client.certificate, &client.key].map(|path| path.display().to_string());
    let verified = ["--ssl", "--ssl-ca", &authority];
    let mutual = [&verified[..], &["--ssl-cert", &certificate, "--ssl-key", &key]].concat();
    let native = || Expect::plaintext("mysql").proof("MySQL native password");
    // It asks every client for a certificate.
    let tls = |mutual| Expect::upgraded("mysql", "TLS1.3", mutual);
    let hop = |name, port, flags: &[&str], expect| hop(yard, name, port, flags, expect);
    Running {
        servers: vec![server(yard, sealed, Sealing::Asks), server(yard, open, Sealing::None)],
        hops: vec![
            hop("mariadb-tls", sealed, &verified, tls("requested_not_given")),
            hop("mariadb-mutual", sealed, &mutual, tls("mutual")),
            hop("mariadb-not-taken", sealed, &["--skip-ssl"], {
                native().upgrade("offered_not_taken")
            }),
            hop("mariadb-clear", open, &["--skip-ssl"], native()),
        ],
    }
}

pub(crate) fn server(yard: &Yard<'_>, port: u16, sealing: Sealing) -> Server {
    let folder = Folder::new("mariadb");
    let data = folder.folder("data", USER);
    let mut command = Command::new("mariadb-install-db");
    command.args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"]);
    command.arg(format!("--user={USER}")).arg(format!("--datadir={}", data.display()));
    Yard::prepare(command.current_dir(folder.path()));
    let user = "create user 'user'@'%' identified by 'word';\n";
    let user = folder.write("init.sql", user);
    let mut command = program("/usr/sbin/mariadbd", USER);
    command.args(["--no-defaults", "--skip-log-bin", "--skip-name-resolve"]);
    command.arg(format!("--datadir={}", data.display()));
    command.arg(format!("--init-file={}", user.display()));
    command.arg(format!("--socket={}", data.join("socket").display()));
    command.arg(format!("--pid-file={}", data.join("pid").display()));
    command.arg(format!("--bind-address={}", yard.ip)).arg(format!("--port={port}"));
    command.arg("--innodb-buffer-pool-size=8M");
    if sealing == Sealing::Asks {
        let identity = yard.authority.server.copy_for(&folder, USER);
        command.arg(format!("--ssl-cert={}", identity.certificate.display()));
        command.arg(format!("--ssl-key={}", identity.key.display()));
        command.arg(format!("--ssl-ca={}", yard.authority.certificate().display()));
    } else {
        command.arg("--skip-ssl");
    }
    yard.start(folder, &mut command, &[port])
}

fn hop(yard: &Yard<'_>, name: &'static str, port: u16, flags: &[&str], expect: Expect) -> Hop {
    let ip = yard.ip;
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let client = Box::new(move || mariadb(ip, port, &flags));
    Hop { name, port, client, connections: 1, expect }
}

/// One question.
pub(crate) fn mariadb(ip: IpAddr, port: u16, flags: &[String]) -> Command {
    let mut command = Command::new("mariadb");
    command.args(["--no-defaults", "--host", &ip.to_string(), "--port", &port.to_string()]);
    command.args(["--user=user", "--password=word", "--execute=select 1"]).args(flags);
    command
}
