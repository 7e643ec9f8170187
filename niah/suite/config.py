"""The settings of a suite: the keys of a suite file, as frozen dataclasses.

A suite file starts with the command that runs it. Its paths are relative to the file, so
that a suite can be moved with its folder.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from niah.option_scores import SCORE_BY
from niah.settings import read_yaml, unknown_name
from niah.types import CONDITIONS, KINDS, LETTERS, SINGLE, Sampling, UserError

SUITE_VERSION = 2  # of the rules that turn a suite file into cases; increase it if any case can change
READABLE = (1, 2)  # 1: fixed depths, needles inside scenes; see niah.suite.version1
DEPTHS = (0.1, 0.3, 0.5, 0.7, 0.9)  # the default of version 1
SUITES_FOLDER = Path(__file__).resolve().parents[2] / "configs" / "suites"
ALIASES = {"real": "open"}  # earlier names of suites that ship
DISTANCES = (0.02, 0.1, 0.3)  # of two clips
FARTHEST = 0.3
FEW_REPEATS = (
    0.01  # of the frames of a source: fewer are let through, as of a video of 0.999 frames per second at rate 1
)
FACTOR = 1.7  # between distances
MIN_PARTS = 3  # of a video, when a question asks when a clip is shown
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
    """Permission to download videos that needles name by http(s) address, and the limits of each download."""

    limit_gib: float = 4.0
    seconds: float = 600.0
    stall_seconds: float = 30.0  # without data before a transfer is given up
    allow_private: bool = False  # also addresses of this machine and of private networks

    def __post_init__(self) -> None:
        for name in ("limit_gib", "seconds", "stall_seconds"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise UserError(f"downloads: {name} must be above 0 and finite, got {value:g}")


@dataclass(frozen=True)
class Haystacks:
    """The user's own videos to hide needles in: a folder, a list of files, or both.

    The videos are joined in a random order seeded with the suite's name and cut into `count`
    haystacks of the longest length; 0 means as many as the footage fills. A link in the folder
    to a file outside it is refused unless `allow_outside` is set.
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

    `media_root` is the folder of the videos that needles name, by default the file's own folder. A needle that
    names a video outside it ("..", an absolute path, a link) is refused unless `allow_outside` is set, and one
    that names an address unless `downloads` is set. `answer_base` is 0 or 1 where answers are numbers of options.
    """

    file: str | None = None
    dataset: str | None = None
    split: str = "test"
    media_root: str | None = None
    seconds: tuple[float, float] | None = None  # [shortest, longest] clip; others are left out
    allow_outside: bool = False
    downloads: Downloads | None = None  # "downloads: {}" allows them within the default limits
    cluster: str | None = None  # what answers are clustered by: "source" (the video, by default) or "scene" (the clip)
    answer_base: int | None = None  # the number of the first option; None: numbers are refused as ambiguous

    def __post_init__(self) -> None:
        if self.cluster not in (None, "source", "scene"):
            raise UserError(f"needles: cluster is source (the video) or scene (the clip), got {self.cluster!r}")
        if self.answer_base not in (None, 0, 1):
            raise UserError(f"needles: answer_base is the number of the first option, 0 or 1, got {self.answer_base}")
        if self.seconds is not None and (len(self.seconds) != 2 or self.seconds[0] > self.seconds[1]):
            raise UserError(f"needles: seconds must be [shortest, longest], got {list(self.seconds)}")


@dataclass(frozen=True)
class Crop:
    """Pixels to cut off the pictures of one video, such as numbers that are burnt in: they would give footage away."""

    video: str  # the file's name
    top: int = 0
    right: int = 0
    bottom: int = 0
    left: int = 0

    def __post_init__(self) -> None:
        if min(self.pixels) < 0 or not any(self.pixels):
            raise UserError(f"crops: {self.video} needs pixels above 0 at top, right, bottom or left")

    @property
    def pixels(self) -> tuple[int, int, int, int]:
        """The pixels at the top, right, bottom and left."""
        return self.top, self.right, self.bottom, self.left


@dataclass(frozen=True)
class NeedleFilter:
    """The needles that are asked about, and the model whose answers selected them; niah generate --keep writes it."""

    by: str
    needles: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """Everything that determines the cases of a suite. `name` seeds every choice."""

    name: str
    version: int = SUITE_VERSION
    design: str = "grid"  # or "paper"
    lengths: tuple[int, ...] = (2000, 4000, 6000, 8000, 10000)
    depths: tuple[float, ...] = ()  # fixed depths, which alias with uniform sampling; empty: depth bins
    depth_bins: int | None = None  # rows of the heatmap, 5 by default; a needle starts anywhere in its bin
    bins_per_length: int | None = None  # in how many bins each needle is asked at a length; by default in all
    decoys: int | None = None  # similar scenes hidden with each needle; built-in footage only
    kinds: tuple[str, ...] | None = None  # what is asked about the clips; by default only `single`
    distances: tuple[float, ...] | None = None  # of the clips of kind `first`, as shares of the haystack
    copies: int | None = None  # of a clip of kind `times`, at most; 3 by default
    when: str | None = None  # what the answers of kind `when` are: "bins" (parts of the video), or "interval"
    cases: int = 3000  # number of `full` cases of the paper design
    conditions: tuple[str, ...] = CONDITIONS
    sampling: Sampling = Sampling()
    question_template: str = QUESTION_TEMPLATE
    score_by: str | None = None  # a rule of niah.option_scores for models that score options; None: the model's own
    used_to_choose: str | None = None  # models, weights or settings that were chosen by this suite's answers
    allow_repeat: bool = False
    footage: Footage | None = None
    haystacks: Haystacks | None = None
    needles: Needles | None = None
    crops: tuple[Crop, ...] | None = None  # of the user's own videos
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
        _check_kinds(self)
        if self.design not in ("grid", "paper"):
            raise UserError(f"suite {self.name!r}: design must be 'grid' or 'paper', got {self.design!r}")
        _check_rate(self.name, self.sampling.rate)
        if not self.lengths or min(self.lengths) < 1:
            raise UserError(f"suite {self.name!r}: lengths must be positive frame counts, got {self.lengths}")
        if not all(0 <= depth <= 1 for depth in self.depths):
            raise UserError(f"suite {self.name!r}: depths must be between 0 and 1, got {self.depths}")
        if not self.conditions:
            raise UserError(f"suite {self.name!r}: conditions must name at least one of {', '.join(CONDITIONS)}")
        if self.cases < 1:
            raise UserError(f"suite {self.name!r}: cases must be at least 1, got {self.cases}")
        for what, values in [("lengths", self.lengths), ("depths", self.depths), ("conditions", self.conditions)]:
            if len(set(values)) < len(values):
                raise UserError(f"suite {self.name!r}: {what} must not repeat a value: {list(values)}; remove one")
        for condition in self.conditions:
            if condition not in CONDITIONS:
                raise UserError(f"suite {self.name!r}: {unknown_name('condition', condition, CONDITIONS)}")
        if self.score_by is not None and self.score_by not in SCORE_BY:
            raise UserError(f"suite {self.name!r}: {unknown_name('score_by', self.score_by, SCORE_BY)}")
        if "{question}" not in self.question_template:
            raise UserError(f"suite {self.name!r}: question_template must contain {{question}}")
        if (self.footage is None) == (self.haystacks is None or self.needles is None):
            raise UserError(
                f"suite {self.name!r} needs either footage: (built in) or both haystacks: and needles: (your own)"
            )

    @property
    def needle_seconds(self) -> tuple[float, float] | None:
        """The durations allowed for the user's clips, if limited; by default 30 to 120 s in the paper design."""
        if self.needles is not None and self.needles.seconds is not None:
            return self.needles.seconds
        return PAPER_SECONDS if self.design == "paper" else None

    @property
    def asked_kinds(self) -> tuple[str, ...]:
        """What is asked about the clips: kinds of `niah.suite.kinds`."""
        return (SINGLE,) if self.kinds is None else self.kinds

    @property
    def all_distances(self) -> tuple[float, ...]:
        """The distances of two clips that `first` asks about."""
        return DISTANCES if self.distances is None else self.distances

    @property
    def most_copies(self) -> int:
        """How often a clip is shown at most where `times` is asked."""
        return 3 if self.copies is None else self.copies

    @property
    def plans_partners(self) -> bool:
        """Whether built-in needles are drawn in pairs that can be confused."""
        return "lookalike" in self.asked_kinds

    @property
    def bins(self) -> int:
        """The number of depth bins, for a suite without fixed depths."""
        return 5 if self.depth_bins is None else self.depth_bins

    @property
    def depth_rows(self) -> int:
        """The number of rows of the heatmap: of fixed depths, else of depth bins."""
        return len(self.depths) or self.bins


