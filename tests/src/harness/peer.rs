//! The tests' own servers and clients, each a process with a name of its own.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use super::{Cgroup, Namespace, program};

/// Where a peer runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// Its cgroup; the test's own without one, which no agent of a test watches.
    pub cgroup: Option<&'a Cgroup>,
    /// Its network namespace; the test's own without one.
    pub namespace: Option<&'a Namespace>,
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Where a connection stands, as one end has it (RFC 9293, section 3.3.1).
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// Its own address.
    pub local: SocketAddr,
    /// The other end's.
    pub peer: SocketAddr,
    /// The sequence number of what it sends next.
    pub snd_nxt: u32,
    /// The sequence number of what it expects next.
    pub rcv_nxt: u32,
    /// How many bytes the other end has room for.
    pub snd_wnd: u32,
}

/// What a peer counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections established.
    pub connections: u64,
    /// Payload bytes read.
    pub read: u64,
    /// Payload bytes written.
    pub written: u64,
    /// Segments with payload that came, of connections where they were counted.
    pub segments: u64,
    /// Connects that failed, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Established connections that ended in an error, by reason.
    pub errors: BTreeMap<String, u64>,
    /// A client's own ports, in the order of its connections.
    pub ports: Vec<u16>,
}

// === impl Place ===

impl<'a> Place<'a> {
    /// In this cgroup.
    #[must_use]
    pub fn of(cgroup: &'a Cgroup) -> Self {
        Self { cgroup: Some(cgroup), namespace: None }
    }

    /// The same in this network namespace.
    #[must_use]
    pub fn within(self, namespace: &'a Namespace) -> Self {
        Self { namespace: Some(namespace), ..self }
    }

    /// Lets `command` start there.
    pub fn place(&self, command: &mut Command) {
        if let Some(cgroup) = self.cgroup {
            cgroup.place(command);
        }
        if let Some(namespace) = self.namespace {
            namespace.place(command);
        }
    }
}

// === impl Peer ===

impl Peer {
    /// Starts a peer. `arguments` are a command of the program `peer` and its flags, by words.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn start(place: Place<'_>, name: &str, arguments: &str) -> Self {
        let mut command = Command::new(program::peer_binary());
        command.args(arguments.split(' ')).args(["--name", name]);
        place.place(&mut command);
        Self::spawn(name, command)
    }

    /// Starts a command that becomes a peer, or runs one, whose input and output it has.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        program::die_with_test(&mut command);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let input = child.stdin.take().expect("standard input was asked for");
        let output = child.stdout.take().expect("standard output was asked for");
        Self { name: name.to_owned(), child, input, output: BufReader::new(output) }
    }

    /// Starts a server that takes `connections` and goes through `steps` with each; returns it
    /// with its address.
    ///
    /// # Panics
    ///
    /// If it does not listen.
    #[must_use]
    pub fn serve(
        place: Place<'_>,
        name: &str,
        listen: SocketAddr,
        connections: u64,
        steps: &str,
    ) -> (Self, SocketAddr) {
        let arguments =
            format!("serve --listen {listen} --connections {connections} --steps {steps}");
        let mut peer = Self::start(place, name, &arguments);
        let address = peer.address();
        (peer, address)
    }

    /// Starts a client that makes `connections` one after the other, each with `steps`.
    #[must_use]
    pub fn connect(
        place: Place<'_>,
        name: &str,
        to: SocketAddr,
        connections: u64,
        steps: &str,
    ) -> Self {
        let arguments = format!("connect --to {to} --connections {connections} --steps {steps}");
        Self::start(place, name, &arguments)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says where it listens.
    ///
    /// # Panics
    ///
    /// If it says something else.
    pub fn address(&mut self) -> SocketAddr {
        let line = self.line();
        let address = line["listening"].as_str().and_then(|text| text.parse().ok());
        address.unwrap_or_else(|| panic!("{} does not listen: {line}", self.name))
    }

    /// Waits until it comes to a step `wait`.
    ///
    /// # Panics
    ///
    /// If it says something else.
    pub fn waits(&mut self) {
        let line = self.line();
        assert!(line["waiting"].is_boolean(), "{} does not wait: {line}", self.name);
    }

    /// Waits until it comes to a step `position`, and says where its connection stands.
    ///
    /// # Panics
    ///
    /// If it says something else.
    pub fn position(&mut self) -> Position {
        let line = self.line();
        Position::new(&line).unwrap_or_else(|| panic!("{}: no position: {line}", self.name))
    }

    /// Waits until it tells this number.
    ///
    /// # Panics
    ///
    /// If it says something else.
    pub fn number(&mut self, key: &str) -> u64 {
        let line = self.line();
        line[key].as_u64().unwrap_or_else(|| panic!("{}: no {key}: {line}", self.name))
    }

    /// Lets it go on from a step `wait` or `position`.
    ///
    /// # Panics
    ///
    /// If it is gone.
    pub fn proceed(&mut self) {
        let written = self.input.write_all(b"\n").and_then(|()| self.input.flush());
        written.unwrap_or_else(|error| panic!("{} does not listen: {error}", self.name));
    }

    /// Waits for its end, and for what it counted.
    ///
    /// # Panics
    ///
    /// If it ended with an error.
    pub fn finish(mut self) -> Tally {
        let line = self.line();
        let status = self.child.wait().expect("a child can be waited for");
        assert!(status.success(), "{}: {status}", self.name);
        Tally::new(&line).unwrap_or_else(|| panic!("{}: no tally: {line}", self.name))
    }

    /// Ends it at once.
    ///
    /// # Panics
    ///
    /// If it cannot be ended.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be ended");
        self.child.wait().expect("a child can be waited for");
    }

    /// Its next line. A peer ends by itself when it takes too long, so this ends too.
    fn line(&mut self) -> Value {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        read.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{} said {line:?}: {error}", self.name))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

// === impl Position ===

impl Position {
    fn new(line: &Value) -> Option<Self> {
        let address = |key: &str| line[key].as_str()?.parse().ok();
        let number = |key: &str| line[key].as_u64()?.try_into().ok();
        Some(Self {
            local: address("local")?,
            peer: address("peer")?,
            snd_nxt: number("snd_nxt")?,
            rcv_nxt: number("rcv_nxt")?,
            snd_wnd: number("snd_wnd")?,
        })
    }
}

// === impl Tally ===

impl Tally {
    fn new(line: &Value) -> Option<Self> {
        let by_reason = |key: &str| -> Option<BTreeMap<String, u64>> {
            let reasons = line[key].as_object()?.iter();
            reasons.map(|(reason, count)| Some((reason.clone(), count.as_u64()?))).collect()
        };
        let port = |port: &Value| port.as_u64().and_then(|port| u16::try_from(port).ok());
        Some(Self {
            connections: line["connections"].as_u64()?,
            read: line["read"].as_u64()?,
            written: line["written"].as_u64()?,
            segments: line["segments"].as_u64()?,
            failures: by_reason("failures")?,
            errors: by_reason("errors")?,
            ports: line["ports"].as_array()?.iter().map(port).collect::<Option<_>>()?,
        })
    }

    /// A tally of connections that all went well.
    #[must_use]
    pub fn of(connections: u64, read: u64, written: u64) -> Self {
        Self { connections, read, written, ..Self::default() }
    }

    /// The same without the ports, which the kernel chose.
    #[must_use]
    pub fn without_ports(self) -> Self {
        Self { ports: Vec::new(), ..self }
    }
}
