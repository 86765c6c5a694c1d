//! A block of rows to a part of the evaluation: checked, labelled, and added up over samples that lie
//! side by side. Parts are made side by side and merge to the same bits in any order.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use dubito_stats::probability::{FixedSum, append_normalised, entropy, normalise, short_of_one};
use dubito_stats::{SampleAdder, Task, VideoSums, epistemic_jackknife};
use dubito_table::{Block, Column, Fault, Texts, cut};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::layout::{Labelled, Layout, Request, Scoring, View};

/// Probabilities may leave [0, 1] by this much, as rounding does; the reader says how many do.
pub(crate) const SLACK: f64 = 1e-6;

/// How far from 1 the probabilities of the classes may sum.
pub(crate) const SUM_SLACK: f64 = 1e-3;

/// A code or a frame number that is not there.
pub(crate) const NONE: u32 = u32::MAX;
pub(crate) const NO_FRAME: u64 = u64::MAX;

/// Texts that come again and again, each with a code in the order of first sight.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    names: Vec<String>,
    codes: HashMap<String, u32>,
    last: usize,
}

impl Interner {
    pub fn code(&mut self, text: &str) -> u32 {
        // Asked of every row, most often of nothing.
        let is_it = |name: &String| name.len() == text.len() && (text.is_empty() || name == text);
        if self.names.get(self.last).is_some_and(is_it) {
            return self.last as u32;
        }
        let code = match self.codes.get(text) {
            Some(&code) => code,
            None => {
                let code = self.names.len() as u32;
                self.codes.insert(text.to_string(), code);
                self.names.push(text.to_string());
                code
            }
        };
        self.last = code as usize;
        code
    }

    /// The code of a text; [`NONE`] for an empty one.
    pub fn code_or_none(&mut self, text: &str) -> u32 {
        if text.is_empty() { NONE } else { self.code(text) }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Runs of rows of one item, column by column. Equal items may come in several runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct ItemRuns {
    /// Empty where no file names videos.
    pub videos: Vec<u32>,
    pub names: Texts,
    /// Empty where no file numbers frames.
    pub frames: Vec<u64>,
    pub labels: Vec<u16>,
    /// Row by row, one code for each of [`Context::facts`].
    pub facts: Vec<u32>,
}

impl ItemRuns {
    /// None yet, with room for so many.
    fn with_room(runs: usize, context: &Context) -> Self {
        let of = |wanted: bool| if wanted { runs } else { 0 };
        Self {
            videos: Vec::with_capacity(of(context.has_videos)),
            names: Texts::with_capacity(runs),
            frames: Vec::with_capacity(of(context.has_frames)),
            labels: Vec::with_capacity(runs),
            facts: Vec::with_capacity(runs * context.facts.len()),
        }
    }

    /// Whether two runs are of one item.
    pub fn is_same(&self, a: usize, b: usize) -> bool {
        self.names.get(a) == self.names.get(b)
            && self.frame(a) == self.frame(b)
            && (self.videos.is_empty() || self.videos[a] == self.videos[b])
    }

    /// These of the runs, in this order; of each so many facts are known.
    pub fn gathered(&self, runs: &[u32], facts: usize) -> Self {
        fn of<T: Copy + Send + Sync>(column: &[T], runs: &[u32]) -> Vec<T> {
            if column.is_empty() { Vec::new() } else { runs.par_iter().map(|&run| column[run as usize]).collect() }
        }
        let rows = runs.iter().flat_map(|&run| &self.facts[run as usize * facts..][..facts]);
        Self {
            videos: of(&self.videos, runs),
            names: self.names.gathered(runs),
            frames: of(&self.frames, runs),
            labels: of(&self.labels, runs),
            facts: if facts == 0 { Vec::new() } else { rows.copied().collect() },
        }
    }

    /// The frame's number; [`NO_FRAME`] where there is none.
    pub fn frame(&self, run: usize) -> u64 {
        self.frames.get(run).copied().unwrap_or(NO_FRAME)
    }
}

/// What the rows of one item and detector add up to.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    /// Sums over samples: of the probability of each class, then of the entropies, then of all squared
    /// probabilities.
    Sums(Vec<FixedSum>),
    /// The mean probability of each class, then the mean entropy: one row has it all.
    Finals(Vec<f64>),
}

/// The jackknifed mutual information of a run's samples. It needs all samples of an item at once, so there is one
/// only where they lie side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Jackknife {
    /// Of the run's samples, and of those that lie right before it in other blocks.
    Of(f64),
    /// Of one sample there is none.
    TooFew,
    /// The run that goes on with this one has it.
    Continued,
    /// The samples lie apart.
    Apart,
}

