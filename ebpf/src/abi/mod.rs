//! Types that cross the border between kernel and user space.
//!
//! Each is `repr(C)` with its padding spelt out, and asserts its size, so that a change of shape
//! is a change of [`VERSION`] and never an accident.

pub mod config;
pub mod counters;
pub mod datagram;
pub mod edge;
pub mod entry;
pub mod event;
pub mod flow;

/// Version of every shape in this module, carried in each event's header.
pub const VERSION: u8 = 3;

/// An IP address as four words in network order; IPv4 is v4-mapped (RFC 4291, section 2.5.5.2).
pub type Address = [u32; 4];

/// Length of a process name in the kernel (TASK_COMM_LEN), its terminating NUL included.
pub const COMM_LEN: usize = 16;

/// A process name as the kernel holds it, padded with NUL.
pub type Comm = [u8; COMM_LEN];

/// The third word of a v4-mapped address.
pub const MAPPED: u32 = 0xffff_u32.to_be();

/// The v4-mapped form of an IPv4 address given in network order.
#[inline(always)]
pub const fn mapped(ip4: u32) -> Address {
    [0, 0, MAPPED, ip4]
}

/// Short id of a process name: what tells apart the workloads that share a cgroup.
///
/// Never 0, which stands for "no name". It need not resist forgery: a process can take any name.
#[inline(always)]
pub const fn name_id(comm: &Comm) -> u32 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *comm;
    name_id_of_words(
        u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
    )
}

/// [`name_id`] of a name as two words, which is how the kernel half holds it.
#[inline(always)]
pub const fn name_id_of_words(low: u64, high: u64) -> u32 {
    // Two odd constants with well-spread bits (from the golden ratio and from pi).
    let mixed = low.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ high.wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    let folded = (mixed ^ (mixed >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (folded >> 32) as u32 | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comm(name: &str) -> Comm {
        let mut comm = [0; COMM_LEN];
        comm[..name.len()].copy_from_slice(name.as_bytes());
        comm
    }

    #[test]
    fn names_that_differ_in_one_byte_have_different_ids() {
        let names = [
            "curl",
            "curm",
            "wget",
            "nginx",
            "nginy",
            "a",
            "b",
            "postgres-writer",
            "postgres-reader",
        ];
        for (i, one) in names.iter().enumerate() {
            for other in &names[i + 1..] {
                assert_ne!(name_id(&comm(one)), name_id(&comm(other)), "{one} and {other}");
            }
        }
    }

    #[test]
    fn no_name_id_is_zero() {
        assert_ne!(name_id(&[0; COMM_LEN]), 0);
    }

    #[test]
    fn ipv4_is_mapped_in_network_order() {
        let bytes: [u8; 4] = [192, 0, 2, 7];
        let words = mapped(u32::from_ne_bytes(bytes));
        let flat: [u8; 16] = core::array::from_fn(|i| words[i / 4].to_ne_bytes()[i % 4]);
        assert_eq!(flat, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7]);
    }
}
