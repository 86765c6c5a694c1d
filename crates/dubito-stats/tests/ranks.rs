//! Ranks are those of the scores as given, however near to 0 or 1 their probabilities are.
#![allow(clippy::unwrap_used)]

use dubito_stats::forensic::{LikelihoodRatios, Recalibration};
use dubito_stats::recalibrate::{self, Method};
use dubito_stats::{
    Doubt, Items, Scale, Task, ThresholdRule, VideoRule, VideoSums, at_threshold, choose_threshold, metrics_of,
    video_probs,
};

/// The logistic function, at both ends.
fn probs(logit: f64) -> [f64; 2] {
    [1.0 / (1.0 + logit.exp()), 1.0 / (1.0 + (-logit).exp())]
}

/// Items of these logits (and labels), with or without them.
fn items(scores: &[(f64, usize)], with: bool) -> Items {
    let mut items = Items::new(&Task::binary()).unwrap();
    for (i, &(logit, label)) in scores.iter().enumerate() {
        items.push_parts(label, &probs(logit), [0.0; 4], i as u32).unwrap();
        if with {
            items.push_log_odds(logit);
        }
    }
    items
}

/// Every second pair in order.
fn scores(at: f64, step: f64) -> Vec<(f64, usize)> {
    (0..40).map(|i| (at + step * f64::from(i), usize::from(i % 4 != 1 && i > 10 || i == 2))).collect()
}

#[test]
fn every_rank_metric_is_that_of_the_logits() {
    let plain = metrics_of(&items(&scores(-3.0, 0.1), false), None).unwrap();
    for (at, step) in [(98.0, 0.11), (36.0, 0.05), (-98.0, 0.11), (900.0, 1.0), (-5000.0, 10.0)] {
        let found = metrics_of(&items(&scores(at, step), true), None).unwrap();
        for name in ["auroc", "average_precision", "eer", "eer_deepfakebench", "cllr_min"] {
            assert_eq!(found[name].value, plain[name].value, "{name} at {at}");
        }
    }
    // Without the logits the probabilities of both classes are enough.
    let mut from_both = items(&scores(98.0, 0.11), false);
    from_both.uncover_ranks();
    assert_eq!(from_both.scale(), Scale::LogOdds);
    assert_eq!(metrics_of(&from_both, None).unwrap()["auroc"].value, plain["auroc"].value);
    let tiny = items(&scores(-98.0, 0.11), false);
    assert_eq!(tiny.scale(), Scale::Probability);
    assert_eq!(metrics_of(&tiny, None).unwrap()["auroc"].value, plain["auroc"].value);
}

#[test]
fn the_most_confident_come_first_at_both_ends() {
    // Right is who is confident: with all errors last, the excess is none.
    for with in [true, false] {
        let logits = [-60.0, -59.0, -58.0, -50.0, -49.0, 60.5, 59.5, 50.5, 49.5];
        let scores: Vec<(f64, usize)> =
            logits.iter().map(|&x: &f64| (x, usize::from((x > 0.0) == (x.abs() > 55.0)))).collect();
        let found = metrics_of(&items(&scores, with), None).unwrap();
        assert_eq!(found["misclassification_auroc_max_probability"].value, Some(1.0), "{with}");
        assert!(found["eaurc"].value.unwrap() < 1e-12, "{with}");
    }
    let items = items(&[(-60.0, 0), (-61.0, 0), (60.5, 1)], false);
    assert!(items.doubt(0, Doubt::MaxProbability) > items.doubt(2, Doubt::MaxProbability));
    assert!(items.doubt(2, Doubt::Margin) > items.doubt(1, Doubt::Margin));
}

#[test]
fn thresholds_are_scores_as_given() {
    let (fit, judged) = (items(&scores(98.0, 0.11), true), items(&scores(98.01, 0.11), true));
    let threshold = choose_threshold(&fit, ThresholdRule::Youden).unwrap().value.unwrap();
    assert!((98.0..103.0).contains(&threshold));
    let found = at_threshold(&judged, fit.scale(), threshold).unwrap();
    let plain = items(&scores(-3.0, 0.1), false);
    let of_plain = choose_threshold(&plain, ThresholdRule::Youden).unwrap().value.unwrap();
    assert_eq!(found, at_threshold(&plain, Scale::Probability, of_plain).unwrap());
    // Nothing is called positive: the threshold is above all, also below 0.
    let negative = items(&(0..40).map(|i| (-50.0 - f64::from(i), usize::from(i > 30))).collect::<Vec<_>>(), true);
    let above = choose_threshold(&negative, ThresholdRule::AtFpr(0.1)).unwrap().value.unwrap();
    assert!((-60.0..-50.0 + 1e-9).contains(&above), "{above}");
}

