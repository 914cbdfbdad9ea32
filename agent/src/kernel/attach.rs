//! Attaching by bpf_link, which the kernel removes by itself when the process is gone.

use std::os::fd::AsFd;

use aya::programs::{CgroupAttachMode, CgroupSkbAttachType, Program, ProgramError};

use super::{Kernel, KernelError, load::PROGRAMS};

// === impl Kernel ===

impl Kernel {
    /// Attaches every program to a cgroup2 directory; all or, if one is refused, none once the
    /// `Kernel` is dropped.
    ///
    /// # Errors
    ///
    /// If the kernel refuses a link.
    pub fn attach(&mut self, cgroup: impl AsFd) -> Result<(), KernelError> {
        for name in PROGRAMS {
            let program = self.ebpf.program_mut(name).ok_or(KernelError::Missing(name))?;
            attach(program, name, cgroup.as_fd()).map_err(|refusal| refused(name, refusal))?;
        }
        Ok(())
    }
}

fn attach(program: &mut Program, name: &str, cgroup: impl AsFd) -> Result<(), ProgramError> {
    // Links are always "multi": the mode that says so is an invalid flag for them.
    let mode = CgroupAttachMode::Single;
    match program {
        Program::CgroupSkb(program) => {
            let ingress = name == "cgroup_skb_ingress";
            let way =
                if ingress { CgroupSkbAttachType::Ingress } else { CgroupSkbAttachType::Egress };
            program.attach(cgroup, way, mode).map(drop)
        }
        Program::CgroupSock(program) => program.attach(cgroup, mode).map(drop),
        Program::CgroupSockAddr(program) => program.attach(cgroup, mode).map(drop),
        Program::SockOps(program) => program.attach(cgroup, mode).map(drop),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// The kernel says EPERM for a cgroup held without "allow multi", as it does for a missing
/// capability; the capability was checked before.
fn refused(name: &'static str, refusal: ProgramError) -> KernelError {
    match &refusal {
        ProgramError::SyscallError(error) if error.io_error.raw_os_error() == Some(libc::EPERM) => {
            KernelError::Occupied { name }
        }
        _ => KernelError::Program { name, refusal },
    }
}
