//! What the numbers of an output are: a Softmax or Sigmoid is followed through everything behind it that keeps probabilities
//! probabilities.

use super::judge::{Fact, axis};
use super::model::Node;
use super::{Column, OutputMeaning};

/// What the numbers of a value are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Meaning {
    kind: Kind,
    column: Column,
    turned: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
enum Kind {
    /// Any numbers: pictures, features, logits.
    #[default]
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
    fn from(Meaning { kind, column, turned }: Meaning) -> Self {
        match kind {
            Kind::Plain if column == Column::All => Self::Logits,
            Kind::Plain => Self::Unclear("a choice of one of several logits".into()),
            Kind::Probability => Self::Probabilities { column, turned },
            Kind::LogProbability => Self::LogProbabilities { column, turned },
            Kind::Other(what) => Self::Unclear(what),
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

/// Operators that give each number on as it is, or a mean of some. (The largest probability is that of whatever class is the
/// likelier one.)
const KEEP: [&str; 18] = [
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
    "Min",
    "Max",
    "Mean",
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
/// Operators after which any numbers are still any numbers.
const ARITHMETIC: [&str; 37] = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Sqrt",
    "Abs",
    "Pow",
    "Sum",
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Elu",
    "Gelu",
    "HardSwish",
    "Swish",
    "Softplus",
    "ReduceSum",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceProd",
    "ReduceSumSquare",
    "Log",
    "LpNormalization",
    "Concat",
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
/// Classes that a layer behind a Softmax may sort; a wider layer behind a Sigmoid is one of many.
const FEW_CLASSES: u64 = 32;

/// What a node's outputs are.
pub(super) fn meaning(node: &Node<'_>, inputs: &[Option<Fact>]) -> Meanings {
    let data: Vec<&Fact> = inputs.iter().flatten().filter(|fact| !fact.constant).collect();
    let constant = |index: usize| inputs.get(index)?.as_ref()?.floats.as_ref().filter(|values| !values.is_empty());
    let is = |index: usize, value: f64| constant(index).is_some_and(|values| values.iter().all(|v| *v == value));
    let other = || Meanings::Same(Meaning { kind: Kind::Other(node.words()), ..Meaning::default() });
    let same = |kind: Kind| Meanings::Same(Meaning { kind, ..Meaning::default() });
    let Some(first) = data.first().map(|fact| &fact.meaning) else { return same(Kind::Plain) };
    let all = |kind: &Kind| data.iter().all(|fact| fact.meaning.kind == *kind);
    let keep = || Meanings::Same(first.clone());
    let kinds = |a: Kind, b: Kind| matches!(&data[..], [x, y] if x.meaning.kind == a && y.meaning.kind == b);
    // What has meaning depends on the operator first; an operator that is not known says nothing.
    match (node.op, &first.kind) {
        ("Softmax" | "Sigmoid" | "HardSigmoid", _) => same(Kind::Probability),
        ("LogSoftmax", _) => same(Kind::LogProbability),
        ("Log", Kind::Probability) => Meanings::Same(Meaning { kind: Kind::LogProbability, ..first.clone() }),
        ("Exp", Kind::LogProbability) => Meanings::Same(Meaning { kind: Kind::Probability, ..first.clone() }),
        ("Exp", Kind::Plain) => same(Kind::Exponential),
        ("Add" | "Sum", Kind::Exponential) if data.len() == 1 && (is(0, 1.0) || is(1, 1.0)) => {
            same(Kind::OneAndExponential)
        }
        ("ReduceSum", Kind::Exponential) => same(Kind::SumOfExponentials),
        ("Reciprocal", Kind::OneAndExponential) => same(Kind::Probability),
        ("Div", Kind::OneAndExponential) if is(0, 1.0) => same(Kind::Probability),
        ("Div", _)
            if kinds(Kind::Exponential, Kind::OneAndExponential)
                || kinds(Kind::Exponential, Kind::SumOfExponentials) =>
        {
            same(Kind::Probability)
        }
        ("Pow", Kind::OneAndExponential) if is(1, -1.0) => same(Kind::Probability),
        ("Neg", Kind::Probability) => Meanings::Same(Meaning { kind: Kind::Negated, ..first.clone() }),
        ("Mul", Kind::Probability) if data.len() == 1 && (is(0, -1.0) || is(1, -1.0)) => {
            Meanings::Same(Meaning { kind: Kind::Negated, ..first.clone() })
        }
        ("Sub", Kind::Probability) if data.len() == 1 && is(0, 1.0) => {
            Meanings::Same(Meaning { turned: !first.turned, ..first.clone() })
        }
        ("Add", Kind::Negated) if data.len() == 1 && (is(0, 1.0) || is(1, 1.0)) => {
            Meanings::Same(Meaning { kind: Kind::Probability, turned: !first.turned, ..first.clone() })
        }
        ("Mul", _) if data.len() == 1 && (is(0, 1.0) || is(1, 1.0)) => keep(),
        ("Div", _) if data.len() == 1 && is(1, 1.0) => keep(),
        ("Add", _) if data.len() == 1 && (is(0, 0.0) || is(1, 0.0)) => keep(),
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
        (op, kind) if KEEP.contains(&op) && all(kind) && !matches!(kind, Kind::Other(_)) => {
            Meanings::Same(Meaning { column: common(&data), ..first.clone() })
        }
        (op, _) if CHOOSE.contains(&op) => choose(node, inputs, first),
        ("Concat", kind @ (Kind::Probability | Kind::LogProbability)) => {
            if all(kind) && data.len() == inputs.len() {
                same(kind.clone())
            } else {
                other()
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
                _ if weights.is_some() || all(&Kind::Plain) => same(Kind::Plain),
                _ => other(),
            }
        }
        (op, Kind::Plain) if ARITHMETIC.contains(&op) && all(&Kind::Plain) => keep(),
        _ => other(),
    }
}

/// The column that all have, if it is the same.
fn common(data: &[&Fact]) -> Column {
    let first = data.first().map_or(Column::All, |fact| fact.meaning.column);
    if data.iter().all(|fact| fact.meaning.column == first) { first } else { Column::Unknown }
}

/// A choice of some numbers: of which class, where a class is chosen.
fn choose(node: &Node<'_>, inputs: &[Option<Fact>], first: &Meaning) -> Meanings {
    let input = |index: usize| inputs.get(index)?.as_ref();
    let unknown = Meanings::Same(Meaning { column: Column::Unknown, ..first.clone() });
    let Some(rank) = input(0).and_then(Fact::rank) else { return unknown };
    let ints = |index: usize| input(index)?.ints.as_deref();
    let size = |axis: usize| input(0)?.shape.as_ref()?.get(axis).copied().flatten();
    let class = |axis: usize, index: i64| match (axis, first.column, size(axis)) {
        // Of the batch, or of a column that is alone: no class is chosen.
        (0, column, _) if rank > 1 => Some(column),
        (_, column, Some(1)) => Some(column),
        (_, Column::All, count) => {
            let index = if index < 0 { index.checked_add_unsigned(count?)? } else { index };
            u64::try_from(index).ok().map(Column::Class)
        }
        _ => None,
    };
    let column = match node.op {
        "Gather" => axis(node.int("axis", 0), rank).and_then(|axis| match ints(1)? {
            [index] => class(axis, *index),
            _ if axis == 0 && rank > 1 => Some(first.column),
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
                    if axis == 0 && rank > 1 || (start, end) == (0, size) {
                        return Some(first.column);
                    }
                    if end - start == 1 { class(axis, start) } else { None }
                }),
                _ => None,
            }
        }
        "Split" => {
            let at = axis(node.int("axis", 0), rank);
            let alone = at.and_then(size) == Some(node.outputs.len() as u64);
            if at.is_some_and(|at| at > 0) && alone && first.column == Column::All {
                return Meanings::Classes(first.clone());
            }
            None
        }
        _ => None,
    };
    Meanings::Same(Meaning { column: column.unwrap_or(Column::Unknown), ..first.clone() })
}
