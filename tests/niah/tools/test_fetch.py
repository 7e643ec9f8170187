"""Footage is fetched from a server on this machine that is slow, cut, wrong and moved; no test needs the network."""

import hashlib
import io
import json
import re
from pathlib import Path

import pytest

from niah.tools.fetch.fetch import Fetch
from niah.tools.fetch.footage_list import LISTS_FOLDER, read_list
from niah.tools.fetch.transfer import Patience
from niah.types import UserError
from tests.helpers import commands
from tests.helpers.film_server import absent, dripping, leading_to, serving, silent

PARTS = {"a/init.mp4": b"head", "a/1.m4s": bytes(range(256)) * 8, "b.bin": b"tail" * 100}
WHOLE = b"".join(PARTS.values())
COMMIT = "c0ffee" + "0" * 34
HURRIED = Patience(stall_seconds=0.3, slowest=1e6, pause_seconds=0.001)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def row(**changes):
    parts = [{"path": path, "sha256": sha(data), "bytes": len(data)} for path, data in PARTS.items()]
    known = {"file": "haystacks/film.mp4", "sha256": sha(WHOLE), "bytes": len(WHOLE), "licence": "CC-BY-3.0"}
    return {
        **known,
        "attribution": "The makers",
        "repository": "some/films",
        "commit": COMMIT,
        "parts": parts,
        **changes,
    }


@pytest.fixture
def listed(tmp_path):
    """Return a function that writes a list and returns its path."""

    def write(*rows):
        path = tmp_path / "films.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in rows or (row(),)))
        return str(path)

    return write


def send(handler, data, start=0, status=200):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(data) - start))
    handler.end_headers()
    handler.wfile.write(data[start:])


def part_of(handler):
    """Return the bytes that a request asks for."""
    prefix = f"/some/films/{COMMIT}/"
    assert handler.path.startswith(prefix)
    return PARTS[handler.path.removeprefix(prefix)]


def whole(handler):
    send(handler, part_of(handler))


def fetched(listed, base, tmp_path, patience=HURRIED):
    path, files = read_list(listed())
    fetch = Fetch(tmp_path / "out", path, base, patience)
    for file in files:
        fetch.get(file)
    return (tmp_path / "out" / "haystacks" / "film.mp4").read_bytes()


def refused(listed, base, tmp_path, patience=HURRIED):
    with pytest.raises(UserError) as error:
        fetched(listed, base, tmp_path, patience)
    assert not list((tmp_path / "out").rglob("film.mp4"))
    return str(error.value)


def test_parts_are_joined_in_order_and_checked(listed, tmp_path):
    with serving(whole) as (base, asked):
        assert fetched(listed, base, tmp_path) == WHOLE
    assert asked == [f"/some/films/{COMMIT}/{path}" for path in PARTS]
    assert not [path for path in (tmp_path / "out" / ".parts").iterdir()]


