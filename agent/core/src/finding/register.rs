//! Findings over time: what is new, what is worse, and what is proven to be better.
//!
//! Silence never fixes. A finding is fixed only where *each* of its clients was seen to do better
//! after it was last seen to do worse, where none did worse since, for longer than it was ever
//! silent before, and where nothing was missed meanwhile: no loss, and no restart of the agent. After
//! such a gap all of it must be seen anew, for a day. So neither a monthly job nor an agent that was
//! killed fixes anything.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::expected::expected;
use super::listener::{Listener, who};
use super::proof::{Amount, NotProven, not_proven};
use super::rules::{self, Asked, Said, Surroundings, is_clear, is_sealed};
use super::sidecar::Proxies;
use super::{Finding, Kind, Report, Severity, State, fix};
use crate::graph::{Edge, Scope};
use crate::identity::{Confidence, Workload};
use crate::record::Evidence;

/// How many clients of a finding are kept.
pub const MOST_CLIENTS: usize = 64;

/// How many findings are kept unless somebody says otherwise. What is expected takes no more than
/// half of it.
pub const MOST_FINDINGS: usize = 10_000;

/// How many pairs of client and listener are remembered to have been encrypted.
const MOST_PAIRS: usize = 65_536;

/// How long a finding is new, or worse, and how long it may be silent.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How long what is fixed is kept for those who look.
const KEEP_FIXED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How many certificates a client's finding is about.
const MOST_SUBJECTS: usize = 8;

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
    entries: Vec<Entry>,
    pairs: BTreeMap<u64, Pair>,
}

/// One finding, and what its state follows from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    listener: Listener,
    kind: Kind,
    severity: Severity,
    server: Workload,
    protocol: String,
    scope: Scope,
    what: String,
    connections: u64,
    of: u64,
    confidence: Confidence,
    first_seen: Timestamp,
    last_seen: Timestamp,
    /// The longest time between two sightings that the agent watched.
    silence_seconds: i64,
    /// When something was last missed since it was seen.
    gap_at: Option<Timestamp>,
    worse_at: Option<Timestamp>,
    fixed_at: Option<Timestamp>,
    accepted: Option<Acceptance>,
    clients: BTreeMap<u64, Client>,
    clients_more: u64,
    /// What each edge said last. An agent that starts has seen nothing yet.
    #[serde(skip)]
    counts: BTreeMap<String, Counts>,
}

/// One client of a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Client {
    workload: Workload,
    /// On how many connections it did worse, and how many there were with them.
    bad: u64,
    of: u64,
    /// On how many it did better since.
    good: u64,
    /// Certificates that it saw and that were wrong.
    subjects: BTreeSet<String>,
    /// Whether it does worse at this moment.
    #[serde(skip)]
    is_bad: bool,
}

/// What was known of an edge at the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    bad: u64,
    good: u64,
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

/// Somebody answers for a finding as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Until then.
    pub until: Timestamp,
    /// As long as it is no worse.
    pub severity: Severity,
    /// Why.
    pub reason: String,
}

