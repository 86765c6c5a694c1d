//! Writing: exactness, colour, repeatability, and nothing left behind.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{difference, embedded, ffmpeg, frames, picture, read};
use dubito_media::{Codec, EncodeSettings, Encoded, MediaError, RgbImage, Tools, Writer, hash_file};

const H264: fn(u8) -> Codec = |quantiser| Codec::H264 { quantiser };

fn encode(path: &Path, images: &[RgbImage], codec: Codec, rate: f64, tools: &Tools) -> Encoded {
    let (width, height) = images[0].dimensions();
    let mut writer = Writer::create(path, width, height, &EncodeSettings { codec, frame_rate: rate }, tools).unwrap();
    for image in images {
        writer.write(image).unwrap();
    }
    writer.finish().unwrap()
}

fn pictures(count: u32, width: u32, height: u32) -> Vec<RgbImage> {
    (0..count).map(|index| picture(index, width, height)).collect()
}

fn both() -> Vec<Tools> {
    [ffmpeg(), Some(embedded())].into_iter().flatten().collect()
}

#[test]
fn raw_comes_back_exactly() {
    for tools in both() {
        let folder = tempfile::tempdir().unwrap();
        let images = pictures(8, 61, 47);
        let encoded = encode(&folder.path().join("x"), &images, Codec::Raw, 25.0, &tools);
        assert_eq!((encoded.frames, encoded.width, encoded.height), (8, 61, 47));
        assert_eq!(encoded.encoder, if tools.ffmpeg.is_some() { "ffv1" } else { "apng" });
        let read = frames(&encoded.path, &tools);
        assert_eq!(read.len(), 8);
        for (index, (frame, image)) in read.iter().zip(&images).enumerate() {
            assert_eq!(&frame.image, image);
            assert!((frame.timestamp - index as f64 / 25.0).abs() < 1e-3);
        }
        assert_eq!(encoded.blake3, hash_file(&encoded.path).unwrap());
        assert_eq!(encoded.bytes, std::fs::metadata(&encoded.path).unwrap().len());
    }
}

/// Bars of the eight pure colours and greys, flat as far as chroma goes.
fn bars() -> RgbImage {
    let colours = [
        [255, 255, 255],
        [255, 255, 0],
        [0, 255, 255],
        [0, 255, 0],
        [255, 0, 255],
        [255, 0, 0],
        [0, 0, 255],
        [90, 60, 30],
    ];
    RgbImage::from_fn(1024, 64, |x, _| image::Rgb(colours[x as usize / 128]))
}

#[test]
fn h264_shifts_no_colour() {
    for tools in both() {
        let folder = tempfile::tempdir().unwrap();
        let images = vec![bars(); 5];
        let encoded = encode(&folder.path().join("x"), &images, H264(10), 25.0, &tools);
        let expected = if tools.ffmpeg.is_some() { "libx264 crf 10" } else { "openh264 qp 10" };
        assert_eq!(encoded.encoder, expected);
        // Whoever reads it sees the same colours: our own decoder and FFmpeg.
        for reader in both() {
            let read = frames(&encoded.path, &reader);
            assert_eq!(read.len(), 5);
            let (mean, _) = difference(&read[2].image, &images[2]);
            println!("{expected}: mean error {mean:.3}");
            assert!(mean < 1.5, "{expected}: mean error {mean}");
            // In the middle of each bar, away from the edges of chroma.
            for x in (64..1024).step_by(128) {
                let (found, true_colour) = (read[2].image.get_pixel(x, 32), images[2].get_pixel(x, 32));
                for (found, expected) in found.0.iter().zip(true_colour.0) {
                    assert!(found.abs_diff(expected) <= 3, "{true_colour:?} became {found:?}");
                }
            }
        }
    }
}

#[test]
fn a_lower_quantiser_is_better_and_larger() {
    for tools in both() {
        let folder = tempfile::tempdir().unwrap();
        let images = pictures(10, 160, 120);
        let mut last: Option<(u64, f64)> = None;
        for quantiser in [10, 23, 40] {
            let encoded = encode(&folder.path().join(format!("{quantiser}")), &images, H264(quantiser), 25.0, &tools);
            let (mean, _) = difference(&frames(&encoded.path, &tools)[5].image, &images[5]);
            println!("{}: {} bytes, mean error {mean:.2}", encoded.encoder, encoded.bytes);
            if let Some((bytes, error)) = last {
                assert!(encoded.bytes < bytes && mean > error, "{}", encoded.encoder);
            }
            last = Some((encoded.bytes, mean));
        }
    }
}

