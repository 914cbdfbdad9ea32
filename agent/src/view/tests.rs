//! Screens as they are, letter for letter.

use jiff::Timestamp;
use plainsight_core::{
    finding::{Asked, Coverage, Findings, Report, State},
    graph::{Link, tls::EdgeTls},
    protocol::tls::Tls,
};
use serde_json::{Value, json};
use std::time::Duration;

use super::{scan::Scan, *};
use crate::{
    doctor::{Check, Outcome},
    serve::{Lost, Snapshot},
};

const COLOUR: Style = Style { colour: true };

fn workload(name: &str, kind: &str) -> Value {
    json!({
        "name": name, "kind": kind, "namespace": null, "service": null, "host": "here",
        "cluster": null, "owner": null, "matched_by": "process", "confidence": "medium"
    })
}

/// An edge with `changes` over an unremarkable one.
fn edge(client: Value, server: Value, changes: Value) -> Edge {
    let mut edge = json!({
        "id": "e-0", "client": client, "server": server, "server_address": "192.0.2.1",
        "server_port": 8080, "transport": "tcp", "protocol": "http", "protocol_version": "1",
        "application": null, "connections": 23, "open": 0, "failures": 0,
        "failures_by_kind": {"refused": 0, "timeout": 0, "aborted": 0, "denied": 0},
        "bytes_sent": 1840, "bytes_received": 19619, "rtt_seconds": null, "reached": [],
        "reached_more": 0, "datagrams_sent": 0, "datagrams_received": 0,
        "first_seen": "2026-11-24T00:00:00Z", "last_seen": "2026-11-24T00:00:00Z",
        "reporters": ["client", "server"], "joined_late": false, "complete": true,
        "security": "none", "state": "plaintext", "upgrade": "none", "link": "unknown",
        "scope": "host", "tls": null,
        "evidence": {"what": "HTTP/1 request", "connections": 23, "of": 23},
        "confidence": "high", "verdict": {"decision": "allowed", "rule": null, "requirement": "none"}
    });
    for (key, value) in changes.as_object().unwrap() {
        edge[key] = value.clone();
    }
    serde_json::from_value(edge).unwrap()
}

fn failing() -> Value {
    json!({
        "protocol": "unknown", "protocol_version": null, "security": "unknown",
        "state": "unknown", "connections": 0, "bytes_sent": 0, "bytes_received": 0,
        "failures": 28, "server_port": 81, "scope": "cluster", "reporters": ["client"],
        "failures_by_kind": {"refused": 23, "timeout": 5, "aborted": 0, "denied": 0}
    })
}

fn encrypted() -> Value {
    json!({
        "server_port": 443, "protocol": "tls", "protocol_version": null, "security": "tls",
        "state": "encrypted", "connections": 1901, "open": 7, "bytes_sent": 123_456_789,
        "bytes_received": 10_000, "scope": "outside", "reporters": ["client"],
        "evidence": {"what": "client and server hello", "connections": 1901, "of": 1901}
    })
}

fn snapshot(edges: Vec<Edge>) -> Snapshot {
    let lost = Lost::from([("ring".into(), BTreeMap::from([("connection".into(), 0)]))]);
    Snapshot { edges, complete: true, lost, taken_at: Timestamp::UNIX_EPOCH }
}

/// What is wrong with such a map, five minutes later.
fn found(map: &Snapshot) -> Report {
    let mut findings = Findings::new(Asked::default(), 1009, Timestamp::UNIX_EPOCH);
    let coverage = Coverage { since: Timestamp::UNIX_EPOCH, lost: 0 };
    findings.update(&map.edges, "2026-11-24T00:05:00Z".parse().unwrap(), &coverage);
    findings.report()
}

fn scanned(map: Snapshot) -> Scan {
    let report = found(&map);
    Scan {
        host: "erp01".into(),
        kernel: "5.14.el9".into(),
        duration: Duration::from_secs(60),
        nothing_left: true,
        findings: report.findings,
        expected_plaintext: report.expected_plaintext,
        not_proven: report.not_proven,
        not_seen: Vec::new(),
        map,
    }
}

