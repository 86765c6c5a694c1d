//! Axes: where a value stands, and which numbers are written.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::pen::{AXIS, HEAD, Pen, Place, TICK, clean};
use crate::figures::{GREY, RULE, SOLID};
use crate::section::Axis;

/// Between what values an axis reaches, and how.
#[derive(Clone, Debug)]
pub(super) struct Span {
    low: f64,
    high: f64,
    /// The base of a logarithmic axis.
    base: Option<f64>,
    /// Whether a logarithmic axis has a place for 0, on its left.
    zero: bool,
}

/// The share of a logarithmic axis that its 0 takes.
const ZERO: f64 = 0.15;

impl Span {
    /// Of what an axis is to show; no value at all gives 0 to 1.
    pub fn new(axis: &Axis, values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        let ends = axis.ends.filter(|[a, b]| a.is_finite() && b.is_finite() && a != b);
        let ends = ends.map(|[a, b]| (a.min(b), a.max(b)));
        if axis.logarithmic { Self::logarithmic(&values, ends) } else { Self::linear(&values, ends) }
    }

    fn linear(values: &[f64], ends: Option<(f64, f64)>) -> Self {
        let (low, high) = ends.unwrap_or_else(|| {
            let (low, high) = extent(values).unwrap_or((0.0, 1.0));
            let pad = match high - low {
                range if range > 1e-12 * low.abs().max(high.abs()) => 0.05 * range,
                _ if high == 0.0 => 1.0,
                _ => 0.1 * high.abs(),
            };
            // Shares stay shares, and what is never negative begins at 0 where that is near.
            let share = low >= 0.0 && high <= 1.0;
            let near = low >= 0.0 && low <= 0.4 * high;
            (if near { 0.0 } else { low - pad }, if share { (high + pad).min(1.0) } else { high + pad })
        });
        Self { low, high, base: None, zero: false }
    }

    fn logarithmic(values: &[f64], ends: Option<(f64, f64)>) -> Self {
        let positive: Vec<f64> = values.iter().copied().filter(|&value| value > 0.0).collect();
        let is_power = |value: f64| (value.log2() - value.log2().round()).abs() < 1e-9;
        let base = if !positive.is_empty() && positive.iter().all(|&value| is_power(value)) { 2.0 } else { 10.0 };
        let (low, high) = extent(&positive).unwrap_or((1.0, base));
        let (low, high) = if high > low { (low, high) } else { (low / base, high * base) };
        let pad = (high / low).powf(0.04);
        let (from, to) = ends.filter(|ends| ends.1 > 0.0).unwrap_or((0.0, high * pad));
        let from = match from {
            from if from > 0.0 && from < to => from,
            _ if low / pad < to => low / pad,
            _ => to / base,
        };
        let zero = values.contains(&0.0) && ends.is_none_or(|ends| ends.0 <= 0.0);
        Self { low: from, high: to, base: Some(base), zero }
    }

    /// Where a value stands between the two ends, 0 to 1, beyond them outside of that; `None` where it has no logarithm.
    pub fn share(&self, value: f64) -> Option<f64> {
        match self.base {
            None => Some((value - self.low) / (self.high - self.low)),
            Some(_) if value == 0.0 && self.zero => Some(0.0),
            Some(_) if value <= 0.0 => None,
            Some(_) => {
                let share = (value / self.low).ln() / (self.high / self.low).ln();
                Some(if self.zero { ZERO + (1.0 - ZERO) * share } else { share })
            }
        }
    }

    /// Whether the axis is cut between 0 and its smallest value.
    pub fn is_cut(&self) -> bool {
        self.zero
    }

    /// The values written on the axis, about so many, with their words.
    pub fn ticks(&self, about: usize) -> Vec<(f64, String)> {
        let about = about.max(2);
        match self.base {
            None => linear_ticks(self.low, self.high, about),
            Some(base) => {
                let mut ticks = if self.zero { vec![(0.0, "0".to_owned())] } else { Vec::new() };
                ticks.extend(logarithmic_ticks(self.low, self.high, base, about));
                ticks
            }
        }
    }
}

fn extent(values: &[f64]) -> Option<(f64, f64)> {
    let low = values.iter().copied().reduce(f64::min)?;
    Some((low, values.iter().copied().reduce(f64::max)?))
}

fn linear_ticks(low: f64, high: f64, about: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / about as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| *step >= 0.75 * rough);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((low / step - 1e-6).ceil() as i64, (high / step + 1e-6).floor() as i64);
    let places = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
    let largest = low.abs().max(high.abs());
    let exponent = largest.log10().floor();
    (first..=last)
        .map(|times| {
            let value = times as f64 * step;
            let words = if times == 0 {
                "0".to_owned()
            } else if largest >= 1e6 || step < 0.99e-4 {
                let places = (exponent - (step.log10() + 1e-9).floor()).clamp(0.0, 6.0) as usize;
                format!("{:.places$}e{exponent}", value / 10f64.powf(exponent))
            } else {
                format!("{value:.places$}")
            };
            (value, words.replace('-', "−"))
        })
        .collect()
}

