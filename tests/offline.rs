//! Recorded counts through core and every exit, compared with checked-in text.
//!
//! `UPDATE_EXPECT=1` writes the text anew; what changed is then for the reviewer to see.

use std::{env, fs, path::PathBuf, sync::Arc, time::Duration};

use plainsight::{
    export::{self, EdgeRows, MapFill, Open, ProcessUse, SERIES_LIMIT, Sample, Scans, prometheus},
    serve::Snapshot,
    view::{self, Style, scan::Scan},
};
use plainsight_core::{
    finding::{Asked, Coverage, Findings, Report},
    flow::{
        Held, Totals, balance,
        handshakes::Read,
        link::{Links, Observed},
    },
    graph::{self, Edge},
};
use plainsight_ebpf::abi::{counters::Counter, edge::LATE};
use plainsight_tests::{harness::Metrics, recording::Recording};

#[test]
fn the_map() {
    let recording = Recording::read();
    compare("edges.json", &(pretty(&edges(&recording)) + "\n"));
}

#[test]
fn the_map_in_another_order_is_the_same() {
    let mut recording = Recording::read();
    let expect = pretty(&edges(&recording));
    recording.halves.reverse();
    assert_eq!(pretty(&edges(&recording)), expect);
    // A prime step visits all of them in an order that is neither.
    let count = recording.halves.len();
    recording.halves = (0..count).map(|at| recording.halves[at * 7 % count]).collect();
    assert_eq!(pretty(&edges(&recording)), expect);
}

#[test]
fn records() {
    let recording = Recording::read();
    let lines = recording.records().into_iter().map(|record| pretty(&record) + "\n");
    compare("records.json", &lines.collect::<String>());
}

#[test]
fn the_metrics_page() {
    let recording = Recording::read();
    let page = prometheus::encode(&sample(&recording, SERIES_LIMIT)).expect("a page");
    Metrics::parse(&page).expect("a page of the format");
    compare("metrics.txt", &page);
}

#[test]
fn a_metrics_page_beyond_its_limit() {
    let recording = Recording::read();
    let limited = prometheus::encode(&sample(&recording, 1)).expect("a page");
    let whole = prometheus::encode(&sample(&recording, SERIES_LIMIT)).expect("a page");
    let [limited, whole] =
        [limited, whole].map(|page| Metrics::parse(&page).expect("a page of the format"));
    for name in [
        "plainsight_edge_connections_total",
        "plainsight_edge_bytes_total",
        "plainsight_edge_datagrams_total",
    ] {
        assert_eq!(limited.get(name, &[]), whole.get(name, &[]), "{name} adds up");
    }
    assert!(limited.get("plainsight_series_overflow_total", &[]).expect("a count") > 0);
}

#[test]
fn the_screen_of_map() {
    let recording = Recording::read();
    compare("map.txt", &view::map::text(&snapshot(&recording), Style::default()));
}

#[test]
fn the_screen_of_scan() {
    let recording = Recording::read();
    let report = report(&recording);
    let scan = Scan {
        host: "erp01".into(),
        kernel: "6.1.0-50-cloud-amd64".into(),
        duration: Duration::from_secs(60),
        nothing_left: true,
        findings: report.findings,
        expected_plaintext: report.expected_plaintext,
        not_proven: report.not_proven,
        not_seen: vec!["bridge br0 forwards".into()],
        map: snapshot(&recording),
    };
    compare("scan.txt", &view::scan::text(&scan, Style::default()));
}

#[test]
fn the_findings() {
    let report = report(&Recording::read());
    compare("findings.json", &(pretty(&report) + "\n"));
    compare("findings.txt", &view::findings::text(&report, Style::default()));
}

#[test]
fn the_findings_of_another_order_are_the_same() {
    let recording = Recording::read();
    let mut edges = edges(&recording);
    let expect = pretty(&report_of(&edges, &recording));
    edges.reverse();
    assert_eq!(pretty(&report_of(&edges, &recording)), expect);
}

