//! What each hook is given, behind names of our own.
//!
//! Context fields are loaded with their offset fixed in the instruction: the compiler otherwise
//! forms `pointer + offset` first, which the verifier refuses for contexts and sockets.

use core::{
    ffi::c_void,
    mem::{MaybeUninit, offset_of},
};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, bpf_sock, bpf_sock_addr, bpf_sock_ops, bpf_tcp_sock},
    helpers::{
        bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_ktime_get_boot_ns, bpf_sk_cgroup_id,
        bpf_sk_fullsock, bpf_skb_load_bytes, bpf_sock_ops_cb_flags_set, bpf_tcp_sock,
    },
    programs::{SkBuffContext, SockAddrContext, SockContext, SockOpsContext},
};
use plainsight_ebpf::{
    abi::{Address, Comm, mapped},
    wire::{
        head::HEAD_LEN,
        ip,
        message::down,
        tcp::{HEADER_LEN, Segment},
    },
};

const AF_INET: u32 = 2;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
/// TCP_LISTEN of the kernel's socket states.
const LISTEN: u32 = 10;
/// TCP_ESTABLISHED and TCP_CLOSE_WAIT as bits: states in which this end has not sent its FIN.
const SENDING: u32 = 1 << 1 | 1 << 8;

/// Loads a 32-bit field, or the word of that index of a field that is an array.
macro_rules! field32 {
    ($at:expr, $of:ty, $($field:ident).+) => {
        field32!($at, $of, $($field).+, word 0)
    };
    ($at:expr, $of:ty, $($field:ident).+, word $word:literal) => {{
        let value: u64;
        // SAFETY: the pointer is the hook's own, and the verifier checks type and offset.
        unsafe {
            core::arch::asm!(
                "{value} = *(u32 *)({at} + {offset})",
                value = out(reg) value,
                at = in(reg) $at,
                offset = const offset_of!($of, $($field).+) + $word * size_of::<u32>(),
                options(nostack, readonly),
            );
        }
        value as u32
    }};
}

/// Loads a 16-bit field.
macro_rules! field16 {
    ($at:expr, $of:ty, $($field:tt)+) => {{
        let value: u64;
        // SAFETY: the pointer is the hook's own, and the verifier checks type and offset.
        unsafe {
            core::arch::asm!(
                "{value} = *(u16 *)({at} + {offset})",
                value = out(reg) value,
                at = in(reg) $at,
                offset = const offset_of!($of, $($field)+),
                options(nostack, readonly),
            );
        }
        value as u16
    }};
}

/// Loads a 64-bit field.
macro_rules! field64 {
    ($at:expr, $of:ty, $($field:tt)+) => {{
        let value: u64;
        // SAFETY: the pointer is the hook's own, and the verifier checks type and offset.
        unsafe {
            core::arch::asm!(
                "{value} = *(u64 *)({at} + {offset})",
                value = out(reg) value,
                at = in(reg) $at,
                offset = const offset_of!($of, $($field)+),
                options(nostack, readonly),
            );
        }
        value
    }};
}

/// Loads an address of four words, one by one.
macro_rules! field_address {
    ($at:expr, $of:ty, $field:ident) => {
        [
            field32!($at, $of, $field, word 0),
            field32!($at, $of, $field, word 1),
            field32!($at, $of, $field, word 2),
            field32!($at, $of, $field, word 3),
        ]
    };
}

/// One UDP datagram, or several to the same peer that travel as one packet, as one of its ends sees
/// it.
pub(super) struct Datagram {
    pub(super) local: Address,
    pub(super) peer: Address,
    pub(super) bytes: u64,
    pub(super) count: u64,
    pub(super) local_port: u16,
    pub(super) peer_port: u16,
    pub(super) is_sent: bool,
    /// Offset of the payload from the start of the packet.
    pub(super) payload_at: u32,
}

/// The same over IPv4 without options, as far as one of a conversation that has begun is looked at.
pub(super) struct BriefDatagram {
    pub(super) bytes: u64,
    pub(super) count: u64,
    /// In network order.
    pub(super) peer: u32,
    pub(super) peer_port: u16,
}

/// A socket the kernel vouches for.
#[derive(Clone, Copy)]
pub(super) struct Socket(*mut bpf_sock);

