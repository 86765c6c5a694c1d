//! Many standard normals at once: Philox, logarithm, sine and cosine as plain arithmetic on rows of numbers, which the
//! compiler makes vector instructions of. Nothing is fused or left to a mathematical library, so the bits are the same on
//! every machine.

use dubito_stats::vectorised::ln;

use super::rounds;

/// Blocks of four words that are worked on side by side.
const LANES: usize = 16;

/// Fills `out` with the normals of the blocks from `counter` on, four of each block: (cos, sin) of its first two words, then
/// of its last two.
#[inline(always)]
pub(super) fn fill(out: &mut [f32], counter: [u32; 4], key: [u32; 2]) {
    for (group, out) in out.chunks_mut(4 * LANES).enumerate() {
        let mut words = counter.map(|word| [word; LANES]);
        for (lane, word) in words[0].iter_mut().enumerate() {
            *word = word.wrapping_add((group * LANES + lane) as u32);
        }
        rounds(&mut words, key);
        let mut normals = [[0.0f32; 4]; LANES];
        for pair in 0..2 {
            for lane in 0..LANES {
                let radius = (-2.0 * ln_of_fraction(words[2 * pair][lane])).sqrt();
                let (sin, cos) = sin_cos_of_turn(words[2 * pair + 1][lane]);
                normals[lane][2 * pair] = (radius * cos) as f32;
                normals[lane][2 * pair + 1] = (radius * sin) as f32;
            }
        }
        let n = out.len();
        out.copy_from_slice(&normals.as_flattened()[..n]);
    }
}

/// ln((bits + 1) / 2^32), to 2e-15 of the greater of its size and 1.
#[inline(always)]
fn ln_of_fraction(bits: u32) -> f64 {
    ln((f64::from(bits) + 1.0) * (1.0 / 4_294_967_296.0))
}

/// Sine and cosine of `bits / 2^32` of a full turn, to 1e-13.
#[inline(always)]
fn sin_cos_of_turn(bits: u32) -> (f64, f64) {
    // The nearest quarter turn, and what is left: at most an eighth either way.
    let quarter = bits.wrapping_add(1 << 29) >> 30;
    let rest = bits.wrapping_sub(quarter << 30) as i32;
    let x = f64::from(rest) * (std::f64::consts::TAU / 4_294_967_296.0);
    let q = x * x;
    // 1 - q / (n (n + 1)) (1 - ...), Taylor's series from its end.
    let sin =
        x * [14.0, 12.0, 10.0, 8.0, 6.0, 4.0, 2.0].iter().fold(1.0, |rest, n| 1.0 - q * (1.0 / (n * (n + 1.0))) * rest);
    let cos =
        [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0].iter().fold(1.0, |rest, n| 1.0 - q * (1.0 / (n * (n + 1.0))) * rest);
    let odd = quarter & 1 == 1;
    let (a, b) = if odd { (cos, sin) } else { (sin, cos) };
    let a = if quarter & 2 == 2 { -a } else { a };
    let b = if quarter.wrapping_add(1) & 2 == 2 { -b } else { b };
    (a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: [u32; 14] = [
        0,
        1,
        2,
        1 << 29,
        (1 << 29) - 1,
        (1 << 30) - 1,
        1 << 30,
        1 << 31,
        3 << 29,
        3 << 30,
        5 << 29,
        7 << 29,
        u32::MAX - 1,
        u32::MAX,
    ];

    fn everywhere() -> impl Iterator<Item = u32> {
        PLACES.into_iter().chain((0..100_000u32).map(|i| i.wrapping_mul(0x9E37_79B9)))
    }

    #[test]
    fn the_logarithm_is_the_librarys() {
        for bits in everywhere() {
            let want = ((f64::from(bits) + 1.0) / 4_294_967_296.0).ln();
            let got = ln_of_fraction(bits);
            assert!((got - want).abs() <= 2e-15 * want.abs().max(1.0), "{bits}: {got} instead of {want}");
            assert!(got <= 0.0, "{bits}: {got}");
        }
    }

    #[test]
    fn sine_and_cosine_are_the_librarys() {
        for bits in everywhere() {
            let (sin, cos) = (f64::from(bits) * (std::f64::consts::TAU / 4_294_967_296.0)).sin_cos();
            let (s, c) = sin_cos_of_turn(bits);
            assert!((s - sin).abs() < 1e-13 && (c - cos).abs() < 1e-13, "{bits}: {s}, {c} instead of {sin}, {cos}");
        }
    }
}
