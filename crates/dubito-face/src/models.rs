//! [`FaceModels`]: the three networks with their embedded weights, shared by everything that finds faces.

use std::sync::Arc;

use burn::tensor::Device;

use crate::FaceError;
use crate::device::DeviceNetwork;
use crate::direct::DirectNetwork;
use crate::network::Network;

/// The two detectors and the mesh. Cheap to clone and to share between threads.
#[derive(Clone)]
pub struct FaceModels {
    pub(crate) short_range: Arc<Model>,
    pub(crate) full_range: Arc<Model>,
    pub(crate) mesh: Arc<Model>,
}

/// A network ready to run. The CPU has an executor of its own, as burn takes about twice as long there
/// (`benchmarks/face.py` prints both); a test holds the two equal.
pub(crate) enum Model {
    Direct(DirectNetwork),
    Device(DeviceNetwork),
}

impl Model {
    /// Runs one image, `[size, size, 3]`; gives each output's values.
    pub fn run(&self, image: &[f32]) -> Result<Vec<Vec<f32>>, FaceError> {
        match self {
            Model::Direct(network) => Ok(network.run(image)),
            Model::Device(network) => network.run(image),
        }
    }
}

pub(crate) const WEIGHTS: [(&str, &[u8]); 3] = [
    ("short_range.safetensors", include_bytes!("../weights/short_range.safetensors")),
    ("full_range.safetensors", include_bytes!("../weights/full_range.safetensors")),
    ("face_mesh.safetensors", include_bytes!("../weights/face_mesh.safetensors")),
];

impl FaceModels {
    /// The models on the CPU.
    ///
    /// # Errors
    /// [`FaceError::Weights`] where the embedded weights are damaged.
    pub fn cpu() -> Result<Self, FaceError> {
        Self::build(|network| Model::Direct(DirectNetwork::new(network)))
    }

    /// The models on a device; burn's own CPU device means [`FaceModels::cpu`].
    ///
    /// # Errors
    /// [`FaceError::Weights`] where the embedded weights are damaged.
    pub fn load(device: &Device) -> Result<Self, FaceError> {
        let device = device.clone().without_autodiff();
        if device == Device::flex() {
            return Self::cpu();
        }
        Self::on_device(&device)
    }

    /// The models run by burn on any device, its own CPU device too: slower there than [`FaceModels::cpu`], and
    /// equal to rounding.
    ///
    /// # Errors
    /// [`FaceError::Weights`] where the embedded weights are damaged.
    pub fn on_device(device: &Device) -> Result<Self, FaceError> {
        Self::build(|network| Model::Device(DeviceNetwork::new(network, device)))
    }

    fn build(model: impl Fn(Network) -> Model) -> Result<Self, FaceError> {
        let [short_range, full_range, mesh] =
            WEIGHTS.map(|(file, bytes)| Network::parse(file, bytes).map(|network| Arc::new(model(network))));
        Ok(Self { short_range: short_range?, full_range: full_range?, mesh: mesh? })
    }
}
