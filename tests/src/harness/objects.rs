//! What is in the kernel: programs, maps and links, by id.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    process,
};

use aya::{
    maps::loaded_maps,
    programs::{ProgramInfo, loaded_links, loaded_programs},
    sys::{Stats, enable_stats},
};

/// Ids of objects, with their names. The kernel does not give an id a second time before it has
/// given out all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// By kind and id.
    ids: BTreeMap<(Kind, u32), String>,
}

/// While it lives the kernel counts how often programs run.
#[derive(Debug)]
pub struct Runs {
    _enabled: OwnedFd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Program,
    Map,
    Link,
}

// === impl Runs ===

impl Runs {
    /// Lets it count from now on.
    ///
    /// # Panics
    ///
    /// If it refuses.
    #[must_use]
    pub fn count() -> Self {
        Self { _enabled: enable_stats(Stats::RunTime).expect("the kernel counts runs") }
    }
}

// === impl Objects ===

impl Objects {
    /// All there are. One that goes while it is looked at is left out.
    #[must_use]
    pub fn now() -> Self {
        let programs = loaded_programs().flatten().map(|program| {
            ((Kind::Program, program.id()), program.name_as_str().unwrap_or_default().to_owned())
        });
        let maps = loaded_maps()
            .flatten()
            .map(|map| ((Kind::Map, map.id()), map.name_as_str().unwrap_or_default().to_owned()));
        let links = loaded_links()
            .flatten()
            .map(|link| ((Kind::Link, link.id()), format!("of program {}", link.program_id())));
        Self { ids: programs.chain(maps).chain(links).collect() }
    }

    /// Those that a process holds by its descriptors.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let folder = format!("/proc/{process}/fdinfo");
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        let ids = texts.filter_map(|text| id(&text).map(|id| (id, String::new())));
        Self { ids: ids.collect() }
    }

    /// Those of `self` that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let ids = self.ids.iter().filter(|(id, _)| !other.ids.contains_key(id));
        Self { ids: ids.map(|(id, name)| (*id, name.clone())).collect() }
    }

    /// What has come since `self` was taken and belongs to nobody that lives: other programs of
    /// this host come and go while a test runs.
    #[must_use]
    pub fn left_behind(&self) -> Self {
        let new = Self::now().without(self);
        if new.ids.is_empty() { new } else { new.without(&held()) }
    }

    /// Those that are still there.
    #[must_use]
    pub fn remaining(&self) -> Self {
        let now = Self::now();
        self.without(&self.without(&now))
    }

    /// Detaches the program of this name, as somebody else may who has the capability to: the
    /// process that holds the link is not told.
    ///
    /// # Panics
    ///
    /// If none of these is a link of such a program, or the kernel refuses it.
    pub fn detach(&self, program: &str) {
        let is_ours = |kind, id| self.ids.contains_key(&(kind, id));
        let name = &program[..program.len().min(KERNEL_NAME)];
        let named = |found: &ProgramInfo| found.name_as_str() == Some(name);
        let programs = loaded_programs().flatten().filter(|found| named(found));
        let ids: BTreeSet<u32> =
            programs.map(|found| found.id()).filter(|id| is_ours(Kind::Program, *id)).collect();
        let mut links = loaded_links().flatten().filter(|link| is_ours(Kind::Link, link.id()));
        let link = links.find(|link| ids.contains(&link.program_id()));
        let link = link.unwrap_or_else(|| panic!("no link of {program} among {:?}", self.ids));
        detach(link.id()).unwrap_or_else(|error| panic!("detaching {program}: {error}"));
    }

    /// How often the program of this name has run, if the kernel counts it ([`Runs`]).
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    #[must_use]
    pub fn runs(&self, program: &str) -> u64 {
        let name = &program[..program.len().min(KERNEL_NAME)];
        let is_it = |found: &ProgramInfo| {
            found.name_as_str() == Some(name) && self.ids.contains_key(&(Kind::Program, found.id()))
        };
        let found = loaded_programs().flatten().find(is_it);
        found.unwrap_or_else(|| panic!("no {program} among {:?}", self.ids)).run_count()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many programs, maps and links there are.
    #[must_use]
    pub fn by_kind(&self) -> [usize; 3] {
        [Kind::Program, Kind::Map, Kind::Link]
            .map(|kind| self.ids.keys().filter(|(found, _)| *found == kind).count())
    }
}

/// The kernel keeps so much of a program's name (`BPF_OBJ_NAME_LEN` less the zero at its end).
const KERNEL_NAME: usize = 15;

/// `BPF_LINK_GET_FD_BY_ID` and `BPF_LINK_DETACH` of bpf(2); the latter since Linux 5.9.
const LINK_BY_ID: libc::c_int = 30;
const LINK_DETACH: libc::c_int = 34;

fn detach(link: u32) -> io::Result<()> {
    let fd = bpf(LINK_BY_ID, link)?;
    // SAFETY: the kernel has just given this descriptor to nobody else.
    let link = unsafe { OwnedFd::from_raw_fd(fd) };
    bpf(LINK_DETACH, link.as_raw_fd().cast_unsigned()).map(drop)
}

/// A command whose attribute is one number.
fn bpf(command: libc::c_int, number: u32) -> io::Result<i32> {
    let attr = [number, 0, 0, 0];
    // SAFETY: the attribute is a live buffer of the length given, and the kernel only reads it.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), size_of_val(&attr)) };
    i32::try_from(result).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)
}

/// What living processes other than this one hold, and the maps of the programs they hold.
fn held() -> Objects {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let others = processes.filter(|id| *id != process::id());
    let mut ids: BTreeMap<_, _> = others.flat_map(|id| Objects::of(id).ids).collect();
    let programs: BTreeSet<u32> =
        ids.keys().filter(|(kind, _)| *kind == Kind::Program).map(|(_, id)| *id).collect();
    for program in loaded_programs().flatten().filter(|found| programs.contains(&found.id())) {
        let maps = program.map_ids().ok().flatten().unwrap_or_default();
        ids.extend(maps.into_iter().map(|id| ((Kind::Map, id), String::new())));
    }
    Objects { ids }
}

/// The object that a descriptor stands for (Documentation/filesystems/proc.rst, fdinfo). A link
/// also names its program, so it is looked for first.
fn id(text: &str) -> Option<(Kind, u32)> {
    let keys = [("link_id:", Kind::Link), ("map_id:", Kind::Map), ("prog_id:", Kind::Program)];
    keys.into_iter().find_map(|(key, kind)| {
        let value = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some((kind, value.trim().parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::{Kind, id};

    #[test]
    fn descriptors_are_told_apart() {
        assert_eq!(id("pos:\t0\nmap_type:\t1\nmap_id:\t12\n"), Some((Kind::Map, 12)));
        assert_eq!(id("prog_type:\t8\nprog_id:\t7\n"), Some((Kind::Program, 7)));
        assert_eq!(id("link_type:\tcgroup\nlink_id:\t3\nprog_id:\t7\n"), Some((Kind::Link, 3)));
        assert_eq!(id("pos:\t0\nflags:\t02\n"), None);
    }
}
