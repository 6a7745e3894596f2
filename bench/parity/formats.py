"""Writes crates/kinora-models/tests/data/wan/formats: GGUF blocks of every type with what they mean, files of torch.save, and the names that
Wan's own files and llama.cpp give to the tensors of the golden checkpoints."""

import json
import pathlib
import re

import gguf
import numpy as np
import torch
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers, convert_wan_vae_to_diffusers
from safetensors import safe_open
from safetensors.numpy import save_file
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).parents[2] / "crates/kinora-models/tests/data/wan"

# Where the half-precision scales of a block stand; all other bytes may be anything.
SCALES = dict(
    Q4_0=[0], Q4_1=[0, 2], Q5_0=[0], Q5_1=[0, 2], Q8_0=[0], Q4_K=[0, 2], Q5_K=[0, 2], Q6_K=[208], Q2_K=[80, 82], Q3_K=[108],
)  # fmt: skip


def blocks(folder):
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(folder / "blocks.gguf", "wan")
    # Entries of every kind, which a reader has to step over.
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc", ""])
    writer.add_array("some.floats", [0.5, 2.0])
    writer.add_bool("some.flag", True)
    writer.add_int64("some.number", -3)
    writer.add_float64("some.float", 1.5)
    expected = {}
    for name, places in SCALES.items():
        kind = gguf.GGMLQuantizationType[name]
        length, size = gguf.GGML_QUANT_SIZES[kind]
        rows, count = 2, 512 // length
        data = random.integers(0, 256, (rows * count, size), dtype=np.uint8)
        for place in places:
            scales = random.normal(0, 0.1, rows * count).astype(np.float16)
            data[:, place : place + 2] = scales[:, None].view(np.uint8)
        data = data.reshape(rows, count * size)
        writer.add_tensor(name, data, raw_dtype=kind)
        expected[name] = gguf.quants.dequantize(data, kind)
    plain = random.normal(0, 1, (3, 7)).astype(np.float32)
    for name in ["F32", "F16", "BF16"]:
        kind = gguf.GGMLQuantizationType[name]
        data = gguf.quants.quantize(plain, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
        expected[name] = gguf.quants.dequantize(data, kind).astype(np.float32).reshape(3, 7)
    # Five axes, as ComfyUI's files have them, and an axis count that ggml has.
    writer.add_tensor("five", plain[:2, :6].copy().reshape(1, 2, 1, 2, 3))
    expected["five"] = plain[:2, :6].copy().reshape(1, 2, 1, 2, 3)
    writer.add_tensor("reshaped", plain[:2, :6].copy().reshape(4, 3))
    writer.add_array("comfy.gguf.orig_shape.reshaped", [6, 2])
    expected["reshaped"] = plain[:2, :6].copy().reshape(6, 2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, folder / "blocks.safetensors")


def saved(folder):
    """Files of torch.save: tensors of every kind, and the text encoder as Wan's own folder has it."""
    generator = torch.Generator().manual_seed(2)
    plain = torch.randn(6, 4, generator=generator)
    tensors = {
        "f32": plain,
        "rows": plain[2:4],
        "turned": plain.t(),
        "every_second": plain[::2, 1::2],
        "repeated": torch.arange(3.0).expand(1, 3),
        "bf16": plain.bfloat16(),
        "f16": plain.half(),
        "i8": torch.arange(-3, 3, dtype=torch.int8),
        "parameter": torch.nn.Parameter(plain[0].clone()),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    }
    expected = {name: tensor.detach().float().contiguous().numpy() for name, tensor in tensors.items()}
    save_file(expected, folder / "saved.safetensors")
    counted = dict(tensors, steps=torch.tensor([7]))
    torch.save({"state_dict": counted, "epoch": 3, "rate": 0.5, "names": ["a"], "done": True}, folder / "saved.pth")
    weights = load_file(ROOT / "umt5/model.safetensors")
    torch.save({replace(TEXT, name): tensor for name, tensor in weights.items()}, folder / "umt5.pth")


TRANSFORMER = [
    (r"^condition_embedder\.time_embedder\.linear_1\.", "time_embedding.0."),
    (r"^condition_embedder\.time_embedder\.linear_2\.", "time_embedding.2."),
    (r"^condition_embedder\.text_embedder\.linear_1\.", "text_embedding.0."),
    (r"^condition_embedder\.text_embedder\.linear_2\.", "text_embedding.2."),
    (r"^condition_embedder\.time_proj\.", "time_projection.1."),
    (r"^condition_embedder\.image_embedder\.norm1\.", "img_emb.proj.0."),
    (r"^condition_embedder\.image_embedder\.ff\.net\.0\.proj\.", "img_emb.proj.1."),
    (r"^condition_embedder\.image_embedder\.ff\.net\.2\.", "img_emb.proj.3."),
    (r"^condition_embedder\.image_embedder\.norm2\.", "img_emb.proj.4."),
    (r"^condition_embedder\.image_embedder\.pos_embed", "img_emb.emb_pos"),
    (r"^scale_shift_table", "head.modulation"),
    (r"^proj_out\.", "head.head."),
    (r"^(blocks\.\d+|vace_blocks\.\d+)\.scale_shift_table", r"\1.modulation"),
    (r"^(vace_blocks\.\d+)\.proj_in\.", r"\1.before_proj."),
    (r"^(vace_blocks\.\d+)\.proj_out\.", r"\1.after_proj."),
    (r"\.norm2\.", ".norm3."),
    (r"\.attn1\.", ".self_attn."),
    (r"\.attn2\.", ".cross_attn."),
    (r"\.to_out\.0\.", ".o."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.add_([kv])_proj\.", r".\1_img."),
    (r"\.norm_added_k\.", ".norm_k_img."),
    (r"\.ffn\.net\.0\.proj\.", ".ffn.0."),
    (r"\.ffn\.net\.2\.", ".ffn.2."),
]

RESIDUAL = [
    (r"\.norm1\.", ".residual.0."),
    (r"\.conv1\.", ".residual.2."),
    (r"\.norm2\.", ".residual.3."),
    (r"\.conv2\.", ".residual.6."),
    (r"\.conv_shortcut\.", ".shortcut."),
]
AUTOENCODER = [
    (r"\.conv_in\.", ".conv1."),
    (r"\.norm_out\.", ".head.0."),
    (r"\.conv_out\.", ".head.2."),
    (r"\.mid_block\.resnets\.0\.", ".middle.0."),
    (r"\.mid_block\.attentions\.0\.", ".middle.1."),
    (r"\.mid_block\.resnets\.1\.", ".middle.2."),
    (r"^quant_conv\.", "conv1."),
    (r"^post_quant_conv\.", "conv2."),
]
TEXT = [
    (r"^shared\.", "token_embedding."),
    (r"^encoder\.final_layer_norm\.", "norm."),
    (r"^encoder\.block\.", "blocks."),
    (r"\.layer\.0\.layer_norm\.", ".norm1."),
    (r"\.layer\.1\.layer_norm\.", ".norm2."),
    (r"\.layer\.0\.SelfAttention\.relative_attention_bias\.", ".pos_embedding.embedding."),
    (r"\.layer\.0\.SelfAttention\.", ".attn."),
    (r"\.layer\.1\.DenseReluDense\.wi_0\.", ".ffn.gate.0."),
    (r"\.layer\.1\.DenseReluDense\.wi_1\.", ".ffn.fc1."),
    (r"\.layer\.1\.DenseReluDense\.wo\.", ".ffn.fc2."),
]


def replace(rules, name):
    for pattern, to in rules:
        name = re.sub(pattern, to, name)
    return name


def autoencoder_2_1(name, count):
    """`count` is the number of blocks at each size of the decoder; blocks and steps up are in one list."""
    if re.search("resnets|down_blocks", name):
        name = replace(RESIDUAL, name)
    name = replace(AUTOENCODER, name).replace("down_blocks.", "downsamples.")
    if up := re.match(r"(.*)up_blocks\.(\d+)\.(?:resnets\.(\d+)|upsamplers\.0)\.(.*)", name):
        place = int(up[2]) * (count + 1) + (count if up[3] is None else int(up[3]))
        name = f"{up[1]}upsamples.{place}.{up[4]}"
    return name


def autoencoder_2_2(name, encoder, decoder):
    """Numbers of blocks at each size; a step follows them in the list of its size."""
    if "resnets" in name:
        name = replace(RESIDUAL, name)
    name = replace(AUTOENCODER, name)
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"downsamples.\1.downsamples.", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsampler\.", rf"downsamples.\1.downsamples.{encoder}.", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.", r"upsamples.\1.upsamples.", name)
    return re.sub(r"up_blocks\.(\d+)\.upsampler\.", rf"upsamples.\1.upsamples.{decoder}.", name)


def names(checkpoint):
    files = (ROOT / checkpoint).glob("*.safetensors")
    return sorted(name for file in files for name in safe_open(file, "np").keys())


def check(original, upstream):
    """Upstream's own conversion leads back."""
    converted = upstream({name: canonical for canonical, name in original.items()})
    for name, canonical in converted.items():
        # The function knows of shortcuts only where the real autoencoder has one.
        assert name == canonical or "decoder" in canonical and "shortcut" in canonical, (name, canonical)


def styles():
    of = {}
    for checkpoint in ["t2v", "i2v", "flf2v", "vace"]:
        original = {name: replace(TRANSFORMER, name) for name in names(checkpoint)}
        if checkpoint != "flf2v":  # Upstream's function leaves `emb_pos` as it is.
            check(original, convert_wan_transformer_to_diffusers)
        of[checkpoint] = original
    of["vae_2_1_deep"] = {name: autoencoder_2_1(name, 3) for name in names("vae_2_1_deep")}
    check(of["vae_2_1_deep"], convert_wan_vae_to_diffusers)
    of["vae_2_2"] = {name: autoencoder_2_2(name, 1, 2) for name in names("vae_2_2")}
    of["umt5"] = {name: replace(TEXT, name) for name in names("umt5")}
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5ENCODER, 2)
    suffixes = (".weight", ".bias")
    of["umt5_llama_cpp"] = {name: table.get_name(name, try_suffixes=suffixes) for name in names("umt5")}
    return of


if __name__ == "__main__":
    folder = ROOT / "formats"
    folder.mkdir(exist_ok=True)
    blocks(folder)
    saved(folder)
    lines = (f'"{name}": {json.dumps(style, sort_keys=True)}' for name, style in styles().items())
    (folder / "names.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
