//! Other data: detectors tested on data sets that they were not trained on, other people or the same under another encoder.

use dubito_report::section::{Chart, ChartKind, Section, Table, Value, far_apart};
use dubito_stats::Estimate;

use super::{Answering, Evaluated, Kind, reading, said};
use crate::StudyError;
use crate::study::config::ExperimentConfig;
use crate::study::plan::{Ask, Found, Planner};

pub(super) const KIND: Kind = Kind {
    name: "cross_data",
    title: "Other data",
    question: "Does a detector hold on data that it was not trained on: other people, another camera, another encoder? And does it \
               become less sure where it fails?",
    keys: &["detectors", "inference", "seeds", "samples", "tests", "task"],
    plan,
    section,
    seconds: reading,
};

fn plan(planner: &mut Planner<'_>, experiment: &ExperimentConfig) -> Result<Found, StudyError> {
    let mut found = Vec::new();
    for ask in planner.asks(experiment, &["mc_dropout"]) {
        for test in std::iter::once(&ask.data).chain(&experiment.tests) {
            planner.want(&mut found, &Ask { test: test.clone(), ..ask.clone() });
        }
    }
    Ok(found)
}

fn section(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "Trained on one data set, tested on it (people of other folds) and on others. Where those show the same people, each is judged \
         by the detector that did not learn from them; where they show others, the folds' detectors share them out. Intervals: 95 %, \
         bootstrap over people."
            .into(),
    );
    let all = answering.evaluated(&mut section.skipped, &answering.options())?;
    let columns = [
        ("AUROC", "auroc"),
        ("balanced accuracy", "balanced_accuracy"),
        ("false alarms", "false_alarm_rate"),
        ("misses", "miss_rate"),
        ("NLL (nats)", "nll"),
        ("ECE", "ece_top15"),
        ("total (nats)", "total"),
        ("epistemic (nats)", "epistemic"),
        ("doubt finds errors", "misclassification_auroc_total"),
    ];
    section.tables.push(Table {
        name: "cross_data".into(),
        title: "Tested on".into(),
        caption: "Of all videos. `Doubt finds errors` is the AUROC of total uncertainty for wrong answers.".into(),
        columns: ["detector", "trained on", "tested on"]
            .into_iter()
            .chain(columns.map(|(head, _)| head))
            .map(str::to_owned)
            .collect(),
        rows: all
            .iter()
            .map(|one| {
                let names = [one.role.who(), one.role.data.clone(), one.role.test.clone()].map(Value::Text);
                names.into_iter().chain(columns.map(|(_, metric)| Value::Estimate(one.metric(metric)))).collect()
            })
            .collect(),
    });
    let mut rows: Vec<String> = all.iter().map(|one| one.role.who()).collect();
    rows.dedup();
    let mut tests: Vec<String> = Vec::new();
    for one in &all {
        if !tests.contains(&one.role.test) {
            tests.push(one.role.test.clone());
        }
    }
    let of = |who: &str, test: &str| all.iter().find(|one| one.role.who() == who && one.role.test == test);
    for (name, title, metric, ends) in [
        ("auroc", "AUROC on other data", "auroc", Some([0.5, 1.0])),
        ("total", "Total uncertainty on other data", "total", None),
        ("epistemic", "Epistemic uncertainty on other data", "epistemic", None),
    ] {
        let value = |who: &String, test: &String| {
            of(who, test).map_or_else(|| Estimate::undefined("it was not tested"), |one| one.metric(metric))
        };
        let values: Vec<Vec<Estimate>> =
            rows.iter().map(|who| tests.iter().map(|test| value(who, test)).collect()).collect();
        section.charts.push(Chart {
            name: name.into(),
            title: title.into(),
            caption: "The first column is the data set of training, with people that were not trained on.".into(),
            kind: ChartKind::Matrix {
                by_row: ends.is_none() && far_apart(&values),
                values,
                rows: rows.clone(),
                columns: tests.clone(),
                what: if metric == "auroc" { "AUROC" } else { "nats" }.into(),
                ends,
            },
        });
    }
    for who in &rows {
        let Some(home) = tests.first().and_then(|test| of(who, test)) else { continue };
        for test in tests.iter().skip(1) {
            let Some(away) = of(who, test) else { continue };
            let rise = |one: &Evaluated| one.metric("total").value;
            let change = rise(away).zip(rise(home)).map(|(away, home)| away - home);
            section.findings.push(format!(
                "{who}: AUROC {} on {}, {} on {test}; its mean total uncertainty {} there.",
                said(&home.metric("auroc")),
                home.role.test,
                said(&away.metric("auroc")),
                match change {
                    Some(change) if change > 0.0 => format!("is {change:.3} nats higher"),
                    Some(change) => format!("is {:.3} nats lower", -change),
                    None => "is undefined".into(),
                }
            ));
        }
    }
    section.meaning.push(
        "Two data sets differ in more than one thing at once; which of them a detector fails on is not told by this table alone."
            .into(),
    );
    Ok(section)
}
