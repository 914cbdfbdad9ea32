//! Edges with hostile names and in great number, encoded and read back.

use std::collections::{BTreeSet, HashSet};

use plainsight_core::graph::Edge;
use serde_json::json;

use super::{
    prometheus::{Metric, encode, parse},
    *,
};

fn edge(client: &str, server: &str, port: u16, first_seen: &str) -> Edge {
    let workload = |name: &str| {
        json!({
            "name": name, "kind": "process", "namespace": null, "service": null, "host": "here",
            "cluster": null, "owner": null, "matched_by": "process", "confidence": "medium"
        })
    };
    let edge = json!({
        "id": "e-0", "client": workload(client), "server": workload(server),
        "server_address": "192.0.2.1", "server_port": port, "transport": "tcp",
        "protocol": "http", "protocol_version": "1", "application": null, "connections": 23,
        "open": 2, "failures": 7,
        "failures_by_kind": {"refused": 4, "timeout": 2, "aborted": 1, "denied": 0},
        "bytes_sent": 1009, "bytes_received": 10007, "rtt_seconds": null, "reached": [],
        "reached_more": 0, "datagrams_sent": 0, "datagrams_received": 0,
        "first_seen": first_seen, "last_seen": first_seen, "reporters": ["client", "server"],
        "joined_late": false, "complete": true, "security": "none", "state": "plaintext",
        "upgrade": "none", "link": "unknown", "scope": "host", "tls": null,
        "evidence": {"what": "x", "connections": 23, "of": 23}, "confidence": "high",
        "verdict": {"decision": "allowed", "rule": null, "requirement": "none"}
    });
    serde_json::from_value(edge).unwrap()
}

/// The same ends over UDP.
fn over_udp(edge: Edge) -> Edge {
    Edge {
        connections: 0,
        open: 0,
        failures: 0,
        failures_by_kind: FailuresByKind::default(),
        datagrams_sent: 10,
        datagrams_received: 9,
        ..edge
    }
}

const DAY: &str = "2026-11-24T00:00:00Z";

fn sample(edges: &[Edge], limit: usize) -> Sample {
    let totals = Totals::new(std::array::from_fn(|i| i as u64));
    Sample {
        edges: EdgeRows::new(edges, limit),
        lost: lost(&totals),
        totals,
        maps: vec![
            MapFill { name: "EDGES", entries: Some(5), capacity: 7, memory_bytes: 11 },
            MapFill { name: "EVENTS", entries: None, capacity: 13, memory_bytes: 17 },
        ],
        events_received: BTreeMap::from([("connection", 19), ("first_seen", 3)]),
        scans: Scans { count: 4, seconds: 0.5 },
        process: Some(ProcessUse { resident_bytes: 1 << 20, cpu_seconds: 1.5 }),
        ..Sample::default()
    }
}

fn metrics(sample: &Sample) -> Vec<Metric> {
    parse(&encode(sample).unwrap()).unwrap()
}

fn value(metrics: &[Metric], name: &str, label: (&str, &str)) -> f64 {
    let found: Vec<_> = metrics
        .iter()
        .filter(|metric| metric.name == name)
        .filter(|metric| label.0.is_empty() || metric.label(label.0) == label.1)
        .collect();
    let [one] = found.as_slice() else { panic!("{name} {label:?}: {found:?}") };
    one.value
}

