//! Before a flow exists: who asks for it.

use plainsight_ebpf::abi::{edge::Role, flow::Phase};

use super::{context::Connect, identity, maps};

/// A process connects. A socket may do so again after it was dissolved, so everything starts new.
#[inline(always)]
pub(super) fn begin(connect: &Connect) {
    if !connect.is_tcp() {
        return;
    }
    let Some(socket) = connect.socket() else { return };
    let Some(state) = maps::socket_or_new(socket) else { return };
    maps::reset(state);
    identity::current(state, connect.netns());
    state.role = Role::Client as u8;
    state.phase = Phase::Connecting as u8;
}
