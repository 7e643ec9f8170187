"""Write built-in footage to H.264 files, once; after that it is read like any other video.

A file's name contains everything that determines its pictures (version, world, name, type,
length, rate), so it is never confused with a file of another suite or version.
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
from niah.suite.footage.partners import choose_partners
from niah.suite.footage.scenes import SCENE_FRAMES, draw_haystack, random_for, scene_cuts
from niah.suite.footage.wording import WORDED_TYPES
from niah.types import Needle, UserError


class HaystackFile(NamedTuple):
    """A haystack of built-in footage as a file."""

    name: str
    path: str
    identity: str  # generator version, world and name, which determine its pictures
    frames: int
    cuts: tuple[int, ...]  # frames at which scenes begin, without the first


class DecoyFile(NamedTuple):
    """A decoy of a needle as a file."""

    path: str
    name: str
    identity: str


@dataclass(frozen=True)
class BuiltFootage:
    """Built-in footage as files.

    `targets` is what each needle's question is about ("red circle"; in calibration the coded
    number). A clip never shows the target of another needle, so any needle with another target
    may replace it in `swapped`; only partners may share one, which are distinguished otherwise.
    `partners` names the needle that each was drawn to be confused with, where that was asked for.
    """

    haystacks: tuple[HaystackFile, ...]
    needles: tuple[Needle, ...]
    targets: Mapping[str, str]
    decoys: Mapping[str, tuple[DecoyFile, ...]]
    partners: Mapping[str, str]


@dataclass(frozen=True)
class _World:
    """The footage of one version of the rules, and the folder of its files."""

    footage: Footage
    version: int
    folder: Path
    rate: Fraction  # frames per second of the files

    @property
    def drawn(self) -> str:
        """The seed of all pictures, which differ between versions."""
        return self.footage.world if self.version == 1 else f"{self.version}:{self.footage.world}"

    @property
    def durations(self) -> tuple[int, int]:
        """The shortest and longest scene; from version 2 on as long as clips, so that clips do not stand out."""
        return SCENE_FRAMES if self.version == 1 else CLIP_FRAMES

    def identity(self, name: str) -> str:
        """Return the identity of a file: what determines its pictures."""
        return f"footage-{self.version}:{self.footage.world}/{name}"


def build(
    footage: Footage,
    frames: int,
    rate: str,
    folder: Path,
    version: int = 1,
    decoys: int = 0,
    partners: bool = False,
) -> BuiltFootage:
    """Write the missing files of built-in footage and return all of them.

    Raises UserError if the footage cannot be drawn.

    Args:
        footage: The settings.
        frames: The length of each haystack.
        rate: Frames per second of the files, so that sampling at this rate ("native" included) returns every
            frame once.
        folder: Where the files are cached.
        version: The version of the rules.
        decoys: The number of decoys of each needle.
        partners: Whether needles are drawn in pairs that can be confused.
    """
    _refuse_impossible(footage, frames)
    file_rate = _file_rate(rate)
    world_folder = Path(folder) / f"footage-{version}" / footage.world / f"{file_rate}-fps".replace("/", "-")
    world_folder.mkdir(parents=True, exist_ok=True)
    world = _World(footage, version, world_folder, file_rate)
    haystacks = tuple(_haystack_file(world, number, frames) for number in range(footage.haystacks))
    missing = [stack for stack in haystacks if not _is_complete(stack.path, frames)]
    with tqdm(total=frames * len(missing), desc="built-in footage", unit="frame", disable=not missing) as bar:
        for stack in missing:
            write_mp4(stack.path, _with_progress(_haystack_pictures(world, stack), bar), file_rate)
    needles = []
    targets = {}
    decoy_files = {}
    clips, pairs = _partners(world) if partners else (_clips(world), {})
    for number, (name, made) in enumerate(clips):
        needle = _needle(world, number, name, made)
        needles.append(needle)
        targets[needle.name] = str(made.target)
        decoy_files[needle.name] = tuple(_decoy(world, needle, made, count) for count in range(decoys))
    names = {needles[one].name: needles[other].name for one, other in pairs.items()}
    return BuiltFootage(haystacks, tuple(needles), targets, decoy_files, names)


def _haystack_file(world: _World, number: int, frames: int) -> HaystackFile:
    """Return the name, path, identity and scene cuts of haystack `number`."""
    name = f"haystack-{number}"
    coded = world.footage.calibration
    kind = "-calibration" if coded else ""
    cuts = () if coded or world.version == 1 else scene_cuts(world.drawn, name, frames, world.durations)
    path = world.folder / f"{name}{kind}-{frames}.mp4"
    return HaystackFile(name, str(path), world.identity(f"{name}{kind}"), frames, cuts)


def _haystack_pictures(world: _World, stack: HaystackFile) -> Iterator[np.ndarray]:
    """Return the frames of a haystack, drawn one at a time."""
    if world.footage.calibration:
        return coded_haystack(int(stack.name.split("-")[1]), stack.frames)
    return draw_haystack(world.drawn, stack.name, stack.frames, world.durations)


def _clips(world: _World) -> list[tuple[str, DrawnClip | CodedClip]]:
    """Return name and clip of each needle: all types and answers equally often, in a random order."""
    footage = world.footage
    if footage.calibration:
        return [_coded(world.drawn, number) for number in range(footage.needles)]
    return list(choose_clips(world.drawn, _types(world)))


def _types(world: _World) -> list[str]:
    """Return the type of each needle: all equally often, in a random order."""
    footage = world.footage
    kinds = [footage.types[number % len(footage.types)] for number in range(footage.needles)]
    random_for(world.drawn, "types").shuffle(kinds)
    return kinds


def _partners(world: _World) -> tuple[list[tuple[str, DrawnClip | CodedClip]], dict[int, int]]:
    """Return name and clip of each needle, drawn in pairs that can be confused, and the partner of each."""
    if not world.footage.calibration:
        clips, partners = choose_partners(world.drawn, _types(world))
        return list(clips), partners
    count = world.footage.needles
    coded = {number: _coded(world.drawn, number)[1] for number in range(count)}
    pairs = {number: number ^ 1 for number in range(count) if number ^ 1 < count}
    values = {number: int(coded[other].target) for number, other in pairs.items()}
    return [
        (f"needle-{n:03d}p", coded_clip(world.drawn, f"needle-{n:03d}", n, int(coded[n].target), values.get(n)))
        for n in range(count)
    ], pairs


def _coded(world: str, number: int) -> tuple[str, CodedClip]:
    """Return name and clip of needle `number` of calibration footage; the coded values take turns."""
    name = f"needle-{number:03d}"
    values = list(range(calibration.VALUES))
    random_for(world, "values").shuffle(values)
    return name, coded_clip(world, name, number, values[number % len(values)])


def _needle(world: _World, number: int, drawn: str, made: DrawnClip | CodedClip) -> Needle:
    """Write one needle's file unless it exists; return the needle."""
    path = world.folder / f"{drawn}-{made.type}.mp4"
    if not _is_complete(path, made.count):
        write_mp4(path, iter(made.frames()), world.rate)
    identity = world.identity(f"{drawn}-{made.type}")
    name = f"needle-{number:03d}"
    return Needle(name, str(path), made.question, made.options, made.answer, made.type, identity=identity, cue=made.cue)


