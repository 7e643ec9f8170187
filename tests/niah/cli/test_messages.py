"""What the tool says to usual mistakes: each message names what to write instead. No worker starts for any of them."""

import json

import pytest

from niah.run import execute
from niah.types import UserError
from tests.helpers import commands
from tests.helpers.small_suite import make_suite

ROW = {"video": "cat.mp4", "start": 1, "stop": 3.5, "question": "Who?", "options": ["Ann", "Bob", "Cy"], "answer": "B"}
SUITE = "name: mine\nhaystacks: {folder: long}\nlengths: [20]\nneedles: "


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """Run in a folder with one clip, and let no worker start."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.mp4").touch()

    def refuse(*_, **__):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(execute, "start_worker", refuse)
    return tmp_path


@pytest.fixture
def said(capsys):
    """Return what a refused command says."""

    def run(name, *words):
        assert getattr(commands, name)(list(words)) == 2
        return capsys.readouterr().err

    return run


def suite(needles, content=""):
    """Write a suite of one's own, and its needle file."""
    with open("mine.yaml", "w", encoding="utf-8") as file:
        file.write(SUITE + needles + "\n")
    with open("needles.jsonl", "w", encoding="utf-8") as file:
        file.write(content)
    return "mine.yaml"


def test_a_model_without_weights_says_what_to_give(said):
    told = said("run", "--model", "huggingface", "--suite", "smoke")
    assert "error: model 'huggingface' needs released weights: --model_args pretrained=FOLDER" in told
    assert "or a hub name, such as pretrained=" in told
    assert "Models that run without: chance, " in told


def test_any_other_setting_without_a_default_is_asked_for(said, at_home):
    (at_home / "mine.py").write_text("def load(kind, *, size, device='cpu'): ...\n")
    told = said("run", "--model", "mine:load", "--suite", "smoke")
    assert told == "error: model 'mine:load' needs kind and size: --model_args kind=...,size=...\n"


