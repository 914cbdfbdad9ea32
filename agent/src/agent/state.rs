//! All that the agent knows, behind one lock: the loop adds to it, answers are made from it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use jiff::Timestamp;
use plainsight_core::{
    flow::{
        self, Clock, Endpoint, Half, Held, Reporter, Totals,
        handshakes::{Handshakes, Read},
        link::{self, Declaration, Observed, Way},
    },
    graph,
    identity::{
        self, Directory, Rules,
        explain::{Explanation, Subject},
    },
    ledger::Ledger,
    protocol::{Class, Transport},
    record::{self, Record},
};
use plainsight_ebpf::abi::{
    config::FILTER_SLOTS,
    counters::Counter,
    edge::{FOLDED, LATE},
    event::{Connection, FirstSeen},
};

use super::{
    canary::Canary,
    follow::{Follower, Lines},
    leaves::Leaves,
    links::Links,
    retire::Retirement,
    rules::Reloads,
    servers::Servers,
};
use crate::{
    discover::{
        names::{Names, Outcomes, Sighting},
        older::{Offer, Search},
        process,
    },
    export::{self, EdgeRows, Listeners, Lost, MapFill, Open, ProcessUse, Sample, Scans},
    intake::{self, Event, Scan},
    kernel::{Kernel, KernelError, Ring},
    serve::{FlowFilter, FollowError, Snapshot},
};

/// Records that are kept for those who ask for the latest.
const RECENT: usize = 1000;

/// Events that are taken off the ring at once.
const BATCH: u32 = 4096;

/// Scans over which a difference must last to be an error: a program may have counted in one place
/// and not yet in the other when both are read.
const BALANCE_SCANS: usize = 3;

/// How long before the scan before this one an edge may have come into being to be looked at for its
/// names: a cgroup that is new is found a second later.
const SIGHTING_NS: u64 = 5_000_000_000;

/// The agent's knowledge.
pub(super) struct State {
    kernel: Kernel,
    ring: Ring,
    names: Names,
    leaves: Leaves,
    servers: Servers,
    links: Links,
    retirement: Retirement,
    ledger: Arc<Ledger>,
    handshakes: Handshakes,
    open: Option<Open>,
    followers: Vec<Follower>,
    recent: VecDeque<Bytes>,
    scan: Arc<Scan>,
    clock: Clock,
    scanned_at: Instant,
    scanned_ns: u64,
    taken_at: Timestamp,
    scans: Scans,
    differences: VecDeque<u64>,
    received: BTreeMap<&'static str, u64>,
    undecodable: u64,
    missed: u64,
    rules: Option<Reloads>,
    listeners: Arc<Listeners>,
    snapshot: Option<Arc<Snapshot>>,
    canary: Option<Canary>,
}

/// What a map is made of.
pub(super) struct Draft {
    scan: Arc<Scan>,
    ledger: Arc<Ledger>,
    handshakes: Arc<Read>,
    directory: Arc<Directory>,
    observed: Arc<Observed>,
    declared: Arc<[Declaration]>,
    clock: Clock,
    lost: Lost,
    taken_at: Timestamp,
}

/// One moment, on every clock that is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// For how long ago.
    pub(super) instant: Instant,
    /// For people.
    pub(super) time: Timestamp,
    /// For what the kernel says.
    pub(super) clock: Clock,
    /// As the kernel says it.
    pub(super) boot_ns: u64,
}

// === impl State ===

impl State {
    pub(super) fn new(
        mut kernel: Kernel,
        names: Names,
        links: Links,
        retirement: Retirement,
        now: Now,
    ) -> Result<Self, KernelError> {
        let ring = kernel.take_ring()?;
        Ok(Self {
            kernel,
            ring,
            names,
            leaves: Leaves::default(),
            servers: Servers::default(),
            links,
            retirement,
            ledger: Arc::default(),
            handshakes: Handshakes::default(),
            open: None,
            followers: Vec::new(),
            recent: VecDeque::new(),
            scan: Arc::new(Scan::default()),
            clock: now.clock,
            scanned_at: now.instant,
            scanned_ns: 0,
            taken_at: now.time,
            scans: Scans::default(),
            differences: VecDeque::new(),
            received: BTreeMap::from([("first_seen", 0), ("connection", 0)]),
            undecodable: 0,
            missed: 0,
            rules: None,
            listeners: Arc::default(),
            snapshot: None,
            canary: None,
        })
    }

