"""How far a manifest may lead: files, links and addresses that are refused, and downloads that end."""

import json
import os
from pathlib import Path

import pytest

from niah.settings import from_mapping
from niah.suite.config import Downloads, Haystacks, Needles
from niah.suite.downloads import download, transfer
from niah.suite.library import Library
from niah.suite.needles import read_needles
from niah.suite.user_media import _scan_needles, find_videos
from niah.types import UserError
from tests.helpers.film_server import (
    BODY,
    HERE,
    absent,
    dripping,
    dripping_headers,
    endless,
    leading_to,
    serving,
    silent,
    too_long,
    too_short,
    whole,
)
from tests.helpers.generate_fakes import FakeIndex, suite, write_text

ROW = {"question": "Who?", "options": ["Ann", "Bob"], "answer": "B"}


@pytest.fixture
def films(tmp_path, monkeypatch):
    """A media root with one video in it and one beside it, and a cache of its own."""
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "cat.mp4").touch()
    (tmp_path / "secret.mp4").touch()
    return tmp_path / "films"


def read(films, video, **settings):
    """Read a manifest beside its videos that names one video."""
    write_text(films / "needles.jsonl", json.dumps({"video": video, **ROW}))
    (row,) = read_needles(Needles("needles.jsonl", **settings), films)
    return row.needle


OUTSIDE = ["../secret.mp4", "../secret", "sub/../../secret.mp4", "{root}/secret.mp4", "link.mp4", "folder/secret.mp4"]


@pytest.mark.parametrize("video", OUTSIDE)
def test_a_manifest_does_not_reach_out_of_its_media_root(films, video):
    (films / "link.mp4").symlink_to(films.parent / "secret.mp4")
    (films / "folder").symlink_to(films.parent)
    with pytest.raises(UserError, match=r"line 1: video .* leads out of .*films: put .* allow_outside: true"):
        read(films, video.format(root=films.parent))


@pytest.mark.parametrize("video", OUTSIDE)
def test_a_manifest_that_is_trusted_reaches_further(films, video):
    (films / "link.mp4").symlink_to(films.parent / "secret.mp4")
    (films / "folder").symlink_to(films.parent)
    (films / "sub").mkdir()
    path = read(films, video.format(root=films.parent), allow_outside=True).path
    assert os.path.realpath(path) == str(films.parent / "secret.mp4")


def test_what_lies_outside_is_not_listed_in_the_error(films):
    with pytest.raises(UserError) as raised:
        read(films, "../nothing.mp4")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("video", ["cat.mp4", "cat", "./cat.mp4", "../films/cat.mp4", "inner.mp4", "{root}/cat.mp4"])
def test_a_way_round_that_ends_inside_is_inside(films, video):
    (films / "inner.mp4").symlink_to(films / "cat.mp4")
    assert os.path.realpath(read(films, video.format(root=films)).path) == str(films / "cat.mp4")


def test_a_media_root_that_is_a_link_is_its_target(films):
    (films.parent / "shortcut").symlink_to(films)
    assert read(films, "cat.mp4", media_root="../shortcut").path.endswith("shortcut/cat.mp4")


def test_a_link_that_leads_out_of_the_haystacks_is_refused(films):
    (films / "link.mp4").symlink_to(films.parent / "secret.mp4")
    with pytest.raises(UserError, match=r"haystacks: link.mp4 leads out of .*allow_outside"):
        find_videos(Haystacks(str(films)))
    assert len(find_videos(Haystacks(str(films), allow_outside=True))) == 2


def test_a_name_with_a_zero_byte_is_refused_with_its_line(films):
    with pytest.raises(UserError, match=r"line 1: video \(or videoID\) must name a file"):
        read(films, "cat.mp4\0.txt")


CARDS = [
    ("http://127.0.0.1:9/rows.csv", "names the address http://127.0.0.1:9/rows.csv"),
    ("../rows.csv", "names '../rows.csv', which leads out of"),
    ("/etc/hostname", "names '/etc/hostname', which leads out of"),
]


