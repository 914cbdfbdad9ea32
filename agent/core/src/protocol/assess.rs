//! What a conversation over TCP is, from what both ends sent.
//!
//! The same rules and the same state machine as in the kernel judge its messages. Then what the
//! kernel has no room for is read: whole lines, lists of capabilities, frames behind frames, and
//! what a conversation is that was joined in its middle.

mod evidence;
mod frame;
mod ftp;
mod http;
mod late;
mod message;
mod offer;
mod sealing;
mod secrets;
mod shape;

pub use self::ftp::data_ports;

use alloc::borrow::Cow;
use alloc::vec::Vec;

use plainsight_ebpf::wire::head::{Before, Head, Start, Tell};
use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::search;
use plainsight_ebpf::wire::secret::Secret;
use plainsight_ebpf::wire::stage::Stage;
use plainsight_ebpf::wire::talk::{Side, Talk};
use plainsight_ebpf::wire::words::{self, MYSQL_REQUEST};

use self::message::Message;
use super::conversation::{Assessment, Conversation, Turn};
use super::tls::{self, Tls};

/// How much of a message is searched.
const SEARCHED: usize = 16 << 10;

/// What the messages added up to.
struct Course<'a> {
    messages: Vec<Message<'a>>,
    talk: Talk,
    /// Where the client's hello begins, and the server's.
    hellos: (Option<usize>, Option<usize>),
    protocol: Protocol,
    stage: Stage,
    is_certain: bool,
}

/// Says what a conversation is.
pub fn assess(conversation: &Conversation<'_>) -> Assessment {
    let found = judge(conversation);
    if conversation.is_whole || found.stage > Stage::Unknown {
        return found;
    }
    // Which end is the client is no more than a guess where nobody saw the connection begin.
    let turns: Vec<Turn> = conversation.turns.iter().map(|turn| turn.reversed()).collect();
    let reversed = Conversation {
        client: conversation.server,
        server: conversation.client,
        turns: &turns,
        ..*conversation
    };
    let other = judge(&reversed);
    if other.stage > Stage::Unknown { other } else { found }
}

fn judge(conversation: &Conversation<'_>) -> Assessment {
    let mut course = follow(conversation);
    shape::settle(&mut course, conversation);
    late::join(&mut course, conversation);
    let tls = handshake(&mut course, conversation);
    http::refine(&mut course, conversation);
    sealing::refine(&mut course);
    offer::refine(&mut course);
    let upgraded = matches!(course.stage, Stage::Upgraded | Stage::Handshake | Stage::Offered)
        && course.protocol != Protocol::Tls;
    Assessment {
        protocol: course.protocol,
        version: version(&course, conversation),
        stage: course.stage,
        upgraded_at: course.hellos.0.filter(|_| upgraded).and_then(|at| u64::try_from(at).ok()),
        evidence: evidence::of(&course, conversation, tls.as_ref()),
        tls,
        secret: secrets::worst(&course, conversation),
        is_certain: course.is_certain,
    }
}

/// Runs the state machine over the messages.
fn follow<'a>(conversation: &Conversation<'a>) -> Course<'a> {
    let mut course = Course {
        messages: message::messages(conversation),
        talk: Talk::default(),
        hellos: (None, None),
        protocol: Protocol::Unknown,
        stage: Stage::Pending,
        is_certain: false,
    };
    // Of one direction alone, the other one's hello may have been where nobody looked.
    for (side, other) in [(Side::Client, Side::Server), (Side::Server, Side::Client)] {
        let is_missed = !conversation.is_whole || starts_with_hello(course.said(other).next());
        if is_missed && course.said(side).next().is_none() {
            course.talk.hear(side, Head::MISSED);
        }
    }
    let (mut client_began, mut server_began) = (false, false);
    for message in course.messages.clone() {
        let began = match message.side {
            Side::Client => &mut client_began,
            Side::Server => &mut server_began,
        };
        let before = course.talk.before(message.side);
        let padding = if *began { 0 } else { message::padding(message.bytes, before) };
        *began = true;
        course.hear(message.side, message.at.start + padding, message.bytes.get(padding..));
    }
    (course.protocol, course.stage) = course.talk.reading();
    course.is_certain = course.talk.is_agreed();
    course
}

/// Whether a server's first message is a hello, which answers nothing but a client's.
fn starts_with_hello(message: Option<&[u8]>) -> bool {
    let judged = message.map(|bytes| message::head_of(bytes, Before::nothing(Side::Server)));
    judged == Some(Head::of(Protocol::Tls, Tell::Hello))
}

// === impl Course ===

