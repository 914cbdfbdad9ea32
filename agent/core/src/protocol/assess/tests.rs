//! Conversations cut into segments of every kind come to the same answer.

use alloc::vec;

use super::*;

/// One message of each turn: `>` from the client, `<` from the server.
type Script<'a> = &'a [(char, &'a [u8])];

const CLIENT_HELLO: &[u8] = &[
    22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 2, 0x13, 1, 1, 0, 0, 0,
];
const SERVER_HELLO: &[u8] = &[
    22, 3, 3, 0, 44, 2, 0, 0, 40, 3, 3, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
    9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0x13, 1, 0, 0, 0,
];
const DATA: &[u8] = &[23, 3, 3, 0, 20, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5];
const START_TLS: &[u8] = &[
    0x30, 29, 2, 1, 1, 0x77, 24, 0x80, 22, b'1', b'.', b'3', b'.', b'6', b'.', b'1', b'.', b'4',
    b'.', b'1', b'.', b'1', b'4', b'6', b'6', b'.', b'2', b'0', b'0', b'3', b'7',
];

/// What a conversation is whose messages are cut into segments of `step` bytes.
fn of(script: Script<'_>, step: usize, is_whole: bool) -> Assessment {
    let (mut client, mut server, mut turns) = (vec![], vec![], vec![]);
    for (who, bytes) in script {
        let side = if *who == '>' { Side::Client } else { Side::Server };
        for part in bytes.chunks(step) {
            turns.push(Turn { side, length: part.len() });
        }
        if side == Side::Client { client.extend(*bytes) } else { server.extend(*bytes) }
    }
    assess(&Conversation { client: &client, server: &server, turns: &turns, is_whole, port: 7 })
}

fn check(script: Script<'_>, protocol: Protocol, stage: Stage, secret: Secret) {
    for step in [usize::MAX, 1, 2, 3, 5, 7, 11, 13] {
        let found = of(script, step, true);
        assert_eq!(
            (found.protocol, found.stage, found.secret),
            (protocol, stage, secret),
            "in steps of {step}: {script:?}"
        );
    }
}

fn plain(script: Script<'_>, protocol: Protocol) {
    check(script, protocol, Stage::Plaintext, Secret::None);
}

#[test]
fn a_handshake_is_what_both_began() {
    let none = Secret::None;
    check(&[('>', CLIENT_HELLO)], Protocol::Tls, Stage::Offered, none);
    check(&[('>', CLIENT_HELLO), ('<', SERVER_HELLO)], Protocol::Tls, Stage::Handshake, none);
    let all: Script<'_> = &[('>', CLIENT_HELLO), ('<', SERVER_HELLO), ('>', DATA)];
    check(all, Protocol::Tls, Stage::Encrypted, none);
    let bad: Script<'_> = &[('>', CLIENT_HELLO), ('<', b"HTTP/1.1 400 Bad Request\r\n\r\n")];
    check(bad, Protocol::Tls, Stage::Offered, none);
    check(&[('>', DATA), ('<', DATA)], Protocol::Tls, Stage::Unknown, none);
}

#[test]
fn upgrades_are_found() {
    let tls: Script<'_> = &[('>', CLIENT_HELLO), ('<', SERVER_HELLO), ('>', DATA)];
    let check = |begin: Script<'_>, protocol| {
        let script = [begin, tls].concat();
        check(&script, protocol, Stage::Upgraded, Secret::None);
        let at: usize =
            begin.iter().filter(|(who, _)| *who == '>').map(|(_, said)| said.len()).sum();
        assert_eq!(of(&script, 7, true).upgraded_at, Some(at as u64), "{protocol:?}");
    };
    check(&[('>', b"\0\0\0\x08\x04\xd2\x16\x2f"), ('<', b"S")], Protocol::Postgresql);
    check(
        &[
            ('<', b"220 mx.example\r\n"),
            ('>', b"EHLO a.example\r\n"),
            ('<', b"250 STARTTLS\r\n"),
            ('>', b"STARTTLS\r\n"),
            ('<', b"220 go\r\n"),
        ],
        Protocol::Smtp,
    );
    check(
        &[('<', b"* OK ready\r\n"), ('>', b"a1 STARTTLS\r\n"), ('<', b"a1 OK begin\r\n")],
        Protocol::Imap,
    );
    check(&[('<', b"+OK ready\r\n"), ('>', b"STLS\r\n"), ('<', b"+OK go\r\n")], Protocol::Pop3);
    check(&[('<', b"220 files\r\n"), ('>', b"AUTH TLS\r\n"), ('<', b"234 go\r\n")], Protocol::Ftp);
    check(
        &[('>', START_TLS), ('<', &[0x30, 12, 2, 1, 1, 0x78, 7, 10, 1, 0, 4, 0, 4, 0])],
        Protocol::Ldap,
    );
    check(
        &[
            ('>', b"<stream:stream to='a'>"),
            ('<', b"<stream:stream><stream:features>"),
            ('>', b"<starttls xmlns='x'/>"),
            ('<', b"<proceed xmlns='x'/>"),
        ],
        Protocol::Xmpp,
    );
    check(&[('>', b"AMQP\x02\x01\0\0"), ('<', b"AMQP\x02\x01\0\0")], Protocol::Amqp);
    check(&[('<', b"INFO {\"tls_required\":true}\r\n")], Protocol::Nats);
    check(
        &[('>', b"CONNECT a.example:443 HTTP/1.1\r\n\r\n"), ('<', b"HTTP/1.1 200 OK\r\n\r\n")],
        Protocol::Http,
    );
    check(
        &[
            ('>', &[3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0]),
            ('<', &[3, 0, 0, 19, 14, 0xd0, 0, 0, 0, 0, 0, 2, 0, 8, 0, 2, 0, 0, 0]),
        ],
        Protocol::Rdp,
    );
}

#[test]
fn mysql_has_its_hello_in_the_message_that_asks() {
    let greeting =
        b"\x2a\0\0\0\x0a8.0.36\0\x07\0\0\0saltsalt\0\xff\xff\xff\x02\0\xff\xc7\x15mysqlmy";
    let mut ask = vec![32, 0, 0, 1, 0x85, 0xae, 0xff, 0x19, 0, 0, 0, 1, 0xff];
    ask.resize(36, 0);
    ask.extend(CLIENT_HELLO);
    let script: Script<'_> = &[('<', greeting), ('>', &ask), ('<', SERVER_HELLO), ('>', DATA)];
    check(script, Protocol::Mysql, Stage::Upgraded, Secret::None);
    assert_eq!(of(script, 5, true).upgraded_at, Some(36));
}

#[test]
fn what_was_offered_or_refused_is_told() {
    let none = Secret::None;
    let begin: Script<'_> = &[('>', b"\0\0\0\x08\x04\xd2\x16\x2f"), ('<', b"N")];
    check(begin, Protocol::Postgresql, Stage::Refused, none);
    let login: (char, &[u8]) = ('>', b"\0\0\0\x13\0\x03\0\0user\0alice\0\0");
    check(&[begin, &[login]].concat(), Protocol::Postgresql, Stage::Refused, none);
    plain(&[login], Protocol::Postgresql);
    let mail: Script<'_> = &[
        ('<', b"220 mx.example ESMTP\r\n"),
        ('>', b"EHLO a.example\r\n"),
        ('<', b"250-mx.example\r\n250-STARTTLS\r\n250 HELP\r\n"),
    ];
    check(mail, Protocol::Smtp, Stage::MayUpgrade, none);
    let on: (char, &[u8]) = ('>', b"MAIL FROM:<a@a.example>\r\n");
    check(&[mail, &[on]].concat(), Protocol::Smtp, Stage::OfferedNotTaken, none);
    let refused: Script<'_> = &[('>', b"STARTTLS\r\n"), ('<', b"454 not now\r\n")];
    check(&[mail, refused].concat(), Protocol::Smtp, Stage::Refused, none);
}

