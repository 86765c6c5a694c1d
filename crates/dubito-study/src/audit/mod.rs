//! Can a shortcut tell fake from real? Small classifiers on what must not help, or may help only a little.
//!
//! ```text
//! videos, masks -> look (what is measured) -> classifiers, cross-fitted over people -> judge -> audit.json, audit.html
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `look` | what is measured of each video |
//! | `page` | the result in words and as a page |
//!
//! Every video is scored by a classifier that never saw its people. Scores are ranks within a fold, because each fold has
//! a classifier of its own. AUROCs are of videos, fake against real (null controls count as real); their intervals
//! resample people.

pub(crate) mod look;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use dubito_data::manifest::{Label, Row, Status};
use dubito_data::split::{self, Round, Scheme, SplitOptions};
use dubito_media::Tools;
use dubito_nn::{MemoryCrops, Run, TrainConfig};
use dubito_stats::{Bootstrap, Estimate, Scored, Task};
use rayon::prelude::*;
use serde::Serialize;

use crate::StudyError;
use crate::logistic::{Logistic, Standard};
use crate::progress::{OnProgress, Progress, Step};
use look::{SIDE, Seen};

pub use page::{in_words, write};

/// The audit's own steps: to look at the videos, and to train on what was seen.
pub const STEPS: [Step; 2] = [
    Step { name: "look at the videos", number: 1, of: 2, before: 0.0, share: 0.5 },
    Step { name: "train and judge", number: 2, of: 2, before: 0.5, share: 0.5 },
];

/// What is audited.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// Seed of the choice of videos, of the network and of the bootstrap.
    pub seed: u64,
    /// Most videos that are looked at; all videos made of one target come together or not at all.
    pub videos: usize,
}

/// What a classifier is shown, and how well it may do.
struct Probe {
    name: &'static str,
    shown: &'static str,
    limit: Limit,
    advice: &'static str,
}

/// How well a classifier may tell fake from real.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Not at all: the interval of the AUROC holds one half.
    Chance,
    /// A little: the AUROC is at most so much.
    AtMost(f64),
}

/// How well appearance alone may tell.
const A_LITTLE: Limit = Limit::AtMost(0.75);

const CONTAINER: usize = 0;
const BACKGROUND: usize = 1;
const APPEARANCE: usize = 7;
const DRAWN_POSE: usize = 8;
const PROBES: [Probe; 9] = [
    Probe {
        name: "container",
        shown: "container, codec, bit rate, size and number of frames",
        limit: Limit::Chance,
        advice: "write real and fake videos by the same encoder with the same settings, frame rate and length",
    },
    Probe {
        name: "background",
        shown: "pixels outside the masks of all fakes of the target, and a block farther",
        limit: Limit::Chance,
        advice: "leave pixels outside the mask untouched, widen the mask to all that is changed, and pass reals through \
                 the same decoding and encoding",
    },
    Probe {
        name: "pose",
        shown: "yaw, pitch and roll of the person filmed, in the frames that were forged",
        limit: Limit::Chance,
        advice: "choose fakes and reals with the same poses: each fake beside the real video that it was made from",
    },
    Probe {
        name: "track",
        shown: "in how many frames, how surely and how often a face is found",
        limit: Limit::Chance,
        advice: "leave out videos whose face is hardly found, of both classes by the same rule, and give all the same \
                 number of frames",
    },
    Probe {
        name: "sharpness",
        shown: "sharpness of the face",
        limit: A_LITTLE,
        advice: "forge at the resolution of the target, or pass reals through the same resampling (null controls do)",
    },
    Probe {
        name: "noise",
        shown: "noise level of the face",
        limit: A_LITTLE,
        advice: "give what is forged the noise of the target before encoding",
    },
    Probe {
        name: "colour",
        shown: "mean and spread of the face's colours",
        limit: A_LITTLE,
        advice: "match the colours of what is put in to the target's, or vary those of reals as much",
    },
    Probe {
        name: "appearance",
        shown: "sharpness, noise and colour of the face together",
        limit: A_LITTLE,
        advice: "lower the strength of the generators that are named, and see to sharpness, noise and colour each",
    },
    Probe {
        name: "drawn_pose",
        shown: "yaw, pitch and roll of the face as each video shows it",
        limit: A_LITTLE,
        advice: "lower the strength of the generators that are named: their faces lean otherwise than their targets' do",
    },
];

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The shortcut does not solve the benchmark.
    Passed,
    /// It does.
    Failed,
    /// It can't be told; [`Check::auroc`] says why.
    Undecided,
}

