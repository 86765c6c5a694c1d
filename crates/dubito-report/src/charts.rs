//! Draws the charts of experiments, each kind to SVG and PNG by the same function, and gives the data behind them.
//!
//! Colours, dashes and shapes are those of [`figures`](crate::figures). What is undefined is drawn as such, its reason
//! below the drawing.

mod axis;
mod curves;
mod dots;
mod matrix;
mod pen;
mod pictures;
mod scatter;

use std::path::Path;

use dubito_stats::Estimate;
use plotters::coord::Shift;
use plotters::prelude::*;

use self::pen::Pen;
use crate::ReportError;
use crate::figures::{Draw, Figure, WIDTH, fine_figure, fonts};
use crate::section::{Chart, ChartKind, Table, Value};

/// A chart with everything in its place, ready to be drawn.
trait Sketch {
    /// Its height in CSS pixels; its width is that of every figure.
    fn height(&self) -> f64;

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>) -> Result<(), String>;
}

/// A sketch drawn in pixels, or not.
struct Drawing<'a, S> {
    sketch: &'a S,
    in_pixels: bool,
}

impl<S: Sketch> Draw for Drawing<'_, S> {
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, scale: f64) -> Result<(), String> {
        self.sketch.draw(&Pen::new(area, scale, self.in_pixels))
    }
}

impl Chart {
    /// Draws the chart under the name `name` (of its files; letters, digits, `_`). `folder` is where the section's own files
    /// are, for pictures. A picture that can't be read is drawn as an empty tile that says so.
    ///
    /// # Errors
    /// A fault in drawing.
    pub fn draw(&self, name: &str, folder: &Path) -> Result<Figure, ReportError> {
        fonts().map_err(|problem| ReportError::Figure { figure: name.into(), problem })?;
        let mut figure = match &self.kind {
            ChartKind::Matrix { rows, columns, values, what, ends, by_row } => {
                let scale = if *by_row { matrix::Scale::ByRow } else { matrix::Scale::Common(*ends) };
                self.sketched(name, &matrix::Matrix::new(rows, columns, values, what, scale))?
            }
            ChartKind::Dots { rows, series, x, reference } => {
                self.sketched(name, &dots::Dots::new(rows, series, x, reference.as_ref()))?
            }
            ChartKind::Curves { panels, x, y, reference } => {
                self.sketched(name, &curves::Curves::new(panels, x, y, reference.as_ref()))?
            }
            ChartKind::Scatter { panels, x, y } => self.sketched(name, &scatter::Scatter::new(panels, x, y))?,
            ChartKind::Pictures { columns, tiles } => {
                pictures::draw(name, self, &pictures::Pictures::new(*columns, tiles, folder))?
            }
        };
        figure.svg = with_words(&figure.svg, name, &self.title, &self.in_words());
        Ok(figure)
    }

    fn sketched(&self, name: &str, sketch: &impl Sketch) -> Result<Figure, ReportError> {
        let both = (&Drawing { sketch, in_pixels: false }, &Drawing { sketch, in_pixels: true });
        fine_figure(name, &self.title, &self.caption, height_of(sketch), both)
    }

