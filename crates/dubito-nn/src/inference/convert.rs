//! Trained runs made Bayesian without training: MOPED, last-layer Laplace, ensembles; and a temperature for any run.

use std::path::Path;

use burn::tensor::{Device, Tensor};

use super::ensemble::{self, Ensemble};
use super::laplace::{Evidence, fit, last_layer};
use super::scaled::Labelled;
use super::{Inference, Variational};
use crate::NnError;
use crate::detector::{Detector, Pass};
use crate::parameter::values_of;
use crate::run::{Run, RunConfig, write_json};
use crate::state::{StateDict, write_atomic};
use crate::train::{Crops, balanced_weights};

/// Crops that go through a network together.
const CHUNK: usize = 32;

/// Writes a Bayesian run into the folder `out` from a trained one, deterministic or of dropout: its weights become the
/// posterior's means. A Laplace approximation is fitted on `data`, the crops that the run was trained on; half of what
/// counts is real, as in training.
///
/// # Errors
/// [`NnError::Setting`] for a run that is Bayesian already, a method that needs training or several runs, or settings
/// that do not fit the network; [`NnError::Data`] for no crops, or crops of another size; [`NnError::Io`].
pub fn convert(
    run: &Run,
    inference: &Inference,
    data: Option<&dyn Crops>,
    out: &Path,
    device: &Device,
) -> Result<RunConfig, NnError> {
    if run.config.softmax_temperature.is_some() {
        return Err(NnError::setting("run", "one without a temperature: that comes last", run.dir.display()));
    }
    if let Some(already) = &run.config.inference {
        let found = format!("{}, which is `{}`", run.dir.display(), already.name());
        return Err(NnError::setting("run", "a deterministic or dropout run", found));
    }
    let net = run.detector(device)?;
    inference.check(net.network())?;
    let (inference, arrays) = match inference {
        Inference::Variational(settings) => {
            let settings = Variational { items: None, ..settings.clone() };
            let arrays = settings.moped(&net);
            (Inference::Variational(settings), arrays)
        }
        Inference::Laplace(settings) => {
            let evidence = data.map(|data| gather(run, &net, data, device)).transpose()?.unwrap_or_default();
            fit(settings, &net, &evidence)?
        }
        Inference::Ensemble(_) => return Err(NnError::setting("members", "two runs or more", 1)),
        other @ (Inference::Swag(_) | Inference::Masksembles(_) | Inference::Evidential(_)) => {
            let found = format!("`{}`", other.name());
            return Err(NnError::setting("inference", "a method that needs no training: train with it", found));
        }
    };
    write(run, &net, RunConfig { inference: Some(inference), ..run.config.clone() }, Some(&arrays), out)
}

/// Writes an ensemble of runs of one task, one architecture and one input into the folder `out`.
///
/// # Errors
/// [`NnError::Setting`] for fewer than two, for runs that differ in what must be alike, or are Bayesian already;
/// [`NnError::Io`].
pub fn join(runs: &[Run], out: &Path, device: &Device) -> Result<RunConfig, NnError> {
    let arrays = ensemble::join(runs, device)?;
    let inference = Inference::Ensemble(Ensemble { members: runs.len() });
    let config = RunConfig { inference: Some(inference), ..runs[0].config.clone() };
    write(&runs[0], &runs[0].detector(device)?, config, Some(&arrays), out)
}

/// Writes a run with the temperature that suits `data` best, crops of people it did not learn from (those of validation),
/// half of what counts being real; found on so many samples of each.
///
/// # Errors
/// [`NnError::Data`] for no crops, or crops of another size; [`NnError::Setting`] for no samples, or a run that has a
/// temperature or is evidential; as [`Run::posterior`]; [`NnError::Io`].
pub fn scale(
    run: &Run,
    data: &dyn Crops,
    samples: u32,
    seed: u64,
    out: &Path,
    device: &Device,
) -> Result<RunConfig, NnError> {
    if let Some(already) = run.config.softmax_temperature {
        return Err(NnError::setting("run", "one without a temperature", already));
    }
    if let Some(Inference::Evidential(_)) = run.config.inference {
        let found = format!("{}, which is `evidential`", run.dir.display());
        return Err(NnError::setting("run", "one whose samples are of networks", found));
    }
    let posterior = run.posterior(device)?;
    let classes = posterior.classes();
    let mut found = Labelled {
        classes,
        prior: run.config.verdict_factors().unwrap_or_else(|| vec![1.0; classes]),
        probabilities: Vec::new(),
        samples: samples as usize,
        labels: Vec::new(),
        weights: balanced_weights(data),
    };
    each_batch(run, data, device, &mut |batch, labels| {
        found.probabilities.extend(values_of(posterior.draw(batch, 0..samples, seed)?));
        found.labels.extend(labels);
        Ok(())
    })?;
    let config = RunConfig { softmax_temperature: Some(found.best_temperature()?), ..run.config.clone() };
    write(run, &run.detector(device)?, config, None, out)
}

