//! A number for each row and column: shade and figures.

use dubito_stats::Estimate;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::pen::{AXIS, Font, NAME, Pen, Remarks, SMALL, clean};
use super::{Sketch, defined, interval, not_given, reason};
use crate::figures::{GREY, INK, SOLID, WIDTH};

/// What figures in light cells are written in.
const DARK: RGBColor = RGBColor(10, 14, 22);
/// Lightest and darkest shade, with one between them: light to dark, so that they tell the order in grey too.
const SHADES: [RGBColor; 3] = [RGBColor(233, 242, 249), RGBColor(58, 141, 196), RGBColor(8, 45, 92)];

/// The number of a cell, or that it was not given.
pub(super) fn cell(values: &[Vec<Estimate>], row: usize, column: usize) -> Estimate {
    values.get(row).and_then(|row| row.get(column)).cloned().unwrap_or_else(not_given)
}

/// What the lightest and the darkest shade stand for.
#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// In every row the same: these numbers, or the smallest and the largest of all.
    Common(Option<[f64; 2]>),
    /// In each row its own smallest and largest number.
    ByRow,
}

pub(super) struct Matrix {
    /// What the numbers are, in lines.
    what: Vec<String>,
    /// Names of the rows, each in lines.
    rows: Vec<Vec<String>>,
    columns: Heads,
    cells: Vec<Vec<Cell>>,
    /// What the lightest and the darkest shade are, in words; none where there is one shade or no number.
    ends: Option<(String, String)>,
    undefined: bool,
    /// Room for the names of rows, and size of a cell.
    left: f64,
    width: f64,
    height: f64,
    figures: f64,
    remarks: Remarks,
}

/// Names of columns.
enum Heads {
    /// In lines above each column.
    Lines(Vec<Vec<String>>),
    /// Read from below, with the length of the longest.
    Upward(Vec<String>, f64),
}

/// What stands in a cell.
struct Cell {
    /// 0 to 1; none without a number.
    shade: Option<f64>,
    value: String,
    interval: String,
}

const NUMBER: Font = Font { size: 13.0, color: INK, bold: false };

