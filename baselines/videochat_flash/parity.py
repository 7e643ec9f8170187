"""Compare this VideoChat-Flash with the numbers a release left in a folder.

niah parity videochat_flash FOLDER        every error below 1e-4 of its tensor's largest value

FOLDER holds golden.safetensors, golden_meta.json and tiny_checkpoint/; checkpoint_layout_7b.json and
memory_analysis.json are used where they are there. Indices and ids must be equal.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from baselines.videochat_flash import compress, inputs
from baselines.videochat_flash.config import (
    CONFIGS,
    DROPOUTS,
    RELEASED,
    TOKENS_PER_FRAME,
    TokenDropout,
    VideoChatFlashConfig,
    read,
)
from baselines.videochat_flash.inputs import make_pixels
from baselines.videochat_flash.language import faithful_rows
from baselines.videochat_flash.model import (
    PLACEHOLDER,
    UmtTower,
    VideoChatFlash,
    build_empty,
    clip_positions,
    load,
    rename,
)
from niah.adapters.checkpoint import mismatches
from niah.adapters.config_reader import read_config
from niah.adapters.parity import Golden, Parity, expand_layout, relative_error
from niah.types import UserError

TOLERANCE = 1e-4
MERGE_HEAD_WIDTH = 8  # channels a head in the golden merging cases
CHECKED = 9973  # the modulus that `sumsq_mod` of the recorded indices was made with
NOT_A_NUMBER = 99.0  # stands for NaN in the golden rotary rows
UNSEEN = {  # tensors that may change a little without moving any number by the tolerance, and why
    "model.layers.{last}.self_attn.k_proj.bias": (
        "softmax takes away what is added to all keys alike; only as far as rotation turns it apart does it count, "
        "and after the last layer nothing enlarges that"
    ),
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Facts = Mapping[str, Any]
Clips = Float[Tensor, "clips tokens width"]


def run(folder: Path) -> int:
    """Compare everything, print the table, and return 0 where all agrees, else 1."""
    return compare(Path(folder)).report()


@torch.inference_mode()
def compare(folder: Path, model: VideoChatFlash | None = None) -> Parity:
    """Return the comparisons of one folder, of its tiny checkpoint unless another `model` is given.

    Raises UserError where a file or a number it needs is missing or damaged.
    """
    parity = Parity(TOLERANCE)
    golden = parity.golden(folder / "golden.safetensors")
    meta = read_config(folder, "golden_meta.json")
    parity.uses(folder / "golden_meta.json")
    if model is None:
        checkpoint = folder / "tiny_checkpoint"
        model = load(checkpoint, read(read_config(checkpoint)))
        for name in ("config.json", "model.safetensors"):
            parity.uses(checkpoint / name)
    try:
        tower = dataclasses.replace(model.config.tower, merge_heads=_merge_heads(golden, model.tower))
        model.config = dataclasses.replace(model.config, tower=tower)
        for check in (_pixels, _positions, _merging, _video, _language, _rotary, _rules):
            check(parity, golden, meta, model)
    except KeyError as error:  # of the two files of recorded numbers
        raise UserError(f"{folder.name} records no {error}, which the comparison needs: copy it again") from error
    optional = {"checkpoint_layout_7b.json": _layout, "memory_analysis.json": _memory}
    for name, check in optional.items():
        if (folder / name).is_file():
            parity.uses(folder / name)
            check(parity, read_config(folder, name))
    return parity


def _pixels(parity: Parity, golden: Golden, meta: Facts, model: VideoChatFlash) -> None:
    for name in golden:
        found = re.fullmatch(r"preproc\.pixel_values_(\d+)_(?:strided(\d+)|mean)", name)
        if found:
            values = make_pixels(golden["preproc.frames_uint8"].numpy(), int(found[1]))
            step = int(found[2] or 1)
            values = values[:, :, ::step, ::step] if found[2] else values.mean((2, 3))
            parity.tensor(name, values, golden[name])


def _positions(parity: Parity, golden: Golden, meta: Facts, model: VideoChatFlash) -> None:
    """Compare rows of the tables of full-size towers: clips of 4 frames, patches of 16 pixels."""
    width = next((golden[name].shape[1] for name in golden if re.fullmatch(r"pos\d+\.values", name)), 1024)
    for name in golden:
        found = re.fullmatch(r"pos(\d+)\.(?:values|mean_abs_by_row_stride(\d+))", name)
        if found:
            table = clip_positions(4, int(found[1]) // 16, width)
            rows = table[:: int(found[2])].abs().mean(1) if found[2] else table[golden[f"pos{found[1]}.rows"].long()]
            parity.tensor(name, rows, golden[name])


def _merging(parity: Parity, golden: Golden, meta: Facts, model: VideoChatFlash) -> None:
    """Compare merging alone, in the fp64 it was recorded in."""
    for case in (name.removesuffix(".input") for name in golden if name.endswith(".input")):
        tokens, want = golden[f"{case}.input"].double(), golden[f"{case}.merged"]
        _merge(parity, golden, meta, case, tokens, want, tokens.shape[-1] // MERGE_HEAD_WIDTH)


def _merge(
    parity: Parity,
    golden: Golden,
    meta: Facts,
    case: str,
    tokens: Clips,
    want: Float[Tensor, "clips kept width"],
    heads: int,
) -> None:
    parity.equal(f"{case}.r_list", compress.merge_counts(tokens.shape[1], want.shape[1]), meta[f"{case}.r_list"])
    steps = compress.merge_steps(tokens, want.shape[1], heads)
    for step in steps[:1]:
        for name, got in {"best_dst": step.destination, "order": step.order}.items():
            parity.equal(f"{case}.step0_{name}", got.tolist(), golden[f"{case}.step0_{name}"].tolist())
    for number, step in enumerate(steps):
        name = f"{case}.size_after_step{number}"
        parity.equal(name, step.sizes.int().tolist(), golden[name].tolist())
    parity.tensor(f"{case}.merged", steps[-1].tokens if steps else tokens, want)


def _merge_heads(golden: Golden, tower: UmtTower) -> int:
    """Return over how many slices the recorded video was merged: the tower's heads, or 8 channels each.

    No config.json says; at the sizes of the reference, and of the 7B model, there is no difference.
    """
    sizes = tower.config
    frames = make_pixels(golden["video.frames_uint8"].numpy(), sizes.image_size)
    features = tower(frames.unflatten(0, (-1, sizes.clip_frames)))
    if sizes.width % MERGE_HEAD_WIDTH == 0:
        steps = compress.merge_steps(features, sizes.clip_tokens, sizes.width // MERGE_HEAD_WIDTH)
        if steps and torch.equal(steps[0].order, golden["video.step0_order"].long()):
            return sizes.width // MERGE_HEAD_WIDTH
    return sizes.merge_heads


def _video(parity: Parity, golden: Golden, meta: Facts, model: VideoChatFlash) -> None:
    """Compare the tower step by step, the merging of its output, and the projector."""
    tower, sizes = model.tower, model.config.tower
    frames = make_pixels(golden["video.frames_uint8"].numpy(), sizes.image_size)
    sums = torch.stack([frames.mean((1, 2, 3)), frames.flatten(1).std(1)])
    parity.tensor("video.pixel_values_checksum", sums, golden["video.pixel_values_checksum"])
    clips = frames.unflatten(0, (-1, sizes.clip_frames))
    table, single = (clip_positions(count, sizes.grid, sizes.width)[None] for count in (sizes.clip_frames, 1))
    patches = tower.patches(clips[:1])
    tokens = patches + table
    steps = {"patch_embed_clip0": patches, "pos_embed": table, "img_pos_embed": single, "embeddings_clip0": tokens}
    for number, block in enumerate(tower.blocks):
        tokens = block(tokens)
        steps[f"block_{number}_clip0"] = tokens
    steps |= {"features": tower(clips), "single_image_features": tower(clips[:1, :1])}
    for name, got in steps.items():
        parity.tensor(f"vision.{name}", got, golden[f"vision.{name}"])
    parity.equal("vision_blocks_run", len(tower.blocks), meta["vision_blocks_run"])
    _merge(parity, golden, meta, "video", steps["features"], golden["video.merged"], sizes.merge_heads)
    merged = model.encode(clips)
    parity.equal("encode_video_image_output_shape", list(merged.shape), meta["encode_video_image_output_shape"])
    parity.tensor("video.projected", model.projector(merged), golden["video.projected"])


def _language(parity: Parity, golden: Golden, meta: Facts, model: VideoChatFlash) -> None:
    """Compare the sequence, every dropout variant, and the cut one."""
    frames = make_pixels(golden["video.frames_uint8"].numpy(), model.config.tower.image_size)
    merged = model.encode(frames.unflatten(0, (-1, model.config.tower.clip_frames)))
    ids = golden["lm.input_ids"][0].tolist()
    embeds, visual = model.assemble(ids, merged, len(merged))
    parity.tensor("lm.inputs_embeds", embeds[None], golden["lm.inputs_embeds"])
    counted = {
        "frames": len(frames), "clips": len(merged), "visual_tokens": len(visual), "prefix_tokens": visual.start,
        "suffix_tokens": len(embeds) - visual.stop, "image_token_index": PLACEHOLDER,
    }  # fmt: skip
    for name, got in counted.items():
        parity.equal(name, got, meta[name])
    for name in (name.removesuffix(".generated_ids") for name in golden if name.endswith(".generated_ids")):
        stored = meta.get(f"{name}.config")
        variant = stored and TokenDropout(*(stored[key] for key in _DROPOUT_KEYS))
        _variant(parity, golden, meta, model, name, variant, embeds, visual)
    rope, cut = model.rope("faithful"), int(meta["truncated.length"])
    state = model.prefill(embeds.clone(), visual, rope, truncate=cut)
    parity.tensor("truncated.logits_last", model.language.logits(state.hidden), golden["truncated.logits_last"])


_DROPOUT_KEYS = ("llm_compress_type", "llm_compress_layer_list", "llm_image_token_ratio_list")


def _variant(
    parity: Parity,
    golden: Golden,
    meta: Facts,
    model: VideoChatFlash,
    name: str,
    variant: TokenDropout | None,
    embeds: Float[Tensor, "tokens hidden"],
    visual: range,
) -> None:
    """Compare one way of dropping tokens: what is kept, why, the prefill's end and greedy decoding."""
    rope, want = model.rope("faithful"), golden[f"{name}.generated_ids"].tolist()
    rows, hidden = golden[f"{name}.logits"].shape[1], golden[f"{name}.last_hidden"]
    rows = max(rows, hidden.shape[1])
    # An odd chunk, so that what chunks do is compared too.
    state = model.prefill(embeds.clone(), visual, rope, variant, room=len(want), rows=rows, chunk=61)
    lengths = [layer.get_seq_length() for layer in state.cache]
    parity.equal(f"{name}.kv_lengths", lengths, meta[f"{name}.kv_lengths"])
    parity.equal(f"{name}.seq_len_final", lengths[-1], meta[f"{name}.seq_len_final"])
    for stop, (kept, scores) in enumerate(zip(state.kept, state.scores, strict=True)):
        label = f"{name}.stage{stop}"
        parity.equal(f"{label}_kept_visual", kept.tolist(), golden[f"{label}_kept_visual"].tolist())
        if scores is not None:
            parity.tensor(f"{label}_scores", scores, golden[f"{label}_scores"])
    logits = model.language.logits(state.hidden)[None]
    parity.tensor(f"{name}.logits", logits[:, -golden[f"{name}.logits"].shape[1] :], golden[f"{name}.logits"])
    parity.tensor(f"{name}.last_hidden", state.hidden[None, -hidden.shape[1] :], hidden)
    ids, chosen_by = model.generate(model.first_logits(state), state, rope, len(want))
    parity.equal(f"{name}.generated_ids", ids, want)
    parity.tensor(f"{name}.generated_logits", torch.stack(chosen_by), golden[f"{name}.generated_logits"])


