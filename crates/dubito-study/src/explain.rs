//! Maps of one face through a video, as pictures and numbers, with what was checked of them.

use std::path::{Path, PathBuf};

use dubito_data::clip::Clip;
use dubito_data::follow::{Sampling, follow};
use dubito_data::manifest::Row;
use dubito_face::{CropSpec, FaceModels, Region};
use dubito_media::{Codec, EncodeSettings, RgbImage, Tools, Writer};
use dubito_nn::{Array, Completeness, Method, Quantity, StateDict, resize, vanishing, write_state};
use dubito_report::sheet::{Tile, sheet};
use serde::Serialize;

use crate::StudyError;
use crate::maps::patterns::{cells, rank_correlation};
use crate::maps::picture::{beside, overlaid, painted, upper, with_bar, write_png};
use crate::maps::ready::{Draw, Ready};
use crate::maps::test::{disc, edges, stream, strength, strongest};
use crate::predict::FoldRun;
use crate::regions::{Part, hidden, parts};

/// Share of the crop that is blurred where the map is strongest, to see whether the quantity hangs on it.
const SHARE: f64 = 0.1;
/// Random places that it is compared with.
const PLACEMENTS: usize = 4;
/// Side that pictures are drawn at, at least.
const DRAWN: usize = 256;
/// A gradient vanishes where it is shorter than this part of the median.
const VANISHING: f64 = 1e-3;
/// What all samples being one network looks like, in nats.
const NO_DOUBT: f64 = 1e-7;
/// Most pictures of the contact sheet.
const SHEET: usize = 32;

/// What is explained and how.
#[derive(Clone, Debug)]
pub struct ExplainOptions {
    /// What maps are of.
    pub what: Quantity,
    /// How they are made.
    pub how: Method,
    /// Most frames, evenly over the video.
    pub frames: usize,
    /// Posterior samples.
    pub samples: u32,
    /// Seed of the samples, of noise and of random places.
    pub seed: u64,
    /// `cpu` or `gpu`.
    pub device: String,
}

/// The maps that the command line names.
pub fn method(name: &str, size: u32) -> Option<Method> {
    let side = size as usize;
    let blur = size as f32 / 12.0;
    match name {
        "gradient" => Some(Method::Gradient),
        "smooth" => Some(Method::Smooth { copies: 16, sigma: 25.0 }),
        "integrated" => Some(Method::Integrated { steps: 32, blur }),
        "occlusion" => Some(Method::Occlusion { patch: (side / 8).max(1), stride: (side / 16).max(1), blur }),
        _ => None,
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FrameExplained {
    /// Its number in the video.
    pub frame: u64,
    /// Seconds from the beginning.
    pub time: f64,
    /// The explained quantity.
    pub value: f64,
    /// P(fake); `None` of a detector without a class `real`.
    pub p_fake: Option<f64>,
    /// Total, aleatoric and epistemic uncertainty in nats.
    pub uncertainty: [f64; 3],
    /// Length of the gradient, where the map is made of one.
    pub gradient: Option<f64>,
    /// How integrated gradients add up.
    pub completeness: Option<Completeness>,
}

/// A region of the face, the mean over the frames that show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegionExplained {
    /// Its name.
    pub region: &'static str,
    /// Frames that show it.
    pub frames: usize,
    /// What the region adds: the quantity less that with the region blurred. `None` where no frame shows it.
    pub occlusion: Option<f64>,
    /// What it says alone: the quantity with all but the region blurred, less that with everything blurred.
    pub alone: Option<f64>,
    /// The map's mean in the region over its mean in the crop.
    pub pooled_map: Option<f64>,
    /// Its share of the crop.
    pub area: Option<f64>,
}

/// What was checked of the maps on this video itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checks {
    /// Share of the frames whose gradient vanishes; `None` of a map that takes none.
    pub vanishing: Option<f64>,
    /// Mean change of the quantity where the strongest tenth of the map is blurred.
    pub blurred_in_map: f64,
    /// Mean change where a disc of the same area is, at random places.
    pub blurred_at_random: f64,
    /// Frames in which the first is larger.
    pub frames_better: usize,
    /// Mean rank correlation with the same map of a network with random weights; near 1 the map shows the picture and not what
    /// was learned. `None` where one is flat.
    pub like_random_network: Option<f64>,
    /// Mean rank correlation with the picture's edges.
    pub like_edges: Option<f64>,
    /// Mean gap of integrated gradients, in parts of the mean difference that they explain.
    pub gap: Option<f64>,
}

