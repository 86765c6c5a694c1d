//! Anyone's scores: every format gives the same bits, in any order; what is wrong is named, and nothing
//! panics.
#![allow(clippy::unwrap_used)]

mod synthetic;
mod tables;

use std::path::{Path, PathBuf};

use dubito_report::input::provenance;
use dubito_report::{
    InputOptions, Level, Options, PredictionWriter, ReportError, Row, ScoreSet, Scores, View, explain,
};
use dubito_stats::{FrameSums, Task, VideoSums, epistemic_jackknife};
use dubito_table::TableError;
use proptest::prelude::*;
use synthetic::{Size, rows, write};
use tables::{Table, gzip, npy, put};

fn options() -> Options {
    Options { bootstrap: None, ..Options::default() }
}

fn with(input: InputOptions) -> Options {
    Options { input, ..options() }
}

fn read_as(text: &str, options: &Options) -> Result<Scores, ReportError> {
    let folder = tempfile::tempdir().unwrap();
    Scores::read(&[put(folder.path(), "scores.csv", text.as_bytes())], options)
}

fn read(text: &str) -> Scores {
    read_as(text, &options()).unwrap()
}

/// What reading these bytes says; the error names the file.
fn error_of(name: &str, content: &[u8]) -> String {
    error_with(name, content, &options())
}

fn error_with(name: &str, content: &[u8], options: &Options) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), name, content);
    let message = Scores::read(&[path], options).unwrap_err().to_string();
    assert!(message.contains(name), "{message} does not name the file");
    message
}

fn detector<'a>(scores: &'a Scores, name: &str) -> &'a ScoreSet {
    scores.sets.iter().find(|set| set.detector.as_deref() == Some(name)).unwrap()
}

/// Rows of the synthetic detector as a table.
fn synthetic_table(size: &Size) -> Table {
    let mut text = "item,label,p_fake,sample,frame,video,generator,control,identity,fold,quality".to_string();
    for row in rows(size) {
        let Row { item, label, probs, sample, frame, video, generator, control, identity, fold, .. } = row;
        let text_of = |text: Option<String>| text.unwrap_or_default();
        let fold = text_of(fold);
        text += &format!(
            "\n{item},{},{},{sample},{},{},{},{},{},{fold},crf {}",
            ["real", "fake"][label],
            probs[1],
            frame.unwrap(),
            text_of(video),
            text_of(generator),
            text_of(control),
            text_of(identity),
            23 + fold.parse::<usize>().unwrap()
        );
    }
    Table::of(&text)
}

#[test]
fn every_format_gives_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let samples = synthetic_table(&Size { people: 3, frames: 2, samples: 5 });
    let wide = Table::of(
        "item,label,p_a,p_b,video,generator\nx,0,0.25,,v,real\nü,1,1e-3,0.7,w,\"swap\nz, 1 ,NaN,0.125,w,\"swap",
    );
    let reduced = Table::of("item,label,p_mean,expected_entropy,samples\nx,real,0.3,0.5,20\ny,fake,0.9,0.1,20");
    let classes = Table::of("item,label,prob_real,prob_swap,prob_mouth\na,0,0.5,0.25,0.25\nb,mouth,0.1,0.2,0.7");
    let by_quality = Options { by: vec!["quality".into()], ..options() };
    let by_columns = with(InputOptions { detector_columns: vec!["p_?".into()], ..InputOptions::default() });
    for (table, options) in [(samples, by_quality), (wide, by_columns), (reduced, options()), (classes, options())] {
        let mut first: Option<Scores> = None;
        for (name, bytes) in table.every_format() {
            let has_quotes = table.columns.iter().any(|(_, cells)| cells.iter().any(|cell| cell.contains('"')));
            if has_quotes && ["a.csv", "c.csv", "d.tsv"].iter().any(|n| name.starts_with(n)) {
                continue; // a mark that opens a cell must be doubled
            }
            let scores = Scores::read(&[put(folder.path(), &name, &bytes)], &options).unwrap();
            match &first {
                Some(first) => assert!(*first == scores, "{name} differs:\n{first:?}\n{scores:?}"),
                None => first = Some(scores),
            }
        }
    }
}

#[test]
fn no_order_and_no_shard_changes_a_bit() {
    let folder = tempfile::tempdir().unwrap();
    let samples = synthetic_table(&Size { people: 3, frames: 3, samples: 4 });
    let singles = samples.select(&(0..samples.rows()).step_by(4).collect::<Vec<_>>());
    for table in [samples, singles] {
        let count = table.rows();
        let file = |name: &str, table: &Table| put(folder.path(), name, &table.csv(",", false, "\n"));
        let whole = Scores::read(&[file("whole.csv", &table)], &options()).unwrap();
        let step =
            (61..).find(|step| count % step != 0 && (2..=*step).all(|d| step % d != 0 || count % d != 0)).unwrap();
        let shuffled = table.select(&(0..count).map(|i| i * step % count).collect::<Vec<_>>());
        let expected = Scores::read(&[file("shuffled.csv", &shuffled)], &options()).unwrap();
        // Only the jackknife asks for the samples of a frame side by side.
        let known = |scores: &Scores| {
            let mut metrics =
                dubito_report::evaluate::metrics_from_scores(scores, &[], serde_json::Value::Null, &options()).unwrap();
            let frames = metrics.groups.iter_mut().filter(|group| group.level == Level::Frame);
            let known = frames.map(|frames| frames.metrics.remove("epistemic_jackknife").unwrap().value.is_some());
            let known: Vec<bool> = known.collect();
            (metrics, known)
        };
        let ((ours, apart), (theirs, adjacent)) = (known(&expected), known(&whole));
        assert!(ours == theirs && !apart.contains(&true));
        assert_eq!(adjacent[0], count == 3 * 7 * 3 * 4);
        assert!(whole.scored(&whole.sets[0], Level::Frame) == expected.scored(&expected.sets[0], Level::Frame));
        assert!(whole.units == expected.units && whole.sets[0].videos == expected.sets[0].videos);
        let thirds: Vec<PathBuf> = (0..3)
            .map(|i| file(&format!("{i}.csv"), &shuffled.select(&(i..count).step_by(3).collect::<Vec<_>>())))
            .collect();
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let shards: Vec<PathBuf> = order.iter().map(|&i| thirds[i].clone()).collect();
            assert!(Scores::read(&shards, &options()).unwrap() == expected);
        }
    }
}

