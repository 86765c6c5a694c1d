//! Decoding by FFmpeg: times, shapes, codecs, damage.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::Command;
use std::time::Duration;

use common::{difference, error, ffmpeg, frames, make, read, turn};
use dubito_media::{Limits, MediaError, Tools, hash_file, open};

/// Presentation times of all frames by `ffprobe -show_frames`, the independent witness.
fn times_by_ffprobe(path: &std::path::Path) -> Vec<f64> {
    let output = Command::new(Tools::discover().ffmpeg.unwrap().ffprobe)
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp_time"])
        .args(["-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.trim_matches(',').parse().ok()).collect()
}

#[test]
fn variable_frame_rates_keep_their_times() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, codec) in [("x.mkv", "-c:v ffv1"), ("x.mp4", "-c:v libx264 -bf 3"), ("x.ts", "-c:v libx264 -bf 2")] {
        let path = folder.path().join(name);
        make(
            &format!(
                "-f lavfi -i testsrc=size=64x48:rate=10:duration=2 -vf setpts=(N+N*N/10)/10/TB -vsync passthrough {codec}"
            ),
            &path,
        );
        let found: Vec<f64> = frames(&path, &tools).iter().map(|frame| frame.timestamp).collect();
        let expected = times_by_ffprobe(&path);
        assert_eq!(found.len(), 20);
        assert_eq!(expected.len(), 20);
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 2e-6, "{name}: {found} {expected}");
        }
        let steps: Vec<f64> = found.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps[18] > 2.0 * steps[0], "{name}: the rate does vary: {steps:?}");
    }
}

#[test]
fn a_late_first_frame_keeps_its_time() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late.mkv");
    make(
        "-f lavfi -i testsrc=size=64x48:rate=10:duration=1 -vf setpts=PTS+3/TB -vsync passthrough -c:v ffv1 -avoid_negative_ts disabled",
        &path,
    );
    let frames = frames(&path, &tools);
    assert!((frames[0].timestamp - 3.0).abs() < 1e-6, "{}", frames[0].timestamp);
}

#[test]
fn frames_are_upright_and_square() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.mp4");
    make("-f lavfi -i testsrc=size=64x48:rate=5:duration=1 -c:v libx264 -crf 5", &plain);
    let turned = folder.path().join("turned.mp4");
    turn(&plain, 270, &turned);
    let (info, turned, _) = read(&turned, &tools);
    assert_eq!((info.width, info.height, info.rotation), (48, 64, 90));
    let upright = image::imageops::rotate90(&frames(&plain, &tools)[2].image);
    let (mean, _) = difference(&turned[2].image, &upright);
    assert!(mean < 1.0, "turned the right way: {mean}");

    // The range of the colours outlives the change of shape: white stays white, black black.
    let full = folder.path().join("full.mp4");
    for (colour, level) in [("white", 255_u8), ("black", 0)] {
        make(
            &format!(
                "-f lavfi -i color={colour}:size=64x48:rate=5:duration=1 -vf scale=out_range=pc,setsar=4/3 -c:v libx264 -crf 5 -pix_fmt yuvj420p"
            ),
            &full,
        );
        let pixel = frames(&full, &tools)[0].image.get_pixel(40, 20).0;
        assert!(pixel.iter().all(|value| value.abs_diff(level) <= 1), "{colour} is {pixel:?}");
    }

    let wide = folder.path().join("wide.mp4");
    make("-f lavfi -i testsrc=size=64x48:rate=5:duration=1 -vf setsar=4/3 -c:v libx264", &wide);
    let (info, frames, _) = read(&wide, &tools);
    assert_eq!((info.width, info.height, info.sample_aspect), (86, 48, (4, 3)));
    assert_eq!(frames[0].image.dimensions(), (86, 48));
}

