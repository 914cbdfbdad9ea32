//! One connection as one of its ends saw it, with Hubble's key names where Hubble has the field.
//!
//! Source is always the client and destination the server, whichever end reports.

use alloc::borrow::Cow;
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use jiff::Timestamp;
use plainsight_ebpf::abi::edge::EdgeKey;
use plainsight_ebpf::abi::{Address, event};
use serde::{Deserialize, Serialize};

use crate::escape;
use crate::flow::{self, Clock, Reporter};
use crate::fnv::Fnv;
use crate::identity::{Kind, Workload};
use crate::protocol::{Class, Reading, Security, State, Transport};

/// A record: Hubble's envelope, and what Hubble has no field for beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The connection in Hubble's terms.
    pub flow: Flow,
    /// The host that reports.
    pub node_name: String,
    /// When the connection ended.
    pub time: Timestamp,
    /// The rest.
    pub plainsight: Detail,
}

/// Hubble's `flow`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// When the connection ended.
    pub time: Timestamp,
    /// The same for the same end of the same connection, however often it is written.
    pub uuid: String,
    /// `FORWARDED`, or `ERROR` where nothing came of the connection.
    pub verdict: Cow<'static, str>,
    /// Addresses.
    #[serde(rename = "IP")]
    pub ip: Addresses,
    /// Ports.
    pub l4: Layer4,
    /// The client.
    pub source: End,
    /// The server.
    pub destination: End,
    /// Never: a record is of a whole connection.
    pub is_reply: bool,
    /// `EGRESS` where the client reports, `INGRESS` where the server does.
    pub traffic_direction: Cow<'static, str>,
    /// The socket's cookie.
    pub socket_cookie: u64,
    /// Inode of the socket's cgroup2 directory.
    pub cgroup_id: u64,
    /// One line for people. Not escaped: that is for whoever prints it.
    #[serde(rename = "Summary")]
    pub summary: String,
}

/// Hubble's `IP`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The client's.
    pub source: IpAddr,
    /// The server's.
    pub destination: IpAddr,
    /// `IPv4` or `IPv6`.
    #[serde(rename = "ipVersion")]
    pub version: Cow<'static, str>,
}

/// Hubble's `l4`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layer4 {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp(Ports),
    /// UDP.
    #[serde(rename = "UDP")]
    Udp(Ports),
}

/// Ports of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// The client's.
    pub source_port: u16,
    /// The server's.
    pub destination_port: u16,
}

/// Hubble's `source` and `destination`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The workload's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The workload, as a list of one.
    pub workloads: Vec<Name>,
}

/// A workload as Hubble names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// [`Workload::name`].
    pub name: String,
    /// [`Workload::kind`].
    pub kind: Kind,
}

/// What Hubble has no field for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detail {
    /// Which end saw this.
    pub reporter: Reporter,
    /// Id of the edge the connection was counted on.
    pub edge: Option<String>,
    /// Payload bytes from client to server.
    pub bytes_sent: u64,
    /// Payload bytes from server to client.
    pub bytes_received: u64,
    /// Datagrams from client to server; none over TCP.
    pub datagrams_sent: Option<u64>,
    /// Datagrams from server to client; none over TCP.
    pub datagrams_received: Option<u64>,
    /// Where the packets went, where that is not what the client asked for.
    pub reached: Option<Reached>,
    /// From establishment, or from connect if it never was established, to the end; over UDP from
    /// the first datagram to the socket's end.
    pub duration_seconds: f64,
    /// How it ended.
    pub close: Close,
    /// The wire protocol.
    pub protocol: Cow<'static, str>,
    /// Its major version, where known.
    pub protocol_version: Option<Cow<'static, str>>,
    /// What protects the payload.
    pub security: Security,
    /// How far that was seen to be in force.
    pub state: State,
    /// What a TLS handshake said; handshakes are not read yet.
    pub tls: Option<()>,
    /// What protocol, security and state follow from.
    pub evidence: Evidence,
    /// What the policy says.
    pub verdict: Verdict,
    /// The client.
    pub client: Workload,
    /// The server.
    pub server: Workload,
    /// The process at the reporting end.
    pub process: ProcessRef,
}

/// Where packets went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reached {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// The process at the end that reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Its process id on the host, where known.
    pub pid: Option<u32>,
    /// Its name in the kernel (`comm`).
    pub name: String,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// Both ends finished.
    Fin,
    /// One end reset it.
    Rst,
    /// It was given up after retransmissions.
    Timeout,
    /// It was never established: the server answered by a reset.
    Refused,
    /// It was never established: given up by the application, or by an ICMP error.
    Aborted,
    /// There was no connection: its socket was closed.
    Closed,
    /// A newer kernel half says something that has no name here.
    Unknown,
}

