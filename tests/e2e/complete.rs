//! Records of every connection: each is there, or counted where it was lost.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use plainsight_tests::harness::{
    Namespace, Observed, Observer, Peer, Stage, count, full, is_guest, only, report,
};

/// Both ends are on this host, and each has its record.
const ENDS: u64 = 2;

/// Bytes of a record in the ring: its own, and the kernel's header (Documentation/bpf/ringbuf.rst).
const RECORD: u64 = 176 + 8;

/// A small ring, so that few connections fill it.
const RING: u64 = 65_536;

/// What became of the records of connections.
#[derive(Debug, PartialEq, Eq)]
struct Records {
    wanted: u64,
    seen: u64,
    /// For which the ring had no room.
    ring_full: u64,
    /// That the observer read too slowly for.
    slow: u64,
}

#[test]
fn at_two_thousand_a_second() {
    let records = follow(count(2_003, 10_007), Some(2_000));
    assert_eq!(records.seen, records.wanted, "nothing is lost at this rate: {records:?}");
}

#[test]
fn at_five_thousand_a_second() {
    let records = follow(count(5_003, 50_021), Some(5_000));
    assert_eq!(records.seen, records.wanted, "nothing is lost at this rate: {records:?}");
}

#[test]
fn as_fast_as_can_be() {
    follow(count(10_007, 100_003), None);
}

/// The agent reads nothing while more records come than the ring has room for.
#[test]
fn while_the_agent_stands_still() {
    let stage = Stage::with(&["--ring-bytes", &RING.to_string()]);
    let namespace = Namespace::new();
    let mut observer = Observer::start(&stage.agent, &[]);
    stage.agent.pause();
    let (start, mut connections) = (Instant::now(), 0);
    // The ring is full after the first turn; in full the agent stands still for ten seconds.
    let least = Duration::from_secs(if full() { 10 } else { 0 });
    while connections == 0 || start.elapsed() < least {
        connections += load(&stage, &namespace, 503, None);
    }
    let stood = start.elapsed();
    assert!(connections * ENDS * RECORD > RING, "{connections} connections fill the ring");
    stage.agent.resume();
    connections += load_one(&stage, &namespace);
    let records = account(&stage, &mut observer, connections);
    report(
        &format!("an agent that stands still for {stood:.1?}: {connections} connections' records"),
        format!("{} seen or lost, exactly", ENDS * connections),
        format!("{records:?}"),
    );
    assert_ne!(records.ring_full, 0, "{records:?}");
    check_edge(&stage, connections);
    observer.end(&stage.agent);
}

/// Follows everything, and finds a record of each end of each connection, or its loss.
fn follow(connections: u64, rate: Option<u64>) -> Records {
    let connections = if is_guest() { connections.min(503) } else { connections };
    let stage = Stage::set();
    let namespace = Namespace::new();
    let mut observer = Observer::start(&stage.agent, &[]);
    let start = Instant::now();
    load(&stage, &namespace, connections, rate);
    let reached = connections as f64 / start.elapsed().as_secs_f64();
    let connections = connections + load_one(&stage, &namespace);
    let records = account(&stage, &mut observer, connections);
    report(
        &format!("records of {connections} connections at {reached:.0} a second"),
        format!("{} seen or lost, exactly", ENDS * connections),
        format!("{records:?}"),
    );
    check_edge(&stage, connections);
    observer.end(&stage.agent);
    records
}

/// Connections in which each side says something; as many as asked for.
fn load(stage: &Stage, namespace: &Namespace, connections: u64, rate: Option<u64>) -> u64 {
    let place = stage.within(namespace);
    let listen = "127.0.0.1:30011".parse().expect("an address");
    let steps = "receive:13,send:17,drain";
    let (server, to) = Peer::serve(place, "ps-server", listen, connections, steps);
    let pace = rate.map(|rate| format!(" --rate {rate}")).unwrap_or_default();
    let command =
        format!("connect --to {to} --connections {connections} --steps send:13,receive:17{pace}");
    let client = Peer::start(place, "ps-client", &command).finish();
    assert_eq!((client.connections, server.finish().connections), (connections, connections));
    connections
}

/// One more, because an observer is told what it missed before its next record.
fn load_one(stage: &Stage, namespace: &Namespace) -> u64 {
    stage.agent.settle();
    load(stage, namespace, 1, None)
}

/// Waits until all that was wanted was seen or counted as lost, and adds it up.
fn account(stage: &Stage, observer: &mut Observer, connections: u64) -> Records {
    stage.agent.settle();
    let metrics = stage.agent.metrics();
    let wanted = metrics.get("plainsight_records_wanted_total", &[]).expect("a count");
    assert_eq!(wanted, ENDS * connections, "every end was asked for");
    let lost = |stage, reason| {
        let labels = [("stage", stage), ("reason", reason)];
        metrics.get("plainsight_lost_total", &labels).expect("a count of losses")
    };
    let (ring_full, slow) = (lost("ring", "connection"), lost("agent", "observer_slow"));
    assert_eq!(lost("ring", "first_seen") + ring_full + slow, all_lost(stage), "other losses");
    let received = [("kind", "connection")];
    let received = metrics.get("plainsight_events_received_total", &received);
    assert_eq!(received, Ok(wanted - ring_full), "what was not taken from the ring was not in it");
    observer.wait_for(wanted - ring_full - slow);
    let observed = observer.observed();
    assert_eq!(observed.missed, slow, "it was told of all that it missed");
    check_records(&observed);
    let seen = observed.records.len() as u64;
    assert_eq!(seen + ring_full + slow, wanted, "each record was seen or lost, once");
    Records { wanted, seen, ring_full, slow }
}

fn all_lost(stage: &Stage) -> u64 {
    stage.agent.metrics().get("plainsight_lost_total", &[]).expect("a count of losses")
}

/// No record comes twice, and each is of the connections that were made.
fn check_records(observed: &Observed) {
    let mut cookies = BTreeSet::new();
    for record in &observed.records {
        assert_eq!((record.close(), record.bytes()), ("fin", [13, 17]), "{}", record.0);
        let cookie = record.0["flow"]["socket_cookie"].as_u64();
        assert!(cookies.insert(cookie.expect("a cookie")), "twice: {}", record.0);
    }
}

fn check_edge(stage: &Stage, connections: u64) {
    let edges = stage.agent.edges();
    let edge = only(&edges, "ps-client", "ps-server").expect("one edge");
    let expect = [connections, 0, 13 * connections, 17 * connections];
    assert_eq!(edge.counts(), expect, "{}", edge.0);
}
