//! Images are one-frame videos; an animated PNG is a lossless video.
#![allow(clippy::unwrap_used)]

mod common;

use common::{difference, error, frames, picture, read};
use dubito_media::{Codec, EncodeSettings, MediaError, Tools, Writer};

#[test]
fn stills_are_one_frame_at_time_zero() {
    let folder = tempfile::tempdir().unwrap();
    let image = picture(4, 61, 47);
    for (name, exact, most) in [("x.png", true, 0.0), ("x.webp", false, 0.0), ("x.jpg", false, 4.0)] {
        let path = folder.path().join(name);
        image.save(&path).unwrap();
        // The name says nothing: the first bytes do.
        let disguised = folder.path().join(format!("{name}.mp4"));
        std::fs::copy(&path, &disguised).unwrap();
        for path in [path, disguised] {
            let video = dubito_media::open(&path, &Tools::default()).unwrap();
            assert_eq!((video.provenance().decoder.as_str(), video.provenance().exact), ("image", exact));
            let (info, frames, failure) = read(&path, &Tools::default());
            assert!(failure.is_none() && frames.len() == 1 && info.frames == Some(1));
            assert_eq!((frames[0].index, frames[0].timestamp), (0, 0.0));
            assert_eq!((info.width, info.height), (61, 47));
            assert!(difference(&frames[0].image, &image).0 <= most, "{name}");
        }
    }
}

#[test]
fn a_photograph_is_turned_upright_by_its_exif() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.jpg");
    picture(0, 64, 32).save(&plain).unwrap();
    // Orientation 6: turn by 90 degrees clockwise. A TIFF header, one entry (tag 0x112, short, 1 value).
    let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1, 0, exif.len() as u8 + 2];
    bytes.extend_from_slice(exif);
    bytes.extend_from_slice(&std::fs::read(&plain).unwrap()[2..]);
    let turned = folder.path().join("turned.jpg");
    std::fs::write(&turned, bytes).unwrap();
    let upright = image::imageops::rotate90(&frames(&plain, &Tools::default())[0].image);
    assert_eq!(frames(&turned, &Tools::default())[0].image, upright);
}

fn write_raw(path: &std::path::Path, count: u32, rate: f64) -> std::path::PathBuf {
    let settings = EncodeSettings { codec: Codec::Raw, frame_rate: rate };
    let mut writer = Writer::create(path, 61, 47, &settings, &Tools::default()).unwrap();
    for index in 0..count {
        writer.write(&picture(index, 61, 47)).unwrap();
    }
    writer.finish().unwrap().path
}

#[test]
fn without_ffmpeg_raw_is_an_animated_png_that_comes_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    for (count, rate) in [(1, 25.0), (12, 30000.0 / 1001.0), (5, 30.098_319)] {
        let path = write_raw(&folder.path().join("x.anything"), count, rate);
        assert_eq!(path, folder.path().join("x.png"));
        let (info, frames, failure) = read(&path, &Tools::default());
        assert!(failure.is_none(), "{failure:?}");
        assert_eq!((info.frames, info.codec.as_str()), (Some(u64::from(count)), "apng"));
        assert_eq!(info.frame_rate, Some(rate));
        assert_eq!(frames.len(), count as usize);
        for (index, frame) in frames.iter().enumerate() {
            assert_eq!(frame.image, picture(index as u32, 61, 47));
            assert!((frame.timestamp - index as f64 / rate).abs() < 1e-9);
        }
    }
}

#[test]
fn ffmpeg_reads_our_animated_png_alike() {
    let Some(tools) = common::ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = write_raw(&folder.path().join("x.png"), 6, 25.0);
    let matroska = folder.path().join("x.mkv");
    common::make(&format!("-f apng -i {} -c:v ffv1 -pix_fmt bgr0", path.display()), &matroska);
    let frames = frames(&matroska, &tools);
    assert_eq!(frames.len(), 6);
    for (index, frame) in frames.iter().enumerate() {
        assert_eq!(frame.image, picture(index as u32, 61, 47));
        assert!((frame.timestamp - index as f64 / 25.0).abs() < 1e-3);
    }
}

#[test]
fn a_truncated_animated_png_gives_its_frames_and_then_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_raw(&folder.path().join("x.png"), 10, 25.0);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let (_, frames, failure) = read(&path, &Tools::default());
    assert!((2..10).contains(&frames.len()), "{}", frames.len());
    assert!(matches!(failure, Some(MediaError::Truncated { expected: Some(10), .. })), "{failure:?}");
    let still = folder.path().join("still.png");
    picture(0, 64, 64).save(&still).unwrap();
    let bytes = std::fs::read(&still).unwrap();
    std::fs::write(&still, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(error(&still, &Tools::default()), MediaError::NotMedia { .. }));
}
