//! Heads from byte strings that follow the specifications; no shorter start says otherwise.

use super::*;
use crate::wire::protocol::Protocol::*;

const CLIENT: Before = Before::nothing(Side::Client);
const SERVER: Before = Before::nothing(Side::Server);

/// What the start of a message is; each shorter start is the same, or nothing yet.
fn check(bytes: &[u8], before: Before, protocol: Protocol, tell: Tell) {
    let of = |len: usize| {
        let mut window = [0xee; HEAD_LEN];
        let kept = len.min(HEAD_LEN);
        window[..kept].copy_from_slice(&bytes[..kept]);
        head(&Start::new(&window), len as u32, before)
    };
    let whole = of(bytes.len());
    assert_eq!((whole.protocol, whole.tell), (protocol, tell), "{bytes:02x?}");
    for len in 0..bytes.len() {
        let part = of(len);
        assert!(part == Head::UNKNOWN || part == whole, "{len} of {bytes:02x?}: {part:?}");
    }
}

fn client(bytes: &[u8], protocol: Protocol, tell: Tell) {
    check(bytes, CLIENT, protocol, tell);
}

fn server(bytes: &[u8], protocol: Protocol, tell: Tell) {
    check(bytes, SERVER, protocol, tell);
}

/// An answer to what the other side said last.
fn answer(bytes: &[u8], heard: Protocol, last: Tell, expect: Tell) {
    let before = Before { heard: heard as u8, heard_last: last as u8, is_opening: false, ..SERVER };
    let mut window = [0; HEAD_LEN];
    let kept = bytes.len().min(HEAD_LEN);
    window[..kept].copy_from_slice(&bytes[..kept]);
    assert_eq!(head(&Start::new(&window), bytes.len() as u32, before).tell, expect, "{bytes:02x?}");
}

#[test]
fn what_ldap_seals() {
    let check = |token: [u8; 3], expect| {
        let message = [&[0, 0, 0, 60][..], &token, &[7; 57]].concat();
        let before = Before { own: Ldap as u8, heard: Ldap as u8, is_opening: false, ..SERVER };
        let found = head(&Start::new(&message), message.len() as u32, before);
        assert_eq!(found == Head::of(Ldap, Tell::Sealed), expect, "{token:02x?}");
    };
    check([5, 4, 2], true);
    // Only signed.
    check([5, 4, 1], false);
    // Another mechanism, and one that leaves the message as it is.
    check([9, 9, 9], true);
    check([0x30, 57, 2], false);
    let ntlm = |first: u8| {
        let message = [&[0, 0, 0, 60, 1, 0, 0, 0][..], &[7; 12], &[first], &[7; 43]].concat();
        let before = Before { own: Ldap as u8, heard: Ldap as u8, is_opening: false, ..SERVER };
        head(&Start::new(&message), message.len() as u32, before) == Head::of(Ldap, Tell::Sealed)
    };
    assert!(ntlm(0x99) && !ntlm(0x30));
    // A part of a long result that looks like a length.
    let before = Before { own: Ldap as u8, heard: Ldap as u8, is_opening: false, ..SERVER };
    let part = [&[0, 0, 9, 9, 7][..], &[7; 300]].concat();
    assert_ne!(head(&Start::new(&part), 305, before), Head::of(Ldap, Tell::Sealed));
}

#[test]
fn requests() {
    for request in ["GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "PROPFIND /x HTTP/1.1\r\n"] {
        client(request.as_bytes(), Http, Tell::Sure);
    }
    server(b"HTTP/1.0 400 Bad Request", Http, Tell::Sure);
    client(b"CONNECT a.example:443 HTTP/1.1\r\n", Http, Tell::Ask);
    client(b"CONNECT {\"verbose\":false}\r\n", Nats, Tell::Commit);
    client(b"CONNECT\naccept-version:1.2\n", Stomp, Tell::Sure);
    client(b"OPTIONS rtsp://a.example/ RTSP/1.0\r\n", Rtsp, Tell::Sure);
    client(b"REGISTER sip:a.example SIP/2.0\r\n", Sip, Tell::Sure);
    client(b"GETX / HTTP/1.1", Unknown, Tell::None);
    server(b"HTTP/2 200 OK", Unknown, Tell::None);
}

#[test]
fn hellos_and_records() {
    client(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1], Tls, Tell::Hello);
    server(&[22, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3, 1], Tls, Tell::Hello);
    server(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1], Unknown, Tell::None);
    client(&[22, 3, 1, 0xff, 0xff, 1, 0, 1, 0xfc, 3, 3, 1], Unknown, Tell::None);
    client(&[0x80, 46, 1, 0, 2, 0, 21, 0, 0, 0, 16, 1], Tls, Tell::Hello);
    client(&[0x80, 47, 1, 0, 2, 0, 21, 0, 0, 0, 16, 1], Unknown, Tell::None);
    client(&[23, 3, 3, 0, 64, 1], Tls, Tell::Sealed);
    client(&[21, 3, 3, 0, 2, 2, 40], Unknown, Tell::More);
    client(&[21, 3, 3, 0, 26, 2, 40], Tls, Tell::Sealed);
    client(&[20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 40, 7, 7, 7, 7], Tls, Tell::Sealed);
    client(&[20, 3, 3, 0, 1, 1, 22, 3, 3, 1, 4, 1, 0, 1, 0], Tls, Tell::More);
    client(b"SSH-2.0-OpenSSH_9.2p1\r\n", Ssh, Tell::Hello);
}

