//! What core makes of a stream.

use plainsight_core::protocol::conversation::{Assessment, Conversation, Exchange};
use plainsight_ebpf::{
    abi::edge::Class,
    wire::{
        head::{self, HEAD_LEN},
        protocol::Protocol,
        secret::Secret,
        stage::Stage,
    },
};

/// A conversation over TCP.
pub(super) fn conversation(conversation: &Conversation<'_>) -> Assessment {
    let head = |bytes: &[u8]| {
        let (window, len) = window(bytes);
        if len == 0 { head::Head::None as u8 } else { head::head(&window, len) as u8 }
    };
    of_class(head::class(head(conversation.client), head(conversation.server)))
}

/// A conversation over UDP.
pub(super) fn exchange(exchange: &Exchange<'_>) -> Assessment {
    let Some(first) = exchange.datagrams.first() else { return of_class(Class::Pending) };
    let (window, _) = window(first.payload);
    of_class(head::datagram(&window, first.length as u32))
}

fn window(bytes: &[u8]) -> ([u8; HEAD_LEN], usize) {
    let mut window = [0; HEAD_LEN];
    let len = bytes.len().min(HEAD_LEN);
    window[..len].copy_from_slice(&bytes[..len]);
    (window, len)
}

fn of_class(class: Class) -> Assessment {
    let (protocol, stage) = match class {
        Class::Pending => (Protocol::Unknown, Stage::Pending),
        Class::Unknown => (Protocol::Unknown, Stage::Unknown),
        Class::Http1 => (Protocol::Http, Stage::Plaintext),
        Class::Http2 => (Protocol::Http2, Stage::Plaintext),
        Class::Tls => (Protocol::Tls, Stage::Encrypted),
        Class::TlsOffered => (Protocol::Tls, Stage::Offered),
        Class::Ssh => (Protocol::Ssh, Stage::Encrypted),
        Class::Dns => (Protocol::Dns, Stage::Plaintext),
        Class::Quic => (Protocol::Quic, Stage::Handshake),
    };
    Assessment {
        protocol,
        version: None,
        stage,
        upgraded_at: None,
        tls: None,
        secret: Secret::None,
        evidence: plainsight_core::protocol::reading(class).evidence.into(),
        is_certain: false,
    }
}
