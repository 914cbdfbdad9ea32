//! Programs of others at the hooks of a cgroup or a network device, each a few instructions long.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::Path,
};

use super::{
    bpf::{self, Instruction},
    hook::Hook,
};

/// A program that is attached until this is dropped.
#[derive(Debug)]
pub struct Neighbour {
    _link: OwnedFd,
    /// Held too, for its figures are found through it.
    _program: OwnedFd,
}

// === impl Neighbour ===

impl Neighbour {
    /// The least program that is of use at a hook. At most it asks for what we ask for too.
    ///
    /// # Errors
    ///
    /// If there is no such hook or cgroup, or the kernel refuses the program.
    pub fn least(cgroup: &Path, hook: &str) -> io::Result<Self> {
        let hook = find(hook)?;
        Self::attach(cgroup, hook, hook.least_program())
    }

    /// One that does there as if it were alone.
    ///
    /// # Errors
    ///
    /// As [`Self::least`].
    pub fn careless(cgroup: &Path, hook: &str) -> io::Result<Self> {
        let hook = find(hook)?;
        Self::attach(cgroup, hook, hook.careless_program())
    }

    /// The least one at a network device of this index.
    ///
    /// # Errors
    ///
    /// As [`Self::least`], and where the kernel is older than 6.6.
    pub(super) fn at_device(index: u32, hook: &str) -> io::Result<Self> {
        let hook = find(hook)?;
        let program = bpf::load(hook, hook.least_program())?;
        let link = bpf::link(program.as_fd(), index.cast_signed(), hook)?;
        Ok(Self { _link: link, _program: program })
    }

    fn attach(cgroup: &Path, hook: &Hook, instructions: &[Instruction]) -> io::Result<Self> {
        let cgroup = File::open(cgroup)?;
        let program = bpf::load(hook, instructions)?;
        let link = bpf::link(program.as_fd(), cgroup.as_raw_fd(), hook)?;
        Ok(Self { _link: link, _program: program })
    }
}

fn find(name: &str) -> io::Result<&'static Hook> {
    Hook::find(name).ok_or_else(|| io::Error::other(format!("there is no hook {name}")))
}
