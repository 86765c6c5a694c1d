//! Items in order of a score: what AUROC, EER, AURC and their like are computed from.
//!
//! Items of equal score have no order among them. A curve therefore walks over *blocks* of equal
//! scores, and of each it tells how many of its items are hits (positives, errors) and how many are not:
//! whole numbers, so no result depends on the order of the items.

use rayon::prelude::*;

use crate::weighted::Undefined;

/// Items sorted by a score, each a hit or not.
pub struct Ranking {
    /// In rising order of the score.
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    score: f64,
    item: u32,
    hit: bool,
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
    /// Rank `items` items (at most `u32::MAX`) by `score`, which must not be NaN; 0 and -0 are tied.
    pub fn new(items: usize, score: impl Fn(usize) -> f64, hit: impl Fn(usize) -> bool) -> Self {
        // Adding 0 turns -0 into 0, which `total_cmp` would tell apart.
        let entry = |i: usize| Entry { score: score(i) + 0.0, item: i as u32, hit: hit(i) };
        let mut entries: Vec<Entry> = (0..items).map(entry).collect();
        entries.par_sort_unstable_by(|a, b| a.score.total_cmp(&b.score));
        Self { entries }
    }

    /// The ranking where item `i` counts `weights[i]` times, or each once.
    pub fn curve<'a>(&'a self, weights: Option<&'a [u32]>, order: Order) -> Curve<'a> {
        let mut curve = Curve { ranking: self, weights, order, hits: 0, others: 0 };
        for entry in &self.entries {
            let weight = curve.weight(entry);
            if entry.hit {
                curve.hits += weight;
            } else {
                curve.others += weight;
            }
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
            let weight = self.weight(entry);
            if entry.hit {
                block.hits += weight;
            } else {
                block.others += weight;
            }
        }
        if block.hits + block.others > 0 {
            visit(block);
        }
    }

    fn weight(&self, entry: &Entry) -> u64 {
        self.weights.map_or(1, |weights| u64::from(weights[entry.item as usize]))
    }
}
