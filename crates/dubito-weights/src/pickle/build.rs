//! What a pickle can build: the few globals that a file of weights may name, and what calling them gives.

use super::{Fault, Id, MAX_NODES, Machine, broken};
use crate::array::Element;

/// The most arguments of a call.
const MAX_ARGUMENTS: usize = 16;

/// What a pickle can build.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    None,
    /// A number or a truth value; 0 where it is a float.
    Int(i128),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Known),
    /// A class of somebody's module: allowed only where its instances are kept as [`Node::Module`].
    Unknown(String),
    Storage(Storage),
    Tensor(View),
    /// A network, with its attributes once they are known.
    Module(Option<Id>),
    /// Something that is no weight: a float, a NumPy number, a device.
    Inert,
}

/// Where a tensor's elements lie.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    pub key: String,
    pub element: Element,
    /// Elements, as the pickle says.
    pub count: u64,
    /// The element it begins at (legacy views).
    pub begin: u64,
}

/// A tensor: a strided view of a storage, in elements.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub storage: Id,
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

/// The globals that a file of weights may name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Known {
    Dict,
    RebuildTensor,
    RebuildParameter,
    RebuildFromType,
    Size,
    /// A typed storage; `None`: of a type that is not read.
    Storage(Option<Element>),
    /// A class of a network.
    Module,
    /// Harmless and not needed: its instances are dropped.
    Inert,
}

/// What a global is to us.
pub(super) fn known(module: &str, name: &str) -> Option<Known> {
    Some(match (module, name) {
        ("collections", "OrderedDict" | "defaultdict" | "Counter") | ("builtins" | "__builtin__", "dict") => {
            Known::Dict
        }
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Known::RebuildTensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
        | ("torch.nn.parameter", "Parameter" | "Buffer") => Known::RebuildParameter,
        ("torch._tensor", "_rebuild_from_type_v2") => Known::RebuildFromType,
        ("torch", "Size") => Known::Size,
        ("torch" | "torch.cuda" | "torch.storage", storage) if storage.ends_with("Storage") => {
            Known::Storage(match storage {
                "DoubleStorage" => Some(Element::F64),
                "FloatStorage" => Some(Element::F32),
                "HalfStorage" => Some(Element::F16),
                "BFloat16Storage" => Some(Element::Bf16),
                "LongStorage" => Some(Element::I64),
                "IntStorage" => Some(Element::I32),
                "ShortStorage" => Some(Element::I16),
                "CharStorage" => Some(Element::I8),
                "ByteStorage" => Some(Element::U8),
                "BoolStorage" => Some(Element::Bool),
                _ => None,
            })
        }
        // Whole networks: their classes are not run, only their attributes kept.
        (module, _)
            if ["torch.nn.modules.", "torchvision.models.", "torchvision.ops.", "timm.", "efficientnet_pytorch."]
                .iter()
                .any(|part| module.starts_with(part)) =>
        {
            Known::Module
        }
        ("torch", "device" | "Tensor" | "FloatTensor" | "float32" | "float64" | "float16" | "bfloat16" | "int64")
        | ("torch.nn.backends.thnn", "_get_thnn_function_backend")
        | ("torch.serialization", "_get_layout")
        | ("numpy", "dtype" | "ndarray" | "float64" | "float32" | "int64")
        | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct")
        | ("argparse", "Namespace")
        | ("_codecs", "encode")
        | (
            "builtins" | "__builtin__",
            "set" | "frozenset" | "list" | "tuple" | "int" | "float" | "bool" | "str" | "bytes" | "bytearray"
            | "object" | "slice" | "range" | "complex",
        ) => Known::Inert,
        _ => return None,
    })
}

