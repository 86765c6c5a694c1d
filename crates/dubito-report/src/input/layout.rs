//! Which column is what: names and options to a layout.

use dubito_stats::Task;
use dubito_table::{Kind, Wanted};
use serde::Serialize;

use super::rows::class_of;
use super::{InputOptions, Table};
use crate::ReportError;

/// What may be known about a video (or an item), as text, besides its label.
pub const FACTS: [&str; 7] = ["generator", "control", "identity", "donor", "dataset", "split", "fold"];

/// As what the probabilities of several classes, one of them `real`, are read. Other files are read as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// As real against fake: P(fake) = 1 - P(real), in each sample; every label but `real` is fake.
    #[default]
    RealFake,
    /// As the classes that they are. Fakes of none of them (label `fake`) are left out.
    Classes,
    /// The same, and those fakes too, under a label that means nothing (of the first class that is not `real`).
    Everything,
}

/// What is asked of every file of one evaluation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub view: View,
    pub input: InputOptions,
    /// More columns to keep, for grouping.
    pub by: Vec<String>,
    /// Only this detector.
    pub detector: Option<String>,
    /// Only this split.
    pub split: Option<String>,
}

impl Request {
    /// The facts that are kept: [`FACTS`], then what else grouping was asked for.
    pub fn facts(&self) -> Vec<String> {
        let mut facts: Vec<String> = FACTS.map(String::from).to_vec();
        for name in &self.by {
            if !facts.contains(name) && name != "detector" {
                facts.push(name.clone());
            }
        }
        facts
    }
}

/// One column and what it is read as.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Use {
    /// The column, as the file names it.
    pub column: String,
    /// What it is read as, by our name; `None` where it is not read.
    pub read_as: Option<String>,
    /// Why.
    pub because: String,
}

/// How the probabilities are given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scoring {
    /// One column of P(fake).
    Fake(usize),
    /// One column for each class.
    Classes(Vec<usize>),
    /// Samples that are reduced already.
    Reduced { mean: usize, entropy: usize, samples: Option<usize> },
    /// One column of P(fake) for each detector, by its name.
    Wide(Vec<(String, usize)>),
}

/// A file's columns by what they are; each is a slot of the blocks that are read.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// What the scores are read as.
    pub task: Task,
    /// The classes of the file.
    pub classes: Task,
    /// Index of `real` among several classes.
    pub real: Option<usize>,
    pub view: View,
    pub wanted: Vec<Wanted>,
    pub item: Option<usize>,
    pub label: usize,
    pub sample: Option<usize>,
    pub frame: Option<usize>,
    pub video: Option<usize>,
    pub detector: Option<usize>,
    /// In the order of [`Request::facts`].
    pub facts: Vec<Option<usize>>,
    pub scoring: Scoring,
    pub uses: Vec<Use>,
}

/// Whether the name of a column is about what is real, and not about what is fake.
fn says_real(column: &str) -> bool {
    const REAL: [&str; 6] = ["real", "genuine", "bonafide", "pristine", "authentic", "original"];
    const FAKE: [&str; 5] = ["fake", "spoof", "manipulated", "forged", "synthetic"];
    let name = column.to_lowercase();
    let mut words = name.split(|c: char| !c.is_alphabetic());
    words.any(|word| REAL.contains(&word.strip_prefix("is").unwrap_or(word))) && !FAKE.iter().any(|f| name.contains(f))
}

/// What a label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Labelled {
    /// A class of the task.
    Class(usize),
    /// A fake that the view leaves out.
    LeftOut,
}

impl Layout {
    /// What a label says; `None` where it is no class.
    pub fn labelled(&self, label: &str) -> Option<Labelled> {
        let class = class_of(label, &self.classes);
        let Some(real) = self.real else { return class.map(Labelled::Class) };
        let is_other = class.is_none() && label.eq_ignore_ascii_case("fake");
        match self.view {
            _ if class.is_none() && !is_other => None,
            View::RealFake => Some(Labelled::Class(usize::from(class != Some(real)))),
            View::Classes if is_other => Some(Labelled::LeftOut),
            View::Classes | View::Everything => Some(Labelled::Class(class.unwrap_or(usize::from(real == 0)))),
        }
    }