/// A face explained: `explain.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// What was given: a file, or a video's name.
    pub video: String,
    /// The detector.
    pub detector: String,
    /// Its run.
    pub run: PathBuf,
    /// The quantity.
    pub what: Quantity,
    /// How maps were made.
    pub how: Method,
    /// Posterior samples of each frame.
    pub samples: u32,
    /// Their seed.
    pub seed: u64,
    /// The lightest colour of all pictures, in the map's unit.
    pub scale: f32,
    /// How far the maps can be believed, in sentences.
    pub statement: Vec<String>,
    /// What that is derived from.
    pub checks: Checks,
    /// Each frame.
    pub frames: Vec<FrameExplained>,
    /// Each region.
    pub regions: Vec<RegionExplained>,
    /// Files beside `explain.json`.
    pub files: Vec<String>,
    /// What could not be written, and why.
    pub without: Vec<String>,
}

/// A run that explains.
pub struct Explainer {
    ready: Ready,
    options: ExplainOptions,
}

impl Explainer {
    /// Opens a run.
    ///
    /// # Errors
    /// It can't be read or has no gradients; P(fake) of a run without a class `real`.
    pub fn new(run: &Path, options: ExplainOptions) -> Result<Self, StudyError> {
        let ExplainOptions { samples, seed, device, .. } = options.clone();
        let ready = Ready::open(run, &Draw { samples: samples.max(1), seed, device })?;
        if !ready.quantities().contains(&options.what) {
            return Err(StudyError::Input {
                message: format!("{}: no class is `real`, so there is no P(fake) to explain", run.display()),
                hint: "explain total, aleatoric or epistemic uncertainty: --what total".into(),
            });
        }
        Ok(Self { ready, options })
    }

    /// Side of its crops in pixels.
    pub fn size(&self) -> u32 {
        self.ready.size() as u32
    }

    /// Sets how maps are made.
    #[must_use]
    pub fn with_method(mut self, how: Method) -> Self {
        self.options.how = how;
        self
    }

    /// The face of a video or picture that is seen longest and largest, as `detect` finds it.
    ///
    /// # Errors
    /// The file can't be read, or shows no face.
    pub fn face_of(&self, file: &Path, tools: &Tools, models: &FaceModels) -> Result<Clip, StudyError> {
        let crop = CropSpec { size: self.size(), margin: self.ready.run.config.preprocessing.margin };
        let sampling = Sampling::Uniform { frames: self.options.frames.max(1) };
        let mut followed = follow(file, &file.display().to_string(), tools, models, sampling, Some(&crop))?;
        if followed.tracks.is_empty() {
            let reason = followed.status(0, 1).1.unwrap_or_else(|| "no face".into());
            return Err(StudyError::Input {
                message: format!("{}: {reason}", file.display()),
                hint: "give a video or picture that shows a face".into(),
            });
        }
        Ok(followed.tracks.swap_remove(0))
    }

