//! Random numbers as functions of their place, and smooth noise made of them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::math::{V3, mix, v3};

/// A sequence of draws, a function of (seed, purpose) alone: ChaCha with 8 rounds (Bernstein 2008).
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(purpose);
        Self(rng)
    }

    /// Uniform on [0, 1).
    pub fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / 16_777_216.0
    }

    /// Uniform on [low, high).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        mix(low, high, self.uniform())
    }

    /// About standard normal: a sum of twelve uniform numbers, within -6 to 6.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    pub fn chance(&mut self, probability: f32) -> bool {
        self.uniform() < probability
    }

    /// One of the items; there must be one.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        let index = (self.uniform() * items.len() as f32) as usize;
        items[index.min(items.len() - 1)]
    }
}

/// 64 bits that depend on every bit of `x` (the finaliser of SplitMix64; Steele, Lea and Flood, OOPSLA 2014).
pub(crate) fn hash(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Uniform on [0, 1) from hashed bits.
pub(crate) fn unit(bits: u64) -> f32 {
    (bits >> 40) as f32 / 16_777_216.0
}

/// About standard normal from hashed bits: the sum of their four 16-bit parts.
pub(crate) fn gaussian(bits: u64) -> f32 {
    let sum = (bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF) + (bits >> 48);
    // Four uniform numbers have variance 1/3.
    (sum as f32 / 65_535.0 - 2.0) * 1.732_050_8
}

/// Where noise lives between whole numbers: the cell and the place in it.
fn cell(x: f32) -> (i32, f32) {
    let floor = x.floor();
    (floor as i32, x - floor)
}

fn fade(t: f32) -> f32 {
    t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
}

/// Smooth noise over time with one value for each whole number, -1 to 1.
pub(crate) fn noise1(t: f32, seed: u64) -> f32 {
    let (i, f) = cell(t);
    let value = |i: i32| unit(hash(seed ^ (u64::from(i as u32) << 20))) * 2.0 - 1.0;
    mix(value(i), value(i.wrapping_add(1)), fade(f))
}

/// 32 bits for a lattice point, cheap: noise in space needs eight for each value.
fn lattice(x: i32, y: i32, z: i32, seed: u32) -> f32 {
    let mut h = seed ^ (x as u32).wrapping_mul(0x8DA6_B343);
    h ^= (y as u32).wrapping_mul(0xD816_3841);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h ^= (z as u32).wrapping_mul(0xCB1A_B31F);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    h ^= h >> 15;
    (h >> 8) as f32 / 8_388_608.0 - 1.0
}

/// Smooth noise in space, -1 to 1, one value for each whole place.
pub(crate) fn noise3(p: V3, seed: u32) -> f32 {
    let ((ix, fx), (iy, fy), (iz, fz)) = (cell(p.x), cell(p.y), cell(p.z));
    let (u, v, w) = (fade(fx), fade(fy), fade(fz));
    let at = |dx: i32, dy: i32, dz: i32| lattice(ix.wrapping_add(dx), iy.wrapping_add(dy), iz.wrapping_add(dz), seed);
    let plane = |dz: i32| mix(mix(at(0, 0, dz), at(1, 0, dz), u), mix(at(0, 1, dz), at(1, 1, dz), u), v);
    mix(plane(0), plane(1), w)
}

/// The noise's steepest ascent, by differences.
pub(crate) fn slope3(p: V3, seed: u32) -> V3 {
    let e = 0.25;
    let here = noise3(p, seed);
    let along = |d: V3| (noise3(p + d, seed) - here) / e;
    v3(along(v3(e, 0.0, 0.0)), along(v3(0.0, e, 0.0)), along(v3(0.0, 0.0, e)))
}

/// Noise of several scales, each twice as fine and half as strong, about -1 to 1.
pub(crate) fn fractal3(p: V3, octaves: u32, seed: u32) -> f32 {
    let (mut sum, mut strength, mut at) = (0.0, 0.5, p);
    for octave in 0..octaves {
        sum += strength * noise3(at, seed.wrapping_add(octave));
        strength *= 0.5;
        at = at * 2.0;
    }
    sum
}
