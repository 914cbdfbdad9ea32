//! From what each source says of a local end to one workload.
//!
//! Sources are asked elsewhere; what they said is put side by side here and judged at once, so that
//! an explanation shows the same facts that the name rests on.

use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::path::Place;
use super::{Confidence, Kind, MatchedBy, Workload};

/// How many digits of a container's id its runtime prints.
const SHORT_ID: usize = 12;

/// What is known of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its name as the hook saw it (`comm`).
    pub name: String,
    /// Path of its executable, where it could be read.
    pub exe: Option<String>,
    /// Whether it was still there when it was looked up, and older than what the hook saw.
    pub alive: bool,
}

/// What a container's runtime has written down about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name; of a pod's own container (its sandbox) none.
    pub name: Option<String>,
    /// The pod it belongs to.
    pub pod: Option<Pod>,
    /// The service that it is one instance of.
    pub service: Option<String>,
}

/// A pod, by its container's runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
}

/// A cgroup, and the container that it belongs to by a runtime's word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cgroup<'a> {
    /// Its path from the root of the hierarchy.
    pub path: Option<&'a str>,
    /// The container.
    pub container: Option<&'a Container>,
}

/// What each source says of a local end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Its cgroup in the unified hierarchy.
    pub unified: Cgroup<'a>,
    /// The one in the v1 hierarchy `name=systemd`.
    pub legacy: Cgroup<'a>,
    /// Its process.
    pub process: Option<&'a Process>,
}

// === impl Pod ===

impl Pod {
    /// Whether it is the pod with this uid, which paths spell with underscores.
    pub fn has_uid(&self, uid: &str) -> bool {
        let dashed = |b: u8| if b == b'_' { b'-' } else { b };
        self.uid.bytes().map(dashed).eq(uid.bytes().map(dashed))
    }
}

// === impl Cgroup ===

impl Cgroup<'_> {
    /// The workload that it is a part of, and whether that is a container.
    fn workload(&self, host: &str) -> Option<(Workload, bool)> {
        let place = Place::of(self.path?);
        let container = self.container.filter(|container| fits(container, &place));
        let mut workload = match (place.pod, container) {
            (_, Some(Container { pod: Some(pod), name, .. })) => in_pod(pod, name.as_ref(), host),
            (Some(uid), _) => by_id(&uid.replace('_', "-"), Kind::Pod, host),
            (None, Some(container)) => in_container(container, host),
            (None, None) => match place.container {
                Some(id) => by_id(&short(id), Kind::Container, host),
                None => Workload::local(place.unit?, Kind::Unit, host),
            },
        };
        if workload.namespace.is_none() {
            workload.namespace = place.user.map(|uid| format!("user-{uid}"));
        }
        let is_container = matches!(workload.kind, Kind::Pod | Kind::Container);
        Some((workload, is_container))
    }
}

/// The unit, container or pod that a cgroup path names.
///
/// * A pod is named by its uid, in the form with dashes: its containers share one network, so that
///   the pod and not the container is what talks. Its proper name is not in the path.
/// * A container is named by the first 12 digits of its id, as its runtime prints it. What runs in
///   a container, a whole systemd included, is that container.
/// * A unit is the innermost service or scope, its name as systemd spells it, instance and escapes
///   included. What runs under a user's own systemd has the namespace `user-UID`.
///
/// `None` for a path that names no workload of its own: the root, slices, login sessions, the
/// `init.scope` of a systemd and plain folders. There the process tells more.
pub fn from_cgroup(path: &str, host: &str) -> Option<Workload> {
    let cgroup = Cgroup { path: Some(path), container: None };
    cgroup.workload(host).map(|(workload, _)| workload)
}

/// A local end, by these alone.
pub fn local(
    path: Option<&str>,
    legacy_path: Option<&str>,
    process: &Process,
    host: &str,
) -> Workload {
    let cgroup = |path| Cgroup { path, container: None };
    let (unified, legacy) = (cgroup(path), cgroup(legacy_path));
    let facts = Facts { unified, legacy, process: Some(process) };
    decide(&facts, host).unwrap_or_else(|| by_process(process, host))
}

/// A local end: the container of its cgroup, else the unit, else its process. None where nothing is known.
///
/// On a hybrid host a runtime may leave a container in the cgroup2 directory of whoever started it,
/// so a container in the v1 hierarchy counts more than a unit in the other.
pub fn decide(facts: &Facts<'_>, host: &str) -> Option<Workload> {
    let legacy = || {
        let (workload, is_container) = facts.legacy.workload(host)?;
        Some((Workload { matched_by: MatchedBy::LegacyCgroup, ..workload }, is_container))
    };
    let found = match (facts.unified.workload(host), legacy()) {
        (Some((_, false)), Some((container, true))) => Some(container),
        (Some((workload, _)), _) | (None, Some((workload, _))) => Some(workload),
        (None, None) => None,
    };
    found.or_else(|| facts.process.map(|process| by_process(process, host)))
}

/// A file that speaks of another pod than the path is not of this container.
fn fits(container: &Container, place: &Place<'_>) -> bool {
    let is_id = place.container.is_none_or(|id| container.id == id);
    // One of a pod runs in its pod's cgroup; a path without one is somebody else's making.
    let is_pod = match (&container.pod, place.pod) {
        (Some(pod), Some(uid)) => pod.has_uid(uid),
        (pod, _) => pod.is_none(),
    };
    is_id && is_pod
}

fn in_pod(pod: &Pod, container: Option<&String>, host: &str) -> Workload {
    Workload {
        namespace: Some(pod.namespace.clone()),
        container: container.cloned(),
        ..Workload::local(&pod.name, Kind::Pod, host)
    }
}

fn in_container(container: &Container, host: &str) -> Workload {
    let service = container.service.clone();
    let workload = match &container.name {
        Some(name) => Workload::local(name, Kind::Container, host),
        None => by_id(&short(&container.id), Kind::Container, host),
    };
    Workload { service, ..workload }
}

/// It is sure which one it is, but the next one will be another.
fn by_id(id: &str, kind: Kind, host: &str) -> Workload {
    Workload { confidence: Confidence::Medium, ..Workload::local(id, kind, host) }
}

fn short(id: &str) -> String {
    id.chars().take(SHORT_ID).collect()
}

fn by_process(process: &Process, host: &str) -> Workload {
    Workload {
        matched_by: MatchedBy::Process,
        // A process that is alive can still have given itself this name.
        confidence: if process.alive { Confidence::Medium } else { Confidence::Low },
        ..Workload::local(process_name(process), Kind::Process, host)
    }
}

/// The name the kernel knows, because it is the same whether or not the process is still there;
/// the executable's only where a process has emptied its name.
fn process_name(process: &Process) -> &str {
    let exe = process.exe.as_deref().and_then(|exe| exe.rsplit('/').next());
    [Some(process.name.as_str()), exe]
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty())
        .unwrap_or("unknown")
}
