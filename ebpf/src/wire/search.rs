//! What stands behind the first bytes of a message: a header, a capability, the name of a plug-in.
//!
//! A message is walked in windows of 32 bytes. A window is compared with what is looked for only
//! where a part of the message begins: a line, a word, an element. The next one begins behind the
//! next separator, so the cost is one step for each part, and one for each 32 bytes of a long one.
//! A part that is cut by the end of a segment within the text that is looked for is not found.

use super::coded::coded;
use super::head::{HEAD_LEN, Start, Tell};
use super::protocol::Protocol;
use super::secret::Secret;
use super::talk::Side;
use super::window::{Window, starts, starts_any_case};

coded! {
    /// What is looked for in a message, and what separates its parts.
    Search {
        /// Nothing.
        None = 0,
        /// The scheme of `Authorization` in a request (RFC 9110, section 11.6.2), or STOMP's
        /// passcode, among lines; up to the empty one.
        Headers = 1,
        /// Encryption among capabilities that have a line each: SMTP, POP3, FTP, NNTP.
        Lines = 2,
        /// The same among words in one line: IMAP.
        Words = 3,
        /// The same among elements: XMPP.
        Elements = 4,
        /// The same, or a password, among names in quotes: NATS.
        Names = 5,
        /// gRPC's content type among fields in HPACK (RFC 7541).
        Fields = 6,
        /// CLIENT_SSL in MySQL's greeting (MySQL's protocol, "Protocol::HandshakeV10").
        Greeting = 7,
        /// The plug-in in MySQL's login ("Protocol::HandshakeResponse41").
        Login = 8,
        /// The mechanism in AMQP's Connection.StartOk (AMQP 0-9-1, class 10, method 11).
        StartOk = 9,
    }
}

coded! {
    /// What was found.
    Find {
        /// Nothing so far.
        None = 0,
        /// The server offers encryption.
        Offer = 1,
        /// It is gRPC.
        Grpc = 2,
        /// Authentication.
        Secret = 3,
        /// The end of what is searched.
        End = 4,
    }
}

/// Where a window stands in its message.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Place {
    /// Within a part.
    Inside = 0,
    /// At the start of one.
    Start = 1,
    /// Within the name of MySQL's user.
    User = 2,
    /// At the length of what the user proves, which is skipped.
    Proof = 3,
    /// At the length of AMQP's properties, which are skipped.
    Properties = 4,
}

/// Packet header and fixed part of MySQL's login.
const LOGIN: u32 = 36;

/// Packet header and version of MySQL's greeting.
const GREETING: u32 = 5;

/// Frame header, class and method of AMQP.
const START_OK: u32 = 11;

const PLACE: u32 = 8;
const BEGIN: u32 = 16;
const FIND: u32 = 40;
const SECRET: u32 = 48;

/// What is looked for in a message of `side` that starts with `words`, as they lie in memory, and
/// was judged as `tell` in a conversation of this protocol: the [`Search`] in the lowest byte, what
/// [`step`] calls a place in the next one, and the offset at which to begin in the upper half of the lower word.
#[inline(always)]
pub const fn wanted(side: Side, protocol: u8, tell: u8, words: [u64; HEAD_LEN / 8]) -> u64 {
    let window = Window::new(&Start(words), HEAD_LEN as u64);
    let (search, place, at) = match side {
        Side::Client => of_client(protocol, tell, &window),
        Side::Server => of_server(protocol, &window),
    };
    search as u64 | (place as u64) << PLACE | (at as u64) << BEGIN
}

/// Offset at which a search begins.
#[inline(always)]
pub const fn begin(wanted: u64) -> u32 {
    (wanted >> BEGIN) as u32 & 0xff
}

