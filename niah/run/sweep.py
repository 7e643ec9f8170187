"""Several values of a model's settings, tried in all combinations: a run for each, in a folder of its own."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

from niah.run.config import RunConfig
from niah.run.registry import parse_model_args
from niah.types import UserError

Sweep = dict[str, tuple[str, ...]]  # settings and their values, as they were typed


def parse_sweep(text: str) -> Sweep:
    """Read `name=value/value,name=value/value`. Raises UserError for anything else."""
    found: Sweep = {}
    for part in text.split(","):
        name, equals, values = part.strip().partition("=")
        if not name or not equals or "." in name or not all(values.split("/")):
            raise UserError(f"a sweep is written max_frames=32/256,fps=0.5/1: whole settings, got {part!r}")
        found[name] = tuple(values.split("/"))
    return found


def sweep_runs(config: RunConfig, sweep: Sweep) -> Iterator[RunConfig]:
    """Yield the run of each combination, in folders below that of `config`, named by the values."""
    for values in itertools.product(*sweep.values()):
        pairs = list(zip(sweep, values, strict=True))
        settings = parse_model_args(",".join(f"{name}={value}" for name, value in pairs))
        folder = Path(config.folder()) / "-".join(f"{name}-{value}" for name, value in pairs)
        yield dataclasses.replace(config, model_args={**config.model_args, **settings}, output_path=str(folder))
