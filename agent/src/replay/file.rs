//! Frames out of capture files: pcap of either byte order and resolution, and pcapng of several
//! sections and interfaces.

use std::io::{self, Read as _};

use jiff::Timestamp;
use pcap_parser::{
    Block, LegacyPcapReader, PcapBlockOwned, PcapError, PcapNGReader,
    traits::PcapNGPacketBlock as _, traits::PcapReaderIterator,
};

/// One frame as it was captured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// When.
    pub(super) time: Timestamp,
    /// Of what link: a LINKTYPE value of tcpdump.org's list.
    pub(super) link: i32,
    /// Its bytes, as far as they were kept.
    pub(super) bytes: &'a [u8],
}

/// Why a capture could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened or read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is neither pcap nor pcapng")]
    Foreign,
    /// It is a capture, and no longer one from here on.
    #[error("damaged at byte {offset}: {what}; what stands before it was read")]
    Damaged {
        /// Where, from the start of the file.
        offset: usize,
        /// In which way.
        what: &'static str,
    },
}

/// A capture file that is being read.
pub(super) struct Capture {
    reader: Box<dyn PcapReaderIterator>,
    /// Of its buffer.
    capacity: usize,
    /// Of the section, or the one of a pcap file.
    interfaces: Vec<Interface>,
}

/// What a file says of an interface.
#[derive(Clone, Copy)]
struct Interface {
    link: i32,
    /// Units of its time stamps in a second.
    resolution: u64,
    /// Seconds to add to them.
    offset: i64,
}

/// What is read at once. A longer block makes it grow.
const BUFFER: usize = 1 << 17;

/// The longest block that is read. Frames are at most 256 KiB; secrets and comments may be longer.
const MAX_BLOCK: usize = 1 << 24;

/// Interfaces of one section that are remembered.
const MAX_INTERFACES: usize = 1 << 12;

/// Magic numbers as the file has them (draft-ietf-opsawg-pcap, section 4): micro- and nanoseconds
/// in either order, and the form with 24 bytes before each frame.
const PCAP: [[u8; 4]; 5] = [
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0x34, 0xcd, 0xb2, 0xa1],
];

/// The type of a section header block, the same in either order.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

// === impl Capture ===

impl Capture {
    /// Begins to read what holds a capture.
    pub(super) fn new(mut file: impl io::Read + 'static) -> Result<Self, FileError> {
        let mut magic = Vec::new();
        file.by_ref().take(4).read_to_end(&mut magic)?;
        let is_pcap = PCAP.iter().any(|known| magic == known);
        let is_pcapng = magic == PCAPNG;
        // The parser reads once and expects a whole header.
        let file = Whole(io::Cursor::new(magic).chain(file));
        let reader: Result<Box<dyn PcapReaderIterator>, _> = if is_pcap {
            LegacyPcapReader::new(BUFFER, file).map(|reader| Box::new(reader) as _)
        } else if is_pcapng {
            PcapNGReader::new(BUFFER, file).map(|reader| Box::new(reader) as _)
        } else {
            return Err(FileError::Foreign);
        };
        match reader {
            Ok(reader) => Ok(Self { reader, capacity: BUFFER, interfaces: Vec::new() }),
            Err(_) => Err(FileError::Damaged { offset: 0, what: "its header is cut or malformed" }),
        }
    }

    /// Hands over each frame, to the end or to where the file is damaged.
    pub(super) fn frames(&mut self, mut each: impl FnMut(Frame<'_>)) -> Result<(), FileError> {
        loop {
            let offset = self.reader.consumed();
            let damaged = |what| FileError::Damaged { offset, what };
            match self.reader.next() {
                Ok((length, block)) => {
                    take(&block, &mut self.interfaces, &mut each).map_err(damaged)?;
                    self.reader.consume(length);
                }
                Err(PcapError::Eof) => return Ok(()),
                Err(PcapError::Incomplete(_)) => self.refill().map_err(damaged)?,
                Err(PcapError::BufferTooSmall) => self.grow().map_err(damaged)?,
                Err(PcapError::UnexpectedEof) => {
                    return Err(damaged("a block is longer than the rest of the file"));
                }
                Err(PcapError::ReadError) => return Err(damaged("the file cannot be read")),
                Err(_) => return Err(damaged("a block is malformed")),
            }
        }
    }

    fn refill(&mut self) -> Result<(), &'static str> {
        self.reader.refill().map_err(|_| "the file cannot be read")
    }

