//! Round-trip times, counted by class.

use core::array;

use plainsight_ebpf::abi::edge::{RTT_BUCKETS, rtt_bound};

use super::Quantiles;

/// How many samples each class has; what bounds a class is [`rtt_bound`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Samples([u64; RTT_BUCKETS]);

/// The kernel holds smoothed times in eighths of a microsecond.
const EIGHTHS: f64 = 8.0;

// === impl Samples ===

impl Samples {
    pub(super) const NONE: Self = Self([0; RTT_BUCKETS]);

    pub(super) fn new(counts: &[u32; RTT_BUCKETS]) -> Self {
        Self(counts.map(u64::from))
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.each(other, |count, more| *count = count.saturating_add(more));
    }

    pub(super) fn remove(&mut self, other: &Self) {
        self.each(other, |count, less| *count = count.saturating_sub(less));
    }

    /// Takes out what `wanted` has, class by class, as far as it is there.
    pub(super) fn take(&mut self, wanted: &Self) -> Self {
        let taken = Self(array::from_fn(|i| self.0[i].min(wanted.0[i])));
        self.remove(&taken);
        taken
    }

    /// The median and what 99 of 100 stay under; none without samples.
    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        let count = self.0.iter().copied().fold(0, u64::saturating_add);
        (count != 0).then(|| Quantiles {
            p50: seconds(self.us(count as f64 * 0.5)),
            p99: seconds(self.us(count as f64 * 0.99)),
        })
    }

    /// The microseconds that `rank` samples stay under, as if those of a class were spread evenly over it.
    /// The last class has no upper bound: there it is the lower one, which is too little and not
    /// made up.
    fn us(&self, rank: f64) -> f64 {
        let mut below = 0.0;
        for (class, count) in self.0.iter().enumerate().take(RTT_BUCKETS - 1) {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                let (low, high) = (lower_bound(class), lower_bound(class + 1));
                return low + (high - low) * (rank - below) / count;
            }
            below += count;
        }
        lower_bound(RTT_BUCKETS - 1)
    }

    fn each(&mut self, other: &Self, change: impl Fn(&mut u64, u64)) {
        for (count, other) in self.0.iter_mut().zip(other.0) {
            change(count, other);
        }
    }
}

/// Where a class begins, in microseconds.
fn lower_bound(class: usize) -> f64 {
    match class.checked_sub(1) {
        Some(below) => f64::from(rtt_bound(below as u32)) / EIGHTHS,
        None => 0.0,
    }
}

/// To the nearest nanosecond: the digits behind it say nothing.
fn seconds(us: f64) -> f64 {
    (us * 1e3 + 0.5) as u64 as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples in these classes, so many in each.
    fn samples(counts: &[(usize, u64)]) -> Samples {
        let mut samples = Samples::NONE;
        counts.iter().for_each(|(class, count)| samples.0[*class] = *count);
        samples
    }

    fn check(counts: &[(usize, u64)], p50: f64, p99: f64) {
        assert_eq!(samples(counts).quantiles(), Some(Quantiles { p50, p99 }), "{counts:?}");
    }

    #[test]
    fn quantiles_lie_inside_their_class() {
        check(&[(0, 1)], 0.000_016, 0.000_031_680);
        check(&[(1, 100)], 0.000_048, 0.000_063_680);
        check(&[(1, 50), (3, 50)], 0.000_064, 0.000_253_440);
        check(&[(2, 99), (10, 1)], 0.000_096_323, 0.000_128);
    }

    #[test]
    fn the_class_without_a_bound_gives_where_it_begins() {
        check(&[(15, 7)], 0.524_288, 0.524_288);
        check(&[(0, 98), (15, 2)], 0.000_016_327, 0.524_288);
    }

    #[test]
    fn without_samples_there_is_no_time() {
        assert_eq!(Samples::NONE.quantiles(), None);
    }

    #[test]
    fn taking_makes_and_loses_nothing() {
        let mut there = samples(&[(1, 5), (3, 2)]);
        assert_eq!(there.take(&samples(&[(1, 3), (3, 7), (4, 1)])), samples(&[(1, 3), (3, 2)]));
        assert_eq!(there, samples(&[(1, 2)]));
    }
}
