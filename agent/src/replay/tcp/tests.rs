//! Tests of how segments are put together.

use super::*;
use proptest::prelude::*;

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// A connection in the making; the client's first byte is 1,001, the server's 5,001.
struct Script(Connection, Budget);

impl Script {
    fn late() -> Self {
        let ends = ["192.0.2.1:40000", "192.0.2.2:8080"].map(|end| end.parse().unwrap());
        Self(Connection::new(ends, Timestamp::UNIX_EPOCH), Budget::new())
    }

    fn opened() -> Self {
        let mut script = Self::late();
        script.take(CLIENT, Segment { syn: true, ..segment(1000, b"") });
        script.take(
            SERVER,
            Segment { syn: true, ack: true, acknowledgment: 1001, ..segment(5000, b"") },
        );
        script
    }

    fn take(&mut self, from: usize, segment: Segment<'_>) {
        self.0.take(from, &segment, Timestamp::UNIX_EPOCH, &mut self.1);
    }

    fn send(mut self, from: usize, all: &[(u32, &[u8])]) -> Self {
        for (sequence, payload) in all {
            self.take(from, segment(*sequence, payload));
        }
        self
    }

    /// Both directions, the client's before the server's, each turn after its length.
    fn told(self) -> String {
        let Oriented { client_bytes, server_bytes, turns, is_whole, .. } = self.0.finish();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let turns: Vec<String> = turns
            .iter()
            .map(|turn| {
                format!("{}{}", if turn.side == Side::Client { '>' } else { '<' }, turn.length)
            })
            .collect();
        let join = if is_whole { "whole" } else { "late" };
        format!("{join} {}/{} {}", text(&client_bytes), text(&server_bytes), turns.join(" "))
    }
}

fn segment(sequence: u32, payload: &[u8]) -> Segment<'_> {
    Segment {
        sequence,
        acknowledgment: 0,
        syn: false,
        ack: false,
        fin: false,
        rst: false,
        payload,
        length: payload.len(),
    }
}

fn check(all: &[(u32, &[u8])], expect: &str) {
    assert_eq!(Script::opened().send(CLIENT, all).told(), expect, "{all:?}");
}

#[test]
fn segments_go_where_their_numbers_say() {
    check(&[(1001, b"ab"), (1003, b"cd")], "whole abcd/ >2 >2");
    check(&[(1003, b"cd"), (1001, b"ab")], "whole abcd/ >2 >2");
    check(&[(1005, b"e"), (1003, b"cd"), (1001, b"ab")], "whole abcde/ >2 >2 >1");
    check(&[(1001, b"ab"), (1001, b"ab"), (1003, b"c")], "whole abc/ >2 >1");
    check(&[(1001, b"ab"), (1002, b"Bc"), (1001, b"ABCd")], "whole abcd/ >2 >1 >1");
    check(&[(1003, b"cd"), (1003, b"cdef"), (1001, b"ab")], "whole abcdef/ >2 >4");
    check(&[(1003, b"cd"), (1001, b"abC")], "whole abCd/ >3 >1");
}

#[test]
fn nothing_is_kept_behind_a_hole() {
    check(&[(1001, b"ab"), (1004, b"d")], "whole ab/ >2");
}

#[test]
fn where_the_start_was_lost_the_rest_is_late() {
    check(&[(1003, b"cd"), (1005, b"ef"), (1009, b"i")], "late cdef/ >2 >2");
    let script = Script::opened().send(CLIENT, &[(1001, b"ab")]).send(SERVER, &[(5003, b"yz")]);
    assert_eq!(script.send(CLIENT, &[(1003, b"c")]).told(), "late abc/yz >2 <2 >1");
}

#[test]
fn turns_are_in_the_order_in_which_payload_came() {
    let script = Script::opened()
        .send(SERVER, &[(5001, b"220\r\n")])
        .send(CLIENT, &[(1001, b"EHLO\r\n")])
        .send(SERVER, &[(5006, b"250\r\n"), (5006, b"250\r\n")]);
    assert_eq!(script.told(), "whole EHLO\r\n/220\r\n250\r\n <5 >6 <5");
}

