"""Render a case's video to an mp4 that a person can watch, and check the written frames.

The video is always encoded, never stream-copied: in a copied stream the needle would start
at a keyframe, and the seam would be visible.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from niah.media.decoders.base import load_decoder
from niah.media.video import SplicedVideo
from niah.media.writer import write_mp4
from niah.suite.folder import GeneratedSuite
from niah.terminal import printable
from niah.types import LETTERS, Case, UserError

CHUNK = 64  # frames in memory
TOLERANCE = 12.0  # of 255: the mean absolute difference that encoding may cause in a frame


def find_case(generated: GeneratedSuite, name: str, suite: str | None = None) -> Case:
    """Return the case called `name`; `suite` is how the user named the suite. Raises UserError if there is none."""
    by_name = {case.id: case for case in generated.cases}
    if name not in by_name:
        raise UserError(_unknown_case(name, list(by_name), suite or generated.suite.name))
    return by_name[name]


def render(case: Case, generated: GeneratedSuite, path: Path, decoder: str = "pyav") -> str:
    """Render a case's video to `path`, check it, and return a line that says what to look for.

    Raises UserError if the case has no video or the written frames differ from the case's.
    """
    video = video_of(case, generated, path.parent, decoder)
    rate = Fraction(str(case.fps)).limit_denominator(100_100)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mp4(path, (frame for _, frame in _each_frame(video, "rendering")), rate)
    worst, where = _compare(video, path)
    if worst > TOLERANCE:
        raise UserError(
            f"{path}: frame {where} differs by {worst:.1f} of 255 from the case's frame: do not trust this file; "
            "report it with the versions of PyAV and its FFmpeg"
        )
    return f"{path}: {case.length} frames, checked (at most {worst:.1f} of 255 off); {_look_for(case)}"


def video_of(case: Case, generated: GeneratedSuite, folder: Path, decoder: str = "pyav") -> SplicedVideo:
    """Return a case's video; what is rendered of it goes into `folder`. Raises UserError if the case has none."""
    if not case.timeline:
        raise UserError(f"case {case.id!r} has no video: `blind` asks only the question; render another condition")
    return SplicedVideo(
        case.timeline, generated.sources, generated.suite.sampling, load_decoder(decoder), case.fps, folder,
        case.canvas,
    )  # fmt: skip


def _each_frame(video: SplicedVideo, what: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (number, frame) for each frame of a video, with a progress bar."""
    with tqdm(total=len(video), desc=printable(what), unit="frame", disable=None) as bar:
        for numbers, frames in video.iterate(CHUNK):
            yield from zip(numbers, frames, strict=True)
            bar.update(len(numbers))


def _compare(video: SplicedVideo, path: Path) -> tuple[float, int]:
    """Return the largest mean difference of any frame, and its number. Raises UserError if the count differs."""
    worst = 0.0
    where = 0
    count = 0
    with av.open(str(path)) as container:
        written = container.decode(video=0)
        for number, frame in _each_frame(video, "checking"):
            shown = next(written, None)
            if shown is None:
                break
            difference = np.abs(shown.to_ndarray(format="rgb24").astype(np.int16) - frame).mean()
            if difference > worst:
                worst = float(difference)
                where = number
            count += 1
        count += sum(1 for _ in written)
    if count != len(video):
        raise UserError(f"{path} has {count} frames instead of {len(video)}: check the disk and render it again")
    return worst, where


def _look_for(case: Case) -> str:
    """Return a line that says where the needle is and what is asked."""
    if not case.needles:
        return f"no needle in it; the question is: {case.question}"
    answer = f"{case.answer}: {case.options[LETTERS.index(case.answer)]}" if case.options else "an interval"
    places = " and ".join(
        f"needle {one.needle} in frames {one.start} up to {one.stop} "
        f"({one.start / case.fps:.2f} to {one.stop / case.fps:.2f} s)"
        for one in case.needles
    )
    return f"look for {places}; the question is: {case.question} (answer {answer})"


def _unknown_case(name: str, known: list[str], suite: str) -> str:
    """Return the message for a case that does not exist: the three most similar ones, and where all are listed."""
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
    listed = (
        f"{Path(suite) / 'cases.jsonl'} lists" if Path(suite).is_dir() else f"niah generate {suite} -o FOLDER lists"
    )
    return f"no case is called {name!r}. The nearest: {', '.join(nearest)}. {listed} all {len(known):,}."
