//! Mosquitto and its client: MQTT with a password, in the clear and over TLS.

use std::process::Command;

use super::{Expect, Folder, Hop, Running, Yard, folder::give, program};

const USER: &str = "mosquitto";

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [open, locked, sealed] = yard.ports();
    let folder = Folder::new("mosquitto");
    let identity = yard.authority.server.copy_for(&folder, USER);
    let passwords = folder.at("passwords");
    let mut command = Command::new("mosquitto_passwd");
    Yard::prepare(command.arg("-b").arg("-c").arg(&passwords).args(["user", "word"]));
    give(&passwords, USER);
    let authority = yard.authority.certificate().display().to_string();
    let (ip, passwords) = (yard.ip, passwords.display());
    let settings = format!(
        "per_listener_settings true\nlistener {open} {ip}\nallow_anonymous true\n\
         listener {locked} {ip}\npassword_file {passwords}\nlistener {sealed} {ip}\n\
         password_file {passwords}\ncafile {authority}\ncertfile {}\nkeyfile {}\n",
        identity.certificate.display(),
        identity.key.display(),
    );
    let settings = folder.write("mosquitto.conf", settings);
    let mut command = program("/usr/sbin/mosquitto", USER);
    let server = yard.start(folder, command.arg("-c").arg(settings), &[open, locked, sealed]);
    let password = ["-u", "user", "-P", "word"];
    let tls = [&password[..], &["--cafile", &authority]].concat();
    let hop = |name, port, flags: &[&str], expect| hop(yard, name, port, flags, expect);
    let mqtt = || Expect::plaintext("mqtt");
    Running {
        servers: vec![server],
        hops: vec![
            hop("mqtt", open, &[], mqtt()),
            hop("mqtt-password", locked, &password, mqtt().readable("MQTT password")),
            hop("mqtt-tls", sealed, &tls, Expect::tls("tls", "TLS1.3", "one_way")),
        ],
    }
}

fn hop(yard: &Yard<'_>, name: &'static str, port: u16, flags: &[&str], expect: Expect) -> Hop {
    let (host, port_text) = (yard.ip.to_string(), port.to_string());
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let client = Box::new(move || {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", &host, "-p", &port_text]).args(&flags);
        command.args(["-t", "topic", "-m", "message"]);
        command
    });
    Hop { name, port, client, connections: 1, expect }
}
