//! Items of none of the known classes: how many known ones are still named right while how many unknown ones pass as known.
//!
//! Dhamija, Günther and Boult, "Reducing Network Agnostophobia", NeurIPS 2018: at a threshold on the largest probability,
//! the correct classification rate (CCR) is the share of the known items that are at or above it and named right, the
//! false positive rate (FPR) the share of the unknown ones at or above it.

use crate::ranking::{Order, Ranking};
use crate::weighted::{Undefined, Weighted};
use crate::{StatsError, check};

/// Known and unknown items with their largest probability.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenSet {
    /// The largest probability (or any score of "this is one of the known") of each item.
    pub scores: Vec<f64>,
    /// Whether the item is of none of the known classes.
    pub unknown: Vec<bool>,
    /// Whether a known item was named right; of an unknown one it means nothing.
    pub right: Vec<bool>,
}

impl OpenSet {
    /// The curve's points `(FPR, CCR)` from (0, 0), one for each distinct score by falling score; the last is (1, closed-set
    /// accuracy). Errors: lists of other lengths, NaN, no known or no unknown items.
    pub fn curve(&self) -> Result<Vec<(f64, f64)>, StatsError> {
        self.check()?;
        let (unknown, known) = self.counts();
        if unknown == 0 || known == 0 {
            let because = format!("{known} known and {unknown} unknown items: both are needed");
            return Err(StatsError::CannotFit { what: "an OSCR curve", because });
        }
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        order.sort_by(|&a, &b| self.scores[b].total_cmp(&self.scores[a]));
        let (mut points, mut passed, mut right) = (vec![(0.0, 0.0)], 0, 0);
        for block in order.chunk_by(|&a, &b| self.scores[a] == self.scores[b]) {
            passed += block.iter().filter(|&&i| self.unknown[i]).count();
            right += block.iter().filter(|&&i| !self.unknown[i] && self.right[i]).count();
            points.push((passed as f64 / unknown as f64, right as f64 / known as f64));
        }
        Ok(points)
    }

    fn counts(&self) -> (usize, usize) {
        let unknown = self.unknown.iter().filter(|&&u| u).count();
        (unknown, self.unknown.len() - unknown)
    }

    fn check(&self) -> Result<(), StatsError> {
        check::length("unknown", self.unknown.len(), self.scores.len())?;
        check::length("right", self.right.len(), self.scores.len())?;
        check::finite("scores", &self.scores)
    }
}

/// Area under the OSCR curve by trapezoids, 0 to 1: the probability that a known item is named right and has a higher score
/// than an unknown one, ties one half. At most the accuracy on the known items.
pub struct Oscr {
    /// Of the known items named right against the unknown ones.
    ranking: Ranking,
    known: Vec<bool>,
    /// Items that are in the ranking.
    ranked: Vec<usize>,
}

impl Oscr {
    /// Of these items. Errors: lists of other lengths, NaN.
    pub fn new(items: &OpenSet) -> Result<Self, StatsError> {
        items.check()?;
        let ranked: Vec<usize> = (0..items.scores.len()).filter(|&i| items.unknown[i] || items.right[i]).collect();
        let scores: Vec<f64> = ranked.iter().map(|&i| items.scores[i]).collect();
        let hits: Vec<bool> = ranked.iter().map(|&i| !items.unknown[i]).collect();
        let known = items.unknown.iter().map(|&u| !u).collect();
        Ok(Self { ranking: Ranking::new(&scores, &hits), known, ranked })
    }
}

impl Weighted for Oscr {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let known: u64 = weights.iter().zip(&self.known).filter(|(_, known)| **known).map(|(&w, _)| u64::from(w)).sum();
        if known == 0 {
            return Err(Undefined::NoPositives);
        }
        let of_ranked: Vec<u32> = self.ranked.iter().map(|&i| weights[i]).collect();
        let curve = self.ranking.curve(Some(&of_ranked), Order::Falling);
        if curve.others == 0 {
            return Err(Undefined::NoNegatives);
        }
        // The AUROC of those named right, times their share.
        let (mut above, mut twice) = (0u64, 0u128);
        curve.blocks(|block| {
            twice += u128::from(block.others) * u128::from(2 * above + block.hits);
            above += block.hits;
        });
        Ok(twice as f64 / 2.0 / known as f64 / curve.others as f64)
    }
}
