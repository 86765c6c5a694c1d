//! One identity a face through a video.
//!
//! Each frame, every live track looks for its face in the region around its mesh of the frame before; the mesh
//! network itself says whether it is still there. The detector looks on the first frame, every
//! [`TrackOptions::detect_every`] frames, and on every frame while a face is missing, so that in a steady shot
//! a frame costs little more than one mesh.
//!
//! | event | what happens |
//! |---|---|
//! | presence falls below the threshold, or the mesh jumps off its last place | the track is lost; the detector looks on this very frame |
//! | a detection overlaps no live face | a lost track takes it where time, place and size fit, else a new track begins |
//! | two tracks come to lie on one face | the younger ends |
//! | a cut: the picture's colours and layout change at once | all tracks end, none of them comes back |
//!
//! Nothing depends on chance, the clock or the number of threads: the same frames give the same tracks.

use dubito_resize::{FilterType, ResizeAlg, ResizeOptions};
use image::RgbImage;

use crate::detect::{covered, iou};
use crate::{DetectOptions, Detection, FaceError, FaceModels, Mesh, Range, Roi, Tiles};

/// How faces are followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackOptions {
    /// Detections below this score begin no track; in \[0, 1\].
    pub min_score: f32,
    /// Below this mesh presence a face is lost; in \[0, 1\].
    pub min_presence: f32,
    /// At most so many faces at once.
    pub max_faces: usize,
    /// The detector looks at least every so many frames; 0 counts as 1.
    pub detect_every: u32,
    /// Faces small in the picture are looked for too, with the slower detector and in parts of the picture,
    /// when the detector's turn comes and the picture shows no face.
    pub small_faces: bool,
    /// A lost face that is found again within so many seconds (or in the next frame), no farther away than its own size and between
    /// 0.6 and 1.7 times as large, keeps its track.
    pub max_gap: f64,
}

impl Default for TrackOptions {
    /// Score and presence 0.5, 8 faces, detection every 15 frames, small faces too, gaps up to 1 s.
    fn default() -> Self {
        Self { min_score: 0.5, min_presence: 0.5, max_faces: 8, detect_every: 15, small_faces: true, max_gap: 1.0 }
    }
}

/// A face of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackedFace {
    /// The track's number, counted from 0 in order of appearance, never given twice.
    pub track: u32,
    /// The box around the mesh: x0, y0, x1, y1 in pixels.
    pub bbox: [f32; 4],
    /// The landmarks.
    pub mesh: Mesh,
    /// The detector's score when it last saw this face; in \[0, 1\]. The mesh's own is `mesh.presence`.
    pub score: f32,
}

/// A face that is followed, or was.
struct Track {
    id: u32,
    mesh: Mesh,
    score: f32,
    /// When it was last seen.
    seen: f64,
}

/// Follows the faces of one video.
pub struct Tracker {
    models: FaceModels,
    options: TrackOptions,
    live: Vec<Track>,
    lost: Vec<Track>,
    next_id: u32,
    since_detection: u32,
    thumbnail: Option<Thumbnail>,
}

impl Tracker {
    /// A tracker for one video.
    pub fn new(models: &FaceModels, options: TrackOptions) -> Self {
        Self {
            models: models.clone(),
            options,
            live: Vec::new(),
            lost: Vec::new(),
            next_id: 0,
            since_detection: u32::MAX,
            thumbnail: None,
        }
    }

    /// The faces of the next frame, `timestamp` in seconds, in the order of their tracks. A frame without
    /// pixels shows none.
    ///
    /// # Errors
    /// [`FaceError::Device`] where a device fails; never on the CPU.
    pub fn push(&mut self, image: &RgbImage, timestamp: f64) -> Result<Vec<TrackedFace>, FaceError> {
        let thumbnail = Thumbnail::of(image);
        if let (Some(before), Some(now)) = (&self.thumbnail, &thumbnail)
            && before.is_cut(now)
        {
            self.live.clear();
            self.lost.clear();
            self.since_detection = u32::MAX;
        }
        self.thumbnail = thumbnail;

        // Before following, so that what is lost now can be found again in this frame, however long the step.
        self.lost.retain(|t| timestamp - t.seen <= self.options.max_gap);
        let gone = self.follow(image, timestamp)?;
        let missing = gone || self.live.is_empty() || !self.lost.is_empty();
        let due = self.since_detection >= self.options.detect_every.saturating_sub(1);
        if missing || due {
            self.find(image, timestamp, due)?;
        }
        self.since_detection = if due { 0 } else { self.since_detection.saturating_add(1) };
        self.live.sort_by_key(|t| t.id);
        let faces = self.live.iter().map(|t| TrackedFace {
            track: t.id,
            bbox: t.mesh.bbox(),
            mesh: t.mesh.clone(),
            score: t.score,
        });
        Ok(faces.collect())
    }

    /// Moves every live track to this frame; tells whether one was lost.
    fn follow(&mut self, image: &RgbImage, timestamp: f64) -> Result<bool, FaceError> {
        let mut gone = false;
        let mut live: Vec<Track> = Vec::new();
        for mut track in std::mem::take(&mut self.live) {
            let mesh = self.models.mesh(image, &Roi::from_mesh(&track.mesh))?;
            let jumped = iou(mesh.bbox(), track.mesh.bbox()) < 0.2;
            if mesh.presence < self.options.min_presence || jumped || !is_sound(&mesh, image) {
                gone = true;
                self.lost.push(track);
            } else if live.iter().all(|other| !same_face(other.mesh.bbox(), mesh.bbox())) {
                track.mesh = mesh;
                track.seen = timestamp;
                live.push(track);
            }
        }
        self.live = live;
        Ok(gone)
    }

