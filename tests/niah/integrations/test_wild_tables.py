"""Tables and subtitles as they circulate: each is read as a person reads it, and what is left out is said."""

import codecs
import json
from pathlib import Path

import pytest

from niah.integrations.benchmarks import tables
from niah.integrations.benchmarks.documents import BenchmarkSettings, _checked, _items, _subtitles
from niah.integrations.benchmarks.item import Item, unlettered
from niah.integrations.benchmarks.subtitles import read_subtitles, subtitle_text
from niah.suite.answers import read_options
from niah.types import UserError

WILD = Path(__file__).with_name("wild")
PLAIN = "Hello there\nFirst line, second line."
CUE = "1\n00:00:00,000 --> 00:00:02,000\n"


@pytest.mark.parametrize(
    "file, text", [("plain.srt", PLAIN), ("utf16.srt", PLAIN), ("markup.srt", "Hello there"), ("empty.srt", "")]
)
def test_a_subtitle_file_is_read_as_players_read_it(file, text):
    assert read_subtitles(WILD / file) == text


SRT = [
    (CUE + "a &amp; b &lt;3\n", "a & b <3"),
    (CUE.replace("\n", "\r\n") + "Hi\r\n\r\n2\r\n" + "00:00:03.5 --> 00:00:04.0 align:start\r\nyou\r\n", "Hi\nyou"),
    (CUE + "2 < 3, and 1999\n1984\n", "2 < 3, and 1999 1984"),  # numbers inside a cue are words
    ("WEBVTT\n\nNOTE made by hand\n\n00:01.000 --> 00:02.000\n<c.yellow>Hey</c>\n", "Hey"),
    (CUE + "<font color=white>In tags</font> and beside\n", "In tags"),  # Video-MME's own, as the release reads them
    ("no subtitles at all\n", ""),
]


@pytest.mark.parametrize("srt, text", SRT)
def test_the_words_of_cues_are_kept_and_nothing_else(srt, text):
    assert subtitle_text(srt) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8-sig", "utf-8"])
def test_encodings_are_told_by_their_marks(tmp_path, encoding):
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""  # little-endian is common without one
    (tmp_path / "a.srt").write_bytes(mark + (CUE + "Grüße\n").encode(encoding))
    assert read_subtitles(tmp_path / "a.srt") == "Grüße"


def test_an_encoding_that_nobody_can_tell_is_refused_by_name(tmp_path):
    (tmp_path / "a.srt").write_bytes((CUE + "Grüße\n").encode("latin-1"))
    with pytest.raises(UserError, match=r"a\.srt is in no encoding that can be recognised .*save it as UTF-8"):
        read_subtitles(tmp_path / "a.srt")


def test_videos_that_are_asked_about_without_subtitles_are_counted(tmp_path, capsys):
    (tmp_path / "empty.srt").write_bytes((WILD / "empty.srt").read_bytes())
    (tmp_path / "plain.srt").write_bytes((WILD / "plain.srt").read_bytes())
    items = [Item(video, video, "Which?", ("a", "b"), "A") for video in ("plain", "empty", "none")]
    found = _subtitles(tables.VIDEO_MME_SUBTITLES, BenchmarkSettings(subtitles=str(tmp_path)), items)
    assert found == {"plain": PLAIN}
    said = capsys.readouterr().err
    assert "1 of 3 videos have no .srt file and are asked about without subtitles: none\n" in said
    assert "1 of 3 videos have one that holds no words and are asked about without subtitles: empty\n" in said


def test_mlvu_is_read_as_it_is_published_and_its_open_ended_tasks_are_counted(capsys):
    [item] = _items(tables.MLVU, BenchmarkSettings(table=str(WILD / "mlvu_json")))
    assert (item.video, item.options, item.answer, item.groups) == ("clip.mp4", ("A ball", "A stick"), "B", ("needle",))
    assert "mlvu: 1 questions of open-ended tasks are left out" in capsys.readouterr().err


def test_files_of_tasks_are_read_in_the_order_of_their_numbers(tmp_path):
    row = json.loads((WILD / "mlvu_json" / "2_needle.json").read_text())[0]
    for number in (10, 2):
        (tmp_path / f"{number}_x.json").write_text(json.dumps([{**row, "question_type": f"kind{number}"}]))
    assert [item.name for item in _items(tables.MLVU, BenchmarkSettings(table=str(tmp_path)))] == [
        "1-kind2",
        "2-kind10",
    ]


def test_open_ended_tasks_alone_are_no_benchmark(tmp_path):
    (tmp_path / "9_summary.json").write_text((WILD / "mlvu_json" / "9_summary.json").read_text())
    with pytest.raises(UserError, match="the table has no question"):
        _checked(tables.MLVU, list(_items(tables.MLVU, BenchmarkSettings(table=str(tmp_path)))))


@pytest.mark.parametrize("content", ["{", '{"a": 1}', "[1]", "[" * 100_000])
def test_a_file_of_a_task_that_is_no_list_of_rows_is_named(tmp_path, content):
    (tmp_path / "1_a.json").write_text(content)
    with pytest.raises(UserError, match=r"mlvu: .*1_a\.json"):
        list(_items(tables.MLVU, BenchmarkSettings(table=str(tmp_path))))


def test_a_csv_may_hold_its_lists_as_text():
    row = {"question_id": "1", "videoID": "clip", "question": "?", "duration": "long", "answer": "B"}
    for options in ('["A ball", "A stick"]', "['A ball', \"A stick\"]"):
        [item] = tables.read_video_mme({**row, "options": options}, "row 1")
        assert item.options == ("A ball", "A stick")


OPTIONS = [
    (["(A) x", "(B) y"], ("x", "y")),
    (["A) x", "B) y"], ("x", "y")),
    (["A. x\nmore", "B. y"], ("x\nmore", "y")),
    ("['(A) x', '(B) y']", ("x", "y")),
    (["(A) x", "y"], ("(A) x", "y")),  # not every option has its letter
]


@pytest.mark.parametrize("written, options", OPTIONS)
def test_options_lose_their_letters_however_they_are_written(written, options):
    assert read_options(written, "here") == options
    if isinstance(written, list):
        assert unlettered(written) == options


def test_a_list_that_is_none_is_refused():
    with pytest.raises(UserError, match="here: options look like a list and are none in JSON"):
        read_options("['a', 'b'", "here")
