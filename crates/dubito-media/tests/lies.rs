//! Videos whose containers lie: what is delivered is most of what was filmed, or an error says that it is not.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::{embedded, ffmpeg, make};
use dubito_media::{MediaError, MediaKind, Tools, open};

const FRAMES: u64 = 60;

/// An MP4 of 60 frames at 25 a second, its index in front.
fn good(folder: &Path) -> Vec<u8> {
    let path = folder.join("good.mp4");
    let source = "-f lavfi -i testsrc=size=96x64:rate=25:duration=2.4";
    make(&format!("{source} -c:v libx264 -preset veryfast -bf 0 -g 20 -pix_fmt yuv420p -movflags +faststart"), &path);
    std::fs::read(path).unwrap()
}

/// Where the box at the end of `path` (names joined by `/`) begins and how long it is.
fn find(bytes: &[u8], path: &str) -> (usize, usize) {
    let (mut place, mut end) = (0, bytes.len());
    let mut found = (0, 0);
    for name in path.split('/') {
        loop {
            assert!(place + 8 <= end, "no {name} of {path}");
            let length = u32::from_be_bytes(bytes[place..place + 4].try_into().unwrap()) as usize;
            if &bytes[place + 4..place + 8] == name.as_bytes() {
                found = (place, length);
                (place, end) = (place + 8, place + length);
                break;
            }
            place += length.max(8);
        }
    }
    found
}

fn patched(bytes: &[u8], edits: &[(&str, usize, u32)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (path, offset, value) in edits {
        let place = find(&bytes, path).0 + offset;
        bytes[place..place + 4].copy_from_slice(&value.to_be_bytes());
    }
    bytes
}

/// Frames delivered, and how it ended.
fn frames(path: &Path, tools: &Tools) -> (u64, Option<MediaError>) {
    let mut count = 0;
    match open(path, tools) {
        Err(error) => (0, Some(error)),
        Ok(video) => {
            assert_eq!(video.info().kind, MediaKind::Video, "{}", path.display());
            for frame in video {
                match frame {
                    Ok(_) => count += 1,
                    Err(error) => return (count, Some(error)),
                }
            }
            (count, None)
        }
    }
}

const TABLES: &str = "moov/trak/mdia/minf/stbl";

/// Every lie about times, sizes and places, by name.
fn lies(good: &[u8]) -> Vec<(String, Vec<u8>)> {
    let at = |name: &str| format!("{TABLES}/{name}");
    let huge = [0x7fff_ffff, u32::MAX];
    let mut lies = Vec::new();
    let mut lie = |name: &str, offset: usize, values: &[u32]| {
        for value in values {
            lies.push((format!("{name}+{offset}={value}"), patched(good, &[(name, offset, *value)])));
        }
    };
    for values in [&[0, 1, 2, 1_000_000][..], &huge] {
        lie("moov/mvhd", 20, values);
        lie("moov/trak/mdia/mdhd", 20, values);
        lie("moov/mvhd", 24, values);
        lie("moov/trak/mdia/mdhd", 24, values);
        // Frames of the first entry, and how long each is shown.
        lie(&at("stts"), 16, values);
        lie(&at("stts"), 20, values);
        // A size for all frames, and how many there are.
        lie(&at("stsz"), 12, values);
        lie(&at("stsz"), 16, values);
        lie(&at("stco"), 12, values);
        lie(&at("stco"), 16, values);
        lie(&at("stsc"), 20, values);
        lie("moov/trak/edts/elst", 16, values);
        lie("moov/trak/edts/elst", 20, values);
    }
    lie(&at("stsz"), 16, &[20, 59, 61, 130, 1 << 20]);
    lie(&at("stts"), 16, &[20]);
    lies
}

/// A lie is no error where most of the video is there all the same; where it is not, it is one that says so.
#[test]
fn no_lie_makes_a_video_short_in_silence() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let good = good(folder.path());
    let mut inconsistent = 0;
    for (name, bytes) in lies(&good) {
        let path = folder.path().join("lie.mp4");
        std::fs::write(&path, bytes).unwrap();
        for (decoder, tools) in [("ffmpeg", tools.clone()), ("embedded", embedded())] {
            let (count, error) = frames(&path, &tools);
            let said = error.as_ref().map(ToString::to_string).unwrap_or_default();
            assert!(error.is_some() || 2 * count >= FRAMES, "{name}, {decoder}: {count} frames and no word");
            assert!(!said.contains(" @ "), "{name}, {decoder}: {said}");
            if let Some(MediaError::Inconsistent { .. }) = error {
                assert!(error.unwrap().hint().is_some());
                inconsistent += 1;
            }
        }
    }
    assert!(inconsistent > 10, "{inconsistent}");
}