    /// Takes the kernel side out of the state, to be taken out of the kernel.
    pub(super) fn into_kernel(self) -> Kernel {
        self.kernel
    }

    /// How the name of a subject comes about.
    pub(super) fn explain(&mut self, subject: &Subject, now: Instant) -> Explanation {
        self.names.explain(subject, now)
    }

    /// Puts the names of the names file in force, where there is one.
    pub(super) fn begin_rules(&mut self, rules: Option<Rules>) {
        rules.into_iter().for_each(|rules| self.set_rules(rules));
    }

    /// Puts other names for addresses in force.
    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.rules = Some(Reloads { rules: rules.len() as u64, is_good: true });
        self.names.set_rules(rules);
        self.snapshot = None;
    }

    /// Notes that the names in force are not those of the file.
    pub(super) fn refuse_rules(&mut self) {
        self.rules = self.rules.map(|rules| Reloads { is_good: false, ..rules });
    }

    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Whether somebody follows records, which wake nobody when they come.
    pub(super) fn is_followed(&self) -> bool {
        !self.followers.is_empty()
    }

    pub(super) fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    pub(super) fn scanned_at(&self) -> Instant {
        self.scanned_at
    }

    /// From now on there is a canary, whose edge and records nobody is shown.
    pub(super) fn keep_canary(&mut self, canary: Canary) {
        self.canary = Some(canary);
    }

    pub(super) fn canary(&mut self) -> Option<(&mut Canary, &mut Kernel)> {
        self.canary.as_mut().map(|canary| (canary, &mut self.kernel))
    }

    /// How the canary is, for people; an error if it does not come back.
    pub(super) fn canary_verdict(&self, now: Instant) -> Option<Result<String, String>> {
        self.canary.as_ref().map(|canary| canary.verdict(now))
    }

    /// Takes events off the ring, and ends what nobody reads any more. True if there may be more
    /// events: no more than so many are taken at once, because others wait for the lock.
    pub(super) fn drain(&mut self, now: Now) -> Result<bool, KernelError> {
        #[cfg(feature = "trace")]
        self.kernel.flush_trace();
        let mut taken = 0;
        let mut event = None;
        while taken < BATCH && self.ring.next(|bytes| event = Some(intake::decode(bytes))) {
            taken += 1;
            match event.take() {
                Some(Ok(Event::FirstSeen(event))) => self.first_seen(&event, now.instant),
                Some(Ok(Event::Connection(event))) => self.connection(&event, &now),
                Some(Ok(Event::Handshake(part))) => {
                    self.count("handshake");
                    self.handshakes.add(&part);
                }
                Some(Err(error)) => self.unreadable(error),
                None => {}
            }
        }
        // After all there was, or the second half of a handshake would come too late.
        if taken < BATCH {
            self.handshakes.settle(now.boot_ns);
        }
        let gone = self.followers.extract_if(.., |follower| follower.is_gone());
        for follower in gone.collect::<Vec<_>>() {
            follower.stop(&mut self.kernel)?;
        }
        Ok(taken == BATCH)
    }

    /// Reads all counts, and asks live connections to add theirs before the next time.
    pub(super) fn scan(&mut self, now: Now) -> Result<(), KernelError> {
        let mut scan = intake::scan(&mut self.kernel, self.scan.halves.len())?;
        self.kernel.next_epoch()?;
        self.leaves.refresh(&mut self.kernel, &mut self.names, now.instant);
        // One without a beginning is being made. One that was there for some scans has its name, or
        // there is none to be had.
        let since = self.scanned_ns.saturating_sub(SIGHTING_NS).max(1);
        for half in scan.halves.iter().filter(|half| half.counters.first_ns >= since) {
            self.sight(half, now.instant);
        }
        for half in &scan.older {
            self.sight(half, now.instant);
        }
        for follower in &mut self.followers {
            if !follower.refresh(&mut self.kernel, &mut self.names, now.instant)? {
                tracing::warn!(
                    "an observer's workload has more cgroups than the kernel has filters"
                );
            }
        }
        self.weigh(&scan);
        self.retire(&mut scan, now)?;
        // After the balance, in which all counts are.
        if let Some(canary) = &mut self.canary {
            canary.look(&mut scan.halves, &now);
        }
        self.scan = Arc::new(scan);
        self.snapshot = None;
        (self.clock, self.scanned_at, self.taken_at) = (now.clock, now.instant, now.time);
        self.scanned_ns = now.boot_ns;
        self.scans.count += 1;
        self.scans.seconds += now.instant.elapsed().as_secs_f64();
        Ok(())
    }

    fn weigh(&mut self, scan: &Scan) {
        if self.differences.len() == BALANCE_SCANS {
            self.differences.pop_front();
        }
        let Scan { halves, before, totals, .. } = scan;
        let held: Held = self.ledger.held(halves);
        self.differences.push_back(flow::unaccounted(before, totals, &held));
    }

    /// Takes off the list of older connections those that are no more, and notes how many are open
    /// by the programs and by the kernel's own list. `before` are the totals before the search: what
    /// came or went meanwhile is no difference.
    pub(super) fn compare(&mut self, before: &Totals, search: &Search) -> Result<(), KernelError> {
        let alive: HashSet<u64> = search.found.iter().map(|end| end.cookie).collect();
        let (mut waiting, mut gone) = (0, Vec::new());
        self.kernel.read_older(|cookie, _| match alive.contains(cookie) {
            true => waiting += 1,
            false => gone.push(*cookie),
        })?;
        gone.iter().for_each(|cookie| self.kernel.remove_older(*cookie));
        let totals = self.totals()?;
        let since = |counter| totals.get(counter).saturating_sub(before.get(counter));
        let moved = since(Counter::Opened) + since(Counter::Closed);
        let open = totals.get(Counter::Opened).saturating_sub(totals.get(Counter::Closed));
        let (programs, sockets) = (open + waiting, search.found.len() as u64);
        let unexplained = programs.saturating_sub(sockets + moved);
        let last = self.open.map_or(0, |open| open.unexplained);
        let without_socket = unexplained.min(last);
        self.open = Some(Open { programs, sockets, unexplained, without_socket });
        Ok(())
    }

    /// Publishes where servers can be reached.
    pub(super) fn publish(&mut self, offers: &[Offer], now: Instant) {
        for offer in offers {
            self.names.inherit(offer, now);
        }
        let mut listeners = Listeners::default();
        for offer in offers {
            // What nobody else can reach is of no use to them.
            if offer.is_reachable()
                && let Some(server) = self.names.at(offer, now)
            {
                listeners.add(offer.address, offer.port, &server);
            }
        }
        self.listeners = Arc::new(listeners);
    }

    /// What the programs have counted.
    pub(super) fn totals(&self) -> Result<Totals, KernelError> {
        intake::totals(&self.kernel)
    }

    fn sight(&mut self, half: &Half, now: Instant) {
        self.servers.learn(&half.key);
        self.links.learn(half);
        let sighting = Sighting {
            endpoint: half.own(),
            tgid: half.counters.tgid,
            comm: half.counters.comm,
            time_ns: half.counters.first_ns,
        };
        self.names.learn(&sighting, now);
    }

    /// Takes edges out of the kernel when it is time. What they held is kept here, so nobody sees
    /// a difference but those who look for an edge that was idle for long.
    fn retire(&mut self, scan: &mut Scan, now: Now) -> Result<(), KernelError> {
        if !self.retirement.is_due(&scan.halves, now) {
            return Ok(());
        }
        let Self { kernel, ledger, canary, .. } = self;
        let ledger = Arc::make_mut(ledger);
        kernel.retire(|key, counters| {
            let half = Half { key: *key, counters: *counters };
            // Nobody sees the canary's, so they are not kept; they count all the same.
            if canary.as_mut().is_some_and(|canary| canary.retires(&half)) {
                ledger.let_go(&half);
            } else {
                ledger.keep(&half);
            }
        })?;
        ledger.forget(self.retirement.before(now));
        // What was read a moment ago is in the ledger now, and a little more.
        scan.halves.clear();
        scan.totals = intake::totals(&self.kernel)?;
        Ok(())
    }

    fn balance_error(&self) -> u64 {
        self.differences.iter().copied().min().unwrap_or(0)
    }

    fn first_seen(&mut self, event: &FirstSeen, now: Instant) {
        self.count("first_seen");
        self.servers.learn(&event.key);
        let sighting = Sighting {
            endpoint: flow::own(&event.key),
            tgid: event.tgid,
            comm: event.comm,
            time_ns: event.header.time_ns,
        };
        self.names.learn(&sighting, now);
    }

    fn connection(&mut self, event: &Connection, now: &Now) {
        self.count("connection");
        if self.canary.as_mut().is_some_and(|canary| canary.takes(event, now)) {
            return;
        }
        let record = self.record(event);
        let Ok(mut line) = serde_json::to_vec(&record) else { return self.undecodable += 1 };
        line.push(b'\n');
        let line = Bytes::from(line);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(line.clone());
        let (client, server) = (&record.plainsight.client, &record.plainsight.server);
        for follower in &mut self.followers {
            if follower.wants(event, client, server) && !follower.send(&line) {
                self.missed += 1;
            }
        }
    }

    fn record(&self, event: &Connection) -> Record {
        let key = &event.key;
        let heir = match Reporter::from_code(key.role) {
            Reporter::Server => self.names.directory().heir(&flow::own(key), key.port).cloned(),
            Reporter::Client => None,
        };
        let own = heir.unwrap_or_else(|| self.workload(&flow::own(key), Some(&event.comm)));
        let (local, remote) = (flow::ip(&event.local), flow::ip(&event.remote));
        let address = || self.names.directory().at(remote);
        let (client, server, port) = match Reporter::from_code(key.role) {
            Reporter::Client => match self.servers.get(key) {
                Some((server, port)) => (own, self.workload(&server, None), port),
                None => (own, address(), key.port),
            },
            Reporter::Server => {
                let client = flow::peer(key).map(|peer| self.workload(&peer, None));
                (client.unwrap_or_else(address), own, key.port)
            }
        };
        let (client, server) = graph::shown(client, server, graph::Scope::between(local, remote));
        let reading = Class::of(key).reading();
        let transport = Transport::from_code(key.transport);
        let is_late = key.flags & LATE != 0;
        let edge = match (key.flags & FOLDED != 0, Reporter::from_code(key.role)) {
            (false, _) => graph::id(&client, &server, port, transport, &reading, is_late),
            (true, Reporter::Client) => {
                graph::id(&client, &identity::folded(), 0, transport, &reading, is_late)
            }
            (true, Reporter::Server) => {
                graph::id(&identity::folded(), &server, 0, transport, &reading, is_late)
            }
        };
        record::record(event, client, server, Some(edge), &self.clock, self.names.host())
    }

    fn workload(
        &self,
        endpoint: &Endpoint,
        comm: Option<&plainsight_ebpf::abi::Comm>,
    ) -> identity::Workload {
        let known = self.names.directory().get(endpoint).cloned();
        known.unwrap_or_else(|| identity::unresolved(endpoint, comm))
    }

    fn count(&mut self, kind: &'static str) {
        *self.received.entry(kind).or_default() += 1;
    }

    fn unreadable(&mut self, error: intake::EventError) {
        self.undecodable += 1;
        tracing::error!("{error}: the agent and its kernel object were not built together");
    }

    /// The map as it was last read, if somebody has asked for it already.
    pub(super) fn known(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// What the map is made of. Making it takes long where there are many edges, and is done
    /// without the lock.
    pub(super) fn draft(&self) -> Draft {
        Draft {
            scan: Arc::clone(&self.scan),
            ledger: Arc::clone(&self.ledger),
            handshakes: Arc::clone(self.handshakes.read()),
            directory: Arc::clone(self.names.directory()),
            observed: Arc::clone(self.links.observed()),
            declared: Arc::clone(self.links.declared()),
            clock: self.clock,
            lost: self.lost(),
            taken_at: self.taken_at,
        }
    }

    /// Keeps a map for those who ask next, unless there is a later scan.
    pub(super) fn keep(&mut self, snapshot: &Arc<Snapshot>) {
        if snapshot.taken_at == self.taken_at {
            self.snapshot = Some(Arc::clone(snapshot));
        }
    }

    /// Everything a scrape shows beside the edges of this map.
    pub(super) fn sample(&self, snapshot: &Snapshot) -> Sample {
        let reserved = self.canary.as_ref().map_or(0, Canary::filters);
        Sample {
            edges: EdgeRows::default(),
            totals: self.scan.totals,
            lost: snapshot.lost.clone(),
            maps: self.maps(),
            events_received: self.received.clone(),
            balance_error: self.balance_error(),
            open: self.open,
            scans: self.scans,
            filters: (self.kernel.filters_in_force() - reserved).into(),
            clients_cut_off: 0,
            canary: self.canary.as_ref().map(Canary::runs),
            findings: BTreeMap::new(),
            findings_refused: 0,
            clients_forgotten: 0,
            state_failures: 0,
            listeners: Arc::clone(&self.listeners),
            names: self.names_sample(),
            process: process::usage().map(|usage| ProcessUse {
                resident_bytes: usage.resident_bytes,
                cpu_seconds: usage.cpu_seconds,
            }),
        }
    }

    fn names_sample(&self) -> export::Names {
        let Outcomes { resolved, late, unresolved, ambiguous } = self.names.outcomes();
        let files = self.names.containers().answers().iter();
        export::Names {
            ends: vec![
                ("resolved", resolved),
                ("late", late),
                ("unresolved", unresolved),
                ("ambiguous", ambiguous),
            ],
            files: files.map(|((by, answer), n)| (by.name(), answer.name(), *n)).collect(),
            rules: self.rules.map(|rules| (rules.rules, rules.is_good)),
        }
    }

    fn lost(&self) -> Lost {
        let mut lost = export::lost(&self.scan.totals);
        let agent = lost.entry("agent".to_owned()).or_default();
        agent.insert("undecodable".to_owned(), self.undecodable);
        agent.insert("observer_slow".to_owned(), self.missed);
        agent.insert("handshakes_full".to_owned(), self.handshakes.refused());
        agent.insert("links_full".to_owned(), self.links.refused());
        agent.insert("names_full".to_owned(), self.names.directory().refused());
        agent.insert("cgroups_full".to_owned(), self.names.cgroups_refused());
        lost
    }

    fn maps(&self) -> Vec<MapFill> {
        let hidden = self.canary.as_ref().map_or(0, Canary::hidden);
        let edges = self.scan.halves.len() as u64 + hidden;
        let usage = self.kernel.maps().into_iter().chain([self.ring.usage()]);
        let fill = |map: crate::kernel::MapUsage| MapFill {
            name: map.name,
            entries: (map.name == "EDGES").then_some(edges),
            capacity: map.capacity,
            memory_bytes: map.memory_bytes,
        };
        usage.map(fill).collect()
    }

    pub(super) fn recent(&self) -> Vec<Bytes> {
        self.recent.iter().cloned().collect()
    }

    pub(super) fn follow(
        &mut self,
        filter: FlowFilter,
        now: Instant,
    ) -> Result<Lines, FollowError> {
        let refused = |error: KernelError| FollowError::Refused(error.to_string());
        let started = Follower::start(filter, &mut self.kernel, &mut self.names, now);
        let (follower, lines) =
            started.map_err(refused)?.ok_or(FollowError::NoSlot(FILTER_SLOTS))?;
        self.followers.push(follower);
        Ok(lines)
    }
}

// === impl Draft ===

impl Draft {
    fn halves(&self) -> Vec<Half> {
        let mut halves = self.ledger.with(&self.scan.halves);
        halves.extend(&self.scan.older);
        halves
    }

    /// Every way that packets on the map take.
    pub(super) fn ways(&self) -> BTreeSet<Way> {
        self.halves().iter().filter_map(Way::of).collect()
    }

    /// Makes the map.
    pub(super) fn snapshot(self) -> Snapshot {
        let halves = self.halves();
        let Self { handshakes, directory, observed, declared, clock, lost, taken_at, .. } = self;
        let links = link::Links { observed: &observed, declared: &declared, now: taken_at };
        Snapshot {
            edges: graph::edges(&halves, &directory, &handshakes, &links, &clock),
            complete: lost.values().flat_map(BTreeMap::values).all(|count| *count == 0),
            lost,
            taken_at,
        }
    }
}
