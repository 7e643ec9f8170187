"""Files are scanned in a process with limits: one that ends it costs itself, and no other file."""

import shutil
import sys

import pytest

from niah.media import scan_apart
from niah.media.errors import MediaError
from niah.media.scan import scan
from niah.media.scan_apart import ScanProcess
from tests.helpers.media_samples import make

DIES = "import os, sys; sys.stdin.readline(); os.kill(os.getpid(), {signal})"
HANGS = "import time; time.sleep(600)"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return make(tmp_path_factory.mktemp("media") / "film.mp4", 20)


@pytest.fixture
def started(monkeypatch):
    """Count the processes; put code into `first` to have the first one run it in place of the scanner."""
    first, count, really = [], [], scan_apart._start

    def start():
        count.append(1)
        if not first:
            return really()
        with monkeypatch.context() as patch:
            code = first.pop()
            popen = scan_apart.subprocess.Popen
            patch.setattr(
                scan_apart.subprocess, "Popen", lambda words, **more: popen([sys.executable, "-c", code], **more)
            )
            return really()

    monkeypatch.setattr(scan_apart, "_start", start)
    return first, count


def test_one_process_scans_what_scan_would_and_refuses_what_it_would(film, tmp_path, started):
    (tmp_path / "notes.mp4").write_text("words " * 40)
    with ScanProcess() as apart:
        with pytest.raises(MediaError) as refused:
            apart.scan(tmp_path / "notes.mp4")
        index = apart.scan(film)
        again = apart.scan(film)
    with pytest.raises(MediaError) as wanted:
        scan(tmp_path / "notes.mp4")
    assert str(refused.value) == str(wanted.value)
    assert index == again == scan(film)
    assert len(started[1]) == 1


def test_a_file_that_was_scanned_before_needs_no_process(film, started, tmp_path):
    copy = shutil.copy(film, tmp_path / "copy.mp4")  # which no test has scanned
    index = scan(copy)
    with ScanProcess() as apart:
        assert apart.scan(copy) == index
    assert started[1] == []


@pytest.mark.parametrize(
    "code, seconds, cause",
    [
        (DIES.format(signal=11), "600", "film.mp4: decoding it crashed FFmpeg .SIGSEGV.; re-encode it"),
        (DIES.format(signal=9), "600", "decoding it took more memory than there is, or than VIDEONIAH_SCAN_GIB allows"),
        (HANGS, "0.2", "decoding it takes more than 0 seconds.*VIDEONIAH_SCAN_SECONDS"),
    ],
)
def test_a_file_that_ends_the_process_is_named_and_the_next_gets_another(
    film, started, monkeypatch, code, seconds, cause
):
    started[0].append(code)
    monkeypatch.setenv("VIDEONIAH_SCAN_SECONDS", seconds)
    with ScanProcess() as apart:
        with pytest.raises(MediaError, match=cause):
            apart.scan(film)
        monkeypatch.delenv("VIDEONIAH_SCAN_SECONDS")
        assert len(apart.scan(film).times) == 20
    assert len(started[1]) == 2


def test_the_process_has_less_memory_than_the_machine(film, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_SCAN_GIB", "0.05")  # less than Python and FFmpeg hold already
    with ScanProcess() as apart, pytest.raises(MediaError, match="memory|FFmpeg"):
        apart.scan(film)
