"""What the tasks' YAML files name with `!function` to score a reply, whatever the benchmark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from niah.integrations.case_library import video_reference
from niah.scoring import extract_answer

TRIES = 4  # tries of one VNBench question, its options turned each time


def video_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the reference of a document's video."""
    return video_reference(document["library"], document["case"])


def score(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Return accuracy over all, and within each group of the question."""
    letter = extract_answer(results[0], document["options"])
    right = float(letter == document["answer"])
    groups = {f"acc_{group}": right for group in document["groups"]}
    return {"acc": right, "unanswered": float(letter is None), **groups}


def score_by_type(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Return accuracy, and what MLVU's M-Avg is made of: the first group of a question is its type."""
    told = score(document, results)
    return {**told, "m_avg": (document["groups"][0], told["acc"])}


def mean_over_types(told: Sequence[tuple[str, float]]) -> float:
    """Return the mean of the types' accuracies: a type of few questions counts as much as one of many."""
    by_type = defaultdict(list)
    for kind, right in told:
        by_type[kind].append(right)
    return sum(sum(rights) / len(rights) for rights in by_type.values()) / len(by_type)


def score_circular(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Return accuracy of single tries, and what circular evaluation is made of: type, video, right or not."""
    told = score(document, results)
    kind = document["groups"][0]
    circle = (kind, document["video"], told["acc"])
    return {"acc_single": told["acc"], "unanswered": told["unanswered"], "acc": circle, f"acc_{kind[:3]}": circle}


def circular(told: Sequence[tuple[str, str, float]]) -> float:
    """Return VNBench's accuracy: a question counts where all four tries are right; the mean over its types."""
    tries = defaultdict(float)
    for kind, name, right in told:
        tries[kind, name] += right
    return mean_over_types([(kind, float(right == TRIES)) for (kind, _), right in tries.items()])
