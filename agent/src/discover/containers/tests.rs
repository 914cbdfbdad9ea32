//! Tests on state as the runtimes leave it, in a folder instead of the host's file system.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use super::*;

const ID: &str = "3f4b2a1908f7e6d5c4b3a29180706050403020100f1e2d3c4b5a69788796a5b4";
const UID: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const POD: &str = "/kubepods.slice/kubepods-pod0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f9.slice";
const TASK: &str = "run/containerd/io.containerd.runtime.v2.task";

static MADE: AtomicU32 = AtomicU32::new(0);

/// A host's file system.
struct Host(PathBuf);

// === impl Host ===

impl Host {
    fn new() -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("plainsight-containers-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.0.join(file.replace("ID", ID));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    fn containers(&self) -> Containers {
        Containers::new(self.0.clone(), Path::new("/cg"))
    }

    fn find(&self, path: &str) -> Search {
        let path = path.replace("ID", ID);
        Arc::unwrap_or_clone(self.containers().find(&path, Instant::now()))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn cri(sort: &str, uid: &str) -> Value {
    json!({"ociVersion": "1.0.2", "process": {"args": ["/app"]}, "annotations": {
        "io.kubernetes.cri.container-name": "app", "io.kubernetes.cri.container-type": sort,
        "io.kubernetes.cri.sandbox-name": "web-0", "io.kubernetes.cri.sandbox-namespace": "shop",
        "io.kubernetes.cri.sandbox-uid": uid,
    }})
}

/// The name, and the pod as namespace, name and uid; none where nothing was found.
fn check(file: &str, text: &Value, path: &str, expect: Option<(Option<&str>, Option<&str>)>) {
    let host = Host::new();
    host.write(file, text.to_string());
    let found = host.find(path).container;
    let pod = |container: &Container| {
        container.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name))
    };
    let found = found.map(|container| (container.name.clone(), pod(&container)));
    let expect = expect.map(|(name, pod)| (name.map(str::to_owned), pod.map(str::to_owned)));
    assert_eq!(found, expect, "{file} {text} {path}");
}

#[test]
fn containerd_names_pods_and_their_containers() {
    let scope = format!("{POD}/cri-containerd-ID.scope");
    let file = format!("{TASK}/k8s.io/ID/config.json");
    let named = Some((Some("app"), Some("shop/web-0")));
    check(&file, &cri("container", UID), &scope, named);
    check(&file, &cri("sandbox", UID), &scope, Some((None, Some("shop/web-0"))));
    check(&file, &json!({"annotations": {}}), &scope, None);
    check(&file, &json!({}), &scope, None);
    let k3s = file.replace("run/containerd", "run/k3s/containerd");
    check(&k3s, &cri("container", UID), &scope, named);
    // Elsewhere anybody who may run a container may write the same.
    let other = file.replace("k8s.io", "default");
    check(&other, &cri("container", UID), "/default/ID", None);
    let nerdctl = json!({"annotations": {"nerdctl/name": "web"}});
    check(&other, &nerdctl, "/system.slice/nerdctl-ID.scope", Some((Some("web"), None)));
    check(&other, &nerdctl, "/default/ID", Some((Some("web"), None)));
}

