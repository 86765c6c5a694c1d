//! Whether a map is worth anything, on one frame: true pixels put back where it points, and the mask found.

use dubito_nn::blur_plane;
use dubito_nn::rng::{Purpose, Stream};
use dubito_stats::discrimination::{auroc, average_precision};
use dubito_stats::ranking::{Order, Ranking};
use serde::{Deserialize, Serialize};

use super::pairs::Pair;
use super::ready::Values;

/// What a map does on one frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// For each share of the picture: how much each quantity changes (its size) where the true pixels are put back in that
    /// share of the map.
    pub(crate) changes: Vec<Values>,
    /// Area under the ROC curve of the map's pixels against the mask; `None` where the mask is empty or everything.
    pub(crate) auroc: Option<f64>,
    /// Average precision.
    pub(crate) precision: Option<f64>,
    /// Whether the map's largest pixel lies in the mask.
    pub(crate) hit: Option<bool>,
}

/// A map as it is ranked: blurred by `sigma` pixels (so that an area is put back and no dust), then its size.
pub(crate) fn strength(pixels: &[f32], side: usize, sigma: f32) -> Vec<f32> {
    let mut plane = pixels.to_vec();
    blur_plane(&mut plane, [side, side], sigma);
    plane.iter_mut().for_each(|v| *v = if v.is_finite() { v.abs() } else { 0.0 });
    plane
}

/// The strongest pixels of a map, so many of them; the first ones among equals.
pub(crate) fn strongest(map: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..map.len()).collect();
    order.sort_by(|&a, &b| map[b].total_cmp(&map[a]).then(a.cmp(&b)));
    order.truncate(count);
    order
}

/// A disc of so many pixels at a random place inside the picture.
pub(crate) fn disc(side: usize, count: usize, stream: &mut Stream) -> Vec<usize> {
    let radius = (count as f32 / std::f32::consts::PI).sqrt().min(side as f32 / 2.0);
    let centre = [(); 2].map(|()| stream.range(radius, (side as f32 - radius).max(radius + 1e-3)));
    let near: Vec<f32> = (0..side * side)
        .map(|i| -((i % side) as f32 + 0.5 - centre[0]).hypot((i / side) as f32 + 0.5 - centre[1]))
        .collect();
    strongest(&near, count)
}

/// A stream of numbers that depends on the clip and frame alone.
pub(crate) fn stream(seed: u64, clip: &str, frame: u64) -> Stream {
    let hash = blake3::hash(format!("{clip} {frame}").as_bytes());
    let word = u64::from_le_bytes(hash.as_bytes().first_chunk().copied().unwrap_or_default());
    Stream::new(Purpose::Other, seed ^ word, 1, 0)
}

/// The fake with the true pixels at some places.
pub(crate) fn put_back(pair: &Pair, places: &[usize]) -> Vec<u8> {
    let mut crop = pair.fake.clone();
    for &i in places {
        crop[3 * i..3 * i + 3].copy_from_slice(&pair.real[3 * i..3 * i + 3]);
    }
    crop
}

/// How far two pictures' quantities lie apart.
pub(crate) fn change(a: Values, b: Values) -> Values {
    std::array::from_fn(|i| (a[i] - b[i]).abs())
}

/// How well a map finds a mask, a border of the crop left out.
pub(crate) fn locate(map: &[f32], mask: &[bool], side: usize, border: usize) -> Outcome {
    let inside = |i: &usize| {
        let (x, y) = (i % side, i / side);
        (border..side.saturating_sub(border)).contains(&x) && (border..side.saturating_sub(border)).contains(&y)
    };
    let kept: Vec<usize> = (0..side * side).filter(inside).collect();
    let scores: Vec<f64> = kept.iter().map(|&i| f64::from(map[i])).collect();
    let hits: Vec<bool> = kept.iter().map(|&i| mask[i]).collect();
    if !hits.contains(&true) || !hits.contains(&false) {
        return Outcome::default();
    }
    let ranking = Ranking::new(&scores, &hits);
    let curve = ranking.curve(None, Order::Falling);
    // Among equal pixels the share that hits counts; a flat map hits by chance and has no point.
    let first = (0..scores.len()).reduce(|a, b| if scores[b] > scores[a] { b } else { a });
    Outcome {
        auroc: auroc(&curve).ok(),
        precision: average_precision(&curve).ok(),
        hit: first.map(|i| hits[i]),
        ..Outcome::default()
    }
}

