"""JSON lines: one value a line, lines split at "\\n" alone.

`str.splitlines` also splits at U+2028, U+2029 and U+0085, which JSON leaves as they are inside a string.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any


def json_lines(rows: Iterable[Any]) -> str:
    """Return rows as JSON lines, without spaces."""
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank with its number, counted from 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line
