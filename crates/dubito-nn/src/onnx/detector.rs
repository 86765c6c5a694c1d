//! An ONNX file as a posterior, of one network or of that network's views of an image.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use dubito_weights::onnx::{Judged, Layout, OnnxInput, OutputMeaning, short};

use super::MAX_FILE;
use super::classes::{FakeClass, fake_class, speaks_of_fake};
use super::link::Link;
use super::options::{Channels, OnnxOptions, OnnxOutput, options_name, wrong_option};
use super::protocol::Request;
use crate::NnError;
use crate::augment::Normalisation;
use crate::inference::{Posterior, Sink};

/// Pictures that an output is tried on where the graph does not say what it is.
const PROBES: usize = 10;

/// A detector of real and fake in an ONNX file, run on the CPU by a child process with limits.
#[derive(Clone)]
pub struct OnnxDetector {
    path: PathBuf,
    link: Arc<Link>,
    /// Files beside it that hold weights.
    weights: Vec<PathBuf>,
    output: usize,
    layout: Layout,
    /// The batch that the file fixes.
    batch: Option<usize>,
    size: u32,
    gives: OnnxOutput,
    fake: FakeClass,
    options: OnnxOptions,
    device: Device,
}

impl OnnxDetector {
    /// Opens a file and asks it about pictures, so that what can't work fails here.
    ///
    /// The input is one f32 tensor `[batch, 3, size, size]` or `[batch, size, size, 3]`; the batch may be fixed, the sizes
    /// may be open where the options have one. The output holds one number or two for each image.
    ///
    /// # Errors
    /// [`NnError::Io`]; [`NnError::Corrupt`] that names the node, input, output or option, and says what to do.
    pub fn open(path: &Path, options: OnnxOptions) -> Result<Self, NnError> {
        let bad = |reason: String, hint: String| NnError::corrupt_hint(path, reason, hint);
        let beside = options_name(path);
        options.check(path)?;
        let found = std::fs::metadata(path).map_err(|e| NnError::io(path, "read", e))?;
        if !found.is_file() {
            return Err(bad(
                "is no regular file".into(),
                "save the model to a file: it is read by another process".into(),
            ));
        }
        let length = found.len();
        if length > MAX_FILE {
            let reason = format!("has {length} bytes, more than the {MAX_FILE} that are read");
            return Err(bad(reason, "take a smaller detector, or one in float16".into()));
        }
        let (link, judged) = Link::open(path, length, options.size)?;
        let [input] = judged.inputs.as_slice() else {
            let names = listed(judged.inputs.iter().map(|input| short(&input.name)));
            let reason = format!("has {} inputs ({names}); expected one, the image", judged.inputs.len());
            return Err(bad(reason, "export the part that takes one picture of a face".into()));
        };
        let (layout, batch, fixed) = read_shape(input).filter(|_| input.is_float()).ok_or_else(|| {
            let expected = "[batch, 3, size, size] or [batch, size, size, 3] of float32";
            let found = if input.is_float() { String::new() } else { format!(", element type {}", input.kind) };
            bad(
                format!("has an input of shape {}{found}; expected {expected}", in_words(input)),
                "export it again with one square RGB picture of a face, already normalised, as its input".into(),
            )
        })?;
        let size = match (fixed, options.size) {
            (Some(fixed), Some(size)) if fixed != u64::from(size) => {
                return Err(wrong_option(
                    path,
                    "size",
                    &format!("{fixed}, which the ONNX file fixes"),
                    &size.to_string(),
                ));
            }
            (Some(fixed), _) => u32::try_from(fixed).unwrap_or(u32::MAX),
            (None, Some(size)) => size,
            (None, None) => {
                let hint = format!("say it, as it was trained, as {{\"size\": 224}} in {beside}");
                return Err(bad(format!("leaves the size of its images open, and {beside} does not say it"), hint));
            }
        };
        if !(32..=4096).contains(&size) {
            let reason = format!("takes pictures of {size} x {size} pixels; expected 32 to 4096");
            return Err(bad(reason, "export it again for crops of one face".into()));
        }
        let output = choose(path, &judged, &options)?;
        let mut made = Self {
            path: path.to_owned(),
            link: Arc::new(link),
            weights: judged.external.iter().map(|file| path.with_file_name("").join(&file.location)).collect(),
            output,
            layout,
            batch: batch.map(|batch| usize::try_from(batch).unwrap_or(usize::MAX)),
            size,
            gives: options.output.or_else(|| said(&judged.outputs[output].meaning)).unwrap_or(OnnxOutput::Logits),
            fake: FakeClass { class: 1, known_by: super::KnownBy::Assumed, note: String::new() },
            options,
            device: Device::flex(),
        };
        let one = 3 * (size as usize).pow(2);
        let (numbers, first) = made.numbers(&vec![0.0; one], 1)?;
        made.check_logits(&judged, numbers, &first)?;
        made.fake = fake_class(path, &made.options, &judged, &judged.outputs[output], numbers)?;
        made.fakes(numbers, &first)?;
        Ok(made)
    }

