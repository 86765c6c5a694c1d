//! Probability vectors: checking, entropy, and sums that do not depend on the order of adding.

use crate::StatsError;
use crate::vectorised::ln;

/// Differences of entropies below this many nats are rounding and count as 0.
const RESOLUTION: f64 = 1e-12;

/// How far outside [0, 1] a probability may lie (it is then clipped).
const OUTSIDE: f64 = 1e-6;

/// How far from 1 the sum of a probability vector may lie (it is then renormalised).
const SUM: f64 = 1e-3;

/// From here on a probability's distance from 1 is that which the other classes have.
pub(crate) const NEAR_ONE: f64 = 1.0 / 1_048_576.0; // 2^-20

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
#[inline(always)]
pub(crate) fn entropy_term(p: f64) -> f64 {
    let term = -p * ln(p);
    if p > 0.0 { term } else { 0.0 }
}

/// `larger - smaller` for two entropies of which theory says that the first is not the smaller one:
/// rounding is cut away, so that equal samples have no epistemic uncertainty at all rather than 1e-17.
pub fn excess(larger: f64, smaller: f64) -> f64 {
    let difference = larger - smaller;
    if difference < RESOLUTION { 0.0 } else { difference }
}

/// What a class' probability is short of 1: where that is very little, the sum of the others, which has digits that a
/// number near to 1 has not.
#[inline]
pub fn short_of_one(probs: &[f64], class: usize) -> f64 {
    let short = 1.0 - probs[class];
    if short >= NEAR_ONE {
        return short;
    }
    probs.iter().enumerate().filter(|(other, _)| *other != class).map(|(_, &p)| p).sum()
}

/// The prior of a verdict: one half for the class `real`, the other half shared evenly by all other classes.
///
/// For it a network of several classes that has seen nothing says P(fake) = 0.5, the largest uncertainty of real against
/// fake; of equally common classes it would say `(classes - 1) / classes`.
pub fn half_real_prior(classes: usize, real: usize) -> Vec<f64> {
    let other = 0.5 / classes.saturating_sub(1).max(1) as f64;
    (0..classes).map(|class| if class == real { 0.5 } else { other }).collect()
}

/// Predictions of classes with the prior `from`, as they are of classes with the prior `to` and else the same: Bayes' rule,
/// `q_c = p_c to_c / from_c / sum_k p_k to_k / from_k` (Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a
/// Classifier to New a Priori Probabilities", Neural Computation 14, 2002).
///
/// All three are probability vectors of the same length, `from` without a 0. Where nothing is left (no class that `to` knows has
/// any probability) it is `to`.
///
/// ```
/// use dubito_stats::probability::{half_real_prior, with_prior};
/// // Eight classes and no idea: real as likely as fake.
/// let q = with_prior(&[0.125; 8], &[0.125; 8], &half_real_prior(8, 0));
/// assert!((q[0] - 0.5).abs() < 1e-15);
/// ```
pub fn with_prior(probs: &[f64], from: &[f64], to: &[f64]) -> Vec<f64> {
    let weighed: Vec<f64> = probs.iter().zip(from).zip(to).map(|((p, from), to)| p * to / from).collect();
    let sum: f64 = weighed.iter().sum();
    if sum > 0.0 { weighed.iter().map(|p| p / sum).collect() } else { to.to_vec() }
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
///
/// As long as it is below 2^-12, where a unit is coarser than the last digit of an `f64`, the numbers are also kept in
/// a [`TinySum`], so that a mean of 1e-23 or 1e-300 keeps its digits, and its place among others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FixedSum {
    /// The upper and the lower half: 24 bytes in all, where a `u128` would take 32.
    units: [u64; 2],
    /// There only while [`units`](Self::units) is below [`COARSE`](Self::COARSE) and some number is above 0.
    tiny: Option<Box<TinySum>>,
}

impl FixedSum {
    const UNIT: f64 = 18_446_744_073_709_551_616.0; // 2^64

    /// 2^-12 in units: from here on an `f64` has no digit below a unit.
    const COARSE: u128 = 1 << 52;

