"""Read the tensors of a checkpoint folder lazily: names, shapes and dtypes first, values when asked.

One file or several with an index, safetensors before `.bin`; a `.bin` is opened with
`weights_only`, because a pickle may run any code.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from niah.types import UserError

FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
SHARDS = (".safetensors", ".bin")
SINGLE = ("model.safetensors", "pytorch_model.bin")
# what `torch.load` raises for bytes that are no checkpoint: its unpickler meets them opcode by opcode
UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError)
_NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


@dataclass(frozen=True)
class TensorSource:
    """One tensor on disk."""

    name: str
    shape: tuple[int, ...]
    dtype: str  # as safetensors writes it: "F32", "BF16", "I64"
    file: Path
    read: Callable[[], torch.Tensor]  # on the CPU, in the stored dtype


def tensors(folder: Path) -> dict[str, TensorSource]:
    """Return every tensor of a checkpoint folder by name; reads headers only.

    Raises UserError naming the shard that is missing, cut short or lacks a tensor its index names.
    """
    for single in SINGLE:
        index = folder / f"{single}.index.json"
        if (folder / single).is_file():
            return tensors_of(folder / single)
        if index.is_file():
            return _sharded(index)
    raise UserError(f"{folder.name} holds no weights: wanted {' or '.join(SINGLE)}, or shards with their .index.json")


def tensors_of(file: Path) -> dict[str, TensorSource]:
    """Return the tensors of one file by name. Raises UserError naming a file that cannot be read."""
    return _safetensors(file) if file.suffix == ".safetensors" else _bin(file)


def _sharded(index: Path) -> dict[str, TensorSource]:
    """Read the shards an index names."""
    try:
        places: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = {name: Path(place).name == place and Path(place).suffix for name, place in places.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{index.name} is no index of shards (JSON with weight_map): download it again") from None
    odd = sorted({str(places[name]) for name, suffix in shards.items() if suffix not in SHARDS})
    if odd or not places:
        came = ", ".join(odd) or "none"
        raise UserError(f"{index.name} must name shards ({' or '.join(SHARDS)}) that lie beside it, got {came}")
    found: dict[str, TensorSource] = {}
    absent = sorted({name for name in places.values() if not (index.parent / name).is_file()})
    if absent:
        raise UserError(f"{index.name} names shards that are not there: {', '.join(absent)}; download them")
    for shard in sorted(set(places.values())):
        found.update(tensors_of(index.parent / shard))
    lacking = [f"{name} of {shard}" for name, shard in sorted(places.items()) if name not in found]
    if lacking:
        raise UserError(f"{index.name} names tensors its shards lack: {', '.join(lacking[:20])}; download them again")
    return found


def _safetensors(file: Path) -> dict[str, TensorSource]:
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  (not a dict)
            about = {name: (tuple(part.get_shape()), str(part.get_dtype())) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file.name} is damaged or cut short ({error}): download it again") from None

    def reader(name: str) -> Callable[[], torch.Tensor]:
        def read() -> torch.Tensor:
            with safe_open(file, framework="pt") as opened:
                return opened.get_tensor(name)

        return read

    return {name: TensorSource(name, shape, dtype, file, reader(name)) for name, (shape, dtype) in about.items()}


def _bin(file: Path) -> dict[str, TensorSource]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except UNREADABLE as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{file.name} is damaged, or holds more than tensors and is refused because a pickle may run any code "
            f"({first}): download it again, or convert it to safetensors"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise UserError(f"{file.name} must hold a dictionary of tensors, got {type(state).__name__}")

    def reader(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
        return lambda: tensor  # of the mapped file, like those of safetensors: no copy

    return {
        name: TensorSource(name, tuple(tensor.shape), _NAMES.get(tensor.dtype, str(tensor.dtype)), file, reader(tensor))
        for name, tensor in state.items()
    }
