//! `dubito pulse`: the pulse in the skin of a face.

use std::path::PathBuf;

use clap::Args;
use dubito_face::FaceModels;
use dubito_media::Tools;
use dubito_signal::Method;
use dubito_study::StudyError;
use dubito_study::pulse::{self, PulseGroup};
use serde_json::json;

use crate::args::Common;
use crate::output::{self, say};
use crate::progress::Display;

/// `pulse`
#[derive(Debug, Args)]
#[command(long_about = "\
Read the pulse from the skin of a face: heart rate, signal-to-noise ratio, quality, and a figure.

Each beat darkens the skin by less than a percent. The mid-face is cut into 32 regions that follow the face, and their
colours become one wave by CHROM, POS or green alone. Writes OUT/pulse.svg and pulse.png (the wave and its spectrum)
and OUT/pulse-wave.csv. Where there is no pulse to be read (no face, turned away, under 6 s without a gap, under 10
frames a second, grey, still), it says which and why. No medical device: docs/PULSE.md has what was measured.

With --manifest it reads every video of a manifest, writes OUT/pulse.csv and prints the medians by generator, with the
correlation of each fake's wave with that of the untouched video that it was made from.")]
pub struct Pulse {
    /// The video
    #[arg(value_name = "VIDEO", required_unless_present = "manifest")]
    pub video: Option<PathBuf>,
    /// A manifest, as `dubito forge` writes it, in place of one video
    #[arg(long, value_name = "FILE", conflicts_with = "video")]
    pub manifest: Option<PathBuf>,
    /// How the wave is had from colours: chrom, pos or green
    #[arg(long, value_name = "NAME", default_value = "chrom")]
    pub method: Method,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// Runs it.
pub fn run(arguments: &Pulse, tools: &Tools) -> Result<(), StudyError> {
    match (&arguments.manifest, &arguments.video) {
        (Some(manifest), _) => of_manifest(arguments, manifest, tools),
        (None, Some(video)) => of_video(arguments, video, tools),
        (None, None) => Ok(()),
    }
}

fn of_video(arguments: &Pulse, video: &std::path::Path, tools: &Tools) -> Result<(), StudyError> {
    let out = &arguments.common.out;
    let pulse = pulse::pulse(video, tools, &FaceModels::cpu()?, arguments.method)?;
    let figure = pulse::figure(&pulse)?;
    let (svg, png, wave) = (out.join("pulse.svg"), out.join("pulse.png"), out.join("pulse-wave.csv"));
    dubito_data::write_atomically(&svg, figure.svg.as_bytes())?;
    dubito_data::write_atomically(&png, &figure.png)?;
    if let Some(reading) = &pulse.reading {
        pulse::write_wave(&wave, reading)?;
    }
    if arguments.common.json {
        let mut object = json!(pulse);
        object["figure"] = json!(svg);
        object["wave"] = json!(pulse.reading.as_ref().map(|_| &wave));
        output::json(&object);
        return Ok(());
    }
    match &pulse.reading {
        Some(reading) => say!(
            "{}: {:.1} beats a minute, signal-to-noise ratio {:.1} dB ({}), {:.1} s by {}",
            pulse.video,
            reading.heart_rate_bpm,
            reading.snr_db,
            reading.quality,
            reading.seconds,
            pulse.method
        ),
        None => say!("{}: no pulse can be read ({})", pulse.video, pulse.status),
    }
    if let Some(reason) = &pulse.reason {
        say!("  {reason}");
    }
    say!("{}", svg.display());
    Ok(())
}

fn of_manifest(arguments: &Pulse, manifest: &std::path::Path, tools: &Tools) -> Result<(), StudyError> {
    let (rows, root, noticed) = dubito_data::verify::open(manifest)?;
    crate::output::warn(&noticed.iter().map(dubito_data::finding::Finding::line).collect::<Vec<_>>());
    let display = Display::new(arguments.common.quiet);
    let models = FaceModels::cpu()?;
    let read = pulse::pulses(&rows, &root, tools, &models, arguments.method, &|p| display.show(p))?;
    display.finish();
    let table = arguments.common.out.join("pulse.csv");
    pulse::write_csv(&table, &read)?;
    let groups = pulse::by_generator(&read);
    if arguments.common.json {
        output::json(&json!({ "table": table, "method": arguments.method.name(), "generators": groups }));
        return Ok(());
    }
    say!("{:<16}{:>7}{:>7}{:>7}{:>9}{:>16}", "generator", "videos", "read", "bpm", "SNR dB", "r with target");
    let number = |value: Option<f64>, decimals: usize| value.map_or("-".into(), |v| format!("{v:.decimals$}"));
    for PulseGroup { generator, videos, read, heart_rate_bpm, snr_db, r_with_target } in &groups {
        let (bpm, snr, r) = (number(*heart_rate_bpm, 1), number(*snr_db, 1), number(*r_with_target, 2));
        say!("{generator:<16}{videos:>7}{read:>7}{bpm:>7}{snr:>9}{r:>16}");
    }
    say!("medians of the videos that could be read; {}", table.display());
    Ok(())
}
