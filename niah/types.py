"""The types shared by the harness and the adapters of models.

Everything that crosses a boundary is a frozen dataclass, checked once when it is
created. A worker may run in an old interpreter beside a published model, so this
module imports on Python 3.9 with numpy alone.

An adapter is any object with `answer(video, question) -> Reply`; its module has
a function `load(**settings)` that returns it. Optional are `score(video, question)`,
which returns the likelihood of each option, `concurrency` (an int), the number of
questions that a model behind an API accepts at once, `identity()`, texts by name
that say which model this is where no file says so, `frame_side` (an int), the side in
pixels of the squares that a model reads, for a warning where frames are smaller,
`built_in_footage_only` (a bool), for a warning where a suite has other footage, and
`known_words` (lower-case texts), all the words a model was trained on, for a warning
where questions have others.

Results are reused between cases by `Video.keys` only: equal keys mean equal pixels,
so features stored under a key can replace the frame.
"""

from __future__ import annotations

import dataclasses
import sys
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    FrozenSet,
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
    import numpy as np  # not needed at run time: `niah doctor` works without numpy

LETTERS = "ABCDEFGHIJ"
CONDITIONS = ("full", "needle_only", "no_needle", "swapped", "blind")
SINGLE = "single"
KINDS = (SINGLE, "when", "lookalike", "first", "times")  # what a case asks (niah.suite.kinds)
SHARED = (  # fields of cases and records that a hundred thousand lines say again and again
    "suite", "condition", "needle", "needle_source", "haystack", "question", "type", "template", "kind",
    "status", "model", "mode", "decoder",
)  # fmt: skip
STATUSES = ("ok", "oom", "error", "timeout")
ALL_TYPES = "all"  # the row of all question types in tables, so no type may have this name


class UserError(Exception):
    """An error that the user can fix: the message says what was expected, what was given, and what to do."""


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


FITS = ("stretch", "pad", "native", "shorter_side")


@dataclass(frozen=True)
class Sampling:
    """How every source, needle or haystack, is sampled and resized to frames.

    `rate` is frames per second of presentation time as a number or fraction
    ("1", "30000/1001"), or "native" for every frame the source holds. `fit`
    is "stretch" (to width x height, as SigLIP's own preprocessing does) or
    "pad" (keep the displayed aspect ratio, black bars), or leaves resizing to
    the model: "native" (as large as the case's haystack is displayed) and
    "shorter_side" (likewise, its shorter side at most `height` pixels). Then
    all frames of a case have one size, the haystack's, into which clips of
    another aspect are fitted with black bars.
    """

    rate: str = "1"
    width: int = 384
    height: int = 384
    fit: str = "stretch"

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}, got {self.fit!r}")
        if self.fit == "shorter_side" and self.width != self.height:
            raise ValueError(
                f"fit: shorter_side takes one number of pixels: set width and height to it, got {self.width} and "
                f"{self.height}"
            )
        if self.width < 1 or self.height < 1:
            raise ValueError(f"frames need a positive size, got {self.width}x{self.height}")

    @property
    def of_case(self) -> bool:
        """Whether frames have the size of each case's haystack, and not one size for the whole suite."""
        return self.fit in ("native", "shorter_side")

    @property
    def key(self) -> str:
        """The preprocessing half of a frame key."""
        return f"{self.width}x{self.height}/{self.fit}/rgb8"


@dataclass(frozen=True)
class Source:
    """One video file of the media library.

    `identity` identifies the footage on any machine: "sha256:..." for a file,
    "footage-1:haystack-2" for built-in footage, whose encoded bytes differ
    between builds of an encoder although its frames do not.
    """

    name: str
    identity: str
    path: str
    sha256: str
    frames: int  # at the suite's rate
    seconds: float
    crop: Tuple[int, ...] = ()  # pixels cut off at the top, right, bottom and left of the displayed picture

    def __post_init__(self) -> None:
        object.__setattr__(self, "crop", tuple(self.crop))

    def to_json(self) -> dict:
        """Return the line of sources.jsonl; a source that is not cropped has no such field."""
        row = dataclasses.asdict(self)
        if not self.crop:
            del row["crop"]
        return row