    /// The columns whose name says the opposite of what they are read as, in a sentence each.
    pub fn opposites(&self) -> Vec<String> {
        let opposite = |column: &Use| {
            let meaning = match column.read_as.as_deref()? {
                "label" => "label, where 0 is real and 1 is fake",
                read if read == "p_fake" || read.starts_with("p_fake of") => "P(fake)",
                _ => return None,
            };
            says_real(&column.column)
                .then(|| format!("column {} is read as {meaning}; its name says the opposite", column.column))
        };
        self.uses.iter().filter_map(opposite).collect()
    }

    /// The slot of the column `split`.
    pub fn split(&self) -> Option<usize> {
        self.facts[5]
    }

    /// Whether an item is the frame of a video, and has no other name.
    pub fn names_frames(&self) -> bool {
        self.item.is_none() && self.video.is_some() && self.frame.is_some()
    }

    /// Whether an item may take several rows of one detector, or a row hold several samples.
    pub fn has_samples(&self, ensemble: bool) -> bool {
        self.sample.is_some() || ensemble
    }

    /// Find out. Errors: a column that is needed and missing, or a choice that fits nothing.
    pub fn of(table: &Table, request: &Request) -> Result<Self, ReportError> {
        let mut finder = Finder::new(table, request)?;
        let scoring_and_task = finder.scoring()?;
        finder.layout(scoring_and_task)
    }
}

/// The columns under our names while a layout is made of them.
struct Finder<'a> {
    table: &'a Table,
    request: &'a Request,
    /// Our name of each column; `None` for one whose name another column took.
    names: Vec<Option<String>>,
    wanted: Vec<Wanted>,
    uses: Vec<Use>,
}

const PROBABILITY: &str = "a probability from 0 to 1 (logits: --logits)";
const LOGIT: &str = "a number";

impl<'a> Finder<'a> {
    fn new(table: &'a Table, request: &'a Request) -> Result<Self, ReportError> {
        let mut names: Vec<Option<String>> = table.names.iter().cloned().map(Some).collect();
        let mut uses: Vec<Use> = table
            .names
            .iter()
            .map(|name| Use {
                column: name.clone(),
                read_as: None,
                because: "no name that is known: --by keeps it for grouping, --map gives it a meaning".into(),
            })
            .collect();
        for (ours, theirs) in &request.input.map {
            let Some(at) = table.names.iter().position(|name| name == theirs) else {
                return Err(ReportError::MissingColumn {
                    path: table.path.clone(),
                    expected: format!("{theirs} (asked for by --map {ours}={theirs})"),
                    found: table.names.clone(),
                });
            };
            for other in 0..names.len() {
                if other != at && names[other].as_ref() == Some(ours) {
                    names[other] = None;
                    uses[other].because = format!("--map reads {theirs} as {ours} instead");
                }
            }
            names[at] = Some(ours.clone());
        }
        Ok(Self { table, request, names, wanted: Vec::new(), uses })
    }

