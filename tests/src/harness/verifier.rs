//! How many instructions the verifier walks through for a program.
//!
//! Since Linux 5.16 the kernel tells of loaded programs; before, only the verifier's log does. So a
//! program is loaded once more, with the log's last lines asked for.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya::{
    maps::{MapFd, MapInfo},
    programs::loaded_programs,
};
use aya_obj::{Object, btf::BtfFeatures};
use plainsight::kernel::Kernel;

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` reads (include/uapi/linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
}

/// The part that `BPF_BTF_LOAD` reads.
#[repr(C)]
#[derive(Default)]
struct BtfAttr {
    btf: u64,
    btf_log_buf: u64,
    btf_size: u32,
    btf_log_size: u32,
    btf_log_level: u32,
}

const BPF_BTF_LOAD: libc::c_int = 18;

const BPF_PROG_LOAD: libc::c_int = 5;

/// Only the statistics at the log's end (`BPF_LOG_STATS`).
const LOG_STATS: u32 = 4;

/// The count for the program of this name, among those of `kernel`.
///
/// # Panics
///
/// If there is no such program, or the kernel refuses it.
#[must_use]
pub fn verified_instructions(kernel: &Kernel, name: &str) -> u64 {
    let maps = maps(kernel);
    let mut object = Object::parse(Kernel::object_bytes()).expect("the object can be parsed");
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let known = object.maps.clone();
    let placed = known.iter().filter_map(|(name, map)| {
        let fd = maps.get(name)?.as_fd().as_raw_fd();
        Some((name.as_str(), fd, map))
    });
    object.relocate_maps(placed, &sections).expect("maps are those of the object");
    object.relocate_calls(&sections).expect("calls are to functions of the object");
    // Without it every function would be one that is checked anew for each of its callers.
    let features = BtfFeatures::new(true, true, true, true, false, false, false, false);
    let btf = object.fixup_and_sanitize_btf(&features).expect("types can be made fit");
    let btf = load_btf(&btf.expect("the object has types").to_bytes());
    let program = object.programs.get(name).unwrap_or_else(|| panic!("no program {name}"));
    let function = &object.functions[&program.function_key()];
    let (prog_type, expected_attach_type) = types(name);
    let mut log = vec![0_u8; 1 << 16];
    let attr = LoadAttr {
        prog_type,
        expected_attach_type,
        insns: function.instructions.as_ptr() as u64,
        insn_cnt: function.instructions.len() as u32,
        license: program.license.as_ptr() as u64,
        log_level: LOG_STATS,
        log_buf: log.as_mut_ptr() as u64,
        log_size: log.len() as u32,
        prog_btf_fd: btf.as_raw_fd() as u32,
        func_info_rec_size: function.func_info_rec_size as u32,
        func_info: function.func_info.func_info.as_ptr() as u64,
        func_info_cnt: function.func_info.func_info.len() as u32,
        ..LoadAttr::default()
    };
    load(&attr).unwrap_or_else(|error| panic!("{name}: {error}:\n{}", text(&log)));
    processed(text(&log)).unwrap_or_else(|| panic!("{name}: no count in {:?}", text(&log)))
}

fn load_btf(types: &[u8]) -> OwnedFd {
    let attr =
        BtfAttr { btf: types.as_ptr() as u64, btf_size: types.len() as u32, ..BtfAttr::default() };
    // SAFETY: the pointer is to a live buffer of the length given with it.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_BTF_LOAD, std::ptr::from_ref(&attr), size_of::<BtfAttr>())
    };
    assert!(fd >= 0, "types: {}", io::Error::last_os_error());
    // SAFETY: the kernel has just given this descriptor to nobody else.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

fn load(attr: &LoadAttr) -> io::Result<OwnedFd> {
    // SAFETY: all pointers are to live buffers of the lengths given with them, which the kernel
    // reads or fills before the call returns.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, std::ptr::from_ref(attr), size_of::<LoadAttr>())
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Every map that the programs of `kernel` use, by name.
fn maps(kernel: &Kernel) -> BTreeMap<String, MapFd> {
    let programs = kernel.programs().expect("the kernel tells about its programs");
    let ours: HashSet<u32> = programs.iter().map(|program| program.id).collect();
    let programs = loaded_programs().flatten().filter(|program| ours.contains(&program.id()));
    let ids: HashSet<u32> =
        programs.flat_map(|program| program.map_ids().ok().flatten().unwrap_or_default()).collect();
    let named = |id: u32| {
        let map = MapInfo::from_id(id).expect("a map in use is there");
        let name = map.name_as_str().expect("maps have plain names").to_owned();
        (name, map.fd().expect("a map can be opened"))
    };
    ids.into_iter().map(named).collect()
}

/// Type and attach type of a program, which is named after its hook (`enum bpf_prog_type`,
/// `enum bpf_attach_type`).
fn types(name: &str) -> (u32, u32) {
    match name {
        "cgroup_skb_ingress" => (8, 0),
        "cgroup_skb_egress" => (8, 1),
        "sock_ops" => (13, 3),
        "post_bind4" => (9, 12),
        "post_bind6" => (9, 13),
        "sock_release" => (9, 34),
        "connect4" => (18, 10),
        "sendmsg4" => (18, 14),
        "sendmsg6" => (18, 15),
        "connect6" => (18, 11),
        other => panic!("{other} is not named after a hook"),
    }
}

fn text(log: &[u8]) -> &str {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    std::str::from_utf8(&log[..end]).unwrap_or_default()
}

/// The number in `processed 123 insns (limit …`.
fn processed(log: &str) -> Option<u64> {
    let (_, rest) = log.rsplit_once("processed ")?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::processed;

    #[test]
    fn the_count_stands_in_the_last_lines() {
        let log = "verification time 77 usec\nprocessed 123 insns (limit 1000000) peak_states 4\n";
        assert_eq!(processed(log), Some(123));
        assert_eq!(processed("nothing"), None);
    }
}
