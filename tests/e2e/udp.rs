//! Datagrams, which are counted before they have edges.

use plainsight_tests::harness::{Metrics, Namespace, Peer, Stage, Tally, report, until};

const DATAGRAMS: u64 = 211;

#[test]
fn datagrams_on_loopback() {
    let stage = Stage::set();
    let mut expect = 0;
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let echo = format!("udp-echo --listen {listen} --datagrams {DATAGRAMS}");
        let mut echo = Peer::start(stage.place(), "ps-echo", &echo);
        let to = echo.address();
        let ask = format!("udp-ask --to {to} --datagrams {DATAGRAMS} --bytes 1009");
        let ask = Peer::start(stage.place(), "ps-ask", &ask).finish();
        let bytes = DATAGRAMS * 1009;
        assert_eq!((ask, echo.finish()), (Tally::of(0, bytes, bytes), Tally::of(0, bytes, bytes)));
        // There and back.
        expect += 2 * DATAGRAMS;
        check(&stage, listen, expect, expect * 1009);
    }
}

/// Larger than a packet of the link: fragments are counted as the datagram they make.
#[test]
fn datagrams_in_fragments() {
    let stage = Stage::set();
    let (near, far) = (Namespace::new(), Namespace::new());
    let link = near.join(&far);
    let mut expect = 0;
    for listen in [format!("{}:7001", link.v4[1]), format!("[{}]:7001", link.v6[1])] {
        let echo = format!("udp-echo --listen {listen} --datagrams {DATAGRAMS}");
        let mut echo = Peer::start(stage.within(&far), "ps-echo", &echo);
        let to = echo.address();
        let ask = format!("udp-ask --to {to} --datagrams {DATAGRAMS} --bytes 8009");
        Peer::start(stage.within(&near), "ps-ask", &ask).finish();
        echo.finish();
        expect += 2 * DATAGRAMS;
        check(&stage, "between namespaces", expect, expect * 8009);
    }
}

fn check(stage: &Stage, what: &str, datagrams: u64, bytes: u64) {
    until("the count of datagrams", || match counts(&stage.agent.metrics())? {
        [sent, ..] if sent < datagrams => Err(format!("{sent} of {datagrams}")),
        _ => Ok(()),
    });
    stage.agent.scan();
    let expect = [datagrams, datagrams, bytes, bytes];
    let found = counts(&stage.agent.metrics()).expect("counts of datagrams");
    report(&format!("UDP {what}: datagrams and bytes"), format!("{expect:?}"), {
        format!("{found:?}")
    });
    assert_eq!(found, expect);
    assert!(stage.agent.edges().is_empty(), "UDP has no edges yet");
}

/// Datagrams sent and received, bytes sent and received.
fn counts(metrics: &Metrics) -> Result<[u64; 4], String> {
    let get = |name, direction| metrics.get(name, &[("direction", direction)]);
    Ok([
        get("plainsight_udp_datagrams_total", "sent")?,
        get("plainsight_udp_datagrams_total", "received")?,
        get("plainsight_udp_bytes_total", "sent")?,
        get("plainsight_udp_bytes_total", "received")?,
    ])
}