#[inline(always)]
const fn of_client(protocol: u8, tell: u8, window: &Window) -> (Search, Place, u32) {
    const HTTP: u8 = Protocol::Http as u8;
    const HTTP2: u8 = Protocol::Http2 as u8;
    const STOMP: u8 = Protocol::Stomp as u8;
    const NATS: u8 = Protocol::Nats as u8;
    const MYSQL: u8 = Protocol::Mysql as u8;
    const AMQP: u8 = Protocol::Amqp as u8;
    match protocol {
        // A body may be a message, too, where the server has said that it wants it.
        HTTP | STOMP if tell != Tell::None as u8 => (Search::Headers, Place::Start, 0),
        HTTP2 => (Search::Fields, Place::Inside, 0),
        // Names in what is published are nobody's credentials.
        NATS if tell == Tell::Commit as u8 => (Search::Names, Place::Inside, 0),
        MYSQL if tell == Tell::Commit as u8 => (Search::Login, Place::User, LOGIN),
        AMQP if window.word(7) == 0x000a_000b => (Search::StartOk, Place::Properties, START_OK),
        _ => (Search::None, Place::Inside, 0),
    }
}

#[inline(always)]
const fn of_server(protocol: u8, window: &Window) -> (Search, Place, u32) {
    const SMTP: u8 = Protocol::Smtp as u8;
    const POP3: u8 = Protocol::Pop3 as u8;
    const FTP: u8 = Protocol::Ftp as u8;
    const NNTP: u8 = Protocol::Nntp as u8;
    const IMAP: u8 = Protocol::Imap as u8;
    const XMPP: u8 = Protocol::Xmpp as u8;
    const NATS: u8 = Protocol::Nats as u8;
    const MYSQL: u8 = Protocol::Mysql as u8;
    match protocol {
        SMTP | POP3 | FTP | NNTP => (Search::Lines, Place::Start, 0),
        IMAP => (Search::Words, Place::Start, 0),
        XMPP => (Search::Elements, Place::Inside, 0),
        NATS => (Search::Names, Place::Inside, 0),
        // Version 10 of the greeting, which is the first packet.
        MYSQL if window.half(3) == 10 => (Search::Greeting, Place::Inside, GREETING),
        _ => (Search::None, Place::Inside, 0),
    }
}

/// What a window holds that starts with `words`, as they lie in memory. `of` has its length in the
/// upper half, of which no more than 32 is looked at; below, the [`Search`] and the place, as
/// [`wanted`] or the step before gave them.
///
/// In the lower half, the offset of the next window; above it the next place, what was found, and
/// its [`Secret`].
#[inline(always)]
pub const fn step(words: [u64; HEAD_LEN / 8], of: u64) -> u64 {
    let len = of >> 32;
    let window =
        Window::new(&Start(words), if len < HEAD_LEN as u64 { len } else { HEAD_LEN as u64 });
    let Some(search) = Search::from_code(of as u8) else { return find(Find::End) };
    let place = (of >> PLACE) as u8;
    if place == Place::Proof as u8 {
        return next(1 + window.byte(0) as u64, Place::Start);
    }
    if place == Place::Properties as u8 {
        return next(4 + window.word(0) as u64, Place::Start);
    }
    if place == Place::Start as u8 {
        let found = at_start(search, &window);
        if found != 0 {
            return found;
        }
    }
    let at = window.find(separator(search));
    let other = if matches!(search, Search::Fields) { window.find(CONTENT_TYPE_LEN) } else { at };
    let at = if other < at { other } else { at };
    if at >= window.len {
        let place = if place == Place::User as u8 { Place::User } else { Place::Inside };
        next(window.len, place)
    } else if place == Place::User as u8 {
        next(at + 1, Place::Proof)
    } else {
        next(at + 1, Place::Start)
    }
}

/// What [`step`] wants to know of a window that has so many bytes.
#[inline(always)]
pub const fn of(search: u8, place: u8, bytes: u32) -> u64 {
    (bytes as u64) << 32 | (place as u64) << PLACE | search as u64
}

/// Offset of the next window, from this one.
#[inline(always)]
pub const fn advance(step: u64) -> u32 {
    step as u32
}

