//! From clips to a report with several classes and a generator left out: what each step writes is all that the next needs.
#![allow(clippy::unwrap_used)]

mod clips;

use std::path::Path;

use dubito_data::classes::ClassList;
use dubito_data::clip::{Clip, ClipMeta};
use dubito_data::manifest::{Label, Row};
use dubito_nn::rng::{Purpose, Stream};
use dubito_nn::{
    Architecture, Attack, AttackMethod, Boundary, Curvature, Inference, Laplace, OptimiserConfig, Run, Signal, Swag,
    TrainConfig, Variational,
};
use dubito_report::{Level, Options, Predictions};
use dubito_sim::{Performance, PerformanceConfig, Subject};
use dubito_stats::Bootstrap;
use dubito_study::attack::{AttackOptions, attack};
use dubito_study::bayes::{ConvertOptions, TrainedClips, convert_runs, join_runs, scale_runs};
use dubito_study::predict::{PredictOptions, find_runs, predict};
use dubito_study::train::{TrainOptions, train_rounds};
use dubito_study::{Lesson, Progress, Step, report};
use serde_json::json;

use clips::{SIZE, clip};

const FRAMES: usize = 4;

/// Three folds of two people, of each a real video, and of three generators a null control and a fake.
fn store(folder: &Path) -> Vec<Row> {
    let generators = [("faceswap", [40.0, 0.0, -40.0]), ("wav2lip", [-40.0, 0.0, 40.0]), ("fsgan", [0.0, 50.0, 0.0])];
    let mut rows = Vec::new();
    for person in 0..6u64 {
        let mut add = |generator: &str, control: Option<&str>, tint: [f32; 3]| {
            let video = format!("p{person}-{generator}-{}", control.unwrap_or_default());
            let name = format!("{video}.safetensors");
            clip(&video, 100 * person + rows.len() as u64, tint, FRAMES).write(&folder.join(&name)).unwrap();
            let fold = format!("fold{}", person / 2 + 1);
            rows.push(Row {
                label: if generator == "real" { Label::Real } else { Label::Fake },
                generator: generator.into(),
                control: control.map(String::from),
                identity: format!("p{person}"),
                dataset: "forged".into(),
                cell: Some(format!("{fold}.a")),
                split: fold,
                video,
                clip: Some(name),
                ..Row::default()
            });
        };
        add("real", None, [0.0; 3]);
        for (generator, tint) in generators {
            add("real", Some(generator), [0.0; 3]);
            add(generator, None, tint);
        }
    }
    rows
}

fn options() -> TrainOptions {
    let config = TrainConfig {
        epochs: 6,
        batch: 16,
        width: Some(8),
        optimiser: OptimiserConfig { learning_rate: 3e-3, ..OptimiserConfig::default() },
        patience: 0,
        seed: 1,
        ..TrainConfig::default()
    };
    TrainOptions { config, device: "cpu".into() }
}

