//! Every packet: first payloads, FINs, and the flush that an epoch asks for.
//!
//! A classified connection whose counts are fresh costs one storage look-up and one byte read.
//! Egress holds the socket's lock; ingress does not, so it only notes what it saw.

use plainsight_ebpf::{
    abi::{
        counters::Counter,
        edge::Role,
        flow::{Phase, SocketState},
    },
    wire::{
        head::{self, Head},
        tcp::{ACK, FIN, RST, Segment},
    },
};

use super::{
    context::{Packet, Socket, loaded},
    edge, identity,
    maps::{self, count},
    socket,
};

/// Flags that end a connection, or one direction of it.
const ENDS: u8 = FIN | RST;

/// A packet arrives.
#[inline(always)]
pub(super) fn ingress(packet: &Packet) {
    let Some(socket) = packet.socket() else { return };
    if socket.is_tcp() {
        let Some(state) = known(socket) else { return };
        if state.phase == Phase::Open as u8 {
            arrived(packet, socket, state);
        } else if state.phase == Phase::Connecting as u8 {
            answered(packet, socket, state);
        }
    } else if socket.is_udp() {
        datagram(packet, Counter::DatagramsReceived, Counter::DatagramReceivedBytes);
    }
}

/// A packet leaves.
#[inline(always)]
pub(super) fn egress(packet: &Packet) {
    let Some(socket) = packet.socket() else { return };
    if socket.is_tcp() {
        let Some(state) = known(socket) else { return };
        if state.phase == Phase::Open as u8 {
            leaving(packet, socket, state);
        } else if state.phase == Phase::Connecting as u8 && state.verified == 0 {
            identity::verify(state, socket);
        }
    } else if socket.is_udp() {
        datagram(packet, Counter::DatagramsSent, Counter::DatagramSentBytes);
    }
}

/// The socket's state. A listener gets its cgroup at its first packet, whether or not it was bound
/// while the programs were attached, so every socket it accepts inherits it.
#[inline(always)]
fn known(socket: Socket) -> Option<&'static mut SocketState> {
    if let Some(state) = maps::socket(socket) {
        if state.phase == Phase::Identity as u8 && state.verified == 0 {
            identity::verify(state, socket);
        }
        return Some(state);
    }
    if socket.is_listening() {
        identity::verify(maps::socket_or_new(socket)?, socket);
    } else {
        count(Counter::SegmentsOlder, 1);
    }
    None
}

/// Ingress of an open connection.
#[inline(always)]
fn arrived(packet: &Packet, socket: Socket, state: &mut SocketState) {
    let Some(segment) = packet.segment() else { return count(Counter::SegmentsUnreadable, 1) };
    let first_payload = state.head_in == Head::None as u8 && segment.payload > 0;
    if !first_payload && segment.flags & ENDS == 0 {
        return;
    }
    let Some(tcp) = socket.tcp() else { return };
    let expected = tcp.rcv_nxt();
    if segment.flags & FIN != 0 && !(state.fin_in_seen != 0 && state.fin_in == expected) {
        state.fin_in = segment.end();
        state.fin_in_seen = 1;
    }
    // Ingress comes before TCP's own window check: only the segment that TCP expects next is
    // evidence, anything else may be forged (RFC 5961, section 3.2, for the reset).
    if segment.seq != expected {
        return;
    }
    if segment.flags & RST != 0 {
        state.reset_in = 1;
    }
    if first_payload {
        let first = if tcp.has_received() { Head::Missed } else { packet.head(&segment) };
        state.head_in = first as u8;
    }
}

/// Ingress while the SYN is on the way: a reset that acknowledges it is a refusal (RFC 9293,
/// section 3.10.7.3).
#[inline(always)]
fn answered(packet: &Packet, socket: Socket, state: &mut SocketState) {
    let Some(segment) = packet.segment() else { return count(Counter::SegmentsUnreadable, 1) };
    let Some(tcp) = socket.tcp() else { return };
    let progress = tcp.progress();
    // On loopback the answer is here before the sender has advanced snd_nxt.
    let acknowledges =
        segment.ack == tcp.snd_nxt() || segment.ack == progress.snd_una.wrapping_add(1);
    if segment.flags & (RST | ACK) == RST | ACK && acknowledges {
        state.reset_in = 1;
    }
}

/// Egress of an open connection.
#[inline(always)]
fn leaving(packet: &Packet, socket: Socket, state: &mut SocketState) {
    let Some(segment) = packet.segment() else { return count(Counter::SegmentsUnreadable, 1) };
    let epoch = maps::config().epoch;
    if state.settled != 0 && state.epoch == epoch && segment.flags & ENDS == 0 {
        return;
    }
    note_sent(packet, socket, &segment, state);
    let due = state.epoch != epoch;
    classify(state, due);
    if due {
        state.epoch = epoch;
        flush(socket, state);
    }
}

#[inline(always)]
fn note_sent(packet: &Packet, socket: Socket, segment: &Segment, state: &mut SocketState) {
    if segment.flags & FIN != 0 {
        state.fin_out = segment.end();
        state.fin_out_seen = 1;
    }
    if segment.payload > 0 && state.head_out == Head::None as u8 {
        let first = starts_stream(socket, segment);
        state.head_out = if first { packet.head(segment) } else { Head::Missed } as u8;
    }
}

/// Whether a segment's payload is the first of its stream: nothing but the SYN was acknowledged,
/// and it starts right there. Payload in the SYN itself (TCP Fast Open) came before.
#[inline(always)]
fn starts_stream(socket: Socket, segment: &Segment) -> bool {
    let Some(tcp) = socket.tcp() else { return false };
    let progress = tcp.progress();
    progress.acked <= 1 && segment.seq == progress.snd_una
}

#[inline(always)]
fn flush(socket: Socket, state: &mut SocketState) {
    let Some(tcp) = socket.tcp() else { return };
    let (sent, received) = socket::payload(state, &tcp.progress());
    edge::flush(state, sent, received);
}

/// Moves a connection to the edge of what its first payloads show. `now` asks for the best answer
/// there is, because bytes are about to be counted; otherwise only a final one counts.
#[inline(always)]
pub(super) fn classify(state: &mut SocketState, now: bool) {
    if state.settled != 0 {
        return;
    }
    let (sent, received) = (loaded(state.head_out), loaded(state.head_in));
    let is_client = state.role == Role::Client as u8;
    let (client, server) = if is_client { (sent, received) } else { (received, sent) };
    let settled = head::is_settled(client, server);
    let class = head::class(client, server);
    if (settled || now) && class as u8 != state.class {
        edge::shift(state, class);
    }
    state.settled = settled.into();
}

#[inline(always)]
fn datagram(packet: &Packet, datagrams: Counter, bytes: Counter) {
    match packet.datagram_bytes() {
        Some(payload) => {
            count(datagrams, 1);
            count(bytes, payload.into());
        }
        None => count(Counter::SegmentsUnreadable, 1),
    }
}