/// Against the sums of `dubito_stats`, row by row.
#[test]
fn items_and_videos_are_what_the_sums_say() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(&Size { people: 2, frames: 3, samples: 6 });
    let path = folder.path().join("p.parquet");
    write(&path, &rows).unwrap();
    let scores = Scores::read(&[path], &options()).unwrap();
    let set = &scores.sets[0];
    assert_eq!((scores.items(), scores.units.len(), set.samples), (2 * 7 * 3, 2 * 7, 6));
    for (i, (unit, scored)) in scores.scored(set, Level::Frame).into_iter().enumerate() {
        let mut sums = FrameSums::new(2);
        let of = rows.iter().filter(|row| row.item == scores.item_name(set.id(Level::Frame, i)));
        of.for_each(|row| sums.push(&row.probs).unwrap());
        assert_eq!(scored, sums.finish(scored.label, scored.cluster).unwrap());
        assert_eq!(scores.units.name(unit), scores.item_name(i).split('/').next().unwrap());
    }
    for (unit, scored) in scores.scored(set, Level::Video) {
        let mut sums = VideoSums::new(2);
        let of = rows.iter().filter(|row| row.video.as_deref() == Some(scores.units.name(unit)));
        of.for_each(|row| sums.push(row.sample, &row.probs).unwrap());
        assert_eq!(scored, sums.finish(scored.label, scored.cluster).unwrap());
        assert_eq!(scores.units.frames(unit), 3);
    }
}

/// Items whose samples are cut by blocks of Parquet (32,768 rows), CSV (a megabyte) and files; and several detectors.
#[test]
fn the_jackknife_holds_over_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let (items, samples) = (24_000, 7);
    let mut text = String::from("item,label,p_a,p_b,sample\n");
    let mut want = [0.0; 2];
    for item in 0..items {
        let mut all = [Vec::new(), Vec::new()];
        for sample in 0..samples {
            let p = [13, 29].map(|step| f64::from((item * 31 + sample * step * 7) % 97 + 1) / 100.0);
            text += &format!("i{item},{},{},{},{sample}\n", item % 2, p[0], p[1]);
            all.iter_mut().zip(p).for_each(|(all, p)| all.extend([1.0 - p, p]));
        }
        for (want, all) in want.iter_mut().zip(&all) {
            *want += epistemic_jackknife(all, 2).unwrap() / f64::from(items);
        }
    }
    let table = Table::of(text.trim_end());
    let options = Options {
        bootstrap: None,
        ..with(InputOptions { detector_columns: vec!["p_?".into()], ..InputOptions::default() })
    };
    let cut = table.rows() / 2 + 3;
    let part = |rows: std::ops::Range<usize>| table.select(&rows.collect::<Vec<_>>()).csv(",", false, "\n");
    let halves = [put(folder.path(), "1.csv", &part(0..cut)), put(folder.path(), "2.csv", &part(cut..table.rows()))];
    let whole = put(folder.path(), "p.parquet", &table.parquet());
    let files = [halves.to_vec(), vec![put(folder.path(), "p.csv", &part(0..table.rows()))], vec![whole]];
    for files in files {
        let metrics = dubito_report::evaluate(&files, &[], serde_json::Value::Null, &options).unwrap();
        for (name, want) in ["p_a", "p_b"].into_iter().zip(want) {
            let found = metrics.group(&[("detector", name)], Level::Item).unwrap().metric("epistemic_jackknife");
            assert!((found.value.unwrap() - want).abs() < 1e-9, "{files:?} {name}: {found:?} {want}");
        }
    }
}

#[test]
fn one_sample_is_the_same_with_and_without_a_column() {
    let without = read("item,label,p_fake,video\na,0,1e-9,v\nb,0,0.3333333333333333,v\nc,1,0.7,w\n");
    let with = read("item,label,p_fake,video,sample\na,0,1e-9,v,7\nb,0,0.3333333333333333,v,7\nc,1,0.7,w,7\n");
    assert_eq!(without, with);
    assert_eq!(with.sets[0].samples, 1);
    let probs = without.sets[0].items.probs(0);
    assert!((probs[1] - 1e-9).abs() < 1e-18 && without.sets[0].items.epistemic() == [0.0; 3], "{probs:?}");
    // A video of one network: doubt within frames and between them, none in the model.
    let videos = &without.sets[0].videos;
    assert!(videos.between_frames()[0] > 0.1 && videos.epistemic() == [0.0; 2]);
}

#[test]
fn labels_have_many_names() {
    let scores =
        read("item,label,p_fake\na,real,0.1\nb,FAKE,0.1\nc,0,0.1\nd,1,0.1\ne,False,0.1\nf,TRUE,0.1\ng,1.0,0.1\n");
    assert_eq!(scores.sets[0].items.labels(), [0, 1, 0, 1, 0, 1, 1]);
    let text = "item,label,prob_real,prob_swap,prob_1\na,1,0.1,0.8,0.1\nb,swap,0.1,0.8,0.1\nc,0,0.1,0.8,0.1\n";
    let scores = read_as(text, &Options { view: View::Classes, ..options() }).unwrap();
    // `1` is the name of a class before it is an index.
    assert_eq!((scores.sets[0].items.labels(), scores.task.positive), (&[2, 1, 0][..], None));
    // As real against fake whatever is not real is fake.
    let scores = read(text);
    assert_eq!((scores.sets[0].items.labels(), scores.task.positive), (&[1, 1, 0][..], Some(1)));
    assert_eq!(scores.classes.unwrap(), ["real", "swap", "1"]);
}

