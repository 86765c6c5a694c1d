//! Time the reading of scores, and how much memory it took:
//! `cargo run -p dubito-report --example read_scores -- FILE...`

use std::path::PathBuf;
use std::time::Instant;

use dubito_report::{Options, Scores};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let started = Instant::now();
    let scores = Scores::read(&files, &Options::default())?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{} items of {} detectors in {seconds:.2} s", scores.items(), scores.sets.len());
    // Linux only; elsewhere the line is missing.
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        status
            .lines()
            .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"))
            .for_each(|line| println!("{line}"));
    }
    Ok(())
}
