//! A host that does nothing but what every host does: it resolves names, keeps the time, and lets
//! itself be measured. Nobody wants an alert of that.

use std::process::Command;

use plainsight_tests::harness::{Edge, Namespace, Stage, full, report, skip, until};
use serde_json::Value;

use super::{Authority, Folder, Server, Yard};

/// Asks a resolver for a name, over and over until it is ended.
const RESOLVE: &str = "\
import socket, struct, sys, time
question = struct.pack('>HHHHHH', 7, 256, 1, 0, 0, 0) + b'\\4name\\5tests\\7example\\0\\0\\1\\0\\1'
while True:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(7)
        asked.connect((sys.argv[1], int(sys.argv[2])))
        asked.send(question)
        assert asked.recv(512)[3] & 15 == 0
    time.sleep(0.5)
";

/// How often all are asked before the findings are looked at.
const ROUNDS: u64 = 7;

/// Ports of resolver, clock, exporter and Prometheus.
type Ports = [u16; 4];

#[test]
fn an_idle_host_has_nothing_to_tell() {
    if !full() {
        return skip(
            "an_idle_host_has_nothing_to_tell",
            "its packages are large: `cargo xtask prove` installs and runs it",
        );
    }
    let authority = Authority::new();
    let stage = Stage::set();
    let (near, far) = (Namespace::new(), Namespace::new());
    let link = near.join(&far);
    let loopback = Yard::new(stage.within(&near), &near, [127, 0, 0, 1].into(), &authority);
    let there = Yard::new(stage.within(&far), &far, link.v4[1].into(), &authority);
    // All of it once on loopback, and once between two hosts.
    let local = loopback.ports();
    let remote = there.ports();
    let mut servers = serve(&loopback, local);
    servers.extend(ask(&loopback, &loopback, local));
    servers.extend(serve(&there, remote));
    servers.extend(ask(&loopback, &there, remote));
    until("all of it on the map", || is_busy(&stage.agent.edges(), &[local, remote]));
    stage.agent.scan();
    let answer = stage.agent.get("/api/v1/findings").json();
    let findings = answer["findings"].as_array().expect("a list");
    // It was looked at, and is known to be in the clear.
    assert!(answer["expected_plaintext"]["hops"].as_u64() > Some(0), "{answer}");
    let loud: Vec<&Value> = findings.iter().filter(|one| one["severity"] != "info").collect();
    let logs: String = servers.iter().map(Server::log).collect();
    report("an idle host: findings above info", 0, loud.len());
    assert!(loud.is_empty(), "{loud:#?}\n{logs}");
}

/// Resolver, clock and exporter.
fn serve(yard: &Yard<'_>, [resolver, clock, exporter, _]: Ports) -> Vec<Server> {
    let folder = Folder::new("unbound");
    let settings = format!(
        "server:\n  interface: {ip}\n  port: {resolver}\n  access-control: 0.0.0.0/0 allow\n\
         \x20 do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  directory: {}\n\
         \x20 pidfile: \"\"\n  use-syslog: no\n  local-zone: \"tests.example.\" static\n\
         \x20 local-data: \"name.tests.example. A 192.0.2.1\"\n\
         remote-control:\n  control-enable: no\n",
        folder.path().display(),
        ip = yard.ip,
    );
    let settings = folder.write("unbound.conf", settings);
    let mut command = Command::new("/usr/sbin/unbound");
    command.arg("-d").arg("-c").arg(settings);
    let unbound = yard.start(folder, &mut command, &[resolver]);
    let settings = format!("port {clock}\nallow\nlocal stratum 3\nbindaddress {}\n", yard.ip);
    let chronyd = chronyd(yard, &settings);
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address={}:{exporter}", yard.ip));
    vec![unbound, chronyd, yard.start(Folder::new("exporter"), &mut command, &[exporter])]
}

/// Those who ask them.
fn ask(from: &Yard<'_>, to: &Yard<'_>, ports: Ports) -> Vec<Server> {
    let [resolver, clock, exporter, own] = ports;
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", RESOLVE, &to.ip.to_string(), &resolver.to_string()]);
    let names = from.start(Folder::new("names"), &mut command, &[]);
    let asks = format!("server {} port {clock} minpoll 0 maxpoll 0 iburst\nport 0\n", to.ip);
    let clock = chronyd(from, &asks);
    let folder = Folder::new("prometheus");
    let settings = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: node\n\
         \x20   static_configs:\n      - targets: ['{}:{exporter}']\n",
        to.ip
    );
    let settings = folder.write("prometheus.yml", settings);
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", settings.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.text("data")));
    command.arg(format!("--web.listen-address={}:{own}", from.ip));
    let prometheus = from.start(folder, &mut command, &[own]);
    vec![names, clock, prometheus]
}

/// chrony that leaves the host's clock alone.
fn chronyd(yard: &Yard<'_>, settings: &str) -> Server {
    let folder = Folder::new("chrony");
    let path = folder.path().display();
    let common = format!(
        "cmdport 0\nbindcmdaddress /\npidfile {path}/pid\ndriftfile {path}/drift\n{settings}"
    );
    let settings = folder.write("chrony.conf", common);
    let mut command = Command::new("/usr/sbin/chronyd");
    command.args(["-d", "-x", "-u", "root", "-f"]).arg(settings);
    yard.start(folder, &mut command, &[])
}

/// Whether all have been asked and have answered, again and again.
fn is_busy(edges: &[Edge], all: &[Ports]) -> Result<(), String> {
    // Bytes of an answer: of a name's, of the time, and less than any exporter tells.
    for (port, answer) in all.iter().flat_map(|ports| ports.iter().zip([53, 48, 5_003])) {
        let is_it = |edge: &&Edge| edge.number("server_port") == u64::from(*port);
        let received = edges.iter().find(is_it).map_or(0, |edge| edge.number("bytes_received"));
        if received < ROUNDS * answer {
            return Err(format!("{received} bytes of {port} in {} edges", edges.len()));
        }
    }
    Ok(())
}
