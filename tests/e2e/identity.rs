//! Names of what is elsewhere, names that agents share, and how a name came about.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::PathBuf, process::Command};

use plainsight_tests::harness::{
    Agent, Cgroup, Metrics, Namespace, Peer, Place, Stage, agent_binary, one, report, run, until,
};
use serde_json::Value;

const CONNECTIONS: u64 = 23;

/// A file of a test's own.
struct File(PathBuf);

// === impl File ===

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plainsight-{name}-{}", std::process::id()));
        let file = Self(path);
        file.write(text);
        file
    }

    /// Puts another in its place, as whoever is careful does.
    fn write(&self, text: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, text).expect("a file can be written");
        fs::rename(&new, &self.0).expect("a file can be renamed");
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What stays behind is in the way of nobody.
        let _removed = fs::remove_file(&self.0);
    }
}

/// A server in no cgroup of the agent's is known by its address, and by what a user calls that.
#[test]
fn a_names_file_is_read_again_and_a_bad_one_is_not() {
    let named = |name: &str| format!("- cidr: 127.0.0.0/8\n  name: {name}\n  owner: lab\n");
    let file = File::new("names", &named("bench"));
    let stage = Stage::with(&["--names", file.path(), "--cluster", "west"]);
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) =
        Peer::serve(Place::default(), "ps-server", listen, CONNECTIONS, "receive:31,drain");
    let client = Peer::connect(stage.place(), "ps-client", to, CONNECTIONS, "send:31");
    assert_eq!(
        (client.finish().written, server.finish().connections),
        (31 * CONNECTIONS, CONNECTIONS)
    );
    stage.agent.settle();
    let server = |name: &str| {
        stage
            .agent
            .edges_until(name, |edges| one(edges, "ps-client", name).map(|edge| edge.0.clone()))
    };
    let edge = server("bench");
    let found = ["kind", "matched_by", "confidence", "owner", "cluster"]
        .map(|key| edge["server"][key].as_str().unwrap_or_default().to_owned());
    assert_eq!(found, ["group", "rule", "high", "lab", "west"], "{edge}");
    assert_eq!(edge["server_address"], "127.0.0.1");
    assert_eq!(edge["connections"], CONNECTIONS);
    file.write(&named("test-bench"));
    server("test-bench");
    file.write("- cidr: 127.0.0.1/8\n  name: worse\n");
    let reloaded = |wanted: u64| {
        until("a reload", || {
            let metrics = stage.agent.metrics();
            match metrics.get("plainsight_names_last_reload_successful", &[])? {
                found if found == wanted => Ok(found),
                found => Err(format!("{found}")),
            }
        })
    };
    let refused = reloaded(0);
    let place = format!("{}:1:9: ", file.path());
    until("a reason", || {
        let log = stage.agent.log();
        if log.contains(&place) { Ok(()) } else { Err(log) }
    });
    server("test-bench");
    file.write(&named("better"));
    let accepted = reloaded(1);
    server("better");
    report(
        "names file: a bad one refused with its place, then a better one read",
        "0, 1",
        format!("{refused}, {accepted}"),
    );
    let explained = explain(&stage.agent, &["127.0.0.1"], 0);
    assert!(
        explained.starts_with(
            "127.0.0.1 is better (group, cluster west, owner lab), by names file, high"
        ),
        "{explained}"
    );
}

/// The path, the process and the names that were given, from the agent that watches them.
#[test]
fn a_name_is_explained_by_process_cgroup_and_number() {
    let stage = Stage::set();
    let service = stage.cgroup.child("tests.service");
    let listen = "127.0.0.1:0".parse().expect("an address");
    let steps = "receive:31,wait,drain";
    let (mut server, to) = Peer::serve(Place::of(&service), "ps-server", listen, 1, steps);
    let client = Peer::connect(stage.place(), "ps-client", to, 1, "send:31,wait");
    server.waits();
    let mut client = client;
    client.waits();
    let edge = |edges: &[plainsight_tests::harness::Edge]| {
        one(edges, "ps-client", "tests.service").map(|_| ())
    };
    stage.agent.edges_until("an edge", edge);
    let path = service.within_hierarchy();
    let json: Value = serde_json::from_str(&explain(&stage.agent, &[&path, "-o", "json"], 0))
        .expect("JSON was asked for");
    let found = (&json["workload"]["name"], &json["workload"]["confidence"]);
    assert_eq!(found, (&"tests.service".into(), &"high".into()), "{json}");
    let given = json["given"].as_array().expect("a list");
    assert_eq!(given.len(), 1, "{json}");
    assert_eq!(given[0]["name"], "tests.service", "{json}");
    let said = json["steps"].as_array().into_iter().flatten().map(|step| &step["said"]);
    assert!(said.into_iter().any(|said| said == "unit tests.service"), "{json}");
    let text = explain(&stage.agent, &[&server.pid().to_string()], 0);
    assert!(text.contains(" is tests.service (unit, host ") && text.contains(&path), "{text}");
    let text = explain(&stage.agent, &[&client.pid().to_string()], 0);
    assert!(text.contains(" is ps-client (process, "), "{text}");
    explain(&stage.agent, &["/no/such/cgroup"], 1);
    server.proceed();
    client.proceed();
    assert_eq!((client.finish().connections, server.finish().connections), (1, 1));
}

