"""The contract between the harness and the models it asks, and the nouns both use.

Everything that crosses a boundary is a frozen dataclass here, checked once at
birth. A worker may run in an old interpreter beside a published model, so this
file imports on Python 3.9 with numpy alone.

An adapter is any object with `answer(video, question) -> Reply`; its module has
a function `load(**settings)` that makes it. Optional: `score(video, question)`
returns the likelihood of each option, and `concurrency` (an int) says how many
questions a model behind an API takes at once.

Reuse between cases goes through `Video.keys` and nothing else: equal keys mean
equal pixels, so features stored under a key may stand in for the frame.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    Iterable,
    Iterator,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Union,
    runtime_checkable,
)

if TYPE_CHECKING:
    import numpy as np  # not needed at run time: `niah doctor` works where nothing is installed

LETTERS = "ABCDEFGHIJ"
CONDITIONS = ("full", "needle_only", "no_needle", "swapped", "blind")
STATUSES = ("ok", "oom", "error", "timeout")
ALL_TYPES = "all"  # what tables call every question type together, so no type can be called that


class UserError(Exception):
    """Something the user can mend: the message says what was wanted, what came, and what to do."""


@dataclass(frozen=True)
class Span:
    """Frames `start` up to but not including `stop` of one source, counted at the suite's rate."""

    source: str  # a name in the media library, not a path
    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(
                f"a span needs 0 <= start < stop, got start={self.start}, stop={self.stop} for source {self.source!r}"
            )

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Sampling:
    """How every source, needle or haystack alike, is turned into frames.

    `rate` is frames per second of presentation time as a number or fraction
    ("1", "30000/1001"), or "native" for every frame the source holds. `fit`
    is "stretch" (to width x height, as SigLIP's own preprocessing does) or
    "pad" (keep the displayed aspect ratio, black bars).
    """

    rate: str = "1"
    width: int = 384
    height: int = 384
    fit: str = "stretch"

    def __post_init__(self) -> None:
        if self.fit not in ("stretch", "pad"):
            raise ValueError(f"fit must be 'stretch' or 'pad', got {self.fit!r}")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"frames need a positive size, got {self.width}x{self.height}")

    @property
    def key(self) -> str:
        """The preprocessing half of a frame key."""
        return f"{self.width}x{self.height}/{self.fit}/rgb8"


@dataclass(frozen=True)
class Source:
    """One video file of the media library.

    `identity` says what it is wherever it lies: "sha256:..." for a file,
    "footage-1:haystack-2" for built-in footage, whose encoded bytes differ
    between builds of an encoder although its pictures do not.
    """

    name: str
    identity: str
    path: str
    sha256: str
    frames: int  # at the suite's rate
    seconds: float


class FrameKey(NamedTuple):
    """Names the pixels of one frame; equal keys mean equal pixels."""

    source: str  # identity and file hash of the source
    time: str  # presentation time, as the exact fraction of a second from the first frame
    preprocessing: str
    decoder: str  # with its FFmpeg version
    number: int  # of the frame in its source at the suite's rate: aligns encoder chunks


@dataclass(frozen=True)
class Question:
    """What is asked: the bare question, its options, and the sentence the suite puts around it.

    `prompt` is the whole prompt word for word, where a benchmark prescribes one; only such a question
    may be open, without options.
    """

    text: str
    options: Tuple[str, ...]
    template: str = "{question}"
    prompt: Optional[str] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        is_open = self.prompt is not None and not self.options
        if not is_open and not 2 <= len(self.options) <= len(LETTERS):
            raise ValueError(f"a question needs 2 to {len(LETTERS)} options, got {len(self.options)}: {self.text!r}")


@dataclass(frozen=True)
class Needle:
    """A clip of one video file, and the question only that clip answers.

    `start` and `stop` are seconds from the video's first frame; None means the whole
    video. `identity` names the source as in `Source`; None means the file's hash.
    """

    name: str
    path: str
    question: str
    options: Tuple[str, ...]
    answer: str  # a letter
    type: str = "unspecified"
    start: Optional[float] = None
    stop: Optional[float] = None
    identity: Optional[str] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        if self.answer not in LETTERS[: len(self.options)]:
            raise ValueError(f"needle {self.name}: answer {self.answer!r} is not one of {len(self.options)} options")


