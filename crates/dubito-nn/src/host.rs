//! Operations with kernels of our own on the CPU: how they read tensors, and how they join the autodiff graph.
//!
//! A kernel works on plain slices, in parallel over parts that do not depend on the number of threads. Products
//! and sums are rounded separately, so that every processor gives the same numbers.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Device, Tensor, TensorData};

/// An operation on N maps of f32 whose forward and backward passes are written by hand.
pub(crate) trait HostOperation<const N: usize>: Clone + Debug + Send + 'static {
    /// What the forward pass leaves for the backward pass.
    type Kept: Clone + Debug + Send + 'static;

    /// Shape of the result.
    fn shape(&self) -> [usize; 4];

    /// The result, row-major.
    fn forward(&self, inputs: [&[f32]; N]) -> (Vec<f32>, Self::Kept);

    /// The gradient of each input that is wanted, from the result's.
    fn backward(
        &self,
        inputs: [&[f32]; N],
        kept: &Self::Kept,
        gradient: &[f32],
        wanted: [bool; N],
    ) -> [Option<Vec<f32>>; N];
}

/// Whether kernels can work on this tensor: it is in the CPU's memory.
pub(crate) fn is_host<const D: usize>(x: &Tensor<D>) -> bool {
    x.device().inner() == Device::flex()
}

/// Runs an operation on tensors of the host, as part of the autodiff graph where one of them is.
pub(crate) fn apply<const N: usize, O: HostOperation<N>>(operation: O, inputs: [Tensor<4>; N]) -> (Tensor<4>, O::Kept) {
    if inputs.iter().any(Tensor::is_autodiff) {
        let inputs = inputs.map(|x| {
            let x = x.autodiff().try_into_primitive::<Autodiff<Flex>>();
            x.unwrap_or_else(|e| panic!("the caller checks `is_host`: {e:?}")).into_parts()
        });
        let values = inputs.each_ref().map(|(value, _)| value.to_contiguous());
        let (out, kept) = operation.forward(values.each_ref().map(slice));
        let out = flex(out, operation.shape());
        let nodes = inputs.map(|(_, node)| node);
        let y = match Recorded::<O, N>(PhantomData).prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((operation, values, kept.clone()), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        };
        (Tensor::from_primitive::<Autodiff<Flex>>(y), kept)
    } else {
        let values = inputs.map(|x| primitive(x).to_contiguous());
        let (out, kept) = operation.forward(values.each_ref().map(slice));
        (tensor(out, operation.shape()), kept)
    }
}

/// Changes a tensor of the host that is in no autodiff graph: in place where nothing else holds its values.
pub(crate) fn in_place(x: Tensor<4>, change: impl FnOnce(&mut [f32])) -> Tensor<4> {
    let mut x = primitive(x).to_contiguous();
    if x.as_slice::<f32>().is_some_and(|values| values.len() == x.storage::<f32>().len()) {
        change(x.storage_mut());
        return Tensor::from_primitive::<Flex>(x);
    }
    let mut values = slice(&x).to_vec();
    change(&mut values);
    let shape = x.layout().shape();
    tensor(values, std::array::from_fn(|d| shape[d]))
}

/// Reads a tensor of the host that is in no autodiff graph.
pub(crate) fn with_values<const D: usize, R>(x: Tensor<D>, read: impl FnOnce(&[f32]) -> R) -> R {
    read(slice(&primitive(x).to_contiguous()))
}

/// A tensor of the host in no autodiff graph.
pub(crate) fn tensor(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_primitive::<Flex>(flex(values, shape))
}

fn primitive<const D: usize>(x: Tensor<D>) -> FlexTensor {
    x.try_into_primitive::<Flex>().unwrap_or_else(|e| panic!("the caller checks `is_host` and `is_autodiff`: {e:?}"))
}

fn slice(x: &FlexTensor) -> &[f32] {
    x.as_slice().unwrap_or_else(|| panic!("a contiguous tensor of f32, not {:?}", x.dtype()))
}

fn flex(values: Vec<f32>, shape: [usize; 4]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The backward pass of an operation as the graph keeps it.
#[derive(Debug)]
struct Recorded<O, const N: usize>(PhantomData<O>);

impl<O: HostOperation<N>, const N: usize> Backward<Flex, N> for Recorded<O, N> {
    type State = (O, [FlexTensor; N], O::Kept);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (operation, inputs, kept) = ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = operation.backward(inputs.each_ref().map(slice), &kept, slice(&gradient), wanted);
        for ((parent, input), found) in ops.parents.iter().zip(&inputs).zip(found) {
            if let (Some(parent), Some(found)) = (parent, found) {
                let shape = input.layout().shape();
                grads.register::<Flex>(parent.id, flex(found, std::array::from_fn(|d| shape[d])));
            }
        }
    }
}
