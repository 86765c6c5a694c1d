//! How a drawn face is made to fit: colour transfer and a feathered edge.

use image::{GrayImage, RgbImage};

use super::warp::{Layer, Point, Rect};

/// Pixels of a `width` x `height` picture whose centre is inside the polygon (even-odd rule).
pub fn fill_polygon(polygon: &[Point], width: u32, height: u32) -> Vec<bool> {
    let mut inside = vec![false; width as usize * height as usize];
    let mut crossings = Vec::new();
    for y in 0..height {
        let level = y as f32 + 0.5;
        crossings.clear();
        for (a, b) in polygon.iter().zip(polygon.iter().cycle().skip(1)) {
            if (a[1] <= level) != (b[1] <= level) {
                crossings.push(a[0] + (level - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
            }
        }
        crossings.sort_by(f32::total_cmp);
        for pair in crossings.chunks_exact(2) {
            let clamp = |v: f32| (v - 0.5).ceil().clamp(0.0, width as f32) as usize;
            let row = y as usize * width as usize;
            inside[row + clamp(pair[0])..row + clamp(pair[1])].fill(true);
        }
    }
    inside
}

/// Distance in pixels of each inside pixel from the nearest outside one, by a two-pass chamfer with
/// steps of 1 and the root of 2 (within 8 % of the Euclidean distance); 0 outside. What lies beyond
/// the picture counts as inside, so that a face cut by the frame has no edge there.
pub fn distance_inside(inside: &[bool], width: u32, height: u32) -> Vec<f32> {
    let (w, h) = (width as usize, height as usize);
    let mut distance: Vec<f32> = inside.iter().map(|&i| if i { f32::MAX / 4.0 } else { 0.0 }).collect();
    let diagonal = std::f32::consts::SQRT_2;
    for y in 0..h {
        for x in 0..w {
            let mut d = distance[y * w + x];
            if x > 0 {
                d = d.min(distance[y * w + x - 1] + 1.0);
            }
            if y > 0 {
                d = d.min(distance[(y - 1) * w + x] + 1.0);
                if x > 0 {
                    d = d.min(distance[(y - 1) * w + x - 1] + diagonal);
                }
                if x + 1 < w {
                    d = d.min(distance[(y - 1) * w + x + 1] + diagonal);
                }
            }
            distance[y * w + x] = d;
        }
    }
    for y in (0..h).rev() {
        for x in (0..w).rev() {
            let mut d = distance[y * w + x];
            if x + 1 < w {
                d = d.min(distance[y * w + x + 1] + 1.0);
            }
            if y + 1 < h {
                d = d.min(distance[(y + 1) * w + x] + 1.0);
                if x > 0 {
                    d = d.min(distance[(y + 1) * w + x - 1] + diagonal);
                }
                if x + 1 < w {
                    d = d.min(distance[(y + 1) * w + x + 1] + diagonal);
                }
            }
            distance[y * w + x] = d;
        }
    }
    distance
}

/// Opacity of a layer: 0 outside `polygon` and where nothing was drawn, rising smoothly to 1 over
/// `feather` pixels inwards.
pub fn feathered(layer: &Layer, polygon: &[Point], feather: f32) -> Vec<f32> {
    let (w, h) = layer.coverage.dimensions();
    let mut inside = fill_polygon(polygon, w, h);
    for (inside, covered) in inside.iter_mut().zip(layer.coverage.pixels()) {
        *inside &= covered[0] > 250;
    }
    distance_inside(&inside, w, h)
        .into_iter()
        .map(|d| {
            let t = (d / feather.max(1.0)).clamp(0.0, 1.0);
            t * t * (3.0 - 2.0 * t)
        })
        .collect()
}

/// RGB to full-range BT.601 luma and colour differences, and back.
fn ycc(p: [f32; 3]) -> [f32; 3] {
    let y = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
    [y, (p[2] - y) * 0.564, (p[0] - y) * 0.713]
}

fn rgb(p: [f32; 3]) -> [f32; 3] {
    let (r, b) = (p[0] + p[2] / 0.713, p[0] + p[1] / 0.564);
    [r, (p[0] - 0.299 * r - 0.114 * b) / 0.587, b]
}

fn moments(pixels: impl Iterator<Item = ([f32; 3], f32)>) -> Option<([f32; 3], [f32; 3])> {
    let (mut n, mut sum, mut squares) = (0.0_f64, [0.0_f64; 3], [0.0_f64; 3]);
    for (p, weight) in pixels {
        let weight = f64::from(weight);
        n += weight;
        for i in 0..3 {
            sum[i] += weight * f64::from(p[i]);
            squares[i] += weight * f64::from(p[i]).powi(2);
        }
    }
    if n < 1.0 {
        return None;
    }
    let mean = sum.map(|s| (s / n) as f32);
    let deviation = [0, 1, 2].map(|i| (squares[i] / n - (sum[i] / n).powi(2)).max(0.0).sqrt() as f32);
    Some((mean, deviation))
}

/// Gives the layer the mean and deviation of the target's luma and colour differences under the same
/// opacity, after Reinhard et al., "Color Transfer between Images" (2001), in YCbCr; `strength` in
/// [0, 1] says how much of the difference is removed.
pub fn transfer_colour(layer: &mut RgbImage, target: &RgbImage, rect: Rect, opacity: &[f32], strength: f32) {
    let float = |p: &image::Rgb<u8>| ycc(p.0.map(f32::from));
    let own = moments(layer.pixels().map(float).zip(opacity.iter().copied()));
    let view = |i: usize| target.get_pixel(rect.x + i as u32 % rect.width, rect.y + i as u32 / rect.width);
    let wanted = moments((0..opacity.len()).map(|i| float(view(i))).zip(opacity.iter().copied()));
    let (Some((mean, deviation)), Some((target_mean, target_deviation))) = (own, wanted) else { return };
    let gain = [0, 1, 2].map(|i| (target_deviation[i] / deviation[i].max(0.5)).clamp(0.5, 2.0));
    for pixel in layer.pixels_mut() {
        let before = float(pixel);
        let after = [0, 1, 2].map(|i| {
            let matched = (before[i] - mean[i]) * gain[i] + target_mean[i];
            before[i] + strength * (matched - before[i])
        });
        pixel.0 = rgb(after).map(|v| v.round().clamp(0.0, 255.0) as u8);
    }
}

/// Lays the layer over `image` and returns the mask: 255 where a pixel may have changed. Every
/// other pixel is untouched.
pub fn lay_over(image: &mut RgbImage, layer: &RgbImage, rect: Rect, opacity: &[f32]) -> GrayImage {
    let mut mask = GrayImage::new(image.width(), image.height());
    for ((x, y, over), &alpha) in layer.enumerate_pixels().zip(opacity) {
        if alpha <= 0.0 {
            continue;
        }
        let (x, y) = (x + rect.x, y + rect.y);
        let under = image.get_pixel_mut(x, y);
        for i in 0..3 {
            let mixed = alpha * f32::from(over[i]) + (1.0 - alpha) * f32::from(under[i]);
            under[i] = mixed.round() as u8;
        }
        mask.put_pixel(x, y, image::Luma([255]));
    }
    mask
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_square_is_filled_and_its_middle_is_farthest_from_the_edge() {
        let square = [[2.0, 2.0], [9.0, 2.0], [9.0, 9.0], [2.0, 9.0]];
        let inside = fill_polygon(&square, 12, 12);
        assert_eq!(inside.iter().filter(|&&i| i).count(), 49);
        let distance = distance_inside(&inside, 12, 12);
        assert_eq!(distance[5 * 12 + 5], 4.0);
        assert_eq!(distance[2 * 12 + 5], 1.0);
        assert_eq!(distance[12 + 5], 0.0);
    }

    #[test]
    fn colour_goes_through_ycc_and_back() {
        for p in [[10.0, 200.0, 30.0], [255.0, 0.0, 128.0]] {
            for (a, b) in rgb(ycc(p)).iter().zip(p) {
                assert!((a - b).abs() < 0.01);
            }
        }
    }

    #[test]
    fn transfer_moves_the_mean_as_far_as_asked() {
        let target = RgbImage::from_fn(20, 20, |x, _| image::Rgb([100 + x as u8, 120, 90]));
        let rect = Rect { x: 0, y: 0, width: 20, height: 20 };
        let opacity = vec![1.0; 400];
        let mean = |i: &RgbImage| i.pixels().map(|p| f32::from(p[1])).sum::<f32>() / 400.0;
        for (strength, expected) in [(0.0, 60.0), (0.5, 90.0), (1.0, 120.0)] {
            let mut layer = RgbImage::from_fn(20, 20, |x, _| image::Rgb([40 + x as u8, 60, 30]));
            transfer_colour(&mut layer, &target, rect, &opacity, strength);
            assert!((mean(&layer) - expected).abs() < 1.0, "{strength}: {}", mean(&layer));
        }
    }

    #[test]
    fn pixels_outside_the_mask_are_untouched() {
        let mut image = RgbImage::from_fn(20, 20, |x, y| image::Rgb([x as u8, y as u8, 7]));
        let before = image.clone();
        let layer = RgbImage::from_pixel(10, 10, image::Rgb([255, 255, 255]));
        let rect = Rect { x: 5, y: 5, width: 10, height: 10 };
        let opacity: Vec<f32> = (0..100).map(|i| if i % 3 == 0 { 0.5 } else { 0.0 }).collect();
        let mask = lay_over(&mut image, &layer, rect, &opacity);
        for (x, y, p) in mask.enumerate_pixels() {
            assert_eq!(p[0] == 0, image.get_pixel(x, y) == before.get_pixel(x, y));
        }
    }
}
