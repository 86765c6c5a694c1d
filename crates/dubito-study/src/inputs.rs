//! What a detector is fed of a clip: its crops as they are, or pictures of the signal in its runs of consecutive frames.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use dubito_data::clip::Clip;
use dubito_nn::Signal;
use dubito_signal::magnify::{Magnification, Plane, linear, phase};
use dubito_signal::{Method, SignalError, Traces, Undefined, ppg_maps};

use crate::StudyError;

/// The inputs of a clip.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Their bytes, one after the other: RGB crops `[size, size, 3]`, or pictures of [`Signal::shape`].
    pub bytes: Cow<'a, [u8]>,
    /// Which frame of the clip (counted in the clip) each is of; of a window the first one.
    pub frames: Vec<usize>,
    /// Why windows gave no picture: a status in a word and a sentence for each.
    pub without: Vec<(&'static str, String)>,
}

impl Inputs<'_> {
    /// Most inputs that go through a network together.
    pub(crate) const BATCH: usize = 32;

    /// The bytes of as many inputs as go through a network together, one after the other.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &[u8]> {
        let one = self.bytes.len() / self.len().max(1);
        self.bytes.chunks((Self::BATCH * one).max(1))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Why there are none, in a status and a sentence; the first reason stands for all.
    pub fn reason(&self, signal: Option<Signal>) -> (&'static str, String) {
        match (self.without.first(), signal) {
            (Some((status, reason)), _) => (status, reason.clone()),
            (None, Some(signal)) => ("too_short", format!("no run of {} consecutive frames", signal.window())),
            (None, None) => ("too_short", "no frame that may be looked at".to_owned()),
        }
    }
}

/// The inputs of a clip. `skip` names frames by their number in the video: those of a fake that show what is true. A crop of
/// one is left out, and so is a window that holds one.
///
/// # Errors
/// Landmarks or times that are broken, or a band of motion that a run of the clip's frame rate does not hold.
pub fn inputs<'a>(clip: &'a Clip, signal: Option<Signal>, skip: &BTreeSet<u64>) -> Result<Inputs<'a>, StudyError> {
    match signal {
        None => Ok(crops(clip, skip)),
        Some(signal) => pictures(clip, signal, skip).map_err(|e| StudyError::Input {
            message: format!("{}: {e}", clip.meta.video),
            hint: match e {
                SignalError::Option { .. } => "choose other settings of the detector's signal".into(),
                _ => "extract the clip again".into(),
            },
        }),
    }
}

fn crops<'a>(clip: &'a Clip, skip: &BTreeSet<u64>) -> Inputs<'a> {
    let frames: Vec<usize> = (0..clip.len()).filter(|&i| !skip.contains(&clip.frame_index[i])).collect();
    let bytes = match frames.len() == clip.len() {
        true => Cow::Borrowed(clip.frames.as_slice()),
        false => frames.iter().flat_map(|&i| clip.frame(i).unwrap_or_default()).copied().collect::<Vec<u8>>().into(),
    };
    Inputs { bytes, frames, without: Vec::new() }
}

fn pictures(clip: &Clip, signal: Signal, skip: &BTreeSet<u64>) -> Result<Inputs<'static>, SignalError> {
    let mut inputs = Inputs { bytes: Cow::Owned(Vec::new()), frames: Vec::new(), without: Vec::new() };
    for run in runs(clip) {
        let mut keep = |window: Range<usize>, picture: Result<Vec<u8>, Undefined>| {
            if window.clone().any(|i| clip.frame_index.get(i).is_some_and(|frame| skip.contains(frame))) {
                return;
            }
            match picture {
                Ok(picture) => {
                    inputs.frames.push(window.start);
                    inputs.bytes.to_mut().extend(picture);
                }
                Err(why) => inputs.without.push((why.status(), why.to_string())),
            }
        };
        match signal {
            Signal::Ppg { omega, step } => maps(clip, run, omega, step, &mut keep)?,
            Signal::Motion { frames, step, alpha, band } => {
                let options = Magnification { alpha, band: (band[0], band[1]), ..Magnification::default() };
                motion(clip, run, frames, step, options, &mut keep)?;
            }
        }
    }
    Ok(inputs)
}

/// What takes a window of frames and its picture, or why there is none.
type Keep<'a> = dyn FnMut(Range<usize>, Result<Vec<u8>, Undefined>) + 'a;

/// The runs of a clip: its windows.
fn runs(clip: &Clip) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for i in 0..clip.len() {
        match runs.last_mut() {
            Some(run) if clip.windows.get(run.start) == clip.windows.get(i) => run.end = i + 1,
            _ => runs.push(i..i + 1),
        }
    }
    runs
}

