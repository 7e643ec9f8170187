"""Compare this Video-XL with numbers recorded from the release.

niah parity video_xl FOLDER        all agree: 224 comparisons

Logits must agree within 1e-4 as they are, everything else within 1e-4 of the largest value of its tensor. Ratios are
read from the recorded steps, since the release's draws depend on what was evaluated before; a rule that draws nothing
is compared as well. What the folder says about the published 7B model (names and shapes of its tensors, prompts, bytes
of its cache) is compared where those files are there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from baselines.video_xl import config
from baselines.video_xl.compress import SEED, RatioRule, Window, cut_windows, plan_windows
from baselines.video_xl.config import VideoXLConfig
from baselines.video_xl.inputs import make_pixels, wrap_in_chat
from baselines.video_xl.language import SummaryCache, rotation
from baselines.video_xl.model import TOWER, ReadStep, VideoXL, build_empty, load, rename, unused
from baselines.video_xl.training import loss
from niah.adapters.checkpoint import mismatches
from niah.adapters.config_reader import read_config
from niah.adapters.parity import Golden, Parity, expand_layout
from niah.types import UserError

TOLERANCE = 1e-4
KINDS = {"lm": "inputs.prefix_ids", "train": "labels_unexpanded", "vision_e2e": "frames_uint8"}  # and a name in each
MANIFEST, LAYOUT, FACTS = "manifest.json", "checkpoint_layout_7b.json", "facts.json"
HALF = 2  # bytes
UNSEEN = {  # tensors of the checkpoint that may change a little without changing any number, and why
    TOWER + "post_layernorm.*": "the release takes a hidden state from before it",
    TOWER + "encoder.layers.{beyond}.*": "the release selects a hidden state that these layers come after",
    TOWER + "encoder.layers.*.self_attn.k_proj.bias": "adds the same to all scores of a query; softmax cancels it",
}


@dataclass(frozen=True)
class Recording:
    """What a run over one prompt leaves to compare."""

    steps: list[ReadStep]
    cache: SummaryCache
    prefill: int  # cache length before decoding
    logits: Float[Tensor, "tokens vocabulary"]  # of the last step
    ids: list[int]
    decode_logits: Float[Tensor, "ids vocabulary"]


def run(folder: Path) -> int:
    """Compare everything in a reference folder, print the table, return 0, or 1 where anything differs.

    Raises UserError where the folder lacks a file.
    """
    return compare(folder, load(folder / "checkpoint")).report()


def compare(folder: Path, model: VideoXL) -> Parity:
    """Return the comparison of a loaded model with all golden files of a folder; each is known by what it holds.

    Raises UserError where a kind is missing, or a file lacks a number that the comparison needs.
    """
    parity = Parity(TOLERANCE)
    manifest = _manifest(parity, folder)
    files: dict[str, list[Golden]] = {kind: [] for kind in KINDS}
    for path in sorted(folder.glob("golden*.safetensors")):
        golden = parity.golden(path)
        kind = next((kind for kind, mark in KINDS.items() if mark in golden), None)
        parity.equal(f"{path.name} is known", kind is not None, True)
        files[kind or "lm"] += [golden] if kind else []
    absent = [f"golden_{kind}.safetensors" for kind, found in files.items() if not found]
    if absent:
        raise UserError(f"{folder.name} holds no {', '.join(absent)}: wanted a folder laid out as the reference")
    try:
        with torch.no_grad():
            for golden in files["lm"]:
                for case in sorted(name.removesuffix(".steps") for name in golden if name.endswith(".steps")):
                    _language_case(parity, model, golden, case, manifest.get("cases", {}).get(case, {}))
            for golden in files["vision_e2e"]:
                _vision(parity, model, golden, files["lm"][0])
        for golden in files["train"]:
            _train(parity, model, golden, files["lm"][0])
        _published(parity, folder)
    except KeyError as error:
        raise UserError(f"{folder.name} records no {error}, which the comparison needs: copy it again") from None
    return parity


def _manifest(parity: Parity, folder: Path) -> Mapping[str, Any]:
    """Return what manifest.json says about the cases, nothing where it is absent."""
    if not (folder / MANIFEST).is_file():
        return {}
    parity.uses(folder / MANIFEST)
    return read_config(folder, MANIFEST)


def _language_case(parity: Parity, model: VideoXL, golden: Golden, case: str, said: Mapping[str, Any]) -> None:
    """Compare steps, states, cache, logits and greedy ids of one language-model case."""
    steps = golden[f"{case}.steps"]
    prefix, visual, suffix = _inputs(golden, steps)
    windows = _windows(steps, model.settings.window)
    wanted = golden[f"{case}.greedy_ids"].tolist()
    made = _record(model, prefix, windows, lambda window: visual[window.start : window.stop], suffix, len(wanted))
    _steps(parity, case, made, steps)
    masks, positions = zip(*(_beacons(step) for step in made.steps), strict=True)
    parity.equal(f"{case}.beacon_mask", torch.cat(masks).tolist(), golden[f"{case}.beacon_mask"].tolist())
    parity.equal(f"{case}.position_ids", torch.cat(positions).tolist(), golden[f"{case}.position_ids"].tolist())
    _absolute(parity, f"{case}.logits", made.logits, golden[f"{case}.logits"])
    parity.equal(f"{case}.greedy_ids", made.ids, wanted)
    _absolute(parity, f"{case}.decode_logits", made.decode_logits, golden[f"{case}.decode_logits"])
    if f"{case}.hidden" in golden:
        states = torch.cat([step.states for step in made.steps])
        parity.tensor(f"{case}.hidden", states, golden[f"{case}.hidden"])
    for layer in range(model.settings.language.layers):
        keys, values = made.cache.read(0, made.prefill)[:, layer]
        back = rotation(-torch.arange(made.prefill), keys.shape[-1], model.settings.language.rope_theta)
        parity.tensor(f"{case}.kv.{layer}.key", back(keys), golden[f"{case}.kv.{layer}.key"])
        parity.tensor(f"{case}.kv.{layer}.value", values, golden[f"{case}.kv.{layer}.value"])
    if said:
        _manifest_case(parity, model, case, made, windows, said)


def _manifest_case(
    parity: Parity, model: VideoXL, case: str, made: Recording, windows: Sequence[Window], said: Mapping[str, Any]
) -> None:
    """Compare with what the manifest says about a case: cache lengths, and ratios that need no draw."""
    kept = sum(window.summaries for window in windows)
    first, last = made.steps[0].stop, made.prefill - made.steps[0].stop - kept
    parity.equal(f"{case}: cache after each step", [step.after for step in made.steps], said["kv_len_after_step"])
    parity.equal(f"{case}: cache after prefill", [first, kept, last], said["kv_sink_beacon_raw_after_prefill"])
    grown = [first, kept, last + made.cache.length - made.prefill]
    for name in (name for name in said if re.fullmatch(r"kv_sink_beacon_raw_after_\d+_new_tokens", name)):
        parity.equal(f"{case}: cache after decoding", grown, said[name])
    rule = RatioRule(tuple(said["beacon_ratio"]), said["beacon_ratio_mix"])
    if len(rule.ratios) > 1 and rule.mix.endswith("-random"):
        return
    limit = said.get("max_position_embeddings_override", model.settings.language.max_positions)
    lengths, window = cut_windows(said["n_visual"], model.settings.window), model.settings.window
    picked = rule.pick(lengths, window, made.steps[-1].stop, limit, np.random.default_rng(0))
    parity.equal(f"{case}: ratios by {rule.mix}", picked, said["ratios_used"])


def _vision(parity: Parity, model: VideoXL, golden: Golden, language: Golden) -> None:
    """Compare the way from frames to an answer, stage by stage."""
    frames = golden["frames_uint8"].numpy()
    parity.tensor("vision.pixel_values", make_pixels(frames, model.settings.pixels), golden["pixel_values"])
    patches = model.patches(frames)[1]
    parity.tensor("vision.clip_selected", patches, golden["clip_selected"])
    parity.tensor("vision.projected", model.projector(patches), golden["projected"])
    visual = model.encode(frames)
    parity.tensor("vision.pooled", visual.unflatten(0, (len(frames), -1)), golden["pooled"])
    steps = golden["steps"]
    prefix, _, suffix = _inputs(language, steps)
    windows = _windows(steps, model.settings.window)
    wanted = golden["greedy_ids"].tolist()
    made = _record(model, prefix, windows, lambda window: visual[window.start : window.stop], suffix, len(wanted))
    _steps(parity, "vision", made, steps)
    _absolute(parity, "vision.logits", made.logits, golden["logits"])
    parity.equal("vision.greedy_ids", made.ids, wanted)


def _train(parity: Parity, model: VideoXL, golden: Golden, language: Golden) -> None:
    """Compare the training loss and its gradients."""
    steps = golden["steps"]
    prefix, visual, suffix = _inputs(language, steps)
    visual = visual.clone().requires_grad_()
    unexpanded = golden["labels_unexpanded"]  # one label stands for all visual tokens
    marker = unexpanded.new_full((len(visual),), int(unexpanded[len(prefix)]))
    labels = torch.cat([unexpanded[: len(prefix)], marker, unexpanded[len(prefix) + 1 :]])
    names = [name.removeprefix("grad.") for name in golden if name.startswith("grad.")]
    known = dict(model.named_parameters())
    unknown = [name for name in names if name != "visual_features" and rename(name) not in known]
    parity.equal("train: gradients of tensors the model lacks", unknown, [])
    wanted = {name: known[rename(name)] for name in names if rename(name) in known}
    for parameter in wanted.values():
        parameter.requires_grad_()
    try:
        found = loss(model, prefix, visual, suffix, labels, _windows(steps, model.settings.window))
        gradients = torch.autograd.grad(found, [visual, *wanted.values()], allow_unused=True)
    finally:
        model.requires_grad_(False)
    for name in (name for name in ("loss", "batch_loss") if name in golden):  # a batch of one
        parity.tensor(f"train.{name}", found[None], golden[name])
    for name, tensor, gradient in zip(["visual_features", *wanted], [visual, *wanted.values()], gradients, strict=True):
        got = torch.zeros_like(tensor) if gradient is None else gradient
        parity.tensor(f"train.grad.{name}", got, golden[f"grad.{name}"])


def _inputs(
    golden: Golden, steps: Int[Tensor, "steps numbers"]
) -> tuple[Int[Tensor, " prefix"], Float[Tensor, "visual hidden"], Int[Tensor, " suffix"]]:
    """Return prefix ids, visual tokens and suffix ids of a case, as many as its steps read."""
    prefix = golden["inputs.prefix_ids"][: int(steps[0, 1])]
    text = int(steps[-1, 1]) - len(prefix)
    visual = sum(int(stop - start) for start, stop, ratio in steps[:, :3] if ratio)
    features = golden["inputs.visual_features"][:visual].float()
    return prefix, features, golden["inputs.suffix_ids"][: text - visual]


def _windows(steps: Int[Tensor, "steps numbers"], window: int) -> list[Window]:
    """Return the windows of the recorded ratios, at the lengths of this implementation's own rule."""
    ratios = [int(ratio) for ratio in steps[:, 2] if ratio]
    visual = sum(int(stop - start) for start, stop, ratio in steps[:, :3] if ratio)
    lengths = cut_windows(visual, window)
    if len(lengths) != len(ratios):
        raise UserError(f"{visual} visual tokens are recorded in {len(ratios)} windows, {window} a window give others")
    return plan_windows(lengths, ratios)


