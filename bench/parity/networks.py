"""Small networks of upstream with random weights, and what they give. Shared by goldens.py and random_check.py."""

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel, WanVACETransformer3DModel
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel


def randomise(model, dtype):
    """Every parameter random, as large as training leaves them, and exactly representable in `dtype`."""
    for name, value in model.named_parameters():
        if value.ndim == 1 or name.endswith("gamma"):
            noise = 0.1 * torch.randn_like(value)
            is_scale = name.endswith("gamma") or ("norm" in name and name.endswith("weight"))
            value.data = noise + (1.0 if is_scale else 0.0)
        else:
            fan_in = value[0].numel() if value.ndim != 3 else value.shape[-1]
            scale = 1.0 if name.endswith(("relative_attention_bias.weight", "shared.weight")) else fan_in**-0.5
            value.data = scale * torch.randn_like(value)
        # The parameters alone: the rotary tables, which are buffers, stay exact.
        value.data = value.data.to(dtype).to(torch.float32)
    return model.eval()


def transformer(seed, dtype=torch.float16, **sizes):
    torch.manual_seed(seed)
    defaults = dict(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=8,
        freq_dim=16, ffn_dim=20, num_layers=2,
    )  # fmt: skip
    kind = WanVACETransformer3DModel if "vace_layers" in sizes else WanTransformer3DModel
    return randomise(kind(**{**defaults, **sizes}), dtype)


def autoencoder(seed, dtype=torch.float16, **sizes):
    torch.manual_seed(seed)
    sizes.setdefault("z_dim", 4)
    sizes.setdefault("latents_mean", [0.0] * sizes["z_dim"])
    sizes.setdefault("latents_std", [1.0] * sizes["z_dim"])
    return randomise(AutoencoderKLWan(**sizes), dtype)


def text_encoder(seed, dtype=torch.float16, **sizes):
    torch.manual_seed(seed)
    defaults = dict(vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=3)
    return randomise(UMT5EncoderModel(UMT5Config(**{**defaults, **sizes})), dtype)


def image_encoder(seed, dtype=torch.float16, **sizes):
    torch.manual_seed(seed)
    defaults = dict(
        hidden_size=16, intermediate_size=20, num_hidden_layers=3, num_attention_heads=2, image_size=14, patch_size=4,
        hidden_act="gelu",
    )  # fmt: skip
    return randomise(CLIPVisionModel(CLIPVisionConfig(**{**defaults, **sizes})), dtype)


def image_processor(size):
    return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


def pixels(seed, size, count=1):
    """Smooth pictures in 8 bits, `[count, height, width, 3]`: noise alone would be lost in the image encoder's pixels."""
    height, width = size
    torch.manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 7)
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    fine = (fine + 0.1 * torch.rand(count, 3, height, width)).clamp(0, 1)
    return (fine * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def picture(values):
    return Image.fromarray(values.numpy())


@torch.no_grad()
def run_transformer(model, inputs):
    return model(return_dict=False, **inputs)[0]


@torch.no_grad()
def run_encoder(model, inputs):
    return model.encode(inputs["sample"]).latent_dist.mean


@torch.no_grad()
def run_decoder(model, inputs):
    return model.decode(inputs["latents"]).sample


@torch.no_grad()
def run_text(model, inputs):
    return model(**inputs).last_hidden_state


@torch.no_grad()
def run_image(model, inputs):
    return model(output_hidden_states=True, **inputs).hidden_states[-2]


def transformer_inputs(model, batch, size, text_tokens, image_tokens=None, per_token=False):
    config = model.config
    frames, height, width = size
    inputs = dict(
        hidden_states=torch.randn(batch, config.in_channels, frames, height, width),
        encoder_hidden_states=torch.randn(batch, text_tokens, config.text_dim),
        timestep=torch.rand(batch) * 1000,
    )
    if image_tokens is not None:
        images = 2 * batch if config.pos_embed_seq_len is not None else batch
        inputs["encoder_hidden_states_image"] = torch.randn(images, image_tokens, config.image_dim)
    if hasattr(config, "vace_layers"):
        inputs["control_hidden_states"] = torch.randn(batch, config.vace_in_channels, frames, height, width)
        inputs["control_hidden_states_scale"] = torch.rand(len(config.vace_layers)) * 2
    if per_token:
        pf, ph, pw = config.patch_size
        tokens = (frames // pf) * (height // ph) * (width // pw)
        inputs["timestep"] = torch.rand(batch, tokens) * 1000
    return inputs


def text_inputs(model, lengths, padded):
    ids = torch.randint(2, model.config.vocab_size, (len(lengths), padded))
    mask = torch.arange(padded)[None] < torch.tensor(lengths)[:, None]
    return dict(input_ids=ids * mask, attention_mask=mask.long())


def image_inputs(model, batch):
    size = model.config.image_size
    return dict(pixel_values=torch.randn(batch, model.config.num_channels, size, size))
