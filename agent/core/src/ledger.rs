//! What edges held in generations that are over, added to what they hold now.
//!
//! The kernel's edges are taken out a generation at a time, so that the map does not fill with
//! those nobody uses any more. Whoever looks at an edge sees one that only grows.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use plainsight_ebpf::abi::edge::{EdgeCounters, EdgeKey};

use crate::flow::{Half, Held};

/// Edges of generations that are over.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    kept: BTreeMap<EdgeKey, EdgeCounters>,
    /// What left the ledger too.
    gone: Held,
}

// === impl Ledger ===

impl Ledger {
    /// Takes in an edge that was taken out of the kernel.
    pub fn keep(&mut self, half: &Half) {
        let kept = self.kept.entry(timeless(&half.key)).or_default();
        merge(kept, &half.counters);
    }

    /// Takes in an edge that nobody looks at: it only stays in the balance.
    pub fn let_go(&mut self, half: &Half) {
        self.gone.add(&half.counters);
    }

    /// Lets go of edges without open connections on which nothing was counted since `before_ns`
    /// on the boot-time clock, unless they are in use.
    pub fn forget(&mut self, before_ns: u64) {
        let Self { kept, gone } = self;
        kept.retain(|_, counters| {
            let stays = counters.last_ns >= before_ns || is_open(counters);
            if !stays {
                gone.add(counters);
            }
            stays
        });
    }

    /// How many edges it holds.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Sums over all that the kernel's edges ever held, given those of now.
    pub fn held(&self, now: &[Half]) -> Held {
        let mut held = self.gone;
        self.kept.values().for_each(|counters| held.add(counters));
        now.iter().for_each(|half| held.add(&half.counters));
        held
    }

    /// Every edge once: what it holds now and what it held before.
    pub fn with(&self, now: &[Half]) -> Vec<Half> {
        if self.kept.is_empty() {
            return now.iter().map(|half| Half { key: timeless(&half.key), ..*half }).collect();
        }
        let mut all = self.kept.clone();
        for half in now {
            merge(all.entry(timeless(&half.key)).or_default(), &half.counters);
        }
        all.into_iter().map(|(key, counters)| Half { key, counters }).collect()
    }
}

/// The key without the generation, which is the kernel half's own.
pub const fn timeless(key: &EdgeKey) -> EdgeKey {
    EdgeKey { generation: 0, ..*key }
}

/// Whether a connection that was counted on this edge goes on.
pub const fn is_open(counters: &EdgeCounters) -> bool {
    // A connection may have begun in one generation and ended in another, so neither of the
    // two says it alone; the sum of all generations does.
    counters.opened.wrapping_sub(counters.moved).wrapping_sub(counters.closed) != 0
}

/// Adds up what two generations counted. Who was there first describes the edge.
fn merge(sum: &mut EdgeCounters, more: &EdgeCounters) {
    let is_earlier = more.first_ns != 0 && (sum.first_ns == 0 || more.first_ns < sum.first_ns);
    if is_earlier {
        (sum.first_ns, sum.local, sum.comm, sum.tgid) =
            (more.first_ns, more.local, more.comm, more.tgid);
    }
    sum.last_ns = sum.last_ns.max(more.last_ns);
    for (sum, more) in [
        (&mut sum.opened, more.opened),
        (&mut sum.moved, more.moved),
        (&mut sum.closed, more.closed),
        (&mut sum.resets, more.resets),
        (&mut sum.sent_bytes, more.sent_bytes),
        (&mut sum.received_bytes, more.received_bytes),
        (&mut sum.sent_datagrams, more.sent_datagrams),
        (&mut sum.received_datagrams, more.received_datagrams),
        (&mut sum.refused, more.refused),
        (&mut sum.timed_out, more.timed_out),
        (&mut sum.aborted, more.aborted),
    ] {
        *sum = sum.wrapping_add(more);
    }
    for (sum, more) in sum.rtt.iter_mut().zip(more.rtt) {
        *sum = sum.wrapping_add(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(port: u16, generation: u16, counters: EdgeCounters) -> Half {
        Half { key: EdgeKey { port, generation, ..EdgeKey::default() }, counters }
    }

    fn counters(opened: u64, closed: u64, first_ns: u64, last_ns: u64) -> EdgeCounters {
        EdgeCounters { opened, closed, first_ns, last_ns, ..EdgeCounters::default() }
    }

    #[test]
    fn generations_add_up() {
        let mut ledger = Ledger::default();
        ledger.keep(&half(80, 1, counters(3, 1, 10, 20)));
        ledger.keep(&half(80, 2, counters(0, 1, 30, 40)));
        let all =
            ledger.with(&[half(80, 3, counters(2, 3, 50, 60)), half(81, 3, counters(1, 0, 5, 6))]);
        let expect = [half(80, 0, counters(5, 5, 10, 60)), half(81, 0, counters(1, 0, 5, 6))];
        assert_eq!(all, expect);
        assert_eq!(ledger.held(&[]).opened, 3);
    }

    #[test]
    fn who_was_there_first_describes_the_edge() {
        let of = |first_ns, tgid| EdgeCounters { first_ns, tgid, ..EdgeCounters::default() };
        let mut ledger = Ledger::default();
        ledger.keep(&half(80, 2, of(30, 7)));
        ledger.keep(&half(80, 1, of(10, 5)));
        ledger.keep(&half(80, 3, of(0, 9)));
        assert_eq!(ledger.with(&[])[0].counters.tgid, 5);
    }

    #[test]
    fn what_is_idle_leaves_and_stays_in_the_balance() {
        let mut ledger = Ledger::default();
        ledger.keep(&half(80, 1, counters(3, 3, 10, 20)));
        ledger.keep(&half(81, 1, counters(3, 2, 10, 20)));
        ledger.keep(&half(82, 1, counters(3, 3, 10, 30)));
        ledger.forget(30);
        let ports: Vec<u16> = ledger.with(&[]).iter().map(|half| half.key.port).collect();
        assert_eq!(ports, [81, 82], "open ones and recent ones stay");
        assert_eq!(ledger.held(&[]).opened, 9);
    }
}
