//! Rows reduced over their samples: scored frames and videos, column by column, with what is known about
//! each.
//!
//! Rows may come in any order and from any number of files; the result is the same bits. Memory grows with
//! items, not with samples: about 120 bytes for an item while it is read (240 where it has samples) and 80
//! afterwards (120; 8 more of logits), and, where items have samples and videos, 40 bytes for each class, sample and *video* (10,000
//! videos of 50 samples hold about 50 MB, however many frames they have). A sum of probabilities below 2^-12 takes 48
//! bytes more.
//!
//! Items are ranked by their scores as given: a probability with all of its digits, or a logit. With several samples of
//! an item that is their mean probability, whose digits are kept down to the smallest number there is.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use dubito_stats::calibration::NLL_FLOOR;
use dubito_stats::probability::{FixedSum, entropy, excess, short_of_one};
use dubito_stats::{Items, Measures, Scale, Scored, StatsError, Task, VideoSums};
use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;

use crate::evaluate::{CALIBRATION_SPLITS, TEST_SPLITS};
use crate::input::diagnose::diagnose;
use crate::input::rows::{Context, Jackknife, NO_FRAME, NONE, Values, fold, mixed};
use crate::input::store::{Clash, Refusal, Store, ranks};
use crate::input::{Format, Layout, Scoring, Table, Texts, View};
use crate::{Level, Missing, Options, ReportError};

/// Where a video comes from, as far as the evaluation tells videos apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A real video that nothing was done to.
    Real,
    /// A null control: a real video put through this generator's whole warp, blend and encode.
    Control(String),
    /// A fake made by this generator.
    Generator(String),
}

impl Origin {
    /// In words, for tables and figures.
    pub fn title(&self) -> String {
        match self {
            Self::Real => "real".into(),
            Self::Control(name) => format!("null control of {name}"),
            Self::Generator(name) => name.clone(),
        }
    }
}

/// One text about each unit, such as its generator.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The column's name.
    pub name: String,
    /// The different texts, sorted.
    pub values: Vec<String>,
    /// For each unit the index of its text; `u32::MAX` where it has none.
    codes: Vec<u32>,
}

impl Fact {
    /// Index in [`values`](Self::values) of what is known about a unit; panics where there is no such
    /// unit.
    pub fn code(&self, unit: usize) -> Option<usize> {
        (self.codes[unit] != NONE).then_some(self.codes[unit] as usize)
    }

    /// What is known about a unit; panics where there is no such unit.
    pub fn of(&self, unit: usize) -> Option<&str> {
        self.code(unit).map(|code| self.values[code].as_str())
    }
}

/// The videos (or, in predictions without videos, the items), sorted by name, and what is known about
/// each: column by column.
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    names: Texts,
    labels: Vec<u16>,
    /// Number of items of each; empty where each unit is one item.
    frames: Vec<u32>,
    /// Only those that some unit has.
    facts: Vec<Fact>,
    origins: Vec<Origin>,
    origin_codes: Vec<u32>,
}

impl Units {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Name of unit `unit`; this and the following panic where there is no such unit.
    pub fn name(&self, unit: usize) -> &str {
        self.names.get(unit)
    }

    /// Its true class.
    pub fn label(&self, unit: usize) -> usize {
        usize::from(self.labels[unit])
    }

    /// Number of its items.
    pub fn frames(&self, unit: usize) -> usize {
        self.frames.get(unit).map_or(1, |&frames| frames as usize)
    }

    /// Where it comes from.
    pub fn origin(&self, unit: usize) -> &Origin {
        &self.origins[self.origin_codes[unit] as usize]
    }

    /// Its index among the [`origins`](Self::origins).
    pub(crate) fn origin_code(&self, unit: usize) -> usize {
        self.origin_codes[unit] as usize
    }

    /// All origins that there are, sorted.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// Everything that is known, besides label and origin.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// The fact of this name; `None` where no unit has it.
    pub fn fact(&self, name: &str) -> Option<&Fact> {
        self.facts.iter().find(|fact| fact.name == name)
    }

    /// What a fact says of a unit.
    pub fn text(&self, name: &str, unit: usize) -> Option<&str> {
        self.fact(name)?.of(unit)
    }
}

/// What one detector says.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreSet {
    /// The detector, where the predictions name one.
    pub detector: Option<String>,
    /// The scored items, sorted by video, frame and name (so the frames of a video lie side by side).
    pub items: Items,
    /// Index of each scored item among all items; `None` where it scored all of them.
    item_ids: Option<Vec<u32>>,
    /// The scored videos; empty where there are no videos.
    pub videos: Items,
    /// Index of each scored video among the units; `None` where it scored all of them.
    video_ids: Option<Vec<u32>>,
    /// Number of items that have no score of this detector.
    pub missing: usize,
    /// Number of samples of each item: the smallest, where they differ (which only those that were drawn until settled, or reduced
    /// already may), and 0 where it is not known.
    pub samples: usize,
    /// The largest.
    pub most_samples: usize,
    /// Why the split of a video's doubt into between-frames and epistemic is not known; `between_frames`
    /// and `epistemic` of [`videos`](Self::videos) are then 0 and mean nothing.
    pub videos_undivided: Option<&'static str>,
    /// Whether samples are views of each picture by one network, not networks: what they disagree about lies between
    /// views and is not epistemic.
    pub views: bool,
}

/// Why views have no epistemic part.
const VIEWS: &str = "samples are views of each picture by one network: what they disagree about lies between views";