    /// Explains a clip and writes everything into `out`. With a `row` of a manifest, frames that are not what its label says are
    /// left out.
    ///
    /// # Errors
    /// A clip of another size, no frame, a detector whose samples are all the same network asked for epistemic uncertainty, a
    /// folder that can't be written to.
    pub fn explain(
        &self,
        clip: &Clip,
        row: Option<&Row>,
        out: &Path,
        tools: &Tools,
    ) -> Result<Explanation, StudyError> {
        let side = self.ready.size();
        let no = |message: String, hint: &str| StudyError::Input { message, hint: hint.into() };
        if clip.meta.size as usize != side {
            let message =
                format!("{}: a clip of {} pixels, not {side} as of the detector", clip.meta.video, clip.meta.size);
            return Err(no(message, "extract it again with the detector's size"));
        }
        let places = crate::maps::pairs::places(clip, row.unwrap_or(&Row::default()), self.options.frames.max(1));
        if places.is_empty() {
            return Err(no(format!("{}: no frame to explain", clip.meta.video), "give a clip with frames"));
        }
        let crops: Vec<&[u8]> = places.iter().map(|&i| clip.frame(i).unwrap_or_default()).collect();
        let of_frames = self.ready.values(&crops.concat())?;
        if self.options.what == Quantity::Epistemic && of_frames.iter().all(|v| v[2].abs() < NO_DOUBT) {
            return Err(no(
                format!(
                    "{}: all samples are the same network, which knows no epistemic uncertainty",
                    self.ready.run.dir.display()
                ),
                "explain --what total or p_fake, or make the run Bayesian with `dubito bayes convert`",
            ));
        }
        let (mut frames, mut maps, mut regions) = (Vec::new(), Vec::new(), Vec::new());
        for ((&i, crop), values) in places.iter().zip(&crops).zip(&of_frames) {
            let map = self.ready.map(crop, self.options.what, self.options.how)?;
            let pooled = [(self.options.what, map.pixels.clone())];
            regions.push(parts(&self.ready, crop, clip.points(i).unwrap_or_default(), &pooled)?.parts);
            frames.push(FrameExplained {
                frame: clip.frame_index[i],
                time: clip.timestamps[i],
                value: values[self.place()],
                p_fake: self.ready.real.map(|_| values[3]),
                uncertainty: [values[0], values[1], values[2]],
                gradient: map.gradient,
                completeness: map.completeness,
            });
            maps.push(map.pixels);
        }
        let checks = self.check(clip, &crops, &frames, &maps)?;
        std::fs::create_dir_all(out).map_err(StudyError::io(out))?;
        let strong: Vec<Vec<f32>> = maps.iter().map(|map| strength(map, side, side as f32 / 32.0)).collect();
        let scale = upper(&strong.concat(), 0.995);
        let (mut files, mut without) = (Vec::new(), Vec::new());
        self.draw(&frames, &crops, &strong, scale, out, tools, &mut files, &mut without)?;
        self.write_maps(&frames, maps, &out.join("maps.safetensors"))?;
        files.extend(["maps.safetensors".to_owned(), "explain.json".to_owned()]);
        let explanation = Explanation {
            video: clip.meta.video.clone(),
            detector: self.ready.run.config.detector.to_string(),
            run: self.ready.run.dir.clone(),
            what: self.options.what,
            how: self.options.how,
            samples: self.options.samples,
            seed: self.options.seed,
            scale,
            statement: self.statement(&checks, frames.len()),
            checks,
            regions: of_regions(&regions, self.place()),
            frames,
            files,
            without,
        };
        let path = out.join("explain.json");
        let text =
            serde_json::to_string_pretty(&explanation).map_err(|e| StudyError::io(&path)(std::io::Error::other(e)))?;
        dubito_data::write_atomically(&path, format!("{text}\n").as_bytes())?;
        Ok(explanation)
    }

    /// Place of the quantity among [`Quantity::ALL`].
    fn place(&self) -> usize {
        Quantity::ALL.iter().position(|q| *q == self.options.what).unwrap_or(0)
    }

    fn check(
        &self,
        clip: &Clip,
        crops: &[&[u8]],
        frames: &[FrameExplained],
        maps: &[Vec<f32>],
    ) -> Result<Checks, StudyError> {
        let side = self.ready.size();
        let count = (SHARE * (side * side) as f64).round() as usize;
        let some: Vec<u8> = crops.iter().take(16).flat_map(|crop| crop.iter().copied()).collect();
        let random = self.ready.randomised(&some, self.options.seed)?;
        let (mut in_map, mut at_random, mut better) = (0.0, 0.0, 0);
        let (mut like_random, mut like_edges) = (Vec::new(), Vec::new());
        for ((crop, frame), map) in crops.iter().zip(frames).zip(maps) {
            let strong = strength(map, side, side as f32 / 32.0);
            let blurred = hidden(crop, side, side as f32 / 12.0);
            let cover = |places: &[usize]| {
                let mut out = crop.to_vec();
                places.iter().for_each(|&i| out[3 * i..3 * i + 3].copy_from_slice(&blurred[3 * i..3 * i + 3]));
                out
            };
            let mut stream = stream(self.options.seed, &clip.meta.video, frame.frame);
            let mut pictures = cover(&strongest(&strong, count));
            (0..PLACEMENTS).for_each(|_| pictures.extend(cover(&disc(side, count, &mut stream))));
            let found: Vec<f64> =
                self.ready.values(&pictures)?.iter().map(|v| (v[self.place()] - frame.value).abs()).collect();
            let mean = found[1..].iter().sum::<f64>() / PLACEMENTS as f64;
            in_map += found[0] / frames.len() as f64;
            at_random += mean / frames.len() as f64;
            better += usize::from(found[0] > mean);
            let other = random.map(crop, self.options.what, self.options.how)?;
            let grid = |pixels: &[f32]| cells(&strength(pixels, side, side as f32 / 32.0), side);
            like_random.extend(rank_correlation(&grid(map), &grid(&other.pixels)));
            like_edges.extend(rank_correlation(&grid(map), &grid(&edges(crop, side))));
        }
        let mean = |of: &[f64]| (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64);
        let lengths: Vec<f64> = frames.iter().filter_map(|frame| frame.gradient).collect();
        let vanish: Vec<f64> = vanishing(&lengths, VANISHING).into_iter().map(|v| f64::from(u8::from(v))).collect();
        let complete: Vec<Completeness> = frames.iter().filter_map(|frame| frame.completeness).collect();
        let (gaps, differences): (f64, f64) =
            complete.iter().fold((0.0, 0.0), |(g, d), c| (g + c.gap(), d + c.difference.abs()));
        Ok(Checks {
            vanishing: mean(&vanish),
            blurred_in_map: in_map,
            blurred_at_random: at_random,
            frames_better: better,
            like_random_network: mean(&like_random),
            like_edges: mean(&like_edges),
            gap: (differences > 0.0).then(|| gaps / differences),
        })
    }

