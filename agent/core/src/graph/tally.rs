//! Counting, as the client sees it, and which class a count belongs to.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::credentials::Credentials;
use plainsight_ebpf::wire::stage::Stage;

use super::rtt::Samples;
use crate::flow::{Half, Reporter};
use crate::protocol::{Class, Transport};

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) connections: u64,
    pub(super) open: u64,
    pub(super) refused: u64,
    pub(super) timed_out: u64,
    pub(super) aborted: u64,
    /// From client to server.
    pub(super) sent_bytes: u64,
    /// From server to client.
    pub(super) received_bytes: u64,
    /// From client to server.
    pub(super) sent_datagrams: u64,
    /// From server to client.
    pub(super) received_datagrams: u64,
    /// Round-trip times. They are no count of what went over the edge, but go with it.
    pub(super) rtt: Samples,
    /// Boot-time clock; the greatest there is while nothing is known.
    pub(super) first_ns: u64,
    /// Boot-time clock.
    pub(super) last_ns: u64,
}

/// What was counted of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Classified {
    pub(super) all: Tally,
    /// Connections that have shown no class and are taken to be of this one; part of `all`.
    pub(super) pending: u64,
    pub(super) class: Class,
    /// How some of them authenticated in the clear.
    pub(super) credentials: Option<Credentials>,
}

/// What was counted, by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Classes(BTreeMap<Class, Tally>);

/// How many counts of a [`Tally`] say what went over an edge.
const COUNTS: usize = 9;

// === impl Tally ===

impl Tally {
    const NONE: Self = Self {
        connections: 0,
        open: 0,
        refused: 0,
        timed_out: 0,
        aborted: 0,
        sent_bytes: 0,
        received_bytes: 0,
        sent_datagrams: 0,
        received_datagrams: 0,
        rtt: Samples::NONE,
        first_ns: u64::MAX,
        last_ns: 0,
    };

    /// A half's counts, mirrored where the server reports.
    pub(super) fn new(half: &Half) -> Self {
        let c = &half.counters;
        let as_client = Self {
            connections: half.connections(),
            open: half.open(),
            refused: c.refused,
            timed_out: c.timed_out,
            aborted: c.aborted,
            sent_bytes: c.sent_bytes,
            received_bytes: c.received_bytes,
            sent_datagrams: c.sent_datagrams,
            received_datagrams: c.received_datagrams,
            rtt: Samples::new(&c.rtt),
            // One without a beginning is being made.
            first_ns: if c.first_ns == 0 { u64::MAX } else { c.first_ns },
            last_ns: c.last_ns,
        };
        match half.reporter() {
            Reporter::Client => as_client,
            Reporter::Server => as_client.mirrored(),
        }
    }

    const fn mirrored(self) -> Self {
        Self {
            sent_bytes: self.received_bytes,
            received_bytes: self.sent_bytes,
            sent_datagrams: self.received_datagrams,
            received_datagrams: self.sent_datagrams,
            ..self
        }
    }

    pub(super) const fn failures(&self) -> u64 {
        self.refused.saturating_add(self.timed_out).saturating_add(self.aborted)
    }

    fn is_empty(&self) -> bool {
        self.counts() == [0; COUNTS]
    }

    /// Whether a client did more here than leave bytes behind: over UDP there are no connections,
    /// and each datagram is a sign of its own.
    const fn is_sign(&self) -> bool {
        self.connections != 0 || self.failures() != 0 || self.sent_datagrams != 0
    }

    fn add(&mut self, other: &Self) {
        self.each(other, |count, more| *count = count.saturating_add(more));
        self.rtt.add(&other.rtt);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }

    /// Takes out what `wanted` counted, as far as it is there. Nothing is made and nothing is lost,
    /// and neither what is taken nor what stays has more open connections than connections.
    fn take(&mut self, wanted: &Self) -> Self {
        let mut taken = *wanted;
        taken.each(self, |count, there| *count = there.min(*count));
        let staying = self.connections.saturating_sub(taken.connections);
        let open_at_least = self.open.saturating_sub(staying);
        taken.open = taken.open.max(open_at_least).min(taken.connections);
        self.each(&taken, |count, less| *count = count.saturating_sub(less));
        // Samples alone are no share: there would be an edge on which nothing was counted.
        taken.rtt = match taken.is_empty() {
            true => Samples::NONE,
            false => self.rtt.take(&wanted.rtt),
        };
        taken
    }

    fn each(&mut self, other: &Self, change: impl Fn(&mut u64, u64)) {
        let counts = [
            &mut self.connections,
            &mut self.open,
            &mut self.refused,
            &mut self.timed_out,
            &mut self.aborted,
            &mut self.sent_bytes,
            &mut self.received_bytes,
            &mut self.sent_datagrams,
            &mut self.received_datagrams,
        ];
        for (count, other) in counts.into_iter().zip(other.counts()) {
            change(count, other);
        }
    }

    const fn counts(&self) -> [u64; COUNTS] {
        [
            self.connections,
            self.open,
            self.refused,
            self.timed_out,
            self.aborted,
            self.sent_bytes,
            self.received_bytes,
            self.sent_datagrams,
            self.received_datagrams,
        ]
    }
}

