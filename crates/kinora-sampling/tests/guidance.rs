//! Guidance against what diffusers' guiders give; the golden file is made by `bench/parity/guidance.py`.

use burn::tensor::{Device, Tensor, TensorData};
use kinora_sampling::{Apg, apg, cfg_zero, guide};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    shape: [usize; 3],
    /// Predictions with the prompt and without it.
    steps: Vec<[Vec<f32>; 2]>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    kind: String,
    scale: f32,
    outputs: Vec<Vec<f32>>,
    #[serde(default)]
    momentum: f32,
    #[serde(default)]
    eta: f32,
    #[serde(default)]
    threshold: f32,
}

fn golden() -> (Golden, Vec<[Tensor<3>; 2]>) {
    let golden: Golden = serde_json::from_str(include_str!("data/guidance.json")).unwrap();
    let device = Device::flex();
    let tensor = |values: &Vec<f32>| {
        Tensor::from_data(TensorData::new(values.clone(), golden.shape), &device)
    };
    let steps = golden.steps.iter();
    let steps = steps.map(|step| step.each_ref().map(tensor)).collect();
    (golden, steps)
}

fn values(x: Tensor<3>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

#[track_caller]
fn check(made: Tensor<3>, expected: &[f32]) {
    let made = values(made);
    assert_eq!(made.len(), expected.len());
    for (a, b) in made.iter().zip(expected) {
        assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} and {b}");
    }
}

#[test]
fn guidance_is_as_upstream() {
    let (golden, steps) = golden();
    for case in &golden.cases {
        let mut average = None;
        for ([positive, negative], expected) in steps.iter().zip(&case.outputs) {
            let (positive, negative) = (positive.clone(), negative.clone());
            let made = match case.kind.as_str() {
                "cfg-zero" => cfg_zero(positive, negative, case.scale),
                _ => {
                    let settings = Apg {
                        momentum: case.momentum,
                        norm_threshold: (case.threshold > 0.0).then_some(case.threshold),
                        eta: case.eta,
                    };
                    apg(positive, negative, case.scale, settings, &mut average)
                }
            };
            check(made, expected);
        }
    }
}

#[test]
fn plain_guidance_is_a_special_case_of_projected_guidance() {
    let (_, steps) = golden();
    let settings = Apg {
        momentum: 0.0,
        norm_threshold: None,
        eta: 1.0,
    };
    for [positive, negative] in steps {
        let plain = guide(positive.clone(), negative.clone(), 4.0);
        let made = apg(positive, negative, 4.0, settings, &mut None);
        check(made, &values(plain));
    }
}
