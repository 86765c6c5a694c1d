//! Gives a drawn face the grain of the video it is laid over: every drawing smooths the sensor's noise away, and its lack
//! would tell fakes (and null controls) from what was never drawn, in the pixels and in the size of the file.

use image::RgbImage;

use super::covered::median;
use super::warp::Rect;

/// The most of the target's grain that is laid on, in multiples of itself.
const MOST: f32 = 2.0;
/// Halvings of the interval in which the right amount is looked for.
const HALVINGS: usize = 8;
/// Fewest pixels that a grain is measured on.
const LEAST: usize = 64;
/// Steps of opacity whose grain is matched each by itself: the ramp of an edge in quarters, and what lies inside. Each has
/// its upper end, and the opacity that it stands for.
const STEPS: [(f32, f32); 5] = [(0.25, 0.125), (0.5, 0.375), (0.75, 0.625), (0.999, 0.875), (f32::INFINITY, 1.0)];

/// Adds so much of the target's own grain to `image`, over `rect` of which a layer of this `opacity` was laid, that it has
/// as much as it had `before` (the pixels of the rectangle, untouched).
///
/// The grain of a frame is what a 3 x 3 binomial filter takes from its luma, held to three times its usual size, so that
/// no edge of the target's face shows through. It is the noise of this very frame as the source's encoder left it, which
/// made noise is not. Compared is the mean size of the answer to Immerkaer's filter, in each of the [`STEPS`] by itself: a
/// blend of w and 1 - w of two grains that know nothing of each other has the root of w^2 + (1 - w)^2 of either, and one
/// of a smooth layer has 1 - w, so that an edge that fades in needs other amounts half way up than at its ends. From one
/// step to the next the amount goes over evenly. Where there is as much grain or more, none is added.
pub fn match_grain(image: &mut RgbImage, before: &RgbImage, rect: Rect, opacity: &[f32]) {
    let (w, h) = (rect.width as usize, rect.height as usize);
    let mut steps: [Vec<usize>; STEPS.len()] = Default::default();
    for i in inside([w, h]).filter(|&i| opacity[i] > 0.0) {
        let step = STEPS.iter().position(|(end, _)| opacity[i] <= *end).unwrap_or_default();
        steps[step].push(i);
    }
    let changed = steps.concat();
    if changed.len() < LEAST {
        return;
    }
    let after = image::imageops::crop_imm(image, rect.x, rect.y, rect.width, rect.height).to_image();
    let under = luma(before);
    let grain = grain(&under, &changed, [w, h]);
    let [has, wanted, adds] = [luma(&after), under, grain.clone()].map(|plane| noise(&plane, [w, h]));
    let mut amounts: Vec<(f32, f32)> = Vec::new();
    for (step, (_, opacity)) in steps.iter().zip(STEPS).filter(|(step, _)| step.len() >= LEAST) {
        let size = |answer: &dyn Fn(usize) -> f32| step.iter().map(|&i| answer(i).abs()).sum::<f32>();
        let wanted = size(&|i| wanted[i]);
        let (mut low, mut high) = (0.0, if size(&|i| has[i]) < wanted { MOST } else { 0.0 });
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            if size(&|i| has[i] + middle * adds[i]) < wanted { low = middle } else { high = middle }
        }
        amounts.push((opacity, low));
    }
    for (i, grain) in grain.iter().enumerate().filter(|(i, _)| opacity[*i] > 0.0) {
        let amount = between_steps(&amounts, opacity[i]);
        let pixel = image.get_pixel_mut(rect.x + (i % w) as u32, rect.y + (i / w) as u32);
        pixel.0 = pixel.0.map(|v| (f32::from(v) + amount * grain).round().clamp(0.0, 255.0) as u8);
    }
}

/// The amount at an opacity: none at 0, what was found at the steps, in between on the line from one to the next.
fn between_steps(amounts: &[(f32, f32)], opacity: f32) -> f32 {
    let mut from = (0.0, 0.0);
    for &to in amounts {
        if opacity <= to.0 {
            return from.1 + (opacity - from.0) / (to.0 - from.0) * (to.1 - from.1);
        }
        from = to;
    }
    from.1
}

/// ITU-R BT.601.
fn luma(image: &RgbImage) -> Vec<f32> {
    image.pixels().map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])).collect()
}

/// The answer to a difference of two Laplacians (Immerkaer, "Fast Noise Variance Estimation", Computer Vision and Image
/// Understanding 64, 1996), which the picture itself hardly gives; 0 at the border. In a unit of its own.
fn noise(plane: &[f32], [w, h]: [usize; 2]) -> Vec<f32> {
    let edge = |i: usize| plane[i - 1] - 2.0 * plane[i] + plane[i + 1];
    let mut answer = vec![0.0; plane.len()];
    for i in inside([w, h]) {
        answer[i] = edge(i - w) - 2.0 * edge(i) + edge(i + w);
    }
    answer
}

