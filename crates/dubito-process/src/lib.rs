//! A child process with limits of memory, time, silence and output, for what parses or runs foreign bytes.
//!
//! ```text
//! parent: Process::spawn_worker or spawn(command, limits) -> write, read, ... -> finish, stopped, message
//! child:  enter_worker() before anything else, if it is a program of ours
//! ```
//!
//! A program of ours sets its own limits from what its parent wrote into its environment, so that there is no moment without them,
//! and ends with its parent. Other programs (FFmpeg) are given their limits right after they are started.

mod process;
mod worker;

pub use process::{Limits, Process, ProcessError, Stopped};
pub use worker::{enter_worker, last_words, limit_memory};
