"""Generate the cases of a suite: find and scan the footage, place the needles, report what was left out."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from niah.io import cache_folder
from niah.suite import user_media, version1
from niah.suite.cases import longest_length, make_cases, refuse_long_needle
from niah.suite.config import Footage, Suite, load_suite
from niah.suite.design import PAPER_LENGTHS
from niah.suite.folder import GeneratedSuite, NearDuplicate, Skip, apply_needle_filter, read_suite
from niah.suite.library import Haystack, Library, NeedleClip
from niah.suite.near_duplicates import SIDE, near_duplicates
from niah.suite.scan_progress import tracked
from niah.terminal import to_stderr
from niah.types import Span, UserError

if TYPE_CHECKING:
    from niah.media.scan_many import ScanProcesses


def generate(suite: Suite, folder: Path) -> GeneratedSuite:
    """Return the cases of a suite whose relative paths start at `folder`.

    Built-in footage is drawn on first use, in $VIDEONIAH_CACHE or ~/.cache/videoniah. Files and
    needles that cannot be used are left out, listed in `skipped` and reported on stderr. Raises
    UserError if the suite cannot be generated.
    """
    # Here, so that reading a generated suite decodes nothing.
    from niah.media.scan import scan
    from niah.media.scan_many import ScanProcesses

    suite = user_media.resolve(suite, Path(folder))
    crops = {crop.video: crop.pixels for crop in suite.crops or ()}
    found: tuple[NearDuplicate, ...] = ()
    if suite.footage is not None:
        library = Library(suite.sampling.rate, scan, crops=crops)
        haystacks, clips, skips = _built_in(suite, suite.footage, library)
    else:
        with ScanProcesses() as apart:  # files of others
            library = Library(suite.sampling.rate, apart.scan, apart.announce, crops=crops)
            haystacks, clips, skips = user_media.load(suite, library)
            if suite.version > 1 and not suite.depths:
                haystacks = _with_cuts(haystacks, library, apart)
            look = partial(_small_frames, library, apart)
            found = near_duplicates(haystacks, clips, library, cache_folder() / "hashes", look)
    return assemble(suite, haystacks, clips, library, skips, found)


def _with_cuts(haystacks: Sequence[Haystack], library: Library, apart: ScanProcesses) -> list[Haystack]:
    """Find the scene cuts of every source that is shown."""
    shown = {span.source: library.sources[span.source] for haystack in haystacks for span in haystack.timeline}
    found = {
        name: apart.call(source.path, "niah.media.cuts:find_cuts", source.crop, library.rate)
        for name, source in shown.items()
    }
    cuts = {name: found[name].result() for name in tracked(list(shown), "finding scene cuts", "source")}
    return [user_media.mark_cuts(haystack, cuts) for haystack in haystacks]


def _small_frames(library: Library, apart: ScanProcesses, span: Span, numbers: Sequence[int]) -> np.ndarray:
    """Return frames of a span's source, (frames, SIDE, SIDE, 3)."""
    source = library.sources[span.source]
    target = "niah.suite.near_duplicates:small_frames"
    packed = apart.call(source.path, target, source.to_json(), library.rate, list(numbers)).result()
    return np.frombuffer(base64.b64decode(packed), np.uint8).reshape(-1, SIDE, SIDE, 3)


def read_or_generate(suite: str) -> GeneratedSuite:
    """Return the suite of a folder that holds a generated one, or generate it by its name or its YAML file."""
    return read_suite(Path(suite)) if Path(suite).is_dir() else generate(*load_suite(suite))


def assemble(
    suite: Suite,
    haystacks: Sequence[Haystack],
    clips: Sequence[NeedleClip],
    library: Library,
    skips: Sequence[Skip] = (),
    near_duplicates: tuple[NearDuplicate, ...] = (),
) -> GeneratedSuite:
    """Return the cases of scanned needles and haystacks, and report on stderr what was left out.

    Args:
        suite: The settings.
        haystacks: Footage, each at least as long as the longest case.
        clips: The needles that can be hidden.
        library: The scanned files that haystacks and needles come from.
        skips: Files and needles that were already left out.
        near_duplicates: Pairs of needles and footage that look alike.
    """
    if suite.design == "paper" and suite.lengths != PAPER_LENGTHS:
        raise UserError(f"suite {suite.name!r}: the paper design has its own lengths; remove lengths:")
    rules = version1.make_cases if suite.version == 1 else make_cases
    cases, unplaced = rules(suite, haystacks, clips, library)
    used = {span.source for case in cases for span in case.timeline}
    unfiltered = GeneratedSuite(
        suite=suite,
        cases=tuple(cases),
        sources={name: source for name, source in library.sources.items() if name in used},
        skipped=(*skips, *unplaced),
        near_duplicates=near_duplicates,
    )
    generated = apply_needle_filter(unfiltered)
    _report(generated)
    if not generated.cases:
        raise UserError(
            f"suite {suite.name!r} has no case: {len(generated.skipped)} files and needles were left out, for the "
            "reasons above; fix those first"
        )
    return generated


def _built_in(suite: Suite, footage: Footage, library: Library) -> tuple[list[Haystack], list[NeedleClip], list[Skip]]:
    """Draw the built-in footage and scan it like any other."""
    from niah.suite.footage.build import build

    frames = longest_length(suite)
    drawn = (suite.version, suite.decoys or 0, suite.plans_partners)
    built = build(footage, frames, suite.sampling.rate, cache_folder(), *drawn)
    haystacks = []
    clips = []
    for name, path, identity, _, cuts in tracked(built.haystacks, "scanning haystacks"):
        source = library.add(Path(path), name, identity)
        if source.frames < frames:
            raise UserError(f"{path} has {source.frames} of {frames} frames: delete it and generate the suite again")
        timeline = (Span(source.name, 0, frames),)
        haystacks.append(Haystack(name, timeline, frozenset({source.identity}), cuts=cuts))
    for needle in tracked(built.needles, "scanning needles"):
        source = library.add(Path(needle.path), needle.name, needle.identity)
        refuse_long_needle(source.frames, "built-in footage", needle.name, suite)
        decoys = [library.add(Path(path), name, identity) for path, name, identity in built.decoys[needle.name]]
        clips.append(
            NeedleClip(
                needle,
                Span(source.name, 0, source.frames),
                source.identity,
                target=built.targets[needle.name],
                decoys=tuple(Span(decoy.name, 0, decoy.frames) for decoy in decoys),
                partner=built.partners.get(needle.name, ""),
            )
        )
    return haystacks, clips, []


def _report(generated: GeneratedSuite) -> None:
    """Report on stderr what was left out, what looks alike, and positions that a sampler may always hit or miss."""
    suite = generated.suite
    if suite.depths:
        how = "follows version 1 of the rules" if suite.version == 1 else "fixes its depths"
        to_stderr(
            f"note: suite {suite.name!r} {how}, and fixed depths alias with uniform sampling: a model that samples "
            "frames evenly sees far more or far fewer needles than it should; remove depths: and set version: 2\n"
        )
    for skip in generated.skipped:
        to_stderr(f"skipped {skip.what}: {skip.why}\n")
    for pair in generated.near_duplicates:
        to_stderr(
            f"near-duplicate: frame {pair.first_frame} of {pair.first} and frame {pair.second_frame} of {pair.second} "
            f"({pair.distance} of 64 bits differ)\n"
        )
