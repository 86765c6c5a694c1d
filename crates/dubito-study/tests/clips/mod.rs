//! Clips of noise for tests, small enough to learn from in seconds.

use dubito_data::clip::{Clip, ClipMeta, POINTS};
use dubito_nn::rng::{Purpose, Stream};

/// Side of the crops in pixels.
pub const SIZE: usize = 32;

/// So many frames of noise; a fake's is tinted, by each generator in another colour.
pub fn clip(video: &str, seed: u64, tint: [f32; 3], frames: usize) -> Clip {
    let mut stream = Stream::new(Purpose::Other, seed, 0, 0);
    let noise = (0..frames * SIZE * SIZE * 3).map(|i| (stream.range(90.0, 130.0) + tint[i % 3]) as u8).collect();
    Clip {
        meta: ClipMeta { video: video.into(), size: SIZE as u32, ..ClipMeta::default() },
        windows: vec![0; frames],
        frame_index: (0..frames as u64).map(|i| 3 * i).collect(),
        timestamps: (0..frames).map(|i| i as f64 / 25.0).collect(),
        boxes: vec![[0.0; 4]; frames],
        transforms: vec![[0.0; 6]; frames],
        presence: vec![1.0; frames],
        landmarks: vec![[0.0; 3]; frames * POINTS],
        frames: noise,
    }
}
