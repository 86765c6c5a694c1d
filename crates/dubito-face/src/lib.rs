//! Pixels to faces: detection, landmarks, tracking, alignment, facial regions.
//!
//! ```text
//! frame -> detect -> mesh (468 points) -> track -> align -> crop, landmarks in the crop -> regions
//! ```
//!
//! ```no_run
//! # fn main() -> Result<(), dubito_face::FaceError> {
//! use dubito_face::{CropSpec, FaceModels, TrackOptions, Tracker, align};
//!
//! let models = FaceModels::cpu()?;
//! let mut tracker = Tracker::new(&models, TrackOptions::default());
//! let frame = image::RgbImage::new(640, 480); // a decoded frame
//! for face in tracker.push(&frame, 0.0)? {
//!     let aligned = align(&frame, &face.mesh.points, &CropSpec { size: 224, margin: 0.15 })?;
//!     println!("track {}: {:?}", face.track, aligned.crop.dimensions());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Coordinates are pixels, x to the right and y down, continuous: the centre of the top left pixel is
//! (0.5, 0.5). `Left` and `Right` are the person's own.
//!
//! | module | what it holds |
//! |---|---|
//! | `network` | a network as it lies in a weights file |
//! | `direct`, `device` | two executors of a network: the CPU's, and burn's for any device |
//! | `models` | [`FaceModels`]: the three networks, shared by everything |
//! | `detect` | from detector outputs to boxes: anchors, suppression, tiles |
//! | `mesh` | the region around a face, its pixels, and back to landmarks |
//! | `track` | [`Tracker`]: one identity a face through a video |
//! | `align` | [`align()`]: a face to an upright crop |
//! | `regions` | [`Region`]: parts of the face as polygons and masks |
//! | `topology` | generated constants: triangles, mean face |
//!
//! The networks are BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047) and Face Mesh (Kartynnik et al. 2019,
//! arXiv:1907.06724) with the weights that Google's MediaPipe publishes.

// A library says nothing by itself: it returns what there is to say.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod align;
mod detect;
mod device;
mod direct;
mod mesh;
mod models;
mod network;
mod regions;
#[cfg(test)]
mod tests;
#[allow(clippy::approx_constant)]
mod topology;
mod track;

pub use align::{Aligned, CropSpec, STABLE_POINTS, Similarity, align, warp};
pub use detect::{DetectOptions, Detection, Range, Tiles};
pub use mesh::{Mesh, Roi};
pub use models::FaceModels;
pub use regions::{
    FACE_OVAL, LEFT_EYE, LEFT_EYEBROW, LIPS_INNER, LIPS_OUTER, RIGHT_EYE, RIGHT_EYEBROW, Region, region_mask,
};
pub use topology::{MEAN_FACE, MIRROR, TRIANGLES};
pub use track::{TrackOptions, TrackedFace, Tracker};

/// What can go wrong between pixels and faces.
#[derive(Debug, thiserror::Error)]
pub enum FaceError {
    /// An embedded weights file is not what the code expects.
    #[error("{file}: {reason}")]
    Weights {
        /// The file's name.
        file: &'static str,
        /// The field and what was expected of it.
        reason: String,
    },
    /// The compute device failed.
    #[error("the compute device failed: {reason}")]
    Device {
        /// What the device said.
        reason: String,
    },
    /// Landmarks from which nothing can be computed.
    #[error("landmarks: {reason}")]
    Landmarks {
        /// What was expected and what was found.
        reason: String,
    },
    /// An option outside its range.
    #[error("option `{option}`: expected {expected}, found {found}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The values it may have.
        expected: &'static str,
        /// Its value.
        found: String,
    },
}

impl FaceError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Weights { .. } => {
                "this build is broken: make the file again by crates/dubito-face/weights/convert.py, and build"
            }
            Self::Device { .. } => "try the CPU: `--device cpu`",
            Self::Landmarks { .. } => "extract the clips again: `dubito extract --verify` looks at each",
            Self::Option { .. } => "give another value; `--help` says the range of each option",
        }
        .to_owned()
    }
}
