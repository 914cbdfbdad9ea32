//! Taking edges out while programs count.
//!
//! The memory of a deleted element is another's at once, and a program that has looked an edge up
//! adds to it whatever it has become. So edges are not deleted one by one: the programs are told to
//! count under another generation, and when none runs any more that began before, nobody can know
//! an edge of the one that is over.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya::maps::IterableMap as _;
use plainsight_ebpf::abi::edge::{EdgeCounters, EdgeKey, QuotaKey};

use super::{Kernel, KernelError, batch};

/// MEMBARRIER_CMD_QUERY and MEMBARRIER_CMD_GLOBAL of membarrier(2). The latter returns when every
/// section has ended in which the kernel runs programs, and every CPU has seen what was written.
const QUERY: libc::c_int = 0;
const GLOBAL: libc::c_int = 1;

/// Elements deleted by one call.
const BATCH: usize = 4096;

// === impl Kernel ===

impl Kernel {
    /// Whether edges can be retired: not on hosts with CPUs kept free of interruption (nohz_full).
    #[must_use]
    pub fn can_retire(&self) -> bool {
        membarrier(QUERY).is_ok_and(|commands| commands & GLOBAL != 0)
    }

    /// Takes every edge out and hands it, with all it ever counted, to `each`. Connections that go
    /// on are counted on new edges. Takes some ten milliseconds.
    ///
    /// # Errors
    ///
    /// If the kernel refuses; then edges stay where they are, and the next call takes them.
    pub fn retire(
        &mut self,
        mut each: impl FnMut(&EdgeKey, &EdgeCounters),
    ) -> Result<(), KernelError> {
        if !self.can_retire() {
            return Err(KernelError::NoGrace);
        }
        self.settings.generation = u32::from((self.settings.generation as u16).wrapping_add(1));
        self.configure()?;
        membarrier(GLOBAL).map_err(|_| KernelError::NoGrace)?;
        let generation = self.settings.generation as u16;
        let mut over = Vec::new();
        self.read_edges(|key, counters| {
            if key.generation != generation {
                over.push((*key, *counters));
            }
        })?;
        let keys: Vec<EdgeKey> = over.iter().map(|(key, _)| *key).collect();
        delete_all(self.edges.map().fd().as_fd(), &keys, "EDGES")?;
        over.iter().for_each(|(key, counters)| each(key, counters));
        self.retire_quotas(generation)
    }

    fn retire_quotas(&mut self, generation: u16) -> Result<(), KernelError> {
        let keys: Vec<QuotaKey> = self
            .quotas
            .keys()
            .filter_map(Result::ok)
            .filter(|key| key.generation != u64::from(generation))
            .collect();
        delete_all(self.quotas.map().fd().as_fd(), &keys, "QUOTAS")
    }
}

fn delete_all<K: aya::Pod>(
    map: BorrowedFd<'_>,
    keys: &[K],
    name: &'static str,
) -> Result<(), KernelError> {
    let refused = |refusal| KernelError::Read { name, refusal };
    keys.chunks(BATCH).try_for_each(|keys| batch::delete(map, keys)).map_err(refused)
}

fn membarrier(command: libc::c_int) -> io::Result<libc::c_int> {
    // SAFETY: the call takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}
