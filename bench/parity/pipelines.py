"""Writes the golden files of crates/kinora-pipeline/tests/data: whole pipelines, small, and the clips that they make.

The noise is Kinora's own (`cargo xtask noise`), so that both sides begin at the same place. Install `ftfy` too: without
it upstream leaves out half of what it does to prompts.
"""

import argparse
import copy
import json
import pathlib
import shutil
import subprocess
import tempfile

import networks as n
import torch
from diffusers import UniPCMultistepScheduler, WanImageToVideoPipeline, WanPipeline, WanVACEPipeline
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from diffusers.utils import is_ftfy_available
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

REPOSITORY = pathlib.Path(__file__).parents[2]
ROOT = REPOSITORY / "crates/kinora-pipeline/tests/data"
F16 = torch.float16
SEED = 7
STEPS = 6
PROMPT = "A red fox runs through the snow — “slowly”, 一只狐狸"
NEGATIVE = "blurry, 静态"

SENTENCES = [
    "a red fox runs through the snow at night", "the old train crosses a bridge over the river",
    "two cats play with a ball of wool on the carpet", "a rocket flies through space past the moon",
    "un renard roux court dans la neige", "der Hund schläft vor dem Kamin", "la nave cruza el mar al atardecer",
    "一只红色的狐狸在雪地里奔跑", "两只猫在地毯上玩毛线球", "赤い狐が雪の中を走る", "лиса бежит по снегу", "여우가 눈 속을 달린다",
    "الثعلب يركض في الثلج", "close-up, 4k, 24 fps, cinematic lighting!", "what? (yes); no: 'maybe' \"so\" & more / less",
]  # fmt: skip

PROMPTS = [
    PROMPT, NEGATIVE, "", " ", "the", "  the   fox\truns\nfast  ", "ＦＯＸ　ｒｕｎｓ，ｆａｓｔ！", "fox &amp;amp; cat &lt;3 &#39;so&#39; &eacute;",
    "‘single’ “double” „low‟ ʼmodifier", "ﬁre ﬂy", "e\u0301te\u0301 \u00e9t\u00e9", "soft\u00adhyphen zero\u200bwidth joined\u200dup",
    "🦊 runs 🏔️ fast", "Привет, лиса! 狐狸 キツネ 여우 ثعلب", "a</s>b <pad> <unk> <extra_id_0>", "x" * 300, "雪" * 60, "½ ² ﷺ ㎏ Ⅷ ①",
    "no-break\u00a0space em\u2003space", "CamelCase MIXED case", "1,234.56 € — 50 % …", "tab\tseparated\r\nlines\u2028more",
    "the fox " * 20, "▁ literal ▁ metaspace", "a\u0300\u0323 order", "ǅ ŉ ſ", "𝔣𝔬𝔵 𝟙𝟚𝟛", "\ufeffbom", "&nbsp;&nbsp;x&hellip;",
]  # fmt: skip


def tokenizer():
    """Built as umT5's: unigram pieces, a metaspace before each word, `</s>` at the end."""
    before = ROOT / "wan-t2v/tokenizer/tokenizer.json"
    if before.exists():
        # Its training does not repeat, and other pieces would make all clips others.
        core = Tokenizer.from_file(str(before))
        core.no_padding()
        return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    core = Tokenizer(Unigram())
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    core.pre_tokenizer = metaspace
    core.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    core.train_from_iterator(SENTENCES, trainer)
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def parts(seed, z_dim, words, vae, **transformer):
    sizes = dict(in_channels=z_dim, out_channels=z_dim, num_layers=1)
    return dict(
        tokenizer=words,
        text_encoder=n.text_encoder(seed, F16, vocab_size=len(words), d_model=8, d_ff=12, num_layers=1),
        transformer=n.transformer(seed + 1, F16, **{**sizes, **transformer}),
        vae=n.autoencoder(
            seed + 2, F16, z_dim=z_dim, latents_mean=[0.1 * i - 0.2 for i in range(z_dim)],
            latents_std=[1.5 - 0.2 * i for i in range(z_dim)], **vae,
        ),
    )  # fmt: skip


