//! Probabilities that mean what they say: recalibration fitted on one split and applied to another.
//!
//! | method | what is fitted | source |
//! |---|---|---|
//! | temperature | one number `T`: `softmax(ln p / T)` | Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 |
//! | Platt | `sigmoid(a logit(p) + b)`, with smoothed targets | Platt, "Probabilistic Outputs for Support Vector Machines", 1999 |
//! | beta | `sigmoid(a ln p - b ln(1 - p) + c)`, `a, b >= 0` | Kull, Silva Filho and Flach, "Beta Calibration", AISTATS 2017 |
//! | isotonic | any rising function | Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD 2002 |
//! | histogram binning | the share of events in each of 15 equal-width bins | Zadrozny and Elkan, "Obtaining Calibrated Probability Estimates from Decision Trees and Naive Bayesian Classifiers", ICML 2001 |
//!
//! Temperature is one number for all classes and keeps the most probable class of every item. The others
//! map the probability of one event. In a task of two classes that is class 1; with more, each class has
//! a map of its own against the rest, and the results are divided by their sum (Zadrozny and Elkan 2002).
//! They may change the most probable class.
//!
//! Probabilities below [`NLL_FLOOR`] count as it in logarithms; log-odds that were given are taken as they are, in fits up to
//! a million. Recalibrated items are ranked by their new log-odds, which no floor and no rounding to 1 cuts off. Every
//! sum is exact, so the order of the items changes no bit of what is fitted.

use serde::{Deserialize, Serialize};

use crate::StatsError;
use crate::calibration::{NLL_FLOOR, equal_width};
use crate::items::{Items, MOST_FITTED, Scale, log_odds};
use crate::probability::{SignedSum, argmax, entropy, normalise};
use crate::ranking::{Order, Ranking};

/// How probabilities are recalibrated.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// One number, by least negative log-likelihood.
    Temperature,
    /// A logistic function of the log-odds.
    Platt,
    /// A logistic function of `ln p` and `ln(1 - p)`.
    Beta,
    /// The rising function of least squares.
    Isotonic,
    /// Shares of events in bins.
    Histogram,
}

/// A fitted recalibration. It can be kept as JSON.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Recalibration {
    /// For all classes.
    Temperature {
        /// Above 1 it makes less sure, below 1 surer.
        temperature: f64,
    },
    /// One map, of class 1, in a task of two classes; otherwise one for each class.
    Maps(Vec<Map>),
}

/// A function from one event's probability to a better one.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Map {
    /// `sigmoid(slope * ln(p / (1 - p)) + intercept)`
    Platt {
        /// 1 changes nothing.
        slope: f64,
        /// 0 changes nothing.
        intercept: f64,
    },
    /// `sigmoid(a ln p - b ln(1 - p) + c)`; `a = b = 1`, `c = 0` changes nothing.
    Beta {
        /// 0 or more.
        a: f64,
        /// 0 or more.
        b: f64,
        /// Any number.
        c: f64,
    },
    /// Straight lines between points, level beyond the first and the last one (as scikit-learn's
    /// `IsotonicRegression(out_of_bounds="clip")`).
    Isotonic {
        /// Rising.
        from: Vec<f64>,
        /// Never falling.
        to: Vec<f64>,
        /// What `from` is: the probability, or its log-odds where the items came with them.
        #[serde(default)]
        scale: Scale,
    },
    /// Equal-width bins over [0, 1], closed on the right. A bin without items has its middle.
    Histogram {
        /// One value for each bin.
        values: Vec<f64>,
    },
}

/// Fit a recalibration to the items of the calibration split.
///
/// Errors, which say what is missing: no items; items of one class only (maps); a class without items or
/// with all of them (maps of several classes); and where the likelihood has no maximum because the items
/// are told apart without an error (temperature, beta) or the probabilities say nothing of the labels
/// (temperature).
pub fn fit(method: Method, items: &Items) -> Result<Recalibration, StatsError> {
    if items.is_empty() {
        return Err(no_fit(method, "there are no items".into()));
    }
    if method == Method::Temperature {
        return Ok(Recalibration::Temperature { temperature: temperature(items)? });
    }
    let classes = if items.classes() == 2 { 1..2 } else { 0..items.classes() };
    Ok(Recalibration::Maps(classes.map(|class| map(method, items, class)).collect::<Result<_, _>>()?))
}

