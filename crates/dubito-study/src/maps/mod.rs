//! Experiment: uncertainty maps by pixel, and whether they are worth anything.
//!
//! On forged data the mask is known, and so is what was there before. A map of an uncertainty is good if the uncertainty hangs
//! on the pixels that it points at: with the true pixels put back there it must change more than with the true pixels put back
//! in an equal area at random, or where simpler maps point. docs/MAPS.md says what each number is.

pub(crate) mod pairs;
pub(crate) mod patterns;
pub(crate) mod picture;
pub(crate) mod ready;
mod report;
pub(crate) mod test;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_data::clip::Clip;
use dubito_data::manifest::{Label, Row, Status};
use dubito_media::Tools;
use dubito_nn::{Method, Quantity};
use dubito_report::section::Section;
use dubito_stats::compare::{Comparison, paired_bootstrap};
use dubito_stats::weighted::Mean;
use dubito_stats::{Bootstrap, Estimate};
use serde::{Deserialize, Serialize};

use self::pairs::{Pair, PairSource, untouched};
use self::patterns::cells;
use self::ready::{Draw, Ready, Values};
pub(crate) use self::report::said;
use self::test::{Outcome, centre, change, disc, edges, locate, put_back, stream, strength, strongest};
use crate::StudyError;
use crate::predict::FoldRun;
use crate::progress::{OnProgress, Progress, Step};

/// A detector's runs, each of which judges only the people it was not trained on.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What the detector is called in tables.
    pub name: String,
    /// Its runs with their folds.
    pub runs: Vec<FoldRun>,
}

/// How maps are made and tested.
#[derive(Clone, Debug, PartialEq)]
pub struct MapOptions {
    /// Frames of each video, evenly.
    pub frames: usize,
    /// Most videos of each generator, of as many people as there are.
    pub videos: usize,
    /// Posterior samples.
    pub samples: u32,
    /// Seed of the samples, of noise, of random places and of the choice of videos.
    pub seed: u64,
    /// `cpu` or `gpu`.
    pub device: String,
    /// The maps; the first one is that of patterns, pictures and findings, and is made of the random network too.
    pub methods: Vec<Method>,
    /// Shares of the picture in which true pixels are put back; findings are of the middle one.
    pub shares: Vec<f64>,
    /// Random places of each share.
    pub placements: usize,
    /// Pixels at the crop's border that do not count when a mask is looked for.
    pub border: usize,
    /// Replicates of the bootstrap, which draws people.
    pub replicates: usize,
}

impl Default for MapOptions {
    /// Two frames of six videos a generator, 16 samples; smoothed gradients (8 copies, 25 grey levels), gradients, and
    /// integrated gradients (16 steps from a blur of 8 pixels); 5, 10 and 20 % of the picture, four random places; a border of
    /// 16 pixels.
    fn default() -> Self {
        Self {
            frames: 2,
            videos: 6,
            samples: 16,
            seed: 0,
            device: "cpu".into(),
            methods: vec![
                Method::Smooth { copies: 8, sigma: 25.0 },
                Method::Gradient,
                Method::Integrated { steps: 16, blur: 8.0 },
            ],
            shares: vec![0.05, 0.1, 0.2],
            placements: 4,
            border: 16,
            replicates: 1000,
        }
    }
}

impl MapOptions {
    pub(crate) fn draw(&self) -> Draw {
        Draw { samples: self.samples.max(1), seed: self.seed, device: self.device.clone() }
    }

    pub(crate) fn bootstrap(&self) -> Bootstrap {
        Bootstrap { replicates: self.replicates.max(1), seed: self.seed, ..Bootstrap::default() }
    }

    /// Checks what can't work.
    ///
    /// # Errors
    /// A share that is not between 0 and 1, nothing to look at.
    pub(crate) fn check(&self) -> Result<(), StudyError> {
        let no = |message: String, hint: &str| Err(StudyError::Input { message, hint: hint.into() });
        if let Some(share) = self.shares.iter().find(|share| !(**share > 0.0 && **share < 1.0)) {
            return no(format!("a share of {share} of the picture"), "give shares above 0 and below 1, as 0.1");
        }
        if self.methods.is_empty() || self.shares.is_empty() || self.frames == 0 || self.videos == 0 {
            return no("no map, share, frame or video is asked for".into(), "give one of each at least");
        }
        Ok(())
    }
}

