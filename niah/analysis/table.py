"""Score cases, and count them into the rows of table.csv: accuracy with intervals per condition, type, length, depth.

A failed case is never a wrong answer: it is not part of `n` and has a column of its own, as has a missing one. `low`
and `high` are Wilson's 95 % interval, which treats answers as independent. But a needle is asked about at many lengths
and depths, so marginals also carry one clustered by needle source (Korn and Graubard).
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from niah.analysis.csv_text import csv_text
from niah.analysis.kinds import split_kinds
from niah.analysis.layout import ALL, Layout
from niah.analysis.load import RunData, read_run
from niah.analysis.scored import MISSING, ScoredCase
from niah.analysis.stats.observations import Observations
from niah.analysis.stats.proportions import clustered_interval, retention, wilson_interval
from niah.io import replace_file
from niah.types import CONDITIONS, SINGLE, Record

if TYPE_CHECKING:
    import pandas as pd

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


def observations(scored: Sequence[ScoredCase]) -> Observations:
    """Return (correct,) of each case that has an answer, as the statistics take them."""
    return Observations.of(
        (one.case.needle_source, one.case.haystack, (one.correct,)) for one in scored if one.answered
    )


def by_chance(scored: Sequence[ScoredCase]) -> Observations:
    """Return what guessing gives in each case that has an answer: its chance, which is known and does not vary."""
    return Observations.of((one.case.needle_source, one.case.haystack, (one.chance,)) for one in scored if one.answered)


def median_frame_size(records: Iterable[Record | None]) -> tuple[int, int] | None:
    """Return the median height and width of the frames that a model was shown; None if it reported none."""
    sizes = [record.frame_size for record in records if record is not None and record.frame_size is not None]
    if not sizes:
        return None
    heights, widths = zip(*sizes, strict=True)
    return statistics.median_low(heights), statistics.median_low(widths)


def table_rows(runs: Sequence[RunData], condition: str | None = None, kind: str | None = None) -> list[Row]:
    """Return a row per run, condition, question type, length and depth, with "all" among each.

    `condition` and `kind` (a question type) leave out the rows of others. Rows of one condition alone have no
    retention, which compares several.
    """
    return list(itertools.chain.from_iterable(_rows(run, condition, kind) for run in runs))


def table_frame(runs: Sequence[RunData]) -> pd.DataFrame:
    """Return the rows of some runs as a data frame whose columns are the fields of `Row`."""
    import pandas as pd  # here: importing it takes half a second, and table.csv needs none

    rows = table_rows(split_kinds(runs))
    return pd.DataFrame([dataclasses.asdict(row) for row in rows], columns=pd.Index(_columns(rows)))


def write_table(folder: Path, run: RunData | None = None, rows: Sequence[Row] | None = None) -> Path:
    """Write table.csv into a run folder and return its path. Raises UserError if the folder holds no run.

    `run` is what the folder holds, where it was read before, and `rows` are its rows, where they were counted before.
    """
    path = Path(folder) / "table.csv"
    if rows is None:
        rows = table_rows(split_kinds([read_run(folder) if run is None else run]))
    replace_file(path, csv_text(rows, columns=_columns(rows)))
    return path


def _columns(rows: Sequence[Row]) -> list[str]:
    """Return the columns of table.csv."""
    columns = [field.name for field in dataclasses.fields(Row)]
    if all(row.kind == SINGLE for row in rows):
        columns.remove("kind")
    return columns


def _rows(run: RunData, only: str | None, kind: str | None) -> Iterator[Row]:
    """Yield the rows of one run, or those of one condition or question type."""
    cells = _Cells(run)
    types = sorted({case.type for case in run.cases})
    conditions = {case.condition for case in run.cases}
    for condition in (known for known in CONDITIONS if known in conditions and only in (known, None)):
        for key in _keys_of_condition(run.layout, condition, types):
            if kind not in (key.type, None):
                continue
            row = _row(run, key, cells)
            if condition == "full" and key.depth == ALL and only is None:
                blind, swapped, needle_only = (
                    cells.answers(RowKey(control, key.type, ALL, ALL, ALL))
                    for control in ("blind", "swapped", "needle_only")
                )
                guessing = cells.correct_of(blind)
                if run.kind in UNGUESSABLE:
                    guessing = cells.correct_of(needle_only).with_value(cells.chance[needle_only])
                if run.kind == "first":  # one of the two clips, with its depth, is worth something
                    guessing = cells.correct_of(swapped)
                full = cells.correct_of(cells.answers(key))
                row = _with_retention(row, full, guessing, cells.correct_of(needle_only))
            yield row


class _Cells:
    """What rows count, an array of all cases for each, so that a row of 75,000 cases is a few sums."""

    def __init__(self, run: RunData) -> None:
        scored, layout = run.scored, run.layout
        labels = {
            "condition": [one.case.condition for one in scored],
            "type": [one.case.type for one in scored],
            "depth": [layout.depth_label(one.case) for one in scored],
        }
        for by in layout.length_labels():
            labels[by] = [layout.length_label(one.case, by) for one in scored]
        self._masks = {name: _masks(values) for name, values in labels.items()}
        self._nothing = np.zeros(len(scored), bool)
        self.status = np.array([one.status for one in scored], object)
        self.answered = np.array([one.answered for one in scored], bool)
        self.correct = np.array([one.correct for one in scored], bool)
        self.unanswered = np.array([one.unanswered for one in scored], bool)
        self.chance = np.array([one.chance for one in scored], float)
        self.repeats = np.array([one.case.repeats > 0 for one in scored], bool)
        self.kept = np.array([one.hit is not None for one in scored], bool)
        self.hits = np.array([bool(one.hit) for one in scored], bool)
        self.hit_chance = np.array([one.hit_chance or 0.0 for one in scored], float)
        self.scored_by = np.array([one.scored_by for one in scored], object)
        self.cut_short = np.array([one.cut_short for one in scored], bool)
        self.record = np.fromiter((one.record for one in scored), object, len(scored))
        self.sized = np.array([one.record is not None and one.record.frame_size is not None for one in scored], bool)
        self._observations = Observations(
            np.array([one.case.needle_source for one in scored], object),
            np.array([one.case.haystack for one in scored], object),
            self.correct[:, None].astype(float),
        )

    def of(self, key: RowKey) -> np.ndarray:
        """Return the numbers of the cases that count in a row."""
        wanted = [("condition", key.condition), ("type", key.type), (key.length_by, key.length), ("depth", key.depth)]
        masks = [self._masks[name].get(label, self._nothing) for name, label in wanted if label != ALL]
        return np.flatnonzero(np.logical_and.reduce(masks))

    def answers(self, key: RowKey) -> np.ndarray:
        """Return the numbers of those that have an answer."""
        cell = self.of(key)
        return cell[self.answered[cell]]

    def correct_of(self, cases: np.ndarray) -> Observations:
        """Return (correct,) of some cases, given by number, as the statistics take them."""
        return self._observations[cases]


def _masks(labels: Sequence[str | None]) -> dict[str | None, np.ndarray]:
    """Return for each label which cases have it, (cases,)."""
    array = np.array(labels, object)
    return {label: array == label for label in dict.fromkeys(labels)}


def _keys_of_condition(layout: Layout, condition: str, types: Sequence[str]) -> Iterator[RowKey]:
    """Yield the keys of all rows of one condition, in the table's order; without a haystack there is no length."""
    lengths = [(ALL, ALL)]
    if condition not in ("needle_only", "blind"):
        lengths += [(by, label) for by, labels in layout.length_labels().items() for label in labels]
    depths = (ALL, *layout.depth_labels()) if condition in ("full", "swapped") else (ALL,)
    for kind, (by, length), depth in itertools.product((ALL, *types), lengths, depths):
        yield RowKey(condition, kind, by, length, depth)