fn explain(agent: &Agent, arguments: &[&str], status: i32) -> String {
    let mut command = Command::new(agent_binary());
    command.arg("explain").args(arguments).args(["--api", &agent.url()]);
    let finished = run(&mut command);
    assert_eq!(finished.status.code(), Some(status), "{} {}", finished.stdout, finished.stderr);
    finished.stdout
}

/// Two agents without Kubernetes whose workloads have one name: no label set is the other's, and what
/// the server's agent publishes names the end that the client's agent knows by its address.
#[test]
fn two_sites_with_equal_names_stay_apart_and_meet_by_their_listeners() {
    let _alone = Stage::alone();
    let cgroups = [Cgroup::new(), Cgroup::new()];
    let services: Vec<Cgroup> =
        cgroups.iter().map(|cgroup| cgroup.child("tests.service")).collect();
    let agent = |at: usize, cluster| {
        Agent::start(&cgroups[at], &["--cluster", cluster, "--compare-interval", "1s"])
    };
    let (west, east) = (agent(0, "west"), agent(1, "east"));
    let (near, far) = (Namespace::new(), Namespace::new());
    let address = near.join(&far).v4[1];
    let listen = SocketAddr::new("0.0.0.0".parse().expect("an address"), 7001);
    let place = Place::of(&services[1]).within(&far);
    let steps = "receive:31,drain";
    let (server, _) = Peer::serve(place, "ps-server", listen, CONNECTIONS + 1, steps);
    let to = SocketAddr::new(address.into(), 7001);
    let ask = |connections| {
        let place = Place::of(&services[0]).within(&near);
        Peer::connect(place, "ps-client", to, connections, "send:31").finish()
    };
    assert_eq!(ask(CONNECTIONS).connections, CONNECTIONS);
    let ip = address.to_string();
    let listener = [("address", ip.as_str()), ("port", "7001"), ("transport", "tcp")];
    let published = |agent: &Agent| {
        let metrics = agent.metrics();
        metrics.labels("plainsight_listener_info", &listener).into_iter().next()
    };
    let server_labels = until("a published listener", || {
        published(&east).ok_or_else(|| "it is not published".to_owned())
    });
    let label = |name: &str| server_labels.get(name).map(String::as_str);
    assert_eq!(
        [label("workload"), label("kind"), label("cluster")],
        [Some("tests.service"), Some("unit"), Some("east")]
    );
    assert!(published(&west).is_none(), "it is no listener of the other's cgroup");
    assert_eq!(ask(1).connections, 1);
    server.finish();
    west.settle();
    east.settle();
    let edges = west.edges();
    let edge = one(&edges, "tests.service", &ip).expect("the client's agent knows the address");
    assert_eq!((edge.number("connections"), edge.number("server_port")), (CONNECTIONS + 1, 7001));
    let sets = |agent: &Agent| label_sets(&agent.metrics());
    let (west, east) = (sets(&west), sets(&east));
    let common: Vec<_> = west.intersection(&east).collect();
    report("label sets that two sites with equal names have in common", 0, common.len());
    assert!(!west.is_empty() && !east.is_empty());
    assert!(common.is_empty(), "{common:?}");
}

/// The label sets of all edges and listeners.
fn label_sets(metrics: &Metrics) -> BTreeSet<Vec<(String, String)>> {
    ["plainsight_edge_connections_total", "plainsight_listener_info"]
        .into_iter()
        .flat_map(|name| metrics.labels(name, &[]))
        .map(|labels| labels.into_iter().collect())
        .collect()
}
