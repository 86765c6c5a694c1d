//! Splits of indexed data sets: people on one side only, generators spread evenly, families left out.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dubito_data::DataError;
use dubito_data::classes::ClassList;
use dubito_data::manifest::{Label, Row, Status};
use dubito_data::split::{self, Scheme, SplitOptions};
use proptest::prelude::*;
use serde::Deserialize;

fn row(identity: &str, donor: Option<&str>, generator: &str) -> Row {
    let label = if generator == "real" { Label::Real } else { Label::Fake };
    let path = format!("{generator}/{identity}_{}.mp4", donor.unwrap_or("-"));
    Row {
        video: path.clone(),
        path,
        label,
        generator: generator.into(),
        identity: identity.into(),
        donor: donor.map(Into::into),
        dataset: "test".into(),
        compression: "c23".into(),
        ..Row::default()
    }
}

/// Pairs as in FaceForensics++: 2n people, each real once, and each pair both ways by each generator.
fn pairs(n: usize) -> Vec<Row> {
    let name = |i: usize| format!("ffpp-{i:03}");
    let mut rows = Vec::new();
    for i in 0..n {
        let (a, b) = (name(2 * i), name(2 * i + 1));
        rows.extend([row(&a, None, "real"), row(&b, None, "real")]);
        for generator in ["deepfakes", "face2face", "faceswap"] {
            // One generator was only used on every third pair.
            if generator != "faceswap" || i % 3 == 0 {
                rows.extend([row(&a, Some(&b), generator), row(&b, Some(&a), generator)]);
            }
        }
    }
    rows
}

fn options(scheme: Scheme) -> SplitOptions {
    SplitOptions { scheme, seed: 0, cut: false }
}

#[derive(Deserialize)]
struct Case {
    videos: Vec<(String, Option<String>)>,
    components: Vec<Vec<String>>,
}

#[test]
fn components_are_scipys() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/components.json")).unwrap();
    assert!(cases.len() > 5);
    for case in cases {
        let found = split::components(case.videos.iter().map(|(a, b)| (a.as_str(), b.as_deref())));
        let found: Vec<Vec<&str>> = found.into_iter().map(|c| c.into_iter().collect()).collect();
        assert_eq!(found, case.components);
    }
}

#[test]
fn shares_hold_for_each_generator() {
    let rows = pairs(120);
    let assigned = split::assign(&rows, &options(Scheme::Auto)).unwrap();
    assert_eq!((assigned.people, assigned.units, assigned.left_out.len()), (240, 120, 0));
    assert!(split::leaks(&assigned.rows).is_empty());
    let mut shares: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
    for row in &assigned.rows {
        *shares.entry((&row.generator, &row.split)).or_default() += 1.0;
        *totals.entry(&row.generator).or_default() += 1.0;
    }
    for generator in ["real", "deepfakes", "face2face", "faceswap"] {
        for (split, due) in [("train", 0.72), ("val", 0.14), ("test", 0.14)] {
            let share = shares[&(generator, split)] / totals[generator];
            assert!((share - due).abs() < 0.03, "{generator} in {split}: {share} instead of {due}");
        }
    }
    split::one_round(&assigned.rows).unwrap();
    let other = split::assign(&rows, &SplitOptions { seed: 1, ..options(Scheme::Auto) }).unwrap();
    assert_ne!(other.rows, assigned.rows, "another seed, another split");
}

#[test]
fn few_people_become_folds_for_cross_fitting() {
    let rows = pairs(13);
    let assigned = split::assign(&rows, &options(Scheme::Auto)).unwrap();
    assert_eq!(assigned.splits, ["fold1", "fold2", "fold3", "fold4", "fold5"]);
    let rounds = split::rounds(&assigned.rows).unwrap();
    let mut tested = vec![0; rows.len()];
    rounds.iter().flat_map(|r| &r.test).for_each(|&i| tested[i] += 1);
    assert!(tested.iter().all(|n| *n == 1), "each row is tested once");
    assert!(rounds.iter().all(|r| !r.valid.is_empty() && !r.train.is_empty()));
    let few = split::assign(&pairs(2), &options(Scheme::Auto));
    assert!(matches!(few, Err(DataError::TooFewPeople { found: 4, needed: 6 })));
}

