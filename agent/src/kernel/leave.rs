//! Taking everything out, and making sure of it.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use super::{Kernel, KernelError};

/// BPF_PROG_GET_FD_BY_ID and BPF_MAP_GET_FD_BY_ID of the `bpf` system call.
const PROG_BY_ID: libc::c_int = 13;
const MAP_BY_ID: libc::c_int = 14;

/// How often the kernel is asked again: it frees some objects only after a grace period.
const PAUSE: Duration = Duration::from_millis(10);

/// What the kernel calls our objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ids {
    programs: Vec<u32>,
    maps: Vec<u32>,
}

// === impl Kernel ===

impl Kernel {
    /// Takes everything out, and says whether the kernel confirms it within `limit`. `None` where
    /// it does not tell (that needs CAP_SYS_ADMIN).
    #[must_use]
    pub fn leave(self, limit: Duration) -> Option<bool> {
        let ids = self.ids();
        drop(self);
        let deadline = Instant::now() + limit;
        loop {
            match ids.as_ref().ok()?.are_gone() {
                Ok(true) => return Some(true),
                Ok(false) if Instant::now() < deadline => thread::sleep(PAUSE),
                Ok(false) => return Some(false),
                Err(_) => return None,
            }
        }
    }

    fn ids(&self) -> Result<Ids, KernelError> {
        let programs: Vec<u32> = self.programs()?.iter().map(|program| program.id).collect();
        let names = super::load::PROGRAMS;
        let mut maps = Vec::new();
        for name in names {
            let program = self.ebpf.program(name).ok_or(KernelError::Missing(name))?;
            let info = program.info().map_err(|refusal| KernelError::Program { name, refusal })?;
            let ids = info.map_ids().map_err(|refusal| KernelError::Program { name, refusal })?;
            maps.extend(ids.unwrap_or_default());
        }
        maps.sort_unstable();
        maps.dedup();
        Ok(Ids { programs, maps })
    }
}

// === impl Ids ===

impl Ids {
    fn are_gone(&self) -> io::Result<bool> {
        for (command, ids) in [(PROG_BY_ID, &self.programs), (MAP_BY_ID, &self.maps)] {
            for id in ids {
                if exists(command, *id)? {
                    return Ok(false);
                }
            }
        }
        // A link holds its program, so none is left where no program is.
        Ok(true)
    }
}

fn exists(command: libc::c_int, id: u32) -> io::Result<bool> {
    let attr = [id, 0, 0, 0];
    // SAFETY: the attribute is an id, followed by zeros, in a buffer of the length given.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), size_of_val(&attr)) };
    if fd >= 0 {
        // SAFETY: the descriptor was just made and is nobody else's.
        unsafe { libc::close(fd as i32) };
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ENOENT) { Ok(false) } else { Err(error) }
}
