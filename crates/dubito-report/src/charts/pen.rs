//! Drawing in CSS pixels, and how long words are.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figures::{BLUE, Dash, GREEN, GREY, INK, OCHRE, ORANGE, PURPLE, SKY, SOLID, WIDTH, said, text};

/// A place, in CSS pixels from the upper left corner.
pub(super) type Place = (f64, f64);

/// Size in CSS pixels, colour and weight of words.
#[derive(Clone, Copy)]
pub(super) struct Font {
    pub size: f64,
    pub color: RGBColor,
    pub bold: bool,
}

/// Names of rows and columns.
pub(super) const NAME: Font = Font { size: 12.5, color: INK, bold: false };
/// What stands above a panel.
pub(super) const HEAD: Font = Font { size: 14.0, color: INK, bold: true };
/// Names of axes.
pub(super) const AXIS: Font = Font { size: 12.0, color: GREY, bold: false };
/// Numbers of axes.
pub(super) const TICK: Font = Font { size: 11.5, color: GREY, bold: false };
/// Remarks.
pub(super) const SMALL: Font = Font { size: 11.0, color: GREY, bold: false };

impl Font {
    pub fn colored(self, color: RGBColor) -> Self {
        Self { color, ..self }
    }

    pub fn sized(self, size: f64) -> Self {
        Self { size, ..self }
    }

    /// How long a text is, in CSS pixels.
    pub fn width(self, words: &str) -> f64 {
        // Measured large, so that rounding to whole pixels does not matter.
        let style = text(100.0, &INK, self.bold, 1.0);
        let width = style.font.layout_box(words).map_or(0, |(low, high)| high.0 - low.0);
        f64::from(width) * self.size / 100.0
    }

    /// The text, its end left out where it is longer than `room`.
    pub fn fitted(self, words: &str, room: f64) -> String {
        if self.width(words) <= room {
            return words.to_owned();
        }
        let letters: Vec<char> = words.chars().collect();
        let cut = |most: usize| letters[..most].iter().collect::<String>().trim_end().to_owned() + "…";
        let (mut fits, mut too_many) = (0, letters.len());
        while too_many - fits > 1 {
            let middle = fits.midpoint(too_many);
            if self.width(&cut(middle)) <= room { fits = middle } else { too_many = middle }
        }
        cut(fits)
    }

    /// The text in at most `most` lines no longer than `room`; what has no place is left out behind `…`.
    pub fn wrapped(self, words: &str, room: f64, most: usize) -> Vec<String> {
        let mut lines = vec![String::new()];
        for part in parts(words) {
            let last = lines.len() - 1;
            let longer = format!("{}{part}", lines[last]);
            if lines[last].is_empty() || self.width(longer.trim_end()) <= room {
                lines[last] = longer;
            } else {
                lines.push(part.to_owned());
            }
        }
        if lines.len() > most.max(1) {
            let rest = lines.split_off(most.max(1) - 1).concat();
            // Cut even where it happens to fit: it is never more than the last line holds.
            lines.push(rest);
        }
        lines.iter().map(|line| self.fitted(line.trim(), room)).collect()
    }
}

/// A text cut behind each space, `_`, `-`, `/` and `,`: where a line may end.
fn parts(words: &str) -> impl Iterator<Item = &str> {
    words.split_inclusive([' ', '_', '-', '/', ','])
}

/// Words as they can stand in a drawing: on one line, without signs that XML does not know.
pub(super) fn clean(words: &str) -> String {
    let plain = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    words.chars().map(|c| if plain(c) { ' ' } else { c }).collect()
}

/// A drawing area whose lengths are CSS pixels.
pub(super) struct Pen<'a, DB: DrawingBackend> {
    area: &'a DrawingArea<DB, Shift>,
    scale: f64,
    in_pixels: bool,
}

impl<'a, DB: DrawingBackend> Pen<'a, DB> {
    pub fn new(area: &'a DrawingArea<DB, Shift>, scale: f64, in_pixels: bool) -> Self {
        Self { area, scale, in_pixels }
    }

    /// How much lower words of a size have to stand so that their middle is where it should be: in between the middles of
    /// capitals and small letters. The drawing library puts it elsewhere in SVG than in pixels.
    fn lower(&self, font: Font) -> f64 {
        font.size * if self.in_pixels { 0.2 } else { 0.05 }
    }

    fn at(&self, place: Place) -> (i32, i32) {
        ((place.0 * self.scale).round() as i32, (place.1 * self.scale).round() as i32)
    }

    fn stroke(&self, width: f64) -> u32 {
        (width * self.scale).round().max(1.0) as u32
    }