impl Recalibration {
    /// Recalibrate one probability vector. The result sums to 1; where no class has any probability, all
    /// are equal. Errors: no probability vector, or of another number of classes than was fitted.
    pub fn apply(&self, probs: &[f64]) -> Result<Vec<f64>, StatsError> {
        let classes = match self {
            Self::Temperature { .. } => probs.len(),
            Self::Maps(maps) if maps.len() == 1 => 2,
            Self::Maps(maps) => maps.len(),
        };
        let mut clean = Vec::with_capacity(classes);
        normalise(probs, classes, &mut clean, || "recalibration".into())?;
        Ok(self.applied(&clean, None))
    }

    /// Recalibrate item `i`, of as many classes as were fitted, by its [score](Items::score) as it was given; panics
    /// where there is no such item. Errors: as of [`apply`](Self::apply).
    pub fn apply_item(&self, items: &Items, i: usize) -> Result<Vec<f64>, StatsError> {
        match items.scale() {
            Scale::Probability => self.apply(items.probs(i)),
            Scale::LogOdds => Ok(self.applied(items.probs(i), Some(items.event_score(Scale::LogOdds, 1, i)))),
        }
    }

    /// The result for probabilities that are clean, and the log-odds of class 1 where they are finer.
    fn applied(&self, probs: &[f64], given: Option<f64>) -> Vec<f64> {
        match self {
            Self::Temperature { temperature } => {
                let logs = log_probs(probs, given);
                tempered(&logs, argmax(probs), 1.0 / temperature)
            }
            Self::Maps(maps) => match maps.as_slice() {
                [map] => {
                    let p = match (map, given) {
                        (Map::Isotonic { scale: Scale::LogOdds, .. }, None) => {
                            map.value_at(Scale::LogOdds, log_odds(probs[1], probs[0]))
                        }
                        (Map::Isotonic { scale: Scale::Probability, .. } | Map::Histogram { .. }, _) | (_, None) => {
                            map.value(probs[1])
                        }
                        (_, Some(given)) => map.value_at(Scale::LogOdds, given),
                    };
                    vec![1.0 - p, p]
                }
                maps => {
                    let values: Vec<f64> = maps.iter().zip(probs).map(|(map, &p)| map.value(p)).collect();
                    let sum: f64 = values.iter().sum();
                    let equal = 1.0 / values.len() as f64;
                    values.iter().map(|v| if sum > 0.0 { v / sum } else { equal }).collect()
                }
            },
        }
    }

    /// The new log-odds of class 1 from those that were, where they are a function without steps.
    fn of_log_odds(&self, log_odds: f64) -> Option<f64> {
        match self {
            Self::Temperature { temperature } => Some(log_odds / temperature),
            Self::Maps(maps) => match maps.as_slice() {
                [map] => map.log_odds(logs(Scale::LogOdds, log_odds)),
                _ => None,
            },
        }
    }

    /// Recalibrate items. Their `total` becomes the entropy of the new probabilities; the other
    /// uncertainties still describe the samples as they were, so they no longer sum to it. Errors: as of
    /// [`apply`](Self::apply).
    pub fn apply_to(&self, items: &Items) -> Result<Items, StatsError> {
        let mut recalibrated = Items::new(items.task())?;
        recalibrated.reserve(items.len());
        for i in 0..items.len() {
            let probs = self.apply_item(items, i)?;
            let parts = [entropy(&probs), items.aleatoric()[i], items.between_frames()[i], items.epistemic()[i]];
            recalibrated.push_parts(items.label(i), &probs, parts, items.cluster(i))?;
            if let Some(positive) = items.task().positive
                && let Some(new) = self.of_log_odds(items.event_score(Scale::LogOdds, 1, i))
            {
                recalibrated.push_log_odds(if positive == 1 { new } else { -new });
            }
        }
        Ok(recalibrated)
    }
}

impl Map {
    /// The better probability for `p` (0 to 1).
    pub fn value(&self, p: f64) -> f64 {
        self.value_at(Scale::Probability, p)
    }

    /// The better probability for a score on one of the scales; isotonic maps and bins take that of their own.
    fn value_at(&self, scale: Scale, score: f64) -> f64 {
        match self {
            Self::Platt { .. } | Self::Beta { .. } => self.log_odds(logs(scale, score)).map_or(0.5, sigmoid),
            Self::Isotonic { from, to, .. } => {
                let above = from.partition_point(|&x| x < score);
                match (above.checked_sub(1), from.get(above)) {
                    (_, Some(&x)) if x == score => to[above],
                    (None, _) => to.first().copied().unwrap_or(score),
                    (Some(below), None) => to[below],
                    (Some(below), Some(&x)) => {
                        let share = (score - from[below]) / (x - from[below]);
                        to[below] + share * (to[above] - to[below])
                    }
                }
            }
            Self::Histogram { values } => values[crate::calibration::bin_of(score, values.len())],
        }
    }

