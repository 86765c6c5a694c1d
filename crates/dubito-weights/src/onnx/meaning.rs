//! What the numbers of an output are: a Softmax or Sigmoid is followed through everything behind it that keeps probabilities
//! probabilities, with the class that was chosen before it or behind it, and whether a high number is one of it.

use super::judge::{Fact, axis};
use super::model::Node;
use super::{Column, OutputMeaning};

/// What the numbers of a value are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Meaning {
    kind: Kind,
    column: Column,
    /// Whether they fall where those of the class rise: 1 - p, -x.
    turned: bool,
    /// The axis of the pictures; `None` where it can't be told.
    batch: Option<usize>,
}

impl Default for Meaning {
    fn default() -> Self {
        Self { kind: Kind::Plain, column: Column::All, turned: false, batch: Some(0) }
    }
}

impl Meaning {
    /// Numbers of another kind, of the same classes.
    fn of(&self, kind: Kind) -> Self {
        Self { kind, ..self.clone() }
    }

    fn turn(self) -> Self {
        Self { turned: !self.turned, ..self }
    }

    fn unknown(self) -> Self {
        Self { column: Column::Unknown, ..self }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// Any numbers: pictures, features, logits.
    Plain,
    /// What Softmax or Sigmoid gives.
    Probability,
    /// The logarithm of it.
    LogProbability,
    /// -p, e^x, 1 + e^x, the sum of e^x: parts of a Softmax or Sigmoid that is written out.
    Negated,
    Exponential,
    OneAndExponential,
    SumOfExponentials,
    /// Something else, by an operator after which it can't be told.
    Other(String),
}

impl From<Meaning> for OutputMeaning {
    fn from(Meaning { kind, column, turned, .. }: Meaning) -> Self {
        match (kind, column) {
            (Kind::Plain, Column::All) if !turned => Self::Logits,
            (Kind::Plain, Column::All) => Self::Unclear("logits whose sign is changed".into()),
            (Kind::Plain, Column::Class(_)) => Self::Unclear("a choice of one of several logits".into()),
            (Kind::Plain, Column::Unknown) => Self::Unclear("logits whose order or sign can't be followed".into()),
            (Kind::Probability, column) => Self::Probabilities { column, turned },
            (Kind::LogProbability, column) => Self::LogProbabilities { column, turned },
            (Kind::Other(what), _) => Self::Unclear(what),
            _ => Self::Unclear("a part of a Softmax or Sigmoid".into()),
        }
    }
}

/// Of each output of a node.
pub(super) enum Meanings {
    Same(Meaning),
    /// Output k of several is class k.
    Classes(Meaning),
}

impl Meanings {
    pub fn of(&self, index: usize) -> Meaning {
        match self {
            Self::Same(meaning) => meaning.clone(),
            Self::Classes(meaning) => Meaning { column: Column::Class(index as u64), ..meaning.clone() },
        }
    }
}

/// Operators that give each number of their first input on as it is, or a mean of some. (The largest probability is that of
/// whatever class is the likelier one.)
const KEEP: [&str; 15] = [
    "Identity",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Dropout",
    "Clip",
    "ReduceMean",
    "GlobalAveragePool",
    "AveragePool",
    "Expand",
    "Tile",
    "Cast",
    "CastLike",
];
/// Operators that choose from what they are given.
const CHOOSE: [&str; 5] = ["Gather", "GatherElements", "GatherND", "Slice", "Split"];
/// Layers with weights: whatever goes in, logits can come out.
const LEARNED: [&str; 13] = [
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "MatMulInteger",
    "Einsum",
    "BatchNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "LSTM",
    "GRU",
];
/// Operators after which any numbers are still any numbers, and a larger one makes a larger one.
const INCREASING: [&str; 24] = [
    "Sqrt",
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Elu",
    "Gelu",
    "HardSwish",
    "Swish",
    "Softplus",
    "ReduceSum",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "Log",
    "LpNormalization",
    "Pad",
    "Resize",
    "Upsample",
    "DequantizeLinear",
    "QuantizeLinear",
    "DynamicQuantizeLinear",
    "ReduceMax",
    "ReduceMin",
    "GlobalMaxPool",
    "MaxPool",
];
/// Operators after which any numbers are still any numbers, and a larger one may make a smaller one.
const MIXED: [&str; 6] = ["Abs", "Pow", "ReduceL1", "ReduceL2", "ReduceProd", "ReduceSumSquare"];
/// Classes that a layer behind a Softmax may sort; a wider layer behind a Sigmoid is one of many.
const FEW_CLASSES: u64 = 32;

/// What a node's outputs are, the first of this shape.
pub(super) fn meaning(node: &Node<'_>, inputs: &[Option<Fact>], shape: Option<&[Option<u64>]>) -> Meanings {
    let data: Vec<&Fact> = inputs.iter().flatten().filter(|fact| !fact.constant).collect();
    let batch = match data.first() {
        None => Some(0),
        Some(_) if node.op == "Einsum" => None,
        Some(_) if LEARNED.contains(&node.op) => {
            // Weights on the left: a row for each class, a column for each picture.
            let is_left = inputs[0].as_ref().is_some_and(|fact| fact.constant) && shape.is_none_or(|to| to.len() == 2);
            Some(usize::from(is_left && matches!(node.op, "Gemm" | "MatMul" | "MatMulInteger")))
        }
        Some(first) => batch(node, inputs, first, shape),
    };
    match numbers(node, inputs, &data) {
        Meanings::Same(meaning) => Meanings::Same(Meaning { batch, ..meaning }),
        Meanings::Classes(meaning) => Meanings::Classes(Meaning { batch, ..meaning }),
    }
}

/// The axis of the pictures behind an operator that gives on what it gets.
fn batch(node: &Node<'_>, inputs: &[Option<Fact>], first: &Fact, shape: Option<&[Option<u64>]>) -> Option<usize> {
    let (at, from, to) = (first.meaning.batch?, first.shape.as_deref()?, shape?);
    let axes = || node.ints("axes").or_else(|| inputs.get(1)?.as_ref()?.ints.as_deref());
    let places = |axes: &[i64], rank: usize| axes.iter().map(|a| axis(*a, rank)).collect::<Option<Vec<usize>>>();
    let without = |gone: &[usize]| {
        let before = gone.iter().filter(|axis| **axis < at).count();
        (!gone.contains(&at)).then_some(at - before)
    };
    match node.op {
        "Transpose" => match node.ints("perm") {
            Some(perm) => perm.iter().position(|axis| usize::try_from(*axis) == Ok(at)),
            None => from.len().checked_sub(at + 1),
        },
        "Unsqueeze" => {
            let new = places(axes()?, to.len())?;
            (0..to.len()).filter(|axis| !new.contains(axis)).nth(at)
        }
        "Squeeze" => match axes() {
            Some(axes) => without(&places(axes, from.len())?),
            None => without(&Vec::from_iter((0..from.len()).filter(|axis| from[*axis] == Some(1)))),
        },
        "Gather" if to.len() + 1 == from.len() => without(&[axis(node.int("axis", 0), from.len())?]),
        op if op.starts_with("Reduce") && to.len() < from.len() => match axes() {
            Some(axes) => without(&places(axes, from.len())?),
            None => None,
        },
        "Reshape" | "Flatten" if from != to => {
            let is_kept = to.len() <= 1 || (to[0].is_some() && from.first() == to.first());
            (at == 0 && is_kept).then_some(0)
        }
        _ => (from.len() == to.len()).then_some(at),
    }
}

/// What the numbers are, and of which classes.
fn numbers(node: &Node<'_>, inputs: &[Option<Fact>], data: &[&Fact]) -> Meanings {
    use Meanings::Same;
    let is_constant = |index: usize| inputs.get(index).and_then(Option::as_ref).is_some_and(|fact| fact.constant);
    let constant = |index: usize| inputs.get(index)?.as_ref()?.floats.as_ref().filter(|values| !values.is_empty());
    let is = |index: usize, value: f64| constant(index).is_some_and(|values| values.iter().all(|v| *v == value));
    let has = |value: f64| data.len() == 1 && (is(0, value) || is(1, value));
    let other = || Same(Meaning { kind: Kind::Other(node.words()), column: Column::Unknown, ..Meaning::default() });
    if matches!(node.op, "If" | "Loop" | "Scan") {
        return other();
    }
    let Some(first) = data.first().map(|fact| &fact.meaning) else { return Same(Meaning::default()) };
    let all = |kind: &Kind| data.iter().all(|fact| fact.meaning.kind == *kind);
    let keep = || Same(first.clone());
    let of = |kind: Kind| Same(first.of(kind));
    let kinds = |a: Kind, b: Kind| matches!(data, [x, y] if x.meaning.kind == a && y.meaning.kind == b);
    // What has meaning depends on the operator first; an operator that is not known says nothing.
    match (node.op, &first.kind) {
        // One number of several says nothing of the others.
        ("Softmax" | "LogSoftmax", Kind::Plain | Kind::Probability) if first.column != Column::All => other(),
        ("Softmax" | "Sigmoid" | "HardSigmoid", Kind::Plain | Kind::Probability) => of(Kind::Probability),
        ("LogSoftmax", Kind::Plain | Kind::Probability) => of(Kind::LogProbability),
        ("Softmax" | "Sigmoid" | "HardSigmoid", _) => Same(first.of(Kind::Probability).unknown()),
        ("LogSoftmax", _) => Same(first.of(Kind::LogProbability).unknown()),
        ("Log", Kind::Probability) => of(Kind::LogProbability),
        ("Exp", Kind::LogProbability) => of(Kind::Probability),
        ("Exp", Kind::Plain) => of(Kind::Exponential),
        ("Add" | "Sum", Kind::Exponential) if has(1.0) => of(Kind::OneAndExponential),
        ("ReduceSum", Kind::Exponential) => of(Kind::SumOfExponentials),
        // 1 / (1 + e^x) falls where x rises.
        ("Reciprocal", Kind::OneAndExponential) => Same(first.of(Kind::Probability).turn()),
        ("Div", Kind::OneAndExponential) if is(0, 1.0) => Same(first.of(Kind::Probability).turn()),
        ("Pow", Kind::OneAndExponential) if is(1, -1.0) => Same(first.of(Kind::Probability).turn()),
        ("Div", _) if kinds(Kind::Exponential, Kind::OneAndExponential) => Same(common(data).of(Kind::Probability)),
        ("Div", _) if kinds(Kind::Exponential, Kind::SumOfExponentials) => {
            let sum = &data[1].meaning;
            let is_whole = sum.column == Column::All && sum.turned == first.turned;
            let one = first.of(Kind::Probability);
            Same(if is_whole { one } else { one.unknown() })
        }
        ("Neg", Kind::Probability) => of(Kind::Negated),
        ("Mul", Kind::Probability) if has(-1.0) => of(Kind::Negated),
        ("Sub", Kind::Probability) if data.len() == 1 && is(0, 1.0) => Same(first.clone().turn()),
        ("Add", Kind::Negated) if has(1.0) => Same(first.of(Kind::Probability).turn()),
        ("Mul", _) if has(1.0) => keep(),
        ("Div", _) if data.len() == 1 && is(1, 1.0) => keep(),
        ("Add", _) if has(0.0) => keep(),
        ("Sub", _) if data.len() == 1 && is(1, 0.0) => keep(),
        // The identity on 0 to 1.
        ("Relu" | "LeakyRelu" | "PRelu" | "Elu", Kind::Probability) => keep(),
        // Integers are shapes, indices or decisions.
        ("Cast", _) if !matches!(node.int("to", 1), 1 | 10 | 11 | 16) => other(),
        ("Clip", Kind::Plain) => {
            let bound = |name: &str, index: usize| {
                let attribute = node.attribute(name).and_then(|attribute| attribute.float).map(f64::from);
                attribute.or_else(|| constant(index)?.first().copied())
            };
            // Numbers that are cut to 0 to 1 may be probabilities of someone's own making.
            let unit = bound("min", 1).is_some_and(|low| low >= 0.0) && bound("max", 2).is_some_and(|high| high <= 1.0);
            if unit { other() } else { keep() }
        }
        ("ReduceMean" | "GlobalAveragePool" | "AveragePool" | "Mean", Kind::LogProbability) => other(),
        // A mean with a constant is nobody's probability.
        ("Mean", Kind::Probability) if data.len() < inputs.len() => other(),
        ("Min" | "Max" | "Mean", kind) if all(kind) && !matches!(kind, Kind::Other(_)) => Same(common(data)),
        (op, kind) if KEEP.contains(&op) && !matches!(kind, Kind::Other(_)) => keep(),
        (op, _) if CHOOSE.contains(&op) => choose(node, inputs, first),
        ("Concat", kind @ (Kind::Plain | Kind::Probability | Kind::LogProbability)) if all(kind) => {
            match data.len() == inputs.len() {
                true => Same(joined(node, data)),
                false if *kind == Kind::Plain => Same(first.clone().unknown()),
                false => other(),
            }
        }
        (op, kind) if LEARNED.contains(&op) => {
            let weights = inputs.iter().flatten().find(|fact| fact.constant);
            let sorts = |fact: &&Fact| {
                let width =
                    fact.shape.as_ref().and_then(|shape| shape.iter().rev().copied().find(|size| *size != Some(1))?);
                width.is_none_or(|width| width <= FEW_CLASSES)
            };
            match kind {
                Kind::Probability | Kind::LogProbability if data.first().is_some_and(sorts) => other(),
                _ if weights.is_some() || all(&Kind::Plain) => Same(Meaning::default()),
                _ => other(),
            }
        }
        (_, Kind::Plain) if !all(&Kind::Plain) => other(),
        ("Neg", Kind::Plain) => Same(first.clone().turn()),
        ("Mul" | "Div", Kind::Plain) => {
            let factor = if is_constant(1) { constant(1) } else { constant(0).filter(|_| node.op == "Mul") };
            Same(match factor.filter(|_| data.len() == 1) {
                Some(factor) if factor.iter().all(|v| *v > 0.0) => first.clone(),
                Some(factor) if factor.iter().all(|v| *v < 0.0) => first.clone().turn(),
                _ => first.clone().unknown(),
            })
        }
        ("Sub", Kind::Plain) => Same(match data {
            [_] if is_constant(0) => first.clone().turn(),
            [_] => first.clone(),
            // The same number less for all classes of a picture.
            [all, one] if one.is_one_number() == Some(true) && all.is_one_number() == Some(false) => first.clone(),
            _ => first.clone().unknown(),
        }),
        ("Add" | "Sum", Kind::Plain) => Same(common(data)),
        (op, Kind::Plain) if INCREASING.contains(&op) => keep(),
        (op, Kind::Plain) if MIXED.contains(&op) => Same(first.clone().unknown()),
        _ => other(),
    }
}

/// What all are, of the classes of all if they are the same.
fn common(data: &[&Fact]) -> Meaning {
    let first = data.first().map(|fact| fact.meaning.clone()).unwrap_or_default();
    let is_same = |fact: &&Fact| {
        let Meaning { column, turned, batch, .. } = &fact.meaning;
        (column, turned, batch) == (&first.column, &first.turned, &first.batch)
    };
    if data.iter().all(is_same) { first } else { first.unknown() }
}

/// Parts side by side: of all classes, where each part is one number and they stand in the order of the classes.
fn joined(node: &Node<'_>, data: &[&Fact]) -> Meaning {
    let same = common(data);
    let Some((rank, at)) = data[0].rank().and_then(|rank| Some((rank, axis(node.int("axis", 0), rank)?))) else {
        return same.unknown();
    };
    if rank > 1 && same.batch == Some(at) {
        return same;
    }
    let is_single = data.iter().all(|fact| fact.shape.as_ref().and_then(|shape| *shape.get(at)?) == Some(1));
    let parts: Vec<(Column, bool)> = data.iter().map(|fact| (fact.meaning.column, fact.meaning.turned)).collect();
    let in_order = parts.iter().enumerate().all(|(k, part)| *part == (Column::Class(k as u64), false))
        || parts.iter().all(|part| *part == (Column::All, false))
        || parts == [(Column::All, true), (Column::All, false)];
    match is_single && in_order {
        true => Meaning { column: Column::All, turned: false, ..same },
        false => same.unknown(),
    }
}

/// A choice of some numbers: of which class, where a class is chosen.
fn choose(node: &Node<'_>, inputs: &[Option<Fact>], first: &Meaning) -> Meanings {
    let input = |index: usize| inputs.get(index)?.as_ref();
    let Some(rank) = input(0).and_then(Fact::rank) else { return Meanings::Same(first.clone().unknown()) };
    let ints = |index: usize| input(index)?.ints.as_deref();
    let size = |axis: usize| input(0)?.shape.as_ref()?.get(axis).copied().flatten();
    let is_batch = |axis: usize| rank > 1 && first.batch == Some(axis);
    let class = |axis: usize, index: i64| match (first.column, size(axis)) {
        // Of the pictures, or of a column that is alone: no class is chosen.
        (column, _) if is_batch(axis) => Some(column),
        (column, Some(1)) => Some(column),
        _ if rank > 1 && first.batch.is_none() => None,
        (Column::All, count) => {
            let index = if index < 0 { index.checked_add_unsigned(count?)? } else { index };
            u64::try_from(index).ok().map(Column::Class)
        }
        _ => None,
    };
    let column = match node.op {
        "Gather" => axis(node.int("axis", 0), rank).and_then(|axis| match ints(1)? {
            [index] => class(axis, *index),
            _ if is_batch(axis) => Some(first.column),
            _ => None,
        }),
        "Slice" => {
            let starts = node.ints("starts").or_else(|| ints(1));
            let ends = node.ints("ends").or_else(|| ints(2));
            let axes = node.ints("axes").or_else(|| ints(3));
            match (starts, ends, axes, ints(4)) {
                (Some([start]), Some([end]), Some([at]), None | Some([1])) => axis(*at, rank).and_then(|axis| {
                    let size = i64::try_from(size(axis)?).ok()?;
                    let place = |at: i64| if at < 0 { at.saturating_add(size).max(0) } else { at.min(size) };
                    let (start, end) = (place(*start), place(*end));
                    if is_batch(axis) || (start, end) == (0, size) {
                        return Some(first.column);
                    }
                    if end - start == 1 { class(axis, start) } else { None }
                }),
                _ => None,
            }
        }
        "Split" => {
            let at = axis(node.int("axis", 0), rank);
            let is_of_classes = at.is_some_and(|at| !is_batch(at)) && (rank == 1 || first.batch.is_some());
            let alone = at.and_then(size) == Some(node.outputs.len() as u64);
            if is_of_classes && alone && first.column == Column::All {
                return Meanings::Classes(first.clone());
            }
            None
        }
        _ => None,
    };
    Meanings::Same(Meaning { column: column.unwrap_or(Column::Unknown), ..first.clone() })
}