    /// Where neither the options nor the graph say what its numbers are, they are logits as long as they do not look like
    /// probabilities.
    fn check_logits(&self, judged: &Judged, numbers: usize, first: &[f32]) -> Result<(), NnError> {
        if self.options.output.is_some() {
            return Ok(());
        }
        let output = &judged.outputs[self.output];
        let ask = |reason: String, more: &str| {
            let file = options_name(&self.path);
            let hint = format!("say \"output\": \"probabilities\" or \"output\": \"logits\"{more} in {file}");
            NnError::corrupt_hint(&self.path, reason, hint)
        };
        let name = short(&output.name);
        match &output.meaning {
            OutputMeaning::Probabilities { .. } | OutputMeaning::LogProbabilities { .. } => return Ok(()),
            OutputMeaning::Unclear(node) => {
                let reason = format!(
                    "does not say whether its output `{name}` is probabilities or logits: it comes from {node}"
                );
                let more = match self.options.fake {
                    None => {
                        ", and \"fake\": 0 or \"fake\": 1 (the number of the fake class; of one number 1 where a high one means fake),"
                    }
                    Some(_) => "",
                };
                return Err(ask(reason, more));
            }
            OutputMeaning::Logits => {}
        }
        let looks = |row: &[f32]| match row {
            [p] => (0.0..=1.0).contains(p),
            [a, b] => a.min(*b) >= 0.0 && (a + b - 1.0).abs() < 1e-3,
            _ => false,
        };
        let mut seen = first.to_vec();
        for probe in 0..PROBES {
            if !seen.chunks_exact(numbers).all(looks) {
                return Ok(());
            }
            seen.extend(self.numbers(&self.probe(probe), 1)?.1);
        }
        let (low, high) = seen.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        let reason = format!(
            "does not say what its output `{name}` is, and it looks like probabilities ({low:.3} to {high:.3} on {PROBES} test pictures)"
        );
        Err(ask(reason, ""))
    }

    /// A picture to try an output on: even, graded, striped, noisy, of the colour of skin; normalised.
    fn probe(&self, number: usize) -> Vec<f32> {
        let side = self.size as usize;
        let byte = |i: usize| -> u8 {
            let (row, column, colour) = (i / 3 / side, i / 3 % side, i % 3);
            let noise = (i.wrapping_mul(2_654_435_761) >> 7) % 256;
            let (y, x) = (row * 255 / side, column * 255 / side);
            let oval = (2 * row).abs_diff(side).pow(2) + (3 * column).abs_diff(3 * side / 2).pow(2) < side * side / 2;
            let value = match number {
                0 => 255,
                1 => 0,
                2 => y,
                3 => x,
                4 => noise,
                5 => 255 * ((row / 8 + column / 8) % 2),
                6 => [224, 172, 140][colour],
                7 if oval => [200, 150, 125][colour] * (128 + y / 2) / 255,
                7 => 70,
                8 if oval => [105, 72, 58][colour] + noise / 8,
                8 => x / 2,
                _ => (x + y + noise / 4) / 3,
            };
            value.min(255) as u8
        };
        self.planes(&(0..side * side * 3).map(byte).collect::<Vec<u8>>())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Side of the crops in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// What it was opened with.
    pub fn options(&self) -> &OnnxOptions {
        &self.options
    }

    /// What its output is taken for.
    pub fn output(&self) -> OnnxOutput {
        self.gives
    }

    /// Which class counts as fake, and how it is known.
    pub fn fake_class(&self) -> &FakeClass {
        &self.fake
    }

    /// The file and those beside it that hold its weights.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.path.as_path()).chain(self.weights.iter().map(PathBuf::as_path))
    }

