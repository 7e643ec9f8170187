"""Read a video's subtitles as one text, from .srt files as they circulate.

Video-MME's own files put every line into a <font> tag, and the release keeps what stands in tags and nothing else. Any
other file is read as players read it: a line for each cue, without markup.
"""

from __future__ import annotations

import codecs
import html
import re
from pathlib import Path

from niah.types import UserError

FONT = re.compile(r"<font\b", re.IGNORECASE)
IN_TAGS = re.compile(r">([^<>]+)<")
TIMES = re.compile(r"[ \t]*(?:\d+:)?\d+:\d+[.,]\d+[ \t]*-->.*")  # the line of a cue that says when it is shown
MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|\{\\[^{}]*\}")  # <i>, </font>, <c.yellow>; {\an8}
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_subtitles(file: Path) -> str:
    """Return the text of an .srt file, "" where it holds no words. Raises UserError for an unknown encoding."""
    data = file.read_bytes()
    half_empty = data[:200].count(b"\0") > len(data[:200]) / 4  # UTF-16 of Latin letters, without its mark
    encoding = "utf-16" if data.startswith(UTF_16) else "utf-16-le" if half_empty else "utf-8-sig"
    try:
        return subtitle_text(data.decode(encoding))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is in no encoding that can be recognised ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from None


def subtitle_text(srt: str) -> str:
    """Return the words of an .srt file: a line for each line in tags where it has <font> tags, else for each cue."""
    if FONT.search(srt):
        return "\n".join(found for line in srt.splitlines() for found in IN_TAGS.findall(line))
    cues: list[list[str]] = []
    inside = False
    for line in srt.splitlines():
        if TIMES.fullmatch(line):
            cues.append([])
            inside = True
        elif not line.strip():
            inside = False  # a number comes next, which is no part of a cue
        elif inside:
            cues[-1].append(" ".join(html.unescape(MARKUP.sub("", line)).split()))
    texts = (" ".join(filter(None, cue)) for cue in cues)
    return "\n".join(text for text in texts if text)
