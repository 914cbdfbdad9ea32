//! Who listens proves which end of a connection is the server; addresses alone do not.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv6Addr},
};

use super::{Older, Role};
use crate::discover::sockets::{Socket, State};

/// Where the sockets of one network namespace listen.
#[derive(Debug, Default)]
pub(super) struct Listening {
    /// At one address.
    at: HashSet<(IpAddr, u16)>,
    /// At every address of IPv4.
    v4: HashSet<u16>,
    /// At every address of IPv6.
    v6: HashSet<u16>,
}

// === impl Listening ===

impl Listening {
    /// Which end of a connection this socket is, if a listener proves it.
    pub(super) fn role(&self, socket: &Socket) -> Option<Role> {
        let Socket { local, local_port, remote, remote_port, .. } = *socket;
        if self.takes(local, local_port) {
            return Some(Role::Server);
        }
        // A listener at every address takes the connections to this host, and proves nothing about
        // those to the same port of another one.
        let is_here = remote == local || remote.is_loopback();
        let proven = if is_here {
            self.takes(remote, remote_port)
        } else {
            self.at.contains(&(remote, remote_port))
        };
        proven.then_some(Role::Client)
    }

    fn takes(&self, address: IpAddr, port: u16) -> bool {
        let every = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        every.contains(&port) || self.at.contains(&(address, port))
    }

    fn add(&mut self, listener: &Socket) {
        let port = listener.local_port;
        match listener.local {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
                self.v6.insert(port);
                if !listener.is_v6_only {
                    self.v4.insert(port);
                }
            }
            address if address.is_unspecified() => _ = self.v4.insert(port),
            address => _ = self.at.insert((address, port)),
        }
    }
}

impl<'a> FromIterator<&'a Socket> for Listening {
    fn from_iter<I: IntoIterator<Item = &'a Socket>>(sockets: I) -> Self {
        let mut listening = Self::default();
        let listeners = sockets.into_iter().filter(|socket| socket.state == State::Listen);
        listeners.for_each(|listener| listening.add(listener));
        listening
    }
}

/// Joins the ends that name each other, of those from `begin` on, which share one namespace.
pub(super) fn pair(ends: &mut [Older], begin: usize) {
    let here = || ends.iter().enumerate().skip(begin);
    let by_ends: HashMap<_, _> = here()
        .map(|(index, end)| ((end.local, end.local_port, end.remote, end.remote_port), index))
        .collect();
    let peers: Vec<_> = here()
        .map(|(index, end)| {
            let mirrored = (end.remote, end.remote_port, end.local, end.local_port);
            // A socket that is connected to itself has no other end.
            by_ends.get(&mirrored).copied().filter(|peer| *peer != index)
        })
        .collect();
    for (end, peer) in ends.iter_mut().skip(begin).zip(peers) {
        end.peer = peer;
    }
}
