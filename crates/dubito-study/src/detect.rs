//! The analyst's answer: is the face in this file real or fake, or can't it be told, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dubito_data::DataError;
use dubito_data::clip::Clip;
use dubito_data::follow::{Followed, Sampling, follow};
use dubito_data::manifest::Status;
use dubito_face::{CropSpec, FaceModels};
use dubito_media::{MediaError, MediaKind, Tools};
use dubito_nn::Posterior;
use dubito_report::figures::{Figure, TimelineFace, TimelineFrame, timeline_figure};
use dubito_stats::{FrameSums, Scored, StatsError, VideoSums};
use serde::Serialize;

use crate::anytime::{self, Samples, Settled};
use crate::inputs::{Inputs, inputs};
use crate::{Detector, StudyError};

/// Above this total uncertainty there is no answer by default, in nats: that of 80 % against 20 %.
pub const ABSTAIN_ABOVE: f64 = 0.5;
/// Pixels of the crop for each pixel of the video, each way, above which the crop is mostly interpolation.
const MOST_STRETCHED: f64 = 3.0;
/// Points of the mesh at the sides of the face, before the ears.
const SIDES: [usize; 2] = [234, 454];

/// How files are judged.
#[derive(Clone, Debug)]
pub struct DetectOptions {
    /// Posterior samples of each frame.
    pub samples: Samples,
    /// Seed of the samples.
    pub seed: u64,
    /// Most frames of each file, evenly over it; of a detector of signals at least one run of frames that holds a window.
    pub frames: usize,
    /// Frames that must show a face; a picture has one and needs no more.
    pub min_frames: usize,
    /// Most faces of each file, those seen longest and largest first.
    pub faces: usize,
    /// Margin around the face in parts of its size; the detector's own where it says one, else 0.3.
    pub margin: Option<f32>,
    /// Smallest face, in pixels of the file: the median over the frames of its box's longer side.
    pub min_face: f64,
    /// Largest yaw of the head in degrees, that of the line through the sides of the face against the picture's plane, that
    /// at least half of the frames must not exceed.
    pub most_yaw: f64,
    /// Total uncertainty in nats above which there is no answer.
    pub abstain_above: f64,
    /// `cpu` or `gpu`.
    pub device: String,
}

impl Default for DetectOptions {
    /// 50 samples of 32 frames of at most 4 faces, at least 4 frames, 48 pixels, 45 degrees and 0.5 nats.
    fn default() -> Self {
        Self {
            samples: Samples::Fixed(50),
            seed: 0,
            frames: 32,
            min_frames: 4,
            faces: 4,
            margin: None,
            min_face: 48.0,
            most_yaw: 45.0,
            abstain_above: ABSTAIN_ABOVE,
            device: "cpu".into(),
        }
    }
}

/// What is said of a face or a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Nobody changed what it shows, as far as the detector sees.
    Real,
    /// It was changed or made.
    Fake,
    /// The honest answer: it can't be told; the reason says why.
    CantTell,
}

impl Answer {
    /// The name as it stands in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Fake => "fake",
            Self::CantTell => "cant_tell",
        }
    }
}

/// Uncertainty of real against fake, in nats: `total = aleatoric + between_frames + epistemic`, or `+ between_views`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Doubt {
    /// Entropy of the mean prediction, 0 to ln 2.
    pub total: f64,
    /// Doubt that lies in the data: the mean entropy of a sample's answer to a frame.
    pub aleatoric: f64,
    /// What the frames disagree about within a sample.
    pub between_frames: f64,
    /// What the samples disagree about; `None` where all are the same network, which knows no doubt of itself.
    pub epistemic: Option<f64>,
    /// What the views of a frame disagree about; `None` where samples are no views. It says nothing about the weights.
    pub between_views: Option<f64>,
    /// Why `epistemic` is `None`.
    pub undefined_because: Option<&'static str>,
}

