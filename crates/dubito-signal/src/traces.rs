//! Colour traces: the mean colour of each region of the mid-face in each frame, and the same uniform in time.

use image::RgbImage;

use crate::mesh::{REGIONS, samples, turned};
use crate::{SignalError, Undefined};

/// A face turned farther from the camera than this shows too little of one cheek; in degrees.
pub const MOST_TURNED: f32 = 45.0;
/// The longest time without the face that is bridged, in seconds.
pub const LONGEST_GAP: f64 = 0.5;
/// The fewest frames a second: the band ends at 4 Hz, and the filter needs room above it.
pub const LEAST_RATE: f64 = 10.0;

/// What a frame shows of the face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The mid-face.
    Seen,
    /// No face, or most of it outside the picture.
    NoFace,
    /// A face turned more than [`MOST_TURNED`] degrees from the camera.
    TurnedAway,
}

/// The mean colours of the 32 regions of one face, frame by frame. Holds 32 colours a frame, no pixels.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    times: Vec<f64>,
    sights: Vec<Sight>,
    /// Of the frames that are seen.
    colours: Vec<[[f32; 3]; REGIONS]>,
}

impl Traces {
    /// Takes the next frame. `landmarks` are the face's 468 in the frame's pixels (the centre of the top left pixel is
    /// (0.5, 0.5)), `None` where there is no face; `time` is in seconds.
    ///
    /// Each region is sampled at 1024 places fixed on the skin, bilinearly, always at all of them: leaving samples out
    /// frame by frame (shine, shadow, hair) makes the mean jump. Regions without pulse get little weight later, see
    /// [`measure`](crate::measure).
    ///
    /// # Errors
    /// Landmarks that are not 468 finite points; a time that does not increase.
    pub fn push(&mut self, frame: &RgbImage, landmarks: Option<&[[f32; 3]]>, time: f64) -> Result<Sight, SignalError> {
        let before = self.times.last().copied().unwrap_or(f64::NEG_INFINITY);
        if !time.is_finite() || time <= before {
            return Err(SignalError::Time { before, found: time });
        }
        let sight = match landmarks {
            None => Sight::NoFace,
            Some(points) if turned(points)? > MOST_TURNED => Sight::TurnedAway,
            Some(points) => match colours(frame, points) {
                Some(colours) => {
                    self.colours.push(colours);
                    Sight::Seen
                }
                None => Sight::NoFace,
            },
        };
        self.times.push(time);
        self.sights.push(sight);
        Ok(sight)
    }

    /// Takes the next frame's colours as they are, red, green and blue of each region, 0 to 255: for traces that were
    /// measured elsewhere.
    ///
    /// # Errors
    /// A time that does not increase.
    pub fn push_colours(&mut self, colours: [[f32; 3]; REGIONS], time: f64) -> Result<(), SignalError> {
        let before = self.times.last().copied().unwrap_or(f64::NEG_INFINITY);
        if !time.is_finite() || time <= before {
            return Err(SignalError::Time { before, found: time });
        }
        self.times.push(time);
        self.sights.push(Sight::Seen);
        self.colours.push(colours);
        Ok(())
    }

    /// Frames taken.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether no frame was taken.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Frames in which the mid-face is seen.
    pub fn seen(&self) -> usize {
        self.colours.len()
    }

    /// Frames a second, by the median distance of frames; `None` of fewer than two.
    pub fn frame_rate(&self) -> Option<f64> {
        let mut steps: Vec<f64> = self.times.windows(2).map(|t| t[1] - t[0]).collect();
        steps.sort_by(f64::total_cmp);
        steps.get(steps.len() / 2).map(|step| 1.0 / step)
    }

