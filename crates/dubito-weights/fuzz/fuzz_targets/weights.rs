//! Any bytes as a file of weights, and as an ONNX model: an answer or an error, never a panic or much memory.
#![no_main]

use std::path::Path;

use dubito_weights::{Weights, clean, onnx};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz");
    if let Ok(weights) = Weights::from_bytes(path, bytes) {
        if let Ok(state) = weights.into_state(path) {
            let _ = clean(state);
        }
    }
    let _ = onnx::last_operator(bytes, 0);
});
