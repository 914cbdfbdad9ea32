//! Segments of somebody else that TCP does not accept change nothing of what a connection is taken
//! for, and nothing of what is counted.
//!
//! Beside each connection with forged segments there is one like it without. Both ends' hooks see
//! a segment before TCP looks at its sequence number; so that these were seen is what TCP's count
//! of a socket's segments says.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use plainsight_tests::harness::{
    Edge, Flags, Forged, Forger, Namespace, Observer, Peer, Place, Position, Record, Stage, Tally,
    full, report,
};
use serde_json::Value;

use crate::{
    handshake::{TLS12, TLS13, client_hello, digits, server_hello},
    watched::{self, Watched},
};

/// Where clients and servers are.
struct Ground {
    near: Namespace,
    far: Option<Namespace>,
    /// The client's address and the server's.
    ips: [IpAddr; 2],
}

/// Who forges: as the client, and as the server.
struct Forgers([Forger; 2]);

const NAME: &str = "real.plainsight.test";
const HELLO: usize = 1800;

/// How often a client says where its connection stands, and somebody may forge.
const POSITIONS: usize = 4;

/// As many connections as the handshakes of an agent's look have room for.
const AT_ONCE: usize = 11;

/// No window reaches as far (RFC 7323, section 2.3).
const FAR: u32 = 1 << 30;

/// A window is told in units of at most so much (RFC 7323, section 2.3).
const UNIT: u32 = 1 << 14;

/// What edges and records say of connections.
const BOTH_SAY: [&str; 7] = [
    "protocol",
    "protocol_version",
    "security",
    "state",
    "evidence",
    "bytes_sent",
    "bytes_received",
];

/// What edges say besides.
const EDGES_SAY: [&str; 6] = ["upgrade", "tls", "credentials", "connections", "open", "failures"];

/// What records say besides.
const RECORDS_SAY: [&str; 1] = ["close"];

#[test]
fn on_loopback() {
    let ips = [Ipv4Addr::LOCALHOST.into(); 2];
    check("loopback", &Ground { near: Namespace::new(), far: None, ips });
}

#[test]
fn over_ipv6() {
    let (near, far) = (Namespace::new(), Namespace::new());
    let ips = near.join(&far).v6.map(IpAddr::V6);
    check("veth", &Ground { near, far: Some(far), ips });
}

fn check(what: &str, ground: &Ground) {
    let cuts: Vec<usize> = (1..HELLO).step_by(if full() { 23 } else { 179 }).collect();
    for watched in Watched::ALL {
        let (same, forged) = compare(ground, watched, &cuts);
        report(
            &format!(
                "hellos cut in two over {what}, {watched:?} watched: the same beside forged segments"
            ),
            cuts.len(),
            format!("{same}, beside {forged} forged"),
        );
        assert_eq!(same, cuts.len());
    }
}

/// How many connections were taken for what they are, and how many segments were forged.
fn compare(ground: &Ground, watched: Watched, cuts: &[usize]) -> (usize, u64) {
    let stage = Stage::set();
    let forgers = Forgers::new(ground);
    let mut observer = Observer::start(&stage.agent, &["--cidr", &ground.ips[1].to_string()]);
    let mut forged = 0;
    for some in cuts.chunks(AT_ONCE) {
        for at in some {
            let (real, _) = play(ground, &stage, watched, &real(at), *at, None);
            let (met, sent) = play(ground, &stage, watched, &other(at), *at, Some(&forgers));
            let expect = [real[0] + sent[0], real[1] + sent[1]];
            assert_eq!(met, expect, "cut at {at}: segments that the sockets met, {sent:?} forged");
            forged += sent.iter().sum::<u64>();
        }
        stage.agent.edges_until("every hello", |edges| {
            some.iter()
                .flat_map(|at| [real(at), other(at)])
                .try_for_each(|name| find(edges, &name).and_then(is_right))
        });
    }
    stage.agent.settle();
    let records = observer.records(2 * watched.ends() * cuts.len() as u64);
    let edges = stage.agent.edges();
    let is_same = |at: &&usize| {
        let [real, other] = [real(at), other(at)].map(|name| said(&edges, &records, &name));
        assert_eq!(other, real, "cut at {at}, {watched:?} watched");
        true
    };
    (cuts.iter().filter(is_same).count(), forged)
}

/// One connection: how many segments with payload client and server met, and how many of them were
/// forged. TCP took none of these.
fn play(
    ground: &Ground,
    stage: &Stage,
    watched: Watched,
    name: &str,
    at: usize,
    forgers: Option<&Forgers>,
) -> ([u64; 2], [u64; 2]) {
    let hello = client_hello(NAME, HELLO);
    let [first, rest] = [&hello[..at], &hello[at..]].map(digits);
    let [near, far] = ground.places(stage, watched);
    let answer = digits(&server_hello(&TLS13));
    let steps = format!(
        "receive:{HELLO},say:0x{answer},receive:11,say:tls-data,receive:69,acknowledged,segments"
    );
    let listen = SocketAddr::new(ground.ips[1], 0);
    let (server, to) = Peer::serve(far, &format!("s-{name}"), listen, 1, &steps);
    let steps = format!(
        "position,say:0x{first},acknowledged,position,say:0x{rest},receive:{},position,\
         say:tls-change,receive:69,position,say:tls-data,drain,segments",
        answer.len() / 2,
    );
    let mut client = Peer::connect(near, &format!("c-{name}"), to, 1, &steps);
    let mut forged = [0; 2];
    for _ in 0..POSITIONS {
        let position = client.position();
        if let Some(forgers) = forgers {
            let [to_client, to_server] = forgers.forge(&position);
            forged = [forged[0] + to_client, forged[1] + to_server];
        }
        client.proceed();
    }
    let [client, server] = [client.finish(), server.finish()].map(Tally::without_ports);
    let (asked, answered) = (HELLO as u64 + 11 + 69, answer.len() as u64 / 2 + 69);
    let tally = |read, written, segments| Tally { segments, ..Tally::of(1, read, written) };
    assert_eq!(client, tally(answered, asked, client.segments));
    assert_eq!(server, tally(asked, answered, server.segments));
    ([client.segments, server.segments], forged)
}