#[test]
fn a_keep_alive_is_no_payload() {
    check(&[(1001, b"ab"), (1002, b"\0"), (1003, b"c")], "whole abc/ >2 >1");
    check(&[(1000, b"\0"), (1001, b"ab")], "whole ab/ >2");
}

#[test]
fn zeros_that_others_replace_were_padding() {
    check(&[(1001, &[0; 6]), (1001, b"ab")], "whole ab/ >2");
    check(&[(1001, &[0; 6]), (1001, &[0; 6]), (1001, b"abcdefgh")], "whole abcdefgh/ >8");
    check(&[(1001, &[0; 6])], "whole / ");
    // These were payload: what follows counts them.
    check(&[(1001, &[0; 2]), (1003, b"ab")], "whole \0\0ab/ >2 >2");
    check(&[(1001, b"a"), (1002, &[0; 3]), (1002, b"bc")], "whole abc/ >1 >2");
    // More than a frame has room for.
    check(&[(1001, &[0; 7]), (1001, b"ab")], "whole \0\0\0\0\0\0\0/ >7");
}

#[test]
fn data_in_the_syn_comes_first() {
    let mut script = Script::late();
    script.take(CLIENT, Segment { syn: true, ..segment(1000, b"ab") });
    script
        .take(SERVER, Segment { syn: true, ack: true, acknowledgment: 1003, ..segment(5000, b"") });
    assert_eq!(script.send(CLIENT, &[(1001, b"abc")]).told(), "whole abc/ >2 >1");
}

#[test]
fn a_captured_answer_alone_says_who_opened() {
    let mut script = Script::late();
    script
        .take(CLIENT, Segment { syn: true, ack: true, acknowledgment: 7001, ..segment(1000, b"") });
    // The end that was seen first is the server; its client's first byte is lost.
    let script = script.send(CLIENT, &[(1001, b"hello")]).send(SERVER, &[(7002, b"x")]);
    assert_eq!(script.told(), "late x/hello <5 >1");
}

#[test]
fn what_was_acknowledged_was_sent() {
    let check = |acknowledgment, expect| {
        let mut script = Script::opened();
        script.take(SERVER, Segment { ack: true, acknowledgment, ..segment(5001, b"ok") });
        assert_eq!(script.0.finish().is_one_sided, expect, "{acknowledgment}");
    };
    check(1001, false);
    check(1002, false);
    check(1003, true);
    check(900, false);
    let script = Script::opened().send(CLIENT, &[(1001, b"ab")]);
    assert!(!script.0.finish().is_one_sided);
}

#[test]
fn numbers_wrap() {
    let mut script = Script::late();
    script.take(CLIENT, Segment { syn: true, ..segment(u32::MAX - 2, b"") });
    let all: [(u32, &[u8]); 3] = [(0, b"cd"), (u32::MAX - 1, b"ab"), (2, b"e")];
    assert_eq!(script.send(CLIENT, &all).told(), "whole abcde/ >2 >2 >1");
}

#[test]
fn a_late_join_begins_with_what_it_sees() {
    let script = Script::late().send(CLIENT, &[(77, b"ab"), (70, b"old"), (79, b"c")]);
    assert_eq!(script.told(), "late abc/ >2 >1");
    let script = Script::late().send(CLIENT, &[(76, b"\0"), (77, b"ab")]);
    assert_eq!(script.told(), "late ab/ >2", "a keep-alive of the connection");
}

#[test]
fn a_cut_frame_ends_what_is_kept() {
    let mut script = Script::opened();
    script.take(CLIENT, Segment { length: 9, ..segment(1001, b"abc") });
    let script = script.send(CLIENT, &[(1010, b"after")]);
    let oriented = script.0.finish();
    assert_eq!((&oriented.client_bytes[..], oriented.sent), (&b"abc"[..], 14));
}

