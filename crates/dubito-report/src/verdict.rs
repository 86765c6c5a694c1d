//! What the numbers say, in words: one question, one judgement, one sentence with its number.

use dubito_stats::Estimate;

use crate::evaluate::{Group, Metrics};
use crate::scores::Scores;

/// How an answer bears on trust in the detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The interval speaks for the detector.
    Good,
    /// The interval speaks against it.
    Bad,
    /// The numbers do not decide.
    Unclear,
}

/// A difference of rates, or a calibration error, below which the detector counts as sound. "No effect
/// was found" is good news only where one of this size would have been found.
const CLOSE: f64 = 0.1;

/// One question and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// What is asked.
    pub question: &'static str,
    /// Which way the answer goes.
    pub judgement: Judgement,
    /// The answer in a few words.
    pub answer: String,
    /// The number with its interval, and what it means.
    pub text: String,
    /// The answer as the end of a sentence that begins "This detector".
    pub clause: String,
}

/// A number of three decimals with its interval, or why there is none.
pub(crate) fn with_interval(estimate: &Estimate, level: f64) -> String {
    let Some(value) = estimate.value else {
        return format!("undefined ({})", estimate.undefined_because.as_deref().unwrap_or("no reason given"));
    };
    match (estimate.low, estimate.high, &estimate.undefined_because) {
        (Some(low), Some(high), _) => {
            format!("{value:.3} ({:.0} % interval {low:.3} to {high:.3})", 100.0 * level)
        }
        (_, _, Some(reason)) => format!("{value:.3} ({reason})"),
        _ => format!("{value:.3} (no interval was asked for)"),
    }
}

fn percent(estimate: &Estimate) -> String {
    let Some(value) = estimate.value else {
        return format!("undefined ({})", estimate.undefined_because.as_deref().unwrap_or("no reason given"));
    };
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => format!("{:.0} % ({:.0} to {:.0})", 100.0 * value, 100.0 * low, 100.0 * high),
        _ => format!("{:.0} % (no interval)", 100.0 * value),
    }
}

/// Names as they stand in a sentence.
fn list(names: &[&str]) -> String {
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Whether an interval lies above, below or around a value; `None` without an interval.
fn side(estimate: &Estimate, of: f64) -> Option<std::cmp::Ordering> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let (low, high) = (estimate.low?, estimate.high?);
    Some(if low > of {
        Greater
    } else if high < of {
        Less
    } else {
        Equal
    })
}

/// The verdict: what the overall numbers say at the level of videos (of items, where there are none).
pub fn verdict(metrics: &Metrics, scores: &Scores) -> Vec<Sentence> {
    let Some(overall) = metrics.group(&[], metrics.top_level()) else { return Vec::new() };
    let view = View { metrics, scores, overall, level: metrics.intervals.bootstrap.as_ref().map_or(0.95, |b| b.level) };
    let mut sentences = vec![view.better_than_chance(), view.calibrated(), view.doubt_finds_errors()];
    sentences.extend(view.unseen());
    sentences.extend(view.controls());
    sentences
}

/// The sentences' clauses as one sentence.
pub fn summary(sentences: &[Sentence]) -> String {
    let clauses: Vec<&str> = sentences.iter().map(|s| s.clause.as_str()).collect();
    match clauses.split_last() {
        None => String::new(),
        Some((last, [])) => format!("This detector {last}."),
        Some((last, rest)) => format!("This detector {}, and {last}.", rest.join(", ")),
    }
}

struct View<'a> {
    metrics: &'a Metrics,
    scores: &'a Scores,
    overall: &'a Group,
    level: f64,
}

