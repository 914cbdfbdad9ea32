//! What one side said until the other spoke.

use alloc::vec::Vec;
use core::ops::Range;

use plainsight_ebpf::wire::head::{self, Before, HEAD_LEN, Head};
use plainsight_ebpf::wire::talk::Side;

use super::super::conversation::Conversation;

/// Messages that are looked at. Upgrades come within the first dozen.
const MOST: usize = 128;

/// Longest run of zeros in front of a stream that is taken for padding: what an Ethernet frame is
/// filled with behind an acknowledgement.
const PADDING: usize = 6;

/// One message, and where it is in its side's bytes.
#[derive(Clone, Debug)]
pub(super) struct Message<'a> {
    pub(super) side: Side,
    pub(super) at: Range<usize>,
    pub(super) bytes: &'a [u8],
}

/// The first messages of a conversation. What no turn tells of follows its side's last.
pub(super) fn messages<'a>(conversation: &Conversation<'a>) -> Vec<Message<'a>> {
    let mut found: Vec<(Side, Range<usize>)> = Vec::new();
    let (mut client, mut server) = (0_usize, 0_usize);
    for turn in conversation.turns {
        let (bytes, at) = match turn.side {
            Side::Client => (conversation.client, &mut client),
            Side::Server => (conversation.server, &mut server),
        };
        let end = at.saturating_add(turn.length).min(bytes.len());
        if end == *at {
            continue;
        }
        let is_full = found.len() == MOST;
        match found.last_mut() {
            Some((side, range)) if *side == turn.side => range.end = end,
            _ if is_full => break,
            _ => found.push((turn.side, *at..end)),
        }
        *at = end;
    }
    let message = |(side, at): (Side, Range<usize>)| {
        let all = match side {
            Side::Client => conversation.client,
            Side::Server => conversation.server,
        };
        Message { side, bytes: all.get(at.clone()).unwrap_or_default(), at }
    };
    found.into_iter().map(message).collect()
}

/// Judges the start of a message, as the kernel does.
pub(super) fn head_of(bytes: &[u8], before: Before) -> Head {
    let mut window = [0; HEAD_LEN];
    for (into, byte) in window.iter_mut().zip(bytes) {
        *into = *byte;
    }
    head::head(&window, u32::try_from(bytes.len()).unwrap_or(u32::MAX), before)
}

/// How many zeros in front of a stream are padding: it is recognised behind them only.
pub(super) fn padding(bytes: &[u8], before: Before) -> usize {
    let zeros = bytes.iter().take(PADDING + 1).take_while(|byte| **byte == 0).count();
    if zeros == 0 || zeros > PADDING || head_of(bytes, before).is_recognised() {
        return 0;
    }
    let is_behind =
        |from: &usize| bytes.get(*from..).is_some_and(|rest| head_of(rest, before).is_recognised());
    (1..=zeros).rev().find(is_behind).unwrap_or(0)
}

/// How long a header of the PROXY protocol is, if one is there and whole.
pub(super) fn proxy_len(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"PROXY ") {
        // At most 107 bytes (version 1, section 2.1).
        let line = bytes.get(..bytes.len().min(108)).unwrap_or_default();
        return line.windows(2).position(|pair| pair == b"\r\n").map(|at| at + 2);
    }
    let window: &[u8; HEAD_LEN] = bytes.first_chunk()?;
    let length = head::proxy_len(window, u32::try_from(bytes.len()).unwrap_or(u32::MAX))?;
    usize::try_from(length).ok().filter(|length| *length <= bytes.len())
}