impl Course<'_> {
    /// Takes in a message, and what follows a header in front of it.
    fn hear(&mut self, side: Side, at: usize, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else { return };
        let head = message::head_of(bytes, self.talk.before(side));
        self.note(side, at, head);
        let skip = match head {
            Head { tell: Tell::Proxy, .. } => message::proxy_len(bytes),
            Head { protocol: Protocol::Mysql, tell: Tell::Ask, .. } => Some(MYSQL_REQUEST as usize),
            _ => None,
        };
        let Some(skip) = skip else { return self.search(side, head, bytes) };
        let rest = bytes.get(skip..).unwrap_or_default();
        if !rest.is_empty() {
            let head = message::head_of(rest, self.talk.before(side));
            self.note(side, at + skip, head);
            self.search(side, head, rest);
        }
    }

    /// Looks behind the head of a message.
    fn search(&mut self, side: Side, head: Head, bytes: &[u8]) {
        let (talk, start) = (self.talk.to_word(), Start::new(bytes).0);
        let wanted = words::wanted(talk, side, words::from_head(head), start);
        let searched = bytes.get(..bytes.len().min(SEARCHED)).unwrap_or_default();
        let found = search::walk(wanted, searched);
        self.talk = Talk::from_word(words::learned(talk, side, found));
    }

    fn note(&mut self, side: Side, at: usize, head: Head) {
        if head.tell == Tell::Hello {
            let hello = match side {
                Side::Client => &mut self.hellos.0,
                Side::Server => &mut self.hellos.1,
            };
            hello.get_or_insert(at);
        }
        self.talk.hear(side, head);
    }

    /// What a side said, message by message.
    fn said(&self, side: Side) -> impl Iterator<Item = &[u8]> {
        self.messages
            .iter()
            .filter(move |message| message.side == side)
            .map(|message| message.bytes)
    }
}

/// Reads the handshake of TLS, if there is one, and sees how far it got.
fn handshake(course: &mut Course<'_>, conversation: &Conversation<'_>) -> Option<Tls> {
    if matches!(course.protocol, Protocol::Ssh | Protocol::Openvpn) {
        return None;
    }
    let (client, server) = course.hellos;
    if client.is_none() && server.is_none() {
        return None;
    }
    let from = |bytes: &'_ [u8], at: Option<usize>| at.map_or(0, |at| at.min(bytes.len()));
    let (from_client, from_server) =
        (from(conversation.client, client), from(conversation.server, server));
    let client_bytes = client.and(conversation.client.get(from_client..)).unwrap_or_default();
    let server_bytes = server.and(conversation.server.get(from_server..)).unwrap_or_default();
    let found = tls::read(client_bytes, server_bytes)?;
    let is_answered = matches!(course.stage, Stage::Handshake | Stage::Encrypted | Stage::Upgraded);
    if is_answered && found.protected {
        course.stage = match course.protocol {
            Protocol::Tls => Stage::Encrypted,
            _ => Stage::Upgraded,
        };
    }
    // A client that goes on with protected records had an answer, where nobody looked.
    let is_data = |record: tls::Record<'_>| record.kind == tls::Kind::ApplicationData;
    let goes_on = tls::records(client_bytes).filter(tls::Record::is_complete).any(is_data);
    if conversation.server.is_empty() && course.protocol == Protocol::Tls && goes_on {
        course.stage = Stage::Encrypted;
    }
    Some(found)
}

/// The version in a first line.
fn version(course: &Course<'_>, conversation: &Conversation<'_>) -> Option<Cow<'static, str>> {
    match course.protocol {
        Protocol::Http | Protocol::Websocket | Protocol::HttpConnect => http::version(conversation),
        Protocol::Http2 | Protocol::Grpc => Some("2".into()),
        Protocol::Ssh => {
            let is_old =
                |bytes: &[u8]| bytes.starts_with(b"SSH-1.5") || bytes.starts_with(b"SSH-1.3");
            let is_old = is_old(conversation.client) || is_old(conversation.server);
            Some(if is_old { "1.5" } else { "2.0" }.into())
        }
        _ => None,
    }
}

/// Whether a text is somewhere in these bytes.
fn contains(bytes: &[u8], text: &[u8]) -> bool {
    !text.is_empty() && bytes.windows(text.len()).any(|part| part == text)
}

/// The same, in any case of its letters.
fn contains_any_case(bytes: &[u8], text: &[u8]) -> bool {
    !text.is_empty() && bytes.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
}

/// Secrets of which the first is as bad as the second.
const fn worse(one: Secret, other: Secret) -> Secret {
    if matches!(one, Secret::None) || other.is_readable() && !one.is_readable() {
        other
    } else {
        one
    }
}

#[cfg(test)]
mod tests;