def test_a_part_that_was_cut_is_gone_on_with(listed, tmp_path):
    """The connection ends after half of what is asked for, each time: about eleven requests bring 2,048 bytes."""
    ranges = []

    def cutting(handler):
        data = part_of(handler)
        start = int(re.findall(r"\d+", handler.headers.get("Range", "0"))[0])
        ranges.append(start)
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        handler.wfile.write(data[start : start + max(1, (len(data) - start) // 2)])

    with serving(cutting) as (base, asked):
        assert fetched(listed, base, tmp_path) == WHOLE
    of_large = [start for start, path in zip(ranges, asked, strict=True) if path.endswith("1.m4s")]
    assert of_large[:4] == [0, 1024, 1536, 1792]  # nothing is asked for twice


def test_a_server_that_cannot_resume_sends_all_again(listed, tmp_path):
    calls = []

    def cut_once(handler):
        calls.append(handler.path)
        data = part_of(handler)
        if len(calls) == 1:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data[:2])
        else:
            send(handler, data)  # whatever range was asked for

    with serving(cut_once) as (base, _):
        assert fetched(listed, base, tmp_path) == WHOLE


def test_the_same_command_goes_on_after_the_server_was_gone(listed, tmp_path):
    def one_part(handler):
        (whole if handler.path.endswith("init.mp4") else absent)(handler)

    with serving(one_part) as (base, _):
        refused(listed, base, tmp_path)
    with serving(whole) as (base, asked):
        assert fetched(listed, base, tmp_path) == WHOLE
    assert len(asked) == 2  # the first part was here


@pytest.mark.parametrize("answer", [silent, dripping])
def test_a_server_that_is_too_slow_is_given_up(listed, tmp_path, answer):
    with serving(answer) as (base, _):
        told = refused(listed, base, tmp_path, Patience(stall_seconds=0.2, slowest=1e6, pause_seconds=0.001))
    assert "haystacks/film.mp4: " in told and "cannot be had" in told


def test_other_bytes_are_refused_and_not_kept(listed, tmp_path):
    with serving(lambda handler: send(handler, bytes(len(part_of(handler))))) as (base, _):
        told = refused(listed, base, tmp_path)
    assert "its SHA-256 is" in told and "it is not the listed file" in told
    assert not list((tmp_path / "out" / ".parts").iterdir())  # else every later call would go on with it


def test_not_a_byte_more_than_listed_is_kept(listed, tmp_path):
    with serving(lambda handler: send(handler, part_of(handler) + b"more")) as (base, _):
        assert fetched(listed, base, tmp_path) == WHOLE


def test_a_repository_that_was_renamed_is_followed(listed, tmp_path):
    with serving(whole) as (new, _):

        def moved(handler):
            leading_to(new + handler.path)(handler)

        with serving(moved) as (base, _):
            assert fetched(listed, base, tmp_path) == WHOLE


def test_a_repository_that_is_gone_is_told_with_what_to_do_by_hand(listed, tmp_path):
    with serving(absent) as (base, asked):
        told = refused(listed, base, tmp_path)
    assert f"{base}/some/films/{COMMIT}/a/init.mp4 cannot be had: the server answers 404" in told
    assert f"the list {tmp_path}/films.jsonl names each repository, commit and part" in told
    assert f"put the joined files into {tmp_path}/out, or name a folder that holds them with --from FOLDER" in told
    assert len(asked) == 1  # asking again would not help


def test_without_a_network_the_same_is_told(listed, tmp_path):
    with serving(whole) as (base, _):
        pass  # nobody listens there any more
    told = refused(listed, base, tmp_path)
    assert "cannot be had: URLError" in told and "films.jsonl" in told and f"{tmp_path}/out" in told


def test_a_list_whose_parts_do_not_make_the_file_is_told(listed, tmp_path, capsys):
    path, (file,) = read_list(listed(row(sha256=sha(b"another"))))
    with (
        serving(whole) as (base, _),
        pytest.raises(UserError, match="its parts are right and their concatenation is not"),
    ):
        Fetch(tmp_path / "out", path, base, HURRIED).get(file)


WRONG = [
    ({"file": "../film.mp4"}, "leads out of its folder"),
    ({"file": "/film.mp4"}, "leads out of its folder"),
    ({"commit": "main"}, "commit is 'main'"),
    ({"repository": "https://x/y"}, "repository is"),
    ({"bytes": 1}, "its parts have 2,452 bytes together"),
    ({"colour": 1}, "no key is called 'colour'"),
]


@pytest.mark.parametrize("changes, words", WRONG)
def test_a_list_that_says_what_it_must_not_is_refused(listed, changes, words):
    with pytest.raises(UserError, match=words):
        read_list(listed(row(**changes)))


def test_the_command_asks_shows_licences_and_does_nothing_twice(listed, tmp_path, capsys, monkeypatch):
    path, out = listed(), tmp_path / "out"
    assert commands.fetch([path, "-o", str(out), "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "CC-BY-3.0: 1 file\n" in said and "missing: 1 file, 0 MiB, from 1 public repository" in said
    assert commands.fetch([path, "-o", str(out)]) == 2
    assert "nobody is here to be asked: --yes downloads without asking" in capsys.readouterr().err
    assert not out.exists()
    with serving(whole) as (base, asked):
        words = [path, "-o", str(out), "--base", base, "--yes"]
        assert commands.fetch(words) == 0
        assert commands.fetch(words) == 0
    assert len(asked) == 3
    assert "all are here, and right" in capsys.readouterr().out
    told = (out / "LICENCES.md").read_text()
    assert f"- `haystacks/film.mp4`: CC-BY-3.0. The makers. From some/films at {COMMIT}." in told
    assert sorted(path.name for path in out.iterdir()) == ["LICENCES.md", "haystacks"]


@pytest.mark.parametrize("answer, code", [("y\n", 0), ("\n", 2), ("no\n", 2)])
def test_the_answer_counts(listed, tmp_path, capsys, monkeypatch, answer, code):
    stdin = io.StringIO(answer)
    stdin.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", stdin)
    with serving(whole) as (base, asked):
        assert commands.fetch([listed(), "-o", str(tmp_path / "out"), "--base", base]) == code
    assert bool(asked) == (code == 0)


def test_a_folder_of_this_machine_is_copied_from_by_hash(listed, tmp_path):
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "deep" / "any name.bin").write_bytes(WHOLE)
    (tmp_path / "mine" / "same size.bin").write_bytes(bytes(len(WHOLE)))
    out = tmp_path / "out"
    assert commands.fetch([listed(), "-o", str(out), "--from", str(tmp_path / "mine"), "--yes"]) == 0
    assert (out / "haystacks" / "film.mp4").read_bytes() == WHOLE


def test_a_damaged_file_is_fetched_again(listed, tmp_path):
    out = tmp_path / "out" / "haystacks" / "film.mp4"
    out.parent.mkdir(parents=True)
    out.write_bytes(bytes(len(WHOLE)))
    with serving(whole) as (base, _):
        assert commands.fetch([listed(), "-o", str(tmp_path / "out"), "--base", base, "--yes"]) == 0
    assert out.read_bytes() == WHOLE


def test_an_unknown_list_is_answered_with_those_there_are(capsys):
    assert commands.fetch(["opem"]) == 2
    assert "no footage list is called 'opem'. Did you mean 'open'?" in capsys.readouterr().err


def test_the_list_that_ships_is_whole():
    path, files = read_list("open")
    assert path == LISTS_FOLDER / "open.jsonl"
    assert len(files) == 32 and sum(file.bytes for file in files) == 113_944_018
    assert {file.licence for file in files} and all(file.attribution for file in files)
    needles = [json.loads(line) for line in (LISTS_FOLDER / "open_needles.jsonl").read_text().splitlines()]
    assert len(needles) == 92 and {needle["video"] for needle in needles} <= {file.file for file in files}


FILMS = Path(__file__).resolve().parents[4] / "shared" / "videos" / "open" / "films"


@pytest.mark.skipif(not FILMS.is_dir(), reason="the films do not lie beside the checkout")
def test_the_listed_parts_make_the_films():
    _, files = read_list("open")
    for file in files[:3]:
        data, at = (FILMS / Path(file.file).name).read_bytes(), 0
        assert sha(data) == file.sha256
        for part in file.parts:
            assert sha(data[at : at + part.bytes]) == part.sha256
            at += part.bytes
