//! All that the agent knows, behind one lock: the loop adds to it, answers are made from it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use jiff::Timestamp;
use plainsight_core::{
    flow::{self, Clock, Endpoint, Reporter},
    graph, identity,
    protocol::{self, Transport},
    record::{self, Record},
};
use plainsight_ebpf::abi::{
    config::FILTER_SLOTS,
    event::{Connection, FirstSeen},
};

use super::{
    follow::{Follower, Lines},
    servers::Servers,
};
use crate::{
    discover::{
        names::{Names, Sighting},
        process,
    },
    export::{self, EdgeRows, Lost, MapFill, ProcessUse, SERIES_LIMIT, Sample, Scans},
    intake::{self, Event, Scan},
    kernel::{Kernel, KernelError, Ring},
    serve::{FlowFilter, FollowError, Snapshot},
};

/// Records that are kept for those who ask for the latest.
const RECENT: usize = 1000;

/// Scans over which a difference must last to be an error: reading the edges takes a moment, in
/// which connections go on.
const BALANCE_SCANS: usize = 3;

/// The agent's knowledge.
pub(super) struct State {
    kernel: Kernel,
    ring: Ring,
    names: Names,
    servers: Servers,
    followers: Vec<Follower>,
    recent: VecDeque<Bytes>,
    scan: Scan,
    clock: Clock,
    scanned_at: Instant,
    taken_at: Timestamp,
    scans: Scans,
    differences: VecDeque<u64>,
    received: BTreeMap<&'static str, u64>,
    undecodable: u64,
    missed: u64,
    snapshot: Option<Arc<Snapshot>>,
}

// === impl State ===

impl State {
    pub(super) fn new(mut kernel: Kernel, names: Names, now: Now) -> Result<Self, KernelError> {
        let ring = kernel.take_ring()?;
        Ok(Self {
            kernel,
            ring,
            names,
            servers: Servers::default(),
            followers: Vec::new(),
            recent: VecDeque::new(),
            scan: Scan::default(),
            clock: now.clock,
            scanned_at: now.instant,
            taken_at: now.time,
            scans: Scans::default(),
            differences: VecDeque::new(),
            received: BTreeMap::from([("first_seen", 0), ("connection", 0)]),
            undecodable: 0,
            missed: 0,
            snapshot: None,
        })
    }

    /// Takes the kernel side out of the state, to be taken out of the kernel.
    pub(super) fn into_kernel(self) -> Kernel {
        self.kernel
    }

    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Whether somebody follows records, which wake nobody when they come.
    pub(super) fn is_followed(&self) -> bool {
        !self.followers.is_empty()
    }

    pub(super) fn scanned_at(&self) -> Instant {
        self.scanned_at
    }

    /// Takes every event there is off the ring, and ends what nobody reads any more.
    pub(super) fn drain(&mut self, now: Instant) -> Result<(), KernelError> {
        #[cfg(feature = "trace")]
        self.kernel.flush_trace();
        loop {
            let mut event = None;
            if !self.ring.next(|bytes| event = Some(intake::decode(bytes))) {
                break;
            }
            match event {
                Some(Ok(Event::FirstSeen(event))) => self.first_seen(&event, now),
                Some(Ok(Event::Connection(event))) => self.connection(&event),
                Some(Err(error)) => self.unreadable(error),
                None => {}
            }
        }
        let gone = self.followers.extract_if(.., |follower| follower.is_gone());
        for follower in gone.collect::<Vec<_>>() {
            follower.stop(&mut self.kernel)?;
        }
        Ok(())
    }

