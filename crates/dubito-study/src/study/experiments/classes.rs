//! Several classes: real and each generator, or which generator made a fake.

use std::collections::BTreeMap;

use dubito_report::Level;
use dubito_report::section::{Chart, ChartKind, Section, Table, Value};
use dubito_stats::Estimate;

use super::{Answering, Evaluated, Kind, reading, row_name, said};
use crate::StudyError;
use crate::study::config::ExperimentConfig;
use crate::study::plan::{Ask, Found, Planner};

pub(super) const MULTICLASS: Kind = Kind {
    name: "multiclass",
    title: "Real, or which generator",
    question: "Can a detector say at once whether a video is real and, if not, what made it?",
    keys: &["detectors", "inference", "seeds", "samples"],
    plan: |planner, experiment| plan(planner, experiment, "multiclass"),
    section,
    seconds: reading,
};

pub(super) const SOURCE: Kind = Kind {
    name: "source",
    title: "Which generator made a fake",
    question: "Given that a video is fake, can a detector say which generator made it?",
    keys: &["detectors", "inference", "seeds", "samples"],
    plan: |planner, experiment| plan(planner, experiment, "source"),
    section,
    seconds: reading,
};

fn plan(planner: &mut Planner<'_>, experiment: &ExperimentConfig, task: &str) -> Result<Found, StudyError> {
    let mut found = Vec::new();
    for ask in planner.asks(experiment, &["mc_dropout"]) {
        planner.want(&mut found, &Ask { task: task.to_owned(), ..ask });
    }
    Ok(found)
}

fn section(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "Cross-fitted over people as in the binary task. A video's class is the most probable one after the mean over frames and \
         samples. Guessing by the most frequent class gives the accuracy in the column `most frequent`, drawing evenly a \
         balanced accuracy of one over the number of classes. Intervals: 95 %, bootstrap over people."
            .into(),
    );
    let all = answering.evaluated(&mut section.skipped, &answering.options())?;
    let mut rows = Vec::new();
    for one in &all {
        // Without a class `real` the classes are all there is.
        let by: &[(&str, &str)] = if one.predictions.classes.is_some() { &[("task", "multiclass")] } else { &[] };
        let level = one.metrics.top_level();
        let metric = |name: &str| one.at(by, level, name);
        let counts = confusion(one, level);
        let of_most = counts.as_ref().map(|(_, rows)| {
            let sums: Vec<u64> = rows.iter().map(|(_, row)| row.iter().sum()).collect();
            let all = sums.iter().sum::<u64>().max(1);
            (sums.iter().copied().max().unwrap_or(0) as f64 / all as f64, rows.len())
        });
        let guess =
            of_most.map_or_else(|| Estimate::undefined("nothing is counted"), |(share, _)| Estimate::point(share));
        rows.push(vec![
            Value::Text(row_name(one)),
            metric("accuracy").into(),
            guess.into(),
            metric("balanced_accuracy").into(),
            metric("auroc").into(),
            metric("nll").into(),
            metric("ece_top15").into(),
            metric("total").into(),
            metric("epistemic").into(),
        ]);
        let balanced = metric("balanced_accuracy");
        if let Some((_, classes)) = of_most {
            let chance = 1.0 / classes as f64;
            let verdict = match super::above(&balanced, chance) {
                Some(true) => "above",
                Some(false) => "not shown to be above",
                None => "without an interval to compare with",
            };
            section.findings.push(format!(
                "{}: balanced accuracy {} over {classes} classes, {verdict} the {chance:.3} of drawing evenly.",
                row_name(one),
                said(&balanced)
            ));
        }
        if let Some((columns, rows)) = counts {
            let share = |row: &[u64]| -> Vec<Estimate> {
                let all: u64 = row.iter().sum();
                let of = |&n: &u64| match all {
                    0 => Estimate::undefined("there are none of this class"),
                    all => Estimate::point(n as f64 / all as f64),
                };
                row.iter().map(of).collect()
            };
            let mixed = most_mixed(&rows);
            if let Some((from, to, part)) = mixed {
                section.findings.push(format!(
                    "{}: most often mistaken is {from} for {to} ({:.0} % of its videos).",
                    row_name(one),
                    100.0 * part
                ));
            }
            section.charts.push(Chart {
                name: format!("confusion_{}", row_name(one)).replace([' ', ',', '='], "_"),
                title: format!("What is called what: {}", row_name(one)),
                caption: "Share of the videos of each row that is called what the column says; right answers lie on the diagonal."
                    .into(),
                kind: ChartKind::Matrix {
                    rows: rows.iter().map(|(name, row)| format!("{name} ({})", row.iter().sum::<u64>())).collect(),
                    columns,
                    values: rows.iter().map(|(_, row)| share(row)).collect(),
                    what: "share of the row".into(),
                    ends: Some([0.0, 1.0]), by_row: false },
            });
        }
    }
    let columns = [
        "detector",
        "accuracy",
        "most frequent",
        "balanced accuracy",
        "AUROC (macro)",
        "NLL (nats)",
        "ECE",
        "total (nats)",
        "epistemic (nats)",
    ];
    section.tables.push(Table {
        name: "videos".into(),
        title: "Videos".into(),
        caption: "AUROC is the mean of one class against the rest.".into(),
        columns: columns.map(str::to_owned).into(),
        rows,
    });
    section.meaning.push(
        "Classes are what made a video here, under one encoder. A generator that is not among them has no class of its own and \
         will be called one of the others."
            .into(),
    );
    Ok(section)
}

type Counts = (Vec<String>, Vec<(String, Vec<u64>)>);

/// Columns and rows of what is called what.
fn confusion(one: &Evaluated, level: Level) -> Option<Counts> {
    if let Some(found) = one.metrics.confusion.iter().find(|c| c.level == level) {
        let rows = found.classes.iter().cloned().zip(found.counts.iter().cloned()).collect();
        return Some((found.classes.clone(), rows));
    }
    let scores = &one.predictions.scores;
    let set = scores.sets.first()?;
    let classes = scores.task.classes.clone();
    let mut rows: BTreeMap<usize, Vec<u64>> = (0..classes.len()).map(|class| (class, vec![0; classes.len()])).collect();
    let items = set.of(level);
    for i in 0..items.len() {
        if let Some(cell) = rows.get_mut(&items.label(i)).and_then(|row| row.get_mut(items.predicted(i))) {
            *cell += 1;
        }
    }
    Some((classes.clone(), rows.into_iter().map(|(class, row)| (classes[class].clone(), row)).collect()))
}

/// The class that is most often called one certain other, that other, and how often.
fn most_mixed(rows: &[(String, Vec<u64>)]) -> Option<(String, String, f64)> {
    let mut most: Option<(String, String, f64)> = None;
    for (at, (name, row)) in rows.iter().enumerate() {
        let all = row.iter().sum::<u64>();
        for (to, &n) in row.iter().enumerate().filter(|&(to, &n)| to != at && n > 0) {
            let part = n as f64 / all.max(1) as f64;
            if most.as_ref().is_none_or(|(.., before)| part > *before) {
                most = Some((name.clone(), rows.get(to).map(|r| r.0.clone()).unwrap_or_default(), part));
            }
        }
    }
    most
}
