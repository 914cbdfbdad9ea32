//! Which processes hold sockets, and what they are called.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::fs::MetadataExt as _,
    },
    path::Path,
};

use plainsight_ebpf::abi::Comm;

use super::{names, process};

/// A process that holds a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holder {
    /// Inode of its cgroup2 directory; 0 where it could not be read.
    pub(super) cgroup: u64,
    /// Its name.
    pub(super) comm: Comm,
}

// === impl Holder ===

impl Holder {
    /// The process with this id; none if it is gone. `cgroups` is the root of the cgroup2
    /// hierarchy.
    pub(super) fn read(tgid: u32, cgroups: &Path) -> Option<Self> {
        let process = process::read(tgid)?;
        let path = process.cgroups.unified.unwrap_or_default();
        let folder = cgroups.join(path.trim_start_matches('/'));
        Some(Self {
            cgroup: fs::metadata(folder).map_or(0, |folder| folder.ino()),
            comm: names::comm(&process.name).unwrap_or_default(),
        })
    }
}

/// Every process, in the order of ids: a server's first process comes before its workers.
pub(super) fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let id = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let mut ids: Vec<u32> = entries.flatten().filter_map(id).collect();
    ids.sort_unstable();
    ids
}

/// Descriptor and inode of each socket of a process. Who may list them need not be allowed to read
/// what they are.
pub(super) fn sockets(tgid: u32) -> io::Result<Vec<(i32, u64)>> {
    let mut sockets = Vec::new();
    for entry in fs::read_dir(format!("/proc/{tgid}/fd"))?.flatten() {
        match fs::read_link(entry.path()) {
            Ok(target) => sockets.extend(socket(&entry, &target)),
            Err(error) if is_refusal(&error) => return Err(error),
            // It was closed meanwhile.
            Err(_) => {}
        }
    }
    Ok(sockets)
}

fn socket(entry: &fs::DirEntry, target: &Path) -> Option<(i32, u64)> {
    let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
    Some((entry.file_name().to_str()?.parse().ok()?, inode))
}

/// A process that has ended and waits for its parent refuses everybody, and holds nothing.
pub(super) fn is_dead(tgid: u32) -> bool {
    let program = fs::read_link(format!("/proc/{tgid}/exe"));
    program.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

pub(super) fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// An integer that getsockopt(2) gives at the level of sockets.
pub(super) fn option<T: Copy + Default>(socket: &impl AsFd, name: libc::c_int) -> Option<T> {
    let mut value = T::default();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value is live and as long as the length says; any bytes are a valid integer.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    (result == 0 && length as usize == size_of::<T>()).then_some(value)
}
