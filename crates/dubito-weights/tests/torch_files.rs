//! Checkpoints written by PyTorch, read and compared with what PyTorch says they hold; and hostile ones.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_weights::{Format, Weights, WeightsError, read_state};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(golden("torch")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_tensor_is_what_pytorch_says() {
    let expected = std::fs::read_to_string(golden("torch_files.json")).unwrap();
    let expected: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(&expected).unwrap();
    assert_eq!(expected.len(), 9);
    for (file, expected) in expected {
        let weights = Weights::read(&golden("torch").join(&file)).unwrap();
        assert_eq!(weights.format == Format::TorchLegacy, file.starts_with("legacy"), "{file}");
        assert_eq!(weights.tensors.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{file}");
        for (name, tensor) in &weights.tensors {
            let kind = match tensor.element.name() {
                "F64" => "float64",
                "F32" => "float32",
                "F16" => "float16",
                "BF16" => "bfloat16",
                "I64" => "int64",
                "I32" => "int32",
                "I16" => "int16",
                "I8" => "int8",
                "U8" => "uint8",
                other => &other.to_lowercase(),
            };
            let expected = &expected[name];
            assert_eq!(expected["type"], kind, "{file} {name}");
            assert_eq!(expected["shape"], serde_json::json!(tensor.array.shape), "{file} {name}");
            let values: Vec<f32> =
                expected["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            assert_eq!(tensor.array.values, values, "{file} {name}");
        }
    }
}

#[test]
fn nested_checkpoints_say_what_was_taken_and_what_was_left() {
    for file in ["zip_nested.pt", "legacy_nested.pt"] {
        let notes = Weights::read(&golden("torch").join(file)).unwrap().notes.join(" ");
        assert!(notes.contains("took `state_dict`") && notes.contains("optimizer"), "{notes}");
    }
    let notes = Weights::read(&golden("torch/legacy_network.pt")).unwrap().notes.join(" ");
    assert!(notes.contains("whole network"), "{notes}");
    let error = read_state(&golden("torch/zip_kinds.pt")).unwrap_err().to_string();
    assert!(error.contains("tensor `bool` is of type BOOL"), "{error}");
}

#[test]
fn what_would_run_code_is_refused_by_name() {
    let cases = [
        ("eval_evil.pt", ".eval"),
        ("system_evil.pt", ".system"),
        ("getattr_evil.pt", ".getattr"),
        ("plain_evil.pt", ".system"),
        ("zip_network_refused.pt", "__main__.Net"),
    ];
    for (file, name) in cases {
        let error = Weights::read(&golden("torch").join(file)).unwrap_err();
        assert!(matches!(&error, WeightsError::Refused { name: found, .. } if found.contains(name)), "{error}");
        assert!(error.to_string().contains("refused") && error.hint().unwrap().contains("state_dict"), "{error}");
    }
    for (file, word) in [("script_refused.pt", "TorchScript"), ("big_refused.pt", "big-endian")] {
        let error = Weights::read(&golden("torch").join(file)).unwrap_err();
        assert!(error.to_string().contains(word) && error.hint().is_some(), "{error}");
    }
}

#[test]
fn cut_anywhere_a_file_is_an_error_that_names_it() {
    for file in files() {
        let bytes = std::fs::read(&file).unwrap();
        for n in 0..bytes.len() {
            let error = Weights::from_bytes(&file, &bytes[..n]).unwrap_err().to_string();
            assert!(error.contains(file.file_name().unwrap().to_str().unwrap()), "{n}: {error}");
        }
    }
}

/// Numbers from a linear congruential generator (Knuth's MMIX).
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn flipped_and_spliced_bytes_never_panic_nor_ask_for_much_memory() {
    let mut state = 7;
    for file in files() {
        let bytes = std::fs::read(&file).unwrap();
        for _ in 0..3000 {
            let mut broken = bytes.clone();
            for _ in 0..=next(&mut state) % 4 {
                let at = next(&mut state) % broken.len();
                broken[at] = next(&mut state) as u8;
            }
            if next(&mut state).is_multiple_of(4) {
                let (from, to) = (next(&mut state) % broken.len(), next(&mut state) % broken.len());
                let length = (next(&mut state) % 64).min(broken.len() - from.max(to));
                broken.copy_within(from..from + length, to);
            }
            if let Ok(weights) = Weights::from_bytes(&file, &broken) {
                let values: usize = weights.tensors.values().map(|t| t.array.values.len()).sum();
                assert!(values <= 4 * bytes.len(), "{values} values from {} bytes", bytes.len());
            }
        }
    }
}

#[test]
fn a_pickle_that_grows_is_stopped() {
    let zip = |pickle: &[u8]| {
        // A zip archive of one stored entry, by hand: local header, data, directory, end.
        let name = b"a/data.pkl";
        let sum = crc(pickle).to_le_bytes();
        let size = (pickle.len() as u32).to_le_bytes();
        let common = |out: &mut Vec<u8>| {
            out.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            out.extend(sum);
            out.extend(size);
            out.extend(size);
            out.extend((name.len() as u16).to_le_bytes());
            out.extend([0, 0]);
        };
        let mut out = b"PK\x03\x04".to_vec();
        common(&mut out);
        out.extend(name);
        out.extend(pickle);
        let begin = out.len() as u32;
        out.extend(b"PK\x01\x02\x14\x00");
        common(&mut out);
        out.extend([0; 14]);
        out.extend(name);
        let length = out.len() as u32 - begin;
        out.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
        out.extend(length.to_le_bytes());
        out.extend(begin.to_le_bytes());
        out.extend([0, 0]);
        out
    };
    let fails = |pickle: &[u8]| Weights::from_bytes(Path::new("x.pt"), &zip(pickle)).unwrap_err().to_string();
    // Ten million empty lists.
    let many: Vec<u8> = [vec![b']'; 10_000_000], b".".to_vec()].concat();
    assert!(fails(&many).contains("builds more than"), "{}", fails(&many));
    // A tuple of a tuple of a tuple ..., a million deep: nothing recurses.
    let deep: Vec<u8> = [b")".to_vec(), vec![b'\x85'; 1_000_000], b".".to_vec()].concat();
    assert!(fails(&deep).contains("holds no weights"), "{}", fails(&deep));
    // A list of a thousand pairs, made a dictionary very many times.
    let mut grow = b"ccollections\nOrderedDict\nq\x00](".to_vec();
    grow.extend(b"K\x01K\x01\x86".repeat(4000));
    grow.extend(b"e\x85q\x01");
    grow.extend(b"h\x00h\x01R".repeat(4000));
    grow.push(b'.');
    assert!(fails(&grow).contains("dictionaries made of lists"), "{}", fails(&grow));
    for (pickle, word) in [
        (&b"\x80\x09."[..], "protocol 9"),
        (b"Pfoo\n.", "opcode `P`"),
        (b"h\x05.", "never kept"),
        (b"u.", "mark"),
        (b"cposix\nsystem\nX\x02\0\0\0ls\x85R.", "wants to run `posix.system`"),
        (b"cposix\nsystem\n.", "wants to run `posix.system`"),
        (b"\x8c\x05posix\x8c\x06system\x93)\x81.", "wants to run `posix.system`"),
        (b"(iposix\nsystem\n.", "opcode `i`"),
    ] {
        assert!(fails(pickle).contains(word), "{}", fails(pickle));
    }
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