#[test]
fn people_who_are_all_joined_are_parted_only_when_told() {
    let person = |i: usize| format!("id{i}");
    let mut rows: Vec<Row> = (0..50).map(|i| row(&person(i), None, "real")).collect();
    for i in 0..50 {
        for j in [1, 7, 20] {
            rows.push(row(&person(i), Some(&person((i + j) % 50)), "celebdf"));
        }
    }
    let joined = split::assign(&rows, &options(Scheme::Auto)).unwrap_err();
    assert!(matches!(joined, DataError::Joined { largest: 50, people: 50 }), "{joined}");
    assert!(joined.hint().unwrap().contains("--cut"));
    let cut = split::assign(&rows, &SplitOptions { cut: true, ..options(Scheme::Auto) }).unwrap();
    assert!(split::leaks(&cut.rows).is_empty());
    let without = cut.rows.iter().filter(|r| r.split.is_empty()).count();
    assert!(without > 0 && without == cut.left_out.len() && without < 100, "{without}");
    assert!(cut.rows.iter().filter(|r| r.donor.is_none()).all(|r| !r.split.is_empty()), "no real video is lost");
    assert!(cut.left_out[0].contains("joins"));
    // Folds too: a video between two cells of one fold would lead from training to stopping early.
    let folds = split::assign(&rows, &SplitOptions { scheme: Scheme::Folds(5), cut: true, seed: 0 }).unwrap();
    let kept = folds.rows.iter().filter(|r| !r.split.is_empty()).count();
    assert_eq!(kept + folds.left_out.len(), rows.len());
    let rounds = split::rounds(&folds.rows).unwrap();
    assert_eq!(rounds.len(), 5);
    assert!(rounds.iter().all(|r| r.train.len() + r.valid.len() + r.test.len() == kept));
    let out = folds.rows.iter().find(|r| r.split.is_empty()).unwrap();
    assert!(out.reason.as_ref().unwrap().contains("in no split: joins fold"));
}

#[test]
fn a_second_donor_counts_too() {
    let mut rows = pairs(20);
    let split = split::assign(&rows, &options(Scheme::Folds(3))).unwrap();
    let far = split.rows.iter().find(|r| r.split != split.rows[0].split).unwrap().identity.clone();
    rows[0].donor2 = Some(far.clone());
    let mut leaking = split.rows.clone();
    leaking[0].donor2 = Some(far.clone());
    let leaks = split::leaks(&leaking);
    assert_eq!((leaks.len(), leaks[0].identity.as_str(), leaks[0].splits.len()), (1, far.as_str(), 2));
    leaking[0].status = Status::Missing;
    assert!(split::leaks(&leaking).is_empty(), "what is not there leaks nothing");
    let again = split::assign(&rows, &options(Scheme::Folds(3))).unwrap();
    assert!(split::leaks(&again.rows).is_empty());
    assert_eq!(again.units, 19);
}

proptest! {
    #[test]
    fn no_identity_crosses_whatever_the_graph(
        edges in prop::collection::vec((0_usize..60, prop::option::of(0_usize..60)), 1..80),
        seed: u64,
        cut: bool,
        order in any::<u64>(),
    ) {
        let mut rows: Vec<Row> = (0..60).map(|i| row(&format!("p{i}"), None, "real")).collect();
        rows.extend(edges.iter().map(|(a, b)| row(&format!("p{a}"), b.map(|b| format!("p{b}")).as_deref(), "x")));
        let options = SplitOptions { scheme: Scheme::Auto, seed, cut };
        let Ok(assigned) = split::assign(&rows, &options) else { return Ok(()) };
        prop_assert!(split::leaks(&assigned.rows).is_empty());
        prop_assert_eq!(assigned.rows.iter().filter(|r| r.split.is_empty()).count(), assigned.left_out.len());
        prop_assert!(cut || assigned.left_out.is_empty());
        // The same for the rows in another order.
        let mut shuffled: Vec<Row> = rows.clone();
        let by_hash: BTreeMap<String, usize> = split::by_hash(rows.iter().enumerate().map(|(i, _)| i.to_string()), order)
            .into_iter().enumerate().map(|(at, name)| (name, at)).collect();
        shuffled.sort_by_key(|r| by_hash[&rows.iter().position(|o| o == r).unwrap().to_string()]);
        let again = split::assign(&shuffled, &options).unwrap();
        let of = |rows: &[Row]| -> BTreeSet<(String, String)> {
            rows.iter().map(|r| (r.path.clone(), r.split.clone())).collect()
        };
        prop_assert_eq!(of(&assigned.rows), of(&again.rows));
    }
}

