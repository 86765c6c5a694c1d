//! The clip store: every video of a manifest to clips, in parallel, resumable, nothing lost.
//!
//! ```text
//! STORE/XX/NAME.safetensors    a clip; its name is a hash of the video's bytes, its name, the options and the track
//! STORE/records/XX/NAME.json   what a finished video left behind: its rows, and what tells that nothing changed since
//! STORE/manifest.parquet       the rows of all of them
//! ```
//!
//! Nothing is coordinated: whoever writes a clip writes the same bytes under the same name, under another name first and
//! then by a rename. So threads, processes and machines may write one store, even the same part of it, at once.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use dubito_face::{CropSpec, FaceModels};
use dubito_media::{MediaError, Tools};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::clip;
use crate::error::DataError;
use crate::follow::{Followed, Quality, Sampling, follow, joined};
use crate::manifest::{Row, Status};

/// How clips are cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExtractOptions {
    /// Which frames are looked at.
    pub sampling: Sampling,
    /// Frames that a track must have; of a still picture one is enough.
    pub min_frames: usize,
    /// Most tracks kept of one video, the longest first.
    pub tracks: usize,
    /// Side of the crop in pixels.
    pub size: u32,
    /// Margin around the face, as a fraction of its size, on each side.
    pub margin: f32,
    /// The least that a frame must be to be kept; everything, by default.
    #[serde(default)]
    pub quality: Quality,
    /// Videos in hand at once; as many as there are cores without it. Changes no clip.
    #[serde(skip)]
    pub workers: Option<usize>,
    /// Trust nothing that an earlier call left: hash videos and clips again, and make again what differs.
    #[serde(skip)]
    pub verify: bool,
}

impl Default for ExtractOptions {
    /// 32 frames evenly, one track of four frames or more, 224 pixels, a margin of 0.3.
    fn default() -> Self {
        Self {
            sampling: Sampling::Uniform { frames: 32 },
            min_frames: 4,
            tracks: 1,
            size: 224,
            margin: 0.3,
            quality: Quality::default(),
            workers: None,
            verify: false,
        }
    }
}

/// How far a job is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Items finished, those found finished included.
    pub done: usize,
    /// Items in all.
    pub total: usize,
    /// The item that was just finished.
    pub item: String,
}

/// What is told of progress; asked from several threads. Returns whether to go on.
pub type OnProgress<'a> = &'a (dyn Fn(&Progress) -> bool + Sync);

/// What a finished video left behind: enough to write its rows without looking at it again.
#[derive(Serialize, Deserialize)]
struct Record {
    /// The video's file.
    video: Seen,
    /// Nanoseconds since 1970 of its last change, where the file system says.
    modified: Option<u64>,
    /// Its rows.
    rows: Vec<Row>,
    /// Its clips' files, in the order of the rows that have one.
    clips: Vec<Seen>,
}

/// A file as it was when it was read or written.
#[derive(Serialize, Deserialize)]
struct Seen {
    bytes: u64,
    blake3: String,
}

impl Seen {
    /// Whether a file still is what it was: by its length, and where `hash` by its content too.
    fn is(&self, path: &Path, hash: bool) -> bool {
        std::fs::metadata(path).is_ok_and(|m| m.len() == self.bytes)
            && (!hash || dubito_media::hash_file(path).is_ok_and(|found| found == self.blake3))
    }
}

/// Extracts clips of every row of `rows` whose status is `ok` into `store`, and returns the rows of
/// the new manifest in the order of the old one: as many for a video as it has tracks (up to
/// `options.tracks`), one with status and reason where it has none.
///
/// Paths in `rows` are taken relative to `root`. What is there already is not made again, two
/// processes can write one store, and a kill loses at most the videos in hand (one for each worker).
///
/// Of what an earlier call left this is trusted, unless [`ExtractOptions::verify`] says not to: a video of the same name,
/// length and time of change has the same content (of another time, its content is hashed), and a clip of the length it
/// was written with is whole.
///
/// # Errors
/// A store that can't be written to. A video that can't be read is a row, not an error.
pub fn extract(
    rows: &[Row],
    root: &Path,
    store: &Path,
    options: &ExtractOptions,
    tools: &Tools,
    models: &FaceModels,
    on_progress: OnProgress,
) -> Result<Vec<Row>, DataError> {
    let rows: Vec<&Row> = rows.iter().collect();
    Ok(extract_each(&rows, root, store, options, tools, models, on_progress)?.into_iter().flatten().collect())
}

