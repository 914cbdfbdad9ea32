//! Tests of records.

use super::*;
use crate::identity;
use plainsight_ebpf::abi::edge::{EdgeKey, Role};
use plainsight_ebpf::abi::event::{Connection, EventHeader, EventKind};
use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::stage::Stage;
use proptest::prelude::*;

const CLOCK: Clock = Clock { unix_minus_boot_ns: 1_700_000_000_000_000_000 };

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn workload(name: &str) -> Workload {
    Workload { name: name.into(), ..identity::remote(ip("192.0.2.1")) }
}

/// 192.0.2.1:40000 asks 192.0.2.80:8080, sends 79 bytes and receives 853.
fn event(role: Role) -> Connection {
    let (client, server) = (flow::address(ip("192.0.2.1")), flow::address(ip("192.0.2.80")));
    let (local, remote, local_port, remote_port, sent_bytes, received_bytes) = match role {
        Role::Client => (client, server, 40_000, 8080, 79, 853),
        Role::Server => (server, client, 8080, 40_000, 853, 79),
    };
    Connection {
        header: EventHeader {
            kind: EventKind::Connection as u8,
            version: plainsight_ebpf::abi::VERSION,
            length: size_of::<Connection>() as u16,
            reserved: 0,
            time_ns: 3_500_000_000,
        },
        key: EdgeKey {
            cgroup: 77,
            netns: 1,
            name: 1,
            remote,
            port: 8080,
            role: role as u8,
            transport: 6,
            protocol: Protocol::Http as u8,
            stage: Stage::Plaintext as u8,
            ..EdgeKey::default()
        },
        opened_ns: 3_000_000_000,
        sent_bytes,
        received_bytes,
        cookie: 4711,
        local,
        remote,
        filters: 1,
        tgid: 99,
        sent_datagrams: 0,
        received_datagrams: 0,
        local_port,
        remote_port,
        close: event::Close::Fin as u8,
        comm: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
        orphaned: 0,
        reserved: 0,
    }
}

fn of(event: &Connection) -> Record {
    record(event, workload("curl"), workload("nginx"), Some("e-1".into()), &CLOCK, "host-a")
}

#[test]
fn both_ends_tell_the_same_story() {
    let [client, server] = [Role::Client, Role::Server].map(|role| of(&event(role)));
    for record in [&client, &server] {
        assert_eq!(
            (record.flow.ip.source, record.flow.ip.destination),
            (ip("192.0.2.1"), ip("192.0.2.80"))
        );
        let ports = record.flow.l4.ports();
        assert_eq!((ports.source_port, ports.destination_port), (40_000, 8080));
        assert_eq!((record.plainsight.bytes_sent, record.plainsight.bytes_received), (79, 853));
        assert_eq!(record.flow.summary, "TCP curl → nginx:8080 http fin");
    }
    assert_eq!(
        (client.plainsight.reporter, &*client.flow.traffic_direction),
        (Reporter::Client, "EGRESS")
    );
    assert_eq!(
        (server.plainsight.reporter, &*server.flow.traffic_direction),
        (Reporter::Server, "INGRESS")
    );
    assert_ne!(client.flow.uuid, server.flow.uuid, "two records of one connection");
}

#[test]
fn it_is_written_with_hubbles_key_names() {
    let record = of(&event(Role::Client));
    let json: serde_json::Value = serde_json::to_value(&record).unwrap();
    let check = |pointer: &str, expect: serde_json::Value| {
        assert_eq!(json.pointer(pointer), Some(&expect), "{pointer} in {json}");
    };
    check("/time", "2023-11-14T22:13:23.5Z".into());
    check("/node_name", "host-a".into());
    check("/flow/time", "2023-11-14T22:13:23.5Z".into());
    check("/flow/verdict", "FORWARDED".into());
    check("/flow/IP/source", "192.0.2.1".into());
    check("/flow/IP/ipVersion", "IPv4".into());
    check("/flow/l4/TCP/destination_port", 8080.into());
    check("/flow/source/workloads/0/name", "curl".into());
    check("/flow/source/workloads/0/kind", "address".into());
    check("/flow/destination/workloads/0/name", "nginx".into());
    check("/flow/is_reply", false.into());
    check("/flow/traffic_direction", "EGRESS".into());
    check("/flow/socket_cookie", 4711.into());
    check("/flow/cgroup_id", 77.into());
    check("/flow/Summary", "TCP curl → nginx:8080 http fin".into());
    check("/plainsight/reporter", "client".into());
    check("/plainsight/edge", "e-1".into());
    check("/plainsight/bytes_sent", 79.into());
    check("/plainsight/duration_seconds", 0.5.into());
    check("/plainsight/close", "fin".into());
    check("/plainsight/datagrams_sent", serde_json::Value::Null);
    check("/plainsight/datagrams_received", serde_json::Value::Null);
    check("/plainsight/reached", serde_json::Value::Null);
    check("/plainsight/protocol", "http".into());
    check("/plainsight/protocol_version", "1".into());
    check("/plainsight/security", "none".into());
    check("/plainsight/state", "plaintext".into());
    check("/plainsight/tls", serde_json::Value::Null);
    check("/plainsight/evidence/of", 1.into());
    check("/plainsight/verdict/decision", "allowed".into());
    check("/plainsight/client/name", "curl".into());
    check("/plainsight/process/pid", 99.into());
    check("/plainsight/process/name", "curl".into());
    assert_eq!(serde_json::from_value::<Record>(json).unwrap(), record);
}

