"""Read a checkpoint's JSON files key by key, and report everything that is wrong with one at once.

A value of the wrong type must not reach a model: it would fail there with a message about tensors, or not fail at
all and answer as another model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from niah.types import UserError


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
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} of {folder.name} is no JSON ({error}): download it again") from None
    if not isinstance(found, dict):
        raise UserError(f"{name} of {folder.name} must hold a JSON object, got {type(found).__name__}")
    return found


class JsonKeys(dict[str, Any]):
    """One JSON object; what is wrong is collected in `wrong` until `complain` raises it."""

    def __init__(self, name: str, values: Any) -> None:
        if not isinstance(values, Mapping):
            raise UserError(f"{name} must be a JSON object, got {values!r}")
        super().__init__(values)
        self.name = name
        self.wrong: list[str] = []

    def whole(self, key: str, absent: int | None = None, least: int = 1) -> int:
        """Return a whole number from `least` up; `absent` stands for a key that is not there."""
        value = self.get(key, absent)
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        self._refuse(key, f"a whole number from {least} up")
        return least

    def number(self, key: str, absent: float | None = None) -> float:
        """Return a positive number."""
        value = self.get(key, absent)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(value)
        self._refuse(key, "a positive number")
        return 1.0

    def flag(self, key: str, absent: bool | None = None) -> bool:
        """Return true or false."""
        value = self.get(key, absent)
        if isinstance(value, bool):
            return value
        self._refuse(key, "true or false")
        return False

    def one_of(self, key: str, known: Sequence[str], absent: str | None = None) -> str:
        """Return one of the known words."""
        value = self.get(key, absent)
        if value in known:
            return value
        self._refuse(key, f"one of {', '.join(known)}")
        return known[0]

    def wholes(self, key: str) -> tuple[int, ...]:
        """Return one whole number from 0 on, or several; none where the key is absent or null."""
        value = self.get(key)
        listed = [] if value is None else value if isinstance(value, list) else [value]
        if all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in listed):
            return tuple(listed)
        self._refuse(key, "a whole number from 0 up or a list of them")
        return ()

    def only(self, supported: Mapping[str, Any]) -> None:
        """Refuse every other value of these keys; an absent one has the value."""
        for key, value in supported.items():
            found = self.get(key, value)
            if found != value or isinstance(found, bool) != isinstance(value, bool):
                self.wrong.append(f"{key} is {found!r}, only {value!r} is supported")

    def complain(self) -> None:
        """Raise UserError with everything that was wrong."""
        if self.wrong:
            raise UserError(f"{self.name} of the checkpoint: " + "; ".join(self.wrong))

    def _refuse(self, key: str, wanted: str) -> None:
        self.wrong.append(f"{key} must be {wanted}, " + (f"got {self[key]!r}" if key in self else "and is not there"))
