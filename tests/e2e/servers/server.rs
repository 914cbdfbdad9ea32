//! A running server, and the hops to it.

use std::{
    fs::{self, File},
    net::{IpAddr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use plainsight_tests::harness::{Namespace, Place, die_with_test};

use super::{Authority, Expect, Folder};

/// Where a family's servers are, and who vouches for them.
pub(crate) struct Yard<'a> {
    place: Place<'a>,
    namespace: &'a Namespace,
    pub(crate) ip: IpAddr,
    pub(crate) authority: &'a Authority,
}

/// A family's servers, and the hops to them.
pub(crate) struct Running {
    pub(crate) servers: Vec<Server>,
    pub(crate) hops: Vec<Hop>,
}

/// Clients of one kind to one port.
pub(crate) struct Hop {
    /// The clients' workload.
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    /// One client, which ends by itself.
    pub(crate) client: Box<dyn Fn() -> Command>,
    /// How many connections one client makes.
    pub(crate) connections: u64,
    pub(crate) expect: Expect,
}

/// A server with a folder of its own. It is ended with this.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    folder: Folder,
    /// Another that its clients need.
    others: Option<Folder>,
    end: Signal,
}

/// How long a server may take to start. Some compile what they are made of.
const START: Duration = Duration::from_secs(90);

/// How long a server may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a server speaks TLS, and asks its clients for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealing {
    None,
    OneWay,
    Asks,
}

const LOG: &str = "output.log";

// === impl Yard ===

impl<'a> Yard<'a> {
    pub(crate) fn new(
        place: Place<'a>,
        namespace: &'a Namespace,
        ip: IpAddr,
        authority: &'a Authority,
    ) -> Self {
        Self { place, namespace, ip, authority }
    }

    /// Starts a server and waits until it listens on all of these ports.
    pub(crate) fn start(&self, folder: Folder, command: &mut Command, ports: &[u16]) -> Server {
        Server::start(Some(self.place), folder, command, ports)
    }

    /// Ports that nobody uses there, for a server that cannot choose one.
    pub(crate) fn ports<const N: usize>(&self) -> [u16; N] {
        self.namespace.enter(|| free(self.ip))
    }

    /// Runs a program that is there for the set-up of a server.
    pub(crate) fn prepare(command: &mut Command) {
        let finished = plainsight_tests::harness::run(command);
        assert!(finished.status.success(), "{command:?}: {}{}", finished.stdout, finished.stderr);
    }

    /// The same for one that needs to reach a server that runs.
    pub(crate) fn prepare_there(&self, command: &mut Command) {
        self.namespace.place(command);
        Self::prepare(command);
    }
}

// === impl Running ===

impl Running {
    pub(crate) fn logs(&self) -> String {
        self.servers.iter().map(Server::log).collect()
    }
}

// === impl Server ===

impl Server {
    /// Starts a server and waits until it listens on all of these ports.
    pub(crate) fn start(
        place: Option<Place<'_>>,
        folder: Folder,
        command: &mut Command,
        ports: &[u16],
    ) -> Self {
        let log = File::create(folder.at(LOG)).expect("a file can be made");
        let other = log.try_clone().expect("a descriptor can be copied");
        command.stdin(Stdio::null()).stdout(log).stderr(other).current_dir(folder.path());
        die_with_test(command);
        if let Some(place) = place {
            place.place(command);
        }
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?}: {error}: `cargo xtask setup` installs what is missing")
        });
        let mut server = Self { child, folder, others: None, end: Signal::SIGTERM };
        let start = Instant::now();
        while let Err(reason) = server.listens(ports) {
            assert!(start.elapsed() < START, "{command:?}: {reason}");
            thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// Ends it by another signal than most understand.
    pub(crate) fn ended_by(mut self, signal: Signal) -> Self {
        self.end = signal;
        self
    }

    /// Keeps what its clients need for as long as it runs.
    pub(crate) fn with(mut self, folder: Option<Folder>) -> Self {
        self.others = folder;
        self
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        let log = self.folder.read(LOG);
        let last = log.len().saturating_sub(3_000);
        log.get(last..).unwrap_or(&log).to_owned()
    }

    fn listens(&mut self, ports: &[u16]) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("a server ended with {status}:\n{}", self.log());
        }
        let open = listening(self.child.id());
        let missing = ports.iter().find(|port| !open.contains(port));
        missing.map_or(Ok(()), |port| Err(format!("{port} is not open:\n{}", self.log())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = kill(Pid::from_raw(self.child.id().cast_signed()), self.end);
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// Some server's program as this user, with the same process identifier.
pub(crate) fn program(path: &str, user: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={user}"));
    command.args(["--clear-groups", "--", path]);
    command
}

/// Ports of an address that nobody uses.
pub(crate) fn free<const N: usize>(ip: IpAddr) -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((ip, 0)).expect("a port is free"));
    listeners.map(|listener| listener.local_addr().as_ref().map_or(0, SocketAddr::port))
}

/// Ports that somebody listens on in the network namespace of this process.
fn listening(process: u32) -> Vec<u16> {
    let read = |name| {
        let path = Path::new("/proc").join(process.to_string()).join("net").join(name);
        fs::read_to_string(path).unwrap_or_default()
    };
    let text = ["tcp", "tcp6"].map(read).concat();
    text.lines().filter_map(port).collect()
}

/// The port, if this line of `/proc/net/tcp` is of a socket that listens (proc(5)).
fn port(line: &str) -> Option<u16> {
    let mut fields = line.split_whitespace().skip(1);
    let (_, port) = fields.next()?.rsplit_once(':')?;
    (fields.nth(1)? == "0A").then(|| u16::from_str_radix(port, 16).ok())?
}
