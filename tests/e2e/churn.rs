//! Cost follows edges: very many short connections, a handful of events.

use plainsight_tests::harness::{Peer, Stage, Tally, count, only, report};

/// Events that may cross the ring for one edge: both halves, with and without a class, and some.
const MOST_EVENTS: u64 = 10;

#[test]
fn short_connections_cost_no_events() {
    let connections = count(10_007, 100_003);
    let stage = Stage::set();
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) =
        Peer::serve(stage.place(), "ps-server", listen, connections, "receive:13,send:17,drain");
    let client = Peer::connect(stage.place(), "ps-client", to, connections, "send:13,receive:17");
    let (client, server) = (client.finish(), server.finish());
    assert_eq!(client.without_ports(), Tally::of(connections, 17 * connections, 13 * connections));
    assert_eq!(server, Tally::of(connections, 13 * connections, 17 * connections));
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = only(&edges, "ps-client", "ps-server").expect("one edge");
    let expect = [connections, 0, 13 * connections, 17 * connections];
    assert_eq!(edge.counts(), expect, "{}", edge.0);
    let metrics = stage.agent.metrics();
    let events = metrics.get("plainsight_events_received_total", &[]).expect("a count of events");
    let wanted = format!("{expect:?}, at most {MOST_EVENTS} events");
    let measured = format!("{:?}, {events} events", edge.counts());
    report("short connections on one edge: connections, open, bytes", wanted, measured);
    assert!((1..=MOST_EVENTS).contains(&events), "{events} events");
    assert_eq!(metrics.get("plainsight_lost_total", &[]), Ok(0));
    assert_eq!(metrics.get("plainsight_connections_opened_total", &[]), Ok(2 * connections));
    assert_eq!(metrics.get("plainsight_connections_paired_total", &[]), Ok(connections));
}
