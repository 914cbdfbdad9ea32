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
    /// [`super::edge::EdgeKey::generation`] of what is counted from now on; its lower half counts.
    pub generation: u32,
    /// Most edges of one cgroup and generation; 0 for no bound.
    pub quota: u32,
    /// 1 once OLDER holds the connections that were there before: a socket without a state that
    /// is not among them is taken over as it is.
    pub adopts: u32,
    /// Explicit padding.
    pub reserved: u32,
}

/// One filter for connection records: all that is set must fit. Zero means "any".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Filter {
    /// The cgroup of either end.
    pub cgroup: u64,
    /// Shortest duration, from establishment to the end.
    pub min_duration_ns: u64,
    /// Fewest payload bytes in both directions together.
    pub min_bytes: u64,
    /// [`super::name_id`] of the process at that same end.
    pub name: u32,
    /// The bit that stands for this slot. It is read from here, not computed, because the
    /// verifier follows a value it knows through every combination of slots.
    pub bit: u32,
    /// Network of either end's address, with `mask` already applied.
    pub network: Address,
    /// The network's mask; all zero fits every address.
    pub mask: Address,
    /// One connection of so many, by chance.
    pub sample: u32,
    /// One bit for each [`Security`](crate::wire::security::Security).
    pub securities: u16,
    /// One bit for each [`Stage`](crate::wire::stage::Stage).
    pub stages: u16,
    /// The server's port.
    pub port: u16,
    /// IP protocol number.
    pub transport: u8,
    /// One bit for each verdict.
    pub verdicts: u8,
    /// Explicit padding.
    pub reserved: u32,
}

/// What a filter judges of a connection beside its ends.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// Nanoseconds from establishment to the end.
    pub duration_ns: u64,
    /// Payload bytes of both directions.
    pub bytes: u64,
    /// IP protocol number.
    pub transport: u8,
    /// The one bit of what protects it: see
    /// [`Security::bit_of`](crate::wire::security::Security::bit_of).
    pub security: u16,
    /// Code of a [`Stage`](crate::wire::stage::Stage).
    pub stage: u8,
    /// The policy's verdict.
    pub verdict: u8,
}

const _: () = assert!(size_of::<Config>() == 24);
const _: () = assert!(size_of::<Filter>() == 80);

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

    /// Whether a connection is of the sort asked for.
    #[inline(always)]
    pub const fn suits(&self, traits: &Traits) -> bool {
        (self.transport == 0 || self.transport == traits.transport)
            && (self.securities == 0 || self.securities & traits.security != 0)
            && (self.stages == 0 || self.stages & (1 << (traits.stage & 15)) != 0)
            && (self.verdicts == 0 || self.verdicts & (1 << (traits.verdict & 7)) != 0)
            && self.min_duration_ns <= traits.duration_ns
            && self.min_bytes <= traits.bytes
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
    fn all_traits_must_fit() {
        let traits = Traits {
            duration_ns: 7,
            bytes: 11,
            transport: 6,
            security: 1 << 3,
            stage: 2,
            verdict: 0,
        };
        let any = Filter::default();
        assert!(any.suits(&traits));
        assert!(Filter { min_duration_ns: 7, min_bytes: 11, transport: 6, ..any }.suits(&traits));
        assert!(
            Filter { securities: 1 << 3 | 1, stages: 1 << 2, verdicts: 1, ..any }.suits(&traits)
        );
        for other in [
            Filter { min_duration_ns: 8, ..any },
            Filter { min_bytes: 12, ..any },
            Filter { transport: 17, ..any },
            Filter { securities: 1 << 4, ..any },
            Filter { stages: 1 << 3, ..any },
            Filter { verdicts: 2, ..any },
        ] {
            assert!(!other.suits(&traits), "{other:?}");
        }
    }

    #[test]
    fn cgroup_and_name_must_both_fit() {
        let filter = Filter { cgroup: 7, name: 9, ..Filter::default() };
        assert!(filter.names(7, 9));
        assert!(!filter.names(7, 8) && !filter.names(6, 9));
    }
}