    /// The better log-odds, from `ln p` and `ln(1 - p)`; of maps with steps there are none.
    fn log_odds(&self, [log, other]: [f64; 2]) -> Option<f64> {
        match self {
            Self::Platt { slope, intercept } => Some(slope * (log - other) + intercept),
            Self::Beta { a, b, c } => Some(a * log - b * other + c),
            Self::Isotonic { .. } | Self::Histogram { .. } => None,
        }
    }
}

fn no_fit(method: Method, problem: String) -> StatsError {
    let method = match method {
        Method::Temperature => "temperature scaling",
        Method::Platt => "Platt scaling",
        Method::Beta => "beta calibration",
        Method::Isotonic => "isotonic regression",
        Method::Histogram => "histogram binning",
    };
    StatsError::CannotFit { what: method, because: problem }
}

/// `ln p` and `ln(1 - p)`: of clipped probabilities, or of log-odds.
fn logs(scale: Scale, score: f64) -> [f64; 2] {
    match scale {
        Scale::Probability => [score.max(NLL_FLOOR).ln(), (1.0 - score).max(NLL_FLOOR).ln()],
        Scale::LogOdds => [log_sigmoid(score), log_sigmoid(-score)],
    }
}

/// [`logs`] for a fit, whose sums have an end.
fn fitted_logs(scale: Scale, score: f64) -> [f64; 2] {
    logs(scale, if scale == Scale::LogOdds { score.clamp(-MOST_FITTED, MOST_FITTED) } else { score })
}

/// The logarithm of each class' probability, of two classes from the log-odds of class 1 where they are given.
fn log_probs(probs: &[f64], given: Option<f64>) -> Vec<f64> {
    match given {
        Some(given) => vec![log_sigmoid(-given), log_sigmoid(given)],
        None => probs.iter().map(|p| p.max(NLL_FLOOR).ln()).collect(),
    }
}

/// `ln(1 / (1 + e^-x))`.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

// -------------------------------------------------------------------------------------- temperature

