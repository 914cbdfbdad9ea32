//! Datagrams written from their specifications, judged as whole exchanges.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const CLIENT: Side = Side::Client;
const SERVER: Side = Side::Server;

/// Judges datagrams that were captured whole, between ports that mean nothing.
fn of(datagrams: &[(Side, &[u8])]) -> Assessment {
    on((40_009, 40_013), datagrams)
}

fn on((client_port, server_port): (u16, u16), datagrams: &[(Side, &[u8])]) -> Assessment {
    let datagrams: Vec<Datagram<'_>> = datagrams
        .iter()
        .map(|(side, payload)| Datagram { side: *side, payload, length: payload.len() })
        .collect();
    assess(&Exchange { datagrams: &datagrams, client_port, server_port })
}

fn check(datagrams: &[(Side, &[u8])], protocol: Protocol, stage: Stage) {
    let found = of(datagrams);
    assert_eq!((found.protocol, found.stage), (protocol, stage), "{datagrams:02x?}");
}

fn unknown(datagrams: &[(Side, &[u8])]) {
    check(datagrams, Protocol::Unknown, Stage::Unknown);
}

/// Bytes as even as those of ciphertext.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 41) as u8
    };
    core::iter::repeat_with(next).take(length).collect()
}

fn dns(flags: u8, answers: u8, behind: &[u8]) -> Vec<u8> {
    let question = b"\x03www\x07example\x03com\0\0\x01\0\x01";
    let header = [0x12, 0x34, flags, 0, 0, 1, 0, answers, 0, 0, 0, 0];
    [&header[..], question, behind].concat()
}

#[test]
fn nothing_was_said() {
    check(&[], Protocol::Unknown, Stage::Pending);
    check(&[(CLIENT, b"")], Protocol::Unknown, Stage::Pending);
}

#[test]
fn both_sides_make_it_certain() {
    let (query, response) = (dns(1, 0, b""), dns(0x81, 1, &[0xc0, 12, 0, 1, 0, 1]));
    let alone = of(&[(CLIENT, &query)]);
    assert_eq!((alone.protocol, alone.is_certain), (Protocol::Dns, false));
    let both = of(&[(CLIENT, &query), (SERVER, &response)]);
    assert_eq!(
        (both.protocol, both.stage, both.is_certain),
        (Protocol::Dns, Stage::Plaintext, true)
    );
}

#[test]
fn a_name_that_runs_out_of_the_datagram_is_not_dns() {
    let query = dns(1, 0, b"");
    unknown(&[(CLIENT, &query[..25])]);
    let cut = [Datagram { side: CLIENT, payload: &query[..25], length: query.len() }];
    let found = assess(&Exchange { datagrams: &cut, client_port: 40_009, server_port: 40_013 });
    assert_eq!(found.protocol, Protocol::Dns, "what was cut in the capture cannot contradict");
}