impl ScoreSet {
    /// Why there is no epistemic part on a level, where there is none.
    pub fn without_epistemic(&self, level: Level) -> Option<&'static str> {
        self.views.then_some(VIEWS).or(self.videos_undivided.filter(|_| level == Level::Video))
    }

    /// The scored items or videos.
    pub fn of(&self, level: Level) -> &Items {
        if level == Level::Video { &self.videos } else { &self.items }
    }

    /// Index of scored item `i` among all items (of scored video `i` among the units).
    pub fn id(&self, level: Level, i: usize) -> usize {
        let ids = if level == Level::Video { &self.video_ids } else { &self.item_ids };
        ids.as_ref().map_or(i, |ids| ids[i] as usize)
    }
}

impl ScoreSet {
    /// The same of some of the items, and of some of the videos, each with their indices; `missing` stays that of all.
    pub(crate) fn with(&self, (items, ids): (Items, Vec<u32>), videos: Option<(Items, Vec<u32>)>) -> Self {
        let (videos, video_ids) = videos.map_or((self.videos.clone(), None), |(videos, ids)| (videos, Some(ids)));
        Self { items, item_ids: Some(ids), videos, video_ids, ..self.clone() }
    }
}

/// What a person (cluster) of the bootstrap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusteredBy {
    /// By the column `identity`.
    Identity,
    /// By the column `video`, as some video has no identity.
    Video,
    /// By item, as there are neither identities nor videos.
    Item,
}

impl ClusteredBy {
    /// In words: what is drawn.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Identity => "people",
            Self::Video => "videos",
            Self::Item => "items",
        }
    }
}

/// Everything scored. Items and units are shared by all detectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The classes.
    pub task: Task,
    /// The classes of the files, where they are several and were read as real against fake.
    pub classes: Option<Vec<String>>,
    /// The videos; where there are none, each item is a unit of its own.
    pub units: Units,
    /// Whether the predictions name videos.
    pub has_videos: bool,
    /// What the intervals are clustered by.
    pub clustered_by: ClusteredBy,
    /// Number of clusters.
    pub clusters: usize,
    /// What each detector says, sorted by name. At least one.
    pub sets: Vec<ScoreSet>,
    /// The split, where the predictions hold or were asked for a single one.
    pub split: Option<String>,
    /// Every split that the files hold, those that were not asked for too.
    pub splits: Vec<String>,
    /// What the files' own provenance says of generators that the detectors did not learn from.
    pub not_learned: NotLearned,
    /// The videos that by the files' own provenance have no prediction.
    pub missing: Vec<Missing>,
    /// What reading rounded, in a sentence each.
    file_warnings: Vec<String>,
    /// By item, sorted by video, frame and name. Names and units are empty where each item is a unit.
    item_names: Texts,
    item_units: Vec<u32>,
    item_frames: Vec<u64>,
}

/// Generators that a detector did not learn from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotLearned {
    /// It never saw how they work.
    pub unseen: BTreeSet<String>,
    /// It saw a part of how they work, in others: neither seen nor unseen.
    pub set_aside: BTreeSet<String>,
}

impl NotLearned {
    /// What a Parquet file of ours says (`generators.unseen` and `generators.set_aside` of its provenance); other files
    /// say nothing.
    fn of(tables: &[Table]) -> Self {
        let mut all = Self::default();
        for table in tables.iter().filter(|table| table.format == Format::Parquet) {
            // What cannot be read is no reason to fail here: the rows are read next.
            let Ok(Some(provenance)) = crate::input::provenance(&table.path) else { continue };
            let names = |kind: &str| -> Vec<String> {
                let list = provenance["generators"][kind].as_array();
                list.into_iter().flatten().filter_map(|name| name.as_str().map(String::from)).collect()
            };
            all.unseen.extend(names("unseen"));
            all.set_aside.extend(names("set_aside"));
        }
        all
    }
}

/// What Parquet files of ours say of videos without a prediction (`missing` of their provenance), each once.
fn missing_of(tables: &[Table]) -> Vec<Missing> {
    let mut all: Vec<Missing> = Vec::new();
    for table in tables.iter().filter(|table| table.format == Format::Parquet) {
        let Ok(Some(mut provenance)) = crate::input::provenance(&table.path) else { continue };
        let found: Vec<Missing> = serde_json::from_value(provenance["missing"].take()).unwrap_or_default();
        all.extend(found);
    }
    all.sort_by(|a, b| (&a.video, &a.reason).cmp(&(&b.video, &b.reason)));
    all.dedup();
    all
}

/// Whether a Parquet file of ours says that samples were drawn until each video was settled (`samples.rule` of its
/// provenance): then its videos have the first so many of the detector's samples, not all of them.
fn is_any_time(tables: &[Table]) -> bool {
    let parquet = tables.iter().filter(|table| table.format == Format::Parquet);
    parquet.filter_map(|table| crate::input::provenance(&table.path).ok()?).any(|it| it["samples"]["rule"].is_object())
}

/// Whether a Parquet file of ours says that its samples are views (`views` of its provenance).
fn has_views(tables: &[Table]) -> bool {
    let parquet = tables.iter().filter(|table| table.format == Format::Parquet);
    parquet.filter_map(|table| crate::input::provenance(&table.path).ok()?).any(|it| it["views"].is_object())
}

/// One example worth showing, chosen by [`Scores::examples`].
#[derive(Clone, Debug, PartialEq)]
pub struct Notable {
    /// Why it was chosen, for example "most certain and wrong".
    pub group: String,
    /// What the detector says of it.
    pub caption: String,
    /// The item.
    pub item: String,
    /// Its video.
    pub video: String,
    /// Its number in the video.
    pub frame: Option<u64>,
}

