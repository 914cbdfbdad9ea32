//! Where the messages of one direction begin, and their first bytes.
//!
//! A message begins at the stream's start and where the direction has changed since. What matters
//! is the position in the stream, never the segment: one that was sent again brings nothing new, and
//! one that is not in its place is no evidence.

use super::head::HEAD_LEN;

/// One direction of a conversation, as far as it was looked at. Only the hook of that direction
/// writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Message {
    /// The first bytes of the current message, in their order in memory, and zeros behind them; of
    /// the message before, while `len` is 0.
    words: [u64; WORDS],
    /// Sequence number behind what was looked at.
    next: u32,
    /// That of the other direction when the message began.
    other: u32,
    /// Bytes of the message so far.
    len: u32,
    /// Bytes of the stream that still belong to what stands before the message.
    skip: u32,
    /// Segments that brought less than [`TINY`] bytes.
    tiny: u16,
    /// Segments that brought more.
    looked: u8,
    /// [`KNOWN`], [`JUDGED`].
    flags: u8,
    /// Code of the [`Search`](super::search::Search) that goes on in it.
    search: u8,
    /// Where that stands.
    place: u8,
    /// Explicit padding.
    reserved: u16,
}

/// What a segment brings that is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Offset in the segment's payload.
    pub at: u32,
    /// Bytes, at least one.
    pub len: u32,
    /// Whether bytes before it went by unseen.
    pub is_behind_gap: bool,
}

/// The stream's first byte has a known place.
const KNOWN: u8 = 1;
/// What the current message is was decided.
const JUDGED: u8 = 2;

/// Segments that bring less cost nothing of the budget: who writes byte by byte is heard all the same.
const TINY: u32 = 16;

/// How many tiny ones are enough, whatever they say: more than any hello written byte by byte.
const MOST_TINY: u16 = 20_000;

const WORDS: usize = HEAD_LEN / size_of::<u64>();

const _: () = assert!(size_of::<Message>() == 56);

impl Message {
    /// A stream whose first byte has this sequence number.
    #[inline(always)]
    pub const fn start(&mut self, seq: u32) {
        if self.flags & KNOWN == 0 {
            self.next = seq;
            self.flags = KNOWN;
        }
    }

    /// The other direction begins at this number, whatever of this one was sent before.
    #[inline(always)]
    pub const fn face(&mut self, other: u32) {
        self.other = other;
    }

    /// What of a segment's payload is new. `received` is how far TCP has got, where that is known
    /// to be no further than what the segment may bring; a sender has got as far as it sends.
    #[inline(always)]
    pub const fn fresh(&self, seq: u32, payload: u32, received: u32) -> Option<Fresh> {
        let seen = self.next.wrapping_sub(seq);
        // TCP has what was not looked at: out of order, or where no one looked.
        let is_behind = (self.next.wrapping_sub(received) as i32) < 0;
        if self.flags & KNOWN == 0 || is_behind {
            return match seq == received {
                true => Some(Fresh { at: 0, len: payload, is_behind_gap: true }),
                false => None,
            };
        }
        // A segment ahead of its place looks as one that is long gone.
        if seen >= payload {
            return None;
        }
        Some(Fresh { at: seen, len: payload - seen, is_behind_gap: false })
    }

    /// Takes a step in the stream; true where a message begins.
    #[inline(always)]
    pub const fn advance(&mut self, seq: u32, fresh: Fresh, other: u32) -> bool {
        self.next = seq.wrapping_add(fresh.at).wrapping_add(fresh.len);
        if fresh.len < TINY {
            self.tiny = self.tiny.saturating_add(1);
        } else {
            self.looked = self.looked.saturating_add(1);
        }
        self.flags |= KNOWN;
        // What stands before a message may come in pieces, too.
        let begins = self.len == 0 && self.skip == 0 || self.other != other;
        self.other = other;
        begins
    }

    /// Begins a message of which nothing was seen.
    #[inline(always)]
    pub const fn begin(&mut self) {
        self.len = 0;
        self.skip = 0;
        self.flags &= !JUDGED;
        self.search = 0;
    }

    /// Starts a search in the rest of it, or ends it with 0; the place stands in the second byte.
    #[inline(always)]
    pub const fn search(&mut self, wanted: u16) {
        self.search = wanted as u8;
        self.place = (wanted >> 8) as u8;
    }

    /// The search and its place, likewise.
    #[inline(always)]
    pub const fn searched(&self) -> (u8, u8) {
        (self.search, self.place)
    }

