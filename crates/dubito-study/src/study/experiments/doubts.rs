//! What is in the uncertainty itself: which generator made a fake, which regions of the face it comes from, and whether maps
//! of it point at what was forged.

use dubito_data::manifest;
use dubito_report::manifold::{ManifoldOptions, source_section};
use dubito_report::section::Section;

use super::{Answering, Kind};
use crate::StudyError;
use crate::maps::{Judged, MapOptions, maps_section};
use crate::predict::find_runs;
use crate::regions::regions_section;
use crate::study::config::ExperimentConfig;
use crate::study::plan::{Found, Planner};

pub(super) const SOURCE: Kind = Kind {
    name: "source_from_uncertainty",
    title: "Which generator, from the uncertainty alone",
    question: "Does each generator leave a mark of its own in what a detector doubts, beyond what the probability says?",
    keys: &["detectors", "inference", "seeds", "samples", "task", "leave_out"],
    plan: plan_source,
    section: source,
    // Permutations and boosted trees.
    seconds: |_, _, _, needs| 60.0 + 30.0 * needs as f64,
};

pub(super) const REGIONS: Kind = Kind {
    name: "regions",
    title: "Regions of the face",
    question: "Which parts of the face does the uncertainty come from, and does that differ from generator to generator?",
    keys: &["detectors", "inference", "seeds", "samples", "frames", "videos", "task", "leave_out"],
    plan: plan_runs,
    section: |answering| looking(answering, false),
    seconds: |_, experiment, _, needs| 0.3 * pictures(experiment) * needs as f64,
};

pub(super) const MAPS: Kind = Kind {
    name: "maps",
    title: "Maps of the uncertainty",
    question: "Does a map of the uncertainty, pixel by pixel, point at what was forged? And is it better than knowing nothing: an edge \
               map, the centre, a network with random weights?",
    keys: &["detectors", "inference", "seeds", "samples", "frames", "videos", "task", "leave_out"],
    plan: plan_runs,
    section: |answering| looking(answering, true),
    seconds: |_, experiment, _, needs| 1.5 * pictures(experiment) * needs as f64,
};

/// Pictures that are looked at: of nine generators, if there are as many.
fn pictures(experiment: &ExperimentConfig) -> f64 {
    let MapOptions { frames, videos, .. } = MapOptions::default();
    9.0 * (experiment.frames.first().copied().unwrap_or(frames) * experiment.videos.unwrap_or(videos)) as f64
}

/// Predictions of the binary task: what is told from them was not taught.
fn plan_source(planner: &mut Planner<'_>, experiment: &ExperimentConfig) -> Result<Found, StudyError> {
    super::binary::plan_with(planner, experiment, &["mc_dropout"])
}

fn source(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let about = answering.section(String::new());
    let (mut paths, mut names) = (Vec::new(), Vec::new());
    for (role, dir) in answering.of("predictions") {
        paths.push(dir.join("predictions.parquet"));
        names.push(role.who());
    }
    answering.tell(0, 1, "features of the uncertainty")?;
    let options = ManifoldOptions {
        bootstrap: answering.bootstrap(),
        seed: answering.study.1,
        names,
        ..ManifoldOptions::default()
    };
    let section = source_section(&paths, &options)?;
    answering.tell(1, 1, "features of the uncertainty")?;
    Ok(named(section, about))
}

/// The section as the study knows it: its name, title and question, where its numbers come from, what it had to do without.
pub(super) fn named(section: Section, about: Section) -> Section {
    Section {
        name: about.name,
        title: about.title,
        question: about.question,
        sources: about.sources,
        skipped: about.skipped.into_iter().chain(section.skipped).collect(),
        ..section
    }
}

/// Runs and their clips, one after the other.
pub(super) fn plan_runs(planner: &mut Planner<'_>, experiment: &ExperimentConfig) -> Result<Found, StudyError> {
    let mut found = Vec::new();
    for ask in planner.asks(experiment, &["mc_dropout"]) {
        planner.want_runs(&mut found, &ask);
    }
    Ok(found)
}

fn looking(answering: &Answering<'_>, maps: bool) -> Result<Section, StudyError> {
    let about = answering.section(String::new());
    let experiment = answering.experiment;
    let usual = MapOptions::default();
    let options = MapOptions {
        frames: experiment.frames.first().copied().unwrap_or(usual.frames),
        videos: experiment.videos.unwrap_or(usual.videos),
        samples: experiment.samples.first().copied().unwrap_or(usual.samples),
        seed: answering.study.1,
        device: answering.device.to_owned(),
        replicates: answering.study.2,
        ..usual
    };
    // Detectors that look at the same clips are judged together; the first set of clips that has any is the experiment's.
    let Some((_, store)) = answering.of("clips").next() else {
        return Err(StudyError::Input {
            message: "there are no clips to look at".into(),
            hint: "the step that cuts them failed: `dubito study plan` shows why".into(),
        });
    };
    let rows = manifest::read(&store.join("manifest.parquet"))?;
    let mut judged = Vec::new();
    let mut elsewhere = Vec::new();
    for (role, dir) in answering.of("runs") {
        match answering.clips_of(role) == Some(store) {
            true => judged.push(Judged { name: role.who(), runs: find_runs(dir)? }),
            false => {
                elsewhere.push(format!("{}: it looks at other clips; give it an experiment of its own", role.who()))
            }
        }
    }
    let (dir, step, progress) = (answering.folder, answering.step, answering.on_progress);
    let section = match maps {
        true => maps_section(&rows, store, store, &judged, dir, &options, answering.tools, step, progress)?,
        false => regions_section(&rows, store, &judged, dir, &options, step, progress)?,
    };
    let mut section = named(section, about);
    section.skipped.extend(elsewhere);
    Ok(section)
}
