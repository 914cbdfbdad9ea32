//! Messages that start with words.

use super::super::protocol::Protocol;
use super::super::secret::Secret;
use super::super::window::{Window, equal, starts};
use super::{Before, Head, Message, Tell};

/// Bit that tells a lower-case letter from its upper case.
const CASE: u8 = 0x20;

/// Those bits of four letters.
const CASES: u32 = 0x2020_2020;

/// A message that starts with a printable character.
#[inline(always)]
pub(super) const fn head(message: &Message<'_>) -> Head {
    if message.len < 4 {
        return Head::UNKNOWN;
    }
    let mut found = exact(message);
    if !found.is_recognised() {
        found = method(message);
    }
    if !found.is_recognised() {
        found = any_case(message);
    }
    if !found.is_recognised() {
        found = shaped(message);
    }
    if !found.is_recognised() {
        found = tagged(message);
    }
    found
}

/// Words that are written in one way.
#[inline(never)]
pub(super) const fn exact(message: &Message<'_>) -> Head {
    let (window, before) = (&message.window(), &message.before);
    match &window.tag() {
        b"HTTP" => status(window, before),
        b"PRI " => Head::sure(Protocol::Http2).only_if(starts!(window, b"PRI * HT")),
        b"SSH-" => Head::of(Protocol::Ssh, Tell::Hello),
        b"RTSP" => Head::sure(Protocol::Rtsp).only_if(starts!(window, b"RTSP/1.")),
        b"SIP/" => Head::sure(Protocol::Sip).only_if(starts!(window, b"SIP/2.0 ")),
        b"AMQP" => amqp(window, before),
        b"INFO" => Head::sure(Protocol::Nats).only_if(starts!(window, b"INFO {")),
        b"RFB " => Head::sure(Protocol::Rfb).only_if(starts!(window, b"RFB 00")),
        b"PRPC" => Head::sure(Protocol::Brpc),
        b"ZBXD" => Head::sure(Protocol::Zabbix),
        b"GIOP" => Head::sure(Protocol::Giop),
        b"@RSY" => Head::sure(Protocol::Rsync).only_if(starts!(window, b"@RSYNCD:")),
        b"ceph" => Head::sure(Protocol::Ceph).only_if(starts!(window, b"ceph v")),
        b"8=FI" => Head::sure(Protocol::Fix).only_if(starts!(window, b"8=FIX")),
        b"HELF" | b"ACKF" | b"OPNF" | b"MSGF" | b"CLOF" => opc_ua(window),
        b"PROX" => proxy(window),
        b"STOM" => Head::sure(Protocol::Stomp)
            .only_if(starts!(window, b"STOMP\n") || starts!(window, b"STOMP\r")),
        b"220 " | b"220-" if !before.is_client() => Head::of(Protocol::Unknown, Tell::Greeting),
        b"* OK" | b"* PR" | b"* BY" if !before.is_client() => imap_greeting(window),
        b"+OK " | b"+OK\r" if !before.is_client() => positive(before),
        b"200 " | b"201 " if !before.is_client() && before.is_first => Head::weak(Protocol::Nntp),
        b"+PON" | b"-ERR" | b"-NOA" | b"-WRO" | b"-MOV" | b"-DEN" => {
            Head::weak(if before.heard == Protocol::Pop3 as u8 {
                Protocol::Pop3
            } else {
                Protocol::Redis
            })
        }
        b"VALU" | b"STAT" | b"END\r" | b"STOR" | b"VERS" => memcached_reply(window, before),
        b"<?xm" => Head::weak(Protocol::Xmpp).only_if(starts!(window, b"<?xml ve")),
        b"<str" => Head::sure(Protocol::Xmpp).only_if(starts!(window, b"<stream:")),
        b"</st" => Head::sure(Protocol::Xmpp).only_if(starts!(window, b"</stream")),
        b"<iq " => Head::sure(Protocol::Xmpp),
        b"<pre" => Head::sure(Protocol::Xmpp).only_if(starts!(window, b"<presenc")),
        b"<mes" => Head::weak(Protocol::Xmpp).only_if(starts!(window, b"<message")),
        b"<sta" if starts!(window, b"<starttl") => Head::of(Protocol::Xmpp, Tell::Ask),
        b"<pro" if starts!(window, b"<proceed") => Head::of(Protocol::Xmpp, Tell::GoAhead),
        b"CONN" => connect(window),
        _ => Head::UNKNOWN,
    }
}