#[test]
fn several_classes_and_a_generator_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rows = store(folder.path());
    let go_on = |_: &Progress| true;
    let step = Step::only("test");
    let lesson = Lesson::of(&rows, &ClassList::default(), "multiclass", &["fsgan".to_owned()]).unwrap();
    assert_eq!(lesson.class_names, ["real", "faceswap", "wav2lip"]);
    let train =
        || train_rounds(&rows, folder.path(), &at("runs"), &options(), &lesson, None, None, step, &go_on).unwrap();
    let runs = train();
    assert_eq!(runs.len(), 3);
    let run = Run::load(&runs[0].dir).unwrap();
    assert_eq!(run.config.class_names, lesson.class_names);
    assert_eq!(run.config.trained_on.left_out, ["forged/fsgan"]);
    assert_eq!(run.config.trained_on.task, "multiclass");
    let card = std::fs::read_to_string(runs[0].dir.join("model_card.md")).unwrap();
    assert!(card.contains("| generators left out | forged/fsgan |"), "{card}");
    // Two people to learn from, with four real clips and two fakes each; nothing of fsgan.
    assert!(card.contains(&format!("| training | {} crops", 2 * 6 * FRAMES)), "{card}");
    let weights = |fold: &str| std::fs::read(at("runs").join(fold).join("weights.safetensors")).unwrap();
    let before = weights("fold2");
    train();
    assert!(before == weights("fold2"), "trained anew for nothing");

    // The folder of runs is all that prediction needs.
    let found = find_runs(&at("runs")).unwrap();
    let how = PredictOptions { samples: 4.into(), seed: 0, device: "cpu".into(), views: false, name: None };
    let draw =
        |out: &str| predict(&rows, folder.path(), &found, &at(out), &how, &json!({}), step, &go_on).unwrap().path;
    let predictions = draw("out");
    let bytes = std::fs::read(&predictions).unwrap();
    assert!(bytes == std::fs::read(draw("out")).unwrap(), "kept samples gave another file");
    assert!(bytes == std::fs::read(draw("again")).unwrap(), "the same seed gave another file");
    let bootstrap = Some(Bootstrap { replicates: 50, ..Bootstrap::default() });
    let options = Options { bootstrap, ..Options::default() };
    let read = Predictions::read(std::slice::from_ref(&predictions), &options).unwrap();
    assert_eq!(read.scores.not_learned.unseen.iter().collect::<Vec<_>>(), ["fsgan"]);
    let known = read.classes.unwrap().known;
    assert_eq!((known.task.classes.len(), known.items(), read.scores.items()), (3, 6 * 6 * FRAMES, 6 * 7 * FRAMES));

    // And the predictions are all that the report needs.
    let said = ["No attack was tried.".to_owned()];
    let out = at("report");
    let metrics =
        report::report(&[predictions], &rows, Some(folder.path()), "Test", json!({}), &said, &out, &options).unwrap();
    let several = metrics.group(&[("task", "multiclass")], Level::Video).unwrap();
    assert_eq!(several.items, 6 * 6);
    assert!(several.metric("accuracy").value.unwrap() > 0.8, "{:?}", several.metric("accuracy"));
    let overall = metrics.group(&[], Level::Video).unwrap();
    assert_eq!(overall.items, 6 * 7);
    assert!(overall.metric("auroc").value.unwrap() > 0.8);
    for unseen in &metrics.unseen {
        let counted = (unseen.generators[0].items, unseen.seen, unseen.seen_fakes);
        assert_eq!(counted, (6, 6 * 6, 6 * 2), "{}", unseen.task);
    }
    assert_eq!(metrics.unseen.iter().map(|unseen| unseen.task).collect::<Vec<_>>(), ["binary", "multiclass"]);
    assert_eq!(metrics.confusion[0].unseen["fsgan"].iter().sum::<u64>(), 6);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Not in this run") && page.contains("No attack was tried."));
    assert!(page.contains("Does doubt rise on generators it never saw?"));

    // Runs that were taught different things are not mixed.
    let other = Lesson::of(&rows, &ClassList::default(), "multiclass", &[]).unwrap();
    let quick = TrainOptions { config: TrainConfig { epochs: 1, ..self::options().config }, device: "cpu".into() };
    let fold = Some("fold1");
    train_rounds(&rows, folder.path(), &at("runs"), &quick, &other, fold, None, step, &go_on).unwrap();
    let error =
        predict(&rows, folder.path(), &find_runs(&at("runs")).unwrap(), &at("mixed"), &how, &json!({}), step, &go_on)
            .unwrap_err()
            .to_string();
    assert!(error.contains("taught different things"), "{error}");
}

/// A task of fakes alone has no real to compare with: reals are not predicted, and the numbers are of the classes.
#[test]
fn the_source_of_fakes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let rows = store(folder.path());
    let go_on = |_: &Progress| true;
    let step = Step::only("test");
    let lesson = Lesson::of(&rows, &ClassList::default(), "source", &[]).unwrap();
    let options = TrainOptions { config: TrainConfig { epochs: 2, ..options().config }, device: "cpu".into() };
    let out = folder.path().join("runs");
    let runs = train_rounds(&rows, folder.path(), &out, &options, &lesson, None, None, step, &go_on).unwrap();
    let how = PredictOptions { samples: 2.into(), seed: 0, device: "cpu".into(), views: false, name: None };
    let path = predict(&rows, folder.path(), &runs, folder.path(), &how, &json!({}), step, &go_on).unwrap().path;
    let read = Predictions::read(&[path], &Options { bootstrap: None, ..Options::default() }).unwrap();
    assert!(read.classes.is_none());
    assert_eq!((read.scores.task.classes.join(" "), read.scores.units.len()), ("faceswap fsgan wav2lip".into(), 18));
}

