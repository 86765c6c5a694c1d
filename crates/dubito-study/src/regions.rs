//! Experiment: which parts of the face an uncertainty hangs on, by covering them, by showing nothing else, and by its map.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dubito_data::clip::Clip;
use dubito_data::manifest::{Row, Status};
use dubito_face::{Region, region_mask};
use dubito_nn::{Quantity, blur_plane};
use dubito_report::section::{Chart, ChartKind, Section, Source, Table, Value, far_apart};
use dubito_stats::{Bootstrap, Estimate};
use serde::{Deserialize, Serialize};

use crate::StudyError;
use crate::maps::pairs::places;
use crate::maps::ready::{Ready, Values};
use crate::maps::{Judged, MapOptions, choose, kept, mean, said};
use crate::progress::{OnProgress, Progress, Step};

/// Blur that hides a part, in parts of the crop's side (standard deviation).
const HIDES: f32 = 1.0 / 12.0;
/// Width of the seam between what is hidden and what is not, in parts of the side.
const SEAM: f32 = 1.0 / 64.0;
/// What all samples being one network looks like, in nats.
const NO_DOUBT: f64 = 1e-7;

/// A part of the face on one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Share of the crop.
    pub(crate) area: f64,
    /// Each quantity of the frame, less that with the part blurred: what the part adds.
    pub(crate) occlusion: Values,
    /// Each quantity with all but the part blurred, less that with everything blurred: what the part says alone.
    pub(crate) alone: Values,
    /// For each quantity that the detector has: the mean of its map (size of the gradient) in the part, divided by its mean
    /// over the crop. 1 is the crop's mean.
    pub(crate) pooled: Vec<(Quantity, f64)>,
}

/// A frame, part by part in the order of [`Region::GROUPS`]; `None` where the part is not seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FrameParts {
    pub(crate) values: Values,
    pub(crate) parts: Vec<Option<Part>>,
}

/// A crop with everything blurred: what a part is replaced by.
pub(crate) fn hidden(crop: &[u8], side: usize, sigma: f32) -> Vec<u8> {
    let mut out = vec![0; crop.len()];
    for channel in 0..3 {
        let mut plane: Vec<f32> = crop.iter().skip(channel).step_by(3).map(|&v| f32::from(v)).collect();
        blur_plane(&mut plane, [side, side], sigma);
        out.iter_mut()
            .skip(channel)
            .step_by(3)
            .zip(plane)
            .for_each(|(out, v)| *out = v.round().clamp(0.0, 255.0) as u8);
    }
    out
}

/// `inside` where the mask is 1, `outside` where it is 0, mixed at its seam.
pub(crate) fn mixed(inside: &[u8], outside: &[u8], mask: &[f32]) -> Vec<u8> {
    let values = inside.iter().zip(outside).enumerate();
    values
        .map(|(i, (a, b))| (f32::from(*a) * mask[i / 3] + f32::from(*b) * (1.0 - mask[i / 3])).round() as u8)
        .collect()
}

/// The mask of a group of regions, 0 or 1.
pub(crate) fn mask_of(points: &[[f32; 3]], group: &[Region], side: usize) -> Vec<f32> {
    let mut mask = vec![0.0; side * side];
    for region in group {
        let found = region_mask(points, *region, side as u32, side as u32);
        mask.iter_mut().zip(found.pixels()).filter(|(_, p)| p[0] > 0).for_each(|(v, _)| *v = 1.0);
    }
    mask
}

/// Mean of a map in a mask, divided by its mean over the crop; 1 where the map is flat at 0.
pub(crate) fn pooled(map: &[f32], mask: &[f32]) -> f64 {
    let sum = |mask: &dyn Fn(usize) -> f64| -> f64 {
        map.iter().enumerate().map(|(i, v)| f64::from(v.abs()) * mask(i)).sum()
    };
    let area: f64 = mask.iter().map(|v| f64::from(*v)).sum();
    let (inside, all) = (sum(&|i| f64::from(mask[i])) / area.max(1.0), sum(&|_| 1.0) / map.len().max(1) as f64);
    if all > 0.0 { inside / all } else { 1.0 }
}

