//! What crosses the ring: rare events, and the records somebody asked for.

use super::{Address, Comm, edge::EdgeKey};

/// What an event is; the first byte of every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// An edge came into being: [`FirstSeen`].
    FirstSeen = 1,
    /// A connection that a filter asked for has ended: [`Connection`].
    Connection = 2,
    /// A part of a TLS handshake: [`Handshake`].
    Handshake = 3,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Close {
    /// Both ends finished (RFC 9293, section 3.6).
    Fin = 1,
    /// One end reset it.
    Reset = 2,
    /// It was given up after retransmissions.
    TimedOut = 3,
    /// It was never established: the server answered by a reset.
    Refused = 4,
    /// It was never established: given up by the application, or by an ICMP error.
    Aborted = 5,
    /// A socket without connections was closed.
    Closed = 6,
}

/// The start of every event.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EventHeader {
    /// [`EventKind`].
    pub kind: u8,
    /// [`super::VERSION`].
    pub version: u8,
    /// Bytes of the whole event, this header included.
    pub length: u16,
    /// Explicit padding.
    pub reserved: u32,
    /// Boot-time clock.
    pub time_ns: u64,
}

/// The first connection, or failure, of an edge.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FirstSeen {
    /// Kind [`EventKind::FirstSeen`].
    pub header: EventHeader,
    /// The edge's key.
    pub key: EdgeKey,
    /// Process (thread group) at this end; 0 where it is not known.
    pub tgid: u32,
    /// Explicit padding.
    pub reserved: u32,
    /// Name of that process.
    pub comm: Comm,
}

/// One connection, as one of its ends saw it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Connection {
    /// Kind [`EventKind::Connection`].
    pub header: EventHeader,
    /// The key of the edge it was counted on.
    pub key: EdgeKey,
    /// Boot-time clock at establishment, or at connect if it never was.
    pub opened_ns: u64,
    /// Payload bytes this end sent and the other end acknowledged.
    pub sent_bytes: u64,
    /// Payload bytes this end received in order.
    pub received_bytes: u64,
    /// The socket's cookie.
    pub cookie: u64,
    /// This end's address.
    pub local: Address,
    /// The other end's address.
    pub remote: Address,
    /// One bit for each filter slot that asked for it.
    pub filters: u32,
    /// Process (thread group) at this end; 0 where it is not known.
    pub tgid: u32,
    /// UDP datagrams sent.
    pub sent_datagrams: u64,
    /// UDP datagrams received.
    pub received_datagrams: u64,
    /// This end's port, in host order.
    pub local_port: u16,
    /// The other end's port, in host order.
    pub remote_port: u16,
    /// [`Close`].
    pub close: u8,
    /// 1 if the application had closed its last descriptor before the connection ended.
    pub orphaned: u8,
    /// Explicit padding.
    pub reserved: u16,
    /// Name of the process at this end.
    pub comm: Comm,
}

/// A part of what one side of a connection said in its TLS handshake. Of application data there is
/// the record's header alone.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Handshake<const N: usize = LONG> {
    /// Kind [`EventKind::Handshake`].
    pub header: EventHeader,
    /// The key of the edge it is counted on now.
    pub key: EdgeKey,
    /// The socket's cookie.
    pub cookie: u64,
    /// Where it stands, in bytes from that side's hello on.
    pub offset: u32,
    /// How many of `bytes` count.
    pub length: u16,
    /// 0 for the client's, 1 for the server's.
    pub side: u8,
    /// Explicit padding.
    pub reserved: u8,
    /// What was said.
    pub bytes: [u8; N],
}

/// Most bytes of a handshake in one event.
pub const LONG: usize = 2048;

/// Room for what is shorter, as most is: the ring is shared.
pub const SHORT: usize = 256;

const _: () = assert!(size_of::<Handshake>() == 120 + LONG);
const _: () = assert!(size_of::<Handshake<SHORT>>() == 120 + SHORT);
const _: () = assert!(size_of::<EventHeader>() == 16);
const _: () = assert!(size_of::<FirstSeen>() == 128);
const _: () = assert!(size_of::<Connection>() == 216);

// === impl EventKind ===

impl EventKind {
    /// The kind with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::FirstSeen,
            2 => Self::Connection,
            3 => Self::Handshake,
            _ => return None,
        })
    }
}

// === impl Close ===

impl Close {
    /// The way of closing with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Fin,
            2 => Self::Reset,
            3 => Self::TimedOut,
            4 => Self::Refused,
            5 => Self::Aborted,
            6 => Self::Closed,
            _ => return None,
        })
    }
}

// SAFETY: repr(C), only integers, no padding (the size asserts above), any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for FirstSeen {}

// SAFETY: as for FirstSeen.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Connection {}

// SAFETY: as for FirstSeen.
#[cfg(feature = "user")]
unsafe impl<const N: usize> aya::Pod for Handshake<N> {}