    fn grow(&mut self) -> Result<(), &'static str> {
        self.capacity *= 2;
        if self.capacity > MAX_BLOCK || !self.reader.grow(self.capacity) {
            return Err("a block is longer than can be");
        }
        self.refill()
    }
}

/// Fills what it is given, as far as there is anything to read.
struct Whole<R>(R);

// === impl Whole ===

impl<R: io::Read> io::Read for Whole<R> {
    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while !buffer.is_empty() {
            match self.0.read(buffer)? {
                0 => break,
                n => {
                    filled += n;
                    buffer = buffer.get_mut(n..).unwrap_or_default();
                }
            }
        }
        Ok(filled)
    }
}

/// Takes one block: a frame is handed over, an interface remembered, all else passed by.
fn take(
    block: &PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    each: &mut impl FnMut(Frame<'_>),
) -> Result<(), &'static str> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let resolution =
                if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
            // The upper bits say how long a frame's checksum is.
            let link = header.network.0 & 0xffff;
            interfaces.push(Interface { link, resolution, offset: 0 });
        }
        PcapBlockOwned::Legacy(block) => {
            let interface = interfaces.first().ok_or("a frame stands before the header")?;
            let time = interface.seconds(u64::from(block.ts_sec), u64::from(block.ts_usec));
            each(Frame { time, link: interface.link, bytes: block.data });
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => interfaces.clear(),
        PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
            if interfaces.len() == MAX_INTERFACES {
                return Err("more than 4,096 interfaces in a section");
            }
            let resolution = resolution(block.if_tsresol);
            let offset = block.if_tsoffset;
            interfaces.push(Interface { link: block.linktype.0, resolution, offset });
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
            let interface = interfaces.get(block.if_id as usize);
            let interface = interface.ok_or("a frame of an interface that was not described")?;
            let units = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
            each(Frame {
                time: interface.time(units),
                link: interface.link,
                bytes: block.packet_data(),
            });
        }
        PcapBlockOwned::NG(Block::SimplePacket(block)) => {
            let interface = interfaces.first();
            let interface = interface.ok_or("a frame of an interface that was not described")?;
            let bytes = block.packet_data();
            each(Frame { time: Timestamp::UNIX_EPOCH, link: interface.link, bytes });
        }
        PcapBlockOwned::NG(_) => {}
    }
    Ok(())
}

// === impl Interface ===

impl Interface {
    /// The time of so many units.
    fn time(&self, units: u64) -> Timestamp {
        self.seconds(units / self.resolution, units % self.resolution)
    }

    /// The time of so many seconds and units; the epoch, where there is no such time.
    fn seconds(&self, seconds: u64, units: u64) -> Timestamp {
        let ns = u128::from(units) * 1_000_000_000 / u128::from(self.resolution);
        let whole = i128::from(seconds) + i128::from(self.offset);
        let ns = whole * 1_000_000_000 + i128::try_from(ns).unwrap_or_default();
        Timestamp::from_nanosecond(ns).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// Units in a second by `if_tsresol` (draft-ietf-opsawg-pcapng, section 4.2): a power of ten, or of
/// two where the upper bit is set. Microseconds where it fits no number.
const fn resolution(code: u8) -> u64 {
    let power = (code & 0x7f) as u32;
    let units = if code & 0x80 == 0 { 10u64.checked_pow(power) } else { 1u64.checked_shl(power) };
    match units {
        Some(units) => units,
        None => 1_000_000,
    }
}
