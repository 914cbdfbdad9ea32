//! Records of single connections, for those who ask: the filter works in the kernel.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use plainsight_tests::harness::{Namespace, Observer, Peer, Place, Record, Stage, Tally, report};

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
    // Cgroups are looked for once a second at most. Before the agent knows this one it can only ask
    // for processes that are called like it.
    stage.agent.scan();
    stage.agent.scan();
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

/// Of a conversation over UDP there is a record when its socket is closed: the server has one
/// socket, and with it one conversation of which it has a record.
#[test]
fn by_transport() {
    let stage = Stage::set();
    let mut tcp = Observer::start(&stage.agent, &["--transport", "tcp"]);
    let mut udp = Observer::start(&stage.agent, &["--transport", "udp"]);
    let echo = format!("udp-echo --listen 127.0.0.1:0 --datagrams {CONNECTIONS}");
    let mut echo = Peer::start(stage.place(), "ps-echo", &echo);
    let asking = format!("udp-ask --to {} --datagrams 1 --bytes {QUESTION}", echo.address());
    let (server, asked) = serve(&stage, "ps-server", "127.0.0.1:0", CONNECTIONS);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        Peer::start(stage.place(), "ps-ask", &asking).finish();
        clients.extend(ask(&stage, "ps-client", asked, 1).ports);
    }
    echo.finish();
    server.finish();
    check(&tcp.records(2 * CONNECTIONS), &clients, asked);
    let records = udp.records(CONNECTIONS + 1);
    for record in &records {
        let json = &record.0;
        assert!(json["flow"]["l4"]["UDP"].is_object(), "{json}");
        let counts = ["datagrams_sent", "datagrams_received", "bytes_sent", "bytes_received"];
        let counts = counts.map(|key| json["plainsight"][key].as_u64());
        assert_eq!(counts, [1, 1, QUESTION, QUESTION].map(Some), "{json}");
        assert_eq!(record.close(), "closed", "{json}");
    }
    let of_client = records.iter().filter(|record| record.reporter() == "client").count();
    assert_eq!(of_client as u64, CONNECTIONS);
    report("records of 23 conversations over UDP beside 23 connections", 24, records.len());
    tcp.end(&stage.agent);
    udp.end(&stage.agent);
    assert_nothing_lost(&stage);
}

/// All at once, each of another security, and one that asks for what is known to be in the clear.
#[test]
fn by_security() {
    const CASES: [(&str, &str, &str); 4] = [
        ("ps-http", "say:http1-request,drain", "receive:36,say:http1-response"),
        ("ps-tls", "say:tls-client-hello,drain", "receive:261,say:tls-server-hello"),
        ("ps-ssh", "say:ssh,drain", "say:ssh,receive:15"),
        ("ps-any", "send:31,drain", "receive:31,send:31"),
    ];
    const FILTERS: [(&[&str], &[&str]); 6] = [
        (&["--plaintext"], &["ps-http"]),
        (&["--security", "none"], &["ps-http"]),
        (&["--security", "tls"], &["ps-tls"]),
        (&["--security", "ssh,unknown"], &["ps-any", "ps-ssh"]),
        (&["--security", "none,tls", "--plaintext"], &["ps-http"]),
        (&["--verdict", "allowed"], &["ps-any", "ps-http", "ps-ssh", "ps-tls"]),
    ];
    let stage = Stage::set();
    let observers: Vec<Observer> =
        FILTERS.iter().map(|(flags, _)| Observer::start(&stage.agent, flags)).collect();
    for (name, client, server) in CASES {
        let listen = "127.0.0.1:0".parse().expect("an address");
        let (answers, to) = Peer::serve(stage.place(), name, listen, CONNECTIONS, server);
        let asked = Peer::connect(stage.place(), "ps-client", to, CONNECTIONS, client).finish();
        assert!(asked.errors.is_empty() && answers.finish().errors.is_empty(), "{asked:?}");
    }
    for (mut observer, (flags, servers)) in observers.into_iter().zip(FILTERS) {
        let expect: BTreeMap<&str, u64> =
            servers.iter().map(|server| (*server, 2 * CONNECTIONS)).collect();
        let records = observer.records(2 * CONNECTIONS * servers.len() as u64);
        report(
            &format!("records with {}, by server", flags.join(" ")),
            format!("{expect:?}"),
            format!("{:?}", by_server(&records)),
        );
        assert_eq!(by_server(&records), expect);
        observer.end(&stage.agent);
    }
    assert_nothing_lost(&stage);
}

/// Just as many as there are, and one more.
#[test]
fn by_bytes() {
    let stage = Stage::set();
    let (server, asked) = serve(&stage, "ps-server", "127.0.0.1:0", CONNECTIONS);
    let fits = (QUESTION + ANSWER).to_string();
    let above = (QUESTION + ANSWER + 1).to_string();
    let mut fits = Observer::start(&stage.agent, &["--min-bytes", &fits]);
    let above = Observer::start(&stage.agent, &["--min-bytes", &above]);
    let clients = ask(&stage, "ps-client", asked, CONNECTIONS).ports;
    server.finish();
    check(&fits.records(2 * CONNECTIONS), &clients, asked);
    // What went to one of them went to both, or to none of them.
    assert_eq!(above.observed().records.len(), 0);
    stage.agent.settle();
    let wanted = stage.agent.metrics().get("plainsight_records_wanted_total", &[]);
    assert_eq!(wanted, Ok(2 * CONNECTIONS));
    fits.end(&stage.agent);
    above.end(&stage.agent);
}