impl Scores {
    /// Read predictions and reduce them over their samples. [`input`](crate::input) says what is read.
    ///
    /// Errors name the file, row and column: an unreadable file, no rows, files of different classes, a
    /// cell that is no number, probability or label, several splits without a choice, rows of one video
    /// that disagree about it, an item that lacks a sample or has one twice.
    pub fn read(paths: &[PathBuf], options: &Options) -> Result<Self, ReportError> {
        let request = options.request();
        let tables: Vec<Table> = paths.iter().map(|path| Table::open(path)).collect::<Result<_, _>>()?;
        let layouts: Vec<Layout> = tables.iter().map(|table| Layout::of(table, &request)).collect::<Result<_, _>>()?;
        let Some(first) = layouts.first() else { return Err(ReportError::Empty { path: PathBuf::new() }) };
        agree(&tables, &layouts)?;
        given_once(&tables)?;
        let raw = layouts.iter().any(|layout| layout.has_samples(request.input.as_ensemble));
        let has_videos = layouts.iter().any(|layout| layout.video.is_some());
        let names = request.facts();
        let facts: Vec<usize> =
            (0..names.len()).filter(|&at| layouts.iter().any(|layout| layout.facts[at].is_some())).collect();
        let kept = facts.iter().map(|&at| names[at].clone()).collect();
        let nameless = layouts.iter().any(|layout| layout.item.is_none() && !layout.names_frames());
        let has_frames = layouts.iter().any(|layout| layout.frame.is_some());
        let mut store = Store::new(first.task.classes.len(), facts.len(), has_videos, raw);
        let context = Context { request: &request, task: &first.task, facts, has_videos, has_frames, raw };
        let clash = |clash, samples: &[u64]| diagnose(clash, &tables, &layouts, &request, samples);
        let mut warnings = Vec::new();
        for (table, layout) in tables.iter().zip(&layouts) {
            let prefix = match paths {
                [_] => String::new(),
                _ => format!("{}:", table.path.display()),
            };
            warnings.extend(layout.opposites().iter().map(|words| format!("{}: {words}", table.path.display())));
            let (mut outside, mut first_outside) = (0, None);
            table.read(
                &layout.wanted,
                |block| fold(&block, layout, &context),
                |part, before| {
                    outside += part.outside.count;
                    if let (None, Some((row, column, value))) = (&first_outside, &part.outside.first) {
                        first_outside = Some((before + u64::from(*row) + 1, column.clone(), *value));
                    }
                    let row_name = |row| format!("{prefix}row {:010}", before + u64::from(row) + 1);
                    match store.add(part, row_name) {
                        Ok(()) => Ok(true),
                        Err(Refusal::Clash(found)) => Err(clash(found, &[])),
                        Err(Refusal::Stats(source)) => {
                            Err(ReportError::Stats { place: table.path.display().to_string(), source })
                        }
                        Err(Refusal::TooMany) => {
                            Err(ReportError::TooMany { path: table.path.clone(), most: NONE.into() })
                        }
                    }
                },
            )?;
            if let Some((row, column, value)) = first_outside {
                warnings.push(format!(
                    "{}: {outside} of its probabilities lie outside of 0 to 1 by rounding and count as 0 or 1; the first in row {row}, column `{column}`: {value}",
                    table.path.display()
                ));
            }
        }
        only("detector", &store.all_detectors, &options.detector, true)?;
        let keeps_splits = request.by.iter().any(|name| name == "split");
        let split = only("split", &store.all_splits, &options.split, keeps_splits)?;
        let splits = store.all_splits.iter().filter(|name| !name.is_empty()).cloned().collect();
        if store.items.labels.is_empty() {
            return Err(ReportError::Empty { path: paths.first().cloned().unwrap_or_default() });
        }
        store.merge().map_err(|found| clash(found, &[]))?;
        let reduced = layouts.iter().any(|layout| matches!(layout.scoring, Scoring::Reduced { .. }));
        let (not_learned, missing) = (NotLearned::of(&tables), missing_of(&tables));
        let task = first.task.clone();
        let is_reading_classes = layouts.iter().all(|layout| layout.real.is_some() && layout.classes == first.classes);
        let classes = (request.view == View::RealFake && is_reading_classes).then(|| first.classes.classes.clone());
        let (facts, any_time, views) = (kept, is_any_time(&tables), has_views(&tables));
        let finish = Finish {
            task,
            classes,
            has_videos,
            reduced,
            split,
            splits,
            facts,
            nameless,
            not_learned,
            missing,
            any_time,
            views,
            logits: request.input.logits,
            warnings,
        };
        finish.scores(store).map_err(|failure| match failure {
            Failure::Clash(found, samples) => clash(found, &samples),
            Failure::Stats(place, source) => ReportError::Stats { place, source },
        })
    }

    /// Read the split to judge and, where there is one, the split to choose on ([`Options`] says which).
    ///
    /// Where the files hold several splits and none is named, [`TEST_SPLITS`] is judged. Errors: as
    /// [`read`](Self::read), several splits without a choice, or a name that no row has.
    pub fn read_splits(paths: &[PathBuf], options: &Options) -> Result<(Self, Option<Self>), ReportError> {
        let of_split = |name: &str| Self::read(paths, &Options { split: Some(name.to_string()), ..options.clone() });
        let judged = match Self::read(paths, options) {
            Err(ReportError::Several { column: "split", found }) => {
                match TEST_SPLITS.iter().find(|name| found.iter().any(|split| split == *name)) {
                    Some(test) => of_split(test)?,
                    None => return Err(ReportError::Several { column: "split", found }),
                }
            }
            other => other?,
        };
        let known = |name: &&&str| judged.splits.iter().any(|split| split == **name);
        let wanted = match &options.calibration_split {
            Some(name) => Some(name.as_str()),
            None => CALIBRATION_SPLITS.iter().find(known).copied(),
        };
        let same = |name: &&str| judged.split.as_deref() == Some(*name);
        match wanted {
            Some(name) if options.calibration_split.is_some() && same(&name) => {
                let name = name.to_string();
                Err(ReportError::SameSplit { name })
            }
            Some(name) if !same(&name) && judged.split.is_some() => {
                let calibration = of_split(name)?;
                Ok((judged, Some(calibration)))
            }
            _ => Ok((judged, None)),
        }
    }

