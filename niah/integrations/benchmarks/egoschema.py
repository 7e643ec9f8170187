"""EgoSchema, the 500 questions whose answers are public ("Subset", the validation of papers).

Two schemas: lmms-lab/egoschema (`option` as a list with letters, `video_idx`) and the published json (`option 0`
to `option 4`, `q_uid`, which is also the video's name). `answer` is a number in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from niah.integrations.benchmarks.item import Item, lettered, text, texts, unlettered
from niah.integrations.benchmarks.table import Benchmark
from niah.integrations.benchmarks.table import documents as table_documents
from niah.types import LETTERS, UserError


def read(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read one row. Raises UserError."""
    if row.get("option") is not None:
        options, video = unlettered(texts(row, "option", where)), text(row, "video_idx", where)
    else:
        options = tuple(text(row, f"option {number}", where) for number in range(5))
        video = text(row, "q_uid", where)
    answer = str(row.get("answer"))
    if answer not in [str(number) for number in range(min(len(options), len(LETTERS)))]:
        raise UserError(f"{where}: answer is a number below {len(options)}, got {answer!r}; take the public subset")
    yield Item(video, video, text(row, "question", where), options, LETTERS[int(answer)], (), lettered(options))


BENCHMARK = Benchmark("egoschema", "lmms-lab/egoschema", read, config="Subset", script="egoschema")


def documents(**metadata: Any) -> dict[str, Any]:
    """Return the table."""
    return table_documents(BENCHMARK, metadata)
