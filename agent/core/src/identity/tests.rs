//! Tests of who an end is.

use super::path::Place;
use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

const ID: &str = "3f4b2a1908f7e6d5c4b3a29180706050403020100f1e2d3c4b5a69788796a5b4";
const UID: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const UID_: &str = "0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f9";
const STATIC_UID: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// `path` may say `ID`, `UID_` and so on; `expect` is kind, name and namespace.
fn check(path: &str, expect: Option<(Kind, &str, Option<&str>)>) {
    let path = path
        .replace("STATIC_UID", STATIC_UID)
        .replace("UID_", UID_)
        .replace("UID", UID)
        .replace("ID", ID);
    let workload = from_cgroup(&path, "host-a");
    let found = workload.as_ref().map(|w| (w.kind, w.name.as_str(), w.namespace.as_deref()));
    assert_eq!(found, expect, "{path}");
    if let Some(workload) = &workload {
        assert_eq!(workload.host.as_deref(), Some("host-a"));
        // An id is sure, but no name.
        let confidence =
            if workload.kind == Kind::Unit { Confidence::High } else { Confidence::Medium };
        assert_eq!((workload.matched_by, workload.confidence), (MatchedBy::Cgroup, confidence));
    }
}

fn check_all(paths: &[&str], expect: Option<(Kind, &str, Option<&str>)>) {
    for path in paths {
        check(path, expect);
    }
}

#[test]
fn pods() {
    check_all(
        &[
            "/kubepods.slice/kubepods-podUID_.slice/cri-containerd-ID.scope",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID_.slice/crio-ID.scope",
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podUID_.slice/docker-ID.scope",
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podUID_.slice/cri-containerd-ID.scope",
            "/kubepods/podUID/ID",
            "/kubepods/besteffort/podUID/ID",
            "/kubepods/burstable/podUID",
            "/kubepods-besteffort-podUID_.slice:cri-containerd:ID",
            "/system.slice/kubepods-burstable-podUID_.slice:cri-containerd:ID",
            "/kubepods.slice/kubepods-podUID_.slice/crio-ID.scope/container",
        ],
        Some((Kind::Pod, UID, None)),
    );
    check("/kubepods/burstable/podSTATIC_UID/ID", Some((Kind::Pod, STATIC_UID, None)));
}

#[test]
fn a_pod_in_a_container_is_the_pod() {
    let path = "/docker/ID/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podUID_.slice/cri-containerd-ID.scope";
    check(path, Some((Kind::Pod, UID, None)));
}

#[test]
fn containers() {
    check_all(
        &[
            "/docker/ID",
            "/system.slice/docker-ID.scope",
            "/machine.slice/libpod-ID.scope",
            "/machine.slice/libpod-ID.scope/container",
            "/libpod_parent/libpod-ID",
            "/system.slice/web.service/libpod-payload-ID",
            "/machine.slice/machine-libpod_pod_ID.slice/libpod-ID.scope",
            "/system.slice/containerd-ID.scope",
            "/system.slice/nerdctl-ID.scope",
            "/default/ID",
            "/system.slice/crio-ID.scope/container",
        ],
        Some((Kind::Container, "3f4b2a1908f7", None)),
    );
}

#[test]
fn a_systemd_in_a_container_is_the_container() {
    check("/docker/ID/system.slice/nginx.service", Some((Kind::Container, "3f4b2a1908f7", None)));
    check("/docker/ID/init.scope", Some((Kind::Container, "3f4b2a1908f7", None)));
}

#[test]
fn the_innermost_container_is_the_one() {
    let outer =
        "/docker/ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff/docker/ID";
    check(outer, Some((Kind::Container, "3f4b2a1908f7", None)));
}

#[test]
fn what_only_looks_like_a_container_is_none() {
    check("/docker/3f4b2a1908f7", None);
    check("/docker/IDff", None);
    check("/kubepods/podnot-a-uid/plain", None);
    check("/kubepods/tripodUID", None);
    let monitor = format!("libpod-conmon-{ID}.scope");
    check(&format!("/machine.slice/{monitor}"), Some((Kind::Unit, &monitor, None)));
}