#[test]
fn every_codec_and_pixel_format_gives_the_same_picture() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    // Soft colours: 4:2:0 blurs hard edges, whoever decodes it.
    let source = "-f lavfi -i testsrc=size=128x96:rate=5:duration=0.6 -vf gblur=sigma=3,format=rgb24";
    let exact = folder.path().join("exact.mkv");
    make(&format!("{source} -c:v ffv1 -pix_fmt bgr0"), &exact);
    let exact = frames(&exact, &tools);
    let report = tools.report().ffmpeg.unwrap();
    let cases = [
        ("420.mp4", "h264", "-c:v libx264 -crf 5 -pix_fmt yuv420p"),
        ("444.mp4", "h264", "-c:v libx264 -crf 5 -pix_fmt yuv444p"),
        ("10.mp4", "h264", "-c:v libx264 -crf 5 -pix_fmt yuv420p10le"),
        ("hevc.mp4", "hevc", "-c:v libx265 -x265-params log-level=none:crf=5 -pix_fmt yuv420p"),
        ("hevc10.mp4", "hevc", "-c:v libx265 -x265-params log-level=none:crf=5 -pix_fmt yuv420p10le"),
        ("vp9.webm", "vp9", "-c:v libvpx-vp9 -crf 5 -b:v 0 -cpu-used 8 -pix_fmt yuv420p"),
        ("av1.mp4", "av1", "-c:v libaom-av1 -cpu-used 8 -crf 5 -pix_fmt yuv420p"),
        (
            "709.mp4",
            "h264",
            "-vf gblur=sigma=3,format=rgb24,scale=out_color_matrix=bt709 -c:v libx264 -crf 5 -pix_fmt yuv420p -colorspace bt709",
        ),
        (
            "2020.mkv",
            "hevc",
            "-vf gblur=sigma=3,format=rgb24,scale=out_color_matrix=bt2020 -c:v libx265 -x265-params log-level=none:crf=5 -pix_fmt yuv420p -colorspace bt2020nc",
        ),
        ("full.mp4", "h264", "-vf gblur=sigma=3,format=rgb24,scale=out_range=pc -c:v libx264 -crf 5 -pix_fmt yuvj420p"),
    ];
    for (name, codec, arguments) in cases {
        let encoder = arguments.split("-c:v ").nth(1).unwrap().split(' ').next().unwrap();
        let listing = Command::new(&report.ffmpeg).args(["-hide_banner", "-encoders"]).output().unwrap();
        if !report.decoders[codec] || !String::from_utf8_lossy(&listing.stdout).contains(encoder) {
            println!("skipped: this ffmpeg has no {encoder}");
            continue;
        }
        let path = folder.path().join(name);
        make(&format!("{source} {arguments}"), &path);
        let (info, frames, error) = read(&path, &tools);
        assert!(error.is_none(), "{name}: {error:?}");
        assert_eq!((info.codec.as_str(), frames.len()), (codec, exact.len()), "{name}");
        let (mean, _) = difference(&frames[1].image, &exact[1].image);
        println!("{name}: mean difference {mean:.2}");
        assert!(mean < 2.5, "{name}: mean difference {mean}");
    }
}

