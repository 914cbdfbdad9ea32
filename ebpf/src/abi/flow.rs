//! What the kernel remembers about one socket.

use super::{Address, Comm};

/// Where a TCP socket is in its life, as far as the programs have seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Bound or listening: an identity to be inherited.
    Identity = 0,
    /// Its SYN is on the way.
    Connecting = 1,
    /// Established, and counted as open.
    Open = 2,
    /// Ended.
    Ended = 3,
}

/// Socket storage. Cloned from a listener to each socket it accepts.
///
/// Deltas are taken by sock_ops and egress only, which hold the socket's lock, so each is taken
/// once. Ingress runs without the lock: it writes `head_in`, `fin_in*` and `reset_in`, which are
/// fields of their own, and a listener's identity at its first packet. `connect`, `post_bind` and
/// `sock_release` write before there is a connection, or a byte of their own.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct SocketState {
    /// The socket's cgroup; 0 where it is not known yet.
    pub cgroup: u64,
    /// The socket's network namespace; 0 where it could not be read.
    pub netns: u64,
    /// Of a paired local peer; else 0.
    pub peer_cgroup: u64,
    /// Of a paired local peer; else 0.
    pub peer_netns: u64,
    /// Boot-time clock at connect, then at establishment.
    pub opened_ns: u64,
    /// Payload bytes already added to an edge.
    pub sent_bytes: u64,
    /// Payload bytes already added to an edge.
    pub received_bytes: u64,
    /// As in [`super::edge::EdgeKey`].
    pub remote: Address,
    /// As in [`super::edge::EdgeKey`].
    pub name: u32,
    /// As in [`super::edge::EdgeKey`].
    pub peer_name: u32,
    /// Process (thread group) that connected or bound.
    pub tgid: u32,
    /// [`super::config::Config::epoch`] at the last addition.
    pub epoch: u32,
    /// Sequence number behind the peer's FIN.
    pub fin_in: u32,
    /// Sequence number behind our own FIN.
    pub fin_out: u32,
    /// The server's port in host order.
    pub port: u16,
    /// As in [`super::edge::EdgeKey`].
    pub asked_port: u16,
    /// [`super::edge::Role`]; 0 before it is known.
    pub role: u8,
    /// [`Phase`].
    pub phase: u8,
    /// [`super::edge::Class`] of the edge it is counted on.
    pub class: u8,
    /// 1 once the class cannot change any more.
    pub settled: u8,
    /// [`crate::wire::head::Head`] of the first payload received.
    pub head_in: u8,
    /// [`crate::wire::head::Head`] of the first payload sent.
    pub head_out: u8,
    /// 1 if `fin_in` is set.
    pub fin_in_seen: u8,
    /// 1 if `fin_out` is set.
    pub fin_out_seen: u8,
    /// 1 once the peer's FIN was received in order.
    pub fin_received: u8,
    /// 1 once our FIN was acknowledged.
    pub fin_acked: u8,
    /// 1 once a reset that the socket will accept was received.
    pub reset_in: u8,
    /// 1 once the identity was checked against the socket's own cgroup.
    pub verified: u8,
    /// Name of the process that connected or bound.
    pub comm: Comm,
    /// 1 once the application closed its last descriptor. Written without the socket's lock.
    pub orphaned: u8,
    /// Explicit padding.
    pub reserved: [u8; 7],
}

/// What a client leaves for the server's end on the same host to find.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Pair {
    /// The client's cgroup.
    pub cgroup: u64,
    /// The client's network namespace.
    pub netns: u64,
    /// The address the client asked for.
    pub asked: Address,
    /// The client's process name.
    pub name: u32,
    /// The port the client asked for, in host order.
    pub asked_port: u16,
    /// Explicit padding.
    pub reserved: u16,
}

const _: () = assert!(size_of::<SocketState>() == 136);
const _: () = assert!(size_of::<Pair>() == 40);

// SAFETY: repr(C), only integers, no padding (the size assert above), any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for SocketState {}
