//! A foreign graph, judged before anything of it is run: sizes are inferred as far as they can be, in the order in which the
//! nodes depend on each other.
//!
//! What can't be inferred (sizes that depend on values) is passed over: a limit of memory and time has to stand behind this.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::meaning::{Meaning, meaning};
use super::model::{Dim, FLOAT, Graph, Info, MAX_RANK, Model, Node, Tensor, short};
use super::{ExternalFile, Judged, Layout, OnnxError, OnnxInput, OnnxOutput};

/// Numbers in one value: 256 MiB.
const MAX_NUMBERS: u64 = 1 << 26;
/// Multiplications for one image; the largest vision transformers take a quarter of it.
const MAX_WORK: f64 = 4e12;
/// Largest padding, stride, dilation, kernel.
const MAX_REACH: i64 = 1 << 16;
/// Rounds of a loop, and of loops in each other.
const MAX_ROUNDS: u64 = 10_000;
/// Pictures in a batch that the file fixes.
const MAX_BATCH: u64 = 256;
/// Bytes of an entry of metadata; longer ones name no two classes.
const MAX_METADATA: usize = 4096;
/// Bytes of all that is said of a file.
const MAX_SAID: usize = 1 << 20;
/// Numbers of a value that are followed through the graph.
const FEW: usize = 64;

type Shape = Vec<Option<u64>>;
/// Where a slice starts and how many it takes, where it is known.
type Taken = Option<(i64, u64)>;

/// What is known of a value.
#[derive(Debug, Clone, Default)]
pub(super) struct Fact {
    /// Its sizes, as far as they are known.
    pub shape: Option<Shape>,
    /// Its integers, where they are known and few.
    pub ints: Option<Vec<i64>>,
    /// Its numbers, where they are constants and few.
    pub floats: Option<Vec<f64>>,
    /// Whether it depends on no input.
    pub constant: bool,
    pub meaning: Meaning,
}

impl Fact {
    pub(super) fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }

    /// Whether it holds one number for each picture, if that is known.
    pub(super) fn is_one_number(&self) -> Option<bool> {
        Some(product(self.shape.as_ref()?.get(1..).unwrap_or_default())? == 1)
    }

    /// The number of its numbers, if all sizes are known.
    fn count(&self) -> Option<u64> {
        product(self.shape.as_ref()?)
    }
}

fn product(shape: &[Option<u64>]) -> Option<u64> {
    shape.iter().try_fold(1_u64, |all, size| Some(all.saturating_mul((*size)?)))
}

/// The product of the sizes that are known, the least that a value can hold (but for a size of 0).
fn least(shape: &[Option<u64>]) -> u64 {
    shape.iter().flatten().fold(1, |all, size| all.saturating_mul(*size))
}

/// Judges a file whose open sizes of pictures are `size`, and says what it takes and gives.
///
/// # Errors
/// The file is no whole model, or asks for too much: which node and attribute.
pub fn judge(bytes: &[u8], size: Option<u64>) -> Result<Judged, OnnxError> {
    let model = Model::read(bytes)?;
    let graph = &model.graph;
    let weights: HashSet<&str> = graph.weights.iter().map(|weight| weight.name).collect();
    let inputs: Vec<&Info<'_>> = graph.inputs.iter().filter(|input| !weights.contains(input.name)).collect();
    if graph.outputs.is_empty() {
        return Err(OnnxError::new("has no output", "export it again with torch.onnx.export"));
    }
    let mut judge = Judge { scopes: Vec::new(), work: 0.0, rounds: 1, size };
    judge.graph(graph, &inputs, true)?;
    let scope = judge.scopes.pop().unwrap_or_default();
    let outputs = graph.outputs.iter().map(|output| {
        let fact = scope.get(output.name).cloned().unwrap_or_default();
        OnnxOutput { name: output.name.to_owned(), shape: fact.shape, meaning: fact.meaning.into() }
    });
    let dims = |input: &Info<'_>| {
        let dims = input.dims.as_deref().unwrap_or_default();
        let size = |dim: &Dim<'_>| match dim {
            Dim::Fixed(size) => Ok(*size),
            Dim::Open(name) => Err(short(name)),
        };
        OnnxInput { name: input.name.to_owned(), kind: input.kind, dims: dims.iter().map(size).collect() }
    };
    let mut tensors = Vec::new();
    gather(graph, &mut tensors);
    let mut external: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for found in tensors.into_iter().filter_map(|tensor| tensor.external.as_ref()) {
        external.entry(found.location).or_default().push(found.tensor.clone());
    }
    let file = |(location, tensors): (&str, _)| ExternalFile { location: location.to_owned(), tensors };
    let judged = Judged {
        outputs: outputs.collect(),
        inputs: inputs.into_iter().map(dims).collect(),
        metadata: model
            .metadata
            .iter()
            .filter(|(_, value)| value.len() <= MAX_METADATA)
            .map(|(key, value)| (short(key), (*value).to_owned()))
            .collect(),
        external: external.into_iter().map(file).collect(),
    };
    let said = serde_json::to_vec(&judged).map_or(usize::MAX, |json| json.len());
    if said > MAX_SAID {
        let hint = "no detector of faces needs that: export it again without its metadata (metadata_props)";
        let what = "has names of inputs and outputs, metadata and places of weights";
        return Err(OnnxError::new(format!("{what} of {said} bytes; at most {MAX_SAID} are read"), hint));
    }
    Ok(judged)
}