def _row(run: RunData, key: RowKey, cells: _Cells) -> Row:
    """Count the cases of one row."""
    cell = cells.of(key)
    answers = cell[cells.answered[cell]]
    kept = answers[cells.kept[answers]]
    correct, unanswered, hits = (
        int(of[some].sum()) for of, some in ((cells.correct, answers), (cells.unanswered, answers), (cells.hits, kept))
    )
    low, high = wilson_interval(correct, len(answers))
    cluster_low, cluster_high = None, None
    if ALL in (key.length, key.depth):  # a marginal: needles are asked more than once
        cluster_low, cluster_high = clustered_interval(cells.correct_of(answers))
    size = median_frame_size(cells.record[answers[cells.sized[answers]]].tolist())
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
        accuracy=_share(correct, answers),
        low=low,
        high=high,
        cluster_low=cluster_low,
        cluster_high=cluster_high,
        chance=_share(sum(cells.chance[cell].tolist()), cell),
        unanswered=unanswered,
        unanswered_share=_share(unanswered, answers),
        **{status: int((cells.status[cell] == status).sum()) for status in ("oom", "error", "timeout", MISSING)},
        repeats=int(cells.repeats[cell].sum()),
        kept=len(kept),
        hits=hits,
        hit_share=_share(hits, kept),
        hit_chance=_share(sum(cells.hit_chance[kept].tolist()), kept),
        scored_by=", ".join(sorted(set(cells.scored_by[answers].tolist()))),
        cut_short=int(cells.cut_short[answers].sum()),
        frame_height=None if size is None else size[0],
        frame_width=None if size is None else size[1],
        kind=run.kind,
    )


def _with_retention(row: Row, full: Observations, guessing: Observations, needle_only: Observations) -> Row:
    """Add retention to a row, if the clip alone is understood at all."""
    found = retention(full, guessing, needle_only) if all(map(len, (full, guessing, needle_only))) else None
    if found is None:
        return row
    return dataclasses.replace(row, retention=found.value, retention_low=found.low, retention_high=found.high)


def _share(total: float, of: Sized) -> float | None:
    return total / len(of) if len(of) else None
