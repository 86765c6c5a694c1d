//! Every metric by its name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use crate::bootstrap::Bootstrap;
use crate::calibration as cal;
use crate::calibration::{Avu, Bin, bin_of, brier_positive, brier_sum, nll};
use crate::discrimination as disc;
use crate::discrimination::{ClassCounts, OfBlocks};
use crate::forensic;
use crate::items::{Doubt, Items, MEASURES, Scale, UNCERTAINTIES};
use crate::probability::SignedSum;
use crate::ranking::{Block, Curve, Order, Ranking};
use crate::selective::Risks;
use crate::weighted::Undefined;
use crate::{Estimate, Scored, StatsError, Task};

/// Number of bins of every binned metric; it is in their names.
const BINS: usize = 15;

/// The normalised entropy up to which `avu` takes an item as certain.
const CERTAIN: f64 = 0.5;

/// Every metric of these items, by name, with intervals where `bootstrap` is given: [`metrics_of`] for a
/// list of items.
///
/// Errors: a bad task, bad parameters of the bootstrap, or a bad item (see [`Items::push_parts`]); the
/// error names the item.
pub fn metrics(
    items: &[Scored],
    task: &Task,
    bootstrap: Option<&Bootstrap>,
) -> Result<BTreeMap<String, Estimate>, StatsError> {
    let mut columns = Items::new(task)?;
    columns.reserve(items.len());
    items.iter().try_for_each(|item| columns.push(item))?;
    metrics_of(&columns, bootstrap)
}

