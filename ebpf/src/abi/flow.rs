//! What the kernel remembers about one socket and about the flow it carries.

use super::{
    Address, Comm,
    edge::{EdgeKey, FOLDED},
};
use crate::wire::message::Message;

/// [`Flow::flags`]: it was counted without an edge, because there was no room. From then on all of
/// it is, or it would be counted once as overflow and once on an edge.
pub const OVERFLOWED: u8 = 1 << 6;

/// [`Flow::flags`]: the identity was checked against the socket's own cgroup.
pub const VERIFIED: u8 = 1 << 7;

/// Where a TCP socket is in its life, as far as the programs have seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Bound, listening, or about to connect: an identity to be inherited.
    Identity = 0,
    /// Its SYN is on the way.
    Connecting = 1,
    /// Established, and counted as open.
    Open = 2,
    /// Ended.
    Ended = 3,
}

/// Who is at this end of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Own {
    /// The socket's cgroup; 0 where it is not known yet.
    pub cgroup: u64,
    /// The socket's network namespace; 0 where it could not be read.
    pub netns: u64,
    /// Name of the process that connected or bound.
    pub comm: Comm,
    /// As in [`EdgeKey`].
    pub name: u32,
    /// Process (thread group) that connected or bound.
    pub tgid: u32,
}

/// One flow as one of its ends knows it: all that its edge's key is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// Who is at this end.
    pub own: Own,
    /// Of a paired local peer; else 0.
    pub peer_cgroup: u64,
    /// Of a paired local peer; else 0.
    pub peer_netns: u64,
    /// As in [`EdgeKey`].
    pub remote: Address,
    /// As in [`EdgeKey`].
    pub reached: Address,
    /// This end's address.
    pub local: Address,
    /// Of a paired local peer; else 0.
    pub peer_name: u32,
    /// The server's port in host order.
    pub port: u16,
    /// As in [`EdgeKey`].
    pub asked_port: u16,
    /// As in [`EdgeKey`].
    pub reached_port: u16,
    /// [`super::edge::Role`]; 0 before it is known.
    pub role: u8,
    /// IP protocol number.
    pub transport: u8,
    /// As in [`EdgeKey`], of the edge it is counted on.
    pub protocol: u8,
    /// Likewise.
    pub stage: u8,
    /// Likewise.
    pub secret: u8,
    /// As in [`EdgeKey`], and [`OVERFLOWED`] and [`VERIFIED`], which no key has.
    pub flags: u8,
}

/// Storage of a TCP socket. Cloned from a listener to each socket it accepts.
///
/// Deltas are taken by sock_ops and egress only, which hold the socket's lock, so each is taken
/// once. Ingress runs without the lock: it writes `done_in`, `received`, what the peer said, `fin_in*` and
/// `reset_in`, which are fields of their own, and a listener's identity at its first packet. `connect`, `post_bind` and
/// `sock_release` write before there is a connection, or a byte of their own; only the end of a
/// connection that is older than the programs is counted by `sock_release`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct SocketState {
    /// What it carries.
    pub flow: Flow,
    /// Boot-time clock at connect, then at establishment.
    pub opened_ns: u64,
    /// Payload bytes already added to an edge; of a connection that joined late, since then.
    pub sent_bytes: u64,
    /// Payload bytes already added to an edge, likewise.
    pub received_bytes: u64,
    /// Of a connection that was joined late: the kernel's count of bytes acknowledged then. Of a
    /// server's end whose client was not established yet (TCP Fast Open, RFC 7413; both ends open,
    /// RFC 9293, section 3.5): where its [`Pair`] will lie. Else 0.
    pub joined_acked_or_pair: u64,
    /// The kernel's count of bytes received then; else 0.
    pub joined_received: u64,
    /// [`super::config::Config::epoch`] at the last addition.
    pub epoch: u32,
    /// Sequence number behind the peer's FIN.
    pub fin_in: u32,
    /// Sequence number behind our own FIN.
    pub fin_out: u32,
    /// [`Phase`].
    pub phase: u8,
    /// 1 once nothing that is said can change the reading any more.
    pub settled: u8,
    /// 1 once nothing more that is received is looked at.
    pub done_in: u8,
    /// 1 once nothing more that is sent is.
    pub done_out: u8,
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
    /// 1 once the application closed its last descriptor. Written without the socket's lock.
    pub orphaned: u8,
    /// 1 if this end sent the first SYN, or one of the two: the kernel counts it as acknowledged.
    pub syn_sent: u8,
    /// 1 of a listener that payload has reached, and of the sockets it accepted since: see
    /// [`Heard`].
    pub deferred: u8,
    /// What the client said, as in the lower half of [`Talk::to_word`](crate::wire::talk::Talk::to_word).
    pub client_said: u32,
    /// What the server said, as in the upper half.
    pub server_said: u32,
    /// The current message that is received.
    pub received: Message,
    /// The current message that is sent.
    pub sent: Message,
    /// What of a handshake goes to the agent, of what is received.
    pub tap_in: Tap,
    /// The same of what is sent.
    pub tap_out: Tap,
    /// Not 0 if the agent gets this connection's handshake: an epoch about when it was opened.
    pub chosen: u32,
    /// 1 if something was looked at since the connection was last classified.
    pub news: u32,
}

