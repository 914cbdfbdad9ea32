//! Very many connections at once: all are opened, or accepted, and then held until a line comes. With
//! `--say N` each carries so many bytes after that line, and is held until the next.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
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
    let (_listener, mut held) = if flags.is_set("listen") {
        let (listener, held) = accept(flags, count)?;
        (Some(listener), held)
    } else {
        (None, open(flags.address("to")?, count)?)
    };
    tally.connections = held.len() as u64;
    tally::wait()?;
    if let Some(bytes) = flags.number::<usize>("say")? {
        for stream in &mut held {
            stream.write_all(&vec![0xa7; bytes])?;
            tally.written += bytes as u64;
        }
        tally::wait()?;
    }
    drop(held);
    Ok(tally.tell()?)
}

fn accept(flags: &Flags, count: u64) -> anyhow::Result<(TcpListener, Vec<TcpStream>)> {
    let listener = listener::open(flags, flags.address("listen")?)?;
    tally::say(&json!({ "listening": listener.local_addr()?.to_string() }))?;
    let streams = (0..count).map(|_| listener.accept().map(|(stream, _)| stream));
    let streams = streams.collect::<io::Result<_>>()?;
    Ok((listener, streams))
}

fn open(to: SocketAddr, count: u64) -> io::Result<Vec<TcpStream>> {
    (0..count).map(|_| TcpStream::connect(to)).collect()
}

/// As many descriptors as the system lets a process have.
fn take_descriptors() -> nix::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}
