//! Connections between two network namespaces joined by a veth pair, where segments are large and
//! both ends see them.

use std::net::{IpAddr, SocketAddr};

use plainsight_tests::harness::{Link, Namespace, Peer, Stage, Tally, count, only, report};

const CONNECTIONS: u64 = 23;
const QUESTION: u64 = 1009;
const ANSWER: u64 = 10_007;

#[test]
fn many_connections_over_ipv4() {
    many("IPv4", |link| link.v4[1].into());
}

#[test]
fn many_connections_over_ipv6() {
    many("IPv6", |link| link.v6[1].into());
}

#[test]
fn one_large_connection_over_ipv4() {
    large("IPv4", |link| link.v4[1].into());
}

#[test]
fn one_large_connection_over_ipv6() {
    large("IPv6", |link| link.v6[1].into());
}

fn many(what: &str, address: impl Fn(&Link) -> IpAddr) {
    check(what, address, CONNECTIONS, QUESTION, ANSWER);
}

fn large(what: &str, address: impl Fn(&Link) -> IpAddr) {
    check(what, address, 1, count(5_000_011, 100_000_007), count(7_000_003, 100_000_037));
}

fn check(
    what: &str,
    address: impl Fn(&Link) -> IpAddr,
    connections: u64,
    question: u64,
    answer: u64,
) {
    let stage = Stage::set();
    let (near, far) = (Namespace::new(), Namespace::new());
    let listen = SocketAddr::new(address(&near.join(&far)), 7001);
    let steps = format!("receive:{question},send:{answer},drain");
    let far = stage.within(&far);
    let (server, to) = Peer::serve(far, "ps-server", listen, connections, &steps);
    let steps = format!("send:{question},receive:{answer}");
    let client = Peer::connect(stage.within(&near), "ps-client", to, connections, &steps).finish();
    let server = server.finish();
    let (sent, received) = (connections * question, connections * answer);
    assert_eq!(client.without_ports(), Tally::of(connections, received, sent));
    assert_eq!(server, Tally::of(connections, sent, received));
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = only(&edges, "ps-client", "ps-server").expect("one edge");
    let expect = [connections, 0, sent, received];
    report(
        &format!("{what} between namespaces: connections, open, bytes"),
        format!("{expect:?}"),
        format!("{:?}", edge.counts()),
    );
    assert_eq!(edge.counts(), expect, "{}", edge.0);
    assert_eq!((edge.reporters(), edge.text("scope")), (vec!["client", "server"], "host"));
    assert_eq!(edge.text("server_address"), to.ip().to_string());
}
