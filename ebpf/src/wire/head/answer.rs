//! Messages that mean something only behind what the other side said.

use super::super::protocol::Protocol;
use super::super::secret::Secret;
use super::super::window::Window;
use super::{Before, Head, Message, Tell};

/// A message that answers, or nothing.
#[inline(never)]
pub(super) const fn head(message: &Message<'_>) -> Head {
    let (window, before) = (&message.window(), &message.before);
    if !window.has(1) {
        return Head::UNKNOWN;
    }
    if before.heard == Protocol::Mysql as u8 || before.own == Protocol::Mysql as u8 {
        return mysql(window, before);
    }
    if before.own == Protocol::Ldap as u8 && is_wrapped(message) {
        return Head::of(Protocol::Ldap, Tell::Sealed);
    }
    if before.is_client() {
        return from_client(window, before);
    }
    if before.heard(Tell::Ask) {
        let found = to_request(window, before);
        if found.is_recognised() {
            return found;
        }
    }
    from_server(window, before)
}

/// Whether a length stands in front of a message of LDAP, as it does once a mechanism seals them
/// (RFC 4422, section 3.7). A token of Kerberos says itself if it is only signed (RFC 4121, section
/// 4.2.2); behind a signature of NTLM (MS-NLMP, section 2.2.2.9.1) the message shows. Of a long one
/// the length proves little, so that must begin with a token that is known.
#[inline(never)]
const fn is_wrapped(message: &Message<'_>) -> bool {
    let window = &message.window();
    let whole = window.word(0).wrapping_add(4);
    let (is_kerberos, is_ntlm) = (window.half(4) == 0x0504, window.word(4) == 0x0100_0000);
    let is_signed = is_kerberos && window.byte(6) & 2 == 0 || is_ntlm && window.byte(20) == 0x30;
    let fits = match message.len {
        u8::MAX => whole >= 255 && (is_kerberos || is_ntlm || window.byte(4) == 0x60),
        _ => whole == window.length(),
    };
    window.has(21) && whole < 1 << 24 && fits && window.byte(4) != 0x30 && !is_signed
}

/// What a server says to a request for encryption.
#[inline(always)]
const fn to_request(window: &Window, before: &Before) -> Head {
    const POSTGRESQL: u8 = Protocol::Postgresql as u8;
    const IMAP: u8 = Protocol::Imap as u8;
    const RDP: u8 = Protocol::Rdp as u8;
    const HTTP: u8 = Protocol::Http as u8;
    const XMPP: u8 = Protocol::Xmpp as u8;
    match before.heard {
        POSTGRESQL => match window.byte(0) {
            b'S' | b'G' => Head::of(Protocol::Postgresql, Tell::GoAhead),
            b'N' | b'E' => Head::of(Protocol::Postgresql, Tell::Refusal),
            _ => Head::UNKNOWN,
        },
        IMAP => tagged(window),
        RDP => rdp(window),
        HTTP => Head::UNKNOWN,
        XMPP if window.has(8) && window.word(0) == u32::from_be_bytes(*b"<fai") => {
            Head::of(Protocol::Xmpp, Tell::Refusal)
        }
        _ => reply(window),
    }
}