fn logarithmic_ticks(low: f64, high: f64, base: f64, about: usize) -> Vec<(f64, String)> {
    let (first, last) = ((low.log(base) - 1e-9).ceil() as i32, (high.log(base) + 1e-9).floor() as i32);
    let powers = (last - first + 1).max(0) as usize;
    let inside = |value: &f64| *value >= low * (1.0 - 1e-9) && *value <= high * (1.0 + 1e-9);
    let within = |steps: &[f64]| -> Vec<f64> {
        let all = (first - 1..=last).flat_map(|power| steps.iter().map(move |step| step * base.powi(power)));
        all.filter(inside).collect()
    };
    let mut values: Vec<f64> = Vec::new();
    if base == 10.0 {
        let fitting = [&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0][..], &[1.0, 2.0, 5.0], &[1.0, 3.0]];
        values = fitting.into_iter().map(within).find(|values| values.len() <= about + 2).unwrap_or_default();
    }
    if values.len() < 2 {
        let stride = powers.div_ceil(about).max(1) as i32;
        values = (first..=last).filter(|power| power.rem_euclid(stride) == 0).map(|power| base.powi(power)).collect();
    }
    values.into_iter().map(|value| (value, logarithmic_words(value, base))).collect()
}

fn logarithmic_words(value: f64, base: f64) -> String {
    let plain = value.to_string();
    let plain = if plain.len() > 6 { format!("{value:.4}").trim_end_matches('0').to_owned() } else { plain };
    match value {
        _ if base == 2.0 && value < 0.1 => format!("1/{:.0}", 1.0 / value),
        _ if !(1e-4..1e5).contains(&value) => format!("{value:.0e}").replace('-', "−"),
        _ => plain,
    }
}

/// A pair of axes with the place that they span.
pub(super) struct Plot {
    pub low: Place,
    pub high: Place,
    pub x: Span,
    pub y: Span,
}

/// Distance of the outermost values from the plot's edges.
const INSET: f64 = 7.0;

impl Plot {
    /// The plot in a panel between two corners, with room for its title, names and numbers.
    pub fn new(low: Place, high: Place, x: Span, y: Span, y_label: &str) -> Self {
        let numbers = y.ticks(5).iter().map(|(_, words)| TICK.width(words)).fold(0.0, f64::max);
        let left = numbers + 10.0 + if y_label.is_empty() { 0.0 } else { 20.0 };
        Self { low: (low.0 + left, low.1 + 32.0), high: (high.0 - 14.0, high.1 - 46.0), x, y }
    }

    pub fn across(&self, value: f64) -> Option<f64> {
        let share = self.x.share(value)?;
        Some(self.low.0 + INSET + share * (self.high.0 - self.low.0 - 2.0 * INSET))
    }

    pub fn up(&self, value: f64) -> Option<f64> {
        let share = self.y.share(value)?;
        Some(self.high.1 - INSET - share * (self.high.1 - self.low.1 - 2.0 * INSET))
    }

    pub fn place(&self, x: f64, y: f64) -> Option<Place> {
        Some((self.across(x)?, self.up(y)?))
    }

    pub fn holds(&self, place: Place) -> bool {
        (self.low.0..=self.high.0).contains(&place.0) && (self.low.1..=self.high.1).contains(&place.1)
    }

    /// The part of a straight line that lies within.
    pub fn clipped(&self, from: Place, to: Place) -> Option<(Place, Place)> {
        let (mut start, mut end) = (0.0f64, 1.0f64);
        let way = (to.0 - from.0, to.1 - from.1);
        for (along, at, low, high) in
            [(way.0, from.0, self.low.0, self.high.0), (way.1, from.1, self.low.1, self.high.1)]
        {
            if along == 0.0 {
                if at < low || at > high {
                    return None;
                }
                continue;
            }
            let (a, b) = ((low - at) / along, (high - at) / along);
            (start, end) = (start.max(a.min(b)), end.min(a.max(b)));
        }
        let at = |share: f64| (from.0 + share * way.0, from.1 + share * way.1);
        (start <= end).then(|| (at(start), at(end)))
    }

