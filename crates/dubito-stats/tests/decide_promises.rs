//! Promises kept over many simulated studies, and the same bits whatever the order of the items.
#![allow(clippy::unwrap_used)]

use dubito_stats::compare::{
    accuracy_difference, auroc_clustered, delong, mcnemar, paired_bootstrap, paired_bootstrap_two_way,
};
use dubito_stats::conformal::{Conformal, Items, Score, Strata, Unit, coverage_interval, set_quality};
use dubito_stats::discrimination::Auroc;
use dubito_stats::forensic::{LikelihoodRatios, Recalibration, empirical_cross_entropy, forensic_cost, tippett};
use dubito_stats::guarantee::{Promise, abstention, observed};
use dubito_stats::unseen::{by_group, correlation, detects_unseen};
use dubito_stats::weighted::{Mean, Weighted};
use dubito_stats::{Bootstrap, Estimate};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal: the sum of twelve uniforms, less 6.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    fn shuffle<T>(&mut self, values: &mut [T]) {
        for at in (1..values.len()).rev() {
            values.swap(at, (self.uniform() * (at + 1) as f64) as usize);
        }
    }
}

/// Items of three classes, by a detector that is sure and often wrong; keys as given.
fn three_classes(random: &mut Random, n: usize) -> (Vec<f64>, Vec<usize>) {
    let (mut probs, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let label = [0, 0, 0, 1, 1, 2][(random.uniform() * 6.0) as usize];
        let mut row: Vec<f64> = (0..3).map(|_| (2.0 * random.normal()).exp()).collect();
        row[label] *= 4.0;
        let sum: f64 = row.iter().sum();
        probs.extend(row.into_iter().map(|p| p / sum));
        labels.push(label);
    }
    (probs, labels)
}

#[test]
fn coverage_lies_within_its_beta_binomial_bounds_over_500_splits() {
    const STUDIES: usize = 500;
    let (n, m, alpha) = (80, 120, 0.1);
    for (score, strata) in [
        (Score::Lac, Strata::Marginal),
        (Score::ApsRandomised { seed: 4 }, Strata::Marginal),
        (Score::Aps, Strata::Marginal),
        (Score::Lac, Strata::Label),
        (Score::Lac, Strata::Group),
    ] {
        let mut random = Random::new(1);
        let (mut inside, mut judged, mut covered, mut all) = (0, 0, 0.0, 0.0);
        for study in 0..STUDIES as u64 {
            let (probs, labels) = three_classes(&mut random, n);
            let (new, truth) = three_classes(&mut random, m);
            let keys: Vec<u64> = (0..(n + m) as u64).map(|at| study * 1000 + at).collect();
            let groups: Vec<u32> = (0..(n + m) as u32).map(|at| at % 2).collect();
            let clusters: Vec<u32> = (0..n as u32).collect();
            let items = Items { probs: &probs, classes: 3, keys: &keys[..n], groups: &groups[..n] };
            let others = Items { probs: &new, classes: 3, keys: &keys[n..], groups: &groups[n..] };
            let found = Conformal::calibrate(&items, &labels, &clusters, alpha, score, strata, Unit::Item).unwrap();
            let sets = found.sets(&others).unwrap();
            // Each stratum has an interval of its own.
            for threshold in &found.thresholds {
                let own: Vec<usize> = (0..m)
                    .filter(|&at| match strata {
                        Strata::Marginal => true,
                        Strata::Label => Some(truth[at] as u32) == threshold.stratum,
                        Strata::Group => Some(groups[n + at]) == threshold.stratum,
                    })
                    .collect();
                let Some((low, high)) = coverage_interval(threshold.units, own.len(), alpha, 0.95) else { continue };
                let hits = own.iter().filter(|&&at| sets[at * 3 + truth[at]]).count() as f64;
                let share = hits / own.len() as f64;
                // Of the fixed form many scores are 1, the sum of all classes: ties only raise the coverage.
                let high = if score == Score::Aps { 1.0 } else { high };
                inside += usize::from((low - 1e-12..=high + 1e-12).contains(&share));
                judged += 1;
                covered += hits;
                all += own.len() as f64;
            }
        }
        let share = inside as f64 / judged as f64;
        // Four standard errors; the intervals are discrete and hold a little more than 95 %.
        assert!(share > 0.95 - 4.0 * (0.95 * 0.05 / STUDIES as f64).sqrt(), "{score:?} {strata:?}: {share}");
        let coverage = covered / all;
        assert!(coverage > 0.9 - 0.006, "{score:?} {strata:?}: {coverage}");
        assert!(coverage < 0.92 || score == Score::Aps, "{score:?} {strata:?}: {coverage}");
    }
}