def _record(
    model: VideoXL,
    prefix: Int[Tensor, " prefix"],
    windows: Sequence[Window],
    visual: Callable[[Window], Tensor],
    suffix: Int[Tensor, " suffix"],
    count: int,
) -> Recording:
    """Read a prompt and decode `count` tokens."""
    room = len(prefix) + sum(window.summaries for window in windows) + len(suffix)
    cache = model.cache(room + count + 2 * model.settings.window)
    steps = list(model.read(prefix, windows, visual, suffix, cache))
    prefill = cache.length
    logits = model.language.logits(steps[-1].states)
    ids, rows = zip(*model.generate(logits[-1], cache, count), strict=True)
    return Recording(steps, cache, prefill, logits, list(ids), torch.stack(rows))


def _steps(parity: Parity, case: str, made: Recording, steps: Int[Tensor, "steps numbers"]) -> None:
    """Compare the nine numbers of each step, as `steps` has them."""
    rows = []
    sink = made.steps[0].stop
    summaries = raw = 0
    for number, step in enumerate(made.steps):
        kept = step.after - step.before
        if step.window is not None:
            summaries += kept
        elif number:
            raw += kept
        ratio, beacons = (step.window.ratio, step.window.summaries) if step.window else (0, 0)
        rows.append([step.start, step.stop, ratio, len(step.states), beacons, step.before, sink, summaries, raw])
    parity.equal(f"{case}.steps", rows, steps.tolist())


