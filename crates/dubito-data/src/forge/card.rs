//! What comes with a forged set: a card in words, and a list of every file's BLAKE3.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use super::ForgeOptions;
use crate::error::DataError;
use crate::manifest::{Label, Row, Status};

/// Name of the card.
pub const CARD: &str = "CARD.md";
/// Name of the list of hashes, in the form that `b3sum --check` reads.
pub const HASHES: &str = "BLAKE3SUMS";

/// Writes [`CARD`] and [`HASHES`] into `out` for the rows that [`super::forge`] returned. The list holds
/// every video and every mask.
///
/// # Errors
/// A file of the set that can't be read, an `out` that can't be written to.
pub fn write(rows: &[Row], out: &Path, options: &ForgeOptions, origin: &str) -> Result<(), DataError> {
    crate::write_atomically(&out.join(CARD), card(rows, options, origin).as_bytes())?;
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.status == Status::Ok) {
        if let Some(hash) = &row.blake3 {
            files.insert(&row.path, hash.clone());
        }
        if let Some(mask) = &row.mask {
            files.insert(mask, dubito_media::hash_file(&out.join(mask))?);
        }
    }
    let lines: String = files.iter().map(|(path, hash)| format!("{hash}  {path}\n")).collect();
    crate::write_atomically(&out.join(HASHES), lines.as_bytes())
}

fn card(rows: &[Row], options: &ForgeOptions, origin: &str) -> String {
    let made: Vec<&Row> = rows.iter().filter(|r| r.status == Status::Ok).collect();
    let people: BTreeSet<&str> = made.iter().map(|r| r.identity.as_str()).collect();
    let folds: BTreeSet<&str> = made.iter().map(|r| r.split.as_str()).collect();
    let encoders: BTreeSet<&str> = made.iter().filter_map(|r| r.encoder.as_deref()).collect();
    let left_out = rows.len() - made.len();
    let of_traces = [options.traces.resolution, options.traces.blend, options.traces.colour];
    let traces = super::Traces::NAMES.iter().zip(of_traces).filter_map(|(name, s)| Some(format!(", of {name} {}", s?)));
    let traces: String = traces.collect();
    let mut text = format!(
        "# Data set card\n\n\
         Counterfeits that Dubito forged from {origin}, to measure detectors and their uncertainty by. **They measure \
         the method, not the world**: a detector that is good on them may fail on any other fake.\n\n\
         - People: {}, in {} folds; nobody is in two. A fake's target and donor are of the same fold.\n\
         - Videos: {}, of {} frames at most; {left_out} inputs gave none (the manifest says why).\n\
         - Seed {}, strength {}, {}.\n\n\
         | kind | videos | frames that were changed | strength |\n|---|---|---|---|\n",
        people.len(),
        folds.len(),
        made.len(),
        options.frames,
        options.seed,
        options.strength.map_or("standard".into(), |s| s.to_string()) + &traces,
        encoders.iter().copied().collect::<Vec<_>>().join(" and "),
    );
    let mut kinds: BTreeMap<(u8, String), Vec<&Row>> = BTreeMap::new();
    for row in &made {
        let kind = match (&row.control, row.label) {
            (Some(control), _) => (1, format!("null control of {control}")),
            (None, Label::Real) => (0, "real, encoded like the others".into()),
            (None, Label::Fake) => (2, row.generator.clone()),
        };
        kinds.entry(kind).or_default().push(row);
    }
    for ((_, kind), rows) in &kinds {
        let frames: u32 = rows.iter().filter_map(|r| r.frames).sum();
        let real: usize = rows.iter().map(|r| r.frames_that_are_real().len()).sum();
        let changed = if rows.iter().any(|r| r.mask.is_some()) {
            format!("{} of {frames}", frames as usize - real)
        } else {
            "-".into()
        };
        let strength = rows[0]
            .generator
            .parse::<super::Generator>()
            .ok()
            .map_or("-".into(), |g| options.strength.unwrap_or(g.standard_strength()).to_string());
        let _ = writeln!(text, "| {kind} | {} | {changed} | {strength} |", rows.len());
    }
    text.push_str(
        "\n## What is where\n\
         `manifest.parquet` has a row for every video: label, generator, target and donor, fold, mask, encoder. Videos \
         lie in `videos/KIND`, masks (lossless, white where a pixel may have changed) in `masks/KIND` under the same \
         name. Before compression every pixel outside its mask is the target's own. `BLAKE3SUMS` lists all files: \
         `b3sum --check BLAKE3SUMS`.\n\n\
         ## What it is not\n\
         Each generator imitates a mechanism, in software that is written down, not a network that someone trained: \
         see the table in the documentation for what each imitates and what it does not. Frames with a profile or a \
         covered face are left as they are and count as real (`real_frames`).\n\n\
         ## Consent and use\n\
         The people's rights are those of the videos it was made from: ask there. Do not publish the fakes as \
         anything else.\n",
    );
    text
}