    fn statement(&self, checks: &Checks, frames: usize) -> Vec<String> {
        let words = self.options.what.in_words();
        let mut said = Vec::new();
        let vanish = checks.vanishing.is_some_and(|share| share > 0.5);
        let hangs = checks.blurred_in_map > checks.blurred_at_random && 3 * checks.frames_better >= 2 * frames;
        let learned = checks.like_random_network.is_none_or(|like| like < 0.5);
        said.push(match (vanish, hangs, learned) {
            (true, ..) => "Do not believe these maps: in most frames the gradient vanishes, and they show rounding.".to_owned(),
            (_, true, true) => format!("On this video the maps hold up: {words} hangs on where they point."),
            (_, true, false) => format!(
                "Take these maps with care: {words} hangs on where they point, but a network with random weights points there \
                 too."
            ),
            (_, false, _) => format!("Do not believe these maps: {words} does not hang on where they point more than elsewhere."),
        });
        said.push(format!(
            "With the strongest {:.0} % of the map blurred, {words} changes by {:.4}; with as much blurred at random places by \
             {:.4}; the first is larger in {} of {frames} frames.",
            100.0 * SHARE,
            checks.blurred_in_map,
            checks.blurred_at_random,
            checks.frames_better
        ));
        if let Some(share) = checks.vanishing {
            said.push(format!("The gradient vanishes in {:.0} % of the frames.", 100.0 * share));
        }
        if let Some(like) = checks.like_random_network {
            let edges = checks
                .like_edges
                .map_or_else(String::new, |edges| format!(", and with the picture's edges {edges:.2}"));
            said.push(format!("Rank correlation with the map of a network with random weights is {like:.2}{edges}."));
        }
        if let Some(gap) = checks.gap {
            said.push(format!("Integrated gradients add up but for {:.1} % of what they explain.", 100.0 * gap));
        }
        said.push(
            "Blur is no truth: whether maps of this detector are worth anything is tested where the true pixels are known, in the \
             section `maps` of a study on forged data."
                .to_owned(),
        );
        said
    }

    #[allow(clippy::too_many_arguments)] // one call, each argument a different thing
    fn draw(
        &self,
        frames: &[FrameExplained],
        crops: &[&[u8]],
        maps: &[Vec<f32>],
        scale: f32,
        out: &Path,
        tools: &Tools,
        files: &mut Vec<String>,
        without: &mut Vec<String>,
    ) -> Result<(), StudyError> {
        let side = self.ready.size();
        let drawn = side * DRAWN.div_ceil(side);
        let size = drawn as u32;
        let mut overlays: Vec<RgbImage> = Vec::new();
        for ((frame, crop), map) in frames.iter().zip(crops).zip(maps) {
            let map = resize(map, [side; 2], [drawn; 2]);
            let small = RgbImage::from_raw(side as u32, side as u32, crop.to_vec()).unwrap_or_default();
            let crop = image::imageops::resize(&small, size, size, image::imageops::FilterType::Triangle);
            let overlay = overlaid(crop.as_raw(), &map, size, scale);
            let name = format!("frames/{:06}.png", frame.frame);
            write_png(&out.join(&name), &beside(&[crop, with_bar(&painted(&map, size, scale)), overlay.clone()]))?;
            files.push(name);
            overlays.push(overlay);
        }
        let shown = (0..overlays.len().min(SHEET)).map(|k| k * overlays.len() / overlays.len().min(SHEET));
        let tile = |i: usize| {
            let label = format!("{}: {:.3}", frames[i].frame, frames[i].value);
            Tile { label, image: with_bar(&overlays[i]) }
        };
        write_png(&out.join("sheet.png"), &sheet(&shown.map(tile).collect::<Vec<_>>(), 8)?)?;
        files.push("sheet.png".into());
        match self.video(frames, &overlays, size, out, tools) {
            Ok(name) => files.push(name),
            Err(error) => without.push(format!("no video of the overlays: {error}")),
        }
        Ok(())
    }