#[test]
fn a_conversation_over_udp_has_datagrams() {
    let over_udp = |role| {
        let event = event(role);
        let (sent_datagrams, received_datagrams) = match role {
            Role::Client => (3, 2),
            Role::Server => (2, 3),
        };
        let key = EdgeKey { transport: 17, protocol: Protocol::Dns as u8, ..event.key };
        let close = event::Close::Closed as u8;
        of(&Connection { key, close, sent_datagrams, received_datagrams, ..event })
    };
    for record in [Role::Client, Role::Server].map(over_udp) {
        let detail = &record.plainsight;
        assert_eq!((detail.datagrams_sent, detail.datagrams_received), (Some(3), Some(2)));
        assert_eq!(record.flow.summary, "UDP curl → nginx:8080 dns closed");
        assert_eq!(&*record.flow.verdict, "FORWARDED");
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(json.pointer("/flow/l4/UDP/destination_port"), Some(&8080.into()), "{json}");
        assert_eq!(serde_json::from_value::<Record>(json).unwrap(), record);
    }
}

#[test]
fn a_record_says_where_packets_went() {
    let there = Reached { address: ip("10.0.0.5"), port: 9090 };
    let asked = event(Role::Client);
    let (reached, reached_port) = (flow::address(there.address), there.port);
    let client = Connection { key: EdgeKey { reached, reached_port, ..asked.key }, ..asked };
    assert_eq!(of(&client).plainsight.reached, Some(there));
    let unpaired = of(&event(Role::Server)).plainsight.reached;
    assert_eq!(unpaired, None, "what an unknown client asked is not known");
    let paired = |address: &str, asked_port| {
        let (answers, remote) = (event(Role::Server), flow::address(ip(address)));
        let key = EdgeKey { peer_cgroup: 5, remote, asked_port, ..answers.key };
        of(&Connection { key, ..answers }).plainsight.reached
    };
    assert_eq!(paired("192.0.2.80", 8080), None);
    assert_eq!(paired("0.0.0.0", 8080), None);
    let own = Reached { address: ip("192.0.2.80"), port: 8080 };
    assert_eq!(paired("10.96.0.80", 8080), Some(own));
    assert_eq!(paired("192.0.2.80", 80), Some(own));
}

#[test]
fn a_record_says_what_speaks_against_its_evidence() {
    let event = event(Role::Client);
    let key = EdgeKey { flags: 1, protocol: 0, stage: Stage::Unknown as u8, ..event.key };
    let evidence = of(&Connection { key, ..event }).plainsight.evidence;
    assert_eq!(evidence.what, "joined late: its start was not seen");
}

#[test]
fn decisions_have_names_and_bits() {
    for decision in Decision::ALL {
        let json = serde_json::to_string(&decision).unwrap();
        assert_eq!(json, format!("\"{}\"", decision.name()));
        assert_eq!(Decision::from_name(decision.name()), Some(decision));
    }
    let bits = Decision::ALL.map(Decision::bit);
    assert_eq!(bits, [1, 2, 4], "one each");
}

#[test]
fn an_error_is_where_nothing_came_of_it() {
    let check = |close: u8, bytes, name: &str, verdict: &str| {
        let event =
            Connection { close, sent_bytes: bytes, received_bytes: 0, ..event(Role::Client) };
        let record = of(&event);
        assert_eq!((record.plainsight.close.name(), &*record.flow.verdict), (name, verdict));
        let json = serde_json::to_string(&record.plainsight.close).unwrap();
        assert_eq!(json, format!("\"{name}\""));
    };
    check(event::Close::Fin as u8, 0, "fin", "FORWARDED");
    check(event::Close::Reset as u8, 7, "rst", "FORWARDED");
    check(event::Close::TimedOut as u8, 7, "timeout", "FORWARDED");
    check(event::Close::TimedOut as u8, 0, "timeout", "ERROR");
    check(event::Close::Refused as u8, 0, "refused", "ERROR");
    check(event::Close::Aborted as u8, 0, "aborted", "ERROR");
    check(event::Close::Closed as u8, 7, "closed", "FORWARDED");
    check(200, 7, "unknown", "FORWARDED");
}

#[test]
fn ipv6_and_an_unknown_process() {
    let (local, remote) = (flow::address(ip("2001:db8::1")), flow::address(ip("2001:db8::2")));
    let record = of(&Connection { local, remote, tgid: 0, ..event(Role::Client) });
    assert_eq!((record.flow.ip.source, &*record.flow.ip.version), (ip("2001:db8::1"), "IPv6"));
    assert_eq!(record.plainsight.process.pid, None);
}

#[test]
fn the_uuid_is_one_and_stays() {
    let uuid = of(&event(Role::Client)).flow.uuid;
    assert_eq!(uuid, of(&event(Role::Client)).flow.uuid);
    for other in [
        Connection { cookie: 4712, ..event(Role::Client) },
        Connection { opened_ns: 1, ..event(Role::Client) },
    ] {
        assert_ne!(uuid, of(&other).flow.uuid);
    }
}

proptest! {
    #[test]
    fn a_uuid_has_the_shape_of_version_8(cookie: u64, opened_ns: u64) {
        let uuid = uuid(&Connection { cookie, opened_ns, ..event(Role::Client) });
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        prop_assert_eq!(lengths, vec![8, 4, 4, 4, 12]);
        prop_assert_eq!(&uuid[14..15], "8");
        prop_assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"));
    }

    #[test]
    fn any_event_makes_a_record(role: u8, class: [u8; 3], close: u8, transport: u8, times in any::<[u64; 2]>()) {
        let mut event = event(Role::Client);
        (event.key.role, event.key.transport) = (role, transport);
        [event.key.protocol, event.key.stage, event.key.secret] = class;
        (event.close, event.opened_ns, event.header.time_ns) = (close, times[0], times[1]);
        let record = of(&event);
        prop_assert!(record.plainsight.duration_seconds >= 0.0);
        prop_assert!(serde_json::to_string(&record).is_ok());
    }
}