/// PPG maps of a run, as bytes.
fn maps(clip: &Clip, run: Range<usize>, omega: usize, step: usize, keep: &mut Keep<'_>) -> Result<(), SignalError> {
    let mut traces = Traces::default();
    for i in run.clone() {
        let Some(image) = clip.image(i) else { continue };
        traces.push(&image, clip.points(i), clip.timestamps[i])?;
    }
    let windows = traces.grid().and_then(|grid| Ok((ppg_maps(&grid, Method::Chrom, omega, step)?, grid)));
    let (windows, grid) = match windows {
        Ok(found) => found,
        Err(why) => {
            keep(run, Err(why));
            return Ok(());
        }
    };
    for (k, map) in windows.into_iter().enumerate() {
        let from = grid.start + (k * step.max(1)) as f64 / grid.rate;
        let to = from + omega as f64 / grid.rate;
        // Where the frames of the map lie among those of the clip.
        let at = |time: f64| run.start + clip.timestamps[run.clone()].partition_point(|t| *t < time - 0.5 / grid.rate);
        let map = map.map(|map| map.values.iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect());
        keep(at(from)..at(to).clamp(at(from) + 1, run.end), map);
    }
    Ok(())
}

/// Magnified motion in a run, as bytes: for each window and place the luma magnified by phase and linearly.
fn motion(
    clip: &Clip,
    run: Range<usize>,
    frames: usize,
    step: usize,
    options: Magnification,
    keep: &mut Keep<'_>,
) -> Result<(), SignalError> {
    let side = clip.meta.size as usize;
    if run.len() < frames {
        let rate = rate(&clip.timestamps[run.clone()]).unwrap_or(options.rate);
        let (seconds, needed) = (run.len() as f64 / rate, frames as f64 / rate);
        keep(run, Err(Undefined::TooShort { seconds, needed }));
        return Ok(());
    }
    for start in (run.start..=run.end - frames).step_by(step.max(1)) {
        let window = start..start + frames;
        let Some(rate) = rate(&clip.timestamps[window.clone()]) else { continue };
        let planes: Vec<Plane> = window.clone().filter_map(|i| Some(luma(clip.frame(i)?, side))).collect();
        if planes.iter().all(|plane| *plane == planes[0]) {
            keep(window, Err(Undefined::Still));
            continue;
        }
        let options = Magnification { rate, ..options };
        let streams = [phase(&planes, &options)?, linear(&planes, &options)?];
        let mut picture = Vec::with_capacity(frames * side * side * 2);
        for (by_phase, linearly) in streams[0].iter().zip(&streams[1]) {
            let bytes = by_phase.values.iter().zip(&linearly.values);
            picture.extend(bytes.flat_map(|(a, b)| [*a, *b].map(|v| v.round().clamp(0.0, 255.0) as u8)));
        }
        keep(window, Ok(picture));
    }
    Ok(())
}

/// Frames a second, by the median distance; none of fewer than two frames or of times that don't increase.
fn rate(times: &[f64]) -> Option<f64> {
    let mut steps: Vec<f64> = times.windows(2).map(|t| t[1] - t[0]).collect();
    steps.sort_by(f64::total_cmp);
    steps.get(steps.len() / 2).filter(|step| **step > 0.0).map(|step| 1.0 / step)
}