#[test]
fn lengths_and_magic_numbers() {
    client(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f], Postgresql, Tell::Ask);
    client(b"\0\0\0\x13\0\x03\0\0user\0alice\0\0", Postgresql, Tell::Commit);
    server(b"\x4a\0\0\0\x0a8.0.36\0\x07\0\0\0", Mysql, Tell::Sure);
    client(&[0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3], Http2, Tell::Sure);
    client(&[0, 0, 17, 4, 0, 0, 0, 0, 0, 0, 3], Unknown, Tell::None);
    client(b"\0\0\0\x54\xfeSMB\x40\0", Smb, Tell::Sure);
    client(b"\0\0\0\x54\xfdSMB\x40\0", Smb, Tell::Sealed);
    client(&[0, 0, 0, 50, 0x6a, 48, 0xa1, 3], Kerberos, Tell::Sure);
    client(&[0, 0, 0, 51, 0x6a, 48, 0xa1, 3], Unknown, Tell::None);
    client(b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04abcd", Mqtt, Tell::Sure);
    client(&[0x30, 12, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0], Ldap, Tell::Sure);
    client(&[0x30, 5, 2, 1, 3, 0x42, 0], Ldap, Tell::Sure);
    let long = [0x30, 0x84, 0, 0, 0, 16, 2, 1, 2, 0x61, 0x84, 0, 0, 0, 7, 10, 1, 0, 4, 0, 4, 0];
    server(&long, Ldap, Tell::Sure);
    server(&[0, 7, 0, 0, 0, 3, 1, 0x83, 2], Modbus, Tell::Weak);
    client(b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19", Snmp, Tell::Sure);
    client(&[5, 0, 11, 3, 16, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0], Dcerpc, Tell::Sure);
    client(&[5, 1, 0], Socks, Tell::Weak);
    client(&[0xff, 0xfd, 0x18], Telnet, Tell::Sure);
    client(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3], Zmtp, Tell::Sure);
    client(&[0x68, 4, 7, 0, 0, 0], Iec104, Tell::Sure);
    client(&[5, 0x64, 5, 0xc4, 3, 0], Dnp3, Tell::Sure);
    client(&[0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 2], Modbus, Tell::Weak);
    let dns = [0, 29, 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7, b'e', b'x', b'a', b'm'];
    client(&dns, Dns, Tell::Sure);
    let find = [58, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0, 0, 0];
    client(&find, Mongodb, Tell::Sure);
    client(b"AMQP\0\0\x09\x01", Amqp, Tell::Commit);
    client(b"ES\0\0\0\x34\0\0", Elasticsearch, Tell::Sure);
}

#[test]
fn servers_that_speak_first() {
    server(b"220 mail.example ESMTP\r\n", Unknown, Tell::Greeting);
    server(b"* OK ready\r\n", Imap, Tell::Sure);
    server(b"+OK ready\r\n", Pop3, Tell::Sure);
    server(b"RFB 003.008\n", Rfb, Tell::Sure);
    server(b"INFO {\"server_id\":\"x\"}\r\n", Nats, Tell::Sure);
    client(b"ehlo a.example\r\n", Smtp, Tell::Sure);
    client(b"a1 STARTTLS\r\n", Imap, Tell::Ask);
    client(b"STLS\r\n", Pop3, Tell::Ask);
    client(b"AUTH TLS\r\n", Ftp, Tell::Ask);
    client(b"MODE READER\r\n", Nntp, Tell::Weak);
    client(b"MODE alice +i\r\n", Irc, Tell::Weak);
}

#[test]
fn answers_to_a_request_for_encryption() {
    answer(b"S", Postgresql, Tell::Ask, Tell::GoAhead);
    answer(b"N", Postgresql, Tell::Ask, Tell::Refusal);
    answer(b"220 go\r\n", Smtp, Tell::Ask, Tell::GoAhead);
    answer(b"454 no\r\n", Smtp, Tell::Ask, Tell::Refusal);
    answer(b"a1 OK go\r\n", Imap, Tell::Ask, Tell::GoAhead);
    answer(b"a1 NO\r\n", Imap, Tell::Ask, Tell::Refusal);
    answer(b"-ERR no\r\n", Pop3, Tell::Ask, Tell::Refusal);
    answer(b"HTTP/1.1 200 OK\r\n", Http, Tell::Ask, Tell::GoAhead);
    answer(b"HTTP/1.1 403 No\r\n", Http, Tell::Ask, Tell::Sure);
    answer(b"HTTP/1.1 407 No\r\n", Http, Tell::Ask, Tell::More);
    answer(b"<failure xmlns=", Xmpp, Tell::Ask, Tell::Refusal);
    let refused = [3, 0, 0, 19, 14, 0xd0, 0, 0, 0, 0, 0, 3, 0, 8, 0, 2, 0, 0, 0];
    answer(&refused, Rdp, Tell::Ask, Tell::Refusal);
}

#[test]
fn a_binary_proxy_header_says_how_long_it_is() {
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01";
    let of = |len: usize| proxy_len(&Start::new(&header[..len]), len as u32);
    assert_eq!((of(20), of(16), of(15)), (Some(28), Some(28), None));
    client(header, Unknown, Tell::Proxy);
}
