//! Source detection from the uncertainty, on simulated detectors of which it is known what there is to be found.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use dubito_report::manifold::{Column, Fakes, Kind, Learner, ManifoldOptions, fakes, permuted, source_section};
use dubito_report::section::{ChartKind, Section, Value};
use dubito_report::write_section;
use dubito_report::{PredictionWriter, ReportError, Row};
use dubito_stats::classify::Matrix;
use dubito_stats::{Bootstrap, Estimate, Task};

const GENERATORS: [&str; 4] = ["blend", "mouth", "swap", "wave"];
const FOLDS: usize = 3;
const FRAMES: usize = 4;
const SAMPLES: usize = 8;

/// A number from 0 to 1 that depends on nothing but its key.
fn noise(key: [usize; 4]) -> f64 {
    let mix = |state: u64, part: usize| {
        let mut z = (state ^ part as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (key.into_iter().fold(7, mix) >> 11) as f64 / (1u64 << 53) as f64
}

/// What generators, or people, do to a detector.
#[derive(Clone, Copy, PartialEq)]
enum Truth {
    /// Generators differ in how far samples disagree, and in nothing else: the mean probability is the same to rounding.
    Epistemic,
    /// Nothing differs.
    Nothing,
    /// People differ, in both.
    People,
}

struct Simulated {
    truth: Truth,
    people: usize,
    seed: usize,
    detector: &'static str,
}

impl Simulated {
    fn new(truth: Truth) -> Self {
        Self { truth, people: 24, seed: 1, detector: "resnet18" }
    }

    /// The mean probability of a frame, and how far its samples are from it.
    fn frame(&self, person: usize, generator: usize, frame: usize) -> (f64, f64) {
        let own = |kind| noise([self.seed, person * 31 + generator, frame, kind]);
        let of_person = |kind| noise([self.seed, person, 999, kind]);
        let mean = match self.truth {
            Truth::People => 0.35 + 0.3 * of_person(1) + 0.04 * own(1),
            _ => 0.4 + 0.2 * noise([self.seed, person * 31 + generator, 77, 1]) + 0.04 * own(1),
        };
        let spread = match self.truth {
            Truth::Epistemic => 0.03 + 0.05 * generator.min(3) as f64 + 0.03 * own(2),
            Truth::Nothing => 0.05 + 0.15 * own(2),
            Truth::People => 0.02 + 0.12 * of_person(2) + 0.03 * own(2),
        };
        (mean, spread)
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for person in 0..self.people {
            for (at, generator) in GENERATORS.into_iter().chain(["real"]).enumerate() {
                let video = format!("{person:02}_{generator}");
                for frame in 0..FRAMES {
                    let (mean, spread) = self.frame(person, at, frame);
                    for sample in 0..SAMPLES {
                        // Deviations that sum to 0, the same for all.
                        let deviation = (sample as f64 - 3.5) / 2.3;
                        let p = mean + spread * deviation;
                        rows.push(Row {
                            item: format!("{video}#{frame}"),
                            label: usize::from(generator != "real"),
                            probs: vec![1.0 - p, p],
                            sample: sample as u64,
                            frame: Some(frame as u64),
                            video: Some(video.clone()),
                            generator: Some(generator.into()),
                            identity: Some(format!("person{person:02}")),
                            detector: Some(self.detector.into()),
                            fold: Some(format!("fold{}", person % FOLDS)),
                            ..Row::default()
                        });
                    }
                }
            }
        }
        rows
    }

    fn write(&self, folder: &Path) -> PathBuf {
        write(folder, &Task::binary(), &self.rows())
    }
}

fn write(folder: &Path, task: &Task, rows: &[Row]) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join("predictions.parquet");
    let mut writer = PredictionWriter::create(&path, task, &serde_json::json!({})).unwrap();
    rows.iter().for_each(|row| writer.push(row).unwrap());
    writer.finish().unwrap();
    path
}

fn options() -> ManifoldOptions {
    ManifoldOptions {
        bootstrap: Bootstrap { replicates: 200, ..Bootstrap::default() },
        permutations: 39,
        ..ManifoldOptions::default()
    }
}

/// A cell of a table, by the words in the row's first cells.
fn cell<'a>(section: &'a Section, table: &str, row: &[&str], column: &str) -> &'a Value {
    let table = section.tables.iter().find(|t| t.name == table).unwrap();
    let column = table.columns.iter().position(|c| c == column).unwrap();
    let is_it = |cells: &&Vec<Value>| row.iter().zip(cells.iter()).all(|(text, cell)| *cell == Value::from(*text));
    &table.rows.iter().find(is_it).unwrap_or_else(|| panic!("no row {row:?}"))[column]
}