    /// Words whose middle, up and down, is at `place`.
    pub fn words(&self, words: &str, place: Place, font: Font, across: HPos) -> Result<(), String> {
        let style = text(font.size, &font.color, font.bold, self.scale).pos(Pos::new(across, VPos::Center));
        let place = (place.0, place.1 + self.lower(font));
        self.area.draw(&Text::new(words.to_owned(), self.at(place), style)).map_err(said)
    }

    /// Words that are read from below; `place` is the middle of their lower end, or of all of them.
    pub fn upward(&self, words: &str, place: Place, font: Font, along: HPos) -> Result<(), String> {
        let style = text(font.size, &font.color, font.bold, self.scale)
            .transform(FontTransform::Rotate270)
            .pos(Pos::new(along, VPos::Center));
        let place = (place.0 + self.lower(font), place.1);
        self.area.draw(&Text::new(words.to_owned(), self.at(place), style)).map_err(said)
    }

    /// Lines of words one below the other, the middle of all at `place`.
    pub fn lines(&self, lines: &[String], place: Place, font: Font, across: HPos) -> Result<(), String> {
        let height = font.size * 1.25;
        let top = place.1 - height * (lines.len() as f64 - 1.0) / 2.0;
        for (at, line) in lines.iter().enumerate() {
            self.words(line, (place.0, top + at as f64 * height), font, across)?;
        }
        Ok(())
    }

    pub fn line(&self, points: &[Place], color: RGBColor, width: f64, dash: Dash) -> Result<(), String> {
        let style = color.stroke_width(self.stroke(width));
        for part in dashed(points, dash) {
            let part: Vec<(i32, i32)> = part.into_iter().map(|point| self.at(point)).collect();
            self.area.draw(&PathElement::new(part, style)).map_err(said)?;
        }
        Ok(())
    }

    pub fn area(&self, corners: &[Place], color: RGBAColor) -> Result<(), String> {
        let corners: Vec<(i32, i32)> = corners.iter().map(|&corner| self.at(corner)).collect();
        self.area.draw(&Polygon::new(corners, color.filled())).map_err(said)
    }

    pub fn rectangle(&self, low: Place, high: Place, color: RGBColor) -> Result<(), String> {
        self.area.draw(&Rectangle::new([self.at(low), self.at(high)], color.filled())).map_err(said)
    }

    /// A cell that has no number: light, with slanted lines.
    pub fn hatched(&self, low: Place, high: Place) -> Result<(), String> {
        self.rectangle(low, high, RGBColor(243, 244, 246))?;
        let (width, height) = (high.0 - low.0, high.1 - low.1);
        let mut from = 6.0;
        while from < width + height {
            // From the upper or right edge down to the left or lower one.
            let start = if from <= width { (low.0 + from, low.1) } else { (high.0, low.1 + from - width) };
            let end = if from <= height { (low.0, low.1 + from) } else { (low.0 + from - height, high.1) };
            self.line(&[start, end], RGBColor(205, 210, 217), 1.0, SOLID)?;
            from += 7.0;
        }
        Ok(())
    }

    /// A mark of a series, `size` from its middle to its edge.
    pub fn mark(&self, place: Place, size: f64, look: Look, opacity: f64) -> Result<(), String> {
        let (x, y) = place;
        let color = look.color.mix(opacity);
        let stroke = ShapeStyle { color, filled: false, stroke_width: self.stroke(1.5) };
        let polygon = |corners: &[Place]| -> Result<(), String> {
            let mut corners: Vec<Place> = corners.iter().map(|c| (x + size * c.0, y + size * c.1)).collect();
            if !look.hollow {
                return self.area(&corners, color);
            }
            self.area(&corners, WHITE.mix(opacity))?;
            // From the middle of a side to there again, so that no corner stays open.
            let middle = ((corners[0].0 + corners[1].0) / 2.0, (corners[0].1 + corners[1].1) / 2.0);
            corners.rotate_left(1);
            let closed = [middle].into_iter().chain(corners).chain([middle]);
            let closed: Vec<(i32, i32)> = closed.map(|corner| self.at(corner)).collect();
            self.area.draw(&PathElement::new(closed, stroke)).map_err(said)
        };
        match look.shape {
            Shape::Circle => {
                let radius = (size * self.scale).round() as i32;
                let fill = if look.hollow { WHITE.mix(opacity) } else { color };
                self.area.draw(&Circle::new(self.at(place), radius, fill.filled())).map_err(said)?;
                if look.hollow {
                    self.area.draw(&Circle::new(self.at(place), radius, stroke)).map_err(said)?;
                }
                Ok(())
            }
            Shape::Square => polygon(&[(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)]),
            Shape::Triangle => polygon(&[(0.0, -1.15), (1.1, 0.85), (-1.1, 0.85)]),
            Shape::Diamond => polygon(&[(0.0, -1.3), (1.1, 0.0), (0.0, 1.3), (-1.1, 0.0)]),
            Shape::Wedge => polygon(&[(0.0, 1.15), (1.1, -0.85), (-1.1, -0.85)]),
            // A hollow cross stands upright.
            Shape::Cross => {
                let arms: [[Place; 2]; 2] = if look.hollow {
                    [[(-1.2, 0.0), (1.2, 0.0)], [(0.0, -1.2), (0.0, 1.2)]]
                } else {
                    [[(-0.95, -0.95), (0.95, 0.95)], [(-0.95, 0.95), (0.95, -0.95)]]
                };
                for arm in arms {
                    let ends: Vec<(i32, i32)> = arm.iter().map(|c| self.at((x + size * c.0, y + size * c.1))).collect();
                    let style = ShapeStyle { stroke_width: self.stroke(2.0), ..stroke };
                    self.area.draw(&PathElement::new(ends, style)).map_err(said)?;
                }
                Ok(())
            }
        }
    }

