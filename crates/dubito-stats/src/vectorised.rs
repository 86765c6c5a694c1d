//! Loops over many numbers, compiled for each instruction set, and the logarithm in them.
//!
//! The loops are plain code: the compiler makes vectors of what has no branch and no call. No multiplication is
//! fused with an addition, so the bits are the same on every machine.

/// A piece of work compiled once for each instruction set that [`pulp`] chooses from at run time.
struct Vectorised<F>(F);

impl<R, F: FnOnce() -> R> pulp::WithSimd for Vectorised<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> R {
        (self.0)()
    }
}

/// Does the work with the widest vectors that the processor has. What it calls has to be inlined (`#[inline(always)]`,
/// the closure itself too), or it is compiled without them.
pub fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(Vectorised(work))
}

/// The natural logarithm of a positive number, to 2 units in the last place. Of 0, and of numbers so small (below
/// 2^-1022) that they have fewer digits, it is about that of 2^-1022; of others that are not positive it has no meaning.
#[inline(always)]
pub fn ln(x: f64) -> f64 {
    const ONE: u64 = 0x3ff0_0000_0000_0000; // the bits of 1
    const ROOT_OF_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const DIGITS: u64 = 0x000f_ffff_ffff_ffff;
    // ln 2 in two parts, of which the first has so few digits that its product with an exponent is exact.
    const LN_2: (f64, f64) = (6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10);
    // x = 2^exponent m, m from sqrt(1/2) to sqrt(2).
    let bits = x.to_bits().wrapping_add(ONE - ROOT_OF_HALF);
    let m = f64::from_bits((bits & DIGITS) + ROOT_OF_HALF);
    let exponent = whole(bits >> 52) - 1023.0;
    // ln m = 2 artanh s = 2 (s + s^3 / 3 + s^5 / 5 + ...), with s at most .172. Every second term is summed for itself:
    // two short sums are ready sooner than a long one.
    let s = (m - 1.0) / (m + 1.0);
    let (z, twice) = (s * s, s + s);
    let w = z * z;
    let even = [1.0 / 15.0, 1.0 / 11.0, 1.0 / 7.0, 1.0 / 3.0].into_iter().fold(1.0 / 19.0, |sum, next| sum * w + next);
    let odd = [1.0 / 13.0, 1.0 / 9.0, 1.0 / 5.0].into_iter().fold(1.0 / 17.0, |sum, next| sum * w + next);
    let series = even + z * odd;
    exponent * LN_2.0 + (twice + (twice * (z * series) + exponent * LN_2.1))
}

/// A whole number below 2^52 as a float: written behind the digits of 2^52, as few processors convert 64 bits at once.
#[inline(always)]
fn whole(number: u64) -> f64 {
    const TWO_52: f64 = 4_503_599_627_370_496.0;
    f64::from_bits(number | TWO_52.to_bits()) - TWO_52
}

#[cfg(test)]
mod tests {
    use super::{ln, vectorised};

    /// Numbers of every size, and the neighbours of those at which something changes.
    fn numbers() -> Vec<f64> {
        let mut numbers: Vec<f64> = (0..200_000).map(|at| (f64::from(at) * -0.0035).exp()).collect();
        numbers.extend((1..100_000).map(|at| f64::from(at) / 100_000.0));
        for edge in [1.0, 0.5, 2.0, 0.5f64.sqrt(), 2f64.sqrt(), 1e-300] {
            numbers.extend([edge, edge.next_up(), edge.next_down(), edge * (1.0 + 1e-9), edge * (1.0 - 1e-9)]);
        }
        numbers.retain(|&x| x >= f64::MIN_POSITIVE);
        numbers
    }

    #[test]
    fn ln_is_that_of_the_standard_library() {
        assert_eq!(ln(1.0), 0.0);
        for x in numbers() {
            let (found, want) = (ln(x), x.ln());
            assert!((found - want).abs() <= 3.0 * f64::EPSILON * want.abs(), "ln {x:e}: {found:e}, not {want:e}");
        }
        assert!(ln(0.0).is_finite() && (ln(1e-310) - -708.4).abs() < 1.0);
    }

    #[test]
    fn vectors_give_the_bits_of_single_numbers() {
        let numbers = numbers();
        let mut all = vec![0.0; numbers.len()];
        vectorised(
            #[inline(always)]
            || all.iter_mut().zip(&numbers).for_each(|(out, &x)| *out = ln(x)),
        );
        for (x, found) in numbers.iter().zip(all) {
            assert_eq!(found.to_bits(), ln(*x).to_bits(), "ln {x:e}");
        }
    }
}
