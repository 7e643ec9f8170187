"""The keys of a source's frames, made once for all the cases that show it.

Cases are asked by haystack, and each shows thousands of frames of it: making a key takes longer than anything else that
the harness does for a case whose model looks at little.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import Sequence, Tuple

from niah.media.index import Index
from niah.types import FrameKey

KEPT_SOURCES = 16
MOST_FRAMES = 50_000  # of a source whose keys are kept; of longer ones a case shows a small part


def frame_keys(
    index: Index, span: Tuple[int, int], rate: str, identity: str, preprocessing: str, decoder: str
) -> Sequence[FrameKey]:
    """Return the keys of the frames from the first number of `span` up to the second. Raises IndexError outside."""
    rest = rate, identity, preprocessing, decoder
    start, stop = span
    kept = _of_source(index, *rest)
    return kept[start:stop] if 0 <= start <= stop <= len(kept) else _made(index, start, stop, *rest)


@lru_cache(maxsize=KEPT_SOURCES)
def _of_source(index: Index, *rest: str) -> Sequence[FrameKey]:
    """Return the keys of all frames of a source; none if there are too many to keep."""
    count = index.count(rest[0])
    return _made(index, 0, count, *rest) if count <= MOST_FRAMES else ()


def _made(
    index: Index, start: int, stop: int, rate: str, identity: str, preprocessing: str, decoder: str
) -> Sequence[FrameKey]:
    return [
        FrameKey(identity, _seconds(index, ordinal), preprocessing, decoder, number)
        for number, ordinal in enumerate(index.ordinals(start, stop, rate), start)
    ]


def _seconds(index: Index, ordinal: int) -> str:
    """Return `str(index.time_of(ordinal))`: building a Fraction takes ten times as long."""
    numerator = (index.times[ordinal] - index.times[0]) * index.time_base.numerator
    denominator = index.time_base.denominator
    shared = gcd(numerator, denominator)
    return f"{numerator // shared}" if shared == denominator else f"{numerator // shared}/{denominator // shared}"
