"""The user's own videos: what to measure, what to leave out and why, and how haystacks are laid end to end."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from tqdm import tqdm

from niah.suite.cases import longest_length, refuse_long_needle
from niah.suite.config import Haystacks, Suite
from niah.suite.downloads import is_download, refuse_outside
from niah.suite.folder import Skip
from niah.suite.library import Haystack, Library, NeedleClip, cut_timeline
from niah.suite.needles import VIDEO_SUFFIXES, NeedleRow, read_needles
from niah.types import Source, Span, UserError

SLACK_SECONDS = 0.1  # by which a written stop may lie beyond the end: people round


def resolve(suite: Suite, folder: Path) -> Suite:
    """Return the suite with absolute paths, so that its cases can be generated again from anywhere."""
    folder = folder.resolve()

    def absolute(path: str | None) -> str | None:
        return None if path is None else os.path.normpath(folder / path)

    haystacks, needles = suite.haystacks, suite.needles
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
    """Measure the user's haystacks and needles; `suite` is resolved. Broken files are left out, with a reason."""
    assert suite.haystacks is not None and suite.needles is not None
    rows = read_needles(suite.needles, Path("."))  # before anything is measured: it is quick to find fault with
    videos = find_videos(suite.haystacks)
    skips: list[Skip] = []
    sources = _measure_haystacks(videos, suite, library, skips)
    haystacks = lay_end_to_end(suite, sources, library, skips)
    if suite.version > 1 and not suite.depths:
        haystacks = _with_cuts(haystacks, library)
    clips = _measure_needles(rows, suite, library, skips)
    return haystacks, clips, skips


def find_videos(haystacks: Haystacks) -> list[tuple[str, Path]]:
    """Return (name, path) of every haystack video: the folder's, at any depth, then the listed files."""
    found = [(Path(name).name, Path(name)) for name in haystacks.files]
    for name, path in found:
        if not path.is_file():
            raise UserError(f"haystacks: {path} does not exist; name a file that does ({name} is in files:)")
    if haystacks.folder is not None:
        inside = _walk(Path(haystacks.folder))
        for name, path in () if haystacks.allow_outside else inside:
            refuse_outside(path, Path(haystacks.folder), f"haystacks: {name}")
        found = inside + found
    if not found:
        raise UserError("haystacks: name a folder: or files: to hide the needles in")
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
            f"haystacks: folder {folder} holds no video file ({' '.join(VIDEO_SUFFIXES)}); name one that does"
        )
    return sorted((path.relative_to(folder).as_posix(), path) for path in paths)


def refuse_folder(error: OSError) -> None:
    """Refuse a folder that cannot be listed: footage left out in silence would change the cases."""
    raise UserError(
        f"haystacks: cannot list {error.filename} ({error.strerror}); name a folder that you may read"
    ) from error


