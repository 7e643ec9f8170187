"""Settings that adapters of released models share: counts, and how much room features may take."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from typing import Any, TypeVar

from niah.adapters.feature_store import FeatureStore
from niah.settings import unknown
from niah.types import UserError

T = TypeVar("T")


def options_of(kind: type[T], model: str, given: Mapping[str, Any]) -> T:
    """Return the dataclass of a model's options. Raises UserError for a name it has not, with those it has."""
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            raise UserError(unknown(f"option of {model}", name, known))
    return kind(**given)


def whole(name: str, value: Any) -> int:
    """Return a whole number from 1 on. Raises UserError with the setting's name."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name} is a whole number from 1 on, got {value!r}; mend --model_args")
    return value


def gib(name: str, value: Any) -> int:
    """Return so many GiB in bytes. Raises UserError with the setting's name for no number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1 << 20:
        raise UserError(f"{name} is a number of GiB from 0 on, got {value!r}; mend --model_args")
    return int(value * 2**30)


def store_of(store_gib: Any, store_disk_gib: Any) -> FeatureStore | None:
    """Return a store of so many GiB of memory and of disk, None where both are 0. Raises UserError for no number."""
    memory, disk = gib("store_gib", store_gib), gib("store_disk_gib", store_disk_gib)
    return FeatureStore(memory, disk, tempfile.gettempdir()) if memory or disk else None
