//! The experiment as a section: what was found in sentences, tables and charts.

use std::path::PathBuf;

use dubito_stats::Estimate;
use dubito_stats::classify::{BalancedAccuracy, Matrix, MeanOf, Standard, with_interval};
use dubito_stats::compare::{holm, paired_bootstrap};
use dubito_stats::weighted::Weighted;

use super::answers::{Answer, Own, answers, own};
use super::join::{Fakes, some};
use super::open::{Unknown, leave_each_out};
use super::sets::{BOTH, CLASS_PROBABILITY, CLASS_UNCERTAINTY, EPISTEMIC, FeatureSet, PROBABILITY, UNCERTAINTY, sets};
use super::transfer::{given_away, transfer};
use super::{Kind, Learner, ManifoldOptions, draw, fakes};
use crate::ReportError;
use crate::section::{Axis, Chart, ChartKind, Curve, CurvesPanel, ScatterPanel, Section, Source, Table, Value};

/// Most points of a line of an OSCR curve.
const MOST_POINTS: usize = 100;
/// Most fakes in a drawing.
const MOST_DRAWN: usize = 3000;

/// Read predictions and do the whole experiment: which generator made a fake, told from features of detectors' uncertainty.
///
/// What can't be computed is in [`Section::skipped`] with its reason. Errors: as [`fakes`], and faults of the numbers.
pub fn source_section(predictions: &[PathBuf], options: &ManifoldOptions) -> Result<Section, ReportError> {
    let fakes = fakes(predictions, options)?;
    let (sets, missing) = sets(&fakes);
    if sets.is_empty() {
        return Err(ReportError::Experiment {
            problem: "no feature differs between the fakes: there is nothing to tell them by".into(),
            hint: "check the predictions: are all probabilities the same?".into(),
        });
    }
    let mut section = Section {
        name: "source_detection".into(),
        title: "Which generator made it, from the uncertainty alone".into(),
        question:
            "Does what a detector doubts about a fake tell which generator made it: without its classes, without \
                   what it says, and for people it has never seen?"
                .into(),
        method: method(&fakes, &sets, options),
        skipped: fakes.notes.iter().cloned().chain(missing).collect(),
        sources: predictions.iter().map(|path| source(path)).collect(),
        ..Section::default()
    };
    let answers = answers(&fakes, &sets, options)?;
    let own = own(&fakes, options)?;
    accuracy(&mut section, &fakes, &answers, &own);
    differences(&mut section, &answers, options)?;
    confusion(&mut section, &fakes, &answers);
    give_away(&mut section, &fakes, &sets, options)?;
    open(&mut section, &fakes, &sets, options)?;
    over_detectors(&mut section, &fakes, options)?;
    drawings(&mut section, &fakes, &sets, options)?;
    section.meaning = meaning(&fakes);
    Ok(section)
}

fn source(path: &std::path::Path) -> Source {
    let name = path.display().to_string();
    Source { what: format!("predictions {name}"), path: name.clone(), command: format!("dubito source {name}") }
}

fn method(fakes: &Fakes, sets: &[FeatureSet], options: &ManifoldOptions) -> String {
    let detectors: Vec<&str> = fakes.detectors.iter().map(|(name, _)| name.as_str()).collect();
    let sizes: Vec<String> = sets.iter().map(|set| format!("{} ({})", set.name, set.columns.len())).collect();
    let learners: Vec<&str> = options.learners.iter().map(|learner| learner.title()).collect();
    let people = if fakes.people_are_known { "people" } else { "videos taken as people" };
    let whose = if fakes.folds_are_given {
        "the folds are those of the detectors, so people who are tested were seen neither by the detector nor by the classifier"
    } else {
        "the folds were made here, so the classifier has not seen the people who are tested; whether a detector has is not \
         known"
    };
    format!(
        "{} fakes of {} generators, of {} {people}, scored by {}. Features of each: {}. Classifiers ({}) are tested in {} folds; \
         {whose}. Features are put on one scale by the training folds, and settings chosen by leaving out one training fold \
         after the other. Intervals ({:.0} %) resample {people} ({} times). The null permutes the labels among each person's \
         fakes and learns anew, {} times, with a fixed setting (penalty {}, {} neighbours), as do open set and transfer.",
        fakes.labels.len(),
        fakes.generators.len(),
        fakes.people.len(),
        detectors.join(", "),
        sizes.join(", "),
        learners.join(", "),
        fakes.folds.len(),
        100.0 * options.bootstrap.level,
        options.bootstrap.replicates,
        options.permutations,
        Learner::Linear.usual(),
        Learner::Neighbours.usual(),
    )
}

