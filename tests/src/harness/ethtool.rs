//! Settings of a link that have no request of netlink on all kernels (include/uapi/linux/ethtool.h).

use std::{io, net::UdpSocket, os::fd::AsRawFd as _};

use nix::errno::Errno;

/// Segmentation that is left to the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// By the device (TCP segmentation offload).
    Tso,
    /// By the kernel, just before the device (generic segmentation offload).
    Gso,
}

/// `struct ethtool_value`.
#[repr(C)]
struct Setting {
    command: u32,
    value: u32,
}

/// `struct ifreq`, of which this request reads the name and the pointer.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    setting: *mut Setting,
    rest: [u8; 16],
}

const SIOCETHTOOL: libc::c_ulong = 0x8946;

// === impl Offload ===

impl Offload {
    /// The commands that read it and write it.
    fn commands(self) -> (u32, u32) {
        match self {
            Self::Tso => (0x1e, 0x1f),
            Self::Gso => (0x23, 0x24),
        }
    }
}

/// Switches it on or off for a link of the calling thread's namespace, and looks whether it is so.
pub(super) fn set(link: &str, offload: Offload, is_on: bool) -> io::Result<()> {
    let (read, write) = offload.commands();
    ask(link, write, u32::from(is_on))?;
    match ask(link, read, 0)? {
        value if value == u32::from(is_on) => Ok(()),
        value => Err(io::Error::other(format!("{offload:?} of {link} stays {value}"))),
    }
}

fn ask(link: &str, command: u32, value: u32) -> io::Result<u32> {
    let mut setting = Setting { command, value };
    let mut request =
        Request { name: [0; libc::IFNAMSIZ], setting: &raw mut setting, rest: [0; 16] };
    request.name[..link.len()].copy_from_slice(link.as_bytes());
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    // SAFETY: the request is laid out as the kernel wants it, and its pointer is to a live setting.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    Errno::result(result)?;
    Ok(setting.value)
}
