//! Gives a drawn face the grain of the video it is laid over: every drawing smooths the sensor's noise away, and its lack
//! would tell fakes (and null controls) from what was never drawn, in the pixels and in the size of the file.

use image::RgbImage;

use super::warp::Rect;

/// The most of the target's grain that is laid on, in multiples of itself.
const MOST: f32 = 2.0;
/// Halvings of the interval in which the right amount is looked for.
const HALVINGS: usize = 6;
/// Fewest pixels that a grain is measured on.
const LEAST: usize = 64;

/// Adds so much of the target's own grain to `pixels`, drawn over `rect`, that they have as much as the target there.
///
/// The grain of a frame is what a 3 x 3 binomial filter takes from its luma, held to three times its usual size, so that
/// no edge of the target's face shows through. It is the noise of this very frame as the source's encoder left it, which
/// made noise is not. Compared is the mean answer to Immerkaer's filter where `opacity` is above one half; a layer with as
/// much grain or more is left as it is.
pub fn match_grain(pixels: &mut RgbImage, target: &RgbImage, rect: Rect, opacity: &[f32]) {
    let (w, h) = (rect.width as usize, rect.height as usize);
    let under = image::imageops::crop_imm(target, rect.x, rect.y, rect.width, rect.height).to_image();
    let (own, under) = (luma(pixels), luma(&under));
    let counts: Vec<usize> = (1..h.saturating_sub(1))
        .flat_map(|y| (1..w.saturating_sub(1)).map(move |x| y * w + x))
        .filter(|&i| opacity[i] > 0.5)
        .collect();
    if counts.len() < LEAST {
        return;
    }
    let wanted = noise(&under, &counts, w);
    let grain = grain(&under, &counts, [w, h]);
    let with = |amount: f32| -> Vec<f32> { own.iter().zip(&grain).map(|(own, grain)| own + amount * grain).collect() };
    if noise(&own, &counts, w) >= wanted {
        return;
    }
    let (mut low, mut high) = (0.0, MOST);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if noise(&with(middle), &counts, w) < wanted { low = middle } else { high = middle }
    }
    for (i, pixel) in pixels.pixels_mut().enumerate() {
        if opacity[i] > 0.0 {
            pixel.0 = pixel.0.map(|v| (f32::from(v) + low * grain[i]).round().clamp(0.0, 255.0) as u8);
        }
    }
}

/// ITU-R BT.601.
fn luma(image: &RgbImage) -> Vec<f32> {
    image.pixels().map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])).collect()
}

/// Mean size of the answer to a difference of two Laplacians at the pixels that count (Immerkaer, "Fast Noise Variance
/// Estimation", Computer Vision and Image Understanding 64, 1996), which the picture itself hardly gives. In a unit of
/// its own.
fn noise(plane: &[f32], counts: &[usize], w: usize) -> f32 {
    let answer = |i: usize| {
        let edge = |i: usize| plane[i - 1] - 2.0 * plane[i] + plane[i + 1];
        (edge(i - w) - 2.0 * edge(i) + edge(i + w)).abs()
    };
    counts.iter().map(|&i| answer(i)).sum::<f32>() / counts.len() as f32
}

/// What the binomial filter takes away, held to three standard deviations (from the median where it counts).
fn grain(plane: &[f32], counts: &[usize], [w, h]: [usize; 2]) -> Vec<f32> {
    let mut grain = vec![0.0; plane.len()];
    for y in 1..h - 1 {
        for x in 1..w - 1 {
            let i = y * w + x;
            let row = |i: usize| plane[i - 1] + 2.0 * plane[i] + plane[i + 1];
            grain[i] = plane[i] - (row(i - w) + 2.0 * row(i) + row(i + w)) / 16.0;
        }
    }
    let mut sizes: Vec<f32> = counts.iter().map(|&i| grain[i].abs()).collect();
    let middle = sizes.len() / 2;
    let (_, median, _) = sizes.select_nth_unstable_by(middle, f32::total_cmp);
    let most = 3.0 * 1.4826 * *median;
    grain.into_iter().map(|v| v.clamp(-most, most)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slope with normal noise of this deviation (each four uniform bytes), and an edge of the height `edge`.
    fn noisy(size: u32, sigma: f32, edge: f32) -> RgbImage {
        let mut bytes = vec![0; 4 * (size * size) as usize];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        RgbImage::from_fn(size, size, |x, y| {
            let four = &bytes[4 * (y * size + x) as usize..][..4];
            let noise = sigma * (four.iter().map(|&b| f32::from(b)).sum::<f32>() - 510.0) / 147.8;
            let step = if y > size / 2 { edge } else { 0.0 };
            image::Rgb([(60.0 + x as f32 / 2.0 + step + noise).round() as u8; 3])
        })
    }

    fn noise_of(image: &RgbImage, rect: Rect) -> f32 {
        let w = image.width() as usize;
        let inside = |y: u32| (rect.x..rect.x + rect.width).map(move |x| y as usize * w + x as usize);
        noise(&luma(image), &(rect.y..rect.y + rect.height).flat_map(inside).collect::<Vec<_>>(), w)
    }

    #[test]
    fn a_smooth_layer_takes_on_the_targets_grain_inside_only_and_a_grainy_one_stays() {
        let target = noisy(120, 4.0, 0.0);
        let rect = Rect { x: 10, y: 20, width: 90, height: 90 };
        let opacity: Vec<f32> = (0..90 * 90).map(|i| if i % 90 < 60 { 1.0 } else { 0.0 }).collect();
        let smooth = noisy(90, 0.0, 0.0);
        let mut layer = smooth.clone();
        match_grain(&mut layer, &target, rect, &opacity);
        let inside = noise_of(&layer, Rect { x: 2, y: 2, width: 56, height: 86 });
        let wanted = noise_of(&target, Rect { x: 12, y: 22, width: 56, height: 86 });
        assert!((inside / wanted - 1.0).abs() < 0.1, "{inside} {wanted}");
        assert!((60..90).all(|x| (0..90).all(|y| layer.get_pixel(x, y) == smooth.get_pixel(x, y))));
        let mut grainy = noisy(90, 9.0, 0.0);
        let before = grainy.clone();
        match_grain(&mut grainy, &target, rect, &opacity);
        assert_eq!(grainy, before);
    }

    #[test]
    fn an_edge_of_the_target_does_not_show_through() {
        let target = noisy(120, 1.0, 90.0);
        let rect = Rect { x: 0, y: 0, width: 120, height: 120 };
        let smooth = noisy(120, 0.0, 0.0);
        let mut layer = smooth.clone();
        match_grain(&mut layer, &target, rect, &vec![1.0; 120 * 120]);
        let change = |y: u32| {
            let at = |x: u32| f32::from(layer.get_pixel(x, y)[0]) - f32::from(smooth.get_pixel(x, y)[0]);
            (0..120).map(|x| at(x).abs()).fold(0.0, f32::max)
        };
        assert!(change(60) < 10.0 && change(61) < 10.0, "{} {}", change(60), change(61));
        assert!(change(30) > 0.0);
    }
}
