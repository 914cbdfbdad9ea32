//! A listening socket, with what the flags ask of it.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::AsRawFd as _,
};

use nix::sys::socket::{Backlog, SockFlag, SockaddrStorage, bind, listen, setsockopt, sockopt};

use super::{flags::Flags, option};

pub(crate) fn open(flags: &Flags, address: SocketAddr) -> io::Result<TcpListener> {
    let socket = option::stream(flags, address, SockFlag::empty())?;
    option::reuse_address(&socket)?;
    if flags.is_set("reuse-port") {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    if let Ok(Some(waiting)) = flags.number("fast-open") {
        option::set_tcp(&socket, libc::TCP_FASTOPEN, waiting)?;
    }
    if let Ok(Some(seconds)) = flags.number("defer-accept") {
        option::set_tcp(&socket, libc::TCP_DEFER_ACCEPT, seconds)?;
    }
    listen(&socket, Backlog::MAXCONN)?;
    Ok(socket.into())
}
