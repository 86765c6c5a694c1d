//! Risk and coverage: how few errors are left when the doubtful items are set aside.
//!
//! Items are ranked by confidence, and the `k` most confident of `n` are kept, for every `k`. Items of
//! equal confidence have no order among them, so each block of ties enters as the mean over all its
//! orders. The risk is the 0/1 error.
//!
//! The functions take a [`Curve`] from the most confident item on, errors being the hits.

use serde::{Deserialize, Serialize};

use crate::items::{Doubt, Items};
use crate::ranking::{Block, Curve, Order, Ranking};
use crate::weighted::Undefined;

/// The selective risks of a curve at `k = 1..n`, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Risks {
    items: u64,
    errors: u64,
    sum: f64,
    /// The first of them.
    first: f64,
    /// Twice the area under the errors kept.
    area_twice: u128,
}

impl Risks {
    /// Of a curve from the most confident item on.
    pub fn new(curve: &Curve) -> Self {
        let mut risks = Self::default();
        curve.blocks(|block| risks.add(block));
        risks
    }

    fn add(&mut self, Block { hits: wrong, others: right, .. }: Block) {
        let block = wrong + right;
        let (kept, errors) = (self.items, self.errors);
        // Mean over the block's orders: of its first j items, j * rate are wrong, so at k = kept + j
        // the risk is (errors + j * rate) / k = rate + (errors - kept * rate) / k.
        let rate = wrong as f64 / block as f64;
        if kept == 0 {
            self.first = rate;
        }
        self.sum += wrong as f64 + (errors as f64 - kept as f64 * rate) * harmonic(kept, block);
        self.area_twice += u128::from(block) * u128::from(2 * errors + wrong);
        self.items += block;
        self.errors += wrong;
    }

    /// Area under the risk-coverage curve as the mean selective risk: the mean over `k = 1..n` of the error
    /// rate among the `k` most confident items (Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty
    /// Estimation for Deep Neural Classifiers", ICLR 2019). 0 (no errors) to 1, smaller is better. It is
    /// the mean over all coverages; the trapezoid rule leaves out half of the first and of the last one.
    pub fn aurc(&self) -> Result<f64, Undefined> {
        if self.items > 0 { Ok(self.sum / self.items as f64) } else { Err(Undefined::NoItems) }
    }

    /// Area under the risk-coverage curve by the trapezoid rule from coverage `1/n` to 1, divided by the
    /// length `1 - 1/n` of that stretch: what torch-uncertainty's `AURC` computes. 0 to 1. Needs two items.
    pub fn aurc_trapezoid(&self) -> Result<f64, Undefined> {
        match self.items {
            0 => Err(Undefined::NoItems),
            1 => Err(Undefined::FewItems { found: 1, needed: 2 }),
            items => {
                let last = self.errors as f64 / items as f64;
                Ok((self.sum - (self.first + last) / 2.0) / (items - 1) as f64)
            }
        }
    }

    /// Excess AURC: [`aurc`](Self::aurc) minus that of the best ranking with as many errors, all of them
    /// last (Geifman et al., ICLR 2019). 0 (every error is less confident than every right item) to 1. The
    /// best ranking is that of `n` items, not their limit `r + (1 - r) ln(1 - r)` for many, so that a
    /// perfect ranking has 0.
    pub fn eaurc(&self) -> Result<f64, Undefined> {
        let right = self.items - self.errors;
        // After the right items the j-th error makes the risk j / (right + j).
        let best = match self.errors {
            0 => 0.0,
            errors => errors as f64 - right as f64 * harmonic(right, errors),
        };
        Ok((self.aurc()? - best / self.items as f64).max(0.0))
    }