/// Frames of a video are alike: taken one by one, a calibration of few videos believes that it knows more than
/// it does; by video, the promise holds for a random frame and, with the worst one, for whole videos.
#[test]
fn a_video_is_one_unit() {
    const STUDIES: usize = 500;
    let (videos, frames, alpha) = (30usize, 8usize, 0.1);
    let mut random = Random::new(2);
    let (mut one, mut whole) = (0, 0);
    for study in 0..STUDIES as u64 {
        let mut draw = |count: usize| -> Vec<f64> {
            (0..count)
                .flat_map(|_| {
                    let own = 1.5 * random.normal() + 1.0;
                    let mut frame = || 1.0 / (1.0 + (-own - 0.5 * random.normal()).exp());
                    (0..frames)
                        .flat_map(|_| {
                            let p = frame();
                            [1.0 - p, p]
                        })
                        .collect::<Vec<f64>>()
                })
                .collect()
        };
        let (probs, new) = (draw(videos), draw(1));
        let labels = vec![1; videos * frames];
        let clusters: Vec<u32> = (0..(videos * frames) as u32).map(|at| at / frames as u32).collect();
        let keys: Vec<u64> = (0..(videos * frames) as u64).map(|at| study << 32 | at).collect();
        let items = Items { probs: &probs, classes: 2, keys: &keys, groups: &[] };
        let others = Items { probs: &new, classes: 2, keys: &[], groups: &[] };
        let sets = |unit| {
            let found = Conformal::calibrate(&items, &labels, &clusters, alpha, Score::Lac, Strata::Marginal, unit);
            let found = found.unwrap();
            assert_eq!(found.thresholds[0].units, videos);
            found.sets(&others).unwrap()
        };
        one += usize::from(sets(Unit::Drawn { seed: 1 })[1]);
        whole += usize::from(sets(Unit::Worst).chunks_exact(2).all(|set| set[1]));
        let error = Conformal::calibrate(&items, &labels, &clusters, alpha, Score::Lac, Strata::Marginal, Unit::Item);
        assert!(error.unwrap_err().to_string().contains("Unit::Worst"));
    }
    for (share, what) in [(one, "a frame"), (whole, "all frames")] {
        let share = share as f64 / STUDIES as f64;
        // 28 of 31 is .903; four standard errors.
        assert!((0.9 - 0.054..0.96).contains(&share), "{what}: {share}");
    }
}

/// A detector whose doubt is uniform, and how often it errs at each doubt.
type Risk = fn(f64) -> f64;

const RISKS: [Risk; 3] = [
    // rises
    |d| 0.5 * d * d,
    // steps
    |d| if d < 0.5 { 0.02 } else { 0.4 },
    // a bad stretch
    |d| if d > 0.3 && d < 0.35 { 0.5 } else { 0.12 * d + 0.03 },
];

/// Mean risk up to a threshold.
fn mean_risk(risk: Risk, threshold: f64) -> f64 {
    const STEPS: usize = 2000;
    (0..STEPS).map(|k| risk(threshold * (k as f64 + 0.5) / STEPS as f64)).sum::<f64>() / STEPS as f64
}

