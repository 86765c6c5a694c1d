//! Leave one generator family out: what a detector makes of fakes whose making it never saw.

use std::collections::{BTreeMap, BTreeSet};

use dubito_report::rates::Rate;
use dubito_report::scores::{predicted, real_class};
use dubito_report::section::{Axis, Chart, ChartKind, ScatterPanel, Section, Table, Value};
use dubito_report::unseen::Unseen;
use dubito_report::{Level, Origin};
use dubito_stats::unseen::{correlation, rank_correlation};
use dubito_stats::{Bootstrap, Estimate};

use super::{Answering, Evaluated, Kind, above, reading, said};
use crate::StudyError;
use crate::study::config::ExperimentConfig;
use crate::study::plan::{Ask, Found, Planner};

pub(super) const KIND: Kind = Kind {
    name: "leave_one_out",
    title: "A generator that was never seen",
    question: "When a detector meets fakes by a family of generators that was kept from it, how many does it still catch, and does \
               its uncertainty rise, so that somebody is warned?",
    keys: &["detectors", "inference", "seeds", "samples", "leave_out", "self_blends", "task"],
    plan,
    section,
    seconds: reading,
};

/// What is changed where self-blended faces are among the fakes that are learned from.
const SELF_BLENDS: &str = "with self-blends";

fn plan(planner: &mut Planner<'_>, experiment: &ExperimentConfig) -> Result<Found, StudyError> {
    let left_out = planner.left_out(experiment)?;
    let mut found = Vec::new();
    let mut asks = Vec::new();
    for ask in planner.asks(experiment, &["mc_dropout"]) {
        asks.extend(left_out.iter().map(|leave_out| Ask { leave_out: leave_out.clone(), ..ask.clone() }));
    }
    asks.iter().for_each(|ask| planner.want(&mut found, ask));
    if experiment.self_blends == Some(true) {
        for ask in asks {
            let ask = Ask { self_blends: true, setting: SELF_BLENDS.into(), ..ask };
            match planner.with_self_blends(&ask.data) {
                Ok(data) => planner.want(&mut found, &Ask { data, ..ask }),
                Err(error) => planner.lack(&ask, &error),
            }
        }
    }
    Ok(found)
}

/// One detector with one family left out.
struct Without<'a> {
    one: &'a Evaluated,
    unseen: &'a Unseen,
}

impl Without<'_> {
    fn left_out(&self) -> String {
        self.one.role.left_out.join(" and ")
    }

    /// Detector and method, all seeds alike.
    fn who(&self) -> String {
        format!("{} {}", self.one.role.detector, self.one.role.inference)
    }

    fn doubt(&self, doubt: &str, of: fn(&dubito_stats::unseen::UnseenDoubt) -> &Estimate) -> Estimate {
        let all = self.unseen.generators.first();
        let found = all.and_then(|all| all.doubts.get(doubt));
        found.map_or_else(|| Estimate::undefined("the predictions have no such uncertainty"), |d| of(d).clone())
    }

    /// Its unseen fakes.
    fn fakes(&self) -> Vec<Fake> {
        let scores = &self.one.predictions.scores;
        let (Some(set), Some(real)) = (scores.sets.first(), real_class(&scores.task)) else { return Vec::new() };
        let level = if scores.has_videos { Level::Video } else { Level::Item };
        let divided = set.samples != 1 && !(scores.has_videos && set.videos_undivided.is_some());
        let all = scores.scored(set, level).into_iter().filter_map(|(unit, scored)| {
            let Origin::Generator(generator) = scores.units.origin(unit) else { return None };
            let person = scores.units.text("identity", unit).unwrap_or(scores.units.name(unit));
            scores.not_learned.unseen.contains(generator).then(|| Fake {
                person: person.to_owned(),
                caught: predicted(&scored) != real,
                total: scored.total,
                epistemic: divided.then_some(scored.epistemic),
            })
        });
        all.collect()
    }

    fn caught(&self) -> Estimate {
        let all = self.unseen.generators.first();
        all.map_or_else(|| Estimate::undefined("there are no unseen fakes"), |all| all.caught.clone())
    }
}

/// A fake by a generator that was left out.
struct Fake {
    person: String,
    caught: bool,
    total: f64,
    epistemic: Option<f64>,
}

/// Numbers of people, the same for every detector.
#[derive(Default)]
struct People(BTreeMap<String, u32>);

impl People {
    fn number(&mut self, name: &str) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(name.to_owned()).or_insert(next)
    }
}

fn doubt_of(name: &str) -> fn(&Fake) -> Option<f64> {
    if name == "total" { |fake| Some(fake.total) } else { |fake| fake.epistemic }
}

