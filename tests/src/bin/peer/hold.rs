//! Very many connections at once: all are opened, or accepted, and then held until a line comes.

use std::{
    io,
    net::{SocketAddr, TcpStream},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

use super::{
    flags::Flags,
    listener,
    tally::{self, Tally},
};

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    take_descriptors()?;
    let count = flags.count("connections")?;
    let mut tally = Tally::default();
    let held = if flags.is_set("listen") {
        accept(flags, count)?
    } else {
        open(flags.address("to")?, count)?
    };
    tally.connections = held.len() as u64;
    tally::wait()?;
    drop(held);
    Ok(tally.tell()?)
}

fn accept(flags: &Flags, count: u64) -> anyhow::Result<Vec<TcpStream>> {
    let listener = listener::open(flags, flags.address("listen")?)?;
    tally::say(&json!({ "listening": listener.local_addr()?.to_string() }))?;
    let streams = (0..count).map(|_| listener.accept().map(|(stream, _)| stream));
    Ok(streams.collect::<io::Result<_>>()?)
}

fn open(to: SocketAddr, count: u64) -> io::Result<Vec<TcpStream>> {
    (0..count).map(|_| TcpStream::connect(to)).collect()
}

/// As many descriptors as the system lets a process have.
fn take_descriptors() -> nix::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}
