//! MPTCP connections of two subflows: each subflow is a TCP connection, and counted as one.
//!
//! A kernel thread opens the second one. It is in the cgroup of the application's socket, but not
//! of the process, so it may be without the process's name and must not have another's.

use std::{net::Ipv4Addr, path::Path};

use plainsight_tests::harness::{Namespace, Peer, Stage, report, skip, until};

const FIRST: u64 = 1009;
const MORE: u64 = 1_000_003;
const ANSWER: u64 = 503;

#[test]
fn both_subflows_are_counted() {
    const NEEDED: &str = "/proc/sys/net/mptcp/enabled";
    if !Path::new(NEEDED).exists() {
        return skip("MPTCP with two subflows", &format!("this kernel has no {NEEDED}"));
    }
    let stage = Stage::set();
    let (near, far) = (Namespace::new(), Namespace::new());
    let link = near.join(&far);
    near.allow_subflow(Some(Ipv4Addr::new(10, 77, 0, 3)));
    far.allow_subflow(None);
    let total = FIRST + MORE;
    let serve = format!(
        "serve --listen {}:30011 --connections 1 --mptcp yes \
         --steps receive:{total},send:{ANSWER},drain",
        link.v4[1]
    );
    let mut server = Peer::start(stage.within(&far), "ps-server", &serve);
    let connect = format!(
        "connect --to {} --connections 1 --mptcp yes \
         --steps send:{FIRST},wait,send:{MORE},receive:{ANSWER}",
        server.address()
    );
    let mut client = Peer::start(stage.within(&near), "ps-client", &connect);
    client.waits();
    until("a second subflow", || match far.counters().get("MPJoinAckRx") {
        Some(1) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    client.proceed();
    assert_eq!((client.finish().written, server.finish().read), (total, total));
    stage.agent.settle();
    check(&stage, &near, total);
}

fn check(stage: &Stage, near: &Namespace, total: u64) {
    let edges = stage.agent.edges();
    let shown: Vec<_> =
        edges.iter().map(|edge| (edge.client(), edge.server(), edge.counts())).collect();
    report(
        "MPTCP with two subflows: connections, open, bytes",
        format!("[2, 0, {total}, {ANSWER}] in all"),
        format!("{shown:?}"),
    );
    let sum = |key: &str| edges.iter().map(|edge| edge.number(key)).sum::<u64>();
    assert_eq!((sum("connections"), sum("open"), sum("failures")), (2, 0, 0), "{shown:?}");
    assert!(edges.iter().all(|edge| edge.server() == "ps-server"), "{shown:?}");
    let is_known = |name: &str| name == "ps-client" || name.starts_with("cgroup/");
    assert!(edges.iter().all(|edge| is_known(edge.client())), "{shown:?}");
    assert!(edges.iter().any(|edge| edge.client() == "ps-client"), "{shown:?}");
    // What goes over the other subflow once more is payload of that connection too.
    let again = near.counters()["MPTCPRetrans"];
    let bytes = (sum("bytes_sent"), sum("bytes_received"));
    assert!(bytes == (total, ANSWER) || again > 0 && bytes.0 > total, "{again} again: {shown:?}");
    assert_eq!(stage.agent.metrics().get("plainsight_lost_total", &[]), Ok(0));
}
