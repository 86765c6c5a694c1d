//! Images are one-frame videos; an animated PNG is a lossless video.
#![allow(clippy::unwrap_used)]

mod common;

use common::{difference, error, frames, picture, read};
use dubito_media::{Codec, EncodeSettings, MediaError, MediaKind, Tools, Writer};

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
    std::fs::write(&path, &bytes[..bytes.len() * 3 / 4]).unwrap();
    let (_, frames, failure) = read(&path, &Tools::default());
    assert!((2..10).contains(&frames.len()), "{}", frames.len());
    assert!(matches!(failure, Some(MediaError::Truncated { expected: Some(10), .. })), "{failure:?}");
    let still = folder.path().join("still.png");
    picture(0, 64, 64).save(&still).unwrap();
    let bytes = std::fs::read(&still).unwrap();
    std::fs::write(&still, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(error(&still, &Tools::default()), MediaError::NotMedia { .. }));
}

#[test]
fn every_kind_of_picture_is_told_by_its_contents_and_read_alike_in_a_worker() {
    let folder = tempfile::tempdir().unwrap();
    let image = picture(4, 60, 46);
    for (name, most) in [("x.png", 0), ("x.jpg", 4), ("x.webp", 0), ("x.bmp", 0), ("x.tif", 0), ("x.gif", 60)] {
        let path = folder.path().join(name);
        image.save(&path).unwrap();
        let disguised = folder.path().join("x.mp4");
        std::fs::copy(&path, &disguised).unwrap();
        for tools in [Tools::default(), common::embedded()] {
            let (info, frames, failure) = read(&disguised, &tools);
            assert!(failure.is_none() && frames.len() == 1, "{name}: {failure:?}");
            assert_eq!((info.kind, info.frames), (MediaKind::Picture, Some(1)), "{name}");
            assert!(difference(&frames[0].image, &image).0 <= f64::from(most), "{name}");
        }
    }
}

#[test]
fn all_frames_of_an_animation_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let images: Vec<_> = (0..5).map(|index| picture(index * 4, 60, 46)).collect();
    let gif = folder.path().join("x.gif");
    let mut encoder = image::codecs::gif::GifEncoder::new(std::fs::File::create(&gif).unwrap());
    for image in &images {
        let image = image::DynamicImage::from(image.clone()).into_rgba8();
        encoder.encode_frame(image::Frame::new(image)).unwrap();
    }
    drop(encoder);
    // An animated WebP from stills: VP8X with the animation's bit, ANIM, and each still's chunk in an ANMF.
    let chunk = |name: &[u8], data: &[u8]| [name, &(data.len() as u32).to_le_bytes(), data].concat();
    let size = |value: u32| value.to_le_bytes()[..3].to_vec();
    let mut body = chunk(b"VP8X", &[&[2, 0, 0, 0][..], &size(59), &size(45)].concat());
    body.extend(chunk(b"ANIM", &[0; 6]));
    for image in &images {
        let still = folder.path().join("still.webp");
        image.save(&still).unwrap();
        let still = std::fs::read(&still).unwrap();
        let place = [size(0), size(0), size(59), size(45), size(40), vec![0]].concat();
        body.extend(chunk(b"ANMF", &[&place[..], &still[12..]].concat()));
    }
    let webp = folder.path().join("x.webp");
    std::fs::write(&webp, chunk(b"RIFF", &[&b"WEBP"[..], &body].concat())).unwrap();
    for (path, most, step) in [(&gif, 60.0, 0.1), (&webp, 1.0, 0.04)] {
        for tools in [Tools::default(), common::embedded()] {
            let (info, frames, failure) = read(path, &tools);
            assert!(failure.is_none(), "{failure:?}");
            assert_eq!((info.kind, info.frames, frames.len()), (MediaKind::Animation, Some(5), 5));
            for (index, (frame, image)) in frames.iter().zip(&images).enumerate() {
                let found = difference(&frame.image, image).0;
                assert!(found <= most, "{}: frame {index} by {found}", path.display());
                assert!((frame.timestamp - step * index as f64).abs() < 1e-9, "{}", frame.timestamp);
            }
        }
        // Cut: the frames there are, and one error; or, of most of them missing, one that says so.
        let bytes = std::fs::read(path).unwrap();
        let cut = folder.path().join("cut");
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        assert!(error(&cut, &Tools::default()).hint().is_some());
    }
}

#[test]
fn what_is_no_picture_and_no_video_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[u8], &str, &str); 8] = [
        (b"\xef\xbb\xbf \n<!doctype HTML><html>", "HTML page", "fetch the file again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
        (b"%PDF-1.7", "PDF", ""),
        (b"PK\x03\x04rest", "ZIP", "unpack"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", "heif-convert"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1....grid", "AVIF", "heif-convert"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "magick"),
        (b"8BPS\0\x01", "PSD", "magick"),
    ];
    for (bytes, what, todo) in cases {
        let path = folder.path().join("x.mp4");
        std::fs::write(&path, bytes).unwrap();
        for tools in [Tools::default(), common::embedded(), Tools::discover()] {
            let reason = error(&path, &tools).reason();
            assert!(reason.contains(what) && reason.contains(todo), "{what}: {reason}");
        }
    }
}

#[test]
fn a_jpeg_that_is_cut_short_is_no_picture_and_several_in_a_row_are_a_video() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jpg");
    let mut row = Vec::new();
    for index in 0..4 {
        picture(index, 64, 48).save(&path).unwrap();
        row.extend(std::fs::read(&path).unwrap());
    }
    let one = std::fs::read(&path).unwrap();
    std::fs::write(&path, &one[..one.len() * 3 / 4]).unwrap();
    let said = error(&path, &Tools::default()).to_string();
    assert!(said.contains("end before the picture does"), "{said}");
    // What follows a picture and is none is passed over.
    std::fs::write(&path, [&one[..], b"SEFT and more"].concat()).unwrap();
    assert_eq!(frames(&path, &Tools::default()).len(), 1);
    std::fs::write(&path, row).unwrap();
    let (info, frames, failure) = read(&path, &Tools::default());
    assert!(failure.is_none() && frames.len() == 4 && info.kind == MediaKind::Video, "{failure:?}");
}
