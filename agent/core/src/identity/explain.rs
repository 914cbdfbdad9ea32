//! How a name came about, step by step, for people who doubt it.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Workload;
use super::path::Place;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An address.
    Address(IpAddr),
    /// A process, by its id.
    Process(u32),
    /// A cgroup, by its path from the root of the cgroup2 hierarchy.
    Path(String),
    /// A cgroup, by its id: the inode of its directory.
    Cgroup(u64),
}

/// How a name came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was asked about.
    pub subject: String,
    /// The sources in the order in which they were asked.
    pub steps: Vec<Step>,
    /// The workload that follows from them now; none where nothing is known.
    pub workload: Option<Workload>,
    /// Workloads that ends of this cgroup have on the map: names that were given when each was first
    /// seen, and stay.
    pub given: Vec<Workload>,
}

/// A source, and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What sort of source it is.
    pub source: String,
    /// What it was asked.
    pub asked: String,
    /// What it said; none where it had nothing to say.
    pub said: Option<String>,
}

// === impl Subject ===

impl Subject {
    /// What a user means: an address, the id of a process, the path of a cgroup, or `cgroup/` and its id.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse() {
            return Some(Self::Address(ip));
        }
        if let Some(id) = text.strip_prefix("cgroup/") {
            return id.parse().ok().map(Self::Cgroup);
        }
        match text.parse() {
            Ok(0) => None,
            Ok(tgid) => Some(Self::Process(tgid)),
            Err(_) if text.starts_with('/') => Some(Self::Path(text.to_owned())),
            Err(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::Process(tgid) => tgid.fmt(f),
            Self::Path(path) => f.write_str(path),
            Self::Cgroup(id) => write!(f, "cgroup/{id}"),
        }
    }
}

// === impl Step ===

impl Step {
    /// A step.
    pub fn new(source: &str, asked: impl Into<String>, said: Option<String>) -> Self {
        Self { source: source.to_owned(), asked: asked.into(), said }
    }
}

// === impl Place ===

impl Place<'_> {
    /// What the path names, in words.
    pub fn describe(&self) -> String {
        let Self { pod, container, runtime, qos, unit, user } = *self;
        let parts = [
            pod.map(|uid| format!("pod {}", uid.replace('_', "-"))),
            qos.map(|qos| format!("class {qos}")),
            container.map(|id| format!("container {id}")),
            runtime.map(|runtime| format!("runtime {runtime}")),
            unit.map(|unit| format!("unit {unit}")),
            user.map(|uid| format!("user {uid}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "no workload of its own".to_string() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_as_users_write_them() {
        let check = |text: &str, expect: Option<Subject>| {
            assert_eq!(Subject::parse(text), expect, "{text}");
            let shown = expect.map(|subject| subject.to_string());
            assert!(shown.is_none_or(|shown| shown == text), "{text}");
        };
        check("192.0.2.7", Some(Subject::Address("192.0.2.7".parse().unwrap())));
        check("2001:db8::7", Some(Subject::Address("2001:db8::7".parse().unwrap())));
        check("4711", Some(Subject::Process(4711)));
        check("/system.slice/a.service", Some(Subject::Path("/system.slice/a.service".into())));
        check("cgroup/42", Some(Subject::Cgroup(42)));
        check("0", None);
        check("-1", None);
        check("cgroup/x", None);
        check("nginx", None);
        check("", None);
    }

    #[test]
    fn a_place_is_told_in_words() {
        let check = |path: &str, expect: &str| assert_eq!(Place::of(path).describe(), expect);
        check("/", "no workload of its own");
        check("/system.slice/a.service", "unit a.service");
        let pod = "0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f9";
        let dashed = pod.replace('_', "-");
        check(&format!("/kubepods/burstable/pod{pod}"), &format!("pod {dashed}, class burstable"));
    }
}
