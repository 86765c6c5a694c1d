//! `dubito weights`: files of weights of other frameworks, looked into and put under plain names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use dubito_nn::{Inference, OnnxOptions, Run, device, write_atomic};
use dubito_study::StudyError;
use dubito_study::output::overwrites_nothing;
use dubito_weights::{Cleaned, Fit, Weights as Found, clean, fits, write_state, write_state_with};
use serde_json::{Value, json};

use crate::output::{self, say};

/// `weights`
#[derive(Debug, Subcommand)]
pub enum Weights {
    /// List the tensors of a file: names, types, shapes, and the architecture that they fit
    List(List),
    /// Put a file's tensors under plain names into a safetensors file
    Import(Import),
    /// Write the weights of a run, or of a file, for other programs: as safetensors, or a run as ONNX
    Export(Export),
}

/// `weights list`
#[derive(Debug, Args)]
#[command(long_about = "\
List the tensors of a file: safetensors, or what torch.save wrote (since 1.6 or before). The content decides which,
and no code in it is run: a checkpoint that wants to run some is refused by name.")]
pub struct List {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// `weights import`
#[derive(Debug, Args)]
#[command(long_about = "\
Put a file's tensors under plain names into a safetensors file: those of torchvision (ResNet, MobileNet, EfficientNet)
or Cadene (Xception). What DataParallel, Lightning, DeepfakeBench and FaceForensics++ put around them is taken off, and
everything that was done is said. docs/WEIGHTS.md has the table.")]
pub struct Import {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// File to write
    #[arg(short, long, value_name = "FILE", default_value = "weights.safetensors")]
    pub out: PathBuf,
    /// Leave the names as they are
    #[arg(long)]
    keep_names: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// `weights export`
#[derive(Debug, Args)]
pub struct Export {
    /// A run's folder, or a file of weights
    #[arg(value_name = "RUN|FILE")]
    pub from: PathBuf,
    /// File to write: NAME.safetensors, or (of a run) NAME.onnx
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs one of them.
pub fn run(arguments: &Weights) -> Result<(), StudyError> {
    match arguments {
        Weights::List(arguments) => list(arguments),
        Weights::Import(arguments) => import(arguments),
        Weights::Export(arguments) => export(arguments),
    }
}

fn list(List { file, json }: &List) -> Result<(), StudyError> {
    let found = Found::read(file)?;
    let (format, notes) = (found.format, found.notes.clone());
    let tensors: Vec<Value> = found
        .tensors
        .iter()
        .map(|(name, tensor)| json!({ "name": name, "type": tensor.element.name(), "shape": tensor.array.shape }))
        .collect();
    let lines: Vec<String> = found
        .tensors
        .iter()
        .map(|(name, tensor)| format!("{name:<60} {:<5} {:?}", tensor.element.name(), tensor.array.shape))
        .collect();
    // A file with tensors that are no weights is listed all the same.
    let fit = found.into_state(file).ok().and_then(|state| fits(&clean(state).state));
    if *json {
        let fit = fit.map(as_json);
        output::json(
            &json!({ "file": file, "format": format.name(), "notes": notes, "architecture": fit, "tensors": tensors }),
        );
        return Ok(());
    }
    say!("{}: {}, {} tensors", file.display(), format.name(), lines.len());
    notes.iter().for_each(|note| say!("  {note}"));
    lines.iter().for_each(|line| say!("  {line}"));
    say!("{}", in_words(fit.as_ref()));
    Ok(())
}

fn import(Import { file, out, keep_names, json }: &Import) -> Result<(), StudyError> {
    let found = Found::read(file)?;
    let mut notes = found.notes.clone();
    let state = found.into_state(file)?;
    let cleaned = if *keep_names { Cleaned { state, notes: Vec::new() } } else { clean(state) };
    notes.extend(cleaned.notes);
    write_state(out, &cleaned.state)?;
    let fit = fits(&cleaned.state);
    if *json {
        let fit = fit.map(as_json);
        output::json(&json!({ "weights": out, "tensors": cleaned.state.len(), "notes": notes, "architecture": fit }));
        return Ok(());
    }
    notes.iter().for_each(|note| say!("{note}"));
    say!("{}: {} tensors; {}", out.display(), cleaned.state.len(), in_words(fit.as_ref()));
    Ok(())
}

fn export(Export { from, out, json }: &Export) -> Result<(), StudyError> {
    match out.extension().and_then(|ending| ending.to_str()) {
        Some("safetensors") => export_safetensors(from, out, *json),
        Some("onnx") => export_onnx(from, out, *json),
        _ => Err(StudyError::Input {
            message: format!("{}: expected a name that ends in .safetensors or .onnx", out.display()),
            hint: format!("-o {}", out.with_extension("safetensors").display()),
        }),
    }
}

fn export_safetensors(from: &Path, out: &Path, json: bool) -> Result<(), StudyError> {
    let (file, config): (PathBuf, Option<PathBuf>) = match from.is_dir() {
        true => (from.join("weights.safetensors"), Some(from.join("config.json"))),
        false => (from.to_owned(), None),
    };
    let kept = from.join("inference.safetensors");
    overwrites_nothing(&[out.to_owned()], &[&file, &kept, &from.join("checkpoint.safetensors")])?;
    let state = Found::read(&file)?.into_state(&file)?;
    let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    if let Some(config) = &config {
        let text = std::fs::read_to_string(config).map_err(StudyError::io(config))?;
        metadata.insert("dubito_config".to_owned(), text);
    }
    write_state_with(out, &state, &metadata)?;
    if json {
        output::json(&json!({ "weights": out, "tensors": state.len() }));
    } else {
        say!("{}: {} tensors of {}", out.display(), state.len(), file.display());
    }
    Ok(())
}

fn export_onnx(from: &Path, out: &Path, json: bool) -> Result<(), StudyError> {
    if !from.is_dir() {
        return Err(StudyError::Input {
            message: format!("{}: an ONNX file is made of a run's folder", from.display()),
            hint: "a file of weights does not say which network they belong to, of what size and preprocessing".into(),
        });
    }
    let run = Run::load(from)?;
    let options = OnnxOptions::of_run(&run.config);
    let beside = out.with_extension("json");
    if options.is_some() {
        overwrites_nothing(std::slice::from_ref(&beside), &[&from.join("config.json"), &from.join("history.json")])?;
    }
    if let Some(Inference::Evidential(_)) = run.config.inference {
        return Err(StudyError::Input {
            message: format!("{}: an evidential network says the parameters of a Dirichlet, no logits", from.display()),
            hint: "whoever reads the ONNX file would take a softmax of them; export the weights alone: -o FILE.safetensors"
                .into(),
        });
    }
    let detector = run.verdict_network(&device("cpu")?)?;
    let config = serde_json::to_string(&run.config).unwrap_or_default();
    let [h, w, _] = run.config.preprocessing.shape();
    let bytes = detector.to_onnx([h, w], &[("dubito_config", &config)])?;
    write_atomic(out, &bytes)?;
    // What an ONNX file has no place for stands beside it, so that `detect` reads it as the run was trained.
    if let Some(options) = &options {
        write_atomic(&beside, format!("{:#}\n", json!(options)).as_bytes())?;
    }
    let dropout = match run.config.inference {
        Some(_) => Some("without what makes it Bayesian: one network, which knows no doubt of itself"),
        None => {
            (run.config.dropout > 0.0).then_some("without its dropout: one network, which knows no doubt of itself")
        }
    };
    if json {
        let beside = options.map(|_| beside);
        output::json(&json!({ "onnx": out, "options": beside, "bytes": bytes.len(), "notes": dropout }));
    } else {
        say!("{}: {} bytes", out.display(), bytes.len());
        match options {
            Some(_) => say!("{}: how it is to be fed", beside.display()),
            None => say!("`detect` takes ONNX files of two classes on crops only; other programs take this one"),
        }
        dropout.iter().for_each(|note| say!("{note}"));
    }
    Ok(())
}

fn as_json(fit: Fit) -> Value {
    let Fit { architecture, classes, tensors: (expected, found) } = fit;
    json!({ "name": architecture, "classes": classes, "tensors": found, "expected_tensors": expected })
}

fn in_words(fit: Option<&Fit>) -> String {
    let Some(Fit { architecture, classes, tensors: (expected, found) }) = fit else {
        return "fits no architecture that is known here".to_owned();
    };
    let head = classes.map_or("without its last layer".to_owned(), |n| format!("{n} classes"));
    let count = match expected == found {
        true => String::new(),
        false => format!(" ({found} tensors, {architecture} has {expected})"),
    };
    format!("fits {architecture}, {head}{count}")
}
