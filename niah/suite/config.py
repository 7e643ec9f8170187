"""What a suite is: the keys of a suite file, as frozen dataclasses.

A suite file opens with the command that runs it. Paths in it are relative to the
file, so that a suite travels with its folder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from niah.settings import read_yaml, unknown_name
from niah.types import CONDITIONS, Sampling, UserError

SUITE_VERSION = 2  # of the rules that turn a suite file into cases: bump when a case can change
READABLE = (1, 2)  # 1: fixed depths, needles inside scenes; see niah.suite.version1
DEPTHS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of version 1, unless the suite has others
SUITES_FOLDER = Path(__file__).resolve().parents[2] / "configs" / "suites"
PAPER_SECONDS = (30.0, 120.0)
QUESTION_TEMPLATE = "One short clip was inserted into this video. {question}"


@dataclass(frozen=True)
class Footage:
    """Built-in footage: `haystacks` files of the longest length and `needles` clips, drawn from `world`."""

    world: str
    haystacks: int = 4
    needles: int = 32
    types: tuple[str, ...] = ("motion", "digit")
    calibration: bool = False


@dataclass(frozen=True)
class Downloads:
    """Leave to download videos that needles name by http(s) address, and the bounds for each of them."""

    limit_gib: float = 4.0
    seconds: float = 600.0
    stall_seconds: float = 30.0  # without a byte before a transfer counts as dead
    allow_private: bool = False  # addresses of this machine and of private networks, too

    def __post_init__(self) -> None:
        for name in ("limit_gib", "seconds", "stall_seconds"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise UserError(f"downloads: {name} must be above 0 and finite, got {value:g}")


@dataclass(frozen=True)
class Haystacks:
    """The user's own videos to hide needles in: a folder, a list of files, or both.

    The videos are laid end to end in an order drawn from the suite's name and cut into
    `count` haystacks as long as the longest length; 0 means as many as the footage fills.
    A link in the folder that leads out of it is refused unless `allow_outside`.
    """

    folder: str | None = None
    files: tuple[str, ...] = ()
    count: int = 0
    allow_outside: bool = False

    def __post_init__(self) -> None:
        if self.count < 0:
            raise UserError(f"haystacks: count must be 0 (as many as the footage fills) or more, got {self.count}")


@dataclass(frozen=True)
class Needles:
    """The user's own needles: JSON lines, or a `datasets` table (a local folder, parquet, or a hub name).

    `media_root` is where the videos they name lie (the file's own folder if not given). A needle that names a
    video elsewhere ("..", an absolute path, a link that leads out) is refused unless `allow_outside`, and one
    that names an address unless there are `downloads`.
    """

    file: str | None = None
    dataset: str | None = None
    split: str = "test"
    media_root: str | None = None
    seconds: tuple[float, float] | None = None  # clips of other durations are left out; the paper design: 30, 120
    allow_outside: bool = False
    downloads: Downloads | None = None  # "downloads: {}" allows them within the usual bounds

    def __post_init__(self) -> None:
        if self.seconds is not None and (len(self.seconds) != 2 or self.seconds[0] > self.seconds[1]):
            raise UserError(f"needles: seconds must be [shortest, longest], got {list(self.seconds)}")


@dataclass(frozen=True)
class NeedleFilter:
    """The only needles that are asked about, and the model whose answers chose them; niah.generate --keep writes it."""

    by: str
    needles: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """Everything that decides which cases there are. `name` seeds every choice."""

    name: str
    version: int = SUITE_VERSION
    design: str = "grid"  # or "paper"
    lengths: tuple[int, ...] = (2000, 4000, 6000, 8000, 10000)
    depths: tuple[float, ...] = ()  # fixed depths, which alias with uniform sampling; none means bins
    depth_bins: int | None = None  # rows of the heatmap, 5 unless told otherwise: needles start anywhere in one
    bins_per_length: int | None = None  # in how many of the bins each needle is asked at a length; all unless told
    decoys: int | None = None  # scenes hidden with each needle that look like it; built-in footage only
    cases: int = 3000  # of the paper design: how many `full` cases
    conditions: tuple[str, ...] = CONDITIONS
    sampling: Sampling = Sampling()
    question_template: str = QUESTION_TEMPLATE
    allow_repeat: bool = False
    footage: Footage | None = None
    haystacks: Haystacks | None = None
    needles: Needles | None = None
    kept: NeedleFilter | None = None

    def __post_init__(self) -> None:
        if self.version not in READABLE:
            raise UserError(
                f"suite {self.name!r} was written for version {self.version} of the rules, and this program knows "
                f"{' and '.join(map(str, READABLE))}: use the program it was written for, or version: {SUITE_VERSION}"
            )
        if self.version == 1 and not self.depths:
            object.__setattr__(self, "depths", DEPTHS)
        _check_bins(self)
        if self.design not in ("grid", "paper"):
            raise UserError(f"suite {self.name!r}: design must be 'grid' or 'paper', got {self.design!r}")
        _check_rate(self.name, self.sampling.rate)
        if not self.lengths or min(self.lengths) < 1:
            raise UserError(f"suite {self.name!r}: lengths must be positive frame counts, got {self.lengths}")
        if not all(0 <= depth <= 1 for depth in self.depths):
            raise UserError(f"suite {self.name!r}: depths lie between 0 and 1, got {self.depths}")
        if not self.conditions:
            raise UserError(f"suite {self.name!r}: conditions must name at least one of {', '.join(CONDITIONS)}")
        if self.cases < 1:
            raise UserError(f"suite {self.name!r}: cases must be at least 1, got {self.cases}")
        for what, values in [("lengths", self.lengths), ("depths", self.depths), ("conditions", self.conditions)]:
            if len(set(values)) < len(values):
                raise UserError(f"suite {self.name!r}: {what} hold something twice: {list(values)}; remove one")
        for condition in self.conditions:
            if condition not in CONDITIONS:
                raise UserError(f"suite {self.name!r}: {unknown_name('condition', condition, CONDITIONS)}")
        if "{question}" not in self.question_template:
            raise UserError(f"suite {self.name!r}: question_template must contain {{question}}")
        if (self.footage is None) == (self.haystacks is None or self.needles is None):
            raise UserError(
                f"suite {self.name!r} needs either footage: (built in) or both haystacks: and needles: (your own)"
            )

    @property
    def needle_seconds(self) -> tuple[float, float] | None:
        """How long a clip of the user's may last; the paper design takes 30 to 120 seconds unless told otherwise."""
        if self.needles is not None and self.needles.seconds is not None:
            return self.needles.seconds
        return PAPER_SECONDS if self.design == "paper" else None

    @property
    def bins(self) -> int:
        """How many depth bins there are where needles start anywhere in one."""
        return 5 if self.depth_bins is None else self.depth_bins


def _check_bins(suite: Suite) -> None:
    """Refuse bins, decoys and fixed depths that do not fit together."""
    new = {"depth_bins": suite.depth_bins, "bins_per_length": suite.bins_per_length, "decoys": suite.decoys}
    given = [name for name, value in new.items() if value is not None]
    if suite.version == 1 and given:
        raise UserError(f"suite {suite.name!r}: version 1 knows no {', '.join(given)}; set version: {SUITE_VERSION}")
    if suite.depths and suite.depth_bins is not None:
        raise UserError(f"suite {suite.name!r}: give depth_bins or fixed depths, not both")
    if suite.bins < 1 or (suite.decoys or 0) < 0:
        raise UserError(f"suite {suite.name!r}: depth_bins must be at least 1 and decoys at least 0")
    rows = len(suite.depths) or suite.bins
    if suite.bins_per_length is not None and not 1 <= suite.bins_per_length <= rows:
        raise UserError(f"suite {suite.name!r}: bins_per_length must be 1 to {rows}, got {suite.bins_per_length}")
    if suite.decoys and (suite.footage is None or suite.footage.calibration):
        raise UserError(f"suite {suite.name!r}: decoys are drawn, so they need built-in footage; remove decoys:")


def _check_rate(suite: str, rate: str) -> None:
    """Refuse a sampling rate that is neither a positive number of frames per second nor "native"."""
    if rate == "native":
        return
    try:
        fits = Fraction(rate) > 0
    except (ValueError, ZeroDivisionError):  # Fraction's two ways of saying that this is no number
        fits = False
    if not fits:
        raise UserError(
            f"suite {suite!r}: sampling rate must be frames per second (1, 0.5, 30000/1001) or native, got {rate!r}"
        )


def load_suite(name: str) -> tuple[Suite, Path]:
    """Return the suite called `name` (a file of configs/suites, or a path to YAML) and the folder it lies in.

    Raises UserError naming the suites there are.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = SUITES_FOLDER / f"{name}.yaml"
        known = sorted(found.stem for found in SUITES_FOLDER.glob("*.yaml"))
        if not path.is_file():
            raise UserError(unknown_name("suite", name, known) + " A suite of your own is named by its .yaml file.")
    return read_yaml(Suite, path), path.parent.resolve()
