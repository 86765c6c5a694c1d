//! Pixels to faces: detection, landmarks, tracking, alignment, facial regions.
