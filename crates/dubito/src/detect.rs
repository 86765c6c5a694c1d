//! `dubito detect`: the analyst's answer for each file.

use std::f64::consts::LN_2;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use dubito_data::{file_name, write_atomically};
use dubito_face::FaceModels;
use dubito_media::Tools;
use dubito_study::anytime::{Auto, Samples, Settled};
use dubito_study::detect::{ABSTAIN_ABOVE, Analyst, DetectOptions, Detected, counts};
use dubito_study::predict::{FoldRun, find_runs};
use dubito_study::provenance::{complete, provenance};
use dubito_study::{Detector, Progress, Step, StudyError};
use serde_json::json;

use crate::args::margin;
use crate::output::{self, note, say, warn};
use crate::places::MOST_NAME;
use crate::progress::Display;
use crate::stop;

/// Which detector is asked.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["run", "detector"])))]
pub struct Which {
    /// What `train` wrote
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Somebody else's detector: onnx:FILE; what the file does not say is read from FILE's name with .json
    #[arg(long, value_name = "onnx:FILE", value_parser = onnx_file)]
    pub detector: Option<PathBuf>,
    /// Samples are views of each image (mirrored, shifted, brighter or darker), seen by one network, of a run the one that
    /// it is on average: what they disagree about is between views, not epistemic. Without it those of an ONNX detector
    /// are all the same
    #[arg(long)]
    pub views: bool,
}

fn onnx_file(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("onnx:") {
        Some(file) if !file.is_empty() => Ok(PathBuf::from(file)),
        _ => Err("expected onnx:FILE, as in onnx:detector.onnx".into()),
    }
}

impl Which {
    /// The runs, or the ONNX file in place of one.
    pub fn runs(&self) -> Result<Vec<FoldRun>, StudyError> {
        match (&self.run, &self.detector) {
            (Some(run), _) => find_runs(run),
            (None, file) => Ok(vec![FoldRun { dir: file.clone().unwrap_or_default(), fold: None }]),
        }
    }
}

/// How many samples are drawn.
#[derive(Debug, Args)]
pub struct Sampling {
    /// Posterior samples of each frame, or auto: until verdict and uncertainty of each video are settled
    #[arg(long, default_value = "50", value_name = "N|auto", value_parser = count)]
    samples: Count,
    /// auto: nats (above 0, to 0.693) by which total and aleatoric uncertainty may be off
    #[arg(long, value_name = "NATS", default_value_t = Auto::default().tolerance, value_parser = tolerance)]
    tolerance: f64,
    /// auto: samples after which it ends, settled or not
    #[arg(long, value_name = "N", default_value_t = Auto::default().most)]
    max_samples: u32,
}

/// What `--samples` is.
#[derive(Clone, Copy, Debug)]
enum Count {
    Fixed(u32),
    Auto,
}

/// An entropy of two classes.
fn nats(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=LN_2).contains(&value) => Ok(value),
        _ => Err("expected nats from 0 to ln 2 = 0.693".into()),
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    match nats(text) {
        Ok(value) if value > 0.0 => Ok(value),
        _ => Err("expected nats above 0, to ln 2 = 0.693".into()),
    }
}

fn count(text: &str) -> Result<Count, String> {
    match text.parse::<u32>() {
        Ok(samples @ 1..=10_000) => Ok(Count::Fixed(samples)),
        _ if text == "auto" => Ok(Count::Auto),
        _ => Err("expected 1 to 10000, or auto".into()),
    }
}

impl Sampling {
    /// As they are drawn.
    pub fn samples(&self) -> Samples {
        let Self { samples, tolerance, max_samples } = *self;
        match samples {
            Count::Fixed(samples) => Samples::Fixed(samples),
            Count::Auto => Samples::Auto(Auto { tolerance, most: max_samples }),
        }
    }
}

/// `detect`
#[derive(Debug, Args)]
#[command(long_about = "\
Say of each video or picture whether the faces in it are real or fake, or that it can't be told, and why.

