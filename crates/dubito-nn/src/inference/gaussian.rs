//! Gaussian weights: the deviation as softplus of what is learned, and the divergence of one Gaussian from another.

/// ln(1 + exp(rho)): the deviation that `rho` stands for.
pub(crate) fn softplus(rho: f32) -> f32 {
    // Beyond 20 the two are the same in f32.
    if rho > 20.0 { rho } else { rho.exp().ln_1p() }
}

/// What stands for a deviation above 0: ln(exp(sigma) - 1).
pub(crate) fn inverse_softplus(sigma: f32) -> f32 {
    if sigma > 20.0 { sigma } else { sigma.exp_m1().ln() }
}

/// The sum over weights of KL(N(mean, sigma^2) || N(prior mean, prior sigma^2)), in nats.
pub(crate) fn divergence(weights: impl Iterator<Item = ([f32; 2], [f32; 2])>) -> f64 {
    let one = |([mean, sigma], [prior_mean, prior_sigma]): ([f32; 2], [f32; 2])| {
        let [mean, sigma, prior_mean, prior_sigma] = [mean, sigma, prior_mean, prior_sigma].map(f64::from);
        let apart = sigma.powi(2) + (mean - prior_mean).powi(2);
        (prior_sigma / sigma).ln() + apart / (2.0 * prior_sigma.powi(2)) - 0.5
    };
    weights.map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softplus_and_its_inverse_undo_each_other() {
        for sigma in [1e-7, 1e-4, 0.3, 1.0, 15.0, 40.0] {
            let back = softplus(inverse_softplus(sigma));
            assert!((back / sigma - 1.0).abs() < 1e-4, "{back} instead of {sigma}");
        }
    }

    #[test]
    fn a_gaussian_does_not_diverge_from_itself() {
        let same = [0.3f32, 0.1];
        assert!(divergence(std::iter::once((same, same))).abs() < 1e-9);
        // Two deviations apart, of the same width: 2^2 / 2.
        assert!((divergence(std::iter::once(([0.5, 0.1], same))) - 2.0).abs() < 1e-5);
    }
}
