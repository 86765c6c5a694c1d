//! What the person does and who films it: pose, speech, blinks, pulse, camera, as functions of time.
//!
//! Everything is a function of (configuration, time), so any frame can be asked for, in any order.

use serde::{Deserialize, Serialize};

use crate::error::{SimError, within};
use crate::math::{cos, mix, sin, smoothstep};
use crate::random::{Draws, hash, noise1, unit};

const TAU: f32 = std::f32::consts::TAU;

/// A performance in numbers: [`PerformanceConfig::from_seed`] draws it, any part may then be changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerformanceConfig {
    /// Seed of the movements and of the sensor's noise.
    pub seed: u64,
    /// The camera.
    pub camera: Camera,
    /// The pulse in the skin.
    pub pulse: Pulse,
    /// How much the head moves, as a factor, 0 (quite still, not even heartbeat and breath move it) to 2; at 1
    /// yaw spreads over some ten degrees.
    pub motion: f32,
    /// Mean direction of the head in degrees: yaw (positive: to the picture's right), pitch (positive: down), roll
    /// (positive: clockwise), each -45 to 45.
    pub direction: [f32; 3],
    /// How much is spoken, 0 (silent) to 1.
    pub speech: f32,
    /// Syllables a second while speaking, 2 to 8.
    pub syllable_rate: f32,
    /// Blinks a minute, 0 to 40.
    pub blink_rate: f32,
    /// Breaths a minute, 5 to 40.
    pub breath_rate: f32,
}

/// The camera: a pinhole before the face with a noisy sensor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Pixels across, 32 to 4096.
    pub width: u32,
    /// Pixels down, 32 to 4096.
    pub height: u32,
    /// Frames a second, above 0 to 240.
    pub frame_rate: f32,
    /// Focal length in picture heights, 0.5 to 10.
    pub focal: f32,
    /// Distance from the middle of the head in centimetres, 35 to 400.
    pub distance: f32,
    /// Height above the middle of the head in centimetres, -30 to 30.
    pub height_above: f32,
    /// Shot noise: the variance at full scale in linear light, 0 to 0.01.
    pub shot_noise: f32,
    /// Read noise: the standard deviation in linear light, 0 to 0.05.
    pub read_noise: f32,
}

/// The pulse in the skin (photoplethysmogram).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pulse {
    /// Mean rate in beats a minute, 30 to 220.
    pub rate: f32,
    /// Phase at time 0 in turns, 0 to 1.
    pub phase: f32,
    /// Amplitude in green, relative to the skin's light, where the blood supply is best, 0 to 0.1. Red has 0.35 of
    /// it and blue 0.55 (the order of Verkruysse, Svaasand and Nelson, Optics Express 2008).
    pub amplitude: f32,
    /// How far breathing carries the rate away from its mean, as a fraction, 0 to 0.2 (sinus arrhythmia).
    pub variability: f32,
}

impl PerformanceConfig {
    /// A performance drawn by seed: 640x480 at 25 frames a second, 50 to 100 beats a minute, speaking, blinking.
    pub fn from_seed(seed: u64) -> Self {
        let mut d = Draws::new(seed, 10);
        Self {
            seed,
            camera: Camera {
                width: 640,
                height: 480,
                frame_rate: 25.0,
                focal: 1.45,
                distance: d.range(55.0, 68.0),
                height_above: d.range(-4.0, 4.0),
                shot_noise: d.range(0.0001, 0.0004),
                read_noise: d.range(0.001, 0.004),
            },
            pulse: Pulse { rate: d.range(50.0, 100.0), phase: d.uniform(), amplitude: 0.005, variability: 0.03 },
            motion: d.range(0.5, 1.4),
            direction: [d.normal() * 5.0, d.normal() * 3.0, d.normal() * 2.0],
            speech: d.range(0.6, 1.0),
            syllable_rate: d.range(3.2, 5.8),
            blink_rate: d.range(8.0, 22.0),
            breath_rate: d.range(11.0, 19.0),
        }
    }