/// Some connections last for longer than the agent takes from one look to the next. Which ones
/// last how long is told by an observer that asks for all.
#[test]
fn by_duration() {
    const LONG: u64 = 7;
    const LEAST: f64 = 0.5;
    let stage = Stage::set();
    let mut all = Observer::start(&stage.agent, &["--transport", "tcp"]);
    let mut long = Observer::start(&stage.agent, &["--min-duration", "500ms"]);
    let (server, asked) = serve(&stage, "ps-server", "127.0.0.1:0", CONNECTIONS + LONG);
    ask(&stage, "ps-client", asked, CONNECTIONS);
    for _ in 0..LONG {
        let steps = format!("{},wait", question());
        let mut held = Peer::connect(stage.place(), "ps-held", asked, 1, &steps);
        held.waits();
        // One look is over as soon as it has begun; the next is a second later.
        stage.agent.scan();
        stage.agent.scan();
        held.proceed();
        held.finish();
    }
    server.finish();
    let all = all.records(2 * (CONNECTIONS + LONG));
    let lasted = |record: &&Record| {
        record.0["plainsight"]["duration_seconds"].as_f64().expect("a duration") >= LEAST
    };
    let expect: BTreeSet<_> = all.iter().filter(lasted).map(cookie).collect();
    assert!(expect.len() as u64 >= 2 * LONG, "{all:#?}");
    let found = long.records(expect.len() as u64);
    assert_eq!(found.iter().map(cookie).collect::<BTreeSet<_>>(), expect);
    report("records of 7 long connections among 30, with --min-duration", 2 * LONG, found.len());
    long.end(&stage.agent);
}

/// By chance: six standard deviations are exceeded once in five hundred million times.
#[test]
fn by_sample() {
    const MANY: u64 = 7001;
    const ONE_IN: u64 = 7;
    let stage = Stage::set();
    let inside = Namespace::new();
    let place = stage.within(&inside);
    let mut some = Observer::start(&stage.agent, &["--sample", &ONE_IN.to_string()]);
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, asked) = Peer::serve(place, "ps-server", listen, MANY, "receive:31,drain");
    Peer::connect(place, "ps-client", asked, MANY, "send:31,shutdown,drain").finish();
    server.finish();
    stage.agent.settle();
    let wanted = stage.agent.metrics().get("plainsight_records_wanted_total", &[]);
    let wanted = wanted.expect("a count");
    let records = some.records(wanted);
    let (ends, one_in) = ((2 * MANY) as f64, ONE_IN as f64);
    let (mean, deviation) = (ends / one_in, (ends * (one_in - 1.0)).sqrt() / one_in);
    let (low, high) = (6.0_f64.mul_add(-deviation, mean), 6.0_f64.mul_add(deviation, mean));
    report(
        &format!("records of {MANY} connections, one end of {ONE_IN}"),
        format!("{low:.0} to {high:.0}"),
        records.len(),
    );
    assert!((low..=high).contains(&(records.len() as f64)), "{}", records.len());
    assert_eq!(records.iter().map(cookie).collect::<BTreeSet<_>>().len(), records.len());
    some.end(&stage.agent);
    assert_nothing_lost(&stage);
}

/// Filters are in force, and no connection fits one: none crosses to the agent.
#[test]
fn what_fits_no_filter_is_not_recorded() {
    const FILTERS: [&[&str]; 8] = [
        &["--port", "1"],
        &["--cidr", "192.0.2.0/24"],
        &["--transport", "udp"],
        &["--security", "tls,quic,ssh"],
        &["--verdict", "denied"],
        &["--verdict", "would_deny"],
        &["--min-duration", "1h"],
        &["--min-bytes", "18446744073709551615"],
    ];
    let stage = Stage::set();
    let (server, asked) = serve(&stage, "ps-server", "127.0.0.1:0", CONNECTIONS + 1);
    let observers: Vec<Observer> =
        FILTERS.iter().map(|flags| Observer::start(&stage.agent, flags)).collect();
    ask(&stage, "ps-client", asked, CONNECTIONS);
    let port = asked.port().to_string();
    stage.agent.settle();
    let wanted = || stage.agent.metrics().get("plainsight_records_wanted_total", &[]);
    report("records wanted by 8 filters that fit nothing", 0, wanted().expect("a count"));
    assert_eq!(wanted(), Ok(0));
    let closed = stage.agent.metrics().get("plainsight_connections_closed_total", &[]);
    assert_eq!(closed, Ok(2 * CONNECTIONS));
    let mut fits = Observer::start(&stage.agent, &["--port", &port]);
    let clients = ask(&stage, "ps-client", asked, 1).ports;
    check(&fits.records(2), &clients, asked);
    server.finish();
    stage.agent.settle();
    assert_eq!(wanted(), Ok(2));
    for observer in observers {
        assert_eq!(observer.observed().records.len(), 0);
    }
    assert_nothing_lost(&stage);
}

fn by_server(records: &[Record]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.server()).or_default() += 1;
    }
    counts
}

fn cookie(record: &Record) -> u64 {
    record.0["flow"]["socket_cookie"].as_u64().expect("a cookie")
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
