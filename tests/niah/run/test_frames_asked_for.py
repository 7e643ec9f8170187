"""A model that asks for frames by itself: its record holds what it looked at."""

import json

from tests.helpers.commands import run
from tests.helpers.small_suite import make_suite


def test_what_a_model_looked_at_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    suite, out = make_suite(tmp_path), tmp_path / "out"
    flags = ["--suite", str(suite), "--output_path", str(out), "--conditions", "full", "--lengths", "40"]
    assert run(["--model", "tests.helpers.fake_adapters:zooming", *flags, "--in_process", "--no_figures"]) == 0
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    # Ten frames: 0, 4 … 36. Of needles at 9 to 12 and 27 to 30 frames 12 and 28 are seen; six more around each.
    looked = {record["case"].split(".")[-1]: record for record in records}
    assert {start: record["frames_used"] for start, record in looked.items()} == {"9": 16, "27": 16}
    assert [record["needle_frames_used"] for record in records] == [4] * 6
    assert all(record["measured"]["handed_out"] == record["frames_used"] for record in records)