def _beacons(step: ReadStep) -> tuple[UInt8[Tensor, " tokens"], Int[Tensor, " tokens"]]:
    """Return the mask of summary tokens of a step, and its positions."""
    mask = torch.zeros(len(step.states), dtype=torch.uint8)
    if step.window is not None:
        mask[list(step.window.places)] = 1
    return mask, step.before + torch.arange(len(mask))


def _absolute(
    parity: Parity, name: str, got: Float[Tensor, "*rows vocabulary"], want: Float[Tensor, "*rows vocabulary"]
) -> None:
    """Compare logits: 1e-4 as they are, which is less than 1e-4 of the largest where that exceeds 1."""
    parity.tensor(name, got, want, TOLERANCE / max(1.0, float(want.abs().max())))


def _published(parity: Parity, folder: Path) -> None:
    """Compare what is recorded about the published 7B model: layout and facts, each where its file is there."""
    settings: VideoXLConfig | None = None
    if (folder / LAYOUT).is_file():
        parity.uses(folder / LAYOUT)
        layout = read_config(folder, LAYOUT)
        settings, shapes = published_config(layout), layout_shapes(layout)
        parity.equal(f"{LAYOUT}: mismatches", mismatches(build_empty(settings), shapes, rename, unused(settings)), [])
        parity.equal(f"{LAYOUT}: tensors", len(shapes), layout["num_tensors"])
    if (folder / FACTS).is_file():
        parity.uses(folder / FACTS)
        _facts(parity, read_config(folder, FACTS), settings)


