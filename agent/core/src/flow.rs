//! What the kernel counted, as values: halves of edges, their ends, the clock and the balance.

pub mod handshakes;
pub mod link;

use core::net::{IpAddr, Ipv6Addr};

use jiff::Timestamp;
use plainsight_ebpf::abi;
use plainsight_ebpf::abi::counters::Counter;
use plainsight_ebpf::abi::edge::{EdgeCounters, EdgeKey, Role};
use serde::{Deserialize, Serialize};

/// Turns the kernel's boot-time clock, which every count carries, into the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Nanoseconds to add to the boot-time clock to get nanoseconds since 1970.
    pub unix_minus_boot_ns: i64,
}

/// One entry of the kernel's map of edges: what one end saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half {
    /// What the counted connections have in common.
    pub key: EdgeKey,
    /// What was counted.
    pub counters: EdgeCounters,
}

/// What identifies an end on this host, before it has the name of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Inode of the socket's cgroup2 directory.
    pub cgroup: u64,
    /// Cookie of the socket's network namespace; 0 where it could not be read.
    pub netns: u64,
    /// [`abi::name_id`] of the process; 0 where it is not known.
    pub name: u32,
}

/// Which end of a connection saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reporter {
    /// The end that opened it.
    Client,
    /// The end that accepted it.
    Server,
}

/// The kernel's counters, added up over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals([u64; Counter::COUNT as usize]);

/// Sums over edges: what the totals must agree with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Connections established on an edge, or moved to it.
    pub opened: u64,
    /// Connections that left for another edge.
    pub moved: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Connects that failed.
    pub failed: u64,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// UDP datagrams sent.
    pub sent_datagrams: u64,
    /// UDP datagrams received.
    pub received_datagrams: u64,
}

/// One quantity, counted on two ways that must agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// By the total of the hooks.
    pub total: u64,
    /// By the edges.
    pub edges: u64,
    /// What the hooks saw and no edge could take.
    pub overflow: u64,
}

/// Whether everything that was counted is somewhere, at a moment when nothing is being counted.
/// For a host at work there is [`unaccounted`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Established connections.
    pub opened: Account,
    /// Connections that ended after they had been established.
    pub closed: Account,
    /// Connects that failed.
    pub failed: Account,
    /// Payload bytes sent.
    pub sent_bytes: Account,
    /// Payload bytes received.
    pub received_bytes: Account,
    /// UDP datagrams sent.
    pub sent_datagrams: Account,
    /// UDP datagrams received.
    pub received_datagrams: Account,
}

// === impl Clock ===

impl Clock {
    /// The time of day at `boot_ns` on the boot-time clock. Beyond what a timestamp can express it
    /// is the nearest one that can be.
    pub fn time(&self, boot_ns: u64) -> Timestamp {
        let unix_ns = i128::from(boot_ns) + i128::from(self.unix_minus_boot_ns);
        let nearest = if unix_ns < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_nanosecond(unix_ns).unwrap_or(nearest)
    }
}

// === impl Half ===

impl Half {
    /// The end at which this half was counted.
    pub const fn own(&self) -> Endpoint {
        own(&self.key)
    }

    /// The other end, where it is on this host and the kernel paired the two.
    pub const fn peer(&self) -> Option<Endpoint> {
        peer(&self.key)
    }

    /// Which end it is.
    pub const fn reporter(&self) -> Reporter {
        Reporter::from_code(self.key.role)
    }

    /// Connections that are counted here and nowhere else: opened here and not moved on.
    pub const fn connections(&self) -> u64 {
        self.counters.opened.saturating_sub(self.counters.moved)
    }

    /// Of those, the ones that have not ended.
    pub const fn open(&self) -> u64 {
        self.connections().saturating_sub(self.counters.closed)
    }

    /// Connects that failed, of every kind.
    pub const fn failures(&self) -> u64 {
        let EdgeCounters { refused, timed_out, aborted, .. } = self.counters;
        refused.saturating_add(timed_out).saturating_add(aborted)
    }
}

// === impl Reporter ===

impl Reporter {
    /// The end with this code of [`Role`]. The kernel half writes no other than its two.
    pub const fn from_code(role: u8) -> Self {
        if role == Role::Server as u8 { Self::Server } else { Self::Client }
    }

    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

// === impl Totals ===

impl Totals {
    /// Totals from one number for each [`Counter`], in its order.
    pub const fn new(counts: [u64; Counter::COUNT as usize]) -> Self {
        Self(counts)
    }

    /// The total of one counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or_default()
    }

    /// Adds what one CPU counted.
    pub fn add(&mut self, counter: Counter, count: u64) {
        if let Some(total) = self.0.get_mut(counter as usize) {
            *total = total.saturating_add(count);
        }
    }
}

// === impl Held ===

