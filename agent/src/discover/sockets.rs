//! The TCP sockets of one network namespace, as the kernel lists them (sock_diag(7)).
//!
//! The programs see a connection begin; one that is older than they are is known from here alone.
//! The list needs no capability, but it is that of the calling thread's own network namespace.

mod parse;

use std::{io, net::IpAddr, os::fd::AsFd};

use super::{
    holders,
    netlink::{Netlink, NetlinkError},
};

/// SO_NETNS_COOKIE of socket(7), since Linux 5.14.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// The state of a TCP socket, by the kernel's numbers (include/net/tcp_states.h). Those that have
/// no bytes of their own any more, or none yet, are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Open both ways.
    Established = 1,
    /// Closed here, which the other end has not acknowledged yet.
    FinWait1 = 4,
    /// Closed here; the other end may still send.
    FinWait2 = 5,
    /// Closed by the other end; this one may still send.
    CloseWait = 8,
    /// Waits for connections.
    Listen = 10,
}

/// One TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its cookie, as `bpf_get_socket_cookie` gives it.
    pub cookie: u64,
    /// Its state.
    pub state: State,
    /// Its own address; unspecified for a listener at every address.
    pub local: IpAddr,
    /// Its own port.
    pub local_port: u16,
    /// The address of the other end; unspecified for a listener.
    pub remote: IpAddr,
    /// The port of the other end.
    pub remote_port: u16,
    /// Its inode, by which a process's descriptors name it; 0 once no process holds it.
    pub inode: u64,
    /// The inode of its cgroup2 directory; 0 where the kernel does not tell (before 5.8, or a
    /// socket that has none).
    pub cgroup: u64,
    /// Whether a listener at `::` leaves IPv4 to others.
    pub is_v6_only: bool,
    /// What was moved over it; none where it was not said, as of the remains of a connection.
    pub moved: Option<Moved>,
}

/// What was moved over a connection, in the kernel's own count (`struct tcp_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Sequence numbers that the other end acknowledged: payload, the SYN of a client, and a FIN.
    pub acked: u64,
    /// Sequence numbers received in order: payload, and a FIN.
    pub received: u64,
    /// The smoothed round-trip time in microseconds.
    pub rtt_us: u32,
}

/// An open conversation with the kernel about the sockets of one network namespace.
#[derive(Debug)]
pub struct Sockets {
    netlink: Netlink,
}

// === impl State ===

impl State {
    /// Every state that is listed.
    pub const ALL: [Self; 5] =
        [Self::Established, Self::FinWait1, Self::FinWait2, Self::CloseWait, Self::Listen];

    /// The state with this number, if it is one of those that are listed.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u8 == code)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

// === impl Sockets ===

impl Sockets {
    /// Those of the network namespace that this thread is in, wherever it goes later.
    ///
    /// # Errors
    ///
    /// If the kernel gives no such socket.
    pub fn here() -> io::Result<Self> {
        Ok(Self { netlink: Netlink::open(libc::NETLINK_SOCK_DIAG)? })
    }

    /// The namespace's cookie; 0 where the kernel does not tell.
    #[must_use]
    pub fn netns_cookie(&self) -> u64 {
        netns_cookie(&self.netlink)
    }

    /// Every TCP socket in one of [`State::ALL`], of both families. One that comes, goes or changes
    /// while the list is made may be missing or be there twice.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the list, or answers with something else.
    pub fn list(&self) -> Result<Vec<Socket>, NetlinkError> {
        let mut found = Vec::new();
        let states = State::ALL.into_iter().fold(0, |bits, state| bits | state.bit());
        // A request for both at once is one that no kernel knows.
        for family in [libc::AF_INET, libc::AF_INET6] {
            let request = parse::request(family as u8, states);
            self.netlink.ask(&request, usize::MAX, |kind, body| {
                found.extend(parse::listed(kind, body)?);
                Ok(())
            })?;
        }
        Ok(found)
    }
}

/// The cookie of the network namespace that a socket belongs to; 0 where the kernel does not tell.
pub(super) fn netns_cookie(socket: &impl AsFd) -> u64 {
    holders::option(socket, SO_NETNS_COOKIE).unwrap_or(0)
}

#[cfg(test)]
mod tests;