def _decoy(world: _World, needle: Needle, made: DrawnClip | CodedClip, number: int) -> DecoyFile:
    """Write one decoy's file unless it exists; return it."""
    if isinstance(made, CodedClip):
        raise ValueError("calibration footage has no decoys")
    name = f"{needle.name}.decoy-{number}"
    path = world.folder / f"{name}-{made.type}.mp4"
    scene = decoy(world.drawn, needle.name, number, made.type, made.target)
    if not _is_complete(path, scene.count):
        write_mp4(path, iter(scene.frames()), world.rate)
    return DecoyFile(str(path), name, world.identity(f"{name}-{made.type}"))


def _is_complete(path: str | Path, frames: int) -> bool:
    """Return True if a file exists and is complete; the index of an mp4, with the frame count, is written last."""
    try:
        with av.open(str(path)) as container:
            return container.streams.video[0].frames == frames
    except FFmpegError:  # missing or truncated, so it must be written
        return False


def _with_progress(pictures: Iterable[np.ndarray], bar: tqdm) -> Iterator[np.ndarray]:
    """Yield the pictures and advance the progress bar."""
    for picture in pictures:
        yield picture
        bar.update()


def _file_rate(rate: str) -> Fraction:
    """Return the frames per second of files for a sampling rate; 1 for "native"."""
    if rate == "native":
        return Fraction(1)
    try:
        file_rate = Fraction(rate)
    except (ValueError, ZeroDivisionError):
        file_rate = Fraction(0)
    if file_rate <= 0:
        raise UserError(f"sampling: rate must be 'native' or frames per second ('1', '30000/1001'), got {rate!r}")
    return file_rate


def _refuse_impossible(footage: Footage, frames: int) -> None:
    """Raise UserError if the footage cannot be drawn."""
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
            f"footage: bar-codes distinguish {calibration.SOURCES} haystacks, {calibration.SOURCES} needles and "
            f"{calibration.LONGEST} frames; ask for fewer than {sources} sources of {frames} frames"
        )