    fn check(&self) -> Result<(), SimError> {
        let c = &self.camera;
        within("camera.width", c.width as f32, 32.0, 4096.0, "32 to 4096 pixels")?;
        within("camera.height", c.height as f32, 32.0, 4096.0, "32 to 4096 pixels")?;
        within("camera.frame_rate", c.frame_rate, 1e-3, 240.0, "above 0 to 240 frames a second")?;
        within("camera.focal", c.focal, 0.5, 10.0, "0.5 to 10 picture heights")?;
        within("camera.distance", c.distance, 35.0, 400.0, "35 to 400 centimetres")?;
        within("camera.height_above", c.height_above, -30.0, 30.0, "-30 to 30 centimetres")?;
        within("camera.shot_noise", c.shot_noise, 0.0, 0.01, "0 to 0.01")?;
        within("camera.read_noise", c.read_noise, 0.0, 0.05, "0 to 0.05")?;
        within("pulse.rate", self.pulse.rate, 30.0, 220.0, "30 to 220 beats a minute")?;
        within("pulse.phase", self.pulse.phase, 0.0, 1.0, "0 to 1 turn")?;
        within("pulse.amplitude", self.pulse.amplitude, 0.0, 0.1, "0 to 0.1")?;
        within("pulse.variability", self.pulse.variability, 0.0, 0.2, "0 to 0.2")?;
        within("motion", self.motion, 0.0, 2.0, "0 to 2")?;
        for angle in self.direction {
            within("direction", angle, -45.0, 45.0, "-45 to 45 degrees")?;
        }
        within("speech", self.speech, 0.0, 1.0, "0 to 1")?;
        within("syllable_rate", self.syllable_rate, 2.0, 8.0, "2 to 8 syllables a second")?;
        within("blink_rate", self.blink_rate, 0.0, 40.0, "0 to 40 blinks a minute")?;
        within("breath_rate", self.breath_rate, 5.0, 40.0, "5 to 40 breaths a minute")
    }
}

/// Where the head is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// Degrees, positive towards the picture's right.
    pub yaw: f32,
    /// Degrees, positive down.
    pub pitch: f32,
    /// Degrees, positive clockwise as seen in the picture.
    pub roll: f32,
    /// How far the head has moved from its mean place in centimetres: to the right, up, towards the camera.
    pub shift: [f32; 3],
}

/// What is true of one frame, to test what is measured from its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Which frame, from 0.
    pub frame: u64,
    /// Its time in seconds.
    pub time: f64,
    /// The pulse wave where it arrives first, -1 to 1; skin is darkest at 1, where most blood is in it.
    pub pulse: f32,
    /// The pulse's phase in turns, 0 to 1; its slope over time is the rate.
    pub pulse_phase: f32,
    /// The pulse's rate at this moment in beats a minute.
    pub pulse_rate: f32,
    /// Where the head is.
    pub pose: Pose,
    /// How far the jaw is open, 0 (lips closed) to 1 (as far as it goes).
    pub mouth_opening: f32,
    /// -1 (lips pursed) to 1 (drawn wide).
    pub mouth_spread: f32,
    /// How far the lids are open, 0 (closed) to 1.
    pub eye_opening: f32,
    /// Where the eyes look from the camera, in degrees: to the picture's right, down.
    pub gaze: [f32; 2],
    /// The chest's rise, -1 to 1.
    pub breath: f32,
}

/// A performance: what the person does and who films it.
#[derive(Debug, Clone, PartialEq)]
pub struct Performance {
    config: PerformanceConfig,
}

impl Performance {
    /// A performance drawn by seed, see [`PerformanceConfig::from_seed`].
    pub fn new(seed: u64) -> Self {
        Self { config: PerformanceConfig::from_seed(seed) }
    }

    /// A performance with these settings.
    ///
    /// # Errors
    /// A setting outside its range.
    pub fn from_config(config: PerformanceConfig) -> Result<Self, SimError> {
        config.check()?;
        Ok(Self { config })
    }

    /// Its settings.
    pub fn config(&self) -> &PerformanceConfig {
        &self.config
    }

    /// What is true of a frame, without rendering it.
    pub fn truth(&self, frame: u64) -> Truth {
        let time = frame as f64 / f64::from(self.config.camera.frame_rate);
        let phase = self.pulse_phase(time);
        let (mouth_opening, mouth_spread) = self.mouth(time);
        let breath = self.breath(time);
        Truth {
            frame,
            time,
            pulse: pulse_wave(phase),
            pulse_phase: phase,
            pulse_rate: self.pulse_rate(time),
            pose: self.pose(time, phase, breath),
            mouth_opening,
            mouth_spread,
            eye_opening: 1.0 - self.blink(time),
            gaze: self.gaze(time),
            breath,
        }
    }

    fn breath_phase(&self, time: f64) -> f32 {
        turns(time * f64::from(self.config.breath_rate) / 60.0 + f64::from(unit(hash(self.config.seed ^ 0xB1))))
    }

    fn breath(&self, time: f64) -> f32 {
        sin(TAU * self.breath_phase(time))
    }

    /// The instantaneous rate is `rate * (1 + variability * sin(breath))`; this is its integral.
    fn pulse_phase(&self, time: f64) -> f32 {
        let Pulse { rate, phase, variability, .. } = self.config.pulse;
        let swing = variability * (rate / self.config.breath_rate) / TAU;
        turns(f64::from(phase) + time * f64::from(rate) / 60.0 - f64::from(swing * cos(TAU * self.breath_phase(time))))
    }

