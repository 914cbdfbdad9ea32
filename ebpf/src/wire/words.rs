//! What judging takes and gives, as single words.
//!
//! The verifier checks a function that takes and gives nothing else once, however often and from
//! wherever it is called, and not once for each state of its caller.

use super::datagram::{self, WINDOW};
use super::head::{self, Before, HEAD_LEN, Head, Start, Tell};
use super::protocol::Protocol;
use super::search::{self, Find};
use super::secret::Secret;
use super::stage::Stage;
use super::talk::{Side, Talk};

/// What a conversation is, as far as it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Code of the [`Protocol`].
    pub protocol: u8,
    /// Code of the [`Stage`].
    pub stage: u8,
    /// Code of the [`Secret`].
    pub secret: u8,
    /// Whether nothing that is still to come can change it.
    pub is_settled: bool,
}

const SIDE: u32 = 32;
const FIRST: u32 = 33;
const OPENING: u32 = 34;
const OWN: u32 = 40;
const HEARD: u32 = 48;
const LAST: u32 = 56;

/// The length of a message so far, and what was said before it.
#[inline(always)]
pub const fn circumstances(len: u32, before: Before) -> u64 {
    len as u64
        | (before.side as u64) << SIDE
        | (before.is_first as u64) << FIRST
        | (before.is_opening as u64) << OPENING
        | (before.own as u64) << OWN
        | (before.heard as u64) << HEARD
        | (before.heard_last as u64) << LAST
}

/// [`head`] of a message that starts with `words`, as they lie in memory, as a word.
#[inline(always)]
pub const fn judge(words: [u64; HEAD_LEN / 8], circumstances: u64) -> u64 {
    from_head(head::head(&Start(words), circumstances as u32, before(circumstances)))
}

#[inline(always)]
const fn before(circumstances: u64) -> Before {
    Before {
        side: side(circumstances >> SIDE),
        own: (circumstances >> OWN) as u8,
        heard: (circumstances >> HEARD) as u8,
        heard_last: (circumstances >> LAST) as u8,
        is_first: circumstances >> FIRST & 1 != 0,
        is_opening: circumstances >> OPENING & 1 != 0,
        reserved: 0,
    }
}

#[inline(always)]
const fn side(word: u64) -> Side {
    if word & 1 == Side::Client as u64 { Side::Client } else { Side::Server }
}

/// A head as a word.
#[inline(always)]
pub const fn from_head(head: Head) -> u64 {
    head.protocol as u64 | (head.tell as u64) << 8 | (head.secret as u64) << 16
}

/// What a head's word tells of it.
#[inline(always)]
pub const fn tell(head: u64) -> u8 {
    (head >> 8) as u8
}

/// Whether a head's word is one of TLS.
#[inline(always)]
pub const fn is_tls(head: u64) -> bool {
    head as u8 == Protocol::Tls as u8
}

/// Length of the packet in which MySQL's client asks for TLS. It goes on without waiting for an
/// answer (Protocol::SSLRequest), so what follows is a message of its own.
pub const MYSQL_REQUEST: u32 = 36;

/// How many bytes of a message that was judged stand before another one of the same side.
#[inline(always)]
pub const fn request_len(head: u64) -> u32 {
    let is_request = head as u8 == Protocol::Mysql as u8 && tell(head) == Tell::Ask as u8;
    if is_request { MYSQL_REQUEST } else { 0 }
}

#[inline(always)]
const fn to_head(word: u64) -> Head {
    let Some(protocol) = Protocol::from_code(word as u8) else { return Head::UNKNOWN };
    let Some(tell) = Tell::from_code(tell(word)) else { return Head::UNKNOWN };
    let Some(secret) = Secret::from_code((word >> 16) as u8) else { return Head::UNKNOWN };
    Head { protocol, tell, secret, reserved: 0 }
}

/// A conversation in which `side` has said what is in this word.
#[inline(always)]
pub const fn heard(talk: u64, side_of: Side, head: u64) -> u64 {
    let mut talk = Talk::from_word(talk);
    talk.hear(side_of, to_head(head));
    talk.to_word()
}

/// What is to be looked for in a message of `side` with this head: see [`search::wanted`]. Nothing
/// where it was found before.
#[inline(always)]
pub const fn wanted(talk: u64, side: Side, head: u64, words: [u64; HEAD_LEN / 8]) -> u64 {
    let talk = Talk::from_word(talk);
    if talk.is_found(side) { 0 } else { search::wanted(side, talk.protocol(), tell(head), words) }
}

/// A conversation in which a [`search::step`] of a message of `side` found something.
#[inline(always)]
pub const fn learned(talk: u64, side: Side, step: u64) -> u64 {
    let mut talk = Talk::from_word(talk);
    let (find, secret) = (search::found(step), search::secret(step));
    if let (Some(find), Some(secret)) = (Find::from_code(find), Secret::from_code(secret)) {
        talk.learn(side, find, secret);
    }
    talk.to_word()
}

/// What a conversation is, and whether it wants more of the direction [`of`] which is asked.
#[inline(always)]
pub const fn read(talk: u64, of: u64) -> u64 {
    let talk = Talk::from_word(talk);
    let (protocol, stage) = talk.reading();
    protocol as u64
        | (stage as u64) << 8
        | (talk.secret() as u64) << 16
        | (talk.is_settled() as u64) << 24
        | (talk.wants(side(of), (of >> 8) as u8) as u64) << 25
}