/// How far a handshake was sent on, of one direction.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Tap {
    /// Bytes of the current record that are still to come.
    pub left: u32,
    /// Bytes since the hello.
    pub offset: u32,
    /// Where in the segment at hand it stands.
    pub at: u32,
    /// Bytes of that segment that are still to come.
    pub rest: u32,
    /// What the segment brings: whether a message begins with it, or bytes went by unseen.
    pub sort: u32,
    /// Bytes that were sent on.
    pub sent: u16,
    /// Type of the current record.
    pub kind: u8,
    /// Records of application data.
    pub sealed: u8,
    /// 1 while there is more to send on.
    pub open: u8,
    /// Bytes of the hello that came in segments before the one in which it was recognised, and are
    /// to be sent on first.
    pub early: u8,
    /// Parts that were sent on.
    pub parts: u16,
}

/// The start of what reached a listening socket, for the socket that it accepts microseconds later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Heard {
    /// The first bytes, in their order in memory; where there are fewer, the last ones count.
    pub words: [u64; 4],
    /// How many there were in all.
    pub len: u32,
    /// Explicit padding.
    pub reserved: u32,
}

/// How many places there are for it.
pub const HEARD_SLOTS: u32 = 4096;

/// What a client leaves for the server's end on the same host to find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// One place where the hooks of one socket leave something for another. Several connections may share
/// a place, and nothing locks it, so whoever takes what is there makes sure that it is whole and for
/// its own connection.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Slot<T> {
    /// [`Seal::seal`] of what lies here and of the connection it is for.
    pub seal: u64,
    /// What lies here.
    pub left: T,
}

/// A place that says whose it is, so that what lies there can be moved.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Near {
    /// The connection it is for.
    pub connection: u64,
    /// What lies here.
    pub slot: Slot<Pair>,
}

/// How many places there are for the pairs left last: few, so that they stay in a processor's cache.
pub const NEAR_SLOTS: u32 = 256;

/// What can lie in a [`Slot`].
pub trait Seal: Copy {
    /// A checksum over it and the connection it is for. One that was torn by two writers, or is
    /// another connection's, has another: by chance once in 2^64.
    fn seal(&self, connection: u64) -> u64;
}

/// How many places there are for pairs. One is needed from the client's end of a handshake to the
/// server's, microseconds later.
pub const PAIR_SLOTS: u32 = 65_536;

const _: () = assert!(size_of::<Own>() == 40);
const _: () = assert!(size_of::<Flow>() == 120);
const _: () = assert!(size_of::<SocketState>() == 368);
const _: () = assert!(size_of::<Pair>() == 40);
const _: () = assert!(size_of::<Slot<Pair>>() == 48);
const _: () = assert!(size_of::<Slot<Heard>>() == 48);
const _: () = assert!(size_of::<Near>() == 56);

// === impl Flow ===

impl Flow {
    /// The key it is counted under in this generation.
    #[inline(always)]
    pub fn key(&self, generation: u16) -> EdgeKey {
        let mut key = EdgeKey::default();
        self.write_key(generation, &mut key);
        key
    }

