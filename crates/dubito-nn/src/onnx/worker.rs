//! The child's side: judges an ONNX file, loads it, and runs it on what it is sent.

use std::ffi::OsString;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use dubito_process::last_words;
use dubito_weights::onnx::{Judged, OnnxError, judge, short};
use rten::{Model, ModelOptions};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};

use super::protocol::{Answer, Request, read, write};
use super::{MAX_FILE, memory_for};

/// Stack of the thread that loads and runs: the runtime follows a graph by recursion.
const STACK: usize = 128 << 20;
/// Most numbers of an output that are given back.
const MOST_ANSWERS: usize = 1 << 16;
/// Characters of what the runtime says that are given on: it names what it finds in the file.
const MOST_WORDS: usize = 500;

/// What a program's hidden command runs that is named by [`set_onnx_worker`](crate::set_onnx_worker), with the arguments behind
/// it. Standard input and output belong to it.
pub fn onnx_worker_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    if let Err(error) = dubito_process::enter_worker() {
        last_words(error);
        return ExitCode::FAILURE;
    }
    // The reason is what the parent shows; where in the runtime it was is of no use to anyone.
    std::panic::set_hook(Box::new(|panic| last_words(panic.payload_as_str().unwrap_or("no reason given"))));
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let [file, size] = arguments.as_slice() else {
        last_words("expected FILE SIZE");
        return ExitCode::FAILURE;
    };
    let (file, size) = (file.clone(), size.to_str().and_then(|size| size.parse().ok()));
    let run = move || serve(Path::new(&file), size, true, io::stdin().lock(), io::stdout().lock());
    let ended = thread::Builder::new().stack_size(STACK).spawn(run).map(thread::JoinHandle::join);
    match ended {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        // A parent that has gone away needs no message.
        Ok(Ok(Err(_))) => ExitCode::FAILURE,
        Ok(Err(_)) => ExitCode::from(101),
        Err(error) => {
            last_words(error);
            ExitCode::FAILURE
        }
    }
}

/// Loads the file, says so, and answers requests until there are no more.
pub(super) fn serve(
    file: &Path,
    size: Option<u64>,
    limited: bool,
    input: impl Read,
    mut output: impl Write,
) -> io::Result<()> {
    let (bytes, judged) = match look_at(file, size, limited) {
        Ok((bytes, judged, all)) => {
            write(&mut output, &Answer::Reads(all), &[])?;
            (bytes, judged)
        }
        Err(error) => return write(&mut output, &Answer::Failed(error), &[]),
    };
    let model = match load(file, bytes, &judged) {
        Ok(model) => model,
        Err(error) => return write(&mut output, &Answer::Failed(error), &[]),
    };
    write(&mut output, &Answer::Loaded(judged), &[])?;
    let mut input = BufReader::new(input);
    loop {
        let (request, numbers) = match read::<Request>(&mut input) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            message => message?,
        };
        match run(&model, &request, numbers) {
            Ok((shape, numbers)) => write(&mut output, &Answer::Ran { shape }, &numbers)?,
            Err(error) => write(&mut output, &Answer::Failed(error), &[])?,
        }
    }
}

/// What the runtime says, without an end of any length.
fn in_short(error: impl std::fmt::Display) -> String {
    error.to_string().chars().take(MOST_WORDS).collect()
}

fn unreadable(error: io::Error) -> OnnxError {
    OnnxError::new(format!("cannot be read: {error}"), "check the path and who may read it")
}

/// The path of a file that holds weights of a model.
fn beside(file: &Path, location: &str) -> PathBuf {
    file.with_file_name("").join(location)
}

/// The bytes of a file, what it is judged to be, and how many bytes it has with its weights; the limit of memory is for these.
fn look_at(file: &Path, size: Option<u64>, limited: bool) -> Result<(Vec<u8>, Judged, u64), OnnxError> {
    let limit = |bytes: u64| {
        let set = if limited { dubito_process::limit_memory(memory_for(bytes)) } else { Ok(()) };
        set.map_err(|e| OnnxError::new(format!("the limit of memory cannot be set: {e}"), "raise `ulimit -v`"))
    };
    let mut all = std::fs::metadata(file).map_err(unreadable)?.len();
    limit(all)?;
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let judged = judge(&bytes, size)?;
    for external in &judged.external {
        let (name, wanted) = (short(&external.location), external.needs());
        let found = std::fs::metadata(beside(file, &external.location)).ok().filter(std::fs::Metadata::is_file);
        let Some(length) = found.map(|found| found.len()) else {
            let hint = "put it beside the model, under this name";
            return Err(OnnxError::new(format!("its weights lie in {name:?}, which is not beside it"), hint));
        };
        if length < wanted {
            let reason = format!("its weights need {wanted} bytes of {name:?}, which has {length}");
            return Err(OnnxError::new(reason, "fetch the file of weights again"));
        }
        all = all.saturating_add(length);
        if all > MAX_FILE {
            let reason =
                format!("has {all} bytes with its weights in {name:?}, more than the {MAX_FILE} that are read");
            return Err(OnnxError::new(reason, "take a smaller detector"));
        }
    }
    limit(all)?;
    Ok((bytes, judged, all))
}

fn load(file: &Path, bytes: Vec<u8>, judged: &Judged) -> Result<Model, OnnxError> {
    let mut options = ModelOptions::with_all_ops();
    for external in &judged.external {
        let weights = std::fs::read(beside(file, &external.location)).map_err(unreadable)?;
        external.tensors.iter().try_for_each(|tensor| tensor.check(&weights))?;
        options.external_data(&external.location, weights);
    }
    options.load(bytes).map_err(|e| {
        let hint = "export it again with operators of ONNX itself (opset 11 to 21), in float32 and after model.eval()";
        OnnxError::new(format!("is an ONNX model that cannot be run: {}", in_short(e)), hint)
    })
}

fn run(model: &Model, request: &Request, numbers: Vec<f32>) -> Result<(Vec<usize>, Vec<f32>), OnnxError> {
    let Request { output, shape, channels_last } = request;
    let ([input], Some(output)) = (model.input_ids(), model.output_ids().get(*output)) else {
        return Err(OnnxError::new("has another number of inputs or outputs than it says", "export it again"));
    };
    let [.., height, width] = *shape;
    if shape.iter().product::<usize>() != numbers.len() {
        return Err(OnnxError::new("was sent pictures of another shape", "report it: this is a fault of the program"));
    }
    let images = NdTensor::from_data(*shape, numbers);
    let images = if *channels_last { images.permuted([0, 2, 3, 1]).to_tensor() } else { images };
    let [found] = model.run_n(vec![(*input, images.into())], [*output], None).map_err(|e| {
        let hint = "look at the input that it was exported with: its size, batch and number of channels";
        OnnxError::new(format!("fails on an image of {width} x {height} pixels: {}", in_short(e)), hint)
    })?;
    let found: Tensor<f32> = found.try_into().map_err(|e| {
        let hint = "export it again with its probabilities or logits as the output, in float32";
        OnnxError::new(format!("has an output that is not f32: {}", in_short(e)), hint)
    })?;
    let shape = found.shape().to_vec();
    // The shape says what is wrong; that many numbers are never looked at.
    let numbers = if found.len() > MOST_ANSWERS { Vec::new() } else { found.to_vec() };
    Ok((shape, numbers))
}
