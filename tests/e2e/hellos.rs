//! What a client's hello says is read whole, however it is cut.

use std::net::SocketAddr;

use plainsight_tests::harness::{Edge, Peer, Stage, count, full, one, report};

use crate::handshake::{TLS13, client_hello, digits, server_hello};

const NAME: &str = "cut.plainsight.test";

/// Long enough for a segment of Ethernet to end within it.
const HELLO: usize = 1800;

/// Longer than any message that is answered at once, for twelve segments.
const LARGE: usize = 11_003;
const PIECE: usize = 917;

/// Handshakes leave half of the ring to what matters more, so no more are asked for at once.
const AT_ONCE: usize = 23;

/// The server's hello with a record behind it, and what the client goes on with.
const REST: &str = "receive:55,say:tls-change,receive:69,say:tls-data,drain";

#[test]
fn a_hello_is_read_whole_wherever_it_is_cut() {
    let hello = digits(&client_hello(NAME, HELLO));
    let cuts: Vec<usize> = match full() {
        true => (1..HELLO).collect(),
        false => (1..=37).chain((97..HELLO).step_by(97)).collect(),
    };
    let stage = Stage::with(&["--edge-quota", "16384"]);
    let (server, to) = serve(&stage, cuts.len() as u64, HELLO);
    for some in cuts.chunks(AT_ONCE) {
        for at in some {
            let steps = format!("cut:{at}:0x{hello},{REST}");
            let asked = Peer::connect(stage.place(), &client(at), to, 1, &steps).finish();
            assert!(asked.errors.is_empty(), "cut at {at}: {asked:?}");
        }
        stage.agent.edges_until("every hello", |edges| {
            some.iter().try_for_each(|at| is_read(edges, &client(at)))
        });
    }
    assert!(server.finish().errors.is_empty());
    let edges = stage.agent.edges();
    let read = cuts.iter().filter(|at| is_read(&edges, &client(at)).is_ok()).count();
    report("a hello of 1,800 bytes cut in two: read whole", cuts.len(), read);
    assert_eq!(read, cuts.len());
}

#[test]
fn a_hello_is_read_whole_byte_by_byte_and_in_many_segments() {
    let stage = Stage::set();
    let connections = count(1, 7);
    let check = |name: &str, length: usize, step: &str| {
        let (server, to) = serve(&stage, connections, length);
        let steps = format!("{step}:0x{},{REST}", digits(&client_hello(NAME, length)));
        let asked = Peer::connect(stage.place(), name, to, connections, &steps).finish();
        assert!(asked.errors.is_empty(), "{name}: {asked:?}");
        assert!(server.finish().errors.is_empty());
        stage.agent.edges_until(name, |edges| is_read(edges, name));
    };
    check("c-spell", 261, "spell");
    check("c-twelve", LARGE, &format!("pieces:{PIECE}"));
}

fn client(at: &usize) -> String {
    format!("c-{at}")
}

fn serve(stage: &Stage, connections: u64, length: usize) -> (Peer, SocketAddr) {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let answer = format!("say:0x{}", digits(&server_hello(&TLS13)));
    let steps = format!("receive:{length},{answer},receive:11,say:tls-data,receive:69");
    Peer::serve(stage.place(), "s-hello", listen, connections, &steps)
}

fn is_read(edges: &[Edge], client: &str) -> Result<(), String> {
    let edge = one(edges, client, "s-hello")?;
    let tls = &edge.0["tls"];
    let said = (tls["sni"].as_str(), tls["version"].as_str(), edge.text("state"));
    if said == (Some(NAME), Some("TLS1.3"), "encrypted") {
        Ok(())
    } else {
        Err(format!("{client}: {said:?}"))
    }
}