#[test]
fn the_same_frames_give_the_same_bytes() {
    for tools in both() {
        let folder = tempfile::tempdir().unwrap();
        let images = pictures(12, 160, 120);
        for codec in [Codec::Raw, H264(23)] {
            let one = encode(&folder.path().join("one"), &images, codec, 29.97, &tools);
            let two = encode(&folder.path().join("two"), &images, codec, 29.97, &tools);
            assert_eq!(one.blake3, two.blake3, "{}", one.encoder);
        }
    }
}

#[test]
fn rates_and_odd_sizes() {
    for tools in both() {
        let folder = tempfile::tempdir().unwrap();
        let rate = 84_960_000.0 / 2_822_749.0;
        let images = pictures(60, 61, 47);
        let encoded = encode(&folder.path().join("x"), &images, H264(15), rate, &tools);
        assert_eq!((encoded.width, encoded.height), (62, 48));
        for reader in both() {
            let (info, read, failure) = read(&encoded.path, &reader);
            assert!(failure.is_none(), "{failure:?}");
            assert_eq!((info.width, info.height, read.len()), (62, 48, 60));
            assert!((info.frame_rate.unwrap() - rate).abs() < 0.01, "{:?}", info.frame_rate);
            assert!((read[59].timestamp - 59.0 / rate).abs() < 1e-3, "{}", read[59].timestamp);
            // The added column repeats the last: the rest is where it was.
            let cropped = image::imageops::crop_imm(&read[30].image, 0, 0, 61, 47).to_image();
            assert!(difference(&cropped, &images[30]).0 < 4.0);
        }
    }
}

#[test]
fn an_unfinished_writer_leaves_nothing() {
    for tools in both() {
        for codec in [Codec::Raw, H264(23)] {
            let folder = tempfile::tempdir().unwrap();
            let settings = EncodeSettings { codec, frame_rate: 25.0 };
            let mut writer = Writer::create(&folder.path().join("x"), 64, 48, &settings, &tools).unwrap();
            writer.write(&picture(0, 64, 48)).unwrap();
            let failure = writer.write(&picture(0, 32, 48)).unwrap_err();
            assert!(matches!(failure, MediaError::FrameSize { index: 1, .. }), "{failure}");
            drop(writer);
            let writer = Writer::create(&folder.path().join("y"), 64, 48, &settings, &tools).unwrap();
            assert!(matches!(writer.finish(), Err(MediaError::Encode { .. })));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}

#[test]
fn wrong_settings_name_the_setting() {
    let tools = embedded();
    let folder = tempfile::tempdir().unwrap();
    let create = |codec, frame_rate, width| {
        Writer::create(&folder.path().join("x"), width, 48, &EncodeSettings { codec, frame_rate }, &tools).unwrap_err()
    };
    for (failure, name) in [
        (create(H264(0), 25.0, 64), "quantiser"),
        (create(H264(52), 25.0, 64), "quantiser"),
        (create(Codec::Raw, 0.0, 64), "frame_rate"),
        (create(Codec::Raw, f64::NAN, 64), "frame_rate"),
        (create(Codec::Raw, 25.0, 0), "size"),
    ] {
        assert!(matches!(&failure, MediaError::Setting { field, .. } if *field == name), "{failure}");
    }
    let settings = EncodeSettings { codec: H264(23), frame_rate: 25.0 };
    let failure = Writer::create(&folder.path().join("none/x"), 64, 48, &settings, &tools).unwrap_err();
    assert!(matches!(failure, MediaError::NotFound { .. }), "{failure}");
    let failure = Writer::create(&folder.path().join("x"), 64, 48, &settings, &Tools::default()).unwrap_err();
    assert!(matches!(failure, MediaError::ToolMissing { .. }), "{failure}");
}
