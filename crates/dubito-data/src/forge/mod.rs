//! The forge: counterfeits of known kind from real face videos, with the mask of what was changed.
//!
//! People are put into folds and cells first ([`crate::split`]); donors come from the target's own
//! cell. Beside its fakes every video is written untouched, and once for each generator as a null
//! control, all through the same encoder.

pub mod blend;
pub mod card;
mod covered;
mod forger;
mod generators;
mod grain;
mod pyramid;
mod texture;
pub mod warp;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dubito_face::FaceModels;
use dubito_media::{Codec, EncodeSettings, Encoded, MediaKind, RgbImage, Tools, Writer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use forger::{Forger, Strength, Traces};
pub use generators::{Face, Generator};
use pyramid::Plane;

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
const REVISION: u32 = 6;

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
    /// Null controls of each target: of so many of the generators, which take turns from one target to the next.
    pub controls: usize,
    /// How easily the fakes are seen, 0 to 1; each generator's standard strength without it.
    pub strength: Option<f32>,
    /// Strengths of single traces, where they differ from that of the whole.
    #[serde(default, skip_serializing_if = "Traces::is_empty")]
    pub traces: Traces,
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
            controls: Generator::ALL.len(),
            strength: None,
            traces: Traces::default(),
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

    crate::remove_unfinished(out, |name| ["videos", "masks", "tracks", "records"].contains(&name));
    // Who is seen, and where: kept of each video as soon as it is known. An estimate of the work serves until the cells are.
    let estimate = usable.len() * (2 + options.generators.len() * (1 + options.donors));
    let found: Vec<Result<(Clip, Option<Plane>), Row>> = usable
        .par_iter()
        .with_max_len(1)
        .map(|source| {
            let found = match face_of(source, out, options, tools, models)? {
                Ok(track) => {
                    let look = appearance(source, &track, out, tools)?;
                    Ok((track, look))
                }
                Err(row) => Err(row),
            };
            advance(&source.name, estimate)?;
            Ok(found)
        })
        .collect::<Result<_, DataError>>()?;

    let mut rows: Vec<Row> = Vec::new();
    let mut targets: Vec<Target> = Vec::new();
    let mut seen: Vec<Option<Plane>> = Vec::new();
    for ((source, stem), found) in usable.iter().zip(stems).zip(found) {
        match found {
            Ok((track, look)) => {
                let frame_rate = match track.timestamps.as_slice() {
                    [first, .., last] if last > first => (track.len() - 1) as f64 / (last - first),
                    _ => 25.0,
                };
                targets.push(Target { source, stem, track, frame_rate, cell: None });
                seen.push(look);
            }
            Err(row) => rows.push(row),
        }
    }
    rows.extend(folder.excluded(DATASET));

    let people: BTreeSet<String> = targets.iter().map(|t| t.source.identity.clone()).collect();
    let looks: BTreeMap<&str, &Plane> = targets
        .iter()
        .zip(&seen)
        .rev() // The first of a person's videos stays.
        .filter_map(|(t, look)| Some((t.source.identity.as_str(), look.as_ref()?)))
        .collect();
    let unlike = |a: &str, b: &str| match (looks.get(a), looks.get(b)) {
        (Some(a), Some(b)) => a.zip(b, |a, b| (a - b).powi(2)).pixels.iter().flatten().map(|&d| f64::from(d)).sum(),
        _ => f64::MAX,
    };
    let cells = split::cells(&people, options.seed, &unlike)?;
    for target in &mut targets {
        target.cell = cells.iter().find(|c| c.people.contains(&target.source.identity));
    }
    let plans: Vec<Vec<usize>> = (0..targets.len()).map(|i| donors(i, &targets, options, &unlike)).collect();
    let outputs: Vec<Vec<Output>> = plans
        .iter()
        .enumerate()
        .map(|(i, donors)| outputs(i, &targets[i], donors.iter().map(|&d| &targets[d]).collect(), options))
        .collect();
    let total = usable.len() + outputs.iter().map(Vec::len).sum::<usize>();
    let made: Vec<Vec<Row>> = targets
        .par_iter()
        .zip(&outputs)
        .map(|(target, outputs)| forge_target(target, outputs, out, options, tools, &|item| advance(item, total)))
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

/// The donors of target `i`: the other people of its cell who look most like it, each with their first usable video.
fn donors(i: usize, targets: &[Target], options: &ForgeOptions, unlike: &dyn Fn(&str, &str) -> f64) -> Vec<usize> {
    let target = &targets[i];
    let Some(cell) = target.cell else { return Vec::new() };
    let own = &target.source.identity;
    let mut others = split::by_hash(cell.people.iter().filter(|p| *p != own).cloned(), options.seed);
    others.sort_by(|a, b| unlike(own, a).total_cmp(&unlike(own, b)));
    others
        .iter()
        .filter_map(|person| targets.iter().position(|t| t.source.identity == *person))
        .take(options.donors)
        .collect()
}

/// The first usable frame's face in the mean face's shape, small: to tell who looks like whom. `None` where the file
/// gives no frame any more. Kept in `out/tracks`.
fn appearance(source: &Source, track: &Clip, out: &Path, tools: &Tools) -> Result<Option<Plane>, DataError> {
    const SIDE: u32 = 24;
    let frames = serde_json::to_string(&track.frame_index).unwrap_or_default();
    let kept = out.join("tracks").join(format!("{}.look.json", key(&["look", &track.meta.blake3, &frames])));
    if let Some(pixels) = recall::<Vec<[f32; 3]>>(&kept)
        && pixels.len() == (SIDE * SIDE) as usize
    {
        return Ok(Some(Plane { width: SIDE as usize, height: SIDE as usize, pixels }));
    }
    for frame in dubito_media::open(&source.path, tools)? {
        let frame = frame?;
        let Ok(i) = track.frame_index.binary_search(&frame.index) else { continue };
        let frames = [frame.image];
        let meshes = vec![track.points(i).unwrap_or_default().to_vec()];
        let face = Face::new(&frames, meshes, &track.presence[i..=i]);
        if face.unusable[0].is_none() || frame.index >= track.frame_index.last().copied().unwrap_or(0) {
            let look = texture::textures(&face, SIDE).pop();
            if let Some(look) = &look {
                remember(&kept, &look.pixels)?;
            }
            return Ok(look);
        }
    }
    Ok(None)
}

/// What an earlier run wrote down; nothing where it did not, or not so that it can be read.
fn recall<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn remember<T: Serialize>(path: &Path, value: &T) -> Result<(), DataError> {
    crate::write_atomically(path, &serde_json::to_vec(value).unwrap_or_default())
}

/// The main face track of a source, kept in `out/tracks`; a row with status and reason without one, kept there too.
fn face_of(
    source: &Source,
    out: &Path,
    options: &ForgeOptions,
    tools: &Tools,
    models: &FaceModels,
) -> Result<Result<Clip, Row>, DataError> {
    let failed = |status: Status, reason: String| Row { status, reason: Some(reason), ..source.row(DATASET) };
    let hash = match dubito_media::hash_file(&source.path) {
        Ok(hash) => hash,
        Err(error) => return Ok(Err(failed(Status::Unreadable, error.reason()))),
    };
    let name = key(&["track", &hash, &source.name, &options.frames.to_string(), &options.every.to_string()]);
    let kept = out.join("tracks").join(format!("{name}.safetensors"));
    // What one decoder does not read, or not to its end, another may.
    let none = key(&["none", &name, &options.min_frames.to_string(), &tools.decoder()]);
    let without = out.join("tracks").join(format!("{none}.json"));
    let is_picture =
        || dubito_media::open(&source.path, tools).is_ok_and(|file| file.info().kind == MediaKind::Picture);
    if let Ok(track) = Clip::read(&kept)
        && (track.len() >= options.min_frames || is_picture())
    {
        return Ok(Ok(track));
    }
    if let Some((status, reason)) = recall(&without) {
        return Ok(Err(failed(status, reason)));
    }
    let sampling = Sampling::Every { step: options.every, frames: options.frames };
    match follow(&source.path, &source.name, tools, models, sampling, None) {
        Err(DataError::Io { path, source }) => Err(DataError::Io { path, source }),
        // Not kept: it may be for want of a decoder.
        Err(error) => Ok(Err(failed(Status::Unreadable, error.reason()))),
        Ok(followed) => {
            let (status, reason) = followed.status(0, followed.needed(options.min_frames));
            match followed.tracks.into_iter().next() {
                Some(track) if status == Status::Ok => {
                    track.write(&kept)?;
                    Ok(Ok(track))
                }
                _ => {
                    let reason = reason.unwrap_or_default();
                    remember(&without, &(status, &reason))?;
                    Ok(Err(failed(status, reason)))
                }
            }
        }
    }
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

/// What is made of a target, `number` in the list: the untouched video, its null controls and its fakes.
fn outputs<'a>(number: usize, target: &Target, donors: Vec<&'a Target<'a>>, options: &ForgeOptions) -> Vec<Output<'a>> {
    let base = Row {
        split: target.cell.map(|c| c.fold.clone()).unwrap_or_default(),
        cell: target.cell.map(|c| c.name.clone()),
        source: Some(target.source.name.clone()),
        seed: Some(options.seed),
        ..target.source.row(DATASET)
    };
    let stem = &target.stem;
    let mut outputs =
        vec![Output { folder: "real".into(), stem: stem.clone(), row: base.clone(), generator: None, donor: None }];
    let controlled: Vec<Generator> = options.generators.iter().copied().filter(|g| g.needs_donor()).collect();
    let turns = options.controls.min(controlled.len());
    for turn in 0..turns {
        let generator = controlled[(number * turns + turn) % controlled.len()];
        outputs.push(Output {
            folder: format!("null-{generator}"),
            stem: stem.clone(),
            row: Row { control: Some(generator.to_string()), ..base.clone() },
            generator: Some(generator),
            donor: None,
        });
    }
    for &generator in &options.generators {
        let fake = Row { label: Label::Fake, generator: generator.to_string(), ..base.clone() };
        if !generator.needs_donor() {
            let folder = generator.to_string();
            outputs.push(Output { folder, stem: stem.clone(), row: fake, generator: Some(generator), donor: None });
            continue;
        }
        for &donor in &donors {
            outputs.push(Output {
                folder: generator.to_string(),
                stem: format!("{stem}__{}", donor.stem),
                row: Row { donor: Some(donor.source.identity.clone()), ..fake.clone() },
                generator: Some(generator),
                donor: Some(donor),
            });
        }
    }
    outputs
}

fn forge_target(
    target: &Target,
    outputs: &[Output],
    out: &Path,
    options: &ForgeOptions,
    tools: &Tools,
    advance: &(dyn Fn(&str) -> Result<(), DataError> + Sync),
) -> Result<Vec<Row>, DataError> {
    // The frames of the target and its donors, and what of them can't be forged.
    let mut frames: BTreeMap<&str, (Vec<RgbImage>, Vec<Option<&'static str>>)> = BTreeMap::new();
    let mut rows = Vec::new();
    for output in outputs {
        let name = format!("{}/{}", output.folder, output.stem);
        let strength = output.generator.map(|g| options.strength.unwrap_or(g.standard_strength()));
        let record = {
            let donor = output.donor.map_or("", |d| d.track.meta.blake3.as_str());
            let own = format!("{} {}", target.track.meta.blake3, target.source.name);
            let frames = format!("{} {}", options.frames, options.every);
            let cell = output.row.cell.clone().unwrap_or_default();
            let mut settings = serde_json::to_string(&(strength, options.quantiser, options.seed)).unwrap_or_default();
            if !options.traces.is_empty() {
                settings += &serde_json::to_string(&options.traces).unwrap_or_default();
            }
            out.join("records").join(format!("{}.json", key(&[&name, &own, donor, &frames, &cell, &settings])))
        };
        if let Some(row) = read_record(&record, out) {
            rows.push(row);
            advance(&name)?;
            continue;
        }
        for seen in [Some(target), output.donor].into_iter().flatten() {
            if !frames.contains_key(seen.source.name.as_str()) {
                let images = frames_of(seen, tools)?;
                let unusable = Face::new(&images, meshes(seen, images.len()), &seen.track.presence).unusable;
                frames.insert(&seen.source.name, (images, unusable));
            }
        }
        let face = |seen: &Target| -> Face<'_> {
            let (images, unusable) = &frames[seen.source.name.as_str()];
            Face { frames: images, meshes: meshes(seen, images.len()), unusable: unusable.clone() }
        };
        let (own, donor) = (face(target), output.donor.map(face));
        let forger = output.generator.map(|generator| {
            let seed =
                u64::from_le_bytes(blake3::hash(name.as_bytes()).as_bytes().first_chunk().copied().unwrap_or_default());
            let strength = Strength { whole: strength.unwrap_or_default(), traces: options.traces };
            Forger::new(generator, &own, donor.as_ref(), strength, seed ^ options.seed)
        });
        let row = write_output(output, &name, target, own.frames, forger.as_ref(), out, options, tools)?;
        remember(&record, &row)?;
        rows.push(row);
        advance(&name)?;
    }
    Ok(rows)
}

/// The meshes of a target's first frames.
fn meshes(target: &Target, frames: usize) -> Vec<Vec<[f32; 3]>> {
    (0..frames).map(|i| target.track.points(i).unwrap_or_default().to_vec()).collect()
}

fn read_record(record: &Path, out: &Path) -> Option<Row> {
    let row: Row = recall(record)?;
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
    forger: Option<&Forger>,
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
    let mut mask = forger.map(|_| writer(out.join("masks").join(name), Codec::Raw)).transpose()?;
    let mut untouched: Vec<usize> = Vec::new();
    for (i, image) in own.iter().enumerate() {
        match (forger.and_then(|f| f.frame(i)), &mut mask) {
            (Some((image, changed)), Some(mask)) => {
                video.write(&image)?;
                mask.write(&image::DynamicImage::ImageLuma8(changed).into_rgb8())?;
            }
            (_, mask) => {
                video.write(image)?;
                if let Some(mask) = mask {
                    untouched.push(i);
                    mask.write(&RgbImage::new(width, height))?;
                }
            }
        }
    }
    // A fake of which next to nothing could be forged is none.
    let enough = output.row.label == Label::Real || own.len() - untouched.len() >= options.min_frames.min(own.len());
    let video = video.finish()?;
    let mask = mask.map(Writer::finish).transpose()?;
    let below =
        |encoded: &Encoded| encoded.path.strip_prefix(out).unwrap_or(&encoded.path).to_string_lossy().into_owned();
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
        status: if enough { Status::Ok } else { Status::TooShort },
        reason: why_untouched(&untouched, forger, own.len()),
        real_frames: (!untouched.is_empty()).then(|| listed(&untouched)),
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

/// Says which frames were left as they are, and why.
fn why_untouched(untouched: &[usize], forger: Option<&Forger>, frames: usize) -> Option<String> {
    if untouched.is_empty() {
        return None;
    }
    let mut why: BTreeMap<&str, usize> = BTreeMap::new();
    for &i in untouched {
        *why.entry(forger.and_then(|f| f.unusable(i)).unwrap_or("no mesh that can be drawn")).or_default() += 1;
    }
    let why: Vec<String> = why.iter().map(|(why, n)| format!("{n} show {why}")).collect();
    Some(format!("{} of {frames} frames are untouched: {}", untouched.len(), why.join(", ")))
}

/// Numbers as a list with ranges: `0-3 7`.
fn listed(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &n in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => ranges.push((n, n)),
        }
    }
    let text = |&(a, b): &(usize, usize)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    ranges.iter().map(text).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clip::POINTS;

    #[test]
    fn what_was_kept_of_a_track_holds_for_as_many_frames_and_the_same_decoder() {
        let folder = tempfile::tempdir().unwrap();
        let (out, path) = (folder.path().join("out"), folder.path().join("a.mp4"));
        std::fs::write(&path, "perhaps a video").unwrap();
        let hash = dubito_media::hash_file(&path).unwrap();
        let source =
            Source { path, name: "a.mp4".into(), identity: "a".into(), traits: Default::default(), duplicate_of: None };
        let options = |min_frames| ForgeOptions { min_frames, ..ForgeOptions::default() };
        let ForgeOptions { frames, every, .. } = ForgeOptions::default();
        let name = key(&["track", &hash, "a.mp4", &frames.to_string(), &every.to_string()]);
        let track = Clip {
            frame_index: vec![0, 4, 8],
            timestamps: vec![0.0, 0.1, 0.2],
            boxes: vec![[0.0, 0.0, 40.0, 60.0]; 3],
            transforms: vec![[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]; 3],
            presence: vec![0.9; 3],
            windows: vec![0; 3],
            landmarks: vec![[0.0; 3]; 3 * POINTS],
            ..Clip::default()
        };
        let tracks = out.join("tracks");
        std::fs::create_dir_all(&tracks).unwrap();
        track.write(&tracks.join(format!("{name}.safetensors"))).unwrap();
        let models = FaceModels::cpu().unwrap();
        let found = |tools: &Tools, min_frames| {
            let found = face_of(&source, &out, &options(min_frames), tools, &models).unwrap();
            found.map(|track| track.len()).map_err(|row| row.status)
        };
        let tools = Tools::default();
        assert_eq!(found(&tools, 3), Ok(3));
        assert_eq!(found(&tools, 4), Err(Status::Unreadable));
        // A failure that was seen with another decoder is looked at again, one of the same is not.
        for (decoder, expected) in [("ffmpeg 1".to_owned(), Status::Unreadable), (tools.decoder(), Status::NoFace)] {
            let none = key(&["none", &name, "4", &decoder]);
            remember(&tracks.join(format!("{none}.json")), &(Status::NoFace, "no face")).unwrap();
            assert_eq!(found(&tools, 4), Err(expected));
        }
    }

    #[test]
    fn frames_are_listed_in_ranges() {
        assert_eq!(listed(&[0, 1, 2, 5, 7, 8]), "0-2 5 7-8");
        assert_eq!(listed(&[]), "");
    }
}