impl Jackknife {
    /// Of the samples `[samples, classes]` of one run.
    pub fn new(samples: &[f64], classes: usize) -> Self {
        epistemic_jackknife(samples, classes).map_or(Self::TooFew, Self::Of)
    }

    /// Of two runs of one item.
    pub fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Continued, one) | (one, Self::Continued) => one,
            _ => Self::Apart,
        }
    }
}

/// A run at an end of a block, which may be cut there: its index, and its samples `[samples, classes]`.
pub(crate) type Edge = (u32, Vec<f64>);

/// Runs of rows of one item and detector, column by column.
#[derive(Clone, Debug)]
pub(crate) struct ScoreRuns {
    /// Index of the item's run.
    pub items: Vec<u32>,
    pub detectors: Vec<u32>,
    /// Number of samples.
    pub counts: Vec<u32>,
    /// Sum of the samples' hashes; empty beside [`Values::Finals`].
    pub seen: Vec<u64>,
    pub values: Values,
    /// Row by row, how many samples predict each class; empty beside [`Values::Finals`].
    pub votes: Vec<u32>,
    /// Empty beside [`Values::Finals`].
    pub jackknives: Vec<Jackknife>,
    /// Of the positive class, as logits give them; empty without logits, of several classes, and beside
    /// [`Values::Sums`].
    pub log_odds: Vec<f64>,
}

impl ScoreRuns {
    /// None yet.
    pub fn new(raw: bool) -> Self {
        Self::with_room(0, raw, 0)
    }

    /// None yet, with room for so many of so many classes.
    fn with_room(runs: usize, raw: bool, classes: usize) -> Self {
        let sums = if raw { runs } else { 0 };
        let values = match raw {
            true => Values::Sums(Vec::with_capacity(runs * (classes + 2))),
            false => Values::Finals(Vec::with_capacity(runs * (classes + 1))),
        };
        Self {
            items: Vec::with_capacity(runs),
            detectors: Vec::with_capacity(runs),
            counts: Vec::with_capacity(runs),
            seen: Vec::with_capacity(sums),
            values,
            votes: Vec::with_capacity(sums * classes),
            jackknives: Vec::with_capacity(sums),
            log_odds: Vec::new(),
        }
    }
}

/// What is the same for all files.
pub(crate) struct Context<'a> {
    pub request: &'a Request,
    pub task: &'a Task,
    /// The facts that any file has, each as an index of [`Request::facts`].
    pub facts: Vec<usize>,
    /// Whether any file names videos.
    pub has_videos: bool,
    /// Whether any file numbers frames.
    pub has_frames: bool,
    /// Whether any file has several samples of an item, so that sums are kept.
    pub raw: bool,
}

/// What one block holds. All codes are the part's own.
pub(crate) struct Part {
    pub detectors: Interner,
    pub videos: Interner,
    pub facts: Vec<Interner>,
    /// Every detector and split seen, wanted or not.
    pub all_detectors: BTreeSet<String>,
    pub all_splits: BTreeSet<String>,
    pub items: ItemRuns,
    /// Row of each item's run within the block, where items have no names.
    pub nameless: Vec<u32>,
    pub scores: ScoreRuns,
    /// The samples seen of each detector.
    pub samples: Vec<BTreeSet<u64>>,
    /// By detector and video; only where there are samples.
    pub video_sums: HashMap<(u32, u32), VideoSums>,
    /// The first run of each detector, and the last one where it is another; only where there are samples.
    pub edges: Vec<(Option<Edge>, Option<Edge>)>,
    pub outside: Outside,
}

/// Probabilities that lie a hair outside of 0 to 1, and count as 0 or 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outside {
    pub count: u64,
    /// Row of the first one within the block, its column, and what it is.
    pub first: Option<(u32, String, f64)>,
}

/// The scores of one sample.
struct Sample<'a> {
    probs: &'a [f64],
    /// Of the positive class, from logits.
    log_odds: Option<f64>,
}