#[test]
fn recalibration_keeps_the_ranks() {
    for with in [true, false] {
        for (at, step) in [(98.0, 0.11), (-98.0, 0.11)] {
            let given = items(&scores(at, step), with);
            let auroc = metrics_of(&items(&scores(at, step), true), None).unwrap()["auroc"].value;
            for method in [Method::Temperature, Method::Platt, Method::Beta] {
                let Ok(fitted) = recalibrate::fit(method, &given) else { continue };
                let found = metrics_of(&fitted.apply_to(&given).unwrap(), None).unwrap();
                // A slope below 0 turns the order round.
                let value = found["auroc"].value.unwrap();
                assert!((value - auroc.unwrap()).abs() < 1e-9 || !with, "{method:?} at {at}: {value}");
            }
        }
    }
    // Logits of 98 are as good as logits of -3 to whoever learns their place.
    let [far, near] = [(98.0, 0.1), (-3.0, 0.1)].map(|(at, step)| {
        let given = items(&scores(at, step), true);
        let fitted = recalibrate::fit(Method::Platt, &given).unwrap();
        metrics_of(&fitted.apply_to(&given).unwrap(), None).unwrap()["nll"].value.unwrap()
    });
    assert!((far - near).abs() < 1e-6, "{far} {near}");
}

#[test]
fn nonsense_does_not_end_a_sum() {
    // Masked scores (the least `f32` there is) among others: what is fitted is that of a very low score.
    let with_masked = |masked: f64| {
        let mut all = scores(-3.0, 0.1);
        all.extend([(masked, 1), (masked, 1), (masked, 0)]);
        items(&all, true)
    };
    let masked = with_masked(f64::from(f32::MIN));
    for method in [Method::Temperature, Method::Platt, Method::Beta] {
        let (found, expected) = (recalibrate::fit(method, &masked), recalibrate::fit(method, &with_masked(-1e6)));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{method:?}"),
            (found, expected) => assert_eq!(found.is_err(), expected.is_err(), "{method:?}"),
        }
    }
    assert!(masked.bounded_log_odds().iter().all(|x| x.abs() <= 1e6));
    // A probability of 0 beside one that hides its rank in 1: the last of all, and no further off than others are.
    let mut both = Items::new(&Task::binary()).unwrap();
    for (i, p) in [[1e-30, 1.0], [1.0, 0.0], [0.5, 0.5]].into_iter().enumerate() {
        both.push_parts(i % 2, &p, [0.0; 4], i as u32).unwrap();
    }
    both.uncover_ranks();
    let found: Vec<f64> = (0..3).map(|i| both.log_odds(i)).collect();
    assert!(found[0] > 69.0 && found[2] == 0.0 && (-71.0..-69.0).contains(&found[1]), "{found:?}");
}

#[test]
fn likelihood_ratios_tell_logits_of_98_apart() {
    let given = items(&scores(98.0, 0.11), true);
    let fake: Vec<bool> = given.labels().iter().map(|&label| label == 1).collect();
    for how in [Recalibration::Logistic, Recalibration::Pav] {
        let fitted =
            LikelihoodRatios::fit_log_odds(&given.bounded_log_odds(), &fake, given.clusters(), None, how).unwrap();
        let ratios = fitted.limited(fitted.unlimited_of_log_odds(&given.bounded_log_odds()));
        assert!(ratios[0] < 0.0 && ratios[39] > 0.0, "{how:?} {ratios:?}");
    }
}

#[test]
fn videos_keep_tiny_means() {
    let video = |frames: &[f64]| {
        let mut sums = VideoSums::new(2);
        frames.iter().for_each(|&p| sums.push(0, &[1.0 - p, p]).unwrap());
        sums.finish(0, 0).unwrap().probs[1]
    };
    assert!((video(&[1e-30, 3e-30]) / 2e-30 - 1.0).abs() < 1e-14);
    assert!((video(&[1e-300, 3e-300]) / 2e-300 - 1.0).abs() < 1e-14);
    for rule in [VideoRule::Mean, VideoRule::Median, VideoRule::LogOdds, VideoRule::TopShare(0.5)] {
        let of = |p: f64| video_probs(rule, &[1.0 - p, p, 1.0 - 2.0 * p, 2.0 * p], &Task::binary()).unwrap()[1];
        assert!(of(1e-30) > 0.0 && of(1e-30) < of(1.1e-30), "{rule:?}");
        let real = |p: f64| video_probs(rule, &[p, 1.0 - p, 2.0 * p, 1.0 - 2.0 * p], &Task::binary()).unwrap()[0];
        assert!(real(1e-30) > 0.0 && real(1e-30) < real(1.1e-30), "{rule:?}");
    }
}

#[test]
fn one_class_against_the_rest_near_1() {
    let task = Task::multiclass(["a", "b", "c"]);
    let mut given = Items::new(&task).unwrap();
    for (i, rest) in [1e-30, 1e-25, 3e-25, 1e-20, 1e-10].into_iter().enumerate() {
        let label = usize::from(i > 1);
        given.push_parts(label, &[1.0, rest, rest / 2.0], [0.0; 4], i as u32).unwrap();
    }
    let found = metrics_of(&given, None).unwrap();
    assert_eq!(found["auroc_a"].value, Some(1.0));
    assert_eq!(found["misclassification_auroc_margin"].value, Some(1.0));
}