fn estimate<'a>(section: &'a Section, table: &str, row: &[&str], column: &str) -> &'a Estimate {
    match cell(section, table, row, column) {
        Value::Estimate(estimate) => estimate,
        other => panic!("{other:?}"),
    }
}

fn covers(estimate: &Estimate, number: f64) -> bool {
    estimate.low.unwrap() <= number && number <= estimate.high.unwrap()
}

#[test]
fn generators_that_differ_in_the_epistemic_uncertainty_alone_are_told_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = Simulated::new(Truth::Epistemic).write(folder.path());
    let section = source_section(&[path], &options()).unwrap();
    for classifier in ["linear", "k-NN", "boosted trees"] {
        for set in ["uncertainty", "epistemic only", "both"] {
            let found = estimate(&section, "source_accuracy", &[set, classifier], "balanced accuracy");
            assert!(found.low.unwrap() > 0.5, "{set} {classifier}: {found:?}");
        }
        let found = estimate(&section, "source_accuracy", &["probability", classifier], "balanced accuracy");
        assert!(found.value.unwrap() < 0.4, "{classifier}: {found:?}");
        let difference =
            estimate(&section, "source_differences", &["uncertainty less probability", classifier], "difference");
        assert!(difference.low.unwrap() > 0.0, "{classifier}: {difference:?}");
    }
    assert_eq!(estimate(&section, "source_accuracy", &["uncertainty", "linear"], "p").value, Some(1.0 / 40.0));
    assert!(estimate(&section, "source_accuracy", &["probability", "linear"], "p").value.unwrap() > 0.05);
    // By permuted labels nothing is told, and the range says how far chance goes.
    assert!(covers(estimate(&section, "source_accuracy", &["uncertainty", "linear"], "permuted"), 0.25));
    // The largest spreads are those of the last generator.
    let area = estimate(&section, "source_open_set", &["uncertainty", "wave"], "OSCR");
    let closed = estimate(&section, "source_open_set", &["uncertainty", "wave"], "closed");
    assert!(area.value.unwrap() < closed.value.unwrap());
    assert!(section.findings[0].contains("better than by chance"), "{}", section.findings[0]);
    let ChartKind::Scatter { panels, x, .. } =
        &section.charts.iter().find(|chart| chart.name == "source_pca").unwrap().kind
    else {
        panic!("no scatter")
    };
    assert_eq!((panels.len(), panels[0].groups.len(), panels[0].groups[0].1.len()), (2, 4, 24));
    assert!(x.label.contains("% of the variance"), "{}", x.label);
    assert!(section.charts.iter().any(|chart| chart.name == "source_tsne"));
    // Every row is as long as its heads, and what is drawn is defined.
    for table in &section.tables {
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{}", table.name);
    }
    let json = serde_json::to_string(&section).unwrap();
    let again: Section = serde_json::from_str(&json).unwrap();
    assert_eq!(again.tables.len(), section.tables.len());
}

