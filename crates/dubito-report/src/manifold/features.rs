//! Features of each video from its frames and posterior samples: what a detector says (probability), how much it doubts
//! (uncertainty), and which of that is a function of what it says.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use dubito_stats::items::MEASURES;
use dubito_stats::probability::normalise;
use dubito_stats::{Items, VideoSums};

use crate::evaluate::Options;
use crate::input::rows::wanted_row;
use crate::input::{Fault, Layout, Scoring, Table, View};
use crate::scores::{Origin, ScoreSet, Scores};
use crate::{Level, ReportError};

/// What a feature is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The mean probability, or how it moves over the frames.
    Probability,
    /// An uncertainty that tells the mean probability, in part or whole: total and aleatoric ones, the margin.
    Entropy,
    /// What the posterior samples disagree about: no function of the mean probability (but bounded by one).
    Epistemic,
    /// A further column, from a table.
    Further,
}

/// One detector (with its inference method and seed) and what it says of each fake.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Detector {
    pub name: String,
    /// Its classes, where it tells more than real from fake.
    pub classes: Option<Vec<String>>,
    pub features: Vec<(String, Kind)>,
    pub videos: BTreeMap<String, Video>,
    /// What is missing, and why.
    pub notes: Vec<String>,
}

/// A fake. Of features that are not defined for it (too few frames) the value is NaN.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Video {
    pub generator: String,
    pub person: Option<String>,
    pub donor: Option<String>,
    pub fold: Option<String>,
    pub values: Vec<f64>,
}

/// The features of all fakes in a file, for each of its detectors. Errors: as [`Scores::read`].
pub(crate) fn read(path: &Path, split: Option<&str>) -> Result<Vec<Detector>, ReportError> {
    let options =
        Options { bootstrap: None, split: split.map(String::from), view: View::Everything, ..Options::default() };
    let scores = Scores::read(&[path.to_path_buf()], &options)?;
    let is_binary = scores.task.positive.is_some();
    let by_class = if is_binary { HashMap::new() } else { by_class(path, &options)? };
    scores.sets.iter().map(|set| detector(path, &scores, set, &by_class)).collect()
}

fn detector(path: &Path, scores: &Scores, set: &ScoreSet, by_class: &ByClass) -> Result<Detector, ReportError> {
    let level = if scores.has_videos { Level::Video } else { Level::Item };
    let name = set.detector.clone().unwrap_or_else(|| path.file_stem().unwrap_or_default().to_string_lossy().into());
    let classes = scores.task.positive.is_none().then(|| scores.task.classes.clone());
    let mut notes = Vec::new();
    // Of one sample nothing disagrees, and of reduced samples nobody knows.
    let is_divided = match (set.samples, set.videos_undivided) {
        (1, _) => Err("there is one sample of each frame".to_owned()),
        (_, Some(reason)) => Err(reason.to_owned()),
        _ => Ok(()),
    };
    if let Err(reason) = &is_divided {
        notes.push(format!("{name}: no epistemic features: {reason}"));
    }
    let mut makers = whole(set.of(level), is_divided.is_ok());
    if let Some(classes) = &classes {
        let items = set.of(level);
        for (at, class) in classes.iter().enumerate() {
            makers.push((format!("p_{class}"), Kind::Probability, Box::new(move |i| items.probs(i)[at])));
        }
    } else {
        let items = set.of(level);
        let logit = |p: f64| (p.clamp(1e-6, 1.0 - 1e-6) / (1.0 - p.clamp(1e-6, 1.0 - 1e-6))).ln();
        makers.push(("p".into(), Kind::Probability, Box::new(move |i| items.probs(i)[1])));
        makers.push(("p_logit".into(), Kind::Probability, Box::new(move |i| logit(items.probs(i)[1]))));
    }
    let mut features: Vec<(String, Kind)> = makers.iter().map(|(name, kind, _)| (name.clone(), *kind)).collect();
    let series = if level == Level::Video { series(&set.items, is_divided.is_ok(), classes.is_none()) } else { vec![] };
    for Series { name, kind, moments, .. } in &series {
        features.extend(moments.iter().map(|moment| (format!("{name}_{}", MOMENTS[*moment]), *kind)));
    }
    let parts: [(&str, Kind); 5] = [
        ("total", Kind::Entropy),
        ("aleatoric", Kind::Entropy),
        ("between_frames", Kind::Entropy),
        ("epistemic", Kind::Epistemic),
        ("epistemic_variance", Kind::Epistemic),
    ];
    let parts = if is_divided.is_ok() { &parts[..] } else { &parts[..3] };
    for class in classes.iter().flatten() {
        features.extend(parts.iter().map(|(part, kind)| (format!("{class}_{part}"), *kind)));
    }
    let frames = frames_of(scores, set);
    let mut videos = BTreeMap::new();
    for i in 0..set.of(level).len() {
        let unit = scores.unit(set, level, i);
        let Origin::Generator(generator) = scores.units.origin(unit) else { continue };
        let mut values: Vec<f64> = makers.iter().map(|(_, _, of)| of(i)).collect();
        if !series.is_empty() {
            let of_video = frames.get(&unit).cloned().unwrap_or(0..0);
            for one in &series {
                let values_of_frames: Vec<f64> = of_video.clone().map(|frame| (one.of)(frame)).collect();
                let all = moments(&values_of_frames);
                values.extend(one.moments.iter().map(|&moment| all[moment]));
            }
        }
        let video = scores.units.name(unit);
        if classes.is_some() {
            let place = |source| ReportError::Stats { place: video.to_owned(), source };
            let key = (set.detector.clone().unwrap_or_default(), video.to_owned());
            for sums in by_class.get(&key).into_iter().flatten() {
                let (one, measures) = (sums.finish(0, 0).map_err(place)?, sums.measures().map_err(place)?);
                let all = [one.total, one.aleatoric, one.between_frames, one.epistemic, measures.epistemic_variance];
                values.extend_from_slice(&all[..parts.len()]);
            }
        }
        values.resize(features.len(), f64::NAN);
        let text = |name: &str| scores.units.text(name, unit).map(String::from);
        videos.insert(
            video.to_owned(),
            Video {
                generator: generator.clone(),
                person: text("identity"),
                donor: text("donor"),
                fold: text("fold"),
                values,
            },
        );
    }
    if set.missing > 0 {
        notes.push(format!("{name}: {} items have no score", set.missing));
    }
    Ok(Detector { name, classes, features, videos, notes })
}

