"""What one run is told: the command line over a YAML file over the defaults.

The command line wins, so that a file can hold what is always the same. Both use one set of names.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from niah.config import from_mapping, read_yaml
from niah.media.decoder import DEFAULT
from niah.types import UserError

SHARD = re.compile(r"(\d+)/(\d+)")
SECRET = re.compile(r"(.*(api|auth|access|hf)[_-]?)?(key|token)|.*(secret|password)", re.IGNORECASE)


@dataclass(frozen=True)
class RunConfig:
    """Every setting of `python -m niah.run`; the keys of a --config file."""

    model: str = "vilamp"
    model_args: dict = field(default_factory=dict)
    device: str | None = None  # passed to the adapter's load() only if given
    seed: int | None = None  # likewise
    python: str | None = None  # the worker's interpreter; None is this one
    suite: str = "default"
    lengths: tuple[int, ...] | None = None
    depths: tuple[float, ...] | None = None
    conditions: tuple[str, ...] | None = None
    limit: float | None = None  # below 1 a share of the cases, else how many
    shard: str | None = None  # "i/N", i from 1
    decoder: str = DEFAULT
    timeout: float = 1800.0  # seconds for one case
    memory_limit_gib: float | None = None
    output_path: str | None = None
    fresh: bool = False
    in_process: bool = False
    dry_run: bool = False
    figures: bool = True

    def __post_init__(self) -> None:
        if self.limit is not None and not (0 < self.limit < 1 or self.limit >= 1 and self.limit.is_integer()):
            raise UserError(f"--limit is a number of cases or a share between 0 and 1, got {self.limit:g}")
        if not self.timeout > 0:  # so that "nan" is refused too
            raise UserError(f"--timeout is in seconds and above 0, got {self.timeout:g}")
        if self.memory_limit_gib is not None and not 0 < self.memory_limit_gib < math.inf:
            raise UserError(f"--memory_limit_gib must be above 0 and finite, got {self.memory_limit_gib:g}")
        for name, value in self.model_args.items():
            if SECRET.fullmatch(name) or (isinstance(value, str) and re.match(r"\w+://[^/]*@", value)):
                raise UserError(
                    f"the setting {name} would put a secret into run.json and config.yaml, which keep every setting: "
                    "leave it out and give it to the model through an environment variable"
                )
        self.part()

    def part(self) -> tuple[int, int]:
        """Return the shard as (i, N), i from 1; (1, 1) is everything."""
        match = SHARD.fullmatch(self.shard or "1/1")
        i, count = (int(number) for number in match.groups()) if match else (0, 0)
        if not 1 <= i <= count:
            raise UserError(f"--shard is i/N with i from 1 to N, got {self.shard!r}")
        return i, count

    def folder(self) -> Path:
        """Return the output folder."""
        if self.output_path is not None:
            return Path(self.output_path)
        i, count = self.part()
        name = f"{Path(self.suite).stem}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.model)}"
        for what in ("lengths", "depths", "conditions", "limit"):  # a part of a suite gets a folder of its own
            chosen = getattr(self, what)
            if chosen is not None:
                values = chosen if isinstance(chosen, tuple) else (chosen,)
                name += "-".join(("-" + what, *(f"{v:g}" if isinstance(v, float) else str(v) for v in values)))
        return Path("runs") / (name if count == 1 else f"{name}-shard-{i}-of-{count}")

    def settings(self) -> dict[str, Any]:
        """Return what the adapter's load() is given."""
        given = {"device": self.device, "seed": self.seed}
        return {**self.model_args, **{key: value for key, value in given.items() if value is not None}}

    def decides(self) -> dict[str, Any]:
        """Return the settings that a record depends on; a resumed run must have the same."""
        names = ("model", "model_args", "device", "seed", "python", "decoder", "memory_limit_gib")
        return {name: without_machine(getattr(self, name)) for name in names}

    def to_yaml(self) -> dict[str, Any]:
        """Return the keys and values of config.yaml, None left out, folders of this machine shortened."""
        values = dataclasses.asdict(self)
        return {key: without_machine(value) for key, value in values.items() if value is not None}


def resolve(given: Mapping[str, Any], file: str | None) -> RunConfig:
    """Return the defaults overlaid with `file`, overlaid with what the command line gave."""
    base = dataclasses.asdict(read_yaml(RunConfig, Path(file))) if file is not None else {}
    values = {**base, **given}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return from_mapping(RunConfig, {key: value for key, value in plain.items() if value is not None}, "settings")


def without_machine(value: Any) -> Any:
    """Shorten absolute paths to their last part and a mark of the whole, so that results can be published.

    Two folders stay told apart by the mark, the first digits of the path's SHA-256.
    """
    if isinstance(value, Mapping):
        return {key: without_machine(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_machine(item) for item in value]
    if isinstance(value, str) and os.path.isabs(value):
        return f"{Path(value).name}#{sha256(value.encode()).hexdigest()[:8]}"
    return value
