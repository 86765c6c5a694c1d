//! Skin as a texture: colour, pores, freckles, brows, lips, and how the pulse shows in it.

use std::sync::OnceLock;

use rayon::prelude::*;

use crate::canonical::{MIRROR, TRIANGLES, UV, VERTICES};
use crate::config::SubjectConfig;
use crate::hair;
use crate::head::Head;
use crate::landmarks::{BROW_LOWER, BROW_UPPER, LIPS_OUTER};
use crate::math::{V3, bell_at, colour, exp, mix, mix3, smoothstep, v3};
use crate::random::{Draws, fractal3, hash, noise3, slope3};

/// The face's texture has this many texels on each side: 27 for a centimetre.
const FACE: usize = 512;
/// The skull's texture, around and from the outline to the back.
const SKULL: (usize, usize) = (512, 192);

/// The neck's, around and down.
const NECK: (usize, usize) = (256, 128);

/// Skin at one place.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Texel {
    /// Share of light given back, in linear red, green and blue.
    pub albedo: V3,
    /// How the surface rises, in the head's own directions.
    pub bump: V3,
    /// Blood supply, 0 to 1: the pulse's relative amplitude.
    pub perfusion: f32,
    /// Seconds after the pulse's first arrival.
    pub delay: f32,
    /// How much it shines, about 1.
    pub gloss: f32,
}

impl Texel {
    fn mix(a: &Texel, b: &Texel, t: f32) -> Texel {
        Texel {
            albedo: mix3(a.albedo, b.albedo, t),
            bump: mix3(a.bump, b.bump, t),
            perfusion: mix(a.perfusion, b.perfusion, t),
            delay: mix(a.delay, b.delay, t),
            gloss: mix(a.gloss, b.gloss, t),
        }
    }
}

/// A grid of texels.
#[derive(Debug)]
pub(crate) struct Texture {
    width: usize,
    height: usize,
    texels: Vec<Texel>,
}

impl Texture {
    /// Between the four nearest; u goes round, v stops at its ends.
    pub fn at(&self, u: f32, v: f32) -> Texel {
        let x = (u - u.floor()) * self.width as f32 - 0.5;
        let y = (v.clamp(0.0, 1.0) * self.height as f32 - 0.5).max(0.0);
        let x = if x < 0.0 { x + self.width as f32 } else { x };
        let (i, j) = (x as usize % self.width, y as usize);
        let (fx, fy) = (x - x.floor(), y - j as f32);
        let (i1, j1) = ((i + 1) % self.width, (j + 1).min(self.height - 1));
        let row = |j: usize| Texel::mix(&self.texels[j * self.width + i], &self.texels[j * self.width + i1], fx);
        Texel::mix(&row(j), &row(j1), fy)
    }

    fn new(width: usize, height: usize, texel: impl Fn(usize) -> Texel + Sync + Send) -> Self {
        Self { width, height, texels: (0..width * height).into_par_iter().with_min_len(4096).map(texel).collect() }
    }

    /// Changes every texel within `width` (in texture units) of a line; the weight is 1 on it and 0 at its edge.
    fn stroke(&mut self, line: &[[f32; 2]], width: f32, mut change: impl FnMut(&mut Texel, f32)) {
        let size = self.width as f32;
        let bounds = |axis: usize| {
            let low = line.iter().map(|p| p[axis]).fold(f32::INFINITY, f32::min) - width;
            let high = line.iter().map(|p| p[axis]).fold(f32::NEG_INFINITY, f32::max) + width;
            ((low * size).max(0.0) as usize, ((high * size) as usize + 1).min(self.width - 1))
        };
        let ((x0, x1), (y0, y1)) = (bounds(0), bounds(1));
        for y in y0..=y1 {
            for x in x0..=x1 {
                let p = [(x as f32 + 0.5) / size, (y as f32 + 0.5) / size];
                let distance = match line {
                    [only] => ((p[0] - only[0]).powi(2) + (p[1] - only[1]).powi(2)).sqrt(),
                    _ => line.windows(2).map(|s| to_segment(p, s[0], s[1])).fold(f32::INFINITY, f32::min),
                };
                if distance < width {
                    change(&mut self.texels[y * self.width + x], smoothstep(width, 0.0, distance));
                }
            }
        }
    }

