//! Where each command writes and what it reads: checked before it begins.

use std::path::{Path, PathBuf};

use dubito_study::StudyError;
use dubito_study::output::{overwrites_nothing, writable_file, writable_folder};

use crate::args::Command;
use crate::attack::AttackCommand;
use crate::bayes::Bayes;
use crate::data::Data;
use crate::study::{RunStudy, Study};
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

/// Bytes of a file's name that are kept in the name of what is written for it; few file systems let one be longer than 255.
pub const MOST_NAME: usize = 200;

/// The tables of a report by `analyze` that could be given to it.
const TABLES: [&str; 9] = [
    "comparisons.csv",
    "confusion.csv",
    "decisions.csv",
    "items.csv",
    "metrics.csv",
    "missing.csv",
    "reliability.csv",
    "unseen.csv",
    "videos.csv",
];

/// Checks that what a command is to write can be written, and that it overwrites nothing that it reads.
///
/// # Errors
/// Those of [`writable_folder`], [`writable_file`] and [`overwrites_nothing`].
pub fn check(command: &Command) -> Result<(), StudyError> {
    let Some(Output { place, writes, reads }) = output_of(command) else { return Ok(()) };
    match place {
        Place::Folder(out) => writable_folder(out)?,
        Place::File(out) => writable_file(out)?,
    }
    overwrites_nothing(&writes, &reads)
}

/// Whether a command writes any file.
pub fn writes(command: &Command) -> bool {
    output_of(command).is_some()
}

/// Where a command writes; `None` for one that writes nothing.
fn output_of(command: &Command) -> Option<Output<'_>> {
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
            Output::folder(&extract.common.out, &["manifest.parquet"]).reading([&extract.input])
        }
        Command::Pulse(pulse) => {
            let names = ["pulse.svg", "pulse.png", "pulse-wave.csv", "pulse.csv"];
            Output::folder(&pulse.common.out, &names).reading(&pulse.video).reading(&pulse.manifest)
        }
        Command::Train(train) if train.settings.show => return None,
        // What the folds would overwrite is known once they are: `train_rounds`.
        Command::Train(train) => Output::folder(&train.common.out, &[]),
        Command::Bayes(Bayes::Convert(convert)) => Output::folder(&convert.common.out, &[]),
        Command::Bayes(Bayes::Join(join)) => Output::folder(&join.common.out, &[]),
        Command::Bayes(Bayes::Scale(scale)) => Output::folder(&scale.common.out, &[]),
        Command::Predict(predict) => {
            Output::folder(&predict.common.out, &["predictions.parquet"]).reading([&predict.manifest])
        }
        Command::Attack(AttackCommand { manifest, common, .. }) => {
            let names = ["predictions", "attacks.json", "robustness.json", "report.html"];
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
        Command::Analyze(analyze) => {
            let out = &analyze.common.out;
            let mut output = Output::folder(out, &["report.html", "metrics.json"]).reading(&analyze.files);
            let tables = |folder: &Path| TABLES.map(|name| folder.join("tables").join(name));
            output.writes.extend(tables(out));
            if analyze.files.len() > 1 {
                // Each of several detectors has a report of its own.
                let detectors = std::fs::read_dir(out.join("detectors")).into_iter().flatten().flatten();
                output.writes.extend(detectors.flat_map(|detector| tables(&detector.path())));
            }
            output
        }
        Command::Study(Study::Plan(_) | Study::Clean(_)) => return None,
        Command::Study(Study::Show(which) | Study::Run(RunStudy { which, .. })) => {
            Output::folder(&which.common.out, &["report.html", "sections.json"]).reading([&which.file])
        }
        // Its tables are known once it is done: `source::run`.
        Command::Source(source) => {
            let out = Output::folder(&source.common.out, &["report.html", "sections.json"]);
            out.reading(&source.predictions).reading(&source.features)
        }
        Command::Demo(demo) => Output::folder(&demo.common.out, &[]),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fmt::Write;

    use dubito_report::ReportInput;
    use dubito_report::evaluate::Options;
    use dubito_report::report::write_report;

    use super::*;

    #[test]
    fn the_tables_of_a_report_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = String::from("item,video,label,p_fake,split,detector\n");
        for (number, detector) in (0..80).flat_map(|number| [(number, "a"), (number, "b")]) {
            let (label, split) = (["real", "fake"][number / 2 % 2], ["val", "test"][number / 40]);
            let p = 0.1 + 0.3 * (number / 2 % 2) as f64 + 0.05 * (number * 7 % 11) as f64;
            writeln!(table, "i{number},v{},{label},{p},{split},{detector}", number / 2).unwrap();
        }
        let file = folder.path().join("scores.csv");
        std::fs::write(&file, table).unwrap();
        for detector in [None, Some("a")] {
            let out = folder.path().join(detector.unwrap_or("both"));
            let options = Options {
                bootstrap: None,
                detector: detector.map(str::to_owned),
                split: Some("test".into()),
                calibration_split: Some("val".into()),
                ..Options::default()
            };
            write_report(&out, std::slice::from_ref(&file), &ReportInput::default(), &options).unwrap();
            let folders = [out.clone(), out.join("detectors/a"), out.join("detectors/b")];
            let written = folders.iter().filter_map(|folder| std::fs::read_dir(folder.join("tables")).ok()).flatten();
            let names: Vec<String> = written.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            assert!(names.iter().any(|name| name == "items.csv"), "{names:?}");
            for name in names.iter().filter(|name| name.ends_with(".csv")) {
                assert!(TABLES.contains(&name.as_str()), "{name}");
            }
        }
    }
}
