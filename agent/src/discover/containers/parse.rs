//! The files of the runtimes: from their text to one container.
//!
//! Each function takes the id or name under which a file was found and gives a container only if
//! the file is of that one. Annotations and labels are for anybody to set where a container is not
//! Kubernetes' own: what they say of a pod counts only if the cgroup, which Kubernetes made, has
//! the same uid.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use plainsight_core::identity::{Container, Pod};
use serde::{Deserialize, de::DeserializeOwned};

/// The longest name: that of a subdomain (RFC 1123), which names of pods and namespaces are.
const LONGEST: usize = 253;

/// What a parser makes of a text.
type Said = Result<Option<Container>, String>;

/// The part of an OCI bundle's `config.json` (OCI runtime specification, configuration).
#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The part of Docker's `config.v2.json`.
#[derive(Deserialize)]
struct Docker {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Config", default)]
    config: Option<DockerConfig>,
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
}

/// One of `containers.json`.
#[derive(Deserialize)]
struct Stored {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
}

/// The part of runc's `state.json`.
#[derive(Deserialize)]
struct RuncState {
    id: String,
    #[serde(default)]
    cgroup_paths: BTreeMap<String, PathBuf>,
}

/// The part of crun's `status`.
#[derive(Deserialize)]
struct CrunStatus {
    #[serde(rename = "cgroup-path", default)]
    path: String,
}

/// containerd's `config.json` of a task. Kubernetes' annotations count in its own namespace.
pub(super) fn containerd(text: &[u8], id: &str, is_kubernetes: bool) -> Said {
    let Bundle { annotations } = json(text)?;
    let get = |key: &str| annotations.get(key).map(String::as_str);
    if !is_kubernetes {
        let named = get("nerdctl/name").map(name).transpose()?;
        return Ok(named.map(|name| plain(id, name)));
    }
    let cri = |key: &str| get(&format!("io.kubernetes.cri.{key}"));
    let Some(pod) = pod(cri("sandbox-name"), cri("sandbox-namespace"), cri("sandbox-uid"))? else {
        return Ok(None);
    };
    let name = own_name(cri("container-type"), cri("container-name"))?;
    Ok(Some(Container { id: id.to_owned(), name, pod: Some(pod), service: None }))
}

/// CRI-O's `config.json`, in the cgroup of the pod with this uid.
pub(super) fn cri_o(text: &[u8], id: &str, uid: &str) -> Said {
    let Bundle { annotations } = json(text)?;
    let get = |key: &str| annotations.get(key).map(String::as_str);
    let kubernetes = |key: &str| get(&format!("io.kubernetes.{key}"));
    let pod = pod(kubernetes("pod.name"), kubernetes("pod.namespace"), kubernetes("pod.uid"))?;
    let Some(pod) = of(pod, uid)? else { return Ok(None) };
    let name = own_name(get("io.kubernetes.cri-o.ContainerType"), kubernetes("container.name"))?;
    Ok(Some(Container { id: id.to_owned(), name, pod: Some(pod), service: None }))
}

/// Docker's `config.v2.json`; `uid` is that of the pod in whose cgroup it runs.
pub(super) fn docker(text: &[u8], id: &str, uid: Option<&str>) -> Said {
    let Docker { id: own, name: given, config } = json(text)?;
    if own != id {
        return Err("of another container".to_owned());
    }
    let labels = config.and_then(|config| config.labels).unwrap_or_default();
    let get = |key: &str| labels.get(key).map(String::as_str);
    if let Some(uid) = uid {
        let kubernetes = |key: &str| get(&format!("io.kubernetes.{key}"));
        let pod = pod(kubernetes("pod.name"), kubernetes("pod.namespace"), kubernetes("pod.uid"))?;
        let Some(pod) = of(pod, uid)? else { return Ok(None) };
        let name = own_name(kubernetes("docker.type"), kubernetes("container.name"))?;
        return Ok(Some(Container { id: own, name, pod: Some(pod), service: None }));
    }
    // Services of two projects on one host may have one name.
    let part = |key: &str| get(&format!("com.docker.compose.{key}")).map(name).transpose();
    let service = part("project")?.zip(part("service")?);
    let service = service.map(|(project, service)| format!("{project}/{service}"));
    let name = name(given.strip_prefix('/').unwrap_or(&given))?;
    Ok(Some(Container { service, ..plain(id, name) }))
}

/// The names in a `containers.json` by id. One without a usable name is left out.
pub(super) fn names(text: &[u8]) -> Result<HashMap<String, String>, String> {
    let stored: Vec<Stored> = json(text)?;
    let first = |stored: Stored| {
        let given = stored.names?.into_iter().next()?;
        Some((stored.id, name(&given).ok()?))
    };
    Ok(stored.into_iter().filter_map(first).collect())
}

/// runc's `state.json` of the container with this name, whose cgroup must be `path` below one of `mounts`.
pub(super) fn runc(text: &[u8], id: &str, path: &str, mounts: &[PathBuf]) -> Said {
    let RuncState { id: own, cgroup_paths } = json(text)?;
    if own != id {
        return Err("of another container".to_owned());
    }
    let below = path.trim_start_matches('/');
    let is_here = |cgroup: &Path| mounts.iter().any(|mount| mount.join(below) == cgroup);
    // The unified hierarchy has no name of its own.
    let ours = ["", "name=systemd"].into_iter().filter_map(|name| cgroup_paths.get(name));
    if !ours.into_iter().any(|cgroup| is_here(cgroup)) {
        return Err("of another cgroup".to_owned());
    }
    Ok(Some(plain(id, name(id)?)))
}

/// crun's `status` of the container with this name, whose cgroup must be `path`.
pub(super) fn crun(text: &[u8], id: &str, path: &str) -> Said {
    let CrunStatus { path: own } = json(text)?;
    if own.trim_matches('/') != path.trim_matches('/') {
        return Err("of another cgroup".to_owned());
    }
    Ok(Some(plain(id, name(id)?)))
}

fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn plain(id: &str, name: String) -> Container {
    Container { id: id.to_owned(), name: Some(name), ..Container::default() }
}

/// All three, or none: half a pod is a wrong one.
fn pod(
    given: Option<&str>,
    namespace: Option<&str>,
    uid: Option<&str>,
) -> Result<Option<Pod>, String> {
    let (Some(given), Some(namespace), Some(uid)) = (given, namespace, uid) else {
        return Ok(None);
    };
    Ok(Some(Pod { name: name(given)?, namespace: name(namespace)?, uid: name(uid)? }))
}

/// The pod, if it is the one with this uid.
fn of(pod: Option<Pod>, uid: &str) -> Result<Option<Pod>, String> {
    match pod {
        Some(pod) if !pod.has_uid(uid) => Err("of another pod".to_owned()),
        pod => Ok(pod),
    }
}

/// A pod's own container, which holds its network, has none.
fn own_name(sort: Option<&str>, given: Option<&str>) -> Result<Option<String>, String> {
    match sort {
        Some("sandbox" | "podsandbox") => Ok(None),
        _ => given.map(name).transpose(),
    }
}

/// What can be shown as a name.
fn name(given: &str) -> Result<String, String> {
    let is_usable =
        (1..=LONGEST).contains(&given.len()) && !given.chars().any(|c| c.is_control() || c == '/');
    is_usable.then(|| given.to_owned()).ok_or_else(|| "a name that is none".to_owned())
}
