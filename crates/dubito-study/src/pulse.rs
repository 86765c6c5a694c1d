//! The pulse of the face in a video, and of all videos of a manifest by generator.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dubito_data::DataError;
use dubito_data::manifest::{Label, Row, Status};
use dubito_face::{FaceModels, TrackOptions, Tracker};
use dubito_media::{MediaError, Tools};
use dubito_report::figures::Figure;
use dubito_report::lines::{LinePanel, line_figure};
use dubito_signal::methods::BAND;
use dubito_signal::{Method, Quality, Reading, Traces, measure};
use dubito_table::spreadsheet_safe;
use rayon::prelude::*;
use serde::Serialize;

use crate::StudyError;
use crate::progress::{OnProgress, Progress, Step};

/// What is known of the pulse in a video.
#[derive(Clone, Debug, Serialize)]
pub struct Pulse {
    /// The video.
    pub video: String,
    /// `ok`, or why there is no pulse in a word: `no_face`, `turned_away`, `too_short`, `low_frame_rate`, `grey`,
    /// `still`, `inconsistent`, `unreadable`.
    pub status: &'static str,
    /// Why there is no pulse, or what is remarkable.
    pub reason: Option<String>,
    /// How the wave was had: `chrom`, `pos` or `green`.
    pub method: &'static str,
    /// Beats a minute.
    pub heart_rate_bpm: Option<f64>,
    /// Signal-to-noise ratio in decibels.
    pub snr_db: Option<f64>,
    /// What the signal-to-noise ratio is worth.
    pub quality: Option<Quality>,
    /// Seconds that the reading covers.
    pub duration_s: Option<f64>,
    /// Frames a second; none of a video of one frame.
    pub frame_rate: Option<f64>,
    /// Frames decoded.
    pub frames: usize,
    /// Frames that show the face towards the camera.
    pub frames_seen: usize,
    /// Wave, spectrum and weights.
    #[serde(skip)]
    pub reading: Option<Reading>,
}

/// Reads the pulse of the face that is seen in most frames of a video: every frame is decoded and its faces are
/// followed, and none is held.
///
/// # Errors
/// A file that can't be opened or of which not one frame is decoded.
pub fn pulse(path: &Path, tools: &Tools, models: &FaceModels, method: Method) -> Result<Pulse, StudyError> {
    let mut tracker = Tracker::new(models, TrackOptions::default());
    let mut faces: BTreeMap<u32, Traces> = BTreeMap::new();
    // What a face that is seen later has missed.
    let mut without = Traces::default();
    let (mut broken, mut inconsistent) = (None, None);
    for frame in dubito_media::open(path, tools).map_err(DataError::from)? {
        let frame = match frame {
            Ok(frame) => frame,
            Err(MediaError::Inconsistent { message, .. }) => {
                inconsistent = Some(message);
                break;
            }
            Err(error @ (MediaError::Truncated { .. } | MediaError::Decode { .. })) if !without.is_empty() => {
                broken = Some(error.without_path());
                break;
            }
            Err(error) => return Err(DataError::from(error).into()),
        };
        let found = tracker.push(&frame.image, frame.timestamp)?;
        for face in &found {
            faces.entry(face.track).or_insert_with(|| without.clone());
        }
        let input = |e: dubito_signal::SignalError| StudyError::Input {
            message: format!("{}: frame {}: {e}", path.display(), frame.index),
            hint: "the file's timestamps or landmarks are broken: write it anew with FFmpeg".into(),
        };
        for (track, traces) in &mut faces {
            let face = found.iter().find(|face| face.track == *track);
            let landmarks = face.map(|face| face.mesh.points.as_slice());
            traces.push(&frame.image, landmarks, frame.timestamp).map_err(input)?;
        }
        without.push(&frame.image, None, frame.timestamp).map_err(input)?;
    }
    // The first of equals.
    let best = faces.into_values().reduce(|best, next| if next.seen() > best.seen() { next } else { best });
    let traces = best.unwrap_or(without);
    // What a wave is worth whose times, or most of whose frames, can't be right, nobody knows.
    let read = match inconsistent {
        Some(message) => Err(("inconsistent", message)),
        None => measure(&traces, method).map_err(|undefined| (undefined.status(), undefined.to_string())),
    };
    let mut pulse = Pulse {
        video: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        status: read.as_ref().map_or_else(|(status, _)| *status, |_| "ok"),
        reason: read.as_ref().err().map(|(_, reason)| reason.clone()),
        method: method.name(),
        heart_rate_bpm: None,
        snr_db: None,
        quality: None,
        duration_s: None,
        frame_rate: traces.frame_rate(),
        frames: traces.len(),
        frames_seen: traces.seen(),
        reading: None,
    };
    let mut remarks: Vec<String> = pulse.reason.take().into_iter().collect();
    if let Ok(reading) = read {
        if reading.gaps > 0 {
            remarks.push(format!(
                "the face is lost {} times: this is the longest stretch between, from {:.1} s on",
                reading.gaps, reading.start
            ));
        }
        pulse.heart_rate_bpm = Some(reading.heart_rate_bpm);
        pulse.snr_db = Some(reading.snr_db);
        pulse.quality = Some(reading.quality);
        pulse.duration_s = Some(reading.seconds);
        pulse.reading = Some(reading);
    }
    remarks.extend(broken);
    pulse.reason = (!remarks.is_empty()).then(|| remarks.join("; "));
    Ok(pulse)
}