#[test]
fn units() {
    let unit = |path, name| check(path, Some((Kind::Unit, name, None)));
    unit("/system.slice/nginx.service", "nginx.service");
    unit("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service");
    unit(
        "/system.slice/system-postgresql.slice/postgresql@15-main.service",
        "postgresql@15-main.service",
    );
    unit(
        "/system.slice/dbus-:1.2-org.example.Name@0.service",
        "dbus-:1.2-org.example.Name@0.service",
    );
    unit("/system.slice/a\\x2db.service", "a\\x2db.service");
    unit("/batch.slice/batch-night.slice/report.service", "report.service");
    unit("/system.slice/web.service/worker/3", "web.service");
    unit("/system.slice/run-r0a1b2c.scope", "run-r0a1b2c.scope");
    unit(
        "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator",
        "machine-qemu\\x2d1\\x2dvm.scope",
    );
    unit("/machine.slice/systemd-nspawn@a.service/payload/init.scope", "systemd-nspawn@a.service");
    unit("/machine.slice/systemd-nspawn@a.service/payload/system.slice/b.service", "b.service");
    unit("system.slice/nginx.service/", "nginx.service");
}

#[test]
fn what_runs_under_a_users_own_systemd_says_so() {
    let below = |path: &str, kind, name| {
        let path = format!("/user.slice/user-1000.slice/user@1000.service/{path}");
        check(&path, Some((kind, name, Some("user-1000"))));
    };
    below("app.slice/sync.service", Kind::Unit, "sync.service");
    below("app.slice/app-web-4711.scope", Kind::Unit, "app-web-4711.scope");
    below("session.slice/sound.service", Kind::Unit, "sound.service");
    below("user.slice/libpod-ID.scope", Kind::Container, "3f4b2a1908f7");
}

#[test]
fn what_names_no_workload_of_its_own() {
    check_all(
        &[
            "",
            "/",
            "//",
            "/init.scope",
            "/system.slice",
            "/user.slice/user-1000.slice/session-3.scope",
            "/user.slice/user-1000.slice/session-c12.scope",
            "/user.slice/user-1000.slice/user@1000.service",
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice",
            "/plainsight-tests/a",
            "/.service",
            "/../.scope",
            "/jobs/nginx.timer",
        ],
        None,
    );
}

fn process(name: &str, exe: Option<&str>, alive: bool) -> Process {
    Process { name: name.to_owned(), exe: exe.map(str::to_owned), alive }
}

/// A path, and what is read out of it beside its workload.
#[test]
fn a_path_tells_the_container_of_a_pod_its_runtime_and_its_class() {
    let check = |path: &str, container: Option<&str>, runtime, qos| {
        let path = path.replace("UID_", UID_).replace("UID", UID).replace("ID", ID);
        let place = Place::of(&path);
        assert_eq!(
            (place.container, place.runtime, place.qos),
            (container, runtime, qos),
            "{path}"
        );
    };
    let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID_.slice";
    let (guaranteed, burstable) = (Some("guaranteed"), Some("burstable"));
    check(&format!("{pod}/cri-containerd-ID.scope"), Some(ID), Some("containerd"), burstable);
    check(&format!("{pod}/crio-ID.scope/container"), Some(ID), Some("cri-o"), burstable);
    check(pod, None, None, burstable);
    check("/kubepods/besteffort/podUID/ID", Some(ID), None, Some("besteffort"));
    check("/kubepods/podUID/ID", Some(ID), None, guaranteed);
    check("/kubepods-podUID_.slice:cri-containerd:ID", Some(ID), Some("containerd"), guaranteed);
    check("/system.slice/docker-ID.scope", Some(ID), Some("docker"), None);
    check("/libpod_parent/libpod-ID", Some(ID), Some("podman"), None);
    check("/system.slice/nginx.service", None, None, None);
    // What runs inside a pod's container is no container of the host's.
    let other = ID.replace('3', "4");
    let inner = format!("{pod}/cri-containerd-ID.scope/docker/{other}");
    check(&inner, Some(ID), Some("containerd"), burstable);
    let outer = format!("/docker/{other}{pod}/cri-containerd-ID.scope");
    check(&outer, Some(ID), Some("containerd"), burstable);
}

