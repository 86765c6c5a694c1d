//! Foreign ONNX files, judged before anything is run: what they ask for, and what their outputs are.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use dubito_weights::onnx::{Column, Dim, Graph, OutputMeaning, judge};

/// The files that `make.py` beside them made.
fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dubito/tests/cases/onnx")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(cases().join(format!("{name}.onnx"))).unwrap()
}

#[test]
fn what_asks_for_too_much_is_refused_by_node_and_attribute() {
    for (name, words) in [
        ("tile", ["(Tile)", "repeats [1, 1, 30000, 30000]"]),
        ("expand", ["(Expand)", "sizes [100000, 3, 32, 32]"]),
        ("pad", ["(Pad)", "1000000000"]),
        ("pad_least", ["(Pad)", "-9223372036854775808"]),
        ("fill", ["(ConstantOfShape)", "sizes [100000, 100000]"]),
        ("batch", ["input `x`", "a batch of 100000"]),
        ("strides", ["(Conv)", "`strides` is 0"]),
        ("group", ["(Conv)", "`group` is 0"]),
        ("sizes", ["(Resize)", "1048576"]),
        ("range", ["(Range)", "numbers"]),
        ("outer", ["(MatMul)", "[307200, 307200]"]),
        ("doubled", ["(Concat)", "numbers"]),
        ("loop", ["(Loop)", "4611686018427387904 rounds"]),
        ("loop_open", ["(Loop)", "only when it runs"]),
        ("loop_computed", ["(Loop)", "rounds"]),
        ("nested", ["nests graphs", "8 deep"]),
        ("dims", ["`w`", "1099511627776"]),
        ("dims_below", ["`w`", "-3"]),
        ("empty", ["`w`", "should hold 6 numbers, holds 0"]),
        ("texts", ["`w`", "holds texts"]),
        ("nan", ["`w`", "NaN"]),
        ("circle", ["(Add)", "circle"]),
        ("dangling", ["(Add)", "`nowhere` is made by no node"]),
        ("no_node", ["output `y`", "made by no node"]),
        ("twice", ["`p`", "made twice"]),
        ("outside", ["`w`", "../weights.bin"]),
        ("absolute", ["`w`", "/etc/passwd"]),
    ] {
        let error = judge(&read(name), Some(32)).err().unwrap_or_else(|| panic!("{name} passes"));
        for word in words {
            assert!(error.reason.contains(word), "{name}: expected {word:?} in: {error}");
        }
        assert!(!error.hint.is_empty(), "{name}");
    }
}

#[test]
fn as_many_nodes_as_no_detector_has_are_refused() {
    let mut graph = Graph::new("g", "test");
    let mut x = graph.input("x", &[Dim::Named("batch"), Dim::Fixed(3), Dim::Fixed(32), Dim::Fixed(32)]);
    for _ in 0..20_001 {
        x = graph.relu(&x);
    }
    graph.output(&x, "y", &[]);
    assert!(judge(&graph.to_bytes(), None).unwrap_err().reason.contains("20000 nodes"));
}

#[test]
fn a_softmax_or_sigmoid_is_found_behind_what_keeps_it() {
    let meaning = |name: &str| judge(&read(name), Some(32)).unwrap().outputs.remove(0).meaning;
    let (all, one) = (Column::All, Column::Class(1));
    for (name, column, turned) in [
        ("softmax_cast", all, false),
        ("softmax_squeeze", one, false),
        ("softmax_identity", all, false),
        ("softmax_split", one, false),
        ("softmax_times_one", all, false),
        ("softmax_mean", all, false),
        ("softmax_reshape", all, false),
        ("softmax_transpose", all, false),
        ("softmax_turned", Column::Class(0), true),
        ("sigmoid_pair", all, false),
        ("written_sigmoid", all, false),
        ("written_softmax", all, false),
        ("hard_sigmoid", all, false),
        ("flat", all, false),
        ("scalar", all, false),
        ("fake_first_column", Column::Class(0), false),
    ] {
        assert_eq!(meaning(name), OutputMeaning::Probabilities { column, turned }, "{name}");
    }
    for name in ["bare", "unsaid", "three"] {
        assert_eq!(meaning(name), OutputMeaning::Logits, "{name}");
    }
    for (name, column) in [("log_softmax", all), ("log_softmax_column", one)] {
        assert_eq!(meaning(name), OutputMeaning::LogProbabilities { column, turned: false }, "{name}");
    }
    for name in ["softmax_percent", "softmax_matmul", "softmax_largest", "softmax_decided", "tanh"] {
        assert!(matches!(meaning(name), OutputMeaning::Unclear(_)), "{name}: {:?}", meaning(name));
    }
}

#[test]
fn shapes_are_inferred_and_what_lies_outside_is_said() {
    let judged = judge(&read("two_outputs"), Some(32)).unwrap();
    let found: Vec<_> = judged.outputs.iter().map(|output| (output.name.as_str(), output.shape.clone())).collect();
    let pair = Some(vec![Some(1), Some(2)]);
    assert_eq!(found, [("q", pair.clone()), ("logits", pair)]);
    assert_eq!(judge(&read("beside"), None).unwrap().external, [("beside.onnx_data".to_owned(), 24)]);
    let names = judge(&read("fake_first"), None).unwrap().metadata;
    assert_eq!(names, [("names".to_owned(), "{0: 'fake', 1: 'real'}".to_owned())]);
}

#[test]
fn broken_bytes_are_an_error_or_another_model() {
    for file in std::fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "onnx") {
            continue;
        }
        let bytes = std::fs::read(&file).unwrap();
        for n in 0..bytes.len() {
            let _ = judge(&bytes[..n], Some(32));
            let mut changed = bytes.clone();
            for value in [0, 0x7f, 0x80, 0xff, changed[n] ^ 1] {
                changed[n] = value;
                let _ = judge(&changed, Some(32));
            }
        }
    }
    assert!(judge(b"not a model", None).is_err());
    assert!(judge(b"", None).is_err());
}
