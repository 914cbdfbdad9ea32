//! What is done with a connection, step by step.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    num::NonZeroUsize,
    os::fd::AsFd as _,
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{setsockopt, sockopt},
};

use super::{
    inherit, option, phrase, position,
    tally::{self, Tally},
};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write so many bytes that no rule recognises.
    Send(u64),
    /// Write first bytes of a protocol, all at once.
    Say(Vec<u8>),
    /// Write first bytes of a protocol in pieces of this length, each a segment of its own.
    Spell(Vec<u8>, usize),
    /// Write first bytes of a protocol in two segments, of which the first has this length.
    Cut(Vec<u8>, usize),
    /// Read exactly so many bytes.
    Receive(u64),
    /// Read until the other end has finished.
    Drain,
    /// Finish writing.
    Shutdown,
    /// Say so, and wait for a line on standard input.
    Wait,
    /// Say where the connection stands, and wait for a line on standard input.
    Position,
    /// Count the segments with payload that came.
    Segments,
    /// Wait until the other end has acknowledged all that was written.
    Acknowledged,
    /// Wait until the connection is no more, by a reset for one.
    Ended,
    /// Let a child of this name go on, and close this process's own descriptor.
    Fork(String),
    /// Close by a reset.
    Reset,
}

/// Between two looks at what is not yet acknowledged.
const PAUSE: Duration = Duration::from_millis(1);

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
            Some(("say", name)) => Self::Say(words(name)?),
            Some(("spell", name)) => Self::Spell(words(name)?, 1),
            Some(("pieces", rest)) => {
                let (length, name) = rest.split_once(':').context("no words")?;
                let length: NonZeroUsize = length.parse()?;
                Self::Spell(words(name)?, length.get())
            }
            Some(("cut", rest)) => {
                let (at, name) = rest.split_once(':').context("no words")?;
                Self::Cut(words(name)?, at.parse()?)
            }
            Some(("fork", name)) => Self::Fork(name.to_owned()),
            None if word == "acknowledged" => Self::Acknowledged,
            None if word == "ended" => Self::Ended,
            None if word == "drain" => Self::Drain,
            None if word == "shutdown" => Self::Shutdown,
            None if word == "wait" => Self::Wait,
            None if word == "position" => Self::Position,
            None if word == "segments" => Self::Segments,
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
            Self::Spell(bytes, piece) => {
                stream.set_nodelay(true)?;
                bytes.chunks(*piece).try_for_each(|piece| stream.write_all(piece))?;
                tally.written += bytes.len() as u64;
                Ok(())
            }
            Self::Cut(bytes, at) => {
                stream.set_nodelay(true)?;
                let (first, rest) = bytes.split_at((*at).min(bytes.len()));
                stream.write_all(first)?;
                stream.write_all(rest)?;
                tally.written += bytes.len() as u64;
                Ok(())
            }
            Self::Receive(count) => receive(stream, *count, tally),
            Self::Drain => drain(stream, tally),
            Self::Shutdown => stream.shutdown(Shutdown::Write),
            Self::Wait => tally::wait(),
            Self::Position => position::tell(stream),
            Self::Segments => {
                tally.segments += position::segments(stream)?;
                Ok(())
            }
            Self::Acknowledged => acknowledged(stream),
            Self::Ended => ended(stream),
            // `go_on` does it, because the stream goes.
            Self::Fork(_) => Ok(()),
            Self::Reset => Ok(setsockopt(
                &stream.as_fd(),
                sockopt::Linger,
                &libc::linger { l_onoff: 1, l_linger: 0 },
            )?),
        }
    }
}

/// The words of this name, or those that are written out in hexadecimal digits behind `0x`.
fn words(name: &str) -> anyhow::Result<Vec<u8>> {
    let Some(digits) = name.strip_prefix("0x") else {
        return phrase::phrase(name).context("unknown words");
    };
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    anyhow::ensure!(rest.is_empty(), "an odd number of digits");
    let byte = |pair: &[u8; 2]| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?);
    pairs.iter().map(byte).collect()
}

/// Goes through the steps with an established connection, and closes. An error ends the connection and is counted.
pub(crate) fn play(steps: &[Step], stream: TcpStream, tally: &mut Tally) {
    tally.connections += 1;
    go_on(steps, stream, tally);
}

/// The same with one that was counted before.
pub(crate) fn go_on(steps: &[Step], mut stream: TcpStream, tally: &mut Tally) {
    for (number, step) in steps.iter().enumerate() {
        if let Step::Fork(name) = step {
            inherit::hand_down(name, &steps[number + 1..], stream, tally);
            return;
        }
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

fn acknowledged(stream: &TcpStream) -> io::Result<()> {
    while option::unacknowledged(stream)? != 0 {
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Of a connection that has ended both ways poll(2) tells without being asked.
fn ended(stream: &TcpStream) -> io::Result<()> {
    poll(&mut [PollFd::new(stream.as_fd(), PollFlags::empty())], PollTimeout::NONE)?;
    Ok(())
}
