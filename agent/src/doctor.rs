//! What the agent needs of this host, checked one by one, each with what to do about it.
//!
//! `run` and `scan` make the same checks before they touch anything and refuse to start with all
//! failures named at once. Reading is apart from judging, so that the judgement is tested on
//! hosts that are not at hand.

mod names;
mod neighbours;
mod running;
mod unseen;

use std::{borrow::Cow, collections::HashSet, fs, path::Path};

use anyhow::bail;
use caps::{CapSet, Capability};
use nix::sys::{
    resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
    statfs::BPF_FS_MAGIC,
    utsname::uname,
};

use serde::Serialize;

pub use running::{MapState, agent, health, maps, no_answer};
use unseen::Surroundings;

use crate::{
    config::KernelConfig,
    discover::mount::{self, Hierarchy, MountError},
};

/// The oldest kernel whose verifier and helpers the programs are made for.
const OLDEST: Release = Release(5, 10);

/// The first kernel that charges BPF memory to the cgroup and not to RLIMIT_MEMLOCK.
const CHARGES_CGROUP: Release = Release(5, 11);

/// The first of those tried whose verifier takes the programs without CAP_PERFMON: 5.10 and 6.1 do
/// not, 6.12 does.
const TRUSTS: Release = Release(6, 12);

const BPFFS: &str = "/sys/fs/bpf";

/// Inode of the namespace that the kernel starts with (PROC_PID_INIT_INO).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// How a check came out, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// The agent works, but something is missing or lost.
    Warning,
    /// The agent cannot work.
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: Cow<'static, str>,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// What to do, where something is to be done.
    pub advice: Option<String>,
}

/// All of it: what `doctor -o json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Everything that was looked at, in the order of the screen.
    pub checks: Vec<Check>,
    /// The maps of the running agent; none without one.
    pub maps: Vec<MapState>,
}

/// A kernel's version, as far as it decides anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Release(u32, u32);

/// What was read of the host.
struct Host {
    release: String,
    capabilities: Result<HashSet<Capability>, String>,
    initial_user_namespace: bool,
    memlock: Memlock,
    bpffs: bool,
    hierarchy: Result<Hierarchy, MountError>,
    proc: Proc,
}

/// The limit on locked memory, after an attempt to lift it.
#[derive(Clone, Copy)]
enum Memlock {
    Unlimited,
    Limited(u64),
}

/// What `/proc` shows.
struct Proc {
    readable: bool,
    hides: bool,
    initial_pid_namespace: bool,
}

// === impl Check ===

impl Check {
    fn ok(name: impl Into<Cow<'static, str>>, found: impl Into<String>) -> Self {
        Self { name: name.into(), outcome: Outcome::Ok, found: found.into(), advice: None }
    }

    fn warning(
        name: impl Into<Cow<'static, str>>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { name: name.into(), outcome: Outcome::Warning, found: found.into(), advice }
    }

    fn failed(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { name: name.into(), outcome: Outcome::Failed, found: found.into(), advice }
    }
}

// === impl Release ===

impl Release {
    /// The first two numbers of what `uname -r` says.
    fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next()?.parse().ok();
        Some(Self(next()?, next()?))
    }
}

/// Checks the host. Lifts this process's limit on locked memory where it may.
pub fn preflight(config: &KernelConfig) -> Vec<Check> {
    let mut checks = judge(&Host::read(config.cgroup.as_deref()), config);
    checks.push(names::runtimes());
    checks
}

/// An error that names every failed check and what to do, if there is one.
pub fn refuse_failures(checks: &[Check]) -> anyhow::Result<()> {
    let failed = checks.iter().filter(|check| check.outcome == Outcome::Failed);
    let named: Vec<String> = failed.map(sentence).collect();
    if named.is_empty() {
        return Ok(());
    }
    bail!("this host is not ready: {}", named.join("; "))
}

/// The check as one line for logs and errors.
pub fn sentence(check: &Check) -> String {
    match &check.advice {
        Some(advice) => format!("{}: {} ({advice})", check.name, check.found),
        None => format!("{}: {}", check.name, check.found),
    }
}