impl Held {
    /// Adds what an edge holds.
    pub fn add(&mut self, counters: &EdgeCounters) {
        let failed =
            counters.refused.saturating_add(counters.timed_out).saturating_add(counters.aborted);
        for (sum, more) in [
            (&mut self.opened, counters.opened),
            (&mut self.moved, counters.moved),
            (&mut self.closed, counters.closed),
            (&mut self.failed, failed),
            (&mut self.sent_bytes, counters.sent_bytes),
            (&mut self.received_bytes, counters.received_bytes),
            (&mut self.sent_datagrams, counters.sent_datagrams),
            (&mut self.received_datagrams, counters.received_datagrams),
        ] {
            *sum = sum.wrapping_add(more);
        }
    }

    /// The sums over these halves.
    pub fn of(halves: &[Half]) -> Self {
        let mut held = Self::default();
        halves.iter().for_each(|half| held.add(&half.counters));
        held
    }
}

// === impl Account ===

impl Account {
    /// By how much the two ways differ; 0 when nothing is lost.
    pub const fn error(&self) -> u64 {
        self.total.abs_diff(self.edges.saturating_add(self.overflow))
    }
}

// === impl Balance ===

impl Balance {
    /// Connections that are open, by the totals.
    pub const fn open(&self) -> u64 {
        self.opened.total.saturating_sub(self.closed.total)
    }

    /// The sum of all differences; 0 when nothing is lost.
    pub fn error(&self) -> u64 {
        self.accounts().into_iter().fold(0, |sum, account| sum.saturating_add(account.error()))
    }

    const fn accounts(&self) -> [Account; 7] {
        [
            self.opened,
            self.closed,
            self.failed,
            self.sent_bytes,
            self.received_bytes,
            self.sent_datagrams,
            self.received_datagrams,
        ]
    }
}

/// The end at which an edge with this key was counted.
pub const fn own(key: &EdgeKey) -> Endpoint {
    Endpoint { cgroup: key.cgroup, netns: key.netns, name: key.name }
}

/// The other end of an edge with this key, where the kernel paired the two.
pub const fn peer(key: &EdgeKey) -> Option<Endpoint> {
    if key.peer_cgroup == 0 {
        return None;
    }
    Some(Endpoint { cgroup: key.peer_cgroup, netns: key.peer_netns, name: key.peer_name })
}

/// The address in the form people know: v4-mapped becomes IPv4 (RFC 4291, section 2.5.5.2).
pub fn ip(address: &abi::Address) -> IpAddr {
    let [a, b, c, d] = address.map(u32::from_be);
    let bits = [a, b, c, d].into_iter().fold(0, |bits, word| bits << 32 | u128::from(word));
    Ipv6Addr::from_bits(bits).to_canonical()
}

/// The address in the kernel half's form.
pub fn address(ip: IpAddr) -> abi::Address {
    let bits = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    // Each shift leaves one word in the low half, which is all the cast keeps.
    [96, 64, 32, 0].map(|shift| ((bits >> shift) as u32).to_be())
}

/// Compares the totals with all that edges ever held.
pub fn balance(totals: &Totals, held: &Held) -> Balance {
    let account = |counter, overflow, edges| Account {
        total: totals.get(counter),
        edges,
        overflow: totals.get(overflow),
    };
    Balance {
        opened: account(
            Counter::Opened,
            Counter::OverflowOpened,
            held.opened.saturating_sub(held.moved),
        ),
        closed: account(Counter::Closed, Counter::OverflowClosed, held.closed),
        failed: account(Counter::Failed, Counter::OverflowFailed, held.failed),
        sent_bytes: account(Counter::SentBytes, Counter::OverflowSentBytes, held.sent_bytes),
        received_bytes: account(
            Counter::ReceivedBytes,
            Counter::OverflowReceivedBytes,
            held.received_bytes,
        ),
        sent_datagrams: account(
            Counter::DatagramsSent,
            Counter::OverflowDatagramsSent,
            held.sent_datagrams,
        ),
        received_datagrams: account(
            Counter::DatagramsReceived,
            Counter::OverflowDatagramsReceived,
            held.received_datagrams,
        ),
    }
}

/// By how much the edges differ from anything that can have been true while they were read, which
/// was between two readings of the totals: 0 on a host at work as on one at rest.
pub fn unaccounted(before: &Totals, after: &Totals, held: &Held) -> u64 {
    let (low, high) = (balance(before, held), balance(after, held));
    // One that goes from edge to edge in between may be read twice, or not at all.
    let moved = after.get(Counter::Moved).saturating_sub(before.get(Counter::Moved));
    let outside = |low: Account, high: Account, slack| {
        let least = low.total.saturating_sub(high.overflow).saturating_sub(slack);
        let most = high.total.saturating_sub(low.overflow).saturating_add(slack);
        let held = high.edges;
        least.saturating_sub(held).saturating_add(held.saturating_sub(most))
    };
    let pairs = low.accounts().into_iter().zip(high.accounts()).enumerate();
    // Only connections move; they are the first account.
    pairs
        .map(|(at, (low, high))| outside(low, high, if at == 0 { moved } else { 0 }))
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
