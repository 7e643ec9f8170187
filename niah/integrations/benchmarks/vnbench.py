"""VNBench (Zhao et al., arXiv 2406.09367): retrieval, ordering and counting of inserted needles.

VNBench-main-4try.json: every question is asked four times, its options turned, and counts where all four answers
are right (circular evaluation). The mean is over the nine task types, as in the authors' eval.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from niah.integrations.benchmarks.item import Item, text, texts
from niah.integrations.benchmarks.scoring import CIRCLE
from niah.integrations.benchmarks.table import Benchmark
from niah.integrations.benchmarks.table import documents as table_documents
from niah.types import UserError

KINDS = ("ret", "ord", "cnt")  # retrieval, ordering, counting: each has a metric of its own


def read(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read one row. Raises UserError."""
    video = PurePosixPath(text(row, "video", where)).name  # the json has the authors' folder before it
    kind, turn = text(row, "type", where), text(row, "try", where)
    if not kind.startswith(KINDS):
        raise UserError(f"{where}: type begins with one of {', '.join(KINDS)}, got {kind!r}")
    name = f"{PurePosixPath(video).stem}.{kind}.{turn}"
    question, answer = text(row, "question", where), text(row, "gt_option", where)
    yield Item(name, video, question, texts(row, "options", where), answer, (kind,))


def check(items: Sequence[Item]) -> None:
    """Raise UserError where a question has more or fewer than four tries: whether it counts could not be told."""
    tries = Counter((item.video, item.groups[0]) for item in items)
    for (video, kind), count in tries.items():
        if count != CIRCLE:
            raise UserError(
                f"vnbench: {kind} of {video} is asked {count} times, circular evaluation asks {CIRCLE}; "
                "take the whole table (VNBench-main-4try.json), or all tries of a question out of it"
            )


BENCHMARK = Benchmark("vnbench", "videoniah/VNBench", read, split="train", check=check)


def documents(**metadata: Any) -> dict[str, Any]:
    """Return the table."""
    return table_documents(BENCHMARK, metadata)