/// The tensors of a graph and of those within it.
fn gather<'g, 'a>(graph: &'g Graph<'a>, tensors: &mut Vec<&'g Tensor<'a>>) {
    tensors.extend(&graph.weights);
    for attribute in graph.nodes.iter().flat_map(|node| &node.attributes) {
        tensors.extend(&attribute.tensor);
        attribute.graph.iter().for_each(|graph| gather(graph, tensors));
    }
}

struct Judge<'a> {
    /// What is known of the values of each graph, the innermost last.
    scopes: Vec<HashMap<&'a str, Fact>>,
    /// Multiplications so far.
    work: f64,
    /// How often the graph that is judged is run.
    rounds: u64,
    size: Option<u64>,
}

fn refuse(node: &Node<'_>, what: impl std::fmt::Display) -> OnnxError {
    let hint = "no detector of faces needs that: export it again, or look at where the file comes from";
    OnnxError::new(format!("{}: {what}", node.words()), hint)
}

impl<'a> Judge<'a> {
    fn find(&self, name: &str) -> Option<&Fact> {
        // An input that is left out has the empty name, whatever else has it.
        self.scopes.iter().rev().find_map(|scope| scope.get(name)).filter(|_| !name.is_empty())
    }

    fn graph(&mut self, graph: &Graph<'a>, inputs: &[&Info<'a>], is_main: bool) -> Result<(), OnnxError> {
        self.scopes.push(HashMap::new());
        for weight in &graph.weights {
            let shape = weight.dims.iter().map(|dim| u64::try_from(*dim).ok()).collect();
            let (ints, floats) = (weight.ints.clone(), weight.floats.clone());
            self.set(weight.name, Fact { shape: Some(shape), ints, floats, constant: true, ..Fact::default() });
        }
        for input in inputs {
            let shape = input.dims.as_ref().filter(|_| is_main).map(|dims| self.input_shape(dims));
            if let Some(all) = shape.as_deref().map(least) {
                let batch = shape.iter().flatten().next().copied().flatten().unwrap_or(1);
                if batch > MAX_BATCH || all > MAX_NUMBERS {
                    let what =
                        format!("its input `{}` fixes a batch of {batch} pictures ({all} numbers)", short(input.name));
                    let hint = "export it again with an open batch: dynamic_axes={\"input\": {0: \"batch\"}}";
                    return Err(OnnxError::new(
                        format!("{what}; at most {MAX_BATCH} pictures and {MAX_NUMBERS} numbers are run at once"),
                        hint,
                    ));
                }
            }
            self.set(input.name, Fact { shape, ..Fact::default() });
        }
        for index in order(graph, |name| self.find(name).is_some())? {
            self.node(&graph.nodes[index])?;
        }
        match graph.outputs.iter().find(|output| self.find(output.name).is_none()) {
            Some(output) => Err(OnnxError::new(
                format!("its output `{}` is made by no node", short(output.name)),
                "the file is damaged: export it again",
            )),
            None => Ok(()),
        }
    }

    /// The sizes of an input: a batch of one where it is open, pictures of the size that is asked for.
    fn input_shape(&self, dims: &[Dim<'_>]) -> Shape {
        let shape = dims.iter().enumerate().map(|(axis, dim)| match dim {
            Dim::Fixed(size) => Some(*size),
            Dim::Open(_) if axis == 0 => Some(1),
            Dim::Open(_) => None,
        });
        let mut shape: Shape = shape.collect();
        if shape.len() == 4 {
            let last = Layout::of(&shape) == Some(Layout::Nhwc);
            let (channels, sides) = if last { (3, [1, 2]) } else { (1, [2, 3]) };
            shape[channels] = shape[channels].or(Some(3));
            sides.into_iter().for_each(|axis| shape[axis] = shape[axis].or(self.size));
        }
        shape
    }

    fn set(&mut self, name: &'a str, fact: Fact) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name, fact);
        }
    }

    fn node(&mut self, node: &Node<'a>) -> Result<(), OnnxError> {
        attributes(node)?;
        let inputs: Vec<Option<Fact>> = node.inputs.iter().map(|name| self.find(name).cloned()).collect();
        if let Some((name, _)) = node.inputs.iter().zip(&inputs).find(|(name, fact)| fact.is_none() && !name.is_empty())
        {
            return Err(refuse(node, format!("its input `{}` is made by no node", short(name))));
        }
        let seen = Seen { node, inputs: &inputs };
        let mut shapes = match node.op {
            "Loop" | "Scan" => {
                self.repeat(node, &seen)?;
                Vec::new()
            }
            "If" => {
                self.branches(node)?;
                Vec::new()
            }
            _ => seen.shapes()?,
        };
        self.work += seen.work(shapes.first().and_then(Option::as_deref)) * self.rounds as f64;
        if self.work > MAX_WORK {
            return Err(refuse(
                node,
                format!(
                    "up to here one picture takes {:.1e} multiplications; at most {MAX_WORK:.0e} are made",
                    self.work
                ),
            ));
        }
        shapes.resize(node.outputs.len(), None);
        let constant = inputs.iter().flatten().all(|fact| fact.constant) && !matches!(node.op, "Loop" | "If" | "Scan");
        if let Some(rank) = shapes.iter().flatten().map(Vec::len).find(|rank| *rank > MAX_RANK) {
            return Err(refuse(node, format!("its output has {rank} dimensions; at most {MAX_RANK} are made")));
        }
        let meanings = meaning(node, &inputs, shapes.first().and_then(Option::as_deref));
        for (index, (name, shape)) in node.outputs.iter().zip(shapes).enumerate() {
            if let Some(count) = shape.as_deref().map(least).filter(|count| *count > MAX_NUMBERS) {
                let shape =
                    Vec::from_iter(shape.iter().flatten().map(|size| size.map_or("?".into(), |size| size.to_string())));
                return Err(refuse(
                    node,
                    format!(
                        "its output `{}` of shape [{}] has {count} numbers; at most {MAX_NUMBERS} are made",
                        short(name),
                        shape.join(", ")
                    ),
                ));
            }
            let (ints, floats) = if index == 0 { (seen.ints(shape.as_ref()), seen.floats()) } else { (None, None) };
            self.set(name, Fact { shape, ints, floats, constant, meaning: meanings.of(index) });
        }
        Ok(())
    }

    /// A loop: so many rounds of its graph, known before it runs.
    fn repeat(&mut self, node: &Node<'a>, seen: &Seen<'_, 'a>) -> Result<(), OnnxError> {
        let Some(rounds) = seen.list(0).filter(|_| node.op == "Loop").and_then(|rounds| rounds.first().copied()) else {
            return Err(refuse(node, "how many rounds it takes is known only when it runs"));
        };
        let before = self.rounds;
        self.rounds = before.saturating_mul(u64::try_from(rounds).unwrap_or(0));
        if self.rounds > MAX_ROUNDS {
            return Err(refuse(
                node,
                format!("its first input asks for {rounds} rounds; at most {MAX_ROUNDS} are made"),
            ));
        }
        self.branches(node)?;
        self.rounds = before;
        Ok(())
    }

    /// The graphs in a node's attributes.
    fn branches(&mut self, node: &Node<'a>) -> Result<(), OnnxError> {
        for graph in node.attributes.iter().filter_map(|attribute| attribute.graph.as_ref()) {
            let inputs: Vec<&Info<'a>> = graph.inputs.iter().collect();
            self.graph(graph, &inputs, false)?;
            self.scopes.pop();
        }
        Ok(())
    }
}

