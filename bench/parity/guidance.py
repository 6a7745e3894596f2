"""Writes crates/kinora-sampling/tests/data/guidance.json: what the guiders of diffusers make of small predictions."""

import json
import pathlib

import torch
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance
from diffusers.guiders.classifier_free_zero_star_guidance import cfg_zero_star_scale

FILE = pathlib.Path(__file__).parents[2] / "crates/kinora-sampling/tests/data/guidance.json"
SHAPE = (2, 3, 4)


def zero_star(positive, negative, scale):
    factor = cfg_zero_star_scale(positive.flatten(1), negative.flatten(1)).view(-1, 1, 1)
    return factor * negative + scale * (positive - factor * negative)


def projected(steps, scale, momentum, eta, threshold):
    buffer = MomentumBuffer(momentum)
    # The original formulation adds `scale - 1` times what guidance adds.
    return [
        normalized_guidance(positive, negative, scale - 1, buffer, eta, threshold, use_original_formulation=True)
        for positive, negative in steps
    ]


if __name__ == "__main__":
    torch.manual_seed(201)
    steps = [(torch.randn(SHAPE), torch.randn(SHAPE)) for _ in range(3)]
    steps = [(positive, positive + 0.5 * difference) for positive, difference in steps]
    cases = [
        dict(kind="cfg-zero", scale=scale, outputs=[zero_star(*step, scale).flatten().tolist() for step in steps])
        for scale in [1.0, 3.5, 7.0]
    ]
    for scale, momentum, eta, threshold in [(5.0, -0.5, 0.0, 0.0), (5.0, -0.75, 0.0, 1.5), (9.0, 0.3, 0.5, 0.8)]:
        outputs = [made.flatten().tolist() for made in projected(steps, scale, momentum, eta, threshold)]
        settings = dict(momentum=momentum, eta=eta, threshold=threshold)
        cases.append(dict(kind="apg", scale=scale, outputs=outputs, **settings))
    steps = [[positive.flatten().tolist(), negative.flatten().tolist()] for positive, negative in steps]
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(dict(shape=SHAPE, steps=steps, cases=cases)) + "\n")
