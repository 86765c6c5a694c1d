//! Faces in one shape: every frame's face drawn onto the mean face, and a linear autoencoder trained on a pair of people.

use super::generators::Face;
use super::pyramid::{Known, Plane, membrane};
use super::warp::{self, Rect};
use dubito_face::{MEAN_FACE, TRIANGLES};

/// The mean face's points in a square of `size` pixels.
pub fn mean_points(size: u32) -> Vec<[f32; 3]> {
    let (margin, scale) = (2.0, size as f32 - 4.0);
    MEAN_FACE.iter().map(|p| [margin + p[0] * scale, margin + p[1] * scale, 0.0]).collect()
}

/// Each frame of a face drawn onto the mean face, `size` x `size` pixels. What a frame does not show (its far cheek,
/// say) is filled from the mean over the other frames, and what none shows smoothly from its border.
pub fn textures(face: &Face, size: u32) -> Vec<Plane> {
    let to = mean_points(size);
    let rect = Rect { x: 0, y: 0, width: size, height: size };
    let drawn: Vec<Option<(Plane, Vec<bool>)>> = (0..face.len())
        .map(|i| {
            let layer = warp::draw(&face.frames[i], &face.meshes[i], &to, &TRIANGLES, rect, 1.0)?;
            Some((Plane::from_image(&layer.pixels), layer.coverage.pixels().map(|c| c[0] > 250).collect()))
        })
        .collect();
    let n = (size * size) as usize;
    let (mut sum, mut count) = (vec![[0.0_f32; 3]; n], vec![0.0_f32; n]);
    for (plane, covered) in drawn.iter().flatten() {
        for i in (0..n).filter(|&i| covered[i]) {
            (0..3).for_each(|c| sum[i][c] += plane.pixels[i][c]);
            count[i] += 1.0;
        }
    }
    let known: Vec<Known> = count.iter().map(|&c| if c > 0.0 { Known::Given } else { Known::Wanted }).collect();
    let mut mean = Plane::from_fn(size as usize, size as usize, |x, y| {
        let i = y * size as usize + x;
        sum[i].map(|s| s / count[i].max(1.0))
    });
    membrane(&mut mean, &known);
    drawn
        .into_iter()
        .map(|drawn| match drawn {
            None => mean.clone(),
            Some((mut plane, covered)) => {
                for i in (0..n).filter(|&i| !covered[i]) {
                    plane.pixels[i] = mean.pixels[i];
                }
                plane
            }
        })
        .collect()
}

/// The mean of textures of one size; `None` of none.
pub fn mean_texture<'a>(textures: impl IntoIterator<Item = &'a Plane>) -> Option<Plane> {
    let mut count = 0.0;
    let sum = textures.into_iter().fold(None, |sum: Option<Plane>, texture| {
        count += 1.0;
        Some(sum.map_or_else(|| texture.clone(), |sum| sum.zip(texture, |a, b| a + b)))
    })?;
    Some(sum.zip(&sum, |s, _| s / count))
}

/// The decoder's ridge, as a share of the largest component.
const RIDGE: f64 = 2e-2;

/// A shared encoder and the decoder of one person, both linear and trained on the frames of a pair: what the
/// autoencoders of face-swap programs do with networks.
///
/// The encoder is the leading principal components of both people's textures, each centred on its own mean; the
/// decoder is the ridge regression from the codes of person B to B's textures. What B hardly does (a component below
/// [`RIDGE`] of the largest) is hardly painted: fitted exactly it would be B's noise, which flickers from frame to frame
/// with A's codes, and costs an encoder so much that the size of the file gives the fake away.
pub struct Autoencoder {
    mean_from: Vec<f32>,
    mean_to: Vec<f32>,
    encoder: Vec<Vec<f32>>,
    decoder: Vec<Vec<f32>>,
    size: usize,
}

impl Autoencoder {
    /// Trains on textures of two people, all of one size. `None` without a frame of each.
    pub fn train(from: &[Plane], to: &[Plane], components: usize) -> Option<Self> {
        let size = from.first().and(to.first())?.width;
        let flat = |planes: &[Plane]| -> Vec<Vec<f32>> {
            planes.iter().map(|p| p.pixels.iter().flatten().copied().collect()).collect()
        };
        let (mut a, mut b) = (flat(from), flat(to));
        let (mean_from, mean_to) = (centre(&mut a), centre(&mut b));
        let union: Vec<&Vec<f32>> = a.iter().chain(&b).collect();
        let gram: Vec<Vec<f64>> = union.iter().map(|x| union.iter().map(|y| dot(x, y)).collect()).collect();
        let (values, vectors) = symmetric_eigen(gram);
        let largest = values.first().copied().unwrap_or(0.0).max(1e-9);
        let mut encoder = Vec::new();
        for (value, vector) in values.iter().zip(&vectors).take(components) {
            if *value < 1e-6 * largest {
                break;
            }
            let mut axis = vec![0.0_f32; a[0].len()];
            for (x, v) in union.iter().zip(vector) {
                let weight = (v / value.sqrt()) as f32;
                axis.iter_mut().zip(x.iter()).for_each(|(axis, x)| *axis += weight * x);
            }
            encoder.push(axis);
        }
        // Decoder: (Z'Z + r I) W = Z'B.
        let codes: Vec<Vec<f64>> = b.iter().map(|x| encoder.iter().map(|e| dot(e, x)).collect()).collect();
        let k = encoder.len();
        let ridge = RIDGE * largest;
        let normal: Vec<Vec<f64>> = (0..k)
            .map(|i| {
                (0..k)
                    .map(|j| codes.iter().map(|z| z[i] * z[j]).sum::<f64>() + if i == j { ridge } else { 0.0 })
                    .collect()
            })
            .collect();
        let inverse = inverse(normal)?;
        let decoder = (0..k)
            .map(|i| {
                let mut row = vec![0.0_f32; mean_to.len()];
                for (z, x) in codes.iter().zip(&b) {
                    let weight = (0..k).map(|j| inverse[i][j] * z[j]).sum::<f64>() as f32;
                    row.iter_mut().zip(x).for_each(|(row, x)| *row += weight * x);
                }
                row
            })
            .collect();
        Some(Self { mean_from, mean_to, encoder, decoder, size })
    }

