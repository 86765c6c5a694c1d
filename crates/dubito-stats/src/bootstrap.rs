//! Percentile intervals from resampled clusters.
//!
//! Frames of one video, and videos of one person, resemble each other: resampling them one by one
//! would give intervals far too short. So whole clusters (identities) are drawn with replacement, as
//! many as there are, and every metric is computed again from the items of those drawn (Field and
//! Welsh, "Bootstrapping Clustered Data", JRSS B 69, 2007). The interval is the percentile interval
//! (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13) with linear
//! interpolation between order statistics (type 7 of Hyndman and Fan, 1996).
//!
//! Replicate `i` draws from stream `i` of a ChaCha8 generator seeded by `seed`, so the answer does not
//! depend on the number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Estimate, StatsError};

/// A metric whose value is missing in more than this share of the replicates has no interval: what is
/// left would be an interval under a condition.
const MISSING: f64 = 0.05;

/// How intervals are made.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Bootstrap {
    /// Number of resamples, 1 to 1,000,000; 1,000 is usual.
    pub replicates: usize,
    /// Coverage aimed at, above 0 and below 1; 0.95 is usual.
    pub level: f64,
    /// Seed of the resampling.
    pub seed: u64,
    /// With fewer clusters than this, there is no interval: a handful of people says too little about
    /// people.
    pub min_clusters: usize,
}

impl Default for Bootstrap {
    /// 1,000 replicates, 95 %, seed 0, five clusters or more.
    fn default() -> Self {
        Self { replicates: 1000, level: 0.95, seed: 0, min_clusters: 5 }
    }
}

impl Bootstrap {
    pub(crate) fn check(&self) -> Result<(), StatsError> {
        let bad = |name, value: String, expected| Err(StatsError::BadParameter { name, value, expected });
        if !(1..=1_000_000).contains(&self.replicates) {
            return bad("replicates", self.replicates.to_string(), "a number from 1 to 1000000");
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            return bad("level", self.level.to_string(), "a number above 0 and below 1");
        }
        Ok(())
    }

    /// Give each estimate that has a value its interval, or the reason why it has none; the parameters are taken as
    /// they are, [`metrics_of`](crate::metrics_of) and its like check them.
    ///
    /// `clusters` is the cluster of each item; `metrics` gives the
    /// value of every metric where item `i` counts `weights[i]` times; `estimates` are their values on the
    /// items as they are.
    pub fn intervals(
        &self,
        clusters: &[u32],
        metrics: &(dyn Fn(&[u32]) -> Vec<Option<f64>> + Sync),
        estimates: &mut [Estimate],
    ) {
        let (rank, count) = dense_rank(clusters);
        let needed = self.min_clusters.max(2);
        if count < needed {
            let plural = if count == 1 { "" } else { "s" };
            let reason = format!(
                "no interval: the items come from {count} cluster{plural} (identities), an interval needs at least {needed}"
            );
            for estimate in estimates.iter_mut().filter(|e| e.value.is_some()) {
                estimate.undefined_because = Some(reason.clone());
            }
            return;
        }
        let replicates: Vec<Vec<Option<f64>>> = (0..self.replicates as u64)
            .into_par_iter()
            .map_init(
                || (vec![0; count], vec![0; clusters.len()]),
                |(drawn, weights), replicate| {
                    draw(self.seed, replicate, drawn);
                    weights.iter_mut().zip(&rank).for_each(|(weight, &rank)| *weight = drawn[rank as usize]);
                    metrics(weights)
                },
            )
            .collect();
        for (at, estimate) in estimates.iter_mut().enumerate() {
            if estimate.value.is_none() {
                continue;
            }
            let mut values: Vec<f64> = replicates.iter().filter_map(|values| values[at]).collect();
            let missing = 1.0 - values.len() as f64 / self.replicates as f64;
            if missing > MISSING {
                estimate.undefined_because = Some(format!(
                    "no interval: {:.1} % of the bootstrap replicates have no value (for example none of a class), more than {:.0} %",
                    100.0 * missing,
                    100.0 * MISSING
                ));
                continue;
            }
            values.sort_by(f64::total_cmp);
            estimate.low = Some(quantile(&values, (1.0 - self.level) / 2.0));
            estimate.high = Some(quantile(&values, (1.0 + self.level) / 2.0));
        }
    }
}

/// Draw as many clusters as there are places, with replacement, from a stream of the seed, and write how often each
/// is in. Replicate `i` of a [`Bootstrap`] draws from stream `i`.
pub fn draw(seed: u64, stream: u64, drawn: &mut [u32]) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    drawn.fill(0);
    for _ in 0..drawn.len() {
        // The high half of the product is uniform below the number of clusters, to 2^-32.
        let cluster = (u128::from(random.next_u64()) * drawn.len() as u128) >> 64;
        drawn[cluster as usize] += 1;
    }
}

/// The rank of each item's cluster among the distinct clusters, from 0, and how many these are. It does
/// not depend on the order of the items.
fn dense_rank(clusters: &[u32]) -> (Vec<u32>, usize) {
    let mut distinct = clusters.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let rank = clusters.iter().map(|cluster| distinct.partition_point(|other| other < cluster) as u32).collect();
    (rank, distinct.len())
}

/// Quantile, at a level from 0 to 1, of sorted values (one or more; panics without) with linear interpolation: type 7
/// of Hyndman and Fan (1996).
pub fn quantile(sorted: &[f64], level: f64) -> f64 {
    let at = level * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}
