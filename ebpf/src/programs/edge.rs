//! Adding to edges. Callers hold the socket's lock, so each delta is taken once.

use plainsight_ebpf::abi::{
    Address,
    counters::Counter,
    edge::{Class, EdgeCounters, EdgeKey},
    event::Close,
    flow::SocketState,
};
use plainsight_ebpf::wire::ip;

use super::{
    context::{now_ns, zero},
    emit,
    maps::{self, add, count},
};

/// Payload bytes that are not on an edge yet.
struct Bytes {
    sent: u64,
    received: u64,
}

const E2BIG: i32 = -7;
const EBUSY: i32 = -16;
const EEXIST: i32 = -17;

// === impl Bytes ===

impl Bytes {
    /// What came since the last time. The kernel's count may restart, never ours.
    #[inline(always)]
    fn since(state: &mut SocketState, sent: u64, received: u64) -> Self {
        let sent = sent.saturating_sub(state.sent_bytes);
        let received = received.saturating_sub(state.received_bytes);
        state.sent_bytes += sent;
        state.received_bytes += received;
        count(Counter::SentBytes, sent);
        count(Counter::ReceivedBytes, received);
        Self { sent, received }
    }

    /// Adds to the edge, or to the overflow if there is none.
    #[inline(always)]
    fn add(self, edge: Option<&'static mut EdgeCounters>) -> Option<&'static mut EdgeCounters> {
        let Some(edge) = edge else {
            count(Counter::OverflowSentBytes, self.sent);
            count(Counter::OverflowReceivedBytes, self.received);
            return None;
        };
        add(&mut edge.sent_bytes, self.sent);
        add(&mut edge.received_bytes, self.received);
        edge.last_ns = now_ns();
        Some(edge)
    }
}

/// A connection is established.
#[inline(always)]
pub(super) fn open(state: &SocketState, local: &Address) {
    count(Counter::Opened, 1);
    match entry(&key(state), state, local) {
        Some(edge) => {
            add(&mut edge.opened, 1);
            edge.last_ns = state.opened_ns;
        }
        None => count(Counter::OverflowOpened, 1),
    }
}

/// Adds payload bytes since the last time.
#[inline(always)]
pub(super) fn flush(state: &mut SocketState, sent: u64, received: u64) {
    let more = Bytes::since(state, sent, received);
    if more.sent != 0 || more.received != 0 {
        more.add(maps::edge(&key(state)));
    }
}

/// An established connection ended; the same, and its end, with one look-up for both.
#[inline(always)]
pub(super) fn close(state: &mut SocketState, sent: u64, received: u64, close: Close) {
    count(Counter::Closed, 1);
    let more = Bytes::since(state, sent, received);
    let edge = maps::edge(&key(state));
    match more.add(edge) {
        Some(edge) => {
            add(&mut edge.closed, 1);
            add(&mut edge.resets, (close as u8 == Close::Reset as u8).into());
        }
        None => count(Counter::OverflowClosed, 1),
    }
}

/// A connect failed.
#[inline(always)]
pub(super) fn fail(state: &SocketState, local: &Address, close: Close) {
    count(Counter::Failed, 1);
    let Some(edge) = entry(&key(state), state, local) else {
        return count(Counter::OverflowFailed, 1);
    };
    // All three, most of them by nothing: choosing one would make the verifier follow an address
    // that depends on a value, which it refuses without CAP_PERFMON.
    let close = close as u8;
    let refused = close == Close::Refused as u8;
    let timed_out = close == Close::TimedOut as u8;
    add(&mut edge.refused, refused.into());
    add(&mut edge.timed_out, timed_out.into());
    add(&mut edge.aborted, (!refused && !timed_out).into());
    edge.last_ns = now_ns();
}

/// Moves a connection to the edge of another class. Its bytes stay where they were counted.
#[inline(always)]
pub(super) fn shift(state: &mut SocketState, class: Class) {
    // A connection that found no edge when it opened stays without one, or it would be counted
    // once as overflow and once here.
    let Some(old) = maps::edge(&key(state)) else { return };
    add(&mut old.moved, 1);
    count(Counter::Moved, 1);
    let local = old.local;
    state.class = class as u8;
    match entry(&key(state), state, &local) {
        Some(edge) => add(&mut edge.opened, 1),
        None => count(Counter::OverflowOpened, 1),
    }
}

/// The key a socket is counted under now.
#[inline(always)]
pub(super) fn key(state: &SocketState) -> EdgeKey {
    EdgeKey {
        cgroup: state.cgroup,
        netns: state.netns,
        peer_cgroup: state.peer_cgroup,
        peer_netns: state.peer_netns,
        name: state.name,
        peer_name: state.peer_name,
        remote: state.remote,
        port: state.port,
        asked_port: state.asked_port,
        role: state.role,
        transport: ip::TCP,
        class: state.class,
        verdict: 0,
    }
}

/// The edge's counters, made if there are none; a refusal is counted by its reason.
#[inline(never)]
fn entry(key: &EdgeKey, state: &SocketState, local: &Address) -> Option<&'static mut EdgeCounters> {
    if let Some(edge) = maps::edge(key) {
        return Some(edge);
    }
    let now = now_ns();
    match maps::new_edge(key, &fresh(state, local, now)) {
        Ok(()) => emit::first_seen(key, state, now),
        Err(EEXIST) => {}
        Err(E2BIG) => count(Counter::EdgesFull, 1),
        Err(EBUSY) => count(Counter::EdgesBusy, 1),
        Err(_) => count(Counter::EdgesOther, 1),
    }
    maps::edge(key)
}

#[inline(always)]
fn fresh(state: &SocketState, local: &Address, now: u64) -> EdgeCounters {
    EdgeCounters {
        opened: zero(),
        moved: zero(),
        closed: zero(),
        resets: zero(),
        sent_bytes: zero(),
        received_bytes: zero(),
        refused: zero(),
        timed_out: zero(),
        aborted: zero(),
        first_ns: now,
        last_ns: now,
        local: *local,
        comm: state.comm,
        tgid: state.tgid,
        reserved: 0,
    }
}
