"""Files are scanned ahead, several at once; what comes out is what scanning one after another gives."""

import shutil
import threading

import pytest

from niah.media import scan_apart
from niah.media.errors import MediaError
from niah.media.scan import scan
from niah.media.scan_many import ScanProcesses
from tests.helpers.media_samples import make


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    return [make(folder / f"{count}.mp4", count) for count in (12, 20, 7)]


def test_indexes_and_refusals_are_those_of_one_scan_after_another(films, tmp_path):
    broken = tmp_path / "notes.mp4"
    broken.write_text("words " * 40)
    with ScanProcesses(2) as many:
        many.announce([films[0], broken, *films[1:]])
        with pytest.raises(MediaError) as refused:
            many.scan(broken)
        found = [many.scan(film) for film in films]
    assert found == [scan(film) for film in films]
    with pytest.raises(MediaError) as wanted:
        scan(broken)
    assert str(refused.value) == str(wanted.value)


def test_announced_files_are_scanned_at_once(films, monkeypatch):
    both = threading.Barrier(2, timeout=30)  # broken unless two files are in progress at the same time
    really = scan_apart.ScanProcess.scan

    def together(self, path):
        both.wait()
        return really(self, path)

    monkeypatch.setattr(scan_apart.ScanProcess, "scan", together)
    with ScanProcesses(2) as many:
        many.announce(films[:2])
        assert [len(many.scan(film).times) for film in films[:2]] == [12, 20]


def test_leaving_breaks_off_what_nobody_waits_for(films, tmp_path, monkeypatch):
    copies = [shutil.copy(films[0], tmp_path / f"{number}.mp4") for number in range(20)]
    asked = []
    monkeypatch.setattr(scan_apart.ScanProcess, "scan", lambda self, path: asked.append(path))
    with pytest.raises(KeyboardInterrupt), ScanProcesses(1) as many:
        many.announce(copies[:1])
        many.scan(copies[0])
        many._threads.submit(threading.Event().wait, 1.0)
        many.announce(copies[1:])
        raise KeyboardInterrupt
    assert asked == [str(copies[0])]
