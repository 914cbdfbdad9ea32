//! Bytes of TLS handshakes that go to the agent, of connections that were chosen for it.
//!
//! What is sent on is told record by record: of application data no more than the five bytes that say
//! how long it is, and nothing of what was said before the first hello.

use plainsight_ebpf::{
    abi::{
        counters::Counter,
        edge::Role,
        event::{Handshake, LONG, SHORT},
        flow::SocketState,
    },
    wire::{
        head::HEAD_LEN,
        tls::{APPLICATION_DATA, RECORD_HEADER, is_handshake},
    },
};

use super::{
    context::{Packet, now_ns},
    emit,
    listen::tap,
    maps::{self, count},
};

/// Records, or parts of one, that are looked at in a segment. Written out, because without
/// CAP_PERFMON the verifier refuses a loop.
macro_rules! steps {
    ($step:expr; $($number:literal)*) => {{ $(let _ = $number; if !$step { return; })* }};
}
pub(super) use steps;

/// Most bytes of a direction that are sent on.
const MOST: u16 = 20_000;

/// Most parts of a direction: enough for a hello that is written byte by byte, though not for one of the
/// longest.
const MOST_PARTS: u16 = 2048;

/// Scans that a connection is waited for.
const PATIENCE: i32 = 3;

/// Most records of application data whose length is.
const MOST_SEALED: u8 = 8;

/// A hello was recognised. What of it came in segments before the one at hand is the start of its
/// message.
#[inline(never)]
pub(super) fn begin<const SENT: bool>(state: &mut SocketState) {
    let message = if SENT { &state.sent } else { &state.received };
    let (seen, [first, ..]) = (message.seen(), message.words());
    let tap = tap::<SENT>(state);
    let before = seen.saturating_sub(tap.rest);
    if before >= HEAD_LEN as u32 {
        return;
    }
    if tap.open == 0 {
        tap.left = 0;
    }
    tap.open = 1;
    if before == 0 {
        return;
    }
    let start = u64::from_be(first);
    tap.kind = (start >> 56) as u8;
    tap.left = (RECORD_HEADER + u32::from((start >> 24) as u16)).saturating_sub(before);
    tap.early = before as u8;
}

/// Whether more of a direction is to be sent on.
#[inline(always)]
pub(super) fn is_open(state: &SocketState) -> bool {
    state.tap_in.open | state.tap_out.open != 0
}

/// Bytes went by unseen: where records begin is not known any more.
#[inline(always)]
pub(super) fn lose<const SENT: bool>(state: &mut SocketState) {
    tap::<SENT>(state).open = 0;
}

/// A handshake that is still not over, seconds after it was begun, has said what it had to say.
#[inline(always)]
pub(super) fn tire(state: &mut SocketState) {
    if is_open(state) && maps::epoch().wrapping_sub(state.chosen) as i32 > PATIENCE {
        state.tap_in.open = 0;
        state.tap_out.open = 0;
    }
}

/// Sends on what belongs to a handshake, of the bytes that were noted.
#[inline(never)]
pub(super) fn share<const SENT: bool>(packet: &Packet, state: &mut SocketState) {
    if tap::<SENT>(state).early != 0 {
        send_start::<SENT>(packet, state);
    }
    steps!(step::<SENT>(packet, state); 0 1 2 3 4 5 6 7);
    // More records in one segment than are looked at: the rest is not known any more.
    tap::<SENT>(state).open = 0;
}

/// One record, or a part of it; false where the segment or the handshake is over.
#[inline(never)]
fn step<const SENT: bool>(packet: &Packet, state: &mut SocketState) -> bool {
    if tap::<SENT>(state).left == 0 && !header::<SENT>(packet, state) {
        return false;
    }
    let tap = tap::<SENT>(state);
    tap.parts += 1;
    if tap.parts > MOST_PARTS {
        tap.open = 0;
        return false;
    }
    let all = if tap.left < tap.rest { tap.left } else { tap.rest };
    let part = if all < LONG as u32 { all } else { LONG as u32 };
    let (at, offset, is_sealed) = (tap.at, tap.offset, tap.kind == APPLICATION_DATA);
    let part = if is_sealed { all } else { part };
    tap.at += part;
    tap.rest -= part;
    tap.left -= part;
    tap.offset = tap.offset.saturating_add(part);
    if is_sealed {
        return tap.rest != 0;
    }
    tap.sent = tap.sent.saturating_add(part as u16);
    if tap.sent > MOST {
        tap.open = 0;
    }
    let goes_on = tap.rest != 0 && tap.open != 0;
    send::<SENT>(packet, state, at, part, offset);
    goes_on
}

