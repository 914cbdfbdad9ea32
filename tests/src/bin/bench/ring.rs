//! How much was ever put into a ring buffer: the position that its producers have come to.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    ptr,
};

use anyhow::Context as _;
use nix::unistd::{SysconfVar, sysconf};
use plainsight_tests::harness;
use serde_json::json;

/// Prints the sum over the ring buffers with these ids.
pub(crate) fn run(maps: &[&str]) -> anyhow::Result<()> {
    let mut bytes = 0;
    for id in maps {
        let map = id.parse().ok().with_context(|| format!("{id} is no id"))?;
        let map = harness::open_map(map).with_context(|| format!("opening map {id}"))?;
        bytes += produced(&map).with_context(|| format!("reading map {id}"))?;
    }
    Ok(super::say(&json!({ "bytes": bytes }))?)
}

/// A ring buffer's first page is the consumer's; the second begins with the producers' position,
/// which the kernel only ever raises.
fn produced(ring: &OwnedFd) -> anyhow::Result<u64> {
    let page = sysconf(SysconfVar::PAGE_SIZE)?.context("pages have no size")?;
    let (protection, sharing) = (libc::PROT_READ, libc::MAP_SHARED);
    let length = usize::try_from(page)?;
    // SAFETY: the kernel chooses where, so nothing of ours is replaced.
    let start =
        unsafe { libc::mmap(ptr::null_mut(), length, protection, sharing, ring.as_raw_fd(), page) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: the page is mapped, longer than a u64, and aligned for one. The kernel may be
    // writing it: hence a volatile read.
    let position = unsafe { ptr::read_volatile(start.cast::<u64>()) };
    // SAFETY: this is the mapping made above, and nothing points into it any more.
    unsafe { libc::munmap(start, length) };
    Ok(position)
}
