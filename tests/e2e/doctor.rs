//! What the doctor says of a host, of an agent, and of others at the same cgroup.

use std::{fs::File, process::Command};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use plainsight::kernel::{Kernel, Options};
use plainsight_tests::harness::{Cgroup, Stage, agent_binary, report, run};
use serde_json::Value;

#[test]
fn maps_memory_and_health_of_an_agent_are_told() {
    let stage = Stage::set();
    let answer = doctor(&stage.cgroup, &["--api", &stage.agent.url()]);
    let maps = answer["maps"].as_array().expect("maps");
    let edges = maps.iter().find(|map| map["name"] == "EDGES").expect("the map of edges");
    assert_eq!((&edges["capacity"], &edges["entries"]), (&131_072.into(), &0.into()));
    let memory = |map: &Value| map["memory_bytes"].as_u64().expect("a number");
    let sum: u64 = maps.iter().map(memory).sum();
    report("kernel memory of all maps, bytes", format!("at most {}", 64 << 20), sum);
    assert!(sum <= 64 << 20, "{sum}");
    assert_eq!(outcome(&answer, "kernel memory"), "ok");
    assert_eq!(outcome(&answer, "health"), "ok");
    assert_eq!(outcome(&answer, "lost"), "ok");
    // An agent is no stranger to itself.
    assert_eq!(outcome(&answer, "other programs"), "ok", "{answer}");
}

#[test]
fn raw_sockets_are_told_while_they_are_there() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Icmp);
    let raw = raw.expect("root may open a raw socket");
    let found = found(&doctor(&cgroup, &["--preflight"]), "sockets beside TCP");
    assert!(found.contains("raw sockets"), "{found}");
    drop(raw);
}

#[test]
fn programs_of_others_at_the_cgroup_are_told() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let options = Options { max_edges: 7, quota: 0, ring_bytes: 4096 };
    let mut kernel = Kernel::load(&options).expect("the programs load");
    kernel.attach(File::open(cgroup.path()).expect("the cgroup is there")).expect("they attach");
    let answer = doctor(&cgroup, &["--preflight"]);
    let found = found(&answer, "other programs");
    assert_eq!(outcome(&answer, "other programs"), "warning");
    assert!(found.contains("sock_ops: sock_ops (id "), "{found}");
    // Nobody else holds them: this process does, under the name of its binary.
    assert!(found.contains(", of e2e"), "{found}");
}

fn doctor(cgroup: &Cgroup, flags: &[&str]) -> Value {
    let mut command = Command::new(agent_binary());
    command.args(["doctor", "-o", "json", "--cgroup"]).arg(cgroup.path()).args(flags);
    let finished = run(&mut command);
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", finished.stdout, finished.stderr))
}

fn check<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let mut checks = answer["checks"].as_array().into_iter().flatten();
    checks.find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {answer}"))
}

fn outcome<'a>(answer: &'a Value, name: &str) -> &'a str {
    check(answer, name)["outcome"].as_str().expect("text")
}

fn found(answer: &Value, name: &str) -> String {
    check(answer, name)["found"].as_str().expect("text").to_owned()
}