    fn at(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n.as_deref() == Some(name))
    }

    fn missing(&self, expected: impl Into<String>) -> ReportError {
        ReportError::MissingColumn {
            path: self.table.path.clone(),
            expected: expected.into(),
            found: self.table.names.clone(),
        }
    }

    /// Read a column, and say as what.
    fn want(&mut self, column: usize, kind: Kind, expected: &'static str, read_as: &str, because: &str) -> usize {
        self.uses[column].read_as = Some(read_as.into());
        self.uses[column].because = because.into();
        self.wanted.push(Wanted { column, name: self.table.names[column].clone(), kind, expected });
        self.wanted.len() - 1
    }

    fn named(&mut self, name: &str, kind: Kind, expected: &'static str) -> Option<usize> {
        let column = self.at(name)?;
        let because = if self.table.names[column] == name { "by its name" } else { "by --map" };
        self.names[column] = None;
        Some(self.want(column, kind, expected, name, because))
    }

    /// The columns that hold the scores, and the task that follows.
    fn scoring(&mut self) -> Result<(Scoring, Task), ReportError> {
        let InputOptions { detector_columns, logits, as_ensemble, .. } = &self.request.input;
        if !detector_columns.is_empty() {
            return self.wide(detector_columns);
        }
        if *as_ensemble && self.at("detector").is_none() {
            return Err(self.missing("detector (--as-ensemble needs it, or --detector-column NAME,NAME)"));
        }
        let expected = if *logits { LOGIT } else { PROBABILITY };
        if let Some(slot) = self.named("p_fake", Kind::Number, expected) {
            return Ok((Scoring::Fake(slot), Task::binary()));
        }
        if let (true, Some(column)) = (*logits, self.at("logit_fake").or(self.at("logit"))) {
            let slot = self.want(column, Kind::Number, LOGIT, "p_fake", "its sigmoid, as --logits says");
            return Ok((Scoring::Fake(slot), Task::binary()));
        }
        if let (Some(mean), Some(entropy)) = (self.at("p_mean"), self.at("expected_entropy")) {
            if *logits || *as_ensemble {
                let problem = "p_mean is reduced already: it can be neither a logit nor the member of an ensemble";
                return Err(ReportError::Layout { path: self.table.path.clone(), problem: problem.into() });
            }
            let mean = self.want(mean, Kind::Number, PROBABILITY, "p_mean", "by its name");
            let entropy = self.want(entropy, Kind::Number, "an entropy in nats", "expected_entropy", "by its name");
            let samples = self.named("samples", Kind::Whole, "the number of samples, 1 or more");
            return Ok((Scoring::Reduced { mean, entropy, samples }, Task::binary()));
        }
        self.classes(*logits, expected)
    }

    fn classes(&mut self, logits: bool, expected: &'static str) -> Result<(Scoring, Task), ReportError> {
        let with = |prefix: &str| -> Vec<(usize, String)> {
            let name = |at: usize| Some((at, self.names[at].as_ref()?.strip_prefix(prefix)?.to_string()));
            (0..self.names.len()).filter_map(name).collect()
        };
        let mut classes = with("prob_");
        if classes.len() < 2 && logits {
            classes = with("logit_");
        }
        if classes.len() < 2 {
            let hint = if self.at("p_mean").is_some() {
                "expected_entropy beside p_mean (or, if p_mean is the only score: --map p_fake=p_mean)"
            } else if self.names.iter().flatten().any(|name| name.starts_with("logit")) && !logits {
                "p_fake (or prob_<class> for each of two classes or more; logits: --logits)"
            } else {
                "p_fake (or prob_<class> for each of two classes or more; other names: --map p_fake=NAME, or --detector-column NAME for each detector)"
            };
            return Err(self.missing(hint));
        }
        let mut sorted: Vec<&str> = classes.iter().map(|(_, class)| class.as_str()).collect();
        sorted.sort_unstable();
        let task = if sorted == ["fake", "real"] {
            classes.sort_by(|a, b| b.1.cmp(&a.1));
            Task::binary()
        } else {
            Task::multiclass(classes.iter().map(|(_, class)| class.clone()))
        };
        let because = if logits { "by its name; softmax, as --logits says" } else { "by its name" };
        let slots = classes
            .iter()
            .map(|(column, class)| self.want(*column, Kind::Number, expected, &format!("prob_{class}"), because))
            .collect();
        Ok((Scoring::Classes(slots), task))
    }

    fn wide(&mut self, patterns: &[String]) -> Result<(Scoring, Task), ReportError> {
        let mut columns: Vec<usize> = Vec::new();
        for pattern in patterns {
            let before = columns.len();
            let found = (0..self.names.len()).filter(|&at| {
                self.names[at].as_ref().is_some_and(|name| matches(pattern, name)) || self.table.names[at] == *pattern
            });
            let found: Vec<usize> = found.collect();
            columns.extend(found.iter().copied().filter(|at| !columns[..before].contains(at)).collect::<Vec<_>>());
            if found.is_empty() {
                return Err(self.missing(format!("{pattern} (asked for by --detector-column)")));
            }
        }
        if let Some(wanted) = &self.request.detector {
            let named = |&at: &usize| self.table.names[at] == *wanted;
            if !columns.iter().any(named) {
                let found = columns.iter().map(|&at| self.table.names[at].clone()).collect();
                return Err(ReportError::NoSuch { column: "detector", wanted: wanted.clone(), found });
            }
            columns.retain(named);
        }
        if self.request.input.as_ensemble && columns.len() < 2 {
            return Err(self.missing("a second detector: an ensemble has two members or more"));
        }
        let logits = self.request.input.logits;
        let (expected, because) = if logits {
            (LOGIT, "--detector-column; its sigmoid, as --logits says")
        } else {
            (PROBABILITY, "--detector-column")
        };
        let detectors = columns
            .into_iter()
            .map(|column| {
                let name = self.table.names[column].clone();
                let read_as = format!("p_fake of the detector {name}");
                (name, self.want(column, Kind::Number, expected, &read_as, because))
            })
            .collect();
        Ok((Scoring::Wide(detectors), Task::binary()))
    }

    fn layout(mut self, (scoring, task): (Scoring, Task)) -> Result<Layout, ReportError> {
        let taken: Vec<usize> = self.wanted.iter().map(|w| w.column).collect();
        taken.iter().for_each(|&column| self.names[column] = None);
        let label = self
            .named("label", Kind::Text, "the true class")
            .ok_or_else(|| self.missing("label (another name: --map label=NAME)"))?;
        let item = self.named("item", Kind::Name, "the name of the item");
        let sample = self.named("sample", Kind::Whole, "a whole number, 0 or more");
        let frame = self.named("frame", Kind::Whole, "a whole number, 0 or more");
        let video = self.named("video", Kind::Name, "the name of the video");
        let is_wide = matches!(scoring, Scoring::Wide(_));
        let detector = match (is_wide, self.at("detector")) {
            (true, Some(column)) => {
                self.uses[column].because = "each detector has a column of its own".into();
                None
            }
            _ => self.named("detector", Kind::Name, "the name of the detector"),
        };
        if sample.is_some() && matches!(scoring, Scoring::Reduced { .. }) {
            let problem = "p_mean is reduced over the samples already, but there is a column sample too: remove one (raw samples are p_fake)";
            return Err(ReportError::Layout { path: self.table.path.clone(), problem: problem.into() });
        }
        let several_rows = sample.is_some() || (self.request.input.as_ensemble && !is_wide) || detector.is_some();
        if item.is_none() && several_rows && (video.is_none() || frame.is_none()) {
            let why =
                "item (or video and frame: an item has several rows, and needs a name; another name: --map item=NAME)";
            return Err(self.missing(why));
        }
        let mut facts = Vec::new();
        for name in self.request.facts() {
            // What was asked for with --by may well have the value "none".
            let kind = if FACTS.contains(&name.as_str()) { Kind::Name } else { Kind::Text };
            let slot = self.named(&name, kind, "text");
            if slot.is_none() && self.request.by.contains(&name) {
                let why =
                    "asked for by --by, which takes columns without another meaning, generator, dataset, split, ...";
                return Err(self.missing(format!("{name} ({why})")));
            }
            facts.push(slot);
        }
        let real = task.classes.iter().position(|class| class == "real").filter(|_| task.positive.is_none());
        let is_real_fake = real.is_some() && self.request.view == View::RealFake;
        Ok(Layout {
            task: if is_real_fake { Task::binary() } else { task.clone() },
            classes: task,
            real,
            view: self.request.view,
            wanted: self.wanted,
            item,
            label,
            sample,
            frame,
            video,
            detector,
            facts,
            scoring,
            uses: self.uses,
        })
    }
}

/// Whether a name fits a pattern, in which `*` stands for anything and `?` for one character.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                // The star takes one character more.
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("prob_*", "prob_sbi", true),
            ("prob_*", "prob", false),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*b", "abab", true),
            ("*ab", "aab", true),
            ("", "", true),
            ("", "a", false),
            ("ä*", "äb", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