#[test]
fn every_value_is_exported() {
    let metrics = metrics(&sample(&[edge("curl", "nginx", 8080, DAY)], SERIES_LIMIT));
    let check = |name: &str, label: (&str, &str), expect: f64| {
        assert_eq!(value(&metrics, name, label), expect, "{name} {label:?}");
    };
    let all = ("", "");
    check("plainsight_edge_connections_total", all, 23.0);
    check("plainsight_edge_open_connections", all, 2.0);
    check("plainsight_edge_bytes_total", ("direction", "sent"), 1009.0);
    check("plainsight_edge_bytes_total", ("direction", "received"), 10_007.0);
    check("plainsight_edge_failures_total", ("kind", "refused"), 4.0);
    check("plainsight_edge_failures_total", ("kind", "timeout"), 2.0);
    check("plainsight_edge_failures_total", ("kind", "aborted"), 1.0);
    check("plainsight_series_overflow_total", all, 0.0);
    check("plainsight_connections_opened_total", all, 0.0);
    check("plainsight_connections_closed_total", all, 1.0);
    check("plainsight_connections_failed_total", all, 2.0);
    check("plainsight_connections_paired_total", all, 24.0);
    check("plainsight_bytes_total", ("direction", "received"), 4.0);
    check("plainsight_udp_datagrams_total", ("direction", "sent"), 19.0);
    check("plainsight_connections_adopted_total", all, 26.0);
    check("plainsight_edges_folded_total", all, 27.0);
    check("plainsight_quotas_full_total", all, 28.0);
    check("plainsight_overflow_total", ("kind", "opened"), 10.0);
    check("plainsight_overflow_total", ("kind", "datagrams_received"), 22.0);
    check("plainsight_segments_older_total", all, 17.0);
    check("plainsight_records_wanted_total", all, 15.0);
    check("plainsight_events_received_total", ("kind", "connection"), 19.0);
    check("plainsight_lost_total", ("reason", "full"), 5.0);
    check("plainsight_lost_total", ("reason", "unreadable"), 18.0);
    check("plainsight_lost_total", ("reason", "conversations"), 29.0);
    check("plainsight_balance_error", all, 0.0);
    check("plainsight_record_filters", all, 0.0);
    check("plainsight_map_entries", all, 5.0);
    check("plainsight_map_capacity", ("map", "EVENTS"), 13.0);
    check("plainsight_map_memory_bytes", ("map", "EDGES"), 11.0);
    check("plainsight_scan_duration_seconds_sum", all, 0.5);
    check("plainsight_scan_duration_seconds_count", all, 4.0);
    check("plainsight_build_info", ("version", env!("CARGO_PKG_VERSION")), 1.0);
    check("process_resident_memory_bytes", all, 1_048_576.0);
    check("process_cpu_seconds_total", all, 1.5);
}

#[test]
fn edges_are_told_apart_by_their_labels() {
    let metrics = metrics(&sample(&[edge("curl", "nginx", 8080, DAY)], SERIES_LIMIT));
    let name = "plainsight_edge_connections_total";
    let edge = metrics.iter().find(|metric| metric.name == name).unwrap();
    let labels: Vec<_> = edge.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        labels,
        [
            ("client_workload", "curl"),
            ("client_kind", "process"),
            ("client_namespace", ""),
            ("client_host", "here"),
            ("server_workload", "nginx"),
            ("server_kind", "process"),
            ("server_namespace", ""),
            ("server_host", "here"),
            ("protocol", "http"),
            ("security", "none"),
            ("reporter", "both"),
            ("server_port", "8080"),
        ]
    );
}

/// Equal names in two clusters, on two hosts, in pods and in units: no series is another's.
#[test]
fn equal_names_elsewhere_are_others() {
    let at = |cluster: &str, host: &str, kind: identity::Kind| {
        let mut edge = edge("curl", "nginx", 8080, DAY);
        for end in [&mut edge.client, &mut edge.server] {
            (end.cluster, end.host) = (Some(cluster.into()), Some(host.into()));
            end.kind = kind;
        }
        EdgeRows::new(&[edge], SERIES_LIMIT).rows.remove(0).labels
    };
    use identity::Kind::{Pod, Unit};
    assert_ne!(at("west", "a", Unit), at("east", "a", Unit));
    assert_ne!(at("west", "a", Unit), at("west", "b", Unit));
    assert_ne!(at("west", "a", Pod), at("east", "a", Pod));
    // A pod that moved is the same.
    assert_eq!(at("west", "a", Pod), at("west", "b", Pod));
}

#[test]
fn listeners_are_published_once_and_bounded() {
    let server = edge("curl", "nginx", 8080, DAY).server;
    let mut listeners = Listeners::default();
    let ip = |i: u32| std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + i));
    for i in 0..u32::try_from(MOST_LISTENERS).unwrap() + 7 {
        listeners.add(ip(i), 80, &server);
    }
    listeners.add(ip(0), 80, &server);
    assert_eq!((listeners.rows.len(), listeners.refused), (MOST_LISTENERS, 7));
    let sample = Sample { listeners: std::sync::Arc::new(listeners), ..Sample::default() };
    let metrics = metrics(&sample);
    let first = metrics.iter().find(|metric| metric.name == "plainsight_listener_info").unwrap();
    let labels = ["address", "port", "transport", "workload", "kind", "host", "namespace"];
    let labels = labels.map(|name| first.label(name));
    assert_eq!(labels, ["10.0.0.0", "80", "tcp", "nginx", "process", "here", ""]);
    assert_eq!(value(&metrics, "plainsight_listeners_refused", ("", "")), 7.0);
}

