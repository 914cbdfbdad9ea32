//! Every map, and the only places where their memory is reached.

use core::{mem::MaybeUninit, ptr};

use aya_ebpf::{
    bindings::{BPF_NOEXIST, BPF_RB_NO_WAKEUP, BPF_SK_STORAGE_GET_F_CREATE, bpf_map_type},
    helpers::bpf_sk_storage_get,
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use plainsight_ebpf::abi::{
    config::{Config, FILTER_SLOTS, Filter},
    counters::Counter,
    edge::{EdgeCounters, EdgeKey},
    flow::{Pair, SocketState},
};

use super::context::{Socket, zero};

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

/// BPF_F_NO_PREALLOC, which this map type demands, and BPF_F_CLONE, which hands a listener's
/// identity to each socket it accepts.
const NO_PREALLOC_AND_CLONE: usize = 1 | 512;

// SAFETY: the pointers are placeholders that the loader replaces; they are never followed.
unsafe impl<T, const FLAGS: usize> Sync for SocketStorage<T, FLAGS> {}

#[btf_map]
static SOCKETS: SocketStorage<SocketState, NO_PREALLOC_AND_CLONE> = SocketStorage::new();

/// A plain hash: an LRU loses entries without an error.
#[map]
static EDGES: HashMap<EdgeKey, EdgeCounters> = HashMap::with_max_entries(131_072, 0);

/// An LRU, because an entry is needed only until the server's end of a local connection is
/// established, microseconds later; those of connections that leave the host just age.
#[map]
static PAIRS: LruHashMap<u64, Pair> = LruHashMap::with_max_entries(16_384, 0);

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
    fn get(&self, socket: Socket, flags: u64) -> Option<&'static mut T> {
        // SAFETY: the helper checks the socket and answers with storage of this map's value type,
        // or null. SocketState says which run may write which field.
        unsafe {
            bpf_sk_storage_get(
                ptr::from_ref(self).cast_mut().cast(),
                socket.as_ptr(),
                ptr::null_mut(),
                flags,
            )
            .cast::<T>()
            .as_mut()
        }
    }
}

/// What is remembered about this socket.
#[inline(always)]
pub(super) fn socket(socket: Socket) -> Option<&'static mut SocketState> {
    SOCKETS.get(socket, 0)
}

/// The same, made if missing; a refusal is counted.
#[inline(always)]
pub(super) fn socket_or_new(socket: Socket) -> Option<&'static mut SocketState> {
    let state = SOCKETS.get(socket, BPF_SK_STORAGE_GET_F_CREATE.into());
    if state.is_none() {
        count(Counter::StorageFull, 1);
    }
    state
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
    // SAFETY: elements are never deleted while programs are attached, so the memory stays this
    // edge's; its counters are changed by atomic additions only.
    EDGES.get_ptr_mut(key).and_then(|counters| unsafe { counters.as_mut() })
}

/// Makes an edge; `Err` is the kernel's error number, `-EEXIST` if another CPU was first.
#[inline(always)]
pub(super) fn new_edge(key: &EdgeKey, counters: &EdgeCounters) -> Result<(), i32> {
    EDGES.insert(key, counters, BPF_NOEXIST.into())
}

/// Leaves a client's identity for the server's end.
#[inline(always)]
pub(super) fn leave_pair(id: u64, pair: &Pair) {
    // A refused update costs a joined edge, never a count, and shows in Counter::Paired.
    let _refused = PAIRS.insert(id, pair, 0);
}

/// Takes what the client's end left, if there is one on this host.
#[inline(always)]
pub(super) fn take_pair(id: u64) -> Option<Pair> {
    // SAFETY: the value is copied at once. An entry that an eviction reuses meanwhile would be
    // torn only if 16,384 handshakes ran between the two loads.
    let pair = unsafe { PAIRS.get(id) }.copied()?;
    let _gone = PAIRS.remove(id);
    Some(pair)
}

/// What the agent says at the moment.
#[inline(always)]
pub(super) fn config() -> Config {
    CONFIG.get(0).copied().unwrap_or_default()
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
