//! A network that is written as ONNX: the bytes that ONNX Runtime was shown, and rten's answer beside its.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use dubito_weights::Array;
use dubito_weights::onnx::{Convolution, Dim, Graph, Pool, Value};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// `count` numbers in [-0.5, 0.5], the same in `onnx.py`.
fn formula(name: &str, count: usize) -> Vec<f32> {
    let first = name.bytes().map(f64::from).sum::<f64>();
    (0..count).map(|i| (0.5 * ((first + i as f64) * 0.7).sin()) as f32).collect()
}

fn weight(graph: &mut Graph, name: &str, shape: &[usize]) -> Value {
    let mut values = formula(name, shape.iter().product());
    if name.ends_with("var") {
        values.iter_mut().for_each(|v| *v += 1.0);
    }
    graph.weight(name, &Array { shape: shape.to_vec(), values })
}

/// Each layer that there is, once.
fn network() -> Vec<u8> {
    let mut graph = Graph::new("cnn", "dubito test");
    graph.metadata("size", "12");
    let g = &mut graph;
    let batch = Dim::Named("batch");
    let x = g.input("image", &[batch, Dim::Fixed(3), Dim::Fixed(12), Dim::Fixed(10)]);
    let x = g.pad(&x, [1, 0, 2, 3], 0.25);
    let w = weight(g, "stem.weight", &[8, 3, 3, 2]);
    let x = g.conv(&x, &w, None, &Convolution { stride: [2, 1], padding: [1, 0, 0, 1], ..Convolution::default() });
    let [scale, bias, mean, var] = ["bn.weight", "bn.bias", "bn.mean", "bn.var"].map(|name| weight(g, name, &[8]));
    let x = g.batch_norm(&x, &scale, &bias, &mean, &var, 1e-3);
    let x = g.hard_swish(&x);
    let (w, b) = (weight(g, "depthwise.weight", &[8, 1, 3, 3]), weight(g, "depthwise.bias", &[8]));
    let how = Convolution { padding: [2; 4], dilation: [2, 2], groups: 8, ..Convolution::default() };
    let y = g.conv(&x, &w, Some(&b), &how);
    let y = g.clip(&y, -0.1, 0.4);
    let (w, b) = (weight(g, "squeeze.weight", &[4, 8, 1, 1]), weight(g, "squeeze.bias", &[4]));
    let s = g.global_average_pool(&y);
    let s = g.conv(&s, &w, Some(&b), &Convolution::default());
    let s = g.relu(&s);
    let (w, b) = (weight(g, "excite.weight", &[8, 4, 1, 1]), weight(g, "excite.bias", &[8]));
    let s = g.conv(&s, &w, Some(&b), &Convolution::default());
    let s = g.hard_sigmoid(&s, 1.0 / 6.0, 0.5);
    let y = g.mul(&y, &s);
    let x = g.add(&x, &y);
    let x = g.max_pool(&x, &Pool { kernel: [3, 2], stride: [2, 2], padding: [1, 0, 1, 1] });
    let x = g.average_pool(&x, &Pool { kernel: [2, 2], stride: [1, 1], padding: [1, 1, 0, 0] });
    let s = g.sigmoid(&x);
    let x = g.mul(&x, &s);
    let x = g.global_average_pool(&x);
    let x = g.flatten(&x);
    let (w, b) = (weight(g, "head.weight", &[2, 8]), weight(g, "head.bias", &[2]));
    let logits = g.linear(&x, &w, &b);
    let probabilities = g.softmax(&logits);
    g.output(&logits, "logits", &[batch, Dim::Fixed(2)]);
    g.output(&probabilities, "probabilities", &[batch, Dim::Fixed(2)]);
    graph.to_bytes()
}

#[test]
fn the_file_is_the_one_that_onnx_runtime_was_shown_and_rten_agrees() {
    let bytes = network();
    let path = golden("cnn.onnx");
    if std::env::var_os("DUBITO_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "write it again with DUBITO_WRITE_GOLDEN=1, then run onnx.py");
    let expected: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(golden("cnn.json")).unwrap()).unwrap();
    let model = rten::Model::load(bytes).unwrap();
    let input = NdTensor::from_data([2, 3, 12, 10], formula("image", 720));
    let outputs = ["logits", "probabilities"].map(|name| model.node_id(name).unwrap());
    let found = model.run_n(vec![(model.node_id("image").unwrap(), input.into())], outputs, None).unwrap();
    for (name, value) in ["logits", "probabilities"].iter().zip(found) {
        let value: NdTensor<f32, 2> = value.try_into().unwrap();
        let expected: Vec<f64> = expected[*name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert_eq!(value.shape(), [2, 2]);
        for (found, expected) in value.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{name}: {found} {expected}");
        }
    }
}
