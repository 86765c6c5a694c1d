//! Likelihood ratios, their cost, their limits and their verbal scale: what a court can use.
//!
//! ```text
//! calibration posteriors -> LikelihoodRatios -> log10 LR of other items -> Cllr, Tippett, ECE, verbal scale
//! ```
//!
//! The likelihood ratio (LR) says how much more probable the detector's output is if the item is fake than
//! if it is real. It does not depend on how common fakes are; that is for whoever decides. Everything here
//! is in log10 LR, above 0 for fake; costs are in bits.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::discrimination::OfBlocks;
use crate::items::Scale;
use crate::ranking::{Block as Ranked, Curve, Order, Ranking};
use crate::weighted::{Undefined, Weighted};
use crate::{Estimate, StatsError, check};

/// Posteriors nearer than this to 0 or 1, or up to 1e-6 outside, count as this near: the distance from 1 to the next `f64`, as in
/// [`NLL_FLOOR`](crate::calibration::NLL_FLOOR).
pub const POSTERIOR_FLOOR: f64 = f64::EPSILON;

/// No log10 LR is further from 0 than this in a cost: that of a posterior at [`POSTERIOR_FLOOR`] under
/// equal priors. Infinite ones count as this.
pub const LARGEST_LOG10_LR: f64 = 15.653_559_774_527_022;

/// How a detector's posterior becomes a calibrated likelihood ratio.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Recalibration {
    /// Not at all: logit of the posterior minus logit of the prior.
    None,
    /// `ln LR = slope * logit(posterior) + intercept` by logistic regression without penalty, both classes
    /// of equal weight, which minimises [`Cllr`] (Brummer and du Preez 2006; the sigmoid of Platt, 1999).
    Logistic,
    /// Isotonic regression by pool adjacent violators, with straight lines (of the posterior under equal
    /// priors, over the logit) between the blocks and constant beyond the ends (Zadrozny and Elkan,
    /// KDD 2002). Its extremes are infinite before the limits apply.
    Pav,
}

/// The largest likelihood ratios that validation items can support, in either direction.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// Lowest log10 LR, 0 or less.
    pub low: f64,
    /// Highest log10 LR, 0 or more.
    pub high: f64,
    /// Clusters (videos or identities) with fake items.
    pub fakes: usize,
    /// Clusters with real items.
    pub reals: usize,
}

/// Empirical lower and upper bound of the LR, ELUB (Vergeer, van Es, de Jongh, Alberink and Stoel,
/// "Numerical likelihood ratios outputted by LR systems are often based on extrapolation: when to stop
/// extrapolating?", Science and Justice 56, 2016).
///
/// One more misleading LR is imagined on each side. The upper bound is the first LR threshold `t`, from 1
/// on, at which deciding by the system costs more than not using it: where `t` times the share of reals
/// above it, `(above + 1) / (reals + 1)`, exceeds the share of fakes above it, `above / (fakes + 1)`. The lower
/// bound likewise. So LRs stay below the number of reals plus one, and above one over the number of fakes plus
/// one. Where items share clusters, that holds for the number of clusters as well, since items of one video
/// do not add up like independent ones.
///
/// Infinite LRs are allowed. Errors: lists of different length, a NaN, or only one class.
pub fn limits(log10_lr: &[f64], fake: &[bool], clusters: &[u32]) -> Result<Limits, StatsError> {
    check_ratios(log10_lr, fake)?;
    check::length("clusters", clusters.len(), fake.len())?;
    let of = |class: bool| -> (Vec<f64>, usize) {
        let at = || (0..fake.len()).filter(|&i| fake[i] == class);
        let own: Vec<u32> = at().map(|i| clusters[i]).collect();
        (at().map(|i| log10_lr[i]).collect(), check::count_distinct(&own))
    };
    let ((mut fakes, fake_clusters), (mut reals, real_clusters)) = (of(true), of(false));
    if fakes.is_empty() || reals.is_empty() {
        return Err(StatsError::CannotFit {
            what: "the limits of likelihood ratios",
            because: "they need validation items that are fake and such that are real".into(),
        });
    }
    let high = upper_limit(&mut fakes, &mut reals).min((real_clusters as f64 + 1.0).log10());
    reals.iter_mut().chain(&mut fakes).for_each(|lr| *lr = -*lr);
    let low = -upper_limit(&mut reals, &mut fakes).min((fake_clusters as f64 + 1.0).log10());
    // Adding 0 turns -0 into 0.
    Ok(Limits { low: low + 0.0, high, fakes: fake_clusters, reals: real_clusters })
}

