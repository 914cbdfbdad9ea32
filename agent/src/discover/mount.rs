//! Where the host's cgroup2 hierarchy is mounted.
//!
//! Programs attached to a cgroup see that cgroup and what is below it. Attached to a container's
//! own view they would miss the rest of the host without an error, so only a mount whose root
//! directory has inode 1 passes for the host's; anything else must be asked for by name.

use std::{
    ffi::OsString,
    fmt::{self, Write as _},
    fs, io,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, FsType, statfs};

/// The mounts of this process's namespace.
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// Inode of the directory at the root of a hierarchy (kernfs numbers from 1).
const ROOT_INODE: u64 = 1;

/// One line of mountinfo, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Type of the filesystem.
    pub fs_type: String,
    /// Options of the filesystem itself, separated by commas.
    pub options: String,
}

/// The cgroup to attach to, and the hierarchy it lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// The cgroup to attach to.
    pub attach: PathBuf,
    /// The uppermost directory of the same hierarchy that is visible from here.
    pub root: PathBuf,
}

/// A cgroup2 mount that is not the host's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Inode of its uppermost directory.
    pub inode: u64,
}

/// Why there is no cgroup to attach to, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The list of mounts cannot be read.
    #[error("{MOUNTINFO} cannot be read ({0}): mount a proc filesystem at /proc")]
    Unreadable(#[source] io::Error),
    /// No mount of the right type.
    #[error(
        "no cgroup2 filesystem is mounted: mount one (`mount -t cgroup2 none DIRECTORY`), or, in \
         a container, pass the host's /sys/fs/cgroup into it"
    )]
    NoMount,
    /// Mounts of the right type, none of them the host's root.
    #[error(
        "{} not the root of the host's cgroup2 hierarchy, so traffic outside would be missed: \
         mount the host's cgroup2 filesystem at /sys/fs/cgroup (in a container: the host's, not \
         the container's own), or name the part to watch with --cgroup",
        list(.0)
    )]
    NotTheRoot(Vec<Partial>),
    /// The path given cannot be used.
    #[error("--cgroup {}: {source}", path.display())]
    NoSuchPath {
        /// The path given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path given lies elsewhere.
    #[error(
        "--cgroup {} is not a directory on a cgroup2 filesystem: give a directory below the \
         cgroup2 mount, or leave --cgroup out to watch the whole host", .0.display()
    )]
    NotCgroup2(PathBuf),
}

// === impl Partial ===

impl fmt::Display for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (inode {}, the root has {ROOT_INODE})", self.point.display(), self.inode)
    }
}

/// The hierarchy to attach to: the directory named, or the host's root.
pub fn hierarchy(named: Option<&Path>) -> Result<Hierarchy, MountError> {
    match named {
        Some(path) => below(path),
        None => host_root(),
    }
}

/// All mounts of this process's namespace.
pub fn mounts() -> io::Result<Vec<Mount>> {
    fs::read(MOUNTINFO).map(|text| parse(&text))
}

/// Reads mountinfo (proc_pid_mountinfo(5)). Lines of another shape are passed over.
pub fn parse(mountinfo: &[u8]) -> Vec<Mount> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = fields.nth(4)?;
    // Optional fields of unknown number end with a lone dash.
    fields.find(|field| *field == b"-")?;
    let fs_type = fields.next()?;
    let options = fields.nth(1)?;
    Some(Mount {
        point: PathBuf::from(OsString::from_vec(unescape(point))),
        fs_type: String::from_utf8_lossy(fs_type).into_owned(),
        options: String::from_utf8_lossy(options).into_owned(),
    })
}