/// One frame's parts.
pub(crate) fn parts(
    ready: &Ready,
    crop: &[u8],
    points: &[[f32; 3]],
    maps: &[(Quantity, Vec<f32>)],
) -> Result<FrameParts, StudyError> {
    let side = ready.size();
    let blurred = hidden(crop, side, HIDES * side as f32);
    let masks: Vec<Vec<f32>> = Region::GROUPS.iter().map(|(_, group)| mask_of(points, group, side)).collect();
    let seen: Vec<bool> = masks.iter().map(|mask| mask.iter().any(|v| *v > 0.0)).collect();
    let mut pictures = [crop, &blurred].concat();
    for mask in masks.iter().zip(&seen).filter(|(_, seen)| **seen).map(|(mask, _)| mask) {
        let mut soft = mask.clone();
        blur_plane(&mut soft, [side, side], SEAM * side as f32);
        pictures.extend(mixed(&blurred, crop, &soft));
        pictures.extend(mixed(crop, &blurred, &soft));
    }
    let found = ready.values(&pictures)?;
    let (values, nothing) = (found[0], found[1]);
    let mut of_parts = found[2..].as_chunks::<2>().0.iter();
    let less = |a: Values, b: Values| -> Values { std::array::from_fn(|i| a[i] - b[i]) };
    let parts = masks.iter().zip(&seen).map(|(mask, seen)| {
        let &[without, alone] = if *seen { of_parts.next()? } else { return None };
        Some(Part {
            area: mask.iter().map(|v| f64::from(*v)).sum::<f64>() / (side * side) as f64,
            occlusion: less(values, without),
            alone: less(alone, nothing),
            pooled: maps.iter().map(|(q, map)| (*q, pooled(map, mask))).collect(),
        })
    });
    Ok(FrameParts { values, parts: parts.collect() })
}

/// A frame with what it is of.
struct Item<'a> {
    row: &'a Row,
    person: u32,
    parts: FrameParts,
}

/// The experiment of regions, of forged and untouched clips in `store`, each judged by the run of its fold. What was measured
/// before is kept in `out/kept` and not measured again.
///
/// # Errors
/// As [`maps_section`](crate::maps::maps_section).
#[allow(clippy::too_many_arguments)] // one call, each argument a different thing
pub fn regions_section(
    rows: &[Row],
    store: &Path,
    detectors: &[Judged],
    out: &Path,
    options: &MapOptions,
    step: Step,
    on_progress: OnProgress,
) -> Result<Section, StudyError> {
    options.check()?;
    let people = crate::crops::people(rows);
    let usable = |row: &&Row| row.status == Status::Ok && row.clip.is_some() && row.control.is_none();
    let chosen = choose(rows.iter().filter(usable), options.videos, options.seed);
    let total = chosen.len() * detectors.len();
    let (mut done, mut skipped) = (0, Vec::new());
    let mut judged: Vec<(String, Vec<Item<'_>>)> = Vec::new();
    for detector in detectors {
        let mut items = Vec::new();
        for run in &detector.runs {
            let Some(ready) = Ready::open_or_say(&run.dir, &options.draw(), &mut skipped)? else { continue };
            for row in chosen.iter().filter(|row| run.fold.as_ref().is_none_or(|fold| *fold == row.split)) {
                let name = row.clip.as_deref().unwrap_or_default();
                let how = MapOptions { replicates: 0, videos: 0, shares: Vec::new(), ..options.clone() };
                let key = format!("regions 1 {} {name} {:?} {how:?}", ready.hash, row.real_frames);
                let frames =
                    kept(&out.join("kept/regions"), &key, || measure(&ready, row, &store.join(name), options))?;
                let person = people.binary_search(&row.identity.as_str()).unwrap_or(0) as u32;
                items.extend(frames.into_iter().map(|parts| Item { row, person, parts }));
                done += 1;
                let item = format!("{}: {}", detector.name, row.video);
                if !on_progress(&Progress { step, done: done.min(total), total, item }) {
                    return Err(StudyError::stopped());
                }
            }
        }
        match items.is_empty() {
            true => skipped.push(format!("{}: no clip to judge", detector.name)),
            false => judged.push((detector.name.clone(), items)),
        }
    }
    Ok(section(&judged, detectors, skipped, options))
}

fn measure(ready: &Ready, row: &Row, path: &Path, options: &MapOptions) -> Result<Vec<FrameParts>, StudyError> {
    let clip = Clip::read(path)?;
    if clip.meta.size as usize != ready.size() {
        return Err(StudyError::Input {
            message: format!("{}: a clip of {} pixels, not {}", row.video, clip.meta.size, ready.size()),
            hint: format!("extract again with --size {}", ready.size()),
        });
    }
    let frame = |i: usize| {
        let (crop, points) = (clip.frame(i).unwrap_or_default(), clip.points(i).unwrap_or_default());
        let quantities = ready.quantities().into_iter();
        let maps = quantities.map(|q| Ok((q, ready.map(crop, q, options.methods[0])?.pixels)));
        parts(ready, crop, points, &maps.collect::<Result<Vec<_>, StudyError>>()?)
    };
    places(&clip, row, options.frames).into_iter().map(frame).collect()
}

/// The three ways.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Occlusion,
    Alone,
    Pooled,
}