// === impl Classified ===

impl Classified {
    fn new(class: Class, tally: &Tally) -> Self {
        let pending = if class.is_pending() { tally.connections } else { 0 };
        let credentials = Credentials::new(class.secret, tally.connections);
        Self { all: *tally, pending, class, credentials }
    }

    /// Adds up what reads alike; the class that tells more is named.
    pub(super) fn add(&mut self, other: &Self) {
        self.absorb(other);
        self.class = self.class.max(other.class);
    }

    /// Adds what is taken to be of this class.
    fn absorb(&mut self, other: &Self) {
        self.all.add(&other.all);
        self.pending = self.pending.saturating_add(other.pending);
        self.credentials = Credentials::worst(self.credentials.take(), other.credentials.clone());
    }
}

// === impl Classes ===

impl Classes {
    pub(super) fn add(&mut self, half: &Half) {
        self.insert(Class::of(&half.key), Tally::new(half));
    }

    /// Whether there is more than bytes that connections, and answers that datagrams, left behind.
    pub(super) fn is_sign(&self) -> bool {
        self.0.values().any(Tally::is_sign)
    }

    /// Connections, and over UDP the client's datagrams.
    pub(super) fn weight(&self) -> u64 {
        let weight = |tally: &Tally| tally.connections.saturating_add(tally.sent_datagrams);
        self.0.values().map(weight).fold(0, u64::saturating_add)
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (class, tally) in other.0 {
            self.insert(class, tally);
        }
    }

    fn insert(&mut self, class: Class, tally: Tally) {
        self.0.entry(class).and_modify(|sum| sum.add(&tally)).or_insert(tally);
    }

    /// Takes out what `wanted` counted, class by class, as far as it is there.
    pub(super) fn take(&mut self, wanted: &Self) -> Self {
        let share = |(class, tally): (&Class, &Tally)| {
            let taken = self.0.get_mut(class)?.take(tally);
            (!taken.is_empty()).then_some((*class, taken))
        };
        Self(wanted.0.iter().filter_map(share).collect())
    }

    /// Adds to what was `taken` for `wanted` what is still missing, of whatever class there is.
    pub(super) fn take_of_any(&mut self, wanted: &Self, taken: &mut Self) {
        let mut missing = wanted.sum();
        let sum = taken.sum();
        missing.each(&sum, |count, less| *count = count.saturating_sub(less));
        missing.rtt.remove(&sum.rtt);
        for (class, tally) in &mut self.0 {
            let part = tally.take(&missing);
            if !part.is_empty() {
                missing.each(&part, |count, less| *count = count.saturating_sub(less));
                missing.rtt.remove(&part.rtt);
                taken.insert(*class, part);
            }
        }
    }

    fn sum(&self) -> Tally {
        let mut sum = Tally::NONE;
        self.0.values().for_each(|tally| sum.add(tally));
        sum
    }

    /// Decides which class each count belongs to, and leaves out what counts nothing.
    ///
    /// Connections change their class as they show more, and what they had counted before stays
    /// behind. What has no connections of its own any more follows them. What is still pending
    /// is of the only class there is.
    ///
    /// A conversation over UDP has its protocol from its first datagram and keeps it: there what is
    /// counted stays where it is, but that handshakes belong to what they led to.
    pub(super) fn settle(&self, transport: Transport) -> Vec<Classified> {
        let new = |(class, tally): (&Class, &Tally)| Classified::new(*class, tally);
        let (mut settled, loose): (Vec<_>, Vec<_>) = self
            .0
            .iter()
            .map(new)
            .partition(|part| !part.class.is_pending() && part.all.connections > 0);
        if transport == Transport::Udp {
            settled.extend(loose.into_iter().filter(|part| !part.all.is_empty()));
            return follow_handshakes(settled);
        }
        let is_only = settled.len() == 1;
        for part in loose {
            let is_left_behind = part.all.connections == 0 && part.all.failures() == 0;
            match heir(&mut settled, part.class) {
                Some(heir) if is_only || is_left_behind => heir.absorb(&part),
                _ if part.all.is_empty() => {}
                _ => settled.push(part),
            }
        }
        settled
    }
}

/// Over UDP the datagrams of a handshake are counted before what it leads to is.
fn follow_handshakes(parts: Vec<Classified>) -> Vec<Classified> {
    let is_step = |part: &Classified| matches!(part.class.stage, Stage::Offered | Stage::Handshake);
    let (steps, mut parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_step);
    for step in steps {
        let is_same = |part: &&mut Classified| {
            part.class.protocol == step.class.protocol && part.class.stage == Stage::Encrypted
        };
        match parts.iter_mut().find(is_same) {
            Some(part) => part.absorb(&step),
            None => parts.push(step),
        }
    }
    parts
}

/// The class that connections have most likely gone to: the same protocol, else the most common.
fn heir(settled: &mut [Classified], from: Class) -> Option<&mut Classified> {
    let likely = |part: &&mut Classified| {
        let is_same = part.class.protocol == from.protocol;
        (is_same, part.all.connections, Reverse(part.class))
    };
    settled.iter_mut().max_by_key(likely)
}

#[cfg(test)]
mod tests;
