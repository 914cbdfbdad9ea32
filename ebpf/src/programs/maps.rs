//! Every map, and the only places where their memory is reached.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::{
    bindings::{
        BPF_F_NO_PREALLOC, BPF_NOEXIST, BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE,
        BPF_SK_STORAGE_GET_F_CREATE, bpf_map_type,
    },
    btf_maps,
    helpers::{bpf_map_update_elem, bpf_sk_storage_get, bpf_spin_lock, bpf_spin_unlock},
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use plainsight_ebpf::abi::{
    config::{Config, FILTER_SLOTS, Filter},
    counters::Counter,
    datagram::{ConversationKey, DatagramState, Datagrams},
    edge::{EdgeCounters, EdgeKey, Quota, QuotaKey},
    flow::{Flow, HEARD_SLOTS, Heard, NEAR_SLOTS, Near, PAIR_SLOTS, Pair, Seal, Slot, SocketState},
};

use super::context::{AnySocket, Socket, zero};

/// Storage that lives and dies with a socket. The flags are part of the type because the kernel
/// reads a BTF map's attributes from array lengths.
#[repr(C)]
struct SocketStorage<T, const FLAGS: usize> {
    r#type: *const [i32; bpf_map_type::BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

/// BPF_F_NO_PREALLOC, which this map type demands.
const NO_PREALLOC: usize = 1;

/// BPF_F_NO_PREALLOC, which this map type demands, and BPF_F_CLONE, which hands a listener's
/// identity to each socket it accepts.
const NO_PREALLOC_AND_CLONE: usize = 1 | 512;

// SAFETY: the pointers are placeholders that the loader replaces; they are never followed.
unsafe impl<T, const FLAGS: usize> Sync for SocketStorage<T, FLAGS> {}

#[btf_map]
static SOCKETS: SocketStorage<SocketState, NO_PREALLOC_AND_CLONE> = SocketStorage::new();

/// Not cloned: each UDP socket has conversations of its own.
#[btf_map]
static DATAGRAMS: SocketStorage<DatagramState, NO_PREALLOC> = SocketStorage::new();

/// A plain hash: an LRU loses entries without an error.
#[map]
static EDGES: HashMap<EdgeKey, EdgeCounters> = HashMap::with_max_entries(131_072, 0);

/// What an edge starts with. It lies in a map because it is too large for the stack.
#[map]
static BLANK: Array<EdgeCounters> = Array::with_max_entries(1, 0);

/// What a conversation starts with, likewise.
#[map]
static BLANK_FLOW: Array<Flow> = Array::with_max_entries(1, 0);

/// How many edges each cgroup has in a generation.
#[btf_map]
static QUOTAS: btf_maps::HashMap<QuotaKey, Quota, 16_384> = btf_maps::HashMap::new();

/// Cgroups whose every process is the same workload, as far as the agent knows.
#[map]
static LEAVES: HashMap<u64, u64> = HashMap::with_max_entries(16_384, 0);

/// Where a client's identity waits for the server's end of a local connection to be established,
/// microseconds later. A plain array, because it is written for each connection: an entry is lost
/// when another comes to its place within that time, and then the two halves stay apart.
#[map]
static PAIRS: Array<Slot<Pair>> = Array::with_max_entries(PAIR_SLOTS, 0);

/// The pairs left last. PAIRS is too large for a processor's cache, and reaching into it took as long
/// as all else that is done for a pair. What is in the way here goes there.
#[map]
static NEAR: Array<Near> = Array::with_max_entries(NEAR_SLOTS, 0);

/// Where what reached a listening socket waits for the socket it accepts, likewise. Only such
/// listeners write here.
#[map]
static HEARD: Array<Slot<Heard>> = Array::with_max_entries(HEARD_SLOTS, 0);

/// Conversations of UDP sockets with many peers. An LRU, because nothing says that one is over:
/// which of its ends began it is forgotten last for those that go on.
#[map]
static CONVERSATIONS: LruHashMap<ConversationKey, Flow> = LruHashMap::with_max_entries(32_768, 0);

/// Connections that were there before the programs, by the socket's cookie. Memory is taken only
/// for those there are.
#[map]
static OLDER: HashMap<u64, SocketState> = HashMap::with_max_entries(131_072, BPF_F_NO_PREALLOC);

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);

