//! UDP: who talks to whom is told by datagrams, because there are no connections.
//!
//! Whoever sends the first datagram is the client, and replies belong to the same conversation. A
//! socket's first conversation is counted in its own storage, and added to its edge when an epoch
//! asks for it. Those of a socket with more peers are added datagram by datagram.

use core::mem::MaybeUninit;

use plainsight_ebpf::{
    abi::{
        Address, MAPPED,
        counters::Counter,
        datagram::{ConversationKey, DatagramState, Datagrams},
        edge::{LATE, Role},
        flow::{Flow, OVERFLOWED, VERIFIED},
        mapped,
    },
    wire::{datagram::PARTS, ip, words},
};

use super::{
    context::{
        AnySocket, Bind, Connect, Datagram, Packet, Socket, needed, no_address, now_ns, zero,
    },
    edge, emit, identity,
    maps::{self, add, count},
};

/// A process connects a socket: from now on it has one peer. That alone is no conversation, since
/// resolvers connect to learn their own address and send nothing.
#[inline(always)]
pub(super) fn connected(connect: &Connect, socket: Socket) {
    let Some(state) = maps::datagrams_or_new(socket) else { return };
    flush(state, false);
    identity::current(&mut state.flow.own, connect.netns());
    begin(state, connect.asked, connect.asked_port());
    state.connected = 1;
}

/// A process sends on a socket that is not connected.
#[inline(always)]
pub(super) fn asked(connect: &Connect) {
    if !connect.is_udp() {
        return;
    }
    let Some(state) = connect.socket().and_then(maps::datagrams_or_new) else { return };
    if state.flow.own.cgroup == 0 {
        identity::current(&mut state.flow.own, connect.netns());
    }
    state.asked = connect.asked;
    state.asked_port = connect.asked_port();
    if state.connected != 0 {
        // It was dissolved.
        flush(state, false);
        state.connected = 0;
        state.flow.role = 0;
    }
    if state.flow.role == 0 {
        begin(state, state.asked, state.asked_port);
    }
}

/// A process binds a socket.
#[inline(always)]
pub(super) fn bound(bind: &Bind) {
    if let Some(state) = maps::datagrams_or_new(bind.socket()) {
        identity::current(&mut state.flow.own, bind.netns());
    }
}

/// The last descriptor is closed.
#[inline(always)]
pub(super) fn released(bind: &Bind) {
    let Some(state) = maps::datagrams(bind.socket()) else { return };
    flush(state, false);
    emit::conversation(bind.cookie(), state);
}

/// A datagram leaves or arrives.
#[inline(always)]
pub(super) fn carried(packet: &Packet, socket: AnySocket, is_sent: bool) {
    let Some(state) = maps::any_datagrams(socket) else { return first_ever(packet, is_sent) };
    if !is_usual(packet, state, is_sent) {
        unusual(packet, state, is_sent);
    }
}

/// Counts a datagram over IPv4 of a conversation that has begun and whose counts are not due. False
/// for every other, which is not counted yet.
#[inline(always)]
fn is_usual(packet: &Packet, state: &mut DatagramState, is_sent: bool) -> bool {
    let Some(brief) = packet.brief_datagram(is_sent) else { return false };
    let is_peer = state.connected != 0
        || (state.peer_port == brief.peer_port && state.peer == mapped(brief.peer));
    let totals = &mut state.totals;
    let begun = if is_sent { totals.sent } else { totals.received };
    // Without a role the conversation is about to begin, whatever the one before it carried.
    let has_begun = state.flow.role != 0 && begun != 0;
    let is_open = words::is_open(state.flow.stage);
    if !is_peer || !has_begun || is_open || state.epoch != maps::epoch() {
        return false;
    }
    if is_sent {
        add(&mut totals.sent_bytes, brief.bytes);
        add(&mut totals.sent, brief.count);
    } else {
        add(&mut totals.received_bytes, brief.bytes);
        add(&mut totals.received, brief.count);
    }
    true
}

/// The socket has no state: it is older than the programs, or the kernel's own.
#[inline(never)]
fn first_ever(packet: &Packet, is_sent: bool) {
    let Some(socket) = packet.socket() else { return };
    if !socket.is_udp() {
        return;
    }
    let Some(state) = maps::datagrams_or_new(socket) else { return };
    state.flow.flags = LATE;
    unusual(packet, state, is_sent);
}

