//! Whether maps of one generator look like each other more than like those of other generators.

use dubito_nn::rng::{Purpose, Stream};
use dubito_stats::Estimate;

/// Side of the grid that patterns are compared on, in cells of the aligned crop.
pub(crate) const GRID: usize = 32;
/// Random labellings of the permutation test.
const LABELLINGS: u32 = 999;
/// Random labellings beyond either end of the range of chance: a difference out there has p < 0.05, one within has not.
const BEYOND: usize = 23;

/// A map `[side, side]` as the means of the cells of a grid, divided by their sum; all 0 where the map is.
pub(crate) fn cells(map: &[f32], side: usize) -> Vec<f32> {
    let grid = GRID.min(side.max(1));
    let mut sums = vec![(0.0f64, 0u32); grid * grid];
    for (i, v) in map.iter().enumerate() {
        let (x, y) = (i % side * grid / side, i / side * grid / side);
        let (sum, count) = &mut sums[y * grid + x];
        *sum += f64::from(*v);
        *count += 1;
    }
    let means: Vec<f64> = sums.into_iter().map(|(sum, n)| sum / f64::from(n.max(1))).collect();
    let total: f64 = means.iter().sum();
    means.into_iter().map(|v| if total > 0.0 { (v / total) as f32 } else { 0.0 }).collect()
}

/// A video's mean pattern, and what it is of.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) person: u32,
    pub(crate) generator: usize,
    pub(crate) cells: Vec<f32>,
}

/// How alike patterns are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Likeness {
    /// Mean rank correlation of two people's videos by the same generator.
    pub(crate) within: f64,
    /// Of two people's videos by different generators.
    pub(crate) between: f64,
    /// Range of `within - between` in 95 % of the random labellings: that of chance, not an interval of the estimate.
    pub(crate) chance: [f64; 2],
    /// Two-sided: twice the share of the labellings (this one among them) whose difference is as large, or as small if that
    /// is less. Below 0.05 exactly where `within - between` lies outside `chance`.
    pub(crate) p_value: f64,
    /// Videos.
    pub(crate) videos: usize,
}

/// Spearman's correlation of patterns of different people, within generators and between them, and a permutation test: each
/// person's videos are given each other's generators at random, since a person looks like themselves whatever was done.
/// `Err`: why there is none.
pub(crate) fn likeness(patterns: &[Pattern], seed: u64) -> Result<Likeness, Estimate> {
    let no = |why: &str| Err(Estimate::undefined(why));
    let ranked: Vec<Vec<f64>> = patterns.iter().map(|p| standard_ranks(&p.cells)).collect();
    if ranked.iter().any(|r| r.iter().all(|v| *v == 0.0)) {
        return no("the map of a video is flat");
    }
    let pairs: Vec<(usize, usize, f64)> = (0..patterns.len())
        .flat_map(|i| (i + 1..patterns.len()).map(move |j| (i, j)))
        .filter(|&(i, j)| patterns[i].person != patterns[j].person)
        .map(|(i, j)| (i, j, ranked[i].iter().zip(&ranked[j]).map(|(a, b)| a * b).sum()))
        .collect();
    let means = |labels: &[usize]| -> Option<[f64; 2]> {
        let mut sums = [(0.0, 0u32); 2];
        for &(i, j, likeness) in &pairs {
            let (sum, count) = &mut sums[usize::from(labels[i] != labels[j])];
            *sum += likeness;
            *count += 1;
        }
        let [within, between] = sums;
        (within.1 > 0 && between.1 > 0).then(|| [within.0 / f64::from(within.1), between.0 / f64::from(between.1)])
    };
    let mut labels: Vec<usize> = patterns.iter().map(|p| p.generator).collect();
    let Some([within, between]) = means(&labels) else {
        return no("two generators with videos of two people each are needed");
    };
    let mut people: Vec<u32> = patterns.iter().map(|p| p.person).collect();
    people.sort_unstable();
    people.dedup();
    let of: Vec<Vec<usize>> =
        people.iter().map(|person| (0..patterns.len()).filter(|&i| patterns[i].person == *person).collect()).collect();
    let observed = within - between;
    let (mut as_large, mut as_small, mut found) = (1u32, 1u32, Vec::new());
    for labelling in 0..LABELLINGS {
        let mut stream = Stream::new(Purpose::Other, seed, labelling, 2);
        for videos in &of {
            let mut own: Vec<usize> = videos.iter().map(|&i| patterns[i].generator).collect();
            stream.shuffle(&mut own);
            videos.iter().zip(own).for_each(|(&i, generator)| labels[i] = generator);
        }
        let difference = means(&labels).map_or(0.0, |[within, between]| within - between);
        as_large += u32::from(difference >= observed - 1e-12);
        as_small += u32::from(difference <= observed + 1e-12);
        found.push(difference);
    }
    found.sort_by(f64::total_cmp);
    let chance = [found[BEYOND], found[found.len() - 1 - BEYOND]];
    let p_value = (2.0 * f64::from(as_large.min(as_small)) / f64::from(LABELLINGS + 1)).min(1.0);
    Ok(Likeness { within, between, chance, p_value, videos: patterns.len() })
}