class FrameKey(NamedTuple):
    """The key of one frame; equal keys mean equal pixels."""

    source: str  # its identity and file hash
    time: str  # presentation time: seconds from the first frame, as an exact fraction
    preprocessing: str
    decoder: str  # with its FFmpeg version
    number: int  # of the frame in its source, at the suite's rate; aligns encoder chunks


@dataclass(frozen=True)
class Question:
    """A question, its options, and the suite's template around the question.

    `prompt` is the complete prompt if a benchmark prescribes one. Only such a question may be open, that is,
    without options.
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
    """A clip of one video file, and the question that only this clip answers.

    `start` and `stop` are seconds from the video's first frame; None means the start or the
    end of the video. `identity` names the source as in `Source`; None means the file's hash.
    `cue` describes the clip without answering its question ("the clip that shows a dog"); without one it is
    described by its question.
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
    cue: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        if self.answer not in LETTERS[: len(self.options)]:
            raise ValueError(f"needle {self.name}: answer {self.answer!r} is not one of {len(self.options)} options")


@dataclass(frozen=True)
class Placement:
    """The position of one needle in a case's video: frames `start` up to `stop`."""

    needle: str
    start: int
    stop: int


@dataclass(frozen=True)
class Case:
    """One question about one spliced video; a line of cases.jsonl.

    `needle` names the needle whose question is asked; `needles` are the inserted
    ones (none for `no_needle` and `blind`, another one for `swapped`). `timeline`
    is the edit list of the video, empty for `blind`. `kind` is what is asked
    (`niah.suite.kinds`), and `confused` the letter that answers the same question
    about another clip in the video ("" if none does). `asked` are the needles that the
    question is about, if there are several.
    """

    id: str
    suite: str
    version: int
    condition: str
    needle: str
    needle_source: str  # identity of the video that the needle was cut from; statistics cluster answers by it
    haystack: str  # "" for a video without one
    length: int
    needles: Tuple[Placement, ...]
    timeline: Tuple[Span, ...]
    fps: float
    question: str
    options: Tuple[str, ...]
    answer: str
    type: str
    repeats: int = 0  # frames that repeat a source frame
    template: str = "{question}"
    kind: str = SINGLE
    confused: str = ""
    asked: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.condition not in CONDITIONS:
            raise ValueError(f"{self.id}: unknown condition {self.condition!r}; known: {CONDITIONS}")
        if self.kind not in KINDS:
            raise ValueError(f"{self.id}: unknown kind {self.kind!r}; known: {KINDS}")
        frames = sum(map(len, self.timeline))
        if frames != self.length:
            raise ValueError(f"{self.id}: the timeline has {frames} frames, but length is {self.length}")
        if self.answer not in LETTERS[: len(self.options)]:
            raise ValueError(f"{self.id}: answer {self.answer!r} is not one of {len(self.options)} options")
        if self.type == ALL_TYPES:
            raise ValueError(f"{self.id}: type {self.type!r} is reserved for the table row of all types; rename it")

    def __hash__(self) -> int:
        return hash(self.id)  # which equal cases share; all fields would take long

    @property
    def position(self) -> Optional[Tuple[int, int]]:
        """The frames of haystack before the needle asked about, and all of them; None if no needle was hidden."""
        if self.condition not in ("full", "swapped") or not self.needles:
            return None
        placed = self.needles
        asked = placed[0] if len(placed) == 1 else (*self.target_placements, *placed)[0]
        before = sum([one.stop - one.start for one in placed if one.start < asked.start])
        return asked.start - before, self.length - sum([one.stop - one.start for one in placed])

    @property
    def depth(self) -> Optional[float]:
        """Frames of haystack before the needle / all frames of haystack; None if no needle was hidden."""
        position = self.position
        return None if position is None else position[0] / position[1]

    @property
    def target_placements(self) -> Tuple[Placement, ...]:
        """The placements of the needles that the question is about, not of a swapped one."""
        names = self.asked or (self.needle,)
        return tuple([one for one in self.needles if one.needle in names])

    @property
    def canvas(self) -> Optional[str]:
        """The source whose displayed size all frames have where the sampling is of the case; None without a video.

        The first one of the haystack, so that all cases of a haystack share it; of a clip alone, the clip's.
        """
        frame = 0
        for span in self.timeline:
            if not any(one.start <= frame < one.stop for one in self.needles):
                return span.source
            frame += len(span)
        return self.timeline[0].source if self.timeline else None

    def needle_frames(self, frames: Iterable[int]) -> int:
        """Count the frames among these that show the needle asked about."""
        ordered, shown = in_order(tuple(frames)), set()
        for one in self.target_placements:
            shown.update(ordered[bisect_left(ordered, one.start) : bisect_left(ordered, one.stop)])
        return len(shown)

    @property
    def asks_interval(self) -> bool:
        """Whether the answer is an interval of time and no option: when the clip is shown."""
        return self.kind == "when" and not self.options

    @property
    def shown_seconds(self) -> Tuple[float, float]:
        """When the clip that is right for `asks_interval` is shown, in seconds from the beginning."""
        placed = (*self.target_placements, *self.needles)[0]
        return placed.start / self.fps, placed.stop / self.fps

    def to_question(self) -> Question:
        """Return what the model is asked, without the answer and the case's name."""
        prompt = self.template.replace("{question}", self.question) if self.asks_interval else None
        return Question(self.question, self.options, self.template, prompt)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Case":
        """Read a line of cases.jsonl."""
        if not isinstance(row, dict):
            raise TypeError(f"a case must be a JSON object, got {row!r}")
        known = _field_names(cls)[0]
        if not row.keys() <= known:
            unknown = sorted(row.keys() - known)
            raise UserError(f"case {row.get('id')!r} has unknown fields {unknown}; known: {sorted(known)}")
        values = _interned(row)
        values["needles"] = tuple(Placement(**p) for p in row["needles"])
        values["timeline"] = tuple(shared_span(**s) for s in row["timeline"])
        values["options"] = tuple(map(sys.intern, row["options"]))
        values["asked"] = tuple(row.get("asked", ()))
        return cls(**values)

    def to_json(self) -> dict:
        """Return the line of cases.jsonl, without fields that came with kinds and that it has no use for."""
        row: Dict[str, Any] = {**vars(self)}  # `asdict` copies each number, and there are a hundred thousand cases
        row["needles"] = [{"needle": one.needle, "start": one.start, "stop": one.stop} for one in self.needles]
        row["timeline"] = [{"source": one.source, "start": one.start, "stop": one.stop} for one in self.timeline]
        for name, unused in (("kind", SINGLE), ("confused", ""), ("asked", ())):
            if row[name] == unused:
                del row[name]
        return row