#[test]
fn columns_of_detectors() {
    let text = "item,label,prob_sbi,prob_recce,other\na,0,0.25,0.5,x\nb,1,,0.75,y\nc,1,NaN,0.5,y\nd,0,0.125,NA,z\n";
    let columns = |patterns: &[&str], as_ensemble| {
        let detector_columns = patterns.iter().map(|p| p.to_string()).collect();
        with(InputOptions { detector_columns, as_ensemble, ..InputOptions::default() })
    };
    let scores = read_as(text, &columns(&["prob_*"], false)).unwrap();
    let (sbi, recce) = (detector(&scores, "prob_sbi"), detector(&scores, "prob_recce"));
    assert_eq!((sbi.items.len(), sbi.missing, recce.items.len(), recce.missing), (2, 2, 3, 1));
    assert_eq!((sbi.items.probs(1)[1], sbi.id(Level::Item, 1)), (0.125, 3));
    assert_eq!(scores.item_name(3), "d");
    let one = Options { detector: Some("prob_recce".into()), ..columns(&["prob_*"], false) };
    assert_eq!(read_as(text, &one).unwrap().sets.len(), 1);

    // As an ensemble only `a` has all its members: it is their mean.
    let scores = read_as(text, &columns(&["prob_recce", "prob_sbi"], true)).unwrap();
    let set = &scores.sets[0];
    assert_eq!((set.detector.clone(), set.items.len(), set.missing, set.samples), (None, 1, 3, 2));
    assert_eq!(set.items.probs(0), [0.625, 0.375]);
    let long =
        "item,label,p_fake,detector\na,0,0.25,prob_sbi\na,0,0.5,prob_recce\nb,1,0.75,prob_sbi\nb,1,1,prob_recce\n";
    let wide = "item,label,prob_sbi,prob_recce\na,0,0.25,0.5\nb,1,0.75,1\n";
    let ensemble = with(InputOptions { as_ensemble: true, ..InputOptions::default() });
    assert_eq!(read_as(long, &ensemble).unwrap(), read_as(wide, &columns(&["prob_*"], true)).unwrap());

    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "w.csv", text.as_bytes());
    let message = |options: &Options| Scores::read(std::slice::from_ref(&path), options).unwrap_err().to_string();
    assert!(message(&columns(&["p_*"], false)).contains("no column p_* (asked for by --detector-column)"));
    assert!(message(&columns(&["prob_sbi"], true)).contains("a second detector"));
    let unknown = Options { detector: Some("b4".into()), ..columns(&["prob_*"], false) };
    assert!(message(&unknown).contains("no row has the detector \"b4\"; there are: prob_sbi, prob_recce"));
    assert!(message(&columns(&["other"], false)).contains("row 1, column other: found \"x\""));
    // Without the flag they are taken for classes, and the labels say that they are none.
    let taken = message(&options());
    assert!(taken.contains("column label: found \"0\"") || taken.contains("--detector-column"), "{taken:?}");
}

#[test]
fn detectors_in_one_long_file() {
    let text = "item,label,p_fake,detector\na,0,0.25,x\na,0,0.5,y\nb,1,0.75,x\n";
    let scores = read(text);
    assert_eq!((detector(&scores, "x").items.len(), detector(&scores, "y").items.len()), (2, 1));
    assert_eq!((detector(&scores, "x").missing, detector(&scores, "y").missing), (0, 1));
    let metrics =
        dubito_report::evaluate::metrics_from_scores(&scores, &[], serde_json::Value::Null, &options()).unwrap();
    assert_eq!(metrics.group(&[("detector", "x")], Level::Item).unwrap().items, 2);
    let y = Options { detector: Some("y".into()), ..options() };
    assert_eq!(read_as(text, &y).unwrap().items(), 1);
    let none = Options { detector: Some("z".into()), ..options() };
    assert!(read_as(text, &none).unwrap_err().to_string().contains("there are: x, y"));
}

#[test]
fn logits() {
    let logits = with(InputOptions { logits: true, ..InputOptions::default() });
    let scores = read_as("item,label,logit\na,1,2\nb,0,-800\nc,0,0\n", &logits).unwrap();
    let p = |i: usize| scores.sets[0].items.probs(i);
    assert!((p(0)[1] - 0.880_797_077_977_882_3).abs() < 1e-15);
    assert_eq!((p(1), p(2)), (&[1.0, 0.0][..], &[0.5, 0.5][..]));
    let scores = read_as("item,label,prob_a,prob_b,prob_c\nx,a,1,2,3\ny,b,900,900,-900\n", &logits).unwrap();
    // scipy.special.softmax([1, 2, 3])
    let expected = [0.090_030_573_170_380_46, 0.244_728_471_054_797_64, 0.665_240_955_774_821_8];
    let items = &scores.sets[0].items;
    assert!(items.probs(0).iter().zip(expected).all(|(p, e)| (p - e).abs() < 1e-15), "{:?}", items.probs(0));
    assert_eq!(items.probs(1), [0.5, 0.5, 0.0]);
    let infinite = read_as("item,label,p_fake\na,1,inf\n", &logits).unwrap_err().to_string();
    assert!(infinite.contains("column p_fake: found inf, expected a number"), "{infinite}");
    let plain = read_as("item,label,p_fake\na,1,2.5\n", &options()).unwrap_err().to_string();
    assert!(plain.contains("found 2.5, expected a probability from 0 to 1 (logits: --logits)"), "{plain}");
}

#[test]
fn names_are_mapped() {
    let map = |pairs: &[(&str, &str)]| {
        let map = pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        with(InputOptions { map, ..InputOptions::default() })
    };
    let text = "id,truth,score,source,label\na,1,0.7,swap,junk\nb,0,0.2,,junk\n";
    let all = map(&[("item", "id"), ("label", "truth"), ("p_fake", "score"), ("generator", "source")]);
    let scores = read_as(text, &all).unwrap();
    assert_eq!((scores.item_name(0), scores.units.text("generator", 0)), ("a", Some("swap")));
    assert_eq!(scores.sets[0].items.labels(), [1, 0]);
    let wrong = read_as(text, &map(&[("label", "gt")])).unwrap_err().to_string();
    assert!(wrong.contains("no column gt (asked for by --map label=gt)"), "{wrong}");
}

#[test]
fn items_without_names() {
    let scores = read("label,p_fake\n0,0.1\n1,0.9\n1,0.9\n");
    assert_eq!((scores.items(), scores.sets[0].items.len()), (3, 3));
    assert!(scores.item_name(1).contains("row") && scores.item_name(1).ends_with('2'), "{}", scores.item_name(1));
    // The frames of a video need no name either.
    let scores = read("label,p_fake,video,frame,sample\n0,0.1,v,0,0\n0,0.2,v,1,0\n0,0.3,v,0,1\n0,0.2,v,1,1\n");
    assert_eq!((scores.items(), scores.units.len(), scores.sets[0].samples), (2, 1, 2));
    assert_eq!((scores.frame_of(1), scores.sets[0].items.probs(0)[1]), (Some(1), 0.2));
    let message = read_as("label,p_fake,sample\n0,0.1,0\n", &options()).unwrap_err().to_string();
    assert!(message.contains("no column item (or video and frame"), "{message}");
}