#[test]
fn whole_payloads_contradict_first_bytes() {
    let get = b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x07\x02\x01\0\x02\x01\0\
                \x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\0\x05\0";
    assert_eq!(of(&[(CLIENT, get)]).version.as_deref(), Some("2c"));
    check(&[(CLIENT, get)], Protocol::Snmp, Stage::Plaintext);
    let mut other = get.to_vec();
    other[13] = 0xb0;
    unknown(&[(CLIENT, &other)]);

    let mut radius = [&[1, 7, 0, 44][..], &[0x5a; 16], &[1, 6, 1, 2, 3, 4], &[4, 18]].concat();
    radius.extend([7; 16]);
    check(&[(CLIENT, &radius)], Protocol::Radius, Stage::Plaintext);
    radius[27] = 19;
    unknown(&[(CLIENT, &radius)]);

    let mut dhcp = vec![0; 241];
    dhcp[..3].copy_from_slice(&[1, 1, 6]);
    unknown(&[(CLIENT, &dhcp)]);
    dhcp[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    check(&[(CLIENT, &dhcp)], Protocol::Dhcp, Stage::Plaintext);

    check(&[(CLIENT, b"<13>Nov 24 12:00:00 mars su: ok")], Protocol::Syslog, Stage::Plaintext);
    unknown(&[(CLIENT, b"<13>\x4e\x01\x02\x03\x04\x05\x06\x07\x0e\x0f")]);
}

#[test]
fn what_comes_before_does_not_hide_a_protocol() {
    let register = b"REGISTER sip:192.0.2.1:5060 SIP/2.0\r\n\r\n";
    check(&[(CLIENT, &[0; 4]), (CLIENT, register)], Protocol::Sip, Stage::Plaintext);
    unknown(&[(CLIENT, b"REGISTER nobody\r\n\r\n\x01")]);
}

#[test]
fn a_file_is_told_by_its_mode_or_its_blocks() {
    check(&[(CLIENT, b"\0\x01boot.img\0octet\0")], Protocol::Tftp, Stage::Plaintext);
    unknown(&[(CLIENT, b"\0\x01boot.img\0other\0")]);
    let block = [&[0, 3, 0, 7][..], &[9; 100]].concat();
    check(&[(SERVER, &block), (CLIENT, &[0, 4, 0, 7])], Protocol::Tftp, Stage::Plaintext);
    unknown(&[(SERVER, &block), (CLIENT, &[0, 4, 0, 8])]);
}

#[test]
fn coap_is_told_by_the_message_id_of_its_answer() {
    let (request, answer) = (&[0x40, 1, 0x7d, 0x34, 0x11, 9][..], &[0x60, 0x45, 0x7d, 0x34][..]);
    check(&[(CLIENT, request), (SERVER, answer)], Protocol::Coap, Stage::Plaintext);
    unknown(&[(CLIENT, request), (SERVER, &[0x60, 0x45, 0x7d, 0x35])]);
    let draft = [0x42, 1, 1, 2, 0x72, 0x16, 0x33, 0x23, b'f', b'o', b'o'];
    let found = on((40_009, 5683), &[(CLIENT, &draft)]);
    assert_eq!(found.protocol, Protocol::Coap);
}

fn rtp(sequence: u8, payload: &[u8]) -> Vec<u8> {
    [&[0x80, 96, 0x10, sequence, 0, 0, sequence, 0, 0x5a, 0x5b, 0x5c, 0x5d], payload].concat()
}

#[test]
fn rtp_needs_three_packets_in_sequence() {
    let packets: Vec<Vec<u8>> = (1..4).map(|n| rtp(n, &[0xd5; 160])).collect();
    let [one, two, three] = [0, 1, 2].map(|at| (CLIENT, packets[at].as_slice()));
    check(&[one, two, three], Protocol::Rtp, Stage::Plaintext);
    unknown(&[one, two]);
    unknown(&[three, two, one]);
}

#[test]
fn media_like_ciphertext_is_not_called_plaintext() {
    let packets: Vec<Vec<u8>> = (1..8).map(|n| rtp(n, &noise(160, n.into()))).collect();
    let datagrams: Vec<_> = packets.iter().map(|packet| (SERVER, packet.as_slice())).collect();
    check(&datagrams, Protocol::Rtp, Stage::Unknown);
}

#[test]
fn a_datagram_that_was_captured_twice_does_not_make_ciphertext_readable() {
    let datagram = [&[4, 0, 0, 0, 5, 6, 7, 8, 1, 0, 0, 0, 0, 0, 0, 0], &noise(112, 3)[..]].concat();
    let copies = [(CLIENT, &datagram[..]); 7];
    check(&copies, Protocol::Wireguard, Stage::Encrypted);
}

#[test]
fn reports_that_end_with_a_tag_are_sealed() {
    let mut report = vec![0x80, 201, 0, 1, 1, 2, 3, 4];
    check(&[(CLIENT, &report)], Protocol::Rtp, Stage::Plaintext);
    report.extend([0x80, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
    check(&[(CLIENT, &report)], Protocol::Rtp, Stage::Unknown);
}

#[test]
fn wireguard_joined_late_needs_two_messages_of_ciphertext() {
    let data = |counter: u8, payload: &[u8]| {
        [&[4, 0, 0, 0, 5, 6, 7, 8, counter, 0, 0, 0, 0, 0, 0, 0], payload].concat()
    };
    let (one, two) = (data(1, &noise(112, 3)), data(2, &noise(112, 5)));
    check(&[(CLIENT, &one)], Protocol::Wireguard, Stage::Unknown);
    check(&[(CLIENT, &one), (CLIENT, &two)], Protocol::Wireguard, Stage::Encrypted);
    let (one, two) = (data(1, &[0x20; 112]), data(2, &[0x20; 112]));
    unknown(&[(CLIENT, &one), (CLIENT, &two)]);
}

#[test]
fn esp_on_its_port_must_look_sealed() {
    let packet = |sequence: u8, payload: &[u8]| {
        [&[0xc0, 0xff, 0xee, 1, 0, 0, 0, sequence], payload].concat()
    };
    let both = |payload: &[u8]| {
        let (one, two) = (packet(1, payload), packet(2, payload));
        let found = on((4500, 4500), &[(CLIENT, &one), (SERVER, &two)]);
        (found.protocol, found.stage)
    };
    assert_eq!(both(&noise(104, 7)), (Protocol::EspInUdp, Stage::Encrypted));
    assert_eq!(both(&[b'x'; 104]), (Protocol::Unknown, Stage::Unknown));
}

#[test]
fn openvpn_joined_late_counts_its_packets() {
    let packet = |id: u8| [&[0x48, 0, 0, 1, 0, 0, 0, id][..], &noise(120, id.into())].concat();
    let packets: Vec<Vec<u8>> = (1..7).map(packet).collect();
    let turns = |sides: [Side; 6]| -> Vec<(Side, &[u8])> {
        sides.into_iter().zip(&packets).map(|(side, packet)| (side, packet.as_slice())).collect()
    };
    let both = turns([CLIENT, SERVER, CLIENT, SERVER, CLIENT, SERVER]);
    check(&both, Protocol::Openvpn, Stage::Encrypted);
    unknown(&turns([CLIENT; 6]));
}

#[test]
fn quic_joined_late_is_a_guess() {
    let sent = |seed| [&[0x4a, 1, 2, 3, 4, 5, 6, 7, 8][..], &noise(80, seed)].concat();
    let answer = [&[0x51][..], &noise(90, 17)].concat();
    let (one, two, three) = (sent(1), sent(2), sent(3));
    let datagrams = [(CLIENT, &one[..]), (SERVER, &answer), (CLIENT, &two), (CLIENT, &three)];
    let found = on((40_009, 443), &datagrams);
    assert_eq!(
        (found.protocol, found.stage, found.is_certain),
        (Protocol::Quic, Stage::Encrypted, false)
    );
    unknown(&datagrams);
}

#[test]
fn text_is_readable_whatever_it_is() {
    check(&[(CLIENT, b"requests:1|c|#env:test")], Protocol::Unknown, Stage::Plaintext);
    unknown(&[(CLIENT, b"cmVxdWVzdHMxY2VudnRlc3Q=")]);
    let found = on((40_009, 514), &[(CLIENT, b"this has no priority")]);
    assert_eq!(found.protocol, Protocol::Syslog);
}

#[test]
fn gss_that_seals_is_partial() {
    let call = |service: u8| {
        let words = [9, 0, 2, 100_003, 3, 1, 6u32, 20, 1, 0, 1, u32::from(service), 0, 0, 0, 0];
        words.map(u32::to_be_bytes).concat()
    };
    check(&[(CLIENT, &call(3))], Protocol::Nfs, Stage::Partial);
    check(&[(CLIENT, &call(1))], Protocol::Nfs, Stage::Plaintext);
}

/// A client's Initial and a server's, with a packet of type Handshake behind it.
#[test]
fn packets_that_share_a_datagram_are_seen() {
    let long = |kind: u8, token: &[u8], length: u8| {
        [&[0xc0 | kind << 4, 0, 0, 0, 1, 1, 7, 1, 8], token, &[length]].concat()
    };
    let mut hello = long(0, &[0], 40);
    hello.resize(1200, 0);
    let mut answer = [long(0, &[0], 30), noise(30, 11)].concat();
    check(&[(CLIENT, &hello), (SERVER, &answer)], Protocol::Quic, Stage::Handshake);
    answer.extend([long(2, &[], 40), noise(40, 13)].concat());
    check(&[(CLIENT, &hello), (SERVER, &answer)], Protocol::Quic, Stage::Encrypted);
    check(&[(CLIENT, &hello)], Protocol::Quic, Stage::Offered);
}

#[test]
fn every_protocol_says_why() {
    for protocol in Protocol::ALL {
        for stage in Stage::ALL.iter().copied() {
            assert!(!evidence(*protocol, stage).is_empty());
        }
    }
}

proptest! {
    #[test]
    fn random_datagrams_never_panic_and_are_not_encrypted(
        datagrams in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(any::<u8>(), 0..300), 0..40usize), 0..7),
        ports in any::<(u16, u16)>(),
    ) {
        let datagrams: Vec<Datagram<'_>> = datagrams
            .iter()
            .map(|(is_client, payload, cut)| Datagram {
                side: if *is_client { CLIENT } else { SERVER },
                payload,
                length: payload.len() + cut,
            })
            .collect();
        let (client_port, server_port) = ports;
        let found = assess(&Exchange { datagrams: &datagrams, client_port, server_port });
        prop_assert_ne!(found.stage, Stage::Encrypted);
    }

    #[test]
    fn bytes_behind_a_known_start_never_panic(
        start in prop::sample::select(vec![
            &[0x30, 0x82][..], &[22, 0xfe, 0xfd, 0, 0], &[0xc3, 0, 0, 0, 1], &[0x80, 0xc8, 0, 6],
            &[0, 1, b'a'], &[1, 1, 6, 0], &[0x44, 1], b"\0\x07\0\0\0\x01\0\0", b"d1:ad2:id20:",
            &[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42], &[0, 0, 0, 9, b'm'], &[4, 0, 0, 0],
        ]),
        behind in prop::collection::vec(any::<u8>(), 0..400),
        port in prop::sample::select(vec![53, 69, 123, 443, 514, 547, 4500, 5353, 5683, 40_013]),
    ) {
        let whole = [start, &behind].concat();
        on((40_009, port), &[(CLIENT, &whole), (SERVER, &behind), (CLIENT, &whole)]);
    }

    /// The kernel judges the first datagram alone. What core makes of a whole exchange either
    /// agrees or was contradicted by the rest.
    #[test]
    fn core_and_kernel_agree_on_a_question(id in any::<[u8; 2]>(), port in any::<u16>()) {
        let mut query = dns(1, 0, b"");
        query[..2].copy_from_slice(&id);
        let datagram = Datagram { side: CLIENT, payload: &query, length: query.len() };
        let (start, length) = start(&datagram);
        let found = on((port, 40_013), &[(CLIENT, &query)]);
        let kernel = datagram::first(&start, length, port, 40_013);
        prop_assert_eq!((found.protocol, found.stage), kernel);
    }
}
