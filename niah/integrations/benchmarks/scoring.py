"""Score replies of benchmark tasks; the tasks' YAML files name these functions with `!function`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from niah.integrations.case_library import video_reference
from niah.scoring import extract_answer

TRIES = 4  # tries of one VNBench question, its options rotated each time


def video_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the reference of a document's video."""
    return video_reference(document["library"], document["case"])


def score(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a reply: `acc` over all questions, and `acc_GROUP` within each group of the question."""
    letter = extract_answer(results[0], document["options"])
    right = float(letter == document["answer"])
    groups = {f"acc_{group}": right for group in document["groups"]}
    return {"acc": right, "unanswered": float(letter is None), **groups}


def score_by_type(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Score a reply, and add the pair (type, right) that MLVU's M-Avg averages; the first group is the type."""
    scores = score(document, results)
    return {**scores, "m_avg": (document["groups"][0], scores["acc"])}


def mean_over_types(results: Sequence[tuple[str, float]]) -> float:
    """Return the mean of the types' accuracies: every type has equal weight, however many questions it has."""
    by_type = defaultdict(list)
    for kind, right in results:
        by_type[kind].append(right)
    return sum(sum(rights) / len(rights) for rights in by_type.values()) / len(by_type)


def score_circular(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Score a single try, and add the triple (type, video, right) that circular evaluation needs."""
    scores = score(document, results)
    kind = document["groups"][0]
    circle = (kind, document["video"], scores["acc"])
    return {"acc_single": scores["acc"], "unanswered": scores["unanswered"], "acc": circle, f"acc_{kind[:3]}": circle}


def circular(results: Sequence[tuple[str, str, float]]) -> float:
    """Return VNBench's accuracy: a question counts where all four tries are right; the mean over its types."""
    tries = defaultdict(float)
    for kind, name, right in results:
        tries[kind, name] += right
    return mean_over_types([(kind, float(right == TRIES)) for (kind, _), right in tries.items()])