#[test]
fn where_names_come_from_is_counted() {
    let names = Names {
        ends: vec![("resolved", 23), ("late", 5)],
        files: vec![("containerd", "named", 7)],
        rules: Some((11, false)),
    };
    let metrics = metrics(&Sample { names, ..Sample::default() });
    let check = |name, label, expect| assert_eq!(value(&metrics, name, label), expect, "{name}");
    check("plainsight_identities_total", ("result", "late"), 5.0);
    check("plainsight_runtime_files_total", ("answer", "named"), 7.0);
    check("plainsight_names_rules", ("", ""), 11.0);
    check("plainsight_names_last_reload_successful", ("", ""), 0.0);
}

#[test]
fn names_are_data() {
    let hostile = [
        "a\"} 1\nplainsight_lost_total{stage=\"x",
        "back\\slash\\",
        "\\n is not a newline",
        "new\nline",
        "\u{1b}[2J\u{7}",
        "carriage\rreturn",
        "{}=,#",
        "名前 \u{202e}",
        "",
    ];
    let edges: Vec<Edge> = hostile.iter().map(|name| edge(name, "nginx", 80, DAY)).collect();
    let metrics = metrics(&sample(&edges, SERIES_LIMIT));
    let clients: BTreeSet<&str> = metrics
        .iter()
        .filter(|metric| metric.name == "plainsight_edge_connections_total")
        .map(|metric| metric.label("client_workload"))
        .collect();
    let printable = hostile.map(|name| escape::terminal(name).into_owned());
    assert_eq!(clients, printable.iter().map(String::as_str).collect());
    assert!(!clients.iter().any(|name| name.chars().any(char::is_control)), "{clients:?}");
    assert_eq!(metrics.iter().filter(|m| m.name == "plainsight_lost_total").count(), 10);
}

#[test]
fn no_series_is_there_twice() {
    let edges: Vec<Edge> = (1..50).map(|port| edge("curl", "nginx", port % 7 + 1, DAY)).collect();
    let metrics = metrics(&sample(&edges, 25));
    let mut seen = HashSet::new();
    for metric in &metrics {
        assert!(seen.insert(format!("{}{:?}", metric.name, metric.labels)), "{metric:?}");
    }
}

#[test]
fn edges_with_equal_labels_add_up() {
    let rows = EdgeRows::new(&[edge("a", "b", 1, DAY), edge("a", "b", 1, DAY)], SERIES_LIMIT).rows;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].counts.connections, rows[0].counts.failures.refused), (46, 8));
}

#[test]
fn beyond_the_limit_only_the_sum_is_kept() {
    // The later an edge, the earlier its name, so that age and not the name must decide.
    let edges: Vec<Edge> = (0..30)
        .map(|i| {
            edge(
                &format!("client-{:02}", 29 - i),
                "nginx",
                80,
                &format!("2026-11-24T00:00:{i:02}Z"),
            )
        })
        .collect();
    let limited = EdgeRows::new(&edges, 39);
    assert_eq!((limited.rows.len(), limited.overflow_rows), (7, 23));
    assert_eq!(limited.rows[0].labels.client.workload, "client-23");
    assert_eq!(limited.overflow.unwrap().connections, 23 * 23);
    let metrics = metrics(&sample(&edges, 39));
    let other = ("client_workload", "(other)");
    assert_eq!(value(&metrics, "plainsight_edge_connections_total", other), 529.0);
    assert_eq!(value(&metrics, "plainsight_series_overflow_total", ("", "")), 23.0);
    let total: f64 = metrics
        .iter()
        .filter(|metric| metric.name == "plainsight_edge_connections_total")
        .map(|metric| metric.value)
        .sum();
    assert_eq!(total, f64::from(30 * 23), "nothing is left out");
}

