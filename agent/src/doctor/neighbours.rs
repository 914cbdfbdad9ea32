//! Other programs at the hooks that ours use, and who has them there.
//!
//! Programs of several owners run side by side. Two kinds can change what ours see: one that
//! replaces the callbacks a socket asked for, and one that sends a connect elsewhere.

use std::{collections::HashMap, fs, fs::File, path::Path};

use super::Check;
use crate::kernel::{Attached, attached};

const NAME: &str = "other programs";

/// Hooks at which another program can change what ours see.
const SHARED: [&str; 3] = ["sock_ops", "connect4", "connect6"];

/// How an agent's process is called.
const OURS: &str = "plainsight";

/// What runs at the cgroup beside an agent's own programs.
pub(super) fn check(cgroup: &Path) -> Check {
    let found = File::open(cgroup).and_then(attached);
    match found {
        Ok(found) => judge(&found, &holders()),
        Err(error) => Check::warning(
            NAME,
            format!("the kernel does not tell who is attached to {}: {error}", cgroup.display()),
            "run as root (sudo), or with CAP_NET_ADMIN",
        ),
    }
}

/// `holders` are the names of processes by the programs they hold.
fn judge(found: &[Attached], holders: &HashMap<u32, String>) -> Check {
    let holder = |program: &Attached| holders.get(&program.id).map(String::as_str);
    let others = || found.iter().filter(|program| holder(program) != Some(OURS));
    let named: Vec<String> = others().map(|program| describe(program, holder(program))).collect();
    if named.is_empty() {
        return Check::ok(NAME, "none at the hooks that ours use");
    }
    if others().any(|program| SHARED.contains(&program.hook)) {
        return Check::warning(
            NAME,
            named.join(", "),
            "a sock_ops program that replaces callbacks hides the end of connections \
             (plainsight_connections_opened_total and _closed_total drift apart), and one at \
             connect may send them elsewhere than asked",
        );
    }
    Check::ok(NAME, named.join(", "))
}

fn describe(program: &Attached, holder: Option<&str>) -> String {
    let Attached { hook, id, name } = program;
    let name = name.as_deref().unwrap_or("a program");
    match holder {
        Some(holder) => format!("{hook}: {name} (id {id}, of {holder})"),
        None => format!("{hook}: {name} (id {id})"),
    }
}

/// Names of processes, by the programs that they hold a descriptor of.
fn holders() -> HashMap<u32, String> {
    let mut holders = HashMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let files = fs::read_dir(process.path().join("fdinfo")).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        let programs: Vec<u32> = texts.filter_map(|text| program(&text)).collect();
        if let (false, Ok(comm)) =
            (programs.is_empty(), fs::read_to_string(process.path().join("comm")))
        {
            let name = comm.trim_end_matches('\n');
            holders.extend(programs.into_iter().map(|id| (id, name.to_owned())));
        }
    }
    holders
}

/// The program that a descriptor, of itself or of a link, stands for.
fn program(fdinfo: &str) -> Option<u32> {
    let value = fdinfo.lines().find_map(|line| line.strip_prefix("prog_id:"))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    fn program(hook: &'static str, id: u32, name: Option<&str>) -> Attached {
        Attached { hook, id, name: name.map(str::to_owned) }
    }

    #[test]
    fn only_what_can_change_our_view_is_a_warning() {
        let holders = HashMap::from([(7, "cilium-agent".to_owned()), (9, OURS.to_owned())]);
        let check = |found: &[Attached], outcome: Outcome, text: &str| {
            let check = judge(found, &holders);
            assert_eq!((check.outcome, check.found.as_str()), (outcome, text));
        };
        check(&[], Outcome::Ok, "none at the hooks that ours use");
        check(&[program("sock_ops", 9, None)], Outcome::Ok, "none at the hooks that ours use");
        let firewall = program("egress", 8, Some("sd_fw_egress"));
        check(std::slice::from_ref(&firewall), Outcome::Ok, "egress: sd_fw_egress (id 8)");
        let other = program("connect4", 7, None);
        let text = "egress: sd_fw_egress (id 8), connect4: a program (id 7, of cilium-agent)";
        check(&[firewall, other], Outcome::Warning, text);
    }

    #[test]
    fn descriptors_name_their_program() {
        let link = "link_type:\tcgroup\nlink_id:\t3\nprog_id:\t7\n";
        assert_eq!(super::program(link), Some(7));
        assert_eq!(super::program("pos:\t0\n"), None);
    }
}
