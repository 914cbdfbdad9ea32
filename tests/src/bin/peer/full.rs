//! A listener that takes no more connections, so that the kernel drops every SYN to it.

use std::{
    io,
    mem::{size_of, zeroed},
    net::{SocketAddr, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind,
        getsockname, listen, socket,
    },
};
use serde_json::json;

use super::{flags::Flags, tally};

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let listener = listen_without_room(flags.address("listen")?)?;
    let address = getsockname::<SockaddrStorage>(listener.as_raw_fd())?.to_string();
    let mut waiting = Vec::new();
    while !is_full(&listener)? {
        if waiting.is_empty() {
            waiting.push(TcpStream::connect(address.parse::<SocketAddr>()?)?);
        }
        // The connection gets into the queue a moment after its client knows of it.
        thread::sleep(Duration::from_millis(1));
    }
    tally::say(&json!({ "listening": address }))?;
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// A queue of none has room for one.
fn listen_without_room(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let listener = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, SockProtocol::Tcp)?;
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&listener, Backlog::new(0)?)?;
    Ok(listener)
}

/// Of a listener, `tcpi_unacked` is the length of its queue and `tcpi_sacked` its limit.
fn is_full(listener: &OwnedFd) -> io::Result<bool> {
    // SAFETY: tcp_info is made of integers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is valid, and the buffer has the length that is given with it.
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    Errno::result(result)?;
    Ok(info.tcpi_unacked > info.tcpi_sacked)
}
