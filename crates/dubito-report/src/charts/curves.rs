//! Lines with their intervals, in panels side by side on the same axes.

use std::collections::BTreeMap;

use dubito_stats::Estimate;
use plotters::prelude::*;

use super::axis::{Plot, Span};
use super::pen::{DOTTED, Legend, Look, Pen, Place, Remarks, Sample};
use super::{Sketch, defined, interval, panel_height, panels, reason, written};
use crate::figures::{GREY, SOLID, WIDTH};
use crate::section::{Axis, CurvesPanel};

/// Lines of at most so many points have a bar at each, others a band.
const MOST_BARS: usize = 14;

pub(super) struct Curves<'a> {
    panels: &'a [CurvesPanel],
    labels: (&'a str, &'a str),
    plots: Vec<(Plot, (Place, Place))>,
    /// Which look the lines of a name have, in every panel.
    looks: BTreeMap<&'a str, Look>,
    reference: Option<f64>,
    legend: Legend,
    remarks: Remarks,
    bottom: f64,
}

impl<'a> Curves<'a> {
    pub fn new(all: &'a [CurvesPanel], x: &'a Axis, y: &'a Axis, reference: Option<&(String, f64)>) -> Self {
        let reference = reference.filter(|reference| reference.1.is_finite());
        let points = || all.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let across = Span::new(x, points().filter(|point| defined(&point.1).is_some()).map(|point| point.0));
        let ends = points().filter_map(|point| {
            let value = defined(&point.1)?;
            let (low, high) = interval(&point.1).unwrap_or((value, value));
            Some([value, low, high])
        });
        let up = Span::new(y, ends.flatten().chain(reference.map(|one| one.1)));

        let mut names: Vec<&str> = Vec::new();
        for line in all.iter().flat_map(|panel| &panel.lines) {
            if !names.contains(&line.name.as_str()) {
                names.push(&line.name);
            }
        }
        let entries = names.iter().enumerate().map(|(at, name)| (Sample::Line(Look::of(at)), name.to_string()));
        let named = reference.map(|one| (Sample::Reference, one.0.clone()));
        let legend = Legend::new(2.0, entries.chain(named).filter(|one| !one.1.is_empty()));
        let height = if points().any(|point| defined(&point.1).is_some()) { panel_height(all.len()) } else { 90.0 };
        let corners = panels(all.len(), legend.height, height);
        let bottom = corners.last().map_or(legend.height + 80.0, |last| last.1.1);
        let plots = corners
            .into_iter()
            .map(|corners| (Plot::new(corners.0, corners.1, across.clone(), up.clone(), &y.label), corners));

        let mut remarks = Vec::new();
        for panel in all {
            for line in &panel.lines {
                let place = if all.len() > 1 { format!("{}, {}", panel.title, line.name) } else { line.name.clone() };
                remarks.extend(undefined(&place, &line.points));
                let lost = line
                    .points
                    .iter()
                    .filter(|(x, y)| defined(y).is_some_and(|y| across.share(*x).is_none() || up.share(y).is_none()));
                let lost = lost.count();
                if lost > 0 {
                    remarks.push(format!("{place}: {lost} points at or below 0 have no place on a logarithmic axis"));
                }
            }
        }
        Self {
            panels: all,
            labels: (&x.label, &y.label),
            plots: plots.collect(),
            looks: names.into_iter().enumerate().map(|(at, name)| (name, Look::of(at))).collect(),
            reference: reference.map(|one| one.1),
            legend,
            remarks: Remarks::new(remarks),
            bottom,
        }
    }
}

/// Where a line is undefined, and why.
fn undefined(name: &str, points: &[(f64, Estimate)]) -> Vec<String> {
    if points.is_empty() {
        return vec![format!("{name}: has no points")];
    }
    let mut by_reason: Vec<(&str, Vec<f64>)> = Vec::new();
    for (x, value) in points.iter().filter(|point| defined(&point.1).is_none()) {
        match by_reason.iter_mut().find(|known| known.0 == reason(value)) {
            Some(known) => known.1.push(*x),
            None => by_reason.push((reason(value), vec![*x])),
        }
    }
    let say = |(why, places): (&str, Vec<f64>)| {
        if places.len() == points.len() {
            return format!("{name}: undefined: {why}");
        }
        let written = |x: &f64| if x.fract() == 0.0 { x.to_string() } else { written(*x) };
        let at: Vec<String> = places.iter().take(4).map(written).collect();
        let more = if places.len() > 4 { format!(" and {} more", places.len() - 4) } else { String::new() };
        format!("{name}: undefined at {}{more}: {why}", at.join(", "))
    };
    by_reason.into_iter().map(say).collect()
}