#[test]
fn where_nothing_or_only_people_differ_nothing_is_told() {
    // One set of 96 fakes may look like something; ten of them together do not.
    const SETS: [&str; 4] = ["probability", "uncertainty", "epistemic only", "both"];
    let quick = ManifoldOptions { permutations: 0, learners: vec![Learner::Linear, Learner::Neighbours], ..options() };
    for truth in [Truth::Nothing, Truth::People] {
        let (mut sums, mut covering, mut intervals) = ([0.0; 4], 0, 0);
        for seed in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let path = Simulated { seed, ..Simulated::new(truth) }.write(folder.path());
            let section = source_section(&[path], &quick).unwrap();
            for (sum, set) in sums.iter_mut().zip(SETS) {
                for classifier in ["linear", "k-NN"] {
                    let found = estimate(&section, "source_accuracy", &[set, classifier], "balanced accuracy");
                    *sum += found.value.unwrap() / 20.0;
                    covering += usize::from(covers(found, 0.25));
                    intervals += 1;
                }
            }
        }
        // The standard error of a mean over 960 fakes is .014.
        assert!(sums.iter().all(|mean| (mean - 0.25).abs() < 0.045), "{sums:?}");
        assert!(covering * 100 >= intervals * 80, "{covering} of {intervals} intervals hold chance");
    }
}

/// Fakes whose features are noise, or those of their person.
fn noise_fakes(seed: usize, of_people: bool) -> Fakes {
    let (people, classes, columns) = (15, 3, 4);
    let mut values = Vec::new();
    let (mut labels, mut person, mut fold) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..people * classes {
        labels.push(i % classes);
        person.push((i / classes) as u32);
        fold.push(i / classes % 3);
        let shared = if of_people { 3.0 } else { 0.0 };
        values.extend((0..columns).map(|c| noise([seed, i, c, 5]) + shared * noise([seed, i / classes, c, 6])));
    }
    Fakes {
        detectors: vec![("d".into(), None)],
        columns: (0..columns)
            .map(|c| Column {
                name: format!("d.{c}"),
                detector: Some(0),
                feature: c.to_string(),
                kind: Kind::Epistemic,
            })
            .collect(),
        x: Matrix::new(labels.len(), columns, values).unwrap(),
        videos: (0..labels.len()).map(|i| format!("v{i}")).collect(),
        generators: ["a", "b", "c"].map(String::from).to_vec(),
        labels,
        people: (0..people).map(|p| p.to_string()).collect(),
        person,
        folds: (0..3).map(|f| f.to_string()).collect(),
        fold,
        folds_are_given: true,
        people_are_known: true,
        notes: Vec::new(),
    }
}

#[test]
fn p_values_of_nothing_are_uniform() {
    for of_people in [false, true] {
        let p_value = |seed| {
            let fakes = noise_fakes(seed, of_people);
            permuted(&fakes, &[0, 1, 2, 3], Learner::Linear, 19, 3).unwrap().p_value.value.unwrap()
        };
        let found: Vec<f64> = (0..200).map(p_value).collect();
        // Multiples of 1/20; at most so many below each level as chance allows (binomial, 4 standard errors).
        for level in [0.05, 0.25, 0.5, 0.75] {
            let share = found.iter().filter(|&&p| p <= level + 1e-9).count() as f64 / 200.0;
            let slack = 4.0 * (level * (1.0 - level) / 200.0f64).sqrt();
            assert!((share - level).abs() < slack, "{of_people} {level}: {share}");
        }
    }
}

#[test]
fn trees_and_neighbours_tell_what_no_line_can() {
    // Two features, two generators: one where the features are on the same side, the other where they are not.
    let mut fakes = noise_fakes(5, false);
    let side = |i: usize, c: usize| noise([9, i, c, 7]) - 0.5;
    let count = 600;
    fakes.x = Matrix::new(count, 2, (0..count).flat_map(|i| [side(i, 0), side(i, 1)]).collect()).unwrap();
    fakes.labels = (0..count).map(|i| usize::from(side(i, 0) * side(i, 1) > 0.0)).collect();
    fakes.generators = ["a", "b"].map(String::from).to_vec();
    fakes.person = (0..count as u32).map(|i| i % 15).collect();
    fakes.fold = (0..count).map(|i| i % 15 % 3).collect();
    let of = |learner| permuted(&fakes, &[0, 1], learner, 0, 0).unwrap().observed.value.unwrap();
    assert!(of(Learner::Trees) > 0.95, "{}", of(Learner::Trees));
    assert!(of(Learner::Neighbours) > 0.85, "{}", of(Learner::Neighbours));
    assert!(of(Learner::Linear) < 0.6, "{}", of(Learner::Linear));
}

