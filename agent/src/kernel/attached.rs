//! Which programs, ours or others', run at a cgroup (BPF_PROG_QUERY of bpf(2)).

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

use aya::programs::loaded_programs;

const PROG_QUERY: libc::c_int = 16;

/// Those of the cgroups above it as well (`BPF_F_QUERY_EFFECTIVE`).
const EFFECTIVE: u32 = 1;

/// More than the kernel lets anybody attach to a path of several cgroups.
const MOST: usize = 1024;

/// The hooks that our programs use, by their number (`enum bpf_attach_type`).
const HOOKS: [(&str, u32); 10] = [
    ("ingress", 0),
    ("egress", 1),
    ("sock_ops", 3),
    ("connect4", 10),
    ("connect6", 11),
    ("post_bind4", 12),
    ("post_bind6", 13),
    ("sendmsg4", 14),
    ("sendmsg6", 15),
    ("sock_release", 34),
];

/// A program at a hook that ours use too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The hook.
    pub hook: &'static str,
    /// The kernel's id for the program.
    pub id: u32,
    /// Its name, where the kernel tells it (that needs CAP_SYS_ADMIN).
    pub name: Option<String>,
}

/// The part of `union bpf_attr` that BPF_PROG_QUERY reads and fills.
#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target: u32,
    hook: u32,
    flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    reserved: u32,
}

/// Every program that runs for `cgroup` at a hook that ours use, in the order of running.
///
/// # Errors
///
/// If the kernel refuses to tell: that needs CAP_NET_ADMIN.
pub fn attached(cgroup: impl AsFd) -> io::Result<Vec<Attached>> {
    let mut found = Vec::new();
    for (hook, number) in HOOKS {
        let ids = query(&cgroup, number)?;
        found.extend(ids.into_iter().map(|id| Attached { hook, id, name: None }));
    }
    for program in loaded_programs().flatten() {
        let name = program.name_as_str().filter(|name| !name.is_empty());
        for known in found.iter_mut().filter(|known| known.id == program.id()) {
            known.name = name.map(str::to_owned);
        }
    }
    Ok(found)
}

fn query(cgroup: &impl AsFd, hook: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![0_u32; MOST];
    let mut attr = QueryAttr {
        target: cgroup.as_fd().as_raw_fd().cast_unsigned(),
        hook,
        flags: EFFECTIVE,
        ids: ids.as_mut_ptr() as u64,
        count: MOST as u32,
        ..QueryAttr::default()
    };
    let size = size_of::<QueryAttr>();
    // SAFETY: the attribute is live and of the size given, and points to a live buffer of as many
    // ids as it says.
    let result = unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut attr, size) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    ids.truncate(attr.count as usize);
    Ok(ids)
}
