"""What the summaries of single questions share: a paragraph for each run that has something to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from niah.analysis.load import RunData


def paragraphs(runs: Sequence[RunData], about: str, lines_of: Callable[[RunData], Sequence[str]]) -> str:
    """Return a paragraph for each run for which `lines_of` has lines, headed by the run and what they are about."""
    found = ((run, lines_of(run)) for run in runs)
    return "\n\n".join(
        "\n  ".join([f"{run.model} on suite {run.suite}, full: {about}", *lines]) for run, lines in found if lines
    )
