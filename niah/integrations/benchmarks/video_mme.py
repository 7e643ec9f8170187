"""Video-MME: 900 videos of three lengths, three questions each, with and without subtitles.

Columns as lmms-lab/Video-MME has them. Videos are called VIDEOID.mp4, subtitles VIDEOID.srt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from niah.integrations.benchmarks.item import Item, text, texts, unlettered
from niah.integrations.benchmarks.table import Benchmark
from niah.integrations.benchmarks.table import documents as table_documents
from niah.types import UserError

DURATIONS = ("short", "medium", "long")


def read(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read one row. Raises UserError."""
    duration = text(row, "duration", where)
    if duration not in DURATIONS:
        raise UserError(f"{where}: duration is one of {', '.join(DURATIONS)}, got {duration!r}")
    options = texts(row, "options", where)
    name, video, question = (text(row, column, where) for column in ("question_id", "videoID", "question"))
    yield Item(name, video, question, unlettered(options), text(row, "answer", where), (duration,), options)


PLAIN = Benchmark("video_mme", "lmms-lab/Video-MME", read, script="video_mme")
SUBTITLED = replace(PLAIN, name="video_mme_subtitles", script="video_mme_subtitles", subtitled=True)


def documents(**metadata: Any) -> dict[str, Any]:
    """Return the table without subtitles."""
    return table_documents(PLAIN, metadata)


def subtitled(**metadata: Any) -> dict[str, Any]:
    """Return the table with subtitles."""
    return table_documents(SUBTITLED, metadata)
