//! Adding to edges. Callers make sure that each delta is taken once: for TCP they hold the socket's
//! lock, for UDP `maps::uncounted` has one.

use core::mem::offset_of;

use plainsight_ebpf::abi::{
    counters::Counter,
    datagram::Datagrams,
    edge::{EdgeCounters, EdgeKey, FOLDED, RTT_BUCKETS, rtt_bound},
    event::Close,
    flow::{Flow, OVERFLOWED, SocketState},
};

use super::{
    context::{Progress, now_ns},
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

    #[inline(always)]
    fn is_none(&self) -> bool {
        self.sent | self.received == 0
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

/// How many epochs pass before another handshake of an edge is asked for.
const ASK_EVERY: u32 = 10;

/// A connection is established. True if its edge wants to know its handshake: the first one's, and
/// then one of those that come.
#[inline(always)]
pub(super) fn open(flow: &mut Flow, now: u64) -> bool {
    count(Counter::Opened, 1);
    match at(flow, true) {
        Some(edge) => {
            add(&mut edge.opened, 1);
            edge.last_ns = now;
            // Two that come at once may both be asked.
            let epoch = maps::epoch() | 1;
            let is_due = edge.asked == 0 || epoch.wrapping_sub(edge.asked) >= ASK_EVERY;
            if is_due {
                edge.asked = epoch;
            }
            is_due
        }
        None => {
            flow.flags |= OVERFLOWED;
            count(Counter::OverflowOpened, 1);
            false
        }
    }
}

/// Adds payload bytes since the last time.
#[inline(always)]
pub(super) fn flush(state: &mut SocketState, sent: u64, received: u64, progress: &Progress) {
    let more = Bytes::since(state, sent, received);
    if more.is_none() {
        return;
    }
    if let Some(edge) = more.add(at(&mut state.flow, false)) {
        sample(edge, progress.srtt);
    }
}

/// An established connection ended; the same, and its end, with one look-up for both, or none where
/// it has just been moved to `edge`.
#[inline(always)]
pub(super) fn close(
    state: &mut SocketState,
    edge: Option<&'static mut EdgeCounters>,
    sent: u64,
    received: u64,
    progress: &Progress,
    close: Close,
) {
    count(Counter::Closed, 1);
    let more = Bytes::since(state, sent, received);
    let edge = match edge {
        Some(edge) => Some(edge),
        None => at(&mut state.flow, false),
    };
    match more.add(edge) {
        Some(edge) => {
            add(&mut edge.closed, 1);
            if close as u8 == Close::Reset as u8 {
                add(&mut edge.resets, 1);
            }
            sample(edge, progress.srtt);
        }
        None => count(Counter::OverflowClosed, 1),
    }
}

/// A connection ended of which no more is known.
#[inline(always)]
pub(super) fn leave(flow: &mut Flow) {
    count(Counter::Closed, 1);
    match at(flow, false) {
        Some(edge) => add(&mut edge.closed, 1),
        None => count(Counter::OverflowClosed, 1),
    }
}

/// A connect failed.
#[inline(always)]
pub(super) fn fail(flow: &mut Flow, close: Close) {
    count(Counter::Failed, 1);
    let Some(edge) = at(flow, true) else {
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

/// Takes a connection from its edge, because its reading or its client is about to change. Its bytes
/// stay where they were counted. False if it is on none: one that found no edge when it opened
/// stays without.
#[inline(never)]
pub(super) fn move_out(flow: &mut Flow) -> bool {
    let Some(edge) = at(flow, false) else { return false };
    add(&mut edge.moved, 1);
    count(Counter::Moved, 1);
    true
}

/// Puts it on the edge that it belongs to now, which is the answer.
#[inline(never)]
pub(super) fn move_in(flow: &mut Flow) -> Option<&'static mut EdgeCounters> {
    let Some(edge) = at(flow, true) else {
        flow.flags |= OVERFLOWED;
        count(Counter::OverflowOpened, 1);
        return None;
    };
    add(&mut edge.opened, 1);
    Some(edge)
}

/// Adds what a conversation carried since the last time. `is_new` is for its first datagram.
#[inline(never)]
pub(super) fn carry(flow: &mut Flow, more: &Datagrams, is_new: bool) {
    total(more);
    let Some(edge) = at(flow, is_new) else { return miss(more) };
    add(&mut edge.sent_bytes, more.sent_bytes);
    add(&mut edge.received_bytes, more.received_bytes);
    add(&mut edge.sent_datagrams, more.sent);
    add(&mut edge.received_datagrams, more.received);
    edge.last_ns = now_ns();
}

/// Counts what there is no conversation for.
#[inline(always)]
pub(super) fn overflow(more: &Datagrams) {
    total(more);
    miss(more);
}

#[inline(always)]
fn total(more: &Datagrams) {
    count(Counter::SentBytes, more.sent_bytes);
    count(Counter::ReceivedBytes, more.received_bytes);
    count(Counter::DatagramsSent, more.sent);
    count(Counter::DatagramsReceived, more.received);
}

#[inline(always)]
fn miss(more: &Datagrams) {
    count(Counter::OverflowSentBytes, more.sent_bytes);
    count(Counter::OverflowReceivedBytes, more.received_bytes);
    count(Counter::OverflowDatagramsSent, more.sent);
    count(Counter::OverflowDatagramsReceived, more.received);
}

/// The edge this flow is counted on, made if there is none: the agent takes out edges of a
/// generation that is over, so a connection may outlive the one it began on. `announce` tells the
/// agent of a new one.
#[inline(always)]
fn at(flow: &mut Flow, announce: bool) -> Option<&'static mut EdgeCounters> {
    if flow.flags & OVERFLOWED != 0 {
        return None;
    }
    match find(flow) {
        Some(edge) => Some(edge),
        None => make(flow, announce),
    }
}

/// Apart, so that its key and that of `make` are not on the stack at the same time.
#[inline(never)]
fn find(flow: &Flow) -> Option<&'static mut EdgeCounters> {
    let mut key = EdgeKey::default();
    flow.write_key(maps::generation(), &mut key);
    maps::edge(&key)
}

#[inline(never)]
fn make(flow: &mut Flow, announce: bool) -> Option<&'static mut EdgeCounters> {
    let generation = maps::generation();
    // Only a flow that begins is folded: another has been counted on an edge of its own, in a
    // generation before, and ends there.
    let is_own = flow.flags & FOLDED == 0;
    if is_own && maps::take_quota(flow.own.cgroup, generation.into(), announce.into()) == 0 {
        count(Counter::Folded, 1);
        flow.flags |= FOLDED;
    }
    let mut key = EdgeKey::default();
    flow.write_key(generation, &mut key);
    insert(flow, &key, announce)
}