@dataclass(frozen=True)
class OptionLikelihood:
    """How likely a model finds the text of one option, as the continuation of the prompt."""

    log_probability: float  # the sum over its tokens
    tokens: int
    bytes: int  # of the text in UTF-8
    without_video: Optional[float] = None  # the same sum after the question alone

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.bytes < 1:
            raise ValueError(f"an option has at least one token and byte, got {self.tokens} and {self.bytes}")


@dataclass(frozen=True)
class DrawnReply:
    """One of several replies to a question, each drawn at a temperature."""

    text: str
    seed: Optional[int] = None  # what it was drawn with; None: not known
    finish_reason: Optional[str] = None


@dataclass(frozen=True)
class Reply:
    """An adapter's answer and its cost.

    Args:
        text: The answer.
        option_scores: The score of each option by which `text` was chosen, if options were scored.
        mode: How `text` came about: "generated" or "likelihood".
        frames_used: Frames of which something reaches the part that answers. A frame that was only read to select
            others need not be among them.
        frames_kept: Frames kept at full resolution.
        seconds: By stage, for instance encode, select, merge, prefill.
        seconds_to_first_token: From the first frame handed over to the first logits on the host, without the time
            spent waiting for the decoder, the device synchronised. None if there are no logits.
        peak_allocated_bytes: Of the device; None on a CPU.
        peak_reserved_bytes: Likewise; both are sums where a model is spread over several devices.
        peak_device_bytes: Of the one device that reserved most: what a card must have. None on a CPU.
        language_tokens: Length of the language model's input.
        reused_frames: Frames whose features were cached.
        usage: What an API counted and charged: tokens, requests, usd, the model it reports.
        settings: What was computed, for a model that can be run in several ways. A model that selects frames
            without reading the question reports `reads_question: False`; if it still finds needles, a validity
            check reports it.
        frame_size: Height and width in pixels at which the model was shown frames, after its own resizing. None if
            it is not known, or if there was no frame.
        frame_times: Whether the model was given the time of each frame, or what it follows from. None likewise.
        finish_reason: Why a generated text ended: "stop", "length" (the token limit), or an endpoint's own word.
        option_likelihoods: Of each option, if options were scored: tables can then score by other rules.
        prompt_opens_thought: Whether the prompt ended inside a thought (`<think>`), which `text` then has to close
            before it answers. None if it is not known; `niah.scoring.ends_in_thought` finds it in a prompt.
        samples: All replies, if several were drawn at a temperature; `text` is the first of them.
    """

    text: str
    option_scores: Optional[Tuple[float, ...]] = None
    mode: str = "generated"
    frames_used: Tuple[int, ...] = ()
    frames_kept: Tuple[int, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    seconds_to_first_token: Optional[float] = None
    peak_allocated_bytes: Optional[int] = None
    peak_reserved_bytes: Optional[int] = None
    peak_device_bytes: Optional[int] = None
    language_tokens: Optional[int] = None
    reused_frames: int = 0
    usage: Mapping[str, Union[float, str]] = field(default_factory=dict)
    settings: Mapping[str, Union[float, str, None]] = field(default_factory=dict)
    frame_size: Optional[Tuple[int, int]] = None
    frame_times: Optional[bool] = None
    finish_reason: Optional[str] = None
    option_likelihoods: Optional[Tuple[OptionLikelihood, ...]] = None
    prompt_opens_thought: Optional[bool] = None
    samples: Tuple[DrawnReply, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(f"a reply's text must be a string, got {type(self.text).__name__}")
        object.__setattr__(self, "samples", _samples(self.samples))
        if self.samples and self.samples[0].text != self.text:
            raise ValueError("the first of several replies must be the text")
        if self.frame_size is not None:
            object.__setattr__(self, "frame_size", tuple(int(side) for side in self.frame_size))
        if self.option_likelihoods is not None:
            object.__setattr__(self, "option_likelihoods", _likelihoods(self.option_likelihoods))
        for name in ("frames_used", "frames_kept"):
            object.__setattr__(self, name, tuple(int(i) for i in getattr(self, name)))
        if self.option_scores is not None:
            object.__setattr__(self, "option_scores", tuple(float(s) for s in self.option_scores))


@runtime_checkable
class Video(Protocol):
    """A video whose frames are decoded and spliced on request.

    Frames are (count, height, width, 3) uint8 RGB.
    """

    fps: float
    handed_out: "set[int]"  # every index given to the adapter so far
    decode_seconds: float  # time spent waiting for the decoder so far

    def __len__(self) -> int: ...

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """Return the frames with these indices, in this order."""
        ...

    def announce(self, indices: Sequence[int]) -> None:
        """Have these frames decoded while the model computes; `frames` is then called for them, in this order."""
        ...

    def iterate(self, chunk: int) -> Iterator[Tuple[Tuple[int, ...], np.ndarray]]:
        """Yield (indices, frames) of at most `chunk` frames in one sequential pass, announced."""
        ...

    def keys(self, start: int, stop: int) -> "list[FrameKey]":
        """Return the keys of frames `start` up to `stop`."""
        ...

    def path(self) -> str:
        """Render the video to an mp4, once, and return the file's path."""
        ...


@runtime_checkable
class Adapter(Protocol):
    """A model that answers questions about videos."""

    def answer(self, video: Video, question: Question) -> Reply:
        """Answer one question. Keep no state that could change another answer."""
        ...


@dataclass(frozen=True)
class Record:
    """The outcome of one case; a line of records.jsonl.

    `measured` holds what may differ between two runs of the same command (times, memory,
    reused frames, worker, attempts). Everything else must be equal. Scores are not stored
    but recomputed from `reply`.
    """

    case: str
    status: str
    model: str
    reply: Optional[str]
    option_scores: Optional[Tuple[float, ...]]
    mode: str
    frames_used: int  # how many; the indices would take much space
    frames_kept: Tuple[int, ...]
    needle_frames_kept: int  # of the needle asked about
    needle_frames_used: int
    language_tokens: Optional[int]
    decoder: str
    sources: Tuple[
        str, ...
    ]  # "name@hash" of the video's files; the bytes of built-in footage differ between encoder builds
    repeats: int  # frames that repeat a source frame
    detail: str  # why the status is not ok: an error message, a signal, a limit
    measured: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the model, as its reply reported them
    frame_size: Optional[Tuple[int, int]] = None  # of the reply, as are the next five; None: not recorded
    frame_times: Optional[bool] = None
    finish_reason: Optional[str] = None
    option_likelihoods: Optional[Tuple[OptionLikelihood, ...]] = None
    prompt_opens_thought: Optional[bool] = None
    samples: Tuple[DrawnReply, ...] = ()

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"{self.case}: unknown status {self.status!r}; known: {STATUSES}")
        if (self.status == "ok") != (self.reply is not None):
            raise ValueError(f"{self.case}: status {self.status!r} with reply {self.reply!r}")

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Record":
        """Read a line of records.jsonl."""
        if not isinstance(row, dict):
            raise TypeError(f"a record must be a JSON object, got {row!r}")
        known, needed = _field_names(cls)
        if not needed <= row.keys() <= known:  # records of older versions lack fields that have a default
            raise UserError(
                f"a record has fields {sorted(row)}, this version expects {sorted(known)}: "
                "another version wrote it; run the suite again with --fresh"
            )
        values = _interned(row)
        values["frames_kept"] = tuple(row["frames_kept"])
        values["sources"] = tuple(map(sys.intern, row["sources"]))
        for name in ("option_scores", "frame_size"):
            if row.get(name) is not None:
                values[name] = tuple(row[name])
        if row.get("option_likelihoods") is not None:
            values["option_likelihoods"] = _likelihoods(row["option_likelihoods"])
        values["samples"] = _samples(row.get("samples", ()))
        return cls(**values)

    def to_json(self) -> dict:
        """Return the line of records.jsonl, without `samples` where one reply was taken."""
        likelihoods = self.option_likelihoods
        row: Dict[str, Any] = {**vars(self)}  # `asdict` would copy each of thousands of frame numbers
        row["option_likelihoods"] = None if likelihoods is None else tuple(dict(vars(one)) for one in likelihoods)
        row["samples"] = tuple(dict(vars(one)) for one in self.samples)
        if not self.samples:
            del row["samples"]
        return row


@lru_cache(maxsize=16)  # many models keep the same frames of all videos of a length
def in_order(frames: Tuple[int, ...]) -> Tuple[int, ...]:
    """Return frame numbers in order, each once."""
    return tuple(sorted(set(frames)))


@lru_cache(maxsize=1 << 16, typed=True)
def shared_span(source: str, start: int, stop: int) -> Span:
    """Return a span; cases of a grid share those of their haystacks."""
    return Span(source, start, stop)


@cache
def _field_names(cls: type) -> Tuple[FrozenSet[str], FrozenSet[str]]:
    """Return the names of a dataclass's fields, and of those that have no default."""
    fields = dataclasses.fields(cls)
    needed = [f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    return frozenset(f.name for f in fields), frozenset(needed)


def _interned(row: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a line's values, those that most lines share as one object. Raises TypeError where one is no string."""
    values = dict(row)
    for name in SHARED:
        if name in values:
            values[name] = sys.intern(values[name])
    return values


def _likelihoods(options: Iterable[Any]) -> Tuple[OptionLikelihood, ...]:
    """Return the likelihoods of options, which JSON holds as objects."""
    return tuple(OptionLikelihood(**one) if isinstance(one, Mapping) else one for one in options)


def _samples(replies: Iterable[Any]) -> Tuple[DrawnReply, ...]:
    """Return drawn replies, which JSON holds as objects."""
    return tuple(DrawnReply(**one) if isinstance(one, Mapping) else one for one in replies)
