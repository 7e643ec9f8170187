"""Check every recorded run of a reference checkpoint: encoders, selection, merging, sequence, language model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from niah.adapters.config_reader import read_config
from niah.adapters.parity import Golden, Parity
from niah.adapters.tensors import TensorSource, tensors, tensors_of
from niah.settings import unknown_name
from niah.types import UserError
from vilamp.release.config import KEYS, read_release
from vilamp.release.load import composer_of, from_tensors
from vilamp.release.model import ReleasedVilamp
from vilamp.release.parity.recorded_run import VALUES, RecordedRun
from vilamp.release.pixels import clip_pixels, siglip_pixels
from vilamp.release.tower_sizes import is_count

COMPOSER = "model.composer_projector."
OURS = ("first_n_frames", "selector", "legacy_hard_mask")  # overrides that are no keys of config.json
PER_FRAME = ("frames", "siglip_pixel_values", "clip_pixel_values")
ESSENTIAL = ("keyframe_mask", "inputs_embeds", "logits")  # without these a run proves little; `last_logits` serves too
INPUTS = ("frames", "siglip_pixel_values", "clip_pixel_values", "clip_input_ids", "clip_attention_mask", "input_ids")


def compare_runs(
    parity: Parity, folder: Path, device: str = "cpu", replaced: Mapping[str, TensorSource] | None = None
) -> None:
    """Compare the run `main` and every run of runs.json. Raises UserError where the folder lacks what all need.

    `replaced` tensors take the place of the checkpoint's.
    """
    inputs = _inputs(parity, folder)
    runs = _runs(parity, folder, len(inputs["siglip_pixel_values"]))
    main = parity.golden(_needed(folder, "golden_main.safetensors"))
    variants = folder / "golden_variants.safetensors"
    others = parity.golden(variants) if variants.is_file() else Golden({})
    with torch.inference_mode():
        for name in ("main", *(name for name in runs if name != "main")):
            about = runs.get(name, {})
            overrides = about.get("overrides", {})
            weights = _weights(parity, folder, overrides.get("composer_type"))
            if weights is None:
                parity.skip(name, "its composer's tensors are not in the folder", others, f"{name}.")
                continue
            model = _model(folder, device, overrides, _with(weights, replaced or {}))
            run = RecordedRun(model, _first(inputs, overrides.get("first_n_frames")), overrides.get("selector", True))
            if name == "main":
                _compare_pixels(parity, model, inputs)
                _compare(parity, "main.", run, main, main.keys())
                for lacking in [one for one in ESSENTIAL if not any(key.endswith(one) for key in main)]:
                    parity.skip(f"main.{lacking}", "golden_main.safetensors does not hold it", main, lacking)
            else:
                prefix = f"{name}."
                recorded = [key for key in others if key.startswith(prefix)]
                _compare(parity, prefix, run, others, recorded)
                if not recorded:
                    parity.skip(f"{name}'s tensors", "golden_variants.safetensors holds none", others, prefix)
            _compare_plain(parity, name, run, about)


def _compare(parity: Parity, prefix: str, run: RecordedRun, golden: Golden, keys: Any) -> None:
    """Compare the tensors of one run in the order they are computed in; plain numbers must be equal."""
    there = {key.removeprefix(prefix): key for key in keys}
    for name, value in VALUES.items():
        if name in there:
            want = golden[there[name]]
            got = value(run, want).cpu()
            if want.is_floating_point():
                parity.tensor(prefix + name, got, want)
            else:
                parity.equal(prefix + name, got.tolist(), want.tolist())


def _compare_plain(parity: Parity, name: str, run: RecordedRun, about: Mapping[str, Any]) -> None:
    """Compare what runs.json says of a run."""
    if "greedy_keyframes" in about:
        parity.equal(f"{name}: greedy keyframes", run.selected[0], about["greedy_keyframes"])
    if "keyframes" in about:
        parity.equal(f"{name}: keyframes", run.selected[1], about["keyframes"])
    if "sequence_length" in about:
        parity.equal(f"{name}: sequence length", len(run.embeds), about["sequence_length"])
    if "generated" in about:
        parity.equal(f"{name}: greedy ids", run.generated(len(about["generated"])), about["generated"])


def _compare_pixels(parity: Parity, model: ReleasedVilamp, inputs: Mapping[str, Tensor]) -> None:
    """Compare both preprocessors with the pixels the run began from, where the frames are there."""
    if "frames" in inputs:
        frames = inputs["frames"].numpy()
        siglip = siglip_pixels(frames, model.config.siglip_picture)
        parity.tensor("preprocessing.siglip", siglip, inputs["siglip_pixel_values"])
        clip = clip_pixels(frames, model.config.clip.picture)
        parity.tensor("preprocessing.clip", clip, inputs["clip_pixel_values"])


def _inputs(parity: Parity, folder: Path) -> dict[str, Tensor]:
    """Read the runs' inputs. Raises UserError naming what is missing."""
    file = _needed(folder, "inputs.safetensors")
    parity.uses(file)
    try:
        inputs = load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file.name} cannot be read ({error}): copy the reference folder again") from None
    missing = [name for name in INPUTS if name not in inputs and name not in ("frames", "clip_attention_mask")]
    if missing:
        raise UserError(f"inputs.safetensors lacks {', '.join(missing)}: copy the reference folder again")
    counts = {name: len(inputs[name]) for name in PER_FRAME if name in inputs}
    if len(set(counts.values())) > 1:
        raise UserError(f"inputs.safetensors has unequal numbers of frames: {counts}; copy the reference folder again")
    return inputs


