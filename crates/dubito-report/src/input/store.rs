//! Parts gathered: every item once, sorted by name, with the sums of each detector.
//!
//! Equal items that come in several runs (cut by a chunk, or shuffled) are merged by sorting: once at the
//! end, and in between whenever the runs have become many more than the items. Sums are exact, so it
//! makes no difference when.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use dubito_stats::probability::FixedSum;
use dubito_stats::{StatsError, VideoSums};
use dubito_table::Texts;
use rayon::iter::{IntoParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use super::rows::{Edge, Interner, ItemRuns, Jackknife, NO_FRAME, NONE, Part, ScoreRuns, Values};

/// Runs that may wait before equal ones are merged.
const MOST_WAITING: usize = 1 << 21;

/// Two rows that can't both be right; which rows they are is found by reading again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Clash {
    /// Rows of one item, or of one video, say different things about it.
    Conflict { video: Option<String>, item: Option<String> },
    /// An item has a sample twice, or lacks one.
    Samples { detector: String, video: Option<String>, item: String, frame: u64 },
}

/// Why a part was not taken.
pub(crate) enum Refusal {
    Clash(Clash),
    Stats(StatsError),
    TooMany,
}

/// See the [module](self).
pub(crate) struct Store {
    classes: usize,
    has_videos: bool,
    pub detectors: Interner,
    pub videos: Interner,
    pub facts: Vec<Interner>,
    pub all_detectors: BTreeSet<String>,
    pub all_splits: BTreeSet<String>,
    pub items: ItemRuns,
    pub scores: ScoreRuns,
    /// The runs of scores by (detector, item), once they are merged.
    pub order: Vec<u32>,
    /// The samples of each detector.
    pub samples: Vec<BTreeSet<u64>>,
    /// By detector and video.
    pub video_sums: HashMap<(u32, u32), VideoSums>,
    /// The last run of each detector, whose item the next block may go on with.
    open: Vec<Option<Edge>>,
    /// Number of item runs at which equal ones are merged.
    merge_at: usize,
}

impl Store {
    pub fn new(classes: usize, facts: usize, has_videos: bool, raw: bool) -> Self {
        Self {
            classes,
            has_videos,
            detectors: Interner::default(),
            videos: Interner::default(),
            facts: vec![Interner::default(); facts],
            all_detectors: BTreeSet::new(),
            all_splits: BTreeSet::new(),
            items: ItemRuns::default(),
            scores: ScoreRuns::new(raw),
            order: Vec::new(),
            samples: Vec::new(),
            video_sums: HashMap::new(),
            open: Vec::new(),
            merge_at: MOST_WAITING,
        }
    }

