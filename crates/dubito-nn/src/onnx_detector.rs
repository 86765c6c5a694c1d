//! Detectors of others: an ONNX file as a posterior, of one network or of that network's views of an image.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use rten::{Dimension, Model, NodeId};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;
use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::augment::Normalisation;
use crate::inference::{Posterior, Sink, Views};

/// The largest ONNX file that is read, in bytes.
const MAX_FILE: u64 = 2 << 30;

/// What a detector's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnnxOutput {
    /// Before the softmax (two numbers) or the logistic function (one).
    Logits,
    /// After it.
    Probabilities,
}

/// The order of a picture's channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first, as OpenCV reads pictures.
    Bgr,
}

/// What an ONNX file does not say of its detector. The file `NAME.json` beside `NAME.onnx` holds it; what is left out is
/// recognised or has the default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnnxOptions {
    /// Side of the crops in pixels; needed where the file leaves it open.
    pub size: Option<u32>,
    /// How pixels are normalised; ImageNet's mean and deviation by default. Channels in the order of `channels`.
    pub normalisation: Normalisation,
    /// The order of the channels.
    pub channels: Channels,
    /// What the output is; by default probabilities where it comes from `Softmax` or `Sigmoid`, else logits.
    pub output: Option<OnnxOutput>,
    /// Which class is the fake one. Of two outputs 1 by default; of one output 1 (a high number means fake) or 0.
    pub fake: Option<usize>,
    /// Margin around the face in parts of its size, as the detector was trained.
    pub margin: Option<f32>,
    /// Samples are views of the image; without it every sample is the same.
    pub views: Option<Views>,
}

impl OnnxOptions {
    /// The options in `NAME.json` beside an ONNX file, or the defaults where there is none.
    ///
    /// # Errors
    /// [`NnError::Corrupt`] that names the file and the field; [`NnError::Io`].
    pub fn beside(path: &Path) -> Result<Self, NnError> {
        let file = path.with_extension("json");
        if !file.is_file() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(&file).map_err(|e| NnError::io(&file, "read", e))?;
        serde_json::from_str(&text)
            .map_err(|e| NnError::corrupt(&file, format!("does not describe an ONNX detector: {e}")))
    }
}

/// Where channels stand in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axes {
    Nchw,
    Nhwc,
}

/// A detector of real and fake in an ONNX file, run by rten on the CPU.
#[derive(Clone)]
pub struct OnnxDetector {
    path: PathBuf,
    model: Arc<Model>,
    input: NodeId,
    output: NodeId,
    layout: Axes,
    /// The batch that the file fixes.
    batch: Option<usize>,
    size: u32,
    gives: OnnxOutput,
    fake: usize,
    options: OnnxOptions,
    device: Device,
}

