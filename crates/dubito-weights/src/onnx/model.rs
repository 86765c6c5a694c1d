//! A foreign ONNX file as it is written: nodes, weights (how many numbers, not the numbers), inputs and outputs, with limits.

use super::wire::{Content, Fields, varint};
use super::{ExternalTensor, OnnxError};

/// Nodes of all graphs of a file; large detectors have a few thousand.
const MAX_NODES: usize = 20_000;
/// Tensors of all graphs.
const MAX_TENSORS: usize = 50_000;
/// Inputs and outputs of a node or a graph, attributes of a node, dimensions of a tensor.
const MAX_LIST: usize = 4_096;
/// Dimensions of a value.
pub(super) const MAX_RANK: usize = 16;
/// Bytes of the name of an input or output, and of a place of weights.
const MAX_NAME: usize = 256;
/// Graphs within graphs.
const MAX_NESTING: usize = 8;
/// Tensors of at most as many numbers are read; they say sizes, axes, repeats.
const SMALL: u64 = 64;

/// Codes of element types (`TensorProto.DataType`).
pub(super) const FLOAT: i64 = 1;
pub(super) const FLOAT16: i64 = 10;
pub(super) const DOUBLE: i64 = 11;
const STRING: i64 = 8;

/// A graph and what it is made of.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
    pub weights: Vec<Tensor<'a>>,
    pub inputs: Vec<Info<'a>>,
    pub outputs: Vec<Info<'a>>,
}

/// An operator with its operands.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub name: &'a str,
    pub op: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    pub attributes: Vec<Attribute<'a>>,
}

impl<'a> Node<'a> {
    /// The attribute of a name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// An integer attribute, or what it is by default.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.int).unwrap_or(default)
    }

    /// A list of integers, if it is given.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice()).filter(|ints| !ints.is_empty())
    }

    /// Which node it is, in words.
    pub fn words(&self) -> String {
        let name = if self.name.is_empty() { self.outputs.first().copied().unwrap_or_default() } else { self.name };
        format!("node `{}` ({})", short(name), short(self.op))
    }
}

/// An attribute of a node.
#[derive(Debug, Default)]
pub(super) struct Attribute<'a> {
    pub name: &'a str,
    pub float: Option<f32>,
    pub int: Option<i64>,
    pub text: Option<&'a [u8]>,
    pub ints: Vec<i64>,
    pub floats: Vec<f32>,
    pub tensor: Option<Tensor<'a>>,
    pub graph: Option<Graph<'a>>,
}

/// Numbers of a file.
#[derive(Debug, Default)]
pub(super) struct Tensor<'a> {
    pub name: &'a str,
    pub dims: Vec<i64>,
    pub kind: i64,
    /// The numbers, where they are few.
    pub ints: Option<Vec<i64>>,
    /// The numbers, where they are few.
    pub floats: Option<Vec<f64>>,
    /// Another file that holds the numbers.
    pub external: Option<External<'a>>,
}

/// Where another file holds the numbers of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct External<'a> {
    pub location: &'a str,
    pub tensor: ExternalTensor,
}

/// An input or output of a graph.
#[derive(Debug, Default)]
pub(super) struct Info<'a> {
    pub name: &'a str,
    pub kind: i64,
    /// Sizes; `None` for an open one. `None` where the file says nothing of the shape.
    pub dims: Option<Vec<Dim<'a>>>,
}

/// A size, or the name of an open one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dim<'a> {
    Fixed(u64),
    Open(&'a str),
}

/// A file.
#[derive(Debug, Default)]
pub(super) struct Model<'a> {
    pub graph: Graph<'a>,
    pub metadata: Vec<(&'a str, &'a str)>,
}

/// At most 60 characters of a foreign name, with nothing in it that moves the cursor.
pub fn short(name: &str) -> String {
    let shown: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(60).collect();
    if name.chars().nth(60).is_some() { shown + "..." } else { shown }
}

#[derive(Default)]
struct Reader {
    nodes: usize,
    tensors: usize,
}

fn not_whole() -> OnnxError {
    OnnxError::new(
        "is not an ONNX model, or only a part of one",
        "fetch the file again, or export it again with torch.onnx.export",
    )
}

