//! Label noise: what turned labels in training do to a detector and its uncertainty.

use dubito_report::section::Section;

use super::{Answering, Kind, dots, metric_table, reading, row_name, said};
use crate::StudyError;
use crate::study::config::ExperimentConfig;
use crate::study::plan::{Ask, Found, Planner};

pub(super) const KIND: Kind = Kind {
    name: "label_noise",
    title: "Label noise",
    question: "If a share of the training videos bears the wrong label, does the detector become less sure, as it should?",
    keys: &["detectors", "inference", "seeds", "samples", "shares", "task"],
    plan,
    section,
    seconds: reading,
};

fn plan(planner: &mut Planner<'_>, experiment: &ExperimentConfig) -> Result<Found, StudyError> {
    let mut found = Vec::new();
    for ask in planner.asks(experiment, &["mc_dropout"]) {
        for turned in std::iter::once(0.0).chain(experiment.shares.iter().copied()) {
            let setting = format!("{:.0} % of labels turned", 100.0 * turned);
            planner.want(&mut found, &Ask { turned, setting, ..ask.clone() });
        }
    }
    Ok(found)
}

fn section(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "Labels of a share of the training videos, that share of the real and of the fake ones, drawn by a seed, are turned before \
         training and stopping (a turned fake counts as real, a turned real video as fake, by a generator drawn likewise); testing is \
         with the true ones. Intervals: 95 %, bootstrap over people."
            .into(),
    );
    let all = answering.evaluated(&mut section.skipped, &answering.options())?;
    let columns = [
        ("AUROC", "auroc"),
        ("NLL (nats)", "nll"),
        ("ECE", "ece_top15"),
        ("total (nats)", "total"),
        ("aleatoric (nats)", "aleatoric"),
        ("epistemic (nats)", "epistemic"),
    ];
    section.tables.push(metric_table("label_noise", "By share of turned labels", "Of all videos.", &all, &columns));
    section.charts.push(dots(
        "uncertainty",
        "Uncertainty by share of turned labels",
        "Mean over videos.",
        &all,
        &[("aleatoric", "aleatoric"), ("epistemic", "epistemic")],
        "nats",
        None,
    ));
    if let Some(first) = all.first() {
        for one in all.iter().skip(1).filter(|one| one.role.who() == first.role.who()) {
            section.findings.push(format!(
                "{}: AUROC {} against {} without, mean aleatoric uncertainty {} against {} nats.",
                row_name(one),
                said(&one.metric("auroc")),
                said(&first.metric("auroc")),
                said(&one.metric("aleatoric")),
                said(&first.metric("aleatoric")),
            ));
        }
    }
    Ok(section)
}
