//! The floor under measurement: a process that holds empty programs at the agent's hooks.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};

pub(crate) struct Floor {
    child: Child,
}

// === impl Floor ===

impl Floor {
    /// Starts it and waits until it says that it has attached.
    pub(crate) fn start(tool: &Path, group: &Path, hooks: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(tool);
        command.arg("floor").arg(group).args(hooks).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("could not start the floor")?;
        let output = child.stdout.take().context("the floor has no standard output")?;
        let floor = Self { child };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if !line.contains("attached") {
            bail!("the floor did not attach");
        }
        Ok(floor)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it, and with it its programs: there is nothing that it would have to put in order.
    pub(crate) fn stop(self) {
        drop(self);
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
