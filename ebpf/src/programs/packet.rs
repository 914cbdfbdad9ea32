//! Every packet: first payloads, FINs, and the flush that an epoch asks for.
//!
//! A connection of which all is heard and whose counts are fresh costs one storage look-up and a few byte reads.
//! Egress holds the socket's lock; ingress does not, so it only notes what it saw.

use plainsight_ebpf::{
    abi::{
        counters::Counter,
        edge::EdgeCounters,
        flow::{Flow, Pair, Phase, SocketState, VERIFIED},
    },
    wire::{
        tcp::{ACK, FIN, RST},
        words::Reading,
    },
};

use super::{
    context::{AnySocket, Packet},
    datagram, edge, identity, late, listen,
    maps::{self, count},
    share, socket,
};

/// Flags that end a connection, or one direction of it.
const ENDS: u8 = FIN | RST;

/// Longest packet without payload: an IPv6 header and the longest TCP header. A reset carries none.
const BARE: u32 = 100;

/// A packet arrives. What every packet costs stands here, in one piece; the rest is apart, because
/// code that is jumped over is fetched all the same. The socket is asked for its type only if it
/// has no state, because that lies where nothing else on the way looks.
#[inline(always)]
pub(super) fn ingress(packet: &Packet) {
    let Some(socket) = packet.any_socket() else { return };
    if packet.is_udp() {
        return datagram::carried(packet, socket, false);
    }
    let state = match maps::any_socket(socket) {
        Some(state) if is_heard(packet, socket, state) => return,
        Some(state) => Some(state),
        None => new(packet),
    };
    if let Some(state) = state {
        hear(packet, state);
    }
}

/// A packet leaves; likewise.
#[inline(always)]
pub(super) fn egress(packet: &Packet) {
    let Some(socket) = packet.any_socket() else { return };
    if packet.is_udp() {
        return datagram::carried(packet, socket, true);
    }
    let state = match maps::any_socket(socket) {
        Some(state) if is_counted(socket, state) => return,
        Some(state) => Some(state),
        None => new(packet),
    };
    if let Some(state) = state {
        say(packet, state);
    }
}

#[inline(always)]
fn hear(packet: &Packet, state: &mut SocketState) {
    if received(packet, state) {
        listen::look::<false>(packet, state);
    }
}

#[inline(always)]
fn say(packet: &Packet, state: &mut SocketState) {
    if sent(packet, state) {
        listen::look::<true>(packet, state);
    }
    if is_occasion(state) {
        add_up(packet, state);
    }
}

/// Of a segment with payload nothing is of interest once the first was seen, but a FIN; and one that
/// comes before our own shows in the change of state that it brings about.
#[inline(always)]
fn is_heard(packet: &Packet, socket: AnySocket, state: &SocketState) -> bool {
    state.phase == Phase::Open as u8
        && state.done_in != 0
        && !late::is_late(state)
        && packet.len() > BARE
        && socket.is_carrying()
}

/// The state changes before the FIN is sent, so no FIN leaves here.
#[inline(always)]
fn is_counted(socket: AnySocket, state: &SocketState) -> bool {
    state.phase == Phase::Open as u8
        && (state.settled != 0 || is_quiet(state))
        && state.epoch == maps::epoch()
        && socket.is_carrying()
}

/// Whether nothing was heard that could move it: one direction may wait for the other for good.
#[inline(always)]
fn is_quiet(state: &SocketState) -> bool {
    state.done_out != 0 && !is_news(state)
}

/// Whether something was heard, or may have been left by the client's end, since the connection was
/// last classified.
#[inline(always)]
fn is_news(state: &SocketState) -> bool {
    state.news != 0 || state.joined_acked_or_pair != 0
}

/// Whether a segment that leaves is an occasion to move the connection, or to add up its bytes.
#[inline(always)]
fn is_occasion(state: &SocketState) -> bool {
    late::is_late(state)
        || state.phase == Phase::Open as u8
            && (state.epoch != maps::epoch() || state.settled == 0 && is_news(state))
}

