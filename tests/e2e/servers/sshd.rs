//! OpenSSH: its server and its client.

use std::{fs, process::Command};

use super::{Expect, Folder, Hop, Running, Yard};

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [port] = yard.ports();
    let folder = Folder::new("sshd");
    for name in ["host", "client"] {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.at(name));
        Yard::prepare(&mut command);
    }
    fs::copy(folder.at("client.pub"), folder.at("authorized")).expect("a file can be copied");
    // Its unprivileged half is confined to this folder, which a booted host makes.
    fs::create_dir_all("/run/sshd").expect("a folder can be made");
    let settings = format!(
        "Port {port}\nListenAddress {}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
         UsePAM no\nStrictModes no\nPermitRootLogin yes\nUseDNS no\n",
        yard.ip,
        folder.text("host"),
        folder.text("authorized"),
    );
    let settings = folder.write("sshd_config", settings);
    let (key, host, port_text) = (folder.text("client"), yard.ip.to_string(), port.to_string());
    let client = Box::new(move || {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-i", &key, "-p", &port_text, "-o", "BatchMode=yes"]);
        command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        command.args(["-o", "LogLevel=ERROR", &format!("root@{host}"), "true"]);
        command
    });
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f"]).arg(settings);
    let expect = Expect::sealed("ssh", "ssh", "encrypted");
    Running {
        servers: vec![yard.start(folder, &mut command, &[port])],
        hops: vec![Hop { name: "ssh", port, client, connections: 1, expect }],
    }
}
