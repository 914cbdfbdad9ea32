//! What passes by on this host without being seen, and why.
//!
//! The programs sit on the host's TCP sockets. Traffic that does without such a socket is not on
//! the map, and a map without it looks complete. So what can be told of it is told.

use std::{
    collections::{BTreeSet, HashSet},
    ffi::OsString,
    fs, io,
    path::Path,
};

use caps::Capability;

use super::{Check, Release};

/// Kernels that tell a process's name only with CAP_PERFMON.
const HIDES_NAMES: Release = Release(6, 18);

/// Beginnings of the names of processes that run guests with a network stack of their own; the
/// kernel keeps 15 bytes of a name.
const GUESTS: [(&str, &str); 7] = [
    ("runsc", "gVisor"),
    ("containerd-shim-kata", "Kata"),
    ("kata-", "Kata"),
    ("qemu-", "QEMU"),
    ("firecracker", "Firecracker"),
    ("cloud-hyperviso", "Cloud Hypervisor"),
    ("crosvm", "crosvm"),
];

/// What is looked for, as it is called where it was not found.
const LOOKED_FOR: &str = "packet and raw sockets, AF_XDP, forwarding, guests, tunnels, SCTP, MPTCP, \
                          namespaces out of reach";

/// What was read of the host.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// `/proc/net/protocols`.
    protocols: String,
    forwards: bool,
    /// Bridges that have ports.
    bridges: Vec<String>,
    /// Interfaces of the kernel's WireGuard.
    wireguard: Vec<String>,
    /// `/proc/net/xfrm_stat`.
    xfrm: String,
    mptcp: bool,
    /// Names of processes.
    processes: Vec<String>,
    namespaces: Namespaces,
}

/// Network namespaces of processes, as far as they can be told.
#[derive(Debug, Default)]
struct Namespaces {
    others: usize,
    /// Processes that do not let their namespace be told.
    hidden: usize,
}

// === impl Surroundings ===

impl Surroundings {
    pub(super) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let is_set = |path: &str| text(path).trim() != "0" && !text(path).is_empty();
        let class = Path::new("/sys/class/net");
        let is_bridge = |name: &String| has_entries(&class.join(name).join("brif"));
        let is_wireguard = |name: &String| {
            let uevent = fs::read_to_string(class.join(name).join("uevent"));
            uevent.is_ok_and(|text| text.lines().any(|line| line == "DEVTYPE=wireguard"))
        };
        let interfaces = names_in(class);
        Self {
            protocols: text("/proc/net/protocols"),
            forwards: is_set("/proc/sys/net/ipv4/ip_forward")
                || is_set("/proc/sys/net/ipv6/conf/all/forwarding"),
            bridges: interfaces.iter().filter(|name| is_bridge(name)).cloned().collect(),
            wireguard: interfaces.into_iter().filter(is_wireguard).collect(),
            xfrm: text("/proc/net/xfrm_stat"),
            mptcp: is_set("/proc/sys/net/mptcp/enabled"),
            processes: process_names(),
            namespaces: Namespaces::read(),
        }
    }

    /// One warning for each kind that was found, else one line that says what was looked for.
    pub(super) fn judge(&self, release: Option<Release>, held: &HashSet<Capability>) -> Vec<Check> {
        let found: Vec<Check> = [
            self.sockets(),
            self.forwarding(),
            self.guests(),
            self.tunnels(),
            self.sctp(),
            self.mptcp(),
            self.namespaces(held),
            names(release, held),
        ]
        .into_iter()
        .flatten()
        .collect();
        if found.is_empty() {
            vec![Check::ok("not seen", format!("none of {LOOKED_FOR}"))]
        } else {
            found
        }
    }

    fn sockets(&self) -> Option<Check> {
        let kinds = [
            ("packet sockets", &["PACKET"][..]),
            ("raw sockets", &["RAW", "RAWv6"]),
            ("AF_XDP sockets", &["XDP"]),
        ];
        let counted = kinds.map(|(kind, names)| (kind, in_use(&self.protocols, names)));
        let used = counted.into_iter().filter(|(_, count)| *count > 0);
        let used: Vec<String> = used.map(|(kind, count)| format!("{count} {kind}")).collect();
        (!used.is_empty()).then(|| {
            unseen("sockets beside TCP", used.join(", "), "`ss -0 -w -p` names who has them open")
        })
    }

    fn forwarding(&self) -> Option<Check> {
        let mut found = Vec::new();
        if self.forwards {
            found.push("this host forwards packets of others".to_owned());
        }
        if !self.bridges.is_empty() {
            found.push(format!("bridges with ports: {}", self.bridges.join(", ")));
        }
        (!found.is_empty()).then(|| {
            let advice = "what has its sockets on this host, as containers do, is seen; what only \
                          passes through is not: watch it where it ends";
            unseen("forwarded traffic", found.join("; "), advice)
        })
    }

    fn guests(&self) -> Option<Check> {
        let kind = |name: &String| GUESTS.iter().find(|(start, _)| name.starts_with(start));
        let kinds: BTreeSet<&str> =
            self.processes.iter().filter_map(kind).map(|(_, kind)| *kind).collect();
        (!kinds.is_empty()).then(|| {
            let found = kinds.into_iter().collect::<Vec<_>>().join(", ");
            unseen("guests", found, "run an agent inside of them: they have a stack of their own")
        })
    }

    fn tunnels(&self) -> Option<Check> {
        let mut found = Vec::new();
        if !self.wireguard.is_empty() {
            found.push(format!("WireGuard in the kernel: {}", self.wireguard.join(", ")));
        }
        if self.uses_ipsec() {
            found.push("IPsec has been in use".to_owned());
        }
        (!found.is_empty()).then(|| {
            let advice = "connections inside a tunnel are seen, as if there was none; its own \
                          datagrams are not counted";
            unseen("tunnels", found.join("; "), advice)
        })
    }

    /// The counters are of packets that came to harm: where there is IPsec, some did.
    fn uses_ipsec(&self) -> bool {
        let counts = self.xfrm.lines().filter_map(|line| line.split_ascii_whitespace().nth(1));
        counts.into_iter().any(|count| count.parse().is_ok_and(|count: u64| count > 0))
    }

    fn sctp(&self) -> Option<Check> {
        let count = in_use(&self.protocols, &["SCTP", "SCTPv6"]);
        (count > 0).then(|| unseen("SCTP", format!("{count} sockets"), "it has no hook to watch"))
    }

    fn mptcp(&self) -> Option<Check> {
        let count = in_use(&self.protocols, &["MPTCP", "MPTCPv6"]);
        (self.mptcp && count > 0).then(|| {
            let advice = "each path of a connection counts as a connection; those after the first \
                          have no process";
            unseen("MPTCP", format!("{count} sockets"), advice)
        })
    }

    fn namespaces(&self, held: &HashSet<Capability>) -> Option<Check> {
        let Namespaces { others, hidden } = self.namespaces;
        let may_enter = held.contains(&Capability::CAP_SYS_ADMIN);
        let out_of_reach = if may_enter { 0 } else { others };
        (out_of_reach > 0 || hidden > 0).then(|| {
            let found = format!(
                "{out_of_reach} that may not be entered, and {hidden} processes whose own is not \
                 told"
            );
            let advice = "new connections there are seen; for those older than the agent, and for \
                          the names of older servers, give it CAP_SYS_ADMIN and CAP_SYS_PTRACE";
            unseen("network namespaces", found, advice)
        })
    }
}

