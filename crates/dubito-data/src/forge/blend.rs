//! How a drawn face is made to fit: colour transfer, and four ways to hide its edge.

use image::{GrayImage, RgbImage};

use super::pyramid::{Known, Plane, blend_bands, membrane};
use super::warp::{Layer, Point, Rect};

/// How the edge of a drawn face is hidden.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Blend {
    /// Opacity rises over so many pixels from the outline inwards.
    Feathered(f32),
    /// The outline is drawn in by so many pixels and blurred as much.
    Soft(f32),
    /// Band by band: the finest takes all of the drawn face, the coarsest this share of it.
    Bands(f32),
    /// The drawn face's gradients in the target's colours: this share of the difference at the edge is
    /// spread over the inside.
    Gradient(f32),
}

/// Bands of [`Blend::Bands`].
const BANDS: usize = 5;

impl Blend {
    /// Fits a layer drawn over `rect` of `target` inside `polygon` (in the rectangle's pixels): gives it the
    /// target's colours ([`transfer_colour`] of strength `colour`), hides its edge, and returns its opacity.
    pub fn fit(self, layer: &mut Layer, target: &RgbImage, rect: Rect, polygon: &[Point], colour: f32) -> Vec<f32> {
        let opacity = match self {
            Self::Feathered(width) => feathered(layer, polygon, width),
            Self::Soft(width) => soft(layer, polygon, width),
            // What these two leave of an edge is a trifle; a short ramp hides it.
            Self::Bands(_) | Self::Gradient(_) => feathered(layer, polygon, 0.04 * rect.width as f32),
        };
        transfer_colour(&mut layer.pixels, target, rect, &opacity, colour);
        let under = || {
            let view = image::imageops::crop_imm(target, rect.x, rect.y, rect.width, rect.height);
            Plane::from_image(&view.to_image())
        };
        match self {
            Self::Feathered(_) | Self::Soft(_) => {}
            Self::Bands(coarse) => {
                let under = under();
                let mut over = Plane::from_image(&layer.pixels);
                let mut inner = under.clone();
                for (i, &alpha) in opacity.iter().enumerate() {
                    if alpha <= 0.0 {
                        over.pixels[i] = under.pixels[i];
                    }
                    inner.pixels[i] = [if alpha >= 0.999 { 1.0 } else { 0.0 }; 3];
                }
                let share = |band: usize| 1.0 - (1.0 - coarse) * (band as f32 / BANDS as f32);
                layer.pixels = blend_bands(&under, &over, &inner, BANDS, &share).to_image();
            }
            Self::Gradient(share) => {
                let over = Plane::from_image(&layer.pixels);
                let mut difference = under().zip(&over, |u, o| u - o);
                let (w, h) = (rect.width as usize, rect.height as usize);
                // Half way up the ramp: the outline itself may lie on what is behind the face.
                let drawn = |x: usize, y: usize| opacity[y * w + x] > 0.5;
                let known: Vec<Known> = (0..w * h)
                    .map(|i| {
                        let (x, y) = (i % w, i / w);
                        let beside_the_edge = x > 0 && !drawn(x - 1, y)
                            || x + 1 < w && !drawn(x + 1, y)
                            || y > 0 && !drawn(x, y - 1)
                            || y + 1 < h && !drawn(x, y + 1);
                        match (drawn(x, y), beside_the_edge) {
                            (false, _) => Known::Outside,
                            (true, true) => Known::Given,
                            (true, false) => Known::Wanted,
                        }
                    })
                    .collect();
                membrane(&mut difference, &known);
                layer.pixels = over.zip(&difference, |o, d| o + share * d).to_image();
            }
        }
        opacity
    }
}

