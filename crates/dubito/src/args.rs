//! The command line's words: what each command takes, and the help that teaches it.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use dubito_data::follow::Sampling;
use dubito_data::forge::{Generator, Traces};
use dubito_data::shard::Shard;

/// Measures how far a deepfake detector can be trusted.
#[derive(Debug, Parser)]
#[command(name = "dubito", version, about, long_about = LONG_ABOUT, after_long_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const LONG_ABOUT: &str = "\
Measures how far a deepfake detector can be trusted: it trains a detector, makes it Bayesian, and
reports for every video not one score but a distribution - what the detector thinks, how much of its
doubt is in the data (aleatoric) and how much in the model (epistemic), and whether its confidence
can be believed.

The whole road in one command, from a folder of real face videos to a report:

    dubito demo --faces FOLDER

The same road, step by step:

    dubito forge FOLDER -o forged               counterfeits of the videos, with masks
    dubito extract forged/manifest.parquet -o clips
    dubito train clips/manifest.parquet -o runs
    dubito predict clips/manifest.parquet --run runs -o predictions
    dubito analyze predictions/predictions.parquet -o report

What takes long goes on where it was stopped when the same command is given again.";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the machine failed: a disk, a program that died
  2  the command line is wrong
  3  the input can't be used: no video, a broken table, too few people
  4  something is missing on this machine: FFmpeg, a GPU (see `dubito doctor`)
  5  a check that was asked for did not pass
  130, 143  stopped by Ctrl-C or SIGTERM; the last line says what is kept";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what is found on this machine, and how to mend what isn't
    Doctor(Doctor),
    /// Index, split, verify and count data sets of videos
    #[command(subcommand)]
    Data(crate::data::Data),
    /// Render videos of simulated people, for a machine without any
    Simulate(Simulate),
    /// Make counterfeits of real face videos, with the masks of what was changed
    Forge(Forge),
    /// Find the faces in videos and store them as clips
    Extract(Extract),
    /// Read the pulse from the skin of a face, with its quality and a figure
    Pulse(crate::pulse::Pulse),
    /// Train a detector on clips, cross-fitted over the people in them
    Train(Train),
    /// Make trained detectors Bayesian: Gaussian weights, Laplace, ensembles
    #[command(subcommand)]
    Bayes(crate::bayes::Bayes),
    /// Draw posterior samples for people the detector has never seen
    Predict(Predict),
    /// Attack detectors with small changes of pixels, and see what they say and how sure they are
    Attack(crate::attack::AttackCommand),
    /// Say of videos and pictures whether they are real or fake, or that it can't be told
    Detect(crate::detect::Detect),
    /// Show where in a face a prediction or its uncertainty comes from, and how far that can be believed
    Explain(crate::explain::Explain),
    /// List, import and export weights of other frameworks
    #[command(subcommand)]
    Weights(crate::weights::Weights),
    /// Turn predictions into metrics, figures and a report
    Analyze(Analyze),
    /// Plan, run and report a whole study from one file
    #[command(subcommand)]
    Study(crate::study::Study),
    /// Tell which generator made a fake from what detectors doubt about it
    Source(crate::source::Source),
    /// Do all of it: from a folder of real face videos to a report
    Demo(Demo),
    /// Run the embedded decoder or encoder (for the program itself)
    #[command(hide = true)]
    Worker {
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Folder that everything is written to
    #[arg(short, long, value_name = "DIR", default_value = "dubito-out")]
    pub out: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// How fakes are made.
#[derive(Debug, Args)]
pub struct ForgeSettings {
    /// Seed of the folds of people and of the choice of donors
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Generators, by commas
    /// [default: the nine of the benchmark]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub generators: Vec<Generator>,
    /// How easily the fakes are seen, from 0 (hardest) to 1 [default: each generator's standard]
    #[arg(long, value_parser = unit_interval)]
    pub strength: Option<f32>,
    /// Strength of a single trace, `resolution=S`, `blend=S` or `colour=S`, while all others stay; repeatable
    #[arg(long = "trace", value_name = "TRACE=S", value_parser = trace)]
    pub traces: Vec<(String, f32)>,
    /// Null controls of each target: of so many generators, which take turns [default: all]
    #[arg(long)]
    pub controls: Option<u16>,
    /// Most donors for each target
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub donors: u16,
    /// Most frames of each video
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub frames: u32,
    /// Distance of one frame from the next in the source
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub every: u32,
    /// Quantiser of the videos: CRF through FFmpeg, constant QP through the embedded encoder
    #[arg(long, default_value_t = 23, value_parser = clap::value_parser!(u8).range(1..=51))]
    pub crf: u8,
    /// Write lossless videos instead
    #[arg(long, conflicts_with = "crf")]
    pub raw: bool,
}

/// `simulate`
#[derive(Debug, Args)]
#[command(long_about = "\
Render videos of simulated people, for a machine without any.

Writes OUT/person01.mp4 and so on, an identities.csv that says who is who, and person01.truth.jsonl with what is
true of each frame (pulse, pose, mouth, blinks). `dubito forge OUT` takes the folder like one of real videos. What is
measured on simulated people measures the method, not the world.")]
pub struct Simulate {
    /// People, one video each
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..))]
    pub subjects: u16,
    /// Frames of each video
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..))]
    pub frames: u32,
    /// Frames a second
    #[arg(long, default_value_t = 25.0, value_parser = positive::<f32>)]
    pub frame_rate: f32,
    /// Width in pixels
    #[arg(long, default_value_t = 640)]
    pub width: u32,
    /// Height in pixels
    #[arg(long, default_value_t = 480)]
    pub height: u32,
    /// Quantiser of the camera's own H.264
    #[arg(long, default_value_t = 18, value_parser = clap::value_parser!(u8).range(1..=51))]
    pub crf: u8,
    /// Write lossless videos instead
    #[arg(long, conflicts_with = "crf")]
    pub raw: bool,
    /// Seed of the people and of what they do
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// `forge`
#[derive(Debug, Args)]
#[command(long_about = "\
Make counterfeits of face videos, with the masks of what was changed, by nine generators.

