//! Real or fake: every detector and inference method, by generator, on people that it never saw.

use dubito_report::Level;
use dubito_report::section::{Section, Table, Value};

use super::{
    Answering, Kind, above, best, by_generator, dots, generators, matrix_table, metric_table, reading, row_name, said,
};
use crate::StudyError;
use crate::study::config::ExperimentConfig;
use crate::study::plan::{Found, Planner};

pub(super) const KIND: Kind = Kind {
    name: "binary",
    title: "Real or fake",
    question: "How well does each detector, under each inference method, tell fakes from real videos of people that it has \
               never seen, and how sure is it?",
    keys: &["detectors", "inference", "seeds", "samples", "task", "leave_out"],
    plan,
    section,
    seconds: reading,
};

/// Predictions of every detector, inference method and seed in the binary task.
pub(super) fn plan(planner: &mut Planner<'_>, experiment: &ExperimentConfig) -> Result<Found, StudyError> {
    plan_with(planner, experiment, &["deterministic", "mc_dropout", "variational"])
}

/// The same, by `methods` where the experiment names none.
pub(super) fn plan_with(
    planner: &mut Planner<'_>,
    experiment: &ExperimentConfig,
    methods: &[&str],
) -> Result<Found, StudyError> {
    let mut found = Vec::new();
    for ask in planner.asks(experiment, methods) {
        planner.want(&mut found, &ask);
    }
    Ok(found)
}

fn section(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "Cross-fitting: each fold of people is judged by a detector that learned from the other folds alone; donors come from \
         the target's own fold. A video's probability is the mean over frames and posterior samples. Null controls (a real \
         video through a generator's whole warp, blend and encoder, nothing forged) count as real. Intervals: 95 %, bootstrap \
         over people."
            .into(),
    );
    let all = answering.evaluated(&mut section.skipped, &answering.options())?;
    section.tables.push(metric_table(
        "videos",
        "Videos",
        "Fake above one half. A false alarm is a real video called fake, a miss a fake called real.",
        &all,
        &[
            ("AUROC", "auroc"),
            ("balanced accuracy", "balanced_accuracy"),
            ("false alarms", "false_alarm_rate"),
            ("misses", "miss_rate"),
            ("NLL (nats)", "nll"),
            ("ECE", "ece_top15"),
            ("total (nats)", "total"),
            ("epistemic (nats)", "epistemic"),
        ],
    ));
    if all.iter().any(|one| one.metrics.top_level() == Level::Video) {
        let frame = |one: &super::Evaluated, metric: &str| Value::Estimate(one.at(&[], Level::Frame, metric));
        let columns = [
            ("AUROC", "auroc"),
            ("balanced accuracy", "balanced_accuracy"),
            ("false alarms", "false_alarm_rate"),
            ("misses", "miss_rate"),
        ];
        section.tables.push(Table {
            name: "frames".into(),
            title: "Frames".into(),
            caption: "The same of single frames.".into(),
            columns: std::iter::once("detector").chain(columns.map(|(head, _)| head)).map(str::to_owned).collect(),
            rows: all
                .iter()
                .map(|one| {
                    std::iter::once(Value::Text(row_name(one))).chain(columns.map(|(_, m)| frame(one, m))).collect()
                })
                .collect(),
        });
    }
    section.charts.push(dots(
        "auroc",
        "How well fakes are told from reals",
        "Area under the ROC curve of P(fake) over videos; guessing gives one half.",
        &all,
        &[("AUROC", "auroc")],
        "AUROC",
        Some(("chance", 0.5)),
    ));
    section.charts.push(dots(
        "errors",
        "False alarms and misses",
        "Share of the real videos that are called fake, and of the fakes that are called real.",
        &all,
        &[("false alarms", "false_alarm_rate"), ("misses", "miss_rate")],
        "share of videos",
        None,
    ));
    let chart = by_generator(
        "by_generator",
        "AUROC by generator",
        "The fakes of one generator against all real videos. Under one half a detector takes these fakes for more real than the \
         real ones.",
        &all,
        ("auroc", "AUROC"),
        true,
        Some([0.5, 1.0]),
    );
    section.tables.extend(matrix_table(&chart));
    section.charts.push(chart);

    let auroc = |one: &super::Evaluated| one.metric("auroc").value;
    if let Some(best) = best(&all, auroc) {
        let better = all.iter().filter(|one| above(&one.metric("auroc"), 0.5) == Some(true)).count();
        section.findings.push(format!(
            "The best of {} is {}: AUROC {} on people it never saw; {better} of them are better than chance (interval above 0.5).",
            all.len(),
            row_name(best),
            said(&best.metric("auroc")),
        ));
        let level = best.metrics.top_level();
        let by: Vec<(String, dubito_stats::Estimate)> = generators(&all)
            .into_iter()
            .map(|g| {
                let found = best.at(&[("generator", &g), ("against", "real")], level, "auroc");
                (g, found)
            })
            .filter(|(_, found)| found.value.is_some())
            .collect();
        let of = |(_, found): &&(String, dubito_stats::Estimate)| found.value.unwrap_or_default();
        let hardest = by.iter().min_by(|a, b| of(a).total_cmp(&of(b)));
        let easiest = by.iter().max_by(|a, b| of(a).total_cmp(&of(b)));
        if let (Some((hard, low)), Some((easy, high))) = (hardest, easiest)
            && hard != easy
        {
            section.findings.push(format!(
                "To it {hard} is the hardest generator (AUROC {}), {easy} the easiest ({}).",
                said(low),
                said(high)
            ));
        }
    }
    let at_chance: Vec<String> =
        all.iter().filter(|one| above(&one.metric("auroc"), 0.5) == Some(false)).map(row_name).collect();
    if !at_chance.is_empty() {
        section.findings.push(format!(
            "Not shown to be better than chance: {}. What is said below of their uncertainty is said of a detector that does not \
             detect.",
            at_chance.join("; ")
        ));
    }
    if all.iter().any(|one| above(&one.metric("auroc"), 0.5).is_none()) {
        section.meaning.push("Where there are too few people for an interval, no claim against chance is made.".into());
    }
    section.meaning.push(
        "Forged data measure the method, not the world: that a detector finds these fakes says nothing of how it would do on \
         fakes made by others."
            .into(),
    );
    Ok(section)
}
