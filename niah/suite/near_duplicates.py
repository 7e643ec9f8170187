"""Find footage of different files that looks alike: a copy of a needle in a haystack would answer its question.

Perceptual hashes of a few frames of each needle are compared with those of all other needles
and of frames sampled from the haystacks. Near-duplicates are only reported, because only a
person can tell a copy from similar footage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

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
LIMIT = 6  # bits of 64 in which near-duplicates may differ
HASH_VERSION = 1  # of the cached hashes
FLAT = 8.0  # standard deviation of pixels below which a hash is noise: all black frames look alike

FrameReader = Callable[[Span, Sequence[int]], np.ndarray]  # frame numbers of a span's source -> (frames, h, w, 3)


def near_duplicates(
    haystacks: Sequence[Haystack],
    clips: Sequence[NeedleClip],
    library: Library,
    folder: Path,
    read_frames: FrameReader | None = None,
) -> tuple[NearDuplicate, ...]:
    """Return each pair of a needle and another piece of footage whose most similar frames look alike.

    Args:
        haystacks: The haystacks of the suite.
        clips: The needles of the suite.
        library: The sources of both.
        folder: Where hashes are cached, so that footage is decoded for them only once.
        read_frames: Decodes frames of a source; by default PyAV, at 64 x 64 pixels.
    """
    read_frames = read_frames or _small_frames(library)
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
    if not path.is_file():
        bits, hashed = _hash(read_frames(span, numbers), numbers)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            np.savez(temporary, bits=bits, numbers=np.array(hashed, dtype=np.int64))
    with np.load(path) as stored:
        return stored["bits"], stored["numbers"].tolist()


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
    for one in range(first, len(hashed)):
        name, source, bits, numbers = hashed[one]
        for other_name, other_source, other_bits, other_numbers in hashed[:one]:
            if source == other_source or not numbers or not other_numbers:
                continue
            distances = (bits[:, None] != other_bits[None]).sum(axis=2)  # (frames, other frames)
            i, j = np.unravel_index(distances.argmin(), distances.shape)
            if distances[i, j] <= LIMIT:
                yield NearDuplicate(name, numbers[i], other_name, other_numbers[j], int(distances[i, j]))


def _small_frames(library: Library) -> FrameReader:
    """Return a function that decodes frames of a source at 64 x 64 pixels."""
    from niah.media.decoders.base import load_decoder
    from niah.media.video import SplicedVideo

    sampling = Sampling(rate=library.rate, width=64, height=64)
    decoder = load_decoder("pyav")

    def read_frames(span: Span, numbers: Sequence[int]) -> np.ndarray:
        whole = (Span(span.source, 0, library.sources[span.source].frames),)
        video = SplicedVideo(whole, library.sources, sampling, decoder, 1.0, Path("."))
        return video.frames(numbers)

    return read_frames
