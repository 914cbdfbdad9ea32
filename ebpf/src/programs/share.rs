//! Bytes of TLS handshakes that go to the agent, of connections that were chosen for it.
//!
//! What is sent on is told record by record: of application data no more than the five bytes that say
//! how long it is, and nothing of what was said before the first hello.

use plainsight_ebpf::{
    abi::{
        counters::Counter,
        edge::Role,
        event::{HANDSHAKE_BYTES, Handshake},
        flow::{SocketState, Tap},
    },
    wire::tls::{APPLICATION_DATA, RECORD_HEADER, is_handshake},
};

use super::{
    context::{Packet, now_ns},
    emit,
    maps::{self, count},
};

/// Records, or parts of one, that are looked at in a segment. Written out, because without
/// CAP_PERFMON the verifier refuses a loop.
macro_rules! steps {
    ($step:expr; $($number:literal)*) => {{ $(let _ = $number; if !$step { return; })* }};
}

/// Most bytes of a direction that are sent on.
const MOST: u16 = 20_000;

/// Most records of application data whose length is.
const MOST_SEALED: u8 = 8;

/// A hello begins.
#[inline(always)]
pub(super) fn begin<const SENT: bool>(state: &mut SocketState) {
    if state.chosen != 0 {
        tap::<SENT>(state).open = 1;
    }
}

/// Whether more of a direction is to be sent on.
#[inline(always)]
pub(super) fn is_open(state: &SocketState) -> bool {
    state.tap_in.open | state.tap_out.open != 0
}

/// Sends on what belongs to a handshake, of so many bytes that follow what was seen.
#[inline(never)]
pub(super) fn share<const SENT: bool>(
    packet: &Packet,
    state: &mut SocketState,
    at: u32,
    bytes: u32,
) {
    tap::<SENT>(state).at = at;
    tap::<SENT>(state).rest = bytes;
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
    let all = if tap.left < tap.rest { tap.left } else { tap.rest };
    let part = if all < HANDSHAKE_BYTES { all } else { HANDSHAKE_BYTES };
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

#[inline(never)]
fn send<const SENT: bool>(packet: &Packet, state: &SocketState, at: u32, bytes: u32, offset: u32) {
    let is_client = (state.flow.role == Role::Client as u8) == SENT;
    let sent = maps::emit::<Handshake>(
        |room| {
            // SAFETY: an event is integers only, for which what lies in the ring is a value.
            let event = unsafe { room.assume_init_mut() };
            event.header = emit::handshake_header(now_ns());
            state.flow.write_key(0, &mut event.key);
            event.cookie = packet.cookie();
            event.offset = offset;
            event.side = u8::from(!is_client);
            event.reserved = 0;
            event.length =
                if packet.load_into(at, &mut event.bytes, bytes) { bytes } else { 0 } as u16;
        },
        false,
    );
    if !sent {
        count(Counter::RingFullHandshake, 1);
    }
}

#[inline(always)]
fn tap<const SENT: bool>(state: &mut SocketState) -> &mut Tap {
    if SENT { &mut state.tap_out } else { &mut state.tap_in }
}