/// What a reading rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was seen.
    pub what: Cow<'static, str>,
    /// On how many connections.
    pub connections: u64,
    /// Of how many.
    pub of: u64,
}

/// What the policy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What was done.
    pub decision: Decision,
    /// The rule that decided.
    pub rule: Option<String>,
    /// Whether what the rule requires is met.
    pub requirement: Requirement,
}

/// What was done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It passed.
    Allowed,
    /// It was kept from happening.
    Denied,
    /// It passed only because nothing is enforced.
    WouldDeny,
}

/// Whether a rule's requirement on encryption is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// It is.
    Met,
    /// It is not.
    Violated,
    /// Nothing was seen that proves either.
    Unproven,
    /// Nothing is required.
    None,
}

/// A connection with source and destination told apart.
struct Oriented {
    client: (IpAddr, u16),
    server: (IpAddr, u16),
    bytes_sent: u64,
    bytes_received: u64,
    datagrams_sent: u64,
    datagrams_received: u64,
}

// === impl Layer4 ===

impl Layer4 {
    /// The ports, whatever the transport.
    pub const fn ports(&self) -> &Ports {
        match self {
            Self::Tcp(ports) | Self::Udp(ports) => ports,
        }
    }
}

// === impl Reached ===

impl Reached {
    /// Where the packets of this edge went, where one of its ends knows of more than was asked
    /// for: a client from its own packets, a paired server from its own address.
    ///
    /// `local` is the address of the end that reports; all zero where it is not known yet.
    pub fn new(key: &EdgeKey, local: &Address) -> Option<Self> {
        let (address, port) = match Reporter::from_code(key.role) {
            Reporter::Client => (key.reached, key.reached_port),
            Reporter::Server if is_translated(key, local) => (*local, key.port),
            Reporter::Server => return None,
        };
        let is_known = address != [0; 4] || port != 0;
        is_known.then(|| Self { address: flow::ip(&address), port })
    }
}

/// Whether a paired server's own address and port are not those that its client asked for.
fn is_translated(key: &EdgeKey, local: &Address) -> bool {
    let is_asked_for = key.remote == *local || flow::ip(&key.remote).is_unspecified();
    let is_known = *local != [0; 4];
    flow::peer(key).is_some() && is_known && !(is_asked_for && key.port == key.asked_port)
}

// === impl Close ===

impl Close {
    /// The way of closing with this code of [`event::Close`].
    pub const fn from_code(code: u8) -> Self {
        match event::Close::from_code(code) {
            Some(event::Close::Fin) => Self::Fin,
            Some(event::Close::Reset) => Self::Rst,
            Some(event::Close::TimedOut) => Self::Timeout,
            Some(event::Close::Refused) => Self::Refused,
            Some(event::Close::Aborted) => Self::Aborted,
            Some(event::Close::Closed) => Self::Closed,
            None => Self::Unknown,
        }
    }

    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }
}

// === impl Decision ===

