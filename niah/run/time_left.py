"""How long the rest of a run takes, estimated from the cases that were answered.

Cases differ a thousandfold: a `blind` case has no video, and where a model keeps features, a haystack's first case pays
for all that follow. A mean per case is therefore wrong for most of a run. The time of a case is taken to be

    base + per_frame * frames + per_new_frame * frames that no earlier case has shown

and the three coefficients, none below zero, are fitted to the cases so far by least squares. Later cases count more.
Cold cases take part in the fit, as all their frames are new, but their time and that of their workers' loading is no
part of what is left. Several workers answer at once, so the sum is scaled to the wall clock. What the clock shows
beyond the answers is the run's own work on each case, which is nearly all of it where a model guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations

import numpy as np

from niah.types import Case, Record

FORGET = 0.995  # the weight of an answer against the next one
ENOUGH_SEEN_AGAIN = 3  # cases of mostly known frames that tell what a known frame costs
FRAMES = 1000.0  # the length at which a case's time varies twice as much as that of a short one
TERMS = 3  # base, frames, new frames
TINY = 1e-9  # keeps columns that are all zero solvable


class TimeLeft:
    """Learns from records, and predicts the wall-clock time of the cases without one.

    Args:
        cases: all cases of the run in the order of asking.
        cold: the ids of those that get a worker of their own.
        done: the ids of those that earlier runs have answered.
        clock: returns seconds.
    """

    def __init__(
        self, cases: Sequence[Case], cold: Collection[str], done: Collection[str], clock: Callable[[], float]
    ) -> None:
        self._terms = case_terms([case for case in cases if case.id not in done], cold)
        self._left = {name for name in self._terms if name not in cold}
        self._rest = sum((self._terms[name] for name in self._left), np.zeros(TERMS))  # whole numbers: exact
        self._cold, self._clock = cold, clock
        self._products, self._sums = np.zeros((TERMS, TERMS)), np.zeros(TERMS)  # of the weighted least squares
        self._seen_again = 0
        self._began: float | None = None  # when the first case that is not cold was begun
        self._answering = 0.0  # seconds of all workers together
        self._answered = 0  # cases

    def add(self, record: Record) -> None:
        """Learn from one record; one without a time, as its worker was killed, counts on the clock alone."""
        if record.case in self._left:
            self._left.remove(record.case)
            self._rest = self._rest - self._terms[record.case]
        seconds = record.measured.get("file_to_answer_seconds")
        if seconds is None:
            return
        terms = self._terms[record.case]
        weight = 1 / (1 + terms[1] / FRAMES)
        if terms[1]:
            self._products *= FORGET
            self._sums *= FORGET
        self._products += weight * np.outer(terms, terms)
        self._sums += weight * terms * seconds
        if record.case not in self._cold:
            self._seen_again += 0 < terms[1] > 2 * terms[2]
            self._began = self._clock() - seconds if self._began is None else self._began
            self._answering += seconds
            self._answered += 1

    def seconds(self) -> float | None:
        """Return the seconds that are left; None before any case but cold ones was answered."""
        if self._began is None:
            return None
        # Until frames were shown again, nothing tells their cost: most models that cost much keep their features.
        used = range(TERMS) if self._seen_again >= ENOUGH_SEEN_AGAIN else (0, 2)
        elapsed = self._clock() - self._began
        workers = max(1.0, self._answering / elapsed) if elapsed > 0 else 1.0
        overhead = max(0.0, elapsed - self._answering) / self._answered
        return float(self._rest @ _fit(self._products, self._sums, used)) / workers + overhead * len(self._left)


def case_terms(cases: Sequence[Case], cold: Collection[str]) -> Mapping[str, np.ndarray]:
    """Return (1, frames, frames that no earlier case shows) of each case, by its id; to cold cases all are new."""
    shown: dict[str, np.ndarray] = {}
    terms = {}
    for case in cases:
        new = 0
        for span in case.timeline:
            known = shown.get(span.source, np.zeros(0, bool))
            if len(known) < span.stop:
                known = np.concatenate([known, np.zeros(span.stop - len(known), bool)])
            shown[span.source] = known
            new += int((~known[span.start : span.stop]).sum())
            if case.id not in cold:
                known[span.start : span.stop] = True
        terms[case.id] = np.array([1, case.length, case.length if case.id in cold else new], float)
    return terms


def duration(seconds: float) -> str:
    """Return seconds in seconds, minutes or hours, with about two digits: an estimate has no more."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _fit(products: np.ndarray, sums: np.ndarray, used: Sequence[int]) -> np.ndarray:
    """Return the coefficients of least squares that are not negative: the best of all subsets of terms."""
    best, smallest = np.zeros(TERMS), 0.0
    for count in range(1, len(used) + 1):
        for chosen in map(list, combinations(used, count)):
            part = products[np.ix_(chosen, chosen)]
            found = np.linalg.solve(part + TINY * (1 + part.diagonal()) * np.eye(count), sums[chosen])
            loss = float(found @ part @ found - 2 * found @ sums[chosen])
            if (found >= 0).all() and loss < smallest:
                best, smallest = np.zeros(TERMS), loss
                best[chosen] = found
    return best