/// A record begins.
#[inline(always)]
fn header<const SENT: bool>(packet: &Packet, state: &mut SocketState) -> bool {
    let tap = tap::<SENT>(state);
    let Some(header) = packet.record_header(tap.at) else {
        tap.open = 0;
        return false;
    };
    let [kind, major, _, high, low] = header;
    let length = u32::from(u16::from_be_bytes([high, low]));
    if tap.rest < RECORD_HEADER || major != 3 || !(is_handshake(kind) || kind == APPLICATION_DATA) {
        // Cut within a header, or no record: nothing that follows is sure to be one.
        tap.open = 0;
        return false;
    }
    tap.kind = kind;
    tap.left = RECORD_HEADER + length;
    if kind != APPLICATION_DATA {
        return true;
    }
    let (at, offset) = (tap.at, tap.offset);
    tap.at += RECORD_HEADER;
    tap.rest -= RECORD_HEADER;
    tap.left = length;
    tap.offset = tap.offset.saturating_add(RECORD_HEADER);
    tap.sealed += 1;
    if tap.sealed >= MOST_SEALED {
        tap.open = 0;
    }
    let goes_on = tap.rest != 0 && tap.open != 0;
    send::<SENT>(packet, state, at, RECORD_HEADER, offset);
    goes_on
}

/// The first bytes of a hello, which are in no packet any more.
#[inline(never)]
fn send_start<const SENT: bool>(packet: &Packet, state: &mut SocketState) {
    let bytes = u32::from(tap::<SENT>(state).early);
    tap::<SENT>(state).early = 0;
    tap::<SENT>(state).offset = bytes;
    tap::<SENT>(state).sent = bytes as u16;
    let message = if SENT { &state.sent } else { &state.received };
    let [a, b, c, d] = message.words();
    emit::<SENT, SHORT>(packet, state, 0, |room| {
        let room = room.as_mut_ptr().cast::<u64>();
        // SAFETY: there is room for many more words, and the event is aligned for them.
        unsafe {
            room.write(a);
            room.add(1).write(b);
            room.add(2).write(c);
            room.add(3).write(d);
        }
        bytes
    });
}

#[inline(never)]
fn send<const SENT: bool>(packet: &Packet, state: &SocketState, at: u32, bytes: u32, offset: u32) {
    if bytes <= SHORT as u32 {
        copy::<SENT, SHORT>(packet, state, at, bytes, offset);
    } else {
        copy::<SENT, LONG>(packet, state, at, bytes, offset);
    }
}

#[inline(always)]
fn copy<const SENT: bool, const N: usize>(
    packet: &Packet,
    state: &SocketState,
    at: u32,
    bytes: u32,
    offset: u32,
) {
    emit::<SENT, N>(packet, state, offset, |room| {
        if packet.load_into(at, room, bytes) { bytes } else { 0 }
    });
}

/// Sends on what `fill` puts into an event, of which it returns the number of bytes.
#[inline(always)]
fn emit<const SENT: bool, const N: usize>(
    packet: &Packet,
    state: &SocketState,
    offset: u32,
    fill: impl FnOnce(&mut [u8; N]) -> u32,
) {
    let is_client = (state.flow.role == Role::Client as u8) == SENT;
    let sent = maps::emit_if_idle::<Handshake<N>>(|room| {
        // SAFETY: an event is integers only, for which what lies in the ring is a value.
        let event = unsafe { room.assume_init_mut() };
        event.header = emit::handshake_header::<N>(now_ns());
        state.flow.write_key(0, &mut event.key);
        event.cookie = packet.cookie();
        event.offset = offset;
        event.side = u8::from(!is_client);
        event.reserved = 0;
        event.length = fill(&mut event.bytes) as u16;
    });
    if !sent {
        count(Counter::RingFullHandshake, 1);
    }
}
