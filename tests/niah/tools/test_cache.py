"""What the cache command lists and deletes, and above all what it does not."""

import os
import time

import pytest

from niah.tools.cache import CachedFile, cached_files, clean, parse_age
from niah.types import UserError
from tests.helpers.commands import cache as main

FILES = (
    "footage-1/w/1-fps/a.mp4",
    "index/b.json",
    "rendered/c.mp4",
    "downloads/0a/d.mp4",
    "hashes/e.npz",
    "cuts/f.json",
)
OTHERS = ("thesis.tex", "photos/f.jpg", "footage-old/g.mp4", "index.txt")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder that is a cache and somebody's home at once; every file was used 40 days ago but rendered/."""
    root = tmp_path / "home"
    monkeypatch.setenv("VIDEONIAH_CACHE", str(root))
    for name in (*FILES, *OTHERS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * 2**20)
        if not name.startswith("rendered"):
            os.utime(root / name, (time.time() - 40 * 86400,) * 2)
    return root


def left(root):
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_clean_deletes_every_file_of_the_cache_and_no_other(cache, capsys):
    assert main(["clean"]) == 0
    assert left(cache) == set(OTHERS)
    assert capsys.readouterr().out == f"deleted 6 files, 6.0 MiB, of {cache}\n"
    assert sorted(path.name for path in cache.iterdir()) == ["footage-old", "index.txt", "photos", "thesis.tex"]


def test_a_dry_run_deletes_nothing(cache, capsys):
    assert main(["clean", "--dry_run"]) == 0
    assert left(cache) == {*FILES, *OTHERS} and capsys.readouterr().out.startswith("would delete 6 files")


def test_older_than_keeps_what_was_used_since(cache):
    assert main(["clean", "--older-than", "41d"]) == 0 and len(left(cache)) == 10
    assert main(["clean", "--older-than", "39d"]) == 0 and left(cache) == {"rendered/c.mp4", *OTHERS}


def test_reading_a_file_counts_as_use(cache):
    old = time.time() - 40 * 86400
    os.utime(cache / "index" / "b.json", (time.time(), old))
    main(["clean", "--older-than", "30d", "--what", "index,hashes"])
    assert left(cache) == {*FILES, *OTHERS} - {"hashes/e.npz"}


def test_links_are_neither_followed_nor_deleted(cache, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.mp4").write_bytes(b"x")
    (cache / "index" / "folder").symlink_to(outside)
    (cache / "index" / "file.json").symlink_to(outside / "precious.mp4")
    (cache / "hashes" / "e.npz").unlink()
    (cache / "hashes").rmdir()
    (cache / "hashes").symlink_to(outside)
    assert main(["clean"]) == 0
    assert left(outside) == {"precious.mp4"}
    assert (cache / "index" / "folder").is_symlink() and (cache / "index" / "file.json").is_symlink()


def test_a_folder_that_became_a_link_in_the_meantime_is_not_followed(cache, tmp_path):
    files = [file for file in cached_files(cache) if file.kind == "index"]
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.json").write_bytes(b"x")
    (cache / "index" / "b.json").unlink()
    (cache / "index").rmdir()
    (cache / "index").symlink_to(outside)
    with pytest.raises(OSError):
        clean(cache, files)
    assert left(outside) == {"b.json"}


@pytest.mark.parametrize("name", ["thesis.tex", "index/../thesis.tex"])
def test_a_file_that_is_not_the_cache_s_is_refused(cache, name):
    with pytest.raises(UserError, match="is no file of the cache"):
        clean(cache, [CachedFile("index", cache / name, 1, 0.0)])
    assert (cache / "thesis.tex").is_file()


def test_list_counts_each_kind_and_names_what_is_not_its_own(cache, capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[2:8]] == [
        [kind, "1", "1.0"] for kind in ("footage", "index", "cuts", "hashes", "rendered", "downloads")
    ]
    assert [line.split()[:3] for line in lines[8:10]] == [[kind, "0", "0.0"] for kind in ("frames", "suite_places")]
    assert lines[10] == "not part of the cache, never deleted: footage-old, index.txt, photos, thesis.tex"


def test_a_cache_that_is_not_there_yet_is_empty(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "none"))
    assert main(["list"]) == 0 and main(["clean"]) == 0
    assert "deleted 0 files" in capsys.readouterr().out and not (tmp_path / "none").exists()


@pytest.mark.parametrize("text, seconds", [("30d", 2592000), ("12h", 43200), ("1.5w", 907200)])
def test_an_age_is_read_as(text, seconds):
    assert parse_age(text) == seconds


@pytest.mark.parametrize(
    "flags", [["--older-than", "30"], ["--older-than", "-1d"], ["--older-than", ""], ["--what", "home"], ["--what", ""]]
)
def test_a_mistake_deletes_nothing(cache, flags):
    assert main(["clean", flags[0] + "=" + flags[1]]) == 2
    assert len(left(cache)) == 10


def test_what_a_run_renames_or_adds_meanwhile_ends_nothing(cache, monkeypatch):
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top: ((here, [], [*names, "gone"]) for here, _, names in walk(top)))
    files = list(cached_files(cache))
    assert len(files) == 6
    (cache / "index" / "new.json").write_bytes(b"x")
    (cache / "hashes" / "e.npz").unlink()
    (cache / "hashes").rmdir()
    clean(cache, files)
    assert left(cache) == {"index/new.json", *OTHERS}
