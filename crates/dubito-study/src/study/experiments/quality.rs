//! Is the uncertainty any good: inference methods over held-out generators and seeds, side by side, at frame and video level.

use std::collections::{BTreeMap, BTreeSet};

use dubito_report::section::{Axis, Chart, ChartKind, ScatterPanel, Section, Table, Value};
use dubito_report::{Level, NotLearned, Origin};
use dubito_stats::calibration::{ece, equal_width, nll};
use dubito_stats::discrimination::auroc;
use dubito_stats::ranking::{Order, Ranking};
use dubito_stats::selective::Risks;
use dubito_stats::unseen::rank_correlation;
use dubito_stats::{Bootstrap, Estimate, Items};

use super::{Answering, Evaluated, Kind, reading, said, seconds_of};
use crate::StudyError;
use crate::study::config::{ExperimentConfig, InferenceConfig};
use crate::study::plan::{Ask, Found, Planner};

pub(super) const KIND: Kind = Kind {
    name: "quality",
    title: "Is the uncertainty any good?",
    question: "Over detectors, seeds and generators that were kept from them: which inference method's uncertainty finds errors and \
               unseen generators, at what price? Is it better than the largest probability of one network? And do uncertainty and \
               generalisation go together?",
    keys: &["detectors", "inference", "seeds", "samples", "leave_out", "chosen"],
    plan,
    section,
    seconds: |planner, experiment, size, needs| 2.0 * reading(planner, experiment, size, needs),
};

/// The method whose doubt is measured against one network's largest probability, if the file chooses none.
const CHOSEN: &str = "mc_dropout";
/// What it is measured against.
const BASELINE: &str = "deterministic";
/// By how much the chosen method must lower the AUGRC.
const BETTER: f64 = 0.10;

fn plan(planner: &mut Planner<'_>, experiment: &ExperimentConfig) -> Result<Found, StudyError> {
    let left_out = planner.left_out(experiment)?;
    let every: Vec<String> = match experiment.inference.as_slice() {
        [] => planner.config.inference.keys().cloned().collect(),
        named => named.to_vec(),
    };
    let experiment = ExperimentConfig { inference: every, ..experiment.clone() };
    let first = Planner::seeds_of(&experiment)[0];
    let mut found = Vec::new();
    for leave_out in &left_out {
        for ask in planner.asks(&experiment, &[]) {
            // The members of an ensemble are the seeds: it has none of its own to be repeated with.
            if matches!(ask.inference.1, InferenceConfig::Ensemble { .. }) && ask.seed != first {
                continue;
            }
            planner.want(&mut found, &Ask { leave_out: leave_out.clone(), ..ask });
        }
    }
    Ok(found)
}

/// What is measured of every detector and method.
const METRICS: [&str; 9] = [
    "accuracy",
    "NLL (nats)",
    "ECE",
    "doubt finds errors (total)",
    "doubt finds errors (epistemic)",
    "AURC",
    "AUGRC",
    "unseen found (total)",
    "unseen found (epistemic)",
];
const NLL: usize = 1;
const ERRORS: usize = 3;
const AUGRC: usize = 6;
const UNSEEN: [usize; 2] = [7, 8];

/// Predictions of one training, ready to be weighed by how often each person is drawn.
struct Ready {
    /// Number of the person of each item.
    people: Vec<u32>,
    confidence: Vec<f64>,
    nll: Vec<f64>,
    wrong: Vec<bool>,
    by_confidence: Ranking,
    /// Errors by total and by epistemic uncertainty, where there is one.
    errors: [Option<Ranking>; 2],
    /// Of those that were seen or unseen (not set aside): their places, and unseen ones among them by either uncertainty.
    known: Vec<usize>,
    unseen: [Option<Ranking>; 2],
    /// Of unseen fakes: place, and whether it is called fake.
    fakes: Vec<(usize, bool)>,
    doubts: [Vec<f64>; 2],
}