    /// The pulse wave where it arrives so many seconds later.
    pub(crate) fn pulse_after(&self, time: f64, delay: f32) -> f32 {
        pulse_wave(self.pulse_phase(time - f64::from(delay)))
    }

    fn pulse_rate(&self, time: f64) -> f32 {
        let Pulse { rate, variability, .. } = self.config.pulse;
        rate * (1.0 + variability * self.breath(time))
    }

    fn pose(&self, time: f64, pulse_phase: f32, breath: f32) -> Pose {
        let c = &self.config;
        // Slow turns, quicker nods, and the small tremor of a head held up.
        let wander = |channel: u64| {
            let at = |rate: f64, salt: u64| noise1((time * rate) as f32, hash(c.seed ^ (channel << 8) ^ salt));
            at(0.23, 1) * 1.5 + at(0.7, 2) * 0.6 + at(2.1, 3) * 0.12 + at(6.0, 4) * 0.012
        };
        // The body's answer to each heartbeat, and the chest's rise: both well below a pixel.
        let alive = c.motion.min(1.0);
        let breath = breath * alive;
        let heartbeat = alive * (0.012 * sin(TAU * (pulse_phase + 0.1)) + 0.006 * sin(TAU * 2.0 * pulse_phase));
        let m = c.motion;
        Pose {
            yaw: c.direction[0] + m * 7.0 * wander(1),
            pitch: c.direction[1] + m * 3.5 * wander(2) + heartbeat,
            roll: c.direction[2] + m * 2.0 * wander(3),
            shift: [
                m * 0.6 * wander(4),
                m * 0.35 * wander(5) + heartbeat + 0.05 * breath,
                m * 0.8 * wander(6) + 0.03 * breath,
            ],
        }
    }

    /// Opening and spread of the mouth: phrases with pauses between, syllables in phrases.
    fn mouth(&self, time: f64) -> (f32, f32) {
        let c = &self.config;
        let seed = hash(c.seed ^ 0x5BEE_C400);
        // One phrase in each slot; what is left of the slot is a pause.
        let slot_length = 3.6;
        let slot = (time / slot_length).floor();
        let draw = |salt: u64| unit(hash(seed ^ ((slot as u64) << 16) ^ salt));
        let speaks = draw(1) < c.speech.sqrt();
        let start = 0.05 + 0.5 * draw(2);
        let rate = c.syllable_rate * mix(0.88, 1.12, draw(3));
        let length = (slot_length as f32 - start - 0.25) * mix(0.55, 1.0, draw(4)) * mix(0.6, 1.0, c.speech);
        let t = (time - slot * slot_length) as f32 - start;
        let idle = 0.02 + 0.02 * noise1((time * 0.5) as f32, hash(seed ^ 9));
        if !speaks || c.speech == 0.0 || t <= 0.0 || t >= length {
            return (idle, 0.08 * noise1((time * 0.4) as f32, hash(seed ^ 10)));
        }
        let syllable = (t * rate).floor();
        let within = t * rate - syllable;
        let of = |n: f32, salt: u64| unit(hash(seed ^ ((slot as u64) << 16) ^ (((n + 8.0) as u64) << 4) ^ salt));
        // Each syllable opens and closes; some begin with closed lips (p, b, m), others only narrow the mouth.
        let closure = |n: f32| if of(n, 7) < 0.3 { 0.0 } else { 0.12 + 0.15 * of(n, 8) };
        let peak = 0.22 + 0.5 * of(syllable, 5) * of(syllable, 6) + 0.12 * of(syllable, 9);
        let base = mix(closure(syllable), closure(syllable + 1.0), smoothstep(0.0, 1.0, within));
        let arch = sin(TAU * 0.5 * within);
        let opening = mix(base, peak, arch * arch);
        let shape = |n: f32| 1.6 * of(n, 10) - 0.8;
        let spread = mix(
            mix(shape(syllable - 1.0), shape(syllable), smoothstep(-0.5, 0.5, within)),
            shape(syllable + 1.0),
            smoothstep(0.5, 1.5, within),
        );
        // A phrase begins and ends gently.
        let edge = smoothstep(0.0, 0.12, t) * smoothstep(length, length - 0.15, t);
        (mix(idle, opening, edge), spread * edge)
    }

    /// 1 with closed lids: 60 ms to close, 40 ms closed, 150 ms to open.
    fn blink(&self, time: f64) -> f32 {
        if self.config.blink_rate == 0.0 {
            return 0.0;
        }
        let slot_length = 60.0 / f64::from(self.config.blink_rate);
        let mut closed = 0.0f32;
        // The last slot's blink may still be going on.
        let now = (time / slot_length).floor();
        for slot in [now - 1.0, now] {
            let place = unit(hash(self.config.seed ^ 0xB11A ^ (((slot + 8.0) as u64) << 16)));
            let start = (slot + 0.1 + 0.75 * f64::from(place)) * slot_length;
            let t = (time - start) as f32;
            closed = closed.max(smoothstep(0.0, 0.06, t) * smoothstep(0.25, 0.1, t));
        }
        closed
    }