/// The nodes in an order in which each comes after those that it depends on. `outside` says what is there already.
fn order(graph: &Graph<'_>, outside: impl Fn(&str) -> bool) -> Result<Vec<usize>, OnnxError> {
    let weights: HashSet<&str> = graph.weights.iter().map(|weight| weight.name).collect();
    let mut maker: HashMap<&str, usize> = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for output in node.outputs.iter().filter(|name| !name.is_empty()) {
            if maker.insert(output, index).is_some() || weights.contains(output) {
                return Err(refuse(node, format!("its output `{}` is made twice", short(output))));
            }
        }
    }
    let needs: Vec<Vec<usize>> = graph
        .nodes
        .iter()
        .map(|node| {
            let mut names = Vec::new();
            named(node, &mut names);
            names.into_iter().filter_map(|name| maker.get(name).copied()).collect()
        })
        .collect();
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut followers = vec![Vec::new(); graph.nodes.len()];
    for (index, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|need| followers[*need].push(index));
    }
    let mut ready: Vec<usize> = (0..waiting.len()).filter(|index| waiting[*index] == 0).collect();
    let mut done = 0;
    while let Some(&index) = ready.get(done) {
        done += 1;
        for &follower in &followers[index] {
            waiting[follower] -= 1;
            if waiting[follower] == 0 {
                ready.push(follower);
            }
        }
    }
    let lacking = |node: &Node<'_>| {
        let known = |name: &&str| name.is_empty() || maker.contains_key(name) || outside(name);
        node.inputs.iter().find(|name| !known(name)).map(|name| short(name))
    };
    match (0..waiting.len()).find(|index| waiting[*index] > 0).map(|index| &graph.nodes[index]) {
        Some(node) => {
            Err(refuse(node, "it needs its own output, through other nodes or at once: the graph is a circle"))
        }
        None => match graph.nodes.iter().find_map(|node| Some((node, lacking(node)?))) {
            Some((node, name)) => Err(refuse(node, format!("its input `{name}` is made by no node"))),
            None => Ok(ready),
        },
    }
}

/// The values that a node needs, those of the graphs within it among them.
fn named<'a>(node: &Node<'a>, names: &mut Vec<&'a str>) {
    names.extend(&node.inputs);
    for graph in node.attributes.iter().filter_map(|attribute| attribute.graph.as_ref()) {
        names.extend(graph.outputs.iter().map(|output| output.name));
        graph.nodes.iter().for_each(|node| named(node, names));
    }
}

/// Refuses attributes that no layer has.
fn attributes(node: &Node<'_>) -> Result<(), OnnxError> {
    for attribute in &node.attributes {
        if attribute.floats.iter().chain(&attribute.float).any(|value| value.is_nan()) {
            return Err(refuse(node, format!("`{}` is no number (NaN)", short(attribute.name))));
        }
        let (least, most) = match attribute.name {
            "pads" | "output_padding" if node.op == "Pad" => (-MAX_REACH, MAX_REACH),
            "pads" | "output_padding" => (0, MAX_REACH),
            "strides" | "kernel_shape" | "dilations" | "group" | "blocksize" | "num_outputs" | "hidden_size"
            | "num_heads" => (1, MAX_REACH),
            "output_shape" => (0, MAX_REACH),
            _ => continue,
        };
        let wrong = |value: &i64| !(least..=most).contains(value);
        if let Some(value) = attribute.ints.iter().chain(&attribute.int).find(|value| wrong(value)) {
            return Err(refuse(node, format!("`{}` is {value}; expected {least} to {most}", short(attribute.name))));
        }
    }
    Ok(())
}

