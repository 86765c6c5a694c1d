//! The embedded decoder against FFmpeg, and what it says of what it cannot decode.
#![allow(clippy::unwrap_used)]

mod common;

use common::{difference, embedded, error, ffmpeg, frames, make, read, shared, turn};
use dubito_media::{Frame, Limits, MediaError, Tools, VideoInfo};

/// Compares both decoders on a file and returns the greatest mean difference of a frame.
fn compare(name: &str, (one, ours): (&VideoInfo, &[Frame]), (other, theirs): (&VideoInfo, &[Frame])) -> f64 {
    assert_eq!((one.width, one.height, one.rotation), (other.width, other.height, other.rotation), "{name}");
    assert_eq!((one.sample_aspect, &one.codec), (other.sample_aspect, &other.codec), "{name}");
    assert_eq!(ours.len(), theirs.len(), "{name}: number of frames");
    let mut worst = 0.0_f64;
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours.timestamp - theirs.timestamp).abs() < 1e-4, "{name}: {} {}", ours.timestamp, theirs.timestamp);
        worst = worst.max(difference(&ours.image, &theirs.image).0);
    }
    worst
}

#[test]
fn generated_files_look_as_ffmpeg_decodes_them() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, arguments, most) in [
        ("baseline", "-vf gblur=sigma=2 -profile:v baseline", 2.0),
        ("main", "-vf gblur=sigma=2 -profile:v main -bf 0", 2.0),
        ("b-frames", "-vf gblur=sigma=2 -bf 3 -g 12", 4.0),
        ("bt709", "-vf gblur=sigma=2,scale=out_color_matrix=bt709 -colorspace bt709 -bf 0", 2.0),
        ("full", "-vf gblur=sigma=2,scale=out_range=pc -pix_fmt yuvj420p -bf 0", 2.0),
        ("wide", "-vf gblur=sigma=2,setsar=4/3 -bf 0", 2.5),
        ("vfr", "-vf gblur=sigma=2,setpts=(N+N*N/10)/10/TB -vsync passthrough -bf 0", 2.0),
        ("fragments", "-vf gblur=sigma=2 -movflags +frag_keyframe+empty_moov+default_base_moof -g 5 -bf 0", 2.0),
    ] {
        let path = folder.path().join(format!("{name}.mp4"));
        let format = if arguments.contains("pix_fmt") { "" } else { "-pix_fmt yuv420p" };
        make(
            &format!("-f lavfi -i testsrc=size=162x122:rate=10:duration=2.4 -c:v libx264 -crf 18 {format} {arguments}"),
            &path,
        );
        let (our_info, ours, failure) = read(&path, &embedded());
        assert!(failure.is_none(), "{name}: {failure:?}");
        let (their_info, theirs, _) = read(&path, &tools);
        let worst = compare(name, (&our_info, &ours), (&their_info, &theirs));
        println!("{name}: mean difference at most {worst:.2}");
        assert!(worst < most, "{name}: {worst}");
    }
    let plain = folder.path().join("baseline.mp4");
    for degrees in [90_u32, 180, 270] {
        let path = folder.path().join("turned.mp4");
        turn(&plain, 360 - degrees, &path);
        let (our_info, ours, _) = read(&path, &embedded());
        let (their_info, theirs, _) = read(&path, &tools);
        assert_eq!(our_info.rotation, degrees as i32);
        assert!(compare("turned", (&our_info, &ours), (&their_info, &theirs)) < 2.0);
    }
}

#[test]
fn shared_videos_look_as_ffmpeg_decodes_them() {
    let (Some(folder), Some(tools)) = (shared(), ffmpeg()) else { return };
    for name in ["single_face.mp4", "lp_d12.mp4"] {
        let path = folder.join("faces").join(name);
        let (our_info, ours, failure) = read(&path, &embedded());
        assert!(failure.is_none(), "{name}: {failure:?}");
        let (their_info, theirs, _) = read(&path, &tools);
        let worst = compare(name, (&our_info, &ours), (&their_info, &theirs));
        println!("{name}: mean difference at most {worst:.2}");
        assert!(worst < 3.0, "{name}: {worst}");
    }
}

