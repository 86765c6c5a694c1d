//! The experiment to files: its data, and its tables as CSV.

use std::path::{Path, PathBuf};

use crate::section::{Section, Table, Value};
use crate::{ReportError, write_atomically};

/// Write `source.json` (the section) and `tables/NAME.csv` to a folder; returns the files. This is the one place that shows
/// the section: drawing its charts belongs here. Errors: a folder that can't be written.
pub fn write_source(section: &Section, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let json = out.join("source.json");
    let failed = |path: &Path, source| ReportError::Write { path: path.into(), source };
    let text = serde_json::to_string_pretty(section).map_err(|error| failed(&json, error.into()))?;
    write_atomically(&json, format!("{text}\n").as_bytes())?;
    let mut files = vec![json];
    for table in &section.tables {
        let path = out.join("tables").join(&table.name).with_extension("csv");
        let content = csv(table).map_err(|error| failed(&path, error))?;
        write_atomically(&path, &content)?;
        files.push(path);
    }
    Ok(files)
}

/// A column of estimates becomes four: the value, its interval, and why something is missing.
fn csv(table: &Table) -> Result<Vec<u8>, std::io::Error> {
    let is_estimate = |at: usize| table.rows.iter().any(|row| matches!(row.get(at), Some(Value::Estimate(_))));
    let mut head = Vec::new();
    for (at, name) in table.columns.iter().enumerate() {
        head.push(name.clone());
        if is_estimate(at) {
            head.extend(["low", "high", "undefined because"].map(|end| format!("{name}, {end}")));
        }
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&head)?;
    let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
    for row in &table.rows {
        let mut cells = Vec::new();
        for (at, value) in row.iter().enumerate() {
            match value {
                Value::Estimate(e) => {
                    let reason = e.undefined_because.clone().unwrap_or_default();
                    cells.extend([number(e.value), number(e.low), number(e.high), reason]);
                }
                Value::Count(count) => cells.push(count.to_string()),
                Value::Text(text) => cells.push(text.clone()),
            }
            if is_estimate(at) && !matches!(value, Value::Estimate(_)) {
                cells.extend([String::new(), String::new(), String::new()]);
            }
        }
        writer.write_record(&cells)?;
    }
    writer.into_inner().map_err(|error| error.into_error())
}