#[test]
fn learn_then_test_fails_as_rarely_as_it_says() {
    const STUDIES: usize = 600;
    let grid: Vec<f64> = (4..=20).map(|k| f64::from(k) / 20.0).collect();
    let (alpha, delta) = (0.1, 0.1);
    let slack = 3.0 * (delta * (1.0 - delta) / STUDIES as f64).sqrt();
    for (at, risk) in RISKS.into_iter().enumerate() {
        for grid in [None, Some(&grid[..])] {
            let mut random = Random::new(3 + at as u64);
            let (mut violated, mut found, mut naive) = (0, 0, 0);
            for _ in 0..STUDIES {
                let doubt: Vec<f64> = (0..400).map(|_| random.uniform()).collect();
                let wrong: Vec<bool> = doubt.iter().map(|&d| random.uniform() < risk(d)).collect();
                let clusters: Vec<u32> = (0..400).collect();
                // What one would take without a guarantee: the largest threshold that looks good.
                let mut items: Vec<(f64, bool)> = doubt.iter().copied().zip(wrong.iter().copied()).collect();
                items.sort_by(|a, b| a.0.total_cmp(&b.0));
                let mut errors = 0.0;
                let good = items.iter().zip(1..).filter(|((_, wrong), answered)| {
                    errors += f64::from(u8::from(*wrong));
                    errors / f64::from(*answered) <= alpha
                });
                naive += usize::from(good.last().is_some_and(|((d, _), _)| mean_risk(risk, *d) > alpha));
                let promise = Promise::WrongAmongAnswered { alpha, delta };
                let Some(threshold) = abstention(&doubt, &wrong, &clusters, promise, grid).unwrap().threshold.value
                else {
                    continue;
                };
                found += 1;
                violated += usize::from(mean_risk(risk, threshold) > alpha);
            }
            let share = violated as f64 / STUDIES as f64;
            assert!(share <= delta + slack, "risk {at}, grid {}: {share}", grid.is_some());
            assert!(naive > STUDIES / 5, "risk {at}: {naive} violations without a test");
            assert!(found > STUDIES / 2, "risk {at}, grid {}: {found} thresholds found", grid.is_some());
        }
    }
}

/// Videos of four frames that are wrong together.
fn wrong_together(random: &mut Random, videos: usize) -> (Vec<f64>, Vec<bool>, Vec<u32>) {
    let (mut doubt, mut wrong, mut clusters) = (Vec::new(), Vec::new(), Vec::new());
    for video in 0..videos {
        let hard = random.uniform();
        for _ in 0..4 {
            let d = (0.8 * hard + 0.2 * random.uniform()).min(1.0);
            doubt.push(d);
            wrong.push(hard > 0.85 && random.uniform() < 0.9 || random.uniform() < 0.02);
            clusters.push(video as u32);
        }
    }
    (doubt, wrong, clusters)
}

#[test]
fn guarantees_hold_for_videos_of_frames() {
    const STUDIES: usize = 500;
    let mut random = Random::new(8);
    let (doubt, wrong, clusters) = wrong_together(&mut random, 6_000);
    let (alpha, delta) = (0.08, 0.1);
    let promise = Promise::WrongAmongAnswered { alpha, delta };
    let both = Promise::AnsweredAndWrong { alpha };
    // What the risk is at each of a hundred thresholds.
    let truth: Vec<(f64, f64)> = (0..=100)
        .map(|k| {
            let risk = |promise| {
                observed(Some(f64::from(k) / 100.0), promise, &doubt, &wrong, &clusters)
                    .unwrap()
                    .risk
                    .value
                    .unwrap_or(0.0)
            };
            (risk(promise), risk(both))
        })
        .collect();
    let (mut violated, mut found, mut expected) = (0, 0, 0.0);
    for _ in 0..STUDIES {
        let (doubt, wrong, clusters) = wrong_together(&mut random, 250);
        if let Some(threshold) = abstention(&doubt, &wrong, &clusters, promise, None).unwrap().threshold.value {
            found += 1;
            violated += usize::from(truth[(threshold * 100.0) as usize].0 > alpha);
        }
        if let Some(threshold) = abstention(&doubt, &wrong, &clusters, both, None).unwrap().threshold.value {
            expected += truth[(threshold * 100.0).ceil() as usize].1;
        }
    }
    let share = violated as f64 / STUDIES as f64;
    assert!(share <= delta + 3.0 * (delta * (1.0 - delta) / STUDIES as f64).sqrt(), "{share}");
    assert!(found > STUDIES / 2, "{found}");
    let expected = expected / STUDIES as f64;
    assert!(expected <= alpha + 0.002 && expected > alpha / 2.0, "{expected}");
}