    fn video(
        &self,
        frames: &[FrameExplained],
        overlays: &[RgbImage],
        size: u32,
        out: &Path,
        tools: &Tools,
    ) -> Result<String, dubito_media::MediaError> {
        let span = frames.last().map_or(0.0, |last| last.time) - frames.first().map_or(0.0, |first| first.time);
        // As fast as the video was, but no slower than one can watch.
        let frame_rate = if span > 0.0 { ((frames.len() - 1) as f64 / span).clamp(4.0, 60.0) } else { 4.0 };
        let settings = EncodeSettings { codec: Codec::H264 { quantiser: 18 }, frame_rate };
        let mut writer = Writer::create(&out.join("overlay"), size, size, &settings, tools)?;
        for overlay in overlays {
            writer.write(overlay)?;
        }
        let path = writer.finish()?.path;
        Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    fn write_maps(&self, frames: &[FrameExplained], maps: Vec<Vec<f32>>, path: &Path) -> Result<(), StudyError> {
        let (count, side) = (maps.len(), self.ready.size());
        let list = |values: Vec<f32>| Array { shape: vec![values.len()], values };
        let state: StateDict = [
            ("maps".to_owned(), Array { shape: vec![count, side, side], values: maps.concat() }),
            ("frame_index".to_owned(), list(frames.iter().map(|frame| frame.frame as f32).collect())),
            ("values".to_owned(), list(frames.iter().map(|frame| frame.value as f32).collect())),
        ]
        .into_iter()
        .collect();
        Ok(write_state(path, &state)?)
    }
}

/// Means over the frames that show a region.
fn of_regions(frames: &[Vec<Option<Part>>], place: usize) -> Vec<RegionExplained> {
    let of = |(k, (region, _)): (usize, &(&'static str, &[Region]))| {
        let seen: Vec<&Part> = frames.iter().filter_map(|parts| parts.get(k)?.as_ref()).collect();
        let mean = |of: &dyn Fn(&Part) -> f64| {
            (!seen.is_empty()).then(|| seen.iter().map(|part| of(part)).sum::<f64>() / seen.len() as f64)
        };
        RegionExplained {
            region,
            frames: seen.len(),
            occlusion: mean(&|part| part.occlusion[place]),
            alone: mean(&|part| part.alone[place]),
            pooled_map: mean(&|part| part.pooled.first().map_or(1.0, |(_, v)| *v)),
            area: mean(&|part| part.area),
        }
    };
    Region::GROUPS.iter().enumerate().map(of).collect()
}

/// The clips of a manifest to explain: so many of each generator, each with the run that did not learn from its people.
///
/// # Errors
/// Not one clip is of a run's fold.
pub fn of_manifest<'a>(
    rows: &'a [Row],
    runs: &'a [FoldRun],
    videos: usize,
    seed: u64,
) -> Result<Vec<(&'a Row, &'a FoldRun)>, StudyError> {
    let usable = rows.iter().filter(|row| row.status == dubito_data::manifest::Status::Ok && row.clip.is_some());
    let chosen = crate::maps::choose(usable.filter(|row| row.control.is_none()), videos, seed);
    let run_of = |row: &&Row| runs.iter().find(|run| run.fold.as_ref().is_none_or(|fold| *fold == row.split));
    let pairs: Vec<(&Row, &FoldRun)> = chosen.into_iter().filter_map(|row| Some((row, run_of(&row)?))).collect();
    match pairs.is_empty() {
        true => Err(StudyError::Input {
            message: "no clip to explain: the folds of the runs are not those of the manifest".into(),
            hint: "give the manifest that the runs were trained on, or one run's own folder".into(),
        }),
        false => Ok(pairs),
    }
}