/// An estimate in a sentence.
fn words(estimate: &Estimate) -> String {
    estimate.in_words(3)
}

/// The interval is above a number, below it, or holds it.
fn against(estimate: &Estimate, number: f64) -> Option<std::cmp::Ordering> {
    let (low, high) = estimate.low.zip(estimate.high)?;
    Some(match (low > number, high < number) {
        (true, _) => std::cmp::Ordering::Greater,
        (_, true) => std::cmp::Ordering::Less,
        _ => std::cmp::Ordering::Equal,
    })
}

fn chance(fakes: &Fakes) -> f64 {
    1.0 / fakes.generators.len() as f64
}

/// The answer that sentences are about: the linear classifier, or the first there is.
fn main_of<'a>(answers: &'a [Answer], set: &str) -> Option<&'a Answer> {
    let of = || answers.iter().filter(|answer| answer.set.name == set);
    of().find(|answer| answer.learner == Learner::Linear).or_else(|| of().next())
}

fn accuracy(section: &mut Section, fakes: &Fakes, answers: &[Answer], own: &[Own]) {
    let chance = chance(fakes);
    let not_permuted = || Estimate::undefined("not permuted: growing trees for each permutation takes too long");
    let mut rows: Vec<Vec<Value>> = answers
        .iter()
        .map(|answer| {
            let null = answer.null.as_ref();
            vec![
                answer.set.name.into(),
                answer.learner.title().into(),
                answer.set.columns.len().into(),
                answer.judgement.balanced_accuracy.clone().into(),
                answer.judgement.auroc.clone().into(),
                null.map_or_else(not_permuted, |null| null.observed.clone()).into(),
                null.map_or_else(not_permuted, |null| null.permuted.clone()).into(),
                null.map_or_else(not_permuted, |null| null.p_value.clone()).into(),
                settings(&answer.settings).into(),
            ]
        })
        .collect();
    for one in own {
        let none = || Value::from(Estimate::undefined("nothing is learned, so there is nothing to permute"));
        rows.push(vec![
            format!("own output of {}", one.detector).into(),
            "its most probable generator".into(),
            fakes.generators.len().into(),
            one.judgement.balanced_accuracy.clone().into(),
            one.judgement.auroc.clone().into(),
            none(),
            none(),
            none(),
            "".into(),
        ]);
        if !one.lacks.is_empty() {
            section.skipped.push(format!(
                "{} has no class for {}: it can't name them",
                one.detector,
                one.lacks.join(", ")
            ));
        }
    }
    section.tables.push(Table {
        name: "source_accuracy".into(),
        title: "Telling the generator, by features and classifier".into(),
        caption: format!(
            "Balanced accuracy is the mean over generators of the share of fakes that are named right; guessing gives {chance:.3}. \
             AUROC is one generator against the rest, the mean over generators; guessing gives 0.5. Fixed: with the setting that \
             the permutations use. Permuted: the mean over permutations, and the range of 95 % of them."
        ),
        columns: ["features", "classifier", "number", "balanced accuracy", "AUROC", "fixed", "permuted", "p", "chosen"]
            .map(String::from)
            .to_vec(),
        rows,
    });
    let names = set_names(answers);
    let mut learners: Vec<Learner> = Vec::new();
    answers.iter().for_each(|answer| {
        if !learners.contains(&answer.learner) {
            learners.push(answer.learner);
        }
    });
    let of = |name: &str, learner: Learner| {
        let found = answers.iter().find(|answer| answer.set.name == name && answer.learner == learner);
        found.map_or_else(|| Estimate::undefined("not computed"), |a| a.judgement.balanced_accuracy.clone())
    };
    let mut series: Vec<(String, Vec<Estimate>)> = learners
        .iter()
        .map(|&learner| {
            let mut values: Vec<Estimate> = names.iter().map(|name| of(name, learner)).collect();
            values.extend(own.iter().map(|_| Estimate::undefined("a detector's own output is not learned from")));
            (learner.title().to_owned(), values)
        })
        .collect();
    if !own.is_empty() {
        let mut values = vec![Estimate::undefined("these features are learned from"); names.len()];
        values.extend(own.iter().map(|one| one.judgement.balanced_accuracy.clone()));
        series.push(("own output".into(), values));
    }
    let linear_null = |name: &&'static str| {
        let found = answers.iter().find(|answer| answer.set.name == *name && answer.null.is_some());
        let null = found.and_then(|answer| answer.null.as_ref());
        null.map_or_else(|| Estimate::undefined("not permuted"), |null| null.permuted.clone())
    };
    let mut nulls: Vec<Estimate> = names.iter().map(linear_null).collect();
    nulls.extend(own.iter().map(|_| Estimate::undefined("nothing is learned")));
    series.push(("permuted labels".into(), nulls));
    let mut rows: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    rows.extend(own.iter().map(|one| format!("own output of {}", one.detector)));
    section.charts.push(Chart {
        name: "source_accuracy".into(),
        title: "Telling the generator, by features and classifier".into(),
        caption: "Balanced accuracy with its interval over people. Permuted labels: the range of 95 % of the permutations of \
                  the first classifier."
            .into(),
        kind: ChartKind::Dots {
            rows,
            series,
            x: Axis { label: "balanced accuracy".into(), ..Axis::default() },
            reference: Some(("chance".into(), chance)),
        },
    });
    sentences(section, fakes, answers, own);
}

