//! The architectures by name: what each takes, and the description of its network.
//!
//! Most have six stages: the stem, one for each halving of the resolution after it, and the head. The names of the
//! weights are those of the implementation that its community trains with.

mod efficientnet;
mod fakecatcher;
mod mobilenet;
mod motion;
mod resnet;
mod xception;

use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::augment::Normalisation;
use crate::network::{MapShape, Network, Node, Stage};
use crate::signal::Signal;

/// A network that can be made, trained and loaded by its name in settings, e.g. `mobilenet_v2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Architecture {
    /// `resnet18`: He et al. 2016, as torchvision's `resnet18`.
    #[default]
    Resnet18,
    /// `mobilenet_v2`: Sandler et al. 2018, as torchvision's `mobilenet_v2`.
    MobilenetV2,
    /// `mobilenet_v3_small`: Howard et al. 2019, as torchvision's `mobilenet_v3_small`.
    MobilenetV3Small,
    /// `efficientnet_b0`: Tan and Le 2019, as the package `efficientnet_pytorch` has it, whose weights are those of
    /// TensorFlow (timm's `tf_efficientnet_b0` under other names).
    EfficientnetB0,
    /// `efficientnet_b4`: as [`Self::EfficientnetB0`]; DeepfakeBench's detectors are built on it.
    EfficientnetB4,
    /// `efficientnet_b0_torchvision`: as torchvision's `efficientnet_b0` (and timm's under other names). It pads
    /// the same on all sides, so its weights are not those of [`Self::EfficientnetB0`].
    EfficientnetB0Torchvision,
    /// `efficientnet_b4_torchvision`: as torchvision's `efficientnet_b4`.
    EfficientnetB4Torchvision,
    /// `xception`: Chollet 2017 as Cadene's `pretrainedmodels` has it, with `last_linear`; FaceForensics++ and
    /// DeepfakeBench train it (timm's `legacy_xception` calls the last layer `fc`).
    Xception,
    /// `fakecatcher`: three convolutions on PPG maps (Ciftci, Demir, Yin 2020).
    Fakecatcher,
    /// `ppg_cells`: VGG-19 on PPG maps of short windows, to tell generators apart (Ciftci, Demir, Yin, IJCB 2020).
    PpgCells,
    /// `motion`: a compact 3-D convolutional network on magnified motion (after Ciftci and Demir 2022).
    Motion,
    /// `motion_2plus1d`: the same with each kernel factored into space and time.
    MotionFactored,
}

/// What makes the weights of two networks of one architecture interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Number of classes, 2 or more.
    pub classes: usize,
    /// Channels of the first stage, 4 to 512, of `resnet18` and `ppg_cells` (without it 64, as published), `fakecatcher` and
    /// the motion networks (without it 16); costs grow with its square. The other architectures have one width and
    /// take none here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Frames in a window ([`Signal::window`]) of `fakecatcher` and the motion networks; the others take none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
}

impl NetworkConfig {
    /// Of a network as published.
    pub fn new(classes: usize) -> Self {
        Self { classes, width: None, window: None }
    }
}

/// How a face becomes the input of a detector.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Side of the square crops, in pixels.
    pub input_size: u32,
    /// What a crop shows around the face, on each side, in parts of the face's size.
    pub margin: f32,
    /// How the network's input is normalised.
    pub normalisation: Normalisation,
    /// What the network sees in the place of the crops: the signal in runs of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
}