/// A node with what is known of its inputs.
struct Seen<'n, 'a> {
    node: &'n Node<'a>,
    inputs: &'n [Option<Fact>],
}

impl Seen<'_, '_> {
    fn input(&self, index: usize) -> Option<&Fact> {
        self.inputs.get(index)?.as_ref()
    }

    fn shape(&self, index: usize) -> Option<&Shape> {
        self.input(index)?.shape.as_ref()
    }

    /// The integers of an input.
    fn list(&self, index: usize) -> Option<&[i64]> {
        self.input(index)?.ints.as_deref()
    }

    /// The integers of an attribute, or of an input where newer versions have them.
    fn either(&self, name: &str, index: usize) -> Option<&[i64]> {
        self.node.ints(name).or_else(|| self.list(index))
    }

    fn at_most(&self, what: &str, count: u64) -> Result<(), OnnxError> {
        if count <= MAX_NUMBERS {
            return Ok(());
        }
        Err(refuse(self.node, format!("{what} ask for {count} numbers; at most {MAX_NUMBERS} are made")))
    }

    /// Shapes of the outputs, as far as they are known.
    fn shapes(&self) -> Result<Vec<Option<Shape>>, OnnxError> {
        let node = self.node;
        let x = self.shape(0);
        let one = match node.op {
            "Conv" | "ConvInteger" => self.conv(),
            "ConvTranspose" => self.conv_transpose(),
            "MaxPool" | "AveragePool" => self.pool(),
            "GlobalAveragePool" | "GlobalMaxPool" => x.map(|x| {
                let kept = x.iter().take(2).copied();
                kept.chain(x.iter().skip(2).map(|_| Some(1))).collect()
            }),
            "Gemm" => self.gemm(),
            "MatMul" | "MatMulInteger" => self.matmul(),
            "Flatten" => x.map(|x| {
                let (head, tail) = x.split_at(axis(node.int("axis", 1), x.len()).unwrap_or(1).min(x.len()));
                vec![product(head), product(tail)]
            }),
            "Reshape" => self.reshape(),
            "Transpose" => x.map(|x| match node.ints("perm") {
                Some(perm) => {
                    perm.iter().map(|axis| usize::try_from(*axis).ok().and_then(|axis| *x.get(axis)?)).collect()
                }
                None => x.iter().rev().copied().collect(),
            }),
            "Squeeze" => self.squeeze(),
            "Unsqueeze" => self.unsqueeze(),
            "Concat" => self.concat(),
            "Split" => return Ok(self.split()),
            "Slice" => self.slice(),
            "Gather" => x.zip(self.shape(1)).and_then(|(x, indices)| {
                let axis = axis(node.int("axis", 0), x.len())?;
                Some([&x[..axis], indices, &x[axis + 1..]].concat())
            }),
            "GatherElements" => self.shape(1).cloned(),
            "Shape" => x.map(|x| vec![Some(x.len() as u64)]),
            "Size" => Some(Vec::new()),
            "Constant" => self.constant(),
            "ConstantOfShape" => self.sizes(0, "its sizes")?,
            "Expand" => {
                let sizes = self.sizes(1, "its sizes")?;
                sizes.map(|sizes| x.map_or(sizes.clone(), |x| broadcast(x, &sizes)))
            }
            "Tile" => self.tile()?,
            "Pad" => self.pad()?,
            "Resize" | "Upsample" => self.resize()?,
            "Range" => self.range()?,
            "OneHot" => {
                let depth = self.list(1).and_then(|depth| u64::try_from(*depth.first()?).ok());
                self.at_most("its indices and depth", depth.unwrap_or(1).saturating_mul(x.map_or(1, |x| least(x))))?;
                None
            }
            "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
            | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => self.reduce(),
            "ArgMax" | "ArgMin" => {
                x.and_then(|x| reduced(x, Some(&[node.int("axis", 0)]), node.int("keepdims", 1) != 0))
            }
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "Min" | "Max" | "And" | "Or" | "Xor" | "Equal"
            | "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual" | "Where" | "Mean" | "Sum" | "PRelu" => {
                let shapes: Option<Vec<&Shape>> = (0..self.inputs.len()).map(|index| self.shape(index)).collect();
                shapes.and_then(|shapes| shapes.into_iter().cloned().reduce(|a, b| broadcast(&a, &b)))
            }
            op if KEEPS_SHAPE.contains(&op) => x.cloned(),
            _ => None,
        };
        Ok(vec![one])
    }

