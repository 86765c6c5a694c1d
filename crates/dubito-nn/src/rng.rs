//! Random numbers as a pure function of their place: Philox4x32-10, keyed by (seed, purpose, sample, layer).
//!
//! A counter-based generator has no state to carry from one call to the next, so a mask or a weight
//! is the same whatever was drawn before it, on however many threads, in whatever order.
//!
//! Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

use dubito_stats::vectorised::vectorised;
use rayon::prelude::*;

mod box_muller;

/// What a stream of numbers is for. Streams of different purposes never overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Dropout masks of posterior samples: `sample` is t, `layer` the site.
    Mask = 1,
    /// Initial weights: `sample` is 0, `layer` the parameter's index.
    Init = 2,
    /// The order of training items: `sample` is the epoch.
    Order = 3,
    /// Augmentation: `sample` is the variant, `layer` the item.
    Augment = 4,
    /// Dropout masks while training: `sample` is the step, `layer` the site.
    TrainMask = 5,
    /// Anything else that must be drawn, in examples and tests.
    Other = 6,
    /// Weights of posterior samples: `sample` is t, `layer` the parameter's index.
    Weight = 7,
    /// Noise of weights while training: `sample` is the step, `layer` the parameter's index.
    TrainNoise = 8,
    /// Signs of Flipout, of what goes into a layer: `sample` is the step, `layer` its weight's index.
    SignIn = 9,
    /// Signs of Flipout, of what comes out of a layer: `sample` is the step, `layer` its weight's index.
    SignOut = 10,
    /// Adversarial attacks: `sample` is the start or the step, `layer` the item.
    Attack = 11,
}

/// `n` standard normals at a place, whatever the number of threads: both numbers of Box and Muller's transform.
pub fn normals(purpose: Purpose, seed: u64, sample: u32, layer: u32, n: usize) -> Vec<f32> {
    const CHUNK: usize = 1 << 13;
    let mut out = vec![0.0f32; n];
    out.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        let Stream { key, mut counter, .. } = Stream::new(purpose, seed, sample, layer);
        // A block of four words makes four numbers.
        counter[0] += (chunk * CHUNK / 4) as u32;
        vectorised(
            #[inline(always)]
            || box_muller::fill(out, counter, key),
        );
    });
    out
}

/// One block of Philox4x32-10: four words from a 128-bit counter and a 64-bit key.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut words = counter.map(|word| [word]);
    rounds(&mut words, key);
    words.map(|[word]| word)
}

