//! What a detector says of each face of one video, over time.

use super::*;

/// One face of a video, to be drawn over time.
#[derive(Clone, Debug)]
pub struct TimelineFace {
    /// Its name in the legend.
    pub name: String,
    /// Its frames, in order of time.
    pub frames: Vec<TimelineFrame>,
}

/// What is said of one frame.
#[derive(Clone, Copy, Debug)]
pub struct TimelineFrame {
    /// Seconds from the beginning of the video.
    pub time: f64,
    /// P(fake), the mean over the samples.
    pub p_fake: f64,
    /// The smallest and the largest P(fake) of the samples.
    pub range: (f64, f64),
    /// Total uncertainty in nats.
    pub total: f64,
}

/// P(fake) and the total uncertainty (in nats, of two classes) of each face over time; a dashed line is where the answer
/// turns, or is withheld. Of more than six faces the first six are drawn.
///
/// # Errors
/// A fault in drawing.
pub fn timeline_figure(faces: &[TimelineFace], abstain_above: f64) -> Result<Figure, ReportError> {
    figure(
        "timeline",
        "Over time",
        format!(
            "Left: P(fake) of each frame, the mean over the samples; bars reach from the smallest to the largest sample. \
             Right: the total uncertainty of each frame in nats, at most ln 2 = 0.69; a face whose uncertainty over all \
             frames is above {abstain_above:.2} (dashed) gets no answer."
        ),
        330,
        &Timeline { faces: &faces[..faces.len().min(LINES.len())], abstain_above },
    )
}

struct Timeline<'a> {
    faces: &'a [TimelineFace],
    abstain_above: f64,
}

impl Draw for Timeline<'_> {
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, scale: f64) -> Result<(), String> {
        let px = |pixels: f64| (pixels * scale).round() as i32;
        let times = || self.faces.iter().flat_map(|face| &face.frames).map(|frame| frame.time);
        let (first, last) = (times().fold(f64::INFINITY, f64::min), times().fold(f64::NEG_INFINITY, f64::max));
        if first > last {
            return say_empty(area, "no frame shows a face", scale);
        }
        // A single picture has no duration; its point stands in the middle.
        let (first, last) = if last - first < 1e-6 { (first - 0.5, last + 0.5) } else { (first, last) };
        let top = [1.0, std::f64::consts::LN_2 * 1.02];
        let titles = ["P(fake)", "Total uncertainty"];
        let turns = [0.5, self.abstain_above];
        for (kind, part) in area.split_evenly((1, 2)).iter().enumerate() {
            let axes = Axes {
                title: titles[kind],
                x: ("seconds", first, last),
                y: (["P(fake)", "nats"][kind], 0.0, top[kind]),
                left: 56,
                y_lines: true,
                x_labels: 6,
                decimals: usize::from(last - first < 10.0),
            };
            let mut chart = panel(part, &axes, scale)?;
            line(&mut chart, &[(first, turns[kind]), (last, turns[kind])], GREY, 1.0, (4, 4), scale)?;
            for (face, (color, dash)) in self.faces.iter().zip(LINES) {
                let value = |frame: &TimelineFrame| if kind == 0 { frame.p_fake } else { frame.total };
                let points: Vec<(f64, f64)> = face.frames.iter().map(|frame| (frame.time, value(frame))).collect();
                line(&mut chart, &points, color, 1.5, dash, scale)?;
                let dots = points.iter().map(|point| Circle::new(*point, px(3.0), color.filled()));
                chart.draw_series(dots).map_err(said)?;
                if kind == 0 {
                    let bars = face.frames.iter().map(|frame| {
                        let (low, high) = frame.range;
                        PathElement::new(
                            vec![(frame.time, low), (frame.time, high)],
                            color.stroke_width(px(1.0) as u32),
                        )
                    });
                    chart.draw_series(bars).map_err(said)?;
                }
            }
            if kind == 1 && self.faces.len() > 1 {
                let entries: Vec<_> = self
                    .faces
                    .iter()
                    .zip(LINES)
                    .map(|(face, (color, dash))| (face.name.clone(), color, dash))
                    .collect();
                legend(part, (f64::from(WIDTH) / 2.0 - 110.0, 44.0), &entries, scale)?;
            }
        }
        Ok(())
    }
}
