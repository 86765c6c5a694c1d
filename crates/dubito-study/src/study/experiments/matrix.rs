//! The study's centre piece: how uncertain every detector is on every generator.

use dubito_report::Level;
use dubito_report::section::Section;
use dubito_stats::Estimate;

use super::{Answering, Kind, by_generator, generators, matrix_table, reading, row_name};
use crate::StudyError;

pub(super) const KIND: Kind = Kind {
    name: "matrix",
    title: "Uncertainty by detector and generator",
    question: "On which generators is which detector uncertain, and is it the data's doubt or the model's?",
    keys: &["detectors", "inference", "seeds", "samples", "task", "leave_out"],
    plan: super::binary::plan,
    section,
    seconds: reading,
};

fn section(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "Mean uncertainty over the videos of each generator (and over real videos), in nats: total is the entropy of the mean \
         probability, epistemic the mutual information between answer and weights, aleatoric and between-frames the rest. The \
         binary total is at most ln 2 = 0.693. Intervals: 95 %, bootstrap over people."
            .into(),
    );
    let mut all = answering.evaluated(&mut section.skipped, &answering.options())?;
    let one_network: Vec<String> = all.iter().filter(|one| one.metrics.samples < 2).map(row_name).collect();
    for (name, title, metric) in [
        ("total", "Total uncertainty", "total"),
        ("aleatoric", "Aleatoric uncertainty", "aleatoric"),
        ("epistemic", "Epistemic uncertainty", "epistemic"),
    ] {
        if metric == "epistemic" && !one_network.is_empty() {
            all.retain(|one| one.metrics.samples >= 2);
            section.skipped.push(format!("epistemic uncertainty of {}: one network has none", one_network.join("; ")));
        }
        if all.is_empty() {
            break;
        }
        let caption = "Mean over the videos of one generator; darker is more uncertain (in its row, where rows differ tenfold: the \
                       key says so). A row compares generators, a column \
                       detectors; what is calibrated differently should be compared within its row.";
        let chart = by_generator(name, title, caption, &all, (metric, "nats"), false, None);
        section.tables.extend(matrix_table(&chart));
        section.charts.push(chart);
    }
    for one in &all {
        let of = |generator: &str| one.at(&[("generator", generator)], one.metrics.top_level(), "epistemic");
        let mut by: Vec<(String, Estimate)> = generators(&all).into_iter().map(|g| (g.clone(), of(&g))).collect();
        by.retain(|(_, e)| e.value.is_some());
        by.sort_by(|a, b| b.1.value.unwrap_or_default().total_cmp(&a.1.value.unwrap_or_default()));
        let real = of("real");
        if let (Some((most, high)), Some((least, low)), Some(real)) = (by.first(), by.last(), real.value) {
            let (high, low) = (high.value.unwrap_or_default(), low.value.unwrap_or_default());
            section.findings.push(format!(
                "{}: epistemic uncertainty is highest on {most} ({high:.4} nats) and lowest on {least} ({low:.4}); on real videos \
                 it is {real:.4}.",
                row_name(one)
            ));
        }
        let correlated = one.metrics.across_generators.iter().find(|across| across.level != Level::Frame);
        if let Some(across) = correlated {
            let rank = &across.epistemic.spearman.value;
            if rank.value.is_some() {
                section.findings.push(format!(
                    "{}: rank correlation over generators of mean epistemic uncertainty with accuracy {} (negative, if doubt is of \
                     use).",
                    row_name(one),
                    super::said(rank)
                ));
            }
        }
    }
    section.meaning.push(
        "A mean over videos says where a detector doubts, not whether the doubt is right: whether it rises on generators that \
         were never seen is what leaving one out asks."
            .into(),
    );
    Ok(section)
}