def _check_bins(suite: Suite) -> None:
    """Raise UserError if bins, decoys and fixed depths contradict one another."""
    new = {"depth_bins": suite.depth_bins, "bins_per_length": suite.bins_per_length, "decoys": suite.decoys}
    given = [name for name, value in new.items() if value is not None]
    if suite.version == 1 and given:
        raise UserError(f"suite {suite.name!r}: version 1 has no {', '.join(given)}; set version: {SUITE_VERSION}")
    if suite.depths and suite.depth_bins is not None:
        raise UserError(f"suite {suite.name!r}: give depth_bins or fixed depths, not both")
    if suite.bins < 1 or (suite.decoys or 0) < 0:
        raise UserError(f"suite {suite.name!r}: depth_bins must be at least 1 and decoys at least 0")
    rows = suite.depth_rows
    if suite.bins_per_length is not None and not 1 <= suite.bins_per_length <= rows:
        raise UserError(f"suite {suite.name!r}: bins_per_length must be 1 to {rows}, got {suite.bins_per_length}")
    if suite.decoys and (suite.footage is None or suite.footage.calibration):
        raise UserError(f"suite {suite.name!r}: decoys are drawn, so they need built-in footage; remove decoys:")


def _check_kinds(suite: Suite) -> None:
    """Raise UserError if a kind does not exist or cannot be asked in this design."""
    for key, kind in (("distances", "first"), ("copies", "times"), ("when", "when")):
        if getattr(suite, key) is not None and kind not in suite.asked_kinds:
            raise UserError(f"suite {suite.name!r}: {key} belongs to kind {kind}; add it to kinds, or remove {key}")
    _check_distances(suite)
    if not 1 <= suite.most_copies < len(LETTERS):
        raise UserError(f"suite {suite.name!r}: copies must be 1 to {len(LETTERS) - 1}, got {suite.most_copies}")
    if suite.kinds is None:
        return
    if not suite.kinds or len(set(suite.kinds)) < len(suite.kinds):
        raise UserError(f"suite {suite.name!r}: kinds must name {', '.join(KINDS)}, each once; got {list(suite.kinds)}")
    for kind in suite.kinds:
        if kind not in KINDS:
            raise UserError(f"suite {suite.name!r}: {unknown_name('kind', kind, KINDS)}")
    others = [kind for kind in suite.kinds if kind != SINGLE]
    if others and (suite.version == 1 or suite.design == "paper"):
        raise UserError(
            f"suite {suite.name!r}: {', '.join(others)} can be asked in version {SUITE_VERSION} with design: grid only"
        )
    if suite.when not in (None, "bins", "interval"):
        raise UserError(f"suite {suite.name!r}: {unknown_name('form of when', suite.when, ('bins', 'interval'))}")
    if "when" in suite.kinds and suite.when != "interval" and not MIN_PARTS <= suite.depth_rows <= len(LETTERS):
        raise UserError(
            f"suite {suite.name!r}: when offers as many parts of the video as there are depth bins, so depth_bins must "
            f"be {MIN_PARTS} to {len(LETTERS)}, got {suite.depth_rows}"
        )
    if "lookalike" in suite.kinds and suite.depth_rows < 2:
        raise UserError(
            f"suite {suite.name!r}: lookalike puts its clips into two depth bins; set depth_bins: 2 or more"
        )
    if others and suite.decoys and suite.footage is not None and "count" in suite.footage.types:
        raise UserError(
            f"suite {suite.name!r}: a decoy of type count shows what the clip shows, so no question could say which of "
            "the two it means: remove decoys:, or count from types:"
        )


