//! The import table of ARCHITECTURE.md: which room may name which other.
//!
//! Cargo enforces what lies between crates; this reads the paths between the rooms of one crate.

use super::{Complaint, Source, code};

/// A room of the agent: its name, the rooms and the modules of core it may name.
struct Room {
    name: &'static str,
    rooms: &'static [&'static str],
    core: &'static [&'static str],
}

/// A path found in a file: `crate::kernel` is ("crate", "kernel").
#[derive(Debug, PartialEq, Eq)]
struct Mention {
    line: usize,
    root: String,
    first: String,
}

/// Core's modules; each may name those before it.
const CORE: &[&str] = &[
    "escape", "protocol", "flow", "ledger", "identity", "policy", "record", "graph", "risk",
    "finding",
];

/// What user interfaces read; they change nothing.
const READ_ONLY: &[&str] = CORE;

const ROOMS: &[Room] = &[
    Room { name: "kernel", rooms: &[], core: &[] },
    Room { name: "intake", rooms: &["kernel"], core: &["flow", "protocol"] },
    Room { name: "discover", rooms: &[], core: &["escape", "flow", "identity"] },
    Room { name: "export", rooms: &[], core: READ_ONLY },
    Room { name: "alert", rooms: &[], core: READ_ONLY },
    Room { name: "serve", rooms: &[], core: READ_ONLY },
    Room { name: "replay", rooms: &[], core: CORE },
];

/// Crates that would bring the world into core.
const NOT_IN_CORE: &[&str] = &["aya", "tokio", "prometheus"];

/// What the contract of kernel and user space may build on.
const CONTRACT: &[&str] = &["core", "crate", "self", "super"];

const SEE: &str = "see the import table in ARCHITECTURE.md";

pub(crate) fn check(source: &Source) -> Vec<Complaint> {
    if source.path == "xtask/Cargo.toml" {
        return manifest(source);
    }
    let rule = match source.path.as_str() {
        path if !path.ends_with(".rs") || source.is_tests() => return Vec::new(),
        path if path.starts_with("agent/src/") => agent,
        path if path.starts_with("agent/core/src/") => core,
        path if path.starts_with("ebpf/src/programs/") => programs,
        "ebpf/src/main.rs" => return Vec::new(),
        path if path.starts_with("ebpf/src/") => contract,
        path if path.starts_with("xtask/src/") => front_door,
        _ => return Vec::new(),
    };
    let bare = code::bare(&source.text);
    rule(source, &code::without_tests(&bare))
}

fn agent(source: &Source, lines: &[(usize, &str)]) -> Vec<Complaint> {
    let own = module(&source.path, "agent/src/");
    let room = ROOMS.iter().find(|room| room.name == own);
    let complain = |mention: &Mention, what: String| {
        Some(Complaint::new(&source.path, mention.line, what, SEE))
    };
    let refused = |mention: Mention| {
        let first = mention.first.as_str();
        match (mention.root.as_str(), room) {
            ("aya", _) if own != "kernel" => {
                complain(&mention, "only the room kernel names aya".into())
            }
            ("crate", Some(room)) if is_other_room(first, room) => {
                complain(&mention, format!("{own} names {first}"))
            }
            ("plainsight_core", Some(room))
                if CORE.contains(&first) && !room.core.contains(&first) =>
            {
                complain(&mention, format!("{own} names core's {first}"))
            }
            _ => None,
        }
    };
    let depth = depth(&source.path, "agent/src/");
    mentions(lines, &["crate", "plainsight_core", "aya"], depth)
        .into_iter()
        .filter_map(refused)
        .collect()
}

/// A room it may not name, or agent.rs, the only file that knows all rooms.
fn is_other_room(name: &str, room: &Room) -> bool {
    let is_room = name == "agent" || ROOMS.iter().any(|other| other.name == name);
    is_room && name != room.name && !room.rooms.contains(&name)
}

