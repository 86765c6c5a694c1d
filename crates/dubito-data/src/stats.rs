//! What is in a manifest.
