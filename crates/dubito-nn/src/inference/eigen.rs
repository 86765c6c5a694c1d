//! Eigenvalues and eigenvectors of a symmetric matrix: Householder's reduction and implicit QL steps, as EISPACK's
//! `tred2` and `tql2` (Bowdler, Martin, Reinsch and Wilkinson 1968).

/// Eigenvalues in no order, and the eigenvector of each in the same row of a matrix `[n, n]`.
pub(super) fn symmetric_eigen(matrix: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut values, mut beside) = (vec![0.0; n], vec![0.0; n]);
    let mut vectors = matrix;
    if n > 0 {
        reduce(&mut vectors, &mut values, &mut beside, n);
        iterate(&mut vectors, &mut values, &mut beside, n);
    }
    (values, vectors)
}

/// To a matrix of three diagonals: `d` its middle, `e` from 1 on what stands beside it. Column j of EISPACK's array is
/// row j of `v`.
fn reduce(v: &mut [f64], d: &mut [f64], e: &mut [f64], n: usize) {
    let at = |row: usize, column: usize| column * n + row;
    for j in 0..n {
        d[j] = v[at(n - 1, j)];
    }
    for i in (1..n).rev() {
        let scale: f64 = d[..i].iter().map(|x| x.abs()).sum();
        let mut h = 0.0;
        if scale == 0.0 {
            e[i] = d[i - 1];
            for j in 0..i {
                d[j] = v[at(i - 1, j)];
                v[at(i, j)] = 0.0;
                v[at(j, i)] = 0.0;
            }
        } else {
            for x in &mut d[..i] {
                *x /= scale;
                h += *x * *x;
            }
            let f = d[i - 1];
            let g = if f > 0.0 { -h.sqrt() } else { h.sqrt() };
            e[i] = scale * g;
            h -= f * g;
            d[i - 1] = f - g;
            e[..i].fill(0.0);
            for j in 0..i {
                let f = d[j];
                v[at(j, i)] = f;
                let mut g = e[j] + v[at(j, j)] * f;
                let column = &v[at(j + 1, j)..at(i, j).max(at(j + 1, j))];
                for ((x, d), e) in column.iter().zip(&d[j + 1..i]).zip(&mut e[j + 1..i]) {
                    g += x * d;
                    *e += x * f;
                }
                e[j] = g;
            }
            let mut f = 0.0;
            for (e, d) in e[..i].iter_mut().zip(&d[..i]) {
                *e /= h;
                f += *e * d;
            }
            let half = f / (h + h);
            for (e, d) in e[..i].iter_mut().zip(&d[..i]) {
                *e -= half * d;
            }
            for j in 0..i {
                let (f, g) = (d[j], e[j]);
                for ((x, d), e) in v[at(j, j)..at(i, j)].iter_mut().zip(&d[j..i]).zip(&e[j..i]) {
                    *x -= f * e + g * d;
                }
                d[j] = v[at(i - 1, j)];
                v[at(i, j)] = 0.0;
            }
        }
        d[i] = h;
    }
    for i in 0..n - 1 {
        v[at(n - 1, i)] = v[at(i, i)];
        v[at(i, i)] = 1.0;
        let h = d[i + 1];
        let (before, behind) = v.split_at_mut(at(0, i + 1));
        let next = &mut behind[..=i];
        if h != 0.0 {
            for (d, x) in d.iter_mut().zip(next.iter()) {
                *d = x / h;
            }
            for j in 0..=i {
                let column = &mut before[j * n..j * n + i + 1];
                let g: f64 = next.iter().zip(column.iter()).map(|(a, b)| a * b).sum();
                for (x, d) in column.iter_mut().zip(d.iter()) {
                    *x -= g * d;
                }
            }
        }
        next.fill(0.0);
    }
    for j in 0..n {
        d[j] = v[at(n - 1, j)];
        v[at(n - 1, j)] = 0.0;
    }
    v[at(n - 1, n - 1)] = 1.0;
    e[0] = 0.0;
}

/// QL steps until nothing stands beside the diagonal.
fn iterate(v: &mut [f64], d: &mut [f64], e: &mut [f64], n: usize) {
    e.rotate_left(1);
    e[n - 1] = 0.0;
    let (mut shift, mut largest) = (0.0, 0.0f64);
    for l in 0..n {
        largest = largest.max(d[l].abs() + e[l].abs());
        let small = f64::EPSILON * largest;
        let m = (l..n).find(|&m| e[m].abs() <= small).unwrap_or(n - 1);
        // Two or three rounds are usual, and thirty never needed.
        for _ in 0..if m > l { 60 } else { 0 } {
            let g = d[l];
            let p = (d[l + 1] - g) / (2.0 * e[l]);
            let r = p.hypot(1.0).copysign(p);
            d[l] = e[l] / (p + r);
            d[l + 1] = e[l] * (p + r);
            let next = d[l + 1];
            let h = g - d[l];
            d[l + 2..].iter_mut().for_each(|x| *x -= h);
            shift += h;
            let (mut p, beside) = (d[m], e[l + 1]);
            let [mut c, mut c2, mut c3, mut s, mut s2] = [1.0, 1.0, 1.0, 0.0, 0.0];
            for i in (l..m).rev() {
                (c3, c2, s2) = (c2, c, s);
                let (g, h, r) = (c * e[i], c * p, p.hypot(e[i]));
                e[i + 1] = s * r;
                (s, c) = (e[i] / r, p / r);
                p = c * d[i] - s * g;
                d[i + 1] = h + s * (c * g + s * d[i]);
                let (before, behind) = v.split_at_mut((i + 1) * n);
                for (a, b) in before[i * n..].iter_mut().zip(&mut behind[..n]) {
                    (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
                }
            }
            p = -s * s2 * c3 * beside * e[l] / next;
            e[l] = s * p;
            d[l] = c * p;
            if e[l].abs() <= small {
                break;
            }
        }
        d[l] += shift;
        e[l] = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, normals};

    #[test]
    fn eigenvectors_rebuild_the_matrix_and_are_orthonormal() {
        for (n, rank) in [(1, 1), (2, 2), (7, 7), (40, 40), (30, 3)] {
            // A matrix of that rank, scaled so that its entries are of order 1.
            let z: Vec<f64> = normals(Purpose::Other, 1, 0, n as u32, n * rank).into_iter().map(f64::from).collect();
            let entry = |i: usize, j: usize| (0..rank).map(|k| z[i * rank + k] * z[j * rank + k]).sum::<f64>();
            let matrix: Vec<f64> = (0..n * n).map(|k| entry(k / n, k % n)).collect();
            let (values, vectors) = symmetric_eigen(matrix.clone(), n);
            let size = values.iter().fold(0.0f64, |a, v| a.max(v.abs()));
            for i in 0..n {
                for j in 0..n {
                    let rebuilt: f64 = (0..n).map(|k| values[k] * vectors[k * n + i] * vectors[k * n + j]).sum();
                    assert!((rebuilt - matrix[i * n + j]).abs() < 1e-12 * size.max(1.0) * n as f64);
                    let product: f64 = (0..n).map(|k| vectors[i * n + k] * vectors[j * n + k]).sum();
                    let want = f64::from(u8::from(i == j));
                    assert!((product - want).abs() < 1e-12 * n as f64, "{n}: {i} {j} {product}");
                }
            }
            let none = values.iter().filter(|v| v.abs() < 1e-10 * size).count();
            assert_eq!(none, n - rank, "{values:?}");
        }
    }
}