/// Puts a new edge into the map; a refusal is counted by its reason.
#[inline(never)]
fn insert(flow: &Flow, key: &EdgeKey, announce: bool) -> Option<&'static mut EdgeCounters> {
    if let Err(error) = maps::new_edge(key) {
        if key.flags & FOLDED == 0 {
            maps::return_quota(key.cgroup, key.generation.into());
        }
        match error {
            EEXIST => return maps::edge(key),
            E2BIG => count(Counter::EdgesFull, 1),
            EBUSY => count(Counter::EdgesBusy, 1),
            _ => count(Counter::EdgesOther, 1),
        }
    }
    let edge = maps::edge(key)?;
    let now = now_ns();
    edge.local = flow.local;
    edge.comm = flow.own.comm;
    edge.tgid = flow.own.tgid;
    edge.last_ns = now;
    // Last: the agent takes an edge without a beginning for one that is being made.
    edge.first_ns = now;
    if announce {
        emit::first_seen(key, flow, now);
    }
    Some(edge)
}

/// Counts a smoothed round-trip time. Each class has an instruction of its own: without CAP_PERFMON
/// the verifier refuses an address that depends on a value.
#[inline(never)]
fn sample(edge: &mut EdgeCounters, srtt: u32) {
    macro_rules! classes {
        ($($class:literal)*) => {
            $(if srtt < rtt_bound($class) {
                return maps::increment::<{ offset_of!(EdgeCounters, rtt) + 4 * $class }>(edge);
            })*
        };
    }
    if srtt != 0 {
        classes!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
        maps::increment::<{ offset_of!(EdgeCounters, rtt) + 4 * (RTT_BUCKETS - 1) }>(edge);
    }
}
