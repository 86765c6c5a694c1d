//! A whole study, small: run, kept, changed, shared by two processes, and with a part that fails.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use dubito_media::Tools;
use dubito_report::section::Section;
use dubito_study::recipe;
use dubito_study::study::{self, Doing, Outcome, Plan, State, StudyConfig};
use serde_json::json;

const STUDY: &str = r#"
title = "A small study"
samples = 3
replicates = 20

[data.forged]
simulate = { subjects = 9, frames = 4, frame_rate = 6.0, width = 240, height = 180 }
forge = { frames = 4, every = 1, donors = 1, controls = 1, generators = ["faceswap", "wav2lip"] }
clips.crops = { size = 32, frames = 4 }

[detector.small]
recipe = "demo"
set = { epochs = 1, width = 4, augment_copies = 1 }

[inference.laplace]
method = "laplace"

[experiment.binary]

[experiment.inference]

[experiment.multiclass]

[experiment.ablation]
detectors = ["small"]
recipe = { dropout = [0.1, 0.4], "signal.omega" = [32] }
frames = [2, 4]
crf = [23, 40]

[experiment.leave_one_out]
leave_out = [["wav2lip"], ["fsgan"]]
self_blends = true
"#;

fn open(folder: &Path, changes: &[&str]) -> (StudyConfig, Plan) {
    let path = folder.join("study.toml");
    std::fs::write(&path, STUDY).unwrap();
    let changes: Vec<_> = changes.iter().map(|text| recipe::change(text).unwrap()).collect();
    let config = study::read(&path, &changes).unwrap();
    let plan = study::plan(&config, false).unwrap();
    (config, plan)
}

fn run(config: &StudyConfig, plan: &Plan, out: &Path, shard: Option<&str>) -> Outcome {
    let worker = vec![env!("CARGO_BIN_EXE_dubito").into(), "worker".into()];
    let tools = Tools { ffmpeg: None, embedded_worker: Some(worker), ..Tools::discover() };
    let told = AtomicUsize::new(0);
    let doing = Doing {
        config,
        out,
        tools: &tools,
        provenance: json!({ "program": "test" }),
        shard: shard.map(|text| text.parse().unwrap()),
        on_progress: &|progress| {
            assert!((0.0..=1.0 + 1e-9).contains(&progress.overall()), "{progress:?}");
            told.fetch_add(1, Ordering::Relaxed);
            true
        },
    };
    let outcome = doing.run(plan).unwrap();
    assert!(told.load(Ordering::Relaxed) > 0 || outcome.done == 0);
    outcome
}

fn sections(config: &StudyConfig, plan: &Plan, out: &Path) -> Vec<Section> {
    study::report(config, plan, out, out, json!({ "program": "test" })).unwrap()
}

