"""Load a public benchmark's table as the documents of an lm-eval task.

All settings come through lm-eval's --metadata: the paths of table, videos and subtitles, and how prompts and frames
are made. Nothing is downloaded unless `download` is set, and videos never are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.integrations.benchmarks.frames import Frames
from niah.integrations.benchmarks.item import Item
from niah.integrations.benchmarks.prompts import make_question
from niah.integrations.benchmarks.subtitles import read_subtitles
from niah.integrations.benchmarks.video_case import FrameSettings, video_case
from niah.integrations.case_library import CaseMedia, register_library
from niah.io import read_regular
from niah.prompt import format_prompt
from niah.settings import from_mapping
from niah.suite.downloads import refuse_dataset_card, refuse_outside
from niah.suite.needles import TABLE_FORMATS, VIDEO_SUFFIXES
from niah.terminal import to_stderr
from niah.types import Question, UserError

FINGERPRINT_BYTES = 1 << 16  # read at each end of a video
ALLOW_OUTSIDE = "say --metadata allow_outside=True"


@dataclass(frozen=True)
class BenchmarkSettings:
    """The settings of a benchmark's task, given as --metadata."""

    table: str | None = None  # a parquet, json, jsonl or csv file, or a `datasets` folder
    videos: str | None = None  # the folder of the videos
    subtitles: str | None = None  # the folder of .srt files
    download: bool = False  # let `datasets` fetch the table from the hub
    allow_outside: bool = False  # let names and links lead out of these folders, as those of the hub's own cache do
    missing: str = "refuse"  # or "skip": questions whose video is not there are left out
    prompt: str | None = None  # release, letters or harness; None is the benchmark's own default
    frame_sampling: str = "paper"
    frame_limit: int | None = None
    frame_size: int | None = None  # None: native, which every model resizes as its release does

    def __post_init__(self) -> None:
        if self.missing not in ("refuse", "skip"):
            raise UserError(f"missing is 'refuse' or 'skip', got {self.missing!r}")
        if self.frame_size is not None and self.frame_size < 1:
            raise UserError(f"frame_size is 1 or more, got {self.frame_size}")

    @property
    def screen(self) -> FrameSettings:
        """How every video is shown."""
        return FrameSettings(Frames(self.frame_sampling, self.frame_limit), self.frame_size)

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> BenchmarkSettings:
        """Read the settings from lm-eval's metadata, which also contains the model's arguments."""
        known = {field.name for field in dataclasses.fields(cls)}
        return from_mapping(cls, {key: value for key, value in metadata.items() if key in known}, "--metadata")


@dataclass(frozen=True)
class Benchmark:
    """One public benchmark: the table on the hub, how its rows are read, and its script in ViLaMP's release."""

    name: str
    hub: str
    read: Callable[[Mapping[str, Any], str], Iterable[Item]]
    config: str | None = None  # of the table on the hub
    split: str = "test"
    script: str | None = None  # None: the release has none
    subtitled: bool = False
    check: Callable[[Sequence[Item]], None] | None = None  # of all items together; raises UserError
    file_per_task: bool = False  # published as a folder of JSON files with different columns


class TableLibrary:
    """The questions of one table; a video is scanned when it is asked about."""

    def __init__(self, name: str, screen: FrameSettings, questions: Mapping[str, tuple[Path, Question]]) -> None:
        self.name = name
        self.screen = screen
        self._questions = questions

    def question(self, case: str) -> Question:
        """Return the question of a case."""
        return self._questions[case][1]

    def media(self, case: str) -> CaseMedia:
        """Return a case and its media. Raises MediaError where its video cannot be read."""
        video, question = self._questions[case]
        return video_case(self.name, case, video, question, self.screen)


