//! Which rows clash: found by reading again, since sums don't remember their rows.

use std::path::PathBuf;

use super::layout::{Labelled, Layout, Request, Scoring};
use super::rows::{NO_FRAME, member, wanted_row};
use super::store::Clash;
use super::{Block, Table};
use crate::ReportError;

/// A row that speaks of the item or video that was looked for.
struct Found {
    file: usize,
    row: u64,
    sample: u64,
    /// The label, then the facts.
    says: Vec<String>,
}

/// The error that names the rows of a clash.
pub(crate) fn diagnose(
    clash: Clash,
    tables: &[Table],
    layouts: &[Layout],
    request: &Request,
    samples: &[u64],
) -> ReportError {
    match find(&clash, tables, layouts, request) {
        Ok(found) => named(clash, &found, tables, request, samples),
        Err(error) => error,
    }
}

fn find(clash: &Clash, tables: &[Table], layouts: &[Layout], request: &Request) -> Result<Vec<Found>, ReportError> {
    let mut found = Vec::new();
    for (file, (table, layout)) in tables.iter().zip(layouts).enumerate() {
        table.read(
            &layout.wanted,
            |block| {
                let rows: Vec<(usize, u64, Vec<String>)> = (0..block.rows)
                    .filter(|&row| {
                        wanted_row(&block, layout, request, row) && fits(clash, &block, layout, request, row)
                    })
                    .flat_map(|row| {
                        // Another word for the same class is no clash.
                        let label = block.text(Some(layout.label), row);
                        let class = match layout.labelled(label) {
                            Some(Labelled::Class(at)) => layout.task.classes[at].as_str(),
                            _ => label,
                        };
                        let facts = layout.facts.iter().map(|&slot| block.text(slot, row));
                        let says: Vec<String> = std::iter::once(class).chain(facts).map(String::from).collect();
                        let samples = samples_of(&block, layout, request, row);
                        samples.into_iter().map(move |sample| (row, sample, says.clone()))
                    })
                    .collect();
                Ok(rows)
            },
            |rows, before| -> Result<bool, ReportError> {
                found.extend(rows.into_iter().map(|(row, sample, says)| Found {
                    file,
                    row: before + row as u64 + 1,
                    sample,
                    says,
                }));
                Ok(true)
            },
        )?;
    }
    Ok(found)
}

/// The samples that a row gives.
fn samples_of(block: &Block, layout: &Layout, request: &Request, row: usize) -> Vec<u64> {
    let sample = block.whole(layout.sample, row).unwrap_or(0);
    match (&layout.scoring, request.input.as_ensemble) {
        (Scoring::Wide(columns), true) => columns.iter().map(|(name, _)| member(name, sample)).collect(),
        (_, true) => vec![member(block.text(layout.detector, row), sample)],
        _ => vec![sample],
    }
}

fn fits(clash: &Clash, block: &Block, layout: &Layout, request: &Request, row: usize) -> bool {
    let frame = block.whole(layout.frame, row).unwrap_or(NO_FRAME);
    let named = if layout.names_frames() { frame.to_string() } else { block.text(layout.item, row).to_string() };
    let in_video = |video: &Option<String>| match video {
        None => true,
        Some(video) => match block.text(layout.video, row) {
            "" => named == *video,
            found => found == video,
        },
    };
    match clash {
        Clash::Conflict { video, item } => in_video(video) && item.as_ref().is_none_or(|item| *item == named),
        Clash::Samples { detector, video, item, frame: of } => {
            let has_score = match &layout.scoring {
                Scoring::Wide(columns) if !request.input.as_ensemble => columns.iter().any(|(name, slot)| {
                    name == detector && block.number(*slot, row).is_some_and(|value| !value.is_nan())
                }),
                _ if request.input.as_ensemble => true,
                _ => block.text(layout.detector, row) == detector,
            };
            has_score && in_video(video) && *item == named && *of == frame
        }
    }
}

fn named(clash: Clash, found: &[Found], tables: &[Table], request: &Request, samples: &[u64]) -> ReportError {
    let path = |row: &Found| tables[row.file].path.clone();
    match clash {
        Clash::Conflict { video, item } => {
            let columns: Vec<String> = std::iter::once("label".to_string()).chain(request.facts()).collect();
            let what = video.or(item).unwrap_or_default();
            let clash = found.iter().find_map(|row| {
                let first = found.first()?;
                let at = (0..columns.len()).find(|&at| first.says[at] != row.says[at])?;
                Some((row, at, first.says[at].clone()))
            });
            match clash {
                Some((row, at, first)) => ReportError::Conflict {
                    path: path(row),
                    row: row.row,
                    column: columns[at].as_str().into(),
                    what: what.into(),
                    first,
                    second: row.says[at].clone(),
                },
                None => ReportError::Changed { path: tables.first().map_or_else(PathBuf::new, |t| t.path.clone()) },
            }
        }
        Clash::Samples { item, .. } => {
            let mut seen: Vec<&Found> = Vec::new();
            for row in found {
                match seen.iter().find(|earlier| earlier.sample == row.sample) {
                    Some(first) => {
                        return ReportError::Duplicate {
                            path: path(row),
                            row: row.row,
                            item,
                            first_path: path(first),
                            first_row: first.row,
                        };
                    }
                    None => seen.push(row),
                }
            }
            let lacks = samples.iter().find(|&&sample| seen.iter().all(|row| row.sample != sample)).copied();
            ReportError::Samples { item, found: found.len() as u64, expected: samples.len() as u64, lacks }
        }
    }
}
