//! One of two ends that both connect (RFC 9293, section 3.5): nobody listens.

use std::{
    io,
    net::TcpStream,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{SockFlag, SockaddrStorage, bind, connect},
};
use serde_json::json;

use super::{
    flags::Flags,
    option,
    step::{self, Step},
    tally::{self, Tally},
};

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let steps = Step::list(flags.text("steps").unwrap_or_default())?;
    let (from, to) = (flags.address("from")?, flags.address("to")?);
    let socket = option::stream(flags, to, SockFlag::SOCK_NONBLOCK)?;
    option::reuse_address(&socket)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    // Its SYN is on its way, which the other end waits for.
    tally::say(&json!({ "waiting": true }))?;
    let mut tally = Tally::default();
    match established(socket) {
        Ok(stream) => step::play(&steps, stream, &mut tally),
        Err(error) => tally.failure(&error),
    }
    Ok(tally.tell()?)
}

fn established(socket: OwnedFd) -> io::Result<TcpStream> {
    poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE)?;
    let stream = TcpStream::from(socket);
    match stream.take_error()? {
        Some(error) => Err(error),
        None => stream.set_nonblocking(false).map(|()| stream),
    }
}
