//! How often something happens (a real called fake, a fake missed), with intervals clustered like those
//! of `dubito_stats`, and the difference of two such rates on the same people.

use std::collections::BTreeMap;

use dubito_stats::bootstrap::{draw, quantile};
use dubito_stats::{Bootstrap, Estimate};

/// Events and trials of each cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// Of all.
    counts: (u64, u64),
    /// `None` where only the totals are kept.
    by_cluster: Option<BTreeMap<u32, (u64, u64)>>,
}

impl Default for Rate {
    fn default() -> Self {
        Self::new(true)
    }
}

impl Rate {
    /// No trials yet. What is not `clustered` keeps totals only, which is enough without intervals.
    pub fn new(clustered: bool) -> Self {
        Self { counts: (0, 0), by_cluster: clustered.then(BTreeMap::new) }
    }

    /// One trial: the item's cluster, and whether the event happened.
    pub fn push(&mut self, cluster: u32, happened: bool) {
        let own = self.by_cluster.as_mut().map(|clusters| clusters.entry(cluster).or_default());
        for (events, trials) in [Some(&mut self.counts), own].into_iter().flatten() {
            *events += u64::from(happened);
            *trials += 1;
        }
    }

    /// Add the trials of another part.
    pub fn merge(&mut self, other: Self) {
        self.counts.0 += other.counts.0;
        self.counts.1 += other.counts.1;
        if let (Some(all), Some(more)) = (&mut self.by_cluster, other.by_cluster) {
            for (cluster, (events, trials)) in more {
                let own = all.entry(cluster).or_default();
                own.0 += events;
                own.1 += trials;
            }
        }
    }

    /// Number of events and of trials.
    pub fn counts(&self) -> (u64, u64) {
        self.counts
    }

    /// Share of the trials where the event happened, 0 to 1.
    ///
    /// The interval is the percentile interval over resampled clusters, drawn exactly as
    /// [`dubito_stats::metrics()`] draws them. Where the event never (or always) happened, resampling can
    /// only repeat that, so the open end is the exact binomial bound (Clopper and Pearson, Biometrika
    /// 26, 1934) of that many *clusters*: one trial each, as if all items of a cluster went together.
    /// Without trials: undefined, for `reason`.
    pub fn estimate(&self, bootstrap: Option<&Bootstrap>, reason: &str) -> Estimate {
        let (events, trials) = self.counts();
        if trials == 0 {
            return Estimate::undefined(reason);
        }
        let mut estimate = Estimate::point(events as f64 / trials as f64);
        let Some(bootstrap) = bootstrap else { return estimate };
        let clusters: Vec<(u64, u64)> =
            self.by_cluster.iter().flat_map(|clusters| clusters.values()).copied().collect();
        if let Some(reason) = too_few(clusters.len(), bootstrap) {
            estimate.undefined_because = Some(reason);
            return estimate;
        }
        if events == 0 || events == trials {
            let open = 1.0 - ((1.0 - bootstrap.level) / 2.0).powf(1.0 / clusters.len() as f64);
            (estimate.low, estimate.high) =
                if events == 0 { (Some(0.0), Some(open)) } else { (Some(1.0 - open), Some(1.0)) };
            return estimate;
        }
        let values = resample(&clusters, bootstrap, |drawn| {
            let (e, t) = drawn.fold((0, 0), |sum, (&(e, t), times)| (sum.0 + times * e, sum.1 + times * t));
            (t > 0).then(|| e as f64 / t as f64)
        });
        set_interval(&mut estimate, values, bootstrap);
        estimate
    }

    /// This rate minus `other`, -1 to 1: the same clusters are drawn for both, so what they share
    /// cancels. `None`-valued where one of them has no trials.
    pub fn minus(&self, other: &Self, bootstrap: Option<&Bootstrap>, reason: &str) -> Estimate {
        let ((e, t), (other_e, other_t)) = (self.counts(), other.counts());
        if t == 0 || other_t == 0 {
            return Estimate::undefined(reason);
        }
        let mut estimate = Estimate::point(e as f64 / t as f64 - other_e as f64 / other_t as f64);
        let Some(bootstrap) = bootstrap else { return estimate };
        let mut both: BTreeMap<u32, [u64; 4]> = BTreeMap::new();
        for (&cluster, &(e, t)) in self.by_cluster.iter().flatten() {
            both.entry(cluster).or_default()[..2].copy_from_slice(&[e, t]);
        }
        for (&cluster, &(e, t)) in other.by_cluster.iter().flatten() {
            both.entry(cluster).or_default()[2..].copy_from_slice(&[e, t]);
        }
        let clusters: Vec<[u64; 4]> = both.into_values().collect();
        if let Some(reason) = too_few(clusters.len(), bootstrap) {
            estimate.undefined_because = Some(reason);
            return estimate;
        }
        if (e == 0 || e == t) && (other_e == 0 || other_e == other_t) {
            estimate.undefined_because =
                Some("no interval: each of the two rates is 0 or 1, which resampling can only repeat".into());
            return estimate;
        }
        let values = resample(&clusters, bootstrap, |drawn| {
            let mut sum = [0u64; 4];
            for (cluster, times) in drawn {
                sum.iter_mut().zip(cluster).for_each(|(s, c)| *s += times * c);
            }
            let [e, t, other_e, other_t] = sum.map(|s| s as f64);
            (t > 0.0 && other_t > 0.0).then(|| e / t - other_e / other_t)
        });
        set_interval(&mut estimate, values, bootstrap);
        estimate
    }
}

