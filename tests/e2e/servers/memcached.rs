//! memcached, and curl as a client that types its text protocol.

use std::process::Command;

use super::{Expect, Folder, Hop, Running, Yard, program};

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [port] = yard.ports();
    let folder = Folder::new("memcached");
    let words = folder.write("words", "set key 0 0 5\r\nvalue\r\nget key\r\nquit\r\n");
    let url = format!("telnet://{}:{port}", yard.ip);
    let client = Box::new(move || {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "17"]);
        command.arg("--upload-file").arg(&words).arg(&url);
        command
    });
    let mut command = program("/usr/bin/memcached", "memcache");
    command.args(["-l", &yard.ip.to_string(), "-p", &port.to_string(), "-U", "0", "-m", "7"]);
    let expect = Expect::plaintext("memcached");
    Running {
        servers: vec![yard.start(folder, &mut command, &[port])],
        hops: vec![Hop { name: "memcached", port, client, connections: 1, expect }],
    }
}
