//! Files that are no video: each has its own error, with FFmpeg and without.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{embedded, error, ffmpeg};
use dubito_media::{Limits, MediaError, Tools};

fn both() -> Vec<Tools> {
    [ffmpeg(), Some(embedded())].into_iter().flatten().collect()
}

#[test]
fn what_is_no_video_has_an_error_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let empty = write("empty.mp4", b"");
    let text = write("text.mp4", b"This is a shopping list, not a video.\n");
    let zeros = write("zeros.mp4", &[0; 5000]);
    let png = write("broken.png", b"\x89PNG\r\n\x1a\nand no more");
    let jpeg = write("broken.jpg", b"\xff\xd8\xff and no more");
    for tools in both() {
        let failure = error(Path::new("/nowhere/at/all.mp4"), &tools);
        assert!(matches!(failure, MediaError::NotFound { .. }), "{failure}");
        let failure = error(folder.path(), &tools);
        assert!(matches!(failure, MediaError::NotAFile { kind: "folder", .. }), "{failure}");
        let failure = error(&empty, &tools);
        assert!(matches!(failure, MediaError::Empty { .. }), "{failure}");
        for path in [&text, &zeros, &png, &jpeg] {
            let failure = error(path, &tools);
            assert!(matches!(failure, MediaError::NotMedia { .. }), "{failure}");
            let message = failure.to_string();
            assert!(message.starts_with(&path.display().to_string()), "{message}");
            assert!(failure.hint().is_some());
        }
    }
}

#[cfg(unix)]
#[test]
fn special_files_and_closed_doors() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed.mp4");
    std::fs::write(&closed, b"x").unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    for tools in both() {
        let failure = error(Path::new("/dev/zero"), &tools);
        assert!(matches!(failure, MediaError::NotAFile { kind: "special file", .. }), "{failure}");
        // The superuser may read everything.
        if std::fs::File::open(&closed).is_err() {
            let failure = error(&closed, &tools);
            assert!(matches!(failure, MediaError::NoPermission { .. }), "{failure}");
        }
    }
}

#[test]
fn without_any_decoder_the_hint_says_what_to_install() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    std::fs::write(&path, b"whatever").unwrap();
    let failure = error(&path, &Tools::default());
    assert!(matches!(failure, MediaError::ToolMissing { .. }), "{failure}");
    assert!(failure.hint().unwrap().contains("install FFmpeg"));
}

#[test]
fn a_decoder_that_does_not_start_or_speaks_nonsense_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    std::fs::write(&path, b"whatever").unwrap();
    for command in ["/nowhere/worker", "/bin/false", "/bin/echo"] {
        let tools = Tools { embedded_worker: Some(vec![command.into()]), ..Tools::default() };
        let failure = error(&path, &tools);
        assert!(matches!(failure, MediaError::Tool { .. } | MediaError::Decode { .. }), "{command}: {failure}");
    }
    let tools = Tools { embedded_worker: Some(Vec::new()), ..Tools::default() };
    assert!(matches!(error(&path, &tools), MediaError::Setting { .. }));
}

#[test]
fn images_of_more_pixels_than_allowed_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.png");
    image::RgbImage::new(100, 50).save(&path).unwrap();
    let tools = Tools { limits: Limits { max_pixels: 4999, ..Limits::default() }, ..Tools::default() };
    let failure = error(&path, &tools);
    assert!(matches!(failure, MediaError::Limit { field: "max_pixels", .. }), "{failure}");
}
