"""The media library of one suite: every video file it uses, measured once and known by a name.

Cases name sources, never paths. One file under two names is one source: its hash
decides, so that no needle can be hidden in its own footage by copying the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from niah.media.index import Index
from niah.types import Needle, Source, Span


@dataclass(frozen=True)
class NeedleClip:
    """A needle that can be hidden: its frames, and what it must not be mixed up with."""

    needle: Needle
    span: Span
    identity: str  # of the source it was cut from
    target: str = ""  # built-in footage: what the question asks about
    video: str = ""  # a data set's id of the source; footage of that id is its own
    decoys: tuple[Span, ...] = ()  # scenes like it that do not hold its answer, hidden with it


@dataclass(frozen=True)
class Haystack:
    """Footage as long as the longest case, from one source or several."""

    name: str
    timeline: tuple[Span, ...]
    identities: frozenset[str]
    videos: frozenset[str] = frozenset()
    cuts: tuple[int, ...] = ()  # frames of the timeline before which a scene begins, ascending; the first frame is none

    def may_hide(self, clip: NeedleClip) -> bool:
        """Tell whether the clip comes from elsewhere."""
        return clip.identity not in self.identities and clip.video not in self.videos


@dataclass
class Library:
    """Sources by name, counted at one sampling rate."""

    rate: str
    measure: Callable[[Path], Index]
    sources: dict[str, Source] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)  # by source name
    twice: dict[str, int] = field(default_factory=dict)  # frames of a whole source that repeat, as far as asked

    def add(self, path: Path, name: str, identity: str | None = None) -> Source:
        """Measure a file, or return the source it already is. Raises UserError where it is not readable video."""
        known = next((source for source in self.sources.values() if source.path == str(path)), None)
        if known is not None:
            return known
        index = self.measure(path)
        identity = identity or f"sha256:{index.sha256}"
        for source in self.sources.values():
            if source.identity == identity:
                return source
        if name in self.sources:
            name = f"{name}#{index.sha256[:8]}"
        source = Source(name, identity, str(path), index.sha256, index.count(self.rate), float(index.seconds))
        self.sources[name], self.indexes[name] = source, index
        return source

    def repeats(self, timeline: Sequence[Span]) -> int:
        """Return how many frames of a timeline show a source frame a second time.

        Either a span is shown again, or the rate is above the source's own.
        """
        fresh = 0
        for name in {span.source for span in timeline}:
            for start, stop in _union((span.start, span.stop) for span in timeline if span.source == name):
                fresh += stop - start - self._shown_twice(name, start, stop)
        return sum(len(span) for span in timeline) - fresh

    def _shown_twice(self, name: str, start: int, stop: int) -> int:
        """Return how many frames of a range repeat; asks about a whole source once, as most repeat none."""
        index = self.indexes[name]
        if name not in self.twice:
            self.twice[name] = index.repeats(0, index.count(self.rate), self.rate)
        return index.repeats(start, stop, self.rate) if self.twice[name] else 0

    def fps(self, timeline: Sequence[Span]) -> float:
        """Return the frames per second of a timeline at the native rate, rounded to 3 decimals."""
        sources = [(len(span), self.sources[span.source]) for span in timeline]
        seconds = sum(frames * source.seconds / source.frames for frames, source in sources)
        return round(sum(frames for frames, _ in sources) / seconds, 3)


def cut_timeline(timeline: Sequence[Span], start: int, stop: int) -> tuple[Span, ...]:
    """Return the part of a timeline from frame `start` up to `stop`."""
    spans, before = [], 0
    for span in timeline:
        first, last = max(start - before, 0), min(stop - before, len(span))
        if first < last:
            spans.append(Span(span.source, span.start + first, span.start + last))
        before += len(span)
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
