//! Splits by identity: people who share a video (as target and donor) are never parted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::classes::ClassList;
use crate::error::DataError;
use crate::handwritten::{self, Fault};
use crate::layouts;
use crate::manifest::{Label, Row, Status};

/// Fewest people that can be tested on people never trained on.
pub const MIN_PEOPLE: usize = 6;
/// Fewest people in a test fold for whom intervals are given.
pub const MIN_PEOPLE_FOR_INTERVALS: usize = 5;

/// A group of people that no split cuts, in a fold. Donors are drawn inside the cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The cell's name, e.g. `fold2.a`.
    pub name: String,
    /// The fold it belongs to, e.g. `fold2`.
    pub fold: String,
    /// The people in it.
    pub people: Vec<String>,
}

/// Puts `people` into folds of (nearly) equal size, and each fold of four or more into two cells.
///
/// There are as many folds as leave five people in each, from three to five: one to test on, the
/// others to train on, one cell of which is kept for stopping early. People are dealt out as pairs (where a cell's
/// size is odd, its last group is a triple): the first in the order of a keyed hash (BLAKE3 of seed and name), and
/// those of the others whom `unlike` finds most like it. So a donor from the same cell resembles the target, as forgers
/// choose them, and every cell still holds all sorts of people. Equal distances leave the order of the hash, whatever
/// the order given.
///
/// # Errors
/// [`DataError::TooFewPeople`] under [`MIN_PEOPLE`].
pub fn cells(people: &BTreeSet<String>, seed: u64, unlike: &dyn Fn(&str, &str) -> f64) -> Result<Vec<Cell>, DataError> {
    if people.len() < MIN_PEOPLE {
        return Err(DataError::TooFewPeople { found: people.len(), needed: MIN_PEOPLE });
    }
    let folds = (people.len() / MIN_PEOPLE_FOR_INTERVALS).clamp(3, 5);
    let mut left = by_hash(people.iter().cloned(), seed);
    let mut cells = Vec::new();
    for k in 0..folds {
        let members = people.len() / folds + usize::from(k < people.len() % folds);
        let first = if members >= 4 { members.div_ceil(2) } else { members };
        for (letter, size) in [("a", first), ("b", members - first)].into_iter().filter(|(_, size)| *size > 0) {
            let mut part: Vec<String> = Vec::new();
            while part.len() < size {
                let anchor = left.remove(0);
                let group = if size - part.len() == 3 { 3 } else { 2 };
                part.push(anchor.clone());
                for _ in 1..group.min(size - part.len() + 1) {
                    let nearest = (0..left.len())
                        .min_by(|&i, &j| unlike(&anchor, &left[i]).total_cmp(&unlike(&anchor, &left[j])));
                    part.extend(nearest.map(|i| left.remove(i)));
                }
            }
            let fold = format!("fold{}", k + 1);
            cells.push(Cell { name: format!("{fold}.{letter}"), fold, people: part });
        }
    }
    Ok(cells)
}

/// The names in an order that depends on the seed and on each name alone.
pub fn by_hash(names: impl IntoIterator<Item = String>, seed: u64) -> Vec<String> {
    let mut keyed: Vec<_> = names
        .into_iter()
        .map(|name| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
            (*hasher.finalize().as_bytes(), name)
        })
        .collect();
    keyed.sort();
    keyed.into_iter().map(|(_, name)| name).collect()
}

/// The rows that one round of cross-fitting learns from, stops on and tests on, as indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// The fold that is tested.
    pub fold: String,
    /// Rows to train on.
    pub train: Vec<usize>,
    /// Rows to stop early on: one cell of the next fold.
    pub valid: Vec<usize>,
    /// Rows to test on.
    pub test: Vec<usize>,
}

