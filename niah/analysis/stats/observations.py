"""Cases as the statistics take them: the two clusters that each belongs to, and its numbers."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Observations:
    """An array of all cases for each thing that counts, so that 75,000 cases are a few sums.

    Each function of the statistics says which `values` it expects.
    """

    sources: np.ndarray  # names of the videos that needles were cut from, (cases,)
    haystacks: np.ndarray  # names; "" for a case without one, (cases,)
    values: np.ndarray  # (cases, numbers)

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, Sequence[float]]]) -> Observations:
        """Return observations of (source, haystack, values), a row for each case."""
        rows = list(rows)
        if not rows:
            return cls(np.array([], object), np.array([], object), np.zeros((0, 1)))
        sources, haystacks, values = zip(*rows, strict=True)
        return cls(np.array(sources, object), np.array(haystacks, object), np.array(values, float))

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, which: np.ndarray | slice) -> Observations:
        """Return some cases, by number or by a mask."""
        return Observations(self.sources[which], self.haystacks[which], self.values[which])

    def from_sources(self, names: Container[str]) -> Observations:
        """Return the cases whose needles come from some sources."""
        return self[np.array([source in names for source in self.sources.tolist()], bool)]

    def with_value(self, value: np.ndarray) -> Observations:
        """Return the same cases with one other number each, (cases,)."""
        return Observations(self.sources, self.haystacks, value[:, None])


def concatenate(parts: Sequence[Observations]) -> Observations:
    """Return the cases of several; at least one."""
    sources, haystacks, values = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("sources", "haystacks", "values")
    )
    return Observations(sources, haystacks, values)


def numbers_of(names: np.ndarray) -> np.ndarray:
    """Return the number of each name among the distinct ones, (names,)."""
    listed = names.tolist()
    numbers = {name: number for number, name in enumerate(sorted(set(listed)))}  # `np.unique` would sort all names
    return np.fromiter(map(numbers.__getitem__, listed), int, len(listed))
