//! Ports that several sockets share: each connection is with the process that has it.

use plainsight_tests::harness::{Namespace, Peer, Stage, Tally, one, report};

const CONNECTIONS: u64 = 211;
const QUESTION: u64 = 1009;
const ANSWER: u64 = 503;
const SERVERS: [&str; 3] = ["ps-one", "ps-two", "ps-three"];

/// The kernel spreads connections over the listeners of one port (`SO_REUSEPORT`, socket(7)).
#[test]
fn several_servers_on_one_port() {
    let stage = Stage::set();
    let namespace = Namespace::new();
    let place = stage.within(&namespace);
    let serve = |name| {
        let steps = format!("receive:{QUESTION},send:{ANSWER},drain");
        let command =
            format!("serve --listen 127.0.0.1:30011 --reuse-port yes --until told --steps {steps}");
        let mut peer = Peer::start(place, name, &command);
        (peer.address(), peer)
    };
    let servers: Vec<_> = SERVERS.into_iter().map(serve).collect();
    let to = servers[0].0;
    let steps = format!("send:{QUESTION},receive:{ANSWER}");
    let client = Peer::connect(place, "ps-client", to, CONNECTIONS, &steps).finish();
    assert_eq!(client.without_ports(), of_client(CONNECTIONS));
    let end = |(_, mut server): (_, Peer)| {
        server.proceed();
        server.finish()
    };
    let tallies: Vec<Tally> = servers.into_iter().map(end).collect();
    stage.agent.settle();
    let edges = stage.agent.edges();
    assert_eq!(edges.len(), SERVERS.len(), "an edge to each server: {edges:?}");
    for (name, tally) in SERVERS.into_iter().zip(&tallies) {
        let edge = one(&edges, "ps-client", name).expect("one edge");
        let Tally { connections, read, written, .. } = *tally;
        let expect = [connections, 0, read, written];
        report(
            &format!("{name} of three servers on a port: connections, open, bytes"),
            format!("{expect:?}"),
            format!("{:?}", edge.counts()),
        );
        assert_ne!(connections, 0, "the kernel gives each server some");
        assert_eq!(edge.counts(), expect, "{}", edge.0);
        assert_eq!(edge.reporters(), ["client", "server"], "{}", edge.0);
    }
    let total: u64 = tallies.iter().map(|tally| tally.connections).sum();
    assert_eq!(total, CONNECTIONS);
}

/// One port of the client's at a time in connections to two servers.
#[test]
fn one_port_to_two_servers() {
    let stage = Stage::set();
    let namespace = Namespace::new();
    let place = stage.within(&namespace);
    let listen = "127.0.0.1:0".parse().expect("an address");
    let serve = |name| Peer::serve(place, name, listen, 1, "receive:1009,send:503,drain");
    let servers = ["ps-one", "ps-two"].map(serve);
    let ask = |to| {
        let command = format!(
            "connect --to {to} --connections 1 --from 127.0.0.1 --from-port 30011 \
             --steps send:1009,wait,receive:503"
        );
        Peer::start(place, "ps-client", &command)
    };
    let mut clients = [servers[0].1, servers[1].1].map(ask);
    for client in &mut clients {
        client.waits();
    }
    for mut client in clients {
        client.proceed();
        assert_eq!(client.finish(), Tally { ports: vec![30_011], ..of_client(1) });
    }
    for (server, _) in servers {
        assert_eq!(server.finish(), Tally::of(1, QUESTION, ANSWER));
    }
    stage.agent.settle();
    let edges = stage.agent.edges();
    assert_eq!(edges.len(), 2, "an edge to each server: {edges:?}");
    for name in ["ps-one", "ps-two"] {
        let edge = one(&edges, "ps-client", name).expect("one edge");
        assert_eq!(edge.counts(), [1, 0, QUESTION, ANSWER], "{}", edge.0);
        assert_eq!(edge.reporters(), ["client", "server"], "{}", edge.0);
    }
}

fn of_client(connections: u64) -> Tally {
    Tally::of(connections, connections * ANSWER, connections * QUESTION)
}
