//! The ways in which a connection ends, and what was carried before.
//!
//! Bytes are those that the other end acknowledged, and those that were received in order.

use std::{collections::BTreeMap, net::SocketAddr};

use plainsight_tests::harness::{Observer, Peer, Record, Stage, one, report};

const CONNECTIONS: u64 = 7;

/// What each end reports of one connection.
#[derive(Debug, PartialEq, Eq)]
struct Halves {
    client: (String, [u64; 2]),
    server: (String, [u64; 2]),
}

#[test]
fn the_client_closes_first() {
    orderly("send:1009,receive:503", "receive:1009,send:503,drain", [1009, 503]);
}

#[test]
fn the_server_closes_first() {
    orderly("send:1009,receive:503,drain", "receive:1009,send:503", [1009, 503]);
}

#[test]
fn one_direction_closes_long_before_the_other() {
    orderly("send:1009,shutdown,receive:70001,drain", "drain,send:70001", [1009, 70_001]);
}

#[test]
fn both_directions_close_at_once() {
    orderly("send:1009,shutdown,drain", "send:503,shutdown,drain", [1009, 503]);
}

#[test]
fn nothing_is_carried() {
    // A client that closed at once could overtake its own handshake on a second CPU, and be
    // answered by a reset.
    orderly("drain", "none", [0, 0]);
}

#[test]
fn the_client_resets() {
    let (found, _) = run("send:1009,receive:503,reset", "receive:1009,send:503,drain");
    for halves in found {
        assert_eq!(halves.client, ("rst".into(), [1009, 503]));
        // The acknowledgement of the answer may be lost with the reset.
        let (close, [sent, received]) = &halves.server;
        assert_eq!((close.as_str(), *sent), ("rst", 1009), "{halves:?}");
        assert!(matches!(received, 0 | 503), "{halves:?}");
    }
}

#[test]
fn the_server_resets() {
    let client = "send:1009,receive:503,send:7,drain";
    let (found, _) = run(client, "receive:1009,send:503,receive:7,reset");
    for halves in found {
        assert_eq!(halves.server, ("rst".into(), [1016, 503]));
        // The acknowledgement of the last seven bytes may be lost with the reset.
        let (close, [sent, received]) = &halves.client;
        assert_eq!((close.as_str(), *received), ("rst", 503), "{halves:?}");
        assert!(matches!(sent, 1009 | 1016), "{halves:?}");
    }
}

#[test]
fn the_client_is_killed() {
    let stage = Stage::set();
    let (server, to) = serve(&stage, "receive:1009,send:503,drain", 1);
    let mut observer = Observer::start(&stage.agent, &["--port", &to.port().to_string()]);
    let mut client = Peer::connect(stage.place(), "ps-client", to, 1, "send:1009,receive:503,wait");
    client.waits();
    client.kill();
    assert_eq!(server.finish().errors.len(), 0);
    // The kernel closes what a process leaves behind, in good order if all of it was read.
    all(&halves(&observer.records(2)), "fin", [1009, 503]);
    stage.agent.settle();
}

#[test]
fn the_client_is_killed_with_bytes_unread() {
    let stage = Stage::set();
    let (server, to) = serve(&stage, "receive:1009,send:503,drain", 1);
    let mut observer = Observer::start(&stage.agent, &["--port", &to.port().to_string()]);
    let mut client = Peer::connect(stage.place(), "ps-client", to, 1, "send:1009,receive:2,wait");
    client.waits();
    client.kill();
    server.finish();
    for Halves { client, server } in halves(&observer.records(2)) {
        assert_eq!(client, ("rst".into(), [1009, 503]), "the client's half");
        assert_eq!((server.0, server.1[0]), ("rst".into(), 1009), "the server's half");
    }
    stage.agent.settle();
}

/// Connections with these steps end in good order, and both ends say so.
fn orderly(client: &str, server: &str, bytes: [u64; 2]) {
    let (found, errors) = run(client, server);
    assert!(errors.is_empty(), "neither end saw an error: {errors:?}");
    all(&found, "fin", bytes);
}

fn all(found: &[Halves], close: &str, bytes: [u64; 2]) {
    for halves in found {
        let both = (close.to_owned(), bytes);
        assert_eq!((&halves.client, &halves.server), (&both, &both), "client's and server's half");
    }
}

/// What both ends report of connections with these steps, and the errors they saw; the map agrees
/// with the client.
fn run(client: &str, server: &str) -> (Vec<Halves>, BTreeMap<String, u64>) {
    let stage = Stage::set();
    let (answers, to) = serve(&stage, server, CONNECTIONS);
    let mut observer = Observer::start(&stage.agent, &["--port", &to.port().to_string()]);
    let asked = Peer::connect(stage.place(), "ps-client", to, CONNECTIONS, client).finish();
    let mut errors = asked.errors;
    errors.extend(answers.finish().errors);
    let found = halves(&observer.records(2 * CONNECTIONS));
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = one(&edges, "ps-client", "ps-server").expect("one edge");
    let sum = |at: usize| found.iter().map(|halves| halves.client.1[at]).sum::<u64>();
    assert_eq!(edge.counts(), [CONNECTIONS, 0, sum(0), sum(1)], "{}", edge.0);
    let measured = found.first().map(|halves| format!("{halves:?}")).unwrap_or_default();
    report(&format!("`{client}` to `{server}`"), "both halves of each connection", measured);
    (found, errors)
}

fn serve(stage: &Stage, steps: &str, connections: u64) -> (Peer, SocketAddr) {
    let listen = "127.0.0.1:0".parse().expect("an address");
    Peer::serve(stage.place(), "ps-server", listen, connections, steps)
}

/// Records put together by the client's port.
fn halves(records: &[Record]) -> Vec<Halves> {
    let of = |record: &Record| (record.close().to_owned(), record.bytes());
    let clients = records.iter().filter(|record| record.reporter() == "client");
    let found: Vec<Halves> = clients
        .map(|client| {
            let port = client.ports()[0];
            let is_other =
                |record: &&Record| record.reporter() == "server" && record.ports()[0] == port;
            let server = records.iter().find(is_other).expect("a server's half of each");
            Halves { client: of(client), server: of(server) }
        })
        .collect();
    assert_eq!(found.len() * 2, records.len(), "two halves of each connection");
    found
}
