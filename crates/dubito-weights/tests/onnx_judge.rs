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
        ("loop_unnamed", ["(Loop)", "only when it runs"]),
        ("gather_rank", ["(Gather)", "17 dimensions"]),
        ("unsqueeze_rank", ["(Unsqueeze)", "1004 dimensions"]),
        ("weight_rank", ["`v`", "17 dimensions"]),
        ("nan_half", ["`v`", "NaN"]),
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
        ("fake_first_logit", Column::Class(0), false),
        ("fake_first_hard", Column::Class(0), false),
        ("logit_negated", all, true),
        ("logit_times_minus_one", all, true),
        ("logit_subtracted", all, true),
        ("logit_over_minus_one", all, true),
        ("logit_written", all, true),
        ("logit_reciprocal", all, true),
        ("logit_difference", Column::Unknown, false),
        ("written_softmax_shifted", all, false),
        ("softmax_first", Column::Class(0), false),
        ("softmax_swapped", Column::Unknown, false),
        ("softmax_rejoined", all, false),
        ("softmax_doubled", Column::Unknown, false),
        ("sigmoid_swapped", Column::Unknown, false),
        ("mean_turned", Column::Unknown, false),
        ("max_turned", Column::Unknown, true),
        ("mean_same", all, false),
        ("fake_first_transposed", Column::Class(0), false),
        ("softmax_reshaped_column", Column::Unknown, false),
        ("softmax_squeezed_column", Column::Unknown, false),
        ("sigmoid_stacked", one, false),
        ("softmax_view", all, false),
        ("if_constant", Column::Unknown, false),
        ("half_raw", all, true),
        ("half_typed", all, true),
    ] {
        assert_eq!(meaning(name), OutputMeaning::Probabilities { column, turned }, "{name}");
    }
    for name in ["bare", "unsaid", "three"] {
        assert_eq!(meaning(name), OutputMeaning::Logits, "{name}");
    }
    for (name, column) in [("log_softmax", all), ("log_softmax_column", one)] {
        assert_eq!(meaning(name), OutputMeaning::LogProbabilities { column, turned: false }, "{name}");
    }
    for name in [
        "softmax_percent",
        "softmax_matmul",
        "softmax_largest",
        "softmax_decided",
        "tanh",
        "logit_softmax",
        "logit_turned",
        "logit_by_signs",
    ] {
        assert!(matches!(meaning(name), OutputMeaning::Unclear(_)), "{name}: {:?}", meaning(name));
    }
}

#[test]
fn shapes_are_inferred_and_what_lies_outside_is_said() {
    let judged = judge(&read("two_outputs"), Some(32)).unwrap();
    let found: Vec<_> = judged.outputs.iter().map(|output| (output.name.as_str(), output.shape.clone())).collect();
    let pair = Some(vec![Some(1), Some(2)]);
    assert_eq!(found, [("q", pair.clone()), ("logits", pair)]);
    for name in ["beside", "nan_beside", "nan_in_if"] {
        let external = judge(&read(name), None).unwrap().external;
        let file = if name == "beside" { "beside.onnx_data" } else { "nan_beside.onnx_data" };
        assert!(external.len() == 1 && external[0].location == file && external[0].needs() == 24, "{name}");
        let weights = std::fs::read(cases().join(file)).unwrap();
        let checks = |bytes: &[u8]| external[0].tensors.iter().all(|tensor| tensor.check(bytes).is_ok());
        assert_eq!((checks(&weights), checks(&weights[..23])), (name == "beside", false), "{name}");
    }
    let names = judge(&read("fake_first"), None).unwrap().metadata;
    assert_eq!(names, [("names".to_owned(), "{0: 'fake', 1: 'real'}".to_owned())]);
}

#[test]
fn names_and_metadata_of_any_length_are_bounded() {
    let named = |key: &str, output: &str, entries: usize| {
        let mut graph = Graph::new("g", "test");
        let x = graph.input("x", &[Dim::Named("batch"), Dim::Fixed(3), Dim::Fixed(32), Dim::Fixed(32)]);
        graph.output(&x, output, &[]);
        (0..entries).for_each(|k| graph.metadata(&format!("{k}{key}"), &"a".repeat(4000)));
        judge(&graph.to_bytes(), None)
    };
    let long = "n".repeat(20 << 20);
    let judged = named(&long, "y", 1).unwrap();
    assert!(judged.metadata[0].0.len() < 100 && judged.outputs[0].name == "y");
    for (error, word) in [(named("", &long, 0), "a name of 20971520 bytes"), (named("", "y", 300), "metadata")] {
        let error = error.unwrap_err();
        assert!(error.reason.contains(word) && error.reason.len() < 300, "{error}");
    }
}

/// Numbers that no integer holds are a size that is not known.
#[test]
fn sizes_beyond_all_integers_are_no_panic() {
    for name in ["reach_conv", "reach_convtranspose"] {
        let _ = judge(&read(name), Some(32));
    }
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
