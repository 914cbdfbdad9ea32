//! Canaries that come back and that do not, and strangers near them.

use jiff::Timestamp;
use plainsight_core::flow::Clock;
use plainsight_ebpf::abi::{
    edge::{EdgeCounters, EdgeKey, Role},
    event::{EventHeader, EventKind},
};

use super::*;

const PORT: u16 = 40_000;
const INTERVAL: Duration = Duration::from_secs(10);

fn key(role: Role, cgroup: u64, peer_cgroup: u64) -> EdgeKey {
    EdgeKey {
        cgroup,
        netns: 1,
        peer_cgroup,
        peer_netns: 1,
        name: 3,
        peer_name: 3,
        remote: flow::address(std::net::Ipv4Addr::LOCALHOST.into()),
        port: PORT,
        role: role as u8,
        transport: 6,
        ..EdgeKey::default()
    }
}

/// A record of this client's port, with these bytes.
fn record(key: EdgeKey, tgid: u32, from: u16, bytes: [u64; 2]) -> Connection {
    let is_client = key.role == Role::Client as u8;
    let [local_port, remote_port] = if is_client { [from, PORT] } else { [PORT, from] };
    let (kind, version) = (EventKind::Connection as u8, 0);
    Connection {
        header: EventHeader { kind, version, length: 0, reserved: 0, time_ns: 0 },
        key,
        opened_ns: 0,
        sent_bytes: bytes[0],
        received_bytes: bytes[1],
        cookie: 0,
        local: key.remote,
        remote: key.remote,
        filters: 1,
        tgid,
        sent_datagrams: 0,
        received_datagrams: 0,
        local_port,
        remote_port,
        close: 1,
        orphaned: 0,
        reserved: 0,
        comm: [0; 16],
    }
}

fn half(key: EdgeKey, tgid: u32, opened: u64) -> Half {
    Half { key, counters: EdgeCounters { tgid, opened, ..EdgeCounters::default() } }
}

fn at(start: Instant, seconds: u64) -> Now {
    Now {
        boot_ns: 0,
        instant: start + Duration::from_secs(seconds),
        time: Timestamp::from_second(seconds.cast_signed()).unwrap(),
        clock: Clock { unix_minus_boot_ns: 0 },
    }
}

/// A canary that has taken off from port 1, and when.
fn flying() -> (Canary, Instant) {
    let start = Instant::now();
    let mut canary = Canary::new(PORT, INTERVAL, start);
    assert!(canary.launch(start));
    canary.took_off(1);
    (canary, start)
}

fn client() -> EdgeKey {
    key(Role::Client, 7, 0)
}

fn exact(from: u16) -> Connection {
    record(client(), 42, from, [SENT as u64, ANSWERED as u64])
}

#[test]
fn it_is_back_once_record_and_edge_are() {
    let (mut canary, start) = flying();
    assert!(canary.takes(&exact(1), &at(start, 1)));
    assert_eq!(canary.runs.last_success, None);
    canary.look(&mut vec![half(client(), 42, 1)], &at(start, 2));
    assert_eq!(canary.runs.last_success.unwrap().as_second(), 2);
    assert_eq!(canary.runs.runs["returned"], 1);
    assert_eq!(canary.verdict(at(start, 5).instant).unwrap(), "canary: came back 3 s ago");
    // An edge that stays as it was is no second success.
    assert!(canary.launch(at(start, 10).instant));
    canary.took_off(2);
    canary.takes(&exact(2), &at(start, 11));
    canary.look(&mut vec![half(client(), 42, 1)], &at(start, 11));
    assert!(canary.launch(at(start, 20).instant));
    assert_eq!(canary.runs.runs["edge_missing"], 1);
}

#[test]
fn three_intervals_without_one_are_a_fault() {
    let check = |event: Option<Connection>, result: &str, fault: &str| {
        let (mut canary, start) = flying();
        canary.look(&mut vec![], &at(start, 1));
        if let Some(event) = event {
            assert!(canary.takes(&event, &at(start, 1)));
        }
        assert!(canary.launch(at(start, 10).instant));
        assert_eq!(canary.runs.runs[result], 1, "{result}");
        assert!(canary.verdict(at(start, 29).instant).is_ok(), "{result}");
        let error = canary.verdict(at(start, 30).instant).unwrap_err();
        assert_eq!(error, format!("canary: none came back for 30 s: {fault}"));
    };
    check(None, "record_lost", "its record was lost");
    check(Some(exact(1)), "edge_missing", "its edge did not grow");
    let other = record(client(), 42, 1, [SENT as u64 + 1, ANSWERED as u64]);
    check(Some(other), "bytes_differ", "its record had other bytes than were sent");
    let nameless = Connection { tgid: 0, ..exact(1) };
    check(Some(nameless), "nameless", "its record named no process");
}

#[test]
fn one_that_cannot_be_sent_says_why() {
    let (mut canary, start) = flying();
    canary.not_sent("it could not be sent: no route".into());
    assert_eq!(canary.runs.runs["not_sent"], 1);
    let error = canary.verdict(at(start, 31).instant).unwrap_err();
    assert!(error.ends_with(": it could not be sent: no route"), "{error}");
}

#[test]
fn a_program_that_was_detached_is_a_fault_at_once() {
    let (mut canary, start) = flying();
    canary.note_detached(2);
    let error = canary.verdict(start).unwrap_err();
    let expect = "programs detached from the cgroup: 2; canary: on its way for the first time";
    assert_eq!(error, expect);
}

#[test]
fn a_run_that_is_on_its_way_is_given_time() {
    let (mut canary, start) = flying();
    assert!(!canary.launch(at(start, 2).instant));
    assert!(canary.launch(at(start, 3).instant));
}

#[test]
fn its_own_edge_and_records_are_taken_out() {
    let (mut canary, start) = flying();
    let server = key(Role::Server, 7, 7);
    // The server's record may come first.
    assert!(canary.takes(&record(server, 42, 1, [0, 0]), &at(start, 1)));
    assert!(canary.takes(&exact(1), &at(start, 1)));
    // One of an earlier run that comes late.
    assert!(canary.takes(&record(server, 42, 9, [0, 0]), &at(start, 1)));
    let mut halves = vec![half(client(), 42, 5), half(server, 42, 5)];
    canary.look(&mut halves, &at(start, 2));
    assert_eq!((halves.len(), canary.hidden()), (0, 2));
}

#[test]
fn strangers_are_shown() {
    let (mut canary, start) = flying();
    canary.takes(&exact(1), &at(start, 1));
    let stranger = key(Role::Client, 8, 0);
    let served = key(Role::Server, 7, 8);
    let other_port = EdgeKey { port: 80, ..client() };
    assert!(!canary.takes(&record(stranger, 43, 5, [0, 0]), &at(start, 1)));
    assert!(!canary.takes(&record(served, 42, 5, [0, 0]), &at(start, 1)));
    assert!(!canary.takes(&record(other_port, 42, 1, [0, 0]), &at(start, 1)));
    let mut halves = vec![half(stranger, 43, 1), half(served, 42, 1), half(other_port, 42, 1)];
    canary.look(&mut halves, &at(start, 2));
    assert_eq!((halves.len(), canary.hidden()), (3, 0));
}