#[test]
fn hostile_names_reach_no_terminal() {
    let recording = Recording::read();
    let snapshot = snapshot(&recording);
    let has_control = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    let names: Vec<&str> = snapshot.edges.iter().map(|edge| edge.client.name.as_str()).collect();
    assert!(names.iter().any(|name| has_control(name)), "the recording has a hostile name");
    assert!(!has_control(&view::map::text(&snapshot, Style::default())));
    let report = report(&recording);
    let clients = report.findings.iter().flat_map(|finding| &finding.clients);
    assert!(clients.map(|client| client.name.as_str()).any(has_control), "a finding has it, too");
    assert!(!has_control(&view::findings::text(&report, Style::default())));
}

#[test]
fn the_recording_balances() {
    let recording = Recording::read();
    let balance = balance(&totals(&recording), &Held::of(&recording.halves));
    assert_eq!((balance.error(), balance.open()), (0, 5));
}

fn edges(recording: &Recording) -> Vec<Edge> {
    let Recording { halves, directory, clock, .. } = recording;
    let now = clock.time(recording.taken_ns);
    let links = Links { observed: &Observed::new(), declared: &[], now };
    graph::edges(halves, directory, &Read::default(), &links, clock)
}

/// What is wrong with these hops, as an agent finds it that was there from the start.
fn report(recording: &Recording) -> Report {
    report_of(&edges(recording), recording)
}

fn report_of(edges: &[Edge], recording: &Recording) -> Report {
    let since = recording.clock.time(0);
    let mut findings = Findings::new(Asked::default(), 1009, since);
    let coverage = Coverage { since, lost: 3 };
    findings.update(edges, recording.clock.time(recording.taken_ns), &coverage);
    findings.report()
}

/// Totals as the hooks would have counted them.
fn totals(recording: &Recording) -> Totals {
    let mut totals = Totals::default();
    for half in &recording.halves {
        let counters = &half.counters;
        totals.add(Counter::Opened, half.connections());
        totals.add(Counter::Closed, counters.closed);
        totals.add(Counter::Failed, half.failures());
        totals.add(Counter::SentBytes, counters.sent_bytes);
        totals.add(Counter::ReceivedBytes, counters.received_bytes);
        totals.add(Counter::DatagramsSent, counters.sent_datagrams);
        totals.add(Counter::DatagramsReceived, counters.received_datagrams);
        let is_paired = half.peer().is_some();
        totals.add(Counter::Paired, if is_paired { half.connections() } else { 0 });
        let is_late = half.key.flags & LATE != 0;
        totals.add(Counter::Adopted, if is_late { half.connections() } else { 0 });
    }
    totals.add(Counter::Folded, 499);
    totals.add(Counter::RingFullConnection, 3);
    totals
}

fn snapshot(recording: &Recording) -> Snapshot {
    let totals = totals(recording);
    Snapshot {
        edges: edges(recording),
        complete: true,
        lost: export::lost(&totals),
        taken_at: recording.clock.time(recording.taken_ns),
    }
}

fn sample(recording: &Recording, limit: usize) -> Sample {
    let totals = totals(recording);
    Sample {
        edges: EdgeRows::new(&edges(recording), limit),
        lost: export::lost(&totals),
        totals,
        maps: vec![MapFill {
            name: "EDGES",
            entries: Some(recording.halves.len() as u64),
            capacity: 131_072,
            memory_bytes: 28_311_552,
        }],
        events_received: [("first_seen", 17), ("connection", 46)].into(),
        balance_error: 0,
        open: Some(Open { programs: 7, sockets: 7, unexplained: 0, without_socket: 0 }),
        scans: Scans { count: 61, seconds: 0.5 },
        filters: 1,
        clients_cut_off: 0,
        canary: None,
        findings: export::findings(&report(recording)),
        findings_refused: 0,
        clients_forgotten: 0,
        state_failures: 0,
        listeners: Arc::default(),
        names: export::Names::default(),
        process: Some(ProcessUse { resident_bytes: 9_437_184, cpu_seconds: 0.25 }),
    }
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("values are JSON")
}

/// Compares with the fixture, or writes it.
fn compare(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let expect = fs::read_to_string(&path).unwrap_or_default();
    let pairs = expect.lines().zip(text.lines()).enumerate();
    for (number, (wanted, found)) in pairs {
        assert_eq!(found, wanted, "{name}, line {}: UPDATE_EXPECT=1 accepts it", number + 1);
    }
    assert_eq!(text.len(), expect.len(), "{name} has another length: UPDATE_EXPECT=1 accepts it");
}
