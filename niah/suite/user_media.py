"""The user's own videos: scan them, leave out those that cannot be used, and join them into haystacks."""

from __future__ import annotations

import dataclasses
import os
import random
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from tqdm import tqdm

from niah.settings import unknown_name
from niah.suite.cases import longest_length, refuse_long_needle
from niah.suite.config import FEW_REPEATS, SUITES_FOLDER, Haystacks, Suite
from niah.suite.downloads import is_download, refuse_outside
from niah.suite.folder import Skip
from niah.suite.library import Haystack, Library, NeedleClip, cut_timeline
from niah.suite.needles import VIDEO_SUFFIXES, NeedleRow, read_needles
from niah.suite.scan_progress import tracked
from niah.terminal import printable
from niah.types import Source, Span, UserError

SLACK_SECONDS = 0.1  # by which a stop may exceed the end of the video, because people round


def resolve(suite: Suite, folder: Path) -> Suite:
    """Return the suite with absolute paths, so that its cases can be generated again from any folder."""
    folder = folder.resolve()

    def absolute(path: str | None) -> str | None:
        return None if path is None else os.path.normpath(folder / path)

    haystacks = suite.haystacks
    needles = suite.needles
    if haystacks is not None:
        files = tuple(os.path.normpath(folder / name) for name in haystacks.files)
        haystacks = dataclasses.replace(haystacks, folder=absolute(haystacks.folder), files=files)
    if needles is not None:
        table = absolute(needles.dataset)
        dataset = table if table is not None and Path(table).exists() else needles.dataset  # else a name on the hub
        root = absolute(needles.media_root)
        if root is None and needles.file is None:
            root = str(folder)
        needles = dataclasses.replace(needles, file=absolute(needles.file), dataset=dataset, media_root=root)
    return dataclasses.replace(suite, haystacks=haystacks, needles=needles)


def load(suite: Suite, library: Library) -> tuple[list[Haystack], list[NeedleClip], list[Skip]]:
    """Scan the user's haystacks and needles; its paths are absolute. Broken files are skipped, with a reason."""
    assert suite.haystacks is not None and suite.needles is not None
    _refuse_unfetched(suite)
    rows = read_needles(suite.needles, Path("."))  # before any scan, because errors here are found quickly
    videos = find_videos(suite.haystacks)
    skips: list[Skip] = []
    library.announce([path for _, path in videos] + [Path(row.needle.path) for row in rows])
    sources = _scan_haystacks(videos, suite, library, skips)
    haystacks = join_into_haystacks(suite, sources, library, skips)
    clips = _scan_needles(rows, suite, library, skips)
    _refuse_unused_crops(suite, library)
    return haystacks, clips, skips


def _refuse_unfetched(suite: Suite) -> None:
    """Raise UserError where a suite that ships has no footage here: it is fetched once for all that share it."""
    folder = suite.haystacks.folder if suite.haystacks is not None else None
    if folder is None or Path(folder).is_dir():
        return
    place = Path(folder).parent  # footage/LIST/haystacks
    listed = SUITES_FOLDER.parent / "footage" / f"{place.name}.jsonl"
    if listed.is_file() and place.parent == SUITES_FOLDER.parents[1] / "footage":
        raise UserError(
            f"the footage of suite {suite.name!r} is not here ({folder}): niah fetch {place.name} downloads it, and "
            f"{listed} says what it is"
        )


def _refuse_unused_crops(suite: Suite, library: Library) -> None:
    """Raise UserError for a crop of a video that the suite does not have."""
    known = sorted({Path(source.path).name for source in library.sources.values()})
    for crop in suite.crops or ():
        if crop.video not in known:
            raise UserError(f"crops: {unknown_name('video', crop.video, known)}")


def find_videos(haystacks: Haystacks) -> list[tuple[str, Path]]:
    """Return (name, path) of every haystack video: those in the folder, at any depth, then the listed files."""
    found = [(Path(name).name, Path(name)) for name in haystacks.files]
    for name, path in found:
        if not path.is_file():
            raise UserError(f"haystacks: {path} does not exist; name a file that does ({name} is in files:)")
    if haystacks.folder is not None:
        in_folder = _walk(Path(haystacks.folder))
        if not haystacks.allow_outside:
            for name, path in in_folder:
                refuse_outside(path, Path(haystacks.folder), f"haystacks: {name}")
        found = in_folder + found
    if not found:
        raise UserError("haystacks: give folder: or files: with videos to hide the needles in")
    return found


