//! The hooks of a cgroup, by the kernel's numbers for them and the names that the floor knows.

/// `enum bpf_attach_type` (include/uapi/linux/bpf.h), as far as a cgroup has hooks.
const NAMES: &[(u32, &str)] = &[
    (0, "cgroup_skb_ingress"),
    (1, "cgroup_skb_egress"),
    (2, "sock_create"),
    (3, "sock_ops"),
    (8, "bind4"),
    (9, "bind6"),
    (10, "connect4"),
    (11, "connect6"),
    (12, "post_bind4"),
    (13, "post_bind6"),
    (14, "sendmsg4"),
    (15, "sendmsg6"),
    (19, "recvmsg4"),
    (20, "recvmsg6"),
    (34, "sock_release"),
];

/// The name of a link's attach type.
pub(crate) fn name(attach_type: u32) -> Option<&'static str> {
    NAMES.iter().find(|(number, _)| *number == attach_type).map(|(_, name)| *name)
}