/// Which map: its quantity where it is of one, and how it is made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Name {
    quantity: Option<Quantity>,
    method: String,
}

/// The simpler maps, and how sentences call them.
const BASELINES: [(&str, &str); 5] = [
    ("random_network", "the same map of a network with random weights"),
    ("grad_cam", "Grad-CAM"),
    ("centre", "a Gaussian at the centre"),
    ("edges", "the picture's edges"),
    ("mean_mask", "the mean mask of other people"),
];

/// All that was measured on one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Frame {
    frame: u64,
    /// Quantities of the fake, and where all of the mask is put back.
    values: Values,
    restored: Values,
    /// Share of the crop that the mask covers, the border left out.
    masked: f64,
    /// Mean difference of fake and true pixels outside and inside the mask, in grey levels.
    differences: [Option<f64>; 2],
    /// For each share: mean change where the true pixels are put back at random places.
    random: Vec<Values>,
    maps: Vec<(Name, Outcome)>,
    /// Length of the gradient.
    gradients: Vec<(Quantity, f64)>,
    /// Sum of integrated gradients, and what it should be.
    completeness: Vec<(Quantity, [f64; 2])>,
    /// The first method's map on a grid.
    patterns: Vec<(Quantity, Vec<f32>)>,
}

/// A frame with what it is of.
#[derive(Clone, Debug)]
struct Item<'a> {
    row: &'a Row,
    person: u32,
    frame: Frame,
}

/// Of each generator so many videos, by as many people as there are, in an order that the seed decides; by name in the end.
pub(crate) fn choose<'a>(rows: impl Iterator<Item = &'a Row>, videos: usize, seed: u64) -> Vec<&'a Row> {
    let mut groups: BTreeMap<&str, Vec<(String, &Row)>> = BTreeMap::new();
    for row in rows {
        let hash = blake3::hash(format!("{seed} {}", row.video).as_bytes()).to_hex().to_string();
        groups.entry(&row.generator).or_default().push((hash, row));
    }
    let mut chosen = Vec::new();
    for (_, mut group) in groups {
        group.sort_by(|a, b| a.0.cmp(&b.0));
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut order: Vec<(usize, &Row)> = group
            .iter()
            .map(|(_, row)| {
                let count = seen.entry(&row.identity).or_default();
                *count += 1;
                (*count, *row)
            })
            .collect();
        order.sort_by_key(|(turn, _)| *turn);
        chosen.extend(order.into_iter().take(videos).map(|(_, row)| row));
    }
    chosen.sort_by(|a, b| a.video.cmp(&b.video));
    chosen
}

/// A mean over frames with its interval, people drawn.
pub(crate) fn mean(values: &[f64], people: &[u32], bootstrap: &Bootstrap) -> Estimate {
    compared(values, &vec![0.0; values.len()], people, bootstrap).map_or_else(|e| e, |found| found.difference)
}

/// Two numbers of each frame compared, people drawn; `Err` is why they can't be.
pub(crate) fn compared(a: &[f64], b: &[f64], people: &[u32], bootstrap: &Bootstrap) -> Result<Comparison, Estimate> {
    if a.is_empty() {
        return Err(Estimate::undefined("no frame has this number"));
    }
    paired_bootstrap(&Mean(a.to_vec()), &Mean(b.to_vec()), people, bootstrap)
        .map_err(|e| Estimate::undefined(e.to_string()))
}

