//! Everything with tensors: detectors, inference methods, training.

#[cfg(test)]
extern crate self as dubito_nn;
#[cfg(test)]
#[path = "../tests/formula/mod.rs"]
mod formula;

mod augment;
mod device;
mod dropout;
mod error;
mod layers;
mod onnx_detector;
mod optim;
mod posterior;
mod resnet;
pub mod rng;
mod run;
mod state;
mod train;

pub use augment::{AugmentConfig, Normalisation};
pub use device::{describe_devices, device};
pub use dropout::{Boundary, check_rate, mask};
pub use error::NnError;
pub use onnx_detector::{Channels, OnnxDetector, OnnxOptions, OnnxOutput, Views};
pub use posterior::{Deterministic, McDropoutPosterior, Posterior, Sink};
pub use resnet::{HEAD, Init, ResNet, ResNetConfig, STAGES, stage_index};
pub use run::{RUN_VERSION, Run, RunConfig, TrainedOn};
pub use state::{Array, StateDict, read_state, state_from_bytes, write_atomic, write_state};
pub use train::{CropError, Crops, EpochRecord, MemoryCrops, TrainConfig, TrainProgress, TrainReport, train};