/// One classifier's success.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Its name in `audit.json`.
    pub name: &'static str,
    /// What it was shown.
    pub shown: &'static str,
    /// How well it may do.
    pub limit: Limit,
    /// What came of it.
    pub verdict: Verdict,
    /// AUROC of fake against real, with the 95 % interval over people.
    pub auroc: Estimate,
    /// Videos that it was judged on.
    pub videos: usize,
    /// The same for each generator's fakes against all reals; the intervals hold at 95 % for all generators together
    /// (Bonferroni).
    pub by_generator: BTreeMap<String, Estimate>,
    /// Generators whose interval lies wholly above the limit (above one half, where chance is the limit).
    pub leaks: Vec<String>,
    /// Of null controls against untouched videos, by the generator whose warp, blend and encoder they went through, and
    /// `all`: how often the classifier calls a control the faker of the two. Far from one half it sees the processing,
    /// not the forgery. No part of the verdict.
    pub controls: BTreeMap<String, Estimate>,
    /// What to do where it failed.
    pub advice: &'static str,
}

/// What became of rows that could not be audited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Real videos.
    pub real: usize,
    /// Fakes.
    pub fake: usize,
}

/// All checks of a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Videos that were looked at, real (null controls among them) and fake.
    pub videos: [usize; 2],
    /// Null controls among the real ones.
    pub controls: usize,
    /// People who are seen.
    pub people: usize,
    /// Folds of people that classifiers were cross-fitted over.
    pub folds: usize,
    /// The checks.
    pub checks: Vec<Check>,
    /// Rows that were not looked at, by their status; those beyond the most that were asked for as `not_chosen`. If it is
    /// the fakes that fail, that is a shortcut too.
    pub left_out: BTreeMap<String, LeftOut>,
    /// Videos or masks that could not be read, with the reason.
    pub unreadable: Vec<String>,
}

impl Audit {
    /// Whether no check failed, and one at least passed.
    pub fn passed(&self) -> bool {
        let any = |verdict| self.checks.iter().any(|check| check.verdict == verdict);
        any(Verdict::Passed) && !any(Verdict::Failed)
    }
}

/// Nothing where the audit passed.
///
/// # Errors
/// [`StudyError::CheckFailed`] with the sentence that says which shortcut solves the benchmark, and what to do;
/// [`StudyError::Input`] where no check could be decided.
pub fn verdict(audit: &Audit) -> Result<(), StudyError> {
    let failed: Vec<&Check> = audit.checks.iter().filter(|check| check.verdict == Verdict::Failed).collect();
    if failed.is_empty() && !audit.passed() {
        let why = audit.checks.first().and_then(|check| check.auroc.undefined_because.clone()).unwrap_or_default();
        return Err(StudyError::Input {
            message: format!("not one check could be decided: {why}"),
            hint: "an audit needs real and fake videos of six people or more, with the files that the manifest names"
                .into(),
        });
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(StudyError::CheckFailed {
            message: failed.iter().map(|check| page::sentence(check)).collect::<Vec<_>>().join("\n"),
        }),
    }
}

