"""Read the user's needles from JSON lines or a `datasets` table, which may have Video-MME's columns.

Each row names a clip and a question that only this clip answers. An invalid row is an error that
names its line. Videos are only located here; they are scanned later.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.io import read_json_lines
from niah.settings import is_number, unknown_name
from niah.suite.answers import read_answer, read_options
from niah.suite.config import Needles
from niah.suite.downloads import download, file_name, is_address, refuse_dataset_card, refuse_outside
from niah.suite.other_formats import refuse_other_formats
from niah.types import ALL_TYPES, Needle, UserError

COLUMNS = ("video", "start", "stop", "question", "options", "answer", "type", "name", "cue")
VIDEO_MME = ("video_id", "videoID", "question_id", "task_type", "duration", "domain", "sub_category", "url")
OTHER_NAMES = {  # what other benchmarks call these columns
    **dict.fromkeys(("video_path", "video_file", "videopath", "path", "file", "filename", "clip"), "video"),
    **dict.fromkeys(("start_time", "start_seconds", "begin", "from"), "start"),
    **dict.fromkeys(("stop_time", "end", "end_time", "end_seconds", "to"), "stop"),
    **dict.fromkeys(("query", "prompt", "q"), "question"),
    **dict.fromkeys(("choices", "candidates", "answers", "option"), "options"),
    **dict.fromkeys(("correct", "correct_answer", "correct_choice", "label", "gt", "ground_truth"), "answer"),
    **dict.fromkeys(("question_type", "category"), "type"),
    **dict.fromkeys(("id", "uid"), "name"),
}
VIDEO_SUFFIXES = (
    ".mp4",
    ".mkv",
    ".webm",
    ".avi",
    ".mov",
    ".m4v",
    ".wmv",
    ".mpg",
    ".mpeg",
    ".ts",
    ".flv",
    ".ogv",
    ".3gp",
    ".m2ts",
    ".mts",
    ".vob",
    ".mxf",
    ".y4m",
    ".asf",
    ".m2v",
    ".3g2",
    ".f4v",
    ".divx",
    ".ivf",
    ".nut",
)
TABLE_FORMATS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}


@dataclass(frozen=True)
class NeedleRow:
    """A needle, the line it was read from, and the id of its video in the data set ("" if it has none)."""

    needle: Needle
    where: str
    video: str = ""


def read_needles(settings: Needles, folder: Path) -> tuple[NeedleRow, ...]:
    """Return every needle of a suite; relative paths start at `folder`.

    Raises UserError naming the file and the line.
    """
    root, rows = _rows(settings, folder)
    needles = tuple(_parse_row(row, where, root, settings) for where, row in rows)
    if not needles:
        raise UserError(f"needles: {settings.file or settings.dataset} has no needle; give one JSON line for each")
    _refuse_same_names(needles)
    return needles


def find_problems(settings: Needles, folder: Path) -> tuple[int, list[str]]:
    """Return how many needles there are, and the error message of each that cannot be read."""
    root, rows = _rows(settings, folder)
    problems = []
    for where, row in rows:
        try:
            _parse_row(row, where, root, settings)
        except UserError as error:
            problems.append(str(error))
    return len(rows), problems


def _rows(settings: Needles, folder: Path) -> tuple[Path, list[tuple[str, Mapping[str, Any]]]]:
    """Return the media root, and (where, row) of every needle."""
    if settings.file is None and settings.dataset is None:
        raise UserError("needles: name file: (JSON lines) or dataset: (a `datasets` table); neither is given")
    if settings.file is not None and settings.dataset is not None:
        raise UserError("needles: name either file: (JSON lines) or dataset: (a `datasets` table), not both")
    if settings.file is not None:
        path = folder / settings.file
        root = path.parent
        rows = list(_json_lines(path))
    else:
        if not settings.allow_outside:
            refuse_dataset_card(folder / (settings.dataset or ""), f"needles: dataset {settings.dataset!r}")
        root = folder
        rows = list(_table(settings.dataset or "", settings.split, folder))
    if settings.media_root is not None:
        root = folder / settings.media_root
    if not root.is_dir():
        raise UserError(f"needles: media_root {root} is not a folder; name the folder of the videos")
    return root, rows


def _json_lines(path: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Yield (where, row) for each line that is not blank."""
    if not path.exists():
        raise UserError(f"needles: {path} does not exist; name a file of JSON lines that does")
    refuse_other_formats(path)
    remedy = "each line is one needle, a JSON object in UTF-8 (a table belongs under dataset:)"
    for number, row in read_json_lines(path, _json_object, remedy):
        yield f"{path}, line {number}", row