fn edges() -> Vec<Edge> {
    let curl = || workload("curl", "process");
    vec![
        edge(curl(), workload("nginx.service", "unit"), json!({})),
        edge(curl(), workload("2001:db8::1", "address"), encrypted()),
        edge(curl(), workload("10.0.0.9", "address"), failing()),
    ]
}

#[test]
fn the_map_is_a_table() {
    let expect = "\
CLIENT  →  SERVER         PORT  PROTOCOL  SECURITY  CONNECTIONS  OPEN  FAILED                      SENT  RECEIVED  REPORTERS
curl    →  nginx.service  8080  http/1    none               23     0  0                        1,840 B  19.2 KiB  client+server
curl    →  2001:db8::1     443  tls       tls             1,901     7  0                      117.7 MiB   9.8 KiB  client
curl    →  10.0.0.9         81  unknown   unknown             0     0  23 refused, 5 timeout        0 B       0 B  client
3 edges, 1,924 connections (7 open), 28 failed; 117.7 MiB sent, 28.9 KiB received; 0 lost
";
    assert_eq!(map::text(&snapshot(edges()), Style::PLAIN), expect);
}

fn over_udp() -> Value {
    json!({
        "transport": "udp", "protocol": "dns", "protocol_version": null, "server_port": 53,
        "connections": 0, "bytes_sent": 310, "bytes_received": 1240, "datagrams_sent": 10,
        "datagrams_received": 9, "scope": "cluster", "reporters": ["client"],
        "reached": [
            {"address": "10.0.0.5", "port": 5353}, {"address": "2001:db8::5", "port": 5353}
        ],
        "reached_more": 1,
        "evidence": {"what": "a DNS question (RFC 1035)", "connections": 0, "of": 0}
    })
}

fn folded() -> Value {
    json!({
        "server_port": 0, "protocol": "unknown", "protocol_version": null, "security": "unknown",
        "state": "unknown", "scope": "outside", "reporters": ["client"], "joined_late": true,
        "complete": false
    })
}

#[test]
fn the_map_notes_what_is_out_of_the_ordinary() {
    let curl = || workload("curl", "process");
    let edges = vec![
        edge(curl(), workload("10.96.0.10", "address"), over_udp()),
        edge(curl(), workload("folded", "group"), folded()),
        edge(curl(), workload("nginx.service", "unit"), json!({})),
    ];
    let expect = "\
CLIENT  →  SERVER           PORT  PROTOCOL  SECURITY   CONNECTIONS  OPEN  FAILED     SENT  RECEIVED  REPORTERS      NOTE
curl    →  10.96.0.10     53/udp  dns       none      19 datagrams        0         310 B   1,240 B  client         reached 10.0.0.5:5353 and 2 more
curl    →  folded              -  unknown   unknown             23     0  0       1,840 B  19.2 KiB  client         joined late
curl    →  nginx.service    8080  http/1    none                23     0  0       1,840 B  19.2 KiB  client+server
3 edges, 46 connections (0 open), 0 failed, 19 datagrams; 3,990 B sent, 39.5 KiB received; 0 lost
";
    assert_eq!(map::text(&snapshot(edges), Style::PLAIN), expect);
}

#[test]
fn the_scan_counts_datagrams() {
    let edges = vec![
        edge(workload("curl", "process"), workload("10.96.0.10", "address"), over_udp()),
        edge(workload("curl", "process"), workload("folded", "group"), folded()),
    ];
    let scan = scanned(snapshot(edges));
    let expect = "\
erp01, 5.14.el9, 1m, blocks nothing: 2 hops, 23 connections, 19 datagrams, 0 lost
EXPECTED PLAINTEXT: 1 (1 dns); busiest curl → 10.96.0.10:53, 19 datagrams
NOT PROVEN 1 of 2 hops (50.0% of hops, 93.3% of bytes): 1 folded; 0 lost
  curl → folded  unknown  23 connections  1,840 B sent  19.2 KiB received  HTTP/1 request
Nothing left in the kernel.
";
    assert_eq!(scan::text(&scan, Style::PLAIN), expect);
}

