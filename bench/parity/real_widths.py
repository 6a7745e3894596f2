"""Networks as wide as the real ones, but shallow, from bf16 checkpoints: upstream against `cargo xtask parity`."""

import networks as n
import torch
from random_check import BOUND, compare


def cases():
    bf16 = torch.bfloat16
    model = n.transformer(
        1, bf16, num_attention_heads=12, attention_head_dim=128, in_channels=16, out_channels=16, text_dim=4096,
        freq_dim=256, ffn_dim=8960,
    )  # fmt: skip
    yield "wan-transformer", model, n.transformer_inputs(model, 1, (5, 16, 16), 512), n.run_transformer
    sizes = dict(dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True])
    model = n.autoencoder(2, bf16, base_dim=96, z_dim=16, **sizes)
    yield "wan-decoder", model, dict(latents=torch.randn(1, 16, 3, 6, 8)), n.run_decoder
    yield "wan-encoder", model, dict(sample=torch.randn(1, 3, 9, 48, 64)), n.run_encoder
    sizes.update(in_channels=12, out_channels=12, patch_size=2, is_residual=True)
    model = n.autoencoder(3, bf16, base_dim=160, decoder_base_dim=256, z_dim=48, **sizes)
    yield "wan-decoder", model, dict(latents=torch.randn(1, 48, 2, 3, 4)), n.run_decoder
    yield "wan-encoder", model, dict(sample=torch.randn(1, 3, 5, 48, 64)), n.run_encoder
    model = n.text_encoder(4, bf16, vocab_size=2000, d_model=4096, d_kv=64, d_ff=10240, num_layers=1, num_heads=64)
    yield "umt5", model, n.text_inputs(model, [20], 512), n.run_text
    model = n.image_encoder(
        5, bf16, hidden_size=1280, intermediate_size=5120, num_attention_heads=16, image_size=224, patch_size=14
    )
    yield "clip-image", model, n.image_inputs(model, 1), n.run_image


if __name__ == "__main__":
    torch.set_num_threads(1)
    worst = max(compare(*case, dtype=torch.bfloat16) for case in cases())
    print(f"worst {worst:.1e}, allowed {BOUND:.0e}")
    raise SystemExit(worst > BOUND)
