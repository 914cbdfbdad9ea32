//! Network namespaces of the test's own, and pairs of virtual links between them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::process::CommandExt as _,
    },
    path::Path,
    process::Command,
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};

use super::{
    Neighbour,
    ethtool::{self, Offload},
    netlink::{self, Netlink},
    tunnel::{self, Protection},
};

/// A network namespace with its loopback up. It lives as long as this or a process in it.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

/// Two namespaces joined by a veth pair, with the addresses of both ends.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// IPv4 addresses of the first and the second end.
    pub v4: [Ipv4Addr; 2],
    /// IPv6 addresses of the first and the second end.
    pub v6: [Ipv6Addr; 2],
}

/// The names of links in both namespaces: the first, the second, and the tunnel.
const LINK: &str = "veth0";
const SECOND: &str = "veth1";
const TUNNEL: &str = "wg0";

// === impl Namespace ===

impl Namespace {
    /// A new namespace.
    ///
    /// # Panics
    ///
    /// If the kernel refuses it.
    #[must_use]
    pub fn new() -> Self {
        let file = in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace can be made");
            File::open("/proc/thread-self/ns/net").expect("/proc shows the namespace")
        });
        let namespace = Self { file };
        namespace.enter(|| Netlink::open()?.up("lo")).expect("loopback can be brought up");
        namespace
    }

    /// Joins two namespaces by another pair of links, with addresses of its own.
    ///
    /// # Panics
    ///
    /// If the kernel refuses it.
    #[must_use]
    pub fn join_again(&self, other: &Self) -> Link {
        self.add_pair(other, SECOND);
        let link = link_of(78);
        for (namespace, ip) in [self, other].into_iter().zip(link.v4) {
            let add = || Netlink::open()?.add_address(SECOND, IpAddr::V4(ip), 24);
            namespace.enter(add).expect("a link can have an address");
        }
        link
    }

    /// Joins two namespaces that this link joins already by a tunnel of WireGuard over it.
    ///
    /// # Errors
    ///
    /// If the kernel knows no WireGuard, or refuses something else.
    pub fn join_by_wireguard(&self, other: &Self, over: &Link) -> io::Result<Link> {
        const PORT: u16 = 51_820;
        let link = link_of(79);
        for (at, namespace) in [self, other].into_iter().enumerate() {
            let far = 1 - at;
            let end = tunnel::End {
                name: TUNNEL,
                private: &tunnel::KEYS[at].0,
                peer: &tunnel::KEYS[far].1,
                port: PORT,
                peer_at: SocketAddrV4::new(over.v4[far], PORT),
            };
            namespace.enter(|| {
                tunnel::add_wireguard(&end)?;
                let mut netlink = Netlink::open()?;
                netlink.up(TUNNEL)?;
                netlink.add_address(TUNNEL, IpAddr::V4(link.v4[at]), 24)
            })?;
        }
        Ok(link)
    }

    /// Protects by IPsec what goes over this link, as that end of it sees it.
    ///
    /// # Errors
    ///
    /// If the kernel knows no ESP, or refuses something else.
    pub fn protect(&self, link: &Link, end: usize, protection: Protection) -> io::Result<()> {
        self.enter(|| tunnel::protect(link.v4[end], link.v4[1 - end], protection))
    }

    /// Sends what has no route of its own by this router.
    ///
    /// # Panics
    ///
    /// If there is one already.
    pub fn add_default_route(&self, router: Ipv4Addr) {
        let add = || Netlink::open()?.add_default_route(router);
        self.enter(add).expect("a route can be set");
    }

    /// Attaches a program to the first link of this namespace, for as long as it is held.
    ///
    /// # Errors
    ///
    /// If the kernel is too old for it.
    pub fn attach(&self, hook: &str) -> io::Result<Neighbour> {
        self.enter(|| Neighbour::at_device(netlink::index(LINK)?, hook))
    }

    /// Joins two namespaces by a pair of links.
    ///
    /// # Panics
    ///
    /// If the kernel refuses it: it needs the module veth.
    #[must_use]
    pub fn join(&self, other: &Self) -> Link {
        let link = self.join_before_addresses(other);
        self.add_addresses(&link, 0);
        other.add_addresses(&link, 1);
        link
    }

    /// The same without the addresses that the ends will have.
    ///
    /// # Panics
    ///
    /// If the kernel refuses it.
    #[must_use]
    pub fn join_before_addresses(&self, other: &Self) -> Link {
        self.add_pair(other, LINK);
        link_of(77)
    }

    fn add_pair(&self, other: &Self, name: &str) {
        self.enter(|| Netlink::open()?.add_pair(name, other.file.as_fd()))
            .expect("a veth pair can be made");
        for namespace in [self, other] {
            namespace.enter(|| Netlink::open()?.up(name)).expect("a link can be brought up");
        }
    }

    /// Gives this namespace the addresses of that end of the link.
    ///
    /// # Panics
    ///
    /// If the kernel refuses it.
    pub fn add_addresses(&self, link: &Link, end: usize) {
        let add = || {
            let mut netlink = Netlink::open()?;
            netlink.add_address(LINK, IpAddr::V4(link.v4[end]), 24)?;
            netlink.add_address(LINK, IpAddr::V6(link.v6[end]), 64)
        };
        self.enter(add).unwrap_or_else(|error: io::Error| panic!("addresses of a link: {error}"));
    }

    /// Lets MPTCP connections have a second subflow, from an address of its own or from wherever
    /// the other end has it.
    ///
    /// # Panics
    ///
    /// If the kernel refuses it.
    pub fn allow_subflow(&self, from: Option<Ipv4Addr>) {
        let allow = || {
            if let Some(from) = from {
                Netlink::open()?.add_address(LINK, IpAddr::V4(from), 24)?;
            }
            Netlink::open_generic()?.allow_subflow(from)
        };
        self.enter(allow).unwrap_or_else(|error: io::Error| panic!("a subflow: {error}"));
    }

    /// Leaves segmentation to this namespace's end of the link, or does not.
    ///
    /// # Panics
    ///
    /// If the link cannot do so.
    pub fn set_offload(&self, offload: Offload, is_on: bool) {
        let set = self.enter(|| ethtool::set(LINK, offload, is_on));
        set.unwrap_or_else(|error| panic!("{offload:?}: {error}"));
    }

    /// Packets that came over the link to this namespace.
    ///
    /// # Panics
    ///
    /// If the kernel does not tell.
    #[must_use]
    pub fn packets_received(&self) -> u64 {
        let text = self.enter(|| fs::read_to_string("/proc/thread-self/net/dev"));
        let text = text.expect("/proc shows links");
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(LINK));
        // After the name: bytes received, then packets.
        let packets = line.and_then(|line| line.split_whitespace().nth(2)?.parse().ok());
        packets.expect("a count of packets")
    }

    /// Runs `work` in a thread that is in this namespace.
    ///
    /// # Panics
    ///
    /// If `work` does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET).expect("the namespace can be entered");
            work()
        })
    }

    /// Sets a value below `/proc/sys`, of those that each namespace has.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    pub fn set(&self, name: &str, value: &str) {
        let path = Path::new("/proc/sys").join(name);
        let written = self.enter(|| fs::write(&path, value));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The kernel's own counters of the namespace, by name.
    ///
    /// # Panics
    ///
    /// If the kernel does not tell them.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let read = || fs::read_to_string("/proc/thread-self/net/netstat");
        pairs(&self.enter(read).expect("/proc shows counters of the network"))
    }

    /// Lets `command` start in this namespace.
    ///
    /// # Panics
    ///
    /// If there is no descriptor left.
    pub fn place(&self, command: &mut Command) {
        let file = self.file.try_clone().expect("a descriptor can be copied");
        let join = move || {
            // SAFETY: setns is a plain system call on a valid descriptor.
            let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
            if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        };
        // SAFETY: between fork and exec the closure only makes a system call.
        unsafe { command.pre_exec(join) };
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

/// Addresses of two ends.
fn link_of(net: u8) -> Link {
    // The digits of IPv6 are those of IPv4, to be recognised.
    let digits = u16::from(net / 10 * 16 + net % 10);
    Link {
        v4: [1, 2].map(|last| Ipv4Addr::new(10, net, 0, last)),
        v6: [1, 2].map(|last| Ipv6Addr::new(0xfd00, digits, 0, 0, 0, 0, 0, last)),
    }
}

/// A thread of its own, because a namespace is a thread's.
fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Names and values of `/proc/net/netstat`, where a line of names stands above a line of values.
fn pairs(text: &str) -> BTreeMap<String, u64> {
    let lines: Vec<&str> = text.lines().collect();
    let both = lines.chunks(2).filter_map(|lines| lines.first().zip(lines.get(1)));
    let words = both.flat_map(|(names, values)| names.split(' ').zip(values.split(' ')));
    words.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}
