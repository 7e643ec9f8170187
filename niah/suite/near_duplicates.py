"""Find footage of different files that looks alike: a copy of a needle in a haystack would answer its question.

Perceptual hashes of a few frames of each needle are compared with those of all other needles
and of frames sampled from the haystacks. Near-duplicates are only reported, because only a
person can tell a copy from similar footage.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from niah.io import replacing
from niah.suite.folder import NearDuplicate
from niah.suite.library import Haystack, Library, NeedleClip
from niah.suite.scan_progress import tracked
from niah.types import Sampling, Source, Span

# (step, least, most): one frame in `step` is hashed, but at least `least` and at most `most`. Needles are
# sampled more densely, so that some pair of frames of a copy is close in time.
NEEDLES = (8, 4, 64)
HAYSTACKS = (50, 16, 200)
SIDE = 64  # pixels at which frames are hashed
LIMIT = 6  # bits of 64 in which near-duplicates may differ
HASH_VERSION = 1  # of the cached hashes
BLOCK = 1 << 19  # pairs of frames compared at a time
FLAT = 8.0  # standard deviation of pixels below which a hash is noise: all black frames look alike

FrameReader = Callable[[Span, Sequence[int]], np.ndarray]  # frame numbers of a span's source -> (frames, h, w, 3)


def near_duplicates(
    haystacks: Sequence[Haystack],
    clips: Sequence[NeedleClip],
    library: Library,
    folder: Path,
    read_frames: FrameReader,
) -> tuple[NearDuplicate, ...]:
    """Return each pair of a needle and another piece of footage whose most similar frames look alike.

    Args:
        haystacks: The haystacks of the suite.
        clips: The needles of the suite.
        library: The sources of both.
        folder: Where hashes are cached, so that footage is decoded for them only once.
        read_frames: Decodes frames of a source, at SIDE x SIDE pixels.
    """
    pieces = {span.source: span for haystack in haystacks for span in haystack.timeline}
    footage = [(name, Span(name, 0, library.sources[name].frames), HAYSTACKS) for name in sorted(pieces)]
    footage += [(clip.needle.name, clip.span, NEEDLES) for clip in clips]
    hashed = []
    for name, span, density in tracked(footage, "looking for near-duplicates", "source"):
        numbers = sample(span, *density)
        hashed.append((name, span.source, *_cached_hashes(folder, library, span, numbers, read_frames)))
    return tuple(_pairs(hashed, first=len(hashed) - len(clips)))


def sample(span: Span, step: int, least: int, most: int) -> list[int]:
    """Return evenly spaced frame numbers of a span: one for every `step` frames, but `least` to `most` of them."""
    count = min(max(len(span) // step, least), most, len(span))
    return [span.start + (2 * number + 1) * len(span) // (2 * count) for number in range(count)]


def _cached_hashes(
    folder: Path, library: Library, span: Span, numbers: Sequence[int], read_frames: FrameReader
) -> tuple[np.ndarray, list[int]]:
    """Return the hashes of a span's frames and the frames' numbers, from `folder` if they are cached."""
    key = json.dumps([HASH_VERSION, _pictures_of(library.sources[span.source]), library.rate, list(numbers)])
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return stored["bits"], stored["numbers"].tolist()
    bits, hashed = _hash(read_frames(span, numbers), numbers)
    with contextlib.suppress(OSError):  # a full or read-only disk costs a second look, nothing else
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            np.savez(temporary, bits=bits, numbers=np.array(hashed, dtype=np.int64))
    return bits, hashed


def _pictures_of(source: Source) -> str:
    """Return what tells apart the pictures of two sources."""
    return source.sha256 + (f"#crop={source.crop}" if source.crop else "")


def _hash(frames: np.ndarray, numbers: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """Return the hashes (frames, 64) of frames that are not flat, and their numbers."""
    import imagehash  # here: it loads scipy.signal, which nothing else in generation needs
    from PIL import Image

    pictures = [(frame, number) for frame, number in zip(frames, numbers, strict=True) if frame.std() >= FLAT]
    bits = [imagehash.phash(Image.fromarray(frame)).hash.reshape(-1) for frame, _ in pictures]
    return np.array(bits, dtype=bool).reshape(-1, 64), [number for _, number in pictures]


def _pairs(hashed: Sequence[tuple], first: int) -> Iterator[NearDuplicate]:
    """Yield the pairs that look alike; the pieces of footage from index `first` on are needles."""
    pieces = np.repeat(np.arange(len(hashed)), [len(numbers) for *_, numbers in hashed])  # (frames,) of all pieces
    if not len(pieces):
        return
    bits = np.concatenate([bits for _, _, bits, _ in hashed])
    ids: dict[str, int] = {}
    sources = np.array([ids.setdefault(source, len(ids)) for _, source, _, _ in hashed])
    numbers = np.concatenate([np.asarray(numbers, dtype=np.int64) for *_, numbers in hashed])
    nearest: dict[tuple[int, int], tuple[int, int, int]] = {}  # distance and frames, by needle and other piece
    for rows, others, distances in close_frames(bits, LIMIT, int(np.searchsorted(pieces, first))):
        one, other = pieces[rows], pieces[others]
        wanted = (other < one) & (sources[one] != sources[other])
        found = np.stack([one, other, distances, rows, others])[:, wanted]
        found = found[:, np.lexsort(found[::-1])]  # by pair, then by distance, then by frame
        new = np.ones(found.shape[1], bool)
        new[1:] = (found[:2, 1:] != found[:2, :-1]).any(axis=0)
        for a, b, distance, row, column in found[:, new].T.tolist():
            nearest[a, b] = min((distance, row, column), nearest.get((a, b), (distance, row, column)))
    for (one, other), (distance, row, column) in sorted(nearest.items()):
        yield NearDuplicate(hashed[one][0], int(numbers[row]), hashed[other][0], int(numbers[column]), distance)


def close_frames(bits: np.ndarray, limit: int, first: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (rows from `first`, other rows, distances) of hashes (frames, 64) that differ in at most `limit` bits.

    Of a hash's `limit + n` parts, such hashes share `n` at least, whichever these are: only rows that share them are
    compared. A pair may come several times.
    """
    packed = np.packbits(bits, axis=1)  # (frames, 8)
    hashes = packed.view(np.uint64)[:, 0]
    shared = _shared_parts(len(bits), limit)
    part = np.arange(64) * (limit + shared) // 64  # of each bit
    for chosen in combinations(range(limit + shared), shared):
        keys = hashes & np.packbits(np.isin(part, chosen)).view(np.uint64)
        order = np.argsort(keys, kind="stable")
        begin, end = (np.searchsorted(keys[order], keys[first:], side) for side in ("left", "right"))
        for rows, others in _ranges(begin, end):
            rows, others = rows + first, order[others]
            distances = np.unpackbits(packed[rows] ^ packed[others], axis=1).sum(axis=1, dtype=np.int64)
            close = distances <= limit
            yield rows[close], others[close], distances[close]


