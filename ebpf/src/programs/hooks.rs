//! Every entry point, and nothing else: which hook calls which job.

use aya_ebpf::{
    macros::{cgroup_skb, cgroup_sock, cgroup_sock_addr, sock_ops},
    programs::{SkBuffContext, SockAddrContext, SockContext, SockOpsContext},
};

use super::{
    bind, connect,
    context::{Bind, Connect, Ops, Packet},
    datagram, packet, socket,
};

/// Tells the kernel to go on; nothing here denies or drops.
const ALLOW: i32 = 1;

#[cgroup_sock_addr(connect4)]
fn connect4(ctx: SockAddrContext) -> i32 {
    connect::begin(&Connect::v4(&ctx));
    ALLOW
}

#[cgroup_sock_addr(connect6)]
fn connect6(ctx: SockAddrContext) -> i32 {
    connect::begin(&Connect::v6(&ctx));
    ALLOW
}

#[cgroup_sock_addr(sendmsg4)]
fn sendmsg4(ctx: SockAddrContext) -> i32 {
    datagram::asked(&Connect::v4(&ctx));
    ALLOW
}

#[cgroup_sock_addr(sendmsg6)]
fn sendmsg6(ctx: SockAddrContext) -> i32 {
    datagram::asked(&Connect::v6(&ctx));
    ALLOW
}

#[cgroup_sock(post_bind4)]
fn post_bind4(ctx: SockContext) -> i32 {
    bind::bound(&Bind::new(&ctx));
    ALLOW
}

#[cgroup_sock(post_bind6)]
fn post_bind6(ctx: SockContext) -> i32 {
    bind::bound(&Bind::new(&ctx));
    ALLOW
}

#[cgroup_sock(sock_release)]
fn sock_release(ctx: SockContext) -> i32 {
    bind::released(&Bind::new(&ctx));
    ALLOW
}

#[sock_ops]
fn sock_ops(ctx: SockOpsContext) -> u32 {
    #[cfg(feature = "trace")]
    aya_log_ebpf::debug!(&ctx, "sock_ops {}", ctx.op());
    socket::event(&Ops::new(&ctx));
    ALLOW as u32
}

#[cgroup_skb]
fn cgroup_skb_ingress(ctx: SkBuffContext) -> i32 {
    packet::ingress(&Packet::new(&ctx));
    ALLOW
}

#[cgroup_skb]
fn cgroup_skb_egress(ctx: SkBuffContext) -> i32 {
    packet::egress(&Packet::new(&ctx));
    ALLOW
}