fn settings(settings: &[f64]) -> String {
    settings.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")
}

fn set_names(answers: &[Answer]) -> Vec<&'static str> {
    let mut names = Vec::new();
    answers.iter().for_each(|answer| {
        if !names.contains(&answer.set.name) {
            names.push(answer.set.name);
        }
    });
    names
}

fn sentences(section: &mut Section, fakes: &Fakes, answers: &[Answer], own: &[Own]) {
    let chance = chance(fakes);
    for name in [UNCERTAINTY, EPISTEMIC, PROBABILITY, BOTH, CLASS_UNCERTAINTY, CLASS_PROBABILITY] {
        let Some(answer) = main_of(answers, name) else { continue };
        let balanced = &answer.judgement.balanced_accuracy;
        let p = answer.null.as_ref().and_then(|null| null.p_value.value);
        let beyond = p.map_or(String::new(), |p| format!(", permutation p = {p:.3}"));
        let of = match name {
            UNCERTAINTY => "From the uncertainty alone",
            EPISTEMIC => "From the epistemic uncertainty alone",
            PROBABILITY => "From the probability alone",
            BOTH => "From probability and uncertainty together",
            CLASS_UNCERTAINTY => "From the uncertainty of detectors that know classes, without their class means",
            _ => "From the class probabilities of detectors that know classes",
        };
        // The test has the last word where there is one; of trees alone, the interval.
        let verdict = match (p, against(balanced, chance)) {
            (Some(p), _) if p <= 0.05 => "the generator is told better than by chance",
            (Some(_), _) => "the generator is not told better than by chance",
            (None, Some(std::cmp::Ordering::Greater)) => "the generator is told better than by chance",
            (None, Some(_)) => "the generator is not told better than by chance",
            (None, None) => "the generator is named",
        };
        section.findings.push(format!(
            "{of}, {verdict}: balanced accuracy {} by the {} classifier where guessing gives {chance:.3}{beyond}.",
            words(balanced),
            answer.learner.title()
        ));
    }
    for one in own {
        section.findings.push(format!(
            "{}, which was taught the generators, names them with a balanced accuracy of {}.",
            one.detector,
            words(&one.judgement.balanced_accuracy)
        ));
    }
}

