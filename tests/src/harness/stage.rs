//! What most tests begin with: the kernel to themselves, a cgroup, and an agent that watches it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Agent, Cgroup, Namespace, Place};

/// A cgroup with an agent attached to it.
#[derive(Debug)]
pub struct Stage {
    /// The agent. It goes first.
    pub agent: Agent,
    /// Where peers are put.
    pub cgroup: Cgroup,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

// === impl Stage ===

impl Stage {
    /// Sets the stage.
    ///
    /// # Panics
    ///
    /// If the agent does not get ready.
    #[must_use]
    pub fn set() -> Self {
        Self::with(&[])
    }

    /// The same with flags for the agent.
    ///
    /// # Panics
    ///
    /// If the agent does not get ready.
    #[must_use]
    pub fn with(flags: &[&str]) -> Self {
        let alone = Self::alone();
        let cgroup = Cgroup::new();
        let agent = Agent::start(&cgroup, flags);
        Self { agent, cgroup, _alone: alone }
    }

    /// Waits for the tests of this binary that run at the same time: they share one kernel.
    pub fn alone() -> MutexGuard<'static, ()> {
        // A test that failed has left nothing that matters here.
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In the cgroup.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place::of(&self.cgroup)
    }

    /// In the cgroup and a network namespace.
    #[must_use]
    pub fn within<'a>(&'a self, namespace: &'a Namespace) -> Place<'a> {
        self.place().within(namespace)
    }
}
