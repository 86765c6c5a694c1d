//! Principal components (Pearson, "On Lines and Planes of Closest Fit to Systems of Points in Space", 1901), by Jacobi's
//! rotations of the covariance matrix.

use super::Matrix;
use crate::{StatsError, check};

/// Most sweeps over all pairs of columns; ten are plenty.
const MOST_SWEEPS: usize = 60;

/// The directions of largest variance.
#[derive(Clone, Debug, PartialEq)]
pub struct Components {
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// Unit vectors by falling variance `[columns, columns]`, one a row. The largest entry (in size, the first of equal
    /// ones) of each is positive.
    pub directions: Matrix,
    /// Variance along each, with the denominator n - 1.
    pub variance: Vec<f64>,
}

impl Components {
    /// Of these rows. Errors: fewer than two rows, NaN.
    pub fn of(x: &Matrix) -> Result<Self, StatsError> {
        let (rows, columns) = (x.rows(), x.columns());
        if rows < 2 {
            let because = format!("{rows} rows have no spread: two or more are needed");
            return Err(StatsError::CannotFit { what: "principal components", because });
        }
        (0..rows).try_for_each(|i| check::finite("features", x.row(i)))?;
        let mean: Vec<f64> = (0..columns).map(|j| x.column(j).sum::<f64>() / rows as f64).collect();
        let mut covariance = vec![vec![0.0; columns]; columns];
        for i in 0..rows {
            let centred: Vec<f64> = x.row(i).iter().zip(&mean).map(|(v, m)| v - m).collect();
            for (a, line) in covariance.iter_mut().enumerate() {
                line.iter_mut().zip(&centred).for_each(|(c, v)| *c += centred[a] * v / (rows as f64 - 1.0));
            }
        }
        let (values, vectors) = eigen(covariance);
        let mut order: Vec<usize> = (0..columns).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        let mut directions = Vec::with_capacity(columns * columns);
        for &at in &order {
            let largest =
                vectors[at].iter().fold(0.0, |best: f64, v| if v.abs() > best.abs() + 1e-12 { *v } else { best });
            directions.extend(vectors[at].iter().map(|v| if largest < 0.0 { -v } else { *v }));
        }
        let variance = order.iter().map(|&at| values[at].max(0.0)).collect();
        Ok(Self { mean, directions: Matrix::new(columns, columns, directions)?, variance })
    }

    /// Share of all variance along direction `k`, 0 to 1; 0 where there is no variance. Panics where there is none.
    pub fn explained(&self, k: usize) -> f64 {
        let all: f64 = self.variance.iter().sum();
        if all > 0.0 { self.variance[k] / all } else { 0.0 }
    }

    /// The rows along the first `count` directions `[rows, count]`; panics where there are not so many, or `x` has another
    /// number of columns.
    pub fn project(&self, x: &Matrix, count: usize) -> Vec<Vec<f64>> {
        let along = |row: &[f64], k: usize| -> f64 {
            row.iter().zip(&self.mean).zip(self.directions.row(k)).map(|((v, m), d)| (v - m) * d).sum()
        };
        (0..x.rows()).map(|i| (0..count).map(|k| along(x.row(i), k)).collect()).collect()
    }
}

/// Eigenvalues and eigenvectors (one a row) of a symmetric matrix, by Jacobi's method (Golub and Van Loan, "Matrix
/// Computations", section 8.5).
fn eigen(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let size: f64 = a.iter().flatten().map(|v| v * v).sum();
    for _ in 0..MOST_SWEEPS {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        if off <= 1e-30 * size {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                let turn = |x: f64, y: f64| (c * x - s * y, s * x + c * y);
                for line in a.iter_mut() {
                    (line[p], line[q]) = turn(line[p], line[q]);
                }
                turn_rows(&mut a, p, q, turn);
                turn_rows(&mut vectors, p, q, turn);
            }
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), vectors)
}

fn turn_rows(a: &mut [Vec<f64>], p: usize, q: usize, turn: impl Fn(f64, f64) -> (f64, f64)) {
    let (above, below) = a.split_at_mut(q);
    above[p].iter_mut().zip(&mut below[0]).for_each(|(x, y)| (*x, *y) = turn(*x, *y));
}