    /// What was rounded, in the files or in sums of probabilities, in a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.file_warnings.iter().cloned().chain(rounded(&self.sets)).collect()
    }

    /// The same with one detector only; panics where there is no such set.
    pub fn only(&self, set: usize) -> Self {
        Self { sets: vec![self.sets[set].clone()], ..self.clone() }
    }

    /// The same of the units that `keep`, asked with their index, says so; `name` stands for the split.
    pub fn part(&self, name: &str, keep: impl Fn(usize) -> bool) -> Self {
        let part_of = |set: &ScoreSet| {
            let of = |level: Level| -> (Items, Vec<u32>) {
                let items = set.of(level);
                let kept = |i: usize| keep(self.unit(set, level, i));
                let ids = (0..items.len()).filter(|&i| kept(i)).map(|i| set.id(level, i) as u32).collect();
                (items.select(kept), ids)
            };
            set.with(of(Level::Item), self.has_videos.then(|| of(Level::Video)))
        };
        let sets: Vec<ScoreSet> = self.sets.iter().map(part_of).collect();
        let level = if self.has_videos { Level::Video } else { Level::Item };
        let clusters: BTreeSet<u32> = sets.iter().flat_map(|set| set.of(level).clusters().iter().copied()).collect();
        Self { sets, clusters: clusters.len(), split: Some(name.to_owned()), ..self.clone() }
    }

    /// Number of items, scored by any detector.
    pub fn items(&self) -> usize {
        if self.has_videos { self.item_units.len() } else { self.units.len() }
    }

    /// Name of item `item`; this and the following panic where there is no such item.
    pub fn item_name(&self, item: usize) -> &str {
        if self.has_videos { self.item_names.get(item) } else { self.units.name(item) }
    }

    /// Index of the item's video among the units; the item itself, where there are no videos.
    pub fn unit_of(&self, item: usize) -> usize {
        if self.has_videos { self.item_units[item] as usize } else { item }
    }

    /// The item's number in its video.
    pub fn frame_of(&self, item: usize) -> Option<u64> {
        self.item_frames.get(item).copied().filter(|&frame| frame != NO_FRAME)
    }

    /// Index of the unit that scored item (or video) `i` of a set belongs to.
    pub fn unit(&self, set: &ScoreSet, level: Level, i: usize) -> usize {
        let id = set.id(level, i);
        if level == Level::Video { id } else { self.unit_of(id) }
    }

    /// The videos or items of one detector, each with the index of its unit, one by one. Columns
    /// ([`ScoreSet::of`]) take less memory.
    pub fn scored(&self, set: &ScoreSet, level: Level) -> Vec<(usize, Scored)> {
        let items = set.of(level);
        (0..items.len()).map(|i| (self.unit(set, level, i), scored(items, i))).collect()
    }

    /// Frames of the first detector worth looking at: the one nearest the middle of each origin's scores,
    /// the most certain right and wrong one, and the most doubtful one. Ties go to the first by name.
    pub fn examples(&self) -> Vec<Notable> {
        let set = &self.sets[0];
        let items = &set.items;
        let mut chosen = Vec::new();
        let mut add = |group: String, i: Option<usize>| {
            if let Some(i) = i {
                let (item, unit) = (set.id(Level::Item, i), self.unit(set, Level::Item, i));
                chosen.push(Notable {
                    group,
                    caption: self.caption(items, i, unit),
                    item: self.item_name(item).into(),
                    video: self.units.name(unit).into(),
                    frame: self.frame_of(item),
                });
            }
        };
        for (code, origin) in self.units.origins.iter().enumerate() {
            let is_of = |&i: &usize| self.units.origin_codes[self.unit(set, Level::Item, i)] as usize == code;
            let mut of: Vec<usize> = (0..items.len()).filter(is_of).collect();
            of.sort_by(|&a, &b| self.fake_score(items, a).total_cmp(&self.fake_score(items, b)));
            add(format!("typical: {}", origin.title()), of.get(of.len() / 2).copied());
        }
        let doubt = items.total();
        let by_doubt = |a: &usize, b: &usize| doubt[*a].total_cmp(&doubt[*b]);
        let right = |i: &usize| items.predicted(*i) == items.label(*i);
        add("most certain and right".into(), (0..items.len()).filter(right).min_by(by_doubt));
        add("most certain and wrong".into(), (0..items.len()).filter(|i| !right(i)).min_by(by_doubt));
        add("most doubtful".into(), (0..items.len()).rev().max_by(by_doubt));
        chosen
    }

    fn caption(&self, items: &Items, i: usize, unit: usize) -> String {
        format!(
            "{}: P(fake) {:.2}, total uncertainty {:.3} nats ({:.3} aleatoric, {:.3} epistemic)",
            self.units.origin(unit).title(),
            self.fakeness(items.probs(i)),
            items.total()[i],
            items.aleatoric()[i],
            items.epistemic()[i]
        )
    }

    /// What ranks items as [`fakeness`](Self::fakeness) does: the score as it was given where the task is binary.
    pub(crate) fn fake_score(&self, items: &Items, i: usize) -> f64 {
        match (self.task.positive, real_class(&self.task)) {
            (Some(_), real) if real.is_none_or(|real| Some(real) != self.task.positive) => items.score(i),
            (_, Some(real)) => short_of_one(items.probs(i), real),
            _ => self.fakeness(items.probs(i)),
        }
    }

    /// Probability of anything but `real` (of the positive class, where no class has that name).
    pub fn fakeness(&self, probs: &[f64]) -> f64 {
        match (real_class(&self.task), self.task.positive) {
            (Some(real), _) => 1.0 - probs[real],
            (None, Some(positive)) => probs[positive],
            (None, None) => 1.0,
        }
    }
}

