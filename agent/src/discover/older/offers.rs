//! Where servers of this host can be reached from elsewhere.

use std::{net::IpAddr, path::Path};

use nix::ifaddrs::getifaddrs;
use plainsight_ebpf::abi::Comm;

use super::{Holder, Holders, Socket, State};

/// A server's socket at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Inode of its cgroup2 directory: the socket's own, else that of the process.
    pub cgroup: u64,
    /// Cookie of its network namespace.
    pub netns: u64,
    /// The process that holds it; 0 where it is not known.
    pub tgid: u32,
    /// The name of that process.
    pub comm: Comm,
    /// The address. A socket that listens at every address is there once for each.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Where a systemd holds it for a service: the process of that service.
    pub heir: Option<u32>,
}

// === impl Offer ===

impl Offer {
    /// Whether others than this host can reach it.
    pub fn is_reachable(&self) -> bool {
        is_reachable(self.address)
    }
}

/// Addresses of this thread's network namespace that others can reach.
pub(super) fn addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| Some(address.as_sockaddr_in6()?.ip().into()))
    });
    let mut addresses: Vec<IpAddr> = addresses.filter(|ip| is_reachable(*ip)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Link-local addresses are each other's on every link.
fn is_reachable(ip: IpAddr) -> bool {
    let is_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !ip.is_loopback() && !ip.is_unspecified() && !is_local
}

/// What a socket offers; nothing, unless it listens.
pub(super) fn of(
    socket: &Socket,
    netns: u64,
    addresses: &[IpAddr],
    holders: &Holders,
    cgroups: &Path,
) -> Vec<Offer> {
    if socket.state != State::Listen {
        return Vec::new();
    }
    let tgid = holders.first.get(&socket.inode).copied().unwrap_or(0);
    let heir = holders.heir(socket.inode, tgid);
    let holder = Holder::read(tgid, cgroups).unwrap_or_default();
    let cgroup = if socket.cgroup == 0 { holder.cgroup } else { socket.cgroup };
    let (comm, port) = (holder.comm, socket.local_port);
    let offer = |address| Offer { cgroup, netns, tgid, comm, address, port, heir };
    at(socket, addresses).map(offer).collect()
}

/// Its addresses: all of its family where it listens at every one, and of IPv4 too unless it leaves
/// that to others.
fn at(socket: &Socket, addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let own = socket.local.to_canonical();
    let (is_any, is_v6_only) = (own.is_unspecified(), socket.is_v6_only);
    let suits = move |ip: &IpAddr| match own {
        IpAddr::V4(_) => ip.is_ipv4(),
        IpAddr::V6(_) => ip.is_ipv6() || !is_v6_only,
    };
    let every = addresses.iter().copied().filter(move |ip| is_any && suits(ip));
    every.chain(Some(own).filter(|ip| !ip.is_unspecified()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(local: &str, is_v6_only: bool) -> Socket {
        Socket {
            cookie: 1,
            state: State::Listen,
            local: local.parse().unwrap(),
            local_port: 80,
            remote: "::".parse().unwrap(),
            remote_port: 0,
            inode: 7,
            cgroup: 9,
            is_v6_only,
            moved: None,
        }
    }

    #[test]
    fn a_listener_at_every_address_is_at_each() {
        let own = ["10.0.0.1", "192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
        let check = |local: &str, is_v6_only, expect: &[&str]| {
            let offers =
                of(&listener(local, is_v6_only), 3, &own, &Holders::default(), Path::new("/"));
            let found: Vec<String> = offers.iter().map(|offer| offer.address.to_string()).collect();
            assert_eq!(found, expect, "{local}");
            assert!(
                offers.iter().all(|offer| (offer.cgroup, offer.netns, offer.port) == (9, 3, 80))
            );
        };
        check("0.0.0.0", false, &["10.0.0.1", "192.0.2.1"]);
        check("::", false, &["10.0.0.1", "192.0.2.1", "2001:db8::1"]);
        check("::", true, &["2001:db8::1"]);
        check("10.0.0.1", false, &["10.0.0.1"]);
        check("::ffff:10.0.0.1", false, &["10.0.0.1"]);
        for own in ["127.0.0.1", "::1", "fe80::1", "169.254.1.1"] {
            check(own, false, &[own]);
            let offers = of(&listener(own, false), 3, &[], &Holders::default(), Path::new("/"));
            assert!(!offers[0].is_reachable(), "{own}");
        }
    }

    #[test]
    fn the_heir_is_whoever_else_holds_it() {
        let check = |in_order: &[u32], expect: Option<u32>| {
            let mut holders = Holders { managers: [1, 500].into(), ..Holders::default() };
            in_order.iter().for_each(|tgid| holders.add(7, *tgid));
            let first = in_order.first().copied().unwrap_or(0);
            assert_eq!(holders.heir(7, first), expect, "{in_order:?}");
        };
        check(&[1, 812], Some(812));
        check(&[1, 812, 813], Some(812));
        check(&[500, 812], Some(812));
        // It opened the socket for nobody yet, or for its own use.
        check(&[1], None);
        // A server with workers is itself.
        check(&[811, 812], None);
        check(&[], None);
    }

    #[test]
    fn a_systemd_keeps_itself_in_a_scope_of_its_own() {
        let check =
            |text: &str, expect| assert_eq!(super::super::is_in_init(text), expect, "{text}");
        check("0::/init.scope\n", true);
        check("1:name=systemd:/init.scope\n0::/\n", true);
        check("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", true);
        check("0::/system.slice/a.service\n", false);
        check("", false);
        // This process is none, whatever it is called.
        assert!(!super::super::is_manager(std::process::id()));
    }

    #[test]
    fn what_does_not_listen_offers_nothing() {
        let socket = Socket { state: State::Established, ..listener("10.0.0.1", false) };
        assert_eq!(of(&socket, 3, &[], &Holders::default(), Path::new("/")), []);
    }

    #[test]
    fn no_address_of_this_host_is_one_of_itself_alone() {
        assert!(addresses().iter().all(|ip| is_reachable(*ip)));
    }
}
