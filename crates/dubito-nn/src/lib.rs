//! Everything with tensors: detectors, inference methods, training.

// A library says nothing by itself: it returns what there is to say.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[cfg(test)]
extern crate self as dubito_nn;
#[cfg(test)]
#[path = "../tests/formula/mod.rs"]
mod formula;

mod architectures;
mod attack;
mod augment;
mod depthwise;
mod detector;
mod device;
mod dropout;
mod elementwise;
mod error;
mod gradient;
mod host;
mod inference;
mod init;
mod layers;
mod maps;
mod network;
mod onnx;
mod onnx_export;
mod optim;
mod parameter;
mod prior;
pub mod rng;
mod run;
mod signal;
mod state;
mod train;

pub use architectures::{Architecture, NetworkConfig, Preprocessing};
pub use attack::{Adversarial, Attack, AttackMethod, AttackObjective, Victim};
pub use augment::{AugmentConfig, Normalisation};
pub use detector::Detector;
pub use device::{describe_devices, device};
pub use dropout::{Boundary, check_rate, mask};
pub use error::NnError;
pub use gradient::input_gradient;
pub use inference::{
    Curvature, Deterministic, Ensemble, EnsemblePosterior, Estimator, Evidential, EvidentialPosterior, Inference,
    KlScale, Laplace, LaplacePosterior, Masksembles, MasksemblesPosterior, McDropoutPosterior, Posterior, Predictive,
    Prior, ScaledPosterior, Sink, Swag, SwagPosterior, Variational, VariationalPosterior, Views, ViewsPosterior,
    convert, join, scale,
};
pub use init::Init;
pub use maps::{
    Completeness, Explained, Map, Method, Quantity, blur_plane, blurred, grad_cam, log_odds_of_fake, resize, vanishing,
};
pub use network::{
    Activation, BatchNorm, Convolution, Linear, MapShape, Network, Node, ParameterShape, Pool, Stage, Time, Visit,
};
pub use onnx::{
    Channels, FakeClass, KnownBy, OnnxDetector, OnnxOptions, OnnxOutput, onnx_worker_main, set_onnx_worker,
};
pub use optim::{OptimiserConfig, OptimiserName, ScheduleConfig, ScheduleName};
pub use prior::VerdictPosterior;
pub use run::{RUN_VERSION, Run, RunConfig, TrainedOn};
pub use signal::Signal;
pub use state::{Array, StateDict, read_state, state_from_bytes, write_atomic, write_state};
pub use train::{
    CropError, Crops, EpochRecord, LossConfig, MemoryCrops, TrainConfig, TrainProgress, TrainReport, Trunk, train,
};