/// The pixels that are not at the border, row by row.
fn inside([w, h]: [usize; 2]) -> impl Iterator<Item = usize> {
    (1..h.saturating_sub(1)).flat_map(move |y| y * w + 1..(y * w + w).saturating_sub(1))
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
    let most = 3.0 * 1.4826 * median(counts.iter().map(|&i| grain[i].abs()).collect());
    grain.into_iter().map(|v| v.clamp(-most, most)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::blend::lay_over;
    use super::*;
    use image::GrayImage;

    const SIDE: u32 = 160;
    const WHOLE: Rect = Rect { x: 0, y: 0, width: SIDE, height: SIDE };

    /// A slope with normal noise of this deviation (each four uniform bytes), and an edge of the height `edge`.
    fn noisy(seed: &str, sigma: f32, edge: f32) -> RgbImage {
        let mut bytes = vec![0; 4 * (SIDE * SIDE) as usize];
        blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
        RgbImage::from_fn(SIDE, SIDE, |x, y| {
            let four = &bytes[4 * (y * SIDE + x) as usize..][..4];
            let noise = sigma * (four.iter().map(|&b| f32::from(b)).sum::<f32>() - 510.0) / 147.8;
            let step = if y > SIDE / 2 { edge } else { 0.0 };
            image::Rgb([(60.0 + x as f32 / 2.0 + step + noise).round() as u8; 3])
        })
    }

    /// Mean size of Immerkaer's answer in these columns.
    fn noise_of(image: &RgbImage, columns: std::ops::Range<u32>) -> f32 {
        let answer = noise(&luma(image), [SIDE as usize; 2]);
        let inside = (1..SIDE - 1).flat_map(|y| columns.clone().map(move |x| (y * SIDE + x) as usize));
        inside.map(|i| answer[i].abs()).sum::<f32>() / ((SIDE - 2) * columns.len() as u32) as f32
    }

    /// `layer` over `target` with this opacity in each column.
    fn laid(target: &RgbImage, layer: &RgbImage, opacity: impl Fn(u32) -> f32) -> RgbImage {
        let opacity: Vec<f32> = (0..SIDE * SIDE).map(|i| opacity(i % SIDE)).collect();
        let mut image = target.clone();
        lay_over(&mut image, &mut GrayImage::new(SIDE, SIDE), layer, WHOLE, &opacity);
        match_grain(&mut image, target, WHOLE, &opacity);
        image
    }

    #[test]
    fn every_step_of_a_soft_edge_has_the_targets_grain_and_nothing_else_is_touched() {
        let target = noisy("target", 4.0, 0.0);
        // Nothing up to column 20, then a ramp of 100 columns, then all.
        let opacity = |x: u32| ((x as f32 - 20.0) / 100.0).clamp(0.0, 1.0);
        for (layer, before) in [(noisy("smooth", 0.0, 0.0), 0.6), (noisy("other", 4.0, 0.0), 0.8)] {
            let image = laid(&target, &layer, opacity);
            assert!((0..=20).all(|x| (0..SIDE).all(|y| image.get_pixel(x, y) == target.get_pixel(x, y))));
            for from in (25..145).step_by(20) {
                let columns = from..from + 15;
                let (has, wanted) = (noise_of(&image, columns.clone()), noise_of(&target, columns));
                assert!((has / wanted - 1.0).abs() < 0.08, "{from}: {has} and {wanted}");
            }
            // Without it half the ramp lacks much.
            let mut plain = target.clone();
            let half = vec![0.5; (SIDE * SIDE) as usize];
            lay_over(&mut plain, &mut GrayImage::new(SIDE, SIDE), &layer, WHOLE, &half);
            assert!(noise_of(&plain, 1..SIDE - 1) < before * noise_of(&target, 1..SIDE - 1));
        }
    }

    #[test]
    fn a_layer_of_more_grain_is_left_as_it_is() {
        let (target, grainy) = (noisy("target", 4.0, 0.0), noisy("grainy", 9.0, 0.0));
        assert_eq!(laid(&target, &grainy, |_| 1.0), grainy);
    }

    #[test]
    fn an_edge_of_the_target_does_not_show_through() {
        let (target, smooth) = (noisy("target", 1.0, 90.0), noisy("smooth", 0.0, 0.0));
        let image = laid(&target, &smooth, |_| 1.0);
        let change = |y: u32| {
            let at = |x: u32| f32::from(image.get_pixel(x, y)[0]) - f32::from(smooth.get_pixel(x, y)[0]);
            (0..SIDE).map(|x| at(x).abs()).fold(0.0, f32::max)
        };
        assert!(change(80) < 10.0 && change(81) < 10.0, "{} {}", change(80), change(81));
        assert!(change(30) > 0.0);
    }
}