#[test]
fn rows_without_names_may_come_in_any_order() {
    let lines: Vec<String> =
        (0..50).map(|i| format!("{},{},g{}", i % 2, f64::from(i * 7 % 50) / 50.0, i % 3)).collect();
    let intervals = |lines: &[String]| {
        let scores = read(&format!("label,p_fake,generator\n{}\n", lines.join("\n")));
        dubito_report::evaluate::metrics_from_scores(&scores, &[], serde_json::Value::Null, &Options::default())
            .unwrap()
    };
    let mut shuffled = lines.clone();
    (0..50).for_each(|i| shuffled[i] = lines[i * 11 % 50].clone());
    assert_ne!(lines, shuffled);
    let expected = intervals(&lines);
    assert!(expected.group(&[], Level::Item).unwrap().metric("auroc").low.is_some());
    assert_eq!(intervals(&shuffled), expected);

    let folder = tempfile::tempdir().unwrap();
    let file = put(folder.path(), "n.csv", b"label,p_fake\n0,0.5\n");
    let twice = Scores::read(&[file.clone(), folder.path().join("./n.csv")], &options()).unwrap_err().to_string();
    assert!(twice.contains("n.csv: is given twice"), "{twice}");
}

#[test]
fn facts_are_kept_for_grouping() {
    let text = "item,label,p_fake,video,compression,dataset\na,0,0.1,v,c40,D\nb,0,0.2,v,c40,D\nc,1,0.7,w,,E\n";
    let by = |names: &[&str]| Options { by: names.iter().map(|n| n.to_string()).collect(), ..options() };
    let scores = read_as(text, &by(&["compression", "dataset"])).unwrap();
    let fact = scores.units.fact("compression").unwrap();
    assert_eq!((fact.values.as_slice(), fact.of(0), fact.of(1)), (&["c40".to_string()][..], Some("c40"), None));
    assert_eq!(scores.units.fact("dataset").unwrap().values, ["D", "E"]);
    assert!(read(text).units.fact("compression").is_none());
    let none = read_as(text, &by(&["lighting"])).unwrap_err().to_string();
    assert!(none.contains("no column lighting (asked for by --by"), "{none}");
    let varies =
        read_as(&text.replace("b,0,0.2,v,c40", "b,0,0.2,v,c23"), &by(&["compression"])).unwrap_err().to_string();
    assert!(varies.contains("row 2, column compression: \"c23\", but an earlier row of v says \"c40\""), "{varies}");
}

#[test]
fn samples_that_are_reduced_already() {
    let raw = "item,label,p_fake,sample,video\na,0,0.2,0,v\na,0,0.4,1,v\nb,0,0.6,0,v\nb,0,0.9,1,v\n";
    let entropy = |p: f64| -p * p.ln() - (1.0 - p) * (1.0 - p).ln();
    let (a, b) = ((entropy(0.2) + entropy(0.4)) / 2.0, (entropy(0.6) + entropy(0.9)) / 2.0);
    let reduced = format!("item,label,p_mean,expected_entropy,samples,video\na,0,0.3,{a},2,v\nb,0,0.75,{b},2,v\n");
    let (raw, reduced) = (read(raw), read(&reduced));
    let (raw, reduced) = (&raw.sets[0], &reduced.sets[0]);
    let close = |x: &[f64], y: &[f64]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-12);
    assert!(close(raw.items.epistemic(), reduced.items.epistemic()) && close(raw.items.total(), reduced.items.total()));
    assert!(
        close(raw.videos.total(), reduced.videos.total()) && close(raw.videos.aleatoric(), reduced.videos.aleatoric())
    );
    assert_eq!((raw.samples, reduced.samples, reduced.most_samples), (2, 2, 2));
    assert!(raw.videos_undivided.is_none() && reduced.videos_undivided.is_some());
    let text = "item,label,p_mean,expected_entropy,video\na,0,0.3,0.5,v\nb,1,0.8,0.4,w\n";
    let metrics =
        dubito_report::evaluate::metrics_from_scores(&read(text), &[], serde_json::Value::Null, &options()).unwrap();
    let video = metrics.group(&[], Level::Video).unwrap();
    assert!(video.metric("epistemic").undefined_because.unwrap().contains("only their mean"));
    assert!(video.metric("between_frames").value.is_none() && video.metric("total").value.is_some());
    assert!(metrics.group(&[], Level::Frame).unwrap().metric("epistemic").value.is_some());
    for name in ["aleatoric_variance", "variation_ratio"] {
        assert!(video.metric(name).undefined_because.unwrap().contains("not only their means"), "{name}");
    }
    assert!(video.metric("total_variance").value.is_some());
    assert_eq!(metrics.across_generators[0].generators[0].epistemic, None);
    // What is not known is not drawn as 0.
    for (figure, left_out) in
        dubito_report::figures::figures(&read(text)).unwrap().iter().zip([false, true, true, true])
    {
        assert_eq!(figure.caption.contains("left out for videos"), left_out, "{}", figure.name);
        let drawn = figure.svg.matches("epistemic").count();
        assert_eq!(drawn, usize::from(figure.name == "rejection"), "{}: frames only", figure.name);
    }

    let bits = error_of("b.csv", b"item,label,p_mean,expected_entropy\na,0,0.3,0.88\n");
    assert!(bits.contains("row 1, column expected_entropy: found 0.88") && bits.contains("in bits?"), "{bits}");
    let none = error_of("n.csv", b"item,label,p_mean,expected_entropy,samples\na,0,0.3,0.5,0\n");
    assert!(none.contains("column samples: found 0"), "{none}");
    let both = error_of("s.csv", b"item,label,p_mean,expected_entropy,sample\na,0,0.3,0.5,0\n");
    assert!(both.contains("reduced over the samples already"), "{both}");
    let lone = error_of("l.csv", b"item,label,p_mean\na,0,0.3\n");
    assert!(lone.contains("expected_entropy beside p_mean"), "{lone}");
    let folder = tempfile::tempdir().unwrap();
    let files =
        [put(folder.path(), "r.csv", text.as_bytes()), put(folder.path(), "p.csv", b"item,label,p_fake\nz,0,0.1\n")];
    assert!(Scores::read(&files, &options()).unwrap_err().to_string().contains("evaluate them apart"));
}

