//! Corners of TCP, as scripted cases: what both ends do, and what edge and records have to say.
//!
//! The cases are in `fixtures/tcp-cases.json`. Each has a network namespace of its own. At a step
//! `wait` the two ends wait for each other. `counters` are the kernel's own (`/proc/net/netstat`)
//! and show that what the case is about has happened.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use plainsight_tests::harness::{
    Namespace, Observer, Peer, Place, Record, Stage, Tally, only, report, skip,
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    connections: u64,
    /// A file that only kernels have which know what the case is about.
    needs: Option<String>,
    #[serde(default)]
    sysctl: BTreeMap<String, String>,
    client: End,
    server: End,
    #[serde(default)]
    errors: Errors,
    #[serde(default)]
    counters: BTreeMap<String, u64>,
    edge: BTreeMap<String, Value>,
    /// How many ports the client had; by default one for each connection.
    ports: Option<u64>,
    records: Halves,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    flags: Option<String>,
    steps: String,
}

/// Errors that the ends have to see, by reason.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Errors {
    client: BTreeMap<String, u64>,
    server: BTreeMap<String, u64>,
}

/// What each end's record has to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Halves {
    client: Half,
    server: Half,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Half {
    close: String,
    bytes: [u64; 2],
}

const CASES: &str = include_str!("../fixtures/tcp-cases.json");

// === impl Case ===

impl Case {
    fn check(&self) {
        let namespace = Namespace::new();
        for (name, value) in &self.sysctl {
            namespace.set(name, value);
        }
        let stage = Stage::set();
        let place = stage.within(&namespace);
        let (server, to) = self.serve(place);
        let mut observer = Observer::start(&stage.agent, &["--port", &to.port().to_string()]);
        let before = self.counters(&namespace);
        let (asked, answered) = self.play(self.connect(place, to), server);
        let counted = self.counters(&namespace);
        let records = observer.records(2 * self.connections);
        stage.agent.settle();
        self.check_peers(&asked, &answered);
        self.check_counters(&before, &counted);
        self.check_edge(&stage, to);
        self.check_records(&records, &asked.ports, to);
        assert_eq!(stage.agent.metrics().get("plainsight_lost_total", &[]), Ok(0), "{}", self.case);
    }

    fn serve(&self, place: Place<'_>) -> (Peer, SocketAddr) {
        let End { flags, steps } = &self.server;
        let connections = self.connections;
        let command =
            format!("serve --listen 127.0.0.1:0 --connections {connections} --steps {steps}");
        let mut peer = Peer::start(place, "ps-server", &with(command, flags.as_deref()));
        let address = peer.address();
        (peer, address)
    }

    fn connect(&self, place: Place<'_>, to: SocketAddr) -> Peer {
        let End { flags, steps } = &self.client;
        let connections = self.connections;
        let command = format!("connect --to {to} --connections {connections} --steps {steps}");
        Peer::start(place, "ps-client", &with(command, flags.as_deref()))
    }

    fn play(&self, mut client: Peer, mut server: Peer) -> (Tally, Tally) {
        let waits = |end: &End| end.steps.split(',').filter(|step| *step == "wait").count() as u64;
        let meetings = waits(&self.client);
        assert_eq!(meetings, waits(&self.server), "{}: both ends wait or none", self.case);
        for _ in 0..meetings * self.connections {
            client.waits();
            server.waits();
            client.proceed();
            server.proceed();
        }
        (client.finish(), server.finish())
    }