/// What is trained is converted, fine-tuned, fitted and joined fold by fold, and predicts as any run does.
#[test]
fn trained_runs_are_made_bayesian() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rows = store(folder.path());
    let go_on = |_: &Progress| true;
    let step = Step::only("test");
    let list = ClassList::default();
    let lesson = Lesson::of(&rows, &list, "multiclass", &["fsgan".to_owned()]).unwrap();
    let train = |out: &str, seed: u64, inference: Option<Inference>| {
        let config = TrainConfig { epochs: 2, seed, inference, ..options().config };
        let options = TrainOptions { config, device: "cpu".into() };
        train_rounds(&rows, folder.path(), &at(out), &options, &lesson, None, None, step, &go_on).unwrap()
    };
    let runs = train("runs", 1, None);
    let found = find_runs(&at("runs")).unwrap();
    let trained = TrainedClips { rows: &rows, store: folder.path(), classes: &list };
    let clips = Some(trained);
    let stage = || Inference::Variational(Variational { scope: Boundary::Stage(4), ..Variational::default() });
    let laplace = || Inference::Laplace(Laplace { curvature: Curvature::Full, ..Laplace::default() });
    let how = |inference, epochs| ConvertOptions { inference, epochs, seed: 1, device: "cpu".into() };

    convert_runs(&found, None, &at("moped"), &how(stage(), None), step, &go_on).unwrap();
    convert_runs(&found, clips, &at("tuned"), &how(stage(), Some(1)), step, &go_on).unwrap();
    convert_runs(&found, clips, &at("laplace"), &how(laplace(), None), step, &go_on).unwrap();
    let swag = || Inference::Swag(Swag { scope: Boundary::Stage(4), ..Swag::default() });
    convert_runs(&found, clips, &at("swag"), &how(swag(), Some(2)), step, &go_on).unwrap();
    train("trained", 1, Some(stage()));
    let others = train("others", 2, None);
    join_runs(&[runs.clone(), others.clone()], &at("ensemble"), "cpu").unwrap();

    let tuned = find_runs(&at("tuned")).unwrap();
    scale_runs(&tuned, trained, &at("scaled"), 4, 1, "cpu", step, &go_on).unwrap();

    let crops = 2 * 6 * FRAMES;
    let draw = PredictOptions { samples: 4.into(), seed: 0, device: "cpu".into(), views: false, name: None };
    let mut files = Vec::new();
    for (out, method) in [
        ("moped", "variational"),
        ("tuned", "variational"),
        ("laplace", "laplace"),
        ("swag", "swag"),
        ("trained", "variational"),
        ("ensemble", "ensemble"),
        ("scaled", "variational"),
    ] {
        let runs = find_runs(&at(out)).unwrap();
        assert_eq!(runs.iter().filter_map(|run| run.fold.as_deref()).collect::<Vec<_>>(), ["fold1", "fold2", "fold3"]);
        let inference = Run::load(&runs[0].dir).unwrap().config.inference.unwrap();
        assert_eq!(inference.name(), method, "{out}");
        match inference {
            Inference::Variational(found) => assert_eq!(found.items, (out != "moped").then_some(crops), "{out}"),
            Inference::Laplace(found) => assert_eq!(found.items, crops),
            _ => {}
        }
        // All of them share one folder of samples, and none takes those of another.
        let path = predict(&rows, folder.path(), &runs, &at("out"), &draw, &json!({}), step, &go_on).unwrap();
        files.push(std::fs::read(path.path).unwrap());
    }
    files.sort();
    files.dedup();
    assert_eq!(files.len(), 7, "two methods predict the same");

    // A stopped or repeated fine-tuning is not made anew.
    let weights = || std::fs::metadata(at("tuned").join("fold1/weights.safetensors")).unwrap().modified().unwrap();
    let before = weights();
    convert_runs(&found, clips, &at("tuned"), &how(stage(), Some(1)), step, &go_on).unwrap();
    assert_eq!(before, weights());

    let refused = |runs: &[_], clips, options: ConvertOptions| {
        convert_runs(runs, clips, &at("refused"), &options, step, &go_on).unwrap_err().to_string()
    };
    assert!(refused(&found, None, how(laplace(), None)).contains("needs the clips"));
    assert!(refused(&found, None, how(stage(), Some(1))).contains("needs the clips"));
    assert!(refused(&found, clips, how(swag(), None)).contains("mean over epochs"));
    assert!(refused(&found, clips, how(laplace(), Some(1))).contains("nothing to fine-tune"));
    let converted = find_runs(&at("laplace")).unwrap();
    assert!(refused(&converted, clips, how(stage(), None)).contains("which is `laplace`"));
    // Another manifest than the one that the runs were trained with.
    let fewer: Vec<Row> = rows.iter().filter(|row| row.generator != "wav2lip").cloned().collect();
    let other = Some(TrainedClips { rows: &fewer, store: folder.path(), classes: &list });
    assert!(refused(&found, other, how(laplace(), None)).contains("would have been taught"));
    let error = join_runs(&[runs[..2].to_vec(), others], &at("refused"), "cpu").unwrap_err().to_string();
    assert!(error.contains("different folds"), "{error}");
}

