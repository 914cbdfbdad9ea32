//! Encryption that a server offered, and that its client did not take: it went on, which need not be with
//! a command that rules the encryption out.

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
    // The command after the list, whichever it is.
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
        _ => false,
    }
}
