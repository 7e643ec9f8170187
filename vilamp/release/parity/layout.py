"""Names and shapes of the 7B model, against the list of its tensors; no weight is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from niah.adapters.checkpoint import mismatches
from niah.adapters.parity import Parity
from vilamp.release.config import config_of
from vilamp.release.load import build, configured, official_name, rename, unused


def compare_layout(parity: Parity, layout: Mapping[str, Any], name: str) -> None:
    """Compare the tensors of every composer, with the towers of the 7B model whatever lies beside `layout`."""
    for composer, rows in layout["composer"].items():
        shapes = expanded([*layout["common"], *rows])
        config = config_of({**layout["config_used"], "composer_type": composer}, name)
        config = configured(config, shapes, "release", {"composer_type": composer}, {})
        words = mismatches(build(config), shapes, rename, unused(config, shapes), official_name)
        parity.equal(f"7B layout, {composer}, {len(shapes)} tensors", words, [])


def expanded(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    """Return each tensor's shape by name; a row may stand for one tensor a layer."""
    shapes = {}
    for row in rows:
        first, last = row.get("layers", (0, 0))
        for layer in range(first, last + 1):
            shapes[row["name"].replace("{i}", str(layer))] = tuple(row["shape"])
    return shapes