    /// The longest stretch in which the face is never gone for more than [`LONGEST_GAP`], at the video's own frame
    /// rate: between frames that are seen, colours are interpolated linearly.
    ///
    /// # Errors
    /// [`Undefined`] where there is no face, it is turned away, or frames are fewer than [`LEAST_RATE`] a second.
    pub fn grid(&self) -> Result<Grid, Undefined> {
        if self.colours.is_empty() {
            let faces = self.sights.iter().filter(|s| **s == Sight::TurnedAway).count();
            return Err(match faces {
                0 => Undefined::NoFace { frames: self.len() },
                frames => Undefined::TurnedAway { frames, degrees: MOST_TURNED },
            });
        }
        let Some(rate) = self.frame_rate() else {
            return Err(Undefined::TooShort { seconds: 0.0, needed: crate::reading::LEAST_SECONDS });
        };
        // Timestamps are rounded: 10 frames a second may read 9.999.
        if rate < LEAST_RATE * 0.999 {
            return Err(Undefined::FrameRate { rate, needed: LEAST_RATE });
        }
        let seen = self.sights.iter().zip(&self.times).filter(|(sight, _)| **sight == Sight::Seen);
        let times: Vec<f64> = seen.map(|(_, time)| *time).collect();
        let breaks: Vec<usize> = (1..times.len()).filter(|&i| times[i] - times[i - 1] > LONGEST_GAP).collect();
        let starts = std::iter::once(0).chain(breaks.iter().copied());
        let ends = breaks.iter().copied().chain(std::iter::once(times.len()));
        let length = |(start, end): (usize, usize)| times[end - 1] - times[start];
        // The first of equals.
        let longest = starts.zip(ends).reduce(|best, next| if length(next) > length(best) { next } else { best });
        let (start, end) = longest.unwrap_or((0, times.len()));
        let (times, colours) = (&times[start..end], &self.colours[start..end]);
        let count = ((times[times.len() - 1] - times[0]) * rate + 1e-3).floor() as usize + 1;
        let mut grid = Grid { rate, start: times[0], colours: vec![Vec::new(); REGIONS], gaps: breaks.len() };
        let mut at = 0;
        for i in 0..count {
            let time = times[0] + i as f64 / rate;
            while at + 2 < times.len() && times[at + 1] <= time {
                at += 1;
            }
            let next = (at + 1).min(times.len() - 1);
            let span = times[next] - times[at];
            let share = if span > 0.0 { ((time - times[at]) / span).clamp(0.0, 1.0) } else { 0.0 };
            for (region, trace) in grid.colours.iter_mut().enumerate() {
                let (a, b) = (colours[at][region], colours[next][region]);
                trace.push([0, 1, 2].map(|k| f64::from(a[k]) + share * (f64::from(b[k]) - f64::from(a[k]))));
            }
        }
        Ok(grid)
    }
}

/// The mean colours of the regions; `None` where more than half of the face is outside the picture, whose border
/// stands for what is outside.
fn colours(frame: &RgbImage, landmarks: &[[f32; 3]]) -> Option<[[f32; 3]; REGIONS]> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    if width < 2 || height < 2 {
        return None;
    }
    let (right, bottom) = ((width - 1) as f32, (height - 1) as f32);
    let pixels = frame.as_raw();
    let mut sums = [[0.0f64; 3]; REGIONS];
    let mut outside = 0;
    for sample in samples() {
        let [x, y] = sample.place(landmarks).map(|v| v - 0.5);
        outside += usize::from(!(0.0..=right).contains(&x) || !(0.0..=bottom).contains(&y));
        let (x, y) = (x.clamp(0.0, right), y.clamp(0.0, bottom));
        let (column, row) = ((x as usize).min(width - 2), (y as usize).min(height - 2));
        let (fx, fy) = (x - column as f32, y - row as f32);
        let upper = &pixels[(row * width + column) * 3..][..6];
        let lower = &pixels[((row + 1) * width + column) * 3..][..6];
        for k in 0..3 {
            let along = |line: &[u8]| f32::from(line[k]) + fx * (f32::from(line[k + 3]) - f32::from(line[k]));
            sums[sample.region][k] += f64::from(along(upper) + fy * (along(lower) - along(upper)));
        }
    }
    let each = (samples().len() / REGIONS) as f64;
    (outside * 2 <= samples().len()).then(|| sums.map(|sum| sum.map(|v| (v / each) as f32)))
}

