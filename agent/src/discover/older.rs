//! Connections that were there before the programs were attached, and who holds them.
//!
//! The programs know a connection from its beginning; of an older one they see segments, and if it
//! is idle not even those. The kernel lists what it has moved so far. Each network namespace has a
//! list of its own, which is read from within: entering another one takes CAP_SYS_ADMIN, and
//! looking at processes of other users CAP_SYS_PTRACE. What may not be looked at is counted.

mod offers;
mod roles;

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    net::IpAddr,
    path::Path,
    thread,
};

use nix::sched::{CloneFlags, setns};
use plainsight_ebpf::abi::Comm;

use super::{
    holders::{Holder, is_dead, is_refusal, processes, sockets},
    netlink::NetlinkError,
    sockets::{Socket, Sockets, State},
};
pub use offers::Offer;
use roles::{Listening, pair};

/// The network namespace of the thread that asks.
const OWN: &str = "/proc/thread-self/ns/net";

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that opened it.
    Client,
    /// The end that accepted it.
    Server,
}

/// One end of an older connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Older {
    /// The socket's cookie.
    pub cookie: u64,
    /// The inode of its cgroup2 directory: the socket's own where the kernel tells it, else that
    /// of the process; 0 where neither is known.
    pub cgroup: u64,
    /// Cookie of its network namespace; 0 where the kernel does not tell (before 5.14).
    pub netns: u64,
    /// The process that holds it, the lowest id if there are more; 0 where it is not known, or the
    /// process has closed it already.
    pub tgid: u32,
    /// The name of that process.
    pub comm: Comm,
    /// Its state.
    pub state: State,
    /// Its own address.
    pub local: IpAddr,
    /// Its own port.
    pub local_port: u16,
    /// The address of the other end.
    pub remote: IpAddr,
    /// The port of the other end.
    pub remote_port: u16,
    /// Which end it is.
    pub role: Role,
    /// Whether no listener of its namespace proves the role: it is then taken for the client,
    /// which is wrong where the server has stopped listening since.
    pub is_role_inferred: bool,
    /// Sequence numbers that the other end acknowledged: payload, the SYN of a client, and a FIN.
    pub acked: u64,
    /// Sequence numbers received in order: payload, and a FIN.
    pub received: u64,
    /// The smoothed round-trip time in microseconds.
    pub rtt_us: u32,
    /// The index of the other end, where both are in one namespace and name each other.
    pub peer: Option<usize>,
}

/// What was found, and what could not be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The older connections' ends, each once.
    pub found: Vec<Older>,
    /// Where servers listen, but for what is reached from this host alone.
    pub offers: Vec<Offer>,
    /// Network namespaces that this process may not enter.
    pub namespaces_refused: u64,
    /// Network namespaces whose sockets could not be listed for another reason.
    pub namespaces_failed: u64,
    /// Processes that may not be looked at: their sockets have no name, and if they live in a
    /// network namespace of their own, it is not known.
    pub processes_refused: u64,
}

/// Processes by what is asked about them.
#[derive(Debug, Default)]
struct Processes {
    /// Those in each network namespace.
    namespaces: HashMap<OsString, Vec<u32>>,
    holders: Holders,
    refused: u64,
}

/// Who holds the socket with an inode.
#[derive(Debug, Default)]
struct Holders {
    /// The first process.
    first: HashMap<u64, u32>,
    /// Others, of sockets whose first is a manager.
    others: HashMap<u64, Vec<u32>>,
    /// Processes that open sockets for others: systemd, and those of users.
    managers: HashSet<u32>,
}

/// What one network namespace holds.
struct Namespace {
    cookie: u64,
    sockets: Vec<Socket>,
    /// Those of its interfaces that others can reach.
    addresses: Vec<IpAddr>,
}

/// Why a namespace was not looked at.
enum Obstacle {
    /// Nobody lives there any more.
    Gone,
    Refused,
    Failed,
}

// === impl Search ===

impl Search {
    /// Looks through every network namespace that a process lives in. `cgroups` is the root of the
    /// cgroup2 hierarchy; only sockets of a cgroup that `is_watched` are kept, which is asked with
    /// 0 where the cgroup is not known.
    pub fn run(cgroups: &Path, mut is_watched: impl FnMut(u64) -> bool) -> Self {
        let processes = Processes::read();
        let mut search = Self { processes_refused: processes.refused, ..Self::default() };
        for (name, members) in &processes.namespaces {
            let Some(namespace) = search.visit(name, members) else { continue };
            let Namespace { cookie, sockets, addresses } = namespace;
            let begin = search.found.len();
            let listening: Listening = sockets.iter().collect();
            let mut known = HashSet::new();
            let ends = sockets.iter().filter(|socket| known.insert(socket.cookie));
            search.found.extend(ends.filter_map(|socket| {
                let end = describe(socket, cookie, &processes.holders.first, cgroups, &listening)?;
                is_watched(end.cgroup).then_some(end)
            }));
            pair(&mut search.found, begin);
            let offers = sockets.iter().flat_map(|socket| {
                offers::of(socket, cookie, &addresses, &processes.holders, cgroups)
            });
            search.offers.extend(offers.filter(|offer| is_watched(offer.cgroup)));
        }
        search
    }

