//! Tests of joining, naming and adding up.

use super::*;
use crate::flow::link::Observed;
use crate::flow::{self, Endpoint};
use crate::identity::{self, Kind, MatchedBy, Process};
use crate::protocol::Class;
use crate::protocol::tls::Tls;
use alloc::vec;
use plainsight_ebpf::abi::edge::{EdgeCounters, EdgeKey, RTT_BUCKETS, Role};
use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::stage::Stage;
use proptest::prelude::*;

const CLOCK: Clock = Clock { unix_minus_boot_ns: 1_700_000_000_000_000_000 };

const CURL: Endpoint = Endpoint { cgroup: 10, netns: 1, name: 100 };
const WGET: Endpoint = Endpoint { cgroup: 10, netns: 1, name: 101 };
const NGINX: Endpoint = Endpoint { cgroup: 20, netns: 1, name: 200 };
/// Another process of the same unit.
const NGINX_WORKER: Endpoint = Endpoint { cgroup: 20, netns: 1, name: 201 };
const HAPROXY: Endpoint = Endpoint { cgroup: 30, netns: 1, name: 300 };

const PENDING: Class = Class::PENDING;
const UNKNOWN: Class = Class::UNKNOWN;
const HTTP: Class = Class::new(Protocol::Http, Stage::Plaintext);
const HTTP2: Class = Class::new(Protocol::Http2, Stage::Plaintext);
const TLS: Class = Class::new(Protocol::Tls, Stage::Encrypted);
const TLS_OFFERED: Class = Class::new(Protocol::Tls, Stage::Offered);
const DNS: Class = Class::new(Protocol::Dns, Stage::Plaintext);
const QUIC: Class = Class::new(Protocol::Quic, Stage::Offered);

const HERE: &str = "192.0.2.1";
const THERE: &str = "198.51.100.9";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn directory() -> Directory {
    let mut directory = Directory::new(100);
    let process = |name: &str| Process { name: name.into(), exe: None, alive: true };
    for (endpoint, path, name) in [
        (CURL, "/", "curl"),
        (WGET, "/", "wget"),
        (NGINX, "/system.slice/nginx.service", "nginx"),
        (NGINX_WORKER, "/system.slice/nginx.service", "worker"),
        (HAPROXY, "/system.slice/haproxy.service", "haproxy"),
    ] {
        directory.insert(endpoint, identity::local(Some(path), None, &process(name), "host-a"));
    }
    directory
}

/// Counters of connections that have all ended, each end's first seen at 1 s and last at 2 s.
fn counters(opened: u64, sent_bytes: u64, received_bytes: u64) -> EdgeCounters {
    EdgeCounters {
        opened,
        closed: opened,
        sent_bytes,
        received_bytes,
        first_ns: 1_000_000_000,
        last_ns: 2_000_000_000,
        local: flow::address(ip(HERE)),
        ..EdgeCounters::default()
    }
}

fn client(own: Endpoint, asked: &str, port: u16, class: Class, counters: EdgeCounters) -> Half {
    let key = EdgeKey {
        cgroup: own.cgroup,
        netns: own.netns,
        name: own.name,
        remote: flow::address(ip(asked)),
        port,
        role: Role::Client as u8,
        transport: 6,
        protocol: class.protocol as u8,
        stage: class.stage as u8,
        ..EdgeKey::default()
    };
    Half { key, counters }
}

fn server(own: Endpoint, from: &str, port: u16, class: Class, counters: EdgeCounters) -> Half {
    let mut half = client(own, from, port, class, counters);
    half.key.role = Role::Server as u8;
    half
}

/// A server half whose client is on this host and asked for `asked` and `asked_port`.
fn paired(own: Endpoint, peer: Endpoint, (asked, asked_port): (&str, u16), half: Half) -> Half {
    let key = EdgeKey {
        cgroup: own.cgroup,
        name: own.name,
        peer_cgroup: peer.cgroup,
        peer_netns: peer.netns,
        peer_name: peer.name,
        remote: flow::address(ip(asked)),
        asked_port,
        role: Role::Server as u8,
        ..half.key
    };
    Half { key, ..half }
}

/// The server's half of the same connections, at the address that the client asked for.
fn mirror(half: &Half, own: Endpoint, port: u16) -> Half {
    let asked = alloc::string::ToString::to_string(&flow::ip(&half.key.remote));
    let counters = EdgeCounters {
        sent_bytes: half.counters.received_bytes,
        received_bytes: half.counters.sent_bytes,
        sent_datagrams: half.counters.received_datagrams,
        received_datagrams: half.counters.sent_datagrams,
        local: half.key.remote,
        ..half.counters
    };
    let key = EdgeKey { port, reached: [0; 4], reached_port: 0, ..half.key };
    let own_key = Half { key, counters };
    paired(own, half.own(), (&asked, half.key.port), own_key)
}

/// The same over UDP: datagrams in place of connections.
fn udp(half: Half, sent: u64, received: u64) -> Half {
    let key = EdgeKey { transport: 17, ..half.key };
    let counters = EdgeCounters {
        opened: 0,
        closed: 0,
        sent_datagrams: sent,
        received_datagrams: received,
        ..half.counters
    };
    Half { key, counters }
}

/// The same with these flags.
fn flagged(half: Half, flags: u8) -> Half {
    Half { key: EdgeKey { flags, ..half.key }, ..half }
}

/// The same, as the kernel half folds it.
fn folded(half: Half) -> Half {
    let EdgeKey { cgroup, role, transport, protocol, stage, flags, .. } = half.key;
    let flags = flags | FOLDED;
    let key = EdgeKey { cgroup, role, transport, protocol, stage, flags, ..EdgeKey::default() };
    Half { key, ..half }
}

/// A client half whose packets went elsewhere than to what was asked for.
fn reaching(half: Half, address: &str, port: u16) -> Half {
    let key = EdgeKey { reached: flow::address(ip(address)), reached_port: port, ..half.key };
    Half { key, ..half }
}

/// Nothing is known of links.
fn unseen() -> Links<'static> {
    const NONE: &Observed = &Observed::new();
    Links { observed: NONE, declared: &[], now: Timestamp::UNIX_EPOCH }
}

fn map(halves: &[Half]) -> Vec<Edge> {
    edges(halves, &directory(), &Read::default(), &unseen(), &CLOCK)
}

/// One line for each edge: the ends, what is spoken, connections/failures, bytes, and who says so.
fn check(halves: &[Half], expect: &[&str]) {
    let lines: Vec<String> = map(halves).iter().map(line).collect();
    assert_eq!(lines, expect);
}

