//! How well duplicates are told from what only looks like them: the measure of `same_frames` over two lists of pairs.
//!
//! `cargo run --release -p dubito-data --example same_frames -- FOLDER [FOLDER]`: in the first folder `NAME@KIND.mp4` is a
//! copy (made anew: compressed, scaled, trimmed, ...) of `NAME.mp4`, there or in the second folder. Prints the quantiles of the
//! measure over copies, for each kind, and over all other pairs of the second folder that are looked at, and the nearest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_data::DataError;
use dubito_data::same_frames::{SAME_FRAME, distances};
use dubito_media::Tools;

fn videos(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.sort();
    files
}

fn quantiles(mut values: Vec<f32>) -> String {
    values.sort_by(f32::total_cmp);
    let at = |q: f64| values.get(((values.len() as f64 - 1.0) * q) as usize).copied().unwrap_or(f32::NAN);
    let within = values.iter().filter(|v| **v <= SAME_FRAME).count();
    let line = [0.0, 0.1, 0.5, 0.9, 1.0].map(|q| format!("{:>6.2}", at(q))).join(" ");
    format!("{:>6} pairs  {line}  {within} at most {SAME_FRAME}", values.len())
}

fn main() -> Result<(), DataError> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let files: Vec<PathBuf> = folders.iter().flat_map(|folder| videos(folder)).collect();
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let original = |path: &Path| stem(path).split('@').next().unwrap_or_default().to_owned();
    let parts = tempfile::tempdir().map_err(DataError::io("a temporary folder"))?;
    let found = distances(&files, Some(parts.path()), &Tools::discover())?;
    let mut copies: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    let mut others: Vec<(f32, String)> = Vec::new();
    let mut far = 0;
    for i in 0..files.len() {
        for j in 0..i {
            let (a, b) = (stem(&files[i]), stem(&files[j]));
            let distance = found.get(&(j, i)).copied().unwrap_or(f32::INFINITY);
            if original(&files[i]) != original(&files[j]) {
                match distance.is_finite() {
                    true => others.push((distance, format!("{b} | {a}"))),
                    false => far += 1,
                }
            } else if let Some((_, kind)) =
                a.split_once('@').or(b.split_once('@')).filter(|_| !(a.contains('@') && b.contains('@')))
            {
                copies.entry(kind.to_owned()).or_default().push(distance);
                if distance > SAME_FRAME {
                    println!("missed {distance:.2} {a} {b}");
                }
            }
        }
    }
    println!("                          least    .1     .5     .9   most");
    for (kind, values) in copies {
        println!("{kind:<12} {}", quantiles(values));
    }
    others.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!(
        "others       {} ({far} more pairs have nothing in common)",
        quantiles(others.iter().map(|o| o.0).collect())
    );
    for (distance, names) in others.iter().take(25) {
        println!("{distance:>7.2} {names}");
    }
    Ok(())
}
