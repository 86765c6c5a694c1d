//! Motion below a pixel grows by 1 + alpha, within 10 %, up to the bounds that the module's documentation states.
#![allow(clippy::unwrap_used)]

use std::f32::consts::TAU;

use dubito_signal::magnify::{Kind, Magnification, Plane, linear, magnify, phase};
use image::RgbImage;

const SIDE: usize = 128;
const FRAMES: usize = 16;
/// Cycles of the motion in a run: with 16 frames at 25 a second, 4.7 Hz.
const CYCLES: f32 = 3.0;

/// A run in which what `draw` draws moves across by `d * sin`; values at x, y from the middle.
fn run(d: f32, draw: impl Fn(f32, f32) -> f32) -> Vec<Plane> {
    let frame = |t: usize| {
        let shift = d * (TAU * CYCLES * t as f32 / FRAMES as f32).sin();
        let at = |i: usize| {
            let (x, y) = ((i % SIDE) as f32 - SIDE as f32 / 2.0, (i / SIDE) as f32 - SIDE as f32 / 2.0);
            100.0 + draw(x - shift, y)
        };
        Plane { width: SIDE, height: SIDE, values: (0..SIDE * SIDE).map(at).collect() }
    };
    (0..FRAMES).map(frame).collect()
}

/// The amplitude of the motion that `place` sees in frames: its sine at the cycle of the motion.
fn amplitude(frames: &[Plane], place: impl Fn(&Plane) -> f64) -> f64 {
    let sine = |t: usize| f64::from((TAU * CYCLES * t as f32 / FRAMES as f32).sin());
    frames.iter().enumerate().map(|(t, f)| place(f) * sine(t)).sum::<f64>() * 2.0 / FRAMES as f64
}

/// Where a grating of `length` pixels lies, by its phase in the middle rows.
fn grating_place(length: f32) -> impl Fn(&Plane) -> f64 {
    move |frame| {
        let (mut re, mut im) = (0.0, 0.0);
        for y in SIDE / 4..SIDE * 3 / 4 {
            for x in 0..SIDE {
                let angle = f64::from(TAU * (x as f32 - SIDE as f32 / 2.0) / length);
                let value = f64::from(frame.values[y * SIDE + x]) - 100.0;
                re += value * angle.cos();
                im += value * angle.sin();
            }
        }
        im.atan2(re) * f64::from(length) / std::f64::consts::TAU
    }
}

/// Where a Gaussian blob of `sigma` pixels lies: the shift of the blob in the middle that explains a frame best, to the
/// first order.
fn blob_place(sigma: f32) -> impl Fn(&Plane) -> f64 {
    move |frame| {
        let (mut shift, mut weight) = (0.0, 0.0);
        for (i, value) in frame.values.iter().enumerate() {
            let (x, y) = ((i % SIDE) as f32 - SIDE as f32 / 2.0, (i / SIDE) as f32 - SIDE as f32 / 2.0);
            let slope = f64::from(80.0 * x / (sigma * sigma) * (-(x * x + y * y) / (2.0 * sigma * sigma)).exp());
            shift += f64::from(*value) * slope;
            weight += slope * slope;
        }
        shift / weight
    }
}

fn options(alpha: f32, largest: f32) -> Magnification {
    Magnification { alpha, band: (3.0, 6.0), largest, ..Magnification::default() }
}

fn grows(what: &str, d: f32, alpha: f32, found: f64) {
    let ratio = found / f64::from((1.0 + alpha) * d);
    println!("{what}: d {d}, alpha {alpha}: {ratio:.3} of what was asked for");
    assert!((ratio - 1.0).abs() < 0.1, "{what}: d {d}, alpha {alpha}: {ratio}");
}

#[test]
fn gratings_move_farther_by_phase() {
    // Up to (1 + alpha) d = L / 4.
    for (length, d, alpha) in
        [(8.0, 0.05, 10.0), (8.0, 0.18, 10.0), (16.0, 0.3, 12.0), (32.0, 0.05, 50.0), (32.0, 0.3, 25.0)]
    {
        let frames = run(d, |x, _| 40.0 * (TAU * x / length).cos());
        let out = phase(&frames, &options(alpha, 0.3)).unwrap();
        grows(&format!("phase, grating {length}"), d, alpha, amplitude(&out, grating_place(length)));
    }
}

#[test]
fn gratings_move_farther_linearly() {
    // Up to (1 + alpha) d = L / 11; `largest` at the motion leaves the alpha as it is from L / 8 on.
    for (length, d, alpha) in [(16.0, 0.05, 10.0), (16.0, 0.13, 10.0), (32.0, 0.3, 8.0), (32.0, 0.05, 50.0)] {
        let frames = run(d, |x, _| 40.0 * (TAU * x / length).cos());
        let out = linear(&frames, &options(alpha, 0.01)).unwrap();
        grows(&format!("linear, grating {length}"), d, alpha, amplitude(&out, grating_place(length)));
    }
}

