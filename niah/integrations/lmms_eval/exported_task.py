"""The functions that an exported task's YAML names; `niah export` copies this file beside it.

It is read by lmms-eval, in an environment that need not have this project: only lmms-eval itself is imported, and the
copy of the project's reader of intervals that lies beside it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
READER = "videoniah_reader"  # the package beside this file
RIGHT = 0.5  # of an interval's overlap with that of the clip: `acc_when` is R@.5
OVERLAPS = {"iou_when": None, "recall_30_when": 0.3, "recall_70_when": 0.7}  # of `full` cases: mean overlap, R@.3, R@.7


def video_of(document: dict[str, Any]) -> list[str]:
    """Return the path of a document's video; none for a question that is asked blind."""
    return [str(FOLDER / document["video"])] if document["video"] else []


def score(document: dict[str, Any], results: list[str]) -> dict[str, dict[str, Any]]:
    """Score a reply; every kind of question and condition has a metric of its own, `acc` is `single`'s `full` cases."""
    if document["letters"]:
        letter = _letter(document, results[0])
        return {document["metric"]: _answer(document, letter, letter == document["answer"])}
    interval, overlap = _interval(document, results[0])
    scores = {document["metric"]: _answer(document, interval, overlap >= RIGHT)}
    if document["condition"] == "full":
        for name, least in OVERLAPS.items():
            score = overlap if least is None else float(overlap >= least)
            scores[name] = {"score": score, "source": document["source"]}
    return scores


def _letter(document: dict[str, Any], reply: str) -> str:
    """Return the letter that lmms-eval reads in a reply."""
    from lmms_eval.tasks._task_utils.mcq_extract import extract_mcq_answer  # type: ignore[import-not-found]

    return extract_mcq_answer(reply, choices=list(document["letters"]))


def _interval(document: dict[str, Any], reply: str) -> tuple[str, float]:
    """Return the interval that a reply names, "" if it is unanswered, and its overlap (IoU) with that of the clip."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    from videoniah_reader.interval import (  # type: ignore[import-not-found]
        format_interval,
        overlap,
        read_interval,
    )

    found = read_interval(reply, document["seconds"])
    shared = overlap(found, (document["shown_start"], document["shown_stop"])) if found else 0.0
    return format_interval(found), shared


def _answer(document: dict[str, Any], read: str, right: bool) -> dict[str, Any]:
    """Return the value of a metric; the case is in it because lmms-eval's samples keep nothing else of a document."""
    return {"case": document["case"], "letter": read, "score": float(right), "source": document["source"]}


def mean(results: list[dict[str, Any]]) -> float:
    """Return the share of right answers."""
    return sum(one["score"] for one in results) / len(results)