The answer is `cant_tell` where there is no face, too few frames show one, the face is too small or turned away, or the
detector's total uncertainty is above --abstain-above. With several faces the file is fake if one is. With -o DIR each
file's DIR/NAME.json holds every face and frame, and DIR/NAME.svg and .png show them over time.

Of a folder of several runs (one for each fold) name one: DIR/fold1.

Exit codes: 0 every file got an answer, `cant_tell` among them; 3 a file could not be read (the others got theirs), or
the detector could not; 1 an answer could not be written (the others were); 4 something is missing on this machine.")]
pub struct Detect {
    /// Videos and pictures
    #[arg(value_name = "VIDEO|IMAGE", required = true)]
    pub files: Vec<PathBuf>,
    /// Which detector is asked.
    #[command(flatten)]
    pub which: Which,
    /// Folder for a figure and a JSON file of each file
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How many samples are drawn.
    #[command(flatten)]
    sampling: Sampling,
    /// Seed of the samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Most frames of each file, evenly over it
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,
    /// Frames that must show a face; a picture has one and needs no more
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    min_frames: u32,
    /// Most faces of each file, those seen longest and largest first
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    faces: u16,
    /// Margin around the face, as a fraction of its size, as the detector was trained [default: the ONNX detector's own, else 0.3]
    #[arg(long, value_parser = margin)]
    margin: Option<f32>,
    /// Smallest face in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 48)]
    min_face: u32,
    /// Largest turn of the head to the side, in degrees
    #[arg(long, value_name = "DEGREES", default_value_t = 45)]
    most_yaw: u32,
    /// Total uncertainty above which there is no answer, in nats (0 to 0.693); 0.5 is that of 80 % against 20 %
    #[arg(long, value_name = "NATS", default_value_t = ABSTAIN_ABOVE, value_parser = nats)]
    abstain_above: f64,
    /// cpu, or gpu in a build with the feature `wgpu`
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// Runs it.
pub fn run(arguments: &Detect, tools: &Tools) -> Result<(), StudyError> {
    let runs = arguments.which.runs()?;
    let [which] = runs.as_slice() else {
        let names: Vec<_> = runs.iter().filter_map(|run| run.fold.as_deref()).collect();
        return Err(StudyError::Input {
            message: format!("there are {} runs: {}", runs.len(), names.join(", ")),
            hint: format!(
                "name one: --run {}",
                runs.first().map(|run| run.dir.display().to_string()).unwrap_or_default()
            ),
        });
    };
    let samples = arguments.sampling.samples();
    let options = DetectOptions {
        samples,
        seed: arguments.seed,
        frames: arguments.frames as usize,
        min_frames: arguments.min_frames as usize,
        faces: arguments.faces.into(),
        margin: arguments.margin,
        min_face: arguments.min_face.into(),
        most_yaw: arguments.most_yaw.into(),
        abstain_above: arguments.abstain_above,
        device: arguments.device.clone(),
    };
    let analyst = Analyst::new(Detector::open(&which.dir, arguments.which.views)?, options)?;
    warn(&analyst.detector().notes());
    let models = FaceModels::cpu()?;
    let display = Display::new(arguments.quiet || arguments.files.len() == 1);
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for (done, file) in arguments.files.iter().enumerate() {
        if stop::is_asked() {
            return Err(StudyError::stopped());
        }
        // One file never costs the others: what fails is that file's.
        let mut fault = None;
        let mut judged = analyst.judge(file, tools, &models).unwrap_or_else(|error| {
            let judged = Detected::failed(file, &error);
            fault = Some(StudyError::in_file(file)(error));
            judged
        });
        judged.note = analyst.detector().note();
        if !arguments.json {
            say(&judged);
        }
        if let Some(out) = &arguments.out
            && let Err(error) = write(out, done, file, &judged, arguments.abstain_above)
        {
            note!("error: the answer for {} could not be written: {error}", file.display());
            fault.get_or_insert(error);
        }
        failed.extend(fault);
        let (done, total) = (done + 1, arguments.files.len());
        display.show(&Progress { step: Step::only("detect"), done, total, item: file.display().to_string() });
        found.push(judged);
    }
    display.finish();
    let detector = analyst.detector();
    if arguments.json {
        let object = json!({
            "files": found,
            "counts": counts(&found),
            "detector": { "name": detector.name(), "path": detector.path(), "classes": detector.class_names(),
                "input_size": detector.size(), "hash": detector.hash()?, "views": detector.views(),
                "fake_class": detector.fake_class() },
            "settings": { "samples": described(samples), "seed": arguments.seed, "frames": arguments.frames,
                "min_frames": arguments.min_frames, "faces": arguments.faces, "min_face": arguments.min_face,
                "most_yaw": arguments.most_yaw, "margin": analyst.margin(), "abstain_above": arguments.abstain_above },
            "provenance": complete(&provenance(arguments.seed, tools)),
        });
        output::json(&object);
    }
    StudyError::of_files(failed, found.len())?;
    let unread: Vec<&Detected> = found.iter().filter(|file| !file.is_readable()).collect();
    if unread.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = unread.iter().map(|file| file.file.as_str()).collect();
    Err(StudyError::Input {
        message: format!("{} of {} files could not be read: {}", unread.len(), found.len(), names.join(", ")),
        hint: "the reasons are in the output; `dubito doctor` says which decoders there are".into(),
    })
}

/// A number, or the rule.
fn described(samples: Samples) -> serde_json::Value {
    match samples {
        Samples::Fixed(samples) => json!(samples),
        Samples::Auto(auto) => json!({ "auto": auto, "rule": auto.rule() }),
    }
}

fn say(file: &Detected) {
    say!("{}: {}", file.file, file.answer.name());
    say!("  {}", file.reason);
    if let Some(note) = &file.note {
        say!("  {note}");
    }
    if let (Some(p_fake), Some(doubt)) = (file.p_fake, &file.uncertainty) {
        let epistemic = match (doubt.epistemic, doubt.undefined_because) {
            (Some(value), _) => format!("{value:.3}"),
            (None, why) => format!("undefined ({})", why.unwrap_or_default()),
        };
        say!(
            "  p_fake {p_fake:.3}; uncertainty in nats: total {:.3} = aleatoric {:.3} + between frames {:.3} + epistemic \
             {epistemic}",
            doubt.total,
            doubt.aleatoric,
            doubt.between_frames
        );
        if let Some(between) = doubt.between_views {
            say!("  of the total, {between:.3} lies between views");
        }
    }
    for face in &file.faces {
        if let Some(Settled { samples, settled, ranges: Some(ranges) }) = &face.sampling {
            let [low, high] = ranges.p_fake;
            let [least, most] = ranges.epistemic;
            let how = if *settled { "settled after" } else { "not settled by" };
            say!(
                "  face {}: {how} {samples} samples; more would give P(fake) {low:.2} to {high:.2}, epistemic {least:.3} to \
                 {most:.3}",
                face.track
            );
        }
    }
    if file.faces.len() > 1 {
        for face in &file.faces {
            say!("  face {}: {} ({})", face.track, face.answer.name(), face.reason);
        }
    }
}

/// The name, without its ending, of what is written for a file; its number keeps files of one name apart.
pub fn name_of(number: usize, file: &Path) -> String {
    format!("{:03}-{}", number + 1, file_name(file.file_stem().unwrap_or_default(), MOST_NAME))
}

/// The files of one answer.
fn write(out: &Path, number: usize, file: &Path, found: &Detected, abstain_above: f64) -> Result<(), StudyError> {
    let name = name_of(number, file);
    let text = serde_json::to_string_pretty(found).map_err(|e| StudyError::io(out)(std::io::Error::other(e)))?;
    write_atomically(&out.join(format!("{name}.json")), format!("{text}\n").as_bytes())?;
    let figure = found.figure(abstain_above)?;
    write_atomically(&out.join(format!("{name}.svg")), figure.svg.as_bytes())?;
    write_atomically(&out.join(format!("{name}.png")), &figure.png)?;
    Ok(())
}
