//! A figure of lines, one below the other, each on axes of its own: signals and spectra.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::ReportError;
use crate::figures::{Axes, BLUE, Draw, Figure, ORANGE, SOLID, draw_svg, figure, line, panel, say_empty};

/// One line on its own axes.
#[derive(Clone, Debug)]
pub struct LinePanel {
    /// What stands above it.
    pub title: String,
    /// Name and ends of the axis across.
    pub x: (&'static str, f64, f64),
    /// Whether x counts something, so that only whole numbers stand on its axis.
    pub counted: bool,
    /// Name and ends of the axis up.
    pub y: (&'static str, f64, f64),
    /// The line, from left to right, or why there is none.
    pub points: Result<Vec<(f64, f64)>, String>,
    /// Dashed lines from top to bottom at these places of x.
    pub marks: Vec<f64>,
}

struct Panels<'a>(&'a [LinePanel]);

impl Draw for Panels<'_> {
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, scale: f64) -> Result<(), String> {
        for (part, each) in area.split_evenly((self.0.len(), 1)).iter().zip(self.0) {
            let points = match &each.points {
                Ok(points) => points,
                Err(why) => {
                    say_empty(part, why, scale)?;
                    continue;
                }
            };
            let axes = Axes {
                title: &each.title,
                x: each.x,
                y: each.y,
                left: 56,
                y_lines: true,
                x_labels: if each.counted { 12.min((each.x.2 - each.x.1) as usize + 1) } else { 12 },
                decimals: usize::from(!each.counted),
            };
            let mut chart = panel(part, &axes, scale)?;
            for mark in &each.marks {
                line(&mut chart, &[(*mark, each.y.1), (*mark, each.y.2)], ORANGE, 1.5, (7, 4), scale)?;
            }
            // What lies outside the axes is not drawn.
            let inside = |p: &&(f64, f64)| (each.x.1..=each.x.2).contains(&p.0);
            let shown: Vec<(f64, f64)> = points.iter().filter(inside).copied().collect();
            line(&mut chart, &shown, BLUE, 1.5, SOLID, scale)?;
        }
        Ok(())
    }
}

/// Draws panels one below the other, each 220 high.
///
/// # Errors
/// A fault in drawing.
pub fn line_figure(
    name: &'static str,
    title: &'static str,
    caption: String,
    panels: &[LinePanel],
) -> Result<Figure, ReportError> {
    figure(name, title, caption, 220 * panels.len().max(1) as u32, &Panels(panels))
}

/// The same as SVG alone.
///
/// # Errors
/// A fault in drawing.
pub fn line_svg(name: &'static str, panels: &[LinePanel]) -> Result<String, ReportError> {
    draw_svg(name, 220 * panels.len().max(1) as u32, &Panels(panels))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_and_what_is_missing_is_said() {
        let one = LinePanel {
            title: "a wave".into(),
            x: ("time", 0.0, 9.0),
            counted: false,
            y: ("value", -1.0, 1.0),
            points: Ok((0..100).map(|i| (f64::from(i) / 10.0, (f64::from(i) / 5.0).sin())).collect()),
            marks: vec![4.0],
        };
        let none = LinePanel { points: Err("no face".into()), ..one.clone() };
        let counted = LinePanel { counted: true, x: ("epoch", 1.0, 4.0), y: ("rate", 0.0, 0.001), ..one.clone() };
        let svg = line_svg("waves", &[counted.clone(), counted]).unwrap();
        let shows = |tick: &str| svg.lines().any(|line| line.trim() == tick);
        assert_eq!((svg.matches("</svg>").count(), svg.trim_end().ends_with("</svg>")), (1, true));
        assert!(shows("2") && !shows("2.0") && shows("0.0002") && svg.matches("a wave").count() == 2);
        let drawn = line_figure("waves", "Waves", "A caption.".into(), &[one, none]).unwrap();
        assert!(drawn.svg.contains("a wave") && drawn.svg.contains("Nothing to draw: no face"));
        assert!(drawn.svg.contains("polyline") && drawn.png.starts_with(&[0x89, b'P', b'N', b'G']));
    }
}