#[test]
fn splits_are_chosen_or_kept_apart() {
    let text = "item,label,p_fake,split\na,0,0.1,val\nb,1,0.9,test\n";
    assert!(read_as(text, &options()).unwrap_err().to_string().contains("several values of split: test, val"));
    let test = Options { split: Some("test".into()), ..options() };
    let scores = read_as(text, &test).unwrap();
    assert_eq!((scores.items(), scores.split.as_deref()), (1, Some("test")));
    let apart = Options { by: vec!["split".into()], ..options() };
    let scores = read_as(text, &apart).unwrap();
    assert_eq!((scores.items(), scores.units.text("split", 0), scores.split.clone()), (2, Some("val"), None));
}

#[test]
fn one_class_only_is_no_error() {
    assert_eq!(read("item,label,p_fake\na,1,0.7\nb,1,0.2\n").sets[0].items.len(), 2);
}

#[test]
fn clashes_name_both_rows() {
    let twice = error_of("d.csv", b"item,label,p_fake\na,0,0.5\nb,1,0.5\na,0,0.25\n");
    assert!(twice.contains("row 3: a has the same sample of the same detector here and in row 1"), "{twice}");
    let sample =
        error_of("d.csv", b"item,label,p_fake,sample\na,0,0.5,0\nb,1,0.5,0\na,0,0.25,1\nb,1,0.5,1\na,0,0.1,1\n");
    assert!(sample.contains("row 5: a has the same sample") && sample.contains("in row 3"), "{sample}");
    let lacks =
        read_as("item,label,p_fake,sample\na,0,0.5,0\na,0,0.5,3\nb,1,0.5,0\n", &options()).unwrap_err().to_string();
    assert!(lacks.contains("b: 1 rows for 2 samples, none for sample 3"), "{lacks}");
    let label = error_of("l.csv", b"item,label,p_fake,video\na,real,0.5,v\nb,0,0.5,v\nc,1,0.5,v\n");
    assert!(label.contains("row 3, column label: \"fake\", but an earlier row of v says \"real\""), "{label}");
    // In another file, and far away from the first one.
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..200_000).map(|i| format!("i{i},{},0.25\n", i % 2)).collect();
    let first = put(folder.path(), "first.csv", format!("item,label,p_fake\n{lines}").as_bytes());
    let second = put(folder.path(), "second.csv", b"item,label,p_fake\nx,0,0.5\ni7,1,0.25\n");
    let message = Scores::read(&[first, second], &options()).unwrap_err().to_string();
    assert!(message.contains("second.csv: row 2: i7 has") && message.contains("row 8 of"), "{message}");
    assert!(message.contains("first.csv"), "{message}");
}

#[test]
fn bad_cells_are_named() {
    let with = |line: &str| error_of("p.csv", format!("item,label,p_fake\na,real,0.5\n{line}\n").as_bytes());
    for (line, expected) in [
        ("b,fake,1.2", "row 2, column p_fake: found 1.2, expected a probability"),
        ("b,fake,NaN", "row 2, column p_fake: found NaN"),
        ("b,fake,-0.1", "column p_fake: found -0.1"),
        ("b,fake,high", "column p_fake: found \"high\""),
        ("b,fake,", "column p_fake: found nothing"),
        ("b,swap,0.5", "column label: found \"swap\", expected one of real, fake"),
        ("b,2,0.5", "column label: found \"2\""),
        ("b,,0.5", "column label: found nothing"),
        (",fake,0.5", "column item: found nothing"),
        ("b,fake", "row 2: 2 cells, expected 3"),
        ("b,fake,0.5,1", "row 2: 4 cells, expected 3"),
        ("\"b\",\"fake\"", "row 2: 2 cells, expected 3"),
        ("\n\n  \nb,fake,2", "row 2, column p_fake: found 2"),
    ] {
        let message = with(line);
        assert!(message.contains(expected), "{line}: {message}");
    }
    let logits = error_of("l.csv", b"item,label,prob_a,prob_b\nx,a,0.9,0.9\n");
    assert!(logits.contains("sum of 1.8"), "{logits:?}");
    let sample = error_of("s.csv", b"item,label,p_fake,sample\nx,real,0.9,first\n");
    assert!(sample.contains("column sample: found \"first\""), "{sample}");
    let sample = error_of("s.csv", b"item,label,p_fake,sample\nx,real,0.9,1.5\n");
    assert!(sample.contains("column sample: found \"1.5\""), "{sample}");
    let control = error_of("c.csv", b"item,label,p_fake,control\nx,fake,0.9,swap\n");
    assert!(control.contains("a null control is a real video"), "{control}");
    let comma = error_of("k.csv", "item,label,p_fake\nx,real,\"0,9\"\n".as_bytes());
    assert!(comma.contains("write the decimal comma as a point"), "{comma}");
    // Where cells are not cut by commas, a decimal comma says what it means.
    assert_eq!(read("item;label;p_fake\nx;real;0,9\n"), read("item,label,p_fake\nx,real,0.9\n"));
}

/// A row far into a file, behind many chunks, keeps its number.
#[test]
fn one_odd_cell_among_the_samples_of_an_item() {
    let of = |cells: [&str; 4]| -> String {
        let rows = cells.iter().enumerate().map(|(sample, cell)| format!("a,fake,{sample},{cell}\n"));
        std::iter::once("item,label,sample,p_fake\n".to_string()).chain(rows).collect()
    };
    // Rounding beyond 1 is cut off, and said; the samples beside it stay what they are.
    let rounded = read(&of(["0.25", "0.5", "1.0000005", "0"]));
    assert_eq!(rounded.sets, read(&of(["0.25", "0.5", "1", "0"])).sets);
    assert_eq!(rounded.warnings().len(), 1);
    assert!(rounded.warnings()[0].contains("in row 3, column `p_fake`: 1.0000005"), "{:?}", rounded.warnings());
    for (cells, row, found) in [
        (["0.25", "0.5", "1.5", "0"], "row 3", "1.5"),
        (["0.25", "0.5", "1", ""], "row 4", "nothing"),
        (["NaN", "2", "1", "0"], "row 1", "NaN"),
    ] {
        let message = error_of("scores.csv", of(cells).as_bytes());
        assert!(message.contains(row) && message.contains(found) && message.contains("p_fake"), "{message}");
    }
    let message = error_of("scores.csv", of(["0.25", "0.5", "1", "0"]).replace("2,1\n", ",1\n").as_bytes());
    assert!(message.contains("row 3") && message.contains("sample"), "{message}");
}

