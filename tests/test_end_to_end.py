"""The shipped ViLaMP through the whole harness: files, decoder, worker, records, table, figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from niah.types import Case

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


def run(folder, *arguments):
    """Run the command in a process of its own and return records and cases by name."""
    command = [sys.executable, "-m", "niah.run", "--model", "vilamp", "--output_path", str(folder), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    records, cases = (
        [json.loads(line) for line in (folder / name).read_text().splitlines()]
        for name in ("records.jsonl", "cases.jsonl")
    )
    return {record["case"]: record for record in records}, {case["id"]: Case.from_json(case) for case in cases}


def answers(records):
    """Return everything of the records that must be equal between runs."""
    return {name: {k: v for k, v in record.items() if k != "measured"} for name, record in records.items()}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke")
    return folder, *run(folder, "--suite", "smoke")


def test_the_smoke_suite_answers_every_case_and_draws(smoke):
    folder, records, cases = smoke
    assert records.keys() == cases.keys() and len(records) == 52  # 24 full, 16 blind, 4 of each other control
    assert {record["status"] for record in records.values()} == {"ok"}
    for name in ("table.csv", "heatmap.png", "heatmap.svg", "heatmap.csv", "memory.png", "run.json"):
        assert (folder / name).stat().st_size > 0, name


def test_records_with_and_without_reuse_agree(smoke, tmp_path):
    _, reused, _ = smoke
    flags = ("--conditions", "full,swapped")  # other lengths would be other footage files
    without = ("--model_args", "store_gib=0,store_disk_gib=0", "--in_process", "--no_figures")
    fresh, _ = run(tmp_path, "--suite", "smoke", *flags, *without)  # three workers would load torch three times
    assert all(record["measured"]["reused_frames"] == 0 for record in fresh.values())
    shared = fresh.keys() & reused.keys()
    assert len(shared) == 28  # 4 needles x (2 lengths x 3 bins + 1 swapped)
    assert sum(reused[name]["measured"]["reused_frames"] for name in shared) > 0
    assert answers({name: fresh[name] for name in shared}) == answers({name: reused[name] for name in shared})


def test_a_source_is_decoded_once_besides_the_cases_without_reuse(smoke):
    _, records, cases = smoke
    spans = [span for case in cases.values() for span in case.timeline]
    needed = {(span.source, number) for span in spans for number in range(span.start, span.stop)}
    warm = [record["measured"]["decoded_frames"] for record in records.values() if not record["measured"]["cold"]]
    # to show a frame the decoder may first pass the frames since the last keyframe, every 48 in these files
    assert sum(warm) <= len(needed) + 48 * sum(1 for frames in warm if frames)


def test_one_case_of_each_length_reuses_nothing(smoke):
    _, records, cases = smoke
    cold = [cases[name].length for name, record in records.items() if record["measured"]["cold"]]
    assert sorted(cold) == [200, 400]
    assert all(r["measured"]["reused_frames"] == 0 for r in records.values() if r["measured"]["cold"])
