"""Write one case's whole video to an mp4 that a person can watch, and check what was written.

Always encoded anew, never stream-copied: a copied stream would begin its needle at a
keyframe and show the seam that the reading path hides.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from niah.media.decoders.base import load_decoder
from niah.media.video import SplicedVideo
from niah.media.writer import write_mp4
from niah.settings import unknown_name
from niah.suite.folder import GeneratedSuite
from niah.types import Case, UserError

CHUNK = 64  # frames held at once
CLOSE = 12.0  # mean absolute difference, of 255, that encoding may make over a whole frame


def find_case(generated: GeneratedSuite, name: str) -> Case:
    """Return the case called `name`. Raises UserError naming one that may have been meant."""
    by_name = {case.id: case for case in generated.cases}
    if name not in by_name:
        known = list(by_name)
        raise UserError(unknown_name("case", name, known) if len(known) <= 20 else _unknown_of_many(name, known))
    return by_name[name]


def render(case: Case, generated: GeneratedSuite, path: Path, decoder: str = "pyav") -> str:
    """Write a case's video to `path`, decode it again, and return a line that says what to look for.

    Raises UserError where the case has no video, and where what was written is not what was meant.
    """
    if not case.timeline:
        raise UserError(f"case {case.id!r} has no video: `blind` asks the question alone; render another condition")
    video = SplicedVideo(
        case.timeline, generated.sources, generated.suite.sampling, load_decoder(decoder), case.fps, path.parent
    )
    rate = Fraction(str(case.fps)).limit_denominator(100_100)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mp4(path, (frame for _, frame in _each(video, "rendering")), rate)
    worst, where = _compare(video, path)
    if worst > CLOSE:
        raise UserError(
            f"{path}: frame {where} differs by {worst:.1f} of 255 from the frame meant: do not trust this file; "
            "report it with the versions of PyAV and its FFmpeg"
        )
    return f"{path}: {case.length} frames, checked (at most {worst:.1f} of 255 off); {_look_for(case)}"


def _each(video: SplicedVideo, what: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (number, frame) over a video, with a progress bar."""
    with tqdm(total=len(video), desc=what, unit="frame", disable=None) as bar:
        for numbers, frames in video.iterate(CHUNK):
            yield from zip(numbers, frames, strict=True)
            bar.update(len(numbers))


def _compare(video: SplicedVideo, path: Path) -> tuple[float, int]:
    """Return the largest mean difference of any frame, and that frame. Raises UserError where the count differs."""
    worst, where, count = 0.0, 0, 0
    with av.open(str(path)) as container:
        written = container.decode(video=0)
        for number, frame in _each(video, "checking"):
            shown = next(written, None)
            if shown is None:
                break
            difference = np.abs(shown.to_ndarray(format="rgb24").astype(np.int16) - frame).mean()
            if difference > worst:
                worst, where = float(difference), number
            count += 1
        count += sum(1 for _ in written)
    if count != len(video):
        raise UserError(f"{path} holds {count} frames, {len(video)} were meant: check the disk and render it again")
    return worst, where


def _look_for(case: Case) -> str:
    """Say in words where the needle is and what is asked."""
    if not case.needles:
        return f"no needle in it; the question is: {case.question}"
    needle = case.needles[0]
    seconds = f"{needle.start / case.fps:.2f} to {needle.stop / case.fps:.2f} s"
    return (
        f"look for needle {needle.needle} in frames {needle.start} up to {needle.stop} ({seconds}); "
        f"the question is: {case.question} (answer {case.answer}: {case.options['ABCDEFGHIJ'.index(case.answer)]})"
    )


def _unknown_of_many(name: str, known: list[str]) -> str:
    """Say which case may have been meant, without listing thousands."""
    return unknown_name("case", name, known).split(" Known: ")[0] + f" There are {len(known):,}, listed in cases.jsonl."
