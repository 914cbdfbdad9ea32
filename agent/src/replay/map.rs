//! Streams as edges of the map.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use jiff::Timestamp;
use plainsight_core::{
    finding::{Asked, Coverage, Findings, Report},
    graph::{self, Credentials, Edge, FailuresByKind, Link, Scope, tls::EdgeTls},
    identity::{self, Confidence},
    protocol::{Class, Reading, State, Transport, Upgrade},
    record::{Close, Evidence, Verdict},
};
use plainsight_ebpf::wire::stage::Stage;

use super::{FileError, Refusal, Replayed, stream::Stream};

/// What makes an edge one edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    client: IpAddr,
    server: SocketAddr,
    transport: Transport,
    is_late: bool,
    reading: Reading,
}

/// The numbers of one edge.
#[derive(Default)]
struct Sum {
    connections: u64,
    /// Of those, the ones without payload.
    pending: u64,
    open: u64,
    failures: FailuresByKind,
    bytes_sent: u64,
    bytes_received: u64,
    datagrams_sent: u64,
    datagrams_received: u64,
    seen: Option<(Timestamp, Timestamp)>,
    tls: Option<Box<EdgeTls>>,
    credentials: Option<Credentials>,
    evidence: Option<Cow<'static, str>>,
    confidence: Option<Confidence>,
    /// The greatest, which tells most.
    class: Option<Class>,
}

/// The map of one or more captures.
#[derive(Default)]
pub struct Map {
    sums: BTreeMap<Key, Sum>,
    refused: BTreeMap<Refusal, u64>,
    is_cut: bool,
    last: Timestamp,
}

/// Findings of all captures together.
const MAX_FINDINGS: usize = 1 << 14;

// === impl Map ===

impl Map {
    /// Adds the streams of a capture.
    pub fn add(&mut self, replayed: &Replayed) {
        for stream in &replayed.streams {
            self.sums.entry(Key::new(stream)).or_default().add(stream);
            self.last = self.last.max(stream.last);
        }
        for (why, n) in replayed.refused.iter().filter(|(why, _)| why.is_loss()) {
            *self.refused.entry(*why).or_default() += n;
        }
        self.is_cut |=
            matches!(&replayed.error, Some(FileError::Damaged { .. } | FileError::Io(_)));
    }

    /// When the last packet was captured; 1970 where there is none.
    pub const fn last(&self) -> Timestamp {
        self.last
    }

    /// What was lost.
    pub const fn refused(&self) -> &BTreeMap<Refusal, u64> {
        &self.refused
    }

    /// Whether all that can be read was.
    pub fn is_complete(&self) -> bool {
        !self.is_cut && self.refused.is_empty()
    }

    /// The edges, in the order of client, server, port and protocol. What carried no payload
    /// belongs to the one protocol that the same client speaks with the same server; where there
    /// is none or more than one, it stays apart.
    pub fn edges(mut self) -> Vec<Edge> {
        settle(&mut self.sums);
        self.sums.into_iter().map(|(key, sum)| edge(key, sum)).collect()
    }

    /// What is wrong with them, as of the last packet.
    pub fn report(self) -> Report {
        let firsts = self.sums.values().filter_map(|sum| sum.seen).map(|(first, _)| first);
        let (since, now) = (firsts.min().unwrap_or(self.last), self.last);
        let coverage = Coverage { since, lost: self.refused.values().sum() };
        let mut findings = Findings::new(Asked::default(), MAX_FINDINGS, since);
        findings.update(&self.edges(), now, &coverage);
        findings.report()
    }
}

// === impl Key ===

impl Key {
    fn new(stream: &Stream) -> Self {
        Self {
            client: stream.client.ip(),
            server: stream.server,
            transport: stream.transport(),
            is_late: !stream.is_whole,
            reading: stream.reading(),
        }
    }

    fn is_beside(&self, other: &Self) -> bool {
        let ends = |key: &Self| (key.client, key.server, key.transport);
        ends(self) == ends(other) && self != other
    }
}

// === impl Sum ===