    /// Sizes along the sides of a picture that a window moves over.
    fn windows(&self, x: &[Option<u64>], kernel: &[Option<u64>]) -> Shape {
        let node = self.node;
        let get = |name: &str, index: usize, default: i64| {
            node.ints(name).and_then(|values| values.get(index).copied()).unwrap_or(default).max(0) as u64
        };
        let auto = node.attribute("auto_pad").and_then(|attribute| attribute.text).unwrap_or(b"NOTSET");
        let sides = x.len();
        let side = |(index, size): (usize, &Option<u64>)| {
            let (size, kernel) = ((*size)?, (*kernel.get(index)?)?);
            let stride = get("strides", index, 1).max(1);
            if auto.starts_with(b"SAME") {
                return Some(size.div_ceil(stride));
            }
            let pads = get("pads", index, 0) + get("pads", index + sides, 0);
            let reach = get("dilations", index, 1).saturating_mul(kernel.saturating_sub(1)).saturating_add(1);
            let moves = size.saturating_add(pads).checked_sub(reach)?;
            let whole = if node.int("ceil_mode", 0) != 0 { moves.div_ceil(stride) } else { moves / stride };
            Some(whole.saturating_add(1))
        };
        x.iter().enumerate().map(side).collect()
    }

    fn conv(&self) -> Option<Shape> {
        let (x, w) = (self.shape(0)?, self.shape(1)?);
        if x.len() < 3 || w.len() != x.len() {
            return None;
        }
        Some([&[x[0], w[0]], self.windows(&x[2..], &w[2..]).as_slice()].concat())
    }

    fn conv_transpose(&self) -> Option<Shape> {
        let (x, w) = (self.shape(0)?, self.shape(1)?);
        if x.len() < 3 || w.len() != x.len() {
            return None;
        }
        let get = |name: &str, index: usize, default: u64| {
            let given = self.node.ints(name).and_then(|values| values.get(index).copied());
            given.map_or(default, |value| value.max(0) as u64)
        };
        let sides = x.len() - 2;
        let side = |index: usize| {
            if let Some(sizes) = self.node.ints("output_shape") {
                return sizes.get(index).and_then(|size| u64::try_from(*size).ok());
            }
            let (size, kernel) = (x[index + 2]?, w[index + 2]?);
            let reach = get("dilations", index, 1).saturating_mul(kernel.saturating_sub(1)).saturating_add(1);
            let whole = get("strides", index, 1).saturating_mul(size.saturating_sub(1)).saturating_add(reach);
            whole
                .saturating_add(get("output_padding", index, 0))
                .checked_sub(get("pads", index, 0) + get("pads", index + sides, 0))
        };
        let channels = w[1].map(|channels| channels.saturating_mul(self.node.int("group", 1).max(1) as u64));
        Some([x[0], channels].into_iter().chain((0..sides).map(side)).collect())
    }

    fn pool(&self) -> Option<Shape> {
        let (x, kernel) = (self.shape(0)?, self.node.ints("kernel_shape")?);
        let kernel: Shape = kernel.iter().map(|size| u64::try_from(*size).ok()).collect();
        (x.len() >= 3).then(|| [&x[..2], self.windows(&x[2..], &kernel).as_slice()].concat())
    }

    fn gemm(&self) -> Option<Shape> {
        let pick = |input: usize, turned: bool, index: usize| {
            *self.shape(input)?.get(if turned { 1 - index } else { index })?
        };
        let turned = |name: &str| self.node.int(name, 0) != 0;
        Some(vec![pick(0, turned("transA"), 0), pick(1, turned("transB"), 1)])
    }

    fn matmul(&self) -> Option<Shape> {
        let (a, b) = (self.shape(0)?, self.shape(1)?);
        match (a.as_slice(), b.as_slice()) {
            ([.., _], [_]) => Some(a[..a.len() - 1].to_vec()),
            ([_], [head @ .., _, columns]) => Some([head, &[*columns]].concat()),
            ([left @ .., rows, _], [right @ .., _, columns]) => {
                Some([broadcast(left, right).as_slice(), &[*rows, *columns]].concat())
            }
            _ => None,
        }
    }

    fn reshape(&self) -> Option<Shape> {
        let (sizes, x) = (self.either("shape", 1)?, self.input(0)?);
        let size = |(axis, size): (usize, &i64)| match size {
            0 if self.node.int("allowzero", 0) == 0 => *x.shape.as_ref()?.get(axis)?,
            size => u64::try_from(*size).ok(),
        };
        let mut shape: Shape = sizes.iter().enumerate().map(size).collect();
        if let Some(open) = sizes.iter().position(|size| *size == -1) {
            shape[open] = Some(1);
            let others = product(&shape).filter(|others| *others > 0);
            shape[open] = x.count().zip(others).map(|(count, others)| count / others);
        }
        Some(shape)
    }

    fn squeeze(&self) -> Option<Shape> {
        let x = self.shape(0)?;
        let axes = self.either("axes", 1);
        if axes.is_none() && self.inputs.len() > 1 {
            return None;
        }
        let gone: Option<Vec<usize>> = axes.map(|axes| axes.iter().filter_map(|a| axis(*a, x.len())).collect());
        let stays = |index: usize, size: Option<u64>| match &gone {
            Some(gone) => Some(!gone.contains(&index)),
            None => Some(size? != 1),
        };
        let mut shape = Vec::new();
        for (index, size) in x.iter().enumerate() {
            if stays(index, *size)? {
                shape.push(*size);
            }
        }
        Some(shape)
    }

    fn unsqueeze(&self) -> Option<Shape> {
        let (x, axes) = (self.shape(0)?, self.either("axes", 1)?);
        let rank = x.len() + axes.len();
        if rank > MAX_RANK {
            // The shape says that it is too much; its sizes are never looked at.
            return Some(vec![None; rank]);
        }
        let new: Vec<usize> = axes.iter().filter_map(|a| axis(*a, rank)).collect();
        let mut old = x.iter();
        Some(
            (0..rank).map(|index| if new.contains(&index) { Some(1) } else { old.next().copied().flatten() }).collect(),
        )
    }