/// One frame of a face, or of a detector of signals a window, by its first frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FrameAnswer {
    /// Its number in the video.
    pub frame: u64,
    /// Seconds from the beginning.
    pub time: f64,
    /// P(fake), the mean over the samples.
    pub p_fake: f64,
    /// The smallest and the largest P(fake) of the samples.
    pub p_fake_range: (f64, f64),
    /// The uncertainty of this frame alone (`between_frames` is 0).
    pub uncertainty: Doubt,
    /// The face's box in the file's pixels: x0, y0, x1, y1.
    pub bbox: [f32; 4],
    /// Yaw of the head in degrees, 0 straight into the camera.
    pub yaw: f64,
}

/// One face, followed through the file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Face {
    /// Its number in the file.
    pub track: u32,
    /// What is said of it.
    pub answer: Answer,
    /// P(fake), the mean over samples and frames.
    pub p_fake: f64,
    /// Its uncertainty.
    pub uncertainty: Doubt,
    /// Posterior samples that were drawn.
    pub samples: u32,
    /// Of [`Samples::Auto`], how the sampling ended.
    pub sampling: Option<Settled>,
    /// Why it is said, in a sentence.
    pub reason: String,
    /// Median over the frames of the longer side of its box, in the file's pixels.
    pub face_pixels: f64,
    /// Pixels of the detector's crop for each pixel of the file, each way; the median over the frames.
    pub stretched: f64,
    /// Median yaw of the head in degrees.
    pub yaw: f64,
    /// Its frames.
    pub frames: Vec<FrameAnswer>,
}

/// What is said of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detected {
    /// The file.
    pub file: String,
    /// `ok`, `no_face`, `too_short`, `inconsistent`, `unreadable`, `missing` or `failed` (the detector did); of a detector of
    /// signals also `turned_away`,
    /// `low_frame_rate`, `grey` or `still`.
    pub status: &'static str,
    /// `fake` if a face is, else `cant_tell` if it can't be told of a face, else `real`.
    pub answer: Answer,
    /// P(fake) of the face that decided; `None` where there is none.
    pub p_fake: Option<f64>,
    /// Its uncertainty.
    pub uncertainty: Option<Doubt>,
    /// Why it is said, in a sentence.
    pub reason: String,
    /// The class that counts as fake, and how that is known, of an ONNX file of others; of a detector of ours `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// BLAKE3 of the file in hexadecimal, where it could be read.
    pub blake3: Option<String>,
    /// Each face.
    pub faces: Vec<Face>,
}

impl Detected {
    /// Whether the file could be read at all.
    pub fn is_readable(&self) -> bool {
        !["unreadable", "missing"].contains(&self.status)
    }

    /// The answer for a file that could be read, but not judged.
    pub fn failed(file: &Path, error: &StudyError) -> Self {
        Self::without_face(file, "failed", error.to_string(), None)
    }

    fn without_face(file: &Path, status: &'static str, reason: String, blake3: Option<String>) -> Self {
        Self {
            file: file.display().to_string(),
            status,
            answer: Answer::CantTell,
            p_fake: None,
            uncertainty: None,
            reason,
            note: None,
            blake3,
            faces: Vec::new(),
        }
    }

    /// P(fake) and uncertainty of the file's faces over time.
    ///
    /// # Errors
    /// A fault in drawing.
    pub fn figure(&self, abstain_above: f64) -> Result<Figure, StudyError> {
        let frame = |frame: &FrameAnswer| TimelineFrame {
            time: frame.time,
            p_fake: frame.p_fake,
            range: frame.p_fake_range,
            total: frame.uncertainty.total,
        };
        let face = |face: &Face| TimelineFace {
            name: format!("face {}: {}", face.track, face.answer.name()),
            frames: face.frames.iter().map(frame).collect(),
        };
        let faces: Vec<TimelineFace> = self.faces.iter().map(face).collect();
        Ok(timeline_figure(&faces, abstain_above)?)
    }
}

/// A detector that is ready to judge files.
pub struct Analyst {
    detector: Detector,
    posterior: Box<dyn Posterior>,
    /// Index of the class `real`.
    real: usize,
    options: DetectOptions,
}