/// Audits the videos of `rows`, whose paths are relative to `root`; a temporary folder in `out` holds the network.
///
/// People are kept apart by the manifest's folds or splits; without three of them, by folds made for the audit.
///
/// # Errors
/// No videos that can be read, too few people, an `out` that can't be written to. That a check did not pass is no error
/// here: see [`verdict`].
pub fn audit(
    rows: &[Row],
    root: &Path,
    out: &Path,
    options: &AuditOptions,
    tools: &Tools,
    [looking, judging]: [Step; 2],
    on_progress: OnProgress,
) -> Result<Audit, StudyError> {
    let (rows, rounds) = parted(rows, options.seed)?;
    let mut left_out: BTreeMap<String, LeftOut> = BTreeMap::new();
    let mut leave = |i: usize, why: &str| {
        let count = left_out.entry(why.to_owned()).or_default();
        *if rows[i].label == Label::Fake { &mut count.fake } else { &mut count.real } += 1;
    };
    let usable: BTreeSet<usize> = rounds.iter().flat_map(|round| round.test.iter().copied()).collect();
    for i in (0..rows.len()).filter(|i| !usable.contains(i)) {
        let status = rows[i].status;
        leave(i, if status == Status::Ok { "in_no_split" } else { status.name() });
    }
    let groups = look::groups(&rows, |i| usable.contains(&i));
    let mut chosen: Vec<Vec<usize>> = Vec::new();
    let mut count = 0;
    for name in split::by_hash(groups.keys().cloned(), options.seed) {
        let group = &groups[&name];
        if count + group.len() <= options.videos || chosen.is_empty() {
            count += group.len();
            chosen.push(group.clone());
        } else {
            group.iter().for_each(|&i| leave(i, "not_chosen"));
        }
    }
    let looked = look::look(&rows, &chosen, root, tools, looking, on_progress)?;
    if looked.seen.is_empty() {
        return Err(StudyError::Input {
            message: format!("none of {count} videos can be read: {}", looked.unreadable.first().map_or("", |r| r)),
            hint: "`dubito data verify` says which files are missing or broken".into(),
        });
    }
    let scores = scores(&looked.seen, &rows, &rounds, out, options.seed, judging, on_progress)?;
    let checks = PROBES.iter().zip(scores).map(|(probe, scores)| judge(probe, scores, &rows, options.seed));
    let seen = |keep: &dyn Fn(&Row) -> bool| looked.seen.iter().filter(|s| keep(&rows[s.row])).count();
    let people: BTreeSet<&str> = looked.seen.iter().map(|s| rows[s.row].identity.as_str()).collect();
    Ok(Audit {
        videos: [seen(&|r| r.label == Label::Real), seen(&|r| r.label == Label::Fake)],
        controls: seen(&|r| r.control.is_some()),
        people: people.len(),
        folds: rounds.len(),
        checks: checks.collect::<Result<_, _>>()?,
        left_out,
        unreadable: looked.unreadable,
    })
}

/// The rows with folds, and the rounds of cross-fitting over them.
fn parted(rows: &[Row], seed: u64) -> Result<(Vec<Row>, Vec<Round>), StudyError> {
    if let Ok(rounds) = split::rounds(rows) {
        return Ok((rows.to_vec(), rounds));
    }
    let options = SplitOptions { scheme: Scheme::Folds(3), seed, cut: false };
    let rows = split::assign(rows, &options)?.rows;
    let rounds = split::rounds(&rows)?;
    Ok((rows, rounds))
}

/// Scores of videos, each by a classifier that saw none of its people; or why there are none.
type Scores = Result<BTreeMap<usize, f64>, String>;

/// One set of scores for each of [`PROBES`].
fn scores(
    seen: &[Seen],
    rows: &[Row],
    rounds: &[Round],
    out: &Path,
    seed: u64,
    step: Step,
    on_progress: OnProgress,
) -> Result<Vec<Scores>, StudyError> {
    // The network's rounds are the work; the rest takes seconds.
    let total = rounds.len() + 1;
    let tell = |done: usize, item: &str| match on_progress(&Progress { step, done, total, item: item.to_owned() }) {
        true => Ok(()),
        false => Err(StudyError::stopped()),
    };
    let mut all: Vec<Scores> = (0..PROBES.len())
        .into_par_iter()
        .map(|probe| match probe {
            BACKGROUND => Ok(BTreeMap::new()),
            _ => cross_fit(&features(seen, probe), rows, rounds),
        })
        .collect();
    let crops: BTreeMap<usize, &[u8]> =
        seen.iter().filter(|s| !s.crops.is_empty()).map(|s| (s.row, s.crops.as_slice())).collect();
    all[BACKGROUND] = background(&crops, rows, rounds, out, seed, &tell)?;
    tell(total, "done")?;
    Ok(all)
}

