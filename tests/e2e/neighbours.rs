//! Programs of others at the hooks that ours use, attached before the agent and after it, to the
//! same cgroup and to one below.
//!
//! Of several programs at one hook those of a cgroup below run first, and at one cgroup those that
//! were attached first.

use std::process::{self, Command};

use plainsight_tests::harness::{
    Agent, Cgroup, Neighbour, Objects, Peer, Place, Runs, Stage, agent_binary, only, report, run,
    until,
};
use serde_json::Value;

const CONNECTIONS: u64 = 23;
const QUESTION: u64 = 1009;
const ANSWER: u64 = 2003;

/// The agent compares so often.
const FLAGS: [&str; 2] = ["--compare-interval", "1s"];

/// Where a neighbour is, and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Neighbourhood {
    /// At the agent's cgroup, before it.
    Before,
    /// At the agent's cgroup, after it.
    After,
    /// At a cgroup below the agent's, before it.
    BelowBefore,
    /// At a cgroup below the agent's, after it.
    BelowAfter,
}

use Neighbourhood::{After, Before, BelowAfter, BelowBefore};

/// An agent with neighbours. What is attached goes before its cgroup.
struct Street {
    agent: Agent,
    _neighbours: Vec<Neighbour>,
    /// Below the agent's.
    cgroup: Cgroup,
    parent: Cgroup,
}

// === impl Street ===

impl Street {
    fn new(neighbourhood: Neighbourhood, hooks: &[&str]) -> Self {
        let parent = Cgroup::new();
        let cgroup = parent.child("below");
        let attach = || -> Vec<Neighbour> {
            let at = if matches!(neighbourhood, Before | After) { &parent } else { &cgroup };
            let attach = |hook: &&str| Neighbour::careless(at.path(), hook);
            hooks.iter().map(attach).collect::<Result<_, _>>().expect("neighbours can be attached")
        };
        let start = || Agent::start(&parent, &FLAGS);
        let (agent, neighbours) = if matches!(neighbourhood, Before | BelowBefore) {
            let neighbours = attach();
            (start(), neighbours)
        } else {
            (start(), attach())
        };
        Self { agent, _neighbours: neighbours, cgroup, parent }
    }

    /// Connections that begin and end, the last of them when this is done.
    fn talk(&self, meanwhile: impl FnOnce()) {
        let place = Place::of(&self.cgroup);
        let listen = "127.0.0.1:0".parse().expect("an address");
        let steps = format!("receive:{QUESTION},send:{ANSWER},drain");
        let (server, to) = Peer::serve(place, "ps-server", listen, CONNECTIONS, &steps);
        let steps = format!("send:{QUESTION},receive:{ANSWER}");
        let client = Peer::connect(place, "ps-client", to, CONNECTIONS - 1, &steps).finish();
        assert_eq!(client.connections, CONNECTIONS - 1);
        let mut last = Peer::connect(place, "ps-client", to, 1, &format!("{steps},wait"));
        last.waits();
        meanwhile();
        last.proceed();
        last.finish();
        assert_eq!(server.finish().connections, CONNECTIONS);
    }

    /// They are on their edge to the byte, and their ends were seen.
    fn check(&self, what: &str) {
        self.agent.settle();
        let edges = self.agent.edges();
        let edge = only(&edges, "ps-client", "ps-server").expect("one edge");
        let expect = [CONNECTIONS, 0, CONNECTIONS * QUESTION, CONNECTIONS * ANSWER];
        let title = format!("{what}: connections, open, bytes");
        report(&title, format!("{expect:?}"), format!("{:?}", edge.counts()));
        assert_eq!(edge.counts(), expect, "{}", edge.0);
        assert_eq!(edge.reporters(), ["client", "server"], "{}", edge.0);
        assert_eq!(self.agent.metrics().get("plainsight_lost_total", &[]), Ok(0));
    }

    /// Waits until so many ends are open by the programs, by sockets, and without a socket.
    fn compared(&self, expect: [u64; 3]) {
        until("a comparison", || {
            let metrics = self.agent.metrics();
            let by = |by| metrics.get("plainsight_open_connections", &[("by", by)]);
            let without_socket = metrics.get("plainsight_open_without_socket", &[])?;
            match [by("programs")?, by("sockets")?, without_socket] {
                found if found == expect => Ok(()),
                found => Err(format!("{found:?} and not {expect:?}")),
            }
        });
    }

    /// What the doctor says of the ends of connections.
    fn diagnosis(&self) -> String {
        let mut command = Command::new(agent_binary());
        command.args(["doctor", "-o", "json", "--api", &self.agent.url(), "--cgroup"]);
        let finished = run(command.arg(self.parent.path()));
        let answer: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        let mut checks = answer["checks"].as_array().expect("checks").iter();
        let check = checks.find(|check| check["name"] == "ends of connections");
        check.unwrap_or_else(|| panic!("{answer}"))["outcome"].as_str().expect("text").to_owned()
    }
}

/// It replaces a socket's callbacks, but ours come after it and only add to them.
#[test]
fn callbacks_that_are_replaced_before_ours() {
    let _alone = Stage::alone();
    for neighbourhood in [Before, BelowBefore, BelowAfter] {
        let street = Street::new(neighbourhood, &["sock_ops"]);
        street.talk(|| street.compared([2, 2, 0]));
        street.check(&format!("callbacks replaced, {neighbourhood:?}"));
        street.compared([0, 0, 0]);
        assert_eq!(street.diagnosis(), "ok");
    }
}

/// Ours are lost, and with them every end. The agent cannot help it, so it has to say so.
#[test]
fn callbacks_that_are_replaced_after_ours() {
    let _alone = Stage::alone();
    let street = Street::new(After, &["sock_ops"]);
    let lost = 2 * CONNECTIONS;
    street.talk(|| street.compared([lost, 2, lost - 2]));
    street.compared([lost, 0, lost]);
    let metrics = street.agent.metrics();
    let told = metrics.get("plainsight_open_without_socket", &[]).expect("a count");
    report("callbacks replaced after ours: ends without a socket, told", lost, told);
    assert_eq!(metrics.get("plainsight_connections_opened_total", &[]), Ok(lost));
    assert_eq!(metrics.get("plainsight_connections_closed_total", &[]), Ok(0));
    let diagnosis = street.diagnosis();
    report("callbacks replaced after ours: the doctor", "warning", &diagnosis);
    assert_eq!(diagnosis, "warning");
}

/// Each lets everything pass, so both see everything.
#[test]
fn packets_are_seen_by_both() {
    const HOOKS: [&str; 2] = ["cgroup_skb_ingress", "cgroup_skb_egress"];
    let _alone = Stage::alone();
    let _runs = Runs::count();
    for neighbourhood in [Before, After, BelowBefore, BelowAfter] {
        let street = Street::new(neighbourhood, &HOOKS);
        street.talk(|| {});
        street.check(&format!("packets seen by another, {neighbourhood:?}"));
        let (ours, theirs) = (street.agent.objects(), Objects::of(process::id()));
        let runs = |objects: &Objects| HOOKS.map(|hook| objects.runs(hook));
        let title = format!("runs at ingress and egress, {neighbourhood:?}");
        report(&title, format!("{:?}", runs(&theirs)), format!("{:?}", runs(&ours)));
        assert_eq!(runs(&ours), runs(&theirs));
        assert!(runs(&ours).iter().all(|runs| *runs >= 6 * CONNECTIONS), "{:?}", runs(&ours));
    }
}