#[test]
fn an_empty_map_says_so() {
    let text = map::text(&snapshot(Vec::new()), Style::PLAIN);
    assert_eq!(text, "No connections seen yet; 0 lost.\n");
}

#[test]
fn the_scan_is_one_screen() {
    let curl = || workload("curl", "process");
    let mut edges = edges();
    let mut redis = json!({"scope": "cluster", "server_port": 6379, "connections": 1});
    redis["reporters"] = json!(["client"]);
    edges.push(edge(curl(), workload("10.2.0.9", "address"), redis));
    edges.push(edge(
        curl(),
        workload("10.2.0.8", "address"),
        json!({"security": "unknown", "protocol": "unknown", "protocol_version": null,
               "evidence": {"what": "first bytes fit no rule", "connections": 23, "of": 23}}),
    ));
    let duration = Duration::from_millis(60_250);
    let not_seen = vec!["forwarding by br0 (VMs)".to_owned()];
    let scan = Scan { duration, not_seen, ..scanned(snapshot(edges)) };
    let expect = "\
erp01, 5.14.el9, 1m, blocks nothing: 5 hops, 1,948 connections, 0 lost
IN CLEAR, LEAVES THIS HOST: 1
  med  curl → 10.2.0.9:6379  http/1  1 connection  1,840 B sent  19.2 KiB received  HTTP/1 request
     Server: listen with TLS, or stand behind a proxy on the same host that does. Client: ask for https:// and keep certificate checks on.
IN CLEAR, STAYS ON THIS HOST: 1
  low  curl → nginx.service:8080  http/1  23 connections  1,840 B sent  19.2 KiB received  HTTP/1 request
ENCRYPTED: one-way 0, mutual 0, unknown 1; certificates seen on 0 of 1
  curl → [2001:db8::1]:443  tls  1,901 connections  117.7 MiB sent  9.8 KiB received  client and server hello
NOT PROVEN 1 of 4 hops (25.0% of hops, 0.1% of bytes): 1 unknown protocol; 0 lost
  curl → 10.2.0.8:8080  unknown  23 connections  1,840 B sent  19.2 KiB received  first bytes fit no rule
FAILED CONNECTS: 1
  curl → 10.0.0.9:81  23 refused, 5 timeout
NOT SEEN: forwarding by br0 (VMs)
Nothing left in the kernel.
";
    assert_eq!(scan::text(&scan, Style::PLAIN), expect);
    let json = serde_json::to_value(&scan).unwrap();
    assert_eq!((&json["duration_seconds"], &json["nothing_left"]), (&json!(60.25), &json!(true)));
    assert_eq!(json["edges"].as_array().unwrap().len(), 5);
    let unsure = Scan { nothing_left: false, ..scan };
    assert!(!scan::text(&unsure, Style::PLAIN).contains("Nothing left"));
}

/// A password and a weak handshake, seen by two clients.
fn trouble() -> Vec<Edge> {
    let redis = json!({
        "id": "e-1", "scope": "cluster", "server_port": 6379, "protocol": "redis",
        "protocol_version": null,
        "credentials": {"mechanism": "Redis AUTH", "readable": true, "connections": 7}
    });
    let mut weak = edge(workload("wget", "process"), workload("10.2.0.8", "address"), encrypted());
    let mut tls = EdgeTls::default();
    for version in ["TLS1.0", "TLS1.2"] {
        let one = Tls { version: Some(version.into()), answered: true, ..Tls::default() };
        tls.fold(&one, Timestamp::UNIX_EPOCH);
    }
    weak.tls = Some(Box::new(tls));
    let redis = edge(workload("curl", "process"), workload("10.2.0.9", "address"), redis);
    vec![redis, weak]
}