    /// The data of the chart, a row for each number, point or picture.
    pub fn data(&self) -> Table {
        let (columns, rows): (Vec<&str>, Vec<Vec<Value>>) = match &self.kind {
            ChartKind::Matrix { rows, columns, values, .. } => {
                let cells = rows.iter().enumerate().flat_map(|(at_row, row)| {
                    columns.iter().enumerate().map(move |(at_column, column)| {
                        let value = matrix::cell(values, at_row, at_column);
                        vec![row.as_str().into(), column.as_str().into(), value.into()]
                    })
                });
                (vec!["row", "column", "value"], cells.collect())
            }
            ChartKind::Dots { rows, series, .. } => {
                let marks = rows.iter().enumerate().flat_map(|(at, row)| {
                    series.iter().map(move |(name, values)| {
                        let value = values.get(at).cloned().unwrap_or_else(not_given);
                        vec![row.as_str().into(), name.as_str().into(), value.into()]
                    })
                });
                (vec!["row", "series", "value"], marks.collect())
            }
            ChartKind::Curves { panels, .. } => {
                let mut points = Vec::new();
                for panel in panels {
                    for line in &panel.lines {
                        points.extend(line.points.iter().map(|(x, y)| {
                            let names = [panel.title.as_str().into(), line.name.as_str().into()];
                            names.into_iter().chain([number(*x), y.clone().into()]).collect()
                        }));
                    }
                }
                (vec!["panel", "line", "x", "value"], points)
            }
            ChartKind::Scatter { panels, .. } => {
                let mut points = Vec::new();
                for panel in panels {
                    let mut point = |group: &str, [x, y]: [f64; 2], label: &str| {
                        let words = [panel.title.as_str().into(), group.into(), label.into()];
                        points.push(words.into_iter().chain([number(x), number(y)]).collect());
                    };
                    for (group, all) in &panel.groups {
                        all.iter().for_each(|&at| point(group, at, ""));
                    }
                    panel.labels.iter().for_each(|(at, label)| point("", *at, label));
                }
                (vec!["panel", "group", "label", "x", "y"], points)
            }
            ChartKind::Pictures { tiles, .. } => {
                let tile = |(name, file): &(String, String)| vec![name.as_str().into(), file.as_str().into()];
                (vec!["picture", "file"], tiles.iter().map(tile).collect())
            }
        };
        Table {
            name: self.name.clone(),
            title: format!("Data of: {}", self.title),
            caption: self.caption.clone(),
            columns: columns.into_iter().map(String::from).collect(),
            rows,
        }
    }

    /// What is drawn, for those who can't see it.
    pub fn in_words(&self) -> String {
        let range = |values: &mut dyn Iterator<Item = &Estimate>| {
            let (mut known, mut low, mut high, mut unknown) = (0, f64::INFINITY, f64::NEG_INFINITY, 0);
            for value in values {
                match defined(value) {
                    Some(value) => (known, low, high) = (known + 1, low.min(value), high.max(value)),
                    None => unknown += 1,
                }
            }
            let less = if unknown > 0 { format!("; {unknown} undefined") } else { String::new() };
            if known == 0 {
                format!("nothing defined{less}")
            } else {
                format!("{} to {}{less}", written(low), written(high))
            }
        };
        let names = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(", ");
        let what = match &self.kind {
            ChartKind::Matrix { rows, columns, values, what, by_row, .. } => format!(
                "Matrix of {what}: {}{}. Rows: {}. Columns: {}.",
                range(&mut values.iter().flatten()),
                if *by_row { "; each row is shaded from its own smallest to its own largest number" } else { "" },
                names(&mut rows.iter().map(String::as_str)),
                names(&mut columns.iter().map(String::as_str))
            ),
            ChartKind::Dots { rows, series, x, .. } => format!(
                "Marks with intervals of {}: {}. {} rows: {}. Series: {}.",
                x.label,
                range(&mut series.iter().flat_map(|one| &one.1)),
                rows.len(),
                names(&mut rows.iter().map(String::as_str)),
                names(&mut series.iter().map(|one| one.0.as_str()))
            ),
            ChartKind::Curves { panels, x, y, .. } => {
                let panel = |panel: &crate::section::CurvesPanel| {
                    let lines = panel
                        .lines
                        .iter()
                        .map(|line| format!("{}: {}", line.name, range(&mut line.points.iter().map(|point| &point.1))));
                    format!("{} ({})", panel.title, lines.collect::<Vec<_>>().join("; "))
                };
                let panels: Vec<String> = panels.iter().map(panel).collect();
                format!("Lines of {} against {}. {}.", y.label, x.label, panels.join(". "))
            }
            ChartKind::Scatter { panels, x, y } => {
                let panel = |panel: &crate::section::ScatterPanel| {
                    let groups = panel.groups.iter().map(|(name, points)| format!("{name}: {} points", points.len()));
                    format!("{} ({})", panel.title, groups.collect::<Vec<_>>().join("; "))
                };
                let panels: Vec<String> = panels.iter().map(panel).collect();
                format!("Points of {} against {}. {}.", y.label, x.label, panels.join(". "))
            }
            ChartKind::Pictures { tiles, .. } => {
                format!("{} pictures: {}.", tiles.len(), names(&mut tiles.iter().map(|tile| tile.0.as_str())))
            }
        };
        format!("{what} The data of the figure hold every number.")
    }
}