impl Sketch for Curves<'_> {
    fn height(&self) -> f64 {
        self.bottom + self.remarks.height()
    }

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>) -> Result<(), String> {
        if self.panels.is_empty() {
            return pen.nothing((0.0, 0.0), (f64::from(WIDTH), self.height()), "there are no panels");
        }
        self.legend.draw(pen, 0.0)?;
        for (panel, (plot, corners)) in self.panels.iter().zip(&self.plots) {
            if panel.lines.iter().all(|line| line.points.iter().all(|point| defined(&point.1).is_none())) {
                pen.nothing_in(*corners, &panel.title, "no line has a value")?;
                continue;
            }
            plot.draw(pen, &panel.title, self.labels)?;
            if let Some(y) = self.reference.and_then(|at| plot.up(at)) {
                pen.line(&[(plot.low.0, y), (plot.high.0, y)], GREY, 1.5, DOTTED)?;
            }
            let banded = |line: &crate::section::Curve| line.points.len() > MOST_BARS;
            for line in panel.lines.iter().filter(|line| banded(line)) {
                band(pen, plot, &line.points, self.looks[line.name.as_str()])?;
            }
            let count = panel.lines.len() as f64;
            for (at, line) in panel.lines.iter().enumerate().rev() {
                let look = self.looks[line.name.as_str()];
                // Lines with bars stand a little beside each other, so that no bar hides another.
                let apart = (14.0 / count).min(3.0);
                let aside = if banded(line) { 0.0 } else { apart * (at as f64 - (count - 1.0) / 2.0) };
                draw_line(pen, plot, &line.points, look, aside)?;
            }
        }
        self.remarks.draw(pen, self.bottom)
    }
}

fn draw_line<DB: DrawingBackend>(
    pen: &Pen<'_, DB>,
    plot: &Plot,
    points: &[(f64, Estimate)],
    look: Look,
    aside: f64,
) -> Result<(), String> {
    let bars = points.len() <= MOST_BARS && points.iter().any(|point| interval(&point.1).is_some());
    let aside = if bars { aside } else { 0.0 };
    let place = |point: &(f64, Estimate)| {
        let (x, y) = plot.place(point.0, defined(&point.1)?)?;
        Some((x + aside, y))
    };
    // Between two points that are defined runs a line; what is undefined interrupts it.
    for run in points.split(|point| place(point).is_none()) {
        let places: Vec<Place> = run.iter().filter_map(place).collect();
        let mut within: Vec<Place> = Vec::new();
        for pair in places.windows(2) {
            let Some((from, to)) = plot.clipped(pair[0], pair[1]) else { continue };
            if within.last() != Some(&from) {
                pen.line(&within, look.color, 2.0, look.dash)?;
                within = vec![from];
            }
            within.push(to);
        }
        pen.line(&within, look.color, 2.0, look.dash)?;
    }
    let shown: Vec<&(f64, Estimate)> =
        points.iter().filter(|point| place(point).is_some_and(|place| plot.holds(place))).collect();
    // Marks tell lines apart; of a long line a dozen do.
    let every = if points.len() > MOST_BARS { shown.len().div_ceil(10).max(1) } else { 1 };
    for (at, point) in shown.iter().enumerate() {
        let Some((x, y)) = place(point) else { continue };
        if let Some((low, high)) = interval(&point.1).filter(|_| bars) {
            let end = |value: f64, edge: f64| plot.up(value).unwrap_or(edge).clamp(plot.low.1, plot.high.1);
            let (low, high) = (end(low, plot.high.1), end(high, plot.low.1));
            pen.line(&[(x, low), (x, high)], look.color, 1.25, SOLID)?;
            for y in [low, high] {
                pen.line(&[(x - 2.5, y), (x + 2.5, y)], look.color, 1.25, SOLID)?;
            }
        }
        if at % every == every / 2 {
            pen.mark((x, y), 4.0, look, 1.0)?;
        }
    }
    Ok(())
}

/// The intervals of a line, as a light band.
fn band<DB: DrawingBackend>(
    pen: &Pen<'_, DB>,
    plot: &Plot,
    points: &[(f64, Estimate)],
    look: Look,
) -> Result<(), String> {
    let ends = |point: &(f64, Estimate)| {
        defined(&point.1)?;
        let (low, high) = interval(&point.1)?;
        let x = plot.across(point.0).filter(|x| (plot.low.0..=plot.high.0).contains(x))?;
        let y = |value: f64, edge: f64| plot.up(value).unwrap_or(edge).clamp(plot.low.1, plot.high.1);
        Some((x, y(low, plot.high.1), y(high, plot.low.1)))
    };
    for run in points.split(|point| ends(point).is_none()) {
        let found: Vec<(f64, f64, f64)> = run.iter().filter_map(ends).collect();
        if found.len() > 1 {
            let there = found.iter().map(|&(x, low, _)| (x, low));
            let back = found.iter().rev().map(|&(x, _, high)| (x, high));
            pen.area(&there.chain(back).collect::<Vec<_>>(), look.color.mix(0.16))?;
        }
    }
    Ok(())
}
