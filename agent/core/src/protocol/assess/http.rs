//! HTTP: what it was changed to, what is called over it, which version.

use alloc::borrow::Cow;

use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::stage::Stage;
use plainsight_ebpf::wire::talk::Side;

use super::super::conversation::Conversation;
use super::{Course, SEARCHED, contains, contains_any_case};

/// `application/grpc` in the Huffman code of HPACK (RFC 7541, appendix B): 88 bits.
const GRPC: &[u8] = &[0x1d, 0x75, 0xd0, 0x62, 0x0d, 0x26, 0x3d, 0x4c, 0x4d, 0x65, 0x64];

/// Headers of a request or an answer, up to the empty line.
fn headers(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.get(..bytes.len().min(SEARCHED)).unwrap_or_default();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default()
}

/// Names what HTTP was changed to, and gRPC.
pub(super) fn refine(course: &mut Course<'_>, conversation: &Conversation<'_>) {
    match course.protocol {
        Protocol::Http if course.stage == Stage::Plaintext => {
            course.protocol = upgraded(course).unwrap_or(Protocol::Http);
        }
        Protocol::Http2 if is_grpc(conversation) => course.protocol = Protocol::Grpc,
        _ => {}
    }
}

/// What a request asked to change to, where the server agreed (RFC 9110, section 7.8).
fn upgraded(course: &Course<'_>) -> Option<Protocol> {
    let is_agreed = |answer: &[u8]| answer.get(8..12) == Some(b" 101");
    if !course.said(Side::Server).any(is_agreed) && course.said(Side::Server).next().is_some() {
        return None;
    }
    course.said(Side::Client).find_map(|request| {
        let headers = headers(request);
        if contains_any_case(headers, b"\nupgrade: websocket") {
            Some(Protocol::Websocket)
        } else if contains_any_case(headers, b"\nupgrade: h2c") {
            course.said(Side::Server).next().map(|_| Protocol::Http2)
        } else {
            None
        }
    })
}

fn is_grpc(conversation: &Conversation<'_>) -> bool {
    [conversation.client, conversation.server].into_iter().any(|bytes| {
        let bytes = bytes.get(..bytes.len().min(SEARCHED)).unwrap_or_default();
        contains(bytes, GRPC) || contains(bytes, b"application/grpc")
    })
}

/// The version of the first line that has one.
pub(super) fn version(conversation: &Conversation<'_>) -> Option<Cow<'static, str>> {
    let line = |bytes: &[u8]| {
        let line = bytes.get(..bytes.len().min(4096)).unwrap_or_default();
        let end = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
        let line = line.get(..end).unwrap_or_default();
        if contains(line, b"HTTP/1.1") {
            Some("1.1".into())
        } else if contains(line, b"HTTP/1.0") {
            Some("1.0".into())
        } else {
            None
        }
    };
    line(conversation.server).or_else(|| line(conversation.client))
}
