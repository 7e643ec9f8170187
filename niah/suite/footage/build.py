"""Write built-in footage to H.264 files, once; from then on it is read like anybody's video.

A file's name holds all that decides its pictures (version, world, name, type, length,
rate), so that a file of another suite or version is never taken for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from tqdm import tqdm

from niah.media.writer import write_mp4
from niah.settings import unknown_name
from niah.suite.config import Footage
from niah.suite.footage import calibration
from niah.suite.footage.balance import choose_clips
from niah.suite.footage.calibration import CodedClip, coded_clip, coded_haystack
from niah.suite.footage.clips import TYPES, Clip
from niah.suite.footage.scenes import FOOTAGE_VERSION, draw_haystack, random_for
from niah.suite.footage.wording import WORDED_TYPES
from niah.types import Needle, UserError


class HaystackFile(NamedTuple):
    """A haystack of built-in footage as a file."""

    name: str
    path: str
    identity: str  # generator version, world and name: what its pictures follow from
    frames: int


@dataclass(frozen=True)
class Built:
    """Built-in footage as files.

    `targets` says for each needle what its question asks about ("red circle"; in calibration
    the coded number). A clip shows no needle's target but its own, so any needle with
    another target may stand in for it in `swapped`.
    """

    haystacks: tuple[HaystackFile, ...]
    needles: tuple[Needle, ...]
    targets: Mapping[str, str]


def build(footage: Footage, frames: int, rate: str, folder: Path) -> Built:
    """Write the files of `footage` that `folder` lacks and return all of them.

    Haystacks have `frames` frames. Files play at `rate` frames per second, so that sampling
    at the same rate ("native" included) returns every frame once. Raises UserError
    for a footage that cannot be drawn.
    """
    _check(footage, frames)
    speed = _speed(rate)
    place = Path(folder) / f"footage-{FOOTAGE_VERSION}" / footage.world / f"{speed}-fps".replace("/", "-")
    place.mkdir(parents=True, exist_ok=True)
    haystacks = tuple(_haystack_file(footage, number, frames, place) for number in range(footage.haystacks))
    missing = [stack for stack in haystacks if not _holds(stack.path, frames)]
    with tqdm(total=frames * len(missing), desc="built-in footage", unit="frame", disable=not missing) as bar:
        for stack in missing:
            pictures = _haystack_pictures(footage, stack)
            write_mp4(stack.path, _ticking(pictures, bar), speed)
    pairs = [_needle(footage, number, made, place, speed) for number, made in enumerate(_clips(footage))]
    return Built(haystacks, tuple(n for n, _ in pairs), {n.name: target for n, target in pairs})


def _haystack_file(footage: Footage, number: int, frames: int, place: Path) -> HaystackFile:
    """Return what haystack `number` is called and where it lies."""
    name = f"haystack-{number}"
    kind = "-calibration" if footage.calibration else ""
    identity = f"footage-{FOOTAGE_VERSION}:{footage.world}/{name}{kind}"
    return HaystackFile(name, str(place / f"{name}{kind}-{frames}.mp4"), identity, frames)


def _haystack_pictures(footage: Footage, stack: HaystackFile) -> Iterator[np.ndarray]:
    """Return the frames of a haystack, drawn one at a time."""
    if footage.calibration:
        return coded_haystack(int(stack.name.split("-")[1]), stack.frames)
    return draw_haystack(footage.world, stack.name, stack.frames)


def _clips(footage: Footage) -> list[tuple[str, Clip | CodedClip]]:
    """Return name and clip of each needle: all types and answers equally often, in an order drawn from the world."""
    if footage.calibration:
        return [_coded(footage.world, number) for number in range(footage.needles)]
    kinds = [footage.types[number % len(footage.types)] for number in range(footage.needles)]
    random_for(footage.world, "types").shuffle(kinds)
    return [*choose_clips(footage.world, kinds)]


def _coded(world: str, number: int) -> tuple[str, CodedClip]:
    """Return name and clip of needle `number` of calibration footage; the coded values take turns."""
    name = f"needle-{number:03d}"
    values = list(range(calibration.VALUES))
    random_for(world, "values").shuffle(values)
    return name, coded_clip(world, name, number, values[number % len(values)])


def _needle(
    footage: Footage, number: int, chosen: tuple[str, Clip | CodedClip], place: Path, speed: Fraction
) -> tuple[Needle, str]:
    """Write one needle's file unless it is there; return the needle and its target."""
    drawn, made = chosen
    path = place / f"{drawn}-{made.type}.mp4"
    if not _holds(path, made.count):
        write_mp4(path, iter(made.frames()), speed)
    identity = f"footage-{FOOTAGE_VERSION}:{footage.world}/{drawn}-{made.type}"
    name = f"needle-{number:03d}"
    needle = Needle(name, str(path), made.question, made.options, made.answer, made.type, identity=identity)
    return needle, str(made.target)


def _holds(path: str | Path, frames: int) -> bool:
    """Say whether a file is there and whole; a file cut short has lost its index, which comes last."""
    try:
        with av.open(str(path)) as container:
            return container.streams.video[0].frames == frames
    except FFmpegError:  # absent or cut short: either way it is to be written
        return False


def _ticking(pictures: Iterable[np.ndarray], bar: tqdm) -> Iterator[np.ndarray]:
    """Pass pictures on, counting them."""
    for picture in pictures:
        yield picture
        bar.update()


def _speed(rate: str) -> Fraction:
    """Return frames per second as a fraction; files that are read natively play at 1."""
    if rate == "native":
        return Fraction(1)
    try:
        speed = Fraction(rate)
    except (ValueError, ZeroDivisionError):
        speed = Fraction(0)
    if speed <= 0:
        raise UserError(f"sampling: rate must be 'native' or frames per second ('1', '30000/1001'), got {rate!r}")
    return speed


def _check(footage: Footage, frames: int) -> None:
    """Raise UserError where no such footage can be drawn."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", footage.world):
        raise UserError(f"footage: world names a folder, so letters, digits and _.- only; got {footage.world!r}")
    for what in ("haystacks", "needles"):
        if getattr(footage, what) < 1:
            raise UserError(f"footage: {what} must be at least 1, got {getattr(footage, what)}")
    if frames < 1:
        raise UserError(f"footage: a haystack has at least 1 frame, asked for {frames}")
    if not footage.types:
        raise UserError(f"footage: types must name at least one of {', '.join((*TYPES, *WORDED_TYPES))}")
    for kind in footage.types:
        if kind not in (*TYPES, *WORDED_TYPES):
            raise UserError(f"footage: {unknown_name('type', kind, (*TYPES, *WORDED_TYPES))}")
    sources = max(footage.haystacks, footage.needles)
    if footage.calibration and (sources > calibration.SOURCES or frames > calibration.LONGEST):
        raise UserError(
            f"footage: bar-codes tell {calibration.SOURCES} haystacks, {calibration.SOURCES} needles and "
            f"{calibration.LONGEST} frames apart; ask for fewer than {sources} sources of {frames} frames"
        )
