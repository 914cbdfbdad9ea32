//! TCP headers (RFC 9293, section 3.1).

/// No more data from sender.
pub const FIN: u8 = 0x01;
/// Synchronize sequence numbers.
pub const SYN: u8 = 0x02;
/// Reset the connection.
pub const RST: u8 = 0x04;
/// The acknowledgment number is meaningful.
pub const ACK: u8 = 0x10;

/// How much of the header is read: all before the window.
pub const HEADER_LEN: usize = 14;

/// Shortest header.
pub const MIN_LEN: u32 = 20;

/// The fields the programs judge by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of the first payload byte (of the SYN, if there is one).
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Bytes of payload.
    pub payload: u32,
    /// Offset of the payload from the start of the packet.
    pub payload_at: u32,
    /// Where it comes from, in host order.
    pub source_port: u16,
    /// FIN, SYN, RST, ACK and the rest.
    pub flags: u8,
}

impl Segment {
    /// Reads the header's start, which stands at `at` in a packet of `length` bytes.
    #[inline(always)]
    pub const fn read(header: &[u8; HEADER_LEN], at: u32, length: u32) -> Option<Self> {
        let [p0, p1, _, _, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags] = *header;
        let header_len = ((offset >> 4) as u32) * 4;
        let payload_at = at + header_len;
        if header_len < MIN_LEN || payload_at > length {
            return None;
        }
        Some(Self {
            seq: u32::from_be_bytes([s0, s1, s2, s3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            payload: length - payload_at,
            payload_at,
            source_port: u16::from_be_bytes([p0, p1]),
            flags,
        })
    }

    /// Sequence number behind this segment, FIN included.
    #[inline(always)]
    pub const fn end(&self) -> u32 {
        self.seq.wrapping_add(self.payload).wrapping_add((self.flags & FIN) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; HEADER_LEN] =
        [0, 80, 1, 2, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 9, 0x50, FIN | ACK];

    #[test]
    fn reads_payload_and_wraps_the_sequence() {
        let segment = Segment::read(&HEADER, 20, 45).expect("valid header");
        assert_eq!((segment.payload, segment.payload_at, segment.ack), (5, 40, 9));
        assert_eq!(segment.end(), 4, "two before the wrap, five bytes and a FIN");
    }

    #[test]
    fn refuses_a_header_longer_than_the_packet() {
        assert_eq!(Segment::read(&HEADER, 20, 39), None);
    }

    #[test]
    fn refuses_a_header_shorter_than_the_shortest() {
        let mut header = HEADER;
        header[12] = 0x40;
        assert_eq!(Segment::read(&header, 20, 45), None);
    }
}
