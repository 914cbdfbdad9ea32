//! Medians of paired measurements, with intervals that assume no distribution.

/// Confidence that an interval must reach.
const CONFIDENCE: f64 = 0.95;

/// A median and the order statistics that enclose it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

// === impl Interval ===

impl Interval {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (rank, _) = enclosing_rank(values.len());
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: median(&values),
            low: at(rank),
            high: at(values.len().wrapping_sub(1 + rank)),
        }
    }

    /// Of the ratios of two series, round by round.
    pub(crate) fn of_ratios(numerators: &[f64], denominators: &[f64]) -> Self {
        Self::of(numerators.iter().zip(denominators).map(|(over, under)| over / under).collect())
    }

    /// Of the differences of two series, round by round.
    pub(crate) fn of_differences(minuends: &[f64], subtrahends: &[f64]) -> Self {
        Self::of(minuends.iter().zip(subtrahends).map(|(more, less)| more - less).collect())
    }

    pub(crate) fn shown(&self, digits: usize) -> String {
        let [median, low, high] =
            [self.median, self.low, self.high].map(|value| number(value, digits));
        format!("{median} [{low}, {high}]")
    }
}

/// So many digits behind the point; a dash for what is no number, and no sign before a zero.
pub(crate) fn number(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "–".into();
    }
    let shown = format!("{value:.digits$}");
    match shown.strip_prefix('-') {
        Some(zero) if zero.bytes().all(|byte| matches!(byte, b'0' | b'.')) => zero.to_owned(),
        _ => shown,
    }
}

/// The confidence, in percent, of an interval over so many rounds.
pub(crate) fn confidence(rounds: usize) -> f64 {
    enclosing_rank(rounds).1 * 100.0
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
    fn measurements_are_paired() {
        let check = |found: Interval, expect: [f64; 3]| {
            assert_eq!([found.low, found.median, found.high], expect);
        };
        check(Interval::of_ratios(&[2.0, 6.0, 4.0], &[1.0, 2.0, 4.0]), [1.0, 2.0, 3.0]);
        check(Interval::of_differences(&[2.0, 6.0, 4.0], &[1.0, 2.0, 4.0]), [0.0, 1.0, 4.0]);
        let nothing = Interval::of(Vec::new());
        assert!(nothing.median.is_nan() && nothing.low.is_nan());
    }

    #[test]
    fn numbers_are_shown_as_people_write_them() {
        let check = |value, digits, expect: &str| assert_eq!(number(value, digits), expect);
        check(-0.04, 1, "0.0");
        check(-0.06, 1, "-0.1");
        check(10.0, 0, "10");
        check(f64::NAN, 2, "–");
    }

    #[test]
    fn an_interval_is_shown_after_its_median() {
        let interval = Interval { median: 1.0, low: 0.9876, high: 2.0 };
        assert_eq!(interval.shown(2), "1.00 [0.99, 2.00]");
    }
}
