//! Connections that change hands: whoever connected or listened stays their name, and each is
//! counted once.

use std::process;

use plainsight_tests::harness::{Edge, Peer, Stage, Tally, only, report};

const CONNECTIONS: u64 = 23;
const QUESTION: u64 = 1009;
const ANSWER: u64 = 503;

/// The process that listened accepts, hands the connection over (`SCM_RIGHTS`) and closes its own
/// descriptor; the kernel's socket stays the listener's child.
#[test]
fn an_accepted_connection_is_handed_over() {
    let stage = Stage::set();
    let name = format!("plainsight-test-{}", process::id());
    let steps = format!("receive:{QUESTION},send:{ANSWER},drain");
    let take = format!("take --as {name} --connections {CONNECTIONS} --steps {steps}");
    let mut back = Peer::start(stage.place(), "ps-back", &take);
    back.waits();
    let serve = format!("serve --listen 127.0.0.1:0 --connections {CONNECTIONS} --hand-to {name}");
    let mut front = Peer::start(stage.place(), "ps-front", &serve);
    let to = front.address();
    let steps = format!("send:{QUESTION},receive:{ANSWER}");
    let client = Peer::connect(stage.place(), "ps-client", to, CONNECTIONS, &steps).finish();
    assert_eq!(client.without_ports(), of_client());
    assert_eq!(front.finish(), Tally::of(CONNECTIONS, 0, 0));
    assert_eq!(back.finish(), of_server());
    check(&stage, "handed over after accept", "ps-client", "ps-front");
}

/// The parent connects, a child of another name writes and reads, and the parent closes before.
#[test]
fn a_connection_is_inherited() {
    let stage = Stage::set();
    let listen = "127.0.0.1:0".parse().expect("an address");
    let steps = format!("receive:{QUESTION},send:{ANSWER},drain");
    let (server, to) = Peer::serve(stage.place(), "ps-server", listen, CONNECTIONS, &steps);
    let steps = format!("fork:ps-child,send:{QUESTION},receive:{ANSWER}");
    let client = Peer::connect(stage.place(), "ps-parent", to, CONNECTIONS, &steps).finish();
    assert_eq!(client.without_ports(), of_client());
    assert_eq!(server.finish(), of_server());
    check(&stage, "inherited by the client's child", "ps-parent", "ps-server");
}

/// The same on the other side: a server that forks for each connection.
#[test]
fn an_accepted_connection_is_inherited() {
    let stage = Stage::set();
    let listen = "127.0.0.1:0".parse().expect("an address");
    let steps = format!("fork:ps-worker,receive:{QUESTION},send:{ANSWER},drain");
    let (server, to) = Peer::serve(stage.place(), "ps-forking", listen, CONNECTIONS, &steps);
    let steps = format!("send:{QUESTION},receive:{ANSWER}");
    let client = Peer::connect(stage.place(), "ps-client", to, CONNECTIONS, &steps).finish();
    assert_eq!(client.without_ports(), of_client());
    assert_eq!(server.finish(), of_server());
    check(&stage, "inherited by the server's child", "ps-client", "ps-forking");
}

/// A parent closes while its child still holds the connection: it is open, and ends once.
#[test]
fn a_connection_lasts_as_long_as_its_last_holder() {
    let stage = Stage::set();
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) = Peer::serve(stage.place(), "ps-server", listen, 1, "receive:31,drain");
    let steps = "send:31,fork:ps-child,wait";
    let mut client = Peer::connect(stage.place(), "ps-parent", to, 1, steps);
    client.waits();
    stage.agent.scan();
    let open = |edges: &[Edge]| only(edges, "ps-parent", "ps-server").map(Edge::counts);
    let [connections, still_open, ..] = open(&stage.agent.edges()).expect("one edge");
    assert_eq!((connections, still_open), (1, 1));
    client.proceed();
    assert_eq!((client.finish().written, server.finish().read), (31, 31));
    stage.agent.settle();
    assert_eq!(open(&stage.agent.edges()), Ok([1, 0, 31, 0]));
}

fn of_client() -> Tally {
    Tally::of(CONNECTIONS, CONNECTIONS * ANSWER, CONNECTIONS * QUESTION)
}

fn of_server() -> Tally {
    Tally::of(CONNECTIONS, CONNECTIONS * QUESTION, CONNECTIONS * ANSWER)
}

fn check(stage: &Stage, what: &str, client: &str, server: &str) {
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = only(&edges, client, server).expect("one edge");
    let expect = [CONNECTIONS, 0, CONNECTIONS * QUESTION, CONNECTIONS * ANSWER];
    report(
        &format!("{what}: connections, open, bytes"),
        format!("{expect:?}"),
        format!("{:?}", edge.counts()),
    );
    assert_eq!(edge.counts(), expect, "{}", edge.0);
    assert_eq!(edge.reporters(), ["client", "server"], "{}", edge.0);
    assert_eq!(edge.number("failures"), 0, "{}", edge.0);
}
