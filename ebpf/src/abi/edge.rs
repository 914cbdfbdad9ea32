//! The edge: what the kernel counts by, and what it counts.

use super::{Address, Comm, datagram::bpf_spin_lock};

/// Which end of the connection this half was seen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// The end that sent the first SYN.
    Client = 1,
    /// The end that accepted it.
    Server = 2,
}

/// [`EdgeKey::flags`]: the connection is older than the programs, so its start was not seen.
pub const LATE: u8 = 1;

/// [`EdgeKey::flags`]: its cgroup has more edges than it may have, so peer, port and process are
/// left out: one edge stands for many.
pub const FOLDED: u8 = 2;

/// [`EdgeKey::flags`]: which end is the client was told from the port numbers.
pub const GUESSED: u8 = 4;

/// Classes of round-trip time: see [`rtt_bound`].
pub const RTT_BUCKETS: usize = 16;

/// What bounds the first class of round-trip time, in microseconds; each following bound is twice
/// the one before, and the last class has none.
pub const RTT_FIRST_US: u32 = 32;

/// What one half of a set of connections has in common. The kernel's map is keyed by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct EdgeKey {
    /// The cgroup of this end's socket (inode of the cgroup2 directory).
    pub cgroup: u64,
    /// Cookie of this end's network namespace; 0 where it could not be read.
    pub netns: u64,
    /// The other end's cgroup, where the other end is on this host and was paired; else 0.
    pub peer_cgroup: u64,
    /// The other end's network namespace, likewise.
    pub peer_netns: u64,
    /// [`super::name_id`] of the process at this end; 0 where it is not known.
    pub name: u32,
    /// The other end's, likewise.
    pub peer_name: u32,
    /// Client half: the address asked for. Server half: the client's address, or, where the
    /// client was paired, the address that client asked for.
    pub remote: Address,
    /// Client half: where the packets went, where that is not what was asked for (destination
    /// NAT, a redirect to a local proxy); else 0.
    pub reached: Address,
    /// The server's port as this end sees it, in host order.
    pub port: u16,
    /// Server half with a paired client: the port that client asked for; else 0.
    pub asked_port: u16,
    /// The port that belongs to `reached`.
    pub reached_port: u16,
    /// Of [`super::config::Config`], when it was counted. Edges of one generation are taken out
    /// together, when no program can know them any more.
    pub generation: u16,
    /// [`Role`].
    pub role: u8,
    /// IP protocol number: 6 or 17.
    pub transport: u8,
    /// Code of a [`Protocol`](crate::wire::protocol::Protocol).
    pub protocol: u8,
    /// Code of a [`Stage`](crate::wire::stage::Stage).
    pub stage: u8,
    /// Code of a [`Secret`](crate::wire::secret::Secret): the worst that was heard.
    pub secret: u8,
    /// The policy's verdict; 0 while there is no policy.
    pub verdict: u8,
    /// [`LATE`], [`FOLDED`], [`GUESSED`].
    pub flags: u8,
    /// Explicit padding.
    pub reserved: u8,
}

/// By what the edges of a cgroup are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct QuotaKey {
    /// The cgroup.
    pub cgroup: u64,
    /// As in [`EdgeKey`].
    pub generation: u64,
}

/// What a cgroup has in a generation.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Quota {
    /// Around `used`: two CPUs that make edges of one cgroup at once must not both take the last.
    pub lock: bpf_spin_lock,
    /// Its edges, of which folded ones are none.
    pub used: u32,
}

/// What is counted for one [`EdgeKey`]. All counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EdgeCounters {
    /// Connections established with this key, or moved to it from another edge.
    pub opened: u64,
    /// Connections that left for another edge.
    pub moved: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Of those, the ones that ended by a reset.
    pub resets: u64,
    /// Payload bytes this end sent: over TCP those that the other end acknowledged.
    pub sent_bytes: u64,
    /// Payload bytes this end received: over TCP in order, over UDP offered to the socket.
    pub received_bytes: u64,
    /// UDP datagrams sent.
    pub sent_datagrams: u64,
    /// UDP datagrams offered to the socket.
    pub received_datagrams: u64,
    /// Connects answered by a reset.
    pub refused: u64,
    /// Connects that were retransmitted and never answered.
    pub timed_out: u64,
    /// Connects that ended otherwise: given up by the application, or by an ICMP error.
    pub aborted: u64,
    /// Boot-time clock at the first event.
    pub first_ns: u64,
    /// Boot-time clock at the latest event.
    pub last_ns: u64,
    /// This end's address at the first event.
    pub local: Address,
    /// Name of the process at the first event.
    pub comm: Comm,
    /// Process (thread group) at the first event; 0 where it is not known.
    pub tgid: u32,
    /// [`super::config::Config::epoch`] when a handshake of this edge was last asked for.
    pub asked: u32,
    /// Smoothed round-trip times by class, see [`rtt_bound`]: one for each time that bytes were added.
    pub rtt: [u32; RTT_BUCKETS],
}

const _: () = assert!(size_of::<EdgeKey>() == 88);
const _: () = assert!(size_of::<EdgeCounters>() == 208);

/// What bounds a class of round-trip time but the last, in eighths of a microsecond, as the kernel
/// holds smoothed ones.
#[inline(always)]
pub const fn rtt_bound(class: u32) -> u32 {
    (RTT_FIRST_US * 8) << class
}

// SAFETY: repr(C), only integers, no padding (the size assert above), any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for EdgeKey {}

// SAFETY: as for EdgeKey.
#[cfg(feature = "user")]
unsafe impl aya::Pod for QuotaKey {}

// SAFETY: as for EdgeKey.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Quota {}

// SAFETY: as for EdgeKey.
#[cfg(feature = "user")]
unsafe impl aya::Pod for EdgeCounters {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_round_trip_times_double() {
        assert_eq!(rtt_bound(0), 32 * 8);
        assert_eq!(rtt_bound(14), 524_288 * 8, "half a second");
    }
}
