//! Datagrams written from their specifications, judged by their first bytes.

use super::*;

/// The window of these bytes.
/// Judges the start of a datagram of `len` bytes between ports that mean nothing.
fn start(bytes: &[u8], len: u32) -> Reading {
    first(&Start::new(bytes), len, 40_009, 40_013)
}

fn check(bytes: &[u8], len: u32, expect: Reading) {
    assert_eq!(start(bytes, len), expect, "{bytes:02x?} of {len}");
}

/// Judges a datagram that is given whole.
fn whole(bytes: &[u8], expect: Reading) {
    check(bytes, bytes.len() as u32, expect);
}

/// The same on a port.
fn on(port: u16, bytes: &[u8], len: u32, expect: Reading) {
    assert_eq!(first(&Start::new(bytes), len, 40_009, port), expect, "{bytes:02x?} on {port}");
    assert_eq!(first(&Start::new(bytes), len, port, 40_009), expect, "{bytes:02x?} from {port}");
}

const fn clear(protocol: Protocol) -> Reading {
    (protocol, Stage::Plaintext)
}

#[test]
fn dns() {
    let query = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    check(&query, 40, clear(Protocol::Dns));
    check(&query, 16, UNKNOWN);
    check(&[0x12, 0x34, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 1], 90, clear(Protocol::Dns));
    check(&[0x12, 0x34, 1, 0, 0, 1, 0, 3, 0, 0, 0, 0], 40, UNKNOWN);
    check(&[0x12, 0x34, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0], 40, UNKNOWN);
    check(&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 64], 40, UNKNOWN);
    check(&[0x12, 0x34, 0x28, 0, 0, 1, 0, 0, 0, 3, 0, 0, 7], 140, clear(Protocol::Dns));
}

#[test]
fn ports_name_what_has_the_format_of_dns() {
    let announcement = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 5, 4, b'_', b't', b'c', b'p'];
    on(5353, &announcement, 341, clear(Protocol::Mdns));
    check(&announcement, 341, UNKNOWN);
    let query = [0x30, 0x39, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'w', b'w', b'w'];
    on(5355, &query, 24, clear(Protocol::Llmnr));
    let name = b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\0\x20EIFAFCCACACACACACACACACACA";
    check(name, 50, clear(Protocol::NetbiosNs));
}

#[test]
fn quic() {
    let offered = (Protocol::Quic, Stage::Offered);
    check(&[0xc3, 0, 0, 0, 1, 8, 1, 2], 1200, offered);
    check(&[0xd3, 0x6b, 0x33, 0x43, 0xcf, 20], 1252, offered);
    check(&[0xc3, 0xff, 0, 0, 29, 8], 1350, offered);
    check(&[0xc3, 0xfa, 0xce, 0xb0, 2, 8], 1232, offered);
    check(&[0xc3, 0xfa, 0x1a, 0x2a, 0x3a, 8], 1232, offered);
    check(&[0xc3, 0xfa, 0x1a, 0x2a, 0x3a, 8], 300, UNKNOWN);
    check(&[0xc3, 0, 0, 0, 1, 21], 1200, UNKNOWN);
    check(&[0x43, 0, 0, 0, 1, 8], 1200, UNKNOWN);
    check(&[0xe3, 0, 0, 0, 1, 8], 300, (Protocol::Quic, Stage::Handshake));
    check(b"\xc3Q046\x50", 1350, (Protocol::Gquic, Stage::Partial));
    check(b"\x0d\x01\x02\x03\x04\x05\x06\x07\x08Q043\x01", 1350, (Protocol::Gquic, Stage::Partial));
}

