//! The start and the end of a socket's hold on a process.

use plainsight_ebpf::{abi::flow::Phase, wire::ip};

use super::{context::Bind, datagram, identity, late, maps};

/// A process binds: if it comes to listen, its identity goes to every socket accepted.
#[inline(always)]
pub(super) fn bound(bind: &Bind) {
    if bind.socket().is_udp() {
        return datagram::bound(bind);
    }
    if !bind.socket().is_tcp() {
        return;
    }
    let Some(state) = maps::socket_or_new(bind.socket()) else { return };
    maps::reset(state);
    identity::current(&mut state.flow.own, bind.netns());
    state.flow.transport = ip::TCP;
}

/// The last descriptor is closed. The connection may live on without its application.
#[inline(always)]
pub(super) fn released(bind: &Bind) {
    if bind.socket().is_udp() {
        return datagram::released(bind);
    }
    if !bind.socket().is_tcp() {
        return;
    }
    match maps::socket(bind.socket()) {
        Some(state) if state.phase == Phase::Open as u8 => {
            state.orphaned = 1;
            late::released(state);
        }
        Some(_) => {}
        None => late::released_unseen(bind),
    }
}
