"""Find the scene cuts of a video file: a clip that is spliced in there cuts no scene in two.

PySceneDetect's content detector compares each frame with the one before. Nothing is smoothed and no scene is too short
for it: at one frame a second scenes last a few frames, and a frame unlike the one before is as good a place as a cut.
What it misses (fades, cuts of grey film) costs a place to splice at, nothing else. Cuts are kept in a small JSON named
after the file's hash, the rate and the detector, so that a file is decoded for this once per machine.
"""

from __future__ import annotations

import contextlib
import json
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Callable, Iterable, Iterator, Optional, Tuple

import av
import numpy as np

from niah.io import cache_folder, replace_file
from niah.media.decoders.base import load_decoder
from niah.media.index import Index
from niah.types import Sampling

FORMAT = 1  # of the stored JSON
THRESHOLD = 27.0  # PySceneDetect's default: mean change of hue, saturation and brightness, of 255
SIZE = 128  # pixels of a side at which frames are compared


def find_cuts(index: Index, rate: str, advance: Callable[[int], object] = lambda frames: None) -> Tuple[int, ...]:
    """Return the frames at `rate` before which a scene begins, ascending; the first frame is none.

    Decodes the whole file, one frame at a time, unless that was done before; `advance` is told how many frames are
    done. Raises MediaError where the file does not deliver what its index says.
    """
    stored = _stored_under(index.sha256, rate)
    cuts = _load(stored)
    if cuts is None:
        cuts = detect(_frames(index, rate, advance))
        _save(stored, cuts)
    else:
        advance(index.count(rate))
    return cuts


def detect(frames: Iterable[np.ndarray]) -> Tuple[int, ...]:
    """Return the numbers of the frames, each (height, width, 3) RGB, that begin a scene; holds two frames at most."""
    from scenedetect import ContentDetector, FrameTimecode  # here: a worker's interpreter may not have it

    detector = ContentDetector(THRESHOLD, min_scene_len=0)
    cuts = []
    for number, frame in enumerate(frames):
        blue_first = np.ascontiguousarray(frame[..., ::-1])
        cuts += [cut.frame_num for cut in detector.process_frame(FrameTimecode(number, fps=1.0), blue_first)]
    return tuple(cuts)


def _frames(index: Index, rate: str, advance: Callable[[int], object]) -> Iterator[np.ndarray]:
    """Yield every frame of a file at `rate`, small."""
    decoder = load_decoder()
    ordinals = index.ordinals(0, index.count(rate), rate)
    for frame in decoder.read(index, ordinals, Sampling(rate, SIZE, SIZE)):
        yield frame
        advance(1)
    decoder.close()


@lru_cache(maxsize=1)
def _detector() -> str:
    """Name all that decides which cuts are found, but the file and the rate."""
    return f"{FORMAT}/av {av.__version__}/scenedetect {version('scenedetect-headless')}/{THRESHOLD}/{SIZE}"


def _stored_under(digest: str, rate: str) -> Path:
    """Return the JSON of one file at one rate."""
    settings = sha256(f"{rate}/{_detector()}".encode()).hexdigest()[:16]
    return cache_folder() / "cuts" / f"{digest}-{settings}.json"


def _load(stored: Path) -> Optional[Tuple[int, ...]]:
    """Return the cuts that were found before; None where that is nothing, or was damaged: they are found again then."""
    try:
        return tuple(int(cut) for cut in json.loads(stored.read_text(encoding="utf-8")))
    except (FileNotFoundError, PermissionError, ValueError, TypeError):  # no use, no harm
        return None


def _save(stored: Path, cuts: Tuple[int, ...]) -> None:
    with contextlib.suppress(OSError):  # a full or read-only disk costs a second pass, nothing else
        stored.parent.mkdir(parents=True, exist_ok=True)
        replace_file(stored, json.dumps(cuts))
