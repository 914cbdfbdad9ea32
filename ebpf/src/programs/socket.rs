//! A TCP socket's life: connecting, established, ended. Runs with the socket's lock held.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB,
    BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_TCP_CLOSE, BPF_TCP_CLOSE_WAIT,
    BPF_TCP_CLOSING, BPF_TCP_ESTABLISHED, BPF_TCP_FIN_WAIT1, BPF_TCP_FIN_WAIT2, BPF_TCP_LAST_ACK,
    BPF_TCP_TIME_WAIT,
};
use plainsight_ebpf::{
    abi::{
        Address, MAPPED,
        counters::Counter,
        edge::Role,
        event::Close,
        flow::{Phase, SocketState, VERIFIED},
    },
    wire::{ip, stage::Stage},
};

use super::{
    context::{Ops, Progress, apart, now_ns},
    edge, emit, late, listen,
    maps::{self, count},
    packet,
};

/// The entry: everything but four callbacks returns on the first compare, and most changes of state
/// on the next. What came before there was a socket is judged last, because that needs the stack for
/// itself.
#[inline(always)]
pub(super) fn event(ops: &Ops) {
    match ops.op() {
        BPF_SOCK_OPS_STATE_CB => changed(ops),
        BPF_SOCK_OPS_TCP_CONNECT_CB
        | BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB
        | BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            if begun(ops)
                && let Some(state) = ops.socket().and_then(maps::socket)
            {
                listen::decide_early(state);
            }
        }
        _ => {}
    }
}

/// True if something came before there was a socket.
#[inline(never)]
fn begun(ops: &Ops) -> bool {
    match ops.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => connecting(ops),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => active(ops),
        _ => return passive(ops),
    }
    false
}

/// The SYN is about to leave, and the addresses are known.
#[inline(always)]
fn connecting(ops: &Ops) {
    let Some(state) = ops.socket().and_then(maps::socket_or_new) else { return };
    state.phase = Phase::Connecting as u8;
    state.syn_sent = 1;
    state.opened_ns = now_ns();
    let flow = &mut state.flow;
    flow.role = Role::Client as u8;
    flow.transport = ip::TCP;
    flow.local = ops.local();
    // Linux takes the unspecified address for one of its own. Without a port `connect` was not
    // seen, only the SYN that is about to leave.
    if is_unspecified(&flow.remote) || flow.port == 0 {
        flow.remote = ops.remote();
        flow.port = ops.remote_port();
    }
    request_callbacks(ops);
}

#[inline(always)]
fn is_unspecified(address: &Address) -> bool {
    let [a, b, c, d] = *address;
    a | b | d == 0 && (c == 0 || c == MAPPED)
}

/// The client's end is established. Without a state its SYN left before the programs were here,
/// and with it who sent it: such a connection counts as older.
#[inline(always)]
fn active(ops: &Ops) {
    let Some(state) = ops.socket().and_then(maps::socket) else { return };
    request_callbacks(ops);
    let progress = ops.progress();
    // Data that went with the SYN may be acknowledged already.
    let own = progress.snd_una.wrapping_sub(progress.acked as u32).wrapping_add(1);
    maps::leave_pair(pair_id(own, progress.rcv_nxt), &state.flow.as_peer());
    listen::begin(state, own, progress.rcv_nxt);
    opened(ops, state);
}

/// The server's end is established. Its state is the listener's, but for what follows; a listener
/// has one from its first packet on.
#[inline(always)]
fn passive(ops: &Ops) -> bool {
    let Some(state) = ops.socket().and_then(maps::socket) else { return false };
    request_callbacks(ops);
    let (own, peer) = (ops.snd_nxt(), ops.progress().rcv_nxt);
    listen::begin(state, own, peer);
    // Both ends sent a SYN (RFC 9293, section 3.5). One must be the client, and both must say the
    // same, so it is the one whose sequence numbers start lower. A socket that connects to itself is both.
    if state.phase == Phase::Connecting as u8 && own <= peer {
        maps::leave_pair(pair_id(own, peer), &state.flow.as_peer());
        opened(ops, state);
        return false;
    }
    state.flow.role = Role::Server as u8;
    state.flow.transport = ip::TCP;
    state.flow.remote = ops.remote();
    state.flow.port = ops.local_port();
    let id = pair_id(peer, own);
    match maps::take_pair(id) {
        Some(pair) => {
            count(Counter::Paired, 1);
            state.flow.pair(&pair);
        }
        None => state.joined_acked_or_pair = id,
    }
    let is_early = listen::take_early(state, ops.remote_port());
    opened(ops, state);
    is_early
}

