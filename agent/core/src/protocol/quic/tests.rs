//! Initial packets sealed by another implementation, and what is made of them.

extern crate std;

use alloc::sync::Arc;
use alloc::vec;

use proptest::prelude::*;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::ServerName;
use rustls::quic::{self, DirectionalKeys, KeyChange, Keys, Version};

use super::super::tls::tests::{Ends, NAME};
use super::*;

/// What both ends say in Initial packets.
struct Hellos {
    client: Vec<u8>,
    server: Vec<u8>,
}

/// One version of QUIC: in rustls, on the wire, and the type bits of its Initial packets.
type Wire = (Version, u32, u8);

const V1: Wire = (Version::V1, 1, 0xc0);
const V2: Wire = (Version::V2, 0x6b33_43cf, 0xd0);
const DRAFT_29: Wire = (Version::V1Draft, 0xff00_001d, 0xc0);

const CLIENT_ID: &[u8] = &[1, 2, 3, 4];
const SERVER_ID: &[u8] = &[5; 8];
const FIRST_ID: &[u8] = b"original";

/// A packet with a short header: nothing of it can be read.
const SHORT: &[u8] = &[0x40; 40];

// === impl Hellos ===

impl Hellos {
    fn new(version: Version) -> Self {
        let ends = Ends::for_quic();
        let name = ServerName::try_from(NAME).unwrap();
        let config = Arc::clone(&ends.client);
        let mut client = quic::ClientConnection::new(config, version, name, vec![1, 2, 3]).unwrap();
        let config = Arc::clone(&ends.server);
        let mut server = quic::ServerConnection::new(config, version, vec![4, 5, 6]).unwrap();
        let mut hellos = Self { client: Vec::new(), server: Vec::new() };
        assert!(client.write_hs(&mut hellos.client).is_none());
        server.read_hs(&hellos.client).unwrap();
        let change = server.write_hs(&mut hellos.server);
        assert!(matches!(change, Some(KeyChange::Handshake { .. })));
        hellos
    }
}

fn keys(version: Version, side: rustls::Side) -> DirectionalKeys {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    Keys::initial(version, suite, suite.quic.unwrap(), FIRST_ID, side).local
}

fn numbered(number: usize) -> [u8; 2] {
    (0x4000 | number as u16).to_be_bytes()
}

/// A CRYPTO frame.
fn crypto(offset: usize, piece: &[u8]) -> Vec<u8> {
    [&[6], &numbered(offset)[..], &numbered(piece.len()), piece].concat()
}

/// An Initial packet with these frames.
fn initial(wire: Wire, side: Side, to: &[u8], number: u8, frames: &[u8]) -> Vec<u8> {
    let (version, code, kind) = wire;
    let (from, keys) = match side {
        Side::Client => (CLIENT_ID, keys(version, rustls::Side::Client)),
        Side::Server => (SERVER_ID, keys(version, rustls::Side::Server)),
    };
    let mut payload = frames.to_vec();
    payload.resize(frames.len().max(64), 0);
    let length = 2 + payload.len() + keys.packet.tag_len();
    let mut packet = [&[kind | 1][..], &code.to_be_bytes()].concat();
    for id in [to, from] {
        packet.push(id.len() as u8);
        packet.extend(id);
    }
    packet.push(0);
    packet.extend(numbered(length));
    let number_at = packet.len();
    packet.extend([0, number]);
    let tag = keys.packet.encrypt_in_place(number.into(), &packet, &mut payload).unwrap();
    packet.extend(payload);
    packet.extend(tag.as_ref());

    let (header, sealed) = packet.split_at_mut(number_at);
    let (number, sealed) = sealed.split_at_mut(2);
    let sample = &sealed[2..2 + keys.header.sample_len()];
    keys.header.encrypt_in_place(sample, &mut header[0], number).unwrap();
    packet
}

fn assess(datagrams: &[(Side, Vec<u8>)]) -> Option<Tls> {
    let datagrams: Vec<Datagram<'_>> = datagrams
        .iter()
        .map(|(side, payload)| Datagram { side: *side, payload, length: payload.len() })
        .collect();
    read(&Exchange { datagrams: &datagrams, client_port: 0, server_port: 0 })
}

fn check(wire: Wire, name: &str) {
    let Hellos { client, server } = Hellos::new(wire.0);
    let asks = initial(wire, Side::Client, FIRST_ID, 0, &crypto(0, &client));
    let answers = initial(wire, Side::Server, CLIENT_ID, 0, &crypto(0, &server));
    let mut datagrams = vec![(Side::Client, asks)];

    let tls = assess(&datagrams).unwrap();
    assert_eq!(tls.sni.as_deref(), Some(NAME));
    assert_eq!(tls.alpn_offered, ["h3"]);
    assert_eq!((tls.version.as_deref(), tls.quic_version.as_deref()), (Some("TLS1.3"), Some(name)));
    assert!(!tls.answered && !tls.protected && tls.cipher.is_none());

    datagrams.push((Side::Server, answers));
    let tls = assess(&datagrams).unwrap();
    assert!(tls.answered && !tls.protected && tls.cipher.is_some(), "{tls:?}");
    assert_eq!((tls.group.as_deref(), tls.resumed), (Some("x25519"), Some(false)));

    datagrams.push((Side::Client, SHORT.to_vec()));
    assert!(assess(&datagrams).unwrap().protected);
}

#[test]
fn both_hellos_are_read() {
    check(V1, "1");
    check(V2, "2");
    check(DRAFT_29, "draft-29");
}

