//! What of ours is in the kernel, and what it costs there.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
};

use aya::maps::{IterableMap as _, Map};

use super::{Kernel, KernelError, load::PROGRAMS};

/// A map's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapUsage {
    /// The map's name.
    pub name: &'static str,
    /// Most elements it can hold; for the ring, its bytes.
    pub capacity: u64,
    /// Memory the kernel accounts for it.
    pub memory_bytes: u64,
}

/// A loaded program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramUsage {
    /// The program's name.
    pub name: &'static str,
    /// The kernel's id for it.
    pub id: u32,
    /// Instructions the verifier walked through; `None` before Linux 5.16, which does not say.
    pub verified_instructions: Option<u32>,
    /// Bytes after the kernel's own rewriting.
    pub translated_bytes: u32,
}

// === impl Kernel ===

impl Kernel {
    /// The maps that have a size worth watching.
    #[must_use]
    pub fn maps(&self) -> Vec<MapUsage> {
        let tables = [
            ("EDGES", self.edges.fd()),
            ("QUOTAS", self.quotas.map().fd().as_fd().as_raw_fd()),
            ("LEAVES", self.leaves.map().fd().as_fd().as_raw_fd()),
            ("COUNTERS", self.counters.map().fd().as_fd().as_raw_fd()),
            ("CONFIG", self.config.map().fd().as_fd().as_raw_fd()),
            ("FILTERS", self.filters.map().fd().as_fd().as_raw_fd()),
        ];
        let others = ["PAIRS", "CONVERSATIONS"].into_iter().filter_map(|name| self.other(name));
        let all = tables.into_iter().chain(others).map(|(name, fd)| usage(name, fd));
        all.chain([self.older.usage()]).collect()
    }

    /// A map that only the programs use.
    fn other(&self, name: &'static str) -> Option<(&'static str, RawFd)> {
        let map = match self.ebpf.map(name)? {
            Map::Array(map) | Map::LruHashMap(map) => map,
            _ => return None,
        };
        Some((name, map.fd().as_fd().as_raw_fd()))
    }

    /// Every program, in the order of attachment.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to tell.
    pub fn programs(&self) -> Result<Vec<ProgramUsage>, KernelError> {
        PROGRAMS.into_iter().map(|name| self.program(name)).collect()
    }

    fn program(&self, name: &'static str) -> Result<ProgramUsage, KernelError> {
        let program = self.ebpf.program(name).ok_or(KernelError::Missing(name))?;
        let info = program.info().map_err(|refusal| KernelError::Program { name, refusal })?;
        Ok(ProgramUsage {
            name,
            id: info.id(),
            verified_instructions: info.verified_instruction_count(),
            translated_bytes: info.size_translated().unwrap_or(0),
        })
    }
}

/// The kernel tells a map's size in the descriptor's own file, without any capability.
pub(super) fn usage(name: &'static str, fd: i32) -> MapUsage {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    let field = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    MapUsage { name, capacity: field("max_entries:"), memory_bytes: field("memlock:") }
}