#[test]
fn a_signal_that_two_detectors_share_is_found_by_either() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = [1, 2]
        .map(|seed| {
            Simulated { seed, ..Simulated::new(Truth::Epistemic) }.write(&folder.path().join(format!("seed{seed}")))
        })
        .to_vec();
    let section = source_section(&paths, &options()).unwrap();
    let across = estimate(&section, "source_transfer", &["resnet18 (seed1)"], "tested on resnet18 (seed2)");
    assert!(across.low.unwrap() > 0.5, "{across:?}");
    let matrix = section.charts.iter().find(|chart| chart.name == "source_transfer").unwrap();
    let ChartKind::Matrix { rows, values, .. } = &matrix.kind else { panic!("no matrix") };
    assert_eq!((rows.len(), values.len(), values[0].len()), (2, 2, 2));
    // Names given by the caller, and in the other order, give the same.
    let backwards: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    let named = ManifoldOptions { names: vec!["b".into(), "a".into()], ..options() };
    let again = source_section(&backwards, &named).unwrap();
    assert_eq!(estimate(&again, "source_transfer", &["a"], "tested on b"), across);
}

#[test]
fn the_same_whatever_the_threads_and_the_order_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = Simulated { people: 12, ..Simulated::new(Truth::Epistemic) };
    let path = simulated.write(&folder.path().join("a"));
    let mut rows = simulated.rows();
    rows.reverse();
    let other = write(&folder.path().join("b"), &Task::binary(), &rows);
    let small = ManifoldOptions { permutations: 5, ..options() };
    let run = |path: PathBuf, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let section = pool.install(|| source_section(&[path], &small)).unwrap();
        (section.tables, section.charts, section.findings)
    };
    let first = run(path, 1);
    assert!(first == run(other, 3));
}

#[test]
fn several_classes_are_read_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let binary = Simulated::new(Truth::Nothing).write(&folder.path().join("binary"));
    // A detector that was taught three of the four generators and mostly names them.
    let task = Task::multiclass(["real", "blend", "mouth", "swap"]);
    let mut rows = Simulated::new(Truth::Nothing).rows();
    for (at, row) in rows.iter_mut().enumerate() {
        let generator = row.generator.clone().unwrap();
        let class = task.classes.iter().position(|class| *class == generator);
        row.label = class.unwrap_or(dubito_report::predictions::OTHER_FAKE);
        row.detector = Some("taught".into());
        let mut probs: Vec<f64> = (0..4).map(|k| 0.1 + 0.2 * noise([at, k, 3, 3])).collect();
        probs[class.unwrap_or(1)] += 0.25;
        let sum: f64 = probs.iter().sum();
        row.probs = probs.iter().map(|p| p / sum).collect();
    }
    let classes = write(&folder.path().join("classes"), &task, &rows);
    let section = source_section(&[binary, classes], &options()).unwrap();
    let own = estimate(
        &section,
        "source_accuracy",
        &["own output of taught", "its most probable generator"],
        "balanced accuracy",
    );
    // Three of four are named, the fourth cannot be.
    assert!((0.6..=0.75).contains(&own.value.unwrap()), "{own:?}");
    assert!(section.skipped.iter().any(|why| why.contains("has no class for wave")), "{:?}", section.skipped);
    assert!(
        estimate(&section, "source_accuracy", &["class probabilities", "linear"], "balanced accuracy").low.unwrap()
            > 0.5
    );
    assert!(
        estimate(&section, "source_accuracy", &["class uncertainty", "linear"], "balanced accuracy").low.unwrap()
            > 0.25
    );
    assert!(covers(estimate(&section, "source_accuracy", &["uncertainty", "linear"], "balanced accuracy"), 0.25));
}

