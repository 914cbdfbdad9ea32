//! What was read of handshakes: put together from their parts, and kept by edge.
//!
//! The kernel half sends parts of the handshakes of a few connections of each edge, and of application
//! data the headers alone. Everything here has a bound, and what finds no room is counted.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use plainsight_ebpf::abi::edge::EdgeKey;
use plainsight_ebpf::abi::event::Handshake;
use plainsight_ebpf::wire::tls::{APPLICATION_DATA, RECORD_HEADER};

use crate::protocol::tls::{self, Tls};

/// Handshakes that are under way, and those that were read.
#[derive(Debug, Default)]
pub struct Handshakes {
    open: BTreeMap<u64, Parts>,
    read: Arc<Read>,
    refused: u64,
}

/// What was read, by edge.
#[derive(Clone, Debug, Default)]
pub struct Read(BTreeMap<EdgeKey, Vec<Dated>>);

/// One handshake, and when it was, on the boot-time clock.
#[derive(Clone, Debug)]
pub struct Dated {
    /// What it said.
    pub tls: Tls,
    /// When its last part came.
    pub time_ns: u64,
}

/// The parts of one handshake.
#[derive(Debug)]
struct Parts {
    key: EdgeKey,
    client: Vec<u8>,
    server: Vec<u8>,
    first_ns: u64,
    last_ns: u64,
}

/// Handshakes that can be under way at once.
const MOST_OPEN: usize = 1024;

/// Edges of which handshakes are kept.
const MOST_EDGES: usize = 4096;

/// Handshakes of an edge that are kept: the latest.
const MOST_OF_EDGE: usize = 4;

/// Bytes of a direction that are read.
const MOST_BYTES: usize = 32_768;

/// A handshake is over when nothing came for so long.
const QUIET_NS: u64 = 500_000_000;

/// The same of one that was not answered: the answer may have far to go.
const UNANSWERED_NS: u64 = 2_000_000_000;

/// However long its parts keep coming, a handshake is read after so long.
const LONGEST_NS: u64 = 10_000_000_000;

/// Bytes of a text that are kept. Names of hosts are shorter (RFC 1035, section 2.3.4).
const MOST_TEXT: usize = 255;

/// Texts of a list that are kept.
const MOST_TEXTS: usize = 16;

// === impl Handshakes ===

impl Handshakes {
    /// Takes in a part. One that begins anew what was begun before is of another handshake, on a
    /// socket that was connected again.
    pub fn add(&mut self, part: &Handshake) {
        let is_other = |parts: &Parts| part.offset == 0 && !parts.side(part).is_empty();
        if self.open.get(&part.cookie).is_some_and(is_other)
            && let Some(parts) = self.open.remove(&part.cookie)
        {
            self.finish(&parts);
        }
        if self.open.len() >= MOST_OPEN && !self.open.contains_key(&part.cookie) {
            self.give_up_oldest();
        }
        let time_ns = part.header.time_ns;
        let parts = self.open.entry(part.cookie).or_insert_with(|| Parts::new(part.key, time_ns));
        parts.key = part.key;
        parts.last_ns = parts.last_ns.max(time_ns);
        parts.add(part);
    }

    /// Reads those that are over at this time on the boot-time clock.
    pub fn settle(&mut self, now_ns: u64) {
        let is_over = |_: &u64, parts: &mut Parts| parts.is_over(now_ns);
        let over: Vec<Parts> = self.open.extract_if(.., is_over).map(|(_, parts)| parts).collect();
        for parts in over {
            self.finish(&parts);
        }
    }

    fn finish(&mut self, parts: &Parts) {
        let Some(mut tls) = tls::read(&parts.client, &parts.server) else { return };
        trim(&mut tls);
        let dated = Dated { tls, time_ns: parts.last_ns };
        if Arc::make_mut(&mut self.read).keep(&parts.key, dated) {
            self.refused = self.refused.saturating_add(1);
        }
    }

    /// Makes room for one that begins, which says more than one that stays unfinished.
    fn give_up_oldest(&mut self) {
        let oldest = self.open.iter().min_by_key(|(_, parts)| parts.first_ns);
        if let Some(cookie) = oldest.map(|(cookie, _)| *cookie) {
            self.open.remove(&cookie);
            self.refused = self.refused.saturating_add(1);
        }
    }

    /// What was read so far.
    pub const fn read(&self) -> &Arc<Read> {
        &self.read
    }

