//! Fuzz targets: every parser of what others may have written, from a packet to a file.
//!
//! A target takes any bytes and must come back: no panic, bounded time, bounded memory. What it
//! promises beyond that, it asserts. `corpus/TARGET/` keeps inputs worth trying again; they are
//! replayed as a unit test, and are where `cargo xtask fuzz` begins.

mod script;
mod targets;

pub use script::{Part, Script};

/// One parser, fed with arbitrary bytes.
pub struct Target {
    /// As on the command line, and the name of its corpus.
    pub name: &'static str,
    /// Longest input that is of use.
    pub longest: usize,
    /// Feeds it.
    pub run: fn(&[u8]),
}

/// Every target there is.
pub const TARGETS: &[Target] = &[
    Target { name: "packet", longest: 256, run: targets::packet },
    Target { name: "heads", longest: 2048, run: targets::heads },
    Target { name: "conversation", longest: 16_384, run: targets::conversation },
    Target { name: "datagrams", longest: 8192, run: targets::datagrams },
    Target { name: "handshake", longest: 16_384, run: targets::handshake },
    Target { name: "capture", longest: 8192, run: targets::capture },
    Target { name: "event", longest: 8192, run: targets::event },
    Target { name: "mounts", longest: 4096, run: targets::mounts },
    Target { name: "membership", longest: 1024, run: targets::membership },
    Target { name: "escape", longest: 1024, run: targets::escape },
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_kept_is_replayed() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        for target in TARGETS {
            let folder = corpus.join(target.name);
            let mut inputs: Vec<_> = fs::read_dir(&folder)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
                .map(|entry| entry.unwrap().path())
                .collect();
            inputs.sort();
            assert!(!inputs.is_empty(), "{} keeps nothing", target.name);
            for input in inputs {
                (target.run)(&fs::read(&input).unwrap());
            }
        }
    }

    #[test]
    fn every_folder_of_the_corpus_has_a_target() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        for entry in fs::read_dir(corpus).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(TARGETS.iter().any(|target| target.name == name), "{name}");
        }
    }
}
