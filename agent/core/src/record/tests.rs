//! Tests of records.

use super::*;
use crate::identity;
use plainsight_ebpf::abi::edge::{Class, EdgeKey, Role};
use plainsight_ebpf::abi::event::{Connection, EventHeader, EventKind};
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
            version: 1,
            length: size_of::<Connection>() as u16,
            reserved: 0,
            time_ns: 3_500_000_000,
        },
        key: EdgeKey {
            cgroup: 77,
            netns: 1,
            peer_cgroup: 0,
            peer_netns: 0,
            name: 1,
            peer_name: 0,
            remote,
            port: 8080,
            asked_port: 0,
            role: role as u8,
            transport: 6,
            class: Class::Http1 as u8,
            verdict: 0,
        },
        opened_ns: 3_000_000_000,
        sent_bytes,
        received_bytes,
        cookie: 4711,
        local,
        remote,
        filters: 1,
        tgid: 99,
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
        let Layer4::Tcp(ports) = record.flow.l4;
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
    fn any_event_makes_a_record(role: u8, class: u8, close: u8, transport: u8, times in any::<[u64; 2]>()) {
        let mut event = event(Role::Client);
        (event.key.role, event.key.class, event.key.transport) = (role, class, transport);
        (event.close, event.opened_ns, event.header.time_ns) = (close, times[0], times[1]);
        let record = of(&event);
        prop_assert!(record.plainsight.duration_seconds >= 0.0);
        prop_assert!(serde_json::to_string(&record).is_ok());
    }
}
