//! `doctor`: what is found on this machine, and how to mend what isn't.

use std::path::Path;

use dubito_face::FaceModels;
use dubito_media::Tools;
use dubito_study::StudyError;
use serde_json::json;

use crate::args::Common;
use crate::output::{self, say};

/// One thing that was looked for.
struct Finding {
    name: &'static str,
    found: bool,
    what: String,
    hint: Option<String>,
}

/// Free space under which the demo may not fit.
const ENOUGH_DISK: u64 = 2 << 30;

/// Looks, and prints what was found. Nothing missing is an error: the hints say what it means.
pub fn doctor(common: &Common, tools: &Tools) -> Result<(), StudyError> {
    let mut findings = Vec::new();
    let report = tools.report();
    match &report.ffmpeg {
        Some(ffmpeg) => {
            let lacking = |codecs: &std::collections::BTreeMap<String, bool>| -> Vec<String> {
                codecs.iter().filter(|(_, there)| !**there).map(|(name, _)| name.clone()).collect()
            };
            let lacking: Vec<String> = lacking(&ffmpeg.encoders).into_iter().chain(lacking(&ffmpeg.decoders)).collect();
            findings.push(Finding {
                name: "FFmpeg",
                found: lacking.is_empty(),
                what: format!("{} at {}", ffmpeg.version, ffmpeg.ffmpeg.display()),
                hint: (!lacking.is_empty()).then(|| format!("this FFmpeg lacks {}", lacking.join(", "))),
            });
        }
        None => findings.push(Finding {
            name: "FFmpeg",
            found: false,
            what: "not on PATH, nor by DUBITO_FFMPEG".into(),
            hint: Some(
                "install it (Debian: apt-get install ffmpeg; macOS: brew install ffmpeg), or set DUBITO_FFMPEG; \
                 without it only 8-bit 4:2:0 H.264 in MP4 and pictures (PNG, JPEG, WebP, GIF, BMP, TIFF) can be read"
                    .into(),
            ),
        }),
    }
    findings.push(Finding {
        name: "embedded H.264",
        found: report.embedded,
        what: format!("OpenH264 {}", report.embedded_version),
        hint: (!report.embedded).then(|| "the program could not find its own path".into()),
    });
    let models = FaceModels::cpu();
    findings.push(Finding {
        name: "face models",
        found: models.is_ok(),
        what: models.as_ref().map_or_else(ToString::to_string, |_| "BlazeFace and Face Mesh, built in".into()),
        hint: models.is_err().then(|| "this build is broken: build it again".into()),
    });
    for described in dubito_nn::describe_devices() {
        let (name, what) = described.split_once(": ").unwrap_or(("device", &described));
        let name = if name == "gpu" { "gpu" } else { "cpu" };
        let found = !what.starts_with("not ");
        findings.push(Finding { name, found, what: what.to_owned(), hint: None });
    }
    findings.push(disk(&common.out));

    if common.json {
        let list: Vec<_> = findings
            .iter()
            .map(|f| json!({ "name": f.name, "found": f.found, "what": f.what, "hint": f.hint }))
            .collect();
        output::json(&json!({ "version": env!("CARGO_PKG_VERSION"), "findings": list }));
        return Ok(());
    }
    say!("dubito {}", env!("CARGO_PKG_VERSION"));
    for finding in &findings {
        say!("{:<4}{:<16}{}", if finding.found { "ok" } else { "--" }, finding.name, finding.what);
        if let Some(hint) = &finding.hint {
            say!("    hint: {hint}");
        }
    }
    Ok(())
}

fn disk(out: &Path) -> Finding {
    // The folder may not be there yet: the nearest one above it is on the same disk.
    let absolute = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    let there = absolute.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(there) {
        Ok(disk) => {
            let free = disk.f_bavail * disk.f_frsize;
            Finding {
                name: "disk",
                found: free >= ENOUGH_DISK,
                what: format!("{:.1} GB free for {}", free as f64 / 1e9, out.display()),
                hint: (free < ENOUGH_DISK)
                    .then(|| "the demo needs about 1 GB: free some, or choose another --out".into()),
            }
        }
        Err(error) => Finding {
            name: "disk",
            found: false,
            what: format!("{}: {error}", there.display()),
            hint: Some("choose another --out".into()),
        },
    }
}
