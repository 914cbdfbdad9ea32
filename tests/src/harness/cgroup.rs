//! A cgroup of the test's own.

use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::wait;

/// A cgroup below the root of the unified hierarchy. When it is dropped, the processes that were
/// started in it are ended and it is removed.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

static MADE: AtomicU32 = AtomicU32::new(0);

// === impl Cgroup ===

impl Cgroup {
    /// A new cgroup, named after this process.
    ///
    /// # Panics
    ///
    /// If there is no unified hierarchy, or it cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self::at(root().join(format!("plainsight-test-{}-{number}", process::id())))
    }

    /// A cgroup below this one; it has to go before its parent does.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self::at(self.path.join(name))
    }

    /// Where it is in the file system.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path from the root of the hierarchy.
    ///
    /// # Panics
    ///
    /// If it is not text.
    #[must_use]
    pub fn within_hierarchy(&self) -> String {
        let below = self.path.strip_prefix(root()).expect("it is below the root");
        format!("/{}", below.to_str().expect("the path is text"))
    }

    /// Lets `command` start in this cgroup.
    ///
    /// # Panics
    ///
    /// If the cgroup is gone.
    pub fn place(&self, command: &mut Command) {
        let file = OpenOptions::new().write(true).open(self.processes());
        let file = file.expect("the cgroup's list of processes can be written");
        let join = move || {
            // SAFETY: write is async-signal-safe, and the descriptor and the buffer are valid.
            let written = unsafe { libc::write(file.as_raw_fd(), b"0".as_ptr().cast(), 1) };
            if written == 1 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        };
        // SAFETY: between fork and exec the closure only makes a system call.
        unsafe { command.pre_exec(join) };
    }

    /// Processes in it now.
    #[must_use]
    pub fn members(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.processes()).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn at(path: PathBuf) -> Self {
        fs::create_dir(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; tests need root", path.display()));
        Self { path }
    }

    fn processes(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    fn remove(&self) -> Result<(), String> {
        for process in self.members() {
            // Only what a test started is here. It may have ended by itself meanwhile.
            let _ended = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
        match fs::remove_dir(&self.path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(format!("{}: {error}", self.path.display())),
        }
    }
}

impl Default for Cgroup {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let removed = wait::patiently(|| self.remove());
        // A second panic would hide the first.
        if !std::thread::panicking() {
            removed.unwrap_or_else(|reason| panic!("removing the test's cgroup: {reason}"));
        }
    }
}

/// Where the unified hierarchy's root is mounted.
fn root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    let found = mounts.lines().find_map(mount_point);
    found.expect("a cgroup2 hierarchy is mounted").into()
}

/// The mount point, if this line of mountinfo is of a cgroup2 hierarchy's root (proc(5)).
fn mount_point(line: &str) -> Option<&str> {
    let (mount, source) = line.split_once(" - ")?;
    let fields: Vec<&str> = mount.split(' ').collect();
    let is_root = source.split(' ').next() == Some("cgroup2") && *fields.get(3)? == "/";
    is_root.then_some(*fields.get(4)?)
}

#[cfg(test)]
mod tests {
    use super::mount_point;

    #[test]
    fn the_root_of_the_unified_hierarchy_is_found() {
        let check = |line: &str, expect: Option<&str>| assert_eq!(mount_point(line), expect);
        check("41 31 0:38 / /cg rw,relatime shared:7 - cgroup2 cgroup2 rw", Some("/cg"));
        check("41 31 0:38 /below /cg rw,relatime - cgroup2 cgroup2 rw", None);
        check("40 31 0:37 / /v1 rw,relatime - cgroup cgroup rw,cpu", None);
        check("", None);
    }
}
