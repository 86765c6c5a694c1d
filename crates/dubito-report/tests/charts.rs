//! Charts have the form that was looked at, of whatever data; SVG and PNG agree; what is undefined says why.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use dubito_report::figures::Figure;
use dubito_report::section::{Axis, Chart, ChartKind, Curve, CurvesPanel, ScatterPanel, Value};
use dubito_stats::Estimate;

fn chart(kind: ChartKind) -> Chart {
    Chart { name: "chart".into(), title: "A chart".into(), caption: "How to read it.".into(), kind }
}

fn drawn(kind: ChartKind) -> Figure {
    let figure = chart(kind).draw("chart", Path::new("nowhere")).unwrap();
    let (width, height) = size(&figure.svg);
    let png = png::Decoder::new(std::io::Cursor::new(&figure.png)).read_info().unwrap();
    assert_eq!((png.info().width, png.info().height), (2 * width, 2 * height), "SVG and PNG differ in size");
    for text in texts(&figure.svg) {
        let inside = (0.0..=f64::from(width)).contains(&text.x) && (0.0..=f64::from(height)).contains(&text.y);
        assert!(inside, "{} at {}, {} of {width} x {height}", text.words, text.x, text.y);
    }
    figure
}

fn estimate(value: f64) -> Estimate {
    Estimate { low: Some(value - 0.1), high: Some(value + 0.1), ..Estimate::point(value) }
}

fn gap() -> Estimate {
    Estimate::undefined("no video was left")
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn axis(label: &str) -> Axis {
    Axis { label: label.into(), ..Axis::default() }
}

fn attribute<'a>(tag: &'a str, name: &str) -> &'a str {
    let start = format!(" {name}=\"");
    tag.split_once(&start).and_then(|(_, rest)| rest.split_once('"')).map_or("", |(value, _)| value)
}

fn size(svg: &str) -> (u32, u32) {
    let head = &svg[..svg.find('>').unwrap()];
    (attribute(head, "width").parse().unwrap(), attribute(head, "height").parse().unwrap())
}

struct Text {
    x: f64,
    y: f64,
    words: String,
    anchor: String,
}

/// The words of a drawing, at their places in CSS pixels.
fn texts(svg: &str) -> Vec<Text> {
    let head = &svg[..svg.find('>').unwrap()];
    let wide: f64 = attribute(head, "viewBox").split(' ').nth(2).unwrap().parse().unwrap();
    let unit = f64::from(size(svg).0) / wide;
    let parts = svg.split("<text").skip(1).map(|part| {
        let (tag, rest) = part.split_once('>').unwrap();
        let number = |name| attribute(tag, name).parse::<f64>().unwrap() * unit;
        let (x, y) = (number("x"), number("y"));
        let turned = if tag.contains("rotate(270") { ", upward" } else { "" };
        let anchor = format!("{}{turned}", attribute(tag, "text-anchor"));
        Text { x, y, words: rest.split_once("</text>").unwrap().0.trim().to_owned(), anchor }
    });
    parts.collect()
}

/// What a drawing consists of: its size, its words with their places, and how many shapes of each colour.
fn form(svg: &str) -> String {
    let (width, height) = size(svg);
    let mut form = format!("{width} x {height}\n");
    for text in texts(svg) {
        form += &format!("{:.0}, {:.0} {}: {}\n", text.x, text.y, text.anchor, text.words);
    }
    let mut shapes: BTreeMap<String, usize> = BTreeMap::new();
    for part in svg.split('<').skip(1) {
        let name = part.split([' ', '>']).next().unwrap();
        if ["rect", "circle", "polygon", "polyline", "line", "image"].contains(&name) {
            let fill = attribute(part, "fill");
            let stroke = attribute(part, "stroke");
            *shapes.entry(format!("{name}, fill {fill}, stroke {stroke}")).or_default() += 1;
        }
    }
    for (shape, count) in shapes {
        form += &format!("{count} x {shape}\n");
    }
    form
}

fn matrix() -> ChartKind {
    ChartKind::Matrix {
        rows: names(&["ResNet-18, MC dropout", "Meso-4"]),
        columns: names(&["graft", "warp", "blend"]),
        values: vec![vec![estimate(0.2), estimate(0.5), gap()], vec![estimate(0.9), estimate(0.35)]],
        what: "mean epistemic uncertainty, nats".into(),
        ends: None,
        by_row: false,
    }
}