/// The rounds of cross-fitting over the folds of a forged manifest: each fold is tested once, by a
/// detector that never saw its people. Rows whose status is not `ok`, and those that a split left out
/// (their `split` is empty), are in none.
///
/// # Errors
/// A row without a cell, fewer than three folds, or an identity in two of a round's parts.
pub fn rounds(rows: &[Row]) -> Result<Vec<Round>, DataError> {
    let error = |row: Option<usize>, message: &str| DataError::Table {
        path: "manifest".into(),
        row: row.map(|r| r + 1),
        message: message.into(),
    };
    let mut cells: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let in_a_fold = |row: &Row| row.status == Status::Ok && !row.split.is_empty();
    for (i, row) in rows.iter().enumerate().filter(|(_, r)| in_a_fold(r)) {
        let Some(cell) = row.cell.as_deref() else {
            return Err(error(Some(i), "the cell is needed to keep people apart; forge and `data split` write it"));
        };
        cells.entry(&row.split).or_default().insert(cell);
    }
    let folds: Vec<&str> = cells.keys().copied().collect();
    if folds.len() < 3 {
        return Err(error(
            None,
            "at least three folds are needed (column split): to train, to stop early and to test on",
        ));
    }
    let mut rounds = Vec::new();
    for (k, &fold) in folds.iter().enumerate() {
        let next = folds[(k + 1) % folds.len()];
        let held_out = cells[next].first().copied();
        let mut round = Round { fold: fold.into(), train: Vec::new(), valid: Vec::new(), test: Vec::new() };
        for (i, row) in rows.iter().enumerate().filter(|(_, r)| in_a_fold(r)) {
            let part = match row {
                _ if row.split == fold => &mut round.test,
                _ if row.cell.as_deref() == held_out => &mut round.valid,
                _ => &mut round.train,
            };
            part.push(i);
        }
        let parts = [("test", &round.test), ("valid", &round.valid), ("train", &round.train)];
        check(parts.iter().flat_map(|(name, part)| part.iter().map(|&i| (*name, &rows[i]))))?;
        rounds.push(round);
    }
    Ok(rounds)
}

/// Proves that no identity, a target's or a donor's, is in two splits.
///
/// # Errors
/// [`DataError::Leak`] names the first identity that is.
pub fn check<'a>(rows: impl IntoIterator<Item = (&'a str, &'a Row)>) -> Result<(), DataError> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (split, row) in rows {
        for identity in row.people() {
            let first = *seen.entry(identity).or_insert(split);
            if first != split {
                return Err(DataError::Leak { identity: identity.into(), first: first.into(), second: split.into() });
            }
        }
    }
    Ok(())
}

/// The connected components of the graph of identities, whose edges join a video's target and its
/// donor: the smallest groups that a split may move as one. Sorted by their first name.
pub fn components<'a>(pairs: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Vec<BTreeSet<&'a str>> {
    // Union-find, with the numbers of names in the order they come.
    let mut number: BTreeMap<&str, usize> = BTreeMap::new();
    let mut parent: Vec<usize> = Vec::new();
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    for (target, donor) in pairs {
        let mut node = |name| {
            *number.entry(name).or_insert_with(|| {
                parent.push(parent.len());
                parent.len() - 1
            })
        };
        let (a, b) = (node(target), node(donor.unwrap_or(target)));
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        parent[a.max(b)] = a.min(b);
    }
    let mut groups: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    for (name, i) in number {
        groups.entry(root(&mut parent, i)).or_default().insert(name);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort();
    groups
}

/// The components of the people in these rows.
pub fn components_of(rows: &[Row]) -> Vec<BTreeSet<&str>> {
    components(rows.iter().filter(|r| r.status == Status::Ok).flat_map(|row| {
        let target = row.identity.as_str();
        row.people().map(move |person| (target, Some(person)))
    }))
}

/// An identity that is in more than one split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The identity, a target's or a donor's.
    pub identity: String,
    /// The splits that hold it, by name.
    pub splits: Vec<String>,
}

/// Every identity, a target's or a donor's, that is in more than one split, by name. Rows without a split, or whose
/// status is not `ok`, are in none.
pub fn leaks(rows: &[Row]) -> Vec<Leak> {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.status == Status::Ok && !r.split.is_empty()) {
        for person in row.people() {
            seen.entry(person).or_default().insert(&row.split);
        }
    }
    let several = seen.into_iter().filter(|(_, splits)| splits.len() > 1);
    several
        .map(|(identity, splits)| Leak {
            identity: identity.to_owned(),
            splits: splits.into_iter().map(str::to_owned).collect(),
        })
        .collect()
}

/// Under so many people, cross-fitting over folds; from here on, one split into train, val and test.
pub const MIN_PEOPLE_FOR_ONE_SPLIT: usize = 40;

