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
def test_a_way_is_timed_by_the_command(way, tmp_path):
    film = make(tmp_path / "film.mp4", 30)
    command = [sys.executable, "-m", "niah", "bench", "media", str(film), "--one", f"reading/{way}/0.001"]
    timed = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert timed["wall"] >= timed["slept"] >= 0.001
    assert timed["cpu"] > 0


def test_ratios_are_medians_over_turns(monkeypatch, tmp_path):
    factors = {"every frame": 1.0, "skipping": 0.5, "skipping, threads": 0.25, SERIAL: 0.5, AHEAD: 0.3}
    slowness = iter([1.0, 10.0, 2.0])

    def turn(index, seconds):
        slow = next(slowness)
        return {way: {"wall": slow * factor, "cpu": slow, "slept": 0.0} for way, factor in factors.items()}

    monkeypatch.setattr(reading_bench, "_turn", turn)
    lines = list(reading_lines(scan(make(tmp_path / "film.mp4", 30)), 3, 60.0))
    assert "| skipping, threads | 0.25 | 1.00 |" in lines
    assert f"| {SERIAL} | 2.00 |" in lines
    assert f"| {AHEAD} | 1.20 |" in lines
