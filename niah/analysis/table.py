"""Score cases, and count them into the rows of table.csv: accuracy with intervals per condition, type, length, depth.

A failed case is never a wrong answer: it is not part of `n` and has a column of its own, as has a missing one. `low`
and `high` are Wilson's 95 % interval, which treats answers as independent. But a needle is asked about at many lengths
and depths, so marginals also carry one clustered by needle source (Korn and Graubard).
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from niah.analysis.csv_text import csv_text
from niah.analysis.kinds import split_kinds
from niah.analysis.layout import ALL, Layout
from niah.analysis.load import RunData, read_run
from niah.analysis.scored import MISSING, ScoredCase
from niah.analysis.stats.proportions import clustered_interval, retention, wilson_interval
from niah.analysis.stats.regression import Observation
from niah.io import replace_file
from niah.types import CONDITIONS, SINGLE, Case, Record

# Kinds whose questions say nothing about their answers, so that nobody is asked without video.
UNGUESSABLE = ("when", "first", "times")


@dataclass(frozen=True)
class Row:
    """One line of table.csv. Proportions and intervals are None if nothing was answered.

    `length_by` says how lengths are grouped: exact, nearest, bin, or all. `chance` is the mean of 1 / options over
    the cases. `kept` counts the answers whose model reported which frames it kept, `hits` those of them with a frame
    of the needle, and `hit_chance` is how often as many random frames would include one.
    """

    model: str
    suite: str
    condition: str
    type: str
    length_by: str
    length: str
    depth: str
    n: int
    correct: int
    accuracy: float | None
    low: float | None
    high: float | None
    cluster_low: float | None
    cluster_high: float | None
    chance: float | None
    unanswered: int
    unanswered_share: float | None
    oom: int
    error: int
    timeout: int
    missing: int
    repeats: int  # cases that show some haystack frame twice
    kept: int
    hits: int
    hit_share: float | None
    hit_chance: float | None
    retention: float | None = None
    retention_low: float | None = None
    retention_high: float | None = None
    scored_by: str = ""
    cut_short: int = 0  # replies that ended at the token limit
    frame_height: int | None = None  # median of the frames that the model was shown, in pixels; None: not reported
    frame_width: int | None = None
    kind: str = SINGLE  # what the cases ask; table.csv has this column where they ask several things

    @property
    def failed(self) -> int:
        """Return how many cases have no answer for any reason."""
        return self.oom + self.error + self.timeout + self.missing


class RowKey(NamedTuple):
    """Which cases a row counts; "all" stands for every type, length or depth."""

    condition: str
    type: str
    length_by: str
    length: str
    depth: str


def score_cases(run: RunData, condition: str | None = None) -> list[ScoredCase]:
    """Score the cases of a run, or those of one condition."""
    return [one for one in run.scored if condition is None or one.case.condition == condition]


def observations(scored: Sequence[ScoredCase]) -> list[Observation]:
    """Return (correct,) of each case that has an answer, as the statistics take them."""
    return [one.observation for one in scored if one.answered]


def by_chance(scored: Sequence[ScoredCase]) -> list[Observation]:
    """Return what guessing gives in each case that has an answer: its chance, which is known and does not vary."""
    return [dataclasses.replace(one.observation, values=(one.chance,)) for one in scored if one.answered]


def median_frame_size(records: Iterable[Record | None]) -> tuple[int, int] | None:
    """Return the median height and width of the frames that a model was shown; None if it reported none."""
    sizes = [record.frame_size for record in records if record is not None and record.frame_size is not None]
    if not sizes:
        return None
    heights, widths = zip(*sizes, strict=True)
    return statistics.median_low(heights), statistics.median_low(widths)


def table_rows(runs: Sequence[RunData]) -> list[Row]:
    """Return a row per run, condition, question type, length and depth, with "all" among each."""
    return list(itertools.chain.from_iterable(_rows(run) for run in runs))


def table_frame(runs: Sequence[RunData]) -> pd.DataFrame:
    """Return the rows of some runs as a data frame whose columns are the fields of `Row`."""
    rows = table_rows(split_kinds(runs))
    columns = [field.name for field in dataclasses.fields(Row)]
    if all(row.kind == SINGLE for row in rows):
        columns.remove("kind")
    return pd.DataFrame([dataclasses.asdict(row) for row in rows], columns=pd.Index(columns))


def write_table(folder: Path, run: RunData | None = None) -> Path:
    """Write table.csv into a run folder and return its path. Raises UserError if the folder holds no run.

    `run` is what the folder holds, where it was read before.
    """
    path = Path(folder) / "table.csv"
    replace_file(path, csv_text(table_frame([read_run(folder) if run is None else run])))
    return path


def _rows(run: RunData) -> Iterator[Row]:
    """Yield the rows of one run."""
    cells: Mapping[RowKey, list[ScoredCase]] = defaultdict(list)
    for scored in score_cases(run):
        for key in _keys_of_case(run.layout, scored.case):
            cells[key].append(scored)
    types = sorted({case.type for case in run.cases})
    conditions = {case.condition for case in run.cases}
    for condition in (known for known in CONDITIONS if known in conditions):
        for key in _keys_of_condition(run.layout, condition, types):
            row = _row(run, key, cells[key])
            if condition == "full" and key.depth == ALL:
                blind, needle_only = (
                    cells[RowKey(control, key.type, ALL, ALL, ALL)] for control in ("blind", "needle_only")
                )
                guessing = by_chance(needle_only) if run.kind in UNGUESSABLE else observations(blind)
                if run.kind == "first":  # one of the two clips, with its depth, is worth something
                    guessing = observations(cells[RowKey("swapped", key.type, ALL, ALL, ALL)])
                row = _with_retention(row, observations(cells[key]), guessing, observations(needle_only))
            yield row


def _keys_of_case(layout: Layout, case: Case) -> Iterator[RowKey]:
    """Yield the keys of all rows that a case counts in."""
    lengths = [(ALL, ALL)]
    lengths += [(by, label) for by in layout.length_labels() if (label := layout.length_label(case, by)) is not None]
    depth_label = layout.depth_label(case)
    depths = (ALL,) if depth_label is None else (ALL, depth_label)
    for kind, (by, length), depth in itertools.product((ALL, case.type), lengths, depths):
        yield RowKey(case.condition, kind, by, length, depth)


def _keys_of_condition(layout: Layout, condition: str, types: Sequence[str]) -> Iterator[RowKey]:
    """Yield the keys of all rows of one condition, in the table's order; without a haystack there is no length."""
    lengths = [(ALL, ALL)]
    if condition not in ("needle_only", "blind"):
        lengths += [(by, label) for by, labels in layout.length_labels().items() for label in labels]
    depths = (ALL, *layout.depth_labels()) if condition in ("full", "swapped") else (ALL,)
    for kind, (by, length), depth in itertools.product((ALL, *types), lengths, depths):
        yield RowKey(condition, kind, by, length, depth)