/// An edge and what it says about one kind.
struct Observation<'a> {
    edge: &'a Edge,
    said: Said,
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
            expected: Amount::default(),
            not_proven: NotProven::default(),
        }
    }

    /// Those that another agent has left. What there is no room for is counted.
    pub fn restore(kept: Kept, asked: Asked, capacity: usize) -> Self {
        let Kept { since, taken_at, covered, refused, entries, mut pairs } = kept;
        let beyond = entries.len().saturating_sub(capacity) as u64;
        let keyed = |entry: Entry| ((entry.listener, entry.kind), entry);
        while pairs.len() > MOST_PAIRS {
            pairs.pop_last();
        }
        Self {
            entries: entries.into_iter().take(capacity).map(keyed).collect(),
            pairs,
            covered,
            since,
            taken_at,
            refused: refused.saturating_add(beyond),
            ..Self::new(asked, capacity, since)
        }
    }

    /// What the next agent needs to go on.
    pub fn kept(&self) -> Kept {
        Kept {
            since: self.since,
            taken_at: self.taken_at,
            covered: self.covered,
            refused: self.refused,
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
        let said = |listener: &Listener, kind, edge: &Edge| {
            let was_sealed = self.was_sealed(listener, edge);
            let around = Surroundings { now, asked: self.asked, proxies: &proxies, was_sealed };
            rules::said(kind, edge, &around)
        };
        let mut observed: BTreeMap<_, Vec<Observation<'a>>> = BTreeMap::new();
        for edge in edges {
            let listener = Listener::of(edge);
            for kind in Kind::ALL {
                let is_bad = said(&listener, kind, edge).is_some_and(|said| said.bad > 0);
                if is_bad || self.entries.contains_key(&(listener, kind)) {
                    observed.entry((listener, kind)).or_default();
                }
            }
        }
        // What is better counts only where something is worse.
        for edge in edges {
            let listener = Listener::of(edge);
            for kind in Kind::ALL {
                let Some(all) = observed.get_mut(&(listener, kind)) else { continue };
                let one = said(&listener, kind, edge).map(|said| Observation { edge, said });
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
            let has_room = self.pairs.len() < MOST_PAIRS;
            match self.pairs.get_mut(&key) {
                Some(pair) => pair.last_sealed = pair.last_sealed.max(edge.last_seen),
                None if has_room => {
                    let was_clear = clear.contains(&key) || self.is_in_clear(&listener, edge);
                    let clear = if was_clear { Clear::Mixed } else { Clear::Never };
                    self.pairs.insert(key, Pair { last_sealed: edge.last_seen, clear });
                }
                // Whoever is not remembered is never said to be less safe than before.
                None => {}
            }
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

// === impl Entry ===

impl Entry {
    fn new((listener, kind): (Listener, Kind), observations: &[Observation<'_>]) -> Option<Self> {
        let bad = || observations.iter().filter(|one| one.said.bad > 0);
        let Observation { edge, said } = bad().min_by_key(|one| one.said.severity)?;
        let first_seen = bad().map(|one| one.edge.first_seen).min()?;
        Some(Self {
            listener,
            kind,
            severity: said.severity,
            server: edge.server.clone(),
            protocol: edge.protocol.to_string(),
            scope: edge.scope,
            what: said.what.to_string(),
            connections: 0,
            of: 0,
            confidence: edge.confidence,
            first_seen,
            last_seen: first_seen,
            silence_seconds: 0,
            gap_at: None,
            worse_at: None,
            fixed_at: None,
            accepted: None,
            clients: BTreeMap::new(),
            clients_more: 0,
            counts: BTreeMap::new(),
        })
    }

    fn id(&self) -> String {
        self.listener.id(self.kind)
    }

    /// Takes in what the edges of this listener say: first what is worse, then what is better,
    /// because who does both does worse.
    fn apply(&mut self, observations: &[Observation<'_>], now: Timestamp, watched: Timestamp) {
        self.clients.values_mut().for_each(|client| client.is_bad = false);
        let mut excess = BTreeSet::new();
        let mut seen_at = None;
        for one in observations.iter().filter(|one| one.said.bad > 0) {
            let before = self.counts.get(&one.edge.id).map_or(0, |counts| counts.bad);
            let more = one.said.bad.saturating_sub(before);
            if more == 0 && !one.said.is_live {
                continue;
            }
            let at = if one.said.is_live { now } else { one.edge.last_seen.min(now) };
            seen_at = seen_at.max(Some(at));
            self.worsen(one, more, &mut excess);
        }
        self.clients_more = self.clients_more.max(excess.len() as u64);
        if let Some(at) = seen_at {
            self.see(at, observations, now, watched);
        }
        observations.iter().filter(|one| one.said.good > 0).for_each(|one| self.improve(one));
        self.counts = observations
            .iter()
            .map(|one| {
                let Said { bad, good, .. } = one.said;
                (one.edge.id.clone(), Counts { bad, good })
            })
            .collect();
    }

    fn worsen(&mut self, one: &Observation<'_>, more: u64, excess: &mut BTreeSet<u64>) {
        let id = who(&one.edge.client);
        let has_room = self.clients.len() < MOST_CLIENTS;
        if !has_room && !self.clients.contains_key(&id) {
            excess.insert(id);
            return;
        }
        let client = self.clients.entry(id).or_insert_with(|| Client::new(&one.edge.client));
        client.is_bad = true;
        client.good = 0;
        client.bad = client.bad.saturating_add(more);
        client.of = client.of.max(client.bad).max(one.said.of);
        for subject in one.said.subjects.iter().take(MOST_SUBJECTS) {
            if client.subjects.len() < MOST_SUBJECTS {
                client.subjects.insert(subject.clone());
            }
        }
    }

    /// It was seen again at this time.
    fn see(
        &mut self,
        at: Timestamp,
        observations: &[Observation<'_>],
        now: Timestamp,
        watched: Timestamp,
    ) {
        let bad: Vec<&Observation<'_>> =
            observations.iter().filter(|one| one.said.bad > 0).collect();
        let Some(worst) = bad.iter().min_by_key(|one| one.said.severity) else { return };
        // What was fixed is back, whatever it was before.
        let is_back = self.fixed_at.take().is_some();
        if is_back || worst.said.severity < self.severity {
            (self.severity, self.worse_at) = (worst.said.severity, Some(now));
        }
        let silent = self.last_seen.max(watched).duration_until(at).as_secs();
        // Before it was seen for the first time nobody looked.
        if self.connections > 0 {
            self.silence_seconds = self.silence_seconds.max(silent);
        }
        self.last_seen = self.last_seen.max(at);
        self.gap_at = None;
        self.first_seen =
            bad.iter().map(|one| one.edge.first_seen).fold(self.first_seen, Timestamp::min);
        let sum = |value: fn(&Said) -> u64, all: &[&Observation<'_>]| {
            all.iter().map(|one| value(&one.said)).fold(0, u64::saturating_add)
        };
        let all: Vec<&Observation<'_>> = observations.iter().collect();
        self.connections = sum(|said| said.bad, &bad);
        self.of = sum(|said| said.of, &all).max(self.connections);
        self.server = worst.edge.server.clone();
        self.protocol = worst.edge.protocol.to_string();
        self.what = worst.said.what.to_string();
        self.scope = bad.iter().map(|one| one.edge.scope).max().unwrap_or(self.scope);
        self.confidence =
            bad.iter().map(|one| one.edge.confidence).min().unwrap_or(self.confidence);
    }

    /// What was missed may have been worse than anything that was seen.
    fn miss(&mut self, now: Timestamp) {
        self.clients.values_mut().for_each(|client| client.good = 0);
        self.gap_at = Some(now);
    }

    fn improve(&mut self, one: &Observation<'_>) {
        let before = self.counts.get(&one.edge.id).map_or(0, |counts| counts.good);
        let more = one.said.good.saturating_sub(before);
        let Some(client) = self.clients.get_mut(&who(&one.edge.client)) else { return };
        let is_about = |subject: &String| one.said.subjects.contains(subject);
        if !client.is_bad && client.subjects.iter().all(is_about) {
            client.good = client.good.saturating_add(more);
        }
    }

    /// Fixed where every client was seen to do better, for longer than it was ever silent.
    fn settle(&mut self, now: Timestamp) {
        let is_long = self.last_seen.duration_until(now).as_secs() > self.silence_seconds
            && self.gap_at.is_none_or(|at| at.duration_until(now) >= DAY);
        let is_better = |client: &Client| client.is_better(self.kind);
        let all = !self.clients.is_empty() && self.clients.values().all(is_better);
        if self.fixed_at.is_none() && self.clients_more == 0 && is_long && all {
            self.fixed_at = Some(now);
        }
    }

    /// Whether nobody needs it any more.
    fn is_over(&self, now: Timestamp) -> bool {
        let is_fixed = self.fixed_at.is_some_and(|at| at.duration_until(now) > KEEP_FIXED);
        let is_silent = self.last_seen.duration_until(now) > DAY;
        is_fixed || is_silent && self.severity == Severity::Info
    }

    fn state(&self, now: Timestamp) -> State {
        let within_a_day = |at: Timestamp| at.duration_until(now) < DAY;
        let is_accepted =
            |accepted: &Acceptance| accepted.until > now && self.severity >= accepted.severity;
        if self.fixed_at.is_some() {
            State::Fixed
        } else if self.accepted.as_ref().is_some_and(is_accepted) {
            State::Accepted
        } else if !within_a_day(self.last_seen) {
            State::Quiet
        } else if self.worse_at.is_some_and(within_a_day) {
            State::Worse
        } else if within_a_day(self.first_seen) {
            State::New
        } else {
            State::Open
        }
    }

    fn finding(&self, now: Timestamp) -> Finding {
        let mut clients: Vec<Workload> =
            self.clients.values().map(|client| client.workload.clone()).collect();
        clients.sort_unstable();
        let (connections, of) = (self.connections, self.of);
        Finding {
            id: self.id(),
            kind: self.kind,
            severity: self.severity,
            state: self.state(now),
            server: self.server.clone(),
            server_port: self.listener.port,
            transport: self.listener.transport,
            protocol: self.protocol.clone(),
            scope: self.scope,
            clients,
            clients_more: self.clients_more,
            evidence: Evidence { what: Cow::Owned(self.what.clone()), connections, of },
            confidence: self.confidence,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            connections,
            of,
            fix: fix::sentences(self.kind, &self.protocol, &self.server.name),
            owner: self.server.owner.clone(),
            rule: None,
        }
    }
}

// === impl Client ===

impl Client {
    fn new(workload: &Workload) -> Self {
        let workload = workload.clone();
        Self { workload, bad: 0, of: 0, good: 0, subjects: BTreeSet::new(), is_bad: false }
    }

    /// Of connections each one is judged, so that one that is better will do. Of handshakes only
    /// some are read: there must be three times as many as would have shown one that is worse.
    fn is_better(&self, kind: Kind) -> bool {
        let needed = match kind {
            Kind::WeakTls | Kind::OneWayTls => self.of.saturating_mul(3) / self.bad.max(1),
            _ => 1,
        };
        !self.is_bad && self.good >= needed.max(1)
    }
}
