//! Writes frames as raw RGB to standard output, for a pipe, and their truth as lines of JSON beside them.
//!
//!     cargo run -p dubito-sim --example frames -- SEED TONE FRAMES [WIDTH HEIGHT [TRUTH.jsonl [STEP]]] |
//!         ffmpeg -f rawvideo -pix_fmt rgb24 -s 640x480 -r 25 -i - out.mp4

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

use dubito_sim::{Performance, PerformanceConfig, Subject, SubjectConfig, render};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, tone, count, rest @ ..] = arguments.as_slice() else {
        return Err("usage: frames SEED TONE FRAMES [WIDTH HEIGHT [TRUTH.jsonl [STEP]]]".into());
    };
    let seed = seed.parse()?;
    let mut config = PerformanceConfig::from_seed(seed);
    if let [width, height, ..] = rest {
        (config.camera.width, config.camera.height) = (width.parse()?, height.parse()?);
    }
    let subject = Subject::from_config(SubjectConfig::from_seed_and_tone(seed, tone.parse()?))?;
    let performance = Performance::from_config(config)?;
    let mut truth = rest.get(2).map(File::create).transpose()?.map(BufWriter::new);
    let mut pixels = BufWriter::new(std::io::stdout().lock());
    let (start, mut shown) = (Instant::now(), 0u32);
    let step = rest.get(3).map_or(Ok(1), |step| step.parse())?;
    let count: u64 = count.parse()?;
    for frame in (0..count).step_by(step).map(|n| render(&subject, &performance, n)) {
        pixels.write_all(frame.image.as_raw())?;
        if let Some(truth) = &mut truth {
            let line = serde_json::json!({"truth": frame.truth, "landmarks": frame.landmarks});
            writeln!(truth, "{line}")?;
        }
        shown += 1;
    }
    pixels.flush()?;
    eprintln!("{shown} frames, {:.1} a second", f64::from(shown) / start.elapsed().as_secs_f64());
    Ok(())
}