    /// Grid, axes, numbers, names and the title.
    pub fn draw<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>, title: &str, names: (&str, &str)) -> Result<(), String> {
        let (left, top, right, bottom) = (self.low.0, self.low.1, self.high.0, self.high.1);
        let title = HEAD.fitted(&clean(title), right - left);
        pen.words(&title, (left, top - 16.0), HEAD, HPos::Left)?;
        for (value, words) in self.y.ticks(5) {
            let Some(y) = self.up(value).filter(|y| (top..=bottom).contains(y)) else { continue };
            pen.line(&[(left, y), (right, y)], RULE, 1.0, SOLID)?;
            pen.words(&words, (left - 7.0, y), TICK, HPos::Right)?;
        }
        self.draw_across(pen, true)?;
        pen.line(&[(left, top), (left, bottom), (right, bottom)], GREY, 1.0, SOLID)?;
        let numbers = self.y.ticks(5).iter().map(|(_, words)| TICK.width(words)).fold(0.0, f64::max);
        let name = AXIS.fitted(&clean(names.1), bottom - top + 30.0);
        pen.upward(&name, (left - numbers - 19.0, (top + bottom) / 2.0), AXIS, HPos::Center)?;
        let name = AXIS.fitted(&clean(names.0), right - left + 40.0);
        pen.words(&name, ((left + right) / 2.0, bottom + 34.0), AXIS, HPos::Center)
    }

    /// The numbers of the axis across, with their lines from top to bottom.
    pub fn draw_across<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>, below: bool) -> Result<(), String> {
        let (top, bottom) = (self.low.1, self.high.1);
        let width = self.high.0 - self.low.0;
        let ticks = (2..=10)
            .rev()
            .map(|about| self.x.ticks(about))
            .find(|ticks| {
                let mut end = f64::NEG_INFINITY;
                ticks.len() as f64 <= width / 40.0 + 1.0
                    && ticks.iter().all(|(value, words)| {
                        let (middle, half) = (self.across(*value).unwrap_or_default(), TICK.width(words) / 2.0);
                        let apart = middle - half > end + 8.0;
                        end = middle + half;
                        apart
                    })
            })
            .unwrap_or_else(|| self.x.ticks(2));
        for (value, words) in ticks {
            let Some(x) = self.across(value).filter(|x| (self.low.0..=self.high.0).contains(x)) else { continue };
            pen.line(&[(x, top), (x, bottom)], RULE, 1.0, SOLID)?;
            let y = if below { bottom + 14.0 } else { top - 11.0 };
            pen.words(&words, (x, y), TICK, HPos::Center)?;
        }
        if self.x.is_cut() && below {
            // Two slanted strokes where the axis is cut.
            let x = self.low.0 + INSET + 0.5 * ZERO * (width - 2.0 * INSET);
            for at in [x - 2.0, x + 2.0] {
                pen.line(&[(at - 2.0, bottom + 4.0), (at + 2.0, bottom - 4.0)], GREY, 1.0, SOLID)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(span: &Span, about: usize) -> Vec<String> {
        span.ticks(about).into_iter().map(|tick| tick.1).collect()
    }

    fn axis(logarithmic: bool) -> Axis {
        Axis { logarithmic, ..Axis::default() }
    }

    #[test]
    fn numbers_of_axes_are_round() {
        assert_eq!(
            words(&Span::new(&axis(false), [0.1, 0.97]), 5),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"].map(|w| w.replace("0.0", "0"))
        );
        assert_eq!(words(&Span::new(&axis(false), [-2.0, 3.0]), 5), ["−2", "−1", "0", "1", "2", "3"]);
        assert_eq!(words(&Span::new(&axis(false), [2e-6, 4e-6]), 3), ["2e−6", "3e−6", "4e−6"]);
        assert_eq!(words(&Span::new(&axis(true), [1.0, 2.0, 8.0]), 6), ["1", "2", "4", "8"]);
        assert_eq!(words(&Span::new(&axis(true), [0.0, 1.0, 2.0, 8.0]), 6), ["0", "1", "2", "4", "8"]);
        assert_eq!(
            words(&Span::new(&axis(true), [0.0001, 100.0, 3.0]), 8),
            ["0.0001", "0.001", "0.01", "0.1", "1", "10", "100"]
        );
        assert_eq!(words(&Span::new(&axis(true), [10.0, 30.0]), 4), ["10", "20", "30"]);
    }

    #[test]
    fn equal_values_and_none_have_axes_too() {
        for logarithmic in [false, true] {
            for values in [vec![], vec![0.0], vec![0.5], vec![0.5, 0.5], vec![-3.0], vec![1e-9], vec![3e12, 3e12]] {
                let span = Span::new(&axis(logarithmic), values.clone());
                assert!(span.low < span.high && span.low.is_finite(), "{values:?}: {span:?}");
                assert!(!span.ticks(5).is_empty(), "{values:?}: {span:?}");
                for value in values {
                    let share = span.share(value);
                    assert!(share.is_none_or(|s| (0.0..=1.0).contains(&s)), "{value}: {share:?}");
                    assert_eq!(share.is_none(), logarithmic && value < 0.0);
                }
            }
        }
        let given = Span::new(&Axis { ends: Some([1.0, 0.0]), ..Axis::default() }, [0.2]);
        assert_eq!((given.low, given.high, given.share(0.25)), (0.0, 1.0, Some(0.25)));
    }
}