    /// Fixations of half a second or two with quick jumps between, mostly near the camera.
    fn gaze(&self, time: f64) -> [f32; 2] {
        let seed = hash(self.config.seed ^ 0x6A2E);
        let slot_length = 1.1;
        let slot = (time / slot_length).floor();
        let at = |slot: f64, axis: u64| {
            let draw = |salt: u64| unit(hash(seed ^ (((slot + 8.0) as u64) << 16) ^ (axis << 8) ^ salt));
            let away = if draw(0) < 0.25 { 11.0 } else { 2.5 };
            (draw(1) + draw(2) - 1.0) * away * if axis == 1 { 0.6 } else { 1.0 }
        };
        let jump = (time - slot * slot_length) as f32 - 0.6 * unit(hash(seed ^ ((slot as u64) << 16) ^ 77));
        let done = smoothstep(0.0, 0.05, jump);
        let micro = |axis: u64| 0.15 * noise1((time * 3.0) as f32, hash(seed ^ (axis + 90)));
        [mix(at(slot - 1.0, 0), at(slot, 0), done) + micro(0), mix(at(slot - 1.0, 1), at(slot, 1), done) + micro(1)]
    }
}

/// The part after the point, 0 to 1.
fn turns(x: f64) -> f32 {
    (x - x.floor()) as f32
}

/// The pulse wave at a phase in turns: a quick rise to 1 at phase 0, a slow fall to about -0.66.
///
/// Three harmonics, of mean 0, with the proportions of a pulse at the skin: the rise takes three tenths of the beat.
pub fn pulse_wave(phase: f32) -> f32 {
    // The shift and the divisor put the peak at phase 0 and at 1.
    let a = TAU * (phase - 0.0588);
    (cos(a) + 0.42 * cos(2.0 * a + 0.9) + 0.14 * cos(3.0 * a + 1.7)) / 1.4633
}

/// Weight of a relative pulse amplitude in red, green and blue.
pub(crate) const PULSE_COLOUR: [f32; 3] = [0.35, 1.0, 0.55];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pulse_wave_rises_quickly_to_one_at_phase_zero() {
        let wave: Vec<f32> = (0..1000).map(|i| pulse_wave(i as f32 / 1000.0)).collect();
        let at = |best: f32| wave.iter().position(|&v| v == best).unwrap_or_default();
        let (high, low) = (wave.iter().copied().fold(-9.0, f32::max), wave.iter().copied().fold(9.0, f32::min));
        assert!((high - 1.0).abs() < 1e-3 && (at(high) <= 3 || at(high) >= 997), "{high} at {}", at(high));
        assert!((at(low) as i32 - 700).abs() < 20, "{low} at {}", at(low));
        assert!(wave.iter().sum::<f32>().abs() < 1e-2);
    }

    #[test]
    fn the_pulse_rate_is_the_slope_of_its_phase() {
        let performance = Performance::new(3);
        for second in [0.4, 7.7, 61.3] {
            let [a, b] = [second - 0.005, second + 0.005].map(|t| performance.pulse_phase(t));
            let slope = ((b - a).rem_euclid(1.0)) * 6000.0;
            assert!((slope - performance.pulse_rate(second)).abs() < 0.2, "{slope}");
        }
    }

    #[test]
    fn the_head_moves_and_blinks_and_never_leaves_its_range() {
        for seed in 0..20 {
            let performance = Performance::new(seed);
            let truths: Vec<Truth> = (0..1500).map(|n| performance.truth(n)).collect();
            let spread = |f: fn(&Truth) -> f32| {
                let values = truths.iter().map(f);
                values.clone().fold(-99.0, f32::max) - values.fold(99.0, f32::min)
            };
            assert!((3.0..60.0).contains(&spread(|t| t.pose.yaw)), "yaw {}", spread(|t| t.pose.yaw));
            assert!(spread(|t| t.pose.pitch) < 35.0 && spread(|t| t.pose.roll) < 20.0);
            assert!(truths.iter().all(|t| (0.0..=1.0).contains(&t.mouth_opening) && t.mouth_spread.abs() <= 1.0));
            // A minute's blinks, as configured.
            let blinks = truths.windows(2).filter(|t| t[0].eye_opening >= 0.5 && t[1].eye_opening < 0.5).count() as f32;
            assert!((blinks - performance.config.blink_rate).abs() < 2.0, "{blinks}");
            // Heads do not jump.
            assert!(truths.windows(2).all(|t| (t[1].pose.yaw - t[0].pose.yaw).abs() < 3.0));
        }
    }
}