/// Into what a data set is split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scheme {
    /// Folds under [`MIN_PEOPLE_FOR_ONE_SPLIT`] people, `train`, `val` and `test` (72 : 14 : 14, as FaceForensics++)
    /// from there on.
    Auto,
    /// `train`, `val` and `test` in these proportions.
    Ratios([f64; 3]),
    /// Folds `fold1`, `fold2`, ... for [`rounds`], each of two cells where there are enough components.
    Folds(usize),
}

/// How a data set is split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitOptions {
    /// Into what.
    pub scheme: Scheme,
    /// Seed of the order in which components of equal size are placed.
    pub seed: u64,
    /// Put people, not components, into splits, and leave out the videos that join two splits.
    pub cut: bool,
}

/// A data set, split.
#[derive(Clone, Debug, PartialEq)]
pub struct Assigned {
    /// The rows, with `split` and `cell`.
    pub rows: Vec<Row>,
    /// The names of the splits.
    pub splits: Vec<String>,
    /// People, targets and donors alike.
    pub people: usize,
    /// Groups of people that were placed as one.
    pub units: usize,
    /// Videos that are in no split, with the reason.
    pub left_out: Vec<String>,
}

/// Splits rows so that no identity, a target's or a donor's, is in two splits.
///
/// What is placed as one is a connected component of the graph of people (with `cut`: a person). Components are placed
/// by size, then by a keyed hash of their first name (BLAKE3 of seed and name), each where it brings the shares of every
/// generator and of people nearest to those that the splits are due (least chi-square). The outcome depends neither on
/// the order of the rows nor on threads.
///
/// # Errors
/// [`DataError::TooFewPeople`] under [`MIN_PEOPLE`]; [`DataError::Joined`] where so many people are joined that a split
/// would stay empty or take up far more than it is due.
pub fn assign(rows: &[Row], options: &SplitOptions) -> Result<Assigned, DataError> {
    let components = components_of(rows);
    let people: usize = components.iter().map(BTreeSet::len).sum();
    if people < MIN_PEOPLE {
        return Err(DataError::TooFewPeople { found: people, needed: MIN_PEOPLE });
    }
    let largest = components.iter().map(BTreeSet::len).max().unwrap_or_default();
    let units: Vec<BTreeSet<&str>> = match options.cut {
        true => components.into_iter().flatten().map(|person| BTreeSet::from([person])).collect(),
        false => components,
    };
    // Proportions, or a number of folds.
    let scheme: Result<[f64; 3], usize> = match options.scheme {
        Scheme::Ratios(ratios) => Ok(ratios),
        Scheme::Folds(folds) => Err(folds),
        Scheme::Auto if people < MIN_PEOPLE_FOR_ONE_SPLIT => Err((people / MIN_PEOPLE_FOR_INTERVALS).clamp(3, 5)),
        Scheme::Auto => Ok([0.72, 0.14, 0.14]),
    };
    // Parts: the name of the split, of the cell in it, and its share.
    let parts: Vec<(String, String, f64)> = match scheme {
        Ok(ratios) => {
            let sum: f64 = ratios.iter().sum();
            let names = ["train", "val", "test"].iter().zip(ratios).filter(|(_, r)| *r > 0.0);
            names.map(|(name, ratio)| ((*name).to_owned(), (*name).to_owned(), ratio / sum)).collect()
        }
        Err(folds) => {
            let letters = if units.len() >= 2 * folds { &["a", "b"][..] } else { &["a"][..] };
            let share = 1.0 / (folds * letters.len()) as f64;
            let cells = (1..=folds).flat_map(|k| letters.iter().map(move |letter| (k, letter)));
            cells.map(|(k, letter)| (format!("fold{k}"), format!("fold{k}.{letter}"), share)).collect()
        }
    };
    let unit_of: BTreeMap<&str, usize> =
        units.iter().enumerate().flat_map(|(i, unit)| unit.iter().map(move |person| (*person, i))).collect();
    let mut strata: Vec<BTreeMap<String, f64>> =
        units.iter().map(|unit| BTreeMap::from([("people".to_owned(), unit.len() as f64)])).collect();
    for row in rows.iter().filter(|r| r.status == Status::Ok) {
        let units: BTreeSet<usize> = row.people().filter_map(|p| unit_of.get(p).copied()).collect();
        if let [unit] = units.into_iter().collect::<Vec<_>>()[..] {
            *strata[unit].entry(format!("generator {}/{}", row.dataset, row.generator)).or_default() += 1.0;
        }
    }
    let names: Vec<&str> = units.iter().map(|unit| unit.first().copied().unwrap_or_default()).collect();
    let shares: Vec<f64> = parts.iter().map(|(_, _, share)| *share).collect();
    let place = balance(&names, &strata, &shares, options.seed);
    let of_people = |split: &str| -> f64 {
        let here = place.iter().enumerate().filter(|(_, p)| parts[**p].0 == split);
        here.map(|(unit, _)| units[unit].len() as f64).sum::<f64>() / people as f64
    };
    let mut due: BTreeMap<&str, f64> = BTreeMap::new();
    for (split, _, share) in &parts {
        *due.entry(split).or_default() += share;
    }
    if due.iter().any(|(split, due)| of_people(split) == 0.0 || of_people(split) > due + 0.15) {
        return Err(DataError::Joined { largest, people });
    }
    let mut left_out = Vec::new();
    let assigned = rows.iter().map(|row| {
        let places: BTreeSet<usize> = row.people().filter_map(|p| unit_of.get(p)).map(|&unit| place[unit]).collect();
        if let (1, Some(&here)) = (places.len(), places.first()) {
            let component = || row.people().next().and_then(|p| unit_of.get(p)).map(|&unit| names[unit].to_owned());
            let cell = if scheme.is_ok() && !options.cut { component() } else { Some(parts[here].1.clone()) };
            return Row { split: parts[here].0.clone(), cell, ..row.clone() };
        }
        let mut reason = row.reason.clone();
        if row.status == Status::Ok {
            let cells: Vec<&str> = places.iter().map(|&p| parts[p].1.as_str()).collect();
            left_out.push(format!("{} (joins {})", row.video, cells.join(" and ")));
            reason = Some(format!("in no split: joins {}", cells.join(" and ")));
        }
        Row { split: String::new(), cell: None, reason, ..row.clone() }
    });
    let rows = assigned.collect();
    let splits = due.keys().map(|s| (*s).to_owned()).collect();
    Ok(Assigned { rows, splits, people, units: units.len(), left_out })
}

