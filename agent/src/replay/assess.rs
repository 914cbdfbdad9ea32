//! What core makes of a stream.

use plainsight_core::protocol::{
    conversation::{Assessment, Conversation, Exchange, Side},
    exchange, tls,
};
use plainsight_ebpf::wire::{
    head::{self, HEAD_LEN},
    stage::Stage,
    talk::Talk,
};

/// A conversation over TCP.
pub(super) fn conversation(conversation: &Conversation<'_>) -> Assessment {
    let mut talk = Talk::default();
    let mut at = [0, 0];
    let mut turns = conversation.turns.iter().peekable();
    while let Some(turn) = turns.next() {
        let (side, all) = match turn.side {
            Side::Client => (0, conversation.client),
            Side::Server => (1, conversation.server),
        };
        let start = at[side];
        at[side] += turn.length;
        while let Some(next) = turns.next_if(|next| next.side == turn.side) {
            at[side] += next.length;
        }
        let message = all.get(start..at[side]).unwrap_or_default();
        if conversation.is_whole {
            let (window, _) = window(message);
            let head = head::head(&window, message.len() as u32, talk.before(turn.side));
            talk.hear(turn.side, head);
        }
    }
    let (protocol, stage) = talk.reading();
    let stage = if conversation.turns.is_empty() { Stage::Pending } else { stage };
    Assessment {
        protocol,
        version: None,
        stage,
        upgraded_at: None,
        tls: tls::read(conversation.client, conversation.server),
        secret: talk.secret(),
        evidence: "".into(),
        is_certain: false,
    }
}

/// A conversation over UDP.
pub(super) fn exchange(exchange: &Exchange<'_>) -> Assessment {
    exchange::assess(exchange)
}

fn window(bytes: &[u8]) -> ([u8; HEAD_LEN], usize) {
    let mut window = [0; HEAD_LEN];
    let len = bytes.len().min(HEAD_LEN);
    window[..len].copy_from_slice(&bytes[..len]);
    (window, len)
}
