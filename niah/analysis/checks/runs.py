"""Everything that is doubtful about some runs: each by itself, then side by side."""

from __future__ import annotations

from collections.abc import Sequence

from niah.analysis.checks.answers import about_answers
from niah.analysis.checks.between_runs import between
from niah.analysis.checks.controls import about_controls
from niah.analysis.checks.failed_check import FailedCheck, by_severity
from niah.analysis.checks.suite import about_suite
from niah.analysis.load import RunData


def check_runs(runs: Sequence[RunData], published: bool = False) -> list[FailedCheck]:
    """Return what a reader of these runs must be warned of, the serious first.

    `runs` are as `niah.analysis.load.join` returns them, so that each has a name of its own. `published` says that the
    paper's numbers are shown beside them.
    """
    found: list[FailedCheck] = []
    for run in runs:
        found += [*about_controls(run), *about_answers(run)]
    found += _merged([doubt for run in runs for doubt in about_suite(run)])
    found += between(runs)
    if published:
        suites = ", ".join(dict.fromkeys(run.suite for run in runs))
        found.append(
            FailedCheck(
                "published",
                f"published numbers lie beside suite {suites}: other needles, haystacks, questions and prompts, "
                "never released, so a distance between the two says nothing about the models",
                "caution",
                tuple(run.model for run in runs),
            )
        )
    return by_severity(found)


def _merged(found: Sequence[FailedCheck]) -> list[FailedCheck]:
    """Say once what is wrong with a suite that several models were asked."""
    models: dict[tuple, list[str]] = {}
    for doubt in found:
        models.setdefault((doubt.kind, doubt.text, doubt.severity, doubt.cases), []).append(*doubt.models)
    return [
        FailedCheck(kind, text, severity, tuple(who), cases) for (kind, text, severity, cases), who in models.items()
    ]
