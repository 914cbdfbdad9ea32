//! What was there before the agent: servers get their names, connections are told to be older.

use std::time::{Duration, Instant};

use plainsight_tests::harness::{
    Agent, Cgroup, Edge, Namespace, Peer, Place, Stage, count, is_guest, one, only, report,
};

const CONNECTIONS: u64 = 23;

/// How soon older connections are on the map.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_server_older_than_the_agent_has_its_name() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    check(Place::of(&cgroup), &cgroup, "127.0.0.1:0");
}

#[test]
fn a_server_older_than_the_agent_has_its_name_over_ipv6() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    check(Place::of(&cgroup), &cgroup, "[::1]:0");
}

#[test]
fn a_server_older_than_the_agent_has_its_name_in_another_namespace() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let namespace = Namespace::new();
    check(Place::of(&cgroup).within(&namespace), &cgroup, "127.0.0.1:0");
}

/// Half of them say nothing before they end, so that no packet tells of them.
#[test]
fn connections_older_than_the_agent_are_on_the_map() {
    let _alone = Stage::alone();
    let each = count(53, 503);
    let cgroup = Cgroup::new();
    let namespace = Namespace::new();
    let idle = Held::open(Place::of(&cgroup), "ps-idle", each, "");
    let mut busy = Held::open(Place::of(&cgroup).within(&namespace), "ps-busy", each, " --say 31");
    let begin = Instant::now();
    let agent = Agent::start(&cgroup, &[]);
    for name in ["ps-idle", "ps-busy"] {
        agent.edges_until("older connections on the map", |edges| {
            expect(edges, name, [each, each, 0, 0])
        });
    }
    let took = begin.elapsed();
    report(
        &format!("{} connections older than the agent, half of them idle: on the map", 2 * each),
        format!("all, joined late, within {SOON:?}"),
        format!("all, joined late, within {took:.1?} of the agent's start"),
    );
    // A virtual machine without hardware support promises no time.
    assert!(took <= SOON || is_guest(), "{took:?}");
    busy.speak();
    idle.end();
    busy.end();
    agent.settle();
    agent.edges_until("their end", |edges| {
        expect(edges, "ps-idle", [each, 0, 0, 0])?;
        expect(edges, "ps-busy", [each, 0, each * 31, each * 31])
    });
    let metrics = agent.metrics();
    assert_eq!(metrics.get("plainsight_connections_adopted_total", &[]), Ok(4 * each));
    assert_eq!(metrics.get("plainsight_lost_total", &[]), Ok(0));
}

/// Connections that are there before the agent.
struct Held {
    client: Peer,
    server: Peer,
}

// === impl Held ===

impl Held {
    fn open(place: Place<'_>, name: &str, connections: u64, say: &str) -> Self {
        let accept = format!("hold --listen 127.0.0.1:0 --connections {connections}{say}");
        let mut server = Peer::start(place, "ps-older", &accept);
        let open = format!("hold --to {} --connections {connections}{say}", server.address());
        let mut client = Peer::start(place, name, &open);
        client.waits();
        server.waits();
        Self { client, server }
    }

    /// Both ends send on each connection.
    fn speak(&mut self) {
        for peer in [&mut self.client, &mut self.server] {
            peer.proceed();
            peer.waits();
        }
    }

    fn end(self) {
        for mut peer in [self.client, self.server] {
            peer.proceed();
            peer.finish();
        }
    }
}

/// One edge of this client, joined late, whose security nobody knows.
fn expect(edges: &[Edge], client: &str, counts: [u64; 4]) -> Result<(), String> {
    let edge = one(edges, client, "ps-older")?;
    let is_late = edge.0["joined_late"] == true && edge.0["complete"] == false;
    let is_unknown = (edge.text("security"), edge.text("state")) == ("unknown", "unknown");
    let is_joined = edge.reporters() == ["client", "server"];
    if is_late && is_unknown && is_joined && edge.counts() == counts {
        return Ok(());
    }
    Err(format!("not {counts:?}: {}", edge.0))
}

fn check(place: Place<'_>, cgroup: &Cgroup, listen: &str) {
    let listen = listen.parse().expect("an address");
    let steps = "receive:31,send:17,drain";
    let (server, to) = Peer::serve(place, "ps-server", listen, CONNECTIONS, steps);
    let agent = Agent::start(cgroup, &[]);
    Peer::connect(place, "ps-client", to, CONNECTIONS, "send:31,receive:17").finish();
    server.finish();
    agent.settle();
    let edges = agent.edges();
    let edge = only(&edges, "ps-client", "ps-server").expect("one edge");
    let expect = [CONNECTIONS, 0, CONNECTIONS * 31, CONNECTIONS * 17];
    report(
        "a server older than the agent: connections, open, bytes",
        format!("{expect:?}"),
        format!("{:?}", edge.counts()),
    );
    assert_eq!(edge.counts(), expect, "{}", edge.0);
    assert_eq!(edge.reporters(), ["client", "server"], "{}", edge.0);
}
