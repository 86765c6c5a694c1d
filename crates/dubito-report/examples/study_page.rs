//! Writes the page of a study whose numbers are made up, to look at how every kind of table and chart is drawn:
//! `cargo run -p dubito-report --example study_page -- DIR [extremes]`. `extremes` adds charts that are hard to draw.

use std::error::Error;
use std::path::{Path, PathBuf};

use dubito_report::section::{Axis, Chart, ChartKind, Curve, CurvesPanel, ScatterPanel, Section, Source, Table, Value};
use dubito_report::{StudyReport, write_study};
use dubito_stats::Estimate;
use image::{Rgb, RgbImage};

const DETECTORS: [&str; 4] = ["ResNet-18", "MobileNetV2", "Meso-4", "PPG map"];
const METHODS: [&str; 3] = ["deterministic", "MC dropout", "Bayes by backprop"];
const GENERATORS: [&str; 5] = ["graft", "warp", "blend", "reenact", "texture"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = PathBuf::from(arguments.next().ok_or("say where to write: study_page DIR [extremes]")?);
    let mut sections = vec![binary(), matrix(), source_detection(), adversarial(), dose(), maps(&out)?];
    if arguments.next().is_some_and(|word| word == "extremes") {
        sections.push(extremes());
    }
    let report = StudyReport {
        title: "Synthetic study: how every table and chart is drawn".into(),
        subtitle: "All numbers on this page are made up by a formula. They say nothing about any detector.".into(),
        facts: [
            ("Data", "made up: no video was seen"),
            ("Detectors", "ResNet-18, MobileNetV2, Meso-4, PPG map"),
            ("Inference", "deterministic, MC dropout (T = 20), Bayes by backprop (T = 20)"),
            ("Held out", "people (5 folds); each generator once"),
            ("Intervals", "95 %, bootstrap over people, 1000 replicates"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into(),
        sections: sections.into_iter().map(|section| (out.join("pictures"), section)).collect(),
        not_run: vec![
            ("cross_dataset".into(), "no second data set was given: name one in [data.second]".into()),
            ("tones".into(), "skin tone is known of 4 people of 60; 20 of each are needed".into()),
        ],
        provenance: serde_json::json!({
            "program": "examples/study_page.rs", "numbers": "synthetic", "seed": 7, "replicates": 1000,
        }),
        notes: vec![
            "Everything here is synthetic. The page shows form, not findings.".into(),
            "Intervals are of the formula's noise; on real data they cluster by person.".into(),
        ],
    };
    write_study(&out, &report)?;
    Ok(())
}

/// Noise between -1 and 1 that is the same on every machine.
fn noise(seed: usize) -> f64 {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((state >> 11) as f64 / (1u64 << 52) as f64) - 1.0
}

fn share(value: f64, half: f64) -> Estimate {
    let value = value.clamp(0.0, 1.0);
    let (low, high) = ((value - half).max(0.0), (value + half).min(1.0));
    Estimate { low: Some(low), high: Some(high), ..Estimate::point(value) }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn source(what: &str) -> Vec<Source> {
    vec![Source {
        what: what.into(),
        path: "runs/resnet18-3f9c1b/predictions.parquet".into(),
        command: "dubito predict runs/resnet18-3f9c1b --samples 20 --seed 7".into(),
    }]
}

fn axis(label: &str) -> Axis {
    Axis { label: label.into(), ..Axis::default() }
}

fn binary() -> Section {
    let mut rows = Vec::new();
    let mut series: Vec<(String, Vec<Estimate>)> = METHODS.map(|method| (method.to_string(), Vec::new())).into();
    for (d, detector) in DETECTORS.iter().enumerate() {
        for (m, method) in METHODS.iter().enumerate() {
            let auroc = if d == 3 && m == 2 {
                Estimate::undefined("Bayes by backprop was not trained for PPG maps")
            } else {
                share(0.93 - 0.08 * d as f64 + 0.02 * noise(10 * d + m), 0.03 + 0.01 * d as f64)
            };
            series[m].1.push(auroc.clone());
            rows.push(vec![
                format!("{detector}, {method}").into(),
                1200usize.into(),
                auroc.into(),
                share(0.85 - 0.06 * d as f64, 0.04).into(),
                share(0.08 + 0.03 * d as f64, 0.02).into(),
                Estimate { low: Some(0.0001), high: Some(0.0009), ..Estimate::point(0.00037) }.into(),
                Value::Text(if m == 0 { "one sample" } else { "20 samples" }.into()),
            ]);
        }
    }
    Section {
        name: "binary".into(),
        title: "Real against fake".into(),
        question: "How well does each detector tell real from fake, and does its way of inference matter?".into(),
        method: "Five folds of people; every number is of videos whose people were in no training. Intervals: 95 %, bootstrap over people.".into(),
        findings: vec![
            "ResNet-18 with MC dropout tells real from fake with an AUROC of 0.93 (0.90 to 0.96); no other detector comes as near.".into(),
            "The way of inference changes the AUROC by at most 0.02, which is within every interval.".into(),
            "PPG maps are above guessing (0.69, 0.63 to 0.75), but catch few fakes at 5 % false alarms.".into(),
        ],
        tables: vec![Table {
            name: "overall".into(),
            title: "Real against fake, videos".into(),
            caption: "False alarms: share of the reals called fake. The p-value is of the difference from guessing.".into(),
            columns: strings(&["Detector", "Videos", "AUROC", "Accuracy", "False alarms", "p", "Samples"]),
            rows,
        }],
        charts: vec![Chart {
            name: "auroc".into(),
            title: "AUROC of each detector".into(),
            caption: "Marks with their 95 % intervals.".into(),
            kind: ChartKind::Dots {
                rows: strings(&DETECTORS),
                series,
                x: axis("AUROC, videos"),
                reference: Some(("guessing".into(), 0.5)),
            },
        }],
        meaning: vec!["Which network is used matters more than how its posterior is approximated.".into()],
        skipped: vec!["Bayes by backprop of PPG maps: not trained in this study.".into()],
        sources: source("predictions of resnet18, mc_dropout, seed 7"),
    }
}

fn matrix() -> Section {
    let columns: Vec<String> =
        ["real", "null control"].iter().chain(&GENERATORS).map(|name| name.to_string()).collect();
    let rows: Vec<String> =
        DETECTORS.iter().flat_map(|detector| METHODS.map(|method| format!("{detector}, {method}"))).collect();
    let values = (0..rows.len()).map(|row| {
        let cell = |column: usize| match (row % 3, column) {
            (0, _) => Estimate::undefined("a deterministic detector has one sample: nothing to disagree"),
            _ => {
                let value = 0.01 + 0.012 * row as f64 * (1.0 + 0.4 * noise(row * 31 + column)) / 2.0;
                Estimate { low: Some(value * 0.8), high: Some(value * 1.25), ..Estimate::point(value) }
            }
        };
        (0..columns.len()).map(cell).collect()
    });
    Section {
        name: "matrix".into(),
        title: "Uncertainty of detectors by generator".into(),
        question: "Is there a generator that all detectors doubt about?".into(),
        method: "Mean epistemic uncertainty over the videos of each origin.".into(),
        findings: vec![
            "Epistemic uncertainty depends on the detector (0.02 to 0.08 nats) more than on the generator.".into(),
        ],
        charts: vec![Chart {
            name: "epistemic".into(),
            title: "Epistemic uncertainty, detectors by generators".into(),
            caption: "The darker, the more the posterior's samples disagree.".into(),
            kind: ChartKind::Matrix {
                values: values.collect(),
                rows,
                columns,
                what: "mean epistemic uncertainty, nats".into(),
                ends: None,
                by_row: false,
            },
        }],
        meaning: vec!["Made-up numbers mean nothing.".into()],
        ..Section::default()
    }
}

fn source_detection() -> Section {
    let cloud = |group: usize, count: usize, spread: f64| -> Vec<[f64; 2]> {
        let angle = group as f64 * 1.256;
        (0..count)
            .map(|i| {
                let seed = 1000 * group + 2 * i;
                let round = |seed: usize| (noise(seed) + noise(seed + 7919) + noise(seed + 104_729)) * spread;
                [angle.cos() + round(seed), angle.sin() + round(seed + 1)]
            })
            .collect()
    };
    let panel = |title: &str, spread: f64| ScatterPanel {
        title: title.into(),
        groups: GENERATORS.iter().enumerate().map(|(at, name)| (name.to_string(), cloud(at, 60, spread))).collect(),
        labels: (0..5).map(|g| ([(g as f64 * 1.256).cos(), (g as f64 * 1.256).sin()], GENERATORS[g].into())).collect(),
    };
    let confusion = (0..5).map(|row| {
        (0..5)
            .map(|column| {
                Estimate::point(if row == column { 41.0 + row as f64 } else { ((row * 3 + column) % 6) as f64 })
            })
            .collect()
    });
    Section {
        name: "source".into(),
        title: "Source detection from uncertainty alone".into(),
        question: "Can the generator be told from the detector's uncertainty alone?".into(),
        method: "A small classifier on features of the uncertainty, people apart; 20 % is guessing.".into(),
        findings: vec![
            "Uncertainty alone names the generator in 71 % (66 to 76) of the fakes; guessing gives 20 %.".into(),
            "Probability alone gives 44 % (39 to 49).".into(),
        ],
        charts: vec![
            Chart {
                name: "manifold".into(),
                title: "The manifold of uncertainty".into(),
                caption: "Two principal components of the features of each fake video.".into(),
                kind: ChartKind::Scatter {
                    panels: vec![panel("uncertainty", 0.25), panel("probability", 0.7)],
                    x: axis("first component"),
                    y: axis("second component"),
                },
            },
            Chart {
                name: "confusion".into(),
                title: "What is called what".into(),
                caption: "Rows: made by. Columns: called.".into(),
                kind: ChartKind::Matrix {
                    rows: strings(&GENERATORS),
                    columns: strings(&GENERATORS),
                    values: confusion.collect(),
                    what: "fake videos".into(),
                    ends: None,
                    by_row: false,
                },
            },
        ],
        ..Section::default()
    }
}

fn adversarial() -> Section {
    let attacks = ["FGSM", "PGD", "APGD-CE", "Square"];
    let panel = |method: &str, better: f64| CurvesPanel {
        title: method.into(),
        lines: attacks
            .iter()
            .enumerate()
            .map(|(at, attack)| Curve {
                name: attack.to_string(),
                points: [0.0, 1.0, 2.0, 4.0, 8.0]
                    .map(|budget| {
                        let strength = [0.09, 0.16, 0.18, 0.05][at] * (1.0 - better);
                        let estimate = match (at, budget) {
                            (3, 8.0) => Estimate::undefined("the run stopped at its time limit of 600 s"),
                            _ => share(0.94 - strength * budget, 0.03),
                        };
                        (budget, estimate)
                    })
                    .into(),
            })
            .collect(),
    };
    Section {
        name: "adversarial".into(),
        title: "Adversarial robustness".into(),
        question: "How much change of pixels does it take to turn a detector's answer?".into(),
        method:
            "FGSM, PGD, APGD-CE and Square, all with expectation over the posterior; results after rounding to 8 bits."
                .into(),
        findings: vec!["APGD-CE at 4/255 brings the accuracy of MC dropout down to 0.22 (0.19 to 0.25).".into()],
        charts: vec![Chart {
            name: "sweep".into(),
            title: "Accuracy by budget".into(),
            caption: "0 is without an attack.".into(),
            kind: ChartKind::Curves {
                panels: vec![panel("deterministic", 0.0), panel("MC dropout", 0.15), panel("Bayes by backprop", 0.25)],
                x: Axis { label: "largest change, 1/255".into(), logarithmic: true, ends: None },
                y: Axis { label: "accuracy".into(), ends: Some([0.0, 1.0]), logarithmic: false },
                reference: Some(("guessing".into(), 0.5)),
            },
        }],
        skipped: vec!["PGD on PPG maps: no gradient flows through the signal. Square alone is run.".into()],
        ..Section::default()
    }
}

fn dose() -> Section {
    let line = |name: &str, slope: f64, seed: usize| Curve {
        name: name.into(),
        points: (0..60)
            .map(|i| {
                let x = f64::from(i) / 59.0;
                let value = 0.1 + slope * x.powf(1.5) + 0.02 * noise(seed + i as usize);
                (x, share(value, 0.03 + 0.04 * x))
            })
            .collect(),
    };
    Section {
        name: "dose".into(),
        title: "Dose and response".into(),
        question: "Does doubt grow with the strength of the forgery?".into(),
        method: "Videos forged again at 60 strengths.".into(),
        findings: vec!["P(fake) rises with strength (Spearman 0.97, 0.95 to 0.98).".into()],
        charts: vec![Chart {
            name: "strength".into(),
            title: "Response to strength".into(),
            caption: "Bands are 95 % intervals.".into(),
            kind: ChartKind::Curves {
                panels: vec![CurvesPanel {
                    title: "ResNet-18, MC dropout".into(),
                    lines: vec![
                        line("P(fake)", 0.8, 0),
                        line("total uncertainty", 0.4, 100),
                        line("epistemic", 0.05, 300),
                    ],
                }],
                x: axis("strength of the forgery"),
                y: axis("P(fake); nats"),
                reference: None,
            },
        }],
        ..Section::default()
    }
}

fn maps(out: &Path) -> Result<Section, Box<dyn Error>> {
    let folder = out.join("pictures");
    std::fs::create_dir_all(&folder)?;
    let mut tiles = Vec::new();
    for (at, generator) in GENERATORS.iter().enumerate() {
        let picture = RgbImage::from_fn(96, 96, |x, y| {
            let (x, y) = (f64::from(x) / 48.0 - 1.0, f64::from(y) / 48.0 - 1.0);
            let ring = (-(x.hypot(y) - 0.2 * at as f64).powi(2) * 18.0).exp();
            Rgb([(255.0 * ring) as u8, (120.0 * ring) as u8, (90.0 * (1.0 - ring)) as u8])
        });
        picture.save(folder.join(format!("{generator}.png")))?;
        tiles.push((format!("{generator}, mean of 60 videos"), format!("{generator}.png")));
    }
    tiles.push(("gone".into(), "no_such_file.png".into()));
    Ok(Section {
        name: "maps".into(),
        title: "Maps of uncertainty".into(),
        question: "Where in the face does the uncertainty come from?".into(),
        method: "Gradients of the epistemic uncertainty, averaged on the canonical face.".into(),
        findings: vec!["The maps find the mask with an AUROC of 0.61 (0.57 to 0.65); a Gaussian in the middle reaches 0.66: they are not better than that.".into()],
        charts: vec![Chart {
            name: "mean".into(),
            title: "Mean maps".into(),
            caption: "The brighter, the more.".into(),
            kind: ChartKind::Pictures { columns: 4, tiles },
        }],
        ..Section::default()
    })
}

/// Charts that are hard to draw.
fn extremes() -> Section {
    let chart = |name: &str, kind: ChartKind| Chart {
        name: name.into(),
        title: name.replace('_', " "),
        caption: String::new(),
        kind,
    };
    let long = "resnet18_spatial_dropout_rate_0.35 on the second cell of the fifth fold, recalibrated by temperature";
    let names = |count: usize, name: &str| -> Vec<String> { (0..count).map(|i| format!("{name} {i}")).collect() };
    let estimates = |count: usize, seed: usize| -> Vec<Estimate> {
        (0..count).map(|i| share(0.5 + 0.4 * noise(seed + i), 0.05 + 0.03 * noise(i))).collect()
    };
    let gap =
        || Estimate::undefined("all 12 videos of this generator were lost in extraction, so that no fold has any");
    let table = |rows: usize, columns: usize, scale: f64| -> Vec<Vec<Estimate>> {
        (0..rows)
            .map(|row| {
                (0..columns)
                    .map(|c| if (row + c) % 7 == 3 { gap() } else { Estimate::point(scale * noise(row * 50 + c)) })
                    .collect()
            })
            .collect()
    };
    let lines = |count: usize| -> Vec<Curve> {
        (0..count)
            .map(|line| Curve {
                name: if line == 0 { long.into() } else { format!("line {line}") },
                points: (0..6)
                    .map(|i| (f64::from(1 << i), share(0.2 + 0.06 * line as f64 + 0.04 * f64::from(i), 0.03)))
                    .collect(),
            })
            .collect()
    };
    let one_point = |y: Estimate| {
        vec![CurvesPanel {
            title: "one point".into(),
            lines: vec![Curve { name: "only".into(), points: vec![(3.0, y)] }],
        }]
    };
    let many_groups = |count: usize| ScatterPanel {
        title: format!("{count} groups"),
        groups: (0..count)
            .map(|g| {
                (
                    format!("generator number {g}"),
                    (0..30).map(|i| [g as f64 + noise(i + 99 * g), 1e4 * noise(2 * i + g)]).collect(),
                )
            })
            .collect(),
        labels: (0..6)
            .map(|i| ([6.0 + 0.05 * f64::from(i), 100.0 * f64::from(i)], format!("label number {i}")))
            .collect(),
    };
    let charts = vec![
        chart(
            "matrix_12_by_20_negative",
            ChartKind::Matrix {
                rows: names(12, "detector with a name"),
                columns: names(20, "generator"),
                values: table(12, 20, 1.0),
                what: "change of accuracy".into(),
                ends: None,
                by_row: false,
            },
        ),
        chart(
            "matrix_of_long_names",
            ChartKind::Matrix {
                rows: vec![long.into(), "short".into()],
                columns: vec![long.into(), "b".into(), "neural_textures".into()],
                values: vec![
                    vec![share(0.5, 0.1), gap(), share(0.0, 0.2)],
                    vec![share(1.0, 0.1), Estimate::point(0.3)],
                ],
                what: long.repeat(3),
                ends: Some([0.0, 1.0]),
                by_row: false,
            },
        ),
        chart(
            "matrix_of_one_cell",
            ChartKind::Matrix {
                rows: names(1, "a"),
                columns: names(1, "b"),
                values: vec![vec![Estimate::point(0.25)]],
                what: "one".into(),
                ends: None,
                by_row: false,
            },
        ),
        chart(
            "matrix_of_large_and_small",
            ChartKind::Matrix {
                rows: names(2, "a"),
                columns: names(12, "b"),
                values: vec![
                    (0..12).map(|i| Estimate::point(10f64.powi(i))).collect(),
                    (0..12).map(|i| Estimate::point(10f64.powi(-i))).collect(),
                ],
                what: "wide range".into(),
                ends: None,
                by_row: false,
            },
        ),
        chart(
            "matrix_each_row_on_its_scale",
            ChartKind::Matrix {
                rows: vec![
                    "resnet18 mc_dropout".into(),
                    "resnet18 variational".into(),
                    "mobilenet_v2 mc_dropout".into(),
                ],
                columns: names(6, "generator"),
                values: [0.06, 0.0004, 0.003]
                    .map(|size| (0..6).map(|i| share(size * (1.0 + f64::from(i)) / 6.0, size / 9.0)).collect())
                    .into(),
                what: "epistemic uncertainty (nats)".into(),
                ends: None,
                by_row: true,
            },
        ),
        chart(
            "matrix_undefined",
            ChartKind::Matrix {
                rows: names(2, "a"),
                columns: names(3, "b"),
                values: vec![],
                what: "nothing".into(),
                ends: None,
                by_row: false,
            },
        ),
        chart(
            "matrix_empty",
            ChartKind::Matrix {
                rows: vec![],
                columns: names(3, "b"),
                values: vec![],
                what: "nothing".into(),
                ends: None,
                by_row: false,
            },
        ),
        chart(
            "dots_40_rows",
            ChartKind::Dots {
                rows: names(40, "detector and method")
                    .into_iter()
                    .enumerate()
                    .map(|(i, n)| if i % 9 == 4 { long.into() } else { n })
                    .collect(),
                series: vec![("AUROC".into(), estimates(39, 5))],
                x: axis("AUROC"),
                reference: Some(("guessing".into(), 0.5)),
            },
        ),
        chart(
            "dots_6_series",
            ChartKind::Dots {
                rows: names(5, "row"),
                series: (0..6)
                    .map(|s| {
                        (
                            if s == 2 { long.into() } else { format!("series {s}") },
                            if s == 3 { vec![gap(); 5] } else { estimates(5, 20 * s) },
                        )
                    })
                    .collect(),
                x: axis(long),
                reference: Some((long.into(), 0.1)),
            },
        ),
        chart(
            "dots_beyond_the_axis",
            ChartKind::Dots {
                rows: names(4, "row"),
                series: vec![(
                    "difference".into(),
                    vec![
                        share(0.9, 0.3),
                        Estimate { low: Some(-7.0), high: Some(4.0), ..Estimate::point(0.2) },
                        Estimate::point(-3.5),
                        Estimate::point(12.0),
                    ],
                )],
                x: Axis { ends: Some([-1.0, 1.0]), ..axis("difference") },
                reference: Some(("no difference".into(), 0.0)),
            },
        ),
        chart(
            "dots_one",
            ChartKind::Dots {
                rows: names(1, "row"),
                series: vec![("x".into(), vec![Estimate::point(0.7)])],
                x: axis("one value"),
                reference: None,
            },
        ),
        chart(
            "dots_undefined",
            ChartKind::Dots {
                rows: names(2, "row"),
                series: vec![("x".into(), vec![gap(), gap()])],
                x: axis("nothing"),
                reference: None,
            },
        ),
        chart(
            "dots_logarithmic",
            ChartKind::Dots {
                rows: names(3, "row"),
                series: vec![("p".into(), vec![Estimate::point(1e-7), Estimate::point(0.03), Estimate::point(-1.0)])],
                x: Axis { logarithmic: true, ..axis("p-value") },
                reference: Some(("0.05".into(), 0.05)),
            },
        ),
        chart(
            "curves_12_lines",
            ChartKind::Curves {
                panels: vec![CurvesPanel { title: "all".into(), lines: lines(12) }],
                x: Axis { logarithmic: true, ..axis("samples T") },
                y: axis("accuracy"),
                reference: None,
            },
        ),
        chart(
            "curves_5_panels",
            ChartKind::Curves {
                panels: (0..5)
                    .map(|p| CurvesPanel {
                        title: if p == 1 { long.into() } else { format!("panel {p}") },
                        lines: if p == 3 { vec![] } else { lines(3) },
                    })
                    .collect(),
                x: axis("samples T"),
                y: axis("accuracy"),
                reference: Some(("as before".into(), 0.3)),
            },
        ),
        chart(
            "curves_one_point",
            ChartKind::Curves { panels: one_point(share(0.4, 0.1)), x: axis("x"), y: axis("y"), reference: None },
        ),
        chart(
            "curves_undefined",
            ChartKind::Curves { panels: one_point(gap()), x: axis("x"), y: axis("y"), reference: None },
        ),
        chart(
            "curves_wide",
            ChartKind::Curves {
                panels: vec![CurvesPanel {
                    title: "decades".into(),
                    lines: vec![Curve {
                        name: "error".into(),
                        points: (-6..6)
                            .map(|i| (10f64.powi(i), if i == 0 { gap() } else { Estimate::point(-1e5 * f64::from(i)) }))
                            .collect(),
                    }],
                }],
                x: Axis { logarithmic: true, ..axis("learning rate") },
                y: axis("change of loss"),
                reference: Some(("none".into(), 0.0)),
            },
        ),
        chart(
            "curves_clipped",
            ChartKind::Curves {
                panels: vec![CurvesPanel {
                    title: "ends given".into(),
                    lines: vec![Curve {
                        name: "wave".into(),
                        points: (0..80)
                            .map(|i| (f64::from(i), share(0.5 + 0.6 * (f64::from(i) / 6.0).sin(), 0.2)))
                            .collect(),
                    }],
                }],
                x: axis("frame"),
                y: Axis { ends: Some([0.2, 0.8]), ..axis("P(fake)") },
                reference: None,
            },
        ),
        chart(
            "scatter_12_groups",
            ChartKind::Scatter { panels: vec![many_groups(12)], x: axis("first"), y: axis("second") },
        ),
        chart(
            "scatter_one_and_none",
            ChartKind::Scatter {
                panels: vec![
                    ScatterPanel {
                        title: "one".into(),
                        groups: vec![("a".into(), vec![[2.0, 2.0]])],
                        labels: vec![([2.0, 2.0], long.into())],
                    },
                    ScatterPanel { title: "none".into(), ..ScatterPanel::default() },
                    ScatterPanel {
                        title: "equal".into(),
                        groups: vec![("b".into(), vec![[0.0, 1e-7]; 5])],
                        labels: vec![],
                    },
                ],
                x: axis("x"),
                y: axis("y"),
            },
        ),
        chart("pictures_none", ChartKind::Pictures { columns: 3, tiles: vec![] }),
    ];
    let wide: Vec<String> = (0..16).map(|i| if i == 0 { "Row".into() } else { format!("Column {i}") }).collect();
    Section {
        name: "extremes".into(),
        title: "Charts that are hard to draw".into(),
        question: "Do long names, many rows, none at all and undefined values leave a figure readable?".into(),
        findings: vec!["See below.".into()],
        tables: vec![Table {
            name: "wide".into(),
            title: "A wide table".into(),
            caption: "It scrolls within its own box.".into(),
            rows: (0..3)
                .map(|row| {
                    (0..16)
                        .map(|c| {
                            if c == 0 {
                                Value::Text(format!("row {row} of {long}"))
                            } else if c == 5 {
                                gap().into()
                            } else {
                                share(0.5 + 0.3 * noise(c + row), 0.1).into()
                            }
                        })
                        .collect()
                })
                .collect(),
            columns: wide,
        }],
        charts,
        ..Section::default()
    }
}