fn differences(section: &mut Section, answers: &[Answer], options: &ManifoldOptions) -> Result<(), ReportError> {
    let place = |source| ReportError::Stats { place: "differences of feature sets".into(), source };
    let mut pairs = Vec::new();
    for answer in answers {
        let Some(name) = answer.set.against else { continue };
        let other = answers.iter().find(|other| other.set.name == name && other.learner == answer.learner);
        let Some(other) = other else { continue };
        let (first, second) = (BalancedAccuracy::new(&answer.items), BalancedAccuracy::new(&other.items));
        let found = paired_bootstrap(&first, &second, answer.items.clusters(), &options.bootstrap).map_err(place)?;
        pairs.push((answer, name, found));
    }
    if pairs.is_empty() {
        return Ok(());
    }
    let known: Vec<f64> = pairs.iter().filter_map(|(_, _, found)| found.p_value.value).collect();
    let mut adjusted = holm(&known).map_err(place)?.into_iter();
    let mut rows = Vec::new();
    for (answer, name, found) in &pairs {
        let holm = match found.p_value.value {
            Some(_) => adjusted.next().map_or_else(|| Estimate::undefined("not computed"), Estimate::point),
            None => found.p_value.clone(),
        };
        rows.push(vec![
            format!("{} less {name}", answer.set.name).into(),
            answer.learner.title().into(),
            found.difference.clone().into(),
            found.p_value.clone().into(),
            holm.into(),
            found.smallest_detectable.clone().into(),
        ]);
    }
    for set in [UNCERTAINTY, BOTH] {
        let is_main = |pair: &&(&Answer, &str, dubito_stats::compare::Comparison)| {
            pair.0.set.name == set && main_of(answers, set).is_some_and(|answer| answer.learner == pair.0.learner)
        };
        let Some((_, _, found)) = pairs.iter().find(is_main) else { continue };
        let is_both = set == BOTH;
        let text = match against(&found.difference, 0.0) {
            Some(std::cmp::Ordering::Greater) if is_both => "The uncertainty adds to what the probability tells",
            Some(std::cmp::Ordering::Greater) => "The uncertainty tells more than the probability",
            Some(std::cmp::Ordering::Less) if is_both => "The uncertainty beside the probability makes it worse",
            Some(std::cmp::Ordering::Less) => "The uncertainty tells less than the probability",
            _ if is_both => "Whether the uncertainty adds to what the probability tells is not shown",
            _ => "Whether uncertainty or probability tells more is not shown",
        };
        section.findings.push(format!("{text}: a difference of {} in balanced accuracy.", words(&found.difference)));
    }
    section.tables.push(Table {
        name: "source_differences".into(),
        title: "Feature sets against each other".into(),
        caption: "Differences of balanced accuracy on the same fakes, people resampled for both alike. p (Holm) takes all rows \
                  together. The smallest detectable difference is what such data would show four times out of five."
            .into(),
        columns: ["features", "classifier", "difference", "p", "p (Holm)", "smallest detectable"].map(String::from).to_vec(),
        rows,
    });
    Ok(())
}