    /// A batch for the posterior, `[items, 3, size, size]`, from RGB crops `[items, size, size, 3]`.
    ///
    /// # Errors
    /// [`NnError::Input`] where the bytes are not a whole number of crops, or none.
    pub fn batch(&self, crops: &[u8]) -> Result<Tensor<4>, NnError> {
        let size = self.size as usize;
        let one = size * size * 3;
        if crops.is_empty() || !crops.len().is_multiple_of(one) {
            return Err(NnError::Input {
                what: "crops",
                expected: format!("items * {size} * {size} * 3 bytes, 1 item or more"),
                found: vec![crops.len()],
            });
        }
        Ok(Tensor::from_data(TensorData::new(self.planes(crops), [crops.len() / one, 3, size, size]), &self.device))
    }

    /// Normalised planes of whole crops.
    fn planes(&self, crops: &[u8]) -> Vec<f32> {
        let size = self.size as usize;
        let one = size * size * 3;
        let mut values = vec![0.0; crops.len()];
        let Normalisation { mean, std } = self.options.normalisation;
        for (crop, out) in crops.chunks_exact(one).zip(values.chunks_exact_mut(one)) {
            for (i, &v) in crop.iter().enumerate() {
                let (pixel, colour) = (i / 3, i % 3);
                let c = if self.options.channels == Channels::Bgr { 2 - colour } else { colour };
                out[c * size * size + pixel] = (f32::from(v) / 255.0 - mean[c]) / std[c];
            }
        }
        values
    }

    /// P(real), P(fake) of each of `items` images in planes.
    fn run(&self, images: &[f32], items: usize) -> Result<Vec<f32>, NnError> {
        let (numbers, values) = self.numbers(images, items)?;
        self.fakes(numbers, &values)
    }

    /// P(real), P(fake) of each row of so many numbers of the output.
    fn fakes(&self, numbers: usize, values: &[f32]) -> Result<Vec<f32>, NnError> {
        let logistic = |x: f32| 1.0 / (1.0 + (-x).exp());
        let pair = |a: f32, b: f32| ((a + b - 1.0).abs() < 1e-3 && a.min(b) > -1e-4).then(|| b / (a + b));
        let alone = |p: f32| (-1e-4..=1.0001).contains(&p).then_some(p);
        let high = |row: &[f32]| match (row, self.gives) {
            ([p], OnnxOutput::Probabilities) => alone(*p),
            ([x], OnnxOutput::Logits) => Some(logistic(*x)),
            ([x], OnnxOutput::LogProbabilities) => alone(x.exp()),
            ([a, b], OnnxOutput::Probabilities) => pair(*a, *b),
            ([a, b], OnnxOutput::Logits) => Some(logistic(b - a)),
            ([a, b], OnnxOutput::LogProbabilities) => pair(a.exp(), b.exp()),
            _ => None,
        };
        let mut found = Vec::with_capacity(2 * values.len() / numbers);
        for row in values.chunks_exact(numbers) {
            let Some(high) = high(row) else {
                let what = match self.gives {
                    OnnxOutput::LogProbabilities => "no logarithms of probabilities",
                    _ => "no probabilities",
                };
                let (reason, hint) = match row {
                    [a, b] if [a, b].iter().all(|p| (0.0..=1.0).contains(*p)) => (
                        format!("answers {row:?}, two probabilities that do not sum to 1"),
                        "two Sigmoids are two questions: export it again with the fake one as its only output"
                            .to_owned(),
                    ),
                    _ => (
                        format!("answers {row:?}, which are {what}"),
                        format!("say \"output\": \"logits\" in {}, if they are", options_name(&self.path)),
                    ),
                };
                return Err(NnError::corrupt_hint(&self.path, reason, hint));
            };
            let high = high.clamp(0.0, 1.0);
            found.extend(if self.fake.class == 1 { [1.0 - high, high] } else { [high, 1.0 - high] });
        }
        Ok(found)
    }

