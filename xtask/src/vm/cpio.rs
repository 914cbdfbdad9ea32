//! A cpio archive in the `newc` format, as the kernel unpacks it into its first file system.

use std::io::{self, Write};

const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

pub(crate) struct Archive<W> {
    out: W,
    inode: u32,
}

/// The fields of a header that differ between entries.
#[derive(Default)]
struct Header {
    mode: u32,
    size: u32,
    device: (u32, u32),
}

// === impl Archive ===

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    pub(crate) fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, &Header { mode: DIRECTORY | 0o755, ..Header::default() }, &[])
    }

    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let size = u32::try_from(bytes.len())
            .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, path.to_owned()))?;
        self.entry(path, &Header { mode: REGULAR | mode, size, ..Header::default() }, bytes)
    }

    pub(crate) fn character_device(&mut self, path: &str, device: (u32, u32)) -> io::Result<()> {
        self.entry(path, &Header { mode: CHARACTER_DEVICE | 0o600, device, size: 0 }, &[])
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", &Header::default(), &[])?;
        self.out.flush()
    }

    fn entry(&mut self, path: &str, header: &Header, bytes: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let name_size = path.len() as u32 + 1;
        let (major, minor) = header.device;
        // Inode, mode, uid, gid, links, mtime, size, the file system's device, the entry's own
        // device, length of the name, checksum: each as eight hexadecimal digits.
        let fields =
            [self.inode, header.mode, 0, 0, 1, 0, header.size, 0, 0, major, minor, name_size, 0];
        write!(self.out, "070701")?;
        fields.iter().try_for_each(|field| write!(self.out, "{field:08X}"))?;
        write!(self.out, "{path}\0")?;
        // The header has 110 bytes; name and content each end on a multiple of four.
        self.pad(110 + path.len() + 1)?;
        self.out.write_all(bytes)?;
        self.pad(bytes.len())
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..written.next_multiple_of(4) - written])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_closed_by_a_trailer() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.directory("dev").unwrap();
        archive.character_device("dev/console", (5, 1)).unwrap();
        archive.file("init", 0o755, b"hello").unwrap();
        archive.finish().unwrap();

        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let starts: Vec<_> = text.match_indices("070701").map(|(at, _)| at % 4).collect();
        assert_eq!(starts, [0, 0, 0, 0]);
        assert!(text.contains("init\0\0hello\0\0\0"), "{text:?}");
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"));
    }
}
