//! Whether somebody's programs or filters may send packets of a device elsewhere than its route
//! says: tc(8), and BPF programs attached to it directly (since Linux 6.6).

use std::io;

use crate::discover::netlink::{Netlink, NetlinkError, Request};

/// Where packets meet them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// As they come in by the device.
    Ingress,
    /// As they leave by it.
    Egress,
}

/// What may send them elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    Filter,
    Program,
}

/// `struct tcmsg`: family, padding, device, handle, parent, info.
const HEADER: usize = 20;

/// Filters of a device that are counted: one is enough.
const MOST: usize = 4096;

/// `BPF_PROG_QUERY` of bpf(2), and the length of what it takes (`query` in `union bpf_attr`).
const PROG_QUERY: libc::c_int = 16;
const QUERY: usize = 64;

// === impl Side ===

impl Side {
    /// `TC_H_CLSACT` with its ingress or its egress (include/uapi/linux/pkt_sched.h).
    const fn parent(self) -> u32 {
        match self {
            Self::Ingress => 0xffff_fff2,
            Self::Egress => 0xffff_fff3,
        }
    }

    /// `BPF_TCX_INGRESS` and `BPF_TCX_EGRESS`.
    const fn attach_type(self) -> u32 {
        match self {
            Self::Ingress => 46,
            Self::Egress => 47,
        }
    }
}

// === impl Redirect ===

impl Redirect {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Filter => "filters of tc, which may redirect",
            Self::Program => "a BPF program, which may redirect",
        }
    }
}

/// What is attached to a device. The calling thread must be in the conversation's namespace.
pub(super) fn attached(
    netlink: &Netlink,
    device: u32,
    side: Side,
) -> Result<Option<Redirect>, NetlinkError> {
    if has_program(device, side)? {
        return Ok(Some(Redirect::Program));
    }
    Ok(has_filter(netlink, device, side)?.then_some(Redirect::Filter))
}

fn has_filter(netlink: &Netlink, device: u32, side: Side) -> Result<bool, NetlinkError> {
    let mut found = false;
    netlink.ask(&request(device, side), MOST, |kind, _| {
        found |= kind == libc::RTM_NEWTFILTER;
        Ok(())
    })?;
    Ok(found)
}

fn request(device: u32, side: Side) -> Request {
    let mut header = vec![0; 4];
    header.extend(device.to_ne_bytes());
    header.extend([0; 4]);
    header.extend(side.parent().to_ne_bytes());
    header.resize(HEADER, 0);
    Request::all(libc::RTM_GETTFILTER, &header)
}

fn has_program(device: u32, side: Side) -> io::Result<bool> {
    let mut query = [0_u8; QUERY];
    query[..4].copy_from_slice(&device.to_ne_bytes());
    query[4..8].copy_from_slice(&side.attach_type().to_ne_bytes());
    // SAFETY: the kernel reads and writes no more than the length that is given, of memory that is
    // live and of which any bytes are valid.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, query.as_mut_ptr(), query.len()) };
    if result == 0 {
        let count = query[24..28].iter().any(|byte| *byte != 0);
        return Ok(count);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Nothing was ever attached, and the kernel is too old for it.
        Some(libc::ENOENT | libc::EINVAL) => Ok(false),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_asked_for_at_one_side_of_one_device() {
        let ask = |device, side| request(device, side);
        let mut header = vec![0; 4];
        header.extend(7_u32.to_ne_bytes());
        header.extend([0; 4]);
        header.extend(0xffff_fff3_u32.to_ne_bytes());
        header.extend([0; 4]);
        assert_eq!(ask(7, Side::Egress), Request::all(libc::RTM_GETTFILTER, &header));
        assert_ne!(ask(7, Side::Egress), ask(7, Side::Ingress));
    }
}
