//! Maps and regions of forged clips whose masks and untouched videos are known.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use dubito_data::classes::ClassList;
use dubito_data::clip::{Clip, ClipMeta, POINTS};
use dubito_data::manifest::{Label, Row};
use dubito_media::{Codec, EncodeSettings, RgbImage, Tools, Writer};
use dubito_nn::rng::{Purpose, Stream};
use dubito_nn::{Architecture, Boundary, Method, OptimiserConfig, Quantity, TrainConfig};
use dubito_report::section::{ChartKind, Section, Table, Value};
use dubito_stats::Estimate;
use dubito_study::explain::{ExplainOptions, Explainer, of_manifest};
use dubito_study::maps::{Judged, MapOptions, maps_section};
use dubito_study::predict::{FoldRun, find_runs};
use dubito_study::regions::regions_section;
use dubito_study::train::{TrainOptions, train_rounds};
use dubito_study::{Lesson, Progress, Step};

const SIZE: usize = 32;
const FRAMES: usize = 4;
/// Pixels around the crop in the video.
const AROUND: usize = 3;

/// Where a generator changes pixels: rows and columns of the crop.
fn block(generator: &str) -> [std::ops::Range<usize>; 2] {
    if generator == "faceswap" { [6..18, 6..18] } else { [18..26, 10..24] }
}

/// Frames of a video: noise that is the person's, and in a fake a block of colour.
fn frames(person: u64, generator: Option<&str>) -> Vec<RgbImage> {
    let mut stream = Stream::new(Purpose::Other, person, 0, 0);
    let side = (SIZE + 2 * AROUND) as u32;
    (0..FRAMES)
        .map(|_| {
            RgbImage::from_fn(side, side, |x, y| {
                let noise = stream.range(80.0, 140.0);
                let inside = generator.is_some_and(|generator| {
                    let [rows, columns] = block(generator);
                    rows.contains(&(y as usize).wrapping_sub(AROUND))
                        && columns.contains(&(x as usize).wrapping_sub(AROUND))
                });
                let tint = if inside { [60.0, 0.0, -60.0] } else { [0.0; 3] };
                image::Rgb(tint.map(|t| (noise + t) as u8))
            })
        })
        .collect()
}

fn write(path: &Path, frames: &[RgbImage], tools: &Tools) -> String {
    let side = (SIZE + 2 * AROUND) as u32;
    let settings = EncodeSettings { codec: Codec::Raw, frame_rate: 25.0 };
    let mut writer = Writer::create(path, side, side, &settings, tools).unwrap();
    frames.iter().for_each(|frame| writer.write(frame).unwrap());
    writer.finish().unwrap().path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The clip of a video, cut out of its middle; its landmarks are the mean face's.
fn clip(video: &str, frames: &[RgbImage]) -> Clip {
    let (a, s) = (AROUND as f32, SIZE as u32);
    let crops = frames.iter().map(|f| image::imageops::crop_imm(f, AROUND as u32, AROUND as u32, s, s).to_image());
    let point = |i: usize| {
        let [x, y] = dubito_face::MEAN_FACE[i];
        [x * SIZE as f32, y * SIZE as f32, 0.0]
    };
    Clip {
        meta: ClipMeta { video: video.into(), size: s, margin: 0.3, ..ClipMeta::default() },
        windows: vec![0; FRAMES],
        frame_index: (0..FRAMES as u64).collect(),
        timestamps: (0..FRAMES).map(|i| i as f64 / 25.0).collect(),
        boxes: vec![[0.0; 4]; FRAMES],
        transforms: vec![[1.0, 0.0, -a, 0.0, 1.0, -a]; FRAMES],
        presence: vec![1.0; FRAMES],
        landmarks: (0..FRAMES * POINTS).map(|i| point(i % POINTS)).collect(),
        frames: crops.flat_map(RgbImage::into_raw).collect(),
    }
}

/// Three folds of two people, each with an untouched video and a fake of two generators.
fn store(folder: &Path, tools: &Tools) -> Vec<Row> {
    let mut rows = Vec::new();
    for person in 0..6u64 {
        for generator in [None, Some("faceswap"), Some("wav2lip")] {
            let video = format!("p{person}-{}", generator.unwrap_or("real"));
            let shown = frames(person, generator);
            let mask = generator.map(|generator| {
                let [rows, columns] = block(generator);
                let white = |x: u32, y: u32| {
                    let [x, y] = [x, y].map(|v| (v as usize).wrapping_sub(AROUND));
                    image::Rgb([if rows.contains(&y) && columns.contains(&x) { 255 } else { 0 }; 3])
                };
                let side = (SIZE + 2 * AROUND) as u32;
                let frames = vec![RgbImage::from_fn(side, side, white); FRAMES];
                write(&folder.join(format!("{video}-mask")), &frames, tools)
            });
            let name = format!("{video}.safetensors");
            clip(&video, &shown).write(&folder.join(&name)).unwrap();
            let fold = format!("fold{}", person / 2 + 1);
            rows.push(Row {
                path: write(&folder.join(&video), &shown, tools),
                label: if generator.is_some() { Label::Fake } else { Label::Real },
                generator: generator.unwrap_or("real").into(),
                identity: format!("p{person}"),
                dataset: "forged".into(),
                cell: Some(format!("{fold}.a")),
                split: fold,
                source: Some(format!("source{person}")),
                video,
                mask,
                clip: Some(name),
                frames: Some(FRAMES as u32),
                ..Row::default()
            });
        }
    }
    rows
}

fn trained(rows: &[Row], folder: &Path) -> Vec<FoldRun> {
    let config = TrainConfig {
        detector: Architecture::Resnet18,
        epochs: 8,
        batch: 12,
        width: Some(8),
        dropout: 0.2,
        boundary: Boundary::Stage(4),
        optimiser: OptimiserConfig { learning_rate: 3e-3, ..OptimiserConfig::default() },
        patience: 0,
        seed: 1,
        ..TrainConfig::default()
    };
    let options = TrainOptions { config, device: "cpu".into() };
    let lesson = Lesson::of(rows, &ClassList::default(), "binary", &[]).unwrap();
    let out = folder.join("runs");
    train_rounds(rows, folder, &out, &options, &lesson, None, None, Step::only("test"), &|_: &Progress| true).unwrap();
    find_runs(&out).unwrap()
}

fn table<'a>(section: &'a Section, name: &str) -> &'a Table {
    let table = section.tables.iter().find(|table| table.name == name).unwrap();
    assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{name}");
    table
}