/// Every metric of these items, by name, with intervals where `bootstrap` is given.
///
/// **Discrimination** ([`discrimination`](crate::discrimination))
///
/// | name | convention |
/// |---|---|
/// | `accuracy` | share of items whose most probable class is the true one; of equal ones the first counts |
/// | `balanced_accuracy` | mean of the classes' recalls, [`ClassCounts::balanced_accuracy`] |
/// | `f1` | binary: of the positive class, [`ClassCounts::f1`] |
/// | `f1_macro` | not binary: mean over the classes that have items |
/// | `mcc` | Matthews' correlation, -1 to 1, [`ClassCounts::mcc`] |
/// | `auroc` | binary: of the positive class' [score](Items::score) (its probability, or log-odds as they were given), ties one half, [`auroc`](disc::auroc); otherwise the one-vs-rest mean over the classes that have items |
/// | `average_precision` | of the positive class, without interpolation, [`average_precision`](disc::average_precision); otherwise the one-vs-rest mean |
/// | `auroc_<class>`, `average_precision_<class>` | not binary: of one class against the rest |
/// | `eer` | binary: interpolated on the ROC, [`eer`](disc::eer) |
/// | `eer_deepfakebench` | binary: as published tables have it, [`eer_deepfakebench`](disc::eer_deepfakebench) |
/// | `tpr_at_fpr1pct`, `tpr_at_fpr01pct` | binary: largest TPR at a FPR of at most 1 % (0.1 %); needs 300 (3,000) negatives, [`tpr_at_fpr`](disc::tpr_at_fpr) |
///
/// **Forensic** ([`forensic`]), binary; in bits
///
/// | name | convention |
/// |---|---|
/// | `cllr` | cost of the likelihood ratios that the probabilities are under equal priors: logit of `p`, without recalibration, [`Cllr`](forensic::Cllr) |
/// | `cllr_min` | what is left of it after the best rising recalibration on these very items, [`CllrMin`](forensic::CllrMin) |
///
/// **Calibration** ([`calibration`](crate::calibration)); 15 bins, all closed on the right
///
/// | name | convention |
/// |---|---|
/// | `nll` | mean negative log-likelihood in nats, clipped, [`nll`] |
/// | `brier` | binary: of the positive class, 0 to 1, [`brier_positive`]; otherwise summed over the classes, 0 to 2, [`brier_sum`] |
/// | `brier_reliability`, `brier_resolution`, `brier_uncertainty`, `brier_within_bins` | binary: `brier` = reliability - resolution + uncertainty + within bins, over the bins of `ece_pos15`, [`Murphy`](cal::Murphy) |
/// | `ece_top15`, `rms_top15`, `mce_top15` | calibration error of the largest probability, equal-width bins: mean, root mean square, largest; [`ece`](cal::ece), [`rms`](cal::rms), [`mce`](cal::mce) |
/// | `ece_top15_debiased`, `rms_top15_debiased` | the same less what chance adds, [`ece_debiased`](cal::ece_debiased), [`rms_debiased`](cal::rms_debiased) |
/// | `ece_pos15`, `rms_pos15`, `mce_pos15`, `ece_pos15_debiased` | binary: of the positive class' probability |
/// | `ece_adaptive15` | of the largest probability, bins of equal mass, ties never parted, [`equal_mass`] |
/// | `ece_classwise15` | mean over the classes of the ECE of each class' probability (Kull et al., "Beyond Temperature Scaling", NeurIPS 2019) |
/// | `ks_calibration` | of the largest probability, without bins, [`ks_calibration`](cal::ks_calibration) |
/// | `uce15` | uncertainty calibration error: share of errors against the entropy `total` / ln(classes), equal-width bins (Laves et al., "Well-Calibrated Model Uncertainty with Temperature Scaling for Dropout Variational Inference", NeurIPS BDL workshop 2019) |
/// | `avu` | accuracy versus uncertainty: share of items that are right and of an entropy `total` / ln(classes) of at most one half, or neither, [`Avu`] |
/// | `avu_area` | the same over all thresholds, [`Avu::area`] |
///
/// **Selective prediction** ([`selective`](crate::selective)), items ranked by their largest probability
///
/// | name | convention |
/// |---|---|
/// | `aurc` | mean selective risk, [`aurc`](Risks::aurc) |
/// | `aurc_trapezoid` | the normalised trapezoid, [`aurc_trapezoid`](Risks::aurc_trapezoid) |
/// | `eaurc` | `aurc` less that of the best ranking of as many errors, [`eaurc`](Risks::eaurc) |
/// | `augrc` | area under the generalised risk-coverage curve, [`augrc`] |
///
/// **Doubt**
///
/// | name | convention |
/// |---|---|
/// | `total`, `aleatoric`, `between_frames`, `epistemic` | means in nats ([`Unit`](crate::Unit) converts) |
/// | `total_variance`, `aleatoric_variance`, `between_frames_variance`, `epistemic_variance` | means of the variances that the law of total variance splits, [`Measures`](crate::Measures) |
/// | `variation_ratio` | mean share of the samples that do not predict what most predict, [`Measures::variation_ratio`](crate::Measures::variation_ratio) |
/// | `epistemic_jackknife` | mean of the epistemic part less its bias from there being few samples, nats, [`epistemic_jackknife`](crate::epistemic_jackknife) |
/// | `max_probability`, `margin` | means of the largest probability, and of its lead on the second |
/// | `misclassification_auroc_<doubt>`, `misclassification_aupr_<doubt>` | AUROC (average precision) of a [`Doubt`] for the item being misclassified, errors being the positives: of `total`, `aleatoric`, `epistemic`, of a small `max_probability`, of a small `margin` |
///
/// All but `total_variance` of the variances, `variation_ratio` and `epistemic_jackknife` need what
/// [`Items::push_measures`] takes, of every item.
///
/// A metric that these items do not define (one class only, no errors, no items) is an [`Estimate`]
/// without a value and with the reason; its name is always there. Intervals are described in
/// [`bootstrap`](crate::bootstrap). The answer is the same bits in whatever order the items come.
///
/// Without a bootstrap, what a metric needs is made, used and dropped, so 10 million binary items take
/// less than 1 GB. Errors: bad parameters of the bootstrap.
pub fn metrics_of(items: &Items, bootstrap: Option<&Bootstrap>) -> Result<BTreeMap<String, Estimate>, StatsError> {
    if let Some(bootstrap) = bootstrap {
        bootstrap.check()?;
    }
    let families = families(items, bootstrap.is_some());
    let point = |family: &Family| (family.prepare)()(Counted::Once);
    // Whatever is prepared is kept only for resampling.
    let (values, prepared): (Vec<Vec<Value>>, Vec<Metrics>) = match bootstrap {
        None => (families.par_iter().map(point).collect(), Vec::new()),
        Some(_) => {
            let prepared: Vec<Metrics> = families.par_iter().map(|family| (family.prepare)()).collect();
            (prepared.iter().map(|metrics| metrics(Counted::Once)).collect(), prepared)
        }
    };
    let mut estimates = estimates(&families, values, items.task());
    if let Some(bootstrap) = bootstrap {
        let replicate = |weights: &[u32]| -> Vec<Option<f64>> {
            prepared.iter().flat_map(|metrics| metrics(Counted::Weighted(weights))).map(Result::ok).collect()
        };
        bootstrap.intervals(items.clusters(), &replicate, &mut estimates);
    }
    let names = families.into_iter().flat_map(|family| family.names).map(|metric| metric.name);
    Ok(names.zip(estimates).collect())
}