/// The figure of a pulse: its wave and its spectrum, the heart rate and its first harmonic marked.
///
/// # Errors
/// A fault in drawing.
pub fn figure(pulse: &Pulse) -> Result<Figure, StudyError> {
    let why = || pulse.reason.clone().unwrap_or_else(|| "there is no pulse".into());
    let reading = pulse.reading.as_ref().ok_or_else(why);
    let (start, end) = reading.as_ref().map_or((0.0, 1.0), |r| (r.start, r.start + r.seconds));
    let wave = reading
        .clone()
        .map(|r| r.wave.iter().enumerate().map(|(i, v)| (r.start + i as f64 / r.rate, v.clamp(-4.0, 4.0))).collect());
    let (low, high) = (60.0 * BAND.0, 60.0 * BAND.1);
    let spectrum = reading.clone().map(|r| {
        let lines = r.spectrum.power.iter().enumerate().map(|(k, p)| (60.0 * k as f64 * r.spectrum.step, *p));
        let lines: Vec<(f64, f64)> = lines.filter(|(bpm, _)| (low..=high).contains(bpm)).collect();
        let top = lines.iter().fold(f64::MIN_POSITIVE, |top, line| top.max(line.1));
        lines.into_iter().map(|(bpm, power)| (bpm, power / top)).collect()
    });
    let marks = pulse.heart_rate_bpm.map_or(Vec::new(), |bpm| vec![bpm, 2.0 * bpm]);
    let title = match (pulse.heart_rate_bpm, pulse.snr_db, pulse.quality) {
        (Some(bpm), Some(snr), Some(quality)) => {
            format!("{bpm:.1} beats a minute, signal-to-noise ratio {snr:.1} dB ({quality})")
        }
        _ => String::new(),
    };
    let panels = [
        LinePanel {
            title: format!("Pulse wave of {} by {}", pulse.video, pulse.method),
            x: ("seconds", start, end),
            counted: false,
            y: ("standard deviations", -4.0, 4.0),
            points: wave,
            marks: Vec::new(),
        },
        LinePanel {
            title,
            x: ("beats a minute", low, high),
            counted: false,
            y: ("power, of the highest", 0.0, 1.05),
            points: spectrum,
            marks: marks.into_iter().filter(|bpm| *bpm <= high).collect(),
        },
    ];
    let caption = "Above the pulse wave in the skin's colour, higher where there is more blood; below its spectrum. \
                   The dashed lines are the heart rate and its first harmonic: what stands out there is the pulse, \
                   everything else is noise.";
    Ok(line_figure("pulse", "Pulse", caption.into(), &panels)?)
}

