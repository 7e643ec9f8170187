"""Every way of reading reads the same frames; ratios are formed within a turn."""

import json
import subprocess
import sys

import pytest

from niah.media.scan import scan
from niah.tools import reading_bench
from niah.tools.reading_bench import AHEAD, SERIAL, WAYS, reading_lines
from tests.helpers.media_samples import make


@pytest.mark.parametrize("way", [*WAYS, AHEAD])
def test_a_way_is_timed_by_the_command(way, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    film = make(tmp_path / "film.mp4", 30)
    command = [sys.executable, "-m", "niah", "bench", "media", str(film), "--one", f"reading/{way}/0.001"]
    timed = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert timed["wall"] >= timed["slept"] >= 0.001
    assert timed["cpu"] > 0 and timed["decoded"] > 0


def test_ratios_are_medians_over_turns(monkeypatch, tmp_path):
    factors = dict(zip([*WAYS, SERIAL, AHEAD], (1.0, 0.5, 0.25, 0.3, 0.03, 0.5, 0.3), strict=True))
    slowness = iter([1.0, 10.0, 2.0])

    def turn(index, rate, seconds):
        slow = next(slowness)
        rest = {"cpu": slow, "slept": 0.0, "decoded": 1000, "kept_bytes": 30_000}
        return {way: {"wall": slow * factor, **rest} for way, factor in factors.items()}

    monkeypatch.setattr(reading_bench, "_turn", turn)
    lines = list(reading_lines(scan(make(tmp_path / "film.mp4", 30)), "1", 3, 60.0))
    assert "| skipping, threads | 0.25 | 1.00 | 1,000 |" in lines
    assert "second pass / first pass: wall 0.10, CPU 1.00; 10 kB are kept of a frame" in lines
    assert f"| {SERIAL} | 2.00 |" in lines
    assert f"| {AHEAD} | 1.20 |" in lines
