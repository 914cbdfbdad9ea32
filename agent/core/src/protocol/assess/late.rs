//! Conversations that were joined in their middle.
//!
//! One packet proves nothing: another protocol's frames can look like anything. What is claimed
//! here rests on two frames in a row at the right offsets, or on a frame that both sides sent.

use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::stage::Stage;
use plainsight_ebpf::wire::talk::Side;

use super::super::conversation::Conversation;
use super::super::tls;
use super::frame::{self, Walk};
use super::{Course, message::Message};

/// What is tried, the strictest frames first.
const CANDIDATES: [Protocol; 10] = [
    Protocol::Amqp,
    Protocol::Http2,
    Protocol::Ssh,
    Protocol::Postgresql,
    Protocol::Mysql,
    Protocol::Mqtt,
    Protocol::Modbus,
    Protocol::Iec104,
    Protocol::Websocket,
    Protocol::Kafka,
];

/// Names what the state machine could not.
pub(super) fn join(course: &mut Course<'_>, conversation: &Conversation<'_>) {
    if course.protocol != Protocol::Unknown || course.stage != Stage::Unknown {
        return;
    }
    if !conversation.is_whole && is_tls(course) {
        (course.protocol, course.stage) = (Protocol::Tls, Stage::Encrypted);
        return;
    }
    let fits = |protocol: &Protocol| is_framed(course, *protocol, conversation.is_whole);
    let Some(protocol) = CANDIDATES.into_iter().find(fits) else { return };
    course.protocol = protocol;
    course.stage = match protocol {
        Protocol::Ssh if has_new_keys(course) => Stage::Encrypted,
        Protocol::Ssh => Stage::Handshake,
        _ => Stage::Plaintext,
    };
}

/// Whether records of TLS stand in a row: application data among them, all of one version.
fn is_tls(course: &Course<'_>) -> bool {
    let (mut whole, mut data, mut odd) = (0, 0, 0);
    for message in &course.messages {
        let (mut count, mut protected) = (0, 0);
        for record in tls::records(message.bytes).filter(tls::Record::is_complete) {
            count += 1;
            protected += usize::from(record.kind == tls::Kind::ApplicationData);
        }
        let ends =
            tls::records(message.bytes).map(|record| record.payload.len() + 5).sum::<usize>();
        if ends < message.bytes.len() && message.bytes.len() - ends >= 5 {
            odd += 1;
        } else {
            whole += count;
            data += protected;
        }
    }
    whole >= 2 && data >= 1 && odd * 4 <= course.messages.len()
}

/// Whether the frames of both sides fit, and there are two in a row or one each.
fn is_framed(course: &Course<'_>, protocol: Protocol, is_whole: bool) -> bool {
    let mut sides = [0_usize; 2];
    let mut in_a_row = 0;
    for message in &course.messages {
        let Walk { whole, fits } = frame::walk(protocol, message.side, message.bytes);
        if !fits || !is_plausible(protocol, message) {
            return false;
        }
        in_a_row = in_a_row.max(whole);
        sides[message.side as usize] += whole;
    }
    let both = sides[0] > 0 && sides[1] > 0;
    let total = sides[0] + sides[1];
    match protocol {
        // Their headers have little that could be wrong.
        Protocol::Mysql => both && !is_whole,
        Protocol::Kafka => both && is_echoed(course),
        Protocol::Websocket | Protocol::Modbus => both && !is_whole && total >= 2,
        Protocol::Mqtt | Protocol::Postgresql => in_a_row >= 2 || both,
        Protocol::Ssh => both || in_a_row >= 2,
        _ => in_a_row >= 2 || both,
    }
}

/// What else holds of a message of a protocol.
fn is_plausible(protocol: Protocol, message: &Message<'_>) -> bool {
    let bytes = message.bytes;
    match protocol {
        // A command counts from 0, and its answer from 1 (MySQL's protocol, "Sequence ID").
        Protocol::Mysql if message.side == Side::Client => {
            bytes.get(3) == Some(&0)
                && bytes.get(4).is_some_and(|command| (1..=0x1f).contains(command))
        }
        Protocol::Mysql => bytes.get(3) == Some(&1),
        Protocol::Modbus => {
            bytes.get(7).is_some_and(|function| (1..=43).contains(&(function & 0x7f)))
        }
        _ => true,
    }
}

/// Whether the server's first answer has the number of the client's first request.
fn is_echoed(course: &Course<'_>) -> bool {
    let asked = course.said(Side::Client).next().and_then(|bytes| bytes.get(8..12));
    let answered = course.said(Side::Server).next().and_then(|bytes| bytes.get(4..8));
    asked.is_some() && asked == answered
}

/// Whether a packet says that the next is protected.
fn has_new_keys(course: &Course<'_>) -> bool {
    course.messages.iter().any(|message| {
        let mut rest = message.bytes;
        while let Some(length) = frame::length(Protocol::Ssh, message.side, rest) {
            if rest.get(5) == Some(&21) {
                return true;
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        false
    })
}
