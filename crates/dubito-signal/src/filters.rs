//! Detrending, the Butterworth band-pass, zero-phase filtering.

use rustfft::num_complex::Complex;

use crate::SignalError;

/// A digital filter: `a[0] y[n] = sum b[k] x[n-k] - sum a[k] y[n-k]`, with `a[0] = 1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Numerator.
    pub b: Vec<f64>,
    /// Denominator, as long as the numerator.
    pub a: Vec<f64>,
}

impl Filter {
    /// A Butterworth band-pass from `low` to `high` hertz (both -3 dB) for signals of `rate` samples a second, by the
    /// bilinear transform; `order` is that of the low-pass prototype, so the filter's own is twice that. The same as
    /// SciPy's `butter(order, [low, high], "bandpass", fs=rate)`.
    ///
    /// # Errors
    /// An order outside 1 to 6, or a band that is not within 0 to half the rate.
    pub fn butterworth_band_pass(order: usize, low: f64, high: f64, rate: f64) -> Result<Self, SignalError> {
        if !(1..=6).contains(&order) {
            return Err(SignalError::Option { option: "order", expected: "1 to 6".into(), found: order.to_string() });
        }
        if !(low > 0.0 && low < high && high < rate / 2.0) {
            return Err(SignalError::Option {
                option: "band",
                expected: format!("0 < low < high < {} Hz, half the rate", rate / 2.0),
                found: format!("{low} to {high} Hz"),
            });
        }
        // The analog band edges that the bilinear transform (at a rate of 2) brings to the digital ones.
        let warped = |hertz: f64| 4.0 * (std::f64::consts::PI * hertz / rate).tan();
        let (bandwidth, centre_squared) = (warped(high) - warped(low), warped(low) * warped(high));
        let mut poles = Vec::new();
        for k in 0..order {
            let angle = std::f64::consts::PI * (2.0 * k as f64 + 1.0 - order as f64) / (2.0 * order as f64);
            let prototype = -Complex::from_polar(1.0, angle) * (bandwidth / 2.0);
            let root = (prototype * prototype - centre_squared).sqrt();
            poles.extend([prototype + root, prototype - root]);
        }
        let four = Complex::new(4.0, 0.0);
        let gain = poles.iter().fold(Complex::new((4.0 * bandwidth).powi(order as i32), 0.0), |g, p| g / (four - p)).re;
        let digital: Vec<_> = poles.iter().map(|p| (four + p) / (four - p)).collect();
        // Zeros: as many at 1 (0 Hz) as at -1 (half the rate).
        let zeros: Vec<_> = (0..2 * order).map(|k| Complex::new(if k < order { 1.0 } else { -1.0 }, 0.0)).collect();
        let b = polynomial(&zeros).into_iter().map(|v| v * gain).collect();
        Ok(Self { b, a: polynomial(&digital) })
    }

    /// Samples that [`Filter::zero_phase`] extends a signal by, at each end.
    pub fn padding(&self) -> usize {
        3 * self.a.len().max(self.b.len())
    }

    /// Filters forwards, then backwards: the phase stays, the attenuation doubles. The ends are extended by their odd
    /// reflection, and the filter starts in the state that a constant of the first value would have left: Gustafsson's
    /// predecessor, as SciPy's `filtfilt(b, a, x)`.
    ///
    /// # Errors
    /// A signal not longer than [`Filter::padding`].
    pub fn zero_phase(&self, signal: &[f64]) -> Result<Vec<f64>, SignalError> {
        let (n, pad) = (signal.len(), self.padding());
        if n <= pad {
            return Err(SignalError::Option {
                option: "signal",
                expected: format!("more than {pad} samples, the filter's padding"),
                found: n.to_string(),
            });
        }
        let (first, last) = (signal[0], signal[n - 1]);
        let before = (1..=pad).rev().map(|i| 2.0 * first - signal[i]);
        let after = (1..=pad).map(|i| 2.0 * last - signal[n - 1 - i]);
        let mut extended: Vec<f64> = before.chain(signal.iter().copied()).chain(after).collect();
        for _ in 0..2 {
            self.run(&mut extended);
            extended.reverse();
        }
        Ok(extended[pad..pad + n].to_vec())
    }