#[test]
fn quic_goes_on() {
    let offered = start(&[0xc3, 0, 0, 0, 1, 8, 1, 2], 1200);
    let met = answer(offered, &Start::new(&[0xc5, 0, 0, 0, 1, 8, 1, 2]), 1200);
    assert_eq!(met, (Protocol::Quic, Stage::Handshake));
    assert_eq!(later(met, &Start::new(&[0x43, 1, 2]), 20), met, "too short for a packet");
    assert_eq!(later(met, &Start::new(&[0x43, 1, 2]), 21), (Protocol::Quic, Stage::Encrypted));
    let negotiation = Start::new(&[0x80, 0, 0, 0, 0, 8]);
    assert_eq!(answer(offered, &negotiation, 43), offered);
    assert_eq!(later(offered, &Start::new(&[0x43, 1, 2]), 50), offered, "nobody answered");
    let retry = Start::new(&[0xf0, 0, 0, 0, 1, 8]);
    assert_eq!(answer(offered, &retry, 120), offered);
}

#[test]
fn two_ntp_packets_are_not_quic() {
    let request = [0xe3, 0, 10, 0xfa, 0, 1, 0, 0, 0, 1, 0, 0];
    check(&request, 48, clear(Protocol::Ntp));
    let response = Start::new(&[0x24, 1, 10, 0xe9, 0, 0, 0, 0, 0, 0, 0, 8, b'C', b'D', b'M', b'A']);
    let reading = answer(start(&request, 48), &response, 48);
    assert_eq!(reading, clear(Protocol::Ntp));
    check(&[0xc3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], 48, UNKNOWN);
    on(123, &[0x17, 0, 3, 42], 192, clear(Protocol::Ntp));
    check(&[0x17, 0, 3, 42], 192, UNKNOWN);
}

#[test]
fn dtls() {
    let hello = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 1];
    check(&hello, 113, (Protocol::Dtls, Stage::Offered));
    check(&hello, 112, UNKNOWN);
    let data = [23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 7, 0, 40, 9];
    check(&data, 53, (Protocol::Dtls, Stage::Encrypted));
    let alert = [21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 7, 0, 40, 9];
    check(&alert, 53, (Protocol::Dtls, Stage::Handshake));
    let capwap = [&[1, 0, 0, 0][..], &hello].concat();
    check(&capwap, 117, (Protocol::Dtls, Stage::Offered));
}

#[test]
fn dtls_goes_on() {
    let offered = (Protocol::Dtls, Stage::Offered);
    let step = |reading, bytes: &[u8], len| later(reading, &Start::new(bytes), len);
    let demand = [22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 35, 3];
    assert_eq!(answer(offered, &Start::new(&demand), 48), offered);
    let hello = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 70, 2];
    let met = step(offered, &hello, 83);
    assert_eq!(met, (Protocol::Dtls, Stage::Handshake));
    let finished = [22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 40, 1];
    assert_eq!(step(met, &finished, 53), (Protocol::Dtls, Stage::Encrypted));
    assert_eq!(step(met, &[0x2e, 1, 2], 40), (Protocol::Dtls, Stage::Encrypted));
}

#[test]
fn stun_opens_a_path_for_dtls() {
    let request = [0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let stun = (Protocol::Stun, Stage::MayUpgrade);
    check(&request, 28, stun);
    check(&request, 29, UNKNOWN);
    let hello = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 1];
    assert_eq!(later(stun, &Start::new(&hello), 113), (Protocol::Dtls, Stage::Offered));
    assert_eq!(answer(stun, &Start::new(&request), 28), stun);
    let classic = [&[0, 1, 0, 8][..], &[7; 16], &[0, 3, 0, 4, 0, 0, 0, 0]].concat();
    whole(&classic, stun);
}

