//! The published schemas say what the code does: rows that a schema takes are read, rows that it refuses
//! are errors, and what is computed fits.
#![allow(clippy::unwrap_used)]

mod synthetic;
mod tables;

use std::path::Path;

use dubito_report::input::FACTS;
use dubito_report::{Options, Scores, evaluate, explain};
use serde_json::{Value, json};
use synthetic::{Size, rows, write};

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Whether a value fits a schema: the keywords of JSON Schema that ours use, and no others.
fn fits(value: &Value, schema: &Value, root: &Value) -> bool {
    let Value::Object(keywords) = schema else { return schema.as_bool().unwrap() };
    let object = value.as_object();
    keywords.iter().all(|(keyword, wanted)| match keyword.as_str() {
        "$schema" | "title" | "description" | "$defs" => true,
        "$ref" => fits(value, root.pointer(wanted.as_str().unwrap().trim_start_matches('#')).unwrap(), root),
        "type" => match wanted {
            Value::Array(types) => types.iter().any(|t| is_of(value, t.as_str().unwrap())),
            one => is_of(value, one.as_str().unwrap()),
        },
        "enum" => wanted.as_array().unwrap().contains(value),
        "minimum" => value.as_f64().is_none_or(|v| v >= wanted.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|v| v <= wanted.as_f64().unwrap()),
        "minLength" => value.as_str().is_none_or(|v| v.len() as u64 >= wanted.as_u64().unwrap()),
        "pattern" => value.as_str().is_none_or(|v| v.starts_with(wanted.as_str().unwrap().strip_prefix('^').unwrap())),
        "required" => {
            object.is_none_or(|o| wanted.as_array().unwrap().iter().all(|k| o.contains_key(k.as_str().unwrap())))
        }
        "properties" => object.is_none_or(|o| {
            wanted.as_object().unwrap().iter().all(|(key, of)| o.get(key).is_none_or(|v| fits(v, of, root)))
        }),
        "patternProperties" => object.is_none_or(|o| {
            let start = |pattern: &str| pattern.strip_prefix('^').unwrap().to_string();
            wanted.as_object().unwrap().iter().all(|(pattern, of)| {
                o.iter().filter(|(key, _)| key.starts_with(&start(pattern))).all(|(_, v)| fits(v, of, root))
            })
        }),
        "additionalProperties" => {
            // Ours stand alone, without `properties` beside them.
            assert!(!keywords.contains_key("properties"));
            object.is_none_or(|o| o.values().all(|v| fits(v, wanted, root)))
        }
        "propertyNames" => object.is_none_or(|o| o.keys().all(|key| fits(&json!(key), wanted, root))),
        "items" => value.as_array().is_none_or(|a| a.iter().all(|v| fits(v, wanted, root))),
        "anyOf" => wanted.as_array().unwrap().iter().any(|of| fits(value, of, root)),
        "not" => !fits(value, wanted, root),
        other => panic!("the keyword {other} is not checked here"),
    })
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|v| v.fract() == 0.0),
        other => panic!("the type {other} is not known"),
    }
}