#[map]
static FILTERS: Array<Filter> = Array::with_max_entries(FILTER_SLOTS as u32, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

// === impl SocketStorage ===

impl<T, const FLAGS: usize> SocketStorage<T, FLAGS> {
    const fn new() -> Self {
        Self {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
        }
    }

    #[inline(always)]
    fn get(&self, socket: *mut c_void) -> Option<&'static mut T> {
        self.call(socket, ptr::null_mut(), 0)
    }

    /// The same, made from `start` (zeros if null) if missing; a refusal is counted.
    #[inline(always)]
    fn get_or_new(&self, socket: Socket, start: *mut T) -> Option<&'static mut T> {
        let state = self.call(socket.as_ptr(), start, BPF_SK_STORAGE_GET_F_CREATE.into());
        if state.is_none() {
            count(Counter::StorageFull, 1);
        }
        state
    }

    #[inline(always)]
    fn call(&self, socket: *mut c_void, start: *mut T, flags: u64) -> Option<&'static mut T> {
        // SAFETY: the helper checks the socket and answers with storage of this map's value type,
        // or null. The value's type says which run may write which field.
        unsafe {
            bpf_sk_storage_get(ptr::from_ref(self).cast_mut().cast(), socket, start.cast(), flags)
                .cast::<T>()
                .as_mut()
        }
    }
}

/// What is remembered about this TCP socket.
#[inline(always)]
pub(super) fn socket(socket: Socket) -> Option<&'static mut SocketState> {
    SOCKETS.get(socket.as_ptr())
}

/// The same of a packet's socket; none if it is another sort.
#[inline(always)]
pub(super) fn any_socket(socket: AnySocket) -> Option<&'static mut SocketState> {
    SOCKETS.get(socket.as_ptr())
}

/// The same, made if missing.
#[inline(always)]
pub(super) fn socket_or_new(socket: Socket) -> Option<&'static mut SocketState> {
    SOCKETS.get_or_new(socket, ptr::null_mut())
}

/// The same, made as given.
#[inline(always)]
pub(super) fn socket_from(
    socket: Socket,
    start: &mut SocketState,
) -> Option<&'static mut SocketState> {
    SOCKETS.get_or_new(socket, start)
}

/// What is remembered about this UDP socket.
#[inline(always)]
pub(super) fn datagrams(socket: Socket) -> Option<&'static mut DatagramState> {
    DATAGRAMS.get(socket.as_ptr())
}

/// The same of a packet's socket; none if it is another sort.
#[inline(always)]
pub(super) fn any_datagrams(socket: AnySocket) -> Option<&'static mut DatagramState> {
    DATAGRAMS.get(socket.as_ptr())
}

/// The same, made if missing.
#[inline(always)]
pub(super) fn datagrams_or_new(socket: Socket) -> Option<&'static mut DatagramState> {
    DATAGRAMS.get_or_new(socket, ptr::null_mut())
}

/// What a UDP socket's first conversation carried since the last time. The lock makes sure that
/// nobody else takes the same.
#[inline(always)]
pub(super) fn uncounted(state: &mut DatagramState) -> Datagrams {
    let lock = ptr::from_mut(&mut state.lock).cast();
    // SAFETY: the lock lies in this map's value, where the verifier expects it, and nothing is
    // called while it is held.
    unsafe { bpf_spin_lock(lock) };
    let (totals, counted) = (state.totals, state.counted);
    state.counted = totals;
    // SAFETY: as above.
    unsafe { bpf_spin_unlock(lock) };
    Datagrams {
        sent_bytes: totals.sent_bytes - counted.sent_bytes,
        received_bytes: totals.received_bytes - counted.received_bytes,
        sent: totals.sent - counted.sent,
        received: totals.received - counted.received,
    }
}