    /// Why there is nothing to see, in the middle of a place.
    pub fn nothing(&self, low: Place, high: Place, why: &str) -> Result<(), String> {
        let font = Font { size: 13.0, color: GREY, bold: false };
        let lines = font.wrapped(&format!("Nothing to draw: {why}"), high.0 - low.0 - 20.0, 4);
        self.lines(&lines, ((low.0 + high.0) / 2.0, (low.1 + high.1) / 2.0), font, HPos::Center)
    }

    /// The same of a panel, after its title where it has one.
    pub fn nothing_in(&self, (low, high): (Place, Place), title: &str, why: &str) -> Result<(), String> {
        let title = if title.is_empty() { String::new() } else { format!("{}: ", clean(title)) };
        self.nothing(low, high, &format!("{title}{why}"))
    }
}

/// A line cut into its dashes.
fn dashed(points: &[Place], dash: Dash) -> Vec<Vec<Place>> {
    if dash.0 == 0 {
        return vec![points.to_vec()];
    }
    let lengths = [f64::from(dash.0), f64::from(dash.1)];
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    let (mut drawn, mut left) = (true, lengths[0]);
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let along = |way: f64| {
            let share = if length > 0.0 { way / length } else { 0.0 };
            (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1))
        };
        let mut way = 0.0;
        if drawn && part.is_empty() {
            part.push(from);
        }
        while length - way > left {
            way += left;
            if drawn {
                part.push(along(way));
                parts.push(std::mem::take(&mut part));
            } else {
                part.push(along(way));
            }
            drawn = !drawn;
            left = lengths[usize::from(!drawn)];
        }
        left -= length - way;
        if drawn {
            part.push(to);
        }
    }
    if part.len() > 1 {
        parts.push(part);
    }
    parts
}

/// Shape of a mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
    Wedge,
    Cross,
}

/// Colour, dash and shape of a series; twelve differ in shape alone, so that a figure reads in grey.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Look {
    pub color: RGBColor,
    pub dash: Dash,
    pub shape: Shape,
    pub hollow: bool,
}

impl Look {
    pub fn of(series: usize) -> Self {
        let colors = [BLUE, ORANGE, GREEN, PURPLE, SKY, OCHRE];
        let dashes = [SOLID, (7, 4), (2, 3), (13, 4), (5, 2), (9, 7)];
        let shapes = [Shape::Circle, Shape::Triangle, Shape::Square, Shape::Diamond, Shape::Wedge, Shape::Cross];
        let at = series % 6;
        // The second six begin with another colour.
        let color = colors[(at + series / 6) % 6];
        Self { color, dash: dashes[at], shape: shapes[at], hollow: series / 6 % 2 == 1 }
    }
}

/// What stands before a name in the legend.
#[derive(Clone, Copy)]
pub(super) enum Sample {
    /// A mark.
    Mark(Look),
    /// A line with its mark.
    Line(Look),
    /// The dotted line of reference.
    Reference,
}

/// Dash of lines of reference.
pub(super) const DOTTED: Dash = (2, 3);

/// Samples with their names in a row, and in more rows where they need them.
pub(super) struct Legend {
    /// Place, sample and name of each.
    entries: Vec<(Place, Sample, String)>,
    /// Height of all, the distance to what follows with it.
    pub height: f64,
}

