//! Pictures as bands of detail: blending band by band, a decoder's residue, and the smooth surface over a border.

use image::RgbImage;

/// A picture of three channels as numbers, 0 to 255 where it is one of colours.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// Width in pixels, at least 1.
    pub width: usize,
    /// Height in pixels, at least 1.
    pub height: usize,
    /// Pixels row by row.
    pub pixels: Vec<[f32; 3]>,
}

fn zip(a: [f32; 3], b: [f32; 3], f: impl Fn(f32, f32) -> f32) -> [f32; 3] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2])]
}

impl Plane {
    /// A picture whose pixels are `pixel(x, y)`.
    pub fn from_fn(width: usize, height: usize, mut pixel: impl FnMut(usize, usize) -> [f32; 3]) -> Self {
        let pixels = (0..width * height).map(|i| pixel(i % width, i / width)).collect();
        Self { width, height, pixels }
    }

    /// A picture's colours.
    pub fn from_image(image: &RgbImage) -> Self {
        let pixels = image.pixels().map(|p| p.0.map(f32::from)).collect();
        Self { width: image.width() as usize, height: image.height() as usize, pixels }
    }

    /// The colours rounded and held to 0 to 255.
    pub fn to_image(&self) -> RgbImage {
        let size = (self.width as u32, self.height as u32);
        RgbImage::from_fn(size.0, size.1, |x, y| {
            image::Rgb(self.pixels[(y * size.0 + x) as usize].map(|v| v.round().clamp(0.0, 255.0) as u8))
        })
    }

    /// `f(own, other)` of each pixel and channel; both are of one size.
    pub fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let pixels = self.pixels.iter().zip(&other.pixels).map(|(&a, &b)| zip(a, b, &f)).collect();
        Self { pixels, ..*self }
    }

    fn at(&self, x: isize, y: isize) -> [f32; 3] {
        let x = x.clamp(0, self.width as isize - 1) as usize;
        let y = y.clamp(0, self.height as isize - 1) as usize;
        self.pixels[y * self.width + x]
    }

    fn is_small(&self) -> bool {
        self.width.min(self.height) < 4
    }

    /// Half the size (rounded up), low-passed by the binomial (1, 4, 6, 4, 1) / 16 in both directions.
    pub fn shrunk(&self) -> Self {
        const TAPS: [f32; 5] = [0.0625, 0.25, 0.375, 0.25, 0.0625];
        let filtered = |pixel: &dyn Fn(isize) -> [f32; 3]| {
            (0..5).fold([0.0; 3], |sum, k| zip(sum, pixel(k as isize - 2), |s, p| s + TAPS[k] * p))
        };
        let rows = Self::from_fn(self.width.div_ceil(2), self.height, |x, y| {
            filtered(&|k| self.at(2 * x as isize + k, y as isize))
        });
        Self::from_fn(rows.width, self.height.div_ceil(2), |x, y| {
            filtered(&|k| rows.at(x as isize, 2 * y as isize + k))
        })
    }

    /// Enlarged bilinearly to `width` x `height`: twice its own size, or a pixel less.
    pub fn grown(&self, width: usize, height: usize) -> Self {
        Self::from_fn(width, height, |x, y| {
            let (x0, y0) = ((x / 2) as isize, (y / 2) as isize);
            let across = |y| if x % 2 == 0 { self.at(x0, y) } else { zip(self.at(x0, y), self.at(x0 + 1, y), mean) };
            if y % 2 == 0 { across(y0) } else { zip(across(y0), across(y0 + 1), mean) }
        })
    }

    /// Without the details smaller than about 2^`levels` pixels.
    pub fn smoothed(&self, levels: usize) -> Self {
        if levels == 0 || self.is_small() {
            return self.clone();
        }
        self.shrunk().smoothed(levels - 1).grown(self.width, self.height)
    }

    /// The picture as a decoder of `levels` transposed convolutions of stride 2 would paint it: built from coarse to
    /// fine, each enlargement multiplying its four phases by 1 + `residue` times a fixed number of mean 0. That is the
    /// uneven overlap which Odena et al., "Deconvolution and Checkerboard Artifacts" (Distill, 2016) describe: a
    /// pattern of periods 2, 4, ... 2^`levels` pixels. 0 gives the picture back.
    pub fn decoded(&self, levels: usize, residue: f32) -> Self {
        const PHASES: [f32; 4] = [1.0, -0.6, -0.9, 0.5];
        if levels == 0 || self.is_small() {
            return self.clone();
        }
        let small = self.shrunk();
        let detail = self.zip(&small.grown(self.width, self.height), |own, coarse| own - coarse);
        let mut painted = small.decoded(levels - 1, residue).grown(self.width, self.height);
        for (i, pixel) in painted.pixels.iter_mut().enumerate() {
            let gain = 1.0 + residue * PHASES[i / self.width % 2 * 2 + i % self.width % 2];
            *pixel = pixel.map(|v| v * gain);
        }
        painted.zip(&detail, |painted, detail| painted + detail)
    }
}

