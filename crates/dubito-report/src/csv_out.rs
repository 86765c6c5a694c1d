//! Tables to CSV, for people and their spreadsheets. Data that is read again (predictions, manifests) is written
//! elsewhere, as it is.

use std::borrow::Cow;
use std::path::Path;

use crate::{ReportError, write_atomically};

/// A CSV in the making. Writing to memory does not fail.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|name| name.to_string()).collect()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The file's bytes; rows may be of different length. `path` is for an error.
    pub fn bytes(&self, path: &Path) -> Result<Vec<u8>, ReportError> {
        let failed = |source: std::io::Error| ReportError::Write { path: path.into(), source };
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        for row in &self.rows {
            writer
                .write_record(row.iter().map(|cell| spreadsheet_safe(cell).into_owned()))
                .map_err(|e| failed(e.into()))?;
        }
        writer.into_inner().map_err(|e| failed(e.into_error()))
    }

    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        write_atomically(path, &self.bytes(path)?)
    }
}

/// A cell that a spreadsheet does not take for a formula: text that begins with `=`, `+`, `-`, `@`, a tab or the end of a
/// line has an apostrophe before it (OWASP, "CSV Injection"). Numbers stay numbers.
pub fn spreadsheet_safe(cell: &str) -> Cow<'_, str> {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    match is_formula && cell.parse::<f64>().is_err() {
        true => Cow::Owned(format!("'{cell}")),
        false => Cow::Borrowed(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::spreadsheet_safe;

    #[test]
    fn formulas_are_text_and_numbers_stay() {
        for text in ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-", "--", "＝1", "-x"] {
            assert_eq!(spreadsheet_safe(text), format!("'{text}"));
        }
        for text in ["", "-0.5", "+1", "-1e-300", "-inf", "0.5", "real", "a=b", "'=1", " =1"] {
            assert_eq!(spreadsheet_safe(text), text);
        }
    }
}
