"""The functions that an exported task's YAML names; `niah export` copies this file beside it.

It is read by lmms-eval, in an environment that need not have this project: only lmms-eval itself is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


def video_of(document: dict[str, Any]) -> list[str]:
    """Return the path of a document's video; none for a question that is asked blind."""
    return [str(FOLDER / document["video"])] if document["video"] else []


def score(document: dict[str, Any], results: list[str]) -> dict[str, dict[str, Any]]:
    """Score a reply as lmms-eval reads it; every condition has a metric of its own, `acc` is that of `full`."""
    from lmms_eval.tasks._task_utils.mcq_extract import extract_mcq_answer  # type: ignore[import-not-found]

    letter = extract_mcq_answer(results[0], choices=list(document["letters"]))
    right = float(letter == document["answer"])
    condition = document["condition"]
    name = "acc" if condition == "full" else f"acc_{condition}"
    # The case is in the value because lmms-eval's samples keep nothing else of a document.
    return {name: {"case": document["case"], "letter": letter, "score": right, "source": document["source"]}}


def mean(results: list[dict[str, Any]]) -> float:
    """Return the share of right answers."""
    return sum(one["score"] for one in results) / len(results)