impl Machine<'_> {
    pub(super) fn call(&mut self, callee: Id, arguments: Id) -> Result<Id, Fault> {
        let Node::Tuple(arguments) = self.node(arguments) else { return broken("arguments that are no tuple") };
        if arguments.len() > MAX_ARGUMENTS {
            return broken(format!("a call with {} arguments", arguments.len()));
        }
        let arguments = arguments.clone();
        self.make(callee, &arguments)
    }

    /// What calling `callee` would give, for the few that are known.
    pub(super) fn make(&mut self, callee: Id, arguments: &[Id]) -> Result<Id, Fault> {
        let known = match self.node(callee) {
            Node::Global(known) => *known,
            Node::Unknown(name) => return Err(Fault::Refused(name.clone())),
            // A function or class among what is dropped, such as what a NumPy dtype gives.
            Node::Inert => Known::Inert,
            _ => return broken("its pickle calls what is no function"),
        };
        match known {
            Known::Dict => {
                let given = arguments.first().map(|id| self.node(*id));
                let items = match given {
                    Some(Node::List(items)) => items.clone(),
                    _ => Vec::new(),
                };
                self.copied += items.len();
                if self.copied > MAX_NODES {
                    return broken("dictionaries made of lists that are made of lists");
                }
                let pair = |id: &Id| match self.node(*id) {
                    Node::List(pair) | Node::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
                    _ => broken("a dictionary made of what are no pairs"),
                };
                let pairs = items.iter().map(pair).collect::<Result<_, _>>()?;
                self.add(Node::Dict(pairs))
            }
            Known::RebuildTensor => {
                let [storage, offset, shape, strides, ..] = *arguments else {
                    return broken("a tensor with fewer than four arguments");
                };
                if !matches!(self.node(storage), Node::Storage(_)) {
                    return broken("a tensor without a storage");
                }
                let view = View {
                    storage,
                    offset: self.number(offset)?,
                    shape: self.numbers(shape)?,
                    strides: self.numbers(strides)?,
                };
                self.add(Node::Tensor(view))
            }
            Known::RebuildParameter => match arguments.first() {
                Some(id) if matches!(self.node(*id), Node::Tensor(_)) => Ok(*id),
                _ => broken("a parameter without a tensor"),
            },
            Known::RebuildFromType => match *arguments {
                [function, _, given, ..]
                    if matches!(self.node(function), Node::Global(Known::RebuildTensor | Known::RebuildParameter)) =>
                {
                    self.call(function, given)
                }
                _ => broken("a tensor of a type of its own"),
            },
            Known::Size => match arguments.first() {
                Some(id) => Ok(*id),
                None => self.add(Node::Tuple(Vec::new())),
            },
            Known::Storage(_) => broken("a storage inside the pickle; expected it beside"),
            Known::Module => self.add(Node::Module(None)),
            Known::Inert => self.add(Node::Inert),
        }
    }

    fn number(&self, id: Id) -> Result<u64, Fault> {
        match self.node(id) {
            Node::Int(value) => u64::try_from(*value).or_else(|_| broken(format!("{value} as a size or an offset"))),
            _ => broken("a size or an offset that is no number"),
        }
    }

    fn numbers(&self, id: Id) -> Result<Vec<u64>, Fault> {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) if items.len() <= MAX_ARGUMENTS => {
                items.iter().map(|id| self.number(*id)).collect()
            }
            _ => broken("a tensor's shape that is no tuple of at most 16 numbers"),
        }
    }

    /// `('storage', type, key, place, elements[, view])` or, in legacy files, `('module', class, file, source)`.
    pub(super) fn persistent(&mut self, id: Id) -> Result<(), Fault> {
        let Node::Tuple(parts) = self.node(id) else { return broken("a persistent id that is no tuple") };
        if parts.len() > MAX_ARGUMENTS {
            return broken("a persistent id of many parts");
        }
        let parts = parts.clone();
        let kind = parts.first().map(|id| self.node(*id));
        match (kind, parts.as_slice()) {
            (Some(Node::Text(kind)), [_, class, ..]) if kind == "module" => {
                // Later the class is named without its source.
                self.suspects.remove(class);
                if let Some(class) = self.nodes.get_mut(*class as usize) {
                    *class = Node::Global(Known::Module);
                }
                self.push(Node::Global(Known::Module))
            }
            (Some(Node::Text(kind)), [_, class, key, _, count, view @ ..]) if kind == "storage" => {
                let element = match self.node(*class) {
                    Node::Global(Known::Storage(Some(element))) => *element,
                    Node::Global(Known::Storage(None)) => {
                        return broken("holds tensors of a type that is not read (expected floats or integers)");
                    }
                    Node::Unknown(name) => return Err(Fault::Refused(name.clone())),
                    _ => return broken("a storage without a type"),
                };
                let key = match self.node(*key) {
                    Node::Text(key) if key.len() <= 256 => key.clone(),
                    Node::Int(key) => key.to_string(),
                    _ => return broken("a storage without a key"),
                };
                let begin = match view.first().map(|id| self.node(*id)) {
                    Some(Node::Tuple(view)) if view.len() == 3 => self.number(view[1])?,
                    _ => 0,
                };
                let count = self.number(*count)?;
                self.push(Node::Storage(Storage { key, element, count, begin }))
            }
            _ => broken("a persistent id of an unknown kind"),
        }
    }
}