def _json_object(row: Any) -> Mapping[str, Any]:
    """Return a decoded line if it is an object of complete characters. Raises UserError."""
    if not isinstance(row, dict):
        raise UserError(f'expected {{"video": ..., "question": ..., ...}}, got {str(row)[:60]}')
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # a lone surrogate, which JSON can encode and UTF-8 cannot
        raise UserError(f"half a character, {error.object[error.start]!r}; remove it") from error
    return row


def _table(name: str, split: str, folder: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Yield (where, row) of a table: a local file, a local folder, or a data set on the hub."""
    import datasets  # here: importing it takes seconds, and most suites have no table
    from datasets.exceptions import DatasetsError

    path = folder / name
    if path.suffix in TABLE_FORMATS and not path.is_file():
        raise UserError(f"needles: dataset {path} does not exist; name a table that does, a folder, or a hub name")
    try:
        if path.is_file():
            if path.suffix not in TABLE_FORMATS:
                raise UserError(f"needles: dataset {path} must be a parquet, json or csv file")
            table = datasets.load_dataset(TABLE_FORMATS[path.suffix], data_files=str(path), split="train")
        elif (path / "state.json").is_file():
            table = datasets.load_from_disk(str(path))
        else:
            table = datasets.load_dataset(str(path) if path.is_dir() else name, split=split)
    # Not found, not reachable, no such split, not a table, a script: the library's message says which.
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        cause = error.__cause__ or error
        raise UserError(f"needles: cannot load dataset {name!r}, split {split!r}: {cause}{_splits(cause)}") from error
    for number, row in enumerate(table, start=1):
        assert isinstance(row, dict)
        yield f"{name}, row {number}", row


def _parse_row(row: Mapping[str, Any], where: str, root: Path, settings: Needles) -> NeedleRow:
    """Return the needle of one row. Raises UserError if the row is invalid or its video is not found.

    Args:
        row: The columns.
        where: The file and the line, which start every message.
        root: The folder of the videos.
        settings: What the suite allows.
    """
    for column in row:
        if column not in COLUMNS + VIDEO_MME:
            raise UserError(f"{where}: {_unknown_column(column)}")
    question = _text(row, "question", where)
    options = read_options(row.get("options"), where)
    start = _seconds(row, "start", where)
    stop = _seconds(row, "stop", where)
    if stop is not None and stop <= (start or 0.0):
        raise UserError(f"{where}: stop ({stop:g} s) must be after start ({start or 0.0:g} s)")
    video = _video(row, where)
    path = _find_video(video, root, where, settings)
    needle = Needle(
        name=str(row.get("name") or row.get("question_id") or _default_name(video, start, stop, question)),
        path=str(path),
        question=question,
        options=options,
        answer=read_answer(row.get("answer"), options, where, settings.answer_base),
        type=_type(row, where),
        start=start,
        stop=stop,
        cue="" if row.get("cue") is None else _text(row, "cue", where),
    )
    return NeedleRow(needle, where, str(row.get("videoID") or ""))


def _splits(cause: BaseException) -> str:
    """Return the key to add where a table has other splits than the one asked for, as the library's message lists."""
    found = re.search(r"Should be one of \[(.*?)\]|Unknown split .*?\[(.*?)\]", str(cause))
    names = [name.strip(" '\"") for name in (found.group(1) or found.group(2)).split(",")] if found else []
    return f". Add one under needles: {' or '.join(f'split: {name}' for name in names)}" if names else ""


def _unknown_column(column: str) -> str:
    """Return the message for a column that is not read: the name that this benchmark gives to what others call it."""
    usual = OTHER_NAMES.get(column.lower())
    if usual is None:
        return unknown_name("column", column, COLUMNS + VIDEO_MME)
    return f"column {column!r} is called {usual!r} here; rename it. Known: {', '.join(COLUMNS)}"


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    """Return a column that must contain text."""
    value = row.get(column)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: {column} must be text, got {value!r}")
    return value.strip()


def _type(row: Mapping[str, Any], where: str) -> str:
    """Return the question's type, which is optional."""
    name = str(row.get("type") or row.get("task_type") or "unspecified")
    if name == ALL_TYPES:
        raise UserError(f"{where}: type {name!r} is reserved for the table row of all types; use another type")
    return name


def _seconds(row: Mapping[str, Any], column: str, where: str) -> float | None:
    """Return a time in seconds; None if it is missing or NaN, an empty cell of a table."""
    value = row.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not is_number(value) or value < 0:
        raise UserError(f"{where}: {column} must be seconds from the video's first frame, got {value!r}")
    return float(value)


def _video(row: Mapping[str, Any], where: str) -> str:
    """Return the path, name or address of the row's video."""
    value = row.get("video") or row.get("videoID")
    if not isinstance(value, str) or not value or "\0" in value:
        raise UserError(f"{where}: video (or videoID) must name a file, got {value!r}")
    return value


def _find_video(video: str, root: Path, where: str, settings: Needles) -> Path:
    """Return the file of a video, whose suffix may be missing; an address is downloaded if the suite allows it."""
    if is_address(video):
        return download(video, settings.downloads, where)
    path = root / video
    for candidate in (path, *(Path(f"{path}{suffix}") for suffix in VIDEO_SUFFIXES)):
        if not settings.allow_outside:
            refuse_outside(candidate, root, f"{where}: video {video!r}")
        if candidate.is_file():
            return candidate
    folder = path.parent
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    wanted = {_spelling(path.name + suffix) for suffix in ("", *VIDEO_SUFFIXES)}
    same = [name for name in names if _spelling(name) in wanted]
    if len(same) == 1 and (folder / same[0]).is_file():
        if not settings.allow_outside:
            refuse_outside(folder / same[0], root, f"{where}: video {video!r}")
        return folder / same[0]
    hint = unknown_name("file", path.name, names[:20]) if names else f"{folder} has no files."
    raise UserError(f"{where}: video {video!r} is not in {root} (media_root): {hint}")


def _spelling(name: str) -> str:
    """Return a file's name with one spelling of its characters, and its suffix in small letters.

    A disk may hold "naïve" composed or decomposed, whichever a table has, and "clip.MP4" for "clip.mp4".
    """
    name = unicodedata.normalize("NFC", name)
    return str(Path(name).with_suffix(Path(name).suffix.lower())) if Path(name).suffix else name


def _default_name(video: str, start: float | None, stop: float | None, question: str) -> str:
    """Return a name that depends only on the needle, so that it does not change when lines are added or moved."""
    digest = hashlib.sha256(json.dumps([video, start, stop, question]).encode()).hexdigest()
    return f"{Path(file_name(video)).stem}-{digest[:6]}"


def _refuse_same_names(rows: Iterable[NeedleRow]) -> None:
    """Raise UserError if two needles have the same name, which would give their cases the same ids."""
    seen: dict[str, str] = {}
    for row in rows:
        if row.needle.name in seen:
            raise UserError(
                f"{row.where}: needle {row.needle.name!r} was already given at {seen[row.needle.name]}; "
                "remove one, or give them different names"
            )
        seen[row.needle.name] = row.where
