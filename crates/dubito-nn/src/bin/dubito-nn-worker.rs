//! The worker for ONNX files as a program of its own, for this crate's tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    dubito_nn::onnx_worker_main(std::env::args_os().skip(1))
}