impl OnnxDetector {
    /// Opens a file and asks it about one grey image, so that what can't work fails here.
    ///
    /// The input is one f32 tensor `[batch, 3, size, size]` or `[batch, size, size, 3]`; the batch may be fixed, the sizes
    /// may be open where the options have one. The first output holds one number or two for each image.
    ///
    /// # Errors
    /// [`NnError::Io`]; [`NnError::Corrupt`] that names an operator that is not known, or the input or output whose shape
    /// or type is another one; [`NnError::Setting`] that names the option.
    pub fn open(path: &Path, options: OnnxOptions) -> Result<Self, NnError> {
        let bad = |reason: String| NnError::corrupt(path, reason);
        check(&options)?;
        let length = std::fs::metadata(path).map_err(|e| NnError::io(path, "read", e))?.len();
        if length > MAX_FILE {
            return Err(bad(format!("has {length} bytes, more than the {MAX_FILE} that are read")));
        }
        let bytes = std::fs::read(path).map_err(|e| NnError::io(path, "read", e))?;
        let kind = dubito_weights::onnx::last_operator(&bytes, 0).map(str::to_owned);
        let Some(kind) = kind else {
            return Err(bad("is not an ONNX model with an output: export it again".into()));
        };
        let model = Model::load(bytes).map_err(|e| bad(format!("is an ONNX model that cannot be run: {e}")))?;
        let [input] = *model.input_ids() else {
            let names: Vec<_> =
                model.input_ids().iter().filter_map(|id| model.node_info(*id)?.name().map(str::to_owned)).collect();
            return Err(bad(format!("has {} inputs ({}); expected one, the image", names.len(), names.join(", "))));
        };
        let Some(&output) = model.output_ids().first() else {
            return Err(bad("has no output".into()));
        };
        let shape = model.input_shape(0).unwrap_or_default();
        let (layout, batch, fixed) = read_shape(&shape).ok_or_else(|| {
            let expected = "[batch, 3, size, size] or [batch, size, size, 3]";
            bad(format!("has an input of shape {}; expected {expected}", in_words(&shape)))
        })?;
        let size = match (fixed, options.size) {
            (Some(fixed), Some(size)) if fixed != size as usize => {
                return Err(NnError::setting("size", format!("{fixed}, which the ONNX file fixes"), size));
            }
            (Some(fixed), _) => u32::try_from(fixed).unwrap_or(u32::MAX),
            (None, Some(size)) => size,
            (None, None) => {
                let beside = path.with_extension("json");
                return Err(bad(format!(
                    "leaves the size of its images open: say it as {{\"size\": 224}} in {}",
                    beside.display()
                )));
            }
        };
        if !(32..=4096).contains(&size) {
            return Err(NnError::setting("size", "32 to 4096", size));
        }
        let gives = options.output.unwrap_or(match kind.as_str() {
            "Softmax" | "Sigmoid" => OnnxOutput::Probabilities,
            _ => OnnxOutput::Logits,
        });
        let fake = options.fake.unwrap_or(1);
        let path = path.to_owned();
        let model = Arc::new(model);
        let device = Device::flex();
        let made = Self { path, model, input, output, layout, batch, size, gives, fake, options, device };
        made.run(&vec![0.0; 3 * (size as usize).pow(2)], 1)?;
        Ok(made)
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
        let mut values = vec![0.0; crops.len()];
        let Normalisation { mean, std } = self.options.normalisation;
        for (crop, out) in crops.chunks_exact(one).zip(values.chunks_exact_mut(one)) {
            for (i, &v) in crop.iter().enumerate() {
                let (pixel, colour) = (i / 3, i % 3);
                let c = if self.options.channels == Channels::Bgr { 2 - colour } else { colour };
                out[c * size * size + pixel] = (f32::from(v) / 255.0 - mean[c]) / std[c];
            }
        }
        Ok(Tensor::from_data(TensorData::new(values, [crops.len() / one, 3, size, size]), &self.device))
    }

    /// P(real), P(fake) of each of `items` images in planes.
    fn run(&self, images: &[f32], items: usize) -> Result<Vec<f32>, NnError> {
        let one = 3 * (self.size as usize).pow(2);
        let mut found = Vec::with_capacity(2 * items);
        // One by one, so that the answer is the same bits whatever the batch. A file that fixes its batch gets whole ones,
        // the last filled up with zeros, and is the same to rounding.
        let step = self.batch.unwrap_or(1).max(1);
        for images in images.chunks(step * one) {
            let asked = images.len() / one;
            let mut images = images.to_vec();
            images.resize(step * one, 0.0);
            let numbers = self.run_whole(images)?;
            found.extend_from_slice(&numbers[..2 * asked]);
        }
        Ok(found)
    }