/// [`metrics_of`], without intervals, of several groups of the same items: the same bits as that of
/// [`Items::select`], but every item is sorted once and not once for each group. Each group says of an item's index
/// whether it holds it.
pub fn metrics_of_groups(items: &Items, groups: &[Group]) -> Result<Vec<BTreeMap<String, Estimate>>, StatsError> {
    /// A group of a smaller share is quicker copied and sorted for itself than picked out of all.
    const SMALLEST_SHARE: usize = 16;
    /// Which of the picked groups an item is in has to fit 64 bits.
    const MOST_PICKED: usize = 64;
    let held: Vec<Bits> = groups.iter().map(|group| Bits::new(items.len(), *group)).collect();
    let sizes: Vec<usize> = held.iter().map(Bits::count).collect();
    let is_all = |at: usize| sizes[at] == items.len();
    // Of several classes each has a ranking: too many to keep at once.
    let is_picked =
        |&at: &usize| items.task().positive.is_some() && !is_all(at) && sizes[at] * SMALLEST_SHARE >= items.len();
    let mut counted = vec![Counted::Once];
    let picked: Vec<usize> = (0..groups.len()).filter(is_picked).take(MOST_PICKED).collect();
    counted.extend(picked.iter().map(|&at| Counted::Group(&held[at])));
    let families = families(items, false);
    let of_family = |family: &Family| -> Vec<Vec<Value>> {
        let metrics = (family.prepare)();
        counted.iter().map(|&counted| metrics(counted)).collect()
    };
    // The last family holds sums, and an item is added once, whatever groups it is in.
    let ranked = &families[..families.len() - 1];
    let mut by_family: Vec<Vec<Vec<Value>>> = ranked.par_iter().map(of_family).collect();
    let held_by_picked: Vec<&Bits> = picked.iter().map(|&at| &held[at]).collect();
    by_family.push(Sums::of_groups(items, &held_by_picked).iter().map(|sums| sums.values(items)).collect());
    let named = |at: usize| -> BTreeMap<String, Estimate> {
        let values = by_family.iter().map(|values| values[at].clone()).collect();
        let names = families.iter().flat_map(|family| &family.names).map(|metric| metric.name.clone());
        names.zip(estimates(&families, values, items.task())).collect()
    };
    let all = named(0);
    let of_group = |at: usize| match picked.binary_search(&at) {
        _ if is_all(at) => Ok(all.clone()),
        Ok(place) => Ok(named(1 + place)),
        Err(_) => metrics_of(&items.select(|i| held[at].get(i)), None),
    };
    (0..groups.len()).map(of_group).collect()
}

/// Which of some items are meant, asked with an item's index.
pub type Group<'a> = &'a (dyn Fn(usize) -> bool + Sync);

/// A bit for each item: a group that is asked for again and again, in any order.
struct Bits(Vec<u64>);

impl Bits {
    fn new(items: usize, holds: Group) -> Self {
        let word = |word: usize| {
            let of = word * 64..items.min((word + 1) * 64);
            of.fold(0, |bits, i| bits | u64::from(holds(i)) << (i % 64))
        };
        Self((0..items.div_ceil(64)).into_par_iter().map(word).collect())
    }

