//! RabbitMQ and the client of amqp-tools: AMQP 0-9-1 in the clear and over TLS.

use std::{path::Path, process::Command};

use super::{Expect, Folder, Hop, Running, Server, Yard, program};

const USER: &str = "rabbitmq";

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [open, sealed, nodes, names] = yard.ports();
    let folder = Folder::new("rabbitmq");
    let home = folder.folder("home", USER);
    let identity = yard.authority.server.copy_for(&folder, USER);
    let authority = yard.authority.certificate().display().to_string();
    let (ip, certificate, key) = (yard.ip, identity.certificate.display(), identity.key.display());
    let settings = format!(
        "listeners.tcp.1 = {ip}:{open}\nlisteners.ssl.1 = {ip}:{sealed}\n\
         ssl_options.cacertfile = {authority}\nssl_options.certfile = {certificate}\n\
         ssl_options.keyfile = {key}\nssl_options.verify = verify_peer\n\
         ssl_options.fail_if_no_peer_cert = false\nloopback_users = none\n\
         log.console = true\nlog.file = false\n"
    );
    folder.write("rabbitmq.conf", settings);
    folder.write("plugins", "[].\n");
    let names_server = name_server(yard, names);
    let mut command = program("/usr/lib/rabbitmq/bin/rabbitmq-server", USER);
    environment(&mut command, folder.path(), &home, [nodes, names]);
    let server = yard.start(folder, &mut command, &[open, sealed]);
    let hop = |name, port, scheme: &str, flags: &[&str], expect| {
        hop(name, port, format!("{scheme}://guest:guest@{}:{port}", yard.ip), flags, expect)
    };
    let client = &yard.authority.client;
    let [certificate, key] =
        [&client.certificate, &client.key].map(|path| path.display().to_string());
    let tls = ["--cacert", &authority];
    let mutual = [&tls[..], &["--cert", &certificate, "--key", &key]].concat();
    let amqp = Expect::plaintext("amqp").readable("SASL PLAIN");
    Running {
        servers: vec![server, names_server],
        hops: vec![
            hop("amqp", open, "amqp", &[], amqp),
            hop("amqp-tls", sealed, "amqps", &tls, {
                Expect::tls("tls", "TLS1.3", "requested_not_given")
            }),
            hop("amqp-mutual", sealed, "amqps", &mutual, Expect::tls("tls", "TLS1.3", "mutual")),
        ],
    }
}

/// Erlang's, which would else stay behind.
fn name_server(yard: &Yard<'_>, port: u16) -> Server {
    let mut command = program("/usr/bin/epmd", USER);
    command.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
    yard.start(Folder::new("epmd"), &mut command, &[port])
}

fn environment(command: &mut Command, folder: &Path, home: &Path, ports: [u16; 2]) {
    let [nodes, names] = ports.map(|port| port.to_string());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", home);
    command.env("RABBITMQ_NODENAME", "tests@localhost").env("RABBITMQ_DIST_PORT", nodes);
    command.env("ERL_EPMD_PORT", names).env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
    command.env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq"));
    command.env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"));
    for (name, file) in [
        ("RABBITMQ_MNESIA_BASE", "data"),
        ("RABBITMQ_LOG_BASE", "log"),
        ("RABBITMQ_PID_FILE", "pid"),
        ("RABBITMQ_FEATURE_FLAGS_FILE", "flags"),
        ("RABBITMQ_GENERATED_CONFIG_DIR", "generated"),
    ] {
        command.env(name, home.join(file));
    }
}

fn hop(name: &'static str, port: u16, url: String, flags: &[&str], expect: Expect) -> Hop {
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let client = Box::new(move || {
        let mut command = Command::new("amqp-publish");
        command.args(["--url", &url]).args(&flags).args(["-r", "queue", "-b", "message"]);
        command
    });
    Hop { name, port, client, connections: 1, expect }
}
