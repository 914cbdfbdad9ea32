//! Records of single connections, for those who ask: the filter works in the kernel.

use std::{collections::BTreeSet, net::SocketAddr};

use plainsight_tests::harness::{Observer, Peer, Place, Record, Stage, Tally, report};

const CONNECTIONS: u64 = 23;
const QUESTION: u64 = 1009;
const ANSWER: u64 = 2003;

#[test]
fn nobody_asks_and_nothing_is_recorded() {
    let stage = Stage::set();
    let server = serve(&stage, "ps-server", "127.0.0.1:0", CONNECTIONS);
    let tally = ask(&stage, "ps-client", server.1, CONNECTIONS);
    assert_eq!((tally.connections, server.0.finish().connections), (CONNECTIONS, CONNECTIONS));
    stage.agent.settle();
    let metrics = stage.agent.metrics();
    assert_eq!(metrics.get("plainsight_records_wanted_total", &[]), Ok(0));
    let events = [("kind", "connection")];
    assert_eq!(metrics.get("plainsight_events_received_total", &events), Ok(0));
    let recent = stage.agent.get("/api/v1/flows").json();
    assert_eq!(recent["flows"].as_array().map(Vec::len), Some(0));
}

#[test]
fn by_port() {
    let stage = Stage::set();
    let (other, unasked) = serve(&stage, "ps-other", "127.0.0.1:0", CONNECTIONS);
    let (server, asked) = serve(&stage, "ps-server", "127.0.0.1:0", CONNECTIONS + 1);
    let mut observer = Observer::start(&stage.agent, &["--port", &asked.port().to_string()]);
    ask(&stage, "ps-client", unasked, CONNECTIONS);
    other.finish();
    let mut clients = ask(&stage, "ps-client", asked, CONNECTIONS).ports;
    let records = observer.records(2 * CONNECTIONS);
    check(&records, &clients, asked);
    // Whatever was on its way before this one is here before it.
    clients.extend(ask(&stage, "ps-client", asked, 1).ports);
    check(&observer.records(2 * CONNECTIONS + 2), &clients, asked);
    report("records of 24 connections with a filter on their port", 48, 2 * CONNECTIONS + 2);
    server.finish();
    observer.end(&stage.agent);
    assert_nothing_lost(&stage);
}

#[test]
fn by_network() {
    let stage = Stage::set();
    for (network, listen, other) in [
        ("127.0.0.0/30", "127.0.0.1:0", "127.0.0.77:0"),
        ("::1/128", "[::1]:0", "127.0.0.77:0"),
        ("127.0.0.77", "127.0.0.77:0", "[::1]:0"),
    ] {
        let (server, asked) = serve(&stage, "ps-server", listen, CONNECTIONS);
        // Both ends of a connection to it would have addresses outside of the network.
        let (unwanted, unasked) = serve(&stage, "ps-other", other, CONNECTIONS);
        let mut observer = Observer::start(&stage.agent, &["--cidr", network]);
        let from = unasked.ip();
        let arguments = format!(
            "connect --to {unasked} --connections {CONNECTIONS} --from {from} --steps {}",
            question()
        );
        Peer::start(stage.place(), "ps-client", &arguments).finish();
        unwanted.finish();
        let clients = ask(&stage, "ps-client", asked, CONNECTIONS).ports;
        check(&observer.records(2 * CONNECTIONS), &clients, asked);
        server.finish();
        observer.end(&stage.agent);
    }
    assert_nothing_lost(&stage);
}

#[test]
fn by_workload() {
    let stage = Stage::set();
    let (server, asked) = serve(&stage, "ps-server", "127.0.0.1:0", 2 * CONNECTIONS + 2);
    // It must have been seen before it can be asked for.
    ask(&stage, "ps-wanted", asked, 1);
    ask(&stage, "ps-unwanted", asked, 1);
    stage.agent.edges_until("both clients on the map", |edges| match edges.len() {
        2 => Ok(()),
        count => Err(format!("{count} edges")),
    });
    let mut observer = Observer::start(&stage.agent, &["--workload", "ps-wanted"]);
    ask(&stage, "ps-unwanted", asked, CONNECTIONS);
    let clients = ask(&stage, "ps-wanted", asked, CONNECTIONS).ports;
    let records = observer.records(2 * CONNECTIONS);
    check_between(&records, &clients, asked, "ps-wanted");
    server.finish();
    observer.end(&stage.agent);
    assert_nothing_lost(&stage);
}

/// A service that is restarted has a new cgroup each time, and the kernel has few filters.
#[test]
fn a_unit_that_is_restarted_is_followed() {
    const LIVES: u64 = 19;
    const UNIT: &str = "wanted.service";
    let stage = Stage::set();
    let (server, asked) = serve(&stage, "ps-server", "127.0.0.1:0", LIVES);
    let mut unit = stage.cgroup.child(UNIT);
    let mut observer = Observer::start(&stage.agent, &["--workload", UNIT]);
    let mut clients = Vec::new();
    for _ in 0..LIVES {
        let client = Peer::connect(Place::of(&unit), "ps-client", asked, 1, &question());
        clients.extend(client.finish().ports);
        drop(unit);
        unit = stage.cgroup.child(UNIT);
        // At a scan the agent looks at what became of the unit.
        stage.agent.scan();
        stage.agent.scan();
    }
    let records = observer.records(2 * LIVES);
    assert_eq!(client_ports(&records, "client"), clients.into_iter().map(u64::from).collect());
    let other = Observer::start(&stage.agent, &["--workload", UNIT]);
    other.end(&stage.agent);
    server.finish();
    observer.end(&stage.agent);
    drop(unit);
    assert_nothing_lost(&stage);
}