    fn get(&self, item: usize) -> bool {
        self.0[item / 64] >> (item % 64) & 1 == 1
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// The values of all families as estimates, in the order of their names.
fn estimates(families: &[Family], values: Vec<Vec<Value>>, task: &Task) -> Vec<Estimate> {
    let named = families.iter().flat_map(|family| &family.names).zip(values.into_iter().flatten());
    named
        .map(|(metric, value)| match value {
            Ok(value) => Estimate::point(value),
            Err(undefined) => Estimate::undefined(metric.reason(undefined, task)),
        })
        .collect()
}

type Value = Result<f64, Undefined>;

/// How often each item counts.
#[derive(Clone, Copy)]
enum Counted<'a> {
    Once,
    Weighted(&'a [u32]),
    /// Those of a group once, the others not at all.
    Group(&'a Bits),
}

impl Counted<'_> {
    fn weight(self, item: usize) -> u64 {
        match self {
            Self::Once => 1,
            Self::Weighted(weights) => weights[item].into(),
            Self::Group(held) => held.get(item).into(),
        }
    }

    /// What a curve of these items tells.
    fn curve<T>(self, ranking: &Ranking, order: Order, tell: impl FnOnce(&Curve) -> T) -> T {
        match self {
            Self::Once => tell(&ranking.curve(None, order)),
            Self::Weighted(weights) => tell(&ranking.curve(Some(weights), order)),
            Self::Group(held) => tell(&ranking.select(held.count(), |item| held.get(item)).curve(None, order)),
        }
    }
}

/// Metrics that share their preparation, in the order of their names: their values of the items as often as they
/// count.
type Metrics<'a> = Box<dyn Fn(Counted) -> Vec<Value> + Send + Sync + 'a>;

/// Metrics that share a ranking, bins or counts.
struct Family<'a> {
    names: Vec<Named>,
    /// Sort and bin once, for many weights.
    prepare: Box<dyn Fn() -> Metrics<'a> + Send + Sync + 'a>,
}

/// A metric's name and the words for what it may lack.
struct Named {
    name: String,
    /// What is the case where there are no positives, and where there are no negatives.
    no_positives: String,
    no_negatives: String,
    needs: String,
}

impl Named {
    /// A metric that is defined wherever there are items.
    fn plain(name: impl Into<String>) -> Self {
        Self { name: name.into(), no_positives: String::new(), no_negatives: String::new(), needs: String::new() }
    }

    fn reason(&self, undefined: Undefined, task: &Task) -> String {
        let fact = match undefined {
            Undefined::NoItems => return "there are no items".into(),
            Undefined::FewItems { found, needed } => {
                return format!("there are fewer than {needed} items ({found}): {}", self.needs);
            }
            Undefined::FewNegatives { found, needed } => {
                let negatives = task.positive.map_or("negatives", |class| task.classes[1 - class].as_str());
                return format!(
                    "only {found} items are {negatives}: a rate of false positives so small needs at least {needed}, or chance decides"
                );
            }
            Undefined::NotKnown => return self.needs.clone(),
            Undefined::NoPositives => &self.no_positives,
            Undefined::NoNegatives => &self.no_negatives,
            Undefined::OneClass(class) => &format!("all items are {}", task.classes[class]),
            Undefined::OnePrediction(class) => &format!("all items are predicted as {}", task.classes[class]),
        };
        format!("{fact}: {}", self.needs)
    }
}

/// Metrics that compare classes.
fn comparing(task: &Task, metrics: &[(&str, &str)]) -> Vec<Named> {
    let all_are = |class: usize| format!("all items are {}", task.classes[class]);
    let named = |(name, title): &(&str, &str)| match task.positive {
        Some(class) => Named {
            name: name.to_string(),
            no_positives: all_are(1 - class),
            no_negatives: all_are(class),
            needs: format!("{title} needs both classes"),
        },
        // Means over classes say which class is alone.
        None => Named { needs: format!("{title} needs items of two classes or more"), ..Named::plain(*name) },
    };
    metrics.iter().map(named).collect()
}

fn plain(names: &[&str]) -> Vec<Named> {
    names.iter().map(|name| Named::plain(*name)).collect()
}

/// All metrics of these items. `many` says that they are wanted for many weights.
fn families(items: &Items, many: bool) -> Vec<Family<'_>> {
    let task = items.task();
    // The slow ones first, so that threads end together.
    let errors = Arc::new(items.errors());
    let doubt = |kind: Doubt| doubt(items, kind, Arc::clone(&errors));
    let mut all: Vec<Family> =
        [Doubt::MaxProbability, Doubt::Total, Doubt::Aleatoric, Doubt::Epistemic].map(doubt).into();
    match task.positive {
        Some(class) => all.push(binary(items, class)),
        None => all.extend([doubt(Doubt::Margin), one_vs_rest(items, many)]),
    }
    all.push(sums(items));
    all
}

/// Everything that one pass over the items sums up.
#[derive(Clone)]
struct Sums {
    weight: u64,
    /// The largest entropy there can be.
    most_nats: f64,
    counts: ClassCounts,
    /// Of the largest probability.
    top: Vec<Bin>,
    /// Of each class' probability.
    by_class: Vec<Vec<Bin>>,
    /// Of the normalised entropy, the event being an error.
    entropy: Vec<Bin>,
    avu: Avu,
    /// Of [`MEANS`].
    means: [SignedSum; MEANS.len()],
    /// Of [`MEASURES`]; of no use where they are not known.
    measures: [SignedSum; MEASURES.len()],
}