fn core(source: &Source, lines: &[(usize, &str)]) -> Vec<Complaint> {
    let rank = |name: &str| CORE.iter().position(|module| *module == name);
    let own = module(&source.path, "agent/core/src/");
    let depth = depth(&source.path, "agent/core/src/");
    let roots: Vec<_> = NOT_IN_CORE.iter().copied().chain(["crate"]).collect();
    let mut complaints = Vec::new();
    for Mention { line, root, first } in mentions(lines, &roots, depth) {
        let what = if root != "crate" {
            format!("core names {root}")
        } else if rank(own).is_some_and(|own| rank(&first).is_some_and(|other| other > own)) {
            format!("{own} names {first}, which lies to its right")
        } else {
            continue;
        };
        complaints.push(Complaint::new(&source.path, line, what, SEE));
    }
    for (line, _) in lines.iter().filter(|(_, text)| text.contains("extern crate std")) {
        let what = "core brings in std outside its tests".into();
        complaints.push(Complaint::new(&source.path, *line, what, "pass in what it needs instead"));
    }
    complaints
}

/// Hooks name jobs, jobs name maps; maps name neither and jobs never name hooks.
fn programs(source: &Source, lines: &[(usize, &str)]) -> Vec<Complaint> {
    let own = module(&source.path, "ebpf/src/programs/");
    if matches!(own, "hooks" | "mod") {
        return Vec::new();
    }
    let refused = |mention: Mention| {
        let first = mention.first.as_str();
        let what = match (own, first) {
            (_, "hooks") => format!("{own} names hooks"),
            // What reads a hook's context is no job: maps and jobs stand on it alike.
            ("maps", "self" | "super" | "context") => return None,
            ("maps", job) => format!("maps names {job}"),
            _ => return None,
        };
        Some(Complaint::new(&source.path, mention.line, what, SEE))
    };
    mentions(lines, &["super", "crate::programs"], 0).into_iter().filter_map(refused).collect()
}

/// The library half of ebpf builds on core alone, and on aya where user space asked for it.
fn contract(source: &Source, lines: &[(usize, &str)]) -> Vec<Complaint> {
    let for_user_space = source.text.contains("feature = \"user\"");
    let refused = |(line, text): &(usize, &str)| {
        let text = text.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        let path = text.strip_prefix("use ").or_else(|| text.strip_prefix("extern crate "))?;
        let first = path.trim_start_matches("::").split(|c| !code::is_word(c)).next()?;
        let known = CONTRACT.contains(&first) || (first == "aya" && for_user_space);
        let is_module = lines.iter().any(|(_, line)| line.ends_with(&format!("mod {first};")));
        (!known && !is_module && !first.is_empty()).then(|| {
            let what = format!("the contract of kernel and user space names {first}");
            Complaint::new(&source.path, *line, what, SEE)
        })
    };
    let mut complaints: Vec<_> = lines.iter().filter_map(refused).collect();
    let aya = mentions(lines, &["aya"], 0).into_iter().filter(|_| !for_user_space);
    complaints.extend(aya.map(|mention| {
        let what = "aya without the feature `user`".into();
        Complaint::new(&source.path, mention.line, what, SEE)
    }));
    complaints
}

fn front_door(source: &Source, lines: &[(usize, &str)]) -> Vec<Complaint> {
    let packages = ["plainsight", "plainsight_core", "plainsight_ebpf", "plainsight_tests"];
    let found = mentions(lines, &packages, 0).into_iter();
    found
        .map(|Mention { line, root, .. }| {
            let what = format!("xtask names {root}");
            Complaint::new(
                &source.path,
                line,
                what,
                "run cargo instead: xtask works while others do not compile",
            )
        })
        .collect()
}

fn manifest(source: &Source) -> Vec<Complaint> {
    let found = super::numbered(&source.text).filter(|(_, line)| line.starts_with("plainsight"));
    found
        .map(|(line, _)| {
            let what = "xtask depends on a package of the workspace".into();
            Complaint::new(&source.path, line, what, "run cargo instead")
        })
        .collect()
}

/// `kernel` for `agent/src/kernel/load.rs` and for `agent/src/kernel.rs`.
fn module<'a>(path: &'a str, below: &str) -> &'a str {
    let rest = path.strip_prefix(below).unwrap_or(path);
    let first = rest.split('/').next().unwrap_or(rest);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// How many `super::` lead from the file's module to the crate's root.
fn depth(path: &str, below: &str) -> usize {
    let rest = path.strip_prefix(below).unwrap_or(path);
    let parts = rest.split('/').count();
    match rest.rsplit('/').next() {
        Some("mod.rs") => parts - 1,
        Some("lib.rs" | "main.rs") if parts == 1 => 0,
        _ => parts,
    }
}

