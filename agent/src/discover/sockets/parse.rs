//! The bytes of sock_diag: a request, and the sockets of its answer, each field read within its bounds.
//!
//! Numbers are in the host's byte order, ports and addresses in the network's
//! (include/uapi/linux/{inet_diag,tcp}.h).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    super::netlink::{NetlinkError, Request, array, attributes, u32_at},
    Moved, Socket, State,
};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;

/// `struct inet_diag_req_v2`.
const REQUEST: usize = 56;

/// `struct inet_diag_msg`, after which its attributes begin.
const SOCKET: usize = 72;

/// Attributes (`INET_DIAG_*`); the first must be asked for, by the bit of its number less one.
const INFO: u16 = 2;
const V6_ONLY: u16 = 11;
const CGROUP: u16 = 21;

/// A request for the TCP sockets of a family in these states.
pub(super) fn request(family: u8, states: u32) -> Request {
    let mut body = vec![family, libc::IPPROTO_TCP as u8, 1 << (INFO - 1), 0];
    body.extend(states.to_ne_bytes());
    body.resize(REQUEST, 0);
    Request::all(BY_FAMILY, &body)
}

/// The socket in a message of the answer; none in one of another kind, or of a socket that is not listed.
pub(super) fn listed(kind: u16, body: &[u8]) -> Result<Option<Socket>, NetlinkError> {
    if kind == BY_FAMILY { socket(body) } else { Ok(None) }
}

fn socket(body: &[u8]) -> Result<Option<Socket>, NetlinkError> {
    let head = body.get(..SOCKET).ok_or(NetlinkError::Truncated)?;
    let [family, code, ..] = *head else { return Err(NetlinkError::Truncated) };
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
    attributes(body, SOCKET, |kind, value| {
        match kind {
            INFO => socket.moved = moved(value),
            V6_ONLY => socket.is_v6_only = value.first().is_some_and(|set| *set != 0),
            CGROUP => socket.cgroup = u64::from_ne_bytes(array(value, 0)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Some(socket))
}

/// The address in the form people know; none for a family that is neither of the two.
fn address(family: u8, head: &[u8], at: usize) -> Result<Option<IpAddr>, NetlinkError> {
    Ok(match family.into() {
        libc::AF_INET => Some(Ipv4Addr::from_octets(array(head, at)?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from_octets(array(head, at)?).to_canonical()),
        _ => None,
    })
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

#[cfg(test)]
mod tests;