def _first(inputs: Mapping[str, Tensor], count: int | None) -> dict[str, Tensor]:
    """Return the inputs with the first `count` frames."""
    return {name: tensor[:count] if name in PER_FRAME else tensor for name, tensor in inputs.items()}


def _runs(parity: Parity, folder: Path, frames: int) -> dict[str, Any]:
    """Read runs.json, without which only `main` is known."""
    file = folder / "runs.json"
    if not file.is_file():
        parity.skip("all runs but main", "runs.json is not in the folder", Golden({}), "")
        return {}
    parity.uses(file)
    runs = read_config(folder, "runs.json")
    for name, about in runs.items():
        _check(name, about, frames)
    return runs


def _check(name: str, about: Any, frames: int) -> None:
    """Raise UserError for a run this command would misread; keys of config.json are checked where they are read."""
    overrides = about.get("overrides", {}) if isinstance(about, dict) else None
    if not isinstance(overrides, dict):
        raise UserError(f"runs.json: {name} and its overrides must be objects, got {about!r}")
    for key, value in overrides.items():
        if key not in (*OURS, *KEYS):
            raise UserError(f"runs.json, {name}: " + unknown_name("override", key, (*OURS, *KEYS)))
        if key in ("selector", "legacy_hard_mask") and not isinstance(value, bool):
            raise UserError(f"runs.json, {name}: {key} must be true or false, got {value!r}")
    first = overrides.get("first_n_frames", frames)
    if not is_count(first) or first > frames:
        raise UserError(f"runs.json, {name}: first_n_frames must be one of 1..{frames}, got {first!r}")


def _weights(parity: Parity, folder: Path, composer: str | None) -> dict[str, TensorSource] | None:
    """Return a run's tensors, with another composer's in place of the checkpoint's; None where those are missing."""
    found = tensors(folder)
    if composer in (None, "average_pooling", composer_of(found)):
        return found
    file = folder / f"composer_{composer}.safetensors"
    if not file.is_file():
        return None
    parity.uses(file)
    return {name: source for name, source in found.items() if not name.startswith(COMPOSER)} | tensors_of(file)


def _with(weights: Mapping[str, TensorSource], replaced: Mapping[str, TensorSource]) -> dict[str, TensorSource]:
    """Return tensors with some of them replaced by others of their name."""
    return {name: replaced.get(name, source) for name, source in weights.items()}


def _model(
    folder: Path, device: str, overrides: Mapping[str, Any], weights: Mapping[str, TensorSource]
) -> ReleasedVilamp:
    """Load the model of one run."""
    keys = {key: value for key, value in overrides.items() if key not in OURS}
    legacy = bool(overrides.get("legacy_hard_mask", False))
    config = read_release(folder, keys)
    return from_tensors(config, weights, device, torch.float32, "release", keys, legacy_mask=legacy)


def _needed(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise UserError(f"{folder} holds no {name}; wanted a folder laid out like the reference's `tiny`")
    return folder / name
