//! Where netfilter sends connections and datagrams to another place than was asked for: edges say
//! what was asked for and what was reached.
//!
//! These tests stay on hosts that have Debian's nftables; virtual machines have none.

use std::{
    net::{IpAddr, SocketAddr},
    process::Command,
};

use plainsight_tests::harness::{
    Edge, Link, Namespace, Observer, Peer, Place, Stage, Tally, one, only, report, run,
};
use serde_json::{Value, json};

const CONNECTIONS: u64 = 23;
const QUESTION: u64 = 1009;
const ANSWER: u64 = 2003;
const DATAGRAMS: u64 = 29;

/// What is asked for, and where that leads.
#[derive(Clone, Copy)]
struct Route {
    what: &'static str,
    asked: SocketAddr,
    reached: SocketAddr,
}

/// Two namespaces, and rules for what leaves the near one.
struct World {
    stage: Stage,
    near: Namespace,
    far: Namespace,
    link: Link,
}

// === impl Route ===

impl Route {
    /// The address of a service that nobody has, and its server in the other namespace.
    fn service(link: &Link, is_v4: bool) -> Self {
        let (asked, reached): (&str, IpAddr) = match is_v4 {
            true => ("10.77.0.96:80", link.v4[1].into()),
            false => ("[fd00:77::96]:80", link.v6[1].into()),
        };
        let asked = asked.parse().expect("an address");
        Self { what: "DNAT of a service", asked, reached: SocketAddr::new(reached, 8080) }
    }

    /// A server in the other namespace, and the proxy in the near one that is reached instead.
    fn proxy(link: &Link, is_v4: bool) -> Self {
        let (asked, reached): (IpAddr, &str) = match is_v4 {
            true => (link.v4[1].into(), "127.0.0.1:15001"),
            false => (link.v6[1].into(), "[::1]:15001"),
        };
        let reached = reached.parse().expect("an address");
        Self { what: "REDIRECT to a proxy", asked: SocketAddr::new(asked, 7001), reached }
    }

    /// What makes it so, for both transports.
    fn rule(&self) -> String {
        let Self { asked, reached, .. } = self;
        let family = if asked.is_ipv4() { "ip" } else { "ip6" };
        let action = match reached.ip().is_loopback() {
            true => format!("redirect to :{}", reached.port()),
            false => format!("dnat {family} to {reached}"),
        };
        format!("{} {action}", matches(*asked))
    }

    /// As an edge and a record have it.
    fn reached(&self) -> Value {
        json!({ "address": self.reached.ip(), "port": self.reached.port() })
    }
}

// === impl World ===

impl World {
    fn new(rules: impl FnOnce(&Link) -> Vec<String>) -> Self {
        let (near, far) = (Namespace::new(), Namespace::new());
        let link = near.join(&far);
        translate(&near, &rules(&link));
        Self { stage: Stage::set(), near, far, link }
    }

    fn with(route: impl Fn(&Link) -> Route) -> (Self, Route) {
        let world = Self::new(|link| vec![route(link).rule()]);
        let route = route(&world.link);
        (world, route)
    }

    fn near(&self) -> Place<'_> {
        self.stage.within(&self.near)
    }

    fn far(&self) -> Place<'_> {
        self.stage.within(&self.far)
    }

    /// Where a route ends.
    fn end(&self, route: &Route) -> Place<'_> {
        if route.reached.ip().is_loopback() { self.near() } else { self.far() }
    }

    fn edges(&self) -> Vec<Edge> {
        self.stage.agent.settle();
        let metrics = self.stage.agent.metrics();
        assert_eq!(metrics.get("plainsight_lost_total", &[]), Ok(0));
        self.stage.agent.edges()
    }
}

#[test]
fn connections_to_a_service() {
    for is_v4 in [true, false] {
        connections(|link| Route::service(link, is_v4));
    }
}

#[test]
fn connections_to_a_proxy() {
    for is_v4 in [true, false] {
        connections(|link| Route::proxy(link, is_v4));
    }
}

#[test]
fn datagrams_to_a_service() {
    for is_v4 in [true, false] {
        datagrams(|link| Route::service(link, is_v4), "");
        datagrams(|link| Route::service(link, is_v4), " --connected yes");
    }
}

#[test]
fn datagrams_to_a_proxy() {
    for is_v4 in [true, false] {
        datagrams(|link| Route::proxy(link, is_v4), "");
        datagrams(|link| Route::proxy(link, is_v4), " --connected yes");
    }
}

