"""Scanning is timed by the command, and compared within a turn."""

import json
import subprocess
import sys

import pytest

from niah.tools import scanning_bench
from niah.tools.scanning_bench import scanning_lines
from niah.types import UserError
from tests.helpers.media_samples import make


def test_a_folder_with_a_broken_file_is_scanned_by_two_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    make(tmp_path / "film.mp4", 10)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    command = [sys.executable, "-m", "niah", "bench", "media", str(tmp_path), "--one", "scanning/2"]
    assert json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["wall"] > 0
    assert len(list((tmp_path / "cache" / "index").iterdir())) == 1


def test_ratios_are_formed_within_a_turn(tmp_path, monkeypatch):
    (tmp_path / "film.mp4").touch()
    walls = iter([10.0, 5.0, 100.0, 60.0, 20.0, 11.0])
    monkeypatch.setattr(scanning_bench, "_run", lambda folder, count, seconds: next(walls))
    monkeypatch.setattr(scanning_bench.os, "cpu_count", lambda: 2)
    lines = list(scanning_lines(tmp_path, 3, 60.0))
    assert lines[1:] == ["scanned by 1 at a time: 20.0 s, 1.00", "scanned by 2 at a time: 11.0 s, 0.55"]


def test_a_folder_without_videos_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no video"):
        list(scanning_lines(tmp_path, 3, 60.0))
