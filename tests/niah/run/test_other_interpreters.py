"""A published repository in an interpreter of its own: an old transformers, chatter, crashes, hangs and garbage."""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from niah.option_scores import is_correct
from niah.types import Case, Record
from tests.helpers import other_interpreter
from tests.helpers.commands import run as main
from tests.helpers.small_suite import make_suite

REPOSITORY = Path(__file__).resolve().parents[2] / "fake_repository"
EIGHT = [  # the first cases of tests.helpers.small_suite; the number after the condition is their frames
    "n1.blind.0",
    "n1.full.20.12",
    "n1.full.20.4",
    "n1.full.40.27",
    "n1.full.40.9",
    "n1.needle_only.4",
    "n1.no_needle.20",
    "n1.swapped.20.8",
]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield make_suite(folder)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return other_interpreter.build(tmp_path_factory.mktemp("venv") / "published")


@pytest.fixture
def run(suite, python, tmp_path):
    """Return a function that runs the template from a model config and returns exit code, records and cases."""

    def begin(deeds, python=python, **settings):
        (tmp_path / "weights.json").write_text(json.dumps(deeds))
        model = {
            "model": "baselines.template:load",
            "python": str(python),
            "model_args": {"repository": str(REPOSITORY), "weights": str(tmp_path / "weights.json"), "max_frames": 32},
            "figures": False,
            **settings,
        }
        (tmp_path / "model.yaml").write_text(yaml.safe_dump(model))
        out = tmp_path / "out"
        code = main(["--config", str(tmp_path / "model.yaml"), "--suite", str(suite), "--output_path", str(out)])
        if not (out / "records.jsonl").exists():
            return code, {}, {}
        rows = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
        cases = [Case.from_json(json.loads(line)) for line in (out / "cases.jsonl").read_text().splitlines()]
        return code, {row["case"]: Record.from_json(row) for row in rows}, {case.id: case for case in cases}

    return begin


def test_model_answers_beside_the_old_transformers_it_pins(run, tmp_path):
    code, records, cases = run({}, limit=8)
    assert (code, sorted(records)) == (0, EIGHT)
    right = [name for name, record in records.items() if is_correct(cases[name], record)]
    assert set(right) >= {name for name in EIGHT if ".full." in name or ".needle_only." in name}
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert told["worker"]["versions"]["transformers"] == "4.31.0"
    assert told["versions"]["transformers"] == version("transformers") != "4.31.0"
    assert records["n1.full.40.9"].frames_used == 32


def test_chatter_of_python_and_c_goes_to_the_log(run, tmp_path):
    code, records, _ = run({}, limit=1)
    assert (code, [record.status for record in records.values()]) == (0, ["ok"])
    log = (tmp_path / "out" / "worker.log").read_text()
    for words in ("Loading checkpoint shards: 100%", "from Python", "from C"):
        assert words in log


def test_every_case_has_a_record_whatever_the_model_does(run):
    code, records, _ = run({32: "crash", 4: "hang", 0: "garbage"}, limit=8, timeout=2)
    assert (code, sorted(records)) == (3, EIGHT)
    told = {name: record.status for name, record in records.items() if record.status != "ok"}
    assert told == {
        "n1.full.40.9": "error",
        "n1.full.40.27": "error",
        "n1.needle_only.4": "timeout",
        "n1.blind.0": "error",
    }
    assert records["n1.full.40.9"].detail == "the worker died of SIGSEGV"
    assert records["n1.blind.0"].detail.startswith("TypeError: a reply's text must be a string, got ndarray")


DEEDS = [
    ("exit", "error", "the worker ended with exit code 1"),
    ("scribble", "error", "the worker wrote something that is no reply to the runner's descriptor"),
    ("fill", "oom", "MemoryError: "),
]


@pytest.mark.parametrize("deed, status, words", DEEDS)
def test_deed_of_a_model_is_told(run, deed, status, words):
    _, records, _ = run({4: deed}, limit=2, conditions=["needle_only"])
    assert {record.status for record in records.values()} == {status} and len(records) == 2
    assert all(words in record.detail for record in records.values())


def test_wordless_reply_is_kept_as_it_came(run):
    code, records, cases = run({4: "wordless"}, limit=1, conditions=["needle_only"])
    (record,) = records.values()
    assert (code, record.status, record.reply) == (0, "ok", "\x00\ufffd<unk>")
    assert not is_correct(cases[record.case], record)


def test_repository_refuses_the_transformers_of_this_interpreter(run, capsys):
    code, _, _ = run({}, python=sys.executable, limit=1)
    assert code == 2
    assert "published needs transformers==4.31.0, found 5." in capsys.readouterr().err


def test_repository_that_is_no_folder_is_told(run, capsys):
    settings = {"model_args": {"repository": "no-such-folder", "weights": "w"}}
    assert run({}, limit=1, **settings)[0] == 2
    assert "repository must be a folder" in capsys.readouterr().err


@pytest.mark.skipif("VIDEONIAH_PYTHON39" not in os.environ, reason="VIDEONIAH_PYTHON39 names no Python 3.9 with av")
def test_template_runs_on_python_39(run, tmp_path, monkeypatch):
    other_interpreter.write_stub(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    code, records, _ = run({32: "crash"}, python=os.environ["VIDEONIAH_PYTHON39"], limit=8)
    assert (code, sorted(records)) == (3, EIGHT)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["worker"]["python"].startswith("3.9.")
