//! The commands: arguments to library calls, results to words or JSON.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dubito_data::classes::ClassList;
use dubito_data::extract::{ExtractOptions, extract_each};
use dubito_data::finding::Finding;
use dubito_data::follow::{Quality, Sampling};
use dubito_data::forge::{self, ForgeOptions, Generator, Traces};
use dubito_data::identities::{self, SAME_FRAMES};
use dubito_data::manifest::{self, Row};
use dubito_data::{shard, verify};
use dubito_face::FaceModels;
use dubito_media::Tools;
use dubito_nn::TrainConfig;
use dubito_report::decisions::Promises;
use dubito_report::evaluate::Options;
use dubito_report::report::{MOST_PAGES, write_report_of};
use dubito_report::{InputOptions, Metrics, Predictions, ReportInput, SetApart, View, explain};
use dubito_stats::{Bootstrap, Unit};
use dubito_study::audit::{self, AuditOptions};
use dubito_study::demo::{self, DemoOptions, data_progress, relative_to};
use dubito_study::output::is_apart;
use dubito_study::predict::{PredictOptions, Predicted, predict};
use dubito_study::provenance::{self, provenance};
use dubito_study::recipe::{self, Change};
use dubito_study::sheet::contact_sheet;
use dubito_study::simulate::{SimulateOptions, simulate};
use dubito_study::train::{TrainOptions, train_rounds};
use dubito_study::{Detector, Lesson, Step, StudyError};
use serde_json::{Value, json};

use crate::args::{
    Analyze, Command, Common, Demo, Extract, Forge, ForgeSettings, Predict, Simulate, Train, TrainSettings,
};
use crate::doctor::doctor;
use crate::output::{self, say, warn};
use crate::progress::Display;
use crate::source::Source;
use crate::stop::Left;
use crate::weights::Weights;

/// Runs a command. An error about rows says which file they came from.
pub fn run(command: Command) -> Result<(), StudyError> {
    crate::places::check(&command)?;
    let input = input_of(&command).map(Path::to_owned);
    run_command(command).map_err(|error| match input {
        Some(path) if error.is_of_rows() => StudyError::in_file(&path)(error),
        _ => error,
    })
}