    /// How many bytes of a message's start are still to come; 0 once it was judged.
    #[inline(always)]
    pub const fn room(&self) -> u32 {
        if self.flags & JUDGED != 0 || self.len >= HEAD_LEN as u32 {
            0
        } else {
            HEAD_LEN as u32 - self.len
        }
    }

    /// Bytes of the message so far.
    #[inline(always)]
    pub const fn seen(&self) -> u32 {
        self.len
    }

    /// Whether there is something of a message that was not judged.
    #[inline(always)]
    pub const fn is_open(&self) -> bool {
        self.len != 0 && self.flags & JUDGED == 0
    }

    /// Whether anything was said.
    #[inline(always)]
    pub const fn is_heard(&self) -> bool {
        self.len != 0
    }

    /// Leaves out what stands before the message: so many bytes from its start, of which `len` were
    /// seen.
    #[inline(always)]
    pub const fn leave_out(&mut self, bytes: u32) {
        let rest = bytes.saturating_sub(self.len);
        self.begin();
        self.skip = rest;
    }

    /// How many of so many new bytes stand before the message.
    #[inline(always)]
    pub const fn pass(&mut self, bytes: u32) -> u32 {
        let passed = if self.skip < bytes { self.skip } else { bytes };
        self.skip -= passed;
        passed
    }

    /// Takes in `count` more bytes of the message's start, no more than there is [`Self::room`] for:
    /// the last ones of `window`. Of `bytes` that came with them only the number is of interest.
    #[inline(always)]
    pub const fn append(&mut self, window: [u64; WORDS], count: u32, bytes: u32) {
        let [a, b, c, d] = up(down(window, HEAD_LEN as u32 - count), self.len);
        // What is left of the message before goes here: clearing it when it is over would become a
        // loop over its bytes.
        let keep = if self.len == 0 { 0 } else { u64::MAX };
        let [e, f, g, h] = self.words;
        self.words = [e & keep | a, f & keep | b, g & keep | c, h & keep | d];
        self.count(bytes);
    }

    /// Counts bytes of the message that are not looked at.
    #[inline(always)]
    pub const fn count(&mut self, bytes: u32) {
        self.len = self.len.saturating_add(bytes);
    }

    /// It is known what the message is.
    #[inline(always)]
    pub const fn judged(&mut self) {
        self.flags |= JUDGED;
    }

    /// Whether the window has all that is looked at.
    #[inline(always)]
    pub const fn is_full(&self) -> bool {
        self.len >= HEAD_LEN as u32
    }

    /// Its first bytes.
    #[inline(always)]
    pub const fn words(&self) -> [u64; WORDS] {
        self.words
    }

    /// Sequence number behind what was looked at.
    #[inline(always)]
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// How many segments were looked at that cost something.
    #[inline(always)]
    pub const fn looked(&self) -> u8 {
        if self.tiny >= MOST_TINY { u8::MAX } else { self.looked }
    }
}

/// The words without their first bytes, fewer than [`HEAD_LEN`]; zeros follow. By steps and not by
/// an index, which the verifier refuses where it is not constant.
#[inline(always)]
pub const fn down([mut a, mut b, mut c, mut d]: [u64; WORDS], bytes: u32) -> [u64; WORDS] {
    if bytes & 16 != 0 {
        [a, b, c, d] = [c, d, 0, 0];
    }
    if bytes & 8 != 0 {
        [a, b, c, d] = [b, c, d, 0];
    }
    let bits = (bytes & 7) * 8;
    // In two steps, because a shift by 64 is none.
    let carry = 63 - bits;
    [
        a >> bits | (b << 1) << carry,
        b >> bits | (c << 1) << carry,
        c >> bits | (d << 1) << carry,
        d >> bits,
    ]
}