impl Ready {
    fn new(one: &Evaluated, level: Level, people: &mut BTreeMap<String, u32>) -> Option<Self> {
        let scores = &one.predictions.scores;
        let set = scores.sets.first()?;
        let items: &Items = set.of(level);
        let n = items.len();
        let not_learned: &NotLearned = &scores.not_learned;
        let fake = scores.task.positive?;
        let has_epistemic = one.metrics.samples > 1 && (level != Level::Video || set.videos_undivided.is_none());
        let wrong: Vec<bool> = (0..n).map(|i| items.is_error(i)).collect();
        let confidence: Vec<f64> = (0..n).map(|i| items.max_probability(i)).collect();
        let (mut known, mut is_unseen, mut fakes, mut of_people) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for i in 0..n {
            let unit = scores.unit(set, level, i);
            let person = scores.units.text("identity", unit).unwrap_or_else(|| scores.units.name(unit));
            let next = people.len() as u32;
            of_people.push(*people.entry(person.to_owned()).or_insert(next));
            let generator = match scores.units.origin(unit) {
                Origin::Generator(name) => Some(name),
                _ => None,
            };
            if generator.is_some_and(|name| not_learned.set_aside.contains(name)) {
                continue;
            }
            let unseen = generator.is_some_and(|name| not_learned.unseen.contains(name));
            known.push(i);
            is_unseen.push(unseen);
            if unseen {
                fakes.push((i, items.predicted(i) == fake));
            }
        }
        let ranked = |doubt: &[f64]| Ranking::new(doubt, &wrong);
        let of_known = |doubt: &[f64]| {
            let doubt: Vec<f64> = known.iter().map(|&i| doubt[i]).collect();
            Ranking::new(&doubt, &is_unseen)
        };
        Some(Self {
            people: of_people,
            nll: (0..n).map(|i| nll(items.probs(i), items.label(i))).collect(),
            by_confidence: ranked(&confidence),
            errors: [Some(ranked(items.total())), has_epistemic.then(|| ranked(items.epistemic()))],
            unseen: [Some(of_known(items.total())), has_epistemic.then(|| of_known(items.epistemic()))],
            doubts: [items.total().to_vec(), if has_epistemic { items.epistemic().to_vec() } else { Vec::new() }],
            confidence,
            wrong,
            known,
            fakes,
        })
    }

    /// The [`METRICS`] where each person counts as often as `drawn` says.
    fn metrics(&self, drawn: &[u32]) -> [Option<f64>; METRICS.len()] {
        let weights: Vec<u32> = self.people.iter().map(|&person| drawn[person as usize]).collect();
        let mean = |value: &dyn Fn(usize) -> f64| {
            let (sum, all) = weights.iter().enumerate().fold((0.0, 0u64), |(sum, all), (i, &weight)| {
                (sum + f64::from(weight) * value(i), all + u64::from(weight))
            });
            (all > 0).then(|| sum / all as f64)
        };
        let found = |ranking: &Option<Ranking>, weights: &[u32]| {
            ranking.as_ref().and_then(|ranking| auroc(&ranking.curve(Some(weights), Order::Falling)).ok())
        };
        let bins = (0..weights.len()).map(|i| (self.confidence[i], !self.wrong[i], u64::from(weights[i])));
        let risks = Risks::new(&self.by_confidence.curve(Some(&weights), Order::Falling));
        let of_known: Vec<u32> = self.known.iter().map(|&i| weights[i]).collect();
        [
            mean(&|i| f64::from(u8::from(!self.wrong[i]))),
            mean(&|i| self.nll[i]),
            ece(&equal_width(15, bins)).ok(),
            found(&self.errors[0], &weights),
            found(&self.errors[1], &weights),
            risks.aurc().ok(),
            risks.augrc().ok(),
            found(&self.unseen[0], &of_known),
            found(&self.unseen[1], &of_known),
        ]
    }
}