/// The one file or folder whose rows a command works on; of several an error does not say which it is of.
fn input_of(command: &Command) -> Option<&Path> {
    use crate::data::Data;
    Some(match command {
        Command::Data(Data::Split(arguments)) => &arguments.manifest,
        Command::Data(Data::Audit(arguments)) => &arguments.input,
        Command::Data(Data::Stats(arguments)) => &arguments.input,
        Command::Forge(arguments) => arguments.faces.as_deref()?,
        Command::Demo(arguments) => arguments.faces.as_deref()?,
        Command::Extract(arguments) => &arguments.input,
        Command::Train(arguments) => arguments.manifest.as_deref()?,
        Command::Predict(arguments) => &arguments.manifest,
        Command::Analyze(Analyze { files: several, .. }) | Command::Source(Source { predictions: several, .. }) => {
            match several.as_slice() {
                [one] => one,
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn run_command(command: Command) -> Result<(), StudyError> {
    match command {
        Command::Doctor(arguments) => doctor(&arguments.common, &tools()),
        Command::Data(arguments) => crate::data::run(&arguments, &tools()),
        Command::Simulate(arguments) => run_simulate(&arguments),
        Command::Forge(arguments) => run_forge(&arguments),
        Command::Extract(arguments) => run_extract(&arguments),
        Command::Pulse(arguments) => crate::pulse::run(&arguments, &tools()),
        Command::Train(arguments) => run_train(&arguments),
        Command::Bayes(arguments) => crate::bayes::run(&arguments),
        Command::Predict(arguments) => run_predict(&arguments),
        Command::Attack(arguments) => crate::attack::run(&arguments, &tools()),
        Command::Detect(arguments) => crate::detect::run(&arguments, &tools()),
        Command::Explain(arguments) => crate::explain::run(&arguments, &tools()),
        Command::Weights(arguments) => crate::weights::run(&arguments),
        Command::Analyze(arguments) => run_analyze(&arguments),
        Command::Study(arguments) => crate::study::run(&arguments, &tools()),
        Command::Source(arguments) => crate::source::run(&arguments),
        Command::Demo(arguments) => run_demo(&arguments),
        // Handled before anything else is set up.
        Command::Worker { .. } => Ok(()),
    }
}

/// The state that a command leaves where it is stopped.
pub fn left_by(command: &Command) -> Left {
    use crate::bayes::Bayes;
    use crate::data::Data;
    use crate::study::Study;
    match command {
        Command::Study(Study::Clean(_)) => Left::Rest,
        command if !crate::places::writes(command) => Left::Nothing,
        Command::Simulate(_)
        | Command::Forge(_)
        | Command::Extract(_)
        | Command::Train(_)
        | Command::Predict(_)
        | Command::Attack(_)
        | Command::Demo(_)
        | Command::Study(Study::Run(_)) => Left::Resumes,
        Command::Bayes(Bayes::Convert(convert)) if convert.epochs.is_some() => Left::Resumes,
        Command::Bayes(_)
        | Command::Detect(_)
        | Command::Explain(_)
        | Command::Pulse(_)
        | Command::Analyze(_)
        | Command::Study(_)
        | Command::Source(_)
        | Command::Data(Data::Audit(_) | Data::Stats(_))
        | Command::Weights(Weights::Export(_)) => Left::Files,
        Command::Doctor(_) | Command::Data(_) | Command::Weights(_) | Command::Worker { .. } => Left::Nothing,
    }
}

/// The programs there are; the embedded decoder is this program itself.
fn tools() -> Tools {
    let mut tools = Tools::discover();
    if let Ok(program) = std::env::current_exe() {
        tools.embedded_worker = Some(vec![program.into_os_string(), OsString::from("worker")]);
    }
    tools
}

fn make_folder(common: &Common) -> Result<(), StudyError> {
    std::fs::create_dir_all(&common.out).map_err(StudyError::io(&common.out))?;
    // What killed runs left of a manifest, a report, a table or samples.
    dubito_data::remove_unfinished(&common.out, |name| name == "samples");
    Ok(())
}

/// Rows by status, in words and for scripts.
fn statuses(rows: &[Row]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.status.name()).or_default() += 1;
    }
    counts
}

fn in_words(counts: &BTreeMap<&'static str, usize>) -> String {
    counts.iter().map(|(status, n)| format!("{n} {status}")).collect::<Vec<_>>().join(", ")
}

fn say_rows(common: &Common, manifest: &Path, rows: &[Row], more: Value) {
    let counts = statuses(rows);
    if common.json {
        let mut object = json!({ "manifest": manifest, "rows": rows.len(), "status": counts });
        if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        output::json(&object);
    } else {
        say!("{}: {} rows ({})", manifest.display(), rows.len(), in_words(&counts));
        for row in rows.iter().filter(|r| r.status != manifest::Status::Ok) {
            say!("  {}: {} ({})", row.video, row.status, row.reason.as_deref().unwrap_or("no reason given"));
        }
    }
}

fn run_simulate(arguments: &Simulate) -> Result<(), StudyError> {
    let Simulate { common, .. } = arguments;
    let options = SimulateOptions {
        seed: arguments.seed,
        subjects: arguments.subjects.into(),
        frames: arguments.frames as usize,
        frame_rate: arguments.frame_rate,
        width: arguments.width,
        height: arguments.height,
        quantiser: (!arguments.raw).then_some(arguments.crf),
    };
    let display = Display::new(common.quiet);
    simulate(&common.out, &options, &tools(), Step::only("simulate"), &|p| display.show(p))?;
    display.finish();
    if common.json {
        output::json(&json!({ "folder": common.out, "options": options }));
    } else {
        say!("{}: {} videos of {} frames", common.out.display(), options.subjects, options.frames);
        say!("next: dubito forge {} -o forged", common.out.display());
    }
    Ok(())
}

/// `forge --list`.
fn list_generators(settings: &ForgeSettings, common: &Common) -> Result<(), StudyError> {
    make_folder(common)?;
    let path = common.out.join("contact-sheet.png");
    contact_sheet(&path, settings.seed, settings.strength)?;
    if common.json {
        let standard: BTreeMap<_, _> = Generator::ALL.iter().map(|g| (g.name(), g.standard_strength())).collect();
        output::json(&json!({ "sheet": path, "standard_strength": standard }));
    } else {
        for generator in Generator::ALL {
            say!(
                "{:<15}{} (standard strength {})",
                generator.name(),
                generator.imitates(),
                generator.standard_strength()
            );
        }
        say!("{}", path.display());
    }
    Ok(())
}

fn run_forge(arguments: &Forge) -> Result<(), StudyError> {
    let Forge { faces, settings, common, .. } = arguments;
    let Some(faces) = faces else { return list_generators(settings, common) };
    is_apart(&common.out, faces)?;
    let tools = tools();
    let folder = identities::index(faces, Some(&common.out.join(SAME_FRAMES)), &tools)?;
    warn(&folder.warnings);
    make_folder(common)?;
    let traces = settings.traces.iter().try_fold(Traces::default(), |traces, (name, s)| traces.with(name, *s));
    let options = ForgeOptions {
        seed: settings.seed,
        frames: settings.frames as usize,
        every: settings.every as usize,
        min_frames: ForgeOptions::default().min_frames.min(settings.frames as usize),
        donors: settings.donors.into(),
        generators: match settings.generators.as_slice() {
            [] => Generator::ALL.to_vec(),
            chosen => chosen.to_vec(),
        },
        controls: settings.controls.map_or(Generator::ALL.len(), usize::from),
        strength: settings.strength,
        traces: traces.unwrap_or_default(),
        quantiser: (!settings.raw).then_some(settings.crf),
    };
    let display = Display::new(common.quiet);
    let parts = if arguments.check { 3 } else { 1 };
    let step = Step { share: 1.0 / parts as f64, of: parts, ..Step::only("forge") };
    let show = |p: &_| display.show(p);
    let rows = forge::forge(&folder, &common.out, &options, &tools, &FaceModels::cpu()?, &data_progress(step, &show))?;
    let path = common.out.join("manifest.parquet");
    let mut how = provenance(settings.seed, &tools);
    how["forge"] = json!(options);
    manifest::write(&path, &rows, &how.to_string())?;
    provenance::write(&common.out, "forge", &how)?;
    forge::card::write(&rows, &common.out, &options, &faces.display().to_string())?;
    if !arguments.check {
        display.finish();
        say_rows(common, &path, &rows, json!({}));
        return Ok(());
    }
    let options = AuditOptions { seed: settings.seed, videos: usize::MAX };
    let steps = [1, 2].map(|k| Step {
        number: k + 1,
        of: parts,
        before: k as f64 / parts as f64,
        share: 1.0 / parts as f64,
        ..audit::STEPS[k - 1]
    });
    let audit = audit::audit(&rows, &common.out, &common.out, &options, &tools, steps, &show)?;
    display.finish();
    audit::write(&audit, "what was forged", how, &common.out)?;
    say_rows(common, &path, &rows, json!({ "check": audit }));
    if !common.json {
        audit::in_words(&audit).iter().for_each(output::line);
    }
    audit::verdict(&audit)
}

fn run_extract(arguments: &Extract) -> Result<(), StudyError> {
    let Extract { input, common, .. } = arguments;
    let tools = tools();
    let (rows, root) = if input.is_dir() {
        let folder = std::path::absolute(input).map_err(StudyError::io(input))?;
        let folder = identities::index(&folder, Some(&common.out.join(SAME_FRAMES)), &tools)?;
        warn(&folder.warnings);
        (folder.rows("folder"), PathBuf::new())
    } else {
        let (rows, root, noticed) = verify::open(input)?;
        warn(&noticed.iter().map(Finding::line).collect::<Vec<_>>());
        (rows, root)
    };
    let sampling = Sampling::parse(&arguments.sampling, arguments.frames as usize)
        .map_err(|message| StudyError::Input { message, hint: "`dubito extract --help` explains --sampling".into() })?;
    let options = ExtractOptions {
        sampling,
        min_frames: arguments.min_frames as usize,
        tracks: arguments.tracks.into(),
        size: arguments.size,
        margin: arguments.margin,
        quality: Quality { presence: arguments.min_presence, face: arguments.min_face },
        workers: arguments.workers.map(usize::from),
        verify: arguments.verify,
    };
    make_folder(common)?;
    let mine: Vec<usize> =
        (0..rows.len()).filter(|&i| arguments.shard.is_none_or(|shard| shard.takes(&rows[i]))).collect();
    let given: Vec<&Row> = mine.iter().map(|&i| &rows[i]).collect();
    let display = Display::new(common.quiet);
    let show = |p: &_| display.show(p);
    let progress = data_progress(Step::only("extract"), &show);
    let made = extract_each(&given, &root, &common.out, &options, &tools, &FaceModels::cpu()?, &progress)?;
    let made: Vec<Vec<Row>> = made.into_iter().map(|rows| relative_to(rows, &common.out)).collect();
    display.finish();
    let mut how = provenance(0, &tools);
    how["extract"] = json!(options);
    let Some(part) = arguments.shard else {
        let rows: Vec<Row> = made.into_iter().flatten().collect();
        let path = common.out.join("manifest.parquet");
        manifest::write(&path, &rows, &how.to_string())?;
        provenance::write(&common.out, "extract", &how)?;
        say_rows(common, &path, &rows, json!({}));
        return Ok(());
    };
    let own: Vec<Row> = made.iter().flatten().cloned().collect();
    let job = shard::job(&rows, &options);
    let path = shard::write(&common.out, part, &job, rows.len(), mine.into_iter().zip(made).collect(), how.clone())?;
    // Others may be at work in the same folder.
    provenance::write(&path, "extract", &how)?;
    let merged = shard::merge_if_whole(&common.out, part, &job)?;
    let (there, whole) = match &merged {
        Ok(merged) => (None, Some(&merged.path)),
        Err(there) => (Some(*there), None),
    };
    say_rows(common, &path, &own, json!({ "shard": part.to_string(), "shards_there": there, "merged": whole }));
    if !common.json {
        match merged {
            Ok(merged) => say!("{}: all parts, {} rows", merged.path.display(), merged.rows.len()),
            Err(there) => say!("{there} parts of {part} are there; the last one writes manifest.parquet"),
        }
    }
    Ok(())
}

fn run_train(arguments: &Train) -> Result<(), StudyError> {
    let Train { manifest: path, common, .. } = arguments;
    let options = train_options(&arguments.settings, arguments.seed)?;
    // Without --show the command line has a manifest.
    let Some(path) = path.as_deref().filter(|_| !arguments.settings.show) else {
        let text = recipe::to_toml(&options.config);
        match common.json {
            true => output::json(&json!({ "recipe": text, "settings": options.config })),
            false => output::text(&text),
        }
        return Ok(());
    };
    recipe::check_weights(&options.config)?;
    let rows = manifest::read(path)?;
    let store = manifest::folder(path).to_owned();
    let list = arguments.classes.as_deref().map_or_else(|| Ok(ClassList::default()), ClassList::read)?;
    let lesson = Lesson::of(&rows, &list, &arguments.task, &arguments.leave_out)?;
    make_folder(common)?;
    let display = Display::new(common.quiet);
    let show = |p: &_| display.show(p);
    let fold = arguments.fold.as_deref();
    if !common.json {
        say!("classes: {}", lesson.class_names.join(", "));
        lesson.notes.iter().for_each(|note| say!("{note}"));
    }
    let runs = train_rounds(&rows, &store, &common.out, &options, &lesson, fold, None, Step::only("train"), &show)?;
    display.finish();
    if common.json {
        let dirs: Vec<_> = runs.iter().map(|r| json!({ "fold": r.fold, "run": r.dir })).collect();
        let (classes, notes) = (&lesson.class_names, &lesson.notes);
        output::json(&json!({ "runs": dirs, "classes": classes, "trained_on": lesson.trained_on, "notes": notes }));
    } else {
        for run in &runs {
            say!("{}: trained without {}", run.dir.display(), run.fold.as_deref().unwrap_or("nobody"));
        }
    }
    Ok(())
}

/// The recipe with what the command line changes in it.
fn train_options(settings: &TrainSettings, seed: u64) -> Result<TrainOptions, StudyError> {
    let TrainSettings { detector, width, weights, epochs, batch, learning_rate, dropout, boundary, freeze, .. } =
        settings;
    let recipe = match (&settings.recipe, detector) {
        (Some(recipe), _) => recipe.clone(),
        (None, Some(detector)) => recipe::of_detector(detector)?.to_owned(),
        (None, None) => "demo".to_owned(),
    };
    let weights = weights.as_ref().map(|path| path.to_string_lossy().into_owned());
    let mut changes: Vec<Change> = [
        detector.as_ref().map(|name| recipe::set("detector", name.as_str())),
        width.map(|width| recipe::set("width", width as i64)),
        weights.map(|path| recipe::set("weights", path)),
        epochs.map(|epochs| recipe::set("epochs", epochs)),
        batch.map(|batch| recipe::set("batch", batch)),
        learning_rate.map(|rate| recipe::set("optimiser.learning_rate", rate)),
        dropout.map(|rate| recipe::set("dropout", rate)),
        boundary.as_ref().map(|boundary| recipe::set("boundary", boundary.as_str())),
        freeze.as_ref().map(|stage| match stage.as_str() {
            "none" => ("freeze".to_owned(), None),
            stage => recipe::set("freeze", stage),
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    changes.extend(settings.set.iter().cloned());
    let mut config = TrainConfig { seed, ..recipe::read(&recipe, &changes)? };
    if let Some(method) = settings.inference {
        method.apply(settings, &mut config)?;
    }
    Ok(TrainOptions { config, device: settings.device.clone() })
}

fn run_predict(arguments: &Predict) -> Result<(), StudyError> {
    let Predict { manifest: path, which, common, .. } = arguments;
    let rows = manifest::read(path)?;
    let store = manifest::folder(path).to_owned();
    let runs = which.runs()?;
    if let Some(run) = runs.first().filter(|_| which.run.is_some()) {
        warn(&Detector::open(&run.dir, false)?.notes());
    }
    make_folder(common)?;
    let options = PredictOptions {
        samples: arguments.sampling.samples(),
        seed: arguments.seed,
        device: arguments.device.clone(),
        views: which.views,
        name: None,
    };
    let display = Display::new(common.quiet);
    let show = |p: &_| display.show(p);
    let how = provenance(arguments.seed, &tools());
    let step = Step::only("predict");
    let Predicted { path: predictions, missing, settled, note } =
        predict(&rows, &store, &runs, &common.out, &options, &how, step, &show)?;
    provenance::write(&common.out, "predict", &how)?;
    display.finish();
    warn(note.as_slice());
    if common.json {
        output::json(&json!({ "predictions": predictions, "missing": missing, "sampled": settled }));
    } else {
        say!("{}: {}", predictions.display(), options.samples.in_words());
        let mut drawn: Vec<u32> = settled.iter().map(|video| video.end.samples).collect();
        drawn.sort_unstable();
        if let (Some(least), Some(most)) = (drawn.first(), drawn.last()) {
            let open = settled.iter().filter(|video| !video.end.settled).count();
            let (median, all) = (drawn[drawn.len() / 2], drawn.len());
            say!("{least} to {most} samples of a video, the median {median}; {open} of {all} are not settled by them");
        }
        // The report names each, with its reason.
        if missing > 0 {
            say!("{missing} videos have no prediction: `dubito analyze` says why");
        }
    }
    Ok(())
}

fn run_analyze(arguments: &Analyze) -> Result<(), StudyError> {
    let Analyze { files, common, .. } = arguments;
    let options = analyze_options(arguments);
    if arguments.explain {
        for file in files {
            let explanation = explain(file, &options.input)?;
            if common.json {
                output::json(&json!(explanation));
            } else {
                explanation.lines().iter().for_each(output::line);
            }
        }
        return Ok(());
    }
    make_folder(common)?;
    let Predictions { scores, calibration, classes } = Predictions::read(files, &options)?;
    let input = ReportInput {
        title: arguments.title.clone(),
        provenance: provenance(arguments.seed, &tools()),
        missing: scores.missing.clone(),
        calibration,
        classes,
        all_items: arguments.all_items,
        ..ReportInput::default()
    };
    let metrics = write_report_of(&common.out, &scores, &input, &options)?;
    provenance::write(&common.out, "analyze", &input.provenance)?;
    warn(&metrics.warnings);
    say_metrics(common, &metrics);
    Ok(())
}

fn analyze_options(arguments: &Analyze) -> Options {
    let bootstrap = Bootstrap { replicates: arguments.resamples, seed: arguments.seed, ..Bootstrap::default() };
    Options {
        bootstrap: (arguments.resamples > 0).then_some(bootstrap),
        detector: arguments.detector.clone(),
        split: arguments.split.clone(),
        calibration_split: arguments.calibration_split.clone(),
        set_apart: arguments.set_apart.map(|share| SetApart { share, seed: arguments.seed }),
        by: arguments.by.clone(),
        view: View::default(),
        unit: match arguments.unit.as_str() {
            "bits" => Unit::Bits,
            "normalised" => Unit::Normalised,
            _ => Unit::Nats,
        },
        promises: Promises {
            alpha: arguments.alpha,
            delta: arguments.delta,
            prior: arguments.prior,
            unseen: arguments.unseen.iter().cloned().collect(),
        },
        input: InputOptions {
            map: arguments.map.clone(),
            detector_columns: arguments.detector_column.clone(),
            as_ensemble: arguments.as_ensemble,
            logits: arguments.logits,
        },
    }
}

fn run_demo(arguments: &Demo) -> Result<(), StudyError> {
    let Demo { faces, seed, common } = arguments;
    let tools = tools();
    make_folder(common)?;
    let display = Display::new(common.quiet);
    let show = |p: &_| display.show(p);
    let options = DemoOptions { faces: faces.clone(), out: common.out.clone(), seed: *seed };
    let demo = demo::demo(&options, &tools, provenance(*seed, &tools), &show)?;
    display.finish();
    warn(&demo.warnings);
    say_metrics(common, &demo.metrics);
    Ok(())
}

fn say_metrics(common: &Common, metrics: &Metrics) {
    let report = common.out.join("report.html");
    if common.json {
        output::json(&json!({ "report": report, "metrics": common.out.join("metrics.json") }));
        return;
    }
    let detectors: Vec<Option<&String>> = metrics
        .groups
        .iter()
        .filter(|group| group.level == metrics.top_level() && group.by.keys().all(|key| key == "detector"))
        .map(|group| group.by.get("detector"))
        .collect();
    for detector in detectors.iter().take(MOST_PAGES) {
        if let Some(detector) = detector {
            say!("{detector}:");
        }
        say_group(metrics, detector.map(String::as_str));
    }
    if detectors.len() > MOST_PAGES {
        say!("and {} more detectors: tables/metrics.csv", detectors.len() - MOST_PAGES);
    }
    say!("");
    say!("The report: {}", report.display());
}

fn say_group(metrics: &Metrics, detector: Option<&str>) {
    let by: Vec<(&str, &str)> = detector.map(|name| ("detector", name)).into_iter().collect();
    for name in ["auroc", "accuracy", "ece_top15", "misclassification_auroc_total"] {
        let Some(group) = metrics.group(&by, metrics.top_level()) else { break };
        let estimate = group.metric(name);
        let text = match (estimate.value, estimate.low.zip(estimate.high)) {
            (Some(value), Some((low, high))) => format!("{value:.3} ({low:.3} to {high:.3})"),
            (Some(value), None) => format!("{value:.3} (no interval)"),
            (None, _) => format!("undefined: {}", estimate.undefined_because.unwrap_or_default()),
        };
        let is_upside_down = name == "auroc" && estimate.high.is_some_and(|high| high < 0.5);
        let but =
            if is_upside_down { ", all below 0.5: the answers or the labels are the wrong way round" } else { "" };
        say!("{name:<30} {text}{but}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn what_a_stopped_command_leaves_is_true() {
        for (line, left) in [
            ("extract m.csv", Left::Resumes),
            ("study run s.toml", Left::Resumes),
            ("bayes convert r --manifest m.csv --epochs 2", Left::Resumes),
            ("bayes convert r", Left::Files),
            ("analyze s.csv", Left::Files),
            ("source s.parquet", Left::Files),
            ("study show s.toml", Left::Files),
            ("data audit m.csv", Left::Files),
            ("data stats m.csv", Left::Files),
            ("pulse v.mp4", Left::Files),
            ("detect v.mp4 --run r -o d", Left::Files),
            ("detect v.mp4 --run r", Left::Nothing),
            ("analyze s.csv --explain", Left::Nothing),
            ("train --show", Left::Nothing),
            ("data split m.csv", Left::Nothing),
            ("study plan s.toml", Left::Nothing),
            ("study clean s.toml", Left::Rest),
        ] {
            let cli = Cli::try_parse_from(["dubito"].into_iter().chain(line.split(' '))).unwrap();
            assert_eq!(left_by(&cli.command), left, "{line}");
        }
    }

    #[test]
    fn an_error_about_rows_names_a_file_only_where_there_is_one() {
        for (line, file) in [
            ("analyze a.csv", Some("a.csv")),
            ("analyze a.csv b.csv", None),
            ("source a.csv", Some("a.csv")),
            ("source a.csv b.csv", None),
        ] {
            let cli = Cli::try_parse_from(["dubito"].into_iter().chain(line.split(' '))).unwrap();
            assert_eq!(input_of(&cli.command), file.map(Path::new), "{line}");
        }
    }
}
