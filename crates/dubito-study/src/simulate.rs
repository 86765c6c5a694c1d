//! A folder of simulated people's videos, for a machine without any: the forge takes it like any other folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dubito_media::{Codec, EncodeSettings, Tools, Writer};
use dubito_sim::{Performance, PerformanceConfig, Subject, SubjectConfig, frames};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::StudyError;
use crate::progress::{OnProgress, Progress, Step};

/// What is simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimulateOptions {
    /// Seed of the people and of what they do.
    pub seed: u64,
    /// People, one video each; skin tones go over the Monk scale in turn.
    pub subjects: usize,
    /// Frames of each video.
    pub frames: usize,
    /// Frames a second. 25 or more for pulse and motion; less shows more of a face in fewer frames.
    pub frame_rate: f32,
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Constant quantiser of the camera's own H.264, 1 to 51; lossless without one.
    pub quantiser: Option<u8>,
}

impl Default for SimulateOptions {
    fn default() -> Self {
        Self { seed: 0, subjects: 24, frames: 250, frame_rate: 25.0, width: 640, height: 480, quantiser: Some(18) }
    }
}

impl SimulateOptions {
    /// Checks every field.
    ///
    /// # Errors
    /// One out of its range, by its name.
    pub fn check(&self) -> Result<(), StudyError> {
        for (name, value, most) in [("subjects", self.subjects, 10_000), ("frames", self.frames, 100_000)] {
            if !(1..=most).contains(&value) {
                return Err(StudyError::Input {
                    message: format!("`{name}` is {value}, expected 1 to {most}"),
                    hint: "24 people and 250 frames are usual".into(),
                });
            }
        }
        subject(0, self).map(drop)
    }
}

/// The revision of what is rendered and written: videos of another one are made again.
const REVISION: u32 = 1;

/// Renders the people into `out` (`person01.mp4`, ..., `identities.csv`, and `person01.truth.jsonl` with what is true
/// of each frame) and returns the warnings. Videos that are there already are kept; a kill loses those in hand.
///
/// # Errors
/// Options out of range; an `out` that can't be written to; an encoder that fails.
pub fn simulate(
    out: &Path,
    options: &SimulateOptions,
    tools: &Tools,
    step: Step,
    on_progress: OnProgress,
) -> Result<(), StudyError> {
    options.check()?;
    std::fs::create_dir_all(out).map_err(StudyError::io(out))?;
    dubito_data::remove_unfinished(out, |_| false);
    let key = format!("{REVISION} {}", serde_json::to_string(options).unwrap_or_default());
    let key = blake3::hash(key.as_bytes()).to_hex().to_string();
    let (done, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let names: Vec<String> = (0..options.subjects).map(|i| format!("person{:02}", i + 1)).collect();
    let videos: Vec<PathBuf> = names
        .par_iter()
        .enumerate()
        .map(|(i, name)| {
            if stopped.load(Ordering::Relaxed) {
                return Err(StudyError::stopped());
            }
            let video = one(out, name, i, options, &key, tools)?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if !on_progress(&Progress { step, done, total: names.len(), item: name.clone() }) {
                stopped.store(true, Ordering::Relaxed);
            }
            Ok(video)
        })
        .collect::<Result<_, StudyError>>()?;
    let mut table = String::from("file,identity,skin_tone\n");
    for (i, (video, name)) in videos.iter().zip(&names).enumerate() {
        let file = video.file_name().unwrap_or_default().to_string_lossy();
        table.push_str(&format!("{file},{name},Monk {}\n", tone(i)));
    }
    dubito_data::write_atomically(&out.join(dubito_data::identities::IDENTITIES), table.as_bytes())?;
    Ok(())
}

/// Subject `i` of a seed, with what it does.
///
/// # Errors
/// A camera out of range.
pub fn subject(i: usize, options: &SimulateOptions) -> Result<(Subject, Performance), StudyError> {
    let seed = options.seed.wrapping_mul(100_003).wrapping_add(i as u64);
    let mut config = PerformanceConfig::from_seed(seed);
    (config.camera.width, config.camera.height) = (options.width, options.height);
    config.camera.frame_rate = options.frame_rate;
    let wrong = |e: dubito_sim::SimError| StudyError::Input {
        message: e.to_string(),
        hint: "see `dubito simulate --help` for the ranges".into(),
    };
    let performance = Performance::from_config(config).map_err(wrong)?;
    let subject = Subject::from_config(SubjectConfig::from_seed_and_tone(seed, tone(i))).map_err(wrong)?;
    Ok((subject, performance))
}

/// The Monk skin tone, 1 to 10, of subject `i`.
fn tone(i: usize) -> u8 {
    (i % 10) as u8 + 1
}

fn one(
    out: &Path,
    name: &str,
    i: usize,
    options: &SimulateOptions,
    key: &str,
    tools: &Tools,
) -> Result<PathBuf, StudyError> {
    let stamp = out.join(format!("{name}.made"));
    if let Ok(text) = std::fs::read_to_string(&stamp)
        && let Some((made, file)) = text.split_once(' ')
        && made == key
        && out.join(file).is_file()
    {
        return Ok(out.join(file));
    }
    let (subject, performance) = subject(i, options)?;
    let codec = options.quantiser.map_or(Codec::Raw, |quantiser| Codec::H264 { quantiser });
    let settings = EncodeSettings { codec, frame_rate: options.frame_rate.into() };
    let media = |e: dubito_media::MediaError| StudyError::from(dubito_data::DataError::from(e));
    let mut writer = Writer::create(&out.join(name), options.width, options.height, &settings, tools).map_err(media)?;
    let mut truth = String::new();
    for frame in frames(&subject, &performance).take(options.frames) {
        writer.write(&frame.image).map_err(media)?;
        truth.push_str(&serde_json::to_string(&frame.truth).unwrap_or_default());
        truth.push('\n');
    }
    let video = writer.finish().map_err(media)?.path;
    dubito_data::write_atomically(&out.join(format!("{name}.truth.jsonl")), truth.as_bytes())?;
    let file = video.file_name().unwrap_or_default().to_string_lossy();
    dubito_data::write_atomically(&stamp, format!("{key} {file}").as_bytes())?;
    Ok(video)
}