    /// Area under the generalised risk-coverage curve: at each coverage, the share of *all* items that are
    /// kept and wrong, integrated over the coverage from 0 to 1 (Traub et al., "Overcoming Common Flaws in
    /// the Evaluation of Selective Classification Systems", NeurIPS 2024). By straight lines from the
    /// origin, which makes it equal their closed form `(1 - AUROC_f) acc (1 - acc) + (1 - acc)^2 / 2`, with
    /// `AUROC_f` the AUROC of the confidence for being right. 0 (no errors) to 1/2, smaller is better.
    pub fn augrc(&self) -> Result<f64, Undefined> {
        let items = self.items as f64;
        if self.items > 0 { Ok(self.area_twice as f64 / 2.0 / (items * items)) } else { Err(Undefined::NoItems) }
    }
}

/// One point of the accuracy-rejection curve.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
pub struct RejectionPoint {
    /// Share of the items that are kept: those of a doubt of at most `doubt`. Above 0, at most 1.
    pub coverage: f64,
    /// Share of the kept items that are right, 0 to 1; one minus it is the selective risk.
    pub accuracy: f64,
    /// The largest doubt among the kept items, in the unit of the [`Doubt`].
    pub doubt: f64,
}

/// The accuracy-rejection curve (Nadeem, Zucker and Hanczar, "Accuracy-Rejection Curves (ARCs) for
/// Comparing Classification Methods with a Reject Option", MLSB 2009): the accuracy of what is left when
/// the items of the largest doubt are set aside, from the least doubtful block of ties on to all items.
///
/// A point is where an honest rule "keep what is at most so doubtful" can stop, so ties are never split.
/// At most `most` points (1 or more) are given, about evenly spread over the coverage, the last always
/// among them. No items: no points.
pub fn accuracy_rejection(items: &Items, doubt: Doubt, most: usize) -> Vec<RejectionPoint> {
    let doubts: Vec<f64> = (0..items.len()).map(|i| items.doubt(i, doubt)).collect();
    let ranking = Ranking::new(&doubts, &items.errors());
    let curve = ranking.curve(None, Order::Rising);
    let all = curve.hits + curve.others;
    let mut points = Vec::new();
    let (mut errors, mut kept, mut given) = (0, 0, 0);
    curve.blocks(|block| {
        errors += block.hits;
        kept += block.hits + block.others;
        // The block that reaches the next of `most` even steps is a point.
        let step = (u128::from(kept) * most.max(1) as u128 / u128::from(all)) as u64;
        if step > given {
            given = step;
            points.push(RejectionPoint {
                coverage: kept as f64 / all as f64,
                accuracy: (kept - errors) as f64 / kept as f64,
                doubt: block.score,
            });
        }
    });
    points
}

/// `1/(n+1) + 1/(n+2) + ... + 1/(n+count)`, to about 1e-15 relative.
fn harmonic(n: u64, count: u64) -> f64 {
    // Term by term while there are few terms or the expansion below is not yet exact.
    const FEW: u64 = 32;
    if count <= FEW {
        return (1..=count).map(|j| 1.0 / (n + j) as f64).sum();
    }
    if n < FEW {
        return harmonic(n, FEW - n) + harmonic(FEW, count - (FEW - n));
    }
    // H(x) = ln x + gamma + 1/(2x) - 1/(12x^2) + 1/(120x^4) - 1/(252x^6) + ...; gamma cancels.
    let tail =
        |x: f64| 1.0 / (2.0 * x) - 1.0 / (12.0 * x.powi(2)) + 1.0 / (120.0 * x.powi(4)) - 1.0 / (252.0 * x.powi(6));
    let (from, to) = (n as f64, (n + count) as f64);
    (count as f64 / from).ln_1p() + tail(to) - tail(from)
}

#[cfg(test)]
mod tests {
    use super::harmonic;

    #[test]
    fn harmonic_is_the_sum_of_its_terms() {
        for (n, count) in [(0, 1), (0, 33), (5, 40), (31, 33), (32, 33), (40, 1000), (0, 100_000), (70_000, 12)] {
            let direct: f64 = (n + 1..=n + count).rev().map(|k| 1.0 / k as f64).sum();
            let ours = harmonic(n, count);
            assert!((ours / direct - 1.0).abs() < 1e-13, "{n} {count}: {ours} {direct}");
        }
    }
}