/// The words behind so many zero bytes, fewer than [`HEAD_LEN`]; what leaves at the end is gone.
#[inline(always)]
const fn up([mut a, mut b, mut c, mut d]: [u64; WORDS], bytes: u32) -> [u64; WORDS] {
    if bytes & 16 != 0 {
        [a, b, c, d] = [0, 0, a, b];
    }
    if bytes & 8 != 0 {
        [a, b, c, d] = [0, a, b, c];
    }
    let bits = (bytes & 7) * 8;
    let carry = 63 - bits;
    [
        a << bits,
        b << bits | (a >> 1) >> carry,
        c << bits | (b >> 1) >> carry,
        d << bits | (c >> 1) >> carry,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words in which the kernel half has bytes.
    fn words(bytes: [u8; HEAD_LEN]) -> [u64; WORDS] {
        let (words, _) = bytes.as_chunks::<8>();
        core::array::from_fn(|at| u64::from_le_bytes(words[at]))
    }

    fn bytes(message: &Message) -> [u8; HEAD_LEN] {
        let words = message.words();
        core::array::from_fn(|at| words[at / 8].to_le_bytes()[at % 8])
    }

    /// The message's start in pieces of these lengths, each with what a packet has in front of it.
    fn cut(pieces: &[usize]) -> Message {
        let packet: [u8; 3 * HEAD_LEN] = core::array::from_fn(|at| at as u8 + 1);
        let mut message = Message::default();
        message.start(1);
        let mut at = HEAD_LEN;
        for piece in pieces {
            at += piece;
            let last = core::array::from_fn(|i| packet[at - HEAD_LEN + i]);
            message.append(words(last), *piece as u32, *piece as u32);
        }
        message
    }

    #[test]
    fn the_start_is_the_same_however_it_is_cut() {
        let whole = cut(&[HEAD_LEN]);
        assert_eq!(bytes(&whole), core::array::from_fn(|at| (at + HEAD_LEN) as u8 + 1));
        for first in 1..HEAD_LEN {
            assert_eq!(cut(&[first, HEAD_LEN - first]), whole, "cut at {first}");
            for second in 1..HEAD_LEN - first {
                let rest = HEAD_LEN - first - second;
                assert_eq!(cut(&[first, second, rest]), whole, "{first} {second} {rest}");
            }
        }
        assert_eq!(cut(&[1; HEAD_LEN]), whole);
    }

    #[test]
    fn nothing_stands_behind_a_short_start() {
        let message = cut(&[5, 2]);
        let mut expect = [0; HEAD_LEN];
        expect[..7].copy_from_slice(&[33, 34, 35, 36, 37, 38, 39]);
        assert_eq!((bytes(&message), message.room()), (expect, 25));
    }

    fn check(next: u32, seq: u32, payload: u32, received: u32, expect: Option<(u32, u32, bool)>) {
        let mut message = Message::default();
        message.start(next);
        let fresh = message.fresh(seq, payload, received);
        let found = fresh.map(|fresh| (fresh.at, fresh.len, fresh.is_behind_gap));
        assert_eq!(found, expect, "at {next}: {payload} bytes at {seq}, TCP at {received}");
    }

    #[test]
    fn only_what_is_in_its_place_is_new() {
        check(100, 100, 7, 100, Some((0, 7, false)));
        check(100, 90, 17, 100, Some((10, 7, false)));
        check(100, 90, 10, 100, None);
        check(100, 101, 7, 100, None);
        check(100, 101, 7, 101, Some((0, 7, true)));
        check(100, 99, 7, 101, None);
        // One in front of it waits until the application lets go of the socket.
        check(107, 107, 7, 100, Some((0, 7, false)));
        check(100, 100_000, 7, 100, None);
        check(100, 100_u32.wrapping_sub(1 << 30), 7, 100, None);
        check(u32::MAX, u32::MAX, 7, u32::MAX, Some((0, 7, false)));
        check(3, u32::MAX - 3, 17, 3, Some((7, 10, false)));
    }

    #[test]
    fn nothing_is_known_of_a_stream_that_was_not_seen_from_its_start() {
        let message = Message::default();
        let fresh = Fresh { at: 0, len: 7, is_behind_gap: true };
        assert_eq!(message.fresh(100, 7, 100), Some(fresh));
        assert_eq!(message.fresh(99, 7, 100), None);
    }

    #[test]
    fn a_message_begins_where_the_direction_changes() {
        let mut message = Message::default();
        message.start(1);
        let mut at = 1;
        let mut step = |other| {
            let fresh = message.fresh(at, 3, at).unwrap();
            let begins = message.advance(at, fresh, other);
            message.count(3);
            at += 3;
            begins
        };
        assert_eq!([1, 1, 4, 4, 4].map(&mut step), [true, false, true, false, false]);
    }

    #[test]
    fn a_message_that_begins_in_the_syn_goes_on_behind_it() {
        let mut message = Message::default();
        message.start(1);
        let fresh = message.fresh(1, 3, 1).unwrap();
        assert!(message.advance(1, fresh, 0));
        message.count(3);
        message.face(100);
        let fresh = message.fresh(4, 3, 4).unwrap();
        assert!(!message.advance(4, fresh, 100));
    }

    #[test]
    fn what_stands_before_a_message_is_left_out() {
        let mut message = Message::default();
        message.count(32);
        message.leave_out(50);
        assert_eq!(message.pass(10), 10);
        assert_eq!(message.pass(10), 8);
        assert_eq!(message.pass(10), 0);
    }
}