def _rotary(parity: Parity, golden: Golden, meta: Facts, model: VideoChatFlash) -> None:
    """Compare rows of the release's rotary tables: fresh for the trained positions, rebuilt for longer sequences."""
    theta = _theta(golden, model.config.language.rope_theta)
    trained = 32768  # positions
    names = [name for name in golden if re.fullmatch(r"rope\.\w+_seq\d+\.cos", name)]
    width = golden[names[0]].shape[1] if names else 128
    for name in names:
        kind, length = name.split(".")[1].split("_seq")
        positions = golden["rope.positions"].long()
        positions = positions[positions < int(length)]
        rows, _ = faithful_rows(positions, width, theta, DTYPES[kind], int(length) > trained)
        parity.tensor(name, rows.float().nan_to_num(NOT_A_NUMBER), golden[name])
    for name in (name for name in meta if name.endswith(".nonfinite_rows")):
        _, kind, length, _ = name.split(".")
        positions = torch.arange(int(length.removeprefix("seq")))
        rows, _ = faithful_rows(positions, width, theta, DTYPES[kind], len(positions) > trained)
        parity.equal(name, int((~rows.isfinite()).any(1).sum()), meta[name])


def _theta(golden: Golden, own: float) -> float:
    """Return the theta of the recorded tables: the 7B model's, whose width and length they have, or the checkpoint's.

    No file says. Where neither fits, the comparison shows it.
    """
    released = float(RELEASED["rope_theta"])
    name = next((name for name in golden if re.fullmatch(r"rope\.fp32_seq\d+\.cos", name)), None)
    if name is None:
        return released
    want = golden[name]
    positions = golden["rope.positions"].long()
    positions = positions[positions < int(name.removesuffix(".cos").rpartition("_seq")[2])]

    def error(theta: float) -> float:
        return relative_error(faithful_rows(positions, want.shape[1], theta, torch.float32, True)[0], want)

    return min(released, own, key=error)


