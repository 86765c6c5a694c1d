//! The arrays of a detector: matrices on the device, arrays in PyTorch's layout in a state dict.

use burn::tensor::{Device, Tensor, TensorData};

use crate::network::ParameterShape;
use crate::state::Array;

/// How a parameter's matrix is laid out in a state dict, in PyTorch's layout.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layout {
    /// `[out, in, places]`, the last being (frames times) height times width; the matrix is `[places * in, out]`.
    Convolution { out: usize, input: usize, places: usize },
    /// `[out, in]`; the matrix is `[in, out]`.
    Linear { out: usize, input: usize },
    /// `[n]`; the matrix is `[1, n]`.
    Vector(usize),
}

impl Layout {
    /// That of an array of this shape.
    fn of(shape: &[usize]) -> Self {
        match *shape {
            [out, input, ref kernel @ ..] if kernel.len() > 1 => {
                Self::Convolution { out, input, places: kernel.iter().product() }
            }
            [out, input] => Self::Linear { out, input },
            _ => Self::Vector(shape.iter().product()),
        }
    }

    /// Rows and columns of the matrix.
    pub(crate) fn matrix(&self) -> [usize; 2] {
        match *self {
            Self::Convolution { out, input, places } => [places * input, out],
            Self::Linear { out, input } => [input, out],
            Self::Vector(n) => [1, n],
        }
    }

    /// For each place in the matrix, row-major, its place in the state dict's array.
    fn source(&self) -> impl Fn(usize, usize) -> usize {
        let this = self.clone();
        move |row, column| match this {
            Self::Convolution { input, places, .. } => {
                let (place, channel) = (row / input, row % input);
                (column * input + channel) * places + place
            }
            Self::Linear { input, .. } => column * input + row,
            Self::Vector(_) => column,
        }
    }

    /// The matrix's values from an array in PyTorch's layout.
    fn matrix_from_array(&self, array: &[f32]) -> Vec<f32> {
        let [rows, columns] = self.matrix();
        let source = self.source();
        let mut out = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            for column in 0..columns {
                out.push(array[source(row, column)]);
            }
        }
        out
    }

    /// The array in PyTorch's layout from the matrix's values.
    fn array_from_matrix(&self, matrix: &[f32]) -> Vec<f32> {
        let [rows, columns] = self.matrix();
        let source = self.source();
        let mut values = vec![0.0; rows * columns];
        for row in 0..rows {
            for column in 0..columns {
                values[source(row, column)] = matrix[row * columns + column];
            }
        }
        values
    }
}

/// A named array of a detector, kept as a matrix.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    /// Its name and its shape in a state dict.
    pub(crate) array: ParameterShape,
    /// Index of its stage.
    pub(crate) stage: usize,
    /// How it lies in a state dict.
    pub(crate) layout: Layout,
    /// The values. Part of an autodiff graph while its stage is trained.
    pub(crate) value: Tensor<2>,
}

impl Parameter {
    /// An array of zeros.
    pub(crate) fn zeros(stage: usize, array: ParameterShape, device: &Device) -> Self {
        let layout = Layout::of(&array.shape);
        let value = Tensor::zeros(layout.matrix(), device);
        Self { array, stage, layout, value }
    }

    /// Its name in a state dict.
    pub(crate) fn name(&self) -> &str {
        &self.array.name
    }

    /// Replaces the values; `matrix` is row-major.
    pub(crate) fn set(&mut self, matrix: Vec<f32>) {
        let device = self.value.device();
        self.value = Tensor::from_data(TensorData::new(matrix, self.layout.matrix()), &device);
    }

    /// The values, row-major.
    pub(crate) fn values(&self) -> Vec<f32> {
        values_of(self.value.clone())
    }

    /// Replaces the values by those of an array in PyTorch's layout.
    pub(crate) fn set_array(&mut self, values: &[f32]) {
        self.set(self.layout.matrix_from_array(values));
    }

    /// The array in PyTorch's layout.
    pub(crate) fn to_array(&self) -> Array {
        Array { shape: self.array.shape.clone(), values: self.layout.array_from_matrix(&self.values()) }
    }
}

/// A tensor's values on the host, row-major.
pub(crate) fn values_of<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
