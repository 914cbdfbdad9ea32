//! What goes to the agent one by one.

use plainsight_ebpf::abi::{
    self, Address,
    config::Traits,
    counters::Counter,
    datagram::DatagramState,
    edge::EdgeKey,
    event::{Close, Connection, EventHeader, EventKind, FirstSeen},
    flow::{Flow, SocketState},
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
    submit(|| Connection {
        header: header::<Connection>(EventKind::Connection, now),
        key: flow.key(0),
        opened_ns: state.opened_ns,
        sent_bytes: state.sent_bytes,
        received_bytes: state.received_bytes,
        cookie: ops.cookie(),
        local: ops.local(),
        remote,
        filters,
        tgid: flow.own.tgid,
        sent_datagrams: zero(),
        received_datagrams: zero(),
        local_port: ops.local_port(),
        remote_port: ops.remote_port(),
        close: close as u8,
        orphaned: state.orphaned,
        reserved: 0,
        comm: flow.own.comm,
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
    let remote: Address = state.peer;
    let traits = traits(flow, now, state.opened_ns, counted.sent_bytes + counted.received_bytes);
    let filters = filter::wanted(flow, &remote, &traits, active);
    if filters == 0 {
        return;
    }
    submit(|| Connection {
        header: header::<Connection>(EventKind::Connection, now),
        key: flow.key(0),
        opened_ns: state.opened_ns,
        sent_bytes: counted.sent_bytes,
        received_bytes: counted.received_bytes,
        cookie,
        local: flow.local,
        remote,
        filters,
        tgid: flow.own.tgid,
        sent_datagrams: counted.sent,
        received_datagrams: counted.received,
        local_port: state.local_port,
        remote_port: state.peer_port,
        close: Close::Closed as u8,
        orphaned: 0,
        reserved: 0,
        comm: flow.own.comm,
    });
}

#[inline(always)]
fn traits(flow: &Flow, now: u64, opened_ns: u64, bytes: u64) -> Traits {
    Traits {
        duration_ns: now.saturating_sub(opened_ns),
        bytes,
        transport: flow.transport,
        class: flow.class,
        verdict: 0,
    }
}

#[inline(always)]
fn submit(record: impl FnOnce() -> Connection) {
    count(Counter::RecordsWanted, 1);
    if !maps::emit(|room| _ = room.write(record()), false) {
        count(Counter::RingFullConnection, 1);
    }
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
