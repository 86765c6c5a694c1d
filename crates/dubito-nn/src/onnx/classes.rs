//! Which class is the fake one, by what an ONNX file, or the configuration beside it, says of its classes.

use std::path::Path;

use dubito_weights::onnx::{Column, Judged, OnnxOutput as Output, OutputMeaning, short};
use serde::Serialize;

use super::options::{OnnxOptions, options_name};
use crate::NnError;

/// Words for what is fake, and for what is real, in names of classes and outputs.
const FAKE: [&str; 17] = [
    "fake",
    "fakes",
    "deepfake",
    "deepfakes",
    "faked",
    "manipulated",
    "forged",
    "forgery",
    "synthetic",
    "generated",
    "artificial",
    "ai",
    "spoof",
    "tampered",
    "altered",
    "swapped",
    "attack",
];
const REAL: [&str; 11] = [
    "real",
    "reals",
    "realism",
    "genuine",
    "authentic",
    "bonafide",
    "original",
    "originals",
    "pristine",
    "live",
    "human",
];

/// Which class counts as fake, and how it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FakeClass {
    /// Of two numbers, which one is P(fake); of one number, 1 where a high one means fake.
    pub class: usize,
    /// How it is known.
    pub known_by: KnownBy,
    /// The same in a sentence, with what to do where it is wrong.
    pub note: String,
}

/// How it is known which class is fake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownBy {
    /// `"fake"` in the options.
    Option,
    /// Names of classes, in the file or in `config.json` beside it; by this entry.
    Names(String),
    /// The name of the output.
    OutputName(String),
    /// Nothing says so: it is the usual order.
    Assumed,
}

/// Whether a name speaks of what is fake (true) or real (false); `None` where it speaks of neither or of both.
pub(super) fn speaks_of_fake(name: &str) -> Option<bool> {
    let lower = name.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).map(|w| w.trim_end_matches(char::is_numeric)).collect();
    if words.iter().any(|word| ["not", "non", "no", "un"].contains(word)) {
        return None;
    }
    let has = |list: &[&str]| words.iter().any(|word| list.contains(word));
    match (has(&FAKE), has(&REAL)) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

/// The number of the fake class in a list or map of two classes, however it is written: `{"0": "Fake", "1": "Real"}`,
/// `{'fake': 0, 'real': 1}`, `["real", "fake"]`, `real,fake`.
fn fake_of(text: &str) -> Option<usize> {
    if text.len() > 4096 {
        return None;
    }
    let (mut names, mut numbers) = (Vec::new(), Vec::new());
    for part in text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))) {
        let part = part.trim();
        match part.parse::<usize>() {
            _ if part.is_empty() => {}
            Ok(number) => numbers.push(number),
            Err(_) => names.push(speaks_of_fake(part)?),
        }
    }
    let numbers = if numbers.is_empty() { vec![0, 1] } else { numbers };
    match (names.as_slice(), numbers.as_slice()) {
        (&[a, b], &[x, y]) if a != b && matches!((x, y), (0, 1) | (1, 0)) => Some(if a { x } else { y }),
        _ => None,
    }
}

/// What the names of the classes say: by which entry, and which is fake.
fn named(path: &Path, judged: &Judged) -> Result<Option<(String, usize)>, NnError> {
    let inside = judged.metadata.iter().filter_map(|(key, value)| Some((key.clone(), fake_of(value)?)));
    let mut found: Vec<(String, usize)> = inside.collect();
    let beside = path.with_file_name("config.json");
    let is_small = std::fs::metadata(&beside).is_ok_and(|found| found.is_file() && found.len() < 1 << 20);
    if is_small && let Ok(text) = std::fs::read_to_string(&beside) {
        let config: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let labels = config.get("id2label").and_then(|labels| fake_of(&labels.to_string()));
        found.extend(labels.map(|fake| ("id2label of config.json".to_owned(), fake)));
    }
    if let Some((other, _)) = found.iter().find(|(_, fake)| *fake != found[0].1) {
        let reason = format!("contradicts itself about which class is fake: {} and {other}", found[0].0);
        return Err(NnError::corrupt_hint(path, reason, ask(path)));
    }
    Ok(found.into_iter().next())
}

fn ask(path: &Path) -> String {
    format!(
        "say \"fake\": 0 or \"fake\": 1 (the number of the fake class; of one number 1 where a high one means fake) in {}",
        options_name(path)
    )
}

