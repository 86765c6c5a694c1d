//! False alarms and uncertainty by what is known of the people: skin tone and gender.

use std::collections::BTreeMap;

use dubito_report::evaluate::metrics_from_scores;
use dubito_report::section::{Axis, Chart, ChartKind, Section, Table, Value};
use dubito_stats::Estimate;
use serde_json::json;

use super::{Answering, Evaluated, Kind, reading, row_name, said};
use crate::StudyError;

pub(super) const KIND: Kind = Kind {
    name: "people",
    title: "People",
    question: "Are people of one skin tone or gender falsely accused more often, or judged with more doubt, than others?",
    keys: &["detectors", "inference", "seeds", "samples", "task", "leave_out"],
    plan: super::binary::plan,
    section,
    seconds: reading,
};

/// Monk's ten tones as studies pool them.
const TONES: [(&str, std::ops::RangeInclusive<u32>); 3] =
    [("tones 1 to 3", 1..=3), ("tones 4 to 6", 4..=6), ("tones 7 to 10", 7..=10)];

fn section(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "By what the data set says of the person who is seen (the target). Skin tones on Monk's scale are pooled as 1 to 3, 4 to 6 and 7 \
         to 10. A group of fewer than five people has numbers without an interval. Intervals: 95 %, bootstrap over people."
            .into(),
    );
    let mut options = answering.options();
    options.by = vec!["skin_tone".into(), "gender".into()];
    let all = answering.evaluated(&mut section.skipped, &options)?;
    let metrics = [
        ("false alarms", "false_alarm_rate"),
        ("misses", "miss_rate"),
        ("AUROC", "auroc"),
        ("total (nats)", "total"),
        ("epistemic (nats)", "epistemic"),
    ];
    let mut rows = Vec::new();
    let mut alarms: Vec<(String, Estimate)> = Vec::new();
    for one in &all {
        for what in ["skin_tone", "gender"] {
            let groups = groups(one, what);
            if groups.len() < 2 {
                let known = match groups.keys().next() {
                    None => "not assessable: the data set does not say".to_owned(),
                    Some(only) => format!("not assessable: everybody is of one group ({only})"),
                };
                section.skipped.push(format!("{} of {}: {known}", what.replace('_', " "), row_name(one)));
                continue;
            }
            let mut by: Vec<(String, Estimate)> = Vec::new();
            for (group, units) in &groups {
                let part = one.predictions.scores.part(group, |unit| units.contains(&unit));
                let found = metrics_from_scores(&part, &[], json!({}), &answering.options())?;
                let level = found.top_level();
                let overall = found.groups.iter().find(|g| g.level == level);
                let metric =
                    |name: &str| overall.map_or_else(|| Estimate::undefined("there is nobody"), |g| g.metric(name));
                let videos = overall.map_or(0, |g| g.items);
                let names = [Value::Text(row_name(one)), Value::Text(format!("{} {group}", what.replace('_', " ")))];
                let counted = [Value::Count(found.intervals.clusters as u64), Value::Count(videos as u64)];
                rows.push(
                    names.into_iter().chain(counted).chain(metrics.map(|(_, m)| Value::Estimate(metric(m)))).collect(),
                );
                alarms.push((
                    format!("{}, {} {group}", row_name(one), what.replace('_', " ")),
                    metric("false_alarm_rate"),
                ));
                by.push((group.clone(), metric("false_alarm_rate")));
            }
            let known: Vec<&(String, Estimate)> = by.iter().filter(|(_, e)| e.value.is_some()).collect();
            let of = |e: &&&(String, Estimate)| e.1.value.unwrap_or(0.0);
            if let (Some(most), Some(least)) = (
                known.iter().max_by(|a, b| of(a).total_cmp(&of(b))),
                known.iter().min_by(|a, b| of(a).total_cmp(&of(b))),
            ) {
                let apart = most.1.low.zip(least.1.high).map(|(low, high)| low > high);
                section.findings.push(format!(
                    "{} by {}: most false alarms for {} ({}), fewest for {} ({}); {}.",
                    row_name(one),
                    what.replace('_', " "),
                    most.0,
                    said(&most.1),
                    least.0,
                    said(&least.1),
                    match apart {
                        Some(true) => "their intervals do not meet",
                        Some(false) =>
                            "their intervals overlap: no difference is shown, which is not to say that there is none",
                        None => "too few people for an interval, so nothing is claimed",
                    }
                ));
            }
        }
    }
    section.tables.push(Table {
        name: "people".into(),
        title: "By group of people".into(),
        caption: "Of videos.".into(),
        columns: ["detector", "group", "people", "videos"]
            .into_iter()
            .chain(metrics.map(|(head, _)| head))
            .map(str::to_owned)
            .collect(),
        rows,
    });
    if !alarms.is_empty() {
        let (rows, values) = alarms.into_iter().unzip();
        section.charts.push(Chart {
            name: "false_alarms".into(),
            title: "False alarms by group of people".into(),
            caption: "Share of real videos that are called fake.".into(),
            kind: ChartKind::Dots {
                rows,
                series: vec![("false alarms".into(), values)],
                x: Axis { label: "share of real videos".into(), ..Axis::default() },
                reference: None,
            },
        });
    }
    section.meaning.push(
        "Simulated people have skin tones by construction and no gender; what is measured on them is the method's, not the world's."
            .into(),
    );
    Ok(section)
}

/// The units of each group.
fn groups(one: &Evaluated, what: &str) -> BTreeMap<String, std::collections::BTreeSet<usize>> {
    let mut groups: BTreeMap<String, std::collections::BTreeSet<usize>> = BTreeMap::new();
    let units = &one.predictions.scores.units;
    for unit in 0..units.len() {
        let Some(text) = units.text(what, unit) else { continue };
        let tone = text.trim().to_lowercase();
        let tone = tone.trim_start_matches("monk").trim_start_matches([' ', '-', '_']).parse::<u32>().ok();
        let pooled =
            tone.filter(|_| what == "skin_tone").and_then(|tone| TONES.iter().find(|(_, range)| range.contains(&tone)));
        groups.entry(pooled.map_or_else(|| text.to_owned(), |(name, _)| (*name).to_owned())).or_default().insert(unit);
    }
    groups
}