/// A conversation of a socket with many peers.
#[inline(always)]
pub(super) fn conversation(key: &ConversationKey) -> Option<&'static mut Flow> {
    // SAFETY: an entry that is evicted while it is used is reused for another conversation; what
    // is read of it then is of that one, and counts stay on an edge that exists.
    CONVERSATIONS.get_ptr_mut(key).and_then(|flow| unsafe { flow.as_mut() })
}

/// Remembers one; a refusal is counted. It starts blank, and two CPUs that both begin it write the
/// same into it.
#[inline(always)]
pub(super) fn new_conversation(key: &ConversationKey) -> Option<&'static mut Flow> {
    let blank = BLANK_FLOW.get(0)?;
    if CONVERSATIONS.insert(key, blank, BPF_NOEXIST.into()).is_err_and(|error| error != EEXIST) {
        count(Counter::ConversationsRefused, 1);
    }
    conversation(key)
}

/// A connection that was there before the programs.
#[inline(always)]
pub(super) fn older(cookie: u64) -> Option<&'static mut SocketState> {
    // SAFETY: only the run that takes the connection over, and then the agent, delete it.
    OLDER.get_ptr_mut(cookie).and_then(|state| unsafe { state.as_mut() })
}

/// It is no longer waiting.
#[inline(always)]
pub(super) fn forget_older(cookie: u64) {
    let _gone = OLDER.remove(cookie);
}

/// Whether every process of this cgroup is the same workload.
#[inline(always)]
pub(super) fn is_leaf(cgroup: u64) -> bool {
    LEAVES.get_ptr(cgroup).is_some()
}

/// Forgets everything about a socket.
#[inline(always)]
pub(super) fn reset(state: &mut SocketState) {
    const WORDS: usize = size_of::<SocketState>() / size_of::<u64>();
    // SAFETY: the state is whole words of integers, for which zero is a value.
    let words = unsafe { &mut *ptr::from_mut(state).cast::<[u64; WORDS]>() };
    words.fill(zero());
}

/// The counters of an edge, if it has any.
#[inline(always)]
pub(super) fn edge(key: &EdgeKey) -> Option<&'static mut EdgeCounters> {
    // SAFETY: an edge is deleted only when its generation is over and no program can know it any
    // more, so the memory stays this edge's; its counters are changed by atomic additions only.
    EDGES.get_ptr_mut(key).and_then(|counters| unsafe { counters.as_mut() })
}

/// Makes an edge; `Err` is the kernel's error number, `-EEXIST` if another CPU was first.
#[inline(always)]
pub(super) fn new_edge(key: &EdgeKey) -> Result<(), i32> {
    let Some(blank) = BLANK.get_ptr(0) else { return Err(0) };
    // SAFETY: key and value are of the map's types and sizes; the helper copies both.
    let result = unsafe {
        bpf_map_update_elem(
            ptr::from_ref(&EDGES).cast_mut().cast(),
            ptr::from_ref(key).cast(),
            blank.cast(),
            BPF_NOEXIST.into(),
        )
    };
    if result == 0 { Ok(()) } else { Err(result as i32) }
}

/// Takes one of the edges that a cgroup may have in a generation. 0 if it `may_refuse` and none is
/// left.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn take_quota(cgroup: u64, generation: u64, may_refuse: u64) -> u64 {
    let most = match CONFIG.get(0).map_or(0, |config| config.quota) {
        0 => u32::MAX,
        quota if may_refuse != 0 => quota,
        _ => u32::MAX,
    };
    let Some(quota) = quota(&QuotaKey { cgroup, generation }) else { return 1 };
    let lock = ptr::from_mut(&mut quota.lock).cast();
    // SAFETY: the lock lies in this map's value, where the verifier expects it, and nothing is
    // called while it is held.
    unsafe { bpf_spin_lock(lock) };
    let is_left = quota.used < most;
    if is_left {
        quota.used += 1;
    }
    // SAFETY: as above.
    unsafe { bpf_spin_unlock(lock) };
    is_left.into()
}

