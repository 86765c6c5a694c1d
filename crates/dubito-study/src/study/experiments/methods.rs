//! Inference methods side by side, and ablations: what one setting changes while all others stay.

use dubito_report::section::{Axis, Chart, ChartKind, CurvesPanel, Section, Value};

use super::{Answering, Evaluated, Kind, best, curves, dots, metric_table, reading, row_name, said};
use crate::StudyError;
use crate::study::config::{ExperimentConfig, InferenceConfig};
use crate::study::plan::{Ask, Found, Planner};

pub(super) const INFERENCE: Kind = Kind {
    name: "inference",
    title: "Inference methods",
    question: "Of the ways to approximate the posterior, which gives probabilities that can be believed and an uncertainty that \
               finds the errors, and at what price?",
    keys: &["detectors", "inference", "seeds", "samples", "task", "leave_out"],
    plan: |planner, experiment| {
        let every = experiment.inference.is_empty().then(|| planner.config.inference.keys().cloned().collect());
        let experiment =
            ExperimentConfig { inference: every.unwrap_or(experiment.inference.clone()), ..experiment.clone() };
        super::binary::plan(planner, &experiment)
    },
    section: inference,
    seconds: reading,
};

pub(super) const ABLATION: Kind = Kind {
    name: "ablation",
    title: "Ablations",
    question: "What do the number of samples, the dropout rate, the boundary and the width of Gaussian weights change?",
    keys: &["detectors", "seeds", "samples", "rates", "boundaries", "deltas", "task", "leave_out"],
    plan: plan_ablation,
    section: ablation,
    seconds: reading,
};

const COLUMNS: [(&str, &str); 9] = [
    ("AUROC", "auroc"),
    ("NLL (nats)", "nll"),
    ("Brier", "brier"),
    ("ECE", "ece_top15"),
    ("doubt finds errors (total)", "misclassification_auroc_total"),
    ("doubt finds errors (epistemic)", "misclassification_auroc_epistemic"),
    ("AURC", "aurc"),
    ("total (nats)", "total"),
    ("epistemic (nats)", "epistemic"),
];

fn inference(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "Every method on the same trained network where it can be (dropout, Gaussian weights and Laplace begin from the same weights; \
         an ensemble needs networks of its own), judged on the same people. `Doubt finds errors` is the AUROC of an uncertainty for \
         wrong answers: 0.5 is chance. Seconds are those of drawing all samples for all clips on this machine. Intervals: 95 %, \
         bootstrap over people."
            .into(),
    );
    let all = answering.evaluated(&mut section.skipped, &answering.options())?;
    let mut table = metric_table("inference", "Methods", "Of all videos.", &all, &COLUMNS);
    table.columns.push("seconds of prediction".into());
    for (row, one) in table.rows.iter_mut().zip(&all) {
        let seconds =
            answering.found.iter().find(|(role, _)| *role == one.role).and_then(|(_, dir)| super::seconds_of(dir));
        row.push(match seconds {
            Some(seconds) => Value::Text(format!("{seconds:.1}")),
            None => "not measured".into(),
        });
    }
    section.tables.push(table);
    section.charts.push(dots(
        "errors",
        "Does doubt find the errors?",
        "AUROC of each uncertainty for wrong answers over videos.",
        &all,
        &[("total", "misclassification_auroc_total"), ("epistemic", "misclassification_auroc_epistemic")],
        "AUROC for wrong answers",
        Some(("chance", 0.5)),
    ));
    section.charts.push(dots(
        "nll",
        "Likelihood of what is true",
        "Mean negative log-likelihood of the true label over videos: lower is better.",
        &all,
        &[("NLL", "nll")],
        "nats",
        Some(("saying one half", std::f64::consts::LN_2)),
    ));
    let lowest = |metric: &str| best(&all, |one: &Evaluated| one.metric(metric).value.map(|v| -v));
    if let Some(one) = lowest("nll") {
        section.findings.push(format!(
            "The likeliest answers are those of {}: NLL {} nats.",
            row_name(one),
            said(&one.metric("nll"))
        ));
    }
    if let Some(one) = best(&all, |one| one.metric("misclassification_auroc_total").value) {
        section.findings.push(format!(
            "Total uncertainty finds the errors best under {}: AUROC {}.",
            row_name(one),
            said(&one.metric("misclassification_auroc_total"))
        ));
    }
    let compared: Vec<String> = answering
        .experiment
        .inference
        .iter()
        .filter(|name| all.iter().all(|one| one.role.inference != **name))
        .cloned()
        .collect();
    section.skipped.extend(compared.into_iter().map(|name| format!("{name}: no predictions")));
    section.meaning.push(
        "Differences smaller than the intervals are wide are not shown by so many people; the same people judge every method, so paired \
         differences are more certain than the intervals look."
            .into(),
    );
    Ok(section)
}

