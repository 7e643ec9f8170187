"""Tiny tables in the public schemas: grey clips, whose brightness is asked.

`tests.helpers.fake_adapters:right` names the brightest frame. The clips show 150 and 220; each table has a wrong answer.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from niah.media.writer import write_mp4

GREYS = {"dark": 150, "light": 220}
OPTIONS = ["150", "185", "220", "253"]
ASKED = "How bright is the clip?"
LINES = "\n".join(f"({letter}) {option}" for letter, option in zip("ABCD", OPTIONS, strict=True))
LETTERED = [f"{letter}. {option}" for letter, option in zip("ABCD", OPTIONS, strict=True)]


def write_clips(folder: Path) -> Path:
    """Write dark.mp4 and light.mp4: four seconds at ten frames a second, 16 x 16."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, level in GREYS.items():
        frames = (np.full((16, 16, 3), level, np.uint8) for _ in range(40))
        write_mp4(folder / f"{name}.mp4", frames, Fraction(10))
    return folder


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def video_mme() -> list[dict]:
    def row(number, video, duration, answer):
        return {
            "video_id": f"{number:03}", "duration": duration, "domain": "Knowledge", "sub_category": "Astronomy",
            "url": "https://www.youtube.com/watch?v=x", "videoID": video, "question_id": f"{number:03}-1",
            "task_type": "Counting Problem", "question": ASKED, "options": LETTERED, "answer": answer,
        }  # fmt: skip

    given = [("dark", "short", "A"), ("light", "medium", "C"), ("light", "long", "C"), ("dark", "long", "B")]
    return [row(number, *one) for number, one in enumerate(given)]


def mlvu_published() -> list[dict]:
    given = [("dark", "plotQA", "150"), ("light", "plotQA", "220"), ("light", "count", "220"), ("dark", "ego", "185")]
    return [
        {"video": f"{video}.mp4", "duration": 4.0, "question": ASKED, "candidates": OPTIONS, "answer": answer,
         "question_type": kind}
        for video, kind, answer in given
    ]  # fmt: skip


def mlvu_hub() -> list[dict]:
    given = [("dark", "plotQA", "A"), ("light", "plotQA", "C"), ("light", "count", "C"), ("dark", "ego", "B")]
    return [
        {"video_name": f"{video}.mp4", "duration": 4.0, "question": f"{ASKED}\n{LINES}", "answer": answer,
         "task_type": kind}
        for video, kind, answer in given
    ]  # fmt: skip


def longvideobench_published() -> list[dict]:
    given = [("dark", 15, 0), ("light", 60, 2), ("light", 3600, 2), ("dark", 3600, 1)]
    return [
        {"video_id": video, "video_path": f"{video}.mp4", "id": f"{video}_{number}", "question": ASKED,
         "question_category": "S2E", "candidates": OPTIONS, "correct_choice": right, "duration": 4.0,
         "duration_group": group, "subtitle_path": f"{video}_en.json"}
        for number, (video, group, right) in enumerate(given)
    ]  # fmt: skip


def longvideobench_hub() -> list[dict]:
    rows = longvideobench_published()
    for row in rows:
        options = [*row.pop("candidates"), "N/A"]
        row.update({f"option{number}": option for number, option in enumerate(options)})
    return rows


def egoschema_hub() -> list[dict]:
    return [
        {"question_idx": "0", "question": ASKED, "video_idx": video, "option": [*LETTERED, "E. 90"], "answer": answer}
        for video, answer in (("dark", "0"), ("light", "1"))
    ]


def egoschema_published() -> list[dict]:
    options = {f"option {number}": option for number, option in enumerate([*OPTIONS, "90"])}
    given = (("dark", 0), ("light", 1))
    return [{"q_uid": video, "question": ASKED, **options, "answer": right} for video, right in given]


def lvbench_published() -> list[dict]:
    def asked(uid, answer, *kinds):
        return {"uid": uid, "question": f"{ASKED}\n{LINES}", "answer": answer, "question_type": list(kinds),
                "time_reference": "00:01-00:02"}  # fmt: skip

    return [
        {"key": "dark", "type": "cartoon", "qa": [asked("1", "A", "entity recognition"), asked("2", "D", "reasoning")]},
        {"key": "light", "type": "sport", "qa": [asked("3", "C", "reasoning", "entity recognition")]},
    ]


def lvbench_hub() -> list[dict]:
    return [
        {"uid": uid, "video_path": f"{video}.mp4", "question": ASKED, "options": OPTIONS, "answer": answer,
         "question_type": kinds}
        for uid, video, answer, kinds in (
            ("1", "dark", "A", ["entity recognition"]), ("2", "dark", "D", ["reasoning"]),
            ("3", "light", "C", ["reasoning", "entity recognition"]),
        )
    ]  # fmt: skip


def vnbench() -> list[dict]:
    """Two questions of four tries each; one try of the second is wrong."""
    rows = []
    for video, kind in (("dark", "ret_edit1"), ("light", "cnt_insert1")):
        for turn in range(4):
            options = OPTIONS[turn:] + OPTIONS[:turn]
            right = options.index(str(GREYS[video]))
            wrong = video == "light" and turn == 3
            rows.append(
                {"video": f"./VNBench_new/{video}.mp4", "question": ASKED, "options": options, "needle_time": [1.0],
                 "gt": str(GREYS[video]), "gt_option": "ABCD"[(right + wrong) % 4], "length": 4.0, "type": kind,
                 "try": turn}
            )  # fmt: skip
    return rows