/// Gives back what was taken for an edge that was not made. A function that the verifier checks
/// once has a result.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn return_quota(cgroup: u64, generation: u64) -> u64 {
    let Some(quota) = quota(&QuotaKey { cgroup, generation }) else { return 0 };
    let lock = ptr::from_mut(&mut quota.lock).cast();
    // SAFETY: as in `take_quota`.
    unsafe { bpf_spin_lock(lock) };
    // Taken while there was no room for the entry, it was not counted.
    quota.used -= u32::from(quota.used != 0);
    // SAFETY: as above.
    unsafe { bpf_spin_unlock(lock) };
    1
}

/// What a cgroup has; a refusal is counted.
#[inline(always)]
fn quota(key: &QuotaKey) -> Option<&'static mut Quota> {
    // SAFETY: deleted only when the generation is over, as the edges are.
    let find = || QUOTAS.get_ptr_mut(key).and_then(|quota| unsafe { quota.as_mut() });
    if let Some(quota) = find() {
        return Some(quota);
    }
    let none = Quota::default();
    // Another CPU may be first; then its entry is found.
    if QUOTAS.insert(key, none, BPF_NOEXIST.into()).is_err_and(|error| error != EEXIST) {
        count(Counter::QuotasFull, 1);
    }
    find()
}

/// Leaves a client's identity for the server's end.
#[inline(always)]
pub(super) fn leave_pair(id: u64, pair: &Pair) {
    let Some(near) = NEAR.get_ptr_mut(place::<NEAR_SLOTS>(id)) else { return };
    // SAFETY: a live element; what two runs may do to each other there, the seal shows.
    let near = unsafe { &mut *near };
    let (connection, Slot { seal, left }) = (near.connection, near.slot);
    // Somebody may still come for it. It is there before it is gone from here.
    if seal != 0 && seal == left.seal(connection) {
        leave::<_, PAIR_SLOTS>(&PAIRS, connection, &left);
    }
    near.connection = id;
    put(&mut near.slot, id, pair);
}

/// Takes what the client's end left, if there is one on this host.
#[inline(always)]
pub(super) fn take_pair(id: u64) -> Option<Pair> {
    // SAFETY: as in `leave_pair`.
    let near = unsafe { &mut *NEAR.get_ptr_mut(place::<NEAR_SLOTS>(id))? };
    if near.connection == id
        && let Some(pair) = get(&mut near.slot, id)
    {
        return Some(pair);
    }
    take::<_, PAIR_SLOTS>(&PAIRS, id)
}

/// Leaves what reached a listening socket for the one it accepts.
#[inline(always)]
pub(super) fn leave_heard(id: u64, heard: &Heard) {
    leave::<_, HEARD_SLOTS>(&HEARD, id, heard);
}

/// Takes it, if it is there.
#[inline(always)]
pub(super) fn take_heard(id: u64) -> Option<Heard> {
    take::<_, HEARD_SLOTS>(&HEARD, id)
}

#[inline(always)]
fn leave<T: Seal, const SLOTS: u32>(slots: &Array<Slot<T>>, id: u64, what: &T) {
    if let Some(slot) = slots.get_ptr_mut(place::<SLOTS>(id)) {
        // SAFETY: a live element; what two runs may do to each other there, the seal shows.
        put(unsafe { &mut *slot }, id, what);
    }
}

#[inline(always)]
fn take<T: Seal, const SLOTS: u32>(slots: &Array<Slot<T>>, id: u64) -> Option<T> {
    // SAFETY: as in `leave`.
    get(unsafe { &mut *slots.get_ptr_mut(place::<SLOTS>(id))? }, id)
}