    /// Take a part. `row_name` names an item without a name by its row in the block.
    pub fn add(&mut self, part: Part, row_name: impl Fn(u32) -> String) -> Result<(), Refusal> {
        let before = self.items.labels.len();
        let scores = self.scores.items.len() + part.scores.items.len();
        if (before + part.items.labels.len()).max(scores) >= NONE as usize {
            return Err(Refusal::TooMany);
        }
        let to_global = |global: &mut Interner, local: &Interner| -> Vec<u32> {
            local.names().iter().map(|name| global.code(name)).collect()
        };
        let detectors = to_global(&mut self.detectors, &part.detectors);
        let videos = to_global(&mut self.videos, &part.videos);
        let facts: Vec<Vec<u32>> =
            self.facts.iter_mut().zip(&part.facts).map(|(global, local)| to_global(global, local)).collect();
        self.all_detectors.extend(part.all_detectors);
        self.all_splits.extend(part.all_splits);

        let runs = part.items.labels.len();
        if part.nameless.is_empty() {
            self.items.names.append(&part.items.names);
        } else {
            part.nameless.iter().for_each(|&row| self.items.names.push(&row_name(row)));
        }
        if self.has_videos {
            for run in 0..runs {
                let video = match part.items.videos[run] {
                    NONE => self.videos.code(self.items.names.get(before + run)),
                    video => videos[video as usize],
                };
                self.items.videos.push(video);
            }
        }
        self.items.frames.extend(part.items.frames);
        self.items.labels.extend(part.items.labels);
        let width = self.facts.len();
        let global = |(at, &code): (usize, &u32)| if code == NONE { NONE } else { facts[at % width][code as usize] };
        self.items.facts.extend(part.items.facts.iter().enumerate().map(global));

        let before_scores = self.scores.items.len() as u32;
        self.scores.items.extend(part.scores.items.iter().map(|&item| item + before as u32));
        self.scores.detectors.extend(part.scores.detectors.iter().map(|&d| detectors[d as usize]));
        self.scores.counts.extend(part.scores.counts);
        self.scores.seen.extend(part.scores.seen);
        self.scores.votes.extend(part.scores.votes);
        self.scores.jackknives.extend(part.scores.jackknives);
        self.scores.log_odds.extend(part.scores.log_odds);
        for (local, (first, last)) in part.edges.into_iter().enumerate() {
            let detector = detectors[local] as usize;
            let moved = |(run, samples): Edge| (before_scores + run, samples);
            if let Some(first) = first.map(moved) {
                let first = self.joined(detector, first);
                self.open[detector] = Some(last.map_or(first, moved));
            }
        }
        match (&mut self.scores.values, part.scores.values) {
            (Values::Sums(all), Values::Sums(more)) => all.extend(more),
            (Values::Finals(all), Values::Finals(more)) => all.extend(more),
            _ => {}
        }
        for (local, samples) in part.samples.into_iter().enumerate() {
            let global = detectors[local] as usize;
            if self.samples.len() <= global {
                self.samples.resize_with(global + 1, BTreeSet::new);
            }
            // Most often the same as before.
            if self.samples[global] != samples {
                self.samples[global].extend(samples);
            }
        }
        for ((detector, video), sums) in part.video_sums {
            let key = (detectors[detector as usize], videos[video as usize]);
            match self.video_sums.get_mut(&key) {
                Some(all) => all.merge(&sums).map_err(Refusal::Stats)?,
                None => {
                    self.video_sums.insert(key, sums);
                }
            }
        }
        if matches!(self.scores.values, Values::Sums(_)) && self.items.labels.len() >= self.merge_at {
            self.merge().map_err(Refusal::Clash)?;
            self.merge_at = (2 * self.items.labels.len()).max(MOST_WAITING);
        }
        Ok(())
    }