/// Midranks with mean 0 and length 1; all 0 where every value is the same.
fn standard_ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let end = (from..order.len()).find(|&k| values[order[k]] != values[order[from]]).unwrap_or(order.len());
        order[from..end].iter().for_each(|&i| ranks[i] = (from + end - 1) as f64 / 2.0);
        from = end;
    }
    let mean = ranks.iter().sum::<f64>() / ranks.len().max(1) as f64;
    let length = ranks.iter().map(|r| (r - mean).powi(2)).sum::<f64>().sqrt();
    ranks.iter().map(|r| if length > 0.0 { (r - mean) / length } else { 0.0 }).collect()
}

/// Spearman's rank correlation of two maps; `None` where one is flat.
pub(crate) fn rank_correlation(a: &[f32], b: &[f32]) -> Option<f64> {
    let (a, b) = (standard_ranks(a), standard_ranks(b));
    let flat = |r: &[f64]| r.iter().all(|v| *v == 0.0);
    (!flat(&a) && !flat(&b)).then(|| a.iter().zip(&b).map(|(a, b)| a * b).sum())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn patterns(signal: f32) -> Vec<Pattern> {
        let mut stream = Stream::new(Purpose::Other, 4, 0, 0);
        let mut out = Vec::new();
        for person in 0..6u32 {
            let own: Vec<f32> = (0..64).map(|_| stream.normal()).collect();
            for generator in 0..3usize {
                let cells = own
                    .iter()
                    .enumerate()
                    .map(|(i, own)| own + 0.3 * stream.normal() + if i % 3 == generator { signal } else { 0.0 });
                out.push(Pattern { person, generator, cells: cells.collect() });
            }
        }
        out
    }

    #[test]
    fn a_pattern_of_the_generator_is_found_and_that_of_a_person_is_not_taken_for_it() {
        let found = likeness(&patterns(2.0), 1).unwrap();
        assert!(found.within > found.between + 0.2 && found.p_value <= 0.002, "{found:?}");
        assert_eq!(found, likeness(&patterns(2.0), 1).unwrap());
        let none = likeness(&patterns(0.0), 1).unwrap();
        assert!(none.p_value > 0.05 && none.chance[0] < 0.0 && none.chance[1] > 0.0, "{none:?}");
        // The range of chance and the p-value say the same, however strong the pattern.
        for signal in 0..12 {
            let found = likeness(&patterns(0.05 * signal as f32), 1).unwrap();
            let difference = found.within - found.between;
            let outside = difference < found.chance[0] || difference > found.chance[1];
            assert_eq!(outside, found.p_value < 0.05, "{found:?}");
        }
        let one: Vec<Pattern> = patterns(1.0).into_iter().filter(|p| p.generator == 0).collect();
        assert!(likeness(&one, 1).unwrap_err().undefined_because.unwrap().contains("two generators"));
        let mut flat = patterns(1.0);
        flat[3].cells = vec![0.5; 64];
        assert!(likeness(&flat, 1).unwrap_err().undefined_because.unwrap().contains("flat"));
    }

    #[test]
    fn cells_are_means_that_add_up_to_one() {
        let side = 64;
        let map: Vec<f32> = (0..side * side).map(|i| if i % side < 32 { 3.0 } else { 1.0 }).collect();
        let found = cells(&map, side);
        assert_eq!(found.len(), GRID * GRID);
        assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-4 && (found[0] / found[GRID - 1] - 3.0).abs() < 1e-4);
        assert!(cells(&[0.0; 16], 4).iter().all(|v| *v == 0.0));
        // 1, 2, 2, 4 against 1, 3, 2, 4: ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4.
        let found = rank_correlation(&[1.0, 2.0, 2.0, 4.0], &[1.0, 3.0, 2.0, 4.0]).unwrap();
        assert!((found - 0.948_683_3).abs() < 1e-6, "{found}");
    }
}