impl Analyst {
    /// Loads the detector's weights.
    ///
    /// # Errors
    /// They can't be read; the detector has no class `real`; an option out of range.
    pub fn new(detector: Detector, options: DetectOptions) -> Result<Self, StudyError> {
        let names = detector.class_names();
        let real = names.iter().position(|name| name == "real").ok_or_else(|| StudyError::Input {
            message: format!("{}: tells {} apart, none of them `real`", detector.path().display(), names.join(", ")),
            hint: "give a detector that was trained with --task binary or multiclass".into(),
        })?;
        options.samples.check()?;
        let range = 0.0..=std::f64::consts::LN_2;
        if !range.contains(&options.abstain_above) {
            return Err(StudyError::Input {
                message: format!("--abstain-above {} is not between 0 and ln 2 = 0.693", options.abstain_above),
                hint: "0.5 nats is the uncertainty of 80 % against 20 %, 0.325 that of 90 %".into(),
            });
        }
        if options.margin.is_some_and(|margin| !(0.0..=4.0).contains(&margin)) {
            return Err(StudyError::Input {
                message: "--margin is not between 0 and 4".into(),
                hint: "0.3 leaves a third of the face's size on each side".into(),
            });
        }
        let posterior = detector.posterior(&options.device)?;
        Ok(Self { detector, posterior, real, options })
    }

    /// What it judges by.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Margin around the face in parts of its size: that of the options, else the detector's own, else 0.3.
    pub fn margin(&self) -> f32 {
        self.options.margin.or(self.detector.margin()).unwrap_or(0.3)
    }

    /// Judges one file. A file that can't be read gets an answer too, with its status and the reason.
    ///
    /// # Errors
    /// The machine or the detector fails; nothing that lies in the file.
    pub fn judge(&self, file: &Path, tools: &Tools, models: &FaceModels) -> Result<Detected, StudyError> {
        let crop = CropSpec { size: self.detector.size(), margin: self.margin() };
        let signal = self.detector.signal();
        let frames = self.options.frames.max(1);
        let sampling = signal.map_or(Sampling::Uniform { frames }, |signal| {
            let length = signal.run();
            Sampling::Windows { windows: frames.div_ceil(length), length }
        });
        let followed = match follow(file, &file.display().to_string(), tools, models, sampling, Some(&crop)) {
            Ok(followed) => followed,
            // What is missing on this machine is no property of the file.
            Err(error @ DataError::Media(MediaError::ToolMissing { .. })) => return Err(error.into()),
            Err(DataError::Media(error)) => {
                let status = if matches!(error, MediaError::NotFound { .. }) { "missing" } else { "unreadable" };
                return Ok(Detected::without_face(file, status, error.reason(), None));
            }
            Err(error) => return Err(error.into()),
        };
        let blake3 = Some(followed.blake3.clone());
        let is_picture = followed.info.kind == MediaKind::Picture;
        let needed = if is_picture { 1 } else { self.options.min_frames.max(1) };
        let judged: Vec<&Clip> =
            followed.tracks.iter().filter(|track| track.len() >= needed).take(self.options.faces.max(1)).collect();
        let (status, reason) = followed.status(0, needed);
        if judged.is_empty() || status == Status::Inconsistent {
            let reason = reason.unwrap_or_else(|| "no face".into());
            return Ok(Detected::without_face(file, status.name(), reason, blake3));
        }
        let mut faces = Vec::new();
        let mut without = None;
        for track in judged {
            let found = inputs(track, signal, &BTreeSet::new())?;
            if found.is_empty() {
                without.get_or_insert_with(|| found.reason(signal));
            } else {
                faces.push(self.face(track, &found)?);
            }
        }
        match without {
            Some((status, reason)) if faces.is_empty() => {
                Ok(Detected::without_face(file, status, format!("the face shows no signal: {reason}"), blake3))
            }
            _ => Ok(whole(file, faces, &followed, blake3)),
        }
    }