    /// How many numbers the output has for each of `items` images in planes, one or two, and the numbers.
    fn numbers(&self, images: &[f32], items: usize) -> Result<(usize, Vec<f32>), NnError> {
        let one = 3 * (self.size as usize).pow(2);
        let (mut numbers, mut found) = (1, Vec::with_capacity(2 * items));
        // One by one, so that the answer is the same bits whatever the batch. A file that fixes its batch gets whole ones,
        // the last filled up with zeros, and is the same to rounding.
        let step = self.batch.unwrap_or(1).max(1);
        for images in images.chunks(step * one) {
            let asked = images.len() / one;
            let mut images = images.to_vec();
            images.resize(step * one, 0.0);
            let values = self.run_whole(&images)?;
            numbers = values.len() / step;
            found.extend_from_slice(&values[..numbers * asked]);
        }
        Ok((numbers, found))
    }

    fn run_whole(&self, images: &[f32]) -> Result<Vec<f32>, NnError> {
        let bad = |reason: String, hint: &str| NnError::corrupt_hint(&self.path, reason, hint);
        let size = self.size as usize;
        let items = images.len() / (3 * size * size);
        let shape = [items, 3, size, size];
        let request = Request { output: self.output, shape, channels_last: self.layout == Layout::Nhwc };
        let (shape, values) = self.link.run(&request, images)?;
        let rest = shape.iter().skip(1).product::<usize>();
        // A batch of one may have lost its axis.
        let fits = match shape.first() {
            Some(first) if *first == items => rest == 1 || rest == 2,
            _ => items == 1 && shape.len() <= 1 && [1, 2].contains(&values.len()),
        };
        if !fits || ![items, 2 * items].contains(&values.len()) {
            let reason = format!("has an output of shape {shape:?}; expected [{items}, 1] or [{items}, 2]");
            let hint = match (shape.first() == Some(&items), rest) {
                (true, 3..=1000) => {
                    "it tells more than two classes apart: export it again with one number (fake) or two (real, fake)"
                }
                _ => "export it again with P(fake), or one number for each of two classes, as its output",
            };
            return Err(bad(reason, hint));
        }
        match values.iter().find(|v| !v.is_finite()) {
            // The logarithm of 0 is a number here.
            Some(value) if !(*value == f32::NEG_INFINITY && self.gives == OnnxOutput::LogProbabilities) => Err(bad(
                format!("answers {value}: its weights are broken, or its input is normalised wrongly"),
                "look at the weights that it was exported from, and at \"normalisation\" in the file beside it",
            )),
            _ => Ok(values),
        }
    }
}