/// A reply code or a word, as mail, news and file servers send.
#[inline(always)]
const fn reply(window: &Window) -> Head {
    if !window.has(4) {
        return Head::UNKNOWN;
    }
    let tell = match &window.tag() {
        b"+OK " | b"+OK\r" => Tell::GoAhead,
        b"-ERR" => Tell::Refusal,
        [b'2' | b'3', b'0'..=b'9', b'0'..=b'9', b' ' | b'-' | b'\r'] => Tell::GoAhead,
        [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-' | b'\r'] => Tell::Refusal,
        _ => return Head::UNKNOWN,
    };
    Head::of(Protocol::Unknown, tell)
}

/// A tagged answer of IMAP: `OK`, `NO` or `BAD` behind the tag.
#[inline(always)]
const fn tagged(window: &Window) -> Head {
    let rest = super::text::word_end(*window);
    if !rest.has(4) {
        return Head::UNKNOWN;
    }
    let tell = match &rest.tag() {
        b" OK " | b" OK\r" | b" ok " => Tell::GoAhead,
        b" NO " | b" BAD" | b" NO\r" | b" no " | b" bad" => Tell::Refusal,
        _ => return Head::UNKNOWN,
    };
    Head::of(Protocol::Imap, tell)
}

/// A connection confirm with the protocol that the server chose (MS-RDPBCGR, sections 2.2.1.2 to
/// 2.2.1.2.2); 0, or no choice at all, is RDP's own sealing.
#[inline(always)]
const fn rdp(window: &Window) -> Head {
    if !window.has(11) || window.half(0) != 0x0300 || window.byte(5) != 0xd0 {
        return Head::UNKNOWN;
    }
    if window.half(2) < 19 {
        return Head::of(Protocol::Rdp, Tell::Refusal);
    }
    if !window.has(19) {
        return Head::UNKNOWN;
    }
    let chosen = window.word_le(15);
    let tell = if window.byte(11) == 2 && chosen != 0 { Tell::GoAhead } else { Tell::Refusal };
    Head::of(Protocol::Rdp, tell)
}

#[inline(always)]
const fn from_client(window: &Window, before: &Before) -> Head {
    const POSTGRESQL: u8 = Protocol::Postgresql as u8;
    const SSH: u8 = Protocol::Ssh as u8;
    const SOCKS: u8 = Protocol::Socks as u8;
    match before.own {
        // A password, or the first message of a mechanism.
        POSTGRESQL if window.byte(0) == b'p' && before.heard == POSTGRESQL => {
            Head::of(Protocol::Postgresql, Tell::Answer)
        }
        SSH => new_keys(window),
        // Version 1, then name and password (RFC 1929, section 2).
        SOCKS if window.byte(0) == 1 && before.heard == SOCKS => {
            Head::of(Protocol::Socks, Tell::Sure).with(Secret::SocksPassword)
        }
        _ => Head::UNKNOWN,
    }
}

#[inline(always)]
const fn from_server(window: &Window, before: &Before) -> Head {
    const POSTGRESQL: u8 = Protocol::Postgresql as u8;
    const SSH: u8 = Protocol::Ssh as u8;
    const SOCKS: u8 = Protocol::Socks as u8;
    const MQTT: u8 = Protocol::Mqtt as u8;
    const KAFKA: u8 = Protocol::Kafka as u8;
    match before.heard {
        POSTGRESQL => authentication(window),
        SSH => new_keys(window),
        SOCKS => socks(window),
        MQTT => Head::sure(Protocol::Mqtt).only_if(window.has(2) && window.byte(0) == 0x20),
        KAFKA => Head::weak(Protocol::Kafka).only_if(window.has(8) && window.byte(0) == 0),
        _ => Head::UNKNOWN,
    }
}

/// The message behind which all is protected: a packet of one byte, 21, and padding (RFC 4253,
/// sections 6 and 7.3).
#[inline(always)]
const fn new_keys(window: &Window) -> Head {
    let length = window.word(0);
    let is_it = window.has(6)
        && length >= 5
        && length < 256
        && window.byte(4) as u32 + 2 == length
        && window.byte(5) == 21;
    Head::of(Protocol::Ssh, Tell::Sealed).only_if(is_it)
}

/// An authentication request (PostgreSQL's protocol, "Message Formats").
#[inline(always)]
const fn authentication(window: &Window) -> Head {
    let sure = Head::sure(Protocol::Postgresql);
    match window.byte(0) {
        b'R' if !window.has(9) => Head::UNKNOWN,
        b'R' if window.word(1) >= 8 && window.word(1) < 1 << 16 => match window.word(5) {
            3 => sure.with(Secret::PostgresqlPassword),
            5 => sure.with(Secret::PostgresqlMd5),
            7 | 9 => sure.with(Secret::PostgresqlGss),
            10 => sure.with(Secret::PostgresqlScram),
            0..=12 => sure,
            _ => Head::UNKNOWN,
        },
        b'E' => sure.only_if(window.has(6) && window.byte(5) == b'S'),
        _ => Head::UNKNOWN,
    }
}

/// The chosen method (RFC 1928, section 3), or what became of a version 4 request.
#[inline(always)]
const fn socks(window: &Window) -> Head {
    let is_choice = matches!(window.half(0), 0x0500..=0x0509 | 0x05ff | 0x0580..=0x058f);
    let is_result = matches!(window.half(0), 0x005a..=0x005d) && window.has(8);
    Head::weak(Protocol::Socks).only_if(window.has(2) && (is_choice || is_result))
}

/// Packets of MySQL: length, lowest byte first, and a number that counts up.
#[inline(always)]
const fn mysql(window: &Window, before: &Before) -> Head {
    if !window.has(6) {
        return Head::UNKNOWN;
    }
    let (length, number) = (window.word_le(0) & 0xff_ffff, window.byte(3));
    if length == 0 || length > 1 << 20 {
        return Head::UNKNOWN;
    }
    let more = Head::of(Protocol::Mysql, Tell::More);
    match (before.is_client(), number) {
        (true, 1) if before.is_first => super::binary::mysql_login(*window, length),
        (true, 3 | 5) if before.own == Protocol::Mysql as u8 => {
            Head::of(Protocol::Mysql, Tell::Answer)
        }
        (false, 2 | 4 | 6) if window.byte(4) == 0xfe => switch(window, length),
        _ => more,
    }
}

/// The server asks for another plugin by its name.
#[inline(always)]
const fn switch(window: &Window, length: u32) -> Head {
    let mysql = Head::sure(Protocol::Mysql);
    if length < 9 {
        // A short one asks for the way of old, or ends rows.
        return Head::of(Protocol::Mysql, Tell::More);
    }
    if !window.has(13) {
        return Head::UNKNOWN;
    }
    match window.long(5) {
        CLEAR => mysql.with(Secret::MysqlClear),
        NATIVE => mysql.with(Secret::MysqlNative),
        CACHING | SHA256 => mysql.with(Secret::MysqlSha2),
        _ => mysql,
    }
}

const CLEAR: u64 = u64::from_be_bytes(*b"mysql_cl");
const NATIVE: u64 = u64::from_be_bytes(*b"mysql_na");
const CACHING: u64 = u64::from_be_bytes(*b"caching_");
const SHA256: u64 = u64::from_be_bytes(*b"sha256_p");