    /// The first run of a block, with the samples of the last one before where it goes on with its item.
    fn joined(&mut self, detector: usize, (run, samples): Edge) -> Edge {
        if self.open.len() <= detector {
            self.open.resize(detector + 1, None);
        }
        let (items, scores) = (&self.items, &mut self.scores);
        let item = |run: u32| scores.items[run as usize] as usize;
        match self.open[detector].take() {
            Some((before, mut all)) if items.is_same(item(before), item(run)) => {
                all.extend(samples);
                let merged = &mut scores.jackknives[before as usize];
                if *merged != Jackknife::Apart {
                    *merged = Jackknife::Continued;
                }
                scores.jackknives[run as usize] = Jackknife::new(&all, self.classes);
                (run, all)
            }
            _ => (run, samples),
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Values of each run of scores.
    pub fn width(&self) -> usize {
        self.classes + if matches!(self.scores.values, Values::Sums(_)) { 2 } else { 1 }
    }

    /// Put every item in its place, by (video, frame, name), merge what is equal, and find the order of
    /// the scores.
    pub fn merge(&mut self) -> Result<(), Clash> {
        let order = self.order();
        let width = self.facts.len();
        let old = std::mem::take(&mut self.items);
        // Keys that differ are of different items.
        let repeats = |at: usize| {
            at > 0 && order[at].0 == order[at - 1].0 && old.is_same(order[at - 1].1 as usize, order[at].1 as usize)
        };
        let repeated: Vec<bool> = (0..order.len()).into_par_iter().map(repeats).collect();
        let mut place = vec![0u32; order.len()];
        let mut kept: Vec<u32> = Vec::with_capacity(order.len());
        for (&(_, run), &repeated) in order.iter().zip(&repeated) {
            if repeated && let Some(&first) = kept.last() {
                let (first, run) = (first as usize, run as usize);
                let facts = |run: usize| &old.facts[run * width..(run + 1) * width];
                if old.labels[first] != old.labels[run] || facts(first) != facts(run) {
                    let video = self.has_videos.then(|| self.videos.names()[old.videos[run] as usize].clone());
                    return Err(Clash::Conflict { video, item: Some(old.names.get(run).into()) });
                }
            } else {
                kept.push(run);
            }
            place[run as usize] = kept.len() as u32 - 1;
        }
        drop((order, repeated));
        // Names are long, so the other columns wait until they are moved.
        self.items = old.gathered(&kept, width);
        drop(old);
        // Where no item comes twice and each has one score, the scores are in the order of the items.
        let is_one_to_one = |(at, &item): (usize, &u32)| at as u32 == item;
        let one_to_one = kept.len() == place.len()
            && self.scores.items.len() == place.len()
            && self.detectors.names().len() == 1
            && matches!(self.scores.values, Values::Finals(_))
            && self.scores.items.iter().enumerate().all(is_one_to_one);
        self.scores.items.par_iter_mut().for_each(|item| *item = place[*item as usize]);
        drop(place);
        if one_to_one {
            self.order = kept;
            return Ok(());
        }
        drop(kept);
        self.merge_scores()
    }

    fn merge_scores(&mut self) -> Result<(), Clash> {
        let scores = &self.scores;
        let key = |run: usize| u64::from(scores.detectors[run]) << 32 | u64::from(scores.items[run]);
        let order = counted_order(0..scores.items.len() as u32, &scores.items, self.items.labels.len());
        let order = match self.detectors.names().len() {
            0 | 1 => order,
            detectors => counted_order(order.into_iter(), &scores.detectors, detectors),
        };
        let Values::Sums(sums) = &scores.values else {
            // One row has all there is of an item: nothing merges.
            if let Some(pair) = order.windows(2).find(|pair| key(pair[0] as usize) == key(pair[1] as usize)) {
                let (run, item) = (pair[1] as usize, scores.items[pair[1] as usize] as usize);
                return Err(self.samples_clash(scores.detectors[run], item, self.items.names.get(item).into()));
            }
            self.order = order;
            return Ok(());
        };
        let width = self.width();
        // The runs that become one, each lot put together for itself.
        let mut lots: Vec<&[u32]> = Vec::with_capacity(order.len());
        lots.extend(order.chunk_by(|&a, &b| key(a as usize) == key(b as usize)));
        let (lots, classes) = (&lots, self.classes);
        // By lot and column.
        let sum = |at: usize| {
            let mut all = FixedSum::default();
            lots[at / width].iter().for_each(|&run| all.merge(&sums[run as usize * width + at % width]));
            all
        };
        let vote = |at: usize| {
            let runs = lots[at / classes].iter().map(|&run| scores.votes[run as usize * classes + at % classes]);
            runs.fold(0, u32::saturating_add)
        };
        let count = |lot: &&[u32]| lot.iter().fold(0, |all: u32, &run| all.saturating_add(scores.counts[run as usize]));
        let seen = |lot: &&[u32]| lot.iter().fold(0u64, |all, &run| all.wrapping_add(scores.seen[run as usize]));
        let jackknife = |lot: &&[u32]| {
            let runs = lot.iter().map(|&run| scores.jackknives[run as usize]);
            runs.reduce(Jackknife::merge).unwrap_or(Jackknife::TooFew)
        };
        let new = ScoreRuns {
            items: lots.par_iter().map(|lot| scores.items[lot[0] as usize]).collect(),
            detectors: lots.par_iter().map(|lot| scores.detectors[lot[0] as usize]).collect(),
            counts: lots.par_iter().map(count).collect(),
            seen: lots.par_iter().map(seen).collect(),
            values: Values::Sums((0..lots.len() * width).into_par_iter().map(sum).collect()),
            votes: (0..lots.len() * classes).into_par_iter().map(vote).collect(),
            jackknives: lots.par_iter().map(jackknife).collect(),
            log_odds: Vec::new(),
        };
        self.order = (0..new.items.len() as u32).collect();
        // A run that was open is now where its item is.
        for (run, _) in self.open.iter_mut().flatten() {
            let wanted = key(*run as usize);
            let of = |at: usize| u64::from(new.detectors[at]) << 32 | u64::from(new.items[at]);
            *run = self.order.partition_point(|&at| of(at as usize) < wanted) as u32;
        }
        self.scores = new;
        Ok(())
    }

    /// That an item of a detector has a sample twice or lacks one.
    pub fn samples_clash(&self, detector: u32, item: usize, name: String) -> Clash {
        Clash::Samples {
            detector: self.detectors.names()[detector as usize].clone(),
            video: self.has_videos.then(|| self.videos.names()[self.items.videos[item] as usize].clone()),
            item: name,
            frame: self.items.frame(item),
        }
    }

    /// The runs in the order of (video's name, frame, item's name), those without a frame first; each behind a key
    /// that is equal for equal items.
    fn order(&self) -> Vec<(u64, u32)> {
        let items = &self.items;
        let ranks = ranks(self.videos.names());
        let frame = |run: usize| items.frame(run).wrapping_add(1); // NO_FRAME is 0
        debug_assert_eq!(NO_FRAME.wrapping_add(1), 0);
        let shared = if self.has_videos { 0 } else { common_prefix(&items.names) };
        // Most are told apart by eight bytes.
        let key = |run: usize| {
            if self.has_videos {
                let frame = u32::try_from(frame(run)).unwrap_or(u32::MAX);
                return u64::from(ranks[items.videos[run] as usize]) << 32 | u64::from(frame);
            }
            let mut bytes = [0; 8];
            let name = &items.names.get(run).as_bytes()[shared..];
            let taken = name.len().min(8);
            bytes[..taken].copy_from_slice(&name[..taken]);
            u64::from_be_bytes(bytes)
        };
        let compare = |a: usize, b: usize| -> Ordering {
            let names = items.names.get(a).cmp(items.names.get(b));
            if self.has_videos { frame(a).cmp(&frame(b)).then(names) } else { names.then(frame(a).cmp(&frame(b))) }
        };
        let mut order: Vec<(u64, u32)> =
            (0..items.labels.len()).into_par_iter().map(|run| (key(run), run as u32)).collect();
        sort_by_key(&mut order);
        // What the keys do not tell apart.
        for ties in order.chunk_by_mut(|a, b| a.0 == b.0).filter(|ties| ties.len() > 1) {
            ties.par_sort_unstable_by(|a, b| compare(a.1 as usize, b.1 as usize));
        }
        order
    }
}

/// Puts pairs in the rising order of their keys, two bytes at a time from the last ones on; pairs of one key stay in their
/// order. Names tell themselves apart by few different bytes, so that there is little to count.
fn sort_by_key(pairs: &mut Vec<(u64, u32)>) {
    if pairs.is_sorted_by_key(|pair| pair.0) {
        return;
    }
    let mut sorted = vec![(0, 0); pairs.len()];
    for shift in [0, 16, 32, 48] {
        let digits = |pair: &(u64, u32)| (pair.0 >> shift) as usize & 0xffff;
        let mut next = vec![0u32; 1 << 16];
        pairs.iter().for_each(|pair| next[digits(pair)] += 1);
        if next.iter().any(|&count| count as usize == pairs.len()) {
            continue; // all have the same ones
        }
        let mut before = 0;
        next.iter_mut().for_each(|next| before += std::mem::replace(next, before));
        for pair in pairs.iter() {
            let place = &mut next[digits(pair)];
            sorted[*place as usize] = *pair;
            *place += 1;
        }
        std::mem::swap(pairs, &mut sorted);
    }
}

/// These runs in the rising order of a key below `keys`; runs of one key stay in their order.
fn counted_order(runs: impl Iterator<Item = u32> + Clone, key: &[u32], keys: usize) -> Vec<u32> {
    let mut next = vec![0u32; keys + 1];
    runs.clone().for_each(|run| next[key[run as usize] as usize + 1] += 1);
    (1..keys).for_each(|at| next[at] += next[at - 1]);
    let mut order = vec![0; key.len()];
    for run in runs {
        let place = &mut next[key[run as usize] as usize];
        order[*place as usize] = run;
        *place += 1;
    }
    order
}

/// Number of bytes with which all texts begin.
fn common_prefix(texts: &Texts) -> usize {
    if texts.is_empty() {
        return 0;
    }
    let first = texts.get(0).as_bytes();
    (1..texts.len()).fold(first.len(), |length, at| {
        let text = texts.get(at).as_bytes();
        if text.starts_with(&first[..length]) {
            return length;
        }
        first[..length].iter().zip(text).take_while(|(a, b)| a == b).count()
    })
}

/// The place of each name among the sorted names.
pub(crate) fn ranks(names: &[String]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..names.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| names[a as usize].cmp(&names[b as usize]));
    let mut ranks = vec![0; names.len()];
    order.iter().zip(0..).for_each(|(&name, rank)| ranks[name as usize] = rank);
    ranks
}