/// A clip's measurements, kept in a file named by what they depend on.
pub(crate) fn kept<T: Serialize + for<'d> Deserialize<'d>>(
    folder: &Path,
    key: &str,
    make: impl FnOnce() -> Result<T, StudyError>,
) -> Result<T, StudyError> {
    let key = blake3::hash(key.as_bytes()).to_hex();
    let path = folder.join(&key[..2]).join(format!("{}.json", &key[..32]));
    if let Some(found) = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(found);
    }
    let made = make()?;
    let bytes = serde_json::to_vec(&made).map_err(|e| StudyError::io(&path)(std::io::Error::other(e)))?;
    dubito_data::write_atomically(&path, &bytes)?;
    Ok(made)
}

/// A fake's clip with its pairs.
struct Found<'a> {
    row: &'a Row,
    person: u32,
    clip: String,
    frames: Vec<u64>,
    size: u32,
    pairs: Vec<Pair>,
}

/// The experiment of maps: makes and tests maps of forged clips in `store`, whose videos and masks are paths relative to `root`
/// (the manifest's folder, which often is the store), and writes pictures into `out`, the section's own folder. Each run judges the fold that it was not trained on.
/// What was measured before is kept in `out/kept` and not measured again.
///
/// What can't be used (a detector without gradients, a fake without mask or untouched video) is named in
/// [`Section::skipped`].
///
/// # Errors
/// A run or a clip that can't be read, an option out of its range, a folder that can't be written to.
#[allow(clippy::too_many_arguments)] // one call, each argument a different thing
pub fn maps_section(
    rows: &[Row],
    root: &Path,
    store: &Path,
    detectors: &[Judged],
    out: &Path,
    options: &MapOptions,
    tools: &Tools,
    step: Step,
    on_progress: OnProgress,
) -> Result<Section, StudyError> {
    options.check()?;
    let people = crate::crops::people(rows);
    let real = untouched(rows);
    let usable = |row: &&Row| row.status == Status::Ok && row.label == Label::Fake && row.clip.is_some();
    let chosen = choose(rows.iter().filter(usable), options.videos, options.seed);
    let source = PairSource { root, kept: out.join("kept/pairs"), frames: options.frames, tools };
    let mut skipped = Vec::new();
    let total = chosen.len() * (1 + detectors.len());
    let mut done = 0;
    let mut advance = |item: &str| {
        done += 1;
        let go_on = on_progress(&Progress { step, done: done.min(total), total, item: item.to_owned() });
        if go_on { Ok(()) } else { Err(StudyError::stopped()) }
    };
    let mut found = Vec::new();
    for row in chosen {
        let name = row.clip.clone().unwrap_or_default();
        let clip = Clip::read(&store.join(&name))?;
        let of = row.source.as_deref().and_then(|source| real.get(&(row.dataset.as_str(), source)).copied());
        match source.of(row, of, &clip)? {
            Ok(pairs) => {
                let frames = pairs.iter().map(|pair| clip.frame_index[pair.place]).collect();
                let person = people.binary_search(&row.identity.as_str()).unwrap_or(0) as u32;
                found.push(Found { row, person, clip: name, frames, size: clip.meta.size, pairs });
            }
            Err(reason) => skipped.push(format!("{}: {reason}", row.video)),
        }
        advance(&row.video)?;
    }
    let mut judged: Vec<(String, Vec<Item<'_>>)> = Vec::new();
    for detector in detectors {
        let mut items = Vec::new();
        for run in &detector.runs {
            let Some(ready) = Ready::open_or_say(&run.dir, &options.draw(), &mut skipped)? else { continue };
            let held_out = |found: &&Found<'_>| run.fold.as_ref().is_none_or(|fold| *fold == found.row.split);
            let mine: Vec<&Found<'_>> = found.iter().filter(held_out).collect();
            if let Some(other) = mine.iter().find(|found| found.size as usize != ready.size()) {
                return Err(StudyError::Input {
                    message: format!("{}: a clip of {} pixels, not {}", other.row.video, other.size, ready.size()),
                    hint: format!("extract again with --size {}", ready.size()),
                });
            }
            // Batch norm of the random network is measured on what it is shown.
            let calibration: Vec<u8> =
                mine.iter().flat_map(|f| &f.pairs).take(16).flat_map(|pair| pair.fake.iter().copied()).collect();
            let random = match calibration.is_empty() {
                true => None,
                false => Some(ready.randomised(&calibration, options.seed)?),
            };
            for of in mine {
                let others = found.iter().filter(|other| {
                    other.row.identity != of.row.identity && run.fold.as_ref().is_none_or(|f| *f != other.row.split)
                });
                let mean_mask = mean_mask(others.flat_map(|other| &other.pairs), ready.size());
                let frames = measure(&ready, random.as_ref(), of, mean_mask.as_deref(), &calibration, out, options)?;
                items.extend(frames.into_iter().map(|frame| Item { row: of.row, person: of.person, frame }));
                advance(&format!("{}: {}", detector.name, of.row.video))?;
            }
        }
        match items.is_empty() {
            true => {
                skipped.push(format!("{}: no forged clip with its mask and untouched video to judge", detector.name))
            }
            false => judged.push((detector.name.clone(), items)),
        }
    }
    report::section(&judged, detectors, skipped, out, options)
}

/// Where other people's fakes were changed: the mean of their masks.
fn mean_mask<'a>(pairs: impl Iterator<Item = &'a Pair>, side: usize) -> Option<Vec<f32>> {
    let mut sum = vec![0.0f32; side * side];
    let mut count = 0.0f32;
    for pair in pairs.filter(|pair| pair.mask.len() == side * side) {
        sum.iter_mut().zip(&pair.mask).for_each(|(sum, mask)| *sum += f32::from(u8::from(*mask)));
        count += 1.0;
    }
    (count > 0.0).then(|| sum.into_iter().map(|v| v / count).collect())
}

