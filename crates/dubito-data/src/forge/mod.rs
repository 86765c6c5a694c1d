//! The forge: counterfeits of known kind from real face videos, with the mask of what was changed.
//!
//! People are put into folds and cells first ([`crate::split`]); donors come from the target's own
//! cell. Beside its fakes every video is written untouched, and once for each generator as a null
//! control, all through the same encoder.

pub mod blend;
mod generators;
pub mod warp;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dubito_face::FaceModels;
use dubito_media::{Codec, EncodeSettings, Encoded, RgbImage, Tools, Writer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use generators::{FaceFrame, Generator, Look};

use crate::clip::Clip;
use crate::error::DataError;
use crate::extract::{OnProgress, Progress};
use crate::follow::{Sampling, follow};
use crate::identities::{Folder, Source};
use crate::manifest::{Label, Row, Status};
use crate::split::{self, Cell};

/// Name of the data set in the manifest.
pub const DATASET: &str = "forged";
/// What the mechanism was when a file was made: changes whenever the same options would give other pixels.
const REVISION: u32 = 1;

/// What is forged and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForgeOptions {
    /// Seed of the folds and of the choice of donors.
    pub seed: u64,
    /// Most frames of each video.
    pub frames: usize,
    /// Distance of one frame from the next in the source.
    pub every: usize,
    /// Frames with a face that a video must have.
    pub min_frames: usize,
    /// Most donors for each target.
    pub donors: usize,
    /// The generators.
    pub generators: Vec<Generator>,
    /// How hard the fakes are to see.
    pub look: Look,
    /// `None` for lossless, otherwise the quantiser: CRF through FFmpeg, constant QP through the
    /// embedded encoder.
    pub quantiser: Option<u8>,
}

impl Default for ForgeOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            frames: 32,
            every: 4,
            min_frames: 8,
            donors: 2,
            generators: Generator::ALL.to_vec(),
            look: Look::default(),
            quantiser: Some(23),
        }
    }
}

/// A real video with its face track.
struct Target<'a> {
    source: &'a Source,
    stem: String,
    track: Clip,
    frame_rate: f64,
    cell: Option<&'a Cell>,
}

/// Forges counterfeits of every video in `folder` into `out` (`videos/`, `masks/`) and returns the
/// rows of the manifest, paths relative to `out`: for each video the untouched one, a null control
/// of each generator, and the fakes; for each that can't be used its status and reason.
///
/// What is there already is not made again; a kill loses at most the videos in hand. The same folder,
/// options and encoder give the same files.
///
/// # Errors
/// [`DataError::TooFewPeople`]; an `out` that can't be written to; an encoder that fails.
pub fn forge(
    folder: &Folder,
    out: &Path,
    options: &ForgeOptions,
    tools: &Tools,
    models: &FaceModels,
    on_progress: OnProgress,
) -> Result<Vec<Row>, DataError> {
    let usable: Vec<&Source> = folder.usable().collect();
    let stems = stems(&usable);
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let advance = |item: &str, total: usize| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if !on_progress(&Progress { done, total, item: item.to_owned() }) {
            stop.store(true, Ordering::Relaxed);
        }
        if stop.load(Ordering::Relaxed) { Err(DataError::Stopped) } else { Ok(()) }
    };

    // Who is seen, and where. An estimate of the work serves until the cells are known.
    let per_target = 1 + options.generators.len() * (1 + options.donors);
    let estimate = usable.len() * (1 + per_target);
    let found: Vec<Result<(Clip, f64), Row>> = usable
        .par_iter()
        .map(|source| {
            let found = face_of(source, out, options, tools, models)?;
            advance(&source.name, estimate)?;
            Ok(found)
        })
        .collect::<Result<_, DataError>>()?;

    let mut rows: Vec<Row> = Vec::new();
    let mut targets: Vec<Target> = Vec::new();
    for ((source, stem), found) in usable.iter().zip(stems).zip(found) {
        match found {
            Ok((track, frame_rate)) => targets.push(Target { source, stem, track, frame_rate, cell: None }),
            Err(row) => rows.push(row),
        }
    }
    rows.extend(folder.excluded(DATASET));

    let people: BTreeSet<String> = targets.iter().map(|t| t.source.identity.clone()).collect();
    let cells = split::cells(&people, options.seed)?;
    for target in &mut targets {
        target.cell = cells.iter().find(|c| c.people.contains(&target.source.identity));
    }
    let plans: Vec<Vec<usize>> = (0..targets.len()).map(|i| donors(i, &targets, options)).collect();
    let total = usable.len() + plans.iter().map(|d| 1 + options.generators.len() * (1 + d.len())).sum::<usize>();
    let made: Vec<Vec<Row>> = targets
        .par_iter()
        .zip(&plans)
        .map(|(target, donors)| {
            let donors: Vec<&Target> = donors.iter().map(|&i| &targets[i]).collect();
            forge_target(target, &donors, out, options, tools, &|item| advance(item, total))
        })
        .collect::<Result<_, DataError>>()?;
    rows.extend(made.into_iter().flatten());
    Ok(rows)
}

