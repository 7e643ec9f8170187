"""Footage that looks alike though its files differ: a needle's twin in a haystack answers its question too.

A perceptual hash of a few frames of each needle is compared with those of every other
needle and of frames sampled from the haystacks. It is reported, never acted on: only a
person can tell a copy from a look-alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from niah.io import replacing
from niah.suite.folder import NearDuplicate
from niah.suite.library import Haystack, Library, NeedleClip
from niah.types import Sampling, Span

# Hashed: one frame in `step`, but at least and at most so many. Needles more densely, so that
# of every copy some pair of frames lies close in time.
NEEDLES = (8, 4, 64)
HAYSTACKS = (50, 16, 200)
LIMIT = 6  # of 64 bits may differ
HASH_VERSION = 1  # of the kept hashes
FLAT = 8.0  # standard deviation of a frame's pixels below which a hash is noise: black frames all look alike

FrameReader = Callable[[Span, Sequence[int]], np.ndarray]  # frame numbers of a span's source -> (frames, h, w, 3)


def near_duplicates(
    haystacks: Sequence[Haystack],
    clips: Sequence[NeedleClip],
    library: Library,
    folder: Path,
    read_frames: FrameReader | None = None,
) -> tuple[NearDuplicate, ...]:
    """Return each pair of a needle and another piece of footage whose closest frames look alike.

    Hashes are kept in `folder`, so that a suite's footage is decoded for this only once.
    """
    read_frames = read_frames or _decoder(library)
    pieces = {span.source: span for haystack in haystacks for span in haystack.timeline}
    footage = [(name, Span(name, 0, library.sources[name].frames), HAYSTACKS) for name in sorted(pieces)]
    footage += [(clip.needle.name, clip.span, NEEDLES) for clip in clips]
    hashed = []
    for name, span, density in tqdm(footage, desc="looking for near-duplicates", leave=False, disable=None):
        numbers = sample(span, *density)
        hashed.append((name, span.source, *_remembered(folder, library, span, numbers, read_frames)))
    return tuple(_pairs(hashed, first=len(hashed) - len(clips)))


def sample(span: Span, step: int, least: int, most: int) -> list[int]:
    """Return frame numbers of a span at bin centres: one for every `step` frames, from `least` up to `most`."""
    count = min(max(len(span) // step, least), most, len(span))
    return [span.start + (2 * number + 1) * len(span) // (2 * count) for number in range(count)]


def _remembered(
    folder: Path, library: Library, span: Span, numbers: Sequence[int], read_frames: FrameReader
) -> tuple[np.ndarray, list[int]]:
    """Return the hashes of a span's frames, from `folder` where they were made before."""
    what = json.dumps([HASH_VERSION, library.sources[span.source].sha256, library.rate, list(numbers)])
    path = folder / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.npz"
    if not path.is_file():
        bits, shown = _hash(read_frames(span, numbers), numbers)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            np.savez(temporary, bits=bits, numbers=np.array(shown, dtype=np.int64))
    with np.load(path) as stored:
        return stored["bits"], stored["numbers"].tolist()


def _hash(frames: np.ndarray, numbers: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """Return the hashes (frames, 64) of frames that show something, and their numbers."""
    import imagehash  # here: it loads SciPy's signal half, which nothing else in generation needs
    from PIL import Image

    shown = [(frame, number) for frame, number in zip(frames, numbers, strict=True) if frame.std() >= FLAT]
    bits = [imagehash.phash(Image.fromarray(frame)).hash.reshape(-1) for frame, _ in shown]
    return np.array(bits, dtype=bool).reshape(-1, 64), [number for _, number in shown]


def _pairs(hashed: Sequence[tuple], first: int) -> Iterator[NearDuplicate]:
    """Yield the pairs that look alike; pieces from `first` on are needles."""
    for one in range(first, len(hashed)):
        name, source, bits, numbers = hashed[one]
        for other_name, other_source, other_bits, other_numbers in hashed[:one]:
            if source == other_source or not numbers or not other_numbers:
                continue
            distances = (bits[:, None] != other_bits[None]).sum(axis=2)  # (frames, other frames)
            i, j = np.unravel_index(distances.argmin(), distances.shape)
            if distances[i, j] <= LIMIT:
                yield NearDuplicate(name, numbers[i], other_name, other_numbers[j], int(distances[i, j]))


def _decoder(library: Library) -> FrameReader:
    """Return a function that decodes frames of a source, small."""
    from niah.media.decoders.base import load_decoder
    from niah.media.video import SplicedVideo

    sampling = Sampling(rate=library.rate, width=64, height=64)
    decoder = load_decoder("pyav")

    def read_frames(span: Span, numbers: Sequence[int]) -> np.ndarray:
        whole = (Span(span.source, 0, library.sources[span.source].frames),)
        video = SplicedVideo(whole, library.sources, sampling, decoder, 1.0, Path("."))
        return video.frames(numbers)

    return read_frames