#[test]
fn features_are_those_of_another_derivation() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/manifold.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions.csv");
    std::fs::write(&path, golden["csv"].as_str().unwrap()).unwrap();
    let found = fakes(&[path], &options()).unwrap();
    let expected = golden["features"].as_object().unwrap();
    assert_eq!(found.videos.len(), expected.len());
    let mut compared = 0;
    for (row, video) in found.videos.iter().enumerate() {
        for (at, column) in found.columns.iter().enumerate() {
            let expected = expected[video][&column.feature].as_f64();
            let found = found.x.row(row)[at];
            match expected {
                Some(expected) => {
                    assert!((found - expected).abs() < 1e-9, "{video} {}: {found} {expected}", column.name)
                }
                None => assert!(found.is_nan(), "{video} {}: {found}", column.name),
            }
            compared += 1;
        }
    }
    assert_eq!(compared, golden["features"].as_object().unwrap().len() * golden["names"].as_array().unwrap().len());
}

#[test]
fn further_columns_are_joined_by_video() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = Simulated::new(Truth::Nothing);
    let path = simulated.write(folder.path());
    let table = folder.path().join("regions.csv");
    let mut text = "video,generator,mouth_share,flat\n".to_owned();
    for person in 0..simulated.people {
        for (at, generator) in GENERATORS.into_iter().enumerate() {
            // One person is not there, and one cell is empty.
            let share = 0.2 * at as f64 + 0.1 * noise([person, at, 1, 1]);
            let share = if person == 3 && at == 0 { String::new() } else { share.to_string() };
            if person > 0 {
                text += &format!("{person:02}_{generator},{generator},{share},1\n");
            }
        }
    }
    std::fs::write(&table, text).unwrap();
    let with = ManifoldOptions { further: Some(table.clone()), ..options() };
    let section = source_section(std::slice::from_ref(&path), &with).unwrap();
    assert!(
        estimate(&section, "source_accuracy", &["further columns", "linear"], "balanced accuracy").low.unwrap() > 0.7
    );
    let row = ["uncertainty and further columns less uncertainty", "linear"];
    assert!(estimate(&section, "source_differences", &row, "difference").low.unwrap() > 0.3);
    let says = |text: &str| section.skipped.iter().any(|why| why.contains(text));
    assert!(says("4 of 96 fakes are not in"), "{:?}", section.skipped);
    assert!(says("1 features are left out, being the same for all fakes: flat"), "{:?}", section.skipped);
    assert!(says("values are undefined"), "{:?}", section.skipped);
    for (bad, says) in [
        ("film,a\nx,1\n", "no column video"),
        ("video,a\nx,1\nx,2\n", "there twice"),
        ("video,a\nx,much\n", "expected a number"),
        ("video,a\nx,inf\n", "a finite number"),
        ("video,label\nx,1\n", "a feature"),
    ] {
        std::fs::write(&table, bad).unwrap();
        let error = source_section(std::slice::from_ref(&path), &with).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn what_predictions_cannot_tell_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let all = Simulated { people: 9, ..Simulated::new(Truth::Nothing) }.rows();
    let small = ManifoldOptions { permutations: 3, learners: vec![Learner::Linear], ..options() };
    let run =
        |name: &str, rows: &[Row]| source_section(&[write(&folder.path().join(name), &Task::binary(), rows)], &small);
    let error = |name: &str, rows: &[Row]| -> (String, String) {
        let error = run(name, rows).unwrap_err();
        (error.to_string(), error.hint().unwrap_or_default())
    };
    let of = |keep: &dyn Fn(&Row) -> bool| all.iter().filter(|row| keep(row)).cloned().collect::<Vec<_>>();
    let generator = |row: &Row| row.generator.clone().unwrap();

    let one = error("one generator", &of(&|row| ["real", "swap"].contains(&generator(row).as_str())));
    assert!(one.0.contains("one generator (swap)") && one.1.contains("several generators"), "{one:?}");
    let none = error("no fakes", &of(&|row| generator(row) == "real"));
    assert!(none.0.contains("no generator"), "{none:?}");
    let person = error("one person", &of(&|row| row.identity.as_deref() == Some("person00")));
    assert!(person.0.contains("of 3 people each"), "{person:?}");
    let mut crossing = all.clone();
    crossing.iter_mut().filter(|row| generator(row) == "swap").for_each(|row| row.fold = Some("fold9".into()));
    let crossing = error("a person in two folds", &crossing);
    assert!(crossing.0.contains("a person must be in one"), "{crossing:?}");
    let mut same = all.clone();
    same.iter_mut().for_each(|row| row.probs = vec![0.5, 0.5]);
    let same = error("constant", &same);
    assert!(same.0.contains("no feature differs"), "{same:?}");

    // Without folds they are made of people.
    let mut rows = all.clone();
    rows.iter_mut().for_each(|row| row.fold = None);
    let section = run("no folds", &rows).unwrap();
    assert!(section.skipped.iter().any(|why| why.contains("5 folds of people were made")), "{:?}", section.skipped);
    // One sample: no epistemic features, and the rest goes on.
    let section = run("one sample", &of(&|row| row.sample == 0)).unwrap();
    assert!(section.skipped.iter().any(|why| why.contains("no epistemic features")), "{:?}", section.skipped);
    assert!(section.skipped.iter().any(|why| why.starts_with("epistemic only:")), "{:?}", section.skipped);
    // One frame: no moments over frames.
    let section = run("one frame", &of(&|row| row.frame == Some(0))).unwrap();
    assert!(section.skipped.iter().any(|why| why.contains("undefined for more than half")), "{:?}", section.skipped);
    // Two generators: no open set.
    let two = of(&|row| ["real", "swap", "wave"].contains(&generator(row).as_str()));
    let section = run("two generators", &two).unwrap();
    assert!(section.skipped.iter().any(|why| why.contains("three are needed")), "{:?}", section.skipped);
    // Every person has one generator only: nothing to permute.
    let lone = of(&|row| {
        let person: usize = row.identity.as_deref().unwrap()[6..].parse().unwrap();
        generator(row) == GENERATORS[person / FOLDS]
    });
    let section = run("one each", &lone).unwrap();
    let p = estimate(&section, "source_accuracy", &["uncertainty", "linear"], "p");
    assert!(p.undefined_because.as_deref().unwrap().contains("no person has fakes of two"), "{p:?}");
}