#[test]
fn docker_names_containers_and_services() {
    let docker =
        |name: &str, labels: Value| json!({"ID": ID, "Name": name, "Config": {"Labels": labels}});
    let file = "var/lib/docker/containers/ID/config.v2.json";
    let path = "/system.slice/docker-ID.scope";
    check(file, &docker("/db", json!({})), path, Some((Some("db"), None)));
    check(file, &docker("/db", Value::Null), "/docker/ID", Some((Some("db"), None)));
    check(file, &json!({"ID": "other", "Name": "/db"}), path, None);
    // Of a pod only in that pod's cgroup: labels are for anybody to set.
    let labels = json!({
        "io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.uid": UID, "io.kubernetes.container.name": "app",
    });
    let pod = format!("{POD}/docker-ID.scope");
    check(file, &docker("/k8s_app", labels.clone()), &pod, Some((Some("app"), Some("shop/web-0"))));
    check(file, &docker("/x", labels.clone()), "/docker/ID", Some((Some("x"), None)));
    let other = pod.replace("0a1b2c3d", "ffffffff");
    check(file, &docker("/k8s_app", labels), &other, None);
    let host = Host::new();
    let labels = json!({"com.docker.compose.project": "shop", "com.docker.compose.service": "db"});
    host.write(file, docker("/shop-db-1", labels).to_string());
    assert_eq!(host.find(path).container.unwrap().service.as_deref(), Some("shop/db"));
    // Whoever may make cgroups of their own may give them any name.
    let mine = format!("/user.slice/user-1000.slice/user@1000.service{path}");
    assert_eq!(host.find(&mine).container, None);
}

#[test]
fn cri_o_and_podman_are_told_apart_by_the_pod() {
    let annotations = json!({"annotations": {
        "io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.container.name": "app",
        "io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.uid": UID,
    }});
    let file = "run/containers/storage/overlay-containers/ID/userdata/config.json";
    let named = Some((Some("app"), Some("shop/web-0")));
    check(file, &annotations, &format!("{POD}/crio-ID.scope/container"), named);
    check(file, &annotations, "/machine.slice/libpod-ID.scope", None);
    let list = json!([{"id": "other", "names": ["no"]}, {"id": ID, "names": ["web"]}, {"id": "x"}]);
    let file = "var/lib/containers/storage/vfs-containers/containers.json";
    for path in ["/machine.slice/libpod-ID.scope", "/libpod_parent/libpod-ID"] {
        check(file, &list, path, Some((Some("web"), None)));
    }
    let file = "var/lib/containers/storage/overlay-containers/volatile-containers.json";
    check(file, &list, "/machine.slice/libpod-ID.scope/container", Some((Some("web"), None)));
}

#[test]
fn a_list_is_read_again_when_it_was_written() {
    let host = Host::new();
    let file = "var/lib/containers/storage/overlay-containers/containers.json";
    host.write(file, "[]");
    let mut containers = host.containers();
    let path = format!("/machine.slice/libpod-{ID}.scope");
    let start = Instant::now();
    assert_eq!(containers.find(&path, start).container, None);
    host.write(file, json!([{"id": ID, "names": ["web"]}]).to_string());
    assert_eq!(containers.find(&path, start).container, None, "not again at once");
    let found = containers.find(&path, start + RETRY).container.clone();
    assert_eq!(found.unwrap().name.as_deref(), Some("web"));
    let answers = containers.answers();
    assert_eq!(answers[&(Runtime::Podman, Answer::Named)], 1);
    assert_eq!(answers[&(Runtime::Podman, Answer::Silent)], 1);
}

/// A name of one's own is no proof: the state must be of the very cgroup.
#[test]
fn containers_without_an_id_must_name_their_cgroup() {
    let runc =
        |id: &str, cgroup: &str| json!({"id": id, "cgroup_paths": {"": cgroup, "cpu": "/x"}});
    let file = "run/runc/c1/state.json";
    let named = Some((Some("c1"), None));
    check(file, &runc("c1", "/sys/fs/cgroup/unified/c1"), "/c1", named);
    check(file, &runc("c1", "/sys/fs/cgroup/c1"), "/c1/below", named);
    check(file, &runc("c1", "/cg/a/c1"), "/a/c1", named);
    check(
        file,
        &runc("c1", "/sys/fs/cgroup/b.slice/runc-c1.scope"),
        "/b.slice/runc-c1.scope",
        named,
    );
    check(file, &runc("c1", "/sys/fs/cgroup/a/c1"), "/c1", None);
    check(file, &runc("c1", "/sys/fs/cgroup/c1"), "/a/c1", None);
    check(file, &runc("c2", "/sys/fs/cgroup/c1"), "/c1", None);
    check(file, &json!({"id": "c1", "cgroup_paths": {"cpu": "/sys/fs/cgroup/c1"}}), "/c1", None);
    let legacy = json!({"id": "c1", "cgroup_paths": {"name=systemd": "/sys/fs/cgroup/systemd/c1"}});
    check(file, &legacy, "/c1", named);
    let crun = |path: &str| json!({"pid": 1, "cgroup-path": path, "bundle": "/b"});
    let file = "run/crun/c1/status";
    check(file, &crun("/c1"), "/c1", named);
    check(file, &crun("/user.slice/crun-c1.scope"), "/user.slice/crun-c1.scope", named);
    check(file, &crun("/a/c1"), "/c1", None);
    check(file, &json!({"pid": 1}), "/c1", None);
}

