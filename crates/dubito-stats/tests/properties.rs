//! Laws that hold for all inputs: the identity of the decomposition, no dependence on order.
#![allow(clippy::unwrap_used)]

use dubito_stats::{Bootstrap, FrameSums, Scored, Task, VideoSums, decompose, metrics};
use proptest::prelude::*;

/// A probability vector; some of them sure, some flat.
fn probs(classes: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![4 => 0.0..1.0f64, 1 => Just(0.0), 1 => Just(1.0)], classes).prop_map(|raw| {
        let sum: f64 = raw.iter().sum();
        let flat = 1.0 / raw.len() as f64;
        raw.iter().map(|p| if sum > 0.0 { p / sum } else { flat }).collect()
    })
}

/// `[samples][frames][classes]`
fn video() -> impl Strategy<Value = Vec<Vec<Vec<f64>>>> {
    (1..6usize, 1..8usize, 2..5usize).prop_flat_map(|(samples, frames, classes)| {
        prop::collection::vec(prop::collection::vec(probs(classes), frames), samples)
    })
}

fn reduce(video: &[Vec<Vec<f64>>]) -> Scored {
    let mut sums = VideoSums::new(video[0][0].len());
    for (sample, frames) in video.iter().enumerate() {
        frames.iter().for_each(|probs| sums.push(sample as u64, probs).unwrap());
    }
    sums.finish(0, 0).unwrap()
}

fn items() -> impl Strategy<Value = Vec<Scored>> {
    // Eighths, so that many items are tied.
    let one = (0..=8u32, 0..2usize, 0..6u32, 0..4u32).prop_map(|(eighths, label, cluster, doubt)| {
        let p = f64::from(eighths) / 8.0;
        let doubt = f64::from(doubt) / 10.0;
        Scored {
            label,
            probs: vec![1.0 - p, p],
            total: doubt * 0.3,
            aleatoric: doubt * 0.1,
            between_frames: 0.0,
            epistemic: doubt * 0.2,
            cluster,
        }
    });
    prop::collection::vec(one, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_parts_sum_to_the_total(video in video()) {
        let v = reduce(&video);
        let classes = v.probs.len() as f64;
        prop_assert!((v.total - v.aleatoric - v.between_frames - v.epistemic).abs() < 1e-11);
        prop_assert!(v.aleatoric >= 0.0 && v.between_frames >= 0.0 && v.epistemic >= 0.0);
        prop_assert!(v.total <= classes.ln() + 1e-12);
    }

    #[test]
    fn copies_of_a_frame_are_as_doubtful_as_the_frame(samples in prop::collection::vec(probs(3), 1..9), copies in 1..40usize) {
        let frame = decompose(&samples.concat(), 3).unwrap();
        let video: Vec<Vec<Vec<f64>>> = samples.iter().map(|p| vec![p.clone(); copies]).collect();
        let video = reduce(&video);
        prop_assert!((video.total - frame.total).abs() < 1e-12);
        prop_assert!((video.aleatoric - frame.aleatoric).abs() < 1e-12);
        prop_assert!((video.epistemic - frame.epistemic).abs() < 1e-12);
        prop_assert_eq!(video.between_frames, 0.0);
    }

    #[test]
    fn copies_of_a_network_have_no_epistemic_uncertainty(frames in prop::collection::vec(probs(3), 1..9), copies in 1..12usize) {
        prop_assert_eq!(reduce(&vec![frames; copies]).epistemic, 0.0);
    }

    #[test]
    fn sums_do_not_depend_on_order_or_on_parts(video in video(), cut in 0..100usize) {
        let classes = video[0][0].len();
        let whole = reduce(&video);
        let mut rows: Vec<(u64, &Vec<f64>)> =
            video.iter().enumerate().flat_map(|(s, frames)| frames.iter().map(move |p| (s as u64, p))).collect();
        rows.reverse();
        let (left, right) = rows.split_at(cut % (rows.len() + 1));
        let (mut a, mut b) = (VideoSums::new(classes), VideoSums::new(classes));
        left.iter().for_each(|(s, p)| a.push(*s, p).unwrap());
        right.iter().for_each(|(s, p)| b.push(*s, p).unwrap());
        b.merge(&a).unwrap();
        prop_assert_eq!(b.finish(0, 0).unwrap(), whole);

        let (mut a, mut b, mut all) = (FrameSums::new(classes), FrameSums::new(classes), FrameSums::new(classes));
        left.iter().for_each(|(_, p)| a.push(p).unwrap());
        right.iter().for_each(|(_, p)| b.push(p).unwrap());
        rows.iter().rev().for_each(|(_, p)| all.push(p).unwrap());
        b.merge(&a).unwrap();
        prop_assert_eq!(b.samples(), rows.len() as u64);
        prop_assert_eq!(b.finish(0, 0).unwrap(), all.finish(0, 0).unwrap());
    }

    #[test]
    fn metrics_do_not_depend_on_the_order_of_items((items, shuffled) in items().prop_flat_map(|i| (Just(i.clone()), Just(i).prop_shuffle()))) {
        let bootstrap = Bootstrap { replicates: 20, ..Bootstrap::default() };
        let (a, b) = (metrics(&items, &Task::binary(), Some(&bootstrap)).unwrap(), metrics(&shuffled, &Task::binary(), Some(&bootstrap)).unwrap());
        prop_assert_eq!(a, b);
    }

    #[test]
    fn all_items_twice_change_nothing_but_what_counts_items(items in items()) {
        let twice: Vec<Scored> = items.iter().chain(&items).cloned().collect();
        let (once, twice) = (metrics(&items, &Task::binary(), None).unwrap(), metrics(&twice, &Task::binary(), None).unwrap());
        for (name, estimate) in &once {
            if let (Some(a), Some(b)) = (estimate.value, twice[name].value) {
                // The mean over coverages k/n has finer steps, and chance adds less, with more items.
                let by_number = name.contains("aurc") || name.contains("debiased");
                prop_assert!((a - b).abs() < 1e-9 || by_number, "{}: {} {}", name, a, b);
                let signed = name == "mcc" || name == "brier_within_bins";
                prop_assert!(a.is_finite() && (a >= 0.0 || signed), "{} {}", name, a);
            } else if !name.starts_with("tpr_at_fpr") && name != "aurc_trapezoid" {
                // (Which need a number of items.)
                prop_assert_eq!(&estimate.undefined_because, &twice[name].undefined_because);
            }
        }
    }
}