// === impl Ground ===

impl Ground {
    fn places<'a>(&'a self, stage: &'a Stage, watched: Watched) -> [Place<'a>; 2] {
        let [client, server] = watched.places(stage);
        [client.within(&self.near), server.within(self.far.as_ref().unwrap_or(&self.near))]
    }
}

// === impl Forgers ===

impl Forgers {
    fn new(ground: &Ground) -> Self {
        let [client, server] = ground.ips;
        let far = ground.far.as_ref().unwrap_or(&ground.near);
        Self([Forger::new(&ground.near, client), Forger::new(far, server)])
    }

    /// Forges what it can at this point; how many segments to the client, and to the server.
    fn forge(&self, position: &Position) -> [u64; 2] {
        let Position { local, peer, snd_nxt, rcv_nxt, snd_wnd } = *position;
        let Self([as_client, as_server]) = self;
        let to_client = forged(peer, local, [rcv_nxt, snd_nxt], None, &answers(), as_server);
        let to_server =
            forged(local, peer, [snd_nxt, rcv_nxt], Some(snd_wnd), &questions(), as_client);
        [to_client, to_server]
    }
}

/// Sends each of these words to each place where TCP does not take them; how many segments.
fn forged(
    from: SocketAddr,
    to: SocketAddr,
    [seq, ack]: [u32; 2],
    window: Option<u32>,
    words: &[Vec<u8>],
    forger: &Forger,
) -> u64 {
    let mut count = 0;
    let pushed = words.iter().map(|words| (Flags::Push, words));
    let ended = [Flags::Finish, Flags::Reset].map(|flags| (flags, &words[0]));
    for (flags, payload) in pushed.chain(ended) {
        for place in places(payload.len() as u32, window) {
            let seq = seq.wrapping_add(place);
            forger.send(&Forged { from, to, seq, ack, flags, payload });
            count += 1;
        }
    }
    count
}

/// Where so many bytes are of no use to TCP, from what it expects next on: all is acknowledged, a
/// FIN behind it too, or it is outside the window.
pub(crate) fn places(length: u32, window: Option<u32>) -> Vec<u32> {
    let behind = [length + 1, length + 1009, FAR].map(u32::wrapping_neg);
    let ahead = [FAR + 1009, FAR + FAR - 1009];
    let closest = window.map(|window| window + UNIT);
    behind.into_iter().chain(ahead).chain(closest).collect()
}

pub(crate) fn questions() -> [Vec<u8>; 5] {
    [
        b"GET / HTTP/1.1\r\nAuthorization: Basic Zm9yZ2VkOndvcmQ=\r\n\r\n".to_vec(),
        client_hello("forged.plainsight.test", 517),
        b"EHLO forged\r\n".to_vec(),
        b"SSH-2.0-forged\r\n".to_vec(),
        vec![0xa7; 7],
    ]
}

fn answers() -> [Vec<u8>; 5] {
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        server_hello(&TLS12),
        b"220 forged ESMTP\r\n".to_vec(),
        b"SSH-2.0-forged\r\n".to_vec(),
        vec![0xa7; 7],
    ]
}

fn real(at: &usize) -> String {
    format!("real-{at}")
}

fn other(at: &usize) -> String {
    format!("forged-{at}")
}

/// Whether a hello was read whole.
fn is_right(edge: &Edge) -> Result<(), String> {
    let tls = &edge.0["tls"];
    let found = [&tls["sni"], &tls["version"], &edge.0["protocol"], &edge.0["state"]];
    match found.map(Value::as_str) == [NAME, "TLS1.3", "tls", "encrypted"].map(Some) {
        true => Ok(()),
        false => Err(format!("{found:?}")),
    }
}

/// The edge of a connection that has a client and a server of its own.
fn find<'a>(edges: &'a [Edge], name: &str) -> Result<&'a Edge, String> {
    watched::edge(edges, &format!("c-{name}"), &format!("s-{name}"))
}

/// What the edge of a connection says, and the records of its ends.
fn said(edges: &[Edge], records: &[Record], name: &str) -> BTreeMap<String, Value> {
    let edge = find(edges, name).expect("it was there");
    let pick = |value: &Value, more: &[&str]| -> Value {
        let keys = BOTH_SAY.iter().chain(more);
        keys.map(|key| ((*key).to_owned(), value[key].clone())).collect()
    };
    let of_edge = ("edge".to_owned(), pick(&edge.0, &EDGES_SAY));
    let port = edge.number("server_port");
    let of_ends = records
        .iter()
        .filter(|record| record.ports()[1] == port)
        .map(|record| (record.reporter().to_owned(), pick(&record.0["plainsight"], &RECORDS_SAY)));
    [of_edge].into_iter().chain(of_ends).collect()
}