/// Rank correlation of a doubt with the share caught over detectors, methods and families left out (seeds are no further
/// families), with an interval over people.
fn over_people(of: &[&Without<'_>], doubt: fn(&Fake) -> Option<f64>, bootstrap: &Bootstrap) -> Estimate {
    let (mut people, mut pairs) = (People::default(), BTreeMap::new());
    let (mut doubts, mut caught, mut groups, mut persons) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for f in of {
        let next = pairs.len() as u32;
        let group = *pairs.entry((f.who(), f.left_out())).or_insert(next);
        for fake in f.fakes() {
            let Some(doubt) = doubt(&fake) else { continue };
            doubts.push(doubt);
            caught.push(f64::from(u8::from(fake.caught)));
            groups.push(group);
            persons.push(people.number(&fake.person));
        }
    }
    rank_correlation(&doubts, &caught, &groups, &persons, bootstrap)
        .unwrap_or_else(|error| Estimate::undefined(error.to_string()))
}

fn section(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let mut section = answering.section(
        "With a generator its whole family is left out: training, early stopping and everything that is chosen never see it; kin \
         of which a part was seen count neither as seen nor as unseen. Seen and unseen fakes are of the same people, whom the \
         detector never saw either, so that what differs is the making alone. Detection of the unseen is the probability that a \
         video by an unseen generator has the higher uncertainty of it and one that is seen (real or fake): 0.5 is chance. \
         Intervals: 95 %, bootstrap over people."
            .into(),
    );
    let all = answering.evaluated(&mut section.skipped, &answering.options())?;
    let mut found = Vec::new();
    for one in &all {
        match one.metrics.unseen.iter().find(|unseen| unseen.task == "binary") {
            Some(unseen) => found.push(Without { one, unseen }),
            None => section.skipped.push(format!(
                "{} without {}: no video by what was left out has a prediction",
                one.role.who(),
                one.role.left_out.join(" and ")
            )),
        }
    }
    // What self-blends were trained with is shown apart.
    let (apart, plain): (Vec<Without<'_>>, Vec<Without<'_>>) =
        found.into_iter().partition(|f| f.one.role.setting == SELF_BLENDS);
    if !plain.is_empty() {
        show(&mut section, answering, &plain, "", "");
    }
    if !apart.is_empty() {
        show_self_blends(&mut section, answering, &plain, &apart);
    }
    if section.tables.is_empty() {
        return Ok(section);
    }
    section.meaning.push(
        "An uncertainty that does not rise on what was never seen can still find errors among what is known; but it gives no warning of \
         a new kind of fake, and a verdict on such a video should not lean on it."
            .into(),
    );
    Ok(section)
}

/// Tables, charts and findings of some trainings. `suffix` ends the names of tables and charts, `note` their titles
/// and begins their findings.
fn show(section: &mut Section, answering: &Answering<'_>, found: &[Without<'_>], suffix: &str, note: &str) {
    let named = |name: &str| format!("{name}{suffix}");
    let titled = |title: &str| if note.is_empty() { title.to_owned() } else { format!("{title} ({note})") };
    let first_finding = section.findings.len();
    let difference = |found: &Without<'_>, doubt: &str| found.doubt(doubt, |d| &d.difference);
    let detection = |found: &Without<'_>, doubt: &str| found.doubt(doubt, |d| &d.detection.auroc);
    section.tables.push(Table {
        name: named("left_out"),
        title: titled("Each family left out"),
        caption: "Caught: share of the fakes that are called fake. Rise: mean uncertainty on unseen fakes less that on seen ones, in \
                  nats."
            .into(),
        columns: [
            "detector", "left out", "unseen fakes", "caught unseen", "caught seen", "rise of total", "rise of epistemic",
            "detection by total", "detection by epistemic",
        ]
        .map(str::to_owned)
        .into(),
        rows: found
            .iter()
            .map(|f| {
                vec![
                    Value::Text(f.one.role.who()),
                    Value::Text(f.left_out()),
                    Value::Count(f.unseen.generators.first().map_or(0, |all| all.items as u64)),
                    f.caught().into(),
                    f.unseen.seen_fakes_caught.clone().into(),
                    difference(f, "total").into(),
                    difference(f, "epistemic").into(),
                    detection(f, "total").into(),
                    detection(f, "epistemic").into(),
                ]
            })
            .collect(),
    });
    section.charts.push(Chart {
        name: named("detection"),
        title: titled("Does uncertainty tell what was never seen?"),
        caption: "How well each uncertainty tells videos by unseen generators from all others.".into(),
        kind: ChartKind::Dots {
            rows: found.iter().map(|f| format!("{} without {}", f.one.role.who(), f.left_out())).collect(),
            series: ["total", "aleatoric", "epistemic"]
                .map(|doubt| (doubt.to_owned(), found.iter().map(|f| detection(f, doubt)).collect()))
                .into(),
            x: Axis { label: "AUROC of detecting the unseen".into(), ..Axis::default() },
            reference: Some(("chance".into(), 0.5)),
        },
    });
    section.charts.push(Chart {
        name: named("caught"),
        title: titled("Fakes that are caught"),
        caption: "Share of fakes called fake: by generators that the detector learned from, and by those left out, of the same people."
            .into(),
        kind: ChartKind::Dots {
            rows: found.iter().map(|f| format!("{} without {}", f.one.role.who(), f.left_out())).collect(),
            series: vec![
                ("seen generators".into(), found.iter().map(|f| f.unseen.seen_fakes_caught.clone()).collect()),
                ("unseen generators".into(), found.iter().map(Without::caught).collect()),
            ],
            x: Axis { label: "share caught".into(), ends: Some([0.0, 1.0]), ..Axis::default() },
            reference: None,
        },
    });

    // Generalisation against uncertainty, over families and seeds, for each detector.
    let mut by_who: BTreeMap<String, Vec<&Without<'_>>> = BTreeMap::new();
    for f in found {
        by_who.entry(f.who()).or_default().push(f);
    }
    let mut panels = Vec::new();
    let mut rows = Vec::new();
    for (who, of) in &by_who {
        // A family's seeds are averaged: seeds are no further families.
        let mut families: BTreeMap<String, Vec<(f64, f64, f64)>> = BTreeMap::new();
        for f in of {
            let doubt = |name: &str| f.doubt(name, |d| &d.unseen).value;
            if let (Some(caught), Some(total)) = (f.caught().value, doubt("total")) {
                families.entry(f.left_out()).or_default().push((caught, total, doubt("epistemic").unwrap_or(f64::NAN)));
            }
        }
        let mean = |values: &[(f64, f64, f64)], pick: fn(&(f64, f64, f64)) -> f64| {
            values.iter().map(pick).sum::<f64>() / values.len() as f64
        };
        let points: Vec<(String, [f64; 3])> = families
            .iter()
            .map(|(name, v)| (name.clone(), [mean(v, |p| p.0), mean(v, |p| p.1), mean(v, |p| p.2)]))
            .collect();
        let caught: Vec<f64> = points.iter().map(|(_, p)| p[0]).collect();
        for (at, name) in [(1, "total"), (2, "epistemic")] {
            let doubts: Vec<f64> = points.iter().map(|(_, p)| p[at]).collect();
            if doubts.iter().any(|d| d.is_nan()) {
                continue;
            }
            let Ok(found) = correlation(&doubts, &caught, answering.study.1) else { continue };
            let rho = over_people(of, doubt_of(name), &answering.bootstrap());
            rows.push(vec![
                Value::Text(who.clone()),
                name.into(),
                Value::Count(points.len() as u64),
                rho.clone().into(),
                found.spearman.p_value.clone().into(),
            ]);
            if rho.value.is_some() {
                section.findings.push(format!(
                    "{who}: over {} families left out, the rank correlation of mean {name} uncertainty with the share caught is {} \
                     (p = {} over families); negative is what would warn.",
                    points.len(),
                    said(&rho),
                    found.spearman.p_value.value.map_or("undefined".to_owned(), |p| format!("{p:.3}")),
                ));
            }
        }
        panels.push(ScatterPanel {
            title: who.clone(),
            groups: vec![("a family left out".into(), points.iter().map(|(_, p)| [p[1], p[0]]).collect())],
            labels: points.iter().map(|(name, p)| ([p[1], p[0]], name.clone())).collect(),
        });
    }
    if by_who.len() > 1 {
        let all: Vec<&Without<'_>> = by_who.values().flatten().copied().collect();
        let pairs: BTreeSet<_> = all.iter().map(|f| (f.who(), f.left_out())).collect();
        for name in ["total", "epistemic"] {
            let rho = over_people(&all, doubt_of(name), &answering.bootstrap());
            if rho.value.is_some() {
                section.findings.push(format!(
                    "Over {} pairs of detector (with its method) and family left out, the rank correlation of mean {name} uncertainty \
                     with the share caught is {}.",
                    pairs.len(),
                    said(&rho),
                ));
            }
            rows.push(vec![
                "all together".into(),
                name.into(),
                pairs.len().into(),
                rho.into(),
                Estimate::undefined("a family comes once for each detector, so pairs can't be exchanged").into(),
            ]);
        }
    }
    section.tables.push(Table {
        name: named("correlation"),
        title: titled("Does uncertainty follow failure from family to family?"),
        caption: "Rank correlation (Spearman) over families, seeds together, of mean uncertainty on unseen fakes with the share of \
                  them that is caught; all together: over detector, method and family. Its interval draws people: how sure it is for \
                  these families. p by all pairings of them: whether so few could pair so by chance."
            .into(),
        columns: ["detector", "uncertainty", "families (pairs)", "rank correlation", "p"].map(str::to_owned).into(),
        rows,
    });
    section.charts.push(Chart {
        name: named("scatter"),
        title: titled("Generalisation against uncertainty"),
        caption:
            "Each point is a family left out, the mean over seeds. If uncertainty warns, points fall to the right."
                .into(),
        kind: ChartKind::Scatter {
            panels,
            x: Axis { label: "mean total uncertainty on unseen fakes (nats)".into(), ..Axis::default() },
            y: Axis { label: "share of unseen fakes caught".into(), ..Axis::default() },
        },
    });
    for doubt in ["epistemic", "total"] {
        let of: Vec<(&Without<'_>, Estimate)> =
            found.iter().map(|f| (f, detection(f, doubt))).filter(|(_, e)| e.value.is_some()).collect();
        let shown = of.iter().filter(|(_, e)| above(e, 0.5) == Some(true)).count();
        let values: Vec<f64> = of.iter().filter_map(|(_, e)| e.value).collect();
        if values.is_empty() {
            continue;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let said_of = match (shown, of.len()) {
            (0, 1) => "With a family left out".to_owned(),
            (0, n) => format!("In none of {n} trainings with a family left out"),
            (shown, n) => format!("In {shown} of {n} trainings with a family left out"),
        };
        let verdict = match (shown, of.len()) {
            (0, 1) => "is not shown to tell its fakes from what was seen",
            (0, _) => "is shown to tell its fakes from what was seen",
            _ => "tells its fakes from what was seen better than chance",
        };
        let mut text = format!("{said_of}, {doubt} uncertainty {verdict} (interval above 0.5)");
        if of.len() > 1 {
            text += &format!("; on average the AUROC is {mean:.3}");
        }
        let best = of.iter().max_by(|a, b| a.1.value.unwrap_or(0.0).total_cmp(&b.1.value.unwrap_or(0.0)));
        if let Some((f, e)) = best {
            let first = if of.len() > 1 { "The best is " } else { "" };
            text += &format!(". {first}{} without {}: {}.", f.one.role.who(), f.left_out(), said(e));
        }
        section.findings.insert(first_finding, text);
    }
    if !note.is_empty() {
        section.findings[first_finding..].iter_mut().for_each(|finding| *finding = format!("With {note}: {finding}"));
    }
}

/// The same of the trainings with self-blended faces, and what these change: the same families left out with them and
/// without, on the same videos.
fn show_self_blends(
    section: &mut Section,
    answering: &Answering<'_>,
    plain: &[Without<'_>],
    with_blends: &[Without<'_>],
) {
    let bootstrap = answering.bootstrap();
    let detection = |f: &Without<'_>| f.doubt("total", |doubt| &doubt.detection.auroc);
    let (mut rows, mut findings) = (Vec::new(), Vec::new());
    for with in with_blends {
        let same = |f: &&Without<'_>| (f.one.role.who(), f.left_out()) == (with.one.role.who(), with.left_out());
        let Some(without) = plain.iter().find(same) else { continue };
        let mut people = People::default();
        let [first, second] = [with, without].map(|f| {
            let mut rate = Rate::new(true);
            f.fakes().iter().for_each(|fake| rate.push(people.number(&fake.person), fake.caught));
            rate
        });
        let change = first.minus(&second, Some(&bootstrap), "there are no unseen fakes");
        if change.value.is_some() {
            findings.push(format!(
                "With self-blended faces in training {} catches {} of the fakes by {}, without them {}; the difference is {}.",
                with.one.role.who(),
                said(&with.caught()),
                with.left_out(),
                said(&without.caught()),
                said(&change),
            ));
        }
        rows.push(vec![
            Value::Text(with.one.role.who()),
            Value::Text(with.left_out()),
            without.caught().into(),
            with.caught().into(),
            change.into(),
            detection(without).into(),
            detection(with).into(),
        ]);
    }
    section.findings.append(&mut findings);
    show(section, answering, with_blends, "_self_blends", "self-blended faces in training");
    section.tables.push(Table {
        name: "self_blends".into(),
        title: "What self-blended faces in training change".into(),
        caption: "The same families left out, on the same videos. Caught: share of the unseen fakes that are called fake; its difference \
                  is paired, with minus without, its interval over people. Detection: AUROC of total uncertainty for what was never seen."
            .into(),
        columns: [
            "detector", "left out", "caught without", "caught with", "difference", "detection without", "detection with",
        ]
        .map(str::to_owned)
        .into(),
        rows,
    });
    section.meaning.push(
        "A self-blended face is a real one laid over itself, a little changed: it shows no generator, but what all that blend have in \
         common. So with it in training a generator that blends is no longer wholly unseen, and its results are apart from the others'."
            .into(),
    );
}