/// The estimate in a column of the row that begins with these words.
fn cell<'a>(table: &'a Table, begins: &[&str], column: &str) -> &'a Estimate {
    let at = table.columns.iter().position(|c| c == column).unwrap();
    let text = |value: &Value| if let Value::Text(text) = value { text.clone() } else { String::new() };
    let row = table.rows.iter().find(|row| begins.iter().zip(*row).all(|(want, found)| text(found) == **want));
    match &row.unwrap_or_else(|| panic!("no row {begins:?}"))[at] {
        Value::Estimate(estimate) => estimate,
        other => panic!("{other:?}"),
    }
}

fn options() -> MapOptions {
    MapOptions {
        frames: 2,
        videos: 6,
        samples: 6,
        methods: vec![Method::Smooth { copies: 2, sigma: 10.0 }, Method::Integrated { steps: 8, blur: 4.0 }],
        shares: vec![0.05, 0.14],
        placements: 3,
        border: 2,
        replicates: 200,
        ..MapOptions::default()
    }
}

#[test]
fn maps_are_tested_against_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let tools = Tools::discover();
    let rows = store(folder.path(), &tools);
    let runs = trained(&rows, folder.path());
    let detectors = [Judged { name: "small".into(), runs: runs.clone() }];
    let out = folder.path().join("maps");
    let go_on = |_: &Progress| true;
    let step = Step::only("test");
    let make = |rows: &[Row], out: &Path| {
        maps_section(rows, folder.path(), folder.path(), &detectors, out, &options(), &tools, step, &go_on).unwrap()
    };
    let section = make(&rows, &out);
    assert_eq!(section.skipped, [""; 0]);

    // The untouched frames lie exactly under the fakes, and differ where the masks say.
    let pairs = table(&section, "pairs");
    for generator in ["faceswap", "wav2lip"] {
        assert_eq!(cell(pairs, &[generator], "outside the mask").value, Some(0.0));
        assert!((cell(pairs, &[generator], "inside the mask").value.unwrap() - 40.0).abs() < 3.0);
    }
    // Other people's masks are this one, or the other generator's: both know more than chance.
    let found = table(&section, "localisation");
    let mean_mask = cell(found, &["small", "mean_mask"], "AUROC");
    assert!(mean_mask.low.unwrap() > 0.8, "{mean_mask:?}");
    let centre = cell(found, &["small", "centre"], "AUROC").value.unwrap();
    assert!((0.4..0.95).contains(&centre), "{centre}");
    assert!(cell(found, &["small", "p_fake: smooth"], "AUROC").value.unwrap() > 0.55);
    let put_back = table(&section, "put_back");
    let by_mask = cell(put_back, &["small", "mean_mask", "p_fake", "14 %"], "difference");
    assert!(by_mask.low.unwrap() > 0.0, "putting back what was forged changes the answer: {by_mask:?}");
    for quantity in Quantity::ALL {
        for method in ["smooth", "integrated", "random_network"] {
            let map = format!("{}: {method}", quantity.name());
            assert!(cell(put_back, &["small", &map, quantity.name(), "5 %"], "difference").value.is_some(), "{map}");
        }
        assert!(cell(table(&section, "vanishing"), &["small", quantity.name()], "mean length").value.unwrap() > 0.0);
    }
    assert!(section.findings.iter().any(|f| f.contains("epistemic uncertainty changes by")), "{:?}", section.findings);
    assert!(section.findings.iter().any(|f| f.contains("of one generator")), "{:?}", section.findings);
    let tiles = section
        .charts
        .iter()
        .find_map(|c| if let ChartKind::Pictures { tiles, .. } = &c.kind { Some(tiles) } else { None });
    for (_, file) in tiles.unwrap() {
        assert!(image::open(out.join(file)).unwrap().width() > 192);
    }
    assert_eq!(serde_json::from_str::<Section>(&serde_json::to_string(&section).unwrap()).unwrap(), section);

    // Again from what was kept, and the same without it and in another order.
    let files = || walk(&out.join("kept"));
    let before = files();
    assert_eq!(make(&rows, &out), section);
    assert_eq!(before, files(), "measured again for nothing");
    let turned: Vec<Row> = rows.iter().rev().cloned().collect();
    assert_eq!(make(&turned, &folder.path().join("again")), section);

    // What has no truth to put back is named.
    let mut blind = rows.clone();
    blind[1].mask = None;
    blind.retain(|row| row.video != "p3-real");
    let section = make(&blind, &folder.path().join("blind"));
    assert_eq!(section.skipped.len(), 3, "{:?}", section.skipped);
    assert!(section.skipped[0].contains("p0-faceswap: it has no mask"), "{:?}", section.skipped);
    assert!(section.skipped[1].contains("untouched video"), "{:?}", section.skipped);
    let wrong = MapOptions { shares: vec![1.5], ..options() };
    let error =
        maps_section(&rows, folder.path(), folder.path(), &detectors, &out, &wrong, &tools, step, &go_on).unwrap_err();
    assert!(error.to_string().contains("share of 1.5"), "{error}");

    regions_and_explanations(&rows, folder.path(), &detectors, &tools);
}

