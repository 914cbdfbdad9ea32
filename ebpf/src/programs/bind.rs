//! The start and the end of a socket's hold on a process.

use plainsight_ebpf::abi::flow::Phase;

use super::{context::Bind, identity, maps};

/// A process binds: if it comes to listen, its identity goes to every socket accepted.
#[inline(always)]
pub(super) fn bound(bind: &Bind) {
    if !bind.socket().is_tcp() {
        return;
    }
    let Some(state) = maps::socket_or_new(bind.socket()) else { return };
    maps::reset(state);
    identity::current(state, bind.netns());
}

/// The last descriptor is closed. The connection may live on without its application.
#[inline(always)]
pub(super) fn released(bind: &Bind) {
    if !bind.socket().is_tcp() {
        return;
    }
    if let Some(state) = maps::socket(bind.socket())
        && state.phase == Phase::Open as u8
    {
        state.orphaned = 1;
    }
}
