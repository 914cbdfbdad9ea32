//! The agent under test, as a process.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{
    Cgroup, Edge, Metrics, Objects, Response,
    http::{get, get_as},
    program, wait,
};

/// A running agent. It is ended when this is dropped; after a failed test it tells its log.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
    running: bool,
}

/// How an agent ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// From the signal to the end of the process.
    pub took: Duration,
    /// What it had in the kernel.
    pub objects: Objects,
}

// === impl Agent ===

impl Agent {
    /// Starts `plainsight run` on this cgroup and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not get ready.
    #[must_use]
    pub fn start(cgroup: &Cgroup, flags: &[&str]) -> Self {
        Self::launch(cgroup, flags, |_| {})
    }

    /// The same, with the agent itself in this cgroup.
    ///
    /// # Panics
    ///
    /// If it does not get ready.
    #[must_use]
    pub fn start_inside(cgroup: &Cgroup, flags: &[&str]) -> Self {
        Self::launch(cgroup, flags, |command| cgroup.place(command))
    }

    fn launch(cgroup: &Cgroup, flags: &[&str], place: impl FnOnce(&mut Command)) -> Self {
        let address = free_address();
        let mut command = Command::new(program::agent_binary());
        command.arg("run").arg("--cgroup").arg(cgroup.path());
        command.args(["--listen", &address.to_string()]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        program::die_with_test(&mut command);
        place(&mut command);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::default();
        keep_log(&mut child, &log);
        let mut agent = Self { child, address, log, running: true };
        wait::until("the agent's readiness", || agent.ready());
        agent
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as its clients are told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it for a path.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    #[must_use]
    pub fn get(&self, path: &str) -> Response {
        get(self.address, path).unwrap_or_else(|reason| panic!("{reason}\n{}", self.log()))
    }

    /// The same, as if it had this name.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    #[must_use]
    pub fn get_as(&self, path: &str, host: &str) -> Response {
        get_as(self.address, path, host).unwrap_or_else(|reason| panic!("{reason}\n{}", self.log()))
    }

    /// Its map.
    ///
    /// # Panics
    ///
    /// If it does not answer with one.
    #[must_use]
    pub fn edges(&self) -> Vec<Edge> {
        let response = self.get("/api/v1/edges");
        let Value::Array(edges) = response.json()["edges"].take() else {
            panic!("no edges in {}", response.body);
        };
        edges.into_iter().map(Edge).collect()
    }

    /// Its metrics.
    ///
    /// # Panics
    ///
    /// If they are not of the format.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let response = self.get("/metrics");
        Metrics::parse(&response.body)
            .unwrap_or_else(|reason| panic!("{reason}\nin:\n{}", response.body))
    }

    /// Waits until the map is as `look` wants it.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn edges_until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&[Edge]) -> Result<T, String>,
    ) -> T {
        wait::until(what, || look(&self.edges()))
    }

    /// Waits until the agent has looked at the kernel once more, and found that all that was
    /// opened is closed and every count is accounted for.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn settle(&self) {
        self.scan();
        wait::until("a map at rest", || {
            let metrics = self.metrics();
            let opened = metrics.get("plainsight_connections_opened_total", &[])?;
            let closed = metrics.get("plainsight_connections_closed_total", &[])?;
            if opened != closed {
                return Err(format!("{opened} connections opened, {closed} closed"));
            }
            match metrics.get("plainsight_balance_error", &[])? {
                0 => Ok(()),
                error => Err(format!("the balance is off by {error}")),
            }
        });
    }

    /// Waits until the agent has looked at the kernel once more. A count of looks is told between
    /// two of them, so the next one sees all that is there now.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn scan(&self) {
        let scans = || self.metrics().get("plainsight_scan_duration_seconds_count", &[]);
        let before = wait::until("a count of scans", scans);
        wait::until("another scan", || match scans()? {
            now if now > before => Ok(()),
            now => Err(format!("{before} scans before, {now} now")),
        });
    }

    /// What it has in the kernel.
    #[must_use]
    pub fn objects(&self) -> Objects {
        Objects::of(self.pid())
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it by a signal and waits for its end.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub fn end(&mut self, signal: Signal) -> Ended {
        let objects = self.objects();
        let start = Instant::now();
        kill(self.process(), signal).expect("a child can be sent a signal");
        let child = &mut self.child;
        let status = wait::until("the agent's end", || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it is still there".into()),
            Err(error) => Err(error.to_string()),
        });
        self.running = false;
        Ended { status, took: start.elapsed(), objects }
    }

    /// Stops it where it stands.
    ///
    /// # Panics
    ///
    /// If it is gone.
    pub fn pause(&self) {
        kill(self.process(), Signal::SIGSTOP).expect("a child can be sent a signal");
        // The signal has come to all of its threads once the process is in the state "T" (proc(5)).
        let path = format!("/proc/{}/stat", self.pid());
        wait::until("a stopped agent", || match fs::read_to_string(&path) {
            Ok(stat) if stat.contains(") T ") => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// Lets it go on.
    ///
    /// # Panics
    ///
    /// If it is gone.
    pub fn resume(&self) {
        kill(self.process(), Signal::SIGCONT).expect("a child can be sent a signal");
    }

    fn process(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn ready(&mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            self.running = false;
            panic!("the agent ended with {status}:\n{}", self.log());
        }
        match get(self.address, "/readyz")? {
            Response { status: 200, .. } => Ok(()),
            Response { status, body, .. } => Err(format!("{status} {body}\n{}", self.log())),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.running {
            // Both fail only where it has ended already.
            let _ended = self.child.kill();
            let _waited = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("the agent's log:\n{}", self.log());
        }
    }
}

/// An address on loopback that nobody uses at the moment.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("a listener has an address")
}

fn keep_log(child: &mut Child, log: &Arc<Mutex<String>>) {
    let stream = BufReader::new(child.stderr.take().expect("standard error was asked for"));
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in stream.lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
}
