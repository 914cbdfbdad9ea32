//! What the path of a cgroup says: the pod, the container, the unit.
//!
//! Runtimes and systemd spell these paths each in its own way; a component is taken for what it is only
//! if it has the whole form, because anybody who may make a cgroup may name it.

use alloc::vec::Vec;

/// What a path names. Of several of a sort it is the innermost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// Uid of a pod, with dashes or underscores as the path has them.
    pub pod: Option<&'a str>,
    /// Id of a container: 64 hexadecimal digits. In a pod the pod's own, whatever runs inside it.
    pub container: Option<&'a str>,
    /// The runtime that the name of its cgroup tells.
    pub runtime: Option<&'static str>,
    /// A pod's class of service.
    pub qos: Option<&'static str>,
    /// Name of a service or scope.
    pub unit: Option<&'a str>,
    /// Uid of the user whose own systemd it is below.
    pub user: Option<&'a str>,
}

/// What runtimes put before a container's id in the name of its cgroup.
const RUNTIMES: [(&str, &str); 7] = [
    ("cri-containerd", "containerd"),
    ("crio", "cri-o"),
    ("docker", "docker"),
    ("libpod-payload", "podman"),
    ("libpod", "podman"),
    ("containerd", "containerd"),
    ("nerdctl", "containerd"),
];

/// What runtimes that are called directly put before the name of a container.
const DIRECT: [&str; 2] = ["runc-", "crun-"];

/// Longer names are no container's (`NAME_MAX`).
const LONGEST_NAME: usize = 255;

/// How deep in a path a container's name is looked for.
const DEEPEST: usize = 16;

// === impl Place ===

impl<'a> Place<'a> {
    /// What this path names.
    pub fn of(path: &'a str) -> Self {
        let pod = last(path, |component| pod_uid(component).map(|uid| (component, uid)));
        let (component, container) = match pod {
            Some((slice, _)) => below(path, slice, container_id),
            None => last(path, |component| Some((component, container_id(component)?))),
        }
        .unzip();
        Self {
            pod: pod.map(|(_, uid)| uid),
            container,
            runtime: component.and_then(runtime),
            qos: pod.map(|_| qos(path)),
            unit: last(path, unit),
            user: last(path, user),
        }
    }

    /// Whether it names anything but the systemd it is below.
    pub const fn is_workload(&self) -> bool {
        self.pod.is_some() || self.container.is_some() || self.unit.is_some()
    }
}

/// Names that a container could have whose id is in no form of its own, as of `runc run NAME`, innermost first,
/// each with the path of the cgroup that would be its.
pub fn names(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let cuts = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    // From the end to the front, without what stands behind the last slash that is no component.
    let mut ends: Vec<usize> = cuts.collect();
    ends.reverse();
    ends.into_iter().take(DEEPEST).filter_map(|end| {
        let path = path.get(..end)?;
        Some((direct(path.rsplit('/').next()?)?, path))
    })
}

/// The name in `NAME`, `runc-NAME.scope` or `slice:runc:NAME`.
fn direct(component: &str) -> Option<&str> {
    let scope = component.strip_suffix(".scope");
    let name = match scope {
        Some(scope) => DIRECT.iter().find_map(|runtime| scope.strip_prefix(runtime))?,
        None => component.rsplit(':').next()?,
    };
    let is_frame = name.ends_with(".slice") || name.ends_with(".service");
    let is_name = !name.is_empty() && name.len() <= LONGEST_NAME && name != "." && name != "..";
    (is_name && !is_frame).then_some(name)
}

/// The innermost component of the path that `name` finds something in.
fn last<'a, T>(path: &'a str, name: impl Fn(&'a str) -> Option<T>) -> Option<T> {
    path.rsplit('/').find_map(name)
}

/// The outermost component from the last `slice` on that `name` finds something in.
fn below<'a>(
    path: &'a str,
    slice: &str,
    name: impl Fn(&'a str) -> Option<&'a str>,
) -> Option<(&'a str, &'a str)> {
    let inside = path.rmatch_indices(slice).next().and_then(|(at, _)| path.get(at..))?;
    inside.split('/').find_map(|component| Some((component, name(component)?)))
}

fn runtime(component: &str) -> Option<&'static str> {
    let known = |name: &str| RUNTIMES.iter().find(|(prefix, _)| *prefix == name);
    // `slice:cri-containerd:ID`, or `cri-containerd-ID.scope`.
    let name = match component.split(':').nth(1) {
        Some(name) => name,
        None => component.rsplit_once('-')?.0,
    };
    known(name).map(|(_, runtime)| *runtime)
}

/// Neither of the other two has a level of its own in the path.
fn qos(path: &str) -> &'static str {
    let is_in = |name| last(path, |component| component.contains(name).then_some(())).is_some();
    match (is_in("burstable"), is_in("besteffort")) {
        (true, _) => "burstable",
        (_, true) => "besteffort",
        _ => "guaranteed",
    }
}

/// The id in `<id>`, `docker-<id>.scope`, or `<slice>:cri-containerd:<id>`.
fn container_id(component: &str) -> Option<&str> {
    let id = component.rsplit(':').next().unwrap_or(component);
    let id = id.strip_suffix(".scope").unwrap_or(id);
    let bare = |(runtime, _): &(&str, _)| id.strip_prefix(*runtime)?.strip_prefix('-');
    let id = RUNTIMES.iter().find_map(bare).unwrap_or(id);
    (id.len() == 64 && is_hex(id)).then_some(id)
}

/// The uid in `pod<uid>` or `kubepods-burstable-pod<uid>.slice`, with dashes or underscores.
fn pod_uid(component: &str) -> Option<&str> {
    let slice = component.split(':').next().unwrap_or(component);
    let (before, uid) = slice.strip_suffix(".slice").unwrap_or(slice).rsplit_once("pod")?;
    ((before.is_empty() || before.ends_with('-')) && is_uid(uid)).then_some(uid)
}

/// A UUID (RFC 9562, section 4), or the bare 32 digits that a static pod has for one.
fn is_uid(uid: &str) -> bool {
    let at_dash = |at| matches!(at, 8 | 13 | 18 | 23);
    let grouped = |(at, b): (usize, u8)| match b {
        b'-' | b'_' => at_dash(at),
        b => !at_dash(at) && b.is_ascii_hexdigit(),
    };
    match uid.len() {
        32 => is_hex(uid),
        36 => uid.bytes().enumerate().all(grouped),
        _ => false,
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A service or scope that is a workload, and not the frame that others run in.
fn unit(component: &str) -> Option<&str> {
    let frame = component == "init.scope"
        || component.starts_with("session-") && component.ends_with(".scope")
        || user(component).is_some();
    let (name, suffix) = component.rsplit_once('.')?;
    (!frame && !name.is_empty() && matches!(suffix, "service" | "scope")).then_some(component)
}

/// The uid of the user whose own systemd this is.
fn user(component: &str) -> Option<&str> {
    let uid = component.strip_prefix("user@")?.strip_suffix(".service")?;
    (!uid.is_empty() && uid.bytes().all(|b| b.is_ascii_digit())).then_some(uid)
}