fn line(edge: &Edge) -> String {
    let reporters: Vec<&str> = edge.reporters.iter().map(|r| r.name()).collect();
    format!(
        "{} > {}:{} {} {}/{} {}/{} {} {}",
        edge.client.name,
        edge.server.name,
        edge.server_port,
        edge.protocol,
        edge.connections,
        edge.failures,
        edge.bytes_sent,
        edge.bytes_received,
        edge.scope.name(),
        reporters.join("+"),
    )
}

#[test]
fn both_halves_are_one_edge_counted_once() {
    let curl = client(CURL, HERE, 80, HTTP, counters(23, 1_817, 19_619));
    let nginx = mirror(&curl, NGINX, 80);
    check(&[curl, nginx], &["curl > nginx.service:80 http 23/0 1817/19619 host client+server"]);
}

#[test]
fn the_client_is_believed_where_the_halves_differ() {
    let curl = client(CURL, HERE, 80, HTTP, counters(23, 1_817, 19_619));
    let mut nginx = mirror(&curl, NGINX, 80);
    nginx.counters.opened = 22;
    nginx.counters.received_bytes = 1_700;
    check(&[nginx, curl], &["curl > nginx.service:80 http 23/0 1817/19619 host client+server"]);
}

#[test]
fn a_half_alone_knows_the_other_end_by_address() {
    let out = client(CURL, THERE, 443, TLS, counters(5, 10, 20));
    check(&[out], &["curl > 198.51.100.9:443 tls 5/0 10/20 outside client"]);
    let into = server(NGINX, THERE, 80, HTTP, counters(7, 30, 40));
    check(&[into], &["internet > nginx.service:80 http 7/0 40/30 outside server"]);
    let edge = &map(&[into])[0];
    assert_eq!(edge.server_address, ip(HERE), "where the client reached it");
}

#[test]
fn clients_outside_without_a_name_are_one() {
    let ask = |i: u32, own| {
        let from =
            alloc::string::ToString::to_string(&core::net::Ipv4Addr::from_bits(0x0800_0000 + i));
        server(own, &from, 80, HTTP, counters(1, 30, 40))
    };
    let mut halves: Vec<Half> = (0..1009).map(|i| ask(i, NGINX)).collect();
    halves.push(ask(7, HAPROXY));
    halves.push(server(NGINX, "10.0.0.7", 80, HTTP, counters(3, 30, 40)));
    let internet = "internet > nginx.service:80 http 1009/0 40360/30270 outside server";
    check(
        &halves,
        &[
            "10.0.0.7 > nginx.service:80 http 3/0 40/30 cluster server",
            "internet > haproxy.service:80 http 1/0 40/30 outside server",
            internet,
        ],
    );
    let edge = &map(&halves)[2];
    assert_eq!((edge.client.kind, edge.client.cluster.as_deref()), (Kind::Group, None));
    let out = client(CURL, THERE, 443, TLS, counters(5, 10, 20));
    let server = &map(&[out])[0].server;
    assert_eq!((server.name.as_str(), server.namespace.as_deref()), (THERE, Some("internet")));
    let (one, other) = (identity::remote(ip(THERE)), identity::remote(ip(HERE)));
    assert_eq!(shown(one.clone(), other.clone(), Scope::Host), (one, other));
}

/// A socket of systemd's is its service's, at the port where it is.
#[test]
fn what_was_opened_for_another_is_that_others() {
    let mut directory = directory();
    let manager = |netns| Endpoint { cgroup: 77, netns, name: 7 };
    let systemd = Process { name: "systemd".into(), exe: None, alive: true };
    for netns in [1, 2] {
        let known = identity::local(Some("/init.scope"), None, &systemd, "host-a");
        assert!(directory.insert(manager(netns), known));
    }
    let unit = |name: &str| identity::from_cgroup(name, "host-a").unwrap();
    assert!(directory.inherit(manager(1), 631, unit("/system.slice/cups.service")));
    assert!(directory.inherit(manager(1), 80, unit("/system.slice/web.service")));
    assert!(directory.inherit(manager(2), 80, unit("/system.slice/other.service")));
    assert_eq!(directory.heir(&manager(1), 80), Some(&unit("/system.slice/web.service")));
    assert_eq!(directory.heir(&manager(1), 22), None);
    let from = |port, netns| server(manager(netns), "10.0.0.7", port, HTTP, counters(1, 30, 40));
    let halves = [from(631, 1), from(22, 1), from(80, 1), from(80, 2)];
    let found = edges(&halves, &directory, &Read::default(), &unseen(), &CLOCK);
    assert_eq!(
        found.iter().map(line).collect::<Vec<_>>(),
        [
            "10.0.0.7 > cups.service:631 http 1/0 40/30 cluster server",
            "10.0.0.7 > systemd:22 http 1/0 40/30 cluster server",
            // Which of the two it is does not follow from what they have in common.
            "10.0.0.7 > systemd:80 http 2/0 80/60 cluster server",
        ]
    );
}

/// A user's names are for clients and servers, inside and outside.
#[test]
fn named_networks_are_one_end() {
    let mut directory = directory();
    let mut outside = outside::Outside { cluster: Some("lab".into()), ..Default::default() };
    let rule = |name: &str| identity::Rule { name: name.into(), owner: None, network: name.into() };
    assert!(outside.rules.add(ip("198.51.100.0"), 24, rule("partner")));
    assert!(outside.rules.add(ip("10.0.0.0"), 8, rule("branches")));
    directory.set_outside(outside);
    let halves = [
        server(NGINX, THERE, 80, HTTP, counters(1, 30, 40)),
        server(NGINX, "198.51.100.77", 80, HTTP, counters(1, 30, 40)),
        server(NGINX, "10.9.9.9", 80, HTTP, counters(1, 30, 40)),
        client(CURL, THERE, 443, TLS, counters(5, 10, 20)),
        server(NGINX, "192.168.7.7", 80, HTTP, counters(1, 30, 40)),
    ];
    let found = edges(&halves, &directory, &Read::default(), &unseen(), &CLOCK);
    assert_eq!(
        found.iter().map(line).collect::<Vec<_>>(),
        [
            "192.168.7.7 > nginx.service:80 http 1/0 40/30 cluster server",
            "branches > nginx.service:80 http 1/0 40/30 cluster server",
            "curl > partner:443 tls 5/0 10/20 outside client",
            "partner > nginx.service:80 http 2/0 80/60 outside server",
        ]
    );
    // What is of this site alone says so.
    assert!(found.iter().all(|edge| edge.client.host.is_some() || edge.client.cluster.is_some()));
}

