//! The messages of a real handshake, carried as DTLS carries them.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::flight::{Message, kind};
use super::super::tests::{Asks, Ends, NAME, P256, TLS12, message};
use super::super::{ClientCertificate, Mutual};
use super::*;
use crate::protocol::conversation::Datagram;

const DTLS12: [u8; 2] = [0xfe, 0xfd];

fn record(kind: u8, epoch: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    [&[kind][..], &DTLS12, &[0, epoch, 0, 0, 0, 0, 0, 1], &length, payload].concat()
}

/// A message in fragments of `size` bytes, each in its own record.
fn fragments(number: usize, message: &Message<'_>, size: usize) -> Vec<Vec<u8>> {
    let three = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
    let pieces = message.body.chunks(size).enumerate();
    let mut fragments: Vec<Vec<u8>> = pieces
        .map(|(i, piece)| {
            let head = [&[message.kind][..], &three(message.body.len()), &[0, number as u8]];
            let place = [three(i * size), three(piece.len()), piece.to_vec()].concat();
            record(22, 0, &[&head.concat()[..], &place].concat())
        })
        .collect();
    if message.body.is_empty() {
        fragments.push(record(22, 0, &[message.kind, 0, 0, 0, 0, number as u8, 0, 0, 0, 0, 0, 0]));
    }
    fragments
}

/// What one end said over TLS, as DTLS has it: other versions, and a cookie in the client's hello.
fn datagrams(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
    let flight = Flight::read(bytes);
    let messages = flight.messages().enumerate().flat_map(|(number, message)| {
        let mut body = message.body.to_vec();
        if matches!(message.kind, kind::CLIENT_HELLO | kind::SERVER_HELLO) {
            body[..2].copy_from_slice(&DTLS12);
        }
        if message.kind == kind::CLIENT_HELLO {
            let session = 34 + 1 + usize::from(body[34]);
            body.splice(session..session, [3, 7, 7, 7]);
        }
        fragments(number, &Message { body: &body, ..message }, size)
    });
    let finished = [record(20, 0, &[1]), record(22, 1, &[7; 40])].concat();
    messages.chain([finished]).collect()
}

fn assess(datagrams: &[(Side, Vec<u8>)]) -> Option<Tls> {
    let datagrams: Vec<Datagram<'_>> = datagrams
        .iter()
        .map(|(side, payload)| Datagram { side: *side, payload, length: payload.len() })
        .collect();
    read(&Exchange { datagrams: &datagrams, client_port: 0, server_port: 0 })
}

fn handshake(asks: Asks, size: usize) -> Vec<(Side, Vec<u8>)> {
    let (client, server) = Ends::new(TLS12, asks).talk();
    let client = datagrams(&client, size).into_iter().map(|payload| (Side::Client, payload));
    let server = datagrams(&server, size).into_iter().map(|payload| (Side::Server, payload));
    client.chain(server).collect()
}

fn check(tls: &Tls) {
    assert_eq!(tls.version.as_deref(), Some("DTLS1.2"));
    assert_eq!(tls.sni.as_deref(), Some(NAME));
    assert_eq!(tls.group.as_deref(), Some("x25519"));
    assert_eq!(
        (tls.client_certificate, tls.mutual),
        (ClientCertificate::Presented, Mutual::Mutual)
    );
    assert_eq!(tls.certificate.as_ref().unwrap().names, [NAME]);
    assert!(tls.answered && tls.protected);
}

#[test]
fn fragments_are_put_together() {
    for size in [17, 53, 199, 5003] {
        check(&assess(&handshake(Asks::AndGets(P256), size)).unwrap());
    }
}

#[test]
fn datagrams_may_be_repeated_and_out_of_order() {
    let mut sent = handshake(Asks::AndGets(P256), 97);
    sent.reverse();
    check(&assess(&sent).unwrap());
    let again = sent.clone();
    sent.extend(again);
    check(&assess(&sent).unwrap());
    let together = |side| {
        let own = sent.iter().filter(|(of, _)| *of == side);
        (side, own.flat_map(|(_, payload)| payload.clone()).collect())
    };
    check(&assess(&[together(Side::Server), together(Side::Client)]).unwrap());
}

#[test]
fn what_is_lost_is_not_made_up() {
    let sent = handshake(Asks::AndGets(P256), 5003);
    for lost in 0..sent.len() {
        let mut rest = sent.clone();
        rest.remove(lost);
        let tls = assess(&rest).unwrap();
        assert!(matches!(tls.mutual, Mutual::Mutual | Mutual::Unknown), "{lost}: {tls:?}");
    }
}

#[test]
fn what_else_is_on_the_port_is_left_out() {
    let mut sent = handshake(Asks::AndGets(P256), 199);
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    sent.insert(0, (Side::Client, stun.clone()));
    sent.insert(3, (Side::Server, vec![0x80; 60]));
    check(&assess(&sent).unwrap());
    assert_eq!(assess(&[(Side::Client, stun)]), None);
    for (_, payload) in &mut sent {
        payload.splice(0..0, [1, 0, 0, 0]);
    }
    check(&assess(&sent).unwrap());
}

#[test]
fn a_cookie_is_no_answer() {
    let hello = handshake(Asks::Not, 5003).swap_remove(0);
    let asks = record(22, 0, &[3, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4, 0xfe, 0xff, 1, 9]);
    let tls = assess(&[hello, (Side::Server, asks)]).unwrap();
    assert!(!tls.answered && !tls.protected);
}

/// The records of DTLS 1.3 have a short header once they are protected.
#[test]
fn short_headers_are_protected_records() {
    let start = [&DTLS12[..], &[9; 32], &[0], &[0x13, 1], &[0]].concat();
    let chosen = [0, 12, 0, 43, 0, 2, 0xfe, 0xfc, 0, 51, 0, 2, 0, 29];
    let hello = message(kind::SERVER_HELLO, &[&start[..], &chosen].concat());
    let hello = Message { kind: kind::SERVER_HELLO, body: &hello[4..], is_whole: true };
    let mut sent = vec![handshake(Asks::Not, 5003).swap_remove(0)];
    sent.push((Side::Server, fragments(0, &hello, 5003).concat()));
    let tls = assess(&sent).unwrap();
    assert_eq!(tls.version.as_deref(), Some("DTLS1.3"));
    assert_eq!((tls.group.as_deref(), tls.protected), (Some("x25519"), false));
    assert_eq!(tls.client_certificate, ClientCertificate::Invisible);
    sent.push((Side::Client, [&[0x2c, 1, 2, 0, 40][..], &[7; 40]].concat()));
    let tls = assess(&sent).unwrap();
    assert!(tls.protected);
    assert_eq!(tls.mutual, Mutual::Unknown);
}

proptest! {
    #[test]
    fn any_datagrams_are_read(
        sent in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..6),
    ) {
        let side = |is_client| if is_client { Side::Client } else { Side::Server };
        let plain: Vec<_> = sent.iter().map(|(of, rest)| (side(*of), rest.clone())).collect();
        assess(&plain);
        let framed = sent.iter().map(|(of, rest)| (side(*of), record(22, 0, rest)));
        assess(&framed.collect::<Vec<_>>());
    }
}