def _row(run: RunData, key: RowKey, cell: Sequence[ScoredCase]) -> Row:
    """Count the cases of one row."""
    answers = [scored for scored in cell if scored.answered]
    kept = [scored for scored in answers if scored.hit is not None]
    correct = sum(scored.correct for scored in answers)
    low, high = wilson_interval(correct, len(answers))
    size = median_frame_size(one.record for one in answers)
    cluster_low, cluster_high = None, None
    if ALL in (key.length, key.depth):  # a marginal: needles are asked more than once
        cluster_low, cluster_high = clustered_interval(observations(answers))
    return Row(
        model=run.model,
        suite=run.suite,
        condition=key.condition,
        type=key.type,
        length_by=key.length_by,
        length=key.length,
        depth=key.depth,
        n=len(answers),
        correct=correct,
        accuracy=_mean([scored.correct for scored in answers]),
        low=low,
        high=high,
        cluster_low=cluster_low,
        cluster_high=cluster_high,
        chance=_mean([scored.chance for scored in cell]),
        unanswered=sum(scored.unanswered for scored in answers),
        unanswered_share=_mean([scored.unanswered for scored in answers]),
        **{status: sum(one.status == status for one in cell) for status in ("oom", "error", "timeout", MISSING)},
        repeats=sum(scored.case.repeats > 0 for scored in cell),
        kept=len(kept),
        hits=sum(bool(scored.hit) for scored in kept),
        hit_share=_mean([bool(scored.hit) for scored in kept]),
        hit_chance=_mean([scored.hit_chance or 0.0 for scored in kept]),
        scored_by=", ".join(sorted({scored.scored_by for scored in answers})),
        cut_short=sum(scored.cut_short for scored in answers),
        frame_height=None if size is None else size[0],
        frame_width=None if size is None else size[1],
        kind=run.kind,
    )


def _with_retention(
    row: Row, full: Sequence[Observation], guessing: Sequence[Observation], needle_only: Sequence[Observation]
) -> Row:
    """Add retention to a row, if the clip alone is understood at all."""
    found = retention(full, guessing, needle_only) if full and guessing and needle_only else None
    if found is None:
        return row
    return dataclasses.replace(row, retention=found.value, retention_low=found.low, retention_high=found.high)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