#[test]
fn conformal_risk_control_keeps_the_expected_share() {
    const STUDIES: usize = 600;
    let alpha = 0.05;
    for (at, risk) in RISKS.into_iter().enumerate() {
        let mut random = Random::new(20 + at as u64);
        let mut sum = 0.0;
        for _ in 0..STUDIES {
            let doubt: Vec<f64> = (0..100).map(|_| random.uniform()).collect();
            let wrong: Vec<bool> = doubt.iter().map(|&d| random.uniform() < risk(d)).collect();
            let clusters: Vec<u32> = (0..100).collect();
            let found = abstention(&doubt, &wrong, &clusters, Promise::AnsweredAndWrong { alpha }, None).unwrap();
            if let Some(threshold) = found.threshold.value {
                sum += threshold * mean_risk(risk, threshold);
            }
        }
        let expected = sum / STUDIES as f64;
        assert!(expected <= alpha + 0.003 && expected > alpha / 2.0, "risk {at}: {expected}");
    }
}

/// Two detectors on items of people who differ in how easy they are; a person is all real or all fake.
fn people(random: &mut Random, people: usize, each: usize) -> (Vec<f64>, Vec<f64>, Vec<bool>, Vec<u32>) {
    let mut out = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for person in 0..people as u32 {
        let (taste, other) = (random.normal(), random.normal());
        for _ in 0..each {
            let positive = person % 2 == 0;
            let signal = if positive { 1.0 } else { 0.0 };
            out.0.push(signal + taste + random.normal());
            out.1.push(signal + 0.5 * taste + other + random.normal());
            out.2.push(positive);
            out.3.push(person);
        }
    }
    out
}

#[test]
fn the_clustered_interval_covers_where_the_one_for_rows_does_not() {
    const STUDIES: usize = 400;
    // AUROC of two normals a distance of 1 apart: each of variance 1 + 1 and 1 + .25 + 1.
    let truth = [0.691_462_461_274_013, 0.681_324_055_883_138_6];
    let mut random = Random::new(30);
    let (mut clustered, mut rows, mut difference) = (0, 0, 0);
    for _ in 0..STUDIES {
        let (first, second, positive, clusters) = people(&mut random, 40, 12);
        let holds = |e: &Estimate, truth: f64| e.low.unwrap() <= truth && truth <= e.high.unwrap();
        let found = auroc_clustered(&first, &second, &positive, &clusters, 0.95).unwrap();
        clustered += usize::from(holds(&found.first, truth[0]));
        difference += usize::from(holds(&found.difference, truth[0] - truth[1]));
        let single: Vec<u32> = (0..positive.len() as u32).collect();
        rows += usize::from(holds(&delong(&first, &second, &positive, &single, 0.95).unwrap().first, truth[0]));
        assert!(delong(&first, &second, &positive, &clusters, 0.95).unwrap_err().to_string().contains("Obuchowski"));
    }
    let share = |count: usize| count as f64 / STUDIES as f64;
    assert!((0.91..0.98).contains(&share(clustered)), "{}", share(clustered));
    assert!((0.91..0.98).contains(&share(difference)), "{}", share(difference));
    assert!(share(rows) < 0.75, "{}", share(rows));
}

/// As [`Bootstrap`] draws.
fn drawn(seed: u64, stream: u64, count: usize) -> Vec<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    let mut times = vec![0; count];
    for _ in 0..count {
        times[((u128::from(random.next_u64()) * count as u128) >> 64) as usize] += 1;
    }
    times
}

