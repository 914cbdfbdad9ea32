//! Segments of somebody else's connection, written by hand.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, SockaddrStorage, bind, sendto},
};

use super::Namespace;

/// Sends segments that look like another socket's, from an address of its network namespace.
#[derive(Debug)]
pub struct Forger {
    socket: OwnedFd,
}

/// A segment with payload.
#[derive(Clone, Copy, Debug)]
pub struct Forged<'a> {
    /// Whose it pretends to be.
    pub from: SocketAddr,
    /// Whom it is for.
    pub to: SocketAddr,
    /// The sequence number of its first byte.
    pub seq: u32,
    /// What it acknowledges.
    pub ack: u32,
    /// What else it says.
    pub flags: Flags,
    /// What it carries.
    pub payload: &'a [u8],
}

/// Flags of TCP's header (RFC 9293, section 3.1); all acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    /// More may come.
    Push,
    /// Nothing more will come.
    Finish,
    /// The connection is no more.
    Reset,
}

/// Without options, in 32-bit words (RFC 9293, section 3.1).
const HEADER_WORDS: u8 = 5;

// === impl Forger ===

impl Forger {
    /// One who can send as this address.
    ///
    /// # Panics
    ///
    /// If the namespace does not have the address.
    #[must_use]
    pub fn new(namespace: &Namespace, ip: IpAddr) -> Self {
        let open = || {
            let family = if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            // SAFETY: the call takes three numbers.
            let socket = Errno::result(unsafe { libc::socket(family, kind, libc::IPPROTO_TCP) })?;
            // SAFETY: the kernel has just given this descriptor to nobody else.
            let socket = unsafe { OwnedFd::from_raw_fd(socket) };
            bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(ip, 0)))?;
            Ok(Self { socket })
        };
        let forger = namespace.enter(open);
        forger.unwrap_or_else(|error: io::Error| panic!("a raw socket for {ip}: {error}"))
    }

    /// Sends one. On loopback, or a pair of links, it has arrived when this returns, or soon after.
    ///
    /// # Panics
    ///
    /// If the kernel refuses it.
    pub fn send(&self, forged: &Forged<'_>) {
        let segment = forged.bytes();
        // A port in the address of a raw socket is for IPv6 the protocol, or nothing (raw(7)).
        let to = SockaddrStorage::from(SocketAddr::new(forged.to.ip(), 0));
        let sent = sendto(self.socket.as_raw_fd(), &segment, &to, MsgFlags::empty());
        assert_eq!(sent, Ok(segment.len()), "{forged:?}");
    }
}

// === impl Forged ===

impl Forged<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut segment = Vec::new();
        segment.extend(self.from.port().to_be_bytes());
        segment.extend(self.to.port().to_be_bytes());
        segment.extend(self.seq.to_be_bytes());
        segment.extend(self.ack.to_be_bytes());
        segment.extend([HEADER_WORDS << 4, self.flags.bits()]);
        // Window; checksum, which is not there yet; urgent pointer.
        segment.extend([0x10, 0, 0, 0, 0, 0]);
        segment.extend(self.payload);
        let checksum = checksum(&[&self.pseudo_header(segment.len()), &segment]);
        segment[16..18].copy_from_slice(&checksum.to_be_bytes());
        segment
    }

    /// What the checksum is also over (RFC 9293, section 3.1; RFC 8200, section 8.1). It is a sum,
    /// so the fields may stand in any order and have zeros before them.
    fn pseudo_header(&self, length: usize) -> Vec<u8> {
        let mut header = Vec::new();
        for ip in [self.from.ip(), self.to.ip()] {
            match ip {
                IpAddr::V4(ip) => header.extend(ip.octets()),
                IpAddr::V6(ip) => header.extend(ip.octets()),
            }
        }
        header.extend((length as u32).to_be_bytes());
        header.extend((libc::IPPROTO_TCP as u32).to_be_bytes());
        header
    }
}

// === impl Flags ===

impl Flags {
    const fn bits(self) -> u8 {
        match self {
            Self::Push => 0x18,
            Self::Finish => 0x11,
            Self::Reset => 0x14,
        }
    }
}

/// The checksum of the Internet (RFC 1071) over parts that all but the last are of an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let words = pairs.map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum = words.fold(0, |sum: u32, word| sum.wrapping_add(word));
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::checksum;

    /// The example of RFC 1071, section 3.
    #[test]
    fn the_checksum_is_that_of_the_internet() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2]]), !0xf201);
    }
}
