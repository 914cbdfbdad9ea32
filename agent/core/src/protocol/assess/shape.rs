//! What one side alone shows, where the state machine waits for the other to agree.

use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::stage::Stage;
use plainsight_ebpf::wire::talk::Side;

use super::super::conversation::Conversation;
use super::{Course, contains_any_case, frame};

/// How much of a direction is searched for words.
const SEARCHED: usize = 2048;

/// Names a conversation that the state machine could not name.
pub(super) fn settle(course: &mut Course<'_>, conversation: &Conversation<'_>) {
    if course.protocol != Protocol::Unknown || course.stage != Stage::Unknown {
        return;
    }
    let found = banner(conversation)
        .or_else(|| framed(course))
        .or_else(|| replied(course))
        .or_else(|| by_port(course, conversation.port))
        .or_else(|| whole_text(course, conversation));
    if let Some(protocol) = found {
        course.protocol = protocol;
        course.stage = Stage::Plaintext;
        course.is_certain = false;
    }
}

fn start(bytes: &[u8]) -> &[u8] {
    bytes.get(..bytes.len().min(SEARCHED)).unwrap_or_default()
}

/// What the server's first lines say of themselves.
fn banner(conversation: &Conversation<'_>) -> Option<Protocol> {
    let server = start(conversation.server);
    if server.starts_with(b"220") {
        let line = server.get(..server.len().min(512)).unwrap_or_default();
        // ESMTP has SMTP in it.
        return if contains_any_case(line, b"SMTP") {
            Some(Protocol::Smtp)
        } else if contains_any_case(line, b"FTP") {
            Some(Protocol::Ftp)
        } else {
            None
        };
    }
    // Lines before an identification (RFC 4253, section 4.2).
    let is_late = |bytes: &[u8]| start(bytes).windows(5).any(|five| five == b"\nSSH-");
    if is_late(conversation.server) {
        return None;
    }
    None
}

/// One side's weak first message, if it and what follows it are frames to the end.
fn framed(course: &Course<'_>) -> Option<Protocol> {
    [Side::Client, Side::Server].into_iter().find_map(|side| {
        let protocol = course.talk.named(side);
        let mut whole = 0;
        for message in course.said(side) {
            let walk = frame::walk(protocol, side, message);
            if !walk.fits {
                return None;
            }
            whole += walk.whole;
        }
        let other = match side {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        let others = course.said(other).all(|message| frame::walk(protocol, other, message).fits);
        (whole >= 1 && others).then_some(protocol)
    })
}

/// A client's weak command that a server answered with a code, or a line.
fn replied(course: &Course<'_>) -> Option<Protocol> {
    let client = course.talk.named(Side::Client);
    let reply = course.said(Side::Server).next()?;
    let is_code = reply.get(..3).is_some_and(|code| code.iter().all(u8::is_ascii_digit))
        && matches!(reply.get(3), Some(b' ' | b'-'));
    match client {
        Protocol::Ftp | Protocol::Nntp if is_code => Some(client),
        Protocol::Redis if matches!(reply.first(), Some(b'+' | b'-' | b':' | b'$' | b'*')) => {
            Some(client)
        }
        Protocol::Irc if reply.first() == Some(&b':') => Some(client),
        Protocol::Pop3 if reply.starts_with(b"+OK") || reply.starts_with(b"-ERR") => Some(client),
        Protocol::Imap if reply.starts_with(b"* ") => Some(client),
        _ => None,
    }
}

/// Of one weak side and one that says nothing against it, the port may break the tie.
fn by_port(course: &Course<'_>, port: u16) -> Option<Protocol> {
    let usual = match port {
        20_000 => Protocol::Dnp3,
        502 => Protocol::Modbus,
        1080 => Protocol::Socks,
        1433 => Protocol::Tds,
        1521 => Protocol::OracleTns,
        21 => Protocol::Ftp,
        110 => Protocol::Pop3,
        143 => Protocol::Imap,
        2404 => Protocol::Iec104,
        5222 | 5269 => Protocol::Xmpp,
        5432 => Protocol::Postgresql,
        6379 => Protocol::Redis,
        6667 => Protocol::Irc,
        8009 => Protocol::Ajp,
        9042 => Protocol::Cassandra,
        9092 => Protocol::Kafka,
        11_211 => Protocol::Memcached,
        80 | 8080 => Protocol::Http,
        102 => Protocol::S7comm,
        111 => Protocol::Sunrpc,
        119 => Protocol::Nntp,
        _ => return None,
    };
    let named = [course.talk.named(Side::Client), course.talk.named(Side::Server)];
    named.contains(&usual).then_some(usual)
}

/// A line from the client and a text that answers it (whois), or a listing from one side alone.
fn whole_text(course: &Course<'_>, conversation: &Conversation<'_>) -> Option<Protocol> {
    let (client, server) = (start(conversation.client), start(conversation.server));
    let is_line = client.ends_with(b"\r\n")
        && client.iter().filter(|byte| **byte == b'\n').count() == 1
        && client.iter().all(|byte| byte.is_ascii_graphic() || b" \r\n".contains(byte));
    let is_answer = server.starts_with(b"% ") || contains_any_case(server, b"whois");
    if is_line && is_answer && course.messages.len() == 2 {
        return Some(Protocol::Whois);
    }
    let one = if client.is_empty() { server } else { client };
    let is_one_way = client.is_empty() || server.is_empty();
    (is_one_way && is_listing(one)).then_some(Protocol::FtpData)
}

/// A line as `ls -l` has: a kind, nine letters of permission, a count.
fn is_listing(bytes: &[u8]) -> bool {
    let Some((mode, rest)) = bytes.split_first_chunk::<10>() else { return false };
    let is_mode = b"-dlbcps".contains(&mode[0])
        && mode.iter().skip(1).all(|letter| b"rwxsStT-".contains(letter));
    let count = rest.iter().find(|byte| **byte != b' ');
    is_mode && rest.first() == Some(&b' ') && count.is_some_and(u8::is_ascii_digit)
}