/// One of the items as a record of its own.
pub fn scored(items: &Items, i: usize) -> Scored {
    Scored {
        label: items.label(i),
        probs: items.probs(i).to_vec(),
        total: items.total()[i],
        aleatoric: items.aleatoric()[i],
        between_frames: items.between_frames()[i],
        epistemic: items.epistemic()[i],
        cluster: items.cluster(i),
    }
}

/// Index of the class `real`.
pub fn real_class(task: &Task) -> Option<usize> {
    task.classes.iter().position(|class| class == "real")
}

/// The class of the largest probability; of equal ones the first.
pub fn predicted(scored: &Scored) -> usize {
    let mut best = 0;
    for (class, p) in scored.probs.iter().enumerate() {
        if *p > scored.probs[best] {
            best = class;
        }
    }
    best
}

/// Whether the predicted class is the true one.
pub fn is_right(scored: &Scored) -> bool {
    predicted(scored) == scored.label
}

/// That no file is given twice: rows without names would count double.
fn given_once(tables: &[Table]) -> Result<(), ReportError> {
    let mut seen = BTreeSet::new();
    match tables.iter().find(|table| !seen.insert(table.origin())) {
        Some(table) => {
            Err(ReportError::Layout { path: table.path.clone(), problem: "is given twice: give it once".into() })
        }
        None => Ok(()),
    }
}

/// That the files go together: the same classes, all reduced or none.
fn agree(tables: &[Table], layouts: &[Layout]) -> Result<(), ReportError> {
    let is_reduced = |layout: &Layout| matches!(layout.scoring, Scoring::Reduced { .. });
    let path = |at: usize| tables[at].path.clone();
    for (at, layout) in layouts.iter().enumerate() {
        if layout.task != layouts[0].task {
            return Err(ReportError::ClassesDiffer {
                path: path(at),
                found: layout.task.classes.clone(),
                first: path(0),
                expected: layouts[0].task.classes.clone(),
            });
        }
        if is_reduced(layout) != is_reduced(&layouts[0]) {
            let (path, first) = if is_reduced(layout) { (path(at), path(0)) } else { (path(0), path(at)) };
            return Err(ReportError::FormsDiffer { path, first });
        }
    }
    Ok(())
}

/// The one detector or split that was evaluated; `None` where several may be.
fn only(
    column: &'static str,
    seen: &BTreeSet<String>,
    wanted: &Option<String>,
    may_be_several: bool,
) -> Result<Option<String>, ReportError> {
    let found = || seen.iter().cloned().collect();
    match wanted {
        Some(wanted) if !seen.is_empty() && !seen.contains(wanted) => {
            Err(ReportError::NoSuch { column, wanted: wanted.clone(), found: found() })
        }
        Some(wanted) => Ok(Some(wanted.clone())),
        None if seen.len() > 1 && !may_be_several => Err(ReportError::Several { column, found: found() }),
        None if seen.len() > 1 => Ok(None),
        None => Ok(seen.first().filter(|name| !name.is_empty()).cloned()),
    }
}

/// Why a store makes no scores.
enum Failure {
    Clash(Clash, Vec<u64>),
    Stats(String, StatsError),
}

/// Makes scores of a store.
struct Finish {
    task: Task,
    classes: Option<Vec<String>>,
    has_videos: bool,
    /// Whether items were reduced over their samples before.
    reduced: bool,
    split: Option<String>,
    splits: Vec<String>,
    facts: Vec<String>,
    /// Whether some items have no name but their row.
    nameless: bool,
    not_learned: NotLearned,
    missing: Vec<Missing>,
    /// Whether an item may have the first of its detector's samples only.
    any_time: bool,
    /// Whether samples are views.
    views: bool,
    /// Whether the scores were given as logits.
    logits: bool,
    warnings: Vec<String>,
}

/// A number for each item that depends on what is said of it, and not on its row: so that the bootstrap
/// draws the same whatever the order of rows without names. Items of the same content are
/// interchangeable.
fn by_content(store: &Store, units: &Units) -> Vec<u32> {
    let detectors = ranks(store.detectors.names());
    let scores = &store.scores;
    let width = store.width();
    let mut content: Vec<u64> = (0..units.len())
        .map(|unit| {
            let facts = units.facts.iter().map(|fact| fact.codes[unit]);
            facts.fold(mixed(units.label(unit) as u64), |hash, code| mixed(hash ^ u64::from(code)))
        })
        .collect();
    for &run in &store.order {
        let run = run as usize;
        let hash = &mut content[scores.items[run] as usize];
        // Each detector's part is added, so that the order of detectors does not count.
        let mut part = mixed(u64::from(detectors[scores.detectors[run] as usize]));
        // Without the squares, which one sample has no need of.
        for at in run * width..run * width + store.classes() + 1 {
            let bits = match &scores.values {
                Values::Sums(sums) => sums[at].mean(scores.counts[run].into()).to_bits(),
                Values::Finals(values) => values[at].to_bits(),
            };
            part = mixed(part ^ bits);
        }
        if let Some(log_odds) = scores.log_odds.get(run) {
            part = mixed(part ^ log_odds.to_bits());
        }
        *hash = hash.wrapping_add(part);
    }
    let mut order: Vec<u32> = (0..content.len() as u32).collect();
    order.sort_by_key(|&unit| content[unit as usize]);
    let mut numbers = vec![0; order.len()];
    order.iter().zip(0..).for_each(|(&unit, number)| numbers[unit as usize] = number);
    numbers
}

/// Items that one thread makes at once.
const AT_ONCE: usize = 1 << 13;

/// Why a video of reduced items has no split of its doubt.
const UNDIVIDED: &str = "the samples of each frame are gone: the file holds only their mean";

