//! Before a flow exists: who asks for it, and for what.

use plainsight_ebpf::{
    abi::{edge::Role, flow::Phase},
    wire::ip,
};

use super::{context::Connect, datagram, identity, maps};

/// A process connects. A socket may do so again after it was dissolved, so everything starts new.
#[inline(always)]
pub(super) fn begin(connect: &Connect) {
    let Some(socket) = connect.socket() else { return };
    if connect.is_udp() {
        return datagram::connected(connect, socket);
    }
    if !connect.is_tcp() {
        return;
    }
    let Some(state) = maps::socket_or_new(socket) else { return };
    maps::reset(state);
    identity::current(&mut state.flow.own, connect.netns());
    state.flow.role = Role::Client as u8;
    state.flow.transport = ip::TCP;
    state.flow.remote = connect.asked;
    state.flow.port = connect.asked_port();
    state.phase = Phase::Identity as u8;
}