def interpreter(folder, answer):
    """Write what stands for an interpreter whose torch answers so."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "device, torch, words",
    [
        ("cuda", "2.9.0+cpu 0", "--device cuda needs a GPU, and torch 2.9.0+cpu sees no GPU: leave --device out"),
        (
            "cuda:4",
            "2.9.0 2",
            "--device cuda:4 needs a GPU, and torch 2.9.0 sees 2 of them: name one of cuda:0 to cuda:1",
        ),
    ],
)
def test_a_gpu_that_is_not_there_is_missed_before_loading(said, at_home, device, torch, words):
    python = interpreter(at_home, torch)
    told = said("run", "--model", "vilamp", "--suite", "smoke", "--device", device, "--python", python)
    assert words in told and "niah doctor" in told


COLUMNS = [
    ("video_path", "video", "cat.mp4"),
    ("choices", "options", ["a", "b"]),
    ("candidates", "options", ["a", "b"]),
    ("end", "stop", 3),
]


@pytest.mark.parametrize("theirs, ours, value", COLUMNS)
def test_a_column_with_another_s_name_is_answered_with_ours(said, theirs, ours, value):
    row = {**{key: item for key, item in ROW.items() if key != ours}, theirs: value}
    told = said("generate", suite("{file: needles.jsonl}", json.dumps(row)), "-o", "out")
    assert f"needles.jsonl, line 1: column {theirs!r} is called {ours!r} here; rename it" in told


TABLE = "video,question,options,answer\ncat.mp4,Who?,\"[\"\"Ann\"\"]\",A\n"  # fmt: skip
FORMATS = [
    ("a table", "needles.csv", TABLE, "is a table, and file: takes JSON lines. Write dataset: needles.csv in place of"),
    ("a table in disguise", "needles.jsonl", TABLE, "needles.jsonl is a table, and file: takes JSON lines"),
    (
        "a list",
        "needles.jsonl",
        json.dumps([ROW, ROW]),
        "is one JSON list, and JSON lines are wanted: one needle on each",
    ),
    ("a list over lines", "needles.jsonl", json.dumps([ROW], indent=2), "is one JSON list"),
    ("an object over lines", "needles.jsonl", json.dumps(ROW, indent=2), "is one JSON object"),
    ("a list within", "needles.jsonl", json.dumps({"needles": [ROW]}, indent=2), "is one JSON object"),
]


@pytest.mark.parametrize("what, name, content, words", FORMATS)
def test_another_format_is_answered_with_the_line_to_write(said, at_home, what, name, content, words):
    path = suite(f"{{file: {name}}}")
    (at_home / name).write_text(content)
    told = said("generate", path, "-o", "out")
    assert words in told
    line = json.loads(told.rstrip().rpartition("\n")[2])
    assert line == ROW if "table" not in what else line["options"] == ["A ball", "A stick"]


ANSWERS = [("(B)", "B"), ("c", "C"), ("b.", "B"), ("(c) Cy", "C"), ("Bob", "B"), ("B", "B")]


@pytest.mark.parametrize("written, letter", ANSWERS)
def test_answers_are_read_as_people_write_them(written, letter):
    from niah.suite.answers import read_answer

    assert read_answer(written, ROW["options"], "here") == letter


@pytest.mark.parametrize("written", [1, "1"])
def test_a_bare_number_is_refused_with_both_readings(said, written):
    told = said("generate", suite("{file: needles.jsonl}", json.dumps({**ROW, "answer": written})), "-o", "out")
    assert (
        "answer 1 is a bare number, which could mean B ('Bob') with answer_base: 0, or A ('Ann') with answer_base: 1. "
        "Write the letter, or answer_base: 0 or 1 under needles: in the suite file" in told
    )


@pytest.mark.parametrize("base, letter", [(0, "B"), (1, "A")])
def test_a_number_is_read_where_the_suite_says_how(at_home, base, letter):
    from niah.suite.config import Needles
    from niah.suite.needles import read_needles

    suite("", json.dumps({**ROW, "answer": 1}))
    (row,) = read_needles(Needles("needles.jsonl", answer_base=base), at_home)
    assert row.needle.answer == letter


@pytest.mark.parametrize("base, number", [(0, 3), (1, 0), (1, 4)])
def test_a_number_beyond_the_options_is_refused(base, number):
    from niah.suite.answers import read_answer

    with pytest.raises(
        UserError, match=rf"answer {number} is no number of an option: with answer_base: {base} they are"
    ):
        read_answer(number, ROW["options"], "here", base)


def test_the_text_of_an_option_may_be_a_number():
    from niah.suite.answers import read_answer

    assert read_answer("2", ["1", "2", "3"], "here") == "B"
    with pytest.raises(
        UserError, match=r"C \('3'\) with answer_base: 0, or B \('2'\) with answer_base: 1, or B, whose"
    ):
        read_answer(2, ["1", "2", "3"], "here")


MODELS = [
    ("./mine.py:load", "--model mine:load"),
    ("mine.py", "--model mine:load"),
    ("models/mine.py:make", "--model models.mine:make"),
    ("models/mine", "--model models.mine:load"),
    ("../mine.py", "--model mine:load, typed in the folder .."),
]


@pytest.mark.parametrize("given, flag", MODELS)
def test_a_model_named_by_its_file_is_answered_with_its_module(said, given, flag):
    told = said("run", "--model", given, "--suite", "smoke")
    assert told == f"error: a model of your own is named by its module, not by its file: {flag}\n"


def test_a_module_without_its_function_is_answered_with_both(said, at_home):
    (at_home / "mine.py").touch()
    assert "named with the function that makes it: --model mine:load" in said(
        "run", "--model", "mine", "--suite", "smoke"
    )


def test_a_split_that_a_table_lacks_is_answered_with_those_it_has(said, at_home):
    (at_home / "table").mkdir()
    (at_home / "table" / "train.csv").write_text(TABLE)
    told = said("generate", suite("{dataset: table, media_root: .}"), "-o", "out")
    assert "Add one under needles: split: train" in told


def test_a_case_that_does_not_exist_is_answered_with_the_nearest_three_and_their_file(said, at_home):
    folder = make_suite(at_home)
    told = said("render", "n1.ful.20.4", "--suite", str(folder))
    assert told == (
        f"error: no case is called 'n1.ful.20.4'. The nearest: n1.full.20.4, n3.full.20.4, n2.full.20.4. "
        f"{folder}/cases.jsonl lists all 24.\n"
    )


def test_needles_from_nowhere_are_asked_for(said):
    told = said("generate", suite("{media_root: .}"), "-o", "out")
    assert "needles: name file: (JSON lines) or dataset: (a `datasets` table); neither is given" in told


def test_needles_from_two_places_are_refused(said):
    told = said("generate", suite("{file: a.jsonl, dataset: b.csv}"), "-o", "out")
    assert "either file: (JSON lines) or dataset: (a `datasets` table), not both" in told


@pytest.mark.parametrize("words", [["--model-args", "frames=8"], ["--model-args=frames=8"]])
def test_flags_may_have_hyphens(words, capsys):
    assert commands.run(["--model", "seeker", *words, "--suite", "smoke", "--dry-run"]) == 0
    assert "smoke" in capsys.readouterr().out