/// What sums of probabilities and 64-bit numbers round away, in a sentence each.
fn rounded(sets: &[ScoreSet]) -> Vec<String> {
    // Of each set: what only the scores as given tell apart, and what is exactly 0 or 1.
    let count = |set: &ScoreSet| {
        let items = &set.items;
        let binary = items.task().positive.is_some();
        (0..if binary { items.len() } else { 0 }).fold((0, 0), |(finer, exact), i| {
            let smaller = items.probs(i)[0].min(items.probs(i)[1]);
            let is_given = smaller > 0.0 || items.scale() == Scale::LogOdds;
            let near = smaller < NLL_FLOOR;
            (finer + usize::from(near && is_given), exact + usize::from(near && !is_given))
        })
    };
    let counts: Vec<(usize, usize)> = sets.iter().map(count).collect();
    let all: usize = sets.iter().map(|set| set.items.len()).sum();
    let said = |of: fn(&(usize, usize)) -> usize| -> (usize, String) {
        let some: Vec<&ScoreSet> = sets.iter().zip(&counts).filter(|(_, c)| of(c) > 0).map(|(set, _)| set).collect();
        let names: Vec<&str> = some.iter().take(3).filter_map(|set| set.detector.as_deref()).collect();
        let more = if some.len() > 3 { format!(" and {} more", some.len() - 3) } else { String::new() };
        let of_detectors =
            if sets.len() > 1 { format!(" (detectors: {}{more})", names.join(", ")) } else { String::new() };
        (counts.iter().map(of).sum(), format!("of {all} scores{of_detectors}"))
    };
    let (finer, of_finer) = said(|count| count.0);
    let (exact, of_exact) = said(|count| count.1);
    let mut warnings = Vec::new();
    if finer > 0 {
        warnings.push(format!(
            "{finer} {of_finer} are probabilities nearer to 0 or 1 than 2.2e-16. Ranks, curves and thresholds are those of the scores as given; sums of probabilities (nll, brier, calibration errors, mean uncertainties, cllr) take them for 0 or 1"
        ));
    }
    if exact > 1 && exact * 100 >= all {
        warnings.push(format!(
            "{exact} {of_exact} are probabilities of exactly 0 or 1: they are tied, and what told them apart before they were written is lost (in 32 bits a probability is 1 from a logit of 17 on). Logits, with --logits, keep it"
        ));
    }
    warnings
}

impl Finish {
    fn scores(self, mut store: Store) -> Result<Scores, Failure> {
        let (units, item_units, codes) = self.units(&mut store)?;
        let identity = units.fact("identity");
        let clustered_by = match identity {
            Some(identity) if identity.codes.iter().all(|&code| code != NONE) => ClusteredBy::Identity,
            _ if self.has_videos => ClusteredBy::Video,
            _ => ClusteredBy::Item,
        };
        let clusters = match (clustered_by, identity) {
            (ClusteredBy::Identity, Some(identity)) => identity.values.len(),
            _ => units.len(),
        };
        let numbers = (self.nameless && clustered_by == ClusteredBy::Item).then(|| by_content(&store, &units));
        let cluster = |unit: usize| match (clustered_by, identity, &numbers) {
            (ClusteredBy::Identity, Some(identity), _) => identity.codes[unit],
            (_, _, Some(numbers)) => numbers[unit],
            _ => unit as u32,
        };
        let mut names: Vec<(usize, String)> = store.detectors.names().iter().cloned().enumerate().collect();
        names.sort_by(|a, b| a.1.cmp(&b.1));
        let mut sets = Vec::new();
        for (detector, name) in names {
            let mut set = self.items(&store, detector, &units, &item_units, &cluster)?;
            set.detector = Some(name).filter(|name| !name.is_empty());
            if self.has_videos {
                self.videos(&mut set, &store, detector, &units, &item_units, &codes, &cluster)?;
            }
            sets.push(set);
        }
        let item_names = if self.has_videos { std::mem::take(&mut store.items.names) } else { Texts::default() };
        let item_frames = std::mem::take(&mut store.items.frames);
        Ok(Scores {
            task: self.task,
            classes: self.classes,
            units,
            has_videos: self.has_videos,
            clustered_by,
            clusters,
            sets,
            split: self.split,
            splits: self.splits,
            not_learned: self.not_learned,
            missing: self.missing,
            file_warnings: self.warnings,
            item_names,
            item_units,
            item_frames,
        })
    }

    /// The units, the unit of each item (where there are videos), and the video's code of each unit.
    fn units(&self, store: &mut Store) -> Result<(Units, Vec<u32>, Vec<u32>), Failure> {
        let width = self.facts.len();
        let count = store.items.labels.len();
        // The first item of each unit. Items are sorted by video.
        let (mut firsts, mut item_units, mut frames) = (Vec::new(), Vec::new(), Vec::new());
        if self.has_videos {
            let items = &store.items;
            for item in 0..count {
                let says = |item: usize| (items.labels[item], &items.facts[item * width..(item + 1) * width]);
                match firsts.last() {
                    Some(&first) if items.videos[first] == items.videos[item] => {
                        if says(first) != says(item) {
                            let video = Some(store.videos.names()[items.videos[item] as usize].clone());
                            return Err(Failure::Clash(Clash::Conflict { video, item: None }, Vec::new()));
                        }
                        frames[firsts.len() - 1] += 1;
                    }
                    _ => {
                        firsts.push(item);
                        frames.push(1);
                    }
                }
                item_units.push(firsts.len() as u32 - 1);
            }
        }
        let first_of = |unit: usize| if self.has_videos { firsts[unit] } else { unit };
        let units = if self.has_videos { firsts.len() } else { count };
        let mut facts = Vec::new();
        for (at, name) in self.facts.iter().enumerate() {
            let values = store.facts[at].names();
            if values.is_empty() {
                continue;
            }
            let ranks = ranks(values);
            let code = |unit| match store.items.facts[first_of(unit) * width + at] {
                NONE => NONE,
                code => ranks[code as usize],
            };
            let codes = (0..units).map(code).collect();
            let mut values = values.to_vec();
            values.sort_unstable();
            facts.push(Fact { name: name.clone(), values, codes });
        }
        let labels: Vec<u16> = (0..units).map(|unit| store.items.labels[first_of(unit)]).collect();
        let codes: Vec<u32> = firsts.iter().map(|&first| store.items.videos[first]).collect();
        let names = match self.has_videos {
            true => {
                let mut names = Texts::default();
                codes.iter().for_each(|&code| names.push(&store.videos.names()[code as usize]));
                names
            }
            false => std::mem::take(&mut store.items.names),
        };
        let (origins, origin_codes) = self.origins(&labels, &facts);
        Ok((Units { names, labels, frames, facts, origins, origin_codes }, item_units, codes))
    }