/// Our conversion of 4:2:0 against FFmpeg's, which interpolates chroma bicubically where ours is linear
/// (and, for odd sizes, stretches it by half a sample: hence an even one here).
#[test]
fn colours_are_those_of_the_scale_filter() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = "-f lavfi -i testsrc=size=160x120:rate=5:duration=0.6 -vf gblur=sigma=5,format=rgb24";
    for (name, arguments) in [
        ("unmarked", "-pix_fmt yuv420p"),
        ("bt709", ",scale=out_color_matrix=bt709 -pix_fmt yuv420p -colorspace bt709"),
        ("bt2020", ",scale=out_color_matrix=bt2020 -pix_fmt yuv420p -colorspace bt2020nc"),
        ("full", ",scale=out_range=pc -pix_fmt yuv420p -color_range pc"),
    ] {
        let path = folder.path().join(format!("{name}.mkv"));
        let arguments = arguments.strip_prefix(',').map_or(format!(" {arguments}"), |rest| format!(",{rest}"));
        make(&format!("{source}{arguments} -c:v ffv1"), &path);
        let ours = frames(&path, &tools);
        let raw = folder.path().join("raw.rgb");
        let flags = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact";
        make(&format!("-i {} -vf scale={flags} -f rawvideo -pix_fmt rgb24", path.display()), &raw);
        let theirs = std::fs::read(&raw).unwrap();
        assert_eq!(ours.len(), 3, "{name}");
        for (frame, theirs) in ours.iter().zip(theirs.chunks_exact(160 * 120 * 3)) {
            let theirs = dubito_media::RgbImage::from_raw(160, 120, theirs.to_vec()).unwrap();
            let (mean, most) = difference(&frame.image, &theirs);
            println!("{name}: mean difference {mean:.3}, at most {most}");
            assert!(mean < 1.0 && most < 12, "{name}: mean {mean}, at most {most}");
        }
    }
}

#[test]
fn a_truncated_file_gives_its_frames_and_then_one_error() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, codec) in [("x.mp4", "-c:v libx264 -g 10 -movflags +faststart"), ("x.mkv", "-c:v ffv1")] {
        let whole = folder.path().join(name);
        make(&format!("-f lavfi -i testsrc2=size=160x120:rate=25:duration=4 {codec}"), &whole);
        let all = frames(&whole, &tools);
        assert_eq!(all.len(), 100);
        let bytes = std::fs::read(&whole).unwrap();
        let cut = folder.path().join(format!("cut-{name}"));
        std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
        let (_, kept, error) = read(&cut, &tools);
        assert!((30..90).contains(&kept.len()), "{name}: {} frames", kept.len());
        // The frames before the damage are the true ones.
        assert_eq!(kept[..25], all[..25], "{name}");
        let error = error.unwrap();
        assert!(
            matches!(&error, MediaError::Truncated { frames, .. } if *frames == kept.len() as u64),
            "{name}: {error}"
        );
        assert!(error.hint().is_some());
    }
    let path = folder.path().join("no-index.mp4");
    let whole = folder.path().join("plain.mp4");
    make("-f lavfi -i testsrc2=size=160x120:rate=25:duration=1 -c:v libx264", &whole);
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = error(&path, &tools);
    assert!(matches!(error, MediaError::NotMedia { .. }), "{error}");
    assert!(error.to_string().contains("moov"), "{error}");
}

#[test]
fn streams_without_pictures_say_so() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let audio = folder.path().join("audio.mp4");
    make("-f lavfi -i sine=duration=1", &audio);
    let failure = error(&audio, &tools);
    assert!(matches!(&failure, MediaError::NoVideo { found, .. } if found == "audio"), "{failure}");

    let none = folder.path().join("none.mp4");
    make("-f lavfi -i testsrc=size=64x48:rate=10:duration=1 -frames:v 0 -c:v libx264", &none);
    let failure = error(&none, &tools);
    let clear =
        matches!(failure, MediaError::NoFrames { .. } | MediaError::NoVideo { .. } | MediaError::NotMedia { .. });
    assert!(clear, "{failure:?}");

    let tiny = folder.path().join("tiny.mp4");
    make("-f lavfi -i testsrc=size=16x16:rate=10:duration=1 -c:v libx264", &tiny);
    let frames = frames(&tiny, &tools);
    assert_eq!((frames.len(), frames[0].image.dimensions()), (10, (16, 16)));
}