/// Colours of the 32 regions at equal distances in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Frames a second.
    pub rate: f64,
    /// Time of the first frame in seconds.
    pub start: f64,
    /// Red, green and blue, 0 to 255, `[region][frame]`.
    pub colours: Vec<Vec<[f64; 3]>>,
    /// Gaps of more than [`LONGEST_GAP`] in the whole video: above 0, this is its longest stretch without one.
    pub gaps: usize,
}

impl Grid {
    /// Frames.
    pub fn len(&self) -> usize {
        self.colours.first().map_or(0, Vec::len)
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Seconds from the first frame to the end of the last.
    pub fn seconds(&self) -> f64 {
        self.len() as f64 / self.rate
    }

    /// The mean over regions, each with its weight, of which one at least must be above 0.
    pub fn mean(&self, weights: &[f64; REGIONS]) -> Vec<[f64; 3]> {
        let total: f64 = weights.iter().sum();
        let at = |i: usize| {
            [0, 1, 2].map(|k| self.colours.iter().zip(weights).map(|(c, w)| w * c[i][k]).sum::<f64>() / total)
        };
        (0..self.len()).map(at).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn grey(v: f32) -> [[f32; 3]; REGIONS] {
        [[v, v + 10.0, v + 20.0]; REGIONS]
    }

    #[test]
    fn frames_that_are_missing_are_bridged_and_long_gaps_are_not() {
        let mut traces = Traces::default();
        for i in 0..100u16 {
            // A straight line in time, a dropped frame, a jittered one, a short and a long gap.
            let time = f64::from(i) / 20.0 + if i == 7 { 0.01 } else { 0.0 };
            if i == 3 {
                continue;
            }
            if (20..25).contains(&i) || (60..80).contains(&i) {
                traces.push(&RgbImage::new(4, 4), None, time).unwrap();
            } else {
                traces.push_colours(grey(time as f32 * 10.0), time).unwrap();
            }
        }
        let grid = traces.grid().unwrap();
        assert!((grid.rate - 20.0).abs() < 1e-9);
        assert_eq!((grid.len(), grid.gaps), (60, 1));
        for (i, c) in grid.colours[5].iter().enumerate() {
            assert!((c[0] - i as f64 / 2.0).abs() < 1e-4 && (c[2] - c[0] - 20.0).abs() < 1e-4, "{i}: {c:?}");
        }
        assert_eq!((traces.len(), traces.seen()), (99, 74));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let frame = RgbImage::new(8, 8);
        let mut traces = Traces::default();
        assert!(matches!(traces.grid(), Err(Undefined::NoFace { frames: 0 })));
        traces.push(&frame, None, 1.0).unwrap();
        assert!(matches!(traces.push(&frame, None, 1.0), Err(SignalError::Time { .. })));
        assert!(matches!(traces.push(&frame, None, f64::NAN), Err(SignalError::Time { .. })));
        let wrong = traces.push(&frame, Some(&[[0.0; 3]; 5]), 2.0).unwrap_err();
        assert!(wrong.to_string().contains("468") && wrong.to_string().contains("5 points"), "{wrong}");
        let mut nan = vec![[1.0; 3]; 468];
        nan[9][1] = f32::NAN;
        assert!(traces.push(&frame, Some(&nan), 2.0).unwrap_err().to_string().contains("point 9"));
        let mut slow = Traces::default();
        (0..20).for_each(|i| slow.push_colours(grey(5.0), f64::from(i) / 6.0).unwrap());
        assert!(matches!(slow.grid(), Err(Undefined::FrameRate { .. })));
    }
}
