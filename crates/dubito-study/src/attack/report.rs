//! Adversarial robustness as an experiment of a report: how right, how doubtful, and whether doubt tells the attack.

use std::path::{Path, PathBuf};

use dubito_report::section::{Axis, Chart, ChartKind, Curve, CurvesPanel, Section, Source, Table, Value};
use dubito_report::{Options, Predictions, Scores};
use dubito_stats::unseen::{Kind, UnseenDoubt, unseen_doubt};
use dubito_stats::{Bootstrap, Estimate, Items, metrics_of};

use super::{Attacked, Condition, Variant, by_place, read};
use crate::StudyError;

/// The three doubts, by the names that tables and charts have.
const DOUBTS: [&str; 3] = ["total", "aleatoric", "epistemic"];

/// What is known of one condition.
struct Judged {
    condition: Condition,
    /// Share of the frames that are right.
    accuracy: Estimate,
    auroc: Estimate,
    /// The same of whole videos, each of its attacked frames.
    video_accuracy: Estimate,
    video_auroc: Estimate,
    /// Of the frames that were right without an attack (in the same variant), the share that is wrong with it.
    success: Estimate,
    /// Mean doubts in nats.
    doubts: [Estimate; 3],
    /// How each doubt tells the attacked frames from the same frames without an attack; none of these themselves.
    detection: Option<[UnseenDoubt; 3]>,
}

/// One folder that `dubito attack` wrote.
struct Study {
    title: String,
    attacked: Attacked,
    judged: Vec<Judged>,
    people: usize,
}

impl Study {
    fn read(title: &str, folder: &Path, bootstrap: &Bootstrap) -> Result<Self, StudyError> {
        let attacked = read(folder)?;
        let options = Options { bootstrap: Some(bootstrap.clone()), ..Options::default() };
        let scores: Vec<Scores> = attacked
            .conditions
            .iter()
            .map(|condition| {
                let found = Predictions::read(&[folder.join(condition.file())], &options)?;
                // A detector of several classes is judged as the classes that it is attacked as.
                Ok(found.classes.map_or(found.scores, |classes| classes.known))
            })
            .collect::<Result<_, StudyError>>()?;
        let places = by_place(&attacked.conditions);
        let without_attack = |variant: Variant| {
            // A frame that nobody attacked is bytes already.
            let variant = if variant == Variant::Rounded { Variant::Exact } else { variant };
            let clean = places.get(&(0f32.to_bits(), variant))?;
            attacked.conditions.iter().position(|c| c == *clean)
        };
        let mut judged = Vec::new();
        for (condition, own) in attacked.conditions.iter().zip(&scores) {
            let clean = without_attack(condition.variant).filter(|_| condition.epsilon > 0.0).map(|at| &scores[at]);
            judged.push(judge(condition, own, clean, bootstrap)?);
        }
        let people = scores.first().map_or(0, |scores| scores.clusters);
        Ok(Self { title: title.to_owned(), attacked, judged, people })
    }

    /// The condition of an epsilon and a variant.
    fn at(&self, epsilon: f32, variant: Variant) -> Option<&Judged> {
        self.judged.iter().find(|j| j.condition.epsilon == epsilon && j.condition.variant == variant)
    }

    fn attack(&self) -> String {
        self.attacked.options.name()
    }
}

/// What one detector says; an attack's files hold one.
fn items(scores: &Scores) -> Result<(&Items, &Items), StudyError> {
    match scores.sets.as_slice() {
        [set] => Ok((&set.items, &set.videos)),
        sets => Err(StudyError::Input {
            message: format!("predictions of {} detectors where those of one were expected", sets.len()),
            hint: "attack one detector's runs at a time".into(),
        }),
    }
}