/// The last layer's input, logits and classes of every crop.
fn gather(run: &Run, net: &Detector, data: &dyn Crops, device: &Device) -> Result<Evidence, NnError> {
    let (place, _) = last_layer(net.network())?;
    let mut evidence = Evidence::default();
    // What half real is is what the crops count.
    let offset: Vec<f32> = match run.config.verdict_factors() {
        Some(factors) => factors.iter().map(|factor| factor.ln() as f32).collect(),
        None => vec![0.0; net.config().classes],
    };
    each_batch(run, data, device, &mut |batch, labels| {
        let features = net.run_until(batch, place);
        let logits = net.run_from(features.clone(), place, &mut Pass::inference(None));
        evidence.features.extend(values_of(features));
        evidence
            .logits
            .extend(values_of(logits).iter().zip(offset.iter().cycle()).map(|(logit, offset)| logit + offset));
        evidence.labels.extend(labels);
        Ok(())
    })?;
    let total = data.len() as f64;
    evidence.weights = balanced_weights(data).into_iter().map(|weight| weight * total).collect();
    Ok(evidence)
}

/// Hands out all crops as the run takes them, with their classes.
fn each_batch(
    run: &Run,
    data: &dyn Crops,
    device: &Device,
    visit: &mut dyn FnMut(Tensor<4>, Vec<usize>) -> Result<(), NnError>,
) -> Result<(), NnError> {
    let expected = run.config.preprocessing.shape();
    if data.shape() != expected && !data.is_empty() {
        let reason = format!("crops are {:?}, and the run takes {expected:?}", data.shape());
        return Err(NnError::Data { reason });
    }
    let (classes, one) = (run.config.class_names.len(), expected.iter().product::<usize>());
    let items: Vec<usize> = (0..data.len()).collect();
    for items in items.chunks(CHUNK) {
        let mut bytes = vec![0; items.len() * one];
        for (crop, &i) in bytes.chunks_exact_mut(one).zip(items) {
            data.read(i, crop).map_err(|e| NnError::Crop { index: i, reason: e.to_string() })?;
            if data.class(i) >= classes {
                let reason = format!("crop {i} has class {}, and the run has {classes}", data.class(i));
                return Err(NnError::Data { reason });
            }
        }
        visit(run.batch(&bytes, device)?, items.iter().map(|&i| data.class(i)).collect())?;
    }
    Ok(())
}

/// The folder of a run with another configuration, and with what its method keeps; without `arrays` what the run has.
fn write(
    run: &Run,
    net: &Detector,
    config: RunConfig,
    arrays: Option<&StateDict>,
    out: &Path,
) -> Result<RunConfig, NnError> {
    std::fs::create_dir_all(out).map_err(|e| NnError::io(out, "create", e))?;
    if out.canonicalize().ok() == run.dir.canonicalize().ok() {
        return Err(NnError::setting("out", "another folder than the run's own", out.display()));
    }
    net.save(&out.join("weights.safetensors"))?;
    if let Some(inference) = &config.inference {
        match arrays {
            Some(arrays) => inference.write_arrays(out, arrays)?,
            None => inference.write_arrays(out, &inference.arrays(&run.dir)?)?,
        }
    }
    let config = RunConfig { made_by: format!("dubito {}", env!("CARGO_PKG_VERSION")), ..config };
    // The card says all that the old one says, but of the posterior.
    let card = std::fs::read_to_string(run.dir.join("model_card.md")).unwrap_or_default();
    let line = |line: &str| match line.starts_with("| posterior |") {
        true => format!("| posterior | {} |\n", config.posterior_in_words()),
        false => format!("{line}\n"),
    };
    let card: String = card.lines().map(line).collect();
    write_atomic(&out.join("model_card.md"), card.as_bytes())?;
    write_json(&out.join("config.json"), &config)?;
    Ok(config)
}
