//! Risk and coverage: how few errors are left when the doubtful items are set aside.
//!
//! Items are ranked by confidence, and the `k` most confident of `n` are kept, for every `k`. Items of
//! equal confidence have no order among them, so each block of ties enters as the mean over all its
//! orders. The risk is the 0/1 error.

use crate::weighted::{Ranking, Undefined, Weighted};

/// Area under the risk-coverage curve as the mean selective risk: the mean over `k = 1..n` of the error
/// rate among the `k` most confident items (Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty
/// Estimation for Deep Neural Classifiers", ICLR 2019). 0 (no errors) to 1, smaller is better. It is the
/// mean over all coverages, not the trapezoid rule, which would leave out half of the first and of the
/// last coverage.
pub struct Aurc {
    ranking: Ranking,
    error: Vec<u8>,
}

impl Aurc {
    /// Of these confidences (higher means kept longer).
    pub fn new(confidence: &[f64], error: &[bool]) -> Self {
        Self { ranking: Ranking::falling(confidence), error: error.iter().map(|&e| u8::from(e)).collect() }
    }
}

impl Weighted for Aurc {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let (mut kept, mut errors, mut risk) = (0u64, 0u64, 0.0);
        self.ranking.blocks(&self.error, weights, |wrong, right| {
            let block = wrong + right;
            // Mean over the block's orders: of its first j items, j * rate are wrong, so at k = kept + j
            // the risk is (errors + j * rate) / k = rate + (errors - kept * rate) / k.
            let rate = wrong as f64 / block as f64;
            risk += wrong as f64;
            let ahead = errors as f64 - kept as f64 * rate;
            if ahead != 0.0 {
                risk += ahead * harmonic(kept, block);
            }
            kept += block;
            errors += wrong;
        });
        if kept == 0 {
            return Err(Undefined::NoItems);
        }
        Ok(risk / kept as f64)
    }
}

/// Area under the generalised risk-coverage curve: at each coverage, the share of *all* items that are
/// kept and wrong, integrated over the coverage from 0 to 1 (Traub et al., "Overcoming Common Flaws in
/// the Evaluation of Selective Classification Systems", NeurIPS 2024). By straight lines from the
/// origin, which makes it equal their closed form `(1 - AUROC_f) acc (1 - acc) + (1 - acc)^2 / 2`, with
/// `AUROC_f` the AUROC of the confidence for being right. 0 (no errors) to 1/2, smaller is better.
pub struct Augrc {
    ranking: Ranking,
    error: Vec<u8>,
}

impl Augrc {
    /// Of these confidences (higher means kept longer).
    pub fn new(confidence: &[f64], error: &[bool]) -> Self {
        Self { ranking: Ranking::falling(confidence), error: error.iter().map(|&e| u8::from(e)).collect() }
    }
}

impl Weighted for Augrc {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        let (mut kept, mut errors, mut area_twice) = (0u64, 0u64, 0u128);
        self.ranking.blocks(&self.error, weights, |wrong, right| {
            let block = wrong + right;
            area_twice += u128::from(block) * u128::from(2 * errors + wrong);
            kept += block;
            errors += wrong;
        });
        if kept == 0 {
            return Err(Undefined::NoItems);
        }
        Ok(area_twice as f64 / 2.0 / (kept as f64 * kept as f64))
    }
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