def _rules(parity: Parity, golden: Golden, meta: Facts, model: VideoChatFlash) -> None:
    """Compare what needs no weights: kept places of long sequences, frames shown, the inputs."""
    for name, want in meta.get("uniform_indices", {}).items():
        visual, keep = (int(number) for number in name.split("->"))
        parity.equal(f"uniform_indices {name}", fingerprint(compress.uniform_kept(visual, keep).tolist()), want)
    for row in meta.get("frame_sampling", []):
        indices = inputs.sample_frames(row["num_frames"], row["fps"], row["max_num_frames"])
        got = {"count": len(indices), "first": indices[:8], "last": indices[-4:], "sum": sum(indices)}
        got["time_message"] = inputs.time_message(row["num_frames"] / row["fps"], len(indices))
        got["indices"] = indices
        label = f"frame_sampling {row['num_frames']} at {row['fps']}, at most {row['max_num_frames']}"
        parity.equal(label, {key: got[key] for key in row if key in got}, {key: row[key] for key in row if key in got})
    parity.equal("prompt", inputs.PROMPT, meta["prompt"])
    parity.equal("stop_string", inputs.STOP, meta["stop_string"])


def _layout(parity: Parity, layout: Mapping[str, Any]) -> None:
    """Compare every name and shape with the models of both resolutions, which take no memory here."""
    shapes = expand_layout(layout["entries"])
    for size in ("7b", "7b-224"):
        model = build_empty(read(CONFIGS[size]))
        parity.equal(f"checkpoint layout, {size}", mismatches(model, shapes, rename), [])
        parts = {"language_model": model.language, "vision_tower": model.tower, "mm_projector": model.projector}
        counted = {name: sum(tensor.numel() for tensor in part.parameters()) for name, part in parts.items()}
        parity.equal(f"parameters by part, {size}", counted, layout["parameters_by_part"])
    parity.equal("checkpoint tensors", len(shapes), layout["tensors"])