#[test]
fn a_hello_comes_in_any_number_of_packets_in_any_order() {
    let hello = Hellos::new(V1.0).client;
    for pieces in [2, 3, 5, 7] {
        let length = hello.len().div_ceil(pieces);
        let mut packets: Vec<Vec<u8>> = hello
            .chunks(length)
            .enumerate()
            .map(|(i, piece)| crypto(i * length, piece))
            .enumerate()
            .map(|(i, frame)| initial(V1, Side::Client, FIRST_ID, i as u8, &frame))
            .collect();
        packets.reverse();
        let apart: Vec<_> = packets.iter().map(|p| (Side::Client, p.clone())).collect();
        let together = [(Side::Client, packets.concat())];
        assert_eq!(assess(&apart).unwrap().sni.as_deref(), Some(NAME));
        assert_eq!(assess(&together).unwrap().sni.as_deref(), Some(NAME), "coalesced");
        assert_eq!(assess(&apart[1..]).unwrap().quic_version.as_deref(), Some("1"));
    }
}

#[test]
fn frames_that_say_nothing_are_passed_over() {
    let hello = Hellos::new(V1.0).client;
    let frames =
        [&[0, 0, 1, 2, 9, 0, 1, 3, 0, 2, 0, 3, 5, 0, 0, 1, 2, 3, 4][..], &crypto(0, &hello)];
    let packet = initial(V1, Side::Client, FIRST_ID, 0, &frames.concat());
    assert_eq!(assess(&[(Side::Client, packet)]).unwrap().sni.as_deref(), Some(NAME));
}

/// Once the server has answered, the client addresses it by the name it gave itself; the keys stay.
#[test]
fn keys_follow_from_the_first_address() {
    let hello = Hellos::new(V1.0).client;
    let (one, two) = hello.split_at(100);
    let first = initial(V1, Side::Client, FIRST_ID, 0, &crypto(0, one));
    let second = initial(V1, Side::Client, SERVER_ID, 1, &crypto(100, two));
    let tls = assess(&[(Side::Client, first), (Side::Client, second.clone())]).unwrap();
    assert_eq!(tls.sni.as_deref(), Some(NAME));
    let alone = assess(&[(Side::Client, second)]).unwrap();
    assert_eq!((alone.version.as_deref(), alone.sni), (Some("TLS1.3"), None), "sealed, yet QUIC");
}

#[test]
fn a_retry_begins_anew() {
    let hello = Hellos::new(V1.0).client;
    let retry = |id: &[u8]| [&[0xf0, 0, 0, 0, 1, 0, id.len() as u8], id, &[7; 40]].concat();
    let datagrams = [
        (Side::Client, initial(V1, Side::Client, b"elsewhere", 0, &[1])),
        (Side::Server, retry(FIRST_ID)),
        (Side::Client, initial(V1, Side::Client, FIRST_ID, 1, &crypto(0, &hello))),
        (Side::Server, retry(b"a second one")),
    ];
    assert_eq!(assess(&datagrams).unwrap().sni.as_deref(), Some(NAME));
}

#[test]
fn the_hello_of_googles_quic_is_read() {
    let tags = [&b"PAD\0"[..], &3_u32.to_le_bytes(), b"SNI\0", &17_u32.to_le_bytes()].concat();
    let chlo = [&b"CHLO"[..], &[2, 0, 0, 0], &tags, b"---db.example.org"].concat();
    let old = [&[0x0d][..], &[7; 8], b"Q043", &[1], &[9; 12], &[0xa0, 1], &chlo].concat();
    let long = [&[0xc3][..], b"Q046", &[0x50], &[7; 8], &[0; 4], &[9; 12], &chlo].concat();
    for (hello, version) in [(old, "Q043"), (long, "Q046")] {
        let tls = assess(&[(Side::Client, hello.clone())]).unwrap();
        assert_eq!((tls.sni.as_deref(), tls.version), (Some("db.example.org"), None));
        assert_eq!((tls.quic_version.as_deref(), tls.answered), (Some(version), false));
        let tls = assess(&[(Side::Client, hello), (Side::Server, vec![8; 30])]).unwrap();
        assert!(tls.answered && !tls.protected);
    }
}

#[test]
fn what_is_no_quic_is_none() {
    let check = |bytes: &[u8]| assert_eq!(assess(&[(Side::Client, bytes.to_vec())]), None);
    check(b"");
    check(SHORT);
    check(&[0xe3, 0, 3, 0xfa, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    check(&[0xc0, 0, 0, 0, 1, 21, 0, 0]);
    check(&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 20]);
    assert_eq!(assess(&[]), None);
}

proptest! {
    #[test]
    fn any_datagrams_are_read(
        datagrams in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..6),
        start in prop::sample::select(vec![
            &[0xc0, 0, 0, 0, 1, 8][..], &[0xd0, 0x6b, 0x33, 0x43, 0xcf, 0], b"\xc3Q046P", b"\xc1T051\0",
        ]),
    ) {
        let side = |is_client| if is_client { Side::Client } else { Side::Server };
        let datagrams: Vec<_> = datagrams
            .into_iter()
            .map(|(is_client, rest)| (side(is_client), [start, &rest].concat()))
            .collect();
        assess(&datagrams);
    }

    #[test]
    fn any_content_is_read(content in prop::collection::vec(any::<u8>(), 0..300), kind in 0..9u8) {
        let content = [&[kind][..], &content].concat();
        let packet = initial(V1, Side::Client, FIRST_ID, 0, &content);
        assess(&[(Side::Client, packet)]);
        packet::crypto(0x5430_3531, &content).count();
        google::server_name(&[b"CHLO", &content[..]].concat());
    }
}
