//! Masksembles (Durasov et al. 2021): a few fixed masks of channels, which overlap as much as is asked for. Training and
//! prediction use the same, and the network under each is a sample.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{Device, Tensor, activation};
use serde::{Deserialize, Serialize};

use super::{Inference, Posterior, Sink};
use crate::NnError;
use crate::detector::{Detector, Pass};
use crate::dropout::{Boundary, Masks};
use crate::network::Network;
use crate::rng::{Purpose, Stream};
use crate::state::{Array, StateDict};

/// Fewest channels of a site, as the authors' program has it.
const CHANNELS: usize = 10;
/// Steps of the search for a scale whose masks cover all channels.
const ROUNDS: usize = 64;
/// Draws of one scale until they cover as many channels as are expected.
const TRIES: usize = 20_000;

/// Masksembles: settings of training and prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Masksembles {
    /// Where masks begin, as dropout does.
    pub scope: Boundary,
    /// Number of masks, 2 or more.
    pub masks: usize,
    /// How little they overlap, above 1 (they are all the same) and at most 6 (they have next to nothing in common).
    pub scale: f64,
}

impl Default for Masksembles {
    fn default() -> Self {
        Self { scope: Boundary::Head, masks: 4, scale: 2.0 }
    }
}

impl Masksembles {
    /// Checks every field.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub fn check(&self, network: &Network) -> Result<(), NnError> {
        self.scope.check("scope", network)?;
        if self.masks < 2 {
            return Err(NnError::setting("masks", "2 or more", self.masks));
        }
        if !(self.scale > 1.0 && self.scale <= 6.0) {
            return Err(NnError::setting("scale", "above 1 and at most 6", self.scale));
        }
        match self.scope.sites(network).map(|site| network.channels(site)).min() {
            Some(least) if least < CHANNELS => {
                let expected = format!("a place from which on there are {CHANNELS} channels or more");
                Err(NnError::setting("scope", expected, format!("`{}`, with {least} channels", self.scope)))
            }
            _ => Ok(()),
        }
    }

    /// In words, for the model card.
    pub(super) fn in_words(&self) -> String {
        format!("Masksembles from `{}` on: {} fixed masks of scale {}", self.scope, self.masks, self.scale)
    }
}

/// Masks of a site, `[masks][channels]`: each keeps as many channels, and each channel is kept by one. The algorithm is the
/// authors'; `choose` draws so many different numbers below a number. `None` where it finds no masks.
pub(super) fn generate(
    channels: usize,
    count: usize,
    scale: f64,
    choose: &mut dyn FnMut(usize, usize) -> Vec<usize>,
) -> Option<Vec<Vec<bool>>> {
    let covered = |scale: f64| 1.0 - (1.0 - 1.0 / scale).powf(count as f64);
    let active = (channels as f64 / (scale * covered(scale))) as usize;
    let (mut low, mut high) = ((0.2 * scale).max(1.0), 4.0 * scale);
    for _ in 0..ROUNDS {
        let middle = (low + high) / 2.0;
        let total = (active as f64 * middle) as usize;
        let expected = (active as f64 * middle * covered(middle)) as usize;
        let mut draw = || {
            let masks: Vec<Vec<bool>> = (0..count)
                .map(|_| {
                    let mut mask = vec![false; total];
                    choose(total, active).into_iter().for_each(|i| mask[i] = true);
                    mask
                })
                .collect();
            // Places that no mask keeps are no channels.
            let used: Vec<usize> = (0..total).filter(|&i| masks.iter().any(|mask| mask[i])).collect();
            let kept = |mask: &Vec<bool>| used.iter().map(|&i| mask[i]).collect();
            (used.len() == expected).then(|| masks.iter().map(kept).collect::<Vec<Vec<bool>>>())
        };
        let found = (0..TRIES).find_map(|_| draw())?;
        match expected.cmp(&channels) {
            Ordering::Equal => return Some(found),
            Ordering::Less => low = middle,
            Ordering::Greater => high = middle,
        }
    }
    None
}

/// So many different numbers below a number, each choice as likely.
fn choose(stream: &mut Stream, below: usize, many: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..below).collect();
    for i in 0..many {
        let rest = u32::try_from(below - i).unwrap_or(u32::MAX);
        all.swap(i, i + stream.below(rest) as usize);
    }
    all.truncate(many);
    all
}

