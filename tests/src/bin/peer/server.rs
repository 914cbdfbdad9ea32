//! A server that takes connections one after the other.

use std::{
    io,
    net::{TcpListener, TcpStream},
    os::fd::AsFd as _,
};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

use super::{
    flags::Flags,
    handover, listener,
    step::{self, Step},
    tally::{self, Tally},
};

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let steps = Step::list(flags.text("steps").unwrap_or_default())?;
    let address = flags.address("listen")?;
    let listener =
        listener::open(flags, address).with_context(|| format!("listening on {address}"))?;
    tally::say(&json!({ "listening": listener.local_addr()?.to_string() }))?;
    let mut tally = Tally::default();
    for _ in 0..flags.number("connections")?.unwrap_or(u64::MAX) {
        let Some(stream) = next(flags, &listener)? else { break };
        match flags.text("hand-to") {
            Some(other) => {
                tally.connections += 1;
                handover::give(other, stream)?;
            }
            None => step::play(&steps, stream, &mut tally),
        }
    }
    Ok(tally.tell()?)
}

/// The next connection, or with `--until told` none once there is a line on the input: a server
/// that shares its port does not know how many it will get.
fn next(flags: &Flags, listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    if flags.is_set("until") {
        let input = io::stdin();
        let mut wanted =
            [listener.as_fd(), input.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        poll(&mut wanted, PollTimeout::NONE)?;
        // Whoever tells it to end has seen all connections to their ends.
        if wanted[1].any() == Some(true) {
            return Ok(None);
        }
    }
    listener.accept().map(|(stream, _)| Some(stream))
}