#[test]
fn a_study_is_run_once_and_what_fails_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (config, plan) = open(folder.path(), &[]);
    let outcome = run(&config, &plan, &out, None);
    // fsgan made no video here: the trainings without it can't be, everything else is done.
    let said: Vec<String> = outcome.failed.iter().map(|(_, why)| why.to_string()).collect();
    assert!(said.iter().any(|why| why.contains("fsgan")), "{said:?}");
    assert!(outcome.failed.iter().all(|(title, _)| title.contains("fsgan")), "{:?}", outcome.failed);
    let found = sections(&config, &plan, &out);
    let names: Vec<&str> = found.iter().map(|section| section.name.as_str()).collect();
    assert_eq!(names, ["binary", "multiclass", "leave_one_out", "inference", "ablation"]);
    for section in &found {
        assert!(
            !section.findings.is_empty() && !section.tables.is_empty() && !section.charts.is_empty(),
            "{}",
            section.name
        );
        for table in &section.tables {
            assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{}", table.title);
        }
        assert!(section.sources.iter().all(|source| out.join(&source.path).is_dir()), "{:?}", section.sources);
    }
    let left_out = &found[2];
    assert!(left_out.skipped.iter().any(|why| why.contains("fsgan")), "{:?}", left_out.skipped);
    assert_eq!(left_out.tables[0].rows.len(), 1);
    // Trained with self-blended faces: apart, on the same videos.
    let table = |name: &str| left_out.tables.iter().find(|table| table.name == name).unwrap();
    assert_eq!(table("left_out_self_blends").rows.len(), 1);
    assert_eq!(table("left_out_self_blends").rows[0][2], table("left_out").rows[0][2], "as many unseen fakes");
    assert_eq!(table("self_blends").rows.len(), 1);
    assert!(left_out.charts.iter().any(|chart| chart.name == "caught_self_blends"));
    let ablation = &found[4];
    assert_eq!(ablation.tables[0].rows.len(), 6);
    let names: Vec<&str> = ablation.charts.iter().map(|chart| chart.name.as_str()).collect();
    for name in ["dropout_auroc", "frames_epistemic", "crf_total"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(ablation.findings.iter().any(|said| said.starts_with("crf from 23 to 40: the AUROC of small")));
    assert!(ablation.skipped.iter().any(|why| why.contains("signal.omega = 32")), "{:?}", ablation.skipped);
    assert!(out.join("report.html").is_file());

    // What is to be said of the videos is kept by the steps that read them, and said once.
    let kept = |action: &str| -> Vec<_> {
        let steps = plan.steps.iter().filter(|step| step.title.starts_with(action));
        steps.map(|step| out.join(&step.folder).join("warnings.json")).collect()
    };
    assert_eq!(kept("forge").len(), 3, "as it is, with another quantiser, with self-blends");
    assert!(study::warnings(&plan, &out).is_empty());
    let warnings = ["a.mp4 shows the same frames as b.mp4", "a.mp4 is spelled A.mp4"];
    for (action, warning) in ["forge", "extract"].into_iter().zip(warnings) {
        for path in kept(action) {
            assert!(path.is_file(), "{}", path.display());
            std::fs::write(path, json!([warning]).to_string()).unwrap();
        }
    }
    assert_eq!(study::warnings(&plan, &out), warnings);
    sections(&config, &plan, &out);
    assert!(std::fs::read_to_string(out.join("report.html")).unwrap().contains("a.mp4 shows the same frames"));

    // Again: nothing is done twice, what failed is tried anew.
    let again = run(&config, &plan, &out, None);
    assert_eq!((again.done, again.kept), (0, outcome.done));

    // A change makes anew what depends on it: predictions of dropout and Laplace, and the sections.
    let (config, changed) = open(folder.path(), &["samples=4"]);
    let titles = |plan: &Plan| {
        let open = (0..plan.steps.len()).filter(|&id| !matches!(study::state(plan, id, &out), State::Done(_)));
        open.map(|id| plan.steps[id].title.clone()).collect::<Vec<_>>()
    };
    let open = titles(&changed);
    let depends = |t: &String| t.starts_with("predict") || t.starts_with("experiment") || t.contains("fsgan");
    assert!(!open.is_empty() && open.iter().all(depends), "{open:?}");
    run(&config, &changed, &out, None);
    let removed = study::clean(&changed, &out).unwrap();
    assert!(removed.iter().any(|name| name.starts_with("predict")), "{removed:?}");
    assert!(removed.iter().all(|name| !name.starts_with("train")), "{removed:?}");

    // A result that was cut short, or is of an older version, is made again.
    let step = changed.steps.iter().find(|s| s.title.starts_with("experiment binary")).unwrap();
    std::fs::write(out.join(&step.folder).join("step.json"), "{\"version\": 1}").unwrap();
    assert!(titles(&changed).contains(&step.title));
    assert_eq!(run(&config, &changed, &out, None).done, 1);
}

#[test]
fn two_processes_share_a_study() {
    let folder = tempfile::tempdir().unwrap();
    let only = ["experiment.leave_one_out.leave_out=[[\"wav2lip\"]]"];
    let (config, plan) = open(folder.path(), &only);
    let [alone, shared] = ["alone", "shared"].map(|name| folder.path().join(name));
    let outcome = run(&config, &plan, &alone, None);
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    let [one, two] = std::thread::scope(|scope| {
        let go = |shard: &'static str| scope.spawn(|| run(&config, &plan, &shared, Some(shard)));
        [go("1/2"), go("2/2")].map(|thread| thread.join().unwrap())
    });
    assert_eq!((one.failed.len(), two.failed.len()), (0, 0));
    assert!(one.done > 0 && two.done > 0 && one.done + two.done == outcome.done, "{one:?} {two:?}");
    // Seconds of prediction differ, everything else does not.
    let numbers = |out: &Path| -> Vec<(String, Vec<String>)> {
        sections(&config, &plan, out)
            .into_iter()
            .filter(|s| s.name != "inference")
            .map(|s| (s.name, s.findings))
            .collect()
    };
    assert_eq!(numbers(&alone), numbers(&shared));
}
