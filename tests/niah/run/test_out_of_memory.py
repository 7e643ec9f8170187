"""A model that runs out of memory at 4K frames: the run is complete, and its heatmap says OOM."""

import csv
import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml

from niah.media.writer import write_mp4
from niah.types import Reply

ROOT = Path(__file__).resolve().parents[3]
LENGTHS, DEPTHS = (2000, 4000), (0.1, 0.9)
HELD = 64 << 10  # bytes a frame: 125 MiB at 2,000 frames, 250 MiB at 4,000


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


class Keeps:
    """An adapter that holds all it has seen; what the needle shows it guesses."""

    def __init__(self, device_bytes, stay):
        self.device_bytes, self.stay = device_bytes, stay

    def answer(self, video, question):
        if self.device_bytes and len(video) * HELD > self.device_bytes:
            raise OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(video) * HELD} bytes")
        held = np.ones((len(video), HELD), np.uint8)
        if len(video) > 2000:
            time.sleep(self.stay)  # what grows past a limit is noticed within a tenth of a second, not at once
        used = range(len(video))
        return Reply("A" if held.all() else "B", frames_used=used, frames_kept=used)


def load(device_mib=0, stay=0):
    return Keeps(device_mib << 20, stay)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a haystack of 4,000 frames, a needle of 10 and a suite of 2 lengths x 2 depths and the controls."""
    folder = tmp_path_factory.mktemp("long")
    draw = np.random.default_rng(0)
    (folder / "haystacks").mkdir()
    tiles = draw.integers(0, 255, (80, 4, 4, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)  # (80, 16, 16, 3)
    frames = (np.roll(tiles[number // 50], number % 50, axis=1) for number in range(4000))
    write_mp4(folder / "haystacks" / "long.mp4", frames, Fraction(1))
    write_mp4(folder / "clip.mp4", (255 - tile for tile in tiles[:10]), Fraction(1))
    needle = {"video": "clip.mp4", "question": "Which?", "options": ["one", "two"], "answer": "A"}
    (folder / "needles.jsonl").write_text(json.dumps(needle) + "\n")
    suite = {
        "name": "long", "version": 1, "lengths": list(LENGTHS), "depths": list(DEPTHS),
        "sampling": {"rate": 1, "width": 16, "height": 16},
        "haystacks": {"folder": "haystacks"}, "needles": {"file": "needles.jsonl"},
        "conditions": ["full", "needle_only", "no_needle", "blind"],
    }  # fmt: skip
    (folder / "long.yaml").write_text(yaml.safe_dump(suite))
    return folder


WAYS = [
    (["--model_args", "device_mib=200"], "CUDA out of memory"),  # the adapter's own error, as torch raises it
    (["--memory_limit_gib", "0.25", "--model_args", "stay=60"], "host memory passed the limit of 0.25 GiB"),
]


@pytest.mark.slow
@pytest.mark.parametrize("flags, words", WAYS)
def test_model_out_of_memory_at_4k_leaves_a_complete_run_whose_heatmap_says_so(folder, tmp_path, flags, words):
    command = [sys.executable, "-m", "niah.run", "--suite", str(folder / "long.yaml"), "--output_path", str(tmp_path)]
    model = ["--model", "tests.niah.run.test_out_of_memory:load", *flags]
    environment = {**os.environ, "VIDEONIAH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *model], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    cases = {row["id"]: row for row in map(json.loads, (tmp_path / "cases.jsonl").read_text().splitlines())}
    records = {row["case"]: row for row in map(json.loads, (tmp_path / "records.jsonl").read_text().splitlines())}
    assert cases.keys() == records.keys() and len(cases) == 2 * 2 + 1 + 2 + 1
    out = {name for name, record in records.items() if record["status"] == "oom"}
    assert out == {name for name, case in cases.items() if case["length"] == 4000} and len(out) == 3
    assert {record["status"] for name, record in records.items() if name not in out} == {"ok"}
    assert all(words in records[name]["detail"] for name in out)
    cells = csv.DictReader((tmp_path / "heatmap.csv").read_text().splitlines())
    drawn = {(cell["length"], cell["depth"]): (cell["status"], cell["accuracy"]) for cell in cells}
    answered, lost = ("ok", "1"), ("oom", "")
    assert drawn == {
        ("2000", "0.1"): answered,
        ("2000", "0.9"): answered,
        ("4000", "0.1"): lost,
        ("4000", "0.9"): lost,
    }
    assert (tmp_path / "heatmap.svg").read_text().count("<!-- OOM -->") == 2  # one word in each cell that has no answer