    /// How many found no room.
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

// === impl Read ===

impl Read {
    /// The handshakes of an edge.
    pub fn of(&self, key: &EdgeKey) -> &[Dated] {
        self.0.get(&self::key(key)).map_or(&[], Vec::as_slice)
    }

    /// Keeps a handshake; true if those of another edge, the one that was silent for longest, had
    /// to go.
    pub(crate) fn keep(&mut self, key: &EdgeKey, dated: Dated) -> bool {
        let key = self::key(key);
        let is_full = self.0.len() >= MOST_EDGES && !self.0.contains_key(&key);
        if is_full {
            let last = |kept: &Vec<Dated>| kept.last().map_or(0, |dated| dated.time_ns);
            let oldest = self.0.iter().min_by_key(|(_, kept)| last(kept)).map(|(key, _)| *key);
            oldest.and_then(|key| self.0.remove(&key));
        }
        let kept = self.0.entry(key).or_default();
        if kept.len() >= MOST_OF_EDGE {
            kept.remove(0);
        }
        kept.push(dated);
        is_full
    }
}

// === impl Parts ===

impl Parts {
    const fn new(key: EdgeKey, first_ns: u64) -> Self {
        Self { key, client: Vec::new(), server: Vec::new(), first_ns, last_ns: first_ns }
    }

    /// What the side that a part is of said so far.
    fn side(&self, part: &Handshake) -> &[u8] {
        if part.side == 0 { &self.client } else { &self.server }
    }

    fn is_over(&self, now_ns: u64) -> bool {
        let is_answered = !self.server.is_empty() && !self.client.is_empty();
        let quiet_ns = if is_answered { QUIET_NS } else { UNANSWERED_NS };
        self.last_ns.saturating_add(quiet_ns) <= now_ns
            || self.first_ns.saturating_add(LONGEST_NS) <= now_ns
    }

