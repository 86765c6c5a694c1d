//! `dubito data`: from a data set on disk to a manifest that is split and checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use dubito_data::classes::ClassList;
use dubito_data::finding::{Finding, Severity};
use dubito_data::layouts::{self, IndexOptions};
use dubito_data::manifest::{self, Row};
use dubito_data::shard;
use dubito_data::split::{self, Assigned, Scheme, SplitOptions};
use dubito_data::verify::{self, VerifyOptions};
use dubito_data::{DataError, stats};
use dubito_media::Tools;
use dubito_study::StudyError;
use dubito_study::audit::{self, AuditOptions};
use dubito_study::provenance::{self, provenance};
use serde_json::{Value, json};

use crate::output::{self, say, warn};
use crate::progress::Display;

/// `data`
#[derive(Debug, Subcommand)]
pub enum Data {
    /// List the videos of a data set in a manifest
    Index(Index),
    /// Split a manifest so that no person is in two splits
    Split(Split),
    /// Check that files are there, whole, each once, and on one side of a split
    Verify(Verify),
    /// Count what is in a manifest, as a page with figures
    Stats(Stats),
    /// Check that no shortcut tells fake from real
    Audit(Audit),
    /// Make one manifest of those that `dubito extract --shard` left in a store
    Merge(Merge),
}

/// `data index`
#[derive(Debug, Args)]
#[command(long_about = "\
List the videos of a data set in a manifest: label, generator, people, compression, split, race, gender.

Layouts: ffpp, fakeavceleb, celebdf, dfdc, deeperforensics, forgerynet, wilddeepfake, df40, deepfakebench,
folder (real/, fake/GENERATOR/) and csv (a table, given as the root); docs/DATA.md shows each. Without
--layout it is recognised. Several roots, or manifests, become one manifest; a file of which two of them say
different things gets the status unclear. Files are not opened: `dubito data verify` does that.")]
pub struct Index {
    /// Folders of data sets, tables (.csv with --layout csv) or manifests (.parquet)
    #[arg(value_name = "ROOT", required = true)]
    pub roots: Vec<PathBuf>,
    /// How the data set lies on disk; recognised without it
    #[arg(long, value_name = "NAME")]
    pub layout: Option<String>,
    /// A class list (TOML) in place of the one that comes with the program
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// For csv: which of its columns is which, e.g. path=filename,label=is_fake
    #[arg(long, value_delimiter = ',', value_name = "OURS=THEIRS")]
    pub columns: Vec<String>,
    /// The manifest to write; CSV where it ends in .csv
    #[arg(short, long, value_name = "FILE", default_value = "manifest.parquet")]
    pub out: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// `data split`
#[derive(Debug, Args)]
#[command(long_about = "\
Split a manifest so that no person is in two splits, neither as a target nor as a donor.

People who share a video move as one. From 40 people on they go to train, val and test (72 : 14 : 14),
under 40 into folds for cross-fitting; generators and people are spread evenly. --official takes
FaceForensics++'s own pairs. Writes the manifest with the columns split and cell.")]
pub struct Split {
    /// The manifest to split
    #[arg(value_name = "MANIFEST")]
    pub manifest: PathBuf,
    /// The manifest to write; the same one without it
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Folder with FaceForensics++'s train.json, val.json and test.json
    #[arg(long, value_name = "DIR", conflicts_with_all = ["ratios", "folds", "cut"])]
    pub official: Option<PathBuf>,
    /// Shares of train, val and test
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "TRAIN,VAL,TEST", conflicts_with = "folds")]
    pub ratios: Option<Vec<f64>>,
    /// Folds for cross-fitting
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(3..=20))]
    pub folds: Option<u16>,
    /// Put people, not groups of people who share a video, into splits, and leave out what joins two splits
    #[arg(long)]
    pub cut: bool,
    /// Seed of the order in which people are placed
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Only check that no person is in two splits, and write nothing; exit code 5 if one is
    #[arg(long, conflicts_with_all = ["out", "official", "ratios", "folds", "cut"])]
    pub check: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// `data verify`
#[derive(Debug, Args)]
#[command(long_about = "\
Check that files are there, whole, each once, and on one side of a split.