/// Whether it is asked by the service's address or by its own, it is one server.
#[test]
fn a_server_with_two_addresses() {
    const DIRECT: u64 = 13;
    let (world, route) = World::with(|link| Route::service(link, true));
    let server = serve(world.far(), "ps-server", route.reached, CONNECTIONS + DIRECT);
    ask(&world, route.asked, CONNECTIONS);
    ask(&world, route.reached, DIRECT);
    server.finish();
    let edges = world.edges();
    let edge = only(&edges, "ps-client", "ps-server").expect("one edge");
    check_counts("a server with two addresses", edge, CONNECTIONS + DIRECT);
    check_reached(edge, route.reached());
}

/// A service whose servers take turns: each has what it served, although both are asked for alike.
#[test]
fn two_servers_of_one_service() {
    const EACH: u64 = 11;
    let asked: SocketAddr = "10.77.0.96:80".parse().expect("an address");
    let servers = |link: &Link| [8080, 8081].map(|port| SocketAddr::new(link.v4[1].into(), port));
    let world = World::new(|link| {
        let [one, two] = servers(link);
        let service = matches(asked);
        vec![
            format!("{service} numgen inc mod 2 0 dnat ip to {one}"),
            format!("{service} dnat ip to {two}"),
        ]
    });
    let [one_end, two_end] = servers(&world.link);
    let first = serve(world.far(), "ps-first", one_end, EACH);
    let second = serve(world.far(), "ps-second", two_end, EACH);
    ask(&world, asked, 2 * EACH);
    first.finish();
    second.finish();
    let edges = world.edges();
    assert_eq!(edges.len(), 2, "{edges:?}");
    for (server, reached) in [("ps-first", one_end), ("ps-second", two_end)] {
        let edge = one(&edges, "ps-client", server).expect("one edge");
        let route = Route { what: "one of two servers", asked, reached };
        check_counts(route.what, edge, EACH);
        check_places(edge, &route);
    }
}

/// The server is none of the agent's, so that only what the client asked for can tell who it is.
#[test]
fn a_service_that_is_elsewhere() {
    let (world, route) = World::with(|link| Route::service(link, true));
    let elsewhere = Place::default().within(&world.far);
    let server = serve(elsewhere, "ps-server", route.reached, CONNECTIONS);
    ask(&world, route.asked, CONNECTIONS);
    server.finish();
    let edges = world.edges();
    let edge = only(&edges, "ps-client", &route.asked.ip().to_string()).expect("one edge");
    check_counts("a service that is elsewhere", edge, CONNECTIONS);
    assert_eq!(edge.number("server_port"), u64::from(route.asked.port()), "{}", edge.0);
    assert_eq!(edge.reporters(), ["client"], "{}", edge.0);
    check_reached(edge, route.reached());
}

/// One socket asks a service and then its server too, which cannot be told apart by where the
/// packets go. The server is none of the agent's, so the client's half alone has to tell.
#[test]
fn a_service_and_its_server_asked_in_turn() {
    for order in [[0, 1, 2], [0, 2, 1]] {
        let (world, route) = World::with(|link| Route::service(link, true));
        let elsewhere = Place::default().within(&world.far);
        let other = SocketAddr::new(world.link.v4[1].into(), 7001);
        let (server, plain) = (echo(elsewhere, route.reached, 2), echo(elsewhere, other, 1));
        let places = order.map(|at| [route.asked, route.reached, other][at]);
        let to = places.map(|place| place.to_string()).join(",");
        let ask = format!("udp-ask --to {to} --datagrams {DATAGRAMS} --bytes 67");
        Peer::start(world.near(), "ps-client", &ask).finish();
        [server, plain].into_iter().for_each(|peer| _ = peer.finish());
        let edges = world.edges();
        assert_eq!(edges.len(), 3, "{edges:#?}");
        for place in places {
            let is_asked = |edge: &&Edge| {
                let found = (edge.text("server_address"), edge.number("server_port"));
                found == (&place.ip().to_string(), place.port().into())
            };
            let edge = edges.iter().find(is_asked).unwrap_or_else(|| panic!("{place}: {edges:?}"));
            let expect = [DATAGRAMS, DATAGRAMS, DATAGRAMS * 67, DATAGRAMS * 67];
            let title = format!("{place}, asked in turn of {to}: datagrams, bytes");
            report(&title, format!("{expect:?}"), format!("{:?}", edge.datagrams()));
            assert_eq!(edge.datagrams(), expect, "{edges:#?}");
        }
    }
}

