//! Recorded counts of the kernel half, as text that people can read and write.
//!
//! `fixtures/recording.json` names the ends on a host, then halves of edges and single connections
//! between them; a field that is left out is zero.

use std::{array, collections::BTreeMap, net::IpAddr};

use plainsight_core::{
    escape,
    flow::{self, Clock, Endpoint, Half},
    graph,
    identity::{self, Directory, Process, Workload},
    protocol::{Class, Transport},
    record::{self, Record},
};
use plainsight_ebpf::abi::{
    self, Comm,
    edge::{EdgeCounters, EdgeKey, FOLDED, GUESSED, LATE, RTT_BUCKETS, Role},
    event::{Close, Connection, EventHeader, EventKind},
};
use plainsight_ebpf::wire::{protocol::Protocol, secret::Secret, stage::Stage};
use serde_json::Value;

/// One host's counts at one moment.
pub struct Recording {
    /// The host's clock.
    pub clock: Clock,
    /// The moment, on the boot-time clock.
    pub taken_ns: u64,
    /// What the kernel's map of edges holds.
    pub halves: Vec<Half>,
    /// Who the ends are.
    pub directory: Directory,
    host: String,
    ends: BTreeMap<String, End>,
    connections: Vec<Value>,
}

/// An end on the host.
struct End {
    endpoint: Endpoint,
    comm: Comm,
}

static TEXT: &str = include_str!("../fixtures/recording.json");

// === impl Recording ===

impl Recording {
    /// Reads the recording.
    ///
    /// # Panics
    ///
    /// If it is not well-formed: it is part of the tests.
    #[must_use]
    pub fn read() -> Self {
        let mut json: Value = serde_json::from_str(TEXT).expect("the recording is JSON");
        let host = text(&json, "host").to_owned();
        let mut directory = Directory::new(1009);
        let named = json["ends"].as_object().expect("ends have names");
        let ends = named.iter().map(|(name, end)| (name.clone(), End::new(end))).collect();
        for end in named.values() {
            let (endpoint, workload) = resolved(end, &host);
            directory.insert(endpoint, workload);
        }
        let mut recording = Self {
            clock: Clock { unix_minus_boot_ns: number(&json, "unix_minus_boot_ns").cast_signed() },
            taken_ns: number(&json, "taken_ns"),
            halves: Vec::new(),
            directory,
            host,
            ends,
            connections: array(json["connections"].take()),
        };
        let halves = array(json["halves"].take());
        recording.halves = halves.iter().map(|half| recording.half(half)).collect();
        recording
    }

    /// The connections as records.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.connections.iter().map(|connection| self.record(connection)).collect()
    }

    fn half(&self, json: &Value) -> Half {
        let count = |key| number(json, key);
        let end = self.end(json, "own");
        let counters = EdgeCounters {
            opened: count("opened"),
            moved: count("moved"),
            closed: count("closed"),
            resets: count("resets"),
            sent_bytes: count("sent_bytes"),
            received_bytes: count("received_bytes"),
            sent_datagrams: count("sent_datagrams"),
            received_datagrams: count("received_datagrams"),
            refused: count("refused"),
            timed_out: count("timed_out"),
            aborted: count("aborted"),
            first_ns: count("first_ns"),
            last_ns: count("last_ns"),
            local: address(json, "local"),
            comm: end.comm,
            tgid: 4711,
            asked: 0,
            rtt: samples(&json["rtt"]),
        };
        Half { key: self.key(json), counters }
    }

    fn key(&self, json: &Value) -> EdgeKey {
        let own = self.end(json, "own").endpoint;
        let peer = json["peer"].as_str().map(|_| self.end(json, "peer").endpoint);
        let reached = json["reached"].as_str().map(|_| address(json, "reached"));
        let key = EdgeKey {
            cgroup: own.cgroup,
            netns: own.netns,
            peer_cgroup: peer.map_or(0, |peer| peer.cgroup),
            peer_netns: peer.map_or(0, |peer| peer.netns),
            name: own.name,
            peer_name: peer.map_or(0, |peer| peer.name),
            remote: address(json, "remote"),
            reached: reached.unwrap_or_default(),
            port: number(json, "port") as u16,
            asked_port: number(json, "asked_port") as u16,
            reached_port: number(json, "reached_port") as u16,
            role: role(json) as u8,
            transport: transport(json).code(),
            protocol: class(json).protocol as u8,
            stage: class(json).stage as u8,
            secret: class(json).secret as u8,
            flags: flags(&json["flags"]),
            ..EdgeKey::default()
        };
        if key.flags & FOLDED == 0 { key } else { folded(&key) }
    }

    fn record(&self, json: &Value) -> Record {
        let key = self.key(json);
        let event = Connection {
            header: EventHeader {
                kind: EventKind::Connection as u8,
                version: abi::VERSION,
                length: size_of::<Connection>() as u16,
                reserved: 0,
                time_ns: number(json, "last_ns"),
            },
            key,
            opened_ns: number(json, "first_ns"),
            sent_bytes: number(json, "sent_bytes"),
            received_bytes: number(json, "received_bytes"),
            sent_datagrams: number(json, "sent_datagrams"),
            received_datagrams: number(json, "received_datagrams"),
            cookie: number(json, "cookie"),
            local: address(json, "local"),
            // A paired server's key has what its client asked for in place of where it is.
            remote: json["from"].as_str().map_or(key.remote, |_| address(json, "from")),
            filters: 1,
            tgid: 4711,
            local_port: number(json, "local_port") as u16,
            remote_port: number(json, "remote_port") as u16,
            close: close(text(json, "close")) as u8,
            orphaned: 0,
            reserved: 0,
            comm: self.end(json, "own").comm,
        };
        let (client, server) = self.workloads(&event);
        let reading = class(json).reading();
        let late = key.flags & LATE != 0;
        let edge = graph::id(&client, &server, key.port, transport(json), &reading, late);
        record::record(&event, client, server, Some(edge), &self.clock, &self.host)
    }

    fn workloads(&self, event: &Connection) -> (Workload, Workload) {
        let known = |endpoint| self.directory.get(&endpoint).cloned();
        let own = known(flow::own(&event.key)).expect("every end is known");
        let peer = flow::peer(&event.key).and_then(known);
        let other = peer.unwrap_or_else(|| identity::remote(flow::ip(&event.remote)));
        let is_client = event.key.role == Role::Client as u8;
        let (client, server) = if is_client { (own, other) } else { (other, own) };
        let [local, remote] = [event.local, event.remote].map(|address| flow::ip(&address));
        graph::shown(client, server, graph::Scope::between(local, remote))
    }

    fn end(&self, json: &Value, key: &str) -> &End {
        let name = text(json, key);
        self.ends.get(name).unwrap_or_else(|| panic!("no end {name:?}"))
    }
}

