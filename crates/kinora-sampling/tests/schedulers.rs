//! Schedules and solvers against what diffusers gives; the golden file is made by `bench/parity/schedulers.py`.

use burn::tensor::{Device, Tensor, TensorData};
use kinora_sampling::{
    DpmPlusPlus, UniPc, dpm_schedule, euler, euler_schedule, steps, unipc_schedule,
};
use serde::Deserialize;

const START: [f32; 4] = [0.5, -1.25, 2.0, 0.0625];

#[derive(Deserialize)]
struct Case {
    kind: String,
    steps: usize,
    shift: f64,
    order: Option<usize>,
    sigmas: Vec<f32>,
    timesteps: Vec<f32>,
    states: Vec<Vec<f32>>,
}

/// ‖a − b‖ / ‖b‖
fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    (difference / b.iter().map(|b| square(*b)).sum::<f64>()).sqrt()
}

#[test]
fn schedules_and_solvers_are_as_upstream() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/schedulers.json")).unwrap();
    for case in cases {
        let schedule = match case.kind.as_str() {
            "euler" => euler_schedule(case.steps, case.shift),
            "dpm++" => dpm_schedule(case.steps, case.shift),
            _ => unipc_schedule(case.steps, case.shift),
        };
        let what = format!("{} {} steps, shift {}", case.kind, case.steps, case.shift);
        assert!(
            relative_error(&schedule.sigmas, &case.sigmas) < 1e-7,
            "{what}"
        );
        assert!(
            relative_error(&schedule.timesteps, &case.timesteps) < 1e-7,
            "{what}"
        );

        let mut dpm = (case.kind == "dpm++").then(|| DpmPlusPlus::new(&schedule.sigmas));
        let mut solver = case.order.map(|order| UniPc::new(&schedule.sigmas, order));
        let mut x =
            Tensor::<2>::from_data(TensorData::new(START.to_vec(), [1, 4]), &Device::flex());
        let mut worst = 0.0_f64;
        for ((step, t), upstream) in steps(&schedule.sigmas)
            .into_iter()
            .zip(&schedule.timesteps)
            .zip(&case.states)
        {
            let velocity = x.clone() * (t / 500.0).cos() - t / 1000.0;
            x = match (&mut solver, &mut dpm) {
                (Some(solver), _) => solver.step(x, velocity),
                (None, Some(solver)) => solver.step(x, velocity),
                (None, None) => euler(x, velocity, step),
            };
            let ours: Vec<f32> = x.to_data().try_into_vec().unwrap();
            worst = worst.max(relative_error(&ours, upstream));
        }
        println!("{what}: {worst:.1e}");
        assert!(worst < 1e-6, "{what}: {worst:.1e}");
    }
}
