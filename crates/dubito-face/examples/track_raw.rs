//! Follows the faces in raw RGB frames from standard input, and prints how long that took.
//!
//! ```text
//! ffmpeg -i VIDEO -f rawvideo -pix_fmt rgb24 -vf scale=640:480 - | track_raw 640 480 [burn]
//! ```
//!
//! With `burn` the networks are run by burn on its CPU device, not by the crate's own executor.
//! All frames are read first, so that the time is the tracker's alone. The last line is JSON: `frames`,
//! `seconds`, `faces` (found in all frames together), `mean` (of every landmark's x and y, in pixels).

use std::io::{Read, stdin};
use std::time::Instant;

use burn::tensor::Device;
use dubito_face::{FaceModels, TrackOptions, Tracker};
use image::RgbImage;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [width, height] = match arguments.get(..2) {
        Some([width, height]) => [width.parse::<u32>()?, height.parse::<u32>()?],
        _ => return Err("usage: track_raw WIDTH HEIGHT [burn] < frames.rgb".into()),
    };
    let mut raw = Vec::new();
    stdin().read_to_end(&mut raw)?;
    let length = width as usize * height as usize * 3;
    let frames: Option<Vec<RgbImage>> =
        raw.chunks_exact(length).map(|frame| RgbImage::from_raw(width, height, frame.to_vec())).collect();
    let frames = frames.ok_or("the frames do not fit their size")?;

    let models = match arguments.get(2).map(String::as_str) {
        Some("burn") => FaceModels::on_device(&Device::flex())?,
        _ => FaceModels::cpu()?,
    };
    let mut tracker = Tracker::new(&models, TrackOptions::default());
    let (mut faces, mut points, mut sum) = (0u64, 0u64, [0.0f64; 2]);
    let begun = Instant::now();
    for (index, frame) in frames.iter().enumerate() {
        for face in tracker.push(frame, index as f64 / 30.0)? {
            faces += 1;
            for [x, y, _] in &face.mesh.points {
                points += 1;
                sum = [sum[0] + f64::from(*x), sum[1] + f64::from(*y)];
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mean = sum.map(|s| s / points.max(1) as f64);
    println!("{}", serde_json::json!({ "frames": frames.len(), "seconds": seconds, "faces": faces, "mean": mean }));
    Ok(())
}