/// `softmax(sharpness * ln p)`; the class `best`, the most probable one, stays that, whatever is rounded.
fn tempered(logs: &[f64], best: usize, sharpness: f64) -> Vec<f64> {
    let weights: Vec<f64> = logs.iter().map(|log| (sharpness * (log - logs[best]).min(0.0)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut tempered: Vec<f64> = weights.iter().map(|w| w / sum).collect();
    let largest = tempered[best];
    // A class before it that rounding has made its equal would be taken for it.
    tempered[..best].iter_mut().filter(|p| **p >= largest).for_each(|p| *p = largest.next_down());
    tempered
}

/// The temperature of least negative log-likelihood, between 1/100 and 100.
fn temperature(items: &Items) -> Result<f64, StatsError> {
    const SHARPEST: f64 = 100.0;
    // The likelihood's derivative by the sharpness 1/T, which rises, and its slope.
    let derivative = |sharpness: f64| {
        let (mut first, mut second) = (SignedSum::default(), SignedSum::default());
        for i in 0..items.len() {
            let probs = items.probs(i);
            let given = (items.scale() == Scale::LogOdds).then(|| items.event_score(Scale::LogOdds, 1, i));
            let given = given.map(|given| given.clamp(-MOST_FITTED, MOST_FITTED));
            let logs = log_probs(probs, given);
            let top = logs[argmax(probs)];
            let (mut sum, mut mean, mut square) = (0.0, 0.0, 0.0);
            for log in &logs {
                let log = log - top;
                let weight = (sharpness * log).exp();
                sum += weight;
                mean += weight * log;
                square += weight * log * log;
            }
            let mean = mean / sum;
            first.add(mean - (logs[items.label(i)] - top), 1);
            second.add((square / sum - mean * mean).max(0.0), 1);
        }
        (first.value(), second.value())
    };
    let (mut low, mut high) = (1.0 / SHARPEST, SHARPEST);
    if derivative(high).0 <= 0.0 {
        let problem = "all items are told apart without an error, so the surer the likelier: more items are needed";
        return Err(no_fit(Method::Temperature, problem.into()));
    }
    if derivative(low).0 >= 0.0 {
        let problem = "the probabilities say nothing of the labels (or the opposite), so the flatter the likelier: are labels and columns in the same order?";
        return Err(no_fit(Method::Temperature, problem.into()));
    }
    // Newton's method, kept between two sharpnesses where the derivative has either sign.
    let mut sharpness = 1.0;
    for _ in 0..200 {
        let (first, second) = derivative(sharpness);
        if first == 0.0 {
            break;
        }
        if first > 0.0 {
            high = sharpness;
        } else {
            low = sharpness;
        }
        let newton = sharpness - first / second;
        let next = if newton > low && newton < high { newton } else { (low * high).sqrt() };
        let step = (next - sharpness).abs();
        sharpness = next;
        if step <= 1e-13 * sharpness {
            break;
        }
    }
    Ok(1.0 / sharpness)
}

// --------------------------------------------------------------------------------------------- maps

fn map(method: Method, items: &Items, class: usize) -> Result<Map, StatsError> {
    // Bins are of probabilities.
    let scale = if method == Method::Histogram { Scale::Probability } else { items.scale() };
    let scores: Vec<f64> = (0..items.len()).map(|i| items.event_score(scale, class, i)).collect();
    let events: Vec<bool> = (0..items.len()).map(|i| items.label(i) == class).collect();
    let ranking = Ranking::new(&scores, &events);
    let curve = ranking.curve(None, Order::Rising);
    if curve.both().is_err() {
        let name = &items.task().classes[class];
        let problem = format!("it needs items that are {name} and items that are not");
        return Err(no_fit(method, problem));
    }
    // Items of equal score weigh as one point with hits and others.
    let mut points = Vec::new();
    curve.blocks(|block| points.push((block.score, block.hits, block.others)));
    Ok(match method {
        Method::Isotonic => isotonic(&points, scale),
        Method::Histogram => histogram(&points),
        Method::Platt => {
            // Platt's targets: a little less than sure, as if each class had been seen once more.
            let (hits, others) = (curve.hits as f64, curve.others as f64);
            let targets = [(hits + 1.0) / (hits + 2.0), 1.0 / (others + 2.0)];
            let features = |score: f64| {
                let [log, other] = fitted_logs(scale, score);
                [log - other, 0.0, 1.0]
            };
            let w = logistic(&points, features, [true, false, true], targets)
                .ok_or_else(|| no_fit(method, "the likelihood has no maximum".into()))?;
            Map::Platt { slope: w[0], intercept: w[2] }
        }
        Method::Beta | Method::Temperature => beta(&points, scale).ok_or_else(|| {
            no_fit(Method::Beta, "the classes are told apart without an error, so the steeper the likelier: more items are needed, or Platt scaling".into())
        })?,
    })
}

/// Pool adjacent violators (Ayer et al., Annals of Mathematical Statistics 26, 1955).
fn isotonic(points: &[(f64, u64, u64)], scale: Scale) -> Map {
    struct Pool {
        from: f64,
        to: f64,
        hits: u64,
        count: u64,
    }
    let mut pools: Vec<Pool> = Vec::new();
    for &(p, hits, others) in points {
        let mut pool = Pool { from: p, to: p, hits, count: hits + others };
        while let Some(last) = pools.pop_if(|last| {
            // In whole numbers: last.hits / last.count >= hits / count.
            u128::from(last.hits) * u128::from(pool.count) >= u128::from(pool.hits) * u128::from(last.count)
        }) {
            pool = Pool { from: last.from, to: pool.to, hits: last.hits + pool.hits, count: last.count + pool.count };
        }
        pools.push(pool);
    }
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for pool in pools {
        let value = pool.hits as f64 / pool.count as f64;
        from.push(pool.from);
        to.push(value);
        if pool.to > pool.from {
            from.push(pool.to);
            to.push(value);
        }
    }
    Map::Isotonic { from, to, scale }
}

fn histogram(points: &[(f64, u64, u64)]) -> Map {
    const BINS: usize = 15;
    let events = points.iter().map(|&(p, hits, _)| (p, true, hits));
    let others = points.iter().map(|&(p, _, others)| (p, false, others));
    let middle = |bin: usize| (bin as f64 + 0.5) / BINS as f64;
    let value = |(at, bin): (usize, &crate::calibration::Bin)| if bin.count > 0 { bin.rate() } else { middle(at) };
    Map::Histogram { values: equal_width(BINS, events.chain(others)).iter().enumerate().map(value).collect() }
}

fn beta(points: &[(f64, u64, u64)], scale: Scale) -> Option<Map> {
    let features = |score: f64| {
        let [log, other] = fitted_logs(scale, score);
        [log, -other, 1.0]
    };
    let is_best = |w: &[f64; 3]| {
        // Convex, so a minimum of an edge is that of all a, b >= 0 where the loss rises into the inside
        // (Karush, Kuhn and Tucker).
        let rises = |at: usize| {
            let mut slope = SignedSum::default();
            for &(p, hits, others) in points {
                let x = features(p);
                let s = sigmoid(w[0] * x[0] + w[1] * x[1] + w[2]);
                slope.add((s - 1.0) * x[at], hits);
                slope.add(s * x[at], others);
            }
            slope.value() >= -1e-6
        };
        (0..2).all(|at| w[at] > 0.0 || (w[at] == 0.0 && rises(at)))
    };
    [[true, true], [false, true], [true, false], [false, false]]
        .into_iter()
        .filter_map(|[a, b]| logistic(points, features, [a, b, true], [1.0, 0.0]))
        .find(is_best)
        .map(|[a, b, c]| Map::Beta { a, b, c })
}

/// The weights of least log loss of `sigmoid(w . features)`, those that are not `free` being 0. `targets`
/// are those of hits and of others. `None` where there is no minimum.
fn logistic(
    points: &[(f64, u64, u64)],
    features: impl Fn(f64) -> [f64; 3],
    free: [bool; 3],
    targets: [f64; 2],
) -> Option<[f64; 3]> {
    let dot = |w: &[f64; 3], x: &[f64; 3]| w[0] * x[0] + w[1] * x[1] + w[2] * x[2];
    let loss = |w: &[f64; 3]| {
        let mut sum = SignedSum::default();
        for &(p, hits, others) in points {
            let z = dot(w, &features(p));
            // ln(1 + e^z) - t z, without overflow.
            let softplus = z.max(0.0) + (-z.abs()).exp().ln_1p();
            sum.add(softplus - targets[0] * z, hits);
            sum.add(softplus - targets[1] * z, others);
        }
        sum.value()
    };
    let mut w = [0.0; 3];
    let mut least = loss(&w);
    for _ in 0..100 {
        let mut gradient = [SignedSum::default(); 3];
        let mut curvature = [[SignedSum::default(); 3]; 3];
        for &(p, hits, others) in points {
            let x = features(p);
            let s = sigmoid(dot(&w, &x));
            for i in (0..3).filter(|&i| free[i]) {
                gradient[i].add((s - targets[0]) * x[i], hits);
                gradient[i].add((s - targets[1]) * x[i], others);
                for j in (0..3).filter(|&j| free[j]) {
                    curvature[i][j].add(s * (1.0 - s) * x[i] * x[j], hits + others);
                }
            }
        }
        let mut step = solve(curvature.map(|row| row.map(SignedSum::value)), gradient.map(SignedSum::value), free)?;
        // Newton's step, halved until it leads down.
        let mut next = w;
        let mut found = f64::INFINITY;
        for _ in 0..60 {
            next = std::array::from_fn(|i| w[i] - step[i]);
            found = loss(&next);
            if found <= least {
                break;
            }
            step = step.map(|s| s / 2.0);
        }
        if found > least {
            break; // as low as rounding lets it
        }
        let moved = step.iter().zip(&next).map(|(s, w)| s.abs() / (1.0 + w.abs())).fold(0.0, f64::max);
        (w, least) = (next, found);
        if w.iter().any(|w| w.abs() > 1e5) {
            return None;
        }
        if moved < 1e-12 {
            break;
        }
    }
    // Without errors the loss falls to 0 and the weights never end.
    let count: u64 = points.iter().map(|(_, hits, others)| hits + others).sum();
    (least > 1e-9 * count as f64).then_some(w)
}

/// Solve `a x = b` for the `free` unknowns by Gauss elimination; `None` where there is no solution. A hair is
/// added to the diagonal, so that features that are all alike share what there is.
fn solve(mut a: [[f64; 3]; 3], mut b: [f64; 3], free: [bool; 3]) -> Option<[f64; 3]> {
    let ridge = 1e-12 * (0..3).map(|i| a[i][i]).fold(0.0, f64::max);
    for i in 0..3 {
        a[i][i] = if free[i] { a[i][i] + ridge } else { 1.0 };
    }
    // The matrix is positive definite: no row needs to change places.
    for i in 0..3 {
        if a[i][i].is_nan() || a[i][i] <= 0.0 {
            return None;
        }
        for j in i + 1..3 {
            let factor = a[j][i] / a[i][i];
            let above = a[i];
            a[j].iter_mut().zip(above).for_each(|(below, above)| *below -= factor * above);
            b[j] -= factor * b[i];
        }
    }
    let mut x = [0.0; 3];
    for i in (0..3).rev() {
        let known: f64 = (i + 1..3).map(|k| a[i][k] * x[k]).sum();
        x[i] = (b[i] - known) / a[i][i];
    }
    x.iter().all(|x| x.is_finite()).then_some(x)
}
