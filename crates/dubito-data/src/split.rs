//! Splits by identity: people who share a video (as target and donor) are never parted.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::DataError;
use crate::manifest::{Row, Status};

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
/// others to train on, one cell of which is kept for stopping early. The order is that of a keyed
/// hash (BLAKE3 of seed and name): it depends neither on the order given nor on who else is there.
///
/// # Errors
/// [`DataError::TooFewPeople`] under [`MIN_PEOPLE`].
pub fn cells(people: &BTreeSet<String>, seed: u64) -> Result<Vec<Cell>, DataError> {
    if people.len() < MIN_PEOPLE {
        return Err(DataError::TooFewPeople { found: people.len(), needed: MIN_PEOPLE });
    }
    let folds = (people.len() / MIN_PEOPLE_FOR_INTERVALS).clamp(3, 5);
    let ordered = by_hash(people.iter().cloned(), seed);
    let mut cells = Vec::new();
    for fold in 0..folds {
        let members: Vec<String> = ordered.iter().skip(fold).step_by(folds).cloned().collect();
        let first = if members.len() >= 4 { members.len().div_ceil(2) } else { members.len() };
        for (letter, part) in ["a", "b"].iter().zip([&members[..first], &members[first..]]) {
            if !part.is_empty() {
                let fold = format!("fold{}", fold + 1);
                cells.push(Cell { name: format!("{fold}.{letter}"), fold, people: part.to_vec() });
            }
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
/// detector that never saw its people. Rows whose status is not `ok` are in none.
///
/// # Errors
/// A row without split or cell, fewer than three folds, or an identity in two of a round's parts.
pub fn rounds(rows: &[Row]) -> Result<Vec<Round>, DataError> {
    let error = |row: Option<usize>, message: &str| DataError::Table {
        path: "manifest".into(),
        row: row.map(|r| r + 1),
        message: message.into(),
    };
    let mut cells: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate().filter(|(_, r)| r.status == Status::Ok) {
        let Some(cell) = row.cell.as_deref().filter(|_| !row.split.is_empty()) else {
            return Err(error(Some(i), "split and cell are needed to keep people apart; forge writes them"));
        };
        cells.entry(&row.split).or_default().insert(cell);
    }
    let folds: Vec<&str> = cells.keys().copied().collect();
    if folds.len() < 3 {
        return Err(error(None, "at least three folds are needed: to train, to stop early and to test on"));
    }
    let mut rounds = Vec::new();
    for (k, &fold) in folds.iter().enumerate() {
        let next = folds[(k + 1) % folds.len()];
        let held_out = cells[next].first().copied();
        let mut round = Round { fold: fold.into(), train: Vec::new(), valid: Vec::new(), test: Vec::new() };
        for (i, row) in rows.iter().enumerate().filter(|(_, r)| r.status == Status::Ok) {
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
        for identity in [Some(row.identity.as_str()), row.donor.as_deref()].into_iter().flatten() {
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
    let mut groups: Vec<BTreeSet<&str>> = Vec::new();
    for (target, donor) in pairs {
        let mut joined: BTreeSet<&str> = [Some(target), donor].into_iter().flatten().collect();
        groups.retain(|group| {
            let apart = group.is_disjoint(&joined);
            if !apart {
                joined.extend(group);
            }
            apart
        });
        groups.push(joined);
    }
    groups.sort();
    groups
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
            let cells = cells(&people(n), seed).unwrap();
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
        let cells = cells(&people(16), 0).unwrap();
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        for cell in &cells {
            *sizes.entry(&cell.fold).or_default() += cell.people.len();
        }
        assert_eq!(sizes.values().copied().collect::<Vec<_>>(), [6, 5, 5]);
        assert!(matches!(super::cells(&people(5), 0), Err(DataError::TooFewPeople { found: 5, needed: 6 })));
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
