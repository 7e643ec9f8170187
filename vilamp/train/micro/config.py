"""How the micro models that ship are trained; one YAML file for all of them, so that they differ in nothing unnamed.

Every model starts from the same checkpoint, sees the same footage and the same curriculum, and differs in its
compressor and in how many steps it takes: as many as make its processor seconds about equal to the others'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from niah.settings import read_yaml, unknown_name
from niah.types import UserError
from vilamp.compressors.registry import NAMES
from vilamp.config import Compression, Extras, VilampConfig


@dataclass(frozen=True)
class Member:
    """What is a model's own."""

    name: str
    steps: int
    compression: Compression | None = None  # None: ViLaMP's own compressor, with K keyframes whatever the length
    tokens: int = 4000  # of a step, about: more would be fewer and costlier steps
    positions: int = 0  # tokens of 10,000 frames, for which positions leave gaps; 0: its videos do not grow
    longest: int = 1_000_000  # frames: stages longer than this are left out
    extras: Extras | None = None  # instead of those of all
    tracing: float | None = None  # instead of that of all
    base: str | None = None  # instead of that of all; its encoders are theirs


@dataclass(frozen=True)
class MicroConfig:
    """Everything these trainings depend on. A resumed training refuses another."""

    name: str  # the worlds that are trained on are named after it
    output: str  # each model's checkpoint lies in a folder of its name
    members: tuple[Member, ...]
    base: str = "micro"  # the checkpoint that gives encoders, and with which connectors and language model begin
    seed: int = 0
    worlds: int = 6
    haystack: int = 3000  # frames of each world
    clips: int = 200  # of each world, the types in turn
    types: tuple[str, ...] = ("motion", "digit")
    decoys: int = 6  # drawn for each look and type; a video shows some of them
    shown: tuple[int, ...] = (0, 1, 2, 4, 4, 6)  # decoys of a video, drawn from these
    lengths: tuple[int, ...] = (0, 64, 256, 1024, 2048)  # frames; 0: the clip alone
    promote: float = 0.85  # the next length comes when both types were read so well
    window: int = 120  # over the last so many answers of each type
    videos: int = 28  # of a step, at most
    rate: float = 1e-3
    cooling: float = 0.2  # share of the steps, the last ones, over which the rate falls
    tracing: float = 0.5  # weight of the tracing loss
    gaps: float = 0.5  # share of steps whose positions leave gaps
    templated: float = 0.7  # share of prompts that have the suite's template
    extras: Extras = field(default_factory=lambda: Extras(patch_positions=True, late_question=True))

    def __post_init__(self) -> None:
        for member in self.members:
            if member.compression is not None and member.compression.scheme not in NAMES:
                scheme = member.compression.scheme
                raise ValueError(f"{member.name}: compressors are {', '.join(NAMES)}, got {scheme!r}")
        if self.lengths[:1] != (0,) or list(self.lengths) != sorted(set(self.lengths)):
            raise ValueError(f"lengths begin with 0, the clip alone, and rise; got {self.lengths}")

    def model_of(self, member: Member, base: VilampConfig) -> VilampConfig:
        """Return the settings of a model, which has its sizes from the base."""
        return replace(base, extras=member.extras or self.extras, compression=member.compression)

    def base_of(self, member: Member) -> str:
        """Return the checkpoint that a model begins with."""
        return member.base or self.base

    def lengths_of(self, member: Member) -> tuple[int, ...]:
        """Return the stages of a model's curriculum."""
        return tuple(length for length in self.lengths if length <= member.longest)

    def checkpoint(self, member: Member) -> Path:
        """Return the folder of a model's checkpoint."""
        return Path(self.output) / member.name


def has_members(path: Path) -> bool:
    """Return True if a config describes several models; a file that cannot be read describes none."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):  # whoever reads the config next says what is wrong
        return False
    return isinstance(values, dict) and "members" in values


def read_micro(path: Path, names: Sequence[str]) -> tuple[MicroConfig, list[Member]]:
    """Read a config; return it with the models to train, all of them if `names` is empty."""
    config = read_yaml(MicroConfig, path)
    members = {member.name: member for member in config.members}
    for name in names:
        if name not in members:
            raise UserError(f"{path}: {unknown_name('model', name, members)}")
    return config, [members[name] for name in names or members]
