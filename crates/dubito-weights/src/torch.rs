//! PyTorch checkpoints, zip and legacy, to named tensors.
//!
//! The layouts are those of `torch/serialization.py`: since 1.6 a zip archive of `NAME/data.pkl` and `NAME/data/KEY`,
//! before that a magic number, a protocol, the system's properties, the object and the keys of its storages, each a
//! pickle, and then the storages, each with its length.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use crate::WeightsError;
use crate::array::{Array, Tensor};
use crate::file::{Format, Weights};
use crate::pickle::{self, Fault, Id, MAX_PICKLE, Node, Pickled, View};

/// Keys under which a checkpoint keeps the weights beside other things, the first that is there.
const NESTS: [&str; 11] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "state",
    "module",
    "model_ema",
];
/// How deep weights may be nested.
const MAX_DEPTH: usize = 32;
/// The most tensors of a file.
const MAX_TENSORS: usize = 100_000;
/// The most modules of a network that are looked at.
const MAX_MODULES: usize = 100_000;
/// `torch.serialization.MAGIC_NUMBER` and `PROTOCOL_VERSION`.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;

const RESAVE: &str = "save the weights alone: torch.save(model.state_dict(), FILE)";

fn faulty(path: &Path, fault: Fault) -> WeightsError {
    match fault {
        Fault::Refused(name) => WeightsError::Refused { path: path.to_owned(), name },
        Fault::Broken(reason) => {
            WeightsError::corrupt_hint(path, format!("is not a PyTorch checkpoint that can be read: {reason}"), RESAVE)
        }
    }
}

/// Reads a zip checkpoint.
pub(crate) fn from_zip(path: &Path, bytes: &[u8]) -> Result<Weights, WeightsError> {
    let bad = |reason: String| WeightsError::corrupt_hint(path, reason, "download or copy the file again");
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|e| bad(format!("is not a whole zip archive: {e}")))?;
    let names: Vec<String> = archive.file_names().flatten().map(std::borrow::Cow::into_owned).collect();
    let Some(root) =
        names.iter().find_map(|name| name.strip_suffix("data.pkl").filter(|r| r.matches('/').count() <= 1))
    else {
        let reason = "is a zip archive without data.pkl: not what torch.save writes";
        return Err(WeightsError::corrupt_hint(path, reason, RESAVE));
    };
    if names.iter().any(|name| *name == format!("{root}constants.pkl")) {
        let reason = "is a TorchScript program; expected the weights alone";
        let hint = "save its weights: torch.save(torch.jit.load(FILE).state_dict(), OTHER)";
        return Err(WeightsError::corrupt_hint(path, reason, hint));
    }
    let mut entry = |name: &str, most: usize| -> Result<Vec<u8>, WeightsError> {
        let entry = archive.by_name(name).map_err(|e| bad(format!("{name}: {e}")))?;
        if entry.compression() != CompressionMethod::Stored {
            let reason = format!("{name} is compressed, which torch.save never does");
            return Err(WeightsError::corrupt_hint(path, reason, "pack it again without compression: zip -0"));
        }
        let mut bytes = Vec::new();
        // One byte more, so that the reader comes to the end and checks the sum.
        entry.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|e| bad(format!("{name}: {e}")))?;
        if bytes.len() > most { Err(bad(format!("{name} is longer than {most} bytes"))) } else { Ok(bytes) }
    };
    let order = format!("{root}byteorder");
    if names.contains(&order) && entry(&order, 64)?.starts_with(b"big") {
        let reason = "was written on a big-endian machine, which is not read";
        return Err(WeightsError::corrupt_hint(path, reason, "load it with PyTorch and save it on another machine"));
    }
    let pickled = pickle::read(&entry(&format!("{root}data.pkl"), MAX_PICKLE)?).map_err(|e| faulty(path, e))?;
    let mut storages: HashMap<String, Vec<u8>> = HashMap::new();
    let (found, notes) = find(path, &pickled)?;
    // Storages that are not weights (an optimiser's) are not read at all.
    for (_, id) in &found {
        let Some(storage) = storage_of(&pickled, *id) else { continue };
        if !storages.contains_key(&storage.key) {
            storages.insert(storage.key.clone(), entry(&format!("{root}data/{}", storage.key), bytes.len())?);
        }
    }
    let slices = storages.iter().map(|(key, bytes)| (key.as_str(), bytes.as_slice())).collect();
    let tensors = gather(path, &pickled, found, &slices, bytes.len())?;
    Ok(Weights { format: Format::TorchZip, tensors, notes })
}