#[test]
fn the_paired_bootstrap_is_copying_and_starting_over() {
    let (first, second, positive, clusters) = people(&mut Random::new(40), 12, 5);
    let bootstrap = Bootstrap { replicates: 99, level: 0.9, seed: 6, min_clusters: 5 };
    let donors: Vec<Option<u32>> =
        positive.iter().enumerate().map(|(at, &p)| p.then_some(7 + 3 * (at as u32 % 6))).collect();
    let metric = |scores: &[f64]| Auroc::new(scores, &positive);
    let one_way = paired_bootstrap(&metric(&first), &metric(&second), &clusters, &bootstrap).unwrap();
    let two_way = paired_bootstrap_two_way(&metric(&first), &metric(&second), &donors, &clusters, &bootstrap).unwrap();
    for (found, crossed) in [(one_way, false), (two_way, true)] {
        let mut differences: Vec<f64> = (0..99)
            .filter_map(|replicate| {
                let of_target = drawn(6, if crossed { 2 * replicate } else { replicate }, 12);
                let of_donor = drawn(6, 2 * replicate + 1, 6);
                let (mut a, mut b, mut y) = (Vec::new(), Vec::new(), Vec::new());
                for at in 0..positive.len() {
                    let by_donor = donors[at].map_or(1, |donor| of_donor[(donor as usize - 7) / 3]);
                    let times = of_target[clusters[at] as usize] * if crossed { by_donor } else { 1 };
                    for _ in 0..times {
                        a.push(first[at]);
                        b.push(second[at]);
                        y.push(positive[at]);
                    }
                }
                let ones = vec![1; y.len()];
                Some(Auroc::new(&a, &y).value(&ones).ok()? - Auroc::new(&b, &y).value(&ones).ok()?)
            })
            .collect();
        differences.sort_by(f64::total_cmp);
        let n = differences.len() as f64;
        assert!(n >= 95.0);
        let at = |level: f64| {
            let place = level * (n - 1.0);
            let (low, high) = (differences[place.floor() as usize], differences[place.ceil() as usize]);
            low * (1.0 - place.fract()) + high * place.fract()
        };
        let near = |found: Option<f64>, want: f64| assert!((found.unwrap() - want).abs() < 1e-12, "{found:?} {want}");
        near(found.difference.low, at(0.05));
        near(found.difference.high, at(0.95));
        let mean = differences.iter().sum::<f64>() / n;
        let error = (differences.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / (n - 1.0)).sqrt();
        near(found.standard_error.value, error);
        let below =
            differences.iter().filter(|d| **d <= 0.0).count().min(differences.iter().filter(|d| **d >= 0.0).count());
        near(found.p_value.value, (2.0 * (below as f64 + 1.0) / (n + 1.0)).min(1.0));
    }
}

/// Who is hard as a target and who is hard as a donor both vary: resampling targets alone is too sure.
#[test]
fn two_ways_of_depending_widen_the_interval() {
    const STUDIES: usize = 200;
    let mut random = Random::new(50);
    let (mut held, mut held_one_way) = (0, 0);
    for study in 0..STUDIES as u64 {
        let donors: Vec<f64> = (0..15).map(|_| random.normal()).collect();
        let (mut values, mut target_of, mut donor_of) = (Vec::new(), Vec::new(), Vec::new());
        for target in 0..25u32 {
            let own = random.normal();
            for (donor, effect) in donors.iter().enumerate() {
                values.push(own + effect + random.normal());
                target_of.push(target);
                donor_of.push(Some(donor as u32));
            }
        }
        let zero = Mean(vec![0.0; values.len()]);
        let bootstrap = Bootstrap { replicates: 200, seed: study, ..Bootstrap::default() };
        let values = Mean(values);
        let two = paired_bootstrap_two_way(&values, &zero, &donor_of, &target_of, &bootstrap).unwrap().difference;
        let one = paired_bootstrap(&values, &zero, &target_of, &bootstrap).unwrap().difference;
        held += usize::from(two.low.unwrap() <= 0.0 && 0.0 <= two.high.unwrap());
        held_one_way += usize::from(one.low.unwrap() <= 0.0 && 0.0 <= one.high.unwrap());
    }
    // The percentile interval of 15 donors covers some 92 %; the standard error is 2 %.
    assert!((170..=198).contains(&held), "{held} of {STUDIES}");
    assert!(held_one_way < 160, "{held_one_way} of {STUDIES}");
}