fn dots() -> ChartKind {
    ChartKind::Dots {
        rows: names(&["ResNet-18", "Meso-4"]),
        series: vec![
            ("plain".into(), vec![estimate(0.9), estimate(0.7)]),
            ("MC dropout".into(), vec![estimate(0.8), gap()]),
        ],
        x: axis("AUROC"),
        reference: Some(("guessing".into(), 0.5)),
    }
}

fn curves() -> ChartKind {
    let points = |to: f64| [0.0, 1.0, 2.0, 4.0].map(|x| (x, if x == to { gap() } else { estimate(0.9 - 0.1 * x) }));
    let line = |name: &str, to| Curve { name: name.into(), points: points(to).into() };
    let band = (0..20).map(|i| (f64::from(i) / 5.0, estimate(0.3 + 0.01 * f64::from(i)))).collect();
    ChartKind::Curves {
        panels: vec![
            CurvesPanel { title: "plain".into(), lines: vec![line("FGSM", 9.0), line("PGD", 2.0)] },
            CurvesPanel { title: "MC dropout".into(), lines: vec![Curve { name: "long".into(), points: band }] },
        ],
        x: axis("largest change"),
        y: Axis { ends: Some([0.0, 1.0]), ..axis("accuracy") },
        reference: Some(("guessing".into(), 0.5)),
    }
}

fn scatter() -> ChartKind {
    ChartKind::Scatter {
        panels: vec![ScatterPanel {
            title: "uncertainty".into(),
            groups: vec![("graft".into(), vec![[0.0, 1.0], [1.0, 2.0]]), ("warp".into(), vec![[-1.0, 0.5]])],
            labels: vec![([1.0, 2.0], "the worst".into())],
        }],
        x: axis("first"),
        y: axis("second"),
    }
}

#[test]
fn each_kind_has_the_form_that_was_looked_at() {
    for (name, kind) in [("matrix", matrix()), ("dots", dots()), ("curves", curves()), ("scatter", scatter())] {
        insta::assert_snapshot!(name, form(&drawn(kind).svg));
    }
}

#[test]
fn pictures_are_inside_and_one_that_is_missing_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let picture = image::RgbImage::from_pixel(30, 20, image::Rgb([200, 10, 10]));
    picture.save(folder.path().join("red.png")).unwrap();
    let tiles = vec![("red".to_owned(), "red.png".to_owned()), ("gone".into(), "gone.png".into())];
    let figure = chart(ChartKind::Pictures { columns: 2, tiles }).draw("maps", folder.path()).unwrap();
    assert_eq!(figure.svg.matches("href=\"data:image/png;base64,").count(), 1);
    assert!(figure.svg.contains("gone.png: ") && figure.svg.trim_end().ends_with("</svg>"), "{}", figure.svg);
    let (width, height) = size(&figure.svg);
    let png = image::load_from_memory(&figure.png).unwrap().into_rgb8();
    assert_eq!(png.dimensions(), (2 * width, 2 * height));
    assert_eq!(png.get_pixel(200, 150).0, [200, 10, 10], "the picture is there in pixels, too");
    assert_eq!(png.pixels().filter(|pixel| pixel.0 == [200, 10, 10]).count(), 560 * 373);
}

#[test]
fn what_is_undefined_says_why() {
    for kind in [matrix(), dots(), curves()] {
        let svg = drawn(kind).svg;
        assert!(svg.contains("no video was left"), "{}", form(&svg));
    }
    let cut = drawn(curves()).svg;
    assert!(cut.contains("plain, PGD: undefined at 2: no video was left"), "{}", form(&cut));
    let short = drawn(matrix()).svg;
    assert!(short.contains("not given"), "a row that is too short: {}", form(&short));
}