impl Matrix {
    pub fn new(rows: &[String], columns: &[String], values: &[Vec<Estimate>], what: &str, scale: Scale) -> Self {
        let all: Vec<Vec<Estimate>> =
            (0..rows.len()).map(|row| (0..columns.len()).map(|column| cell(values, row, column)).collect()).collect();
        let known: Vec<f64> = all.iter().flatten().filter_map(defined).collect();
        let known_in = |row: usize| -> Vec<f64> { all[row].iter().filter_map(defined).collect() };
        let given = match scale {
            Scale::Common(ends) => ends.filter(|[a, b]| a.is_finite() && b.is_finite()),
            Scale::ByRow => None,
        };
        let common = given.map(|[a, b]| (a.min(b), a.max(b))).or_else(|| span(&known));
        let ends = |row: usize| match scale {
            Scale::Common(_) => common,
            Scale::ByRow => span(&known_in(row)),
        };

        let names: Vec<String> = rows.iter().map(|row| clean(row)).collect();
        let longest = names.iter().map(|name| NAME.width(name)).fold(0.0, f64::max);
        let left = longest.min(230.0) + 14.0;
        let room = f64::from(WIDTH) - left - 2.0;
        let width = (room / columns.len().max(1) as f64).min(130.0);
        let columns = Heads::new(columns, width);

        let widest = |values: &[f64], places: usize| -> f64 {
            values.iter().map(|value| NUMBER.width(&short(*value, places))).fold(1.0, f64::max)
        };
        // As many as stand in a cell.
        let fitting = |values: &[f64], places: usize| {
            let fits = |places: &usize| 9.0 / NUMBER.size * widest(values, *places) <= width - 4.0;
            (0..=places).rev().find(fits).unwrap_or(0)
        };
        let places = fitting(&known, decimals(&known));
        let in_row: Vec<usize> = (0..all.len())
            .map(|row| {
                let known = known_in(row);
                let unread = known.iter().any(|v| *v != 0.0) && known.iter().all(|v| is_zero(&short(*v, places)));
                if matches!(scale, Scale::ByRow) || unread { fitting(&known, decimals(&known)) } else { places }
            })
            .collect();
        let widest = in_row.iter().enumerate().map(|(row, &places)| widest(&known_in(row), places)).fold(1.0, f64::max);
        let figures = NUMBER.size.min(NUMBER.size * (width - 6.0) / widest).max(6.0);
        let between = |estimate: &Estimate, places: usize| {
            let (low, high) = interval(estimate)?;
            let between = if low < 0.0 { " to " } else { "–" };
            Some(format!("{}{between}{}", short(low, places), short(high, places)))
        };
        let small = SMALL.sized(10.0);
        let intervals: Vec<String> = all
            .iter()
            .zip(&in_row)
            .flat_map(|(row, &places)| row.iter().filter_map(move |estimate| between(estimate, places)))
            .collect();
        let shows = !intervals.is_empty() && intervals.iter().all(|words| small.width(words) <= width - 6.0);
        let cells = all.iter().enumerate().map(|(number, row)| {
            let (places, ends) = (in_row[number], ends(number));
            let cell = |estimate: &Estimate| match (defined(estimate), ends) {
                (Some(value), Some((low, high))) => Cell {
                    shade: Some(if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 }),
                    value: short(value, places),
                    interval: if shows { between(estimate, places).unwrap_or_default() } else { String::new() },
                },
                _ => Cell { shade: None, value: "–".into(), interval: String::new() },
            };
            row.iter().map(cell).collect()
        });
        let undefined = all.iter().flatten().filter(|estimate| defined(estimate).is_none());
        let reasons: Vec<String> = undefined.map(|estimate| format!("–  undefined: {}", reason(estimate))).collect();
        Self {
            what: AXIS.wrapped(&clean(what), f64::from(WIDTH) - 8.0, 2),
            rows: names.iter().map(|name| NAME.wrapped(name, 230.0, 2)).collect(),
            columns,
            cells: cells.collect(),
            ends: match scale {
                Scale::Common(_) => common
                    .filter(|ends| !known.is_empty() && ends.0 < ends.1)
                    .map(|(low, high)| (short(low, places), short(high, places))),
                Scale::ByRow => (0..all.len())
                    .any(|row| ends(row).is_some_and(|ends| ends.0 < ends.1))
                    .then(|| ("smallest in its row".into(), "largest in its row".into())),
            },
            undefined: !reasons.is_empty(),
            left,
            width,
            height: if shows { 42.0 } else { 34.0 },
            figures,
            remarks: Remarks::new(reasons),
        }
    }

    fn top(&self) -> f64 {
        let what = if self.what.iter().all(String::is_empty) { 0.0 } else { 8.0 + 16.0 * self.what.len() as f64 };
        what + self.columns.height()
    }

    fn key(&self) -> f64 {
        self.top() + self.rows.len() as f64 * self.height + 12.0
    }
}

impl Heads {
    fn new(columns: &[String], width: f64) -> Self {
        let names: Vec<String> = columns.iter().map(|column| clean(column)).collect();
        let lines: Vec<Vec<String>> = names.iter().map(|name| NAME.wrapped(name, width - 8.0, 3)).collect();
        if width >= 96.0 || lines.iter().flatten().all(|line| !line.ends_with('…')) {
            return Self::Lines(lines);
        }
        let names: Vec<String> = names.iter().map(|name| NAME.fitted(name, 190.0)).collect();
        let longest = names.iter().map(|name| NAME.width(name)).fold(0.0, f64::max);
        Self::Upward(names, longest)
    }

    fn height(&self) -> f64 {
        match self {
            Self::Lines(lines) => 12.0 + 16.0 * lines.iter().map(Vec::len).max().unwrap_or(0) as f64,
            Self::Upward(_, longest) => longest + 16.0,
        }
    }
}