/// A name that is given on as it is.
fn name<'a>(content: Content<'a>) -> Result<&'a str, OnnxError> {
    let name = content.text().unwrap_or_default();
    if name.len() <= MAX_NAME {
        return Ok(name);
    }
    Err(OnnxError::new(
        format!("has a name of {} bytes, `{}`; expected {MAX_NAME} or fewer", name.len(), short(name)),
        "export it again with short names of its inputs and outputs (input_names, output_names)",
    ))
}

fn no_numbers(name: &str) -> OnnxError {
    OnnxError::new(
        format!("{name} holds weights that are no numbers (NaN)"),
        "training diverged, or the file is damaged: take an earlier checkpoint",
    )
}

fn too_many(what: &str, most: usize) -> OnnxError {
    OnnxError::new(
        format!("has more than {most} {what}"),
        "no detector of faces needs as many: look at where the file comes from",
    )
}

/// The fields of a message that has to be whole.
fn each<'a>(bytes: &'a [u8], mut take: impl FnMut(u64, Content<'a>) -> Result<(), OnnxError>) -> Result<(), OnnxError> {
    let mut fields = Fields(bytes);
    for (number, content) in fields.by_ref() {
        take(number, content)?;
    }
    if fields.is_whole() { Ok(()) } else { Err(not_whole()) }
}

fn add<T>(list: &mut Vec<T>, item: T, most: usize, what: &str) -> Result<(), OnnxError> {
    if list.len() >= most {
        return Err(too_many(what, most));
    }
    list.push(item);
    Ok(())
}

/// Integers of a field, packed or one by one.
fn ints(content: Content<'_>, list: &mut Vec<i64>, most: usize) -> Result<(), OnnxError> {
    match content {
        Content::Varint(value) => add(list, value as i64, most, "numbers in one list"),
        Content::Bytes(mut bytes) => {
            while !bytes.is_empty() {
                let value = varint(&mut bytes).ok_or_else(not_whole)?;
                add(list, value as i64, most, "numbers in one list")?;
            }
            Ok(())
        }
        _ => Err(not_whole()),
    }
}

impl<'a> Model<'a> {
    /// Reads a file.
    pub fn read(bytes: &'a [u8]) -> Result<Self, OnnxError> {
        let (mut model, mut reader) = (Self::default(), Reader::default());
        let mut found = false;
        each(bytes, |number, content| {
            match (number, content) {
                (7, Content::Bytes(graph)) => {
                    found = true;
                    model.graph = reader.graph(graph, 0)?;
                }
                (14, Content::Bytes(entry)) => {
                    add(&mut model.metadata, pair(entry)?, MAX_LIST, "entries of metadata")?;
                }
                (25, _) => {
                    return Err(OnnxError::new(
                        "has functions of its own, which can't be run",
                        "export it again with its functions inlined (onnx.inliner)",
                    ));
                }
                _ => {}
            }
            Ok(())
        })?;
        if found { Ok(model) } else { Err(not_whole()) }
    }
}

