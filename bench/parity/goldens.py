"""Writes the golden files of crates/kinora-models/tests/data/wan: checkpoints, inputs and outputs."""

import argparse
import copy
import json
import pathlib
import shutil

import networks as n
import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).parents[2] / "crates/kinora-models/tests/data/wan"


class Golden:
    """One checkpoint and its cases."""

    def __init__(self, root, name, model, dtype, **save):
        self.folder = root / name
        self.model = model
        shutil.rmtree(self.folder, ignore_errors=True)
        copy.deepcopy(model).to(dtype).save_pretrained(self.folder, **save)
        # One line, and no numbers that the tests do not need.
        config = json.loads((self.folder / "config.json").read_text())
        (self.folder / "config.json").write_text(json.dumps(config, sort_keys=True) + "\n")

    def case(self, name, run, inputs):
        output = run(self.model, inputs)
        assert torch.isfinite(output).all(), name
        tensors = {**inputs, "output": output}
        save_file({key: value.contiguous() for key, value in tensors.items()}, self.folder / f"{name}.case")


def transformers(root):
    f16, bf16 = torch.float16, torch.bfloat16
    model = n.transformer(1, f16)
    golden = Golden(root, "t2v", model, f16)
    torch.manual_seed(101)
    golden.case("one_frame", n.run_transformer, n.transformer_inputs(model, 1, (1, 4, 6), 5))
    golden.case("odd_batch", n.run_transformer, n.transformer_inputs(model, 2, (3, 5, 7), 9))
    golden.case("many_frames", n.run_transformer, n.transformer_inputs(model, 1, (21, 2, 4), 3))

    model = n.transformer(
        2, bf16, patch_size=(2, 1, 2), num_attention_heads=3, attention_head_dim=8, out_channels=3, num_layers=3,
        cross_attn_norm=False, eps=1e-4, freq_dim=6,
    )  # fmt: skip
    golden = Golden(root, "t2v_sharded", model, bf16, max_shard_size="30KB")
    torch.manual_seed(102)
    golden.case("odd", n.run_transformer, n.transformer_inputs(model, 2, (5, 3, 5), 7))

    image = dict(in_channels=6, image_dim=10, added_kv_proj_dim=24, num_layers=1)
    model = n.transformer(3, f16, **image)
    golden = Golden(root, "i2v", model, f16)
    torch.manual_seed(103)
    golden.case("image", n.run_transformer, n.transformer_inputs(model, 2, (3, 4, 6), 512, 5))

    model = n.transformer(4, f16, pos_embed_seq_len=6, **image)
    golden = Golden(root, "flf2v", model, f16)
    torch.manual_seed(104)
    golden.case("two_images", n.run_transformer, n.transformer_inputs(model, 1, (2, 4, 4), 512, 3))
    golden.case("few_text_tokens", n.run_transformer, n.transformer_inputs(model, 2, (2, 4, 4), 280, 3))

    model = n.transformer(5, torch.float32, num_layers=1)
    golden = Golden(root, "ti2v", model, torch.float32)
    torch.manual_seed(105)
    golden.case("per_token", n.run_transformer, n.transformer_inputs(model, 2, (3, 4, 6), 8, per_token=True))
    golden.case("per_clip", n.run_transformer, n.transformer_inputs(model, 2, (3, 4, 6), 8))

    model = n.transformer(6, f16, num_layers=3, vace_layers=[0, 2], vace_in_channels=5, ffn_dim=8)
    golden = Golden(root, "vace", model, f16)
    torch.manual_seed(106)
    golden.case("control", n.run_transformer, n.transformer_inputs(model, 2, (3, 5, 6), 7))
    inputs = n.transformer_inputs(model, 1, (2, 4, 4), 5)
    inputs["control_hidden_states"] = inputs["control_hidden_states"][:, :, :1]
    del inputs["control_hidden_states_scale"]
    golden.case("short_control", n.run_transformer, inputs)


