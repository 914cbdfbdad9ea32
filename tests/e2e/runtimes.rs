//! Containers by the names that their runtimes gave them, without asking a runtime.

use std::{collections::BTreeSet, process::Command};

use plainsight_tests::harness::{Container, Edge, Namespace, Peer, Stage, count, one, report, run};
use serde_json::Value;

const QUESTION: u64 = 1009;
const ANSWER: u64 = 503;

/// `runc run`, each of one program name, so that only the containers tell them apart, and beside
/// them the same program in none.
#[test]
fn containers_of_runc_have_their_names() {
    let stage = Stage::set();
    let namespace = Namespace::new();
    let pairs = count(3, 101);
    let mut expect = BTreeSet::new();
    let mut listed = BTreeSet::new();
    for _ in 0..pairs {
        let [front, back] = ["ps-front", "ps-back"].map(|name| Container::new(name, &stage.cgroup));
        let (server, to) = serve(&back, &namespace, 1);
        let arguments = format!("{},wait", connect(to, 1));
        let mut client = front.run(&namespace, "ps-same", &arguments);
        client.waits();
        // Both are there while the agent looks. What is gone sooner has the name of its process.
        let named = |edges: &[Edge]| one(edges, front.id(), back.id()).map(|_| ());
        stage.agent.edges_until("an edge between two containers", named);
        listed.extend(names_by_runc());
        client.proceed();
        assert_eq!(client.finish().connections, 1);
        server.finish();
        expect.insert((front.id().to_owned(), back.id().to_owned(), 1));
    }
    let (server, to) = Peer::serve(
        stage.within(&namespace),
        "ps-same",
        "127.0.0.1:0".parse().expect("an address"),
        1,
        &server_steps(),
    );
    let client = Peer::connect(stage.within(&namespace), "ps-same", to, 1, &client_steps());
    assert_eq!((client.finish().connections, server.finish().connections), (1, 1));
    stage.agent.settle();
    let edges = stage.agent.edges();
    let found: BTreeSet<_> = edges
        .iter()
        .filter(|edge| edge.0["client"]["kind"] == "container")
        .map(|edge| {
            (edge.client().to_owned(), edge.server().to_owned(), edge.number("connections"))
        })
        .collect();
    let wrong = found.difference(&expect).count() + expect.difference(&found).count();
    report(&format!("edges between {} containers of runc, wrongly named", 2 * pairs), "0", wrong);
    assert_eq!(found, expect);
    // Whoever was running when runc was asked is one of those that runc lists.
    let names = edges.iter().flat_map(|edge| [edge.client(), edge.server()]);
    let known: BTreeSet<&str> = names.filter(|name| *name != "ps-same").collect();
    assert!(listed.iter().all(|name| known.contains(name.as_str())), "{listed:?}, {known:?}");
    let outside = one(&edges, "ps-same", "ps-same").expect("one edge");
    assert_eq!(outside.0["client"]["kind"], "process", "{}", outside.0);
    for edge in edges.iter().filter(|edge| edge.client() != "ps-same") {
        check(edge);
    }
}

/// A process that `runc exec` starts belongs to the container, wherever runc itself was started.
#[test]
fn what_runc_executes_is_its_container() {
    let stage = Stage::set();
    let namespace = Namespace::new();
    let connections = count(7, 101);
    let container = Container::new("ps-one", &stage.cgroup);
    let (server, to) = serve(&container, &namespace, connections);
    for _ in 0..connections {
        assert_eq!(
            container.exec(&namespace, "ps-client", &connect(to, 1)).finish().connections,
            1
        );
    }
    server.finish();
    container.remove();
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = one(&edges, container.id(), container.id()).expect("one edge");
    report(
        "connections of runc exec on the edge of its container",
        connections,
        edge.number("connections"),
    );
    assert_eq!(edges.len(), 1, "{edges:?}");
    assert_eq!(edge.number("connections"), connections, "{}", edge.0);
    check(edge);
}

fn check(edge: &Edge) {
    for end in ["client", "server"] {
        let workload = &edge.0[end];
        let found = ["kind", "matched_by", "confidence"].map(|key| workload[key].as_str());
        assert_eq!(found, [Some("container"), Some("cgroup"), Some("high")], "{}", edge.0);
    }
}

/// Names of the containers that runc knows of and that are this test's.
fn names_by_runc() -> Vec<String> {
    let listed = run(Command::new("runc").args(["list", "--format", "json"]));
    let listed: Value = serde_json::from_str(&listed.stdout).expect("runc lists containers");
    let suffix = format!("-{}-", std::process::id());
    let names = listed.as_array().into_iter().flatten().filter_map(|one| one["id"].as_str());
    names.filter(|name| name.contains(&suffix)).map(str::to_owned).collect()
}

fn serve(
    container: &Container,
    namespace: &Namespace,
    connections: u64,
) -> (Peer, std::net::SocketAddr) {
    let steps = server_steps();
    let arguments =
        format!("serve --listen 127.0.0.1:0 --connections {connections} --steps {steps}");
    let mut peer = container.run(namespace, "ps-same", &arguments);
    let address = peer.address();
    (peer, address)
}

fn connect(to: std::net::SocketAddr, connections: u64) -> String {
    format!("connect --to {to} --connections {connections} --steps {}", client_steps())
}

fn server_steps() -> String {
    format!("receive:{QUESTION},send:{ANSWER},drain")
}

fn client_steps() -> String {
    format!("send:{QUESTION},receive:{ANSWER}")
}
