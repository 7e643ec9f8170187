"""Load what installed packages add to a command, by entry-point group; niah itself knows no model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from niah.settings import unknown_name
from niah.types import UserError

TRACED = "videoniah.traced"  # NAME -> a package with traced.csv


def names(group: str) -> list[str]:
    """Return the names in a group."""
    return sorted(point.name for point in entry_points(group=group))


def load(group: str, name: str) -> Any:
    """Import the object that a name of a group refers to. Raises UserError, listing the known names."""
    found = {point.name: point for point in entry_points(group=group)}
    if name not in found:
        raise UserError(unknown_name("model", name, sorted(found)))
    return found[name].load()


def traced_files(name: str | None = None) -> list[Path]:
    """Return the traced costs that ship with models, or those of one; no model is imported.

    A package names itself under `videoniah.traced` and holds traced.csv.
    """
    points = [point for point in entry_points(group=TRACED) if name in (None, point.name)]
    folders = [find_spec(point.value) for point in sorted(points, key=lambda point: point.name)]
    return [Path(place) / "traced.csv" for spec in folders if spec for place in spec.submodule_search_locations or ()]


def check_accepts(function: Callable, settings: Mapping[str, Any], name: str) -> None:
    """Raise UserError for a flag that the function of one model does not take."""
    takes = inspect.signature(function).parameters
    for flag in settings:
        if flag not in takes:
            raise UserError(f"{name} takes no --{flag}: leave it out")