/// Trainings of one detector under one method: seeds and families left out.
struct Of {
    detector: String,
    method: String,
    /// Family left out, and its trainings, one a seed.
    families: BTreeMap<String, Vec<Ready>>,
    seconds: f64,
}

impl Of {
    fn name(&self) -> String {
        format!("{} {}", self.detector, self.method)
    }

    fn has_epistemic(&self) -> bool {
        self.families.values().flatten().all(|ready| ready.errors[1].is_some())
    }

    fn trainings(&self) -> usize {
        self.families.values().map(Vec::len).sum()
    }

    /// Each metric, the mean over all trainings; none where one of them has none.
    fn metrics(&self, drawn: &[u32]) -> Vec<Option<f64>> {
        let all: Vec<_> = self.families.values().flatten().map(|ready| ready.metrics(drawn)).collect();
        (0..METRICS.len())
            .map(|m| {
                let values: Option<Vec<f64>> = all.iter().map(|metrics| metrics[m]).collect();
                values.map(|v| v.iter().sum::<f64>() / v.len() as f64)
            })
            .collect()
    }

    /// Every unseen fake: its family, uncertainty (0 total, 1 epistemic), whether it is called fake, and its person.
    fn fakes(&self, doubt: usize) -> impl Iterator<Item = (&str, f64, bool, u32)> {
        self.families
            .iter()
            .flat_map(|(family, trainings)| trainings.iter().map(move |ready| (family, ready)))
            .flat_map(move |(family, ready)| {
                let doubts = &ready.doubts[doubt];
                let fakes = ready.fakes.iter().filter_map(move |&(i, caught)| Some((i, *doubts.get(i)?, caught)));
                fakes.map(move |(i, doubt, caught)| (family.as_str(), doubt, caught, ready.people[i]))
            })
    }

    /// A point for each family: mean total uncertainty on its fakes, and the share of them that is caught.
    fn points(&self) -> Vec<([f64; 2], String)> {
        let mut sums: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
        for (family, doubt, caught, _) in self.fakes(0) {
            let sum = sums.entry(family).or_default();
            *sum = [sum[0] + doubt, sum[1] + f64::from(u8::from(caught)), sum[2] + 1.0];
        }
        sums.into_iter()
            .map(|(family, [doubt, caught, all])| ([doubt / all, caught / all], family.to_owned()))
            .collect()
    }
}

/// All of them at one level, in the order in which they were found.
fn all_of(
    answering: &Answering<'_>,
    evaluated: &[Evaluated],
    level: Level,
    people: &mut BTreeMap<String, u32>,
) -> Vec<Of> {
    let mut all: Vec<Of> = Vec::new();
    for one in evaluated {
        let Some(ready) = Ready::new(one, level, people) else { continue };
        let role = &one.role;
        let dir = answering.found.iter().find(|(found, _)| found == role).map(|(_, dir)| dir);
        let at = all.iter().position(|of| of.detector == role.detector && of.method == role.inference);
        let at = at.unwrap_or_else(|| {
            all.push(Of {
                detector: role.detector.clone(),
                method: role.inference.clone(),
                families: BTreeMap::new(),
                seconds: 0.0,
            });
            all.len() - 1
        });
        all[at].seconds += dir.and_then(|dir| seconds_of(dir)).unwrap_or_default();
        all[at].families.entry(role.left_out.join(" and ")).or_default().push(ready);
    }
    all
}

/// The values of some numbers with intervals over people.
fn with_intervals(
    people: usize,
    bootstrap: &Bootstrap,
    why: &str,
    values: &(dyn Fn(&[u32]) -> Vec<Option<f64>> + Sync),
) -> Vec<Estimate> {
    let once = values(&vec![1; people]);
    let mut estimates: Vec<Estimate> =
        once.into_iter().map(|value| value.map_or_else(|| Estimate::undefined(why), Estimate::point)).collect();
    let clusters: Vec<u32> = (0..people as u32).collect();
    bootstrap.intervals(&clusters, values, &mut estimates);
    estimates
}

