//! Points in groups, in panels side by side, each on axes of its own.

use std::collections::BTreeMap;

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axis::{Plot, Span};
use super::pen::{Font, Legend, Look, Pen, Place, Remarks, SMALL, Sample, clean};
use super::{Sketch, panel_height, panels};
use crate::figures::{GREY, INK, SOLID, WIDTH};
use crate::section::{Axis, ScatterPanel};

/// Of more points in a panel every k-th is drawn.
const MOST_POINTS: usize = 3000;

pub(super) struct Scatter<'a> {
    panels: &'a [ScatterPanel],
    labels: (&'a str, &'a str),
    plots: Vec<(Plot, (Place, Place))>,
    looks: BTreeMap<&'a str, Look>,
    legend: Legend,
    remarks: Remarks,
    bottom: f64,
}

impl<'a> Scatter<'a> {
    pub fn new(all: &'a [ScatterPanel], x: &'a Axis, y: &'a Axis) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in all.iter().flat_map(|panel| &panel.groups) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let entries = names.iter().enumerate().map(|(at, name)| (Sample::Mark(Look::of(at)), name.to_string()));
        let legend = Legend::new(2.0, entries.filter(|one| !one.1.is_empty()));
        let corners = panels(all.len(), legend.height, panel_height(all.len()) + 20.0);
        let bottom = corners.last().map_or(legend.height + 80.0, |last| last.1.1);
        let mut remarks = Vec::new();
        let mut plots = Vec::new();
        for (panel, corners) in all.iter().zip(corners) {
            let points = || panel.groups.iter().flat_map(|group| &group.1).chain(panel.labels.iter().map(|one| &one.0));
            let both = || points().filter(|point| point.iter().all(|part| part.is_finite()));
            let across = Span::new(x, both().map(|point| point[0]));
            let up = Span::new(y, both().map(|point| point[1]));
            let plot = Plot::new(corners.0, corners.1, across, up, &y.label);
            let place = if all.len() > 1 { format!("{}: ", panel.title) } else { String::new() };
            let lost = points().filter(|p| plot.place(p[0], p[1]).is_none_or(|place| !plot.holds(place))).count();
            if lost > 0 {
                remarks.push(format!("{place}{lost} points lie outside of the axes"));
            }
            let count: usize = panel.groups.iter().map(|group| group.1.len()).sum();
            if count > MOST_POINTS {
                let every = count.div_ceil(MOST_POINTS);
                remarks.push(format!("{place}of {count} points every {every}th is drawn"));
            }
            plots.push((plot, corners));
        }
        Self {
            panels: all,
            labels: (&x.label, &y.label),
            plots,
            looks: names.into_iter().enumerate().map(|(at, name)| (name, Look::of(at))).collect(),
            legend,
            remarks: Remarks::new(remarks),
            bottom,
        }
    }
}

impl Sketch for Scatter<'_> {
    fn height(&self) -> f64 {
        self.bottom + self.remarks.height()
    }

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>) -> Result<(), String> {
        if self.panels.is_empty() {
            return pen.nothing((0.0, 0.0), (f64::from(WIDTH), self.height()), "there are no panels");
        }
        self.legend.draw(pen, 0.0)?;
        for (panel, (plot, corners)) in self.panels.iter().zip(&self.plots) {
            let count: usize = panel.groups.iter().map(|group| group.1.len()).sum();
            if count + panel.labels.len() == 0 {
                pen.nothing_in(*corners, &panel.title, "there are no points")?;
                continue;
            }
            plot.draw(pen, &panel.title, self.labels)?;
            let every = count.div_ceil(MOST_POINTS).max(1);
            let (size, opacity) = if count > 300 { (2.6, 0.55) } else { (4.0, 0.75) };
            // Groups take turns, so that the last one does not hide the others.
            let mut shown: Vec<(f64, Place, Look)> = Vec::new();
            for (name, points) in &panel.groups {
                for (at, [x, y]) in points.iter().enumerate().step_by(every) {
                    if let Some(place) = plot.place(*x, *y).filter(|place| plot.holds(*place)) {
                        shown.push((at as f64 / points.len() as f64, place, self.looks[name.as_str()]));
                    }
                }
            }
            shown.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (_, place, look) in shown {
                pen.mark(place, size, look, if look.hollow { 1.0 } else { opacity })?;
            }
            draw_labels(pen, plot, panel)?;
        }
        self.remarks.draw(pen, self.bottom)
    }
}

/// Words beside points: on the side where they cover no other words and stay in the panel; with a white edge.
fn draw_labels<DB: DrawingBackend>(pen: &Pen<'_, DB>, plot: &Plot, panel: &ScatterPanel) -> Result<(), String> {
    let font = Font { bold: true, ..SMALL.colored(INK) };
    let mut taken: Vec<(Place, Place)> = Vec::new();
    let mut placed = Vec::new();
    for ([x, y], words) in &panel.labels {
        let Some(place) = plot.place(*x, *y).filter(|place| plot.holds(*place)) else { continue };
        let words = font.fitted(&clean(words), 180.0);
        let (width, half) = (font.width(&words), 7.0);
        // Right, left, above, below and between, then the same farther away.
        let rings = (0..7).flat_map(|ring| {
            let far = 16.0 * f64::from(ring);
            let (right, left, middle) = (8.0 + 0.6 * far, -8.0 - 0.6 * far - width, -width / 2.0);
            let (above, below) = (-14.0 - far, 14.0 + far);
            let straight = [(right, 0.0), (left, 0.0), (middle, above), (middle, below)];
            straight.into_iter().chain([(right, above), (right, below), (left, above), (left, below)])
        });
        let boxes = rings.map(|(aside, up)| {
            let (left, middle) = (place.0 + aside, place.1 + up);
            ((left, middle - half), (left + width, middle + half))
        });
        let boxes: Vec<(Place, Place)> = boxes.collect();
        let is_free = |(low, high): &&(Place, Place)| {
            plot.holds(*low)
                && plot.holds(*high)
                && taken.iter().all(|(a, b)| high.0 < a.0 || low.0 > b.0 || high.1 < a.1 || low.1 > b.1)
        };
        let chosen = *boxes.iter().find(is_free).unwrap_or(&boxes[0]);
        taken.push(chosen);
        let at = (chosen.0.0, (chosen.0.1 + chosen.1.1) / 2.0);
        placed.push((at, words));
        // A thin line to words that are far from their place, below all words.
        let nearest = (place.0.clamp(chosen.0.0, chosen.1.0), place.1.clamp(chosen.0.1, chosen.1.1));
        if (nearest.0 - place.0).hypot(nearest.1 - place.1) > 16.0 {
            pen.line(&[place, nearest], GREY, 1.0, SOLID)?;
        }
    }
    for (at, words) in placed {
        let edge = |step: i32| (f64::from(step) * std::f64::consts::FRAC_PI_4).sin_cos();
        for (x, y) in (0..8).map(edge) {
            pen.words(&words, (at.0 + 1.75 * x, at.1 + 1.75 * y), font.colored(WHITE), HPos::Left)?;
        }
        pen.words(&words, at, font, HPos::Left)?;
    }
    Ok(())
}
