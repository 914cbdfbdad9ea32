//! Medians of paired ratios, with intervals that assume no distribution.

use std::fmt;

/// Confidence that an interval must reach.
const CONFIDENCE: f64 = 0.95;

/// The median of paired ratios and the order statistics that enclose it.
#[derive(Debug, PartialEq)]
pub(crate) struct Ratios {
    median: f64,
    low: f64,
    high: f64,
    confidence: f64,
}

// === impl Ratios ===

impl Ratios {
    /// Ratios of measurements of the same round.
    pub(crate) fn of(numerators: &[f64], denominators: &[f64]) -> Self {
        let pairs = numerators.iter().zip(denominators);
        let mut ratios: Vec<f64> = pairs.map(|(with, without)| with / without).collect();
        ratios.sort_by(f64::total_cmp);
        let (rank, confidence) = enclosing_rank(ratios.len());
        let at = |index: usize| ratios.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: median(&ratios),
            low: at(rank),
            high: at(ratios.len().wrapping_sub(1 + rank)),
            confidence,
        }
    }
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, low, high, confidence } = self;
        write!(f, "{median:.4}  [{low:.4}, {high:.4}] at {:.1} %", confidence * 100.0)
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// The greatest rank (from 0) for which the order statistics at it, counted from both ends,
/// enclose the median with at least `CONFIDENCE`, and the confidence they reach. Each value lies
/// below the median with probability one half, so the number below it is binomial.
fn enclosing_rank(count: usize) -> (usize, f64) {
    let mut probability = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut tail = probability;
    let mut best = (0, 1.0 - 2.0 * tail);
    for rank in 1..count / 2 {
        probability *= (count - rank + 1) as f64 / rank as f64;
        tail += probability;
        if 1.0 - 2.0 * tail < CONFIDENCE {
            break;
        }
        best = (rank, 1.0 - 2.0 * tail);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let check = |values: &[f64], expect: f64| assert_eq!(median(values), expect, "{values:?}");
        check(&[3.0, 1.0, 2.0], 2.0);
        check(&[4.0, 1.0, 2.0, 3.0], 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ranks_are_those_of_the_sign_test() {
        let check = |count, rank, percent: f64| {
            let (found, confidence) = enclosing_rank(count);
            assert_eq!(found, rank, "{count}");
            assert!((confidence * 100.0 - percent).abs() < 0.05, "{count}: {confidence}");
        };
        check(6, 0, 96.9);
        check(7, 0, 98.4);
        check(9, 1, 96.1);
        check(15, 3, 96.5);
    }

    #[test]
    fn ratios_are_paired() {
        let ratios = Ratios::of(&[2.0, 6.0, 4.0], &[1.0, 2.0, 4.0]);
        assert_eq!((ratios.median, ratios.low, ratios.high), (2.0, 1.0, 3.0));
    }
}