/// A packet's socket, which may be one that only stands for a connection to come or one that is
/// over. Those have no storage, so where there is some it is a socket in full; asking the kernel
/// for that costs as much as all else that a usual packet needs.
#[derive(Clone, Copy)]
pub(super) struct AnySocket(*mut bpf_sock);

/// `connect4`, `connect6`, `sendmsg4` and `sendmsg6`, and the address they are called for, which each
/// may read only in its own form.
pub(super) struct Connect {
    ctx: *mut bpf_sock_addr,
    pub(super) asked: Address,
}

/// `post_bind4`, `post_bind6` and `sock_release`, whose context is the socket.
pub(super) struct Bind(*mut bpf_sock);

/// `sock_ops`.
pub(super) struct Ops(*mut bpf_sock_ops);

/// `cgroup_skb`: the packet from its IP header on.
pub(super) struct Packet(*mut __sk_buff);

/// How far a TCP connection has come, at the time of a call that holds its lock.
pub(super) struct Progress {
    /// Bytes the other end acknowledged, SYN and FIN among them.
    pub(super) acked: u64,
    /// Bytes received in order, FIN among them.
    pub(super) received: u64,
    /// First sequence number not acknowledged.
    pub(super) snd_una: u32,
    /// Next sequence number expected.
    pub(super) rcv_nxt: u32,
    /// Smoothed round-trip time in eighths of a microsecond; 0 where none was measured.
    pub(super) srtt: u32,
}

/// A TCP socket's own numbers.
pub(super) struct Tcp(*mut bpf_tcp_sock);

