//! Processes that are gone before anybody could look at them keep their names.

use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process,
};

use plainsight_tests::harness::{
    Edge, Namespace, Peer, Place, Stage, count, is_guest, one, peer_binary, report,
};

/// Clients of one kind, and the server they go to.
struct Swarm {
    names: &'static [&'static str],
    processes: u64,
    client: &'static str,
    server: &'static str,
    /// Whether each is a program of its own, and not a process that gave itself a name.
    is_exec: bool,
}

/// Programs of several names, which are gone when this is.
struct Programs(PathBuf);

// === impl Swarm ===

impl Swarm {
    /// Runs all of it, and says how many were gone within ten milliseconds.
    fn run(&self, place: Place<'_>, programs: &Path) -> u64 {
        let listen: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let Self { names, processes, client, server, is_exec } = self;
        let (server, to) = Peer::serve(place, "ps-server", listen, *processes, server);
        let names = names.join(",");
        let mut command =
            format!("swarm --to {to} --processes {processes} --names {names} --steps {client}");
        if *is_exec {
            command = format!("{command} --programs {}", programs.display());
        }
        let brief = Peer::start(place, "ps-swarm", &command).number("brief");
        assert_eq!(server.finish().connections, *processes, "{names}");
        brief
    }

    /// How many connections each name has, which are taken in turn.
    fn expect(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let (processes, names) = (self.processes, self.names.len() as u64);
        let turns = move |at: u64| processes / names + u64::from(at < processes % names);
        (0..).zip(self.names).map(move |(at, name)| (*name, turns(at)))
    }
}

// === impl Programs ===

impl Programs {
    fn new(names: &[&str]) -> Self {
        let folder = env::temp_dir().join(format!("plainsight-programs-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        for name in names {
            fs::copy(peer_binary(), folder.join(name)).expect("a program can be copied");
        }
        Self(folder)
    }

    fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // What stays behind is in the way of nobody.
        let _removed = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn clients_that_live_for_a_moment_are_named() {
    let swarms = [
        Swarm {
            names: &["ps-ant", "ps-bee", "ps-cicada"],
            processes: processes(251, 5_003),
            client: "send:17,receive:13",
            server: "receive:17,send:13,drain",
            is_exec: false,
        },
        // These connect and exit at once.
        Swarm {
            names: &["ps-mayfly"],
            processes: processes(127, 2_503),
            client: "none",
            server: "drain",
            is_exec: false,
        },
        Swarm {
            names: &["ps-fetch", "ps-poll"],
            processes: processes(127, 2_503),
            client: "send:17,receive:13",
            server: "receive:17,send:13,drain",
            is_exec: true,
        },
    ];
    let programs = Programs::new(swarms[2].names);
    let stage = Stage::set();
    let namespace = Namespace::new();
    let brief: u64 =
        swarms.iter().map(|swarm| swarm.run(stage.within(&namespace), programs.folder())).sum();
    stage.agent.settle();
    let expect: BTreeMap<&str, u64> = swarms.iter().flat_map(Swarm::expect).collect();
    check(&stage.agent.edges(), &expect, brief);
    assert_eq!(stage.agent.metrics().get("plainsight_lost_total", &[]), Ok(0));
}

/// A virtual machine without hardware support takes long to start each of them.
fn processes(small: u64, full_count: u64) -> u64 {
    if is_guest() { 31 } else { count(small, full_count) }
}

/// They share a cgroup that says nothing of them, as all that somebody starts from a shell does.
#[test]
fn programs_of_one_session_are_told_apart() {
    const CONNECTIONS: u64 = 23;
    let stage = Stage::set();
    let session = stage.cgroup.child("session-7.scope");
    let listen = "127.0.0.1:0".parse().expect("an address");
    let steps = "receive:31,send:17,drain";
    let (server, to) = Peer::serve(stage.place(), "ps-server", listen, 2 * CONNECTIONS, steps);
    let ask =
        |name| Peer::connect(Place::of(&session), name, to, CONNECTIONS, "send:31,receive:17");
    for client in ["curl", "wget"].map(ask) {
        assert_eq!(client.finish().connections, CONNECTIONS);
    }
    assert_eq!(server.finish().connections, 2 * CONNECTIONS);
    stage.agent.settle();
    let edges = stage.agent.edges();
    assert_eq!(edges.len(), 2, "{edges:?}");
    for name in ["curl", "wget"] {
        let edge = one(&edges, name, "ps-server").expect("one edge");
        let expect = [CONNECTIONS, 0, CONNECTIONS * 31, CONNECTIONS * 17];
        report(&format!("{name} in a session's scope"), format!("{expect:?}"), {
            format!("{:?}", edge.counts())
        });
        assert_eq!(edge.counts(), expect, "{}", edge.0);
        assert_eq!(edge.0["client"]["kind"], "process", "{}", edge.0);
    }
    // A service is one workload, whatever it starts.
    let service = stage.cgroup.child("tests.service");
    let (server, to) = Peer::serve(Place::of(&service), "ps-server", listen, 1, steps);
    Peer::connect(Place::of(&service), "curl", to, 1, "send:31,receive:17").finish();
    server.finish();
    stage.agent.settle();
    let edges = stage.agent.edges();
    one(&edges, "tests.service", "tests.service").expect("one edge");
}

fn check(edges: &[Edge], expect: &BTreeMap<&str, u64>, brief: u64) {
    let mut found: BTreeMap<&str, u64> = BTreeMap::new();
    for edge in edges {
        *found.entry(edge.client()).or_default() += edge.number("connections");
        assert_eq!(edge.server(), "ps-server", "{}", edge.0);
    }
    let total: u64 = expect.values().sum();
    let rightly: u64 =
        expect.iter().map(|(name, most)| found.get(name).map_or(0, |is| *is.min(most))).sum();
    // Too many of one name are somebody else's.
    let too_many: u64 = expect
        .iter()
        .map(|(name, most)| found.get(name).map_or(0, |is| is.saturating_sub(*most)))
        .sum();
    let strangers = edges.iter().filter(|edge| !expect.contains_key(edge.client()));
    let wrongly: u64 = too_many
        + strangers
            .filter(|edge| {
                edge.0["client"]["kind"] == "process" && !edge.client().starts_with("cgroup/")
            })
            .map(|edge| edge.number("connections"))
            .sum::<u64>();
    report(
        &format!("{total} processes, {brief} of them gone within 10 ms: rightly, wrongly named"),
        "at least 99.9 %, 0",
        format!("{:.2} % ({rightly}), {wrongly}", rightly as f64 * 100.0 / total as f64),
    );
    assert_eq!(wrongly, 0, "{found:?}");
    assert!(rightly * 1000 >= total * 999, "{found:?}, expected {expect:?}");
}