    fn face(&self, track: &Clip, inputs: &Inputs<'_>) -> Result<Face, StudyError> {
        let classes = self.posterior.classes();
        let wrong = |source: StatsError| {
            StudyError::Report(dubito_report::ReportError::Stats {
                place: format!("face {} of {}", track.meta.track, track.meta.video),
                source,
            })
        };
        // P(fake) of each frame and sample.
        let (posterior, seed) = (self.posterior.as_ref(), self.options.seed);
        let (drawn, sampling) = match self.options.samples {
            Samples::Fixed(samples) => (self.detector.draw(posterior, inputs, samples, seed)?, None),
            Samples::Auto(auto) => {
                let (drawn, end) = anytime::draw(&self.detector, posterior, inputs, auto, seed)?;
                (drawn, Some(end))
            }
        };
        let samples = drawn.len() / (inputs.len() * classes).max(1);
        let fake: Vec<f64> =
            drawn.chunks_exact(classes).map(|row| (1.0 - f64::from(row[self.real])).clamp(0.0, 1.0)).collect();
        let views = self.detector.views().is_some();
        let one_network = fake.chunks_exact(samples).all(|of| of.iter().all(|p| *p == of[0]));
        let mut sums = VideoSums::new(2);
        let mut frames = Vec::with_capacity(inputs.len());
        for (&i, of) in inputs.frames.iter().zip(fake.chunks_exact(samples)) {
            let mut frame = FrameSums::new(2);
            for (sample, p) in of.iter().enumerate() {
                frame.push(&[1.0 - p, *p]).map_err(wrong)?;
                sums.push(sample as u64, &[1.0 - p, *p]).map_err(wrong)?;
            }
            let scored = frame.finish(0, 0).map_err(wrong)?;
            frames.push(FrameAnswer {
                frame: track.frame_index[i],
                time: track.timestamps[i],
                p_fake: scored.probs[1],
                p_fake_range: of.iter().fold((1.0, 0.0), |(low, high): (f64, f64), p| (low.min(*p), high.max(*p))),
                uncertainty: doubt(&scored, one_network, views),
                bbox: track.boxes[i],
                yaw: yaw(track, i),
            });
        }
        let scored = sums.finish(0, 0).map_err(wrong)?;
        let p_fake = scored.probs[1];
        let uncertainty = doubt(&scored, one_network, views);
        let face_pixels = median(track.boxes.iter().map(|b| f64::from((b[2] - b[0]).max(b[3] - b[1]))));
        let stretched = median(track.transforms.iter().map(|m| f64::from(m[0] * m[4] - m[1] * m[3]).abs().sqrt()));
        let yaws = median(frames.iter().map(|frame| frame.yaw));
        let withheld = self.withheld(&uncertainty, face_pixels, stretched, yaws);
        let answer = match (&withheld, p_fake >= 0.5) {
            (Some(_), _) => Answer::CantTell,
            (None, true) => Answer::Fake,
            (None, false) => Answer::Real,
        };
        let mut reason = withheld.unwrap_or_else(|| {
            let (low, high) =
                frames.iter().fold((1.0f64, 0.0f64), |(low, high), f| (low.min(f.p_fake), high.max(f.p_fake)));
            let what = if self.detector.signal().is_some() { "window" } else { "frame" };
            let over = if frames.len() == 1 {
                format!("in one {what}")
            } else {
                format!("over {} {what}s ({low:.2} to {high:.2})", frames.len())
            };
            format!(
                "P(fake) is {p_fake:.2} {over}; its total uncertainty of {:.2} nats is not above {:.2}",
                uncertainty.total, self.options.abstain_above
            )
        });
        if let Some(Settled { settled: false, .. }) = sampling {
            reason += &format!("; {samples} samples did not settle it");
        }
        let track = track.meta.track;
        let samples = samples as u32;
        Ok(Face {
            track,
            answer,
            p_fake,
            uncertainty,
            samples,
            sampling,
            reason,
            face_pixels,
            stretched,
            yaw: yaws,
            frames,
        })
    }

