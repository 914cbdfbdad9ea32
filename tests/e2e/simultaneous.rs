//! Both ends connect, and nobody listens (RFC 9293, section 3.5).
//!
//! The second end gets its address only after the first end's SYN is on its way. So that SYN waits
//! for the neighbour's link address, which the second end tells when it asks for the first one's:
//! by then both have sent a SYN, each time.

use std::net::{IpAddr, SocketAddr};

use plainsight_tests::harness::{Link, Namespace, Observer, Peer, Stage, Tally, report};

/// What the first end writes, and the second.
const FIRST: u64 = 1009;
const SECOND: u64 = 503;
const PORTS: [u16; 2] = [30_011, 30_013];

#[test]
fn over_ipv4() {
    check("IPv4", |link, end| link.v4[end].into());
}

#[test]
fn over_ipv6() {
    check("IPv6", |link, end| link.v6[end].into());
}

/// A socket that connects to its own port has a connection with itself: both ends are one.
#[test]
fn with_itself() {
    let stage = Stage::set();
    let namespace = Namespace::new();
    let own = "127.0.0.1:30011";
    let meet = format!("meet --from {own} --to {own} --steps send:{FIRST},receive:{FIRST}");
    let mut peer = Peer::start(stage.within(&namespace), "ps-self", &meet);
    peer.waits();
    assert_eq!(peer.finish(), Tally::of(1, FIRST, FIRST));
    stage.agent.settle();
    let edges = stage.agent.edges();
    let counts: Vec<_> = edges.iter().map(|edge| (edge.client(), edge.counts())).collect();
    report("a connection with itself", "1 edge", format!("{counts:?}"));
    assert_eq!(counts, [("ps-self", [1, 0, FIRST, FIRST])], "{edges:?}");
    assert_eq!(edges[0].number("server_port"), u64::from(PORTS[0]), "{}", edges[0].0);
    assert_eq!(stage.agent.metrics().get("plainsight_lost_total", &[]), Ok(0));
}

fn check(what: &str, address: impl Fn(&Link, usize) -> IpAddr) {
    let stage = Stage::set();
    let (near, far) = (Namespace::new(), Namespace::new());
    let link = near.join_before_addresses(&far);
    near.add_addresses(&link, 0);
    let [first, second] = [0, 1].map(|end| SocketAddr::new(address(&link, end), PORTS[end]));
    let mut observer = Observer::start(&stage.agent, &["--cidr", &first.ip().to_string()]);
    let meet = |from, to, steps: String| format!("meet --from {from} --to {to} --steps {steps}");
    let steps = format!("send:{FIRST},receive:{SECOND},shutdown,drain");
    let mut one = Peer::start(stage.within(&near), "ps-first", &meet(first, second, steps));
    one.waits();
    far.add_addresses(&link, 1);
    let steps = format!("receive:{FIRST},send:{SECOND},drain");
    let mut other = Peer::start(stage.within(&far), "ps-second", &meet(second, first, steps));
    other.waits();
    assert_eq!(one.finish(), Tally::of(1, SECOND, FIRST));
    assert_eq!(other.finish(), Tally::of(1, FIRST, SECOND));
    stage.agent.settle();
    for record in observer.records(2) {
        assert_eq!(record.close(), "fin", "{}", record.0);
    }
    let edges = stage.agent.edges();
    let shown: Vec<_> =
        edges.iter().map(|edge| (edge.client(), edge.server(), edge.counts())).collect();
    report(&format!("simultaneous open over {what}"), "1 edge", format!("{shown:?}"));
    // Either may be taken for the client, but not both.
    let from_first = ("ps-first", "ps-second", [1, 0, FIRST, SECOND]);
    let from_second = ("ps-second", "ps-first", [1, 0, SECOND, FIRST]);
    assert!(shown == [from_first] || shown == [from_second], "{shown:?}");
    assert_eq!(stage.agent.metrics().get("plainsight_lost_total", &[]), Ok(0));
}
