//! First payload that reaches a listening socket, before there is a socket of the connection: in the
//! SYN (TCP Fast Open, RFC 7413), or where the server wants to hear of a connection only once there
//! is something to read (`TCP_DEFER_ACCEPT`, tcp(7)).
//!
//! The kernel's own counters show that it went that way.

use std::net::{IpAddr, SocketAddr};

use plainsight_tests::harness::{
    Edge, Flags, Forged, Forger, Namespace, Peer, Place, Position, Stage, report, until,
};

use crate::{
    forged,
    protocols::{CASES, CONNECTIONS, Case},
    watched::{self, Watched},
};

/// How payload comes to a listening socket.
struct Way {
    name: &'static str,
    /// `net.ipv4.tcp_fastopen`.
    fast_open: &'static str,
    client: &'static str,
    server: &'static str,
    /// What the kernel counts of each connection that goes this way.
    counters: &'static [&'static str],
    /// How many connections have to go another way first.
    others: u64,
}

const FAST_OPEN: Way = Way {
    name: "the SYN",
    fast_open: "519",
    client: "--fast-open-connect yes",
    server: "--fast-open 7",
    counters: &["TCPFastOpenActive", "TCPFastOpenPassive"],
    others: 0,
};

/// The first connection to an address brings the cookie.
const WITH_COOKIE: Way =
    Way { name: "the SYN, with a cookie", fast_open: "3", others: 1, ..FAST_OPEN };

/// The kernel lets the ACK that ends the handshake fall.
const DEFERRED: Way = Way {
    name: "a segment that makes the socket",
    fast_open: "0",
    client: "",
    server: "--defer-accept 7",
    counters: &["TCPDeferAcceptDrop"],
    others: 0,
};

#[test]
fn in_the_syn() {
    FAST_OPEN.check();
}

#[test]
fn in_the_syn_with_a_cookie() {
    WITH_COOKIE.check();
}

#[test]
fn deferred() {
    DEFERRED.check();
}

/// As long as the server waits for payload, segments out of the window come to the listening socket.
#[test]
fn deferred_beside_forged_segments() {
    let [mut sent, mut cases] = [0; 2];
    let stage = Stage::set();
    let (near, far) = (Namespace::new(), Namespace::new());
    let ips = near.join(&far).v4.map(IpAddr::V4);
    // With timestamps, Linux 6.14 and later take TCP's own answer to a forged segment for a reason
    // to turn the client's next one away, until the SYN-ACK is sent again: what the client echoes
    // then is later than any SYN-ACK.
    for namespace in [&near, &far] {
        namespace.set("net/ipv4/tcp_timestamps", "0");
    }
    let forger = Forger::new(&near, ips[0]);
    let places = [stage.within(&near), stage.within(&far)];
    for case in CASES.iter().filter(|case| case.begins()) {
        let steps = format!("position,{}", case.client);
        let (mut client, server) = DEFERRED.start(case, places, ips[1], &steps);
        for _ in 0..CONNECTIONS {
            let position = client.position();
            let came = [&far, &near].map(Namespace::packets_received);
            let count = forge(&forger, &position);
            // TCP answers each of them, once the listening socket's hooks have had it.
            until("forged segments and what TCP says of them", || {
                let now = [&far, &near].map(Namespace::packets_received);
                match [now[0] - came[0], now[1] - came[1]] {
                    [there, back] if there >= count && back >= count => Ok(()),
                    other => Err(format!("{other:?} of {count}")),
                }
            });
            sent += count;
            client.proceed();
        }
        finish(client, server, case.name);
        cases += 1;
    }
    stage.agent.settle();
    let edges = stage.agent.edges();
    for case in CASES.iter().filter(|case| case.begins()) {
        case.check(edge(&edges, case), "deferred, beside forged segments");
    }
    report("conversations whose start was deferred, beside forged segments", cases, {
        format!("{cases}, beside {sent} forged")
    });
}

// === impl Way ===

impl Way {
    fn check(&self) {
        for watched in Watched::ALL {
            let namespace = Namespace::new();
            namespace.set("net/ipv4/tcp_fastopen", self.fast_open);
            let stage = Stage::set();
            let places = watched.places(&stage).map(|place| place.within(&namespace));
            let cases = || CASES.iter().filter(|case| case.begins());
            let before = namespace.counters();
            for case in cases() {
                let ip = IpAddr::from([127, 0, 0, 1]);
                let (client, server) = self.start(case, places, ip, case.client);
                finish(client, server, case.name);
            }
            let after = namespace.counters();
            let expect = cases().count() as u64 * CONNECTIONS - self.others;
            for counter in self.counters {
                assert_eq!(after[*counter] - before[*counter], expect, "{}: {counter}", self.name);
            }
            stage.agent.settle();
            let edges = stage.agent.edges();
            let what = format!("conversations that begin in {}, {watched:?} watched", self.name);
            let wrong: Vec<String> = cases()
                .filter_map(|case| {
                    let reason = right(&edges, case, watched).err()?;
                    Some(format!("{}: {reason}", case.name))
                })
                .collect();
            assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
            report(&what, cases().count(), cases().count() - wrong.len());
        }
    }

    fn start(
        &self,
        case: &Case,
        [near, far]: [Place<'_>; 2],
        ip: IpAddr,
        steps: &str,
    ) -> (Peer, Peer) {
        let Case { name, server, .. } = case;
        let listen = SocketAddr::new(ip, 0);
        let command = format!(
            "serve --listen {listen} --connections {CONNECTIONS} --steps {server} {}",
            self.server
        );
        let mut server = Peer::start(far, &format!("s-{name}"), &command);
        let to = server.address();
        let command = format!("connect --to {to} --connections {CONNECTIONS} --steps {steps}");
        let command = [command.as_str(), self.client].join(" ");
        (Peer::start(near, &format!("c-{name}"), command.trim_end()), server)
    }
}

fn edge<'a>(edges: &'a [Edge], case: &Case) -> &'a Edge {
    let Case { name, .. } = case;
    watched::edge(edges, &format!("c-{name}"), &format!("s-{name}")).expect("one edge")
}

/// Whether both ends say what it is, on one edge.
fn right(edges: &[Edge], case: &Case, watched: Watched) -> Result<(), String> {
    let Case { name, .. } = case;
    let found = watched::all(edges, &format!("c-{name}"), &format!("s-{name}"));
    if let Some(different) = found.iter().find_map(|edge| case.difference(edge)) {
        return Err(different);
    }
    let shown: Vec<_> =
        found.iter().map(|edge| (edge.reporters(), edge.number("connections"))).collect();
    match found[..] {
        [edge]
            if edge.number("connections") == CONNECTIONS
                && edge.reporters().len() as u64 == watched.ends() =>
        {
            Ok(())
        }
        _ => Err(format!("on edges apart, by reporters and connections: {shown:?}")),
    }
}

fn finish(client: Peer, server: Peer, name: &str) {
    for tally in [client.finish(), server.finish()] {
        assert!(tally.errors.is_empty() && tally.failures.is_empty(), "{name}: {tally:?}");
        assert_eq!(tally.connections, CONNECTIONS, "{name}");
    }
}

fn forge(forger: &Forger, position: &Position) -> u64 {
    let Position { local: from, peer: to, snd_nxt, rcv_nxt: ack, snd_wnd } = *position;
    let mut count = 0;
    for words in forged::questions() {
        for place in forged::places(words.len() as u32, Some(snd_wnd)) {
            let seq = snd_nxt.wrapping_add(place);
            forger.send(&Forged { from, to, seq, ack, flags: Flags::Push, payload: &words });
            count += 1;
        }
    }
    count
}
