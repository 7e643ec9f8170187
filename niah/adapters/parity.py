"""Compare a model with the recorded numbers of a release, tensor by tensor.

The relative error of a tensor is max|got - want| / max|want|. A golden tensor that nothing was compared with fails
the comparison: a gap must not look like agreement.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from niah.types import UserError


class Golden(dict):  # type: ignore[type-arg]
    """The tensors of one golden file by name; remembers which were looked up.

    Not `dict[str, Tensor]`: a type checker at run time would then look one up.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(tensors)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        self.seen.add(name)
        return super().__getitem__(name)


class Parity:
    """Collects comparisons and reports them as one table."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self._rows: list[tuple[str, str, bool]] = []  # name, what was found, whether it agrees
        self._files: list[str] = []
        self._skipped: list[str] = []
        self._golden: list[tuple[str, Golden]] = []

    @property
    def failed(self) -> list[str]:
        """Names of the comparisons that do not agree."""
        return [name for name, _, agrees in self._rows if not agrees] + self._unread()

    def tensor(self, name: str, got: Tensor, want: Tensor, tolerance: float | None = None) -> None:
        """Compare two tensors by their largest relative error; another shape or a NaN never agrees."""
        limit = self.tolerance if tolerance is None else tolerance
        if got.shape != want.shape:
            self._rows.append((name, f"shape {list(got.shape)}, wanted {list(want.shape)}", False))
            return
        error = relative_error(got, want)
        self._rows.append((name, f"{error:.2e}", error <= limit))

    def equal(self, name: str, got: Any, want: Any) -> None:
        """Compare two plain values (lists of ids, strings), which must be equal."""
        agrees = got == want
        self._rows.append((name, "equal" if agrees else f"got {_short(got)}, wanted {_short(want)}", agrees))

    def uses(self, path: Path) -> None:
        """Note a file as read."""
        if path.name not in self._files:
            self._files.append(path.name)

    def golden(self, path: Path) -> Golden:
        """Read a file of golden tensors, each of which must then be looked up. Raises UserError where it is damaged."""
        self.uses(path)
        try:
            found = Golden(load_file(path))
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path.name} cannot be read ({error}): copy the reference folder again") from None
        self._golden.append((path.name, found))
        return found

    def skip(self, name: str, reason: str, golden: Golden, prefix: str) -> None:
        """Note that a part cannot be compared, and why; golden tensors under `prefix` then need not be looked up.

        The last line of the report names it: a gap must not look like agreement.
        """
        self._rows.append((name, f"skipped: {reason}", True))
        self._skipped.append(name)
        golden.seen.update(key for key in golden if key.startswith(prefix))

    def report(self, out: TextIO | None = None) -> int:
        """Print tensor -> largest relative error and the files used; return 0, or 1 where anything differs."""
        stream: TextIO = sys.stdout if out is None else out
        width = max([len(name) for name, _, _ in self._rows], default=0)
        for name, words, agrees in self._rows:
            stream.write(f"{name:<{width}}  {words}{'' if agrees else '   DIFFERS'}\n")
        for name in self._unread():
            stream.write(f"{name}\n")
        stream.write(f"files used: {', '.join(self._files)}\n")
        failed = self.failed if self._rows else ["nothing was compared"]
        verdict = f"{len(failed)} DIFFER" if failed else "all agree"
        if self._skipped:
            verdict += f"; {len(self._skipped)} parts were NOT compared: {', '.join(self._skipped)}"
        stream.write(f"{len(self._rows)} comparisons, tolerance {self.tolerance:g}: {verdict}\n")
        return 1 if failed else 0

    def _unread(self) -> list[str]:
        return [
            f"{file}: {name} was compared with nothing"
            for file, golden in self._golden
            for name in sorted(set(golden) - golden.seen)
        ]


def relative_error(got: Tensor, want: Tensor) -> float:
    """Return max|got - want| / max|want|, infinity where either is not finite; absolute where all wanted are 0."""
    one, other = got.detach().cpu().double(), want.detach().cpu().double()
    if not (one.isfinite().all() and other.isfinite().all()):
        return float("inf")
    if one.numel() == 0:
        return 0.0
    scale = float(other.abs().max())
    return float((one - other).abs().max()) / (scale or 1.0)


def expand_layout(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor that the rows of a checkpoint layout stand for.

    A row has a name and a shape, and may stand for one tensor per layer: then the name contains "{i}", and the row
    has the layers' numbers as `layers` [first, last] or as `i` "first..last step s", last included.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for row in rows:
        first, last, step = (*row["layers"], 1) if "layers" in row else _parse_range(row.get("i", "0..0"))
        for number in range(first, last + 1, step):
            shapes[row["name"].replace("{i}", str(number))] = tuple(row["shape"])
    return shapes


def _parse_range(text: str) -> tuple[int, int, int]:
    """Return first, last and step of "first..last step s", where the step may be left out."""
    ends, _, step = text.partition(" step ")
    first, _, last = ends.partition("..")
    return int(first), int(last), int(step or 1)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
