"""What docs/adding_a_model.md and docs/wrapping_a_repository.md tell people to do, done."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from niah.types import Question
from tests.helpers import other_interpreter
from tests.helpers.small_suite import make_suite

ROOT = Path(__file__).resolve().parents[2]
ADDING = (ROOT / "docs" / "adding_a_model.md").read_text(encoding="utf-8")
WRAPPING = (ROOT / "docs" / "wrapping_a_repository.md").read_text(encoding="utf-8")
LINES = 80  # that a baseline may take


def blocks(text, language):
    """Return the code blocks of a language, as printed."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for kind, block in fenced if kind == language]


def command(text):
    """Return the run command of a page as arguments of Python."""
    lines = [line for block in blocks(text, "") for line in block.splitlines()]
    (found,) = [line for line in lines if line.startswith("niah run")]
    return ["-m", *shlex.split(found)]


def ran(folder, *arguments, **environment):
    """Run Python in a folder as somebody would who had just saved files there; return the records it leaves."""
    around = {**os.environ, "OMP_NUM_THREADS": "1", "VIDEONIAH_CACHE": str(folder / "cache"), **environment}
    around["PYTHONPATH"] = os.pathsep.join(filter(None, [environment.get("PYTHONPATH"), str(ROOT)]))
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=around, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (records,) = folder.rglob("records.jsonl")
    return [json.loads(line) for line in records.read_text().splitlines()]


def instead(arguments, suite):
    """Return a command for a small suite in place of the one it names, and without figures."""
    place = arguments.index("--suite") + 1
    return [*arguments[:place], str(suite), *arguments[place + 1 :], "--no_figures"]


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    return make_suite(tmp_path / "small")


class Film:
    """A grey video in which frame 70 alone is green."""

    fps = 1.0
    decode_seconds = 0.0

    def __len__(self):
        return 100

    def iterate(self, chunk):
        for start in range(0, 100, chunk):
            indices = tuple(range(start, min(start + chunk, 100)))
            yield indices, np.stack([np.full((8, 8, 3), (0, 255, 0) if i == 70 else 120, np.uint8) for i in indices])


def test_worked_example_is_short_enough_and_right():
    (code,) = blocks(ADDING, "python")
    assert len(code.splitlines()) <= LINES
    names: dict = {}
    exec(compile(code, "colours.py", "exec"), names)  # as Python would import it
    reply = names["load"](chunk=32).answer(Film(), Question("Which?", ("A red ball", "A green ball")))
    assert (reply.text, reply.frames_kept, len(reply.frames_used)) == ("(B)", (70,), 100)


@pytest.mark.slow
def test_worked_example_runs_as_printed(tmp_path):
    (tmp_path / "colours.py").write_text(blocks(ADDING, "python")[0], encoding="utf-8")
    records = ran(tmp_path, *command(ADDING))
    assert len(records) == 52 and {record["status"] for record in records} == {"ok"}
    assert {record["reply"] for record in records} == {"I saw nothing that was asked about."}  # as the page says
    assert (tmp_path / "runs" / "smoke-colours-load" / "heatmap.png").stat().st_size > 0  # the folder the page names


def test_worked_example_answers_a_small_suite(tmp_path, suite):
    (tmp_path / "colours.py").write_text(blocks(ADDING, "python")[0], encoding="utf-8")
    records = ran(tmp_path, *instead(command(ADDING), suite))
    assert len(records) == 24
    kept = [r["needle_frames_kept"] for r in records if ".full." in r["case"]]
    assert kept == [1] * 12  # the needle's first frame is the one least like the frame before it


@pytest.mark.slow
def test_entry_point_as_printed_gives_the_model_a_name(tmp_path, suite):
    made, site = tmp_path / "made", tmp_path / "site"
    made.mkdir()
    (made / "colours.py").write_text(blocks(ADDING, "python")[0], encoding="utf-8")
    (made / "pyproject.toml").write_text(blocks(ADDING, "toml")[0], encoding="utf-8")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *offline, str(made)], check=True, capture_output=True)
    run = ["-m", "niah", "run", "--model", "colours", "--suite", str(suite), "--limit", "2", "--no_figures"]
    records = ran(tmp_path, *run, PYTHONPATH=str(site))
    assert {record["model"] for record in records} == {"colours"}


def test_repository_is_wrapped_as_the_page_says(tmp_path, suite):
    here = tmp_path / "here"
    other_interpreter.build(here / ".venvs" / "published")  # step 1, without a network
    repository = shutil.copytree(ROOT / "tests" / "fake_repository", tmp_path / "published")
    (repository / "weights.json").write_text("{}")
    shutil.copy(ROOT / "baselines" / "template.py", here / "mymodel.py")  # step 2
    (here / "mymodel.yaml").write_text(blocks(WRAPPING, "yaml")[0], encoding="utf-8")  # step 3
    records = ran(here, *instead(command(WRAPPING), suite), "--limit", "8")  # step 4
    assert len(records) == 8 and {record["status"] for record in records} == {"ok"}
    about = json.loads(next(here.rglob("run.json")).read_text())
    assert about["worker"]["versions"]["transformers"] == other_interpreter.OLD


@pytest.mark.parametrize("page", ["adding_a_model.md", "wrapping_a_repository.md"])
def test_every_link_of_the_page_exists(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert targets and all((ROOT / "docs" / target).exists() for target in targets)


def test_template_is_as_short_as_a_baseline_should_be():
    assert len((ROOT / "baselines" / "template.py").read_text().splitlines()) <= LINES