#[test]
fn blobs_move_farther_both_ways() {
    // The slope of a Gaussian of 3 pixels holds most at waves of 2 pi 3 = 19 pixels.
    let sigma = 3.0f32;
    for (d, alpha) in [(0.05, 10.0), (0.1, 10.0), (0.3, 3.0)] {
        let frames = run(d, |x, y| 80.0 * (-(x * x + y * y) / (2.0 * sigma * sigma)).exp());
        let before = amplitude(&frames, blob_place(sigma));
        assert!((before / f64::from(d) - 1.0).abs() < 0.02, "{before}");
        let out = linear(&frames, &options(alpha, 0.01)).unwrap();
        grows("linear, blob", d, alpha, amplitude(&out, blob_place(sigma)));
        // A lone blob is all envelope: a part of its motion is change of amplitude, which phases don't hold.
        let out = phase(&frames, &options(alpha, 0.3)).unwrap();
        let ratio = amplitude(&out, blob_place(sigma)) / f64::from((1.0 + alpha) * d);
        assert!((0.78..1.0).contains(&ratio), "{ratio}");
        let patch = |x: f32, y: f32| (TAU * x / 12.0).cos() * (-(x * x + y * y) / 800.0).exp();
        let out = phase(&run(d, |x, y| 40.0 * patch(x, y)), &options(alpha, 0.3)).unwrap();
        grows("phase, patch of a grating", d, alpha, amplitude(&out, grating_place(12.0)));
    }
}

#[test]
fn beyond_its_bound_linear_magnification_falls_short() {
    let (length, d, alpha) = (16.0, 0.3, 10.0);
    let frames = run(d, |x, _| 40.0 * (TAU * x / length).cos());
    let out = linear(&frames, &options(alpha, 0.01)).unwrap();
    let ratio = amplitude(&out, grating_place(length)) / f64::from((1.0 + alpha) * d);
    assert!(ratio < 0.8, "{ratio}");
    // Where the largest motion is said, such waves are amplified less.
    let said = linear(&frames, &options(alpha, 0.3)).unwrap();
    let less = amplitude(&said, grating_place(length)) / f64::from(d);
    assert!((1.5..8.0).contains(&less), "{less}");
}

#[test]
fn what_stands_still_or_is_out_of_the_band_stays() {
    let close = |a: &[Plane], b: &[Plane]| {
        a.iter().zip(b).all(|(a, b)| a.values.iter().zip(&b.values).all(|(a, b)| (a - b).abs() < 0.05))
    };
    let texture = |x: f32, y: f32| 30.0 * (0.4 * x).sin() * (0.23 * y).cos() + 10.0 * (0.05 * x * y).sin();
    let still = run(0.0, texture);
    assert!(close(&phase(&still, &options(20.0, 0.3)).unwrap(), &still));
    assert!(close(&linear(&still, &options(20.0, 0.3)).unwrap(), &still));
    let moving = run(0.02, |x, _| 40.0 * (TAU * x / 16.0).cos());
    let other = Magnification { band: (7.5, 12.0), ..options(20.0, 0.3) };
    assert!(close(&linear(&moving, &other).unwrap(), &moving));
    // By phase nearly: that of a sum is not the sum of phases.
    let out = phase(&moving, &other).unwrap();
    let found = amplitude(&out, grating_place(16.0));
    assert!((found / 0.02 - 1.0).abs() < 0.02, "{found}");
}

#[test]
fn crops_keep_their_colours_and_bad_input_is_said() {
    let crop = |t: u32| {
        RgbImage::from_fn(32, 32, |x, y| {
            let v = 100.0 + 50.0 * ((x as f32 - 0.2 * (t % 2) as f32) * 0.5).sin() + y as f32;
            image::Rgb([v as u8 + 20, v as u8, v as u8 - 20])
        })
    };
    let crops: Vec<RgbImage> = (0..8).map(crop).collect();
    let wide = Magnification { band: (1.0, 12.5), ..Magnification::default() };
    for kind in [Kind::Phase, Kind::Linear] {
        let out = magnify(&crops, kind, &wide).unwrap();
        assert_eq!(out.len(), 8);
        assert_ne!(out[1], crops[1]);
        let p = out[1].get_pixel(9, 9).0;
        assert_eq!((p[0] - p[1], p[1] - p[2]), (20, 20));
    }
    let said =
        |crops: &[RgbImage], options: Magnification| magnify(crops, Kind::Phase, &options).unwrap_err().to_string();
    assert!(said(&crops[..2], wide).contains("4 frames"));
    assert!(said(&crops, Magnification { alpha: -1.0, ..wide }).contains("alpha"));
    assert!(said(&crops, Magnification { band: (1.0, 2.0), ..wide }).contains("3.12 Hz"));
    assert!(said(&crops, Magnification { rate: 0.0, ..wide }).contains("rate"));
    let mut mixed = crops.clone();
    mixed[3] = RgbImage::new(20, 32);
    assert!(said(&mixed, wide).contains("frame 3"));
}