    fn visit(&mut self, name: &OsStr, members: &[u32]) -> Option<Namespace> {
        match Namespace::named(name, members) {
            Ok(namespace) => return Some(namespace),
            Err(Obstacle::Gone) => {}
            Err(Obstacle::Refused) => self.namespaces_refused += 1,
            Err(Obstacle::Failed) => self.namespaces_failed += 1,
        }
        None
    }
}

// === impl Processes ===

impl Processes {
    fn read() -> Self {
        let mut known = Self::default();
        for tgid in processes() {
            known.add(tgid).unwrap_or_else(|error| {
                known.refused += u64::from(is_refusal(&error) && !is_dead(tgid));
            });
        }
        // This process may always look at its own.
        if let Ok(own) = fs::read_link(OWN) {
            known.namespaces.entry(own.into_os_string()).or_default();
        }
        known
    }

    fn add(&mut self, tgid: u32) -> io::Result<()> {
        let namespace = fs::read_link(format!("/proc/{tgid}/ns/net"))?.into_os_string();
        self.namespaces.entry(namespace).or_default().push(tgid);
        if is_manager(tgid) {
            self.holders.managers.insert(tgid);
        }
        sockets(tgid)?.into_iter().for_each(|(_, inode)| self.holders.add(inode, tgid));
        Ok(())
    }
}

// === impl Holders ===

impl Holders {
    fn add(&mut self, inode: u64, tgid: u32) {
        let first = *self.first.entry(inode).or_insert(tgid);
        if first != tgid && self.managers.contains(&first) {
            self.others.entry(inode).or_default().push(tgid);
        }
    }

    /// The process that a manager, its first holder, opened this socket for, if there is one by now.
    fn heir(&self, inode: u64, first: u32) -> Option<u32> {
        let others = self.others.get(&inode).filter(|_| self.managers.contains(&first))?;
        others.first().copied()
    }
}

/// A systemd, the system's own or that of a user, by its name and by where it keeps itself.
fn is_manager(tgid: u32) -> bool {
    let name = fs::read_to_string(format!("/proc/{tgid}/comm")).unwrap_or_default();
    let is_in_scope =
        || fs::read_to_string(format!("/proc/{tgid}/cgroup")).is_ok_and(|text| is_in_init(&text));
    name.trim_end() == "systemd" && is_in_scope()
}

/// systemd moves itself into `init.scope` (systemd.special(7)).
fn is_in_init(cgroups: &str) -> bool {
    cgroups.lines().any(|line| line.ends_with("/init.scope"))
}

// === impl Namespace ===

impl Namespace {
    /// The network namespace of this name, through the first of these processes that is still
    /// in it.
    fn named(name: &OsStr, members: &[u32]) -> Result<Self, Obstacle> {
        let is_named = |path: &str| fs::read_link(path).is_ok_and(|found| found == name);
        if is_named(OWN) {
            return Ok(Self::here()?);
        }
        let paths = members.iter().map(|tgid| format!("/proc/{tgid}/ns/net"));
        for path in paths.filter(|path| is_named(path)) {
            match File::open(&path) {
                Ok(file) => return Self::behind(&file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Obstacle::Gone)
    }

    /// A thread of its own goes there: a namespace is a thread's, and the way back takes the same
    /// capability as the way in.
    fn behind(file: &File) -> Result<Self, Obstacle> {
        let visit = || {
            setns(file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
            Ok(Self::here()?)
        };
        thread::scope(|scope| {
            let visitor = thread::Builder::new().name("older".to_owned());
            let visitor = visitor.spawn_scoped(scope, visit).map_err(|_| Obstacle::Failed)?;
            visitor.join().unwrap_or(Err(Obstacle::Failed))
        })
    }

    fn here() -> Result<Self, NetlinkError> {
        let sockets = Sockets::here()?;
        let addresses = offers::addresses();
        Ok(Self { cookie: sockets.netns_cookie(), sockets: sockets.list()?, addresses })
    }
}

// === impl Obstacle ===

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Self {
        // EPERM and EACCES are one kind.
        if is_refusal(&error) { Self::Refused } else { Self::Failed }
    }
}

impl From<NetlinkError> for Obstacle {
    fn from(_: NetlinkError) -> Self {
        // Whoever is in a namespace may list what is in it.
        Self::Failed
    }
}

/// One end of a connection; none for a listener, or the remains of a connection whose counts are
/// gone.
fn describe(
    socket: &Socket,
    netns: u64,
    holders: &HashMap<u64, u32>,
    cgroups: &Path,
    listening: &Listening,
) -> Option<Older> {
    let moved = socket.moved.filter(|_| socket.state != State::Listen)?;
    let tgid = holders.get(&socket.inode).copied().unwrap_or(0);
    // It may have ended since it was seen to hold the socket.
    let holder = Holder::read(tgid, cgroups).unwrap_or_default();
    let role = listening.role(socket);
    Some(Older {
        cookie: socket.cookie,
        cgroup: if socket.cgroup == 0 { holder.cgroup } else { socket.cgroup },
        netns,
        tgid,
        comm: holder.comm,
        state: socket.state,
        local: socket.local,
        local_port: socket.local_port,
        remote: socket.remote,
        remote_port: socket.remote_port,
        role: role.unwrap_or(Role::Client),
        is_role_inferred: role.is_none(),
        acked: moved.acked,
        received: moved.received,
        rtt_us: moved.rtt_us,
        peer: None,
    })
}

#[cfg(test)]
mod tests;
