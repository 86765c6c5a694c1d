//! Frames a second of each generator on one thread, on a simulated pair at 640x480, with the preparation of the pair.
//!
//!     cargo run --release -p dubito-study --example forge_speed -- [FRAMES]

use std::error::Error;
use std::time::Instant;

use dubito_data::forge::{Face, Forger, Generator};
use dubito_study::simulate::{SimulateOptions, subject};

fn main() -> Result<(), Box<dyn Error>> {
    let frames: usize = std::env::args().nth(1).map_or(Ok(32), |a| a.parse())?;
    let options = SimulateOptions { frame_rate: 8.0, ..SimulateOptions::default() };
    let person = |i: usize| -> Result<_, Box<dyn Error>> {
        let (subject, performance) = subject(i, &options)?;
        let rendered = dubito_sim::frames(&subject, &performance).take(frames);
        Ok(rendered.map(|r| (r.image, r.landmarks)).unzip::<_, _, Vec<_>, Vec<_>>())
    };
    let ((own, own_meshes), (other, other_meshes)) = (person(1)?, person(3)?);
    let (target, donor) = (Face::new(&own, own_meshes, &[]), Face::new(&other, other_meshes, &[]));
    for generator in Generator::ALL.into_iter().chain([Generator::SelfBlended]) {
        let begun = Instant::now();
        let donor = generator.needs_donor().then_some(&donor);
        let forger = Forger::new(generator, &target, donor, generator.standard_strength(), 0);
        let prepared = begun.elapsed().as_secs_f64();
        let made = (0..frames).filter_map(|i| forger.frame(i)).count();
        let rate = made as f64 / begun.elapsed().as_secs_f64();
        println!("{:<15}{rate:6.1} frames/s, {prepared:.2} s of it to prepare {frames} frames", generator.name());
    }
    Ok(())
}
