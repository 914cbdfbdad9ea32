//! Sockets that were listening before the programs were attached, and who holds them.
//!
//! The programs see who binds; an older listener would stay nameless, and so would every server
//! behind it. A descriptor of each is taken from its process, so that the kernel side can put on
//! it what `post_bind` would have. For processes of other users that needs CAP_SYS_PTRACE.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use plainsight_ebpf::abi::Comm;

use super::{
    holders::{Holder, is_dead, is_refusal, option, processes, sockets},
    sockets::netns_cookie,
};

/// `TCP_LISTEN` in the state column of `/proc/net/tcp` (include/net/tcp_states.h).
const LISTEN: &str = "0A";

/// A listening socket, held open by this descriptor too.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: OwnedFd,
    /// The cgroup of the process that holds it; 0 where it could not be read.
    pub cgroup: u64,
    /// Cookie of its network namespace; 0 where the kernel does not tell.
    pub netns: u64,
    /// The process.
    pub tgid: u32,
    /// The process's name.
    pub comm: Comm,
}

/// How the search went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Listeners that were found, each once, with the lowest process id that holds it.
    pub found: u64,
    /// Processes whose sockets this one may not look at: their servers stay nameless.
    pub refused: u64,
    /// Sockets that could not be taken for another reason than that they were closed meanwhile.
    pub failed: u64,
}

/// Inodes of listening sockets by network namespace, each namespace read once.
#[derive(Debug, Default)]
struct Inodes(HashMap<OsString, HashSet<u64>>);

// === impl Search ===

impl Search {
    /// Looks through every process there is, and calls `each` for every listener, so that no more
    /// than one is held open at a time. `cgroups` is the root of the cgroup2 hierarchy.
    pub fn run(cgroups: &Path, mut each: impl FnMut(&Listener)) -> Self {
        let mut search = Self::default();
        let mut known = HashSet::new();
        let mut inodes = Inodes::default();
        for tgid in processes() {
            let listening = inodes.of(tgid);
            let sockets = sockets(tgid).unwrap_or_else(|error| {
                search.refused += u64::from(is_refusal(&error) && !is_dead(tgid));
                Vec::new()
            });
            for (number, inode) in sockets {
                if listening.contains(&inode) && !known.contains(&inode) {
                    let listener = search.take(tgid, number, cgroups);
                    known.extend(listener.as_ref().map(|_| inode));
                    listener.iter().for_each(&mut each);
                }
            }
        }
        search
    }

    fn take(&mut self, tgid: u32, number: i32, cgroups: &Path) -> Option<Listener> {
        match take(tgid, number) {
            // Unless the number has become another file's.
            Ok(socket) if is_tcp_listener(&socket) => {
                self.found += 1;
                describe(socket, tgid, cgroups)
            }
            Ok(_) => None,
            Err(error) => {
                let is_closed = matches!(error.raw_os_error(), Some(libc::EBADF | libc::ESRCH));
                self.failed += u64::from(!is_closed);
                None
            }
        }
    }
}

// === impl Inodes ===

impl Inodes {
    fn of(&mut self, tgid: u32) -> &HashSet<u64> {
        let folder = PathBuf::from(format!("/proc/{tgid}"));
        let namespace = fs::read_link(folder.join("ns/net")).unwrap_or_default();
        self.0.entry(namespace.into_os_string()).or_insert_with(|| {
            let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
            let tables = [read("net/tcp"), read("net/tcp6")];
            tables.iter().flat_map(|table| listening(table)).collect()
        })
    }
}

/// Inodes of the listening sockets in `/proc/net/tcp` or `/proc/net/tcp6`.
fn listening(table: &str) -> impl Iterator<Item = u64> {
    table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [state, inode] = [fields.get(3)?, fields.get(9)?];
        if *state == LISTEN { inode.parse().ok() } else { None }
    })
}

/// Takes a descriptor of the same open socket (pidfd_open(2), pidfd_getfd(2)).
fn take(tgid: u32, number: i32) -> io::Result<OwnedFd> {
    // SAFETY: the calls take numbers only; each result is checked and owned at once.
    unsafe {
        let process = owned(libc::syscall(libc::SYS_pidfd_open, tgid, 0))?;
        owned(libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0))
    }
}

/// # Safety
///
/// `result` must be what a call that makes a descriptor has just returned.
unsafe fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    match i32::try_from(result) {
        // SAFETY: the caller says that it is a new descriptor.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The descriptor's number may have become another file's since it was listed.
fn is_tcp_listener(socket: &OwnedFd) -> bool {
    option::<libc::c_int>(socket, libc::SO_ACCEPTCONN) == Some(1)
        && option::<libc::c_int>(socket, libc::SO_PROTOCOL) == Some(libc::IPPROTO_TCP)
}

fn describe(socket: OwnedFd, tgid: u32, cgroups: &Path) -> Option<Listener> {
    let Holder { cgroup, comm } = Holder::read(tgid, cgroups)?;
    Some(Listener { cgroup, netns: netns_cookie(&socket), tgid, comm, socket })
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::unix::fs::MetadataExt as _};

    use super::*;

    #[test]
    fn listening_inodes_are_read_from_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   \
             1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1\n   \
             2: nonsense\n";
        assert_eq!(listening(table).collect::<Vec<_>>(), [4711]);
        assert_eq!(listening("").count(), 0);
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap().ino();
        let own = std::process::id();
        assert!(Inodes::default().of(own).contains(&inode));
        assert!(sockets(own).unwrap().contains(&(listener.as_raw_fd(), inode)));
        let taken = take(own, listener.as_raw_fd()).unwrap();
        assert!(is_tcp_listener(&taken));
        let described = describe(taken, own, Path::new("/nowhere")).unwrap();
        assert_eq!((described.tgid, described.cgroup), (own, 0));
    }

    #[test]
    fn what_does_not_listen_is_none() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(!is_tcp_listener(&socket.into()));
        assert!(take(std::process::id(), -1).is_err());
    }
}