    /// Why there is no answer, if there is a reason.
    fn withheld(&self, doubt: &Doubt, face_pixels: f64, stretched: f64, yaw: f64) -> Option<String> {
        let DetectOptions { min_face, most_yaw, abstain_above, .. } = self.options;
        if face_pixels < min_face {
            return Some(format!("the face is too small: {face_pixels:.0} pixels, {min_face:.0} are needed"));
        }
        if stretched > MOST_STRETCHED {
            return Some(format!(
                "the face is smaller than what the detector knows: its crop of {} pixels shows each pixel of the file \
                 {stretched:.1} times as large, more than {MOST_STRETCHED}",
                self.detector.size()
            ));
        }
        if yaw > most_yaw {
            return Some(format!(
                "the face is turned away: by {yaw:.0} degrees in half of the frames or more, at most {most_yaw:.0} will do"
            ));
        }
        if doubt.total <= abstain_above {
            return None;
        }
        let parts = [
            (doubt.aleatoric, "the frames themselves are unclear to it (aleatoric)"),
            (doubt.between_frames, "it says different things of different frames"),
            (doubt.between_views.unwrap_or(0.0), "it says different things of views of a frame"),
            (doubt.epistemic.unwrap_or(0.0), "it has not learned enough about faces like this (epistemic)"),
        ];
        let (part, why) = parts.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or(parts[0]);
        Some(format!(
            "the detector is unsure: its total uncertainty of {:.2} nats is above {abstain_above:.2}, and {part:.2} of it is \
             that {why}",
            doubt.total
        ))
    }
}

/// The file's answer from those of its faces.
fn whole(file: &Path, faces: Vec<Face>, followed: &Followed, blake3: Option<String>) -> Detected {
    let rank = |face: &Face| match face.answer {
        Answer::Fake => 2,
        Answer::CantTell => 1,
        Answer::Real => 0,
    };
    let decided = faces.iter().max_by(|a, b| rank(a).cmp(&rank(b)).then(a.p_fake.total_cmp(&b.p_fake)));
    let (answer, p_fake, uncertainty, mut reason) = match decided {
        Some(face) if faces.len() == 1 => {
            (face.answer, Some(face.p_fake), Some(face.uncertainty.clone()), face.reason.clone())
        }
        Some(face) => {
            let reason = format!("face {} of {}: {}", face.track, faces.len(), face.reason);
            (face.answer, Some(face.p_fake), Some(face.uncertainty.clone()), reason)
        }
        None => (Answer::CantTell, None, None, "no face".to_owned()),
    };
    if let Some(broken) = &followed.broken {
        reason = format!("{reason}; of the file: {broken}");
    }
    let file = file.display().to_string();
    Detected { file, status: "ok", answer, p_fake, uncertainty, reason, note: None, blake3, faces }
}

fn doubt(scored: &Scored, one_network: bool, views: bool) -> Doubt {
    Doubt {
        total: scored.total,
        aleatoric: scored.aleatoric,
        between_frames: scored.between_frames,
        epistemic: (!one_network && !views).then_some(scored.epistemic),
        between_views: views.then_some(scored.epistemic),
        undefined_because: match (views, one_network) {
            (true, _) => Some("samples are views: one network knows no doubt of itself"),
            (false, true) => Some("all samples are the same: one network knows no doubt of itself"),
            (false, false) => None,
        },
    }
}

/// Degrees between the line through the sides of the face and the picture's plane.
fn yaw(track: &Clip, i: usize) -> f64 {
    let points = track.points(i).unwrap_or_default();
    let [Some(a), Some(b)] = SIDES.map(|point| points.get(point)) else { return 0.0 };
    f64::from((a[2] - b[2]).abs()).atan2(f64::from((a[0] - b[0]).abs())).to_degrees()
}

/// The lower median; 0 of none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// How many files got each answer.
pub fn counts(found: &[Detected]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    found.iter().for_each(|file| *counts.entry(file.answer.name()).or_default() += 1);
    counts
}
