//! Observers: their filters in the kernel, and what is sent to each.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ipnet::IpNet;
use plainsight_core::{
    flow,
    identity::Workload,
    protocol::{self, Transport},
    record::Decision,
};
use plainsight_ebpf::{
    abi::{
        Address,
        config::{Filter, Traits},
        event::Connection,
    },
    wire::security::Security,
};
use tokio::sync::mpsc;

use crate::{
    discover::names::Names,
    kernel::{FilterSlot, Kernel, KernelError},
    serve::FlowFilter,
};

/// Lines an observer may be behind before it misses some.
const BACKLOG: usize = 4096;

/// Bits of the prefix that turns an IPv4 address into a mapped one.
const MAPPED_BITS: u8 = 96;

/// What an observer reads from: JSON values, each with its line feed.
pub(super) type Lines = mpsc::Receiver<Bytes>;

/// Somebody who reads connection records.
#[derive(Debug)]
pub(super) struct Follower {
    filter: FlowFilter,
    lines: mpsc::Sender<Bytes>,
    installed: Vec<(Filter, FilterSlot)>,
    missed: u64,
}

// === impl Follower ===

impl Follower {
    /// Puts the filter in force; `None` if the kernel has no room for any of it.
    pub(super) fn start(
        filter: FlowFilter,
        kernel: &mut Kernel,
        names: &mut Names,
        now: Instant,
    ) -> Result<Option<(Self, Lines)>, KernelError> {
        let (lines, receiver) = mpsc::channel(BACKLOG);
        let mut follower = Self { filter, lines, installed: Vec::new(), missed: 0 };
        follower.refresh(kernel, names, now)?;
        Ok((!follower.installed.is_empty()).then_some((follower, receiver)))
    }

    /// Brings the kernel's filters up to what the workload is now: its cgroups come and go. False
    /// if there was no room for all.
    pub(super) fn refresh(
        &mut self,
        kernel: &mut Kernel,
        names: &mut Names,
        now: Instant,
    ) -> Result<bool, KernelError> {
        if !self.installed.is_empty() && self.filter.workload.is_none() {
            return Ok(true);
        }
        let wanted = compile(&self.filter, names, now);
        let is_over = |(filter, _): &mut (Filter, FilterSlot)| !wanted.contains(filter);
        let over: Vec<_> = self.installed.extract_if(.., is_over).map(|(_, slot)| slot).collect();
        kernel.remove_filters(&over)?;
        for filter in wanted {
            if self.installed.iter().any(|(known, _)| *known == filter) {
                continue;
            }
            let Some(slot) = kernel.add_filter(&filter)? else { return Ok(false) };
            self.installed.push((filter, slot));
        }
        Ok(true)
    }

    /// Takes the filter out of force.
    pub(super) fn stop(&self, kernel: &mut Kernel) -> Result<(), KernelError> {
        let slots: Vec<FilterSlot> = self.installed.iter().map(|(_, slot)| *slot).collect();
        kernel.remove_filters(&slots)
    }

    /// Whether nobody reads any more.
    pub(super) fn is_gone(&self) -> bool {
        self.lines.is_closed()
    }

    /// Whether a record between these two is wanted. The kernel's mark is not enough: it lets
    /// through more than one workload of a name, and a slot may have been another observer's when
    /// the record was marked.
    pub(super) fn wants(&self, event: &Connection, client: &Workload, server: &Workload) -> bool {
        let traits = Traits {
            duration_ns: event.header.time_ns.saturating_sub(event.opened_ns),
            bytes: event.sent_bytes.saturating_add(event.received_bytes),
            transport: event.key.transport,
            security: Security::bit_of(event.key.protocol, event.key.stage),
            stage: event.key.stage,
            verdict: event.key.verdict,
        };
        let fits = |(filter, slot): &(Filter, FilterSlot)| {
            event.filters & slot.bit() != 0
                && [0, event.key.port, event.key.asked_port].contains(&filter.port)
                && (filter.covers(&event.local) || filter.covers(&event.remote))
                && filter.suits(&traits)
        };
        let named = |name: &String| client.name == *name || server.name == *name;
        self.installed.iter().any(fits) && self.filter.workload.as_ref().is_none_or(named)
    }

    /// Sends a line, or counts it: a slow reader neither waits for nor delays anybody. Before the
    /// next line that can be sent it is told how many it missed.
    pub(super) fn send(&mut self, line: &Bytes) -> bool {
        if self.missed > 0 && self.lines.try_send(gap(self.missed)).is_ok() {
            self.missed = 0;
        }
        let sent = self.missed == 0 && self.lines.try_send(line.clone()).is_ok();
        self.missed += u64::from(!sent);
        sent
    }
}

