//! Connections over loopback: one edge, counted once, with the bytes both ends counted.

use std::net::SocketAddr;

use plainsight_tests::harness::{Peer, Stage, Tally, only, report};

/// A prime number of connections, each with payloads of prime lengths.
const CONNECTIONS: u64 = 23;
const QUESTION: u64 = 1009;
const ANSWER: u64 = 10_007;

#[test]
fn ipv4() {
    check("IPv4", "127.0.0.1:0", "127.0.0.1");
}

#[test]
fn ipv6() {
    check("IPv6", "[::1]:0", "::1");
}

#[test]
fn ipv4_through_an_ipv6_socket() {
    check("v4-mapped", "127.0.0.1:0", "::ffff:127.0.0.1");
}

fn check(what: &str, listen: &str, ask: &str) {
    let stage = Stage::set();
    let listen = listen.parse().expect("an address");
    let answer = format!("receive:{QUESTION},send:{ANSWER},drain");
    let (server, address) = Peer::serve(stage.place(), "ps-server", listen, CONNECTIONS, &answer);
    let ask = SocketAddr::new(ask.parse().expect("an address"), address.port());
    let question = format!("send:{QUESTION},receive:{ANSWER}");
    let client = Peer::connect(stage.place(), "ps-client", ask, CONNECTIONS, &question).finish();
    let server = server.finish();
    let (sent, received) = (CONNECTIONS * QUESTION, CONNECTIONS * ANSWER);
    assert_eq!(client.without_ports(), Tally::of(CONNECTIONS, received, sent));
    assert_eq!(server, Tally::of(CONNECTIONS, sent, received));
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = only(&edges, "ps-client", "ps-server").expect("one edge");
    let expect = [CONNECTIONS, 0, sent, received];
    report(&format!("{what} on loopback: connections, open, bytes"), format!("{expect:?}"), {
        format!("{:?}", edge.counts())
    });
    assert_eq!(edge.counts(), expect, "{}", edge.0);
    assert_eq!(edge.reporters(), ["client", "server"]);
    assert_eq!((edge.number("failures"), edge.text("scope")), (0, "loopback"));
    assert_eq!(edge.number("server_port"), u64::from(address.port()));
    assert_eq!(edge.text("server_address"), ask.ip().to_canonical().to_string());
}