#[test]
fn a_large_map_stays_within_a_scrape() {
    let edges: Vec<Edge> = (0..SERIES_LIMIT)
        .map(|i| edge(&format!("a-client-with-a-long-name-{i}.service"), "nginx.service", 443, DAY))
        .collect();
    let text = encode(&sample(&edges, SERIES_LIMIT)).unwrap();
    assert!(text.len() < 5_000_000, "{} bytes", text.len());
    let metrics = parse(&text).unwrap();
    let of_edges = metrics.iter().filter(|metric| metric.name.starts_with("plainsight_edge_"));
    let (overflow, own): (Vec<&Metric>, Vec<&Metric>) =
        of_edges.partition(|metric| metric.label("client_workload") == "(other)");
    assert!(own.len() <= SERIES_LIMIT, "{}", own.len());
    assert_eq!(overflow.len(), 7, "{overflow:?}");
    let refused = metrics.iter().filter(|metric| metric.label("kind") == "refused");
    assert_eq!(refused.map(|metric| metric.value).sum::<f64>(), 4.0 * SERIES_LIMIT as f64);
}

#[test]
fn udp_has_datagrams_in_place_of_connections() {
    let udp = over_udp(edge("curl", "resolver", 53, DAY));
    let metrics = metrics(&sample(&[udp], SERIES_LIMIT));
    let names: BTreeSet<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert!(!names.contains("plainsight_edge_connections_total"), "{names:?}");
    assert!(!names.contains("plainsight_edge_open_connections"), "{names:?}");
    let name = "plainsight_edge_datagrams_total";
    assert_eq!(value(&metrics, name, ("direction", "sent")), 10.0);
    assert_eq!(value(&metrics, name, ("direction", "received")), 9.0);
    let bytes = value(&metrics, "plainsight_edge_bytes_total", ("direction", "sent"));
    assert_eq!(bytes, 1009.0);
}

#[test]
fn udp_and_tcp_of_one_name_stay_within_the_limit() {
    let edges: Vec<Edge> = (0..20)
        .flat_map(|i| {
            let tcp = edge(&format!("client-{i:02}"), "resolver", 53, DAY);
            [tcp.clone(), over_udp(tcp)]
        })
        .collect();
    let metrics = metrics(&sample(&edges, 50));
    let of_edges = metrics.iter().filter(|metric| metric.name.starts_with("plainsight_edge_"));
    let own = of_edges.clone().filter(|metric| metric.label("client_workload") != "(other)");
    assert!(own.count() <= 50);
    let datagrams = of_edges.filter(|metric| metric.name == "plainsight_edge_datagrams_total");
    assert_eq!(datagrams.map(|metric| metric.value).sum::<f64>(), 20.0 * 19.0, "none is lost");
}

#[test]
fn the_order_of_edges_does_not_matter() {
    let mut edges: Vec<Edge> = (0..9).map(|i| edge(&format!("c{i}"), "nginx", 80, DAY)).collect();
    let text = encode(&sample(&edges, 25)).unwrap();
    edges.reverse();
    assert_eq!(encode(&sample(&edges, 25)).unwrap(), text);
}

#[test]
fn an_agent_that_has_seen_nothing_has_metrics() {
    let text = encode(&Sample::default()).unwrap();
    assert!(text.contains("plainsight_balance_error 0\n"), "{text}");
    parse(&text).unwrap();
}

#[test]
fn every_loss_has_a_series_before_it_happens() {
    let lost = lost(&Totals::default());
    let stages: Vec<&str> = lost.keys().map(String::as_str).collect();
    assert_eq!(stages, ["edges", "packet", "ring", "socket"]);
    assert_eq!(lost.values().flat_map(BTreeMap::values).sum::<u64>(), 0);
}

#[test]
fn what_is_not_of_the_format_is_an_error() {
    for line in [
        "a",
        "a{} ",
        "a{b} 1",
        "a{b=\"c} 1",
        "a{b=\"c\"d=\"e\"} 1",
        "1a 1",
        "a{b=\"\\t\"} 1",
        "a  1",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
    let parsed = parse("# HELP a b\n\na{b=\"c\\n\",d=\"\\\\\\\"\"} 1.5\n").unwrap();
    assert_eq!(parsed[0].label("b"), "c\n");
    assert_eq!((parsed[0].label("d"), parsed[0].value), ("\\\"", 1.5));
}

#[test]
fn findings_are_counted_by_what_they_are() {
    let mut sample = sample(&[], 7);
    sample.findings = [
        ((Kind::PlaintextHop, Severity::High, State::New), 3),
        ((Kind::PlaintextHop, Severity::High, State::Fixed), 5),
    ]
    .into();
    let metrics = metrics(&sample);
    for (state, count) in [("new", 3.0), ("fixed", 5.0)] {
        assert_eq!(value(&metrics, "plainsight_findings", ("state", state)), count);
    }
}
