//! `dubito source`: which generator made a fake, from the uncertainty alone.

use std::path::{Path, PathBuf};

use clap::Args;
use dubito_report::manifold::{ManifoldOptions, source_section};
use dubito_report::write_section;
use dubito_stats::Bootstrap;
use dubito_study::StudyError;
use dubito_study::output::overwrites_nothing;
use serde_json::json;

use crate::args::Common;
use crate::output::{self, say};

/// `source`
#[derive(Debug, Args)]
#[command(long_about = "\
Which generator made a fake, told from nothing but what detectors doubt about it.

Reads predictions.parquet of one detector or several (other architectures, inference methods, seeds; their features go
side by side), and tells the fakes' generators by the probability alone, by the uncertainty alone and by both, with a
linear classifier, nearest neighbours and boosted trees, on people that neither detector nor classifier has seen. Against
permuted labels, with generators left out as unknown, and from one detector to another. docs/SOURCE.md says how to read it.

    dubito source resnet18/predictions.parquet mobilenet_v2/predictions.parquet -o source

Writes OUT/report.html, and beside it tables, figures with their data, and sections.json.")]
pub struct Source {
    /// Predictions of the same videos, by detectors trained on the same folds of people
    #[arg(value_name = "PREDICTIONS", required = true)]
    pub predictions: Vec<PathBuf>,
    /// A table (CSV, Parquet, ...) with the column `video` and further features of each as numbers
    #[arg(long, value_name = "FILE")]
    pub features: Option<PathBuf>,
    /// Only fakes of these generators, by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub generators: Vec<String>,
    /// Only rows of this split
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Permutations of the labels; 0 leaves the test out
    #[arg(long, default_value_t = 199)]
    pub permutations: usize,
    /// Resamples of the bootstrap
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub resamples: u32,
    /// Seed of the bootstrap, of permutations, and of folds where the predictions name none
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// Runs it.
pub fn run(arguments: &Source) -> Result<(), StudyError> {
    let common = &arguments.common;
    let options = ManifoldOptions {
        bootstrap: Bootstrap { replicates: arguments.resamples as usize, seed: arguments.seed, ..Bootstrap::default() },
        permutations: arguments.permutations,
        seed: arguments.seed,
        split: arguments.split.clone(),
        further: arguments.features.clone(),
        generators: arguments.generators.iter().cloned().collect(),
        ..ManifoldOptions::default()
    };
    let section = source_section(&arguments.predictions, &options)?;
    let tables = section.tables.iter().map(|table| ("tables", &table.name));
    let figures = section.charts.iter().map(|chart| ("figures", &chart.name));
    let written: Vec<PathBuf> =
        tables.chain(figures).map(|(folder, name)| common.out.join(folder).join(format!("{name}.csv"))).collect();
    let read: Vec<&Path> = arguments.predictions.iter().chain(&arguments.features).map(PathBuf::as_path).collect();
    overwrites_nothing(&written, &read)?;
    write_section(&common.out, &common.out, &section)?;
    let report = common.out.join("report.html");
    if common.json {
        output::json(&json!({ "report": report, "findings": section.findings, "skipped": section.skipped }));
        return Ok(());
    }
    section.findings.iter().for_each(|finding| say!("{finding}"));
    section.skipped.iter().for_each(|reason| say!("left out: {reason}"));
    say!("{}", report.display());
    Ok(())
}