/// True if there is something to look at. The usual phase comes first, and asks the kernel for no
/// full socket.
#[inline(never)]
fn received(packet: &Packet, state: &mut SocketState) -> bool {
    let Some(socket) = packet.any_socket() else { return false };
    // What joined late is counted until its last segment.
    if state.phase == Phase::Open as u8 || late::is_late(state) {
        return arrived(packet, socket, state);
    }
    if state.phase == Phase::Connecting as u8 {
        answered(packet, socket, state);
    } else if state.phase == Phase::Identity as u8 {
        know(packet, state);
        listen::early(packet, state);
    }
    false
}

/// True if there is something to look at; likewise.
#[inline(never)]
fn sent(packet: &Packet, state: &mut SocketState) -> bool {
    if state.phase == Phase::Open as u8 || late::is_late(state) {
        return note_sent(packet, state);
    }
    if state.phase == Phase::Connecting as u8 {
        return departing(packet, state);
    }
    if state.phase == Phase::Identity as u8 {
        know(packet, state);
    }
    false
}

/// What a segment that leaves is the occasion for.
#[inline(never)]
fn add_up(packet: &Packet, state: &mut SocketState) {
    let Some(socket) = packet.any_socket() else { return };
    if state.phase == Phase::Open as u8 {
        leaving(socket, state);
    } else if late::is_late(state) {
        flush(socket, state);
    }
}

/// At the first packet the cgroup is the socket's own for sure. A listener gets it whether or not it
/// was bound while the programs were attached, so every socket it accepts inherits it.
#[inline(always)]
fn know(packet: &Packet, state: &mut SocketState) {
    if state.flow.flags & VERIFIED == 0
        && let Some(socket) = packet.socket()
    {
        identity::verify(&mut state.flow, socket);
    }
}

/// The state of a socket that has none yet.
#[inline(never)]
fn new(packet: &Packet) -> Option<&'static mut SocketState> {
    let socket = packet.socket()?;
    if !socket.is_tcp() {
        return None;
    }
    if socket.is_listening() {
        identity::verify(&mut maps::socket_or_new(socket)?.flow, socket);
        return None;
    }
    late::adopt(packet, socket)
}

/// Ingress of an open connection.
#[inline(always)]
fn arrived(packet: &Packet, socket: AnySocket, state: &mut SocketState) -> bool {
    let Some(segment) = packet.segment() else { return unreadable() };
    let speaks = state.done_in == 0 && segment.payload > 0;
    if !speaks && segment.flags & ENDS == 0 {
        return false;
    }
    let Some(tcp) = socket.tcp() else { return false };
    let expected = tcp.rcv_nxt();
    if segment.flags & FIN != 0 && !(state.fin_in_seen != 0 && state.fin_in == expected) {
        state.fin_in = segment.end();
        state.fin_in_seen = 1;
    }
    let is_new = speaks && listen::received(state, &segment, expected);
    // Ingress comes before TCP's own window check: only the segment that TCP expects next is
    // evidence, anything else may be forged (RFC 5961, section 3.2, for the reset).
    if segment.seq == expected && segment.flags & RST != 0 {
        state.reset_in = 1;
    }
    is_new
}

#[inline(always)]
fn unreadable() -> bool {
    count(Counter::PacketsUnreadable, 1);
    false
}

/// Ingress while the SYN is on the way: a reset that acknowledges it is a refusal (RFC 9293,
/// section 3.10.7.3).
#[inline(always)]
fn answered(packet: &Packet, socket: AnySocket, state: &mut SocketState) {
    let Some(segment) = packet.segment() else { return count(Counter::PacketsUnreadable, 1) };
    let Some(tcp) = socket.tcp() else { return };
    let progress = tcp.progress();
    // On loopback the answer is here before the sender has advanced snd_nxt.
    let acknowledges =
        segment.ack == tcp.snd_nxt() || segment.ack == progress.snd_una.wrapping_add(1);
    if segment.flags & (RST | ACK) == RST | ACK && acknowledges {
        state.reset_in = 1;
    }
}