/// Luma of a crop (ITU-R BT.601), 0 to 255.
fn luma(crop: &[u8], side: usize) -> Plane {
    let (pixels, _) = crop.as_chunks::<3>();
    let values = pixels.iter().map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]));
    Plane { width: side, height: side, values: values.collect() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::f64::consts::TAU;

    use dubito_data::clip::ClipMeta;
    use dubito_sim::{Performance, PerformanceConfig, Subject, frames};

    use super::*;

    const SIDE: u32 = 72;

    /// A still face whose colour beats as a pulse does, `beats` a minute, at 25 frames a second; two windows of `length`.
    fn clip(length: usize, beats: f64) -> Clip {
        let mut config = PerformanceConfig::from_seed(5);
        (config.camera.width, config.camera.height) = (SIDE, SIDE);
        let first = frames(&Subject::new(5), &Performance::from_config(config).unwrap()).next().unwrap();
        let mut clip = Clip { meta: ClipMeta { size: SIDE, ..ClipMeta::default() }, ..Clip::default() };
        for i in 0..2 * length {
            let time = i as f64 / 25.0 + if i < length { 0.0 } else { 20.0 };
            let wave = (TAU * beats / 60.0 * time).sin() as f32;
            let dim = [1.0 - 0.004 * wave, 1.0 - 0.02 * wave, 1.0 - 0.01 * wave];
            let pixels = first.image.as_raw().iter().enumerate();
            clip.frames.extend(pixels.map(|(k, v)| (f32::from(*v) * 0.9 * dim[k % 3]).round() as u8));
            clip.landmarks.extend(&first.landmarks);
            clip.frame_index.push(i as u64);
            clip.timestamps.push(time);
            clip.windows.push(u32::from(i >= length));
        }
        clip
    }

    #[test]
    fn ppg_maps_show_the_pulse_of_each_window() {
        let clip = clip(96, 75.0);
        let signal = Signal::Ppg { omega: 64, step: 32 };
        let found = inputs(&clip, Some(signal), &BTreeSet::new()).unwrap();
        assert_eq!(found.frames, [0, 32, 96, 128]);
        assert_eq!(found.bytes.len(), 4 * 64 * 64);
        for map in found.bytes.chunks_exact(64 * 64) {
            // The spectra are below the waves; their line k of 64 lies at k * 25 / 128 Hz.
            let mut sum = [0u32; 64];
            map[32 * 64..]
                .chunks_exact(64)
                .for_each(|row| sum.iter_mut().zip(row).for_each(|(s, v)| *s += u32::from(*v)));
            let peak = (0..64).max_by_key(|&k| sum[k]).unwrap();
            assert!((peak as f64 * 25.0 / 128.0 - 1.25).abs() < 0.25, "{peak}");
        }
        // A window that shows one frame which is not what the label says is left out.
        let found = inputs(&clip, Some(signal), &BTreeSet::from([40, 170])).unwrap();
        assert_eq!(found.frames, [96]);
        assert!(found.without.is_empty());
    }

    #[test]
    fn crops_are_passed_on_as_they_are() {
        let clip = clip(4, 60.0);
        let found = inputs(&clip, None, &BTreeSet::new()).unwrap();
        assert!(matches!(found.bytes, Cow::Borrowed(_)) && found.len() == 8);
        let found = inputs(&clip, None, &BTreeSet::from([0, 5])).unwrap();
        assert_eq!(found.frames, [1, 2, 3, 4, 6, 7]);
        assert_eq!(&found.bytes[..], [&clip.frames[15552..5 * 15552], &clip.frames[6 * 15552..]].concat());
    }

    #[test]
    fn motion_is_the_luma_where_nothing_is_magnified() {
        let clip = clip(16, 60.0);
        let still = Signal::Motion { frames: 8, step: 8, alpha: 0.0, band: [1.0, 8.0] };
        let found = inputs(&clip, Some(still), &BTreeSet::new()).unwrap();
        assert_eq!((found.frames.as_slice(), found.bytes.len()), (&[0, 8, 16, 24][..], 4 * 8 * 72 * 72 * 2));
        let luma = luma(clip.frame(1).unwrap(), 72);
        for (place, pair) in found.bytes[72 * 72 * 2..][..72 * 72 * 2].chunks_exact(2).enumerate() {
            assert!(pair.iter().all(|v| (f32::from(*v) - luma.values[place]).abs() < 1.5), "{place}: {pair:?}");
        }
        let band = Signal::Motion { frames: 8, step: 8, alpha: 5.0, band: [0.1, 0.2] };
        let error = inputs(&clip, Some(band), &BTreeSet::new()).unwrap_err().to_string();
        assert!(error.contains("band") && error.contains("Hz"), "{error}");
    }

    #[test]
    fn what_has_no_signal_says_why() {
        let why = |clip: &Clip, signal| {
            let found = inputs(clip, Some(signal), &BTreeSet::new()).unwrap();
            assert!(found.is_empty());
            found.reason(Some(signal)).0
        };
        let maps = Signal::Ppg { omega: 64, step: 32 };
        let good = clip(72, 75.0);
        assert_eq!(why(&clip(40, 75.0), maps), "too_short");
        assert_eq!(why(&clip(8, 75.0), Signal::MOTION), "too_short");
        let mut grey = good.clone();
        grey.frames.chunks_exact_mut(3).for_each(|p| p.copy_from_slice(&[p[1]; 3]));
        assert_eq!(why(&grey, maps), "grey");
        let still = clip(72, 0.0);
        assert_eq!(why(&still, maps), "still");
        assert_eq!(why(&still, Signal::MOTION), "still");
        let slow = Clip { timestamps: good.timestamps.iter().map(|t| 4.0 * t).collect(), ..good.clone() };
        assert_eq!(why(&slow, maps), "low_frame_rate");
        let mut turned = good.clone();
        turned.landmarks.iter_mut().for_each(|p| *p = [0.5 * p[0] + p[2], p[1], p[2] - 1.5 * p[0]]);
        assert_eq!(why(&turned, maps), "turned_away");
        // Landmarks that are no numbers are broken input.
        let mut broken = good.clone();
        broken.landmarks[3][0] = f32::NAN;
        assert!(inputs(&broken, Some(maps), &BTreeSet::new()).is_err());
    }
}