/// The first `log10 t >= 0` at which `t (others above t + 1) / (others + 1) > hits above t / (hits + 1)`.
fn upper_limit(hits: &mut [f64], others: &mut [f64]) -> f64 {
    hits.sort_by(f64::total_cmp);
    others.sort_by(f64::total_cmp);
    let above = |sorted: &[f64], t: f64| sorted.len() - sorted.partition_point(|&v| v <= t);
    // Between two neighbouring values the counts stay and the cost rises with t.
    let mut start = 0.0;
    loop {
        let share = above(hits, start) as f64 / (hits.len() + 1) as f64;
        let alarms = (above(others, start) + 1) as f64 / (others.len() + 1) as f64;
        let most = (share / alarms).log10();
        if most <= start {
            return start;
        }
        let next = |sorted: &[f64]| sorted.get(sorted.partition_point(|&v| v <= start)).copied();
        let end = next(hits).into_iter().chain(next(others)).fold(f64::INFINITY, f64::min);
        if most < end {
            return most;
        }
        start = end;
    }
}

/// Likelihood ratios of a detector, fitted on one split and used on others.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct LikelihoodRatios {
    /// How they are recalibrated.
    pub recalibration: Recalibration,
    /// The share of fakes that the posteriors took for granted: given, or that of the calibration split.
    /// Recalibration replaces it.
    pub prior: f64,
    /// What the calibration items can support.
    pub limits: Limits,
    /// What turns a logit into a natural logarithm of an LR.
    pub map: LogitMap,
}

/// From the logit of a posterior to the log10 LR.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum LogitMap {
    /// `(slope * logit + intercept) / ln 10`.
    Line {
        /// 1 without recalibration.
        slope: f64,
        /// Minus the prior's logit without recalibration.
        intercept: f64,
    },
    /// Straight lines through these points: logit (rising), posterior under equal priors.
    Points(Vec<(f64, f64)>),
}

impl LikelihoodRatios {
    /// From calibration items: posterior probabilities of fake, what they are, and their clusters (video or
    /// identity, for the limits; the fit counts items, so give it one for each video).
    ///
    /// `prior` is the share of fakes that the detector was trained for, above 0 and below 1; without it, that
    /// of the calibration items. The limits are those of these items after recalibration ([`limits`]).
    ///
    /// Errors: lists of different length, a posterior or prior outside its range, or items that do not
    /// determine the fit: one class only or, for the logistic regression, classes that one threshold separates
    /// without error (its slope would be infinite).
    pub fn fit(
        posterior: &[f64],
        fake: &[bool],
        clusters: &[u32],
        prior: Option<f64>,
        recalibration: Recalibration,
    ) -> Result<Self, StatsError> {
        check::length("fake", fake.len(), posterior.len())?;
        Self::fit_log_odds(&logits(posterior)?, fake, clusters, prior, recalibration)
    }

    /// [`fit`](Self::fit), from the posteriors' log-odds (no NaN), which tell apart what rounds to 0 and 1.
    pub fn fit_log_odds(
        log_odds: &[f64],
        fake: &[bool],
        clusters: &[u32],
        prior: Option<f64>,
        recalibration: Recalibration,
    ) -> Result<Self, StatsError> {
        check_ratios(log_odds, fake)?;
        check::length("clusters", clusters.len(), log_odds.len())?;
        let fakes = fake.iter().filter(|&&f| f).count();
        if fakes == 0 || fakes == fake.len() {
            return Err(StatsError::CannotFit {
                what: "likelihood ratios",
                because: "they need calibration items that are fake and such that are real".into(),
            });
        }
        let prior = prior.unwrap_or(fakes as f64 / fake.len() as f64);
        check::share("prior", prior)?;
        let map = match recalibration {
            Recalibration::None => LogitMap::Line { slope: 1.0, intercept: -(prior / (1.0 - prior)).ln() },
            Recalibration::Logistic => logistic(log_odds, fake)?,
            Recalibration::Pav => isotonic(log_odds, fake),
        };
        let ratios: Vec<f64> = log_odds.iter().map(|&logit| map.log10_lr(logit)).collect();
        Ok(Self { recalibration, prior, limits: limits(&ratios, fake, clusters)?, map })
    }