#[test]
fn rows_are_counted_over_chunks() {
    for quote in ["", "\""] {
        let lines: String = (0..150_000).map(|i| format!("{quote}item {i}{quote},{},0.25\n", i % 2)).collect();
        let text = format!("item,label,p_fake\n{lines}last,0,7\n");
        assert!(text.len() > 2 << 20, "several chunks");
        let message = error_of("long.csv", text.as_bytes());
        assert!(message.contains("row 150001, column p_fake: found 7"), "{message}");
    }
}

#[test]
fn bad_files_are_named() {
    let missing = error_of("p.csv", b"item,label,score\na,real,0.5\n");
    assert!(missing.contains("no column p_fake") && missing.contains("item, label, score"), "{missing}");
    assert!(error_of("p.csv", b"item,truth,p_fake\na,real,0.5\n").contains("no column label"));
    assert!(error_of("p.csv", b"item,label,p_fake,label\na,real,0.5,fake\n").contains("label is there twice"));
    for (name, content, expected) in [
        ("e.csv", &b""[..], "holds no predictions"),
        ("e.csv", b"item,label,p_fake\n", "holds no predictions"),
        ("e.csv", b" \n\n", "holds no predictions"),
        ("e.csv.gz", &gzip(b""), "holds no predictions"),
        ("u.csv", b"item,label,p_fake\nx,0,0.5\n\xff\xfe,real,0.5\n", "row 2: is not UTF-8"),
        ("u.csv", b"item,label,p_fake\nx,0,0.5\n\"\xff\",real,0.5\n", "row 2: is not UTF-8"),
        ("u.csv", b"\xff\xfei\0t\0e\0m", "UTF-16"),
        ("p.parquet", b"item,label,p_fake\na,real,0.5\n", "name it .csv"),
        ("p.csv", b"PAR1....PAR1", "Parquet: "),
        ("p.npz", b"item,label\n", "no NPZ file"),
        ("p.npy", b"\x93NUMPY\x01\0", "numpy.savez"),
        ("z.csv.zst", b"\x28\xb5\x2f\xfd...", "zstd"),
        ("g.csv.gz", &gzip(&gzip(b"item\n")), "gzip twice"),
        ("g.csv.gz", &gzip(b"item,label,p_fake\na,0,0.5\n")[..25], "cannot be read"),
        ("j.json", b"[{\"label\": 0}]", "no column p_fake"),
        ("x.pkl", b"\x80\x04\x95", "pickle"),
        ("b.bin", b"abc\0\x01", "neither text nor"),
    ] {
        let message = error_of(name, content);
        assert!(message.contains(expected), "{name}: {message}");
    }
    // Polars packs so by default; written by golden/arrays.py.
    let zstd = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/zstd.parquet");
    assert!(Scores::read(&[zstd], &options()).is_ok());
    let nowhere = Scores::read(&[PathBuf::from("/nowhere/p.csv")], &options()).unwrap_err().to_string();
    assert!(nowhere.contains("/nowhere/p.csv: cannot be read"), "{nowhere}");
    assert!(Scores::read(&[], &options()).is_err());
    assert!(matches!(
        Scores::read(&[std::env::temp_dir()], &options()),
        Err(ReportError::Table(TableError::Read { .. }))
    ));
}

#[test]
fn limits_hold() {
    let wide = format!("{}\n", (0..10_001).map(|i| format!("c{i}")).collect::<Vec<_>>().join(","));
    assert!(error_of("w.csv", wide.as_bytes()).contains("10001 columns, expected at most 10000"));
    let open = format!("item,label,p_fake\nx,0,0.5\n\"{}", "a,0,0.5\n".repeat(400_000));
    assert!(error_of("q.csv", open.as_bytes()).contains("is a quote left open?"));
    let long = format!("item,label,p_fake\n{},0,0.5\n", "x".repeat(3 << 20));
    assert!(error_of("l.csv", long.as_bytes()).contains("is longer than 1 MiB"));
    // A bomb of a line without an end is given up after a megabyte or two.
    let bomb = gzip(&[b"item,label,p_fake\n".to_vec(), vec![b'x'; 64 << 20]].concat());
    assert!(bomb.len() < 1 << 20);
    assert!(error_of("b.csv.gz", &bomb).contains("is longer than 1 MiB"));
    let deep = format!("{{\"item\": {}1{}, \"label\": 0, \"p_fake\": 0.5}}\n", "[".repeat(5000), "]".repeat(5000));
    assert!(error_of("d.jsonl", deep.as_bytes()).contains("column item: found a list or an object"));
}

#[test]
fn bad_json_lines_are_named() {
    let good = "{\"item\": \"a\", \"label\": 0, \"p_fake\": 0.5}\n";
    for (line, expected) in [
        ("{\"item\": \"b\", \"label\": 1, \"p_fake\": NaN}", "row 2: is no JSON object: expected value"),
        ("{\"item\": \"b\", \"label\": 1, \"p_fake\": null}", "row 2, column p_fake: found nothing"),
        ("{\"item\": \"b\", \"label\": 1}", "row 2, column p_fake: found nothing"),
        ("{\"item\": \"b\", \"label\": 1, \"p_fake\": [0.5]}", "found a list or an object"),
        ("{\"item\": \"b\", \"label\": 1, \"p_fake\": \"0.5x\"}", "found \"0.5x\""),
        ("{\"item\": \"b\", \"item\": \"c\", \"label\": 1, \"p_fake\": 0.5}", "\"item\" is there twice"),
        ("{\"item\": \"b\", \"label\": 1, \"p_fake\": 0.5},", "without a comma behind it"),
        ("[1, 2]", "expected an object"),
        ("{\"item\": \"b\", \"label\": 1, \"p_fake\": 0.5", "row 2: is no JSON object: EOF"),
        ("{\"item\": \"b\", \"label\": true, \"p_fake\": 1e999}", "row 2"),
    ] {
        let message = error_of("p.jsonl", format!("{good}{line}\n").as_bytes());
        assert!(message.contains(expected), "{line}: {message}");
    }
    // A key that comes only behind the lines that were looked at is not dropped in silence.
    let late = format!("{}{{\"item\": \"z\", \"label\": 0, \"p_fake\": 0.5, \"sample\": 1}}\n", many_lines(2000));
    assert!(error_of("k.jsonl", late.as_bytes()).contains("row 2001: the key \"sample\""));
}

