//! Where things lie: the workspace's root, cargo's output and xtask's own state.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Cargo's output folder; `CARGO_TARGET_DIR` moves it.
    pub(crate) target: PathBuf,
}

// === impl Workspace ===

impl Workspace {
    pub(crate) fn locate() -> anyhow::Result<Self> {
        // Cargo says at run time where the package lies; the path at build time serves a binary
        // that is started by hand.
        let package =
            env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&package)
            .parent()
            .context("xtask's package folder has no parent")?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(path) => env::current_dir().context("no current folder")?.join(path),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// Tools that setup installs for this workspace alone. The agent's build script looks here
    /// too, so the place does not move with `CARGO_TARGET_DIR`.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("target/tools")
    }

    /// The kernel programs with the tests' own among them, once they are built.
    pub(crate) fn entry(&self) -> PathBuf {
        self.target.join("bpf/plainsight-entry.o")
    }

    /// Kernels, images and console logs of the virtual machines.
    pub(crate) fn vm(&self) -> PathBuf {
        self.root.join("target/vm")
    }

    /// PATH with the workspace's own tools first.
    pub(crate) fn search_path(&self) -> OsString {
        let mut folders = vec![self.tools().join("bin")];
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        // Joining fails only for a folder with a colon in its name; PATH as it is then serves.
        env::join_paths(folders).unwrap_or_else(|_| env::var_os("PATH").unwrap_or_default())
    }

    /// Whether `program` is among the workspace's tools or on PATH.
    pub(crate) fn has_program(&self, program: &str) -> bool {
        env::split_paths(&self.search_path()).any(|folder| folder.join(program).is_file())
    }

    /// The cargo that runs xtask, in the workspace's root. The same cargo and the same features
    /// keep one set of build results for all commands.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .current_dir(&self.root)
            .env("PATH", self.search_path())
            .env("CARGO_TARGET_DIR", &self.target)
            .env("PLAINSIGHT_ENTRY_OBJ", self.entry());
        command
    }
}
