"""Write a tiny table in Video-MME's schema with videos of built-in footage, to try the task with.

The clips of the suite `smoke` are shown alone (short), hidden in 200 frames (medium) and in 400 (long). Accuracy on it
says nothing about Video-MME.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from niah.io import replace_file
from niah.suite.build import generate
from niah.suite.config import load_suite
from niah.suite.render import render
from niah.types import LETTERS, Case

SRT = '1\n00:00:00,000 --> 00:00:02,000\n<font color="white" size=".72c">Nobody speaks.</font>\n'
HIDDEN = {200: "medium", 400: "long"}


def write_sample(folder: Path) -> Path:
    """Write 12 videos, their subtitles and the table into `folder`, and return the table."""
    generated = generate(*load_suite("smoke"))
    rows = []
    for case in generated.cases:
        duration = _duration(case)
        if duration is not None:
            video = case.id.replace("/", "-")
            render(case, generated, folder / "videos" / f"{video}.mp4")
            (folder / "subtitles").mkdir(exist_ok=True)
            replace_file(folder / "subtitles" / f"{video}.srt", SRT)
            rows.append(_row(case, video, duration))
    table = folder / "video_mme.jsonl"
    replace_file(table, "".join(json.dumps(row) + "\n" for row in rows))
    return table


def _duration(case: Case) -> str | None:
    """Return what Video-MME would call a case's length; None for a case that is not in the sample."""
    if case.condition == "needle_only":
        return "short"
    middle = case.depth is not None and 1 / 3 <= case.depth < 2 / 3  # the middle one of three depth bins
    return HIDDEN.get(case.length) if case.condition == "full" and middle else None


def _row(case: Case, video: str, duration: str) -> dict[str, Any]:
    """Return a case in Video-MME's columns."""
    return {
        "video_id": case.needle,
        "duration": duration,
        "domain": "built-in footage",
        "sub_category": case.type,
        "url": "",
        "videoID": video,
        "question_id": case.id,
        "task_type": case.type,
        "question": case.question,
        "options": [f"{letter}. {option}" for letter, option in zip(LETTERS, case.options, strict=False)],
        "answer": case.answer,
    }