/// A request of HTTP, RTSP or SIP: its method, then what it is applied to.
#[inline(never)]
pub(super) const fn method(message: &Message<'_>) -> Head {
    let window = &message.window();
    let is_known = match &window.tag() {
        b"GET " | b"PUT " | b"HEAD" | b"POST" | b"COPY" | b"MOVE" | b"LOCK" | b"PATC" | b"TRAC"
        | b"MKCO" | b"DELE" | b"SEAR" | b"REPO" | b"UNLO" | b"NOTI" | b"OPTI" => true,
        b"PROP" | b"SUBS" | b"UNSU" | b"RPC_" | b"REGI" | b"INVI" | b"CANC" | b"MESS" | b"REFE"
        | b"PUBL" | b"UPDA" | b"PRAC" | b"ACK " | b"BYE " | b"DESC" | b"SETU" | b"PLAY"
        | b"PAUS" | b"TEAR" | b"ANNO" | b"RECO" | b"GET_" | b"SET_" => false,
        _ => return Head::UNKNOWN,
    };
    if starts!(window, b"NOTICE ") {
        let is_irc = starts!(window, b"NOTICE A") || starts!(window, b"NOTICE *");
        return Head::sure(Protocol::Irc).only_if(is_irc);
    }
    let rest = word_end(*window);
    if rest.byte(0) != b' ' {
        return Head::UNKNOWN;
    }
    match target(rest.skip(1)) {
        // A method that few know is one only before a target that is one.
        Head { tell: Tell::Weak, .. } if !is_known => Head::UNKNOWN,
        found => found,
    }
}

/// Commands of mail, news, file and chat servers, in any case.
#[inline(never)]
pub(super) const fn any_case(message: &Message<'_>) -> Head {
    let (window, before) = (&message.window(), &message.before);
    // Letters only: what else looks like one in this way is in no command.
    let word = (window.first() >> 32) as u32;
    if word & 0x4040_4040 != 0x4040_4040 && word & 0x4040_40ff != 0x4040_4020 {
        return Head::UNKNOWN;
    }
    match &(word & !CASES).to_be_bytes() {
        b"EHLO" | b"HELO" | b"LHLO" => Head::sure(Protocol::Smtp).only_if(ends_word(window)),
        b"MAIL" => Head::of(Protocol::Smtp, Tell::Commit).only_if(ends_word(window)),
        b"STAR" => starttls(window),
        b"STLS" => Head::of(Protocol::Pop3, Tell::Ask).only_if(ends_word(window)),
        b"AUTH" => auth(window, before),
        b"USER" => user(window, before),
        b"PASS" => pass(window, before),
        b"APOP" => {
            Head::of(Protocol::Pop3, Tell::Commit).with(Secret::Pop3Apop).only_if(ends_word(window))
        }
        b"FEAT" | b"SYST" | b"OPTS" | b"PASV" | b"EPSV" | b"EPRT" | b"PORT" | b"RETR" | b"PBSZ"
        | b"PROT" => {
            if before.speaks(Protocol::Pop3) {
                return Head::sure(Protocol::Pop3);
            }
            let is_sure = before.heard(Tell::Greeting);
            Head::of(Protocol::Ftp, if is_sure { Tell::Sure } else { Tell::Weak })
                .only_if(ends_word(window))
        }
        b"CAPA" => capabilities(window, before),
        b"UIDL" => Head::sure(Protocol::Pop3).only_if(ends_word(window)),
        b"QUIT" | b"NOOP" => Head::of(Protocol::Unknown, Tell::More).only_if(ends_word(window)),
        b"NICK" => Head::sure(Protocol::Irc).only_if(ends_word(window)),
        b"CAP\0" => Head::sure(Protocol::Irc),
        b"PRIV" => Head::sure(Protocol::Irc).only_if(starts!(window, b"PRIVMSG ")),
        b"JOIN" => Head::weak(Protocol::Irc).only_if(ends_word(window)),
        b"MODE" if window.has(11) => {
            let reader = starts!(window.skip(4), b" READER") || starts!(window.skip(4), b" reader");
            Head::of(if reader { Protocol::Nntp } else { Protocol::Irc }, Tell::Weak)
        }
        b"GROU" | b"ARTI" | b"XOVE" => Head::weak(Protocol::Nntp),
        b"HELL" => redis_hello(window),
        b"PING" => ping(window, before),
        b"GETS" => Head::weak(Protocol::Memcached).only_if(ends_word(window)),
        b"GET\0" | b"SET\0" | b"ADD\0" => storage(window),
        b"INCR" | b"DECR" | b"TTL\0" | b"KEYS" | b"ECHO" => {
            Head::weak(Protocol::Redis).only_if(ends_word(window))
        }
        b"VERS" | b"STAT" => memcached_reply(window, before),
        _ => Head::UNKNOWN,
    }
}

