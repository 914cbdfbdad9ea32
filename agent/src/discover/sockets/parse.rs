//! The bytes of sock_diag: a request, and the answers to it, each field read within its bounds.
//!
//! Numbers are in the host's byte order, ports and addresses in the network's
//! (include/uapi/linux/{netlink,inet_diag,tcp}.h).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Moved, Socket, State};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;

/// Message types that end a list (`NLMSG_ERROR`, `NLMSG_DONE`).
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_DUMP: u16 = 0x301;

/// `struct nlmsghdr`.
const HEADER: usize = 16;

/// `struct inet_diag_req_v2`.
const REQUEST: usize = 56;

/// `struct inet_diag_msg`, after which its attributes begin.
const SOCKET: usize = 72;

/// Attributes (`INET_DIAG_*`); the first must be asked for, by the bit of its number less one.
const INFO: u16 = 2;
const V6_ONLY: u16 = 11;
const CGROUP: u16 = 21;

/// Why the sockets could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The kernel refused the request, or the conversation failed.
    #[error("the kernel does not list its sockets: {0}")]
    Refused(#[from] io::Error),
    /// A message or an attribute is longer than what holds it.
    #[error("the kernel's list of sockets is cut short")]
    Truncated,
}

/// Whether an answer was the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    More,
    Done,
}

/// A request for the TCP sockets of a family in these states.
pub(super) fn request(family: u8, states: u32) -> Vec<u8> {
    let length = (HEADER + REQUEST) as u32;
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_DUMP.to_ne_bytes());
    // Sequence number and port, which one conversation at a time does not need.
    bytes.extend([0; 8]);
    bytes.extend([family, libc::IPPROTO_TCP as u8, 1 << (INFO - 1), 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.resize(HEADER + REQUEST, 0);
    bytes
}

/// Reads one answer, which holds any number of messages. Sockets of a kind that is not listed are
/// passed over.
pub(super) fn answer(mut bytes: &[u8], found: &mut Vec<Socket>) -> Result<Answer, ListError> {
    while !bytes.is_empty() {
        let length = u32_at(bytes, 0)? as usize;
        let kind = u16_at(bytes, 4)?;
        let body = bytes.get(HEADER..length).ok_or(ListError::Truncated)?;
        match kind {
            DONE => return Ok(Answer::Done),
            ERROR => return refusal(body).map(|()| Answer::Done),
            BY_FAMILY => found.extend(socket(body)?),
            _ => {}
        }
        bytes = after(bytes, length);
    }
    Ok(Answer::More)
}

/// An error of 0 is an acknowledgement.
fn refusal(body: &[u8]) -> Result<(), ListError> {
    match i32::from_ne_bytes(array(body, 0)?) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.saturating_neg()).into()),
    }
}

fn socket(body: &[u8]) -> Result<Option<Socket>, ListError> {
    let head = body.get(..SOCKET).ok_or(ListError::Truncated)?;
    let [family, code, ..] = *head else { return Err(ListError::Truncated) };
    let Some(state) = State::from_code(code) else { return Ok(None) };
    let [Some(local), Some(remote)] = [address(family, head, 8)?, address(family, head, 24)?]
    else {
        return Ok(None);
    };
    let mut socket = Socket {
        cookie: u64::from(u32_at(head, 44)?) | u64::from(u32_at(head, 48)?) << 32,
        state,
        local,
        local_port: u16::from_be_bytes(array(head, 4)?),
        remote,
        remote_port: u16::from_be_bytes(array(head, 6)?),
        inode: u32_at(head, 68)?.into(),
        cgroup: 0,
        is_v6_only: false,
        moved: None,
    };
    attributes(&body[SOCKET..], &mut socket)?;
    Ok(Some(socket))
}

/// The address in the form people know; none for a family that is neither of the two.
fn address(family: u8, head: &[u8], at: usize) -> Result<Option<IpAddr>, ListError> {
    Ok(match family.into() {
        libc::AF_INET => Some(Ipv4Addr::from_octets(array(head, at)?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from_octets(array(head, at)?).to_canonical()),
        _ => None,
    })
}

fn attributes(mut bytes: &[u8], socket: &mut Socket) -> Result<(), ListError> {
    while !bytes.is_empty() {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)?;
        let value = bytes.get(4..length).ok_or(ListError::Truncated)?;
        match kind {
            INFO => socket.moved = moved(value),
            V6_ONLY => socket.is_v6_only = value.first().is_some_and(|set| *set != 0),
            CGROUP => socket.cgroup = u64::from_ne_bytes(array(value, 0)?),
            _ => {}
        }
        bytes = after(bytes, length);
    }
    Ok(())
}

/// From `struct tcp_info`, which every kernel since 4.2 has to this length; a shorter one tells
/// nothing that is of use here.
fn moved(info: &[u8]) -> Option<Moved> {
    Some(Moved {
        acked: u64::from_ne_bytes(array(info, 120).ok()?),
        received: u64::from_ne_bytes(array(info, 128).ok()?),
        rtt_us: u32_at(info, 68).ok()?,
    })
}

/// What follows a message or an attribute: each begins at a multiple of four, and the last need
/// not be filled up to one.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(4)..).unwrap_or_default()
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, ListError> {
    array(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, ListError> {
    array(bytes, at).map(u32::from_ne_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], ListError> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or(ListError::Truncated)
}

#[cfg(test)]
mod tests;