def _check_distances(suite: Suite) -> None:
    """Raise UserError if a distance measures something else than order, or cannot be told from the next one."""
    given = sorted(suite.all_distances)
    if not given or given[0] <= 0 or given[-1] > FARTHEST:
        raise UserError(
            f"suite {suite.name!r}: distances must be above 0 and at most {FARTHEST}, got {list(suite.all_distances)}: "
            "whoever sees one of two clips that are farther apart knows from its depth alone which comes first"
        )
    if any(FACTOR * one > other for one, other in itertools.pairwise(given)):
        raise UserError(
            f"suite {suite.name!r}: each of the distances must be at least {FACTOR} times the one before, as clips are "
            f"moved to scene cuts; got {list(suite.all_distances)}"
        )


def _check_rate(suite: str, rate: str) -> None:
    """Raise UserError if a sampling rate is neither a positive number of frames per second nor "native"."""
    if rate == "native":
        return
    try:
        is_valid = Fraction(rate) > 0
    except (ValueError, ZeroDivisionError):  # text that is not a number; a zero denominator
        is_valid = False
    if not is_valid:
        raise UserError(
            f"suite {suite!r}: sampling rate must be frames per second (1, 0.5, 30000/1001) or native, got {rate!r}"
        )


def is_built_in(name: str) -> bool:
    """Return True for the name, or another name, of a suite that ships; False for anything that could be a path."""
    return name in ALIASES or name in {found.stem for found in SUITES_FOLDER.glob("*.yaml")}


def load_suite(name: str) -> tuple[Suite, Path]:
    """Return the suite called `name`, a file of configs/suites or a path to YAML, and the folder of its file.

    Raises UserError, naming the known suites, if there is none.
    """
    path = Path(ALIASES.get(name, name))
    name = str(path)
    if path.suffix not in (".yaml", ".yml"):
        path = SUITES_FOLDER / f"{name}.yaml"
        known = sorted(found.stem for found in SUITES_FOLDER.glob("*.yaml"))
        if not path.is_file():
            raise UserError(f"{unknown_name('suite', name, known)} {_own_file(name)}")
    return read_yaml(Suite, path), path.parent.resolve()


def _own_file(name: str) -> str:
    """Return how to name a suite of one's own: the file that was meant, if there is one."""
    files = [path for path in (Path(f"{name}.yaml"), Path(f"{name}.yml")) if path.is_file()]
    return f"To use the file here: --suite {files[0]}" if files else "Name a suite of your own by its .yaml file."
