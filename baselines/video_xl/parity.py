"""Compare this Video-XL with numbers recorded from the release: `niah parity video_xl FOLDER`.

Logits must agree within 1e-4 as they are, everything else within 1e-4 of the largest value
of its tensor. Ratios are read from the recorded steps, since the release's draws depend on
what was evaluated before; a rule that draws nothing is checked as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.video_xl import facts
from baselines.video_xl.cache import Cache
from baselines.video_xl.language import rotation
from baselines.video_xl.model import TOWER, Taken, VideoXL, load, rename
from baselines.video_xl.ratios import RatioRule
from baselines.video_xl.training import loss
from baselines.video_xl.vision import pixels
from baselines.video_xl.windows import Window, cut, plan
from niah.adapters.config_reader import read_config
from niah.adapters.parity import Golden, Parity
from niah.types import UserError

TOLERANCE = 1e-4
KINDS = {"lm": "inputs.prefix_ids", "train": "labels_unexpanded", "vision_e2e": "frames_uint8"}  # and a name in each
MANIFEST = "manifest.json"
UNSEEN = {  # tensors of the checkpoint that may change a little without changing any number, and why
    TOWER + "post_layernorm.*": "the release takes a hidden state from before it",
    TOWER + "encoder.layers.{beyond}.*": "the release selects a hidden state that these layers come after",
    TOWER + "encoder.layers.*.self_attn.k_proj.bias": "adds the same to all scores of a query; softmax cancels it",
}


@dataclass(frozen=True)
class Recording:
    """What a run over one prompt leaves to compare."""

    taken: list[Taken]
    cache: Cache
    prefill: int  # cache length before decoding
    logits: Tensor  # of the last step, (tokens, vocabulary)
    ids: list[int]
    decode_logits: Tensor  # (ids, vocabulary)


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
    told = _manifest(parity, folder)
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
                    _language_case(parity, model, golden, case, told.get("cases", {}).get(case, {}))
            for golden in files["vision_e2e"]:
                _vision(parity, model, golden, files["lm"][0])
        for golden in files["train"]:
            _train(parity, model, golden, files["lm"][0])
        facts.compare(parity, folder)
    except KeyError as error:
        raise UserError(f"{folder.name} records no {error}, which the comparison needs: copy it again") from None
    return parity


def _manifest(parity: Parity, folder: Path) -> Mapping[str, Any]:
    """Return what manifest.json says of the cases, nothing where it is absent."""
    if not (folder / MANIFEST).is_file():
        return {}
    parity.uses(folder / MANIFEST)
    return read_config(folder, MANIFEST)


def _language_case(parity: Parity, model: VideoXL, golden: Golden, case: str, told: Mapping[str, Any]) -> None:
    """Compare steps, states, cache, logits and greedy ids of one language-model case."""
    steps = golden[f"{case}.steps"]
    prefix, visual, suffix = _inputs(golden, steps)
    windows = _windows(steps, model.settings.window)
    wanted = golden[f"{case}.greedy_ids"].tolist()
    made = _record(model, prefix, windows, lambda window: visual[window.start : window.stop], suffix, len(wanted))
    _steps(parity, case, made, windows, steps)
    masks, positions = zip(*(_beacons(taken) for taken in made.taken), strict=True)
    parity.equal(f"{case}.beacon_mask", torch.cat(masks).tolist(), golden[f"{case}.beacon_mask"].tolist())
    parity.equal(f"{case}.position_ids", torch.cat(positions).tolist(), golden[f"{case}.position_ids"].tolist())
    _absolute(parity, f"{case}.logits", made.logits, golden[f"{case}.logits"])
    parity.equal(f"{case}.greedy_ids", made.ids, wanted)
    _absolute(parity, f"{case}.decode_logits", made.decode_logits, golden[f"{case}.decode_logits"])
    if f"{case}.hidden" in golden:
        states = torch.cat([taken.states for taken in made.taken])
        parity.tensor(f"{case}.hidden", states, golden[f"{case}.hidden"])
    for layer in range(model.settings.language.layers):
        keys, values = made.cache.read(0, made.prefill)[:, layer]
        back = rotation(-torch.arange(made.prefill), keys.shape[-1], model.settings.language.rope_theta)
        parity.tensor(f"{case}.kv.{layer}.key", back(keys), golden[f"{case}.kv.{layer}.key"])
        parity.tensor(f"{case}.kv.{layer}.value", values, golden[f"{case}.kv.{layer}.value"])
    if told:
        _told(parity, model, case, made, windows, told)


def _told(
    parity: Parity, model: VideoXL, case: str, made: Recording, windows: Sequence[Window], told: Mapping[str, Any]
) -> None:
    """Compare with what the manifest says of a case: cache lengths, and ratios that need no draw."""
    kept = sum(window.summaries for window in windows)
    first, last = made.taken[0].stop, made.prefill - made.taken[0].stop - kept
    parity.equal(f"{case}: cache after each step", [taken.after for taken in made.taken], told["kv_len_after_step"])
    parity.equal(f"{case}: cache after prefill", [first, kept, last], told["kv_sink_beacon_raw_after_prefill"])
    grown = [first, kept, last + made.cache.length - made.prefill]
    for name in (name for name in told if re.fullmatch(r"kv_sink_beacon_raw_after_\d+_new_tokens", name)):
        parity.equal(f"{case}: cache after decoding", grown, told[name])
    rule = RatioRule(tuple(told["beacon_ratio"]), told["beacon_ratio_mix"])
    if len(rule.ratios) > 1 and rule.mix.endswith("-random"):
        return
    limit = told.get("max_position_embeddings_override", model.settings.language.max_positions)
    lengths, window = cut(told["n_visual"], model.settings.window), model.settings.window
    picked = rule.pick(lengths, window, made.taken[-1].stop, limit, np.random.default_rng(0))
    parity.equal(f"{case}: ratios by {rule.mix}", picked, told["ratios_used"])


def _vision(parity: Parity, model: VideoXL, golden: Golden, language: Golden) -> None:
    """Compare the way from frames to an answer, stage by stage."""
    frames = golden["frames_uint8"].numpy()
    parity.tensor("vision.pixel_values", pixels(frames, model.settings.pixels), golden["pixel_values"])
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
    _steps(parity, "vision", made, windows, steps)
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
    strangers = [name for name in names if name != "visual_features" and rename(name) not in known]
    parity.equal("train: gradients of tensors the model has not", strangers, [])
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


def _inputs(golden: Golden, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return prefix ids, visual tokens and suffix ids of a case, as many as its steps read."""
    prefix = golden["inputs.prefix_ids"][: int(steps[0, 1])]
    text = int(steps[-1, 1]) - len(prefix)
    visual = sum(int(stop - start) for start, stop, ratio in steps[:, :3] if ratio)
    features = golden["inputs.visual_features"][:visual].float()
    return prefix, features, golden["inputs.suffix_ids"][: text - visual]


