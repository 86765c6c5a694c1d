//! Every metric and the decomposition against scikit-learn, torchmetrics, netcal, torch-uncertainty and
//! SciPy: golden/metrics.json, made by golden/metrics.py.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use dubito_stats::{Confidence, Items, Scored, Task, VideoSums, decompose, metrics, metrics_of, reliability};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    videos: Vec<Video>,
    wilson: Vec<Wilson>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    classes: Vec<String>,
    positive: Option<usize>,
    #[serde(default)]
    probs: Vec<Vec<f64>>,
    #[serde(default)]
    labels: Vec<usize>,
    #[serde(default)]
    total: Vec<f64>,
    #[serde(default)]
    aleatoric: Vec<f64>,
    #[serde(default)]
    between_frames: Vec<f64>,
    #[serde(default)]
    epistemic: Vec<f64>,
    /// Instead of the lists: how many items [`formula`] makes.
    #[serde(default)]
    formula_items: usize,
    want: BTreeMap<String, Option<f64>>,
}

#[derive(Deserialize)]
struct Video {
    name: String,
    /// `[samples][frames][classes]`
    probs: Vec<Vec<Vec<f64>>>,
    want: Decomposed,
}

#[derive(Deserialize)]
struct Decomposed {
    probs: Vec<f64>,
    total: f64,
    aleatoric: f64,
    between_frames: f64,
    epistemic: f64,
}

#[derive(Deserialize)]
struct Wilson {
    events: usize,
    count: usize,
    low: f64,
    high: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/metrics.json")).unwrap()
}

/// The items of the Python script's formula, in the same floating-point operations.
fn formula(count: usize) -> Vec<Scored> {
    let item = |i: usize| {
        let (u, v) = ((i as f64 * 0.6180339887498949) % 1.0, (i as f64 * 0.7548776662466927) % 1.0);
        let label = usize::from(i % 5 < 2);
        let p = ((if label == 1 { 1.0 - u * v } else { u * v }) * 2000.0).floor() / 2000.0;
        Scored {
            label,
            probs: vec![1.0 - p, p],
            total: v * 0.5,
            aleatoric: u * 0.25,
            between_frames: 0.0,
            epistemic: u * v * 0.25,
            cluster: i as u32,
        }
    };
    (0..count).map(item).collect()
}

fn near(found: f64, want: f64) -> bool {
    (found - want).abs() <= 1e-9 * want.abs().max(1.0)
}

#[test]
fn every_metric_agrees_with_the_libraries() {
    let golden = golden();
    assert!(golden.cases.len() >= 20);
    for case in golden.cases {
        let task = Task { classes: case.classes.clone(), positive: case.positive };
        let mut items: Vec<Scored> = (0..case.labels.len())
            .map(|i| Scored {
                label: case.labels[i],
                probs: case.probs[i].clone(),
                total: case.total[i],
                aleatoric: case.aleatoric[i],
                between_frames: case.between_frames[i],
                epistemic: case.epistemic[i],
                cluster: i as u32,
            })
            .collect();
        items.extend(formula(case.formula_items));
        let found = metrics(&items, &task, None).unwrap();
        let names: Vec<&String> = found.keys().collect();
        assert_eq!(names, case.want.keys().collect::<Vec<_>>(), "{}", case.name);
        for (name, want) in &case.want {
            let estimate = &found[name];
            match (estimate.value, want) {
                (Some(value), Some(want)) => {
                    assert!(near(value, *want), "{}: {name} is {value}, expected {want}", case.name);
                }
                (None, None) => {
                    let reason = estimate.undefined_because.as_deref().unwrap();
                    assert!(reason.len() > 20, "{}: {name}: {reason}", case.name);
                }
                (value, want) => panic!("{}: {name} is {value:?}, expected {want:?}", case.name),
            }
        }
    }
}

/// Enough items to be dealt into buckets and summed in parts.
#[test]
fn many_items_give_the_same_bits_in_any_order_and_on_any_number_of_threads() {
    let items = formula(150_000);
    let columns = |order: &mut dyn Iterator<Item = usize>| {
        let mut columns = Items::new(&Task::binary()).unwrap();
        order.for_each(|i| columns.push(&items[i]).unwrap());
        columns
    };
    let count = items.len();
    let forth = metrics_of(&columns(&mut (0..count)), None).unwrap();
    let undefined: Vec<&String> = forth.iter().filter(|(_, estimate)| estimate.value.is_none()).map(|m| m.0).collect();
    assert_eq!(
        undefined,
        [
            "aleatoric_variance",
            "between_frames_variance",
            "epistemic_jackknife",
            "epistemic_variance",
            "variation_ratio"
        ]
    );
    // 7919 is coprime to the number of items.
    let shuffled = columns(&mut (0..count).map(|i| i * 7919 % count));
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(forth, pool.install(|| metrics_of(&shuffled, None).unwrap()));
    }
    // And by the other road: 8,000 items are sorted at once, and every metric that does not count items
    // is that of 20 copies of them.
    let few = formula(8000);
    let copies = columns(&mut (0..160_000).map(|i| i % 8000));
    let (once, copied) = (metrics(&few, &Task::binary(), None).unwrap(), metrics_of(&copies, None).unwrap());
    for name in
        ["auroc", "average_precision", "eer", "ece_adaptive15", "ks_calibration", "augrc", "nll", "uce15", "mcc"]
    {
        assert!(near(copied[name].value.unwrap(), once[name].value.unwrap()), "{name}");
    }
}

