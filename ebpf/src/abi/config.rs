//! What the agent tells the programs while they run.

use super::Address;

/// How many record filters can be in force at once.
pub const FILTER_SLOTS: usize = 16;

/// The only element of the CONFIG array.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Config {
    /// Raised by the agent before each scan of the edges. A socket whose counts were last added
    /// under another epoch adds them at its next segment, so a live connection costs one update
    /// a scan, and none when nobody reads.
    pub epoch: u32,
    /// One bit for each slot of FILTERS in force.
    pub filters: u32,
}

/// One filter for connection records: all that is set must fit. Zero means "any".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Filter {
    /// The cgroup of either end.
    pub cgroup: u64,
    /// [`super::name_id`] of the process at that same end.
    pub name: u32,
    /// The bit that stands for this slot. It is read from here, not computed, because the
    /// verifier follows a value it knows through every combination of slots.
    pub bit: u32,
    /// Network of either end's address, with `mask` already applied.
    pub network: Address,
    /// The network's mask; all zero fits every address.
    pub mask: Address,
    /// The server's port.
    pub port: u16,
    /// Explicit padding.
    pub reserved: [u16; 3],
}

const _: () = assert!(size_of::<Config>() == 8);
const _: () = assert!(size_of::<Filter>() == 56);

// === impl Filter ===

impl Filter {
    /// Whether `address` lies in this filter's network.
    #[inline(always)]
    pub const fn covers(&self, address: &Address) -> bool {
        let (a, m, n) = (address, &self.mask, &self.network);
        // One comparison, so that the verifier has one branch to follow for each slot.
        let differs = ((a[0] & m[0]) ^ n[0])
            | ((a[1] & m[1]) ^ n[1])
            | ((a[2] & m[2]) ^ n[2])
            | ((a[3] & m[3]) ^ n[3]);
        differs == 0
    }

    /// Whether the end with this cgroup and name is the one asked for.
    #[inline(always)]
    pub const fn names(&self, cgroup: u64, name: u32) -> bool {
        (self.cgroup == 0 || self.cgroup == cgroup) && (self.name == 0 || self.name == name)
    }
}

// SAFETY: repr(C), only integers, no padding (the size assert above), any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Config {}

// SAFETY: as for Config.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Filter {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::mapped;

    fn ip4(a: u8, b: u8, c: u8, d: u8) -> Address {
        mapped(u32::from_ne_bytes([a, b, c, d]))
    }

    #[test]
    fn a_network_covers_its_own_addresses_only() {
        let mut mask = [u32::MAX; 4];
        mask[3] = 0xffff_ff00_u32.to_be();
        let filter = Filter { network: ip4(10, 1, 2, 0), mask, ..Filter::default() };
        assert!(filter.covers(&ip4(10, 1, 2, 77)));
        assert!(!filter.covers(&ip4(10, 1, 3, 77)));
    }

    #[test]
    fn an_empty_filter_fits_everything() {
        let filter = Filter::default();
        assert!(filter.covers(&ip4(192, 0, 2, 1)) && filter.names(7, 9));
    }

    #[test]
    fn cgroup_and_name_must_both_fit() {
        let filter = Filter { cgroup: 7, name: 9, ..Filter::default() };
        assert!(filter.names(7, 9));
        assert!(!filter.names(7, 8) && !filter.names(6, 9));
    }
}