/// The worst of the outcomes.
pub fn worst(checks: &[Check]) -> Outcome {
    checks.iter().map(|check| check.outcome).max().unwrap_or(Outcome::Ok)
}

/// The release of the running kernel.
pub fn kernel_release() -> String {
    uname().map_or_else(
        |error| format!("unknown ({error})"),
        |name| name.release().to_string_lossy().into_owned(),
    )
}

// === impl Host ===

impl Host {
    fn read(cgroup: Option<&Path>) -> Self {
        Self {
            release: kernel_release(),
            capabilities: caps::read(None, CapSet::Effective).map_err(|error| error.to_string()),
            initial_user_namespace: fs::read_to_string("/proc/self/uid_map")
                .is_ok_and(|map| is_identity(&map)),
            memlock: lift_memlock(),
            bpffs: mount::has_magic(Path::new(BPFFS), BPF_FS_MAGIC).unwrap_or(false),
            hierarchy: mount::hierarchy(cgroup),
            proc: Proc::read(),
        }
    }
}

// === impl Proc ===

impl Proc {
    fn read() -> Self {
        let namespace = fs::read_link("/proc/self/ns/pid");
        Self {
            readable: fs::metadata("/proc/self/stat").is_ok(),
            hides: mount::mounts().is_ok_and(|mounts| mount::hides_processes(&mounts)),
            initial_pid_namespace: namespace
                .is_ok_and(|path| path.as_os_str() == INITIAL_PID_NAMESPACE),
        }
    }
}

/// Whether every user id stands for itself, as in the namespace the kernel starts with.
fn is_identity(uid_map: &str) -> bool {
    uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

fn lift_memlock() -> Memlock {
    if setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok() {
        return Memlock::Unlimited;
    }
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK) else { return Memlock::Limited(0) };
    // Up to the hard limit no privilege is needed.
    let limit = match setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    if limit == RLIM_INFINITY { Memlock::Unlimited } else { Memlock::Limited(limit) }
}

fn judge(host: &Host, config: &KernelConfig) -> Vec<Check> {
    // A kernel that does not say what it is gets the benefit of the doubt: loading will tell.
    let release = Release::parse(&host.release);
    let old = release.is_some_and(|release| release < CHARGES_CGROUP);
    vec![
        kernel(&host.release, release),
        capabilities(host, release.is_some_and(|release| release < TRUSTS)),
        memlock(host.memlock, old, config.memory_bytes()),
        cgroup(&host.hierarchy, config.cgroup.as_deref()),
        bpffs(host.bpffs),
        proc(&host.proc, has(host, Capability::CAP_SYS_PTRACE)),
    ]
}

fn kernel(text: &str, release: Option<Release>) -> Check {
    let Release(major, minor) = OLDEST;
    match release {
        Some(release) if release >= OLDEST => Check::ok("kernel", text),
        Some(_) => Check::failed("kernel", text, format!("use Linux {major}.{minor} or later")),
        None => Check::warning(
            "kernel",
            format!("{text}: no version was understood"),
            format!("make sure that it is Linux {major}.{minor} or later"),
        ),
    }
}

fn capabilities(host: &Host, old: bool) -> Check {
    const NAME: &str = "capabilities";
    let held = match &host.capabilities {
        Ok(held) => held,
        Err(error) => return Check::warning(NAME, error, "mount a proc filesystem at /proc"),
    };
    let missing = missing_capabilities(held, old);
    if !missing.is_empty() {
        return Check::failed(
            NAME,
            format!("{} missing", missing.join(" and ")),
            "run as root (sudo), or give the process these capabilities (systemd: \
             AmbientCapabilities=; Kubernetes: securityContext.capabilities.add)",
        );
    }
    if !host.initial_user_namespace {
        return Check::failed(
            NAME,
            "held in a user namespace only, where they do not reach the kernel's BPF",
            "run outside user namespaces (rootless containers have one)",
        );
    }
    Check::ok(NAME, required(old).map(name).collect::<Vec<_>>().join(", "))
}

/// What the kernel asks for, least first.
fn required(old: bool) -> impl Iterator<Item = Capability> + Clone {
    use Capability::{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON};
    [CAP_BPF, CAP_NET_ADMIN].into_iter().chain(old.then_some(CAP_PERFMON))
}