def load_documents(benchmark: Benchmark, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table as the task's only split, called test. Raises UserError."""
    import datasets  # here: it takes a second, and a model has no need of it

    settings = BenchmarkSettings.of(metadata)
    items = _present(benchmark, settings, _checked(benchmark, list(_items(benchmark, settings))))
    subtitles = _subtitles(benchmark, settings, [item for item, _ in items])
    questions = {
        item.name: (video, make_question(benchmark.script, settings.prompt, item, subtitles.get(item.video, "")))
        for item, video in items
    }
    identity = [settings.frame_sampling, settings.frame_limit, settings.frame_size]
    fingerprints = {video: _fingerprint(video) for _, video in items}
    identity += [
        [name, video.name, fingerprints[video], format_prompt(question)]
        for name, (video, question) in questions.items()
    ]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    library = TableLibrary(f"{benchmark.name}@{digest}", settings.screen, questions)
    register_library(library)
    rows = [
        {**item.document(), "library": library.name, "prompt": format_prompt(questions[item.name][1])}
        for item, _ in items
    ]
    return {"test": datasets.Dataset.from_list(rows)}


def _fingerprint(video: Path) -> str:
    """Return a hash of a file's size, beginning and end, so that lm-eval's cache never answers for another video.

    Hashing hundreds of gigabytes before the first question would take too long.
    """
    size = video.stat().st_size
    with open(video, "rb") as file:
        beginning = file.read(FINGERPRINT_BYTES)
        file.seek(max(0, size - FINGERPRINT_BYTES))
        return hashlib.sha256(b"%d %b %b" % (size, beginning, file.read(FINGERPRINT_BYTES))).hexdigest()


def rows_of(benchmark: Benchmark, settings: BenchmarkSettings) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Yield (where, row) of the table that the settings name, or of the hub's if `download` is set."""
    if settings.table is None and not settings.download:
        raise UserError(
            f"{benchmark.name}: name its table, a file or a folder: --metadata table=PATH; or let `datasets` download "
            f"{benchmark.hub} from the hub: --metadata download=True (the table only, never the videos)"
        )
    name = settings.table or benchmark.hub
    files = sorted(Path(settings.table).glob("*.json"), key=_by_number) if settings.table is not None else []
    if benchmark.file_per_task and files:
        rows = ((file.name, row) for file in files for row in _json_rows(benchmark, file))
    else:
        rows = ((name, row) for row in _loaded(benchmark, settings))
    for number, (place, row) in enumerate(rows, start=1):
        yield f"{place}, row {number}", row


def _by_number(file: Path) -> tuple[int, str]:
    """Return a sort key: 2_needle.json comes before 10_count.json."""
    number = re.match(r"\d+", file.name)
    return int(number[0]) if number else -1, file.name


def _json_rows(benchmark: Benchmark, file: Path) -> list[dict[str, Any]]:
    """Return the rows of a file that holds a JSON list. Raises UserError for any other."""
    try:
        rows = json.loads(read_regular(file))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{benchmark.name}: {file} cannot be read ({error}); download it again") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{benchmark.name}: {file} must hold a list of rows; download it again, or remove it")
    return rows


def _loaded(benchmark: Benchmark, settings: BenchmarkSettings) -> Iterable[dict[str, Any]]:
    """Load a local table, or the hub's. Raises UserError where that cannot be done."""
    import datasets
    from datasets.exceptions import DatasetsError

    table = settings.table
    path = Path(table or "")
    if table is not None and not path.exists():
        raise UserError(
            f"{benchmark.name}: {table} does not exist; name a file ({', '.join(TABLE_FORMATS)}) or a folder"
        )
    try:
        if table is None:
            return datasets.load_dataset(benchmark.hub, benchmark.config, split=benchmark.split)  # type: ignore[return-value]
        if path.is_file():
            if path.suffix not in TABLE_FORMATS:
                raise UserError(f"{benchmark.name}: a table is one of {', '.join(TABLE_FORMATS)}, got {path.name}")
            return datasets.load_dataset(TABLE_FORMATS[path.suffix], data_files=str(path), split="train")  # type: ignore[return-value]
        if not settings.allow_outside:
            refuse_dataset_card(path, benchmark.name, ALLOW_OUTSIDE)
        return datasets.load_dataset(str(path), split=benchmark.split)  # type: ignore[return-value]
    # Not found, no such split, not a table: the library's own message says which.
    except (OSError, ValueError, RuntimeError, DatasetsError, StopIteration) as error:  # StopIteration: an empty file
        reason = error.__cause__ or str(error) or "it has no row"
        raise UserError(f"{benchmark.name}: cannot load {table or benchmark.hub!r}: {reason}") from error