#[test]
fn detectors_of_other_videos_are_joined_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let first = Simulated { people: 9, ..Simulated::new(Truth::Nothing) };
    let second = Simulated { people: 12, detector: "mobilenet", ..Simulated::new(Truth::Nothing) };
    let paths = [first.write(&folder.path().join("a")), second.write(&folder.path().join("b"))];
    let found = fakes(&paths, &options()).unwrap();
    assert_eq!((found.videos.len(), found.people.len()), (36, 9));
    assert!(found.notes.iter().any(|note| note.contains("12 of 48 fakes were not scored by every detector")));
    assert!(found.columns[0].name.starts_with("resnet18."), "{}", found.columns[0].name);
    // Detectors that were trained on other folds.
    let mut rows = second.rows();
    rows.iter_mut().for_each(|row| row.fold = Some(format!("{}x", row.fold.as_ref().unwrap())));
    let other = write(&folder.path().join("c"), &Task::binary(), &rows);
    let error = fakes(&[paths[0].clone(), other], &options()).unwrap_err();
    assert!(matches!(&error, ReportError::Experiment { problem, .. } if problem.contains("its fold is")), "{error}");
}

#[test]
fn written_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = Simulated { people: 9, ..Simulated::new(Truth::Epistemic) }.write(folder.path());
    let small = ManifoldOptions { permutations: 3, learners: vec![Learner::Linear], ..options() };
    let section = source_section(&[path], &small).unwrap();
    let out = folder.path().join("out");
    write_section(&out, &out, &section).unwrap();
    let again: Vec<Section> = serde_json::from_slice(&std::fs::read(out.join("sections.json")).unwrap()).unwrap();
    assert_eq!(again[0].findings, section.findings);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(section.charts.iter().all(|chart| page.contains(&chart.title)), "a chart is not on the page");
}