/// Whether a word of four letters ends here.
#[inline(always)]
const fn ends_word(window: &Window) -> bool {
    window.has(5) && matches!(window.byte(4), b' ' | b'\r' | b'\n')
}

/// What a method of HTTP, RTSP or SIP is applied to.
#[inline(always)]
const fn target(rest: Window) -> Head {
    match rest.byte(0) {
        _ if !rest.has(1) => Head::UNKNOWN,
        b'/' => Head::sure(Protocol::Http),
        _ if !rest.has(4) => Head::UNKNOWN,
        _ => match &rest.tag() {
            b"sip:" | b"sips" => Head::sure(Protocol::Sip),
            b"rtsp" | b"* RT" => Head::sure(Protocol::Rtsp),
            b"http" | b"* HT" | b"HTTP" => Head::sure(Protocol::Http),
            _ => Head::weak(Protocol::Http),
        },
    }
}

/// The window from the first space on, which is looked for in sixteen bytes; without one, all.
#[inline(never)]
pub(super) const fn word_end(window: Window) -> Window {
    let first = equal(window.first(), b' ');
    let second = equal(window.long(8), b' ');
    // Without a branch for each place: the verifier would walk what follows once for each.
    let (bits, from) = if first != 0 { (first, 0) } else { (second, 8) };
    window.skip(if bits == 0 { 0 } else { from + bits.leading_zeros() / 8 })
}

/// Status codes of an answer that wants credentials (RFC 9110, sections 15.5.2 and 15.5.8).
const UNAUTHORIZED: u32 = 0x34_3031;
const PROXY_UNAUTHORIZED: u32 = 0x34_3037;

/// A status line; of one that answers CONNECT, whether the tunnel is open (RFC 9110, section
/// 9.3.6).
#[inline(always)]
const fn status(window: &Window, before: &Before) -> Head {
    if !starts!(window, b"HTTP/1.") || !window.has(10) {
        return Head::UNKNOWN;
    }
    if window.byte(9) == b'2' && before.heard(Tell::Ask) {
        return Head::of(Protocol::Http, Tell::GoAhead);
    }
    if !window.has(12) {
        return Head::UNKNOWN;
    }
    // Who is asked for credentials sends them with the next request.
    let asks = matches!(window.word(9) >> 8, UNAUTHORIZED | PROXY_UNAUTHORIZED);
    Head::of(Protocol::Http, if asks { Tell::More } else { Tell::Sure })
}

/// Three protocols begin so.
#[inline(always)]
const fn connect(window: &Window) -> Head {
    if starts!(window, b"CONNECT\n") || starts!(window, b"CONNECT\r") {
        return Head::sure(Protocol::Stomp);
    }
    if starts!(window, b"CONNECTE") {
        return Head::sure(Protocol::Stomp);
    }
    if !starts!(window, b"CONNECT ") || !window.has(9) {
        return Head::UNKNOWN;
    }
    match window.byte(8) {
        b'{' => Head::of(Protocol::Nats, Tell::Commit),
        _ => Head::of(Protocol::Http, Tell::Ask),
    }
}

/// A header: the id says what follows it: 2 is TLS, 3 SASL (AMQP 1.0, sections 5.2 and 5.3), 0 the
/// protocol itself, after which nothing changes any more.
#[inline(always)]
const fn amqp(window: &Window, before: &Before) -> Head {
    let tell = match (window.byte(4), before.is_client()) {
        _ if !window.has(5) => return Head::UNKNOWN,
        (2, true) => Tell::Ask,
        (2, false) => Tell::GoAhead,
        (0 | 3, true) => Tell::Commit,
        (0, false) if before.heard(Tell::Ask) => Tell::Refusal,
        (0..=3, _) => Tell::Sure,
        _ => return Head::UNKNOWN,
    };
    Head::of(Protocol::Amqp, tell)
}

