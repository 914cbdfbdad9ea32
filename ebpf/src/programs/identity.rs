//! Who is at this end of a socket, as the kernel knows it at the call.

use aya_ebpf::{
    Global,
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, generated::bpf_get_current_comm,
    },
};
use plainsight_ebpf::abi::{Comm, flow::SocketState, name_id};

use super::context::{Socket, no_comm};

/// Whether process names are read. The agent sets it to 0 where the kernel wants CAP_PERFMON for
/// that and the agent does not have it; the verifier then takes the call out.
#[unsafe(no_mangle)]
static NAMES: Global<u8> = Global::new(1);

/// The calling process. Only for hooks that run in the process's own context: elsewhere the
/// helpers answer with whoever was interrupted.
#[inline(always)]
pub(super) fn current(state: &mut SocketState, netns: u64) {
    // SAFETY: the helper takes nothing.
    state.cgroup = unsafe { bpf_get_current_cgroup_id() };
    state.netns = netns;
    state.tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if NAMES.load() != 0 {
        state.comm = comm();
        state.name = name_id(&state.comm);
    }
    state.verified = 0;
}

/// Corrects the cgroup to the socket's own at its first packet. A process in another cgroup (a
/// socket handed over, a kernel thread) is not the workload, so its name is dropped.
#[inline(always)]
pub(super) fn verify(state: &mut SocketState, socket: Socket) {
    let cgroup = socket.cgroup();
    if state.cgroup != cgroup {
        state.cgroup = cgroup;
        state.tgid = 0;
        state.name = 0;
        state.comm = no_comm();
    }
    state.verified = 1;
}

#[inline(always)]
fn comm() -> Comm {
    let mut comm = no_comm();
    // SAFETY: the helper writes at most the length it is given. It cannot fail for a process.
    unsafe { bpf_get_current_comm(comm.as_mut_ptr().cast(), comm.len() as u32) };
    comm
}