/// Which part each unit goes to.
fn balance(names: &[&str], strata: &[BTreeMap<String, f64>], shares: &[f64], seed: u64) -> Vec<usize> {
    let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
    for (stratum, count) in strata.iter().flatten() {
        *totals.entry(stratum).or_default() += count;
    }
    let rank: BTreeMap<String, usize> =
        by_hash(names.iter().map(|n| (*n).to_owned()), seed).into_iter().enumerate().map(|(i, n)| (n, i)).collect();
    let size = |unit: usize| strata[unit].values().sum::<f64>();
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|&a, &b| size(b).total_cmp(&size(a)).then(rank[names[a]].cmp(&rank[names[b]])));
    let mut filled: Vec<BTreeMap<&str, f64>> = vec![BTreeMap::new(); shares.len()];
    let mut place = vec![0; names.len()];
    for unit in order {
        let cost = |part: usize| -> f64 {
            let terms = strata[unit].iter().map(|(stratum, count)| {
                let total = totals[stratum.as_str()];
                let have = filled[part].get(stratum.as_str()).copied().unwrap_or_default() / total;
                let more = count / total;
                ((have + more - shares[part]).powi(2) - (have - shares[part]).powi(2)) / shares[part]
            });
            terms.sum()
        };
        let costs: Vec<f64> = (0..shares.len()).map(cost).collect();
        let best = (1..shares.len()).fold(0, |best, part| if costs[part] < costs[best] - 1e-12 { part } else { best });
        place[unit] = best;
        for (stratum, count) in &strata[unit] {
            *filled[best].entry(stratum.as_str()).or_default() += count;
        }
    }
    place
}