    /// log10 LR of these posteriors, kept within the limits.
    pub fn log10_lr(&self, posterior: &[f64]) -> Result<Vec<f64>, StatsError> {
        Ok(self.limited(self.unlimited_log10_lr(posterior)?))
    }

    /// log10 LR of these posteriors as they come, whatever the calibration items can support;
    /// [`Recalibration::Pav`] may give infinite ones. For costs and plots of the system itself.
    pub fn unlimited_log10_lr(&self, posterior: &[f64]) -> Result<Vec<f64>, StatsError> {
        Ok(self.unlimited_of_log_odds(&logits(posterior)?))
    }

    /// [`unlimited_log10_lr`](Self::unlimited_log10_lr), from the posteriors' log-odds.
    pub fn unlimited_of_log_odds(&self, log_odds: &[f64]) -> Vec<f64> {
        log_odds.iter().map(|&logit| self.map.log10_lr(logit)).collect()
    }

    /// These log10 LRs, kept within the limits.
    pub fn limited(&self, mut log10_lr: Vec<f64>) -> Vec<f64> {
        log10_lr.iter_mut().for_each(|lr| *lr = lr.clamp(self.limits.low, self.limits.high));
        log10_lr
    }
}

impl LogitMap {
    fn log10_lr(&self, logit: f64) -> f64 {
        match self {
            Self::Line { slope, intercept } => (slope * logit + intercept) / std::f64::consts::LN_10,
            Self::Points(points) => {
                let at = points.partition_point(|(x, _)| *x < logit);
                let p = match (at.checked_sub(1).map(|below| points[below]), points.get(at)) {
                    (Some((x0, p0)), Some(&(x1, p1))) => p0 + (p1 - p0) * (logit - x0) / (x1 - x0),
                    (Some((_, p)), None) | (None, Some(&(_, p))) => p,
                    (None, None) => 0.5,
                };
                (p / (1.0 - p)).log10()
            }
        }
    }
}

fn logits(posterior: &[f64]) -> Result<Vec<f64>, StatsError> {
    // What rounding put a hair outside counts as 0 or 1, as everywhere in this crate.
    let inside = |p: &f64| if (-1e-6..=1.0 + 1e-6).contains(p) { p.clamp(0.0, 1.0) } else { *p };
    let posterior: Vec<f64> = posterior.iter().map(inside).collect();
    check::probabilities("posterior", &posterior)?;
    Ok(posterior
        .iter()
        .map(|p| {
            let p = p.clamp(POSTERIOR_FLOOR, 1.0 - POSTERIOR_FLOOR);
            p.ln() - (-p).ln_1p()
        })
        .collect())
}