/// Which class of an output of `numbers` (one or two) is the fake one.
///
/// # Errors
/// Which of the classes its numbers are of can't be told, or is not the second one and nothing says which is fake.
pub(super) fn fake_class(
    path: &Path,
    options: &OnnxOptions,
    judged: &Judged,
    output: &Output,
    numbers: usize,
) -> Result<FakeClass, NnError> {
    let made = |class: usize, known_by: KnownBy| {
        let what = match (numbers, class) {
            (1, 1) => "a high number counts as fake".to_owned(),
            (1, _) => "a low number counts as fake".to_owned(),
            _ => format!("class {class} counts as fake"),
        };
        let note = match &known_by {
            KnownBy::Option => format!("{what}, as {} says", options_name(path)),
            KnownBy::Names(entry) => format!("{what}, as its class names say ({entry})"),
            KnownBy::OutputName(name) => format!("{what}, as the name of its output says ({})", short(name)),
            KnownBy::Assumed => format!(
                "{what}: nothing in the file says so, it is the usual order; \"fake\": {} in {} turns it round",
                1 - class,
                options_name(path)
            ),
        };
        FakeClass { class, known_by, note }
    };
    if let Some(class) = options.fake {
        return Ok(made(class, KnownBy::Option));
    }
    if let Some(is_fake) = (numbers == 1).then(|| speaks_of_fake(&output.name)).flatten() {
        return Ok(made(usize::from(is_fake), KnownBy::OutputName(output.name.clone())));
    }
    let names = named(path, judged)?;
    // Where nothing says so, the second class is fake in the usual order.
    let fake = names.as_ref().map_or(1, |(_, fake)| *fake);
    let (column, turned) = match &output.meaning {
        OutputMeaning::Probabilities { column, turned } | OutputMeaning::LogProbabilities { column, turned } => {
            (*column, *turned)
        }
        OutputMeaning::Logits => (Column::All, false),
        OutputMeaning::Unclear(_) => (Column::Unknown, false),
    };
    let class = match (numbers, column) {
        (2, Column::All) if !turned => Some(fake),
        // One number without a choice is that of class 1.
        (1, Column::All) => Some(usize::from((1 == fake) != turned)),
        (1, Column::Class(of @ (0 | 1))) => Some(usize::from((of == fake as u64) != turned)),
        _ => None,
    };
    let output = short(&output.name);
    let reason = match (class, names) {
        (Some(class), Some((entry, _))) => return Ok(made(class, KnownBy::Names(entry))),
        (Some(1), None) => return Ok(made(1, KnownBy::Assumed)),
        (Some(_), None) => {
            format!(
                "does not say which class is fake, and its output `{output}` is of the first one, or falls with the second"
            )
        }
        (None, Some((entry, _))) => {
            format!("names its classes ({entry}), but which of them its output `{output}` is of can't be told")
        }
        (None, None) => format!("does not say which class is fake, nor which one its output `{output}` is of"),
    };
    Err(NnError::corrupt_hint(path, reason, ask(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_classes_in_whatever_form() {
        for text in [
            "{0: 'fake', 1: 'real'}",
            r#"{"0": "Fake", "1": "Real"}"#,
            r#"{"real": 1, "fake": 0}"#,
            "fake,real",
            "['Deepfake', 'Realism']",
            "AI-generated\nhuman",
            "[\"fake_image\", \"real_image\"]",
            "0 : fake; 1 : real",
        ] {
            assert_eq!(fake_of(text), Some(0), "{text}");
        }
        for text in [r#"{"0": "REAL", "1": "FAKE"}"#, "real fake", "{'fake': 1, 'real': 0}", "genuine|spoof"] {
            let expected = if text == "real fake" { None } else { Some(1) };
            assert_eq!(fake_of(text), expected, "{text}");
        }
        let huge = "{18446744073709551615: 'fake', 2: 'real'}";
        for text in ["", "cat,dog", "fake", "real,fake,unknown", "not fake,fake", "{1: 'fake', 2: 'real'}", "17", huge]
        {
            assert_eq!(fake_of(text), None, "{text}");
        }
        let names = [("p_real", Some(false)), ("prob_fake", Some(true)), ("logits", None), ("P(real)", Some(false))];
        for (name, expected) in names {
            assert_eq!(speaks_of_fake(name), expected, "{name}");
        }
    }
}
