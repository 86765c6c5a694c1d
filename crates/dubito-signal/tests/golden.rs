//! Filters, CHROM, POS, G-PPG, spectra and PPG maps against NumPy and SciPy (`golden/signals.py`).
#![allow(clippy::unwrap_used)]

use std::f64::consts::TAU;

use dubito_signal::filters::{Filter, detrend};
use dubito_signal::methods::{chrom, green, pos};
use dubito_signal::spectrum::{fine, half_width};
use dubito_signal::{Grid, Method, ppg_map, ppg_maps};
use serde_json::Value;

/// The traces of `signals.py`.
fn traces(frames: usize, rate: f64) -> Grid {
    let base = [150.0, 110.0, 90.0];
    let depth = [0.33 * 0.006, 0.77 * 0.006, 0.53 * 0.006];
    let last = (frames - 1) as f64 / rate;
    let colour = |region: usize, frame: usize| {
        let (t, r) = (frame as f64 / rate, region as f64);
        let pulse = (TAU * 1.3 * t + 0.02 * r).sin() + 0.3 * (2.0 * TAU * 1.3 * t).sin();
        let light = 0.03 * (TAU * 0.21 * t + 0.3 * r).sin();
        let motion = 0.004 * (TAU * 2.9 * t * t / (last + 1.0) + r).sin();
        [0, 1, 2].map(|k| {
            let odd = 0.002 * (37.7 * t * (1.0 + 0.1 * k as f64) + r).sin();
            let moved = motion * [1.0, 0.8, 0.9][k];
            base[k] * (1.0 + light + moved + odd - depth[k] * pulse * (1.0 + 0.1 * (region % 5) as f64))
        })
    };
    let colours = (0..32).map(|r| (0..frames).map(|t| colour(r, t)).collect()).collect();
    Grid { rate, start: 0.0, colours, gaps: 0 }
}

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/signals.json")).unwrap()
}

fn list(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Every value within 1e-6 of the largest.
fn same(name: &str, ours: &[f64], theirs: &Value) {
    let theirs = list(theirs);
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let largest = theirs.iter().fold(0.0f64, |a, v| a.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        assert!((a - b).abs() <= 1e-6 * largest, "{name}[{i}]: {a} against {b}");
    }
}

#[test]
fn filters_are_scipys() {
    let signal: Vec<f64> = (0..90).map(|i| (0.05 * f64::from(i).powf(1.3)).cos() + 0.02 * f64::from(i)).collect();
    for case in golden()["filters"].as_array().unwrap() {
        let number = |name: &str| case[name].as_f64().unwrap();
        let order = case["order"].as_u64().unwrap() as usize;
        let filter = Filter::butterworth_band_pass(order, number("low"), number("high"), number("rate")).unwrap();
        same("b", &filter.b, &case["b"]);
        same("a", &filter.a, &case["a"]);
        same("filtfilt", &filter.zero_phase(&signal).unwrap(), &case["filtered"]);
        let short = filter.zero_phase(&signal[..filter.padding()]).unwrap_err().to_string();
        assert!(short.contains("padding"), "{short}");
    }
    for (order, low, high) in [(0, 1.0, 2.0), (2, 2.0, 1.0), (2, 0.0, 1.0), (2, 1.0, 15.0), (2, f64::NAN, 3.0)] {
        assert!(Filter::butterworth_band_pass(order, low, high, 30.0).is_err(), "{order} {low} {high}");
    }
}

#[test]
fn waves_and_spectra_are_numpys() {
    for case in golden()["cases"].as_array().unwrap() {
        let (frames, rate) = (case["frames"].as_u64().unwrap() as usize, case["rate"].as_f64().unwrap());
        let grid = traces(frames, rate);
        let colours = &grid.colours[case["region"].as_u64().unwrap() as usize];
        for (t, theirs) in case["colours"].as_array().unwrap().iter().enumerate() {
            same("colours", &colours[t], theirs);
        }
        same("chrom", &chrom(colours, rate, 1.6).unwrap(), &case["chrom"]);
        same("pos", &pos(colours, rate, 1.6).unwrap(), &case["pos"]);
        same("green", &green(colours), &case["green"]);
        same("detrended", &detrend(&green(colours), 100.0), &case["detrended"]);
        let wave = Method::Chrom.wave(colours, rate).unwrap();
        same("chrom, filtered", &wave, &case["chrom_filtered"]);
        let spectrum = fine(&wave, rate);
        same("power", &spectrum.power[..40], &case["power"]);
        let peak = spectrum.peak().unwrap();
        assert!((peak - case["peak"].as_f64().unwrap()).abs() < 1e-6, "{peak}");
        let snr = spectrum.signal_to_noise(peak, half_width(frames as f64 / rate)).unwrap();
        let theirs = case["snr"].as_f64().unwrap();
        assert!((snr - theirs).abs() < 1e-6 * theirs, "{snr} against {theirs}");
    }
}

#[test]
fn maps_are_numpys() {
    let grid = traces(150, 30.0);
    for case in golden()["maps"].as_array().unwrap() {
        let number = |name: &str| case[name].as_u64().unwrap() as usize;
        let (omega, start) = (number("omega"), number("start"));
        let map = ppg_map(&grid, Method::Chrom, omega, start).unwrap();
        assert_eq!((map.values.len(), map.omega, map.start), (64 * omega, omega, start));
        for (row, theirs) in case["rows"].as_array().unwrap().iter().zip(case["values"].as_array().unwrap()) {
            let row = row.as_u64().unwrap() as usize;
            let ours: Vec<f64> = map.values[row * omega..][..omega].iter().map(|v| f64::from(*v)).collect();
            same("row", &ours, theirs);
        }
        let sum: f64 = map.values.iter().map(|v| f64::from(*v)).sum();
        let theirs = case["sum"].as_f64().unwrap();
        assert!((sum - theirs).abs() < 1e-6 * theirs, "{sum} against {theirs}");
    }
    let maps = ppg_maps(&grid, Method::Green, 64, 32).unwrap();
    let starts: Vec<usize> = maps.iter().map(|m| m.as_ref().unwrap().start).collect();
    assert_eq!(starts, [0, 32, 64]);
    let said = ppg_map(&grid, Method::Chrom, 128, 60).unwrap_err().to_string();
    assert!(said.contains("60 to 188") && said.contains("150"), "{said}");
    assert!(ppg_map(&grid, Method::Chrom, 8, 0).is_err());
    assert!(ppg_map(&grid, Method::Pos, 32, 0).unwrap_err().to_string().contains("1.6 s"));
    assert!(ppg_maps(&grid, Method::Chrom, 256, 1).is_err());
    let mut grey = grid.clone();
    grey.colours.iter_mut().flatten().for_each(|c| *c = [c[1]; 3]);
    assert!(ppg_map(&grey, Method::Chrom, 64, 0).unwrap_err().to_string().contains("grey"));
}
