"""Rows of the table: what became of the cases of each cell, and how sure the accuracy is.

A failed case is never a wrong answer: it is left out of `n` and stands in a column of
its own, as does a missing one. `low` and `high` are Wilson's 95 % interval, which takes
answers for independent. A needle is asked about at many lengths and depths, so marginals
also carry an interval from resampling the videos that needles were cut from.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from scipy.stats import hypergeom

from niah.analysis.layout import ALL, Layout
from niah.analysis.load import RunData, read_run
from niah.analysis.stats.bootstrap import Observation
from niah.analysis.stats.proportions import clustered_interval, retention, wilson_interval
from niah.io import replace_file
from niah.scoring import extract_answer
from niah.types import CONDITIONS, Case, Record

MISSING = "missing"  # the status of a case without a record


@dataclass(frozen=True)
class Row:
    """One line of table.csv. Shares and intervals are None where nothing was answered.

    `length_by` says how lengths are grouped: exact, nearest, bin, or all. `chance` is the mean
    of 1 / options over the cases. `kept` counts answers whose model told which frames it kept,
    `hits` those of them with a frame of the needle, `hit_chance` how often as many frames drawn
    at random would show it.
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

    @property
    def failed(self) -> int:
        """How many cases have no answer for any reason."""
        return self.oom + self.error + self.timeout + self.missing


@dataclass(frozen=True)
class ScoredCase:
    """What became of one case."""

    case: Case
    status: str
    correct: bool = False
    unanswered: bool = False
    kept: bool = False
    hit: bool = False
    hit_chance: float = 0.0


def table_frame(runs: Sequence[RunData]) -> pd.DataFrame:
    """Return the rows of some runs as a frame whose columns are the fields of `Row`."""
    columns = pd.Index([field.name for field in dataclasses.fields(Row)])
    return pd.DataFrame([dataclasses.asdict(row) for row in table_rows(runs)], columns=columns)


def write_table(folder: Path) -> Path:
    """Write table.csv into a run folder and return its path. Raises UserError where it holds no run."""
    path = Path(folder) / "table.csv"
    replace_file(path, table_frame([read_run(folder)]).to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    return path


def table_rows(runs: Sequence[RunData]) -> list[Row]:
    """Return a row per run, condition, question type, length and depth, "all" among each."""
    return list(itertools.chain.from_iterable(_rows(run) for run in runs))


def score_case(case: Case, record: Record | None) -> ScoredCase:
    """Score one case."""
    if record is None:
        return ScoredCase(case, MISSING)
    if record.reply is None:
        return ScoredCase(case, record.status)
    letter = extract_answer(record.reply, case.options)
    own = case.target_placements
    scored = ScoredCase(case, record.status, letter == case.answer, letter is None)
    if case.condition != "full" or not record.frames_kept or not own:
        return scored
    needle_frames = sum(placed.stop - placed.start for placed in own)
    chance = float(hypergeom.sf(0, case.length, needle_frames, len(set(record.frames_kept))))
    return dataclasses.replace(scored, kept=True, hit=case.needle_frames(record.frames_kept) > 0, hit_chance=chance)


def observations(outcomes: Sequence[ScoredCase]) -> list[Observation]:
    """Return (right, 1) of each outcome that is an answer."""
    return [
        Observation(scored.case.needle_source, scored.case.haystack, (float(scored.correct), 1.0))
        for scored in outcomes
        if scored.status == "ok"
    ]


def _rows(run: RunData) -> Iterator[Row]:
    """Yield the rows of one run."""
    cells: dict[tuple[str, ...], list[ScoredCase]] = defaultdict(list)
    for case in run.cases:
        scored = score_case(case, run.records.get(case.id))
        for place in _places(run.layout, case):
            cells[place].append(scored)
    types = sorted({case.type for case in run.cases})
    for condition in (known for known in CONDITIONS if any(case.condition == known for case in run.cases)):
        for kind, (by, length, depth) in itertools.product((ALL, *types), _groups(run.layout, condition)):
            row = _row(run, (condition, kind, by, length, depth), cells[condition, kind, by, length, depth])
            if condition == "full" and depth == ALL:
                blind, alone = (cells[other, kind, ALL, ALL, ALL] for other in ("blind", "needle_only"))
                row = _with_retention(row, cells[condition, kind, by, length, depth], blind, alone)
            yield row


def _places(layout: Layout, case: Case) -> Iterator[tuple[str, ...]]:
    """Yield the rows that a case counts for, as (condition, type, grouping, length, depth)."""
    depth = layout.depth_label(case)
    lengths = [(by, layout.length_label(case, by)) for by in layout.length_labels()]
    columns = [(ALL, ALL), *((by, length) for by, length in lengths if length is not None)]
    for kind, (by, length), row in itertools.product((ALL, case.type), columns, (ALL, depth)):
        if row is not None:
            yield case.condition, kind, by, length, row


def _groups(layout: Layout, condition: str) -> Iterator[tuple[str, str, str]]:
    """Yield (grouping, length, depth) of every row of one condition; what has no haystack has no length."""
    depths = (ALL, *layout.depth_labels()) if condition in ("full", "swapped") else (ALL,)
    columns = [(ALL, ALL)]
    if condition not in ("needle_only", "blind"):
        columns += [(by, length) for by, lengths in layout.length_labels().items() for length in lengths]
    for (by, length), depth in itertools.product(columns, depths):
        yield by, length, depth


def _row(run: RunData, place: tuple[str, ...], cell: Sequence[ScoredCase]) -> Row:
    """Count one cell."""
    answers = [scored for scored in cell if scored.status == "ok"]
    kept = [scored for scored in answers if scored.kept]
    correct, unanswered = sum(s.correct for s in answers), sum(s.unanswered for s in answers)
    low, high = wilson_interval(correct, len(answers))
    condition, kind, by, length, depth = place
    name = "/".join((run.model, run.suite, *place))
    cluster = clustered_interval(observations(answers), name) if ALL in (length, depth) else (None, None)
    statuses = {s: sum(scored.status == s for scored in cell) for s in ("oom", "error", "timeout", MISSING)}
    return Row(
        run.model, run.suite, condition, kind, by, length, depth,
        n=len(answers), correct=correct, accuracy=_mean([s.correct for s in answers]), low=low, high=high,
        cluster_low=cluster[0], cluster_high=cluster[1],
        chance=_mean([1 / len(scored.case.options) for scored in cell]),
        unanswered=unanswered, unanswered_share=_mean([s.unanswered for s in answers]), **statuses,
        repeats=sum(scored.case.repeats > 0 for scored in cell),
        kept=len(kept), hits=sum(s.hit for s in kept),
        hit_share=_mean([s.hit for s in kept]), hit_chance=_mean([s.hit_chance for s in kept]),
    )  # fmt: skip


def _with_retention(row: Row, *parts: Sequence[ScoredCase]) -> Row:
    """Add what is left of the understanding of the clip alone, where there is any."""
    full, blind, alone = (observations(part) for part in parts)
    name = "/".join((row.model, row.suite, row.type, row.length_by, row.length, "retention"))
    found = retention(full, blind, alone, name)
    if found is None:
        return row
    if not found.error:  # all sources agree: the resamples cannot say how sure that is
        return dataclasses.replace(row, retention=found.value)
    return dataclasses.replace(row, retention=found.value, retention_low=found.low, retention_high=found.high)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