def published_config(layout: Mapping[str, Any]) -> VideoXLConfig:
    """Return the configuration that a checkpoint_layout file assumes.

    It does not say which of the tower's states is selected, and no name or shape depends on it.
    """
    assumed = {"mm_vision_select_layer": -2, **layout["config_assumed"]}
    return config.parse(assumed, layout["vision_config_assumed"])


def layout_shapes(layout: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return every tensor name and shape of a checkpoint_layout file."""
    return expand_layout([*layout["single"], *_repeated(layout["repeated"])])


def _repeated(groups: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a row for each tensor that the layers of a group have."""
    for group in groups:
        first, stop = group["index_range"]
        for entry in group["tensors"]:
            name = group["name_pattern"].replace("{suffix}", entry["suffix"])
            yield {"name": name, "shape": entry["shape"], "layers": (first, stop - 1)}


def _facts(parity: Parity, facts: Mapping[str, Any], settings: VideoXLConfig | None) -> None:
    """Compare prompts and draws, and bytes of the cache where the layout gave the sizes."""
    prompts, beacon = facts["prompts"], facts["beacon"]
    for style in ("chat", "niah"):
        before, after = wrap_in_chat(style, "{question}")
        parity.equal(f"{FACTS}: prompt {style}", f"{before}<image>{after}", prompts[style])
    parity.equal(f"{FACTS}: system of vnbench", prompts["vnbench_system"] in wrap_in_chat("vnbench", "")[0], True)
    draws = beacon["first_draws_for_2_4_8"]
    window, rng = beacon["window"], np.random.default_rng(SEED)
    picked = RatioRule((2, 4, 8)).pick([window] * len(draws), window, window * len(draws), 1, rng)
    parity.equal(f"{FACTS}: first draws of 2, 4, 8", picked, draws)
    if settings is None:
        return
    language, tokens, cache = settings.language, settings.vision.tokens, facts["kv_cache"]
    token = 2 * language.layers * language.key_value_heads * language.head * HALF
    parity.equal(f"{FACTS}: bytes of a token", token, cache["bytes_per_token_fp16"])
    parity.equal(f"{FACTS}: bytes of a frame", token * tokens, cache["bytes_per_frame_uncompressed"])
    for ratio in (2, 4, 8, 16):
        got = token * (tokens // ratio)
        parity.equal(f"{FACTS}: bytes of a frame at ratio {ratio}", got, cache[f"bytes_per_frame_ratio_{ratio}"])