    /// Below this a number is cut in two halves that are converted fast.
    const FEW: f64 = 1_048_576.0; // 2^20

    /// So many numbers below [`FEW`](Self::FEW) whose halves add up within 64 bits.
    const AT_ONCE: usize = 1024;

    /// Add a number from 0 to about 1e18, rounded to the nearest unit.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.add_units(match (0.0..Self::FEW).contains(&value) {
            true => Self::joined(Self::halves(value)),
            false => (value * Self::UNIT) as u128,
        });
        self.add_tiny(std::iter::once(value));
    }

    /// [`add`](Self::add) each of these numbers; the same bits, but faster inside of
    /// [`vectorised`](crate::vectorised::vectorised) work.
    #[inline(always)]
    pub(crate) fn add_all(&mut self, values: impl ExactSizeIterator<Item = f64> + Clone) {
        // Without a branch, so that it is compiled to vectors.
        let all_few = values.clone().fold(true, |few, value| few & (0.0..Self::FEW).contains(&value));
        if !all_few || values.len() > Self::AT_ONCE {
            return values.for_each(|value| self.add(value));
        }
        let halves = values.clone().fold((0, 0), |(high, low): (i64, i64), value| {
            let (more_high, more_low) = Self::halves(value);
            (high.wrapping_add(more_high), low.wrapping_add(more_low))
        });
        self.add_units(Self::joined(halves));
        self.add_tiny(values);
    }

    /// A number from 0 to [`FEW`](Self::FEW) in whole 2^-32, and the rest, which may be negative, in whole 2^-64.
    /// Adding a number whose last digit has that place rounds to it, and leaves the whole number in the last bits.
    #[inline(always)]
    fn halves(value: f64) -> (i64, i64) {
        const HIGH: f64 = 1_048_576.0; // 2^20: the last of its 53 digits is 2^-32
        const LOW: f64 = 1.5 / 4096.0; // between 2^-12 and 2^-11: the last is 2^-64
        let high = value + HIGH;
        let low = (value - (high - HIGH)) + LOW;
        let difference = |a: f64, b: f64| a.to_bits().wrapping_sub(b.to_bits()) as i64;
        (difference(high, HIGH), difference(low, LOW))
    }

    #[inline(always)]
    fn joined((high, low): (i64, i64)) -> u128 {
        // Not negative: the rest is at most half of a 2^-32, and of 0 it is 0.
        ((i128::from(high) << 32) + i128::from(low)) as u128
    }

    fn units(&self) -> u128 {
        u128::from(self.units[0]) << 64 | u128::from(self.units[1])
    }

    fn add_units(&mut self, units: u128) {
        let sum = self.units().saturating_add(units);
        self.units = [(sum >> 64) as u64, sum as u64];
    }

    /// Keep what was added just now, where the sum is tiny. What has once been too large for it never is tiny again, so
    /// whatever the order, a tiny sum holds all of its numbers.
    #[inline]
    fn add_tiny(&mut self, values: impl Iterator<Item = f64>) {
        if self.units() >= Self::COARSE {
            if self.tiny.is_some() {
                self.tiny = None;
            }
            return;
        }
        values.filter(|&value| value > 0.0).for_each(|value| self.tiny.get_or_insert_default().add(value));
    }

    /// Add what another sum holds.
    pub fn merge(&mut self, other: &Self) {
        self.add_units(other.units());
        match &other.tiny {
            _ if self.units() >= Self::COARSE => self.tiny = None,
            Some(more) => self.tiny.get_or_insert_default().merge(more),
            None => {}
        }
    }

    /// The sum divided by `count`.
    pub fn mean(&self, count: u64) -> f64 {
        match &self.tiny {
            Some(tiny) => tiny.mean(count),
            None => self.units() as f64 / Self::UNIT / count as f64,
        }
    }
}

