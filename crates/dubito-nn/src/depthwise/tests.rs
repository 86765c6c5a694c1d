//! The kernels against the definition and the sum of shifted maps, and their times.
#![allow(clippy::unwrap_used)]

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, TensorData};

use super::*;
use crate::rng::{Purpose, Stream};

fn random<const D: usize>(shape: [usize; D], layer: u32) -> Tensor<D> {
    let mut stream = Stream::new(Purpose::Other, 1, 0, layer);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

/// The definition, value by value, in float64.
fn naive(x: &[f32], weight: &[f32], g: &Geometry) -> Vec<f64> {
    let mut out = Vec::new();
    for item in 0..g.items {
        for oy in 0..g.out[0] {
            for ox in 0..g.out[1] {
                for c in 0..g.channels {
                    let mut sum = 0.0;
                    for ky in 0..g.kernel[0] {
                        for kx in 0..g.kernel[1] {
                            let y = (oy * g.stride[0] + ky * g.dilation[0]) as isize - g.before[0] as isize;
                            let x_ = (ox * g.stride[1] + kx * g.dilation[1]) as isize - g.before[1] as isize;
                            if (0..g.size[0] as isize).contains(&y) && (0..g.size[1] as isize).contains(&x_) {
                                let at = (item * g.size[0] + y as usize) * g.size[1] + x_ as usize;
                                let place = ky * g.kernel[1] + kx;
                                sum += f64::from(x[at * g.channels + c]) * f64::from(weight[place * g.channels + c]);
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

fn cases() -> Vec<(Convolution, [usize; 4])> {
    let conv = |channels, kernel| Convolution::new("c", [channels, channels], kernel).groups(channels);
    vec![
        (conv(8, 3).pad(1), [2, 7, 9, 8]),
        (conv(24, 3).stride(2).pad_sides([0, 1]), [2, 8, 10, 24]),
        (conv(12, 5).pad(2), [1, 6, 11, 12]),
        (conv(20, 5).stride(2).pad_sides([1, 2]), [2, 9, 8, 20]),
        (Convolution { dilation: [2, 3], ..conv(9, 3).pad(2) }, [1, 12, 13, 9]),
        (Convolution { kernel: [1, 4], stride: [2, 1], padding: [[0, 0], [3, 0]], ..conv(5, 1) }, [3, 5, 4, 5]),
        (conv(16, 5).pad(2), [1, 2, 2, 16]), // smaller than its kernel
    ]
}

#[test]
fn the_kernel_is_the_definition_and_its_gradients_those_of_the_shifted_sum() {
    for (conv, shape) in cases() {
        let geometry = Geometry::new(shape, &conv);
        let taps = geometry.taps();
        let (x, weight) = (random(shape, 1), random([taps, conv.out], 2));
        let ours = depthwise(x.clone(), weight.clone(), &conv);
        assert_eq!(ours.dims(), geometry.shape());
        let want = naive(&values(x.clone()), &values(weight.clone()), &geometry);
        for (a, b) in values(ours.clone()).iter().zip(&want) {
            assert!((f64::from(*a) - b).abs() < 1e-5, "{conv:?}: {a} {b}");
        }
        // With a bias and an activation in the same pass.
        let bias = random([1, conv.out], 3);
        let fused = depthwise_and(x.clone(), weight.clone(), &conv, bias.clone(), Some(Activation::HardSwish));
        let apart = ours.clone() + bias.reshape([1, 1, 1, conv.out]);
        let apart = crate::layers::activate(apart, Activation::HardSwish);
        for (a, b) in values(fused).iter().zip(values(apart)) {
            assert!((a - b).abs() < 1e-5, "{conv:?}: {a} {b}");
        }
        let upstream = random(geometry.shape(), 4);
        let gradients = |run: &dyn Fn(Tensor<4>, Tensor<2>) -> Tensor<4>| {
            let x = x.clone().autodiff().require_grad();
            let weight = weight.clone().autodiff().require_grad();
            let y = run(x.clone(), weight.clone());
            let mut all = (y * upstream.clone()).sum().backward();
            (values(x.grad_remove(&mut all).unwrap()), values(weight.grad_remove(&mut all).unwrap()))
        };
        let ours = gradients(&|x, w| depthwise(x, w, &conv));
        let want = gradients(&|x, w| shifted(x, w, &geometry));
        for (a, b) in ours.0.iter().zip(&want.0).chain(ours.1.iter().zip(&want.1)) {
            assert!((a - b).abs() < 1e-4, "{conv:?}: {a} {b}");
        }
    }
}

#[test]
fn the_gradient_does_not_depend_on_the_number_of_threads() {
    let (conv, _) = cases().swap_remove(0);
    let shape = [3, 40, 9, 8];
    let (x, gradient) = (values(random(shape, 1)), values(random(shape, 4)));
    let geometry = Geometry::new(shape, &conv);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| geometry.weight_gradient(&x, &gradient))
    };
    assert_eq!(with(1), with(5));
}

/// One block of Xception's middle, forward and backward: three times activation, depthwise convolution, pointwise
/// convolution and batch norm, and a way around them. Run by hand: `cargo test --release -p dubito-nn --lib -- --ignored
/// --nocapture xception`.
#[test]
#[ignore = "a timing, not a test"]
fn times_of_one_xception_block() {
    let shape = [4, 19, 19, 728];
    let conv = Convolution::new("c", [728, 728], 3).pad(1).groups(728);
    let geometry = Geometry::new(shape, &conv);
    let (x, weight, point) = (random(shape, 1), random([9, 728], 2), random([728, 728], 3) * 0.05);
    let (one, zero) = (Tensor::ones([1, 728], &Device::flex()), Tensor::zeros([1, 728], &Device::flex()));
    let grouped = |x: Tensor<4>, weight: Tensor<2>| {
        let weight = weight.permute([1, 0]).reshape([728, 1, 3, 3]);
        let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 728);
        conv2d(x.permute([0, 3, 1, 2]), weight, None, options).permute([0, 2, 3, 1])
    };
    type Depthwise<'a> = &'a dyn Fn(Tensor<4>, Tensor<2>) -> Tensor<4>;
    let time = |name: &str, run: Depthwise<'_>| {
        let mut best = [f64::INFINITY; 4];
        for _ in 0..5 {
            let begin = std::time::Instant::now();
            values(run(x.clone(), weight.clone()));
            let one_forward = begin.elapsed().as_secs_f64();
            let begin = std::time::Instant::now();
            let leaf = x.clone().autodiff().require_grad();
            drop(run(leaf, weight.clone().autodiff().require_grad()).sum().backward());
            let one_both = begin.elapsed().as_secs_f64();
            let block = |x: Tensor<4>, weight: Tensor<2>, point: Tensor<2>| {
                let y = (0..3).fold(x.clone(), |y, _| {
                    let y = run(crate::layers::activate(y, Activation::Relu), weight.clone());
                    let y = y.reshape([4 * 361, 728]).matmul(point.clone()).reshape(shape);
                    crate::elementwise::norm_and_activate(y, one.clone(), zero.clone(), 1e-5, None).0
                });
                y + x
            };
            let begin = std::time::Instant::now();
            values(block(x.clone(), weight.clone(), point.clone()));
            let forward = begin.elapsed().as_secs_f64();
            let tracked = |t: Tensor<2>| t.autodiff().require_grad();
            let begin = std::time::Instant::now();
            let gradients = block(x.clone().autodiff().require_grad(), tracked(weight.clone()), tracked(point.clone()))
                .sum()
                .backward();
            drop(gradients);
            let both = begin.elapsed().as_secs_f64();
            for (best, seconds) in best.iter_mut().zip([one_forward, one_both, forward, both]) {
                *best = seconds.min(*best);
            }
        }
        println!(
            "{name} [ms]: one forward, with backward; block forward, with backward: {:.1?}",
            best.map(|s| s * 1e3)
        );
    };
    time("grouped convolution", &grouped);
    time("sum of shifted maps", &|x, w| shifted(x, w, &geometry));
    time("kernel of our own", &|x, w| depthwise(x, w, &conv));
}
