//! One virtual machine: started, read line by line, stopped when it takes too long.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::ValueEnum;

use super::image::MARK;
use crate::{process, summary::Summary};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accelerator {
    Tcg,
    Kvm,
}

pub(crate) struct Machine<'a> {
    pub(crate) name: &'a str,
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    /// Where the console's output is kept.
    pub(crate) console: &'a Path,
    pub(crate) limit: Duration,
    pub(crate) accelerator: Accelerator,
}

/// What the console has told so far.
#[derive(Default)]
struct Progress {
    summary: Summary,
    /// Test binaries that ended, with their status.
    ended: Vec<(String, i32)>,
    missing_modules: Vec<String>,
    reached_end: bool,
}

/// The machine's process; it is ended when this is dropped, by an error too.
struct Guest(Child);

// === impl Machine ===

impl Machine<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new("qemu-system-x86_64");
        // Without cmpxchg16b the guest's allocator takes its plain path: emulating the instruction
        // can mean stopping both processors for each use.
        match self.accelerator {
            Accelerator::Tcg => command.args(["-accel", "tcg", "-cpu", "max,-cx16"]),
            Accelerator::Kvm => command.args(["-accel", "kvm", "-cpu", "host"]),
        };
        command.args(["-smp", "2", "-m", "1024", "-no-reboot", "-nodefaults", "-display", "none"]);
        command.args(["-serial", "stdio"]).arg("-kernel").arg(self.kernel);
        command.arg("-initrd").arg(self.initramfs);
        command.args(["-append", "console=ttyS0 loglevel=4 panic=-1 mitigations=off"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

// === impl Progress ===

impl Progress {
    fn read(&mut self, line: &str) {
        let Some(message) = line.strip_prefix(MARK) else {
            return self.summary.read(line);
        };
        let words: Vec<_> = message.split_whitespace().collect();
        match words[..] {
            ["exit", test, status] => self.ended.push((test.into(), status.parse().unwrap_or(-1))),
            ["no", "module", name] => self.missing_modules.push(name.into()),
            ["end"] => self.reached_end = true,
            _ => {}
        }
    }

    /// Turns what did not happen into failures.
    fn close(mut self, name: &str, tests: &[String], timed_out: bool) -> Summary {
        let mut summary = std::mem::take(&mut self.summary);
        summary.settle_skips();
        for skip in &mut summary.skips {
            skip.insert_str(0, &format!("{name}: "));
        }
        if timed_out {
            summary.fail(&format!("{name}: stopped at its time limit"));
        } else if !self.reached_end {
            summary.fail(&format!("{name}: the machine ended before init did"));
        }
        for module in &self.missing_modules {
            summary.fail(&format!("{name}: module {module} did not load"));
        }
        for test in tests {
            let status =
                self.ended.iter().find(|(ended, _)| ended == test).map(|(_, status)| *status);
            match status {
                Some(0) => {}
                // 101 is libtest's own "some tests failed", which its summary has counted.
                Some(101) if summary.failed > 0 => {}
                Some(status) => summary.fail(&format!("{name}: {test} ended with status {status}")),
                None if timed_out => {}
                None => summary.fail(&format!("{name}: {test} did not end")),
            }
        }
        summary
    }
}

// === impl Guest ===

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only when the machine has powered itself off.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots the machine and returns what its tests said.
pub(crate) fn run(machine: &Machine<'_>, tests: &[String]) -> anyhow::Result<Summary> {
    let mut guest = Guest(machine.command().spawn().context("could not start qemu-system-x86_64")?);
    let stdout = guest.0.stdout.take().context("qemu has no standard output")?;
    let lines = lines(stdout);
    let mut log = File::create(machine.console)
        .with_context(|| format!("could not write {}", machine.console.display()))?;
    let deadline = Instant::now() + machine.limit;
    let mut progress = Progress::default();
    let timed_out = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                writeln!(log, "{line}")?;
                process::say(&format!("[{}] {line}", machine.name));
                progress.read(&line);
            }
            Err(RecvTimeoutError::Timeout) => break true,
            Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    drop(guest);
    Ok(progress.close(machine.name, tests, timed_out))
}

/// The console's lines, read in a thread of their own so that waiting for one has a limit.
fn lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1024);
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            let line = String::from_utf8_lossy(&bytes);
            let line = line.trim_end_matches(['\n', '\r']).replace('\x1b', "");
            if sender.send(line).is_err() {
                break;
            }
            bytes.clear();
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured";

    fn close(console: &str, timed_out: bool) -> String {
        let mut progress = Progress::default();
        console.lines().for_each(|line| progress.read(line));
        progress.close("5.10", &["kernel".into()], timed_out).to_string()
    }

    #[test]
    fn a_machine_that_does_not_finish_has_failed() {
        let check = |console: &str, timed_out, expect: &str| {
            assert_eq!(close(console, timed_out), expect, "{console}");
        };
        let whole = format!("{RESULT}\n{MARK} exit kernel 0\n{MARK} end");
        check(&whole, false, "3 passed, 0 failed");
        check(RESULT, true, "3 passed, 1 failed");
        check(&format!("{RESULT}\n{MARK} exit kernel 0"), false, "3 passed, 1 failed");
        check(&format!("{MARK} exit kernel 139\n{MARK} end"), false, "0 passed, 1 failed");
        check(&format!("{MARK} no module veth\n{whole}"), false, "3 passed, 1 failed");
        let failed = "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured";
        check(
            &format!("{failed}\n{MARK} exit kernel 101\n{MARK} end"),
            false,
            "2 passed, 1 failed",
        );
    }
}
