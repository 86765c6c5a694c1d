//! Ridge logistic regression on a few features, for checks that must not find anything.

/// A fitted model.
pub struct Logistic {
    scale: Standard,
    weights: Vec<f64>,
    intercept: f64,
}

/// Weight of the penalty, half of it times the sum of the squared weights; not on the intercept.
const RIDGE: f64 = 1.0;

/// What brings features to mean 0 and deviation 1; one that is constant becomes 0.
pub struct Standard {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Standard {
    /// Of these items, all with as many features.
    pub fn of(x: &[Vec<f64>]) -> Self {
        let n = x.len().max(1) as f64;
        let mean: Vec<f64> =
            (0..x.first().map_or(0, Vec::len)).map(|j| x.iter().map(|r| r[j]).sum::<f64>() / n).collect();
        let deviation = mean.iter().enumerate().map(|(j, mean)| {
            let spread: f64 = x.iter().map(|r| (r[j] - mean).powi(2)).sum();
            let d = (spread / n).sqrt();
            // Rounding alone spreads a constant by a hair of its size.
            if d > 1e-9 * (1.0 + mean.abs()) { d } else { f64::INFINITY }
        });
        Self { deviation: deviation.collect(), mean }
    }

    /// The features of one item.
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        x.iter().zip(&self.mean).zip(&self.deviation).map(|((x, mean), deviation)| (x - mean) / deviation).collect()
    }
}

impl Logistic {
    /// Fits the probability of `true`, on features standardised to mean 0 and deviation 1, by Newton's
    /// method with a penalty on the weights (which keeps it finite where the classes can be parted).
    pub fn fit(x: &[Vec<f64>], y: &[bool]) -> Self {
        let scale = Standard::of(x);
        let n = scale.mean.len();
        let rows: Vec<Vec<f64>> = x.iter().map(|row| scale.apply(row)).collect();
        let mut model = Self { scale, weights: vec![0.0; n], intercept: 0.0 };
        for _ in 0..50 {
            // Gradient and Hessian of the penalised negative log-likelihood; the intercept comes last.
            let mut gradient = vec![0.0; n + 1];
            let mut hessian = vec![vec![0.0; n + 1]; n + 1];
            for (row, &y) in rows.iter().zip(y) {
                let p = model.at(row);
                let (residual, weight) = (p - f64::from(u8::from(y)), (p * (1.0 - p)).max(1e-9));
                let z = |i: usize| if i < n { row[i] } else { 1.0 };
                for i in 0..=n {
                    gradient[i] += residual * z(i);
                    hessian[i].iter_mut().enumerate().for_each(|(j, h)| *h += weight * z(i) * z(j));
                }
            }
            for i in 0..n {
                gradient[i] += RIDGE * model.weights[i];
                hessian[i][i] += RIDGE;
            }
            hessian[n][n] += 1e-9;
            let step = solve(hessian, gradient);
            (0..n).for_each(|i| model.weights[i] -= step[i]);
            model.intercept -= step[n];
            if step.iter().all(|s| s.abs() < 1e-10) {
                break;
            }
        }
        model
    }

    /// The probability of `true`.
    pub fn probability(&self, x: &[f64]) -> f64 {
        self.at(&self.scale.apply(x))
    }

    /// The probability of `true`, of standardised features.
    fn at(&self, z: &[f64]) -> f64 {
        let logit = self.intercept + self.weights.iter().zip(z).map(|(w, z)| w * z).sum::<f64>();
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
        let x: Vec<Vec<f64>> = (0..12).map(|i| vec![f64::from(i), f64::from(i * i % 7)]).collect();
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
        let model = Logistic::fit(&[vec![1.0], vec![1.0], vec![1.0]], &[true, true, true]);
        assert!(model.probability(&[1.0]) > 0.99);
    }
}