impl Posterior for OnnxDetector {
    fn classes(&self) -> usize {
        2
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn networks(&self) -> Option<u32> {
        self.options.views.is_none().then_some(1)
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        let dims = batch.dims();
        let size = self.size as usize;
        if dims[0] == 0 || dims[1..] != [3, size, size] {
            let expected = format!("[items, 3, {size}, {size}], 1 item or more");
            return Err(NnError::Input { what: "batch", expected, found: dims.to_vec() });
        }
        let read = |batch: Tensor<4>| -> Result<Vec<f32>, NnError> {
            batch.into_data().convert::<f32>().try_to_vec().map_err(|e| {
                NnError::corrupt(&self.path, format!("its input could not be read from the device: {e:?}"))
            })
        };
        let tensor = |found: Vec<f32>| Tensor::from_data(TensorData::new(found, [dims[0], 1, 2]), &self.device);
        let Some(views) = &self.options.views else {
            let found: Tensor<3> = tensor(self.run(&read(batch)?, dims[0])?);
            return sink(samples.clone(), found.repeat_dim(1, samples.len()));
        };
        for sample in samples {
            let view = views.of(batch.clone(), &self.options.normalisation, seed, sample);
            let found = self.run(&read(view)?, dims[0])?;
            sink(sample..sample + 1, tensor(found))?;
        }
        Ok(())
    }
}

/// What the graph says the numbers are.
fn said(meaning: &OutputMeaning) -> Option<OnnxOutput> {
    match meaning {
        OutputMeaning::Probabilities { .. } => Some(OnnxOutput::Probabilities),
        OutputMeaning::LogProbabilities { .. } => Some(OnnxOutput::LogProbabilities),
        OutputMeaning::Logits | OutputMeaning::Unclear(_) => None,
    }
}

/// The first few of some words, and how many there are besides.
fn listed(words: impl ExactSizeIterator<Item = String>) -> String {
    const FEW: usize = 8;
    let more = words.len().saturating_sub(FEW);
    let mut shown: Vec<String> = words.take(FEW).collect();
    shown.extend((more > 0).then(|| format!("and {more} more")));
    shown.join(", ")
}

/// Which output is meant: the one that is named, or the only one that can be meant.
fn choose(path: &Path, judged: &Judged, options: &OnnxOptions) -> Result<usize, NnError> {
    // In full, as the option takes them.
    let names = |which: &[usize]| listed(which.iter().map(|i| format!("`{}`", judged.outputs[*i].name)));
    let all: Vec<usize> = (0..judged.outputs.len()).collect();
    if let Some(name) = &options.output_name {
        let found = all.iter().copied().find(|i| judged.outputs[*i].name == *name);
        let expected = format!("one of {}", names(&all));
        return found.ok_or_else(|| wrong_option(path, "output_name", &expected, name));
    }
    let can_be = |i: &usize| match &judged.outputs[*i].shape {
        Some(shape) => match shape.iter().try_fold(1_u64, |all, size| Some(all.saturating_mul((*size)?))) {
            Some(count) => count > 0 && count <= 2 * shape.first().copied().flatten().unwrap_or(1),
            None => true,
        },
        None => true,
    };
    let meant: Vec<usize> = all.iter().copied().filter(can_be).collect();
    let fake: Vec<usize> =
        meant.iter().copied().filter(|i| speaks_of_fake(&judged.outputs[*i].name) == Some(true)).collect();
    match (meant.as_slice(), fake.as_slice()) {
        ([one], _) | (_, [one]) => Ok(*one),
        // The first one's shape says what is wrong.
        ([], _) => Ok(0),
        _ => Err(NnError::corrupt_hint(
            path,
            format!("has {} outputs that could be meant: {}", meant.len(), names(&meant)),
            format!(
                "say which as {{\"output_name\": \"{}\"}} in {}",
                judged.outputs[meant[0]].name,
                options_name(path)
            ),
        )),
    }
}

/// The layout, the batch and the side, as far as the shape fixes them; `None` where it is no shape of pictures.
fn read_shape(input: &OnnxInput) -> Option<(Layout, Option<u64>, Option<u64>)> {
    let fixed = |dim: &Result<u64, String>| dim.as_ref().ok().copied();
    let layout = input.layout()?;
    let [batch, a, b, c] = input.dims.as_slice() else { return None };
    let (height, width) = match layout {
        Layout::Nchw => (fixed(b), fixed(c)),
        Layout::Nhwc => (fixed(a), fixed(b)),
    };
    match (height, width) {
        (Some(height), Some(width)) if height != width => None,
        (height, width) => Some((layout, fixed(batch), height.or(width))),
    }
}

fn in_words(input: &OnnxInput) -> String {
    let dim = |dim: &Result<u64, String>| dim.as_ref().map_or_else(Clone::clone, u64::to_string);
    format!("[{}]", input.dims.iter().map(dim).collect::<Vec<_>>().join(", "))
}
