//! When to stop drawing posterior samples of one item: once its verdict and its doubt are settled.
//!
//! ```text
//! samples of one item, one by one -> Sequential -> Progress: mean, epistemic part, side of the threshold, settled or not
//! ```
//!
//! Looking after each sample whether it is enough makes an ordinary interval wrong: it is right at one time
//! chosen beforehand. Here every interval is a *confidence sequence*, which is right at all times at once with
//! probability `1 - alpha`, so that one may stop whenever one likes. It is the hedged capital process of
//! Waudby-Smith and Ramdas, "Estimating Means of Bounded Random Variables by Betting" (JRSS B 86, 2024), section
//! 4.4: a gambler bets against "the mean is m", and a mean at which the gambler ever got `2 / alpha` times the stake
//! is ruled out.
//!
//! The intervals are of what infinitely many samples of the posterior would give. They need independent samples, as
//! dropout masks and variational weights are; the members of a fixed ensemble are not drawn anew.

use serde::{Deserialize, Serialize};

use crate::decomposition::epistemic_jackknife;
use crate::probability::{FixedSum, append_normalised, entropy};
use crate::{StatsError, check};

/// No bet is more than this share of what the gambler has against a mean: below 1, so that one sample never
/// ruins it (section 4.4, where it is `c`).
const MOST_STAKED: f64 = 0.75;

/// Steps of the bisection for an end of an interval: to 1e-9.
const STEPS: usize = 30;

/// A confidence sequence for the mean of numbers from 0 to 1 that come one by one. See the [module](self).
#[derive(Clone, Debug)]
pub struct ConfidenceSequence {
    alpha: f64,
    values: Vec<f64>,
    /// The bet on each value, made before it was seen.
    bets: Vec<f64>,
    sum: f64,
    /// Sum of squared distances, each from the mean up to it.
    squares: f64,
}

impl ConfidenceSequence {
    /// No values yet. `alpha` is the probability that the mean is ever outside, above 0 and below 1; errors: another
    /// one.
    pub fn new(alpha: f64) -> Result<Self, StatsError> {
        check::share("alpha", alpha)?;
        Ok(Self { alpha, values: Vec::new(), bets: Vec::new(), sum: 0.0, squares: 0.0 })
    }

