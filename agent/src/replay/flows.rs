//! Streams as records: one JSON object for each, with Hubble's key names where Hubble has the
//! field, as the agent writes connections.

use std::borrow::Cow;

use jiff::Timestamp;
use plainsight_core::{
    graph::{self, Credentials, Upgrade},
    identity::{self, Confidence, Workload},
    protocol::{Security, State, Transport, tls::Tls},
    record::{Addresses, Close, End, Evidence, Layer4, Name, Ports},
};
use serde::Serialize;

use super::{
    Replayed, reading,
    stream::{Carrier, Stream},
};

#[derive(Serialize)]
struct Record<'a> {
    flow: Flow,
    time: Timestamp,
    plainsight: Detail<'a>,
}

#[derive(Serialize)]
struct Flow {
    time: Timestamp,
    verdict: &'static str,
    #[serde(rename = "IP")]
    ip: Addresses,
    l4: Option<Layer4>,
    source: End,
    destination: End,
    is_reply: bool,
    #[serde(rename = "Summary")]
    summary: String,
}

/// What Hubble has no field for.
#[derive(Serialize)]
struct Detail<'a> {
    /// The file, relative to the folder that was asked for.
    capture: &'a str,
    edge: String,
    bytes_sent: u64,
    bytes_received: u64,
    datagrams_sent: Option<u64>,
    datagrams_received: Option<u64>,
    first_seen: Timestamp,
    duration_seconds: f64,
    close: Option<Close>,
    joined_late: bool,
    protocol: &'static str,
    protocol_version: Option<Cow<'static, str>>,
    security: Security,
    state: State,
    upgrade: Upgrade,
    /// The client's byte at which protection began.
    upgraded_at: Option<u64>,
    credentials: Option<Credentials>,
    tls: Option<&'a Tls>,
    evidence: Evidence,
    confidence: Confidence,
    client: Workload,
    server: Workload,
}

/// The record of each stream of a capture, on a line of its own.
pub fn lines(replayed: &Replayed) -> serde_json::Result<String> {
    replayed.streams.iter().map(|stream| line(&replayed.name, stream)).collect()
}

fn line(capture: &str, stream: &Stream) -> serde_json::Result<String> {
    let (client, server) =
        (identity::remote(stream.client.ip()), identity::remote(stream.server.ip()));
    let record = Record {
        flow: flow(stream, &client, &server),
        time: stream.last,
        plainsight: detail(capture, stream, client, server),
    };
    Ok(serde_json::to_string(&record)? + "\n")
}

fn flow(stream: &Stream, client: &Workload, server: &Workload) -> Flow {
    let ports = Ports { source_port: stream.client.port(), destination_port: stream.server.port() };
    let version = if stream.server.is_ipv4() { "IPv4" } else { "IPv6" };
    Flow {
        time: stream.last,
        verdict: if stream.close == Some(Close::Refused) { "ERROR" } else { "FORWARDED" },
        ip: Addresses {
            source: stream.client.ip(),
            destination: stream.server.ip(),
            version: Cow::Borrowed(version),
        },
        l4: match stream.carrier {
            Carrier::Tcp => Some(Layer4::Tcp(ports)),
            Carrier::Udp => Some(Layer4::Udp(ports)),
            Carrier::Esp | Carrier::Ah => None,
        },
        source: end(client),
        destination: end(server),
        is_reply: false,
        summary: format!(
            "{} {} → {} {}",
            stream.carrier.name().to_uppercase(),
            client.name,
            stream.server,
            stream.reading().protocol,
        ),
    }
}

fn end(workload: &Workload) -> End {
    let name = Name { name: workload.name.clone(), kind: workload.kind };
    End { namespace: None, workloads: vec![name] }
}

fn detail<'a>(
    capture: &'a str,
    stream: &'a Stream,
    client: Workload,
    server: Workload,
) -> Detail<'a> {
    let read = stream.reading();
    let found = stream.assessment.as_ref();
    let datagrams = |count| (stream.carrier != Carrier::Tcp).then_some(count);
    let version = found.and_then(|found| found.version.clone());
    Detail {
        capture,
        edge: graph::id(
            &client,
            &server,
            stream.server.port(),
            stream.transport(),
            &read,
            !stream.is_whole,
        ),
        bytes_sent: stream.bytes_sent,
        bytes_received: stream.bytes_received,
        datagrams_sent: datagrams(stream.datagrams_sent),
        datagrams_received: datagrams(stream.datagrams_received),
        first_seen: stream.first,
        duration_seconds: stream.last.duration_since(stream.first).as_secs_f64(),
        close: stream.close,
        joined_late: !stream.is_whole,
        protocol: read.protocol,
        protocol_version: version.or(read.version.map(Cow::Borrowed)),
        security: read.security,
        state: read.state,
        upgrade: reading::upgrade(stream.stage()),
        upgraded_at: found.and_then(|found| found.upgraded_at),
        credentials: found.and_then(|found| Credentials::new(found.secret, 1)),
        tls: found.and_then(|found| found.tls.as_ref()),
        evidence: Evidence { what: stream.evidence(), connections: 1, of: 1 },
        confidence: stream.confidence(),
        client,
        server,
    }
}

// === impl Stream ===

impl Stream {
    /// What carries it, as edges say it.
    pub(super) const fn transport(&self) -> Transport {
        match self.carrier {
            Carrier::Tcp => Transport::Tcp,
            Carrier::Udp => Transport::Udp,
            Carrier::Esp | Carrier::Ah => Transport::Unknown,
        }
    }

    /// What its reading rests on, and what speaks against it.
    pub(super) fn evidence(&self) -> Cow<'static, str> {
        let seen = match (&self.assessment, self.carrier) {
            (Some(assessment), _) => assessment.evidence.clone(),
            (None, Carrier::Ah) => Cow::Borrowed("authentication headers (RFC 4302)"),
            (None, _) => Cow::Borrowed("encapsulated security payload (RFC 4303)"),
        };
        if self.is_guessed {
            return seen + "; inferred from the ports: which end is the client";
        }
        seen
    }
}
