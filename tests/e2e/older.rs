//! What was there before the agent: servers get their names, connections are left alone.

use plainsight_tests::harness::{
    Agent, Cgroup, Namespace, Peer, Place, Stage, Tally, only, report,
};

const CONNECTIONS: u64 = 23;

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

#[test]
fn a_connection_older_than_the_agent_is_left_alone() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let place = Place::of(&cgroup);
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) = Peer::serve(place, "ps-server", listen, 1, "receive:62,send:31,drain");
    let steps = "send:31,wait,send:31,receive:31";
    let mut client = Peer::connect(place, "ps-client", to, 1, steps);
    client.waits();
    let agent = Agent::start(&cgroup, &[]);
    client.proceed();
    assert_eq!(client.finish().without_ports(), Tally::of(1, 31, 62));
    assert_eq!(server.finish(), Tally::of(1, 62, 31));
    agent.settle();
    assert!(agent.edges().is_empty(), "it is on no edge: {:?}", agent.edges());
    let metrics = agent.metrics();
    assert!(metrics.get("plainsight_segments_older_total", &[]).expect("a count") > 0);
    assert_eq!(metrics.get("plainsight_connections_closed_total", &[]), Ok(0));
    assert_eq!(metrics.get("plainsight_lost_total", &[]), Ok(0));
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