impl Sketch for Matrix {
    fn height(&self) -> f64 {
        self.key() + 24.0 + self.remarks.height()
    }

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>) -> Result<(), String> {
        let top = self.top();
        if self.rows.is_empty() || self.cells.iter().all(Vec::is_empty) {
            return pen.nothing((0.0, 0.0), (f64::from(WIDTH), self.height()), "there are no rows or no columns");
        }
        for (at, line) in self.what.iter().enumerate() {
            pen.words(line, (2.0, 10.0 + 16.0 * at as f64), AXIS, HPos::Left)?;
        }
        let middle = |column: usize| self.left + (column as f64 + 0.5) * self.width;
        match &self.columns {
            Heads::Lines(lines) => {
                for (column, lines) in lines.iter().enumerate() {
                    let y = top - 8.0 - 15.6 * lines.len() as f64 / 2.0;
                    pen.lines(lines, (middle(column), y), NAME, HPos::Center)?;
                }
            }
            Heads::Upward(names, _) => {
                for (column, name) in names.iter().enumerate() {
                    pen.upward(name, (middle(column), top - 8.0), NAME, HPos::Left)?;
                }
            }
        }
        for (row, (name, cells)) in self.rows.iter().zip(&self.cells).enumerate() {
            let y = top + row as f64 * self.height;
            pen.lines(name, (self.left - 12.0, y + self.height / 2.0), NAME, HPos::Right)?;
            for (column, cell) in cells.iter().enumerate() {
                let x = self.left + column as f64 * self.width;
                let (low, high) = ((x + 1.0, y + 1.0), (x + self.width - 1.0, y + self.height - 1.0));
                let middle = (x + self.width / 2.0, y + self.height / 2.0);
                let ink = match cell.shade {
                    Some(shade) => {
                        let color = shaded(shade);
                        pen.rectangle(low, high, color)?;
                        contrasting(color)
                    }
                    None => {
                        pen.hatched(low, high)?;
                        GREY
                    }
                };
                let font = NUMBER.sized(self.figures).colored(ink);
                if cell.interval.is_empty() {
                    pen.words(&cell.value, middle, font, HPos::Center)?;
                } else {
                    pen.words(&cell.value, (middle.0, middle.1 - 7.0), font, HPos::Center)?;
                    let small = SMALL.sized(10.0).colored(ink);
                    pen.words(&cell.interval, (middle.0, middle.1 + 9.0), small, HPos::Center)?;
                }
            }
        }
        // The key: which shade is which number.
        let (mut x, y) = (self.left + 1.0, self.key() + 8.0);
        if let Some((low, high)) = &self.ends {
            pen.words(low, (x, y), AXIS, HPos::Left)?;
            x += AXIS.width(low) + 8.0;
            for step in 0..40 {
                let from = x + 4.0 * f64::from(step);
                // Each reaches to the end and is painted over by the next, so that no seam is left.
                pen.rectangle((from, y - 6.0), (x + 160.0, y + 6.0), shaded(f64::from(step) / 39.0))?;
            }
            x += 168.0;
            pen.words(high, (x, y), AXIS, HPos::Left)?;
            x += AXIS.width(high) + 28.0;
        }
        if self.undefined {
            pen.hatched((x, y - 7.0), (x + 26.0, y + 7.0))?;
            pen.words("undefined", (x + 34.0, y), AXIS, HPos::Left)?;
        }
        // A line below the names of columns holds the table together where cells are light.
        pen.line(
            &[(self.left, top - 1.0), (middle(self.cells[0].len() - 1) + self.width / 2.0, top - 1.0)],
            GREY,
            1.0,
            SOLID,
        )?;
        self.remarks.draw(pen, self.key() + 20.0)
    }
}

/// The smallest and the largest of some numbers.
fn span(values: &[f64]) -> Option<(f64, f64)> {
    values.iter().copied().reduce(f64::min).zip(values.iter().copied().reduce(f64::max))
}

/// Whether a number reads as 0.
fn is_zero(words: &str) -> bool {
    words.bytes().all(|b| matches!(b, b'0' | b'.'))
}

