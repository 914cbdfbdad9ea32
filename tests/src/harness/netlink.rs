//! The few requests of netlink that make links (rtnetlink(7)) and MPTCP's subflows: virtual
//! machines that run the tests have no program for it.

use std::{
    ffi::CString,
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use nix::sys::socket::{MsgFlags, recv, send};

/// A socket for requests.
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// A request in the making. Attributes are nested by [`Request::nested`].
pub(super) struct Request {
    bytes: Vec<u8>,
}

/// `IFLA_INFO_KIND` and `IFLA_INFO_DATA` (include/uapi/linux/if_link.h).
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
/// `VETH_INFO_PEER` (include/uapi/linux/veth.h).
const VETH_PEER: u16 = 1;
/// The command `CTRL_CMD_GETFAMILY` and its attributes (include/uapi/linux/genetlink.h).
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// Commands of MPTCP's path manager, `MPTCP_PM_CMD_…` (include/uapi/linux/mptcp_pm.h).
const PM_ADD_ADDRESS: u8 = 1;
const PM_SET_LIMITS: u8 = 5;
/// Their attributes, `MPTCP_PM_ATTR_…`.
const PM_ADDRESS: u16 = 1;
const PM_ADDRESSES: u16 = 2;
const PM_SUBFLOWS: u16 = 3;
/// Attributes of an address, `MPTCP_PM_ADDR_ATTR_…`, and the one flag that is used.
const ADDRESS_FAMILY: u16 = 1;
const ADDRESS_IPV4: u16 = 3;
const ADDRESS_FLAGS: u16 = 6;
const FLAG_SUBFLOW: u32 = 2;

// === impl Netlink ===

impl Netlink {
    /// A socket for links, in the calling thread's namespace.
    pub(super) fn open() -> io::Result<Self> {
        Self::of(libc::NETLINK_ROUTE)
    }

    /// A socket for the kernel's other parts, likewise.
    pub(super) fn open_generic() -> io::Result<Self> {
        Self::of(libc::NETLINK_GENERIC)
    }

    /// A socket for IPsec, likewise.
    pub(super) fn open_xfrm() -> io::Result<Self> {
        Self::of(libc::NETLINK_XFRM)
    }

    fn of(protocol: libc::c_int) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: it takes numbers and touches no memory of ours.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, valid and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
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

    /// Sends what has no route of its own by this router.
    pub(super) fn add_default_route(&mut self, router: Ipv4Addr) -> io::Result<()> {
        // `struct rtmsg`: the main table, as an administrator sets it, to anywhere.
        let main = libc::RT_TABLE_MAIN;
        let header =
            [libc::AF_INET as u8, 0, 0, 0, main, libc::RTPROT_STATIC, 0, libc::RTN_UNICAST];
        let header = [&header[..], &[0; 4]].concat();
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut request = Request::new(libc::RTM_NEWROUTE, flags, &header);
        request.attribute(libc::RTA_GATEWAY, &router.octets());
        self.ask(request)
    }

    /// Lets every MPTCP connection have one more subflow, which this end opens from `from` if it is
    /// given and the other end's otherwise (include/uapi/linux/mptcp_pm.h).
    pub(super) fn allow_subflow(&mut self, from: Option<Ipv4Addr>) -> io::Result<()> {
        let family = self.family("mptcp_pm")?;
        let mut limits = Request::new(family, 0, &[PM_SET_LIMITS, 1, 0, 0]);
        limits.attribute(PM_ADDRESSES, &0_u32.to_ne_bytes());
        limits.attribute(PM_SUBFLOWS, &1_u32.to_ne_bytes());
        self.ask(limits)?;
        let Some(from) = from else { return Ok(()) };
        let mut endpoint = Request::new(family, 0, &[PM_ADD_ADDRESS, 1, 0, 0]);
        endpoint.nested(PM_ADDRESS | libc::NLA_F_NESTED as u16, |endpoint| {
            endpoint.attribute(ADDRESS_FAMILY, &(libc::AF_INET as u16).to_ne_bytes());
            endpoint.attribute(ADDRESS_IPV4, &from.octets());
            endpoint.attribute(ADDRESS_FLAGS, &FLAG_SUBFLOW.to_ne_bytes());
        });
        self.ask(endpoint)
    }

    /// The number of a family of generic requests (include/uapi/linux/genetlink.h).
    pub(super) fn family(&mut self, name: &str) -> io::Result<u16> {
        let mut request = Request::new(libc::GENL_ID_CTRL as u16, 0, &[GET_FAMILY, 1, 0, 0]);
        request.text(FAMILY_NAME, name);
        self.sequence += 1;
        send(self.socket.as_raw_fd(), &request.finish(self.sequence), MsgFlags::empty())?;
        let (mut answer, mut end) = ([0; 4096], [0; 4096]);
        let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        recv(self.socket.as_raw_fd(), &mut end, MsgFlags::empty())?;
        // After both headers attributes follow each other, each with its length and its kind.
        let mut rest = answer[..length].get(20..).unwrap_or_default();
        while let [low, high, kind, _, value @ ..] = rest {
            if let (FAMILY_ID, [low, high, ..]) = (u16::from(*kind), value) {
                return Ok(u16::from_ne_bytes([*low, *high]));
            }
            let length = usize::from(u16::from_ne_bytes([*low, *high])).max(4);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Sends a request and reads the kernel's verdict on it (`NLMSG_ERROR`, netlink(7)).
    pub(super) fn ask(&mut self, request: Request) -> io::Result<()> {
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
    pub(super) fn new(kind: u16, flags: i32, header: &[u8]) -> Self {
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16;
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(header);
        Self { bytes }
    }

    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nested(kind, |request| request.bytes.extend(value));
    }

    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.nested(kind, |request| request.bytes.extend(value.bytes().chain([0])));
    }

    /// An attribute with whatever `fill` adds: its length stands before it, and four bytes are
    /// its grain.
    pub(super) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
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
pub(super) fn link_header(index: u32, up: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend(index.to_ne_bytes());
    header.extend(up.to_ne_bytes());
    header.extend(up.to_ne_bytes());
    header
}

pub(super) fn index(name: &str) -> io::Result<u32> {
    let text = CString::new(name)?;
    // SAFETY: the pointer is to a string that ends with NUL and outlives the call.
    match unsafe { libc::if_nametoindex(text.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}