/// The masks of every site: `[masks, channels]`, 0 or what keeps the mean over a mask.
#[derive(Debug, Clone)]
pub(crate) struct FixedMasks {
    settings: Masksembles,
    sites: BTreeMap<usize, Vec<Vec<f32>>>,
}

impl FixedMasks {
    /// A function of the seed and the site.
    ///
    /// # Errors
    /// [`NnError::Setting`] where no masks of this scale were found for a site.
    pub(crate) fn new(settings: &Masksembles, network: &Network, seed: u64) -> Result<Self, NnError> {
        let mut sites = BTreeMap::new();
        for site in settings.scope.sites(network) {
            let channels = network.channels(site);
            let mut stream = Stream::new(Purpose::Mask, seed, u32::MAX, site as u32);
            let mut draw = |below: usize, many: usize| choose(&mut stream, below, many);
            let Some(masks) = generate(channels, settings.masks, settings.scale, &mut draw) else {
                let expected = format!("one that {channels} channels and {} masks can have", settings.masks);
                return Err(NnError::setting("scale", expected, settings.scale));
            };
            let scaled = |mask: Vec<bool>| {
                let kept = mask.iter().filter(|kept| **kept).count().max(1);
                let keep = channels as f32 / kept as f32;
                mask.into_iter().map(|kept| if kept { keep } else { 0.0 }).collect()
            };
            sites.insert(site, masks.into_iter().map(scaled).collect());
        }
        Ok(Self { settings: settings.clone(), sites })
    }

    /// What the run keeps: `masks.SITE`.
    pub(crate) fn arrays(&self) -> StateDict {
        let array = |(site, masks): (&usize, &Vec<Vec<f32>>)| {
            let shape = vec![masks.len(), masks.first().map_or(0, Vec::len)];
            (format!("masks.{site}"), Array { shape, values: masks.concat() })
        };
        self.sites.iter().map(array).collect()
    }

    /// From what the run keeps.
    fn from_arrays(settings: &Masksembles, network: &Network, arrays: &StateDict) -> Result<Self, NnError> {
        let mut sites = BTreeMap::new();
        for site in settings.scope.sites(network) {
            let (name, expected) = (format!("masks.{site}"), vec![settings.masks, network.channels(site)]);
            match arrays.get(&name) {
                None => return Err(NnError::MissingTensor { name, expected }),
                Some(array) if array.shape != expected => {
                    return Err(NnError::TensorShape { name, expected, found: array.shape.clone() });
                }
                Some(array) => {
                    let masks = array.values.chunks_exact(expected[1]).map(<[f32]>::to_vec).collect();
                    sites.insert(site, masks);
                }
            }
        }
        Ok(Self { settings: settings.clone(), sites })
    }

    /// The run's settings.
    pub(crate) fn inference(&self) -> Inference {
        Inference::Masksembles(self.settings.clone())
    }

    /// Masks for one training step: the batch is cut into as many parts as there are masks, each under one of them.
    pub(crate) fn for_training(&self, items: usize, device: &Device) -> Masks {
        let row = |item: usize| item * self.settings.masks / items.max(1);
        Masks::fixed(self.sites.iter().map(|(&site, masks)| (site, (0..items).map(|i| &masks[row(i)][..]))), device)
    }

    /// The mask of one network, for all items of a batch.
    fn of(&self, network: usize, device: &Device) -> Masks {
        let one = |masks: &'_ [Vec<f32>]| std::iter::once(network).map(|k| masks[k].clone()).collect::<Vec<_>>();
        let sites: Vec<(usize, Vec<Vec<f32>>)> = self.sites.iter().map(|(&site, masks)| (site, one(masks))).collect();
        Masks::fixed(sites.iter().map(|(site, rows)| (*site, rows.iter().map(Vec::as_slice))), device)
    }
}

/// The networks under the fixed masks. Sample t is the network under mask t, and from the last on the first again, as of an
/// ensemble; what lies before the first mask runs once.
#[derive(Debug, Clone)]
pub struct MasksemblesPosterior {
    net: Detector,
    masks: FixedMasks,
}

