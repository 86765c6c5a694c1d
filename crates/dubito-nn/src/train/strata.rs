//! The order of a balanced epoch: half real and half fake, evenly by class and by what made a crop.

use std::collections::BTreeMap;

use super::crops::Crops;

/// Crops by what is drawn evenly: halves (real and fake), in a half its classes, in a class its sources.
pub(super) struct Strata(Vec<Vec<Vec<Vec<usize>>>>);

impl Strata {
    /// Of crops in this order.
    pub(super) fn new(crops: &dyn Crops, order: &[usize]) -> Self {
        let mut halves: BTreeMap<bool, BTreeMap<usize, BTreeMap<u32, Vec<usize>>>> = BTreeMap::new();
        for &i in order {
            let (class, source) = (crops.class(i), crops.source(i));
            halves.entry(source > 0).or_default().entry(class).or_default().entry(source).or_default().push(i);
        }
        let classes = |half: BTreeMap<usize, BTreeMap<u32, Vec<usize>>>| {
            half.into_values().map(|sources| sources.into_values().collect()).collect()
        };
        Self(halves.into_values().map(classes).collect())
    }

    /// The `k`-th crop of an epoch: halves take turns, in a half its classes, in a class its sources.
    pub(super) fn draw(&self, k: usize) -> usize {
        let half = &self.0[k % self.0.len()];
        let k = k / self.0.len();
        let class = &half[k % half.len()];
        let k = k / half.len();
        let source = &class[k % class.len()];
        source[k / class.len() % source.len()]
    }

    /// The share of each of `n` crops (all those there are) in an endless epoch; they sum to 1.
    pub(super) fn weights(&self, n: usize) -> Vec<f64> {
        let mut weights = vec![0.0; n];
        for half in &self.0 {
            for class in half {
                for source in class {
                    let strata = self.0.len() * half.len() * class.len();
                    source.iter().for_each(|&i| weights[i] = 1.0 / (strata * source.len()) as f64);
                }
            }
        }
        weights
    }
}

/// The fraction of each class in an endless epoch, `balanced` or of the crops as they are.
pub(super) fn class_shares(crops: &dyn Crops, classes: usize, balanced: bool) -> Vec<f64> {
    let mut shares = vec![0.0; classes];
    let each = 1.0 / crops.len().max(1) as f64;
    let weights = if balanced { balanced_weights(crops) } else { vec![each; crops.len()] };
    for (i, weight) in weights.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(crops.class(i)) {
            *share += weight;
        }
    }
    shares
}

/// The share of each crop in an endless balanced epoch.
pub(crate) fn balanced_weights(crops: &dyn Crops) -> Vec<f64> {
    let items: Vec<usize> = (0..crops.len()).collect();
    Strata::new(crops, &items).weights(items.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::CropError;

    /// Crops of a class and a source each, without pixels.
    struct Known(Vec<(usize, u32)>);

    impl Crops for Known {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn size(&self) -> u32 {
            1
        }
        fn class(&self, i: usize) -> usize {
            self.0[i].0
        }
        fn source(&self, i: usize) -> u32 {
            self.0[i].1
        }
        fn group(&self, _: usize) -> u32 {
            0
        }
        fn read(&self, _: usize, _: &mut [u8]) -> Result<(), CropError> {
            Ok(())
        }
    }

    #[test]
    fn half_is_real_and_the_fakes_are_even() {
        // Six reals; fakes: 30 of class 1, 20 of them by one generator and 10 by another; 4 of class 2.
        let kinds = [((0, 0), 6), ((1, 1), 20), ((1, 2), 10), ((2, 3), 4)];
        let crops = Known(kinds.iter().flat_map(|&(kind, n)| std::iter::repeat_n(kind, n)).collect());
        let all: Vec<usize> = (0..40).collect();
        let strata = Strata::new(&crops, &all);
        let drawn: Vec<usize> = (0..40).map(|k| strata.draw(k)).collect();
        let count = |kind: (usize, u32)| drawn.iter().filter(|&&i| crops.0[i] == kind).count();
        assert_eq!(kinds.map(|(kind, _)| count(kind)), [20, 5, 5, 10]);
        // Each crop of a rare kind comes as often as any other of it; none of a common kind twice.
        let times = |i: usize| drawn.iter().filter(|&&d| d == i).count();
        assert!((0..6).all(|i| (3..=4).contains(&times(i))) && (36..40).all(|i| (2..=3).contains(&times(i))));
        assert!((6..36).all(|i| times(i) <= 1));

        let weights = strata.weights(40);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((weights[0] - 0.5 / 6.0).abs() < 1e-12 && (weights[6] - 0.125 / 20.0).abs() < 1e-12);
        assert!((weights[30] - 0.125 / 10.0).abs() < 1e-12 && (weights[39] - 0.25 / 4.0).abs() < 1e-12);

        // Without reals the classes are even.
        let fakes = Known(crops.0[6..].to_vec());
        let strata = Strata::new(&fakes, &(0..34).collect::<Vec<_>>());
        let first = (0..34).filter(|&k| fakes.0[strata.draw(k)].0 == 1).count();
        assert_eq!(first, 17);
    }
}
