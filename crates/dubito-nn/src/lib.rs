//! Everything with tensors: detectors, inference methods, training.