/// Pixels of a `width` x `height` picture whose centre is inside the polygon (even-odd rule).
pub(super) fn fill_polygon(polygon: &[Point], width: u32, height: u32) -> Vec<bool> {
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
fn distance_inside(inside: &[bool], width: u32, height: u32) -> Vec<f32> {
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
fn feathered(layer: &Layer, polygon: &[Point], feather: f32) -> Vec<f32> {
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

/// Opacity of a layer whose outline is drawn in by `width` pixels and then blurred over about as much on either
/// side; 0 outside `polygon` and where nothing was drawn.
fn soft(layer: &Layer, polygon: &[Point], width: f32) -> Vec<f32> {
    let (w, h) = layer.coverage.dimensions();
    let mut inside = fill_polygon(polygon, w, h);
    for (inside, covered) in inside.iter_mut().zip(layer.coverage.pixels()) {
        *inside &= covered[0] > 250;
    }
    let distance = distance_inside(&inside, w, h);
    let core = Plane::from_fn(w as usize, h as usize, |x, y| {
        [if distance[y * w as usize + x] > width { 1.0 } else { 0.0 }; 3]
    });
    let blurred = core.smoothed(width.max(1.0).log2().round() as usize);
    blurred.pixels.iter().zip(inside).map(|(p, inside)| if inside && p[0] > 0.01 { p[0] } else { 0.0 }).collect()
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
fn transfer_colour(layer: &mut RgbImage, target: &RgbImage, rect: Rect, opacity: &[f32], strength: f32) {
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

/// Lays the layer over `image` and sets `mask` to 255 where a pixel may have changed. Every other
/// pixel is untouched.
pub fn lay_over(image: &mut RgbImage, mask: &mut GrayImage, layer: &RgbImage, rect: Rect, opacity: &[f32]) {
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
    fn every_blend_hides_a_difference_in_brightness_in_its_own_way() {
        let target = RgbImage::from_fn(80, 80, |x, y| image::Rgb([120 + ((x * 7 + y * 3) % 9) as u8, 110, 100]));
        let rect = Rect { x: 8, y: 8, width: 64, height: 64 };
        let polygon = [[4.0, 4.0], [60.0, 4.0], [60.0, 60.0], [4.0, 60.0]];
        let step = |blend: Blend| {
            let mut layer = Layer {
                pixels: RgbImage::from_fn(64, 64, |x, _| image::Rgb([170 + (x % 2) as u8 * 10, 160, 150])),
                coverage: GrayImage::from_pixel(64, 64, image::Luma([255])),
            };
            let opacity = blend.fit(&mut layer, &target, rect, &polygon, 0.0);
            let mut image = target.clone();
            let mut mask = GrayImage::new(80, 80);
            lay_over(&mut image, &mut mask, &layer.pixels, rect, &opacity);
            assert!(
                target.enumerate_pixels().all(|(x, y, p)| mask.get_pixel(x, y)[0] > 0 || image.get_pixel(x, y) == p)
            );
            assert_eq!((mask.get_pixel(40, 40)[0], mask.get_pixel(2, 2)[0]), (255, 0));
            // The brightness in the middle, and the stripes that came with the layer.
            let green = |x: u32| f32::from(image.get_pixel(x, 40)[1]);
            let red = |x: u32| f32::from(image.get_pixel(x, 40)[0]);
            ((38..42).map(green).sum::<f32>() / 4.0, (red(40) - red(41)).abs())
        };
        for blend in [Blend::Feathered(6.0), Blend::Soft(4.0), Blend::Bands(1.0), Blend::Gradient(0.0)] {
            let (brightness, stripes) = step(blend);
            // The coarse bands carry some of the surroundings in.
            let slack = if matches!(blend, Blend::Bands(_)) { 12.0 } else { 2.0 };
            assert!((brightness - 160.0).abs() < slack && stripes > 8.0, "{blend:?}: {brightness}, {stripes}");
        }
        for blend in [Blend::Bands(0.0), Blend::Gradient(1.0)] {
            let (brightness, stripes) = step(blend);
            assert!((brightness - 110.0).abs() < 12.0 && stripes > 7.0, "{blend:?}: {brightness}, {stripes}");
        }
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
        let mut mask = GrayImage::new(20, 20);
        lay_over(&mut image, &mut mask, &layer, rect, &opacity);
        for (x, y, p) in mask.enumerate_pixels() {
            assert_eq!(p[0] == 0, image.get_pixel(x, y) == before.get_pixel(x, y));
        }
    }
}
