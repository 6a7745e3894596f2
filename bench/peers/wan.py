"""diffusers' side of `cargo xtask speed`: Wan's networks at their real widths, with random weights.

    wan.py make FOLDER [--layers N] [--text-layers N]   a pipeline's folder, and inputs with what f32 makes of them
    wan.py serve CASE FOLDER                            loads one network in bf16, answers questions on stdin
    wan.py start FOLDER                                 a whole pipeline, says when its first step is done

Weights are exact in bf16, so that both sides and the truth in f32 have the same.
"""

import argparse
import json
import pathlib
import sys
import time

STARTED = time.perf_counter()
BF16_CASES = ("transformer-1280", "transformer-4096", "decode-17x256x256", "text-512", "text-32")
# What the `start` of both sides is asked for.
PROMPT = "a red fox runs through the snow at night"
SIZE, FRAMES, STEPS = 256, 17, 20


def torch_modules():
    """Imported where it is used: `start` counts what it takes."""
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "parity"))
    import networks
    import torch

    return torch, networks


def inputs_of(case, torch):
    torch.manual_seed(len(case))
    rounded = lambda *shape: torch.randn(*shape).bfloat16()
    kind, size = case.split("-")
    if kind == "transformer":
        # Patches of 2 x 2: 17 frames of 256 x 256, and 13 of 512 x 512.
        latents = {"1280": (5, 32, 32), "4096": (4, 64, 64)}[size]
        return dict(
            hidden_states=rounded(1, 16, *latents), encoder_hidden_states=rounded(1, 512, 4096),
            timestep=torch.tensor([900.0]),
        )  # fmt: skip
    if kind == "decode":
        return dict(latents=rounded(1, 16, 5, 32, 32))
    # All tokens count, or as many as a prompt of twenty words has.
    counted = int(size)
    ids = torch.randint(3, 150, (1, 512))
    mask = (torch.arange(512)[None] < counted).long()
    return dict(input_ids=ids * mask, attention_mask=mask)


def runner(case, networks):
    return {"transformer": networks.run_transformer, "decode": networks.run_decoder, "text": networks.run_text}[
        case.split("-")[0]
    ]


def load(case, folder, dtype):
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from transformers import UMT5EncoderModel

    kind = case.split("-")[0]
    network, part = {
        "transformer": (WanTransformer3DModel, "transformer"),
        "decode": (AutoencoderKLWan, "vae"),
        "text": (UMT5EncoderModel, "text_encoder"),
    }[kind]
    return network.from_pretrained(folder / part, torch_dtype=dtype).eval()


def make(folder, layers, text_layers):
    torch, networks = torch_modules()
    import pipelines
    from diffusers import WanPipeline
    from safetensors.torch import save_file

    bf16 = torch.bfloat16
    words = pipelines.tokenizer()
    pipeline = WanPipeline(
        tokenizer=words,
        text_encoder=networks.text_encoder(
            4, bf16, vocab_size=len(words), d_model=4096, d_kv=64, d_ff=10240, num_layers=text_layers, num_heads=64
        ),
        transformer=networks.transformer(
            1, bf16, num_attention_heads=12, attention_head_dim=128, in_channels=16, out_channels=16, text_dim=4096,
            freq_dim=256, ffn_dim=8960, num_layers=layers,
        ),
        vae=networks.autoencoder(
            2, bf16, base_dim=96, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2,
            temperal_downsample=[False, True, True],
        ),
        scheduler=pipelines.unipc(3.0),
    )  # fmt: skip
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    networks_of = {"transformer": pipeline.transformer, "decode": pipeline.vae, "text": pipeline.text_encoder}
    for case in BF16_CASES:
        inputs = inputs_of(case, torch)
        print(f"f32: {case}", flush=True)
        exact = {name: value.float() if value.dtype == bf16 else value for name, value in inputs.items()}
        truth = runner(case, networks)(networks_of[case.split("-")[0]], exact)
        save_file({**exact, "truth": truth.contiguous()}, folder / f"inputs/{case}.safetensors")
    pipeline.to(bf16).save_pretrained(folder, max_shard_size="5GB")


def peak_bytes():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024


def answer(**values):
    print(json.dumps(values), flush=True)


def serve(case, folder):
    torch, networks = torch_modules()
    import diffusers
    import transformers
    from safetensors.torch import load_file, save_file

    bf16 = torch.bfloat16
    model = load(case, folder, bf16)
    inputs = load_file(folder / f"inputs/{case}.safetensors")
    del inputs["truth"]
    if case.startswith(("transformer", "decode")):
        inputs = {name: value if name == "timestep" else value.to(bf16) for name, value in inputs.items()}
    run = runner(case, networks)
    versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}, transformers {transformers.__version__}"
    answer(name=f"{versions}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    output = None
    for line in sys.stdin:
        request = json.loads(line)
        if request == "run":
            start = time.perf_counter()
            output = run(model, inputs)
            answer(ms=1e3 * (time.perf_counter() - start))
        elif "save" in request:
            save_file({"output": output.float().contiguous()}, request["save"])
            answer(saved=True)
        elif request == "peak":
            answer(bytes=peak_bytes())


def start(folder):
    import torch
    from diffusers import WanPipeline

    pipeline = WanPipeline.from_pretrained(folder, torch_dtype=torch.bfloat16)
    loaded = time.perf_counter() - STARTED

    def first(pipeline, step, timestep, values):
        answer(loaded_s=loaded, first_step_s=time.perf_counter() - STARTED, bytes=peak_bytes())
        sys.exit(0)

    pipeline(
        prompt=PROMPT, negative_prompt="blurry", height=SIZE, width=SIZE, num_frames=FRAMES, guidance_scale=5.0,
        num_inference_steps=STEPS, callback_on_step_end=first,
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("make")
    made.add_argument("folder", type=pathlib.Path)
    made.add_argument("--layers", type=int, default=4)
    made.add_argument("--text-layers", type=int, default=2)
    served = commands.add_parser("serve")
    served.add_argument("case", choices=BF16_CASES)
    served.add_argument("folder", type=pathlib.Path)
    commands.add_parser("start").add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    if args.command == "make":
        make(args.folder, args.layers, args.text_layers)
    elif args.command == "serve":
        serve(args.case, args.folder)
    else:
        start(args.folder)


if __name__ == "__main__":
    main()
