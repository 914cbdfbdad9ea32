//! UDP: one side asks, the other gives back what it got, so that none is lost on the way.

use std::{net::UdpSocket, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::{
    flags::Flags,
    tally::{self, Tally},
};

/// On loopback an answer that is not here by then will not come.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn echo(flags: &Flags) -> anyhow::Result<()> {
    let socket = open(flags, "listen")?;
    tally::say(&json!({ "listening": socket.local_addr()?.to_string() }))?;
    let mut tally = Tally::default();
    let mut buffer = [0; 65_536];
    for _ in 0..flags.count("datagrams")? {
        let (length, from) = socket.recv_from(&mut buffer)?;
        tally.read += length as u64;
        tally.written += socket.send_to(&buffer[..length], from)? as u64;
    }
    Ok(tally.tell()?)
}

pub(crate) fn ask(flags: &Flags) -> anyhow::Result<()> {
    let to = flags.address("to")?;
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let question = vec![0xa7; flags.number("bytes")?.context("--bytes is missing")?];
    let mut tally = Tally::default();
    let mut buffer = [0; 65_536];
    for _ in 0..flags.count("datagrams")? {
        tally.written += socket.send_to(&question, to)? as u64;
        let (length, from) = socket.recv_from(&mut buffer)?;
        ensure!(from == to, "an answer from {from}");
        tally.read += length as u64;
    }
    Ok(tally.tell()?)
}

fn open(flags: &Flags, name: &str) -> anyhow::Result<UdpSocket> {
    let address = flags.address(name)?;
    let socket = UdpSocket::bind(address).with_context(|| format!("listening on {address}"))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}