/// What joins the two halves of a local connection: the client's initial sequence number and the
/// server's, each plus one, which no address translation changes.
#[inline(always)]
fn pair_id(client_next: u32, server_next: u32) -> u64 {
    u64::from(client_next) << 32 | u64::from(server_next)
}

#[inline(always)]
fn opened(ops: &Ops, state: &mut SocketState) {
    state.phase = Phase::Open as u8;
    state.opened_ns = now_ns();
    state.epoch = maps::epoch();
    state.flow.stage = Stage::Pending as u8;
    state.flow.local = ops.local();
    let is_chosen = edge::open(&mut state.flow, state.opened_ns);
    state.chosen = if is_chosen { maps::epoch() | 1 } else { 0 };
}

/// The kernel's flags are replaced as a whole, so a refusal would lose the end of the connection.
#[inline(always)]
fn request_callbacks(ops: &Ops) {
    if !ops.request_callbacks(BPF_SOCK_OPS_STATE_CB_FLAG) {
        count(Counter::CallbacksRefused, 1);
    }
}

/// The socket goes from one state to another. Some transitions prove that a FIN was received or
/// acknowledged, which is a byte in the kernel's counts and not in ours.
#[inline(always)]
fn changed(ops: &Ops) {
    match ops.states() {
        (old, BPF_TCP_CLOSE) => ended(ops, old),
        (BPF_TCP_ESTABLISHED, BPF_TCP_CLOSE_WAIT) | (BPF_TCP_FIN_WAIT1, BPF_TCP_CLOSING) => {
            if let Some(state) = ops.socket().and_then(maps::socket) {
                state.fin_received = 1;
                apart();
            }
        }
        (BPF_TCP_FIN_WAIT1, BPF_TCP_FIN_WAIT2) => {
            if let Some(state) = ops.socket().and_then(maps::socket) {
                state.fin_acked = 1;
            }
        }
        _ => {}
    }
}

#[inline(never)]
fn ended(ops: &Ops, old: u32) {
    let Some(state) = ops.socket().and_then(maps::socket) else { return };
    let phase = state.phase;
    state.phase = Phase::Ended as u8;
    if phase == Phase::Connecting as u8 {
        // No SYN was sent: no port was free, or there is no route.
        if state.flow.flags & VERIFIED == 0 {
            return;
        }
        let close = failure(ops, state);
        edge::fail(&mut state.flow, close);
        emit::connection(ops, state, close);
    } else if phase == Phase::Open as u8 {
        let close = closing(ops, state, old);
        let mut edge = packet::classify(state, true);
        let progress = ops.progress();
        let (sent, received) = payload(state, &progress);
        // All payload came where no one looked: with the segment that completed the handshake.
        let flow = &mut state.flow;
        let is_silent = flow.stage == Stage::Pending as u8;
        if is_silent && sent | received != 0 && edge::move_out(flow) {
            flow.stage = Stage::Unknown as u8;
            edge = edge::move_in(flow);
        }
        edge::close(state, edge, sent, received, &progress, close);
        emit::connection(ops, state, close);
    }
}

/// Why a connect failed.
#[inline(always)]
fn failure(ops: &Ops, state: &SocketState) -> Close {
    if state.reset_in != 0 {
        Close::Refused
    } else if ops.retransmissions() != 0 {
        Close::TimedOut
    } else {
        Close::Aborted
    }
}

/// How an established connection ended.
#[inline(always)]
fn closing(ops: &Ops, state: &SocketState, old: u32) -> Close {
    let orderly =
        matches!(old, BPF_TCP_FIN_WAIT2 | BPF_TCP_CLOSING | BPF_TCP_LAST_ACK | BPF_TCP_TIME_WAIT);
    if state.reset_in != 0 {
        Close::Reset
    } else if ops.retransmitting() != 0 {
        Close::TimedOut
    } else if orderly {
        Close::Fin
    } else {
        Close::Reset
    }
}

/// Payload bytes sent and acknowledged, and received in order: the kernel's counts without the
/// SYN, which only the client's count has, and without the FINs that were counted. Of a connection
/// that joined late, since then.
#[inline(always)]
pub(super) fn payload(state: &SocketState, progress: &Progress) -> (u64, u64) {
    let is_late = late::is_late(state);
    let syn = u64::from(state.syn_sent != 0 && !is_late);
    let joined_acked = if is_late { state.joined_acked_or_pair } else { 0 };
    let fin_out =
        state.fin_acked != 0 || (state.fin_out_seen != 0 && progress.snd_una == state.fin_out);
    let fin_in =
        state.fin_received != 0 || (state.fin_in_seen != 0 && progress.rcv_nxt == state.fin_in);
    (
        progress.acked.saturating_sub(syn + u64::from(fin_out) + joined_acked),
        progress.received.saturating_sub(u64::from(fin_in) + state.joined_received),
    )
}
