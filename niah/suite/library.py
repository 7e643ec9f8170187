"""The media library of one suite: every video file it uses, scanned once and named.

Cases name sources, not paths. Sources are identified by the file's hash: two copies of a file are
one source, so that a needle cannot be hidden in a copy of its own footage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from niah.media.index import Index
from niah.types import Needle, Source, Span


@dataclass(frozen=True)
class NeedleClip:
    """A needle that can be hidden: its frames, and what identifies its source and its target."""

    needle: Needle
    span: Span
    identity: str  # of the source it was cut from
    target: str = ""  # what the question is about; built-in footage only
    video: str = ""  # the data set's id of the source; never hidden in footage of this id
    decoys: tuple[Span, ...] = ()  # similar scenes without the answer, hidden with it
    cluster: str = ""  # what its answers are clustered by, if that is not its source
    partner: str = ""  # the needle that was drawn to be confused with it; built-in footage only


@dataclass(frozen=True)
class Haystack:
    """Footage as long as the longest case, from one or more sources."""

    name: str
    timeline: tuple[Span, ...]
    identities: frozenset[str]
    videos: frozenset[str] = frozenset()
    cuts: tuple[int, ...] = ()  # frames of the timeline at which scenes begin, ascending, without the first frame

    def may_hide(self, clip: NeedleClip) -> bool:
        """Return True if none of the footage has the clip's source."""
        return clip.identity not in self.identities and clip.video not in self.videos


@dataclass
class Library:
    """Sources by name; their frames are counted at one sampling rate."""

    rate: str
    scan: Callable[[Path], Index]
    announce: Callable[[Iterable[Path]], object] = list  # told which files will be scanned; by default nobody is
    sources: dict[str, Source] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)  # by source name
    crops: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # by file name
    source_repeats: dict[str, int] = field(default_factory=dict)  # repeated frames of whole sources, where counted
    _known: dict[str, Source] = field(default_factory=dict, init=False)  # by path and by identity

    def add(self, path: Path, name: str, identity: str | None = None) -> Source:
        """Scan a file and add its source, or return the known source. Raises UserError if it is not readable video."""
        if str(path) in self._known:
            return self._known[str(path)]
        crop = self.crops.get(Path(path).name, ())
        index = self.scan(path)
        index = index.cropped(crop) if crop else index
        identity = identity or f"sha256:{index.key if crop else index.sha256}"
        if identity not in self._known:
            if name in self.sources:
                name = f"{name}#{index.sha256[:8]}"
            seconds = float(index.seconds)
            source = Source(name, identity, str(path), index.sha256, index.count(self.rate), seconds, crop)
            self.sources[name] = self._known[identity] = source
            self.indexes[name] = index
        self._known[str(path)] = self._known[identity]
        return self._known[identity]

    def repeats(self, timeline: Sequence[Span]) -> int:
        """Return how many frames of a timeline repeat a source frame.

        Frames repeat if a span is shown again or if the rate is above the source's own.
        """
        distinct = 0
        for name in {span.source for span in timeline}:
            for start, stop in _union((span.start, span.stop) for span in timeline if span.source == name):
                distinct += stop - start - self._count_repeats(name, start, stop)
        return sum(len(span) for span in timeline) - distinct

    def _count_repeats(self, name: str, start: int, stop: int) -> int:
        """Return how many frames of a range repeat; whole sources are counted once, as most have no repeats."""
        index = self.indexes[name]
        if name not in self.source_repeats:
            self.source_repeats[name] = index.repeats(0, index.count(self.rate), self.rate)
        return index.repeats(start, stop, self.rate) if self.source_repeats[name] else 0

    def fps(self, timeline: Sequence[Span]) -> float:
        """Return the mean frames per second of a timeline at the native rate, rounded to 3 decimals."""
        sources = [(len(span), self.sources[span.source]) for span in timeline]
        seconds = sum(frames * source.seconds / source.frames for frames, source in sources)
        return round(sum(frames for frames, _ in sources) / seconds, 3)


def cut_timeline(timeline: Sequence[Span], start: int, stop: int) -> tuple[Span, ...]:
    """Return the part of a timeline from frame `start` up to `stop`."""
    spans = []
    begin = 0  # frame at which the span begins
    for span in timeline:
        first = max(start - begin, 0)
        last = min(stop - begin, len(span))
        if first < last:
            spans.append(Span(span.source, span.start + first, span.start + last))
        begin += len(span)
    return tuple(spans)


def _union(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge ranges that overlap or touch."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
