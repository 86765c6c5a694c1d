//! The page of a study holds all it shows, escapes what it is given, and its files say the same.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use dubito_report::section::{Axis, Chart, ChartKind, Section, Source, Table, Value};
use dubito_report::{StudyReport, write_section, write_study};
use dubito_stats::Estimate;

const EVIL: &str = "<script>alert('x')</script> & \"q\" \\ 50% _a_ #1 $2 {b} ~ ^ [c] *d";

fn estimate(value: f64) -> Estimate {
    Estimate { low: Some(value - 0.125), high: Some(value + 0.125), ..Estimate::point(value) }
}

fn section(name: &str, word: &str) -> Section {
    let gap = Estimate::undefined(format!("{word} was lost"));
    Section {
        name: name.into(),
        title: format!("Experiment {word}"),
        question: format!("Is {word} so?"),
        method: format!("By {word}."),
        findings: vec![format!("First of {word}."), format!("Second of {word}."), format!("Third of {word}.")],
        tables: vec![Table {
            name: "numbers".into(),
            title: format!("Numbers of {word}"),
            caption: format!("Read {word}."),
            columns: vec!["Detector".into(), "n".into(), format!("AUROC {word}"), "Remark".into()],
            rows: vec![
                vec![word.into(), Value::Count(12), estimate(0.75).into(), word.into()],
                vec!["b".into(), Value::Count(3), gap.clone().into(), "none".into()],
                vec!["c".into(), Value::Count(3), gap.clone().into()],
            ],
        }],
        charts: vec![Chart {
            name: "dots".into(),
            title: format!("Dots of {word}"),
            caption: format!("Look at {word}."),
            kind: ChartKind::Dots {
                rows: vec![word.into(), "b".into()],
                series: vec![("only".into(), vec![estimate(0.5), gap])],
                x: Axis { label: "AUROC".into(), ..Axis::default() },
                reference: None,
            },
        }],
        meaning: vec![format!("It means {word}.")],
        skipped: vec![format!("Skipped {word}.")],
        sources: vec![Source { what: word.into(), path: format!("runs/{word}"), command: format!("dubito {word}") }],
    }
}

fn report(sections: Vec<Section>, word: &str) -> StudyReport {
    StudyReport {
        title: format!("Study {word}"),
        subtitle: format!("About {word}"),
        facts: vec![(word.into(), word.into())],
        sections: sections.into_iter().map(|section| (Path::new("nowhere").into(), section)).collect(),
        not_run: vec![(word.into(), format!("no {word}"))],
        provenance: serde_json::json!({ "seed": 7, "nested": { word: word } }),
        notes: vec![format!("Mind {word}")],
    }
}

fn written(report: &StudyReport) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    write_study(folder.path(), report).unwrap();
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    (folder, page)
}

/// The values of an attribute.
fn values<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    page.match_indices(&start).map(|(at, _)| page[at + start.len()..].split('"').next().unwrap()).collect()
}

#[test]
fn the_page_holds_all_it_shows() {
    let (folder, page) = written(&report(vec![section("one", "one"), section("two", "two")], "word"));
    for tag in ["<script", "<link", "<iframe", "@import", "srcset=", "src=\"http", "url(http", "<img"] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert!(page.match_indices("url(").all(|(at, _)| page[at..].starts_with("url(data:")));
    let ids = values(&page, "id");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id is there twice: {ids:?}");
    for link in values(&page, "href") {
        match link.strip_prefix('#') {
            Some(id) => assert!(ids.contains(&id), "{link} leads nowhere"),
            None => assert!(folder.path().join(link).is_file(), "{link} is no file"),
        }
    }
    for labels in values(&page, "aria-labelledby") {
        assert!(labels.split(' ').all(|id| ids.contains(&id)), "{labels}");
    }
    for name in ["one", "two"] {
        for file in [
            "figures/NAME_dots.svg",
            "figures/NAME_dots.png",
            "figures/NAME_dots.csv",
            "tables/NAME_numbers.csv",
            "tables/NAME_numbers.tex",
        ] {
            assert!(folder.path().join(file.replace("NAME", name)).is_file(), "{file}");
        }
    }
    let json = std::fs::read_to_string(folder.path().join("sections.json")).unwrap();
    let sections: Vec<Section> = serde_json::from_str(&json).unwrap();
    assert_eq!(sections, [section("one", "one"), section("two", "two")]);
}

#[test]
fn findings_come_first_and_headings_are_in_order() {
    let (_folder, page) = written(&report(vec![section("one", "one"), section("two", "two")], "word"));
    let at = |words: &str| page.find(words).unwrap_or_else(|| panic!("{words} is missing"));
    let order = [
        "Findings</h2>",
        "First of one.",
        "First of two.",
        "Contents</h2>",
        "What was studied</h2>",
        "Is one so?",
        "Table 1.",
        "Figure 1.",
        "It means one.",
        "Skipped one.",
        "runs/one",
        "Is two so?",
        "Table 2.",
        "Figure 2.",
        "Not run</h2>",
        "no word",
        "Mind word",
        "nested.word",
    ];
    for pair in order.windows(2) {
        assert!(at(pair[0]) < at(pair[1]), "{} stands behind {}", pair[0], pair[1]);
    }
    assert_eq!(page.matches("Third of one.").count(), 1, "the first two findings alone stand on top");
    let alone = tempfile::tempdir().unwrap();
    write_section(alone.path(), Path::new("nowhere"), &section("one", "one")).unwrap();
    let alone = std::fs::read_to_string(alone.path().join("report.html")).unwrap();
    for page in [&page, &alone] {
        let mut before = 0;
        for (at, _) in page.match_indices("<h") {
            let Some(level) = page[at + 2..].chars().next().and_then(|c| c.to_digit(10)) else { continue };
            assert!(level <= before + 1, "h{level} behind h{before}: {}", &page[at..at + 60]);
            before = level;
        }
        assert_eq!(page.matches("<h1>").count(), 1);
        assert!(page.starts_with("<!doctype html>") && page.contains("<html lang=\"en\">"));
        assert_eq!(page.matches("<th ").count(), page.matches("<th scope=").count(), "each head says what it heads");
        assert_eq!(page.matches("<svg ").count(), page.matches("role=\"img\" aria-labelledby=").count());
    }
}