fn too_few(clusters: usize, bootstrap: &Bootstrap) -> Option<String> {
    let needed = bootstrap.min_clusters.max(2);
    (clusters < needed).then(|| {
        let plural = if clusters == 1 { "" } else { "s" };
        format!("no interval: the items come from {clusters} cluster{plural} (identities), an interval needs at least {needed}")
    })
}

/// The statistic of each replicate: clusters with how often each was drawn.
fn resample<C>(
    clusters: &[C],
    bootstrap: &Bootstrap,
    statistic: impl Fn(&mut dyn Iterator<Item = (&C, u64)>) -> Option<f64>,
) -> Vec<Option<f64>> {
    let mut times = vec![0; clusters.len()];
    (0..bootstrap.replicates as u64)
        .map(|replicate| {
            draw(bootstrap.seed, replicate, &mut times);
            statistic(&mut clusters.iter().zip(times.iter().map(|&times| times.into())))
        })
        .collect()
}

/// The percentile interval, where at least 95 % of the replicates have a value.
fn set_interval(estimate: &mut Estimate, values: Vec<Option<f64>>, bootstrap: &Bootstrap) {
    let replicates = values.len();
    let mut values: Vec<f64> = values.into_iter().flatten().collect();
    if values.len() < 2 || (values.len() as f64) < 0.95 * replicates as f64 {
        estimate.undefined_because =
            Some("no interval: more than 5 % of the bootstrap replicates have no value".into());
        return;
    }
    values.sort_by(f64::total_cmp);
    estimate.low = Some(quantile(&values, (1.0 - bootstrap.level) / 2.0));
    estimate.high = Some(quantile(&values, (1.0 + bootstrap.level) / 2.0));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rate(trials: &[(u32, bool)]) -> Rate {
        let mut rate = Rate::default();
        trials.iter().for_each(|&(cluster, happened)| rate.push(cluster, happened));
        rate
    }

    /// SciPy: `beta.ppf(.975, 1, 10)` and `beta.ppf(.025, 10, 1)`.
    #[test]
    fn nothing_seen_is_not_nothing_there() {
        let bootstrap = Bootstrap::default();
        let never = rate(&(0..10).map(|c| (c, false)).collect::<Vec<_>>()).estimate(Some(&bootstrap), "");
        assert_eq!((never.value, never.low), (Some(0.0), Some(0.0)));
        assert!((never.high.unwrap() - 0.308_497_1).abs() < 1e-6);
        let always = rate(&(0..10).map(|c| (c, true)).collect::<Vec<_>>()).estimate(Some(&bootstrap), "");
        assert!((always.low.unwrap() - 0.691_502_9).abs() < 1e-6);
        assert_eq!(always.high, Some(1.0));
    }

    #[test]
    fn a_rate_minus_itself_is_nothing() {
        let bootstrap = Bootstrap::default();
        let half = rate(&(0..20).map(|c| (c / 2, c % 3 == 0)).collect::<Vec<_>>());
        let difference = half.minus(&half, Some(&bootstrap), "");
        assert_eq!((difference.value, difference.low, difference.high), (Some(0.0), Some(0.0), Some(0.0)));
        // One more alarm for each person is one half more, whoever is drawn.
        let less = rate(&(0..10).flat_map(|c| [(c, false), (c, false)]).collect::<Vec<_>>());
        let more = rate(&(0..10).flat_map(|c| [(c, true), (c, c < 5)]).collect::<Vec<_>>());
        let difference = more.minus(&less, Some(&bootstrap), "");
        assert_eq!(difference.value, Some(0.75));
        assert!(difference.undefined_because.is_none() && difference.low.unwrap() >= 0.5);
    }

    #[test]
    fn without_trials_there_is_a_reason() {
        let none = Rate::default().estimate(None, "there are no reals");
        assert_eq!(none, Estimate::undefined("there are no reals"));
    }
}
