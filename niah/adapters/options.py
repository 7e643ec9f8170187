"""Read the settings that adapters of released models take by `--model_args`."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from typing import Any, TypeVar

import torch

from niah.adapters.feature_store import FeatureStore
from niah.settings import unknown_name
from niah.types import UserError

T = TypeVar("T")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def read_options(kind: type[T], model: str, given: Mapping[str, Any]) -> T:
    """Return the dataclass of a model's settings, which checks their values.

    Raises UserError for a name that is not a setting, listing those that are.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            raise UserError(unknown_name(f"option of {model}", name, known))
    return kind(**given)


def bytes_of_gib(name: str, value: Any) -> int:
    """Return a setting in GiB as bytes. Raises UserError naming the setting for anything but a number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1 << 20:
        raise UserError(f"{name} must be a number of GiB from 0 on, got {value!r}; fix --model_args")
    return int(value * 2**30)


def make_store(store_gib: Any, store_disk_gib: Any) -> FeatureStore | None:
    """Return a feature store of that many GiB of memory and of disk, or None where both are 0."""
    memory = bytes_of_gib("store_gib", store_gib)
    disk = bytes_of_gib("store_disk_gib", store_disk_gib)
    return FeatureStore(memory, disk, tempfile.gettempdir()) if memory or disk else None


def resolve_dtype(name: str, device: str, on_gpu: torch.dtype) -> torch.dtype:
    """Return the dtype to load weights in; "auto" is `on_gpu` on a GPU, float32 elsewhere. Raises UserError."""
    if name == "auto":
        return on_gpu if device.startswith("cuda") else torch.float32
    if name not in DTYPES:
        raise UserError(f"dtype must be auto, {', '.join(DTYPES)}; got {name!r}")
    return DTYPES[name]


def check_device(name: str) -> str:
    """Return a device's name. Raises UserError for an unknown device, or one this machine lacks."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without it
        raise UserError(f"no device {name!r} is at hand ({str(error).splitlines()[0]}): use cpu, or cuda") from None
    return name