    fn run_whole(&self, images: Vec<f32>) -> Result<Vec<f32>, NnError> {
        let bad = |reason: String| NnError::corrupt(&self.path, reason);
        let size = self.size as usize;
        let items = images.len() / (3 * size * size);
        let input = NdTensor::from_data([items, 3, size, size], images);
        let input = match self.layout {
            Axes::Nchw => input,
            Axes::Nhwc => input.permuted([0, 2, 3, 1]).to_tensor(),
        };
        let [output] = self
            .model
            .run_n(vec![(self.input, input.into())], [self.output], None)
            .map_err(|e| bad(format!("fails on an image of {size} x {size} pixels: {e}")))?;
        let (shape, values): (Vec<usize>, Vec<f32>) = match output.try_into() {
            Ok(tensor) => {
                let tensor: rten_tensor::Tensor<f32> = tensor;
                (tensor.shape().to_vec(), tensor.to_vec())
            }
            Err(e) => return Err(bad(format!("has an output that is not f32: {e}"))),
        };
        let classes = values.len() / items.max(1);
        if shape.first() != Some(&items) || ![items, 2 * items].contains(&values.len()) {
            return Err(bad(format!("has an output of shape {shape:?}; expected [{items}, 1] or [{items}, 2]")));
        }
        if let Some(value) = values.iter().find(|v| !v.is_finite()) {
            return Err(bad(format!("answers {value}: its weights are broken, or its input is normalised wrongly")));
        }
        let is_probability = self.gives == OnnxOutput::Probabilities;
        let logistic = |x: f32| 1.0 / (1.0 + (-x).exp());
        let fake = |row: &[f32]| match (row, is_probability) {
            ([p], true) => (-1e-4..=1.0001).contains(p).then_some(*p),
            ([x], false) => Some(logistic(*x)),
            ([a, b], true) => ((a + b - 1.0).abs() < 1e-3 && a.min(*b) > -1e-4).then(|| b / (a + b)),
            ([a, b], false) => Some(logistic(b - a)),
            _ => None,
        };
        values
            .chunks_exact(classes)
            .map(|row| {
                let high = fake(row).ok_or_else(|| {
                    bad(format!("answers {row:?}, which are no probabilities: say \"output\": \"logits\""))
                })?;
                let high = high.clamp(0.0, 1.0);
                Ok(if self.fake == 1 { [1.0 - high, high] } else { [high, 1.0 - high] })
            })
            .collect::<Result<Vec<_>, NnError>>()
            .map(|rows| rows.concat())
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

fn check(options: &OnnxOptions) -> Result<(), NnError> {
    if let Some(fake) = options.fake.filter(|fake| *fake > 1) {
        return Err(NnError::setting("fake", "0 or 1", fake));
    }
    let Normalisation { mean, std } = options.normalisation;
    if !std.iter().all(|v| v.is_finite() && *v > 0.0) {
        return Err(NnError::setting("normalisation.std", "three numbers above 0", format!("{std:?}")));
    }
    if !mean.iter().all(|v| v.is_finite()) {
        return Err(NnError::setting("normalisation.mean", "three numbers", format!("{mean:?}")));
    }
    if let Some(margin) = options.margin.filter(|margin| !(0.0..=4.0).contains(margin)) {
        return Err(NnError::setting("margin", "0 to 4", margin));
    }
    options.views.map_or(Ok(()), |views| views.check())
}

/// The layout, the batch and the side, as far as the shape fixes them; `None` where it is no shape of pictures.
fn read_shape(shape: &[Dimension]) -> Option<(Axes, Option<usize>, Option<usize>)> {
    let fixed = |dim: &Dimension| match dim {
        Dimension::Fixed(size) => Some(*size),
        Dimension::Symbolic(_) => None,
    };
    let [batch, a, b, c] = shape else { return None };
    let (a, b, c) = (fixed(a), fixed(b), fixed(c));
    let (layout, height, width) = match (a, c) {
        (Some(3), _) => (Axes::Nchw, b, c),
        (_, Some(3)) => (Axes::Nhwc, a, b),
        // Channels that are left open stand where PyTorch has them.
        (None, _) => (Axes::Nchw, b, c),
        _ => return None,
    };
    match (height, width) {
        (Some(height), Some(width)) if height != width => None,
        (height, width) => Some((layout, fixed(batch), height.or(width))),
    }
}

fn in_words(shape: &[Dimension]) -> String {
    let dim = |dim: &Dimension| match dim {
        Dimension::Fixed(size) => size.to_string(),
        Dimension::Symbolic(name) => name.clone(),
    };
    format!("[{}]", shape.iter().map(dim).collect::<Vec<_>>().join(", "))
}
