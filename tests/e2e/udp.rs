//! Datagrams: whoever sends the first is the client, and every one is on its edge.

use std::net::SocketAddr;

use plainsight_core::protocol::Class;
use plainsight_ebpf::wire::{protocol::Protocol, stage};
use plainsight_tests::harness::{
    Edge, Namespace, Peer, Place, Stage, Tally, is_guest, one, only, report,
};

/// Several servers, each of which answers so many questions.
struct Servers {
    peers: Vec<Peer>,
    /// Their addresses with commas between them.
    to: String,
}

const DATAGRAMS: u64 = 211;
const CLIENTS: u64 = 23;
const QUESTIONS: u64 = 13;
const SERVERS: [&str; 3] = ["ps-first", "ps-second", "ps-third"];

// === impl Servers ===

impl Servers {
    fn start(stage: &Stage, how: &str) -> Self {
        let listen = format!("udp-echo --listen 127.0.0.1:0 --datagrams {QUESTIONS}{how}");
        let mut peers: Vec<Peer> =
            SERVERS.iter().map(|name| Peer::start(stage.place(), name, &listen)).collect();
        let to: Vec<String> = peers.iter_mut().map(|peer| peer.address().to_string()).collect();
        Self { peers, to: to.join(",") }
    }

    /// One client with one socket asks them all.
    fn ask(self, stage: &Stage, how: &str) {
        let ask = format!("udp-ask --to {} --datagrams {QUESTIONS}{how}", self.to);
        Peer::start(stage.place(), "ps-ask", &ask).finish();
        self.peers.into_iter().for_each(|peer| _ = peer.finish());
        stage.agent.settle();
    }
}

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

/// A socket of its own peer's only.
#[test]
fn a_connected_client() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let stage = Stage::set();
        let (echo, to) = echo(stage.place(), listen, DATAGRAMS);
        let ask = format!("udp-ask --to {to} --datagrams {DATAGRAMS} --bytes 1009 --connected yes");
        Peer::start(stage.place(), "ps-ask", &ask).finish();
        echo.finish();
        check(&stage, &format!("of a connected client, {listen}"), DATAGRAMS, 1009);
    }
}

/// Resolvers connect to learn which of their own addresses they would have, and say nothing.
#[test]
fn a_connect_alone_is_no_conversation() {
    let stage = Stage::set();
    let (echo, to) = echo(stage.place(), "127.0.0.1:0", DATAGRAMS);
    let silent = format!("udp-ask --to {to} --datagrams 0 --bytes 31 --connected yes");
    Peer::start(stage.place(), "ps-silent", &silent).finish();
    let ask = format!("udp-ask --to {to} --datagrams {DATAGRAMS} --bytes 31");
    Peer::start(stage.place(), "ps-ask", &ask).finish();
    echo.finish();
    check(&stage, "beside a client that only connected", DATAGRAMS, 31);
}

#[test]
fn a_client_that_asks_servers_in_turn() {
    let stage = Stage::set();
    let servers = Servers::start(&stage, "");
    servers.ask(&stage, " --bytes 67");
    check_servers(&stage, "of one socket, in turn", [67, 67], Class::UNKNOWN);
}

/// Each time it is connected the socket has another peer, and none between.
#[test]
fn a_socket_that_is_connected_again() {
    let stage = Stage::set();
    let servers = Servers::start(&stage, "");
    servers.ask(&stage, " --bytes 67 --connected yes");
    check_servers(&stage, "of one socket, connected to each", [67, 67], Class::UNKNOWN);
}

/// By their first bytes and not by their ports, whichever conversation of a socket it is.
#[test]
fn first_bytes_name_the_protocol() {
    for (question, answer, bytes, class) in [
        (
            "dns-question",
            "dns-answer",
            [33, 49],
            Class::new(Protocol::Dns, stage::Stage::Plaintext),
        ),
        (
            "quic-initial",
            "quic-initial",
            [1200, 1200],
            Class::new(Protocol::Quic, stage::Stage::Offered),
        ),
    ] {
        let stage = Stage::set();
        let servers = Servers::start(&stage, &format!(" --say {answer}"));
        servers.ask(&stage, &format!(" --say {question}"));
        check_servers(&stage, question, bytes, class);
    }
}

