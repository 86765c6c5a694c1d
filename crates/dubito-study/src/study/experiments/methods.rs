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
    question: "What do the number of samples, the dropout rate, the boundary, the width of Gaussian weights, the detector's recipe, \
               the frames of a video and its compression change?",
    keys: &[
        "detectors",
        "seeds",
        "samples",
        "rates",
        "boundaries",
        "deltas",
        "recipe",
        "frames",
        "crf",
        "task",
        "leave_out",
    ],
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
            for (key, values) in &experiment.recipe {
                for value in values {
                    let recipe = vec![(key.clone(), Some(value.clone()))];
                    asks.push(Ask { recipe, setting: format!("{key} = {value}"), ..base.clone() });
                }
            }
            asks.iter().for_each(|ask| planner.want(&mut found, ask));
            for &frames in &experiment.frames {
                let ask = Ask { setting: format!("frames = {frames}"), ..base.clone() };
                match planner.of_frames(&ask, frames) {
                    Ok(view) => planner.want(&mut found, &Ask { view, ..ask }),
                    Err(error) => planner.lack(&ask, &error),
                }
            }
            for &crf in &experiment.crf {
                let ask = Ask { setting: format!("crf = {crf}"), ..base.clone() };
                match planner.of_crf(&ask.data, crf) {
                    Ok(data) => planner.want(&mut found, &Ask { test: data.clone(), data, ..ask }),
                    Err(error) => planner.lack(&ask, &error),
                }
            }
        }
    }
    Ok(found)
}

fn ablation(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "One setting is changed at a time. Samples, rate, boundary and delta are changed when predicting: the weights stay those of one \
         training with dropout (Gaussian weights: MOPED around them, no fine-tuning). With every other key of the recipe, number of \
         frames and quantiser (crf) detectors are trained anew, and tested on clips that are made likewise. Intervals: 95 %, bootstrap \
         over people."
            .into(),
    );
    let all = answering.evaluated(&mut section.skipped, &answering.options())?;
    section.tables.push(metric_table("ablation", "Settings", "Of all videos.", &all, &COLUMNS));
    // For each setting with numbers charts of lines, one for each detector.
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
        let caption = match setting.as_str() {
            "samples" | "rate" | "boundary" | "delta" => "The same training throughout; all other settings as in it.",
            "frames" => "Trained and tested on clips of so many frames of each video.",
            "crf" => "Forged, trained and tested with this quantiser: larger is coarser.",
            _ => "Trained anew with each value; the rest of the recipe as it is.",
        };
        section.charts.extend(CURVES.map(|(metric, title, chance)| Chart {
            name: format!("{}_{metric}", setting.replace('.', "_")),
            title: format!("{title} by {setting}"),
            caption: caption.into(),
            kind: ChartKind::Curves {
                panels: vec![CurvesPanel {
                    title: title.into(),
                    lines: curves(of.iter().copied(), |one| one.role.who(), metric),
                }],
                x: Axis {
                    label: setting.clone(),
                    logarithmic: ["samples", "frames"].contains(&setting.as_str()),
                    ..Axis::default()
                },
                y: Axis { label: title.into(), ..Axis::default() },
                reference: chance.then(|| ("chance".to_owned(), 0.5)),
            },
        }));
        section.findings.extend(from_low_to_high(setting, &of));
    }
    Ok(section)
}

/// Metrics that are drawn for each setting, each with its title and whether one half of it is chance.
const CURVES: [(&str, &str, bool); 4] = [
    ("auroc", "AUROC", true),
    ("total", "total (nats)", false),
    ("epistemic", "epistemic (nats)", false),
    ("misclassification_auroc_epistemic", "epistemic finds errors", true),
];

/// For each detector what its lowest and its highest value of a setting give.
fn from_low_to_high(setting: &str, of: &[(&Evaluated, f64)]) -> Vec<String> {
    let mut whos: Vec<String> = of.iter().map(|(one, _)| one.role.who()).collect();
    whos.dedup();
    let each = whos.iter().filter_map(|who| {
        let own = || of.iter().filter(|(one, _)| one.role.who() == *who);
        let (first, low) = own().min_by(|a, b| a.1.total_cmp(&b.1))?;
        let (last, high) = own().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let nats = |one: &Evaluated| one.metric("epistemic").value.map_or("undefined".into(), |v| format!("{v:.4}"));
        let both = |metric: &str| format!("from {} to {}", said(&first.metric(metric)), said(&last.metric(metric)));
        (low < high).then(|| {
            format!(
                "{setting} from {low} to {high}: the AUROC of {who} goes {}, its mean epistemic uncertainty from {} to {} nats, the \
                 AUROC of that for errors {}.",
                both("auroc"),
                nats(first),
                nats(last),
                both("misclassification_auroc_epistemic"),
            )
        })
    });
    each.collect()
}
