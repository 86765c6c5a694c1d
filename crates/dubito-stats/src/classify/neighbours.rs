//! k nearest neighbours by Euclidean distance, each with one vote (Cover and Hart, "Nearest Neighbor Pattern
//! Classification", IEEE Transactions on Information Theory 13, 1967).

use super::Matrix;
use crate::{StatsError, check};

/// The rows that are voted with.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    x: Matrix,
    labels: Vec<usize>,
    classes: usize,
    k: usize,
}

impl Neighbours {
    /// Rows with their classes (`0..classes`); `k` is 1 or more, and no more than there are rows count. Errors: no rows,
    /// labels of another number or that are no class, NaN, `k` of 0.
    pub fn fit(x: Matrix, labels: &[usize], classes: usize, k: usize) -> Result<Self, StatsError> {
        check::length("labels", labels.len(), x.rows())?;
        (0..x.rows()).try_for_each(|i| check::finite("features", x.row(i)))?;
        if let Some(i) = labels.iter().position(|&label| label >= classes) {
            let last = classes.saturating_sub(1);
            return Err(StatsError::BadLabel { place: format!("item {i}"), label: labels[i], last });
        }
        if k == 0 || labels.is_empty() {
            let value = format!("{k} of {} rows", labels.len());
            return Err(StatsError::BadParameter { name: "k", value, expected: "1 or more, of one row or more" });
        }
        Ok(Self { x, labels: labels.to_vec(), classes, k })
    }

    /// The nearest rows of one row, nearest first; of equally near ones the first. Panics where the row has another number
    /// of columns.
    pub fn nearest(&self, row: &[f64]) -> Vec<usize> {
        assert_eq!(row.len(), self.x.columns(), "as many columns as were fitted");
        let distance = |i: usize| self.x.row(i).iter().zip(row).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let mut order: Vec<(f64, usize)> = (0..self.x.rows()).map(|i| (distance(i), i)).collect();
        let k = self.k.min(order.len());
        let by_distance = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if k < order.len() {
            order.select_nth_unstable_by(k - 1, by_distance);
            order.truncate(k);
        }
        order.sort_unstable_by(by_distance);
        order.into_iter().map(|(_, i)| i).collect()
    }

    /// The share of the votes for each class `[rows, classes]`, row by row.
    pub fn probabilities(&self, x: &Matrix) -> Vec<f64> {
        let mut all = vec![0.0; x.rows() * self.classes];
        for (i, out) in all.chunks_exact_mut(self.classes).enumerate() {
            let nearest = self.nearest(x.row(i));
            nearest.iter().for_each(|&at| out[self.labels[at]] += 1.0 / nearest.len() as f64);
        }
        all
    }
}