/// A file name for each source, unique: its stem, and its ending too where two share the stem.
fn stems(sources: &[&Source]) -> Vec<String> {
    let clean = |text: &str| -> String {
        text.chars().map(|c| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect()
    };
    let stem = |s: &Source| clean(s.name.rsplit_once('.').map_or(s.name.as_str(), |(stem, _)| stem));
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources {
        *count.entry(stem(source)).or_default() += 1;
    }
    sources
        .iter()
        .enumerate()
        .map(|(i, source)| match count[&stem(source)] {
            1 => stem(source),
            // Two names can still come out alike once cleaned: the place in the list tells them apart.
            _ => format!("{}_{i}", clean(&source.name)),
        })
        .collect()
}

/// The donors of target `i`: other people of its cell, each with their first usable video.
fn donors(i: usize, targets: &[Target], options: &ForgeOptions) -> Vec<usize> {
    let target = &targets[i];
    let Some(cell) = target.cell else { return Vec::new() };
    let others = cell.people.iter().filter(|p| **p != target.source.identity).cloned();
    let seed = u64::from_le_bytes(
        blake3::hash(format!("{} {}", options.seed, target.source.name).as_bytes()).as_bytes()[..8]
            .try_into()
            .unwrap_or_default(),
    );
    split::by_hash(others, seed)
        .iter()
        .filter_map(|person| targets.iter().position(|t| t.source.identity == *person))
        .take(options.donors)
        .collect()
}

/// The main face track of a source, kept in `out/tracks`; a row with status and reason without one.
fn face_of(
    source: &Source,
    out: &Path,
    options: &ForgeOptions,
    tools: &Tools,
    models: &FaceModels,
) -> Result<Result<(Clip, f64), Row>, DataError> {
    let failed = |status: Status, reason: String| Row { status, reason: Some(reason), ..source.row(DATASET) };
    let hash = match dubito_media::hash_file(&source.path) {
        Ok(hash) => hash,
        Err(error) => return Ok(Err(failed(Status::Unreadable, error.to_string()))),
    };
    let name = key(&["track", &hash, &source.name, &options.frames.to_string(), &options.every.to_string()]);
    let kept = out.join("tracks").join(format!("{name}.safetensors"));
    let rate = |track: &Clip| match track.timestamps.as_slice() {
        [first, .., last] if last > first => (track.len() - 1) as f64 / (last - first),
        _ => 25.0,
    };
    let (track, status) = if let Ok(track) = Clip::read(&kept) {
        (Some(track), (Status::Ok, None))
    } else {
        let sampling = Sampling::Every { step: options.every, frames: options.frames };
        match follow(&source.path, &source.name, tools, models, sampling, None) {
            Err(DataError::Io { path, source }) => return Err(DataError::Io { path, source }),
            Err(error) => return Ok(Err(failed(Status::Unreadable, error.to_string()))),
            Ok(followed) => {
                let status = followed.status(0, options.min_frames);
                if status.0 == Status::Ok {
                    followed.tracks[0].write(&kept)?;
                }
                (followed.tracks.into_iter().next(), status)
            }
        }
    };
    Ok(match (track, status) {
        (Some(track), (Status::Ok, _)) => {
            let rate = rate(&track);
            Ok((track, rate))
        }
        (_, (status, reason)) => Err(failed(status, reason.unwrap_or_default())),
    })
}

fn key(parts: &[&str]) -> String {
    blake3::hash(format!("{REVISION}\n{}", parts.join("\n")).as_bytes()).to_hex()[..32].to_owned()
}

/// The frames of a track, decoded again, without an odd last column or row: the encoders' sizes are
/// even, and a video and its mask must be of one size.
fn frames_of(target: &Target, tools: &Tools) -> Result<Vec<RgbImage>, DataError> {
    let wanted = &target.track.frame_index;
    let last = wanted.last().copied().unwrap_or(0);
    let mut frames = Vec::with_capacity(wanted.len());
    for frame in dubito_media::open(&target.source.path, tools)? {
        let frame = frame?;
        if wanted.binary_search(&frame.index).is_ok() {
            let (width, height) = (frame.image.width(), frame.image.height());
            frames.push(match (width % 2, height % 2) {
                (0, 0) => frame.image,
                (w, h) => image::imageops::crop_imm(&frame.image, 0, 0, width - w, height - h).to_image(),
            });
        }
        if frame.index >= last {
            break;
        }
    }
    Ok(frames)
}

/// One output of a target: what it is called, and how its frames are made.
struct Output<'a> {
    folder: String,
    stem: String,
    row: Row,
    generator: Option<Generator>,
    donor: Option<&'a Target<'a>>,
}

