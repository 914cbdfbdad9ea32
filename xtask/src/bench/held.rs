//! What a process holds in the kernel: programs with their statistics, and maps, as its file
//! descriptors tell of them.

use std::{collections::BTreeMap, fs};

use anyhow::Context as _;

use super::hooks;

/// Everything of BPF that one process has open.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Statistics by the name of the hook that a program is linked to.
    pub(crate) programs: BTreeMap<&'static str, Statistics>,
    maps: BTreeMap<u32, Map>,
}

/// What a program did since it was loaded, counted while the kernel's statistics were on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    pub(crate) runs: u64,
    pub(crate) nanoseconds: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Map {
    kind: u32,
    bytes: u64,
}

/// `BPF_MAP_TYPE_RINGBUF`.
const RING: u32 = 27;

// === impl Held ===

impl Held {
    pub(crate) fn by(pid: u32) -> anyhow::Result<Self> {
        let folder = format!("/proc/{pid}/fdinfo");
        let entries = fs::read_dir(&folder).with_context(|| format!("no {folder}"))?;
        // A descriptor may be closed between the listing and the reading; it held nothing of ours.
        let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
        Ok(Self::parse(&texts.collect::<Vec<_>>()))
    }

    /// Bytes of kernel memory that the maps account for.
    pub(crate) fn map_bytes(&self) -> u64 {
        self.maps.values().map(|map| map.bytes).sum()
    }

    pub(crate) fn rings(&self) -> Vec<u32> {
        let rings = self.maps.iter().filter(|(_, map)| map.kind == RING);
        rings.map(|(id, _)| *id).collect()
    }

    fn parse(texts: &[String]) -> Self {
        let statistics: BTreeMap<_, _> = texts.iter().filter_map(|text| program(text)).collect();
        let links = texts.iter().filter_map(|text| link(text));
        let linked = links.filter_map(|(hook, id)| Some((hook, *statistics.get(&id)?)));
        Self {
            programs: linked.collect(),
            maps: texts.iter().filter_map(|text| map(text)).collect(),
        }
    }
}

fn program(text: &str) -> Option<(u32, Statistics)> {
    let runs = number(text, "run_cnt")?;
    let nanoseconds = number(text, "run_time_ns")?;
    Some((number(text, "prog_id")?, Statistics { runs, nanoseconds }))
}

fn link(text: &str) -> Option<(&'static str, u32)> {
    let hook = hooks::name(number(text, "attach_type")?)?;
    Some((hook, number(text, "prog_id")?))
}

fn map(text: &str) -> Option<(u32, Map)> {
    let kind = number(text, "map_type")?;
    let bytes = number(text, "memlock")?;
    Some((number(text, "map_id")?, Map { kind, bytes }))
}

fn number<T: std::str::FromStr>(text: &str, name: &str) -> Option<T> {
    let mut values = text.lines().filter_map(|line| line.split_once(':'));
    values.find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_links() {
        let texts = [
            "prog_type:\t8\nprog_id:\t77\nrun_time_ns:\t100\nrun_cnt:\t5\n",
            "link_type:\tcgroup\nlink_id:\t3\nprog_id:\t77\ncgroup_id:\t9\nattach_type:\t1\n",
            "link_type:\tcgroup\nlink_id:\t4\nprog_id:\t78\ncgroup_id:\t9\nattach_type:\t0\n",
            "map_type:\t27\nmap_id:\t12\nmemlock:\t4096\n",
            "map_type:\t1\nmap_id:\t11\nmemlock:\t100\n",
            "pos:\t0\nflags:\t02\n",
        ];
        let held = Held::parse(&texts.map(str::to_owned));
        let expect = Statistics { runs: 5, nanoseconds: 100 };
        assert_eq!(held.programs, BTreeMap::from([("cgroup_skb_egress", expect)]));
        assert_eq!((held.map_bytes(), held.rings()), (4196, vec![12]));
    }
}
