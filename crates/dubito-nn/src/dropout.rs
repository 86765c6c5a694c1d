//! Monte Carlo dropout (Gal and Ghahramani 2016) whose mask is a function of (seed, sample, site) alone.
//!
//! A mask has one value per channel (spatial dropout, Tompson et al. 2015, on feature maps). All
//! items of a batch, all frames and all videos see sample t through the same mask: a sample is one
//! network.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::network::Network;
use crate::rng::{Purpose, Stream};

/// Where a network begins to be stochastic. Everything before runs once per input.
///
/// Written `head`, `stage:N` or `all` in settings and on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Boundary {
    /// Only the pooled features before the last layer are dropped out.
    #[default]
    Head,
    /// After stage N (1 to 4, the stem being 0) and after each later one, and before the last layer.
    Stage(u8),
    /// After the stem and after each later stage, and before the last layer.
    All,
}

impl Boundary {
    /// Indices of every stage of a network with dropout: after it, or for the head before its last layer.
    pub fn sites(self, network: &Network) -> Range<usize> {
        let first = match self {
            Self::Head => network.head(),
            Self::Stage(n) => usize::from(n).min(network.head()),
            Self::All => 0,
        };
        first..network.head() + 1
    }

    /// Reads it; `field` is the setting that it is of.
    ///
    /// # Errors
    /// [`NnError::Setting`] that says what it may be.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, NnError> {
        match text {
            "head" => Ok(Self::Head),
            "all" => Ok(Self::All),
            _ => match text.strip_prefix("stage:").map(str::parse) {
                Some(Ok(n @ 1..=4)) => Ok(Self::Stage(n)),
                _ => Err(NnError::setting(field, "`head`, `stage:1` to `stage:4`, or `all`", format!("`{text}`"))),
            },
        }
    }

    /// Checks that the network has the stage; `field` is the setting that names it.
    ///
    /// # Errors
    /// [`NnError::Setting`] that says which there are.
    pub fn check(self, field: &'static str, network: &Network) -> Result<(), NnError> {
        match self {
            Self::Stage(n) if usize::from(n) >= network.head() => {
                let expected = format!("`head`, `stage:1` to `stage:{}`, or `all`", network.head() - 1);
                Err(NnError::setting(field, expected, format!("`{self}`")))
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Boundary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Stage(n) => write!(f, "stage:{n}"),
            Self::All => f.write_str("all"),
        }
    }
}

impl From<Boundary> for String {
    fn from(boundary: Boundary) -> Self {
        boundary.to_string()
    }
}

impl TryFrom<String> for Boundary {
    type Error = NnError;

    fn try_from(text: String) -> Result<Self, NnError> {
        text.parse()
    }
}

impl std::str::FromStr for Boundary {
    type Err = NnError;

    fn from_str(text: &str) -> Result<Self, NnError> {
        Self::parse("boundary", text)
    }
}

/// Checks a dropout rate.
///
/// # Errors
/// [`NnError::Setting`] outside [0, 1).
pub fn check_rate(rate: f32) -> Result<(), NnError> {
    if (0.0..1.0).contains(&rate) {
        Ok(())
    } else {
        Err(NnError::setting("dropout", "0 or more and less than 1", rate))
    }
}

/// The mask of sample `sample` at a site: per channel 0 with probability `rate`, else 1 / (1 - rate).
pub fn mask(seed: u64, sample: u32, site: usize, channels: usize, rate: f32) -> Vec<f32> {
    draw(&mut Stream::new(Purpose::Mask, seed, sample, site as u32), channels, rate)
}

fn draw(stream: &mut Stream, n: usize, rate: f32) -> Vec<f32> {
    let keep = 1.0 / (1.0 - rate);
    (0..n).map(|_| if stream.uniform() < rate { 0.0 } else { keep }).collect()
}

/// Masks for one forward pass, by site: `[rows, 1, 1, channels]`, a row per item of the batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Masks(BTreeMap<usize, Tensor<4>>);

