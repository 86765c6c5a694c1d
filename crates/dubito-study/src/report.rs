//! The report of a study: predictions, with what the manifest and the store know about them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use dubito_data::clip::Clip;
use dubito_data::manifest::{Label, Row, Status};
use dubito_data::split::MIN_PEOPLE_FOR_INTERVALS;
use dubito_report::evaluate::Options;
use dubito_report::report::write_report_of;
use dubito_report::{Example, Metrics, Predictions, ReportInput};
use serde_json::Value;

use crate::StudyError;

/// Writes the report of `predictions` to `out`. With the manifest's `rows` (and their `store`) it also shows example frames. `not_in_this_run` are sentences on what was not
/// done. What the runs never saw is known from the predictions' own provenance.
///
/// # Errors
/// Predictions that can't be read, an `out` that can't be written to.
#[allow(clippy::too_many_arguments)] // one call, each argument a different thing
pub fn report(
    predictions: &[PathBuf],
    rows: &[Row],
    store: Option<&Path>,
    title: &str,
    provenance: Value,
    not_in_this_run: &[String],
    out: &Path,
    options: &Options,
) -> Result<Metrics, StudyError> {
    let Predictions { scores, calibration, classes } = Predictions::read(predictions, options)?;
    let clips: BTreeMap<&str, &str> =
        rows.iter().filter_map(|r| Some((r.video.as_str(), r.clip.as_deref()?))).collect();
    let mut examples = Vec::new();
    for notable in scores.examples() {
        let Some((store, clip)) = store.zip(clips.get(notable.video.as_str())) else { continue };
        let clip = Clip::read(&store.join(clip))?;
        let at = notable.frame.and_then(|f| clip.frame_index.iter().position(|i| *i == f));
        let Some(image) = at.and_then(|i| clip.image(i)) else { continue };
        let mut png = Cursor::new(Vec::new());
        if image.write_to(&mut png, image::ImageFormat::Png).is_ok() {
            examples.push(Example { png: png.into_inner(), caption: notable.caption, group: notable.group });
        }
    }
    let (options, few) = enough_people(rows, options);
    let input = ReportInput {
        title: title.to_owned(),
        provenance,
        facts: facts(rows),
        missing: scores.missing.clone(),
        examples,
        notes: notes(rows).into_iter().chain(few).collect(),
        calibration,
        classes,
        not_in_this_run: not_in_this_run.to_vec(),
        ..ReportInput::default()
    };
    Ok(write_report_of(out, &scores, &input, &options)?)
}

/// People tested in each fold.
pub fn people_by_fold(rows: &[Row]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut folds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.status == Status::Ok && !r.split.is_empty()) {
        folds.entry(&row.split).or_default().insert(&row.identity);
    }
    folds
}

/// Where a fold tests fewer people than [`MIN_PEOPLE_FOR_INTERVALS`], intervals are left undefined:
/// the bootstrap then asks for more people than there are, and says so.
fn enough_people(rows: &[Row], options: &Options) -> (Options, Option<String>) {
    let folds = people_by_fold(rows);
    let smallest = folds.iter().map(|(fold, people)| (people.len(), *fold)).min();
    let mut options = options.clone();
    match (smallest, &mut options.bootstrap) {
        (Some((people, fold)), Some(bootstrap)) if people < MIN_PEOPLE_FOR_INTERVALS => {
            let all: BTreeSet<_> = folds.values().flatten().collect();
            bootstrap.min_clusters = all.len() + 1;
            let note = format!(
                "{fold} tests {people} people; under {MIN_PEOPLE_FOR_INTERVALS} in a fold, an interval would promise \
                 more than so few can show, so none is given. Each figure stands for these people alone."
            );
            (options, Some(note))
        }
        _ => (options, None),
    }
}

fn facts(rows: &[Row]) -> Vec<(String, String)> {
    let used: Vec<&Row> = rows.iter().filter(|r| r.status == Status::Ok).collect();
    if used.is_empty() {
        return Vec::new();
    }
    let distinct = |of: &dyn Fn(&Row) -> Option<String>| {
        used.iter().filter_map(|r| of(r)).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
    };
    let folds = people_by_fold(rows);
    let sizes: Vec<String> = folds.iter().map(|(fold, people)| format!("{fold}: {}", people.len())).collect();
    vec![
        ("People by fold".into(), sizes.join(", ")),
        ("Generators".into(), distinct(&|r| (r.label == Label::Fake).then(|| r.generator.clone()))),
        ("Compression".into(), distinct(&|r| Some(r.compression.clone()))),
        ("Encoder".into(), distinct(&|r| r.encoder.clone())),
        ("Decoder".into(), distinct(&|r| r.decoder.clone())),
    ]
}

fn notes(rows: &[Row]) -> Vec<String> {
    let mut notes = Vec::new();
    if rows.iter().any(|r| r.dataset == dubito_data::forge::DATASET) {
        notes.push(
            "The fakes were forged from these same videos. Forged data measure the method, not the world: that a \
             detector finds them says nothing of how it would do on fakes made by others."
                .into(),
        );
        notes.push(
            "A null control is a real video whose own face went through a generator's whole warp, blend and encoder. \
             It counts as real, in training and here: a detector that calls it fake has learned the resampling, not \
             the forgery."
                .into(),
        );
    }
    notes
}