/// As [`extract`], with the rows that came of each one given.
///
/// # Errors
/// Those of [`extract`].
pub fn extract_each(
    rows: &[&Row],
    root: &Path,
    store: &Path,
    options: &ExtractOptions,
    tools: &Tools,
    models: &FaceModels,
    on_progress: OnProgress,
) -> Result<Vec<Vec<Row>>, DataError> {
    // Clips lie in folders of two digits, records in such below theirs.
    crate::remove_unfinished(store, |name| name == "records" || name.len() == 2);
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let out: Mutex<BTreeMap<usize, Vec<Row>>> = Mutex::default();
    let work = || {
        rows.par_iter().enumerate().with_max_len(1).try_for_each(|(i, row)| {
            if stop.load(Ordering::Relaxed) {
                return Err(DataError::Stopped);
            }
            let found = |path: &str| root.join(path).to_string_lossy().into_owned();
            let row = Row { path: found(&row.path), mask: row.mask.as_deref().map(found), ..(*row).clone() };
            let name = row.video.clone();
            let made = if row.status == Status::Ok { one(row, store, options, tools, models)? } else { vec![row] };
            if let Ok(mut out) = out.lock() {
                out.insert(i, made);
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if !on_progress(&Progress { done, total: rows.len(), item: name }) {
                stop.store(true, Ordering::Relaxed);
            }
            Ok(())
        })
    };
    match options.workers {
        None => work()?,
        Some(workers) => rayon::ThreadPoolBuilder::new()
            .num_threads(workers.max(1))
            .build()
            .map_err(|e| DataError::Io { path: store.to_owned(), source: std::io::Error::other(e) })?
            .install(work)?,
    }
    Ok(out.into_inner().unwrap_or_default().into_values().collect())
}

/// The clips of one video, and its rows; `row.path` leads to the file.
fn one(
    row: Row,
    store: &Path,
    options: &ExtractOptions,
    tools: &Tools,
    models: &FaceModels,
) -> Result<Vec<Row>, DataError> {
    let path = PathBuf::from(&row.path);
    let failed = |status: Status, reason: String| vec![Row { status, reason: Some(reason), ..row.clone() }];
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(failed(Status::Missing, format!("{} is not there", path.display())));
        }
        Err(error) => return Ok(failed(Status::Unreadable, MediaError::io(&path, error).reason())),
    };
    let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    let modified = modified.and_then(|t| u64::try_from(t.as_nanos()).ok());
    let settings = serde_json::to_string(options).unwrap_or_default();
    let video = if row.video.is_empty() { &row.path } else { &row.video };
    let place = |kind: &str, folder: &str, ending: &str| -> PathBuf {
        let text = format!("{}\n{kind}\n{video}\n{settings}", clip::VERSION);
        let name = &blake3::hash(text.as_bytes()).to_hex()[..32];
        Path::new(folder).join(&name[..2]).join(format!("{name}.{ending}"))
    };
    let record_path = store.join(place("record", "records", "json"));
    if let Some(record) = recall(&record_path, &path, modified, store, options.verify) {
        // What the table says of the video may have changed since; what was seen in it has not.
        let seen = |r: Row| Row {
            clip: r.clip,
            track: r.track,
            frames: r.frames,
            width: r.width,
            height: r.height,
            bytes: r.bytes,
            blake3: r.blake3,
            decoder: r.decoder,
            status: r.status,
            reason: r.reason,
            ..row.clone()
        };
        return Ok(record.rows.into_iter().map(seen).collect());
    }
    let crop = CropSpec { size: options.size, margin: options.margin };
    let mut clips = Vec::new();
    let (blake3, rows) = match follow(&path, &row.video, tools, models, options.sampling, Some(&crop)) {
        // A disk that is full or a machine that is out of memory is no property of the video.
        Err(DataError::Io { path, source }) => return Err(DataError::Io { path, source }),
        // Not recorded: it may be for want of a decoder, and trying again costs little.
        Err(error) => return Ok(failed(Status::Unreadable, error.reason())),
        Ok(mut followed) => {
            let mut rows = Vec::new();
            for i in 0..followed.tracks.len().clamp(1, options.tracks.max(1)) {
                let (status, reason) = judge(&mut followed, i, options);
                let mut out = Row {
                    status,
                    reason,
                    width: Some(followed.info.width),
                    height: Some(followed.info.height),
                    bytes: Some(followed.info.size_bytes),
                    blake3: Some(followed.blake3.clone()),
                    ..row.clone()
                };
                if let Some(track) = followed.tracks.get(i) {
                    out.track = Some(track.meta.track);
                    out.frames = Some(track.len() as u32);
                    out.decoder = Some(format!("{} {}", track.meta.decoder, track.meta.decoder_version));
                    if status == Status::Ok {
                        let place = place(&format!("{} {i}", followed.blake3), "", "safetensors");
                        let encoded = track.encode(&store.join(&place))?;
                        crate::write_atomically(&store.join(&place), &encoded)?;
                        let blake3 = blake3::hash(&encoded).to_hex().to_string();
                        clips.push(Seen { bytes: encoded.len() as u64, blake3 });
                        out.clip = Some(place.to_string_lossy().into_owned());
                    }
                }
                rows.push(out);
            }
            (followed.blake3, rows)
        }
    };
    let video = Seen { bytes: metadata.len(), blake3 };
    let record = serde_json::to_vec(&Record { video, modified, rows: rows.clone(), clips })
        .map_err(|e| DataError::Clip { path: record_path.clone(), message: e.to_string() })?;
    crate::write_atomically(&record_path, &record)?;
    Ok(rows)
}

/// What becomes of track `i`, once the frames that fall short are left out of it.
fn judge(followed: &mut Followed, i: usize, options: &ExtractOptions) -> (Status, Option<String>) {
    let min_frames = followed.needed(options.min_frames);
    let (status, reason) = followed.status(i, min_frames);
    let Some(track) = followed.tracks.get_mut(i).filter(|_| status == Status::Ok) else { return (status, reason) };
    let Some(left_out) = options.quality.sift(track, options.sampling) else { return (status, reason) };
    if track.is_empty() || track.len() < min_frames {
        let needed = min_frames.max(1);
        return (Status::LowQuality, Some(format!("{left_out}; {} are left, {needed} are needed", track.len())));
    }
    (status, joined([Some(left_out), reason]))
}

/// The record of an earlier call, if the video and its clips are what they were then.
fn recall(record: &Path, video: &Path, modified: Option<u64>, store: &Path, verify: bool) -> Option<Record> {
    let record: Record = serde_json::from_slice(&std::fs::read(record).ok()?).ok()?;
    let touched = modified.is_none() || modified != record.modified;
    let clips = record.rows.iter().filter_map(|row| row.clip.as_ref());
    let whole = record.video.is(video, verify || touched)
        && record.rows.iter().filter(|row| row.clip.is_some()).count() == record.clips.len()
        && clips.zip(&record.clips).all(|(clip, seen)| seen.is(&store.join(clip), verify));
    whole.then_some(record)
}