fn judge(
    condition: &Condition,
    own: &Scores,
    clean: Option<&Scores>,
    bootstrap: &Bootstrap,
) -> Result<Judged, StudyError> {
    let stats = |e: dubito_stats::StatsError| StudyError::Input {
        message: format!("{}: {e}", condition.name),
        hint: "make the predictions again with `dubito attack`".into(),
    };
    let (frames, videos) = items(own)?;
    let of = |items: &Items| metrics_of(items, Some(bootstrap)).map_err(stats);
    let (by_frame, by_video) = (of(frames)?, of(videos)?);
    let (mut success, mut detection) = (Estimate::undefined("there is no attack"), None);
    if let Some(clean) = clean {
        let (before, _) = items(clean)?;
        let same = own.items() == clean.items() && (0..own.items()).all(|i| own.item_name(i) == clean.item_name(i));
        if !same {
            return Err(StudyError::Input {
                message: format!("{}: other frames than those without an attack", condition.name),
                hint: "make the predictions again with `dubito attack`".into(),
            });
        }
        let were_right = frames.select(|i| !before.is_error(i));
        success = match were_right.is_empty() {
            true => Estimate::undefined("no frame was right without the attack"),
            false => rest(&of(&were_right)?["accuracy"]),
        };
        // The attacked frames as what is to be found among the same frames without an attack.
        let kinds: Vec<Kind> = std::iter::repeat_n(Kind::SeenFake, before.len())
            .chain(std::iter::repeat_n(Kind::UnseenFake, frames.len()))
            .collect();
        let clusters = [before.clusters(), frames.clusters()].concat();
        let of = |doubt: fn(&Items) -> &[f64]| {
            unseen_doubt(&[doubt(before), doubt(frames)].concat(), &kinds, &clusters, Some(bootstrap)).map_err(stats)
        };
        detection = Some([of(Items::total)?, of(Items::aleatoric)?, of(Items::epistemic)?]);
    }
    Ok(Judged {
        condition: condition.clone(),
        accuracy: by_frame["accuracy"].clone(),
        auroc: by_frame["auroc"].clone(),
        video_accuracy: by_video["accuracy"].clone(),
        video_auroc: by_video["auroc"].clone(),
        success,
        doubts: DOUBTS.map(|doubt| by_frame[doubt].clone()),
        detection,
    })
}

/// 1 minus a share.
fn rest(share: &Estimate) -> Estimate {
    let rest = |v: Option<f64>| v.map(|v| 1.0 - v);
    let Estimate { value, low, high, undefined_because } = share.clone();
    Estimate { value: rest(value), low: rest(high), high: rest(low), undefined_because }
}

/// The experiment: what became of detectors under attack. Each of `folders` is what `dubito attack` wrote, with the name
/// of what was attacked. Intervals resample people.
///
/// # Errors
/// A folder or its predictions can't be read; no folder.
pub fn section(folders: &[(String, PathBuf)], bootstrap: &Bootstrap) -> Result<Section, StudyError> {
    let studies = folders
        .iter()
        .map(|(title, folder)| Study::read(title, folder, bootstrap))
        .collect::<Result<Vec<Study>, StudyError>>()?;
    let Some(first) = studies.first() else {
        return Err(StudyError::Input {
            message: "no attack to report".into(),
            hint: "give the folder that `dubito attack` wrote".into(),
        });
    };
    let options = &first.attacked.options;
    let mut section = Section {
        name: "robustness".into(),
        title: "Adversarial robustness".into(),
        question: "How much of its accuracy does a detector keep when the pixels of a frame are changed on purpose by a few \
                   parts of 255, does its uncertainty rise, and does the uncertainty give the attack away?"
            .into(),
        method: format!(
            "Each run attacks held-out frames of people that it did not learn from ({} people, {} clips, {} frames) within a \
             ball of the maximum norm. Every step of an attack looks at {} posterior samples (expectation over the posterior) \
             of a seed that is not the evaluation's; {} samples then judge the frames as found, rounded to 8 bits{}. \
             Intervals ({:.0} %) resample people.",
            first.people,
            first.attacked.clips,
            first.attacked.frames,
            options.attack.eot,
            options.samples,
            options.reencode.map_or(String::new(), |q| format!(", and after JPEG of quality {q}")),
            100.0 * bootstrap.level
        ),
        meaning: vec![
            "Low accuracy under these attacks means that the detector can be led astray by whoever knows its weights (of \
             `square`: by whoever may ask it often enough). High accuracy does not mean that it can't: another attack, more \
             steps or a larger budget may succeed, and only changes within the ball were tried."
                .into(),
            "An uncertainty that tells attacked frames from clean ones does so for this attack. One that knows of the \
             uncertainty (`adaptive`) is the honest test of a defence built on it."
                .into(),
        ],
        ..Section::default()
    };
    for (study, (_, folder)) in studies.iter().zip(folders) {
        section.findings.extend(findings(study));
        let path = folder.display();
        section.sources.push(Source {
            what: format!("{} attacked by {}", study.title, study.attack()),
            path: path.to_string(),
            command: format!("dubito attack MANIFEST --run RUNS -o {path}"),
        });
        let missing = study.attacked.missing.len();
        if missing > 0 {
            let reason = &study.attacked.missing[0].reason;
            section.skipped.push(format!("{}: {missing} videos were not attacked; the first: {reason}", study.title));
        }
    }
    section.tables = vec![accuracy_table(&studies), doubt_table(&studies)];
    section.charts = charts(&studies);
    Ok(section)
}

