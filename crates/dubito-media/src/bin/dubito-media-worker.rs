//! The embedded decoder and encoder as a program of its own, for this crate's tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    dubito_media::worker_main(std::env::args_os().skip(1))
}
