"""A suite of real, tiny video: dark haystacks, bright needles, and the right option names the needle's grey."""

from __future__ import annotations

from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import numpy as np

from niah.media.writer import write_mp4
from niah.suite.config import Haystacks, Needles, Suite
from niah.suite.folder import GeneratedSuite, write_suite
from niah.types import Case, Placement, Sampling, Source, Span

GREYS = {"n1": 150, "n2": 185, "n3": 220}
OPTIONS = ("150", "185", "220", "253")
NEEDLE_FRAMES = 4
HAYSTACK_FRAMES = 40
LENGTHS, DEPTHS = (20, 40), (0.25, 0.75)


def make_suite(folder: Path) -> Path:
    """Write videos and a generated suite of 3 needles x (4 full, needle_only, blind, no_needle, swapped) = 24 cases.

    Needles n1 and n3 go to haystack h1, n2 to h2.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [*GREYS, "h1", "h2"]
    sources = {name: _source(folder / f"{name}.mp4", name) for name in names}
    cases = [case for needle in GREYS for case in _cases(needle)]
    suite = Suite(
        version=1,
        name="small",
        lengths=LENGTHS,
        depths=DEPTHS,
        sampling=Sampling("1", 16, 16),
        haystacks=Haystacks(folder="."),
        needles=Needles(file="needles.jsonl"),
    )
    write_suite(GeneratedSuite(suite, tuple(cases), sources), folder / "suite")
    return folder / "suite"


def _source(path: Path, name: str) -> Source:
    """Encode one grey video at one frame a second."""
    frames = NEEDLE_FRAMES if name in GREYS else HAYSTACK_FRAMES
    levels = [GREYS[name]] * frames if name in GREYS else [20 + number for number in range(frames)]
    write_mp4(path, (np.full((16, 16, 3), level, np.uint8) for level in levels), Fraction(1))
    digest = sha256(path.read_bytes()).hexdigest()
    return Source(name, f"sha256:{digest}", str(path), digest, frames, float(frames))


def _cases(needle: str) -> list[Case]:
    """Return the eight cases of one needle."""
    haystack = "h2" if needle == "n2" else "h1"
    other = {"n1": "n2", "n2": "n3", "n3": "n1"}[needle]
    cases = []
    for length in LENGTHS:
        for depth in DEPTHS:
            start = int(depth * (length - NEEDLE_FRAMES))
            cases.append(_hidden("full", needle, needle, haystack, length, start))
    clip, footage = (Span(needle, 0, NEEDLE_FRAMES),), (Span(haystack, 0, 20),)
    alone = (Placement(needle, 0, NEEDLE_FRAMES),)
    cases.append(_case("needle_only", needle, "", clip, alone))
    cases.append(_case("blind", needle, "", (), ()))
    cases.append(_case("no_needle", needle, haystack, footage, ()))
    cases.append(_hidden("swapped", needle, other, haystack, 20, 8))
    return cases


def _hidden(condition: str, needle: str, shown: str, haystack: str, length: int, start: int) -> Case:
    """Return the case in which the clip `shown` starts at frame `start`."""
    rest = length - NEEDLE_FRAMES
    timeline = (Span(haystack, 0, start), Span(shown, 0, NEEDLE_FRAMES), Span(haystack, start, rest))
    return _case(condition, needle, haystack, timeline, (Placement(shown, start, start + NEEDLE_FRAMES),), str(start))


def _case(condition: str, needle: str, haystack: str, timeline: tuple, needles: tuple, mark: str = "") -> Case:
    length = sum(len(span) for span in timeline)
    return Case(
        id=".".join(part for part in (needle, condition, str(length), mark) if part),
        suite="small",
        version=1,
        condition=condition,
        needle=needle,
        needle_source=f"id-{needle}",
        haystack=haystack,
        length=length,
        needles=needles,
        timeline=timeline,
        fps=1.0,
        question="How bright is the bright clip?",
        options=OPTIONS,
        answer="ABCD"[OPTIONS.index(str(GREYS[needle]))],
        type="grey",
    )
