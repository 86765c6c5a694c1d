//! `study`: plan, run, show and tidy a whole study.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use dubito_data::shard::Shard;
use dubito_media::Tools;
use dubito_study::StudyError;
use dubito_study::output::is_apart;
use dubito_study::provenance::{self, provenance};
use dubito_study::recipe::{self, Change};
use dubito_study::study::{self, Doing, Plan, Planned, StudyConfig};
use serde_json::{Value, json};

use crate::args::Common;
use crate::output::{self, note, say, warn};
use crate::progress::Display;

/// `study`
#[derive(Debug, Subcommand)]
#[command(long_about = "\
Plan, run and report a whole study from one file.

The file names data, detectors, inference methods and experiments (docs/STUDY.md lists every key; studies/ has examples).
Every step is known by the content of what goes into it: what was done is not done again, a change makes anew what depends on
it and no more, and a run that was stopped goes on with the same command.")]
pub enum Study {
    /// Say what would run, what is done already, and about how long the rest takes
    Plan(Which),
    /// Run every step that is not done, then write the report
    Run(RunStudy),
    /// Write the report again from what there is
    Show(Which),
    /// Remove the results that the file asks for no longer
    Clean(Which),
}

/// Which study.
#[derive(Debug, Args)]
pub struct Which {
    /// The study's file
    #[arg(value_name = "STUDY.toml")]
    pub file: PathBuf,
    /// Folder of real face videos, in place of the `faces` of every data set that has one
    #[arg(long, value_name = "FOLDER")]
    pub faces: Option<PathBuf>,
    /// Change one key of the file: data.forged.forge.frames=12; may be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = recipe::change)]
    pub set: Vec<Change>,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// `study run`
#[derive(Debug, Args)]
pub struct RunStudy {
    /// Which study.
    #[command(flatten)]
    pub which: Which,
    /// Do only this part of the steps: 2/4 is the second of four processes that share the folder
    #[arg(long, value_name = "i/N")]
    pub shard: Option<Shard>,
}

/// Runs the command.
pub fn run(arguments: &Study, tools: &Tools) -> Result<(), StudyError> {
    match arguments {
        Study::Plan(which) => {
            let (_, plan) = open(which)?;
            say_plan(which, &plan);
            Ok(())
        }
        Study::Show(which) => {
            let (config, plan) = open(which)?;
            show(which, &config, &plan, tools)
        }
        Study::Clean(which) => {
            let (_, plan) = open(which)?;
            let removed = study::clean(&plan, &which.common.out)?;
            if which.common.json {
                output::json(&json!({ "removed": removed }));
            } else {
                removed.iter().for_each(|name| say!("removed steps/{name}"));
                say!("{} folders removed", removed.len());
            }
            Ok(())
        }
        Study::Run(RunStudy { which, shard }) => {
            let (config, plan) = open(which)?;
            for faces in config.data.values().filter_map(|data| data.faces.as_ref()) {
                is_apart(&which.common.out, faces)?;
            }
            let display = Display::new(which.common.quiet);
            let doing = Doing {
                config: &config,
                out: &which.common.out,
                tools,
                provenance: provenance(config.seed, tools),
                shard: *shard,
                on_progress: &|p| display.show(p),
            };
            let outcome = doing.run(&plan)?;
            display.finish();
            warn(&study::warnings(&plan, &which.common.out));
            for (title, error) in &outcome.failed {
                note!("failed: {title}: {error}");
                if let Some(hint) = error.hint() {
                    note!("hint: {hint}");
                }
            }
            if !which.common.json {
                say!(
                    "{} steps done, {} were done already, {} failed",
                    outcome.done,
                    outcome.kept,
                    outcome.failed.len()
                );
            }
            show(which, &config, &plan, tools)?;
            match outcome.failed.as_slice() {
                [] => Ok(()),
                failed => Err(StudyError::CheckFailed {
                    message: format!("{} steps failed; everything that does not need them is done", failed.len()),
                }),
            }
        }
    }
}

fn open(which: &Which) -> Result<(StudyConfig, Plan), StudyError> {
    let mut config = study::read(&which.file, &which.set)?;
    if let Some(faces) = &which.faces {
        for data in config.data.values_mut().filter(|data| data.faces.is_some()) {
            data.faces = Some(faces.clone());
        }
    }
    study::check_files(&config).map_err(|error| StudyError::Input {
        message: format!("{}: {error}", which.file.display()),
        hint: error.hint().unwrap_or_else(|| "docs/STUDY.md lists every key".into()),
    })?;
    let plan = study::plan(&config, false)?;
    if plan.steps.is_empty() {
        let why = not_planned(&plan).into_iter().map(|(name, why)| format!("{name}: {why}"));
        return Err(StudyError::Input {
            message: format!(
                "{}: not one experiment can be planned ({})",
                which.file.display(),
                why.collect::<Vec<_>>().join("; ")
            ),
            hint: "docs/STUDY.md says what each kind needs; --faces names the folder of videos".into(),
        });
    }
    Ok((config, plan))
}

/// The experiments that can't be planned, each with the reason.
fn not_planned(plan: &Plan) -> Vec<(&str, &str)> {
    plan.experiments.iter().filter_map(|(name, step)| Some((name.as_str(), step.as_ref().err()?.as_str()))).collect()
}

fn say_not_planned(plan: &Plan) {
    for (name, why) in not_planned(plan) {
        say!("not planned: {name}: {why}");
    }
}

/// [`not_planned`] as JSON.
fn not_planned_json(plan: &Plan) -> Value {
    not_planned(plan).into_iter().map(|(name, why)| json!({ "experiment": name, "because": why })).collect()
}

fn minutes(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{:.0} s", s.max(0.0)),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

fn say_plan(which: &Which, plan: &Plan) {
    let planned = study::planned(plan, &which.common.out);
    let left: f64 = planned.iter().filter(|step| step.state != "done").map(|step| step.seconds).sum::<f64>() + 0.0;
    if which.common.json {
        output::json(&json!({ "steps": planned, "seconds_left": left, "not_planned": not_planned_json(plan) }));
        return;
    }
    for Planned { title, state, seconds, error, .. } in &planned {
        let about = if *state == "done" { "took" } else { "about" };
        say!("{state:<6} {about} {:>7}  {title}", minutes(*seconds));
        if let Some(error) = error {
            say!("       {error}");
        }
    }
    say_not_planned(plan);
    let open = planned.iter().filter(|step| step.state != "done").count();
    say!("{open} of {} steps to do, about {} on this machine", planned.len(), minutes(left));
}

fn show(which: &Which, config: &StudyConfig, plan: &Plan, tools: &Tools) -> Result<(), StudyError> {
    let out: &Path = &which.common.out;
    let how = provenance(config.seed, tools);
    let sections = study::report(config, plan, out, out, how.clone())?;
    provenance::write(out, "study", &how)?;
    let report = out.join("report.html");
    if which.common.json {
        let findings: Vec<_> =
            sections.iter().map(|s| json!({ "experiment": s.name, "findings": s.findings })).collect();
        let not_planned = not_planned_json(plan);
        output::json(&json!({ "report": report, "experiments": findings, "not_planned": not_planned }));
        return Ok(());
    }
    for section in &sections {
        say!("{}", section.title);
        section.findings.iter().for_each(|finding| say!("  {finding}"));
    }
    say_not_planned(plan);
    say!("{}", report.display());
    Ok(())
}