impl Preprocessing {
    /// Checks every field.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub fn check(&self) -> Result<(), NnError> {
        if !(32..=4096).contains(&self.input_size) {
            return Err(NnError::setting("preprocessing.input_size", "32 to 4096", self.input_size));
        }
        if !(-0.4..=4.0).contains(&self.margin) {
            return Err(NnError::setting("preprocessing.margin", "-0.4 to 4", self.margin));
        }
        self.signal.map_or(Ok(()), |signal| signal.check())?;
        self.normalisation.check()
    }

    /// Height, width and channels of one input of the network.
    pub fn shape(&self) -> MapShape {
        let size = self.input_size as usize;
        self.signal.map_or([size, size, 3], |signal| signal.shape(size))
    }
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Resnet18,
        Self::MobilenetV2,
        Self::MobilenetV3Small,
        Self::EfficientnetB0,
        Self::EfficientnetB4,
        Self::EfficientnetB0Torchvision,
        Self::EfficientnetB4Torchvision,
        Self::Xception,
        Self::Fakecatcher,
        Self::PpgCells,
        Self::Motion,
        Self::MotionFactored,
    ];

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::MobilenetV2 => "mobilenet_v2",
            Self::MobilenetV3Small => "mobilenet_v3_small",
            Self::EfficientnetB0 => "efficientnet_b0",
            Self::EfficientnetB4 => "efficientnet_b4",
            Self::EfficientnetB0Torchvision => "efficientnet_b0_torchvision",
            Self::EfficientnetB4Torchvision => "efficientnet_b4_torchvision",
            Self::Xception => "xception",
            Self::Fakecatcher => "fakecatcher",
            Self::PpgCells => "ppg_cells",
            Self::Motion => "motion",
            Self::MotionFactored => "motion_2plus1d",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Resnet18 => "ResNet-18",
            Self::MobilenetV2 => "MobileNetV2",
            Self::MobilenetV3Small => "MobileNetV3-small",
            Self::EfficientnetB0 => "EfficientNet-B0",
            Self::EfficientnetB4 => "EfficientNet-B4",
            Self::EfficientnetB0Torchvision => "EfficientNet-B0 (torchvision's)",
            Self::EfficientnetB4Torchvision => "EfficientNet-B4 (torchvision's)",
            Self::Xception => "Xception",
            Self::Fakecatcher => "FakeCatcher",
            Self::PpgCells => "PPG cells",
            Self::Motion => "Motion",
            Self::MotionFactored => "Motion (2+1)D",
        }
    }

    /// The input that its published weights were trained with: the size, ImageNet's mean and deviation (for Xception
    /// 0.5), and the margin: a third of the face's size, for Xception the 1.3 times larger box of FaceForensics++.
    pub fn preprocessing(self) -> Preprocessing {
        let (input_size, margin, normalisation) = match self {
            Self::EfficientnetB4 | Self::EfficientnetB4Torchvision => (380, 0.3, Normalisation::default()),
            Self::Xception => (299, 0.15, Normalisation { mean: [0.5; 3], std: [0.5; 3] }),
            Self::Fakecatcher | Self::PpgCells => (128, 0.3, Normalisation { mean: [0.5; 3], std: [0.25; 3] }),
            Self::Motion | Self::MotionFactored => (96, 0.1, Normalisation { mean: [0.5; 3], std: [0.25; 3] }),
            _ => (224, 0.3, Normalisation::default()),
        };
        Preprocessing { input_size, margin, normalisation, signal: self.signal() }
    }

    /// The signal that it looks at; none of those that look at crops.
    pub fn signal(self) -> Option<Signal> {
        match self {
            Self::Fakecatcher => Some(Signal::PPG),
            Self::PpgCells => Some(Signal::PPG_CELL),
            Self::Motion | Self::MotionFactored => Some(Signal::MOTION),
            _ => None,
        }
    }

    /// Prefix of the names of the layer that returns the logits, which is begun anew for other classes.
    pub fn classifier(self) -> &'static str {
        match self {
            Self::Resnet18 | Self::Motion | Self::MotionFactored => "fc",
            Self::Fakecatcher => "fc2",
            Self::PpgCells => "classifier",
            Self::MobilenetV2 | Self::EfficientnetB0Torchvision | Self::EfficientnetB4Torchvision => "classifier.1",
            Self::MobilenetV3Small => "classifier.3",
            Self::EfficientnetB0 | Self::EfficientnetB4 => "_fc",
            Self::Xception => "last_linear",
        }
    }

    /// The description of its network.
    ///
    /// # Errors
    /// [`NnError::Setting`] for fewer than 2 classes, a width out of its range or where there is none to choose, a window
    /// that is missing or where there is none.
    pub fn network(self, config: &NetworkConfig) -> Result<Network, NnError> {
        let NetworkConfig { classes, .. } = *config;
        if classes < 2 {
            return Err(NnError::setting("classes", "2 or more", classes));
        }
        let (last, flavour) = (self.classifier(), efficientnet::Flavour::of(self));
        let stages = match self {
            Self::Resnet18 => resnet::stages(self.width(config, 64)?, classes, last),
            Self::MobilenetV2 => mobilenet::v2_stages(classes, last),
            Self::MobilenetV3Small => mobilenet::v3_small_stages(classes, last),
            Self::EfficientnetB0 | Self::EfficientnetB0Torchvision => {
                efficientnet::stages(efficientnet::B0, flavour, classes, last)
            }
            Self::EfficientnetB4 | Self::EfficientnetB4Torchvision => {
                efficientnet::stages(efficientnet::B4, flavour, classes, last)
            }
            Self::Xception => xception::stages(classes, last),
            Self::Fakecatcher => fakecatcher::stages(self.width(config, 16)?, self.window(config)?, classes, last),
            Self::PpgCells => fakecatcher::cell_stages(self.width(config, 64)?, classes, last),
            Self::Motion => {
                motion::stages(motion::Kernel::Whole, self.width(config, 16)?, self.window(config)?, classes, last)
            }
            Self::MotionFactored => {
                motion::stages(motion::Kernel::Factored, self.width(config, 16)?, self.window(config)?, classes, last)
            }
        };
        if let Some(width) = config.width.filter(|_| !self.has_width()) {
            return Err(NnError::setting("width", format!("none: {} has one width", self.name()), width));
        }
        if let Some(window) = config.window.filter(|_| !self.has_window()) {
            return Err(NnError::setting("window", format!("none: windows are nothing to {}", self.name()), window));
        }
        Ok(Network { input_channels: self.signal().map_or(3, |s| s.shape(1)[2]), least: 32, stages })
    }

    fn has_width(self) -> bool {
        matches!(self, Self::Resnet18 | Self::Fakecatcher | Self::PpgCells | Self::Motion | Self::MotionFactored)
    }

    /// Whether its weights depend on the frames in a window.
    pub(crate) fn has_window(self) -> bool {
        matches!(self, Self::Fakecatcher | Self::Motion | Self::MotionFactored)
    }

    fn width(self, config: &NetworkConfig, published: usize) -> Result<usize, NnError> {
        match config.width.unwrap_or(published) {
            width @ 4..=512 => Ok(width),
            width => Err(NnError::setting("width", "4 to 512", width)),
        }
    }

    fn window(self, config: &NetworkConfig) -> Result<usize, NnError> {
        let published = self.signal().map_or(0, |signal| signal.window());
        match config.window.unwrap_or(published) {
            window if (8..=512).contains(&window) && window.is_multiple_of(8) => Ok(window),
            window => Err(NnError::setting("window", "8 to 512, a multiple of 8", window)),
        }
    }
}

/// Six stages from their nodes, each but the head ending in its dropout.
fn six_stages(mut trunk: [Vec<Node>; 5], head: Vec<Node>) -> Vec<Stage> {
    trunk.iter_mut().for_each(|nodes| nodes.push(Node::Dropout));
    let names = ["stem", "layer1", "layer2", "layer3", "layer4", "head"];
    let nodes = trunk.into_iter().chain([head]);
    names.into_iter().zip(nodes).map(|(name, nodes)| Stage { name: name.to_owned(), nodes }).collect()
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Architecture> for String {
    fn from(architecture: Architecture) -> Self {
        architecture.name().to_owned()
    }
}

impl TryFrom<String> for Architecture {
    type Error = NnError;

    fn try_from(text: String) -> Result<Self, NnError> {
        text.parse()
    }
}

impl std::str::FromStr for Architecture {
    type Err = NnError;

    fn from_str(text: &str) -> Result<Self, NnError> {
        Self::ALL.into_iter().find(|a| a.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            NnError::setting("detector", format!("one of {names}"), format!("`{text}`"))
        })
    }
}