#[test]
fn rows_are_read_as_the_schema_says() {
    let schema = schema("scores.schema.json");
    let folder = tempfile::tempdir().unwrap();
    let options = Options { bootstrap: None, ..Options::default() };
    let rows = [
        (true, json!({"item": "a", "label": "real", "p_fake": 0.5})),
        (true, json!({"item": 7, "label": true, "p_fake": 1, "sample": 3, "other": [1]})),
        (true, json!({"label": 0, "p_fake": 0.0})),
        (true, json!({"item": "a", "label": 1.0, "p_fake": 0.5, "frame": null, "video": null, "identity": 4})),
        (true, json!({"item": "a", "label": "x", "prob_x": 0.25, "prob_y": 0.75})),
        (true, json!({"item": "a", "label": "real", "p_mean": 0.5, "expected_entropy": 0.25, "samples": 20})),
        (true, json!({"item": "a", "label": "real", "p_mean": 0.5, "expected_entropy": 0.25})),
        (false, json!({"item": "a", "p_fake": 0.5})),
        (false, json!({"item": "a", "label": null, "p_fake": 0.5})),
        (false, json!({"item": "a", "label": "", "p_fake": 0.5})),
        (false, json!({"item": "", "label": 0, "p_fake": 0.5})),
        (false, json!({"item": "a", "label": 0, "p_fake": 1.5})),
        (false, json!({"item": "a", "label": 0, "p_fake": null})),
        (false, json!({"item": "a", "label": 0})),
        (false, json!({"item": "a", "label": 0, "p_mean": 0.5})),
        (false, json!({"item": "a", "label": 0, "p_mean": 0.5, "expected_entropy": -0.5})),
        (false, json!({"item": "a", "label": 0, "p_mean": 0.5, "expected_entropy": 0.5, "samples": 0})),
        (false, json!({"item": "a", "label": 0, "p_mean": 0.5, "expected_entropy": 0.5, "sample": 0})),
        (false, json!({"item": "a", "label": 0, "p_fake": 0.5, "sample": -1})),
        (false, json!({"item": "a", "label": 0, "p_fake": 0.5, "sample": null})),
        (false, json!({"item": "a", "label": 0, "p_fake": 0.5, "sample": 0.5})),
        (false, json!({"item": "a", "label": 0, "p_fake": 0.5, "frame": -1})),
        (false, json!({"item": "a", "label": 0, "prob_x": 1.25, "prob_y": -0.25})),
        (false, json!({"item": "a", "label": 0, "p_fake": 0.5, "video": {"name": "v"}})),
        (false, json!([1])),
    ];
    for (good, row) in rows {
        assert_eq!(fits(&row, &schema, &schema), good, "schema: {row}");
        let path = tables::put(folder.path(), "row.jsonl", format!("{row}\n").as_bytes());
        assert_eq!(Scores::read(&[path], &options).is_ok(), good, "reader: {row}");
    }
}

#[test]
fn every_column_of_the_schema_is_read() {
    let schema = schema("scores.schema.json");
    let columns: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    for fact in FACTS {
        assert!(columns.iter().any(|column| *column == fact), "{fact}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (left_out, expected) in
        [(["p_mean", "expected_entropy", "samples"].as_slice(), 14), (&["p_fake", "sample"], 15)]
    {
        let names: Vec<&str> = columns.iter().map(|c| c.as_str()).filter(|c| !left_out.contains(c)).collect();
        let path = tables::put(folder.path(), "names.csv", (names.join(",") + "\n").as_bytes());
        let explanation = explain(&path, &Default::default()).unwrap();
        let read = explanation.columns.iter().filter(|column| column.read_as.as_ref() == Some(&column.column)).count();
        assert_eq!((read, names.len()), (expected, expected), "{explanation:?}");
    }
}

#[test]
fn metrics_fit_their_schema() {
    let schema = schema("metrics.schema.json");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv");
    write(&path, &rows(&Size { people: 6, frames: 2, samples: 2 })).unwrap();
    let bare = tables::put(folder.path(), "s.csv", b"label,p_fake\n1,0.5\n");
    let metrics =
        |path, options: Options| serde_json::to_value(evaluate(&[path], &[], json!({"seed": 7}), &options).unwrap());
    let full = metrics(path, Options::default()).unwrap();
    let bare = metrics(bare, Options { bootstrap: None, ..Options::default() }).unwrap();
    for metrics in [&full, &bare] {
        assert!(fits(metrics, &schema, &schema));
        assert!(metrics["groups"].as_array().unwrap().iter().all(|g| g["metrics"].as_object().unwrap().len() > 10));
    }
    // And the schema refuses what is wrong.
    let wrong = |pointer: &str, value: Value| {
        let mut changed = full.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert!(!fits(&changed, &schema, &schema), "{pointer}");
    };
    wrong("/groups/0/level", json!("clip"));
    wrong("/groups/0/items", json!(-1));
    wrong("/groups/0/metrics/auroc", json!(0.5));
    wrong("/groups/0/metrics/auroc/value", json!("0.5"));
    wrong("/groups/0/metrics/auroc", json!({"value": null, "low": null, "high": null, "undefined_because": null}));
    wrong("/task/classes", json!("real"));
    wrong("/intervals/clustered_by", json!("mood"));
    wrong("/conventions", json!([]));
}