    /// Reads all counts, and asks live connections to add theirs before the next time.
    pub(super) fn scan(&mut self, now: Now) -> Result<(), KernelError> {
        let scan = intake::scan(&mut self.kernel, self.scan.halves.len())?;
        self.kernel.next_epoch()?;
        for half in &scan.halves {
            self.servers.learn(&half.key);
            let sighting = Sighting {
                endpoint: half.own(),
                tgid: half.counters.tgid,
                comm: half.counters.comm,
                time_ns: half.counters.first_ns,
            };
            self.names.learn(&sighting, now.instant);
        }
        for follower in &mut self.followers {
            if !follower.refresh(&mut self.kernel, &mut self.names, now.instant)? {
                tracing::warn!(
                    "an observer's workload has more cgroups than the kernel has filters"
                );
            }
        }
        self.weigh(&scan);
        self.scan = scan;
        self.snapshot = None;
        (self.clock, self.scanned_at, self.taken_at) = (now.clock, now.instant, now.time);
        self.scans.count += 1;
        self.scans.seconds += now.instant.elapsed().as_secs_f64();
        Ok(())
    }

    fn weigh(&mut self, scan: &Scan) {
        if self.differences.len() == BALANCE_SCANS {
            self.differences.pop_front();
        }
        self.differences.push_back(flow::balance(&scan.totals, &scan.halves).error());
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

    fn connection(&mut self, event: &Connection) {
        self.count("connection");
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
            if follower.wants(event.filters, client, server) && !follower.send(&line) {
                self.missed += 1;
            }
        }
    }

    fn record(&self, event: &Connection) -> Record {
        let key = &event.key;
        let own = self.workload(&flow::own(key), Some(&event.comm));
        let address = || identity::remote(flow::ip(&event.remote));
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
        let reading = protocol::reading(protocol::class(key.class));
        let edge = graph::id(&client, &server, port, Transport::Tcp, &reading);
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

    /// The map as it was last read.
    pub(super) fn snapshot(&mut self) -> Arc<Snapshot> {
        if let Some(snapshot) = &self.snapshot {
            return Arc::clone(snapshot);
        }
        let lost = self.lost();
        let snapshot = Arc::new(Snapshot {
            edges: graph::edges(&self.scan.halves, self.names.directory(), &self.clock),
            complete: lost.values().flat_map(BTreeMap::values).all(|count| *count == 0),
            lost,
            taken_at: self.taken_at,
        });
        self.snapshot = Some(Arc::clone(&snapshot));
        snapshot
    }

    /// Everything a scrape shows.
    pub(super) fn sample(&mut self) -> Sample {
        let snapshot = self.snapshot();
        Sample {
            edges: EdgeRows::new(&snapshot.edges, SERIES_LIMIT),
            totals: self.scan.totals,
            lost: snapshot.lost.clone(),
            maps: self.maps(),
            events_received: self.received.clone(),
            balance_error: self.balance_error(),
            scans: self.scans,
            filters: self.kernel.filters_in_force().into(),
            process: process::usage().map(|usage| ProcessUse {
                resident_bytes: usage.resident_bytes,
                cpu_seconds: usage.cpu_seconds,
            }),
        }
    }

    fn lost(&self) -> Lost {
        let mut lost = export::lost(&self.scan.totals);
        let agent = lost.entry("agent".to_owned()).or_default();
        agent.insert("undecodable".to_owned(), self.undecodable);
        agent.insert("observer_slow".to_owned(), self.missed);
        agent.insert("names_full".to_owned(), self.names.directory().refused());
        lost
    }

    fn maps(&self) -> Vec<MapFill> {
        let edges = self.scan.halves.len() as u64;
        let usage = self.kernel.maps();
        let fill = |map: crate::kernel::MapUsage| MapFill {
            name: map.name,
            entries: (map.name == "EDGES").then_some(edges),
            capacity: map.capacity,
            memory_bytes: map.memory_bytes,
        };
        usage.into_iter().map(fill).collect()
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

/// One moment, on every clock that is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// For how long ago.
    pub(super) instant: Instant,
    /// For people.
    pub(super) time: Timestamp,
    /// For what the kernel says.
    pub(super) clock: Clock,
}
