//! Samples from the boundary on equal whole passes, and depend on nothing but (seed, sample).
#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Tensor, TensorData};
use dubito_nn::rng::{Purpose, Stream};
use dubito_nn::{
    Architecture, Boundary, Detector, Deterministic, Init, McDropoutPosterior, NetworkConfig, NnError, Posterior,
};

const SIZE: usize = 48;

fn net() -> Detector {
    let config = NetworkConfig { width: Some(16), ..NetworkConfig::new(3) };
    Detector::new(Architecture::Resnet18, &config, Init::Kaiming, 5, &Device::flex()).unwrap()
}

fn posterior(boundary: Boundary) -> McDropoutPosterior {
    McDropoutPosterior::new(net(), boundary, 0.3).unwrap()
}

fn images(items: usize) -> Tensor<4> {
    let mut stream = Stream::new(Purpose::Other, 2, 0, 0);
    let values: Vec<f32> = (0..items * 3 * SIZE * SIZE).map(|_| stream.normal()).collect();
    Tensor::from_data(TensorData::new(values, [items, 3, SIZE, SIZE]), &Device::flex())
}

fn values(t: Tensor<3>) -> Vec<f32> {
    t.into_data().iter::<f32>().collect()
}

fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() < tolerance, "{i}: {a} {b}");
    }
}

const BOUNDARIES: [Boundary; 4] = [Boundary::Head, Boundary::Stage(4), Boundary::Stage(2), Boundary::All];

#[test]
fn fifty_samples_equal_fifty_whole_passes_with_the_same_masks() {
    for boundary in BOUNDARIES {
        let posterior = posterior(boundary);
        let drawn = posterior.draw(images(2), 0..50, 11).unwrap();
        assert_eq!(drawn.dims(), [2, 50, 3]);
        let whole: Vec<Tensor<3>> = (0..50)
            .map(|t| {
                let p = posterior.whole_pass(images(2), t, 11).unwrap();
                p.reshape([2, 1, 3])
            })
            .collect();
        assert_close(&values(drawn.clone()), &values(Tensor::cat(whole, 1)), 1e-5);
        // The samples do differ, and each is a distribution.
        let all = values(drawn);
        assert!((all[0] - all[3]).abs() > 1e-4, "{boundary}");
        for p in all.chunks_exact(3) {
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn samples_do_not_depend_on_batch_order_range_or_memory() {
    for boundary in BOUNDARIES {
        let posterior = posterior(boundary);
        let x = images(5);
        let all = values(posterior.draw(x.clone(), 0..6, 3).unwrap());
        let item = |i: usize| &all[i * 18..(i + 1) * 18];
        for i in [0, 4] {
            let alone = posterior.draw(x.clone().narrow(0, i, 1), 0..6, 3).unwrap();
            assert_close(&values(alone), item(i), 1e-6);
        }
        let turned = values(posterior.draw(x.clone().flip([0]), 0..6, 3).unwrap());
        assert_close(&turned[..18], item(4), 1e-6);
        let parts = [0..1, 1..4, 4..6].map(|range| posterior.draw(x.clone(), range, 3).unwrap());
        assert_close(&values(Tensor::cat(parts.to_vec(), 1)), &all, 1e-6);
        let little = posterior.clone().with_memory(1);
        assert_close(&values(little.draw(x.clone(), 0..6, 3).unwrap()), &all, 1e-6);
        assert_ne!(values(posterior.draw(x, 0..6, 4).unwrap()), all);
    }
}

#[test]
fn a_stream_hands_out_every_sample_once_and_in_order() {
    let posterior = posterior(Boundary::Stage(3)).with_memory(1);
    let mut next = 7;
    posterior
        .stream(images(2), 7..12, 1, &mut |range, chunk| {
            assert_eq!(range, next..next + 1);
            assert_eq!(chunk.dims(), [2, 1, 3]);
            next = range.end;
            Ok(())
        })
        .unwrap();
    assert_eq!(next, 12);
}

fn entropy(p: &[f64]) -> f64 {
    -p.iter().map(|&p| if p > 0.0 { p * p.ln() } else { 0.0 }).sum::<f64>()
}

/// Total and aleatoric entropy of one item's samples `[samples, classes]`, in nats.
fn entropies(samples: &[f64]) -> [f64; 2] {
    let n = samples.len() as f64 / 3.0;
    let mut mean = [0.0; 3];
    let mut aleatoric = 0.0;
    for p in samples.chunks_exact(3) {
        for (m, p) in mean.iter_mut().zip(p) {
            *m += p / n;
        }
        aleatoric += entropy(p) / n;
    }
    [entropy(&mean), aleatoric]
}

#[test]
fn a_video_of_one_frame_repeated_has_that_frames_uncertainty() {
    for boundary in BOUNDARIES {
        let posterior = posterior(boundary);
        let frame = images(1);
        let as_f64 = |t| values(t).into_iter().map(f64::from).collect::<Vec<_>>();
        let one = as_f64(posterior.draw(frame.clone(), 0..20, 9).unwrap());
        let video = as_f64(posterior.draw(frame.repeat_dim(0, 32), 0..20, 9).unwrap());
        // Each sample is averaged over frames first.
        let mut mean = vec![0.0; 60];
        for frame in video.chunks_exact(60) {
            for (m, p) in mean.iter_mut().zip(frame) {
                *m += p / 32.0;
            }
        }
        let (frame, video) = (entropies(&one), entropies(&mean));
        let epistemic = frame[0] - frame[1];
        assert!(epistemic > 1e-4, "{boundary}: the test needs some doubt, {epistemic}");
        for (f, v) in frame.iter().zip(video) {
            assert!((f - v).abs() < 1e-6, "{boundary}: {f} {v}");
        }
    }
}

#[test]
fn a_deterministic_detector_gives_the_same_sample_every_time() {
    let certain = Deterministic::new(net());
    let p = values(certain.draw(images(2), 0..3, 0).unwrap());
    assert_eq!(p[..3], p[3..6]);
    assert_eq!(p[..3], p[6..9]);
    assert_ne!(p[..3], p[9..12]);
    // Dropout at rate 0 is the same network.
    let never = McDropoutPosterior::new(net(), Boundary::All, 0.0).unwrap();
    assert_close(&values(never.draw(images(2), 0..3, 0).unwrap()), &p, 1e-6);
}

#[test]
fn bad_settings_and_inputs_are_errors() {
    for rate in [-0.1, 1.0, f32::NAN] {
        assert!(matches!(McDropoutPosterior::new(net(), Boundary::Head, rate), Err(NnError::Setting { .. })));
    }
    let posterior = posterior(Boundary::Head);
    assert!(posterior.draw(images(1), 3..3, 0).is_err());
    let grey = Tensor::zeros([1, 1, SIZE, SIZE], &Device::flex());
    assert!(matches!(posterior.draw(grey, 0..2, 0), Err(NnError::Input { .. })));
}
