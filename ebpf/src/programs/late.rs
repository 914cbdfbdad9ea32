//! Connections that are older than the programs.
//!
//! The agent lists them in OLDER, where each waits for its next packet or its end. None of their
//! state changes is called back, so their end is the last descriptor's, and their bytes are added
//! with each segment once they are closing.

use plainsight_ebpf::{
    abi::{
        counters::Counter,
        edge::{GUESSED, LATE, Role},
        flow::{Phase, SocketState},
    },
    wire::{ip, stage::Stage},
};

use super::{
    context::{Bind, Packet, Socket, now_ns},
    edge, identity,
    maps::{self, count},
};

/// Takes a connection over at its first packet.
#[inline(never)]
pub(super) fn adopt(packet: &Packet, socket: Socket) -> Option<&'static mut SocketState> {
    if !maps::adopts() || !socket.is_carrying() {
        count(Counter::SegmentsOlder, 1);
        return None;
    }
    let cookie = packet.cookie();
    let state = match maps::older(cookie) {
        Some(older) => maps::socket_from(socket, older)?,
        None => guess(socket)?,
    };
    maps::forget_older(cookie);
    count(Counter::Adopted, 1);
    let _asked = edge::open(&mut state.flow, state.opened_ns);
    Some(state)
}

/// One that the agent could not list: in a network namespace it may not enter, or made while it
/// made its list. What cannot be known is told from the ports: a client's is usually the higher.
#[inline(always)]
fn guess(socket: Socket) -> Option<&'static mut SocketState> {
    let tcp = socket.tcp()?;
    let state = maps::socket_or_new(socket)?;
    let progress = tcp.progress();
    let (local, remote) = (socket.local_port(), socket.remote_port());
    let is_server = local < remote;
    let flow = &mut state.flow;
    identity::verify(flow, socket);
    flow.transport = ip::TCP;
    flow.role = if is_server { Role::Server } else { Role::Client } as u8;
    flow.remote = socket.remote();
    flow.local = socket.local();
    flow.port = if is_server { local } else { remote };
    flow.stage = Stage::Unknown as u8;
    flow.flags |= LATE | GUESSED;
    state.joined_acked_or_pair = progress.acked;
    state.joined_received = progress.received;
    (state.settled, state.done_in, state.done_out) = (1, 1, 1);
    state.opened_ns = now_ns();
    state.phase = Phase::Open as u8;
    Some(state)
}

/// Whether a connection was taken over.
#[inline(always)]
pub(super) fn is_late(state: &SocketState) -> bool {
    state.flow.flags & LATE != 0
}

/// Its last descriptor is closed.
#[inline(always)]
pub(super) fn released(state: &mut SocketState) {
    if is_late(state) {
        state.phase = Phase::Ended as u8;
        edge::leave(&mut state.flow);
    }
}

/// The same for one that never had a packet since.
#[inline(always)]
pub(super) fn released_unseen(bind: &Bind) {
    if !maps::adopts() {
        return;
    }
    let cookie = bind.cookie();
    let Some(older) = maps::older(cookie) else { return };
    let Some(state) = maps::socket_from(bind.socket(), older) else { return };
    maps::forget_older(cookie);
    count(Counter::Adopted, 1);
    state.orphaned = 1;
    let _asked = edge::open(&mut state.flow, state.opened_ns);
    released(state);
}
