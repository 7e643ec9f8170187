"""Write the report page: one HTML file made of a template, a style sheet, scripts and data.

Text from users (questions, replies, names) is stored as JSON in a tag that is not executed, and the scripts insert it
as text only. As a second line of defence, the page's content security policy allows only the scripts whose hashes it
lists, and no network access.
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

from niah.analysis.kinds import split_kinds
from niah.analysis.load import join_shards, read_run, with_distinct_names
from niah.io import replace_file
from niah.report.content import page_data
from niah.report.footage import find_videos
from niah.report.pictures import MAX_BYTES, FramePictures, by_suite, take_pictures
from niah.types import UserError

MARK = b"<!-- written by python -m niah.report -->"  # the second line of page.html; earlier pages have it too
SCRIPTS = ("dom.js", "heatmap.js", "timeline.js", "cases.js", "page.js")


def write_report(
    folders: Sequence[Path], path: Path, *, thumbnails: bool = True, suite: str | None = None
) -> tuple[str, ...]:
    """Write the page of some run folders to `path`; return notes on missing pictures.

    `suite` names the suite file of runs on the user's own videos. Raises UserError where a
    run cannot be read or holds no case, and where `path` is a file that this command did not write.
    """
    _refuse_foreign(path)
    read = [read_run(folder) for folder in folders]
    runs = with_distinct_names(split_kinds(join_shards(read)))
    empty = [str(run.folder) for run in runs if not run.cases]
    if empty:
        raise UserError(f"{', '.join(empty)}: cases.jsonl is empty, so there is nothing to report; run it again")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}; make it, or name another file with -o")
    data = page_data(runs)
    pictures = FramePictures({}, ("pictures were left out with --no_thumbnails",))
    if thumbnails:
        videos, notes = find_videos(read, suite)
        taken = take_pictures(runs, videos, MAX_BYTES - sum(map(len, (data["rows"], *data["details"]))))
        pictures = FramePictures(taken.encoded, (*notes, *taken.notes))
    replace_file(path, page({**data, "pictures": by_suite(pictures), "notes": [*data["notes"], *pictures.notes]}))
    return pictures.notes if thumbnails else ()


def _refuse_foreign(path: Path) -> None:
    """Raise UserError where `path` is a file that this command did not write, which would be lost."""
    if not path.is_file():
        return
    with open(path, "rb") as file:
        head = file.read(256)
    if MARK not in head:
        raise UserError(
            f"{path} was not written by niah report and is left unchanged: name another file with -o, or move this one"
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
    # In one pass, because a question may contain another placeholder.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found.group(1)], _file("page.html"))


def as_json(data: Any) -> str:
    """Return JSON that is safe in a script tag: it contains no character that opens or closes a tag."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate, which UTF-8 cannot encode


@cache
def _vega() -> str:
    """Return the JavaScript of Vega, Vega-Lite and Vega-Embed, as vl-convert ships it."""
    import vl_convert  # imported here: 80 MB that nothing else needs

    return f"(() => {{\n{vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;')}\n}})();"


def _script(text: str) -> str:
    """Return a script in which nothing closes its tag; JavaScript reads both spellings alike."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    """Return the hash by which the content security policy names a script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _file(name: str) -> str:
    """Return the text of a file beside this one."""
    return (files("niah.report") / name).read_text(encoding="utf-8")