#[test]
fn what_it_cannot_decode_asks_for_ffmpeg() {
    if ffmpeg().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, arguments) in [
        ("hevc.mp4", "-c:v libx265 -x265-params log-level=none"),
        ("444.mp4", "-c:v libx264 -pix_fmt yuv444p"),
        ("10bit.mp4", "-c:v libx264 -pix_fmt yuv420p10le"),
        ("interlaced.mp4", "-c:v libx264 -flags +ildct+ilme -pix_fmt yuv420p"),
        ("mpeg4.mp4", "-c:v mpeg4"),
    ] {
        let path = folder.path().join(name);
        make(&format!("-f lavfi -i testsrc=size=64x48:rate=5:duration=1 {arguments}"), &path);
        let failure = error(&path, &embedded());
        assert!(matches!(failure, MediaError::Unsupported { .. }), "{name}: {failure}");
        assert!(failure.hint().unwrap().contains("install FFmpeg"), "{name}");
    }
    let matroska = folder.path().join("x.mkv");
    make("-f lavfi -i testsrc=size=64x48:rate=5:duration=1 -c:v libx264", &matroska);
    let failure = error(&matroska, &embedded());
    assert!(matches!(failure, MediaError::NotMedia { .. }), "{failure}");
    let audio = folder.path().join("audio.mp4");
    make("-f lavfi -i sine=duration=1", &audio);
    let failure = error(&audio, &embedded());
    assert!(matches!(failure, MediaError::NoVideo { .. }), "{failure}");
}

#[test]
fn a_truncated_file_gives_its_frames_and_then_one_error() {
    if ffmpeg().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("x.mp4");
    make(
        "-f lavfi -i testsrc2=size=160x120:rate=25:duration=4 -c:v libx264 -g 10 -pix_fmt yuv420p -movflags +faststart",
        &whole,
    );
    let all = frames(&whole, &embedded());
    let bytes = std::fs::read(&whole).unwrap();
    let cut = folder.path().join("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let (_, kept, failure) = read(&cut, &embedded());
    assert!((30..90).contains(&kept.len()), "{} frames", kept.len());
    assert_eq!(kept[..25], all[..25]);
    assert!(matches!(failure, Some(MediaError::Truncated { .. })), "{failure:?}");
    // Damage anywhere ends in frames or an error, never in a panic or a hang.
    for seed in 0..12_usize {
        let mut damaged = bytes.clone();
        for step in 0..20 {
            let at = (seed * 7919 + step * 104_729 + seed * step * 31) % damaged.len();
            damaged[at] ^= 0x5a;
        }
        std::fs::write(&cut, damaged).unwrap();
        if let Ok(video) = dubito_media::open(&cut, &embedded()) {
            assert!(video.count() <= 101);
        }
    }
}

#[test]
fn limits_hold() {
    if ffmpeg().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    make("-f lavfi -i testsrc2=size=160x120:rate=25:duration=1 -c:v libx264 -pix_fmt yuv420p", &path);
    let with = |limits| Tools { limits, ..embedded() };
    let failure = error(&path, &with(Limits { max_pixels: 1000, ..Limits::default() }));
    assert!(matches!(failure, MediaError::Limit { field: "max_pixels", .. }), "{failure}");
    let (_, frames, failure) = read(&path, &with(Limits { max_frames: Some(3), ..Limits::default() }));
    assert_eq!(frames.len(), 3);
    assert!(matches!(failure, Some(MediaError::Limit { field: "max_frames", .. })));
}

#[test]
fn provenance_says_that_it_is_not_exact() {
    if ffmpeg().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    make("-f lavfi -i testsrc2=size=64x48:rate=25:duration=1 -c:v libx264 -pix_fmt yuv420p", &path);
    let video = dubito_media::open(&path, &embedded()).unwrap();
    let provenance = video.provenance();
    assert_eq!((provenance.decoder.as_str(), provenance.exact), ("openh264", false));
    assert!(provenance.version.starts_with("2."), "{}", provenance.version);
}