/// Reads a legacy checkpoint.
pub(crate) fn from_legacy(path: &Path, bytes: &[u8]) -> Result<Weights, WeightsError> {
    let bad = |reason: &str| WeightsError::corrupt_hint(path, reason, RESAVE);
    let mut at = 0;
    let mut next = || {
        let pickled = pickle::read(&bytes[at..]).map_err(|e| faulty(path, e))?;
        at += pickled.length;
        Ok::<_, WeightsError>((pickled, at))
    };
    let is = |pickled: &Pickled, number: i128| matches!(pickled.node(pickled.root), Node::Int(n) if *n == number);
    if !is(&next()?.0, MAGIC) {
        return Err(bad("is a pickle, but not one that torch.save wrote"));
    }
    if !is(&next()?.0, PROTOCOL) {
        return Err(bad("is a PyTorch checkpoint of another protocol than 1001"));
    }
    let (system, _) = next()?;
    let little = entries(&system, system.root)
        .iter()
        .any(|(key, value)| key == "little_endian" && matches!(system.node(*value), Node::Int(1)));
    if !little {
        return Err(bad("was written on a big-endian machine, which is not read"));
    }
    let (pickled, _) = next()?;
    let (keys, mut at) = next()?;
    let Node::List(listed) = keys.node(keys.root) else { return Err(bad("has no list of its storages")) };
    let elements: HashMap<&str, usize> = pickled
        .nodes
        .iter()
        .filter_map(|node| match node {
            Node::Storage(storage) => Some((storage.key.as_str(), storage.element.size())),
            _ => None,
        })
        .collect();
    let mut storages: HashMap<&str, &[u8]> = HashMap::new();
    for key in listed {
        let key = match keys.node(*key) {
            Node::Text(key) => key.as_str(),
            _ => return Err(bad("has a storage whose key is no text")),
        };
        let size = elements.get(key).copied().unwrap_or(1) as u64;
        let head = bytes.get(at..at.saturating_add(8)).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        let end = head.and_then(|count| count.checked_mul(size)).and_then(|n| usize::try_from(n).ok());
        let end = end.and_then(|length| (at + 8).checked_add(length));
        let Some(storage) = end.and_then(|end| bytes.get(at + 8..end)) else {
            return Err(bad(&format!("ends in the middle of its storage {key}: download or copy it again")));
        };
        at += 8 + storage.len();
        storages.insert(key, storage);
    }
    let (found, notes) = find(path, &pickled)?;
    let tensors = gather(path, &pickled, found, &storages, bytes.len())?;
    Ok(Weights { format: Format::TorchLegacy, tensors, notes })
}

fn storage_of(pickled: &Pickled, tensor: Id) -> Option<&pickle::Storage> {
    let Node::Tensor(View { storage, .. }) = pickled.node(tensor) else { return None };
    match pickled.node(*storage) {
        Node::Storage(storage) => Some(storage),
        _ => None,
    }
}

/// A dictionary's entries whose keys are text; none of what is no dictionary.
fn entries(pickled: &Pickled, id: Id) -> Vec<(String, Id)> {
    let Node::Dict(entries) = pickled.node(id) else { return Vec::new() };
    let named = entries.iter().filter_map(|(key, value)| match pickled.node(*key) {
        Node::Text(key) => Some((key.clone(), *value)),
        _ => None,
    });
    named.collect()
}

