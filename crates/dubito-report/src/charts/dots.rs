//! For each row one mark a series, with its interval: a forest plot.

use dubito_stats::Estimate;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axis::{Plot, Span};
use super::pen::{AXIS, DOTTED, Legend, Look, NAME, Pen, SMALL, Sample, clean};
use super::{Sketch, defined, interval, not_given, reason, written};
use crate::figures::{GREY, INK, RULE, SOLID, WIDTH};
use crate::section::Axis;

pub(super) struct Dots {
    /// Names of the rows, each in lines.
    rows: Vec<Vec<String>>,
    /// For each row the value of each series.
    values: Vec<Vec<Estimate>>,
    /// What is written right of each row, where there is one series.
    numbers: Vec<String>,
    legend: Legend,
    plot: Plot,
    label: String,
    reference: Option<(String, f64)>,
    row_height: f64,
}

/// Height of what one series takes of a row.
const LANE: f64 = 13.0;

impl Dots {
    pub fn new(
        rows: &[String],
        series: &[(String, Vec<Estimate>)],
        x: &Axis,
        reference: Option<&(String, f64)>,
    ) -> Self {
        let reference = reference.filter(|reference| reference.1.is_finite());
        let values: Vec<Vec<Estimate>> = (0..rows.len())
            .map(|row| series.iter().map(|one| one.1.get(row).cloned().unwrap_or_else(not_given)).collect())
            .collect();
        let all = values.iter().flatten();
        let ends = all.filter_map(|one| defined(one).map(|value| (value, interval(one).unwrap_or((value, value)))));
        let shown = ends.flat_map(|(value, (low, high))| [value, low, high]).chain(reference.map(|one| one.1));
        let span = Span::new(x, shown);

        let legend = if series.len() > 1 {
            Legend::new(2.0, series.iter().enumerate().map(|(at, one)| (Sample::Mark(Look::of(at)), one.0.clone())))
        } else {
            Legend::new(2.0, [])
        };
        let numbers: Vec<String> =
            if series.len() == 1 { values.iter().map(|row| in_figures(&row[0])).collect() } else { Vec::new() };
        let names: Vec<String> = rows.iter().map(|row| clean(row)).collect();
        let longest = names.iter().map(|name| NAME.width(name)).fold(0.0, f64::max);
        let left = longest.min(250.0) + 16.0;
        let right = numbers.iter().map(|words| SMALL.width(words)).fold(0.0, f64::max);
        let right = f64::from(WIDTH) - if right > 0.0 { right + 16.0 } else { 14.0 };
        // Many rows stand closer, so that a page holds them.
        let (most_lines, margin) = if rows.len() > MANY { (1, 9.0) } else { (2, 13.0) };
        let row_height = LANE * series.len().max(1) as f64 + margin;
        let lines: Vec<Vec<String>> = names.iter().map(|name| NAME.wrapped(name, 250.0, most_lines)).collect();
        let row_height = if lines.iter().any(|lines| lines.len() > 1) { row_height.max(38.0) } else { row_height };
        // Above the rows: the name of the reference, and the numbers of a long axis once more.
        let above = if reference.is_some() { 20.0 } else { 6.0 };
        let top = legend.height + above + if rows.len() > MANY { 20.0 } else { 0.0 };
        let bottom = top + row_height * rows.len() as f64;
        let y = Span::new(&Axis { ends: Some([0.0, 1.0]), ..Axis::default() }, []);
        Self {
            rows: lines,
            values,
            numbers,
            legend,
            plot: Plot { low: (left, top), high: (right, bottom), x: span, y },
            label: AXIS.fitted(&clean(&x.label), right - left + 40.0),
            reference: reference.map(|(name, at)| (clean(name), *at)),
            row_height,
        }
    }
}

/// Colour of every other row.
const SHADED: RGBColor = RGBColor(247, 248, 250);
/// With more rows the numbers of the axis stand above them, too.
const MANY: usize = 16;

/// A value and its interval in figures.
fn in_figures(estimate: &Estimate) -> String {
    match (defined(estimate), interval(estimate)) {
        (Some(value), Some((low, high))) => format!("{} ({} to {})", written(value), written(low), written(high)),
        (Some(value), None) => written(value),
        (None, _) => "–".into(),
    }
}

