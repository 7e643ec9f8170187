"""CSV that a spreadsheet shows as it was written: cells of others' words are no formulas there.

A cell that begins with `=`, `+`, `-`, `@`, a tab or a line break is run by spreadsheets: it gets an apostrophe in
front, as OWASP recommends (CSV Injection), and control characters are escaped. Numbers stay, also those in strings.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from niah.terminal import printable

FORMULA_STARTS = tuple("=+-@＝＋－＠")  # the wide ones run where Excel speaks Japanese or Chinese


def csv_text(rows: pd.DataFrame, float_format: str = "%.6g") -> str:
    """Return a table as CSV without row numbers."""
    named = rows.rename(columns=_quoted)
    texts = [position for position, kind in enumerate(named.dtypes) if not pd.api.types.is_numeric_dtype(kind)]
    for position in texts:
        named.isetitem(position, named.iloc[:, position].map(_quoted))
    return named.to_csv(index=False, float_format=float_format, lineterminator="\n")


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