impl Legend {
    /// In rows of the figure's width that begin at `left`.
    pub fn new(left: f64, entries: impl IntoIterator<Item = (Sample, String)>) -> Self {
        let (mut placed, mut x, mut y) = (Vec::new(), left, 12.0);
        for (sample, name) in entries {
            let before = if matches!(sample, Sample::Mark(_)) { 18.0 } else { 38.0 };
            let name = NAME.fitted(&clean(&name), 300.0);
            let width = before + NAME.width(&name) + 24.0;
            if x > left && x + width - 24.0 > f64::from(WIDTH) {
                (x, y) = (left, y + 20.0);
            }
            placed.push(((x, y), sample, name));
            x += width;
        }
        let height = if placed.is_empty() { 0.0 } else { y + 20.0 };
        Self { entries: placed, height }
    }

    pub fn draw<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>, top: f64) -> Result<(), String> {
        for ((x, y), sample, name) in &self.entries {
            let y = y + top;
            let before = match sample {
                Sample::Mark(look) => {
                    pen.mark((x + 6.0, y), 5.0, *look, 1.0)?;
                    18.0
                }
                Sample::Line(look) => {
                    pen.line(&[(*x, y), (x + 30.0, y)], look.color, 2.0, look.dash)?;
                    pen.mark((x + 15.0, y), 4.0, *look, 1.0)?;
                    38.0
                }
                Sample::Reference => {
                    pen.line(&[(*x, y), (x + 30.0, y)], GREY, 1.5, DOTTED)?;
                    38.0
                }
            };
            pen.words(name, (x + before, y), NAME, HPos::Left)?;
        }
        Ok(())
    }
}

/// Remarks below a drawing: what is not in it, and why.
pub(super) struct Remarks {
    lines: Vec<String>,
}

impl Remarks {
    /// Each once, on lines of the figure's width; of many the first ones, and how many more there are.
    pub fn new(remarks: impl IntoIterator<Item = String>) -> Self {
        let mut each: Vec<String> = Vec::new();
        for remark in remarks {
            if !each.contains(&remark) {
                each.push(remark);
            }
        }
        let most = 5;
        if each.len() > most + 1 {
            let more = each.len() - most;
            each.truncate(most);
            each.push(format!("… and {more} more remarks of this kind, in the figure's data"));
        }
        let room = f64::from(WIDTH) - 8.0;
        let lines = each.iter().flat_map(|remark| SMALL.wrapped(&clean(remark), room, 3)).collect();
        Self { lines }
    }

    pub fn height(&self) -> f64 {
        if self.lines.is_empty() { 0.0 } else { 12.0 + 15.0 * self.lines.len() as f64 }
    }

    pub fn draw<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>, top: f64) -> Result<(), String> {
        for (at, line) in self.lines.iter().enumerate() {
            let place = (2.0, top + 12.0 + 15.0 * at as f64);
            pen.words(line, place, SMALL, HPos::Left)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_are_measured_cut_and_wrapped() {
        crate::figures::fonts().unwrap();
        let width = NAME.width("a detector");
        assert!((NAME.sized(25.0).width("a detector") - 2.0 * width).abs() < 0.1 && width > 40.0);
        assert_eq!(NAME.fitted("a detector", width + 0.1), "a detector");
        let cut = NAME.fitted("a detector", width - 10.0);
        assert!(cut.ends_with('…') && NAME.width(&cut) <= width - 10.0, "{cut}");
        let lines = NAME.wrapped("resnet18_mc_dropout on forged faces", 90.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| NAME.width(line) <= 90.0), "{lines:?}");
        assert!(lines[1].ends_with('…'), "{lines:?}");
        assert_eq!(NAME.wrapped("", 90.0, 2), [""]);
    }

    #[test]
    fn twelve_series_differ_in_shape_alone() {
        let looks: Vec<Look> = (0..12).map(Look::of).collect();
        for (at, one) in looks.iter().enumerate() {
            assert!(looks[..at].iter().all(|other| (other.shape, other.hollow) != (one.shape, one.hollow)));
        }
        assert!((0..6).all(|a| (0..a).all(|b| looks[a].dash != looks[b].dash)));
    }

    #[test]
    fn dashes_keep_their_length_round_corners() {
        let parts = dashed(&[(0.0, 0.0), (5.0, 0.0), (5.0, 20.0)], (4, 2));
        let length =
            |part: &[Place]| -> f64 { part.windows(2).map(|p| (p[1].0 - p[0].0).hypot(p[1].1 - p[0].1)).sum() };
        assert_eq!(parts.len(), 5);
        assert!(parts[..4].iter().all(|part| (length(part) - 4.0).abs() < 1e-9), "{parts:?}");
        assert_eq!(dashed(&[(0.0, 0.0), (1.0, 0.0)], SOLID).len(), 1);
    }
}