Takes a folder of real face videos, and beside them an identities.csv (file,identity) that says who is
in which; without it each file is taken for another person. People are put into folds first, and
donors are drawn inside a fold, so that a detector can be tested on people it has never seen. Beside
its fakes each video is written untouched, and for each generator as a null control: its own face
through the whole warp, blend and encoder.")]
pub struct Forge {
    /// Folder of real face videos
    #[arg(value_name = "FOLDER", required_unless_present = "list")]
    pub faces: Option<PathBuf>,
    /// Only draw OUT/contact-sheet.png: every generator's counterfeit of a simulated person, and say what each imitates
    #[arg(long, conflicts_with_all = ["faces", "check"])]
    pub list: bool,
    /// How fakes are made.
    #[command(flatten)]
    pub settings: ForgeSettings,
    /// Then check that nothing but the forgery gives the fakes away (compression, pixels outside the
    /// mask, size, colour, blur); exit code 5 if something does
    #[arg(long)]
    pub check: bool,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// `extract`
#[derive(Debug, Args)]
#[command(long_about = "\
Find the faces in videos and store them as clips: aligned crops with 468 landmarks for each frame.

Takes a manifest (Parquet or CSV with the columns path, label, generator, identity, dataset and
compression) or a folder of videos. Every video ends as a row of OUT/manifest.parquet with a status
(ok, no_face, too_short, low_quality, inconsistent, unreadable, missing, duplicate) and, where it isn't ok, the reason.

Several processes, on one machine or many, share the work by --shard, and write one store:

