"""Load a released checkpoint: official names in, `ReleasedVilamp` out; all mismatches are reported at once."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from niah.adapters.checkpoint import check_layout, load_into, locate, on_meta_device
from niah.adapters.spread import dispatch, plan
from niah.adapters.tensors import TensorSource, tensors
from niah.settings import unknown_name
from niah.types import UserError
from vilamp.release.behaviour import BEHAVIOURS, CHOICES
from vilamp.release.config import ReleaseConfig, read_release
from vilamp.release.model import ReleasedVilamp

PREFIXES = {  # official -> ours
    "model.frame_selector.model.": "clip.",
    "model.vision_tower.vision_tower.vision_model.": "vision.",
    "model.mm_projector.": "projector.",
    "model.composer_projector.": "composer.",
    "model.image_newline": "image_newline",
    "model.": "language.model.",
    "lm_head.": "language.lm_head.",
}
LAYERS = "language.model.layers"
TOWER = "model.vision_tower.vision_tower.vision_model."
UNUSED = (TOWER + "head.*", "*.position_ids", "*.rotary_emb.inv_freq")


def rename(name: str) -> str:
    """Return our name of an official tensor; any other name is one that nothing here has."""
    for official, ours in PREFIXES.items():
        if name.startswith(official):
            return ours + name[len(official) :]
    return f"unofficial.{name}"


def official_name(ours: str) -> str:
    """Return what a checkpoint calls one of our tensors."""
    for official, start in PREFIXES.items():
        if ours.startswith(start):
            return official + ours[len(start) :]
    raise ValueError(f"{ours!r} is no tensor of a released ViLaMP")


def composer_of(names: Iterable[str]) -> str | None:
    """Return the composer whose tensors there are, None where there are none of a composer."""
    names = set(names)
    if "model.composer_projector.linear_iq.weight" in names:
        return "sig_pooling"
    return "single_token" if "model.composer_projector.0.weight" in names else None


def from_release(
    name: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    behaviour: str = "release",
    overrides: Mapping[str, Any] | None = None,
    device_map: str | None = None,
    **settings: Any,
) -> ReleasedVilamp:
    """Return the model of a released checkpoint, in evaluation mode.

    Raises UserError naming everything that does not fit: config, tensors, shapes, dtypes, values.

    Args:
        name: A checkpoint folder or a hub name.
        device: Where the weights go.
        dtype: What the weights are converted to.
        behaviour: "release" or "paper".
        overrides: Values in place of keys of config.json.
        device_map: How the language model's layers are spread over the cards; None for not at all.
        settings: Single fields of the behaviour (`anchor="keyframe"`, `legacy_mask=True`, `composer=...`).
    """
    folder = locate(str(name))
    config = read_release(folder, overrides)
    return from_tensors(
        config, tensors(folder), device, dtype, behaviour, overrides or {}, device_map=device_map, **settings
    )


def from_tensors(
    config: ReleaseConfig,
    found: Mapping[str, TensorSource],
    device: str | torch.device,
    dtype: torch.dtype,
    behaviour: str,
    overrides: Mapping[str, Any],
    device_map: str | None = None,
    **settings: Any,
) -> ReleasedVilamp:
    """Return the model of a config and the tensors of its checkpoint, wherever they are stored.

    Args:
        config: What the checkpoint's config says.
        found: The checkpoint's tensors by official name.
        device: Where the weights go.
        dtype: What the weights are converted to.
        behaviour: "release" or "paper".
        overrides: The values that replaced keys of config.json.
        device_map: How the language model's layers are spread over the cards; None for not at all.
        settings: Single fields of the behaviour.
    """
    config = configured(config, found, behaviour, overrides, settings)
    rows = found.get("model.embed_tokens.weight")
    if rows is not None and len(rows.shape) == 2 and rows.shape[0] > config.language.vocabulary:
        # more rows than the config says: padding of the embeddings, cut to the tokenizer's length later
        config = dataclasses.replace(config, language=dataclasses.replace(config.language, vocabulary=rows.shape[0]))
    model = build(config)
    places = plan(model, LAYERS, dtype, device_map)
    idle = unused(config, found)
    load_into(model, found, rename, unused=idle, device=device, dtype=dtype, original=official_name, places=places)
    dispatch(model, LAYERS, device, places)
    model.fold()
    return model


def build(config: ReleaseConfig) -> ReleasedVilamp:
    """Return the model without weights: names and shapes alone."""
    with on_meta_device():
        return ReleasedVilamp(config)


def check_release_layout(config: ReleaseConfig, layout: Mapping[str, tuple[int, ...]]) -> None:
    """Compare a checkpoint's names and shapes with a config. Raises UserError with all mismatches."""
    check_layout(build(config), layout, rename, unused(config, layout), original=official_name)


def configured(
    config: ReleaseConfig,
    found: Iterable[str],
    behaviour: str,
    overrides: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> ReleaseConfig:
    """Return the config with its behaviour decided: an explicit composer, else tensor names, else config.json."""
    if behaviour not in BEHAVIOURS:
        raise UserError(unknown_name("behaviour", behaviour, list(BEHAVIOURS)))
    composer = settings.get("composer") or overrides.get("composer_type") or composer_of(found)
    if composer is None and config.unknown_composer is not None:
        raise UserError(
            f"composer_type of config.json is {config.unknown_composer!r}, and the checkpoint has no tensors of a "
            f"composer that would tell which is meant: name one of {', '.join(CHOICES['composer'])} by composer=NAME"
        )
    composer = composer or config.behaviour.composer
    values: dict[str, Any] = {"composer": composer}
    if behaviour == "paper" and composer != "sig_pooling":
        raise UserError(
            f"behaviour=paper needs a checkpoint with the composer sig_pooling, whose maps Eq. 6 goes through, got "
            f"{composer}: ask it with behaviour=release"
        )
    if behaviour == "release":
        chosen = config.behaviour.with_settings(**values)
    else:
        chosen = BEHAVIOURS[behaviour].with_settings(**values)
    return dataclasses.replace(config, behaviour=chosen.with_settings(**settings))


def unused(config: ReleaseConfig, found: Iterable[str]) -> list[str]:
    """Return patterns of tensors that may be there and are never read."""
    patterns = [*UNUSED, f"{TOWER}encoder.layers.{config.siglip.layers}.*"]  # the block the release deletes
    if config.behaviour.composer == "average_pooling" and composer_of(found):
        patterns.append("model.composer_projector.*")  # averaging by choice leaves a composer idle
    return patterns


def weights_id(folder: Path) -> str:
    """Return 12 hex digits that name a checkpoint's weights: a hash of its headers and of samples of its values."""
    digest = hashlib.sha256()
    for file in sorted({source.file for source in tensors(folder).values()}):
        size = file.stat().st_size
        with file.open("rb") as opened:
            for part in range(64):
                opened.seek(size * part // 64)
                digest.update(opened.read(65536))
        digest.update(str(size).encode())
    return digest.hexdigest()[:12]


def cut_vocabulary(model: ReleasedVilamp, rows: int) -> None:
    """Cut embeddings and head to the tokenizer's length, as the release does.

    Raises UserError where they are shorter: the tokenizer then belongs to another checkpoint.
    """
    there = model.config.language.vocabulary
    if there < rows:
        raise UserError(
            f"the tokenizer has ids up to {rows - 1}, the checkpoint's embeddings have {there} rows: "
            "one of them belongs to another checkpoint"
        )
    for part in (model.table, cast(nn.Linear, model.language.lm_head)):
        part.weight = nn.Parameter(part.weight[:rows], requires_grad=False)  # a view: no copy
