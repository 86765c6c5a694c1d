//! The audit in words, as `audit.json` and as a page.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use dubito_data::stats::{STYLE, escape};
use dubito_data::write_atomically;
use dubito_stats::Estimate;
use serde_json::{Value, json};

use super::{Audit, Check, Limit, Verdict};
use crate::StudyError;

/// An estimate with its interval, or why there is none.
fn text(estimate: &Estimate) -> String {
    let reason = || estimate.undefined_because.clone().unwrap_or_default();
    match (estimate.value, estimate.low.zip(estimate.high)) {
        (Some(value), Some((low, high))) => format!("{value:.3} ({low:.3} to {high:.3})"),
        (Some(value), None) => format!("{value:.3}, {}", reason()),
        (None, _) => format!("undefined because {}", reason()),
    }
}

/// An estimate in a cell of a table.
fn short(estimate: &Estimate) -> String {
    match (estimate.value, estimate.low.zip(estimate.high)) {
        (Some(value), Some((low, high))) => format!("{value:.2} ({low:.2} to {high:.2})"),
        (Some(value), None) => format!("{value:.2} (no interval)"),
        (None, _) => "undefined".into(),
    }
}

fn limit(limit: Limit) -> String {
    match limit {
        Limit::Chance => "interval holds .5".into(),
        Limit::AtMost(most) => format!("at most {most}"),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "FAILED",
        Verdict::Undecided => "undecided",
    }
}

/// Which shortcut solves the benchmark, how well, and what to do about it.
pub(super) fn sentence(check: &Check) -> String {
    let auroc = text(&check.auroc);
    let beyond = match check.limit {
        Limit::Chance => "it must not be told from chance".to_owned(),
        Limit::AtMost(most) => format!("it may be {most} at most"),
    };
    let reversed = check.leaks.is_empty() && check.limit == Limit::Chance && check.auroc.high.is_some_and(|h| h < 0.5);
    let what = match reversed {
        true => "is tied to the class, the other way round in every fold than in the others",
        false => "alone tells fakes from reals, on people never seen",
    };
    let mut text = format!("a shortcut solves this benchmark: {} {what}: AUROC {auroc}, and {beyond}", check.shown);
    if !check.leaks.is_empty() {
        let leaks = check.leaks.iter().map(|name| format!("{name} {}", short(&check.by_generator[name])));
        text += &format!("; it gives away {}", leaks.collect::<Vec<_>>().join(", "));
    }
    text + &format!(". To do: {}", check.advice)
}

/// The audit as a table of text, and what failed in sentences, line by line.
pub fn in_words(audit: &Audit) -> Vec<String> {
    let mut lines = vec![counted(audit)];
    for check in &audit.checks {
        let (verdict, auroc) = (word(check.verdict), text(&check.auroc));
        lines.push(format!("{verdict:<10} {:<12} AUROC {auroc} ({})", check.name, limit(check.limit)));
        for (generator, estimate) in &check.by_generator {
            let leak = if check.leaks.contains(generator) { "  <- a leak" } else { "" };
            lines.push(format!("{:<10}   {generator:<20} {}{leak}", "", short(estimate)));
        }
        if let Some(all) = check.controls.get("all") {
            lines.push(format!("{:<10}   {:<20} {} against untouched videos", "", "negative controls", short(all)));
        }
    }
    for (status, left_out) in &audit.left_out {
        lines.push(format!("not looked at: {} real and {} fake ({status})", left_out.real, left_out.fake));
    }
    lines.extend(audit.unreadable.iter().map(|reason| format!("unreadable: {reason}")));
    lines
}

fn counted(audit: &Audit) -> String {
    let [real, fake] = audit.videos;
    format!(
        "{real} real videos ({} of them negative controls) and {fake} fakes of {} people, cross-fitted over {} folds of people",
        audit.controls, audit.people, audit.folds
    )
}

/// Writes `audit.json` and `audit.html`, which holds all it shows, to `out`. Gives the page's path.
///
/// # Errors
/// A folder that can't be written to.
pub fn write(audit: &Audit, name: &str, provenance: Value, out: &Path) -> Result<PathBuf, StudyError> {
    let object = json!({ "passed": audit.passed(), "audit": audit, "provenance": provenance });
    let text = serde_json::to_string_pretty(&object).unwrap_or_default();
    write_atomically(&out.join("audit.json"), text.as_bytes())?;
    let path = out.join("audit.html");
    write_atomically(&path, page(audit, name).as_bytes())?;
    Ok(path)
}