/// Egress of the SYN: who sends it is known for sure now, and where it really goes.
#[inline(always)]
fn departing(packet: &Packet, state: &mut SocketState) -> bool {
    know(packet, state);
    let flow = &mut state.flow;
    if let Some((address, port)) = packet.destination()
        && (address != flow.remote || port != flow.port)
    {
        flow.reached = address;
        flow.reached_port = port;
    }
    // Payload that goes with the SYN (TCP Fast Open, RFC 7413).
    let Some(segment) = packet.segment() else { return false };
    if segment.payload == 0 {
        return false;
    }
    // The SYN takes the first number (RFC 9293, section 3.4).
    state.sent.start(segment.seq.wrapping_add(1));
    listen::sent(state, &segment)
}

/// Egress of an open connection.
#[inline(always)]
fn leaving(socket: AnySocket, state: &mut SocketState) {
    let epoch = maps::epoch();
    let due = state.epoch != epoch;
    let _moved_to = classify(state, due);
    if due || (late::is_late(state) && !socket.is_carrying()) {
        state.epoch = epoch;
        flush(socket, state);
    }
}

#[inline(always)]
fn note_sent(packet: &Packet, state: &mut SocketState) -> bool {
    let Some(segment) = packet.segment() else { return unreadable() };
    if segment.flags & FIN != 0 {
        state.fin_out = segment.end();
        state.fin_out_seen = 1;
    }
    segment.payload > 0 && state.done_out == 0 && listen::sent(state, &segment)
}

#[inline(always)]
fn flush(socket: AnySocket, state: &mut SocketState) {
    let Some(tcp) = socket.tcp() else { return };
    let progress = tcp.progress();
    let (sent, received) = socket::payload(state, &progress);
    edge::flush(state, sent, received, &progress);
}

/// Moves a connection to the edge of what was said, which is the answer. `now` asks for the best
/// reading there is, because bytes are about to be counted; otherwise a step on the way does not.
#[inline(always)]
pub(super) fn classify(state: &mut SocketState, now: bool) -> Option<&'static mut EdgeCounters> {
    if state.settled != 0 {
        return None;
    }
    state.news = 0;
    if now {
        share::tire(state);
    }
    let reading = listen::reading(state);
    let is_over = reading.is_settled || state.done_in & state.done_out != 0;
    let mut edge = None;
    if is_over || now || reading.is_lasting() {
        let pair = late_pair(state, now);
        let flow = &mut state.flow;
        let is_counted = is_counted_as(flow, reading);
        if (pair.is_some() || !is_counted) && edge::move_out(flow) {
            count_as(flow, reading);
            if let Some(pair) = pair {
                flow.pair(&pair);
            }
            edge = edge::move_in(flow);
        }
    }
    // With payload in the SYN the server may know all before its client is established.
    let is_owed = state.deferred != 0 && state.joined_acked_or_pair != 0 && !late::is_late(state);
    state.settled = (is_over && !is_owed && !share::is_open(state)).into();
    edge
}

/// Whether a flow is on the edge of what was heard.
#[inline(always)]
fn is_counted_as(flow: &Flow, reading: Reading) -> bool {
    flow.protocol == reading.protocol
        && flow.stage == reading.stage
        && flow.secret == reading.secret
}

#[inline(always)]
fn count_as(flow: &mut Flow, reading: Reading) {
    flow.protocol = reading.protocol;
    flow.stage = reading.stage;
    flow.secret = reading.secret;
}

/// What the client's end has left since this end was established before it. After an epoch there
/// is no such client on this host: it `gives_up`.
#[inline(always)]
fn late_pair(state: &mut SocketState, gives_up: bool) -> Option<Pair> {
    if state.joined_acked_or_pair == 0 || late::is_late(state) {
        return None;
    }
    let pair = maps::take_pair(state.joined_acked_or_pair);
    if pair.is_some() {
        count(Counter::Paired, 1);
    }
    if pair.is_some() || gives_up {
        state.joined_acked_or_pair = 0;
    }
    pair
}