/// Picked out of one sorting or sorted for itself, of one class or both, overlapping, all and none.
#[test]
fn groups_share_a_sorting_and_keep_their_bits() {
    let many = formula(90_000);
    let mut binary = Items::new(&Task::binary()).unwrap();
    many.iter().for_each(|item| binary.push(item).unwrap());
    let measures = |i: usize| {
        let mut sums = dubito_stats::FrameSums::new(2);
        [0.1, 0.3 + 0.1 * (i % 7) as f64].iter().for_each(|&p| sums.push(&[1.0 - p, p]).unwrap());
        sums.measures().unwrap()
    };
    let mut measured = Items::new(&Task::binary()).unwrap();
    for (i, item) in many.iter().take(5000).enumerate() {
        measured.push(item).unwrap();
        measured.push_measures(&measures(i), Some(1e-3 * (i % 11) as f64));
    }
    let mut several = Items::new(&Task::multiclass(["a", "b", "c"])).unwrap();
    for (i, item) in many.iter().take(3000).enumerate() {
        let p = item.probs[1] / 2.0;
        several.push_parts(i % 3, &[1.0 - item.probs[1], p, p], [0.1, 0.1, 0.0, 0.0], 0).unwrap();
    }
    for items in [binary, measured, several] {
        let labels = items.labels().to_vec();
        let groups: [&(dyn Fn(usize) -> bool + Sync); 7] = [
            &|_| true,
            &|i| labels[i] == 0,
            &|i| labels[i] == 1,
            &|i| i.is_multiple_of(3),
            &|i| i % 50 == 7,
            &|_| false,
            &|i| i == 70,
        ];
        let found = dubito_stats::metrics_of_groups(&items, &groups).unwrap();
        assert_eq!(found.len(), groups.len());
        for (at, (found, group)) in found.iter().zip(groups).enumerate() {
            assert_eq!(*found, metrics_of(&items.select(group), None).unwrap(), "group {at}");
        }
    }
    assert!(dubito_stats::metrics_of_groups(&Items::new(&Task::binary()).unwrap(), &[]).unwrap().is_empty());
}

#[test]
fn the_decomposition_agrees_with_scipy() {
    for video in golden().videos {
        let classes = video.want.probs.len();
        let mut sums = VideoSums::new(classes);
        for (sample, frames) in video.probs.iter().enumerate() {
            for probs in frames {
                sums.push(sample as u64, probs).unwrap();
            }
        }
        let found = sums.finish(0, 0).unwrap();
        let want = video.want;
        for (found, want, what) in [
            (found.total, want.total, "total"),
            (found.aleatoric, want.aleatoric, "aleatoric"),
            (found.between_frames, want.between_frames, "between_frames"),
            (found.epistemic, want.epistemic, "epistemic"),
        ] {
            assert!(near(found, want), "{}: {what} is {found}, expected {want}", video.name);
        }
        for (found, want) in found.probs.iter().zip(&want.probs) {
            assert!(near(*found, *want), "{}: {found} {want}", video.name);
        }
        // A video of one frame is a frame.
        if video.probs[0].len() == 1 {
            let flat: Vec<f64> = video.probs.iter().flat_map(|frames| frames[0].clone()).collect();
            let frame = decompose(&flat, classes).unwrap();
            assert!(near(frame.total, want.total), "{}", video.name);
            assert!(near(frame.aleatoric, want.aleatoric), "{}", video.name);
            assert!(near(frame.epistemic, want.epistemic), "{}", video.name);
        }
    }
}

#[test]
fn the_interval_of_a_bin_is_wilsons() {
    for Wilson { events, count, low, high } in golden().wilson {
        // All in the bin (.6, .7] of the top class, `events` of them right.
        let items: Vec<Scored> = (0..count)
            .map(|i| Scored {
                label: usize::from(i < events),
                probs: vec![0.35, 0.65],
                total: 0.0,
                aleatoric: 0.0,
                between_frames: 0.0,
                epistemic: 0.0,
                cluster: 0,
            })
            .collect();
        for kind in [Confidence::Top, Confidence::Positive] {
            let bins = reliability(&items, &Task::binary(), 10, kind).unwrap();
            assert_eq!(bins.iter().map(|bin| bin.count).sum::<usize>(), count);
            let bin = &bins[6];
            assert_eq!(bin.count, count);
            assert!(near(bin.confidence.unwrap(), 0.65));
            assert!(near(bin.accuracy.unwrap(), events as f64 / count as f64));
            assert!(near(bin.accuracy_low.unwrap(), low), "{events}/{count}: {bin:?}, expected {low}");
            assert!(near(bin.accuracy_high.unwrap(), high), "{events}/{count}: {bin:?}, expected {high}");
        }
    }
}
