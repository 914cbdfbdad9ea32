//! Who is at this end of a socket, as the kernel knows it at the call.

use aya_ebpf::{
    Global,
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, generated::bpf_get_current_comm,
    },
};
use plainsight_ebpf::abi::{
    COMM_LEN, Comm,
    flow::{Flow, Own, VERIFIED},
    name_id_of_words,
};

use super::{
    context::{Socket, no_comm, zero},
    maps,
};

/// Whether process names are read. The agent sets it to 0 where the kernel wants CAP_PERFMON for
/// that and the agent does not have it; the verifier then takes the call out.
#[unsafe(no_mangle)]
static NAMES: Global<u8> = Global::new(1);

/// The calling process. Only for hooks that run in the process's own context: elsewhere the
/// helpers answer with whoever was interrupted.
#[inline(always)]
pub(super) fn current(own: &mut Own, netns: u64) {
    // SAFETY: the helper takes nothing.
    own.cgroup = unsafe { bpf_get_current_cgroup_id() };
    own.netns = netns;
    own.tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if NAMES.load() != 0 {
        name(own);
    }
}

/// Corrects the cgroup to the socket's own at its first packet. A process in another cgroup (a
/// socket handed over, a kernel thread) is not the workload, so its name is dropped.
#[inline(always)]
pub(super) fn verify(flow: &mut Flow, socket: Socket) {
    let cgroup = socket.cgroup();
    if flow.own.cgroup != cgroup {
        flow.own.cgroup = cgroup;
        flow.own.tgid = 0;
        flow.own.name = 0;
        flow.own.comm = no_comm();
    }
    flow.flags |= VERIFIED;
}

/// As words and not as bytes, which would be moved one by one. Where the cgroup alone is the
/// workload its processes are not told apart.
#[inline(always)]
fn name(own: &mut Own) {
    let mut words = [zero(), zero()];
    // SAFETY: the helper writes at most the length it is given. It cannot fail for a process.
    unsafe { bpf_get_current_comm(words.as_mut_ptr().cast(), COMM_LEN as u32) };
    own.name = if maps::is_leaf(own.cgroup) { 0 } else { name_id_of_words(words[0], words[1]) };
    // SAFETY: two words are sixteen bytes.
    own.comm = unsafe { core::mem::transmute::<[u64; 2], Comm>(words) };
}
