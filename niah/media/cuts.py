"""Find the scene cuts of a video file, so that a needle can be inserted between two scenes.

PySceneDetect's content detector compares each frame with the previous one. Nothing is smoothed, and scenes may be of
any length: at one frame per second a scene lasts only a few frames, and a frame that differs from the previous one is
as good a position as a cut. A cut that it misses (a fade, grey film) is only a position that is not used. Cuts are
cached in a JSON file named after the file's hash, the rate and the detector, so each file is decoded for this once
per machine.
"""

from __future__ import annotations

import contextlib
import json
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Iterable, Iterator, Optional, Sequence, Tuple

import av
import numpy as np

from niah.io import cache_folder, replace_file
from niah.media.decoders.base import load_decoder
from niah.media.index import Index
from niah.media.scan import scan
from niah.types import Sampling

FORMAT = 1  # of the stored JSON
THRESHOLD = 27.0  # PySceneDetect's default: mean change of hue, saturation and brightness, of 255
SIZE = 128  # pixels of a side at which frames are compared


def find_cuts(path: str, crop: Sequence[int], rate: str) -> Tuple[int, ...]:
    """Return the frames of a file at `rate` at which scenes begin, ascending, without the first frame.

    Decodes the whole file, one frame at a time, unless the cuts are cached. Raises MediaError if the file does not
    yield the frames of its index.
    """
    index = scan(path).cropped(tuple(crop))
    stored = _stored_under(index.key, rate)
    cuts = _load(stored)
    if cuts is None:
        cuts = detect(_frames(index, rate))
        _save(stored, cuts)
    return cuts


def detect(frames: Iterable[np.ndarray]) -> Tuple[int, ...]:
    """Return the indices of the frames, each (height, width, 3) RGB, at which scenes begin; holds two frames."""
    from scenedetect import ContentDetector, FrameTimecode  # here: a worker's interpreter may not have it

    detector = ContentDetector(THRESHOLD, min_scene_len=0)
    cuts = []
    for number, frame in enumerate(frames):
        blue_first = np.ascontiguousarray(frame[..., ::-1])
        cuts += [cut.frame_num for cut in detector.process_frame(FrameTimecode(number, fps=1.0), blue_first)]
    return tuple(cuts)


def _frames(index: Index, rate: str) -> Iterator[np.ndarray]:
    """Yield every frame of a file at `rate`, at the size at which frames are compared."""
    ordinals = index.ordinals(0, index.count(rate), rate)
    with contextlib.closing(load_decoder()) as decoder:
        yield from decoder.read(index, ordinals, Sampling(rate, SIZE, SIZE))


@lru_cache(maxsize=1)
def _detector() -> str:
    """Return everything besides the file and the rate that decides which cuts are found."""
    return f"{FORMAT}/av {av.__version__}/scenedetect {version('scenedetect-headless')}/{THRESHOLD}/{SIZE}"


def _stored_under(digest: str, rate: str) -> Path:
    """Return the path of the cached cuts of one file at one rate."""
    settings = sha256(f"{rate}/{_detector()}".encode()).hexdigest()[:16]
    return cache_folder() / "cuts" / f"{digest}-{settings}.json"


def _load(stored: Path) -> Optional[Tuple[int, ...]]:
    """Return the cached cuts, or None if there are none or the file is damaged; they are then found again."""
    try:
        return tuple(int(cut) for cut in json.loads(stored.read_text(encoding="utf-8")))
    except (FileNotFoundError, PermissionError, ValueError, TypeError):  # the cache is optional
        return None


def _save(stored: Path, cuts: Tuple[int, ...]) -> None:
    with contextlib.suppress(OSError):  # a full or read-only disk costs a second pass, nothing else
        stored.parent.mkdir(parents=True, exist_ok=True)
        replace_file(stored, json.dumps(cuts))