def _walk(folder: Path) -> list[tuple[str, Path]]:
    """Return the videos of a folder, at any depth, sorted by name."""
    paths = [
        Path(parent) / name
        for parent, _, names in os.walk(folder, onerror=refuse_folder)
        for name in names
        if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".")
    ]
    if not paths:
        raise UserError(
            f"haystacks: folder {folder} has no video file ({' '.join(VIDEO_SUFFIXES)}); name another folder"
        )
    return sorted((path.relative_to(folder).as_posix(), path) for path in paths)


def refuse_folder(error: OSError) -> None:
    """Raise UserError for a folder that cannot be listed: skipping it silently would change the cases."""
    raise UserError(
        f"haystacks: cannot list {error.filename} ({error.strerror}); name a folder that you can read"
    ) from error


def join_into_haystacks(
    suite: Suite, sources: Sequence[Source], library: Library, skips: Sequence[Skip] = ()
) -> list[Haystack]:
    """Join the sources, in a random order seeded with their names, and cut them into haystacks of the longest length.

    With `allow_repeat` the footage repeats from the start where it ends. Raises UserError if there is too
    little footage.

    Args:
        suite: The settings; `suite.haystacks` is set.
        sources: The footage.
        library: The scanned files.
        skips: Videos that were left out; an error lists them.
    """
    assert suite.haystacks is not None
    frames = longest_length(suite)
    ordered = sorted(sources, key=lambda source: random.Random(f"{suite.name}/{source.name}/order").random())
    total = sum(source.frames for source in ordered)
    count = suite.haystacks.count or max(total // frames, 1)
    if total < count * frames and not (suite.allow_repeat and total):
        _refuse_too_little(suite, ordered, (total, count * frames), library, skips)
    footage = [Span(source.name, 0, source.frames) for source in ordered]
    repeated = footage * -(-count * frames // total)  # rounded up
    haystacks = []
    for number in range(count):
        timeline = cut_timeline(repeated, number * frames, (number + 1) * frames)
        names = {span.source for span in timeline}
        identities = frozenset(library.sources[name].identity for name in names)
        videos = frozenset(Path(name).stem for name in names)
        haystacks.append(Haystack(f"haystack-{number}", timeline, identities, videos))
    return haystacks


def mark_cuts(haystack: Haystack, cuts: Mapping[str, Sequence[int]]) -> Haystack:
    """Return a haystack that knows where scenes begin: at its sources' own cuts, and where one source ends."""
    found: list[int] = []
    before = 0
    for span in haystack.timeline:
        inside = [cut - span.start for cut in cuts[span.source] if span.start < cut < span.stop]
        found += [before + cut for cut in (0, *inside)]
        before += len(span)
    return dataclasses.replace(haystack, cuts=tuple(found[1:]))  # the first frame is no cut


def _refuse_too_little(
    suite: Suite, sources: Sequence[Source], frames: tuple[int, int], library: Library, skips: Sequence[Skip]
) -> None:
    """Raise UserError naming the frames there are and those needed, `frames`, what was left out, and all remedies."""
    total, needed = frames
    native = sum(library.indexes[source.name].count("native") for source in sources)
    higher = f"raise the sampling rate (rate: native gives {native:,} frames), " if native > total else ""
    left_out = "".join(f"\n  left out: {skip.what}: {skip.why}" for skip in skips)
    usable = "1 usable video has" if len(sources) == 1 else f"{len(sources)} usable videos have"
    count = needed // longest_length(suite)
    wanted = "a haystack of the longest length needs" if count == 1 else f"{count} haystacks of the longest length need"
    fewer = ", or a smaller count" if count > 1 else ""
    raise UserError(
        f"haystacks: {usable} {total:,} frames at rate {suite.sampling.rate}, and {wanted} {needed:,}: add footage, "
        f"{higher}use shorter lengths{fewer}, or set allow_repeat: true{left_out}"
    )


def _scan_haystacks(
    videos: Sequence[tuple[str, Path]], suite: Suite, library: Library, skips: list[Skip]
) -> list[Source]:
    """Return each usable source once, and append the others to `skips`."""
    sources: dict[str, Source] = {}
    for name, path in tracked(videos, "scanning haystacks"):
        if name != name.encode(errors="replace").decode():
            skips.append(Skip(ascii(name), "its name is not UTF-8, which cases need: rename it"))
            continue
        try:
            source = library.add(path, name)
        except UserError as error:  # not a readable video; the message says why
            skips.append(Skip(name, str(error)))
            continue
        corrupt = library.indexes[source.name].corrupt
        if corrupt:
            told = f"{name}: {corrupt} packets are flagged as corrupt; frames near them may show it"
            tqdm.write(printable(told), sys.stderr)
        problem = "it has no frame"
        if source.frames:
            problem = _repeat_problem(Span(source.name, 0, source.frames), library, suite)
        if problem:
            skips.append(Skip(name, problem))
        elif source.name in sources:
            skips.append(Skip(name, f"it is the same file as {source.name}"))
        else:
            sources[source.name] = source
    return list(sources.values())


def _scan_needles(rows: Sequence[NeedleRow], suite: Suite, library: Library, skips: list[Skip]) -> list[NeedleClip]:
    """Return the needles whose clips can be hidden, and append the others to `skips`."""
    assert suite.needles is not None
    root = suite.needles.media_root or str(Path(suite.needles.file or ".").parent)
    clips = []
    for row in tracked(rows, "scanning needles"):
        path = Path(row.needle.path)
        inside = path.is_relative_to(root) and not is_download(path)  # names do not depend on the location of the cache
        name = path.relative_to(root).as_posix() if inside else path.name
        try:
            source = library.add(path, name)
        except UserError as error:  # not a readable video; the message says why
            skips.append(Skip(row.needle.name, str(error)))
            continue
        clip = _clip(row, source, suite, library)
        if isinstance(clip, Skip):
            skips.append(clip)
        else:
            clips.append(clip)
    return clips


def _clip(row: NeedleRow, source: Source, suite: Suite, library: Library) -> NeedleClip | Skip:
    """Return the needle's frames, or why it is left out. Raises UserError if its span exceeds the video."""
    needle = row.needle
    index = library.indexes[source.name]
    start = needle.start or 0.0
    stop = source.seconds if needle.stop is None else needle.stop
    if stop > source.seconds + SLACK_SECONDS or start >= source.seconds:
        raise UserError(
            f"{row.where}: the span {start:g} to {stop:g} s exceeds the end of {source.name}, "
            f"which lasts {source.seconds:.3f} s: correct start and stop"
        )
    limits = suite.needle_seconds
    if limits and not limits[0] <= stop - start <= limits[1]:
        return Skip(needle.name, f"its clip lasts {stop - start:g} s, not {limits[0]:g} to {limits[1]:g} s")
    try:
        first, last = index.span(start, None if stop >= source.seconds else stop, suite.sampling.rate)
    except UserError as error:  # so short a clip has no frame at so low a rate
        return Skip(needle.name, str(error))
    refuse_long_needle(last - first, row.where, needle.name, suite)
    span = Span(source.name, first, last)
    problem = _repeat_problem(span, library, suite)
    if problem:
        return Skip(needle.name, problem)
    cluster = f"{source.identity}/{first}-{last}" if suite.needles and suite.needles.cluster == "scene" else ""
    return NeedleClip(needle, span, source.identity, video=row.video, cluster=cluster)


def _repeat_problem(span: Span, library: Library, suite: Suite) -> str:
    """Return why frames of a span repeat at the suite's rate and how to avoid it; "" if few do or they may."""
    repeats = 0 if suite.allow_repeat else library.repeats((span,))
    if not repeats or repeats < FEW_REPEATS * len(span):
        return ""
    index = library.indexes[span.source]
    native = index.count("native") / library.sources[span.source].seconds  # frames per second
    rates = [str(rate) for rate in range(int(native), 0, -1)] + [str(Fraction(1, n)) for n in (2, 5, 10, 30, 60)]
    without_repeats = (
        rate for rate in rates if index.repeats(0, index.count(rate), rate) < FEW_REPEATS * index.count(rate)
    )
    return (
        f"at rate {suite.sampling.rate} it would show {repeats} frames twice (it has {native:.3f} frames per second): "
        f"use rate: {next(without_repeats, 'native')} or lower, rate: native, or allow_repeat: true"
    )