fn many_lines(count: usize) -> String {
    (0..count).map(|i| format!("{{\"item\": \"i{i}\", \"label\": {}, \"p_fake\": 0.5}}\n", i % 2)).collect()
}

/// An NPZ of these arrays.
fn npz_of(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn bad_arrays_are_named() {
    let label = || ("label", npy("|i1", 2, &[0, 1]));
    let scores = |bytes: Vec<u8>| npz_of(&[label(), ("p_fake", bytes)]);
    let halves: Vec<u8> = [0.25f64, 0.75].iter().flat_map(|p| p.to_le_bytes()).collect();
    let good = scores(npy("<f8", 2, &halves));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Scores::read(&[put(folder.path(), "g.npz", &good)], &options()).unwrap().items(), 2);
    let version = |v: u8| {
        let mut bytes = npy("<f8", 2, &halves);
        bytes[6] = v;
        bytes
    };
    let two = String::from_utf8_lossy(&npy("<f8", 2, &[])).into_owned();
    let square = {
        let mut bytes = npy("<f8", 2, &halves);
        let at = bytes.windows(4).position(|w| w == b"(2,)").unwrap();
        bytes[at..at + 4].copy_from_slice(b"(2,2");
        bytes[at + 4] = b')';
        bytes
    };
    assert!(two.contains("shape"));
    for (bytes, expected) in [
        (scores(npy("|O", 2, &halves)), "of type |O, expected numbers"),
        (scores(npy("<c16", 2, &halves)), "of type <c16"),
        (scores(npy("<f8", 3, &halves)), "array p_fake has 3 elements, but label has 2"),
        (scores(npy("<f8", 2, &halves[..9])), "p_fake is cut off"),
        (scores(square), "p_fake: has 2 dimensions, expected 1"),
        (scores(version(9)), "version 9"),
        (scores(b"nothing".to_vec()), "p_fake: is cut off"),
        (scores(b"not an array at all".to_vec()), "p_fake: is no .npy array"),
        (scores(npy("<U999999999", 2, &[])), "of type <U999999999"),
        (
            scores(npy("<f8", 2, &[&f64::NAN.to_le_bytes()[..], &halves[..8]].concat())),
            "row 1, column p_fake: found NaN",
        ),
        (npz_of(&[label()]), "no column p_fake"),
        (npz_of(&[]), ""),
        (good[..good.len() - 30].to_vec(), "NPZ: "),
    ] {
        let message = error_of("a.npz", &bytes);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let huge = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({},), }}", u64::MAX);
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((huge.len() as u16).to_le_bytes());
    bytes.extend(huge.as_bytes());
    let huge = npz_of(&[("label", bytes.clone()), ("p_fake", bytes)]);
    assert!(error_of("h.npz", &huge).contains("cut off"));
}

/// Arrays that NumPy wrote: see `golden/arrays.py`.
#[test]
fn arrays_of_numpy() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let expected = Scores::read(&[golden.join("arrays.csv")], &options()).unwrap();
    assert_eq!((expected.items(), expected.sets[0].samples), (6, 2));
    for name in ["arrays.npz", "arrays_packed.npz"] {
        assert_eq!(Scores::read(&[golden.join(name)], &options()).unwrap(), expected, "{name}");
    }
}

#[test]
fn corrupt_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let table = synthetic_table(&Size { people: 1, frames: 2, samples: 3 });
    for (name, whole) in [("p.parquet", table.parquet()), ("p.npz", table.npz()), ("p.npz.gz", gzip(&table.npz()))] {
        let read = |bytes: &[u8]| Scores::read(&[put(folder.path(), name, bytes)], &options());
        for keep in (4..whole.len()).step_by(whole.len() / 25) {
            assert!(read(&whole[..keep]).is_err(), "{name} cut to {keep} bytes");
        }
        // A flipped byte may hit a value: then there are scores, but never a panic.
        for at in (0..whole.len()).step_by(whole.len() / 60) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            let _ = read(&bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever the bytes, there is an answer or an error.
    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        start in prop::sample::select(vec![
            &b""[..], b"item,label,p_fake\n", b"{\"item\": \"a\", \"label\": 1, \"p_fake\": ", b"PAR1", b"PK\x03\x04",
            b"\x1f\x8b\x08\x00", b"a\tlabel\tp_fake\n\"", b"label;p_fake\n0;",
        ]),
        pack in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut content = start.to_vec();
        content.extend(&bytes);
        let content = if pack { gzip(&content) } else { content };
        let path = put(folder.path(), "f", &content);
        let _ = explain(&path, &InputOptions::default());
        let _ = Scores::read(&[path], &options());
    }

    /// A file of every format with a few bytes changed.
    #[test]
    fn changed_bytes_never_panic(
        format in 0usize..8,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let table = Table::of("item,label,p_fake,sample,video\na,0,0.5,0,v\na,0,0.25,1,v\nb,1,0.5,0,w\nb,1,0.125,1,w");
        let (name, mut bytes) = table.every_format()[format].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = put(folder.path(), &name, &bytes);
        let _ = explain(&path, &InputOptions::default());
        let _ = Scores::read(&[path], &options());
    }

    /// Cells of any text survive quoting, chunking and JSON.
    #[test]
    fn any_name_comes_back(names in prop::collection::btree_set("[^\\x00-\\x20\\u{feff}][^\\x00\\r]{0,12}[^\\x00-\\x20]", 1..20)) {
        let names: Vec<String> = names.into_iter().filter(|n| n.trim() == n && n != "NA").collect();
        prop_assume!(!names.is_empty());
        let count = names.len();
        let table = Table {
            columns: vec![
                ("item".into(), names.clone()),
                ("label".into(), (0..count).map(|i| (i % 2).to_string()).collect()),
                ("p_fake".into(), vec!["0.5".into(); count]),
            ],
        };
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("q.csv", table.csv(",", true, "\n")), ("j.jsonl", table.json_lines()), ("p.parquet", table.parquet())] {
            let scores = Scores::read(&[put(folder.path(), name, &bytes)], &options()).unwrap();
            let found: Vec<String> = (0..scores.items()).map(|i| scores.item_name(i).to_string()).collect();
            prop_assert_eq!(&found, &names, "{}", name);
        }
    }
}

