//! Heart rates of simulated people against the truth, and what is read from people without a pulse.
//!
//!     simulated_pulse [PEOPLE [SIDE [FRAMES]]]        8 people of 192x192 pixels, 300 frames at 25 a second
//!
//! Prints one line for each amplitude of the pulse (0: none) and each factor on the sensor's noise: how many are within
//! 1 beat a minute, and the quartiles of the signal-to-noise ratio in decibels.

use dubito_signal::{Method, Traces, measure};
use dubito_sim::{Performance, PerformanceConfig, Subject, SubjectConfig, frames};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let mut next = |default: u64| arguments.next().unwrap_or(Ok(default));
    let (people, side, count) = (next(8)?, next(192)? as u32, next(300)? as usize);
    for (amplitude, noise) in [(0.0, 1.0), (0.005, 0.25), (0.005, 1.0), (0.01, 1.0)] {
        let mut read: [Vec<(f64, f64)>; 3] = Default::default();
        for person in 0..people {
            let mut config = PerformanceConfig::from_seed(100 + person);
            (config.camera.width, config.camera.height) = (side, side);
            config.camera.shot_noise *= noise;
            config.camera.read_noise *= noise;
            config.pulse.amplitude = amplitude;
            let performance = Performance::from_config(config)?;
            let tone = 1 + (person % 10) as u8;
            let subject = Subject::from_config(SubjectConfig::from_seed_and_tone(100 + person, tone))?;
            let (mut traces, mut truth) = (Traces::default(), 0.0);
            for frame in frames(&subject, &performance).take(count) {
                truth += f64::from(frame.truth.pulse_rate) / count as f64;
                traces.push(&frame.image, Some(&frame.landmarks), frame.truth.time)?;
            }
            for (method, read) in Method::ALL.into_iter().zip(&mut read) {
                let reading = measure(&traces, method)?;
                read.push(((reading.heart_rate_bpm - truth).abs(), reading.snr_db));
            }
        }
        for (method, read) in Method::ALL.into_iter().zip(&read) {
            let within = read.iter().filter(|(error, _)| *error < 1.0).count();
            let wrong = read.iter().filter(|(error, _)| *error >= 1.0).map(|(_, snr)| *snr);
            let wrong = wrong.fold(f64::NEG_INFINITY, f64::max);
            let mut snr: Vec<f64> = read.iter().map(|(_, snr)| *snr).collect();
            snr.sort_by(f64::total_cmp);
            let at = |share: f64| snr[((snr.len() - 1) as f64 * share).round() as usize];
            let quartiles = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| format!("{:.1}", at(share))).join(" | ");
            println!(
                "amplitude {amplitude}, noise x{noise}, {method}: {within} of {people} within 1 bpm; \
                 SNR {quartiles} dB; of the others at most {wrong:.1}"
            );
        }
    }
    Ok(())
}