fn section(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let chosen = answering.experiment.chosen.as_deref().unwrap_or(CHOSEN);
    let mut section = answering.section(format!(
        "Each detector is trained once for each seed and each family left out; every method but the ensemble begins from those same \
         networks, an ensemble's members are the seeds. All judge the same people, whom they never saw, on reals, fakes of seen \
         generators and fakes of the family left out. A number is the mean over seeds and families; its 95 % interval is from \
         resampling people, the same draws for every method, so that methods can be compared within it. `Doubt finds errors` and \
         `unseen found` are AUROCs, 0.5 is chance; what is set aside as kin of the unseen counts in neither. `AURC` and `AUGRC` rank by \
         the largest probability; less is better. The method chosen beforehand is `{chosen}`: it is measured against `{BASELINE}`, \
         one network's largest probability."
    ));
    let all =
        answering.evaluated(&mut section.skipped, &super::Options { bootstrap: None, ..super::Options::default() })?;
    let bootstrap = answering.bootstrap();
    let top = all.first().map_or(Level::Item, |one| one.metrics.top_level());
    let levels: &[Level] = if top == Level::Video { &[Level::Video, Level::Frame] } else { &[Level::Item] };
    for &level in levels {
        let mut people = BTreeMap::new();
        let all = all_of(answering, &all, level, &mut people);
        let why = "a training has no errors, or no fakes of the family left out";
        let mut numbers = with_intervals(people.len(), &bootstrap, why, &|drawn| {
            all.iter().flat_map(|of| of.metrics(drawn)).collect()
        });
        for (k, _) in all.iter().enumerate().filter(|(_, of)| !of.has_epistemic()) {
            for m in [ERRORS + 1, UNSEEN[1]] {
                numbers[k * METRICS.len() + m] = Estimate::undefined("one network has no epistemic uncertainty");
            }
        }
        let of = |k: usize| &numbers[k * METRICS.len()..(k + 1) * METRICS.len()];
        let word = match level {
            Level::Video => "videos",
            Level::Frame => "frames",
            Level::Item => "items",
        };
        let head = ["detector", "trainings"].into_iter().chain(METRICS).chain(["seconds of a prediction"]);
        section.tables.push(Table {
            name: format!("methods_{word}"),
            title: format!("Methods, over {word}"),
            caption:
                "Means over seeds and families left out. Seconds: drawing all samples for all clips, on this machine."
                    .into(),
            columns: head.map(str::to_owned).collect(),
            rows: (0..all.len())
                .map(|k| {
                    let seconds = all[k].seconds / all[k].trainings() as f64;
                    let mut row = vec![Value::Text(all[k].name()), Value::Count(all[k].trainings() as u64)];
                    row.extend(of(k).iter().cloned().map(Value::Estimate));
                    row.push(Value::Text(format!("{seconds:.1}")));
                    row
                })
                .collect(),
        });
        if level != levels[0] {
            continue;
        }
        let names: Vec<String> = all.iter().map(Of::name).collect();
        let series = |metrics: &[(&str, usize)]| {
            let one = |m: usize| (0..all.len()).map(|k| of(k)[m].clone()).collect::<Vec<_>>();
            metrics.iter().map(|(name, m)| ((*name).to_owned(), one(*m))).collect::<Vec<_>>()
        };
        let chart = |name: &str, title: &str, caption: &str, x: &str, metrics: &[(&str, usize)]| Chart {
            name: name.into(),
            title: title.into(),
            caption: caption.into(),
            kind: ChartKind::Dots {
                rows: names.clone(),
                series: series(metrics),
                x: Axis { label: x.into(), ..Axis::default() },
                reference: Some(("chance".into(), 0.5)),
            },
        };
        section.charts.push(chart(
            "errors",
            "Does doubt find the errors?",
            "AUROC of each uncertainty for wrong answers, over seeds and families left out.",
            "AUROC for wrong answers",
            &[("total", ERRORS), ("epistemic", ERRORS + 1)],
        ));
        section.charts.push(chart(
            "unseen",
            "Does doubt find what was never seen?",
            "AUROC of each uncertainty for fakes of the family left out, against all that is seen.",
            "AUROC for unseen fakes",
            &[("total", UNSEEN[0]), ("epistemic", UNSEEN[1])],
        ));
        choice(&mut section, &all, people.len(), &bootstrap, chosen);
        together(&mut section, &all, &bootstrap)?;
        let lead = |m: usize, sign: f64| {
            let value = |k: &usize| of(*k)[m].value.map_or(f64::NEG_INFINITY, |v| sign * v);
            (0..all.len()).max_by(|a, b| value(a).total_cmp(&value(b)))
        };
        if let Some(k) = lead(ERRORS, 1.0) {
            let found = said(&of(k)[ERRORS]);
            section
                .findings
                .push(format!("Errors are found best by the total uncertainty of {}: AUROC {found}.", names[k]));
        }
        if let Some(k) = lead(UNSEEN[0], 1.0) {
            let best = &of(k)[UNSEEN[0]];
            let verdict = match super::above(best, 0.5) {
                Some(true) => "better than chance",
                _ => "not shown to be better than chance",
            };
            section.findings.push(format!(
                "Unseen generators are found best by the total uncertainty of {}: AUROC {}, {verdict}.",
                names[k],
                said(best)
            ));
        }
        if let Some(k) = lead(NLL, -1.0) {
            section.findings.push(format!(
                "The likeliest answers are those of {}: NLL {} nats.",
                names[k],
                said(&of(k)[NLL])
            ));
        }
    }
    section.meaning.push(
        "Means over a few families and seeds describe these; the intervals say how sure they are over people, not over generators."
            .into(),
    );
    Ok(section)
}