    /// What was left out between parts, and the inside of application data, are zeros.
    fn add(&mut self, part: &Handshake) {
        let stream = if part.side == 0 { &mut self.client } else { &mut self.server };
        let bytes = part.bytes.get(..part.length.into()).unwrap_or_default();
        let start = part.offset as usize;
        let end = start.saturating_add(bytes.len());
        let sealed = match bytes {
            [APPLICATION_DATA, _, _, high, low] if bytes.len() == RECORD_HEADER as usize => {
                u16::from_be_bytes([*high, *low]).into()
            }
            _ => 0_usize,
        };
        if end > MOST_BYTES {
            return;
        }
        let all = end.saturating_add(sealed).min(MOST_BYTES);
        if stream.len() < all {
            stream.resize(all, 0);
        }
        if let Some(room) = stream.get_mut(start..end) {
            room.copy_from_slice(bytes);
        }
    }
}

/// Leaves out what is longer than anything that is meant to be read: it comes from the network, and
/// many handshakes are kept.
fn trim(tls: &mut Tls) {
    let fits = |text: &String| text.len() <= MOST_TEXT;
    tls.sni = tls.sni.take().filter(fits);
    tls.alpn = tls.alpn.take().filter(fits);
    tls.alpn_offered.retain(fits);
    tls.alpn_offered.truncate(MOST_TEXTS);
    for certificate in [&mut tls.certificate, &mut tls.client_identity].into_iter().flatten() {
        certificate.names.retain(fits);
        certificate.names.truncate(MOST_TEXTS);
        for name in [&mut certificate.subject, &mut certificate.issuer] {
            let end = name.floor_char_boundary(MOST_TEXT * 2);
            name.truncate(end);
        }
    }
}

/// A key without what changes while a connection lives.
pub fn key(key: &EdgeKey) -> EdgeKey {
    EdgeKey { protocol: 0, stage: 0, secret: 0, verdict: 0, flags: 0, generation: 0, ..*key }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plainsight_ebpf::abi::event::{EventHeader, EventKind, LONG};

    const KEY: EdgeKey = EdgeKey { cgroup: 7, port: 443, role: 1, transport: 6, ..NO_KEY };
    const NO_KEY: EdgeKey = EdgeKey {
        cgroup: 0,
        netns: 0,
        peer_cgroup: 0,
        peer_netns: 0,
        name: 0,
        peer_name: 0,
        remote: [0; 4],
        reached: [0; 4],
        port: 0,
        asked_port: 0,
        reached_port: 0,
        generation: 0,
        role: 0,
        transport: 0,
        protocol: 0,
        stage: 0,
        secret: 0,
        verdict: 0,
        flags: 0,
        reserved: 0,
    };

    fn part(cookie: u64, side: u8, offset: u32, said: &[u8]) -> Handshake {
        let mut bytes = [0xee; LONG];
        bytes[..said.len()].copy_from_slice(said);
        let header = EventHeader {
            kind: EventKind::Handshake as u8,
            version: 0,
            length: size_of::<Handshake>() as u16,
            reserved: 0,
            time_ns: 5,
        };
        let length = said.len() as u16;
        Handshake { header, key: KEY, cookie, offset, length, side, reserved: 0, bytes }
    }

    fn streams(parts: &[Handshake]) -> (Vec<u8>, Vec<u8>) {
        let mut all = Handshakes::default();
        parts.iter().for_each(|part| all.add(part));
        let parts = all.open.remove(&1).unwrap();
        (parts.client, parts.server)
    }

    #[test]
    fn parts_are_put_where_they_stand() {
        let parts = [part(1, 0, 0, b"ab"), part(1, 1, 0, b"xy"), part(1, 0, 3, b"de")];
        assert_eq!(streams(&parts), (b"ab\0de".to_vec(), b"xy".to_vec()));
    }

    #[test]
    fn what_is_sealed_is_as_long_as_it_says() {
        let header = [23, 3, 3, 0, 3];
        let expect = vec_of(&[23, 3, 3, 0, 3, 0, 0, 0, 1]);
        assert_eq!(streams(&[part(1, 0, 0, &header), part(1, 0, 8, &[1])]).0, expect);
        assert_eq!(streams(&[part(1, 0, 0, &header)]).0, expect[..8]);
    }

    fn vec_of(bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    #[test]
    fn what_begins_anew_is_another_handshake() {
        let parts = [part(1, 0, 0, b"abc"), part(1, 1, 0, b"xy"), part(1, 0, 0, b"d")];
        assert_eq!(streams(&parts), (b"d".to_vec(), Vec::new()));
    }

    #[test]
    fn no_handshake_lasts_for_ever() {
        let mut all = Handshakes::default();
        let tick = UNANSWERED_NS / 2;
        let last = (0..).map(|n| (n, n * tick)).find(|(_, now)| {
            let mut next = part(1, 0, (now / tick) as u32, b"a");
            next.header.time_ns = *now;
            all.add(&next);
            all.settle(*now);
            all.open.is_empty()
        });
        assert_eq!(last, Some((LONGEST_NS / tick, LONGEST_NS)));
    }

    #[test]
    fn a_stream_has_an_end() {
        let (client, _) = streams(&[part(1, 0, 0, b"c"), part(1, 0, u32::MAX, b"ab")]);
        assert_eq!(client, b"c");
    }

    #[test]
    fn what_is_over_is_read_once_and_found_whatever_its_stage() {
        let mut all = Handshakes::default();
        // A hello that offers nothing: its version, no session, no suites but one.
        let hello = [
            22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
            15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 0, 0, 2, 0xc0,
            0x2f, 1, 0,
        ];
        all.add(&part(1, 0, 0, &hello));
        all.settle(6);
        let key = EdgeKey { stage: 8, protocol: 3, generation: 5, ..KEY };
        assert!(all.read().of(&key).is_empty(), "more may come");
        all.settle(5 + UNANSWERED_NS);
        all.settle(5 + 2 * UNANSWERED_NS);
        assert_eq!(all.read().of(&key).len(), 1);
        assert!(all.read().of(&EdgeKey { port: 444, ..key }).is_empty());
    }

    #[test]
    fn no_more_are_held_than_there_is_room_for() {
        let mut all = Handshakes::default();
        (0..MOST_OPEN as u64 + 3).for_each(|cookie| all.add(&part(cookie, 0, 0, b"a")));
        assert_eq!((all.open.len(), all.refused()), (MOST_OPEN, 3));
    }

    #[test]
    fn edges_that_are_silent_for_longest_make_room() {
        let mut read = Read::default();
        let key = |port: usize| EdgeKey { port: port as u16, ..KEY };
        let dated = |time_ns| Dated { tls: Tls::default(), time_ns };
        let made: Vec<bool> =
            (0..MOST_EDGES + 2).map(|n| read.keep(&key(n), dated(n as u64))).collect();
        assert_eq!(made.iter().filter(|made| **made).count(), 2);
        assert!(read.of(&key(0)).is_empty() && read.of(&key(1)).is_empty());
        assert_eq!((read.0.len(), read.of(&key(2)).len()), (MOST_EDGES, 1));
    }
}