/// The metrics that are means of one number per item; four are [`UNCERTAINTIES`].
const MEANS: [&str; 9] = [
    "nll",
    "brier",
    "max_probability",
    "margin",
    UNCERTAINTIES[0],
    UNCERTAINTIES[1],
    UNCERTAINTIES[2],
    UNCERTAINTIES[3],
    "total_variance",
];

impl Sums {
    fn new(classes: usize) -> Self {
        let bins = vec![Bin::default(); BINS];
        Self {
            weight: 0,
            most_nats: (classes as f64).ln(),
            counts: ClassCounts::new(classes),
            top: bins.clone(),
            by_class: vec![bins.clone(); classes],
            entropy: bins,
            avu: Avu::new(CERTAIN),
            means: [SignedSum::default(); MEANS.len()],
            measures: [SignedSum::default(); MEASURES.len()],
        }
    }

    fn add(&mut self, items: &Items, measures: &[Option<&[f64]>], i: usize, weight: u64) {
        let (probs, label, predicted) = (items.probs(i), items.label(i), items.predicted(i));
        let (top, right) = (probs[predicted], predicted == label);
        let parts =
            [items.total(), items.aleatoric(), items.between_frames(), items.epistemic()].map(|column| column[i]);
        let entropy = (parts[0] / self.most_nats).min(1.0);
        let brier = match items.task().positive {
            Some(class) => brier_positive(probs[class], label == class),
            None => brier_sum(probs, label),
        };
        self.weight += weight;
        self.counts.add(label, predicted, weight);
        self.top[bin_of(top, BINS)].add(top, right, weight);
        for (class, (bins, &p)) in self.by_class.iter_mut().zip(probs).enumerate() {
            bins[bin_of(p, BINS)].add(p, label == class, weight);
        }
        self.entropy[bin_of(entropy, BINS)].add(entropy, !right, weight);
        self.avu.add(entropy, right, weight);
        let variance = items.total_variance(i);
        let numbers =
            [nll(probs, label), brier, top, items.margin(i), parts[0], parts[1], parts[2], parts[3], variance];
        self.means.iter_mut().zip(numbers).for_each(|(sum, number)| sum.add(number, weight));
        for (sum, column) in self.measures.iter_mut().zip(measures) {
            if let Some(column) = column {
                sum.add(column[i], weight);
            }
        }
    }

    /// Exact sums: the same bits wherever the items were cut.
    fn merge(mut self, other: Self) -> Self {
        let merge = |bins: &mut [Bin], more: &[Bin]| bins.iter_mut().zip(more).for_each(|(b, m)| b.merge(m));
        self.weight += other.weight;
        self.counts.merge(&other.counts);
        merge(&mut self.top, &other.top);
        self.by_class.iter_mut().zip(&other.by_class).for_each(|(bins, more)| merge(bins, more));
        merge(&mut self.entropy, &other.entropy);
        self.avu.merge(&other.avu);
        self.means.iter_mut().zip(other.means).for_each(|(sum, more)| *sum = sum.plus(more));
        self.measures.iter_mut().zip(other.measures).for_each(|(sum, more)| *sum = sum.plus(more));
        self
    }

    fn of(items: &Items, counted: Counted) -> Self {
        let measures = items.measures();
        const PART: usize = 1 << 16;
        let part = |part: usize| {
            let mut sums = Self::new(items.classes());
            for i in part * PART..items.len().min((part + 1) * PART) {
                match counted.weight(i) {
                    0 => {}
                    weight => sums.add(items, &measures, i, weight),
                }
            }
            sums
        };
        match items.len().div_ceil(PART) {
            0 | 1 => part(0),
            parts => (0..parts).into_par_iter().map(part).reduce(|| Self::new(items.classes()), Self::merge),
        }
    }
}