#[inline(always)]
fn put<T: Seal>(slot: &mut Slot<T>, id: u64, what: &T) {
    slot.left = *what;
    slot.seal = what.seal(id);
}

#[inline(always)]
fn get<T: Seal>(slot: &mut Slot<T>, id: u64) -> Option<T> {
    let (seal, left) = (slot.seal, slot.left);
    if seal != left.seal(id) {
        return None;
    }
    slot.seal = 0;
    Some(left)
}

/// The place for a connection, of so many that are a power of two.
#[inline(always)]
const fn place<const SLOTS: u32>(id: u64) -> u32 {
    (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 & (SLOTS - 1)
}

/// What the agent counts its scans by.
#[inline(always)]
pub(super) fn epoch() -> u32 {
    CONFIG.get(0).map_or(0, |config| config.epoch)
}

/// One bit for each filter in force.
#[inline(always)]
pub(super) fn filters() -> u32 {
    CONFIG.get(0).map_or(0, |config| config.filters)
}

/// What edges are counted under now.
#[inline(always)]
pub(super) fn generation() -> u16 {
    CONFIG.get(0).map_or(0, |config| config.generation as u16)
}

/// Whether connections without a state are taken over.
#[inline(always)]
pub(super) fn adopts() -> bool {
    CONFIG.get(0).is_some_and(|config| config.adopts != 0)
}

/// One slot of the record filters.
#[inline(always)]
pub(super) fn filter(slot: u32) -> Option<&'static Filter> {
    FILTERS.get(slot)
}

/// Room in the ring for one event; `None` when it is full.
#[inline(always)]
pub(super) fn emit<T: 'static>(write: impl FnOnce(&mut MaybeUninit<T>), wake: bool) -> bool {
    let Some(mut room) = EVENTS.reserve::<T>(0) else { return false };
    write(&mut room);
    room.submit(if wake { 0 } else { BPF_RB_NO_WAKEUP.into() });
    true
}

/// The same without a wake-up, for what may be missed: it leaves half of the ring to the rest.
#[inline(always)]
pub(super) fn emit_if_idle<T: 'static>(write: impl FnOnce(&mut MaybeUninit<T>)) -> bool {
    let (waiting, size) = (BPF_RB_AVAIL_DATA.into(), BPF_RB_RING_SIZE.into());
    EVENTS.query(waiting) <= EVENTS.query(size) / 2 && emit(write, false)
}

/// An element is there already.
const EEXIST: i32 = -17;

/// Adds to a per-CPU total.
#[inline(always)]
pub(super) fn count(counter: Counter, amount: u64) {
    if let Some(total) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the pointer is to a live per-CPU slot.
        add(unsafe { &mut *total }, amount);
    }
}

/// Atomic addition: a softirq may interrupt the same counter's update on the same CPU.
#[inline(always)]
pub(super) fn add(total: &mut u64, amount: u64) {
    // SAFETY: the reference is valid for eight bytes; core has no atomics for this target.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({total} + 0) += {amount}",
            total = in(reg) ptr::from_mut(total),
            amount = in(reg) amount,
            options(nostack),
        );
    }
}

/// The same by one, for the 32 bits that stand at this offset in an edge.
#[inline(always)]
pub(super) fn increment<const OFFSET: usize>(edge: &mut EdgeCounters) {
    const { assert!(OFFSET + size_of::<u32>() <= size_of::<EdgeCounters>()) };
    // SAFETY: the offset lies inside the edge; core has no atomics for this target.
    unsafe {
        core::arch::asm!(
            "lock *(u32 *)({edge} + {offset}) += {amount}",
            edge = in(reg) ptr::from_mut(edge),
            offset = const OFFSET,
            amount = in(reg) 1_u64,
            options(nostack),
        );
    }
}
