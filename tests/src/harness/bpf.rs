//! The calls of bpf(2) that are needed here. They are made raw, so that a program of two
//! instructions costs what two instructions cost and needs no compiler.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use super::hook::Hook;

/// `struct bpf_insn`; `registers` holds the source in its upper half.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Instruction {
    pub(super) code: u8,
    pub(super) registers: u8,
    pub(super) offset: i16,
    pub(super) immediate: i32,
}

/// What `BPF_PROG_LOAD` reads of `union bpf_attr` (include/uapi/linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// What `BPF_LINK_CREATE` reads.
#[repr(C)]
struct Link {
    program: i32,
    target: i32,
    attach_type: u32,
    flags: u32,
}

/// What `BPF_MAP_GET_FD_BY_ID` reads.
#[repr(C)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

const PROG_LOAD: libc::c_int = 5;
const MAP_GET_FD_BY_ID: libc::c_int = 14;
const LINK_CREATE: libc::c_int = 28;

/// Loads a program for `hook`, named after it.
pub(super) fn load(hook: &Hook, instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let mut attributes = Load {
        program_type: hook.program_type,
        attach_type: hook.attach_type,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        ..Load::default()
    };
    // The kernel wants an end of string within its 16 bytes and takes no more than letters,
    // digits, `_` and `.`, of which hooks' names are made.
    for (to, from) in attributes.name.iter_mut().take(15).zip(hook.name.bytes()) {
        *to = from;
    }
    // SAFETY: both pointers are to live memory that the kernel only reads, the instructions'
    // length beside them and the licence ended by a NUL.
    unsafe { call(PROG_LOAD, &attributes) }
}

/// Attaches a program for as long as the link is held: to the cgroup of this descriptor, or to the
/// network device of this index.
pub(super) fn link(program: BorrowedFd<'_>, target: i32, hook: &Hook) -> io::Result<OwnedFd> {
    let attributes =
        Link { program: program.as_raw_fd(), target, attach_type: hook.attach_type, flags: 0 };
    // SAFETY: the attributes hold numbers only.
    unsafe { call(LINK_CREATE, &attributes) }
}

/// Opens the map with this id.
///
/// # Errors
///
/// If there is none, or it may not be opened.
pub fn open_map(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: the attributes hold numbers only.
    unsafe { call(MAP_GET_FD_BY_ID, &ById { id, next: 0, flags: 0 }) }
}

/// # Safety
///
/// `command` is one that gives a descriptor, `T` is laid out as the kernel reads it for that
/// command, and the pointers in it are to live memory.
unsafe fn call<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the attributes, whose size it is told, before the call returns;
    // the rest is the caller's promise.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>())
    };
    match i32::try_from(result) {
        // SAFETY: the kernel has just given this descriptor to nobody else.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}