/// Message type and `F`, then the length, lowest byte first (OPC 10000-6, section 7.1.2.2).
#[inline(always)]
const fn opc_ua(window: &Window) -> Head {
    let length = window.word_le(4);
    Head::sure(Protocol::OpcUa).only_if(window.has(8) && length >= 12 && length < 1 << 24)
}

/// A header in text (version 1, section 2.1).
#[inline(always)]
const fn proxy(window: &Window) -> Head {
    let is_proxy = starts!(window, b"PROXY TC") || starts!(window, b"PROXY UN");
    Head::of(Protocol::Unknown, Tell::Proxy).only_if(is_proxy)
}

/// `* OK`, `* PREAUTH`, `* BYE` (RFC 9051, section 7.1).
#[inline(always)]
const fn imap_greeting(window: &Window) -> Head {
    let is_greeting = starts!(window, b"* OK ")
        || starts!(window, b"* OK\r")
        || starts!(window, b"* PREAUT")
        || starts!(window, b"* BYE ");
    Head::sure(Protocol::Imap).only_if(is_greeting)
}

/// POP3 greets so, and Redis answers so.
#[inline(always)]
const fn positive(before: &Before) -> Head {
    if before.speaks(Protocol::Redis) {
        Head::sure(Protocol::Redis)
    } else if before.is_opening || before.speaks(Protocol::Pop3) {
        Head::sure(Protocol::Pop3)
    } else {
        Head::weak(Protocol::Pop3)
    }
}

/// `STARTTLS`, which many have.
#[inline(always)]
const fn starttls(window: &Window) -> Head {
    let is_it = window.has(8)
        && window.first() & !0x2020_2020_2020_2020 == u64::from_be_bytes(*b"STARTTLS");
    Head::of(Protocol::Unknown, Tell::Ask).only_if(is_it)
}

/// `AUTH` of SMTP and POP3 has a mechanism, that of FTP the kind of encryption (RFC 4217, section
/// 4), that of Redis a password.
#[inline(always)]
const fn auth(window: &Window, before: &Before) -> Head {
    if !window.has(8) || window.byte(4) != b' ' {
        return Head::UNKNOWN;
    }
    match &(window.word(5) & !CASES).to_be_bytes() {
        [b'T', b'L', b'S', _] | [b'S', b'S', b'L', _] => Head::of(Protocol::Ftp, Tell::Ask),
        _ if !window.has(9) => Head::UNKNOWN,
        _ => {
            let secret = mechanism(window.word(5));
            if before.speaks(Protocol::Pop3) {
                Head::of(Protocol::Pop3, Tell::Commit).with(secret)
            } else if !matches!(secret, Secret::None) {
                Head::of(Protocol::Smtp, Tell::Commit).with(secret)
            } else if before.speaks(Protocol::Smtp) || before.heard(Tell::Greeting) {
                Head::of(Protocol::Unknown, Tell::More)
            } else {
                Head::weak(Protocol::Redis).with(Secret::RedisAuth)
            }
        }
    }
}

/// What others can read of a SASL mechanism, from its name (IANA's registry).
#[inline(never)]
pub(super) const fn mechanism(name: u32) -> Secret {
    match &(name & !CASES).to_be_bytes() {
        b"PLAI" | b"LOGI" => Secret::SaslPlain,
        b"CRAM" | b"DIGE" | b"SCRA" => Secret::SaslChallenge,
        b"GSSA" | b"NTLM" => Secret::SaslGssapi,
        [b'G', b'S', b'S', _] | [b'G', b'S', b'2', _] => Secret::SaslGssapi,
        b"XOAU" | b"OAUT" => Secret::SaslBearer,
        _ => Secret::None,
    }
}

/// `USER` of FTP, POP3 or IRC, by what greeted.
#[inline(always)]
const fn user(window: &Window, before: &Before) -> Head {
    if !ends_word(window) {
        Head::UNKNOWN
    } else if before.speaks(Protocol::Pop3) {
        Head::sure(Protocol::Pop3)
    } else if before.speaks(Protocol::Irc) {
        Head::sure(Protocol::Irc)
    } else if before.heard(Tell::Greeting) {
        Head::sure(Protocol::Ftp)
    } else {
        Head::weak(Protocol::Ftp)
    }
}

