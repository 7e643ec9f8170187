"""Needle files as people write them, and the errors they get, each with its line."""

import json

import pytest

from niah.suite.config import Needles
from niah.suite.needles import read_needles
from niah.types import UserError
from tests.helpers.generate_fakes import write_text

ROW = {"video": "cat.mp4", "start": 1, "stop": 3.5, "question": "Who?", "options": ["Ann", "Bob"], "answer": "B"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cat.mp4").touch()
    (tmp_path / "dog.webm").touch()
    return tmp_path


def read(folder, *rows, **settings):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    write_text(folder / "needles.jsonl", *lines)
    return read_needles(Needles("needles.jsonl", **settings), folder)


def one(folder, **changes):
    row = {**ROW, **changes}
    (found,) = read(folder, {key: value for key, value in row.items() if value != "absent"})
    return found.needle


def refused(folder, **changes):
    with pytest.raises(UserError) as error:
        read(folder, ROW, "", {**ROW, "start": 0.5, **changes})
    assert str(error.value).startswith(f"{folder}/needles.jsonl, line 3: ")
    return str(error.value)


def test_a_row_is_read_whole(folder):
    needle = one(folder, type="person", name="who")
    assert (needle.name, needle.path, needle.type) == ("who", str(folder / "cat.mp4"), "person")
    assert (needle.start, needle.stop) == (1.0, 3.5)
    assert (needle.question, needle.options, needle.answer) == ("Who?", ("Ann", "Bob"), "B")


def test_a_missing_span_means_the_whole_clip(folder):
    needle = one(folder, start="absent", stop=None)
    assert (needle.start, needle.stop) == (None, None)


def test_a_missing_type_is_unspecified(folder):
    assert one(folder).type == "unspecified"


@pytest.mark.parametrize("column", ["type", "task_type"])
def test_the_name_of_all_types_together_is_no_type(folder, column):
    assert "'all' is reserved for the table row of all types; use another type" in refused(folder, **{column: "all"})


def test_videos_are_looked_for_in_media_root(folder):
    (folder / "films").mkdir()
    (folder / "films" / "cow.mp4").touch()
    (row,) = read(folder, {**ROW, "video": "cow.mp4"}, media_root="films")
    assert row.needle.path == str(folder / "films" / "cow.mp4")


def test_a_needle_without_a_name_keeps_it_when_lines_move(folder):
    other = {**ROW, "video": "dog.webm"}
    names = [row.needle.name for row in read(folder, ROW, other)]
    assert [row.needle.name for row in read(folder, other, ROW)] == names[::-1]
    assert names[0].startswith("cat-") and names[1].startswith("dog-")


def test_two_questions_about_one_clip_are_two_needles(folder):
    assert len({row.needle.name for row in read(folder, ROW, {**ROW, "question": "Whom?"})}) == 2


OPTIONS = [
    (["A. Cats", "B. Dogs"], ("Cats", "Dogs")),
    (["A) Cats", "B) Dogs"], ("Cats", "Dogs")),
    (["A: 10", "B: 20"], ("10", "20")),
    ([" Cats ", "Dogs"], ("Cats", "Dogs")),
    (["A. Milne", "Dickens"], ("A. Milne", "Dickens")),  # a name, not a letter: the second has none
    (["B. Dogs", "A. Cats"], ("B. Dogs", "A. Cats")),  # not in order: they are no letters of ours
    ('["Cats", "Dogs"]', ("Cats", "Dogs")),  # a csv cell
    (["A.", "B."], ("A.", "B.")),  # nothing would be left
]


@pytest.mark.parametrize("written, options", OPTIONS)
def test_options_are_read_without_their_letters(folder, written, options):
    assert one(folder, options=written, answer=options[0]).options == options


ANSWERS = [
    ("B", "B"),
    (" B ", "B"),
    ("B.", "B"),
    ("Dogs", "B"),
    ("B. Dogs", "B"),
    ("B) Dogs", "B"),
]


@pytest.mark.parametrize("written, letter", ANSWERS)
def test_an_answer_is_a_letter_or_an_option(folder, written, letter):
    assert one(folder, options=["Cats", "Dogs"], answer=written).answer == letter


@pytest.mark.parametrize("written", ["C", "Cows", "c", "A. Dogs", "", None, True])
def test_an_answer_not_among_the_options_is_refused_with_its_line(folder, written):
    assert "is not among the options" in refused(folder, options=["Cats", "Dogs"], answer=written)


def test_an_answer_that_is_a_letter_and_another_option_s_text_is_refused(folder):
    assert "one option's letter and another's text" in refused(folder, options=["B", "A"], answer="A")


FAULTS = [
    ({"stop": 0.5}, "stop (0.5 s) must be after start (0.5 s)"),
    ({"stop": 0.1}, "stop (0.1 s) must be after start"),
    ({"start": -1}, "start must be seconds"),
    ({"start": "0:30"}, "start must be seconds from the video's first frame, got '0:30'"),
    ({"start": True}, "start must be seconds"),
    ({"question": ""}, "question must be text"),
    ({"question": None}, "question must be text"),
    ({"options": ["one"]}, "needs 2 to 10 options, got 1"),
    ({"options": list("abcdefghijk")}, "needs 2 to 10 options, got 11"),
    ({"options": "Cats, Dogs"}, "options must be a list of texts"),
    ({"options": ["Cats", 2]}, "options must be a list of texts"),
    ({"options": ["Bob", "Bob"]}, "two options are the same"),
    ({"options": '["Cats"'}, "none in JSON"),
    ({"video": None}, "video (or videoID) must name a file"),
    ({"video": "cta.mp4"}, "'cta.mp4'. Did you mean 'cat.mp4'? Known: cat.mp4, dog.webm, needles.jsonl."),
    ({"anwser": "A"}, "no column is called 'anwser'. Did you mean 'answer'? Known: video, start, stop, question,"),
]


@pytest.mark.parametrize("changes, words", FAULTS)
def test_a_faulty_row_is_refused_with_its_line(folder, changes, words):
    assert words in refused(folder, **changes)


def test_a_needle_given_twice_is_refused_with_both_lines(folder):
    with pytest.raises(UserError, match=r"line 2: needle .* already given at .*line 1"):
        read(folder, ROW, ROW)


@pytest.mark.parametrize("line, words", [("{", " ?cannot be read"), ("[1]", "expected"), ("null", "expected")])
def test_a_line_that_is_no_needle_is_refused(folder, line, words):
    with pytest.raises(UserError, match=f"line 2:? ?{words}"):
        read(folder, ROW, line)


def test_a_missing_file_is_refused(folder):
    with pytest.raises(UserError, match=r"gone\.jsonl does not exist"):
        read_needles(Needles("gone.jsonl"), folder)


def test_a_folder_in_place_of_the_file_is_refused(folder):
    with pytest.raises(UserError, match="Is a directory"):
        read_needles(Needles("."), folder)


@pytest.mark.parametrize("lines", [(), ("", "  ")])
def test_an_empty_file_is_refused(folder, lines):
    with pytest.raises(UserError, match="has no needle"):
        read(folder, *lines)


def test_a_table_given_as_json_lines_is_refused(folder):
    (folder / "needles.jsonl").write_bytes(b"PAR1\xff\xfe")
    with pytest.raises(UserError, match="belongs under dataset:"):
        read_needles(Needles("needles.jsonl"), folder)


@pytest.mark.parametrize("settings", [Needles(), Needles("needles.jsonl", dataset="table")])
def test_one_kind_of_needle_file_is_wanted(folder, settings):
    with pytest.raises(UserError, match="file: .* or dataset:"):
        read_needles(settings, folder)


def test_a_media_root_that_is_no_folder_is_refused(folder):
    with pytest.raises(UserError, match="media_root .*films is not a folder"):
        read(folder, ROW, media_root="films")


VIDEO_MME = {
    "video_id": "001",
    "duration": "short",
    "domain": "Knowledge",
    "sub_category": "Biology",
    "url": "https://example.org/cat",
    "videoID": "cat",
    "question_id": "001-1",
    "task_type": "Counting Problem",
    "question": "How many?",
    "options": ["A. Two.", "B. Three.", "C. Four.", "D. Five."],
    "answer": "C",
}


@pytest.fixture
def tables(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    return datasets


def is_the_video_mme_row(rows, folder):
    (row,) = rows
    needle = row.needle
    assert (needle.name, needle.type, row.video) == ("001-1", "Counting Problem", "cat")
    assert needle.path == str(folder / "cat.mp4")  # videoID and a common extension
    assert (needle.options, needle.answer) == (("Two.", "Three.", "Four.", "Five."), "C")
    assert (needle.start, needle.stop) == (None, None)


@pytest.mark.parametrize("name", ["table.parquet", "table.json"])
def test_video_mme_s_columns_work_as_they_are(folder, tables, name):
    table = tables.Dataset.from_list([VIDEO_MME])
    (table.to_parquet if name.endswith("parquet") else table.to_json)(str(folder / name))
    is_the_video_mme_row(read_needles(Needles(dataset=name), folder), folder)


def test_a_folder_with_a_table_works_by_split(folder, tables):
    (folder / "mme").mkdir()
    tables.Dataset.from_list([VIDEO_MME]).to_parquet(str(folder / "mme" / "test-00000-of-00001.parquet"))
    is_the_video_mme_row(read_needles(Needles(dataset="mme", media_root="."), folder), folder)


def test_a_table_saved_to_disk_works(folder, tables):
    tables.Dataset.from_list([VIDEO_MME]).save_to_disk(str(folder / "saved"))
    is_the_video_mme_row(read_needles(Needles(dataset="saved", media_root="."), folder), folder)


def test_a_split_that_is_not_there_is_refused(folder, tables):
    (folder / "mme").mkdir()
    tables.Dataset.from_list([VIDEO_MME]).to_parquet(str(folder / "mme" / "test-00000-of-00001.parquet"))
    with pytest.raises(UserError, match="cannot load dataset 'mme', split 'dev'"):
        read_needles(Needles(dataset="mme", split="dev"), folder)


def test_a_faulty_table_row_is_refused_with_its_number(folder, tables):
    faulty = {**VIDEO_MME, "question_id": "001-2", "answer": "E"}
    tables.Dataset.from_list([VIDEO_MME, faulty]).to_parquet(str(folder / "table.parquet"))
    with pytest.raises(UserError, match="table.parquet, row 2: answer 'E' is not among the options"):
        read_needles(Needles(dataset="table.parquet"), folder)


def test_a_table_that_is_not_there_is_refused(folder):
    with pytest.raises(UserError, match="gone.parquet does not exist"):
        read_needles(Needles(dataset="gone.parquet"), folder)


def test_half_a_character_is_refused_with_its_line(folder):
    (folder / "half.jsonl").write_text('{"video": "dog.mp4", "question": "\\ud83d?"}\n')
    with pytest.raises(UserError, match=r"half.jsonl, line 1: half a character, '.ud83d'"):
        read_needles(Needles(file="half.jsonl"), folder)


def test_a_table_that_is_none_is_refused_with_the_library_s_words(folder, tables):
    (folder / "odd.csv").write_text('video,question\na,b,c,d\n"unclosed\n')
    with pytest.raises(UserError, match="cannot load dataset 'odd.csv', split 'test': Error tokenizing data"):
        read_needles(Needles(dataset="odd.csv"), folder)


def test_a_video_that_is_the_root_folder_is_refused(folder):
    (folder / "root.jsonl").write_text('{"video": "/", "question": "?", "options": ["a", "b"], "answer": "A"}\n')
    with pytest.raises(UserError, match="line 1: video '/' leads out of"):
        read_needles(Needles(file="root.jsonl"), folder)