impl View<'_> {
    fn number(&self, name: &str) -> String {
        with_interval(&self.overall.metric(name), self.level)
    }

    fn better_than_chance(&self) -> Sentence {
        use std::cmp::Ordering::{Greater, Less};
        let auroc = self.overall.metric("auroc");
        let number = self.number("auroc");
        let one = match self.metrics.top_level() {
            crate::Level::Video => "video",
            _ => "item",
        };
        let meaning = if self.scores.task.positive.is_some() {
            format!("of a fake and a real {one}, the fake gets the higher P(fake) that often, and guessing gives 0.5")
        } else {
            "the mean over the classes of one against the rest, and guessing gives 0.5".to_string()
        };
        let (judgement, answer, clause) = match (auroc.value, side(&auroc, 0.5)) {
            (None, _) => (Judgement::Unclear, "Cannot be said", "cannot be compared with chance on these data"),
            (_, Some(Greater)) => (Judgement::Good, "Yes", "is better than chance"),
            (_, Some(Less)) => (Judgement::Bad, "No, worse", "is worse than chance"),
            (_, Some(_)) => (Judgement::Bad, "Not shown", "is not shown to be better than chance"),
            (_, None) => (Judgement::Unclear, "Cannot be said", "has no interval to compare with chance"),
        };
        let rest = match (judgement, auroc.value) {
            (Judgement::Good, Some(value)) if value > 0.995 => {
                " The whole interval lies above that. So near 1 it is worth asking what gives these fakes away."
            }
            (Judgement::Good, _) => " The whole interval lies above that.",
            (Judgement::Bad, _) if answer == "Not shown" => {
                " The interval holds 0.5, so these data do not tell it from guessing."
            }
            (Judgement::Bad, _) => " The whole interval lies below that: its answers are the wrong way round.",
            _ => "",
        };
        Sentence {
            question: "Is it better than chance?",
            judgement,
            answer: answer.into(),
            text: format!("The AUROC is {number}: {meaning}.{rest}"),
            clause: clause.into(),
        }
    }

    fn calibrated(&self) -> Sentence {
        let ece = self.overall.metric("ece_top15");
        let chance = self.overall.metric("ece_top15_if_calibrated");
        let question = "Does it mean what it says?";
        let (Some(value), Some(high)) = (ece.value, chance.high) else {
            return Sentence {
                question,
                judgement: Judgement::Unclear,
                answer: "Cannot be said".into(),
                text: format!("The calibration error is {}.", self.number("ece_top15")),
                clause: "cannot be checked for calibration".into(),
            };
        };
        let items = self.scores.sets[0].of(self.metrics.top_level());
        let count = items.len().max(1) as f64;
        let confidence = (0..items.len()).map(|i| items.probs(i)[items.predicted(i)]).sum::<f64>() / count;
        let accuracy = (0..items.len()).filter(|&i| items.predicted(i) == items.label(i)).count() as f64 / count;
        let word = if confidence > accuracy { "overconfident" } else { "underconfident" };
        let plural = self.metrics.top_level().plural();
        let fair = format!(
            "A detector whose confidence is exactly right would show up to {high:.3} on {} {plural} by chance alone",
            items.len()
        );
        let means = format!("On average it is {:.0} % sure and {:.0} % right.", 100.0 * confidence, 100.0 * accuracy);
        let (judgement, answer, clause, rest) = if value > high {
            let clause = format!("is {word}");
            (Judgement::Bad, format!("No, it is {word}"), clause, "so its probabilities cannot be taken at their word")
        } else if high <= CLOSE {
            let clause = "shows no sign of miscalibration".to_string();
            (
                Judgement::Good,
                "No sign against it".to_string(),
                clause,
                "so nothing speaks against its probabilities here",
            )
        } else {
            let clause = format!("was tested on too few {plural} to judge its calibration");
            (
                Judgement::Unclear,
                "Too few to say".to_string(),
                clause,
                "so an error of that size could not be seen here",
            )
        };
        Sentence {
            question,
            judgement,
            answer,
            text: format!("The expected calibration error is {}. {fair}, {rest}. {means}", self.number("ece_top15")),
            clause,
        }
    }

    fn doubt_finds_errors(&self) -> Sentence {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let total = self.overall.metric("misclassification_auroc_total");
        let (judgement, answer, clause) = match (total.value, side(&total, 0.5)) {
            (None, _) => (Judgement::Unclear, "Cannot be said", "cannot be asked whether its doubt finds errors"),
            (_, Some(Greater)) => (Judgement::Good, "Yes", "doubts more where it is wrong"),
            (_, Some(Equal)) => (Judgement::Bad, "Not shown", "is not shown to doubt more where it is wrong"),
            (_, Some(Less)) => (Judgement::Bad, "No, it falls", "doubts less where it is wrong"),
            (_, None) => (Judgement::Unclear, "Cannot be said", "has no interval for whether its doubt finds errors"),
        };
        let text = match &total.value {
            None => format!(
                "How well doubt tells wrong from right answers is {}.",
                self.number("misclassification_auroc_total")
            ),
            Some(_) => format!(
                "Of a wrong and a right answer, the wrong one has the higher total uncertainty with probability {}; guessing gives 0.5. For the epistemic part alone it is {}.",
                self.number("misclassification_auroc_total"),
                self.number("misclassification_auroc_epistemic")
            ),
        };
        Sentence {
            question: "Does doubt rise on errors?",
            judgement,
            answer: answer.into(),
            text,
            clause: clause.into(),
        }
    }

    /// Whether doubt is higher on generators that the detector never saw; `None` where none is known of.
    fn unseen(&self) -> Option<Sentence> {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let of = |task: &str| self.metrics.unseen.iter().find(|unseen| unseen.task == task);
        let found = of("binary").or_else(|| self.metrics.unseen.first())?;
        let together = found.generators.first()?;
        let names: Vec<&str> = found.generators.iter().filter_map(|one| one.generator.as_deref()).collect();
        let total = &together.doubts.get("total")?;
        let auroc = &total.detection.auroc;
        let (judgement, answer, clause) = match (auroc.value, side(auroc, 0.5)) {
            (None, _) => (Judgement::Unclear, "Cannot be said", "cannot be asked what it makes of unseen generators"),
            (_, Some(Greater)) => (Judgement::Good, "Yes", "doubts more where a generator is new to it"),
            (_, Some(Equal)) => {
                (Judgement::Bad, "Not shown", "is not shown to doubt more where a generator is new to it")
            }
            (_, Some(Less)) => (Judgement::Bad, "No, it falls", "doubts less where a generator is new to it"),
            (_, None) => {
                (Judgement::Unclear, "Cannot be said", "has no interval for whether it doubts new generators more")
            }
        };
        let one = found.level.plural().trim_end_matches('s');
        let mut text = format!(
            "It never saw how {} {}, and calls {} of these fakes fake, of those of generators it learned {}. Of such an \
             unseen fake and a seen {one}, the unseen one has the higher total uncertainty with probability {}; guessing \
             gives 0.5.",
            list(&names),
            if names.len() == 1 { "works" } else { "work" },
            percent(&together.caught),
            percent(&found.seen_fakes_caught),
            with_interval(auroc, self.level),
        );
        if let Some(epistemic) = together.doubts.get("epistemic") {
            text +=
                &format!(" For the epistemic part it is {}.", with_interval(&epistemic.detection.auroc, self.level));
        }
        if let Some(classes) = of(crate::classes::MULTICLASS).filter(|classes| classes.task != found.task)
            && let Some(total) = classes.generators.first().and_then(|together| together.doubts.get("total"))
        {
            let number = with_interval(&total.detection.auroc, self.level);
            text += &format!(" For the total uncertainty over all its classes it is {number}.");
        }
        Some(Sentence {
            question: "Does doubt rise on generators it never saw?",
            judgement,
            answer: answer.into(),
            text,
            clause: clause.into(),
        })
    }

    /// Whether being processed is enough to be called fake; `None` where there are no null controls.
    fn controls(&self) -> Option<Sentence> {
        let level = self.metrics.top_level();
        let groups: Vec<&Group> =
            self.metrics.groups.iter().filter(|g| g.level == level && g.by.contains_key("control")).collect();
        if groups.is_empty() {
            return None;
        }
        let untouched = self
            .metrics
            .group(&[("generator", "real")], level)
            .map_or_else(|| Estimate::undefined("there are no untouched reals"), |g| g.metric("false_alarm_rate"));
        let points = |value: f64| format!("{:.0}", 100.0 * value).replace("-0", "0");
        // The table has them all; the sentence those that react most.
        const NAMED: usize = 3;
        let mut most: Vec<&&Group> = groups.iter().collect();
        let above = |group: &Group| group.metric("false_alarm_rate_above_real").value.unwrap_or(f64::NEG_INFINITY);
        most.sort_by(|a, b| above(b).total_cmp(&above(a)));
        let others = groups.len().saturating_sub(NAMED);
        let parts: Vec<String> = most
            .into_iter()
            .take(NAMED)
            .map(|group| {
                let above = group.metric("false_alarm_rate_above_real");
                let difference = match (above.value, above.low, above.high) {
                    (Some(v), Some(low), Some(high)) => {
                        format!("a difference of {} points ({} to {})", points(v), points(low), points(high))
                    }
                    (Some(v), ..) => format!("a difference of {} points, without an interval", points(v)),
                    _ => "a difference that is undefined".into(),
                };
                format!(
                    "{} of the null controls of {}, {difference}",
                    percent(&group.metric("false_alarm_rate")),
                    group.by["control"]
                )
            })
            .collect();
        let differences: Vec<Estimate> =
            groups.iter().map(|group| group.metric("false_alarm_rate_above_real")).collect();
        let (judgement, answer, clause) = if differences.iter().any(|d| d.low.is_some_and(|low| low > 0.0)) {
            (Judgement::Bad, "Yes, partly", "calls real videos fake more often once they were processed")
        } else if differences.iter().all(|d| d.high.is_some_and(|high| high <= CLOSE)) {
            (Judgement::Good, "No", "does not react to the processing alone")
        } else {
            (Judgement::Unclear, "Cannot be ruled out", "may react to the processing alone")
        };
        let rest = match judgement {
            Judgement::Bad => "Part of what it calls fake is the processing, not the face.".to_string(),
            Judgement::Good => format!("No interval reaches beyond {} points more.", points(CLOSE)),
            Judgement::Unclear => {
                format!("An interval that holds 0 and reaches beyond {} points decides nothing.", points(CLOSE))
            }
        };
        Some(Sentence {
            question: "Is being processed enough to be called fake?",
            judgement,
            answer: answer.into(),
            text: format!(
                "Null controls are real videos put through a generator's whole warp, blend and encode. Called fake: {} of the untouched reals; {}{}. {rest}",
                percent(&untouched),
                parts.join("; "),
                if others > 0 {
                    format!("; the other {others} kinds react no more, see the table")
                } else {
                    String::new()
                }
            ),
            clause: clause.into(),
        })
    }
}