#[test]
fn wireguard() {
    let offered = start(&[1, 0, 0, 0, 9, 8, 7, 6], 148);
    assert_eq!(offered, (Protocol::Wireguard, Stage::Offered));
    check(&[1, 0, 0, 0, 9, 8, 7, 6], 149, UNKNOWN);
    let met = answer(offered, &Start::new(&[2, 0, 0, 0, 5, 5, 5, 5, 9, 8, 7, 6]), 92);
    assert_eq!(met, (Protocol::Wireguard, Stage::Handshake));
    let data = [4, 0, 0, 0, 5, 5, 5, 5, 1, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(later(met, &Start::new(&data), 128), (Protocol::Wireguard, Stage::Encrypted));
    let late = start(&data, 128);
    assert_eq!(late, (Protocol::Wireguard, Stage::Unknown), "one datagram proves nothing");
    assert_eq!(answer(late, &Start::new(&data), 96), (Protocol::Wireguard, Stage::Encrypted));
    check(&data, 129, UNKNOWN);
    check(b"TS\xf0\x9f\x92\xac", 92, (Protocol::Wireguard, Stage::Offered));
}

fn ike(responder: u8, payload: u8, version: u8, exchange: u8, flags: u8) -> [u8; 28] {
    let mut header = [0; 28];
    header[..8].fill(0x5a);
    header[8..16].fill(responder);
    header[16..20].copy_from_slice(&[payload, version, exchange, flags]);
    header[27] = 28;
    header
}

#[test]
fn ike_and_esp() {
    let offer = ike(0, 33, 0x20, 34, 8);
    whole(&offer, (Protocol::Ike, Stage::Offered));
    check(&offer, 29, UNKNOWN);
    let offered = (Protocol::Ike, Stage::Offered);
    let met = answer(offered, &Start::new(&ike(7, 33, 0x20, 34, 0x20)), 28);
    assert_eq!(met, (Protocol::Ike, Stage::Handshake));
    let sealed = (Protocol::Ike, Stage::Encrypted);
    assert_eq!(later(met, &Start::new(&ike(7, 46, 0x20, 35, 8)), 28), sealed);
    whole(&ike(7, 5, 0x10, 2, 1), sealed);
    whole(&ike(7, 5, 0x10, 2, 0), (Protocol::Ike, Stage::Handshake));
    let marked = [&[0; 4][..], &offer].concat();
    on(4500, &marked, 32, (Protocol::EspInUdp, Stage::Offered));
    whole(&marked, UNKNOWN);
    let esp = [0xc0, 0xff, 0xee, 1, 0, 0, 0, 9, 0x55, 0x66];
    let late = (Protocol::EspInUdp, Stage::Unknown);
    on(4500, &esp, 100, late);
    check(&esp, 100, UNKNOWN);
    assert_eq!(later(late, &Start::new(&esp), 100), (Protocol::EspInUdp, Stage::Encrypted));
}

#[test]
fn openvpn() {
    let offered = (Protocol::Openvpn, Stage::Offered);
    let reset = [0x38, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0];
    whole(&reset, offered);
    whole(&[0x38, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 1], UNKNOWN);
    check(&[0x38, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 0x66, 1, 2, 3], 54, offered);
    check(&[0x38, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 0x16, 1, 2, 3], 54, UNKNOWN);
    let met = answer(offered, &Start::new(&[0x40, 8, 7, 6, 5, 4, 3, 2, 1, 1]), 26);
    assert_eq!(met, (Protocol::Openvpn, Stage::Handshake));
    assert_eq!(answer(offered, &Start::new(b"what?"), 5), UNKNOWN);
    assert_eq!(
        later(met, &Start::new(&[0x48, 0, 0, 0]), 90),
        (Protocol::Openvpn, Stage::Encrypted)
    );
}

#[test]
fn snmp() {
    let get = b"\x30\x29\x02\x01\x01\x04\x06public\xa0\x1c";
    check(get, 43, clear(Protocol::Snmp));
    check(get, 44, UNKNOWN);
    let header = |flags: u8| {
        let start = [0x30, 0x3e, 2, 1, 3, 0x30, 0x0f, 2, 3, 1, 2, 3, 2, 2, 5, 0xdc, 4, 1];
        [&start[..], &[flags, 2, 1, 3]].concat()
    };
    check(&header(4), 64, (Protocol::Snmp, Stage::MayUpgrade));
    check(&header(7), 64, (Protocol::Snmp, Stage::Partial));
    let report = start(&header(4), 64);
    assert_eq!(later(report, &Start::new(&header(3)), 64), (Protocol::Snmp, Stage::Partial));
}

#[test]
fn other_ber() {
    let search = [0x30, 0x84, 0, 0, 0, 0x40, 2, 1, 1, 0x63, 0x84, 0, 0, 0, 0x37];
    check(&search, 70, clear(Protocol::Ldap));
    let sealed = (Protocol::Kerberos, Stage::Partial);
    check(&[0x6a, 0x60, 0x30, 0x5e, 0xa1, 3, 2, 1, 5, 0xa2, 3], 98, sealed);
    check(&[0x6a, 0x60, 0x30, 0x5e, 0xa1, 3, 2, 2, 4, 0xa2, 3], 98, UNKNOWN);
    check(&[0x7e, 0x60, 0x30, 0x5e, 0xa0, 3, 2, 1, 5, 0xa1, 3], 98, sealed);
}

#[test]
fn words() {
    whole(b"OPTIONS sip:a@192.0.2.1 SIP/2.0\r\n", clear(Protocol::Sip));
    whole(b"INVITE tel:+123 SIP/2.0\r\n", clear(Protocol::Sip));
    whole(b"OPTIONS * HTTP/1.1\r\n", UNKNOWN);
    whole(b"SIP/2.0 200 OK\r\n", clear(Protocol::Sip));
    whole(b"NOTIFY * HTTP/1.1\r\n", clear(Protocol::Ssdp));
    whole(b"NOTIFY sip:a@192.0.2.1 SIP/2.0\r\n", clear(Protocol::Sip));
    whole(b"M-SEARCH * HTTP/1.1\r\n", clear(Protocol::Ssdp));
    whole(b"<165>1 2003-10-11T22:14:15.003Z", clear(Protocol::Syslog));
    whole(b"<192>1 2003-10-11T22:14:15.003Z", UNKNOWN);
    whole(b"<7>late", clear(Protocol::Syslog));
    whole(b"<200>late", UNKNOWN);
    whole(b"<html>", UNKNOWN);
    whole(b"d1:ad2:id20:abcdefghij0123456789e", clear(Protocol::BittorrentDht));
    whole(b"\0\x07\0\0\0\x01\0\0stats\r\n", clear(Protocol::Memcached));
    whole(b"{\"host_int\": 1, \"version\": [2, 0]}", clear(Protocol::DbLspDisc));
}

#[test]
fn calls_and_lengths() {
    let call = |flavor: u8| {
        let words = [9, 0, 2, 100_003u32, 3, 1, u32::from(flavor), 0];
        words.map(u32::to_be_bytes).concat()
    };
    check(&call(1), 116, clear(Protocol::Nfs));
    check(&call(1), 117, UNKNOWN);
    check(&call(6), 116, (Protocol::Nfs, Stage::Partial));
    let reply = [0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    check(&reply, 24, clear(Protocol::Sunrpc));
    check(&[0x81, 0x0a, 0, 17, 1, 4], 17, clear(Protocol::Bacnet));
    check(&[0x81, 0x0a, 0, 17, 1, 4], 18, UNKNOWN);
    check(&[5, 0x64, 10, 0xc4, 1], 21, clear(Protocol::Dnp3));
    check(&[0, 5, 0, 2, 1], 120, clear(Protocol::Netflow));
    check(&[0, 5, 0, 2, 1], 121, UNKNOWN);
    check(&[0, 10, 0, 180, 0x59, 0x4a], 180, clear(Protocol::Netflow));
    check(&[0, 0, 0, 5, 0, 0, 0, 1, 192, 0, 2, 1], 144, clear(Protocol::Sflow));
    check(&[0x21, 55, 0, 20], 24, clear(Protocol::Pfcp));
    check(&[0x48, 32, 0, 20], 24, clear(Protocol::Gtp));
    check(&[0x30, 255, 0, 84], 92, clear(Protocol::Gtp));
    check(&[0x63, 0, 60, 0], 84, clear(Protocol::Enip));
}

#[test]
fn fields_of_few_values() {
    let mut request = [0; 32];
    request[..4].copy_from_slice(&[1, 7, 0, 44]);
    request[20..23].copy_from_slice(&[1, 6, b'u']);
    check(&request, 44, clear(Protocol::Radius));
    check(&request, 45, UNKNOWN);
    request[21] = 40;
    check(&request, 44, UNKNOWN);
    check(&[1, 1, 6, 0, 9, 9, 9, 9, 0, 3, 0x80, 0], 300, clear(Protocol::Dhcp));
    check(&[1, 1, 6, 0, 9, 9, 9, 9, 0, 3, 0x40, 0], 300, UNKNOWN);
    on(547, &[1, 9, 9, 9, 0, 1, 0, 14], 60, clear(Protocol::Dhcp));
    check(b"\0\0\0\x09mars\0\0\x01\0\x0c\0\0\0\0", 400, clear(Protocol::Collectd));
    check(&[0x11, 2, 0, 9, 192, 0, 2, 1, 0, 138, 0, 187], 201, clear(Protocol::NetbiosDgm));
    check(&[4, 0, 8, 0, 0x10, 0, 0, 0], 164, clear(Protocol::Dcerpc));
}

#[test]
fn tftp() {
    on(69, b"\0\x01boot.img\0octet\0", 17, clear(Protocol::Tftp));
    whole(b"\0\x01boot.img\0octet\0", UNKNOWN);
    whole(b"\0\x06tsize\x001234\0", clear(Protocol::Tftp));
    whole(b"\0\x05\0\x01File not found\0", clear(Protocol::Tftp));
    check(&[0, 3, 0, 1], 516, clear(Protocol::Tftp));
    check(&[0, 3, 0, 1], 517, UNKNOWN);
}

#[test]
fn coap() {
    let get = [0x41, 1, 0x12, 0x34, 9, 0xb3, b'f', b'o', b'o'];
    whole(&get, clear(Protocol::Coap));
    on(5683, &[0x40, 1, 0x12, 0x34, 0x39], 24, clear(Protocol::Coap));
    whole(&[0x40, 1, 0x12, 0x34, 0x39, 9, 9], UNKNOWN);
    whole(&[0x49, 1, 0x12, 0x34, 9, 0xb3, b'f', b'o', b'o'], UNKNOWN);
}

#[test]
fn of_rtp_only_the_header_is_known() {
    let packet = [0x80, 0, 0x10, 1, 0, 0, 1, 0x40, 0x5a, 0x5a, 0x5a, 0x5a];
    check(&packet, 172, (Protocol::Rtp, Stage::Unknown));
    check(&[0x80, 80, 0x10, 1, 0, 0, 1, 0x40, 0x5a, 0x5a, 0x5a, 0x5a], 172, UNKNOWN);
    check(&[0x81, 200, 0, 12, 1, 2, 3, 4], 112, (Protocol::Rtp, Stage::Unknown));
    check(&[0x81, 200, 0, 5, 1, 2, 3, 4], 112, UNKNOWN);
}

#[test]
fn what_is_settled_does_not_change() {
    let stun =
        Start::new(&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    let hello = Start::new(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 1]);
    for reading in Protocol::ALL.iter().flat_map(|p| Stage::ALL.iter().map(|stage| (*p, *stage))) {
        for (bytes, len) in [(&stun, 28), (&hello, 113)] {
            assert!(!is_settled(reading) || later(reading, bytes, len).1 == reading.1);
        }
    }
    assert!(!is_settled((Protocol::Stun, Stage::MayUpgrade)));
}

#[test]
fn nothing_is_told_from_noise() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let (mut named, mut sealed) = (0, 0);
    for _ in 0..20_011 {
        let bytes: [u8; WINDOW] = core::array::from_fn(|_| next() as u8);
        let len = next() as u32 % 1500;
        let reading = first(&Start::new(&bytes), len, next() as u16, next() as u16);
        named += u32::from(is_known(reading));
        sealed += u32::from(reading.1 == Stage::Encrypted);
        for protocol in Protocol::ALL {
            let reading = (*protocol, Stage::Handshake);
            let after = [
                answer(reading, &Start::new(&bytes), len),
                later(reading, &Start::new(&bytes), len),
            ];
            assert!(after.iter().all(|(_, stage)| *stage != Stage::Pending));
        }
    }
    assert_eq!(sealed, 0);
    assert!(named < 140, "{named}");
}
