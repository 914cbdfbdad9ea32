//! Findings over time: what is new, what is worse, and what is proven to be better.
//!
//! Silence never fixes. A finding is fixed only where *each* of its clients was seen to do better
//! after it was last seen to do worse, where none did worse since, for longer than it was ever
//! silent before, and where nothing was missed meanwhile: no loss, and no restart of the agent. After
//! such a gap all of it must be seen anew, for a day. So neither a monthly job nor an agent that was
//! killed fixes anything.

mod entry;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::expected::expected;
use super::listener::{Listener, who};
use super::proof::{Amount, NotProven, not_proven};
use super::rules::{self, Asked, Said, Surroundings, is_clear, is_sealed};
use super::sidecar::Proxies;
use super::{Finding, Kind, Report, Severity, State};
use crate::graph::Edge;
use crate::identity::{self, Workload};
pub use entry::Acceptance;
use entry::{Entry, Observation};

/// How many clients of a finding are kept.
pub const MOST_CLIENTS: usize = 64;

/// How many findings are kept unless somebody says otherwise. What is expected takes no more than
/// half of it.
pub const MOST_FINDINGS: usize = 10_000;

/// How many pairs of client and listener are remembered to have been encrypted, for each finding
/// that there is room for.
const PAIRS: usize = 6;

/// Since when, and with which losses, the edges are all there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// When the agent that saw them began to watch.
    pub since: Timestamp,
    /// How much it has lost so far of what would be on an edge.
    pub lost: u64,
}

/// The findings that are known.
#[derive(Clone, Debug)]
pub struct Findings {
    asked: Asked,
    capacity: usize,
    entries: BTreeMap<(Listener, Kind), Entry>,
    pairs: BTreeMap<u64, Pair>,
    covered: Option<Coverage>,
    since: Timestamp,
    taken_at: Timestamp,
    refused: u64,
    forgotten: u64,
    expected: Amount,
    not_proven: NotProven,
}

/// What of them outlives the agent: its shape is that of the state file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    since: Timestamp,
    taken_at: Timestamp,
    covered: Option<Coverage>,
    refused: u64,
    /// Pairs that were remembered, and are not any more.
    forgotten: u64,
    entries: Vec<Entry>,
    pairs: BTreeMap<u64, Pair>,
}

/// A client and a listener that were seen encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pair {
    last_sealed: Timestamp,
    clear: Clear,
}

/// Whether a client that was seen encrypted was also seen in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Clear {
    Never,
    /// It does both, or began in the clear.
    Mixed,
    /// Only after it had been encrypted.
    After,
}

// === impl Findings ===

impl Findings {
    /// None yet, with room for so many.
    pub fn new(asked: Asked, capacity: usize, now: Timestamp) -> Self {
        Self {
            asked,
            capacity,
            entries: BTreeMap::new(),
            pairs: BTreeMap::new(),
            covered: None,
            since: now,
            taken_at: now,
            refused: 0,
            forgotten: 0,
            expected: Amount::default(),
            not_proven: NotProven::default(),
        }
    }

    /// Those that another agent has left. What there is no room for is counted.
    pub fn restore(kept: Kept, asked: Asked, capacity: usize) -> Self {
        let Kept { since, taken_at, covered, refused, entries, pairs, forgotten } = kept;
        let beyond = entries.len().saturating_sub(capacity) as u64;
        let keyed = |entry: Entry| ((entry.listener, entry.kind), entry);
        let mut restored = Self {
            entries: entries.into_iter().take(capacity).map(keyed).collect(),
            pairs,
            covered,
            since,
            taken_at,
            refused: refused.saturating_add(beyond),
            forgotten,
            ..Self::new(asked, capacity, since)
        };
        restored.make_room();
        restored
    }

    /// What the next agent needs to go on.
    pub fn kept(&self) -> Kept {
        Kept {
            since: self.since,
            taken_at: self.taken_at,
            covered: self.covered,
            refused: self.refused,
            forgotten: self.forgotten,
            entries: self.entries.values().cloned().collect(),
            pairs: self.pairs.clone(),
        }
    }