    fn concat(&self) -> Option<Shape> {
        let shapes: Option<Vec<&Shape>> = (0..self.inputs.len()).map(|index| self.shape(index)).collect();
        let shapes = shapes?;
        let mut shape = (*shapes.first()?).clone();
        let axis = axis(self.node.int("axis", 0), shape.len())?;
        let sizes: Option<Vec<u64>> = shapes.iter().map(|shape| *shape.get(axis)?).collect();
        shape[axis] = sizes.map(|sizes| sizes.into_iter().fold(0, u64::saturating_add));
        Some(shape)
    }

    fn split(&self) -> Vec<Option<Shape>> {
        let (count, Some(x)) = (self.node.outputs.len(), self.shape(0)) else { return Vec::new() };
        let Some(axis) = axis(self.node.int("axis", 0), x.len()) else { return Vec::new() };
        let sizes = self.either("split", 1);
        let part = |index: usize| {
            let mut shape = x.clone();
            shape[axis] = match sizes {
                Some(sizes) => sizes.get(index).and_then(|size| u64::try_from(*size).ok()),
                None if self.inputs.len() > 1 => None,
                None => x[axis].map(|all| {
                    let one = all.div_ceil(count.max(1) as u64);
                    one.min(all.saturating_sub(one.saturating_mul(index as u64)))
                }),
            };
            Some(shape)
        };
        (0..count).map(part).collect()
    }

    /// The axes that a slice cuts, and what it takes of each.
    fn slices(&self) -> Option<Vec<(usize, Taken)>> {
        let x = self.shape(0)?;
        let (starts, ends) = (self.either("starts", 1)?, self.either("ends", 2)?);
        let axes = self.either("axes", 3);
        let steps = self.list(4);
        if (axes.is_none() && self.inputs.len() > 3 && self.inputs[3].is_some())
            || (steps.is_none() && self.inputs.len() > 4)
        {
            return None;
        }
        let one = |index: usize| {
            let axis = axis(axes.map_or(Some(index as i64), |axes| axes.get(index).copied())?, x.len())?;
            let range = || {
                let size = i64::try_from(x[axis]?).ok()?;
                let step = steps.map_or(Some(1), |steps| steps.get(index).copied()).filter(|step| *step > 0)?;
                let place = |at: i64| if at < 0 { (at.saturating_add(size)).max(0) } else { at.min(size) };
                let (start, end) = (place(*starts.get(index)?), place(*ends.get(index)?));
                Some((start, ((end - start).max(0) as u64).div_ceil(step as u64)))
            };
            Some((axis, range()))
        };
        (0..starts.len()).map(one).collect()
    }

    fn slice(&self) -> Option<Shape> {
        let mut shape = self.shape(0)?.clone();
        for (axis, range) in self.slices()? {
            shape[axis] = range.map(|(_, count)| count);
        }
        Some(shape)
    }

    fn constant(&self) -> Option<Shape> {
        let attribute = self.node.attributes.first()?;
        match attribute.name {
            "value" => {
                let dims = &attribute.tensor.as_ref()?.dims;
                Some(dims.iter().map(|dim| u64::try_from(*dim).ok()).collect())
            }
            "value_int" | "value_float" => Some(Vec::new()),
            "value_ints" => Some(vec![Some(attribute.ints.len() as u64)]),
            "value_floats" => Some(vec![Some(attribute.floats.len() as u64)]),
            _ => None,
        }
    }

    /// The sizes that an input gives.
    fn sizes(&self, index: usize, what: &str) -> Result<Option<Shape>, OnnxError> {
        let Some(sizes) = self.list(index) else { return Ok(None) };
        let shape: Shape = sizes.iter().map(|size| u64::try_from(*size).ok()).collect();
        self.at_most(&format!("{what} {sizes:?}"), least(&shape))?;
        Ok(Some(shape))
    }

    fn tile(&self) -> Result<Option<Shape>, OnnxError> {
        let Some(repeats) = self.list(1) else { return Ok(None) };
        let repeats_of = |index: usize| repeats.get(index).map_or(1, |n| u64::try_from(*n).unwrap_or(0));
        let all = (0..repeats.len()).fold(1_u64, |all, index| all.saturating_mul(repeats_of(index)));
        let count = all.saturating_mul(self.shape(0).map_or(1, |x| least(x)));
        self.at_most(&format!("its repeats {repeats:?}"), count)?;
        let shape = |x: &Shape| {
            x.iter().enumerate().map(|(index, size)| Some((*size)?.saturating_mul(repeats_of(index)))).collect()
        };
        Ok(self.shape(0).map(shape))
    }

    fn pad(&self) -> Result<Option<Shape>, OnnxError> {
        let Some(pads) = self.either("pads", 1).or_else(|| self.node.ints("paddings")) else { return Ok(None) };
        if let Some(wide) = pads.iter().find(|pad| pad.unsigned_abs() > MAX_REACH as u64) {
            return Err(refuse(self.node, format!("its pads hold {wide}; expected {} to {MAX_REACH}", -MAX_REACH)));
        }
        let Some(x) = self.shape(0) else { return Ok(None) };
        let given: Vec<usize> = match self.list(3) {
            Some(axes) => axes.iter().filter_map(|a| axis(*a, x.len())).collect(),
            None => (0..x.len()).collect(),
        };
        let mut shape = x.clone();
        for (index, axis) in given.iter().enumerate() {
            let (before, after) = (pads.get(index), pads.get(index + given.len()));
            let both = before.copied().unwrap_or(0) + after.copied().unwrap_or(0);
            shape[*axis] = shape[*axis].and_then(|size| size.checked_add_signed(both));
        }
        Ok(Some(shape))
    }

