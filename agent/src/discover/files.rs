//! Reading others' files: bounded, and nothing but plain files.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// The largest file about one container. Those of real ones have some ten kilobytes.
const LARGEST: u64 = 1 << 20;

/// The largest list of containers: some thousands of them.
const LARGEST_LIST: u64 = 16 << 20;

/// What changes when a file is written or put in another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// What a file about one container holds; none where there is no such file.
pub(super) fn read(file: &Path) -> Option<Result<Vec<u8>, String>> {
    // A link may lead anywhere.
    read_up_to(file, LARGEST, libc::O_NOFOLLOW)
}

/// The same of a file that links may lead to, as those of units are.
pub(super) fn read_linked(file: &Path) -> Option<Result<Vec<u8>, String>> {
    read_up_to(file, LARGEST, 0)
}

/// The same of a list.
pub(super) fn read_list(file: &Path) -> Option<Result<Vec<u8>, String>> {
    read_up_to(file, LARGEST_LIST, libc::O_NOFOLLOW)
}

/// The stamp of a file; none where there is no such file.
pub(super) fn stamp(file: &Path) -> Option<Stamp> {
    let found = fs::metadata(file).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// The names in a folder, in order, no more than `most` of them.
pub(super) fn names(folder: &Path, most: usize) -> Vec<OsString> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.flatten().take(most).map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    names
}

fn read_up_to(file: &Path, most: u64, flags: libc::c_int) -> Option<Result<Vec<u8>, String>> {
    // A fifo would wait for its writer.
    match OpenOptions::new().read(true).custom_flags(flags | libc::O_NONBLOCK).open(file) {
        Ok(file) => Some(bounded(file, most)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => None,
            _ => Some(Err(error.to_string())),
        },
    }
}

fn bounded(file: File, most: u64) -> Result<Vec<u8>, String> {
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return Err("not a plain file".to_owned());
    }
    let mut text = Vec::new();
    // One byte more tells that there is more.
    file.take(most + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > most {
        return Err(format!("larger than {most} bytes"));
    }
    Ok(text)
}