/// The official split of FaceForensics++: `train.json`, `val.json` and `test.json` in `folder`, each a list of pairs of
/// sequences (Roessler et al., ICCV 2019; ondyari/FaceForensics, `dataset/splits`).
///
/// A row belongs to the split that lists all sequences of FaceForensics++ in it; other people in it (the actors of
/// DeeperForensics) don't count, which [`leaks`] then shows. Rows without a listed sequence, or with sequences of two
/// splits, are left out.
///
/// # Errors
/// A file that is missing or is no list of pairs, or a sequence that is in two of them.
pub fn official(rows: &[Row], folder: &Path) -> Result<Assigned, DataError> {
    let mut split_of: BTreeMap<String, &str> = BTreeMap::new();
    for split in ["train", "val", "test"] {
        let path = folder.join(format!("{split}.json"));
        let text = handwritten::read(&path)?;
        let error = |message: String| DataError::Table { path: path.clone(), row: None, message };
        let pairs: Vec<[String; 2]> = handwritten::from_json(&text).map_err(|fault| {
            let message = format!("expected a list of pairs of sequences: {}", fault.message);
            Fault { message, ..fault }.of(&path, "FaceForensics++ comes with these files, as [[\"071\", \"054\"], ...]")
        })?;
        for sequence in pairs.into_iter().flatten() {
            if let Some(other) = split_of.insert(sequence.clone(), split).filter(|other| *other != split) {
                return Err(error(format!("sequence {sequence} is also in {other}.json")));
            }
        }
    }
    let mut left_out = Vec::new();
    let mut people = BTreeSet::new();
    let rows = rows.iter().map(|row| {
        let splits: BTreeSet<&str> =
            layouts::sequences(row).iter().filter_map(|s| split_of.get(s.as_str()).copied()).collect();
        let split = match splits.len() {
            1 => splits.first().copied().unwrap_or_default(),
            n => {
                if row.status == Status::Ok {
                    let why = if n == 0 { "in no official list" } else { "sequences of two splits" };
                    left_out.push(format!("{} ({why})", row.video));
                }
                ""
            }
        };
        if !split.is_empty() {
            people.extend(row.people().map(str::to_owned));
        }
        Row { split: split.to_owned(), cell: None, ..row.clone() }
    });
    let rows: Vec<Row> = rows.collect();
    let splits = ["test", "train", "val"].map(str::to_owned).into();
    let units = components_of(&rows).len();
    Ok(Assigned { rows, splits, people: people.len(), units, left_out })
}

/// The one round of a manifest split into `train`, `val` and `test`. Rows whose status is not `ok` are in none.
///
/// # Errors
/// An identity in two of the parts, or no row to train or to test on.
pub fn one_round(rows: &[Row]) -> Result<Round, DataError> {
    let part = |name: &str| -> Vec<usize> {
        (0..rows.len()).filter(|&i| rows[i].status == Status::Ok && rows[i].split == name).collect()
    };
    let round = Round { fold: "test".into(), train: part("train"), valid: part("val"), test: part("test") };
    if round.train.is_empty() || round.test.is_empty() {
        let message = "no row has the split train, or none has the split test; `dubito data split` makes them".into();
        return Err(DataError::Table { path: "manifest".into(), row: None, message });
    }
    let parts = [("test", &round.test), ("val", &round.valid), ("train", &round.train)];
    check(parts.iter().flat_map(|(name, part)| part.iter().map(|&i| (*name, &rows[i]))))?;
    Ok(round)
}

/// A round that leaves out a family of generators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyRound {
    /// The family that is left out.
    pub family: String,
    /// What is learned and tested: `train` and `valid` hold nothing that gives the family away; `test` holds the real
    /// videos of the round and the fakes that are of this family alone.
    pub round: Round,
    /// Fakes of the round's test part that are neither of this family alone nor unlike it: combinations of it with
    /// another family, part of which was seen in training, and what resembles it.
    pub set_aside: Vec<usize>,
}

