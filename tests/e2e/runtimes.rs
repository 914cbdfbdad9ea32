//! Containers by the names that their runtimes gave them, without asking a runtime.

use std::{collections::BTreeSet, process::Command};

use plainsight_tests::harness::{
    Cgroup, Container, Edge, Namespace, Peer, Stage, count, full, one, peer_binary, report, run,
    skip,
};
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
        let (server, to) = serve(&back, &namespace, 1, &server_steps());
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
    // The server is the container's first process: with it the others end, so it stays for each.
    let steps = server_steps() + ",wait";
    let (mut server, to) = serve(&container, &namespace, connections, &steps);
    for _ in 0..connections {
        let arguments = format!("{},wait", connect(to, 1));
        let mut client = container.exec(&namespace, "ps-client", &arguments);
        client.waits();
        // Both are there while the agent looks. What is gone sooner has the name of its process.
        let named = |edges: &[Edge]| one(edges, container.id(), container.id()).map(|_| ());
        stage.agent.edges_until("an edge of a container with itself", named);
        client.proceed();
        assert_eq!(client.finish().connections, 1);
        server.waits();
        server.proceed();
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

/// podman, with an image of nothing, in a view of the hierarchies where cgroup2 is the only one: so it
/// makes cgroups as on a host that has no other.
#[test]
fn containers_of_podman_have_their_names() {
    if !full() {
        return skip("runtimes::containers_of_podman_have_their_names", "full counts alone");
    }
    let stage = Stage::set();
    let namespace = Namespace::new();
    // podman puts the monitors of its containers there, and leaves it behind.
    let _monitors = stage.cgroup.child("conmon");
    let podman = Podman::new(&stage.cgroup);
    let [front, back] = ["front", "back"].map(|name| format!("ps-{name}-{}", std::process::id()));
    let steps = server_steps();
    let serve = format!("serve --listen 127.0.0.1:0 --connections 7 --steps {steps}");
    let mut server = podman.run(&namespace, &back, &serve);
    let to = server.address();
    let mut client = podman.run(&namespace, &front, &format!("{},wait", connect(to, 7)));
    client.waits();
    stage.agent.edges_until("an edge between two containers", |edges| {
        one(edges, &front, &back).map(check)
    });
    let listed = podman.command(&["ps", "--format", "{{.Names}}"]);
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    let named = [back.as_str(), front.as_str()];
    report(
        "names of podman's own list, which are on the map",
        format!("{named:?}"),
        format!("{listed:?}"),
    );
    assert_eq!(listed, named);
    client.proceed();
    for _ in 1..7 {
        client.waits();
        client.proceed();
    }
    assert_eq!((client.finish().connections, server.finish().connections), (7, 7));
}

/// podman with containers below a cgroup of the test. When it is dropped, its image goes.
struct Podman {
    parent: String,
    image: String,
}

// === impl Podman ===

impl Podman {
    fn new(cgroup: &Cgroup) -> Self {
        let image = format!("plainsight-{}", std::process::id());
        let podman = Self { parent: cgroup.within_hierarchy(), image };
        let tar = std::env::temp_dir().join(format!("{}.tar", podman.image));
        let made = run(Command::new("tar").arg("-cf").arg(&tar).args(["-C", "/etc", "hostname"]));
        assert!(made.status.success(), "{}", made.stderr);
        podman.command(&["import", tar.to_str().expect("the path is text"), &podman.image]);
        std::fs::remove_file(tar).expect("a file can be removed");
        podman
    }

    /// Runs a command of podman's to its end.
    fn command(&self, arguments: &[&str]) -> String {
        let finished = run(shell().args(arguments));
        assert!(finished.status.success(), "{} {arguments:?}: {}", self.image, finished.stderr);
        finished.stdout
    }

    /// Runs a peer as the first process of a container with this name.
    fn run(&self, namespace: &Namespace, name: &str, arguments: &str) -> Peer {
        let mut command = shell();
        let peer = peer_binary();
        let folder = peer.parent().expect("it lies in a folder").display().to_string();
        command.args(["run", "-i", "--rm", "--name", name, "--cgroup-parent", &self.parent]);
        command.args(["--network", "host", "--pids-limit=-1"]);
        command.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]);
        for shared in ["/usr", "/lib", "/lib64", "/bin", folder.as_str()] {
            command.arg(format!("--volume={shared}:{shared}:ro"));
        }
        command.arg(&self.image).arg(&peer).args(arguments.split(' ')).args(["--name", "ps-same"]);
        namespace.place(&mut command);
        Peer::spawn(name, command)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _removed = run(shell().args(["rmi", "--force", &self.image]));
    }
}

fn shell() -> Command {
    const VIEW: &str = "umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && \
                        exec podman --storage-driver vfs --cgroup-manager cgroupfs \
                        --events-backend file --runtime \"$(command -v runc)\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", VIEW, "sh"]);
    command
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
    steps: &str,
) -> (Peer, std::net::SocketAddr) {
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
