//! Rows reduced over their samples: scored frames and videos with what is known about each.
//!
//! Rows may come in any order and from any number of files; the result is the same bits. Memory: one
//! sum per class for each item, and one per class and sample for each *video* (all videos stay open
//! until the end, since their rows need not be contiguous): 32 bytes a number, so 10,000 videos of
//! 50 samples and two classes hold about 40 MB, however many frames they have.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use dubito_stats::{FrameSums, Scored, Task, VideoSums};

use crate::predictions::{PredictionReader, Row};
use crate::{Options, ReportError};

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

/// One video (or, in predictions without videos, one item) and what its rows say of it.
#[derive(Clone, Debug)]
pub struct Video {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The person seen.
    pub identity: Option<String>,
    /// The data set.
    pub dataset: Option<String>,
    /// The fold in which it was held out.
    pub fold: Option<String>,
    /// Number of its frames.
    pub frames: usize,
    /// What the detector says of it: each sample averaged over frames first.
    pub scored: Scored,
}

/// One item.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its name.
    pub item: String,
    /// Index of its video in [`Scores::videos`].
    pub video: usize,
    /// Its number in the video.
    pub frame: Option<u64>,
    /// What the detector says of it.
    pub scored: Scored,
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

/// Everything scored, sorted by name.
#[derive(Clone, Debug)]
pub struct Scores {
    /// The classes.
    pub task: Task,
    /// The items. Where there are no videos, each item is one "video" of its own.
    pub frames: Vec<Frame>,
    /// The videos.
    pub videos: Vec<Video>,
    /// Whether the predictions name videos.
    pub has_videos: bool,
    /// Number of samples of each item.
    pub samples: usize,
    /// What the intervals are clustered by.
    pub clustered_by: ClusteredBy,
    /// Number of clusters.
    pub clusters: usize,
    /// The detector, where the predictions name one.
    pub detector: Option<String>,
    /// The split, where the predictions name one.
    pub split: Option<String>,
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

/// Which samples were seen: their number and a sum of hashes that no order changes.
#[derive(Clone, Copy, Default, PartialEq)]
struct Seen {
    count: u64,
    hash: u64,
}

impl Seen {
    fn add(&mut self, sample: u64) {
        // SplitMix64's finaliser.
        let mut z = sample.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.hash = self.hash.wrapping_add(z ^ (z >> 31));
        self.count += 1;
    }
}

struct OpenVideo {
    first: Row,
    sums: VideoSums,
    frames: usize,
}

struct OpenItem {
    video: usize,
    frame: Option<u64>,
    sums: FrameSums,
    seen: Seen,
}

impl Scores {
    /// Read predictions and reduce them over their samples.
    ///
    /// Errors: an unreadable file, no rows, files of different classes, several detectors or splits
    /// without a choice, rows of one video that disagree about it, or an item that lacks a sample or
    /// has one twice.
    pub fn read(paths: &[PathBuf], options: &Options) -> Result<Self, ReportError> {
        let mut open = Open::default();
        for path in paths {
            open.file(path, options)?;
        }
        open.finish(paths, options)
    }

    /// The videos or items of one level.
    pub fn scored(&self, level: crate::Level) -> Vec<(&Video, &Scored)> {
        match level {
            crate::Level::Video => self.videos.iter().map(|video| (video, &video.scored)).collect(),
            _ => self.frames.iter().map(|frame| (&self.videos[frame.video], &frame.scored)).collect(),
        }
    }

    /// Frames worth looking at: the one nearest the middle of each origin's scores, the most certain
    /// right and wrong one, and the most doubtful one. Ties go to the first by name.
    pub fn examples(&self) -> Vec<Notable> {
        let mut chosen = Vec::new();
        let mut add = |group: String, frame: Option<&Frame>| {
            if let Some(frame) = frame {
                let video = &self.videos[frame.video];
                chosen.push(Notable {
                    group,
                    caption: self.caption(frame),
                    item: frame.item.clone(),
                    video: video.name.clone(),
                    frame: frame.frame,
                });
            }
        };
        let origins: BTreeSet<&Origin> = self.videos.iter().map(|video| &video.origin).collect();
        for origin in origins {
            let mut of: Vec<&Frame> = self.frames.iter().filter(|f| self.videos[f.video].origin == *origin).collect();
            of.sort_by(|a, b| self.fakeness(&a.scored).total_cmp(&self.fakeness(&b.scored)));
            add(format!("typical: {}", origin.title()), of.get(of.len() / 2).copied());
        }
        let by_doubt = |a: &&Frame, b: &&Frame| a.scored.total.total_cmp(&b.scored.total);
        let right = |frame: &&Frame| is_right(&frame.scored);
        add("most certain and right".into(), self.frames.iter().filter(right).min_by(by_doubt));
        add("most certain and wrong".into(), self.frames.iter().filter(|f| !right(f)).min_by(by_doubt));
        add("most doubtful".into(), self.frames.iter().rev().max_by(by_doubt));
        chosen
    }