/// `PASS`, likewise; without a greeting it is IRC's.
#[inline(always)]
const fn pass(window: &Window, before: &Before) -> Head {
    let (protocol, tell, secret) = if before.speaks(Protocol::Pop3) {
        (Protocol::Pop3, Tell::Commit, Secret::Pop3Password)
    } else if before.speaks(Protocol::Ftp) || before.heard(Tell::Greeting) {
        (Protocol::Ftp, Tell::Commit, Secret::FtpPassword)
    } else {
        (Protocol::Irc, Tell::Weak, Secret::IrcPassword)
    };
    Head::of(protocol, tell).with(secret).only_if(ends_word(window))
}

/// `CAPA` of POP3, `CAPABILITIES` of NNTP.
#[inline(always)]
const fn capabilities(window: &Window, before: &Before) -> Head {
    if before.speaks(Protocol::Pop3) {
        return Head::sure(Protocol::Pop3);
    }
    match window.byte(4) {
        _ if !window.has(5) => Head::UNKNOWN,
        b'\r' | b'\n' => Head::weak(Protocol::Pop3),
        b'B' | b'b' => Head::weak(Protocol::Nntp),
        _ => Head::UNKNOWN,
    }
}

/// `HELLO`, Redis' newer greeting.
#[inline(always)]
const fn redis_hello(window: &Window) -> Head {
    Head::weak(Protocol::Redis).only_if(starts!(window, b"HELLO 2") || starts!(window, b"HELLO 3"))
}

/// `PING` of Redis, NATS and IRC.
#[inline(always)]
const fn ping(window: &Window, before: &Before) -> Head {
    if before.speaks(Protocol::Nats) || before.speaks(Protocol::Irc) {
        return Head::of(Protocol::Unknown, Tell::More);
    }
    match window.byte(5) {
        _ if !window.has(6) => Head::UNKNOWN,
        b':' => Head::sure(Protocol::Irc),
        _ => Head::weak(Protocol::Redis).only_if(ends_word(window)),
    }
}

/// Words of memcached in lower case; Redis' users write theirs in upper case.
#[inline(always)]
const fn storage(window: &Window) -> Head {
    match window.byte(0) {
        // HTTP's, or what looks like it.
        b'G' => Head::UNKNOWN,
        first if first & CASE != 0 => Head::weak(Protocol::Memcached),
        _ => Head::weak(Protocol::Redis),
    }
}

/// What memcached answers, and its own short commands.
#[inline(always)]
const fn memcached_reply(window: &Window, before: &Before) -> Head {
    if before.speaks(Protocol::Pop3) || before.speaks(Protocol::Ftp) {
        return Head::of(Protocol::Unknown, Tell::More);
    }
    let is_reply = starts!(window, b"VALUE ")
        || starts!(window, b"STAT ")
        || starts!(window, b"END\r\n")
        || starts!(window, b"STORED\r\n")
        || starts!(window, b"VERSION ")
        || starts!(window, b"version\r")
        || starts!(window, b"stats\r")
        || starts!(window, b"stats ");
    Head::weak(Protocol::Memcached).only_if(is_reply)
}

/// Text that is known by its shape.
#[inline(never)]
pub(super) const fn shaped(message: &Message<'_>) -> Head {
    let (window, before) = (&message.window(), &message.before);
    match window.byte(0) {
        b'*' | b'|' | b'%' | b'~' | b'>' => redis(window),
        b'<' => syslog(window),
        b':' if !before.is_client() => Head::of(
            Protocol::Irc,
            if before.speaks(Protocol::Irc) || before.heard(Tell::Ask) {
                Tell::Sure
            } else {
                Tell::Weak
            },
        ),
        b'+' | b'-' | b'$' | b':' if before.heard == Protocol::Redis as u8 => {
            Head::sure(Protocol::Redis)
        }
        b'0' if window.has(8) && window.word(4) == u32::from_be_bytes(*b"git-") => {
            Head::sure(Protocol::Git)
        }
        // A length in hexadecimal and a hash: the refs that git's server has.
        b'0' if before.heard == Protocol::Git as u8 => Head::sure(Protocol::Git),
        b'E' if window.byte(1) == b'S' => elasticsearch(window),
        b'A' if window.byte(1) == b'B' => super::binary::ajp_reply(window),
        b'h' => super::binary::iec104(window, before),
        b'o' | b'p' | b'e' => super::binary::enip(window),
        // BER is asked apart, because both together need much stack.
        b'0' => Head::UNKNOWN,
        _ => super::binary::postgresql_message(window, before),
    }
}

