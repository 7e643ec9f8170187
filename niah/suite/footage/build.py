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
from niah.suite.footage.clips import CLIP_FRAMES, TYPES, DrawnClip
from niah.suite.footage.decoys import decoy
from niah.suite.footage.scenes import SCENE_FRAMES, draw_haystack, random_for, scene_cuts
from niah.suite.footage.wording import WORDED_TYPES
from niah.types import Needle, UserError


class HaystackFile(NamedTuple):
    """A haystack of built-in footage as a file."""

    name: str
    path: str
    identity: str  # generator version, world and name: what its pictures follow from
    frames: int
    cuts: tuple[int, ...]  # frames before which a scene begins


class DecoyFile(NamedTuple):
    """A decoy of a needle as a file."""

    path: str
    name: str
    identity: str


@dataclass(frozen=True)
class BuiltFootage:
    """Built-in footage as files.

    `targets` says for each needle what its question asks about ("red circle"; in calibration
    the coded number). A clip shows no needle's target but its own, so any needle with
    another target may stand in for it in `swapped`.
    """

    haystacks: tuple[HaystackFile, ...]
    needles: tuple[Needle, ...]
    targets: Mapping[str, str]
    decoys: Mapping[str, tuple[DecoyFile, ...]]


@dataclass(frozen=True)
class _World:
    """A world as one version of the rules draws it, and where its files go."""

    footage: Footage
    version: int
    place: Path
    speed: Fraction

    @property
    def drawn(self) -> str:
        """Return the name that everything is drawn from: worlds of another version show other pictures."""
        return self.footage.world if self.version == 1 else f"{self.version}:{self.footage.world}"

    @property
    def durations(self) -> tuple[int, int]:
        """Return the shortest and the longest scene; from version 2 on those of clips, so that none stands out."""
        return SCENE_FRAMES if self.version == 1 else CLIP_FRAMES

    def identity(self, name: str) -> str:
        """Return what the pictures of a file follow from."""
        return f"footage-{self.version}:{self.footage.world}/{name}"


def build(footage: Footage, frames: int, rate: str, folder: Path, version: int = 1, decoys: int = 0) -> BuiltFootage:
    """Write the files of `footage` that `folder` lacks and return all of them.

    Haystacks have `frames` frames. Files play at `rate` frames per second, so that sampling
    at the same rate ("native" included) returns every frame once. Raises UserError
    for a footage that cannot be drawn.
    """
    _check(footage, frames)
    speed = _speed(rate)
    place = Path(folder) / f"footage-{version}" / footage.world / f"{speed}-fps".replace("/", "-")
    place.mkdir(parents=True, exist_ok=True)
    world = _World(footage, version, place, speed)
    haystacks = tuple(_haystack_file(world, number, frames) for number in range(footage.haystacks))
    missing = [stack for stack in haystacks if not _holds(stack.path, frames)]
    with tqdm(total=frames * len(missing), desc="built-in footage", unit="frame", disable=not missing) as bar:
        for stack in missing:
            write_mp4(stack.path, _ticking(_haystack_pictures(world, stack), bar), speed)
    needles, targets, files = [], {}, {}
    for number, (name, made) in enumerate(_clips(world)):
        needle = _needle(world, number, name, made)
        needles.append(needle)
        targets[needle.name] = str(made.target)
        files[needle.name] = tuple(_decoy(world, needle, made, count) for count in range(decoys))
    return BuiltFootage(haystacks, tuple(needles), targets, files)


def _haystack_file(world: _World, number: int, frames: int) -> HaystackFile:
    """Return what haystack `number` is called and where it lies."""
    name = f"haystack-{number}"
    coded = world.footage.calibration
    kind = "-calibration" if coded else ""
    cuts = () if coded or world.version == 1 else scene_cuts(world.drawn, name, frames, world.durations)
    path = world.place / f"{name}{kind}-{frames}.mp4"
    return HaystackFile(name, str(path), world.identity(f"{name}{kind}"), frames, cuts)


def _haystack_pictures(world: _World, stack: HaystackFile) -> Iterator[np.ndarray]:
    """Return the frames of a haystack, drawn one at a time."""
    if world.footage.calibration:
        return coded_haystack(int(stack.name.split("-")[1]), stack.frames)
    return draw_haystack(world.drawn, stack.name, stack.frames, world.durations)


def _clips(world: _World) -> list[tuple[str, DrawnClip | CodedClip]]:
    """Return name and clip of each needle: all types and answers equally often, in an order drawn from the world."""
    footage = world.footage
    if footage.calibration:
        return [_coded(world.drawn, number) for number in range(footage.needles)]
    kinds = [footage.types[number % len(footage.types)] for number in range(footage.needles)]
    random_for(world.drawn, "types").shuffle(kinds)
    return [*choose_clips(world.drawn, kinds)]


def _coded(world: str, number: int) -> tuple[str, CodedClip]:
    """Return name and clip of needle `number` of calibration footage; the coded values take turns."""
    name = f"needle-{number:03d}"
    values = list(range(calibration.VALUES))
    random_for(world, "values").shuffle(values)
    return name, coded_clip(world, name, number, values[number % len(values)])


def _needle(world: _World, number: int, drawn: str, made: DrawnClip | CodedClip) -> Needle:
    """Write one needle's file unless it is there; return the needle."""
    path = world.place / f"{drawn}-{made.type}.mp4"
    if not _holds(path, made.count):
        write_mp4(path, iter(made.frames()), world.speed)
    identity = world.identity(f"{drawn}-{made.type}")
    name = f"needle-{number:03d}"
    return Needle(name, str(path), made.question, made.options, made.answer, made.type, identity=identity)


def _decoy(world: _World, needle: Needle, made: DrawnClip | CodedClip, number: int) -> DecoyFile:
    """Write one decoy's file unless it is there; return where it lies and what it is called."""
    if isinstance(made, CodedClip):
        raise ValueError("a bar-code has no decoys")
    name = f"{needle.name}.decoy-{number}"
    path = world.place / f"{name}-{made.type}.mp4"
    scene = decoy(world.drawn, needle.name, number, made.type, made.target)
    if not _holds(path, scene.count):
        write_mp4(path, iter(scene.frames()), world.speed)
    return DecoyFile(str(path), name, world.identity(f"{name}-{made.type}"))


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
