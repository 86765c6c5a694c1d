//! Write a report of synthetic predictions, to look at: `cargo run -p dubito-report --example synthetic -- OUT`.

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use std::path::PathBuf;

use dubito_report::{Example, Missing, Options, ReportInput, Scores, report::write_report_of};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = PathBuf::from(std::env::args().nth(1).unwrap_or("dubito-out/synthetic".into()));
    std::fs::create_dir_all(&out)?;
    let size = synthetic::Size { people: 16, frames: 16, samples: 50 };
    let predictions = out.join("predictions.parquet");
    synthetic::write(&predictions, &synthetic::rows(&size))?;
    let options = Options::default();
    let started = std::time::Instant::now();
    let scores = Scores::read(&[predictions], &options)?;
    println!("read in {:?}", started.elapsed());
    let examples = scores.examples();
    let input = ReportInput {
        title: "Synthetic detector on synthetic faces".into(),
        provenance: serde_json::json!({
            "command": ["dubito", "demo", "--faces", "faces", "--out", "dubito-out"],
            "seed": 7,
            "versions": { "dubito": env!("CARGO_PKG_VERSION"), "ffmpeg": "6.1" },
            "detector": { "architecture": "resnet18", "inference": "mc-dropout", "boundary": "head", "rate": 0.2 },
            "training": { "epochs": 12, "best": 9, "learning_rate": 0.001, "crop": 112 },
        }),
        facts: vec![("Compression".into(), "H.264, CRF 23".into())],
        missing: vec![Missing {
            video: "id99".into(),
            status: "no_face".into(),
            reason: "no face in any of 120 frames".into(),
            ..Missing::default()
        }],
        examples: examples
            .into_iter()
            .enumerate()
            .map(|(i, e)| Example { png: picture(i as u8), caption: e.caption, group: e.group })
            .collect(),
        notes: vec!["The faces are not faces: these numbers come from a formula.".into()],
        ..ReportInput::default()
    };
    write_report_of(&out, &scores, &input, &options)?;
    println!("{} after {:?}", out.join("report.html").display(), started.elapsed());
    Ok(())
}

/// A picture that stands where a face would.
fn picture(which: u8) -> Vec<u8> {
    let side = 112u32;
    let mut pixels = Vec::new();
    for y in 0..side {
        for x in 0..side {
            let r = (f64::from(x) - 56.0).hypot((f64::from(y) - 56.0) * 0.8);
            pixels.push(if r < 40.0 { 205 - 6 * which } else { 90 + (x / 3) as u8 });
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    if let Ok(mut writer) = encoder.write_header() {
        let _ = writer.write_image_data(&pixels);
    }
    bytes
}
