//! Handing an accepted connection to another process (`SCM_RIGHTS`, unix(7)).
//!
//! Names are in the abstract namespace, so that no file stays behind.

use std::{
    io::{self, ErrorKind, IoSlice, IoSliceMut},
    net::TcpStream,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use anyhow::Context as _;
use nix::{
    cmsg_space,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg},
};

use super::{
    flags::Flags,
    step::{self, Step},
    tally::{self, Tally},
};

/// Takes connections that others hand over, and goes through the steps with each.
pub(crate) fn take(flags: &Flags) -> anyhow::Result<()> {
    let steps = Step::list(flags.text("steps").unwrap_or_default())?;
    let name = flags.text("as").context("--as is missing")?;
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    tally::say(&serde_json::json!({ "waiting": true }))?;
    let mut tally = Tally::default();
    for _ in 0..flags.count("connections")? {
        step::play(&steps, receive(&socket)?, &mut tally);
    }
    Ok(tally.tell()?)
}

/// Hands a connection over, and closes it here.
pub(crate) fn give(name: &str, stream: TcpStream) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    let descriptors = [stream.as_raw_fd()];
    let address = UnixAddr::new_abstract(name.as_bytes())?;
    sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(b"x")],
        &[ControlMessage::ScmRights(&descriptors)],
        MsgFlags::empty(),
        Some(&address),
    )?;
    Ok(())
}

fn receive(socket: &UnixDatagram) -> io::Result<TcpStream> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!(RawFd);
    let message = recvmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part
            && let Some(descriptor) = descriptors.first()
        {
            // SAFETY: the kernel has just given this descriptor to nobody else.
            return Ok(unsafe { OwnedFd::from_raw_fd(*descriptor) }.into());
        }
    }
    Err(ErrorKind::InvalidData.into())
}
