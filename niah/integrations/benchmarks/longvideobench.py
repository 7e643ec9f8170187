"""LongVideoBench, its validation split, without subtitles.

Two schemas: lvb_val.json (`candidates`) and the table of longvideobench/LongVideoBench (`option0` to `option4`,
"N/A" where there is none). Both have `correct_choice` as a number and `duration_group` in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from niah.integrations.benchmarks.item import Item, lettered, text, texts
from niah.integrations.benchmarks.table import Benchmark
from niah.integrations.benchmarks.table import documents as table_documents
from niah.types import LETTERS, UserError


def read(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read one row. Raises UserError."""
    if row.get("candidates") is not None:
        options = texts(row, "candidates", where)
    else:
        listed = [row.get(f"option{number}") for number in range(5)]
        options = tuple(str(option) for option in listed if option not in (None, "N/A"))
        if list(options) != list(map(str, listed[: len(options)])):  # correct_choice counts the gap
            raise UserError(f"{where}: an option lacks before others, got {listed}; mend the row, or take it out")
    right = row.get("correct_choice")
    if type(right) is not int or not 0 <= right < min(len(options), len(LETTERS)):
        raise UserError(f"{where}: correct_choice is a number below {len(options)}, got {right!r}; take the validation")
    name, video, question, group = (
        text(row, column, where) for column in ("id", "video_path", "question", "duration_group")
    )
    yield Item(name, video, question, options, LETTERS[right], (f"{group}s",), lettered(options, "."))


BENCHMARK = Benchmark(
    "longvideobench", "longvideobench/LongVideoBench", read, split="validation", script="longvideobench"
)


def documents(**metadata: Any) -> dict[str, Any]:
    """Return the table."""
    return table_documents(BENCHMARK, metadata)
