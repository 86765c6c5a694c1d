//! The report's tables of numbers, in words already; the page, and LaTeX, show the same.

use dubito_stats::{Estimate, Scale};

use crate::classes::MULTICLASS;
use crate::comparison::Pair;
use crate::decisions::Decisions;
use crate::evaluate::{Group, Level, Metrics};
use crate::generators::AcrossGenerators;
use crate::scores::Origin;
use crate::unseen::Unseen;

/// One table of numbers, with the reasons for what it lacks below it.
pub(crate) struct Shown {
    pub title: String,
    pub caption: String,
    pub header: Vec<String>,
    pub rows: Vec<(String, String, Vec<Cell>)>,
    /// Which columns behind the first hold words, not numbers; those that are not listed hold numbers.
    pub words: Vec<bool>,
    pub notes: Vec<(usize, String)>,
}

pub(crate) struct Cell {
    pub value: String,
    pub interval: String,
    pub note: usize,
}

/// The groups of the reals, each control and each generator, in this order.
pub(crate) fn origin_groups(metrics: &Metrics, level: Level) -> Vec<(Origin, &Group)> {
    let mut found: Vec<(Origin, &Group)> = metrics
        .groups
        .iter()
        .filter(|group| group.level == level && group.by.len() == 1)
        .filter_map(|group| {
            let (key, value) = group.by.iter().next()?;
            let origin = match (key.as_str(), value.as_str()) {
                ("generator", "real") => Origin::Real,
                ("generator", name) => Origin::Generator(name.into()),
                ("control", name) => Origin::Control(name.into()),
                _ => return None,
            };
            Some((origin, group))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Cells of one table, which number the reasons for what is undefined.
#[derive(Default)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    fn cell(&mut self, estimate: &Estimate) -> Cell {
        self.cell_as(estimate, |value| format!("{value:.3}"))
    }

    /// The cell of an estimate whose numbers are written so.
    pub fn cell_as(&mut self, estimate: &Estimate, number: impl Fn(f64) -> String) -> Cell {
        let note = match &estimate.undefined_because {
            None => 0,
            Some(reason) => {
                let at = self.0.iter().position(|known| known == reason).unwrap_or_else(|| {
                    self.0.push(reason.clone());
                    self.0.len() - 1
                });
                at + 1
            }
        };
        let interval = match (estimate.low, estimate.high) {
            (Some(low), Some(high)) => format!("{} to {}", number(low), number(high)),
            _ => String::new(),
        };
        Cell { value: estimate.value.map_or("–".into(), number), interval, note }
    }

    pub fn numbered(self) -> Vec<(usize, String)> {
        self.0.into_iter().enumerate().map(|(at, reason)| (at + 1, reason)).collect()
    }
}

/// Metrics of the overall table: name, words, whether more is better.
const OVERALL: [(&str, &str); 20] = [
    ("accuracy", "share of right answers"),
    ("balanced_accuracy", "mean of the classes' recalls"),
    ("auroc", "0.5 is guessing, 1 is perfect"),
    ("average_precision", "of the fakes; guessing gives their share"),
    ("false_alarm_rate", "share of the reals called fake"),
    ("miss_rate", "share of the fakes called real"),
    ("nll", "negative log-likelihood, nats; smaller is better"),
    ("brier", "squared error of P(fake); smaller is better"),
    ("ece_top15", "calibration error of the confidence"),
    ("ece_top15_if_calibrated", "what chance alone gives a calibrated detector"),
    ("ece_pos15", "calibration error of P(fake)"),
    ("aurc", "mean risk over all coverages; smaller is better"),
    ("augrc", "generalised risk over all coverages; smaller is better"),
    ("misclassification_auroc_total", "does total uncertainty find the errors? 0.5 is guessing"),
    ("misclassification_auroc_aleatoric", "the same of the aleatoric part"),
    ("misclassification_auroc_epistemic", "the same of the epistemic part"),
    ("total", "mean total uncertainty, nats"),
    ("aleatoric", "doubt that lies in the data, nats"),
    ("between_frames", "doubt from frames that differ, nats (videos only)"),
    ("epistemic", "doubt that lies in the model, nats"),
];

pub(crate) fn tables(metrics: &Metrics) -> Vec<Shown> {
    let levels: Vec<Level> =
        [Level::Video, Level::Frame, Level::Item].into_iter().filter(|l| metrics.group(&[], *l).is_some()).collect();
    let overall: Vec<&Group> = levels.iter().filter_map(|&level| metrics.group(&[], level)).collect();
    let mut notes = Notes::default();
    let rows = OVERALL
        .iter()
        .filter(|(name, _)| overall.iter().any(|group| group.metrics.contains_key(*name)))
        .map(|(name, words)| {
            let cells = overall.iter().map(|group| notes.cell(&group.metric(name))).collect();
            (name.to_string(), words.to_string(), cells)
        })
        .collect();
    let heads = overall.iter().map(|group| format!("{} {}", group.items, group.level.plural()));
    let mut all = vec![Shown {
        title: "Overall".into(),
        caption: "Under each number its interval. Resampling adds noise of its own to a calibration error, so its interval sits high; compare the error with what chance alone gives.".into(),
        header: ["Metric".to_string()].into_iter().chain(heads).collect(),
        rows,
        words: Vec::new(),
        notes: notes.numbered(),
    }];
    for &level in &levels {
        all.extend(by_origin_table(metrics, level));
    }
    let folds: Vec<&Group> =
        metrics.groups.iter().filter(|g| g.level == metrics.top_level() && g.by.contains_key("fold")).collect();
    if !folds.is_empty() {
        let mut notes = Notes::default();
        let columns = ["accuracy", "auroc", "ece_top15", "total", "aleatoric", "epistemic"];
        let rows = folds
            .iter()
            .map(|group| {
                let cells = columns.iter().map(|name| notes.cell(&group.metric(name))).collect();
                (format!("fold {}", group.by["fold"]), format!("n = {}", group.items), cells)
            })
            .collect();
        all.push(Shown {
            title: format!("By fold, {}", metrics.top_level().plural()),
            caption: "Each fold was held out from a detector of its own. If they differ much, the result hangs on who was in the training data.".into(),
            header: ["Fold", "Accuracy", "AUROC", "ECE", "Total", "Aleatoric", "Epistemic"].map(String::from).to_vec(),
            rows,
            words: Vec::new(),
            notes: notes.numbered(),
        });
    }
    all
}

fn by_origin_table(metrics: &Metrics, level: Level) -> Option<Shown> {
    let groups = origin_groups(metrics, level);
    if groups.is_empty() {
        return None;
    }
    let mut notes = Notes::default();
    let controls = groups.iter().any(|(origin, _)| matches!(origin, Origin::Control(_)));
    let against: &[&str] = if controls { &["untouched", "real"] } else { &["real"] };
    let rows = groups
        .iter()
        .map(|(origin, group)| {
            let (called_fake, name) = match origin {
                Origin::Generator(name) => (complement(&group.metric("miss_rate")), Some(name)),
                _ => (group.metric("false_alarm_rate"), None),
            };
            let mut cells = vec![notes.cell(&called_fake)];
            cells.extend(against.iter().map(|reals| match name {
                Some(name) => {
                    let both = metrics.group(&[("generator", name), ("against", reals)], level);
                    notes.cell(&both.map_or_else(|| group.metric("auroc"), |g| g.metric("auroc")))
                }
                None => Cell { value: String::new(), interval: String::new(), note: 0 },
            }));
            let parts = ["total", "aleatoric", "between_frames", "epistemic"];
            let parts = parts.iter().filter(|name| level == Level::Video || **name != "between_frames");
            cells.extend(parts.map(|name| notes.cell(&group.metric(name))));
            (origin.title(), format!("n = {}", group.items), cells)
        })
        .collect();
    let mut header = vec!["Origin", "Called fake"];
    header.extend(if controls { ["AUROC", "AUROC with controls"].as_slice() } else { &["AUROC"] });
    header.extend(["Total", "Aleatoric"]);
    if level == Level::Video {
        header.push("Between frames");
    }
    header.push("Epistemic");
    Some(Shown {
        title: format!("By generator, {}", level.plural()),
        caption: "Called fake: a false alarm for reals and null controls, a catch for fakes. The AUROC sets the fakes of one generator against the untouched reals; with controls, against the null controls too. Uncertainties are means over the row's own items, in nats.".into(),
        header: header.into_iter().map(String::from).collect(),
        rows,
        words: Vec::new(),
        notes: notes.numbered(),
    })
}

/// One minus a share, with its interval turned round.
fn complement(share: &Estimate) -> Estimate {
    let minus = |value: Option<f64>| value.map(|v| 1.0 - v);
    Estimate {
        value: minus(share.value),
        low: minus(share.high),
        high: minus(share.low),
        undefined_because: share.undefined_because.clone(),
    }
}

impl Shown {
    fn new(title: impl Into<String>, caption: impl Into<String>, header: &[&str]) -> Self {
        let header = header.iter().map(|head| head.to_string()).collect();
        Self {
            title: title.into(),
            caption: caption.into(),
            header,
            rows: Vec::new(),
            words: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Of its title, for a file.
    pub fn file_name(&self) -> String {
        let name: String =
            self.title.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        name.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
    }

    /// As a LaTeX table (package `booktabs`): the interval behind the number, the reasons below.
    pub fn latex(&self, label: &str) -> String {
        let columns: String = (0..self.header.len().saturating_sub(1))
            .map(|column| {
                let longest =
                    self.rows.iter().filter_map(|row| row.2.get(column)).map(|cell| cell.value.chars().count());
                match (self.words.get(column), longest.max()) {
                    (Some(true), Some(41..)) => "p{5cm}",
                    (Some(true), _) => "l",
                    _ => "r",
                }
            })
            .collect();
        let line = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
        let mut text = format!(
            "% \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n\\caption{{{}. {}}}\n\\label{{tab:{}}}\n\\begin{{tabular}}{{l{columns}}}\n\\toprule\n",
            escaped(&self.title),
            escaped(&self.caption),
            label
        );
        text += &line(self.header.iter().map(|head| escaped(head)).collect());
        text += "\\midrule\n";
        for (name, _, cells) in &self.rows {
            let cell = |cell: &Cell| {
                let mut text = escaped(&cell.value);
                if !cell.interval.is_empty() {
                    text += &format!(" ({})", escaped(&cell.interval));
                }
                if cell.note > 0 {
                    text += &format!("$^{{{}}}$", cell.note);
                }
                text
            };
            text += &line(std::iter::once(escaped(name)).chain(cells.iter().map(cell)).collect());
        }
        text += "\\bottomrule\n\\end{tabular}\n";
        for (number, reason) in &self.notes {
            text += &format!("\\par\\footnotesize $^{{{number}}}$ {}\n", escaped(reason));
        }
        text + "\\end{table}\n"
    }
}

/// Text that LaTeX takes for itself.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => safe.extend(['\\', c]),
            '\\' => safe += "\\textbackslash{}",
            '~' => safe += "\\textasciitilde{}",
            '^' => safe += "\\textasciicircum{}",
            '<' => safe += "\\textless{}",
            '>' => safe += "\\textgreater{}",
            '|' => safe += "\\textbar{}",
            '–' => safe += "--",
            '−' => safe += "$-$",
            '×' => safe += "$\\times$",
            '≤' => safe += "$\\le$",
            '≥' => safe += "$\\ge$",
            '…' => safe += "\\ldots{}",
            // Behind the end of a row these would belong to it.
            '[' | '*' => safe.extend(['{', c, '}']),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// A cell without a number of its own.
pub(crate) fn words(text: impl Into<String>) -> Cell {
    Cell { value: text.into(), interval: String::new(), note: 0 }
}

/// A table row by row, with its reasons numbered.
struct Rows {
    shown: Shown,
    notes: Notes,
}

impl Rows {
    fn new(title: impl Into<String>, caption: impl Into<String>, header: &[&str]) -> Self {
        Self { shown: Shown::new(title, caption, header), notes: Notes::default() }
    }

    fn row(&mut self, name: impl Into<String>, small: impl Into<String>, cells: Vec<Cell>) {
        self.shown.rows.push((name.into(), small.into(), cells));
    }

    fn cell(&mut self, estimate: &Estimate) -> Cell {
        self.notes.cell(estimate)
    }

    fn finish(mut self) -> Shown {
        self.shown.notes = self.notes.numbered();
        self.shown
    }
}

/// Doubt and accuracy from generator to generator; none with fewer than two generators.
pub(crate) fn across_table(across: &AcrossGenerators) -> Option<Shown> {
    if across.generators.len() < 2 {
        return None;
    }
    let mut table = Rows::new(
        "Doubt across generators",
        "Whether a detector doubts more where it is worse: a correlation below 0 says so. With few generators a p-value cannot be small.",
        &["Generator", "Caught", "Total", "Epistemic"],
    );
    let number = |value: f64| words(format!("{value:.3}"));
    for one in &across.generators {
        let epistemic = one.epistemic.map_or_else(|| words("not known"), number);
        let cells = vec![number(one.accuracy), number(one.total), epistemic];
        table.row(&one.generator, format!("n = {}", one.items), cells);
    }
    for (name, small, of) in [
        ("Spearman", "rank correlation with what is caught", |c: &dubito_stats::unseen::Correlations| {
            c.spearman.clone()
        }),
        ("Pearson", "linear correlation with what is caught", |c: &dubito_stats::unseen::Correlations| {
            c.pearson.clone()
        }),
    ]
        as [(&str, &str, fn(&dubito_stats::unseen::Correlations) -> dubito_stats::unseen::Correlation); 2]
    {
        let mut cells = vec![words("")];
        for correlations in [&across.total, &across.epistemic] {
            let found = of(correlations);
            let mut cell = table.cell(&found.value);
            if let Some(p) = found.p_value.value {
                cell.interval = format!("p = {p:.3}");
            }
            cells.push(cell);
        }
        table.row(name, small, cells);
    }
    Some(table.finish())
}

/// The view of several classes: its numbers, and what is called what.
pub(crate) fn class_tables(metrics: &Metrics) -> Vec<Shown> {
    let mut all = Vec::new();
    let levels = [Level::Video, Level::Frame, Level::Item];
    let by = [("task", MULTICLASS)];
    let groups: Vec<&Group> = levels.iter().filter_map(|&level| metrics.group(&by, level)).collect();
    if !groups.is_empty() {
        let heads: Vec<String> =
            groups.iter().map(|group| format!("{} {}", group.items, group.level.plural())).collect();
        let mut header = vec!["Metric"];
        header.extend(heads.iter().map(String::as_str));
        let mut table = Rows::new(
            "Several classes",
            "The same predictions as the classes that they are, of those alone that are of one of them. Every other table is of real against fake. Uncertainties are of the whole vector of probabilities, in nats.",
            &header,
        );
        for (name, words) in SEVERAL {
            let cells = groups.iter().map(|group| table.cell(&group.metric(name))).collect();
            table.row(name, words, cells);
        }
        all.push(table.finish());
    }
    for confusion in &metrics.confusion {
        let mut header = vec!["Made by"];
        header.extend(confusion.classes.iter().map(String::as_str));
        let mut table = Rows::new(
            "What is called what",
            format!(
                "How many {} of each class (rows) are called what (columns), by their largest probability. Rows of generators that were never seen have no right answer here but \"not real\".",
                confusion.level.plural()
            ),
            &header,
        );
        let seen = confusion.classes.iter().zip(&confusion.counts).map(|(name, counts)| (name, counts, ""));
        let unseen = confusion.unseen.iter().map(|(name, counts)| (name, counts, ", never seen"));
        for (name, counts, remark) in seen.chain(unseen) {
            let cells = counts.iter().map(|count| words(count.to_string())).collect();
            table.row(name, format!("n = {}{remark}", counts.iter().sum::<u64>()), cells);
        }
        all.push(table.finish());
    }
    all
}

/// What the table of several classes shows.
const SEVERAL: [(&str, &str); 11] = [
    ("accuracy", "share of right answers"),
    ("balanced_accuracy", "mean of the classes' recalls"),
    ("auroc", "mean over the classes of one against the rest; 0.5 is guessing"),
    ("nll", "negative log-likelihood, nats; smaller is better"),
    ("brier", "squared error summed over the classes, 0 to 2; smaller is better"),
    ("ece_top15", "calibration error of the confidence"),
    ("ece_top15_if_calibrated", "what chance alone gives a calibrated detector"),
    ("misclassification_auroc_total", "does total uncertainty find the errors? 0.5 is guessing"),
    ("total", "mean total uncertainty, nats"),
    ("aleatoric", "doubt that lies in the data, nats"),
    ("epistemic", "doubt that lies in the model, nats"),
];

/// What is made of generators that the detector never saw.
pub(crate) fn unseen_table(unseen: &Unseen) -> Shown {
    let plural = unseen.level.plural();
    let what = if unseen.task == MULTICLASS { "among all classes" } else { "between real and fake" };
    let title = if unseen.task == MULTICLASS { "Unseen generators, several classes" } else { "Unseen generators" };
    let mut table = Rows::new(
        title,
        format!(
            "Doubt {what}, in nats, on the fakes of generators that were left out of training, against that on {} seen {plural}, {} of them fakes. Rise: mean doubt on unseen fakes less that on seen fakes. AUROC, average precision and false alarms at 95 % found are of telling unseen fakes from all that was seen, reals too; 0.5 (of the AUROC) is guessing. Of the fakes seen, {} are caught.",
            unseen.seen,
            unseen.seen_fakes,
            unseen.seen_fakes_caught.value.map_or("–".into(), |v| format!("{v:.3}"))
        ),
        &[
            "Generator and doubt",
            "Caught",
            "Mean, unseen",
            "Mean, seen fakes",
            "Rise",
            "AUROC",
            "Average precision",
            "False alarms",
        ],
    );
    for fakes in &unseen.generators {
        let name = fakes.generator.as_deref().unwrap_or("all of them");
        for (at, kind) in ["total", "aleatoric", "between_frames", "epistemic"].into_iter().enumerate() {
            let Some(doubt) = fakes.doubts.get(kind) else { continue };
            let detection = &doubt.detection;
            let caught = if at == 0 { table.cell(&fakes.caught) } else { words("") };
            let mut cells = vec![caught];
            for estimate in [
                &doubt.unseen,
                &doubt.seen_fakes,
                &doubt.difference,
                &detection.auroc,
                &detection.average_precision,
                &detection.fpr_at_95_tpr,
            ] {
                cells.push(table.cell(estimate));
            }
            table.row(format!("{name}: {}", kind.replace('_', " ")), format!("n = {}", fakes.items), cells);
        }
    }
    table.finish()
}

/// A threshold in digits that tell it from 0 and 1.
fn as_given(threshold: f64) -> String {
    let short = format!("{threshold:.3}");
    let is_near = |end: f64| (threshold - end).abs() < 5e-4 && threshold != end;
    match () {
        _ if threshold.abs() >= 1e6 || is_near(0.0) => format!("{threshold:.3e}"),
        _ if is_near(1.0) => threshold.to_string(),
        _ => short,
    }
}

/// Everything decided, as tables.
pub(crate) fn decision_tables(decisions: &Decisions) -> Vec<Shown> {
    let (fit, judged) = (&decisions.calibration, &decisions.evaluated);
    let name = |split: &Option<String>| split.clone().unwrap_or_else(|| "unnamed".into());
    let plural = decisions.level.plural();
    let on = format!(
        "Chosen on {} {plural} ({}), judged on {} ({}).",
        fit.items,
        name(&fit.split),
        judged.items,
        name(&judged.split)
    );
    let mut all = Vec::new();

    let mut table = Rows::new(
        "Recalibration",
        format!(
            "{on} What the probabilities would be worth after each method; a smaller error is better, and the first row is as they came."
        ),
        &["Method", "NLL", "Brier", "ECE", "ECE, debiased", "KS error", "Accuracy"],
    );
    for entry in &decisions.recalibration {
        let columns = ["nll", "brier", "ece_top15", "ece_top15_debiased", "ks_calibration", "accuracy"];
        let why = entry.undefined_because.clone().unwrap_or_else(|| "not computed".into());
        let cells = columns
            .iter()
            .map(|column| {
                let missing = Estimate::undefined(why.clone());
                table.cell(entry.metrics.get(*column).unwrap_or(&missing))
            })
            .collect();
        table.row(entry.method, "", cells);
    }
    all.push(table.finish());

    if let Some(first) = decisions.thresholds.first() {
        let score = match first.scale {
            Scale::Probability => "P(fake)",
            Scale::LogOdds => "the logit of P(fake)",
        };
        let mut table = Rows::new(
            "Thresholds",
            format!("{on} At the threshold or above, {score} counts as fake."),
            &["Rule", "Threshold", "Fakes caught", "False alarms", "Accuracy"],
        );
        for entry in &decisions.thresholds {
            let mut cells = vec![table.notes.cell_as(&entry.threshold, as_given)];
            match &entry.evaluated {
                Some(found) => cells.extend([&found.tpr, &found.fpr, &found.accuracy].map(|e| table.cell(e))),
                None => cells.extend([(); 3].map(|()| words("–"))),
            }
            table.row(entry.rule, "", cells);
        }
        all.push(table.finish());
    }

    let beyond = match decisions.unseen.as_slice() {
        [] => String::new(),
        unseen => format!(
            " It does not hold for generators that the calibration split has none of ({}): what happened with them stands in the last columns or rows.",
            unseen.join(", ")
        ),
    };
    let mut table = Rows::new(
        "Prediction sets",
        format!(
            "{on} A set of classes that holds the true one as often as promised, for new {plural} exchangeable with those of the calibration.{beyond} A set of both classes means: cannot tell."
        ),
        &["Sets", "Promised", "Covered", "Covered, promise's own", "Mean size", "One class", "Every class"],
    );
    for sets in &decisions.sets {
        let quality = &sets.evaluated;
        let mut cells = vec![words(format!("{:.3}", sets.promised))];
        for estimate in
            [&quality.coverage, &sets.exchangeable.coverage, &quality.mean_size, &quality.singletons, &quality.full]
        {
            cells.push(table.cell(estimate));
        }
        let small = sets.expected.map(|(low, high)| format!("by chance {low:.3} to {high:.3}")).unwrap_or_default();
        table.row(&sets.name, small, cells);
        for (origin, quality) in &sets.by_origin {
            let mut cells = vec![words("")];
            cells.push(table.cell(&quality.coverage));
            cells.push(words(""));
            for estimate in [&quality.mean_size, &quality.singletons, &quality.full] {
                cells.push(table.cell(estimate));
            }
            table.row(format!("· {origin}"), format!("n = {}, not promised", quality.items), cells);
        }
    }
    all.push(table.finish());

    let mut table = Rows::new(
        "Abstention",
        format!(
            "{on} Above the threshold of doubt the detector abstains, so that errors stay below what is promised.{beyond} The guarantee holds under exchangeability only."
        ),
        &["Doubt and promise", "Threshold", "Answered", "Risk", "Risk, promise's own", "Kept"],
    );
    for entry in &decisions.abstention {
        use dubito_stats::guarantee::Promise;
        let promise = match entry.chosen.promise {
            Promise::WrongAmongAnswered { alpha, delta } => {
                format!("P(wrong | answered) ≤ {alpha}, in {:.0} % of calibrations", 100.0 * (1.0 - delta))
            }
            Promise::AnsweredAndWrong { alpha } => format!("P(answered and wrong) ≤ {alpha}, on average"),
        };
        let kept = |observed: &dubito_stats::guarantee::Observed| match (observed.violated, observed.clearly_violated) {
            (None, _) => "nothing answered",
            (Some(false), _) => "yes",
            (Some(true), Some(true)) => "violated",
            (Some(true), _) => "above, within chance",
        };
        let mut cells = vec![table.notes.cell_as(&entry.chosen.threshold, as_given)];
        for estimate in [&entry.evaluated.answered, &entry.evaluated.risk, &entry.exchangeable.risk] {
            cells.push(table.cell(estimate));
        }
        cells.push(words(kept(&entry.exchangeable)));
        table.row(entry.doubt, promise, cells);
        for (generator, observed) in &entry.unseen {
            let mut cells = vec![words("")];
            cells.push(table.cell(&observed.answered));
            cells.push(table.cell(&observed.risk));
            cells.extend([words(""), words(kept(observed))]);
            table.row(format!("· with {generator}"), "unseen, not promised", cells);
        }
    }
    all.push(table.finish());

    if !decisions.likelihood_ratios.is_empty() {
        let mut table = Rows::new(
            "Likelihood ratios",
            format!(
                "{on} Cost in bits: 0 is perfect, 1 says nothing, more than 1 does harm. The least cost is what the best recalibration on these very items would leave. Misleading: fakes with a ratio below 1, reals above. The limits are the largest log10 ratios that so many calibration {plural} can support."
            ),
            &["Recalibration", "Cllr", "Least", "Fakes misled", "Reals misled", "Limits"],
        );
        for entry in &decisions.likelihood_ratios {
            let why = Estimate::undefined(entry.undefined_because.clone().unwrap_or_else(|| "not computed".into()));
            let cells = match (&entry.cost, &entry.fitted) {
                (Some(cost), Some(fitted)) => {
                    let mut cells: Vec<Cell> =
                        [&cost.cllr, &cost.cllr_min, &cost.misleading_fakes, &cost.misleading_reals]
                            .map(|estimate| table.cell(estimate))
                            .into();
                    cells.push(words(format!("{:.2} to {:.2}", fitted.limits.low, fitted.limits.high)));
                    cells
                }
                _ => (0..5).map(|_| table.cell(&why)).collect(),
            };
            table.row(entry.recalibration, "", cells);
        }
        all.push(table.finish());
        if let Some(entry) = decisions.likelihood_ratios.iter().find(|entry| entry.fitted.is_some()) {
            let mut table = Rows::new(
                "Verbal scale",
                format!(
                    "{on} What would be said of each {} ({} recalibration), by the scale of the ENFSI guideline of 2015, never beyond the limits above. The words speak of the evidence, not of the probability of fake.",
                    decisions.level.plural().trim_end_matches('s'),
                    entry.recalibration
                ),
                &["Words", "Fakes", "Reals"],
            );
            for (said, fakes, reals) in &entry.verbal {
                table.row(said, "", vec![words(fakes.to_string()), words(reals.to_string())]);
            }
            all.push(table.finish());
        }
    }

    if !decisions.detects_unseen.is_empty() {
        let mut table = Rows::new(
            "Doubt on unseen generators",
            format!(
                "Whether doubt is higher for the fakes of {} than for all other {plural}. An AUROC of 0.5 is guessing.",
                decisions.unseen.join(", ")
            ),
            &["Doubt", "AUROC", "Average precision", "False alarms at 95 % found"],
        );
        for (doubt, found) in &decisions.detects_unseen {
            let cells =
                [&found.auroc, &found.average_precision, &found.fpr_at_95_tpr].map(|estimate| table.cell(estimate));
            table.row(*doubt, format!("{} unseen, {} others", found.unseen, found.seen), cells.into());
        }
        all.push(table.finish());
    }
    all
}

/// Detectors side by side, and each pair.
pub(crate) fn comparison_tables(metrics: &Metrics) -> Vec<Shown> {
    let level = metrics.top_level();
    let mut table = Rows::new(
        "Detectors",
        format!("On the {} that each scored.", level.plural()),
        &["Detector", "AUROC", "Accuracy", "Brier", "ECE", "AURC", "Doubt finds errors"],
    );
    for group in metrics.groups.iter().filter(|g| g.level == level && g.by.len() == 1) {
        let Some(detector) = group.by.get("detector") else { continue };
        let columns = ["auroc", "accuracy", "brier", "ece_top15", "aurc", "misclassification_auroc_total"];
        let cells = columns.iter().map(|name| table.cell(&group.metric(name))).collect();
        table.row(detector, format!("n = {}", group.items), cells);
    }
    let mut all = vec![table.finish()];
    let mut metrics_of_pairs: Vec<&str> = metrics.comparisons.iter().map(|pair| pair.metric).collect();
    metrics_of_pairs.sort_unstable();
    metrics_of_pairs.dedup();
    for metric in metrics_of_pairs {
        let mut table = Rows::new(
            format!("Differences in {metric}"),
            "First minus second, on what both scored. The last column is the smallest true difference that data like these would have shown four times out of five: where none was found, a smaller one may be there.",
            &["Pair", "First", "Second", "Difference", "p", "p, corrected", "Could have seen"],
        );
        for pair in metrics.comparisons.iter().filter(|pair| pair.metric == metric) {
            let Pair { comparison, .. } = pair;
            let mut cells = Vec::new();
            for estimate in [&comparison.first, &comparison.second, &comparison.difference, &comparison.p_value] {
                cells.push(table.cell(estimate));
            }
            cells.push(table.cell(&pair.p_value_holm));
            cells.push(table.cell(&comparison.smallest_detectable));
            let small = format!("{}, n = {} from {} clusters", pair.method, pair.items, pair.clusters);
            table.row(format!("{} – {}", pair.first, pair.second), small, cells);
        }
        all.push(table.finish());
    }
    all
}