fn gap(missed: u64) -> Bytes {
    format!("{{\"gap\":{{\"missed\":{missed}}}}}\n").into()
}

/// The kernel's filters that together let through at least what was asked for.
fn compile(filter: &FlowFilter, names: &mut Names, now: Instant) -> Vec<Filter> {
    let (network, mask) = filter.cidr.as_ref().map_or(([0; 4], [0; 4]), network);
    let nanoseconds = |least: Duration| u64::try_from(least.as_nanos()).unwrap_or(u64::MAX);
    let base = Filter {
        port: filter.port.unwrap_or(0),
        network,
        mask,
        transport: filter.transport.map_or(0, Transport::code),
        securities: protocol::securities(&filter.security),
        stages: protocol::stages(filter.plaintext),
        verdicts: filter.verdict.map_or(0, Decision::bit),
        min_duration_ns: filter.min_duration.map_or(0, nanoseconds),
        min_bytes: filter.min_bytes.unwrap_or(0),
        sample: filter.sample.map_or(0, NonZeroU32::get),
        ..Filter::default()
    };
    let Some(workload) = &filter.workload else { return vec![base] };
    let marks = names.marks(workload, now).into_iter();
    marks.map(|(cgroup, name)| Filter { cgroup, name, ..base }).collect()
}

/// A network as the kernel compares it: v4-mapped, in network order, host bits cleared.
fn network(cidr: &IpNet) -> (Address, Address) {
    let bits = match cidr {
        IpNet::V4(_) => MAPPED_BITS + cidr.prefix_len(),
        IpNet::V6(_) => cidr.prefix_len(),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    let mask = flow::address(std::net::Ipv6Addr::from_bits(mask).into());
    (flow::address(cidr.network()), mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cidr: &str, inside: &[&str], outside: &[&str]) {
        let (network, mask) = network(&cidr.parse().unwrap());
        let filter = Filter { network, mask, ..Filter::default() };
        let covers = |ip: &&str| filter.covers(&flow::address(ip.parse().unwrap()));
        assert!(inside.iter().all(covers), "{cidr} covers all of {inside:?}");
        assert!(!outside.iter().any(covers), "{cidr} covers none of {outside:?}");
    }

    #[test]
    fn networks_of_both_families() {
        check("192.0.2.0/24", &["192.0.2.0", "192.0.2.255"], &["192.0.3.0", "::c000:200"]);
        check("192.0.2.77/25", &["192.0.2.1"], &["192.0.2.128"]);
        check("0.0.0.0/0", &["192.0.2.1", "255.255.255.255"], &["2001:db8::1"]);
        check("192.0.2.7/32", &["192.0.2.7"], &["192.0.2.6"]);
        check("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::", "192.0.2.1"]);
        check("::/0", &["2001:db8::1", "192.0.2.1"], &[]);
        check("2001:db8::1/128", &["2001:db8::1"], &["2001:db8::2"]);
    }

    fn follower(lines: mpsc::Sender<Bytes>) -> Follower {
        let filter = FlowFilter::default();
        Follower { filter, lines, installed: Vec::new(), missed: 0 }
    }

    #[test]
    fn a_slow_reader_is_told_how_many_it_missed() {
        let (lines, mut receiver) = mpsc::channel(2);
        let mut follower = follower(lines);
        let line = Bytes::from_static(b"{}\n");
        let sent: Vec<bool> = (0..5).map(|_| follower.send(&line)).collect();
        assert_eq!(sent, [true, true, false, false, false]);
        assert_eq!(receiver.try_recv().as_deref(), Ok(b"{}\n".as_slice()));
        assert_eq!(receiver.try_recv().as_deref(), Ok(b"{}\n".as_slice()));
        assert!(follower.send(&line));
        assert_eq!(receiver.try_recv().as_deref(), Ok(b"{\"gap\":{\"missed\":3}}\n".as_slice()));
        assert_eq!(receiver.try_recv().as_deref(), Ok(b"{}\n".as_slice()));
    }

    #[test]
    fn a_reader_that_left_is_gone() {
        let (lines, receiver) = mpsc::channel(2);
        let follower = follower(lines);
        assert!(!follower.is_gone());
        drop(receiver);
        assert!(follower.is_gone());
    }
}