impl Sums {
    /// Of all items, and of each of up to 64 groups.
    fn of_groups(items: &Items, groups: &[&Bits]) -> Vec<Self> {
        const PART: usize = 1 << 16;
        let measures = items.measures();
        // Of the items that are in the same groups.
        let part = |part: usize| {
            let mut atoms: Vec<(u64, Self)> = Vec::new();
            for i in part * PART..items.len().min((part + 1) * PART) {
                let of = groups.iter().enumerate().fold(0, |of, (at, held)| of | u64::from(held.get(i)) << at);
                let place = atoms.iter().position(|atom| atom.0 == of).unwrap_or_else(|| {
                    atoms.push((of, Self::new(items.classes())));
                    atoms.len() - 1
                });
                atoms[place].1.add(items, &measures, i, 1);
            }
            atoms
        };
        let merge = |mut all: Vec<(u64, Self)>, more: Vec<(u64, Self)>| {
            for (of, sums) in more {
                match all.iter_mut().find(|atom| atom.0 == of) {
                    Some(atom) => atom.1 = std::mem::replace(&mut atom.1, Self::new(0)).merge(sums),
                    None => all.push((of, sums)),
                }
            }
            all
        };
        let atoms = (0..items.len().div_ceil(PART)).into_par_iter().map(part).reduce(Vec::new, merge);
        let of = |is_in: &dyn Fn(u64) -> bool| {
            let own = atoms.iter().filter(|atom| is_in(atom.0));
            own.fold(Self::new(items.classes()), |all, atom| all.merge(atom.1.clone()))
        };
        let mut all = vec![of(&|_| true)];
        all.extend((0..groups.len()).map(|at| of(&|groups| groups >> at & 1 == 1)));
        all
    }

    /// Every metric of the family [`sums`], in the order of its names.
    fn values(&self, items: &Items) -> Vec<Value> {
        let sums = self;
        let mean = |sum: SignedSum| match sums.weight {
            0 => Err(Undefined::NoItems),
            weight => Ok(sum.value() / weight as f64),
        };
        let mut values: Vec<Value> = sums.means.iter().map(|&sum| mean(sum)).collect();
        let known = items.measures().map(|column| column.is_some());
        let measure = |(&sum, known): (&SignedSum, bool)| if known { mean(sum) } else { Err(Undefined::NotKnown) };
        values.extend(sums.measures.iter().zip(known).map(measure));
        let (top, counts) = (&sums.top, &sums.counts);
        values.extend([cal::ece(top), cal::rms(top), cal::mce(top), cal::ece_debiased(top), cal::rms_debiased(top)]);
        let by_class: Value = sums.by_class.iter().map(|bins| cal::ece(bins)).sum();
        values.extend([by_class.map(|sum| sum / items.classes() as f64), cal::ece(&sums.entropy)]);
        values.extend([sums.avu.value(), sums.avu.area()]);
        values.extend([counts.accuracy(), counts.balanced_accuracy(), counts.mcc()]);
        let Some(class) = items.task().positive else {
            values.push(counts.f1_macro());
            return values;
        };
        values.push(counts.f1(class));
        let bins = &sums.by_class[class];
        values.extend([cal::ece(bins), cal::rms(bins), cal::mce(bins), cal::ece_debiased(bins)]);
        match cal::murphy(bins) {
            Ok(m) => values.extend([m.reliability, m.resolution, m.uncertainty, m.within_bins].map(Ok)),
            Err(undefined) => values.extend([Err(undefined); 4]),
        }
        values
    }
}

/// What needs no ranking.
fn sums(items: &Items) -> Family<'_> {
    let task = items.task();
    let mut names = plain(&MEANS);
    let needs = |name: &&str| match *name {
        "epistemic_jackknife" => {
            "needs two samples or more of each item, side by side in the file (of videos in any order)"
        }
        _ => "needs two samples or more of each item, and not only their means",
    };
    names.extend(MEASURES.iter().map(|name| Named { needs: needs(name).into(), ..Named::plain(*name) }));
    names.extend(plain(&["ece_top15", "rms_top15", "mce_top15", "ece_top15_debiased", "rms_top15_debiased"]));
    names.extend(plain(&["ece_classwise15", "uce15", "avu", "avu_area", "accuracy"]));
    names.extend(comparing(task, &[("balanced_accuracy", "balanced accuracy")]));
    let mcc = "Matthews' correlation needs two classes among the items and among the predictions";
    names.push(Named { needs: mcc.into(), ..Named::plain("mcc") });
    names.extend(comparing(task, &[(if task.positive.is_some() { "f1" } else { "f1_macro" }, "F1")]));
    if task.positive.is_some() {
        names.extend(plain(&["ece_pos15", "rms_pos15", "mce_pos15", "ece_pos15_debiased"]));
        names.extend(plain(&["brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins"]));
    }
    let values = move |counted: Counted| Sums::of(items, counted).values(items);
    Family { names, prepare: Box::new(move || Box::new(values)) }
}