#[test]
fn credentials_in_the_clear() {
    use Stage::{MayUpgrade, Plaintext, Refused};
    let get: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eA==\r\n\r\n";
    check(&[('>', get)], Protocol::Http, Plaintext, Secret::HttpBasic);
    let bearer: &[u8] = b"GET / HTTP/1.1\r\nauthorization: Bearer x\r\n\r\n";
    check(&[('>', bearer)], Protocol::Http, Plaintext, Secret::HttpBearer);
    let pop: Script<'_> =
        &[('<', b"+OK\r\n"), ('>', b"USER a\r\n"), ('<', b"+OK\r\n"), ('>', b"PASS b\r\n")];
    check(pop, Protocol::Pop3, Plaintext, Secret::Pop3Password);
    let ftp: Script<'_> =
        &[('<', b"220 x\r\n"), ('>', b"USER a\r\n"), ('<', b"331 x\r\n"), ('>', b"PASS b\r\n")];
    check(ftp, Protocol::Ftp, Plaintext, Secret::FtpPassword);
    let imap: Script<'_> = &[('<', b"* OK x\r\n"), ('>', b"a1 LOGIN a b\r\n")];
    check(imap, Protocol::Imap, Plaintext, Secret::ImapLogin);
    let redis: Script<'_> = &[('>', b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n"), ('<', b"+OK\r\n")];
    check(redis, Protocol::Redis, Plaintext, Secret::RedisAuth);
    let bind: &[u8] =
        &[0x30, 17, 2, 1, 1, 0x60, 12, 2, 1, 3, 4, 4, b'c', b'n', b'=', b'a', 0x80, 1, b'x'];
    check(&[('>', bind)], Protocol::Ldap, MayUpgrade, Secret::LdapSimple);
    let nobody: &[u8] = &[0x30, 12, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0];
    check(&[('>', nobody)], Protocol::Ldap, MayUpgrade, Secret::None);
    let login: (char, &[u8]) = ('>', b"\0\0\0\x13\0\x03\0\0user\0alice\0\0");
    let scram: Script<'_> =
        &[login, ('<', b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"), ('>', b"p\0\0\0\x36SCRAM")];
    check(scram, Protocol::Postgresql, Plaintext, Secret::PostgresqlScram);
    let clear: Script<'_> = &[login, ('<', b"R\0\0\0\x08\0\0\0\x03")];
    check(clear, Protocol::Postgresql, Plaintext, Secret::None);
    let sent = [clear, &[('>', b"p\0\0\0\x06x\0".as_slice())]].concat();
    check(&sent, Protocol::Postgresql, Plaintext, Secret::PostgresqlPassword);
    let asked: Script<'_> = &[('>', b"\0\0\0\x08\x04\xd2\x16\x2f"), ('<', b"N")];
    check(&[asked, &sent].concat(), Protocol::Postgresql, Refused, Secret::PostgresqlPassword);
    let mqtt: &[u8] = b"\x10\x13\0\x04MQTT\x04\xc2\0\x3c\0\x01a\0\x01b\0\x01c";
    check(&[('>', mqtt)], Protocol::Mqtt, Plaintext, Secret::MqttPassword);
}

#[test]
fn behind_a_hello_nothing_is_a_credential() {
    let inside = [DATA, b"\r\nAuthorization: Basic eA==\r\n"].concat();
    let script: Script<'_> = &[
        ('>', b"CONNECT a:443 HTTP/1.1\r\n\r\n"),
        ('<', b"HTTP/1.1 200 OK\r\n\r\n"),
        ('>', CLIENT_HELLO),
        ('<', SERVER_HELLO),
        ('>', &inside),
    ];
    check(script, Protocol::Http, Stage::Upgraded, Secret::None);
}

#[test]
fn names_of_what_is_in_the_clear() {
    plain(&[('>', b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")], Protocol::Http2);
    plain(&[('>', b"*1\r\n$4\r\nPING\r\n"), ('<', b"+PONG\r\n")], Protocol::Redis);
    plain(&[('>', b"get a\r\n"), ('<', b"VALUE a 0 1\r\nx\r\nEND\r\n")], Protocol::Memcached);
    plain(&[('>', b"CONNECT {\"verbose\":false}\r\n"), ('<', b"+OK\r\n")], Protocol::Nats);
    plain(&[('>', b"CONNECT\naccept-version:1.2\n\n\0")], Protocol::Stomp);
    plain(&[('<', b"RFB 003.008\n"), ('>', b"RFB 003.008\n")], Protocol::Rfb);
    plain(&[('>', &[5, 1, 0]), ('<', &[5, 0]), ('>', b"GET / HTTP/1.1\r\n\r\n")], Protocol::Socks);
    let kafka: &[u8] = &[0, 0, 0, 14, 0, 18, 0, 3, 0, 0, 0, 7, 0, 4, b'r', b'd', b'k', b'a'];
    plain(&[('>', kafka)], Protocol::Kafka);
    let read: &[u8] = &[0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 2];
    plain(&[('>', read), ('<', &[0, 7, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2])], Protocol::Modbus);
    let upgrade: &[u8] = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let agreed: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    plain(&[('>', upgrade), ('<', agreed)], Protocol::Websocket);
}

#[test]
fn a_join_in_the_middle_needs_two_records() {
    let check = |script: Script<'_>, protocol, stage| {
        let found = of(script, usize::MAX, false);
        assert_eq!((found.protocol, found.stage), (protocol, stage), "{script:?}");
    };
    check(&[('>', DATA)], Protocol::Tls, Stage::Unknown);
    check(&[('>', &[DATA, DATA].concat())], Protocol::Tls, Stage::Encrypted);
    check(&[('>', DATA), ('<', DATA)], Protocol::Tls, Stage::Encrypted);
    // A frame of HTTP/2 whose length and type look like a record's start.
    let frame = [&[0x17, 0x03, 0x03, 0, 0, 0, 0, 0, 1][..], &[0; 64]].concat();
    assert_ne!(of(&[('>', &frame)], usize::MAX, false).stage, Stage::Encrypted);
    let ping: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    check(&[('>', ping)], Protocol::Unknown, Stage::Unknown);
    check(&[('>', &[ping, ping].concat())], Protocol::Http2, Stage::Plaintext);
}

#[test]
fn a_proxy_header_goes_before_the_rest() {
    let line = [b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 443\r\n", CLIENT_HELLO].concat();
    let script: Script<'_> = &[('>', &line), ('<', SERVER_HELLO), ('>', DATA)];
    check(script, Protocol::Tls, Stage::Encrypted, Secret::None);
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x13\x88\x01\xbb";
    let binary = [header, CLIENT_HELLO].concat();
    let script: Script<'_> = &[('>', &binary), ('<', SERVER_HELLO), ('>', DATA)];
    check(script, Protocol::Tls, Stage::Encrypted, Secret::None);
    let plain_text = [header.as_slice(), b"GET / HTTP/1.1\r\n\r\n"].concat();
    check(&[('>', &plain_text)], Protocol::Http, Stage::Plaintext, Secret::None);
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic_and_noise_is_never_encrypted(
        client in proptest::collection::vec(proptest::num::u8::ANY, 0..97),
        server in proptest::collection::vec(proptest::num::u8::ANY, 0..97),
        step in 1_usize..37,
        is_whole in proptest::bool::ANY,
    ) {
        let found = of(&[('>', &client), ('<', &server), ('>', &server)], step, is_whole);
        proptest::prop_assert!(found.stage != Stage::Encrypted && found.stage != Stage::Upgraded);
    }
}