#[test]
fn a_container_may_have_a_name_of_any_form() {
    let check = |path, expect: &[(&str, &str)]| {
        assert_eq!(path::names(path).collect::<Vec<_>>(), expect, "{path}");
    };
    check("/c1", &[("c1", "/c1")]);
    check("/c1/below", &[("below", "/c1/below"), ("c1", "/c1")]);
    check("/batch.slice/runc-c1.scope", &[("c1", "/batch.slice/runc-c1.scope")]);
    check("/batch.slice/crun-c1.scope", &[("c1", "/batch.slice/crun-c1.scope")]);
    check("/system.slice:runc:c1", &[("c1", "/system.slice:runc:c1")]);
    // The names of systemd's own.
    check("/system.slice/nginx.service", &[]);
    check("/user.slice/session-1.scope", &[]);
    check("/../.", &[]);
    check("//", &[]);
    check("", &[]);
    let deep = "/a".repeat(1009);
    assert_eq!(path::names(&deep).count(), 16);
    assert_eq!(path::names(&"x".repeat(256)).count(), 0);
}

fn container(name: Option<&str>, pod: Option<&str>) -> Container {
    let pod =
        pod.map(|uid| Pod { name: "web-0".into(), namespace: "shop".into(), uid: uid.into() });
    Container { id: ID.into(), name: name.map(Into::into), pod, service: None }
}

/// Names by the path and the runtime's word together: name, namespace, container, confidence.
#[test]
fn a_runtime_names_what_the_path_only_numbers() {
    type Expect<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Confidence);
    let check = |path: &str, container: &Container, expect: Expect<'_>| {
        let path = path.replace("UID_", UID_).replace("ID", ID);
        let unified = Cgroup { path: Some(&path), container: Some(container) };
        let found = decide(&Facts { unified, ..Facts::default() }, "host-a").unwrap();
        let Workload { name, namespace, container, confidence, .. } = &found;
        let found = (name.as_str(), namespace.as_deref(), container.as_deref(), *confidence);
        assert_eq!(found, expect, "{path}");
    };
    let pod = "/kubepods.slice/kubepods-podUID_.slice/cri-containerd-ID.scope";
    let (high, medium) = (Confidence::High, Confidence::Medium);
    let named = container(Some("app"), Some(UID));
    check(pod, &named, ("web-0", Some("shop"), Some("app"), high));
    check(pod, &container(None, Some(UID)), ("web-0", Some("shop"), None, high));
    check(pod, &container(Some("app"), Some(UID_)), ("web-0", Some("shop"), Some("app"), high));
    // A file that speaks of another pod, or of another container, says nothing.
    let other = STATIC_UID;
    check(pod, &container(Some("app"), Some(other)), (UID, None, None, medium));
    let stranger = Container { id: ID.replace('3', "4"), ..named.clone() };
    check(pod, &stranger, (UID, None, None, medium));
    check("/docker/ID", &stranger, ("3f4b2a1908f7", None, None, medium));
    let docker = container(Some("db"), None);
    check("/system.slice/docker-ID.scope", &docker, ("db", None, None, high));
    check(
        "/system.slice/docker-ID.scope",
        &container(None, None),
        ("3f4b2a1908f7", None, None, medium),
    );
    let rootless = "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope";
    check(rootless, &docker, ("db", Some("user-1000"), None, high));
    // With a name of its own for a cgroup the path says nothing, and the runtime all.
    let direct = Container { id: "c1".into(), name: Some("c1".into()), ..Container::default() };
    check("/c1", &direct, ("c1", None, None, high));
    // In a pod's cgroup without a word about the pod, the container's name is not the pod's.
    check(pod, &docker, (UID, None, None, medium));
}

