//! The pulse of a real face against a contact sensor, and what is said where there is none.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use dubito_face::FaceModels;
use dubito_media::{Codec, EncodeSettings, Tools, Writer};
use dubito_signal::Method;
use dubito_study::pulse::{figure, pulse};
use image::{Rgb, RgbImage};

fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/faces")).join(name);
    if !path.exists() {
        println!("skipped: no shared data");
        return None;
    }
    Some(path)
}

/// The largest correlation of two waves of one rate, one shifted by up to `lag` values.
fn correlation(a: &[f64], b: &[f64], lag: usize) -> f64 {
    let n = a.len().min(b.len());
    let at = |shift: usize, first: &[f64], second: &[f64]| {
        let (a, b) = (&first[shift..n], &second[..n - shift]);
        let m = a.len() as f64;
        let (ma, mb) = (a.iter().sum::<f64>() / m, b.iter().sum::<f64>() / m);
        let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - ma, b - mb)).sum::<f64>();
        sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
    };
    (0..=lag).flat_map(|shift| [at(shift, a, b), at(shift, b, a)]).fold(-1.0, f64::max)
}

#[test]
fn the_pulse_is_that_of_a_contact_sensor() {
    let (Some(video), Some(truth)) = (shared("pulse.mp4"), shared("pulse_truth.csv")) else { return };
    let truth = std::fs::read_to_string(truth).unwrap();
    let sensor: Vec<f64> = truth.lines().skip(1).map(|l| l.split(',').next().unwrap().parse().unwrap()).collect();
    let models = FaceModels::cpu().unwrap();
    // The least that each method reaches, well below what it does reach (docs/PULSE.md).
    for (method, r) in [(Method::Chrom, 0.75), (Method::Pos, 0.70), (Method::Green, 0.60)] {
        let found = pulse(&video, &Tools::discover(), &models, method).unwrap();
        let reading = found.reading.as_ref().unwrap();
        let reached = correlation(&reading.wave, &sensor, (reading.rate / 2.0) as usize);
        println!("{method}: {:.2} bpm, {:.2} dB, r {reached:.3}", reading.heart_rate_bpm, reading.snr_db);
        assert!((reading.heart_rate_bpm - 75.5).abs() < 3.0, "{method}: {}", reading.heart_rate_bpm);
        assert!(reached > r, "{method}: {reached}");
        assert_eq!((found.status, found.frames, found.frames_seen), ("ok", 354, 354));
        if method == Method::Chrom {
            let drawn = figure(&found).unwrap();
            assert!(drawn.svg.contains("pulse.mp4") && drawn.png.len() > 1000);
        }
    }
}

#[test]
fn short_videos_and_videos_without_a_face_say_so() {
    let models = FaceModels::cpu().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = EncodeSettings { codec: Codec::Raw, frame_rate: 25.0 };
    let tools = Tools::discover();
    let mut writer = Writer::create(&folder.path().join("noise"), 64, 64, &settings, &tools).unwrap();
    for i in 0..6u32 {
        let pixel = |x: u32, y: u32| Rgb([(x * 7 + y * 3 + i) as u8, (x * y) as u8, (x ^ y) as u8]);
        writer.write(&RgbImage::from_fn(64, 64, pixel)).unwrap();
    }
    let path = writer.finish().unwrap().path;
    let found = pulse(&path, &tools, &models, Method::Chrom).unwrap();
    assert_eq!((found.status, found.frames, found.frames_seen), ("no_face", 6, 0));
    assert!(found.heart_rate_bpm.is_none() && found.reason.as_ref().unwrap().contains("6 frames"));
    assert!(figure(&found).unwrap().svg.contains("no face"));
    assert!(pulse(&folder.path().join("none.mp4"), &tools, &models, Method::Chrom).is_err());
    let Some(video) = shared("single_face.mp4") else { return };
    let found = pulse(&video, &tools, &models, Method::Chrom).unwrap();
    assert_eq!(found.status, "too_short", "{found:?}");
    assert!(found.reason.unwrap().contains("6.0 s are needed"));
}
