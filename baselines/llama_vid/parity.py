"""Compare this port with the recorded numbers of the release, every tensor of them.

niah parity llama_vid FOLDER        all agree: 89 comparisons, largest error near 1e-5

FOLDER holds `tiny_checkpoint/` and `golden.safetensors`; `golden_meta.json`, the layout of
the 7B checkpoint and the memory analysis are compared where they are there.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from baselines.llama_vid import inputs
from baselines.llama_vid.compress import Query, drop_class_row
from baselines.llama_vid.config import LlamaVidConfig
from baselines.llama_vid.inputs import QueryTokenizer
from baselines.llama_vid.language import inverse_frequencies, rotary_table
from baselines.llama_vid.model import FREQUENCIES, PLACEHOLDER, POSITION_IDS, LlamaVid, load, read_sizes, rename
from niah.adapters.checkpoint import mismatches, on_meta_device
from niah.adapters.kv_cache import cache_arguments
from niah.adapters.parity import Golden, Parity, expand_layout
from niah.adapters.preprocess import centre_square, standardise
from niah.types import UserError

TOLERANCE = 1e-4
ONE_STEP = 1e-5  # a single step from recorded numbers: rounding has had no time to grow, a small fault must not hide
LONG_VIDEO_FACTOR = 16.0  # positions are divided by it in the long-video 7B
SEVEN_B = LlamaVidConfig()
HALF = 2  # bytes
TEXT_TOKENS = 80  # of the prompt, in the memory analysis
SIDE = 224  # pixels of the golden preprocessing, whatever the tiny tower's
UNSEEN = {  # tensors of the checkpoint that may change a little without changing any number, and why
    "*attention.self.key.bias": "adds the same to every score of a query, and a softmax takes that away again",
    "*embeddings.position_ids": "whole numbers that count up: noise far below 1 rounds away, anything else is refused",
}


def run(folder: Path) -> int:
    """Print the table of a reference folder and return its exit code. Raises UserError where a file is missing."""
    parity = Parity(TOLERANCE)
    checkpoint, file = folder / "tiny_checkpoint", folder / "golden.safetensors"
    if not checkpoint.is_dir() or not file.is_file():
        wanted = "tiny_checkpoint/ and golden.safetensors"
        raise UserError(f"a LLaMA-VID reference folder holds {wanted}; {folder.name} does not: name another folder")
    golden = parity.golden(file)
    short, long = _load(checkpoint, "config.json", parity), _load(checkpoint, "config_long_video.json", parity)
    compare(parity, golden, short, long)
    _compare_facts(parity, golden, folder)
    return parity.report()


@torch.inference_mode()
def compare(parity: Parity, golden: Golden, short: LlamaVid, long: LlamaVid) -> None:
    """Compare every golden tensor but the tokenised questions; `short` and `long` differ in RoPE scaling alone."""
    try:
        for part in PARTS:
            part(parity, golden, short, long)
    except KeyError as error:
        raise UserError(f"golden.safetensors lacks the tensor {error}: copy the reference folder again") from None


def _load(checkpoint: Path, config: str, parity: Parity) -> LlamaVid:
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file() and "config" not in path.name):
        parity.uses(path)
    parity.uses(checkpoint / config)
    return load(checkpoint, read_sizes(checkpoint, config))


@contextmanager
def _outputs(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Record what modules return within this context."""
    found: dict[str, Tensor] = {}

    def recorder(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def record(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            found[name] = output

        return record

    hooks = [module.register_forward_hook(recorder(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _query(golden: Golden, name: str) -> Query:
    return Query(golden[f"{name}.input_ids"], golden[f"{name}.attention_mask"])


def _row(query: Query, row: int) -> Query:
    return Query(query.ids[row : row + 1], query.mask[row : row + 1])


def _preprocessing(parity: Parity, golden: Golden, _short: LlamaVid, _long: LlamaVid) -> None:
    """Compare pixels of which every STEP-th was kept, as `pixel_values_stridedSTEP` says."""
    for name in (name for name in golden if re.fullmatch(r"preproc\.pixel_values_strided\d+", name)):
        step, wanted = int(name.rpartition("strided")[2]), golden[name]
        pixels = standardise(centre_square(golden["preproc.frames_uint8"].numpy(), SIDE))
        parity.tensor(name, pixels[..., ::step, ::step], wanted)
        parity.tensor("preproc.pixel_values_mean", pixels.mean(dim=(2, 3)), golden["preproc.pixel_values_mean"])


def _tower(parity: Parity, golden: Golden, model: LlamaVid, _long: LlamaVid) -> None:
    pixels = golden["short.pixel_values"]
    parity.tensor("vision.embeddings", model.vision_tower.embed(pixels), golden["vision.embeddings"])
    blocks = {f"vision.block_{number}": block for number, block in enumerate(model.vision_tower.blocks)}
    with _outputs(blocks) as found:
        features = model.encode(pixels, class_row=True)
    for name, rows in found.items():
        parity.tensor(name, rows, golden[name])
    parity.tensor("vision.features", features, golden["vision.features"])


def _qformer(parity: Parity, golden: Golden, model: LlamaVid, _long: LlamaVid) -> None:
    encoder = model.compressor.vlm_att_encoder
    parts: dict[str, nn.Module] = {"ln_vision": model.compressor.vlm_att_ln, "embeddings": encoder.embeddings}
    parts.update({f"layer_{number}": layer for number, layer in enumerate(encoder.encoder.layer)})
    with _outputs(parts) as found:
        asked = model.compressor.ask(golden["vision.features"], _query(golden, "query"))
    for name, rows in [*found.items(), ("query_output", asked)]:
        parity.tensor(f"short.qformer.{name}", rows, golden[f"short.qformer.{name}"])


def _tokens(parity: Parity, golden: Golden, model: LlamaVid, _long: LlamaVid) -> None:
    """Compare every step from the Q-Former's output to the tokens."""
    compressor, features = model.compressor, golden["vision.features"]
    context = compressor.attend(features, golden["short.qformer.query_output"])
    content = compressor.contents(features)
    steps = {
        "text_q": context.queries,
        "vis": drop_class_row(features),
        "keys": context.keys,
        "attn_scores": context.scores,
        "attn_probs": context.weights,
        "context_pre_proj": context.pooled,
        "context_token": compressor.vlm_att_val_projector(context.pooled),
        "content_pre_proj": content,
        "content_token": compressor.mm_projector(content),
    }
    for name, got in steps.items():
        parity.tensor(f"short.{name}", got, golden[f"short.{name}"], ONE_STEP)


def _videos(parity: Parity, golden: Golden, model: LlamaVid, _long: LlamaVid) -> None:
    """Compare tokens of the short path, of the long one, of two questions, two videos and images."""
    query, both = _query(golden, "query"), _query(golden, "query2")
    pixels = golden["short.pixel_values"]
    chunks = [model.encode(part, class_row=True) for part in pixels.split(2)]  # streamed, not at once
    tokens = model.video_tokens(chunks, query)
    parity.tensor("short.video_tokens", tokens, golden["short.video_tokens"])
    parity.tensor("two_prompts.video_tokens", model.video_tokens(chunks, both), golden["two_prompts.video_tokens"])
    without = model.video_tokens([model.encode(pixels, class_row=False)], query)
    name = "short_frames_via_long_path.video_tokens"
    parity.tensor(name, without, golden[name])
    name = "delta_cls_seen_by_qformer"  # a difference of tokens, as exact as these are
    delta = golden[name]
    limit = parity.tolerance * float(tokens.abs().max() / delta.abs().max().clamp_min(1e-30))
    parity.tensor(name, (without - tokens).abs().max().expand_as(delta), delta, max(parity.tolerance, limit))
    features, start = golden["two_videos.features"], 0
    for number in _numbers(golden, r"two_videos\.video_tokens_(\d+)"):
        want = golden[f"two_videos.video_tokens_{number}"]
        stop = start + want.shape[1] // model.tokens_per_frame
        got = model.video_tokens([features[start:stop]], _row(both, number))
        parity.tensor(f"two_videos.video_tokens_{number}", got, want)
        start = stop
    swapped = Query(both.ids.flip(0), both.mask.flip(0))
    for number, asked in enumerate((query, swapped)):
        got = model.video_tokens([features[number : number + 1]], asked)
        parity.tensor(f"images.tokens_{number}", got, golden[f"images.tokens_{number}"])


def _numbers(golden: Golden, pattern: str) -> list[int]:
    """Return the numbers that names of golden tensors hold."""
    return sorted(int(found[1]) for found in (re.fullmatch(pattern, name) for name in golden) if found)


def _compress_types(parity: Parity, golden: Golden, model: LlamaVid, _long: LlamaVid) -> None:
    features, query, compressor = golden["vision.features"], _query(golden, "query"), model.compressor
    config = compressor.config
    grids = [(f"compress_grid{side}", f"grid:{side}") for side in _numbers(golden, r"compress_grid(\d+)\.video_tokens")]
    for name, compress in (*grids, ("compress_nocompress", None)):
        compressor.config = dataclasses.replace(config, compress=compress)
        parity.tensor(f"{name}.video_tokens", compressor(features, query), golden[f"{name}.video_tokens"])
    compressor.config = config


def _language(
    parity: Parity, golden: Golden, model: LlamaVid, path: str, tokens: Float[Tensor, "tokens hidden"]
) -> Float[Tensor, "total hidden"]:
    """Compare a prompt's embeddings, states and logits, and the greedy continuation; return the embeddings."""
    embeds = model.assemble(golden[f"{path}.input_ids"][0], tokens)
    parity.tensor(f"{path}.inputs_embeds", embeds[None], golden[f"{path}.inputs_embeds"])
    parity.equal(f"{path}.attention_mask", [[1] * len(embeds)], golden[f"{path}.attention_mask"].tolist())
    model.rotary.expect(len(embeds))
    made = model.language(inputs_embeds=embeds[None], output_hidden_states=True)
    for number, states in enumerate(made.hidden_states):
        want = golden[f"{path}.lm_hidden_{number}"]
        parity.tensor(f"{path}.lm_hidden_{number}", states[:, -want.shape[1] :], want)
    want = golden[f"{path}.logits"]
    parity.tensor(f"{path}.logits", made.logits[:, -want.shape[1] :], want)
    ids, want = golden[f"{path}.generated_ids"], golden[f"{path}.generated_logits"]
    cache, first = model.prefill(embeds, room=len(ids), chunk=max(1, len(embeds) // 3))  # in pieces, not at once
    logits = [first]
    for token in ids[:-1]:
        one = model.embed(token[None])[None]  # (1, 1, hidden)
        states = model.language.model(inputs_embeds=one, **cache_arguments(model.language.model, cache))[0]
        logits.append(model.language.lm_head(states)[0, 0])
    parity.tensor(f"{path}.generated_logits", torch.stack(logits), want)
    parity.equal(f"{path}.generated_ids", [int(row.argmax()) for row in logits], ids.tolist())
    return embeds


def _short_language(parity: Parity, golden: Golden, model: LlamaVid, _long: LlamaVid) -> None:
    _language(parity, golden, model, "short", golden["short.video_tokens"][0])


def _long_language(parity: Parity, golden: Golden, short: LlamaVid, long: LlamaVid) -> None:
    """Compare the long path: features in, text between frames, with and without RoPE scaling."""
    query = _query(golden, "query")
    tokens = long.video_tokens(golden["long.features"].split(32), query)
    parity.tensor("long.video_tokens", tokens, golden["long.video_tokens"])
    embeds = _language(parity, golden, long, "long", tokens[0])
    want = golden["long_without_rope_scaling.logits"]
    short.rotary.expect(len(embeds))
    logits = short.language(inputs_embeds=embeds[None]).logits[:, -want.shape[1] :]
    parity.tensor("long_without_rope_scaling.logits", logits, want)


def _rope(parity: Parity, golden: Golden, _short: LlamaVid, _long: LlamaVid) -> None:
    """Compare the 7B table, whatever the tiny sizes: exact frequencies, and those a bf16 run rounded."""
    positions = golden["rope_long.positions"]
    want = golden["rope_long.inv_freq_bf16_rounded"]
    exact = inverse_frequencies(2 * len(want), SEVEN_B.language.rope_theta)
    rounded = exact.bfloat16().float()
    parity.tensor("rope_long.inv_freq_bf16_rounded", rounded, want)
    for kind, frequencies in (("exact", exact), ("bf16_inv_freq", rounded)):
        table = rotary_table(positions, frequencies, LONG_VIDEO_FACTOR)
        for name, got in zip(("cos", "sin"), table, strict=True):
            parity.tensor(f"rope_long.{name}_{kind}", got, golden[f"rope_long.{name}_{kind}"])


def _compare_facts(parity: Parity, golden: Golden, folder: Path) -> None:
    """Compare questions, prompts, names, shapes and bytes, each where the file that records them is there."""
    tokenizer = QueryTokenizer(folder / "tiny_checkpoint" / "bert" / "vocab.txt")
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
            _query_without_meta(parity, golden, tokenizer)
    for path in sorted(folder.glob("golden*")):
        parity.equal(f"{path.name} is known", path.name in ("golden.safetensors", *comparisons), True)


def build_seven_b() -> LlamaVid:
    """Return the 7B model without weights."""
    with on_meta_device():
        return LlamaVid(SEVEN_B)


def _meta(parity: Parity, golden: Golden, tokenizer: QueryTokenizer, meta: dict[str, Any]) -> None:
    first, second = meta["question"], meta["question2"]
    for name, questions in (("query", [first]), ("query2", [first, second]), ("query_long", [meta["long_question"]])):
        made = tokenizer(questions)
        parity.equal(f"{name}.input_ids", made.ids.tolist(), golden[f"{name}.input_ids"].tolist())
        parity.equal(f"{name}.attention_mask", made.mask.tolist(), golden[f"{name}.attention_mask"].tolist())
    parity.equal("image_token_index", PLACEHOLDER, meta["image_token_index"])
    parity.equal("prompt_short_video", inputs.short_prompt("QUESTION").marked(1), meta["prompt_short_video"])
    long = inputs.long_prompt("QUESTION").marked(2 * 2)  # two frames
    parity.equal("prompt_long_video_2_frames", long, meta["prompt_long_video_2_frames"])
    parity.equal("stop_string", inputs.STOP, meta["stop_string"])
    parity.equal("frames_short", len(golden["short.pixel_values"]), meta["frames_short"])
    frames, patches = golden["long.features"].shape[:2]
    parity.equal("frames_long", frames, meta["frames_long"])
    parity.equal("patches_per_frame", patches, meta["patches_per_frame"])
    for case in meta["frame_sampling_1fps"]:
        shown = inputs.sample_frames(case["num_frames"], case["avg_fps"])
        got = [len(shown), shown[: len(case["first"])], shown[-1]]
        name = f"frame_sampling_1fps {case['num_frames']} at {case['avg_fps']}"
        parity.equal(name, got, [case["indices_count"], case["first"], case["last"]])


def _query_without_meta(parity: Parity, golden: Golden, tokenizer: QueryTokenizer) -> None:
    """Compare what is known of the long question without its text: it fills all places, special tokens included."""
    ids, mask = golden["query_long.input_ids"], golden["query_long.attention_mask"]
    ends = tokenizer([""]).ids.tolist()
    parity.equal("query_long ends", [[int(ids[0, 0]), int(ids[0, -1])]], ends)
    parity.equal("query_long.attention_mask", mask.tolist(), [[1] * inputs.QUERY_TOKENS])


def _layout(parity: Parity, found: dict[str, Any]) -> None:
    model, shapes = build_seven_b(), expand_layout(found["entries"])
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
    held = HALF * sum(p.numel() for p in build_seven_b().parameters())
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


PARTS: tuple[Callable[[Parity, Golden, LlamaVid, LlamaVid], None], ...] = (
    _preprocessing,
    _tower,
    _qformer,
    _tokens,
    _videos,
    _compress_types,
    _short_language,
    _long_language,
    _rope,
)
