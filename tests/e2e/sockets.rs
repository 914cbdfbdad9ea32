//! What the kernel lists of connections that are older than anybody who asks.

use plainsight::discover::older::{Older, Role, Search};
use plainsight_tests::harness::{Cgroup, Namespace, Peer, Place, Stage, report};

#[test]
fn older_connections_are_found_in_their_namespace() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let namespace = Namespace::new();
    check(&cgroup, Place::of(&cgroup).within(&namespace), "127.0.0.1:0");
    check(&cgroup, Place::of(&cgroup).within(&namespace), "[::1]:0");
}

#[test]
fn older_connections_are_found_in_this_namespace() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    check(&cgroup, Place::of(&cgroup), "127.0.0.1:0");
}

fn check(cgroup: &Cgroup, place: Place<'_>, listen: &str) {
    let listen = listen.parse().expect("an address");
    let steps = "receive:1009,send:62,drain";
    let (server, to) = Peer::serve(place, "ps-server", listen, 1, steps);
    let mut client = Peer::connect(place, "ps-client", to, 1, "send:1009,receive:62,wait");
    client.waits();
    let found = search(cgroup);
    let end = |role| found.iter().find(|end| end.role == role).expect("both ends");
    let (near, far) = (end(Role::Client), end(Role::Server));
    report(
        "bytes of an older connection, received by client and server",
        "62 1009",
        format!("{} {}", near.received, far.received),
    );
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!([near.tgid, far.tgid], [client.pid(), server.pid()]);
    assert_eq!([name(near), name(far)], ["ps-client", "ps-server"]);
    assert_eq!([near.received, far.received, near.acked], [62, 1009, 1009 + 1]);
    assert!(found.iter().all(|end| end.peer.is_some() && !end.is_role_inferred), "{found:?}");
    assert_eq!((near.netns, near.remote_port), (far.netns, to.port()));
    client.proceed();
    client.finish();
    server.finish();
    assert!(search(cgroup).is_empty(), "ended connections are none");
}

fn search(cgroup: &Cgroup) -> Vec<Older> {
    let root = cgroup.path().parent().expect("a test's cgroup is below the root");
    let own = id(cgroup);
    let search = Search::run(root, |found| found == own);
    assert_eq!((search.namespaces_refused, search.namespaces_failed), (0, 0), "{search:?}");
    search.found
}

fn id(cgroup: &Cgroup) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(cgroup.path()).expect("the cgroup is there").ino()
}

fn name(end: &Older) -> &str {
    let length = end.comm.iter().position(|byte| *byte == 0).unwrap_or(end.comm.len());
    std::str::from_utf8(&end.comm[..length]).expect("a plain name")
}
