"""CSV that a spreadsheet shows as it was written: cells of others' words are no formulas there.

A cell that begins with `=`, `+`, `-`, `@`, a tab or a line break is run by spreadsheets: it gets an apostrophe in
front, as OWASP recommends (CSV Injection), and control characters are escaped. Numbers stay, also those in strings.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from niah.terminal import printable

FORMULA_STARTS = tuple("=+-@＝＋－＠")  # the wide ones run where Excel speaks Japanese or Chinese


def csv_text(rows: Iterable[Any], float_format: str = "%.6g", columns: Sequence[str] | None = None) -> str:
    """Return a table as CSV; rows are dataclasses or mappings, and what is missing or no number is left empty.

    `columns` names those that are written, in order; without it all are, as rows name them.
    """
    named = [row if isinstance(row, Mapping) else dataclasses.asdict(row) for row in rows]
    if columns is None:
        columns = list(dict.fromkeys(name for row in named for name in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_quoted, columns))
    cells = [_column([row.get(name) for row in named], float_format) for name in columns]
    writer.writerows(zip(*cells, strict=True))
    return text.getvalue()


def _column(values: Sequence[Any], float_format: str) -> list[Any]:
    """Return the cells of one column; of whole numbers, it is one of floats where some are missing."""
    known = [value for value in values if value is not None and value == value]  # NaN is not
    numbers = all(isinstance(value, Real) and not isinstance(value, bool) for value in known)
    if not numbers or (len(known) == len(values) and all(isinstance(value, Integral) for value in known)):
        return [_quoted(value) for value in values]
    return ["" if value is None or value != value else float_format % value for value in values]


def _quoted(cell: Any) -> Any:
    """Return a text as a spreadsheet shows it; anything but a text as it is."""
    if not isinstance(cell, str):
        return cell
    text = printable(cell)
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