#[inline(never)]
fn unusual(packet: &Packet, state: &mut DatagramState, is_sent: bool) {
    let Some(socket) = packet.socket() else { return };
    let mut datagram = MaybeUninit::uninit();
    if !packet.datagram(is_sent, &mut datagram) {
        return count(Counter::PacketsUnreadable, 1);
    }
    // SAFETY: it was written, or the answer had been no.
    let datagram = unsafe { datagram.assume_init_ref() };
    if is_first(state, datagram) {
        first(packet, socket, state, datagram);
    } else {
        other(packet, socket, state, datagram);
    }
}

#[inline(always)]
fn first(packet: &Packet, socket: Socket, state: &mut DatagramState, datagram: &Datagram) {
    let is_new = state.flow.role == 0;
    let changes = if is_new {
        start(socket, state, datagram);
        judge(packet, &mut state.flow, datagram);
        false
    } else {
        progress(packet, state, datagram)
    };
    let totals = &mut state.totals;
    let begins = if datagram.is_sent {
        add(&mut totals.sent_bytes, datagram.bytes);
        add(&mut totals.sent, datagram.count);
        totals.sent == datagram.count
    } else {
        add(&mut totals.received_bytes, datagram.bytes);
        add(&mut totals.received, datagram.count);
        totals.received == datagram.count
    };
    // A direction that has just begun shows at once, so that a question and its answer do.
    let epoch = maps::epoch();
    if is_new || begins || changes || state.epoch != epoch {
        state.epoch = epoch;
        flush(state, is_new || begins || changes);
    }
}

/// Whether a further datagram shows more of the first conversation. What was carried before stays
/// where it was counted.
#[inline(always)]
fn progress(packet: &Packet, state: &mut DatagramState, datagram: &Datagram) -> bool {
    let reading = follow(packet, &state.flow, datagram);
    if is_known(&state.flow, reading) {
        return false;
    }
    flush(state, false);
    take(&mut state.flow, reading);
    true
}

/// Makes room for a conversation with this peer, which begins with its first datagram.
#[inline(always)]
fn begin(state: &mut DatagramState, remote: Address, port: u16) {
    state.peer = remote;
    state.peer_port = port;
    let flow = &mut state.flow;
    flow.remote = remote;
    flow.port = port;
    flow.reached = no_address();
    flow.reached_port = 0;
    flow.peer_cgroup = zero();
    flow.peer_netns = zero();
    flow.peer_name = 0;
    flow.asked_port = 0;
    flow.role = 0;
    flow.flags &= !OVERFLOWED;
}

/// Whether a datagram is of the socket's first conversation, or begins it.
#[inline(always)]
fn is_first(state: &DatagramState, datagram: &Datagram) -> bool {
    let is_free = state.flow.role == 0 && state.peer_port == 0;
    let is_peer = state.peer_port == datagram.peer_port && state.peer == datagram.peer;
    state.connected != 0
        || is_free
        || is_peer
        || (datagram.is_sent && is_translated(state, datagram))
}

/// Whether it is of the first conversation, to another address than the application asked for.
#[inline(always)]
fn is_translated(state: &DatagramState, datagram: &Datagram) -> bool {
    let flow = &state.flow;
    let is_known = flow.reached_port == datagram.peer_port && flow.reached == datagram.peer;
    let is_asked = state.asked_port == state.peer_port && state.asked == state.peer;
    // An application may ask both a service and the server that stands behind it.
    let is_direct = state.asked_port == datagram.peer_port && state.asked == datagram.peer;
    // The datagram that begins it is the one that was just asked for.
    (is_known && !is_direct) || (flow.role == 0 && is_asked)
}

/// Begins the first conversation.
#[inline(never)]
fn start(socket: Socket, state: &mut DatagramState, datagram: &Datagram) {
    if state.peer_port == 0 {
        begin(state, datagram.peer, datagram.peer_port);
    }
    state.opened_ns = now_ns();
    state.local_port = datagram.local_port;
    describe(socket, &mut state.flow, datagram);
}

