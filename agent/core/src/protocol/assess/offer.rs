//! Encryption that a server offered, and that its client did not take.

use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::stage::Stage;
use plainsight_ebpf::wire::talk::Side;

use super::{Course, contains, contains_any_case};

/// Where a list of capabilities has it and the client went on, says so.
pub(super) fn refine(course: &mut Course<'_>) {
    if !matches!(course.stage, Stage::Plaintext | Stage::MayUpgrade) {
        return;
    }
    let offers = |bytes: &[u8]| offers(course.protocol, bytes);
    let offered = course
        .messages
        .iter()
        .position(|message| message.side == Side::Server && offers(message.bytes));
    let went_on =
        |from: usize| course.messages.iter().skip(from).any(|message| message.side == Side::Client);
    // Of MySQL, the login itself; of the others, the command after the list.
    if offered.is_some_and(went_on) {
        course.stage = Stage::OfferedNotTaken;
    }
}

fn offers(protocol: Protocol, bytes: &[u8]) -> bool {
    match protocol {
        Protocol::Smtp => {
            contains_any_case(bytes, b"250-STARTTLS") || contains_any_case(bytes, b"250 STARTTLS")
        }
        Protocol::Imap => contains_any_case(bytes, b" STARTTLS"),
        Protocol::Pop3 => contains(bytes, b"\nSTLS"),
        Protocol::Ftp => {
            contains_any_case(bytes, b"\n AUTH TLS") || contains(bytes, b"\n AUTH SSL")
        }
        Protocol::Nntp => contains(bytes, b"\nSTARTTLS"),
        Protocol::Xmpp => contains(bytes, b"<starttls"),
        Protocol::Nats => {
            contains(bytes, b"\"tls_available\":true") || contains(bytes, b"\"tls_required\":true")
        }
        Protocol::Mysql => mysql(bytes),
        _ => false,
    }
}

/// CLIENT_SSL among the greeting's capabilities: behind the version's text, a thread's number,
/// eight bytes and a zero.
fn mysql(bytes: &[u8]) -> bool {
    if bytes.get(3..5) != Some(&[0, 10]) {
        return false;
    }
    let Some(text) = bytes.get(5..) else { return false };
    let Some(end) = text.iter().take(64).position(|byte| *byte == 0) else { return false };
    text.get(end + 1 + 13 + 1).is_some_and(|high| high & 0x08 != 0)
}