    fn resize(&self) -> Result<Option<Shape>, OnnxError> {
        let x = self.shape(0);
        let axes = self.node.ints("axes");
        if let Some(sizes) = self.list(3) {
            self.at_most(
                &format!("its sizes {sizes:?}"),
                sizes.iter().fold(1_u64, |all, n| all.saturating_mul(u64::try_from(*n).unwrap_or(0))),
            )?;
            return Ok(axes.is_none().then(|| sizes.iter().map(|size| u64::try_from(*size).ok()).collect()));
        }
        let scales: Option<Vec<f64>> = match self.node.attribute("scales") {
            Some(attribute) => Some(attribute.floats.iter().map(|v| f64::from(*v)).collect()),
            None => [2, 1]
                .into_iter()
                .find_map(|index| self.input(index)?.floats.clone().filter(|scales| !scales.is_empty())),
        };
        let Some(scales) = scales else { return Ok(None) };
        if let Some(wrong) = scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
            return Err(refuse(self.node, format!("its scales hold {wrong}; expected numbers above 0")));
        }
        let all = scales.iter().product::<f64>() * x.map_or(1, |x| least(x)) as f64;
        if all > MAX_NUMBERS as f64 {
            return Err(refuse(
                self.node,
                format!("its scales {scales:?} ask for {all:.1e} numbers; at most {MAX_NUMBERS} are made"),
            ));
        }
        let size = |(size, scale): (&Option<u64>, &f64)| Some(((*size)? as f64 * scale).floor() as u64);
        Ok(x.filter(|x| x.len() == scales.len() && axes.is_none()).map(|x| x.iter().zip(&scales).map(size).collect()))
    }

    fn range(&self) -> Result<Option<Shape>, OnnxError> {
        let value = |index: usize| {
            let fact = self.input(index)?;
            let float = || fact.floats.as_ref()?.first().copied();
            fact.ints.as_ref().and_then(|ints| ints.first()).map(|value| *value as f64).or_else(float)
        };
        let (Some(start), Some(end), Some(step)) = (value(0), value(1), value(2)) else { return Ok(None) };
        let count = ((end - start) / step).ceil().max(0.0);
        if count > MAX_NUMBERS as f64 {
            return Err(refuse(
                self.node,
                format!("from {start} to {end} by {step} are {count:.1e} numbers; at most {MAX_NUMBERS} are made"),
            ));
        }
        Ok(Some(vec![Some(count as u64)]))
    }

    fn reduce(&self) -> Option<Shape> {
        let axes = self.either("axes", 1);
        if axes.is_none() && self.inputs.len() > 1 {
            return None;
        }
        reduced(self.shape(0)?, axes, self.node.int("keepdims", 1) != 0)
    }

    /// The integers of the first output, where they are known: arithmetic with sizes.
    fn ints(&self, shape: Option<&Shape>) -> Option<Vec<i64>> {
        let node = self.node;
        let found = match node.op {
            "Constant" => {
                let attribute = node.attributes.first()?;
                match attribute.name {
                    "value" => attribute.tensor.as_ref()?.ints.clone()?,
                    "value_int" => vec![attribute.int?],
                    "value_ints" => attribute.ints.clone(),
                    _ => return None,
                }
            }
            "Shape" => {
                let x = self.shape(0)?;
                let place =
                    |at: i64| (if at < 0 { (at + x.len() as i64).max(0) } else { at.min(x.len() as i64) }) as usize;
                let (start, end) =
                    (place(node.int("start", 0).max(-64)), place(node.int("end", x.len() as i64).max(-64)));
                let sizes = x.get(start..end.max(start))?;
                sizes.iter().map(|size| i64::try_from((*size)?).ok()).collect::<Option<_>>()?
            }
            "Size" => vec![i64::try_from(self.input(0)?.count()?).ok()?],
            "Identity" | "Cast" | "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" | "Floor" | "Ceil" => {
                self.list(0)?.to_vec()
            }
            "Gather" => {
                let (x, indices) = (self.list(0)?, self.list(1)?);
                let pick = |index: &i64| x.get(axis(*index, x.len())?).copied();
                indices.iter().map(pick).collect::<Option<_>>()?
            }
            "Concat" => (0..self.inputs.len()).map(|index| self.list(index)).collect::<Option<Vec<_>>>()?.concat(),
            "Slice" => {
                let [(0, Some((start, count)))] = self.slices()?[..] else { return None };
                let step = self.list(4).and_then(|steps| usize::try_from(*steps.first()?).ok()).unwrap_or(1);
                self.list(0)?.iter().skip(start as usize).step_by(step.max(1)).take(count as usize).copied().collect()
            }
            "ConstantOfShape" => {
                let value = node.attribute("value").and_then(|attribute| attribute.tensor.as_ref());
                let value = value.map_or(Some(0), |tensor| tensor.ints.as_ref()?.first().copied())?;
                let count = usize::try_from(product(shape?)?).ok().filter(|count| *count <= FEW)?;
                vec![value; count]
            }
            "Add" | "Sub" | "Mul" | "Div" => {
                let (a, b) = (self.list(0)?, self.list(1)?);
                let count = if a.len() == 1 { b.len() } else { a.len() };
                let pick =
                    |list: &[i64], index: usize| if list.len() == 1 { list.first() } else { list.get(index) }.copied();
                let one = |index: usize| {
                    let (a, b) = (pick(a, index)?, pick(b, index)?);
                    match node.op {
                        "Add" => a.checked_add(b),
                        "Sub" => a.checked_sub(b),
                        "Mul" => a.checked_mul(b),
                        _ => a.checked_div(b),
                    }
                };
                (0..count).map(one).collect::<Option<_>>()?
            }
            _ => return None,
        };
        (found.len() <= FEW).then_some(found)
    }

    /// The numbers of the first output, where they are constants that are only passed on.
    fn floats(&self) -> Option<Vec<f64>> {
        let found = match self.node.op {
            "Constant" => {
                let attribute = self.node.attributes.first()?;
                match attribute.name {
                    "value" => attribute.tensor.as_ref()?.floats.clone(),
                    "value_float" => Some(vec![attribute.float?.into()]),
                    "value_floats" => Some(attribute.floats.iter().map(|v| f64::from(*v)).collect()),
                    _ => None,
                }
            }
            "Neg" | "Exp" | "Sqrt" | "Reciprocal" => {
                let made = |v: f64| match self.node.op {
                    "Neg" => -v,
                    "Exp" => v.exp(),
                    "Sqrt" => v.sqrt(),
                    _ => 1.0 / v,
                };
                Some(self.input(0)?.floats.as_ref()?.iter().map(|v| made(*v)).collect())
            }
            "Identity" | "Cast" | "Squeeze" | "Unsqueeze" | "Reshape" => {
                let fact = self.input(0)?;
                let ints = || Some(fact.ints.as_ref()?.iter().map(|v| *v as f64).collect());
                fact.floats.clone().or_else(ints).filter(|_| fact.constant)
            }
            "Concat" => {
                let parts = (0..self.inputs.len()).map(|index| self.input(index)?.floats.clone());
                Some(parts.collect::<Option<Vec<_>>>()?.concat())
            }
            _ => None,
        };
        found.filter(|all: &Vec<f64>| all.len() <= FEW)
    }

    /// Multiplications that the node takes, where its shapes are known.
    fn work(&self, output: Option<&[Option<u64>]>) -> f64 {
        let made = output.map_or(0.0, |shape| least(shape) as f64);
        let each = match self.node.op {
            "Conv" | "ConvInteger" => self.shape(1).map(|w| least(&w[1.min(w.len())..])),
            "ConvTranspose" => self.shape(1).map(|w| least(w) / w.first().copied().flatten().unwrap_or(1).max(1)),
            "Gemm" | "MatMul" | "MatMulInteger" => {
                let turned = self.node.int("transA", 0) != 0;
                self.shape(0).and_then(|a| if turned { a.first() } else { a.last() }.copied().flatten())
            }
            "MaxPool" | "AveragePool" => self
                .node
                .ints("kernel_shape")
                .map(|kernel| kernel.iter().fold(1_u64, |all, n| all.saturating_mul(*n as u64))),
            _ => Some(1),
        };
        made * each.unwrap_or(1) as f64
    }
}

