//! Where no split was kept for choosing on: people set apart for it, drawn by a seed.

use std::collections::{BTreeMap, BTreeSet};

use crate::ReportError;
use crate::input::rows::mixed;
use crate::scores::{ClusteredBy, Origin, Scores};

/// Who is set apart to choose thresholds, recalibration and guarantees on, where the files have no split for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetApart {
    /// Share of the units (videos, or items) that should be chosen on. Above 0, below 1.
    pub share: f64,
    /// Seed of the draw.
    pub seed: u64,
}

impl Scores {
    /// The scores in two: those to choose on and those to judge.
    ///
    /// Drawn are whole groups: people joined by a video, as target and donor; where people are not known, videos or
    /// items. A group's place in the draw depends on the seed and the names in it alone. Fakes of the generators that
    /// are `unseen`, or set aside, are left out of the first part: nothing that is chosen may have met them.
    ///
    /// Errors: all are joined, or there is one group only.
    pub fn set_apart(&self, how: SetApart, unseen: &BTreeSet<String>) -> Result<(Self, Self), ReportError> {
        let groups = self.groups();
        let count = groups.iter().copied().max().map_or(0, |last| last as usize + 1);
        let mut sizes = vec![0_usize; count];
        let mut keys = vec![u64::MAX; count];
        for (unit, &group) in groups.iter().enumerate() {
            sizes[group as usize] += 1;
            // The smallest number of a member stands for the group, whatever the order.
            let key = &mut keys[group as usize];
            *key = (*key).min(hash(self.cluster_name(unit), how.seed));
        }
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|&group| keys[group]);
        let wanted = how.share * groups.len() as f64;
        let (mut is_apart, mut taken) = (vec![false; count], 0.0);
        for group in order {
            // Taken where that brings the share nearer.
            if taken + sizes[group] as f64 / 2.0 < wanted {
                is_apart[group] = true;
                taken += sizes[group] as f64;
            }
        }
        if taken == 0.0 || taken as usize == groups.len() {
            return Err(ReportError::NobodyApart { groups: count });
        }
        let is_new = |unit: usize| match self.units.origin(unit) {
            Origin::Generator(name) => unseen.contains(name) || self.not_learned.set_aside.contains(name),
            _ => false,
        };
        let chosen_on = |unit: usize| is_apart[groups[unit] as usize] && !is_new(unit);
        let judged = |unit: usize| !is_apart[groups[unit] as usize];
        let who = self.clustered_by.plural();
        Ok((
            self.part(&format!("{who} set apart by seed {}", how.seed), chosen_on),
            self.part(&format!("the other {who}"), judged),
        ))
    }

    /// For each unit the number of its group: of its person and all who share a video with them.
    fn groups(&self) -> Vec<u32> {
        let (Some(identity), ClusteredBy::Identity) = (self.units.fact("identity"), self.clustered_by) else {
            return (0..self.units.len() as u32).collect();
        };
        let mut number: BTreeMap<&str, usize> = BTreeMap::new();
        let mut parent: Vec<usize> = Vec::new();
        let mut node = |name, parent: &mut Vec<usize>| {
            *number.entry(name).or_insert_with(|| {
                parent.push(parent.len());
                parent.len() - 1
            })
        };
        fn root(parent: &mut [usize], mut i: usize) -> usize {
            while parent[i] != i {
                parent[i] = parent[parent[i]];
                i = parent[i];
            }
            i
        }
        let mut own = Vec::with_capacity(self.units.len());
        for unit in 0..self.units.len() {
            let target = node(identity.of(unit).unwrap_or_default(), &mut parent);
            let donor = self.units.text("donor", unit).map(|donor| node(donor, &mut parent));
            if let Some(donor) = donor {
                let (a, b) = (root(&mut parent, target), root(&mut parent, donor));
                parent[a.max(b)] = a.min(b);
            }
            own.push(target);
        }
        let mut numbers: BTreeMap<usize, u32> = BTreeMap::new();
        let group = |node| {
            let next = numbers.len() as u32;
            *numbers.entry(root(&mut parent, node)).or_insert(next)
        };
        own.into_iter().map(group).collect()
    }

    /// What a unit is drawn by: the person's name; its own, where people are not known.
    fn cluster_name(&self, unit: usize) -> &str {
        match self.clustered_by {
            ClusteredBy::Identity => self.units.text("identity", unit).unwrap_or_default(),
            _ => self.units.name(unit),
        }
    }
}

/// 64-bit FNV-1a of a name, mixed with the seed.
fn hash(name: &str, seed: u64) -> u64 {
    let hash = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    mixed(name.bytes().fold(0xcbf2_9ce4_8422_2325, hash) ^ mixed(seed))
}