#[test]
fn numbers_have_intervals_and_what_is_undefined_a_numbered_reason() {
    let (folder, page) = written(&report(vec![section("one", "one")], "word"));
    assert!(page.contains("<td>0.750<small>0.625 to 0.875</small></td>"));
    assert!(page.contains("<td>–<sup>1</sup></td>"));
    // Two cells share a reason; it stands once below the table, once below the figure's data, once in the figure, and in sources.
    assert_eq!(page.matches("<span><sup>1</sup> one was lost</span>").count(), 2);
    let csv = std::fs::read_to_string(folder.path().join("tables/one_numbers.csv")).unwrap();
    assert_eq!(
        csv,
        "Detector,n,AUROC one,AUROC one low,AUROC one high,AUROC one undefined_because,Remark\none,12,0.75,0.625,0.875,,one\nb,3,,,,one was lost,none\nc,3,,,,one was lost,\n"
    );
    let data = std::fs::read_to_string(folder.path().join("figures/one_dots.csv")).unwrap();
    assert_eq!(
        data,
        "row,series,value,low,high,undefined_because\none,only,0.5,0.375,0.625,\nb,only,,,,one was lost\n"
    );
    let tex = std::fs::read_to_string(folder.path().join("tables/one_numbers.tex")).unwrap();
    assert!(
        tex.contains("\\begin{tabular}{lrrl}") && tex.contains("one & 12 & 0.750 (0.625 to 0.875) & one \\\\"),
        "{tex}"
    );
    assert!(tex.contains("\\label{tab:one_numbers}") && tex.contains("$^{1}$ one was lost"), "{tex}");
}

#[test]
fn hostile_names_stay_words() {
    let hostile = section("../../evil <b>", EVIL);
    let (folder, page) = written(&report(vec![hostile.clone(), hostile.clone()], EVIL));
    assert!(!page.contains("<script") && !page.contains("alert('x')</script>"));
    assert!(page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"));
    let ids = values(&page, "id");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    for part in ["tables", "figures"] {
        let files: Vec<String> = std::fs::read_dir(folder.path().join(part))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(
            files.len(),
            if part == "tables" { 4 } else { 6 },
            "both sections have files of their own: {files:?}"
        );
        assert!(files.iter().all(|f| f.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))), "{files:?}");
    }
    let tex = std::fs::read_to_string(folder.path().join("tables/______evil__b__numbers.tex")).unwrap();
    let row = tex.lines().find(|line| line.contains(" & 12 & ")).unwrap();
    let expected = "\\textless{}script\\textgreater{}alert('x')\\textless{}/script\\textgreater{} \\& \"q\" \\textbackslash{} 50\\% \\_a\\_ \\#1 \\$2 \\{b\\} \\textasciitilde{} \\textasciicircum{} {[}c] {*}d";
    assert!(row.starts_with(expected), "{row}");
    let csv = std::fs::read_to_string(folder.path().join("tables/______evil__b__numbers.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let first = reader.records().next().unwrap().unwrap();
    assert_eq!((&first[0], &first[6]), (EVIL, EVIL));
    let json = std::fs::read_to_string(folder.path().join("sections.json")).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Section>>(&json).unwrap(), [hostile.clone(), hostile]);
}

#[test]
fn a_study_without_results_says_so_and_the_same_study_gives_the_same_bytes() {
    let (_folder, page) = written(&StudyReport { title: "Nothing".into(), ..StudyReport::default() });
    assert!(page.contains("No experiment has a result yet."));
    let skipped = Section { name: "a".into(), skipped: vec!["no faces".into()], ..Section::default() };
    let (_folder, page) = written(&report(vec![skipped], "word"));
    assert!(
        page.contains("Nothing found: no faces") && page.contains(">a</a>"),
        "a section without a title has its name"
    );
    let twice = report(vec![section("one", "one")], "word");
    let (first, second) = (written(&twice), written(&twice));
    assert_eq!(first.1, second.1);
    let picture = |folder: &tempfile::TempDir| std::fs::read(folder.path().join("figures/one_dots.png")).unwrap();
    assert_eq!(picture(&first.0), picture(&second.0));
}

#[test]
fn a_long_figure_shows_its_first_rows_and_names_the_file_of_all() {
    let mut long = section("long", "long");
    long.charts[0].kind = ChartKind::Matrix {
        rows: (0..12).map(|i| format!("row {i}")).collect(),
        columns: (0..20).map(|i| format!("column {i}")).collect(),
        values: vec![vec![Estimate::point(0.5); 20]; 12],
        what: "share".into(),
        ends: None,
        by_row: false,
    };
    let (folder, page) = written(&report(vec![long], "word"));
    assert!(
        page.contains("Data of figure 1 (240 rows)")
            && page.contains("40 more rows are in <code>figures/long_dots.csv</code>")
    );
    let data = std::fs::read_to_string(folder.path().join("figures/long_dots.csv")).unwrap();
    assert_eq!(data.lines().count(), 241);
}
