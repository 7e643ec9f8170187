"""On the same videos: does a model that reads a clip also know when it was shown?

`single` and `when` are asked about identical videos. A clip that is read but not placed was found all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from niah.analysis.load import RunData
from niah.analysis.scored import ScoredCase
from niah.types import SINGLE, Case


@dataclass(frozen=True)
class ReadAndPlaced:
    """On the same videos: how often a model read the clip (`single`), and how often it said when it is shown."""

    model: str
    n: int  # videos in which both questions are answered
    both: int
    read_only: int
    placed_only: int

    @property
    def neither(self) -> int:
        """Return how often it did none of the two."""
        return self.n - self.both - self.read_only - self.placed_only


def read_and_placed(run: RunData) -> ReadAndPlaced | None:
    """Return how reading and placing go together in the `full` cases of a whole run; None if it does not ask both."""
    answered: dict[str, dict[tuple, ScoredCase]] = {SINGLE: {}, "when": {}}
    if not answered.keys() <= {case.kind for case in run.cases}:
        return None
    for scored in run.scored:
        case = scored.case
        if case.condition == "full" and case.kind in answered and scored.answered:
            answered[case.kind][_video(case)] = scored
    pairs = [(one.correct, answered["when"][video].correct) for video, one in answered[SINGLE].items()
             if video in answered["when"]]  # fmt: skip
    if not pairs:
        return None
    return ReadAndPlaced(
        run.model, len(pairs), pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True))
    )


def read_and_placed_summary(runs: Sequence[RunData]) -> str:
    """Return a paragraph for each run that asks `single` and `when` about the same videos."""
    found = (read_and_placed(run) for run in runs)
    return "\n\n".join(
        f"{one.model}, full: reading and placing the clip of the same {one.n} videos\n"
        f"  read and placed {one.both / one.n:.1%}, read but not placed {one.read_only / one.n:.1%}, "
        f"placed but not read {one.placed_only / one.n:.1%}, neither {one.neither / one.n:.1%}"
        for one in found
        if one is not None
    )


def _video(case: Case) -> tuple:
    """Return what the video of a case consists of."""
    return case.needle, case.timeline
