//! The child's side: judges an ONNX file, loads it, and runs it on what it is sent.

use std::ffi::OsString;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use dubito_process::last_words;
use dubito_weights::onnx::{Judged, OnnxError, judge};
use rten::{Model, ModelOptions};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};

use super::protocol::{Answer, Request, read, write};
use super::{MAX_FILE, memory_for};

/// Stack of the thread that loads and runs: the runtime follows a graph by recursion.
const STACK: usize = 128 << 20;
/// Most numbers of an output that are given back.
const MOST_ANSWERS: usize = 1 << 16;

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
    let (model, judged) = match load(file, size, limited) {
        Ok(loaded) => loaded,
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

fn load(file: &Path, size: Option<u64>, limited: bool) -> Result<(Model, Judged), OnnxError> {
    let unreadable =
        |e: io::Error| OnnxError::new(format!("cannot be read: {e}"), "check the path and who may read it");
    let limit = |bytes: u64| {
        let set = if limited { dubito_process::limit_memory(memory_for(bytes)) } else { Ok(()) };
        set.map_err(|e| OnnxError::new(format!("the limit of memory cannot be set: {e}"), "raise `ulimit -v`"))
    };
    let mut all = std::fs::metadata(file).map_err(unreadable)?.len();
    limit(all)?;
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let judged = judge(&bytes, size)?;
    let mut options = ModelOptions::with_all_ops();
    for (location, wanted) in &judged.external {
        let path = file.with_file_name("").join(location);
        let found = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file);
        let Some(length) = found.map(|found| found.len()) else {
            let hint = "put it beside the model, under this name";
            return Err(OnnxError::new(format!("its weights lie in {location:?}, which is not beside it"), hint));
        };
        if length < *wanted {
            let reason = format!("its weights need {wanted} bytes of {location:?}, which has {length}");
            return Err(OnnxError::new(reason, "fetch the file of weights again"));
        }
        all = all.saturating_add(length);
        if all > MAX_FILE {
            let reason =
                format!("has {all} bytes with its weights in {location:?}, more than the {MAX_FILE} that are read");
            return Err(OnnxError::new(reason, "take a smaller detector"));
        }
        limit(all)?;
        options.external_data(location, std::fs::read(&path).map_err(unreadable)?);
    }
    let model = options.load(bytes).map_err(|e| {
        let hint = "export it again with operators of ONNX itself (opset 11 to 21), in float32 and after model.eval()";
        OnnxError::new(format!("is an ONNX model that cannot be run: {e}"), hint)
    })?;
    Ok((model, judged))
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
        OnnxError::new(format!("fails on an image of {width} x {height} pixels: {e}"), hint)
    })?;
    let found: Tensor<f32> = found.try_into().map_err(|e| {
        let hint = "export it again with its probabilities or logits as the output, in float32";
        OnnxError::new(format!("has an output that is not f32: {e}"), hint)
    })?;
    let shape = found.shape().to_vec();
    // The shape says what is wrong; that many numbers are never looked at.
    let numbers = if found.len() > MOST_ANSWERS { Vec::new() } else { found.to_vec() };
    Ok((shape, numbers))
}