    /// Takes in a map. The order of its edges makes no difference, and the same map twice is the
    /// same as once. Maps are given in the order in which they were taken.
    pub fn update(&mut self, edges: &[Edge], now: Timestamp, coverage: &Coverage) {
        let mut ordered: Vec<&Edge> = edges.iter().collect();
        ordered.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let is_gap = self.covered.is_some_and(|last| last != *coverage);
        if self.covered.is_none_or(|last| last.since != coverage.since) {
            self.entries.values_mut().for_each(|entry| entry.counts.clear());
        }
        let observed = self.observe(&ordered, now);
        self.remember(&ordered);
        self.make_room();
        self.refused = 0;
        for (key, observations) in observed {
            self.apply(key, &observations, now, coverage.since);
        }
        if is_gap {
            self.entries.values_mut().for_each(|entry| entry.miss(now));
        }
        self.entries.values_mut().for_each(|entry| entry.settle(now));
        self.entries.retain(|_, entry| !entry.is_over(now));
        let mut expected_amount = Amount::default();
        let clear = ordered.iter().filter(|edge| is_clear(edge) && expected(edge).is_some());
        clear.for_each(|edge| expected_amount.add(edge));
        self.expected = expected_amount;
        self.not_proven = not_proven(ordered.iter().copied(), coverage.lost);
        (self.covered, self.taken_at) = (Some(*coverage), now);
    }

    /// Somebody answers for a finding. False where there is none with this id.
    pub fn accept(&mut self, id: &str, acceptance: Acceptance) -> bool {
        let found = self.entries.values_mut().find(|entry| entry.id() == id);
        found.map(|entry| entry.accepted = Some(acceptance)).is_some()
    }

    /// All of them, as of the last map.
    pub fn report(&self) -> Report {
        let mut findings: Vec<Finding> =
            self.entries.values().map(|entry| entry.finding(self.taken_at)).collect();
        findings.sort_by(|a, b| (a.state, a.severity, &a.id).cmp(&(b.state, b.severity, &b.id)));
        let mut counts: BTreeMap<State, u64> = State::ALL.map(|state| (state, 0)).into();
        for finding in findings.iter().filter(|finding| finding.severity < Severity::Info) {
            *counts.entry(finding.state).or_default() += 1;
        }
        Report {
            findings,
            counts,
            expected_plaintext: self.expected,
            not_proven: self.not_proven.clone(),
            refused: self.refused,
            forgotten: self.forgotten,
            since: self.since,
            taken_at: self.taken_at,
        }
    }

