//! Tables to CSV, for people and their spreadsheets. Data that is read again (predictions, manifests) is written
//! elsewhere, as it is.

use std::path::Path;

use dubito_table::spreadsheet_safe;

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