/// What an application sends as one piece leaves as many datagrams, which nobody cuts before they
/// are received; there they may be taken as one piece, too (udp(7), `UDP_SEGMENT`, `UDP_GRO`).
#[test]
fn datagrams_that_travel_together() {
    const SEGMENT: u64 = 1009;
    const SEGMENTS: u64 = 64;
    /// The last one is shorter.
    const PIECE: u64 = (SEGMENTS - 1) * SEGMENT + 503;
    // Whether one piece stays whole until it is received is the kernel's choice: 5.10 cuts it.
    let kinds = [("127.0.0.1:0", false), ("[::1]:0", false), ("127.0.0.1:0", true)];
    for (listen, gather) in kinds.into_iter().filter(|(_, gather)| !(*gather && is_guest())) {
        let stage = Stage::set();
        let (answers, how) = if gather { (1, " --gather yes") } else { (SEGMENTS, "") };
        let count = QUESTIONS * answers;
        let echo = format!("udp-echo --listen {listen} --datagrams {count}{how}");
        let mut echo = Peer::start(stage.place(), "ps-echo", &echo);
        let ask = format!(
            "udp-ask --to {} --datagrams {QUESTIONS} --bytes {PIECE} --segment {SEGMENT} --answers {answers}",
            echo.address()
        );
        let asked = Peer::start(stage.place(), "ps-ask", &ask).finish();
        let bytes = QUESTIONS * PIECE;
        assert_eq!(
            (asked, echo.finish()),
            (Tally::of(0, bytes, bytes), Tally::of(0, bytes, bytes))
        );
        stage.agent.settle();
        let edges = stage.agent.edges();
        let edge = only(&edges, "ps-ask", "ps-echo").expect("one edge");
        let expect = [QUESTIONS * SEGMENTS, count, bytes, bytes];
        check_edge(edge, &format!("in pieces of 64{how}, {listen}"), expect);
        let metrics = stage.agent.metrics();
        for direction in ["sent", "received"] {
            let found = metrics.get("plainsight_udp_datagrams_total", &[("direction", direction)]);
            assert_eq!(found, Ok(QUESTIONS * SEGMENTS + count), "{direction}");
        }
    }
}

/// Nobody answers, and whoever is in the group has what was sent to it.
#[test]
fn datagrams_to_a_group() {
    let stage = Stage::set();
    let inside = Namespace::new();
    let place = stage.within(&inside);
    let hear = "udp-hear --listen 0.0.0.0:7001 --group 239.77.0.1 --interface 127.0.0.1";
    let mut hears = Peer::start(place, "ps-hears", &format!("{hear} --datagrams {QUESTIONS}"));
    let tell = |to: SocketAddr| {
        let tell = format!("udp-tell --from 127.0.0.1:0 --to {to} --datagrams {QUESTIONS}");
        Peer::start(place, "ps-tells", &format!("{tell} --bytes 67")).finish()
    };
    let bytes = QUESTIONS * 67;
    assert_eq!(tell(hears.address()), Tally::of(0, 0, bytes));
    assert_eq!(hears.finish(), Tally::of(0, bytes, 0));
    assert_eq!(tell(SocketAddr::from(([239, 77, 0, 2], 7001))), Tally::of(0, 0, bytes));
    stage.agent.settle();
    let edges = stage.agent.edges();
    for (server, reporters) in [("ps-hears", 2), ("239.77.0.2", 1)] {
        let edge = one(&edges, "ps-tells", server).expect("one edge");
        check_edge(edge, &format!("to a group, {server}"), [QUESTIONS, 0, bytes, 0]);
        assert_eq!(edge.reporters(), ["client", "server"][..reporters], "{}", edge.0);
    }
    let edge = one(&edges, "ps-tells", "ps-hears").expect("one edge");
    assert_eq!(edge.text("server_address"), "239.77.0.1", "{}", edge.0);
    assert_eq!(edges.len(), 2, "{edges:?}");
}

fn echo(place: Place<'_>, listen: &str, datagrams: u64) -> (Peer, SocketAddr) {
    let echo = format!("udp-echo --listen {listen} --datagrams {datagrams}");
    let mut echo = Peer::start(place, "ps-echo", &echo);
    let address = echo.address();
    (echo, address)
}

/// Each server is on an edge of its own, with what it was asked and what it answered.
fn check_servers(stage: &Stage, what: &str, [question, answer]: [u64; 2], class: Class) {
    let edges = stage.agent.edges();
    assert_eq!(edges.len(), SERVERS.len(), "{edges:?}");
    let expect = [QUESTIONS, QUESTIONS, QUESTIONS * question, QUESTIONS * answer];
    for server in SERVERS {
        let edge = one(&edges, "ps-ask", server).expect("one edge");
        check_edge(edge, &format!("{what}, {server}"), expect);
        assert_eq!(edge.reporters(), ["client", "server"], "{}", edge.0);
        let wanted = class.reading();
        let found = ["protocol", "security", "state"].map(|key| edge.text(key));
        let names = [wanted.protocol, wanted.security.name(), wanted.state.name()];
        report(&format!("{what}: protocol"), format!("{names:?}"), format!("{found:?}"));
        assert_eq!(found, names, "{}", edge.0);
    }
    assert_eq!(stage.agent.metrics().get("plainsight_lost_total", &[]), Ok(0));
}

fn check_edge(edge: &Edge, what: &str, expect: [u64; 4]) {
    let found = edge.datagrams();
    let title = format!("UDP {what}: datagrams and bytes, there and back");
    report(&title, format!("{expect:?}"), format!("{found:?}"));
    assert_eq!(found, expect, "{}", edge.0);
}

/// Every question and its answer are on one edge, both ends have seen it, and the totals agree.
fn check(stage: &Stage, what: &str, datagrams: u64, bytes: u64) {
    stage.agent.settle();
    let expect = [datagrams, datagrams, datagrams * bytes, datagrams * bytes];
    let edges = stage.agent.edges();
    let edge = only(&edges, "ps-ask", "ps-echo").expect("one edge");
    check_edge(edge, what, expect);
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
