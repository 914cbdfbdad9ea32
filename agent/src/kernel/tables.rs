//! What the agent reads from maps, and the two it writes.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd},
};

use aya::maps::{HashMap, IterableMap as _, Map, MapData, RingBuf};
use plainsight_ebpf::abi::{
    Comm,
    config::{FILTER_SLOTS, Filter},
    counters::Counter,
    edge::{EdgeCounters, EdgeKey},
    flow::{Flow, Own, SocketState},
    name_id,
};
use plainsight_ebpf::wire::ip::TCP;

use super::{Kernel, KernelError, MapUsage, batch::Batch, load::take, usage::usage};

/// Elements a call: larger batches gain nothing, smaller ones cost a third more.
const BATCH: usize = 4096;

/// The edge map with room to read it.
pub(super) struct EdgeTable {
    map: HashMap<MapData, EdgeKey, EdgeCounters>,
    batch: Batch<EdgeKey, EdgeCounters>,
}

/// Who holds a socket, as the programs would note it.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// The cgroup2 directory's inode.
    pub cgroup: u64,
    /// The network namespace's cookie; 0 where it is not known.
    pub netns: u64,
    /// The process (thread group).
    pub tgid: u32,
    /// The process's name.
    pub comm: Comm,
}

/// A record filter in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilterSlot(u32);

/// The event ring.
pub struct Ring(RingBuf<MapData>);

// === impl EdgeTable ===

impl EdgeTable {
    pub(super) fn new(map: Map, capacity: u32) -> Result<Self, KernelError> {
        let map = HashMap::try_from(map)
            .map_err(|refusal| KernelError::Map { name: "EDGES", refusal })?;
        let size = BATCH.min(capacity as usize).max(1);
        let batch = Batch::new(size, EdgeKey::default(), EdgeCounters::default());
        Ok(Self { map, batch })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.map.map().fd().as_fd().as_raw_fd()
    }

    pub(super) fn map(&self) -> &MapData {
        self.map.map()
    }
}

// === impl FilterSlot ===

impl FilterSlot {
    /// The bit that stands for this slot in a record.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self.0
    }
}

// === impl Ring ===

impl Ring {
    /// The next event's bytes, handed to `read`; false when there is none.
    pub fn next(&mut self, read: impl FnOnce(&[u8])) -> bool {
        self.0.next().map(|event| read(&event)).is_some()
    }

    /// Its size.
    #[must_use]
    pub fn usage(&self) -> MapUsage {
        usage("EVENTS", self.0.as_raw_fd())
    }

    /// A descriptor of its own that is readable when an event woke its reader.
    ///
    /// # Errors
    ///
    /// If no descriptor is to be had.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }
}

// === impl Kernel ===

impl Kernel {
    /// The event ring; it can be taken once.
    ///
    /// # Errors
    ///
    /// If it was taken already.
    pub fn take_ring(&mut self) -> Result<Ring, KernelError> {
        let map = take(&mut self.ebpf, "EVENTS")?;
        RingBuf::try_from(map)
            .map(Ring)
            .map_err(|refusal| KernelError::Map { name: "EVENTS", refusal })
    }

    /// Gives a listening socket the identity it would have got when it was bound, unless it has
    /// one, so that every socket it accepts from now on inherits it. False if it had one.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the update.
    pub fn identify(&mut self, socket: BorrowedFd<'_>, owner: &Owner) -> Result<bool, KernelError> {
        let refusal = |refusal| KernelError::Map { name: "SOCKETS", refusal };
        if self.sockets.get(&socket, 0).is_ok_and(|state| state.flow.own.tgid != 0) {
            return Ok(false);
        }
        let own = self.own(owner);
        let flow = Flow { own, transport: TCP, ..Flow::default() };
        let state = SocketState { flow, ..SocketState::default() };
        self.sockets.insert(&socket, state, 0).map(|()| true).map_err(refusal)
    }

    /// The owner as the programs would have noted it.
    pub(super) fn own(&self, owner: &Owner) -> Own {
        let is_leaf = self.leaves.get(&owner.cgroup, 0).is_ok();
        let is_named = self.reads_process_names() && owner.tgid != 0 && !is_leaf;
        Own {
            cgroup: owner.cgroup,
            netns: owner.netns,
            comm: owner.comm,
            name: if is_named { name_id(&owner.comm) } else { 0 },
            tgid: owner.tgid,
        }
    }

    /// Says that every process of a cgroup is the same workload, so that they need not be told
    /// apart. False where there is no room for another, which only makes more edges.
    pub fn add_leaf(&mut self, cgroup: u64) -> bool {
        self.leaves.insert(cgroup, 1, 0).is_ok()
    }

    /// The cgroup is no more.
    pub fn remove_leaf(&mut self, cgroup: u64) {
        // It may never have found room.
        let _absent = self.leaves.remove(&cgroup);
    }

    /// Starts a new epoch: every live connection adds its counts at its next segment.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the update.
    pub fn next_epoch(&mut self) -> Result<(), KernelError> {
        self.settings.epoch = self.settings.epoch.wrapping_add(1);
        self.configure()
    }

    /// Calls `each` for every edge.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the read.
    pub fn read_edges(
        &mut self,
        each: impl FnMut(&EdgeKey, &EdgeCounters),
    ) -> Result<(), KernelError> {
        let EdgeTable { map, batch } = &mut self.edges;
        batch
            .read(map.map().fd().as_fd(), each)
            .map_err(|refusal| KernelError::Read { name: "EDGES", refusal })
    }

    /// A total over all CPUs.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the read.
    pub fn total(&self, counter: u32) -> Result<u64, KernelError> {
        let values = self
            .counters
            .get(&counter, 0)
            .map_err(|refusal| KernelError::Map { name: "COUNTERS", refusal })?;
        Ok(values.iter().fold(0, |sum, value| sum.wrapping_add(*value)))
    }

    /// All totals, in the order of [`Counter`].
    ///
    /// # Errors
    ///
    /// If the kernel refuses the read.
    pub fn totals(&self) -> Result<Vec<u64>, KernelError> {
        (0..Counter::COUNT).map(|counter| self.total(counter)).collect()
    }

    /// Puts a filter in force; `None` if no slot is free.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the update.
    pub fn add_filter(&mut self, filter: &Filter) -> Result<Option<FilterSlot>, KernelError> {
        let is_free = |slot: &u32| self.settings.filters & (1 << slot) == 0;
        let Some(slot) = (0..FILTER_SLOTS as u32).find(is_free).map(FilterSlot) else {
            return Ok(None);
        };
        self.filters
            .set(slot.0, Filter { bit: slot.bit(), ..*filter }, 0)
            .map_err(|refusal| KernelError::Map { name: "FILTERS", refusal })?;
        self.settings.filters |= slot.bit();
        self.configure()?;
        Ok(Some(slot))
    }

    /// Ends filters.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the update.
    pub fn remove_filters(&mut self, slots: &[FilterSlot]) -> Result<(), KernelError> {
        if slots.is_empty() {
            return Ok(());
        }
        for slot in slots {
            self.settings.filters &= !slot.bit();
        }
        self.configure()
    }

    /// How many filter slots are in force.
    #[must_use]
    pub fn filters_in_force(&self) -> u32 {
        self.settings.filters.count_ones()
    }

    pub(super) fn configure(&mut self) -> Result<(), KernelError> {
        self.config
            .set(0, self.settings, 0)
            .map_err(|refusal| KernelError::Map { name: "CONFIG", refusal })
    }
}
