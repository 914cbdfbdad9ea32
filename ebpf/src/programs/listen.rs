//! What is said on a TCP connection: the start of each message of both directions, as far as it can
//! still change what the connection is taken for.
//!
//! Judging stands in functions that take and give single words. The verifier checks each once, and
//! not at every place and in every state it is called in.

use plainsight_ebpf::{
    abi::{
        edge::Role,
        flow::{Heard, SocketState, Tap},
    },
    wire::{
        head::{Before, HEAD_LEN, Head, Tell},
        message::{Fresh, Message},
        talk::{Side, Talk},
        tcp::{SYN, Segment},
        words::{self, Reading},
    },
};

use super::{
    context::{Packet, apart, needed},
    maps, search, share,
};

/// The head of a message that starts with these words.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn judge(a: u64, b: u64, c: u64, d: u64, circumstances: u64) -> u64 {
    needed([a, b, c, d, circumstances]);
    words::judge([a, b, c, d], circumstances)
}

/// How much of a header of the PROXY protocol the message stands behind, if it is one.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn proxy_len(a: u64, b: u64, len: u64) -> u64 {
    words::proxy_len([a, b], len as u32).into()
}

/// A conversation in which the client said this.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hear_client(talk: u64, head: u64) -> u64 {
    words::heard(talk, Side::Client, head)
}

/// The same for the server.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hear_server(talk: u64, head: u64) -> u64 {
    words::heard(talk, Side::Server, head)
}

/// What a conversation is; of the direction that has so many segments, whether more are wanted.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn read(talk: u64, of: u64) -> u64 {
    words::read(talk, of)
}

/// The connection is established, and both streams begin here.
#[inline(always)]
pub(super) fn begin(state: &mut SocketState, sent: u32, received: u32) {
    state.sent.start(sent);
    state.received.start(received);
    // What went with the SYN was said before anything was known of the other direction.
    state.sent.face(received);
}

/// A segment arrives on an open connection. Its place in the stream decides what it is worth, and
/// TCP expects `expected` next: anything else may be forged. True if it is to be looked at.
#[inline(always)]
pub(super) fn received(state: &mut SocketState, segment: &Segment, expected: u32) -> bool {
    if state.settled != 0 && state.tap_in.open == 0 {
        state.done_in = 1;
        return false;
    }
    let Some(fresh) = state.received.fresh(segment.seq, segment.payload, expected) else {
        return false;
    };
    let begins = state.received.advance(segment.seq, fresh, state.sent.next());
    note(&mut state.tap_in, segment, fresh, begins);
    true
}

/// A segment leaves. Nothing is sent before what stands in front of it, unless no one looked. True
/// if it is to be looked at.
#[inline(always)]
pub(super) fn sent(state: &mut SocketState, segment: &Segment) -> bool {
    let seq = start(segment);
    let Some(fresh) = state.sent.fresh(seq, segment.payload, seq) else { return false };
    let begins = state.sent.advance(seq, fresh, state.received.next());
    note(&mut state.tap_out, segment, fresh, begins);
    true
}

/// What the segment brings, for those who look at it: each on its own, because together they need
/// more stack than there is.
#[inline(always)]
fn note(tap: &mut Tap, segment: &Segment, fresh: Fresh, begins: bool) {
    tap.at = segment.payload_at + fresh.at;
    tap.rest = fresh.len;
    tap.sort = sort(fresh, begins);
}

/// Looks at the segment that was noted.
#[inline(always)]
pub(super) fn look<const SENT: bool>(packet: &Packet, state: &mut SocketState) {
    // Behind a header for a proxy, and behind MySQL's request for TLS, there is another message.
    if take::<SENT>(packet, state) && decide::<SENT>(state) && take::<SENT>(packet, state) {
        decide::<SENT>(state);
    }
    search::search::<SENT>(packet, state);
    if tap::<SENT>(state).open != 0 {
        share::share::<SENT>(packet, state);
    }
    conclude::<SENT>(state);
}