/// Where it stands, for the next step.
#[inline(always)]
pub const fn place(step: u64) -> u8 {
    (step >> 32) as u8
}

/// Code of what was [found](Find).
#[inline(always)]
pub const fn found(step: u64) -> u8 {
    (step >> FIND) as u8
}

/// Code of its [`Secret`].
#[inline(always)]
pub const fn secret(step: u64) -> u8 {
    (step >> SECRET) as u8
}

/// Searches a message that is at hand as a whole, as the kernel does segment by segment: the last
/// step, of which [`found`] and [`secret`] tell what there is.
pub fn walk(wanted: u64, message: &[u8]) -> u64 {
    let (search, mut place) = (wanted as u8, (wanted >> PLACE) as u8);
    let mut at = begin(wanted) as usize;
    let mut last = 0;
    while let Some(rest) = message.get(at..).filter(|rest| search != 0 && !rest.is_empty()) {
        last = step(Start::new(rest).0, of(search, place, rest.len() as u32));
        if found(last) != Find::None as u8 {
            break;
        }
        at += advance(last) as usize;
        place = self::place(last);
    }
    last
}

#[inline(always)]
const fn next(at: u64, place: Place) -> u64 {
    let at = if at < u32::MAX as u64 { at } else { u32::MAX as u64 };
    at | (place as u64) << 32
}

#[inline(always)]
const fn find(find: Find) -> u64 {
    (find as u64) << FIND
}

#[inline(always)]
const fn authentication(secret: Secret) -> u64 {
    find(Find::Secret) | (secret as u64) << SECRET
}

/// What ends a part.
#[inline(always)]
const fn separator(search: Search) -> u8 {
    match search {
        Search::Words => b' ',
        Search::Elements => b'<',
        Search::Names => b'"',
        Search::Fields => CONTENT_TYPE,
        Search::Greeting | Search::Login => 0,
        Search::None | Search::Headers | Search::Lines | Search::StartOk => b'\n',
    }
}

/// A literal field with the name of `content-type`, entry 31 of the static table, that is added to
/// the table (RFC 7541, section 6.2.1 and appendix A).
const CONTENT_TYPE: u8 = 0x5f;

/// Length of `content-type`, where a field names it itself.
const CONTENT_TYPE_LEN: u8 = 12;

/// What a part is that starts here; 0 if it is nothing of interest.
#[inline(always)]
const fn at_start(search: Search, window: &Window) -> u64 {
    match search {
        Search::None => 0,
        Search::Headers => header(window),
        Search::Lines => offer_if(is_line(window)),
        Search::Words => offer_if(starts_any_case!(window, b"starttls")),
        Search::Elements => offer_if(starts!(window, b"starttls")),
        Search::Names => name(window),
        Search::Fields => grpc(window),
        Search::Greeting => greeting(window),
        Search::Login => plugin(window),
        Search::StartOk => start_ok(window),
    }
}

#[inline(always)]
const fn offer_if(is: bool) -> u64 {
    if is { find(Find::Offer) } else { 0 }
}

/// A line of a request's header.
#[inline(never)]
const fn header(window: &Window) -> u64 {
    if starts!(window, b"\r\n") || starts!(window, b"\n") {
        return find(Find::End);
    }
    if starts!(window, b"passcode") && window.byte(8) == b':' {
        return authentication(Secret::StompPassword);
    }
    let proxy = if starts_any_case!(window, b"proxy-") { 6 } else { 0 };
    let name = window.skip(proxy);
    let is_name = starts_any_case!(name, b"authoriz") && starts_any_case!(name.skip(8), b"ation:");
    if !is_name {
        return 0;
    }
    // Any number of spaces may stand here; clients write one or none.
    let value = name.skip(14);
    let value = value.skip((value.byte(0) == b' ') as u32);
    if starts_any_case!(value, b"basic ") {
        authentication(Secret::HttpBasic)
    } else if starts_any_case!(value, b"bearer ") {
        authentication(Secret::HttpBearer)
    } else if starts_any_case!(value, b"digest ") {
        authentication(Secret::HttpDigest)
    } else if starts_any_case!(value, b"negotiat") || starts_any_case!(value, b"ntlm ") {
        authentication(Secret::HttpNegotiate)
    } else {
        0
    }
}

