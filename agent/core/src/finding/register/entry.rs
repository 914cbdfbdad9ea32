//! One finding, and what its state follows from.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::MOST_CLIENTS;
use crate::finding::listener::{Listener, who};
use crate::finding::rules::Said;
use crate::finding::{Finding, Kind, Severity, State, fix};
use crate::graph::{Edge, Link, Scope};
use crate::identity::{Confidence, Workload};
use crate::record::Evidence;

/// One finding, and what its state follows from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) listener: Listener,
    pub(super) kind: Kind,
    pub(super) severity: Severity,
    server: Workload,
    protocol: String,
    scope: Scope,
    /// The weakest of its hops' links.
    #[serde(default)]
    link: Link,
    /// The worst since it was last fixed, had all links been in the clear.
    #[serde(default)]
    base: Option<Severity>,
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
    pub(super) accepted: Option<Acceptance>,
    pub(super) clients: BTreeMap<u64, Client>,
    pub(super) clients_more: u64,
    /// What each edge said last. An agent that starts has seen nothing yet.
    #[serde(skip)]
    pub(super) counts: BTreeMap<String, Counts>,
}

/// One client of a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Client {
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
pub(super) struct Counts {
    bad: u64,
    good: u64,
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
pub(super) struct Observation<'a> {
    pub(super) edge: &'a Edge,
    pub(super) said: Said,
}

/// How long a finding is new, or worse, and how long it may be silent.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How long what is fixed is kept for those who look.
const KEEP_FIXED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How many certificates a client's finding is about.
const MOST_SUBJECTS: usize = 8;

// === impl Entry ===

impl Entry {
    pub(super) fn new(
        (listener, kind): (Listener, Kind),
        observations: &[Observation<'_>],
    ) -> Option<Self> {
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
            link: edge.link,
            base: None,
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

    pub(super) fn id(&self) -> String {
        self.listener.id(self.kind)
    }

    /// Takes in what the edges of this listener say: first what is worse, then what is better,
    /// because who does both does worse.
    pub(super) fn apply(
        &mut self,
        observations: &[Observation<'_>],
        now: Timestamp,
        watched: Timestamp,
    ) {
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
        self.ease(observations);
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
        let base = bad.iter().map(|one| one.said.base).min();
        self.base = if is_back { base } else { self.base.into_iter().chain(base).min() };
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
        self.link = bad.iter().map(|one| one.edge.link).min().unwrap_or(self.link);
        self.confidence =
            bad.iter().map(|one| one.edge.confidence).min().unwrap_or(self.confidence);
    }

    /// It is less severe where all that is known of it is as bad as ever but for its links: what
    /// those are is told later than a hop, or declared by somebody when it is known already.
    fn ease(&mut self, observations: &[Observation<'_>]) {
        let bad: Vec<&Observation<'_>> =
            observations.iter().filter(|one| one.said.bad > 0).collect();
        let Some(worst) = bad.iter().min_by_key(|one| one.said.severity) else { return };
        let here: BTreeSet<u64> = bad.iter().map(|one| who(&one.edge.client)).collect();
        let is_all = self.clients_more == 0 && self.clients.keys().all(|id| here.contains(id));
        let is_as_bad = bad.iter().map(|one| one.said.base).min() <= self.base;
        if self.fixed_at.is_none()
            && is_all
            && is_as_bad
            && self.base.is_some()
            && worst.said.severity > self.severity
        {
            self.severity = worst.said.severity;
            self.what = worst.said.what.to_string();
            self.link = bad.iter().map(|one| one.edge.link).min().unwrap_or(self.link);
        }
    }

    /// What was missed may have been worse than anything that was seen.
    pub(super) fn miss(&mut self, now: Timestamp) {
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
    pub(super) fn settle(&mut self, now: Timestamp) {
        let is_long = self.last_seen.duration_until(now).as_secs() > self.silence_seconds
            && self.gap_at.is_none_or(|at| at.duration_until(now) >= DAY);
        let is_better = |client: &Client| client.is_better(self.kind);
        let all = !self.clients.is_empty() && self.clients.values().all(is_better);
        if self.fixed_at.is_none() && self.clients_more == 0 && is_long && all {
            self.fixed_at = Some(now);
        }
    }

    /// Whether nobody needs it any more.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
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

    pub(super) fn finding(&self, now: Timestamp) -> Finding {
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
            link: self.link,
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