def autoencoders(root):
    f16 = torch.float16
    old = dict(base_dim=3, dim_mult=[1, 2, 2], num_res_blocks=1, temperal_downsample=[True, True])
    model = n.autoencoder(11, f16, **old)
    golden = Golden(root, "vae_2_1", model, f16)
    torch.manual_seed(111)
    golden.case("encode_one_frame", n.run_encoder, dict(sample=torch.randn(1, 3, 1, 12, 8)))
    golden.case("encode_odd_batch", n.run_encoder, dict(sample=torch.randn(2, 3, 7, 9, 11)))
    golden.case("encode_many_frames", n.run_encoder, dict(sample=torch.randn(1, 3, 21, 4, 8)))
    golden.case("decode_one_frame", n.run_decoder, dict(latents=torch.randn(1, 4, 1, 3, 2)))
    golden.case("decode_batch", n.run_decoder, dict(latents=torch.randn(2, 4, 3, 1, 3)))
    golden.case("decode_many_frames", n.run_decoder, dict(latents=torch.randn(1, 4, 6, 2, 1)))

    # The shape of the real one: four sizes, two blocks each, frames halved at the second and third step.
    deep = dict(base_dim=2, dim_mult=[1, 2, 2, 2], num_res_blocks=2, temperal_downsample=[False, True, True], z_dim=3)
    model = n.autoencoder(12, f16, **deep)
    golden = Golden(root, "vae_2_1_deep", model, f16)
    torch.manual_seed(112)
    golden.case("encode", n.run_encoder, dict(sample=torch.randn(1, 3, 9, 16, 8)))
    golden.case("decode", n.run_decoder, dict(latents=torch.randn(1, 3, 4, 2, 1)))

    new = dict(
        base_dim=1, decoder_base_dim=2, dim_mult=[1, 2, 4, 4], num_res_blocks=1, temperal_downsample=[False, True, True],
        z_dim=5, in_channels=12, out_channels=12, patch_size=2, is_residual=True, scale_factor_spatial=16,
    )  # fmt: skip
    model = n.autoencoder(13, f16, **new)
    golden = Golden(root, "vae_2_2", model, f16)
    torch.manual_seed(113)
    golden.case("encode_one_frame", n.run_encoder, dict(sample=torch.randn(1, 3, 1, 16, 32)))
    golden.case("encode_many_frames", n.run_encoder, dict(sample=torch.randn(1, 3, 9, 16, 16)))
    golden.case("encode_batch", n.run_encoder, dict(sample=torch.randn(2, 3, 6, 16, 16)))
    golden.case("decode_one_frame", n.run_decoder, dict(latents=torch.randn(2, 5, 1, 1, 1)))
    golden.case("decode_many_frames", n.run_decoder, dict(latents=torch.randn(1, 5, 3, 1, 1)))


def text_encoders(root):
    model = n.text_encoder(21, torch.bfloat16)
    golden = Golden(root, "umt5", model, torch.bfloat16)
    torch.manual_seed(121)
    golden.case("padded", n.run_text, n.text_inputs(model, [3, 12, 1], 12))
    golden.case("long", n.run_text, n.text_inputs(model, [150], 150))

    model = n.text_encoder(
        22, torch.float32, d_kv=6, num_heads=4, num_layers=3, d_ff=10, relative_attention_num_buckets=10,
        relative_attention_max_distance=20,
    )  # fmt: skip
    golden = Golden(root, "umt5_few_buckets", model, torch.float32)
    torch.manual_seed(122)
    golden.case("padded", n.run_text, n.text_inputs(model, [40, 17], 41))


def image_encoders(root):
    model = n.image_encoder(31, torch.float16)
    golden = Golden(root, "clip", model, torch.float16)
    torch.manual_seed(131)
    golden.case("pictures", n.run_image, n.image_inputs(model, 2))


def pictures(root):
    """What CLIP's preprocessor makes of pictures of several shapes."""
    cases = {}
    for i, size in enumerate([(37, 61), (80, 24), (14, 14), (9, 11), (60, 97)]):
        given = n.pixels(140 + i, size)[0]
        made = n.image_processor(14)(images=n.picture(given), return_tensors="pt").pixel_values
        cases[f"{i}.picture"], cases[f"{i}.prepared"] = given, made.contiguous()
    save_file(cases, root / "clip/prepared.pictures")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, default=ROOT)
    root = parser.parse_args().root
    torch.set_num_threads(1)
    transformers(root)
    autoencoders(root)
    text_encoders(root)
    image_encoders(root)
    pictures(root)
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"{size // 1024} KiB in {root}")
