//! Items in order of a score: what AUROC, EER, AURC and their like are computed from.
//!
//! Items of equal score have no order among them. A curve therefore walks over *blocks* of equal
//! scores, and of each it tells how many of its items are hits (positives, errors) and how many are not:
//! whole numbers, so no result depends on the order of the items.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::weighted::Undefined;

/// From this number of items on, they are dealt into buckets before they are sorted.
const MANY: usize = 1 << 16;
const BUCKETS: usize = 1 << 11;

/// Items sorted by a score, each a hit or not.
pub struct Ranking {
    /// In rising order of the score.
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    score: f64,
    item: u32,
    hit: bool,
}

/// Sort by score. No score is NaN, so the comparison is total; it is faster than `total_cmp`, and 0 is -0.
fn sort(entries: &mut [Entry]) {
    entries.sort_unstable_by(|a, b| {
        if a.score < b.score {
            Ordering::Less
        } else if a.score > b.score {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    });
}

/// From which end a [`Curve`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// With the lowest score.
    Rising,
    /// With the highest score.
    Falling,
}

/// Items of one score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Block {
    /// Their score.
    pub score: f64,
    /// Number (weight) of the hits.
    pub hits: u64,
    /// Number (weight) of the others.
    pub others: u64,
}

impl Ranking {
    /// Rank items (at most `u32::MAX`) by their scores, which must not be NaN; 0 and -0 are tied. `hits` has
    /// as many entries.
    pub fn new(scores: &[f64], hits: &[bool]) -> Self {
        let entry = |(item, (&score, &hit)): (usize, (&f64, &bool))| Entry { score, item: item as u32, hit };
        let entries = || scores.iter().zip(hits).enumerate().map(entry);
        let (low, high) =
            scores.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &s| (low.min(s), high.max(s)));
        let scale = (BUCKETS - 1) as f64 / (high - low);
        if scores.len() < MANY || !scale.is_normal() {
            let mut entries: Vec<Entry> = entries().collect();
            sort(&mut entries);
            return Self { entries };
        }
        // Many items are first dealt by their score, so that each bucket is sorted within the cache.
        let bucket = |score: f64| (((score - low) * scale) as usize).min(BUCKETS - 1);
        let mut counts = vec![0; BUCKETS];
        scores.iter().for_each(|&score| counts[bucket(score)] += 1);
        let mut next = vec![0; BUCKETS];
        (1..BUCKETS).for_each(|b| next[b] = next[b - 1] + counts[b - 1]);
        let mut dealt = vec![Entry::default(); scores.len()];
        for entry in entries() {
            let place = &mut next[bucket(entry.score)];
            dealt[*place] = entry;
            *place += 1;
        }
        let mut parts = Vec::with_capacity(BUCKETS);
        let mut rest = dealt.as_mut_slice();
        for count in counts {
            let (part, behind) = rest.split_at_mut(count);
            parts.push(part);
            rest = behind;
        }
        parts.into_par_iter().for_each(sort);
        Self { entries: dealt }
    }

    /// The ranking of those items alone of which `keep`, asked with their index, says so: of `count` items.
    pub(crate) fn select(&self, count: usize, keep: impl Fn(usize) -> bool) -> Self {
        // Without a branch, since nobody can foretell it: each entry is written, and left where it is to be kept.
        let mut entries = vec![Entry::default(); count + 1];
        let mut kept = 0;
        for entry in &self.entries {
            entries[kept] = *entry;
            kept += usize::from(keep(entry.item as usize));
        }
        entries.truncate(count);
        Self { entries }
    }

    /// The ranking where item `i` counts `weights[i]` times, or each once.
    pub fn curve<'a>(&'a self, weights: Option<&'a [u32]>, order: Order) -> Curve<'a> {
        let mut curve = Curve { ranking: self, weights, order, hits: 0, others: 0 };
        for entry in &self.entries {
            let (hits, others) = curve.weights(entry);
            curve.hits += hits;
            curve.others += others;
        }
        curve
    }
}

/// A [`Ranking`] seen from one end, its items counted as often as their weights say.
#[derive(Clone, Copy)]
pub struct Curve<'a> {
    ranking: &'a Ranking,
    weights: Option<&'a [u32]>,
    order: Order,
    /// Number (weight) of all hits.
    pub hits: u64,
    /// Number (weight) of all others.
    pub others: u64,
}

impl Curve<'_> {
    /// The same curve seen from the other end.
    pub fn reversed(self) -> Self {
        let order = match self.order {
            Order::Rising => Order::Falling,
            Order::Falling => Order::Rising,
        };
        Self { order, ..self }
    }

    /// Number (weight) of all items; an error where there are none.
    pub fn items(&self) -> Result<u64, Undefined> {
        let items = self.hits + self.others;
        if items > 0 { Ok(items) } else { Err(Undefined::NoItems) }
    }

    /// Numbers of hits and of others; an error where there are none of one of them.
    pub fn both(&self) -> Result<(u64, u64), Undefined> {
        match (self.hits, self.others) {
            (0, 0) => Err(Undefined::NoItems),
            (0, _) => Err(Undefined::NoPositives),
            (_, 0) => Err(Undefined::NoNegatives),
            both => Ok(both),
        }
    }

    /// Call `visit` for each block from the curve's end on. Blocks without weight are left out.
    pub fn blocks(&self, visit: impl FnMut(Block)) {
        match self.order {
            Order::Rising => self.walk(self.ranking.entries.iter(), visit),
            Order::Falling => self.walk(self.ranking.entries.iter().rev(), visit),
        }
    }

    fn walk<'e>(&self, entries: impl Iterator<Item = &'e Entry>, mut visit: impl FnMut(Block)) {
        let mut block = Block::default();
        for entry in entries {
            if entry.score != block.score {
                if block.hits + block.others > 0 {
                    visit(block);
                }
                block = Block { score: entry.score, hits: 0, others: 0 };
            }
            let (hits, others) = self.weights(entry);
            block.hits += hits;
            block.others += others;
        }
        if block.hits + block.others > 0 {
            visit(block);
        }
    }

    /// How often an entry counts as a hit and as another. Without a branch, since nobody can foretell it.
    fn weights(&self, entry: &Entry) -> (u64, u64) {
        let weight = self.weights.map_or(1, |weights| u64::from(weights[entry.item as usize]));
        let hits = weight * u64::from(entry.hit);
        (hits, weight - hits)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{MANY, Order, Ranking};

    #[test]
    fn buckets_sort_as_sorting_does() {
        // Clustered, tied, negative, and (last) all in one bucket but one.
        let count = MANY + 1234;
        let scores: [fn(usize) -> f64; 4] = [
            |i| (i as f64 * 0.618).fract().powi(9),
            |i| (i % 7) as f64 - 3.0,
            |i| ((i * 7919) % 65_537) as f64 * -1e-300,
            |i| if i == 5 { 1e300 } else { (i % 100) as f64 },
        ];
        for score in scores {
            let mut expected: Vec<f64> = (0..count).map(score).collect();
            let hits: Vec<bool> = (0..count).map(|i| i % 3 == 0).collect();
            let ranking = Ranking::new(&expected, &hits);
            expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let found: Vec<f64> = ranking.entries.iter().map(|entry| entry.score).collect();
            assert_eq!(found, expected);
            assert!(ranking.entries.iter().all(|e| e.score == score(e.item as usize)));
            let curve = ranking.curve(None, Order::Rising);
            assert_eq!((curve.hits + curve.others, curve.hits), (count as u64, count.div_ceil(3) as u64));
        }
    }
}