impl Sum {
    fn add(&mut self, stream: &Stream) {
        let is_tcp = stream.transport() == Transport::Tcp;
        let is_pending = stream.stage() == Stage::Pending;
        match stream.close {
            Some(Close::Refused) => self.failures.refused += 1,
            _ if is_tcp => {
                self.connections += 1;
                self.pending += u64::from(is_pending);
                self.open += u64::from(stream.close.is_none());
            }
            _ => {}
        }
        let found = stream.assessment.as_ref();
        if let Some(tls) = found.and_then(|found| found.tls.as_ref()) {
            self.tls.get_or_insert_default().fold(tls, stream.last);
        }
        let credentials = found.and_then(|found| Credentials::new(found.secret, 1));
        self.credentials = Credentials::worst(self.credentials.take(), credentials);
        self.bytes_sent += stream.bytes_sent;
        self.bytes_received += stream.bytes_received;
        self.datagrams_sent += if is_tcp { 0 } else { stream.datagrams_sent };
        self.datagrams_received += if is_tcp { 0 } else { stream.datagrams_received };
        self.see(stream.first, stream.last);
        self.evidence.get_or_insert_with(|| stream.evidence());
        // The best is the least, and an edge is as sure as the least sure of its connections.
        self.confidence = self.confidence.max(Some(stream.confidence()));
        self.class = self.class.max(Some(stream.class()));
    }

    /// Takes in connections that carried no payload.
    fn adopt(&mut self, pending: Self) {
        self.connections += pending.connections;
        self.pending += pending.pending;
        self.open += pending.open;
        self.failures.refused += pending.failures.refused;
        if let Some((first, last)) = pending.seen {
            self.see(first, last);
        }
        self.confidence = self.confidence.max(Some(Confidence::Medium));
    }

    fn see(&mut self, first: Timestamp, last: Timestamp) {
        let (a, b) = self.seen.unwrap_or((first, last));
        self.seen = Some((a.min(first), b.max(last)));
    }
}

fn settle(sums: &mut BTreeMap<Key, Sum>) {
    let is_pending = |sum: &Sum| sum.pending == sum.connections && sum.bytes_sent == 0;
    let is_unread =
        |key: &Key| key.transport == Transport::Tcp && key.reading.state == State::Unknown;
    let pending: Vec<Key> = sums
        .iter()
        .filter(|(key, sum)| is_unread(key) && is_pending(sum) && sum.bytes_received == 0)
        .map(|(key, _)| *key)
        .collect();
    for key in pending {
        let mut beside = sums.keys().filter(|other| key.is_beside(other));
        let (Some(one), None) = (beside.next().copied(), beside.next()) else { continue };
        if let Some(sum) = sums.remove(&key)
            && let Some(into) = sums.get_mut(&one)
        {
            into.adopt(sum);
        }
    }
}

fn edge(key: Key, sum: Sum) -> Edge {
    let Key { client: ip, server: place, transport, is_late, reading, .. } = key;
    let (client, server) = (identity::remote(ip), identity::remote(place.ip()));
    let (first_seen, last_seen) = sum.seen.unwrap_or_default();
    Edge {
        id: graph::id(&client, &server, place.port(), transport, &reading, is_late),
        client,
        server,
        server_address: place.ip(),
        server_port: place.port(),
        reached: Vec::new(),
        reached_more: 0,
        transport,
        protocol: Cow::Borrowed(reading.protocol),
        protocol_version: reading.version.map(Cow::Borrowed),
        application: None,
        connections: sum.connections,
        open: sum.open,
        failures: sum.failures.refused,
        failures_by_kind: sum.failures,
        bytes_sent: sum.bytes_sent,
        bytes_received: sum.bytes_received,
        datagrams_sent: sum.datagrams_sent,
        datagrams_received: sum.datagrams_received,
        rtt_seconds: None,
        first_seen,
        last_seen,
        // A capture is nobody's end.
        reporters: Vec::new(),
        joined_late: is_late,
        complete: !is_late,
        security: reading.security,
        state: reading.state,
        upgrade: sum.class.map_or(Upgrade::None, Class::upgrade),
        link: Link::Unknown,
        link_basis: None,
        link_evidence: Cow::Borrowed("a capture does not tell what its links are"),
        scope: Scope::between(ip, place.ip()),
        tls: sum.tls,
        credentials: sum.credentials,
        evidence: Evidence {
            what: sum.evidence.unwrap_or_default(),
            connections: sum.connections - sum.pending,
            of: sum.connections,
        },
        confidence: sum.confidence.unwrap_or(Confidence::Low),
        verdict: Verdict::without_policy(),
    }
}
