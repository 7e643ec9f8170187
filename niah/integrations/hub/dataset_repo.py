"""Write the dataset card of a published folder, and push the folder to the hub.

The card is a README.md with front matter that the `datasets` library reads. Names of suites, models and files come
from users, so they are escaped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from niah.io import replace_file
from niah.types import UserError

MARK = "<!-- written by python -m niah.publish -->"
UNKNOWN = "unknown"


def plain(text: object) -> str:
    """Return text on one line, escaped for Markdown and HTML."""
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", html.escape(" ".join(str(text).split())))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *([plain(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def config(name: str, split: str, path: str, default: bool = False) -> dict[str, Any]:
    """Return the card's entry for one table of the data set."""
    entry: dict[str, Any] = {"config_name": name, "data_files": [{"split": split, "path": path}]}
    return {**entry, "default": True} if default else entry


def refuse_foreign(folder: Path) -> None:
    """Raise UserError where a folder holds visible files that this command did not write."""
    card = folder / "README.md"
    own = card.is_file() and MARK in card.read_text(encoding="utf-8", errors="replace")
    if own or not folder.exists():
        return
    held = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if held:
        raise UserError(
            f"{folder} holds {held[0]} and no card that niah publish wrote, so its files are somebody else's "
            "and could be lost; name a new or empty folder with -o"
        )


def write_card(folder: Path, head: Mapping[str, Any], body: str) -> str:
    """Write README.md and return its name. Write it before any other file: it marks the folder as this command's."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "README.md"
    front = yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True)
    replace_file(path, f"---\n{front}---\n\n{MARK}\n\n{body.strip()}\n")
    return path.name


def push(folder: Path, files: Sequence[str], name: str, public: bool = False, api: Any = None) -> str:
    """Upload `files` of `folder` to the data set `name` of the hub and return its address.

    `api` is a `huggingface_hub.HfApi`. Raises UserError saying what the hub refused.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    lost = cast(type[Exception], HfHubHTTPError.__mro__[1])  # the error of the HTTP client, whichever the hub takes
    hub = api or HfApi()
    try:
        hub.create_repo(name, repo_type="dataset", private=not public, exist_ok=True)
        hub.upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=str(folder),
            allow_patterns=list(files),  # whatever else lies there stays here
            commit_message="Published with niah publish",
        )
    except (OSError, ValueError, lost) as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{folder} was written but not pushed to {name!r}: {words[0]}. Log in with `hf auth login`, and name a "
            "data set as owner/name"
        ) from None
    return f"{hub.endpoint}/datasets/{name}"