/// A video of a manifest with its pulse.
#[derive(Clone, Debug, Serialize)]
pub struct PulseRow {
    /// The video's name in the manifest.
    pub video: String,
    /// `real` or `fake`.
    pub label: Label,
    /// What made it: a generator, `real`, or `control` for a null control.
    pub generator: String,
    /// As [`Pulse::status`], or the manifest's own where the video is not `ok` there.
    pub status: String,
    /// As [`Pulse::reason`].
    pub reason: Option<String>,
    /// Beats a minute.
    pub heart_rate_bpm: Option<f64>,
    /// Signal-to-noise ratio in decibels.
    pub snr_db: Option<f64>,
    /// What the signal-to-noise ratio is worth.
    pub quality: Option<Quality>,
    /// Seconds that the reading covers.
    pub duration_s: Option<f64>,
    /// Of a video that was forged: the correlation of its wave with that of the untouched video of the same source, at
    /// no lag. It is the target's own pulse where this is high.
    pub r_with_target: Option<f64>,
}

/// What the videos of one generator have in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PulseGroup {
    /// As [`PulseRow::generator`].
    pub generator: String,
    /// Videos.
    pub videos: usize,
    /// Videos with a pulse that could be read.
    pub read: usize,
    /// Median of their heart rates.
    pub heart_rate_bpm: Option<f64>,
    /// Median of their signal-to-noise ratios in decibels.
    pub snr_db: Option<f64>,
    /// Median correlation with the target's own wave.
    pub r_with_target: Option<f64>,
}

/// Reads the pulse of every video of a manifest, as many at once as there are threads; paths are relative to `root`.
/// The rows are in the manifest's order. What can't be read is a row with its status and reason.
///
/// # Errors
/// A face model that fails; `on_progress` that says to stop.
pub fn pulses(
    rows: &[Row],
    root: &Path,
    tools: &Tools,
    models: &FaceModels,
    method: Method,
    on_progress: OnProgress,
) -> Result<Vec<PulseRow>, StudyError> {
    let (done, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let one = |row: &Row| -> Result<Option<Pulse>, StudyError> {
        if stopped.load(Ordering::Relaxed) {
            return Err(StudyError::stopped());
        }
        let read = (row.status == Status::Ok).then(|| pulse(&root.join(&row.path), tools, models, method)).transpose();
        let read = match read {
            Ok(read) => read,
            Err(error @ StudyError::Face(_)) => return Err(error),
            Err(error) => Some(Pulse {
                video: row.video.clone(),
                status: "unreadable",
                reason: Some(match &error {
                    StudyError::Data(error) => error.reason(),
                    error => error.to_string(),
                }),
                method: method.name(),
                heart_rate_bpm: None,
                snr_db: None,
                quality: None,
                duration_s: None,
                frame_rate: None,
                frames: 0,
                frames_seen: 0,
                reading: None,
            }),
        };
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        let progress = Progress { step: Step::only("pulse"), done, total: rows.len(), item: row.video.clone() };
        if !on_progress(&progress) {
            stopped.store(true, Ordering::Relaxed);
        }
        Ok(read)
    };
    let read: Vec<Option<Pulse>> = rows.par_iter().map(one).collect::<Result<_, _>>()?;
    // The untouched video of each source.
    let untouched = |row: &Row| row.label == Label::Real && row.control.is_none();
    let mut targets: BTreeMap<&str, &Reading> = BTreeMap::new();
    for (row, pulse) in rows.iter().zip(&read).filter(|(row, _)| untouched(row)) {
        if let (Some(source), Some(reading)) = (&row.source, pulse.as_ref().and_then(|p| p.reading.as_ref())) {
            targets.insert(source, reading);
        }
    }
    let whole = |(row, pulse): (&Row, &Option<Pulse>)| {
        let reading = pulse.as_ref().and_then(|p| p.reading.as_ref());
        let target = row.source.as_deref().filter(|_| !untouched(row)).and_then(|source| targets.get(source));
        PulseRow {
            video: row.video.clone(),
            label: row.label,
            generator: row.control.as_ref().map_or(row.generator.clone(), |_| "control".into()),
            status: pulse.as_ref().map_or_else(|| row.status.to_string(), |p| p.status.to_owned()),
            reason: pulse.as_ref().map_or_else(|| row.reason.clone(), |p| p.reason.clone()),
            heart_rate_bpm: reading.map(|r| r.heart_rate_bpm),
            snr_db: reading.map(|r| r.snr_db),
            quality: reading.map(|r| r.quality),
            duration_s: reading.map(|r| r.seconds),
            r_with_target: reading.zip(target).and_then(|(a, b)| together(a, b)),
        }
    };
    Ok(rows.iter().zip(&read).map(whole).collect())
}

/// The correlation of two waves of one source, frame by frame; `None` where they don't cover the same frames.
fn together(a: &Reading, b: &Reading) -> Option<f64> {
    let same = (a.start - b.start).abs() < 0.5 / a.rate && (a.rate - b.rate).abs() < 1e-3 * a.rate;
    let n = a.wave.len().min(b.wave.len());
    (same && n > 1).then(|| correlation(&a.wave[..n], &b.wave[..n])).flatten()
}

/// Pearson's correlation; `None` where one does not vary.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len().max(1) as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        (ab, aa, bb) = (ab + a * b, aa + a * a, bb + b * b);
    }
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}

