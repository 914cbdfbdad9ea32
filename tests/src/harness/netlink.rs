//! The few requests of rtnetlink (rtnetlink(7)) that make links: virtual machines that run the
//! tests have no program for it.

use std::{
    ffi::CString,
    io,
    net::IpAddr,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

/// A socket for requests.
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// A request in the making. Attributes are nested by [`Request::nested`].
struct Request {
    bytes: Vec<u8>,
}

/// `IFLA_INFO_KIND` and `IFLA_INFO_DATA` (include/uapi/linux/if_link.h).
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
/// `VETH_INFO_PEER` (include/uapi/linux/veth.h).
const VETH_PEER: u16 = 1;

// === impl Netlink ===

impl Netlink {
    /// A socket in the calling thread's namespace.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Brings a link up.
    pub(super) fn up(&mut self, name: &str) -> io::Result<()> {
        let up = libc::IFF_UP as u32;
        let request = Request::new(libc::RTM_NEWLINK, 0, &link_header(index(name)?, up));
        self.ask(request)
    }

    /// Makes a veth pair: one end here, one in the namespace `peer`, both of this name.
    pub(super) fn add_pair(&mut self, name: &str, peer: BorrowedFd<'_>) -> io::Result<()> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut request = Request::new(libc::RTM_NEWLINK, flags, &link_header(0, 0));
        request.text(libc::IFLA_IFNAME, name);
        request.nested(libc::IFLA_LINKINFO, |request| {
            request.text(INFO_KIND, "veth");
            request.nested(INFO_DATA, |request| {
                request.nested(VETH_PEER, |request| {
                    request.bytes.extend(link_header(0, 0));
                    request.text(libc::IFLA_IFNAME, name);
                    request.attribute(libc::IFLA_NET_NS_FD, &peer.as_raw_fd().to_ne_bytes());
                });
            });
        });
        self.ask(request)
    }

    /// Gives a link an address, which can be used at once.
    pub(super) fn add_address(&mut self, name: &str, ip: IpAddr, prefix: u8) -> io::Result<()> {
        let (family, bytes) = match ip {
            IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
            IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
        };
        // `struct ifaddrmsg`: without duplicate address detection, which takes a second.
        let mut header = vec![family as u8, prefix, libc::IFA_F_NODAD as u8, 0];
        header.extend(index(name)?.to_ne_bytes());
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut request = Request::new(libc::RTM_NEWADDR, flags, &header);
        request.attribute(libc::IFA_LOCAL, &bytes);
        request.attribute(libc::IFA_ADDRESS, &bytes);
        self.ask(request)
    }

    /// Sends a request and reads the kernel's verdict on it (`NLMSG_ERROR`, netlink(7)).
    fn ask(&mut self, request: Request) -> io::Result<()> {
        self.sequence += 1;
        send(self.socket.as_raw_fd(), &request.finish(self.sequence), MsgFlags::empty())?;
        let mut answer = [0; 4096];
        let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        let code = answer[..length].get(16..20).and_then(|bytes| bytes.try_into().ok());
        match code.map(i32::from_ne_bytes) {
            Some(0) => Ok(()),
            Some(code) => Err(io::Error::from_raw_os_error(-code)),
            None => Err(io::Error::other("a short answer")),
        }
    }
}

// === impl Request ===

impl Request {
    fn new(kind: u16, flags: i32, header: &[u8]) -> Self {
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16;
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(header);
        Self { bytes }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nested(kind, |request| request.bytes.extend(value));
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.nested(kind, |request| request.bytes.extend(value.bytes().chain([0])));
    }

    /// An attribute with whatever `fill` adds: its length stands before it, and four bytes are
    /// its grain.
    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// `struct ifinfomsg`.
fn link_header(index: u32, up: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend(index.to_ne_bytes());
    header.extend(up.to_ne_bytes());
    header.extend(up.to_ne_bytes());
    header
}

fn index(name: &str) -> io::Result<u32> {
    let text = CString::new(name)?;
    // SAFETY: the pointer is to a string that ends with NUL and outlives the call.
    match unsafe { libc::if_nametoindex(text.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}
