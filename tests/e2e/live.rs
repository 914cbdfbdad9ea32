//! Connections that last: on the map while they are open, with bytes that grow.
//!
//! A connection adds its bytes at its first segment after a scan, so what a quiet one carried since
//! then is not on the map until it speaks again or ends.

use plainsight_tests::harness::{Peer, Stage, one, report};

const ROUNDS: u64 = 5;
const QUESTION: u64 = 1009;
const ANSWER: u64 = 100_003;

#[test]
fn an_open_connection_is_on_the_map() {
    let stage = Stage::set();
    let listen = "127.0.0.1:0".parse().expect("an address");
    let times = ROUNDS as usize;
    let answers = vec![format!("receive:{QUESTION},send:{ANSWER}"); times].join(",");
    let (server, to) = Peer::serve(stage.place(), "ps-server", listen, 1, &(answers + ",drain"));
    let questions = vec![format!("send:{QUESTION},receive:{ANSWER},wait"); times].join(",");
    let mut client = Peer::connect(stage.place(), "ps-client", to, 1, &questions);
    let mut shown = [0, 0];
    for round in 1..=ROUNDS {
        client.waits();
        stage.agent.scan();
        let edges = stage.agent.edges();
        let edge = one(&edges, "ps-client", "ps-server").expect("one edge");
        let [connections, open, sent, received] = edge.counts();
        assert_eq!((connections, open), (1, 1), "{}", edge.0);
        let (before, now) = (carried(round - 1), carried(round));
        report(
            &format!("an open connection after round {round}: bytes"),
            format!("{before:?} to {now:?}"),
            format!("{:?}", [sent, received]),
        );
        for (at, bytes) in [sent, received].into_iter().enumerate() {
            assert!((before[at]..=now[at]).contains(&bytes), "{}", edge.0);
            assert!(bytes >= shown[at], "bytes never shrink: {}", edge.0);
            shown[at] = bytes;
        }
        client.proceed();
    }
    let written = [client.finish().written, server.finish().written];
    assert_eq!(written, carried(ROUNDS));
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = one(&edges, "ps-client", "ps-server").expect("one edge");
    assert_eq!(edge.counts(), [1, 0, ROUNDS * QUESTION, ROUNDS * ANSWER], "{}", edge.0);
}

#[test]
fn open_connections_are_counted_up_and_down() {
    let stage = Stage::set();
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) = Peer::serve(stage.place(), "ps-server", listen, 7, "receive:31,drain");
    let mut clients: Vec<Peer> = Vec::new();
    for open in 1..=7 {
        let mut client = Peer::connect(stage.place(), "ps-client", to, 1, "send:31,wait");
        client.waits();
        clients.push(client);
        expect_open(&stage, open, open);
    }
    for open in (0..7).rev() {
        let mut client = clients.pop().expect("seven clients");
        client.proceed();
        client.finish();
        // The server takes one connection after the other, so those that wait are open too.
        expect_open(&stage, 7, open);
    }
    drop(server);
}

/// Bytes sent and received by the end of a round.
fn carried(round: u64) -> [u64; 2] {
    [round * QUESTION, round * ANSWER]
}

fn expect_open(stage: &Stage, connections: u64, open: u64) {
    stage.agent.edges_until("a count of open connections", |edges| {
        let [found, still, ..] = one(edges, "ps-client", "ps-server")?.counts();
        if (found, still) == (connections, open) {
            return Ok(());
        }
        Err(format!("{found} connections, {still} open; not {connections} and {open}"))
    });
}