    fn origins(&self, labels: &[u16], facts: &[Fact]) -> (Vec<Origin>, Vec<u32>) {
        let code =
            |name: &str, unit: usize| facts.iter().find(|fact| fact.name == name).map_or(NONE, |fact| fact.codes[unit]);
        let text = |name: &str, unit: usize| facts.iter().find(|fact| fact.name == name)?.of(unit);
        // One origin for each combination of label, control and generator.
        let mut known: HashMap<(u16, u32, u32), u32> = HashMap::new();
        let mut last = vec![None; self.task.classes.len()];
        let mut origins: Vec<Origin> = Vec::new();
        let mut codes = Vec::with_capacity(labels.len());
        for (unit, &label) in labels.iter().enumerate() {
            let key = (label, code("control", unit), code("generator", unit));
            if let Some((last_key, last_code)) = last[usize::from(label)]
                && last_key == key
            {
                codes.push(last_code);
                continue;
            }
            let found = *known.entry(key).or_insert_with(|| {
                let class = &self.task.classes[usize::from(label)];
                let is_real = real_class(&self.task) == Some(usize::from(label));
                let origin = match (text("control", unit), is_real, text("generator", unit)) {
                    (Some(control), true, _) => Origin::Control(control.into()),
                    (None, true, _) => Origin::Real,
                    (_, false, generator) => Origin::Generator(generator.unwrap_or(class).into()),
                };
                origins.iter().position(|o| *o == origin).unwrap_or_else(|| {
                    origins.push(origin);
                    origins.len() - 1
                }) as u32
            });
            last[usize::from(label)] = Some((key, found));
            codes.push(found);
        }
        let mut sorted = origins.clone();
        sorted.sort_unstable();
        let places: Vec<u32> = origins.iter().map(|origin| sorted.binary_search(origin).unwrap_or(0) as u32).collect();
        codes.iter_mut().for_each(|code| *code = places[*code as usize]);
        (sorted, codes)
    }

    /// The items of one detector.
    fn items(
        &self,
        store: &Store,
        detector: usize,
        units: &Units,
        item_units: &[u32],
        cluster: &(dyn Fn(usize) -> u32 + Sync),
    ) -> Result<ScoreSet, Failure> {
        let scores = &store.scores;
        let start = store.order.partition_point(|&run| (scores.detectors[run as usize] as usize) < detector);
        let end = store.order.partition_point(|&run| scores.detectors[run as usize] as usize <= detector);
        let runs = &store.order[start..end];
        let place = |item: usize, error| Failure::Stats(self.item_name(store, units, item), error);
        let (classes, width, nothing) = (self.task.classes.len(), store.width(), BTreeSet::new());
        let expected = store.samples.get(detector).unwrap_or(&nothing);
        // What the first so many samples add up to.
        let mut hashes = vec![0u64];
        hashes.extend(expected.iter().scan(0u64, |sum, &sample| {
            *sum = sum.wrapping_add(mixed(sample));
            Some(*sum)
        }));
        let is_whole = |count: usize, seen: u64| {
            (count == expected.len() || self.any_time) && hashes.get(count).is_some_and(|hash| *hash == seen)
        };
        let part = |runs: &[u32]| -> Result<(Items, u32, u32), Failure> {
            let mut items = Items::new(&self.task).map_err(|error| place(0, error))?;
            items.reserve(runs.len());
            let (mut least, mut most) = (u32::MAX, 0);
            let (mut probs, mut votes) = (vec![0.0; classes], vec![0u64; classes]);
            for &run in runs {
                let run = run as usize;
                let item = scores.items[run] as usize;
                let count = scores.counts[run];
                let values = run * width..(run + 1) * width;
                let mut squares = None;
                let doubt = match &scores.values {
                    Values::Sums(sums) => {
                        if !is_whole(count as usize, scores.seen[run]) {
                            let clash = store.samples_clash(detector as u32, item, self.item_name(store, units, item));
                            return Err(Failure::Clash(clash, expected.iter().copied().collect()));
                        }
                        let sums = &sums[values];
                        probs.iter_mut().zip(sums).for_each(|(p, sum)| *p = sum.mean(count.into()));
                        squares = (count > 1).then(|| sums[classes + 1].mean(count.into()));
                        sums[classes].mean(count.into())
                    }
                    Values::Finals(finals) => {
                        let finals = &finals[values];
                        probs.copy_from_slice(&finals[..classes]);
                        finals[classes]
                    }
                };
                (least, most) = (least.min(count), most.max(count));
                let total = entropy(&probs);
                let unit = if self.has_videos { item_units[item] as usize } else { item };
                let parts = [total, doubt, 0.0, excess(total, doubt)];
                items
                    .push_parts(store.items.labels[item].into(), &probs, parts, cluster(unit))
                    .map_err(|error| place(item, error))?;
                match scores.log_odds.get(run) {
                    Some(&given) => items.push_log_odds(given),
                    None if self.logits => items.push_log_odds(items.log_odds(items.len() - 1)),
                    None => {}
                }
                if let Some(squares) = squares {
                    votes.iter_mut().zip(&scores.votes[run * classes..]).for_each(|(votes, &all)| *votes = all.into());
                    let jackknife = match scores.jackknives[run] {
                        Jackknife::Of(value) => Some(value),
                        _ => None,
                    };
                    items.push_measures(&Measures::from_sums(&probs, squares, &votes), jackknife);
                }
            }
            Ok((items, least, most))
        };
        let mut items = Items::new(&self.task).map_err(|error| place(0, error))?;
        items.reserve(runs.len());
        let (mut least, mut most) = (u32::MAX, 0);
        let mut append = |parts: Vec<Result<(Items, u32, u32), Failure>>| -> Result<(), Failure> {
            for made in parts {
                let (made, fewest, largest) = made?;
                items.append(&made).map_err(|error| place(0, error))?;
                (least, most) = (least.min(fewest), most.max(largest));
            }
            Ok(())
        };
        // A few parts at a time, so that little is in memory twice; while they are made, those before are appended.
        let mut parts = Vec::new();
        for runs in runs.chunks(AT_ONCE * 8 * rayon::current_num_threads()) {
            let (appended, made) = rayon::join(|| append(parts), || runs.par_chunks(AT_ONCE).map(part).collect());
            appended?;
            parts = made;
        }
        append(parts)?;
        items.uncover_ranks();
        let all = store.items.labels.len();
        let item_ids = (runs.len() < all).then(|| runs.iter().map(|&run| scores.items[run as usize]).collect());
        Ok(ScoreSet {
            detector: None,
            missing: all - items.len(),
            items,
            item_ids,
            videos: Items::new(&self.task).map_err(|error| place(0, error))?,
            video_ids: None,
            samples: least.min(most) as usize,
            most_samples: most as usize,
            videos_undivided: None,
            views: self.views,
        })
    }

