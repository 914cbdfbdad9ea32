//! The kernel half: which toolchain can compile for BPF, and building its object once.
//!
//! The object is built here and handed to every later cargo call as `PLAINSIGHT_EBPF_OBJ`;
//! otherwise each profile's build script would build it again. The agent's build script knows the
//! same two toolchains in the same order, so that a plain `cargo build` gives the same object.
//!
//! A second object has a program of the tests' own besides; the test binaries embed that one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::{process, setup, workspace::Workspace};

pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// What the agent embeds.
const SHIPPED: &str = "bpf";

/// The same and the program through which tests ask the judging.
pub(crate) const WITH_ENTRY: &str = "bpf,entry";

/// Crates that use unstable features; the distribution's stable compiler allows them by name.
const UNSTABLE_CRATES: &str = "aya_ebpf,plainsight_ebpf";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// rustup's nightly with rust-src: core is compiled along.
    Nightly,
    /// The distribution's compiler with a prebuilt core for BPF.
    Distribution,
}

// === impl Toolchain ===

impl Toolchain {
    pub(crate) fn find() -> Option<Self> {
        if nightly_has_sources() {
            return Some(Self::Nightly);
        }
        distribution_has_core().then_some(Self::Distribution)
    }

    /// `cargo SUBCOMMAND` for the kernel half. Output goes to a folder of its own, because the two
    /// toolchains would otherwise throw away each other's results.
    pub(crate) fn cargo(self, workspace: &Workspace, subcommand: &str, features: &str) -> Command {
        let mut command = match self {
            Self::Nightly => nightly_cargo(workspace),
            Self::Distribution => distribution_cargo(workspace, subcommand),
        };
        command.current_dir(&workspace.root).args([subcommand, "--locked"]);
        command.args(["--package", "plainsight-ebpf", "--bin", "plainsight-ebpf"]);
        command.args(["--features", features, "--release", "--target", TARGET]);
        command.arg("--target-dir").arg(workspace.target.join("bpf"));
        if self == Self::Nightly {
            command.args(["-Z", "build-std=core"]);
        }
        for variable in ["RUSTC", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            command.env_remove(variable);
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", rustflags());
        command
    }
}

/// Builds the object and returns its path.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    if let Some(prebuilt) = env::var_os("PLAINSIGHT_EBPF_OBJ") {
        return prebuilt_object(Path::new(&prebuilt));
    }
    let object = workspace.target.join("bpf/plainsight-ebpf.o");
    compile(workspace, "kernel object", SHIPPED, &object)?;
    Ok(object)
}

/// Builds the object with the tests' own program, to where [`Workspace::entry`] says it is.
pub(crate) fn build_entry(workspace: &Workspace) -> anyhow::Result<()> {
    compile(workspace, "kernel object of the tests", WITH_ENTRY, &workspace.entry())
}

/// The file is replaced only when its bytes changed, so that nothing that embeds it is built again
/// for nothing.
fn compile(
    workspace: &Workspace,
    title: &str,
    features: &str,
    object: &Path,
) -> anyhow::Result<()> {
    let toolchain = setup::ensure_toolchain(workspace)?;
    let mut command = toolchain.cargo(workspace, "build", features);
    process::step(title, || process::run(&mut command))?;
    let built = workspace.target.join("bpf").join(TARGET).join("release/plainsight-ebpf");
    let bytes = fs::read(&built).with_context(|| format!("could not read {}", built.display()))?;
    if fs::read(object).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(object, bytes).with_context(|| format!("could not write {}", object.display()))
}

fn prebuilt_object(path: &Path) -> anyhow::Result<PathBuf> {
    if !path.is_file() {
        bail!("PLAINSIGHT_EBPF_OBJ names {}, which is no file", path.display());
    }
    path.canonicalize().with_context(|| format!("could not resolve {}", path.display()))
}

/// What aya-build sets: the kernel's architecture for register names, and BTF, which needs the
/// debug information it is made from.
fn rustflags() -> String {
    let architecture = format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH);
    [architecture.as_str(), "-Cdebuginfo=2", "-Clink-arg=--btf"].join("\x1f")
}

fn nightly_cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).env("PATH", workspace.search_path());
    // Set by the cargo that runs xtask; rustup's proxies would follow it back to stable.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}

fn distribution_cargo(workspace: &Workspace, subcommand: &str) -> Command {
    // Cargo looks for subcommands in its home first, where rustup's clippy may lie.
    let mut command = Command::new(match subcommand {
        "clippy" => "/usr/bin/cargo-clippy",
        _ => "/usr/bin/cargo",
    });
    command.env("PATH", path_without_rustup(&workspace.search_path()));
    // With any of these the distribution's cargo would call rustup's rustc.
    for variable in ["RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "CARGO", "LD_LIBRARY_PATH"] {
        command.env_remove(variable);
    }
    command.env("RUSTC_BOOTSTRAP", UNSTABLE_CRATES);
    command
}

/// PATH without the folders that hold a rustup executable: its `rustc` there is rustup too.
fn path_without_rustup(path: &std::ffi::OsStr) -> std::ffi::OsString {
    let kept = env::split_paths(path).filter(|folder| !folder.join("rustup").is_file());
    let tools_first: Vec<_> = kept.collect();
    env::join_paths(with_system_second(tools_first)).unwrap_or_else(|_| "/usr/bin:/bin".into())
}

/// The workspace's tools stay first; `/usr/bin` goes before any other rustc on PATH.
fn with_system_second(mut folders: Vec<PathBuf>) -> Vec<PathBuf> {
    folders.insert(folders.len().min(1), "/usr/bin".into());
    folders
}

fn nightly_has_sources() -> bool {
    let installed = process::try_output(Command::new("rustup").args(["toolchain", "list"]));
    if !installed.is_some_and(|list| list.lines().any(|line| line.starts_with("nightly"))) {
        return false;
    }
    let mut question = Command::new("rustup");
    question.args(["run", "nightly", "rustc", "--print", "sysroot"]);
    process::try_output(&mut question).is_some_and(|sysroot| {
        Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.lock").is_file()
    })
}

fn distribution_has_core() -> bool {
    let mut question = Command::new("/usr/bin/rustc");
    question.args(["--print", "target-libdir", "--target", TARGET]);
    question.env_remove("LD_LIBRARY_PATH");
    let Some(folder) = process::try_output(&mut question) else { return false };
    let Ok(entries) = fs::read_dir(folder.trim()) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn flags_are_separated_as_cargo_wants_them() {
        let flags = rustflags();
        assert_eq!(flags.split('\x1f').count(), 3);
        assert!(flags.starts_with("--cfg=bpf_target_arch=\""), "{flags}");
    }

    #[test]
    fn the_system_folder_comes_right_after_the_tools() {
        let path = path_without_rustup(OsStr::new("/tools:/opt/bin:/bin"));
        assert_eq!(path, "/tools:/usr/bin:/opt/bin:/bin");
    }
}