/// Records tell it too, of both ends, and are asked for by the port that the client asked for.
fn connections(route: impl Fn(&Link) -> Route) {
    let (world, route) = World::with(route);
    let server = serve(world.end(&route), "ps-server", route.reached, CONNECTIONS);
    let port = route.asked.port().to_string();
    let mut observer = Observer::start(&world.stage.agent, &["--port", &port]);
    ask(&world, route.asked, CONNECTIONS);
    server.finish();
    let records = observer.records(2 * CONNECTIONS);
    for record in &records {
        assert_eq!(record.0["plainsight"]["reached"], route.reached(), "{}", record.0);
        assert_eq!(record.bytes(), [QUESTION, ANSWER], "{}", record.0);
    }
    observer.end(&world.stage.agent);
    let edges = world.edges();
    let edge = only(&edges, "ps-client", "ps-server").expect("one edge");
    check_counts(&format!("TCP, {}, {}", route.what, route.asked), edge, CONNECTIONS);
    check_places(edge, &route);
}

/// Answers come from the address that was asked for; the asking peer fails if one does not.
fn datagrams(route: impl Fn(&Link) -> Route, how: &str) {
    let (world, route) = World::with(route);
    let echo = echo(world.end(&route), route.reached, 1);
    let ask = format!("udp-ask --to {} --datagrams {DATAGRAMS} --bytes 67{how}", route.asked);
    let asked = Peer::start(world.near(), "ps-client", &ask).finish();
    let bytes = DATAGRAMS * 67;
    assert_eq!((asked, echo.finish()), (Tally::of(0, bytes, bytes), Tally::of(0, bytes, bytes)));
    let edges = world.edges();
    let edge = only(&edges, "ps-client", "ps-server").expect("one edge");
    let expect = [DATAGRAMS, DATAGRAMS, bytes, bytes];
    let title = format!("UDP{how}, {}, {}: datagrams, bytes", route.what, route.asked);
    report(&title, format!("{expect:?}"), format!("{:?}", edge.datagrams()));
    assert_eq!(edge.datagrams(), expect, "{}", edge.0);
    check_places(edge, &route);
}

fn check_counts(what: &str, edge: &Edge, connections: u64) {
    let expect = [connections, 0, connections * QUESTION, connections * ANSWER];
    let title = format!("{what}: connections, open, bytes");
    report(&title, format!("{expect:?}"), format!("{:?}", edge.counts()));
    assert_eq!(edge.counts(), expect, "{}", edge.0);
}

/// Asked for by this address, served at that port, and seen at both ends.
fn check_places(edge: &Edge, route: &Route) {
    assert_eq!(edge.text("server_address"), route.asked.ip().to_string(), "{}", edge.0);
    assert_eq!(edge.number("server_port"), u64::from(route.reached.port()), "{}", edge.0);
    assert_eq!(edge.reporters(), ["client", "server"], "{}", edge.0);
    check_reached(edge, route.reached());
}

fn check_reached(edge: &Edge, expect: Value) {
    let expect = Value::Array(vec![expect]);
    report("reached", &expect, &edge.0["reached"]);
    assert_eq!(edge.0["reached"], expect, "{}", edge.0);
    assert_eq!(edge.number("reached_more"), 0, "{}", edge.0);
}

/// Answers `DATAGRAMS` so many times.
fn echo(place: Place<'_>, listen: SocketAddr, times: u64) -> Peer {
    let echo = format!("udp-echo --listen {listen} --datagrams {}", times * DATAGRAMS);
    let mut peer = Peer::start(place, "ps-server", &echo);
    peer.address();
    peer
}

fn serve(place: Place<'_>, name: &str, listen: SocketAddr, connections: u64) -> Peer {
    let steps = format!("receive:{QUESTION},send:{ANSWER},drain");
    Peer::serve(place, name, listen, connections, &steps).0
}

fn ask(world: &World, to: SocketAddr, connections: u64) {
    let steps = format!("send:{QUESTION},receive:{ANSWER}");
    let client = Peer::connect(world.near(), "ps-client", to, connections, &steps).finish();
    let expect = Tally::of(connections, connections * ANSWER, connections * QUESTION);
    assert_eq!(client.without_ports(), expect);
}

/// What goes to this address and port.
fn matches(asked: SocketAddr) -> String {
    let family = if asked.is_ipv4() { "ip" } else { "ip6" };
    format!("{family} daddr {} meta l4proto {{ tcp, udp }} th dport {}", asked.ip(), asked.port())
}

/// Lets these rules translate what leaves a namespace (nft(8)).
fn translate(namespace: &Namespace, rules: &[String]) {
    let hook = "type nat hook output priority -100;";
    let rules = rules.join("\n");
    let table = format!("table inet plainsight {{\nchain out {{\n{hook}\n{rules}\n}}\n}}\n");
    let mut command = Command::new("nft");
    command.arg(&table);
    namespace.place(&mut command);
    let finished = run(&mut command);
    assert!(finished.status.success(), "{table}\n{}", finished.stderr);
}