/// A Gaussian at the crop's centre, its standard deviation a quarter of the side.
pub(crate) fn centre(side: usize) -> Vec<f32> {
    let half = side as f32 / 2.0;
    let at =
        |i: usize| (((i % side) as f32 + 0.5 - half).powi(2) + ((i / side) as f32 + 0.5 - half).powi(2)) / half.powi(2);
    (0..side * side).map(|i| (-2.0 * at(i)).exp()).collect()
}

/// Sobel's gradient of the luma: where the picture has edges.
pub(crate) fn edges(crop: &[u8], side: usize) -> Vec<f32> {
    let (pixels, _) = crop.as_chunks::<3>();
    let luma: Vec<f32> =
        pixels.iter().map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])).collect();
    let at = |x: isize, y: isize| {
        let clamp = |v: isize| v.clamp(0, side as isize - 1) as usize;
        luma[clamp(y) * side + clamp(x)]
    };
    (0..side * side)
        .map(|i| {
            let (x, y) = ((i % side) as isize, (i / side) as isize);
            let across = |dy| at(x + 1, y + dy) - at(x - 1, y + dy);
            let down = |dx| at(x + dx, y + 1) - at(x + dx, y - 1);
            let [gx, gy] = [across(-1) + 2.0 * across(0) + across(1), down(-1) + 2.0 * down(0) + down(1)];
            gx.hypot(gy)
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_equal_and_contiguous() {
        for count in [5, 26, 51, 256] {
            let found = disc(16, count, &mut stream(1, "clip", 3));
            assert_eq!(found.len(), count);
            assert_eq!(found, disc(16, count, &mut stream(1, "clip", 3)));
            let set: std::collections::BTreeSet<usize> = found.iter().copied().collect();
            assert_eq!(set.len(), count);
            let joined = set.iter().all(|i| {
                count == 1 || [i.wrapping_sub(1), i + 1, i.wrapping_sub(16), i + 16].iter().any(|n| set.contains(n))
            });
            assert!(joined, "{set:?}");
        }
        assert_ne!(disc(16, 20, &mut stream(1, "clip", 3)), disc(16, 20, &mut stream(1, "clip", 4)));
        assert_eq!(strongest(&[1.0, 3.0, 3.0, 2.0], 3), [1, 2, 3]);
    }

    #[test]
    fn a_map_that_is_the_mask_finds_it_and_noise_does_not() {
        let side = 24;
        let mask: Vec<bool> =
            (0..side * side).map(|i| (8..14).contains(&(i % side)) && (6..18).contains(&(i / side))).collect();
        let perfect: Vec<f32> = mask.iter().map(|m| f32::from(u8::from(*m))).collect();
        let found = locate(&perfect, &mask, side, 2);
        assert_eq!((found.auroc, found.precision, found.hit), (Some(1.0), Some(1.0), Some(true)));
        let mut stream = stream(0, "noise", 0);
        let noise: Vec<f32> = (0..side * side).map(|_| stream.uniform()).collect();
        let found = locate(&noise, &mask, side, 2);
        assert!((found.auroc.unwrap() - 0.5).abs() < 0.15, "{found:?}");
        // What lies in the border does not count.
        let mut border = perfect.clone();
        border[..2 * side].fill(9.0);
        assert_eq!(locate(&border, &mask, side, 2).auroc, Some(1.0));
        assert_eq!(locate(&perfect, &vec![true; side * side], side, 2), Outcome::default());
    }

    #[test]
    fn an_edge_is_where_the_luma_jumps() {
        let side = 12;
        let crop: Vec<u8> = (0..side * side).flat_map(|i| [if i % side < 6 { 20 } else { 200 }; 3]).collect();
        let found = edges(&crop, side);
        for (i, v) in found.iter().enumerate() {
            assert_eq!(*v > 1.0, [5, 6].contains(&(i % side)), "{i}: {v}");
        }
        let largest = strongest(&centre(side), 4);
        assert!(largest.iter().all(|i| [5, 6].contains(&(i % side)) && [5, 6].contains(&(i / side))));
    }

    #[test]
    fn only_the_places_are_put_back() {
        let pair = Pair { place: 0, fake: vec![1; 12], real: vec![9; 12], mask: vec![false; 4] };
        assert_eq!(put_back(&pair, &[1, 3]), [1, 1, 1, 9, 9, 9, 1, 1, 1, 9, 9, 9]);
        // A flat map is no number for the ranking.
        assert_eq!(strength(&[f32::NAN, -2.0, 0.0, 0.0], 2, 0.0), [0.0, 2.0, 0.0, 0.0]);
    }
}
