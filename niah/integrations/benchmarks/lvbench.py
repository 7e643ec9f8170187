"""LVBench: hour-long videos, six abilities. ViLaMP's release has no script for it.

Two schemas: the published video_info.meta.jsonl (a line a video: `key` and a list `qa`, options as lettered lines
of `question`, `question_type` as a list) and lmms-lab/LVBench (a row a question, `options`, `video_path`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from niah.integrations.benchmarks.item import Item, split_question, text, texts, unlettered
from niah.integrations.benchmarks.table import Benchmark
from niah.integrations.benchmarks.table import documents as table_documents


def read(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read one row. Raises UserError."""
    asked = row["qa"] if isinstance(row.get("qa"), list) else [row]
    for one in asked:
        video = text(row, "key" if "key" in row else "video_path", where)
        question, options = split_question(text(one, "question", where))
        if one.get("options"):
            question, options = text(one, "question", where), unlettered(texts(one, "options", where))
        kinds = one.get("question_type") or []
        groups = tuple(kind.replace(" ", "_") for kind in ([kinds] if isinstance(kinds, str) else kinds))
        yield Item(text(one, "uid", where), video, question, options, text(one, "answer", where), groups)


BENCHMARK = Benchmark("lvbench", "lmms-lab/LVBench", read, split="train")


def documents(**metadata: Any) -> dict[str, Any]:
    """Return the table."""
    return table_documents(BENCHMARK, metadata)