impl Sketch for Dots {
    fn height(&self) -> f64 {
        self.plot.high.1 + if self.label.is_empty() { 26.0 } else { 46.0 }
    }

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>) -> Result<(), String> {
        let plot = &self.plot;
        if self.rows.is_empty() || self.values.iter().all(Vec::is_empty) {
            return pen.nothing((0.0, 0.0), (f64::from(WIDTH), self.height()), "there are no rows or no series");
        }
        self.legend.draw(pen, 0.0)?;
        // Every other row is shaded, so that the eye keeps to it.
        for row in (1..self.rows.len()).step_by(2) {
            let y = plot.low.1 + row as f64 * self.row_height;
            pen.rectangle((0.0, y), (f64::from(WIDTH), y + self.row_height), SHADED)?;
        }
        plot.draw_across(pen, true)?;
        if self.rows.len() > MANY {
            plot.draw_across(pen, false)?;
            pen.line(&[plot.low, (plot.high.0, plot.low.1)], RULE, 1.0, SOLID)?;
        }
        pen.line(&[(plot.low.0, plot.high.1), plot.high], GREY, 1.0, SOLID)?;
        let middle = (plot.low.0 + plot.high.0) / 2.0;
        pen.words(&self.label, (middle, plot.high.1 + 34.0), AXIS, HPos::Center)?;
        let inside = |x: &f64| (plot.low.0..=plot.high.0).contains(x);
        if let Some((name, at)) = &self.reference
            && let Some(x) = plot.across(*at).filter(inside)
        {
            pen.line(&[(x, plot.low.1), (x, plot.high.1)], INK, 1.5, DOTTED)?;
            let y = if self.rows.len() > MANY { plot.low.1 - 28.0 } else { plot.low.1 - 9.0 };
            let width = SMALL.width(name) / 2.0;
            let x = x.clamp(width + 2.0, (f64::from(WIDTH) - width - 2.0).max(width + 2.0));
            pen.words(&SMALL.fitted(name, f64::from(WIDTH) - 8.0), (x, y), SMALL, HPos::Center)?;
        }
        for (row, (name, values)) in self.rows.iter().zip(&self.values).enumerate() {
            let paper = if row % 2 == 1 { SHADED } else { WHITE };
            let y = plot.low.1 + (row as f64 + 0.5) * self.row_height;
            pen.lines(name, (plot.low.0 - 14.0, y), NAME, HPos::Right)?;
            if let Some(words) = self.numbers.get(row) {
                pen.words(words, (f64::from(WIDTH) - 4.0, y), SMALL, HPos::Right)?;
            }
            for (at, value) in values.iter().enumerate() {
                let lane = at as f64 - (values.len() as f64 - 1.0) / 2.0;
                self.mark(pen, value, y + lane * LANE, Look::of(at), paper)?;
            }
        }
        Ok(())
    }
}

impl Dots {
    fn mark<DB: DrawingBackend>(
        &self,
        pen: &Pen<'_, DB>,
        value: &Estimate,
        y: f64,
        look: Look,
        paper: RGBColor,
    ) -> Result<(), String> {
        let plot = &self.plot;
        let (left, right) = (plot.low.0, plot.high.0);
        let Some(x) = defined(value).and_then(|value| plot.across(value)) else {
            let why = match defined(value) {
                Some(value) => format!("{} has no place on a logarithmic axis", written(value)),
                None => clean(reason(value)),
            };
            let font = SMALL.sized(10.5);
            let words = font.fitted(&format!("undefined: {why}"), right - left - 30.0);
            // No line runs through the words.
            pen.rectangle((left + 4.0, y - 6.0), (left + 24.0 + font.width(&words), y + 6.0), paper)?;
            pen.mark((left + 12.0, y), 3.0, Look { color: GREY, ..look }, 0.6)?;
            return pen.words(&words, (left + 22.0, y), font, HPos::Left);
        };
        if let Some((low, high)) = interval(value) {
            let end = |value: f64, other: f64| plot.across(value).unwrap_or(other).clamp(left, right);
            let (from, to) = (end(low, left), end(high, right));
            pen.line(&[(from, y), (to, y)], look.color, 1.5, SOLID)?;
            // An end that lies beyond the axis is an arrow, any other a stroke.
            for (value, at, out) in [(low, from, -1.0), (high, to, 1.0)] {
                let beyond = plot.across(value).is_none_or(|x| (x - at).abs() > 0.5);
                if beyond {
                    let tips = [(at, y), (at - 6.0 * out, y - 4.0), (at - 6.0 * out, y + 4.0)];
                    pen.area(&tips, look.color.mix(1.0))?;
                } else {
                    pen.line(&[(at, y - 3.5), (at, y + 3.5)], look.color, 1.5, SOLID)?;
                }
            }
        }
        if (left..=right).contains(&x) {
            return pen.mark((x, y), 4.5, look, 1.0);
        }
        // A value beyond the axis: its mark at the edge, and what it is.
        let at_right = x > right;
        let edge = if at_right { right - 8.0 } else { left + 8.0 };
        let words = format!("{} {}", if at_right { "beyond:" } else { "below:" }, written(value.value.unwrap_or(0.0)));
        pen.mark((edge, y), 4.5, look, 1.0)?;
        let (place, side) = if at_right { (edge - 10.0, HPos::Right) } else { (edge + 10.0, HPos::Left) };
        pen.words(&words, (place, y), SMALL.sized(10.5), side)
    }
}