fn confusion(section: &mut Section, fakes: &Fakes, answers: &[Answer]) {
    for (set, name) in [(UNCERTAINTY, "uncertainty"), (BOTH, "both"), (CLASS_UNCERTAINTY, "class_uncertainty")] {
        let Some(answer) = main_of(answers, set) else { continue };
        let counts = answer.items.confusion();
        let share = |row: &Vec<u64>| -> Vec<Estimate> {
            let all: u64 = row.iter().sum();
            row.iter()
                .map(|&count| match all {
                    0 => Estimate::undefined("there are no fakes of this generator"),
                    all => Estimate::point(count as f64 / all as f64),
                })
                .collect()
        };
        section.charts.push(Chart {
            name: format!("source_confusion_{name}"),
            title: format!("What is named what, from {set} ({})", answer.learner.title()),
            caption:
                "Rows: the generator that made the fake. Columns: the one that is named. The shares of a row sum to 1."
                    .into(),
            kind: ChartKind::Matrix {
                rows: fakes.generators.clone(),
                columns: fakes.generators.clone(),
                values: counts.iter().map(share).collect(),
                what: "share of the row's fakes".into(),
                ends: Some([0.0, 1.0]),
                by_row: false,
            },
        });
        let mut columns = vec!["generator".to_owned()];
        columns.extend(fakes.generators.iter().cloned());
        let row = |(name, row): (&String, &Vec<u64>)| {
            let mut cells = vec![Value::from(name.as_str())];
            cells.extend(row.iter().map(|&count| Value::Count(count)));
            cells
        };
        section.tables.push(Table {
            name: format!("source_confusion_{name}"),
            title: format!("Fakes by generator (rows) and the one named (columns), from {set}"),
            caption: format!(
                "By the {} classifier, each fake by a model that has not seen its person.",
                answer.learner.title()
            ),
            columns,
            rows: fakes.generators.iter().zip(&counts).map(row).collect(),
        });
    }
}

