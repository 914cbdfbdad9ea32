//! TCP connections, put together from their segments.

use std::{collections::BTreeMap, net::SocketAddr};

use jiff::Timestamp;
use plainsight_core::{
    protocol::conversation::{Conversation, Side, Turn},
    record::Close,
};

use super::budget::{Budget, Refusal};

/// What matters of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    /// As far as it was captured.
    pub(super) payload: &'a [u8],
    /// Bytes of payload on the wire.
    pub(super) length: usize,
}

/// A connection as far as it was seen.
pub(super) struct Connection {
    /// The one that was seen to send first, and the other.
    pub(super) ends: [SocketAddr; 2],
    ways: [Way; 2],
    /// Which end sent, and how much of what is kept.
    turns: Vec<(usize, usize)>,
    /// Which end opened it, where that was seen.
    client: Option<usize>,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    is_reset: bool,
}

/// One direction.
#[derive(Default)]
struct Way {
    /// The sequence number of its SYN.
    initial: Option<u32>,
    /// The sequence number of its first byte, or of the first one seen.
    base: Option<u32>,
    /// Whether that is the stream's first.
    is_start: bool,
    /// How many bytes from `base` came in order.
    next: u64,
    /// The end of the last byte seen, in order or not.
    end: u64,
    /// The first of them.
    kept: Vec<u8>,
    /// Whether nothing can be added to those any more: a cut frame, or no room.
    is_cut: bool,
    /// What came before its turn, by its place.
    waiting: BTreeMap<u64, Piece>,
    waiting_bytes: usize,
    /// How far the other end acknowledged it, as a number of bytes from `base`.
    acknowledged: u32,
    /// Zeros at `next` that may be padding which was taken for payload.
    zeros: usize,
    is_finished: bool,
}

/// Bytes that came before their turn.
struct Piece {
    bytes: Vec<u8>,
    length: usize,
    /// How many turns there were when it came.
    turn: usize,
}

/// What a connection was found to be made of, with client and server told apart.
pub(super) struct Oriented {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) client_bytes: Vec<u8>,
    pub(super) server_bytes: Vec<u8>,
    pub(super) turns: Vec<Turn>,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Whether its start was seen.
    pub(super) is_whole: bool,
    /// Whether one direction was acknowledged and not captured.
    pub(super) is_one_sided: bool,
    /// Whether the ends were told apart by their ports.
    pub(super) is_guessed: bool,
    pub(super) close: Option<Close>,
}

/// How much is kept of each direction, and how much may wait for its turn.
const KEPT: usize = 1 << 16;

/// Turns that are kept of a connection. A hello of 11 KiB may come byte by byte.
const MAX_TURNS: usize = 1 << 14;

/// Pieces of a direction that wait at one time.
const MAX_WAITING: usize = 256;

/// Zeros of a segment that may be padding: what a frame of 60 bytes has room for.
const MAX_PADDING: usize = 6;

/// A segment further ahead is of another connection (RFC 7323, section 2.2).
const MAX_WINDOW: i64 = 1 << 30;

/// Ports from here on are given to clients (RFC 6335, section 6, and Linux's default).
pub(super) const EPHEMERAL: u16 = 32_768;

// === impl Connection ===

impl Connection {
    /// One that begins with a segment from the first of these ends.
    pub(super) fn new(ends: [SocketAddr; 2], time: Timestamp) -> Self {
        Self {
            ends,
            ways: [Way::default(), Way::default()],
            turns: Vec::new(),
            client: None,
            first: time,
            last: time,
            is_reset: false,
        }
    }

    /// Whether a segment opens another connection between the same ends.
    pub(super) fn is_succeeded_by(&self, from: usize, segment: &Segment<'_>) -> bool {
        if !segment.syn {
            return false;
        }
        match self.ways[from].initial {
            Some(initial) => initial != segment.sequence,
            // Its answer may have been captured first.
            None => self.ways[from].base.is_some_and(|b| b != segment.sequence.wrapping_add(1)),
        }
    }

    /// Takes a segment that one of the ends sent.
    pub(super) fn take(
        &mut self,
        from: usize,
        segment: &Segment<'_>,
        time: Timestamp,
        budget: &mut Budget,
    ) {
        (self.first, self.last) = (self.first.min(time), self.last.max(time));
        self.is_reset |= segment.rst;
        let mut sequence = segment.sequence;
        if segment.syn {
            self.open(from, segment);
            sequence = sequence.wrapping_add(1);
        }
        if segment.ack {
            self.ways[1 - from].acknowledge(segment.acknowledgment);
        }
        let way = &mut self.ways[from];
        way.is_finished |= segment.fin;
        if segment.length > 0 && !segment.rst {
            let turns = Turns { of: from, turns: &mut self.turns };
            way.take(sequence, segment.payload, segment.length, turns, budget);
        }
    }

