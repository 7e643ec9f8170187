"""Footage that exists only as numbers: enough to place needles, with nothing to decode."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from niah.suite.config import Footage, Suite
from niah.suite.library import Haystack, Library, NeedleClip
from niah.types import Needle, Sampling, Source, Span


@dataclass(frozen=True)
class FakeIndex:
    """A file of `frames` evenly spaced frames at `fps`."""

    sha256: str
    frames: int
    fps: int | Fraction
    corrupt: int = 0

    @property
    def seconds(self) -> float:
        return float(self.frames / self.fps)

    def count(self, rate: str) -> int:
        return self.frames if rate == "native" else math.ceil(Fraction(self.frames, self.fps) * Fraction(rate))

    def span(self, start_seconds, stop_seconds, rate):
        speed = self.fps if rate == "native" else Fraction(rate)
        stop = self.count(rate) if stop_seconds is None else math.ceil(Fraction(str(stop_seconds)) * speed)
        return math.ceil(Fraction(str(start_seconds)) * speed), stop

    def repeats(self, start: int, stop: int, rate: str) -> int:
        shown = [number if rate == "native" else number * self.fps // Fraction(rate) for number in range(start, stop)]
        return len(shown) - len(set(shown))


def library_of(files: dict[str, FakeIndex], rate: str = "1") -> Library:
    """A library that has measured these files, each called by its key and hashed by its own sha256."""
    library = Library(rate, lambda path: files[path.name])
    for name, index in files.items():
        library.sources[name] = Source(
            name, f"sha256:{index.sha256}", f"/videos/{name}", index.sha256, index.count(rate), index.seconds
        )
        library.indexes[name] = index
    return library


def needle(name: str, kind: str = "colour", **changes) -> Needle:
    values = {"path": f"{name}.mp4", "question": f"What does {name} do?", "options": ("runs", "sits"), "answer": "A"}
    return Needle(name=name, type=kind, **{**values, **changes})


def world(
    needles: dict[str, int], kinds: tuple[str, ...] = ("colour",), haystacks: int = 2, frames: int = 10000
) -> tuple[list[Haystack], list[NeedleClip], Library]:
    """`haystacks` of `frames` frames, and a clip of each name and size; every file is a source of its own."""
    files = {f"hay-{number}": FakeIndex(f"h{number}", frames, 1) for number in range(haystacks)}
    files |= {name: FakeIndex(f"n-{name}", size, 1) for name, size in needles.items()}
    library = library_of(files)
    stacks = [
        Haystack(f"haystack-{number}", (Span(f"hay-{number}", 0, frames),), frozenset({f"sha256:h{number}"}))
        for number in range(haystacks)
    ]
    clips = [
        NeedleClip(needle(name, kinds[number % len(kinds)]), Span(name, 0, size), f"sha256:n-{name}")
        for number, (name, size) in enumerate(needles.items())
    ]
    return stacks, clips, library


def suite(**changes) -> Suite:
    values = {"name": "fake", "version": 1, "footage": Footage(world="fake"), "sampling": Sampling("1", 64, 64)}
    return Suite(**{**values, **changes})


def write_text(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
