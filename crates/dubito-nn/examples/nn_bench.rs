//! Times one thing a line: reads JSON from standard input, answers with JSON, for `benchmarks/nn.py` and
//! `benchmarks/inference.py`.
//!
//! ```text
//! {"do": "forward", "batch": 16, "size": 224}                                  -> {"seconds": ...}
//! {"do": "samples", "batch": 16, "size": 224, "samples": 50, "boundary": "head"}
//! {"do": "variational", "batch": 16, "size": 224, "samples": 50, "scope": "stage:4"}
//! {"do": "train", "batch": 32, "size": 112, "crops": 128, "freeze": null}
//! ```
//! `"detector": "xception"` is another than `resnet18`, `"device": "gpu"` another than `cpu`: there everything is done once before
//! it is timed. `seconds` is of one forward pass, of all samples of one batch, or of one epoch's steps;
//! `peak_mib` the most memory that the process has held so far, where the system says it.

use std::collections::btree_map::{BTreeMap, Entry};
use std::error::Error;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use dubito_nn::rng::{Purpose, Stream};
use dubito_nn::{
    Architecture, Boundary, Detector, Init, McDropoutPosterior, MemoryCrops, NetworkConfig, Posterior, TrainConfig,
    Variational, VariationalPosterior, device, train,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    detector: Architecture,
    #[serde(default = "cpu")]
    device: String,
    #[serde(flatten)]
    request: Request,
}

fn cpu() -> String {
    "cpu".into()
}

#[derive(Clone, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Request {
    Forward { batch: usize, size: usize },
    Samples { batch: usize, size: usize, samples: u32, boundary: Boundary },
    Variational { batch: usize, size: usize, samples: u32, scope: Boundary },
    Train { batch: usize, size: usize, crops: usize, freeze: Option<String> },
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut nets = BTreeMap::new();
    for line in std::io::stdin().lock().lines() {
        let Line { detector, device: name, request } = serde_json::from_str(&line?)?;
        let device = device(&name)?;
        let net = match nets.entry((detector, name.clone())) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let config = NetworkConfig::new(2);
                entry.insert(Detector::new(detector, &config, Init::Kaiming, 0, &device)?)
            }
        };
        if name != "cpu" {
            answer(request.clone(), net, &device)?;
        }
        let seconds = answer(request, net, &device)?;
        println!("{}", serde_json::json!({ "seconds": seconds, "peak_mib": peak_mib() }));
    }
    Ok(())
}

fn answer(request: Request, net: &Detector, device: &Device) -> Result<f64, Box<dyn Error>> {
    match request {
        Request::Forward { batch, size } => {
            let images = images(batch, size, device);
            let begin = Instant::now();
            net.forward(images)?.into_data();
            Ok(begin.elapsed().as_secs_f64())
        }
        Request::Samples { batch, size, samples, boundary } => {
            let images = images(batch, size, device);
            let posterior = McDropoutPosterior::new(net.clone(), boundary, 0.2)?;
            let begin = Instant::now();
            posterior.draw(images, 0..samples, 0)?.into_data();
            Ok(begin.elapsed().as_secs_f64())
        }
        Request::Variational { batch, size, samples, scope } => {
            let images = images(batch, size, device);
            let settings = Variational { scope, ..Variational::default() };
            let posterior = VariationalPosterior::moped(net.clone(), &settings)?;
            let begin = Instant::now();
            posterior.draw(images, 0..samples, 0)?.into_data();
            Ok(begin.elapsed().as_secs_f64())
        }
        Request::Train { batch, size, crops, freeze } => {
            let detector = net.architecture();
            let config =
                TrainConfig { detector, epochs: 1, batch, freeze, augment_copies: 1, ..TrainConfig::default() };
            let (some, other) = (noise(crops, size, 0)?, noise(1, size, 1)?);
            let dir = tempfile::tempdir()?;
            let report = train(&config, &some, &other, None, dir.path(), device, &mut |_| ControlFlow::Continue(()))?;
            let rate = report.images_per_second.ok_or("no epoch was trained")?;
            Ok((crops / batch * batch) as f64 / rate)
        }
    }
}

/// The process's peak resident memory in MiB.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}

fn images(items: usize, size: usize, device: &Device) -> Tensor<4> {
    let mut stream = Stream::new(Purpose::Other, 0, 0, 0);
    let values: Vec<f32> = (0..items * 3 * size * size).map(|_| stream.normal()).collect();
    Tensor::from_data(TensorData::new(values, [items, 3, size, size]), device)
}

/// Crops of noise, of two classes in turn, all of one identity.
fn noise(items: usize, size: usize, group: u32) -> Result<MemoryCrops, dubito_nn::NnError> {
    let mut stream = Stream::new(Purpose::Other, 1, group, 0);
    let pixels = (0..items * size * size * 3).map(|_| stream.below(256) as u8).collect();
    MemoryCrops::new(size as u32, pixels, (0..items).map(|i| i % 2).collect(), vec![group; items])
}