/// A feature of scored item `i`, its name and what it is made of.
type Maker<'a> = (String, Kind, Box<dyn Fn(usize) -> f64 + 'a>);

/// What videos (or items without videos) are as a whole: decompositions of entropy and of variance, margin, votes.
fn whole(items: &Items, is_divided: bool) -> Vec<Maker<'_>> {
    let mut all: Vec<Maker<'_>> = vec![
        ("total".into(), Kind::Entropy, Box::new(|i| items.total()[i])),
        ("aleatoric".into(), Kind::Entropy, Box::new(|i| items.aleatoric()[i])),
        ("margin".into(), Kind::Entropy, Box::new(|i| items.margin(i))),
        ("total_variance".into(), Kind::Entropy, Box::new(|i| items.total_variance(i))),
    ];
    if !is_divided {
        return all;
    }
    all.push(("between_frames".into(), Kind::Entropy, Box::new(|i| items.between_frames()[i])));
    all.push(("epistemic".into(), Kind::Epistemic, Box::new(|i| items.epistemic()[i])));
    for (name, column) in MEASURES.into_iter().zip(items.measures()) {
        let Some(column) = column else { continue };
        let kind = if matches!(name, "aleatoric_variance" | "between_frames_variance") {
            Kind::Entropy
        } else {
            Kind::Epistemic
        };
        all.push((name.into(), kind, Box::new(move |i| column[i])));
    }
    all
}

/// What is said of the distribution of a series over the frames, in the order of [`moments`].
const MOMENTS: [&str; 7] = ["mean", "sd", "skewness", "q10", "median", "q90", "lag1"];

/// A number of each frame, and which moments of it are features.
struct Series<'a> {
    name: &'static str,
    kind: Kind,
    of: Box<dyn Fn(usize) -> f64 + 'a>,
    moments: Vec<usize>,
}

/// The means over frames of probability and aleatoric uncertainty are those of the video, and left out here.
fn series(frames: &Items, is_divided: bool, is_binary: bool) -> Vec<Series<'_>> {
    let but_mean = || (1..MOMENTS.len()).collect::<Vec<_>>();
    let all = || (0..MOMENTS.len()).collect::<Vec<_>>();
    let mut series = vec![
        Series { name: "total", kind: Kind::Entropy, of: Box::new(|i| frames.total()[i]), moments: all() },
        Series { name: "aleatoric", kind: Kind::Entropy, of: Box::new(|i| frames.aleatoric()[i]), moments: but_mean() },
    ];
    if is_binary {
        series.push(Series {
            name: "p",
            kind: Kind::Probability,
            of: Box::new(|i| frames.probs(i)[1]),
            moments: but_mean(),
        });
    }
    if !is_divided {
        return series;
    }
    let of = Box::new(|i: usize| frames.epistemic()[i]);
    series.push(Series { name: "epistemic", kind: Kind::Epistemic, of, moments: all() });
    for (name, column) in MEASURES.into_iter().zip(frames.measures()) {
        let (Some(column), name) = (column, name) else { continue };
        // Where votes are few, and where the mean says it all, the mean and the deviation are enough.
        let moments = match name {
            "epistemic_variance" => all(),
            "variation_ratio" | "epistemic_jackknife" => vec![0, 1],
            _ => continue,
        };
        let name = match name {
            "epistemic_variance" => "frame_epistemic_variance",
            "variation_ratio" => "frame_variation_ratio",
            _ => "frame_epistemic_jackknife",
        };
        series.push(Series { name, kind: Kind::Epistemic, of: Box::new(move |i| column[i]), moments });
    }
    series
}

