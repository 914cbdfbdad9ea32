//! Packets put together from their fragments.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use super::{
    budget::{Budget, Refusal},
    ip::{Fragment, Packet},
};

/// Packets of which not all fragments were seen yet.
#[derive(Default)]
pub(super) struct Fragments {
    open: BTreeMap<Key, Parts>,
    /// The same, oldest first.
    order: VecDeque<Key>,
}

/// Fragments with the same belong together (RFC 791, section 3.2; RFC 8200, section 4.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    id: u32,
}

/// What was seen of a packet.
#[derive(Default)]
struct Parts {
    by_offset: BTreeMap<usize, Vec<u8>>,
    /// How long it is, once its last fragment was seen.
    length: Option<usize>,
    fragments: u64,
}

/// A packet's content.
pub(super) struct Whole {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) payload: Vec<u8>,
    pub(super) length: usize,
}

/// Packets that may wait at one time. The oldest makes room.
const MAX_OPEN: usize = 256;

/// Fragments of a packet.
const MAX_PARTS: usize = 128;

/// The longest packet there is.
const MAX_LENGTH: usize = 1 << 16;

// === impl Fragments ===

impl Fragments {
    /// Takes one, and gives the packet that it completes.
    pub(super) fn take(
        &mut self,
        packet: &Packet<'_>,
        fragment: Fragment,
        budget: &mut Budget,
    ) -> Option<Whole> {
        let Packet { source, destination, protocol, payload, .. } = *packet;
        let key = Key { source, destination, protocol, id: fragment.id };
        let end = fragment.offset + payload.len();
        if end > MAX_LENGTH || payload.len() < packet.length {
            budget.refuse(Refusal::Fragment);
            return None;
        }
        if !self.open.contains_key(&key) {
            self.make_room(budget);
            self.order.push_back(key);
        }
        let parts = self.open.entry(key).or_default();
        parts.fragments += 1;
        if !fragment.more {
            parts.length = Some(end);
        }
        if parts.by_offset.len() < MAX_PARTS {
            parts.by_offset.entry(fragment.offset).or_insert_with(|| payload.to_vec());
        }
        let payload = parts.whole()?;
        self.open.remove(&key);
        self.order.retain(|open| *open != key);
        Some(key.whole(payload, None))
    }

    fn make_room(&mut self, budget: &mut Budget) {
        while self.open.len() >= MAX_OPEN
            && let Some(oldest) = self.order.pop_front()
        {
            for _ in 0..self.open.remove(&oldest).map_or(0, |parts| parts.fragments) {
                budget.refuse(Refusal::Fragment);
            }
        }
    }

    /// The starts of packets that were never completed.
    pub(super) fn rest(self, budget: &mut Budget) -> Vec<Whole> {
        let mut starts = Vec::new();
        let Self { mut open, order } = self;
        for key in order {
            let Some(parts) = open.remove(&key) else { continue };
            let (start, used) = parts.start();
            for _ in used..parts.fragments {
                budget.refuse(Refusal::Fragment);
            }
            if !start.is_empty() {
                let length = parts.end().max(start.len());
                starts.push(key.whole(start, Some(length)));
            }
        }
        starts
    }
}

// === impl Key ===

impl Key {
    fn whole(self, payload: Vec<u8>, length: Option<usize>) -> Whole {
        let Self { source, destination, protocol, id: _ } = self;
        let length = length.unwrap_or(payload.len());
        Whole { source, destination, protocol, payload, length }
    }
}

// === impl Parts ===

impl Parts {
    fn whole(&self) -> Option<Vec<u8>> {
        let length = self.length?;
        let (start, _) = self.start();
        (start.len() >= length).then_some(start)
    }

    /// What is known from the first byte on without a gap, and of how many fragments it is. Where
    /// two overlap, the one that starts first counts.
    fn start(&self) -> (Vec<u8>, u64) {
        let mut start = Vec::new();
        let mut used = 0;
        for (offset, bytes) in &self.by_offset {
            let Some(old) = start.len().checked_sub(*offset) else { break };
            start.extend_from_slice(bytes.get(old..).unwrap_or_default());
            used += 1;
        }
        (start, used)
    }

    fn end(&self) -> usize {
        let last = self.by_offset.last_key_value();
        self.length.or(last.map(|(offset, bytes)| offset + bytes.len())).unwrap_or_default()
    }
}

// === impl Whole ===

impl Whole {
    /// The same as a packet that was never in parts.
    pub(super) fn packet(&self) -> Packet<'_> {
        Packet {
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            is_authenticated: false,
            fragment: None,
            payload: &self.payload,
            length: self.length,
        }
    }
}