fn mean(a: f32, b: f32) -> f32 {
    0.5 * (a + b)
}

/// Lays `over` over `under` band by band, each with the opacity (0 to 1, the same in all channels) low-passed to the
/// band's scale: Burt and Adelson, "A Multiresolution Spline with Application to Image Mosaics", ACM Transactions on
/// Graphics 2(4), 1983. All three are of one size. Band 0 is the finest, band `levels` what is left when the others
/// are taken away; `share(band)`, 0 to 1, says how much of `over` it takes where the opacity is 1.
pub fn blend_bands(under: &Plane, over: &Plane, opacity: &Plane, levels: usize, share: &dyn Fn(usize) -> f32) -> Plane {
    blend_from(0, under, over, opacity, levels, share)
}

fn blend_from(
    band: usize,
    under: &Plane,
    over: &Plane,
    opacity: &Plane,
    levels: usize,
    share: &dyn Fn(usize) -> f32,
) -> Plane {
    let last = band == levels || under.is_small();
    let share_here = share(if last { levels } else { band });
    let mixed = |under: &Plane, over: &Plane| {
        let mut mixed = under.zip(over, |u, o| o - u);
        for ((m, u), alpha) in mixed.pixels.iter_mut().zip(&under.pixels).zip(&opacity.pixels) {
            *m = zip(*u, *m, |u, difference| u + share_here * alpha[0] * difference);
        }
        mixed
    };
    if last {
        return mixed(under, over);
    }
    let (under_small, over_small) = (under.shrunk(), over.shrunk());
    let coarse = blend_from(band + 1, &under_small, &over_small, &opacity.shrunk(), levels, share);
    let (width, height) = (under.width, under.height);
    let detail = |own: &Plane, small: &Plane| own.zip(&small.grown(width, height), |a, b| a - b);
    let detail = mixed(&detail(under, &under_small), &detail(over, &over_small));
    coarse.grown(width, height).zip(&detail, |a, b| a + b)
}

/// What is known of a pixel's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Its value is given.
    Given,
    /// Its value is wanted.
    Wanted,
    /// It lies outside; nothing flows through it.
    Outside,
}