/// An array of bulk strings: `*3` and `$3` on lines of their own. With `AUTH` first, or in a
/// `HELLO`, it has a password.
#[inline(always)]
const fn redis(window: &Window) -> Head {
    let rest = match (window.byte(1), window.byte(2)) {
        (b'0'..=b'9', b'\r') => window.skip(2),
        (b'0'..=b'9', b'0'..=b'9') => window.skip(3),
        _ => return Head::UNKNOWN,
    };
    if !starts!(rest, b"\r\n") || !rest.has(3) {
        return Head::UNKNOWN;
    }
    let redis = Head::sure(Protocol::Redis);
    match rest.byte(2) {
        b'$' => {}
        // What servers send, too: numbers, texts, arrays, attributes.
        b':' | b'+' | b'-' | b'*' | b'%' | b'|' | b'_' | b'#' | b',' => return redis,
        _ => return Head::UNKNOWN,
    }
    // A command of four or five letters is waited for.
    match rest.byte(3) {
        _ if !rest.has(4) => Head::UNKNOWN,
        b'4' if !rest.has(10) => Head::UNKNOWN,
        b'4' if rest.word(6) & !CASES == AUTH => redis.with(Secret::RedisAuth),
        b'5' if !rest.has(10) => Head::UNKNOWN,
        b'5' if rest.word(6) & !CASES == HELL && window.byte(1) > b'2' => {
            let is_auth = rest.word(24) & !CASES == AUTH;
            if rest.has(28) {
                redis.with(if is_auth { Secret::RedisAuth } else { Secret::None })
            } else {
                Head::UNKNOWN
            }
        }
        _ => redis,
    }
}

const AUTH: u32 = u32::from_be_bytes(*b"AUTH");
const HELL: u32 = u32::from_be_bytes(*b"HELL");

/// A priority in angle brackets (RFC 5424, section 6.2.1).
#[inline(always)]
const fn syslog(window: &Window) -> Head {
    let is_priority = window.byte(1).is_ascii_digit()
        && (window.byte(2) == b'>'
            || window.byte(2).is_ascii_digit()
                && (window.byte(3) == b'>'
                    || window.byte(3).is_ascii_digit() && window.byte(4) == b'>'));
    Head::sure(Protocol::Syslog).only_if(window.has(5) && is_priority)
}

/// `ES` and a length that fits three bytes (Elasticsearch's `TcpHeader`).
#[inline(always)]
const fn elasticsearch(window: &Window) -> Head {
    let is_short = window.word(2) >= 13 && window.word(2) < 1 << 24;
    Head::sure(Protocol::Elasticsearch).only_if(window.has(6) && is_short)
}

/// A tag of the client's own making and a command (RFC 9051, section 2.2.1).
#[inline(never)]
pub(super) const fn tagged(message: &Message<'_>) -> Head {
    let (window, before) = (&message.window(), &message.before);
    if !before.is_client() {
        return Head::UNKNOWN;
    }
    let rest = word_end(*window);
    if rest.byte(0) == b' ' && rest.len != window.len {
        imap(rest.skip(1), before)
    } else {
        Head::UNKNOWN
    }
}

/// A command of IMAP behind its tag.
#[inline(always)]
const fn imap(command: Window, before: &Before) -> Head {
    if !command.has(8) {
        return Head::UNKNOWN;
    }
    match &((command.first() >> 32) as u32 & !CASES).to_be_bytes() {
        b"LOGI" => Head::of(Protocol::Imap, Tell::Commit)
            .with(Secret::ImapLogin)
            .only_if(command.byte(4) | CASE == b'n' && command.byte(5) == b' '),
        b"AUTH" if !command.has(17) => Head::UNKNOWN,
        b"AUTH" => Head::of(Protocol::Imap, Tell::Commit).with(mechanism(command.word(13))),
        b"STAR" => match starttls(&command) {
            ask if ask.is_recognised() => Head::of(Protocol::Imap, Tell::Ask),
            _ => Head::UNKNOWN,
        },
        b"CAPA" | b"LOGO" | b"NOOP" | b"SELE" | b"EXAM" | b"NAME" | b"LIST" => {
            let is_sure = before.speaks(Protocol::Imap);
            Head::of(Protocol::Imap, if is_sure { Tell::Sure } else { Tell::Weak })
        }
        _ => Head::UNKNOWN,
    }
}
