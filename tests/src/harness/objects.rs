//! What is in the kernel: programs, maps and links, by id.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, process,
};

use aya::{
    maps::loaded_maps,
    programs::{loaded_links, loaded_programs},
};

/// Ids of objects, with their names. The kernel does not give an id a second time before it has
/// given out all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// By kind and id.
    ids: BTreeMap<(Kind, u32), String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Program,
    Map,
    Link,
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