/// Fills the wanted pixels with the smoothest surface through the given ones: each becomes the mean of its four
/// neighbours (Laplace's equation), as in Pérez et al., "Poisson Image Editing" (SIGGRAPH 2003). Solved from coarse
/// to fine by over-relaxation; what is left of the error is below half a grey level.
pub fn membrane(values: &mut Plane, known: &[Known]) {
    const SWEEPS: usize = 32;
    const OVER_RELAXATION: f32 = 1.7;
    if !known.contains(&Known::Wanted) {
        return;
    }
    let (width, height) = (values.width, values.height);
    if values.is_small() {
        let given: Vec<[f32; 3]> =
            values.pixels.iter().zip(known).filter(|(_, k)| **k == Known::Given).map(|(p, _)| *p).collect();
        let n = given.len().max(1) as f32;
        let mean = given.iter().fold([0.0; 3], |s, &p| zip(s, p, |s, p| s + p / n));
        for (pixel, _) in values.pixels.iter_mut().zip(known).filter(|(_, k)| **k == Known::Wanted) {
            *pixel = mean;
        }
    } else {
        // A coarse cell is given where one of its pixels is, wanted where one is and none is given.
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let children = |x: usize, y: usize| {
            let rows = 2 * y..(2 * y + 2).min(height);
            rows.flat_map(move |y| (2 * x..(2 * x + 2).min(width)).map(move |x| y * width + x))
        };
        let mut coarse_known = Vec::with_capacity(half_width * half_height);
        let mut coarse = Plane::from_fn(half_width, half_height, |x, y| {
            let given: Vec<usize> = children(x, y).filter(|&i| known[i] == Known::Given).collect();
            let wanted = children(x, y).any(|i| known[i] == Known::Wanted);
            coarse_known.push(match (given.is_empty(), wanted) {
                (false, _) => Known::Given,
                (true, true) => Known::Wanted,
                (true, false) => Known::Outside,
            });
            let n = given.len().max(1) as f32;
            given.iter().fold([0.0; 3], |s, &i| zip(s, values.pixels[i], |s, v| s + v / n))
        });
        membrane(&mut coarse, &coarse_known);
        for i in (0..known.len()).filter(|&i| known[i] == Known::Wanted) {
            values.pixels[i] = coarse.pixels[i / width / 2 * half_width + i % width / 2];
        }
    }
    for _ in 0..SWEEPS {
        for i in (0..known.len()).filter(|&i| known[i] == Known::Wanted) {
            let (x, y) = (i % width, i / width);
            let neighbours = [
                (x > 0).then(|| i - 1),
                (x + 1 < width).then_some(i + 1),
                (y > 0).then(|| i.wrapping_sub(width)),
                (y + 1 < height).then_some(i + width),
            ];
            let (mut sum, mut n) = ([0.0; 3], 0.0_f32);
            for j in neighbours.into_iter().flatten().filter(|&j| known[j] != Known::Outside) {
                sum = zip(sum, values.pixels[j], |s, v| s + v);
                n += 1.0;
            }
            if n > 0.0 {
                values.pixels[i] = zip(values.pixels[i], sum, |v, s| v + OVER_RELAXATION * (s / n - v));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Plane {
        Plane::from_fn(width, height, |x, y| [(x * 7 % 50) as f32, (y * 11 % 90) as f32, ((x * y) % 200) as f32])
    }

    fn largest_difference(a: &Plane, b: &Plane) -> f32 {
        a.zip(b, |a, b| (a - b).abs()).pixels.iter().flatten().copied().fold(0.0, f32::max)
    }

    #[test]
    fn full_opacity_is_the_upper_picture_and_none_the_lower() {
        let (under, over) = (picture(37, 50), Plane::from_fn(37, 50, |x, y| [200.0, x as f32, y as f32]));
        for (alpha, expected) in [(1.0, &over), (0.0, &under)] {
            let opacity = Plane::from_fn(37, 50, |_, _| [alpha; 3]);
            let blended = blend_bands(&under, &over, &opacity, 4, &|_| 1.0);
            assert!(largest_difference(&blended, expected) < 1e-3);
        }
    }

    #[test]
    fn bands_can_be_kept_from_the_lower_picture() {
        let (under, over) = (
            Plane::from_fn(64, 64, |_, _| [80.0; 3]),
            Plane::from_fn(64, 64, |x, _| [if x % 2 == 0 { 130.0 } else { 110.0 }; 3]),
        );
        let opacity = Plane::from_fn(64, 64, |_, _| [1.0; 3]);
        // Only the finest band: the stripes without the mean.
        let blended = blend_bands(&under, &over, &opacity, 4, &|band| if band == 0 { 1.0 } else { 0.0 });
        let middle = &blended.pixels[32 * 64 + 20..32 * 64 + 40];
        let mean = middle.iter().map(|p| p[0]).sum::<f32>() / middle.len() as f32;
        assert!((mean - 80.0).abs() < 1.0, "{mean}");
        assert!((middle[0][0] - middle[1][0]).abs() > 10.0);
    }

    #[test]
    fn a_decoder_without_residue_changes_nothing_and_one_with_it_leaves_a_pattern_of_mean_zero() {
        let flat = Plane::from_fn(64, 64, |_, _| [100.0; 3]);
        assert!(largest_difference(&picture(64, 48).decoded(3, 0.0), &picture(64, 48)) < 1e-3);
        let painted = flat.decoded(3, 0.05);
        let mean = painted.pixels.iter().map(|p| p[0]).sum::<f32>() / 4096.0;
        assert!((mean - 100.0).abs() < 0.5, "{mean}");
        // The same pattern every eight pixels.
        let at = |x: usize, y: usize| painted.pixels[y * 64 + x][0];
        assert!((at(16, 16) - at(24, 32)).abs() < 1e-3);
        assert!((at(16, 16) - at(17, 16)).abs() > 2.0);
    }

    #[test]
    fn a_membrane_between_two_edges_is_a_ramp() {
        // Given at the left and right edge, nothing flows out above and below: the solution is linear.
        let (width, height) = (41, 23);
        let mut values =
            Plane::from_fn(width, height, |x, _| if x == 0 { [10.0, 0.0, 5.0] } else { [50.0, -20.0, 5.0] });
        let known: Vec<Known> = (0..width * height)
            .map(|i| if i % width == 0 || i % width == width - 1 { Known::Given } else { Known::Wanted })
            .collect();
        membrane(&mut values, &known);
        for (i, pixel) in values.pixels.iter().enumerate() {
            let t = (i % width) as f32 / (width - 1) as f32;
            let expected = [10.0 + 40.0 * t, -20.0 * t, 5.0];
            let error = zip(*pixel, expected, |a, b| (a - b).abs());
            assert!(error.iter().all(|e| *e < 0.5), "{i}: {pixel:?}, expected {expected:?}");
        }
    }
}