#[test]
fn two_observers_get_what_each_asked_for() {
    let stage = Stage::set();
    let (first, one) = serve(&stage, "ps-server", "127.0.0.1:0", CONNECTIONS);
    let (second, two) = serve(&stage, "ps-server", "127.0.0.1:0", CONNECTIONS);
    let mut narrow = Observer::start(&stage.agent, &["--port", &one.port().to_string()]);
    let mut wide = Observer::start(&stage.agent, &["--cidr", "127.0.0.0/8"]);
    let mut clients = ask(&stage, "ps-client", two, CONNECTIONS).ports;
    check(&wide.records(2 * CONNECTIONS), &clients, two);
    let more = ask(&stage, "ps-client", one, CONNECTIONS).ports;
    check(&narrow.records(2 * CONNECTIONS), &more, one);
    clients.extend(more);
    let records = wide.records(4 * CONNECTIONS);
    assert_eq!(client_ports(&records, "client"), clients.into_iter().map(u64::from).collect());
    first.finish();
    second.finish();
    narrow.end(&stage.agent);
    wide.end(&stage.agent);
    assert_nothing_lost(&stage);
}

/// A client half and a server half of each connection, and what is in them.
fn check(records: &[Record], clients: &[u16], server: SocketAddr) {
    check_between(records, clients, server, "ps-client");
}

fn check_between(records: &[Record], clients: &[u16], server: SocketAddr, client: &str) {
    let expect: BTreeSet<u64> = clients.iter().copied().map(u64::from).collect();
    assert_eq!(expect.len(), clients.len(), "every connection had a port of its own");
    for reporter in ["client", "server"] {
        assert_eq!(client_ports(records, reporter), expect, "by the {reporter}");
    }
    let mut cookies = BTreeSet::new();
    for record in records {
        check_fields(record, server, client);
        assert!(cookies.insert(record.0["flow"]["socket_cookie"].as_u64()), "{}", record.0);
    }
}

fn check_fields(record: &Record, server: SocketAddr, client: &str) {
    let json = &record.0;
    let (flow, detail) = (&json["flow"], &json["plainsight"]);
    assert_eq!(record.bytes(), [QUESTION, ANSWER], "{json}");
    assert_eq!((record.close(), record.ports()[1]), ("fin", server.port().into()), "{json}");
    assert_eq!(flow["IP"]["destination"], server.ip().to_string(), "{json}");
    assert_eq!(flow["IP"]["ipVersion"], if server.is_ipv4() { "IPv4" } else { "IPv6" });
    assert_eq!(flow["verdict"], "FORWARDED", "{json}");
    assert_eq!(detail["client"]["name"], client, "{json}");
    assert_eq!(detail["server"]["name"], "ps-server", "{json}");
    let (direction, name) = match record.reporter() {
        "client" => ("EGRESS", client),
        _ => ("INGRESS", "ps-server"),
    };
    assert_eq!(flow["traffic_direction"], direction, "{json}");
    assert_eq!(detail["process"]["name"], name, "{json}");
    assert_ne!(flow["socket_cookie"].as_u64(), Some(0), "{json}");
    let seconds = detail["duration_seconds"].as_f64().expect("a duration");
    assert!((0.0..60.0).contains(&seconds), "{json}");
    assert!(detail["edge"].as_str().is_some_and(|edge| edge.starts_with("e-")), "{json}");
}

fn client_ports(records: &[Record], reporter: &str) -> BTreeSet<u64> {
    let of_reporter = records.iter().filter(|record| record.reporter() == reporter);
    of_reporter.map(|record| record.ports()[0]).collect()
}

fn serve(stage: &Stage, name: &str, listen: &str, connections: u64) -> (Peer, SocketAddr) {
    let steps = format!("receive:{QUESTION},send:{ANSWER},drain");
    let listen = listen.parse().expect("an address");
    Peer::serve(stage.place(), name, listen, connections, &steps)
}

fn ask(stage: &Stage, name: &str, to: SocketAddr, connections: u64) -> Tally {
    let tally = Peer::connect(stage.place(), name, to, connections, &question()).finish();
    assert_eq!(tally.connections, connections, "{tally:?}");
    tally
}

fn question() -> String {
    format!("send:{QUESTION},receive:{ANSWER}")
}

fn assert_nothing_lost(stage: &Stage) {
    stage.agent.settle();
    let metrics = stage.agent.metrics();
    assert_eq!(metrics.get("plainsight_lost_total", &[]), Ok(0));
    let events = [("kind", "connection")];
    assert_eq!(
        metrics.get("plainsight_events_received_total", &events),
        metrics.get("plainsight_records_wanted_total", &[]),
    );
}