/// Leave-one-family-out: for each round, and each family that some fake in it is of, a round without that family.
///
/// What gives the family away ([`ClassList::gives_away`]: its generators, combinations with one of them, self-blends
/// where it blends) is neither trained on nor used to stop early or to calibrate. Families without a test video in a
/// round, and those that would leave no fake to train on, make no round.
pub fn leave_one_family_out(rows: &[Row], rounds: &[Round], classes: &ClassList) -> Vec<FamilyRound> {
    let families_of = |i: usize| classes.families(&rows[i].dataset, &rows[i].generator);
    let mut found = Vec::new();
    for round in rounds {
        let fakes = |part: &[usize]| part.iter().copied().filter(|&i| rows[i].label == Label::Fake).collect::<Vec<_>>();
        let families: BTreeSet<String> = fakes(&round.test).into_iter().flat_map(families_of).collect();
        for family in families {
            let unlike = |&i: &usize| {
                rows[i].label == Label::Real || !classes.gives_away(&rows[i].dataset, &rows[i].generator, &family)
            };
            let keep = |part: &[usize]| part.iter().copied().filter(unlike).collect::<Vec<_>>();
            let alone = |&i: &usize| rows[i].label == Label::Real || families_of(i) == BTreeSet::from([family.clone()]);
            let set_aside = round.test.iter().copied().filter(|i| !unlike(i) && !alone(i)).collect();
            let test: Vec<usize> = round.test.iter().copied().filter(alone).collect();
            let kept = Round { fold: round.fold.clone(), train: keep(&round.train), valid: keep(&round.valid), test };
            if !fakes(&kept.test).is_empty() && !fakes(&kept.train).is_empty() {
                found.push(FamilyRound { family, round: kept, set_aside });
            }
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn people(n: usize) -> BTreeSet<String> {
        (0..n).map(|i| format!("p{i:02}")).collect()
    }

    /// One real video of each person, and a fake of each pair inside a cell.
    fn forged(cells: &[Cell]) -> Vec<Row> {
        let mut rows = Vec::new();
        for cell in cells {
            for target in &cell.people {
                for donor in std::iter::once(None).chain(cell.people.iter().filter(|p| *p != target).map(Some)) {
                    rows.push(Row {
                        identity: target.clone(),
                        donor: donor.cloned(),
                        split: cell.fold.clone(),
                        cell: Some(cell.name.clone()),
                        ..Row::default()
                    });
                }
            }
        }
        rows
    }

    proptest! {
        #[test]
        fn no_identity_crosses_and_nobody_is_lost(n in 6_usize..60, seed: u64) {
            let cells = cells(&people(n), seed, &|_, _| 0.0).unwrap();
            let placed: Vec<_> = cells.iter().flat_map(|c| &c.people).collect();
            prop_assert_eq!(placed.len(), n);
            prop_assert!(cells.iter().all(|c| c.people.len() >= 2), "a cell without a donor");
            let rows = forged(&cells);
            let rounds = rounds(&rows).unwrap();
            let mut tested = vec![0; rows.len()];
            for round in &rounds {
                prop_assert!(!round.train.is_empty() && !round.valid.is_empty());
                prop_assert_eq!(round.train.len() + round.valid.len() + round.test.len(), rows.len());
                round.test.iter().for_each(|&i| tested[i] += 1);
            }
            prop_assert!(tested.iter().all(|&t| t == 1));
            let sizes: Vec<_> = rounds.iter().map(|r| r.test.iter().filter(|&&i| rows[i].donor.is_none()).count()).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn sixteen_people_leave_five_in_each_fold() {
        let cells = cells(&people(16), 0, &|_, _| 0.0).unwrap();
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        for cell in &cells {
            *sizes.entry(&cell.fold).or_default() += cell.people.len();
        }
        assert_eq!(sizes.values().copied().collect::<Vec<_>>(), [6, 5, 5]);
        // Whoever is alike shares a cell: here by the number in the name, which comes in no order from the hash.
        let number = |name: &str| name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<f64>().unwrap();
        let alike = super::cells(&people(40), 3, &|a, b| (number(a) - number(b)).abs()).unwrap();
        let beside = |cell: &Cell| {
            let numbers: Vec<f64> = cell.people.iter().map(|p| number(p)).collect();
            numbers.iter().filter(|n| numbers.iter().any(|m| (*n - m).abs() == 1.0)).count()
        };
        assert!(alike.iter().map(beside).sum::<usize>() >= 30, "most have a neighbour in their cell");
        assert!(matches!(
            super::cells(&people(5), 0, &|_, _| 0.0),
            Err(DataError::TooFewPeople { found: 5, needed: 6 })
        ));
    }

    #[test]
    fn a_leak_is_named_also_by_way_of_a_donor() {
        let row = |identity: &str, donor: Option<&str>| Row {
            identity: identity.into(),
            donor: donor.map(Into::into),
            ..Row::default()
        };
        let rows = [("train", row("a", None)), ("test", row("b", Some("a")))];
        let leak = check(rows.iter().map(|(s, r)| (*s, r))).unwrap_err();
        assert!(matches!(leak, DataError::Leak { identity, .. } if identity == "a"));
    }

    #[test]
    fn pairs_that_share_a_person_are_one_component() {
        let pairs = [("a", Some("b")), ("c", None), ("d", Some("e")), ("e", Some("b"))];
        let found = components(pairs);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].iter().copied().collect::<Vec<_>>(), ["a", "b", "d", "e"]);
    }
}
