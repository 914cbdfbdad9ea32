//! Datagrams: whoever sends the first is the client, and every one is on its edge.

use plainsight_tests::harness::{Namespace, Peer, Stage, Tally, only, report};

const DATAGRAMS: u64 = 211;
const CLIENTS: u64 = 23;
const QUESTIONS: u64 = 13;

#[test]
fn datagrams_on_loopback() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let stage = Stage::set();
        let echo = format!("udp-echo --listen {listen} --datagrams {DATAGRAMS}");
        let mut echo = Peer::start(stage.place(), "ps-echo", &echo);
        let to = echo.address();
        let ask = format!("udp-ask --to {to} --datagrams {DATAGRAMS} --bytes 1009");
        let ask = Peer::start(stage.place(), "ps-ask", &ask).finish();
        let bytes = DATAGRAMS * 1009;
        assert_eq!((ask, echo.finish()), (Tally::of(0, bytes, bytes), Tally::of(0, bytes, bytes)));
        check(&stage, listen, DATAGRAMS, 1009);
    }
}

/// Larger than a packet of the link: fragments are counted as the datagram they make.
#[test]
fn datagrams_in_fragments() {
    let (near, far) = (Namespace::new(), Namespace::new());
    let link = near.join(&far);
    for listen in [format!("{}:7001", link.v4[1]), format!("[{}]:7001", link.v6[1])] {
        let stage = Stage::set();
        let echo = format!("udp-echo --listen {listen} --datagrams {DATAGRAMS}");
        let mut echo = Peer::start(stage.within(&far), "ps-echo", &echo);
        let to = echo.address();
        let ask = format!("udp-ask --to {to} --datagrams {DATAGRAMS} --bytes 8009");
        Peer::start(stage.within(&near), "ps-ask", &ask).finish();
        echo.finish();
        check(&stage, &format!("between namespaces, {listen}"), DATAGRAMS, 8009);
    }
}

/// Each client has a socket of its own, the server one for all: it knows them apart by their ports.
#[test]
fn a_server_with_many_clients() {
    let stage = Stage::set();
    let datagrams = CLIENTS * QUESTIONS;
    let echo = format!("udp-echo --listen 127.0.0.1:0 --datagrams {datagrams}");
    let mut echo = Peer::start(stage.place(), "ps-echo", &echo);
    let to = echo.address();
    let ask = format!("udp-ask --to {to} --datagrams {QUESTIONS} --bytes 67");
    let clients: Vec<Peer> =
        (0..CLIENTS).map(|_| Peer::start(stage.place(), "ps-ask", &ask)).collect();
    clients.into_iter().for_each(|client| _ = client.finish());
    echo.finish();
    check(&stage, "a server with many clients", datagrams, 67);
}

/// Every question and its answer are on one edge, both ends have seen it, and the totals agree.
fn check(stage: &Stage, what: &str, datagrams: u64, bytes: u64) {
    stage.agent.settle();
    let expect = [datagrams, datagrams, datagrams * bytes, datagrams * bytes];
    let edges = stage.agent.edges();
    let edge = only(&edges, "ps-ask", "ps-echo").expect("one edge");
    let found = edge.datagrams();
    let title = format!("UDP {what}: datagrams and bytes, there and back");
    report(&title, format!("{expect:?}"), format!("{found:?}"));
    assert_eq!(found, expect, "{edge:?}");
    assert_eq!((edge.number("connections"), edge.number("open")), (0, 0));
    assert_eq!(edge.reporters(), ["client", "server"], "{edge:?}");
    let metrics = stage.agent.metrics();
    for direction in ["sent", "received"] {
        let get = |name| metrics.get(name, &[("direction", direction)]);
        assert_eq!(get("plainsight_udp_datagrams_total"), Ok(2 * datagrams), "{direction}");
        assert_eq!(get("plainsight_bytes_total"), Ok(2 * datagrams * bytes), "{direction}");
    }
    assert_eq!(metrics.get("plainsight_lost_total", &[]), Ok(0));
}