def _windows(steps: Tensor, window: int) -> list[Window]:
    """Return the windows of the recorded ratios, at the lengths of this implementation's own rule."""
    ratios = [int(ratio) for ratio in steps[:, 2] if ratio]
    visual = sum(int(stop - start) for start, stop, ratio in steps[:, :3] if ratio)
    lengths = cut(visual, window)
    if len(lengths) != len(ratios):
        raise UserError(f"{visual} visual tokens are recorded in {len(ratios)} windows, {window} a window give others")
    return plan(lengths, ratios)


def _record(
    model: VideoXL,
    prefix: Tensor,
    windows: Sequence[Window],
    visual: Callable[[Window], Tensor],
    suffix: Tensor,
    count: int,
) -> Recording:
    """Read a prompt and decode `count` tokens."""
    room = len(prefix) + sum(window.summaries for window in windows) + len(suffix)
    cache = model.cache(room + count + 2 * model.settings.window)
    taken = list(model.read(prefix, windows, visual, suffix, cache))
    prefill, logits = cache.length, model.language.logits(taken[-1].states)
    ids, rows = zip(*model.greedy(logits[-1], cache, count), strict=True)
    return Recording(taken, cache, prefill, logits, list(ids), torch.stack(rows))


def _steps(parity: Parity, case: str, made: Recording, windows: Sequence[Window], steps: Tensor) -> None:
    """Compare the nine numbers of each step, as `steps` has them."""
    rows, sink, summaries, raw = [], made.taken[0].stop, 0, 0
    for number, taken in enumerate(made.taken):
        window = taken.window
        if window is not None:
            summaries += taken.after - taken.before
        elif number:
            raw += taken.after - taken.before
        ratio, beacons = (window.ratio, window.summaries) if window else (0, 0)
        rows.append([taken.start, taken.stop, ratio, len(taken.states), beacons, taken.before, sink, summaries, raw])
    parity.equal(f"{case}.steps", rows, steps.tolist())


def _beacons(taken: Taken) -> tuple[Tensor, Tensor]:
    """Return the mask of summary tokens of a step and its positions."""
    mask = torch.zeros(len(taken.states), dtype=torch.uint8)
    if taken.window is not None:
        mask[list(taken.window.places)] = 1
    return mask, taken.before + torch.arange(len(mask))


def _absolute(parity: Parity, name: str, got: Tensor, want: Tensor) -> None:
    """Compare logits: 1e-4 as they are, which is less than 1e-4 of the largest where that exceeds 1."""
    parity.tensor(name, got, want, TOLERANCE / max(1.0, float(want.abs().max())))