    fn item_name(&self, store: &Store, units: &Units, item: usize) -> String {
        if self.has_videos { store.items.names.get(item).into() } else { units.name(item).into() }
    }

    /// The videos of one detector, from sums by sample or from its items.
    #[allow(clippy::too_many_arguments)]
    fn videos(
        &self,
        set: &mut ScoreSet,
        store: &Store,
        detector: usize,
        units: &Units,
        item_units: &[u32],
        codes: &[u32],
        cluster: &dyn Fn(usize) -> u32,
    ) -> Result<(), Failure> {
        let mut ids: Vec<u32> = Vec::new();
        let mut push = |unit: usize, video: Scored, sums: Option<&VideoSums>| {
            ids.push(unit as u32);
            let failed = |error| Failure::Stats(units.name(unit).into(), error);
            set.videos.push(&video).map_err(failed)?;
            if self.logits {
                set.videos.push_log_odds(set.videos.log_odds(set.videos.len() - 1));
            }
            if let Some(sums) = sums.filter(|sums| sums.samples() > 1) {
                let jackknife = sums.epistemic_jackknife().map_err(failed)?;
                set.videos.push_measures(&sums.measures().map_err(failed)?, Some(jackknife));
            }
            Ok(())
        };
        let failed = |unit: usize| move |error| Failure::Stats(units.name(unit).into(), error);
        if let Values::Sums(_) = store.scores.values {
            for (unit, &code) in codes.iter().enumerate() {
                if let Some(sums) = store.video_sums.get(&(detector as u32, code)) {
                    push(unit, sums.finish(units.label(unit), cluster(unit)).map_err(failed(unit))?, Some(sums))?;
                }
            }
        } else {
            let items = &set.items;
            let unit_of = |i: usize| item_units[set.item_ids.as_ref().map_or(i, |ids| ids[i] as usize)] as usize;
            let mut start = 0;
            while start < items.len() {
                let unit = unit_of(start);
                let end = (start..items.len()).find(|&i| unit_of(i) != unit).unwrap_or(items.len());
                let (label, cluster) = (units.label(unit), cluster(unit));
                let video = if self.reduced {
                    undivided(items, start..end, label, cluster)
                } else {
                    let mut sums = VideoSums::new(self.task.classes.len());
                    (start..end).try_for_each(|i| sums.push(0, items.probs(i))).map_err(failed(unit))?;
                    sums.finish(label, cluster).map_err(failed(unit))?
                };
                push(unit, video, None)?;
                start = end;
            }
            set.videos_undivided = self.reduced.then_some(UNDIVIDED);
        }
        set.videos.uncover_ranks();
        set.video_ids = (ids.len() < units.len()).then_some(ids);
        Ok(())
    }
}

/// A video of items that are reduced over their samples: the total is the entropy of the mean of means,
/// the aleatoric part the mean of the items'; the rest can't be divided.
fn undivided(items: &Items, frames: std::ops::Range<usize>, label: usize, cluster: u32) -> Scored {
    let mut sums = vec![FixedSum::default(); items.classes() + 1];
    for i in frames.clone() {
        let values = items.probs(i).iter().chain([&items.aleatoric()[i]]);
        sums.iter_mut().zip(values).for_each(|(sum, &value)| sum.add(value));
    }
    let mut probs: Vec<f64> = sums.iter().map(|sum| sum.mean(frames.len() as u64)).collect();
    let aleatoric = probs.pop().unwrap_or(0.0);
    let total = entropy(&probs);
    Scored { label, probs, total, aleatoric: aleatoric.min(total), between_frames: 0.0, epistemic: 0.0, cluster }
}