def save(pipeline, folder):
    shutil.rmtree(folder, ignore_errors=True)
    stored = copy.deepcopy(pipeline).to(F16)
    stored.save_pretrained(folder)
    for path in folder.rglob("*.json"):
        if path.name != "tokenizer.json":
            path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True) + "\n")
    for path in [*folder.rglob("special_tokens_map.json"), *folder.rglob("tokenizer_config.json")]:
        path.unlink()
    # A saved tokenizer may hold the padding of its last call, as some of those that people have do.
    path = folder / "tokenizer/tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False, separators=(",", ":")))


def noise(shape):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "noise.safetensors"
        command = ["cargo", "xtask", "noise", "--seed", str(SEED), "--shape", ",".join(map(str, shape)), "--output", path]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        return load_file(path)["output"]


def clip(pipeline, size, frames, guidance, **inputs):
    height, width = size
    config = pipeline.vae.config
    latents = (1, config.z_dim, 1 + (frames - 1) // 4, height // config.scale_factor_spatial, width // config.scale_factor_spatial)
    video = pipeline(
        prompt=PROMPT, negative_prompt=NEGATIVE, height=height, width=width, num_frames=frames, guidance_scale=guidance,
        num_inference_steps=STEPS, latents=noise(latents), output_type="np", **inputs,
    ).frames[0]  # fmt: skip
    return (torch.tensor(video) * 255).round().to(torch.uint8).contiguous()


def see(seed):
    """An image encoder and what prepares pictures for it."""
    encoder = n.image_encoder(seed, F16)
    return dict(image_encoder=encoder, image_processor=n.image_processor(encoder.config.image_size))


def unipc(shift):
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)


def write(root):
    old = dict(base_dim=2, dim_mult=[1, 2, 2, 2], num_res_blocks=1, temperal_downsample=[False, True, True])
    new = dict(
        base_dim=1, decoder_base_dim=2, dim_mult=[1, 2, 4, 4], num_res_blocks=1, temperal_downsample=[False, True, True],
        in_channels=12, out_channels=12, patch_size=2, is_residual=True, scale_factor_spatial=16,
    )  # fmt: skip
    words = tokenizer()

    pipeline = WanPipeline(scheduler=unipc(3.0), **parts(41, 4, words, old))
    save(pipeline, root / "wan-t2v")
    cases = {"guided": clip(pipeline, (32, 48), 9, 5.0), "plain": clip(pipeline, (32, 32), 5, 1.0)}
    save_file(cases, root / "wan-t2v/clips.case")
    ids = {prompt: words(prompt_clean(prompt)).input_ids for prompt in PROMPTS}
    (root / "wan-t2v/prompts.json").write_text(json.dumps(ids, ensure_ascii=False) + "\n")

    second = n.transformer(50, F16, num_layers=1)
    pipeline = WanPipeline(
        scheduler=unipc(5.0), transformer_2=second, boundary_ratio=0.875, **parts(45, 4, words, old)
    )
    save(pipeline, root / "wan-a14b")
    cases = {
        "guided": clip(pipeline, (16, 32), 5, 4.0),
        "guided.twice": clip(pipeline, (16, 32), 5, 4.0, guidance_scale_2=2.0),
        "guided.first": clip(pipeline, (16, 32), 5, 4.0, guidance_scale_2=1.0),
    }
    save_file(cases, root / "wan-a14b/clips.case")

    components = parts(55, 5, words, new)
    pipeline = WanPipeline(scheduler=unipc(5.0), expand_timesteps=True, **components)
    save(pipeline, root / "wan-ti2v")
    torch.manual_seed(56)
    picture = torch.rand(1, 3, 32, 64)
    picture = (picture * 255).round() / 255
    animated = WanImageToVideoPipeline(scheduler=unipc(5.0), expand_timesteps=True, **components)
    cases = {
        "guided": clip(pipeline, (32, 64), 5, 5.0),
        "animated": clip(animated, (32, 64), 9, 5.0, image=picture * 2 - 1),
        "picture": (picture[0].permute(1, 2, 0) * 255).round().to(torch.uint8).contiguous(),
    }
    save_file(cases, root / "wan-ti2v/clips.case")
    write_pictures(root, words, old)
    write_vace(root, words, old)


