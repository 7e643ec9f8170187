"""Find the videos of some runs on this machine.

A run's folder contains no path, so that it can be shared; the suite says where the videos are. Sources are matched by
identity and not by hash, because the bytes of drawn footage differ between builds of the encoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from niah.analysis.load import RunData
from niah.io import cache_folder, read_json_lines, stored_path
from niah.settings import read_yaml
from niah.suite import user_media
from niah.suite.cases import longest_length
from niah.suite.config import Suite, is_built_in, load_suite
from niah.suite.folder import cases_sha256, read_suite
from niah.suite.known_places import recall_suite
from niah.suite.library import Library
from niah.types import Sampling, UserError

MAX_HEIGHT = 96  # of a picture, in pixels


@dataclass(frozen=True)
class SourceVideo:
    """One source, sampled as in the cases of its suite; `path` is None where it was not found."""

    name: str
    identity: str
    sampling: Sampling  # as the model saw it, but smaller
    path: Path | None
    crop: tuple[int, ...] = ()


SourceVideos = Mapping[tuple[str, str], SourceVideo]  # by suite and source name


def find_videos(runs: Sequence[RunData], suite: str | None = None) -> tuple[SourceVideos, list[str]]:
    """Return the sources of all runs, and notes on what was not found and why.

    `suite` is the suite file the user named. Raises UserError where its videos are missing.
    """
    videos: dict[tuple[str, str], SourceVideo] = {}
    notes: list[str] = []
    for run in runs:
        listed = _listed_sources(run)
        if isinstance(listed, str):
            notes.append(listed)
            continue
        for video in listed:
            key = run.suite, video.name
            if videos.setdefault(key, video) != video:
                raise UserError(
                    f"two runs of suite {run.suite!r} use the name {video.name!r} for different videos: "
                    "write a report of each run, or leave the pictures out with --no_thumbnails"
                )
    for name in dict.fromkeys(name for name, _ in videos):
        paths = _paths([run for run in runs if run.suite == name], suite)
        if isinstance(paths, str):
            notes.append(paths)
            continue
        for key in [key for key in videos if key[0] == name]:
            videos[key] = dataclasses.replace(videos[key], path=paths.get(videos[key].identity))
        notes += _not_found(name, [video for key, video in videos.items() if key[0] == name])
    return videos, list(dict.fromkeys(notes))


def _listed_sources(run: RunData) -> list[SourceVideo] | str:
    """Return the sources that a run's folder lists, or a note on why it lists none."""
    if not (run.folder / "suite.yaml").is_file() or stored_path(run.folder / "sources.jsonl") is None:
        return f"no pictures of {run.model}: its folder {run.folder.name} has no suite.yaml or no sources.jsonl"
    sampling = read_yaml(Suite, run.folder / "suite.yaml").sampling
    height = min(sampling.height, MAX_HEIGHT)
    width = max(1, round(sampling.width * height / sampling.height))
    fit = "pad" if sampling.of_case else sampling.fit
    small = dataclasses.replace(sampling, width=width, height=height, fit=fit)
    return [SourceVideo(name, identity, small, None, crop) for name, identity, crop in _sources(run.folder)]


def _sources(folder: Path) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return name, identity and crop of each source. Raises UserError where a line cannot be read."""
    remedy = "restore the file, or leave the pictures out with --no_thumbnails"

    def parse(row: dict) -> tuple[str, str, tuple[int, ...]]:
        return row["name"], row["identity"], tuple(row.get("crop", ()))

    return [source for _, source in read_json_lines(folder / "sources.jsonl", parse, remedy)]


def _paths(runs: Sequence[RunData], suite: str | None) -> Mapping[str, Path] | str:
    """Return the paths of the videos of one suite's runs by identity, or a note on why they are not known."""
    files = [run.folder / "suite.yaml" for run in runs]
    own_suite = max((read_yaml(Suite, file) for file in files if file.is_file()), key=longest_length)
    if own_suite.footage is not None:
        from niah.suite.footage.build import build

        # A longer haystack begins as a shorter one does, so the longest run's shows the frames of all.
        rate = own_suite.sampling.rate
        drawn = (own_suite.version, own_suite.decoys or 0, own_suite.plans_partners)
        built = build(own_suite.footage, longest_length(own_suite), rate, cache_folder(), *drawn)
        files = [*built.haystacks, *(file for found in built.decoys.values() for file in found)]
        needles = {str(needle.identity): Path(needle.path) for needle in built.needles}
        return {**needles, **{file.identity: Path(file.path) for file in files}}
    place = suite or _remembered(runs) or runs[0].suite
    # A run may come from a stranger, and loading a suite reads and downloads what it names.
    if suite is None and place == runs[0].suite and not is_built_in(place):
        return (
            f"no pictures of suite {place!r}: it does not ship and was not asked on this machine. Name its file with "
            "--suite"
        )
    try:
        return _own_paths(place)
    except UserError as error:
        if suite is not None:
            raise
        return (
            f"no pictures of suite {runs[0].suite!r}: its videos were not found ({error}). Name its file with --suite"
        )


def _remembered(runs: Sequence[RunData]) -> str | None:
    """Return where the suite of some runs lies, if one of them was made on this machine."""
    places = (recall_suite(cases_sha256(run.cases)) for run in runs)
    return next((place for place in places if place is not None), None)


def _own_paths(name: str) -> dict[str, Path]:
    """Return the paths of a user's own videos. Raises UserError where one is missing."""
    from niah.media.scan_apart import ScanProcess

    if Path(name).is_dir():
        return {source.identity: Path(source.path) for source in read_suite(Path(name)).sources.values()}
    suite, folder = load_suite(name)
    crops = {crop.video: crop.pixels for crop in suite.crops or ()}
    with ScanProcess() as apart:
        library = Library(suite.sampling.rate, apart.scan, crops=crops)
        user_media.load(user_media.resolve(suite, folder), library)
    return {source.identity: Path(source.path) for source in library.sources.values()}


def _not_found(suite: str, videos: Iterable[SourceVideo]) -> list[str]:
    """Return a note on the sources that were not among the videos found."""
    names = [video.name for video in videos if video.path is None]
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"no pictures of {', '.join(names[:3])}{more}: the suite {suite!r} found here has other videos"]
