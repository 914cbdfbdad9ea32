//! A folder that goes with whoever has it.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// A folder that everybody may look into: some servers run as a user of their own.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

static MADE: AtomicU32 = AtomicU32::new(0);

// === impl Folder ===

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("plainsight-{name}-{}-{number}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// As text, for settings.
    pub(crate) fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    /// Writes a file, and says where it is.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// A folder in it, which `owner` has.
    pub(crate) fn folder(&self, name: &str, owner: &str) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        give(&path, owner);
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.at(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is in the way of nobody.
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// Gives a file or folder to a user and its group.
pub(crate) fn give(path: &Path, owner: &str) {
    let user = nix::unistd::User::from_name(owner).ok().flatten();
    let user = user.unwrap_or_else(|| panic!("no user {owner}: `cargo xtask setup` makes it"));
    nix::unistd::chown(path, Some(user.uid), Some(user.gid)).expect("root may give files away");
}