/// A detector of signals goes the same way, by windows; a clip without a signal is counted with its reason.
#[test]
fn fakecatcher_from_clips_to_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = store(folder.path());
    rows.retain(|row| row.control.is_none() && ["real", "fsgan"].contains(&row.generator.as_str()));
    let face = still_face();
    for (i, row) in rows.iter_mut().enumerate() {
        let beats = if row.label == Label::Real { 60.0 + 4.0 * i as f64 } else { 0.0 };
        beating(&face, i as u64, beats, 80).write(&folder.path().join(row.clip.as_ref().unwrap())).unwrap();
        row.frames = Some(80);
    }
    // One is too short for a window.
    let short = Row { video: "short".into(), clip: Some("short.safetensors".into()), ..rows[0].clone() };
    beating(&face, 99, 60.0, 24).write(&folder.path().join("short.safetensors")).unwrap();
    rows.push(Row { frames: Some(24), ..short });
    let go_on = |_: &Progress| true;
    let step = Step::only("test");
    let lesson = Lesson::of(&rows, &ClassList::default(), "binary", &[]).unwrap();
    let signal = Some(Signal::Ppg { omega: 32, step: 8 });
    let detector = Architecture::Fakecatcher;
    let config = TrainConfig { detector, signal, width: Some(4), dropout: 0.2, ..options().config };
    let options = TrainOptions { config, device: "cpu".into() };
    let out = folder.path().join("runs");
    let runs = train_rounds(&rows, folder.path(), &out, &options, &lesson, None, None, step, &go_on).unwrap();
    let run = Run::load(&runs[0].dir).unwrap();
    assert_eq!((run.config.preprocessing.signal, run.config.network.window), (signal, Some(32)));
    let how = PredictOptions { samples: 3.into(), seed: 0, device: "cpu".into(), views: false, name: None };
    let found = predict(&rows, folder.path(), &runs, folder.path(), &how, &json!({}), step, &go_on).unwrap();
    assert_eq!(found.missing, 1);
    let plain = Options { bootstrap: None, ..Options::default() };
    let read = Predictions::read(std::slice::from_ref(&found.path), &plain).unwrap();
    let missing = &read.scores.missing;
    assert_eq!((missing.len(), missing[0].video.as_str(), missing[0].status.as_str()), (1, "short", "too_short"));
    assert!(missing[0].reason.contains("32"), "{}", missing[0].reason);
    // Seven windows of 32 frames, eight apart, in 80; twelve videos.
    assert_eq!((read.scores.units.len(), read.scores.items()), (12, 12 * 7));
    // A pulse that is there or not is easily told.
    let metrics = dubito_report::evaluate(std::slice::from_ref(&found.path), missing, json!({}), &plain).unwrap();
    assert!(metrics.group(&[], Level::Video).unwrap().metric("auroc").value.unwrap() > 0.9);
    // What is attacked is the picture of the signal, by answers alone.
    let attacked = |method| {
        let how = AttackOptions {
            attack: Attack { steps: if method == AttackMethod::Square { 40 } else { 2 }, ..Attack::new(method, 8.0) },
            epsilons: vec![16.0],
            frames: 2,
            reencode: Some(80),
            samples: 3,
            seed: 0,
            device: "cpu".into(),
            views: false,
        };
        attack(&rows, folder.path(), &runs, &folder.path().join("attacked"), &how, &json!({}), step, &go_on)
    };
    let square = attacked(AttackMethod::Square).unwrap();
    assert_eq!((square.clips, square.frames, square.missing.len()), (12, 24, 1));
    let names: Vec<&str> = square.conditions.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["clean", "square_16", "square_16_8bit"], "a picture of a signal is not encoded as JPEG");
    let loss = |condition: &str| {
        let path = folder.path().join(format!("attacked/predictions/{condition}.parquet"));
        let scores = Predictions::read(&[path], &plain).unwrap().scores;
        let items = &scores.sets[0].items;
        (0..items.len()).map(|i| -items.probs(i)[items.label(i)].ln()).sum::<f64>()
    };
    assert!(loss("square_16_8bit") > loss("clean"));
    let error = attacked(AttackMethod::Pgd).unwrap_err();
    assert!(error.to_string().contains("signal (ppg)") && error.hint().unwrap().contains("square"), "{error}");
    // Run on clips of other crops, it says what it needs.
    let other = Clip { meta: ClipMeta { size: 40, ..ClipMeta::default() }, ..Clip::default() };
    let video = rows[0].clip.clone().unwrap();
    other.write(&folder.path().join(&video)).unwrap();
    let error = predict(&rows, folder.path(), &runs, folder.path(), &how, &json!({}), step, &go_on).unwrap_err();
    assert!(error.to_string().contains("40 pixels, not 32") && error.hint().unwrap().contains("--size 32"), "{error}");
}

