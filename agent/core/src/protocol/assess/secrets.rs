//! Authentication that stands behind the first bytes of a message, where no search looks for it.

use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::secret::Secret;
use plainsight_ebpf::wire::talk::Side;

use super::super::conversation::Conversation;
use super::{Course, SEARCHED, contains, contains_any_case, worse};

/// The worst that was seen in the clear.
pub(super) fn worst(course: &Course<'_>, conversation: &Conversation<'_>) -> Secret {
    // Behind a hello nothing is readable.
    let end = course.hellos.0.unwrap_or(conversation.client.len());
    let clear = |bytes: &&[u8]| !bytes.is_empty();
    let messages = course
        .messages
        .iter()
        .filter(|message| message.side == Side::Client && message.at.start < end)
        .map(|message| message.bytes.get(..message.bytes.len().min(SEARCHED)).unwrap_or_default());
    let found = messages.filter(clear).map(|message| of_message(course.protocol, message));
    found.fold(course.talk.secret(), worse)
}

fn of_message(protocol: Protocol, message: &[u8]) -> Secret {
    match protocol {
        Protocol::Http | Protocol::HttpConnect | Protocol::Websocket | Protocol::Rtsp => {
            authorization(message)
        }
        Protocol::Amqp => amqp(message),
        Protocol::Xmpp => xmpp(message),
        Protocol::Kafka => kafka(message),
        Protocol::Nntp if contains_any_case(message, b"AUTHINFO PASS ") => Secret::NntpPassword,
        _ => Secret::None,
    }
}

/// The scheme of an `Authorization` (RFC 9110, section 11.6.2).
fn authorization(message: &[u8]) -> Secret {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(message.len());
    let headers = message.get(..end).unwrap_or_default();
    let has = |scheme: &[u8]| {
        [b"authorization: ".as_slice(), b"authorization:"].iter().any(|name| {
            let whole = [*name, scheme].concat();
            contains_any_case(headers, &whole)
        })
    };
    if has(b"basic ") {
        Secret::HttpBasic
    } else if has(b"bearer ") {
        Secret::HttpBearer
    } else if has(b"digest ") {
        Secret::HttpDigest
    } else if has(b"negotiate ") || has(b"ntlm ") {
        Secret::HttpNegotiate
    } else {
        Secret::None
    }
}

/// The mechanism of version 1.0's SASL.
fn amqp(message: &[u8]) -> Secret {
    if !message.starts_with(b"AMQP\x03") {
        return Secret::None;
    }
    if contains(message, b"\x05PLAIN") {
        Secret::SaslPlain
    } else if contains(message, b"SCRAM-SHA") || contains(message, b"CRAM-MD5") {
        Secret::SaslChallenge
    } else {
        Secret::None
    }
}

/// The mechanism of an `auth` (RFC 6120, section 6.4.2).
fn xmpp(message: &[u8]) -> Secret {
    if !contains(message, b"<auth") {
        return if contains(message, b"<password>") { Secret::SaslPlain } else { Secret::None };
    }
    let has = |name: &[u8]| contains(message, name);
    if has(b"mechanism='PLAIN'") || has(b"mechanism=\"PLAIN\"") {
        Secret::SaslPlain
    } else if has(b"SCRAM-SHA") || has(b"DIGEST-MD5") || has(b"CRAM-MD5") {
        Secret::SaslChallenge
    } else if has(b"GSSAPI") || has(b"GSS-SPNEGO") {
        Secret::SaslGssapi
    } else {
        Secret::None
    }
}

/// A SaslHandshake (key 17) with its mechanism.
fn kafka(message: &[u8]) -> Secret {
    if message.get(4..6) != Some(&[0, 17]) {
        Secret::None
    } else if contains(message, b"\0\x05PLAIN") {
        Secret::SaslPlain
    } else if contains(message, b"SCRAM-SHA") {
        Secret::SaslChallenge
    } else if contains(message, b"GSSAPI") {
        Secret::SaslGssapi
    } else if contains(message, b"OAUTHBEARER") {
        Secret::SaslBearer
    } else {
        Secret::None
    }
}