#[test]
fn explanations() {
    let folder = tempfile::tempdir().unwrap();
    let told = |name: &str, text: &str, input: &InputOptions| {
        explain(&put(folder.path(), name, text.as_bytes()), input).unwrap()
    };
    let plain = InputOptions::default();
    let good = told("g.tsv", "item\tlabel\tp_fake\textra\na\treal\t0.1\tx\nb\treal\t0.2\ty\n", &plain);
    assert_eq!((good.delimiter, good.layout.as_deref(), good.rows_looked_at), (Some('\t'), Some("long"), 2));
    assert!(good.problems.is_empty(), "{good:?}");
    let text = good.lines().join("\n");
    for expected in [
        "g.tsv: CSV, cells cut by tabs",
        "p_fake  read as p_fake (by its name)",
        "extra   not read",
        "labels: real (2)",
        "of one class",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let foreign = told("f.csv", "filename,target,score\na,1,0.5\n", &plain);
    assert_eq!(foreign.layout, None);
    assert!(foreign.problems.iter().any(|p| p.contains("--map label=target")), "{foreign:?}");
    assert!(foreign.problems.iter().any(|p| p.contains("--map p_fake=score")), "{foreign:?}");
    let wide = "item,label,prob_sbi,prob_recce\na,0,0.25,0.5\nb,1,0.5,0.75\n";
    let taken = told("w.csv", wide, &plain);
    assert!(taken.problems.iter().any(|p| p.contains("--detector-column 'prob_*'")), "{taken:?}");
    let columns = InputOptions { detector_columns: vec!["prob_*".into()], ..InputOptions::default() };
    let wide = told("w.csv", wide, &columns);
    assert_eq!((wide.layout.as_deref(), wide.problems.len()), (Some("wide"), 0));
    let logits = told("l.csv", "item,label,p_fake\na,0,-3.5\n", &plain);
    assert!(
        logits.problems[0].contains("row 1, column p_fake") && logits.problems[0].contains("--logits"),
        "{logits:?}"
    );
    let splits = told("s.csv", "item,label,p_fake,split\na,0,0.5,x\nb,1,0.5,y\n", &plain);
    assert!(splits.problems[0].contains("several splits (x, y)"), "{splits:?}");
    // An explanation is an object for whoever asks for JSON.
    let json = serde_json::to_value(&good).unwrap();
    assert_eq!((json["format"].as_str(), json["columns"][2]["read_as"].as_str()), (Some("csv"), Some("p_fake")));
    assert!(explain(Path::new("/nowhere/x.csv"), &plain).is_err());
}

// ------------------------------------------------------------------------------------------ writing

#[test]
fn what_is_written_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(&Size { people: 2, frames: 3, samples: 250 });
    assert!(rows.len() > 8192, "more than one batch");
    let mut found = Vec::new();
    for name in ["p.csv", "p.parquet"] {
        let path = folder.path().join(name);
        write(&path, &rows).unwrap();
        found.push(Scores::read(&[path], &options()).unwrap());
    }
    assert!(found[0] == found[1]);
    assert_eq!(found[0].sets[0].samples, 250);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "no temporary file is left");
    assert_eq!(provenance(&folder.path().join("p.parquet")).unwrap().unwrap()["seed"], 7);
}

#[test]
fn several_classes() {
    let folder = tempfile::tempdir().unwrap();
    let task = Task::multiclass(["real", "face-swap", "mouth"]);
    for name in ["m.csv", "m.parquet"] {
        let path = folder.path().join(name);
        let row = Row { item: "a".into(), label: 2, probs: vec![0.2, 0.3, 0.5], ..Row::default() };
        let mut writer = PredictionWriter::create(&path, &task, &serde_json::Value::Null).unwrap();
        writer.push(&row).unwrap();
        writer.finish().unwrap();
        let scores = Scores::read(&[path], &Options { view: View::Classes, ..options() }).unwrap();
        assert_eq!((&scores.task, scores.item_name(0)), (&task, "a"));
        let items = &scores.sets[0].items;
        assert!(items.label(0) == 2 && items.probs(0).iter().zip([0.2, 0.3, 0.5]).all(|(p, e)| (p - e).abs() < 1e-15));
    }
}

#[test]
fn a_writer_refuses_what_a_reader_would() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    let mut writer = PredictionWriter::create(&path, &Task::binary(), &serde_json::Value::Null).unwrap();
    let row = Row { item: "a".into(), label: 1, probs: vec![0.5, 0.5], ..Row::default() };
    for bad in [
        Row { probs: vec![f64::NAN, 0.5], ..row.clone() },
        Row { probs: vec![0.5, f64::NAN], ..row.clone() },
        Row { probs: vec![1.0], ..row.clone() },
        Row { label: 2, ..row.clone() },
        Row { item: String::new(), ..row.clone() },
    ] {
        assert!(matches!(writer.push(&bad), Err(ReportError::BadValue { .. })), "{bad:?}");
    }
    drop(writer);
    assert!(!path.exists(), "an unfinished file has no name");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let nowhere = PredictionWriter::create(Path::new("/nowhere/p.csv"), &Task::binary(), &serde_json::Value::Null);
    assert!(matches!(nowhere, Err(ReportError::Write { .. })));
    let unnamed = PredictionWriter::create(&folder.path().join("p.txt"), &Task::binary(), &serde_json::Value::Null);
    assert!(matches!(unnamed, Err(ReportError::UnknownName { .. })));
}
