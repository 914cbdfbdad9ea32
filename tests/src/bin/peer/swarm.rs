//! Very many clients that live for a moment: a process for each connection.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};
use serde_json::json;

use super::{client, flags::Flags, take_name, tally};

/// Where a process gets its name from.
enum Origin {
    /// It gives it to itself.
    Own,
    /// It is a program of that name in this folder.
    Program(PathBuf),
}

/// A process that lived for less was gone before anybody could look at it.
const BRIEF: Duration = Duration::from_millis(10);

/// One process after the other, with the names in turn.
pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let names: Vec<&str> = flags.text("names").context("--names is missing")?.split(',').collect();
    let origin = flags.text("programs").map_or(Origin::Own, |path| Origin::Program(path.into()));
    let mut brief = 0_u64;
    for (number, name) in (0..flags.count("processes")?).zip(names.iter().cycle()) {
        let start = Instant::now();
        let well = match &origin {
            Origin::Own => by_fork(name, flags)?,
            Origin::Program(folder) => by_exec(&folder.join(name), flags)?,
        };
        ensure!(well, "the connection of process {number}, {name}, failed");
        brief += u64::from(start.elapsed() < BRIEF);
    }
    Ok(tally::say(&json!({ "brief": brief }))?)
}

fn by_fork(name: &str, flags: &Flags) -> io::Result<bool> {
    // SAFETY: this process has one thread, so the child finds every lock free.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let well = take_name(name).is_ok() && client::one(flags).is_ok_and(|well| well);
            // SAFETY: the child ends without what the parent has arranged for its own end.
            unsafe { libc::_exit(i32::from(!well)) }
        }
        ForkResult::Parent { child } => Ok(waitpid(child, None)? == WaitStatus::Exited(child, 0)),
    }
}

fn by_exec(program: &Path, flags: &Flags) -> anyhow::Result<bool> {
    let mut command = Command::new(program);
    command.args(["connect", "--connections", "1", "--to", flags.text("to").unwrap_or_default()]);
    command.args(["--steps", flags.text("steps").unwrap_or_default()]).stdout(Stdio::null());
    let status = command.status().with_context(|| format!("{}", program.display()))?;
    Ok(status.success())
}