/// Logistic regression of the class on the logit, classes of equal weight, by Newton's method.
fn logistic(logits: &[f64], fake: &[bool]) -> Result<LogitMap, StatsError> {
    let mut rows: Vec<(f64, bool)> = logits.iter().copied().zip(fake.iter().copied()).collect();
    // By content, so that the sums do not depend on the order of the items.
    rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let range = |class: bool| {
        let mut values = rows.iter().filter(|row| row.1 == class).map(|row| row.0);
        let first = values.next().unwrap_or(0.0);
        (first, values.next_back().unwrap_or(first))
    };
    let (fakes, reals) = (range(true), range(false));
    if fakes.0 >= reals.1 || reals.0 >= fakes.1 {
        return Err(StatsError::CannotFit {
            what: "the logistic recalibration",
            because: "one threshold separates the calibration items without error (or all are alike), so its slope has no limit: use more calibration items, or Recalibration::Pav, whose limits keep it finite".into(),
        });
    }
    let count = fake.iter().filter(|&&f| f).count();
    let weight = |class: bool| 0.5 / if class { count } else { fake.len() - count } as f64;
    let loss = |a: f64, b: f64| -> f64 {
        rows.iter().map(|&(x, f)| weight(f) * softplus(if f { -(a * x + b) } else { a * x + b })).sum()
    };
    let (mut a, mut b) = (0.0, 0.0);
    let mut now = loss(a, b);
    for _ in 0..200 {
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(x, f) in &rows {
            let p = 1.0 / (1.0 + (-(a * x + b)).exp());
            let (residual, curve) = (weight(f) * (p - f64::from(u8::from(f))), weight(f) * p * (1.0 - p));
            ga += residual * x;
            gb += residual;
            haa += curve * x * x;
            hab += curve * x;
            hbb += curve;
        }
        let determinant = haa * hbb - hab * hab;
        let (da, db) = ((hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant);
        if !(da.is_finite() && db.is_finite()) {
            break;
        }
        // Halve the step until it does not make things worse.
        let mut step = 1.0;
        while step > 1e-10 && loss(a - step * da, b - step * db) > now {
            step /= 2.0;
        }
        if step <= 1e-10 {
            break;
        }
        a -= step * da;
        b -= step * db;
        now = loss(a, b);
        if (step * da).abs() + (step * db).abs() < 1e-13 * (1.0 + a.abs() + b.abs()) {
            break;
        }
    }
    Ok(LogitMap::Line { slope: a, intercept: b })
}

fn isotonic(logits: &[f64], fake: &[bool]) -> LogitMap {
    let mut rows: Vec<(f64, bool)> = logits.iter().map(|x| x + 0.0).zip(fake.iter().copied()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Blocks of equal logits, with their ends.
    let ties: Vec<(f64, Block)> = rows
        .chunk_by(|a, b| a.0 == b.0)
        .map(|tie| {
            let fakes = tie.iter().filter(|row| row.1).count() as u64;
            (tie[0].0, Block { fakes, reals: tie.len() as u64 - fakes })
        })
        .collect();
    let blocks = pool(ties.iter().map(|(_, block)| *block));
    let total = Block::sum(&blocks);
    let (mut points, mut ties) = (Vec::new(), ties.into_iter().map(|(x, block)| (x, block.fakes + block.reals)));
    for block in &blocks {
        let odds = block.log10_lr(&total);
        let p = if odds == f64::INFINITY { 1.0 } else { 10f64.powf(odds) / (1.0 + 10f64.powf(odds)) };
        let (mut left, mut first, mut last) = (block.fakes + block.reals, None, 0.0);
        while left > 0
            && let Some((x, items)) = ties.next()
        {
            first.get_or_insert(x);
            last = x;
            left -= items;
        }
        let first = first.unwrap_or(last);
        points.push((first, p));
        if last > first {
            points.push((last, p));
        }
    }
    LogitMap::Points(points)
}

/// Fake and real items of neighbouring scores.
#[derive(Clone, Copy)]
struct Block {
    fakes: u64,
    reals: u64,
}

impl Block {
    fn sum(blocks: &[Block]) -> Block {
        Block { fakes: blocks.iter().map(|b| b.fakes).sum(), reals: blocks.iter().map(|b| b.reals).sum() }
    }

    /// log10 LR of a block among all; infinite where it holds one class only.
    fn log10_lr(&self, all: &Block) -> f64 {
        let share = |part: u64, all: u64| part as f64 / all as f64;
        (share(self.fakes, all.fakes) / share(self.reals, all.reals)).log10()
    }
}

/// Pool adjacent violators over blocks of rising score: neighbours are joined until the share of fakes
/// rises strictly (Ayer et al., "An Empirical Distribution Function for Sampling with Incomplete
/// Information", Annals of Mathematical Statistics 26, 1955). In whole numbers: no rounding.
fn pool(blocks: impl Iterator<Item = Block>) -> Vec<Block> {
    let mut pooled: Vec<Block> = Vec::new();
    for mut block in blocks {
        while let Some(last) = pooled.last()
            && u128::from(last.fakes) * u128::from(block.reals) >= u128::from(block.fakes) * u128::from(last.reals)
        {
            block.fakes += last.fakes;
            block.reals += last.reals;
            pooled.pop();
        }
        pooled.push(block);
    }
    pooled
}

/// The blocks of the isotonic regression of weighted items.
fn pooled(curve: &Curve) -> Result<(Vec<Block>, Block), Undefined> {
    curve.both()?;
    let mut blocks = Vec::new();
    curve.blocks(|block| blocks.push(Block { fakes: block.hits, reals: block.others }));
    let blocks = pool(blocks.into_iter());
    let all = Block::sum(&blocks);
    Ok((blocks, all))
}

fn both(fakes: u64, reals: u64) -> Result<(), Undefined> {
    match (fakes, reals) {
        (0, 0) => Err(Undefined::NoItems),
        (0, _) => Err(Undefined::NoPositives),
        (_, 0) => Err(Undefined::NoNegatives),
        _ => Ok(()),
    }
}

/// `ln(1 + e^x)`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `log2(1 + 10^x)`.
fn bits(x: f64) -> f64 {
    softplus(x * std::f64::consts::LN_10) / std::f64::consts::LN_2
}

/// Cost of log likelihood ratios in bits: half the mean of `log2(1 + 1/LR)` over the fakes plus half the
/// mean of `log2(1 + LR)` over the reals (Brummer and du Preez, "Application-Independent Evaluation of
/// Speaker Detection", Computer Speech and Language 20, 2006). 0 is perfect, LR = 1 throughout costs 1,
/// more than 1 is worse than saying nothing. Ratios further from 0 than [`LARGEST_LOG10_LR`] are clipped
/// there, so that it is finite. Needs fakes and reals.
pub struct Cllr {
    /// Item, whether it is fake, its cost; by content.
    costs: Vec<(u32, bool, f64)>,
}

impl Cllr {
    /// Of these log10 LRs (no NaN; infinite ones are clipped).
    pub fn new(log10_lr: &[f64], fake: &[bool]) -> Self {
        let cost = |lr: f64, fake: bool| {
            let lr = lr.clamp(-LARGEST_LOG10_LR, LARGEST_LOG10_LR);
            bits(if fake { -lr } else { lr })
        };
        let mut costs: Vec<(u32, bool, f64)> =
            (0u32..).zip(log10_lr).zip(fake).map(|((at, &lr), &fake)| (at, fake, cost(lr, fake))).collect();
        costs.sort_by(|a, b| a.1.cmp(&b.1).then(a.2.total_cmp(&b.2)));
        Self { costs }
    }
}

impl Weighted for Cllr {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let (mut counts, mut sums) = ([0u64; 2], [0.0; 2]);
        for &(at, fake, cost) in &self.costs {
            let weight = weights[at as usize];
            counts[usize::from(fake)] += u64::from(weight);
            sums[usize::from(fake)] += f64::from(weight) * cost;
        }
        both(counts[1], counts[0])?;
        Ok(0.5 * (sums[1] / counts[1] as f64 + sums[0] / counts[0] as f64))
    }
}

/// The lowest [`Cllr`] that any rising recalibration could reach on these very items: after isotonic
/// regression on them (pool adjacent violators; Brummer and du Preez 2006). 0 to 1 bits; what remains is
/// discrimination. Depends on the order of the scores only. Needs fakes and reals.
pub struct CllrMin(Ranking);

impl CllrMin {
    /// Of any scores of which more means fake (no NaN).
    pub fn new(scores: &[f64], fake: &[bool]) -> Self {
        Self(Ranking::new(scores, fake))
    }
}

impl Weighted for CllrMin {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        cllr_min(&self.0.curve(Some(weights), Order::Rising))
    }
}

