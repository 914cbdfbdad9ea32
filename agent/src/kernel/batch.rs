//! Reading a whole hash map, or deleting many of its elements, in a few system calls, which aya does
//! not offer.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use aya::Pod;

/// BPF_MAP_LOOKUP_BATCH of the `bpf` system call, since Linux 5.6.
const LOOKUP_BATCH: libc::c_int = 24;

/// BPF_MAP_DELETE_BATCH, likewise.
const DELETE_BATCH: libc::c_int = 27;

/// Bytes of the kernel's position in a hash map; it needs four.
const POSITION_LEN: usize = 64;

/// `struct bpf_attr.batch` (include/uapi/linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Deletes elements, all of which must be there.
pub(super) fn delete<K: Pod>(map: BorrowedFd<'_>, keys: &[K]) -> io::Result<()> {
    let mut attr = BatchAttr {
        keys: keys.as_ptr() as u64,
        count: keys.len() as u32,
        map_fd: map.as_raw_fd() as u32,
        ..BatchAttr::default()
    };
    // SAFETY: the pointer is to `count` keys of the map's own key type, which are only read.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, DELETE_BATCH, &raw mut attr, size_of::<BatchAttr>())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Room for one call, kept between scans.
#[derive(Debug)]
pub(super) struct Batch<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

// === impl Batch ===

impl<K: Pod, V: Pod> Batch<K, V> {
    /// Room for `size` elements a call. `key` and `value` only fill the room.
    pub(super) fn new(size: usize, key: K, value: V) -> Self {
        Self { keys: vec![key; size], values: vec![value; size] }
    }

    /// Calls `each` for every element. Elements added meanwhile may or may not be among them.
    pub(super) fn read(
        &mut self,
        map: BorrowedFd<'_>,
        mut each: impl FnMut(&K, &V),
    ) -> io::Result<()> {
        let mut position = None;
        loop {
            let (count, next) = match self.call(map, position.as_ref()) {
                // A bucket with more elements than there is room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    self.grow();
                    continue;
                }
                result => result?,
            };
            let pairs = self.keys.iter().zip(&self.values).take(count);
            pairs.for_each(|(key, value)| each(key, value));
            match next {
                Some(next) => position = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// One call: how many elements it gave, and where to go on if there may be more.
    fn call(
        &mut self,
        map: BorrowedFd<'_>,
        position: Option<&[u8; POSITION_LEN]>,
    ) -> io::Result<(usize, Option<[u8; POSITION_LEN]>)> {
        let mut next = [0; POSITION_LEN];
        let mut attr = BatchAttr {
            in_batch: position.map_or(0, |position| position.as_ptr() as u64),
            out_batch: next.as_mut_ptr() as u64,
            keys: self.keys.as_mut_ptr() as u64,
            values: self.values.as_mut_ptr() as u64,
            count: self.keys.len() as u32,
            map_fd: map.as_raw_fd() as u32,
            ..BatchAttr::default()
        };
        // SAFETY: all pointers are to live buffers of `count` elements of the map's own key and
        // value types, and any bytes are valid for a Pod.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut attr, size_of::<BatchAttr>())
        };
        if result == 0 {
            return Ok((attr.count as usize, Some(next)));
        }
        let error = io::Error::last_os_error();
        // "No entry" says that the end was reached; the count is still valid.
        match error.raw_os_error() {
            Some(libc::ENOENT) => Ok((attr.count as usize, None)),
            _ => Err(error),
        }
    }

    fn grow(&mut self) {
        let size = self.keys.len() * 2;
        self.keys.resize(size, self.keys[0]);
        self.values.resize(size, self.values[0]);
    }
}
