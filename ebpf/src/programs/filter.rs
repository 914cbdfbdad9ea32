//! Which connections somebody wants to hear of.

use plainsight_ebpf::abi::{
    Address,
    config::{FILTER_SLOTS, Filter},
    flow::SocketState,
};

use super::maps;

/// Calls for every slot, without a loop: without CAP_PERFMON the verifier also follows the branch
/// that a processor may take by mistake, and that one never leaves a loop.
macro_rules! any {
    ($fits:expr; $($slot:literal)*) => {{
        const _: () = assert!([$($slot),*].len() == FILTER_SLOTS);
        0 $(| $fits($slot))*
    }};
}

/// One bit for each filter in force that this connection fits. No filter, no work.
#[inline(always)]
pub(super) fn wanted(state: &SocketState, local: &Address, remote: &Address) -> u32 {
    let active = maps::config().filters;
    if active == 0 {
        return 0;
    }
    any!(|slot| asked_for(slot, active, state, local, remote);
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
}

/// The slot's bit, if it is in force and fits.
#[inline(never)]
fn asked_for(
    slot: u32,
    active: u32,
    state: &SocketState,
    local: &Address,
    remote: &Address,
) -> u32 {
    if active & (1 << slot) == 0 {
        return 0;
    }
    match maps::filter(slot) {
        Some(filter) if fits(filter, state, local, remote) => filter.bit,
        _ => 0,
    }
}

#[inline(always)]
fn fits(filter: &Filter, state: &SocketState, local: &Address, remote: &Address) -> bool {
    (filter.port == 0 || filter.port == state.port || filter.port == state.asked_port)
        && (filter.names(state.cgroup, state.name)
            || filter.names(state.peer_cgroup, state.peer_name))
        && (filter.covers(local) || filter.covers(remote))
}
