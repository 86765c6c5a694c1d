//! Arrays on the host, and the element types that weight files store them in.

use std::collections::BTreeMap;

/// A dense array on the host, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its values, as many as the shape's product.
    pub values: Vec<f32>,
}

/// Named arrays, in the order of their names.
pub type StateDict = BTreeMap<String, Array>;

/// An array as a file holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The type of its elements in the file.
    pub element: Element,
    /// Its shape and its values, rounded to f32 where the file is wider.
    pub array: Array,
}

/// The type of a tensor's elements in a file, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// One byte, 0 or not.
    Bool,
}

impl Element {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The name as safetensors spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }

    /// Whether values are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    /// The elements as f32; what is left over at the end is not read.
    pub(crate) fn read(self, bytes: &[u8]) -> Vec<f32> {
        macro_rules! each {
            ($n:literal, $from:expr) => {
                bytes.as_chunks::<$n>().0.iter().map(|b| $from(*b)).collect()
            };
        }
        match self {
            Self::F64 => each!(8, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => each!(4, f32::from_le_bytes),
            Self::F16 => each!(2, |b| half::f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => each!(2, |b| half::bf16::from_le_bytes(b).to_f32()),
            Self::I64 => each!(8, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => each!(4, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => each!(2, |b| f32::from(i16::from_le_bytes(b))),
            Self::I8 => bytes.iter().map(|b| f32::from(*b as i8)).collect(),
            Self::U8 => bytes.iter().map(|b| f32::from(*b)).collect(),
            Self::Bool => bytes.iter().map(|b| f32::from(u8::from(*b != 0))).collect(),
        }
    }
}
