"""Read and write a checkpoint folder: config.yaml, words.txt, model.safetensors.

Where a checkpoint has the frozen encoders of another that ships, `encoders.txt` names that one instead of storing them.
Names and shapes are checked before anything is loaded, and every mismatch is reported at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from niah.io import replace_file, replacing
from niah.settings import from_mapping, read_yaml, unknown_name
from niah.types import UserError
from vilamp.config import Compression, VilampConfig, written
from vilamp.model import Vilamp
from vilamp.vocabulary import Vocabulary

CHECKPOINTS = Path(__file__).resolve().parent / "checkpoints"
ENCODERS = "encoders.txt"


def locate(name: str) -> Path:
    """Return the checkpoint folder called `name`, shipped with the project or given as a path."""
    for folder in (CHECKPOINTS / name, Path(name)):
        if (folder / "model.safetensors").is_file():
            return folder
    shipped = sorted(path.parent.name for path in CHECKPOINTS.glob("*/model.safetensors"))
    raise UserError(
        unknown_name("checkpoint", name, shipped) + " A folder of your own needs config.yaml, words.txt and "
        "model.safetensors; a released checkpoint config.json, its weights and its tokenizer."
    )


def is_ours(name: str) -> bool:
    """Return True if a checkpoint is this project's: a name that ships, or a folder with config.yaml."""
    return any((folder / "config.yaml").is_file() for folder in (CHECKPOINTS / name, Path(name)))


def is_released(name: str) -> bool:
    """Return True if a checkpoint is the authors': a folder with config.json, or a hub name."""
    if is_ours(name):
        return False
    return (Path(name) / "config.json").is_file() or (name.count("/") == 1 and not Path(name).is_dir())


def compression_of(name: str) -> Compression | None:
    """Return the compressor that a checkpoint of ours was trained with; None for ViLaMP's own, and for a release."""
    return None if is_released(name) else read_yaml(VilampConfig, locate(name) / "config.yaml").compression


def load(folder: Path, keyframes: Any = None, threshold: Any = None, temperature: Any = None) -> tuple[Vilamp, str]:
    """Return the model in evaluation mode and an id of its weights (12 hex digits of their hash).

    `keyframes`, `threshold` and `temperature` override the checkpoint's K, tau and alpha, which no weight depends on;
    one with a budget has none to override. Raises UserError naming every missing, extra or misshapen tensor.
    """
    settings = read_yaml(VilampConfig, folder / "config.yaml")
    given = {"keyframes": keyframes, "threshold": threshold, "temperature": temperature}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if changes:
        if settings.compression is not None:
            budget = settings.compression.budget
            raise UserError(f"{list(changes)} of {folder.name} follow from its budget of {budget:g} tokens a frame")
        settings = from_mapping(
            VilampConfig, {**dataclasses.asdict(settings), **changes}, f"the constants of {folder.name}"
        )
    model = Vilamp(settings, Vocabulary.read(folder / "words.txt"))
    file = folder / "model.safetensors"
    expected = model.state_dict()
    shared = _read_encoders(folder)
    with safe_open(file, framework="pt") as tensors:
        names = set(tensors.keys())
        mismatches = [f"missing {name}" for name in sorted(_stored(model) - names - set(shared))]
        mismatches += [f"unexpected {name}" for name in sorted(names - set(expected))]
        for name in sorted(names & set(expected)):
            shape, wanted = tuple(tensors.get_slice(name).get_shape()), tuple(expected[name].shape)
            if shape != wanted:
                mismatches.append(f"{name} has shape {shape}, the config wants {wanted}")
        if mismatches:
            raise UserError(f"{file} does not fit its config.yaml:\n  " + "\n  ".join(mismatches))
        state = {name: tensors.get_tensor(name).float() for name in names}
    model.load_state_dict({**shared, **state}, strict=False)  # checked above; tied tensors are stored once
    broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise UserError(f"{file} holds values that are not finite in: {', '.join(sorted(broken))}")
    digest = hashlib.sha256(file.read_bytes())
    for name in sorted(shared):
        digest.update(shared[name].numpy().tobytes())
    return model.eval(), digest.hexdigest()[:12]


def save(model: Vilamp, folder: Path, encoders: str | None = None) -> None:
    """Write the checkpoint folder of a model; `encoders` names a shipped checkpoint that has the same encoders."""
    folder.mkdir(parents=True, exist_ok=True)
    state, stored = model.state_dict(), _stored(model)
    if encoders is not None:
        replace_file(folder / ENCODERS, encoders + "\n")
        shared = _read_encoders(folder)
        changed = [name for name in shared if not torch.equal(shared[name], state[name].cpu())]
        if changed or not shared:
            raise UserError(f"{folder} does not have the encoders of {encoders}: {', '.join(changed[:3])} differ")
        stored -= set(shared)
    with replacing(folder / "model.safetensors") as temporary:
        save_file({name: state[name].contiguous() for name in sorted(stored)}, temporary)
    replace_file(folder / "words.txt", "\n".join(model.vocabulary.words) + "\n")
    settings = yaml.safe_dump(written(model.config), sort_keys=False)
    replace_file(folder / "config.yaml", settings)


def encoders_of(name: str) -> str:
    """Return the checkpoint that holds the encoders of the one called `name`: itself, or the one it names."""
    reference = locate(name) / ENCODERS
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else name


def _read_encoders(folder: Path) -> dict[str, Tensor]:
    """Return the encoders' tensors of the checkpoint that `encoders.txt` names; none without that file."""
    if not (folder / ENCODERS).is_file():
        return {}
    name = (folder / ENCODERS).read_text(encoding="utf-8").strip()
    with safe_open(locate(name) / "model.safetensors", framework="pt") as tensors:
        return {key: tensors.get_tensor(key).float() for key in tensors.keys() if key.startswith(("clip.", "vision."))}  # noqa: SIM118 - no mapping


def _stored(model: Vilamp) -> set[str]:
    """Return the tensor names a checkpoint holds: each storage once, and no tied copy."""
    return set(model.state_dict()) - {"language.lm_head.weight"}
