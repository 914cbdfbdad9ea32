//! Where a load runs: in a given cgroup, in a network namespace of its own, on one processor.

use std::{fs, io, os::fd::AsRawFd as _};

use anyhow::Context as _;
use nix::{
    sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare},
    unistd::Pid,
};

/// Moves this process there.
///
/// The namespace gives every load the same beginning: no packet filter, and none of the closed
/// connections that an earlier load left behind, which would make a free port harder to find.
pub(crate) fn take(cgroup: &str) -> anyhow::Result<()> {
    fs::write(format!("{cgroup}/cgroup.procs"), "0")
        .with_context(|| format!("entering {cgroup}"))?;
    unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace")?;
    raise_loopback().context("bringing loopback up")?;
    stay().context("staying on one processor")
}

/// Stays on the last processor that this process may use: the first often serves interrupts.
fn stay() -> nix::Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let last = (0..CpuSet::count()).rev().find(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(last.unwrap_or(0))?;
    sched_setaffinity(this, &one)
}

fn raise_loopback() -> anyhow::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all bytes of the structure may be zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request lives until the call returns, and is the one that this command reads.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}
