//! What the tests share: tools, small videos made by FFmpeg, comparisons.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

use dubito_media::{Frame, MediaError, RgbImage, Tools, VideoInfo, open};

/// The FFmpeg tools; `None`, and a line that says so, where FFmpeg is missing.
pub fn ffmpeg() -> Option<Tools> {
    let tools = Tools::discover();
    if tools.ffmpeg.is_none() {
        println!("skipped: no ffmpeg");
    }
    tools.ffmpeg.is_some().then_some(tools)
}

/// Tools without FFmpeg: only the embedded decoder and encoder.
pub fn embedded() -> Tools {
    Tools { embedded_worker: Some(vec![env!("CARGO_BIN_EXE_dubito-media-worker").into()]), ..Tools::default() }
}

/// Runs FFmpeg with words separated by blanks, and the output file last.
pub fn make(words: &str, output: &Path) {
    let mut command = Command::new(Tools::discover().ffmpeg.unwrap().ffmpeg);
    command.args(["-v", "error", "-nostdin", "-y"]).args(words.split_whitespace()).arg(output);
    let result = command.output().unwrap();
    assert!(result.status.success(), "{words}: {}", String::from_utf8_lossy(&result.stderr));
}

/// Copies a video with an order to turn it counter-clockwise by so many degrees when it is shown.
pub fn turn(input: &Path, degrees: u32, output: &Path) {
    let ffmpeg = Tools::discover().ffmpeg.unwrap();
    let old = ["4.", "5."].iter().any(|release| ffmpeg.version.starts_with(release));
    let input = input.display();
    if old {
        make(&format!("-i {input} -c copy -metadata:s:v rotate={degrees}"), output);
    } else {
        make(&format!("-display_rotation {degrees} -i {input} -c copy"), output);
    }
}

/// All of a video: what it says, its frames, and the error that it ended with.
pub fn read(path: &Path, tools: &Tools) -> (VideoInfo, Vec<Frame>, Option<MediaError>) {
    let video = open(path, tools).unwrap();
    let info = video.info().clone();
    let mut frames = Vec::new();
    let mut error = None;
    for frame in video {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(failure) => error = Some(failure),
        }
    }
    (info, frames, error)
}

/// All frames of a video that has nothing wrong with it.
pub fn frames(path: &Path, tools: &Tools) -> Vec<Frame> {
    let (_, frames, error) = read(path, tools);
    assert!(error.is_none(), "{}", error.unwrap());
    frames
}

/// The error that opening or reading a file ends with.
pub fn error(path: &Path, tools: &Tools) -> MediaError {
    match open(path, tools) {
        Err(error) => error,
        Ok(mut video) => video.find_map(Result::err).unwrap_or_else(|| panic!("{} gave no error", path.display())),
    }
}

/// Mean and greatest difference of two images' samples, in grey levels.
pub fn difference(left: &RgbImage, right: &RgbImage) -> (f64, u8) {
    assert_eq!(left.dimensions(), right.dimensions());
    let pairs = left.as_raw().iter().zip(right.as_raw());
    let differences: Vec<u8> = pairs.map(|(a, b)| a.abs_diff(*b)).collect();
    let sum: u64 = differences.iter().map(|d| u64::from(*d)).sum();
    (sum as f64 / differences.len() as f64, differences.into_iter().max().unwrap())
}

/// The folder of shared test material; `None`, and a line that says so, where it is missing.
pub fn shared() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared"));
    if !folder.is_dir() {
        println!("skipped: no shared data");
    }
    folder.is_dir().then_some(folder)
}

/// Smooth colours and a moving bright square: a frame that compresses like video.
pub fn picture(index: u32, width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (left, top) = ((index * 3) % width, height / 3);
        if (left..left + width / 6).contains(&x) && (top..top + height / 6).contains(&y) {
            image::Rgb([250, 240, 20])
        } else {
            image::Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 90])
        }
    })
}
