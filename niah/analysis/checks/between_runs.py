"""What keeps runs from being compared: other cases, files, pixels, decoders, frames seen, ways of answering."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from niah.analysis.checks.failed_check import FailedCheck
from niah.analysis.load import RunData, printable
from niah.types import Record


def between(runs: Sequence[RunData]) -> Iterator[FailedCheck]:
    """Yield in what runs that lie side by side differ besides the model."""
    if len(runs) < 2:
        return
    models = tuple(run.model for run in runs)
    common = shared(runs)
    if any(len(common) < len(run.cases) for run in runs):
        yield FailedCheck("cases", _cases(runs, len(common)), "serious", models, tuple(common))
    yield from _differ("sampling", "sampling", [(run.model, _sampling(run)) for run in runs])
    full = {case.id for case in runs[0].cases if case.condition == "full"}
    hidden = [name for name in common if name in full] or common
    for kind, what, tell in ASPECTS:
        told = [(run.model, tell([run.records[name] for name in hidden if name in run.records])) for run in runs]
        yield from _differ(kind, what, told)
    recorded = [name for name in common if all(name in run.records for run in runs)]
    if len({tuple(run.records[name].sources for name in recorded) for run in runs}) > 1:
        yield FailedCheck("files", "the runs read other video files under the same names", "caution", models)


def shared(runs: Sequence[RunData]) -> list[str]:
    """Return the ids of the cases that all runs were asked and that are equal in all, in the first run's order."""
    others = [{case.id: case for case in run.cases} for run in runs[1:]]
    return [case.id for case in runs[0].cases if all(cases.get(case.id) == case for cases in others)]


def _differ(kind: str, what: str, told: Sequence[tuple[str, str]]) -> Iterator[FailedCheck]:
    """Yield that models differ in something, as the words of each tell; one without words does not tell."""
    if len({words for _, words in told if words}) > 1:
        sides = "; ".join(f"{model}: {words}" for model, words in told if words)
        text = f"the runs differ in {what} ({sides}): that too may make the difference"
        yield FailedCheck(kind, text, "caution", tuple(model for model, _ in told))


def _cases(runs: Sequence[RunData], common: int) -> str:
    """Return how the cases differ in words."""
    counts = ", ".join(f"{run.model} {len(run.cases)}" for run in runs)
    suites = list(dict.fromkeys(run.suite for run in runs))
    of = f" of suites {', '.join(suites)}" if len(suites) > 1 else ""
    return f"the runs were asked different cases{of} ({counts}; {common} in common): their averages are of two things"


def _sampling(run: RunData) -> str:
    """Return how frames were made of files: equal cases may show other pixels."""
    return printable(", ".join(f"{key} {value}" for key, value in sorted(run.decides.get("sampling", {}).items())))


def _decoders(records: Sequence[Record]) -> str:
    return ", ".join(sorted({record.decoder for record in records if record.decoder}))


def _modes(records: Sequence[Record]) -> str:
    return ", ".join(sorted({record.mode for record in records if record.status == "ok"}))


def _frames(records: Sequence[Record]) -> str:
    """Return how many frames answers depended on."""
    used = [record.frames_used for record in records if record.status == "ok"]
    return f"{min(used):,} to {max(used):,}, median {statistics.median(used):,.0f}" if used else ""


ASPECTS: tuple[tuple[str, str, Callable[[Sequence[Record]], str]], ...] = (
    ("decoder", "decoder", _decoders),
    ("frames", "frames seen", _frames),
    ("mode", "answering mode", _modes),
)
