//! About how long steps take: rates measured on two cores of a virtual machine, corrected by what a study has measured
//! itself.

use dubito_nn::{Architecture, TrainConfig, Trunk};

/// How much a data step is expected to leave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Size {
    /// Videos.
    pub videos: usize,
    /// Frames of each.
    pub frames: usize,
    /// Side of a crop in pixels.
    pub side: u32,
    /// Rounds of cross-fitting.
    pub folds: usize,
}

impl Size {
    /// Frames in all.
    pub fn inputs(&self) -> f64 {
        (self.videos * self.frames) as f64
    }
}

/// Seconds for each frame that is rendered, forged, or cut.
pub(crate) const SIMULATE: f64 = 0.05;
pub(crate) const FORGE: f64 = 0.02;
pub(crate) const EXTRACT: f64 = 0.01;

/// Seconds for each frame in which a signal is looked for.
const SIGNAL: f64 = 6e-4;

/// Seconds in which one crop of 112 pixels goes through a network and back.
fn crop_seconds(config: &TrainConfig) -> f64 {
    match config.detector {
        Architecture::Resnet18 => 0.07 * (config.width.unwrap_or(64) as f64 / 64.0).powf(1.6),
        Architecture::MobilenetV2 => 0.018,
        Architecture::MobilenetV3Small => 0.015,
        Architecture::EfficientnetB0 | Architecture::EfficientnetB0Torchvision => 0.032,
        Architecture::EfficientnetB4 | Architecture::EfficientnetB4Torchvision => 0.4,
        Architecture::Xception => 0.5,
        Architecture::Fakecatcher | Architecture::PpgCells => 0.004,
        Architecture::Motion | Architecture::MotionFactored => 0.15,
    }
}

fn side(size: Size) -> f64 {
    (f64::from(size.side.max(32)) / 112.0).powi(2)
}

/// How many pictures a network looks at, and the seconds in which they are made of the frames: signals are pictures of
/// windows, each of many frames.
fn inputs(config: &TrainConfig, size: Size) -> (f64, f64) {
    match config.signal() {
        None => (size.inputs(), 0.0),
        Some(signal) => (size.inputs() / signal.window() as f64, SIGNAL * size.inputs()),
    }
}

/// A frozen trunk's pass over each variant of every input.
pub(crate) fn trunk(config: &TrainConfig, size: Size) -> f64 {
    size.inputs() * config.augment_copies as f64 / 3.0 * crop_seconds(config) * side(size)
}

/// Training of every fold: two thirds of the inputs, all epochs (stopping early is not counted on).
pub(crate) fn train(config: &TrainConfig, size: Size) -> f64 {
    let (inputs, finding) = inputs(config, size);
    // A frozen trunk runs forward once for each variant of a crop; what lies behind it is a part of the network.
    let passes = match config.freeze.as_deref() {
        None => config.epochs as f64,
        Some(_) if Trunk::is_shared(config) => 0.15 * config.epochs as f64,
        Some("stem") => 0.4 * config.epochs as f64,
        Some(_) => config.augment_copies as f64 / 3.0 + 0.15 * config.epochs as f64,
    };
    finding + size.folds as f64 * 0.67 * inputs * passes * crop_seconds(config) * side(size)
}

/// Samples of every input, behind a boundary at the head; `tail` is the part of the network that every sample runs anew.
pub(crate) fn predict(config: &TrainConfig, size: Size, samples: u32, tail: f64) -> f64 {
    let (inputs, finding) = inputs(config, size);
    finding + inputs * crop_seconds(config) * side(size) / 3.0 * (1.0 + f64::from(samples) * tail)
}
