//! What is wrong is found where it happens, soon, and is still known to the next agent.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use plainsight_tests::harness::{
    Agent, Cgroup, Namespace, Peer, Place, Stage, Tally, agent_binary, is_guest, report, run, until,
};
use serde_json::Value;

const CONNECTIONS: u64 = 7;

/// Keys of a finding, which scripts rely on.
const FINDING: [&str; 18] = [
    "id",
    "kind",
    "severity",
    "state",
    "server",
    "server_port",
    "clients",
    "evidence",
    "confidence",
    "first_seen",
    "last_seen",
    "connections",
    "of",
    "fix",
    "owner",
    "rule",
    "transport",
    "protocol",
];

/// How soon a finding must be told after its last connection.
const SOON: Duration = Duration::from_secs(2);

/// A folder for the agent's state, gone after the test.
struct Folder(PathBuf);

// === impl Folder ===

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("plainsight-findings-{}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a name without surprises")
    }

    fn file(&self) -> PathBuf {
        self.0.join("findings.json")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_hop_in_the_clear_is_as_bad_as_it_goes_far() {
    let stage = Stage::set();
    let (near, far) = (Namespace::new(), Namespace::new());
    // The agent does not watch this one, as if it were another host's.
    let elsewhere = Cgroup::new();
    let there = SocketAddr::new(near.join(&far).v4[1].into(), 7001);
    let here = "127.0.0.1:0".parse().expect("an address");
    speak(stage.place(), stage.place(), ["c-here", "s-here"], here);
    speak(stage.within(&near), Place::of(&elsewhere).within(&far), ["c-away", "s-away"], there);
    let spoken = Instant::now();
    let [away, local] = until("both findings", || {
        let all = findings(&stage.agent);
        let by = |client: &str| {
            let is = |found: &&Value| found["clients"][0]["name"] == client;
            all.iter().find(is).cloned().ok_or(format!("{client} is not in {all:?}"))
        };
        Ok([by("c-away")?, by("c-here")?])
    });
    let took = spoken.elapsed();
    let severities = [&away["severity"], &local["severity"]];
    report(
        "plain HTTP: severity over veth, on loopback",
        "medium, info",
        format!("{severities:?}"),
    );
    report("the finding is told after", format!("at most {SOON:?}"), format!("{took:?}"));
    assert_eq!(severities, ["medium", "info"]);
    assert!(took <= SOON || is_guest(), "{took:?}");
    for found in [&away, &local] {
        assert!(FINDING.iter().all(|key| found.get(key).is_some()), "{found}");
        assert_eq!((&found["kind"], &found["state"]), (&"plaintext_hop".into(), &"new".into()));
        assert_eq!([&found["connections"], &found["of"]], [CONNECTIONS, CONNECTIONS]);
    }
    assert_eq!(away["server_port"], 7001);
    check_command(&stage.agent, away["id"].as_str().expect("an id"));
    let by = [("kind", "plaintext_hop"), ("severity", "medium"), ("state", "new")];
    assert_eq!(stage.agent.metrics().get("plainsight_findings", &by), Ok(1));
}

#[test]
fn the_next_agent_knows_what_the_last_one_found() {
    let _alone = Stage::alone();
    let (cgroup, folder) = (Cgroup::new(), Folder::new());
    let flags = ["--state-dir", folder.path()];
    let mut agent = Agent::start(&cgroup, &flags);
    let here = "127.0.0.1:0".parse().expect("an address");
    speak(Place::of(&cgroup), Place::of(&cgroup), ["client", "server"], here);
    let first = until("a finding", || findings(&agent).pop().ok_or("none yet".to_owned()));
    let id = first["id"].as_str().expect("an id");
    until("the file", || match fs::read_to_string(folder.file()) {
        Ok(text) if text.contains("plaintext_hop") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        agent.end(signal);
        agent = Agent::start(&cgroup, &flags);
        let second = until("the finding", || findings(&agent).pop().ok_or("gone".to_owned()));
        report(
            &format!("after {signal}: id, first seen, state"),
            format!("{id}, {}, new", first["first_seen"]),
            format!("{}, {}, {}", second["id"], second["first_seen"], second["state"]),
        );
        for key in ["id", "first_seen", "state", "clients"] {
            assert_eq!(second[key], first[key], "{signal}: {key}");
        }
    }
    agent.end(Signal::SIGTERM);
    fs::write(folder.file(), b"{\"version\":1,").expect("the file can be damaged");
    let agent = Agent::start(&cgroup, &flags);
    assert_eq!(findings(&agent), Vec::<Value>::new());
    assert!(agent.log().contains("findings start anew"), "{}", agent.log());
    assert!(folder.0.join("findings.json.damaged").exists());
}

/// One asks and the other answers in HTTP.
fn speak(client: Place<'_>, server: Place<'_>, [asks, answers]: [&str; 2], at: SocketAddr) {
    let (server, to) =
        Peer::serve(server, answers, at, CONNECTIONS, "receive:36,say:http1-response,drain");
    let steps = "say:http1-request,receive:38";
    let client = Peer::connect(client, asks, to, CONNECTIONS, steps).finish();
    assert_eq!(client.without_ports(), Tally::of(CONNECTIONS, 38 * CONNECTIONS, 36 * CONNECTIONS));
    server.finish();
}

fn findings(agent: &Agent) -> Vec<Value> {
    match agent.get("/api/v1/findings").json()["findings"].take() {
        Value::Array(findings) => findings,
        other => panic!("no findings: {other}"),
    }
}

/// The command says the same, in lines and by its status.
fn check_command(agent: &Agent, id: &str) {
    let command = |flags: &[&str]| {
        let mut command = Command::new(agent_binary());
        command.args(["findings", "--api", &agent.url()]).args(flags);
        run(&mut command)
    };
    let shown = command(&[]);
    assert_eq!(shown.status.code(), Some(0), "{}", shown.stderr);
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert!(lines[0].starts_with("NEW 1, WORSE 0,"), "{}", shown.stdout);
    assert!(lines.iter().any(|line| line.starts_with("med ") && line.contains(id)), "{lines:?}");
    assert!(lines.last().is_some_and(|line| line.starts_with("NOT PROVEN ")), "{lines:?}");
    for (severity, status) in [("medium", 1), ("low", 1), ("high", 0)] {
        let found = command(&["--fail-on", severity]);
        assert_eq!(found.status.code(), Some(status), "{severity}: {}", found.stdout);
    }
    let json: Value = serde_json::from_str(&command(&["-o", "json"]).stdout).expect("it is JSON");
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(2));
}