impl Masks {
    /// The masks of some samples for a batch that holds `items` items of the first sample, then as
    /// many of the next, and so on.
    pub(crate) fn for_samples(
        sites: Range<usize>,
        channels: impl Fn(usize) -> usize,
        rate: f32,
        seed: u64,
        samples: Range<u32>,
        items: usize,
        device: &Device,
    ) -> Self {
        Self(
            sites
                .map(|site| {
                    let c = channels(site);
                    let mut values = Vec::with_capacity(samples.len() * items * c);
                    for sample in samples.clone() {
                        let mask = mask(seed, sample, site, c, rate);
                        for _ in 0..items {
                            values.extend_from_slice(&mask);
                        }
                    }
                    let shape = [samples.len() * items, 1, 1, c];
                    (site, Tensor::from_data(TensorData::new(values, shape), device))
                })
                .collect(),
        )
    }

    /// Masks for one training step: each item has its own, a function of (seed, step, site, place in
    /// the batch).
    pub(crate) fn for_training(
        sites: Range<usize>,
        channels: impl Fn(usize) -> usize,
        rate: f32,
        seed: u64,
        step: u32,
        items: usize,
        device: &Device,
    ) -> Self {
        Self(
            sites
                .map(|site| {
                    let c = channels(site);
                    let mut stream = Stream::new(Purpose::TrainMask, seed, step, site as u32);
                    let values = draw(&mut stream, items * c, rate);
                    let shape = [items, 1, 1, c];
                    (site, Tensor::from_data(TensorData::new(values, shape), device))
                })
                .collect(),
        )
    }

    /// Masks that are given: for each site its rows, one of each item or one for all.
    pub(crate) fn fixed<'m, R>(sites: impl Iterator<Item = (usize, R)>, device: &Device) -> Self
    where
        R: Iterator<Item = &'m [f32]>,
    {
        let one = |(site, rows): (usize, R)| {
            let (mut values, mut count) = (Vec::new(), 0);
            for row in rows {
                values.extend_from_slice(row);
                count += 1;
            }
            let channels = values.len() / count.max(1);
            (site, Tensor::from_data(TensorData::new(values, [count, 1, 1, channels]), device))
        };
        Self(sites.map(one).collect())
    }

    /// `x` times the site's mask; `x` itself where the site has none.
    pub(crate) fn apply(&self, site: usize, x: Tensor<4>) -> Tensor<4> {
        match self.0.get(&site) {
            Some(mask) => x * mask.clone(),
            None => x,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_keeps_the_mean_and_drops_at_its_rate() {
        let n = 100_000;
        let m = mask(3, 17, 5, n, 0.3);
        let dropped = m.iter().filter(|&&v| v == 0.0).count() as f64 / n as f64;
        assert!((dropped - 0.3).abs() < 4.0 * (0.21 / n as f64).sqrt());
        let mean = m.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
        assert!((mean - 1.0).abs() < 0.01);
        assert!(m.iter().all(|&v| v == 0.0 || v == 1.0 / 0.7));
    }

    #[test]
    fn a_mask_is_a_function_of_seed_sample_and_site() {
        let base = mask(3, 17, 5, 64, 0.5);
        assert_eq!(base, mask(3, 17, 5, 64, 0.5));
        assert_eq!(base[..32], mask(3, 17, 5, 32, 0.5));
        assert_ne!(base, mask(4, 17, 5, 64, 0.5));
        assert_ne!(base, mask(3, 18, 5, 64, 0.5));
        assert_ne!(base, mask(3, 17, 4, 64, 0.5));
    }

    #[test]
    fn boundaries_are_read_as_they_are_written() {
        for b in [Boundary::Head, Boundary::Stage(4), Boundary::Stage(1), Boundary::All] {
            assert_eq!(b.to_string().parse::<Boundary>().unwrap(), b);
        }
        for bad in ["", "stage:0", "stage:5", "stage:", "Head", "stage:x"] {
            let e = bad.parse::<Boundary>().unwrap_err().to_string();
            assert!(e.contains("stage:1"), "{e}");
        }
    }
}