#[test]
fn names_are_files_and_nothing_else() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.mkv");
    make("-f lavfi -i testsrc=size=64x48:rate=10:duration=0.5 -c:v ffv1", &plain);
    for name in ["-i.mkv", "http:x.mkv", "concat:a|b.mkv", "a %03d 'b\".mkv", "x\u{e9}\u{1f600}.mkv"] {
        let path = folder.path().join(name);
        if std::fs::copy(&plain, &path).is_err() {
            continue;
        }
        assert_eq!(frames(&path, &tools).len(), 5, "{name}");
    }
    // A playlist would make FFmpeg open another file.
    let playlist = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{}\n#EXT-X-ENDLIST\n", plain.display());
    let concat = format!("ffconcat version 1.0\nfile '{}'\n", plain.display());
    for (name, text) in [("list.mp4", playlist.clone()), ("list.m3u8", playlist), ("list.ffconcat", concat)] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let failure = error(&path, &tools);
        assert!(matches!(failure, MediaError::NotMedia { .. }), "{name}: {failure}");
    }
}

#[test]
fn limits_hold() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mkv");
    make("-f lavfi -i testsrc=size=320x240:rate=25:duration=2 -c:v ffv1", &path);
    let with = |limits| Tools { limits, ..tools.clone() };

    let failure = error(&path, &with(Limits { max_pixels: 320 * 239, ..Limits::default() }));
    assert!(matches!(failure, MediaError::Limit { field: "max_pixels", .. }), "{failure}");

    let (_, frames, failure) = read(&path, &with(Limits { max_frames: Some(7), ..Limits::default() }));
    assert_eq!(frames.len(), 7);
    assert!(matches!(failure, Some(MediaError::Limit { field: "max_frames", .. })));
    let (_, frames, failure) = read(&path, &with(Limits { max_frames: Some(50), ..Limits::default() }));
    assert!(frames.len() == 50 && failure.is_none());

    // Too little memory for the programs to start: an error, no hang and no panic.
    if cfg!(target_os = "linux") {
        let failure = error(&path, &with(Limits { memory_bytes: 8 << 20, ..Limits::default() }));
        println!("{failure}");
        let clear = matches!(failure, MediaError::Limit { field: "memory_bytes", .. } | MediaError::NotMedia { .. });
        assert!(clear, "{failure:?}");
    }

    // A reader that takes its time is not stopped: only waiting for the decoder counts.
    let patient = with(Limits { stall: Duration::from_secs(5), timeout: Duration::from_secs(10), ..Limits::default() });
    let mut video = open(&path, &patient).unwrap();
    video.next().unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(video.map(Result::unwrap).count(), 49);
}

#[test]
fn dropping_a_video_ends_the_decoder() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mkv");
    make("-f lavfi -i testsrc=size=320x240:rate=25:duration=8 -c:v ffv1", &path);
    let begun = std::time::Instant::now();
    for _ in 0..3 {
        let mut video = open(&path, &tools).unwrap();
        video.next().unwrap().unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn provenance_names_decoder_and_file() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mkv");
    make("-f lavfi -i testsrc=size=64x48:rate=25:duration=1 -c:v ffv1", &path);
    let video = open(&path, &tools).unwrap();
    let provenance = video.provenance();
    assert_eq!((provenance.decoder.as_str(), provenance.exact), ("ffmpeg", true));
    assert_eq!(provenance.version, tools.ffmpeg.as_ref().unwrap().version);
    assert_eq!(provenance.blake3, blake3::hash(&std::fs::read(&path).unwrap()).to_hex().to_string());
    assert_eq!(provenance.blake3, hash_file(&path).unwrap());
    let info = video.info();
    assert_eq!((info.codec.as_str(), info.width, info.height), ("ffv1", 64, 48));
    assert!((info.frame_rate.unwrap() - 25.0).abs() < 1e-9);
    assert_eq!(info.size_bytes, std::fs::metadata(&path).unwrap().len());
}

#[test]
fn the_same_file_gives_the_same_frames() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    make("-f lavfi -i testsrc2=size=160x120:rate=25:duration=1 -c:v libx264 -bf 3", &path);
    assert_eq!(frames(&path, &tools), frames(&path, &tools));
}
