//! `dubito attack`: adversarial attacks on the clips that detectors did not learn from.

use std::path::PathBuf;

use clap::Args;
use dubito_data::manifest;
use dubito_media::Tools;
use dubito_nn::{Attack, AttackMethod, AttackObjective};
use dubito_report::write_section;
use dubito_stats::Bootstrap;
use dubito_study::attack::{AttackOptions, FILE, attack, section};
use dubito_study::provenance::{self, provenance};
use dubito_study::{Step, StudyError};
use serde_json::json;

use crate::args::{Common, positive};
use crate::detect::Which;
use crate::output::{self, say};
use crate::progress::Display;

/// `attack`
#[derive(Debug, Args)]
#[command(long_about = "\
Attack detectors on people that they never saw: change the pixels of some frames of each clip, by no more than epsilon
parts of 255, so that the detector is wrong, and see what it then says and how sure it is.

--run is the folder that `train` wrote: each of its detectors attacks the fold that it was not trained on. A detector of
signals and an ONNX file have no gradient that leads to pixels: attack them with --method square. Every step looks at --eot
posterior samples of its own (expectation over the posterior); the frames are judged by --samples others, those of `predict`.

Writes OUT/predictions/CONDITION.parquet (clean, pgd_4, pgd_4_8bit, pgd_4_jpeg, ...), each of which `analyze` reads, and
OUT/attacks.json and OUT/report.html: accuracy, uncertainty and whether it tells the attack, with intervals. Stopped at
any time, the same command goes on. docs/ATTACKS.md says what each attack is and what it does not show.

    dubito attack clips/manifest.parquet --run runs --method pgd --epsilon 1,2,4,8 --reencode 90 -o attacked")]
pub struct AttackCommand {
    /// The manifest that `extract` wrote
    #[arg(value_name = "MANIFEST")]
    pub manifest: PathBuf,
    /// Which detector is attacked.
    #[command(flatten)]
    which: Which,
    /// fgsm, pgd, apgd, or square (a black box: no gradient)
    #[arg(long, default_value = "pgd")]
    method: AttackMethod,
    /// Largest changes of a pixel, in parts of 255, by commas
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8", value_name = "E,E,...", value_parser = epsilon)]
    epsilon: Vec<f32>,
    /// Steps; of square candidates [default: fgsm 1, pgd 10, apgd 20, square 500]
    #[arg(long)]
    steps: Option<u32>,
    /// Posterior samples that each step looks at
    #[arg(long, default_value_t = 8)]
    eot: u32,
    /// Random starts of pgd and apgd, of which each frame keeps the best
    #[arg(long, default_value_t = 1)]
    restarts: u32,
    /// Seem sure as well: what a nat of epistemic uncertainty costs the attack
    #[arg(long, value_name = "WEIGHT")]
    adaptive: Option<f32>,
    /// Posterior samples by which each frame is judged
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Frames of each clip, evenly over it
    #[arg(long, default_value_t = 4)]
    frames: usize,
    /// Judge the attacked frames after JPEG of this quality, too (1 to 100)
    #[arg(long, value_name = "QUALITY", value_parser = clap::value_parser!(u8).range(1..=100))]
    reencode: Option<u8>,
    /// Seed of the samples that judge, as of `predict`, and of the attack, which looks at others
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, or gpu in a build with the feature `wgpu`
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// A change of a pixel.
fn epsilon(text: &str) -> Result<f32, String> {
    match positive::<f32>(text) {
        Ok(value) if value <= 255.0 => Ok(value),
        _ => Err("expected parts of 255, above 0".into()),
    }
}

/// Runs the command.
pub fn run(arguments: &AttackCommand, tools: &Tools) -> Result<(), StudyError> {
    let AttackCommand { manifest: path, which, method, common, seed, .. } = arguments;
    let objective = match arguments.adaptive {
        Some(weight) => AttackObjective::Adaptive { weight },
        None => AttackObjective::CrossEntropy,
    };
    let options = AttackOptions {
        attack: Attack {
            steps: arguments.steps.unwrap_or(method.default_steps()),
            eot: arguments.eot,
            restarts: arguments.restarts,
            objective,
            seed: *seed,
            ..Attack::new(*method, arguments.epsilon.first().copied().unwrap_or_default())
        },
        epsilons: arguments.epsilon.clone(),
        frames: arguments.frames,
        reencode: arguments.reencode,
        samples: arguments.samples,
        seed: *seed,
        device: arguments.device.clone(),
        views: which.views,
    };
    options.check()?;
    let rows = manifest::read(path)?;
    let store = manifest::folder(path).to_owned();
    let runs = which.runs()?;
    std::fs::create_dir_all(&common.out).map_err(StudyError::io(&common.out))?;
    let display = Display::new(common.quiet);
    let show = |p: &_| display.show(p);
    let how = provenance(*seed, tools);
    let found = attack(&rows, &store, &runs, &common.out, &options, &how, Step::only("attack"), &show)?;
    provenance::write(&common.out, "attack", &how)?;
    display.finish();
    let found_section = section(&[(found.detector.clone(), common.out.clone())], &Bootstrap::default())?;
    write_section(&common.out, &common.out, &found_section)?;
    if common.json {
        output::json(&json!({ "attacks": found, "robustness": found_section }));
    } else {
        let name = options.name();
        say!(
            "{}: {} frames of {} clips attacked by {name} in {:.0} s ({} kept from before)",
            common.out.join(FILE).display(),
            found.frames,
            found.clips,
            found.seconds,
            found.kept
        );
        found_section.findings.iter().for_each(|finding| say!("{finding}"));
        if !found.missing.is_empty() {
            say!("{} videos were not attacked: {FILE} says why", found.missing.len());
        }
        say!("{}", common.out.join("report.html").display());
    }
    Ok(())
}
