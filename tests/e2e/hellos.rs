//! What a client's hello says is read whole, however it is cut.

use std::fmt::Write as _;
use std::net::SocketAddr;

use plainsight_tests::harness::{Edge, Peer, Stage, count, full, one, report};

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
    let hello = client_hello(HELLO);
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
        let steps = format!("{step}:0x{},{REST}", client_hello(length));
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
    let answer = format!("say:0x{}", server_hello());
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

/// A hello for TLS 1.3 (RFC 8446, section 4.1.2) in a record of so many bytes, in hexadecimal
/// digits. The name stands behind the padding (RFC 7685).
fn client_hello(length: usize) -> String {
    let mut extensions = vec![0, 43, 0, 3, 2, 3, 4];
    let name =
        [&[0, 0][..], &sized(&sized(&[&[0][..], &sized(NAME.as_bytes())].concat()))].concat();
    // Record, message, version, random, session, suites, compression, length of extensions.
    let before = 5 + 4 + 2 + 32 + 1 + 4 + 2 + 2 + extensions.len() + 4 + name.len();
    extensions.extend([&[0, 21][..], &sized(&vec![0; length - before])].concat());
    extensions.extend(name);
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &sized(&extensions)].concat();
    record(1, &body)
}

/// The answer to it (RFC 8446, section 4.1.3).
fn server_hello() -> String {
    let body = [&[3, 3][..], &[9; 32], &[0, 0x13, 1, 0], &sized(&[0, 43, 0, 2, 3, 4])].concat();
    record(2, &body)
}

fn record(kind: u8, body: &[u8]) -> String {
    let message = [&[kind, 0][..], &sized(body)].concat();
    let record = [&[22, 3, 1][..], &sized(&message)].concat();
    record.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("a string takes all");
        digits
    })
}

/// Behind its length in two bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a short text").to_be_bytes();
    [&length[..], bytes].concat()
}