fn page(audit: &Audit, name: &str) -> String {
    let title = format!("Does a shortcut solve {}?", escape(name));
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{STYLE}{OWN_STYLE}</style>\n\
         </head>\n<body>\n<h1>{title}</h1>\n<p>{}.</p>\n",
        escape(&counted(audit))
    );
    let failed: Vec<&Check> = audit.checks.iter().filter(|c| c.verdict == Verdict::Failed).collect();
    let undecided: Vec<&str> =
        audit.checks.iter().filter(|c| c.verdict == Verdict::Undecided).map(|c| c.name).collect();
    html += &match (failed.is_empty(), audit.passed()) {
        (true, true) => "<p><b>No shortcut was found.</b> ".to_owned(),
        (true, false) => "<p><b>Nothing could be decided.</b> ".to_owned(),
        (false, _) => {
            failed.iter().map(|c| format!("<p class=\"failed\">{}.</p>\n", escape(&sentence(c)))).collect::<String>()
                + "<p>"
        }
    };
    if !undecided.is_empty() {
        html += &format!("Undecided: {}. ", undecided.join(", "));
    }
    html += "Each classifier is shown one thing alone, and asked about people it never saw.</p>\n";
    html += &figure(audit);
    html += "<table>\n<thead><tr><th>shown</th><th>AUROC (95 % over people)</th><th>limit</th><th>verdict</th></tr>\
             </thead>\n<tbody>\n";
    for check in &audit.checks {
        let class = if check.verdict == Verdict::Failed { " class=\"failed\"" } else { "" };
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td{class}>{}</td></tr>",
            escape(check.shown),
            escape(&text(&check.auroc)),
            limit(check.limit),
            word(check.verdict)
        );
    }
    html += "</tbody>\n</table>\n";
    html += &by(
        audit,
        "generator",
        "Fakes of one generator against all real videos; 95 % for all generators together.",
        |c| c.by_generator.iter().map(|(name, e)| (name.as_str(), e, c.leaks.contains(name))).collect(),
    );
    html += &by(
        audit,
        "negative control",
        "Negative controls (a generator's whole warp, blend and encoder, with the face's own picture) against untouched \
         videos: far from .5 a classifier sees the processing, and would raise false alarms. No part of the verdict.",
        |c| c.controls.iter().map(|(name, e)| (name.as_str(), e, false)).collect(),
    );
    if !audit.left_out.is_empty() || !audit.unreadable.is_empty() {
        html += "<h2>Not looked at</h2>\n<ul>\n";
        for (status, left_out) in &audit.left_out {
            let _ = writeln!(html, "<li>{} real and {} fake: {}</li>", left_out.real, left_out.fake, escape(status));
        }
        for reason in &audit.unreadable {
            let _ = writeln!(html, "<li>{}</li>", escape(reason));
        }
        html += "</ul>\n";
    }
    html + "<p class=\"grey\">All numbers are in audit.json beside this page.</p>\n</body>\n</html>\n"
}

const OWN_STYLE: &str = "\
.failed { color: var(--fake); font-weight: 600; } .bar { stroke: var(--real); stroke-width: 3; } .dot { fill: var(--real); }
.bar.out { stroke: var(--fake); } .dot.out { fill: var(--fake); } .half, .most { stroke: var(--grey); }
.most { stroke-dasharray: 4 3; } .scroll { overflow-x: auto; } body { max-width: 1000px; }
";

/// Each AUROC with its interval, beside the limit.
fn figure(audit: &Audit) -> String {
    let (left, width, row) = (130.0, 520.0, 30.0);
    let bottom = row * audit.checks.len() as f64;
    let x = |value: f64| left + width * value.clamp(0.0, 1.0);
    let mut svg = format!(
        "<figure>\n<svg viewBox=\"0 0 900 {:.0}\" role=\"img\" aria-label=\"AUROC of each classifier with its interval\">\n\
         <line class=\"half\" x1=\"{1:.1}\" x2=\"{1:.1}\" y1=\"0\" y2=\"{bottom:.0}\"/>\n",
        bottom + 24.0,
        x(0.5)
    );
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let _ = writeln!(
            svg,
            "<text class=\"n\" x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{tick}</text>",
            x(tick),
            bottom + 18.0
        );
    }
    for (i, check) in audit.checks.iter().enumerate() {
        let y = row * i as f64 + row / 2.0;
        let out = if check.verdict == Verdict::Failed { " out" } else { "" };
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 14.0,
            y + 4.0,
            check.name
        );
        if let Limit::AtMost(most) = check.limit {
            let (top, foot) = (y - row / 2.0, y + row / 2.0);
            let _ = write!(
                svg,
                "<line class=\"most\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{top:.1}\" y2=\"{foot:.1}\"/>",
                x(most)
            );
        }
        if let Some((low, high)) = check.auroc.low.zip(check.auroc.high) {
            let (from, to) = (x(low), x(high));
            let _ =
                write!(svg, "<line class=\"bar{out}\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
        }
        if let Some(value) = check.auroc.value {
            let _ = write!(svg, "<circle class=\"dot{out}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"5\"/>", x(value));
        }
        let said = format!("{} {}", short(&check.auroc), word(check.verdict));
        let _ = writeln!(svg, "<text class=\"n\" x=\"{:.0}\" y=\"{:.1}\">{said}</text>", left + width + 14.0, y + 4.0);
    }
    svg + "</svg>\n<figcaption>AUROC of fake against real. The line is chance; the dashes are the most that what may help \
           a little may reach. Orange: failed.</figcaption>\n</figure>\n"
}

type Cells<'a> = Vec<(&'a str, &'a Estimate, bool)>;

/// A table with a column for each check, and a line for each name.
fn by<'a>(audit: &'a Audit, what: &str, caption: &str, cells: impl Fn(&'a Check) -> Cells<'a>) -> String {
    let mut names: Vec<&str> = audit.checks.iter().flat_map(&cells).map(|(name, ..)| name).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<h2>By {what}</h2>\n<p>{}</p>\n<div class=\"scroll\"><table>\n<thead><tr><th>{what}</th>",
        escape(caption)
    );
    for check in &audit.checks {
        let _ = write!(html, "<th>{}</th>", check.name);
    }
    html += "</tr></thead>\n<tbody>\n";
    for name in names {
        let _ = write!(html, "<tr><td>{}</td>", escape(name));
        for check in &audit.checks {
            match cells(check).into_iter().find(|(other, ..)| *other == name) {
                Some((_, estimate, leak)) => {
                    let class = if leak { " class=\"failed\"" } else { "" };
                    let _ = write!(html, "<td{class}>{}</td>", short(estimate));
                }
                None => html += "<td class=\"grey\">undecided</td>",
            }
        }
        html += "</tr>\n";
    }
    html + "</tbody>\n</table></div>\n"
}
