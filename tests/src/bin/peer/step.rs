//! What is done with a connection, step by step.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    os::fd::AsFd as _,
};

use anyhow::{Context as _, bail};
use nix::sys::socket::{setsockopt, sockopt};

use super::{
    phrase,
    tally::{self, Tally},
};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write so many bytes that no rule recognises.
    Send(u64),
    /// Write first bytes of a protocol, all at once.
    Say(Vec<u8>),
    /// Read exactly so many bytes.
    Receive(u64),
    /// Read until the other end has finished.
    Drain,
    /// Finish writing.
    Shutdown,
    /// Say so, and wait for a line on standard input.
    Wait,
    /// Close by a reset.
    Reset,
}

const CHUNK: usize = 65_536;

/// No protocol begins like this.
static FILL: [u8; CHUNK] = [0xa7; CHUNK];

// === impl Step ===

impl Step {
    /// Reads steps, separated by commas; the empty text has none.
    pub(crate) fn list(text: &str) -> anyhow::Result<Vec<Self>> {
        let words = text.split(',').filter(|word| !word.is_empty() && *word != "none");
        words.map(|word| Self::one(word).with_context(|| format!("step {word}"))).collect()
    }

    fn one(word: &str) -> anyhow::Result<Self> {
        Ok(match word.split_once(':') {
            Some(("send", count)) => Self::Send(count.parse()?),
            Some(("receive", count)) => Self::Receive(count.parse()?),
            Some(("say", name)) => Self::Say(phrase::phrase(name).context("unknown words")?),
            None if word == "drain" => Self::Drain,
            None if word == "shutdown" => Self::Shutdown,
            None if word == "wait" => Self::Wait,
            None if word == "reset" => Self::Reset,
            _ => bail!("unknown"),
        })
    }

    fn take(&self, stream: &mut TcpStream, tally: &mut Tally) -> io::Result<()> {
        match self {
            Self::Send(count) => send(stream, *count, tally),
            Self::Say(bytes) => {
                stream.write_all(bytes)?;
                tally.written += bytes.len() as u64;
                Ok(())
            }
            Self::Receive(count) => receive(stream, *count, tally),
            Self::Drain => drain(stream, tally),
            Self::Shutdown => stream.shutdown(Shutdown::Write),
            Self::Wait => tally::wait(),
            Self::Reset => Ok(setsockopt(
                &stream.as_fd(),
                sockopt::Linger,
                &libc::linger { l_onoff: 1, l_linger: 0 },
            )?),
        }
    }
}

/// Goes through the steps and closes. An error ends the connection and is counted.
pub(crate) fn play(steps: &[Step], mut stream: TcpStream, tally: &mut Tally) {
    tally.connections += 1;
    for step in steps {
        if let Err(error) = step.take(&mut stream, tally) {
            tally.error(&error);
            return;
        }
    }
}

fn send(stream: &mut TcpStream, count: u64, tally: &mut Tally) -> io::Result<()> {
    let mut left = count;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let written = stream.write(&FILL[..most])?;
        left -= written as u64;
        tally.written += written as u64;
    }
    Ok(())
}

fn receive(stream: &mut TcpStream, count: u64, tally: &mut Tally) -> io::Result<()> {
    let mut buffer = [0; CHUNK];
    let mut left = count;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let read = stream.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        left -= read as u64;
        tally.read += read as u64;
    }
    Ok(())
}

fn drain(stream: &mut TcpStream, tally: &mut Tally) -> io::Result<()> {
    let mut buffer = [0; CHUNK];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            read => tally.read += read as u64,
        }
    }
}