/// What the positive class' probability ranks.
fn binary(items: &Items, class: usize) -> Family<'_> {
    let names = comparing(
        items.task(),
        &[
            ("auroc", "AUROC"),
            ("average_precision", "average precision"),
            ("eer", "the equal error rate"),
            ("eer_deepfakebench", "the equal error rate"),
            ("tpr_at_fpr1pct", "TPR at a FPR"),
            ("tpr_at_fpr01pct", "TPR at a FPR"),
            ("cllr", "the cost of likelihood ratios"),
            ("cllr_min", "the cost of likelihood ratios"),
        ],
    );
    let prepare = move || -> Metrics {
        let (scores, positives) = items.class(class);
        let ranking = Ranking::new(&scores, &positives);
        let values = |curve: &Curve| {
            let mut values = of_positives(items.scale(), curve);
            values.push(forensic::cllr_min(&curve.reversed()));
            values
        };
        let names = 8;
        Box::new(move |counted| match counted {
            // Nothing is told of one class, so nothing has to be picked.
            Counted::Group(held) if held.count() > 0 => {
                let positive = (0..items.len()).filter(|&i| held.get(i) && items.label(i) == class).count();
                match positive {
                    0 => vec![Err(Undefined::NoPositives); names],
                    all if all == held.count() => vec![Err(Undefined::NoNegatives); names],
                    _ => counted.curve(&ranking, Order::Falling, values),
                }
            }
            _ => counted.curve(&ranking, Order::Falling, values),
        })
    };
    Family { names, prepare: Box::new(prepare) }
}

/// What a walk along the positive class' score on this scale, from the largest on, tells.
fn of_positives(scale: Scale, curve: &Curve) -> Vec<Value> {
    let both = match curve.both() {
        Ok(both) => both,
        Err(undefined) => return vec![Err(undefined); 7],
    };
    let (mut auroc, mut precision) = (disc::AurocSum::new(both), disc::PrecisionSum::new(both));
    let (mut eer, mut eer_bench) = (disc::EerPoint::new(both), disc::EerDeepfakeBench::new(both));
    let mut tpr = [0.01, 0.001].map(|fpr| disc::TprAtFpr::new(both, fpr));
    let mut cllr = forensic::CllrOfPosteriors::new(scale, both);
    curve.blocks(|block| {
        auroc.add(block);
        precision.add(block);
        eer.add(block);
        eer_bench.add(block);
        tpr.iter_mut().flatten().for_each(|tpr| tpr.add(block));
        cllr.add(block);
    });
    let mut values: Vec<Value> = [auroc.value(), precision.value(), eer.value(), eer_bench.value()].map(Ok).into();
    values.extend(tpr.map(|tpr| tpr.map(|tpr| tpr.value())));
    values.push(Ok(cllr.value()));
    values
}

/// Each class against the rest, and the means over the classes.
fn one_vs_rest(items: &Items, many: bool) -> Family<'_> {
    let task = items.task();
    let mut names = comparing(task, &[("auroc", "AUROC"), ("average_precision", "average precision")]);
    for (metric, title) in [("auroc", "AUROC"), ("average_precision", "average precision")] {
        names.extend(task.classes.iter().map(|class| Named {
            name: format!("{metric}_{class}"),
            no_positives: format!("no item is {class}"),
            no_negatives: format!("all items are {class}"),
            needs: format!("the {title} of {class} against the rest needs both"),
        }));
    }
    let classes = task.classes.len();
    let rank = |class: usize| {
        let (scores, positives) = items.class(class);
        Ranking::new(&scores, &positives)
    };
    let prepare = move || -> Metrics {
        // For one use they are made one after the other, so that only one is in memory.
        let kept: Option<Vec<Ranking>> = many.then(|| (0..classes).map(rank).collect());
        Box::new(move |counted| {
            let of_class = |class: usize| {
                let made;
                let ranking = match &kept {
                    Some(kept) => &kept[class],
                    None => {
                        made = rank(class);
                        &made
                    }
                };
                counted.curve(ranking, Order::Falling, of_hits).into()
            };
            let (aurocs, precisions): (Vec<Value>, Vec<Value>) = (0..classes).map(of_class).unzip();
            let mut values = vec![macro_mean(&aurocs), macro_mean(&precisions)];
            values.extend(aurocs);
            values.extend(precisions);
            values
        })
    };
    Family { names, prepare: Box::new(prepare) }
}