/// A number with its interval, as a sentence has it.
fn said(estimate: &Estimate, percent: bool) -> String {
    let number = |v: f64| if percent { format!("{:.1}", 100.0 * v) } else { format!("{v:.3}") };
    let unit = if percent { " %" } else { "" };
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => format!("{}{unit} [{}, {}]", number(value), number(low), number(high)),
        (Some(value), ..) => format!("{}{unit} (no interval)", number(value)),
        (None, ..) => {
            format!("undefined ({})", estimate.undefined_because.as_deref().unwrap_or("no reason was given"))
        }
    }
}

/// Sentences of one folder: the largest budget first.
fn findings(study: &Study) -> Vec<String> {
    let (title, attack) = (&study.title, study.attack());
    let largest = study.attacked.options.epsilons.iter().copied().fold(0.0, f32::max);
    let (Some(clean), Some(exact)) = (study.at(0.0, Variant::Exact), study.at(largest, Variant::Exact)) else {
        return Vec::new();
    };
    let mut all = vec![format!(
        "{title}: {attack} with {largest}/255 takes the accuracy on frames from {} to {}; of the frames that were right, {} \
         become wrong.",
        said(&clean.accuracy, true),
        said(&exact.accuracy, true),
        said(&exact.success, true)
    )];
    let others = [(Variant::Rounded, "rounding to 8 bits"), (Variant::Reencoded, "JPEG")];
    let others: Vec<String> = others
        .into_iter()
        .filter_map(|(variant, how)| {
            let found = study.at(largest, variant)?;
            Some(format!("after {how} {} of those that were right are wrong", said(&found.success, true)))
        })
        .collect();
    if !others.is_empty() {
        all.push(format!("{title}: {attack} with {largest}/255: {}.", others.join("; ")));
    }
    if let Some([_, _, epistemic]) = &exact.detection {
        let auroc = &epistemic.detection.auroc;
        let verdict = match (auroc.low, auroc.high) {
            (Some(low), _) if low > 0.5 => "the attack can be told from it better than by chance",
            (_, Some(high)) if high < 0.5 => "attacked frames look surer than clean ones",
            (Some(_), Some(_)) => "which is not told from chance",
            _ => "and there is no interval to say whether that is chance",
        };
        all.push(format!(
            "{title}: under {attack} with {largest}/255 the epistemic uncertainty of frames is {} nats, without an attack {}; it \
             tells attacked from clean frames with an AUROC of {}: {verdict}.",
            said(&exact.doubts[2], false),
            said(&clean.doubts[2], false),
            said(auroc, false)
        ));
    }
    all
}

/// What stands at the left of each row.
fn lead(study: &Study, judged: &Judged) -> Vec<Value> {
    let attack = if judged.condition.epsilon > 0.0 { study.attack() } else { "none".to_owned() };
    let epsilon = judged.condition.epsilon.to_string();
    vec![study.title.clone().into(), attack.into(), epsilon.into(), judged.condition.variant.in_words().into()]
}

fn columns(more: &[&str]) -> Vec<String> {
    ["detector", "attack", "epsilon / 255", "frames"].iter().chain(more).map(|s| (*s).to_owned()).collect()
}

fn accuracy_table(studies: &[Study]) -> Table {
    let row = |study: &Study, judged: &Judged| {
        let mut row = lead(study, judged);
        let Judged { accuracy, auroc, video_accuracy, video_auroc, success, .. } = judged;
        row.extend([accuracy, auroc, video_accuracy, video_auroc, success].map(|e| e.clone().into()));
        row
    };
    Table {
        name: "accuracy".into(),
        title: "Accuracy under attack".into(),
        caption: "Accuracy and AUROC of single frames, and of videos by the mean over their attacked frames. Success: of the \
                  frames that were right without the attack, the share that is wrong with it."
            .into(),
        columns: columns(&["accuracy", "AUROC", "accuracy of videos", "AUROC of videos", "success"]),
        rows: studies.iter().flat_map(|s| s.judged.iter().map(move |j| row(s, j))).collect(),
    }
}