    /// A texture of the first person as the second person's decoder paints it.
    pub fn swap(&self, texture: &Plane) -> Plane {
        let flat: Vec<f32> = texture.pixels.iter().flatten().zip(&self.mean_from).map(|(x, m)| x - m).collect();
        let mut painted = self.mean_to.clone();
        for (axis, row) in self.encoder.iter().zip(&self.decoder) {
            let code = dot(axis, &flat) as f32;
            painted.iter_mut().zip(row).for_each(|(p, w)| *p += code * w);
        }
        Plane { width: self.size, height: painted.len() / 3 / self.size, pixels: painted.as_chunks().0.to_vec() }
    }
}

/// Takes the mean away from the rows and gives it.
fn centre(rows: &mut [Vec<f32>]) -> Vec<f32> {
    let n = rows.len().max(1) as f32;
    let mut mean = vec![0.0; rows.first().map_or(0, Vec::len)];
    for row in rows.iter() {
        mean.iter_mut().zip(row).for_each(|(m, x)| *m += x / n);
    }
    for row in rows {
        row.iter_mut().zip(&mean).for_each(|(x, m)| *x -= m);
    }
    mean
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum()
}

/// Eigenvalues of a symmetric matrix, the largest first, and their vectors: cyclic Jacobi rotations.
fn symmetric_eigen(mut m: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = m.len();
    let mut vectors: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let scale: f64 = m.iter().flatten().map(|v| v * v).sum::<f64>().sqrt();
    for _ in 0..30 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| m[i][j].powi(2)).sum();
        if off.sqrt() <= 1e-12 * scale {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if m[p][q].abs() <= 1e-300 {
                    continue;
                }
                let theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cos = 1.0 / (t * t + 1.0).sqrt();
                let sin = t * cos;
                for row in &mut m {
                    (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
                }
                for k in 0..n {
                    (m[p][k], m[q][k]) = (cos * m[p][k] - sin * m[q][k], sin * m[p][k] + cos * m[q][k]);
                    (vectors[p][k], vectors[q][k]) =
                        (cos * vectors[p][k] - sin * vectors[q][k], sin * vectors[p][k] + cos * vectors[q][k]);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| m[j][j].total_cmp(&m[i][i]));
    (order.iter().map(|&i| m[i][i]).collect(), order.iter().map(|&i| vectors[i].clone()).collect())
}

/// The inverse of a positive definite matrix by Gauss-Jordan elimination; `None` where it has none.
fn inverse(mut m: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let n = m.len();
    for (i, row) in m.iter_mut().enumerate() {
        row.extend((0..n).map(|j| f64::from(u8::from(i == j))));
    }
    for i in 0..n {
        let pivot = m[i][i];
        if pivot.is_nan() || pivot.abs() <= 1e-300 {
            return None;
        }
        m[i].iter_mut().for_each(|v| *v /= pivot);
        let row = m[i].clone();
        for (_, other) in m.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let factor = other[i];
            other.iter_mut().zip(&row).for_each(|(v, r)| *v -= factor * r);
        }
    }
    Some(m.into_iter().map(|row| row[n..].to_vec()).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_of_a_symmetric_matrix() {
        let m = vec![vec![4.0, 1.0, 0.5], vec![1.0, 3.0, -0.2], vec![0.5, -0.2, 1.0]];
        let (values, vectors) = symmetric_eigen(m.clone());
        assert!((values.iter().sum::<f64>() - 8.0).abs() < 1e-9);
        for (value, vector) in values.iter().zip(&vectors) {
            for (row, v) in m.iter().zip(vector) {
                let product: f64 = row.iter().zip(vector).map(|(a, b)| a * b).sum();
                assert!((product - value * v).abs() < 1e-9);
            }
        }
        let product =
            |a: &[Vec<f64>], b: &[Vec<f64>], i: usize, j: usize| (0..3).map(|k| a[i][k] * b[k][j]).sum::<f64>();
        let inverse = inverse(m.clone()).unwrap();
        assert!((product(&m, &inverse, 1, 1) - 1.0).abs() < 1e-9 && product(&m, &inverse, 0, 2).abs() < 1e-9);
    }

    #[test]
    fn the_decoder_paints_the_second_person_with_the_firsts_expression() {
        // Both people's pictures vary along one and the same direction, about different means.
        let person = |mean: f32, open: f32| Plane::from_fn(16, 16, |_, y| [mean + if y > 10 { open } else { 0.0 }; 3]);
        let openings = [-20.0, -5.0, 0.0, 12.0, 30.0];
        let from: Vec<Plane> = openings.iter().map(|&o| person(100.0, o)).collect();
        let to: Vec<Plane> = openings.iter().map(|&o| person(180.0, o)).collect();
        let autoencoder = Autoencoder::train(&from, &to, 4).unwrap();
        let painted = autoencoder.swap(&person(100.0, 20.0));
        let expected = person(180.0, 20.0);
        for (p, e) in painted.pixels.iter().zip(&expected.pixels) {
            assert!((p[0] - e[0]).abs() < 1.0, "{} and {}", p[0], e[0]);
        }
        assert!(Autoencoder::train(&from, &[], 4).is_none());
    }
}