/// Payload arrives at a listening socket: in a SYN (TCP Fast Open, RFC 7413), or with the segment
/// that completes the handshake. Its start waits for the socket that is about to be.
#[inline(never)]
pub(super) fn early(packet: &Packet, state: &mut SocketState) {
    let Some(segment) = packet.segment() else { return };
    if segment.payload == 0 {
        return;
    }
    let taken = if segment.payload < HEAD { segment.payload } else { HEAD };
    let Some(words) = packet.words_before(segment.payload_at + taken) else { return };
    let heard = Heard { words, len: segment.payload, reserved: 0 };
    maps::leave_heard(early_id(start(&segment), segment.source_port), &heard);
    state.deferred = 1;
}

/// Takes in what reached the listening socket before this one was there. Only of a listener that
/// has met such a thing: most never do. True if something is to be judged.
#[inline(always)]
pub(super) fn take_early(state: &mut SocketState, client_port: u16) -> bool {
    if state.deferred == 0 {
        return false;
    }
    let seq = state.received.next();
    let Some(heard) = maps::take_heard(early_id(seq, client_port)) else { return false };
    let fresh = Fresh { at: 0, len: heard.len, is_behind_gap: false };
    state.received.advance(seq, fresh, state.sent.next());
    state.received.append(heard.words, least(heard.len, HEAD), heard.len);
    true
}

/// Judges what [`take_early`] took.
#[inline(always)]
pub(super) fn decide_early(state: &mut SocketState) {
    decide::<false>(state);
    // The rest of the message is in no segment any more.
    state.received.search(0);
    state.news = 1;
}

/// What the connection is, as far as it went. What one end has begun and not finished counts as
/// not recognised.
#[inline(always)]
pub(super) fn reading(state: &SocketState) -> Reading {
    let is_client = is_client::<true>(state);
    let talk = with_open(talk(state), &state.sent, is_client);
    let talk = with_open(talk, &state.received, !is_client);
    Reading::from_word(read(talk, 0))
}

const HEAD: u32 = HEAD_LEN as u32;
const BEGINS: u32 = 1;
const BEHIND_GAP: u32 = 2;

#[inline(always)]
fn sort(fresh: Fresh, begins: bool) -> u32 {
    let gap = if fresh.is_behind_gap { BEHIND_GAP } else { 0 };
    let begins = if begins { BEGINS } else { 0 };
    gap | begins
}

#[inline(always)]
fn least(one: u32, other: u32) -> u32 {
    if one < other { one } else { other }
}

/// The SYN takes the first number (RFC 9293, section 3.4).
#[inline(always)]
fn start(segment: &Segment) -> u32 {
    segment.seq.wrapping_add((segment.flags & SYN != 0).into())
}

#[inline(always)]
fn early_id(seq: u32, port: u16) -> u64 {
    u64::from(seq) << 32 | u64::from(port)
}

/// Takes in the bytes that were noted. True if it may be told what the message is.
#[inline(never)]
fn take<const SENT: bool>(packet: &Packet, state: &mut SocketState) -> bool {
    let (at, count, sort) = {
        let tap = tap::<SENT>(state);
        let noted = (tap.at, tap.rest, tap.sort);
        tap.sort = 0;
        noted
    };
    if sort & BEHIND_GAP != 0 {
        miss::<SENT>(state, count);
        return false;
    }
    if sort & BEGINS != 0 {
        finish::<SENT>(state);
    }
    part::<SENT>(packet, state, at, count)
}

/// Whether any more of this direction is wanted.
#[inline(never)]
fn conclude<const SENT: bool>(state: &mut SocketState) {
    let looked = own::<SENT>(state).looked();
    let of = words::of(is_client::<SENT>(state), looked);
    if tap::<SENT>(state).open == 0 && !words::wants_more(read(talk(state), of)) {
        *done::<SENT>(state) = 1;
    }
    state.news = 1;
}

/// What went by unseen may have had the start of a message in it, so no more is known of the
/// current one.
#[inline(always)]
fn miss<const SENT: bool>(state: &mut SocketState, count: u32) {
    if !own::<SENT>(state).is_heard() {
        speak::<SENT>(state, words::from_head(Head::MISSED));
    }
    let own = own::<SENT>(state);
    own.begin();
    own.count(count);
    own.judged();
    share::lose::<SENT>(state);
}

/// A message begins, so the one before it is over, recognised or not.
#[inline(always)]
fn finish<const SENT: bool>(state: &mut SocketState) {
    if own::<SENT>(state).is_open() {
        speak::<SENT>(state, words::from_head(Head::UNKNOWN));
    }
    own::<SENT>(state).begin();
}

