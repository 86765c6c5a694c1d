//! Calibration before and after recalibration, on people that nothing was fitted on.

use dubito_report::decisions::{RECALIBRATED, decisions};
use dubito_report::evaluate::Options;
use dubito_report::section::{Axis, Chart, ChartKind, Curve, CurvesPanel, Section, Table, Value};
use dubito_report::{Level, SetApart};
use dubito_stats::{Confidence, Estimate, reliability_of};

use super::{Answering, Kind, reading, row_name, said};
use crate::StudyError;

pub(super) const KIND: Kind = Kind {
    name: "calibration",
    title: "Calibration",
    question: "When a detector says 80 %, is it right 80 times of 100? And does recalibration on some people mend it for others?",
    keys: &["detectors", "inference", "seeds", "samples", "task", "leave_out"],
    plan: super::binary::plan,
    section,
    seconds: reading,
};

fn section(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "Half of the people (drawn by the seed, whole groups that share videos) are set apart: recalibrations are fitted on them alone \
         and judged on the others. ECE is that of the largest probability in 15 equal bins; a perfectly calibrated detector of so few \
         videos would not score 0 either, so the debiased one stands beside it. Intervals: 95 %, bootstrap over people."
            .into(),
    );
    let all = answering.evaluated(&mut section.skipped, &answering.options())?;
    let options = Options { set_apart: Some(SetApart { share: 0.5, seed: answering.study.1 }), ..answering.options() };
    let mut rows = Vec::new();
    let mut panels = Vec::new();
    for one in &all {
        let scores = &one.predictions.scores;
        let (apart, others) =
            match scores.set_apart(SetApart { share: 0.5, seed: answering.study.1 }, &scores.not_learned.unseen) {
                Ok(parts) => parts,
                Err(error) => {
                    section.skipped.push(format!("recalibration of {}: {error}", row_name(one)));
                    continue;
                }
            };
        let decided = decisions(&apart, &others, &options)?;
        for recalibrated in decided.iter().flat_map(|d| &d.recalibration) {
            let why = recalibrated.undefined_because.clone();
            let cell = |metric: &&str| match (recalibrated.metrics.get(*metric), &why) {
                (Some(found), _) => Value::Estimate(found.clone()),
                (None, Some(why)) => Value::Estimate(Estimate::undefined(why.clone())),
                (None, None) => Value::Estimate(Estimate::undefined("not computed")),
            };
            let names = [Value::Text(row_name(one)), Value::Text(recalibrated.method.to_owned())];
            rows.push(names.into_iter().chain(RECALIBRATED.iter().map(cell)).collect());
        }
        let of = |method: &str, metric: &str| {
            let all = decided.iter().flat_map(|d| &d.recalibration);
            let found = all.filter(|r| r.method == method).find_map(|r| r.metrics.get(metric).cloned());
            found.unwrap_or_else(|| Estimate::undefined("could not be fitted"))
        };
        section.findings.push(format!(
            "{}: debiased ECE {} as it is, {} after temperature scaling, {} after Platt scaling, on people that neither was fitted on.",
            row_name(one),
            said(&of("none", "ece_top15_debiased")),
            said(&of("temperature", "ece_top15_debiased")),
            said(&of("platt", "ece_top15_debiased")),
        ));
        let level = one.metrics.top_level();
        if let Some(set) = scores.sets.first()
            && let Ok(bins) = reliability_of(set.of(level), 10, Confidence::Positive)
        {
            let points = bins.iter().filter_map(|bin| {
                let observed = Estimate {
                    value: Some(bin.accuracy?),
                    low: bin.accuracy_low,
                    high: bin.accuracy_high,
                    undefined_because: None,
                };
                Some((bin.confidence?, observed))
            });
            let lines = vec![Curve { name: "observed".into(), points: points.collect() }, diagonal()];
            panels.push(CurvesPanel { title: row_name(one), lines });
        }
    }
    section.tables.push(Table {
        name: "recalibration".into(),
        title: "Before and after recalibration".into(),
        caption: "Of the people that were not set apart. `none` is the detector as it is.".into(),
        columns: ["detector", "recalibration"].into_iter().chain(RECALIBRATED).map(str::to_owned).collect(),
        rows,
    });
    section.charts.push(Chart {
        name: "reliability".into(),
        title: "Reliability diagrams".into(),
        caption: format!(
            "Each point is one of 10 bins of P(fake) over {}: how often it came true against how often it was said to. On the diagonal a \
             detector means what it says. Bars: 95 % Wilson intervals, which take the items as independent.",
            all.first().map_or("items", |one| if one.metrics.top_level() == Level::Video { "videos" } else { "items" })
        ),
        kind: ChartKind::Curves {
            panels,
            x: Axis { label: "P(fake) as said".into(), ends: Some([0.0, 1.0]), ..Axis::default() },
            y: Axis { label: "share of fakes".into(), ends: Some([0.0, 1.0]), ..Axis::default() },
            reference: None,
        },
    });
    section.meaning.push(
        "Recalibration changes what a probability says, not which video is more doubtful than another; and it holds for people and \
         generators like those it was fitted on."
            .into(),
    );
    Ok(section)
}

fn diagonal() -> Curve {
    Curve { name: "means what it says".into(), points: [0.0, 1.0].map(|x| (x, Estimate::point(x))).into() }
}
