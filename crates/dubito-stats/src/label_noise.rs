//! A known share of labels flipped, to see how a detector's uncertainty takes it.

use std::collections::BTreeSet;

use crate::{StatsError, check};

/// The labels with a share of them flipped: of each class the `share` (rounded to a whole number of items), drawn by
/// `seed` and the items' names alone, so that the order of the items does not count and a larger share flips a superset.
///
/// `names` are those of videos (or whatever carries one label): frames of one video must not be given apart. Returned is
/// whether each item is positive now. Flipping the same share of both classes leaves their balance, as long as they are as
/// many. Errors: lists of different length, a name twice, a share outside [0, 1].
///
/// ```
/// let names = ["a", "b", "c", "d"];
/// let labels = [true, true, false, false];
/// let noisy = dubito_stats::label_noise::flip_labels(&names, &labels, 0.5, 7)?;
/// let flipped = |class| labels.iter().zip(&noisy).filter(|(a, b)| **a == class && a != b).count();
/// assert_eq!((flipped(true), flipped(false)), (1, 1));
/// # Ok::<(), dubito_stats::StatsError>(())
/// ```
pub fn flip_labels(names: &[&str], positive: &[bool], share: f64, seed: u64) -> Result<Vec<bool>, StatsError> {
    check::length("positive", positive.len(), names.len())?;
    if !(0.0..=1.0).contains(&share) {
        let value = share.to_string();
        return Err(StatsError::BadParameter { name: "share", value, expected: "a number from 0 to 1" });
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(**name)) {
        let value = (*twice).to_owned();
        return Err(StatsError::BadParameter { name: "name", value, expected: "each name once (one label a video)" });
    }
    let mut noisy = positive.to_vec();
    for class in [false, true] {
        let mut of_class: Vec<usize> = (0..names.len()).filter(|&i| positive[i] == class).collect();
        of_class.sort_by_key(|&i| (place(names[i], seed), names[i]));
        let count = (share * of_class.len() as f64).round() as usize;
        of_class[..count].iter().for_each(|&i| noisy[i] = !class);
    }
    Ok(noisy)
}

/// A number made of a name and the seed: FNV-1a, then SplitMix64's finaliser.
fn place(name: &str, seed: u64) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = |value: u64| {
        let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    mixed(hash ^ mixed(seed))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::flip_labels;

    #[test]
    fn flips_the_share_of_each_class_by_name_and_seed_alone() {
        let names: Vec<String> = (0..100).map(|i| format!("video{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let labels: Vec<bool> = (0..100).map(|i| i < 40).collect();
        let flipped = |share, seed| -> Vec<usize> {
            let noisy = flip_labels(&names, &labels, share, seed).unwrap();
            (0..100).filter(|&i| noisy[i] != labels[i]).collect()
        };
        let tenth = flipped(0.1, 1);
        assert_eq!((tenth.len(), tenth.iter().filter(|&&i| i < 40).count()), (10, 4));
        assert!(tenth.iter().all(|i| flipped(0.3, 1).contains(i)), "a larger share flips a superset");
        assert_ne!(tenth, flipped(0.1, 2));
        assert!(flipped(0.0, 1).is_empty());
        assert_eq!(flipped(1.0, 1).len(), 100);
        // Another order of the items.
        let (mut backwards, mut of): (Vec<&str>, Vec<bool>) = (names.clone(), labels.clone());
        backwards.reverse();
        of.reverse();
        let mut noisy = flip_labels(&backwards, &of, 0.1, 1).unwrap();
        noisy.reverse();
        assert_eq!(noisy, flip_labels(&names, &labels, 0.1, 1).unwrap());
    }

    #[test]
    fn bad_input() {
        assert!(flip_labels(&["a"], &[true, false], 0.1, 0).is_err());
        assert!(flip_labels(&["a"], &[true], 1.1, 0).is_err());
        assert!(flip_labels(&["a", "a"], &[true, true], 0.1, 0).is_err());
    }
}
