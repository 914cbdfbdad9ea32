//! The file that findings are kept in: written whole or not at all, and never trusted.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use plainsight_core::finding::register::Kept;
use serde::{Deserialize, Serialize};

/// Its name in the folder.
pub(super) const NAME: &str = "findings.json";

/// The shape of what it holds. One of another shape is another agent's.
const VERSION: u32 = 1;

/// A file of this size is none of ours: the most findings there can be take a part of it.
const LARGEST: u64 = 256 * 1024 * 1024;

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    findings: Kept,
}

/// Only its version.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

/// The findings of the last agent. One that cannot be read is put aside and said to be, because
/// whoever runs the agent may want to look at it.
pub(super) fn read(path: &Path) -> Option<Kept> {
    match content(path) {
        Ok(kept) => kept,
        Err(error) => {
            let aside = path.with_extension("json.damaged");
            let moved = match fs::rename(path, &aside) {
                Ok(()) => format!("put aside as {}", aside.display()),
                Err(error) => format!("and cannot be put aside: {error}"),
            };
            tracing::error!("{}: {error:#}; {moved}; findings start anew", path.display());
            None
        }
    }
}

fn content(path: &Path) -> anyhow::Result<Option<Kept>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST {
        bail!("larger than {LARGEST} bytes");
    }
    let head: Head = serde_json::from_str(&text).context("damaged")?;
    if head.version != VERSION {
        bail!("its version is {} and not {VERSION}", head.version);
    }
    let content: Content = serde_json::from_str(&text).context("damaged")?;
    Ok(Some(content.findings))
}

/// Writes it beside itself first, so that whoever is killed here leaves the last one whole.
pub(super) fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let new = path.with_extension("json.new");
    let text = serde_json::to_vec(&Content { version: VERSION, findings: kept.clone() })?;
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use plainsight_core::finding::{Asked, Findings};
    use std::path::PathBuf;

    /// A folder that is gone after the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let thread = std::thread::current().id();
            let name = format!("plainsight-state-{}-{thread:?}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn file(&self) -> PathBuf {
            self.0.join(NAME)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _removed = fs::remove_dir_all(&self.0);
        }
    }

    fn kept() -> Kept {
        Findings::new(Asked::default(), 7, Timestamp::UNIX_EPOCH).kept()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = Folder::new();
        assert_eq!(read(&folder.file()), None, "there is none yet");
        for _ in 0..2 {
            write(&folder.file(), &kept()).unwrap();
            assert_eq!(read(&folder.file()), Some(kept()));
        }
        let names = fs::read_dir(&folder.0).unwrap().count();
        assert_eq!(names, 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_damaged_is_put_aside() {
        let folder = Folder::new();
        write(&folder.file(), &kept()).unwrap();
        let whole = fs::read(folder.file()).unwrap();
        let newer = String::from_utf8(whole.clone()).unwrap().replacen(":1", ":2", 1).into_bytes();
        let aside = folder.file().with_extension("json.damaged");
        for text in [&whole[..whole.len() / 2], b"", b"[]", b"\xff\xfe", &newer] {
            fs::write(folder.file(), text).unwrap();
            assert_eq!(read(&folder.file()), None);
            assert_eq!(fs::read(&aside).unwrap(), text);
            assert!(!folder.file().exists());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = Folder::new();
        fs::write(&folder.0, b"a file").unwrap();
        assert!(write(&folder.file(), &kept()).is_err());
        fs::remove_file(&folder.0).unwrap();
    }
}