/// Philox's ten rounds on `LANES` counters side by side: `words[i]` holds word i of each.
#[inline(always)]
fn rounds<const LANES: usize>(words: &mut [[u32; LANES]; 4], key: [u32; 2]) {
    let [mut k0, mut k1] = key;
    let [c0, c1, c2, c3] = words;
    for _ in 0..10 {
        for lane in 0..LANES {
            let p0 = u64::from(c0[lane]) * 0xD251_1F53;
            let p1 = u64::from(c2[lane]) * 0xCD9E_8D57;
            c0[lane] = (p1 >> 32) as u32 ^ c1[lane] ^ k0;
            c1[lane] = p1 as u32;
            c2[lane] = (p0 >> 32) as u32 ^ c3[lane] ^ k1;
            c3[lane] = p0 as u32;
        }
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
}

/// An endless sequence of numbers, a function of (purpose, seed, sample, layer) alone.
#[derive(Debug, Clone)]
pub struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream for this purpose, seed, sample and layer. Up to 2^28 blocks of four words long.
    pub fn new(purpose: Purpose, seed: u64, sample: u32, layer: u32) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            // The purpose takes the top four bits of the word that counts blocks.
            counter: [(purpose as u32) << 28, 0, sample, layer],
            block: [0; 4],
            used: 4,
        }
    }

    /// The next 32 random bits.
    pub fn bits(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox4x32(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// Uniform on [0, 1), with 24 bits.
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Uniform on [low, high).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Uniform on 0, 1, ..., n - 1, without bias (Lemire's method); 0 where n is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        if n == 0 {
            return 0;
        }
        let reject = n.wrapping_neg() % n;
        loop {
            let product = u64::from(self.bits()) * u64::from(n);
            if product as u32 >= reject {
                return (product >> 32) as u32;
            }
        }
    }

    /// Standard normal (Box and Muller's transform, one number from two).
    pub fn normal(&mut self) -> f32 {
        let radius = f64::from(self.bits()) + 1.0;
        let angle = f64::from(self.bits()) * (std::f64::consts::TAU / 4_294_967_296.0);
        ((-2.0 * (radius / 4_294_967_296.0).ln()).sqrt() * angle.cos()) as f32
    }

    /// Puts the items in a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(u32::try_from(i + 1).unwrap_or(u32::MAX)) as usize;
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer vectors published with the Random123 library.
    #[test]
    fn known_answers_of_random123() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, want) in cases {
            assert_eq!(philox4x32(counter, key), want);
        }
    }

    #[test]
    fn streams_differ_by_every_part_of_their_key() {
        let first = |p, seed, t, layer| Stream::new(p, seed, t, layer).bits();
        let base = first(Purpose::Mask, 7, 3, 1);
        assert_eq!(base, first(Purpose::Mask, 7, 3, 1));
        assert_ne!(base, first(Purpose::Init, 7, 3, 1));
        assert_ne!(base, first(Purpose::Mask, 8, 3, 1));
        assert_ne!(base, first(Purpose::Mask, 7 | 1 << 32, 3, 1));
        assert_ne!(base, first(Purpose::Mask, 7, 4, 1));
        assert_ne!(base, first(Purpose::Mask, 7, 3, 2));
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut s = Stream::new(Purpose::Other, 1, 0, 0);
        let n = 200_000;
        let (mut u, mut z, mut z2) = (0.0, 0.0, 0.0);
        let mut counts = [0u32; 7];
        for _ in 0..n {
            u += f64::from(s.uniform());
            let x = f64::from(s.normal());
            z += x;
            z2 += x * x;
            counts[s.below(7) as usize] += 1;
        }
        let n = f64::from(n);
        assert!((u / n - 0.5).abs() < 4.0 * (1.0 / 12.0 / n).sqrt());
        assert!((z / n).abs() < 4.0 / n.sqrt());
        assert!((z2 / n - 1.0).abs() < 4.0 * (2.0 / n).sqrt());
        for c in counts {
            assert!((f64::from(c) - n / 7.0).abs() < 4.5 * (n * 6.0 / 49.0).sqrt());
        }
    }

    #[test]
    fn many_normals_are_a_function_of_their_place_and_have_their_moments() {
        let draw = |layer, n| normals(Purpose::Weight, 3, 5, layer, n);
        // Every other one is what a stream draws one by one.
        let mut stream = Stream::new(Purpose::Weight, 3, 5, 1);
        for z in draw(1, 20_001).iter().step_by(2) {
            assert!((z - stream.normal()).abs() < 1e-6);
        }
        let all = draw(1, 100_001);
        assert_eq!(all[..20_000], draw(1, 20_000));
        assert_ne!(all[..64], draw(2, 64));
        let (n, mean) = (all.len() as f64, |f: &dyn Fn(f64) -> f64| {
            all.iter().map(|&z| f(f64::from(z))).sum::<f64>() / all.len() as f64
        });
        assert!(mean(&|z| z).abs() < 4.0 / n.sqrt());
        assert!((mean(&|z| z * z) - 1.0).abs() < 4.0 * (2.0 / n).sqrt());
        assert!((mean(&|z| z.powi(4)) - 3.0).abs() < 4.0 * (96.0 / n).sqrt());
        // Neighbours, of which pairs come from one radius, have nothing to do with each other.
        let product = all.windows(2).map(|w| f64::from(w[0] * w[1])).sum::<f64>() / n;
        assert!(product.abs() < 4.0 / n.sqrt());
    }

    #[test]
    fn a_shuffle_is_a_permutation() {
        let mut items: Vec<u32> = (0..100).collect();
        Stream::new(Purpose::Order, 5, 0, 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