#[test]
fn the_order_of_the_items_and_the_number_of_threads_change_nothing() {
    let mut random = Random::new(60);
    let (first, second, positive, clusters) = people(&mut random, 15, 6);
    let n = first.len();
    let round = |values: &[f64]| -> Vec<f64> {
        values.iter().map(|v| 1.0 / (1.0 + (-v).exp())).map(|p| (p * 20.0).round() / 20.0).collect()
    };
    let (p, q) = (round(&first), round(&second));
    let run = |order: &[usize]| {
        let f = |values: &[f64]| -> Vec<f64> { order.iter().map(|&at| values[at]).collect() };
        let (p, q) = (f(&p), f(&q));
        let y: Vec<bool> = order.iter().map(|&at| positive[at]).collect();
        let c: Vec<u32> = order.iter().map(|&at| clusters[at]).collect();
        let keys: Vec<u64> = order.iter().map(|&at| at as u64).collect();
        let donors: Vec<Option<u32>> = order.iter().map(|&at| (at % 3 > 0).then_some(at as u32 % 7)).collect();
        let single: Vec<u32> = order.iter().map(|&at| at as u32).collect();
        let wrong: Vec<bool> = p.iter().zip(&y).map(|(p, y)| (*p > 0.5) != *y).collect();
        let right: Vec<bool> = wrong.iter().map(|w| !w).collect();
        let labels: Vec<usize> = y.iter().map(|&y| usize::from(y)).collect();
        let rows: Vec<f64> = p.iter().flat_map(|p| [1.0 - p, *p]).collect();
        let items = Items { probs: &rows, classes: 2, keys: &keys, groups: &c };
        let mut out = Vec::new();
        let mut add = |text: String| out.push(text);
        for unit in [Unit::Drawn { seed: 1 }, Unit::Worst] {
            for strata in [Strata::Marginal, Strata::Label, Strata::Group] {
                for score in [Score::Lac, Score::Aps, Score::ApsRandomised { seed: 2 }] {
                    let found = Conformal::calibrate(&items, &labels, &c, 0.2, score, strata, unit).unwrap();
                    let sets = found.sets(&items).unwrap();
                    add(format!("{found:?} {:?}", set_quality(&sets, 2, &labels, &c, &c, None).unwrap()));
                }
            }
        }
        for promise in
            [Promise::WrongAmongAnswered { alpha: 0.45, delta: 0.3 }, Promise::AnsweredAndWrong { alpha: 0.2 }]
        {
            add(format!("{:?}", abstention(&q, &wrong, &c, promise, None).unwrap()));
            add(format!("{:?}", observed(Some(0.5), promise, &q, &wrong, &c).unwrap()));
        }
        for how in [Recalibration::None, Recalibration::Logistic, Recalibration::Pav] {
            let fitted = LikelihoodRatios::fit(&p, &y, &c, None, how).unwrap();
            let ratios = fitted.log10_lr(&p).unwrap();
            add(format!("{fitted:?} {:?} {:?}", forensic_cost(&ratios, &y), tippett(&ratios, &y)));
            add(format!("{:?}", empirical_cross_entropy(&ratios, &y, &[-1.0, 0.3])));
        }
        add(format!("{:?}", detects_unseen(&p, &y).unwrap()));
        let groups = by_group(&p, &right, &c).unwrap();
        let (doubt, accuracy): (Vec<f64>, Vec<f64>) = groups.iter().map(|g| (g.doubt, g.accuracy)).unzip();
        add(format!("{groups:?} {:?}", correlation(&doubt, &accuracy, 3).unwrap()));
        add(format!("{:?}", auroc_clustered(&p, &q, &y, &c, 0.95).unwrap()));
        add(format!("{:?}", delong(&p, &q, &y, &single, 0.95).unwrap()));
        add(format!("{:?}", accuracy_difference(&right, &y, &c, 0.95).unwrap()));
        add(format!("{:?}", mcnemar(&right, &y, &single).unwrap()));
        let bootstrap = Bootstrap { replicates: 50, ..Bootstrap::default() };
        let metric = |scores: &[f64]| Auroc::new(scores, &y);
        add(format!("{:?}", paired_bootstrap(&metric(&p), &metric(&q), &c, &bootstrap).unwrap()));
        add(format!("{:?}", paired_bootstrap_two_way(&metric(&p), &metric(&q), &donors, &c, &bootstrap).unwrap()));
        out
    };
    let mut order: Vec<usize> = (0..n).collect();
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let want = pool(1).install(|| run(&order));
    for threads in 1..=3 {
        random.shuffle(&mut order);
        let found = pool(threads).install(|| run(&order));
        for (found, want) in found.iter().zip(&want) {
            assert_eq!(found, want);
        }
    }
}