#[test]
fn what_is_no_file_of_a_runtime_is_refused_with_its_reason() {
    let file = format!("{TASK}/k8s.io/ID/config.json");
    let path = format!("{POD}/cri-containerd-ID.scope");
    let check = |text: &[u8], part: &str| {
        let host = Host::new();
        let file = host.write(&file, text);
        let search = host.find(&path);
        assert_eq!(search.container, None);
        let [Asked { runtime: Runtime::Containerd, file: asked, answer, why }] = &search.asked[..]
        else {
            panic!("{:?}", search.asked);
        };
        assert_eq!((asked, *answer), (&file, Answer::Refused));
        assert!(why.as_ref().unwrap().contains(part), "{why:?}");
    };
    check(b"", "EOF");
    check(b"\xff\xfe", "expected value");
    check(b"{\"annotations\": {\"a\": 1}}", "invalid type");
    check("[".repeat(1009).as_bytes(), "invalid type");
    check(&vec![b' '; (1 << 20) + 1], "larger than");
    let hostile = |key: &str, value: &str| {
        let mut text = cri("container", UID);
        text["annotations"][format!("io.kubernetes.cri.{key}")] = value.into();
        text.to_string().into_bytes()
    };
    check(&hostile("sandbox-name", ""), "none");
    check(&hostile("sandbox-name", "a/b"), "none");
    check(&hostile("sandbox-namespace", "\u{1b}[2J"), "none");
    check(&hostile("container-name", &"x".repeat(254)), "none");
}

#[test]
fn only_plain_files_are_read() {
    let file = "run/runc/c1/state.json";
    let check = |make: &dyn Fn(&Path)| {
        let host = Host::new();
        let path = host.write(file, "");
        fs::remove_file(&path).unwrap();
        make(&path);
        let search = host.find("/c1");
        assert_eq!(search.container, None);
        assert_eq!(search.asked[0].answer, Answer::Refused, "{:?}", search.asked);
    };
    check(&|path| symlink("/etc/passwd", path).unwrap());
    check(&|path| fs::create_dir(path).unwrap());
    check(&|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap());
}

#[test]
fn without_files_nothing_is_said() {
    let host = Host::new();
    for path in [&format!("{POD}/cri-containerd-ID.scope"), "/docker/ID", "/c1", "/", ""] {
        assert_eq!(host.find(path), Search::default(), "{path}");
    }
    assert_eq!(present(&host.0), []);
    host.write("run/runc/c1/state.json", "{}");
    assert_eq!(present(&host.0), [(Runtime::Runc, host.0.join("run/runc"), true)]);
}

proptest::proptest! {
    #[test]
    fn any_text_is_an_answer(text: Vec<u8>) {
        let mounts = [PathBuf::from("/sys/fs/cgroup")];
        let _ = parse::containerd(&text, ID, true);
        let _ = parse::docker(&text, ID, Some(UID));
        let _ = parse::cri_o(&text, ID, UID);
        let _ = parse::names(&text);
        let _ = parse::runc(&text, "c1", "/c1", &mounts);
        let _ = parse::crun(&text, "c1", "/c1");
    }
}