@pytest.mark.parametrize("named, words", CARDS)
def test_the_card_of_a_table_does_not_reach_out_of_its_folder(films, named, words):
    (films / "table").mkdir()
    (films / "rows.csv").write_text("video,question\nsecret,why\n")
    files = f"data_files:\n  - {{split: test, path: {json.dumps(named)}}}"
    (films / "table" / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  {files}\n---\n# A table\n")
    with pytest.raises(UserError, match=f"needles: dataset 'table': README.md {words}"):
        read_needles(Needles(dataset="table"), films)


def test_a_table_with_a_script_is_refused_and_the_script_does_not_run(films):
    (films / "table").mkdir()
    (films / "table" / "table.py").write_text(f"open({str(films / 'ran')!r}, 'w')\n")
    with pytest.raises(UserError, match="cannot load dataset 'table'.*scripts are no longer supported"):
        read_needles(Needles(dataset="table"), films)
    assert not (films / "ran").exists()


def test_an_address_is_refused_unless_the_suite_has_downloads(films):
    with (
        serving(whole) as (url, asked),
        pytest.raises(
            UserError, match=r"is an address, and nothing is downloaded without permission: set downloads: \{\}"
        ),
    ):
        read(films, f"{url}/dog.mp4")
    assert asked == []


def test_an_address_is_fetched_once_into_the_cache(films):
    with serving(whole) as (url, asked):
        needle = read(films, f"{url}/a/dog.mp4?sign=s3cret.x", downloads=HERE)
        again = read(films, f"{url}/a/dog.mp4?sign=s3cret.x", downloads=HERE)
    assert asked == ["/a/dog.mp4?sign=s3cret.x"]
    assert needle.path == again.path and Path(needle.path).read_bytes() == BODY
    assert needle.path.startswith(str(films.parent / "cache" / "downloads")) and needle.path.endswith("/dog.mp4")
    assert needle.name.startswith("dog-")


def test_a_download_is_called_the_same_wherever_the_cache_lies(films, monkeypatch):
    called = []
    for cache in (films / "cache", films.parent / "cache"):
        monkeypatch.setenv("VIDEONIAH_CACHE", str(cache))
        library = Library("1", lambda path: FakeIndex("abc", 10, 1))
        with serving(whole) as (url, _):
            write_text(films / "needles.jsonl", json.dumps({"video": f"{url}/dog.mp4", **ROW}))
            settings = Needles(str(films / "needles.jsonl"), downloads=HERE)
            _scan_needles(read_needles(settings, films), suite(needles=settings), library, [])
        called += list(library.sources)
    assert called == ["dog.mp4", "dog.mp4"]


ENDINGS = [
    (endless, "more than the 1,073,741 bytes that are allowed"),
    (too_long, "1,099,511,627,776 bytes, 1,073,741 are allowed"),
    (too_short, "incomplete: 20 of 1,000 bytes arrived"),
    (absent, "the server answers 404"),
    (leading_to("file:///etc/hostname"), "not allowed"),
    (leading_to("ftp://127.0.0.1/x.mp4"), "redirects from http to ftp"),
]


@pytest.mark.parametrize("answer, words", ENDINGS, ids=lambda value: getattr(value, "__name__", None))
def test_a_download_that_is_not_as_it_should_be_leaves_nothing(films, answer, words):
    with serving(answer) as (url, _), pytest.raises(UserError) as raised:
        download(f"{url}/x.mp4?sign=s3cret", Downloads(limit_gib=0.001, allow_private=True), "needles.jsonl, line 1")
    assert words in str(raised.value) and str(raised.value).startswith("needles.jsonl, line 1: http://127.0.0.1")
    assert "s3cret" not in str(raised.value)
    assert [path for path in (films.parent / "cache").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("answer", [dripping, dripping_headers])
def test_a_download_that_drips_ends_when_its_time_is_up(films, answer):
    with serving(answer) as (url, asked), pytest.raises(UserError, match="did not arrive within 3 seconds"):
        download(f"{url}/x.mp4", Downloads(seconds=3, allow_private=True), "line 1")
    assert asked == ["/x.mp4"]
    assert [path for path in (films.parent / "cache").rglob("*") if path.is_file()] == []


ADDRESSES = [
    ("file:///etc/hostname", "is not an http or https address"),
    ("ftp://example.org/x.mp4", "is not an http or https address"),
    ("https://me:word@example.org/x.mp4", "contains a user name or password"),
    ("http://[::1/x.mp4", "is not a valid address"),
]


@pytest.mark.parametrize("address, words", ADDRESSES)
def test_addresses_of_other_kinds_are_refused_although_downloads_are_allowed(films, address, words):
    with pytest.raises(UserError, match=words) as raised:
        read(films, address, downloads=Downloads())
    assert "word@" not in str(raised.value)


def test_a_server_that_falls_silent_is_given_up_when_the_suite_says(films):
    with serving(silent) as (url, _), pytest.raises(UserError, match=r"it cannot be fetched \(timed out\)"):
        download(f"{url}/x.mp4", Downloads(stall_seconds=0.2, allow_private=True), "line 1")


def test_a_local_file_is_no_transfer(films):
    assert "unknown url type" in transfer("file:///etc/hostname", str(films / "out"), 1000)


def test_bounds_of_a_download_are_keys_of_the_suite():
    values = {"file": "n.jsonl", "downloads": {"limit_gib": 0.5}}
    assert from_mapping(Needles, values, "needles").downloads == Downloads(0.5, 600.0)
    with pytest.raises(UserError, match="seconds must be above 0"):
        from_mapping(Needles, {"downloads": {"seconds": 0}}, "needles")