/// The message of the inconsistency that a file ends with.
fn contradiction(path: &Path, tools: &Tools) -> String {
    match frames(path, tools).1 {
        Some(MediaError::Inconsistent { message, .. }) => message,
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn what_is_declared_and_what_is_found_are_told() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let good = good(folder.path());
    let write = |bytes: &[u8]| -> PathBuf {
        let path = folder.path().join("x.mp4");
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let clock = "moov/trak/mdia/mdhd";
    // One tick is a second: FFmpeg ends with the edit list, the embedded decoder sees an hour between frames.
    let path = write(&patched(&good, &[(clock, 20, 1)]));
    assert_eq!(contradiction(&path, &tools), "ends after 1 of 60 frames");
    assert!(contradiction(&path, &embedded()).contains("timestamps"), "{}", contradiction(&path, &embedded()));
    // Ten million ticks a second.
    let path = write(&patched(&good, &[(clock, 20, 100_000_000), ("moov/trak/edts/elst", 16, u32::MAX)]));
    for tools in [&tools, &embedded()] {
        let said = contradiction(&path, tools);
        assert!(said.contains("60 frames in 0.00") && said.contains("1000 a second"), "{said}");
    }
    // The last nine tenths of the pictures are gone.
    let (data, length) = find(&good, "mdat");
    let path = write(&good[..data + length / 10]);
    for tools in [&tools, &embedded()] {
        let (count, error) = frames(&path, tools);
        let said = error.unwrap().to_string();
        assert!(count < 30 && (count == 0 || said.contains(&format!("ends after {count} of 60 frames"))), "{said}");
    }
    // The last tenth is gone: what was read before is an answer, with a remark.
    let path = write(&good[..data + length * 9 / 10]);
    for tools in [&tools, &embedded()] {
        let (count, error) = frames(&path, tools);
        assert!(count > 40 && matches!(error, Some(MediaError::Truncated { .. })), "{count}: {error:?}");
    }
    // Three quarters of the data are noise.
    let mut noise = good.clone();
    noise[data + length / 5..data + length].iter_mut().enumerate().for_each(|(i, byte)| *byte = ((i * 97) >> 3) as u8);
    let path = write(&noise);
    for tools in [&tools, &embedded()] {
        let (count, error) = frames(&path, tools);
        assert!(error.is_some(), "{count} frames of noise and no word");
    }
}

/// Not a lie: videos of one frame, of varying rate, in fragments, of other containers, cut at the end.
#[test]
fn honest_videos_are_read_to_their_end() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = |seconds: f64| format!("-f lavfi -i testsrc=size=96x64:rate=25:duration={seconds}");
    let x264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p";
    let sound = "-f lavfi -i anullsrc=duration=4";
    let long = "-f lavfi -i anullsrc=duration=10";
    let all = [
        ("one.mp4", format!("{} {x264}", source(0.04)), 1),
        ("two.mp4", format!("{} {x264}", source(0.08)), 2),
        ("b.mp4", format!("{} {x264} -bf 3", source(2.4)), 60),
        ("b.mkv", format!("{} {x264} -bf 3", source(2.4)), 60),
        ("x.webm", format!("{} -c:v libvpx-vp9 -cpu-used 8 -deadline realtime", source(1.0)), 25),
        ("x8.webm", format!("{} -c:v libvpx -auto-alt-ref 1 -lag-in-frames 16", source(1.0)), 25),
        ("x.avi", format!("{} -c:v mpeg4 -bf 2", source(2.4)), 60),
        ("x.ts", format!("{} {x264}", source(2.4)), 60),
        ("x.mpg", format!("{} -c:v mpeg2video", source(2.4)), 60),
        ("x.flv", format!("{} {x264}", source(2.4)), 60),
        ("x.264", format!("{} {x264} -f h264", source(2.4)), 60),
        ("slow.mp4", format!("{} -vf setpts=PTS*500 -fps_mode vfr {x264}", source(0.4)), 10),
        ("late.mkv", format!("{} -vf setpts=PTS+100/TB {x264} -copyts", source(2.4)), 60),
        ("vary.mp4", format!("{} -vf select=not(mod(n\\,7))+gt(n\\,40) -fps_mode vfr {x264}", source(2.4)), 25),
        ("fragments.mp4", format!("{} {x264} -g 10 -movflags frag_keyframe+empty_moov", source(2.4)), 60),
        ("sound.mp4", format!("{} {sound} {x264} -c:a aac", source(2.4)), 60),
        ("sound.flv", format!("{} {long} {x264} -c:a aac", source(2.0)), 50),
        ("sound.wmv", format!("{} {long} -c:v wmv2 -c:a wmav2", source(2.0)), 50),
        ("sound.nut", format!("{} {long} {x264} -bf 0 -c:a pcm_s16le", source(2.0)), 50),
        ("field.mp4", format!("{} -vf interlace {x264} -flags +ildct", source(2.4)), 30),
        ("dup.avi", format!("{} -vf decimate=cycle=2 -fps_mode cfr -r 25 -c:v mpeg4", source(2.4)), 60),
    ];
    for (name, words, expected) in all {
        let path = folder.path().join(name);
        make(&words, &path);
        let (count, error) = frames(&path, &tools);
        assert!(error.is_none(), "{name}: {count} frames, {}", error.unwrap());
        assert!(count.abs_diff(expected) <= 1, "{name}: {count} of {expected} frames");
    }
}

/// Not a lie either: the frames before the cut, back to the key frame, are in the file and counted, and its edit list hides them.
#[test]
fn a_cut_without_encoding_is_read_to_its_end() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (whole, cut) = (folder.path().join("whole.mp4"), folder.path().join("cut.mp4"));
    let source = "-f lavfi -i testsrc=size=96x64:rate=25:duration=10";
    make(&format!("{source} -c:v libx264 -preset veryfast -bf 0 -g 250 -sc_threshold 0 -pix_fmt yuv420p"), &whole);
    make(&format!("-ss 8 -i {} -t 1.5 -c copy", whole.display()), &cut);
    for tools in [tools.clone(), embedded()] {
        let (count, error) = frames(&cut, &tools);
        assert!(error.is_none() && (36..=40).contains(&count), "{count}: {error:?}");
    }
    let info = open(&cut, &embedded()).unwrap().info().clone();
    assert!(info.frames.unwrap() <= 40 && info.duration.unwrap() < 1.7, "{info:?}");
    // One frame is shown of all that are there.
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, patched(&bytes, &[("moov/trak/edts/elst", 16, 1)])).unwrap();
    assert!(contradiction(&cut, &tools).starts_with("ends after 1 of 2"));
}