/// A sum of numbers above 0 that keeps at least 65 binary digits from the largest number on, however small that is:
/// each number is cut at fixed places into digits of 32 bits, digits of one place add up exactly, and the three highest
/// places that any number reaches are kept. So the sum is the same bits in whatever order (Demmel and Nguyen, "Fast
/// Reproducible Floating-Point Summation", ARITH 2013), and that of one number is the number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TinySum {
    /// Sums of the digits at the places `top`, `top - 1` and `top - 2`; up to 2^32 numbers add up within 64 bits.
    digits: [u64; 3],
    /// A digit at this place counts `2^(32 (place - ZERO))`; 0 is below all.
    top: u8,
}

impl TinySum {
    const BITS: u32 = 32;

    /// The place whose digit counts whole numbers: the smallest `f64`, 2^-1074, is at place 2.
    const ZERO: u8 = 36;

    fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7ff) as u32, bits & ((1 << 52) - 1));
        // The number is `whole * 2^(shift - 1074)`.
        let (whole, shift) = if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
        // 1074 = 32 * 34 - 14, so its last digit is at place 2, 14 bits up.
        let (place, up) = ((shift + 14) / Self::BITS + 2, (shift + 14) % Self::BITS);
        let moved = u128::from(whole) << up;
        let digits = [moved >> 64, moved >> 32 & 0xffff_ffff, moved & 0xffff_ffff].map(|digit| digit as u64);
        let leading = digits.iter().take_while(|&&digit| digit == 0).count().min(2);
        let mut kept = [0; 3];
        kept[..3 - leading].copy_from_slice(&digits[leading..]);
        self.merge(&Self { digits: kept, top: (place + 2) as u8 - leading as u8 });
    }

    fn merge(&mut self, other: &Self) {
        if self.top < other.top {
            self.digits = self.at(other.top);
            self.top = other.top;
        }
        let more = other.at(self.top);
        self.digits.iter_mut().zip(more).for_each(|(sum, digit)| *sum = sum.saturating_add(digit));
    }

    /// The digits from a place on that is not below the highest.
    fn at(&self, top: u8) -> [u64; 3] {
        let mut digits = [0; 3];
        let below = usize::from(top - self.top).min(3);
        digits[below..].copy_from_slice(&self.digits[..3 - below]);
        digits
    }

    fn mean(&self, count: u64) -> f64 {
        let [first, second, third] = self.digits.map(u128::from);
        let sum = (first << 64).saturating_add(second << 32).saturating_add(third);
        // In two steps, as the power of two itself may be too small for a number.
        let power = i32::from(self.top) - 2 - i32::from(Self::ZERO);
        let power_of_two = |places: i32| 2f64.powi(places * Self::BITS as i32);
        let (half, rest) = (power_of_two(power / 2), power_of_two(power - power / 2));
        sum as f64 * half / count as f64 * rest
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
    use super::{FixedSum, entropy, half_real_prior, with_prior};
    use crate::vectorised::vectorised;

    #[test]
    fn no_idea_is_the_largest_uncertainty_whatever_the_number_of_classes() {
        for classes in 2..12 {
            let equal = vec![1.0 / classes as f64; classes];
            for real in 0..classes {
                let q = with_prior(&equal, &equal, &half_real_prior(classes, real));
                assert!((q.iter().sum::<f64>() - 1.0).abs() < 1e-15 && (q[real] - 0.5).abs() < 1e-15, "{q:?}");
                let uncertainty = entropy(&[q[real], 1.0 - q[real]]);
                assert!((uncertainty - std::f64::consts::LN_2).abs() < 1e-15, "{uncertainty}");
            }
        }
    }

    #[test]
    fn predictions_follow_the_prior() {
        // q = p * to / pi; q / q.sum() in NumPy, p = [.3, .1, .6], pi = [.2, .3, .5], to = [.5, .25, .25].
        let q = with_prior(&[0.3, 0.1, 0.6], &[0.2, 0.3, 0.5], &half_real_prior(3, 0));
        for (found, want) in q.iter().zip([0.661_764_705_882_352_9, 0.073_529_411_764_705_88, 0.264_705_882_352_941_2])
        {
            assert!((found - want).abs() < 1e-15, "{q:?}");
        }
        // The prior of the training is no news.
        let to = half_real_prior(4, 1);
        let same = with_prior(&[0.4, 0.3, 0.2, 0.1], &to, &to);
        assert!(same.iter().zip([0.4, 0.3, 0.2, 0.1]).all(|(a, b): (&f64, f64)| (a - b).abs() < 1e-15));
        // What is certain stays so, and nothing left is the prior.
        assert_eq!(with_prior(&[0.0, 1.0, 0.0], &[1.0 / 3.0; 3], &half_real_prior(3, 0)), [0.0, 1.0, 0.0]);
        assert_eq!(with_prior(&[0.0; 3], &[1.0 / 3.0; 3], &half_real_prior(3, 0)), [0.5, 0.25, 0.25]);
    }

    fn sum_of(values: &[f64]) -> FixedSum {
        let mut sum = FixedSum::default();
        values.iter().for_each(|&value| sum.add(value));
        sum
    }

    fn numbers() -> Vec<f64> {
        let mut values = vec![0.0, f64::MIN_POSITIVE, 1e-310, 0.5, 1.0, 1.5, 3e17, -1e-9, f64::NAN];
        values.extend((0..200).map(|at| 0.7f64.powi(at)));
        values.extend((0..80).flat_map(|at| [0.5f64.powi(at), 0.5f64.powi(at).next_down()]));
        values.extend((-70..40).flat_map(|at| [1.3 * 2f64.powi(at), 2f64.powi(at).next_down()]));
        values
    }

    #[test]
    fn units_are_the_number_rounded_at_its_64th_binary_place() {
        for value in numbers() {
            let want = (value * FixedSum::UNIT).round_ties_even() as u128;
            assert_eq!(sum_of(&[value]).units(), want, "{value:e}");
        }
    }

    #[test]
    fn adding_all_at_once_is_adding_one_by_one() {
        let values = numbers();
        let small: Vec<f64> = values.iter().copied().filter(|value| (0.0..=1.0).contains(value)).collect();
        let many: Vec<f64> = (0..5000).map(|at| f64::from(at) / 4999.0).collect();
        for values in [&[][..], &values, &small, &many] {
            let mut sum = FixedSum::default();
            vectorised(
                #[inline(always)]
                || sum.add_all(values.iter().copied()),
            );
            assert_eq!(sum, sum_of(values));
        }
    }

    #[test]
    fn tiny_numbers_keep_their_digits_in_any_order() {
        let smallest = f64::from_bits(1);
        for value in
            [smallest, 1e-310, f64::MIN_POSITIVE, 1.3e-300, 1e-40, 1.258_925e-22, 1e-21, 3e-7, 2.4e-4, 0.3, 1.0]
        {
            assert_eq!(sum_of(&[value]).mean(1), value, "{value:e}");
            let three = sum_of(&[value; 3]).mean(3);
            assert!((three / value - 1.0).abs() < 1e-15, "{value:e} {three:e}");
        }
        // A thousand numbers of all sizes below the place where they are kept, and the like above it.
        for scale in [1e-60, 1e-25, 1e-9, 1.0] {
            let values: Vec<f64> = (0..1000).map(|at| scale * 0.97f64.powi(at) * f64::from(at % 7 + 1) / 1e4).collect();
            let mut turned: Vec<f64> = values.iter().rev().copied().collect();
            turned.sort_by_key(|value| value.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let forwards = sum_of(&values);
            assert_eq!(forwards, sum_of(&turned));
            let mut merged = FixedSum::default();
            turned.chunks(13).for_each(|part| merged.merge(&sum_of(part)));
            assert_eq!(forwards, merged);
            let plain: f64 = turned.iter().sum();
            assert!((forwards.mean(1) / plain - 1.0).abs() < 1e-12, "{scale}");
        }
        // One number that is not tiny makes the others what they are beside it.
        let mut large = sum_of(&[1e-30, 1e-40]);
        large.add(0.5);
        assert_eq!(large, sum_of(&[0.5, 1e-40, 1e-30]));
        assert_eq!(large.mean(1), 0.5);
    }
}