/// A direction, of which so many segments were looked at.
#[inline(always)]
pub const fn of(is_client: bool, looked: u8) -> u64 {
    let side = if is_client { Side::Client } else { Side::Server };
    side as u64 | (looked as u64) << 8
}

/// Whether more of the direction is wanted, by what [`read`] gave.
#[inline(always)]
pub const fn wants_more(word: u64) -> bool {
    word >> 25 & 1 != 0
}

/// How long a header for a proxy is, by the first two words of it; 0 where that cannot be told.
#[inline(always)]
pub const fn proxy_len([a, b]: [u64; 2], len: u32) -> u32 {
    match head::proxy_len(&Start([a, b, 0, 0]), len) {
        Some(len) => len,
        None => 0,
    }
}

/// What a conversation over UDP is by a datagram that starts with `words`, as they lie in memory,
/// by one part of the rules. `of` has its length in the upper word, the client's port and the
/// server's.
#[inline(always)]
pub const fn first_by(part: u8, words: [u64; WINDOW / 8], of: u64) -> u64 {
    let ports = ((of >> 16) as u16, of as u16);
    from_pair(datagram::first_by(part, &Start(words), (of >> 32) as u32, ports))
}

/// The same of a conversation that was found to be what is in the lowest two bytes of `known`, after
/// a further datagram; a first answer if the third byte is not 0.
#[inline(always)]
pub const fn follow(words: [u64; WINDOW / 8], len: u32, known: u32) -> u64 {
    let (Some(protocol), Some(stage)) =
        (Protocol::from_code(known as u8), Stage::from_code((known >> 8) as u8))
    else {
        return (known & 0xffff) as u64;
    };
    let reading = (protocol, stage);
    from_pair(match known >> 16 {
        0 => datagram::later(reading, &Start(words), len),
        _ => datagram::answer(reading, &Start(words), len),
    })
}

/// Whether a further datagram can change a reading over UDP of this stage.
#[inline(always)]
pub const fn is_open(stage: u8) -> bool {
    const OFFERED: u32 = 1 << Stage::Offered as u8;
    const HANDSHAKE: u32 = 1 << Stage::Handshake as u8;
    const MAY_UPGRADE: u32 = 1 << Stage::MayUpgrade as u8;
    (OFFERED | HANDSHAKE | MAY_UPGRADE) >> (stage & 31) & 1 != 0
}

#[inline(always)]
const fn from_pair((protocol, stage): (Protocol, Stage)) -> u64 {
    protocol as u64 | (stage as u64) << 8
}

// === impl Reading ===

impl Reading {
    /// Of what [`read`] gave.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self {
            protocol: word as u8,
            stage: (word >> 8) as u8,
            secret: (word >> 16) as u8,
            is_settled: word >> 24 & 1 != 0,
        }
    }

    /// Whether it is more than a step on the way, which is over as soon as the other end answers.
    #[inline(always)]
    pub const fn is_lasting(self) -> bool {
        const PENDING: u8 = Stage::Pending as u8;
        const UNKNOWN: u8 = Stage::Unknown as u8;
        const OFFERED: u8 = Stage::Offered as u8;
        const HANDSHAKE: u8 = Stage::Handshake as u8;
        !matches!(self.stage, PENDING | UNKNOWN | OFFERED | HANDSHAKE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_all_there_is() {
        for protocol in Protocol::ALL {
            for secret in Secret::ALL {
                let head =
                    Head { protocol: *protocol, tell: Tell::Sealed, secret: *secret, reserved: 0 };
                assert_eq!(to_head(from_head(head)), head);
            }
        }
        for tell in (0..=u8::MAX).filter_map(Tell::from_code) {
            let head = Head::of(Protocol::Ssh, tell);
            assert_eq!(to_head(from_head(head)), head);
        }
    }

    #[test]
    fn circumstances_are_kept() {
        for side in [Side::Client, Side::Server] {
            for bits in 0..4 {
                let given = Before {
                    side,
                    own: 0x81,
                    heard: 0xf2,
                    heard_last: 0xc3,
                    is_first: bits & 1 != 0,
                    is_opening: bits & 2 != 0,
                    reserved: 0,
                };
                let word = circumstances(0xfffe_fdfc, given);
                assert_eq!((before(word), word as u32), (given, 0xfffe_fdfc));
            }
        }
    }

    #[test]
    fn a_conversation_is_the_same_as_words() {
        let start = Start::new(b"GET / HTTP/1.1\r\nHost: a.example\r");
        let before = Before::nothing(Side::Client);
        let found = judge(start.0, circumstances(200, before));
        assert_eq!(to_head(found), head::head(&start, 200, before));
        let mut talk = Talk::default();
        talk.hear(Side::Client, head::head(&start, 200, before));
        let word = heard(Talk::default().to_word(), Side::Client, found);
        assert_eq!(Talk::from_word(word), talk);
        let answer = Start::new(b"HTTP/1.1 200 OK\r\nServer: nginx\r\n");
        let before = talk.before(Side::Server);
        talk.hear(Side::Server, head::head(&answer, 200, before));
        let word = heard(word, Side::Server, judge(answer.0, circumstances(200, before)));
        assert_eq!(Talk::from_word(word), talk);
        let (protocol, stage) = talk.reading();
        let reading = Reading::from_word(read(word, of(true, 1)));
        assert_eq!((reading.protocol, reading.stage), (protocol as u8, stage as u8));
        assert!(reading.is_settled && reading.is_lasting());
    }
}
