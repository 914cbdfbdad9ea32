//! Where a connection stands, as its end of TCP has it: what a forger would have to know.

use std::{io, mem::size_of_val, net::TcpStream, os::fd::AsRawFd as _};

use nix::errno::Errno;
use serde_json::json;

use super::{option, tally};

/// Ends repair without a probe to the other end (include/uapi/linux/tcp.h).
const REPAIR_OFF: i32 = -1;

/// Queues whose sequence numbers a socket under repair tells (include/uapi/linux/tcp.h).
const RECEIVED: i32 = 1;
const SENT: i32 = 2;

/// Places in `struct tcp_info` (include/uapi/linux/tcp.h), in bytes.
const DATA_SEGMENTS_IN: usize = 152;
const SEND_WINDOW: usize = 228;

/// More than any kernel fills so far.
const INFO: usize = 512;

/// Says which sequence numbers come next (RFC 9293, section 3.3.1) and what the other end has room
/// for, and waits for a line.
pub(crate) fn tell(stream: &TcpStream) -> io::Result<()> {
    option::set_tcp(stream, libc::TCP_REPAIR, 1)?;
    let numbers = [SENT, RECEIVED].map(|queue| next(stream, queue));
    option::set_tcp(stream, libc::TCP_REPAIR, REPAIR_OFF)?;
    let [snd_nxt, rcv_nxt] = numbers;
    tally::say(&json!({
        "local": stream.local_addr()?.to_string(),
        "peer": stream.peer_addr()?.to_string(),
        "snd_nxt": snd_nxt?,
        "rcv_nxt": rcv_nxt?,
        "snd_wnd": info(stream, SEND_WINDOW)?,
    }))?;
    io::stdin().read_line(&mut String::new()).map(drop)
}

/// Segments with payload that came to this socket, whatever TCP made of them: it counts each after
/// the hooks have had it, and before it looks at the sequence number.
pub(crate) fn segments(stream: &TcpStream) -> io::Result<u64> {
    info(stream, DATA_SEGMENTS_IN).map(u64::from)
}

fn next(stream: &TcpStream, queue: i32) -> io::Result<u32> {
    option::set_tcp(stream, libc::TCP_REPAIR_QUEUE, queue)?;
    let mut number = [0; size_of::<u32>()];
    get(stream, libc::TCP_QUEUE_SEQ, &mut number)?;
    Ok(u32::from_ne_bytes(number))
}

fn info(stream: &TcpStream, at: usize) -> io::Result<u32> {
    let mut info = [0; INFO];
    let filled = get(stream, libc::TCP_INFO, &mut info)?;
    let bytes = info[..filled].get(at..).and_then(|rest| rest.first_chunk());
    bytes.map(|bytes| u32::from_ne_bytes(*bytes)).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// An option of TCP's level; how much of the buffer it fills.
fn get(stream: &TcpStream, option: i32, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = size_of_val(buffer) as libc::socklen_t;
    // SAFETY: the buffer is live and of the length that is given with it.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(result)?;
    Ok(length as usize)
}
