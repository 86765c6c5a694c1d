//! Whether a detector can learn sixteen clips by heart, which one that is wired wrongly can't.
//!
//!     overfit CLIPS/manifest.parquet DETECTOR [EPOCHS [BATCH]]
//!
//! Takes one frame (of a detector of signals one window) of each of eight real and eight fake clips, trains on them without
//! dropout and augmentation, and prints the loss and the share that is right, by batch and by running statistics.

use std::ops::ControlFlow;
use std::path::Path;

use dubito_data::classes::ClassList;
use dubito_data::manifest::{self, Label, Row, Status};
use dubito_nn::{AugmentConfig, CropError, Crops, MapShape, OptimiserConfig, TrainConfig};
use dubito_study::{Lesson, SignalCrops, StoreCrops};

/// The first item of each of some sets, all as one person's.
struct FirstOfEach<'a> {
    sets: &'a [Box<dyn Crops>],
    person: u32,
}

impl Crops for FirstOfEach<'_> {
    fn len(&self) -> usize {
        self.sets.len()
    }

    fn size(&self) -> u32 {
        self.sets.first().map_or(0, |set| set.size())
    }

    fn shape(&self) -> MapShape {
        self.sets.first().map_or([0; 3], |set| set.shape())
    }

    fn class(&self, i: usize) -> usize {
        self.sets[i].class(0)
    }

    fn group(&self, _: usize) -> u32 {
        self.person
    }

    fn read(&self, i: usize, out: &mut [u8]) -> Result<(), CropError> {
        self.sets[i].read(0, out)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, detector, more @ ..] = arguments.as_slice() else {
        return Err("overfit CLIPS/manifest.parquet DETECTOR [EPOCHS [BATCH]]".into());
    };
    let mut more = more.iter().map(|text| text.parse::<usize>());
    let epochs = more.next().unwrap_or(Ok(60))?;
    let batch = more.next().unwrap_or(Ok(16))?;
    let rows = manifest::read(path.as_ref())?;
    let lesson = Lesson::of(&rows, &ClassList::default(), "binary", &[])?;
    let store = Path::new(path).parent().unwrap_or(Path::new(""));
    let usable = |row: &&Row| row.status == Status::Ok && row.clip.is_some();
    let of = |label: Label| rows.iter().filter(usable).filter(move |row| row.label == label);
    let config = TrainConfig {
        detector: detector.parse()?,
        epochs,
        batch,
        optimiser: OptimiserConfig { weight_decay: 0.0, ..OptimiserConfig::default() },
        dropout: 0.0,
        augment: AugmentConfig::none(),
        class_balance: false,
        norm_momentum: Some(0.1),
        patience: 0,
        ..TrainConfig::default()
    };
    let mut sets: Vec<Box<dyn Crops>> = Vec::new();
    for label in [Label::Real, Label::Fake] {
        let mut count = 0;
        for row in of(label) {
            let people = [row.identity.as_str()];
            let crops: Box<dyn Crops> = match config.signal() {
                None => Box::new(StoreCrops::open(&[row], &lesson, store, &people)?),
                // A clip without the signal is passed over here.
                Some(signal) => match SignalCrops::open(&[row], &lesson, store, &people, signal) {
                    Ok(crops) => Box::new(crops),
                    Err(_) => continue,
                },
            };
            sets.push(crops);
            count += 1;
            if count == 8 {
                break;
            }
        }
    }
    // Training and validation are the same clips here, as two people's.
    let set = |person| FirstOfEach { sets: &sets, person };
    let dir = tempfile::tempdir()?;
    let device = dubito_nn::device("cpu")?;
    let report =
        dubito_nn::train(&config, &set(0), &set(1), None, dir.path(), &device, &mut |_| ControlFlow::Continue(()))?;
    println!("{} clips, {detector}", sets.len());
    for record in report.history.iter().filter(|r| r.epoch % 5 == 0 || r.epoch == 1) {
        let (epoch, by_batch, by_running) = (record.epoch, record.train_loss, record.valid_loss);
        println!(
            "epoch {epoch}: loss {by_batch:.4} by the batch, {by_running:.4} by running statistics, {:.0} % right",
            100.0 * record.valid_accuracy
        );
    }
    Ok(())
}
