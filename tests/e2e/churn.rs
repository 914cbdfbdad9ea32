//! Cost follows edges: very many short connections, a handful of events, and sums that stay right.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use plainsight_tests::harness::{
    Busy, Namespace, Peer, Place, Stage, Tally, count, full, is_guest, only, report, until,
};

/// Processor time of the agent over a while.
#[derive(Clone, Copy, Debug)]
struct Work {
    busy: Busy,
    wall: Duration,
}

/// Events that may cross the ring for one edge: both halves, with and without a class, and some.
const MOST_EVENTS: u64 = 10;

/// Nanoseconds of the agent's processor time for each connection, beyond what it takes at rest.
/// Fewer connections than the full count are lost in what other programs do to its caches.
const MOST_NS: u64 = 50;

/// How often an agent at rest is put on a processor before its rest has been measured.
const TURNS_AT_REST: u64 = 31;

// === impl Work ===

impl Work {
    /// What the agent of this stage does while `other` runs.
    fn during<T>(stage: &Stage, other: impl FnOnce() -> T) -> (Self, T) {
        let (before, start) = (Busy::of(stage.agent.pid()), Instant::now());
        let result = other();
        let busy = Busy::of(stage.agent.pid()).since(before);
        (Self { busy, wall: start.elapsed() }, result)
    }

    /// Nanoseconds that go beyond those at rest.
    fn beyond(&self, rest: &Self) -> u64 {
        let share = self.wall.as_secs_f64() / rest.wall.as_secs_f64();
        self.busy.ns.saturating_sub((rest.busy.ns as f64 * share) as u64)
    }
}

#[test]
fn short_connections_cost_no_events() {
    let connections = if is_guest() { 2_003 } else { count(10_007, 1_000_003) };
    let stage = Stage::set();
    // What waits in TIME_WAIT afterwards goes with the namespace. Elsewhere it would fill the table
    // for that, and the kernel would answer other tests' last segments by resets.
    let namespace = Namespace::new();
    let (work, (client, server)) = Work::during(&stage, || {
        let (server, client) = begin(stage.within(&namespace), connections);
        (client.finish(), server.finish())
    });
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
    check_work(&stage, &work, connections);
}

/// Compares it with the agent at rest, with the same map and nobody who asks for it.
fn check_work(stage: &Stage, work: &Work, connections: u64) {
    let process = stage.agent.pid();
    let before = Busy::of(process);
    let (rest, ()) = Work::during(stage, || {
        until("an agent at rest", || match Busy::of(process).since(before).turns {
            turns if turns < TURNS_AT_REST => Err(format!("{turns} turns")),
            _ => Ok(()),
        });
    });
    let each = work.beyond(&rest) as f64 / connections as f64;
    report(
        &format!("the agent's processor time for each of {connections} connections"),
        format!("at most {MOST_NS} ns"),
        format!("{each:.1} ns; in all {:?}, at rest {:?}", work, rest),
    );
    if full() {
        assert!(each <= MOST_NS as f64, "{each} ns");
    }
}

#[test]
fn the_balance_holds_at_work() {
    // Enough to be looked at more than once.
    let connections = if is_guest() { 5_003 } else { count(30_011, 200_003) };
    let stage = Stage::set();
    let namespace = Namespace::new();
    let (server, client) = begin(stage.within(&namespace), connections);
    let is_over = AtomicBool::new(false);
    let scans = thread::scope(|scope| {
        scope.spawn(|| {
            client.finish();
            server.finish();
            is_over.store(true, Ordering::Release);
        });
        let mut scans = 0;
        while !is_over.load(Ordering::Acquire) {
            stage.agent.scan();
            let metrics = stage.agent.metrics();
            assert_eq!(metrics.get("plainsight_balance_error", &[]), Ok(0));
            scans += 1;
        }
        scans
    });
    report("scans in the midst of connections without a difference", "at least 2", scans);
    assert!(scans >= 2, "{scans} scans");
}

/// A server, and a client that asks it 13 bytes and gets 17, so many times.
fn begin(place: Place<'_>, connections: u64) -> (Peer, Peer) {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) =
        Peer::serve(place, "ps-server", listen, connections, "receive:13,send:17,drain");
    (server, Peer::connect(place, "ps-client", to, connections, "send:13,receive:17"))
}