#[test]
fn hard_data_are_drawn() {
    let long = "a detector with a very long name on the second cell of the fifth fold, recalibrated".to_owned();
    let rows: Vec<String> = (0..40).map(|i| format!("{long} {i}")).collect();
    let wide = |x: i32| 10f64.powi(x);
    let hard = [
        ChartKind::Matrix {
            rows: vec![],
            columns: vec![],
            values: vec![],
            what: String::new(),
            ends: None,
            by_row: false,
        },
        ChartKind::Matrix {
            rows: rows[..12].to_vec(),
            columns: rows[..20].to_vec(),
            values: (0..12).map(|row| (0..20).map(|column| Estimate::point(-wide(row - column))).collect()).collect(),
            what: long.repeat(4),
            ends: Some([0.0, 1.0]),
            by_row: false,
        },
        ChartKind::Matrix {
            rows: rows[..1].to_vec(),
            columns: names(&["b"]),
            values: vec![vec![Estimate::point(f64::NAN)]],
            what: "NaN".into(),
            ends: Some([f64::NAN, 1.0]),
            by_row: false,
        },
        ChartKind::Dots { rows: vec![], series: vec![], x: axis(""), reference: None },
        ChartKind::Dots {
            rows: rows.clone(),
            series: vec![(long.clone(), vec![estimate(-1e9); 40])],
            x: axis(&long),
            reference: Some((long.clone(), 1e9)),
        },
        ChartKind::Dots {
            rows: rows[..2].to_vec(),
            series: vec![("p".into(), vec![Estimate::point(0.0), Estimate::point(-1.0)])],
            x: Axis { logarithmic: true, ..axis("p") },
            reference: Some(("none".into(), f64::INFINITY)),
        },
        ChartKind::Curves { panels: vec![], x: axis(""), y: axis(""), reference: None },
        ChartKind::Curves {
            panels: (0..7)
                .map(|panel| CurvesPanel {
                    title: long.clone(),
                    lines: (0..14)
                        .map(|line| Curve {
                            name: format!("{long} {line}"),
                            points: vec![(0.0, estimate(f64::from(panel)))],
                        })
                        .collect(),
                })
                .collect(),
            x: Axis { logarithmic: true, ..axis(&long) },
            y: axis(&long),
            reference: None,
        },
        ChartKind::Scatter { panels: vec![ScatterPanel::default()], x: axis(""), y: axis("") },
        ChartKind::Scatter {
            panels: vec![ScatterPanel {
                title: long.clone(),
                groups: (0..15).map(|g| (format!("{long} {g}"), vec![[f64::from(g), f64::NAN]; 300])).collect(),
                labels: vec![([3.0, 1e300], long.clone())],
            }],
            x: axis(""),
            y: axis(""),
        },
        ChartKind::Pictures { columns: 0, tiles: vec![] },
    ];
    for kind in hard {
        let shown = format!("{kind:?}");
        let svg = drawn(kind).svg;
        assert!(!svg.contains("NaN\"") && !svg.contains("inf"), "{}", &shown[..200.min(shown.len())]);
    }
}

#[test]
fn names_from_outside_stay_words() {
    let evil = "</text><script>alert(\"x\")</script>&\u{1}\n";
    let kind = ChartKind::Dots {
        rows: names(&[evil]),
        series: vec![(evil.into(), vec![Estimate::undefined(evil)]), ("b".into(), vec![])],
        x: axis(evil),
        reference: Some((evil.into(), 0.0)),
    };
    let chart = Chart { title: evil.into(), ..chart(kind) };
    let svg = chart.draw(evil, Path::new("")).unwrap().svg;
    assert!(!svg.contains("<script") && !svg.contains('\u{1}') && svg.contains("&lt;script&gt;"), "{svg}");
}

#[test]
fn every_chart_has_its_data() {
    let table = chart(dots()).data();
    assert_eq!(table.columns, ["row", "series", "value"]);
    assert_eq!(table.rows.len(), 4);
    assert_eq!(table.rows[3], ["Meso-4".into(), "MC dropout".into(), Value::from(gap())]);
    let cells = chart(matrix()).data();
    assert_eq!(cells.rows.len(), 6);
    assert_eq!(cells.rows[5][2], Estimate::undefined("not given").into());
    assert_eq!(chart(curves()).data().rows.len(), 28);
    let points = chart(scatter()).data();
    assert_eq!(points.columns, ["panel", "group", "label", "x", "y"]);
    assert_eq!(
        points.rows[3],
        [
            "uncertainty".into(),
            "".into(),
            "the worst".into(),
            Value::from(Estimate::point(1.0)),
            Value::from(Estimate::point(2.0))
        ]
    );
}
