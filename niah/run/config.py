"""The settings of one run: the command line over a YAML file over the defaults.

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

from niah.media.decoders.base import DEFAULT_DECODER
from niah.run.presets import suite_settings
from niah.run.secret_settings import holds_secret
from niah.settings import from_mapping, read_yaml
from niah.suite.config import SUITES_FOLDER, load_suite
from niah.types import UserError

ENGINE = re.compile(r"local|ray(:.+)?")
SHARD = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Limits:
    """What one worker may use before it is killed."""

    seconds: float  # for one case
    host_bytes: int | None = None  # resident memory of the worker and its children together
    loading_seconds: float = 3600.0  # weights come over slow networks; this only ends a hang
    grace: float = 10.0  # seconds to end by itself


@dataclass(frozen=True)
class RunConfig:
    """Every setting of `niah run`; the keys of a --config file."""

    model: str = "vilamp"
    model_args: dict = field(default_factory=dict)
    preset: str | None = None  # settings that the adapter's module chooses together; model_args holds them too
    device: str | None = None  # passed to the adapter's load() only if given
    seed: int | None = None  # likewise
    python: str | None = None  # the worker's interpreter; None is this one
    suite: str = "default"
    lengths: tuple[int, ...] | None = None
    depths: tuple[float, ...] | None = None
    conditions: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None  # of questions
    limit: float | None = None  # below 1 a fraction of the cases, else their number
    shard: str | None = None  # "i/N", i from 1
    decoder: str = DEFAULT_DECODER
    timeout: float = 1800.0  # seconds for one case
    load_timeout: float = 3600.0  # seconds for a worker to find a place and load: weights come over slow networks
    grace: float = 10.0  # seconds for what should be quick: a worker that ends; longer waits are multiples of it
    stall_timeout: float | None = None  # seconds for a file to give a byte; None: $VIDEONIAH_STALL_SECONDS or 60
    memory_limit_gib: float | None = None
    stop_after_errors: int = 20  # times in a row that the same error may come; 0: no limit
    engine: str = "local"  # or "ray", or "ray:ADDRESS"
    num_workers: int | None = None  # None: one for each GPU of a Ray cluster, else the adapter's concurrency
    gpus_per_worker: float | None = None  # of a Ray cluster; None: 1 where it has any
    output_path: str | None = None
    fresh: bool = False
    accept_changed_model: bool = False  # go on with answers of a model that has changed since
    in_process: bool = False
    dry_run: bool = False
    figures: bool = True

    def __post_init__(self) -> None:
        if self.limit is not None and not (0 < self.limit < 1 or self.limit >= 1 and self.limit.is_integer()):
            raise UserError(f"--limit is a number of cases or a fraction between 0 and 1, got {self.limit:g}")
        for name in ("timeout", "load_timeout", "grace", "stall_timeout"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:  # so that "nan" is refused too
                raise UserError(f"--{name} is in seconds and above 0, got {seconds:g}")
        self._check_engine()
        if self.stop_after_errors < 0:
            raise UserError(f"--stop_after_errors is a count, or 0 for no limit, got {self.stop_after_errors}")
        if self.memory_limit_gib is not None and not 0 < self.memory_limit_gib < math.inf:
            raise UserError(f"--memory_limit_gib must be above 0 and finite, got {self.memory_limit_gib:g}")
        for name, value in self.model_args.items():
            if holds_secret(name, value):
                raise UserError(
                    f"the setting {name} would put a secret into run.json and config.yaml, which keep every setting: "
                    "leave it out and give it to the model through an environment variable"
                )
        self.shard_number()

    def _check_engine(self) -> None:
        """Refuse an unknown engine, and settings that do not apply to the chosen one."""
        if not ENGINE.fullmatch(self.engine):
            raise UserError(f"--engine is local, ray or ray:ADDRESS, got {self.engine!r}")
        if self.num_workers is not None and self.num_workers < 1:
            raise UserError(f"--num_workers is at least 1, got {self.num_workers}")
        if self.gpus_per_worker is not None and (self.engine == "local" or not 0 <= self.gpus_per_worker < math.inf):
            raise UserError(f"--gpus_per_worker is a number for --engine ray, got {self.gpus_per_worker:g}")
        if self.in_process and (self.engine != "local" or self.num_workers not in (None, 1)):
            raise UserError("--in_process has no worker; leave out --engine and --num_workers, or --in_process")

    def shard_number(self) -> tuple[int, int]:
        """Return the shard as (i, N), i from 1; (1, 1) is the whole run."""
        match = SHARD.fullmatch(self.shard or "1/1")
        i, count = (int(number) for number in match.groups()) if match else (0, 0)
        if not 1 <= i <= count:
            raise UserError(f"--shard is i/N with i from 1 to N, got {self.shard!r}")
        return i, count

    def folder(self) -> Path:
        """Return the output folder."""
        if self.output_path is not None:
            return Path(self.output_path)
        i, count = self.shard_number()
        name = f"{self._suite_name()}-{self.model}"
        for setting in ("lengths", "depths", "conditions", "types", "limit"):  # a part has a folder of its own
            value = getattr(self, setting)
            if value is not None:
                values = value if isinstance(value, tuple) else (value,)
                name += "-".join(("-" + setting, *(f"{v:g}" if isinstance(v, float) else str(v) for v in values)))
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
        return Path("runs") / (name if count == 1 else f"{name}-shard-{i}-of-{count}")

    def _suite_name(self) -> str:
        """Return what folders call the suite: the `name:` in a file of one's own, else the word it was given by."""
        path = Path(self.suite)
        shipped = path.parent.resolve() == SUITES_FOLDER  # where two suites share a name: default and default-v1
        if path.suffix not in (".yaml", ".yml") or shipped or not path.is_file():
            return path.stem
        try:
            return load_suite(self.suite)[0].name
        except UserError:  # whatever reads the suite says what is wrong
            return path.stem

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments of the adapter's load()."""
        optional = {"device": self.device, "seed": self.seed}
        return {**self.model_args, **{key: value for key, value in optional.items() if value is not None}}

    def limits(self) -> Limits:
        """Return what one worker may use."""
        gib = self.memory_limit_gib
        host_bytes = None if gib is None else int(gib * 2**30)
        return Limits(self.timeout, host_bytes, self.load_timeout, self.grace)

    def decides(self) -> dict[str, Any]:
        """Return the settings that a record depends on; a resumed run must have the same."""
        names = ("model", "model_args", "device", "seed", "python", "decoder", "memory_limit_gib")
        return {name: without_machine_paths(getattr(self, name)) for name in names}

    def to_yaml(self) -> dict[str, Any]:
        """Return the keys and values of config.yaml, None left out, folders of this machine shortened."""
        values = dataclasses.asdict(self)
        return {key: without_machine_paths(value) for key, value in values.items() if value is not None}


def resolve(given: Mapping[str, Any], file: str | None) -> RunConfig:
    """Return the defaults, overridden by `file`, overridden by the settings `given` on the command line."""
    base = dataclasses.asdict(read_yaml(RunConfig, Path(file))) if file is not None else {}
    values = {**base, **given}
    if values.get("preset") is not None:
        given_args = values.get("model_args") or {}
        values["model_args"] = suite_settings(values.get("model") or RunConfig.model, values["preset"], given_args)
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return from_mapping(RunConfig, {key: value for key, value in plain.items() if value is not None}, "settings")


def without_machine_paths(value: Any) -> Any:
    """Shorten absolute paths, and the address of a Ray cluster, so that results can be published.

    A path becomes its last part and the first digits of its SHA-256, which keep two folders apart.
    """
    if isinstance(value, Mapping):
        return {key: without_machine_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_machine_paths(item) for item in value]
    if isinstance(value, str) and value.startswith("ray:"):
        return "ray"  # the address names somebody's machine
    if isinstance(value, str) and os.path.isabs(value):
        return f"{Path(value).name}#{sha256(value.encode()).hexdigest()[:8]}"
    return value
