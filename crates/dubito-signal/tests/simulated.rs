//! The pulse of simulated people, whose truth is known: over seeds, skin tones and noise.
#![allow(clippy::unwrap_used)]

use dubito_signal::{Method, Traces, measure};
use dubito_sim::{Performance, PerformanceConfig, Subject, SubjectConfig, frames};

/// Traces of a person by the true landmarks, and the mean pulse rate over the same frames.
fn filmed(seed: u64, tone: u8, amplitude: f32, noise: f32, motion: f32, count: usize) -> (Traces, f64) {
    let mut config = PerformanceConfig::from_seed(seed);
    (config.camera.width, config.camera.height) = (128, 128);
    config.camera.shot_noise *= noise;
    config.camera.read_noise *= noise;
    config.pulse.amplitude = amplitude;
    config.motion = motion;
    let performance = Performance::from_config(config).unwrap();
    let subject = Subject::from_config(SubjectConfig::from_seed_and_tone(seed, tone)).unwrap();
    let mut traces = Traces::default();
    let mut rate = 0.0;
    for frame in frames(&subject, &performance).take(count) {
        rate += f64::from(frame.truth.pulse_rate) / count as f64;
        traces.push(&frame.image, Some(&frame.landmarks), frame.truth.time).unwrap();
    }
    (traces, rate)
}

#[test]
fn heart_rates_are_within_one_beat_whatever_the_skin() {
    // 128 pixels hold a face of some 60: noise is averaged over few of them.
    for (seed, tone, noise) in [(1, 2, 1.0), (2, 5, 0.5), (3, 8, 0.5), (4, 10, 0.25)] {
        let (traces, truth) = filmed(seed, tone, 0.01, noise, 0.5, 300);
        for method in [Method::Chrom, Method::Pos] {
            let reading = measure(&traces, method).unwrap();
            println!(
                "seed {seed}, tone {tone}: {method} {:.2} bpm ({truth:.2}), {:.1} dB",
                reading.heart_rate_bpm, reading.snr_db
            );
            assert!((reading.heart_rate_bpm - truth).abs() < 1.0, "{method}: {} {truth}", reading.heart_rate_bpm);
            assert!(reading.snr_db > 0.0, "{}", reading.snr_db);
        }
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let (traces, _) = filmed(1, 3, 0.01, 1.0, 0.5, 60);
    let said = measure(&traces, Method::Chrom).unwrap_err();
    assert!(said.status() == "too_short" && said.to_string().contains("2.4 s"), "{said}");

    let mut config = PerformanceConfig::from_seed(5);
    (config.camera.width, config.camera.height) = (96, 96);
    let front = Performance::from_config(config.clone()).unwrap();
    config.direction = [45.0, 25.0, 0.0];
    config.motion = 0.0;
    let aside = Performance::from_config(config).unwrap();
    let subject = Subject::new(5);
    let (mut turned, mut still, mut grey) = (Traces::default(), Traces::default(), Traces::default());
    let first = frames(&subject, &front).next().unwrap();
    for (i, frame) in frames(&subject, &aside).take(10).enumerate() {
        turned.push(&frame.image, Some(&frame.landmarks), i as f64 / 25.0).unwrap();
    }
    for i in 0..160 {
        still.push(&first.image, Some(&first.landmarks), f64::from(i) / 25.0).unwrap();
        let mut image = first.image.clone();
        image.pixels_mut().for_each(|p| p.0 = [p.0[1].saturating_add(i as u8 % 5); 3]);
        grey.push(&image, Some(&first.landmarks), f64::from(i) / 25.0).unwrap();
    }
    assert_eq!(measure(&turned, Method::Chrom).unwrap_err().status(), "turned_away");
    for method in Method::ALL {
        assert_eq!(measure(&still, method).unwrap_err().status(), "still", "{method}");
        assert_eq!(measure(&grey, method).unwrap_err().status(), "grey", "{method}");
    }
}

#[test]
fn dropped_frames_and_jitter_cost_little() {
    let (whole, truth) = filmed(6, 4, 0.01, 0.5, 0.3, 300);
    let mut config = PerformanceConfig::from_seed(6);
    (config.camera.width, config.camera.height) = (128, 128);
    config.camera.shot_noise *= 0.5;
    config.camera.read_noise *= 0.5;
    config.pulse.amplitude = 0.01;
    config.motion = 0.3;
    let performance = Performance::from_config(config).unwrap();
    let subject = Subject::from_config(SubjectConfig::from_seed_and_tone(6, 4)).unwrap();
    let mut gappy = Traces::default();
    for frame in frames(&subject, &performance).take(300) {
        match frame.truth.frame {
            n if n % 11 == 3 => {}
            n if (100..106).contains(&n) => {
                gappy.push(&frame.image, None, frame.truth.time).unwrap();
            }
            _ => {
                gappy.push(&frame.image, Some(&frame.landmarks), frame.truth.time).unwrap();
            }
        }
    }
    let (a, b) = (measure(&whole, Method::Chrom).unwrap(), measure(&gappy, Method::Chrom).unwrap());
    assert_eq!(b.gaps, 0);
    assert!((a.heart_rate_bpm - truth).abs() < 1.0 && (b.heart_rate_bpm - truth).abs() < 1.5, "{truth} {b:?}");
}