def write_pictures(root, words, vae):
    """I2V of Wan 2.1, first and last frame, and I2V of Wan 2.2: the latents, a mask of 4 frames, the latents of the pictures."""
    size = (32, 48)
    first, last = n.pixels(60, size)[0], n.pixels(61, size)[0]
    beside = dict(in_channels=4 + 4 + 4, out_channels=4)
    eyes = dict(image_dim=16, added_kv_proj_dim=24)
    given = {"first": first, "last": last}

    components = parts(62, 4, words, vae, **beside, **eyes)
    pipeline = WanImageToVideoPipeline(scheduler=unipc(3.0), **components, **see(63))
    save(pipeline, root / "wan-i2v")
    guided = clip(pipeline, size, 9, 5.0, image=n.picture(first))
    save_file({**given, "guided": guided}, root / "wan-i2v/clips.case")

    components = parts(64, 4, words, vae, pos_embed_seq_len=2 * (1 + 3 * 3), **beside, **eyes)
    pipeline = WanImageToVideoPipeline(scheduler=unipc(5.0), **components, **see(65))
    save(pipeline, root / "wan-flf2v")
    guided = clip(pipeline, size, 9, 5.0, image=n.picture(first), last_image=n.picture(last))
    save_file({**given, "guided": guided}, root / "wan-flf2v/clips.case")

    second = n.transformer(100, F16, num_layers=1, **beside)
    pipeline = WanImageToVideoPipeline(
        scheduler=unipc(5.0), transformer_2=second, boundary_ratio=0.9, **parts(98, 4, words, vae, **beside)
    )
    save(pipeline, root / "wan-i2v-a14b")
    cases = {
        "first": clip(pipeline, size, 9, 3.5, image=n.picture(first)),
        "both": clip(pipeline, size, 5, 3.5, image=n.picture(first), last_image=n.picture(last)),
    }
    cases = {f"clip.{name}": made for name, made in cases.items()}
    save_file({**given, **cases}, root / "wan-i2v-a14b/clips.case")


def write_vace(root, words, vae):
    size, frames = (32, 48), 9
    vace = dict(vace_layers=[0, 1], vace_in_channels=2 * 4 + 8 * 8, num_layers=2)
    pipeline = WanVACEPipeline(scheduler=unipc(3.0), **parts(80, 4, words, vae, **vace))
    save(pipeline, root / "wan-vace")
    given, reference = n.pixels(82, size, frames), n.pixels(83, size)[0]
    # Frames of which nothing is known are grey, and all of them is made.
    known = torch.zeros(frames, dtype=torch.bool)
    known[:2] = known[-1:] = True
    box = torch.zeros(size, dtype=torch.bool)
    box[5:27, 10:40] = True

    def control(made):
        """`made`: `[frames, height, width]`, true where it is made."""
        return dict(mask=made.float()[None, :, None].expand(1, -1, 3, -1, -1).contiguous())

    def video(values):
        return values.permute(0, 3, 1, 2)[None].contiguous()

    whole = (~known)[:, None, None].expand(frames, *size)
    filled = torch.where(known[:, None, None, None], given.float() / 255, torch.tensor(0.5))
    region = box[None].expand(frames, *size)
    references = dict(reference_images=[n.picture(reference), n.picture(given[4])])
    count = len(references["reference_images"])
    cases = {
        "words": vace_clip(pipeline, size, frames),
        "filled": vace_clip(pipeline, size, frames, video=video(filled), **control(whole)),
        "region": vace_clip(pipeline, size, frames, video=video(given.float() / 255), **control(region)),
        "references": vace_clip(pipeline, size, 5, references=count, **references),
    }
    cases = {f"clip.{name}": made for name, made in cases.items()}
    inputs = {"given": given, "reference": reference, "known": known.to(torch.uint8), "box": box.to(torch.uint8)}
    save_file({**inputs, **cases}, root / "wan-vace/clips.case")


def vace_clip(pipeline, size, frames, references=0, **inputs):
    height, width = size
    latents = noise((1, 4, references + 1 + (frames - 1) // 4, height // 8, width // 8))
    made = pipeline(
        prompt=PROMPT, negative_prompt=NEGATIVE, height=height, width=width, num_frames=frames, guidance_scale=5.0,
        num_inference_steps=STEPS, latents=latents, output_type="np", **inputs,
    ).frames[0]  # fmt: skip
    return (torch.tensor(made) * 255).round().to(torch.uint8).contiguous()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, default=ROOT)
    root = parser.parse_args().root
    assert is_ftfy_available(), "install ftfy"
    torch.set_num_threads(1)
    write(root)
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"{size // 1024} KiB in {root}")