/// A simulated face in a picture of 32 pixels.
fn still_face() -> dubito_sim::Rendered {
    let mut config = PerformanceConfig::from_seed(5);
    (config.camera.width, config.camera.height) = (SIZE as u32, SIZE as u32);
    dubito_sim::frames(&Subject::new(5), &Performance::from_config(config).unwrap()).next().unwrap()
}

/// Some frames of it, its colour beating, with noise.
fn beating(face: &dubito_sim::Rendered, seed: u64, beats: f64, count: usize) -> Clip {
    let mut stream = Stream::new(Purpose::Other, seed, 1, 0);
    let mut frames = Vec::new();
    for i in 0..count {
        let wave = (std::f64::consts::TAU * beats / 60.0 * i as f64 / 25.0).sin() as f32;
        let dim = [1.0 - 0.01 * wave, 1.0 - 0.06 * wave, 1.0 - 0.03 * wave];
        let pixels = face.image.as_raw().iter().enumerate();
        frames.extend(pixels.map(|(k, v)| (f32::from(*v) * 0.9 * dim[k % 3] + stream.range(-3.0, 3.0)) as u8));
    }
    Clip {
        meta: ClipMeta { size: SIZE as u32, ..ClipMeta::default() },
        windows: vec![0; count],
        frame_index: (0..count as u64).collect(),
        timestamps: (0..count).map(|i| i as f64 / 25.0).collect(),
        boxes: vec![[0.0; 4]; count],
        transforms: vec![[0.0; 6]; count],
        presence: vec![1.0; count],
        landmarks: face.landmarks.repeat(count),
        frames,
    }
}