/// A number that stands for a sample: SplitMix64's finaliser.
pub(crate) fn mixed(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The sample that a member of an ensemble is: a number made of its name.
pub(crate) fn member(name: &str, sample: u64) -> u64 {
    name.bytes().fold(mixed(sample), |hash, byte| mixed(hash ^ u64::from(byte)))
}

/// The class that a label names: by name, in a binary task in any case or as `false` and `true`, or, where not all are
/// named by numbers, by index.
pub(crate) fn class_of(label: &str, task: &Task) -> Option<usize> {
    if let Some(class) = task.classes.iter().position(|class| class == label) {
        return Some(class);
    }
    let is_real_fake = task.positive == Some(1) && task.classes == ["real", "fake"];
    if is_real_fake {
        for (words, class) in [(["real", "false"], 0), (["fake", "true"], 1)] {
            if words.iter().any(|word| label.eq_ignore_ascii_case(word)) {
                return Some(class);
            }
        }
    }
    // 1.0 is how a column of whole numbers with gaps is often written, 1.000000000000000000e+00 how NumPy writes all.
    let index: f64 = label.parse().or_else(|_| label.replace(',', ".").parse()).ok()?;
    let index = (index.fract() == 0.0 && index >= 0.0).then_some(index as usize)?;
    // Where all classes are named by numbers, it is a name: whether they were counted from 0 is not known.
    let name = index.to_string();
    let is_numbered = task.classes.iter().all(|class| class.parse::<usize>().is_ok());
    match task.classes.iter().position(|class| *class == name) {
        Some(class) => Some(class),
        None => (!is_numbered && index < task.classes.len()).then_some(index),
    }
}

/// What a label may be, for an error.
pub(crate) fn class_list(task: &Task) -> String {
    format!("one of {} (or the index, 0 to {})", task.classes.join(", "), task.classes.len() - 1)
}

/// Read a cell of P(fake) or of a logit as the probabilities of real and fake.
fn from_fake(value: f64, logits: bool) -> [f64; 2] {
    if logits {
        // Both from the logit, so that the smaller one keeps its digits.
        [1.0 / (1.0 + value.exp()), 1.0 / (1.0 + (-value).exp())]
    } else {
        [1.0 - value, value]
    }
}

/// Log-odds of all classes but one, or of one class, against the rest: of their softmax, which would round.
fn log_odds_of(logits: &[f64], class: usize) -> f64 {
    let others = || logits.iter().enumerate().filter(|(other, _)| *other != class).map(|(_, &logit)| logit);
    let most = others().fold(f64::NEG_INFINITY, f64::max);
    logits[class] - (most + others().map(|logit| (logit - most).exp()).sum::<f64>().ln())
}

fn softmax(logits: &mut [f64]) {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits.iter_mut().for_each(|l| *l = (*l - most).exp());
    let sum: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|l| *l /= sum);
}

/// Makes a part of a block.
struct Folder<'a> {
    context: &'a Context<'a>,
    layout: &'a Layout,
    block: &'a Block,
    part: Part,
    /// The last run of each detector.
    open: Vec<Open>,
    /// The labels that were seen first: a few come again and again.
    labels: Vec<(&'a str, Labelled)>,
    /// Memory used again: the row's facts, its probabilities as given and as they count.
    codes: Vec<u32>,
    given: Vec<f64>,
    probs: Vec<f64>,
    adder: SampleAdder,
}

/// The last run of a detector: its samples are added up once all that lie side by side are there.
#[derive(Default)]
struct Open {
    run: Option<usize>,
    /// `[samples, classes]`.
    probs: Vec<f64>,
    /// Which samples they are.
    samples: Vec<u64>,
    /// Which those of the run before were, most often the same.
    samples_before: Vec<u64>,
    seen_before: u64,
}