// === impl Namespaces ===

impl Namespaces {
    fn read() -> Self {
        let own = fs::read_link("/proc/self/ns/net").unwrap_or_default().into_os_string();
        let mut known = BTreeSet::<OsString>::new();
        let mut hidden = 0;
        for process in numbered() {
            match fs::read_link(process.join("ns/net")) {
                Ok(namespace) => _ = known.insert(namespace.into_os_string()),
                Err(error) => {
                    let refused = error.kind() == io::ErrorKind::PermissionDenied;
                    // One that has ended and waits for its parent refuses everybody.
                    let dead = fs::read(process.join("cmdline")).is_ok_and(|line| line.is_empty());
                    hidden += usize::from(refused && !dead);
                }
            }
        }
        known.remove(&own);
        Self { others: known.len(), hidden }
    }
}

fn names(release: Option<Release>, held: &HashSet<Capability>) -> Option<Check> {
    let told = [Capability::CAP_PERFMON, Capability::CAP_SYS_ADMIN];
    let is_told = told.iter().any(|capability| held.contains(capability));
    (release.is_some_and(|release| release >= HIDES_NAMES) && !is_told).then(|| {
        let found = "this kernel tells them only with CAP_PERFMON";
        unseen("process names", found, "give it, or workloads that share a cgroup are one")
    })
}

fn unseen(name: &'static str, found: impl Into<String>, advice: &str) -> Check {
    Check::warning(name, format!("not seen: {}", found.into()), advice)
}

/// Sockets of these protocols in this network namespace, by `/proc/net/protocols`.
fn in_use(protocols: &str, names: &[&str]) -> u64 {
    let lines = protocols.lines().skip(1);
    let count = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let is_asked = fields.next().is_some_and(|name| names.contains(&name));
        // The size stands between; a protocol that does not count has -1.
        let count: i64 = fields.nth(1)?.parse().ok()?;
        is_asked.then(|| u64::try_from(count).unwrap_or(0))
    };
    lines.filter_map(count).sum()
}

