//! `plainsight observe` as a process, and the records it prints.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Agent, Record, program, wait};

/// What an observer has printed.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Records.
    pub records: Vec<Record>,
    /// Records that it was told it missed.
    pub missed: u64,
}

/// A running observer, with its filter in force in the kernel.
#[derive(Debug)]
pub struct Observer {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

/// How a line begins that tells of missed records.
const GAP: &str = "{\"gap\":";

// === impl Observer ===

impl Observer {
    /// Starts `plainsight observe -o json` with these flags, and waits until the kernel has its
    /// filter.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    #[must_use]
    pub fn start(agent: &Agent, flags: &[&str]) -> Self {
        let before = filters(agent);
        let mut command = Command::new(program::agent_binary());
        command.args(["observe", "--api", &agent.url(), "-o", "json"]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        program::die_with_test(&mut command);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = keep_lines(&mut child);
        let mut observer = Self { child, lines };
        wait::until("the observer's filter", || match filters(agent) {
            now if now > before => Ok(()),
            _ => Err(format!("{before} filters in force; the observer {}", observer.state())),
        });
        observer
    }

    /// Waits for `count` records, and fails if there are more.
    ///
    /// # Panics
    ///
    /// If there are more, or if that takes too long.
    pub fn records(&mut self, count: u64) -> Vec<Record> {
        wait::until("records", || match self.read() {
            records if records.len() as u64 >= count => Ok(()),
            records => Err(format!("{} of {count}; the observer {}", records.len(), self.state())),
        });
        let records = self.read();
        assert_eq!(records.len() as u64, count, "more records than connections: {records:#?}");
        records
    }

    /// Waits for `count` records, whatever it was told it missed between them.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn wait_for(&mut self, count: u64) {
        wait::until("records", || match self.count() {
            records if records >= count => Ok(()),
            records => Err(format!("{records} of {count}; the observer {}", self.state())),
        });
    }

    /// How many records it has printed. They are not read for it: there may be very many.
    fn count(&self) -> u64 {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| !line.starts_with(GAP)).count() as u64
    }

    /// All that it has printed.
    ///
    /// # Panics
    ///
    /// If a line is no JSON.
    #[must_use]
    pub fn observed(&self) -> Observed {
        let (gaps, records): (Vec<_>, Vec<_>) =
            self.read().into_iter().partition(|record| record.0.get("gap").is_some());
        let missed = gaps.iter().filter_map(|gap| gap.0["gap"]["missed"].as_u64()).sum();
        Observed { records, missed }
    }

    /// Ends it as a user does, and waits until the kernel has forgotten its filter.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn end(mut self, agent: &Agent) {
        let before = filters(agent);
        let process = Pid::from_raw(self.child.id().cast_signed());
        kill(process, Signal::SIGINT).expect("a child can be sent a signal");
        self.child.wait().expect("a child can be waited for");
        wait::until("the end of the observer's filter", || match filters(agent) {
            now if now < before => Ok(()),
            now => Err(format!("{before} filters before, {now} now")),
        });
    }

    fn read(&self) -> Vec<Record> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let parse = |line: &String| {
            let record = serde_json::from_str(line);
            Record(record.unwrap_or_else(|error| panic!("not JSON ({error}): {line}")))
        };
        lines.iter().map(parse).collect()
    }

    fn state(&mut self) -> String {
        match self.child.try_wait() {
            Ok(Some(status)) => format!("ended with {status}"),
            _ => "is running".into(),
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// Record filters in force in the kernel.
fn filters(agent: &Agent) -> u64 {
    wait::until("a count of filters", || agent.metrics().get("plainsight_record_filters", &[]))
}

fn keep_lines(child: &mut Child) -> Arc<Mutex<Vec<String>>> {
    let stream = BufReader::new(child.stdout.take().expect("standard output was asked for"));
    let kept = Arc::<Mutex<Vec<String>>>::default();
    let lines = Arc::clone(&kept);
    thread::spawn(move || {
        for line in stream.lines().map_while(Result::ok) {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    kept
}
