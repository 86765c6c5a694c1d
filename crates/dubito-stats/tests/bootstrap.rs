//! Intervals: against resampling and starting over, their coverage, their speed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Instant;

use dubito_stats::unseen::{Kind, UnseenDetection, unseen_doubt};
use dubito_stats::{Bootstrap, Scored, Task, metrics};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// About normal: the sum of twelve uniforms, less 6.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| uniform(random)).sum::<f64>() - 6.0
}

/// Items of `clusters` people; `digits` rounds probabilities and doubts, for ties.
fn people(clusters: u32, items_each: usize, classes: usize, digits: i32, seed: u64) -> Vec<Scored> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let scale = 10f64.powi(digits);
    let round = |x: f64| (x * scale).round() / scale;
    let mut items = Vec::new();
    for cluster in 0..clusters {
        let taste = normal(&mut random);
        // People have different numbers of items.
        for _ in 0..1 + (items_each + cluster as usize) % (2 * items_each) {
            let label = random.next_u32() as usize % classes;
            let mut logits: Vec<f64> = (0..classes).map(|_| normal(&mut random) + 0.5 * taste).collect();
            logits[label] += 1.0;
            let sum: f64 = logits.iter().map(|l| l.exp()).sum();
            let mut probs: Vec<f64> = logits[1..].iter().map(|l| (l.exp() / sum * scale).floor() / scale).collect();
            probs.insert(0, 1.0 - probs.iter().sum::<f64>());
            let parts: Vec<f64> = (0..3).map(|_| round(uniform(&mut random) * 0.3)).collect();
            items.push(Scored {
                label,
                probs,
                total: parts.iter().sum(),
                aleatoric: parts[0],
                between_frames: parts[1],
                epistemic: parts[2],
                cluster: 7 * cluster + 3,
            });
        }
    }
    items
}

/// Quantile as numpy's default: linear between the order statistics.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let at = level * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] * (1.0 - (at - below as f64)) + sorted[above] * (at - below as f64)
}

#[test]
fn weights_are_the_same_as_copying_and_starting_over() {
    for (task, items) in [
        (Task::binary(), people(8, 5, 2, 1, 1)),
        (Task::binary(), people(12, 4, 2, 6, 2)),
        (Task::multiclass(["a", "b", "c", "d"]), people(9, 4, 4, 1, 3)),
    ] {
        let bootstrap = Bootstrap { replicates: 200, level: 0.9, seed: 11, min_clusters: 5 };
        let found = metrics(&items, &task, Some(&bootstrap)).unwrap();
        let clusters: Vec<u32> = items.iter().map(|item| item.cluster).collect::<BTreeSet<_>>().into_iter().collect();
        let replicates: Vec<_> = (0..200)
            .map(|replicate| {
                let mut random = ChaCha8Rng::seed_from_u64(11);
                random.set_stream(replicate);
                let mut copied = Vec::new();
                for _ in &clusters {
                    let drawn = ((u128::from(random.next_u64()) * clusters.len() as u128) >> 64) as usize;
                    copied.extend(items.iter().filter(|item| item.cluster == clusters[drawn]).cloned());
                }
                metrics(&copied, &task, None).unwrap()
            })
            .collect();
        let mut with_interval = 0;
        for (name, estimate) in &found {
            let mut values: Vec<f64> = replicates.iter().filter_map(|r| r[name].value).collect();
            if values.len() < 190 {
                assert_eq!((estimate.low, estimate.high), (None, None), "{name}");
                assert!(estimate.undefined_because.is_some(), "{name}");
                continue;
            }
            values.sort_by(f64::total_cmp);
            let (low, high) = (quantile(&values, 0.05), quantile(&values, 0.95));
            assert!((estimate.low.unwrap() - low).abs() < 1e-9, "{name}: {estimate:?}, expected {low}");
            assert!((estimate.high.unwrap() - high).abs() < 1e-9, "{name}: {estimate:?}, expected {high}");
            with_interval += 1;
        }
        assert!(with_interval >= 18, "{with_interval} of {} metrics had an interval", found.len());
    }
}