// === impl End ===

impl End {
    fn new(json: &Value) -> Self {
        let name = text(json, "process").as_bytes();
        let mut comm = [0; abi::COMM_LEN];
        comm[..name.len()].copy_from_slice(name);
        let endpoint = Endpoint {
            cgroup: number(json, "cgroup"),
            netns: number(json, "netns"),
            // Folded, all processes of a cgroup are one.
            name: if name.is_empty() { 0 } else { abi::name_id(&comm) },
        };
        Self { endpoint, comm }
    }
}

fn resolved(json: &Value, host: &str) -> (Endpoint, Workload) {
    let End { endpoint, comm } = End::new(json);
    let process = Process { name: escape::comm(&comm), exe: None, alive: true };
    let paths = (json["path"].as_str(), json["legacy_path"].as_str());
    (endpoint, identity::local(paths.0, paths.1, &process, host))
}

/// What the kernel half leaves of a folded edge's key.
fn folded(key: &EdgeKey) -> EdgeKey {
    let EdgeKey { cgroup, role, transport, protocol, stage, secret, flags, .. } = *key;
    EdgeKey { cgroup, role, transport, protocol, stage, secret, flags, ..EdgeKey::default() }
}

fn transport(json: &Value) -> Transport {
    let name = json["transport"].as_str().unwrap_or("tcp");
    Transport::from_name(name).unwrap_or_else(|| panic!("no transport {name:?}"))
}

fn flags(json: &Value) -> u8 {
    let names = json.as_array().into_iter().flatten();
    names.fold(0, |flags, name| {
        flags
            | match name.as_str() {
                Some("late") => LATE,
                Some("folded") => FOLDED,
                Some("guessed") => GUESSED,
                other => panic!("no flag {other:?}"),
            }
    })
}

/// Samples of round-trip times by class, from the first on.
fn samples(json: &Value) -> [u32; RTT_BUCKETS] {
    let count = |class: usize| json[class].as_u64().unwrap_or_default() as u32;
    array::from_fn(count)
}

/// `protocol`, `stage` and `secret` by their names in the code; what is left out is the first.
fn class(json: &Value) -> Class {
    let protocol = json["protocol"].as_str().unwrap_or("unknown");
    let stage = text(json, "stage");
    let secret = json["secret"].as_str().unwrap_or("none");
    let protocols = Protocol::ALL.iter().find(|known| known.name() == protocol);
    let stages = Stage::ALL.iter().find(|known| format!("{known:?}") == stage);
    let secrets = Secret::ALL.iter().find(|known| known.name() == secret);
    Class {
        protocol: *protocols.unwrap_or_else(|| panic!("no protocol {protocol:?}")),
        stage: *stages.unwrap_or_else(|| panic!("no stage {stage:?}")),
        secret: *secrets.unwrap_or_else(|| panic!("no secret {secret:?}")),
    }
}

fn close(name: &str) -> Close {
    match name {
        "fin" => Close::Fin,
        "reset" => Close::Reset,
        "timed_out" => Close::TimedOut,
        "refused" => Close::Refused,
        "aborted" => Close::Aborted,
        "closed" => Close::Closed,
        other => panic!("no close {other:?}"),
    }
}

fn role(json: &Value) -> Role {
    match text(json, "role") {
        "client" => Role::Client,
        "server" => Role::Server,
        other => panic!("no role {other:?}"),
    }
}

fn address(json: &Value, key: &str) -> abi::Address {
    let ip: IpAddr = text(json, key).parse().unwrap_or_else(|_| panic!("{key} in {json}"));
    flow::address(ip)
}

fn text<'a>(json: &'a Value, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_else(|| panic!("no text {key} in {json}"))
}

fn number(json: &Value, key: &str) -> u64 {
    match &json[key] {
        Value::Null => 0,
        value => value.as_u64().unwrap_or_else(|| panic!("no number {key} in {json}")),
    }
}

fn array(json: Value) -> Vec<Value> {
    match json {
        Value::Array(values) => values,
        other => panic!("no array: {other}"),
    }
}