#[test]
fn a_paired_server_half_knows_its_client_even_if_the_clients_half_is_lost() {
    let curl = client(CURL, HERE, 80, HTTP, counters(3, 10, 20));
    let nginx = mirror(&curl, NGINX, 80);
    check(&[nginx], &["curl > nginx.service:80 http 3/0 10/20 host server"]);
}

#[test]
fn the_port_is_the_servers_own() {
    let curl = client(CURL, "203.0.113.80", 80, HTTP, counters(3, 10, 20));
    let nginx = mirror(&curl, NGINX, 8080);
    check(&[curl, nginx], &["curl > nginx.service:8080 http 3/0 10/20 host client+server"]);
    assert_eq!(map(&[curl, nginx])[0].server_address, ip("203.0.113.80"), "what was asked for");
}

#[test]
fn processes_of_one_unit_are_one_server() {
    let curl = client(CURL, HERE, 80, HTTP, counters(10, 100, 200));
    let half = client(CURL, HERE, 80, HTTP, counters(5, 50, 100));
    check(
        &[curl, mirror(&half, NGINX, 80), mirror(&half, NGINX_WORKER, 80)],
        &["curl > nginx.service:80 http 10/0 100/200 host client+server"],
    );
}

#[test]
fn several_servers_behind_one_address_share_the_clients_numbers() {
    let curl = client(CURL, HERE, 80, HTTP, counters(10, 100, 200));
    let nginx = client(CURL, HERE, 80, HTTP, counters(6, 60, 120));
    let haproxy = client(CURL, HERE, 80, HTTP, counters(3, 30, 60));
    check(
        &[curl, mirror(&nginx, NGINX, 80), mirror(&haproxy, HAPROXY, 80)],
        &[
            "curl > 192.0.2.1:80 http 1/0 10/20 host client",
            "curl > haproxy.service:80 http 3/0 30/60 host client+server",
            "curl > nginx.service:80 http 6/0 60/120 host client+server",
        ],
    );
}

#[test]
fn an_address_that_is_not_the_servers_own_may_lead_elsewhere_too() {
    let asked = client(CURL, "10.96.0.80", 80, HTTP, counters(10, 100, 200));
    let here = client(CURL, "10.96.0.80", 80, HTTP, counters(6, 60, 120));
    let mut failed = counters(0, 0, 0);
    failed.refused = 3;
    let refused = client(CURL, "10.96.0.80", 80, PENDING, failed);
    check(
        &[asked, refused, mirror(&here, NGINX, 8080)],
        &[
            "curl > 10.96.0.80:80 http 4/3 40/80 cluster client",
            "curl > nginx.service:8080 http 6/0 60/120 host client+server",
        ],
    );
}

#[test]
fn a_server_that_saw_another_class_keeps_its_connections() {
    let asked = client(CURL, "10.96.0.80", 443, TLS, counters(10, 100, 200));
    let seen = client(CURL, "10.96.0.80", 443, UNKNOWN, counters(10, 100, 200));
    check(
        &[asked, mirror(&seen, NGINX, 8443)],
        &["curl > nginx.service:8443 tls 10/0 100/200 host client+server"],
    );
}

#[test]
fn another_class_is_not_taken_from_the_server_that_saw_it() {
    let tls = client(CURL, "10.96.0.80", 443, TLS, counters(6, 60, 120));
    let clear = client(CURL, "10.96.0.80", 443, HTTP, counters(3, 30, 60));
    let drifted = client(CURL, "10.96.0.80", 443, UNKNOWN, counters(6, 60, 120));
    check(
        &[tls, clear, mirror(&clear, HAPROXY, 8443), mirror(&drifted, NGINX, 8443)],
        &[
            "curl > haproxy.service:8443 http 3/0 30/60 host client+server",
            "curl > nginx.service:8443 tls 6/0 60/120 host client+server",
        ],
    );
}

#[test]
fn bytes_alone_do_not_lead_elsewhere() {
    let asked = client(CURL, "10.96.0.80", 80, HTTP, counters(10, 100, 200));
    let lagging = client(CURL, "10.96.0.80", 80, HTTP, counters(10, 90, 120));
    check(
        &[asked, mirror(&lagging, NGINX, 8080)],
        &["curl > nginx.service:8080 http 10/0 100/200 host client+server"],
    );
}

#[test]
fn the_unspecified_address_is_the_servers_own() {
    let asked = client(CURL, "0.0.0.0", 80, HTTP, counters(10, 100, 200));
    let mut lagging = mirror(&asked, NGINX, 80);
    lagging.counters.opened = 9;
    lagging.counters.local = flow::address(ip("127.0.0.1"));
    check(&[asked, lagging], &["curl > nginx.service:80 http 10/0 100/200 loopback client+server"]);
}

#[test]
fn different_clients_are_different_edges() {
    let [curl, wget] = [CURL, WGET].map(|own| client(own, HERE, 80, HTTP, counters(2, 20, 40)));
    check(
        &[curl, wget, mirror(&curl, NGINX, 80), mirror(&wget, NGINX, 80)],
        &[
            "curl > nginx.service:80 http 2/0 20/40 host client+server",
            "wget > nginx.service:80 http 2/0 20/40 host client+server",
        ],
    );
}

#[test]
fn addresses_of_one_server_add_up() {
    let v4 = client(CURL, "127.0.0.1", 80, HTTP, counters(2, 20, 40));
    let v6 = client(CURL, "2001:db8::1", 80, HTTP, counters(3, 30, 60));
    let halves = [v4, v6, mirror(&v4, NGINX, 80), mirror(&v6, NGINX, 80)];
    check(&halves, &["curl > nginx.service:80 http 5/0 50/100 host client+server"]);
    assert_eq!(map(&halves)[0].server_address, ip("2001:db8::1"), "the one that goes farther");
}

#[test]
fn failures_belong_to_the_protocol_that_is_spoken_there() {
    let mut failed = counters(0, 0, 0);
    (failed.refused, failed.timed_out, failed.aborted) = (23, 5, 2);
    let pending = client(CURL, HERE, 80, PENDING, failed);
    check(&[pending], &["curl > 192.0.2.1:80 unknown 0/30 0/0 host client"]);
    let http = client(CURL, HERE, 80, HTTP, counters(4, 10, 20));
    let halves = [pending, http, mirror(&http, NGINX, 80)];
    check(&halves, &["curl > nginx.service:80 http 4/30 10/20 host client+server"]);
    let by_kind = FailuresByKind { refused: 23, timeout: 5, aborted: 2, denied: 0 };
    assert_eq!(map(&halves)[0].failures_by_kind, by_kind);
}

