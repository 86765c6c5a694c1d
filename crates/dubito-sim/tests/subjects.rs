//! What is promised of simulated subjects: the same bits, known motion, known pulse, ordered tones.
#![allow(clippy::unwrap_used)]

use std::f64::consts::TAU;
use std::sync::OnceLock;

use dubito_sim::{HairStyle, Performance, PerformanceConfig, Pulse, Rendered, Subject, SubjectConfig, frames, render};

/// A bald and shaven subject whose skin nothing covers, and small pictures of it.
fn bare(seed: u64, tone: u8) -> Subject {
    let mut config = SubjectConfig::from_seed_and_tone(seed, tone);
    config.hair.style = HairStyle::Bald;
    (config.beard, config.moustache, config.glasses, config.skin.stubble) = (0.0, 0.0, None, 0.0);
    Subject::from_config(config).unwrap()
}

fn small(seed: u64) -> PerformanceConfig {
    let mut config = PerformanceConfig::from_seed(seed);
    (config.camera.width, config.camera.height) = (128, 96);
    config
}

fn subject() -> &'static Subject {
    static SUBJECT: OnceLock<Subject> = OnceLock::new();
    SUBJECT.get_or_init(|| bare(5, 4))
}

/// Mean stored green over pixels that are all face within a polygon of landmarks.
fn mean_green(frame: &Rendered, polygon: &[usize]) -> f64 {
    let points: Vec<[f32; 3]> = polygon.iter().map(|&i| frame.landmarks[i]).collect();
    let (mut sum, mut count) = (0.0, 0);
    for (x, y, pixel) in frame.image.enumerate_pixels() {
        let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
        let crossings = (0..points.len()).filter(|&i| {
            let (a, b) = (points[i], points[(i + 1) % points.len()]);
            (a[1] <= py) != (b[1] <= py) && px < a[0] + (py - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
        });
        if crossings.count() % 2 == 1 && frame.face_mask.get_pixel(x, y).0[0] == 255 {
            sum += f64::from(pixel.0[1]);
            count += 1;
        }
    }
    assert!(count > 20, "only {count} pixels");
    sum / f64::from(count)
}

const RIGHT_CHEEK: [usize; 21] =
    [116, 117, 118, 119, 120, 121, 114, 217, 126, 209, 49, 129, 203, 206, 216, 212, 214, 192, 213, 147, 123];
const LEFT_CHEEK: [usize; 21] =
    [345, 346, 347, 348, 349, 350, 343, 437, 355, 429, 279, 358, 423, 426, 436, 432, 434, 416, 433, 376, 352];

fn gap(frame: &Rendered, a: usize, b: usize) -> f32 {
    let (p, q) = (frame.landmarks[a], frame.landmarks[b]);
    ((p[0] - q[0]).powi(2) + (p[1] - q[1]).powi(2)).sqrt()
}

/// The hashes were made on x86-64 Linux; every machine must give the same.
#[test]
fn frames_are_what_they_were() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/frames.json")).unwrap();
    let mut found = serde_json::Map::new();
    for seed in [2u64, 9] {
        let performance = Performance::from_config(small(seed)).unwrap();
        let frame = render(&Subject::new(seed), &performance, 17);
        let mut hasher = blake3::Hasher::new();
        hasher.update(frame.image.as_raw()).update(frame.face_mask.as_raw());
        for value in frame.landmarks.iter().flatten() {
            hasher.update(&value.to_le_bytes());
        }
        hasher.update(serde_json::to_string(&frame.truth).unwrap().as_bytes());
        found.insert(seed.to_string(), hasher.finalize().to_hex().to_string().into());
    }
    assert_eq!(serde_json::Value::from(found), golden);
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads_and_another_seed_another_person() {
    let performance = Performance::from_config(small(5)).unwrap();
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let frame = |threads, seed| pool(threads).install(|| render(&bare(seed, 4), &performance, 3));
    let (one, three, other) = (frame(1, 5), frame(3, 5), frame(2, 6));
    assert_eq!((&one.image, &one.face_mask, &one.landmarks), (&three.image, &three.face_mask, &three.landmarks));
    assert_ne!(one.landmarks, other.landmarks);
    assert_ne!(one.image, other.image);
    // In order or not.
    assert_eq!(frames(subject(), &performance).nth(3).unwrap().image, one.image);
}

#[test]
fn configurations_survive_json_and_bad_ones_are_refused_by_name() {
    let config = SubjectConfig::from_seed(7);
    let back: SubjectConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(back, config);
    let error = Subject::from_config(SubjectConfig { tone: 11, ..config.clone() }).unwrap_err();
    assert_eq!(error.to_string(), "tone: is 11, expected 1 to 10 on the Monk scale");
    let mut bad = config;
    bad.shape.nose_tip = f32::NAN;
    assert!(Subject::from_config(bad).unwrap_err().to_string().starts_with("shape.nose_tip: is NaN"));
    let mut bad = PerformanceConfig::from_seed(7);
    bad.camera.width = 0;
    assert!(Performance::from_config(bad).unwrap_err().to_string().starts_with("camera.width: is 0"));
}

#[test]
fn darker_tones_give_darker_faces() {
    let performance = Performance::from_config(small(2)).unwrap();
    let light: Vec<f64> =
        (1..=10).map(|tone| mean_green(&render(&bare(2, tone), &performance, 0), &RIGHT_CHEEK)).collect();
    assert!(light.windows(2).all(|pair| pair[0] > pair[1] + 3.0), "{light:?}");
}

#[test]
fn speech_and_blinks_show_in_the_landmarks() {
    let mut config = small(5);
    config.motion = 0.0;
    let performance = Performance::from_config(config).unwrap();
    let truths: Vec<_> = (0..200).map(|n| performance.truth(n)).collect();
    let most = |f: fn(&dubito_sim::Truth) -> f32| truths.iter().max_by(|a, b| f(a).total_cmp(&f(b))).unwrap().frame;
    let at = |frame| render(subject(), &performance, frame);
    let (open, shut) = (at(most(|t| t.mouth_opening)), at(most(|t| -t.mouth_opening)));
    assert!(gap(&open, 13, 14) > gap(&shut, 13, 14) + 2.0, "{} {}", gap(&open, 13, 14), gap(&shut, 13, 14));
    let (awake, blink) = (at(most(|t| t.eye_opening)), at(most(|t| -t.eye_opening)));
    for (upper, lower) in [(159, 145), (386, 374)] {
        assert!(gap(&awake, upper, lower) > 4.0 * gap(&blink, upper, lower));
    }
    // Syllables: between two and eight openings a second while speaking.
    let peaks = truths.windows(3).filter(|t| {
        t[1].mouth_opening > 0.15 && t[1].mouth_opening > t[0].mouth_opening && t[1].mouth_opening >= t[2].mouth_opening
    });
    assert!((10..=45).contains(&peaks.count()));
}

#[test]
fn the_pulse_is_in_the_cheeks_at_its_rate_and_phase() {
    let mut config = small(5);
    (config.motion, config.speech, config.blink_rate) = (0.0, 0.0, 0.0);
    config.camera.frame_rate = 12.5;
    // As much noise as 8 bits need to show what lies between two values; little enough to time the pulse to 20 ms.
    (config.camera.shot_noise, config.camera.read_noise) = (0.0, 0.0025);
    config.pulse = Pulse { rate: 75.0, phase: 0.3, amplitude: 0.005, variability: 0.0 };
    let performance = Performance::from_config(config).unwrap();
    // Eight seconds: ten beats.
    let clip: Vec<Rendered> = frames(subject(), &performance).take(100).collect();
    let cheeks: Vec<f64> =
        clip.iter().map(|f| (mean_green(f, &RIGHT_CHEEK) + mean_green(f, &LEFT_CHEEK)) / 2.0).collect();
    let mean = cheeks.iter().sum::<f64>() / cheeks.len() as f64;
    let line = |turns: f64| {
        let sum = |f: fn(f64) -> f64| -> f64 {
            cheeks.iter().enumerate().map(|(n, g)| (g - mean) * f(TAU * turns * n as f64 / 100.0)).sum()
        };
        (sum(f64::cos) / 50.0, sum(f64::sin) / 50.0)
    };
    let power = |turns: f64| line(turns).0.hypot(line(turns).1);
    // 45 to 180 beats a minute.
    let strongest = (6..=24).max_by(|&a, &b| power(f64::from(a)).total_cmp(&power(f64::from(b)))).unwrap();
    assert_eq!(strongest, 10, "{:?}", (6..=24).map(|k| power(f64::from(k))).collect::<Vec<_>>());
    // Darkest where the pulse is highest, some milliseconds later.
    let truth: Vec<f64> = clip.iter().map(|f| f64::from(f.truth.pulse)).collect();
    let (c, s) = line(10.0);
    let sum = |f: fn(f64) -> f64| -> f64 {
        truth.iter().enumerate().map(|(n, p)| -p * f(TAU * 10.0 * n as f64 / 100.0)).sum()
    };
    let lag = (s.atan2(c) - sum(f64::sin).atan2(sum(f64::cos))) / TAU;
    let lag = (lag - lag.round()) / 1.25;
    let map = subject().pulse_map();
    let delay = RIGHT_CHEEK.iter().chain(&LEFT_CHEEK).map(|&i| f64::from(map[i][1])).sum::<f64>() / 42.0;
    assert!((lag - delay).abs() < 0.02, "{lag} s, expected {delay} s");
    // Half a per cent of light, times the blood supply, is a bit under a quarter of a per cent of the stored value.
    let relative = c.hypot(s) / mean;
    assert!((0.0005..0.003).contains(&relative), "{relative}");
}
