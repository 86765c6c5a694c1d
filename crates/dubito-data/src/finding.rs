//! Something that was noticed about data: named, counted, with examples.

use serde::Serialize;

/// Examples kept of each finding; the count is always whole.
const EXAMPLES: usize = 10;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Something is wrong with the data: a check does not pass.
    Problem,
}

/// One kind of thing that was noticed, however often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A short name that scripts may rely on, e.g. `missing` or `link_out_of_root`.
    pub what: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What it means, in words.
    pub meaning: String,
    /// How often it was noticed.
    pub count: usize,
    /// The first ten of them, in the order of their names.
    pub examples: Vec<String>,
}

impl Finding {
    /// A finding of `items`, in the order of their names; `None` where there are none.
    pub fn of(
        what: &'static str,
        severity: Severity,
        meaning: impl Into<String>,
        mut items: Vec<String>,
    ) -> Option<Self> {
        if items.is_empty() {
            return None;
        }
        items.sort();
        let count = items.len();
        items.truncate(EXAMPLES);
        Some(Self { what, severity, meaning: meaning.into(), count, examples: items })
    }

    /// The finding in one line.
    pub fn line(&self) -> String {
        let more = if self.count > self.examples.len() { ", ..." } else { "" };
        format!("{} {}: {}{more}", self.count, self.meaning, self.examples.join(", "))
    }
}
