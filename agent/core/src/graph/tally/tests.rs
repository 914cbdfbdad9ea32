//! Tests of counting and settling.

use super::*;
use plainsight_ebpf::abi::edge::{EdgeCounters, EdgeKey, Role};
use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::secret::Secret;
use plainsight_ebpf::wire::stage::Stage;
use proptest::prelude::*;

const HTTP: Class = Class::new(Protocol::Http, Stage::Plaintext);
const TLS: Class = Class::new(Protocol::Tls, Stage::Handshake);
const TLS_OFFERED: Class = Class::new(Protocol::Tls, Stage::Offered);
const SSH: Class = Class::new(Protocol::Ssh, Stage::Handshake);
const DNS: Class = Class::new(Protocol::Dns, Stage::Plaintext);
const PENDING: Class = Class::PENDING;
const UNKNOWN: Class = Class::UNKNOWN;

fn half(role: Role, class: Class, counters: EdgeCounters) -> Half {
    let key = EdgeKey {
        cgroup: 1,
        netns: 1,
        name: 1,
        port: 80,
        role: role as u8,
        transport: 6,
        protocol: class.protocol as u8,
        stage: class.stage as u8,
        secret: class.secret as u8,
        ..EdgeKey::default()
    };
    Half { key, counters }
}

fn tally(connections: u64, refused: u64, sent_bytes: u64) -> Tally {
    let counters =
        EdgeCounters { opened: connections, refused, sent_bytes, ..EdgeCounters::default() };
    Tally::new(&half(Role::Client, PENDING, counters))
}

fn classes(counts: &[(Class, Tally)]) -> Classes {
    Classes(counts.iter().map(|(class, tally)| (*class, *tally)).collect())
}

/// Settles `counts` and compares class, connections, of those pending, failures and bytes.
fn check(counts: &[(Class, Tally)], expect: &[(Class, u64, u64, u64, u64)]) {
    check_over(Transport::Tcp, counts, expect);
}

fn check_over(
    transport: Transport,
    counts: &[(Class, Tally)],
    expect: &[(Class, u64, u64, u64, u64)],
) {
    let settled: Vec<_> = classes(counts)
        .settle(transport)
        .iter()
        .map(|part| {
            (
                part.class,
                part.all.connections,
                part.pending,
                part.all.failures(),
                part.all.sent_bytes,
            )
        })
        .collect();
    let expect: Vec<_> =
        expect.iter().map(|(class, a, b, c, d)| (*class, *a, *b, *c, *d)).collect();
    assert_eq!(settled, expect);
}

#[test]
fn the_servers_numbers_are_mirrored() {
    let counters = EdgeCounters { sent_bytes: 853, received_bytes: 79, ..EdgeCounters::default() };
    let tally = Tally::new(&half(Role::Server, HTTP, counters));
    assert_eq!((tally.sent_bytes, tally.received_bytes), (79, 853));
}

#[test]
fn what_is_pending_belongs_to_the_only_class() {
    check(&[(PENDING, tally(3, 2, 0)), (HTTP, tally(20, 0, 100))], &[(HTTP, 23, 3, 2, 100)]);
    check(&[(PENDING, tally(0, 0, 0)), (HTTP, tally(20, 0, 100))], &[(HTTP, 20, 0, 0, 100)]);
}

#[test]
fn what_is_pending_stays_apart_where_there_is_no_class_or_more_than_one() {
    check(&[(PENDING, tally(3, 2, 0))], &[(PENDING, 3, 3, 2, 0)]);
    check(
        &[(PENDING, tally(3, 2, 0)), (HTTP, tally(1, 0, 0)), (TLS, tally(1, 0, 0))],
        &[(HTTP, 1, 0, 0, 0), (TLS, 1, 0, 0, 0), (PENDING, 3, 3, 2, 0)],
    );
}

#[test]
fn what_counts_nothing_is_left_out() {
    check(&[], &[]);
    check(&[(PENDING, tally(0, 0, 0))], &[]);
    check(&[(PENDING, tally(0, 0, 0)), (TLS, tally(0, 0, 0))], &[]);
    check(
        &[(PENDING, tally(0, 0, 0)), (HTTP, tally(1, 0, 0)), (TLS, tally(1, 0, 0))],
        &[(HTTP, 1, 0, 0, 0), (TLS, 1, 0, 0, 0)],
    );
}

#[test]
fn bytes_that_were_left_behind_follow_their_connections() {
    let hello = (TLS_OFFERED, tally(0, 0, 517));
    check(&[(TLS, tally(5, 0, 1000)), hello], &[(TLS, 5, 0, 0, 1517)]);
    check(
        &[(HTTP, tally(50, 0, 9)), (TLS, tally(5, 0, 1000)), hello],
        &[(HTTP, 50, 0, 0, 9), (TLS, 5, 0, 0, 1517)],
    );
    check(
        &[(UNKNOWN, tally(0, 0, 21)), (HTTP, tally(2, 0, 9)), (SSH, tally(7, 0, 100))],
        &[(HTTP, 2, 0, 0, 9), (SSH, 7, 0, 0, 121)],
    );
    check(&[hello], &[(TLS_OFFERED, 0, 0, 0, 517)]);
}

