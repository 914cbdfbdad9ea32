//! The search behind the first bytes of a message, segment by segment.

use plainsight_ebpf::{
    abi::flow::SocketState,
    wire::{
        head::HEAD_LEN,
        message::down,
        search::{self, Find},
        talk::Side,
        words,
    },
};

use super::{
    context::{Packet, needed},
    listen::{is_client, keep, own, talk, tap},
    share::steps,
};

/// What is to be looked for in a message of the client with this head, which starts with `a` and `b`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn wanted_of_client(talk: u64, head: u64, a: u64, b: u64) -> u64 {
    words::wanted(talk, Side::Client, head, [a, b, 0, 0])
}

/// The same of the server.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn wanted_of_server(talk: u64, head: u64, a: u64, b: u64) -> u64 {
    words::wanted(talk, Side::Server, head, [a, b, 0, 0])
}

/// One step of a search.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn search_step(a: u64, b: u64, c: u64, d: u64, of: u64) -> u64 {
    needed([a, b, c, d, of]);
    search::step([a, b, c, d], of)
}

/// A conversation in which the client's message had this in it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn client_showed(talk: u64, step: u64) -> u64 {
    words::learned(talk, Side::Client, step)
}

/// The same of the server's.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn server_showed(talk: u64, step: u64) -> u64 {
    words::learned(talk, Side::Server, step)
}

/// A message was judged; the segment that was noted has the rest of it.
#[inline(never)]
pub(super) fn begin<const SENT: bool>(state: &mut SocketState, head: u64) {
    let (seen, [a, b, ..]) = (own::<SENT>(state).seen(), own::<SENT>(state).words());
    let wanted = match is_client::<SENT>(state) {
        true => wanted_of_client(talk(state), head, a, b),
        false => wanted_of_server(talk(state), head, a, b),
    };
    own::<SENT>(state).search(wanted as u16);
    let (from, tap) = (search::begin(wanted), tap::<SENT>(state));
    if from == 0 {
        return;
    }
    // At a fixed place of the message, which must not be cut before it.
    if seen != tap.rest || tap.rest <= from {
        return own::<SENT>(state).search(0);
    }
    tap.at += from;
    tap.rest -= from;
}

/// Searches the segment that was noted, if there is a search.
#[inline(never)]
pub(super) fn search<const SENT: bool>(packet: &Packet, state: &mut SocketState) {
    if own::<SENT>(state).searched().0 == 0 {
        return;
    }
    steps!(step::<SENT>(packet, state); 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    steps!(step::<SENT>(packet, state); 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    steps!(step::<SENT>(packet, state); 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
    // What is left of the segment is not looked at, so where parts begin is not known any more.
    own::<SENT>(state).search(0);
}

/// One window; false where the segment or the search is over.
#[inline(never)]
fn step<const SENT: bool>(packet: &Packet, state: &mut SocketState) -> bool {
    let (at, rest) = (tap::<SENT>(state).at, tap::<SENT>(state).rest);
    let len = if rest < HEAD_LEN as u32 { rest } else { HEAD_LEN as u32 };
    if len == 0 {
        return false;
    }
    let Some(words) = packet.words_before(at + len) else { return false };
    let (kind, place) = own::<SENT>(state).searched();
    let [a, b, c, d] = down(words, HEAD_LEN as u32 - len);
    let found = search_step(a, b, c, d, search::of(kind, place, len));
    if search::found(found) != Find::None as u8 {
        learn::<SENT>(state, found);
        return false;
    }
    let bytes = search::advance(found);
    own::<SENT>(state).search(u16::from(search::place(found)) << 8 | u16::from(kind));
    if bytes > rest {
        own::<SENT>(state).search(0);
        return false;
    }
    let tap = tap::<SENT>(state);
    tap.at += bytes;
    tap.rest -= bytes;
    true
}

/// The search is over.
#[inline(always)]
fn learn<const SENT: bool>(state: &mut SocketState, found: u64) {
    own::<SENT>(state).search(0);
    let talk = match is_client::<SENT>(state) {
        true => client_showed(talk(state), found),
        false => server_showed(talk(state), found),
    };
    keep::<SENT>(state, talk);
}
