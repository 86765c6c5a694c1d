//! Rows of features, and their standardisation by the rows that are learned from.

use crate::StatsError;

/// A feature whose spread is below this share of its size is constant: rounding spreads a constant too.
const CONSTANT: f64 = 1e-9;

/// Features `[rows, columns]`, row by row. NaN is a feature that is not known of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    columns: usize,
    rows: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// Of values row by row. Error: a number of values that is not `rows * columns`, or an infinite one.
    pub fn new(rows: usize, columns: usize, values: Vec<f64>) -> Result<Self, StatsError> {
        crate::check::length("features", values.len(), rows * columns)?;
        if let Some(at) = values.iter().position(|v| v.is_infinite()) {
            let (item, value) = (at / columns, values[at]);
            return Err(StatsError::BadValue { name: "features", item, value, expected: "a finite number, or NaN" });
        }
        Ok(Self { columns, rows, values })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Row `i`; panics where there is none, like indexing a slice.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.columns..(i + 1) * self.columns]
    }

    /// The values of column `j` by row; panics where there is none.
    pub fn column(&self, j: usize) -> impl Iterator<Item = f64> {
        assert!(j < self.columns, "column {j} of {}", self.columns);
        (0..self.rows).map(move |i| self.values[i * self.columns + j])
    }

    /// These rows and these columns, in this order; panics where there is no such one.
    pub fn select(&self, rows: &[usize], columns: &[usize]) -> Self {
        let values = rows.iter().flat_map(|&i| columns.iter().map(move |&j| self.row(i)[j])).collect();
        Self { columns: columns.len(), rows: rows.len(), values }
    }
}

/// What brings features to mean 0 and deviation 1. A feature that is not known of a row becomes 0 (the mean), and so
/// does one that is constant.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    mean: Vec<f64>,
    /// One over the deviation; 0 for a constant.
    scale: Vec<f64>,
}

impl Standard {
    /// Of these rows, by the values that are known (the deviation has the denominator n).
    pub fn of(x: &Matrix) -> Self {
        let (mut means, mut scales) = (Vec::new(), Vec::new());
        for j in 0..x.columns() {
            let known = || x.column(j).filter(|v| !v.is_nan());
            let count = known().count().max(1) as f64;
            let mean = known().sum::<f64>() / count;
            let deviation = (known().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
            means.push(mean);
            scales.push(if deviation > CONSTANT * mean.abs().max(1e-300) { 1.0 / deviation } else { 0.0 });
        }
        Self { mean: means, scale: scales }
    }

    /// The same features on this scale; panics where `x` has another number of columns.
    pub fn apply(&self, x: &Matrix) -> Matrix {
        assert_eq!(x.columns(), self.mean.len(), "as many columns as were standardised by");
        let scaled = |(at, v): (usize, &f64)| {
            let j = at % x.columns;
            if v.is_nan() { 0.0 } else { (v - self.mean[j]) * self.scale[j] }
        };
        Matrix { columns: x.columns, rows: x.rows, values: x.values.iter().enumerate().map(scaled).collect() }
    }

    /// Whether feature `j` is the same in all rows (or known of none); panics where there is none.
    pub fn is_constant(&self, j: usize) -> bool {
        self.scale[j] == 0.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Matrix, Standard};

    #[test]
    fn standardised_by_known_values_alone() {
        let x = Matrix::new(3, 2, vec![1.0, 5.0, 3.0, 5.0, f64::NAN, 5.0]).unwrap();
        let standard = Standard::of(&x);
        let z = standard.apply(&x);
        assert_eq!([z.row(0)[0], z.row(1)[0], z.row(2)[0]], [-1.0, 1.0, 0.0]);
        assert!(z.column(1).all(|v| v == 0.0) && standard.is_constant(1) && !standard.is_constant(0));
        assert!(Matrix::new(1, 2, vec![1.0]).is_err());
        assert!(Matrix::new(1, 1, vec![f64::INFINITY]).is_err());
    }

    #[test]
    fn rounding_of_a_constant_is_no_spread() {
        let third = 1.0 / 3.0;
        let x = Matrix::new(4, 1, vec![third, third + 1e-16, third, third - 1e-16]).unwrap();
        assert!(Standard::of(&x).is_constant(0));
        // A tiny scale is no constant.
        let x = Matrix::new(2, 1, vec![1e-12, 3e-12]).unwrap();
        assert!(!Standard::of(&x).is_constant(0));
    }
}
