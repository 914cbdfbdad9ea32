//! Tests of clocks, addresses, halves and the balance.

use super::*;
use alloc::string::ToString as _;
use alloc::vec;
use core::array;
use proptest::prelude::*;

fn key(role: Role) -> EdgeKey {
    EdgeKey {
        cgroup: 11,
        netns: 12,
        peer_netns: 22,
        name: 13,
        peer_name: 23,
        port: 8080,
        role: role as u8,
        transport: 6,
        ..EdgeKey::default()
    }
}

fn half(counters: EdgeCounters) -> Half {
    Half { key: key(Role::Client), counters }
}

#[test]
fn addresses_read_as_people_write_them() {
    let check = |text: &str| {
        let parsed: IpAddr = text.parse().unwrap();
        assert_eq!(ip(&address(parsed)).to_string(), text);
    };
    check("192.0.2.7");
    check("0.0.0.0");
    check("2001:db8::1");
    check("::1");
    check("::");
    check("2001:db8:1:2:3:4:5:6");
}

#[test]
fn ipv4_is_kept_as_the_kernel_half_keeps_it() {
    let kernel = abi::mapped(u32::from_ne_bytes([192, 0, 2, 7]));
    assert_eq!(ip(&kernel).to_string(), "192.0.2.7");
    assert_eq!(address("192.0.2.7".parse().unwrap()), kernel);
    assert_eq!(address("::ffff:192.0.2.7".parse().unwrap()), kernel, "written the long way");
}

#[test]
fn time_of_day_is_boot_time_and_an_offset() {
    let clock = Clock { unix_minus_boot_ns: 1_700_000_000_000_000_000 };
    assert_eq!(clock.time(0).to_string(), "2023-11-14T22:13:20Z");
    assert_eq!(clock.time(1_500_000_000).to_string(), "2023-11-14T22:13:21.5Z");
}

#[test]
fn a_time_that_cannot_be_expressed_is_the_nearest() {
    let check = |unix_minus_boot_ns, boot_ns, expect: Timestamp| {
        assert_eq!(Clock { unix_minus_boot_ns }.time(boot_ns), expect);
    };
    let early = Timestamp::from_nanosecond(i128::from(i64::MIN)).unwrap();
    check(i64::MIN, 0, early);
    let late = i128::from(i64::MAX) + i128::from(u64::MAX);
    check(i64::MAX, u64::MAX, Timestamp::from_nanosecond(late).unwrap_or(Timestamp::MAX));
}

#[test]
fn a_half_has_a_peer_only_if_it_was_paired() {
    let mut half = half(EdgeCounters::default());
    assert_eq!(half.own(), Endpoint { cgroup: 11, netns: 12, name: 13 });
    assert_eq!(half.peer(), None);
    half.key.peer_cgroup = 21;
    assert_eq!(half.peer(), Some(Endpoint { cgroup: 21, netns: 22, name: 23 }));
}

#[test]
fn every_role_is_one_of_two() {
    assert_eq!(Reporter::from_code(Role::Client as u8), Reporter::Client);
    assert_eq!(Reporter::from_code(Role::Server as u8), Reporter::Server);
    assert_eq!(Reporter::from_code(99), Reporter::Client);
    assert_eq!(serde_json::to_string(&Reporter::Server).unwrap(), "\"server\"");
}

#[test]
fn a_connection_that_moved_on_is_not_counted_here() {
    let check = |(opened, moved, closed), connections, open| {
        let half = half(EdgeCounters { opened, moved, closed, ..EdgeCounters::default() });
        assert_eq!((half.connections(), half.open()), (connections, open));
    };
    check((23, 0, 0), 23, 23);
    check((23, 0, 20), 23, 3);
    check((23, 23, 0), 0, 0);
    check((23, 4, 19), 19, 0);
    check((1, 2, 3), 0, 0);
}

fn counted() -> (Totals, [Half; 2]) {
    let pending = EdgeCounters {
        opened: 30,
        moved: 23,
        closed: 6,
        refused: 5,
        timed_out: 2,
        aborted: 1,
        ..EdgeCounters::default()
    };
    let http = EdgeCounters {
        opened: 23,
        closed: 23,
        sent_bytes: 1_013,
        received_bytes: 20_011,
        ..EdgeCounters::default()
    };
    let mut totals = Totals::default();
    for (counter, count) in [
        (Counter::Opened, 30),
        (Counter::Closed, 29),
        (Counter::Failed, 8),
        (Counter::SentBytes, 1_013),
        (Counter::ReceivedBytes, 20_011),
    ] {
        totals.add(counter, count);
    }
    (totals, [half(pending), half(http)])
}

#[test]
fn the_books_balance() {
    let (totals, halves) = counted();
    let balance = balance(&totals, &Held::of(&halves));
    assert_eq!((balance.error(), balance.open()), (0, 1), "{balance:?}");
}