    /// Take the next value, 0 to 1. Errors: another one.
    pub fn push(&mut self, value: f64) -> Result<(), StatsError> {
        if !(0.0..=1.0).contains(&value) {
            let (item, expected) = (self.values.len(), "a number from 0 to 1");
            return Err(StatsError::BadValue { name: "the sequence", item, value, expected });
        }
        // Mean and variance so far, with one imagined value of mean 1/2 and variance 1/4.
        let t = (self.values.len() + 1) as f64;
        let variance = (0.25 + self.squares) / t;
        self.bets.push((2.0 * (2.0 / self.alpha).ln() / (variance * t * t.ln_1p())).sqrt());
        self.values.push(value);
        self.sum += value;
        self.squares += (value - (0.5 + self.sum) / (t + 1.0)).powi(2);
        Ok(())
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The interval after these values, and after fewer: all of them hold the mean with probability `1 - alpha`. Where
    /// they have no mean in common, which is as improbable, what lies between them is given.
    pub fn interval(&self) -> (f64, f64) {
        let mirrored: Vec<f64> = self.values.iter().map(|value| 1.0 - value).collect();
        let (low, high) = (self.low(&self.values), 1.0 - self.low(&mirrored));
        (low.min(high), low.max(high))
    }

    /// The largest mean that is ruled out, along with all below it, by values that were higher; 0 without one.
    fn low(&self, values: &[f64]) -> f64 {
        if !self.rules_out(values, 0.0) {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..STEPS {
            let middle = (low + high) / 2.0;
            if self.rules_out(values, middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Whether betting on values above `mean` ever multiplied the stake by `2 / alpha`. The gambler's wealth falls with
    /// `mean`, so what is ruled out ends at one place.
    fn rules_out(&self, values: &[f64], mean: f64) -> bool {
        let (enough, most) = (2.0 / self.alpha, MOST_STAKED / mean);
        let mut wealth = 1.0;
        values.iter().zip(&self.bets).any(|(value, bet)| {
            wealth *= 1.0 + bet.min(most) * (value - mean);
            wealth >= enough
        })
    }
}

/// When the samples of one item are enough.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct StopRule {
    /// The class that the verdict is on.
    pub class: usize,
    /// The verdict is whether its mean probability is above this, 0 to 1.
    pub threshold: f64,
    /// How far the mean probability may be off, above 0 and below 1. Without it only its side counts, and an item is not
    /// settled before it is on one.
    pub mean: Option<f64>,
    /// How far the total uncertainty may be off, nats, above 0; without it any distance will do.
    pub total: Option<f64>,
    /// The same of the aleatoric part.
    pub aleatoric: Option<f64>,
    /// The same of the epistemic part, which takes the most samples.
    pub epistemic: Option<f64>,
    /// The probability that anything said at the end is wrong: the verdict's side, or a number by more than its
    /// tolerance. Above 0 and below 1.
    pub alpha: f64,
    /// No stop before so many samples; 2 or more, since the jackknife leaves one out.
    pub least: usize,
    /// An end after so many, settled or not.
    pub most: usize,
}

impl Default for StopRule {
    /// The class 1 (fake, in a binary task) at one half; the mean to 0.1, the epistemic part to 0.1 nats, wrong in one
    /// of twenty items at most; 8 to 500 samples.
    fn default() -> Self {
        Self {
            class: 1,
            threshold: 0.5,
            mean: Some(0.1),
            total: None,
            aleatoric: None,
            epistemic: Some(0.1),
            alpha: 0.05,
            least: 8,
            most: 500,
        }
    }
}

impl StopRule {
    /// What `--samples auto` asks: on which side of one half P(fake) is, and total and aleatoric uncertainty to
    /// `tolerance` nats; of the epistemic part an interval, however wide. 16 to `most` samples, wrong in one of twenty
    /// items at most.
    pub fn verdict(tolerance: f64, most: usize) -> Self {
        let asked = Some(tolerance);
        Self { mean: None, total: asked, aleatoric: asked, epistemic: None, least: 16, most, ..Self::default() }
    }
}

/// On which side of the threshold the mean probability lies.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Above it.
    Above,
    /// Below it.
    Below,
    /// So near that the tolerance of the mean does not tell.
    Near,
}

/// A number of infinitely many samples, estimated from those that there are.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct Tracked {
    /// The estimate.
    pub value: f64,
    /// Lower end of what it can be.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Tracked {
    /// Whether the value is nowhere off by more than this; it is, where nothing is asked.
    fn is_within(&self, tolerance: Option<f64>) -> bool {
        tolerance.is_none_or(|most| self.value - self.low <= most && self.high - self.value <= most)
    }
}

/// What is known of one item after some samples.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Number of samples.
    pub samples: usize,
    /// Mean probability of the class that the verdict is on.
    pub mean: Tracked,
    /// Total uncertainty: entropy of the mean, nats.
    pub total: Tracked,
    /// Mean entropy of the samples, nats: the aleatoric part. Of a video, whose samples are averaged over its frames, it
    /// holds what the frames disagree about too.
    pub aleatoric: Tracked,
    /// Epistemic uncertainty (mutual information), nats; the value is [jackknifed](epistemic_jackknife), so that the
    /// number of samples does not bias it, and may be a hair below 0.
    pub epistemic: Tracked,
    /// The verdict; `None` while it is open.
    pub side: Option<Side>,
    /// Whether the verdict and all that the [`StopRule`] asks are settled.
    pub settled: bool,
    /// Whether to stop: settled, or as many samples as may be drawn.
    pub stop: bool,
}

/// The samples of one item (of a video: each averaged over its frames first), and what they tell so far.
///
/// ```
/// use dubito_stats::{Sequential, Side, StopRule};
/// let mut item = Sequential::new(2, StopRule::default())?;
/// let progress = loop {
///     for _ in 0..8 {
///         item.push(&[0.04, 0.96])?; // a network's next sample
///     }
///     let progress = item.progress()?;
///     if progress.stop {
///         break progress;
///     }
/// };
/// assert_eq!(progress.side, Some(Side::Above));
/// assert!(progress.settled && progress.samples < 200);
/// # Ok::<(), dubito_stats::StatsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sequential {
    rule: StopRule,
    classes: usize,
    /// `[samples, classes]`.
    rows: Vec<f64>,
    /// Of each class' probability; of two classes of one of them, since the other follows.
    means: Vec<ConfidenceSequence>,
    /// Of the samples' entropies, as shares of the largest one.
    entropies: ConfidenceSequence,
}