    fn caption(&self, frame: &Frame) -> String {
        let scored = &frame.scored;
        format!(
            "{}: P(fake) {:.2}, total uncertainty {:.3} nats ({:.3} aleatoric, {:.3} epistemic)",
            self.videos[frame.video].origin.title(),
            self.fakeness(scored),
            scored.total,
            scored.aleatoric,
            scored.epistemic
        )
    }

    /// Probability of anything but `real` (of the positive class, where no class has that name).
    pub fn fakeness(&self, scored: &Scored) -> f64 {
        match (real_class(&self.task), self.task.positive) {
            (Some(real), _) => 1.0 - scored.probs[real],
            (None, Some(positive)) => scored.probs[positive],
            (None, None) => 1.0,
        }
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

#[derive(Default)]
struct Open {
    task: Option<(PathBuf, Task)>,
    has_videos: bool,
    items: HashMap<(usize, String), usize>,
    videos: HashMap<String, usize>,
    open_items: Vec<(String, OpenItem)>,
    open_videos: Vec<(String, OpenVideo)>,
    samples: BTreeSet<u64>,
    detectors: BTreeSet<String>,
    splits: BTreeSet<String>,
}

impl Open {
    fn file(&mut self, path: &Path, options: &Options) -> Result<(), ReportError> {
        let mut reader = PredictionReader::open(path)?;
        let task = reader.task().clone();
        match &self.task {
            Some((first, expected)) if *expected != task => {
                return Err(ReportError::ClassesDiffer {
                    path: path.into(),
                    found: task.classes,
                    first: first.clone(),
                    expected: expected.classes.clone(),
                });
            }
            Some(_) => {}
            None => self.task = Some((path.into(), task.clone())),
        }
        self.has_videos |= reader.has_video();
        let mut row = Row::default();
        while reader.read(&mut row)? {
            if keep(&mut self.detectors, &row.detector, &options.detector)
                && keep(&mut self.splits, &row.split, &options.split)
            {
                self.row(&row, &reader, task.classes.len())?;
            }
        }
        Ok(())
    }

    fn row(&mut self, row: &Row, reader: &PredictionReader, classes: usize) -> Result<(), ReportError> {
        let name = row.video.as_ref().unwrap_or(&row.item);
        let video = match self.videos.get(name) {
            Some(&video) => {
                self.open_videos[video].1.agrees(name, row, reader)?;
                video
            }
            None => {
                let video = self.open_videos.len();
                self.videos.insert(name.clone(), video);
                let first = Row { probs: Vec::new(), ..row.clone() };
                self.open_videos.push((name.clone(), OpenVideo { first, sums: VideoSums::new(classes), frames: 0 }));
                video
            }
        };
        // A frame's name need only be unique in its video.
        let key = (video, row.item.clone());
        let item = *self.items.entry(key).or_insert_with(|| {
            let sums = FrameSums::new(classes);
            self.open_videos[video].1.frames += 1;
            self.open_items.push((row.item.clone(), OpenItem { video, frame: row.frame, sums, seen: Seen::default() }));
            self.open_items.len() - 1
        });
        let place = |source| ReportError::Stats {
            place: format!("{}: row {}", reader.path().display(), reader.row_number()),
            source,
        };
        let item = &mut self.open_items[item].1;
        item.sums.push(&row.probs).map_err(place)?;
        item.seen.add(row.sample);
        self.open_videos[video].1.sums.push(row.sample, &row.probs).map_err(place)?;
        if !self.samples.contains(&row.sample) {
            self.samples.insert(row.sample);
        }
        Ok(())
    }

    fn finish(mut self, paths: &[PathBuf], options: &Options) -> Result<Scores, ReportError> {
        let detector = only("detector", self.detectors, &options.detector)?;
        let split = only("split", self.splits, &options.split)?;
        let Some((_, task)) = self.task.filter(|_| !self.open_items.is_empty()) else {
            return Err(ReportError::Empty { path: paths.first().cloned().unwrap_or_default() });
        };
        let mut expected = Seen::default();
        self.samples.iter().for_each(|&sample| expected.add(sample));

        // Sorted by name, so that no number depends on the order of reading.
        let mut order: Vec<usize> = (0..self.open_videos.len()).collect();
        order.sort_by(|&a, &b| self.open_videos[a].0.cmp(&self.open_videos[b].0));
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(to, &from)| place[from] = to);
        let clustered_by = match &self.open_videos {
            videos if videos.iter().all(|(_, video)| video.first.identity.is_some()) => ClusteredBy::Identity,
            _ if self.has_videos => ClusteredBy::Video,
            _ => ClusteredBy::Item,
        };
        let cluster_name = |video: &(String, OpenVideo)| match clustered_by {
            ClusteredBy::Identity => video.1.first.identity.clone().unwrap_or_default(),
            _ => video.0.clone(),
        };
        let names: BTreeSet<String> = self.open_videos.iter().map(cluster_name).collect();
        let clusters: HashMap<&String, u32> = names.iter().zip(0..).collect();

        self.open_items.sort_by(|(a_name, a), (b_name, b)| {
            (place[a.video], a.frame, a_name).cmp(&(place[b.video], b.frame, b_name))
        });
        let mut frames = Vec::with_capacity(self.open_items.len());
        for (item, open) in self.open_items {
            if open.seen != expected {
                return Err(ReportError::Samples { item, found: open.seen.count, expected: expected.count });
            }
            let video = &self.open_videos[open.video];
            let cluster = clusters.get(&cluster_name(video)).copied().unwrap_or(0);
            let scored = open
                .sums
                .finish(video.1.first.label, cluster)
                .map_err(|source| ReportError::Stats { place: item.clone(), source })?;
            frames.push(Frame { item, video: place[open.video], frame: open.frame, scored });
        }
        let mut videos = Vec::with_capacity(order.len());
        for from in order {
            let (name, open) = &self.open_videos[from];
            let cluster = clusters.get(&cluster_name(&self.open_videos[from])).copied().unwrap_or(0);
            let scored = open
                .sums
                .finish(open.first.label, cluster)
                .map_err(|source| ReportError::Stats { place: name.clone(), source })?;
            videos.push(Video {
                name: name.clone(),
                origin: origin(&open.first, &task),
                identity: open.first.identity.clone(),
                dataset: open.first.dataset.clone(),
                fold: open.first.fold.clone(),
                frames: open.frames,
                scored,
            });
        }
        Ok(Scores {
            task,
            frames,
            videos,
            has_videos: self.has_videos,
            samples: self.samples.len(),
            clustered_by,
            clusters: names.len(),
            detector,
            split,
        })
    }
}

impl OpenVideo {
    /// That a row says of the video what its first row said.
    fn agrees(&self, name: &str, row: &Row, reader: &PredictionReader) -> Result<(), ReportError> {
        let first = &self.first;
        let texts: [(&'static str, &Option<String>, &Option<String>); 5] = [
            ("generator", &first.generator, &row.generator),
            ("control", &first.control, &row.control),
            ("identity", &first.identity, &row.identity),
            ("dataset", &first.dataset, &row.dataset),
            ("fold", &first.fold, &row.fold),
        ];
        let class = |label: usize| reader.task().classes[label].clone();
        let words = |text: &Option<String>| text.clone().unwrap_or_default();
        let found = if first.label != row.label {
            Some(("label", class(first.label), class(row.label)))
        } else {
            texts.iter().find(|(_, a, b)| a != b).map(|(column, a, b)| (*column, words(a), words(b)))
        };
        match found {
            None => Ok(()),
            Some((column, first, second)) => Err(ReportError::Conflict {
                path: reader.path().into(),
                row: reader.row_number(),
                column,
                what: name.into(),
                first,
                second,
            }),
        }
    }
}

fn origin(row: &Row, task: &Task) -> Origin {
    let class = &task.classes[row.label];
    let is_real = match real_class(task) {
        Some(real) => row.label == real,
        None => false,
    };
    match (&row.control, is_real, &row.generator) {
        (Some(control), true, _) => Origin::Control(control.clone()),
        (None, true, _) => Origin::Real,
        (_, false, Some(generator)) => Origin::Generator(generator.clone()),
        (_, false, None) => Origin::Generator(class.clone()),
    }
}

/// Note a row's detector or split, and say whether the row is wanted.
fn keep(seen: &mut BTreeSet<String>, found: &Option<String>, wanted: &Option<String>) -> bool {
    let found = found.as_deref().unwrap_or_default();
    if !seen.contains(found) {
        seen.insert(found.to_string());
    }
    wanted.as_deref().is_none_or(|wanted| wanted == found)
}

/// The one detector or split that was evaluated.
fn only(column: &'static str, seen: BTreeSet<String>, wanted: &Option<String>) -> Result<Option<String>, ReportError> {
    match wanted {
        Some(wanted) if !seen.is_empty() && !seen.contains(wanted) => {
            Err(ReportError::NoSuch { column, wanted: wanted.clone(), found: seen.into_iter().collect() })
        }
        Some(wanted) => Ok(Some(wanted.clone())),
        None if seen.len() > 1 => Err(ReportError::Several { column, found: seen.into_iter().collect() }),
        None => Ok(seen.into_iter().next().filter(|name| !name.is_empty())),
    }
}
