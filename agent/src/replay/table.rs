//! From frames to streams: every packet goes to the conversation it belongs to.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use etherparse::{TcpSlice, UdpSlice};
use jiff::Timestamp;

use super::{
    Said,
    budget::{Budget, Refusal},
    file::Frame,
    fragment::Fragments,
    ftp::Announced,
    ip::{self, Packet, protocol},
    link::{self, Inside},
    stream::Stream,
    tcp::{Connection, Segment},
    tunnel,
    udp::Talk,
};

/// The streams of one capture.
pub(super) struct Table {
    streams: Vec<Open>,
    /// Where the latest of each kind is in `streams`.
    index: HashMap<Key, usize>,
    fragments: Fragments,
    budget: Budget,
}

/// A stream that is being put together.
enum Open {
    Tcp(Connection),
    Udp(Talk),
    /// ESP or AH, which have no ports.
    Sealed(Talk, u8),
}

/// Both ends, the lower one first, and the IP protocol number.
type Key = (SocketAddr, SocketAddr, u8);

/// Streams of one capture.
const MAX_STREAMS: usize = 1 << 16;

/// Tunnels inside each other.
const MAX_DEPTH: usize = 4;

// === impl Table ===

impl Table {
    pub(super) fn new() -> Self {
        Self {
            streams: Vec::new(),
            index: HashMap::new(),
            fragments: Fragments::default(),
            budget: Budget::new(),
        }
    }

    /// Takes one frame.
    pub(super) fn frame(&mut self, frame: Frame<'_>) {
        self.inside(link::inside(frame.link, frame.bytes), frame.time, 0);
    }

    /// What all frames were, and what was not looked at.
    pub(super) fn finish(mut self) -> (Vec<Stream>, std::collections::BTreeMap<Refusal, u64>) {
        self.close();
        let mut announced = Announced::default();
        let streams = self.streams.into_iter().map(|open| match open {
            Open::Tcp(connection) => Stream::tcp(connection, &mut announced),
            Open::Udp(talk) => Stream::udp(talk),
            Open::Sealed(talk, protocol) => Stream::sealed(talk, protocol),
        });
        let mut streams: Vec<Stream> = streams.collect();
        announced.name(&mut streams);
        (streams, self.budget.refused())
    }

