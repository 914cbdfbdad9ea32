//! Capture files through the same core that judges live connections.
//!
//! A file is read frame by frame; packets are put together into streams, of which at most 64 KiB a
//! direction are kept until the file ends; core says what each was. Of the payload nothing is left
//! after that. Ends are addresses: a capture knows no processes.

mod budget;
mod file;
pub mod flows;
mod fragment;
mod ftp;
mod ip;
pub mod labels;
mod link;
pub mod map;
mod reading;
pub mod stream;
mod table;
mod tcp;
mod tunnel;
mod udp;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

pub use budget::Refusal;
use file::Capture;
pub use file::FileError;
use plainsight_core::protocol::conversation::{Conversation, Exchange};
use stream::Stream;
use table::Table;

/// What a capture file held.
#[derive(Debug)]
pub struct Replayed {
    /// Its name, relative to the folder that was asked for.
    pub name: String,
    /// Its streams, in the order of their first packets.
    pub streams: Vec<Stream>,
    /// How often something was not looked at, and why.
    pub refused: BTreeMap<Refusal, u64>,
    /// Why it was not read to its end.
    pub error: Option<FileError>,
}

/// What the ends of one stream said, as it is judged.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// Over TCP.
    Tcp(&'a Conversation<'a>),
    /// Over UDP.
    Udp(&'a Exchange<'a>),
}

/// The files below `path` in the order of their names, or `path` itself, each with its name
/// relative to `path`.
pub fn files(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    if !path.is_dir() {
        let name = path.file_name().unwrap_or(path.as_os_str());
        return Ok(vec![(name.to_string_lossy().into_owned(), path.to_owned())]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let file = entry.path();
                let name = file.strip_prefix(path).unwrap_or(&file).to_string_lossy().into_owned();
                found.push((name, file));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Reads one capture file, as far as it can be read.
pub fn replay(name: String, path: &Path) -> Replayed {
    match fs::File::open(path) {
        Ok(file) => read(name, file),
        Err(error) => Replayed {
            name,
            streams: Vec::new(),
            refused: BTreeMap::new(),
            error: Some(error.into()),
        },
    }
}

/// The same of a file that is open.
pub fn read(name: String, file: impl io::Read + 'static) -> Replayed {
    let mut table = Table::new();
    let end = Capture::new(file).and_then(|mut capture| capture.frames(|frame| table.frame(frame)));
    let (streams, refused) = table.finish();
    Replayed { name, streams, refused, error: end.err() }
}

/// Shows what the ends of each stream of an open capture file said, for who wants to judge it in
/// another way, and says why it was not read to its end. Nothing of it is kept afterwards.
pub fn show(file: impl io::Read + 'static, each: impl FnMut(Said<'_>)) -> Result<(), FileError> {
    let mut table = Table::new();
    let end = Capture::new(file).and_then(|mut capture| capture.frames(|frame| table.frame(frame)));
    table.show(each);
    end
}

#[cfg(test)]
mod tests;