fn missing_capabilities(held: &HashSet<Capability>, old: bool) -> Vec<String> {
    // The kernel takes CAP_SYS_ADMIN for the two that were split off from it.
    let stands_in =
        |wanted| wanted != Capability::CAP_NET_ADMIN && held.contains(&Capability::CAP_SYS_ADMIN);
    let missing = required(old).filter(|wanted| !held.contains(wanted) && !stands_in(*wanted));
    missing.map(name).collect()
}

fn name(capability: Capability) -> String {
    capability.to_string()
}

fn has(host: &Host, capability: Capability) -> bool {
    host.capabilities.as_ref().is_ok_and(|held| held.contains(&capability))
}

fn memlock(limit: Memlock, old: bool, needed: u64) -> Check {
    const NAME: &str = "locked memory";
    const ADVICE: &str = "give the process CAP_SYS_RESOURCE, or lift its limit (systemd: \
                          LimitMEMLOCK=infinity; shell: ulimit -l unlimited)";
    match limit {
        Memlock::Unlimited => Check::ok(NAME, "unlimited"),
        Memlock::Limited(limit) if !old => Check::warning(
            NAME,
            format!("limited to {limit} bytes, and the limit could not be lifted"),
            "nothing to do: this kernel charges BPF memory to the cgroup instead",
        ),
        Memlock::Limited(limit) if limit >= needed => {
            Check::ok(NAME, format!("limited to {limit} bytes, {needed} are needed"))
        }
        Memlock::Limited(limit) => Check::failed(
            NAME,
            format!("limited to {limit} bytes, {needed} are needed"),
            format!("{ADVICE}, or lower --max-edges"),
        ),
    }
}

fn cgroup(hierarchy: &Result<Hierarchy, MountError>, asked: Option<&Path>) -> Check {
    const NAME: &str = "cgroup2";
    match hierarchy {
        Ok(found) if asked.is_some() => {
            Check::ok(NAME, format!("{}, as asked", found.attach.display()))
        }
        Ok(found) => Check::ok(NAME, format!("the host's root, at {}", found.attach.display())),
        Err(error) => {
            let text = error.to_string();
            let (found, advice) = text.rsplit_once(": ").unwrap_or((&text, "see the reference"));
            Check::failed(NAME, found, advice)
        }
    }
}

fn bpffs(mounted: bool) -> Check {
    if mounted {
        return Check::ok("bpffs", format!("mounted at {BPFFS}"));
    }
    Check::warning(
        "bpffs",
        format!("no BPF filesystem at {BPFFS}"),
        format!("not needed for watching; mount one with `mount -t bpf bpf {BPFFS}`"),
    )
}

fn proc(proc: &Proc, may_trace: bool) -> Check {
    const NAME: &str = "processes";
    if !proc.readable {
        let advice = "mount a proc filesystem at /proc";
        return Check::warning(NAME, "/proc cannot be read, so no process has a file name", advice);
    }
    if !proc.initial_pid_namespace {
        return Check::warning(
            NAME,
            "in a process namespace of its own, so process ids of the host mean nothing here",
            "share the host's (Kubernetes: hostPID: true; docker: --pid=host)",
        );
    }
    if proc.hides && !may_trace {
        return Check::warning(
            NAME,
            "/proc hides the processes of other users (hidepid)",
            "give the process CAP_SYS_PTRACE, or mount /proc without hidepid",
        );
    }
    Check::ok(NAME, "visible in /proc")
}

/// What passes by unseen on this host, and who else has programs at the same cgroup.
pub fn surroundings(config: &KernelConfig) -> Vec<Check> {
    let held = caps::read(None, CapSet::Effective).unwrap_or_default();
    let release = Release::parse(&kernel_release());
    let mut checks = Surroundings::read().judge(release, &held);
    let hierarchy = mount::hierarchy(config.cgroup.as_deref());
    checks.extend(hierarchy.map(|found| neighbours::check(&found.attach)));
    checks
}

/// The kernel memory that an agent with these settings would take.
pub fn planned(config: &KernelConfig) -> Check {
    running::kernel_memory(config.memory_bytes(), "would be taken by an agent")
}

#[cfg(test)]
mod tests;