/// Mean, deviation (denominator n), skewness, three quantiles (type 7) and lag-1 autocorrelation of the values in the order
/// of the frames. NaN where there are too few (one, two, three, one, three frames) or none differs.
fn moments(values: &[f64]) -> [f64; 7] {
    let n = values.len();
    if n == 0 {
        return [f64::NAN; 7];
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let central = |power: i32| values.iter().map(|v| (v - mean).powi(power)).sum::<f64>() / n as f64;
    let variance = central(2);
    let sd = variance.sqrt();
    let differs = n >= 3 && sd > 1e-12;
    let products: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / n as f64;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quantile = |level| dubito_stats::bootstrap::quantile(&sorted, level);
    [
        mean,
        if n >= 2 { sd } else { f64::NAN },
        if differs { central(3) / sd.powi(3) } else { f64::NAN },
        quantile(0.1),
        quantile(0.5),
        quantile(0.9),
        if differs { products / variance } else { f64::NAN },
    ]
}

/// The scored frames of each unit, in the order of the frames.
fn frames_of(scores: &Scores, set: &ScoreSet) -> HashMap<usize, std::ops::Range<usize>> {
    let mut frames: HashMap<usize, std::ops::Range<usize>> = HashMap::new();
    if scores.has_videos {
        // Frames of a video lie side by side.
        for i in 0..set.items.len() {
            frames.entry(scores.unit(set, Level::Item, i)).or_insert(i..i).end = i + 1;
        }
    }
    frames
}

/// By detector and video, the sums of each class against the rest.
type ByClass = HashMap<(String, String), Vec<VideoSums>>;

/// Each class of a file of several classes against the rest. What is wrong with its rows [`Scores::read`] has found before.
fn by_class(path: &Path, options: &Options) -> Result<ByClass, ReportError> {
    let request = options.request();
    let table = Table::open(path)?;
    let layout = Layout::of(&table, &request)?;
    let Scoring::Classes(slots) = &layout.scoring else { return Ok(ByClass::new()) };
    let fold = |block: crate::input::Block| -> Result<ByClass, Fault> {
        let (mut part, mut given, mut probs) = (ByClass::new(), Vec::new(), Vec::new());
        for row in 0..block.rows {
            if !wanted_row(&block, &layout, &request, row) {
                continue;
            }
            given.clear();
            given.extend(slots.iter().map(|&slot| block.number(slot, row).unwrap_or(f64::NAN)));
            let bad = |source: dubito_stats::StatsError| Fault::row(row, source.to_string());
            normalise(&given, slots.len(), &mut probs, String::new).map_err(bad)?;
            let sample = block.whole(layout.sample, row).unwrap_or(0);
            let video = match block.text(layout.video, row) {
                "" => block.text(layout.item, row),
                video => video,
            };
            let key = (block.text(layout.detector, row).to_owned(), video.to_owned());
            let sums = part.entry(key).or_insert_with(|| vec![VideoSums::new(2); slots.len()]);
            for (sums, p) in sums.iter_mut().zip(&probs) {
                sums.push(sample, &[1.0 - p, *p]).map_err(bad)?;
            }
        }
        Ok(part)
    };
    let mut all = ByClass::new();
    table.read(&layout.wanted, fold, |part, _| -> Result<bool, ReportError> {
        for (key, more) in part {
            match all.get_mut(&key) {
                None => drop(all.insert(key, more)),
                Some(sums) => {
                    for (sums, more) in sums.iter_mut().zip(&more) {
                        let place = |source| ReportError::Stats { place: key.1.clone(), source };
                        sums.merge(more).map_err(place)?;
                    }
                }
            }
        }
        Ok(true)
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::moments;

    #[test]
    fn moments_of_a_series() {
        // NumPy and SciPy: mean, std, skew, quantile; the autocorrelation by hand.
        let found = moments(&[1.0, 2.0, 4.0, 9.0]);
        let expected = [4.0, 3.082_207_001_484_488, 0.768_417_257_987_822_7, 1.3, 3.0, 7.5, 6.0 / 38.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
        assert!(moments(&[]).iter().all(|v| v.is_nan()));
        let one = moments(&[0.5]);
        assert!(one[0] == 0.5 && one[1].is_nan() && one[6].is_nan());
        let flat = moments(&[0.5, 0.5, 0.5]);
        assert!(flat[1] == 0.0 && flat[2].is_nan() && flat[6].is_nan());
    }
}
