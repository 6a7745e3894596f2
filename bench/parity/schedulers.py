"""Writes the golden file of crates/kinora-sampling/tests: levels and trajectories of diffusers' schedulers.

The denoiser is a formula that both sides know: velocity(x, t) = x · cos(t / 500) − t / 1000.
"""

import json
import pathlib

import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

FILE = pathlib.Path(__file__).parents[2] / "crates/kinora-sampling/tests/data/schedulers.json"
START = [0.5, -1.25, 2.0, 0.0625]


def run(scheduler, steps):
    scheduler.set_timesteps(steps)
    x = torch.tensor(START)[None]
    states = []
    for t in scheduler.timesteps:
        velocity = x * torch.cos(t.float() / 500) - t.float() / 1000
        x = scheduler.step(velocity, t, x, return_dict=False)[0]
        states.append(x[0].tolist())
    return dict(sigmas=scheduler.sigmas.tolist(), timesteps=scheduler.timesteps.tolist(), states=states)


def euler(steps, shift):
    return dict(kind="euler", steps=steps, shift=shift, **run(FlowMatchEulerDiscreteScheduler(shift=shift), steps))


def unipc(steps, shift, order):
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, solver_order=order
    )
    return dict(kind="unipc", steps=steps, shift=shift, order=order, **run(scheduler, steps))


def dpm(steps, shift):
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
    return dict(kind="dpm++", steps=steps, shift=shift, **run(scheduler, steps))


if __name__ == "__main__":
    cases = [euler(1, 1.0), euler(7, 3.0), euler(30, 5.0)]
    cases += [unipc(1, 3.0, 2), unipc(2, 1.0, 2), unipc(10, 5.0, 2), unipc(30, 3.0, 2), unipc(8, 8.0, 1), unipc(9, 3.0, 3)]
    cases += [dpm(1, 3.0), dpm(2, 1.0), dpm(10, 5.0), dpm(30, 3.0)]
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
