//! Items in order of a score: what AUROC, EER, AURC and their like are computed from.
//!
//! Items of equal score have no order among them. A curve therefore walks over *blocks* of equal
//! scores, and of each it tells how many of its items are hits (positives, errors) and how many are not:
//! whole numbers, so no result depends on the order of the items.

use rayon::prelude::*;

use crate::weighted::Undefined;

/// From this number of items on, they are dealt into buckets before they are sorted.
const MANY: usize = 1 << 16;
const BUCKETS: usize = 1 << 11;

/// Items sorted by a score, each a hit or not.
pub struct Ranking {
    /// In rising order of the score.
    entries: Vec<Entry>,
    /// Number of the hits.
    hits: u64,
}

/// One item: bits that sort as its score does, then its index, then whether it is a hit, in one number, which
/// sorts faster than three.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u128);

impl Entry {
    const SIGN: u64 = 1 << 63;

    fn new(score: f64, item: u32, hit: bool) -> Self {
        let bits = (score + 0.0).to_bits(); // 0 is -0
        let bits = if bits & Self::SIGN == 0 { bits | Self::SIGN } else { !bits };
        Self(u128::from(bits) << 64 | u128::from(item) << 1 | u128::from(hit))
    }

    /// The bits of the score: equal scores have equal ones.
    fn bits(self) -> u64 {
        (self.0 >> 64) as u64
    }

    fn score(self) -> f64 {
        let bits = self.bits();
        f64::from_bits(if bits & Self::SIGN == 0 { !bits } else { bits & !Self::SIGN })
    }

    fn item(self) -> usize {
        (self.0 as u64 >> 1) as usize
    }

    fn hit(self) -> bool {
        self.0 & 1 == 1
    }
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
        let entry = |(item, (&score, &hit)): (usize, (&f64, &bool))| Entry::new(score, item as u32, hit);
        let count = hits.iter().map(|&hit| u64::from(hit)).sum();
        let entries = || scores.iter().zip(hits).enumerate().map(entry);
        let (low, high) =
            scores.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &s| (low.min(s), high.max(s)));
        let scale = (BUCKETS - 1) as f64 / (high - low);
        if scores.len() < MANY || !scale.is_normal() {
            let mut entries: Vec<Entry> = entries().collect();
            entries.sort_unstable();
            return Self { entries, hits: count };
        }
        // Many items are first dealt by their score, so that each bucket is sorted within the cache.
        let bucket = |score: f64| (((score - low) * scale) as usize).min(BUCKETS - 1);
        let mut counts = vec![0; BUCKETS];
        scores.iter().for_each(|&score| counts[bucket(score)] += 1);
        let mut next = vec![0; BUCKETS];
        (1..BUCKETS).for_each(|b| next[b] = next[b - 1] + counts[b - 1]);
        let mut dealt = vec![Entry::default(); scores.len()];
        for (entry, &score) in entries().zip(scores) {
            let place = &mut next[bucket(score)];
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
        parts.into_par_iter().for_each(<[Entry]>::sort_unstable);
        Self { entries: dealt, hits: count }
    }

    /// The ranking of those items alone of which `keep`, asked with their index, says so: of `count` items.
    pub(crate) fn select(&self, count: usize, keep: impl Fn(usize) -> bool) -> Self {
        // Without a branch, since nobody can foretell it: each entry is written, and left where it is to be kept.
        let mut entries = vec![Entry::default(); count + 1];
        let (mut kept, mut hits) = (0, 0);
        for &entry in &self.entries {
            entries[kept] = entry;
            let keeps = keep(entry.item());
            kept += usize::from(keeps);
            hits += u64::from(keeps & entry.hit());
        }
        entries.truncate(count);
        Self { entries, hits }
    }

    /// The ranking where item `i` counts `weights[i]` times, or each once.
    pub fn curve<'a>(&'a self, weights: Option<&'a [u32]>, order: Order) -> Curve<'a> {
        let (hits, others) = match weights {
            None => (self.hits, self.entries.len() as u64 - self.hits),
            Some(weights) => self.entries.iter().fold((0, 0), |(all_hits, all_others), &entry| {
                let (hits, others) = weighted(entry, weights);
                (all_hits + hits, all_others + others)
            }),
        };
        Curve { ranking: self, weights, order, hits, others }
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
        let entries = self.ranking.entries.iter().copied();
        let once = |entry: Entry| (u64::from(entry.hit()), u64::from(!entry.hit()));
        match (self.order, self.weights) {
            (Order::Rising, None) => walk(entries, once, visit),
            (Order::Falling, None) => walk(entries.rev(), once, visit),
            (Order::Rising, Some(weights)) => walk(entries, |entry| weighted(entry, weights), visit),
            (Order::Falling, Some(weights)) => walk(entries.rev(), |entry| weighted(entry, weights), visit),
        }
    }
}

/// Calls `visit` for each block of entries, each of which counts so often as a hit and as another.
fn walk(entries: impl Iterator<Item = Entry>, weights: impl Fn(Entry) -> (u64, u64), mut visit: impl FnMut(Block)) {
    let (mut bits, mut block) = (0, Block::default());
    for entry in entries {
        if entry.bits() != bits {
            if block.hits + block.others > 0 {
                visit(block);
            }
            bits = entry.bits();
            block = Block { score: entry.score(), hits: 0, others: 0 };
        }
        let (hits, others) = weights(entry);
        block.hits += hits;
        block.others += others;
    }
    if block.hits + block.others > 0 {
        visit(block);
    }
}

/// How often an entry counts as a hit and as another. Without a branch, since nobody can foretell it.
fn weighted(entry: Entry, weights: &[u32]) -> (u64, u64) {
    let weight = u64::from(weights[entry.item()]);
    let hits = weight * u64::from(entry.hit());
    (hits, weight - hits)
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
            let found: Vec<f64> = ranking.entries.iter().map(|entry| entry.score()).collect();
            assert_eq!(found, expected);
            assert!(ranking.entries.iter().all(|e| e.score() == score(e.item())));
            let curve = ranking.curve(None, Order::Rising);
            assert_eq!((curve.hits + curve.others, curve.hits), (count as u64, count.div_ceil(3) as u64));
        }
    }
}
