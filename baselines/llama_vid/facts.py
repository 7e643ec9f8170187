"""Compare what a reference folder says in words and sums: questions, prompts, names and shapes, bytes.

Kept from `parity`, which compares tensors: these files may be absent, and need the 7B sizes, not the tiny ones.
"""

from __future__ import annotations

import json
import math
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import nn

from baselines.llama_vid import prompt
from baselines.llama_vid.config import LlamaVidConfig
from baselines.llama_vid.model import PLACEHOLDER, LlamaVid
from baselines.llama_vid.weights import FREQUENCIES, POSITION_IDS, rename
from niah.adapters.checkpoint import mismatches, on_meta_device
from niah.adapters.parity import Golden, Parity

SEVEN_B = LlamaVidConfig()
HALF = 2  # bytes
TEXT_TOKENS = 80  # of the prompt, in the memory analysis


def compare(parity: Parity, golden: Golden, folder: Path) -> None:
    """Compare golden_meta.json, checkpoint_layout_7b.json and memory_analysis.json, each where it is there."""
    tokenizer = prompt.QueryTokenizer(folder / "tiny_checkpoint" / "bert" / "vocab.txt")
    comparisons = {
        "golden_meta.json": lambda meta: _meta(parity, golden, tokenizer, meta),
        "checkpoint_layout_7b.json": lambda layout: _layout(parity, layout),
        "memory_analysis.json": lambda analysis: _memory(parity, analysis),
    }
    for name, comparison in comparisons.items():
        if (folder / name).is_file():
            parity.uses(folder / name)
            comparison(json.loads((folder / name).read_text(encoding="utf-8")))
        elif name == "golden_meta.json":
            _query_without_words(parity, golden, tokenizer)
    for path in sorted(folder.glob("golden*")):
        parity.equal(f"{path.name} is known", path.name in ("golden.safetensors", *comparisons), True)