/// [`Cllr`] of posteriors of fake as they come, taken for those under equal priors: half the mean of `-log2 p`
/// over the fakes plus half the mean of `-log2(1 - p)` over the reals. Of a curve along the posterior, fakes
/// being its hits; posteriors are kept [`POSTERIOR_FLOOR`] away from 0 and 1.
pub(crate) struct CllrOfPosteriors {
    /// Of the curve's scores.
    scale: Scale,
    both: (u64, u64),
    of_fakes: f64,
    of_reals: f64,
}

impl CllrOfPosteriors {
    pub(crate) fn new(scale: Scale, both: (u64, u64)) -> Self {
        Self { scale, both, of_fakes: 0.0, of_reals: 0.0 }
    }
}

impl OfBlocks for CllrOfPosteriors {
    fn add(&mut self, block: Ranked) {
        let [real, fake] = match self.scale {
            Scale::Probability => [1.0 - block.score, block.score],
            Scale::LogOdds => [block.score, -block.score].map(|x| 1.0 / (1.0 + x.exp())),
        };
        if block.hits > 0 {
            self.of_fakes -= block.hits as f64 * fake.max(POSTERIOR_FLOOR).log2();
        }
        if block.others > 0 {
            self.of_reals -= block.others as f64 * real.max(POSTERIOR_FLOOR).log2();
        }
    }

