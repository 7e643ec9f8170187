"""The page as one file: template, style, scripts and data put together.

What users wrote (questions, replies, names) travels as JSON in a tag that is no script, and the
browser only ever sets it as text. Should that fail all the same, the page's policy lets no
script run but those whose hashes it names, and nothing be fetched from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from niah.analysis.load import join_shards, read_run, with_distinct_names
from niah.io import replace_file
from niah.report.content import page_data
from niah.report.footage import find_videos
from niah.report.pictures import FramePictures, take_pictures
from niah.types import UserError

MARK = b"<!-- written by python -m niah.report -->"  # in the first line but one of page.html
SCRIPTS = ("dom.js", "heatmap.js", "timeline.js", "cases.js", "page.js")


def write_report(
    folders: Sequence[Path], path: Path, *, thumbnails: bool = True, suite: str | None = None
) -> tuple[str, ...]:
    """Write the page about some run folders to `path`; return in words which pictures it lacks.

    `suite` names the suite file where the runs are of the user's own videos. Raises UserError where a
    run cannot be read, or holds no case, and where `path` is a file that is no earlier page of this command.
    """
    _refuse_foreign(path)
    read = [read_run(folder) for folder in folders]
    runs = with_distinct_names(join_shards(read))
    empty = [str(run.folder) for run in runs if not run.cases]
    if empty:
        raise UserError(f"{', '.join(empty)}: cases.jsonl holds no case, so there is nothing to report; run it again")
    if not path.parent.is_dir():
        raise UserError(f"the page goes to {path}, and there is no folder {path.parent}; make it, or name another -o")
    pictures = FramePictures({}, ("pictures were left out with --no_thumbnails",))
    if thumbnails:
        films, notes = find_videos(read, suite)
        taken = take_pictures(runs, films)
        pictures = FramePictures(taken.encoded, (*notes, *taken.notes))
    replace_file(path, page(page_data(runs, pictures)))
    return pictures.notes if thumbnails else ()


def _refuse_foreign(path: Path) -> None:
    """Raise UserError where a file would be lost that this command did not write."""
    if not path.is_file():
        return
    with open(path, "rb") as file:
        head = file.read(256)
    if MARK not in head:
        raise UserError(
            f"{path} is no page that niah report wrote, so it was left as it is: name another file with -o, "
            "or move this one away"
        )


def page(data: dict[str, Any]) -> str:
    """Return the HTML of the data that `niah.report.content` makes."""
    drawing = _script(_vega())
    own = _script('"use strict";\n' + "\n".join(_file(name) for name in SCRIPTS))
    names = ", ".join(dict.fromkeys(run["model"] for run in data["runs"]))
    parts = {
        "title": escape(f"VideoNIAH: {names}"),
        "hashes": " ".join(_hash(script) for script in (drawing, own)),
        "style": _file("page.css"),
        "data": as_json(data),
        "drawing": drawing,
        "script": own,
    }
    # In one pass: a question may hold the mark of another part.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found.group(1)], _file("page.html"))


def as_json(data: Any) -> str:
    """Return JSON that can stand in a script tag: no character of it can open or close a tag."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair, which UTF-8 cannot write


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed, as vl-convert ships them."""
    import vl_convert  # here, because its 80 MB are needed by nothing else

    return f"(() => {{\n{vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;')}\n}})();"


def _script(text: str) -> str:
    """Return a script in which nothing can close its tag; in JavaScript both spellings mean the same."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    """Return how a page's policy names a script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _file(name: str) -> str:
    """Return a file that lies beside this one."""
    return (files("niah.report") / name).read_text(encoding="utf-8")