/// Everything a block's rows say. Errors name the row: a label that is no class, a number that is no
/// probability, a null control that is not real.
pub(crate) fn fold(block: &Block, layout: &Layout, context: &Context) -> Result<Part, Fault> {
    // Room at once: what grows in steps on several threads makes them wait for each other's memory.
    let runs = block.texts();
    let mut part = Part {
        detectors: Interner::default(),
        videos: Interner::default(),
        facts: vec![Interner::default(); context.facts.len()],
        all_detectors: BTreeSet::new(),
        all_splits: BTreeSet::new(),
        items: ItemRuns::with_room(runs, context),
        nameless: Vec::new(),
        scores: ScoreRuns::with_room(runs, context.raw, context.task.classes.len()),
        samples: Vec::new(),
        video_sums: HashMap::new(),
        edges: Vec::new(),
        outside: Outside::default(),
    };
    let ensemble = context.request.input.as_ensemble;
    match &layout.scoring {
        Scoring::Wide(columns) if !ensemble => columns.iter().for_each(|(name, _)| {
            part.detectors.code(name);
            part.all_detectors.insert(name.clone());
        }),
        // Without a column, every row is of the detector (and the split) without a name.
        _ if layout.detector.is_none() => note(&mut part.all_detectors, ""),
        _ => {}
    }
    if layout.split().is_none() {
        note(&mut part.all_splits, "");
    }
    let mut folder = Folder {
        context,
        layout,
        block,
        part,
        open: Vec::new(),
        labels: Vec::new(),
        codes: Vec::new(),
        given: Vec::new(),
        probs: Vec::new(),
        adder: SampleAdder::default(),
    };
    let mut row = 0;
    while row < block.rows {
        // Items without a name are one a row.
        let end = if layout.item.is_some() { block.repeated(row, layout.frame) } else { row + 1 };
        folder.rows(row..end)?;
        row = end;
    }
    if context.raw {
        (0..folder.open.len()).for_each(|detector| folder.close(detector, true));
    }
    Ok(folder.part)
}

fn note(set: &mut BTreeSet<String>, text: &str) {
    if !set.contains(text) {
        set.insert(text.to_string());
    }
}

