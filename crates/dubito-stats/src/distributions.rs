//! The few distribution functions that exact tests and intervals need: normal, binomial, beta,
//! beta-binomial, Clopper and Pearson's interval.
//!
//! Accurate to about 1e-11 for counts up to ten thousand and to 1e-10 for a million. Arguments are trusted.

/// What Stirling's formula lacks: `ln Gamma(x) - ((x - 1/2) ln x - x + ln(2 pi)/2)` for `x > 0`
/// (Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 6.1.41).
fn stirling_rest(x: f64) -> f64 {
    if x < 10.0 {
        // Gamma(x + 1) = x Gamma(x), written for the rests.
        return stirling_rest(x + 1.0) + (x + 0.5) * (1.0 / x).ln_1p() - 1.0;
    }
    let terms = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0, 1.0 / 156.0];
    terms.iter().rev().fold(0.0, |sum, term| sum / (x * x) + term) / x
}

/// `ln Gamma(x)` for `x > 0`.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + stirling_rest(x)
}

/// `ln(x^a (1 - x)^b / B(a, b))`, written so that nothing large cancels.
fn ln_beta_term(x: f64, a: f64, b: f64) -> f64 {
    a * (x * (a + b) / a).ln()
        + b * ((-x).ln_1p() + (a / b).ln_1p())
        + 0.5 * (a * b / (2.0 * std::f64::consts::PI * (a + b))).ln()
        + stirling_rest(a + b)
        - stirling_rest(a)
        - stirling_rest(b)
}

/// `ln B(a, b)`.
fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// Distribution function of Beta(a, b) at `x`: the regularised incomplete beta function, by its
/// continued fraction (Abramowitz and Stegun 26.5.8), evaluated with Lentz' method.
pub(crate) fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast below the mean; above it, by symmetry.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_cdf_below(1.0 - x, b, a);
    }
    beta_cdf_below(x, a, b)
}

fn beta_cdf_below(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guard = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let (mut c, mut fraction) = (1.0, d);
    for m in 1..100_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        fraction *= c * d;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (ln_beta_term(x, a, b).exp() * fraction / a).clamp(0.0, 1.0)
}

/// The `x` with `beta_cdf(x, a, b) = p`, by bisection.
pub(crate) fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    bisect(0.0, 1.0, |x| beta_cdf(x, a, b) >= p)
}

/// Where a condition that is false below and true above some point of `[low, high]` turns true.
pub(crate) fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

/// Probability of `k` or fewer events in `n` trials of probability `p`.
pub(crate) fn binomial_cdf(k: u64, n: u64, p: f64) -> f64 {
    if k >= n { 1.0 } else { beta_cdf(1.0 - p, (n - k) as f64, k as f64 + 1.0) }
}

/// Probability of exactly `k` events in `n` trials of probability 1/2.
pub(crate) fn binomial_half(k: u64, n: u64) -> f64 {
    let (k, n) = (k as f64, n as f64);
    (ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0) - n * std::f64::consts::LN_2).exp()
}

/// Exact interval of a probability from `events` of `trials` (Clopper and Pearson, "The Use of
/// Confidence or Fiducial Limits Illustrated in the Case of the Binomial", Biometrika 26, 1934), with
/// `(1 - level) / 2` on either side; `events` is at most `trials`, `level` above 0 and below 1.
pub fn clopper_pearson(events: u64, trials: u64, level: f64) -> (f64, f64) {
    let (x, n, tail) = (events as f64, trials as f64, (1.0 - level) / 2.0);
    let low = if events == 0 { 0.0 } else { beta_quantile(tail, x, n - x + 1.0) };
    let high = if events == trials { 1.0 } else { beta_quantile(1.0 - tail, x + 1.0, n - x) };
    (low, high)
}

/// The smallest number of events `k` of `n` with `P(K <= k) >= p`, where `K` is beta-binomial: `n`
/// trials of a probability that was drawn once from Beta(a, b).
pub(crate) fn beta_binomial_quantile(p: f64, n: u64, a: f64, b: f64) -> u64 {
    let size = n as f64;
    let constant = ln_gamma(size + 1.0) - ln_beta(a, b);
    let mut below = 0.0;
    for k in 0..=n {
        let x = k as f64;
        below += (constant - ln_gamma(x + 1.0) - ln_gamma(size - x + 1.0) + ln_beta(x + a, size - x + b)).exp();
        // A sum that is `p` but for rounding is `p`.
        if below >= p - 1e-12 {
            return k;
        }
    }
    n
}