impl Way {
    const ALL: [Self; 3] = [Self::Occlusion, Self::Alone, Self::Pooled];

    fn name(self) -> &'static str {
        match self {
            Self::Occlusion => "occlusion",
            Self::Alone => "crop",
            Self::Pooled => "pooled_map",
        }
    }

    fn of(self, part: &Part, quantity: Quantity) -> Option<f64> {
        let place = Quantity::ALL.iter().position(|q| *q == quantity)?;
        match self {
            Self::Occlusion => Some(part.occlusion[place]),
            Self::Alone => Some(part.alone[place]),
            Self::Pooled => part.pooled.iter().find(|(q, _)| *q == quantity).map(|(_, v)| *v),
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Occlusion => {
                "the quantity less that with the region blurred (nats; P(fake) as it is): what the region adds"
            }
            Self::Alone => {
                "the quantity with all but the region blurred, less that with everything blurred: what it says alone"
            }
            Self::Pooled => "the map's mean in the region over its mean in the crop; 1 is the crop's mean",
        }
    }
}

fn estimate(items: &[&Item<'_>], k: usize, bootstrap: &Bootstrap, of: impl Fn(&Part) -> Option<f64>) -> Estimate {
    let found: (Vec<f64>, Vec<u32>) =
        items.iter().filter_map(|item| Some((of(item.parts.parts.get(k)?.as_ref()?)?, item.person))).unzip();
    mean(&found.0, &found.1, bootstrap)
}

fn section(
    judged: &[(String, Vec<Item<'_>>)],
    detectors: &[Judged],
    mut skipped: Vec<String>,
    options: &MapOptions,
) -> Section {
    let bootstrap = options.bootstrap();
    let (mut tables, mut charts, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    // For each quantity: rows of detector and generator, and their estimates by way and region.
    for quantity in Quantity::ALL {
        let mut rows: Vec<Vec<Value>> = Vec::new();
        let mut matrices: [Vec<(String, Vec<Estimate>)>; 3] = Default::default();
        for (detector, items) in judged {
            let has = items
                .iter()
                .flat_map(|item| item.parts.parts.iter().flatten())
                .any(|part| part.pooled.iter().any(|(q, _)| *q == quantity));
            let doubts = items.iter().any(|item| item.parts.values[2].abs() > NO_DOUBT);
            if !has || (quantity == Quantity::Epistemic && !doubts) {
                skipped.push(format!("{detector}: no {} to look for in the face", quantity.in_words()));
                continue;
            }
            let fakes: Vec<&Item<'_>> = items.iter().filter(|item| item.row.generator != "real").collect();
            findings.extend(finding(detector, quantity, &fakes, &bootstrap));
            let mut generators: BTreeMap<&str, Vec<&Item<'_>>> = BTreeMap::new();
            items.iter().for_each(|item| generators.entry(&item.row.generator).or_default().push(item));
            for (generator, of) in &generators {
                let mut lines: [Vec<Estimate>; 3] = Default::default();
                for (k, (region, _)) in Region::GROUPS.iter().enumerate() {
                    let ways = Way::ALL.map(|way| estimate(of, k, &bootstrap, |part| way.of(part, quantity)));
                    lines.iter_mut().zip(&ways).for_each(|(line, found)| line.push(found.clone()));
                    let mut row: Vec<Value> = vec![detector.as_str().into(), (*generator).into(), (*region).into()];
                    row.extend(ways.map(Value::from));
                    row.push(estimate(of, k, &bootstrap, |part| Some(part.area)).into());
                    rows.push(row);
                }
                for (matrix, line) in matrices.iter_mut().zip(lines) {
                    matrix.push((format!("{detector}, {generator}"), line));
                }
            }
        }
        if rows.is_empty() {
            continue;
        }
        tables.push(Table {
            name: format!("regions_{}", quantity.name()),
            title: format!("Regions and {}", quantity.in_words()),
            caption: Way::ALL.map(|way| format!("{}: {}", way.name(), way.in_words())).join(". ") + ".",
            columns: ["detector", "generator", "region", "occlusion", "crop", "pooled map", "share of the crop"]
                .map(String::from)
                .to_vec(),
            rows,
        });
        for (way, matrix) in Way::ALL.into_iter().zip(matrices) {
            let (names, values): (Vec<String>, Vec<Vec<Estimate>>) = matrix.into_iter().unzip();
            charts.push(Chart {
                name: format!("regions_{}_{}", quantity.name(), way.name()),
                title: format!("{}: {}", quantity.in_words(), way.name().replace('_', " ")),
                caption: format!("Each cell is {}.", way.in_words()),
                kind: ChartKind::Matrix {
                    rows: names,
                    columns: Region::GROUPS.iter().map(|(name, _)| (*name).to_owned()).collect(),
                    by_row: far_apart(&values),
                    values,
                    what: if way == Way::Pooled {
                        "times the crop's mean".into()
                    } else {
                        "nats (P(fake) as it is)".into()
                    },
                    ends: None,
                },
            });
        }
    }
    let items = || judged.iter().flat_map(|(_, items)| items);
    let videos: BTreeSet<&str> = items().map(|item| item.row.video.as_str()).collect();
    let seen: BTreeSet<u32> = items().map(|item| item.person).collect();
    let sources = detectors.iter().flat_map(|d| d.runs.iter().map(move |run| (d, run))).map(|(detector, run)| Source {
        what: format!("regions of {}", detector.name),
        path: run.dir.display().to_string(),
        command: String::new(),
    });
    Section {
        name: "regions".into(),
        title: "Uncertainty by facial region".into(),
        question: "Which parts of the face does each uncertainty hang on, and is that another part for another generator?".into(),
        method: format!(
            "{} frames of {} videos of {} people, each judged by a detector that never saw them, by {} posterior samples. A \
             region is outlined by the landmarks of the face. Three ways: the region is blurred (by 1/12 of the crop's side, \
             with a soft seam); all but the region is blurred; the mean of the map `{}` in it. Intervals (95 %) draw people.",
            items().count(),
            videos.len(),
            seen.len(),
            options.samples,
            options.methods[0].name(),
        ),
        findings,
        tables,
        charts,
        meaning: vec![
            "A large region changes more than a small one, so its share of the crop stands beside it. What is blurred is a \
             picture that no camera takes: an uncertainty may rise because of the blur and not for want of the region, which is \
             why three ways are shown; where they agree, a region matters."
                .into(),
        ],
        skipped,
        sources: sources.collect(),
    }
}

/// The region that a quantity of fakes hangs on most, by covering it, and what the other two ways say.
fn finding(detector: &str, quantity: Quantity, fakes: &[&Item<'_>], bootstrap: &Bootstrap) -> Option<String> {
    let strongest = |way: Way| -> Option<(&'static str, Estimate)> {
        let all = Region::GROUPS.iter().enumerate().map(|(k, (name, _))| {
            let found = estimate(fakes, k, bootstrap, |part| way.of(part, quantity));
            (*name, found)
        });
        let size = |found: &Estimate| found.value.map_or(-1.0, f64::abs);
        all.max_by(|a, b| size(&a.1).total_cmp(&size(&b.1))).filter(|(_, found)| found.value.is_some())
    };
    let [covered, alone, map] = [strongest(Way::Occlusion)?, strongest(Way::Alone)?, strongest(Way::Pooled)?];
    let sure = covered.1.low.zip(covered.1.high).is_some_and(|(low, high)| low > 0.0 || high < 0.0);
    let agree = match (covered.0 == alone.0, covered.0 == map.0) {
        (true, true) => "all three ways agree".to_owned(),
        _ => format!(
            "shown alone the region `{}` changes most ({}), the map is strongest at `{}` ({} times the crop's mean)",
            alone.0,
            said(&alone.1),
            map.0,
            said(&map.1)
        ),
    };
    let unit = if quantity == Quantity::PFake { "" } else { " nats" };
    Some(format!(
        "{detector}: of fakes' {}, covering the region `{}` takes most: {}{unit}{}; {agree}.",
        quantity.in_words(),
        covered.0,
        said(&covered.1),
        if sure { "" } else { ", which may be chance" },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_hidden_and_the_rest_stays() {
        let side = 24;
        let crop: Vec<u8> = (0..side * side).flat_map(|i| [if i % 2 == 0 { 0 } else { 200 }; 3]).collect();
        let blurred = hidden(&crop, side, 4.0);
        // Away from the border, whose last pixel goes on, every pixel is the mean.
        let inner = (0..side * side).filter(|i| (12..=side - 12).contains(&(i % side)));
        assert!(inner.map(|i| blurred[3 * i]).all(|v| v.abs_diff(100) < 12));
        let mask: Vec<f32> = (0..side * side).map(|i| if i / side < 12 { 1.0 } else { 0.0 }).collect();
        let covered = mixed(&blurred, &crop, &mask);
        assert_eq!(covered[3 * 12 * side..], crop[3 * 12 * side..]);
        assert_eq!(covered[..3 * 12 * side], blurred[..3 * 12 * side]);
        let map: Vec<f32> = mask.iter().map(|m| 1.0 + 2.0 * m).collect();
        assert!((pooled(&map, &mask) - 1.5).abs() < 1e-6);
        assert!((pooled(&vec![0.0; side * side], &mask) - 1.0).abs() < 1e-6);
    }
}