impl Decision {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Allowed, Self::Denied, Self::WouldDeny];

    /// The one with this [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decision| decision.name() == name)
    }

    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::WouldDeny => "would_deny",
        }
    }

    /// The bit that stands for it where verdicts are chosen by a mask. What the kernel half writes
    /// while there is no policy is 0, and allowed.
    pub const fn bit(self) -> u8 {
        match self {
            Self::Allowed => 1,
            Self::Denied => 1 << 1,
            Self::WouldDeny => 1 << 2,
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// What holds while there is no policy.
    pub const fn without_policy() -> Self {
        Self { decision: Decision::Allowed, rule: None, requirement: Requirement::None }
    }
}

// === impl Oriented ===

impl Oriented {
    fn new(event: &event::Connection, reporter: Reporter) -> Self {
        let local = (flow::ip(&event.local), event.local_port);
        let remote = (flow::ip(&event.remote), event.remote_port);
        let as_client = Self {
            client: local,
            server: remote,
            bytes_sent: event.sent_bytes,
            bytes_received: event.received_bytes,
            datagrams_sent: event.sent_datagrams,
            datagrams_received: event.received_datagrams,
        };
        match reporter {
            Reporter::Client => as_client,
            Reporter::Server => as_client.mirrored(),
        }
    }

    const fn mirrored(self) -> Self {
        Self {
            client: self.server,
            server: self.client,
            bytes_sent: self.bytes_received,
            bytes_received: self.bytes_sent,
            datagrams_sent: self.datagrams_received,
            datagrams_received: self.datagrams_sent,
        }
    }
}

// === impl End ===

impl End {
    fn new(workload: &Workload) -> Self {
        let name = Name { name: workload.name.clone(), kind: workload.kind };
        Self { namespace: workload.namespace.clone(), workloads: vec![name] }
    }
}

/// The record of a connection between two workloads on the edge with this id.
pub fn record(
    event: &event::Connection,
    client: Workload,
    server: Workload,
    edge: Option<String>,
    clock: &Clock,
    node: &str,
) -> Record {
    let reporter = Reporter::from_code(event.key.role);
    let time = clock.time(event.header.time_ns);
    Record {
        flow: flow(event, reporter, &client, &server, time),
        node_name: node.to_owned(),
        time,
        plainsight: detail(event, reporter, client, server, edge),
    }
}

fn flow(
    event: &event::Connection,
    reporter: Reporter,
    client: &Workload,
    server: &Workload,
    time: Timestamp,
) -> Flow {
    let oriented = Oriented::new(event, reporter);
    Flow {
        time,
        uuid: uuid(event),
        verdict: Cow::Borrowed(verdict(event)),
        ip: addresses(&oriented),
        l4: layer4(event, &oriented),
        source: End::new(client),
        destination: End::new(server),
        is_reply: false,
        traffic_direction: Cow::Borrowed(match reporter {
            Reporter::Client => "EGRESS",
            Reporter::Server => "INGRESS",
        }),
        socket_cookie: event.cookie,
        cgroup_id: event.key.cgroup,
        summary: summary(event, client, server, oriented.server.1),
    }
}

fn layer4(event: &event::Connection, oriented: &Oriented) -> Layer4 {
    let ports = Ports { source_port: oriented.client.1, destination_port: oriented.server.1 };
    if is_udp(event) { Layer4::Udp(ports) } else { Layer4::Tcp(ports) }
}

fn is_udp(event: &event::Connection) -> bool {
    Transport::from_code(event.key.transport) == Transport::Udp
}

fn detail(
    event: &event::Connection,
    reporter: Reporter,
    client: Workload,
    server: Workload,
    edge: Option<String>,
) -> Detail {
    let oriented = Oriented::new(event, reporter);
    let Reading { protocol, version, security, state } = reading(event);
    let datagrams = |count| is_udp(event).then_some(count);
    let what = Class::of(&event.key).evidence(event.key.flags);
    Detail {
        reporter,
        edge,
        bytes_sent: oriented.bytes_sent,
        bytes_received: oriented.bytes_received,
        datagrams_sent: datagrams(oriented.datagrams_sent),
        datagrams_received: datagrams(oriented.datagrams_received),
        reached: Reached::new(&event.key, &event.local),
        duration_seconds: seconds(event.header.time_ns.saturating_sub(event.opened_ns)),
        close: Close::from_code(event.close),
        protocol: Cow::Borrowed(protocol),
        protocol_version: version.map(Cow::Borrowed),
        security,
        state,
        tls: None,
        evidence: Evidence { what, connections: 1, of: 1 },
        verdict: Verdict::without_policy(),
        client,
        server,
        process: ProcessRef {
            pid: (event.tgid != 0).then_some(event.tgid),
            name: escape::comm(&event.comm),
        },
    }
}

fn reading(event: &event::Connection) -> Reading {
    Class::of(&event.key).reading()
}

fn addresses(oriented: &Oriented) -> Addresses {
    let version = if oriented.server.0.is_ipv4() { "IPv4" } else { "IPv6" };
    Addresses {
        source: oriented.client.0,
        destination: oriented.server.0,
        version: Cow::Borrowed(version),
    }
}

/// An error where nothing came of the connection. A time-out happens before and after a connection
/// is established; it is an error where no payload was carried.
const fn verdict(event: &event::Connection) -> &'static str {
    let carried = event.sent_bytes != 0 || event.received_bytes != 0;
    match Close::from_code(event.close) {
        Close::Refused | Close::Aborted => "ERROR",
        Close::Timeout if !carried => "ERROR",
        _ => "FORWARDED",
    }
}

fn summary(event: &event::Connection, client: &Workload, server: &Workload, port: u16) -> String {
    let transport = match Transport::from_code(event.key.transport) {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
        Transport::Unknown => "IP",
    };
    let (protocol, close) = (reading(event).protocol, Close::from_code(event.close).name());
    format!("{transport} {} → {}:{port} {protocol} {close}", client.name, server.name)
}

/// A UUID of version 8 (RFC 9562, section 5.8), made of what identifies this end of this
/// connection on this host until the next boot.
fn uuid(event: &event::Connection) -> String {
    let half = |seed: u8| {
        Fnv::START
            .bytes(&[seed, event.key.role])
            .bytes(&event.cookie.to_be_bytes())
            .bytes(&event.opened_ns.to_be_bytes())
            .value()
    };
    let (high, low) = (half(0), half(1));
    format!(
        "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff,
    )
}

/// Exact up to a hundred days, and the nearest value beyond.
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests;
