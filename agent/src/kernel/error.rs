//! What can go wrong between the agent and the kernel, and what to do about it.

use std::io;

use aya::programs::ProgramError;

/// An operation the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The object could not be loaded: maps or BTF.
    #[error(transparent)]
    Load(#[from] aya::EbpfError),
    /// A program was refused.
    #[error("program {name}: {}", brief(refusal))]
    Program {
        /// The program's name.
        name: &'static str,
        /// What the kernel said.
        refusal: ProgramError,
    },
    /// A program could not be attached because the cgroup is held exclusively.
    #[error(
        "program {name}: the cgroup already has a program that allows no other beside it; \
         detach it, or attach below with --cgroup"
    )]
    Occupied {
        /// The program's name.
        name: &'static str,
    },
    /// A map operation was refused.
    #[error("map {name}: {refusal}")]
    Map {
        /// The map's name.
        name: &'static str,
        /// What the kernel said.
        refusal: aya::maps::MapError,
    },
    /// The object lacks something this agent needs: the two were not built together.
    #[error("the kernel object has no {0}: rebuild the agent")]
    Missing(&'static str),
    /// Nothing says when the last program that knows an edge has ended.
    #[error("this kernel has no membarrier for all of the system: edges cannot be retired")]
    NoGrace,
    /// A batch look-up failed.
    #[error("reading map {name}: {refusal}")]
    Read {
        /// The map's name.
        name: &'static str,
        /// What the kernel said.
        refusal: io::Error,
    },
}

/// What the kernel said, and the end of the verifier's log, which is where the reason stands.
fn brief(error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return error.to_string();
    };
    let log = verifier_log.to_string();
    let is_reason = |line: &&str| {
        let statistics = ["processed ", "stack depth ", "verification time "];
        !line.trim().is_empty() && !statistics.iter().any(|start| line.starts_with(start))
    };
    match log.lines().rfind(is_reason) {
        Some(reason) => format!("{io_error}; the verifier says: {}", reason.trim()),
        None => io_error.to_string(),
    }
}
