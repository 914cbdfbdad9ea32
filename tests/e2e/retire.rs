//! Edges that nobody uses any more leave the map; those with open connections stay, with all they
//! ever counted.

use plainsight_tests::harness::{Edge, Peer, Stage, Tally, one, report};

const HELD: u64 = 7;
const SHORT: u64 = 23;

#[test]
fn idle_edges_leave_and_open_ones_stay() {
    let stage = Stage::with(&["--edge-idle", "3s"]);
    let accept = format!("hold --listen 127.0.0.1:0 --connections {HELD} --say 31");
    let mut server = Peer::start(stage.place(), "ps-holder", &accept);
    let open = format!("hold --to {} --connections {HELD} --say 17", server.address());
    let mut client = Peer::start(stage.place(), "ps-held", &open);
    client.waits();
    server.waits();
    short(&stage);
    let kept = stage.agent.edges_until("the end of the idle edge", |edges| only_held(edges, HELD));
    // They have been moved to another generation, and end there.
    for peer in [&mut client, &mut server] {
        peer.proceed();
        peer.waits();
    }
    for mut peer in [client, server] {
        peer.proceed();
        peer.finish();
    }
    let ended = stage.agent.edges_until("the end of what was held", |edges| only_held(edges, 0));
    report(
        "7 connections held over a retirement: connections, open, before and after they ended",
        format!("[{HELD}, {HELD}] and [{HELD}, 0]"),
        format!("{:?} and {:?}", &kept[..2], &ended[..2]),
    );
    stage.agent.edges_until("the end of all edges", |edges| match edges.len() {
        0 => Ok(()),
        _ => Err(format!("{edges:?}")),
    });
    stage.agent.settle();
    let metrics = stage.agent.metrics();
    assert_eq!(metrics.get("plainsight_map_entries", &[("map", "EDGES")]), Ok(0));
    assert_eq!(metrics.get("plainsight_connections_opened_total", &[]), Ok(2 * (HELD + SHORT)));
    assert_eq!(metrics.get("plainsight_lost_total", &[]), Ok(0));
}

fn short(stage: &Stage) {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) = Peer::serve(stage.place(), "ps-server", listen, SHORT, "receive:31,drain");
    let client = Peer::connect(stage.place(), "ps-short", to, SHORT, "send:31").finish();
    assert_eq!(client.without_ports(), Tally::of(SHORT, 0, 31 * SHORT));
    server.finish();
}

/// Nothing but the edge of what is held, with so many open.
fn only_held(edges: &[Edge], open: u64) -> Result<[u64; 4], String> {
    let counts = one(edges, "ps-held", "ps-holder")?.counts();
    if edges.len() == 1 && counts[..2] == [HELD, open] {
        return Ok(counts);
    }
    Err(format!("{edges:?}"))
}
