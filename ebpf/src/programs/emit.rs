//! What goes to the agent one by one.

use plainsight_ebpf::{
    abi::{
        self,
        config::Traits,
        counters::Counter,
        datagram::DatagramState,
        edge::EdgeKey,
        event::{Close, Connection, EventHeader, EventKind, FirstSeen, Handshake},
        flow::{Flow, SocketState},
    },
    wire::security::Security,
};

use super::{
    context::{Ops, now_ns, zero},
    filter,
    maps::{self, count},
};

/// An edge came into being. The agent is woken: it has to look at the process while it lives.
#[inline(always)]
pub(super) fn first_seen(key: &EdgeKey, flow: &Flow, time_ns: u64) {
    let event = FirstSeen {
        header: header::<FirstSeen>(EventKind::FirstSeen, time_ns),
        key: *key,
        tgid: flow.own.tgid,
        reserved: 0,
        comm: flow.own.comm,
    };
    if !maps::emit(|room| _ = room.write(event), true) {
        count(Counter::RingFullFirstSeen, 1);
    }
}

/// A connection ended. It goes out only if a filter asked for it, and wakes nobody.
#[inline(never)]
pub(super) fn connection(ops: &Ops, state: &SocketState, close: Close) {
    let active = maps::filters();
    if active == 0 {
        return;
    }
    let (flow, remote, now) = (&state.flow, ops.remote(), now_ns());
    let traits = traits(flow, now, state.opened_ns, state.sent_bytes + state.received_bytes);
    let filters = filter::wanted(flow, &remote, &traits, active);
    if filters == 0 {
        return;
    }
    submit(|record| {
        begin(record, flow, now, filters);
        record.opened_ns = state.opened_ns;
        record.sent_bytes = state.sent_bytes;
        record.received_bytes = state.received_bytes;
        record.cookie = ops.cookie();
        record.local = ops.local();
        record.remote = remote;
        record.sent_datagrams = zero();
        record.received_datagrams = zero();
        record.local_port = ops.local_port();
        record.remote_port = ops.remote_port();
        record.close = close as u8;
        record.orphaned = state.orphaned;
    });
}

/// A UDP socket is closed: the same for its first conversation.
#[inline(never)]
pub(super) fn conversation(cookie: u64, state: &DatagramState) {
    let active = maps::filters();
    if active == 0 || state.flow.role == 0 {
        return;
    }
    let (flow, counted, now) = (&state.flow, &state.counted, now_ns());
    let traits = traits(flow, now, state.opened_ns, counted.sent_bytes + counted.received_bytes);
    let filters = filter::wanted(flow, &state.peer, &traits, active);
    if filters == 0 {
        return;
    }
    submit(|record| {
        begin(record, flow, now, filters);
        record.opened_ns = state.opened_ns;
        record.sent_bytes = counted.sent_bytes;
        record.received_bytes = counted.received_bytes;
        record.cookie = cookie;
        record.local = flow.local;
        record.remote = state.peer;
        record.sent_datagrams = counted.sent;
        record.received_datagrams = counted.received;
        record.local_port = state.local_port;
        record.remote_port = state.peer_port;
        record.close = Close::Closed as u8;
        record.orphaned = 0;
    });
}

/// What both have.
#[inline(always)]
fn begin(record: &mut Connection, flow: &Flow, now: u64, filters: u32) {
    record.header = header::<Connection>(EventKind::Connection, now);
    flow.write_key(0, &mut record.key);
    record.filters = filters;
    record.tgid = flow.own.tgid;
    record.reserved = 0;
    record.comm = flow.own.comm;
}

#[inline(always)]
fn traits(flow: &Flow, now: u64, opened_ns: u64, bytes: u64) -> Traits {
    Traits {
        duration_ns: now.saturating_sub(opened_ns),
        bytes,
        transport: flow.transport,
        security: Security::bit_of(flow.protocol, flow.stage),
        stage: flow.stage,
        verdict: 0,
    }
}

/// Every field of the record is to be filled in: in place, because it is too large for the stack.
#[inline(always)]
fn submit(fill: impl FnOnce(&mut Connection)) {
    count(Counter::RecordsWanted, 1);
    // SAFETY: a record is integers only, for which what lies in the ring is a value.
    if !maps::emit::<Connection>(|room| fill(unsafe { room.assume_init_mut() }), false) {
        count(Counter::RingFullConnection, 1);
    }
}

/// The header of a part of a handshake.
#[inline(always)]
pub(super) fn handshake_header<const N: usize>(time_ns: u64) -> EventHeader {
    header::<Handshake<N>>(EventKind::Handshake, time_ns)
}

#[inline(always)]
fn header<T>(kind: EventKind, time_ns: u64) -> EventHeader {
    EventHeader {
        kind: kind as u8,
        version: abi::VERSION,
        length: size_of::<T>() as u16,
        reserved: 0,
        time_ns,
    }
}