fn doubt_table(studies: &[Study]) -> Table {
    let row = |study: &Study, judged: &Judged| {
        let mut row = lead(study, judged);
        row.extend(judged.doubts.iter().map(|e| e.clone().into()));
        let none = || Estimate::undefined("there is no attack to tell");
        row.extend((0..3).map(|k| match &judged.detection {
            Some(detection) => Value::from(detection[k].detection.auroc.clone()),
            None => none().into(),
        }));
        row
    };
    let names = ["total", "aleatoric", "epistemic", "AUROC of total", "AUROC of aleatoric", "AUROC of epistemic"];
    Table {
        name: "uncertainty".into(),
        title: "Uncertainty under attack".into(),
        caption: "Mean uncertainty of frames in nats, and the AUROC with which it tells attacked frames from the same frames \
                  without an attack (.5 is chance; below it, attacked frames look surer)."
            .into(),
        columns: columns(&names),
        rows: studies.iter().flat_map(|s| s.judged.iter().map(move |j| row(s, j))).collect(),
    }
}

fn charts(studies: &[Study]) -> Vec<Chart> {
    // Points from the clean frames to the largest budget.
    let line = |study: &Study, name: &str, variant: Variant, of: &dyn Fn(&Judged) -> Estimate| {
        let clean = study.at(0.0, variant).or_else(|| study.at(0.0, Variant::Exact));
        let mut attacked: Vec<&Judged> =
            study.judged.iter().filter(|j| j.condition.epsilon > 0.0 && j.condition.variant == variant).collect();
        attacked.sort_by(|a, b| a.condition.epsilon.total_cmp(&b.condition.epsilon));
        let points = clean.into_iter().chain(attacked).map(|j| (f64::from(j.condition.epsilon), of(j))).collect();
        Curve { name: name.to_owned(), points }
    };
    // Where all are of one detector, the section names it and no line of a chart needs to.
    let several = studies.iter().any(|study| study.title != studies[0].title);
    let whose = |study: &Study| if several { format!("{}, ", study.title) } else { String::new() };
    let panel = |study: &Study, lines: Vec<Curve>| CurvesPanel {
        title: format!("{}{}", whose(study), study.attack()),
        lines: lines.into_iter().filter(|line| line.points.len() > 1).collect(),
    };
    let epsilon = || Axis { label: "epsilon / 255".into(), ..Axis::default() };
    let variants = [Variant::Exact, Variant::Rounded, Variant::Reencoded];
    let accuracy = studies.iter().map(|study| {
        let of = |variant: Variant| line(study, variant.in_words(), variant, &|j| j.accuracy.clone());
        panel(study, variants.map(of).into())
    });
    let doubt = studies.iter().map(|study| {
        let of = |k: usize| line(study, DOUBTS[k], Variant::Exact, &|j| j.doubts[k].clone());
        panel(study, (0..3).map(of).collect())
    });
    let attacked: Vec<(&Study, &Judged, &[UnseenDoubt; 3])> = studies
        .iter()
        .flat_map(|s| s.judged.iter().filter_map(move |j| j.detection.as_ref().map(|detection| (s, j, detection))))
        .collect();
    let row = |(study, judged, _): &(&Study, &Judged, &[UnseenDoubt; 3])| {
        let Condition { epsilon, variant, .. } = &judged.condition;
        format!("{}{} {epsilon}/255, {}", whose(study), study.attack(), variant.in_words())
    };
    let series = (0..3).map(|k| {
        let of = |(_, _, found): &(&Study, &Judged, &[UnseenDoubt; 3])| found[k].detection.auroc.clone();
        (DOUBTS[k].to_owned(), attacked.iter().map(of).collect())
    });
    vec![
        Chart {
            name: "accuracy".into(),
            title: "Accuracy against the attack's budget".into(),
            caption: "Share of frames that are right; 0 is without an attack.".into(),
            kind: ChartKind::Curves {
                panels: accuracy.collect(),
                x: epsilon(),
                y: Axis { label: "accuracy of frames".into(), ends: Some([0.0, 1.0]), ..Axis::default() },
                reference: None,
            },
        },
        Chart {
            name: "uncertainty".into(),
            title: "Uncertainty against the attack's budget".into(),
            caption: "Mean of frames as the attack left them.".into(),
            kind: ChartKind::Curves {
                panels: doubt.collect(),
                x: epsilon(),
                y: Axis { label: "uncertainty (nats)".into(), ..Axis::default() },
                reference: None,
            },
        },
        Chart {
            name: "detection".into(),
            title: "Does uncertainty tell the attack?".into(),
            caption: "AUROC of each uncertainty for attacked frames against the same frames without an attack.".into(),
            kind: ChartKind::Dots {
                rows: attacked.iter().map(row).collect(),
                series: series.collect(),
                x: Axis { label: "AUROC".into(), ends: Some([0.0, 1.0]), ..Axis::default() },
                reference: Some(("chance".into(), 0.5)),
            },
        },
    ]
}