type Found = (Vec<(String, Id)>, Vec<String>);

/// The tensors that are the weights, and what was said of the rest.
fn find(path: &Path, pickled: &Pickled) -> Result<Found, WeightsError> {
    let mut id = pickled.root;
    let mut notes = Vec::new();
    for _ in 0..MAX_DEPTH {
        if matches!(pickled.node(id), Node::Module(_)) {
            notes.push("took the weights out of a whole network; its code was not run".to_owned());
            return Ok((module_tensors(path, pickled, id)?, notes));
        }
        let entries = entries(pickled, id);
        let (tensors, others): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(_, value)| matches!(pickled.node(*value), Node::Tensor(_)));
        let names =
            |of: &[(String, Id)]| of.iter().map(|(key, _)| key.as_str()).take(12).collect::<Vec<_>>().join(", ");
        let nest = NESTS.iter().find_map(|nest| {
            let holds = |id: Id| matches!(pickled.node(id), Node::Dict(_) | Node::Module(_));
            others.iter().find(|(key, value)| key == nest && holds(*value))
        });
        if let (true, Some((key, value))) = (tensors.is_empty(), nest) {
            let rest: Vec<_> = others.iter().filter(|other| other.0 != *key).cloned().collect();
            let beside = if rest.is_empty() { String::new() } else { format!("; left {} beside it", names(&rest)) };
            notes.push(format!("took `{key}`{beside}"));
            id = *value;
            continue;
        }
        if tensors.is_empty() {
            let found = if others.is_empty() { "nothing".into() } else { names(&others) };
            let reason =
                format!("holds no weights; expected tensors by name or one of {}; found {found}", NESTS.join(", "));
            return Err(WeightsError::corrupt_hint(path, reason, RESAVE));
        }
        if !others.is_empty() {
            notes.push(format!("left {}, which are no tensors", names(&others)));
        }
        return Ok((tensors, notes));
    }
    Err(WeightsError::corrupt_hint(path, format!("nests its weights more than {MAX_DEPTH} deep"), RESAVE))
}