def layout(entries: list[dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    """Unfold the entries of checkpoint_layout_7b.json: "0..10 step 2" of {i} are six tensors."""
    shapes: dict[str, tuple[int, ...]] = {}
    for entry in entries:
        numbers = [0]
        if "i" in entry:
            ends, _, step = entry["i"].partition(" step ")
            first, last = map(int, ends.split(".."))
            numbers = list(range(first, last + 1, int(step or 1)))
        shapes.update({entry["name"].replace("{i}", str(number)): tuple(entry["shape"]) for number in numbers})
    return shapes


def seven_b() -> LlamaVid:
    """Build the 7B model without weights."""
    with on_meta_device():
        return LlamaVid(SEVEN_B)


def _meta(parity: Parity, golden: Golden, tokenizer: prompt.QueryTokenizer, meta: dict[str, Any]) -> None:
    first, second = meta["question"], meta["question2"]
    for name, questions in (("query", [first]), ("query2", [first, second]), ("query_long", [meta["long_question"]])):
        made = tokenizer(questions)
        parity.equal(f"{name}.input_ids", made.ids.tolist(), golden[f"{name}.input_ids"].tolist())
        parity.equal(f"{name}.attention_mask", made.mask.tolist(), golden[f"{name}.attention_mask"].tolist())
    parity.equal("image_token_index", PLACEHOLDER, meta["image_token_index"])
    parity.equal("prompt_short_video", prompt.short_prompt("QUESTION").marked(1), meta["prompt_short_video"])
    long = prompt.long_prompt("QUESTION").marked(2 * 2)  # two frames
    parity.equal("prompt_long_video_2_frames", long, meta["prompt_long_video_2_frames"])
    parity.equal("stop_string", prompt.STOP, meta["stop_string"])
    parity.equal("frames_short", len(golden["short.pixel_values"]), meta["frames_short"])
    frames, patches = golden["long.features"].shape[:2]
    parity.equal("frames_long", frames, meta["frames_long"])
    parity.equal("patches_per_frame", patches, meta["patches_per_frame"])
    for case in meta["frame_sampling_1fps"]:
        shown = prompt.one_per_second(case["num_frames"], case["avg_fps"])
        got = [len(shown), shown[: len(case["first"])], shown[-1]]
        name = f"frame_sampling_1fps {case['num_frames']} at {case['avg_fps']}"
        parity.equal(name, got, [case["indices_count"], case["first"], case["last"]])


def _query_without_words(parity: Parity, golden: Golden, tokenizer: prompt.QueryTokenizer) -> None:
    """Compare what of the long question can be told without its words: it fills all places, specials included."""
    ids, mask = golden["query_long.input_ids"], golden["query_long.attention_mask"]
    ends = tokenizer([""]).ids.tolist()
    parity.equal("query_long ends", [[int(ids[0, 0]), int(ids[0, -1])]], ends)
    parity.equal("query_long.attention_mask", mask.tolist(), [[1] * prompt.QUERY_TOKENS])


def _layout(parity: Parity, found: dict[str, Any]) -> None:
    model, shapes = seven_b(), layout(found["entries"])
    unused = (FREQUENCIES, POSITION_IDS)
    parity.equal("7B names and shapes that do not fit", mismatches(model, shapes, rename, unused), [])
    parity.equal("7B tensors", len(shapes), found["tensors"])
    compressor = model.compressor
    parts: dict[str, list[nn.Module]] = {
        "language_model": [model.language],
        "vision_tower": [model.vision_tower],
        "text_encoder_qformer": [compressor.vlm_att_encoder],
        "context_attention_projections": [
            compressor.vlm_att_projector,
            compressor.vlm_att_key_projector,
            compressor.vlm_att_val_projector,
            compressor.vlm_att_ln,
        ],
        "mm_projector": [compressor.mm_projector],
    }
    counts = {name: sum(sum(p.numel() for p in part.parameters()) for part in group) for name, group in parts.items()}
    counts["text_encoder_qformer"] += compressor.vlm_att_query.numel()
    stored = sum(math.prod(shape) for name, shape in shapes.items() if fnmatchcase(name, FREQUENCIES))
    counts["language_model"] += stored  # the release counts the rotary tables of its layers
    parity.equal("7B parameters by part", counts, found["parameters_by_part"])
    parity.equal("7B parameters", stored + sum(p.numel() for p in model.parameters()), found["float_parameters"])


def _memory(parity: Parity, found: dict[str, Any]) -> None:
    """Compare bytes that follow from sizes alone; peaks of the release are not this port's."""
    language, vision = SEVEN_B.language, SEVEN_B.vision
    per_token = 2 * language.layers * language.key_value_heads * language.head_width * HALF
    parity.equal("memory kv_bytes_per_token", per_token, found["kv_bytes_per_token"])
    held = HALF * sum(p.numel() for p in seven_b().parameters())
    for row in found["rows"]:
        frames, tokens = row["frames"], 2 * row["frames"]
        total = tokens + TEXT_TOKENS
        got = {
            "tokens": [tokens, total],
            "kv": tokens * per_token,
            "weights": _gb(held),
            "features": _gb(frames * vision.patches * vision.width * HALF),
            "pixels": _gb(frames * 3 * vision.image_size**2 * HALF),
            "scores": [_gb(language.heads * total**2 * size) for size in (HALF, 2 * HALF)],
        }
        scores = row["eager_attention_one_layer_GB"]
        want = {
            "tokens": [row["visual_tokens"], row["lm_tokens"]],
            "kv": row["kv_bytes_visual"],
            "weights": row["weights_GB"],
            "features": row["preextracted"]["features_GB"],
            "pixels": row["raw_pixels_one_batch"]["pixels_GB"],
            "scores": [scores["scores_fp16"], scores["softmax_fp32"]],
        }
        parity.equal(f"memory {frames} frames", got, want)


def _gb(count: int) -> float:
    """Return bytes as decimal GB with two digits, halves up."""
    return math.floor(count / 1e7 + 0.5) / 100
