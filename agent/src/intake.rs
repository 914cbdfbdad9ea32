//! From the kernel's bytes to the core's values: events off the ring, halves out of the edge map.

use std::collections::BTreeMap;

use plainsight_core::flow::{Half, Totals};
use plainsight_ebpf::abi::{
    self,
    counters::Counter,
    edge::{EdgeCounters, EdgeKey},
    event::{Connection, EventHeader, EventKind, FirstSeen, Handshake, LONG, SHORT},
};

use crate::kernel::{Kernel, KernelError, Pod};

/// What came over the ring.
#[derive(Clone, Debug)]
pub enum Event {
    /// An edge came into being.
    FirstSeen(FirstSeen),
    /// A connection that a filter asked for has ended.
    Connection(Connection),
    /// A part of a handshake.
    Handshake(Box<Handshake>),
}

/// Why an event could not be read. The two halves of one build agree, so this is a fault of ours
/// and is counted, not ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Shorter than its header, or than its kind.
    #[error("an event of {0} bytes is too short")]
    Short(usize),
    /// Of another version of the contract.
    #[error("an event of version {0}, not {version}", version = abi::VERSION)]
    Version(u8),
    /// Of a kind this agent does not know.
    #[error("an event of unknown kind {0}")]
    Kind(u8),
}

/// All the kernel has counted, read in one go.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Every half of an edge.
    pub halves: Vec<Half>,
    /// The same of connections that are older than the programs and still wait for their next
    /// packet or their end: no total has them yet.
    pub older: Vec<Half>,
    /// The totals, read before the halves.
    pub before: Totals,
    /// The totals, read after the halves.
    pub totals: Totals,
}

/// Reads one event.
///
/// # Errors
///
/// If the bytes are not an event of this version.
pub fn decode(bytes: &[u8]) -> Result<Event, EventError> {
    let [kind, version, ..] = *bytes else { return Err(EventError::Short(bytes.len())) };
    if bytes.len() < size_of::<EventHeader>() {
        return Err(EventError::Short(bytes.len()));
    }
    if version != abi::VERSION {
        return Err(EventError::Version(version));
    }
    match EventKind::from_code(kind).ok_or(EventError::Kind(kind))? {
        EventKind::FirstSeen => read(bytes).map(Event::FirstSeen),
        EventKind::Connection => read(bytes).map(Event::Connection),
        EventKind::Handshake => part(bytes).map(Event::Handshake),
    }
}

/// A part of a handshake comes in one of two sizes.
fn part(bytes: &[u8]) -> Result<Box<Handshake>, EventError> {
    if bytes.len() >= size_of::<Handshake>() {
        return read(bytes).map(Box::new);
    }
    let short: Handshake<SHORT> = read(bytes)?;
    let Handshake { header, key, cookie, offset, length, side, reserved, .. } = short;
    let bytes = core::array::from_fn::<u8, LONG, _>(|at| short.bytes.get(at).copied().unwrap_or(0));
    Ok(Box::new(Handshake { header, key, cookie, offset, length, side, reserved, bytes }))
}

fn read<T: Pod>(bytes: &[u8]) -> Result<T, EventError> {
    if bytes.len() < size_of::<T>() {
        return Err(EventError::Short(bytes.len()));
    }
    // SAFETY: there are enough bytes, alignment is not assumed, and any bytes are a valid Pod.
    Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Reads edges and totals. `room` is how many edges the last scan had.
///
/// # Errors
///
/// If the kernel refuses a read.
pub fn scan(kernel: &mut Kernel, room: usize) -> Result<Scan, KernelError> {
    let before = totals(kernel)?;
    let mut halves = Vec::with_capacity(room);
    kernel.read_edges(|key, counters| halves.push(Half { key: *key, counters: *counters }))?;
    Ok(Scan { halves, before, totals: totals(kernel)?, older: older(kernel)? })
}

fn older(kernel: &mut Kernel) -> Result<Vec<Half>, KernelError> {
    let mut edges = BTreeMap::<EdgeKey, EdgeCounters>::new();
    kernel.read_older(|_, state| {
        let (flow, counters) = (&state.flow, edges.entry(state.flow.key(0)).or_default());
        if counters.opened == 0 {
            (counters.local, counters.comm, counters.tgid) =
                (flow.local, flow.own.comm, flow.own.tgid);
            (counters.first_ns, counters.last_ns) = (state.opened_ns, state.opened_ns);
        }
        counters.opened += 1;
    })?;
    Ok(edges.into_iter().map(|(key, counters)| Half { key, counters }).collect())
}

/// Reads the totals.
///
/// # Errors
///
/// If the kernel refuses a read.
pub fn totals(kernel: &Kernel) -> Result<Totals, KernelError> {
    let mut totals = [0; Counter::COUNT as usize];
    for (total, read) in totals.iter_mut().zip(kernel.totals()?) {
        *total = read;
    }
    Ok(Totals::new(totals))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event of `length` bytes, all zero behind kind and version.
    fn check(kind: u8, version: u8, length: usize, expect: Option<EventError>) {
        let mut bytes = vec![0; length];
        if let [k, v, ..] = bytes.as_mut_slice() {
            (*k, *v) = (kind, version);
        }
        assert_eq!(decode(&bytes).err(), expect, "kind {kind} version {version} length {length}");
    }

    #[test]
    fn whole_events_are_read() {
        check(1, abi::VERSION, size_of::<FirstSeen>(), None);
        check(2, abi::VERSION, size_of::<Connection>(), None);
        check(3, abi::VERSION, size_of::<Handshake>(), None);
        check(3, abi::VERSION, size_of::<Handshake<SHORT>>(), None);
        // The ring rounds lengths up to eight bytes.
        check(1, abi::VERSION, size_of::<FirstSeen>() + 8, None);
    }

    #[test]
    fn anything_else_is_an_error() {
        check(0, 0, 0, Some(EventError::Short(0)));
        check(1, abi::VERSION, 15, Some(EventError::Short(15)));
        check(1, abi::VERSION, size_of::<FirstSeen>() - 1, Some(EventError::Short(127)));
        check(2, abi::VERSION, size_of::<FirstSeen>(), Some(EventError::Short(128)));
        check(
            1,
            abi::VERSION + 1,
            size_of::<FirstSeen>(),
            Some(EventError::Version(abi::VERSION + 1)),
        );
        check(9, abi::VERSION, size_of::<FirstSeen>(), Some(EventError::Kind(9)));
    }
}