/// Undoes the kernel's `\ooo` for space, tab, newline and backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match escape(rest) {
            Some(byte) => {
                plain.push(byte);
                rest = &rest[4..];
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

fn escape(text: &[u8]) -> Option<u8> {
    let [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] = text else { return None };
    Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
}

fn host_root() -> Result<Hierarchy, MountError> {
    let mounts = mounts().map_err(MountError::Unreadable)?;
    let points = mounts.into_iter().filter(|mount| mount.fs_type == "cgroup2");
    choose(points.filter_map(|mount| {
        // A mount may be hidden by a later one at the same place: ask the place itself.
        let inode = fs::metadata(&mount.point).ok()?.ino();
        is_cgroup2(&mount.point).then_some(Partial { point: mount.point, inode })
    }))
}

fn choose(candidates: impl Iterator<Item = Partial>) -> Result<Hierarchy, MountError> {
    let mut others = Vec::new();
    for candidate in candidates {
        if candidate.inode == ROOT_INODE {
            return Ok(Hierarchy { attach: candidate.point.clone(), root: candidate.point });
        }
        others.push(candidate);
    }
    Err(if others.is_empty() { MountError::NoMount } else { MountError::NotTheRoot(others) })
}

fn below(path: &Path) -> Result<Hierarchy, MountError> {
    let attach = fs::canonicalize(path)
        .map_err(|source| MountError::NoSuchPath { path: path.to_owned(), source })?;
    if !attach.is_dir() || !is_cgroup2(&attach) {
        return Err(MountError::NotCgroup2(path.to_owned()));
    }
    let root = attach.ancestors().take_while(|path| is_cgroup2(path)).last();
    let root = root.unwrap_or(&attach).to_owned();
    Ok(Hierarchy { attach, root })
}

fn is_cgroup2(path: &Path) -> bool {
    has_magic(path, CGROUP2_SUPER_MAGIC).unwrap_or(false)
}

/// Whether `path` lies on a filesystem of this type; an error where it cannot be told.
pub fn has_magic(path: &Path, magic: FsType) -> io::Result<bool> {
    match statfs(path) {
        Ok(found) => Ok(found.filesystem_type() == magic),
        Err(errno) => Err(io::Error::from(errno)),
    }
}

/// Whether this process sees the processes of other users in `/proc`.
pub fn hides_processes(mounts: &[Mount]) -> bool {
    let proc = mounts.iter().rfind(|mount| mount.point.as_os_str().as_bytes() == b"/proc");
    proc.is_some_and(|mount| mount.options.split(',').any(hides))
}

/// `hidepid` by number or, since Linux 5.8, by name (proc(5)).
fn hides(option: &str) -> bool {
    option.strip_prefix("hidepid=").is_some_and(|value| !matches!(value, "0" | "off"))
}

fn list(partial: &[Partial]) -> String {
    let mut text = String::new();
    for (i, one) in partial.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{one}");
    }
    text + if partial.len() == 1 { " is" } else { " are" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, fs_type: &str, options: &str) -> Mount {
        Mount { point: point.into(), fs_type: fs_type.into(), options: options.into() }
    }

    fn partial(point: &str, inode: u64) -> Partial {
        Partial { point: point.into(), inode }
    }

    #[test]
    fn lines_of_mountinfo_are_read() {
        let check = |line: &str, expect: Option<Mount>| {
            assert_eq!(parse(line.as_bytes()), Vec::from_iter(expect), "{line}");
        };
        check(
            "36 25 0:29 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate",
            Some(mount("/sys/fs/cgroup", "cgroup2", "rw,nsdelegate")),
        );
        // A hybrid host: v1 controllers beside a cgroup2 mount of its own.
        check(
            "44 33 0:30 / /sys/fs/cgroup/unified rw shared:1 master:2 - cgroup2 none rw",
            Some(mount("/sys/fs/cgroup/unified", "cgroup2", "rw")),
        );
        check(
            "45 33 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd",
            Some(mount("/sys/fs/cgroup/systemd", "cgroup", "rw,name=systemd")),
        );
        check(
            r"50 1 0:40 /a /mnt/with\040space\011tab\134back rw - cgroup2 none rw",
            Some(mount("/mnt/with space\ttab\\back", "cgroup2", "rw")),
        );
        check("", None);
        check("36 25 0:29 / /sys/fs/cgroup rw,nosuid", None);
        check("36 25 0:29 / /sys/fs/cgroup rw - cgroup2", None);
    }

    #[test]
    fn only_octal_escapes_are_undone() {
        let check = |escaped: &str, plain: &str| {
            assert_eq!(unescape(escaped.as_bytes()), plain.as_bytes());
        };
        check(r"\040", " ");
        check(r"a\0", r"a\0");
        check(r"a\999b", r"a\999b");
        check(r"\134040", r"\040");
        check(r"\477", r"\477");
    }

    #[test]
    fn the_root_is_the_mount_with_inode_one() {
        let candidates = [partial("/sub", 4242), partial("/sys/fs/cgroup/unified", 1)];
        let chosen = choose(candidates.into_iter()).expect("one of them is the root");
        assert_eq!(chosen.attach, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(chosen.attach, chosen.root);
    }

    #[test]
    fn other_mounts_are_refused_by_name() {
        let error = choose([partial("/sys/fs/cgroup", 77)].into_iter()).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "/sys/fs/cgroup (inode 77, the root has 1) is not the root of the host's"
            ),
            "{error}"
        );
        let two = [partial("/a", 2), partial("/b", 3)];
        let error = choose(two.into_iter()).unwrap_err().to_string();
        assert!(error.contains("/a (inode 2, the root has 1), /b (inode 3, the root has 1) are"));
        assert!(matches!(choose([].into_iter()), Err(MountError::NoMount)));
    }

    #[test]
    fn a_named_directory_must_lie_on_cgroup2() {
        assert!(matches!(hierarchy(Some(Path::new("/proc"))), Err(MountError::NotCgroup2(_))));
        let missing = Path::new("/proc/no-such-directory");
        assert!(matches!(hierarchy(Some(missing)), Err(MountError::NoSuchPath { .. })));
    }

    #[test]
    fn hidden_processes_are_noticed() {
        let check = |options: &str, expect: bool| {
            let mounts = [mount("/proc", "proc", options), mount("/mnt", "proc", "hidepid=2")];
            assert_eq!(hides_processes(&mounts), expect, "{options}");
        };
        check("rw", false);
        check("rw,hidepid=0", false);
        check("rw,hidepid=off", false);
        check("rw,hidepid=2", true);
        check("rw,gid=4,hidepid=invisible", true);
    }
}
