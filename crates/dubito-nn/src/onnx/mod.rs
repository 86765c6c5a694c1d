//! Detectors of others: an ONNX file as a posterior, run in a child process with limits.
//!
//! ```text
//! NAME.onnx, NAME.json -> worker: judge, load -> which output, what it is, which class is fake -> P(fake)
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `options` | `NAME.json` |
//! | `worker`, `protocol`, `link` | the child's side, the wire, the parent's side |
//! | `classes` | which class is the fake one, by what the file says |
//! | `detector` | the posterior |

mod classes;
mod detector;
mod link;
mod options;
mod protocol;
mod worker;

pub use classes::{FakeClass, KnownBy};
pub use detector::OnnxDetector;
pub use link::set_onnx_worker;
pub use options::{Channels, OnnxOptions, OnnxOutput};
pub use worker::onnx_worker_main;

/// The largest ONNX file that is read, its weights in other files included, in bytes.
const MAX_FILE: u64 = 2 << 30;

/// Address space of the worker for a file of so many bytes: the file, its weights as they are loaded and rearranged, and what
/// flows through them.
fn memory_for(bytes: u64) -> u64 {
    (1 << 30) + 3 * bytes.min(MAX_FILE)
}
