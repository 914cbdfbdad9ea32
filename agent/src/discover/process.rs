//! What `/proc` says about one process, now.
//!
//! A process id is reused. What is read here belongs to the process that a hook saw only if that
//! process had started by then, which the caller checks with [`Process::had_started`].

use std::{fs, path::Path};

use super::cgroup::{Membership, membership};

/// Where the proc filesystem is.
const PROC: &str = "/proc";

/// More threads than this are not looked through for a name.
const MOST_THREADS: usize = 4096;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id (thread group).
    pub tgid: u32,
    /// Its name, as its main thread has it.
    pub name: String,
    /// The file it runs, if this process may know.
    pub exe: Option<String>,
    /// Its cgroups.
    pub cgroups: Membership,
    /// When it started, on the boot-time clock, rounded down to a clock tick.
    pub started_ns: u64,
}

/// What the agent itself uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Memory that is resident.
    pub resident_bytes: u64,
    /// CPU time of all threads.
    pub cpu_seconds: f64,
}

/// The fields of `/proc/PID/stat` that are used (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    user_ticks: u64,
    system_ticks: u64,
    started_ticks: u64,
    resident_pages: u64,
}

// === impl Process ===

impl Process {
    /// Whether the process was there at `boot_ns`: if not, its id was another's before.
    pub fn had_started(&self, boot_ns: u64) -> bool {
        self.started_ns <= boot_ns
    }
}

/// The process with this id; none if it is gone or hidden.
pub fn read(tgid: u32) -> Option<Process> {
    read_below(Path::new(PROC), tgid)
}

/// Whether a thread of this process has this name now.
pub fn has_thread(tgid: u32, name: &str) -> bool {
    let Ok(threads) = fs::read_dir(Path::new(PROC).join(format!("{tgid}/task"))) else {
        return false;
    };
    let comm = |thread: fs::DirEntry| fs::read(thread.path().join("comm")).ok();
    let mut names = threads.flatten().take(MOST_THREADS).filter_map(comm);
    names.any(|comm| String::from_utf8_lossy(&comm).trim_end_matches('\n') == name)
}

/// What this process itself uses.
pub fn usage() -> Option<Usage> {
    let stat = parse_stat(&fs::read(Path::new(PROC).join("self/stat")).ok()?)?;
    Some(Usage {
        resident_bytes: stat.resident_pages.saturating_mul(system_value(libc::_SC_PAGESIZE)?),
        cpu_seconds: ticks_to_ns(stat.user_ticks.saturating_add(stat.system_ticks))? as f64 / 1e9,
    })
}

fn read_below(proc: &Path, tgid: u32) -> Option<Process> {
    let folder = proc.join(tgid.to_string());
    let stat = parse_stat(&fs::read(folder.join("stat")).ok()?)?;
    let exe = fs::read_link(folder.join("exe")).ok();
    let cgroups = fs::read(folder.join("cgroup")).unwrap_or_default();
    Some(Process {
        tgid,
        name: stat.name,
        exe: exe.map(|path| path.to_string_lossy().trim_end_matches(" (deleted)").to_owned()),
        cgroups: membership(&String::from_utf8_lossy(&cgroups)),
        started_ns: ticks_to_ns(stat.started_ticks)?,
    })
}

/// The name stands in parentheses and may itself hold any of the separators, so what follows is
/// counted from the last closing one.
fn parse_stat(stat: &[u8]) -> Option<Stat> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let name = String::from_utf8_lossy(stat.get(open + 1..close)?).into_owned();
    let rest = str::from_utf8(&stat[close + 1..]).ok()?;
    // The first of them is field 3 in the manual's numbering.
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    Some(Stat {
        name,
        user_ticks: field(14)?,
        system_ticks: field(15)?,
        started_ticks: field(22)?,
        resident_pages: field(24)?,
    })
}

fn ticks_to_ns(ticks: u64) -> Option<u64> {
    let per_second = u128::from(system_value(libc::_SC_CLK_TCK)?);
    u64::try_from(u128::from(ticks) * 1_000_000_000 / per_second).ok()
}

/// A positive value of sysconf(3).
fn system_value(name: libc::c_int) -> Option<u64> {
    // SAFETY: sysconf takes a number, touches no memory of ours and keeps nothing.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).ok().filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &str) -> String {
        format!(
            "42 ({name}) S 1 42 42 0 -1 4194560 100 0 0 0 7 5 0 0 20 0 3 0 123456 9000000 250 \
             18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0"
        )
    }

    #[test]
    fn names_may_hold_the_separators() {
        for name in ["nginx", "a b", "(sd-pam)", ") S 1 2 3", "tmux: server", "((", ""] {
            let parsed = parse_stat(stat(name).as_bytes()).expect(name);
            assert_eq!(parsed.name, name);
            assert_eq!((parsed.user_ticks, parsed.system_ticks), (7, 5));
            assert_eq!((parsed.started_ticks, parsed.resident_pages), (123_456, 250));
        }
    }

    #[test]
    fn a_name_cut_in_mid_character_is_read() {
        let line = stat("X").into_bytes();
        let at = line.iter().position(|byte| *byte == b'X').unwrap();
        let mut line = line;
        line[at] = 0xc3;
        assert_eq!(parse_stat(&line).unwrap().name, "\u{fffd}");
    }

    #[test]
    fn what_is_not_a_stat_line_is_no_process() {
        let cases: [&[u8]; 5] = [b"", b"42 (nginx", b"42 (nginx) S 1", b")42(", b"42 (a) S x x x"];
        for line in cases {
            assert_eq!(parse_stat(line), None);
        }
    }

    #[test]
    fn this_process_is_found_and_older_than_now() {
        let this = read(std::process::id()).expect("the test's own process");
        let exe = std::env::current_exe().unwrap();
        assert_eq!(this.exe.as_deref(), exe.to_str());
        assert!(this.cgroups.unified.is_some() || this.cgroups.systemd.is_some());
        assert!(this.had_started(boot_now()) && !this.had_started(this.started_ns - 1));
        assert_eq!(read(u32::MAX), None);
    }

    #[test]
    fn own_use_is_measured() {
        let usage = usage().expect("the test's own process");
        assert!(usage.resident_bytes > 100_000 && usage.cpu_seconds >= 0.0);
    }

    fn boot_now() -> u64 {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
        u64::try_from(now.tv_sec()).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap()
    }
}
