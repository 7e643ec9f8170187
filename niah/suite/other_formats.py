"""Refuse a needle file that is no JSON lines, with the line to write instead.

A table, a JSON list and an object over several lines are what people have; each gets the remedy for what it is.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from niah.io import read_unpacked
from niah.types import UserError

TABLES = (".csv", ".tsv", ".parquet")
SHOWN = {
    "video": "clips/dog.mp4",
    "start": 3.0,
    "stop": 9.5,
    "question": "What does the dog catch?",
    "options": ["A ball", "A stick"],
    "answer": "B",
}
MOST_BYTES = 1 << 26  # a larger file is read line by line alone
MOST_SHOWN = 300  # characters of a line of the user's


def refuse_other_formats(path: Path) -> None:
    """Raise UserError for a table, one JSON list, or objects written over several lines."""
    if path.suffix.lower() in TABLES:
        raise UserError(_table(path))
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return
    text = read_unpacked(path).decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    first = text.partition("\n")[0].strip()
    if _is_json(first) and not first.startswith("["):
        return
    if text.startswith(("[", "{")):
        found = _parsed(text)
        if found is not None:
            raise UserError(
                f"needles: {path} is one JSON {'list' if text[0] == '[' else 'object'}, and JSON lines are wanted: one "
                f"needle on each line, without brackets around them and commas between them. Its first line would be:\n"
                f"{_as_line(found)}"
            )
    elif "," in first and next(csv.reader([first]))[:1] != [first] and "video" in first.lower():
        raise UserError(_table(path))


def _table(path: Path) -> str:
    """Return the message for a table: it can be read as it is, under another key."""
    return (
        f"needles: {path} is a table, and file: takes JSON lines. Write dataset: {path.name} in place of file:, with "
        f"media_root: and the folder of the videos; options are a JSON list in a cell. Or write lines such as:\n"
        f"{json.dumps(SHOWN)}"
    )


def _as_line(found: Any) -> str:
    """Return the first needle of a file as a line of JSON, or an example where it holds none."""
    first = found[0] if isinstance(found, list) and found else found
    for value in first.values() if isinstance(first, dict) else ():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            first = value[0]  # {"needles": [...]}
            break
    line = json.dumps(first, ensure_ascii=False)
    return line if isinstance(first, dict) and "question" in first and len(line) <= MOST_SHOWN else json.dumps(SHOWN)


def _is_json(text: str) -> bool:
    """Return True if a text is JSON."""
    return _parsed(text) is not None


def _parsed(text: str) -> Any:
    """Return what a JSON text holds; None if it is none, or not whole."""
    try:
        return json.loads(text)
    except ValueError:
        return None