/// Docker on a hybrid host: the process stays in the cgroup2 directory of who started it.
#[test]
fn a_container_of_the_other_hierarchy_is_no_part_of_the_unit_that_started_it() {
    let (containerd, docker) = ("/system.slice/containerd.service", format!("/docker/{ID}"));
    let named = container(Some("db"), None);
    let unified = Cgroup { path: Some(containerd), container: None };
    let legacy = Cgroup { path: Some(&docker), container: Some(&named) };
    let found = decide(&Facts { unified, legacy, process: None }, "host-a").unwrap();
    assert_eq!((found.name.as_str(), found.matched_by), ("db", MatchedBy::LegacyCgroup));
    // A container in the unified hierarchy is what the kernel half sees.
    let facts = Facts { unified: legacy, legacy: unified, process: None };
    let found = decide(&facts, "host-a").unwrap();
    assert_eq!((found.name.as_str(), found.matched_by), ("db", MatchedBy::Cgroup));
    assert_eq!(decide(&Facts::default(), "host-a"), None);
}

#[test]
fn a_local_end_is_named_by_the_best_there_is() {
    let curl = process("curl", Some("/usr/bin/curl"), true);
    let check = |path, legacy, process: &Process, name: &str, matched_by, confidence| {
        let workload = local(path, legacy, process, "host-a");
        assert_eq!(
            (workload.name.as_str(), workload.matched_by, workload.confidence),
            (name, matched_by, confidence)
        );
        assert_eq!(workload.host.as_deref(), Some("host-a"));
    };
    let (nginx, web) = (Some("/system.slice/nginx.service"), Some("/system.slice/web.service"));
    let session = Some("/user.slice/user-0.slice/session-1.scope");
    check(nginx, web, &curl, "nginx.service", MatchedBy::Cgroup, Confidence::High);
    check(Some("/"), web, &curl, "web.service", MatchedBy::LegacyCgroup, Confidence::High);
    check(None, web, &curl, "web.service", MatchedBy::LegacyCgroup, Confidence::High);
    check(session, session, &curl, "curl", MatchedBy::Process, Confidence::Medium);
    check(None, None, &curl, "curl", MatchedBy::Process, Confidence::Medium);
    let gone = process("curl", None, false);
    check(session, None, &gone, "curl", MatchedBy::Process, Confidence::Low);
}

#[test]
fn a_process_without_a_name_is_its_executable() {
    let check = |process: &Process, name: &str| {
        let workload = local(None, None, process, "host-a");
        assert_eq!((workload.name.as_str(), workload.kind), (name, Kind::Process));
    };
    check(
        &process("postgres-writer", Some("/usr/bin/postgres-writer-main"), true),
        "postgres-writer",
    );
    check(&process("", Some("/usr/sbin/nginx"), true), "nginx");
    check(&process("", Some("/"), true), "unknown");
    check(&process("", None, false), "unknown");
}

#[test]
fn a_remote_end_is_its_address() {
    let check = |ip: &str| {
        let workload = remote(ip.parse().unwrap());
        assert_eq!((workload.name.as_str(), workload.kind), (ip, Kind::Address));
        assert_eq!((workload.matched_by, workload.host), (MatchedBy::Address, None));
    };
    check("192.0.2.7");
    check("2001:db8::7");
}

#[test]
fn of_groups_only_the_folded_one_is_nobody() {
    let internet = outside::client(remote("192.0.2.1".parse().unwrap()));
    assert!(folded().is_folded() && !internet.is_folded());
    // A user may call a network so.
    let named = Workload { matched_by: MatchedBy::Rule, ..folded() };
    assert!(!named.is_folded());
}

#[test]
fn an_end_nobody_resolved_still_has_a_name() {
    let endpoint = Endpoint { cgroup: 42, netns: 1, name: 7 };
    let name = |comm: Option<&Comm>| unresolved(&endpoint, comm).name;
    assert_eq!(name(Some(b"curl\0\0\0\0\0\0\0\0\0\0\0\0")), "curl");
    assert_eq!(name(Some(&[0; 16])), "cgroup/42");
    assert_eq!(name(None), "cgroup/42");
    assert_eq!(unresolved(&endpoint, None).confidence, Confidence::Low);
}