    /// Changes every texel in a polygon, its edge blurred over `feather` to both sides.
    fn fill(&mut self, polygon: &[[f32; 2]], feather: f32, mut change: impl FnMut(&mut Texel, f32)) {
        let size = self.width as f32;
        let mut closed = polygon.to_vec();
        closed.push(polygon[0]);
        let low = |axis: usize| polygon.iter().map(|p| p[axis]).fold(f32::INFINITY, f32::min) - feather;
        let high = |axis: usize| polygon.iter().map(|p| p[axis]).fold(f32::NEG_INFINITY, f32::max) + feather;
        for y in (low(1) * size) as usize..=((high(1) * size) as usize).min(self.height - 1) {
            for x in (low(0) * size) as usize..=((high(0) * size) as usize).min(self.width - 1) {
                let p = [(x as f32 + 0.5) / size, (y as f32 + 0.5) / size];
                let mut distance = f32::INFINITY;
                let mut inside = false;
                for s in closed.windows(2) {
                    distance = distance.min(to_segment(p, s[0], s[1]));
                    if (s[0][1] <= p[1]) != (s[1][1] <= p[1]) {
                        let cross = s[0][0] + (p[1] - s[0][1]) / (s[1][1] - s[0][1]) * (s[1][0] - s[0][0]);
                        inside ^= p[0] < cross;
                    }
                }
                let weight = smoothstep(-feather, feather, if inside { distance } else { -distance });
                if weight > 0.0 {
                    change(&mut self.texels[y * self.width + x], weight);
                }
            }
        }
    }
}