/// Probability that a standard normal number is above `z`.
pub(crate) fn normal_above(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - normal_above(-z);
    }
    if z < 2.5 {
        // P(0 < Z < z) = density * (z + z^3/3 + z^5/15 + ...), Abramowitz and Stegun 26.2.11.
        let (mut term, mut sum, mut n) = (z, z, 1.0);
        while term > 1e-17 * sum {
            n += 2.0;
            term *= z * z / n;
            sum += term;
        }
        return 0.5 - normal_density(z) * sum;
    }
    // Continued fraction of the tail, Abramowitz and Stegun 26.2.14, from its far end.
    let fraction = (1..=200).rev().fold(z, |below, n| z + f64::from(n) / below);
    normal_density(z) / fraction
}

fn normal_density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The `z` below which a standard normal number lies with probability `p`, above 0 and below 1.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    if p < 0.5 {
        bisect(-40.0, 0.0, |z| normal_above(-z) >= p)
    } else {
        bisect(0.0, 40.0, |z| normal_above(z) <= 1.0 - p)
    }
}

#[cfg(test)]
#[allow(clippy::excessive_precision)]
mod tests {
    use super::*;

    /// SciPy 1.17.1: `binom.cdf`, `beta.ppf`, `betabinom.ppf`, `norm.sf`, `norm.ppf`, `gammaln`.
    #[test]
    fn distributions_agree_with_scipy() {
        let near = |found: f64, want: f64| {
            assert!((found / want - 1.0).abs() < 1e-10, "{found} is not {want}");
        };
        near(binomial_cdf(0, 1, 0.3), 0.7);
        near(binomial_cdf(3, 50, 0.1), 0.250293905953308);
        near(binomial_cdf(0, 200, 0.01), 0.13397967485796192);
        near(binomial_cdf(499, 1000, 0.5), 0.48738749091081973);
        near(binomial_cdf(9990, 10000, 0.999), 0.5421328760209828);
        near(binomial_cdf(150, 10000, 0.01), 0.9999989210525138);
        near(binomial_cdf(500200, 1000000, 0.5), 0.6557899277216919);
        near(binomial_cdf(10050, 1000000, 0.01), 0.6945405733964025);
        near(beta_quantile(0.025, 3.0, 48.0), 0.01254858783533406);
        near(beta_quantile(0.5, 0.5, 0.5), 0.4999999999999999);
        near(beta_quantile(0.975, 1.0, 10.0), 0.3084971078187607);
        near(beta_quantile(0.05, 900.0, 101.0), 0.8830084679036321);
        near(normal_above(0.1), 0.460172162722971);
        near(normal_above(1.0), 0.15865525393145707);
        near(normal_above(1.959963984540054), 0.025);
        near(normal_above(2.4999), 0.006211418374944587);
        near(normal_above(2.5), 0.006209665325776132);
        near(normal_above(5.0), 2.866515718791933e-07);
        near(normal_above(10.0), 7.61985302416047e-24);
        near(normal_above(-1.5), 0.9331927987311419);
        near(normal_quantile(0.025), -1.9599639845400545);
        near(normal_quantile(0.2), -0.8416212335729142);
        near(normal_quantile(0.8), 0.8416212335729143);
        near(normal_quantile(0.975), 1.959963984540054);
        near(normal_quantile(0.9995), 3.2905267314919255);
        near(ln_gamma(0.1), 2.252712651734206);
        near(ln_gamma(1.5), -0.12078223763524526);
        near(ln_gamma(3.3), 0.9870985778947343);
        near(ln_gamma(100.0), 359.1342053695754);
        near(ln_gamma(10000.0), 82099.71749644238);
        assert_eq!(beta_binomial_quantile(0.025, 100, 91.0, 10.0), 81);
        assert_eq!(beta_binomial_quantile(0.975, 100, 91.0, 10.0), 97);
        assert_eq!(beta_binomial_quantile(0.5, 7, 1.0, 1.0), 3);
        assert_eq!(beta_binomial_quantile(0.005, 2000, 951.0, 50.0), 1853);
        near(binomial_half(3, 10), 0.1171875);
    }
}