fn height_of(sketch: &impl Sketch) -> u32 {
    sketch.height().ceil().clamp(40.0, 20_000.0) as u32
}

fn number(value: f64) -> Value {
    Value::Estimate(if value.is_finite() { Estimate::point(value) } else { Estimate::undefined("not a finite number") })
}

/// The value of an estimate, where it has one that can be drawn.
fn defined(estimate: &Estimate) -> Option<f64> {
    estimate.value.filter(|value| value.is_finite())
}

/// The interval of an estimate, where it has one that can be drawn.
fn interval(estimate: &Estimate) -> Option<(f64, f64)> {
    Some((estimate.low.filter(|low| low.is_finite())?, estimate.high.filter(|high| high.is_finite())?))
}

/// Why an estimate has no value.
fn reason(estimate: &Estimate) -> &str {
    estimate.undefined_because.as_deref().unwrap_or("no reason given")
}

/// What stands where a value is missing in a list that is too short.
fn not_given() -> Estimate {
    Estimate::undefined("not given")
}

/// A number as it is written in tables: three decimals, more of a small one, none of a large one, with a true minus.
pub(crate) fn written(value: f64) -> String {
    let size = value.abs();
    let words = match size {
        _ if value == 0.0 => "0.000".into(),
        _ if !value.is_finite() => "–".into(),
        _ if size < 1e-5 => format!("{value:.1e}"),
        _ if size < 5e-4 => format!("{value:.*}", (1.0 - size.log10().floor()) as usize),
        _ if size < 1000.0 => format!("{value:.3}"),
        _ if size < 1e9 => format!("{value:.0}"),
        _ => format!("{value:.2e}"),
    };
    words.replace('-', "−")
}

/// The drawing with a title and a description, which screen readers read.
fn with_words(svg: &str, name: &str, title: &str, description: &str) -> String {
    let escape = |words: &str| {
        pen::clean(words).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
    };
    let id: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let Some((head, rest)) = svg.split_once('>') else { return svg.into() };
    format!(
        "{head} role=\"img\" aria-labelledby=\"title-{id} desc-{id}\">\n<title id=\"title-{id}\">{}</title>\n<desc id=\"desc-{id}\">{}</desc>{rest}",
        escape(title),
        escape(description)
    )
}

/// Corners of `count` panels of one height, at most three in a row, below `top`.
fn panels(count: usize, top: f64, height: f64) -> Vec<(pen::Place, pen::Place)> {
    let in_row = in_row(count);
    let width = f64::from(WIDTH) / in_row as f64;
    (0..count)
        .map(|at| {
            let low = ((at % in_row) as f64 * width, top + (at / in_row) as f64 * height);
            (low, (low.0 + width, low.1 + height))
        })
        .collect()
}

/// How many panels stand in a row: at most three, and four in two rows.
fn in_row(count: usize) -> usize {
    match count {
        0 | 1 => 1,
        2 | 4 => 2,
        _ => 3,
    }
}

/// Height of a panel: the more stand in a row, the lower.
fn panel_height(count: usize) -> f64 {
    [350.0, 330.0, 290.0][in_row(count) - 1]
}