/// Whoever decodes a damaged file twice is told the same twice, to the byte.
#[test]
fn messages_are_the_same_in_every_run() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = good(folder.path());
    let (data, length) = find(&bytes, "mdat");
    bytes[data + length / 4..data + length].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(31));
    let text = folder.path().join("text.mp4");
    std::fs::write(&text, vec![b'x'; 3000]).unwrap();
    let damaged = folder.path().join("damaged.mp4");
    std::fs::write(&damaged, &bytes).unwrap();
    // Another folder, another name: the reason without the path stays the same.
    let elsewhere = folder.path().join("else where");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::copy(&damaged, elsewhere.join("copy.mp4")).unwrap();
    for tools in [tools, embedded()] {
        for path in [&text, &damaged] {
            let once = common::error(path, &tools).without_path();
            assert!(!once.contains("0x") && !once.contains(" @ ") && !once.contains("/tmp"), "{once}");
            for _ in 0..5 {
                assert_eq!(common::error(path, &tools).without_path(), once);
            }
        }
        let copy = common::error(&elsewhere.join("copy.mp4"), &tools);
        assert_eq!(copy.without_path(), common::error(&damaged, &tools).without_path());
    }
}

/// Of real people's videos none is called inconsistent.
#[test]
fn real_videos_are_not_refused() {
    let (Some(tools), Some(shared)) = (ffmpeg(), common::shared()) else { return };
    let mut count = 0;
    for entry in std::fs::read_dir(shared.join("faces")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "mp4" || e == "mov") && path.metadata().unwrap().len() < 2 << 20 {
            let (frames, error) = frames(&path, &tools);
            assert!(error.is_none() && frames > 50, "{}: {frames}, {error:?}", path.display());
            count += 1;
        }
    }
    println!("{count} videos");
    let lie = shared.join("cases/hostile/lie_timescale0.mp4");
    if lie.is_file() {
        // FFmpeg's own words about the time scale stand behind it.
        assert!(contradiction(&lie, &tools).starts_with("ends after 1 of 175 frames"));
    }
}