    dubito extract manifest.parquet -o clips --shard 2/8

A video is always the same shard's, whatever the order of the manifest. Each shard leaves
manifest.<i>-of-<N>.parquet, and the last one to finish writes manifest.parquet, which has the same rows as
one process would give it (`dubito data merge clips` writes it by hand). In a SLURM array --shard is
$SLURM_ARRAY_TASK_ID/8 (with --array=1-8), in an indexed Kubernetes job $((JOB_COMPLETION_INDEX+1))/8.")]
pub struct Extract {
    /// A manifest, or a folder of real face videos
    #[arg(value_name = "MANIFEST|FOLDER")]
    pub input: PathBuf,
    /// Which frames: uniform (evenly over the video), every:STEP, or windows:NxLENGTH (N runs of LENGTH consecutive
    /// frames, as biological detectors need them; kept where the face is in all of a run)
    #[arg(long, value_name = "HOW", default_value = "uniform", value_parser = sampling)]
    pub sampling: String,
    /// Most frames of each video; windows say themselves how many
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub frames: u32,
    /// Frames that must show a face
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub min_frames: u32,
    /// Smallest presence (the mesh's belief that there is a face, 0 to 1) of a frame that is kept
    #[arg(long, default_value_t = 0.0, value_parser = unit_interval)]
    pub min_presence: f32,
    /// Smallest face of a frame that is kept, in pixels of the video
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    pub min_face: u32,
    /// Side of the crops in pixels
    #[arg(long, default_value_t = 224, value_parser = clap::value_parser!(u32).range(32..=2048))]
    pub size: u32,
    /// Margin around the face, as a fraction of its size
    #[arg(long, default_value_t = 0.3, value_parser = margin)]
    pub margin: f32,
    /// Most faces of each video, the longest seen first
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub tracks: u16,
    /// Videos in hand at once [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Take only this part of the work: 2/8 is the second of eight
    #[arg(long, value_name = "i/N")]
    pub shard: Option<Shard>,
    /// Go on where a stopped command was; always so, and said here for scripts that want to say it
    #[arg(long)]
    pub resume: bool,
    /// Trust nothing that is there already: hash videos and clips again, and make again what differs
    #[arg(long)]
    pub verify: bool,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// How a detector is trained.
#[derive(Debug, Args)]
pub struct TrainSettings {
    /// Settings to train by: a TOML file, or one that comes with the program (demo, resnet18, mobilenet_v2,
    /// mobilenet_v3_small, efficientnet_b0, efficientnet_b4, xception, fakecatcher, ppg_cells, motion) [default: that of --detector, or demo]
    #[arg(long, value_name = "NAME|FILE")]
    pub recipe: Option<String>,
    /// Print the whole recipe as it would be used, and train nothing
    #[arg(long)]
    pub show: bool,
    /// Change one setting of the recipe: loss.focal=0.5; may be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = dubito_study::recipe::change)]
    pub set: Vec<dubito_study::recipe::Change>,
    /// The architecture: resnet18, mobilenet_v2, mobilenet_v3_small, efficientnet_b0, efficientnet_b4, xception,
    /// efficientnet_b0_torchvision, efficientnet_b4_torchvision; on clips of consecutive frames fakecatcher, ppg_cells,
    /// motion, motion_2plus1d
    #[arg(long, value_name = "NAME")]
    pub detector: Option<String>,
    /// Channels of the first stage, of those that have a choice (resnet18: 64 is the published network, costs grow with
    /// the square)
    #[arg(long)]
    pub width: Option<usize>,
    /// Weights to begin from (safetensors, see `dubito weights import`); a last layer of other classes begins anew
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Most epochs
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
    /// Crops in a step
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    pub batch: Option<u32>,
    /// Largest learning rate
    #[arg(long, value_name = "RATE", value_parser = positive::<f64>)]
    pub learning_rate: Option<f64>,
    /// Dropout rate, of training and of posterior samples
    #[arg(long)]
    pub dropout: Option<f64>,
    /// Where dropout begins: head, stage:1 to stage:4, or all
    #[arg(long)]
    pub boundary: Option<String>,
    /// The stages up to this one are frozen and computed once: stem, layer1 to layer4, or none
    #[arg(long)]
    pub freeze: Option<String>,
    /// Train more than one network: Gaussian weights, with steps made noisy in this way (with the prior moped a network
    /// is trained first, or taken from --weights, then the weights around it); the network under each of --members fixed
    /// masks from --scope on; an ensemble of what each of --members cycles of the learning rate ends with; or a network
    /// that says a Dirichlet of the probabilities
    #[arg(long, value_enum, value_name = "HOW")]
    pub inference: Option<crate::bayes::TrainedName>,
    /// masksembles: masks; snapshots: cycles, a divisor of --epochs
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..))]
    pub members: u16,
    /// masksembles: how little the masks overlap, above 1 and at most 6
    #[arg(long, default_value_t = 2.0)]
    pub mask_scale: f64,
    /// With --inference: the weights.
    #[command(flatten)]
    pub gaussian: crate::bayes::Gaussian,
    /// cpu, or gpu in a build with the feature `wgpu`
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