#[test]
fn an_end_keeps_its_first_name() {
    let mut directory = Directory::new(10);
    let end = Endpoint { cgroup: 1, netns: 1, name: 1 };
    let [first, second] = ["192.0.2.1", "192.0.2.2"].map(|ip| remote(ip.parse().unwrap()));
    assert!(directory.is_empty() && directory.get(&end).is_none());
    assert!(directory.insert(end, first.clone()));
    assert!(directory.insert(end, second));
    assert_eq!((directory.get(&end), directory.len()), (Some(&first), 1));
}

#[test]
fn a_full_directory_refuses_and_counts() {
    let mut directory = Directory::new(2);
    let workload = remote("192.0.2.1".parse().unwrap());
    let end = |cgroup| Endpoint { cgroup, netns: 1, name: 1 };
    let taken = [1, 2, 3, 4, 1].map(|cgroup| directory.insert(end(cgroup), workload.clone()));
    assert_eq!(taken, [true, true, false, false, true]);
    assert_eq!((directory.len(), directory.capacity(), directory.refused()), (2, 2, 2));
}

#[test]
fn two_matches_are_worth_what_the_weaker_is() {
    let alive = local(None, None, &process("curl", None, true), "host-a");
    let gone = local(None, None, &process("curl", None, false), "host-a");
    assert_eq!(alive.identity(), gone.identity());
    let (mut one, mut other) =
        (alive.clone(), Workload { owner: Some("shop".into()), ..gone.clone() });
    one.merge(&other);
    other.merge(&alive);
    assert_eq!(one, other);
    assert_eq!((one.confidence, one.owner.as_deref()), (Confidence::Low, Some("shop")));
}

#[test]
fn a_workload_is_written_as_the_interface_says() {
    let workload =
        local(Some("/system.slice/nginx.service"), None, &process("nginx", None, true), "a");
    let json = serde_json::to_string(&workload).unwrap();
    assert_eq!(
        json,
        r#"{"name":"nginx.service","kind":"unit","namespace":null,"container":null,"service":null,"host":"a","cluster":null,"owner":null,"matched_by":"cgroup","confidence":"high"}"#
    );
    assert_eq!(serde_json::from_str::<Workload>(&json).unwrap(), workload);
    for kind in [Kind::Unit, Kind::Container, Kind::Pod, Kind::Process, Kind::Group, Kind::Address]
    {
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.name()));
    }
}

/// What paths are made of, and what breaks them.
const PIECES: [&str; 16] = [
    "/",
    ":",
    "pod",
    UID,
    UID_,
    ID,
    "kubepods-",
    ".slice",
    ".scope",
    ".service",
    "user@",
    "1000",
    "session-",
    "libpod-",
    "é",
    "\0",
];

/// Paths that arbitrary text would hardly ever hit.
fn path() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(&PIECES[..]);
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_a_path(path in any::<String>()) {
        let _ = from_cgroup(&path, "host-a");
    }

    #[test]
    fn a_container_is_looked_for_below_no_other_folder(path in any::<String>()) {
        for (name, path) in path::names(&path) {
            prop_assert!(!name.contains('/') && name != ".." && !path.is_empty());
        }
    }

    #[test]
    fn a_name_is_never_empty_and_never_a_path(path in path()) {
        if let Some(workload) = from_cgroup(&path, "host-a") {
            prop_assert!(!workload.name.is_empty() && !workload.name.contains('/'));
        }
    }

    #[test]
    fn below_a_container_nothing_changes_its_name(path in path()) {
        let container = format!("/system.slice/docker-{ID}.scope");
        let below = from_cgroup(&format!("{container}/{}", path.replace([':', '/'], "")), "a");
        prop_assert_ne!(below.unwrap().kind, Kind::Unit);
    }
}