/// Operators whose first output has the shape of their first input.
const KEEPS_SHAPE: [&str; 59] = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BatchNormalization",
    "BitCast",
    "Cast",
    "CastLike",
    "Ceil",
    "Clip",
    "Cos",
    "Cosh",
    "CumSum",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "IsInf",
    "IsNaN",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "Neg",
    "Not",
    "QuantizeLinear",
    "RMSNormalization",
    "Reciprocal",
    "Relu",
    "ReverseSequence",
    "RotaryEmbedding",
    "Round",
    "Scatter",
    "ScatterElements",
    "ScatterND",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "Trilu",
];

/// The axis that a number means, counted from the end if it is below 0.
pub(super) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    (0..rank).contains(&axis).then_some(axis as usize)
}

/// The shape of two values that meet, as numpy has it; sizes that don't fit are left open.
fn broadcast(a: &[Option<u64>], b: &[Option<u64>]) -> Shape {
    let rank = a.len().max(b.len());
    let pick = |shape: &[Option<u64>], index: usize| {
        if index + shape.len() < rank { Some(1) } else { shape[index + shape.len() - rank] }
    };
    let size = |index| match (pick(a, index), pick(b, index)) {
        (Some(1), other) | (other, Some(1)) => other,
        (Some(a), Some(b)) => (a == b).then_some(a),
        (one, other) => one.or(other),
    };
    (0..rank).map(size).collect()
}

fn reduced(x: &[Option<u64>], axes: Option<&[i64]>, keep: bool) -> Option<Shape> {
    let gone: Vec<usize> = match axes {
        Some(axes) => axes.iter().map(|a| axis(*a, x.len())).collect::<Option<_>>()?,
        None => (0..x.len()).collect(),
    };
    let sizes = x.iter().enumerate().filter_map(|(index, size)| match gone.contains(&index) {
        true => keep.then_some(Some(1)),
        false => Some(*size),
    });
    Some(sizes.collect())
}

/// Whether an element type is one that pictures come in.
pub(super) fn is_float(kind: i64) -> bool {
    matches!(kind, 0 | FLOAT | super::model::FLOAT16 | super::model::DOUBLE)
}
