//! Labelled crops to learn from, or pictures of a signal in runs of them: the trait, and crops in memory.

use crate::NnError;
use crate::network::MapShape;

/// Why a crop could not be read.
pub type CropError = Box<dyn std::error::Error + Send + Sync>;

/// Labelled face crops, or pictures of a signal in them ([`Signal`](crate::Signal)), all of one shape, read by index from
/// many threads.
pub trait Crops: Sync {
    /// Number of crops (or pictures; a crop stands for both from here on).
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Side of the square crops in pixels; of a signal, of those that it was found in.
    fn size(&self) -> u32;

    /// Height, width and channels of what [`Crops::read`] writes.
    fn shape(&self) -> MapShape {
        [self.size() as usize, self.size() as usize, 3]
    }

    /// Class of crop `i`, an index into [`TrainConfig::class_names`](crate::TrainConfig::class_names).
    fn class(&self, i: usize) -> usize;

    /// What made crop `i`, as a number: 0 for a real crop, one above 0 for each generator. Balanced training
    /// ([`TrainConfig::class_balance`](crate::TrainConfig::class_balance)) goes by it; without more being known it is the class, class 0 being real.
    fn source(&self, i: usize) -> u32 {
        self.class(i) as u32
    }

    /// Identity of crop `i`; training and validation must not share one.
    fn group(&self, i: usize) -> u32;

    /// What tells crop `i` from all others of its data set, whichever part of that this is: its augmentation is drawn by it.
    fn key(&self, i: usize) -> u64 {
        i as u64
    }

    /// What the crops show around the face on each side, in parts of its size; none where it is not known.
    fn margin(&self) -> Option<f32> {
        None
    }

    /// Writes crop `i` as bytes of its [`Crops::shape`]: RGB, or the channels of a signal.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, i: usize, out: &mut [u8]) -> Result<(), CropError>;
}

/// Crops in memory.
#[derive(Debug, Clone)]
pub struct MemoryCrops {
    size: u32,
    pixels: Vec<u8>,
    classes: Vec<usize>,
    groups: Vec<u32>,
}

impl MemoryCrops {
    /// Crops from RGB bytes `[items, size, size, 3]`, and a class and an identity for each.
    ///
    /// # Errors
    /// [`NnError::Data`] where the lengths do not fit together.
    pub fn new(size: u32, pixels: Vec<u8>, classes: Vec<usize>, groups: Vec<u32>) -> Result<Self, NnError> {
        let one = size as usize * size as usize * 3;
        if one == 0 || pixels.len() != one * classes.len() || groups.len() != classes.len() {
            return Err(NnError::Data {
                reason: format!(
                    "{} bytes, {} classes and {} identities do not make whole crops of {size} pixels",
                    pixels.len(),
                    classes.len(),
                    groups.len()
                ),
            });
        }
        Ok(Self { size, pixels, classes, groups })
    }
}

impl Crops for MemoryCrops {
    fn len(&self) -> usize {
        self.classes.len()
    }

    fn size(&self) -> u32 {
        self.size
    }

    fn class(&self, i: usize) -> usize {
        self.classes[i]
    }

    fn group(&self, i: usize) -> u32 {
        self.groups[i]
    }

    fn read(&self, i: usize, out: &mut [u8]) -> Result<(), CropError> {
        out.copy_from_slice(&self.pixels[i * out.len()..(i + 1) * out.len()]);
        Ok(())
    }
}
