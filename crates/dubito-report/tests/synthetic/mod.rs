//! Synthetic predictions of a middling detector: people, null controls, two generators, many samples.

use dubito_report::{PredictionWriter, ReportError, Row};
use dubito_stats::Task;
use std::path::Path;

/// How many of each thing.
pub struct Size {
    /// People.
    pub people: usize,
    /// Frames of each video.
    pub frames: usize,
    /// Posterior samples.
    pub samples: usize,
}

/// A number from -1 to 1 that depends on nothing but its key.
fn noise(key: &[usize]) -> f64 {
    let mut state = 0x243f_6a88_85a3_08d3_u64;
    for &part in key {
        state = (state ^ part as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 32;
    }
    (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Nearly normal noise, of standard deviation 1.
fn normal(key: [usize; 4]) -> f64 {
    (0..6).map(|i| noise(&[key[0], key[1], key[2], key[3], i])).sum::<f64>() / 2f64.sqrt()
}

/// Generator, null control, donor, centre of the logits, spread over the samples.
type Kind = (&'static str, Option<&'static str>, Option<usize>, f64, f64);

/// Every row: for each person a real video, two null controls, and two generators by two donors.
pub fn rows(size: &Size) -> Vec<Row> {
    let mut rows = Vec::new();
    for person in 0..size.people {
        let kinds: [Kind; 7] = [
            ("real", None, None, -0.9, 0.4),
            ("real", Some("face-swap"), None, -0.5, 0.5),
            ("real", Some("mouth"), None, -0.7, 0.5),
            ("face-swap", None, Some(1), 1.3, 0.5),
            ("face-swap", None, Some(2), 1.1, 0.5),
            ("mouth", None, Some(1), 0.5, 0.9),
            ("mouth", None, Some(2), 0.3, 0.9),
        ];
        for (kind, (generator, control, donor, centre, spread)) in kinds.into_iter().enumerate() {
            let name = match (control, donor) {
                (Some(control), _) => format!("id{person:02}_control_{control}"),
                (None, Some(donor)) => format!("id{person:02}_{generator}_{donor}"),
                (None, None) => format!("id{person:02}_real"),
            };
            let video = centre + 0.7 * normal([1, person, 0, 0]) + 0.9 * normal([2, person, kind, 0]);
            for frame in 0..size.frames {
                let logit = video + 0.5 * normal([3, person, kind, frame]);
                for sample in 0..size.samples {
                    let network = spread * normal([4, sample, kind / 3, 0]) + 0.3 * normal([5, sample, person, kind]);
                    let p = 1.0 / (1.0 + (-1.6 * (logit + network)).exp());
                    rows.push(Row {
                        item: format!("{name}/{frame:04}"),
                        label: usize::from(donor.is_some()),
                        probs: vec![1.0 - p, p],
                        sample: sample as u64,
                        frame: Some(frame as u64),
                        video: Some(name.clone()),
                        generator: Some(generator.into()),
                        control: control.map(String::from),
                        identity: Some(format!("id{person:02}")),
                        donor: donor.map(|d| format!("id{:02}", (person + d) % size.people)),
                        fold: Some((person % 4).to_string()),
                        ..Row::default()
                    });
                }
            }
        }
    }
    rows
}

/// Write rows of the binary task to a file.
pub fn write(path: &Path, rows: &[Row]) -> Result<(), ReportError> {
    let provenance = serde_json::json!({ "seed": 7, "command": "synthetic" });
    let mut writer = PredictionWriter::create(path, &Task::binary(), &provenance)?;
    for row in rows {
        writer.push(row)?;
    }
    writer.finish().map(drop)
}
