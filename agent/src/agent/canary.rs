//! The canary: a connection of the agent's own that must come back through the whole pipe.
//!
//! Programs can be detached behind the agent's back, and a map that no longer changes looks like a
//! quiet host. So every few seconds the agent talks to itself over loopback, and wants to see the
//! record of that connection, byte for byte, and its edge grow. Nobody else is shown either. The
//! kernel is asked as well whether every link still leads to a cgroup: a program that one
//! connection does without may be the one that is gone.

mod flight;

use std::time::{Duration, Instant};

use plainsight_core::flow::{self, Endpoint, Half, Reporter};
use plainsight_ebpf::abi::{config::Filter, event::Connection};

use super::state::Now;
use crate::{
    export::CanaryRuns,
    kernel::{FilterSlot, Kernel, KernelError},
};

pub(super) use flight::{Nest, fly};

/// How many intervals may pass without a canary before the agent is taken for blind.
const INTERVALS: u32 = 3;

/// A record waits for the next look at the ring, and an edge for the next scan: both come within a
/// second, and a busy host may need some more.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the client sends and the server answers: numbers that nothing else is likely to give.
const SENT: usize = 101;
const ANSWERED: usize = 53;

/// How a run came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The record came back, exact, and the edge grew.
    Returned,
    /// No record came back.
    RecordLost,
    /// A record came back with other bytes than were sent.
    BytesDiffer,
    /// A record came back that named no process.
    Nameless,
    /// The record came back, and its edge did not grow.
    EdgeMissing,
    /// The connection could not be made, which says nothing about the pipe.
    NotSent,
}

/// What is known of the canary.
#[derive(Debug)]
pub(super) struct Canary {
    port: u16,
    /// This process as the programs see it: in a process namespace of its own it does not know its
    /// number there. Learnt from the first record.
    tgid: Option<u32>,
    interval: Duration,
    /// Why there can be none.
    obstacle: Option<String>,
    slot: Option<FilterSlot>,
    flight: Option<Flight>,
    /// The client's port in the latest run, and its end, once they were seen.
    from: Option<u16>,
    client: Option<Endpoint>,
    /// Connections on the canary's edge, and halves of it, at the last scan.
    connections: u64,
    hidden: u64,
    /// Connections on edges that were taken out of the kernel.
    retired: u64,
    runs: CanaryRuns,
    fault: Option<String>,
    /// The last success, or the beginning.
    since: Instant,
    /// Links of ours that lead to no cgroup any more.
    detached: usize,
}

/// A canary on its way.
#[derive(Debug)]
struct Flight {
    began: Instant,
    is_established: bool,
    /// Connections on the edge before it began.
    before: u64,
    /// What the record said, once it came back.
    record: Option<Outcome>,
}

// === impl Outcome ===

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Returned,
        Self::RecordLost,
        Self::BytesDiffer,
        Self::Nameless,
        Self::EdgeMissing,
        Self::NotSent,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::RecordLost => "record_lost",
            Self::BytesDiffer => "bytes_differ",
            Self::Nameless => "nameless",
            Self::EdgeMissing => "edge_missing",
            Self::NotSent => "not_sent",
        }
    }

    /// What the record says by itself.
    fn of(event: &Connection) -> Self {
        match (event.sent_bytes, event.received_bytes) {
            _ if event.tgid == 0 => Self::Nameless,
            bytes if bytes == (SENT as u64, ANSWERED as u64) => Self::Returned,
            _ => Self::BytesDiffer,
        }
    }

    const fn fault(self) -> &'static str {
        match self {
            Self::Returned => "it came back",
            Self::RecordLost => "its record was lost",
            Self::BytesDiffer => "its record had other bytes than were sent",
            Self::Nameless => "its record named no process",
            Self::EdgeMissing => "its edge did not grow",
            Self::NotSent => "it could not be sent",
        }
    }
}

// === impl Canary ===

impl Canary {
    /// A canary to `port`, which this process listens on.
    pub(super) fn new(port: u16, interval: Duration, now: Instant) -> Self {
        let none = |outcome: Outcome| (outcome.name(), 0);
        Self {
            port,
            tgid: None,
            from: None,
            interval,
            obstacle: None,
            slot: None,
            flight: None,
            client: None,
            connections: 0,
            hidden: 0,
            retired: 0,
            runs: CanaryRuns { runs: Outcome::ALL.map(none).into(), last_success: None },
            fault: None,
            since: now,
            detached: 0,
        }
    }

    /// Starts a run, unless one is on its way. False if there is none to be made.
    pub(super) fn begin(&mut self, kernel: &mut Kernel, now: Instant) -> Result<bool, KernelError> {
        self.obstacle = None;
        if self.slot.is_none() {
            self.slot = kernel.add_filter(&self.filter())?;
        }
        Ok(self.slot.is_some() && self.launch(now))
    }

    fn launch(&mut self, now: Instant) -> bool {
        match &self.flight {
            Some(flight) if now.saturating_duration_since(flight.began) < PATIENCE => return false,
            Some(flight) => self.count(flight.failure(), None),
            None => {}
        }
        let before = self.connections;
        self.flight = Some(Flight { began: now, is_established: false, before, record: None });
        true
    }

    /// So many links lead to no cgroup any more.
    pub(super) fn note_detached(&mut self, detached: usize) {
        self.detached = detached;
    }

    /// There can be no canary, and no fault is seen in that.
    pub(super) fn give_up(
        &mut self,
        obstacle: String,
        kernel: &mut Kernel,
        now: Instant,
    ) -> Result<(), KernelError> {
        (self.obstacle, self.flight, self.since) = (Some(obstacle), None, now);
        kernel.remove_filters(self.slot.take().as_slice())
    }