/// Fills in what the first datagram shows.
#[inline(always)]
fn describe(socket: Socket, flow: &mut Flow, datagram: &Datagram) {
    if flow.flags & VERIFIED == 0 {
        identity::verify(flow, socket);
    }
    flow.transport = ip::UDP;
    flow.local = datagram.local;
    if datagram.is_sent {
        asks(flow, datagram);
    } else {
        answers(flow, datagram);
    }
}

/// What a conversation is by a datagram, by each part of the rules. The verifier checks them one by
/// one, as in `listen`.
macro_rules! parts {
    ($($name:ident = $part:literal),*) => {
        $(#[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(a: u64, b: u64, c: u64, d: u64, of: u64) -> u64 {
            needed([a, b, c, d, of]);
            words::first_by($part, [a, b, c, d], of)
        })*

        /// What a conversation is by its first datagram: the first part that knows it says so.
        #[inline(always)]
        pub(super) fn judge_words([a, b, c, d]: [u64; 4], of: u64) -> u64 {
            const { assert!([$($part),*].len() == PARTS as usize) };
            let mut reading = 0;
            $(if reading & 0xff == 0 {
                reading = $name(a, b, c, d, of);
            })*
            reading
        }
    };
}

parts!(judge_sealed = 0, judge_named = 1, judge_clear = 2, judge_doubtful = 3);

/// The same after a further one.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn follow_datagram(a: u64, b: u64, c: u64, d: u64, of: u64) -> u64 {
    needed([a, b, c, d, of]);
    words::follow([a, b, c, d], (of >> 32) as u32, of as u32)
}

#[inline(never)]
fn judge(packet: &Packet, flow: &mut Flow, datagram: &Datagram) {
    let words = packet.datagram_start(datagram);
    let (local, peer) = (u32::from(datagram.local_port), u32::from(datagram.peer_port));
    let ports = if datagram.is_sent { local << 16 | peer } else { peer << 16 | local };
    let reading = judge_words(words, size(datagram) << 32 | u64::from(ports));
    flow.protocol = reading as u8;
    flow.stage = (reading >> 8) as u8;
}

/// What a conversation is after a further datagram, as long as one can change it: protocol and
/// stage in the lowest two bytes.
#[inline(never)]
fn follow(packet: &Packet, flow: &Flow, datagram: &Datagram) -> u16 {
    let known = u16::from(flow.stage) << 8 | u16::from(flow.protocol);
    if !words::is_open(flow.stage) {
        return known;
    }
    let is_answer = datagram.is_sent != (flow.role == Role::Client as u8);
    let [a, b, c, d] = packet.datagram_start(datagram);
    let of = u64::from(is_answer) << 16 | u64::from(known);
    follow_datagram(a, b, c, d, size(datagram) << 32 | of) as u16
}

#[inline(always)]
fn is_known(flow: &Flow, reading: u16) -> bool {
    flow.protocol == reading as u8 && flow.stage == (reading >> 8) as u8
}

#[inline(always)]
fn take(flow: &mut Flow, reading: u16) {
    flow.protocol = reading as u8;
    flow.stage = (reading >> 8) as u8;
}

/// Bytes of one datagram, of those that travel together.
#[inline(always)]
fn size(datagram: &Datagram) -> u64 {
    if datagram.count > 1 { datagram.bytes / datagram.count } else { datagram.bytes }
}

#[inline(always)]
fn asks(flow: &mut Flow, datagram: &Datagram) {
    flow.role = Role::Client as u8;
    if flow.remote != datagram.peer || flow.port != datagram.peer_port {
        flow.reached = datagram.peer;
        flow.reached_port = datagram.peer_port;
    }
    maps::leave_pair(pair_id(flow, datagram), &flow.as_peer());
}

#[inline(always)]
fn answers(flow: &mut Flow, datagram: &Datagram) {
    flow.role = Role::Server as u8;
    flow.remote = datagram.peer;
    flow.port = datagram.local_port;
    if let Some(pair) = maps::take_pair(pair_id(flow, datagram)) {
        count(Counter::Paired, 1);
        flow.pair(&pair);
    }
}

