"""All validity checks: of each run by itself, and of runs that are shown side by side."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from niah.analysis.checks.cases import check_answers, check_cases
from niah.analysis.checks.controls import check_controls
from niah.analysis.checks.failed_check import FailedCheck, by_level
from niah.analysis.checks.needles import check_needles
from niah.analysis.kinds import group_kinds
from niah.analysis.load import RunData
from niah.analysis.same_cases import shared_cases
from niah.option_scores import scored_by
from niah.scoring import CUT_SHORT
from niah.terminal import printable
from niah.types import Record


def check_runs(runs: Sequence[RunData], published: bool = False) -> list[FailedCheck]:
    """Run all validity checks and return those that failed, warnings first.

    `runs` are as `niah.analysis.load.join_shards` returns them, so that each has a name of its own. With `published`,
    the paper's numbers are shown beside them.
    """
    failed: list[FailedCheck] = []
    for run in runs:
        failed += [*check_controls(run), *check_needles(run), *check_answers(run)]
    failed += _merged([check for run in runs for check in check_cases(run)])
    failed += [check for group in group_kinds(runs) for check in _side_by_side(group)]
    if published:
        suites = ", ".join(dict.fromkeys(run.suite for run in runs))
        failed.append(
            FailedCheck(
                "published",
                f"published numbers are shown beside suite {suites}: other needles, haystacks, questions and prompts, "
                "never released, so a distance between the two says nothing about the models",
                "warning",
                tuple(run.model for run in runs),
            )
        )
    return by_level(failed)


def _merged(failed: Sequence[FailedCheck]) -> list[FailedCheck]:
    """Merge what is equal for several models, as it is about the suite that all were asked."""
    models: dict[tuple, list[str]] = {}
    for check in failed:
        models.setdefault((check.kind, check.text, check.level, check.cases), []).extend(check.models)
    return [FailedCheck(kind, text, level, tuple(names), cases) for (kind, text, level, cases), names in models.items()]


def _side_by_side(runs: Sequence[RunData]) -> Iterator[FailedCheck]:
    """Yield in what runs differ besides the model: cases, sampling, decoder, frames seen, answering mode, files."""
    if len(runs) < 2:
        return
    models = tuple(run.model for run in runs)
    shared = shared_cases(runs)
    if any(len(shared) < len(run.cases) for run in runs):
        yield FailedCheck("cases", _cases_text(runs, len(shared)), "warning", models, tuple(shared))
    versions = [(run.model, ", ".join(f"version {number}" for number in run.versions)) for run in runs]
    yield from _difference("versions", "the rules of their suites", versions)
    yield from _difference("sampling", "sampling", [(run.model, _sampling(run)) for run in runs])
    full = {case.id for case in runs[0].cases_of("full")}
    compared = [name for name in shared if name in full] or shared
    for kind, what, level, describe in PROPERTIES:
        described = [
            (run.model, describe([run.records[name] for name in compared if name in run.records], run))
            for run in runs
            if not run.guesses  # whose answers depend on none of this
        ]
        yield from _difference(kind, what, described, level)
    recorded = [name for name in shared if all(name in run.records for run in runs)]
    if len({tuple(run.records[name].sources for name in recorded) for run in runs}) > 1:
        yield FailedCheck("files", "the runs read other video files under the same names", "warning", models)


def _difference(
    kind: str, what: str, described: Sequence[tuple[str, str]], level: str = "warning"
) -> Iterator[FailedCheck]:
    """Yield that models differ in one property, given as (model, description); empty descriptions are unknown."""
    known = [(model, description) for model, description in described if description]
    if len({description for _, description in known}) > 1:
        sides = "; ".join(f"{model}: {description}" for model, description in known)
        text = f"the runs differ in {what} ({sides}): that too may cause the difference"
        yield FailedCheck(kind, text, level, tuple(model for model, _ in described))


def _cases_text(runs: Sequence[RunData], shared: int) -> str:
    """Describe how the cases of runs differ."""
    counts = ", ".join(f"{run.model} {len(run.cases)}" for run in runs)
    suites = list(dict.fromkeys(run.suite for run in runs))
    of_suites = f" of suites {', '.join(suites)}" if len(suites) > 1 else ""
    return (
        f"the runs were asked different cases{of_suites} ({counts}; {shared} in common): their averages are over "
        "different cases"
    )


def _sampling(run: RunData) -> str:
    """Describe how frames were made of files: the same cases may show other pixels."""
    return printable(", ".join(f"{key} {value}" for key, value in sorted(run.decides.get("sampling", {}).items())))


def _decoders(records: Sequence[Record], run: RunData) -> str:
    """List the decoders that were used."""
    return ", ".join(sorted({record.decoder for record in records if record.decoder}))


def _modes(records: Sequence[Record], run: RunData) -> str:
    """List how answers came about, or by which rule they were scored."""
    return ", ".join(sorted({scored_by(record, run.score_by) for record in records if record.status == "ok"}))


def _frame_sizes(records: Sequence[Record], run: RunData) -> str:
    """Describe at which size frames were shown, as height x width: an average hides that they get smaller."""
    sizes = sorted(
        {one.frame_size for one in records if one.frame_size is not None}, key=lambda size: size[0] * size[1]
    )
    ends = [f"{height}x{width}" for height, width in sizes[:1] + sizes[1:][-1:]]
    return " to ".join(ends)


def _tokens_per_frame(records: Sequence[Record], run: RunData) -> str:
    """Describe how many tokens a frame took."""
    tokens = [record.settings.get("tokens_per_frame") for record in records]
    numbers = [count for count in tokens if isinstance(count, int | float)]
    return "" if not numbers else f"{min(numbers):g} to {max(numbers):g}, median {statistics.median(numbers):g}"


def _cut_short(records: Sequence[Record], run: RunData) -> str:
    """Describe how many replies ended at the token limit."""
    reasons = [record.finish_reason for record in records if record.finish_reason is not None]
    cut = reasons.count(CUT_SHORT)
    return "" if not reasons else f"{cut} of {len(reasons)}" if cut else "none"


def _frame_times(records: Sequence[Record], run: RunData) -> str:
    """Return whether the times of frames were given, in words."""
    given = {"given" if record.frame_times else "not given" for record in records if record.frame_times is not None}
    return " and ".join(sorted(given))


def _frames_used(records: Sequence[Record], run: RunData) -> str:
    """Describe how many frames answers depend on."""
    used = [record.frames_used for record in records if record.status == "ok"]
    return f"{min(used):,} to {max(used):,}, median {statistics.median(used):,.0f}" if used else ""


# The kind of the check, the property's name for people, the level, and how it is read from records
PROPERTIES: tuple[tuple[str, str, str, Callable[[Sequence[Record], RunData], str]], ...] = (
    ("decoder", "decoder", "warning", _decoders),
    ("frames", "frames seen", "warning", _frames_used),
    ("frame_size", "the size of the frames shown", "note", _frame_sizes),  # mostly a property of the models
    ("frame_tokens", "the tokens of a frame", "note", _tokens_per_frame),  # likewise
    ("frame_times", "whether the times of frames are given", "note", _frame_times),
    ("cut_short", "replies that ended at the token limit", "note", _cut_short),
    ("mode", "answering mode", "warning", _modes),
)