    /// The run's connection is established from this port.
    pub(super) fn took_off(&mut self, from: u16) {
        self.from = Some(from);
        if let Some(flight) = &mut self.flight {
            flight.is_established = true;
        }
    }

    /// The run's connection could not be made.
    pub(super) fn not_sent(&mut self, reason: String) {
        self.flight = None;
        self.count(Outcome::NotSent, Some(reason));
    }

    /// Whether a record is of the canary, and so nobody else's. It is then taken note of.
    pub(super) fn takes(&mut self, event: &Connection, now: &Now) -> bool {
        if event.key.port != self.port {
            return false;
        }
        match Reporter::from_code(event.key.role) {
            Reporter::Client if self.from == Some(event.local_port) => self.note(event, now),
            Reporter::Client => return self.tgid == Some(event.tgid),
            Reporter::Server if self.from == Some(event.remote_port) => {}
            Reporter::Server => return self.is_peer(flow::peer(&event.key)),
        }
        true
    }

    fn note(&mut self, event: &Connection, now: &Now) {
        self.client = Some(flow::own(&event.key));
        if event.tgid != 0 {
            self.tgid = Some(event.tgid);
        }
        if let Some(flight) = &mut self.flight {
            flight.record = Some(Outcome::of(event));
        }
        self.land(now);
    }

    /// Looks at the canary's edge, and takes it out of what others see.
    pub(super) fn look(&mut self, halves: &mut Vec<Half>, now: &Now) {
        let clients = || halves.iter().filter(|half| self.is_client(half));
        let connections = self.retired + clients().map(Half::connections).sum::<u64>();
        self.client = clients().map(Half::own).next().or(self.client);
        self.connections = connections;
        let all = halves.len();
        halves.retain(|half| !self.is_client(half) && !self.is_server(half));
        self.hidden = (all - halves.len()) as u64;
        self.land(now);
    }

    /// Takes note of an edge that was taken out of the kernel. False if it is not the canary's.
    pub(super) fn retires(&mut self, half: &Half) -> bool {
        if self.is_client(half) {
            self.retired += half.connections();
        }
        self.is_client(half) || self.is_server(half)
    }

    fn is_client(&self, half: &Half) -> bool {
        half.reporter() == Reporter::Client && self.is_own(half)
    }

    /// A stranger who connects to the canary's port is shown as one.
    fn is_server(&self, half: &Half) -> bool {
        half.reporter() == Reporter::Server && self.is_own(half) && self.is_peer(half.peer())
    }

    fn is_own(&self, half: &Half) -> bool {
        half.key.port == self.port
            && flow::ip(&half.key.remote) == std::net::Ipv4Addr::LOCALHOST
            && self.tgid.is_none_or(|tgid| tgid == half.counters.tgid)
    }

    fn is_peer(&self, peer: Option<Endpoint>) -> bool {
        self.client.is_some() && self.client == peer
    }

    /// How many halves were taken out of the last scan.
    pub(super) const fn hidden(&self) -> u64 {
        self.hidden
    }

    /// How many of the kernel's filters it takes.
    pub(super) fn filters(&self) -> u32 {
        self.slot.is_some().into()
    }

    pub(super) fn runs(&self) -> CanaryRuns {
        self.runs.clone()
    }

    /// How it is, for people; an error if none came back for too long, or a program was detached.
    pub(super) fn verdict(&self, now: Instant) -> Result<String, String> {
        if self.detached == 0 {
            return self.flown(now);
        }
        let canary = self.flown(now).unwrap_or_else(|fault| fault);
        Err(format!("programs detached from the cgroup: {}; {canary}", self.detached))
    }

    fn flown(&self, now: Instant) -> Result<String, String> {
        if let Some(obstacle) = &self.obstacle {
            return Ok(format!("canary: not possible: {obstacle}"));
        }
        let waiting = now.saturating_duration_since(self.since);
        let seconds = waiting.as_secs();
        if waiting < self.interval * INTERVALS {
            return Ok(match self.runs.last_success {
                Some(_) => format!("canary: came back {seconds} s ago"),
                None => "canary: on its way for the first time".to_owned(),
            });
        }
        let fault = self.fault.as_deref().unwrap_or("it is on its way");
        Err(format!("canary: none came back for {seconds} s: {fault}"))
    }

    fn filter(&self) -> Filter {
        let network = flow::address(std::net::Ipv4Addr::LOCALHOST.into());
        Filter { port: self.port, network, mask: [u32::MAX; 4], ..Filter::default() }
    }

    /// Ends the run if all of it came back.
    fn land(&mut self, now: &Now) {
        let connections = self.connections;
        if self.flight.take_if(|flight| flight.has_landed(connections)).is_some() {
            self.count(Outcome::Returned, None);
            (self.since, self.runs.last_success) = (now.instant, Some(now.time));
        }
    }

    fn count(&mut self, outcome: Outcome, reason: Option<String>) {
        *self.runs.runs.entry(outcome.name()).or_default() += 1;
        self.fault = match outcome {
            Outcome::Returned => None,
            _ => Some(reason.unwrap_or_else(|| outcome.fault().to_owned())),
        };
    }
}

// === impl Flight ===

impl Flight {
    fn has_landed(&self, connections: u64) -> bool {
        self.record == Some(Outcome::Returned) && connections > self.before
    }

    /// Why it has not landed.
    const fn failure(&self) -> Outcome {
        match self.record {
            _ if !self.is_established => Outcome::NotSent,
            None => Outcome::RecordLost,
            Some(Outcome::Returned) => Outcome::EdgeMissing,
            Some(fault) => fault,
        }
    }
}

#[cfg(test)]
mod tests;
