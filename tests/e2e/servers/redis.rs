//! Redis and its client: with and without TLS, with and without a password.

use std::{net::IpAddr, process::Command};

use super::{Expect, Folder, Hop, Running, Sealing, Server, Yard, program};

const USER: &str = "redis";

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [open, locked, sealed] = yard.ports();
    let authority = yard.authority.certificate().display().to_string();
    let client = &yard.authority.client;
    let [certificate, key] =
        [&client.certificate, &client.key].map(|path| path.display().to_string());
    let tls = ["--tls", "--cacert", &authority];
    let mutual = [&tls[..], &["--cert", &certificate, "--key", &key]].concat();
    let password = ["--no-auth-warning", "-a", "word"];
    let sealed_hop = |mutual| Expect::tls("tls", "TLS1.3", mutual);
    let hop = |name, port, flags: &[&str], expect| hop(yard, name, port, flags, expect);
    Running {
        servers: vec![
            server(yard, open, &format!("port {open}\nprotected-mode no\n")),
            server(yard, locked, &format!("port {locked}\nrequirepass word\n")),
            tls_server(yard, sealed, Sealing::Asks, ""),
        ],
        hops: vec![
            hop("redis", open, &[], Expect::plaintext("redis")),
            hop("redis-auth", locked, &password, Expect::plaintext("redis").readable("Redis AUTH")),
            hop("redis-tls", sealed, &tls, sealed_hop("requested_not_given")),
            hop("redis-mutual", sealed, &mutual, sealed_hop("mutual")),
        ],
    }
}

/// With more settings.
pub(crate) fn tls_server(yard: &Yard<'_>, port: u16, sealing: Sealing, more: &str) -> Server {
    let folder = Folder::new("redis-identity");
    let identity = yard.authority.server.copy_for(&folder, USER);
    let asks = if sealing == Sealing::Asks { "optional" } else { "no" };
    let settings = format!(
        "port 0\ntls-port {port}\nprotected-mode no\ntls-auth-clients {asks}\n\
         tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n{more}\n",
        identity.certificate.display(),
        identity.key.display(),
        yard.authority.certificate().display(),
    );
    // It has read its key when it listens.
    server(yard, port, &settings)
}

fn server(yard: &Yard<'_>, port: u16, settings: &str) -> Server {
    let folder = Folder::new("redis");
    let data = folder.folder("data", USER);
    let settings =
        format!("bind {}\ndir {}\nsave \"\"\ndaemonize no\n{settings}", yard.ip, data.display());
    let settings = folder.write("redis.conf", settings);
    let mut command = program("/usr/bin/redis-server", USER);
    yard.start(folder, command.arg(settings), &[port])
}

fn hop(yard: &Yard<'_>, name: &'static str, port: u16, flags: &[&str], expect: Expect) -> Hop {
    let ip = yard.ip;
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let client = Box::new(move || redis_cli(ip, port, &flags));
    Hop { name, port, client, connections: 1, expect }
}

/// One question.
pub(crate) fn redis_cli(ip: IpAddr, port: u16, flags: &[String]) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-h", &ip.to_string(), "-p", &port.to_string()]).args(flags);
    command.args(["set", "key", "value"]);
    command
}
