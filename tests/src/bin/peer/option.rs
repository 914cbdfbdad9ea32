//! Socket options and protocols that the standard library has no names for.

use std::{
    io,
    mem::size_of_val,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, FromRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{SockFlag, setsockopt, sockopt},
};

use super::flags::Flags;

/// A TCP socket of the address's family, or with `--mptcp yes` one that tries MPTCP (RFC 8684).
pub(crate) fn stream(flags: &Flags, address: SocketAddr, how: SockFlag) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let protocol = if flags.is_set("mptcp") { libc::IPPROTO_MPTCP } else { libc::IPPROTO_TCP };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | how.bits();
    // SAFETY: the call takes three numbers.
    let socket = Errno::result(unsafe { libc::socket(family, kind, protocol) })?;
    // SAFETY: the kernel has just given this descriptor to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// An option of TCP's level, all of which are whole numbers (tcp(7)).
pub(crate) fn set_tcp(socket: &impl AsRawFd, option: i32, value: i32) -> io::Result<()> {
    set(socket, libc::IPPROTO_TCP, option, value)
}

/// The same for UDP (udp(7)).
pub(crate) fn set_udp(socket: &impl AsRawFd, option: i32, value: i32) -> io::Result<()> {
    set(socket, libc::IPPROTO_UDP, option, value)
}

fn set(socket: &impl AsRawFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the descriptor is valid, and the value is an int, as the option wants it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop).map_err(io::Error::from)
}

/// Lets a port be bound that a connection in `TIME_WAIT`, or another one, still has.
pub(crate) fn reuse_address(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::ReuseAddr, &true)?)
}

/// Payload bytes that were written and that the other end has not yet acknowledged (`SIOCOUTQ`,
/// tcp(7)).
pub(crate) fn unacknowledged(socket: &impl AsRawFd) -> io::Result<i32> {
    let mut count = 0;
    // SAFETY: the request fills the int it is given.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    Errno::result(result)?;
    Ok(count)
}