/// How much of the mean probability the uncertainties of each binary detector tell.
fn give_away(
    section: &mut Section,
    fakes: &Fakes,
    sets: &[FeatureSet],
    options: &ManifoldOptions,
) -> Result<(), ReportError> {
    let mut rows = Vec::new();
    let column = |detector: usize, feature: &str| {
        fakes.columns.iter().position(|c| c.detector == Some(detector) && c.feature == feature)
    };
    let mut first: Option<[Estimate; 2]> = None;
    for (at, (name, classes)) in fakes.detectors.iter().enumerate() {
        let (None, Some(p)) = (classes, column(at, "p")) else { continue };
        let certain: Vec<f64> = (0..fakes.labels.len()).map(|i| (fakes.x.row(i)[p] - 0.5).abs()).collect();
        let of_set = |set: &str| -> Vec<usize> {
            let columns = sets.iter().find(|one| one.name == set).map_or(&[][..], |one| &one.columns);
            columns.iter().copied().filter(|&c| fakes.columns[c].detector == Some(at)).collect()
        };
        let mut row = vec![Value::from(name.as_str())];
        let mut found = Vec::new();
        for columns in [column(at, "total").into_iter().collect(), of_set(EPISTEMIC)] {
            let estimate = match columns.is_empty() {
                true => Estimate::undefined("the detector has no such features"),
                false => given_away(fakes, &columns, &certain, &options.bootstrap)?,
            };
            found.push(estimate.clone());
            row.push(estimate.into());
        }
        if let (None, [total, epistemic]) = (&first, &found[..]) {
            first = Some([total.clone(), epistemic.clone()]);
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Ok(());
    }
    if let Some([total, epistemic]) = first {
        section.findings.push(format!(
            "Of how far the mean probability is from one half, the total uncertainty alone tells {} (R\u{b2}) and the epistemic \
             features {}: what is read from a binary detector's total uncertainty may be its probability.",
            words(&total),
            words(&epistemic)
        ));
    }
    section.tables.push(Table {
        name: "source_given_away".into(),
        title: "What uncertainties tell of the mean probability".into(),
        caption:
            "Share of the variance of |p - 1/2| that five nearest neighbours (of other people) explain. 1: the mean \
                  probability is known but for its side; 0 or below: nothing is told of it."
                .into(),
        columns: ["detector", "by the total uncertainty", "by the epistemic features"].map(String::from).to_vec(),
        rows,
    });
    Ok(())
}

fn open(
    section: &mut Section,
    fakes: &Fakes,
    sets: &[FeatureSet],
    options: &ManifoldOptions,
) -> Result<(), ReportError> {
    if fakes.generators.len() < 3 {
        let reason = "open set: with two generators one would be left, and nothing to tell apart: three are needed";
        section.skipped.push(reason.into());
        return Ok(());
    }
    let place = |source| ReportError::Stats { place: "the open set".into(), source };
    let (mut rows, mut panels) = (Vec::new(), Vec::new());
    for set in sets.iter().filter(|set| [PROBABILITY, UNCERTAINTY, BOTH, CLASS_UNCERTAINTY].contains(&set.name)) {
        let found = leave_each_out(fakes, &set.columns, &options.bootstrap)?;
        for (generator, one) in fakes.generators.iter().zip(&found) {
            rows.push(vec![
                set.name.into(),
                generator.as_str().into(),
                one.closed.clone().into(),
                one.area.clone().into(),
                one.auroc.clone().into(),
            ]);
        }
        let mean = |metrics: Vec<&dyn Weighted>| {
            with_interval(&MeanOf(metrics), &fakes.person, &options.bootstrap, "not all are defined").map_err(place)
        };
        let area = mean(found.iter().map(|one| &one.oscr as &dyn Weighted).collect())?;
        let auroc = mean(found.iter().map(|one| &one.detection as &dyn Weighted).collect())?;
        rows.push(vec![
            set.name.into(),
            "mean over generators".into(),
            Estimate::undefined("see the generators").into(),
            area.clone().into(),
            auroc.clone().into(),
        ]);
        if set.name == UNCERTAINTY || set.name == CLASS_UNCERTAINTY {
            let verdict = match against(&auroc, 0.5) {
                Some(std::cmp::Ordering::Greater) => "Fakes of a generator that the classifier does not know stand out",
                Some(std::cmp::Ordering::Less) => {
                    "Fakes of an unknown generator are named with more confidence than known ones"
                }
                _ => "Fakes of a generator that the classifier does not know do not stand out",
            };
            section.findings.push(format!(
                "{verdict}: from {}, a low largest probability finds them with an AUROC of {}, and the area under the OSCR \
                 curve is {}, the means over generators left out in turn.",
                set.name,
                words(&auroc),
                words(&area)
            ));
        }
        panels.push(CurvesPanel { title: set.name.into(), lines: lines(fakes, &found) });
    }
    if panels.is_empty() {
        return Ok(());
    }
    section.tables.push(Table {
        name: "source_open_set".into(),
        title: "One generator left out of learning: none of the known".into(),
        caption: "Closed: share of the known fakes named right. OSCR: area under the curve of known fakes named right over \
                  unknown ones taken for known; closed accuracy is the most there can be. AUROC: how well a low largest \
                  probability finds the unknown; guessing gives 0.5. The detectors may have seen the generator."
            .into(),
        columns: ["features", "unknown generator", "closed", "OSCR", "AUROC of the unknown"].map(String::from).to_vec(),
        rows,
    });
    section.charts.push(Chart {
        name: "source_oscr".into(),
        title: "Known fakes named right, over unknown ones taken for known".into(),
        caption: "A line for each generator that was left out. Up: share of the known fakes that are named right with at least \
                  a certain probability. Across: share of the unknown ones that reach it."
            .into(),
        kind: ChartKind::Curves {
            panels,
            x: Axis { label: "unknown taken for known".into(), ends: Some([0.0, 1.0]), logarithmic: false },
            y: Axis { label: "known named right".into(), ends: Some([0.0, 1.0]), logarithmic: false },
            reference: None,
        },
    });
    Ok(())
}

fn lines(fakes: &Fakes, found: &[Unknown]) -> Vec<Curve> {
    let thinned = |curve: &[(f64, f64)]| -> Vec<(f64, Estimate)> {
        let last = curve.len() - 1;
        let count = last.min(MOST_POINTS);
        let at = |k: usize| curve[k * last / count.max(1)];
        (0..=count).map(at).map(|(x, y)| (x, Estimate::point(y))).collect()
    };
    let line = |(name, one): (&String, &Unknown)| Curve { name: name.clone(), points: thinned(&one.curve) };
    fakes.generators.iter().zip(found).map(line).collect()
}

fn over_detectors(section: &mut Section, fakes: &Fakes, options: &ManifoldOptions) -> Result<(), ReportError> {
    let place = |source| ReportError::Stats { place: "transfer between detectors".into(), source };
    for (set, kinds) in [(UNCERTAINTY, &[Kind::Entropy, Kind::Epistemic][..]), (EPISTEMIC, &[Kind::Epistemic])] {
        let binary: Vec<usize> = (0..fakes.detectors.len()).filter(|&d| fakes.detectors[d].1.is_none()).collect();
        // The features that all of them have.
        let features_of = |d: usize| -> Vec<&str> {
            let is_of = |c: &&super::Column| c.detector == Some(d) && kinds.contains(&c.kind);
            fakes.columns.iter().filter(is_of).map(|c| c.feature.as_str()).collect()
        };
        let mut shared: Vec<&str> = binary.first().map(|&d| features_of(d)).unwrap_or_default();
        shared.retain(|feature| binary.iter().all(|&d| features_of(d).contains(feature)));
        if binary.len() < 2 || shared.is_empty() {
            if set == UNCERTAINTY {
                let found = binary.len();
                section.skipped.push(format!(
                    "transfer between detectors and seeds: {found} detector(s) tell real from fake, two with the same features \
                     are needed"
                ));
            }
            continue;
        }
        let column = |d: usize, feature: &str| {
            fakes.columns.iter().position(|c| c.detector == Some(d) && c.feature == feature).unwrap_or(0)
        };
        let columns: Vec<Vec<usize>> =
            binary.iter().map(|&d| shared.iter().map(|feature| column(d, feature)).collect()).collect();
        let found = transfer(fakes, &columns)?;
        let metrics: Vec<Vec<BalancedAccuracy>> =
            found.iter().map(|row| row.iter().map(BalancedAccuracy::new).collect()).collect();
        let interval = |metric: &dyn Weighted| {
            with_interval(metric, &fakes.person, &options.bootstrap, "fewer than two generators").map_err(place)
        };
        let values: Vec<Vec<Estimate>> = metrics
            .iter()
            .map(|row| row.iter().map(|metric| interval(metric)).collect())
            .collect::<Result<_, ReportError>>()?;
        let names: Vec<String> = binary.iter().map(|&d| fakes.detectors[d].0.clone()).collect();
        let pairs = |is_same: bool| -> Vec<&dyn Weighted> {
            let all =
                metrics.iter().enumerate().flat_map(|(a, row)| row.iter().enumerate().map(move |(b, m)| (a, b, m)));
            all.filter(|(a, b, _)| (a == b) == is_same).map(|(_, _, metric)| metric as &dyn Weighted).collect()
        };
        let (within, across) = (MeanOf(pairs(true)), MeanOf(pairs(false)));
        let loss = paired_bootstrap(&within, &across, &fakes.person, &options.bootstrap).map_err(place)?;
        let across = interval(&across)?;
        if set == UNCERTAINTY {
            let verdict = match against(&across, chance(fakes)) {
                Some(std::cmp::Ordering::Greater) => {
                    "What one detector's uncertainty tells holds for another's in part"
                }
                _ => "What one detector's uncertainty tells does not hold for another's",
            };
            section.findings.push(format!(
                "{verdict}: learned from one and tested on another, the balanced accuracy is {} (guessing gives {:.3}), {} less \
                 than on the same one, the means over all pairs.",
                words(&across),
                chance(fakes),
                words(&loss.difference)
            ));
        }
        let name = if set == UNCERTAINTY { "source_transfer" } else { "source_transfer_epistemic" };
        let mut heads = vec!["learned from".to_owned()];
        heads.extend(names.iter().map(|name| format!("tested on {name}")));
        let row = |(name, values): (&String, &Vec<Estimate>)| {
            let mut cells = vec![Value::from(name.as_str())];
            cells.extend(values.iter().cloned().map(Value::from));
            cells
        };
        section.tables.push(Table {
            name: name.into(),
            title: format!("Learned from one detector or seed, tested on another ({set})"),
            caption: format!(
                "Balanced accuracy of the linear classifier on {} features that all have, on the scale of the one learned from. \
                 People who are tested were not learned from. Guessing gives {:.3}.",
                shared.len(),
                chance(fakes)
            ),
            columns: heads,
            rows: names.iter().zip(&values).map(row).collect(),
        });
        section.charts.push(Chart {
            name: name.into(),
            title: format!("Learned from one detector or seed (rows), tested on another (columns), {set}"),
            caption: format!("Balanced accuracy; guessing gives {:.3}.", chance(fakes)),
            kind: ChartKind::Matrix {
                rows: names.clone(),
                columns: names,
                values,
                what: "balanced accuracy".into(),
                ends: None,
                by_row: false,
            },
        });
    }
    Ok(())
}

fn drawings(
    section: &mut Section,
    fakes: &Fakes,
    sets: &[FeatureSet],
    options: &ManifoldOptions,
) -> Result<(), ReportError> {
    let wanted = |name: &str| sets.iter().find(|set| set.name == name);
    let Some(set) = wanted(UNCERTAINTY).or_else(|| wanted(CLASS_UNCERTAINTY)) else {
        section.skipped.push("the manifold is not drawn: there are no features of uncertainty".into());
        return Ok(());
    };
    let shown = some(fakes, MOST_DRAWN, options.seed);
    let all = fakes.x.select(&shown, &set.columns);
    let z: Matrix = Standard::of(&all).apply(&all);
    let Some((points, explained)) = draw::principal(&z)? else {
        section.skipped.push("the manifold is not drawn: it needs two features and three fakes".into());
        return Ok(());
    };
    let panels = |points: &[[f64; 2]]| {
        let by = |title: &str, names: &[String], of: &[usize]| {
            let group = |(at, name): (usize, &String)| {
                let of_group = shown.iter().zip(points).filter(|(i, _)| of[**i] == at).map(|(_, p)| *p);
                (name.clone(), of_group.collect())
            };
            ScatterPanel {
                title: title.into(),
                groups: names.iter().enumerate().map(group).collect(),
                labels: Vec::new(),
            }
        };
        vec![by("by generator", &fakes.generators, &fakes.labels), by("by fold (network)", &fakes.folds, &fakes.fold)]
    };
    let axis = |label: String| Axis { label, ..Axis::default() };
    let share =
        |k: usize, name: &str| axis(format!("{name} component ({:.0} % of the variance)", 100.0 * explained[k]));
    section.charts.push(Chart {
        name: "source_pca".into(),
        title: "The uncertainty manifold: principal components".into(),
        caption: format!(
            "{} fakes by {} standardised features of {}. Left by generator; right the same points by fold, each of which has a \
             network of its own.",
            shown.len(),
            set.columns.len(),
            set.name
        ),
        kind: ChartKind::Scatter { panels: panels(&points), x: share(0, "first"), y: share(1, "second") },
    });
    match draw::neighbourhoods(&z, &points) {
        Some(points) => section.charts.push(Chart {
            name: "source_tsne".into(),
            title: "The uncertainty manifold: t-SNE".into(),
            caption: "The same fakes and features. Near points are alike; distances between groups, and their sizes, mean little."
                .into(),
            kind: ChartKind::Scatter {
                panels: panels(&points),
                x: axis("t-SNE 1".into()),
                y: axis("t-SNE 2".into()),
            },
        }),
        None => section.skipped.push("t-SNE is not drawn: it needs some ten fakes or more".into()),
    }
    Ok(())
}

fn meaning(fakes: &Fakes) -> Vec<String> {
    let mut all = vec![
        "The total uncertainty of a binary detector is the entropy of its mean probability, so it tells that probability but for \
         its side; the margin and the variance of the event do the same. What is told from uncertainty as a whole can be told \
         from the probability alone as well. The epistemic features are no function of the mean, though bounded by it. Whether \
         uncertainty adds anything is what both together have over the probability."
            .to_owned(),
        "Telling a generator here means among the generators given, on people not seen, as encoded and cropped in these data. It \
         says nothing of generators that are not among them (open set), and the detectors have seen fakes of some of them."
            .to_owned(),
    ];
    if fakes.folds_are_given {
        all.push(
            "Each fold has a network of its own, with an uncertainty on a scale of its own: a classifier has to find what is the \
             same in all of them, so that accuracies are lower than one network's would be."
                .to_owned(),
        );
    }
    all
}
