"""MLVU, its multiple-choice tasks; M-Avg is the mean of the tasks' accuracies.

Two schemas: the published json (`video`, `candidates`, `question_type`, `answer` as text) and sy1998/MLVU_dev
(`video_name`, options as lettered lines of `question`, `task_type`, `answer` as a letter).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from niah.integrations.benchmarks.item import Item, lettered, split_question, text, texts
from niah.integrations.benchmarks.table import Benchmark
from niah.integrations.benchmarks.table import documents as table_documents
from niah.types import LETTERS, UserError


def read(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read one row. Raises UserError."""
    if row.get("candidates") is not None:
        question, options = text(row, "question", where), texts(row, "candidates", where)
        answer, kind, video = (text(row, column, where) for column in ("answer", "question_type", "video"))
        named = [option.strip() for option in options]
        if answer not in named[: len(LETTERS)]:
            raise UserError(f"{where}: the answer {answer!r} is not among the candidates {list(options)}")
        answer = LETTERS[named.index(answer)]
    else:
        question, options = split_question(text(row, "question", where))
        answer, kind, video = (text(row, column, where) for column in ("answer", "task_type", "video_name"))
    yield Item(f"{where.rpartition(' ')[2]}-{kind}", video, question, options, answer, (kind,), lettered(options))


BENCHMARK = Benchmark("mlvu", "sy1998/MLVU_dev", read, script="mlvu")


def documents(**metadata: Any) -> dict[str, Any]:
    """Return the table."""
    return table_documents(BENCHMARK, metadata)
