//! Dose and response: what a detector and its uncertainty do as fakes get easier to see.

use dubito_report::section::{Axis, Chart, ChartKind, CurvesPanel, Section};

use super::{Answering, Kind, curves, metric_table, reading, said};
use crate::StudyError;
use crate::study::config::ExperimentConfig;
use crate::study::plan::{Ask, Found, Planner};
use crate::study::step::Role;

pub(super) const KIND: Kind = Kind {
    name: "dose",
    title: "Dose and response",
    question: "As a forgery gets stronger, does confidence follow, and does uncertainty fall?",
    keys: &["detectors", "inference", "seeds", "samples", "strengths", "traces", "task"],
    plan,
    section,
    seconds: reading,
};

fn plan(planner: &mut Planner<'_>, experiment: &ExperimentConfig) -> Result<Found, StudyError> {
    let mut found = Vec::new();
    for ask in planner.asks(experiment, &["mc_dropout"]) {
        let traces = experiment.traces.iter().map(|trace| Some(trace.as_str()));
        let traces: Vec<Option<&str>> = if experiment.traces.is_empty() { vec![None] } else { traces.collect() };
        for (trace, &strength) in traces.iter().flat_map(|trace| experiment.strengths.iter().map(move |s| (trace, s))) {
            let test = planner.of_strength(&ask.data, *trace, strength)?;
            let setting = format!("{} = {strength}", trace.unwrap_or("strength"));
            planner.want(&mut found, &Ask { test, setting, ..ask.clone() });
        }
    }
    Ok(found)
}

fn section(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "Detectors trained on the standard strength of each generator judge the same people forged anew at other strengths, each person \
         by the detector that did not learn from them. Strength goes from 0 (as hard as the forge can) to 1 (traces left as they are); \
         of a single trace (`resolution` how coarsely the face is drawn, `blend` how plainly its edge shows, `colour` how much of its \
         difference in colour is left) while all others keep the standard strength. Intervals: 95 %, bootstrap over people."
            .into(),
    );
    let all = answering.evaluated(&mut section.skipped, &answering.options())?;
    let columns = [
        ("AUROC", "auroc"),
        ("misses", "miss_rate"),
        ("false alarms", "false_alarm_rate"),
        ("total (nats)", "total"),
        ("aleatoric (nats)", "aleatoric"),
        ("epistemic (nats)", "epistemic"),
        ("doubt finds errors", "misclassification_auroc_total"),
    ];
    section.tables.push(metric_table("dose", "By strength", "Of all videos.", &all, &columns));
    let strength = |role: &Role| role.setting.split_once(" = ").and_then(|(_, value)| value.parse::<f64>().ok());
    // A line for each detector, and for each trace of which the strength was set.
    let line = |role: &Role| match role.setting.split_once(" = ") {
        Some((trace, _)) if trace != "strength" => format!("{}, {trace}", role.who()),
        _ => role.who(),
    };
    for (name, title, metric, reference) in [
        ("auroc", "AUROC by strength", "auroc", Some(("chance".to_owned(), 0.5))),
        ("total", "Total uncertainty by strength", "total", None),
        ("epistemic", "Epistemic uncertainty by strength", "epistemic", None),
    ] {
        let placed = all.iter().filter_map(|one| Some((one, strength(&one.role)?)));
        let lines = curves(placed, |one| line(&one.role), metric);
        section.charts.push(Chart {
            name: name.into(),
            title: title.into(),
            caption: "Over the videos of all generators and the real ones, which stay the same.".into(),
            kind: ChartKind::Curves {
                panels: vec![CurvesPanel { title: title.into(), lines }],
                x: Axis { label: "strength of the forgery".into(), ends: Some([0.0, 1.0]), ..Axis::default() },
                y: Axis { label: if metric == "auroc" { "AUROC" } else { "nats" }.into(), ..Axis::default() },
                reference,
            },
        });
    }
    let mut whos: Vec<String> = all.iter().map(|one| line(&one.role)).collect();
    whos.dedup();
    for who in whos {
        let mut of: Vec<_> = all.iter().filter(|one| line(&one.role) == who).collect();
        of.sort_by(|a, b| strength(&a.role).unwrap_or(0.0).total_cmp(&strength(&b.role).unwrap_or(0.0)));
        if let (Some(weak), Some(strong)) = (of.first(), of.last())
            && of.len() > 1
        {
            section.findings.push(format!(
                "{who}: from {} to {} the AUROC goes from {} to {}, mean total uncertainty from {} to {} nats.",
                weak.role.setting,
                strong.role.setting,
                said(&weak.metric("auroc")),
                said(&strong.metric("auroc")),
                said(&weak.metric("total")),
                said(&strong.metric("total")),
            ));
        }
    }
    Ok(section)
}