fn forge_target(
    target: &Target,
    donors: &[&Target],
    out: &Path,
    options: &ForgeOptions,
    tools: &Tools,
    advance: &(dyn Fn(&str) -> Result<(), DataError> + Sync),
) -> Result<Vec<Row>, DataError> {
    let base = Row {
        split: target.cell.map(|c| c.fold.clone()).unwrap_or_default(),
        cell: target.cell.map(|c| c.name.clone()),
        source: Some(target.source.name.clone()),
        seed: Some(options.seed),
        ..target.source.row(DATASET)
    };
    let mut outputs = vec![Output {
        folder: "real".into(),
        stem: target.stem.clone(),
        row: base.clone(),
        generator: None,
        donor: None,
    }];
    for &generator in &options.generators {
        outputs.push(Output {
            folder: format!("null-{generator}"),
            stem: target.stem.clone(),
            row: Row { control: Some(generator.to_string()), ..base.clone() },
            generator: Some(generator),
            donor: None,
        });
        for &donor in donors {
            outputs.push(Output {
                folder: generator.to_string(),
                stem: format!("{}__{}", target.stem, donor.stem),
                row: Row {
                    label: Label::Fake,
                    generator: generator.to_string(),
                    donor: Some(donor.source.identity.clone()),
                    ..base.clone()
                },
                generator: Some(generator),
                donor: Some(donor),
            });
        }
    }

    let settings = serde_json::to_string(&(options.look, options.quantiser)).unwrap_or_default();
    let mut own_frames: Option<Vec<RgbImage>> = None;
    let mut donor_frames: BTreeMap<&str, Vec<RgbImage>> = BTreeMap::new();
    let mut rows = Vec::new();
    for output in outputs {
        let name = format!("{}/{}", output.folder, output.stem);
        let record = {
            let donor = output.donor.map_or("", |d| d.track.meta.blake3.as_str());
            let own = format!("{} {}", target.track.meta.blake3, target.source.name);
            let frames = format!("{} {}", options.frames, options.every);
            let cell = output.row.cell.clone().unwrap_or_default();
            out.join("records").join(format!("{}.json", key(&[&name, &own, donor, &frames, &cell, &settings])))
        };
        if let Some(row) = read_record(&record, out) {
            rows.push(row);
            advance(&name)?;
            continue;
        }
        if own_frames.is_none() {
            own_frames = Some(frames_of(target, tools)?);
        }
        let own = own_frames.as_deref().unwrap_or_default();
        if let Some(donor) = output.donor
            && !donor_frames.contains_key(donor.source.name.as_str())
        {
            donor_frames.insert(&donor.source.name, frames_of(donor, tools)?);
        }
        let theirs = output.donor.map(|d| (d, donor_frames[d.source.name.as_str()].as_slice()));
        let row = write_output(&output, &name, target, own, theirs, out, options, tools)?;
        let json = serde_json::to_vec(&row).unwrap_or_default();
        crate::write_atomically(&record, &json)?;
        rows.push(row);
        advance(&name)?;
    }
    Ok(rows)
}

fn read_record(record: &Path, out: &Path) -> Option<Row> {
    let row: Row = serde_json::from_slice(&std::fs::read(record).ok()?).ok()?;
    let whole = std::fs::metadata(out.join(&row.path)).ok()?.len() == row.bytes?;
    let mask = row.mask.as_ref().is_none_or(|m| out.join(m).exists());
    (whole && mask).then_some(row)
}