impl<'a> Folder<'a> {
    /// The detector that the row names.
    fn detector(&self, row: usize) -> &'a str {
        let is_wide = matches!(self.layout.scoring, Scoring::Wide(_));
        let names = !is_wide && !self.context.request.input.as_ensemble;
        if names { self.block.text(self.layout.detector, row) } else { "" }
    }

    /// The run of the row's item; `None` where the row is not wanted.
    fn wanted_item(&mut self, row: usize) -> Result<Option<u32>, Fault> {
        let (block, layout, detector) = (self.block, self.layout, self.detector(row));
        if layout.detector.is_some() {
            note(&mut self.part.all_detectors, detector);
        }
        if layout.split().is_some() {
            note(&mut self.part.all_splits, block.text(layout.split(), row));
        }
        if !wanted_row(block, layout, self.context.request, row) {
            return Ok(None);
        }
        let Labelled::Class(label) = self.label(row)? else { return Ok(None) };
        self.item(row, label).map(Some)
    }

    /// Rows whose texts and frame are the same: what these say is looked up once, in the first of them.
    fn rows(&mut self, rows: Range<usize>) -> Result<(), Fault> {
        let Some(item) = self.wanted_item(rows.start)? else { return Ok(()) };
        let (layout, input) = (self.layout, &self.context.request.input);
        match &layout.scoring {
            // The most common kind, of which there may be many.
            Scoring::Fake(slot) if self.context.raw && !input.as_ensemble => {
                let detector = self.part.detectors.code(self.detector(rows.start));
                self.run(item, detector, rows.len() as u32);
                if self.push_all(rows.clone(), *slot, detector) {
                    return Ok(());
                }
                for row in rows {
                    let cell = self.cell(*slot, row)?;
                    let sample = self.sample(row)?;
                    self.push(row, item, detector, sample, &from_fake(cell, input.logits))?;
                }
                Ok(())
            }
            _ => rows.into_iter().try_for_each(|row| self.row(row, item)),
        }
    }

    /// Which sample a row is.
    fn sample(&self, row: usize) -> Result<u64, Fault> {
        match self.layout.sample {
            Some(slot) => self.block.whole(Some(slot), row).ok_or_else(|| self.nothing(slot, row)),
            None => Ok(0),
        }
    }

    /// The scores of one row.
    fn row(&mut self, row: usize, item: u32) -> Result<(), Fault> {
        let (block, layout, input) = (self.block, self.layout, &self.context.request.input);
        let (ensemble, logits) = (input.as_ensemble, input.logits);
        let detector = self.detector(row);
        let sample = self.sample(row)?;
        match &layout.scoring {
            Scoring::Fake(slot) => {
                let sample = if ensemble { member(block.text(layout.detector, row), sample) } else { sample };
                let cell = self.cell(*slot, row)?;
                let detector = self.part.detectors.code(detector);
                self.add_fake(row, item, detector, sample, cell)
            }
            Scoring::Classes(slots) => {
                let sample = if ensemble { member(block.text(layout.detector, row), sample) } else { sample };
                let mut probs = std::mem::take(&mut self.given);
                probs.clear();
                for &slot in slots {
                    probs.push(self.cell(slot, row)?);
                }
                let against = layout.real.filter(|_| layout.view == View::RealFake);
                let log_odds = match (against, self.context.task.positive) {
                    _ if !logits => None,
                    (Some(real), _) => Some(-log_odds_of(&probs, real)),
                    (None, positive) => positive.map(|class| log_odds_of(&probs, class)),
                };
                if logits {
                    softmax(&mut probs);
                }
                let detector = self.part.detectors.code(detector);
                match against {
                    Some(real) => {
                        self.normalised(row, &probs)?;
                        let probs = [self.probs[real], short_of_one(&self.probs, real)];
                        self.add(row, item, detector, sample, Sample { probs: &probs, log_odds })?;
                    }
                    None => self.add(row, item, detector, sample, Sample { probs: &probs, log_odds })?,
                }
                self.given = probs;
                Ok(())
            }
            Scoring::Reduced { mean, entropy, samples } => {
                let probs = from_fake(self.cell(*mean, row)?, false);
                let samples = match samples {
                    Some(slot) => block
                        .whole(Some(*slot), row)
                        .and_then(|samples| u32::try_from(samples).ok())
                        .filter(|&samples| samples > 0)
                        .ok_or_else(|| match block.whole(Some(*slot), row) {
                            Some(found) => self.bad(*slot, row, found.to_string()),
                            None => self.nothing(*slot, row),
                        })?,
                    None => 0,
                };
                let detector = self.part.detectors.code(detector);
                self.reduced(row, item, detector, samples, &probs, *entropy)
            }
            Scoring::Wide(columns) if ensemble => {
                // A member without a score leaves the item out: the others are not the ensemble.
                let is_there = |slot: usize| block.number(slot, row).is_some_and(|value| !value.is_nan());
                let detector = self.part.detectors.code(detector);
                if !columns.iter().all(|(_, slot)| is_there(*slot)) {
                    return Ok(());
                }
                for (name, slot) in columns {
                    let cell = self.cell(*slot, row)?;
                    self.add_fake(row, item, detector, member(name, sample), cell)?;
                }
                Ok(())
            }
            Scoring::Wide(columns) => {
                for (detector, (_, slot)) in columns.iter().enumerate() {
                    // Empty or NaN: this detector has no score of this item.
                    if block.number(*slot, row).is_some_and(|value| !value.is_nan()) {
                        let cell = self.cell(*slot, row)?;
                        self.add_fake(row, item, detector as u32, sample, cell)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// A cell's logit or probability, checked; one that lies outside of 0 to 1 by rounding is counted, and 0 or 1.
    fn cell(&mut self, slot: usize, row: usize) -> Result<f64, Fault> {
        let wanted = &self.layout.wanted[slot];
        let Some(value) = self.block.number(slot, row) else {
            return Err(Fault::cell(row, &wanted.name, "nothing", wanted.expected));
        };
        let logits = self.context.request.input.logits;
        let fits = if logits { value.is_finite() } else { (-SLACK..=1.0 + SLACK).contains(&value) };
        if !fits {
            return Err(Fault::cell(row, &wanted.name, value.to_string(), wanted.expected));
        }
        if logits || (0.0..=1.0).contains(&value) {
            return Ok(value);
        }
        let outside = &mut self.part.outside;
        outside.count += 1;
        outside.first.get_or_insert_with(|| (row as u32, wanted.name.clone(), value));
        Ok(value.clamp(0.0, 1.0))
    }

    fn bad(&self, slot: usize, row: usize, found: String) -> Fault {
        let wanted = &self.layout.wanted[slot];
        Fault::cell(row, &wanted.name, found, wanted.expected)
    }

    fn nothing(&self, slot: usize, row: usize) -> Fault {
        self.bad(slot, row, "nothing".into())
    }

    /// What the row's label says.
    fn label(&mut self, row: usize) -> Result<Labelled, Fault> {
        let text = self.block.text(Some(self.layout.label), row);
        let is_it = |known: &str| known.len() == text.len() && known.bytes().eq(text.bytes());
        if let Some((_, label)) = self.labels.iter().find(|(known, _)| is_it(known)) {
            return Ok(*label);
        }
        if text.is_empty() {
            return Err(self.nothing(self.layout.label, row));
        }
        let label = self.layout.labelled(text).ok_or_else(|| self.unknown_label(row, text))?;
        if self.labels.len() < 8 {
            self.labels.push((text, label));
        }
        Ok(label)
    }

    /// The run of the row's item: the last one, or a new one.
    fn item(&mut self, row: usize, label: usize) -> Result<u32, Fault> {
        let (block, layout, task) = (self.block, self.layout, self.context.task);
        let control = block.text(layout.facts[1], row);
        if !control.is_empty() && task.classes[label] != "real" {
            let expected = "nothing, as the label is not real: a null control is a real video";
            return Err(Fault::cell(row, "control", cut(control), expected));
        }
        let frame = match layout.frame {
            Some(_) => block.whole(layout.frame, row).unwrap_or(NO_FRAME),
            None => NO_FRAME,
        };
        let frame_name;
        let name = match layout.item {
            Some(slot) => {
                let name = block.text(layout.item, row);
                if name.is_empty() {
                    return Err(self.nothing(slot, row));
                }
                name
            }
            None if layout.names_frames() => {
                if frame == NO_FRAME {
                    return Err(self.nothing(layout.frame.unwrap_or(0), row));
                }
                frame_name = frame.to_string();
                &frame_name
            }
            None => "",
        };
        let part = &mut self.part;
        let video = match block.text(layout.video, row) {
            _ if !self.context.has_videos => NONE,
            // An item that names no video is one of its own.
            "" => part.videos.code_or_none(name),
            video => part.videos.code(video),
        };
        self.codes.clear();
        for (&fact, interner) in self.context.facts.iter().zip(&mut part.facts) {
            self.codes.push(interner.code_or_none(block.text(layout.facts[fact], row)));
        }
        let items = &mut part.items;
        let count = items.labels.len();
        let is_same = |last: usize| {
            !name.is_empty()
                && items.names.get(last) == name
                && (!self.context.has_videos || items.videos[last] == video)
                && (!self.context.has_frames || items.frames[last] == frame)
                && usize::from(items.labels[last]) == label
                // To compare nothing with nothing takes some processors long.
                && (self.codes.is_empty() || items.facts[last * self.codes.len()..] == self.codes[..])
        };
        if count > 0 && is_same(count - 1) {
            return Ok(count as u32 - 1);
        }
        if self.context.has_videos {
            items.videos.push(video);
        }
        items.names.push(name);
        if self.context.has_frames {
            items.frames.push(frame);
        }
        items.labels.push(label as u16);
        items.facts.extend_from_slice(&self.codes);
        if name.is_empty() {
            part.nameless.push(row as u32);
        }
        Ok(count as u32)
    }

    fn unknown_label(&self, row: usize, text: &str) -> Fault {
        let task = &self.layout.classes;
        let looks_binary = class_of(text, &Task::binary()).is_some();
        let hint = if task.positive.is_none() && looks_binary {
            " (if each column is a detector: --detector-column 'prob_*')"
        } else {
            ""
        };
        self.bad(self.layout.label, row, format!("\"{}\"", cut(text))).expecting(class_list(task) + hint)
    }

    /// Checks a row's probabilities, which then are `self.probs`.
    fn normalised(&mut self, row: usize, probs: &[f64]) -> Result<(), Fault> {
        normalise(probs, probs.len(), &mut self.probs, String::new).map_err(|_| bad_sum(row, probs))
    }

    /// Add one sample of a detector to the item's run: P(fake) or a logit.
    fn add_fake(&mut self, row: usize, item: u32, detector: u32, sample: u64, cell: f64) -> Result<(), Fault> {
        let logits = self.context.request.input.logits;
        let probs = from_fake(cell, logits);
        self.add(row, item, detector, sample, Sample { probs: &probs, log_odds: logits.then_some(cell) })
    }

    /// Add one sample of a detector to the item's run.
    fn add(&mut self, row: usize, item: u32, detector: u32, sample: u64, scores: Sample) -> Result<(), Fault> {
        self.run(item, detector, 1);
        if self.context.raw {
            return self.push(row, item, detector, sample, scores.probs);
        }
        self.normalised(row, scores.probs)?;
        let doubt = entropy(&self.probs);
        let runs = &mut self.part.scores;
        if let Values::Finals(values) = &mut runs.values {
            values.extend(self.probs.iter().chain([&doubt]));
        }
        runs.log_odds.extend(scores.log_odds);
        Ok(())
    }

    /// Add one of the samples that the last run of a detector was told of.
    #[inline]
    fn push(&mut self, row: usize, item: u32, detector: u32, sample: u64, probs: &[f64]) -> Result<(), Fault> {
        let open = &mut self.open[detector as usize];
        append_normalised(probs, probs.len(), &mut open.probs, String::new).map_err(|_| bad_sum(row, probs))?;
        open.samples.push(sample);
        if self.context.has_videos {
            let video = self.part.items.videos[item as usize];
            let sums = self.part.video_sums.entry((detector, video)).or_insert_with(|| VideoSums::new(probs.len()));
            let normalised = &open.probs[open.probs.len() - probs.len()..];
            sums.push(sample, normalised).map_err(|_| bad_sum(row, probs))?;
        }
        Ok(())
    }

    /// Add these rows' samples to the last run of a detector at once, where each is there and a probability (or a
    /// logit): nothing is then left to find row by row. Says whether that was so; otherwise nothing is added.
    fn push_all(&mut self, rows: Range<usize>, slot: usize, detector: u32) -> bool {
        let (block, logits) = (self.block, self.context.request.input.logits);
        let Column::Number(cells) = &block.columns[slot] else { return false };
        let Some(cells) = cells.all(rows.clone()) else { return false };
        let samples = match self.layout.sample.map(|slot| &block.columns[slot]) {
            Some(Column::Whole(samples)) => match samples.all(rows.clone()) {
                Some(samples) => Some(samples),
                None => return false,
            },
            _ => None,
        };
        // Without a branch, so that it is compiled to vectors; NaN fits neither.
        let all_fit = match logits {
            true => cells.iter().fold(true, |fit, cell| fit & cell.is_finite()),
            false => cells.iter().fold(true, |fit, cell| fit & (0.0..=1.0).contains(cell)),
        };
        if !all_fit || self.context.has_videos {
            return false;
        }
        let open = &mut self.open[detector as usize];
        let before = open.probs.len();
        open.probs.resize(before + 2 * cells.len(), 0.0);
        for (probs, cell) in open.probs[before..].as_chunks_mut::<2>().0.iter_mut().zip(cells) {
            *probs = from_fake(*cell, logits);
        }
        match samples {
            Some(samples) => open.samples.extend_from_slice(samples),
            None => open.samples.extend(rows.map(|_| 0)),
        }
        true
    }

    /// Add an item that is reduced already.
    fn reduced(
        &mut self,
        row: usize,
        item: u32,
        detector: u32,
        samples: u32,
        probs: &[f64; 2],
        slot: usize,
    ) -> Result<(), Fault> {
        // Cells are checked, so two classes sum to 1.
        let sum = |_| Fault::row(row, "the probabilities do not sum to 1");
        normalise(probs, 2, &mut self.probs, String::new).map_err(sum)?;
        let total = entropy(&self.probs);
        let doubt = match self.block.number(slot, row) {
            None => return Err(self.nothing(slot, row)),
            Some(doubt) if (-SLACK..=total + 1e-4).contains(&doubt) => doubt.clamp(0.0, total),
            Some(doubt) => {
                let expected = format!(
                    "0 to {total}, the entropy of the mean in nats, which no mean entropy exceeds (is it in bits?)"
                );
                return Err(self.bad(slot, row, doubt.to_string()).expecting(expected));
            }
        };
        self.run(item, detector, samples);
        if let Values::Finals(values) = &mut self.part.scores.values {
            values.extend(self.probs.iter().chain([&doubt]));
        }
        Ok(())
    }

    /// The last run of a detector has ended: with the block (which may have cut it), or because another begins.
    fn close(&mut self, detector: usize, at_end: bool) {
        let (open, scores) = (&mut self.open[detector], &mut self.part.scores);
        let (Some(run), Values::Sums(sums)) = (open.run, &mut scores.values) else { return };
        let classes = self.context.task.classes.len();
        let sums = &mut sums[run * (classes + 2)..][..classes + 2];
        let votes = &mut scores.votes[run * classes..][..classes];
        let jackknife = self.adder.add_up(&open.probs, sums, votes);
        scores.jackknives[run] = jackknife.map_or(Jackknife::TooFew, Jackknife::Of);
        if open.samples != open.samples_before {
            open.seen_before = open.samples.iter().fold(0, |seen, &sample| seen.wrapping_add(mixed(sample)));
            self.part.samples[detector].extend(&open.samples);
            std::mem::swap(&mut open.samples, &mut open.samples_before);
        }
        scores.seen[run] = open.seen_before;
        open.samples.clear();
        let (first, last) = &mut self.part.edges[detector];
        match first {
            None => *first = Some((run as u32, std::mem::take(&mut open.probs))),
            Some(_) if at_end => *last = Some((run as u32, std::mem::take(&mut open.probs))),
            Some(_) => open.probs.clear(),
        }
    }

    /// Makes the run of scores of an item and detector the last one, and tells it of more samples. Only sums take
    /// several rows.
    fn run(&mut self, item: u32, detector: u32, samples: u32) {
        let at = detector as usize;
        if self.open.len() <= at {
            self.open.resize_with(at + 1, Open::default);
            self.part.samples.resize_with(at + 1, BTreeSet::new);
            self.part.edges.resize_with(at + 1, Default::default);
        }
        let scores = &mut self.part.scores;
        match self.open[at].run {
            Some(run) if self.context.raw && scores.items[run] == item => {
                scores.counts[run] += samples;
            }
            _ => {
                if self.context.raw {
                    self.close(at, false);
                }
                let scores = &mut self.part.scores;
                self.open[at].run = Some(scores.items.len());
                scores.items.push(item);
                scores.detectors.push(detector);
                scores.counts.push(samples);
                if let Values::Sums(sums) = &mut scores.values {
                    let classes = self.context.task.classes.len();
                    sums.resize(sums.len() + classes + 2, FixedSum::default());
                    scores.votes.resize(scores.votes.len() + classes, 0);
                    scores.seen.push(0);
                    scores.jackknives.push(Jackknife::TooFew);
                }
            }
        }
    }
}

fn bad_sum(row: usize, probs: &[f64]) -> Fault {
    let sum: f64 = probs.iter().sum();
    let expected =
        "probabilities that sum to 1 (logits: --logits; one detector in each column: --detector-column 'prob_*')";
    Fault::cell(row, "prob_*", format!("a sum of {sum}"), expected)
}

/// Whether a row is of the detector and split that were asked for.
pub(crate) fn wanted_row(block: &Block, layout: &Layout, request: &Request, row: usize) -> bool {
    let fits = |wanted: &Option<String>, slot| wanted.as_deref().is_none_or(|wanted| wanted == block.text(slot, row));
    let is_wide = matches!(layout.scoring, Scoring::Wide(_));
    (is_wide || fits(&request.detector, layout.detector)) && fits(&request.split, layout.split())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::class_of;
    use dubito_stats::Task;

    #[test]
    fn labels_name_classes() {
        let task = |classes: &[&str]| Task {
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            ..Task::binary()
        };
        let named = task(&["real", "wav2lip", "fsgan"]);
        for (label, class) in
            [("fsgan", Some(2)), ("2", Some(2)), ("2.0", Some(2)), ("3", None), ("1.5", None), ("-1", None)]
        {
            assert_eq!(class_of(label, &named), class, "{label}");
        }
        // Classes that are numbers are named, never counted.
        let numbered = task(&["1", "2", "3"]);
        for (label, class) in
            [("1", Some(0)), ("1.0", Some(0)), ("3.0", Some(2)), ("3,0", Some(2)), ("0", None), ("0.0", None)]
        {
            assert_eq!(class_of(label, &numbered), class, "{label}");
        }
    }
}
