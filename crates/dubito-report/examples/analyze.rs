//! What `dubito analyze` does without intervals, with its time and memory step by step (`benchmarks/analyze.py` runs it):
//! `cargo run --release -p dubito-report --example analyze -- OUT FILE...`

use std::path::PathBuf;
use std::time::Instant;

use dubito_report::{Options, Predictions, ReportInput, report::write_report_of};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let out = paths.next().ok_or("give a folder for the report and a file of scores")?;
    let files: Vec<PathBuf> = paths.collect();
    let options = Options { bootstrap: None, ..Options::default() };
    let started = Instant::now();
    let Predictions { scores, calibration, classes } = Predictions::read(&files, &options)?;
    println!("read in {:.2} s", started.elapsed().as_secs_f64());
    memory();
    let input = ReportInput { calibration, classes, ..ReportInput::default() };
    write_report_of(&out, &scores, &input, &options)?;
    println!("{} after {:.2} s", out.join("report.html").display(), started.elapsed().as_secs_f64());
    memory();
    Ok(())
}

/// Linux only; elsewhere nothing is said.
fn memory() {
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        status
            .lines()
            .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"))
            .for_each(|line| println!("{line}"));
    }
}