    fn check_peers(&self, asked: &Tally, answered: &Tally) {
        let case = &self.case;
        for (tally, errors) in [(asked, &self.errors.client), (answered, &self.errors.server)] {
            assert_eq!((tally.connections, &tally.errors), (self.connections, errors), "{case}");
            assert!(tally.failures.is_empty(), "{case}: {tally:?}");
        }
        let mut ports = asked.ports.clone();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len() as u64, self.ports.unwrap_or(self.connections), "{case}");
    }

    fn counters(&self, namespace: &Namespace) -> BTreeMap<String, u64> {
        let all = namespace.counters();
        let counter = |name: &String| {
            let count = all.get(name).copied();
            (name.clone(), count.unwrap_or_else(|| panic!("{}: no counter {name}", self.case)))
        };
        self.counters.keys().map(counter).collect()
    }

    fn check_counters(&self, before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) {
        for (name, expect) in &self.counters {
            assert_eq!(after[name] - before[name], *expect, "{}: {name}", self.case);
        }
    }

    fn check_edge(&self, stage: &Stage, to: SocketAddr) {
        let edges = stage.agent.edges();
        let edge = only(&edges, "ps-client", "ps-server")
            .unwrap_or_else(|reason| panic!("{}: {reason}", self.case));
        let found: BTreeMap<_, _> =
            self.edge.keys().map(|key| (key.clone(), edge.0[key].clone())).collect();
        report(&self.case, json!(self.edge), json!(found));
        assert_eq!(found, self.edge, "{}: {}", self.case, edge.0);
        assert_eq!(edge.reporters(), ["client", "server"], "{}: {}", self.case, edge.0);
        assert_eq!(edge.number("server_port"), u64::from(to.port()), "{}: {}", self.case, edge.0);
        assert_eq!(edge.text("server_address"), to.ip().to_string(), "{}: {}", self.case, edge.0);
    }

    /// A record of each end of each connection, all of them as expected.
    fn check_records(&self, records: &[Record], ports: &[u16], to: SocketAddr) {
        let mut wanted: Vec<u64> = ports.iter().copied().map(u64::from).collect();
        wanted.sort_unstable();
        for (reporter, expect) in
            [("client", &self.records.client), ("server", &self.records.server)]
        {
            let of_end = || records.iter().filter(|record| record.reporter() == reporter);
            let mut found: Vec<u64> = of_end().map(|record| record.ports()[0]).collect();
            found.sort_unstable();
            assert_eq!(found, wanted, "{}: the {reporter}'s records", self.case);
            for record in of_end() {
                let half = Half { close: record.close().to_owned(), bytes: record.bytes() };
                assert_eq!(half, *expect, "{}: {reporter}: {}", self.case, record.0);
                assert_eq!(record.ports()[1], u64::from(to.port()), "{}", self.case);
                let detail = &record.0["plainsight"];
                let ends = [&detail["client"]["name"], &detail["server"]["name"]];
                assert_eq!(ends, ["ps-client", "ps-server"], "{}: {}", self.case, record.0);
            }
        }
    }
}

#[test]
fn half_closed() {
    check("the client finishes writing long before the server");
    check("the server finishes writing long before the client");
}

#[test]
fn reset() {
    check("the client resets, and all was acknowledged");
    check("the server resets, and all was acknowledged");
}

#[test]
fn closed_with_bytes_unread() {
    check("the client closes with bytes unread");
    check("the server closes with bytes unread");
}

#[test]
fn half_closed_and_reset_by_the_same_end() {
    check("the client finishes writing, then resets: its end reads as fin");
}

#[test]
fn half_closed_and_reset_by_the_other_end() {
    check("the client finishes writing, and the server resets");
}

#[test]
fn the_same_four_numbers_again() {
    check("a port that the server has in TIME_WAIT");
    check("a port that the client has in TIME_WAIT");
}

#[test]
fn fast_open_by_an_option() {
    check("data in the SYN, by TCP_FASTOPEN_CONNECT");
}

#[test]
fn fast_open_by_a_flag() {
    check("data in the SYN, by MSG_FASTOPEN");
}

#[test]
fn fast_open_without_a_cookie() {
    check("data in the SYN, to a server that asks for no cookie");
}

#[test]
fn mptcp() {
    check("MPTCP with one subflow");
}

#[test]
fn mptcp_at_one_end() {
    check("MPTCP to a server that has only TCP");
    check("TCP to a server that has MPTCP");
}

fn check(name: &str) {
    let cases: Vec<Case> = serde_json::from_str(CASES).expect("cases of this form");
    let case = cases.iter().find(|case| case.case == name);
    let case = case.unwrap_or_else(|| panic!("no case {name}"));
    match &case.needs {
        Some(file) if !Path::new(file).exists() => {
            skip(name, &format!("this kernel has no {file}"));
        }
        _ => case.check(),
    }
}

fn with(command: String, flags: Option<&str>) -> String {
    flags.iter().fold(command, |command, flags| format!("{command} {flags}"))
}