/// Doubt on unseen fakes: resampled by weights as by copying people and starting over.
#[test]
fn doubt_on_the_unseen_is_resampled_by_people() {
    let items = people(9, 6, 2, 2, 5);
    let kind = |at: usize| [Kind::Real, Kind::SeenFake, Kind::UnseenFake, Kind::Real][at % 4];
    let all: Vec<(f64, Kind, u32)> =
        items.iter().enumerate().map(|(at, item)| (item.total, kind(at), item.cluster)).collect();
    let of = |all: &[(f64, Kind, u32)], bootstrap: Option<&Bootstrap>| {
        let (doubt, rest): (Vec<f64>, Vec<(Kind, u32)>) = all.iter().map(|&(d, k, c)| (d, (k, c))).unzip();
        let (kinds, clusters): (Vec<Kind>, Vec<u32>) = rest.into_iter().unzip();
        let found = unseen_doubt(&doubt, &kinds, &clusters, bootstrap).unwrap();
        let UnseenDetection { auroc, average_precision, fpr_at_95_tpr, .. } = found.detection;
        [found.unseen, found.seen_fakes, found.difference, auroc, average_precision, fpr_at_95_tpr]
    };
    let bootstrap = Bootstrap { replicates: 200, level: 0.9, seed: 4, min_clusters: 5 };
    let found = of(&all, Some(&bootstrap));
    let clusters: Vec<u32> = all.iter().map(|item| item.2).collect::<BTreeSet<_>>().into_iter().collect();
    let replicates: Vec<_> = (0..200)
        .map(|replicate| {
            let mut random = ChaCha8Rng::seed_from_u64(4);
            random.set_stream(replicate);
            let mut copied = Vec::new();
            for _ in &clusters {
                let drawn = ((u128::from(random.next_u64()) * clusters.len() as u128) >> 64) as usize;
                copied.extend(all.iter().filter(|item| item.2 == clusters[drawn]).copied());
            }
            of(&copied, None)
        })
        .collect();
    for (at, estimate) in found.iter().enumerate() {
        let mut values: Vec<f64> = replicates.iter().filter_map(|r| r[at].value).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (quantile(&values, 0.05), quantile(&values, 0.95));
        assert!((estimate.low.unwrap() - low).abs() < 1e-9, "{at}: {estimate:?}, expected {low}");
        assert!((estimate.high.unwrap() - high).abs() < 1e-9, "{at}: {estimate:?}, expected {high}");
    }
    // Means by hand, and the same bits the other way round.
    let mean = |of: Kind| {
        let doubts: Vec<f64> = all.iter().filter(|item| item.1 == of).map(|item| item.0).collect();
        doubts.iter().sum::<f64>() / doubts.len() as f64
    };
    let difference = mean(Kind::UnseenFake) - mean(Kind::SeenFake);
    assert!((found[2].value.unwrap() - difference).abs() < 1e-12);
    let backwards: Vec<_> = all.iter().rev().copied().collect();
    assert_eq!(of(&backwards, Some(&bootstrap)), found);

    let reals: Vec<_> = all.iter().filter(|item| item.1 == Kind::Real).copied().collect();
    let why = of(&reals, Some(&bootstrap)).map(|estimate| estimate.undefined_because.unwrap());
    assert!(
        why[0].contains("no fakes of unseen") && why[1].contains("of seen") && why[3].contains("no item is unseen")
    );
    assert!(unseen_doubt(&[0.1], &[Kind::Real], &[], None).is_err());
    assert!(unseen_doubt(&[1e7], &[Kind::Real], &[0], None).unwrap_err().to_string().contains("below 1e6"));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let items = people(15, 6, 2, 3, 4);
    let bootstrap = Bootstrap { replicates: 100, ..Bootstrap::default() };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| metrics(&items, &Task::binary(), Some(&bootstrap)).unwrap())
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
    let other_seed = Bootstrap { seed: 1, ..bootstrap.clone() };
    assert_ne!(one, metrics(&items, &Task::binary(), Some(&other_seed)).unwrap());
}

/// How often the 95 % interval of a mean of known expectation holds it. Three items a person; the items
/// of a person share most of their value.
fn coverage(by_person: bool, studies: usize) -> f64 {
    const PEOPLE: u32 = 40;
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let bootstrap = Bootstrap { replicates: 200, ..Bootstrap::default() };
    let mut held = 0;
    for _ in 0..studies {
        let mut items = Vec::new();
        for person in 0..PEOPLE {
            let own = 0.2 * uniform(&mut random);
            for n in 0..3 {
                let total = own + 0.05 * uniform(&mut random); // expectation .125
                items.push(Scored {
                    label: 0,
                    probs: vec![0.5, 0.5],
                    total,
                    aleatoric: 0.0,
                    between_frames: 0.0,
                    epistemic: 0.0,
                    cluster: if by_person { person } else { 3 * person + n },
                });
            }
        }
        let found = &metrics(&items, &Task::binary(), Some(&bootstrap)).unwrap()["total"];
        held += usize::from(found.low.unwrap() <= 0.125 && 0.125 <= found.high.unwrap());
    }
    held as f64 / studies as f64
}

#[test]
fn the_interval_covers_as_often_as_it_says() {
    // The percentile interval of 40 clusters covers about 94 %; the standard error of 200 studies is 1.7 %.
    let by_person = coverage(true, 200);
    assert!((0.89..=0.99).contains(&by_person), "{by_person}");
    // Items taken as independent give intervals far too short.
    let by_item = coverage(false, 100);
    assert!(by_item < 0.8, "{by_item}");
}

#[test]
fn five_thousand_items_take_seconds() {
    let items: Vec<Scored> = people(60, 100, 2, 9, 6).into_iter().cycle().take(5000).collect();
    let bootstrap = Bootstrap::default();
    let start = Instant::now();
    let found = metrics(&items, &Task::binary(), Some(&bootstrap)).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!("5,000 items, 1,000 replicates, {} metrics: {seconds:.2} s", found.len());
    for (name, e) in found.iter().filter(|(_, e)| e.value.is_some()) {
        assert!(e.low < e.high, "{name}: {e:?}");
    }
    // One needs 3,000 negatives, five the samples.
    assert_eq!(found.values().filter(|e| e.value.is_none()).count(), 6);
    // About 1 s on two free cores; the bound leaves room for busy ones.
    assert!(seconds < 30.0, "{seconds} s");
}