#[test]
fn who_authenticates_in_the_clear_is_counted_apart() {
    let basic = Class { secret: Secret::HttpBasic, ..HTTP };
    let settled =
        classes(&[(HTTP, tally(0, 0, 9)), (basic, tally(3, 0, 100))]).settle(Transport::Tcp);
    let expect = Credentials::new(Secret::HttpBasic, 3);
    assert_eq!(settled.iter().map(|part| &part.credentials).collect::<Vec<_>>(), [&expect]);
    let mut sum = Classified::new(HTTP, &tally(20, 0, 0));
    sum.add(&Classified::new(basic, &tally(3, 0, 0)));
    assert_eq!((sum.all.connections, sum.credentials), (23, expect));
}

#[test]
fn over_udp_nothing_is_left_behind() {
    let [dns, other] = [tally(0, 0, 31), tally(0, 0, 7)];
    let expect = [(UNKNOWN, 0, 0, 0, 7), (DNS, 0, 0, 0, 31)];
    check_over(Transport::Udp, &[(PENDING, tally(0, 0, 0)), (UNKNOWN, other), (DNS, dns)], &expect);
}

#[test]
fn over_udp_a_handshake_belongs_to_what_it_led_to() {
    let stage = |stage| Class::new(Protocol::Quic, stage);
    let offered = (stage(Stage::Offered), tally(0, 0, 1200));
    let expect = [(stage(Stage::Encrypted), 0, 0, 0, 1300)];
    let encrypted = (stage(Stage::Encrypted), tally(0, 0, 100));
    check_over(Transport::Udp, &[offered, encrypted], &expect);
    check_over(Transport::Udp, &[offered], &[(offered.0, 0, 0, 0, 1200)]);
}

#[test]
fn round_trips_go_with_what_is_taken() {
    let timed = |samples: u32, tally: Tally| {
        let mut counts = [0; plainsight_ebpf::abi::edge::RTT_BUCKETS];
        counts[3] = samples;
        Tally { rtt: Samples::new(&counts), ..tally }
    };
    let mut all = timed(9, tally(5, 0, 50));
    assert_eq!(all.take(&timed(4, tally(2, 0, 20))), timed(4, tally(2, 0, 20)));
    assert_eq!(all.take(&timed(4, tally(0, 0, 0))).rtt, Samples::NONE, "no share, no times");
    assert_eq!(all.rtt, timed(5, tally(0, 0, 0)).rtt);
}

#[test]
fn a_share_is_no_more_than_there_is() {
    let mut all = classes(&[(HTTP, tally(10, 0, 100))]);
    let one = all.take(&classes(&[(HTTP, tally(7, 0, 80)), (TLS, tally(1, 0, 1))]));
    let other = all.take(&classes(&[(HTTP, tally(5, 0, 10))]));
    assert_eq!(one, classes(&[(HTTP, tally(7, 0, 80))]));
    assert_eq!(other, classes(&[(HTTP, Tally { open: 3, ..tally(3, 0, 10) })]));
    assert_eq!(all, classes(&[(HTTP, tally(0, 0, 10))]));
}

#[test]
fn a_share_leaves_no_more_open_than_there_are() {
    let check = |there: (u64, u64), wanted: (u64, u64), taken: (u64, u64), left: (u64, u64)| {
        let make = |(connections, open)| Tally { open, ..tally(connections, 0, 0) };
        let mut all = make(there);
        let share = all.take(&make(wanted));
        assert_eq!((share, all), (make(taken), make(left)));
    };
    check((10, 4), (6, 1), (6, 1), (4, 3));
    check((3, 2), (3, 0), (3, 2), (0, 0));
    check((3, 2), (5, 5), (3, 2), (0, 0));
    check((3, 0), (2, 2), (2, 0), (1, 0));
    check((3, 3), (1, 0), (1, 1), (2, 2));
}

#[test]
fn sums_stay_where_they_are_when_they_are_full() {
    let mut sum = tally(u64::MAX, 1, 1);
    sum.add(&tally(2, 3, 4));
    assert_eq!((sum.connections, sum.refused, sum.sent_bytes), (u64::MAX, 4, 5));
}

fn any_classes() -> impl Strategy<Value = Classes> {
    let counts = (0_u64..4, 0_u64..3, 0_u64..100, 0_u64..5)
        .prop_map(|(a, b, c, sent_datagrams)| Tally { sent_datagrams, ..tally(a, b, c) });
    let class = prop_oneof![
        Just(PENDING),
        Just(UNKNOWN),
        Just(HTTP),
        Just(Class { secret: Secret::HttpBasic, ..HTTP }),
        Just(TLS),
        Just(TLS_OFFERED),
        Just(SSH),
    ];
    proptest::collection::btree_map(class, counts, 0..9).prop_map(Classes)
}

fn total<'a>(tallies: impl Iterator<Item = &'a Tally>) -> [u64; COUNTS] {
    tallies.fold([0; COUNTS], |sum, tally| {
        let counts = tally.counts();
        core::array::from_fn(|i| sum[i] + counts[i])
    })
}

proptest! {
    #[test]
    fn settling_makes_and_loses_nothing(classes in any_classes(), is_udp: bool) {
        let settled = classes.settle(if is_udp { Transport::Udp } else { Transport::Tcp });
        prop_assert_eq!(total(settled.iter().map(|part| &part.all)), total(classes.0.values()));
        prop_assert!(settled.iter().all(|part| part.pending <= part.all.connections));
    }

    #[test]
    fn dealing_out_makes_and_loses_nothing(mut all in any_classes(), wanted in any_classes()) {
        let before = total(all.0.values());
        let taken = all.take(&wanted);
        prop_assert_eq!(total(taken.0.values().chain(all.0.values())), before);
    }
}
