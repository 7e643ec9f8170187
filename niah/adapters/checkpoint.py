"""Find a published checkpoint, read its tensors one at a time, and put them into a module.

A module is built meta-device, so that a checkpoint which does not fit is refused before
memory is spent, with every misfit named at once; then each tensor is read, moved and
dropped before the next: loading holds the weights once and one tensor besides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from niah.adapters.tensors import FLOATS, TensorSource
from niah.types import UserError

Rename = Callable[[str], str]  # a tensor's name in the checkpoint -> its name in the module


def locate(name: str) -> Path:
    """Return the folder of a checkpoint: a local one, or a hub name ("owner/model"), downloaded where needed.

    Raises UserError saying what to download and where to put it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(
            f"no folder {name!r}: wanted a folder with config.json and weights, or a hub name 'owner/model'"
        )
    from huggingface_hub import snapshot_download  # here: a local folder needs no hub
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name))
    except (OSError, HFValidationError) as error:  # every failure of the network or the hub is an OSError
        raise UserError(
            f"there is no folder {name!r} here, and as a checkpoint of the hub it is not on this machine and could "
            f"not be downloaded ({type(error).__name__}). Where there is a network, run: "
            f"hf download {name} --local-dir {name.partition('/')[2]} "
            "and give that folder in place of the name (pretrained=FOLDER)."
        ) from error


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Return a JSON object of a checkpoint folder. Raises UserError where it is missing or none."""
    file = folder / name
    if not file.is_file():
        raise UserError(
            f"{folder.name} holds no {name}, which every released checkpoint has: is it the folder you meant? "
            "If so, download it again"
        )
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{name} of {folder.name} is no JSON ({error}): download it again") from None
    if not isinstance(found, dict):
        raise UserError(f"{name} of {folder.name} must hold a JSON object, got {type(found).__name__}")
    return found


class on_meta_device(TorchFunctionMode):
    """Build modules whose parameters take no memory: tensors without a meaningful value go to the meta device.

    Unlike `torch.device("meta")` it leaves computed constants (`arange`, `tensor`) real, so that tables
    which no checkpoint holds, like rotary frequencies, need not be made again.
    """

    VALUELESS = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Send a factory's result to the meta device."""
        kwargs = dict(kwargs or {})
        if func in self.VALUELESS:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def load_into(
    module: nn.Module,
    found: Mapping[str, TensorSource],
    rename: Rename = str,
    *,
    unused: Iterable[str] = (),
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    original: Rename | None = None,
) -> None:
    """Fill a meta-device module from a checkpoint, in evaluation mode, without gradients.

    `unused` are patterns (`*`) of checkpoint names that may be there and are not read; `original` undoes
    `rename`, so that what is missing is called as the checkpoint would. Raises UserError with all mismatches
    (missing, unexpected, wrong shape, wrong kind of number), or naming every tensor that holds NaN or infinity.
    """
    wrong = mismatches(module, {name: source.shape for name, source in found.items()}, rename, unused, original)
    wrong += [
        f"{name} holds {source.dtype}, wanted floating-point numbers of 16 bits or more"
        for name, source in found.items()
        if source.dtype not in FLOATS and not _matches(name, unused)
    ]
    _refuse(wrong)
    for name in (name for name, _ in module.named_buffers()):
        _replace(module, name, module.get_buffer(name).to(device))
    broken = []
    shared = _shared(module)
    for name in sorted(found, key=lambda name: found[name].file):
        if _matches(name, unused):
            continue
        tensor = found[name].read().to(device, dtype)
        if not tensor.isfinite().all():
            broken.append(name)
        for place in shared[rename(name)]:
            _replace(module, place, tensor)
    if broken:
        raise UserError(
            f"{len(broken)} tensors hold NaN or infinity (as {dtype}), so every answer would be nonsense: "
            + _listed(sorted(broken))
            + "\nDownload the checkpoint again, or load it with a wider dtype."
        )
    module.requires_grad_(False).eval()


def fill_at_random(module: nn.Module, device: str | torch.device, dtype: torch.dtype) -> None:
    """Fill a meta-device module with small random numbers, made on the device a tensor at a time.

    For memory and time, which values do not move. Buffers move to the device as they are.
    """
    generator, shared = torch.Generator(device).manual_seed(0), _shared(module)
    for name, parameter in list(module.named_parameters()):
        drawn = torch.empty(parameter.shape, device=device, dtype=dtype).normal_(0, 0.02, generator=generator)
        for place in shared[name]:
            _replace(module, place, drawn)
    for name, table in list(module.named_buffers()):
        _replace(module, name, table.to(device))
    module.requires_grad_(False).eval()


def check_layout(
    module: nn.Module,
    layout: Mapping[str, tuple[int, ...]],
    rename: Rename = str,
    unused: Iterable[str] = (),
    original: Rename | None = None,
) -> None:
    """Compare names and shapes of a checkpoint with a meta-device module. Raises UserError with all mismatches."""
    _refuse(mismatches(module, layout, rename, unused, original))


def mismatches(
    module: nn.Module,
    layout: Mapping[str, tuple[int, ...]],
    rename: Rename = str,
    unused: Iterable[str] = (),
    original: Rename | None = None,
) -> list[str]:
    """Return in words what of a layout a module lacks, what it has besides, and where shapes differ.

    Tensors the module ties together need to be there once. What is missing has the name that `original`
    gives it, else the one a neighbour's name suggests.
    """
    unused = tuple(unused)
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict(keep_vars=True).items()}
    shared, words, seen = _shared(module), [], set()
    for name, shape in sorted(layout.items()):
        if _matches(name, unused):
            continue
        place = rename(name)
        if place not in wanted:
            words.append(f"unexpected {name} {list(shape)}")
            continue
        seen.update(shared[place])
        if tuple(shape) != wanted[place]:
            words.append(f"{name} has shape {list(shape)}, the config wants {list(wanted[place])}")
    missing = sorted(set(wanted) - seen)
    called = {place: original(place) if original else _original(place, layout, rename) for place in missing}
    return [f"missing {called[place]} {list(wanted[place])}" for place in missing] + words


def _shared(module: nn.Module) -> dict[str, list[str]]:
    """Return for each tensor of a module the names it is known by."""
    state = module.state_dict(keep_vars=True)
    names: dict[int, list[str]] = {}
    for name, tensor in state.items():
        names.setdefault(id(tensor), []).append(name)
    return {name: names[id(tensor)] for name, tensor in state.items()}


def _original(place: str, layout: Mapping[str, Any], rename: Rename) -> str:
    """Return what the checkpoint would call a tensor of the module, judged by a neighbour that is there."""
    head = place.rpartition(".")[0]
    while head:
        for name in layout:
            renamed = rename(name)
            tail = renamed[len(head) + 1 :]
            if renamed.startswith(head + ".") and name.endswith(tail):
                return name[: len(name) - len(tail)] + place[len(head) + 1 :]
        head = head.rpartition(".")[0]
    return place


def _refuse(words: list[str]) -> None:
    if words:
        raise UserError(f"the weights do not fit the config in {len(words)} places:{_listed(words)}")


def _listed(words: list[str], limit: int = 200) -> str:
    """Return one line each; a checkpoint of another model has thousands."""
    more = [f"... and {len(words) - limit} more"] if len(words) > limit else []
    return "".join(f"\n  {line}" for line in [*words[:limit], *more])


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _replace(module: nn.Module, name: str, tensor: torch.Tensor) -> None:
    """Put a tensor in the place of a parameter or buffer."""
    parent, _, leaf = name.rpartition(".")
    owner = module.get_submodule(parent)
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[leaf] = tensor