/// A `StringStringEntryProto`.
fn pair(bytes: &[u8]) -> Result<(&str, &str), OnnxError> {
    let (mut key, mut value) = ("", "");
    each(bytes, |number, content| {
        match number {
            1 => key = content.text().unwrap_or_default(),
            2 => value = content.text().unwrap_or_default(),
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, value))
}

impl Reader {
    fn graph<'a>(&mut self, bytes: &'a [u8], depth: usize) -> Result<Graph<'a>, OnnxError> {
        if depth > MAX_NESTING {
            let hint = "export it again without branches and loops (torch.onnx.export of a traced model)";
            return Err(OnnxError::new(format!("nests graphs (`If`, `Loop`) more than {MAX_NESTING} deep"), hint));
        }
        let mut graph = Graph::default();
        each(bytes, |number, content| {
            match (number, content) {
                (1, Content::Bytes(node)) => {
                    self.nodes += 1;
                    if self.nodes > MAX_NODES {
                        return Err(too_many("nodes", MAX_NODES));
                    }
                    graph.nodes.push(self.node(node, depth)?);
                }
                (5, Content::Bytes(tensor)) => graph.weights.push(self.tensor(tensor)?),
                (11, Content::Bytes(input)) => add(&mut graph.inputs, info(input)?, MAX_TENSORS, "inputs")?,
                (12, Content::Bytes(output)) => add(&mut graph.outputs, info(output)?, MAX_LIST, "outputs")?,
                (15, _) => {
                    return Err(OnnxError::new(
                        "holds sparse weights, which can't be read",
                        "export it again with dense weights",
                    ));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(graph)
    }

    fn node<'a>(&mut self, bytes: &'a [u8], depth: usize) -> Result<Node<'a>, OnnxError> {
        let mut node = Node::default();
        each(bytes, |number, content| {
            match (number, content) {
                (1, _) => add(&mut node.inputs, content.text().ok_or_else(not_whole)?, MAX_LIST, "inputs of one node")?,
                (2, _) => {
                    add(&mut node.outputs, content.text().ok_or_else(not_whole)?, MAX_LIST, "outputs of one node")?
                }
                (3, _) => node.name = content.text().unwrap_or_default(),
                (4, _) => node.op = content.text().unwrap_or_default(),
                (5, Content::Bytes(attribute)) => {
                    let attribute = self.attribute(attribute, depth)?;
                    add(&mut node.attributes, attribute, MAX_LIST, "attributes of one node")?;
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(node)
    }

    fn attribute<'a>(&mut self, bytes: &'a [u8], depth: usize) -> Result<Attribute<'a>, OnnxError> {
        let mut attribute = Attribute::default();
        each(bytes, |number, content| {
            match (number, content) {
                (1, _) => attribute.name = content.text().unwrap_or_default(),
                (2, Content::Four(value)) => attribute.float = Some(f32::from_le_bytes(value)),
                (3, _) => attribute.int = content.int(),
                (4, _) => attribute.text = content.bytes(),
                (5, Content::Bytes(tensor)) => attribute.tensor = Some(self.tensor(tensor)?),
                (6, Content::Bytes(graph)) => attribute.graph = Some(self.graph(graph, depth + 1)?),
                (7, Content::Four(value)) => {
                    add(&mut attribute.floats, f32::from_le_bytes(value), MAX_TENSORS, "numbers in one attribute")?;
                }
                (7, Content::Bytes(packed)) => {
                    for value in packed.as_chunks::<4>().0 {
                        add(
                            &mut attribute.floats,
                            f32::from_le_bytes(*value),
                            MAX_TENSORS,
                            "numbers in one attribute",
                        )?;
                    }
                }
                (8, _) => ints(content, &mut attribute.ints, MAX_TENSORS)?,
                (11, _) => {
                    return Err(OnnxError::new(
                        "has lists of graphs, which can't be run",
                        "export it again with torch.onnx.export",
                    ));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(attribute)
    }

    /// A tensor whose numbers are as many as its dimensions say.
    fn tensor<'a>(&mut self, bytes: &'a [u8]) -> Result<Tensor<'a>, OnnxError> {
        self.tensors += 1;
        if self.tensors > MAX_TENSORS {
            return Err(too_many("tensors", MAX_TENSORS));
        }
        let mut tensor = Tensor::default();
        let (mut raw, mut typed, mut entries, mut elsewhere) = (None, Numbers::default(), Vec::new(), false);
        each(bytes, |number, content| {
            match (number, content) {
                (1, _) => ints(content, &mut tensor.dims, MAX_LIST)?,
                (2, _) => tensor.kind = content.int().unwrap_or_default(),
                (4, _) => typed.floats::<4>(content, |bytes| f32::from_le_bytes(bytes).into())?,
                (5 | 7 | 11, _) => typed.ints(content)?,
                (6, _) => typed.count += 1,
                (8, _) => tensor.name = content.text().unwrap_or_default(),
                (9, Content::Bytes(bytes)) => raw = Some(bytes),
                (10, _) => typed.floats::<8>(content, f64::from_le_bytes)?,
                (13, Content::Bytes(entry)) => add(&mut entries, pair(entry)?, 16, "entries of external data")?,
                (14, _) => elsewhere = content.int() == Some(1),
                _ => {}
            }
            Ok(())
        })?;
        let name = format!("tensor `{}`", short(tensor.name));
        if tensor.kind == STRING {
            return Err(OnnxError::new(
                format!("{name} holds texts"),
                "a detector of pictures is made of numbers: export it again without preprocessing of texts",
            ));
        }
        if tensor.dims.len() > MAX_RANK {
            return Err(OnnxError::new(
                format!("{name} has {} dimensions; at most {MAX_RANK} are read", tensor.dims.len()),
                "no detector of faces needs that: look at where the file comes from",
            ));
        }
        let wanted = tensor.dims.iter().try_fold(1_u64, |all, dim| all.checked_mul(u64::try_from(*dim).ok()?));
        let wanted = wanted.filter(|wanted| *wanted <= 1 << 40).ok_or_else(|| {
            OnnxError::new(
                format!("{name} has impossible dimensions {:?}", tensor.dims),
                "the file is damaged: export it again",
            )
        })?;
        if elsewhere {
            tensor.external = Some(external(&name, &entries, wanted, tensor.kind)?);
            return Ok(tensor);
        }
        let width = width(tensor.kind).ok_or_else(|| {
            OnnxError::new(
                format!("{name} has elements of type {}, which can't be read", tensor.kind),
                "export it again in float32",
            )
        })?;
        if let Some(raw) = raw {
            typed = Numbers::of_bytes(raw, tensor.kind, width);
        } else if tensor.kind == FLOAT16 {
            typed.halves();
        }
        if typed.count != wanted {
            return Err(OnnxError::new(
                format!("{name} of dimensions {:?} should hold {wanted} numbers, holds {}", tensor.dims, typed.count),
                "the file is damaged: export it again",
            ));
        }
        if typed.nan {
            return Err(no_numbers(&name));
        }
        if wanted <= SMALL {
            let is_float = matches!(tensor.kind, FLOAT | FLOAT16 | DOUBLE);
            (tensor.ints, tensor.floats) = if is_float { (None, Some(typed.floats)) } else { (Some(typed.ints), None) };
        }
        Ok(tensor)
    }
}

/// The numbers of a tensor: all of them are counted and looked at, the first few kept.
#[derive(Default)]
struct Numbers {
    count: u64,
    nan: bool,
    /// Whether an integer is the bits of a half that is no number.
    half_nan: bool,
    ints: Vec<i64>,
    floats: Vec<f64>,
}

impl Numbers {
    fn float(&mut self, value: f64) {
        self.nan |= value.is_nan();
        if self.count < SMALL {
            self.floats.push(value);
        }
        self.count += 1;
    }

    fn int(&mut self, value: i64) {
        self.half_nan |= half::f16::from_bits(value as u16).is_nan();
        if self.count < SMALL {
            self.ints.push(value);
        }
        self.count += 1;
    }

    fn floats<const N: usize>(&mut self, content: Content<'_>, read: fn([u8; N]) -> f64) -> Result<(), OnnxError> {
        let bytes: &[u8] = match &content {
            Content::Four(bytes) => bytes,
            Content::Eight(bytes) => bytes,
            Content::Bytes(bytes) => bytes,
            Content::Varint(_) => return Err(not_whole()),
        };
        let (values, []) = bytes.as_chunks::<N>() else { return Err(not_whole()) };
        values.iter().for_each(|value| self.float(read(*value)));
        Ok(())
    }

    fn ints(&mut self, content: Content<'_>) -> Result<(), OnnxError> {
        match content {
            Content::Varint(value) => self.int(value as i64),
            Content::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    self.int(varint(&mut bytes).ok_or_else(not_whole)? as i64);
                }
            }
            _ => return Err(not_whole()),
        }
        Ok(())
    }

    /// Halves stand as integers where they are not raw: their bits.
    fn halves(&mut self) {
        self.nan = self.half_nan;
        self.floats = self.ints.drain(..).map(|bits| half::f16::from_bits(bits as u16).into()).collect();
    }

    fn of_bytes(raw: &[u8], kind: i64, width: u64) -> Self {
        let mut numbers = Self::default();
        match kind {
            FLOAT => raw.as_chunks::<4>().0.iter().for_each(|v| numbers.float(f32::from_le_bytes(*v).into())),
            DOUBLE => raw.as_chunks::<8>().0.iter().for_each(|v| numbers.float(f64::from_le_bytes(*v))),
            FLOAT16 => raw.as_chunks::<2>().0.iter().for_each(|v| numbers.float(half::f16::from_le_bytes(*v).into())),
            _ => raw.chunks_exact(width as usize).for_each(|bytes| {
                let mut wide = [if bytes.last().is_some_and(|b| b & 0x80 != 0) && width > 1 { 0xff } else { 0 }; 8];
                wide[..bytes.len()].copy_from_slice(bytes);
                numbers.int(i64::from_le_bytes(wide));
            }),
        }
        // A rest that makes no number is one too many.
        numbers.count += u64::from(!(raw.len() as u64).is_multiple_of(width));
        numbers
    }
}

/// Bytes of an element; `None` for types that are not read.
fn width(kind: i64) -> Option<u64> {
    Some(match kind {
        FLOAT | 6 => 4,
        2 | 3 | 9 => 1,
        FLOAT16 => 2,
        7 | DOUBLE => 8,
        _ => return None,
    })
}

impl ExternalTensor {
    /// Looks at the numbers in the bytes of the file that holds them.
    ///
    /// # Errors
    /// They are not there, or no numbers.
    pub fn check(&self, file: &[u8]) -> Result<(), OnnxError> {
        let part = |at: u64| usize::try_from(at).ok();
        let range = part(self.offset).zip(part(self.end()));
        let raw = range.and_then(|(start, end)| file.get(start..end)).ok_or_else(not_whole)?;
        let width = width(self.kind).ok_or_else(not_whole)?;
        if Numbers::of_bytes(raw, self.kind, width).nan { Err(no_numbers(&self.name)) } else { Ok(()) }
    }
}

/// Where the numbers lie: in a file of the same folder or below it, without a way out.
fn external<'a>(name: &str, entries: &[(&'a str, &'a str)], wanted: u64, kind: i64) -> Result<External<'a>, OnnxError> {
    let entry = |key: &str| entries.iter().find(|(found, _)| *found == key).map(|(_, value)| *value);
    let location = entry("location").unwrap_or_default();
    if location.len() > MAX_NAME {
        return Err(OnnxError::new(
            format!("{name} lies in a file whose name has {} bytes; expected {MAX_NAME} or fewer", location.len()),
            "save it again with its weights inside (onnx.save without external data)",
        ));
    }
    let path = std::path::Path::new(location);
    let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if location.is_empty() || !inside || location.contains(['\\', ':']) {
        return Err(OnnxError::new(
            format!("{name} lies in another file, {:?}, which is not beside the model", short(location)),
            "put the weights beside the model and export it again, or save it with them inside (onnx.save without external data)",
        ));
    }
    let number = |key: &str| entry(key).and_then(|value| value.parse::<u64>().ok());
    let (Some(offset), Some(length)) = (number("offset"), number("length")) else {
        return Err(OnnxError::new(
            format!("{name} lies in {:?}, but `offset` and `length` do not say where", short(location)),
            "save it again with its weights inside (onnx.save without external data)",
        ));
    };
    if width(kind).and_then(|width| width.checked_mul(wanted)) != Some(length) {
        return Err(OnnxError::new(
            format!("{name} should hold {wanted} numbers, has {length} bytes of {:?}", short(location)),
            "the file is damaged: export it again",
        ));
    }
    offset.checked_add(length).ok_or_else(not_whole)?;
    Ok(External { location, tensor: ExternalTensor { name: name.to_owned(), offset, length, kind } })
}

/// A `ValueInfoProto` of a tensor.
fn info(bytes: &[u8]) -> Result<Info<'_>, OnnxError> {
    let mut info = Info::default();
    each(bytes, |number, content| {
        match (number, content) {
            (1, _) => info.name = name(content)?,
            (2, Content::Bytes(kind)) => each(kind, |number, content| match (number, content) {
                (1, Content::Bytes(tensor)) => each(tensor, |number, content| {
                    match (number, content) {
                        (1, _) => info.kind = content.int().unwrap_or_default(),
                        (2, Content::Bytes(shape)) => info.dims = Some(dims(shape)?),
                        _ => {}
                    }
                    Ok(())
                }),
                _ => Ok(()),
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(info)
}

/// A `TensorShapeProto`.
fn dims(bytes: &[u8]) -> Result<Vec<Dim<'_>>, OnnxError> {
    let mut dims = Vec::new();
    each(bytes, |number, content| {
        let (1, Content::Bytes(dim)) = (number, content) else { return Ok(()) };
        let mut found = Dim::Open("?");
        each(dim, |number, content| {
            match (number, content.int()) {
                (1, Some(size)) if size >= 0 => found = Dim::Fixed(size as u64),
                (2, None) => found = Dim::Open(content.text().filter(|name| !name.is_empty()).unwrap_or("?")),
                _ => {}
            }
            Ok(())
        })?;
        add(&mut dims, found, MAX_RANK, "dimensions of one value")
    })?;
    Ok(dims)
}
