"""Random sizes of every network: upstream against `cargo xtask parity`. Prints the relative errors and the worst."""

import argparse
import copy
import pathlib
import random
import subprocess
import tempfile

import networks as n
import torch
from safetensors.torch import load_file, save_file

REPOSITORY = pathlib.Path(__file__).parents[2]
BOUND = 1e-4


def random_transformer(seed):
    heads, head_dim = random.choice([1, 2, 3]), random.choice([6, 8, 10, 16, 22])
    sizes = dict(
        patch_size=random.choice([(1, 2, 2), (1, 1, 1), (2, 2, 1), (1, 3, 2)]), num_attention_heads=heads,
        attention_head_dim=head_dim, in_channels=random.randint(1, 9), out_channels=random.choice([None, 3, 8]),
        text_dim=random.randint(1, 40), freq_dim=random.choice([2, 8, 64]), ffn_dim=random.randint(1, 70),
        num_layers=random.randint(1, 4), cross_attn_norm=random.random() < 0.7, eps=random.choice([1e-6, 1e-3]),
    )  # fmt: skip
    image_tokens = None
    if random.random() < 0.4:
        image_tokens = random.randint(1, 9)
        sizes.update(image_dim=random.randint(2, 20), added_kv_proj_dim=random.choice([None, heads * head_dim]))
        if random.random() < 0.5:
            sizes.update(pos_embed_seq_len=2 * image_tokens)
    is_vace = random.random() < 0.3
    if is_vace:
        rest = range(1, sizes["num_layers"])
        sizes.update(vace_layers=[0, *(i for i in rest if random.random() < 0.5)], vace_in_channels=random.randint(1, 9))
    model = n.transformer(seed, torch.float32, **sizes)
    text_tokens = 512 if image_tokens else random.randint(1, 40)
    size = [patch * random.randint(1, 5) + random.randint(0, patch - 1) for patch in sizes["patch_size"]]
    inputs = n.transformer_inputs(
        model, random.randint(1, 3), size, text_tokens, image_tokens,
        per_token=not is_vace and random.random() < 0.4,
    )  # fmt: skip
    return "wan-vace" if is_vace else "wan-transformer", model, inputs, n.run_transformer


def random_autoencoder(seed):
    is_residual = random.random() < 0.5
    mult = random.choice([[1, 2, 4, 4], [1, 2, 2], [1, 1], [2, 4, 4]] if not is_residual else [[1, 2, 4, 4], [1, 2, 2]])
    steps = len(mult) - 1
    halves = [False] * steps
    for step in random.sample(range(steps), random.randint(0, min(2, steps))):
        halves[step] = True
    patch = random.choice([None, 2]) if is_residual else None
    channels = 3 * (patch or 1) ** 2
    model = n.autoencoder(
        seed, torch.float32, base_dim=random.randint(2, 7), decoder_base_dim=random.choice([None, 4, 9]), dim_mult=mult,
        num_res_blocks=random.randint(1, 2), temperal_downsample=halves, z_dim=random.randint(1, 6),
        is_residual=is_residual, in_channels=channels, out_channels=channels, patch_size=patch,
    )  # fmt: skip
    batch, stride = random.randint(1, 2), 2**steps * (patch or 1)
    if random.random() < 0.5:
        latents = torch.randn(batch, model.config.z_dim, random.randint(1, 5), random.randint(1, 5), random.randint(1, 5))
        return "wan-decoder", model, dict(latents=latents), n.run_decoder
    height, width = (stride * random.randint(1, 3) for _ in range(2))
    if not is_residual:
        height, width = height + random.randint(0, stride), width + random.randint(0, stride)
    sample = torch.randn(batch, 3, random.randint(1, 14), height, width)
    return "wan-encoder", model, dict(sample=sample), n.run_encoder


def random_text_encoder(seed):
    model = n.text_encoder(
        seed, torch.float32, vocab_size=random.randint(3, 300), d_model=random.randint(2, 50), d_kv=random.randint(1, 20),
        d_ff=random.randint(1, 90), num_layers=random.randint(1, 4), num_heads=random.randint(1, 5),
        relative_attention_num_buckets=random.choice([8, 32]), relative_attention_max_distance=random.choice([20, 128]),
    )  # fmt: skip
    padded = random.choice([1, 7, 64, 300, 512])
    lengths = [random.randint(1, padded) for _ in range(random.randint(1, 3))]
    return "umt5", model, n.text_inputs(model, lengths, padded), n.run_text


def random_image_encoder(seed):
    heads = random.randint(1, 4)
    model = n.image_encoder(
        seed, torch.float32, hidden_size=heads * random.randint(1, 20), num_attention_heads=heads,
        intermediate_size=random.randint(1, 50), num_hidden_layers=random.randint(1, 4), patch_size=random.randint(1, 7),
        image_size=random.randint(7, 30), num_channels=random.choice([1, 3]), layer_norm_eps=random.choice([1e-5, 1e-3]),
    )  # fmt: skip
    return "clip-image", model, n.image_inputs(model, random.randint(1, 3)), n.run_image


FOLDERS = {"wan-transformer": "transformer", "wan-vace": "transformer", "wan-encoder": "vae", "wan-decoder": "vae", "umt5": "text_encoder", "clip-image": "image_encoder"}  # fmt: skip


def compare(network, model, inputs, run, dtype=torch.float32, shard="5GB", in_pipeline=True):
    """Relative error of `cargo xtask parity` on this checkpoint, stored as `dtype`, beside upstream."""
    expected = run(model, inputs)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        own = root / FOLDERS[network]
        copy.deepcopy(model).to(dtype).save_pretrained(own, max_shard_size=shard)
        save_file({key: value.contiguous() for key, value in inputs.items()}, root / "in.safetensors")
        subprocess.run(
            ["cargo", "xtask", "parity", network, "--checkpoint", root if in_pipeline else own, "--inputs",
             root / "in.safetensors", "--output", root / "out.safetensors"], cwd=REPOSITORY, check=True,
        )  # fmt: skip
        output = load_file(root / "out.safetensors")["output"]
    assert output.shape == expected.shape, (network, output.shape, expected.shape)
    error = ((output - expected).norm() / expected.norm()).item()
    print(f"{network:16} {str(tuple(expected.shape)):24}  {error:.1e}", flush=True)
    return error


def check(seed, make):
    random.seed(seed)
    torch.manual_seed(seed)
    network, model, inputs, run = make(seed)
    if network == "umt5" and random.random() < 0.5:
        inputs = {key: value.int() for key, value in inputs.items()}
    return compare(
        network, model, inputs, run, shard=random.choice(["20KB", "5GB"]), in_pipeline=random.random() < 0.5
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    makers = [random_transformer, random_autoencoder, random_text_encoder, random_image_encoder]
    worst = max(check(seed, make) for seed in range(args.first, args.first + args.seeds) for make in makers)
    print(f"worst {worst:.1e}, allowed {BOUND:.0e}")
    raise SystemExit(worst > BOUND)