#[test]
fn findings_say_what_to_do_and_what_is_not_proven() {
    let map = snapshot(trouble());
    let expect = "\
NEW 3, WORSE 0, OPEN 0, QUIET 0, FIXED 0, ACCEPTED 0; expected plaintext 0
SEV   STATE  ID              SERVER         WHAT                                               OWNER    SINCE
high  NEW    f-712e585d9096  10.2.0.9:6379  Redis AUTH: the secret is readable, 7 of 23; curl  unowned     5m
     Redis: tls-port with tls-cert-file and tls-key-file, and port 0 to close the one without.
     Client: rediss:// in its URL, or --tls with --cacert.
     Then change the secret: whoever was on the way has it.
med   NEW    f-4cecbf15406d  10.2.0.8:443   weak: TLS1.0, 1 of 2; wget                         unowned     5m
     Server: offer TLS 1.2 and 1.3 only, with ECDHE and AEAD suites (nginx: ssl_protocols and ssl_ciphers; OpenSSL's MinProtocol).
     Client: where it offers nothing better, update it first.
med   NEW    f-ed82cfe5932f  10.2.0.9:6379  redis in clear, 23 of 23; curl                     unowned     5m
     Redis: tls-port with tls-cert-file and tls-key-file, and port 0 to close the one without.
     Client: rediss:// in its URL, or --tls with --cacert.
NOT PROVEN 0 of 2 hops (0% of hops, 0% of bytes); 0 lost
";
    let text = findings::text(&found(&map), Style::PLAIN);
    assert_eq!(text, expect);
    let screen = scan::text(&scanned(map), Style::PLAIN);
    let also = "\
ALSO FOUND: 2
  high  10.2.0.9:6379  Redis AUTH: the secret is readable, 7 of 23; curl
  med   10.2.0.8:443   weak: TLS1.0, 1 of 2; wget
";
    assert!(screen.contains(also), "{screen}");
}

#[test]
fn an_encrypted_link_is_told_and_its_evidence_escaped() {
    let mut edges = trouble();
    for edge in &mut edges {
        edge.link = Link::Wireguard;
        edge.link_basis = Some(Basis::Declared);
        edge.link_evidence = HOSTILE.into();
    }
    let map = snapshot(edges);
    let report = found(&map);
    let check = |text: &str, parts: &[&str]| {
        parts.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    };
    let evidence = "over WireGuard: a";
    check(&map::text(&map, Style::PLAIN), &["  over WireGuard, declared\n"]);
    let parts = ["redis in clear, over WireGuard, 23 of 23; curl", evidence];
    check(&findings::text(&report, Style::PLAIN), &parts);
    let parts = ["\n  med  curl → 10.2.0.9:6379", "over WireGuard, declared", evidence];
    check(&scan::text(&scanned(map), Style::PLAIN), &parts);
}

#[test]
fn what_leaves_is_red_and_what_is_fixed_is_green() {
    let mut report = found(&snapshot(trouble()));
    let text = findings::text(&report, COLOUR);
    assert!(text.contains("\u{1b}[31mhigh\u{1b}[0m") && text.contains("\u{1b}[31mNEW"), "{text}");
    report.findings[0].state = State::Fixed;
    assert!(findings::text(&report, COLOUR).contains("\u{1b}[32mFIXED"));
}

#[test]
fn long_groups_are_cut_the_busiest_kept() {
    let edges = (1..=13_u16)
        .map(|i| {
            let client = workload(&format!("client-{i}"), "process");
            let busier = json!({"connections": i, "server_port": i});
            edge(client, workload("nginx", "process"), busier)
        })
        .collect();
    let scan = scanned(snapshot(edges));
    let text = scan::text(&scan, Style::PLAIN);
    assert!(text.contains("STAYS ON THIS HOST: 13\n  low  client-13 →"), "{text}");
    assert!(text.contains("  and 3 more: -o json has them all\n"), "{text}");
    assert!(!text.contains("client-3 "), "{text}");
}

fn record(changes: &[(&str, Value)]) -> String {
    let mut record = json!({
        "flow": {
            "time": "2026-11-24T05:44:35.123456789Z", "uuid": "u", "verdict": "FORWARDED",
            "IP": {"source": "192.0.2.1", "destination": "192.0.2.2", "ipVersion": "IPv4"},
            "l4": {"TCP": {"source_port": 40000, "destination_port": 8080}},
            "source": {"workloads": [{"name": "curl", "kind": "process"}]},
            "destination": {"workloads": [{"name": "nginx", "kind": "process"}]},
            "is_reply": false, "traffic_direction": "EGRESS", "socket_cookie": 1, "cgroup_id": 2,
            "Summary": "s"
        },
        "node_name": "here", "time": "2026-11-24T05:44:35.123456789Z",
        "plainsight": {
            "reporter": "client", "edge": null, "bytes_sent": 78, "bytes_received": 853,
            "datagrams_sent": null, "datagrams_received": null, "reached": null,
            "duration_seconds": 0.0123, "close": "fin", "protocol": "http",
            "protocol_version": "1", "security": "none", "state": "plaintext", "tls": null,
            "evidence": {"what": "x", "connections": 1, "of": 1},
            "verdict": {"decision": "allowed", "rule": null, "requirement": "none"},
            "client": workload("curl", "process"), "server": workload("nginx.service", "unit"),
            "process": {"pid": 7, "name": "curl"}
        }
    });
    for (pointer, value) in changes {
        *record.pointer_mut(pointer).unwrap() = value.clone();
    }
    record.to_string()
}

#[test]
fn a_record_is_one_line() {
    assert_eq!(
        flow::text(&record(&[]), Style::PLAIN).unwrap(),
        "2026-11-24T05:44:35.123Z client curl → nginx.service:8080 http/1 78 B sent, 853 B received \
         0.012s fin\n"
    );
    let refused = record(&[
        ("/plainsight/close", json!("refused")),
        ("/plainsight/reporter", json!("server")),
        ("/plainsight/server", workload("2001:db8::1", "address")),
        ("/plainsight/duration_seconds", json!(0.000_043)),
    ]);
    assert_eq!(
        flow::text(&refused, COLOUR).unwrap(),
        "2026-11-24T05:44:35.123Z server curl → [2001:db8::1]:8080 http/1 78 B sent, 853 B received \
         0.000043s \u{1b}[33mrefused\u{1b}[0m\n"
    );
}

#[test]
fn a_conversation_over_udp_is_one_line_too() {
    let asked = record(&[
        ("/flow/l4", json!({"UDP": {"source_port": 40000, "destination_port": 53}})),
        ("/plainsight/protocol", json!("dns")),
        ("/plainsight/protocol_version", Value::Null),
        ("/plainsight/close", json!("closed")),
        ("/plainsight/datagrams_sent", json!(2)),
        ("/plainsight/datagrams_received", json!(1)),
        ("/plainsight/reached", json!({"address": "2001:db8::5", "port": 5353})),
    ]);
    assert_eq!(
        flow::text(&asked, COLOUR).unwrap(),
        "2026-11-24T05:44:35.123Z client curl → nginx.service:53 ([2001:db8::5]:5353) dns udp \
         78 B in 2 datagrams sent, 853 B in 1 datagram received 0.012s closed\n"
    );
}

#[test]
fn a_gap_is_said_and_other_lines_are_refused() {
    let gap = flow::text(r#"{"gap":{"missed":1234}}"#, Style::PLAIN).unwrap();
    assert_eq!(gap, "1,234 records missing here: read too slowly\n");
    for line in ["", "{}", "[]", "x"] {
        let error = flow::text(line, Style::PLAIN).unwrap_err().to_string();
        assert!(error.starts_with("a line is no record"), "{line}: {error}");
    }
}

/// A name that clears the screen, turns the text, and pretends to be another line.
const HOSTILE: &str = "a\u{1b}[2J\u{202e}b\nNothing left";

#[test]
fn hostile_names_stay_on_their_line() {
    let hostile = || workload(HOSTILE, "process");
    let map = snapshot(vec![edge(
        hostile(),
        hostile(),
        json!({"protocol": HOSTILE, "protocol_version": HOSTILE,
               "evidence": {"what": HOSTILE, "connections": 1, "of": 1}}),
    )]);
    let lost = Lost::from([(HOSTILE.into(), BTreeMap::from([(HOSTILE.into(), 1)]))]);
    let map = Snapshot { lost, ..map };
    let report = found(&map);
    let scan = Scan {
        host: HOSTILE.into(),
        kernel: HOSTILE.into(),
        nothing_left: false,
        not_seen: vec![HOSTILE.into()],
        ..scanned(map.clone())
    };
    let record = record(&[
        ("/plainsight/client", hostile()),
        ("/plainsight/server", hostile()),
        ("/plainsight/protocol", json!(HOSTILE)),
    ]);
    let check = Check {
        name: "x\u{1b}[m".into(),
        outcome: Outcome::Warning,
        found: HOSTILE.into(),
        advice: Some(HOSTILE.into()),
    };
    for (text, lines) in [
        (map::text(&map, Style::PLAIN), 3),
        (scan::text(&scan, Style::PLAIN), 6),
        (findings::text(&report, Style::PLAIN), 6),
        (flow::text(&record, Style::PLAIN).unwrap(), 1),
        (doctor::text(&[check], Style::PLAIN), 2),
    ] {
        assert_eq!(text.lines().count(), lines, "{text}");
        let steers = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!text.contains(steers), "{text:?}");
    }
}

#[test]
fn checks_are_aligned_and_say_what_to_do() {
    let check = |name: &'static str, outcome, found: &str, advice: Option<&str>| Check {
        name: name.into(),
        outcome,
        found: found.into(),
        advice: advice.map(str::to_owned),
    };
    let checks = [
        check("kernel", Outcome::Ok, "6.1.0", None),
        check("capabilities", Outcome::Failed, "CAP_BPF missing", Some("run as root")),
        check("bpffs", Outcome::Warning, "none", Some("mount one")),
    ];
    let expect = "\
ok       kernel        6.1.0
failed   capabilities  CAP_BPF missing
                       → run as root
warning  bpffs         none
                       → mount one
";
    assert_eq!(doctor::text(&checks, Style::PLAIN), expect);
}

