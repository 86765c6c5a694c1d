//! `dubito bayes`: trained detectors made Bayesian.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use dubito_data::classes::ClassList;
use dubito_data::manifest;
use dubito_nn::{
    Boundary, Curvature, Estimator, Evidential, Inference, KlScale, Laplace, Masksembles, Predictive, Prior, Run,
    ScheduleName, Swag, TrainConfig, Variational,
};
use dubito_study::bayes::{ConvertOptions, TrainedClips, convert_runs, join_runs, scale_runs};
use dubito_study::predict::{FoldRun, find_runs};
use dubito_study::{Step, StudyError};
use serde_json::json;

use crate::args::{Common, TrainSettings, positive};
use crate::output::{self, say};
use crate::progress::Display;

/// `bayes`
#[derive(Debug, Subcommand)]
pub enum Bayes {
    /// Make trained runs Bayesian: Gaussian weights around theirs, or a Laplace approximation of the last layer
    Convert(Convert),
    /// Join runs that were trained apart into an ensemble
    Join(Join),
    /// Give runs of any method but evidential a temperature, which all logits are divided by, found on their validation clips
    Scale(Scale),
}

/// Gaussian weights, for `bayes convert` and `train`.
#[derive(Debug, Args)]
pub struct Gaussian {
    /// Weights that are uncertain: those of the head, of stage:N (1 to 4) and all behind it, or all
    #[arg(long, default_value = "head")]
    pub scope: String,
    /// Deviation that a weight begins with, in parts of its size
    #[arg(long, default_value_t = 0.2, value_parser = positive::<f32>)]
    pub delta: f32,
    /// Prior: moped (around the trained weights) or zero
    #[arg(long, default_value = "moped")]
    pub prior: PriorName,
    /// Deviation of the prior on every weight [default: of moped what the weight begins with, of zero 1]
    #[arg(long, value_parser = positive::<f32>)]
    pub prior_sigma: Option<f32>,
    /// What the divergence from the prior counts in training: elbo (the sum over the weights, divided by the distinct
    /// crops) or layer-mean (bayesian-torch's: each layer's mean, divided by the batch)
    #[arg(long, default_value = "elbo")]
    pub kl: KlName,
    /// What the divergence is multiplied by; other than 1 the posterior is a tempered one
    #[arg(long, default_value_t = 1.0, value_parser = positive::<f32>)]
    pub temperature: f32,
}

/// Where a prior lies.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PriorName {
    /// Around the trained weights.
    Moped,
    /// Around 0.
    Zero,
}

/// How the divergence is scaled.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KlName {
    /// The evidence lower bound.
    Elbo,
    /// bayesian-torch's.
    LayerMean,
}

/// How a step of training is made noisy.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EstimatorName {
    /// One network for all crops of a step.
    Reparameterised,
    /// Outputs drawn instead of weights.
    Local,
    /// One deviation for all crops, signs of each crop's own.
    Flipout,
}

/// What `train` makes other than one network.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TrainedName {
    /// Gaussian weights: one network for all crops of a step
    Reparameterised,
    /// Gaussian weights: outputs drawn instead of weights
    Local,
    /// Gaussian weights: one deviation for all crops, signs of each crop's own
    Flipout,
    /// The network under each of a few fixed masks
    Masksembles,
    /// An ensemble of what each cycle of the learning rate ends with
    Snapshots,
    /// One network that says a Dirichlet of the probabilities
    Evidential,
}

impl TrainedName {
    /// Puts it into a training's settings.
    pub fn apply(self, settings: &TrainSettings, config: &mut TrainConfig) -> Result<(), StudyError> {
        let gaussian = &settings.gaussian;
        let inference = match self {
            Self::Reparameterised => gaussian.inference(EstimatorName::Reparameterised)?,
            Self::Local => gaussian.inference(EstimatorName::Local)?,
            Self::Flipout => gaussian.inference(EstimatorName::Flipout)?,
            Self::Masksembles => Inference::Masksembles(Masksembles {
                scope: Boundary::parse("scope", &gaussian.scope)?,
                masks: settings.members.into(),
                scale: settings.mask_scale,
            }),
            Self::Evidential => Inference::Evidential(Evidential::default()),
            Self::Snapshots => {
                config.schedule.name = ScheduleName::Cyclic;
                config.schedule.cycles = settings.members.into();
                return Ok(());
            }
        };
        // Dropout is for the network that Gaussian weights are begun around, where that is trained here.
        let is_second = matches!(&inference, Inference::Variational(v) if v.is_moped()) && config.weights.is_none();
        if !is_second {
            config.dropout = 0.0;
        }
        config.inference = Some(inference);
        Ok(())
    }
}