#[test]
fn what_found_no_edge_is_accounted_for() {
    let (mut totals, halves) = counted();
    totals.add(Counter::Opened, 3);
    totals.add(Counter::OverflowOpened, 3);
    totals.add(Counter::SentBytes, 100);
    totals.add(Counter::OverflowSentBytes, 100);
    assert_eq!(balance(&totals, &Held::of(&halves)).error(), 0);
}

#[test]
fn every_difference_counts_whichever_way_it_goes() {
    let (mut totals, halves) = counted();
    totals.add(Counter::Failed, 2);
    let [pending, _] = halves;
    let one = balance(&totals, &Held::of(&halves));
    assert_eq!((one.failed.error(), one.error()), (2, 2));
    let other = balance(&totals, &Held::of(&[pending]));
    assert_eq!(other.error(), 2 + 23 + 23 + 1_013 + 20_011);
}

#[test]
fn totals_keep_the_order_of_the_counters() {
    let totals = Totals::new(array::from_fn(|i| i as u64 * 10));
    assert_eq!(totals.get(Counter::Opened), 0);
    assert_eq!(totals.get(Counter::EdgesFull), 50);
    assert_eq!(totals.get(Counter::Paired), 240);
}

proptest! {
    #[test]
    fn an_address_survives_both_ways(bits in any::<u128>()) {
        let canonical = Ipv6Addr::from_bits(bits).to_canonical();
        prop_assert_eq!(ip(&address(canonical)), canonical);
    }

    #[test]
    fn no_clock_and_no_count_overflow(offset: i64, boot: u64, counts in any::<[u64; 4]>()) {
        let _ = Clock { unix_minus_boot_ns: offset }.time(boot);
        let [opened, moved, closed, refused] = counts;
        let counters = EdgeCounters { opened, moved, closed, refused, ..EdgeCounters::default() };
        let halves = vec![half(counters); 3];
        let balance = balance(&Totals::new([u64::MAX; Counter::COUNT as usize]), &Held::of(&halves));
        prop_assert_eq!(balance.open(), 0);
        prop_assert!(balance.error() >= balance.opened.error());
    }
}

/// Totals in which one counter has one value.
fn totals_of(counts: &[(Counter, u64)]) -> Totals {
    let mut totals = Totals::default();
    counts.iter().for_each(|(counter, count)| totals.add(*counter, *count));
    totals
}

#[test]
fn what_is_counted_while_edges_are_read_is_no_difference() {
    let check = |before: &[(Counter, u64)], after: &[(Counter, u64)], opened, expect| {
        let halves = [half(EdgeCounters { opened, ..EdgeCounters::default() })];
        let difference = unaccounted(&totals_of(before), &totals_of(after), &Held::of(&halves));
        assert_eq!(difference, expect, "{before:?} {after:?} {opened}");
    };
    let (opened, moved) = (Counter::Opened, Counter::Moved);
    check(&[(opened, 10)], &[(opened, 17)], 10, 0);
    check(&[(opened, 10)], &[(opened, 17)], 17, 0);
    check(&[(opened, 10)], &[(opened, 17)], 9, 1);
    check(&[(opened, 10)], &[(opened, 17)], 19, 2);
    check(&[(opened, 10)], &[(opened, 17), (moved, 3)], 20, 0);
    check(&[(opened, 10)], &[(opened, 17), (moved, 3)], 21, 1);
    let overflow = Counter::OverflowOpened;
    check(&[(opened, 10), (overflow, 4)], &[(opened, 17), (overflow, 6)], 13, 0);
    check(&[(opened, 10), (overflow, 4)], &[(opened, 17), (overflow, 6)], 3, 1);
}

proptest! {
    #[test]
    fn at_rest_both_ways_of_weighing_agree(
        counts in proptest::collection::vec(0..u64::from(u32::MAX), Counter::COUNT as usize),
        opened in 0..u64::from(u32::MAX),
        closed in 0..u64::from(u32::MAX),
    ) {
        let mut counts: [u64; Counter::COUNT as usize] = counts.try_into().unwrap();
        // More overflow than there was in total can not be.
        for (total, overflow) in [
            (Counter::Opened, Counter::OverflowOpened),
            (Counter::Closed, Counter::OverflowClosed),
            (Counter::Failed, Counter::OverflowFailed),
            (Counter::SentBytes, Counter::OverflowSentBytes),
            (Counter::ReceivedBytes, Counter::OverflowReceivedBytes),
            (Counter::DatagramsSent, Counter::OverflowDatagramsSent),
            (Counter::DatagramsReceived, Counter::OverflowDatagramsReceived),
        ] {
            counts[overflow as usize] = counts[overflow as usize].min(counts[total as usize]);
        }
        let totals = Totals::new(counts);
        let halves = [half(EdgeCounters { opened, closed, ..EdgeCounters::default() })];
        let exact = balance(&totals, &Held::of(&halves));
        prop_assert_eq!(unaccounted(&totals, &totals, &Held::of(&halves)), exact.error());
    }
}