fn has_entries(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// The folders of processes below `/proc`.
fn numbered() -> impl Iterator<Item = std::path::PathBuf> {
    let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    names_in(Path::new("/proc")).into_iter().filter(is_number).map(|id| Path::new("/proc").join(id))
}

fn process_names() -> Vec<String> {
    let names = numbered().filter_map(|process| fs::read_to_string(process.join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    const PROTOCOLS: &str = "protocol  size sockets  memory press maxhdr  slab module     cl co\n\
                             PACKET    1600      2      -1   NI       0   no   kernel    n n\n\
                             RAWv6     1344      1      -1   NI       0   yes  kernel    y y\n\
                             RAW       1152      3      -1   NI       0   yes  kernel    y y\n\
                             XDP       1088     -1      -1   NI       0   no   kernel    n n\n\
                             SCTP      1088      5      -1   NI       0   no   sctp      n n\n\
                             MPTCP     1936      7     255   no       0   yes  kernel    n n\n";

    fn all() -> HashSet<Capability> {
        caps::all()
    }

    fn found(surroundings: &Surroundings) -> Vec<(String, String)> {
        let checks = surroundings.judge(Some(Release(6, 1)), &all());
        assert!(checks.iter().all(|check| check.outcome == Outcome::Warning), "{checks:?}");
        checks.into_iter().map(|check| (check.name.into_owned(), check.found)).collect()
    }

    #[test]
    fn a_host_without_any_of_it_says_what_was_looked_for() {
        let checks = Surroundings::default().judge(Some(Release(6, 1)), &all());
        assert_eq!(checks.len(), 1);
        assert_eq!((checks[0].outcome, &*checks[0].name), (Outcome::Ok, "not seen"));
        assert!(checks[0].found.contains("AF_XDP"));
    }

    #[test]
    fn every_kind_is_named() {
        let surroundings = Surroundings {
            protocols: PROTOCOLS.into(),
            forwards: true,
            bridges: vec!["br0".into()],
            wireguard: vec!["wg0".into()],
            xfrm: "XfrmInError             \t0\nXfrmInNoStates          \t3\n".into(),
            mptcp: true,
            processes: ["nginx", "qemu-system-x86", "runsc-sandbox"].map(str::to_owned).into(),
            namespaces: Namespaces { others: 4, hidden: 1 },
        };
        let expect = [
            ("sockets beside TCP", "not seen: 2 packet sockets, 4 raw sockets"),
            (
                "forwarded traffic",
                "not seen: this host forwards packets of others; bridges with ports: br0",
            ),
            ("guests", "not seen: QEMU, gVisor"),
            ("tunnels", "not seen: WireGuard in the kernel: wg0; IPsec has been in use"),
            ("SCTP", "not seen: 5 sockets"),
            ("MPTCP", "not seen: 7 sockets"),
            (
                "network namespaces",
                "not seen: 0 that may not be entered, and 1 processes whose own is not told",
            ),
        ];
        let expect = expect.map(|(name, found)| (name.to_owned(), found.to_owned()));
        assert_eq!(found(&surroundings), expect);
    }

    #[test]
    fn namespaces_are_out_of_reach_without_the_capability() {
        let namespaces = Namespaces { others: 4, hidden: 0 };
        let surroundings = Surroundings { namespaces, ..Surroundings::default() };
        let check = |held: &HashSet<Capability>, expect: usize| {
            let checks = surroundings.judge(Some(Release(6, 1)), held);
            let warnings = checks.iter().filter(|check| check.outcome == Outcome::Warning);
            assert_eq!(warnings.count(), expect, "{checks:?}");
        };
        check(&all(), 0);
        check(&HashSet::from([Capability::CAP_BPF, Capability::CAP_NET_ADMIN]), 1);
    }

    #[test]
    fn newer_kernels_hide_names() {
        let check = |release: Release, held: &[Capability], expect: bool| {
            let held = held.iter().copied().collect();
            assert_eq!(names(Some(release), &held).is_some(), expect, "{release:?} {held:?}");
        };
        check(Release(6, 12), &[], false);
        check(Release(6, 18), &[], true);
        check(Release(7, 0), &[Capability::CAP_BPF], true);
        check(Release(6, 18), &[Capability::CAP_PERFMON], false);
        check(Release(6, 18), &[Capability::CAP_SYS_ADMIN], false);
    }

    #[test]
    fn odd_tables_are_read_as_none() {
        for text in ["", "protocol\n", "protocol\nRAW\nRAW x\nRAW 1 x\n"] {
            assert_eq!(in_use(text, &["RAW"]), 0, "{text:?}");
        }
    }

    #[test]
    fn this_host_can_be_read() {
        let surroundings = Surroundings::read();
        assert!(!surroundings.processes.is_empty() && !surroundings.protocols.is_empty());
    }
}