#[test]
fn a_connection_that_moved_is_counted_where_it_went() {
    let mut moved = counters(23, 0, 0);
    (moved.moved, moved.closed) = (23, 0);
    let mut http = counters(23, 10, 20);
    http.closed = 20;
    let halves = [client(CURL, THERE, 80, PENDING, moved), client(CURL, THERE, 80, HTTP, http)];
    check(&halves, &["curl > 198.51.100.9:80 http 23/0 10/20 outside client"]);
    assert_eq!(map(&halves)[0].open, 3);
}

#[test]
fn two_protocols_on_one_port_are_two_edges() {
    let halves = [HTTP, TLS, TLS_OFFERED, HTTP2]
        .map(|class| client(CURL, THERE, 443, class, counters(2, 10, 20)));
    let edges = map(&halves);
    let seen: Vec<_> = edges
        .iter()
        .map(|e| (&*e.protocol, e.protocol_version.as_deref(), e.security.name(), e.state.name()))
        .collect();
    let expect = [
        ("http", Some("1"), "none", "plaintext"),
        ("http", Some("2"), "none", "plaintext"),
        ("tls", None, "tls", "handshake_only"),
        ("tls", None, "tls", "encrypted"),
    ];
    assert_eq!(seen, expect);
}

#[test]
fn evidence_says_on_how_many_connections_it_rests() {
    let check = |halves: &[Half], what: &str, shown, of, confidence| {
        let edge = map(halves).remove(0);
        let expect = Evidence { what: String::from(what).into(), connections: shown, of };
        assert_eq!((edge.evidence, edge.confidence), (expect, confidence));
    };
    let half = |class, opened| client(CURL, THERE, 80, class, counters(opened, 0, 0));
    let (pending, http) = (half(PENDING, 3), half(HTTP, 20));
    let unknown = half(UNKNOWN, 4);
    check(&[http], "http messages in the clear", 20, 20, Confidence::High);
    check(&[pending, http], "http messages in the clear", 20, 23, Confidence::Medium);
    check(&[pending], "no payload yet", 3, 3, Confidence::Low);
    check(&[pending, unknown], "first bytes fit no rule", 4, 7, Confidence::Low);
}

#[test]
fn what_reads_alike_is_one_edge_wherever_it_comes_from() {
    let one = client(CURL, HERE, 80, PENDING, counters(1, 0, 0));
    let other = client(CURL, "192.0.2.2", 80, UNKNOWN, counters(2, 10, 20));
    check(
        &[one, other, mirror(&one, NGINX, 80), mirror(&other, NGINX, 80)],
        &["curl > nginx.service:80 unknown 3/0 10/20 host client+server"],
    );
}

#[test]
fn scopes() {
    let check =
        |remote: &str, expect| assert_eq!(Scope::between(ip(HERE), ip(remote)), expect, "{remote}");
    for loopback in ["127.0.0.1", "127.8.9.10", "::1", "0.0.0.0", "::"] {
        check(loopback, Scope::Loopback);
    }
    check(HERE, Scope::Host);
    for private in [
        "10.1.2.3",
        "172.31.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "169.254.1.1",
        "fd00::1",
        "fe80::1",
    ] {
        check(private, Scope::Cluster);
    }
    for public in ["198.51.100.9", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
        check(public, Scope::Outside);
    }
}

#[test]
fn loopback_stays_loopback_when_it_is_paired() {
    let curl = client(CURL, "127.0.0.1", 80, HTTP, counters(1, 1, 1));
    let halves = [curl, mirror(&curl, NGINX, 80)];
    assert_eq!(map(&halves)[0].scope, Scope::Loopback);
    assert_eq!(map(&halves[1..])[0].scope, Scope::Loopback);
}

#[test]
fn times_are_the_first_and_the_last() {
    let mut early = counters(1, 0, 0);
    early.first_ns = 500_000_000;
    let mut late = counters(1, 0, 0);
    late.last_ns = 9_000_000_000;
    let halves = [client(CURL, THERE, 80, PENDING, early), client(CURL, THERE, 80, HTTP, late)];
    let edge = map(&halves).remove(0);
    assert_eq!(
        (edge.first_seen, edge.last_seen),
        (CLOCK.time(500_000_000), CLOCK.time(9_000_000_000))
    );
}

#[test]
fn an_end_that_nobody_resolved_is_named_by_its_process() {
    let stranger = Endpoint { cgroup: 99, netns: 1, name: 900 };
    let mut half = client(stranger, HERE, 80, HTTP, counters(1, 10, 20));
    half.counters.comm = *b"rsync\0\0\0\0\0\0\0\0\0\0\0";
    let nginx = mirror(&half, NGINX, 80);
    check(&[half, nginx], &["rsync > nginx.service:80 http 1/0 10/20 host client+server"]);
    check(&[nginx], &["cgroup/99 > nginx.service:80 http 1/0 10/20 host server"]);
}

#[test]
fn one_workload_is_one_node_however_well_it_was_recognised() {
    let mut directory = directory();
    let again = Endpoint { cgroup: 11, ..CURL };
    let gone = Process { name: "curl".into(), exe: None, alive: false };
    directory.insert(again, identity::local(None, None, &gone, "host-a"));
    let halves = [CURL, again].map(|own| client(own, THERE, 80, HTTP, counters(2, 20, 40)));
    let edges = edges(&halves, &directory, &Read::default(), &unseen(), &CLOCK);
    assert_eq!(edges.len(), 1, "{edges:?}");
    let client = &edges[0].client;
    assert_eq!((client.matched_by, client.confidence), (MatchedBy::Process, Confidence::Low));
    assert_eq!(edges[0].connections, 4);
}

