"""The dataset card of what is published: a README.md whose head the `datasets` library reads.

Names of suites, models and files are other people's words, so none reaches the page as markup.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from niah.types import UserError

MARK = "<!-- written by python -m niah.publish -->"
UNKNOWN = "unknown"


def plain(text: object) -> str:
    """Return words that show as they are in Markdown and in HTML, on one line."""
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", html.escape(" ".join(str(text).split())))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *([plain(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def config(name: str, split: str, path: str, default: bool = False) -> dict[str, Any]:
    """Return the entry of one table of the data set."""
    entry: dict[str, Any] = {"config_name": name, "data_files": [{"split": split, "path": path}]}
    return {**entry, "default": True} if default else entry


def write_card(folder: Path, head: Mapping[str, Any], body: str) -> str:
    """Write README.md and return its name. Raises UserError where somebody else's lies there."""
    path = folder / "README.md"
    if path.is_file() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"{path} was not written by this command and would be lost; name another folder with -o")
    front = yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True)
    path.write_text(f"---\n{front}---\n\n{MARK}\n\n{body.strip()}\n", encoding="utf-8", newline="\n")
    return path.name
