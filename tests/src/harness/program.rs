//! The programs under test, and running one to its end.

use std::{
    env,
    io::{self, Read},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    thread,
};

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// The agent's program: named by `PLAINSIGHT_BIN`, else built beside this test.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn agent_binary() -> PathBuf {
    find("PLAINSIGHT_BIN", "plainsight")
}

/// The peers' program: named by `PLAINSIGHT_PEER`, else built beside this test.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn peer_binary() -> PathBuf {
    find("PLAINSIGHT_PEER", "peer")
}

/// Runs `command` to its end.
///
/// # Panics
///
/// If it cannot be started.
pub fn run(command: &mut Command) -> Finished {
    die_with_test(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = child.stderr.take().map(|stream| thread::spawn(move || text(stream)));
    let stdout = child.stdout.take().map(text).unwrap_or_default();
    let stderr = stderr.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let status = child.wait().expect("a child can be waited for");
    Finished { status, stdout, stderr }
}

/// Lets the kernel end the program when the thread of the test that started it is gone.
pub fn die_with_test(command: &mut Command) {
    let arrange = || {
        // SAFETY: the call changes an attribute of the calling process and touches no memory.
        let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec the closure only makes a system call.
    unsafe { command.pre_exec(arrange) };
}

fn text(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is still worth showing.
    let _read = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Cargo puts tests into `deps/` of the profile's folder, and programs beside that.
fn find(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return path.into();
    }
    let test = env::current_exe().expect("the test knows its own path");
    let folders: Vec<PathBuf> = test.ancestors().skip(1).take(3).map(PathBuf::from).collect();
    let beside = folders.iter().map(|folder| folder.join(name));
    let other = folders
        .iter()
        .flat_map(|folder| ["release", "debug"].map(|profile| folder.join(profile).join(name)));
    let found = beside.chain(other).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no program `{name}` near {}: set {variable}", test.display()))
}