impl Sequential {
    /// No samples yet, of so many classes. Errors: fewer than two classes, or a rule whose numbers are out of their
    /// range.
    pub fn new(classes: usize, rule: StopRule) -> Result<Self, StatsError> {
        let bad = |name, value: String, expected| Err(StatsError::BadParameter { name, value, expected });
        if classes < 2 {
            return bad("classes", classes.to_string(), "two or more");
        }
        if rule.class >= classes {
            return bad("class", rule.class.to_string(), "the index of a class, counted from 0");
        }
        rule.mean.map_or(Ok(()), |mean| check::share("mean", mean))?;
        for (name, asked) in [("total", rule.total), ("aleatoric", rule.aleatoric), ("epistemic", rule.epistemic)] {
            if let Some(nats) = asked.filter(|nats| !(*nats > 0.0 && nats.is_finite())) {
                return bad(name, nats.to_string(), "a number of nats above 0");
            }
        }
        if !(0.0..=1.0).contains(&rule.threshold) {
            return bad("threshold", rule.threshold.to_string(), "a number from 0 to 1");
        }
        check::share("alpha", rule.alpha)?;
        if rule.least < 2 || rule.most < rule.least {
            let found = format!("{} to {}", rule.least, rule.most);
            return bad("number of samples", found, "at least two, and no fewer at most than at least");
        }
        let followed = if classes == 2 { 1 } else { classes };
        // What may go wrong is shared evenly among the sequences.
        let sequence = ConfidenceSequence::new(rule.alpha / (followed + 1) as f64)?;
        Ok(Self { rule, classes, rows: Vec::new(), means: vec![sequence.clone(); followed], entropies: sequence })
    }

    /// Take the next sample: the probability of each class. Errors: another number of them, or no probabilities.
    pub fn push(&mut self, probs: &[f64]) -> Result<(), StatsError> {
        let (at, sample) = (self.rows.len(), self.samples());
        append_normalised(probs, self.classes, &mut self.rows, || format!("sample {sample}"))?;
        let row = &self.rows[at..];
        match self.means.as_mut_slice() {
            [one] => one.push(row[self.rule.class])?,
            all => all.iter_mut().zip(row).try_for_each(|(sequence, &p)| sequence.push(p))?,
        }
        self.entropies.push((entropy(row) / (self.classes as f64).ln()).min(1.0))
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.rows.len() / self.classes
    }

    /// What is known now. Error: fewer than two samples.
    pub fn progress(&self) -> Result<Progress, StatsError> {
        let samples = self.samples();
        let jackknife = epistemic_jackknife(&self.rows, self.classes)?;
        let mean_of = |class: usize| {
            let mut sum = FixedSum::default();
            self.rows.chunks_exact(self.classes).for_each(|row| sum.add(row[class]));
            sum.mean(samples as u64)
        };
        let mut doubt = FixedSum::default();
        self.rows.chunks_exact(self.classes).for_each(|row| doubt.add(entropy(row)));
        let ranges: Vec<(f64, f64)> = self.means.iter().map(ConfidenceSequence::interval).collect();
        let (low, high) = ranges[if ranges.len() == 1 { 0 } else { self.rule.class }];
        let mean = Tracked { value: mean_of(self.rule.class), low, high };

        let most = (self.classes as f64).ln();
        let means: Vec<f64> = (0..self.classes).map(mean_of).collect();
        let (low, high) = entropy_range(&ranges);
        let total = Tracked { value: entropy(&means), low, high: high.min(most) };
        let (low, high) = self.entropies.interval();
        let aleatoric = Tracked { value: doubt.mean(samples as u64), low: most * low, high: most * high };
        let epistemic = Tracked {
            value: jackknife,
            low: (total.low - aleatoric.high).max(0.0),
            high: (total.high - aleatoric.low).max(0.0),
        };

        let rule = &self.rule;
        let side = match () {
            () if mean.low > rule.threshold => Some(Side::Above),
            () if mean.high < rule.threshold => Some(Side::Below),
            () => (rule.mean.is_some() && mean.is_within(rule.mean)).then_some(Side::Near),
        };
        let settled = samples >= rule.least
            && side.is_some()
            && [(mean, rule.mean), (total, rule.total), (aleatoric, rule.aleatoric), (epistemic, rule.epistemic)]
                .iter()
                .all(|(tracked, asked)| tracked.is_within(*asked));
        let stop = settled || samples >= rule.most;
        Ok(Progress { samples, mean, total, aleatoric, epistemic, side, settled, stop })
    }
}

