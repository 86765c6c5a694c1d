//! The clip store: every video of a manifest to clips, in parallel, resumable, nothing lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dubito_face::{CropSpec, FaceModels};
use dubito_media::Tools;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::clip::{self, Clip};
use crate::error::DataError;
use crate::follow::{Sampling, follow};
use crate::manifest::{Row, Status};

/// How clips are cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExtractOptions {
    /// Which frames are looked at.
    pub sampling: Sampling,
    /// Frames that a track must have.
    pub min_frames: usize,
    /// Most tracks kept of one video, the longest first.
    pub tracks: usize,
    /// Side of the crop in pixels.
    pub size: u32,
    /// Margin around the face, as a fraction of its size, on each side.
    pub margin: f32,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self { sampling: Sampling::Uniform { frames: 32 }, min_frames: 4, tracks: 1, size: 224, margin: 0.3 }
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
    rows: Vec<Row>,
}

/// Extracts clips of every row of `rows` whose status is `ok` into `store`, and returns the rows of
/// the new manifest in the order of the old one: as many for a video as it has tracks (up to
/// `options.tracks`), one with status and reason where it has none.
///
/// Paths in `rows` are taken relative to `root`. A clip's name is the hash of the video's bytes and of
/// the options, so that what is there already is not made again, two processes can write one store,
/// and a kill loses at most the videos in hand.
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
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let out: Mutex<BTreeMap<usize, Vec<Row>>> = Mutex::default();
    rows.par_iter().enumerate().try_for_each(|(i, row)| {
        if stop.load(Ordering::Relaxed) {
            return Err(DataError::Stopped);
        }
        let made =
            if row.status == Status::Ok { one(row, root, store, options, tools, models)? } else { vec![row.clone()] };
        if let Ok(mut out) = out.lock() {
            out.insert(i, made);
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if !on_progress(&Progress { done, total: rows.len(), item: row.video.clone() }) {
            stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    })?;
    Ok(out.into_inner().unwrap_or_default().into_values().flatten().collect())
}

fn one(
    row: &Row,
    root: &Path,
    store: &Path,
    options: &ExtractOptions,
    tools: &Tools,
    models: &FaceModels,
) -> Result<Vec<Row>, DataError> {
    let path = root.join(&row.path);
    let failed = |status: Status, reason: String| {
        vec![Row { status, reason: Some(reason), path: path.to_string_lossy().into_owned(), ..row.clone() }]
    };
    if !path.exists() {
        return Ok(failed(Status::Missing, format!("{} is not there", path.display())));
    }
    let hash = match dubito_media::hash_file(&path) {
        Ok(hash) => hash,
        Err(error) => return Ok(failed(Status::Unreadable, error.to_string())),
    };
    let settings = serde_json::to_string(options).unwrap_or_default();
    let name = |track: usize| {
        let text = format!("{}\n{hash}\n{}\n{settings}\n{track}", clip::VERSION, row.video);
        blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
    };
    let place = |track: usize, ending: &str| -> PathBuf {
        let name = name(track);
        Path::new(&name[..2]).join(format!("{name}.{ending}"))
    };
    let record_path = store.join(place(0, "json"));
    if let Ok(bytes) = std::fs::read(&record_path)
        && let Ok(record) = serde_json::from_slice::<Record>(&bytes)
        && record.rows.iter().all(|r| r.clip.as_ref().is_none_or(|c| Clip::read(&store.join(c)).is_ok()))
    {
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
            path: path.to_string_lossy().into_owned(),
            ..row.clone()
        };
        return Ok(record.rows.into_iter().map(seen).collect());
    }
    let crop = CropSpec { size: options.size, margin: options.margin };
    let rows = match follow(&path, &row.video, tools, models, options.sampling, Some(&crop)) {
        // A disk that is full or a machine that is out of memory is no property of the video.
        Err(DataError::Io { path, source }) => return Err(DataError::Io { path, source }),
        Err(error) => failed(Status::Unreadable, error.to_string()),
        Ok(followed) => {
            let mut rows = Vec::new();
            for i in 0..followed.tracks.len().clamp(1, options.tracks.max(1)) {
                let (status, reason) = followed.status(i, options.min_frames);
                let mut out = Row {
                    status,
                    reason,
                    path: path.to_string_lossy().into_owned(),
                    width: Some(followed.info.width),
                    height: Some(followed.info.height),
                    bytes: Some(followed.info.size_bytes),
                    blake3: Some(hash.clone()),
                    ..row.clone()
                };
                if let Some(track) = followed.tracks.get(i) {
                    out.track = Some(track.meta.track);
                    out.frames = Some(track.len() as u32);
                    out.decoder = Some(format!("{} {}", track.meta.decoder, track.meta.decoder_version));
                    if status == Status::Ok {
                        let place = place(i, "safetensors");
                        track.write(&store.join(&place))?;
                        out.clip = Some(place.to_string_lossy().into_owned());
                    }
                }
                rows.push(out);
            }
            rows
        }
    };
    let record = serde_json::to_vec(&Record { rows: rows.clone() })
        .map_err(|e| DataError::Clip { path: record_path.clone(), message: e.to_string() })?;
    crate::write_atomically(&record_path, &record)?;
    Ok(rows)
}