/// A conversation with another peer than the first.
#[inline(never)]
fn other(packet: &Packet, socket: Socket, state: &DatagramState, datagram: &Datagram) {
    let amounts = amounts(datagram);
    if let Some(flow) = known_other(packet, state, datagram) {
        let reading = follow(packet, flow, datagram);
        let changes = !is_known(flow, reading);
        take(flow, reading);
        return edge::carry(flow, &amounts, changes);
    }
    match begin_other(packet, socket, state, datagram) {
        Some(flow) => {
            judge(packet, flow, datagram);
            edge::carry(flow, &amounts, true);
        }
        // No room to remember it: what it carries is counted all the same.
        None => edge::overflow(&amounts),
    }
}

#[inline(never)]
fn known_other(
    packet: &Packet,
    state: &DatagramState,
    datagram: &Datagram,
) -> Option<&'static mut Flow> {
    let mut key = ConversationKey {
        cookie: packet.cookie(),
        remote: datagram.peer,
        port: datagram.peer_port,
        reserved: 0,
        reserved_too: 0,
    };
    if let Some(flow) = maps::conversation(&key) {
        return Some(flow);
    }
    if !datagram.is_sent || state.asked_port == 0 {
        return None;
    }
    (key.remote, key.port) = (state.asked, state.asked_port);
    maps::conversation(&key)
}

/// A reply comes from the address that was asked for, so that is what it is remembered by.
#[inline(never)]
fn begin_other(
    packet: &Packet,
    socket: Socket,
    state: &DatagramState,
    datagram: &Datagram,
) -> Option<&'static mut Flow> {
    let is_asked = datagram.is_sent && state.asked_port != 0;
    let key = ConversationKey {
        cookie: packet.cookie(),
        remote: if is_asked { state.asked } else { datagram.peer },
        port: if is_asked { state.asked_port } else { datagram.peer_port },
        reserved: 0,
        reserved_too: 0,
    };
    let flow = maps::new_conversation(&key)?;
    flow.own = state.flow.own;
    flow.flags = state.flow.flags & (LATE | VERIFIED);
    flow.remote = key.remote;
    flow.port = key.port;
    describe(socket, flow, datagram);
    Some(flow)
}

#[inline(always)]
fn amounts(datagram: &Datagram) -> Datagrams {
    let (bytes, datagrams) = (datagram.bytes, datagram.count);
    if datagram.is_sent {
        Datagrams { sent_bytes: bytes, received_bytes: zero(), sent: datagrams, received: zero() }
    } else {
        Datagrams { sent_bytes: zero(), received_bytes: bytes, sent: zero(), received: datagrams }
    }
}

/// What joins the two halves of a local conversation: both see the same header, unless it was
/// translated on the way, and then they stay apart. Loopback addresses are the same in every
/// network namespace, so with one of them at either end the namespace counts too: what was
/// redirected to a proxy has only one, and multicast on loopback.
#[inline(always)]
fn pair_id(flow: &Flow, datagram: &Datagram) -> u64 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |hash: u64, word: u64| ((hash ^ word).wrapping_mul(MIX)).rotate_left(29);
    let end = |[a, b, c, d]: Address, port: u16| {
        let (high, low) = (u64::from(a) << 32 | u64::from(b), u64::from(c) << 32 | u64::from(d));
        fold(fold(port.into(), high), low)
    };
    let (local, peer) =
        (end(datagram.local, datagram.local_port), end(datagram.peer, datagram.peer_port));
    let is_inside = is_loopback(&datagram.local) | is_loopback(&datagram.peer);
    let netns = if is_inside { flow.own.netns } else { 0 };
    let (from, to) = if datagram.is_sent { (local, peer) } else { (peer, local) };
    fold(fold(from, to), netns | 1 << 63)
}

#[inline(always)]
fn is_loopback(address: &Address) -> bool {
    let [a, b, c, d] = *address;
    let is_v4 = c == MAPPED && u32::from_be(d) >> 24 == 127;
    let is_v6 = c == 0 && u32::from_be(d) == 1;
    a | b == 0 && (is_v4 || is_v6)
}

#[inline(never)]
fn flush(state: &mut DatagramState, is_new: bool) {
    if state.flow.role == 0 {
        return;
    }
    let more = maps::uncounted(state);
    if more.sent | more.received != 0 {
        edge::carry(&mut state.flow, &more, is_new);
    }
}
