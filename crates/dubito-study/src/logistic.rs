//! Ridge logistic regression on a few features, for checks that must not find anything.

/// A fitted model of `N` features.
pub struct Logistic<const N: usize> {
    mean: [f64; N],
    deviation: [f64; N],
    weights: [f64; N],
    intercept: f64,
}

/// Weight of the penalty, half of it times the sum of the squared weights; not on the intercept.
const RIDGE: f64 = 1.0;

impl<const N: usize> Logistic<N> {
    /// Fits the probability of `true`, on features standardised to mean 0 and deviation 1, by Newton's
    /// method with a penalty on the weights (which keeps it finite where the classes can be parted).
    pub fn fit(x: &[[f64; N]], y: &[bool]) -> Self {
        let n = x.len().max(1) as f64;
        let mean: [f64; N] = std::array::from_fn(|j| x.iter().map(|r| r[j]).sum::<f64>() / n);
        let deviation = std::array::from_fn(|j| {
            let spread: f64 = x.iter().map(|r| (r[j] - mean[j]).powi(2)).sum();
            let d = (spread / n).sqrt();
            if d > 1e-12 { d } else { 1.0 }
        });
        let mut model = Self { mean, deviation, weights: [0.0; N], intercept: 0.0 };
        for _ in 0..50 {
            // Gradient and Hessian of the penalised negative log-likelihood; the intercept comes last.
            let mut gradient = vec![0.0; N + 1];
            let mut hessian = vec![vec![0.0; N + 1]; N + 1];
            for (row, &y) in x.iter().zip(y) {
                let z = model.standardised(row);
                let p = model.probability(row);
                let (residual, weight) = (p - f64::from(u8::from(y)), (p * (1.0 - p)).max(1e-9));
                for i in 0..=N {
                    gradient[i] += residual * z[i];
                    for j in 0..=N {
                        hessian[i][j] += weight * z[i] * z[j];
                    }
                }
            }
            for i in 0..N {
                gradient[i] += RIDGE * model.weights[i];
                hessian[i][i] += RIDGE;
            }
            hessian[N][N] += 1e-9;
            let step = solve(hessian, gradient);
            (0..N).for_each(|i| model.weights[i] -= step[i]);
            model.intercept -= step[N];
            if step.iter().all(|s| s.abs() < 1e-10) {
                break;
            }
        }
        model
    }

    /// The features less their mean over their deviation, and 1 for the intercept.
    fn standardised(&self, x: &[f64; N]) -> Vec<f64> {
        let z = (0..N).map(|j| (x[j] - self.mean[j]) / self.deviation[j]);
        z.chain(std::iter::once(1.0)).collect()
    }

    /// The probability of `true`.
    pub fn probability(&self, x: &[f64; N]) -> f64 {
        let z = self.standardised(x);
        let logit = self.intercept + self.weights.iter().zip(&z).map(|(w, z)| w * z).sum::<f64>();
        1.0 / (1.0 + (-logit).exp())
    }
}

/// Solves a positive definite system by Gaussian elimination with pivoting.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs())).unwrap_or(k);
        a.swap(k, pivot);
        b.swap(k, pivot);
        for i in k + 1..n {
            let f = a[i][k] / a[k][k];
            let (above, below) = a.split_at_mut(i);
            below[0][k..].iter_mut().zip(&above[k][k..]).for_each(|(x, p)| *x -= f * p);
            b[i] -= f * b[k];
        }
    }
    for k in (0..n).rev() {
        let rest: f64 = (k + 1..n).map(|j| a[k][j] * b[j]).sum();
        b[k] = (b[k] - rest) / a[k][k];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scikit-learn: `LogisticRegression(C=1.0, tol=1e-12).fit(StandardScaler().fit_transform(x), y)`.
    #[test]
    fn agrees_with_scikit_learn() {
        let x: Vec<[f64; 2]> = (0..12).map(|i| [f64::from(i), f64::from(i * i % 7)]).collect();
        let y: Vec<bool> = (0..12).map(|i| i % 3 == 0 || i > 8).collect();
        let model = Logistic::fit(&x, &y);
        let expected = [0.369_917_594_810_527_44, 0.448_281_044_074_340_94, 0.605_384_380_921_301_8];
        for (i, expected) in expected.into_iter().enumerate() {
            let p = model.probability(&x[i * 4]);
            assert!((p - expected).abs() < 1e-6, "{i}: {p} {expected}");
        }
    }

    #[test]
    fn a_constant_feature_and_one_class_stay_finite() {
        let model = Logistic::fit(&[[1.0], [1.0], [1.0]], &[true, true, true]);
        assert!(model.probability(&[1.0]) > 0.99);
    }
}