#[test]
fn an_id_depends_on_who_talks_to_whom_and_how_alone() {
    let (curl, nginx) = (identity::remote(ip(HERE)), identity::remote(ip(THERE)));
    let id_of = |client: &Workload, server: &Workload, port, class| {
        id(client, server, port, Transport::Tcp, &Class::reading(class), false)
    };
    let first = id_of(&curl, &nginx, 80, HTTP);
    assert_eq!(first, "e-08745942742b", "ids outlive releases: baselines hold them");
    let reading = HTTP.reading();
    assert_ne!(first, id(&curl, &nginx, 80, Transport::Tcp, &reading, true), "joined late");
    let owned =
        Workload { owner: Some("shop".into()), confidence: Confidence::High, ..curl.clone() };
    assert_eq!(first, id_of(&owned, &nginx, 80, HTTP));
    let elsewhere = Workload { host: Some("host-b".into()), ..curl.clone() };
    for other in [
        id_of(&nginx, &curl, 80, HTTP),
        id_of(&curl, &nginx, 81, HTTP),
        id_of(&curl, &nginx, 80, HTTP2),
        id_of(&elsewhere, &nginx, 80, HTTP),
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn an_edge_is_written_as_the_interface_says() {
    let curl = client(CURL, HERE, 80, HTTP, counters(23, 1_817, 19_619));
    let edge = map(&[curl, mirror(&curl, NGINX, 80)]).remove(0);
    let json: serde_json::Value = serde_json::to_value(&edge).unwrap();
    let check = |pointer: &str, expect: serde_json::Value| {
        assert_eq!(json.pointer(pointer), Some(&expect), "{pointer} in {json}");
    };
    let null = serde_json::Value::Null;
    check("/client/name", "curl".into());
    check("/server/kind", "unit".into());
    check("/server_address", HERE.into());
    check("/server_port", 80.into());
    check("/transport", "tcp".into());
    check("/protocol", "http".into());
    check("/application", null.clone());
    check("/failures_by_kind/refused", 0.into());
    check("/reached", serde_json::json!([]));
    check("/reached_more", 0.into());
    check("/datagrams_sent", 0.into());
    check("/datagrams_received", 0.into());
    check("/rtt_seconds", null.clone());
    check("/first_seen", "2023-11-14T22:13:21Z".into());
    check("/last_seen", "2023-11-14T22:13:22Z".into());
    check("/reporters", vec!["client", "server"].into());
    check("/joined_late", false.into());
    check("/complete", true.into());
    check("/security", "none".into());
    check("/state", "plaintext".into());
    check("/upgrade", "none".into());
    check("/link", "unknown".into());
    check("/link_basis", null.clone());
    check("/link_evidence", "no link: both ends are on this host".into());
    check("/scope", "host".into());
    check("/tls", null.clone());
    check("/evidence/connections", 23.into());
    check("/confidence", "high".into());
    check("/verdict/decision", "allowed".into());
    check("/verdict/rule", null);
    check("/verdict/requirement", "none".into());
    assert_eq!(serde_json::from_value::<Edge>(json).unwrap(), edge);
}

#[test]
fn what_is_older_stays_apart() {
    let new = client(CURL, HERE, 80, HTTP, counters(3, 10, 20));
    let old = flagged(client(CURL, HERE, 80, UNKNOWN, counters(2, 100, 200)), LATE);
    let halves = [new, old, mirror(&new, NGINX, 80), mirror(&old, NGINX, 80)];
    check(
        &halves,
        &[
            "curl > nginx.service:80 http 3/0 10/20 host client+server",
            "curl > nginx.service:80 unknown 2/0 100/200 host client+server",
        ],
    );
    let [new, old] = <[Edge; 2]>::try_from(map(&halves)).unwrap();
    assert_eq!((new.joined_late, new.complete, new.security), (false, true, Security::None));
    assert_eq!((old.joined_late, old.complete, old.security), (true, false, Security::Unknown));
    assert_eq!(old.evidence.what, "joined late: its start was not seen");
    assert_eq!((old.confidence, old.evidence.of), (Confidence::Low, 2));
}

#[test]
fn what_reads_alike_stays_apart_if_it_is_older() {
    let new = client(CURL, THERE, 80, UNKNOWN, counters(3, 10, 20));
    let old = flagged(new, LATE);
    let edges = map(&[old, new]);
    let late: Vec<bool> = edges.iter().map(|edge| edge.joined_late).collect();
    assert_eq!(late, [false, true]);
    assert_ne!(edges[0].id, edges[1].id);
    assert_eq!(map(&[new])[0].id, edges[0].id);
}

#[test]
fn a_guess_is_said_to_be_one() {
    let listed = flagged(client(CURL, THERE, 80, UNKNOWN, counters(3, 10, 20)), LATE);
    let guessed = flagged(listed, LATE | GUESSED);
    let edge = map(&[listed, guessed]).remove(0);
    assert_eq!((edge.connections, edge.confidence), (6, Confidence::Low));
    assert_eq!(
        edge.evidence.what,
        "joined late: its start was not seen; inferred from the ports: which end is the client"
    );
}

#[test]
fn a_folded_edge_stands_for_many() {
    let out = folded(client(NGINX, THERE, 443, TLS, counters(5, 10, 20)));
    let into = folded(server(NGINX, THERE, 80, HTTP, counters(7, 30, 40)));
    let halves = [out, into].map(|half| Half { key: EdgeKey { cgroup: 99, ..half.key }, ..half });
    check(
        &halves,
        &[
            "cgroup/99 > folded:0 tls 5/0 10/20 outside client",
            "folded > cgroup/99:0 http 7/0 40/30 outside server",
        ],
    );
    let edge = map(&halves).remove(0);
    assert_eq!((edge.server.kind, edge.server.host), (Kind::Group, None));
    assert!(edge.server_address.is_unspecified() && !edge.complete && !edge.joined_late);
    let what = "tls handshake of both ends, then protected records; \
                folded: its cgroup has more edges than its quota";
    assert_eq!(edge.evidence.what, what);
}

#[test]
fn a_folded_end_is_its_unit_and_no_process() {
    let check = |path: &str, expect: &str| {
        let mut half = folded(client(CURL, THERE, 443, TLS, counters(5, 10, 20)));
        half.counters.comm = *b"curl\0\0\0\0\0\0\0\0\0\0\0\0";
        let curl = Process { name: "curl".into(), exe: None, alive: true };
        let mut directory = Directory::new(1);
        directory.insert(half.own(), identity::local(Some(path), None, &curl, "host-a"));
        let edge = edges(&[half], &directory, &Read::default(), &unseen(), &CLOCK).remove(0);
        assert_eq!(edge.client.name, expect);
    };
    check("/system.slice/sweep.service", "sweep.service");
    check("/user.slice", "cgroup/10");
}

fn reached(edge: &Edge) -> Vec<String> {
    let text = |reached: &Reached| format!("{}:{}", reached.address, reached.port);
    edge.reached.iter().map(text).collect()
}

#[test]
fn a_link_is_that_of_the_ways_off_this_host() {
    let peers = ["10.0.0.5", "10.0.0.7", "198.51.100.9"];
    let ways = peers.map(|peer| Way { netns: 1, local: Some(ip(HERE)), peer: ip(peer) });
    let links = [Link::None, Link::Wireguard, Link::Ipsec];
    let seen = ways.iter().zip(links).map(|(way, link)| (*way, Judged::observed(link, "seen")));
    let observed: Observed = seen.collect();
    let links = Links { observed: &observed, ..unseen() };
    let check = |halves: &[Half], expect: &[(&str, Link)]| {
        let edges = edges(halves, &directory(), &Read::default(), &links, &CLOCK);
        let found: Vec<_> = edges.iter().map(|edge| (&*edge.server.name, edge.link)).collect();
        assert_eq!(found, expect);
    };
    let asked = |n| client(CURL, "10.96.0.80", 80, HTTP, counters(n, 100, 200));
    let (near, far) = (reaching(asked(6), "10.0.0.5", 80), reaching(asked(4), "10.0.0.7", 80));
    check(&[far], &[("10.96.0.80", Link::Wireguard)]);
    check(&[near, far], &[("10.96.0.80", Link::None)]);
    // What is answered on this host goes over no link.
    let nginx = answering(&near, NGINX, "10.0.0.5", 80);
    let expect = [("10.96.0.80", Link::Wireguard), ("nginx.service", Link::Unknown)];
    check(&[near, far, nginx], &expect);
    check(&[server(NGINX, THERE, 80, HTTP, counters(1, 1, 1))], &[("nginx.service", Link::Ipsec)]);
    check(&[client(CURL, THERE, 80, HTTP, counters(1, 1, 1))], &[(THERE, Link::Ipsec)]);
    check(
        &[folded(client(CURL, THERE, 80, HTTP, counters(1, 1, 1)))],
        &[("folded", Link::Unknown)],
    );
}

#[test]
fn an_edge_says_where_packets_went() {
    let asked = client(CURL, "10.96.0.80", 80, HTTP, counters(10, 100, 200));
    let halves = ["10.0.0.7", "10.0.0.5", "10.0.0.7"].map(|address| reaching(asked, address, 8080));
    let edge = map(&halves[..2]).remove(0);
    assert_eq!((edge.connections, edge.server.name.as_str()), (20, "10.96.0.80"));
    assert_eq!(reached(&edge), ["10.0.0.5:8080", "10.0.0.7:8080"]);
    assert_eq!(map(&[asked])[0].reached, []);
}

/// The server's half of connections that went to this address and port, which are its own.
fn answering(half: &Half, own: Endpoint, address: &str, port: u16) -> Half {
    let mut answering = mirror(half, own, port);
    answering.counters.local = flow::address(ip(address));
    answering
}

/// For each server, the names that the handshakes of these halves asked for.
fn names_read(halves: &[(Half, &[&str])]) -> Vec<(String, Vec<String>)> {
    let mut read = Read::default();
    for (at, (half, names)) in halves.iter().enumerate() {
        for name in *names {
            let (sni, answered) = (Some((*name).into()), true);
            let tls = Tls { sni, answered, ..Tls::default() };
            read.keep(&half.key, Dated { tls, time_ns: at as u64 });
        }
    }
    let all: Vec<Half> = halves.iter().map(|(half, _)| *half).collect();
    let names = |edge: Edge| {
        let tls = edge.tls.map(|tls| tls.snis.counts.into_keys().collect());
        (edge.server.name, tls.unwrap_or_default())
    };
    edges(&all, &directory(), &read, &unseen(), &CLOCK).into_iter().map(names).collect()
}

#[test]
fn handshakes_are_of_the_server_that_answered_them() {
    const SERVICE: &str = "10.96.0.80";
    let check = |what: &str, halves: &[(Half, &[&str])], expect: &[(&str, &[&str])]| {
        let found = names_read(halves);
        let found: Vec<(&str, Vec<&str>)> = found
            .iter()
            .map(|(server, names)| (&**server, names.iter().map(|name| &**name).collect()))
            .collect();
        let expect: Vec<(&str, Vec<&str>)> =
            expect.iter().map(|(server, names)| (*server, names.to_vec())).collect();
        assert_eq!(found, expect, "{what}");
    };
    let asked = |n| client(CURL, SERVICE, 443, TLS, counters(n, 100, 200));
    let here = reaching(asked(6), "10.0.0.5", 8443);
    let also = reaching(asked(3), "10.0.0.6", 8443);
    let there = reaching(asked(4), "10.0.1.7", 8443);
    let nginx = answering(&here, NGINX, "10.0.0.5", 8443);
    let haproxy = answering(&also, HAPROXY, "10.0.0.6", 8443);
    check(
        "a server here and one elsewhere",
        &[(here, &["here"]), (there, &["there"]), (nginx, &["here"])],
        &[(SERVICE, &["there"]), ("nginx.service", &["here"])],
    );
    check(
        "read at the client alone",
        &[(here, &["here"]), (also, &["also"]), (there, &["there"]), (nginx, &[]), (haproxy, &[])],
        &[(SERVICE, &["there"]), ("haproxy.service", &["also"]), ("nginx.service", &["here"])],
    );
    check(
        "all servers are here",
        &[(here, &["here"]), (also, &["also"]), (nginx, &["here"]), (haproxy, &["also"])],
        &[("haproxy.service", &["also"]), ("nginx.service", &["here"])],
    );
    let [all, one, other] = [10, 6, 3].map(|n| client(CURL, HERE, 443, TLS, counters(n, 100, 200)));
    check(
        "several at the address that was asked for",
        &[
            (all, &["one", "other"]),
            (mirror(&one, NGINX, 443), &["one"]),
            (mirror(&other, HAPROXY, 443), &["other"]),
        ],
        &[(HERE, &[]), ("haproxy.service", &["other"]), ("nginx.service", &["one"])],
    );
    let all = asked(10);
    check(
        "translated where the client does not see it",
        &[(all, &["here", "there"]), (answering(&asked(6), NGINX, "10.0.0.5", 8443), &["here"])],
        &[(SERVICE, &[]), ("nginx.service", &["here"])],
    );
}

#[test]
fn a_server_is_reached_at_its_own_address() {
    let asked = client(CURL, "10.96.0.80", 80, HTTP, counters(6, 60, 120));
    let here = reaching(asked, HERE, 8080);
    let mut nginx = mirror(&asked, NGINX, 8080);
    nginx.counters.local = flow::address(ip(HERE));
    let elsewhere = Half { counters: counters(4, 40, 80), ..reaching(asked, "10.0.0.5", 8080) };
    check(
        &[here, elsewhere, nginx],
        &[
            "curl > 10.96.0.80:80 http 4/0 40/80 cluster client",
            "curl > nginx.service:8080 http 6/0 60/120 host client+server",
        ],
    );
    let edges = map(&[here, elsewhere, nginx]);
    assert_eq!(
        edges.iter().map(reached).collect::<Vec<_>>(),
        [["10.0.0.5:8080"], ["192.0.2.1:8080"]]
    );
    assert_eq!(reached(&map(&[nginx])[0]), ["192.0.2.1:8080"]);
    let same = client(CURL, HERE, 80, HTTP, counters(6, 60, 120));
    assert_eq!(map(&[same, mirror(&same, NGINX, 80)])[0].reached, []);
}

#[test]
fn only_so_many_places_are_named() {
    let asked = client(CURL, "10.96.0.80", 80, HTTP, counters(1, 1, 1));
    let halves: Vec<Half> =
        (1..=23).map(|n| reaching(asked, &format!("10.0.0.{n}"), 8080)).collect();
    let edge = map(&halves).remove(0);
    assert_eq!((edge.reached.len(), edge.reached_more), (MOST_REACHED, 7));
    assert_eq!(edge.reached[0].address, ip("10.0.0.1"));
}

#[test]
fn udp_is_counted_in_datagrams() {
    let asks = udp(client(CURL, HERE, 53, DNS, counters(0, 310, 1_240)), 10, 9);
    let halves = [asks, mirror(&asks, NGINX, 53)];
    check(&halves, &["curl > nginx.service:53 dns 0/0 310/1240 host client+server"]);
    let edge = map(&halves).remove(0);
    assert_eq!(
        (edge.transport, edge.datagrams_sent, edge.datagrams_received),
        (Transport::Udp, 10, 9)
    );
    assert_eq!((edge.evidence.connections, edge.evidence.of), (0, 0));
    assert_eq!((edge.confidence, edge.state), (Confidence::High, State::Plaintext));
    let alone = map(&halves[1..]).remove(0);
    assert_eq!((alone.datagrams_sent, alone.datagrams_received), (10, 9), "as the client sees it");
}

#[test]
fn classes_of_udp_stay_what_they_are() {
    let [dns, other, quic] = [DNS, UNKNOWN, QUIC]
        .map(|class| udp(client(CURL, THERE, 53, class, counters(0, 10, 20)), 1, 1));
    check(
        &[dns, other, quic],
        &[
            "curl > 198.51.100.9:53 dns 0/0 10/20 outside client",
            "curl > 198.51.100.9:53 quic 0/0 10/20 outside client",
            "curl > 198.51.100.9:53 unknown 0/0 10/20 outside client",
        ],
    );
    check(&[other], &["curl > 198.51.100.9:53 unknown 0/0 10/20 outside client"]);
}

#[test]
fn datagrams_that_no_server_here_saw_went_elsewhere() {
    let asks = udp(client(CURL, "10.96.0.10", 53, DNS, counters(0, 310, 1_240)), 10, 10);
    let here = udp(client(CURL, "10.96.0.10", 53, DNS, counters(0, 186, 744)), 6, 6);
    check(
        &[asks, mirror(&here, NGINX, 5353)],
        &[
            "curl > 10.96.0.10:53 dns 0/0 124/496 cluster client",
            "curl > nginx.service:5353 dns 0/0 186/744 host client+server",
        ],
    );
    // Answers are no sign of another server: they are counted at the two ends one after the other.
    let late_answer = udp(client(CURL, "10.96.0.10", 53, DNS, counters(0, 310, 1_000)), 10, 8);
    check(
        &[asks, mirror(&late_answer, NGINX, 5353)],
        &["curl > nginx.service:5353 dns 0/0 310/1240 host client+server"],
    );
}

#[test]
fn an_older_udp_server_is_joined_with_newer_clients() {
    let asks = udp(client(CURL, HERE, 53, DNS, counters(0, 310, 1_240)), 10, 9);
    let older = flagged(mirror(&asks, NGINX, 53), LATE);
    let edge = map(&[asks, older]).remove(0);
    assert_eq!(line(&edge), "curl > nginx.service:53 dns 0/0 310/1240 host client+server");
    assert!(!edge.joined_late && edge.complete);
    let edge = map(&[flagged(asks, LATE), mirror(&asks, NGINX, 53)]).remove(0);
    assert_eq!(edge.reporters.len(), 2);
    assert!(edge.joined_late, "it is the client's socket that tells");
    assert_eq!(edge.confidence, Confidence::Medium);
}

/// The same with these samples in one class of round-trip times.
fn timed(half: Half, class: usize, samples: u32) -> Half {
    let mut rtt = [0; RTT_BUCKETS];
    rtt[class] = samples;
    Half { counters: EdgeCounters { rtt, ..half.counters }, ..half }
}

#[test]
fn round_trips_are_the_clients() {
    let half = |class| client(CURL, HERE, 80, class, counters(5, 10, 20));
    let one = timed(half(HTTP), 2, 10);
    let server = timed(mirror(&one, NGINX, 80), 9, 100);
    let times = |halves: &[Half]| map(halves)[0].rtt_seconds.map(|rtt| (rtt.p50, rtt.p99));
    assert_eq!(times(&[one, server]), Some((0.000_096, 0.000_127_360)));
    assert_eq!(times(&[server]), Some((0.012_288, 0.016_302_080)));
    assert_eq!(times(&[half(HTTP)]), None);
    let other = timed(half(PENDING), 4, 30);
    assert_eq!(times(&[one, other]), Some((0.000_341_333, 0.000_508_587)), "all add up");
}

#[test]
fn a_half_that_is_being_made_has_no_beginning_yet() {
    let mut new = client(CURL, THERE, 80, HTTP, counters(0, 0, 0));
    (new.counters.opened, new.counters.first_ns, new.counters.last_ns) = (1, 0, 3_000_000_000);
    assert_eq!(map(&[new])[0].first_seen, CLOCK.time(3_000_000_000));
    let known = client(CURL, THERE, 80, PENDING, counters(1, 0, 0));
    let edge = map(&[new, known]).remove(0);
    assert_eq!(
        (edge.first_seen, edge.last_seen),
        (CLOCK.time(1_000_000_000), CLOCK.time(3_000_000_000))
    );
}

/// Halves as a kernel map could hold them: each key once, few enough ends that they meet often.
fn halves() -> impl Strategy<Value = Vec<Half>> {
    let end = prop_oneof![Just(CURL), Just(WGET), Just(NGINX), Just(NGINX_WORKER), Just(HAPROXY)];
    let address = prop_oneof![Just(HERE), Just(THERE), Just("127.0.0.1"), Just("2001:db8::1")];
    let port = prop_oneof![Just(80_u16), Just(443)];
    let counts = proptest::array::uniform8(0_u64..50);
    let ends = (end.clone(), proptest::option::of(end), any::<bool>());
    let reached = proptest::option::weighted(0.3, prop_oneof![Just(HERE), Just(THERE)]);
    let places = (address, (port.clone(), port), reached);
    let half = (ends, places, ((0_u8..5, 0_u8..12), any::<bool>(), flags()), counts).prop_map(
        |((own, peer, is_client), (address, (port, asked_port), reached), sort, counts)| {
            let ((protocol, stage), is_udp, flags) = sort;
            let mut half = client(own, address, port, PENDING, any_counters(counts));
            (half.key.protocol, half.key.stage) = (protocol, stage);
            let half = match (is_client, peer) {
                (true, _) => reached.map_or(half, |reached| reaching(half, reached, port)),
                (false, Some(peer)) => paired(own, peer, (address, asked_port), half),
                (false, None) => {
                    Half { key: EdgeKey { role: Role::Server as u8, ..half.key }, ..half }
                }
            };
            let half = flagged(half, flags & !FOLDED);
            let half = if is_udp { udp(half, counts[4], counts[5]) } else { half };
            if flags & FOLDED == 0 { half } else { folded(half) }
        },
    );
    proptest::collection::vec(half, 0..24).prop_map(|halves| {
        let by_key: BTreeMap<EdgeKey, Half> =
            halves.into_iter().map(|half| (half.key, half)).collect();
        by_key.into_values().collect()
    })
}

fn flags() -> impl Strategy<Value = u8> {
    prop_oneof![
        6 => Just(0),
        2 => Just(LATE),
        1 => Just(LATE | GUESSED),
        1 => Just(FOLDED),
        1 => Just(LATE | FOLDED),
    ]
}

fn any_counters(
    [opened, moved, closed, sent, received, refused, timed_out, first]: [u64; 8],
) -> EdgeCounters {
    let mut rtt = [0; RTT_BUCKETS];
    rtt[opened as usize % RTT_BUCKETS] = closed as u32;
    EdgeCounters {
        rtt,
        moved: moved.min(opened),
        closed: closed.min(opened - moved.min(opened)),
        refused,
        timed_out,
        first_ns: first,
        last_ns: first + refused,
        ..counters(opened, sent, received)
    }
}

/// The halves whose numbers are to be found in the edges: all clients', and those servers' that no
/// client's half accounts for.
fn counting(halves: &[Half]) -> Vec<Half> {
    let late = |half: &Half| half.key.flags & LATE;
    let asked: BTreeSet<_> = halves
        .iter()
        .filter(|half| half.reporter() == Reporter::Client && half.key.flags & FOLDED == 0)
        .map(|half| (half.own(), half.key.remote, half.key.port, half.key.transport, late(half)))
        .collect();
    let is_accounted_for = |half: &Half| {
        let EdgeKey { remote, asked_port, transport, .. } = half.key;
        // Over UDP it is the client that says whether it is older.
        let ages = if transport == 17 { vec![0, LATE] } else { vec![late(half)] };
        half.reporter() == Reporter::Server
            && half.peer().is_some_and(|peer| {
                ages.iter()
                    .any(|late| asked.contains(&(peer, remote, asked_port, transport, *late)))
            })
    };
    halves.iter().filter(|half| !is_accounted_for(half)).copied().collect()
}

/// Every number that an edge has of what went over it.
type Numbers = [u64; 7];

fn as_the_client_sees(half: &Half) -> Numbers {
    let c = &half.counters;
    let mut pairs = [[c.sent_bytes, c.received_bytes], [c.sent_datagrams, c.received_datagrams]];
    if half.reporter() == Reporter::Server {
        pairs.iter_mut().for_each(|pair| pair.reverse());
    }
    let [[sent, received], [sent_datagrams, received_datagrams]] = pairs;
    let connections = [half.connections(), half.open(), half.failures()];
    let [all, open, failures] = connections;
    [all, open, failures, sent, received, sent_datagrams, received_datagrams]
}

fn as_the_edge_says(edge: &Edge) -> Numbers {
    [
        edge.connections,
        edge.open,
        edge.failures,
        edge.bytes_sent,
        edge.bytes_received,
        edge.datagrams_sent,
        edge.datagrams_received,
    ]
}

fn total(counts: impl Iterator<Item = Numbers>) -> Numbers {
    counts.fold([0; 7], |sum, counts| core::array::from_fn(|i| sum[i] + counts[i]))
}

proptest! {
    #[test]
    fn every_count_is_in_exactly_one_edge(halves in halves()) {
        let edges = map(&halves);
        let found = total(edges.iter().map(as_the_edge_says));
        prop_assert_eq!(found, total(counting(&halves).iter().map(as_the_client_sees)));
    }

    /// What is older, folded or UDP is found on edges of its sort, and nowhere else.
    #[test]
    fn nothing_changes_its_sort(halves in halves()) {
        let sort = |half: &Half| {
            let is_folded = half.key.flags & FOLDED != 0;
            (half.key.transport == 17, half.key.flags & LATE != 0, is_folded)
        };
        let edges = map(&halves);
        for (udp, late, folded) in [
            (false, false, false), (false, true, false), (false, false, true), (false, true, true),
            (true, false, true), (true, true, true),
        ] {
            let mut of_sort = counting(&halves);
            of_sort.retain(|half| sort(half) == (udp, late, folded));
            let found = total(edges.iter().filter(|edge| {
                let is_folded = [&edge.client, &edge.server].iter().any(|end| end.name == "folded");
                (edge.transport == Transport::Udp, edge.joined_late, is_folded) == (udp, late, folded)
            }).map(as_the_edge_says));
            prop_assert_eq!(found, total(of_sort.iter().map(as_the_client_sees)));
        }
    }

    #[test]
    fn another_order_gives_the_same_bytes(
        (halves, shuffled) in halves().prop_flat_map(|h| (Just(h.clone()), Just(h).prop_shuffle()))
    ) {
        let [one, other] = [halves, shuffled].map(|h| serde_json::to_string(&map(&h)).unwrap());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn edges_stand_in_order_and_no_id_comes_twice(halves in halves()) {
        let edges = map(&halves);
        prop_assert!(edges.is_sorted_by(|a, b| order(a) < order(b)));
        let ids: BTreeSet<&str> = edges.iter().map(|edge| edge.id.as_str()).collect();
        prop_assert_eq!(ids.len(), edges.len());
    }

    #[test]
    fn an_edge_never_claims_more_than_it_counted(halves in halves()) {
        for edge in map(&halves) {
            prop_assert!(edge.open <= edge.connections);
            prop_assert!(edge.evidence.connections <= edge.evidence.of);
            prop_assert_eq!(edge.evidence.of, edge.connections);
            prop_assert!(as_the_edge_says(&edge).iter().any(|count| *count > 0));
            prop_assert!(edge.reached.len() <= MOST_REACHED && edge.reached.is_sorted());
            prop_assert_eq!(edge.complete, !edge.joined_late && edge.server_port != 0);
            prop_assert!(!edge.reporters.is_empty());
        }
    }
}