    fn value(&self) -> f64 {
        let (fakes, reals) = self.both;
        0.5 * (self.of_fakes / fakes as f64 + self.of_reals / reals as f64)
    }
}

/// [`CllrMin`] of a curve that rises with the score, fakes being its hits.
pub(crate) fn cllr_min(curve: &Curve) -> Result<f64, Undefined> {
    let (blocks, all) = pooled(curve)?;
    Ok(0.5 * (cost(&blocks, &all, 0.0, true) + cost(&blocks, &all, 0.0, false)))
}

/// Mean bits of the fakes (or the reals) in pooled blocks, at these log10 prior odds.
fn cost(blocks: &[Block], all: &Block, log10_odds: f64, fake: bool) -> f64 {
    let sum: f64 = blocks
        .iter()
        .map(|block| match (fake, block.log10_lr(all) + log10_odds) {
            (true, lr) if block.fakes > 0 => block.fakes as f64 * bits(-lr),
            (false, lr) if block.reals > 0 => block.reals as f64 * bits(lr),
            _ => 0.0,
        })
        .sum();
    sum / if fake { all.fakes } else { all.reals } as f64
}

/// What miscalibration costs: [`Cllr`] minus [`CllrMin`], in bits, 0 or more.
pub struct CllrCal(Cllr, CllrMin);

impl CllrCal {
    /// Of these log10 LRs (no NaN).
    pub fn new(log10_lr: &[f64], fake: &[bool]) -> Self {
        Self(Cllr::new(log10_lr, fake), CllrMin::new(log10_lr, fake))
    }
}

impl Weighted for CllrCal {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        // Rounding may leave a hair below 0.
        Ok((self.0.value(weights)? - self.1.value(weights)?).max(0.0))
    }
}

/// What likelihood ratios cost and how often they mislead.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct ForensicCost {
    /// [`Cllr`], bits.
    pub cllr: Estimate,
    /// [`CllrMin`], bits.
    pub cllr_min: Estimate,
    /// [`CllrCal`], bits.
    pub cllr_cal: Estimate,
    /// Rate of misleading evidence among the fakes: share with LR below 1 (Royall, "Statistical Evidence",
    /// 1997). An LR of exactly 1 misleads nobody.
    pub misleading_fakes: Estimate,
    /// Rate of misleading evidence among the reals: share with LR above 1.
    pub misleading_reals: Estimate,
}

/// Costs of log10 LRs, without intervals: for those, resample [`Cllr`] and its kin. Undefined, with the
/// reason, without fakes or reals. Errors: lists of different length, or a NaN.
pub fn forensic_cost(log10_lr: &[f64], fake: &[bool]) -> Result<ForensicCost, StatsError> {
    check_ratios(log10_lr, fake)?;
    let ones = vec![1; fake.len()];
    let estimate = |metric: &dyn Weighted| match metric.value(&ones) {
        Ok(value) => Estimate::point(value),
        Err(Undefined::NoItems) => Estimate::undefined("there are no items"),
        Err(Undefined::NoPositives) => Estimate::undefined("no item is fake: the cost needs fake and real items"),
        Err(_) => Estimate::undefined("no item is real: the cost needs fake and real items"),
    };
    let misleading = |class: bool| {
        let own = || log10_lr.iter().zip(fake).filter(move |(_, f)| **f == class);
        let wrong = own().filter(|(lr, _)| if class { **lr < 0.0 } else { **lr > 0.0 }).count();
        match own().count() {
            0 => Estimate::undefined(if class { "no item is fake" } else { "no item is real" }),
            all => Estimate::point(wrong as f64 / all as f64),
        }
    };
    Ok(ForensicCost {
        cllr: estimate(&Cllr::new(log10_lr, fake)),
        cllr_min: estimate(&CllrMin::new(log10_lr, fake)),
        cllr_cal: estimate(&CllrCal::new(log10_lr, fake)),
        misleading_fakes: misleading(true),
        misleading_reals: misleading(false),
    })
}