/// Paths that begin with one of `roots`, a group giving one mention for each of its members.
/// With `depth` above 0 a chain of that many `super::` counts as `crate::`.
fn mentions(lines: &[(usize, &str)], roots: &[&str], depth: usize) -> Vec<Mention> {
    let mut text = String::new();
    let mut starts = Vec::new();
    for (number, line) in lines {
        starts.push((text.len(), *number));
        text.push_str(line);
        text.push('\n');
    }
    let line_of = |at: usize| {
        let index = starts.partition_point(|(start, _)| *start <= at);
        starts.get(index.saturating_sub(1)).map_or(0, |(_, number)| *number)
    };
    let supers = "super::".repeat(depth);
    let mut found = Vec::new();
    for root in roots {
        let mut spellings = vec![format!("{root}::")];
        if *root == "crate" && depth > 0 {
            spellings.push(supers.clone());
        }
        for spelling in spellings {
            for (at, _) in text.match_indices(&spelling).filter(|(at, _)| begins_path(&text[..*at]))
            {
                let firsts = firsts(&text[at + spelling.len()..]);
                found.extend(firsts.into_iter().map(|(offset, first)| Mention {
                    line: line_of(at + spelling.len() + offset),
                    root: (*root).to_owned(),
                    first,
                }));
            }
        }
        let whole =
            [format!("use {root};"), format!("use {root} as"), format!("extern crate {root}")];
        for (at, _) in whole.iter().flat_map(|spelling| text.match_indices(spelling.as_str())) {
            found.push(Mention {
                line: line_of(at),
                root: (*root).to_owned(),
                first: String::new(),
            });
        }
    }
    found.sort_by_key(|mention| mention.line);
    found
}

/// Whether a path can begin after `before`: not in the middle of a word or of another path, but
/// also behind a leading `::`.
fn begins_path(before: &str) -> bool {
    match before.strip_suffix("::") {
        Some(rest) => !rest.ends_with(|c| code::is_word(c) || c == '>'),
        None => !before.ends_with(code::is_word),
    }
}

