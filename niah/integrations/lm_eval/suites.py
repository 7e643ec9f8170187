"""Offer suites as lm-eval tasks; the tasks' YAML files name these functions with `!function`.

Accuracy is reported by condition, because a mean over all conditions means nothing: `acc` is that of the `full`
cases, `acc_blind` and the like are those of the controls; other kinds of questions have their own, such as `acc_when`.
Where an interval is asked for, that is R@.5, and `iou_when`, `recall_30_when` and `recall_70_when` are beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from niah.integrations.case_library import CaseMedia, register_library, video_reference
from niah.option_scores import OVERLAP
from niah.prompt import format_prompt
from niah.run.config import resolve
from niah.run.plan import make_plan
from niah.scoring import extract_answer
from niah.scoring.interval import overlap, read_interval
from niah.suite.folder import GeneratedSuite
from niah.terminal import to_stderr
from niah.types import LETTERS, SINGLE, Case, Question, UserError

PARTS = ("lengths", "depths", "conditions")
OVERLAPS = {"recall_30": 0.3, "recall_70": 0.7}  # shares of overlaps from which on an interval counts


class SuiteLibrary:
    """The cases of one generated suite."""

    def __init__(self, generated: GeneratedSuite) -> None:
        self.generated = generated
        self.name = f"{generated.suite.name}@{_digest(generated)}"
        self._cases = {case.id: case for case in generated.cases}

    def question(self, case: str) -> Question:
        """Return the question of a case."""
        return self._cases[case].to_question()

    def media(self, case: str) -> CaseMedia:
        """Return a case and its media."""
        return CaseMedia(self._cases[case], self.generated.sources, self.generated.suite.sampling)


def load_documents(of: str | None = None, suite: str | None = None, **metadata: Any) -> dict[str, Any]:
    """Return the cases of a suite in order, as a split called test.

    Args:
        of: the suite that a task file names.
        suite: the suite given by --metadata, for a task file that names none.
        metadata: lm-eval's metadata, of which `lengths`, `depths` and `conditions` select cases as for niah run.
    """
    return _split(_generate(of, suite, metadata))


def load_option_documents(of: str | None = None, suite: str | None = None, **metadata: Any) -> dict[str, Any]:
    """Return, as `load_documents` does, the cases that have options to score. Raises UserError where none has."""
    generated = _generate(of, suite, metadata)
    cases = tuple(case for case in generated.cases if case.options)
    name, left = generated.suite.name, len(generated.cases) - len(cases)
    if not cases:
        raise UserError(f"suite {name} asks for intervals, which are no options: take the task without _options")
    if left:
        to_stderr(f"NOTE: {left:,} cases of {name} ask for an interval and have no options; the other task asks them\n")
    return _split(replace(generated, cases=cases))


def _generate(of: str | None, suite: str | None, metadata: Mapping[str, Any]) -> GeneratedSuite:
    """Return the cases that a task and its metadata name. Raises UserError where neither names a suite."""
    if of is None and suite is None:
        raise UserError("name the suite of this task, for instance: --metadata suite=mine.yaml")
    parts = {name: _listed(metadata[name]) for name in PARTS if name in metadata}
    return make_plan(resolve({"suite": of or suite, **parts}, None)).generated


def _split(generated: GeneratedSuite) -> dict[str, Any]:
    """Return the documents of cases, whose videos are then known to models."""
    import datasets  # here: it takes a second, and a model has no need of it

    library = SuiteLibrary(generated)
    register_library(library)
    rows = [document(library.name, case) for case in generated.cases]
    return {"test": datasets.Dataset.from_list(rows)}


def video_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the reference of a document's video."""
    return video_reference(document["library"], document["case"])


def score(document: Mapping[str, Any], results: Sequence[Any]) -> dict[str, float]:
    """Score a generated reply as niah.scoring does."""
    if not document["options"]:  # an interval of time
        return _score_interval(document, results[0])
    letter = extract_answer(results[0], document["options"])
    return {**_named_by_condition(document, letter == document["answer"]), "unanswered": float(letter is None)}


def score_options(document: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Score the option of the highest likelihood; of equal ones the first, as adapters do."""
    likelihoods = [float(likelihood) for likelihood, _ in results]
    return _named_by_condition(document, likelihoods.index(max(likelihoods)) == document["label"])


def metric_name(name: str, kind: str, condition: str) -> str:
    """Return the name of a metric of one kind of question and condition: `acc`, `acc_blind`, `acc_when_swapped`."""
    return "_".join([name, *([kind] if kind != SINGLE else []), *([condition] if condition != "full" else [])])


def _named_by_condition(document: Mapping[str, Any], right: bool) -> dict[str, float]:
    """Return the result as the metric of its kind of question and its condition."""
    return {metric_name("acc", document["kind"], document["condition"]): float(right)}


def _score_interval(document: Mapping[str, Any], reply: str) -> dict[str, float]:
    """Score the interval that a reply names by its overlap (IoU) with that of the clip."""
    found = read_interval(reply, document["seconds"])
    shared = overlap(found, tuple(document["shown"])) if found else 0.0
    scores = {**_named_by_condition(document, shared >= OVERLAP), "unanswered": float(found is None)}
    if document["condition"] == "full":
        recall = {name: float(shared >= least) for name, least in OVERLAPS.items()}
        scores |= {f"{name}_{document['kind']}": score for name, score in {"iou": shared, **recall}.items()}
    return scores


def document(library: str, case: Case) -> dict[str, Any]:
    """Return the document that lm-eval logs of a case, without paths of this machine."""
    return {
        "library": library,
        "case": case.id,
        "condition": case.condition,
        "length": case.length,
        "depth": case.depth,
        "type": case.type,
        "kind": case.kind,
        "question": case.question,
        "options": list(case.options),
        "answer": answer_of(case),
        "label": LETTERS.index(case.answer) if case.options else -1,
        "shown": list(case.shown_seconds) if case.asks_interval else [],  # in seconds, where that is asked
        "seconds": case.length / case.fps,
        "prompt": format_prompt(case.to_question()),
    }


def answer_of(case: Case) -> str:
    """Return the letter of the right option, or the interval that is right."""
    return "{:.3f} s - {:.3f} s".format(*case.shown_seconds) if case.asks_interval else case.answer


def _digest(generated: GeneratedSuite) -> str:
    """Return a hash of cases and videos, so that lm-eval's cache never answers for another suite."""
    sources = sorted((source.name, source.identity, source.sha256) for source in generated.sources.values())
    parts = [[case.to_json() for case in generated.cases], sources, asdict(generated.suite.sampling)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _listed(value: Any) -> tuple:
    """Return one value or several as a tuple: both `conditions=full` and `{"lengths": [2000, 4000]}` are common."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)