/// `train`
#[derive(Debug, Args)]
#[command(long_about = "\
Train a detector on clips, cross-fitted over the people in them.

--task says what is told apart: `binary` (real, fake), `multiclass` (real, and each generator in the data),
`source` (which generator, of fakes alone), or any task of the class list. --leave-out keeps a generator and
its family from training and validation, to see what the detector makes of the unknown: the run's
config.json records it, and `predict` and `analyze` report it. Half of what is learned from is real, the
rest is spread evenly over the fakes.

Each fold of people is left out once: the detector that is tested on it has never seen them, neither as
a target nor as a donor. One part of the next fold is kept for stopping early. Writes OUT/FOLD/ for each
fold: weights.safetensors, config.json, model_card.md, recipe.toml; and after each epoch history.json,
curves.html and a file for TensorBoard.

    dubito train --recipe resnet18 --show > mine.toml
    dubito train clips/manifest.parquet -o runs --recipe mine.toml --set optimiser.name=sgd")]
pub struct Train {
    /// The manifest that `extract` wrote
    #[arg(value_name = "MANIFEST", required_unless_present = "show")]
    pub manifest: Option<PathBuf>,
    /// Leave out only this fold (e.g. fold1) instead of each in turn
    #[arg(long)]
    pub fold: Option<String>,
    /// Task of the class list: binary, multiclass, source, ...
    #[arg(long, value_name = "NAME", default_value = "binary")]
    pub task: String,
    /// A class list (TOML) in place of the one that comes with the program
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// Generators to leave out of training and validation with their families, by commas
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub leave_out: Vec<String>,
    /// Seed of weights, order and augmentation
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How a detector is trained.
    #[command(flatten)]
    pub settings: TrainSettings,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// `predict`
#[derive(Debug, Args)]
#[command(long_about = "\
Draw posterior samples for people the detector has never seen.

--run is the folder that `train` wrote: each of its detectors predicts the fold that it was not trained
on. Given one detector's folder, that detector predicts every clip, and so does an ONNX
file. Writes OUT/predictions.parquet, one
row for each frame and sample.

--samples auto draws samples of each video until it is known on which side of one half its P(fake) is, and its
total and aleatoric uncertainty to --tolerance; what is said then is wrong in one of twenty videos at most. Compare
the epistemic part of such videos by epistemic_jackknife, which does not grow with the number of samples.")]
pub struct Predict {
    /// The manifest that `extract` wrote
    #[arg(value_name = "MANIFEST")]
    pub manifest: PathBuf,
    /// Which detector is asked.
    #[command(flatten)]
    pub which: crate::detect::Which,
    /// How many samples are drawn.
    #[command(flatten)]
    pub sampling: crate::detect::Sampling,
    /// Seed of the samples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// cpu, or gpu in a build with the feature `wgpu`
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// `analyze`
#[derive(Debug, Args)]
#[command(long_about = "\
Turn scores into metrics, figures and a report.

FILEs hold one row for each item, or for each item and sample: `item`, `label` (real/fake, 0/1 or names of
classes) and `p_fake` (or `prob_<class>`, or `p_mean` with `expected_entropy`); and what is known of it:
`sample`, `video`, `frame`, `generator`, `identity`, `donor`, `detector`, `dataset`, `split`. Or one column
for each detector, named by --detector-column. --explain says how a file would be read.

