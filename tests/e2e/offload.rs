//! Large transfers with segmentation left to the link and without: what hooks see are few large
//! segments or very many small ones, and the bytes are the same.

use std::net::{IpAddr, SocketAddr};

use plainsight_tests::harness::{
    Link, Namespace, Offload, Peer, Stage, Tally, count, is_guest, only, report,
};

/// The largest payload of a segment on the link, whose packets are of 1500 bytes.
const MOST: u64 = 1460;

#[test]
fn with_it_over_ipv4() {
    check("IPv4, with offload", true, |link| link.v4[1].into());
}

#[test]
fn with_it_over_ipv6() {
    check("IPv6, with offload", true, |link| link.v6[1].into());
}

#[test]
fn without_it_over_ipv4() {
    check("IPv4, without offload", false, |link| link.v4[1].into());
}

#[test]
fn without_it_over_ipv6() {
    check("IPv6, without offload", false, |link| link.v6[1].into());
}

fn check(what: &str, is_on: bool, address: impl Fn(&Link) -> IpAddr) {
    let (up, down) = if is_guest() {
        (1_000_003, 1_000_033)
    } else {
        (count(10_000_019, 100_000_007), count(10_000_079, 100_000_037))
    };
    let stage = Stage::set();
    let (near, far) = (Namespace::new(), Namespace::new());
    let link = near.join(&far);
    for end in [&near, &far] {
        for offload in [Offload::Tso, Offload::Gso] {
            end.set_offload(offload, is_on);
        }
    }
    let listen = SocketAddr::new(address(&link), 30_011);
    let steps = format!("receive:{up},send:{down},drain");
    let (server, to) = Peer::serve(stage.within(&far), "ps-server", listen, 1, &steps);
    let steps = format!("send:{up},receive:{down}");
    let client = Peer::connect(stage.within(&near), "ps-client", to, 1, &steps).finish();
    assert_eq!(client.without_ports(), Tally::of(1, down, up));
    assert_eq!(server.finish(), Tally::of(1, up, down));
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = only(&edges, "ps-client", "ps-server").expect("one edge");
    let difference =
        [edge.number("bytes_sent").abs_diff(up), edge.number("bytes_received").abs_diff(down)];
    let packets = far.packets_received();
    report(
        &format!("{what}: difference of {up} bytes up and {down} down"),
        "[0, 0]",
        format!("{difference:?} in {packets} packets up"),
    );
    assert_eq!(edge.counts(), [1, 0, up, down], "{}", edge.0);
    // Each packet is a segment that fits the link, or most are far larger.
    assert_eq!(packets < up / MOST, is_on, "{packets} packets for {up} bytes");
}