    /// What the edges say, by finding: of findings that there are, and of those that there will be.
    fn observe<'a>(
        &self,
        edges: &[&'a Edge],
        now: Timestamp,
    ) -> BTreeMap<(Listener, Kind), Vec<Observation<'a>>> {
        let proxies = Proxies::among(edges);
        let folded = folded(edges);
        let said = |listener: &Listener, kind, edge: &Edge| {
            let was_sealed = self.was_sealed(listener, edge);
            let around = Surroundings { now, asked: self.asked, proxies: &proxies, was_sealed };
            let said = rules::said(kind, edge, &around)?;
            let ends = [&edge.client, &edge.server];
            let is_unsure = ends.iter().any(|end| is_many(end) || folded.contains(&who(end)));
            let good = if is_unsure { 0 } else { said.good };
            Some(Said { good, ..said })
        };
        let listeners: Vec<Listener> = edges.iter().map(|edge| Listener::of(edge)).collect();
        let mut observed: BTreeMap<_, Vec<Observation<'a>>> = BTreeMap::new();
        for (edge, listener) in edges.iter().zip(&listeners) {
            for kind in Kind::ALL {
                let key = (*listener, kind);
                if self.entries.contains_key(&key)
                    || said(listener, kind, edge).is_some_and(|said| said.bad > 0)
                {
                    observed.entry(key).or_default();
                }
            }
        }
        // What is better counts only where something is worse.
        for (edge, listener) in edges.iter().zip(&listeners) {
            for kind in Kind::ALL {
                let Some(all) = observed.get_mut(&(*listener, kind)) else { continue };
                let one = said(listener, kind, edge).map(|said| Observation { edge, said });
                all.extend(one);
            }
        }
        observed
    }

    /// Whether an edge in the clear is one that was encrypted before.
    fn was_sealed(&self, listener: &Listener, edge: &Edge) -> bool {
        if !is_clear(edge) {
            return false;
        }
        match self.pairs.get(&listener.with(&edge.client)) {
            Some(Pair { clear: Clear::After, .. }) => true,
            Some(Pair { clear: Clear::Never, last_sealed }) => {
                edge.first_seen > *last_sealed && !edge.joined_late
            }
            Some(Pair { clear: Clear::Mixed, .. }) | None => false,
        }
    }

    /// Which clients are encrypted, and which of those were not always.
    fn remember(&mut self, edges: &[&Edge]) {
        for edge in edges.iter().filter(|edge| is_clear(edge)) {
            let pair = Listener::of(edge).with(&edge.client);
            if let Some(pair) = self.pairs.get_mut(&pair).filter(|pair| pair.clear == Clear::Never)
            {
                let is_after = edge.first_seen > pair.last_sealed && !edge.joined_late;
                pair.clear = if is_after { Clear::After } else { Clear::Mixed };
            }
        }
        let clear: BTreeSet<u64> = edges
            .iter()
            .filter(|edge| is_clear(edge))
            .map(|edge| Listener::of(edge).with(&edge.client))
            .collect();
        for edge in edges.iter().filter(|edge| is_sealed(edge)) {
            let listener = Listener::of(edge);
            let key = listener.with(&edge.client);
            match self.pairs.get_mut(&key) {
                Some(pair) => pair.last_sealed = pair.last_sealed.max(edge.last_seen),
                None => {
                    let was_clear = clear.contains(&key) || self.is_in_clear(&listener, edge);
                    let clear = if was_clear { Clear::Mixed } else { Clear::Never };
                    self.pairs.insert(key, Pair { last_sealed: edge.last_seen, clear });
                }
            }
        }
    }

    /// Forgets a quarter of the pairs where there are too many, those first that were encrypted
    /// longest ago. Who is not remembered is never said to be less safe than before.
    fn make_room(&mut self) {
        let most = self.capacity.saturating_mul(PAIRS);
        if self.pairs.len() <= most {
            return;
        }
        let excess = self.pairs.len().saturating_sub(most / 4 * 3);
        let mut oldest: Vec<(Timestamp, u64)> =
            self.pairs.iter().map(|(key, pair)| (pair.last_sealed, *key)).collect();
        oldest.sort_unstable();
        for (_, key) in oldest.into_iter().take(excess) {
            self.pairs.remove(&key);
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    fn is_in_clear(&self, listener: &Listener, edge: &Edge) -> bool {
        let entry = self.entries.get(&(*listener, Kind::PlaintextHop));
        entry.is_some_and(|entry| {
            entry.clients_more > 0 || entry.clients.contains_key(&who(&edge.client))
        })
    }

    fn apply(
        &mut self,
        key: (Listener, Kind),
        observations: &[Observation<'_>],
        now: Timestamp,
        watched_since: Timestamp,
    ) {
        let has_room = self.has_room(observations);
        if !self.entries.contains_key(&key) {
            let Some(entry) = Entry::new(key, observations).filter(|_| has_room) else {
                self.refused = self.refused.saturating_add(1);
                return;
            };
            self.entries.insert(key, entry);
        }
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.apply(observations, now, watched_since);
        }
    }

    fn has_room(&self, observations: &[Observation<'_>]) -> bool {
        let is_expected = observations.iter().all(|one| one.said.severity == Severity::Info);
        self.entries.len() < if is_expected { self.capacity / 2 } else { self.capacity }
    }
}

/// Whether it is several ends at once: that one of them is better says nothing of the others.
fn is_many(workload: &Workload) -> bool {
    workload.kind == identity::Kind::Group
}

/// Ends of which some edges stand for many others: those may have been anything.
fn folded(edges: &[&Edge]) -> BTreeSet<u64> {
    let known = |edge: &&Edge| match (edge.client.is_folded(), edge.server.is_folded()) {
        (false, true) => Some(who(&edge.client)),
        (true, false) => Some(who(&edge.server)),
        _ => None,
    };
    edges.iter().filter_map(known).collect()
}