def _shared_parts(frames: int, limit: int) -> int:
    """Return how many parts must be equal for the least work, which then grows little faster than frames do.

    A frame costs a place in a sorted list for each choice of parts, and the comparisons that are due to chance.
    """

    def work(shared: int) -> float:
        return comb(limit + shared, shared) * (1 + frames / 2 ** (64 * shared / (limit + shared)))

    return min(range(1, 64 - limit), key=work)


def _ranges(begin: np.ndarray, end: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (rows, places): each row with every place from its `begin` up to its `end`, about BLOCK at a time."""
    total = np.cumsum(end - begin)
    start = 0
    while start < len(begin):
        done = int(total[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + BLOCK, "right")))
        counts = (end - begin)[start:stop]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        yield np.repeat(np.arange(start, stop), counts), np.repeat(begin[start:stop], counts) + within
        start = stop


def small_frames(path: str, source: Mapping[str, Any], rate: str, numbers: Sequence[int]) -> str:
    """Return the bytes of frames of a source at SIDE x SIDE pixels in base64, to be called in a process of its own."""
    from niah.media.decoders.base import load_decoder
    from niah.media.video import SplicedVideo

    whole = {"": Source(**{**source, "path": path})}
    with contextlib.closing(load_decoder("pyav")) as decoder:
        spans = (Span("", 0, whole[""].frames),)
        video = SplicedVideo(spans, whole, Sampling(rate, SIDE, SIDE), decoder, 1.0, Path("."))
        return base64.b64encode(video.frames(numbers).tobytes()).decode()