    fn open(&mut self, from: usize, segment: &Segment<'_>) {
        let way = &mut self.ways[from];
        way.initial = Some(segment.sequence);
        way.begin(segment.sequence.wrapping_add(1));
        if segment.ack {
            // Both ends may open at once; then the first SYN says who is the client.
            self.client.get_or_insert(1 - from);
            self.ways[1 - from].begin(segment.acknowledgment);
        } else {
            self.client.get_or_insert(from);
        }
    }

    /// What it is made of, when no more will come.
    pub(super) fn finish(mut self) -> Oriented {
        let mut is_whole = self.client.is_some();
        for from in [0, 1] {
            let mut turns = Turns { of: from, turns: &mut self.turns };
            let way = &mut self.ways[from];
            way.resume(&mut turns);
            is_whole &= way.is_start || way.base.is_none() || way.initial.is_none() && way.next > 0;
        }
        let is_one_sided = self.ways.iter().any(Way::is_missing);
        let client = self.client.unwrap_or_else(|| guess(self.ends));
        let close = self.close();
        let Self { ends, ways, turns, client: known, .. } = self;
        let [first, second] = ways;
        let (sender, receiver) = if client == 0 { (first, second) } else { (second, first) };
        let turn = |(from, length)| {
            let side = if from == client { Side::Client } else { Side::Server };
            Turn { side, length }
        };
        Oriented {
            client: ends[client],
            server: ends[1 - client],
            turns: turns.into_iter().map(turn).collect(),
            sent: sender.end,
            received: receiver.end,
            client_bytes: sender.kept,
            server_bytes: receiver.kept,
            is_whole,
            is_one_sided,
            is_guessed: known.is_none(),
            close,
        }
    }

    fn close(&self) -> Option<Close> {
        let carried = self.ways.iter().any(|way| way.end > 0);
        let answered = self.ways.iter().all(|way| way.initial.is_some()) || carried;
        match self.is_reset {
            true if self.client.is_some() && !answered => Some(Close::Refused),
            true => Some(Close::Rst),
            false if self.ways.iter().all(|way| way.is_finished) => Some(Close::Fin),
            false => None,
        }
    }
}

// === impl Way ===

impl Way {
    /// Its first byte has this sequence number.
    fn begin(&mut self, base: u32) {
        if self.base.is_none() {
            (self.base, self.is_start) = (Some(base), true);
        }
    }

    fn acknowledge(&mut self, acknowledgment: u32) {
        if let Some(base) = self.base {
            let bytes = acknowledgment.wrapping_sub(base);
            // What is behind the base is an old segment's.
            if bytes.cast_signed() > 0 {
                self.acknowledged = self.acknowledged.max(bytes);
            }
        }
    }

    /// Whether nothing of it was captured, and yet there was something. A FIN counts as a byte.
    fn is_missing(&self) -> bool {
        self.end == 0 && self.acknowledged > 1
    }

    fn take(
        &mut self,
        sequence: u32,
        payload: &[u8],
        length: usize,
        mut turns: Turns<'_>,
        budget: &mut Budget,
    ) {
        let mut ahead = self.ahead(sequence);
        if self.zeros > 0 && ahead == self.zeros as i64 {
            // The zeros were payload. Where nothing is known to stand before them, it may as well
            // have been a keep-alive, and what matters is what follows.
            if self.is_start || self.next > 0 {
                self.append(&[0; MAX_PADDING][..self.zeros], self.zeros, &mut turns, budget);
            } else {
                self.base = Some(sequence);
            }
            (self.zeros, ahead) = (0, 0);
        }
        if ahead > MAX_WINDOW || ahead < -MAX_WINDOW {
            budget.refuse(Refusal::OutOfWindow);
            return;
        }
        if ahead > 0 {
            self.wait(ahead as u64, payload, length, &turns, budget);
            return;
        }
        let old = ahead.unsigned_abs() as usize;
        if old >= length {
            return;
        }
        let (payload, length) = (payload.get(old..).unwrap_or_default(), length - old);
        if length <= MAX_PADDING && payload.len() == length && payload.iter().all(|b| *b == 0) {
            self.zeros = length;
            return;
        }
        self.zeros = 0;
        self.append(payload, length, &mut turns, budget);
        self.catch_up(&mut turns, budget);
    }

    /// How far a sequence number is ahead of what comes next.
    fn ahead(&mut self, sequence: u32) -> i64 {
        let base = *self.base.get_or_insert(sequence);
        let next = base.wrapping_add(self.next as u32);
        i64::from(sequence.wrapping_sub(next).cast_signed())
    }

