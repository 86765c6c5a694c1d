//! Where each command writes and what it reads: checked before it begins.

use std::path::{Path, PathBuf};

use dubito_study::StudyError;
use dubito_study::output::{overwrites_nothing, writable_file, writable_folder};

use crate::args::Command;
use crate::attack::AttackCommand;
use crate::bayes::Bayes;
use crate::data::Data;
use crate::study::Study;
use crate::weights::Weights;

/// Where a command writes.
enum Place<'a> {
    Folder(&'a Path),
    File(&'a Path),
}

/// Where a command writes and what it reads.
struct Output<'a> {
    place: Place<'a>,
    /// Files in it that are written, and folders in it that are filled.
    writes: Vec<PathBuf>,
    /// Files and folders that must stay as they are.
    reads: Vec<&'a Path>,
}

impl<'a> Output<'a> {
    /// A folder in which these are written.
    fn folder(out: &'a Path, names: &[&str]) -> Self {
        let writes = names.iter().map(|name| out.join(name)).collect();
        Self { place: Place::Folder(out), writes, reads: Vec::new() }
    }

    /// One file.
    fn file(out: &'a Path) -> Self {
        Self { place: Place::File(out), writes: vec![out.to_owned()], reads: Vec::new() }
    }

    fn reading(mut self, paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        self.reads.extend(paths.into_iter().map(PathBuf::as_path));
        self
    }
}

/// What a report is made of.
const REPORT: [&str; 5] = ["report.html", "metrics.json", "sections.json", "tables", "figures"];

/// Checks that what a command is to write can be written, and that it overwrites nothing that it reads.
///
/// # Errors
/// Those of [`writable_folder`], [`writable_file`] and [`overwrites_nothing`].
pub fn check(command: &Command) -> Result<(), StudyError> {
    let Some(Output { place, writes, reads }) = of(command) else { return Ok(()) };
    match place {
        Place::Folder(out) => writable_folder(out)?,
        Place::File(out) => writable_file(out)?,
    }
    overwrites_nothing(&writes, &reads)
}

/// None for a command that writes nothing.
fn of(command: &Command) -> Option<Output<'_>> {
    Some(match command {
        Command::Doctor(_) | Command::Worker { .. } => return None,
        Command::Data(Data::Index(index)) => Output::file(&index.out).reading(&index.roots).reading(&index.classes),
        // A manifest may be split in its place.
        Command::Data(Data::Split(split)) if split.check => return None,
        Command::Data(Data::Split(split)) => Output::file(split.out.as_ref().unwrap_or(&split.manifest)),
        Command::Data(Data::Verify(_)) => return None,
        Command::Data(Data::Stats(stats)) => {
            Output::folder(&stats.out, &["stats.html", "stats.csv"]).reading([&stats.input])
        }
        Command::Data(Data::Audit(audit)) => {
            Output::folder(&audit.out, &["audit.html", "audit.json"]).reading([&audit.input])
        }
        Command::Data(Data::Merge(merge)) => Output::folder(&merge.store, &[]),
        Command::Simulate(simulate) => Output::folder(&simulate.common.out, &[]),
        Command::Forge(forge) => {
            let names = ["videos", "masks", "tracks", "records", "manifest.parquet", "contact-sheet.png"];
            Output::folder(&forge.common.out, &names).reading(&forge.faces)
        }
        Command::Extract(extract) => {
            Output::folder(&extract.common.out, &["records", "manifest.parquet"]).reading([&extract.input])
        }
        Command::Pulse(pulse) => {
            let names = ["pulse.svg", "pulse.png", "pulse-wave.csv", "pulse.csv"];
            Output::folder(&pulse.common.out, &names).reading(&pulse.video).reading(&pulse.manifest)
        }
        Command::Train(train) if train.settings.show => return None,
        Command::Train(train) => {
            // A fold's folder is emptied where it is of other settings.
            let out = Output::folder(&train.common.out, &[""]);
            out.reading(&train.settings.weights)
        }
        Command::Bayes(Bayes::Convert(convert)) => Output::folder(&convert.common.out, &[]),
        Command::Bayes(Bayes::Join(join)) => Output::folder(&join.common.out, &[]),
        Command::Bayes(Bayes::Scale(scale)) => Output::folder(&scale.common.out, &[]),
        Command::Predict(predict) => {
            Output::folder(&predict.common.out, &["samples", "predictions.parquet"]).reading([&predict.manifest])
        }
        Command::Attack(AttackCommand { manifest, common, .. }) => {
            let names = ["samples", "predictions", "attacks.json", "robustness.json", "report.html"];
            Output::folder(&common.out, &names).reading([manifest])
        }
        Command::Detect(detect) => {
            let out = detect.out.as_ref()?;
            let mut output = Output::folder(out, &[]).reading(&detect.files).reading(&detect.which.detector);
            let names = detect.files.iter().enumerate().map(|(number, file)| crate::detect::name_of(number, file));
            let endings = |name: String| ["json", "svg", "png"].map(|ending| out.join(format!("{name}.{ending}")));
            output.writes = names.flat_map(endings).collect();
            output
        }
        Command::Explain(explain) => {
            let names = ["maps.safetensors", "explain.json", "sheet.png"];
            Output::folder(&explain.out, &names).reading([&explain.input])
        }
        Command::Weights(Weights::List(_)) => return None,
        Command::Weights(Weights::Import(import)) => Output::file(&import.out).reading([&import.file]),
        Command::Weights(Weights::Export(export)) => Output::file(&export.out).reading([&export.from]),
        Command::Analyze(analyze) if analyze.explain => return None,
        Command::Analyze(analyze) => Output::folder(&analyze.common.out, &REPORT).reading(&analyze.files),
        Command::Study(Study::Plan(_) | Study::Clean(_)) => return None,
        Command::Study(Study::Show(which)) => Output::folder(&which.common.out, &REPORT).reading([&which.file]),
        Command::Study(Study::Run(run)) => {
            let names = ["steps", "report.html", "sections.json", "tables", "figures"];
            Output::folder(&run.which.common.out, &names).reading([&run.which.file])
        }
        Command::Source(source) => {
            let out = Output::folder(&source.common.out, &REPORT);
            out.reading(&source.predictions).reading(&source.features)
        }
        Command::Demo(demo) => Output::folder(&demo.common.out, &[]),
    })
}