#[test]
fn colour_changes_nothing_but_colour() {
    let plain = map::text(&snapshot(edges()), Style::PLAIN);
    let coloured = map::text(&snapshot(edges()), COLOUR);
    assert_ne!(plain, coloured);
    let mut bare = coloured;
    for code in ["\u{1b}[1m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[0m"] {
        bare = bare.replace(code, "");
    }
    assert_eq!(bare, plain);
}

#[test]
fn plain_text_is_marked_where_it_leaves_the_host() {
    let text = |scope: &str| {
        let edge = edge(workload("a", "unit"), workload("b", "unit"), json!({"scope": scope}));
        map::text(&snapshot(vec![edge]), COLOUR)
    };
    assert!(text("outside").contains("\u{1b}[31mnone"));
    assert!(!text("host").contains("\u{1b}[31m"));
}

#[test]
fn losses_are_named() {
    let check = |lost: Value, expect: &str| {
        let lost: Lost = serde_json::from_value(lost).unwrap();
        assert_eq!(losses(&lost), expect);
    };
    check(json!({}), "0 lost");
    check(json!({"ring": {"connection": 0}}), "0 lost");
    check(
        json!({"ring": {"connection": 1200, "first_seen": 0}, "edges": {"full": 5}}),
        "1,205 lost (5 edges/full, 1,200 ring/connection)",
    );
}

#[test]
fn bytes_are_exact_while_they_are_few() {
    let check = |n: u64, expect: &str| assert_eq!(bytes(n), expect, "{n}");
    check(0, "0 B");
    check(9_999, "9,999 B");
    check(10_000, "9.8 KiB");
    check(1_048_524, "1023.9 KiB");
    check(1_048_575, "1.0 MiB");
    check(u64::MAX, "16.0 EiB");
}

#[test]
fn digits_stand_in_groups() {
    let check = |n: u64, expect: &str| assert_eq!(grouped(n), expect);
    check(0, "0");
    check(999, "999");
    check(1_000, "1,000");
    check(12_345_678, "12,345,678");
    check(u64::MAX, "18,446,744,073,709,551,615");
}

#[test]
fn namespaces_stand_before_names() {
    let mut pod = workload("ledger", "pod");
    pod["namespace"] = json!("pay");
    let pod: Workload = serde_json::from_value(pod).unwrap();
    assert_eq!(place(&pod, 5432), "pay/ledger:5432");
}