/// One point of a Tippett plot.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
pub struct TippettPoint {
    /// The log10 LR.
    pub log10_lr: f64,
    /// Share of the fakes with this log10 LR or more; `None` without fakes.
    pub fakes: Option<f64>,
    /// Share of the reals with this log10 LR or more; `None` without reals.
    pub reals: Option<f64>,
}

/// A Tippett plot: at each log10 LR that occurs, by rising value, the shares of fakes and of reals that have
/// it or a larger one (Evett and Buckleton, "Statistical Analysis of STR Data", Advances in Forensic
/// Haemogenetics 6, 1996). The curves are steps: between two points the shares are those of the upper one.
/// Infinite ratios stay infinite (no file holds them: give limited ones). Errors: lists of different length, or
/// a NaN.
pub fn tippett(log10_lr: &[f64], fake: &[bool]) -> Result<Vec<TippettPoint>, StatsError> {
    check_ratios(log10_lr, fake)?;
    let mut rows: Vec<(f64, bool)> = log10_lr.iter().map(|lr| lr + 0.0).zip(fake.iter().copied()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = |rows: &[(f64, bool)]| {
        let fakes = rows.iter().filter(|row| row.1).count();
        [fakes, rows.len() - fakes]
    };
    let all = count(&rows);
    let mut left = all;
    let share = |left: usize, all: usize| (all > 0).then(|| left as f64 / all as f64);
    Ok(rows
        .chunk_by(|a, b| a.0 == b.0)
        .map(|tie| {
            let point =
                TippettPoint { log10_lr: tie[0].0, fakes: share(left[0], all[0]), reals: share(left[1], all[1]) };
            let gone = count(tie);
            left = [left[0] - gone[0], left[1] - gone[1]];
            point
        })
        .collect())
}

/// One point of an empirical cross-entropy plot; all in bits.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
pub struct CrossEntropy {
    /// log10 of the prior odds of fake.
    pub log10_prior_odds: f64,
    /// Of the system's likelihood ratios.
    pub system: f64,
    /// Of the same after isotonic regression on these very items: what perfect calibration would cost.
    pub ideal: f64,
    /// Of LR = 1 throughout: the entropy of the prior.
    pub reference: f64,
}

/// Empirical cross-entropy over prior odds: `P(fake)` times the mean of `log2(1 + 1/(LR odds))` over the fakes
/// plus `P(real)` times the mean of `log2(1 + LR odds)` over the reals (Ramos, Gonzalez-Rodriguez, Zadora and
/// Aitken, "Information-Theoretical Assessment of the Performance of Likelihood Ratio Computation Methods",
/// Journal of Forensic Sciences 58, 2013). At odds of 1 it is [`Cllr`], with the same clipping. Where it
/// exceeds the reference, the detector does harm at that prior.
///
/// `None` without fakes or reals. Errors: lists of different length, a NaN, or prior odds that are not finite.
pub fn empirical_cross_entropy(
    log10_lr: &[f64],
    fake: &[bool],
    log10_prior_odds: &[f64],
) -> Result<Option<Vec<CrossEntropy>>, StatsError> {
    check_ratios(log10_lr, fake)?;
    check::finite("log10_prior_odds", log10_prior_odds)?;
    let scores = CllrMin::new(log10_lr, fake);
    let Ok((blocks, all)) = pooled(&scores.0.curve(None, Order::Rising)) else { return Ok(None) };
    let mut ratios: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for (lr, &fake) in log10_lr.iter().zip(fake) {
        ratios[usize::from(fake)].push(lr.clamp(-LARGEST_LOG10_LR, LARGEST_LOG10_LR));
    }
    // By content, so that the sums do not depend on the order of the items.
    ratios.iter_mut().for_each(|ratios| ratios.sort_by(f64::total_cmp));
    let point = |&odds: &f64| {
        let (log2_fake, log2_real) = (-bits(-odds), -bits(odds));
        let (p_fake, p_real) = (log2_fake.exp2(), log2_real.exp2());
        let mean = |fake: bool| {
            let ratios = &ratios[usize::from(fake)];
            ratios.iter().map(|lr| bits(if fake { -(lr + odds) } else { lr + odds })).sum::<f64>() / ratios.len() as f64
        };
        CrossEntropy {
            log10_prior_odds: odds,
            system: p_fake * mean(true) + p_real * mean(false),
            ideal: p_fake * cost(&blocks, &all, odds, true) + p_real * cost(&blocks, &all, odds, false),
            reference: -(p_fake * log2_fake + p_real * log2_real),
        }
    };
    Ok(Some(log10_prior_odds.par_iter().map(point).collect()))
}

/// Which of the two the evidence supports.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Favours {
    /// That the item is fake.
    Fake,
    /// That the item is real.
    Real,
    /// Neither: the LR (or its inverse) is below 2.
    Neither,
}