/// `250-STARTTLS` (RFC 3207), `STLS` (RFC 2595), ` AUTH TLS` (RFC 4217), `STARTTLS` (RFC 4642).
#[inline(never)]
const fn is_line(window: &Window) -> bool {
    let is_reply = starts!(window, b"250-") || starts!(window, b"250 ");
    let rest = window.skip(if is_reply { 4 } else { 0 });
    let is_ftp = starts_any_case!(window, b" auth ");
    let kind = window.skip(6);
    starts_any_case!(rest, b"starttls")
        || starts!(window, b"STLS\r")
        || starts!(window, b"STLS\n")
        || is_ftp && (starts_any_case!(kind, b"tls") || starts_any_case!(kind, b"ssl"))
}

/// A name in the text of INFO or CONNECT, behind its quote.
#[inline(never)]
const fn name(window: &Window) -> u64 {
    let rest = window.skip(8);
    let is_offer = starts!(window, b"tls_requ") && starts!(rest, b"ired\":t")
        || starts!(window, b"tls_avai") && starts!(rest, b"lable\":t");
    if is_offer {
        find(Find::Offer)
    } else if starts!(window, b"pass\":\"")
        || starts!(window, b"auth_tok") && starts!(rest, b"en\":\"")
    {
        authentication(Secret::NatsPassword)
    } else {
        0
    }
}

/// `application/grpc` behind its length, in the code of Huffman or as it is (RFC 7541, section 5.2 and
/// appendix B).
#[inline(never)]
const fn grpc(window: &Window) -> u64 {
    const CODED: u64 = 0x1d75_d062_0d26_3d4c;
    let is_named = starts!(window, b"content-") && starts!(window.skip(8), b"type");
    let value = window.skip(if is_named { CONTENT_TYPE_LEN as u32 } else { 0 });
    let is_coded = value.has(12)
        && value.byte(0) >= 0x8b
        && value.long(1) == CODED
        && value.word(9) >> 8 == 0x4d_6564;
    let text = value.skip(1);
    let is_text = starts!(text, b"applicat") && starts!(text.skip(8), b"ion/grpc");
    let is_text = is_text && value.byte(0) >= 16 && value.byte(0) < 0x80;
    if is_coded || is_text { find(Find::Grpc) } else { 0 }
}

/// Behind the version's text: a thread's number, eight bytes, a zero, then what the server can do.
#[inline(never)]
const fn greeting(window: &Window) -> u64 {
    let can_tls = window.has(15) && window.byte(14) & 0x08 != 0;
    find(if can_tls { Find::Offer } else { Find::End })
}

/// A text of a login: a database, a plug-in, or what describes the client.
#[inline(never)]
const fn plugin(window: &Window) -> u64 {
    let rest = window.skip(8);
    if starts!(window, b"mysql_cl") && starts!(rest, b"ear_pass") {
        authentication(Secret::MysqlClear)
    } else if starts!(window, b"mysql_na") && starts!(rest, b"tive_pas") {
        authentication(Secret::MysqlNative)
    } else if starts!(window, b"caching_") && starts!(rest, b"sha2_pas")
        || starts!(window, b"sha256_p") && starts!(rest, b"assword")
    {
        authentication(Secret::MysqlSha2)
    } else {
        0
    }
}