/// First names after a path's root, with their offsets: one, or those of a group.
fn firsts(text: &str) -> Vec<(usize, String)> {
    let word =
        |at: usize| -> String { text[at..].chars().take_while(|c| code::is_word(*c)).collect() };
    if !text.starts_with('{') {
        return vec![(0, word(0))];
    }
    let mut found = Vec::new();
    let mut level = 0;
    let mut expecting = false;
    for (at, c) in text.char_indices() {
        match c {
            '{' => level += 1,
            '}' => level -= 1,
            _ => {}
        }
        if level == 0 {
            break;
        }
        if level == 1 && matches!(c, '{' | ',') {
            expecting = true;
        } else if expecting && code::is_word(c) {
            found.push((at, word(at)));
            expecting = false;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::tidy::testing::{brief, source};

    fn complaints(path: &str, text: &str) -> Vec<String> {
        brief(&super::check(&source(path, text)))
    }

    #[test]
    fn rooms_of_the_agent() {
        let check = |path: &str, text: &str, expect: &[&str]| {
            assert_eq!(complaints(path, text), expect, "{path}: {text}");
        };
        check("agent/src/kernel/load.rs", "use aya::Ebpf;\n", &[]);
        check("agent/src/serve.rs", "use aya::Ebpf;\n", &["1: only the room kernel names aya"]);
        check("agent/src/serve.rs", "use ::aya;\n// aya::x\n", &[]);
        check("agent/src/serve.rs", "use aya;\n", &["1: only the room kernel names aya"]);
        check("agent/src/intake.rs", "use crate::kernel::Ring;\n", &[]);
        check("agent/src/kernel/ring.rs", "use crate::intake;\n", &["1: kernel names intake"]);
        check(
            "agent/src/serve/api.rs",
            "use crate::{\n    config::Config,\n    kernel::{a, b},\n    export,\n};\n",
            &["3: serve names kernel", "4: serve names export"],
        );
        check(
            "agent/src/serve/api.rs",
            "use super::super::kernel::x;\n",
            &["1: serve names kernel"],
        );
        check(
            "agent/src/export.rs",
            "fn f() { crate::agent::stop() }\n",
            &["1: export names agent"],
        );
        check("agent/src/agent.rs", "use crate::{kernel, serve};\n", &[]);
        check("agent/src/replay.rs", "use crate::kernel;\n", &["1: replay names kernel"]);
        check("agent/src/serve/tests.rs", "use crate::kernel;\n", &[]);
        check("agent/src/serve.rs", "#[cfg(test)]\nmod tests {\n    use crate::kernel;\n}\n", &[]);
    }

    #[test]
    fn modules_of_core_named_by_rooms() {
        let check = |path: &str, text: &str, expect: &[&str]| {
            assert_eq!(complaints(path, text), expect, "{path}: {text}");
        };
        check("agent/src/intake.rs", "use plainsight_core::flow::Record;\n", &[]);
        check(
            "agent/src/intake.rs",
            "use plainsight_core::{flow, graph::Graph};\n",
            &["1: intake names core's graph"],
        );
        check(
            "agent/src/kernel/load.rs",
            "use plainsight_core::identity;\n",
            &["1: kernel names core's identity"],
        );
        check("agent/src/discover/procfs.rs", "use plainsight_core::identity::Workload;\n", &[]);
    }

    #[test]
    fn core_names_only_what_lies_to_its_left() {
        let check = |path: &str, text: &str, expect: &[&str]| {
            assert_eq!(complaints(path, text), expect, "{path}: {text}");
        };
        check("agent/core/src/graph.rs", "use crate::flow::Flow;\n", &[]);
        check(
            "agent/core/src/flow.rs",
            "use crate::graph;\n",
            &["1: flow names graph, which lies to its right"],
        );
        check(
            "agent/core/src/policy/mod.rs",
            "use super::risk::Score;\n",
            &["1: policy names risk, which lies to its right"],
        );
        check("agent/core/src/policy/parse.rs", "use super::decide;\n", &[]);
        check(
            "agent/core/src/lib.rs",
            "#[cfg(test)]\nextern crate std;\nuse tokio::net;\n",
            &["3: core names tokio"],
        );
        check(
            "agent/core/src/lib.rs",
            "extern crate std;\n",
            &["1: core brings in std outside its tests"],
        );
    }

    #[test]
    fn the_kernel_half() {
        let check = |path: &str, text: &str, expect: &[&str]| {
            assert_eq!(complaints(path, text), expect, "{path}: {text}");
        };
        check("ebpf/src/programs/hooks.rs", "use super::{connect, packet};\n", &[]);
        check("ebpf/src/programs/packet.rs", "use super::maps::EDGES;\n", &[]);
        check("ebpf/src/programs/packet.rs", "use super::hooks::x;\n", &["1: packet names hooks"]);
        check(
            "ebpf/src/programs/packet.rs",
            "use crate::programs::hooks;\n",
            &["1: packet names hooks"],
        );
        check("ebpf/src/programs/maps.rs", "use super::edge;\n", &["1: maps names edge"]);
        check("ebpf/src/abi/flow.rs", "use core::mem::size_of;\nuse super::edge::Edge;\n", &[]);
        check("ebpf/src/lib.rs", "pub mod abi;\npub use abi::Edge;\n", &[]);
        check(
            "ebpf/src/lib.rs",
            "extern crate alloc;\n",
            &["1: the contract of kernel and user space names alloc"],
        );
        check(
            "ebpf/src/abi/flow.rs",
            "unsafe impl aya::Pod for X {}\n",
            &["1: aya without the feature `user`"],
        );
        check(
            "ebpf/src/abi/flow.rs",
            "#[cfg(feature = \"user\")]\nunsafe impl aya::Pod for X {}\n",
            &[],
        );
    }

    #[test]
    fn the_front_door_names_no_other_package() {
        assert_eq!(
            complaints("xtask/src/a.rs", "use plainsight_core::x;\n"),
            ["1: xtask names plainsight_core"]
        );
        assert!(complaints("xtask/src/a.rs", "let a = \"plainsight_core::x\";\n").is_empty());
        assert_eq!(
            complaints("xtask/Cargo.toml", "[dependencies]\nplainsight-core.workspace = true\n"),
            ["2: xtask depends on a package of the workspace"],
        );
    }
}