    /// Filters in place (direct form II, transposed) from the steady state of the first value.
    fn run(&self, signal: &mut [f64]) {
        let Some(&first) = signal.first() else { return };
        let mut state: Vec<f64> = self.steady_state().into_iter().map(|z| z * first).collect();
        let order = state.len();
        for value in signal {
            let input = *value;
            let output = self.b[0] * input + state[0];
            for k in 0..order {
                let next = if k + 1 < order { state[k + 1] } else { 0.0 };
                state[k] = next + self.b[k + 1] * input - self.a[k + 1] * output;
            }
            *value = output;
        }
    }

    /// The state in which a constant 1 gives a constant response.
    fn steady_state(&self) -> Vec<f64> {
        let rest = |k: usize| self.b[k] - self.a[k] * self.b[0];
        let first = (1..self.b.len()).map(rest).sum::<f64>() / self.a.iter().sum::<f64>();
        let mut state = vec![first];
        let (mut sum_a, mut sum_c) = (1.0, 0.0);
        for k in 1..self.b.len() - 1 {
            sum_a += self.a[k];
            sum_c += rest(k);
            state.push(sum_a * first - sum_c);
        }
        state
    }
}

/// The real coefficients, highest power first, of the polynomial with these roots (conjugates come in pairs).
fn polynomial(roots: &[Complex<f64>]) -> Vec<f64> {
    let mut coefficients = vec![Complex::new(1.0, 0.0)];
    for root in roots {
        coefficients.push(Complex::new(0.0, 0.0));
        for k in (1..coefficients.len()).rev() {
            let before = coefficients[k - 1];
            coefficients[k] -= root * before;
        }
    }
    coefficients.into_iter().map(|c| c.re).collect()
}

/// Takes the slow part out of a signal by smoothness priors (Tarvainen, Ranta-aho, Karjalainen, "An advanced detrending
/// method with application to HRV analysis", IEEE TBME 2002): `x - (I + lambda^2 D'D)^-1 x`, D the second difference.
/// The larger `lambda` (10 to 1000), the slower what is taken out. Signals of fewer than 3 samples become 0.
pub fn detrend(signal: &[f64], lambda: f64) -> Vec<f64> {
    let n = signal.len();
    if n < 3 {
        return vec![0.0; n];
    }
    // I + lambda^2 D'D is symmetric with two diagonals above the main one: factorised as L D L'.
    let strength = lambda * lambda;
    let mut main = vec![1.0; n];
    let (mut first, mut second) = (vec![0.0; n], vec![0.0; n]);
    for row in 0..n - 2 {
        for (k, v) in [1.0, -2.0, 1.0].into_iter().enumerate() {
            main[row + k] += strength * v * v;
        }
        first[row] -= 2.0 * strength;
        first[row + 1] -= 2.0 * strength;
        second[row] += strength;
    }
    for i in 0..n {
        if i >= 1 {
            if i >= 2 {
                main[i] -= second[i - 2] * second[i - 2] * main[i - 2];
            }
            main[i] -= first[i - 1] * first[i - 1] * main[i - 1];
        }
        if i + 1 < n {
            let through = if i >= 1 { first[i - 1] * main[i - 1] * second[i - 1] } else { 0.0 };
            first[i] = (first[i] - through) / main[i];
        }
        second[i] /= main[i];
    }
    let mut trend = signal.to_vec();
    for i in 0..n {
        if i >= 1 {
            trend[i] -= first[i - 1] * trend[i - 1];
        }
        if i >= 2 {
            trend[i] -= second[i - 2] * trend[i - 2];
        }
    }
    for i in (0..n).rev() {
        trend[i] /= main[i];
    }
    for i in (0..n).rev() {
        if i + 1 < n {
            trend[i] -= first[i] * trend[i + 1];
        }
        if i + 2 < n {
            trend[i] -= second[i] * trend[i + 2];
        }
    }
    signal.iter().zip(trend).map(|(x, t)| x - t).collect()
}