/// The network's scores, round by round.
fn background(
    crops: &BTreeMap<usize, &[u8]>,
    rows: &[Row],
    rounds: &[Round],
    out: &Path,
    seed: u64,
    tell: &dyn Fn(usize, &str) -> Result<(), StudyError>,
) -> Result<Scores, StudyError> {
    if crops.is_empty() {
        return Ok(Err("no fake has a mask and a `source` that names its untouched video".into()));
    }
    let mut all = BTreeMap::new();
    for (k, round) in rounds.iter().enumerate() {
        tell(k, &format!("pixels outside the masks, {}", round.fold))?;
        match network(crops, rows, round, out, seed)? {
            Ok(found) => all.extend(ranked(found)),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(all))
}

/// The features that a probe is shown, by row.
fn features(seen: &[Seen], probe: usize) -> BTreeMap<usize, Vec<f64>> {
    let kinds: Vec<&str> = seen.iter().map(|s| s.kind.as_str()).collect::<BTreeSet<_>>().into_iter().take(32).collect();
    let joined = |parts: [&Option<Vec<f64>>; 3]| -> Option<Vec<f64>> {
        parts.into_iter().cloned().collect::<Option<Vec<_>>>().map(|parts| parts.concat())
    };
    let of = |s: &Seen| match probe {
        CONTAINER => {
            let kind = kinds.iter().map(|kind| f64::from(u8::from(*kind == s.kind)));
            Some(s.container.iter().copied().chain(kind).collect())
        }
        2 => s.pose.clone(),
        3 => Some(s.track.clone()),
        4 => s.sharpness.clone(),
        5 => s.noise.clone(),
        6 => s.colour.clone(),
        APPEARANCE => joined([&s.sharpness, &s.noise, &s.colour]),
        DRAWN_POSE => s.drawn_pose.clone(),
        _ => None,
    };
    seen.iter().filter_map(|s| Some((s.row, of(s)?))).collect()
}

/// Logistic regression on the features and their squares (too much and too little may both give a fake away).
fn cross_fit(features: &BTreeMap<usize, Vec<f64>>, rows: &[Row], rounds: &[Round]) -> Scores {
    let fake = |i: &usize| rows[*i].label == Label::Fake;
    let mut all = BTreeMap::new();
    for round in rounds {
        let there = |part: &[usize]| part.iter().filter(|i| features.contains_key(i)).copied().collect::<Vec<_>>();
        let (mut learned, tested) = (there(&round.train), there(&round.test));
        learned.extend(there(&round.valid));
        let y: Vec<bool> = learned.iter().map(fake).collect();
        if !y.contains(&true) || !y.contains(&false) {
            return Err(format!("without {} there are not both real and fake videos to learn from", round.fold));
        }
        let x: Vec<Vec<f64>> = learned.iter().map(|i| features[i].clone()).collect();
        let scale = Standard::of(&x);
        let with_squares = |x: &[f64]| -> Vec<f64> {
            let z = scale.apply(x);
            z.iter().copied().chain(z.iter().map(|z| z * z)).collect()
        };
        let model = Logistic::fit(&x.iter().map(|x| with_squares(x)).collect::<Vec<_>>(), &y);
        let found = tested.iter().map(|i| (*i, model.probability(&with_squares(&features[i])))).collect();
        all.extend(ranked(found));
    }
    Ok(all)
}

/// Scores as their midranks over their number, in (0, 1): equal ones stay equal.
fn ranked(scores: Vec<(usize, f64)>) -> impl Iterator<Item = (usize, f64)> {
    let mut sorted: Vec<f64> = scores.iter().map(|(_, score)| *score).collect();
    sorted.sort_by(f64::total_cmp);
    scores.into_iter().map(move |(i, score)| {
        let below = sorted.partition_point(|other| *other < score);
        let upto = sorted.partition_point(|other| *other <= score);
        (i, (below + upto) as f64 / 2.0 / sorted.len() as f64)
    })
}

/// A small ResNet-18 on the painted crops; a video's score is the mean over its frames.
fn network(
    crops: &BTreeMap<usize, &[u8]>,
    rows: &[Row],
    round: &Round,
    out: &Path,
    seed: u64,
) -> Result<Result<Vec<(usize, f64)>, String>, StudyError> {
    let each = (SIDE * SIDE * 3) as usize;
    let fake = |i: usize| rows[i].label == Label::Fake;
    let people = crate::crops::people(rows);
    let there = |part: &[usize]| part.iter().filter(|i| crops.contains_key(i)).copied().collect::<Vec<_>>();
    let set = |part: &[usize]| {
        let bytes: Vec<u8> = part.iter().flat_map(|i| crops[i].iter().copied()).collect();
        let frames = |i: &usize| crops[i].len() / each;
        let person = |i: usize| people.binary_search(&rows[i].identity.as_str()).unwrap_or(0) as u32;
        let classes = part.iter().flat_map(|i| vec![usize::from(fake(*i)); frames(i)]).collect();
        let groups = part.iter().flat_map(|i| vec![person(*i); frames(i)]).collect();
        MemoryCrops::new(SIDE, bytes, classes, groups)
    };
    let (train, valid, test) = (there(&round.train), there(&round.valid), there(&round.test));
    let both = |part: &[usize]| part.iter().any(|&i| fake(i)) && part.iter().any(|&i| !fake(i));
    if !both(&train) || !both(&valid) {
        let why = format!("without {} there are not both real and fake videos with masks to learn from", round.fold);
        return Ok(Err(why));
    }
    let config = TrainConfig {
        epochs: 4,
        seed,
        width: Some(16),
        freeze: Some("stem".into()),
        class_names: vec!["real".into(), "fake".into()],
        ..TrainConfig::default()
    };
    dubito_data::remove_unfinished(out, |_| false);
    let (folder, _held) = dubito_media::temporary::folder_in(out).map_err(StudyError::io(out))?;
    let device = dubito_nn::device("cpu")?;
    let go_on = &mut |_| ControlFlow::Continue(());
    dubito_nn::train(&config, &set(&train)?, &set(&valid)?, None, folder.path(), &device, go_on)?;
    let run = Run::load(folder.path())?;
    let posterior = run.posterior(&device)?;
    let mut scores = Vec::new();
    for i in test {
        let drawn = posterior.draw(run.batch(crops[&i], &device)?, 0..8, seed)?.mean_dim(1);
        let drawn: Vec<f32> = drawn.into_data().convert::<f32>().try_to_vec().unwrap_or_default();
        let fake: Vec<f64> = drawn.chunks_exact(2).map(|p| f64::from(p[1])).collect();
        scores.push((i, fake.iter().sum::<f64>() / fake.len().max(1) as f64));
    }
    Ok(Ok(scores))
}

/// The AUROC of some videos against others, with an interval over people.
fn auroc(
    scores: &BTreeMap<usize, f64>,
    rows: &[Row],
    positive: &dyn Fn(&Row) -> bool,
    negative: &dyn Fn(&Row) -> bool,
    bootstrap: &Bootstrap,
) -> Result<Estimate, StudyError> {
    let people = crate::crops::people(rows);
    let items: Vec<Scored> = scores
        .iter()
        .filter(|(i, _)| positive(&rows[**i]) || negative(&rows[**i]))
        .map(|(i, score)| Scored {
            label: usize::from(positive(&rows[*i])),
            probs: vec![1.0 - score, *score],
            total: 0.0,
            aleatoric: 0.0,
            between_frames: 0.0,
            epistemic: 0.0,
            cluster: people.binary_search(&rows[*i].identity.as_str()).unwrap_or(0) as u32,
        })
        .collect();
    let metrics = dubito_stats::metrics(&items, &Task::binary(), Some(bootstrap));
    let mut metrics = metrics.map_err(|e| StudyError::Input { message: e.to_string(), hint: String::new() })?;
    Ok(metrics.remove("auroc").unwrap_or_else(|| Estimate::undefined("no AUROC")))
}

fn judge(probe: &Probe, scores: Scores, rows: &[Row], seed: u64) -> Result<Check, StudyError> {
    let mut check = Check {
        name: probe.name,
        shown: probe.shown,
        limit: probe.limit,
        verdict: Verdict::Undecided,
        auroc: Estimate::undefined(""),
        videos: 0,
        by_generator: BTreeMap::new(),
        leaks: Vec::new(),
        controls: BTreeMap::new(),
        advice: probe.advice,
    };
    let scores = match scores {
        Ok(scores) => scores,
        Err(why) => {
            check.auroc = Estimate::undefined(why);
            return Ok(check);
        }
    };
    check.videos = scores.len();
    let (fake, real) = (|r: &Row| r.label == Label::Fake, |r: &Row| r.label == Label::Real);
    let bootstrap = Bootstrap { seed, ..Bootstrap::default() };
    check.auroc = auroc(&scores, rows, &fake, &real, &bootstrap)?;
    let named = |name: fn(&Row) -> Option<&str>| -> BTreeSet<String> {
        scores.keys().filter_map(|i| name(&rows[*i])).map(str::to_owned).collect()
    };
    let generators = named(|r| (r.label == Label::Fake).then_some(&r.generator));
    let jointly = Bootstrap {
        replicates: 2000,
        level: 1.0 - (1.0 - bootstrap.level) / generators.len().max(1) as f64,
        ..bootstrap.clone()
    };
    let by_generator = generators.into_par_iter().map(|generator| {
        let estimate = auroc(&scores, rows, &|r| fake(r) && r.generator == generator, &real, &jointly)?;
        Ok((generator, estimate))
    });
    check.by_generator = by_generator.collect::<Result<_, StudyError>>()?;
    let controls = named(|r| r.control.as_deref());
    if !controls.is_empty() {
        let untouched = |r: &Row| real(r) && r.control.is_none();
        let all = auroc(&scores, rows, &|r| r.control.is_some(), &untouched, &bootstrap)?;
        let each = controls.into_par_iter().map(|control| {
            let estimate = auroc(&scores, rows, &|r| r.control.as_ref() == Some(&control), &untouched, &bootstrap)?;
            Ok((control, estimate))
        });
        check.controls = each.collect::<Result<_, StudyError>>()?;
        check.controls.insert("all".into(), all);
    }
    let surely_above = match probe.limit {
        Limit::Chance => 0.5,
        Limit::AtMost(most) => most,
    };
    let leaks = check.by_generator.iter().filter(|(_, e)| e.low.is_some_and(|low| low > surely_above));
    check.leaks = leaks.map(|(generator, _)| generator.clone()).collect();
    check.verdict = match (probe.limit, &check.auroc) {
        _ if !check.leaks.is_empty() => Verdict::Failed,
        (Limit::Chance, Estimate { low: Some(low), high: Some(high), .. }) => {
            if (*low..=*high).contains(&0.5) {
                Verdict::Passed
            } else {
                Verdict::Failed
            }
        }
        (Limit::AtMost(most), Estimate { value: Some(value), .. }) => {
            if *value <= most {
                Verdict::Passed
            } else {
                Verdict::Failed
            }
        }
        _ => Verdict::Undecided,
    };
    Ok(check)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A number in [0, 1) that depends on nothing but the name.
    fn chance(name: &str) -> f64 {
        let hash = blake3::hash(name.as_bytes());
        f64::from(u32::from_le_bytes(*hash.as_bytes().first_chunk().unwrap())) / 2f64.powi(32)
    }

    /// Eighteen people in three folds: of each an untouched video, and a control and two fakes of three generators.
    fn rows() -> Vec<Row> {
        let mut rows = Vec::new();
        for person in 0..18 {
            let (fold, cell) = (person % 3 + 1, ["a", "b"][person / 3 % 2]);
            let real = Row {
                identity: format!("p{person:02}"),
                split: format!("fold{fold}"),
                cell: Some(format!("fold{fold}.{cell}")),
                source: Some(format!("s{person}")),
                generator: "real".into(),
                video: format!("real/{person}"),
                ..Row::default()
            };
            rows.push(real.clone());
            for generator in ["one", "two", "three"] {
                let control = Row {
                    control: Some(generator.into()),
                    video: format!("null-{generator}/{person}"),
                    ..real.clone()
                };
                rows.push(control);
                rows.extend((0..2).map(|k| Row {
                    label: Label::Fake,
                    generator: generator.into(),
                    video: format!("{generator}/{person}/{k}"),
                    ..real.clone()
                }));
            }
        }
        rows
    }

    /// What is seen where nothing tells.
    fn seen(rows: &[Row]) -> Vec<Seen> {
        let seen = rows.iter().enumerate().map(|(i, row)| {
            let of = |what: &str, of: &str| chance(&format!("{what} {of}"));
            let target = |what: &str| of(what, &row.identity);
            let own = |what: &str| of(what, &row.video);
            Seen {
                row: i,
                kind: "mov h264 yuv420p".into(),
                container: vec![target("bytes") + 0.1 * own("bytes"), 640.0, 480.0],
                pose: Some(vec![target("yaw") + 0.01 * own("yaw")]),
                drawn_pose: Some(vec![target("yaw") + 0.1 * own("drawn yaw")]),
                track: vec![1.0, 0.9 + 0.1 * own("presence")],
                sharpness: Some(vec![own("sharp"), own("edge")]),
                noise: Some(vec![own("noise")]),
                colour: Some(vec![target("red"), own("green")]),
                crops: Vec::new(),
            }
        });
        seen.collect()
    }

    fn checks(rows: &[Row], seen: &[Seen]) -> BTreeMap<&'static str, Check> {
        let (rows, rounds) = parted(rows, 0).unwrap();
        let out = tempfile::tempdir().unwrap();
        let scores = scores(seen, &rows, &rounds, out.path(), 0, STEPS[1], &|_| true).unwrap();
        PROBES.iter().zip(scores).map(|(p, s)| (p.name, judge(p, s, &rows, 0).unwrap())).collect()
    }

    #[test]
    fn where_nothing_tells_nothing_fails() {
        let rows = rows();
        let checks = checks(&rows, &seen(&rows));
        for check in checks.values() {
            let expected = if check.name == "background" { Verdict::Undecided } else { Verdict::Passed };
            assert_eq!(check.verdict, expected, "{check:?}");
        }
        assert!(checks["background"].auroc.undefined_because.as_ref().unwrap().contains("mask"));
        let pose = &checks["pose"];
        assert_eq!((pose.videos, pose.by_generator.len(), pose.controls.len()), (18 * 10, 3, 4));
        // One constant tells nothing, exactly.
        let mut constant = seen(&rows);
        constant.iter_mut().for_each(|s| s.track = vec![1.0, 0.9]);
        let track = &self::checks(&rows, &constant)["track"];
        assert_eq!((track.auroc.value, track.auroc.low, track.auroc.high), (Some(0.5), Some(0.5), Some(0.5)));
    }

    #[test]
    fn each_leak_is_found_by_its_own_check_and_its_generator_is_named() {
        let rows = rows();
        type Plant = fn(&mut Seen, &Row);
        let plants: [(&str, Plant); 5] = [
            // Fakes of one generator among three take a little less or a little more: only the square tells.
            ("container", |s, r| {
                let away = if chance(&format!("sign {}", r.video)) < 0.5 { 3.0 } else { -3.0 };
                s.container[0] += if r.generator == "two" { away } else { 0.0 };
            }),
            ("pose", |s, r| s.pose = Some(vec![if r.generator == "two" { 3.0 } else { chance(&r.video) }])),
            ("track", |s, r| s.track[1] -= if r.generator == "two" { 0.3 } else { 0.0 }),
            ("drawn_pose", |s, r| s.drawn_pose = Some(vec![if r.generator == "two" { 3.0 } else { chance(&r.video) }])),
            ("noise", |s, r| s.noise = Some(vec![if r.generator == "two" { 2.0 } else { chance(&r.video) }])),
        ];
        for (name, plant) in plants {
            let mut planted = seen(&rows);
            planted.iter_mut().zip(&rows).for_each(|(s, r)| plant(s, r));
            let checks = checks(&rows, &planted);
            assert_eq!(checks[name].verdict, Verdict::Failed, "{name}: {:?}", checks[name]);
            assert!(checks[name].leaks.contains(&"two".to_owned()), "{name}: {:?}", checks[name].leaks);
            for other in checks.values().filter(|c| c.name != name && c.name != "appearance") {
                assert!(!other.leaks.contains(&"two".to_owned()), "{name} is planted and {} names it", other.name);
            }
            let audit = Audit {
                videos: [0, 0],
                controls: 0,
                people: 18,
                folds: 3,
                checks: checks.into_values().collect(),
                left_out: BTreeMap::new(),
                unreadable: Vec::new(),
            };
            let message = verdict(&audit).unwrap_err().to_string();
            assert!(message.contains("two") && message.contains("people never seen"), "{message}");
        }
    }

    #[test]
    fn controls_that_look_processed_are_shown_and_do_not_fail() {
        let rows = rows();
        let mut planted = seen(&rows);
        for (s, r) in planted.iter_mut().zip(&rows) {
            // Resampling blurs fakes and controls alike; fakes are told from all reals only a little.
            let processed = r.label == Label::Fake || r.control.is_some();
            s.sharpness = Some(vec![chance(&r.video) - if processed { 2.0 } else { 0.0 }, 0.0]);
        }
        let sharpness = &checks(&rows, &planted)["sharpness"];
        assert_eq!(sharpness.verdict, Verdict::Passed, "{sharpness:?}");
        assert!(sharpness.controls["all"].value.unwrap() > 0.9 && sharpness.controls["two"].value.unwrap() > 0.9);
    }

    #[test]
    fn pixels_that_tell_are_found() {
        let rows = rows();
        let mut planted = seen(&rows);
        for (s, r) in planted.iter_mut().zip(&rows) {
            let stripes = r.label == Label::Fake;
            let pixel = |i: usize| {
                if stripes && (i / 3).is_multiple_of(2) { 150 } else { 120 + (chance(&r.video) * 20.0) as u8 }
            };
            s.crops = (0..(SIDE * SIDE * 3) as usize).map(pixel).collect();
        }
        let background = &checks(&rows, &planted)["background"];
        assert_eq!(background.verdict, Verdict::Failed, "{background:?}");
        assert!(background.auroc.value.unwrap() > 0.9, "{background:?}");
    }

    #[test]
    fn without_splits_people_are_parted_and_one_class_is_no_answer() {
        let mut rows = rows();
        rows.iter_mut().for_each(|r| (r.split, r.cell) = (String::new(), None));
        let checks = checks(&rows, &seen(&rows));
        assert_eq!(checks["sharpness"].verdict, Verdict::Passed);
        assert!(checks["pose"].auroc.low.is_some());
        let reals: Vec<Row> = rows.into_iter().filter(|r| r.label == Label::Real).collect();
        let checks = self::checks(&reals, &seen(&reals));
        assert_eq!(checks["pose"].verdict, Verdict::Undecided);
        assert!(checks["pose"].auroc.undefined_because.as_ref().unwrap().contains("real and fake"));
    }

    #[test]
    fn ranks_keep_order_and_ties() {
        let ranks: Vec<f64> = ranked(vec![(0, 5.0), (1, 1.0), (2, 5.0), (3, 9.0)]).map(|(_, r)| r).collect();
        assert_eq!(ranks, [0.5, 0.125, 0.5, 0.875]);
    }
}