/// Decimals that tell the numbers of a matrix apart.
fn decimals(values: &[f64]) -> usize {
    if values.iter().all(|value| value.fract() == 0.0) {
        return 0;
    }
    match values.iter().map(|value| value.abs()).fold(0.0, f64::max) {
        largest if largest >= 100.0 => 1,
        largest if largest >= 0.1 => 2,
        largest if largest > 0.0 => (1.0 - largest.log10().floor()).min(6.0) as usize,
        _ => 0,
    }
}

/// A number with so many decimals; with a power of ten where it is too large or too small for them.
fn short(value: f64, places: usize) -> String {
    let words = match value.abs() {
        size if size >= 1e6 || (places >= 6 && size > 0.0 && size < 1e-4) => format!("{value:.1e}"),
        _ => format!("{:.places$}", value),
    };
    match words.strip_prefix('-').filter(|rest| is_zero(rest)) {
        Some(zero) => zero.to_owned(),
        None => words.replace('-', "−"),
    }
}

fn shaded(shade: f64) -> RGBColor {
    let (from, to, share) =
        if shade < 0.5 { (SHADES[0], SHADES[1], 2.0 * shade) } else { (SHADES[1], SHADES[2], 2.0 * shade - 1.0) };
    let mix = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// Dark or white, whichever stands out more (contrast of WCAG 2).
fn contrasting(color: RGBColor) -> RGBColor {
    let luminance = |color: RGBColor| {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(color.0) + 0.7152 * linear(color.1) + 0.0722 * linear(color.2)
    };
    let contrast = |a: RGBColor, b: RGBColor| {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    };
    if contrast(WHITE, color) > contrast(DARK, color) { WHITE } else { DARK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_grow_darker_and_words_stand_out() {
        let light = |color: RGBColor| u32::from(color.0) + u32::from(color.1) + u32::from(color.2);
        for step in 0..20 {
            let (one, next) = (shaded(f64::from(step) / 20.0), shaded(f64::from(step + 1) / 20.0));
            assert!(light(next) < light(one));
        }
        assert_eq!((contrasting(shaded(0.0)), contrasting(shaded(1.0))), (DARK, WHITE));
    }

    #[test]
    fn numbers_have_the_decimals_that_they_need() {
        assert_eq!((decimals(&[1.0, 20.0]), decimals(&[0.93, 0.5]), decimals(&[0.0012])), (0, 2, 4));
        assert_eq!(short(-0.001, 2), "0.00");
        assert_eq!(short(-0.31, 2), "−0.31");
        assert_eq!(short(12_345_678.0, 0), "1.2e7");
    }

    #[test]
    fn a_row_of_small_numbers_reads_and_may_have_its_own_scale() {
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        let row = |scale: f64| [0.2, 0.5, 0.9].map(|v| Estimate::point(scale * v)).to_vec();
        let values = [row(1.0), row(0.001), vec![Estimate::point(0.0); 3]];
        let shown = |scale: Scale| {
            let drawn = Matrix::new(&names(3), &names(3), &values, "nats", scale);
            let words = drawn.cells.iter().map(|row| row.iter().map(|c| c.value.clone()).collect::<Vec<_>>().join(" "));
            let shades: Vec<Vec<f64>> =
                drawn.cells.iter().map(|row| row.iter().map(|cell| cell.shade.unwrap_or(-1.0)).collect()).collect();
            (words.collect::<Vec<_>>(), shades, drawn.ends)
        };
        let (words, shades, ends) = shown(Scale::Common(None));
        assert_eq!(words, ["0.20 0.50 0.90", "0.00020 0.00050 0.00090", "0.00 0.00 0.00"]);
        assert!(shades[0][2] == 1.0 && shades[1].iter().all(|shade| *shade < 0.01));
        assert_eq!(ends, Some(("0.00".into(), "0.90".into())));
        let (words, shades, ends) = shown(Scale::ByRow);
        assert_eq!(words[..2], ["0.20 0.50 0.90", "0.00020 0.00050 0.00090"]);
        assert_eq!((shades[1][0], shades[1][2], shades[2][0]), (0.0, 1.0, 0.5));
        assert_eq!(ends, Some(("smallest in its row".into(), "largest in its row".into())));
    }
}