/// Takes in what there is room for. True if there was some.
#[inline(always)]
fn part<const SENT: bool>(packet: &Packet, state: &mut SocketState, at: u32, count: u32) -> bool {
    let passed = own::<SENT>(state).pass(count);
    let (at, count) = (at + passed, count - passed);
    let tap = tap::<SENT>(state);
    (tap.at, tap.rest) = (at, count);
    let own = own::<SENT>(state);
    let taken = least(own.room(), count);
    if taken == 0 {
        own.count(count);
        return false;
    }
    let Some(words) = packet.words_before(at + taken) else { return false };
    own.append(words, taken, count);
    true
}

/// Judges the message's start. True if another message stands behind it, which is noted.
#[inline(never)]
fn decide<const SENT: bool>(state: &mut SocketState) -> bool {
    let before = before::<SENT>(state);
    let own = own::<SENT>(state);
    let (len, [a, b, c, d]) = (own.seen(), own.words());
    let head = judge(a, b, c, d, words::circumstances(len, before));
    let tell = words::tell(head);
    if tell == Tell::None as u8 && !own.is_full() {
        return false;
    }
    own.judged();
    let header = match tell == Tell::Proxy as u8 {
        true => proxy_len(a, b, len.into()) as u32,
        false => words::request_len(head),
    };
    if header != 0 {
        own.leave_out(header);
    }
    speak::<SENT>(state, head);
    if header == 0 {
        search::begin::<SENT>(state, head);
    }
    if tell == Tell::Hello as u8 && words::is_tls(head) && state.chosen != 0 {
        share::begin::<SENT>(state);
    }
    let rest = if header != 0 { len.saturating_sub(header) } else { 0 };
    if rest != 0 {
        let tap = tap::<SENT>(state);
        tap.at += tap.rest.saturating_sub(rest);
        tap.rest = rest;
    }
    rest != 0
}

/// What was said before, as a rule sees it.
#[inline(always)]
fn before<const SENT: bool>(state: &SocketState) -> Before {
    let is_client = is_client::<SENT>(state);
    let other = if SENT { &state.received } else { &state.sent };
    let talk = Talk::from_word(with_open(talk(state), other, !is_client));
    talk.before(if is_client { Side::Client } else { Side::Server })
}

#[inline(always)]
fn with_open(talk: u64, message: &Message, is_client: bool) -> u64 {
    if message.is_open() { hear(talk, is_client, words::from_head(Head::UNKNOWN)) } else { talk }
}

/// Takes in what one side said.
#[inline(always)]
fn speak<const SENT: bool>(state: &mut SocketState, head: u64) {
    let talk = hear(talk(state), is_client::<SENT>(state), head);
    keep::<SENT>(state, talk);
}

/// Keeps what is known of one side. Each half is written by the hook of its own direction only.
#[inline(always)]
pub(super) fn keep<const SENT: bool>(state: &mut SocketState, talk: u64) {
    if is_client::<SENT>(state) {
        state.client_said = talk as u32;
        apart();
    } else {
        state.server_said = (talk >> 32) as u32;
    }
}

/// A conversation in which one side said this.
#[inline(always)]
pub(super) fn hear(talk: u64, is_client: bool, head: u64) -> u64 {
    if is_client { hear_client(talk, head) } else { hear_server(talk, head) }
}

#[inline(always)]
pub(super) fn talk(state: &SocketState) -> u64 {
    u64::from(state.client_said) | u64::from(state.server_said) << 32
}

/// Whether what this direction says is the client's.
#[inline(always)]
pub(super) fn is_client<const SENT: bool>(state: &SocketState) -> bool {
    (state.flow.role == Role::Client as u8) == SENT
}

#[inline(always)]
pub(super) fn own<const SENT: bool>(state: &mut SocketState) -> &mut Message {
    if SENT { &mut state.sent } else { &mut state.received }
}

#[inline(always)]
pub(super) fn tap<const SENT: bool>(state: &mut SocketState) -> &mut Tap {
    if SENT { &mut state.tap_out } else { &mut state.tap_in }
}

#[inline(always)]
fn done<const SENT: bool>(state: &mut SocketState) -> &mut u8 {
    if SENT { &mut state.done_out } else { &mut state.done_in }
}