/// Is a method better than one network's largest probability, above all the one chosen beforehand?
fn choice(section: &mut Section, all: &[Of], people: usize, bootstrap: &Bootstrap, chosen: &str) {
    let (mut rows, mut hints) = (Vec::new(), Vec::new());
    for of in all.iter().filter(|of| of.method != BASELINE) {
        let Some(one) = all.iter().find(|one| one.detector == of.detector && one.method == BASELINE) else {
            section.skipped.push(format!("{}: `{BASELINE}`, to be measured against, is not there", of.name()));
            continue;
        };
        // An ensemble has one training for a family where others have one for each seed; each is its own mean.
        let found = with_intervals(people, bootstrap, "a training has no errors", &|drawn| {
            let (of, one) = (of.metrics(drawn)[AUGRC], one.metrics(drawn)[AUGRC]);
            let change = of.zip(one).and_then(|(of, one)| (one > 0.0).then(|| of / one - 1.0));
            vec![one, of, change]
        });
        let [one, own, change] = [0, 1, 2].map(|k| found[k].clone());
        let verdict = match (change.value, change.low.zip(change.high)) {
            (Some(value), Some((_, high))) if value <= -BETTER && high < 0.0 => "lower by a tenth or more",
            (Some(_), Some((_, high))) if high < 0.0 => "lower, but by less than a tenth",
            (Some(_), Some((low, _))) if low > 0.0 => "higher: worse",
            (Some(_), Some(_)) => "no difference is shown",
            _ => "can't be told",
        };
        if of.method == chosen {
            section.findings.push(format!(
                "{}, chosen beforehand, against one network's largest probability: the AUGRC changes by {} of itself ({verdict}).",
                of.name(),
                said(&change)
            ));
        } else if change.high.is_some_and(|high| high < 0.0) {
            hints.push(format!("{} by {} ({verdict})", of.name(), said(&change)));
        }
        let name = if of.method == chosen { format!("{}, chosen beforehand", of.name()) } else { of.name() };
        rows.push(vec![Value::Text(name), one.into(), own.into(), change.into(), Value::Text(verdict.into())]);
    }
    if !all.iter().any(|of| of.method == chosen) {
        section.skipped.push(format!("the chosen method `{chosen}` is not among those that were predicted"));
    }
    if !hints.is_empty() {
        section.findings.push(format!(
            "Not chosen beforehand, so that this is a hint and no proof: the AUGRC changes with {}.",
            hints.join(", with ")
        ));
    }
    if rows.is_empty() {
        return;
    }
    section.tables.push(Table {
        name: "chosen".into(),
        title: "Against the largest probability of one network".into(),
        caption: "AUGRC over videos, and its change in parts of itself. To pass, a method chosen beforehand must lower it by a tenth at \
                  least, and the paired interval must leave 0 out; what was not chosen beforehand is one of several that were tried."
            .into(),
        columns: ["detector", "one network", "the method", "change", "verdict"].map(str::to_owned).into(),
        rows,
    });
}

