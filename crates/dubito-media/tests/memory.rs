//! Memory does not grow with a video's length. Alone in its file: it measures the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{embedded, ffmpeg, make};

/// Peak memory of this process so far, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_long_video_takes_no_more_memory_than_a_short_one() {
    let Some(tools) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = "-f lavfi -i color=gray:size=160x120:rate=25";
    let (short, long) = (folder.path().join("short.mp4"), folder.path().join("long.mp4"));
    make(&format!("{source}:duration=2 -c:v libx264 -preset ultrafast -pix_fmt yuv420p"), &short);
    make(&format!("{source}:duration=160 -c:v libx264 -preset ultrafast -pix_fmt yuv420p"), &long);
    for tools in [tools, embedded()] {
        let count = |path: &std::path::Path| dubito_media::open(path, &tools).unwrap().map(Result::unwrap).count();
        assert_eq!(count(&short), 50);
        let after_short = peak();
        assert_eq!(count(&long), 4000);
        let grown = peak() - after_short;
        println!("peak {} KiB, grown by {grown} KiB", peak());
        // 4000 frames are 225 MiB.
        assert!(grown < 8 * 1024, "grown by {grown} KiB");
    }
}