def _items(benchmark: Benchmark, settings: BenchmarkSettings) -> Iterable[Item]:
    """Read every row. Raises UserError naming the row that cannot be read, and for two items of one name."""
    seen: dict[str, str] = {}
    open_ended = 0
    for where, row in rows_of(benchmark, settings):
        try:
            items = list(benchmark.read(row, where))
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # ValueError: no item; others: odd columns
            reason = error if isinstance(error, ValueError) else f"it cannot be read ({error!r})"
            raise UserError(f"{where}: {reason}; fix the row, or remove it") from error
        open_ended += not items
        for item in items:
            if item.name in seen:
                raise UserError(f"{where}: {item.name!r} was already given at {seen[item.name]}; remove one")
            seen[item.name] = where
            yield item
    if open_ended:
        to_stderr(
            f"{benchmark.name}: {open_ended:,} questions of open-ended tasks are left out: they have no options, and a "
            "model of another maker judges them\n"
        )


def _checked(benchmark: Benchmark, items: list[Item]) -> list[Item]:
    """Return the items. Raises UserError where there is none, and where together they are not the benchmark's."""
    if not items:
        raise UserError(f"{benchmark.name}: the table has no question; name another with --metadata table=PATH")
    if benchmark.check is not None:
        benchmark.check(items)
    return items


def _present(benchmark: Benchmark, settings: BenchmarkSettings, items: list[Item]) -> list[tuple[Item, Path]]:
    """Return the items whose video exists. Raises UserError where one is missing, unless `missing` is "skip"."""
    if settings.videos is None or not Path(settings.videos).is_dir():
        raise UserError(
            f"{benchmark.name}: --metadata videos=FOLDER names the folder of the videos, got {settings.videos!r}"
        )
    root = Path(settings.videos)
    places = [(item, find_video(root, item.video, settings.allow_outside)) for item in items]
    found = [(item, video) for item, video in places if video is not None]
    missing = sorted({item.video for item in items} - {item.video for item, _ in found})
    if not found or (missing and settings.missing == "refuse"):
        raise UserError(
            f"{benchmark.name}: {len(missing)} videos of {len({item.video for item in items})} are not in {root}, the "
            f"first is {missing[:1]}; put them there, or leave their questions out: --metadata missing=skip"
        )
    return found


def find_video(root: Path, video: str, allow_outside: bool = False) -> Path | None:
    """Return the file of a video, whose suffix may be missing. Raises UserError for one outside `root`."""
    for guess in (root / video, *(root / f"{video}{suffix}" for suffix in VIDEO_SUFFIXES)):
        if not allow_outside:
            refuse_outside(guess, root, f"video {video!r}", ALLOW_OUTSIDE)
        if guess.is_file():
            return guess
    return None


def _subtitles(benchmark: Benchmark, settings: BenchmarkSettings, items: Sequence[Item]) -> dict[str, str]:
    """Return the subtitles of each video that has any, and report which videos are asked about without."""
    if not benchmark.subtitled:
        return {}
    if settings.subtitles is None or not Path(settings.subtitles).is_dir():
        given = settings.subtitles
        raise UserError(f"{benchmark.name}: --metadata subtitles=FOLDER names the .srt files, got {given!r}")
    root = Path(settings.subtitles)
    found: dict[str, str] = {}
    without: dict[str, list[str]] = {"have no .srt file": [], "have one that holds no words": []}
    for video in dict.fromkeys(item.video for item in items):
        file = root / f"{video}.srt"
        if not settings.allow_outside:
            refuse_outside(file, root, f"subtitles of {video!r}", ALLOW_OUTSIDE)
        text = read_subtitles(file) if file.is_file() else ""
        if text:
            found[video] = text
        else:
            without["have one that holds no words" if file.is_file() else "have no .srt file"].append(video)
    count = len({item.video for item in items})
    for why, videos in without.items():
        if videos:
            named = ", ".join(videos[:5]) + (", ..." if len(videos) > 5 else "")
            told = f"{len(videos):,} of {count:,} videos {why} and are asked about without subtitles: {named}"
            to_stderr(f"{benchmark.name}: {told}\n")
    return found