@dataclass(frozen=True)
class Placement:
    """Where in a case's video one needle lies: frames `start` up to `stop`."""

    needle: str
    start: int
    stop: int


@dataclass(frozen=True)
class Case:
    """One question about one spliced video; a line of cases.jsonl.

    `needle` names the needle whose question is asked; `needles` are the ones
    that were inserted (none for `no_needle` and `blind`, another one for
    `swapped`). `timeline` is the edit list of the video, empty for `blind`.
    """

    id: str
    suite: str
    version: int
    condition: str
    needle: str
    needle_source: str  # identity of the video the needle was cut from: the cluster of its answers
    haystack: str  # "" where the video holds none
    length: int
    needles: Tuple[Placement, ...]
    timeline: Tuple[Span, ...]
    fps: float
    question: str
    options: Tuple[str, ...]
    answer: str
    type: str
    repeats: int = 0  # frames that show a source frame a second time
    template: str = "{question}"

    def __post_init__(self) -> None:
        if self.condition not in CONDITIONS:
            raise ValueError(f"{self.id}: unknown condition {self.condition!r}; known: {CONDITIONS}")
        frames = sum(len(span) for span in self.timeline)
        if frames != self.length:
            raise ValueError(f"{self.id}: the timeline holds {frames} frames, the case says {self.length}")
        if self.answer not in LETTERS[: len(self.options)]:
            raise ValueError(f"{self.id}: answer {self.answer!r} is not one of {len(self.options)} options")
        if self.type == ALL_TYPES:
            raise ValueError(f"{self.id}: type {self.type!r} is what tables call all types together; name it otherwise")

    @property
    def depth(self) -> Optional[float]:
        """Needle start / (length - needle frames); None where nothing was hidden."""
        if self.condition not in ("full", "swapped") or not self.needles:
            return None
        first = self.needles[0]
        return first.start / (self.length - (first.stop - first.start))

    @property
    def target_placements(self) -> Tuple[Placement, ...]:
        """Return where the needle asked about lies; another's clip is none of it."""
        return tuple(placed for placed in self.needles if placed.needle == self.needle)

    def needle_frames(self, frames: Iterable[int]) -> int:
        """Count which of these frames show the needle asked about."""
        own = self.target_placements
        return sum(any(placed.start <= frame < placed.stop for placed in own) for frame in set(frames))

    def to_question(self) -> Question:
        """Return what the model is asked: never the answer, never the case's name."""
        return Question(self.question, self.options, self.template)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Case":
        """Read a line of cases.jsonl."""
        if not isinstance(row, dict):
            raise TypeError(f"a case is keys and values, got {row!r}")
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(row) - known)
        if unknown:
            raise UserError(f"case {row.get('id')!r} has unknown fields {unknown}; known: {sorted(known)}")
        values = dict(row)
        values["needles"] = tuple(Placement(**p) for p in row["needles"])
        values["timeline"] = tuple(Span(**s) for s in row["timeline"])
        values["options"] = tuple(row["options"])
        return cls(**values)

    def to_json(self) -> dict:
        """Return the line of cases.jsonl."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Reply:
    """What an adapter says, and what it cost.

    `seconds` is by stage (for instance encode, select, merge, prefill).
    `seconds_to_first_token` runs from the first frame handed over to the first
    logits on the host, minus the time spent waiting for the decoder, device
    synchronised; None where there are no logits. `frames_used` are the frames of
    which something reaches what answers; one that was only looked at to choose
    others need not be among them. `frames_kept` are those kept at full resolution.
    `usage` is what an API counted and charged: tokens, requests, usd, the model it says it is.
    `settings` says what was computed where a model can be run in several ways. A model that selects frames without
    reading the question says `reads_question: False`: if it finds needles all the same, a validity check reports it.
    """

    text: str
    option_scores: Optional[Tuple[float, ...]] = None
    mode: str = "generated"  # or "likelihood": how `text` came about
    frames_used: Tuple[int, ...] = ()
    frames_kept: Tuple[int, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    seconds_to_first_token: Optional[float] = None
    peak_allocated_bytes: Optional[int] = None  # of the device; None on a CPU
    peak_reserved_bytes: Optional[int] = None
    language_tokens: Optional[int] = None
    reused_frames: int = 0
    usage: Mapping[str, Union[float, str]] = field(default_factory=dict)
    settings: Mapping[str, Union[float, str, None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(f"a reply's text must be a string, got {type(self.text).__name__}")
        for name in ("frames_used", "frames_kept"):
            object.__setattr__(self, name, tuple(int(i) for i in getattr(self, name)))
        if self.option_scores is not None:
            object.__setattr__(self, "option_scores", tuple(float(s) for s in self.option_scores))


@runtime_checkable
class Video(Protocol):
    """A video that is spliced when read; nothing is decoded before it is asked for.

    Frames are (count, height, width, 3) uint8 RGB.
    """

    fps: float
    handed_out: "set[int]"  # every index given to the adapter so far
    decode_seconds: float  # time spent waiting for the decoder so far

    def __len__(self) -> int: ...

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """Return the named frames in the order named; holds just these."""
        ...

    def iterate(self, chunk: int) -> Iterator[Tuple[Tuple[int, ...], np.ndarray]]:
        """Yield (indices, frames) of at most `chunk` frames in one sequential pass."""
        ...

    def keys(self, start: int, stop: int) -> "list[FrameKey]":
        """Name frames `start` up to `stop`."""
        ...

    def path(self) -> str:
        """Render the video to an mp4, once, and return where it lies."""
        ...


@runtime_checkable
class Adapter(Protocol):
    """A model that can be asked about a video."""

    def answer(self, video: Video, question: Question) -> Reply:
        """Answer one question; keep no state that could change another answer."""
        ...


@dataclass(frozen=True)
class Record:
    """One line of records.jsonl: what became of one case.

    `measured` holds what may differ between two runs of the same command
    (times, memory, reused frames, worker, attempts); all else must be equal.
    Scores are not stored: they are recomputed from `reply`.
    """

    case: str
    status: str
    model: str
    reply: Optional[str]
    option_scores: Optional[Tuple[float, ...]]
    mode: str
    frames_used: int  # how many; the indices are bulky and derivable
    frames_kept: Tuple[int, ...]
    needle_frames_kept: int  # of the needle asked about
    needle_frames_used: int
    language_tokens: Optional[int]
    decoder: str
    sources: Tuple[str, ...]  # "name@hash" of the files the video came from; an encoder's bytes differ between builds
    repeats: int  # frames that show a source frame a second time
    detail: str  # why a status is not ok: the error's words, a signal, a limit
    measured: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the model, as its reply told them

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"{self.case}: unknown status {self.status!r}; known: {STATUSES}")
        if (self.status == "ok") != (self.reply is not None):
            raise ValueError(f"{self.case}: status {self.status!r} with reply {self.reply!r}")

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Record":
        """Read a line of records.jsonl."""
        known = {f.name for f in dataclasses.fields(cls)}
        if {*row, "settings"} != known:  # older records lack settings: their models had none
            raise UserError(
                f"a record has fields {sorted(row)}, this version writes {sorted(known)}: "
                "it comes from another version; run the suite again with --fresh"
            )
        values = dict(row)
        values["frames_kept"] = tuple(row["frames_kept"])
        values["sources"] = tuple(row["sources"])
        if row["option_scores"] is not None:
            values["option_scores"] = tuple(row["option_scores"])
        return cls(**values)

    def to_json(self) -> dict:
        """Return the line of records.jsonl."""
        return dataclasses.asdict(self)