    dubito analyze scores.csv -o report
    dubito analyze table.csv --map label=truth,item=path --detector-column 'prob_*' -o report

Rows whose `split` is `calibration` or `val` are what thresholds, recalibration, prediction sets and
guarantees are chosen on; they are judged on the rows of `test`. Writes OUT/report.html, OUT/metrics.json,
OUT/tables (CSV and LaTeX) and OUT/figures (SVG and PNG).")]
pub struct Analyze {
    /// Files of scores: CSV, TSV, Parquet, JSON Lines or NPZ, plain or gzip
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Say how the files would be read, and compute nothing
    #[arg(long)]
    pub explain: bool,
    /// What the file calls our columns, by commas: label=truth,generator=source
    #[arg(long, value_name = "OURS=THEIRS", value_delimiter = ',', value_parser = pair)]
    pub map: Vec<(String, String)>,
    /// Columns of probabilities of fake, one for each detector, by name or pattern: 'prob_*'
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub detector_column: Vec<String>,
    /// Take the detectors together, as the members of one ensemble
    #[arg(long)]
    pub as_ensemble: bool,
    /// The columns hold logits, not probabilities
    #[arg(long)]
    pub logits: bool,
    /// Only this detector
    #[arg(long, value_name = "NAME")]
    pub detector: Option<String>,
    /// The split to judge [default: test, where there are several]
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// The split on which thresholds, recalibration and guarantees are chosen [default: calibration, cal,
    /// validation or val, where there is one]
    #[arg(long, value_name = "NAME")]
    pub calibration_split: Option<String>,
    /// Where the files have no such split: the share of the people tested who are taken as one, drawn by the seed;
    /// what is chosen on them is judged on the others
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "calibration_split")]
    pub set_apart: Option<f64>,
    /// More columns to give the numbers by, by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub by: Vec<String>,
    /// Generators that the detector never saw, by commas; `predict` writes those it knows of into its file, and those
    /// that the calibration split has none of count for the promises too
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub unseen: Vec<String>,
    /// What is promised: share of errors among the answers, and share of sets that miss the truth
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    pub alpha: f64,
    /// Share of calibration sets for which the bound on errors may fail
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    pub delta: f64,
    /// Share of fakes that the detector was trained for, for likelihood ratios [default: that of the
    /// calibration split]
    #[arg(long, value_parser = share)]
    pub prior: Option<f64>,
    /// Unit of uncertainties: nats, bits, or normalised (1 is the most there can be)
    #[arg(long, default_value = "nats", value_parser = ["nats", "bits", "normalised"])]
    pub unit: String,
    /// Write the tables of single items however many there are
    #[arg(long)]
    pub all_items: bool,
    /// Title of the report
    #[arg(long, default_value = "What this detector can be believed for")]
    pub title: String,
    /// Seed of the bootstrap and of what is drawn
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Resamples of the bootstrap; 0 leaves intervals out
    #[arg(long, default_value_t = 1000)]
    pub resamples: usize,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// A way to sample, checked; the number of frames comes later.
fn sampling(text: &str) -> Result<String, String> {
    Sampling::parse(text, 1).map(|_| text.to_owned())
}

/// `OURS=THEIRS`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((ours, theirs)) if !ours.is_empty() && !theirs.is_empty() => Ok((ours.into(), theirs.into())),
        _ => Err("expected our name, =, and the file's name: label=truth".into()),
    }
}

/// A number from 0 to 1.
fn unit_interval(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1, with a decimal point".into()),
    }
}

/// A number above 0.
pub fn positive<T: FromStr + Into<f64> + Copy>(text: &str) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(value) if value.into() > 0.0 && value.into().is_finite() => Ok(value),
        _ => Err("expected a number above 0, with a decimal point".into()),
    }
}

/// A margin around a face.
pub fn margin(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=4.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 4; 0.3 leaves a third of the face's size on each side".into()),
    }
}

/// A trace of the forge and its strength.
fn trace(text: &str) -> Result<(String, f32), String> {
    let expected = || format!("expected {}=S, S from 0 to 1", Traces::NAMES.join("=S, "));
    let (name, strength) = text.split_once('=').ok_or_else(expected)?;
    match Traces::NAMES.contains(&name) {
        true => Ok((name.to_owned(), unit_interval(strength)?)),
        false => Err(expected()),
    }
}

/// A number above 0 and below 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err("expected a number above 0 and below 1, with a decimal point".into()),
    }
}

/// `demo`
#[derive(Debug, Args)]
#[command(long_about = "\
Do all of it: from a folder of real face videos to a report.

Forges counterfeits of the videos, cuts faces from them, trains a small detector for each fold of people,
draws posterior samples for the people it has never seen, and writes OUT/report.html (beside it:
metrics.json, predictions.parquet, manifest.parquet). Takes about ten minutes on two cores. Stopped at any
point, the same command goes on from there; the same seed gives the same numbers.")]
pub struct Demo {
    /// Folder of real face videos, of six people at least; an identities.csv (file,identity) beside
    /// them says who is who [default: simulated people]
    #[arg(long, value_name = "FOLDER")]
    pub faces: Option<PathBuf>,
    /// Seed of everything drawn at random
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}