/// Parameters and buffers of a network and of the modules in it, named as `state_dict` names them.
fn module_tensors(path: &Path, pickled: &Pickled, root: Id) -> Result<Vec<(String, Id)>, WeightsError> {
    let mut found = Vec::new();
    let mut left = vec![(String::new(), root, 0)];
    let mut looked_at = 0;
    while let Some((prefix, id, depth)) = left.pop() {
        looked_at += 1;
        if looked_at > MAX_MODULES || depth > MAX_DEPTH {
            let reason =
                format!("holds a network of more than {MAX_MODULES} modules or nested more than {MAX_DEPTH} deep");
            return Err(WeightsError::corrupt_hint(path, reason, RESAVE));
        }
        let Node::Module(Some(attributes)) = pickled.node(id) else { continue };
        for (attribute, value) in entries(pickled, *attributes) {
            match attribute.as_str() {
                "_parameters" | "_buffers" => {
                    let tensors = entries(pickled, value).into_iter();
                    let tensors = tensors.filter(|(_, id)| matches!(pickled.node(*id), Node::Tensor(_)));
                    found.extend(tensors.map(|(name, id)| (format!("{prefix}{name}"), id)));
                }
                "_modules" => {
                    let modules = entries(pickled, value).into_iter();
                    left.extend(modules.map(|(name, id)| (format!("{prefix}{name}."), id, depth + 1)));
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// The values of the tensors found.
fn gather(
    path: &Path,
    pickled: &Pickled,
    found: Vec<(String, Id)>,
    storages: &HashMap<&str, &[u8]>,
    file: usize,
) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    if found.len() > MAX_TENSORS {
        let reason = format!("holds {} tensors, more than the {MAX_TENSORS} that are read", found.len());
        return Err(WeightsError::corrupt(path, reason));
    }
    // Views share storages, so a small file may ask for much: as many elements as a file of bytes has, some times over.
    let mut budget = 4 * file as u64;
    let mut tensors = BTreeMap::new();
    for (name, id) in found {
        let wrong = |reason: String| WeightsError::corrupt(path, format!("tensor `{name}` {reason}"));
        let (Node::Tensor(view), Some(storage)) = (pickled.node(id), storage_of(pickled, id)) else {
            return Err(wrong("has no storage".into()));
        };
        let bytes = storages.get(storage.key.as_str()).copied().unwrap_or_default();
        let size = storage.element.size();
        let held = (bytes.len() / size) as u64;
        if held < storage.begin.saturating_add(storage.count) {
            return Err(wrong(format!(
                "needs {} elements of storage {}, which has {held}",
                storage.count, storage.key
            )));
        }
        if view.shape.len() != view.strides.len() {
            return Err(wrong(format!("has {} sizes and {} strides", view.shape.len(), view.strides.len())));
        }
        let count = view.shape.iter().try_fold(1u64, |n, size| n.checked_mul((*size).max(1)));
        let Some(count) = count.filter(|n| *n <= budget) else {
            return Err(wrong(format!("of shape {:?} is larger than its file", view.shape)));
        };
        let count = if view.shape.contains(&0) { 0 } else { count };
        let first = storage.begin.checked_add(view.offset);
        let reach = view
            .shape
            .iter()
            .zip(&view.strides)
            .try_fold(0u64, |sum, (size, stride)| sum.checked_add(size.saturating_sub(1).checked_mul(*stride)?));
        let reach = if count == 0 { Some(0) } else { reach };
        let past =
            first.zip(reach).and_then(|(first, reach)| first.checked_add(reach)?.checked_add(u64::from(count > 0)));
        let (Some(first), Some(past)) =
            (first, past.filter(|past| *past <= storage.begin.saturating_add(storage.count)))
        else {
            return Err(wrong(format!("reaches past its storage of {} elements", storage.count)));
        };
        let past = past.max(first);
        let Some(left) = budget.checked_sub(count.max(past - first)) else {
            return Err(wrong("shares its storage with very many others".into()));
        };
        budget = left;
        // In range: `past` is at most what the storage holds.
        let held = bytes.get(first as usize * size..past as usize * size).unwrap_or_default();
        let values = if is_contiguous(view) {
            storage.element.read(held)
        } else {
            let held = storage.element.read(held);
            strided(view, count as usize, &held)
        };
        let shape = view.shape.iter().map(|size| *size as usize).collect();
        let tensor = Tensor { element: storage.element, array: Array { shape, values } };
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(wrong("is there twice".into()));
        }
    }
    Ok(tensors)
}

/// Whether elements lie in row-major order without gaps (the stride of a size of 1 does not matter).
fn is_contiguous(view: &View) -> bool {
    let mut expected = 1u64;
    view.shape.iter().zip(&view.strides).rev().all(|(size, stride)| {
        let fits = *size == 1 || *stride == expected;
        expected = expected.saturating_mul(*size.max(&1));
        fits
    })
}

/// `count` elements of a view in row-major order; `held` begins at its first.
fn strided(view: &View, count: usize, held: &[f32]) -> Vec<f32> {
    let mut values = Vec::with_capacity(count);
    let mut index = vec![0u64; view.shape.len()];
    let mut at = 0u64;
    while values.len() < count {
        values.push(held.get(at as usize).copied().unwrap_or(f32::NAN));
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            at = at.wrapping_add(view.strides[axis]);
            if index[axis] < view.shape[axis] {
                break;
            }
            at = at.wrapping_sub(view.strides[axis].wrapping_mul(view.shape[axis]));
            index[axis] = 0;
        }
    }
    values
}