Takes a manifest, or the root of a data set, which is indexed first; given two manifests it also says where
they disagree. Reports parts of which only some is there, files that are missing, empty, unreadable or there
twice (BLAKE3), people and contents in two splits, and with --frames numbers of frames. Exit code 5 if
anything is wrong.")]
pub struct Verify {
    /// Manifests, or roots of data sets: one or two
    #[arg(value_name = "MANIFEST|ROOT", required = true, num_args = 1..=2)]
    pub inputs: Vec<PathBuf>,
    /// Folder that a manifest's paths are relative to, where that is not its own
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// How a root lies on disk; recognised without it
    #[arg(long, value_name = "NAME")]
    pub layout: Option<String>,
    /// Also open each video and count its frames
    #[arg(long)]
    pub frames: bool,
    /// Do not compare contents
    #[arg(long)]
    pub no_contents: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// `data stats`
#[derive(Debug, Args)]
pub struct Stats {
    /// A manifest, or the root of a data set
    #[arg(value_name = "MANIFEST|ROOT")]
    pub input: PathBuf,
    /// Folder that stats.html and stats.csv are written to
    #[arg(short, long, value_name = "DIR", default_value = "dubito-out")]
    pub out: PathBuf,
    /// How a root lies on disk; recognised without it
    #[arg(long, value_name = "NAME")]
    pub layout: Option<String>,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// `data audit`
#[derive(Debug, Args)]
#[command(long_about = "\
Check that no shortcut tells fake from real: a benchmark that one solves is worth nothing.

Trains small classifiers, tested on people they never saw, on what must not help (container, bit rate and
size; pixels outside the masks; pose; how long and how surely the face is followed: the 95 % interval of the
AUROC must hold .5) and on what may help a little (sharpness, noise and colour, each and together: at most
.75). Names the generator that has a leak, and shows null controls beside untouched videos. Writes
OUT/audit.json and OUT/audit.html. Exit code 5 if a shortcut is found, 3 if nothing could be decided.")]
pub struct Audit {
    /// A manifest with videos of both classes, or the folder it lies in
    #[arg(value_name = "STORE|MANIFEST")]
    pub input: PathBuf,
    /// Most videos that are looked at, all videos of a target together
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(2..))]
    pub videos: u32,
    /// Seed of the choice of videos, of the classifiers and of the bootstrap
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder that audit.json and audit.html are written to
    #[arg(short, long, value_name = "DIR", default_value = "dubito-out")]
    pub out: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// `data merge`
#[derive(Debug, Args)]
#[command(long_about = "\
Make one manifest of those that `dubito extract --shard i/N` left in a store.

The last shard to finish does so by itself; this is for a store that was put together from several disks, or
where the file system showed the parts too late. Writes STORE/manifest.parquet, which has the same rows as
one process would give it.")]
pub struct Merge {
    /// The folder that the shards wrote to
    #[arg(value_name = "STORE")]
    pub store: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Runs one of them.
pub fn run(arguments: &Data, tools: &Tools) -> Result<(), StudyError> {
    match arguments {
        Data::Index(arguments) => run_index(arguments, tools),
        Data::Split(arguments) => run_split(arguments, tools),
        Data::Verify(arguments) => run_verify(arguments, tools),
        Data::Stats(arguments) => run_stats(arguments),
        Data::Audit(arguments) => run_audit(arguments, tools),
        Data::Merge(arguments) => run_merge(arguments),
    }
}

/// The folder of a file that is to be written.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A manifest or a root, read: rows, the folder that their paths are relative to, what was noticed, the layout.
struct Opened {
    rows: Vec<Row>,
    root: PathBuf,
    findings: Vec<Finding>,
    layout: Option<&'static str>,
}

/// A folder is indexed, a `.csv` too where it is said to be a table or lacks a manifest's columns; the rest is a
/// manifest, whose paths are relative to `root`, or without one to its own folder.
fn open(input: &Path, options: &IndexOptions, root: Option<&Path>) -> Result<Opened, DataError> {
    let is_csv = input.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    let is_table = (is_csv && (options.layout.is_some() || !options.columns.is_empty()))
        || options.layout.as_deref() == Some("csv");
    if input.is_dir() || is_table {
        let index = layouts::index(input, options)?;
        let layout = Some(index.layout.name);
        return Ok(Opened { rows: index.rows, root: index.root, findings: index.findings, layout });
    }
    match root.map_or_else(|| verify::open(input), |root| verify::open_below(input, root)) {
        Ok((rows, root, findings)) => Ok(Opened { rows, root, findings, layout: None }),
        Err(DataError::Table { path, row: None, message }) if is_csv && message.contains("is missing") => {
            let message = format!("{message}. A table that is no manifest is read with `--layout csv`");
            Err(DataError::Table { path, row: None, message })
        }
        Err(error) => Err(error),
    }
}

fn say_findings(findings: &[Finding]) {
    for finding in findings {
        let severity = if finding.severity == Severity::Problem { "problem" } else { "note" };
        say!("  {severity} {}: {}", finding.what, finding.line());
    }
}

fn run_index(arguments: &Index, tools: &Tools) -> Result<(), StudyError> {
    let mut columns = BTreeMap::new();
    for pair in &arguments.columns {
        let (ours, theirs) = pair.split_once('=').ok_or_else(|| StudyError::Input {
            message: format!("--columns {pair:?} is not OURS=THEIRS"),
            hint: "for example --columns path=filename,label=is_fake".into(),
        })?;
        columns.insert(ours.to_owned(), theirs.to_owned());
    }
    let classes = match &arguments.classes {
        Some(path) => ClassList::read(path)?,
        None => ClassList::default(),
    };
    let options = IndexOptions { layout: arguments.layout.clone(), classes, columns };
    let folder = folder_of(&arguments.out);
    let (mut parts, mut findings, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for root in &arguments.roots {
        let opened = open(root, &options, None)?;
        findings.extend(opened.findings);
        found.push(json!({ "root": root, "layout": opened.layout, "rows": opened.rows.len() }));
        parts.push(manifest::rebase(opened.rows, &opened.root, folder));
    }
    let (rows, disagreements) = match parts.len() {
        1 => (parts.swap_remove(0), Vec::new()),
        _ => manifest::merge(parts),
    };
    let meaning = "files of which two of the roots say different things";
    findings.extend(Finding::of("disagree", Severity::Problem, meaning, disagreements));
    let mut how = provenance(0, tools);
    how["index"] = json!({ "roots": found, "findings": findings });
    manifest::write(&arguments.out, &rows, &how.to_string())?;
    provenance::write(&arguments.out, "data index", &how)?;
    let mut status: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *status.entry(row.status.name()).or_default() += 1;
    }
    if arguments.json {
        let object = json!({
            "manifest": arguments.out, "rows": rows.len(), "status": status, "roots": found, "findings": findings,
        });
        output::json(&object);
        return Ok(());
    }
    for part in &found {
        let layout = part["layout"].as_str().unwrap_or("a manifest");
        say!("{}: {layout}, {} rows", part["root"].as_str().unwrap_or_default(), part["rows"]);
    }
    let status: Vec<String> = status.iter().map(|(status, n)| format!("{n} {status}")).collect();
    say!("{}: {} rows ({})", arguments.out.display(), rows.len(), status.join(", "));
    say_findings(&findings);
    Ok(())
}

fn run_split(arguments: &Split, tools: &Tools) -> Result<(), StudyError> {
    if arguments.manifest == Path::new("-") && arguments.out.is_none() && !arguments.check {
        return Err(StudyError::Input {
            message: "-: a manifest from standard input can't be split in its place".into(),
            hint: "name the manifest to write by -o".into(),
        });
    }
    let (rows, root, noticed) = verify::open(&arguments.manifest)?;
    if arguments.check {
        return check_split(arguments, &rows);
    }
    let assigned = match &arguments.official {
        Some(folder) => split::official(&rows, folder)?,
        None => {
            let scheme = match (&arguments.ratios, arguments.folds) {
                (Some(ratios), _) => Scheme::Ratios(three(ratios)?),
                (None, Some(folds)) => Scheme::Folds(folds.into()),
                (None, None) => Scheme::Auto,
            };
            split::assign(&rows, &SplitOptions { scheme, seed: arguments.seed, cut: arguments.cut })?
        }
    };
    let out = arguments.out.as_ref().unwrap_or(&arguments.manifest);
    let Assigned { rows, people, units, left_out, .. } = assigned;
    let mut how = provenance(arguments.seed, tools);
    how["split"] = json!({ "official": arguments.official, "cut": arguments.cut, "ratios": arguments.ratios });
    let counts = by_split(&rows);
    let leaks = split::leaks(&rows);
    manifest::write(out, &manifest::rebase(rows, &root, folder_of(out)), &how.to_string())?;
    provenance::write(out, "data split", &how)?;
    let meaning = "videos are in no split";
    let findings: Vec<Finding> = noticed
        .into_iter()
        .chain(Finding::of("left_out", Severity::Note, meaning, left_out))
        .chain(leak_finding(&leaks))
        .collect();
    if arguments.json {
        let object = json!({
            "manifest": out, "people": people, "units": units, "splits": counts, "findings": findings,
        });
        output::json(&object);
    } else {
        say!("{}: {people} people in {units} groups", out.display());
        say_splits(&counts);
        say_findings(&findings);
    }
    Ok(())
}

fn three(ratios: &[f64]) -> Result<[f64; 3], StudyError> {
    match ratios {
        &[train, val, test]
            if [train, val, test].iter().all(|r| (0.0..=1e9).contains(r)) && train > 0.0 && test > 0.0 =>
        {
            Ok([train, val, test])
        }
        _ => Err(StudyError::Input {
            message: format!("--ratios {ratios:?} is not three shares, of which train and test are above 0"),
            hint: "for example --ratios 0.7,0.15,0.15".into(),
        }),
    }
}

/// Videos and people of each split.
fn by_split(rows: &[Row]) -> BTreeMap<String, Value> {
    let mut splits: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.status == manifest::Status::Ok && !r.split.is_empty()) {
        splits.entry(&row.split).or_default().push(row);
    }
    let counted = |rows: Vec<&Row>| {
        let people: std::collections::BTreeSet<&str> = rows.iter().flat_map(|r| r.people()).collect();
        let mut generators: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &rows {
            *generators.entry(&row.generator).or_default() += 1;
        }
        json!({ "videos": rows.len(), "people": people.len(), "generators": generators })
    };
    splits.into_iter().map(|(split, rows)| (split.to_owned(), counted(rows))).collect()
}

fn say_splits(counts: &BTreeMap<String, Value>) {
    for (split, count) in counts {
        say!("  {split:<8} {:>7} videos {:>6} people", count["videos"], count["people"]);
    }
}

fn leak_finding(leaks: &[split::Leak]) -> Option<Finding> {
    let leaks = leaks.iter().map(|l| format!("{} ({})", l.identity, l.splits.join(", "))).collect();
    Finding::of("identity_in_two_splits", Severity::Problem, "people are in more than one split", leaks)
}

fn check_split(arguments: &Split, rows: &[Row]) -> Result<(), StudyError> {
    let counts = by_split(rows);
    if counts.is_empty() {
        return Err(StudyError::Input {
            message: format!("{}: no row has a split", arguments.manifest.display()),
            hint: "`dubito data split MANIFEST` makes one".into(),
        });
    }
    let leaks = split::leaks(rows);
    let findings: Vec<Finding> = leak_finding(&leaks).into_iter().collect();
    if arguments.json {
        output::json(&json!({ "passed": leaks.is_empty(), "splits": counts, "findings": findings }));
    } else {
        say_splits(&counts);
        say_findings(&findings);
    }
    match leaks.len() {
        0 => Ok(()),
        n => Err(StudyError::CheckFailed { message: format!("{n} people are in more than one split") }),
    }
}

fn run_verify(arguments: &Verify, tools: &Tools) -> Result<(), StudyError> {
    let options = IndexOptions { layout: arguments.layout.clone(), ..IndexOptions::default() };
    let look = VerifyOptions { contents: !arguments.no_contents, frames: arguments.frames };
    let mut opened = Vec::new();
    let mut reports = Vec::new();
    let mut problems = 0;
    for input in &arguments.inputs {
        let mut one = open(input, &options, arguments.root.as_deref())?;
        let mut report = verify::verify(&one.rows, &one.root, look, tools);
        // What verify finds itself needs no second line.
        let seen: Vec<&str> = report.findings.iter().map(|f| f.what).collect();
        let noticed: Vec<Finding> = one.findings.drain(..).filter(|f| !seen.contains(&f.what)).collect();
        report.findings.extend(noticed);
        problems += usize::from(!report.passed());
        reports.push(report);
        opened.push(one);
    }
    let across = match opened.as_slice() {
        [a, b] => verify::compare((&a.rows, &a.root), (&b.rows, &b.root)),
        _ => Vec::new(),
    };
    problems += across.iter().filter(|f| f.severity == Severity::Problem).count();
    if arguments.json {
        let inputs: Vec<Value> = arguments
            .inputs
            .iter()
            .zip(&reports)
            .zip(&opened)
            .map(|((input, report), one)| {
                json!({ "input": input, "layout": one.layout, "passed": report.passed(), "report": report })
            })
            .collect();
        output::json(&json!({ "passed": problems == 0, "inputs": inputs, "across": across }));
    } else {
        for (input, report) in arguments.inputs.iter().zip(&reports) {
            let status: Vec<String> = report.status.iter().map(|(status, n)| format!("{n} {status}")).collect();
            say!("{}: {} rows ({})", input.display(), report.rows, status.join(", "));
            if let Some(frames) = report.frames {
                say!("  {frames} frames");
            }
            for count in &report.counts {
                let part =
                    if count.group.is_empty() { count.part.clone() } else { format!("{} {}", count.group, count.part) };
                say!("  {part:<32} {:>7} of {:>7}  {}", count.found, count.published, count.verdict());
            }
            say_findings(&report.findings);
        }
        if arguments.inputs.len() == 2 {
            say!("the two beside each other:");
            say_findings(&across);
        }
    }
    match problems {
        0 => Ok(()),
        _ => Err(StudyError::CheckFailed { message: "the data is not as it should be".into() }),
    }
}

fn run_stats(arguments: &Stats) -> Result<(), StudyError> {
    let options = IndexOptions { layout: arguments.layout.clone(), ..IndexOptions::default() };
    let opened = open(&arguments.input, &options, None)?;
    let counted = stats::stats(&opened.rows);
    let name = arguments.input.file_name().unwrap_or(arguments.input.as_os_str()).to_string_lossy();
    let page = stats::write(&counted, &opened.findings, &format!("What is in {name}"), &arguments.out)?;
    if arguments.json {
        output::json(&json!({ "page": page, "table": arguments.out.join("stats.csv"), "stats": counted }));
        return Ok(());
    }
    say!("{} real and {} fake videos, {} people", counted.total.real, counted.total.fake, counted.total.people);
    say!("The page: {}", page.display());
    Ok(())
}

fn run_audit(arguments: &Audit, tools: &Tools) -> Result<(), StudyError> {
    let input = match arguments.input.is_dir() {
        true => arguments.input.join("manifest.parquet"),
        false => arguments.input.clone(),
    };
    let (rows, root, noticed) = verify::open(&input)?;
    warn(&noticed.iter().map(Finding::line).collect::<Vec<_>>());
    std::fs::create_dir_all(&arguments.out).map_err(StudyError::io(&arguments.out))?;
    let display = Display::new(arguments.quiet);
    let options = AuditOptions { seed: arguments.seed, videos: arguments.videos as usize };
    let steps = audit::STEPS;
    let audit = audit::audit(&rows, &root, &arguments.out, &options, tools, steps, &|p| display.show(p))?;
    display.finish();
    let name = arguments.input.file_name().unwrap_or(arguments.input.as_os_str()).to_string_lossy();
    let how = provenance(arguments.seed, tools);
    let page = audit::write(&audit, &name, how.clone(), &arguments.out)?;
    provenance::write(&arguments.out, "data audit", &how)?;
    if arguments.json {
        output::json(&json!({ "page": page, "table": arguments.out.join("audit.json"), "audit": audit }));
    } else {
        audit::in_words(&audit).iter().for_each(output::line);
        say!("The page: {}", page.display());
    }
    audit::verdict(&audit)
}

fn run_merge(arguments: &Merge) -> Result<(), StudyError> {
    let merged = shard::merge(&arguments.store)?;
    if arguments.json {
        output::json(&json!({ "manifest": merged.path, "rows": merged.rows.len() }));
    } else {
        say!("{}: {} rows", merged.path.display(), merged.rows.len());
    }
    Ok(())
}