impl Gaussian {
    /// The method with this estimator.
    pub fn inference(&self, estimator: EstimatorName) -> Result<Inference, StudyError> {
        let prior = match (self.prior, self.prior_sigma) {
            (PriorName::Moped, None) => Prior::Moped,
            (PriorName::Moped, Some(sigma)) => Prior::MopedSigma { sigma },
            (PriorName::Zero, sigma) => Prior::Zero { sigma: sigma.unwrap_or(1.0) },
        };
        Ok(Inference::Variational(Variational {
            scope: Boundary::parse("scope", &self.scope)?,
            estimator: match estimator {
                EstimatorName::Reparameterised => Estimator::Reparameterised,
                EstimatorName::Local => Estimator::Local,
                EstimatorName::Flipout => Estimator::Flipout,
            },
            prior,
            delta: self.delta,
            kl: match self.kl {
                KlName::Elbo => KlScale::Elbo,
                KlName::LayerMean => KlScale::LayerMean,
            },
            temperature: self.temperature,
            ..Variational::default()
        }))
    }
}

/// `bayes convert`
#[derive(Debug, Args)]
#[command(long_about = "\
Make trained runs (deterministic ones or of dropout) Bayesian. RUN is what `train` wrote: a folder of runs, one for each
fold, or one run's own folder.

--inference moped puts a Gaussian around each weight in the scope, as wide as --delta of its size; with --manifest and
--epochs the result is fine-tuned on the clips that the run was trained on, by variational inference. --inference laplace
fits a Gaussian to the last layer on these clips, and needs --manifest. --inference swag goes on training at a constant
rate and keeps mean and spread of what each of --epochs ends with. docs/INFERENCE.md says which to choose.")]
pub struct Convert {
    /// What `train` wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The method
    #[arg(long, value_enum, default_value = "moped")]
    inference: Method,
    /// The manifest that the runs were trained with
    #[arg(long, value_name = "MANIFEST")]
    manifest: Option<PathBuf>,
    /// The class list (TOML) that they were trained with, if there was one
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// moped: epochs of fine-tuning; swag: epochs that are passed through
    #[arg(long, requires = "manifest", value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
    /// moped: how a step of fine-tuning is made noisy
    #[arg(long, value_enum, default_value = "flipout")]
    estimator: EstimatorName,
    /// moped: the weights.
    #[command(flatten)]
    gaussian: Gaussian,
    /// laplace: what of the curvature is kept
    #[arg(long, value_enum, default_value = "kronecker")]
    curvature: CurvatureName,
    /// laplace: precision of the prior [default: the one that makes the clips likeliest]
    #[arg(long, value_parser = positive::<f64>)]
    prior_precision: Option<f64>,
    /// laplace: average over the weights by the probit approximation instead of samples: every sample is the same
    #[arg(long)]
    probit: bool,
    /// swag: most directions of the spread that are kept
    #[arg(long, default_value_t = 20)]
    rank: usize,
    /// Seed of the fine-tuning
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, or gpu in a build with the feature `wgpu`
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// Methods that a trained run is converted to.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Method {
    /// Gaussian weights around the trained ones.
    Moped,
    /// A Gaussian last layer, fitted.
    Laplace,
    /// A Gaussian around what training passes through.
    Swag,
}

/// What of the curvature is kept.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CurvatureName {
    /// Every pair of weights.
    Full,
    /// A matrix of the inputs and one of the outputs.
    Kronecker,
    /// Each weight by itself.
    Diagonal,
}