    /// Looks for faces that no live track follows. The costlier ways are tried only when detection is `due`.
    fn find(&mut self, image: &RgbImage, timestamp: f64, due: bool) -> Result<(), FaceError> {
        let detect = |range, tiles| {
            let options =
                DetectOptions { range, min_score: self.options.min_score, max_faces: self.options.max_faces, tiles };
            self.models.detect(image, &options)
        };
        let mut found = detect(Range::Short, Tiles::Off)?;
        if found.is_empty() && self.live.is_empty() && due && self.options.small_faces {
            found = detect(Range::Full, Tiles::WhenEmpty)?;
        }
        for detection in found {
            let known = self.live.iter_mut().find(|t| same_face(t.mesh.bbox(), detection.bbox));
            if let Some(track) = known {
                track.score = detection.score;
                continue;
            }
            if self.live.len() >= self.options.max_faces {
                break;
            }
            let Some(mesh) = self.mesh_of(image, &detection)? else { continue };
            if self.live.iter().any(|t| same_face(t.mesh.bbox(), mesh.bbox())) {
                continue;
            }
            let again = self.lost.iter().position(|t| continues(t.mesh.bbox(), mesh.bbox()));
            let id = match again {
                Some(at) => self.lost.remove(at).id,
                None => {
                    self.next_id += 1;
                    self.next_id - 1
                }
            };
            self.live.push(Track { id, mesh, score: detection.score, seen: timestamp });
        }
        Ok(())
    }

    /// The mesh at a detection, looked at twice as the first region is rough; `None` where there is no face.
    fn mesh_of(&self, image: &RgbImage, detection: &Detection) -> Result<Option<Mesh>, FaceError> {
        let rough = self.models.mesh(image, &Roi::from_detection(detection))?;
        if rough.presence < self.options.min_presence || !is_sound(&rough, image) {
            return Ok(None);
        }
        let mesh = self.models.mesh(image, &Roi::from_mesh(&rough))?;
        Ok((mesh.presence >= self.options.min_presence && is_sound(&mesh, image)).then_some(mesh))
    }
}

/// Whether a mesh can be a face of the picture: finite, over 8 pixels large, its centre in the picture.
fn is_sound(mesh: &Mesh, image: &RgbImage) -> bool {
    let [x0, y0, x1, y1] = mesh.bbox();
    let (cx, cy) = ((x0 + x1) / 2.0, (y0 + y1) / 2.0);
    mesh.points.iter().flatten().all(|v| v.is_finite())
        && (x1 - x0).min(y1 - y0) > 8.0
        && (0.0..image.width() as f32).contains(&cx)
        && (0.0..image.height() as f32).contains(&cy)
}

/// Whether two boxes of one frame are one face. The detector's box and the mesh's differ in height.
fn same_face(a: [f32; 4], b: [f32; 4]) -> bool {
    iou(a, b) > 0.3 || covered(a, b) > 0.6
}

/// Whether a face found now may be the one lost a moment ago.
fn continues(lost: [f32; 4], found: [f32; 4]) -> bool {
    let size = |b: [f32; 4]| (b[2] - b[0]).max(b[3] - b[1]);
    let center = |b: [f32; 4]| [(b[0] + b[2]) / 2.0, (b[1] + b[3]) / 2.0];
    let (c, d) = (center(lost), center(found));
    let apart = (c[0] - d[0]).hypot(c[1] - d[1]);
    apart <= size(lost) && (0.6..=1.7).contains(&(size(found) / size(lost)))
}

/// A frame made small, to tell cuts.
struct Thumbnail {
    /// 16 x 16 pixels, RGB.
    pixels: Vec<u8>,
    /// The share of pixels in each of 4 x 4 x 4 colours.
    histogram: [f32; 64],
}

impl Thumbnail {
    /// `None` where the picture has no pixels.
    fn of(image: &RgbImage) -> Option<Self> {
        let options = ResizeOptions::new().resize_alg(ResizeAlg::SuperSampling(FilterType::Box, 2));
        let pixels = dubito_resize::rgb(image.as_raw(), image.dimensions(), (16, 16), &options)?;
        let mut histogram = [0.0; 64];
        for p in pixels.chunks_exact(3) {
            let bin = |v: u8| usize::from(v / 64);
            histogram[bin(p[0]) * 16 + bin(p[1]) * 4 + bin(p[2])] += 1.0 / 256.0;
        }
        Some(Self { pixels, histogram })
    }

    /// A cut changes more than 30 of 255 of the mean pixel and moves more than 40 % of them to other colours.
    fn is_cut(&self, now: &Self) -> bool {
        let change: u32 = self.pixels.iter().zip(&now.pixels).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum();
        let moved: f32 = self.histogram.iter().zip(&now.histogram).map(|(a, b)| (a - b).abs()).sum::<f32>() / 2.0;
        change as f32 / self.pixels.len() as f32 > 30.0 && moved > 0.4
    }
}