fn to_segment(p: [f32; 2], a: [f32; 2], b: [f32; 2]) -> f32 {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let squared = (dx * dx + dy * dy).max(1e-12);
    let t = (((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / squared).clamp(0.0, 1.0);
    let (x, y) = (p[0] - a[0] - t * dx, p[1] - a[1] - t * dy);
    (x * x + y * y).sqrt()
}

/// Melanin for each tone of the Monk scale, in the units of [`skin_colour`].
const MELANIN: [f32; 10] = [0.0, 0.12, 0.26, 0.43, 0.66, 1.02, 1.4, 1.85, 2.35, 2.85];

/// Colour of skin by how much melanin and blood absorb (the law of Beer and Lambert, one layer each).
fn skin_colour(melanin: f32, blood: f32) -> V3 {
    let base = v3(0.72, 0.56, 0.48);
    let channel = |base: f32, m: f32, b: f32| base * exp(-m * melanin - b * blood);
    v3(channel(base.x, 0.74, 0.04), channel(base.y, 1.0, 0.42), channel(base.z, 1.18, 0.34))
}

/// The pulse at a place of the canonical head: blood supply 0 to 1 and delay in seconds.
///
/// Strongest on the forehead and the cheeks; it arrives over the cheeks first and travels up and to the middle, with
/// small differences from place to place.
pub(crate) fn pulse_at(p: V3, seed: u64) -> (f32, f32) {
    let half = v3(p.x.abs(), p.y, p.z);
    let forehead = bell_at(half, v3(0.0, 6.6, 4.8), 2.6);
    let cheek = bell_at(half, v3(4.2, -0.8, 3.6), 1.9);
    let nose = bell_at(half, v3(0.0, -0.6, 7.2), 1.4);
    let perfusion =
        0.35 + 0.6 * forehead.max(cheek) + 0.15 * nose + 0.06 * fractal3(p * 0.4, 2, hash(seed ^ 31) as u32);
    let delay = 0.012
        + 0.0035 * (p.y + 3.0).max(0.0)
        + 0.004 * (6.0 - half.x).clamp(0.0, 6.0) * 0.5
        + 0.006 * noise3(p * 0.25, hash(seed ^ 32) as u32);
    (perfusion.clamp(0.0, 1.0), delay.max(0.0))
}

/// Skin by itself, without what is drawn on it. `fine` is 1 where pores can be resolved.
fn skin(p: V3, config: &SubjectConfig, fine: f32) -> Texel {
    let s = &config.skin;
    let seed = hash(config.seed) as u32;
    let half = v3(p.x.abs(), p.y, p.z);
    let tone = usize::from(config.tone.clamp(1, 10) - 1);
    let mottle = fractal3(p * 0.55, 3, seed);
    let blotch = smoothstep(0.1, 0.55, fractal3(p * 0.9, 3, seed ^ 0x51));
    let grain = noise3(p * 6.0, seed ^ 0x52) + 0.7 * noise3(p * 12.0, seed ^ 0x53) * fine;
    let under_eye = bell_at(half, v3(2.9, 1.5, 3.6), 0.8);
    let melanin = MELANIN[tone] * (1.0 + 0.10 * mottle + 0.05 * grain)
        + 0.05 * grain
        + 0.10 * s.blotches * blotch
        + 0.16 * under_eye
        - 0.06 * MELANIN[tone] * bell_at(half, v3(3.8, -0.5, 4.0), 2.5);
    let flush = bell_at(half, v3(4.3, -1.0, 3.9), 1.7)
        + 0.9 * bell_at(half, v3(0.0, -0.9, 7.0), 1.2)
        + 0.5 * bell_at(half, v3(0.0, -7.6, 5.0), 1.3)
        + 0.8 * bell_at(half, v3(7.8, 1.0, -3.0), 1.8);
    let blood = 0.25 + 0.75 * s.redness * flush + 0.18 * s.redness * blotch + 0.15 * mottle + 0.12 * grain;
    // Light gets less far into folds and hollows.
    let hollow = 1.0
        - 0.30 * bell_at(half, v3(1.75, 2.3, 3.7), 0.55)
        - 0.18 * bell_at(half, v3(3.1, 3.2, 3.9), 0.75)
        - 0.16 * bell_at(half, v3(0.0, -6.05, 5.0), 0.55)
        - 0.20 * bell_at(half, v3(1.75, -1.5, 4.9), 0.5)
        - 0.12 * bell_at(half, v3(2.5, -4.35, 4.2), 0.35)
        - 0.22 * smoothstep(-8.9, -10.5, p.y);
    let mut bump = slope3(p * 4.0, seed ^ 0x62) * 0.035;
    if fine > 0.0 {
        bump += slope3(p * 9.0, seed ^ 0x61) * (0.05 * fine);
    }
    let furrowed = 0.16 * s.lines * smoothstep(5.0, 6.2, p.y);
    if furrowed > 0.0 {
        let lines = v3(p.x * 0.5, p.y * 2.6 + 0.4 * noise3(p * 0.7, seed ^ 0x63), p.z * 0.5);
        bump += slope3(lines, seed ^ 0x64) * furrowed;
    }
    let (perfusion, delay) = pulse_at(p, config.seed);
    let oily = bell_at(half, v3(0.0, 6.5, 5.0), 2.2)
        + bell_at(half, v3(0.0, 0.0, 7.3), 1.3)
        + 0.5 * bell_at(half, v3(3.9, 0.4, 4.0), 1.3);
    Texel {
        albedo: skin_colour(melanin.max(0.0), blood.max(0.0)) * hollow,
        bump,
        perfusion,
        delay,
        gloss: (0.45 + 0.7 * s.shine * (0.4 + oily)) * (1.0 + 0.25 * grain),
    }
}

/// The canonical place of every texel of the face; outside the face, that of the nearest one inside.
fn face_places() -> &'static [V3] {
    static PLACES: OnceLock<Vec<V3>> = OnceLock::new();
    PLACES.get_or_init(|| {
        let mut places: Vec<Option<V3>> = vec![None; FACE * FACE];
        for t in &TRIANGLES {
            let [a, b, c] = t.map(|v| UV[usize::from(v)].map(|x| x * FACE as f32));
            let [p, q, r] = t.map(|v| V3::from(VERTICES[usize::from(v)]));
            let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
            if area.abs() < 1e-6 {
                continue;
            }
            let low = |i: usize| a[i].min(b[i]).min(c[i]).max(0.0) as usize;
            let high = |i: usize| (a[i].max(b[i]).max(c[i]) as usize + 1).min(FACE - 1);
            for y in low(1)..=high(1) {
                for x in low(0)..=high(0) {
                    let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
                    let v = ((px - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (py - a[1])) / area;
                    let w = ((b[0] - a[0]) * (py - a[1]) - (px - a[0]) * (b[1] - a[1])) / area;
                    if v >= -1e-4 && w >= -1e-4 && v + w <= 1.0001 {
                        places[y * FACE + x] = Some(p * (1.0 - v - w) + q * v + r * w);
                    }
                }
            }
        }
        // Grow over the outline, a ring of texels each time.
        while places.iter().any(Option::is_none) {
            let before = places.clone();
            for y in 0..FACE {
                for x in 0..FACE {
                    if before[y * FACE + x].is_none() {
                        let near = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
                        places[y * FACE + x] =
                            near.iter().filter(|(x, y)| *x < FACE && *y < FACE).find_map(|(x, y)| before[y * FACE + x]);
                    }
                }
            }
        }
        places.into_iter().flatten().collect()
    })
}

/// The skull's texture.
pub(crate) fn skull_texture(config: &SubjectConfig, head: &Head) -> Texture {
    // The rings of the canonical skull lie in the texture as rows of a grid.
    let rings: Vec<V3> = head.skull_rest();
    let rim = crate::landmarks::FACE_OVAL.len();
    let rows = rings.len() / rim;
    let (width, height) = SKULL;
    let shaved = colour_of(config.hair.colour);
    Texture::new(width, height, |index| {
        let u = ((index % width) as f32 + 0.5) / width as f32 * rim as f32;
        let v = ((index / width) as f32 + 0.5) / height as f32 * (rows - 1) as f32;
        let (i, j) = (u as usize, (v as usize).min(rows - 1));
        let (fu, fv) = (u - i as f32, v - j as f32);
        let at = |i: usize, j: usize| rings[j.min(rows - 1) * rim + i % rim];
        let p = mix3(mix3(at(i, j), at(i + 1, j), fu), mix3(at(i, j + 1), at(i + 1, j + 1), fu), fv);
        let mut texel = skin(p, config, 0.0);
        // Where hair would grow, its roots show.
        let growth = hair::growth(p, &config.hair);
        let roots = if growth.thickness > 0.0 { 0.75 } else { 0.12 };
        texel.albedo = mix3(texel.albedo, shaved, roots * smoothstep(-0.2, 1.0, growth.inside));
        texel
    })
}

/// The skin of neck and ears: around the neck, and from the chin down to the collar.
pub(crate) fn neck_texture(config: &SubjectConfig) -> Texture {
    let (width, height) = NECK;
    Texture::new(width, height, |index| {
        let a = ((index % width) as f32 + 0.5) / width as f32 * std::f32::consts::TAU;
        let y = -3.0 - 21.0 * ((index / width) as f32 + 0.5) / height as f32;
        // Not the chin's own hollow.
        let p = v3(crate::math::sin(a) * 6.0, y, crate::math::cos(a) * 6.0 - 20.0);
        let mut texel = skin(p, config, 0.0);
        texel.albedo = texel.albedo * 1.2;
        texel
    })
}

fn colour_of([r, g, b]: [u8; 3]) -> V3 {
    colour(u32::from(r) << 16 | u32::from(g) << 8 | u32::from(b))
}

/// The face's texture.
pub(crate) fn face_texture(config: &SubjectConfig) -> Texture {
    let places = face_places();
    let s = config.skin;
    let seed = hash(config.seed) as u32;
    let hair_colour = colour_of(config.hair.colour);
    let mut t = Texture::new(FACE, FACE, |i| {
        let p = places[i];
        let mut texel = skin(p, config, 1.0);
        // Stubble: a shadow with grains.
        let beard = smoothstep(-0.3, 1.0, hair::beard(p, 1.0, 1.0).inside);
        let grain = smoothstep(-0.2, 0.5, noise3(p * 13.0, seed ^ 0x71));
        let cover = beard * (s.stubble * (0.22 + 0.33 * grain) + if config.beard > 0.0 { 0.35 } else { 0.0 });
        texel.albedo = mix3(texel.albedo, hair_colour, cover.min(0.9));
        texel.perfusion *= 1.0 - 0.6 * cover;
        texel
    });
    let uv = |i: usize| UV[i];
    let both = |line: &[usize]| {
        let mirrored = line.iter().map(|&i| UV[usize::from(MIRROR[i])]).collect::<Vec<_>>();
        [line.iter().map(|&i| uv(i)).collect::<Vec<_>>(), mirrored]
    };
    let darken = |by: f32| move |t: &mut Texel, w: f32| t.albedo = t.albedo * (1.0 - by * w);
    let mut d = Draws::new(config.seed, 20);

    // Freckles and moles.
    for _ in 0..(s.freckles * 260.0) as usize + 4 {
        let at = [0.5 + d.normal() * 0.16, 0.50 + d.normal() * 0.09];
        let mole = d.chance(0.02);
        let (size, strength) =
            if mole { (d.range(0.006, 0.01), 0.6) } else { (d.range(0.002, 0.0055), d.range(0.12, 0.4)) };
        t.stroke(&[at], size, |t, w| {
            t.albedo = t.albedo.times(v3(1.0 - 0.55 * strength * w, 1.0 - 0.8 * strength * w, 1.0 - strength * w));
        });
    }

    // Lips: more blood, less melanin, a wet shine; darker where they meet.
    let lips: Vec<[f32; 2]> = LIPS_OUTER.iter().map(|&i| uv(i)).collect();
    let dark = MELANIN[usize::from(config.tone.clamp(1, 10) - 1)];
    let red = v3(1.0 - 0.10 * s.lip_colour, 0.72 - 0.16 * s.lip_colour, 0.76 - 0.14 * s.lip_colour);
    let red = mix3(red, v3(1.02, 0.84, 0.86), smoothstep(1.2, 2.8, dark));
    t.fill(&lips, 0.009, |t, w| {
        t.albedo = mix3(t.albedo, t.albedo.times(red), w);
        t.gloss += w * 0.5;
        t.perfusion = mix(t.perfusion, 0.6, w);
        t.bump = t.bump * (1.0 - 0.5 * w);
    });
    let inner: Vec<usize> = vec![78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308];
    t.stroke(&inner.iter().map(|&i| uv(i)).collect::<Vec<_>>(), 0.014, darken(0.45));
    let inner: Vec<usize> = vec![78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308];
    t.stroke(&inner.iter().map(|&i| uv(i)).collect::<Vec<_>>(), 0.012, darken(0.4));

    // Nostrils and the crease beside them.
    for line in both(&[79, 166, 75, 20]) {
        let middle = [
            line.iter().map(|p| p[0]).sum::<f32>() / line.len() as f32,
            line.iter().map(|p| p[1]).sum::<f32>() / line.len() as f32,
        ];
        t.stroke(&[middle], 0.019, darken(0.95));
        t.stroke(&[middle], 0.013, darken(0.8));
    }
    for line in both(&[49, 209, 129, 98]) {
        t.stroke(&line, 0.014, darken(0.28));
    }
    // The fold from the nose to the mouth, the fold of the upper lid, the roots of the lashes.
    for line in both(&[129, 203, 206, 216]) {
        t.stroke(&line, 0.022, darken(0.04 + 0.14 * s.lines));
    }
    for line in both(&[130, 247, 30, 29, 27, 28, 56, 190]) {
        t.stroke(&line, 0.010, darken(0.36));
    }
    for line in both(&[33, 246, 161, 160, 159, 158, 157, 173]) {
        t.stroke(&line, 0.008, darken(0.75));
    }
    for line in both(&[33, 7, 163, 144, 145, 153, 154, 155]) {
        t.stroke(&line, 0.006, darken(0.45));
    }
    for line in both(&[25, 110, 24, 23, 22, 26]) {
        t.stroke(&line, 0.012, darken(0.06 + 0.14 * s.lines));
    }
    // Lashes of the upper lid, short strokes over its edge.
    for line in both(&[33, 246, 161, 160, 159, 158, 157]) {
        for _ in 0..34 {
            let (p, along) = on_line(&line, d.uniform());
            let lean = d.range(-0.3, 0.3);
            let to = [p[0] - along[0] * 0.006 + lean * 0.004, p[1] - 0.012];
            t.stroke(&[p, to], 0.0025, darken(0.5));
        }
    }

    // Brows: a faint ground and many hairs, which rise at the inner end and lie flat at the outer.
    let strength = config.brows;
    for (upper, lower) in both(&BROW_UPPER).iter().zip(&both(&BROW_LOWER)) {
        let mut outline = upper.clone();
        outline.extend(lower.iter().rev());
        t.fill(&outline, 0.012, |t, w| {
            t.albedo = mix3(t.albedo, hair_colour, w * 0.38 * strength);
            t.perfusion *= 1.0 - 0.5 * w;
            t.gloss *= 1.0 - 0.6 * w;
        });
        for _ in 0..(120.0 + 200.0 * strength) as usize {
            let s = d.uniform();
            let across = 0.5 + 0.42 * (d.uniform() + d.uniform() - 1.0);
            let ((a, along), (b, _)) = (on_line(upper, s), on_line(lower, s));
            let p = [mix(a[0], b[0], across), mix(a[1], b[1], across)];
            let flat = smoothstep(1.0, 0.75, s);
            // Along the line leads to the nose; hairs lead away from it.
            let length = 0.017;
            let to = [
                p[0] - along[0] * length * mix(0.35, 1.0, flat),
                p[1] - along[1] * length * flat - length * mix(0.9, 0.25, flat) * mix(1.0, 0.2, across * flat),
            ];
            let w0 = d.range(0.35, 0.85) * (0.4 + 0.6 * strength);
            t.stroke(&[p, to], 0.0028, |t, w| t.albedo = mix3(t.albedo, hair_colour * 0.8, w * w0));
        }
    }
    t
}

/// A point of a line at a share of its length (by pieces), and its direction there.
fn on_line(line: &[[f32; 2]], share: f32) -> ([f32; 2], [f32; 2]) {
    let x = share * (line.len() - 1) as f32;
    let i = (x as usize).min(line.len() - 2);
    let (a, b, f) = (line[i], line[i + 1], x - i as f32);
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length = (dx * dx + dy * dy).sqrt().max(1e-6);
    ([mix(a[0], b[0], f), mix(a[1], b[1], f)], [dx / length, dy / length])
}