/// Boot-time clock: it goes on through suspend, and no one can set it.
#[inline(always)]
pub(super) fn now_ns() -> u64 {
    // SAFETY: the helper takes nothing and is allowed in every hook used here.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// A zero the compiler does not know to be one. Runs of plain zeros become calls of a `memset`
/// that goes byte by byte, which costs more than everything around it.
#[inline(always)]
pub(super) fn zero() -> u64 {
    let zero: u64;
    // SAFETY: sets a register.
    unsafe { core::arch::asm!("{zero} = 0", zero = out(reg) zero, options(nostack, nomem, pure)) };
    zero
}

/// The same value, which the compiler must have loaded by now. Otherwise it may choose between two
/// addresses and load once, and without CAP_PERFMON the verifier refuses such an address.
#[inline(always)]
pub(super) fn loaded(value: u8) -> u8 {
    let mut value = u64::from(value);
    // SAFETY: changes nothing in a register that holds a byte.
    unsafe {
        core::arch::asm!("{value} &= 255", value = inout(reg) value, options(nostack, nomem))
    };
    value as u8
}

/// Keeps what was done before it from being joined with what another branch does: the compiler
/// may otherwise choose between two addresses and store once, which the verifier refuses, too.
#[inline(always)]
pub(super) fn apart() {
    // SAFETY: an empty instruction sequence.
    unsafe { core::arch::asm!("", options(nostack)) };
}

/// Makes these arguments needed. The compiler otherwise passes nothing for one that is not, and the
/// verifier refuses a call without all arguments.
#[inline(always)]
pub(super) fn needed([a, b, c, d, e]: [u64; 5]) {
    // SAFETY: sets a register to what it holds.
    unsafe {
        core::arch::asm!(
            "{a} = {a} // {b} {c} {d} {e}",
            a = in(reg) a,
            b = in(reg) b,
            c = in(reg) c,
            d = in(reg) d,
            e = in(reg) e,
            options(nostack),
        );
    }
}

/// A process name of zeros.
#[inline(always)]
pub(super) fn no_comm() -> Comm {
    zeros()
}

/// No address.
#[inline(always)]
pub(super) fn no_address() -> Address {
    // SAFETY: two words are four half words.
    unsafe { core::mem::transmute::<[u64; 2], Address>([zero(), zero()]) }
}

#[inline(always)]
fn zeros() -> [u8; 16] {
    // SAFETY: two words are sixteen bytes. As words they are aligned and stored as such.
    unsafe { core::mem::transmute::<[u64; 2], [u8; 16]>([zero(), zero()]) }
}

// === impl Socket ===

impl Socket {
    #[inline(always)]
    fn from_ptr(sk: *mut bpf_sock) -> Option<Self> {
        if sk.is_null() { None } else { Some(Self(sk)) }
    }

    #[inline(always)]
    pub(super) fn as_ptr(self) -> *mut c_void {
        self.0.cast()
    }

    /// Raw sockets share TCP's protocol number (the kernel's own reset socket is one), so the
    /// type is asked first.
    #[inline(always)]
    pub(super) fn is_tcp(self) -> bool {
        field32!(self.0, bpf_sock, type_) == SOCK_STREAM
            && field32!(self.0, bpf_sock, protocol) == u32::from(ip::TCP)
    }

    #[inline(always)]
    pub(super) fn is_udp(self) -> bool {
        field32!(self.0, bpf_sock, type_) == SOCK_DGRAM
            && field32!(self.0, bpf_sock, protocol) == u32::from(ip::UDP)
    }

    #[inline(always)]
    pub(super) fn is_listening(self) -> bool {
        field32!(self.0, bpf_sock, state) == LISTEN
    }

    /// Whether this end may still send payload: the usual state of an open connection.
    #[inline(always)]
    pub(super) fn is_carrying(self) -> bool {
        AnySocket(self.0).is_carrying()
    }

    #[inline(always)]
    fn is_v4(self) -> bool {
        field32!(self.0, bpf_sock, family) == AF_INET
    }

    #[inline(always)]
    pub(super) fn local(self) -> Address {
        if self.is_v4() {
            mapped(field32!(self.0, bpf_sock, src_ip4))
        } else {
            field_address!(self.0, bpf_sock, src_ip6)
        }
    }

    #[inline(always)]
    pub(super) fn remote(self) -> Address {
        if self.is_v4() {
            mapped(field32!(self.0, bpf_sock, dst_ip4))
        } else {
            field_address!(self.0, bpf_sock, dst_ip6)
        }
    }

    /// The kernel gives it in host order.
    #[inline(always)]
    pub(super) fn local_port(self) -> u16 {
        field32!(self.0, bpf_sock, src_port) as u16
    }

    /// The kernel gives it in network order, as the first two bytes of its word.
    #[inline(always)]
    pub(super) fn remote_port(self) -> u16 {
        u16::from_be(field16!(self.0, bpf_sock, dst_port))
    }

    #[inline(always)]
    pub(super) fn cgroup(self) -> u64 {
        // SAFETY: a full socket, in the hook that has this helper (cgroup_skb).
        unsafe { bpf_sk_cgroup_id(self.0.cast()) }
    }

    #[inline(always)]
    pub(super) fn tcp(self) -> Option<Tcp> {
        AnySocket(self.0).tcp()
    }
}

// === impl AnySocket ===

impl AnySocket {
    #[inline(always)]
    pub(super) fn as_ptr(self) -> *mut c_void {
        self.0.cast()
    }

    /// Whether this end may still send payload: the usual state of an open connection.
    #[inline(always)]
    pub(super) fn is_carrying(self) -> bool {
        SENDING & (1 << (field32!(self.0, bpf_sock, state) & 31)) != 0
    }

    #[inline(always)]
    pub(super) fn tcp(self) -> Option<Tcp> {
        // SAFETY: a socket the kernel gave; the helper answers null if it is not a full one of TCP.
        let tcp = unsafe { bpf_tcp_sock(self.0) };
        if tcp.is_null() { None } else { Some(Tcp(tcp)) }
    }
}

// === impl Tcp ===

impl Tcp {
    #[inline(always)]
    pub(super) fn progress(&self) -> Progress {
        Progress {
            acked: field64!(self.0, bpf_tcp_sock, bytes_acked),
            received: field64!(self.0, bpf_tcp_sock, bytes_received),
            snd_una: field32!(self.0, bpf_tcp_sock, snd_una),
            rcv_nxt: field32!(self.0, bpf_tcp_sock, rcv_nxt),
            srtt: field32!(self.0, bpf_tcp_sock, srtt_us),
        }
    }

    #[inline(always)]
    pub(super) fn rcv_nxt(&self) -> u32 {
        field32!(self.0, bpf_tcp_sock, rcv_nxt)
    }

    #[inline(always)]
    pub(super) fn snd_nxt(&self) -> u32 {
        field32!(self.0, bpf_tcp_sock, snd_nxt)
    }
}

// === impl Connect ===

impl Connect {
    #[inline(always)]
    pub(super) fn v4(ctx: &SockAddrContext) -> Self {
        let ctx = ctx.sock_addr;
        Self { ctx, asked: mapped(field32!(ctx, bpf_sock_addr, user_ip4)) }
    }

    #[inline(always)]
    pub(super) fn v6(ctx: &SockAddrContext) -> Self {
        let ctx = ctx.sock_addr;
        Self { ctx, asked: field_address!(ctx, bpf_sock_addr, user_ip6) }
    }

    #[inline(always)]
    pub(super) fn socket(&self) -> Option<Socket> {
        let sk = field64!(self.ctx, bpf_sock_addr, __bindgen_anon_1);
        Socket::from_ptr(sk as *mut bpf_sock)
    }

    #[inline(always)]
    pub(super) fn is_tcp(&self) -> bool {
        field32!(self.ctx, bpf_sock_addr, type_) == SOCK_STREAM
            && field32!(self.ctx, bpf_sock_addr, protocol) == u32::from(ip::TCP)
    }

    #[inline(always)]
    pub(super) fn is_udp(&self) -> bool {
        field32!(self.ctx, bpf_sock_addr, type_) == SOCK_DGRAM
            && field32!(self.ctx, bpf_sock_addr, protocol) == u32::from(ip::UDP)
    }

    #[inline(always)]
    pub(super) fn netns(&self) -> u64 {
        // SAFETY: the hook's own context.
        unsafe { bpf_get_netns_cookie(self.ctx.cast()) }
    }

    /// The context holds it in network order.
    #[inline(always)]
    pub(super) fn asked_port(&self) -> u16 {
        u16::from_be(field32!(self.ctx, bpf_sock_addr, user_port) as u16)
    }
}

// === impl Bind ===

impl Bind {
    #[inline(always)]
    pub(super) fn new(ctx: &SockContext) -> Self {
        Self(ctx.sock)
    }

    #[inline(always)]
    pub(super) fn socket(&self) -> Socket {
        Socket(self.0)
    }

    #[inline(always)]
    pub(super) fn netns(&self) -> u64 {
        // SAFETY: the hook's own context.
        unsafe { bpf_get_netns_cookie(self.0.cast()) }
    }

    #[inline(always)]
    pub(super) fn cookie(&self) -> u64 {
        // SAFETY: the hook's own context.
        unsafe { bpf_get_socket_cookie(self.0.cast()) }
    }
}

// === impl Ops ===

impl Ops {
    #[inline(always)]
    pub(super) fn new(ctx: &SockOpsContext) -> Self {
        Self(ctx.ops)
    }

    #[inline(always)]
    pub(super) fn op(&self) -> u32 {
        field32!(self.0, bpf_sock_ops, op)
    }

    /// Old and new state of a state callback.
    #[inline(always)]
    pub(super) fn states(&self) -> (u32, u32) {
        (
            field32!(self.0, bpf_sock_ops, __bindgen_anon_1.args, word 0),
            field32!(self.0, bpf_sock_ops, __bindgen_anon_1.args, word 1),
        )
    }

    #[inline(always)]
    pub(super) fn socket(&self) -> Option<Socket> {
        let sk = field64!(self.0, bpf_sock_ops, __bindgen_anon_2);
        Socket::from_ptr(sk as *mut bpf_sock)
    }

    /// Asks for this socket's state callbacks, and keeps what other programs asked for.
    #[inline(always)]
    pub(super) fn request_callbacks(&self, flag: u32) -> bool {
        let flags = field32!(self.0, bpf_sock_ops, bpf_sock_ops_cb_flags) | flag;
        // SAFETY: the hook's own context.
        unsafe { bpf_sock_ops_cb_flags_set(self.0, flags as i32) == 0 }
    }

    #[inline(always)]
    pub(super) fn cookie(&self) -> u64 {
        // SAFETY: the hook's own context.
        unsafe { bpf_get_socket_cookie(self.0.cast()) }
    }

    #[inline(always)]
    fn is_v4(&self) -> bool {
        field32!(self.0, bpf_sock_ops, family) == AF_INET
    }

    #[inline(always)]
    pub(super) fn remote(&self) -> Address {
        if self.is_v4() {
            mapped(field32!(self.0, bpf_sock_ops, remote_ip4))
        } else {
            field_address!(self.0, bpf_sock_ops, remote_ip6)
        }
    }

    #[inline(always)]
    pub(super) fn local(&self) -> Address {
        if self.is_v4() {
            mapped(field32!(self.0, bpf_sock_ops, local_ip4))
        } else {
            field_address!(self.0, bpf_sock_ops, local_ip6)
        }
    }

    /// The context holds it in network order, in the upper half of the word.
    #[inline(always)]
    pub(super) fn remote_port(&self) -> u16 {
        u32::from_be(field32!(self.0, bpf_sock_ops, remote_port)) as u16
    }

    /// The context holds it in host order.
    #[inline(always)]
    pub(super) fn local_port(&self) -> u16 {
        field32!(self.0, bpf_sock_ops, local_port) as u16
    }

    #[inline(always)]
    pub(super) fn snd_nxt(&self) -> u32 {
        field32!(self.0, bpf_sock_ops, snd_nxt)
    }

    #[inline(always)]
    pub(super) fn progress(&self) -> Progress {
        Progress {
            acked: field64!(self.0, bpf_sock_ops, bytes_acked),
            received: field64!(self.0, bpf_sock_ops, bytes_received),
            snd_una: field32!(self.0, bpf_sock_ops, snd_una),
            rcv_nxt: field32!(self.0, bpf_sock_ops, rcv_nxt),
            srtt: field32!(self.0, bpf_sock_ops, srtt_us),
        }
    }

    /// Retransmissions in the connection's life.
    #[inline(always)]
    pub(super) fn retransmissions(&self) -> u32 {
        field32!(self.0, bpf_sock_ops, total_retrans)
    }

    /// Segments retransmitted and not acknowledged now.
    #[inline(always)]
    pub(super) fn retransmitting(&self) -> u32 {
        field32!(self.0, bpf_sock_ops, retrans_out)
    }
}

// === impl Packet ===

impl Packet {
    #[inline(always)]
    pub(super) fn new(ctx: &SkBuffContext) -> Self {
        Self(ctx.as_ptr().cast())
    }

    /// The socket this packet leaves from or is bound for, whatever it is.
    #[inline(always)]
    pub(super) fn any_socket(&self) -> Option<AnySocket> {
        let sk = field64!(self.0, __sk_buff, __bindgen_anon_2) as *mut bpf_sock;
        if sk.is_null() { None } else { Some(AnySocket(sk)) }
    }

    /// The full socket this packet leaves from or is bound for.
    #[inline(always)]
    pub(super) fn socket(&self) -> Option<Socket> {
        let sk = field64!(self.0, __sk_buff, __bindgen_anon_2) as *mut bpf_sock;
        if sk.is_null() {
            return None;
        }
        // SAFETY: a socket the kernel gave; the helper answers null for request and time-wait
        // sockets, which have no storage.
        Socket::from_ptr(unsafe { bpf_sk_fullsock(sk) })
    }

    #[inline(always)]
    pub(super) fn cookie(&self) -> u64 {
        // SAFETY: the hook's own context.
        unsafe { bpf_get_socket_cookie(self.0.cast()) }
    }

    #[inline(always)]
    pub(super) fn len(&self) -> u32 {
        field32!(self.0, __sk_buff, len)
    }

    /// The first `N` bytes, read in place, if they lie in the packet's linear part.
    #[inline(always)]
    fn start<const N: usize>(&self) -> Option<&[u8; N]> {
        // SAFETY: both are fields of a live context, and the comparison below is the one the
        // verifier demands before it lets the bytes be read.
        unsafe {
            let start = (*self.0).data as usize;
            let end = (*self.0).data_end as usize;
            if start + N > end { None } else { Some(&*(start as *const [u8; N])) }
        }
    }

    /// A TCP segment's header. This is the hot path: the two usual headers are read in place, at
    /// fixed offsets, because without CAP_PERFMON the verifier refuses any other.
    #[inline(always)]
    pub(super) fn segment(&self) -> Option<Segment> {
        const V4: u32 = ip::V4_MIN_LEN;
        const V6: u32 = ip::V6_LEN;
        let v4 = self.start::<{ V4 as usize + HEADER_LEN }>()?;
        let is_tcp = v4[ip::V4_PROTOCOL_AT] == ip::TCP;
        if v4[0] == ip::V4_WITHOUT_OPTIONS && is_tcp {
            return Segment::read(v4.last_chunk()?, V4, self.len());
        }
        if ip::is_v6(v4[0]) && v4[6] == ip::TCP {
            let v6 = self.start::<{ V6 as usize + HEADER_LEN }>()?;
            return Segment::read(v6.last_chunk()?, V6, self.len());
        }
        // Not the socket's own protocol: IPsec puts its header between (RFC 4303).
        let at = if is_tcp { ip::v4_len(v4[0])? } else { return None };
        let mut header: [u8; HEADER_LEN] = *zeros().first_chunk()?;
        if self.load(at, &mut header) { Segment::read(&header, at, self.len()) } else { None }
    }

    /// Where a TCP segment goes, by its header: after address translation.
    #[inline(always)]
    pub(super) fn destination(&self) -> Option<(Address, u16)> {
        let v4 = self.start::<{ ip::V4_MIN_LEN as usize + ip::PORTS_LEN }>()?;
        if v4[0] == ip::V4_WITHOUT_OPTIONS {
            return Some((ip::v4_destination(v4), ip::destination_port(v4.last_chunk()?)));
        }
        let v6 = self.start::<{ ip::V6_LEN as usize + ip::PORTS_LEN }>()?;
        if ip::is_v6(v6[0]) {
            return Some((ip::v6_destination(v6), ip::destination_port(v6.last_chunk()?)));
        }
        None
    }

    /// Whether the header says UDP. What the socket is, its state shows.
    #[inline(always)]
    pub(super) fn is_udp(&self) -> bool {
        let Some(header) = self.start::<{ ip::V4_MIN_LEN as usize }>() else { return false };
        let (v4, v6) = (loaded(header[ip::V4_PROTOCOL_AT]), loaded(header[ip::V6_NEXT_AT]));
        ip::UDP == if ip::is_v6(header[0]) { v6 } else { v4 }
    }

    /// A UDP datagram over IPv4 without options. This is the hot path.
    #[inline(always)]
    pub(super) fn brief_datagram(&self, is_sent: bool) -> Option<BriefDatagram> {
        const AT: u32 = ip::V4_MIN_LEN + ip::UDP_LEN;
        let header = self.start::<{ AT as usize }>()?;
        if header[0] != ip::V4_WITHOUT_OPTIONS || header[ip::V4_PROTOCOL_AT] != ip::UDP {
            return None;
        }
        let [.., s0, s1, d0, d1, _, _, _, _] = *header;
        let segments = u64::from(field32!(self.0, __sk_buff, gso_segs));
        Some(BriefDatagram {
            bytes: self.len().checked_sub(AT)?.into(),
            count: if segments == 0 { 1 } else { segments },
            peer: if is_sent { ip::v4_to(header) } else { ip::v4_from(header) },
            peer_port: u16::from_be_bytes(if is_sent { [d0, d1] } else { [s0, s1] }),
        })
    }

    /// A UDP datagram's header. It is seen whole here, before it is fragmented and after it is put
    /// together. One behind IP options is not read, because that would need a variable offset.
    #[inline(never)]
    pub(super) fn datagram(&self, is_sent: bool, into: &mut MaybeUninit<Datagram>) -> bool {
        const V4: u32 = ip::V4_MIN_LEN + ip::UDP_LEN;
        const V6: u32 = ip::V6_LEN + ip::UDP_LEN;
        let Some(v4) = self.start::<{ V4 as usize }>() else { return false };
        if v4[0] == ip::V4_WITHOUT_OPTIONS && v4[ip::V4_PROTOCOL_AT] == ip::UDP {
            let ends = [ip::v4_source(v4), ip::v4_destination(v4)];
            return self.read(V4, ends, v4.last_chunk(), is_sent, into);
        }
        let Some(v6) = self.start::<{ V6 as usize }>() else { return false };
        if ip::is_v6(v6[0]) && v6[ip::V6_NEXT_AT] == ip::UDP {
            let ends = [ip::v6_source(v6), ip::v6_destination(v6)];
            return self.read(V6, ends, v6.last_chunk(), is_sent, into);
        }
        false
    }

    #[inline(always)]
    fn read(
        &self,
        payload_at: u32,
        [source, destination]: [Address; 2],
        header: Option<&[u8; ip::UDP_LEN as usize]>,
        is_sent: bool,
        into: &mut MaybeUninit<Datagram>,
    ) -> bool {
        let Some([s0, s1, d0, d1, ..]) = header else { return false };
        let Some(bytes) = self.len().checked_sub(payload_at) else { return false };
        // Segmentation offload: one header stands for so many datagrams (udp(7), UDP_SEGMENT).
        let segments = u64::from(field32!(self.0, __sk_buff, gso_segs));
        let from = u16::from_be_bytes([*s0, *s1]);
        let to = u16::from_be_bytes([*d0, *d1]);
        into.write(Datagram {
            local: if is_sent { source } else { destination },
            peer: if is_sent { destination } else { source },
            bytes: bytes.into(),
            count: if segments == 0 { 1 } else { segments },
            local_port: if is_sent { from } else { to },
            peer_port: if is_sent { to } else { from },
            is_sent,
            payload_at,
        });
        true
    }

    /// The start of a datagram with zeros behind it. One of less than four bytes has none: there are
    /// no 32 bytes before its end.
    #[inline(always)]
    pub(super) fn datagram_start(&self, datagram: &Datagram) -> [u64; HEAD_LEN / 8] {
        let len = datagram.bytes as u32;
        let seen = if len < HEAD_LEN as u32 { len } else { HEAD_LEN as u32 };
        match self.words_before(datagram.payload_at + seen) {
            Some(words) if seen != 0 => down(words, HEAD_LEN as u32 - seen),
            _ => [zero(), zero(), zero(), zero()],
        }
    }

    /// A TLS record's header.
    #[inline(always)]
    pub(super) fn record_header(&self, at: u32) -> Option<[u8; 5]> {
        let mut header = [0_u8; 8];
        let five = header.first_chunk_mut::<5>()?;
        if self.load(at, five) { Some(*five) } else { None }
    }

    /// Loads so many bytes, at least one and no more than there is room for.
    #[inline(always)]
    pub(super) fn load_into<const N: usize>(
        &self,
        at: u32,
        into: &mut [u8; N],
        bytes: u32,
    ) -> bool {
        const { assert!(N.is_power_of_two()) };
        let (to, last) = (into.as_mut_ptr(), u64::from(bytes).wrapping_sub(1));
        // SAFETY: the helper writes no more than N bytes, or fails.
        unsafe {
            let len: u64;
            // By a mask right before the call, so that the verifier knows its bounds.
            core::arch::asm!(
                "{len} &= {mask}",
                "{len} += 1",
                len = inout(reg) last => len,
                mask = const N as i32 - 1,
                options(nostack, nomem),
            );
            bpf_skb_load_bytes(self.0.cast(), at, to.cast(), len as u32) == 0
        }
    }

    /// The 32 bytes that stand before this offset: always there behind an IP and a TCP header. A
    /// fixed number, because the verifier of 5.10 does not follow a variable one through this
    /// compiler's output.
    #[inline(always)]
    pub(super) fn words_before(&self, end: u32) -> Option<[u64; HEAD_LEN / 8]> {
        let mut window = [zero(), zero(), zero(), zero()];
        // SAFETY: four words are 32 bytes; the helper writes all of them, or fails.
        let failed = unsafe {
            bpf_skb_load_bytes(
                self.0.cast(),
                end.wrapping_sub(HEAD_LEN as u32),
                window.as_mut_ptr().cast(),
                HEAD_LEN as u32,
            )
        };
        if failed == 0 { Some(window) } else { None }
    }

    #[inline(always)]
    fn load<const N: usize>(&self, at: u32, into: &mut [u8; N]) -> bool {
        // SAFETY: the helper writes exactly N bytes, or fails.
        unsafe { bpf_skb_load_bytes(self.0.cast(), at, into.as_mut_ptr().cast(), N as u32) == 0 }
    }
}