    fn append(&mut self, bytes: &[u8], length: usize, turns: &mut Turns<'_>, budget: &mut Budget) {
        self.next += length as u64;
        self.end = self.end.max(self.next);
        if self.is_cut {
            return;
        }
        let room = if turns.is_full() { 0 } else { KEPT - self.kept.len() };
        let room = budget.take(room.min(bytes.len()));
        self.kept.extend_from_slice(&bytes[..room]);
        if room > 0 {
            turns.push(room);
        }
        self.is_cut = room < length;
    }

    fn wait(
        &mut self,
        ahead: u64,
        bytes: &[u8],
        length: usize,
        turns: &Turns<'_>,
        budget: &mut Budget,
    ) {
        let at = self.next + ahead;
        self.end = self.end.max(at + length as u64);
        if self.is_cut || self.waiting.get(&at).is_some_and(|piece| piece.length >= length) {
            return;
        }
        let fits = self.waiting_bytes + bytes.len() <= KEPT && self.waiting.len() < MAX_WAITING;
        if !fits || budget.take(bytes.len()) < bytes.len() {
            budget.refuse(Refusal::OutOfOrder);
            return;
        }
        self.waiting_bytes += bytes.len();
        let piece = Piece { bytes: bytes.to_vec(), length, turn: turns.turns.len() };
        if let Some(old) = self.waiting.insert(at, piece) {
            self.waiting_bytes -= old.bytes.len();
            budget.give_back(old.bytes.len());
        }
    }

    /// Appends what waited and has its turn now.
    fn catch_up(&mut self, turns: &mut Turns<'_>, budget: &mut Budget) {
        while let Some(entry) = self.waiting.first_entry() {
            let Some(old) = self.next.checked_sub(*entry.key()) else { break };
            let Piece { bytes, length, .. } = entry.remove();
            self.waiting_bytes -= bytes.len();
            budget.give_back(bytes.len());
            let old = usize::try_from(old).unwrap_or(usize::MAX);
            if old < length {
                let bytes = bytes.get(old..).unwrap_or_default();
                self.append(bytes, length - old, turns, budget);
            }
        }
    }

    /// Where the first segment was lost, what is known begins behind it.
    fn resume(&mut self, turns: &mut Turns<'_>) {
        if !self.kept.is_empty() || self.is_cut {
            return;
        }
        let mut next = None;
        let mut moved = 0;
        for (at, piece) in std::mem::take(&mut self.waiting) {
            let old = next.unwrap_or(at).saturating_sub(at) as usize;
            if next.is_some_and(|next| next < at) {
                break;
            }
            let bytes = piece.bytes.get(old..).unwrap_or_default();
            next = Some(next.unwrap_or(at).max(at + piece.length as u64));
            self.is_start = false;
            if !bytes.is_empty() {
                self.kept.extend_from_slice(bytes);
                turns.insert(piece.turn + moved, bytes.len());
                moved += 1;
            }
            if piece.bytes.len() < piece.length {
                break;
            }
        }
    }
}

/// The turns of one end.
struct Turns<'a> {
    of: usize,
    turns: &'a mut Vec<(usize, usize)>,
}

// === impl Turns ===

impl Turns<'_> {
    fn is_full(&self) -> bool {
        self.turns.len() >= MAX_TURNS
    }

    fn push(&mut self, length: usize) {
        self.turns.push((self.of, length));
    }

    fn insert(&mut self, at: usize, length: usize) {
        self.turns.insert(at.min(self.turns.len()), (self.of, length));
    }
}

// === impl Oriented ===

impl Oriented {
    /// The same with the ends taken for each other.
    pub(super) fn mirrored(self) -> Self {
        let turn = |turn: Turn| Turn { side: other(turn.side), ..turn };
        Self {
            client: self.server,
            server: self.client,
            client_bytes: self.server_bytes,
            server_bytes: self.client_bytes,
            turns: self.turns.into_iter().map(turn).collect(),
            sent: self.received,
            received: self.sent,
            ..self
        }
    }

    /// What core judges.
    pub(super) fn conversation(&self) -> Conversation<'_> {
        Conversation {
            client: &self.client_bytes,
            server: &self.server_bytes,
            turns: &self.turns,
            is_whole: self.is_whole,
            port: self.server.port(),
        }
    }
}

const fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    }
}

/// Which of two ends is the client, where no one saw it open: not the one at the port of a
/// service, else the one that was seen first.
fn guess(ends: [SocketAddr; 2]) -> usize {
    let is_service = |end: SocketAddr| (end.port() < 1024, end.port() < EPHEMERAL);
    match is_service(ends[0]).cmp(&is_service(ends[1])) {
        std::cmp::Ordering::Greater => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
