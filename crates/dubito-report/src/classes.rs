//! Predictions of several classes as such: what stands beside the view of real against fake.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use dubito_stats::discrimination::confusion;
use serde::Serialize;

use crate::evaluate::{Group, Metrics, ece_if_calibrated, in_unit};
use crate::input::View;
use crate::scores::{Origin, Scores};
use crate::unseen::unseen;
use crate::{Level, Options, ReportError};

/// The `by` of the groups that hold the view of several classes: `{"task": "multiclass"}`.
pub const MULTICLASS: &str = "multiclass";

/// Everything that one evaluation reads.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// What is judged; probabilities of several classes, one of them `real`, as real against fake.
    pub scores: Scores,
    /// The split to choose on, where there is one.
    pub calibration: Option<Scores>,
    /// What is judged, as the classes that it is, where they are several and `real` is one.
    pub classes: Option<ClassView>,
}

impl Predictions {
    /// Read the split to judge, the one to choose on, and the view of several classes. Errors: see
    /// [`Scores::read_splits`].
    pub fn read(paths: &[PathBuf], options: &Options) -> Result<Self, ReportError> {
        let (scores, calibration) = Scores::read_splits(paths, options)?;
        Self::with_classes(scores, calibration, paths, options)
    }

    /// The same where nothing is chosen on another split: several splits without a choice are an error.
    pub(crate) fn read_one_split(paths: &[PathBuf], options: &Options) -> Result<Self, ReportError> {
        Self::with_classes(Scores::read(paths, options)?, None, paths, options)
    }

    fn with_classes(
        mut scores: Scores,
        calibration: Option<Scores>,
        paths: &[PathBuf],
        options: &Options,
    ) -> Result<Self, ReportError> {
        let classes = ClassView::read(paths, options, &scores)?;
        if let Some(classes) = &classes {
            let known = &scores.not_learned;
            let more = classes.others().into_iter().filter(|name| !known.set_aside.contains(name)).collect::<Vec<_>>();
            scores.not_learned.unseen.extend(more);
        }
        Ok(Self { scores, calibration, classes })
    }
}

/// Predictions of several classes, one of them `real`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassView {
    /// What is of one of the classes.
    pub known: Scores,
    /// That, and the fakes of none of them, whose labels here mean nothing; `None` where there are no such fakes.
    pub with_others: Option<Scores>,
}

impl ClassView {
    /// Read the files again, as several classes; `scores` are the same read as real against fake. `None` where the files
    /// have no several classes, different ones, or no item of one. Errors: see [`Scores::read`].
    pub fn read(paths: &[PathBuf], options: &Options, scores: &Scores) -> Result<Option<Self>, ReportError> {
        if scores.classes.is_none() {
            return Ok(None);
        }
        let split = options.split.clone().or_else(|| scores.split.clone());
        let of = |view| Scores::read(paths, &Options { view, split: split.clone(), ..options.clone() });
        let known = match of(View::Classes) {
            Err(ReportError::Empty { .. }) => return Ok(None),
            other => other?,
        };
        let with_others = if known.items() < scores.items() { Some(of(View::Everything)?) } else { None };
        Ok(Some(Self { known, with_others }))
    }

    /// What there is, fakes of none of the classes among it.
    pub fn all(&self) -> &Scores {
        self.with_others.as_ref().unwrap_or(&self.known)
    }

    /// The generators of the fakes that are of none of the classes.
    pub fn others(&self) -> BTreeSet<String> {
        let Some(all) = &self.with_others else { return BTreeSet::new() };
        let known: BTreeSet<&str> = (0..self.known.units.len()).map(|unit| self.known.units.name(unit)).collect();
        (0..all.units.len())
            .filter(|&unit| !known.contains(all.units.name(unit)))
            .filter_map(|unit| match all.units.origin(unit) {
                Origin::Generator(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
    }

    /// The same with one detector only; `None` where it has no item of one of the classes.
    pub(crate) fn only(&self, detector: &Option<String>) -> Option<Self> {
        let of = |scores: &Scores| {
            let at = scores.sets.iter().position(|set| set.detector == *detector)?;
            Some(scores.only(at))
        };
        Some(Self { known: of(&self.known)?, with_others: self.with_others.as_ref().and_then(of) })
    }

    /// Adds the groups `{"task": "multiclass"}`, confusion matrices, and doubt on unseen generators over all classes to
    /// the metrics of the same predictions read as real against fake. Errors: faults of the numbers.
    pub fn add_to(&self, metrics: &mut Metrics, scores: &Scores, options: &Options) -> Result<(), ReportError> {
        let levels: &[Level] = if scores.has_videos { &[Level::Frame, Level::Video] } else { &[Level::Item] };
        let several = scores.sets.len() > 1;
        let mut groups = Vec::new();
        for set in &self.known.sets {
            for &level in levels {
                let mut by = BTreeMap::from([("task".to_owned(), MULTICLASS.to_owned())]);
                if let (true, Some(detector)) = (several, &set.detector) {
                    by.insert("detector".into(), detector.clone());
                }
                let items = set.of(level);
                let place = |source| ReportError::Stats { place: format!("group {by:?}"), source };
                let mut numbers = dubito_stats::metrics_of(items, options.bootstrap.as_ref()).map_err(place)?;
                numbers.insert("ece_top15_if_calibrated".into(), ece_if_calibrated(items, options));
                in_unit(&mut numbers, options.unit, self.known.task.classes.len());
                let videos = (0..items.len()).map(|i| self.known.unit(set, level, i)).collect::<BTreeSet<_>>().len();
                groups.push(Group { by, level, items: items.len(), videos, missing: 0, metrics: numbers });
            }
        }
        metrics.groups.extend(groups);
        metrics.confusion = self.confusions(metrics.top_level(), &scores.not_learned.unseen);
        metrics.unseen.extend(unseen(self.all(), &scores.not_learned, options)?);
        Ok(())
    }

    fn confusions(&self, level: Level, unseen: &BTreeSet<String>) -> Vec<Confusion> {
        let of_set = |set: &crate::ScoreSet| {
            let all = self.all();
            let mut others: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            for set in all.sets.iter().filter(|other| other.detector == set.detector) {
                let items = set.of(level);
                for i in 0..items.len() {
                    if let Origin::Generator(name) = all.units.origin(all.unit(set, level, i))
                        && unseen.contains(name)
                    {
                        let counts = others.entry(name.clone()).or_insert_with(|| vec![0; items.classes()]);
                        counts[items.predicted(i)] += 1;
                    }
                }
            }
            Confusion {
                detector: set.detector.clone(),
                level,
                classes: self.known.task.classes.clone(),
                counts: confusion(set.of(level)),
                unseen: others,
            }
        };
        self.known.sets.iter().map(of_set).collect()
    }
}

/// What is called what by one detector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    /// The detector, where the predictions name one.
    pub detector: Option<String>,
    /// What an item is.
    pub level: Level,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// `[true class][class of the largest probability]`, number of items.
    pub counts: Vec<Vec<u64>>,
    /// The same of the fakes of each generator that the detector never saw, which have no true class here.
    pub unseen: BTreeMap<String, Vec<u64>>,
}