/// The rows by generator: real first, then by name.
pub fn by_generator(rows: &[PulseRow]) -> Vec<PulseGroup> {
    let mut groups: BTreeMap<(bool, &str), Vec<&PulseRow>> = BTreeMap::new();
    for row in rows {
        groups.entry((row.generator != "real", &row.generator)).or_default().push(row);
    }
    let group = |((_, generator), rows): ((bool, &str), Vec<&PulseRow>)| {
        let median = |value: fn(&PulseRow) -> Option<f64>| {
            let mut values: Vec<f64> = rows.iter().filter_map(|row| value(row)).collect();
            values.sort_by(f64::total_cmp);
            let n = values.len();
            (n > 0).then(|| (values[(n - 1) / 2] + values[n / 2]) / 2.0)
        };
        PulseGroup {
            generator: generator.to_owned(),
            videos: rows.len(),
            read: rows.iter().filter(|row| row.heart_rate_bpm.is_some()).count(),
            heart_rate_bpm: median(|row| row.heart_rate_bpm),
            snr_db: median(|row| row.snr_db),
            r_with_target: median(|row| row.r_with_target),
        }
    };
    groups.into_iter().map(group).collect()
}

/// Writes rows as CSV, as a table for people: text that a spreadsheet would take for a formula has an apostrophe before it.
///
/// # Errors
/// A file that can't be written.
pub fn write_csv<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), StudyError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |e: String| StudyError::io(path)(std::io::Error::other(e));
    for row in rows {
        writer.serialize(row).map_err(|e| failed(e.to_string()))?;
    }
    let plain = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in csv::ReaderBuilder::new().has_headers(false).from_reader(plain.as_slice()).records() {
        let record = record.map_err(|e| failed(e.to_string()))?;
        let cells = record.iter().map(|cell| spreadsheet_safe(cell).into_owned());
        writer.write_record(cells).map_err(|e| failed(e.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    Ok(dubito_data::write_atomically(path, &bytes)?)
}

/// Writes a wave as CSV: `time_s`, `wave`.
///
/// # Errors
/// A file that can't be written.
pub fn write_wave(path: &Path, reading: &Reading) -> Result<(), StudyError> {
    #[derive(Serialize)]
    struct Value {
        time_s: f64,
        wave: f64,
    }
    let value = |(i, wave): (usize, &f64)| Value { time_s: reading.start + i as f64 / reading.rate, wave: *wave };
    write_csv(path, &reading.wave.iter().enumerate().map(value).collect::<Vec<_>>())
}
