//! One cgroup floods the map of edges: what it does is folded, and its neighbours lose nothing.

use plainsight_tests::harness::{
    Edge, Metrics, Namespace, Peer, Place, Stage, Tally, count, is_guest, one, report,
};

/// Edges in the whole map; a cgroup may have an eighth of them.
const MOST_EDGES: u64 = 4096;
const QUOTA: u64 = MOST_EDGES / 8;

/// Cgroups that do their work beside the one that scans ports.
const BUSY: u64 = 20;
const CONNECTIONS: u64 = 23;

/// A scan tries so many ports of each address, none of which a client's own end gets by itself:
/// that would be a connection with itself.
const PORTS: u64 = 25_013;
const ADDRESSES: [&str; 4] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];

#[test]
fn a_port_scan_is_folded_and_its_neighbours_are_complete() {
    let ports = if is_guest() { 2_503 } else { count(5_003, PORTS) };
    let stage = Stage::with(&["--max-edges", &MOST_EDGES.to_string()]);
    let namespace = Namespace::new();
    let scanner = stage.cgroup.child("scan.service");
    let scan = |address: &str| {
        let to = format!("connect --to {address}:1 --connections {ports} --ports {ports}");
        Peer::start(Place::of(&scanner).within(&namespace), "ps-scan", &to)
    };
    // Before and beside the work of the others.
    let scans = ADDRESSES.map(scan);
    let units: Vec<_> =
        (0..BUSY).map(|n| stage.cgroup.child(&format!("busy{n}.service"))).collect();
    for unit in &units {
        work(Place::of(unit));
    }
    for scan in scans {
        let tally = scan.finish();
        assert_eq!(tally.failures.get("connection refused"), Some(&ports), "{tally:?}");
    }
    stage.agent.settle();
    let edges = stage.agent.edges();
    (0..BUSY).for_each(|n| expect_work(&edges, &format!("busy{n}.service")));
    expect_scan(&edges, &stage.agent.metrics(), ADDRESSES.len() as u64 * ports);
}

fn work(place: Place<'_>) {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) =
        Peer::serve(place, "ps-server", listen, CONNECTIONS, "receive:31,send:17,drain");
    let client = Peer::connect(place, "ps-client", to, CONNECTIONS, "send:31,receive:17").finish();
    assert_eq!(client.without_ports(), Tally::of(CONNECTIONS, 17 * CONNECTIONS, 31 * CONNECTIONS));
    server.finish();
}

fn expect_work(edges: &[Edge], unit: &str) {
    let edge = one(edges, unit, unit).expect("the edge of a unit with itself");
    assert_eq!(edge.counts(), [CONNECTIONS, 0, 31 * CONNECTIONS, 17 * CONNECTIONS], "{edge:?}");
    assert_eq!(edge.0["complete"], true, "{edge:?}");
}

/// All that was tried is there: on edges of its own as far as the quota goes, then on one.
fn expect_scan(edges: &[Edge], metrics: &Metrics, tried: u64) {
    let mine: Vec<&Edge> = edges.iter().filter(|edge| edge.client() == "scan.service").collect();
    let folded: Vec<&&Edge> = mine.iter().filter(|edge| edge.number("server_port") == 0).collect();
    let sum = |edges: &[&Edge]| edges.iter().map(|edge| edge.number("failures")).sum::<u64>();
    let of_one = folded.first().map_or(0, |edge| edge.number("failures"));
    report(
        &format!(
            "a scan of {tried} ports beside {BUSY} busy cgroups: on edges of its own + folded"
        ),
        format!("{QUOTA} + {}", tried - QUOTA),
        format!("{} + {of_one}", sum(&mine) - of_one),
    );
    assert_eq!((folded.len(), of_one), (1, tried - QUOTA), "{folded:?}");
    assert_eq!(folded[0].0["complete"], false, "{}", folded[0].0);
    assert_eq!((mine.len() as u64, sum(&mine)), (QUOTA + 1, tried));
    assert_eq!(metrics.get("plainsight_edges_folded_total", &[]), Ok(tried - QUOTA));
    let full = metrics.get("plainsight_lost_total", &[("stage", "edges"), ("reason", "full")]);
    assert_eq!(full, Ok(0));
    assert_eq!(metrics.get("plainsight_balance_error", &[]), Ok(0));
}