#[test]
fn a_family_is_left_out_with_what_contains_or_resembles_it() {
    let mut rows = Vec::new();
    for i in 0..30 {
        let person = format!("p{i:02}");
        let split = ["train", "train", "val", "test"][i % 4];
        for generator in ["real", "faceswap", "fsgan", "wav2lip", "fsgan-wav2lip", "self-blended", "stylegan2"] {
            rows.push(Row { split: split.into(), ..row(&person, None, generator) });
        }
    }
    let round = split::one_round(&rows).unwrap();
    let classes = ClassList::default();
    let found = split::leave_one_family_out(&rows, std::slice::from_ref(&round), &classes);
    let generators = |part: &[usize]| part.iter().map(|&i| rows[i].generator.as_str()).collect::<BTreeSet<_>>();
    let of = |family: &str| found.iter().find(|f| f.family == family).unwrap();
    let lips = of("lip-sync");
    assert_eq!(generators(&lips.round.train), BTreeSet::from(["real", "faceswap", "fsgan", "stylegan2"]));
    assert_eq!(generators(&lips.round.valid), generators(&lips.round.train));
    assert_eq!(generators(&lips.round.test), BTreeSet::from(["real", "wav2lip"]));
    assert_eq!(generators(&lips.set_aside), BTreeSet::from(["fsgan-wav2lip", "self-blended"]));
    let drawn = of("synthesis");
    assert!(generators(&drawn.round.train).contains("self-blended"), "nothing is blended into a drawn picture");
    assert_eq!(generators(&drawn.round.test), BTreeSet::from(["real", "stylegan2"]));
    assert!(drawn.set_aside.is_empty());
    assert_eq!(found.len(), 5, "faceswap, fsgan, lip-sync, synthesis, and self-blends themselves");
}

/// The official lists, where they are at hand.
#[test]
fn the_official_pairs_of_faceforensics() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/ffpp-splits");
    if !folder.is_dir() {
        println!("skipped: no shared data");
        return;
    }
    // Every sequence, and the pairs that the lists name themselves.
    let mut rows: Vec<Row> = (0..1000)
        .map(|i| Row { path: format!("videos/{i:03}.mp4"), ..row(&format!("ffpp-{i:03}"), None, "real") })
        .collect();
    for list in ["train", "val", "test"] {
        let text = std::fs::read_to_string(folder.join(format!("{list}.json"))).unwrap();
        for (a, b) in serde_json::from_str::<Vec<(String, String)>>(&text).unwrap() {
            let fake = row(&format!("ffpp-{a}"), Some(&format!("ffpp-{b}")), "deepfakes");
            rows.push(Row { path: format!("videos/{a}_{b}.mp4"), ..fake });
        }
    }
    rows.push(row("dfd-01", None, "real"));
    let assigned = split::official(&rows, &folder).unwrap();
    let count = |split: &str, fake: bool| {
        assigned.rows.iter().filter(|r| r.split == split && (r.label == Label::Fake) == fake).count()
    };
    // 720, 140 and 140 sequences: ondyari/FaceForensics, dataset/README.md.
    assert_eq!([count("train", false), count("val", false), count("test", false)], [720, 140, 140]);
    assert_eq!([count("train", true), count("val", true), count("test", true)], [360, 70, 70]);
    assert_eq!(assigned.left_out, ["real/dfd-01_-.mp4 (in no official list)"]);
    assert!(split::leaks(&assigned.rows).is_empty());
}

#[test]
fn official_lists_that_contradict_each_other_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("train.json", "[[\"000\", \"001\"]]");
    write("val.json", "[[\"002\", \"003\"]]");
    let missing = split::official(&[], folder.path()).unwrap_err().to_string();
    assert!(missing.contains("test.json"), "{missing}");
    write("test.json", "[[\"001\", \"004\"]]");
    let twice = split::official(&[], folder.path()).unwrap_err().to_string();
    assert!(twice.contains("001") && twice.contains("train.json"), "{twice}");
    write("test.json", "{\"a\": 1}");
    let form = split::official(&[], folder.path()).unwrap_err().to_string();
    assert!(form.contains("list of pairs"), "{form}");
}