def lay_end_to_end(
    suite: Suite, sources: Sequence[Source], library: Library, skips: Sequence[Skip] = ()
) -> list[Haystack]:
    """Cut the sources, in an order drawn by name, into haystacks of the longest length.

    With `allow_repeat` the footage starts over where it ends. Raises UserError
    saying how much there is, how much is wanted, and which videos were left out.
    """
    assert suite.haystacks is not None
    frames = longest_length(suite)
    ordered = sorted(sources, key=lambda source: random.Random(f"{suite.name}/{source.name}/order").random())
    total = sum(source.frames for source in ordered)
    count = suite.haystacks.count or max(total // frames, 1)
    if total < count * frames and not (suite.allow_repeat and total):
        _refuse_little(suite, ordered, (total, count * frames), library, skips)
    footage = [Span(source.name, 0, source.frames) for source in ordered]
    endless = footage * -(-count * frames // total)
    haystacks = []
    for number in range(count):
        timeline = cut_timeline(endless, number * frames, (number + 1) * frames)
        names = {span.source for span in timeline}
        identities = frozenset(library.sources[name].identity for name in names)
        haystacks.append(Haystack(f"haystack-{number}", timeline, identities, frozenset(Path(n).stem for n in names)))
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


def _with_cuts(haystacks: Sequence[Haystack], library: Library) -> list[Haystack]:
    """Find the scene cuts of every source that is shown."""
    from niah.media.cuts import find_cuts  # here, so that reading a generated suite decodes nothing

    names = dict.fromkeys(span.source for haystack in haystacks for span in haystack.timeline)
    frames = sum(library.sources[name].frames for name in names)
    with tqdm(total=frames, desc="finding scene cuts", unit="frame", leave=False, disable=None) as bar:
        cuts = {name: find_cuts(library.indexes[name], library.rate, bar.update) for name in names}
    return [mark_cuts(haystack, cuts) for haystack in haystacks]


def _refuse_little(
    suite: Suite, sources: Sequence[Source], frames: tuple[int, int], library: Library, skips: Sequence[Skip]
) -> None:
    """Say how many frames there are, how many are wanted, what was left out and why, and every way out."""
    total, wanted = frames
    native = sum(library.indexes[source.name].count("native") for source in sources)
    higher = f"raise the sampling rate (native gives {native:,} frames), " if native > total else ""
    out = "".join(f"\n  left out: {skip.what}: {skip.why}" for skip in skips)
    raise UserError(
        f"haystacks: {len(sources)} usable videos hold {total:,} frames at rate {suite.sampling.rate}, and "
        f"{wanted // longest_length(suite)} haystack(s) of the longest length want {wanted:,}: add footage, {higher}"
        f"use shorter lengths or a smaller count, or set allow_repeat: true{out}"
    )


def _measure_haystacks(
    videos: Sequence[tuple[str, Path]], suite: Suite, library: Library, skips: list[Skip]
) -> list[Source]:
    """Return the usable sources, each once."""
    sources: dict[str, Source] = {}
    for name, path in tqdm(videos, desc="measuring haystacks", leave=False, disable=None):
        if name != name.encode(errors="replace").decode():
            skips.append(Skip(ascii(name), "its name is not UTF-8, and cases name their files: rename it"))
            continue
        try:
            source = library.add(path, name)
        except UserError as error:  # not readable video; the reader says what is wrong with it
            skips.append(Skip(name, str(error)))
            continue
        why = _repeats(Span(source.name, 0, source.frames), library, suite) if source.frames else "it holds no frame"
        if why:
            skips.append(Skip(name, why))
        elif source.name in sources:
            skips.append(Skip(name, f"it is the same file as {source.name}"))
        else:
            sources[source.name] = source
    return list(sources.values())


def _measure_needles(rows: Sequence[NeedleRow], suite: Suite, library: Library, skips: list[Skip]) -> list[NeedleClip]:
    """Return the needles whose clips can be hidden."""
    assert suite.needles is not None
    root = suite.needles.media_root or str(Path(suite.needles.file or ".").parent)
    clips = []
    for row in tqdm(rows, desc="measuring needles", leave=False, disable=None):
        path = Path(row.needle.path)
        inside = path.is_relative_to(root) and not is_download(path)  # wherever the cache lies, names are the same
        name = path.relative_to(root).as_posix() if inside else path.name
        try:
            source = library.add(path, name)
        except UserError as error:  # not readable video; the reader says what is wrong with it
            skips.append(Skip(row.needle.name, str(error)))
            continue
        clip = _clip(row, source, suite, library)
        if isinstance(clip, Skip):
            skips.append(clip)
        else:
            clips.append(clip)
    return clips


def _clip(row: NeedleRow, source: Source, suite: Suite, library: Library) -> NeedleClip | Skip:
    """Return the needle's frames, or why it is left out. Raises UserError where its span lies outside the video."""
    needle, index = row.needle, library.indexes[source.name]
    start, stop = needle.start or 0.0, source.seconds if needle.stop is None else needle.stop
    if stop > source.seconds + SLACK_SECONDS or start >= source.seconds:
        raise UserError(
            f"{row.where}: the span {start:g} to {stop:g} s lies beyond the end of {source.name}, "
            f"which lasts {source.seconds:.3f} s: correct start and stop"
        )
    wanted = suite.needle_seconds
    if wanted and not wanted[0] <= stop - start <= wanted[1]:
        return Skip(needle.name, f"its clip lasts {stop - start:g} s, wanted {wanted[0]:g} to {wanted[1]:g} s")
    try:
        first, last = index.span(start, None if stop >= source.seconds else stop, suite.sampling.rate)
    except UserError as error:  # no frame is shown in so short a clip at so low a rate
        return Skip(needle.name, str(error))
    refuse_long_needle(last - first, row.where, needle.name, suite)
    span = Span(source.name, first, last)
    why = _repeats(span, library, suite)
    return Skip(needle.name, why) if why else NeedleClip(needle, span, source.identity, video=row.video)


def _repeats(span: Span, library: Library, suite: Suite) -> str:
    """Return why a source may not be used at this rate, or "": frames repeat only where the suite allows it."""
    repeats = 0 if suite.allow_repeat else library.repeats((span,))
    if not repeats:
        return ""
    index, source = library.indexes[span.source], library.sources[span.source]
    own = index.count("native") / source.seconds
    rates = [str(rate) for rate in range(int(own), 0, -1)] + [str(Fraction(1, n)) for n in (2, 5, 10, 30, 60)]
    fits = (rate for rate in rates if not index.repeats(0, index.count(rate), rate))
    return (
        f"at rate {suite.sampling.rate} it would show {repeats} frames twice (it has {own:.3f} frames per second): "
        f"use rate: {next(fits, 'native')} or lower, rate: native, or allow_repeat: true"
    )
