//! Connects that come to nothing, by kind, on their edges.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, getsockname, socket,
};
use plainsight_tests::harness::{Edge, Peer, Place, Stage, Tally, one, report};

const REFUSED: u64 = 23;
const TIMED_OUT: u64 = 5;
const ABANDONED: u64 = 7;

#[test]
fn refused_connects() {
    let stage = Stage::set();
    for (name, ask) in [("ps-refused4", "127.0.0.1"), ("ps-refused6", "::1")] {
        let (_kept, address) = taken(SocketAddr::new(ask.parse().expect("an address"), 0));
        let tally = Peer::connect(stage.place(), name, address, REFUSED, "none").finish();
        assert_eq!(failed(&tally, "connection refused"), REFUSED, "{tally:?}");
        stage.agent.settle();
        let edges = stage.agent.edges();
        check(one(&edges, name, ask).expect("one edge"), "refused", REFUSED, address);
    }
}

#[test]
fn timed_out_connects() {
    let stage = Stage::set();
    let (mut full, address) = full();
    let arguments =
        format!("connect --to {address} --connections {TIMED_OUT} --syn-retries 1 --parallel yes");
    let tally = Peer::start(stage.place(), "ps-timeout", &arguments).finish();
    assert_eq!(failed(&tally, "timed out"), TIMED_OUT, "{tally:?}");
    full.proceed();
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = one(&edges, "ps-timeout", "127.0.0.1").expect("one edge");
    check(edge, "timeout", TIMED_OUT, address);
}

#[test]
fn abandoned_connects() {
    let stage = Stage::set();
    let (mut full, address) = full();
    let arguments = format!("connect --to {address} --connections {ABANDONED} --abandon yes");
    let tally = Peer::start(stage.place(), "ps-abandon", &arguments).finish();
    assert_eq!(tally.failures.values().sum::<u64>(), ABANDONED, "{tally:?}");
    full.proceed();
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = one(&edges, "ps-abandon", "127.0.0.1").expect("one edge");
    check(edge, "aborted", ABANDONED, address);
}

#[test]
fn failures_and_connections_of_one_edge() {
    let stage = Stage::set();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    drop(listener);
    let before = Peer::connect(stage.place(), "ps-both", address, REFUSED, "none").finish();
    assert_eq!(failed(&before, "connection refused"), REFUSED, "{before:?}");
    let (server, _) = Peer::serve(stage.place(), "ps-late", address, 3, "receive:31,drain");
    let after = Peer::connect(stage.place(), "ps-both", address, 3, "send:31").finish();
    assert_eq!((after.connections, server.finish().read), (3, 93));
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = one(&edges, "ps-both", "ps-late").expect("one edge");
    assert_eq!(edge.counts(), [3, 0, 93, 0], "{}", edge.0);
    assert_eq!((edge.number("failures"), edge.failures("refused")), (REFUSED, REFUSED));
}

fn check(edge: &Edge, kind: &str, count: u64, address: SocketAddr) {
    let measured = (edge.failures(kind), edge.number("failures"), edge.counts());
    report(
        &format!("{kind} connects: of the kind, all failures, connections"),
        format!("{count}, {count}, 0"),
        format!("{}, {}, {}", measured.0, measured.1, measured.2[0]),
    );
    assert_eq!(measured, (count, count, [0, 0, 0, 0]), "{}", edge.0);
    assert_eq!(edge.reporters(), ["client"], "{}", edge.0);
    assert_eq!(edge.text("server_address"), address.ip().to_string());
    assert_eq!(edge.number("server_port"), u64::from(address.port()));
    assert_eq!(edge.0["server"]["kind"], "address");
}

fn failed(tally: &Tally, reason: &str) -> u64 {
    assert_eq!(tally.connections, 0, "{tally:?}");
    tally.failures.get(reason).copied().unwrap_or_default()
}

/// A listener whose queue is full, outside of every watched cgroup.
fn full() -> (Peer, SocketAddr) {
    let mut full = Peer::start(Place::default(), "ps-full", "full --listen 127.0.0.1:0");
    let address = full.address();
    (full, address)
}

/// A port that is taken, and at which nobody listens.
fn taken(address: SocketAddr) -> (OwnedFd, SocketAddr) {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, SockProtocol::Tcp)
        .expect("a socket can be made");
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    bind(fd, &SockaddrStorage::from(address)).expect("a port is free");
    let taken = getsockname::<SockaddrStorage>(fd).expect("it has an address").to_string();
    (socket, taken.parse().expect("an address"))
}
