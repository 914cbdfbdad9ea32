//! The hooks of a cgroup or a network device that a program of the tests' own can be attached to, by
//! the kernel's names for them.

use super::bpf::Instruction;

/// A hook and what the kernel wants of a program there (`enum bpf_prog_type`,
/// `enum bpf_attach_type`).
pub(super) struct Hook {
    pub(super) name: &'static str,
    pub(super) program_type: u32,
    pub(super) attach_type: u32,
}

const SCHED_CLS: u32 = 3;
const CGROUP_SKB: u32 = 8;
const CGROUP_SOCK: u32 = 9;
const SOCK_OPS: u32 = 13;
const CGROUP_SOCK_ADDR: u32 = 18;

const HOOKS: &[Hook] = &[
    hook("cgroup_skb_ingress", CGROUP_SKB, 0),
    hook("cgroup_skb_egress", CGROUP_SKB, 1),
    hook("sock_create", CGROUP_SOCK, 2),
    hook("sock_ops", SOCK_OPS, 3),
    hook("bind4", CGROUP_SOCK_ADDR, 8),
    hook("bind6", CGROUP_SOCK_ADDR, 9),
    hook("connect4", CGROUP_SOCK_ADDR, 10),
    hook("connect6", CGROUP_SOCK_ADDR, 11),
    hook("post_bind4", CGROUP_SOCK, 12),
    hook("post_bind6", CGROUP_SOCK, 13),
    hook("sendmsg4", CGROUP_SOCK_ADDR, 14),
    hook("sendmsg6", CGROUP_SOCK_ADDR, 15),
    hook("recvmsg4", CGROUP_SOCK_ADDR, 19),
    hook("recvmsg6", CGROUP_SOCK_ADDR, 20),
    hook("sock_release", CGROUP_SOCK, 34),
    hook("tcx_ingress", SCHED_CLS, 46),
    hook("tcx_egress", SCHED_CLS, 47),
];

/// `r0 = 1; exit`: lets everything pass.
const EMPTY: &[Instruction] = &[set(0, 1), EXIT];

/// Callbacks that a `sock_ops` program can ask for, as flags: changes of state
/// (`BPF_SOCK_OPS_STATE_CB_FLAG`) and measured round trips (`BPF_SOCK_OPS_RTT_CB_FLAG`).
const STATES: i32 = 4;
const ROUND_TRIPS: i32 = 8;

/// The least that an observer of connections does in `sock_ops`. Without its callbacks the kernel
/// would call an empty program less often than any observer of connections.
const ASK_FOR_STATES: &[Instruction] = &ask_for(STATES);

/// What somebody does there who measures round trips and knows of nobody else.
const ASK_FOR_ROUND_TRIPS: &[Instruction] = &ask_for(ROUND_TRIPS);

const EXIT: Instruction = Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 };

// === impl Hook ===

impl Hook {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        HOOKS.iter().find(|hook| hook.name == name)
    }

    /// The least program that is of use at this hook.
    pub(super) fn least_program(&self) -> &'static [Instruction] {
        if self.program_type == SOCK_OPS { ASK_FOR_STATES } else { EMPTY }
    }

    /// One that knows of nobody else at this hook.
    pub(super) fn careless_program(&self) -> &'static [Instruction] {
        if self.program_type == SOCK_OPS { ASK_FOR_ROUND_TRIPS } else { EMPTY }
    }
}

/// Replaces a socket's callbacks by these when a connect begins and when a connection is
/// established, which are the operations 3 to 5 (`BPF_SOCK_OPS_TCP_CONNECT_CB` and the two after
/// it).
const fn ask_for(callbacks: i32) -> [Instruction; 7] {
    [
        // r2 = ctx->op; r2 -= 3; what lies below 3 is now a large number.
        Instruction { code: 0x61, registers: 0x12, offset: 0, immediate: 0 },
        Instruction { code: 0x17, registers: 2, offset: 0, immediate: 3 },
        // if r2 > 2, skip the call.
        Instruction { code: 0x25, registers: 2, offset: 2, immediate: 2 },
        // bpf_sock_ops_cb_flags_set(ctx, callbacks)
        set(2, callbacks),
        Instruction { code: 0x85, registers: 0, offset: 0, immediate: 59 },
        set(0, 1),
        EXIT,
    ]
}

const fn hook(name: &'static str, program_type: u32, attach_type: u32) -> Hook {
    Hook { name, program_type, attach_type }
}

/// `register = immediate`, in 64 bits.
const fn set(register: u8, immediate: i32) -> Instruction {
    Instruction { code: 0xb7, registers: register, offset: 0, immediate }
}