    /// The same, made in place and field by field: the kernel half has little stack, and a whole
    /// key on its way from here to there would take most of it.
    #[inline(always)]
    pub fn write_key(&self, generation: u16, key: &mut EdgeKey) {
        // A folded flow keeps what bounds the number of edges. By a mask, because a branch that
        // clears a part of the key becomes a loop over its bytes.
        let keep = if self.flags & FOLDED == 0 { u64::MAX } else { 0 };
        key.cgroup = self.own.cgroup;
        key.netns = self.own.netns & keep;
        key.peer_cgroup = self.peer_cgroup & keep;
        key.peer_netns = self.peer_netns & keep;
        key.name = self.own.name & keep as u32;
        key.peer_name = self.peer_name & keep as u32;
        key.remote = masked(self.remote, keep);
        key.reached = masked(self.reached, keep);
        key.port = self.port & keep as u16;
        key.asked_port = self.asked_port & keep as u16;
        key.reached_port = self.reached_port & keep as u16;
        key.generation = generation;
        key.role = self.role;
        key.transport = self.transport;
        key.protocol = self.protocol;
        key.stage = self.stage;
        key.secret = self.secret;
        key.verdict = 0;
        key.flags = self.flags & !(OVERFLOWED | VERIFIED);
        key.reserved = 0;
    }

    /// Takes in what the client's end left.
    #[inline(always)]
    pub const fn pair(&mut self, pair: &Pair) {
        self.peer_cgroup = pair.cgroup;
        self.peer_netns = pair.netns;
        self.peer_name = pair.name;
        self.remote = pair.asked;
        self.asked_port = pair.asked_port;
    }

    /// What a client's end leaves for the server's.
    #[inline(always)]
    pub const fn as_peer(&self) -> Pair {
        Pair {
            cgroup: self.own.cgroup,
            netns: self.own.netns,
            asked: self.remote,
            name: self.own.name,
            asked_port: self.port,
            reserved: 0,
        }
    }
}

#[inline(always)]
const fn masked(address: Address, keep: u64) -> Address {
    let ([a, b, c, d], keep) = (address, keep as u32);
    [a & keep, b & keep, c & keep, d & keep]
}

// === impl Seal ===

impl Seal for Pair {
    #[inline(always)]
    fn seal(&self, connection: u64) -> u64 {
        let [a, b, c, d] = self.asked;
        let words = [
            self.cgroup,
            self.netns,
            u64::from(a) << 32 | u64::from(b),
            u64::from(c) << 32 | u64::from(d),
            u64::from(self.name) << 32
                | u64::from(self.asked_port) << 16
                | u64::from(self.reserved),
        ];
        seal(connection, &words)
    }
}

impl Seal for Heard {
    #[inline(always)]
    fn seal(&self, connection: u64) -> u64 {
        let [a, b, c, d] = self.words;
        seal(connection, &[a, b, c, d, u64::from(self.len)])
    }
}

#[inline(always)]
const fn seal(connection: u64, words: &[u64; 5]) -> u64 {
    let mut seal = connection;
    let mut at = 0;
    while at < words.len() {
        seal = (seal ^ words[at]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        seal ^= seal >> 29;
        at += 1;
    }
    seal | 1
}

// SAFETY: repr(C), only integers, no padding (the size assert above), any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for SocketState {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::edge::LATE;

    const PAIR: Pair =
        Pair { cgroup: 7, netns: 3, asked: [1, 2, 3, 4], name: 9, asked_port: 80, reserved: 0 };

    #[test]
    fn a_seal_tells_another_connection_and_a_torn_pair() {
        let seal = PAIR.seal(1 << 40);
        assert_ne!(seal, PAIR.seal(1 << 40 | 1));
        for torn in [
            Pair { cgroup: 8, ..PAIR },
            Pair { netns: 4, ..PAIR },
            Pair { asked: [1, 2, 3, 5], ..PAIR },
            Pair { asked: [2, 1, 3, 4], ..PAIR },
            Pair { name: 8, ..PAIR },
            Pair { asked_port: 81, ..PAIR },
        ] {
            assert_ne!(seal, torn.seal(1 << 40), "{torn:?}");
        }
        assert_ne!(Pair::default().seal(0), 0, "an empty place is nobody's");
    }

    #[test]
    fn a_folded_flow_has_the_folded_key() {
        let own = Own { cgroup: 7, netns: 1, name: 5, ..Own::default() };
        let flow = Flow { own, port: 80, role: 1, flags: VERIFIED, ..Flow::default() };
        let key = flow.key(3);
        assert_eq!((key.cgroup, key.name, key.port, key.generation), (7, 5, 80, 3));
        assert_eq!(key.flags, 0, "no key says what only the flow needs to know");
        let folded = Flow { flags: FOLDED | LATE, remote: [9; 4], reached: [9; 4], ..flow }.key(3);
        let expect = EdgeKey {
            cgroup: 7,
            generation: 3,
            role: 1,
            flags: FOLDED | LATE,
            ..EdgeKey::default()
        };
        assert_eq!(folded, expect);
    }
}
