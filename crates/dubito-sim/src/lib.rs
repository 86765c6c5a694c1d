//! Simulated subjects: people rendered in software, with the truth about every frame.
//!
//! For a machine with no data at all, and to test what is measured from video (landmarks, pulse, blinks, motion)
//! against what is known to be there. What is found on simulated people measures the method, not the world: they are
//! simpler than people, cleaner than video, and their variety is what [`SubjectConfig::from_seed`] draws.
//!
//! ```
//! use dubito_sim::{Performance, PerformanceConfig, Subject, frames};
//!
//! # fn main() -> Result<(), dubito_sim::SimError> {
//! let subject = Subject::new(7);
//! let mut config = PerformanceConfig::from_seed(7);
//! (config.camera.width, config.camera.height) = (96, 96);
//! config.pulse.rate = 72.0;
//! let performance = Performance::from_config(config)?;
//! for frame in frames(&subject, &performance).take(2) {
//!     assert_eq!(frame.image.dimensions(), (96, 96));
//!     assert_eq!(frame.landmarks.len(), 468);
//!     println!("{:.2} s: pulse {:+.2}", frame.truth.time, frame.truth.pulse);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! SubjectConfig -> Subject ----------------\
//! PerformanceConfig -> Performance -> Truth -> Scene (triangles) -> samples -> light -> noise -> Rendered
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `config`, `performance` | who it is and what they do, in numbers; [`Truth`] as a function of time |
//! | `canonical`, `landmarks` | MediaPipe's canonical face (see NOTICE) and which landmarks make up what |
//! | `shape`, `head` | one person's face, its speech and blinks; the skull that closes it |
//! | `skin`, `hair`, `background` | textures, made once for a subject |
//! | `subject` | [`Subject`]: all of that |
//! | `scene` | one moment as triangles |
//! | `raster`, `shadow`, `shade` | what is in front, what the lamp reaches, what colour it has |
//! | `render` | [`render()`] and [`frames()`] |
//!
//! ## What is simulated, and how
//! - **Face**: 20 smooth modes of shape on the canonical 468 landmarks, refined to four times the triangles through
//!   the same points; so the true landmarks come with the picture, hidden ones too. Skin colour follows two absorbers
//!   (melanin for the Monk scale, blood for flush, lips and pulse). Light is added in linear light, with four samples
//!   a pixel where surfaces meet.
//! - **Pulse**: skin reflects `1 - amplitude * colour * supply(place) * wave(time - delay(place))` of its light;
//!   [`Subject::pulse_map`] tells supply and delay. Green carries the whole amplitude, red 0.35 and blue 0.55 of it.
//!   The head's answer to the heartbeat is a tenth of a millimetre.
//! - **Sensor**: noise of variance `shot * light + read^2` in linear light, by a hash of seed, frame, pixel and
//!   channel, then a soft limit at white and sRGB in 8 bits.
//! - **Not simulated**: teeth and tongue beyond what speech shows, lashes that stand off, lens blur, motion blur,
//!   cast shadows of the fill light, hands, changes of light, any sound.
//!
//! ## The same bits everywhere
//! Functions that platforms round differently come from `libm`; every pixel is a function of its place. A test holds
//! small frames to their hashes.
//!
//! ## Measured
//! `tests/mediapipe.py` (MediaPipe 0.10.21, two subjects of each of the ten tones, 160 frames of 640x480): BlazeFace and
//! FaceMesh find a face in 160 of 160 frames; FaceMesh's landmarks lie 0.049 interocular distances from the truth
//! on average, 0.120 in the worst frame: 0.028 at the eyes, 0.030 at the brows, 0.034 at the nose, 0.044 at the lips,
//! 0.108 at the face's outline: MediaPipe sees the chin 0.14 higher than it is.
//!
//! `examples/frames.rs` (`frames 5 4 N 480 480`, optimisation level 3): 0.086 s of processor time for a frame of 480x480
//! and 0.7 s to make the subject, on two cores shared with other work: about 23 frames a second where both are free.

// A library says nothing by itself: it returns what there is to say.
#![deny(clippy::print_stdout, clippy::print_stderr)]

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