/// The mean over the classes that have items (as torchmetrics' `average="macro"`). Where only one class
/// has items, none is defined.
fn macro_mean(by_class: &[Value]) -> Value {
    let (mut sum, mut defined) = (0.0, 0u32);
    for (class, value) in by_class.iter().enumerate() {
        match value {
            Ok(value) => {
                sum += value;
                defined += 1;
            }
            Err(Undefined::NoNegatives) => return Err(Undefined::OneClass(class)),
            Err(Undefined::NoItems) => return Err(Undefined::NoItems),
            Err(_) => {}
        }
    }
    if defined > 0 { Ok(sum / f64::from(defined)) } else { Err(Undefined::NoItems) }
}

/// Whether doubt finds the errors; and, of the largest probability, all that its ranking tells.
fn doubt(items: &Items, doubt: Doubt, errors: Arc<Vec<bool>>) -> Family<'_> {
    let misclassification = |doubt: Doubt| {
        let words = |metric: &str, title: &str| Named {
            name: format!("misclassification_{metric}_{}", doubt.name()),
            no_positives: "no item is misclassified".into(),
            no_negatives: "every item is misclassified".into(),
            needs: format!("the {title} of doubt for errors needs right and wrong items"),
        };
        [words("auroc", "AUROC"), words("aupr", "average precision")]
    };
    let mut names: Vec<Named> = misclassification(doubt).into();
    let is_binary = items.classes() == 2;
    if doubt == Doubt::MaxProbability {
        names.extend(plain(&["aurc", "eaurc", "augrc", "ece_adaptive15", "ks_calibration"]));
        let trapezoid = "the trapezoid rule needs two coverages".to_string();
        names.push(Named { needs: trapezoid, ..Named::plain("aurc_trapezoid") });
        if is_binary {
            // Of two classes the margin is 2 max - 1, the same ranking.
            names.extend(misclassification(Doubt::Margin));
        }
    }
    let prepare = move || -> Metrics {
        let each = |number: fn(&Items, usize) -> f64| (0..items.len()).map(|i| number(items, i)).collect();
        // Small probabilities are doubtful, large entropies.
        let (scores, order): (Cow<[f64]>, Order) = match doubt {
            Doubt::MaxProbability => (Cow::Owned(each(Items::confidence)), Order::Rising),
            Doubt::Margin => (Cow::Owned(each(Items::margin_rank)), Order::Rising),
            Doubt::Total => (items.total().into(), Order::Falling),
            Doubt::Aleatoric => (items.aleatoric().into(), Order::Falling),
            Doubt::Epistemic => (items.epistemic().into(), Order::Falling),
        };
        let ranking = Ranking::new(&scores, &errors);
        let values = move |curve: &Curve| {
            if doubt != Doubt::MaxProbability {
                return of_hits(curve).into();
            }
            let mut values: Vec<Value> = of_confidence(items, curve).into();
            if is_binary {
                values.extend_from_within(..2);
            }
            values
        };
        Box::new(move |counted| counted.curve(&ranking, order, values))
    };
    Family { names, prepare: Box::new(prepare) }
}

/// AUROC and average precision.
fn of_hits(curve: &Curve) -> [Value; 2] {
    let both = match curve.both() {
        Ok(both) => both,
        Err(undefined) => return [Err(undefined); 2],
    };
    let (mut auroc, mut precision) = (disc::AurocSum::new(both), disc::PrecisionSum::new(both));
    curve.blocks(|block| {
        auroc.add(block);
        precision.add(block);
    });
    [Ok(auroc.value()), Ok(precision.value())]
}

/// What the curve from the least confident item on tells.
fn of_confidence(items: &Items, curve: &Curve) -> [Value; 8] {
    let both = curve.both().unwrap_or_default();
    let (mut auroc, mut precision) = (disc::AurocSum::new(both), disc::PrecisionSum::new(both));
    let (mut mass, mut gap) = (cal::EqualMass::new(BINS, curve.hits + curve.others), cal::KsGap::default());
    curve.blocks(|block| {
        auroc.add(block);
        precision.add(block);
        let block = Block { score: items.confidence_of(block.score), ..block };
        mass.add(block);
        gap.add(block);
    });
    let hits = |value: f64| curve.both().map(|_| value);
    let risks = Risks::new(&curve.reversed());
    [
        hits(auroc.value()),
        hits(precision.value()),
        risks.aurc(),
        risks.eaurc(),
        risks.augrc(),
        cal::ece(&mass.bins),
        gap.value(),
        risks.aurc_trapezoid(),
    ]
}
