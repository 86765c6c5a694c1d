//! Tables as text, written in every format that is read.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Columns of cells; an empty cell is a missing value.
#[derive(Clone, Debug)]
pub struct Table {
    pub columns: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Read from lines of cells cut by commas.
    pub fn of(text: &str) -> Self {
        let mut lines = text.lines().map(|line| line.trim().split(',').map(String::from).collect::<Vec<_>>());
        let mut columns: Vec<(String, Vec<String>)> =
            lines.next().unwrap().into_iter().map(|name| (name, Vec::new())).collect();
        for cells in lines {
            assert_eq!(cells.len(), columns.len());
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.1.push(cell));
        }
        Self { columns }
    }

    pub fn rows(&self) -> usize {
        self.columns[0].1.len()
    }

    pub fn select(&self, rows: &[usize]) -> Self {
        let pick = |cells: &Vec<String>| rows.iter().map(|&row| cells[row].clone()).collect();
        Self { columns: self.columns.iter().map(|(name, cells)| (name.clone(), pick(cells))).collect() }
    }

    pub fn csv(&self, delimiter: &str, quote: bool, end: &str) -> Vec<u8> {
        let cell = |text: &str| if quote { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() };
        let mut out = String::new();
        let header: Vec<String> = self.columns.iter().map(|(name, _)| cell(name)).collect();
        out += &(header.join(delimiter) + end);
        for row in 0..self.rows() {
            let cells: Vec<String> = self.columns.iter().map(|(_, cells)| cell(&cells[row])).collect();
            out += &(cells.join(delimiter) + end);
        }
        out.into_bytes()
    }

    pub fn json_lines(&self) -> Vec<u8> {
        let mut out = String::new();
        for row in 0..self.rows() {
            let cells: Vec<String> = self
                .columns
                .iter()
                .map(|(name, cells)| {
                    let cell = &cells[row];
                    let value = match kind(name, cells) {
                        _ if cell.is_empty() || cell == "NaN" => "null".into(),
                        Kind::Text => serde_json::to_string(cell).unwrap(),
                        _ => cell.clone(),
                    };
                    format!("{}: {value}", serde_json::to_string(name).unwrap())
                })
                .collect();
            out += &format!("{{{}}}\n", cells.join(", "));
        }
        out.into_bytes()
    }

    pub fn parquet(&self) -> Vec<u8> {
        let arrays: Vec<(String, ArrayRef, bool)> = self
            .columns
            .iter()
            .map(|(name, cells)| {
                let array: ArrayRef = match kind(name, cells) {
                    Kind::Text => Arc::new(cells.iter().map(|c| (!c.is_empty()).then_some(c)).collect::<StringArray>()),
                    Kind::Number => Arc::new(cells.iter().map(|c| c.parse().ok()).collect::<Float64Array>()),
                    Kind::Whole => Arc::new(cells.iter().map(|c| c.parse().ok()).collect::<Int64Array>()),
                };
                (name.clone(), array, true)
            })
            .collect();
        let batch = RecordBatch::try_from_iter_with_nullable(arrays).unwrap();
        let mut out = Vec::new();
        let mut writer = parquet::arrow::ArrowWriter::try_new(&mut out, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        out
    }

    /// Missing numbers are NaN; a column of whole numbers must have none.
    pub fn npz(&self) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, cells) in &self.columns {
            let (descr, data): (String, Vec<u8>) = match kind(name, cells) {
                Kind::Number => {
                    let number = |c: &String| c.parse().unwrap_or(f64::NAN).to_le_bytes();
                    ("<f8".into(), cells.iter().flat_map(number).collect())
                }
                Kind::Whole => {
                    ("<i8".into(), cells.iter().flat_map(|c| c.parse::<i64>().unwrap().to_le_bytes()).collect())
                }
                Kind::Text => {
                    let width = cells.iter().map(|c| c.chars().count()).max().unwrap_or(0).max(1);
                    let characters = cells.iter().flat_map(|c| c.chars().chain(std::iter::repeat('\0')).take(width));
                    (format!("<U{width}"), characters.flat_map(|c| (c as u32).to_le_bytes()).collect())
                }
            };
            zip.start_file(format!("{name}.npy"), options).unwrap();
            zip.write_all(&npy(&descr, cells.len(), &data)).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    /// Every format, as it is and packed: file name and bytes.
    pub fn every_format(&self) -> Vec<(String, Vec<u8>)> {
        let plain = [
            ("a.csv", self.csv(",", false, "\n")),
            ("b.csv", self.csv(",", true, "\n")),
            ("c.csv", self.csv(";", false, "\r\n")),
            ("d.tsv", self.csv("\t", false, "\n")),
            ("e.txt", self.csv("|", true, "\r\n")),
            ("f.jsonl", self.json_lines()),
            ("g.parquet", self.parquet()),
            ("h.npz", self.npz()),
        ];
        let packed = plain.clone().map(|(name, bytes)| (format!("{name}.gz"), gzip(&bytes)));
        plain.into_iter().map(|(name, bytes)| (name.to_string(), bytes)).chain(packed).collect()
    }
}

pub enum Kind {
    Text,
    Number,
    Whole,
}

/// What a column is written as: numbers where every cell is one, and some is.
pub fn kind(name: &str, cells: &[String]) -> Kind {
    let texts = ["item", "label", "video", "generator", "identity", "detector"];
    if texts.contains(&name) || cells.iter().any(|c| !c.is_empty() && c.parse::<f64>().is_err()) {
        Kind::Text
    } else if cells.iter().all(|c| c.parse::<i64>().is_ok()) {
        Kind::Whole
    } else {
        Kind::Number
    }
}

/// An array in NumPy's format, version 1.
pub fn npy(descr: &str, rows: usize, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows},), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A file of these bytes in a folder.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}