/// A mechanism, behind its length. Nothing else is looked for.
#[inline(never)]
const fn start_ok(window: &Window) -> u64 {
    let name = window.skip(1);
    if starts!(window, b"\x05PLAIN") || starts!(window, b"\x08AMQPLAI") {
        authentication(Secret::SaslPlain)
    } else if starts!(name, b"SCRAM-SH") || starts!(name, b"CRAM-MD5") {
        authentication(Secret::SaslChallenge)
    } else {
        find(Find::End)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{format, vec::Vec};

    use super::*;

    fn check(side: Side, protocol: Protocol, tell: Tell, message: &[u8], expect: (Find, Secret)) {
        let wanted = wanted(side, protocol as u8, tell as u8, Start::new(message).0);
        let last = walk(wanted, message);
        let found = (Find::from_code(found(last)), Secret::from_code(secret(last)));
        let text = message.escape_ascii();
        assert_eq!(found, (Some(expect.0), Some(expect.1)), "{protocol:?}: {text}");
    }

    fn client(protocol: Protocol, tell: Tell, message: &[u8], expect: Secret) {
        let find = if expect == Secret::None { Find::End } else { Find::Secret };
        check(Side::Client, protocol, tell, message, (find, expect));
    }

    fn server(protocol: Protocol, message: &[u8], expect: Find) {
        check(Side::Server, protocol, Tell::None, message, (expect, Secret::None));
    }

    fn request(header: &str, expect: Secret) {
        let long = "x".repeat(77);
        let text = format!("GET /{long} HTTP/1.1\r\nHost: a\r\nCookie: {long}\r\n{header}\r\n\r\n");
        client(Protocol::Http, Tell::Sure, text.as_bytes(), expect);
    }

    #[test]
    fn the_scheme_of_a_request() {
        request("Authorization: Basic QTpC", Secret::HttpBasic);
        request("authorization:bearer abc", Secret::HttpBearer);
        request("AUTHORIZATION: Digest username=a", Secret::HttpDigest);
        request("Authorization: Negotiate YII", Secret::HttpNegotiate);
        request("Authorization: NTLM TlR", Secret::HttpNegotiate);
        request("Proxy-Authorization: Basic QTpC", Secret::HttpBasic);
        request("X-Authorization: Basic QTpC", Secret::None);
        request("Accept: */*\r\n\r\nAuthorization: Basic QTpC", Secret::None);
        request("Accept: Authorization: Basic QTpC", Secret::None);
    }

    #[test]
    fn an_offer_of_encryption() {
        let mail =
            b"250-a.example\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 HELP\r\n";
        server(Protocol::Smtp, mail, Find::Offer);
        server(Protocol::Smtp, b"250-a.example\r\n250 starttls\r\n", Find::Offer);
        server(Protocol::Smtp, b"250-a.example\r\n250 NOSTARTTLS\r\n", Find::None);
        server(Protocol::Pop3, b"+OK\r\nUIDL\r\nSTLS\r\nUSER\r\n.\r\n", Find::Offer);
        server(Protocol::Ftp, b"211-Features:\r\n MDTM\r\n AUTH TLS\r\n211 End\r\n", Find::Offer);
        server(Protocol::Nntp, b"101 list\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n", Find::Offer);
        let list =
            b"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE STARTTLS] ready\r\n";
        server(Protocol::Imap, list, Find::Offer);
        server(Protocol::Imap, b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n", Find::None);
        let features = b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
        server(Protocol::Xmpp, features, Find::Offer);
        let info = b"INFO {\"server_id\":\"A\",\"version\":\"2.9\",\"tls_available\":true}\r\n";
        server(Protocol::Nats, info, Find::Offer);
    }

    /// A greeting of MySQL with such a high byte of its first capabilities.
    fn greeting_with(high: u8) -> Vec<u8> {
        let version = b"5.5.5-10.11.6-MariaDB-0+deb12u1-log";
        [&[97, 0, 0, 0, 10], &version[..], &[0], &[9; 12], &[0, 0xff, high], &[1; 40]].concat()
    }

    #[test]
    fn the_greeting_and_the_login_of_mysql() {
        server(Protocol::Mysql, &greeting_with(0xf7 | 0x08), Find::Offer);
        server(Protocol::Mysql, &greeting_with(0xf7), Find::End);
        let login = |database: &[u8], plugin: &[u8]| {
            let fixed: [u8; 36] = [8; 36];
            // A zero among what the user proves separates nothing.
            [&fixed[..], b"someone\0", &[20], &[0; 20], database, plugin, b"\0\x07_client\x07"]
                .concat()
        };
        let check = |database: &[u8], plugin: &[u8], expect| {
            let message = login(database, plugin);
            let find = if expect == Secret::None { Find::None } else { Find::Secret };
            super::tests::check(
                Side::Client,
                Protocol::Mysql,
                Tell::Commit,
                &message,
                (find, expect),
            );
        };
        check(b"", b"mysql_native_password", Secret::MysqlNative);
        check(b"shop\0", b"mysql_native_password", Secret::MysqlNative);
        check(b"shop\0", b"caching_sha2_password", Secret::MysqlSha2);
        check(b"", b"sha256_password", Secret::MysqlSha2);
        check(b"shop\0", b"mysql_clear_password", Secret::MysqlClear);
        check(b"shop\0", b"client_ed25519", Secret::None);
    }

    #[test]
    fn the_mechanism_of_amqp() {
        let start = |mechanism: &[u8]| {
            let properties = [7; 300];
            [&[1, 0, 0, 0, 0, 1, 99, 0, 10, 0, 11, 0, 0, 1, 44], &properties[..], mechanism]
                .concat()
        };
        client(Protocol::Amqp, Tell::None, &start(b"\x05PLAIN\0"), Secret::SaslPlain);
        client(Protocol::Amqp, Tell::None, &start(b"\x08AMQPLAIN"), Secret::SaslPlain);
        client(Protocol::Amqp, Tell::None, &start(b"\x08EXTERNAL"), Secret::None);
        // Properties that are said to be longer than any message are not stepped over to its start.
        let endless = [&[1, 0, 0, 0, 0, 1, 99, 0, 10, 0, 11, 255, 255, 255, 252][..], b"\x05PLAIN"];
        let expect = (Find::None, Secret::None);
        check(Side::Client, Protocol::Amqp, Tell::None, &endless.concat(), expect);
    }

    #[test]
    fn the_content_type_of_grpc() {
        let coded = b"\0\0\x40\x01\x04\0\0\0\x01\x83\x86\x45\x05abcde\x5f\x8b\x1d\x75\xd0\x62\x0d\x26\x3d\x4c\x4d\x65\x64";
        let expect = (Find::Grpc, Secret::None);
        check(Side::Client, Protocol::Http2, Tell::None, coded, expect);
        let named = b"\0\0\x40\x01\x40\x0ccontent-type\x10application/grpc\x40";
        check(Side::Client, Protocol::Http2, Tell::None, named, expect);
        check(
            Side::Client,
            Protocol::Http2,
            Tell::None,
            b"\0\0\x40\x01\x5f\x16application/grpc+proto",
            expect,
        );
        check(
            Side::Client,
            Protocol::Http2,
            Tell::None,
            b"\0\0\x40\x01\x5f\x10application/json",
            (Find::None, Secret::None),
        );
    }

    #[test]
    fn authentication_of_brokers() {
        client(
            Protocol::Stomp,
            Tell::Sure,
            b"CONNECT\nlogin:a\npasscode:b\n\n\0",
            Secret::StompPassword,
        );
        let connect = b"CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"b\"}\r\n";
        client(Protocol::Nats, Tell::Commit, connect, Secret::NatsPassword);
        let publish = b"PUB a 15\r\n{\"pass\":\"word\"}\r\n";
        let nothing = (Find::None, Secret::None);
        check(Side::Client, Protocol::Nats, Tell::None, publish, nothing);
        let body = b"a: b\r\nAuthorization: Basic QTpC\r\n";
        check(Side::Client, Protocol::Http, Tell::None, body, nothing);
    }
}