    /// Shows what the ends of each stream said, and judges nothing.
    pub(super) fn show(mut self, mut each: impl FnMut(Said<'_>)) {
        self.close();
        for open in self.streams {
            match open {
                Open::Tcp(connection) => each(Said::Tcp(&connection.finish().conversation())),
                Open::Udp(talk) => talk.finish().exchange(|exchange| each(Said::Udp(exchange))),
                Open::Sealed(..) => {}
            }
        }
    }

    /// No more frames will come.
    fn close(&mut self) {
        for whole in std::mem::take(&mut self.fragments).rest(&mut self.budget) {
            self.content(&whole.packet(), Timestamp::UNIX_EPOCH, 0);
        }
    }

    fn inside(&mut self, inside: Inside<'_>, time: Timestamp, depth: usize) {
        match inside {
            Inside::Ip(bytes) => self.packet(bytes, time, depth),
            Inside::Other => self.budget.refuse(Refusal::NotIp),
            Inside::Short => self.budget.refuse(Refusal::Short),
            Inside::UnknownLink => self.budget.refuse(Refusal::UnknownLink),
        }
    }

    fn packet(&mut self, bytes: &[u8], time: Timestamp, depth: usize) {
        let Some(packet) = ip::packet(bytes) else {
            return self.budget.refuse(Refusal::Short);
        };
        if packet.is_authenticated {
            self.sealed(&packet, protocol::AH, time);
        }
        match packet.fragment {
            None => self.content(&packet, time, depth),
            Some(fragment) => {
                if let Some(whole) = self.fragments.take(&packet, fragment, &mut self.budget) {
                    self.content(&whole.packet(), time, depth);
                }
            }
        }
    }

    fn content(&mut self, packet: &Packet<'_>, time: Timestamp, depth: usize) {
        match packet.protocol {
            protocol::TCP => self.tcp(packet, time),
            protocol::UDP => self.udp(packet, time, depth),
            protocol::ESP => self.sealed(packet, protocol::ESP, time),
            protocol::ICMP | protocol::ICMPV6 | protocol::IGMP | protocol::NONE => {
                self.budget.refuse(Refusal::NoStream);
            }
            other if depth < MAX_DEPTH => match tunnel::of_protocol(other, packet.payload) {
                Some(inside) => self.inside(inside, time, depth + 1),
                None => self.budget.refuse(Refusal::UnknownTransport),
            },
            _ => self.budget.refuse(Refusal::UnknownTransport),
        }
    }

    fn tcp(&mut self, packet: &Packet<'_>, time: Timestamp) {
        let Ok(tcp) = TcpSlice::from_slice(packet.payload) else {
            return self.budget.refuse(Refusal::Short);
        };
        let segment = Segment {
            sequence: tcp.sequence_number(),
            acknowledgment: tcp.acknowledgment_number(),
            syn: tcp.syn(),
            ack: tcp.ack(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            payload: tcp.payload(),
            length: packet.length.saturating_sub(tcp.header_slice().len()),
        };
        let ends = ends(packet, tcp.source_port(), tcp.destination_port());
        let key = key(ends, protocol::TCP);
        let from = |open: &Open| usize::from(open.ends()[0] != ends[0]);
        let known = self.index.get(&key).copied().filter(|at| match &self.streams[*at] {
            Open::Tcp(connection) => {
                !connection.is_succeeded_by(from(&self.streams[*at]), &segment)
            }
            _ => false,
        });
        let new = || Open::Tcp(Connection::new(ends, time));
        let Some(at) = known.or_else(|| self.add(key, new)) else { return };
        let from = from(&self.streams[at]);
        if let Open::Tcp(connection) = &mut self.streams[at] {
            connection.take(from, &segment, time, &mut self.budget);
        }
    }

    fn udp(&mut self, packet: &Packet<'_>, time: Timestamp, depth: usize) {
        let Ok(udp) = UdpSlice::from_slice_lax(packet.payload) else {
            return self.budget.refuse(Refusal::Short);
        };
        let ports = (udp.source_port(), udp.destination_port());
        // Of a jumbogram, or where offload left it to the card, the length is 0.
        let length = match usize::from(udp.length()) {
            stated @ 8.. => (stated - 8).max(udp.payload().len()),
            _ => packet.length.saturating_sub(8),
        };
        let ends = ends(packet, ports.0, ports.1);
        self.talk(ends, protocol::UDP, udp.payload(), length, time);
        if depth < MAX_DEPTH
            && let Some(inside @ Inside::Ip(_)) = tunnel::of_ports(ports, udp.payload())
        {
            self.inside(inside, time, depth + 1);
        }
    }

    fn sealed(&mut self, packet: &Packet<'_>, protocol: u8, time: Timestamp) {
        self.talk(ends(packet, 0, 0), protocol, &[], packet.length, time);
    }

    fn talk(
        &mut self,
        ends: [SocketAddr; 2],
        protocol: u8,
        payload: &[u8],
        length: usize,
        time: Timestamp,
    ) {
        let key = key(ends, protocol);
        let new = || {
            let talk = Talk::new(ends, time);
            if protocol == protocol::UDP { Open::Udp(talk) } else { Open::Sealed(talk, protocol) }
        };
        let known = self.index.get(&key).copied();
        let Some(at) = known.or_else(|| self.add(key, new)) else { return };
        if let Open::Udp(talk) | Open::Sealed(talk, _) = &mut self.streams[at] {
            let from = usize::from(talk.ends[0] != ends[0]);
            talk.take(from, payload, length, time, &mut self.budget);
        }
    }

    fn add(&mut self, key: Key, new: impl FnOnce() -> Open) -> Option<usize> {
        if self.streams.len() >= MAX_STREAMS {
            self.budget.refuse(Refusal::Stream);
            return None;
        }
        self.streams.push(new());
        let at = self.streams.len() - 1;
        self.index.insert(key, at);
        Some(at)
    }
}

// === impl Open ===

impl Open {
    const fn ends(&self) -> [SocketAddr; 2] {
        match self {
            Self::Tcp(connection) => connection.ends,
            Self::Udp(talk) | Self::Sealed(talk, _) => talk.ends,
        }
    }
}

fn ends(packet: &Packet<'_>, source_port: u16, destination_port: u16) -> [SocketAddr; 2] {
    let end = |ip: IpAddr, port| SocketAddr::new(ip, port);
    [end(packet.source, source_port), end(packet.destination, destination_port)]
}

fn key([a, b]: [SocketAddr; 2], protocol: u8) -> Key {
    (a.min(b), a.max(b), protocol)
}
