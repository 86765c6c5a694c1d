//! What a detector makes of the fakes of generators that it never saw: how many it catches, and whether it doubts more.

use std::collections::{BTreeMap, BTreeSet};

use dubito_stats::unseen::{Kind, UnseenDoubt, unseen_doubt};
use dubito_stats::{Estimate, Items, StatsError};
use serde::Serialize;

use crate::classes::MULTICLASS;
use crate::rates::Rate;
use crate::scores::{NotLearned, Origin, ScoreSet, Scores, real_class};
use crate::{Level, Options, ReportError};

/// The fakes of one unseen generator, or of all of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnseenFakes {
    /// The generator; `None` for all together.
    pub generator: Option<String>,
    /// Number of its fakes.
    pub items: usize,
    /// Share that is called anything but real.
    pub caught: Estimate,
    /// Each doubt (`total`, `aleatoric`, `between_frames`, `epistemic`), in nats, beside that on what is seen; what the
    /// predictions do not have is not there.
    pub doubts: BTreeMap<&'static str, UnseenDoubt>,
}

/// What one detector makes of unseen generators.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unseen {
    /// The detector, where the predictions name one.
    pub detector: Option<String>,
    /// `binary`: the doubt is whether real or fake. `multiclass`: it is among all classes.
    pub task: &'static str,
    /// What an item is.
    pub level: Level,
    /// Number of seen items: reals (null controls too) and fakes of generators that were learned.
    pub seen: usize,
    /// Number of fakes among them.
    pub seen_fakes: usize,
    /// Share of these that is called anything but real.
    pub seen_fakes_caught: Estimate,
    /// All unseen generators together, then each by name.
    pub generators: Vec<UnseenFakes>,
    /// Generators whose fakes count neither as seen nor as unseen: a part of how they work was seen.
    pub set_aside: Vec<String>,
}

/// What each detector makes of the generators that `not_learned` (or [`Promises`](crate::decisions::Promises)) names, on
/// the level of videos (of items, where there are none); nothing without fakes by them, or where no class is `real`.
/// Errors: faults of the numbers.
pub fn unseen(scores: &Scores, not_learned: &NotLearned, options: &Options) -> Result<Vec<Unseen>, ReportError> {
    let Some(real) = real_class(&scores.task) else { return Ok(Vec::new()) };
    let named: BTreeSet<&String> = not_learned.unseen.iter().chain(&options.promises.unseen).collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let level = if scores.has_videos { Level::Video } else { Level::Item };
    let place = |source| ReportError::Stats { place: "unseen generators".into(), source };
    let mut all = Vec::new();
    for set in &scores.sets {
        let mut sides = Sides { items: set.of(level), real, seen: Vec::new(), unseen: BTreeMap::new() };
        let mut set_aside = BTreeSet::new();
        for i in 0..sides.items.len() {
            match scores.units.origin(scores.unit(set, level, i)) {
                Origin::Generator(name) if named.contains(name) => sides.unseen.entry(name).or_default().push(i),
                Origin::Generator(name) if not_learned.set_aside.contains(name) => drop(set_aside.insert(name.clone())),
                Origin::Generator(_) => sides.seen.push((i, Kind::SeenFake)),
                Origin::Real | Origin::Control(_) => sides.seen.push((i, Kind::Real)),
            }
        }
        if sides.unseen.is_empty() {
            continue;
        }
        let seen_fakes: Vec<usize> =
            sides.seen.iter().filter(|(_, kind)| *kind == Kind::SeenFake).map(|(i, _)| *i).collect();
        let together: Vec<usize> = sides.unseen.values().flatten().copied().collect();
        let mut generators = vec![sides.of(None, &together, set, level, options).map_err(place)?];
        for (name, fakes) in &sides.unseen {
            generators.push(sides.of(Some((*name).clone()), fakes, set, level, options).map_err(place)?);
        }
        all.push(Unseen {
            detector: set.detector.clone(),
            task: if scores.task.positive.is_some() { "binary" } else { MULTICLASS },
            level,
            seen: sides.seen.len(),
            seen_fakes: seen_fakes.len(),
            seen_fakes_caught: sides.caught(&seen_fakes, options),
            generators,
            set_aside: set_aside.into_iter().collect(),
        });
    }
    Ok(all)
}

/// Items by what they are to the detector.
struct Sides<'a> {
    items: &'a Items,
    real: usize,
    seen: Vec<(usize, Kind)>,
    unseen: BTreeMap<&'a String, Vec<usize>>,
}

impl Sides<'_> {
    fn caught(&self, fakes: &[usize], options: &Options) -> Estimate {
        let mut rate = Rate::new(options.bootstrap.is_some());
        fakes.iter().for_each(|&i| rate.push(self.items.cluster(i), self.items.predicted(i) != self.real));
        rate.estimate(options.bootstrap.as_ref(), "there are no fakes")
    }

    /// These unseen fakes against everything seen.
    fn of(
        &self,
        generator: Option<String>,
        fakes: &[usize],
        set: &ScoreSet,
        level: Level,
        options: &Options,
    ) -> Result<UnseenFakes, StatsError> {
        let both = || self.seen.iter().copied().chain(fakes.iter().map(|&i| (i, Kind::UnseenFake)));
        let kinds: Vec<Kind> = both().map(|(_, kind)| kind).collect();
        let clusters: Vec<u32> = both().map(|(i, _)| self.items.cluster(i)).collect();
        let mut columns = vec![("total", self.items.total()), ("aleatoric", self.items.aleatoric())];
        if level != Level::Video || set.videos_undivided.is_none() {
            // Of one sample the epistemic part is 0 by construction, and frames have no frames.
            columns.extend((level == Level::Video).then(|| ("between_frames", self.items.between_frames())));
            let known = set.samples != 1 && !set.views;
            columns.extend(known.then(|| ("epistemic", self.items.epistemic())));
        }
        let mut doubts = BTreeMap::new();
        for (name, column) in columns {
            let doubt: Vec<f64> = both().map(|(i, _)| column[i]).collect();
            doubts.insert(name, unseen_doubt(&doubt, &kinds, &clusters, options.bootstrap.as_ref())?);
        }
        Ok(UnseenFakes { generator, items: fakes.len(), caught: self.caught(fakes, options), doubts })
    }
}