/// A likelihood ratio in words.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Verbal {
    /// What it supports.
    pub favours: Favours,
    /// How strongly: "no", "weak", "moderate", "moderately strong", "strong", "very strong" or "extremely
    /// strong".
    pub support: String,
    /// Whether the LR was beyond what the validation items can support, and was cut down to that.
    pub limited: bool,
    /// The log10 LR that the words stand for.
    pub log10_lr: f64,
    /// A sentence for a report.
    pub text: String,
}

/// The verbal scale of likelihood ratios (ENFSI, "Guideline for Evaluative Reporting in Forensic Science",
/// 2015, the example scale that it gives): LR 1, no support for either; 2 to 10, weak; to 100, moderate; to 1,000,
/// moderately strong; to 10,000, strong; to a million, very strong; a million and above, extremely strong. The bands
/// share their ends; here one holds its lower end. Ratios between 1 and 2, which the scale leaves out, count as no
/// support; below 1 it is read for the inverse. Words and bands were compared with those of the Association of Forensic
/// Science Providers as the Open University's course on expert evidence gives them (open.edu/openlearn, section 6.2), whose
/// weakest band begins above 1, and with the upper bands of table 5.3 of the University of Dundee's book on likelihood
/// ratios (lrcfs-ap2.dundee.ac.uk/lr_book); the guideline's own text was not at hand.
///
/// No words go beyond `limits`: a hundred validation videos cannot show "very strong", so the LR is cut down
/// to the limit first and the text says so. The scale speaks of the evidence, not of the probability that the
/// item is fake. Errors: a NaN.
pub fn verbal(log10_lr: f64, limits: &Limits) -> Result<Verbal, StatsError> {
    check::not_nan("log10_lr", &[log10_lr])?;
    let value = log10_lr.clamp(limits.low.min(0.0), limits.high.max(0.0)) + 0.0;
    let limited = value != log10_lr;
    // A power of ten that is one but for rounding is one.
    let strength = value.abs() + 1e-12;
    let bands = [
        (6.0, "extremely strong"),
        (4.0, "very strong"),
        (3.0, "strong"),
        (2.0, "moderately strong"),
        (1.0, "moderate"),
        (std::f64::consts::LOG10_2, "weak"),
    ];
    let support = bands.iter().find(|(from, _)| strength >= *from).map_or("no", |(_, name)| name);
    let favours = match (support, value > 0.0) {
        ("no", _) => Favours::Neither,
        (_, true) => Favours::Fake,
        _ => Favours::Real,
    };
    let ratio = 10f64.powf(value.abs());
    let ratio = if ratio < 10.0 { format!("{ratio:.1}") } else { format!("{ratio:.0}") };
    let mut text = match favours {
        Favours::Fake => {
            format!(
                "{support} support for fake over real: the finding is {ratio} times as probable if the item is fake"
            )
        }
        Favours::Real => {
            format!(
                "{support} support for real over fake: the finding is {ratio} times as probable if the item is real"
            )
        }
        Favours::Neither => {
            "no support for either: the finding is about as probable if the item is fake as if it is real".into()
        }
    };
    if limited {
        let (many, what) = if log10_lr > 0.0 { (limits.reals, "real") } else { (limits.fakes, "fake") };
        let plural = if many == 1 { "" } else { "s" };
        text += &format!("; {many} {what} validation unit{plural} cannot support a stronger statement");
    }
    Ok(Verbal { favours, support: support.into(), limited, log10_lr: value, text })
}

fn check_ratios(log10_lr: &[f64], fake: &[bool]) -> Result<(), StatsError> {
    check::length("fake", fake.len(), log10_lr.len())?;
    check::not_nan("log10_lr", log10_lr)
}
