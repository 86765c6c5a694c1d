//! Simulated subjects: people rendered in software, with the truth about every frame.

mod background;
mod canonical;
mod config;
mod error;
mod hair;
mod head;
mod landmarks;
mod math;
mod performance;
mod random;
mod raster;
mod render;
mod scene;
mod shade;
mod shadow;
mod shape;
mod skin;
mod subject;

pub use config::{Clothes, Hair, HairStyle, Light, Shape, Skin, SubjectConfig};
pub use error::SimError;
pub use performance::{Camera, Performance, PerformanceConfig, Pose, Pulse, Truth, pulse_wave};
pub use render::{Rendered, frames, render};
pub use subject::Subject;