def cache_bytes(config: VideoChatFlashConfig, text: int, visual: int, kind: TokenDropout | None) -> int:
    """Return the bytes of keys and values that a prompt leaves behind, at 2 bytes a number."""
    language = config.language
    seen = compress.kept_counts(kind, visual)
    layers = [len(stretch) for stretch in compress.layer_stretches(kind, language.layers)]
    tokens = sum(count * (text + left) for count, left in zip(layers, seen, strict=True))
    return tokens * 2 * language.key_value_heads * language.head_width * 2


def _memory(parity: Parity, analysis: Mapping[str, Any]) -> None:
    """Compare the tokens and the cache of each length with the analysis, in its decimal GB."""
    config = read(RELEASED)
    names = {"4_18": DROPOUTS["card"], "24": DROPOUTS["wrapper"], "8_16_24": DROPOUTS["code"]}
    parity.equal("kv_bytes_per_token", cache_bytes(config, 0, 1, None), analysis["kv_bytes_per_token"])
    for row in analysis["rows"]:
        visual = TOKENS_PER_FRAME * row["frames"]
        text = row["lm_tokens"] - row["visual_tokens"]
        got = {"visual_tokens": visual, "kv_bytes_full": cache_bytes(config, text, visual, None)}
        for name, kind in names.items():
            got[f"kv_GB_dropout_{name}"] = round(cache_bytes(config, text, visual, kind) / 1e9, 2)
        parity.equal(f"memory at {row['frames']} frames", got, {key: row[key] for key in got})


def fingerprint(indices: list[int]) -> dict[str, Any]:
    """Return what the reference keeps of a long list of indices."""
    middle = len(indices) // 2
    return {
        "first": indices[:6],
        "mid": indices[max(0, middle - 2) : middle + 3],
        "last": indices[-6:],
        "sum": sum(indices),
        "sumsq_mod": sum((index % CHECKED) ** 2 for index in indices),
        "unique": len(set(indices)),
    }
