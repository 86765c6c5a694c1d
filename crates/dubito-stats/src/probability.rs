//! Probability vectors: checking, entropy, and sums that do not depend on the order of adding.

use crate::StatsError;

/// Differences of entropies below this many nats are rounding and count as 0.
const RESOLUTION: f64 = 1e-12;

/// How far outside [0, 1] a probability may lie (it is then clipped).
const OUTSIDE: f64 = 1e-6;

/// How far from 1 the sum of a probability vector may lie (it is then renormalised).
const SUM: f64 = 1e-3;

/// A sum this near to 1 is the rounding of `f32` and left alone: dividing by it would change last
/// digits, and with them break ties between items.
const ROUNDING: f64 = 1e-6;

/// Check one probability vector and write it, clipped to [0, 1] and renormalised, over `out`.
/// `place` is only asked for in an error.
#[inline]
pub fn normalise(
    probs: &[f64],
    classes: usize,
    out: &mut Vec<f64>,
    place: impl Fn() -> String,
) -> Result<(), StatsError> {
    out.clear();
    append_normalised(probs, classes, out, place)
}

/// [`normalise`], but behind what is in `out`. An error leaves `out` as it was.
#[inline]
pub fn append_normalised(
    probs: &[f64],
    classes: usize,
    out: &mut Vec<f64>,
    place: impl Fn() -> String,
) -> Result<(), StatsError> {
    if probs.len() != classes {
        return Err(StatsError::WrongLength { place: place(), expected: classes, found: probs.len() });
    }
    // Written so that NaN is caught as well.
    let is_probability = |p: &f64| (-OUTSIDE..=1.0 + OUTSIDE).contains(p);
    if let Some(class) = probs.iter().position(|p| !is_probability(p)) {
        return Err(StatsError::NotAProbability { place: place(), class, value: probs[class] });
    }
    let sum: f64 = probs.iter().map(|p| p.clamp(0.0, 1.0)).sum();
    if (sum - 1.0).abs() > SUM {
        return Err(StatsError::NotNormalised { place: place(), sum: probs.iter().sum() });
    }
    let scale = |p: f64| if (sum - 1.0).abs() > ROUNDING { p / sum } else { p };
    out.extend(probs.iter().map(|p| scale(p.clamp(0.0, 1.0))));
    Ok(())
}

/// Shannon entropy in nats; `0 ln 0 = 0`.
#[inline]
pub fn entropy(probs: &[f64]) -> f64 {
    probs.iter().map(|&p| entropy_term(p)).sum()
}

/// What one class adds to the [`entropy`].
#[inline]
pub(crate) fn entropy_term(p: f64) -> f64 {
    if p > 0.0 { -p * p.ln() } else { 0.0 }
}

/// `larger - smaller` for two entropies of which theory says that the first is not the smaller one:
/// rounding is cut away, so that equal samples have no epistemic uncertainty at all rather than 1e-17.
pub fn excess(larger: f64, smaller: f64) -> f64 {
    let difference = larger - smaller;
    if difference < RESOLUTION { 0.0 } else { difference }
}

/// Index of the largest probability; the first of them where several are largest.
#[inline]
pub fn argmax(probs: &[f64]) -> usize {
    let mut best = 0;
    for (class, p) in probs.iter().enumerate() {
        if *p > probs[best] {
            best = class;
        }
    }
    best
}

/// A sum of small non-negative numbers in fixed point (a unit is 2^-64). Integers add without
/// rounding, so the sum is the same bits whatever the order, the batches or the merging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedSum(u128);

impl FixedSum {
    const UNIT: f64 = 18_446_744_073_709_551_616.0; // 2^64

    /// Add a number from 0 to about 1e18.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.0 = self.0.saturating_add(Self::units(value));
    }

    #[inline]
    fn units(value: f64) -> u128 {
        // Almost all values are below 1, and conversion is slow: their 53 digits are shifted to their place.
        const OF_ONE_HALF: u64 = 1022;
        let (exponent, digits) = (value.to_bits() >> 52, value.to_bits() << 11 | 1 << 63);
        match OF_ONE_HALF.checked_sub(exponent) {
            Some(places @ ..64) => u128::from(digits >> places),
            Some(_) => 0,
            None => (value * Self::UNIT) as u128,
        }
    }

    /// Add what another sum holds.
    pub fn merge(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }

    /// The sum divided by `count`.
    pub fn mean(self, count: u64) -> f64 {
        self.0 as f64 / Self::UNIT / count as f64
    }
}

/// [`FixedSum`] of numbers of either sign, each counted `weight` times (a unit is 2^-60: the sum may
/// reach 1e20).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SignedSum(i128);

impl SignedSum {
    const UNIT: f64 = 1_152_921_504_606_846_976.0; // 2^60

    /// Add a finite value below 1e6 in size, `weight` times.
    pub(crate) fn add(&mut self, value: f64, weight: u64) {
        let scaled = value * Self::UNIT;
        // The conversion to 128 bits is slow, and almost all values are probabilities.
        let whole = if scaled.abs() < 9e18 { i128::from(scaled as i64) } else { scaled as i128 };
        // Most weigh 1, and a product of 128 bits is slow.
        self.0 += if weight == 1 { whole } else { i128::from(weight as i64) * whole };
    }

    /// A whole number.
    pub(crate) fn whole(number: i128) -> Self {
        Self(number << 60)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }

    /// The sum without its sign.
    pub(crate) fn size(self) -> Self {
        Self(self.0.abs())
    }

    pub(crate) fn value(self) -> f64 {
        self.0 as f64 / Self::UNIT
    }
}

#[cfg(test)]
mod tests {
    use super::FixedSum;

    #[test]
    fn units_are_the_number_cut_at_its_64th_binary_place() {
        let mut values = vec![0.0, f64::MIN_POSITIVE, 1e-310, 0.5, 1.0, 1.5, 3e17, -1e-9, f64::NAN];
        values.extend((0..200).map(|at| 0.7f64.powi(at)));
        values.extend((0..80).flat_map(|at| [0.5f64.powi(at), 0.5f64.powi(at).next_down()]));
        for value in values {
            assert_eq!(FixedSum::units(value), (value * FixedSum::UNIT) as u128, "{value:e}");
        }
    }
}