/// The least and the largest entropy (nats) of probabilities in these ranges: of one class out of two, or of each. Of
/// more than two that they sum to 1 is not used, so the range may be wider than it has to be.
fn entropy_range(ranges: &[(f64, f64)]) -> (f64, f64) {
    let range = |of: &dyn Fn(f64) -> f64, peak: f64, (low, high): (f64, f64)| {
        (of(low).min(of(high)), of(peak.clamp(low, high)))
    };
    if let [one] = ranges {
        return range(&|p| entropy(&[p, 1.0 - p]), 0.5, *one);
    }
    let term = |p: f64| entropy(&[p]);
    let add = |sum: (f64, f64), more: (f64, f64)| (sum.0 + more.0, sum.1 + more.1);
    ranges.iter().map(|&one| range(&term, (-1.0f64).exp(), one)).fold((0.0, 0.0), add)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    use super::*;

    fn uniform(random: &mut ChaCha8Rng) -> f64 {
        (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A law of P(fake): its name, its mean, a draw.
    type Law = (&'static str, f64, fn(f64) -> f64);

    /// Sure, wavering, nearly always one thing, and anything at all.
    const LAWS: [Law; 5] = [
        ("near .95", 0.95, |u| 0.9 + 0.1 * u),
        ("uniform", 0.5, |u| u),
        ("squared", 1.0 / 3.0, |u| u * u),
        ("coin of .1", 0.1, |u| f64::from(u8::from(u < 0.1))),
        ("two networks", 0.55, |u| if u < 0.5 { 0.2 } else { 0.9 }),
    ];

    /// Golden values of golden/sequential.py: the gambler's wealth and the intervals of confseq.
    #[test]
    fn intervals_are_those_of_confseq() {
        #[derive(Deserialize)]
        struct Case {
            name: String,
            alpha: f64,
            values: Vec<f64>,
            /// After how many values, and the ends.
            intervals: Vec<(usize, f64, f64)>,
            bets: Vec<f64>,
        }
        #[derive(Deserialize)]
        struct Golden {
            grid: f64,
            cases: Vec<Case>,
        }
        let golden: Golden = serde_json::from_str(include_str!("../tests/golden/sequential.json")).unwrap();
        assert!(golden.cases.len() > 5);
        for case in &golden.cases {
            let mut sequence = ConfidenceSequence::new(case.alpha).unwrap();
            let mut checked = 0;
            for (at, &value) in case.values.iter().enumerate() {
                sequence.push(value).unwrap();
                assert!((sequence.bets[at] / case.bets[at] - 1.0).abs() < 1e-9, "{} {at}", case.name);
                for &(_, low, high) in case.intervals.iter().filter(|(count, ..)| *count == at + 1) {
                    let found = sequence.interval();
                    let is_near = |a: f64, b: f64| (a - b).abs() <= 1.01 * golden.grid;
                    assert!(is_near(found.0, low) && is_near(found.1, high), "{} {at}: {found:?}", case.name);
                    checked += 1;
                }
            }
            assert_eq!(checked, case.intervals.len());
        }
    }

    /// The mean leaves the interval at any of 300 times in at most `alpha` of the sequences: 4 standard errors of 1,000
    /// simulations above it would be .128.
    #[test]
    fn the_mean_is_hardly_ever_outside_at_any_time() {
        let (alpha, runs) = (0.1, 1000);
        for (at, (name, mean, draw)) in LAWS.into_iter().enumerate() {
            let mut random = ChaCha8Rng::seed_from_u64(at as u64);
            let missed = (0..runs).filter(|_| {
                let mut sequence = ConfidenceSequence::new(alpha).unwrap();
                (0..300).for_each(|_| sequence.push(draw(uniform(&mut random))).unwrap());
                let mirrored: Vec<f64> = sequence.values.iter().map(|value| 1.0 - value).collect();
                sequence.rules_out(&sequence.values, mean) || sequence.rules_out(&mirrored, 1.0 - mean)
            });
            let missed = missed.count();
            assert!(missed as f64 <= 0.128 * runs as f64, "{name}: {missed} of {runs}");
        }
    }

    /// Mutual information of P(fake) by the midpoint rule.
    fn information(mean: f64, draw: fn(f64) -> f64) -> f64 {
        let of = |p: f64| entropy(&[p, 1.0 - p]);
        let points = 20_000;
        of(mean)
            - (0..points).map(|i| of(draw((f64::from(i) + 0.5) / f64::from(points)))).sum::<f64>() / f64::from(points)
    }

    #[test]
    fn what_is_said_at_the_stop_is_right_as_often_as_promised() {
        let rule = StopRule { alpha: 0.1, ..StopRule::default() };
        let runs = 200;
        for (at, (name, mean, draw)) in LAWS.into_iter().enumerate() {
            let mut random = ChaCha8Rng::seed_from_u64(100 + at as u64);
            let truth = information(mean, draw);
            let (mut wrong, mut settled, mut samples) = (0, 0, 0);
            for _ in 0..runs {
                let mut item = Sequential::new(2, rule.clone()).unwrap();
                let progress = loop {
                    let p = draw(uniform(&mut random));
                    item.push(&[1.0 - p, p]).unwrap();
                    if item.samples().is_multiple_of(8) {
                        let progress = item.progress().unwrap();
                        if progress.stop || item.samples() >= rule.most {
                            break progress;
                        }
                    }
                };
                samples += progress.samples;
                settled += usize::from(progress.settled);
                let is_side_wrong = match progress.side {
                    Some(Side::Above) => mean <= rule.threshold,
                    Some(Side::Below) => mean >= rule.threshold,
                    Some(Side::Near) => (mean - rule.threshold).abs() > 2.0 * 0.1,
                    None => progress.settled,
                };
                let is_off = (progress.mean.value - mean).abs() > 0.1 || (progress.epistemic.value - truth).abs() > 0.1;
                wrong += usize::from(progress.settled && (is_side_wrong || is_off));
            }
            // Networks that contradict each other take more samples than the rule allows.
            assert!(at > 2 || settled as f64 >= 0.95 * runs as f64, "{name}: {settled} settled");
            assert!(wrong as f64 <= 0.1 * runs as f64, "{name}: {wrong} wrong");
            println!("{name}: {} samples on average, {wrong} of {runs} wrong", samples / runs);
            if at == 0 {
                assert!(samples / runs < 200, "a sure item does not take all samples: {samples}");
            }
        }
    }

    /// The rule of `--samples auto`, looked at as often as the program does: the side of one half differs from that of
    /// infinitely many samples, or total or aleatoric part are off by more than the tolerance, in at most one of twenty
    /// settled items; an item that says its mind settles, and one whose mean is one half never takes a side.
    #[test]
    fn a_settled_verdict_is_that_of_many_samples() {
        let (runs, tolerance) = (400, 0.2);
        let laws: [Law; 7] = [
            ("near .95", 0.95, |u| 0.9 + 0.1 * u),
            ("near .02", 0.02, |u| 0.04 * u),
            (".5 to .9", 0.7, |u| 0.5 + 0.4 * u),
            (".3 to .8", 0.55, |u| 0.3 + 0.5 * u),
            ("squared", 1.0 / 3.0, |u| u * u),
            ("two networks", 0.55, |u| if u < 0.5 { 0.2 } else { 0.9 }),
            ("uniform", 0.5, |u| u),
        ];
        for (at, (name, mean, draw)) in laws.into_iter().enumerate() {
            let mut random = ChaCha8Rng::seed_from_u64(500 + at as u64);
            let total = entropy(&[mean, 1.0 - mean]);
            let aleatoric = total - information(mean, draw);
            let (mut wrong, mut settled, mut samples) = (0, 0, 0);
            for _ in 0..runs {
                let mut item = Sequential::new(2, StopRule::verdict(tolerance, 400)).unwrap();
                let progress = loop {
                    let p = draw(uniform(&mut random));
                    item.push(&[1.0 - p, p]).unwrap();
                    if item.samples().is_multiple_of(8) {
                        let progress = item.progress().unwrap();
                        if progress.stop {
                            break progress;
                        }
                    }
                };
                samples += progress.samples;
                settled += usize::from(progress.settled);
                let is_other_side = match progress.side {
                    Some(Side::Above) => mean <= 0.5,
                    Some(Side::Below) => mean >= 0.5,
                    _ => false,
                };
                let is_off = (progress.total.value - total).abs() > tolerance
                    || (progress.aleatoric.value - aleatoric).abs() > tolerance;
                wrong += usize::from(is_other_side || progress.settled && is_off);
            }
            println!("{name}: {} samples on average, {settled} of {runs} settled, {wrong} wrong", samples / runs);
            assert!(wrong as f64 <= 0.05 * runs as f64, "{name}: {wrong} of {runs} wrong");
            assert!(at > 2 || settled as f64 >= 0.99 * runs as f64 && samples / runs < 120, "{name}: {samples}");
            assert!(name != "uniform" || settled as f64 <= 0.05 * runs as f64, "{name}: {settled} took a side");
        }
    }

    #[test]
    fn classes_order_and_bad_input() {
        // Three classes: the same samples in another order settle alike, intervals hold the estimates.
        let rows = |i: usize| if i.is_multiple_of(2) { [0.7, 0.2, 0.1] } else { [0.5, 0.1, 0.4] };
        let mut item = Sequential::new(3, StopRule { class: 0, ..StopRule::default() }).unwrap();
        assert!(item.progress().is_err(), "nothing is known of no samples");
        (0..100).for_each(|i| item.push(&rows(i)).unwrap());
        let progress = item.progress().unwrap();
        let holds = |t: Tracked| t.low <= t.value && t.value <= t.high;
        assert!(holds(progress.mean) && holds(progress.epistemic), "{progress:?}");
        assert_eq!(progress.side, Some(Side::Above));
        assert!((progress.mean.value - 0.6).abs() < 1e-12);

        for bad in [vec![0.5], vec![0.5, f64::NAN, 0.5], vec![0.9, 0.9, 0.9], vec![-0.5, 1.0, 0.5]] {
            assert!(item.push(&bad).is_err(), "{bad:?}");
        }
        assert_eq!(item.samples(), 100, "a bad sample leaves nothing behind");
        let rule = StopRule::default;
        for bad in [
            StopRule { class: 2, ..rule() },
            StopRule { threshold: f64::NAN, ..rule() },
            StopRule { mean: Some(0.0), ..rule() },
            StopRule { epistemic: Some(f64::INFINITY), ..rule() },
            StopRule { total: Some(0.0), ..rule() },
            StopRule { aleatoric: Some(f64::NAN), ..rule() },
            StopRule { alpha: 1.0, ..rule() },
            StopRule { least: 1, ..rule() },
            StopRule { least: 9, most: 8, ..rule() },
        ] {
            assert!(Sequential::new(2, bad.clone()).is_err(), "{bad:?}");
        }
        assert!(Sequential::new(1, rule()).is_err());
        assert!(ConfidenceSequence::new(0.1).unwrap().push(1.5).is_err());
    }
}