/// `bayes join`
#[derive(Debug, Args)]
#[command(long_about = "\
Join runs of one task and one architecture, trained apart (each with another --seed), into an ensemble, fold by fold.
Sample t is member t, and from the last on the first again: give `predict --samples` the number of members.")]
pub struct Join {
    /// What `train` wrote, twice or more
    #[arg(value_name = "RUN", num_args = 2.., required = true)]
    runs: Vec<PathBuf>,
    /// cpu, or gpu in a build with the feature `wgpu`
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// `bayes scale`
#[derive(Debug, Args)]
pub struct Scale {
    /// What `train` or `bayes` wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The manifest that the runs were trained with
    #[arg(long, value_name = "MANIFEST")]
    manifest: PathBuf,
    /// The class list (TOML) that they were trained with, if there was one
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Posterior samples of each frame
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Seed of the samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, or gpu in a build with the feature `wgpu`
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// Runs one of them.
pub fn run(arguments: &Bayes) -> Result<(), StudyError> {
    match arguments {
        Bayes::Convert(arguments) => run_convert(arguments),
        Bayes::Join(Join { runs, device, common }) => {
            let folders = runs.iter().map(|dir| find_runs(dir)).collect::<Result<Vec<_>, _>>()?;
            say(common, &join_runs(&folders, &common.out, device)?)
        }
        Bayes::Scale(Scale { run, manifest: path, classes, samples, seed, device, common }) => {
            let classes = classes.as_deref().map_or_else(|| Ok(ClassList::default()), ClassList::read)?;
            let (rows, store) = (manifest::read(path)?, manifest::folder(path).to_owned());
            let clips = TrainedClips { rows: &rows, store: &store, classes: &classes };
            let display = Display::new(common.quiet);
            let (runs, step) = (find_runs(run)?, Step::only("scale"));
            let show = |p: &_| display.show(p);
            let made = scale_runs(&runs, clips, &common.out, *samples, *seed, device, step, &show)?;
            display.finish();
            say(common, &made)
        }
    }
}

fn run_convert(arguments: &Convert) -> Result<(), StudyError> {
    let Convert { run, manifest: path, common, .. } = arguments;
    let inference = match arguments.inference {
        Method::Moped => arguments.gaussian.inference(arguments.estimator)?,
        Method::Laplace => Inference::Laplace(Laplace {
            curvature: match arguments.curvature {
                CurvatureName::Full => Curvature::Full,
                CurvatureName::Kronecker => Curvature::Kronecker,
                CurvatureName::Diagonal => Curvature::Diagonal,
            },
            predictive: if arguments.probit { Predictive::Probit } else { Predictive::Samples },
            prior_precision: arguments.prior_precision,
            ..Laplace::default()
        }),
        Method::Swag => {
            let scope = Boundary::parse("scope", &arguments.gaussian.scope)?;
            Inference::Swag(Swag { scope, rank: arguments.rank, collected: 0 })
        }
    };
    let options = ConvertOptions {
        inference,
        epochs: arguments.epochs.map(|epochs| epochs as usize),
        seed: arguments.seed,
        device: arguments.device.clone(),
    };
    let classes = arguments.classes.as_deref().map_or_else(|| Ok(ClassList::default()), ClassList::read)?;
    let rows = path.as_deref().map(manifest::read).transpose()?;
    let store = path.as_deref().map(|path| manifest::folder(path).to_owned()).unwrap_or_default();
    let clips = rows.as_ref().map(|rows| TrainedClips { rows, store: &store, classes: &classes });
    let runs = find_runs(run)?;
    let display = Display::new(common.quiet);
    let made = convert_runs(&runs, clips, &common.out, &options, Step::only("convert"), &|p| display.show(p))?;
    display.finish();
    say(common, &made)
}

fn say(common: &Common, made: &[FoldRun]) -> Result<(), StudyError> {
    let runs = made.iter().map(|made| Run::load(&made.dir)).collect::<Result<Vec<_>, _>>()?;
    if common.json {
        let one = |(made, run): (&FoldRun, &Run)| json!({ "fold": made.fold, "run": made.dir, "inference": run.config.inference });
        output::json(&json!({ "runs": made.iter().zip(&runs).map(one).collect::<Vec<_>>() }));
    } else {
        runs.iter().for_each(|run| say!("{}: {}", run.dir.display(), run.config.posterior_in_words()));
    }
    Ok(())
}
