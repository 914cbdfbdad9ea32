//! A map of edges without room: what it cannot take is counted, and nothing else suffers.

use plainsight_tests::harness::{Peer, Place, Stage, Tally, report};

const MOST_EDGES: u64 = 3;
const CONNECTIONS: u64 = 11;

#[test]
fn what_finds_no_room_is_counted() {
    let stage = Stage::with(&["--max-edges", &MOST_EDGES.to_string(), "--edge-quota", "0"]);
    let listen = "127.0.0.1:0".parse().expect("an address");
    // Only the client is watched, so each connection would be one edge with one half. All servers
    // are there before the first client, so that each has a port of its own.
    let serve = |_| Peer::serve(Place::default(), "ps-server", listen, 1, "drain");
    let servers: Vec<_> = (0..CONNECTIONS).map(serve).collect();
    for (server, to) in servers {
        let client = Peer::connect(stage.place(), "ps-client", to, 1, "none").finish();
        assert_eq!(
            (client.without_ports(), server.finish()),
            (Tally::of(1, 0, 0), Tally::of(1, 0, 0))
        );
    }
    stage.agent.settle();
    let metrics = stage.agent.metrics();
    let get = |name: &str, labels: &[(&str, &str)]| metrics.get(name, labels).expect(name);
    let full = get("plainsight_lost_total", &[("stage", "edges"), ("reason", "full")]);
    let measured = (
        get("plainsight_connections_opened_total", &[]),
        get("plainsight_map_entries", &[("map", "EDGES")]),
        full,
    );
    report(
        "a map for 3 edges and 11 connections: opened, edges, refused",
        format!("{CONNECTIONS}, {MOST_EDGES}, {}", CONNECTIONS - MOST_EDGES),
        format!("{}, {}, {}", measured.0, measured.1, measured.2),
    );
    assert_eq!(measured, (CONNECTIONS, MOST_EDGES, CONNECTIONS - MOST_EDGES));
    assert_eq!(get("plainsight_lost_total", &[]), full, "nothing else was lost");
    let edges = stage.agent.edges();
    assert_eq!(edges.iter().map(|edge| edge.number("connections")).sum::<u64>(), MOST_EDGES);
    let answer = stage.agent.get("/api/v1/edges").json();
    assert_eq!(answer["complete"], false, "{answer}");
    assert_eq!(answer["lost"]["edges"]["full"], full, "{answer}");
}

/// With payload there are bytes and changes of class that find no room, too.
#[test]
fn bytes_that_find_no_edge_stay_in_the_balance() {
    let stage = Stage::with(&["--max-edges", &MOST_EDGES.to_string(), "--edge-quota", "0"]);
    for _ in 0..CONNECTIONS {
        let listen = "127.0.0.1:0".parse().expect("an address");
        let steps = "receive:36,say:http1-response,drain";
        let (server, to) = Peer::serve(stage.place(), "ps-server", listen, 1, steps);
        let steps = "say:http1-request,receive:38";
        Peer::connect(stage.place(), "ps-client", to, 1, steps).finish();
        server.finish();
    }
    stage.agent.settle();
    let metrics = stage.agent.metrics();
    assert_eq!(metrics.get("plainsight_connections_opened_total", &[]), Ok(2 * CONNECTIONS));
    assert_eq!(metrics.get("plainsight_connections_closed_total", &[]), Ok(2 * CONNECTIONS));
    for direction in ["sent", "received"] {
        let bytes = metrics.get("plainsight_bytes_total", &[("direction", direction)]);
        assert_eq!(bytes, Ok(CONNECTIONS * (36 + 38)), "{direction} by both ends");
    }
}
