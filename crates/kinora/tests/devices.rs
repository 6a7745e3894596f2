//! What a GPU computes is what the processor computes. Empty in builds without GPUs:
//! `cargo test --release -p kinora --features vulkan --test devices`.
#![cfg(any(feature = "cuda", feature = "vulkan", feature = "metal"))]

use burn::tensor::{Device, DeviceType, Tensor, TensorData};
use kinora_kernels::{
    Activation, Precision, attention, conv3d, gate_residual, linear, norm_modulate, rms_norm_rope,
    warp,
};
use tempfile::tempdir;

#[cfg(feature = "cuda")]
const GPU: (&str, DeviceType) = ("cuda", DeviceType::Cuda);
#[cfg(all(feature = "vulkan", not(feature = "cuda")))]
const GPU: (&str, DeviceType) = ("vulkan", DeviceType::Wgpu);
#[cfg(all(feature = "metal", not(any(feature = "cuda", feature = "vulkan"))))]
const GPU: (&str, DeviceType) = ("metal", DeviceType::Metal);

/// Numbers that look random, from −1 to 1.
fn numbers<const D: usize>(shape: [usize; D], seed: u32, device: &Device) -> Tensor<D> {
    let mut state = seed;
    let values = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    });
    let values: Vec<f32> = values.take(shape.iter().product()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[track_caller]
fn agree<const D: usize>(what: &str, compute: impl Fn(&Device) -> Tensor<D>) {
    let values =
        |device: &Device| -> Vec<f32> { compute(device).into_data().try_to_vec().unwrap() };
    let gpus = Device::enumerate(GPU.1).into_vec();
    let gpu = gpus
        .first()
        .expect("a build for GPUs is tested where there is one");
    let (expected, got) = (values(&Device::flex()), values(gpu));
    let largest = expected
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));
    for (expected, got) in expected.iter().zip(&got) {
        assert!(
            (expected - got).abs() <= 1e-5 * largest,
            "{what}: {got} for {expected}"
        );
    }
    assert_eq!(expected.len(), got.len(), "{what}");
}

#[test]
fn operations_agree_with_the_processor() {
    let exact = Precision::F32;
    for activation in [Activation::None, Activation::GeluTanh, Activation::Silu] {
        agree("linear", |device| {
            let (x, weight) = (
                numbers([2, 24, 36], 1, device),
                numbers([36, 40], 2, device),
            );
            linear(x, weight, numbers([40], 3, device), activation, exact)
        });
    }
    agree("conv3d", |device| {
        let (x, weight) = (
            numbers([1, 3, 8, 8, 16], 1, device),
            numbers([3, 3, 3, 16, 12], 2, device),
        );
        conv3d(x, weight, numbers([12], 3, device), Activation::Silu, exact)
    });
    agree("norm and modulation", |device| {
        let x = numbers([2, 24, 36], 1, device);
        norm_modulate(
            x,
            numbers([2, 36], 2, device),
            numbers([2, 36], 3, device),
            1e-6,
        )
    });
    agree("residual", |device| {
        let (x, h) = (
            numbers([2, 24, 36], 1, device),
            numbers([2, 24, 36], 3, device),
        );
        gate_residual(x, numbers([2, 36], 2, device), h)
    });
    agree("norm of heads", |device| {
        rms_norm_rope(
            numbers([2, 16, 2, 64], 1, device),
            numbers([64], 2, device),
            None,
            1e-6,
        )
    });
    agree("warp", |device| {
        warp(
            numbers([1, 2, 8, 8, 4], 1, device),
            numbers([1, 2, 8, 8, 2], 2, device),
        )
    });
}

/// A query that sees no key gets zeros: what an empty prompt asks for.
#[test]
fn attention_agrees_with_the_processor_whatever_is_hidden() {
    for hidden in [0..0, 30..40, 40..80, 5..80] {
        agree("attention", |device| {
            let mut bias = vec![0.0; 2 * 40];
            bias[hidden.clone()].fill(f32::NEG_INFINITY);
            let bias = Tensor::from_data(TensorData::new(bias, [2, 40]), device);
            let [k, v] = [2, 3].map(|seed| numbers([2, 40, 2, 64], seed, device));
            attention(
                numbers([2, 16, 2, 64], 1, device),
                k,
                v,
                Some(bias),
                Precision::F32,
            )
        });
    }
}

#[test]
fn clips_look_as_those_of_the_processor() {
    let folder = tempdir().unwrap();
    let make = |device: &str| {
        assert_cmd::Command::cargo_bin("kinora")
            .expect("the program is built")
            .current_dir(folder.path())
            .env("XDG_DATA_HOME", folder.path().join("data"))
            .args([
                "image",
                "a koala on a beach",
                "--size",
                "176x96",
                "--seed",
                "1",
                "--no-upscale",
            ])
            .args(["--steps", "4", "--device", device, "-o"])
            .arg(format!("{device}.png"))
            .assert()
            .success();
        kinora_media::read_picture(&folder.path().join(format!("{device}.png"))).unwrap()
    };
    let (expected, got) = (make("cpu"), make(GPU.0));
    let pairs = expected.pixels().iter().zip(got.pixels());
    let squared: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    let error = (squared / expected.pixels().len() as f64).sqrt();
    // The processor multiplies in bfloat16.
    assert!(error < 4.0, "{error} levels");
}
