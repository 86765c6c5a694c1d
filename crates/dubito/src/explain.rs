//! `dubito explain`: where in the picture a prediction or its uncertainty comes from, with what was checked of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;
use dubito_data::clip::Clip;
use dubito_data::file_name;
use dubito_data::manifest::{self, Row};
use dubito_face::FaceModels;
use dubito_media::Tools;
use dubito_nn::{Method, Quantity};
use dubito_study::explain::{ExplainOptions, Explainer, Explanation, method, of_manifest};
use dubito_study::predict::find_runs;
use dubito_study::provenance::{complete, provenance};
use dubito_study::{Progress, Step, StudyError};
use serde_json::json;

use crate::output::{self, note, say};
use crate::places::MOST_NAME;
use crate::progress::Display;
use crate::stop;

/// `explain`
#[derive(Debug, Args)]
#[command(long_about = "\
Show where in a face a prediction or its uncertainty comes from, and say how far that can be believed.

Of a video or picture the face that is seen longest and largest is explained, of a clip its frames, of a manifest some
videos of each generator (each by the run that did not learn from its people). DIR gets a picture of each frame (crop,
map, both), a contact sheet, a video of the overlays, the maps as numbers (maps.safetensors) and explain.json with the
regions of the face and the checks: whether the quantity hangs on where the map points, whether a network with random
weights points there too, whether gradients vanish. docs/MAPS.md says what each is.

Exit codes: 0 done; 3 the input can't be used: no face, an ONNX file, a detector of signals.")]
pub struct Explain {
    /// The folder of a run; of a manifest also the folder of its runs
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// A video or picture, a clip (.safetensors), or a manifest (.parquet, .csv)
    #[arg(value_name = "VIDEO|CLIP|MANIFEST")]
    pub input: PathBuf,
    /// Folder that everything is written to
    #[arg(short, long, value_name = "DIR", default_value = "dubito-out")]
    pub out: PathBuf,
    /// What is explained: epistemic, aleatoric, total or p_fake
    #[arg(long, default_value = "epistemic")]
    what: Quantity,
    /// How: gradient, smooth, integrated or occlusion
    #[arg(long, default_value = "smooth", value_parser = ["gradient", "smooth", "integrated", "occlusion"])]
    how: String,
    /// Most frames, evenly over the video
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    frames: u32,
    /// Posterior samples
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    samples: u32,
    /// Of a manifest: most videos of each generator
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    videos: u16,
    /// Seed of the samples, of noise and of random places
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, or gpu in a build with the feature `wgpu`
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// Runs it.
pub fn run(arguments: &Explain, tools: &Tools) -> Result<(), StudyError> {
    let Explain { input, out, .. } = arguments;
    let ending = input.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let is_manifest = ["parquet", "csv"].contains(&ending.as_str());
    let runs = find_runs(&arguments.run)?;
    if !is_manifest && runs.len() != 1 {
        let names: Vec<_> = runs.iter().filter_map(|run| run.fold.as_deref()).collect();
        return Err(StudyError::Input {
            message: format!("{}: there are {} runs: {}", arguments.run.display(), runs.len(), names.join(", ")),
            hint: format!("name one: {}", runs.first().map(|run| run.dir.display().to_string()).unwrap_or_default()),
        });
    }
    let mut made: Vec<(PathBuf, Explanation)> = Vec::new();
    let (mut failed, mut total) = (Vec::new(), 1);
    if is_manifest {
        let rows = manifest::read(input)?;
        let store = manifest::folder(input);
        let chosen = of_manifest(&rows, &runs, arguments.videos.into(), arguments.seed)?;
        let display = Display::new(arguments.quiet);
        total = chosen.len();
        for (done, (row, run)) in chosen.into_iter().enumerate() {
            if stop::is_asked() {
                return Err(StudyError::stopped());
            }
            let folder = out.join(folder_name(row));
            // One video never costs the others.
            let explained = Clip::read(&store.join(row.clip.as_deref().unwrap_or_default()))
                .map_err(StudyError::from)
                .and_then(|clip| explainer(arguments, &run.dir)?.explain(&clip, Some(row), &folder, tools));
            match explained {
                Ok(explanation) => made.push((folder, explanation)),
                Err(error) => {
                    note!("error: {}: {error}", row.video);
                    failed.push(error);
                }
            }
            display.show(&Progress { step: Step::only("explain"), done: done + 1, total, item: row.video.clone() });
        }
        display.finish();
    } else {
        let explainer = explainer(arguments, &runs[0].dir)?;
        let clip = match ending.as_str() {
            "safetensors" => Clip::read(input)?,
            _ => explainer.face_of(input, tools, &FaceModels::cpu()?)?,
        };
        made.push((out.clone(), explainer.explain(&clip, None, out, tools)?));
    }
    if arguments.json {
        let list: Vec<_> =
            made.iter().map(|(folder, found)| json!({ "folder": folder, "explanation": found })).collect();
        output::json(&json!({ "explained": list, "provenance": complete(&provenance(arguments.seed, tools)) }));
    } else {
        made.iter().for_each(|(folder, found)| say(folder, found));
    }
    StudyError::of_files(failed, total)
}

/// The name of a row's folder: its video's, with the number of the face where that is not the first.
fn folder_name(row: &Row) -> String {
    let video = if row.video.is_empty() { &row.path } else { &row.video };
    let name = match row.track.unwrap_or_default() {
        0 => video.clone(),
        track => format!("{video} face {track}"),
    };
    file_name(OsStr::new(&name), MOST_NAME)
}

fn explainer(arguments: &Explain, run: &Path) -> Result<Explainer, StudyError> {
    let options = ExplainOptions {
        what: arguments.what,
        how: Method::Gradient,
        frames: arguments.frames as usize,
        samples: arguments.samples,
        seed: arguments.seed,
        device: arguments.device.clone(),
    };
    let explainer = Explainer::new(run, options)?;
    // The command line knows no other name.
    let how = method(&arguments.how, explainer.size()).unwrap_or(Method::Gradient);
    Ok(explainer.with_method(how))
}

fn say(folder: &Path, found: &Explanation) {
    say!("{}: {} of {} frames, by {}", found.video, found.what.in_words(), found.frames.len(), found.detector);
    found.statement.iter().for_each(|sentence| say!("  {sentence}"));
    say!("  {:<10} {:>10} {:>10} {:>10} {:>8}", "region", "adds", "alone", "map", "area");
    for region in &found.regions {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let area = region.area.map_or("-".to_owned(), |area| format!("{:.1} %", 100.0 * area));
        let [adds, alone, map] = [region.occlusion, region.alone, region.pooled_map].map(number);
        say!("  {:<10} {adds:>10} {alone:>10} {map:>10} {area:>8}", region.region);
    }
    found.without.iter().for_each(|what| say!("  {what}"));
    say!("  {}", folder.join("sheet.png").display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_face_has_a_folder_of_its_own() {
        let row = |path: &str, video: &str, track: Option<u32>| {
            folder_name(&Row { path: path.into(), video: video.into(), track, ..Row::default() })
        };
        assert_eq!(row("x/a.mp4", "a.mp4", Some(0)), "a.mp4");
        let names = [
            row("x/a.mp4", "x/a.mp4", None),
            row("x/a.mp4", "x:a.mp4", None),
            row("x/a.mp4", "x_a.mp4", None),
            row("x/a.mp4", "x_a.mp4", Some(1)),
            row("x/a.mp4", "x_a.mp4", Some(2)),
            row("b.mp4", "", None),
            row("c.mp4", "", None),
        ];
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
    }
}