#[allow(clippy::too_many_arguments)] // one call, each argument a different thing
fn write_output(
    output: &Output,
    name: &str,
    target: &Target,
    own: &[RgbImage],
    theirs: Option<(&Target, &[RgbImage])>,
    out: &Path,
    options: &ForgeOptions,
    tools: &Tools,
) -> Result<Row, DataError> {
    let Some(first) = own.first() else {
        return Err(DataError::Clip {
            path: target.source.path.clone(),
            message: "the frames of its face track could not be decoded again".into(),
        });
    };
    let (width, height) = first.dimensions();
    let writer = |path: PathBuf, codec: Codec| -> Result<Writer, DataError> {
        let folder = path.parent().unwrap_or(out);
        std::fs::create_dir_all(folder).map_err(DataError::io(folder))?;
        let settings = EncodeSettings { codec, frame_rate: target.frame_rate };
        Ok(Writer::create(&path, width, height, &settings, tools)?)
    };
    let codec = options.quantiser.map_or(Codec::Raw, |quantiser| Codec::H264 { quantiser });
    let mut video = writer(out.join("videos").join(name), codec)?;
    let mut mask = output.generator.map(|_| writer(out.join("masks").join(name), Codec::Raw)).transpose()?;
    let chosen = theirs.map(|(donor, _)| match output.generator {
        Some(Generator::Wav2Lip) => in_turn(target.track.len(), donor.track.len()),
        _ => alike(&target.track, &donor.track),
    });
    let mut changed = 0_u32;
    for (i, image) in own.iter().enumerate() {
        let points = target.track.points(i).unwrap_or_default();
        let here = FaceFrame { image, points };
        let donor = match (theirs, &chosen) {
            (Some((donor, frames)), Some(chosen)) => {
                let j = chosen[i].min(frames.len().saturating_sub(1));
                frames.get(j).zip(donor.track.points(j)).map(|(image, points)| FaceFrame { image, points })
            }
            _ => Some(here),
        };
        let forged = output.generator.zip(donor).and_then(|(g, donor)| g.apply(here, donor, &options.look));
        match (forged, &mut mask) {
            (Some((image, changed_pixels)), Some(mask)) => {
                changed += 1;
                video.write(&image)?;
                mask.write(&image::DynamicImage::ImageLuma8(changed_pixels).into_rgb8())?;
            }
            (_, mask) => {
                video.write(image)?;
                if let Some(mask) = mask {
                    mask.write(&RgbImage::new(width, height))?;
                }
            }
        }
    }
    let video = video.finish()?;
    let mask = mask.map(Writer::finish).transpose()?;
    let below =
        |encoded: &Encoded| encoded.path.strip_prefix(out).unwrap_or(&encoded.path).to_string_lossy().into_owned();
    let untouched = own.len() as u32 - changed;
    Ok(Row {
        path: below(&video),
        mask: mask.as_ref().map(below),
        video: name.to_owned(),
        compression: compression(&video.encoder),
        encoder: Some(format!("{} {}", video.encoder, video.version)),
        frames: Some(own.len() as u32),
        width: Some(width),
        height: Some(height),
        bytes: Some(video.bytes),
        blake3: Some(video.blake3.clone()),
        reason: (output.generator.is_some() && untouched > 0)
            .then(|| format!("{untouched} of {} frames are untouched: no usable mesh", own.len())),
        ..output.row.clone()
    })
}

/// The manifest's short name for an encoder's setting: `libx264 crf 23` is `crf23`, a lossless one `raw`.
fn compression(encoder: &str) -> String {
    match encoder.split(' ').collect::<Vec<_>>().as_slice() {
        [_, kind, number] => format!("{kind}{number}"),
        _ => "raw".into(),
    }
}

/// For each target frame a donor frame, one after the other, back and forth.
fn in_turn(targets: usize, donors: usize) -> Vec<usize> {
    let period = (2 * donors).saturating_sub(2).max(1);
    (0..targets).map(|i| i % period).map(|i| if i < donors { i } else { period - i }).collect()
}

/// For each target frame the donor frame whose face has the most similar shape: least squared
/// distance of the points after both are centred and scaled to the same spread.
fn alike(target: &Clip, donor: &Clip) -> Vec<usize> {
    let shapes = |clip: &Clip| -> Vec<Vec<[f32; 2]>> {
        (0..clip.len())
            .map(|i| {
                let points: Vec<[f32; 2]> = clip.points(i).unwrap_or_default().iter().map(|p| [p[0], p[1]]).collect();
                let n = points.len().max(1) as f32;
                let centre = [0, 1].map(|k| points.iter().map(|p| p[k]).sum::<f32>() / n);
                let spread = warp::spread(&points).max(1e-6);
                points.iter().map(|p| [(p[0] - centre[0]) / spread, (p[1] - centre[1]) / spread]).collect()
            })
            .collect()
    };
    let (targets, donors) = (shapes(target), shapes(donor));
    let distance = |a: &[[f32; 2]], b: &[[f32; 2]]| -> f32 {
        a.iter().zip(b).map(|(p, q)| (p[0] - q[0]).powi(2) + (p[1] - q[1]).powi(2)).sum()
    };
    targets
        .iter()
        .map(|t| {
            let best = donors.iter().enumerate().min_by(|a, b| distance(t, a.1).total_cmp(&distance(t, b.1)));
            best.map_or(0, |(i, _)| i)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn donor_frames_go_back_and_forth() {
        assert_eq!(in_turn(7, 3), [0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(in_turn(3, 1), [0, 0, 0]);
    }
}