/// What is changed, one setting at a time, from Monte Carlo dropout as trained (or Gaussian weights, for delta).
fn plan_ablation(planner: &mut Planner<'_>, experiment: &ExperimentConfig) -> Result<Found, StudyError> {
    let mut found = Vec::new();
    let plain = ("mc_dropout".to_owned(), InferenceConfig::McDropout { rate: None, boundary: None });
    for detector in planner.detectors_of(experiment) {
        for seed in Planner::seeds_of(experiment) {
            let base = Ask { seed, ..planner.ask(experiment, &detector, &plain) };
            let mut asks = Vec::new();
            for &samples in &experiment.samples {
                asks.push(Ask { samples, setting: format!("samples = {samples}"), ..base.clone() });
            }
            for &rate in &experiment.rates {
                let inference = InferenceConfig::McDropout { rate: Some(rate), boundary: None };
                let inference = ("mc_dropout".to_owned(), inference);
                asks.push(Ask { inference, setting: format!("rate = {rate}"), ..base.clone() });
            }
            for &boundary in &experiment.boundaries {
                let inference = InferenceConfig::McDropout { rate: None, boundary: Some(boundary) };
                let inference = ("mc_dropout".to_owned(), inference);
                asks.push(Ask { inference, setting: format!("boundary = {boundary}"), ..base.clone() });
            }
            for &delta in &experiment.deltas {
                let mut set = toml::Table::new();
                set.insert("delta".into(), toml::Value::Float(f64::from(delta)));
                let inference = ("variational".to_owned(), InferenceConfig::Variational { epochs: 0, set });
                asks.push(Ask { inference, setting: format!("delta = {delta}"), ..base.clone() });
            }
            for ask in asks {
                planner.want(&mut found, &ask);
            }
        }
    }
    Ok(found)
}

fn ablation(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "One setting is changed at a time. Samples, rate, boundary and delta are changed when predicting: the weights stay those of one \
         training with dropout (Gaussian weights: MOPED around them, no fine-tuning). Intervals: 95 %, bootstrap over people."
            .into(),
    );
    let all = answering.evaluated(&mut section.skipped, &answering.options())?;
    section.tables.push(metric_table("ablation", "Settings", "Of all videos.", &all, &COLUMNS));
    // For each setting with numbers a panel of lines, one for each detector.
    let mut settings: Vec<String> = Vec::new();
    for one in &all {
        let name = one.role.setting.split(" = ").next().unwrap_or_default().to_owned();
        if !settings.contains(&name) {
            settings.push(name);
        }
    }
    for setting in &settings {
        let of: Vec<(&Evaluated, f64)> = all
            .iter()
            .filter_map(|one| {
                let (name, value) = one.role.setting.split_once(" = ")?;
                Some((one, value.parse().ok().filter(|_| name == setting)?))
            })
            .collect();
        if of.len() < 2 {
            continue;
        }
        let panels = [
            ("total", "total (nats)"),
            ("epistemic", "epistemic (nats)"),
            ("misclassification_auroc_epistemic", "epistemic finds errors"),
        ];
        let panel = |(metric, title): (&str, &str)| CurvesPanel {
            title: title.into(),
            lines: curves(of.iter().copied(), |one| one.role.who(), metric),
        };
        for each in panels {
            section.charts.push(Chart {
                name: format!("{setting}_{}", each.0),
                title: format!("{} by {setting}", each.1),
                caption: "All other settings as in training.".into(),
                kind: ChartKind::Curves {
                    panels: vec![panel(each)],
                    x: Axis { label: setting.clone(), logarithmic: setting == "samples", ..Axis::default() },
                    y: Axis { label: each.1.into(), ..Axis::default() },
                    reference: each.0.starts_with("misclassification").then(|| ("chance".to_owned(), 0.5)),
                },
            });
        }
        let by = |one: &Evaluated| one.metric("epistemic").value.unwrap_or(0.0);
        if let (Some((first, low)), Some((last, high))) = (
            of.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(one, x)| (*one, *x)),
            of.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(one, x)| (*one, *x)),
        ) {
            section.findings.push(format!(
                "{setting} from {low} to {high}: the mean epistemic uncertainty of {} goes from {:.4} to {:.4} nats, its AUROC for \
                 errors from {} to {}.",
                first.role.detector,
                by(first),
                by(last),
                said(&first.metric("misclassification_auroc_epistemic")),
                said(&last.metric("misclassification_auroc_epistemic")),
            ));
        }
    }
    Ok(section)
}