/// Do uncertainty and generalisation go together, over detectors, methods and generators?
fn together(section: &mut Section, all: &[Of], bootstrap: &Bootstrap) -> Result<(), StudyError> {
    let mut rows = Vec::new();
    for (doubt, name) in ["total", "epistemic"].into_iter().enumerate() {
        let mut points: BTreeMap<(String, &str), u32> = BTreeMap::new();
        let (mut doubts, mut caught, mut groups, mut people) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for of in all {
            for (family, value, is_caught, person) in of.fakes(doubt) {
                let next = points.len() as u32;
                groups.push(*points.entry((of.name(), family)).or_insert(next));
                doubts.push(value);
                caught.push(f64::from(u8::from(is_caught)));
                people.push(person);
            }
        }
        let found = rank_correlation(&doubts, &caught, &groups, &people, bootstrap).map_err(|error| {
            StudyError::Input { message: error.to_string(), hint: "this is a fault of the program".into() }
        })?;
        section.findings.push(format!(
            "Over {} points (detector x method x generator left out) the rank correlation of mean {name} uncertainty on unseen fakes \
             with the share of them that is caught is {}; the published claim would have it below 0.",
            points.len(),
            said(&found)
        ));
        rows.push(vec![Value::from(name), Value::Count(points.len() as u64), found.into()]);
    }
    section.tables.push(Table {
        name: "together".into(),
        title: "Do uncertainty and generalisation go together?".into(),
        caption: "Spearman's rank correlation over detector x method x generator left out, of the means over seeds; the interval is from \
                  resampling people."
            .into(),
        columns: ["uncertainty", "points", "rank correlation"].map(str::to_owned).into(),
        rows,
    });
    let detectors: BTreeSet<&str> = all.iter().map(|of| of.detector.as_str()).collect();
    let panels = detectors.into_iter().map(|detector| {
        let mut groups: BTreeMap<String, Vec<[f64; 2]>> = BTreeMap::new();
        for (point, family) in all.iter().filter(|of| of.detector == detector).flat_map(Of::points) {
            groups.entry(format!("without {family}")).or_default().push(point);
        }
        ScatterPanel { title: detector.to_owned(), groups: groups.into_iter().collect(), labels: Vec::new() }
    });
    section.charts.push(Chart {
        name: "generalisation".into(),
        title: "Generalisation against uncertainty".into(),
        caption:
            "Each point is an inference method with a family left out, over its seeds. If uncertainty warns, points fall to the right."
                .into(),
        kind: ChartKind::Scatter {
            panels: panels.collect(),
            x: Axis { label: "mean total uncertainty on unseen fakes (nats)".into(), ..Axis::default() },
            y: Axis { label: "share of unseen fakes caught".into(), ..Axis::default() },
        },
    });
    Ok(())
}