/// Everything of one clip, from its file where it was measured before.
fn measure(
    ready: &Ready,
    random: Option<&Ready>,
    of: &Found<'_>,
    mean_mask: Option<&[f32]>,
    calibration: &[u8],
    out: &Path,
    options: &MapOptions,
) -> Result<Vec<Frame>, StudyError> {
    let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let mask: Vec<u8> = mean_mask.unwrap_or_default().iter().flat_map(|v| v.to_le_bytes()).collect();
    let pixels = of.pairs.iter().map(|pair| digest(&pair.real) + &digest(&pair.fake)).collect::<Vec<_>>();
    let how = MapOptions { replicates: 0, videos: 0, ..options.clone() };
    let key = format!(
        "maps 1 {} {} {:?} {pixels:?} {} {} {how:?}",
        ready.hash,
        of.clip,
        of.frames,
        digest(&mask),
        digest(calibration)
    );
    kept(&out.join("kept/maps"), &key, || {
        let pairs = of.pairs.iter().zip(&of.frames);
        pairs
            .map(|(pair, &frame)| measure_frame(ready, random, pair, frame, mean_mask, &of.row.video, options))
            .collect()
    })
}

fn measure_frame(
    ready: &Ready,
    random: Option<&Ready>,
    pair: &Pair,
    frame: u64,
    mean_mask: Option<&[f32]>,
    video: &str,
    options: &MapOptions,
) -> Result<Frame, StudyError> {
    let side = ready.size();
    let sigma = side as f32 / 32.0;
    let named = |quantity, method: &str| Name { quantity, method: method.to_owned() };
    let (mut maps, mut gradients) = (Vec::new(), Vec::new());
    let (mut completeness, mut patterns) = (Vec::new(), Vec::new());
    for quantity in ready.quantities() {
        for (k, method) in options.methods.iter().enumerate() {
            let map = ready.map(&pair.fake, quantity, *method)?;
            let strong = strength(&map.pixels, side, sigma);
            if k == 0 {
                patterns.push((quantity, cells(&strong, side)));
            }
            if let Some(length) = map.gradient.filter(|_| gradients.iter().all(|(q, _)| *q != quantity)) {
                gradients.push((quantity, length));
            }
            completeness.extend(map.completeness.map(|found| (quantity, [found.sum, found.difference])));
            maps.push((named(Some(quantity), method.name()), strong));
        }
        if let Some(random) = random {
            let map = random.map(&pair.fake, quantity, options.methods[0])?;
            maps.push((named(Some(quantity), "random_network"), strength(&map.pixels, side, sigma)));
        }
    }
    let smooth = |pixels: &[f32]| strength(pixels, side, sigma);
    maps.push((named(None, "grad_cam"), smooth(&ready.grad_cam(&pair.fake)?)));
    maps.push((named(None, "centre"), centre(side)));
    maps.push((named(None, "edges"), smooth(&edges(&pair.fake, side))));
    maps.extend(mean_mask.map(|mask| (named(None, "mean_mask"), smooth(mask))));

    // Every picture with true pixels put back goes through the network in one call.
    let counts: Vec<usize> =
        options.shares.iter().map(|share| (share * (side * side) as f64).round() as usize).collect();
    let masked: Vec<usize> = (0..side * side).filter(|&i| pair.mask[i]).collect();
    let mut pictures = [pair.fake.clone(), put_back(pair, &masked)].concat();
    let mut stream = stream(options.seed, video, frame);
    for &count in &counts {
        for _ in 0..options.placements {
            pictures.extend(put_back(pair, &disc(side, count, &mut stream)));
        }
    }
    for (_, map) in &maps {
        for &count in &counts {
            pictures.extend(put_back(pair, &strongest(map, count)));
        }
    }
    let found = ready.values(&pictures)?;
    let (values, restored) = (found[0], found[1]);
    let changes: Vec<Values> = found[2..].iter().map(|v| change(values, *v)).collect();
    let (at_random, of_maps) = changes.split_at(counts.len() * options.placements);
    let mean = |of: &[Values]| -> Values {
        std::array::from_fn(|q| of.iter().map(|v| v[q]).sum::<f64>() / of.len().max(1) as f64)
    };
    let outcomes = maps.iter().zip(of_maps.chunks_exact(counts.len())).map(|((name, map), changes)| {
        let located = locate(map, &pair.mask, side, options.border);
        (name.clone(), Outcome { changes: changes.to_vec(), ..located })
    });
    let inner = |i: &usize| {
        let within = options.border..side.saturating_sub(options.border);
        within.contains(&(i % side)) && within.contains(&(i / side))
    };
    let all = (0..side * side).filter(inner).count().max(1);
    Ok(Frame {
        frame,
        values,
        restored,
        masked: masked.iter().filter(|i| inner(i)).count() as f64 / all as f64,
        differences: pair.differences(),
        random: match options.placements {
            0 => vec![[0.0; 4]; counts.len()],
            n => at_random.chunks_exact(n).map(mean).collect(),
        },
        maps: outcomes.collect(),
        gradients,
        completeness,
        patterns,
    })
}

/// The file of a picture in a section's folder.
fn picture_path(out: &Path, parts: &[&str]) -> (String, PathBuf) {
    let clean = |text: &str| text.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect::<String>();
    let name = format!("{}.png", parts.iter().map(|part| clean(part)).collect::<Vec<_>>().join("-"));
    let path = out.join(&name);
    (name, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn videos_are_of_as_many_people_as_there_are() {
        let row = |person: usize, k: usize| Row {
            video: format!("{person}/{k}"),
            identity: person.to_string(),
            generator: "faceswap".into(),
            ..Row::default()
        };
        let rows: Vec<Row> = (0..4).flat_map(|p| (0..3).map(move |k| row(p, k))).collect();
        let people = |chosen: &[&Row]| {
            chosen.iter().map(|r| r.identity.as_str()).collect::<std::collections::BTreeSet<_>>().len()
        };
        let four = choose(rows.iter(), 4, 0);
        assert_eq!((four.len(), people(&four)), (4, 4));
        assert_eq!(choose(rows.iter().rev(), 4, 0), four);
        assert_ne!(choose(rows.iter(), 4, 1), four);
        assert_eq!(choose(rows.iter(), 99, 0).len(), 12);
    }
}
