//! What goes to the agent one by one.

use plainsight_ebpf::abi::{
    self, Address,
    counters::Counter,
    edge::EdgeKey,
    event::{Close, Connection, EventHeader, EventKind, FirstSeen},
    flow::SocketState,
};

use super::{
    context::{Ops, now_ns},
    edge, filter,
    maps::{self, count},
};

/// An edge came into being. The agent is woken: it has to look at the process while it lives.
#[inline(always)]
pub(super) fn first_seen(key: &EdgeKey, state: &SocketState, time_ns: u64) {
    let event = FirstSeen {
        header: header::<FirstSeen>(EventKind::FirstSeen, time_ns),
        key: *key,
        tgid: state.tgid,
        reserved: 0,
        comm: state.comm,
    };
    if !maps::emit(|room| _ = room.write(event), true) {
        count(Counter::RingFullFirstSeen, 1);
    }
}

/// A connection ended. It goes out only if a filter asked for it, and wakes nobody.
#[inline(never)]
pub(super) fn connection(ops: &Ops, state: &SocketState, close: Close) {
    let (local, remote) = (ops.local(), ops.remote());
    let filters = filter::wanted(state, &local, &remote);
    if filters == 0 {
        return;
    }
    count(Counter::RecordsWanted, 1);
    if !maps::emit(|room| _ = room.write(record(ops, state, local, remote, filters, close)), false)
    {
        count(Counter::RingFullConnection, 1);
    }
}

#[inline(always)]
fn record(
    ops: &Ops,
    state: &SocketState,
    local: Address,
    remote: Address,
    filters: u32,
    close: Close,
) -> Connection {
    Connection {
        header: header::<Connection>(EventKind::Connection, now_ns()),
        key: edge::key(state),
        opened_ns: state.opened_ns,
        sent_bytes: state.sent_bytes,
        received_bytes: state.received_bytes,
        cookie: ops.cookie(),
        local,
        remote,
        filters,
        tgid: state.tgid,
        local_port: ops.local_port(),
        remote_port: ops.remote_port(),
        close: close as u8,
        orphaned: state.orphaned,
        reserved: 0,
        comm: state.comm,
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
