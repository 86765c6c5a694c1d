//! What an ONNX file does not say of its detector: the file `NAME.json` beside it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::augment::Normalisation;
use crate::inference::Views;

/// What a detector's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnnxOutput {
    /// Before the softmax (two numbers) or the logistic function (one).
    Logits,
    /// After it.
    Probabilities,
    /// Logarithms of probabilities.
    LogProbabilities,
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
    /// What the output is; by default what the graph says, where it does.
    pub output: Option<OnnxOutput>,
    /// Which output is meant, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_name: Option<String>,
    /// Which class is the fake one. Of two outputs 1 by default; of one output 1 (a high number means fake) or 0. What the file
    /// says of its classes goes before the default.
    pub fake: Option<usize>,
    /// Margin around the face in parts of its size, as the detector was trained.
    pub margin: Option<f32>,
    /// Samples are views of the image; without it every sample is the same.
    pub views: Option<Views>,
}

/// The name of the file that holds the options of an ONNX file, for hints.
pub(super) fn options_name(model: &Path) -> String {
    OnnxOptions::file(model).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl OnnxOptions {
    /// The file that holds the options of an ONNX file, `NAME.json` beside it, where there is one.
    pub fn file(model: &Path) -> PathBuf {
        model.with_extension("json")
    }

    /// Checks the settings that need no file.
    pub(super) fn check(&self, path: &Path) -> Result<(), NnError> {
        let wrong = |field: &str, expected: &str, found: String| wrong_option(path, field, expected, &found);
        if let Some(fake) = self.fake.filter(|fake| *fake > 1) {
            return Err(wrong("fake", "0 or 1", fake.to_string()));
        }
        let Normalisation { mean, std } = self.normalisation;
        if !std.iter().all(|v| v.is_finite() && *v > 0.0) {
            return Err(wrong("normalisation.std", "three numbers above 0", format!("{std:?}")));
        }
        if !mean.iter().all(|v| v.is_finite()) {
            return Err(wrong("normalisation.mean", "three numbers", format!("{mean:?}")));
        }
        if let Some(margin) = self.margin.filter(|margin| !(0.0..=4.0).contains(margin)) {
            return Err(wrong("margin", "0 to 4", margin.to_string()));
        }
        let size = 32..=4096;
        if let Some(found) = self.size.filter(|found| !size.contains(found)) {
            return Err(wrong("size", "32 to 4096", found.to_string()));
        }
        let checked = self.views.map_or(Ok(()), |views| views.check());
        checked.map_err(NnError::in_file(&Self::file(path)))
    }
}

/// The error of a field of `NAME.json`.
pub(super) fn wrong_option(model: &Path, field: &str, expected: &str, found: &str) -> NnError {
    NnError::corrupt_hint(&OnnxOptions::file(model), format!("`{field}` is {found}; expected {expected}"), FIELDS)
}

/// What the file may hold.
const FIELDS: &str = "its fields, each optional: \"size\" 224, \"normalisation\" {\"mean\": [0.5, 0.5, 0.5], \"std\": [0.5, 0.5, 0.5]}, \
     \"channels\" \"rgb\" or \"bgr\", \"output\" \"logits\", \"probabilities\" or \"log_probabilities\", \"output_name\", \"fake\" 0 or 1 \
     (the number of the class that is fake), \"margin\" 0.3, \"views\" {\"flip\": 0.5, \"shift\": 0.05, \"brightness\": 0.1}";
