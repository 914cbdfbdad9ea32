//! As many connections a second, and at once, as are promised: each counted, none lost.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use plainsight_tests::harness::{Edge, Namespace, Peer, Stage, count, is_guest, only, report};

/// Connections a second.
const RATE: u64 = 20_000;

/// The client's own pace, a little more, because it takes a moment to start.
const PACE: u64 = 20_400;

/// How many processes hold connections at each side, because one may not have descriptors for all.
const HOLDERS: u64 = 5;

/// How soon all open connections are on the map.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn very_many_connections_a_second() {
    let connections = if is_guest() { 2_003 } else { count(40_009, 1_200_007) };
    let stage = Stage::set();
    let namespace = Namespace::new();
    let place = stage.within(&namespace);
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) = Peer::serve(place, "ps-server", listen, connections, "none");
    // A reset leaves no port in `TIME_WAIT`, of which there are not enough for so many.
    let command =
        format!("connect --to {to} --connections {connections} --rate {PACE} --steps reset");
    let client = Peer::start(place, "ps-client", &command);
    let start = Instant::now();
    let is_over = AtomicBool::new(false);
    let took = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let tallies = [client.finish(), server.finish()];
            let took = start.elapsed();
            is_over.store(true, Ordering::Release);
            (tallies, took)
        });
        while !is_over.load(Ordering::Acquire) {
            stage.agent.scan();
            assert_eq!(stage.agent.metrics().get("plainsight_balance_error", &[]), Ok(0));
        }
        let (tallies, took) = load.join().expect("the load ends");
        for tally in &tallies {
            assert_eq!((tally.connections, tally.failures.len()), (connections, 0));
        }
        took
    });
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = only(&edges, "ps-client", "ps-server").expect("one edge");
    let reached = connections as f64 / took.as_secs_f64();
    report(
        &format!("{connections} connections at {RATE} a second: counted, lost, rate reached"),
        format!("{connections}, 0, {RATE}"),
        format!("{}, {}, {reached:.0}", edge.number("connections"), lost(&stage)),
    );
    assert_eq!(edge.counts(), [connections, 0, 0, 0], "{}", edge.0);
    assert_eq!(edge.reporters(), ["client", "server"], "{}", edge.0);
    assert_eq!(lost(&stage), 0);
    let metrics = stage.agent.metrics();
    assert_eq!(metrics.get("plainsight_connections_opened_total", &[]), Ok(2 * connections));
    assert_eq!(metrics.get("plainsight_connections_paired_total", &[]), Ok(connections));
}

#[test]
fn very_many_connections_at_once() {
    let each = if is_guest() { 211 } else { count(1_009, 10_007) };
    let stage = Stage::set();
    let namespace = Namespace::new();
    let place = stage.within(&namespace);
    let (servers, clients): (Vec<Peer>, Vec<Peer>) = (0..HOLDERS)
        .map(|_| {
            let accept = format!("hold --listen 127.0.0.1:0 --connections {each}");
            let mut server = Peer::start(place, "ps-server", &accept);
            let open = format!("hold --to {} --connections {each}", server.address());
            let client = Peer::start(place, "ps-client", &open);
            (server, client)
        })
        .unzip();
    let mut peers: Vec<Peer> = clients.into_iter().chain(servers).collect();
    for peer in &mut peers {
        peer.waits();
    }
    let start = Instant::now();
    let all = HOLDERS * each;
    expect_open(&stage, all, all);
    let took = start.elapsed();
    report(
        &format!("{all} connections open at once: on the map"),
        format!("{all} within {SOON:?}"),
        format!("{all} within {took:.1?}"),
    );
    // A virtual machine without hardware support promises no time.
    assert!(took <= SOON || is_guest(), "{took:?}");
    for mut peer in peers {
        peer.proceed();
        assert_eq!(peer.finish().connections, each);
    }
    stage.agent.settle();
    expect_open(&stage, all, 0);
    assert_eq!(lost(&stage), 0);
}

/// One edge for each server's port, which together have these.
fn expect_open(stage: &Stage, connections: u64, open: u64) {
    stage.agent.edges_until("connections on the map", |edges| {
        let sum = |key: &str| edges.iter().map(|edge| edge.number(key)).sum::<u64>();
        let named = |edge: &Edge| (edge.client(), edge.server()) == ("ps-client", "ps-server");
        match (edges.len() as u64, sum("connections"), sum("open")) {
            found if found == (HOLDERS, connections, open) && edges.iter().all(named) => Ok(()),
            found => Err(format!("{found:?}: edges, connections, open")),
        }
    });
}

fn lost(stage: &Stage) -> u64 {
    stage.agent.metrics().get("plainsight_lost_total", &[]).expect("a count of losses")
}
