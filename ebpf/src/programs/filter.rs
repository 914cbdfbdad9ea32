//! Which connections somebody wants to hear of.

use aya_ebpf::helpers::bpf_get_prandom_u32;
use plainsight_ebpf::abi::{
    Address,
    config::{FILTER_SLOTS, Filter, Traits},
    flow::Flow,
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

/// One bit for each filter in force that this connection fits.
#[inline(always)]
pub(super) fn wanted(flow: &Flow, remote: &Address, traits: &Traits, active: u32) -> u32 {
    any!(|slot| asked_for(slot, active, flow, remote, traits);
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
}

/// The slot's bit, if it is in force and fits. Its arguments are in registers: a structure of them
/// would put pointers on the stack, which the verifier then guards more than it need without
/// CAP_PERFMON.
#[inline(never)]
fn asked_for(slot: u32, active: u32, flow: &Flow, remote: &Address, traits: &Traits) -> u32 {
    if active & (1 << slot) == 0 {
        return 0;
    }
    match maps::filter(slot) {
        Some(filter) if fits(filter, flow, remote, traits) => filter.bit,
        _ => 0,
    }
}

#[inline(always)]
fn fits(filter: &Filter, flow: &Flow, remote: &Address, traits: &Traits) -> bool {
    (filter.port == 0 || filter.port == flow.port || filter.port == flow.asked_port)
        && (filter.names(flow.own.cgroup, flow.own.name)
            || filter.names(flow.peer_cgroup, flow.peer_name))
        && (filter.covers(&flow.local) || filter.covers(remote))
        && filter.suits(traits)
        && is_sampled(filter.sample)
}

#[inline(always)]
fn is_sampled(one_in: u32) -> bool {
    // SAFETY: the helper takes nothing.
    one_in <= 1 || unsafe { bpf_get_prandom_u32() } % one_in == 0
}