#[test]
fn a_forged_segment_proves_nothing() {
    let far = 1001_u32.wrapping_add(1 << 31).wrapping_sub(1);
    let script = Script::opened().send(CLIENT, &[(far, b"SSH-2.0-x"), (1001, b"ab")]);
    assert_eq!(script.1.refused().get(&Refusal::OutOfWindow), Some(&1));
    assert_eq!(Script::opened().send(CLIENT, &[(far, b"x"), (1001, b"ab")]).told(), "whole ab/ >2");
}

#[test]
fn what_is_kept_is_bounded() {
    let block = vec![b'x'; 50_000];
    let blocks: Vec<(u32, &[u8])> = (0..3).map(|i| (1001 + i * 50_000, &block[..])).collect();
    let oriented = Script::opened().send(CLIENT, &blocks).0.finish();
    assert_eq!((oriented.client_bytes.len(), oriented.sent), (KEPT, 150_000));
    let lengths: usize = oriented.turns.iter().map(|turn| turn.length).sum();
    assert_eq!(lengths, KEPT);
}

#[test]
fn what_waits_is_bounded() {
    let block = vec![b'x'; 40_000];
    let script = Script::opened().send(CLIENT, &[(2001, &block), (52_001, &block)]);
    assert_eq!(script.1.refused().get(&Refusal::OutOfOrder), Some(&1));
    let many: Vec<(u32, &[u8])> = (0..300).map(|i| (1003 + 2 * i, &b"x"[..])).collect();
    let script = Script::opened().send(CLIENT, &many);
    assert_eq!(script.1.refused().get(&Refusal::OutOfOrder), Some(&44));
}

#[test]
fn ports_tell_only_where_nothing_else_does() {
    let check = |first: u16, second: u16, expect: u16| {
        let ends = [("192.0.2.1", first), ("192.0.2.2", second)];
        let ends = ends.map(|(ip, port)| SocketAddr::new(ip.parse().unwrap(), port));
        let mut connection = Connection::new(ends, Timestamp::UNIX_EPOCH);
        let mut budget = Budget::new();
        connection.take(0, &segment(1, b"x"), Timestamp::UNIX_EPOCH, &mut budget);
        let oriented = connection.finish();
        assert_eq!((oriented.server.port(), oriented.is_guessed), (expect, true));
    };
    check(40_000, 443, 443);
    check(443, 40_000, 443);
    check(9300, 40_342, 9300);
    check(2000, 3000, 3000);
    check(500, 22, 22);
}

proptest! {
    /// However a stream is cut, repeated and shuffled, the same comes out of it.
    #[test]
    fn segments_in_any_order_give_the_stream(
        stream in prop::collection::vec(1..=255u8, 1..400),
        cuts in prop::collection::vec((0..400usize, 1..60usize), 0..60),
        start in any::<u32>(),
        seed in any::<u64>(),
    ) {
        let mut pieces: Vec<(usize, usize)> = cuts
            .into_iter()
            .map(|(from, n)| (from.min(stream.len()), (from + n).min(stream.len())))
            .chain((0..stream.len()).step_by(17).map(|from| (from, (from + 17).min(stream.len()))))
            .collect();
        pieces.sort_by_key(|(from, to)| (*from as u64 + 1).wrapping_mul(seed) ^ *to as u64);
        let mut script = Script::late();
        script.take(CLIENT, Segment { syn: true, ..segment(start, b"") });
        for (from, to) in pieces {
            let sequence = start.wrapping_add(1).wrapping_add(from as u32);
            script.take(CLIENT, segment(sequence, &stream[from..to]));
        }
        let oriented = script.0.finish();
        prop_assert_eq!(&oriented.client_bytes, &stream);
        let lengths: usize = oriented.turns.iter().map(|turn| turn.length).sum();
        prop_assert_eq!(lengths, stream.len());
        prop_assert!(oriented.is_whole);
    }
}
