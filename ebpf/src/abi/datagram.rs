//! What the kernel remembers about UDP: one conversation in the socket's own storage, those of a
//! socket with many peers in a table.

use super::{Address, flow::Flow};

/// The kernel's lock for a map's value. The verifier finds it by this name in the object's BTF.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct bpf_spin_lock {
    /// The kernel's own.
    pub val: u32,
}

/// What was counted of UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Datagrams {
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes offered to the socket.
    pub received_bytes: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams offered to the socket.
    pub received: u64,
}

/// Storage of a UDP socket.
///
/// Threads may send on one socket at once, and nothing is locked when a datagram arrives: totals
/// are added to atomically, and what of them is on an edge is changed under `lock` only, so that
/// each delta is taken once.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct DatagramState {
    /// Around `counted`.
    pub lock: bpf_spin_lock,
    /// [`super::config::Config::epoch`] at the last addition to an edge.
    pub epoch: u32,
    /// The first conversation, or the one that the socket is connected to. `flow.role` is 0 until
    /// its first datagram.
    pub flow: Flow,
    /// Boot-time clock at the first datagram.
    pub opened_ns: u64,
    /// All that the first conversation carried.
    pub totals: Datagrams,
    /// What of it is on an edge.
    pub counted: Datagrams,
    /// The peer of the first conversation, as datagrams from it are addressed.
    pub peer: Address,
    /// The address that was asked for last on a socket that is not connected.
    pub asked: Address,
    /// The port that belongs to `asked`.
    pub asked_port: u16,
    /// This end's port in the first conversation, in host order.
    pub local_port: u16,
    /// The peer's.
    pub peer_port: u16,
    /// 1 if the socket is connected.
    pub connected: u8,
    /// Explicit padding.
    pub reserved: u8,
}

/// A conversation of a socket with more than one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ConversationKey {
    /// The socket's cookie.
    pub cookie: u64,
    /// The peer, as the socket's application knows it.
    pub remote: Address,
    /// The peer's port.
    pub port: u16,
    /// Explicit padding, in two because an array would be filled byte by byte.
    pub reserved: u16,
    /// Explicit padding.
    pub reserved_too: u32,
}

const _: () = assert!(size_of::<Datagrams>() == 32);
const _: () = assert!(size_of::<DatagramState>() == 240);
const _: () = assert!(size_of::<ConversationKey>() == 32);