/// Files and their times of change, below a folder.
fn walk(folder: &Path) -> BTreeSet<(String, std::time::SystemTime)> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(walk(&path)),
            false => drop(found.insert((path.display().to_string(), path.metadata().unwrap().modified().unwrap()))),
        }
    }
    found
}

fn regions_and_explanations(rows: &[Row], folder: &Path, detectors: &[Judged], tools: &Tools) {
    let go_on = |_: &Progress| true;
    let out = folder.join("regions");
    let make = || regions_section(rows, folder, detectors, &out, &options(), Step::only("test"), &go_on).unwrap();
    let section = make();
    assert_eq!(make(), section);
    assert!(section.skipped.is_empty() && section.findings.len() == 4, "{:?} {:?}", section.skipped, section.findings);
    let of_fake = table(&section, "regions_p_fake");
    let adds = |region: &str| cell(of_fake, &["small", "wav2lip", region], "occlusion").value.unwrap();
    // This generator changes the lower part of the crop: the mouth, and nothing of the forehead.
    assert!(adds("mouth") > adds("forehead"), "{} {}", adds("mouth"), adds("forehead"));
    assert!(cell(of_fake, &["small", "real", "nose"], "pooled map").value.unwrap() > 0.0);
    assert_eq!(section.charts.len(), 12);
    let ChartKind::Matrix { rows: names, columns, values, .. } = &section.charts[0].kind else { panic!("a matrix") };
    assert_eq!((names.len(), columns.len(), values.len(), values[0].len()), (3, 8, 3, 8));

    let runs = detectors[0].runs.clone();
    let chosen = of_manifest(rows, &runs, 1, 0).unwrap();
    assert_eq!(chosen.len(), 3);
    assert!(chosen.iter().all(|(row, run)| run.fold.as_deref() == Some(&row.split)));
    let (row, run) = chosen[0];
    let clip = Clip::read(&folder.join(row.clip.as_ref().unwrap())).unwrap();
    let options = ExplainOptions {
        what: Quantity::Epistemic,
        how: Method::Integrated { steps: 4, blur: 3.0 },
        frames: 3,
        samples: 6,
        seed: 0,
        device: "cpu".into(),
    };
    let explain = |out: &str| {
        let explainer = Explainer::new(&run.dir, options.clone()).unwrap();
        explainer.explain(&clip, Some(row), &folder.join(out), tools).unwrap()
    };
    let found = explain("explained");
    assert_eq!((found.frames.len(), found.regions.len()), (3, 8));
    assert!(found.checks.gap.is_some() && found.statement.len() >= 4, "{:?}", found.statement);
    let read: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("explained/explain.json")).unwrap()).unwrap();
    assert_eq!(read["frames"].as_array().unwrap().len(), 3);
    for file in &found.files {
        assert!(folder.join("explained").join(file).is_file(), "{file}");
    }
    let maps = dubito_nn::read_state(&folder.join("explained/maps.safetensors")).unwrap();
    assert_eq!(maps["maps"].shape, [3, SIZE, SIZE]);
    let again = explain("again-explained");
    assert_eq!((again.checks, again.frames), (found.checks, found.frames));

    // One network alone has no epistemic uncertainty to explain.
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(run.dir.join("config.json")).unwrap()).unwrap();
    config["dropout"] = 0.0.into();
    std::fs::write(run.dir.join("config.json"), config.to_string()).unwrap();
    let explainer = Explainer::new(&run.dir, options).unwrap();
    let error = explainer.explain(&clip, None, &folder.join("none"), tools).unwrap_err().to_string();
    assert!(error.contains("same network"), "{error}");
}
