"""VNBench (Zhao et al., arXiv 2406.09367): retrieval, ordering and counting of inserted needles.

VNBench-main-4try.json: every question is asked four times, its options turned, and counts where all four answers
are right (circular evaluation). The mean is over the nine task types, as in the authors' eval.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from niah.benchmarks.item import Item, text, texts
from niah.benchmarks.table import Benchmark
from niah.benchmarks.table import documents as table_documents


def read(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read one row. Raises UserError."""
    video = PurePosixPath(text(row, "video", where)).name  # the json has the authors' folder before it
    kind, turn = text(row, "type", where), text(row, "try", where)
    name = f"{PurePosixPath(video).stem}.{kind}.{turn}"
    question, answer = text(row, "question", where), text(row, "gt_option", where)
    yield Item(name, video, question, texts(row, "options", where), answer, (kind,))


BENCHMARK = Benchmark("vnbench", "videoniah/VNBench", read, split="train")


def documents(**metadata: Any) -> dict[str, Any]:
    """Return the table."""
    return table_documents(BENCHMARK, metadata)