impl MasksemblesPosterior {
    /// From the network and the masks that it was trained with.
    ///
    /// # Errors
    /// [`NnError::Setting`] for a scope that the network has not; [`NnError::MissingTensor`], [`NnError::TensorShape`].
    pub fn new(net: Detector, settings: &Masksembles, arrays: &StateDict) -> Result<Self, NnError> {
        settings.check(net.network())?;
        let masks = FixedMasks::from_arrays(settings, net.network(), arrays)?;
        Ok(Self { net, masks })
    }

    /// With new masks, a function of the seed: a network that was not trained with them.
    ///
    /// # Errors
    /// As of the settings' check, or where there are no such masks.
    pub fn untrained(net: Detector, settings: &Masksembles, seed: u64) -> Result<Self, NnError> {
        settings.check(net.network())?;
        let masks = FixedMasks::new(settings, net.network(), seed)?;
        Ok(Self { net, masks })
    }
}

impl Posterior for MasksemblesPosterior {
    fn classes(&self) -> usize {
        self.net.config().classes
    }

    fn device(&self) -> &Device {
        self.net.device()
    }

    fn networks(&self) -> Option<u32> {
        u32::try_from(self.masks.settings.masks).ok()
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, _seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        self.net.check_images(&batch)?;
        let [items, ..] = batch.dims();
        let first = self.masks.settings.scope.sites(self.net.network()).start;
        let place = self.net.dropout(first);
        let trunk = self.net.run_until(batch, place);
        let mut asked: BTreeMap<usize, Tensor<3>> = BTreeMap::new();
        for sample in samples {
            let k = sample as usize % self.masks.settings.masks;
            let p = asked.entry(k).or_insert_with(|| {
                let masks = self.masks.of(k, self.net.device());
                let logits = self.net.run_from(trunk.clone(), place, &mut Pass::inference(Some(&masks)));
                let p = activation::softmax(logits.reshape([items, self.classes()]), 1);
                p.reshape([items, 1, self.classes()])
            });
            sink(sample..sample + 1, p.clone())?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// With the choices that the authors' program made (as torch-uncertainty has it), the masks are its masks.
    #[test]
    fn masks_are_the_authors() {
        #[derive(Deserialize)]
        struct Case {
            channels: usize,
            masks: usize,
            scale: f64,
            /// Out of how many, and which.
            choices: Vec<(usize, Vec<usize>)>,
            made: Vec<Vec<u8>>,
        }
        let golden = include_str!("../../tests/golden/masksembles.json");
        let cases: Vec<Case> = serde_json::from_str(golden).unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let mut choices = case.choices.iter();
            let mut choose = |below: usize, many: usize| {
                let (total, chosen) = choices.next().unwrap();
                assert_eq!((*total, chosen.len()), (below, many), "{} channels", case.channels);
                chosen.clone()
            };
            let made = generate(case.channels, case.masks, case.scale, &mut choose).unwrap();
            let made: Vec<Vec<u8>> =
                made.iter().map(|mask| mask.iter().map(|&kept| u8::from(kept)).collect()).collect();
            assert_eq!(made, case.made);
            assert!(choices.next().is_none());
        }
    }

    /// Every mask keeps as many channels, every channel is kept, and a larger scale leaves less in common.
    #[test]
    fn masks_overlap_as_asked() {
        let made = |scale: f64, seed: u64| {
            let mut stream = Stream::new(Purpose::Mask, seed, u32::MAX, 5);
            generate(512, 4, scale, &mut |below, many| choose(&mut stream, below, many)).unwrap()
        };
        let mut before = 1.0;
        for scale in [1.1, 1.5, 2.0, 3.0, 6.0] {
            let masks = made(scale, 1);
            let kept = |mask: &Vec<bool>| mask.iter().filter(|kept| **kept).count();
            assert!(masks.iter().all(|mask| mask.len() == 512 && kept(mask) == kept(&masks[0])));
            assert!((0..512).all(|i| masks.iter().any(|mask| mask[i])));
            let both = masks[0].iter().zip(&masks[1]).filter(|(a, b)| **a && **b).count();
            let common = both as f64 / kept(&masks[0]) as f64;
            assert!(common < before, "{scale}: {common}");
            before = common;
            assert_eq!(masks, made(scale, 1));
            assert_ne!(masks, made(scale, 2));
        }
        assert!(before < 0.25);
    }
}
